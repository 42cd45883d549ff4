//! What each field of a link does to the messages of a small fleet, from the text of a scenario to the report, against
//! what can be worked out by hand.

use testament::fleet::report::{Latency, Report};
use testament::fleet::run::play;
use testament::fleet::shard::Shard;
use testament::{links, scenario};

/// Plays what one device behind `link` says to a hub without a link, and hears from it, for ten minutes.
fn behind(link: &str, habit: &str, does: &str, hub: &str, timeline: &str) -> Report {
    let text = format!(
        "Scenario(about: \"a link\", lasts: \"10m\", calm: \"1m\", links: {{ \"l\": Link({link}) }}, fleet: [
            (name: \"hub\", count: 1, does: [Listen(filter: \"up/#\", qos: 1), {hub}]),
            (name: \"device\", count: 1, link: \"l\", keep_alive: \"0s\", {habit} does: [Listen(filter: \"down/#\", qos: 1), {does}]),
        ], timeline: [{timeline}])"
    );
    let plan = scenario::check(&text, &links::all()).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    play(plan, Shard::WHOLE).unwrap_or_else(|why| panic!("{why}\n{text}")).report()
}

/// How long messages of 1,000 bytes take from the device, said by that duty.
fn up(link: &str, duty: &str) -> Vec<Latency> {
    let duty = format!("Publish(topic: \"up/x\", from: \"10s\", {duty})");
    behind(link, "", &duty, "", "").groups[1].latency.clone()
}

/// The same to the device.
fn down(link: &str, duty: &str) -> Vec<Latency> {
    let duty = format!("Publish(topic: \"down/x\", from: \"10s\", {duty})");
    behind(link, "", "", &duty, "").groups[0].latency.clone()
}

/// Half of them and all of them took at most so long, in seconds: within two digits, which is what a report keeps.
#[track_caller]
fn check(latency: &[Latency], median: f64, most: f64) {
    let found = latency.first().expect("messages").quantiles;
    let near = |found: Option<f64>, expect: f64| found.is_some_and(|found| (found / expect - 1.0).abs() < 0.05);
    assert!(near(found.p50, median) && near(found.max, most), "{found:?}, not {median} and {most}");
}

/// The share of messages that took longer than so many seconds.
fn longer(latency: &[Latency], than: f64) -> f64 {
    let count = |least: f64| -> u32 {
        let all = latency.iter().flat_map(|it| it.spans.recorded());
        all.filter(|(micros, _)| *micros as f64 > least * 1e6).map(|(_, count)| count).sum()
    };
    f64::from(count(than)) / f64::from(count(0.0))
}

const SELDOM: &str = "every: \"20s\", size: 960";

/// Bytes on the wire of a message with 960 bytes of payload to `up/x`, in so many segments: fixed header, topic, and
/// properties of 5.0 at QoS 0, then the headers of IP and TCP.
fn wire(segments: u32) -> f64 {
    f64::from(1 + 2 + 2 + 4 + 1 + 960 + segments * 52)
}

#[test]
fn a_round_trip_time_is_half_each_way_and_stays_for_its_coherence() {
    check(&up("rtt: [(0.5, \"800ms\")]", SELDOM), 0.4, 0.4);
    check(&down("rtt: [(0.5, \"800ms\")]", SELDOM), 0.4, 0.4);
    let drawn =
        |coherence: &str| up(&format!("rtt: [(0.0, \"200ms\"), (1.0, \"2s\")], coherence: \"{coherence}\""), SELDOM);
    let spread =
        |latency: &[Latency]| latency[0].quantiles.max.unwrap_or(0.0) - latency[0].quantiles.p50.unwrap_or(0.0);
    assert!(spread(&drawn("1h")) < 0.01 && spread(&drawn("1s")) > 0.2);
    // Of 590 uniform values the median is within three standard errors, 0.06 s, of the middle.
    let jitter = up("rtt: [(0.5, \"200ms\")], jitter: \"1s\"", "every: \"1s\", size: 960")[0].quantiles;
    let (median, most) = (jitter.p50.unwrap_or(0.0), jitter.max.unwrap_or(0.0));
    assert!((0.54..0.66).contains(&median) && (1.07..1.11).contains(&most), "{jitter:?}");
}

#[test]
fn each_way_has_its_own_rate_and_each_packet_its_headers() {
    let lanes = "up: (kbit: 8), down: (kbit: 80)";
    check(&up(lanes, SELDOM), wire(1) / 1e3, wire(1) / 1e3);
    // To "down/x", with two bytes more.
    check(&down(lanes, SELDOM), (wire(1) + 2.0) / 1e4, (wire(1) + 2.0) / 1e4);
    // Segments of at most 576 - 52 bytes.
    check(&up("up: (kbit: 8), mtu: 576", SELDOM), wire(2) / 1e3, wire(2) / 1e3);
    // What is said for both ways holds where a way says nothing else.
    check(&down("kbit: 80, up: (kbit: 8)", SELDOM), (wire(1) + 2.0) / 1e4, (wire(1) + 2.0) / 1e4);
}

#[test]
fn what_a_queue_does_not_take_must_be_said_again() {
    let burst = "every: \"5m\", pattern: Burst(count: 5), size: 960, until: \"5m\"";
    let queue = |bytes: u32| up(&format!("up: (kbit: 8, queue: {bytes}), stack: Rfc6298"), burst);
    let longest = |latency: &[Latency]| latency[0].quantiles.max.unwrap_or(0.0);
    // All five wait in the queue, and nothing is lost.
    let (wide, narrow) = (longest(&queue(65_536)), longest(&queue(1_500)));
    assert!((wide / (wire(5) + 4.0 * 970.0) * 1e3 - 1.0).abs() < 0.1, "{wide}");
    assert!(narrow > wide + 0.5, "{narrow} {wide}");
}

#[test]
fn bursts_gaps_and_outages_hit_their_share_of_the_time() {
    let often = "every: \"500ms\", pattern: Random, size: 16";
    // A tenth of the time is bad, whatever the way it is said.
    let tenth = |what: &str, good: &str, bad: &str| {
        format!(
            "rtt: [(0.5, \"100ms\")], stack: Rfc6298, {what}: ({good}: Exponential(\"9s\"), {bad}: Drawn([(0.5, \"1s\")])"
        )
    };
    let bursts = up(&format!("{}, loss: 1.0, shared: true)", tenth("bursts", "good", "bad")), often);
    let outages = up(&format!("{})", tenth("outages", "every", "lasts")), often);
    for latency in [bursts, outages] {
        // Who comes into it waits for a time-out of a second; those behind wait with it.
        let late = longer(&latency, 0.12);
        assert!((0.07..0.35).contains(&late), "{late}");
        assert!(latency[0].quantiles.max > Some(1.0));
    }
    let gaps = up(&format!("{})", tenth("gaps", "every", "lasts")), often);
    let held = longer(&gaps, 0.06);
    // Nothing is lost: what comes into a gap of a second waits for its end.
    assert!((0.06..0.15).contains(&held), "{held}");
    assert!(gaps[0].quantiles.max < Some(1.1), "{:?}", gaps[0].quantiles);
}

#[test]
fn a_radio_that_was_idle_takes_its_time_to_come_back() {
    let radio = "rtt: [(0.5, \"200ms\")], promotion: (idle: \"5s\", delay: [(0.5, \"700ms\")])";
    check(&up(radio, SELDOM), 0.8, 0.8);
    // Only the first comes after a silence.
    check(&up(radio, "every: \"1s\", size: 60"), 0.1, 0.8);
    check(
        &up(
            "like: \"nbiot-good\", rtt: [(0.5, \"200ms\")], coherence: \"1s\", up: (kbit: 0, loss: 0.0), bursts: None, promotion: None",
            SELDOM,
        ),
        0.1,
        0.1,
    );
}

#[test]
fn each_stack_repeats_what_was_lost_in_its_own_time() {
    let stack = |stack: &str| {
        let report = behind(
            &format!("rtt: [(0.5, \"200ms\")], stack: {stack}"),
            "",
            "Publish(topic: \"up/x\", from: \"20s\", every: \"20s\", pattern: InStep, size: 60)",
            "",
            "At(\"119s\", Cut(group: \"device\", lasts: \"1100ms\"))",
        );
        report.groups[1].latency[0].quantiles.max.unwrap_or(0.0)
    };
    let [linux, rfc, lwip] = ["Linux", "Rfc6298", "Lwip"].map(stack);
    // A probe after two round trips and a delayed acknowledgement; RFC 6298 waits a second, never less; lwIP counts in
    // half-seconds, of which it has three after a round trip of 200 ms.
    assert!((0.5..0.9).contains(&linux), "{linux}");
    assert!((1.09..1.12).contains(&rfc), "{rfc}");
    assert!((1.1..2.2).contains(&lwip) && lwip > rfc, "{lwip}");
}

#[test]
fn each_stack_opens_a_connection_again_in_its_own_time() {
    let opened = |stack: &str| {
        let cut = "At(\"9s\", Cut(group: \"device\", lasts: \"1500ms\"))";
        let report = behind(&format!("rtt: [(0.5, \"20ms\")], stack: {stack}"), "starts: At(\"10s\"),", "", "", cut);
        let point = report.series.points.iter().find(|point| point.connected == 2).expect("it connects");
        point.at + report.series.width
    };
    let (linux, lwip) = (opened("Linux"), opened("Lwip"));
    assert!((11.0..=15.0).contains(&linux), "{linux}");
    assert!(lwip > linux && lwip <= 16.0, "{lwip}");
}

//! Fleets in real time: they meet what they meet in virtual time, whatever plays them.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a run is interrupted after a while, and the haste of the machine is measured"
)]

use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::net::Papers;
use crate::served::Served;
use crate::tools;

/// The hub is there before anybody speaks, so that it reads every message.
const SCENARIO: &str = r#"Scenario(about: "live and virtual", lasts: "16s", calm: "6s",
    links: { "cell": Profile("lte-m"), "lossy": Link(delay: (mean: "80ms", jitter: "20ms"), loss: 0.02) },
    fleet: [
        (name: "hub", count: 1, does: [Listen(filter: "m/#", qos: 2), Listen(filter: "gone/+", qos: 1)]),
        (name: "meter", count: 40, link: "cell", starts: At("2s"), keep_alive: "20s",
         session: (clean_start: false, expiry: "1h"), will: (topic: "gone/{id}", qos: 1),
         does: [Publish(topic: "m/{id}", qos: 1, every: "1s", size: 100)]),
        (name: "sensor", count: 30, link: "lossy", version: V311, starts: At("2s"), does: [
            Publish(topic: "m/{id}", qos: 2, every: "2s"),
            Publish(topic: "m/{id}/quick", qos: 0, every: "1s"),
        ]),
    ],
    timeline: [At("6s", Cut(group: "meter", share: 0.3, lasts: "3s")), At("10s", Reset(group: "sensor", share: 0.3))],
    expect: [NoLoss(qos: 1), NoLoss(qos: 2), NoDuplicates(qos: 2), InOrder, WillsExact])"#;

/// What a message may take longer on sockets than in virtual time: it is woken for by the device's end, the broker and the
/// reader's end, and each of them may be late by a third of it.
const SLACK: f64 = 0.015;

/// How often a run is played because the machine had too much else to do for its latencies to say anything; and where it is
/// promised that all can be tested.
const TRIES: [usize; 2] = [3, 12];

fn command(folder: &tempfile::TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
    command.current_dir(folder).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn folder(scenario: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.ron"), scenario).expect("a scenario");
    folder
}

pub(crate) fn report(folder: &tempfile::TempDir, name: &str) -> Value {
    let text = fs::read_to_string(folder.path().join(name)).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn played(folder: &tempfile::TempDir, arguments: &[&str]) -> Output {
    command(folder, &[&["fleet", "a.ron"], arguments].concat()).output().expect("testament runs")
}

/// The accounts by who wrote to whom under which guarantee: what was sent, arrived, is missing, came again and behind.
fn accounts(report: &Value) -> Vec<(String, [u64; 5])> {
    let of = |entry: &Value| {
        let number = |field: &str| entry[field].as_u64().expect("a number");
        let name = format!("{} {} {} {}", entry["from"], entry["wills"], entry["to"], entry["guarantee"]);
        let sent = number("sent") + number("prior");
        (name, [sent, number("arrived"), number("lost"), number("repeated"), number("reordered")])
    };
    report["messages"].as_array().expect("accounts").iter().map(of).collect()
}

/// The latencies in the weather, by group and QoS: count, p50, p90 and p99.
fn latencies(report: &Value) -> Vec<(String, [f64; 4])> {
    let mut found = Vec::new();
    for group in report["groups"].as_array().expect("groups") {
        for latency in group["latency"].as_array().expect("latencies") {
            if latency["phase"] == "Weather" {
                let number = |field: &str| latency[field].as_f64().expect("a number");
                let name = format!("{} at QoS {}", group["name"], latency["qos"]);
                found.push((name, ["count", "p50", "p90", "p99"].map(number)));
            }
        }
    }
    found
}

#[test]
fn live_runs_agree_with_virtual_ones_in_ledger_and_latencies() {
    let folder = folder(SCENARIO);
    let virtually = played(&folder, &["--json", "virtual.json"]);
    assert_eq!(virtually.status.code(), Some(0), "{}", said(&virtually));
    let expected = report(&folder, "virtual.json");
    let mut lags = Vec::new();
    let needed = std::env::var("TESTAMENT_NEEDS_ALL").is_ok();
    for _ in 0..TRIES[usize::from(needed)] {
        let (live, lag) = Lag::during(|| played(&folder, &["--live", "--json", "live.json"]));
        let found = report(&folder, "live.json");
        // What was confirmed, arrived and came twice does not hang on the hurry of the machine.
        assert_eq!(live.status.code(), Some(0), "{}", said(&live));
        ledgers_agree(&expected, &found);
        let late = found["run"]["live"]["late"]["p99"].as_f64().expect("how late it was");
        if lag.is_little() && late <= SLACK / 3.0 {
            let apart = latencies_apart(&expected, &found);
            assert!(apart.is_empty(), "{lag:?}, and the generator was {late} s late: {apart:#?}");
            return;
        }
        lags.push((lag, late));
    }
    assert!(!needed, "this machine was never quiet enough: {lags:#?}");
    println!("skipped: needs a machine that wakes its sleepers in time; {lags:?}");
}

/// How much later than asked for this machine wakes a thread that sleeps for a millisecond, in seconds: so late may whoever
/// waits for a socket be, the broker and the kernel's timers among them.
#[derive(Debug)]
struct Lag {
    p99: f64,
    p999: f64,
}

impl Lag {
    /// What `work` came to, and the lag meanwhile.
    fn during<T>(work: impl FnOnce() -> T) -> (T, Self) {
        const NAP: Duration = Duration::from_millis(1);
        let over = AtomicBool::new(false);
        let (done, mut lags) = thread::scope(|scope| {
            let naps = scope.spawn(|| {
                let mut lags = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    thread::sleep(NAP);
                    lags.push(began.elapsed().saturating_sub(NAP).as_secs_f64());
                }
                lags
            });
            let done = work();
            over.store(true, Ordering::Relaxed);
            (done, naps.join().expect("it only slept"))
        });
        lags.sort_by(f64::total_cmp);
        let quantile = |share: f64| lags.get((lags.len() as f64 * share) as usize).copied().unwrap_or(f64::INFINITY);
        (done, Self { p99: quantile(0.99), p999: quantile(0.999) })
    }

    /// Whether so little of it is there that the latencies of a run are those of its links.
    fn is_little(&self) -> bool {
        self.p99 <= SLACK / 3.0 && self.p999 <= SLACK
    }
}

fn ledgers_agree(expected: &Value, found: &Value) {
    let (expected, found) = (accounts(expected), accounts(found));
    assert_eq!(expected.len(), found.len());
    for ((name, expected), (_, found)) in expected.iter().zip(&found) {
        assert_eq!(found[2..], expected[2..], "{name}: missing, again, behind");
        if name.contains("true") {
            assert_eq!(found[1], expected[1], "{name}: wills that came");
            continue;
        }
        // What was reset while it was on its way is lost at QoS 0, and a few milliseconds decide what that is.
        for (found, expected) in found[..2].iter().zip(&expected[..2]) {
            assert!(found.abs_diff(*expected) * 50 <= *expected, "{name}: {found}, and in virtual time {expected}");
        }
    }
}

/// Which quantiles lie further apart than they may.
fn latencies_apart(expected: &Value, found: &Value) -> Vec<String> {
    let mut apart = Vec::new();
    for ((name, expected), (_, found)) in latencies(expected).iter().zip(&latencies(found)) {
        let shares = [("p50", 0.1), ("p90", 0.15), ("p99", 0.3)];
        for ((quantile, share), (expected, found)) in shares.iter().zip(expected[1..].iter().zip(&found[1..])) {
            let (low, high) = (expected * (1.0 - share) - 0.005, expected * (1.0 + share) + SLACK);
            if !(low..=high).contains(found) {
                apart.push(format!("{name}, {quantile}: {found} s, and in virtual time {expected} s"));
            }
        }
    }
    apart
}

pub(crate) const SHORT: &str = r#"Scenario(about: "a short one", lasts: "4s", calm: "3s", fleet: [
        (name: "hub", count: 2, does: [Listen(filter: "m/+", qos: 1)]),
        (name: "meter", count: 20, starts: At("1s"), does: [Publish(topic: "m/{id}", qos: 1, every: "500ms")]),
    ],
    timeline: [],
    expect: [NoLoss(qos: 1), InOrder, SessionsTrue, Delivered(share: 0.9, qos: 1)])"#;

#[test]
fn several_processes_play_one_fleet_and_their_books_join() {
    let folder = folder(SHORT);
    let live = played(&folder, &["--live", "--workers", "3", "--json", "a.json"]);
    assert_eq!(live.status.code(), Some(0), "{}", said(&live));
    let report = report(&folder, "a.json");
    assert_eq!(report["run"]["processes"], 3);
    // Both hubs read all meters, in whichever process they are.
    let [(_, [sent, arrived, ..])] = &accounts(&report)[..] else { panic!("one pair of groups") };
    assert!(*sent >= 200 && sent == arrived, "{sent} sent, {arrived} arrived");
}

#[test]
fn a_restart_that_forgets_is_played_and_devices_of_tls_are_there() {
    let restarts = SHORT
        .replace("timeline: []", "timeline: [At(\"2s\", Restart(node: \"broker\", lasts: \"500ms\"))]")
        .replace("count: 20", "count: 20, tls: true, session: (clean_start: false, expiry: \"1h\")");
    let folder = folder(&restarts);
    let live = played(&folder, &["--live", "--json", "a.json"]);
    assert_eq!(live.status.code(), Some(0), "{}", said(&live));
    let report = report(&folder, "a.json");
    let meters = &report["groups"][1];
    assert!(meters["connected"].as_u64() >= Some(40) && meters["lost"].as_u64() >= Some(20), "{meters}");
    assert_eq!(meters["resumed"], 0);
}

#[test]
fn devices_come_by_tls_and_by_websocket() {
    const MANY: &str = r#"Scenario(about: "many", lasts: "3s", calm: "3s", links: { "near": Link(delay: (mean: "10ms")) }, fleet: [
            (name: "hub", count: 1, does: [Listen(filter: "m/+", qos: 1)]),
            (name: "meter", count: 150, link: "near", starts: Ramp("1s"), does: [Publish(topic: "m/{id}", qos: 1, every: "500ms")]),
        ],
        expect: [NoLoss(qos: 1), ReconnectedWithin("1s"), Delivered(share: 1.0, qos: 1)])"#;
    let papers = Papers::new();
    let [cert, key, authority] =
        ["server.pem", "server.key", "ca.pem"].map(|name| papers.file(name).to_string_lossy().into_owned());
    for listen in ["mqtts://localhost:0", "ws://localhost:0/here", "wss://localhost:0"] {
        let served = Served::new(&["--listen", listen, "--cert", &cert, "--key", &key]);
        let folder = folder(MANY);
        let live = played(&folder, &["--target", &served.url, "--cafile", &authority, "--json", "a.json"]);
        assert_eq!(live.status.code(), Some(0), "{listen}: {}", said(&live));
        let report = report(&folder, "a.json");
        let meters = &report["groups"][1];
        assert_eq!(
            (&meters["connected"], &meters["failed"]),
            (&Value::from(150), &Value::from(0)),
            "{listen}: {meters}"
        );
        let [(_, [sent, arrived, ..])] = &accounts(&report)[..] else { panic!("one pair of groups") };
        assert!(*sent >= 300 && sent <= arrived, "{listen}: {sent} sent, {arrived} arrived");
    }
}

#[test]
fn a_late_subscriber_tells_what_a_live_target_has_retained() {
    let retains = SHORT
        .replace("every: \"500ms\"", "every: \"500ms\", retain: true")
        .replace("[NoLoss", "[RetainedExact, NoLoss");
    let served = Served::new(&["--listen", "mqtt://127.0.0.1:0"]);
    for workers in ["1", "2"] {
        let folder = folder(&retains);
        let run = ["fleet", "a.ron", "--target", &served.url, "--workers", workers, "--json", "a.json"];
        let child = command(&folder, &run).spawn().expect("testament runs");
        // In the calm nobody writes any more, and somebody else takes one of the messages away.
        thread::sleep(Duration::from_secs(6));
        let taken = command(&folder, &["pub", "-L", &format!("{}/m/meter-7", served.url), "-r", "-n"]).output();
        assert!(taken.expect("testament runs").status.success());
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
        let report = report(&folder, "a.json");
        let Value::Object(retained) = &report["retained"] else { panic!("nobody asked: {}", said(&ended)) };
        assert_eq!((&retained["right"], &retained["missing"], &retained["wrong"]), (&19.into(), &1.into(), &0.into()));
        assert_eq!(retained["examples"][0][0], "m/meter-7");
    }
}

/// Mosquitto passes a message on with PUBREL. If that is lost with its connection and the session ends, the message is gone.
#[test]
fn what_a_server_may_forget_with_the_session_of_its_writer_is_not_owed() {
    const TORN: &str = r#"Scenario(about: "torn", lasts: "6s", calm: "4s", links: { "far": Link(delay: (mean: "100ms")) }, fleet: [
            (name: "hub", count: 1, does: [Listen(filter: "m/+", qos: 2)]),
            (name: "meter", count: 40, link: "far", starts: At("1s"), does: [Publish(topic: "m/{id}", qos: 2, every: "200ms")]),
        ],
        timeline: [At("3s", Reset(group: "meter")), At("5s", Reset(group: "meter"))],
        expect: [NoLoss(qos: 2), NoDuplicates(qos: 2), InOrder])"#;
    if !tools::finds("mosquitto") {
        println!("skipped: needs mosquitto");
        return;
    }
    let folder = folder(TORN);
    let live = played(&folder, &["--target", "mosquitto", "--json", "a.json"]);
    assert_eq!(live.status.code(), Some(0), "{}", said(&live));
    let report = report(&folder, "a.json");
    let books = &report["messages"][0];
    assert!(books["owed"].as_u64() >= Some(400) && books["unowed"].as_u64() > Some(0), "{books}");
}

#[test]
fn whoever_interrupts_a_run_gets_what_was_done() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    for workers in ["1", "2"] {
        let folder = folder(&SHORT.replace("lasts: \"4s\"", "lasts: \"10m\""));
        let mut command = command(&folder, &["fleet", "a.ron", "--live", "--workers", workers, "--json", "a.json"]);
        let child = command.spawn().expect("testament runs");
        thread::sleep(Duration::from_secs(6));
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it runs");
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(130), "{}", said(&ended));
        // What was in store for later is not told as if it had happened, nor judged.
        let said = said(&ended);
        assert!(said.contains("interrupted after") && said.contains("Nothing is judged"), "{said}");
        assert!(!said.contains("the calm begins"), "{said}");
        let report = report(&folder, "a.json");
        assert!(report["run"]["interrupted"].as_f64() > Some(0.1));
        assert_eq!(report["expectations"].as_array().map(Vec::len), Some(0));
    }
}

#[test]
fn whoever_interrupts_a_run_that_has_not_begun_need_not_wait_for_it() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let folder = folder(SHORT);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later");
    let begin = (now.as_secs() + 600).to_string();
    let arguments = ["fleet", "a.ron", "--live", "--begin", &begin, "--json", "a.json", "--html", "a.html"];
    let child = command(&folder, &arguments).spawn().expect("testament runs");
    thread::sleep(Duration::from_secs(6));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it runs");
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(130), "{}", said(&ended));
    assert!(now.as_secs() + 300 > std::time::UNIX_EPOCH.elapsed().expect("it is later").as_secs());
    assert_eq!(report(&folder, "a.json")["expectations"].as_array().map(Vec::len), Some(0));
}

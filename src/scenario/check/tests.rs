//! Good and bad scenarios, and what is said of them.

use harness::link::Profile;

use super::*;
use crate::scenario::plan::{Duty, Jitter, Pace, Starts};

const LIFTS: &str = include_str!("../../../scenarios/cell-outage.ron");

fn profiles() -> Vec<(&'static str, Profile)> {
    vec![("lte-m", Profile::constant(Duration::from_millis(120)))]
}

/// Writes `new` instead of the first `old` in the lifts' scenario, and expects these problems and no others.
fn mended(old: &str, new: &str, expect: &[&str]) {
    assert!(LIFTS.contains(old), "{old}");
    let text = LIFTS.replacen(old, new, 1);
    let problems = check(&text, &profiles()).err().unwrap_or_default();
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), expect.len(), "{old} -> {new}: {problems:#?}");
    for (problem, expect) in problems.iter().zip(expect) {
        assert!(problem.contains(expect), "{old} -> {new}: {problem}");
    }
}

#[test]
fn a_good_scenario_becomes_a_plan() {
    let plan = check(LIFTS, &profiles()).expect("the lifts are legal");
    assert_eq!((plan.seed, plan.lasts.as_secs(), plan.calm.as_secs(), plan.devices()), (20_261_122, 900, 120, 402));
    let lifts = &plan.groups[0];
    assert_eq!((lifts.keep_alive, lifts.session_expiry, lifts.clean_start), (60, 3600, false));
    assert_eq!(lifts.starts, Starts::Ramp(Duration::from_secs(30)));
    assert!(matches!(&lifts.does[0], Duty::Publish(publish) if publish.pace == Pace::Steady(Duration::from_secs(10))));
    assert_eq!(plan.timeline.iter().map(|moment| moment.at.as_secs()).collect::<Vec<_>>(), [300, 390]);
    assert_eq!(plan.expect.len(), 9);
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    mended("about:", "abaut:", &["5:5: "]);
    mended("lasts: \"15m\"", "lasts: 15", &["7:12: "]);
    mended("Scenario(", "Scenario((", &[""]);
    mended("every: \"10s\"", "every: 10", &["spans of time too, stand in double quotes"]);
    mended("qos: 1, every", "qos: \"1\", every", &["a whole number without quotes"]);
    mended("count: 400", "count: -1", &["a whole number from 0 up"]);
    mended("version: V5", "version: \"V5\"", &["a word without quotes"]);
    mended("count: 400,", "count: 400", &["a comma is missing before it"]);
    mended("    lasts: \"15m\",\n", "", &["`lasts`"]);
}

#[test]
fn misspelt_names_are_told_with_what_was_meant_and_all_at_once() {
    mended(
        "keep_alive: \"60s\"",
        "keepalive: \"60s\"",
        &["10:63: there is no field `keepalive` here; perhaps you mean `keep_alive`;"],
    );
    mended("starts: Ramp(\"30s\")", "starts: \"5m\"", &["10:90: write Ramp(\"5m\") if they come up over that span"]);
    mended(
        "reconnect: (first: \"1s\", max: \"30s\", jitter: Full)",
        "reconnect: \"aws-ios\"",
        &["write (like: \"aws-ios\")"],
    );
    mended("Profile(\"lte-m\")", "\"lte-m\"", &["write Profile(\"lte-m\")"]);
    mended("InOrder", "InOrder()", &["this takes no brackets"]);
    mended("NoLoss(qos: 1)", "NoLoss", &["brackets are missing here"]);
    // What a misspelt name belongs to is judged all the same, and what follows in its line stands where its writer has it.
    mended(
        "keep_alive: \"60s\", starts: Ramp(\"30s\")",
        "keepalive: \"60.5s\", starts: Ramp(30)",
        &[
            "10:63: there is no field `keepalive`",
            "10:74: `60.5s` is not a whole number",
            "10:96: text, and spans of time too",
        ],
    );
    let text = LIFTS
        .replace("abou", "abuo")
        .replace("Publish(topic: \"lift", "Publsh(topic: \"lift")
        .replace("version: V311", "versoin: V311")
        .replace("Cut(group", "Cut(grup")
        .replace("WillsExact", "WillExact")
        .replace("p: 100, below: \"2m\"", "p: 101, below: \"2\"");
    let problems = check(&text, &profiles()).expect_err("seven problems");
    let places: Vec<_> = problems.iter().map(|problem| problem.place.to_string()).collect();
    assert_eq!(places, ["5:5", "14:13", "17:55", "24:22", "28:72", "29:75", "29:87"], "{problems:#?}");
}

/// Each word of the text that stands in no comment and no string: the byte where it begins, and the word.
fn words(text: &str) -> Vec<(usize, &str)> {
    let (mut words, mut before) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        let code = line.split("//").next().unwrap_or_default();
        let mut at = before;
        for (nth, piece) in code.split('"').enumerate() {
            let mut begin = at;
            for word in piece.split(|c: char| !c.is_alphanumeric() && c != '_') {
                if nth % 2 == 0 && word.len() > 1 && word.starts_with(char::is_alphabetic) {
                    words.push((begin, word));
                }
                begin += word.len() + 1;
            }
            at += piece.len() + 1;
        }
        before += line.len();
    }
    words
}

#[test]
fn a_slip_of_the_pen_is_told_once_wherever_it_is() {
    let words = words(LIFTS);
    assert_eq!((words.len(), words[0].1, words[84].1), (85, "Scenario", "below"), "{words:?}");
    let told = |slips: &[(usize, &str)], written: fn(&str) -> String| {
        let mut text = LIFTS.to_owned();
        for (at, word) in slips.iter().rev() {
            text.replace_range(*at..at + word.len(), &written(word));
        }
        let problems = check(&text, &profiles()).expect_err("a slip of the pen");
        assert_eq!(problems.len(), slips.len(), "{slips:?}: {problems:#?}");
        for ((at, _), problem) in slips.iter().zip(&problems) {
            assert_eq!(problem.place.line as usize, LIFTS[..*at].matches('\n').count() + 1, "{slips:?}: {problem}");
        }
    };
    for pair in words.windows(2) {
        // A letter too many, or another word altogether.
        told(&pair[..1], |word| format!("{word}x"));
        told(&pair[..1], |_| "nonsense".to_owned());
        // The name of the whole is nothing that could be mended.
        if pair[0].1 != "Scenario" {
            told(pair, |word| format!("{word}x"));
        }
    }
}

#[test]
fn what_cannot_be_mended_is_left_out_and_brings_up_nothing_else() {
    // A group without which there would be no such group elsewhere, and a link that others use.
    let text = LIFTS
        .replace("name: \"lift\"", "name: [1]")
        .replace("Link(delay: (mean: \"200us\", jitter: \"1ms\"))", "Rope(5)")
        .replace("version: V311", "version: Old")
        .replace("seed: 20261122", "seed: twenty")
        .replace("Heal(group: \"lift\")", "Heal(whom: \"lift\")");
    let problems = check(&text, &profiles()).expect_err("five problems");
    let places: Vec<_> = problems.iter().map(|problem| problem.place.to_string()).collect();
    assert_eq!(places, ["6:11", "8:47", "10:16", "17:64", "25:25"], "{problems:#?}");
    mended("group: \"lift\", share: 1.0", "share: 2.0", &["24:32: `group` is missing"]);
}

#[test]
fn every_problem_is_told_at_once_in_order() {
    let text = LIFTS.replace("\"15m\"", "\"15\"").replace("qos: 1", "qos: 3").replace("\"lte-m\"", "\"lte-n\"");
    let problems = check(&text, &profiles()).expect_err("seven problems");
    let lines: Vec<_> = problems.iter().map(|problem| problem.place.line).collect();
    assert_eq!(lines, [7, 8, 11, 14, 18, 19, 28], "{problems:#?}");
}

#[test]
fn spans_need_units_and_limits() {
    mended("\"15m\"", "\"15\"", &["7:12: `15` has no unit; write 250ms, 30s, 5m or 2h"]);
    mended("\"15m\"", "\"32d\"", &["`32d` is too long; write 31d or less"]);
    mended("keep_alive: \"60s\"", "keep_alive: \"60.5s\"", &["whole number of seconds"]);
    mended("keep_alive: \"60s\"", "keep_alive: \"65536s\"", &["too long; write 65535s or less"]);
    mended("every: \"10s\"", "every: \"0s\"", &["too short"]);
    mended("At(\"5m\"", "At(\"16m\"", &["too long"]);
}

#[test]
fn names_that_lead_nowhere_are_told_with_those_that_do() {
    mended("Profile(\"lte-m\")", "Profile(\"lte\")", &["there is no link profile `lte`; there are lte-m"]);
    mended(
        "link: \"cell\"",
        "link: \"sell\"",
        &["there is no link `sell`; perhaps you mean `cell`; there are cell, lan"],
    );
    mended(
        "Heal(group: \"lift\")",
        "Heal(group: \"lifts\")",
        &["there is no group `lifts`; perhaps you mean `lift`; there are lift, control-room"],
    );
    mended("name: \"control-room\"", "name: \"lift\"", &["is the name of another group"]);
    mended("reconnect: (first", "reconnect: (like: \"ios\", first", &["there are no-back-off"]);
}

#[test]
fn topics_filters_and_templates_are_judged_as_a_broker_would() {
    mended("lift/{id}/state\", qos", "lift/+/state\", qos", &["is no topic"]);
    mended("lift/+/state\", qos", "lift/a+/state\", qos", &["is no topic filter"]);
    mended("lift/{id}/alive", "lift/{ids}/alive", &["`{ids}` is no gap", "is no topic"]);
    mended("command/+", "lift/{target}/command", &["a gap that nothing fills here"]);
    mended("keep_alive: \"60s\"", "client_id: \"x\"", &["one client identifier; put {n} into it"]);
}

#[test]
fn what_a_version_cannot_say_is_told() {
    mended("link: \"cell\", version: V5", "link: \"cell\", version: V311", &["only 5.0 has session expiry"]);
    let long = "version: V31, client_id: \"a-very-long-identifier-{n}\"";
    mended("version: V311", long, &["3.1 allows 23"]);
    mended("version: V311, keep_alive", "version: V311, password: \"p\", keep_alive", &["needs a user name"]);
}

#[test]
fn numbers_have_ranges() {
    mended("count: 400", "count: 0", &["0 is out of range; write 1 to 1000000"]);
    mended("count: 400", "count: 1000000", &["there are 1000002 devices in all"]);
    mended("share: 1.0", "share: 1.1", &["1.1 is no share"]);
    mended("size: 180", "size: 15", &["the tag by which the ledger knows a message takes 16"]);
    mended("size: 180", "size: 16", &[]);
    mended("p: 85", "p: 0", &["0 is no percentile"]);
    mended("qos: 2)", "qos: 3)", &["there is no QoS 3"]);
    mended("max: \"30s\"", "max: \"500ms\"", &["shorter than the first"]);
}

#[test]
fn a_link_changes_what_it_is_like() {
    let text = LIFTS.replace("Profile(\"lte-m\")", "Link(like: \"lte-m\", loss: 0.25, kbit: 9, nat: \"30m\")");
    let plan = check(&text, &profiles()).expect("a legal scenario");
    let link = &plan.groups[0].link;
    assert_eq!((link.rtt.at(0.5).as_millis(), link.up.loss, link.down.kbit), (120, 0.25, 9));
    assert_eq!(link.nat.as_ref().map(|nat| nat.idle[0].1.0.as_secs()), Some(1800));
    mended("Profile(\"lte-m\")", "Link(nat: \"0s\")", &["`0s` is too short"]);
}

#[test]
fn links_sleep_and_networks_forget() {
    mended("Profile(\"lte-m\")", "Link(nat: \"5m\", nat_resets: true)", &[]);
    mended("Profile(\"lte-m\")", "Link(nat_resets: true)", &["nothing says when it forgets"]);
    mended("Profile(\"lte-m\")", "Link(sleep: Psm(after: \"16s\", cycle: \"1h\"))", &[]);
    mended("Profile(\"lte-m\")", "Link(sleep: Edrx(after: \"16\", cycle: \"1s\"))", &["no unit"]);
    mended("Profile(\"lte-m\")", "Link(sleep: Edrx(after: \"16s\", cycle: \"0s\"))", &["`0s` is too short; write 1ms"]);
}

#[test]
fn a_region_is_one_of_those_that_are_named() {
    let regions = "lasts: \"15m\", regions: { \"valley\": (every: \"10m\", lasts: \"1m\") }";
    let text = LIFTS.replace("lasts: \"15m\"", regions);
    let in_region = |name: &str| text.replace("link: \"cell\"", &format!("link: \"cell\", region: \"{name}\""));
    let plan = check(&in_region("valley"), &profiles()).expect("a legal scenario");
    assert_eq!(plan.groups[0].region.as_ref().map(|(name, _)| name.as_str()), Some("valley"));
    let problems = check(&in_region("hills"), &profiles()).expect_err("there is none");
    assert!(problems[0].why.contains("there is no region `hills`; there are valley"), "{problems:?}");
    mended(
        "link: \"cell\"",
        "link: \"cell\", region: \"hills\"",
        &["there is no region `hills`; write regions: { \"hills\": (every: \"30m\", lasts: \"90s\") } at the top"],
    );
    let bad = text.replace("every: \"10m\", lasts", "every: \"0s\", lasts");
    assert_eq!(check(&bad, &profiles()).expect_err("too short").len(), 1);
}

#[test]
fn clones_only_publish() {
    mended("count: 400", "count: 400, clones: 2", &["let them only publish"]);
    mended("count: 2,", "count: 2, clones: 0,", &["0 is out of range"]);
}

#[test]
fn faults_say_what_they_need() {
    let cut = "Cut(group: \"lift\", share: 1.0)";
    let good = [
        "Cut(group: \"lift\", only: Up)",
        "Reset(group: \"lift\")",
        "Reset(group: \"lift\", after: 37, only: Down)",
        "HalfOpen(group: \"lift\", share: 0.5)",
        "Handover(group: \"lift\", lasts: \"2s\")",
        "Slow(group: \"lift\", reads: 0, lasts: \"30s\")",
        "Dribble(group: \"lift\", lasts: \"30s\")",
    ];
    good.iter().for_each(|good| mended(cut, good, &[]));
    mended(cut, "Reset(group: \"lift\", only: Down)", &["a reset at once ends both ways"]);
    mended(cut, "Reset(group: \"lift\", after: 0)", &["0 is out of range"]);
    mended(cut, "Handover(group: \"lift\", lasts: \"61s\")", &["too long; write 1m or less"]);
    mended(cut, "Handover(group: \"lift\")", &[""]);
    mended(cut, "Slow(group: \"lift\", reads: 4294967296)", &["out of range"]);
}

#[test]
fn filters_of_one_device_do_not_overlap() {
    let both = |other: &str| {
        format!("Listen(filter: \"{other}\", qos: 1),\n            Listen(filter: \"lift/+/state\", qos: 1)")
    };
    for (other, overlaps) in [
        ("lift/+/state", true),
        ("lift/#", true),
        ("#", true),
        ("+/x/+", true),
        ("lift/+/state/#", true),
        ("lift/+/command", false),
        ("lift/+", false),
        ("lift/+/state/more", false),
    ] {
        let expect: &[&str] = if overlaps { &["of one device overlap"] } else { &[] };
        let alone = LIFTS.replace("            Listen(filter: \"lift/+/alive\", qos: 1),\n", "");
        let text = alone.replacen("Listen(filter: \"lift/+/state\", qos: 1)", &both(other), 1);
        let problems = check(&text, &profiles()).err().unwrap_or_default();
        assert_eq!(problems.len(), expect.len(), "{other}: {problems:?}");
    }
}

#[test]
fn a_group_shares_a_subscription_as_a_whole() {
    let listen = "Listen(filter: \"command/+\", qos: 2)";
    mended(listen, "Listen(filter: \"$share/g/lift/+/command\", qos: 2)", &[]);
    mended(listen, "Listen(filter: \"$share/g/lift/{id}/command\", qos: 2)", &["has no gaps"]);
    mended(listen, "Listen(filter: \"$share/+/x\", qos: 2)", &["a share name has"]);
    mended(listen, "Answer(filter: \"$share/g/x\", topic: \"y\")", &["is that of a Listen"]);
    let other = "Listen(filter: \"lift/+/state\", qos: 1)";
    mended(other, "Listen(filter: \"$share/g/lift/+/state\", qos: 1)", &["only 5.0 has shared subscriptions"]);
    let twice = LIFTS.replace("V311", "V5").replace(listen, "Listen(filter: \"$share/g/x\")");
    let problems =
        check(&twice.replace(other, "Listen(filter: \"$share/g/x\")"), &profiles()).expect_err("shared twice");
    assert!(problems[0].why.contains("`lift` shares this subscription"), "{problems:?}");
}

#[test]
fn no_two_groups_have_devices_of_one_name() {
    mended("version: V311", "version: V311, client_id: \"lift-{n}\"", &["`lift-0` is a device of `lift` too"]);
}

/// Each kind of nonsense in place of one span, number, text or bracket: told with its place, and without a panic.
#[test]
fn nonsense_of_every_kind_is_told() {
    mended("share: 1.0", "share: NaN", &["NaN is no share"]);
    mended("share: 1.0", "share: inf", &["inf is no share"]);
    mended("share: 1.0", "share: -0.1", &["-0.1 is no share"]);
    mended("p: 85", "p: NaN", &["NaN is no percentile"]);
    mended("p: 85", "p: 100.1", &["100.1 is no percentile"]);
    mended("Ramp(\"30s\")", "Arrivals(NaN)", &["NaN arrivals"]);
    mended("Ramp(\"30s\")", "Arrivals(0.0)", &["0 arrivals"]);
    mended("Ramp(\"30s\")", "Ramp(\"16m\")", &["too long"]);
    mended("size: 180", "size: 180, day: (peak: 25.0, night: 0.5)", &["peak is an hour"]);
    mended("size: 180", "size: 180, day: (peak: NaN, night: 0.5)", &["peak is an hour"]);
    mended("keep_alive: \"60s\"", "clock_drift_ppm: NaN", &["a clock goes wrong"]);
    mended("size: 180", "size: 1048577", &["out of range"]);
    mended("size: 180", "size: 100, size_to: 99", &["99 is less than size"]);
    mended("size: 180", "size: 180, times: 0", &["out of range"]);
    for huge in ["18446744073709551615", "1000001"] {
        mended("count: 400", &format!("count: {huge}"), &["devices in all", "out of range"]);
    }
}

#[test]
fn a_payload_holds_numbers_that_json_can_hold() {
    let told = |field: &str, expect: &[&str]| {
        mended("size: 180", &format!("size: 180, payload: Json({{ \"x\": {field} }})"), expect);
    };
    told("Counter(from: NaN)", &["NaN is no number that JSON can hold"]);
    told("Counter(step: inf)", &["inf is no number"]);
    told("Counter(from: -1e100)", &[]);
    told("Counter(from: -1.1e100)", &["is no number"]);
    told("Sine(mean: inf, amplitude: 1.0, period: \"1m\")", &["inf is no number"]);
    told("Sine(mean: 1.0, amplitude: NaN, period: \"1m\")", &["NaN is no number"]);
    told("Walk(from: 1.0, step: inf, min: 0.0, max: 2.0)", &["inf is no number"]);
}

#[test]
fn a_fleet_makes_no_more_messages_than_a_run_can_count() {
    // 400 lifts and 15 minutes, besides the state that the lifts tell every ten seconds.
    let burst = |count: u32| format!("every: \"10s\", pattern: Burst(count: {count})");
    mended("every: \"10s\"", "every: \"1ms\"", &[]);
    let days = |text: &str| text.replace("\"15m\"", "\"31d\"").replace("count: 400", "count: 100000");
    let problems = |text: &str| check(text, &profiles()).err().unwrap_or_default();
    let many = problems(&days(&LIFTS.replace("every: \"10s\"", "every: \"1s\"")));
    assert!(
        many.iter().any(|it| it.why.contains("make about 3e11 messages; 1e10 at most, so raise every")),
        "{many:?}"
    );
    // 400 * 90 * 100,000 are 3.6e9.
    mended("every: \"10s\"", &burst(100_000), &[]);
    let more = problems(&LIFTS.replace("every: \"10s\"", &burst(100_000)).replace("count: 400", "count: 1200"));
    assert!(more.len() == 1 && more[0].why.contains("messages"), "{more:?}");
}

#[test]
fn devices_come_and_go_no_more_often_than_a_run_can_play() {
    let visits = |count: u32| {
        let text = LIFTS.replace("count: 400", &format!("count: {count}, duty_cycle: (on: \"1ms\", off: \"8ms\")"));
        check(&text, &profiles()).err().unwrap_or_default().iter().map(|it| it.why.clone()).collect::<Vec<_>>()
    };
    // 15 minutes are 100,000 cycles.
    assert_eq!(visits(10_000), [""; 0]);
    let many = visits(10_001);
    assert!(many.len() == 1 && many[0].contains("about 1e9 times; 1e9 at most, so lengthen on or off"), "{many:?}");
}

#[test]
fn contact_is_lost_no_more_often_than_can_be_drawn_in_advance() {
    // One begins every two milliseconds.
    let region = |every: &str, lasts: &str| {
        let text = LIFTS.replace(
            "    fleet: [",
            &format!("    regions: {{ \"r\": (every: \"{every}\", lasts: \"1ms\") }},\n    fleet: ["),
        );
        let text = text.replace("name: \"lift\",", "name: \"lift\", region: \"r\",").replace("lasts: \"15m\"", lasts);
        check(&text, &profiles()).err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(region("1ms", "lasts: \"5h\""), [""; 0]);
    let often = region("1ms", "lasts: \"6h\"");
    assert!(often.len() == 1 && often[0].contains("about 1e7 outages; 1e7 at most, so raise every"), "{often:?}");
    assert_eq!(region("1s", "lasts: \"31d\""), [""; 0]);
    let shared = |share: u32| {
        let link = "Link(outages: (every: Exponential(\"1ms\"), lasts: Exponential(\"8ms\")))";
        let text = LIFTS.replace("Profile(\"lte-m\")", link);
        let text = text.replace("count: 400", &format!("count: 400, share_outages: {share}"));
        check(&text, &profiles()).err().unwrap_or_default().len()
    };
    // 100,000 for each that share them.
    assert_eq!([1, 2, 3, 4, 5].map(shared), [0, 1, 1, 0, 0]);
}

#[test]
fn that_a_wait_is_not_drawn_is_said_and_not_left_out() {
    let jitter = |said: &str| {
        let text = LIFTS.replace("jitter: Full", said);
        check(&text, &profiles()).unwrap_or_else(|problems| panic!("{problems:#?}")).groups[0].reconnect.jitter
    };
    let drawn = ["jitter: None", "jitter: Half", "jitter: Full", "", "like: \"every-second\""].map(jitter);
    assert_eq!(drawn, [Jitter::None, Jitter::Half, Jitter::Full, Jitter::Full, Jitter::None]);
}

#[test]
fn a_bracket_too_few_or_too_many_is_told_with_its_place() {
    for (at, _) in LIFTS.match_indices(['(', ')', '[', ']', '{', '}', '"', ',']) {
        let comment = LIFTS[..at].lines().last().is_some_and(|line| line.starts_with("//"));
        let without = [&LIFTS[..at], &LIFTS[at + 1..]].concat();
        let twice = [&LIFTS[..at], &LIFTS[at..=at], &LIFTS[at..]].concat();
        for text in [without, twice] {
            let problems = check(&text, &profiles()).err().unwrap_or_default();
            assert!(comment || !problems.is_empty() || text.contains(",\n"), "{text}");
            assert!(problems.iter().all(|problem| problem.place.line > 0 && !problem.why.is_empty()));
        }
    }
    for end in (0..LIFTS.len()).filter(|&end| LIFTS.is_char_boundary(end)).step_by(7) {
        assert!(check(&LIFTS[..end], &profiles()).is_err(), "{end}");
    }
}

#[test]
fn limits_hold_for_what_is_large() {
    let big = "x".repeat(LARGEST_FILE + 1);
    assert!(check(&big, &profiles()).expect_err("too large")[0].why.contains("a scenario has 1048576 at most"));
    let deep = format!("Scenario(about: {}", "(".repeat(100_000));
    assert!(check(&deep, &profiles()).is_err());
    let many = |count: usize, one: &str| one.repeat(count);
    let timeline = many(MOST_MOMENTS, "At(\"1s\", Heal(group: \"lift\")), ");
    mended("At(\"5m\"", &format!("{timeline} At(\"5m\""), &["10002 things happen"]);
    let duties = many(MOST_DUTIES, "Publish(topic: \"t\", every: \"1s\"), ");
    mended("Listen(filter: \"command/+\"", &format!("{duties} Listen(filter: \"command/+\""), &["34 duties"]);
    let groups: String = (0..MOST_GROUPS).map(|n| format!("(name: \"x{n}\", count: 1), ")).collect();
    mended("(name: \"lift\"", &format!("{groups} (name: \"lift\""), &["66 groups"]);
}

#[test]
fn a_duty_says_how_often() {
    mended("every: \"10s\", ", "", &["nothing says how often"]);
    mended("every: \"10s\", ", "pattern: OnConnect, ", &[]);
    mended("every: \"10s\", ", "every: \"10s\", pattern: OnConnect, ", &["leave every out"]);
    mended("every: \"10s\"", "every: \"10s\", pattern: Burst(count: 11, spacing: \"1s\")", &["longer than its period"]);
    mended("every: \"10s\"", "every: \"10s\", pattern: Burst(count: 10, spacing: \"1s\")", &[]);
    mended("every: \"10s\"", "every: \"10s\", from: \"2m\", until: \"1m\"", &["begins after its end"]);
}

#[test]
fn an_answer_takes_no_more_levels_than_wildcards_match() {
    let answer =
        |topic: &str| format!("Answer(filter: \"q/+/x\", topic: \"{topic}\"), Listen(filter: \"lift/+/state\"");
    mended("Listen(filter: \"lift/+/state\"", &answer("a/{1}"), &[]);
    mended("Listen(filter: \"lift/+/state\"", &answer("a/{2}"), &["1 wildcards, so there is nothing for {2}"]);
}

#[test]
fn a_link_has_every_field_of_a_profile() {
    let link = |fields: &str| {
        let text = LIFTS.replace("Profile(\"lte-m\")", &format!("Link({fields})"));
        check(&text, &profiles()).unwrap_or_else(|problems| panic!("{problems:#?}")).groups[0].link.clone()
    };
    let told = |fields: &str, expect: &[&str]| mended("Profile(\"lte-m\")", &format!("Link({fields})"), expect);
    // A file that holds a profile is a link when `Link` stands before it.
    for (name, text) in crate::links::EMBEDDED {
        let (_, content) = text.split_once("\n(").expect("a profile");
        assert_eq!(Some(link(content.trim_end().strip_suffix(')').expect("a bracket"))), crate::links::named(name));
    }
    let one_way = link("like: \"lte-m\", loss: 0.5, up: (kbit: 20, queue: 3000)");
    assert_eq!((one_way.up.kbit, one_way.up.queue, one_way.up.loss, one_way.down.loss), (20, 3000, 0.5, 0.5));
    assert_eq!((one_way.down.kbit, one_way.rtt.at(0.5).as_millis()), (0, 120));
    // Each problem has its own place, and none hides another.
    let wrong =
        "\n  bursts: (good: Exponential(\"1\"),\n   bad: Exponential(\"1s\"), loss: 1.0),\n  mtu: 100,\n  stack: LwIp,";
    told(wrong, &["9:31: `1` has no unit", "11:8: 100 is outside 576", "12:10: "]);
    told("up: (kbit: 10000001)", &["out of range"]);
    told("up: (kbit: 10000000)", &[]);
    told("up: (kbit: 8, queue: 1399)", &["a queue of 1399 bytes never takes a packet of 1400"]);
    told("up: (kbit: 8, queue: 1400)", &[]);
    told("down: (loss: NaN)", &["NaN is no share"]);
    told("rtt: [(0.5, \"121s\")]", &["`121s` is too long; write 2m or less"]);
    told("delay: (mean: \"1s\"), jitter: \"1s\"", &["write delay, or these"]);
    told("gaps: (every: Pareto(\"1s\", NaN), lasts: Pareto(\"1s\", inf))", &["above 1", "above 1"]);
    told("gaps: (every: Exponential(\"32d\"), lasts: Lognormal(\"1s\", \"1s\"))", &["too long", "a lognormal needs"]);
    told("promotion: (idle: \"32d\", delay: [(0.5, \"61s\")])", &["too long", "too long"]);
    told("nat: (idle: [(NaN, \"5m\")])", &["a weight above zero"]);
    told("nat: (idle: [(1.0, \"5m\"), (-0.5, \"9m\")])", &["none below"]);
    told("nat: (idle: [(1.0, \"999ms\")], reset: true)", &["too short; write 1s or more"]);
    told("stack: Ideal, loss: 0.1", &["Ideal sends nothing again"]);
    told("stack: Ideal", &[]);
    told("like: \"mine.ron\"", &["write Link, and behind it what that file holds"]);
}

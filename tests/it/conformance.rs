//! The suite against the reference broker: all that is played passes, in virtual time and over sockets alike.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer, also outside the test function")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::tools;

/// Judges the reference broker with these options; gives the JSON report and the trace.
fn conform(options: &[&str]) -> (Value, String) {
    let dir = tempfile::tempdir().unwrap();
    let (json, trace) = (dir.path().join("report.json"), dir.path().join("trace.txt"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let output = Command::new(env!("CARGO_BIN_EXE_testament"))
        .args(["conform", "reference", "--json", &path(&json), "--trace", &path(&trace)])
        .args(options)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let report = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    (report, std::fs::read_to_string(trace).unwrap())
}

/// The report without the one field that differs between two runs in virtual time.
fn without_durations(mut report: Value) -> Value {
    for case in report["cases"].as_array_mut().unwrap() {
        case.as_object_mut().unwrap().remove("duration_ms").expect("each case has a duration");
    }
    report
}

/// Neither a Fail nor anything doubtful; a Skip only for one of `missing`; and as many cases and runs as promised.
#[track_caller]
fn check(report: &Value, missing: &[&str]) {
    let cases = report["cases"].as_array().unwrap();
    for case in cases {
        let fine = match case["verdict"].as_str().unwrap() {
            "pass" => true,
            "skip" => missing.contains(&case["why"].as_str().unwrap()),
            _ => false,
        };
        assert!(fine, "{case:#}");
    }
    let ids: BTreeSet<_> = cases.iter().map(|case| case["id"].as_str().unwrap()).collect();
    assert!(ids.len() >= 80 && cases.len() >= 150, "{} cases, {} runs", ids.len(), cases.len());
    let protocols: BTreeSet<_> = cases.iter().map(|case| case["protocol"].as_str().unwrap()).collect();
    assert_eq!(protocols, BTreeSet::from(["3.1", "3.1.1", "5.0"]));
}

/// What the reference broker, as it is set up for the suite, does not have.
const MISSING: &[&str] = &[
    "needs a server keep alive of 10 s or less",
    "needs a version that lets clients send before CONNACK",
    "needs client publishes to $ topics",
    "needs a target that refuses long client identifiers",
    "needs a target that requires a user name",
    "needs a target without QoS 2",
    "needs a target without retained messages",
    "needs a target without shared subscriptions",
    "needs a target without subscription identifiers",
    "needs a target without wildcard subscriptions",
    "needs a version whose SUBACK can refuse",
];

#[test]
fn the_reference_broker_conforms_in_virtual_time() {
    check(&conform(&[]).0, MISSING);
}

#[test]
fn the_reference_broker_conforms_over_loopback() {
    check(&conform(&["--live"]).0, MISSING);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let ((first, one), (second, other)) = (conform(&["--seed", "7", "--jobs", "1"]), conform(&["--seed", "7"]));
    assert!(one == other, "two traces of one seed differ");
    assert_eq!(without_durations(first), without_durations(second));
    // Client identifiers that the broker assigns are drawn, so another seed shows.
    let (_, another) = conform(&["--seed", "8"]);
    assert!(one != another, "the seed draws nothing");
    assert!(one.len() > 100_000, "the trace is a trace");
}

#[test]
fn a_case_plays_alone_as_in_company() {
    let (_, company) = conform(&["--seed", "7"]);
    let (_, alone) = conform(&["--seed", "7", "--case", "qos2/repeat-before-pubrel", "--protocol", "5.0"]);
    assert!(alone.starts_with("# qos2/repeat-before-pubrel 5.0 pass\n"), "{alone}");
    assert!(company.contains(&alone));
}

/// Judges Mosquitto as Debian packages it, and compares what it does not do right with what it is known not to do right.
/// `TESTAMENT_BLESS=1` writes the list anew; then read the difference line by line, for each line accuses somebody.
#[test]
fn mosquitto_deviates_as_known() {
    const KNOWN: &str = "fixtures/brokers/mosquitto-2.0.11.known";
    if !tools::has("mosquitto") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_testament"))
        .args(["conform", "mosquitto", "--json", json.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    if report["target"]["version"] != "2.0.11" {
        println!("skipped: needs mosquitto 2.0.11, not {}", report["target"]["version"]);
        return;
    }
    let word = |case: &Value, field: &str| case[field].as_str().unwrap().to_owned();
    let line = |case: &Value| format!("{} {} {}", word(case, "verdict"), word(case, "id"), word(case, "protocol"));
    let found: BTreeSet<_> = report["cases"].as_array().unwrap().iter().map(line).collect();
    let found: BTreeSet<_> =
        found.into_iter().filter(|line| !line.starts_with("pass ") && !line.starts_with("skip ")).collect();
    let known = std::fs::read_to_string(KNOWN).unwrap_or_default();
    let (comments, known): (Vec<_>, Vec<_>) = known.lines().partition(|line| line.starts_with('#'));
    #[expect(clippy::disallowed_methods, reason = "whoever runs the test decides")]
    if std::env::var("TESTAMENT_BLESS").is_ok() {
        let lines = comments.into_iter().map(ToOwned::to_owned).chain(found);
        std::fs::write(KNOWN, lines.map(|line| line + "\n").collect::<String>()).unwrap();
        return;
    }
    let known: BTreeSet<_> = known.into_iter().map(ToOwned::to_owned).collect();
    let new: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "new: {new:#?}\ngone: {gone:#?}");
}

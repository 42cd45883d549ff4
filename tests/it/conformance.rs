//! The suite against the reference broker: all that is played passes, in virtual time and over sockets alike.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

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

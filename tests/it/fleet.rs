//! `testament fleet` as a process: what it prints, what it writes, and how it ends.

use std::fs;
use std::process::{Command, Output};

const SCENARIO: &str = r#"Scenario(about: "one speaks, one hears", lasts: "1m", calm: "10s", links: { "far": Profile("lte-m") },
    fleet: [
        (name: "meter", count: 3, link: "far", does: [Publish(topic: "m/{id}", qos: 1, every: "10s")]),
        (name: "hub", count: 1, does: [Listen(filter: "m/+", qos: 1)]),
    ],
    expect: [NoLoss(qos: 1), Latency(p: 50, below: "10s")])"#;

fn fleet(scenario: &str, options: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.ron"), scenario).expect("a scenario");
    let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
    let output = command.current_dir(&folder).args(["fleet", "a.ron"]).args(options).output().expect("testament runs");
    (output, folder)
}

#[test]
fn expectations_decide_the_exit_code_and_the_report_repeats() {
    let (first, folder) = fleet(SCENARIO, &["--json", "a.json"]);
    let text = String::from_utf8_lossy(&first.stdout);
    assert_eq!(first.status.code(), Some(0), "{text}");
    assert!(text.contains("2 expectations, 0 broken"), "{text}");
    let json = |folder: &tempfile::TempDir| {
        let text = fs::read_to_string(folder.path().join("a.json")).expect("a report");
        let mut report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let run = report.as_object_mut().and_then(|report| report.remove("run")).expect("how the run went");
        assert!(run["wall"].as_f64() > Some(0.0));
        report
    };
    let (_, again) = fleet(SCENARIO, &["--json", "a.json"]);
    assert_eq!(json(&folder), json(&again));
    let (_, other) = fleet(SCENARIO, &["--json", "a.json", "--seed", "7"]);
    assert_ne!(json(&folder), json(&other));
    let (broken, _folder) = fleet(&SCENARIO.replace("below: \"10s\"", "below: \"1us\""), &[]);
    let text = String::from_utf8_lossy(&broken.stdout);
    assert_eq!(broken.status.code(), Some(1), "{text}");
    assert!(
        text.contains("BROKEN  50 % of messages") && text.contains("Again: testament fleet a.ron --seed 1"),
        "{text}"
    );
}

#[test]
fn problems_are_told_with_their_places() {
    let (good, _folder) = fleet(SCENARIO, &["--check"]);
    assert_eq!(good.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&good.stdout).contains("4 devices in 2 groups"));
    let (bad, _folder) = fleet(&SCENARIO.replace("qos: 1, every: \"10s\"", "qos: 3, every: \"10\""), &[]);
    let text = String::from_utf8_lossy(&bad.stderr);
    assert_eq!(bad.status.code(), Some(2), "{text}");
    assert!(
        text.contains("a.ron:3:") && text.contains("there is no QoS 3") && text.contains("`10` has no unit"),
        "{text}"
    );
}

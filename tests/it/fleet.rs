//! `testament fleet` as a process: what it prints, what it writes, and how it ends.

#![expect(clippy::disallowed_methods, reason = "a run is interrupted as soon as it listens")]

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SCENARIO: &str = r#"Scenario(about: "one speaks, one hears", lasts: "1m", calm: "10s", links: { "far": Profile("lte-m") },
    fleet: [
        (name: "meter", count: 3, link: "far", does: [Publish(topic: "m/{id}", qos: 1, every: "10s")]),
        (name: "hub", count: 1, does: [Listen(filter: "m/+", qos: 1)]),
    ],
    expect: [NoLoss(qos: 1), Latency(p: 50, below: "10s")])"#;

fn fleet(scenario: &str, options: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.ron"), scenario).expect("a scenario");
    (testament(&folder, &[&["fleet", "a.ron"], options].concat()), folder)
}

fn testament(folder: &tempfile::TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
    command.current_dir(folder).args(arguments).output().expect("testament runs")
}

/// The report in a file, without what does not repeat.
fn report(folder: &tempfile::TempDir, name: &str) -> serde_json::Value {
    let text = fs::read_to_string(folder.path().join(name)).expect("a report");
    let mut report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let run = report.as_object_mut().and_then(|report| report.remove("run")).expect("how the run went");
    assert!(run["wall"].as_f64() > Some(0.0));
    report
}

#[test]
fn expectations_decide_the_exit_code_and_the_report_repeats() {
    let (first, folder) = fleet(SCENARIO, &["--json", "a.json"]);
    let text = String::from_utf8_lossy(&first.stdout);
    assert_eq!(first.status.code(), Some(0), "{text}");
    assert!(text.contains("2 promises kept"), "{text}");
    let (_, again) = fleet(SCENARIO, &["--json", "a.json"]);
    assert_eq!(report(&folder, "a.json"), report(&again, "a.json"));
    let (_, other) = fleet(SCENARIO, &["--json", "a.json", "--seed", "7"]);
    assert_ne!(report(&folder, "a.json"), report(&other, "a.json"));
    let (broken, _folder) = fleet(&SCENARIO.replace("below: \"10s\"", "below: \"1us\""), &[]);
    let text = String::from_utf8_lossy(&broken.stdout);
    assert_eq!(broken.status.code(), Some(1), "{text}");
    assert!(
        text.contains("BROKEN    50 % of messages") && text.contains("again: testament fleet a.ron --seed 1"),
        "{text}"
    );
}

/// A month of it would take minutes. The reports are opened when the run can be interrupted.
#[test]
fn whoever_interrupts_a_run_in_virtual_time_gets_what_was_done() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.ron"), SCENARIO.replace("\"1m\"", "\"720h\"")).expect("a scenario");
    for (more, code) in [(&[][..], 130), (&["--shard", "0/1"], 0)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
        command.current_dir(&folder).args(["fleet", "a.ron", "--json", "a.json"]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("testament runs");
        while !folder.path().join("a.json").exists() {
            assert!(child.try_wait().expect("it can be asked").is_none(), "it ended before it began");
            thread::sleep(Duration::from_millis(10));
        }
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it runs");
        let ended = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(ended.status.code(), Some(code), "{text}");
        let file = fs::read_to_string(folder.path().join("a.json")).expect("a report");
        let report: serde_json::Value = serde_json::from_str(&file).expect("JSON");
        let second = report["run"]["interrupted"].as_f64();
        assert!(second.is_some_and(|second| second < 2_592_000.0), "{}", report["run"]);
        if more.is_empty() {
            assert!(text.contains("interrupted after") && text.contains("Nothing is judged"), "{text}");
            assert_eq!(report["expectations"].as_array().map(Vec::len), Some(0));
        }
        fs::remove_file(folder.path().join("a.json")).expect("it was there");
    }
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
    let (unheard, _folder) = fleet(&SCENARIO.replacen("filter: \"", "filter: \"x", 1), &["--check"]);
    let text = String::from_utf8_lossy(&unheard.stderr);
    assert_eq!(unheard.status.code(), Some(0), "{text}");
    assert!(text.starts_with("a.ron:") && text.contains(": warning: nobody in the fleet writes to `x"), "{text}");
}

#[test]
fn who_is_back_has_recovered_and_what_comes_later_is_another_story() {
    let restarts = |reset: u32, within: u32| {
        format!(
            r#"Scenario(about: "a restart, and a reset", lasts: "1m", calm: "1m",
            fleet: [(name: "meter", count: 3, reconnect: (first: "3s", max: "3s", jitter: None))],
            timeline: [At("10s", Restart(node: "broker", keeps: State, lasts: "1s")), At("{reset}s", Reset(group: "meter"))],
            expect: [ReconnectedWithin("{within}s")])"#
        )
    };
    for (reset, within, code) in [(40, 5, 0), (40, 1, 1)] {
        let (output, _folder) = fleet(&restarts(reset, within), &[]);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn outages_of_a_region_are_to_be_recovered_from() {
    let outages = |within: u32| {
        format!(
            r#"Scenario(about: "a valley", lasts: "40m", calm: "1m", regions: {{ "valley": (every: "10m", lasts: "2m") }},
            fleet: [(name: "meter", count: 3, region: "valley", keep_alive: "30s",
                     reconnect: (first: "3s", max: "3s", jitter: None))],
            expect: [ReconnectedWithin("{within}s")])"#
        )
    };
    for (within, code) in [(90, 0), (1, 1)] {
        let (output, _folder) = fleet(&outages(within), &[]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains("the last took"), "{text}");
    }
}

/// Every meter has a display of its own, so no message crosses shards.
const PAIRS: &str = r#"Scenario(about: "pairs", lasts: "1m", calm: "10s", links: { "far": Profile("lte-m") },
    fleet: [
        (name: "meter", count: 5, link: "far", does: [Publish(topic: "m/{n}", qos: 1, every: "10s")]),
        (name: "display", count: 5, does: [Listen(filter: "m/{n}", qos: 1)]),
    ],
    expect: [NoLoss(qos: 1), Latency(p: 50, below: "10s")])"#;

#[test]
fn shards_merge_to_the_report_of_the_whole() {
    let (whole, folder) = fleet(PAIRS, &["--json", "whole.json"]);
    assert_eq!(whole.status.code(), Some(0));
    for shard in 1..=3 {
        let (of, file) = (format!("{shard}/3"), format!("{shard}.json"));
        let played = testament(&folder, &["fleet", "a.ron", "--shard", &of, "--json", &file]);
        assert_eq!((played.status.code(), played.stdout.len()), (Some(0), 0), "{played:?}");
    }
    let merge = |arguments: &[&str]| testament(&folder, &[&["merge"], arguments].concat());
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let merged = merge(&["3.json", "1.json", "2.json", "--json", "merged.json"]);
    assert_eq!(merged.status.code(), Some(0), "{}", said(&merged));
    assert_eq!(report(&folder, "merged.json"), report(&folder, "whole.json"));
    // Two of them first, and then the third, is the same.
    assert_eq!(merge(&["1.json", "3.json", "--part", "both.json"]).stdout, b"missing: 2/3\n");
    assert_eq!(merge(&["2.json", "both.json", "--json", "merged.json"]).status.code(), Some(0));
    assert_eq!(report(&folder, "merged.json"), report(&folder, "whole.json"));
    for (files, expect) in [
        (&["1.json"][..], "shards are missing: 0/3, 2/3"),
        (&["1.json", "both.json"], "both.json cannot be merged with those before it: shard 1 is there already"),
        (&["whole.json"], "whole.json is not what"),
        (&["absent.json"], "cannot read the shard absent.json"),
    ] {
        let refused = merge(files);
        assert!(refused.status.code() == Some(2) && said(&refused).contains(expect), "{}", said(&refused));
    }
}

#[test]
fn a_shard_that_cannot_be_played_alone_names_the_groups() {
    let (refused, _folder) = fleet(SCENARIO, &["--shard", "1/2", "--json", "a.json"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("`meter` writes what `hub` reads"), "{said}");
}

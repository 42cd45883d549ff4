//! What a fleet's reports say: that their numbers add up, and that each form is what its readers take.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer, also outside the test function")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::tools;

/// A scenario with retained state, wills, two readers of everything, a restart that forgets all, and one that cannot be kept.
const SCENARIO: &str = r#"Scenario(about: "some <weather>", lasts: "3m", calm: "1m", links: { "cell": Profile("lte-m") },
    fleet: [
        (name: "lift", count: 12, link: "cell", keep_alive: "20s", patience: "10s",
         session: (clean_start: false, expiry: "1h"), will: (topic: "lift/{id}/alive", qos: 1),
         does: [Publish(topic: "lift/{id}/state", qos: 1, every: "5s"), Publish(topic: "lift/{id}/noise", qos: 0, every: "7s"),
                Publish(topic: "lift/{id}/birth", qos: 2, retain: true, pattern: OnConnect)]),
        (name: "room", count: 2, starts: At("20s"), does: [Listen(filter: "lift/#", qos: 2)]),
    ],
    timeline: [
        At("1m", Cut(group: "lift", share: 0.5, lasts: "40s")), At("130s", Restart(node: "broker", lasts: "5s")),
    ],
    expect: [NoDuplicates(qos: 2), Latency(p: 50, below: "1us"), Delivered(share: 0.5)])"#;

fn testament(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
    command.current_dir(folder).args(arguments).output().unwrap()
}

/// Plays a scenario with these reports asked for.
fn played(scenario: &str, options: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.ron"), scenario).unwrap();
    (testament(folder.path(), &[&["fleet", "a.ron"], options].concat()), folder)
}

fn json(scenario: &str) -> Value {
    let (output, _folder) = played(scenario, &["--json", "-"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// The sum of one field of all.
fn sum<'a>(all: impl IntoIterator<Item = &'a Value>, field: &str) -> u64 {
    all.into_iter().map(|one| number(&one[field])).sum()
}

#[test]
fn the_numbers_add_up() {
    let outage = include_str!("../../scenarios/cell-outage.ron").replace("count: 400", "count: 10");
    for scenario in [SCENARIO, &outage] {
        let report = json(scenario);
        let list = |name: &str| report[name].as_array().unwrap();
        let points = report["series"]["points"].as_array().unwrap();
        // Of each pair of groups, what was sent came, is missing or under way, or was not owed.
        for entry in list("messages") {
            let [sent, prior, arrived, lost, under_way, unowed] =
                ["sent", "prior", "arrived", "lost", "under_way", "unowed"].map(|field| number(&entry[field]));
            assert_eq!(sent + prior, arrived + lost + under_way + unowed, "{entry}");
            assert!(number(&entry["owed"]) <= sent && number(&entry["excused"]) <= unowed + arrived, "{entry}");
        }
        let told: Vec<_> = list("messages").iter().filter(|entry| entry["wills"] == false).collect();
        // What arrived is the same in the ledger, over time, and in the distributions of latency.
        let arrived = sum(told.iter().copied(), "arrived");
        assert_eq!(sum(points, "arrived"), arrived);
        let latencies: Vec<_> = list("groups").iter().flat_map(|group| group["latency"].as_array().unwrap()).collect();
        assert_eq!(sum(latencies.iter().copied(), "count"), arrived);
        for latency in latencies {
            let spans = latency["spans"].as_array().unwrap();
            assert_eq!(spans.iter().map(|pair| number(&pair[1])).sum::<u64>(), number(&latency["count"]));
        }
        // What was published is the same in the groups and over time, and no more than each reader may get was sent.
        let published = |group: &Value| group["published"].as_array().unwrap().iter().map(number).sum::<u64>();
        let published: u64 = list("groups").iter().map(published).sum();
        assert_eq!(sum(points, "published"), published);
        let readers = list("groups").iter().map(|group| number(&group["devices"])).max().unwrap();
        assert!(sum(told, "sent") <= published * readers);
        // So are connections: nobody is there in the end who did not come, and nobody waits for ever.
        assert_eq!(sum(points, "accepted"), sum(list("groups"), "connected"));
        assert_eq!(sum(points, "failed"), sum(list("groups"), "failed"));
        let last = points.last().unwrap();
        let there = sum(list("groups"), "connected") - sum(list("groups"), "lost");
        assert_eq!((last["connected"].as_u64(), last["waiting"].as_u64()), (Some(there), Some(0)));
        // Each connection that was lost, attempt that failed and message that was refused has its reason.
        for group in list("groups") {
            let troubles = group["troubles"].as_array().unwrap();
            for field in ["lost", "failed", "refused"] {
                assert_eq!(sum(troubles, field), number(&group[field]), "{field}: {group}");
            }
        }
        // A will is written for an attempt to connect, and for nothing else.
        let attempts = sum(list("groups"), "connected") + sum(list("groups"), "failed");
        let wills = list("messages").iter().filter(|entry| entry["wills"] == true);
        assert!(sum(wills, "sent") <= attempts * readers);
        assert!(points.len() <= 300);
    }
}

#[test]
fn machines_find_what_is_documented_and_nothing_else() {
    fn fields(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields_of) => {
                for (name, value) in fields_of {
                    fields(&format!("{path}.{name}"), value, found);
                }
            }
            Value::Array(values) => {
                values.iter().for_each(|value| fields(&format!("{path}[]"), value, found));
                found.extend(values.is_empty().then(|| format!("{path}[]")));
            }
            _ => _ = found.insert(path.to_owned()),
        }
    }
    let mut found = BTreeSet::new();
    fields("", &json(SCENARIO), &mut found);
    let found: Vec<_> = found.iter().map(|path| path.trim_start_matches('.')).collect();
    insta::assert_snapshot!(found.join("\n"), @r#"
        about
        calm
        devices
        expectations[].about
        expectations[].expected
        expectations[].found
        expectations[].met
        findings[]
        format
        groups[].accepted[]
        groups[].answered
        groups[].asked
        groups[].away.count
        groups[].away.max
        groups[].away.p50
        groups[].away.p90
        groups[].away.p99
        groups[].connected
        groups[].devices
        groups[].failed
        groups[].foreign
        groups[].latency[]
        groups[].latency[].count
        groups[].latency[].max
        groups[].latency[].p50
        groups[].latency[].p90
        groups[].latency[].p99
        groups[].latency[].phase
        groups[].latency[].qos
        groups[].latency[].spans[][]
        groups[].lost
        groups[].name
        groups[].published[]
        groups[].recovery.count
        groups[].recovery.max
        groups[].recovery.p50
        groups[].recovery.p90
        groups[].recovery.p99
        groups[].refused
        groups[].resumed
        groups[].skipped
        groups[].troubles[].failed
        groups[].troubles[].lost
        groups[].troubles[].refused
        groups[].troubles[].why
        groups[].untrue_sessions
        lasts
        messages[].arrived
        messages[].duplicated
        messages[].excused
        messages[].expired
        messages[].forbidden
        messages[].from
        messages[].guarantee
        messages[].invented
        messages[].lost
        messages[].owed
        messages[].prior
        messages[].reordered
        messages[].repeated
        messages[].sent
        messages[].to
        messages[].under_way
        messages[].unowed
        messages[].wills
        retained.examples[]
        retained.missing
        retained.right
        retained.wrong
        run.began
        run.hosts[]
        run.interrupted
        run.memory
        run.processes
        run.repeat
        run.target
        run.wall
        seed
        series.points[].accepted
        series.points[].arrived
        series.points[].at
        series.points[].connected
        series.points[].failed
        series.points[].latency.count
        series.points[].latency.max
        series.points[].latency.p50
        series.points[].latency.p90
        series.points[].latency.p99
        series.points[].published
        series.points[].waiting
        series.width
        timeline[].at
        timeline[].event
        timeline[].then
        timeline[].until
        timeline[].what
        unsolicited
        "#);
    let docs = include_str!("../../docs/scenarios.md");
    for name in found.iter().flat_map(|path| path.split(['.', '[', ']'])).filter(|name| !name.is_empty()) {
        assert!(docs.contains(&format!("`{name}`")), "docs/scenarios.md does not say what `{name}` is");
    }
}

#[test]
fn build_servers_take_what_is_written_for_them() {
    let (output, folder) = played(SCENARIO, &["--junit", "a.xml", "--markdown", "a.md", "--html", "a.html"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("1 of 3 promises broken") && !text.contains('\x1b'), "{text}");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let again = text.lines().find_map(|line| line.strip_prefix("play it again: testament ")).unwrap();
    assert!(read("a.md").contains(again) && read("a.html").contains(again) && read("a.xml").contains(again));
    let repeated = testament(folder.path(), &again.split(' ').collect::<Vec<_>>());
    let steady = |text: &str| text.lines().filter(|line| !line.starts_with("played ")).collect::<Vec<_>>().join("\n");
    assert_eq!(steady(&String::from_utf8(repeated.stdout).unwrap()), steady(&text));
    if tools::has("xmllint") {
        let mut command = Command::new("xmllint");
        let output =
            command.args(["--noout", "--schema", "tests/it/junit.xsd"]).arg(folder.path().join("a.xml")).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_broken_limit_names_the_late_ones_and_what_was_done_to_them() {
    let report = json(SCENARIO);
    let found = report["expectations"][1]["found"].as_str().unwrap();
    assert!(found.contains("took longer than 1 us, all written by lift; on their way during "), "{found}");
    for fault in ["no fault: ", "fault 1: ", "fault 2: "] {
        assert!(found.contains(fault), "{found}");
    }
}

#[test]
fn one_report_takes_standard_output_and_a_wrong_path_costs_no_run() {
    for (options, expect) in [
        (&["--json", "-", "--html", "-"][..], "only one report can go to standard output"),
        (&["--html", "no/such/folder.html"], "cannot write no/such/folder.html"),
        (&["--html", "a.html", "--json", "a.html"], "two reports cannot go to one file, a.html"),
        (&["--live", "--begin", "NaN"], "write seconds since 1970"),
        (&["--live", "--begin", "1e300"], "write seconds since 1970"),
        (&["--live", "--begin", "-1"], "write seconds since 1970"),
        (&["--seed", "-1"], "write a whole number from 0 to 18446744073709551615"),
        (&["--shard", "1/2", "--json", "a.json", "--html", "a.html"], "cannot be used with"),
    ] {
        let (output, _folder) = played(SCENARIO, options);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(expect), "{said}");
    }
}

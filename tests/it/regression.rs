//! A suite kept in a build: a baseline of what is known, and two runs compared.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer, also outside the test function")]

use std::path::Path;
use std::process::Command;

use testament::hollow::Emptiness;

use crate::cli::serve;
use crate::served::Served;
use crate::tools;

/// The report of a run of the whole suite on a broker of ours that behaves so, in this file.
fn report_on(behaviour: &str, file: &Path) {
    let served = Served::new(&["--listen", "mqtt://127.0.0.1:0", "--behaviour", behaviour]);
    let (_, said) = testament(&["conform", &served.url, "--protocol", "3.1.1", "--json", file.to_str().unwrap()]);
    assert!(said.contains("FINGERPRINT"), "{said}");
}

#[test]
fn every_freedom_is_documented() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json-report.md")).unwrap();
    for question in testament::suite::fingerprint::QUESTIONS {
        assert!(
            page.contains(&format!("`{}`", question.name)),
            "docs/json-report.md does not tell of {}",
            question.name
        );
    }
}

#[test]
fn a_fingerprint_is_the_same_until_the_broker_differs() {
    let dir = tempfile::tempdir().unwrap();
    let [one, again, other] = ["one", "again", "other"].map(|name| dir.path().join(name));
    report_on("()", &one);
    report_on("()", &again);
    report_on("(maximum_qos: 1)", &other);
    let compare = |new: &Path| testament(&["compare", one.to_str().unwrap(), new.to_str().unwrap()]).1;
    let same = compare(&again);
    assert!(!same.contains("FINGERPRINT"), "{same}");
    let differs = compare(&other);
    let line = "FINGERPRINT         granted-qos under 3.1.1, was \"QoS 0, QoS 1, QoS 2\", is \"QoS 0, QoS 1, QoS 1\"";
    assert!(differs.contains(line), "{differs}");
    assert_eq!(differs.matches("FINGERPRINT").count(), 1, "{differs}");
}

/// Runs testament; gives its exit code and all that it said.
fn testament(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_testament")).args(arguments).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), said)
}

/// The exit code must be this one, and what is printed must contain each of these texts.
#[track_caller]
fn check(arguments: &[&str], code: i32, texts: &[&str]) {
    let (ended, said) = testament(arguments);
    assert_eq!(ended, code, "{arguments:?}: {said}");
    for text in texts {
        assert!(said.contains(text), "{arguments:?} does not say `{text}`: {said}");
    }
}

/// Judges a few cases, of which a broker that acknowledges everything and delivers nothing fails some.
fn judged<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let few = ["conform", url, "--protocol", "5.0", "--filter", "qos2/", "--timeout", "500ms"];
    [&few[..], more].concat()
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

#[test]
fn only_what_is_new_fails_beside_a_baseline() {
    let (poor, good) = (serve(Emptiness::Acknowledges), Served::new(&["--listen", "mqtt://127.0.0.1:0"]));
    let dir = tempfile::tempdir().unwrap();
    let file = path(dir.path(), "known.ron");
    let known = ["--baseline", &file];
    let update = ["--baseline", &file, "--update-baseline"];
    check(&judged(&poor, &known), 2, &["cannot read the baseline", "--update-baseline writes a first one"]);
    // The first baseline knows everything, and asks for reasons.
    check(
        &judged(&poor, &update),
        0,
        &["\nNEW    ", "beside the baseline as it was: ", "\nwrote ", "each wants a reason", "have no reason yet"],
    );
    check(&judged(&poor, &known), 0, &["beside the baseline: 0 new, ", " as known", "have no reason yet"]);
    let text = std::fs::read_to_string(&file).unwrap().replace("reason: \"\"", "reason: \"it is poor\"");
    std::fs::write(&file, &text).unwrap();
    let (_, said) = testament(&judged(&poor, &known));
    assert!(!said.contains("no reason yet"), "{said}");
    // What is known takes a line each, without packets.
    assert!(
        said.contains(" is fail: it is poor\n") && !said.contains("\nFAIL") && !said.contains("  trace "),
        "{said}"
    );
    // What is gone from the list is new.
    let failing = text.lines().find(|line| line.contains("verdict: fail")).unwrap();
    std::fs::write(&file, text.replace(&format!("{failing}\n"), "")).unwrap();
    check(&judged(&poor, &known), 1, &["\nNEW    ", "beside the baseline: 1 new, "]);
    // An update keeps the reasons that are there.
    check(&judged(&poor, &update), 0, &["1 entry of the baseline has no reason yet"]);
    let updated = std::fs::read_to_string(&file).unwrap();
    assert_eq!(updated.replacen("reason: \"\"", "reason: \"it is poor\"", 1), text);
    // What is mended is announced, and fails nothing; an update drops it.
    check(&judged(&good.url, &known), 0, &["\nFIXED  ", "passes; it was known as fail", "0 new"]);
    check(&judged(&good.url, &update), 0, &["\nFIXED  "]);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("case:"));
}

#[test]
fn entries_that_no_run_can_meet_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = path(dir.path(), "known.ron");
    let entry = |case, protocol| format!("(case: \"{case}\", protocol: \"{protocol}\", verdict: fail, reason: \"x\")");
    let entries =
        [entry("qos9/gone", "5.0"), entry("alias/stands-for-its-topic", "3.1.1"), entry("qos1/order-is-kept", "5.0")];
    std::fs::write(&file, format!("[{}]", entries.join(", "))).unwrap();
    let arguments = ["conform", "--filter", "retain/", "--baseline", &file];
    check(
        &arguments,
        0,
        &["qos9/gone under 5.0, which the suite does not have", "alias/stands-for-its-topic under 3.1.1, which"],
    );
    let (_, said) = testament(&arguments);
    assert!(!said.contains("qos1/order-is-kept"), "{said}");
}

#[test]
fn a_baseline_that_is_none_is_trouble_before_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = path(dir.path(), "known.ron");
    std::fs::write(&file, "[(case: \"a/b\", protocol: \"5.0\", verdict: fail, reason: \"\", note: \"\")]").unwrap();
    check(&["conform", "--baseline", &file], 2, &["known.ron:1:", "note"]);
    check(&["conform", "--update-baseline"], 2, &["--baseline"]);
}

#[test]
fn two_runs_are_compared() {
    let (poor, good) = (serve(Emptiness::Acknowledges), Served::new(&["--listen", "mqtt://127.0.0.1:0"]));
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (path(dir.path(), "old.json"), path(dir.path(), "new.json"));
    testament(&judged(&good.url, &["--json", &old]));
    testament(&judged(&poor, &["--json", &new]));
    check(&["compare", &old, &old], 0, &[&format!("from {0} to {0}", good.url), "0 worse, 0 better, 0 gone, 0 new"]);
    check(&["compare", &old, &new], 1, &["\nNEWLY FAIL          ", ", was pass: "]);
    check(&["compare", &new, &old], 0, &["\nFIXED               ", ", was fail", "0 worse, "]);
    let (code, said) = testament(&["compare", &old, &new, "--json"]);
    let comparison: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &comparison["changes"][0]["change"]), (1, &"newly-fail".into()));
    check(&["compare", &old, "nowhere.json"], 2, &["cannot read the report nowhere.json"]);
    check(&["compare", &old, "Cargo.toml"], 2, &["cannot compare Cargo.toml", "testament conform --json"]);
    check(&["compare", &old], 2, &["NEW"]);
}

#[test]
fn a_build_gets_its_summary_page() {
    let dir = tempfile::tempdir().unwrap();
    let file = path(dir.path(), "summary.md");
    let url = serve(Emptiness::Acknowledges);
    let (code, _) = testament(&judged(&url, &["--markdown", &file]));
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(code, 1, "{text}");
    for part in ["| | 5.0 |\n|---|--:|\n", "\n## fail: `", "\n- clause `mqtt5:", "<details><summary>trace</summary>"] {
        assert!(text.contains(part), "no `{part}`: {text}");
    }
    assert!(text.contains(&format!("<pre>testament conform {url} --protocol 5.0 --case ")), "{text}");
}

/// What tshark prints about the packets that `filter` selects, a line each.
fn tshark(capture: &str, filter: &str, field: &str) -> Vec<String> {
    let checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
    let output = Command::new("tshark")
        .args(["-n", "-r", capture, "-Y", filter, "-T", "fields", "-e", field])
        .args(checks)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_capture_reads_as_mqtt() {
    if !tools::has("tshark") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (capture, trace) = (path(dir.path(), "run.pcap"), path(dir.path(), "run.txt"));
    // All of these cases keep to legal packets, so that both readers cut the streams alike.
    check(&["conform", "--filter", "retain/", "--pcap", &capture, "--trace", &trace], 0, &[" pass"]);
    let trace = std::fs::read_to_string(&trace).unwrap();
    let packets = trace.lines().filter(|line| line.ends_with(']')).count();
    // A frame that holds the end of one packet and the next has both types in its line.
    let found = tshark(&capture, "mqtt", "mqtt.msgtype").iter().map(|line| line.split(',').count()).sum::<usize>();
    assert!(packets > 500, "{packets}");
    assert_eq!(found, packets);
    let opened = trace.lines().filter(|line| line.contains("  opened: ")).count();
    let comments = tshark(&capture, "frame.comment", "frame.comment");
    assert_eq!(comments.len(), opened);
    assert!(comments[0].starts_with("retain/"), "{}", comments[0]);
    // Every version is known from its CONNECT.
    let versions: std::collections::BTreeSet<_> = tshark(&capture, "mqtt.ver", "mqtt.ver").into_iter().collect();
    assert_eq!(versions.into_iter().collect::<Vec<_>>(), ["3", "4", "5"]);
}

/// Whatever passes, resets and half-closed connections included, the TCP around it adds up.
#[test]
fn a_capture_of_everything_is_sound() {
    if !tools::has("tshark") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let capture = path(dir.path(), "run.pcap");
    check(&["conform", "--pcap", &capture], 0, &[" pass"]);
    let odd = "tcp.analysis.flags || tcp.checksum.status == 0 || ip.checksum.status == 0 || !tcp";
    assert_eq!(tshark(&capture, odd, "frame.number"), [""; 0]);
    assert!(!tshark(&capture, "tcp.flags.reset == 1", "frame.number").is_empty());
}

//! The suite against the reference broker: all that is played passes, in virtual time and over sockets alike.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer, also outside the test function")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use harness::world::Endpoint;
use serde_json::Value;
use testament::hollow::Emptiness;

use crate::cli::serve_at;
use crate::served::Served;
use crate::tools;

/// Judges a target with these options; gives the JSON report and the trace.
fn conform(target: &str, options: &[&str]) -> (Value, String) {
    let dir = tempfile::tempdir().unwrap();
    let (json, trace) = (dir.path().join("report.json"), dir.path().join("trace.txt"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let output = Command::new(env!("CARGO_BIN_EXE_testament"))
        .args(["conform", target, "--json", &path(&json), "--trace", &path(&trace)])
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

/// The runs with this verdict: id and protocol.
fn runs<'r>(report: &'r Value, verdict: &str) -> BTreeSet<(&'r str, &'r str)> {
    let cases = report["cases"].as_array().unwrap().iter().filter(|case| case["verdict"] == verdict);
    cases.map(|case| (case["id"].as_str().unwrap(), case["protocol"].as_str().unwrap())).collect()
}

/// Everything was played, and passed or was skipped.
#[track_caller]
fn check(report: &Value) {
    let (passed, skipped) = (runs(report, "pass"), runs(report, "skip"));
    let cases = report["cases"].as_array().unwrap();
    assert_eq!(passed.len() + skipped.len(), cases.len(), "{}", report["summary"]);
    let ids: BTreeSet<_> = passed.iter().map(|(id, _)| id).collect();
    assert!(ids.len() >= 80 && passed.len() >= 150, "{} cases, {} runs", ids.len(), passed.len());
    let protocols: BTreeSet<_> = passed.iter().map(|(_, protocol)| *protocol).collect();
    assert_eq!(protocols, BTreeSet::from(["3.1", "3.1.1", "5.0"]));
}

#[test]
fn the_reference_broker_conforms_in_virtual_time_and_over_loopback() {
    let (virtually, _) = conform("reference", &[]);
    check(&virtually);
    let (live, _) = conform("reference", &["--live"]);
    check(&live);
    // In virtual time there is no TLS.
    let (secure, others): (BTreeSet<_>, BTreeSet<_>) =
        runs(&virtually, "skip").into_iter().partition(|(id, _)| id.starts_with("tls/"));
    assert!(secure.is_subset(&runs(&live, "pass")) && !secure.is_empty(), "{secure:?}");
    assert_eq!(others, runs(&live, "skip"));
}

/// A case that needs a broker which lacks something, or asks for a login, is skipped on the reference broker as it is set
/// up for the suite. Set up otherwise, it passes there, too: no case is one that nothing can pass.
#[test]
fn what_one_setup_skips_another_passes() {
    // SUBACK of 3.1 cannot refuse.
    let never = BTreeSet::from([("limits/wildcard-subscription-before-5.0", "3.1")]);
    let (all, _) = conform("reference", &[]);
    let skipped: BTreeSet<_> = runs(&all, "skip").difference(&never).copied().collect();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ids: BTreeSet<_> = skipped.iter().map(|(id, _)| *id).collect();
    let cases: Vec<_> = ids.into_iter().flat_map(|id| ["--case", id]).collect();

    let less = Served::new(&[
        "--listen",
        "mqtt://127.0.0.1:0",
        "--behaviour",
        "(maximum_qos: 0, retain: false, wildcard_subscriptions: false, shared_subscriptions: false, \
          subscription_identifiers: false, client_id_maximum: 23, server_keep_alive: Some(5))",
    ]);
    // What it announces under 5.0 needs no file, whatever the version.
    let supports = "(client_identifier_bytes: 23)";
    let (with_less, _) = conform(&less.url, &[&cases[..], &["--capabilities", &file("less", supports)]].concat());

    let verifier = testament::scram::Verifier::new(b"sesame", b"salt of the earth");
    let users = file("users", &format!("anna:{verifier}\n"));
    let guarded = Served::new(&["--listen", "mqtt://127.0.0.1:0", "--no-anonymous", "--users", &users]);
    let login = ["--username", "anna", "--password-file", &file("password", "sesame\n")];
    let supports = ["--capabilities", &file("guarded", "(anonymous: false)")];
    let (with_login, _) = conform(&guarded.url, &[&cases[..], &login, &supports].concat());

    let (over_sockets, _) = conform("reference", &["--live", "--filter", "tls/"]);

    let setups = [&with_less, &with_login, &over_sockets];
    let passed: BTreeSet<_> = setups.into_iter().flat_map(|report| runs(report, "pass")).collect();
    let nowhere: Vec<_> = skipped.difference(&passed).collect();
    assert!(nowhere.is_empty(), "{nowhere:?}");
}

/// No case about TLS takes an acknowledgement for the deed.
#[test]
fn over_tls_too_a_broker_that_only_acknowledges_passes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let url = serve_at(Endpoint::Tls, Emptiness::Acknowledges);
    let options = ["--insecure", "--protocol", "5.0", "--filter", "tls/", "--timeout", "500ms", "--json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
    let output = command.args(["conform", &url]).args(options).arg(&json).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let report = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(runs(&report, "pass"), BTreeSet::new(), "{said}");
    assert_eq!(runs(&report, "skip"), BTreeSet::from([("tls/websocket-inside", "5.0")]));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let ((first, one), (second, other)) =
        (conform("reference", &["--seed", "7", "--jobs", "1"]), conform("reference", &["--seed", "7"]));
    assert!(one == other, "two traces of one seed differ");
    assert_eq!(without_durations(first), without_durations(second));
    // Client identifiers that the broker assigns are drawn, so another seed shows.
    let (_, another) = conform("reference", &["--seed", "8"]);
    assert!(one != another, "the seed draws nothing");
    assert!(one.len() > 100_000, "the trace is a trace");
}

#[test]
fn a_case_plays_alone_as_in_company() {
    let (_, company) = conform("reference", &["--seed", "7"]);
    let (_, alone) = conform("reference", &["--seed", "7", "--case", "qos2/repeat-before-pubrel", "--protocol", "5.0"]);
    assert!(alone.starts_with("# qos2/repeat-before-pubrel 5.0 pass\n"), "{alone}");
    assert!(company.contains(&alone));
}

/// Judges Mosquitto as Debian packages it, and compares what it does not do right with what it is known not to do right.
#[test]
fn mosquitto_deviates_as_known() {
    const KNOWN: &str = "fixtures/brokers/mosquitto-2.0.11.baseline.ron";
    if !tools::has("mosquitto") {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_testament"))
        .args(["conform", "mosquitto", "--baseline", KNOWN])
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !said.contains("judges Eclipse Mosquitto 2.0.11,") {
        println!("skipped: needs mosquitto 2.0.11; {}", said.lines().next().unwrap_or_default());
        return;
    }
    // Whatever changed is in the last lines, beginning with FIXED or NEW. No entry is stale, and each has its reason.
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("\nbeside the baseline: 0 new, ") && said.trim_end().ends_with(" as known"), "{said}");
}

//! The command line as a contract: exit codes, messages that say what to do, reports, and no process left behind.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "processes take real time to come and go")]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer, also outside the test function")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use harness::world::Endpoint;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testament::hollow::{Emptiness, Hollow};
use testament::net::certificate::SelfSigned;
use testament::net::host::{self, Host, Listener};
use testament::net::tls;
use testament::net::url::Url;

use crate::served::Served;
use crate::tools;

const TESTAMENT: &str = env!("CARGO_BIN_EXE_testament");

fn testament(arguments: &[&str]) -> Output {
    Command::new(TESTAMENT).args(arguments).output().unwrap()
}

/// The exit code must be this one, and what is printed must contain each of these texts.
#[track_caller]
fn check(arguments: &[&str], code: i32, texts: &[&str]) {
    let output = testament(arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    for text in texts {
        assert!(said.contains(text), "{arguments:?} does not say `{text}`: {said}");
    }
}

/// A hollow broker on a socket, as long as the test process lives.
pub(crate) fn serve(emptiness: Emptiness) -> String {
    serve_at(Endpoint::Tcp, emptiness)
}

/// The same on this kind of listener.
pub(crate) fn serve_at(endpoint: Endpoint, emptiness: Emptiness) -> String {
    let runtime = host::runtime().unwrap();
    let url = Url { port: 0, ..Url::loopback(endpoint) };
    let secure = url.is_secure().then(|| tls::server_itself(&SelfSigned::fresh().unwrap()).unwrap());
    let listener = runtime.block_on(Listener::bind(&url, secure)).unwrap();
    let url = listener.url().to_string();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let mut host = Host::new(Hollow::new(emptiness), vec![listener], None);
            loop {
                host.turn().await;
            }
        });
    });
    url
}

#[test]
fn all_is_well() {
    check(&[], 0, &["judges reference", "in virtual time", " pass"]);
    check(&["conform"], 0, &["judges reference"]);
    check(&["conform", "--case", "qos2/handshake-completes", "--protocol", "5.0"], 0, &["1 run in", "1 pass"]);
    check(&["conform", "--filter", "qos1/", "--strict"], 0, &[" pass"]);
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    check(&["conform", "--case", "qos2/handshake"], 2, &["no case `qos2/handshake`", "qos2/handshake-completes"]);
    check(&["conform", "--filter", "no such thing"], 2, &["`no such thing`", "testament list cases"]);
    check(&["conform", "--case", "alias/", "--filter", "x"], 2, &["no case `alias/`"]);
    check(&["conform", "--filter", "alias/", "--protocol", "3.1"], 2, &["judge MQTT 5.0 and not 3.1"]);
    check(&["conform", "--protocol", "4.0"], 2, &["3.1, 3.1.1 or 5.0"]);
    check(&["conform", "mosquito"], 2, &["no target `mosquito`", "one of: mosquitto"]);
    check(&["conform", "nowhere.ron"], 2, &["cannot read the broker file nowhere.ron"]);
    check(&["conform", "Cargo.toml"], 2, &["Cargo.toml:1:"]);
    check(&["conform", "http://localhost"], 2, &["unknown scheme", "write mqtt://"]);
    check(&["conform", "mqtt://127.0.0.1:1"], 2, &["cannot judge mqtt://127.0.0.1:1", "check that it runs"]);
    check(&["conform", "mqtt://127.0.0.1:1", "--live"], 2, &["cannot judge mqtt://127.0.0.1:1", "check that it runs"]);
    check(&["conform", "--json", "nowhere/report.json"], 2, &["cannot write nowhere/report.json"]);
    check(&["conform", "--password-file", "x"], 2, &["--username"]);
    check(&["conform", "--capabilities", "nowhere"], 2, &["cannot read the capabilities nowhere"]);
    check(&["conform", "--capabilities", "Cargo.toml"], 2, &["Cargo.toml:1:", "write (maximum_qos: 1"]);
    check(&["conform", "--username", "nobody"], 2, &["cannot judge reference", "check"]);
    // A case whose capability is missing is skipped, and then nothing was shown.
    check(&["conform", "--case", "keep-alive/the-servers-own-rules"], 2, &["no case passed", "SKIP"]);
}

#[test]
fn a_target_that_takes_no_part_is_trouble() {
    let refused = &["welcomes no client under any protocol version"][..];
    for emptiness in [Emptiness::Closes, Emptiness::Mute] {
        check(&["conform", &serve(emptiness), "--timeout", "200ms"], 2, refused);
    }
}

#[test]
fn a_broker_file_whose_program_is_missing_says_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let check_file = |start: &str, texts: &[&str]| {
        let file = broker_file(dir.path(), start);
        check(&["conform", file.to_str().unwrap()], 2, texts);
    };
    check_file(r#"["no-such-program", "{port}"]"#, &["cannot find the program `no-such-program` of X", "build it"]);
    check_file(
        r#"["sh", "-c", "echo {port} is bad; exit 3"]"#,
        &["X did not start: it ended with exit status: 3", "is bad"],
    );
}

#[test]
fn a_failure_is_reported_in_every_form_and_its_command_repeats_it() {
    let url = serve(Emptiness::Acknowledges);
    let dir = tempfile::tempdir().unwrap();
    let (json, junit) = (dir.path().join("report.json"), dir.path().join("report.xml"));
    let output = testament(&[
        "conform",
        &url,
        "--filter",
        "qos",
        "--timeout",
        "100ms",
        "--seed",
        "5",
        "--json",
        json.to_str().unwrap(),
        "--junit",
        junit.to_str().unwrap(),
    ]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");

    let repeat = said.lines().rev().find_map(|line| line.trim().strip_prefix("repeat ")).expect("a failure").trim();
    let words: Vec<_> = repeat.split(' ').collect();
    assert_eq!(words[..3], ["testament", "conform", &url]);
    let id = words[words.iter().position(|word| *word == "--case").unwrap() + 1];
    check(&words[1..], 1, &[&format!("FAIL  {id} under"), "1 fail", repeat]);

    let report: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    check_schema(&report);
    if tools::has("xmllint") {
        let output = Command::new("xmllint").args(["--noout", "--schema", "tests/it/junit.xsd"]).arg(&junit).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// With one job, cases are judged in the order they are listed in; `harness::run` tests the same for several.
#[test]
fn fail_fast_begins_nothing_after_the_first_fail() {
    let url = serve(Emptiness::Acknowledges);
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let json = json.to_str().unwrap();
    let play = |more: &[&str]| {
        let options = ["conform", &url, "--filter", "subscribe/", "--timeout", "100ms", "--jobs", "1", "--json", json];
        check(&[&options[..], more].concat(), 1, &[" fail"]);
        let report: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
        let judged = |case: &Value| [&case["id"], &case["protocol"], &case["verdict"]].map(Value::to_string);
        let cases: Vec<_> = report["cases"].as_array().unwrap().iter().map(judged).collect();
        (cases, report["unplayed"].as_u64().unwrap() as usize)
    };
    let (all, none) = play(&[]);
    let (fast, unplayed) = play(&["--fail-fast"]);
    let first = all.iter().position(|[.., verdict]| verdict == "\"fail\"").unwrap();
    assert_eq!(fast, all[..=first]);
    assert_eq!((none, unplayed), (0, all.len() - fast.len()));
    assert!(unplayed > 0, "the first fail is also the last case, and shows nothing");
}

/// What docs/json-report.md promises.
fn check_schema(report: &Value) {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(report), "cases fingerprint partial requirements schema summary target tool unplayed");
    assert_eq!(report["schema"], 1);
    assert_eq!(keys(&report["tool"]), "name seed version");
    assert_eq!(keys(&report["target"]), "name url version");
    assert_eq!(keys(&report["summary"]), "advise broken fail inconclusive pass skip");
    let mut counted = BTreeSet::new();
    for case in report["cases"].as_array().unwrap() {
        assert_eq!(keys(case), "clauses duration_ms evidence id in_company protocol verdict why");
        assert!(["3.1", "3.1.1", "5.0"].contains(&case["protocol"].as_str().unwrap()), "{case:#}");
        assert!(case["duration_ms"].is_number() && !case["clauses"].as_array().unwrap().is_empty(), "{case:#}");
        let verdict = case["verdict"].as_str().unwrap();
        counted.insert(verdict.to_owned());
        assert_eq!(case["why"].is_null(), verdict == "pass", "{case:#}");
        assert_eq!(case["evidence"].is_null(), ["pass", "skip"].contains(&verdict), "{case:#}");
        if !case["evidence"].is_null() {
            assert_eq!(keys(&case["evidence"]), "came clauses expected omitted trace");
            for line in case["evidence"]["trace"].as_array().unwrap() {
                assert_eq!(keys(line), "conn dir hex len packet t");
                assert!(["->", "<-", "--"].contains(&line["dir"].as_str().unwrap()), "{line:#}");
            }
        }
    }
    for (verdict, count) in report["summary"].as_object().unwrap() {
        assert_eq!(counted.contains(verdict), count.as_u64() > Some(0), "{verdict}");
    }
    let statuses = ["passed", "failed", "advised", "inconclusive", "skipped", "not-judged"];
    let requirements = report["requirements"].as_array().unwrap();
    assert!(requirements.iter().all(|each| statuses.contains(&each["status"].as_str().unwrap())));
    assert!(requirements.len() > 400, "{}", requirements.len());
    assert!(requirements.iter().any(|each| each["status"] == "failed"));
}

/// A broker file that starts what `start` says.
fn broker_file(dir: &Path, start: &str) -> PathBuf {
    let path = dir.join("broker.ron");
    let text = format!(
        "Broker(name: \"X\", install: [ByHand(\"build it\")], start: {start}, version: [\"{TESTAMENT}\", \"--version\"],\n\
         protocols: [\"3.1\", \"3.1.1\", \"5.0\"])"
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// A broker file for our own broker, which writes down its process and its folder.
fn own_broker(dir: &Path) -> PathBuf {
    let note = dir.join("note");
    let script = format!(
        "sleep 1000 & echo $$ $! {{dir}} > {0}.new; mv {0}.new {0}; exec {TESTAMENT} serve --listen mqtt://127.0.0.1:{{port}}",
        note.display()
    );
    broker_file(dir, &format!(r#"["sh", "-c", "{script}"]"#))
}

/// Waits until `done`, for ten seconds at most.
#[track_caller]
fn within_ten_seconds(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What is left of what `own_broker` wrote down: the broker, its child, its folder.
fn left(dir: &Path) -> Vec<String> {
    let note = std::fs::read_to_string(dir.join("note")).unwrap();
    let runs = |id: &str| {
        // A process that has ended may stay in the table until its parent looks.
        let stat = std::fs::read_to_string(Path::new("/proc").join(id).join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    };
    let there = |word: &&str| if word.starts_with('/') { Path::new(word).exists() } else { runs(word) };
    note.split_whitespace().filter(there).map(ToOwned::to_owned).collect()
}

#[test]
fn a_managed_broker_is_judged_and_gone_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let file = own_broker(dir.path());
    let version = format!("judges X {}", env!("CARGO_PKG_VERSION"));
    check(&["conform", file.to_str().unwrap(), "--filter", "qos1/"], 0, &[&version, "mqtt://127.0.0.1:", " pass"]);
    assert_eq!(left(dir.path()), [""; 0]);
}

/// A certificate for this machine and its key, in files.
fn certificate(dir: &Path) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    [("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())].map(|(name, text)| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

#[test]
fn every_transport_leads_to_the_same_verdicts() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = certificate(dir.path());
    let (cert, key) = (cert.as_str(), key.as_str());
    for scheme in ["mqtt", "mqtts", "ws", "wss"] {
        let served = Served::new(&["--listen", &format!("{scheme}://127.0.0.1:0"), "--cert", cert, "--key", key]);
        let conform = ["conform", &served.url, "--filter", "qos1/"];
        check(&[&conform[..], &["--cafile", cert]].concat(), 0, &[&format!("judges {}", served.url), " pass"]);
        if ["mqtts", "wss"].contains(&scheme) {
            check(&conform, 2, &["cannot judge", "UnknownIssuer", "trust its authority by --cafile FILE"]);
            check(&[&conform[..], &["--insecure"]].concat(), 0, &[" pass"]);
        }
    }
}

/// The gates of the suite: a broker that offers less, and says so, is judged by what it offers.
#[test]
fn a_broker_with_less_to_offer_is_judged_by_what_it_offers() {
    let less = "(maximum_qos: 0, retain: false, wildcard_subscriptions: false, shared_subscriptions: false, \
                subscription_identifiers: false, topic_alias_maximum: 0, session_expiry_maximum: Some(0), \
                server_keep_alive: Some(5), receive_maximum: 1, maximum_packet_size: 100000)";
    let served = Served::new(&["--listen", "mqtt://127.0.0.1:0", "--behaviour", less]);
    check(&["conform", &served.url, "--protocol", "5.0"], 0, &["needs QoS 1", "needs retained messages", " pass"]);
}

/// Silence takes seconds to be judged, so the signal finds a run that is being played; before that it ends the process as
/// it ends any, and more time is given.
#[test]
fn an_interrupted_run_tells_what_it_has_shown() {
    let served = Served::new(&["--listen", "mqtt://127.0.0.1:0"]);
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let interrupted = [1, 2, 4, 8, 16].into_iter().find_map(|seconds| {
        let arguments = ["conform", &served.url, "--filter", "keep-alive/", "--json", json.to_str().unwrap()];
        let run = Command::new(TESTAMENT).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(seconds));
        kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGINT).unwrap();
        let output = run.wait_with_output().unwrap();
        (output.status.code() == Some(130)).then_some(output)
    });
    let said = String::from_utf8(interrupted.expect("a run is interrupted").stdout).unwrap();
    assert!(said.contains("runs were not played\npartial: interrupted\n"), "{said}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(report["partial"], "interrupted");
    assert!(report["unplayed"].as_u64() > Some(0), "{report:#}");
}

/// A way to the broker at `url` that is closed after so many connections.
fn gone_after(connections: usize, url: &str) -> String {
    let address = url.trim_start_matches("mqtt://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for from in listener.incoming().take(connections).flatten() {
            let to = TcpStream::connect(&address).unwrap();
            for (mut from, mut to) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
        // From here on each connection ends at once.
        listener.incoming().for_each(drop);
    });
    url
}

#[test]
fn what_does_not_come_to_the_same_each_time_is_named() {
    let repeat = ["--case", "qos1/order-is-kept", "--protocol", "5.0", "--timeout", "1s", "--repeat", "3"];
    check(&[&["conform"], &repeat[..]].concat(), 0, &["in 3 rounds each verdict was the same", "1 pass"]);
    // Two connections for the first look, two for the first round.
    let served = Served::new(&["--listen", "mqtt://127.0.0.1:0"]);
    let url = gone_after(4, &served.url);
    let arguments = [&["conform", &url], &repeat[..]].concat();
    check(&arguments, 1, &["UNSTEADY  qos1/order-is-kept under 5.0: 1 pass, 2 ", "in 3 rounds 1 verdict was not"]);
}

#[test]
fn a_report_for_machines_may_go_to_standard_output() {
    let output = testament(&["conform", "--filter", "qos1/", "--json", "-"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["summary"]["pass"].as_u64() > Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("judges reference"));
    check(&["conform", "--json", "-", "--junit", "-"], 2, &["only one report can go to standard output"]);
}

/// Whoever speaks first, or answers anything with this.
fn stranger(says: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let _ = connection.write_all(says.as_bytes());
            let _ = connection.read(&mut [0; 1000]);
        }
    });
    url
}

#[test]
fn who_speaks_no_mqtt_is_told_by_what_he_speaks() {
    check(&["conform", &stranger("SSH-2.0-x\r\n")], 2, &["it speaks SSH on this port", "mostly 1883"]);
    check(&["conform", &stranger("HTTP/1.1 400 Bad Request\r\n\r\n")], 2, &["it speaks HTTP on this port", "ws://"]);
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = certificate(dir.path());
    let secure = Served::new(&["--listen", "mqtts://127.0.0.1:0", "--cert", &cert, "--key", &key]);
    let plain = secure.url.replace("mqtts://", "mqtt://");
    check(&["conform", &plain], 2, &["it speaks TLS on this port; write mqtts://"]);
    let plain = Served::new(&["--listen", "mqtt://127.0.0.1:0"]);
    check(&["conform", &plain.url.replace("mqtt://", "mqtts://"), "--insecure"], 2, &["write mqtt:// or ws://"]);
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let dir = tempfile::tempdir().unwrap();
        let file = own_broker(dir.path());
        let mut run = start(&["conform", file.to_str().unwrap()]);
        within_ten_seconds("the broker starts", || dir.path().join("note").exists());
        assert_eq!(left(dir.path()).len(), 3);
        kill(Pid::from_raw(run.id().cast_signed()), signal).unwrap();
        run.wait().unwrap();
        within_ten_seconds(&format!("nothing is left after {signal}"), || left(dir.path()).is_empty());
    }
}

fn start(arguments: &[&str]) -> Child {
    Command::new(TESTAMENT).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn mosquitto_is_judged() {
    if tools::has("mosquitto") {
        check(&["conform", "mosquitto", "--filter", "unsubscribe/"], 0, &["judges Eclipse Mosquitto 2.", " pass"]);
    }
}

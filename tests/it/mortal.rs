//! A broker that dies under one row: that row fails, no other does, and the run goes on.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer, also outside the test function")]

use std::process::Command;
use std::time::Duration;

use harness::case::Verdict;
use harness::catalogue::Level;
use harness::judge::Judge;
use harness::node::{Input, Node, Output};
use harness::rng::Rng;
use harness::run::{Run, Runner, Summary};
use harness::sim::{SimWorld, Wire};
use harness::time::Instant;
use harness::world::Endpoint;
use serde_json::Value;
use testament::broker::{Broker, Settings};
use testament::catalogue::catalogue;
use testament::net::host::{self, Host, Listener};
use testament::net::url::Url;
use testament::packet::Version;
use testament::suite::bad_bytes::{CLIENT_BYTES, Names, rows};
use testament::suite::setting::{Route, Setting, Timing};
use testament::suite::supports::Supports;
use testament::suite::words::Words;
use testament::suite::{cases, play};

/// The row it dies of.
const DEADLY: &str = "malformed/subscribe-at-qos-3";
/// The variable that tells a process to be the broker, and its port.
const PORT: &str = "TESTAMENT_MORTAL_PORT";

/// The reference broker, but for the bytes it dies of.
struct Mortal {
    broker: Broker,
    deadly: Vec<u8>,
    die: fn(),
}

impl Mortal {
    fn new(die: fn()) -> Self {
        let row = rows().iter().find(|row| row.id == DEADLY).unwrap();
        let names = Names { client: "c".repeat(CLIENT_BYTES), id: 1 };
        let deadly = row.bytes(Version::V5, &names).unwrap().unwrap();
        Self { broker: Broker::new(Settings::default(), Rng::stream(1, "mortal")), deadly, die }
    }
}

impl Node for Mortal {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        if matches!(input, Input::Bytes { bytes, .. } if bytes == self.deadly) {
            (self.die)();
        }
        self.broker.handle(now, input);
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        self.broker.poll()
    }

    fn deadline(&self) -> Option<Instant> {
        self.broker.deadline()
    }
}

/// Is no test where nobody asks for a broker, and never ends where somebody does.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test that is started as a process can be told only so")]
fn broker() {
    let Ok(port) = std::env::var(PORT) else { return };
    let runtime = host::runtime().unwrap();
    let url = Url { port: port.parse().unwrap(), ..Url::loopback(Endpoint::Tcp) };
    let listener = runtime.block_on(Listener::bind(&url, None)).unwrap();
    runtime.block_on(async {
        let mut host = Host::new(Mortal::new(|| std::process::exit(3)), vec![listener], None);
        loop {
            host.turn().await;
        }
    });
}

/// Runs testament with these words: exit code, what it said, and its JSON report.
fn conform(words: &[&str]) -> (Option<i32>, String, Value) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
    let output = command.args(words).arg("--json").arg(&json).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let report = std::fs::read_to_string(json).unwrap_or_else(|why| panic!("{words:?}: {why}: {said}"));
    (output.status.code(), said, serde_json::from_str(&report).unwrap())
}

/// Exactly the deadly row fails, for that it killed the broker.
#[track_caller]
fn check(report: &Value) {
    let cases = report["cases"].as_array().unwrap();
    let other = |case: &&Value| case["verdict"] != "pass" && case["verdict"] != "skip";
    let not_passed: Vec<_> = cases.iter().filter(other).collect();
    assert_eq!(not_passed.len(), 1, "{not_passed:?}");
    assert_eq!((&not_passed[0]["id"], &not_passed[0]["verdict"]), (&DEADLY.into(), &"fail".into()));
    let text = not_passed[0].to_string();
    assert!(text.contains("the target died: it "), "{text}");
}

#[test]
fn who_kills_a_process_fails_alone_and_the_printed_command_repeats_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mortal.ron").to_str().unwrap().to_owned();
    let program = std::env::current_exe().unwrap();
    let start = format!("{PORT}={{port}} exec '{}' --exact mortal::broker --nocapture", program.display());
    let text = format!(
        "(name: \"Mortal\", install: [ByHand(\"build it\")], start: [\"sh\", \"-c\", {start:?}], \
         version: [\"echo\", \"1.0\"], protocols: [\"5.0\"], supports: (sys: false))"
    );
    std::fs::write(&file, text).unwrap();

    let (code, said, report) = conform(&["conform", &file, "--filter", "malformed/subscribe-"]);
    assert_eq!(code, Some(1), "{said}");
    check(&report);
    assert!(report["cases"].as_array().unwrap().len() > 50, "{said}");
    assert!(said.contains("playing") && said.contains("cases again"), "{said}");

    let repeat = said.lines().find_map(|line| line.trim().strip_prefix("repeat")).unwrap();
    let words: Vec<_> = repeat.split_whitespace().skip(1).collect();
    assert!(words.contains(&DEADLY), "{repeat}");
    let (code, said, report) = conform(&words);
    assert_eq!((code, report["cases"].as_array().unwrap().len()), (Some(1), 1), "{said}");
    check(&report);
}

#[test]
fn who_makes_a_broker_panic_in_virtual_time_fails_alone() {
    let panics = || panic!("QoS 3 was never thought of");
    let runs: Vec<_> = cases()
        .filter(|case| case.id.starts_with("malformed/subscribe-"))
        .map(|case| Run {
            id: case.id,
            claim: case.claim,
            protocol: Version::V5.as_str(),
            clauses: catalogue().clauses(case.covers, Version::V5),
            isolation: case.isolation,
            play: Box::new(move || {
                let setting = Setting {
                    version: Version::V5,
                    route: Route::default(),
                    token: "mortal".into(),
                    number: 1,
                    timing: Timing::for_round_trip(Duration::from_millis(1)),
                    supports: Supports::default(),
                    login: None,
                    disposable: true,
                };
                let start = Box::new(move |_| Box::new(Mortal::new(panics)) as Box<dyn Node>);
                let world = SimWorld::new(Rng::stream(1, case.id), Wire::default(), &[(Endpoint::Tcp, 0)], start);
                play(case, setting, Box::new(world))
            }),
        })
        .filter(|run| !run.clauses.is_empty())
        .collect();
    let judge = Judge {
        level: &|clause| catalogue().level(clause).unwrap_or(Level::Must),
        dissect: &|protocol| Box::new(Words::of(protocol.parse().unwrap())),
        strict: false,
    };
    let runner = Runner {
        jobs: 2,
        watched: 2,
        heavy: 1,
        fail_fast: false,
        judge,
        target: None,
        aside: None,
        clock: &|| Duration::ZERO,
    };
    let report = runner.play(&runs, &mut |_| {});
    let passed = runs.len() - 1;
    assert_eq!(Summary::of(&report.results), Summary { pass: passed, fail: 1, ..Summary::default() });
    let failed = report.results.iter().find(|done| matches!(done.verdict, Verdict::Fail(_))).unwrap();
    assert_eq!(failed.id, DEADLY);
    let why = failed.verdict.why().unwrap();
    assert!(why.starts_with("the target panicked: QoS 3 was never thought of"), "{why}");
}

//! The books of a fleet can fail: for kinds of expectations a fleet that keeps it with the reference broker, and a broken
//! broker with which it does not.

use harness::node::Node;
use testament::fleet::report::Report;
use testament::fleet::run::{play_against, reference};
use testament::fleet::shard::Shard;
use testament::mutant::{Mutant, mutants};
use testament::{links, scenario};

/// A hall of machines that speak at each level, are asked, and fall silent once; and readers of all that.
const HALL: &str = r#"Scenario(about: "a hall", lasts: "4m", calm: "5m", links: { "air": Profile("lte-m") },
    fleet: [
        (name: "machine", count: 6, link: "air", keep_alive: "20s", patience: "8s", starts: Ramp("5s"),
         session: (clean_start: false, expiry: "1h"), will: (topic: "gone/{id}", qos: 1, retain: true), does: [
            Publish(topic: "one/{id}", qos: 1, every: "2s", retain: true),
            Publish(topic: "two/{id}", qos: 2, every: "500ms"),
            Publish(topic: "none/{id}", qos: 0, every: "3s"),
            Answer(filter: "ask/{id}", topic: "told/{id}", qos: 1),
        ]),
        (name: "visitor", count: 2, keep_alive: "20s", will: (topic: "gone/{id}", qos: 1), duty_cycle: (on: "20s", off: "20s")),
        (name: "late", count: 2, keep_alive: "20s", session: (clean_start: false, expiry: "1h"),
         will: (topic: "late/{id}", qos: 1, delay: "2m"), does: [Publish(topic: "here/{id}", qos: 1, every: "5s")]),
        (name: "reader", count: 2, link: "air", patience: "8s", session: (clean_start: false, expiry: "1h"), does: [
            Listen(filter: "one/+", qos: 1),
            Listen(filter: "two/+", qos: 2),
            Listen(filter: "none/+", qos: 0),
            Listen(filter: "gone/+", qos: 1),
            Listen(filter: "late/+", qos: 1),
        ]),
        (name: "member", count: 2, session: (clean_start: false, expiry: "1h"), does: [Listen(filter: "$share/g/two/+", qos: 2)]),
        (name: "boss", count: 1, does: [
            Ask(topic: "ask/{target}", answer: "told/{target}", of: "machine", every: "2s", within: "20s", qos: 1),
        ]),
    ],
    timeline: [
        At("40s", Cut(group: "machine", lasts: "60s")),
        At("50s", Cut(group: "reader", lasts: "20s")),
        At("120s", Reset(group: "machine")),
        At("130s", Reset(group: "late")),
        At("140s", Reset(group: "reader", after: 1001, only: Down)),
        At("141s", Reset(group: "member", after: 301, only: Down)),
        At("160s", Reset(group: "machine", after: 207)),
        At("170s", HalfOpen(group: "machine")),
        At("200s", Reset(group: "reader", after: 3001, only: Down)),
    ],
    expect: [EXPECTATION])"#;

/// A machine whose messages all go to one reader, which is never away: there each one that follows another can be told.
const LINE: &str = r#"Scenario(about: "a line", lasts: "2m", calm: "1m", links: { "lan": Link(delay: (mean: "5ms")) },
    fleet: [
        (name: "machine", count: 1, link: "lan", starts: At("1s"), does: [Publish(topic: "two/{id}", qos: 2, every: "500ms")]),
        (name: "reader", count: 1, link: "lan", does: [Listen(filter: "two/+", qos: 2)]),
    ],
    expect: [EXPECTATION])"#;

fn played(scenario: &str, expectation: &str, server: impl Fn(u64) -> Box<dyn Node>) -> Report {
    let text = scenario.replace("EXPECTATION", expectation);
    let plan = scenario::check(&text, &links::all()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let seed = plan.seed;
    play_against(plan, Shard::WHOLE, Box::new(move || server(seed))).expect("a small fleet").report()
}

/// In the hall the broker keeps `expectation`, and this mutant of it does not.
fn check(expectation: &str, mutant: &str) {
    check_in(HALL, expectation, mutant);
}

fn check_in(scenario: &str, expectation: &str, mutant: &str) {
    let kept = played(scenario, expectation, |seed| Box::new(reference(seed)));
    assert!(kept.is_met(), "{}", kept.text());
    let all = mutants();
    let mutant: &Mutant = all.iter().find(|it| it.name == mutant).unwrap_or_else(|| panic!("no mutant {mutant}"));
    let broken = played(scenario, expectation, |seed| mutant.listening(reference(seed)));
    assert!(!broken.is_met(), "{} keeps {expectation}\n{}", mutant.name, broken.text());
}

#[test]
fn what_is_lost_shows() {
    check("NoLoss(qos: 1)", "delivers-every-other-message");
}

#[test]
fn what_comes_twice_shows() {
    check("NoDuplicates()", "delivers-twice");
    check("NoDuplicates(qos: 0)", "delivers-twice");
}

/// Where many machines speak, those that change places are of different ones nearly always, and that is no disorder.
#[test]
fn what_changes_places_shows() {
    check_in(LINE, "InOrder", "swaps-every-other-message");
}

#[test]
fn what_arrives_too_seldom_shows() {
    check("Delivered(share: 0.9)", "delivers-every-other-message");
    check("Delivered(share: 0.9, qos: 2)", "delivers-every-other-message");
}

#[test]
fn wills_that_fail_show() {
    check("WillsExact", "never-publishes-a-will");
    check("WillsExact", "publishes-a-will-in-spite-of-disconnect");
}

#[test]
fn retained_messages_that_are_gone_or_wrong_show() {
    check("RetainedExact", "stores-nothing");
    check("RetainedExact", "stores-everything");
    check("RetainedExact", "never-stores-a-will");
}

#[test]
fn lies_about_sessions_show() {
    check("SessionsTrue", "calls-no-session-present");
    check("SessionsTrue", "starts-every-session-anew");
}

#[test]
fn a_broker_that_answers_nothing_keeps_nobody() {
    check("ReconnectedWithin(\"1m\")", "never-answers-connect");
    check("Latency(p: 99, below: \"2m\")", "never-answers-connect");
    check("Answered(share: 0.5)", "never-answers-connect");
}

//! The books of a fleet can fail: for kinds of expectations a fleet that keeps it with the reference broker, and a broken
//! broker with which it does not.

use std::collections::VecDeque;

use harness::node::{ConnId, Input, Node, Output};
use harness::time::Instant;
use testament::broker::Broker;
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

/// A machine that speaks while it is off, too, and has a new session each time it is on: what it made meanwhile goes out once.
const NIGHT: &str = r#"Scenario(about: "a night", lasts: "2m", calm: "1m", links: { "lan": Link(delay: (mean: "5ms")) },
    fleet: [
        (name: "machine", count: 1, version: V311, link: "lan", starts: At("1s"), duty_cycle: (on: "2s", off: "8s"), does: [
            Publish(topic: "two/{id}", qos: 2, every: "500ms"),
        ]),
        (name: "reader", count: 1, version: V311, link: "lan", does: [Listen(filter: "two/+", qos: 2)]),
    ],
    expect: [EXPECTATION])"#;

/// The reference broker, but that each QoS 2 message goes out once more, under an identifier of its own.
struct Twice {
    broker: Broker,
    more: VecDeque<(ConnId, Vec<u8>)>,
    said: Vec<u8>,
}

impl Node for Twice {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.broker.handle(now, input);
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        if let Some((conn, said)) = self.more.pop_front() {
            self.said = said;
            return Some(Output::Send { conn, head: &self.said, tail: None });
        }
        let output = self.broker.poll()?;
        if let Output::Send { conn, head, tail } = &output {
            let bytes = [*head, tail.map_or(&[][..], |tail| tail.as_slice())].concat();
            // In these short packets one byte tells the length.
            let mut rest = &bytes[..];
            while let [first, length, ..] = *rest {
                let (packet, after) = rest.split_at(usize::from(length) + 2);
                if first & 0xF6 == 0x34 {
                    let mut packet = packet.to_vec();
                    let at = 4 + usize::from(packet[3]);
                    packet[at] ^= 0x80;
                    self.more.push_back((*conn, packet));
                }
                rest = after;
            }
        }
        Some(output)
    }

    fn deadline(&self) -> Option<Instant> {
        self.broker.deadline()
    }
}

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
    let broken = played(NIGHT, "NoDuplicates(qos: 2)", |seed| {
        Box::new(Twice { broker: reference(seed), more: VecDeque::new(), said: Vec::new() })
    });
    let (again, wrong) = (broken.messages[0].account.repeated, broken.messages[0].account.duplicated);
    assert!(again > 200 && wrong == again, "{again} {wrong}\n{}", broken.text());
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

/// A reader that is away longer than messages live, and one that reads more slowly than they come.
const SEASONS: &str = r#"Scenario(about: "seasons", lasts: "1m", calm: "30s", links: { "lan": Link(delay: (mean: "5ms")) },
    fleet: [
        (name: "writer", count: 1, link: "lan", does: [
            Publish(topic: "soon/{id}", qos: 1, every: "1s", size: 100, expiry: "3s"),
        ]),
        (name: "away", count: 1, link: "lan", session: (clean_start: false, expiry: "1h"), does: [Listen(filter: "soon/+", qos: 1)]),
        (name: "slow", count: 1, link: "lan", reads: 60, keep_alive: "5m", patience: "5m", does: [Listen(filter: "soon/+", qos: 1)]),
    ],
    timeline: [At("5s", Leave(group: "away", lasts: "20s"))],
    expect: [EXPECTATION])"#;

#[test]
fn what_had_expired_and_came_shows() {
    check_in(SEASONS, "NoneExpired", "ignores-the-message-expiry");
}

/// What a broker holds back shows beside what links and readers hold up: though the last of it may be under way, what was
/// overtaken is not.
#[test]
fn what_is_lost_to_a_slow_reader_shows() {
    let slow = LINE.replace(
        "link: \"lan\", does: [Listen",
        "link: \"lan\", reads: 80, keep_alive: \"5m\", patience: \"5m\", does: [Listen",
    );
    let found = |server: &dyn Fn(u64) -> Box<dyn Node>| {
        let report = played(&slow, "NoLoss(qos: 2)", server);
        let sum =
            |of: fn(&harness::ledger::Account) -> u64| report.messages.iter().map(|it| of(&it.account)).sum::<u64>();
        (report.broken(), sum(|account| account.lost), sum(|account| account.under_way))
    };
    let (broken, lost, under_way) = found(&|seed| Box::new(reference(seed)));
    assert!((broken, lost) == (0, 0) && under_way > 10, "{broken} {lost} {under_way}");
    let mutants = mutants();
    let mutant = mutants.iter().find(|it| it.name == "delivers-every-other-message").expect("a mutant");
    let (broken, lost, under_way) = found(&|seed| mutant.listening(reference(seed)));
    assert!(broken == 1 && lost > 10, "{broken} {lost} {under_way}");
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

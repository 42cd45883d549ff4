//! What became of a run: one value, from which every form of the report is made. It is also the form for machines
//! (docs/scenarios.md). All but `run`, which says how the run itself went, repeats byte for byte with the scenario and
//! the seed.

mod course;
pub mod html;
pub mod junit;
mod making;
pub mod markdown;
mod plots;
pub mod terminal;
mod timeline;
mod wording;

use harness::ledger::{Account, Breach, Guarantee};
use harness::metrics::Spans;
use serde::Serialize;

pub use timeline::{Event, Moment};

use super::measured::Run;
use super::shelf::Retention;
use super::tally::Trouble;
use super::verdict::Judgement;
use crate::scenario::schema::Phase;

/// The edition of the JSON form; it changes when a reader of the old one could be misled.
const FORMAT: u32 = 2;
/// The report of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The edition of this form.
    pub format: u32,
    /// What the scenario shows.
    pub about: String,
    /// The seed.
    pub seed: u64,
    /// How many devices there are.
    pub devices: u32,
    /// Seconds of weather.
    pub lasts: f64,
    /// Seconds of calm.
    pub calm: f64,
    /// What was expected and what was found.
    pub expectations: Vec<Judgement>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// The groups.
    pub groups: Vec<Group>,
    /// What became of the messages.
    pub messages: Vec<Messages>,
    /// How many messages came to somebody who does not read what they were written for.
    pub unsolicited: u64,
    /// The first breaches of each kind.
    pub findings: Vec<Named>,
    /// What the server keeps for late subscribers, compared with what it must; absent where nobody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retained: Option<Retention>,
    /// What happened over time.
    pub series: Series,
    /// How the run itself went: all that does not repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// One group.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its devices.
    pub devices: u32,
    /// Connections accepted.
    pub connected: u64,
    /// Of these, how many found the session that the server had kept.
    pub resumed: u64,
    /// Times the server said something untrue about a session.
    pub untrue_sessions: u64,
    /// Connections lost.
    pub lost: u64,
    /// Attempts to connect that came to nothing.
    pub failed: u64,
    /// Messages made, by QoS.
    pub published: [u64; 3],
    /// Messages accepted, by QoS; at QoS 0 nobody says.
    pub accepted: [u64; 3],
    /// Messages not made for want of a connection or a place.
    pub skipped: u64,
    /// Messages refused, or given up with a session.
    pub refused: u64,
    /// What connections, attempts and messages came to grief of, the most frequent first.
    pub troubles: Vec<Grief>,
    /// Messages read that are not of this run.
    pub foreign: u64,
    /// Questions asked.
    pub asked: u64,
    /// Questions answered in time.
    pub answered: u64,
    /// How long devices were without a connection that they had lost.
    pub away: Quantiles,
    /// From the end of what was done to them until they were connected again.
    pub recovery: Quantiles,
    /// How long the messages of the group took, by QoS and phase.
    pub latency: Vec<Latency>,
}

/// What came to grief for one reason.
#[derive(Clone, Debug, Serialize)]
pub struct Grief {
    /// The reason.
    pub why: String,
    /// How much.
    #[serde(flatten)]
    pub trouble: Trouble,
}

/// How long messages took, from the moment each was meant to be sent to its first arrival.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// Their QoS.
    pub qos: u8,
    /// When they arrived.
    pub phase: Phase,
    /// How long.
    #[serde(flatten)]
    pub quantiles: Quantiles,
    /// All of it: microseconds in two digits, and how many messages.
    pub spans: Spans,
}

/// A distribution by its quantiles, in seconds; absent where there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many values.
    pub count: u64,
    /// The median.
    pub p50: Option<f64>,
    /// 90 % are not above.
    pub p90: Option<f64>,
    /// 99 % are not above.
    pub p99: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

impl Quantiles {
    pub(super) fn of(spans: &Spans) -> Self {
        let at = |share| spans.quantile(share).map(|span| span.as_secs_f64());
        let max = spans.longest().map(|span| span.as_secs_f64());
        Self { count: spans.count(), p50: at(0.5), p90: at(0.9), p99: at(0.99), max }
    }
}

/// What became of the messages of one group for another.
#[derive(Clone, Debug, Serialize)]
pub struct Messages {
    /// Who wrote them.
    pub from: String,
    /// Whether they are wills.
    pub wills: bool,
    /// Who reads them.
    pub to: String,
    /// How often they may arrive.
    pub guarantee: Guarantee,
    /// What became of them.
    #[serde(flatten)]
    pub account: Account,
}

/// A breach in names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    /// What was broken.
    pub breach: Breach,
    /// What kind of message it was: `message`, `question`, `answer` or `will`.
    pub what: &'static str,
    /// Its number among those that its writer wrote there, from 0.
    pub number: u32,
    /// Who wrote it; nobody in particular where several could have.
    pub writer: String,
    /// Where it was published.
    pub topic: Option<String>,
    /// For whom it was.
    pub reader: String,
    /// When it showed, in seconds; of what is missing, when it was sent, or a little before.
    pub at: f64,
}

/// What happened over time.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// Seconds in an interval.
    pub width: f64,
    /// The intervals in which anything happened, at most 300.
    pub points: Vec<Point>,
}

/// An interval of time.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// When it begins, in seconds.
    pub at: f64,
    /// How many devices are connected at its end.
    pub connected: i64,
    /// How many messages wait at its end for a connection, or for the server to confirm them.
    pub waiting: i64,
    /// Connections accepted in it.
    pub accepted: u64,
    /// Attempts to connect that came to nothing in it.
    pub failed: u64,
    /// Messages made in it.
    pub published: u64,
    /// Messages that arrived in it, each counted once for each reader.
    pub arrived: u64,
    /// How long these took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Quantiles>,
}

impl Report {
    /// Whether all that was expected was put to the test and met.
    pub fn is_met(&self) -> bool {
        self.expectations.iter().all(|judgement| judgement.met == Some(true))
    }

    /// The report for people, without colour.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        // Writing to memory does not fail.
        let _ = terminal::write(&mut out, self, false);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// How many expectations were not met.
    pub fn broken(&self) -> usize {
        self.expectations.iter().filter(|judgement| judgement.met == Some(false)).count()
    }

    /// How many expectations nothing put to the test.
    fn unproven(&self) -> usize {
        self.expectations.iter().filter(|judgement| judgement.met.is_none()).count()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use harness::ledger::{Balance, Entry, Finding};
    use harness::time::Instant;

    use super::*;
    use crate::fleet::roster::Roster;
    use crate::fleet::run::Outcome;
    use crate::fleet::tally::Tally;
    use crate::packet::QoS;
    use crate::scenario;

    /// A report with a bit of everything, and with text that every form must escape.
    pub(super) fn sample() -> Report {
        let text = r#"Scenario(about: "a <tunnel> & what comes after", seed: 7, lasts: "10m", calm: "2m", fleet: [
            (name: "train", count: 3, starts: Ramp("30s"), will: (topic: "gone/{id}"),
             does: [Publish(topic: "at/{id}/<b>", qos: 1, every: "10s")]),
            (name: "room", count: 1, does: [Listen(filter: "at/#", qos: 1), Listen(filter: "gone/+", qos: 0)]),
        ], timeline: [
            At("2m", Cut(group: "train", lasts: "1m")), At("5m", Restart(node: "broker", keeps: State)),
        ], expect: [NoLoss(qos: 1), WillsExact, Latency(p: 50, below: "1s", phase: Weather)])"#;
        let plan = scenario::check(text, &[]).expect("a legal scenario");
        let (roster, _) = Roster::new(&plan).expect("a small one");
        let at = |second: u64| Instant::ZERO + Duration::from_secs(second);
        let mut tally = Tally::new(2, plan.lasts + plan.calm);
        for second in [1, 10, 20] {
            tally.series.at(at(second)).connected += 1;
        }
        for second in (30..600).step_by(30) {
            tally.series.at(at(second)).published += 3;
            tally.arrived(at(second), 0, QoS::AtLeastOnce, Phase::Weather, Duration::from_millis(second));
        }
        tally.arrived(at(601), 0, QoS::AtLeastOnce, Phase::Calm, Duration::from_secs(200));
        tally.series.at(at(130)).connected -= 2;
        tally.series.at(at(150)).failed += 4;
        tally.series.at(at(150)).waiting += 12;
        tally.series.at(at(190)).waiting -= 12;
        tally.series.at(at(190)).connected += 2;
        (tally.groups[0].connected, tally.groups[0].resumed, tally.groups[0].lost, tally.groups[0].failed) =
            (5, 2, 2, 4);
        tally.groups[0].trouble("no PINGRESP in <time>".to_owned()).lost += 2;
        tally.groups[0].trouble("no connection in time".to_owned()).failed += 4;
        tally.groups[0].away.record(Duration::from_secs(60));
        let messages = Account { sent: 57, owed: 57, arrived: 53, lost: 4, repeated: 1, ..Account::default() };
        let wills = Account { sent: 5, arrived: 3, prior: 1, unowed: 3, ..Account::default() };
        let entry = |from, guarantee, account| Entry { from, to: 1, guarantee, account };
        let finding = |sequence| Finding { breach: Breach::Lost, stream: 1, sequence, reader: 0, at: 130_000_000_000 };
        let balance = Balance {
            entries: vec![entry(0, Guarantee::AtLeastOnce, messages), entry(2, Guarantee::AtMostOnce, wills)],
            findings: [4, 5, 9].map(finding).to_vec(),
            ..Balance::default()
        };
        let run = Run {
            repeat: "testament fleet 'a<b.ron' --seed 7".to_owned(),
            began: "2026-11-22T20:00:00".to_owned(),
            target: "the bundled broker in virtual time".to_owned(),
            hosts: ["a machine".to_owned()].into(),
            wall: 1.5,
            processes: 1,
            memory: Some(8000),
            interrupted: None,
            live: None,
        };
        Report {
            run: Some(run),
            ..Report::new(&plan, &roster, &Outcome { balance, tally, retained: None, connected: 4 })
        }
    }

    #[test]
    fn the_timeline_tells_what_a_fault_did_to_the_connections() {
        let told: Vec<_> = sample().timeline.into_iter().map(|it| (it.at, it.until, it.event, it.then)).collect();
        let fell = "connected devices fall from 3 to 1; as many again by 3.2 min".to_owned();
        let stood = "no fewer devices are connected than the 3 before".to_owned();
        assert_eq!(
            told,
            [
                (0.0, None, Event::Start, None),
                (0.0, None, Event::Start, None),
                (120.0, Some(180.0), Event::Fault, Some(fell)),
                (300.0, None, Event::Fault, Some(stood)),
                (600.0, None, Event::Calm, None),
            ]
        );
    }
}

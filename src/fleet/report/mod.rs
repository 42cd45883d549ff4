//! What became of a run: one value, from which every form of the report is made. It is also the form for machines
//! (docs/scenarios.md). All but `run`, which says how the run itself went, repeats byte for byte with the scenario and
//! the seed.

mod course;
pub mod html;
pub mod junit;
pub mod markdown;
mod plots;
pub mod terminal;
mod timeline;

use std::collections::BTreeMap;

use harness::ledger::{Account, Balance, Breach, Finding, Guarantee};
use harness::metrics::Spans;
use serde::Serialize;

pub use timeline::{Event, Moment};

use super::measured::Run;
use super::roster::{Origin, Own, Roster};
use super::run::Outcome;
use super::shelf::Retention;
use super::tally::Trouble;
use super::verdict::{Judgement, judge};
use super::words;
use crate::scenario::plan::{Duty, Plan, Publish};
use crate::scenario::schema::Phase;

/// The edition of the JSON form; it changes when a reader of the old one could be misled.
const FORMAT: u32 = 1;
/// What the two phases of a run are.
const PHASES: &str =
    "Weather: all that the scenario has in store happens. Calm: all is healed, and what is owed must come.";
/// What the columns of the ledger mean.
const OWED: &str = "A message is owed when the broker has confirmed it to its writer while the reader was subscribed; what is \
    owed and never came is missing. At QoS 1 a message may come again.";
/// What its column `before` means.
const BEFORE: &str =
    "Before: of what arrived, what was sent before its reader had subscribed, such as what is retained.";
/// What its column `under way` means.
const UNDER_WAY: &str = "Under way: owed, and in the end the way to the reader was not free, so that nobody can tell whether it \
    would have come.";
/// The columns of the ledger that add up.
const SUM: [&str; 6] = ["sent", "before", "arrived", "missing", "under way", "not owed"];
/// What its rows of wills mean.
const WILLS: &str = "Each connection writes a last will of its own. It is due when the connection is lost, and not owed while \
    that stands; nor may it come when its writer takes leave, or is back within the delay of the will.";
/// What the table of devices shows of each group.
const DEVICES: [&str; 9] =
    ["devices", "connected", "session kept", "session untrue", "lost", "failed", "away p50", "away max", "back max"];
/// What its columns mean.
const AWAY: &str = "Session kept: connects that found the session of before. Away: from the loss of a connection to the next \
    one. Back: from the end of what was done to a device until it was connected again.";

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

impl Group {
    /// What the table of devices shows of it, in the order of [`DEVICES`].
    fn cells(&self) -> [String; 9] {
        let Self { devices, connected, resumed, untrue_sessions, lost, failed, away, recovery, .. } = self;
        let [devices, connected, resumed, untrue, lost, failed] =
            [u64::from(*devices), *connected, *resumed, *untrue_sessions, *lost, *failed].map(words::count);
        let [median, longest, back] = [away.p50, away.max, recovery.max].map(words::seconds);
        [devices, connected, resumed, untrue, lost, failed, median, longest, back]
    }
}

impl Report {
    /// Whether any message came that was sent before its reader had subscribed.
    fn has_prior(&self) -> bool {
        self.messages.iter().any(|messages| messages.account.prior > 0)
    }

    /// Whether anything was still under way in the end.
    fn has_under_way(&self) -> bool {
        self.messages.iter().any(|messages| messages.account.under_way > 0)
    }

    /// Which of the columns [`SUM`] show: some have nothing in them nearly always.
    fn shown(&self) -> [bool; 6] {
        [true, self.has_prior(), true, true, self.has_under_way(), true]
    }

    /// What adds up in each row of the ledger.
    fn sum(&self) -> String {
        let shown = SUM.into_iter().zip(self.shown()).filter_map(|(column, shows)| shows.then_some(column));
        let columns: Vec<_> = shown.collect();
        let (left, right) = columns.split_at(columns.len() - 3 - usize::from(self.has_under_way()));
        format!("{} = {}", left.join(" + "), right.join(" + "))
    }

    /// What the ledger means, as far as it shows, that of wills with it or without.
    fn books(&self, with_wills: bool) -> String {
        let wills = with_wills && self.messages.iter().any(|messages| messages.wills);
        let shown = [(true, OWED), (self.has_under_way(), UNDER_WAY), (self.has_prior(), BEFORE), (wills, WILLS)];
        shown.into_iter().filter_map(|(shows, what)| shows.then_some(what)).collect::<Vec<_>>().join(" ")
    }

    /// What was played: how many devices, for how long, by which seed. A run that was interrupted has no calm.
    fn setting(&self) -> String {
        let devices = words::some(self.devices.into(), "device", "devices");
        let groups = words::some(self.groups.len() as u64, "group", "groups");
        let weather = words::seconds(Some(self.lasts));
        let calm =
            if self.calm > 0.0 { format!(", then {} of calm", words::seconds(Some(self.calm))) } else { String::new() };
        format!("{devices} in {groups}; {weather} of weather{calm}; seed {}", self.seed)
    }

    /// What became of the promises, in a few words.
    fn verdict(&self) -> String {
        let numbers = [self.expectations.len(), self.broken(), self.unproven()].map(|number| number as u64);
        let [broken, unproven] = [numbers[1], numbers[2]].map(words::count);
        let promises = words::some(numbers[0], "promise", "promises");
        match numbers {
            [0, ..] => self.unjudged().0.to_lowercase(),
            [_, 0, 0] => format!("{promises} kept"),
            [_, 0, _] => format!("{unproven} of {promises} unproven"),
            [_, _, 0] => format!("{broken} of {promises} broken"),
            _ => format!("{broken} of {promises} broken, {unproven} unproven"),
        }
    }

    /// That no promise is judged, where there is none, and why.
    fn unjudged(&self) -> (&'static str, &'static str) {
        let live = self.run.as_ref().and_then(|run| run.live.as_ref());
        match live.and_then(|live| live.interrupted) {
            Some(_) => ("Nothing is judged", "the run was interrupted"),
            None => ("Nothing was promised", "the scenario expects nothing"),
        }
    }

    /// The report of `outcome`, of which `roster` knows the names.
    pub fn new(plan: &Plan, roster: &Roster, outcome: &Outcome) -> Self {
        let Outcome { balance, tally, .. } = outcome;
        let groups = plan.groups.iter().zip(&tally.groups).map(|(group, tally)| Group {
            name: group.name.clone(),
            devices: group.count,
            connected: tally.connected,
            resumed: tally.resumed,
            untrue_sessions: tally.untrue_sessions,
            lost: tally.lost,
            failed: tally.failed,
            published: tally.published,
            accepted: tally.accepted,
            skipped: tally.skipped,
            refused: tally.refused,
            troubles: griefs(&tally.troubles),
            foreign: tally.foreign,
            asked: tally.asked,
            answered: tally.answered,
            away: Quantiles::of(&tally.away),
            recovery: Quantiles::of(&tally.recovery),
            latency: latency(&tally.latency),
        });
        let series = series(&tally.series);
        Self {
            format: FORMAT,
            about: plan.about.clone(),
            seed: plan.seed,
            devices: plan.devices(),
            lasts: plan.lasts.as_secs_f64(),
            calm: plan.calm.as_secs_f64(),
            expectations: judge(plan, outcome),
            timeline: timeline::of(plan, &series),
            groups: groups.collect(),
            messages: messages(plan, balance),
            unsolicited: balance.unsolicited,
            findings: balance.findings.iter().map(|finding| named(plan, roster, finding)).collect(),
            retained: outcome.retained.clone(),
            series,
            run: None,
        }
    }

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

    /// How often something was broken, whether or not a finding tells of it.
    fn breaches(&self, breach: Breach) -> u64 {
        let each = self.messages.iter().map(|messages| match breach {
            Breach::Lost => messages.account.lost,
            Breach::Duplicated => messages.account.duplicated,
            Breach::Reordered => messages.account.reordered,
            Breach::Forbidden => messages.account.forbidden,
            Breach::Invented => messages.account.invented,
            Breach::Expired => messages.account.expired,
            Breach::Unsolicited => 0,
        });
        if breach == Breach::Unsolicited { self.unsolicited } else { each.sum() }
    }

    /// What was broken, kind by kind.
    fn broken_down(&self) -> Vec<Broken> {
        let mut kinds: Vec<_> = self.findings.iter().map(|finding| finding.breach).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let broken = |breach| {
            let findings: Vec<_> = self.findings.iter().filter(|finding| finding.breach == breach).collect();
            // Those that follow each other are told together.
            let follows = |one: &&Named, next: &&Named| {
                (&one.writer, &one.topic, &one.reader, one.number + 1)
                    == (&next.writer, &next.topic, &next.reader, next.number)
            };
            let count = self.breaches(breach);
            let more = count.saturating_sub(findings.len() as u64);
            Broken { breach, count, named: findings.chunk_by(follows).map(told).collect(), more }
        };
        kinds.into_iter().map(broken).collect()
    }
}

/// What was broken in one way.
struct Broken {
    breach: Breach,
    /// How many messages show it.
    count: u64,
    /// When it showed, and which messages they are.
    named: Vec<(String, String)>,
    /// How many are not named.
    more: u64,
}

/// When it showed, and which messages it is about: some that follow each other.
fn told(findings: &[&Named]) -> (String, String) {
    let [first, .., last] = findings else {
        return findings.first().map(|only| (only.shown(), only.message())).unwrap_or_default();
    };
    let numbers = format!("{}s {} to {}", first.what, first.number, last.number);
    (first.shown(), format!("{numbers}{}", first.whose()))
}

impl Messages {
    /// Whose they are, in words.
    fn way(&self) -> String {
        let Self { from, to, .. } = self;
        if self.wills { format!("last wills of {from} to {to}") } else { format!("{from} to {to}") }
    }

    /// What the books say of them, as far as it adds up, in the order of [`SUM`].
    fn sum(&self) -> [u64; 6] {
        let Account { sent, prior, arrived, lost, under_way, unowed, .. } = self.account;
        [sent, prior, arrived, lost, under_way, unowed]
    }
}

impl Named {
    /// When it showed, in words; of what is missing, when it was sent.
    fn shown(&self) -> String {
        words::seconds(Some(self.at))
    }

    /// Which message it is, in words.
    fn message(&self) -> String {
        format!("{} {}{}", self.what, self.number, self.whose())
    }

    /// Where it was published, by whom and for whom.
    fn whose(&self) -> String {
        let topic = self.topic.as_ref().map_or(String::new(), |topic| format!(" on {topic}"));
        format!("{topic} by {}, for {}", self.writer, self.reader)
    }
}

/// What it means that something was broken.
const fn said(breach: Breach) -> &'static str {
    match breach {
        Breach::Lost => "owed, and never came; listed by when each was sent",
        Breach::Duplicated => "came twice, and must not at its QoS",
        Breach::Reordered => "came behind a later message of its writer",
        Breach::Forbidden => "a will that came and must not: its writer had taken leave, or was back within the delay",
        Breach::Invented => "came before it was sent",
        Breach::Expired => "came although it had expired before the server began to send it",
        Breach::Unsolicited => "came to somebody who had not subscribed to it",
    }
}

fn griefs(troubles: &BTreeMap<String, Trouble>) -> Vec<Grief> {
    let grief = |(why, trouble): (&String, &Trouble)| Grief { why: why.clone(), trouble: *trouble };
    let mut griefs: Vec<_> = troubles.iter().map(grief).collect();
    griefs.sort_by_key(|grief| std::cmp::Reverse(grief.trouble.lost + grief.trouble.failed + grief.trouble.refused));
    griefs
}

fn latency(spans: &[((u8, Phase), Spans)]) -> Vec<Latency> {
    let of = |((qos, phase), spans): &((u8, Phase), Spans)| {
        let (qos, phase) = (*qos, *phase);
        Latency { qos, phase, quantiles: Quantiles::of(spans), spans: spans.clone() }
    };
    spans.iter().map(of).collect()
}

fn messages(plan: &Plan, balance: &Balance) -> Vec<Messages> {
    let name = |number: u16| plan.groups[usize::from(number) % plan.groups.len()].name.clone();
    let of = |entry: &harness::ledger::Entry| Messages {
        from: name(entry.from),
        wills: usize::from(entry.from) >= plan.groups.len(),
        to: name(entry.to),
        guarantee: entry.guarantee,
        account: entry.account,
    };
    balance.entries.iter().map(of).collect()
}

fn series(series: &harness::metrics::Series<super::tally::Interval>) -> Series {
    let (mut connected, mut waiting) = (0, 0);
    let points = series.iter().map(|(at, interval)| {
        connected += interval.connected;
        waiting += interval.waiting;
        Point {
            at: at.elapsed().as_secs_f64(),
            connected,
            waiting,
            accepted: interval.accepted,
            failed: interval.failed,
            published: interval.published,
            arrived: interval.arrived,
            latency: interval.latency.as_ref().map(Quantiles::of),
        }
    });
    Series { points: points.collect(), width: series.width().as_secs_f64() }
}

/// A finding with the names of what it is about.
fn named(plan: &Plan, roster: &Roster, finding: &Finding) -> Named {
    let (origin, place) = roster.origin(finding.stream);
    let own = |group: usize, number: u32| Own::new(&plan.groups[group], number);
    let (what, writer, topic) = match origin {
        Origin::Duty(group, duty) => match &plan.groups[group].does[duty] {
            Duty::Publish(Publish { topic, .. }) => {
                let own = own(group, place);
                ("message", own.id().to_owned(), Some(topic.fill(&own.names(""))))
            }
            _ => ("question", plan.groups[group].name.clone(), None),
        },
        Origin::Will(group) => {
            let own = own(group, place);
            let topic = plan.groups[group].will.as_ref().map(|will| will.topic.fill(&own.names("")));
            ("will", own.id().to_owned(), topic)
        }
        Origin::Answers => ("answer", "one who was asked".to_owned(), None),
    };
    let reader = roster.reader(finding.reader).map(|(group, number)| own(group, number).id().to_owned());
    Named {
        breach: finding.breach,
        what,
        number: finding.sequence,
        writer,
        topic,
        reader: reader.unwrap_or_else(|| "nobody".to_owned()),
        at: finding.at as f64 / 1e9,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use harness::ledger::Entry;
    use harness::time::Instant;

    use super::*;
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
            live: None,
        };
        Report {
            run: Some(run),
            ..Report::new(&plan, &roster, &Outcome { balance, tally, retained: None, connected: 4 })
        }
    }

    #[test]
    fn what_follows_each_other_is_told_together_and_all_is_counted() {
        let broken = sample().broken_down();
        let [Broken { breach: Breach::Lost, count: 4, named, more: 1 }] = &broken[..] else { panic!("other breaches") };
        let expect = [
            "messages 4 to 5 on at/train-1/<b> by train-1, for room-0",
            "message 9 on at/train-1/<b> by train-1, for room-0",
        ];
        assert_eq!(
            named.iter().map(|(at, what)| (at.as_str(), what.as_str())).collect::<Vec<_>>(),
            expect.map(|it| ("2.2 min", it))
        );
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

//! What was expected, and what was found.

use std::cmp::Reverse;

use harness::ledger::{Account, Balance, Entry};
use harness::metrics::{Merge, Spans};
use serde::Serialize;

use super::late::Late;
use super::roster::guarantee;
use super::run::Outcome;
use super::shelf::Retention;
use super::words;
use crate::packet::QoS;
use crate::scenario::plan::{Duty, Expectation, Plan};
use crate::scenario::schema::Phase;

/// An expectation, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// What it is about.
    pub about: Subject,
    /// What was expected, as a sentence.
    pub expected: String,
    /// Whether it was met; `None` where nothing is shown: nothing happened that could have broken it, or what is still under
    /// way may yet do so.
    pub met: Option<bool>,
    /// What was found.
    pub found: String,
}

impl Judgement {
    /// The same where `open`, what is still under way, may yet break what was kept so far.
    fn unless(mut self, open: bool) -> Self {
        self.met = self.met.filter(|met| !(*met && open));
        self
    }

    /// What became of it, in a word.
    pub const fn word(&self) -> &'static str {
        match self.met {
            Some(true) => "kept",
            Some(false) => "broken",
            None => "unproven",
        }
    }
}

/// What an expectation can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Subject {
    /// What arrives, how often and in which order.
    Delivery,
    /// Last wills.
    Wills,
    /// What the server says of sessions.
    Sessions,
    /// How long things take.
    Time,
    /// Questions and their answers.
    Questions,
}

/// Judges each expectation of `plan` by what became of it.
pub fn judge(plan: &Plan, outcome: &Outcome) -> Vec<Judgement> {
    plan.expect
        .iter()
        .enumerate()
        .map(|(place, expectation)| Judge { plan, outcome }.judge(place, expectation))
        .collect()
}

struct Judge<'a> {
    plan: &'a Plan,
    outcome: &'a Outcome,
}

impl Judge<'_> {
    /// `place` is that of `expectation` in the plan.
    fn judge(&self, place: usize, expectation: &Expectation) -> Judgement {
        let about = subject(expectation);
        // Held against so many things; against none of them nothing is shown.
        let judgement =
            |expected, of: u64, met, found| Judgement { about, expected, met: (of > 0).then_some(met), found };
        match *expectation {
            Expectation::NoLoss(qos, group) => {
                let account = self.messages(qos, group);
                let expected = format!("nothing that was confirmed is missing{}", self.of(qos, group));
                let (lost, owed) = (words::count(account.lost), words::count(account.owed));
                let found = match account.owed {
                    0 => "none was owed".to_owned(),
                    _ => format!("{lost} of {owed} owed messages are missing{}", under_way(&account)),
                };
                judgement(expected, account.owed, account.lost == 0, found).unless(account.under_way > 0)
            }
            Expectation::NoDuplicates(qos, group) => {
                let account = self.messages(qos, group);
                let (duplicated, arrived) = (words::count(account.duplicated), words::count(account.arrived));
                let expected = format!("nothing comes twice that must not{}", self.of(qos, group));
                let found = match account.arrived {
                    0 => "no such message came".to_owned(),
                    _ => format!("of {arrived} messages {duplicated} came again"),
                };
                judgement(expected, account.arrived, account.duplicated == 0, found)
            }
            Expectation::InOrder => {
                let account = self.messages(None, None);
                let (reordered, arrived) = (words::count(account.reordered), words::count(account.arrived));
                let found = match account.arrived {
                    0 => "no message came".to_owned(),
                    _ => format!("{reordered} of {arrived} messages came behind a later one of their writer"),
                };
                judgement("messages keep their order".to_owned(), account.arrived, account.reordered == 0, found)
            }
            Expectation::NoneExpired => {
                let account = self.messages(None, None);
                let duties = self.plan.groups.iter().flat_map(|group| &group.does);
                let expires = |duty: &Duty| matches!(duty, Duty::Publish(publish) if publish.expiry.is_some());
                let any = duties.into_iter().any(expires);
                let of = if any { account.arrived } else { 0 };
                let found = match of {
                    0 => "no message came that can expire".to_owned(),
                    _ => format!("of {} messages {} came", words::count(of), words::count(account.expired)),
                };
                let expected = "nothing comes that expired before the server began to send it".to_owned();
                judgement(expected, of, account.expired == 0, found)
            }
            Expectation::WillsExact => {
                let account = self.sum(|entry| usize::from(entry.from) >= self.plan.groups.len());
                let wrong = account.forbidden + account.invented;
                let came = words::some(account.arrived, "will came", "wills came");
                let due = words::some(account.lost, "more was due", "more were due");
                let found =
                    format!("{came}; {due}, and {} came that must not{}", words::count(wrong), under_way(&account));
                let expected = "each last will that is due comes, and no other".to_owned();
                let wills = self.plan.groups.iter().filter(|group| group.will.is_some()).count() as u64;
                judgement(expected, wills, account.lost == 0 && wrong == 0, found).unless(account.under_way > 0)
            }
            Expectation::RetainedExact => {
                let expected = "late subscribers get the last message of each topic, and no other".to_owned();
                let Some(Retention { right, missing, wrong, .. }) = self.outcome.retained else {
                    return judgement(expected, 0, false, "nobody asked the server for them".to_owned());
                };
                let [topics, gone, other] = [right + missing + wrong, missing, wrong].map(words::count);
                let found = format!("of {topics} topics {gone} have lost theirs, and {other} have another");
                judgement(expected, right + missing + wrong, missing + wrong == 0, found)
            }
            Expectation::SessionsTrue => {
                let untrue: u64 = self.outcome.tally.groups.iter().map(|group| group.untrue_sessions).sum();
                let connected: u64 = self.outcome.tally.groups.iter().map(|group| group.connected).sum();
                let found =
                    format!("at {} of {} connects it was untrue", words::count(untrue), words::count(connected));
                judgement("what the server says of sessions is true".to_owned(), connected, untrue == 0, found)
            }
            Expectation::ReconnectedWithin(limit) => {
                let mut recovery = Spans::default();
                self.outcome.tally.groups.iter().for_each(|group| recovery.merge(&group.recovery));
                let longest = recovery.longest();
                let (devices, connected) = (self.plan.devices(), self.outcome.connected);
                let limit_in_words = words::span(limit);
                let expected =
                    format!("all devices are connected again {limit_in_words} after what was done to them ends");
                let mut absent = Spans::default();
                self.outcome.tally.groups.iter().for_each(|group| absent.merge(&group.absent));
                // Whoever has just lost its connection has as much time as whoever lost it before.
                let met = [longest, absent.longest()].into_iter().flatten().all(|span| span <= limit);
                let none = || "no connection was lost to the timeline or a region".to_owned();
                let slowest = longest.map_or_else(none, |it| format!("the last took {}", words::span(it)));
                let (connected, devices) = (words::count(connected.into()), words::count(devices.into()));
                let others = absent.longest().map_or_else(String::new, |span| {
                    format!(", and the longest absence of another is {}", words::span(span))
                });
                let gave_way: u64 = self.outcome.tally.groups.iter().map(|group| group.gave_way).sum();
                let yielded = match gave_way {
                    0 => String::new(),
                    some => format!(", {} gave way to another of their name", words::count(some)),
                };
                let found = format!("{slowest}; {connected} of {devices} are connected in the end{yielded}{others}");
                judgement(expected, self.plan.devices().into(), met, found)
            }
            Expectation::Latency { share, below, phase, group, qos } => {
                let spans = self.latency(phase, group, qos);
                let when =
                    phase.map_or("", |phase| if phase == Phase::Calm { " in the calm" } else { " in the weather" });
                let (percent, of) = (words::percent(share), self.of(qos, group));
                let expected = format!("{percent} % of messages take less than {}{when}{of}", words::span(below));
                let quantile = spans.quantile(share);
                let met = quantile.is_some_and(|quantile| quantile < below);
                let none = || "no message arrived".to_owned();
                let all = words::count(spans.count());
                let mut found =
                    quantile.map_or_else(none, |it| format!("{percent} % of {all} took at most {}", words::span(it)));
                if quantile.is_some() && !met {
                    let late = self.outcome.tally.late.get(&(place as u16));
                    // A span is known to two digits, and the late ones were counted.
                    let count = late.map_or_else(|| spans.beyond(below), |late| late.groups.values().sum());
                    found += &format!("; {} took longer than {}", words::count(count), words::span(below));
                    found += &late.and_then(|late| self.late(late)).unwrap_or_default();
                }
                judgement(expected, spans.count(), met, found)
            }
            Expectation::Delivered(share, qos, group) => {
                let account = self.messages(qos, group);
                let expected = format!("{} % of messages arrive{}", words::percent(share), self.of(qos, group));
                // What was sent before its reader had subscribed counts on neither side.
                let (arrived, sent) = (account.arrived.saturating_sub(account.prior), account.sent);
                let found =
                    format!("{} of {} arrived{}", words::count(arrived), words::count(sent), under_way(&account));
                let least = share * sent as f64;
                judgement(expected, sent, (arrived + account.under_way) as f64 >= least, found)
                    .unless((arrived as f64) < least)
            }
            Expectation::Answered(share, group) => {
                let groups = self.outcome.tally.groups.iter().enumerate();
                let chosen = groups.filter(|(number, _)| group.is_none_or(|group| group == *number));
                let (asked, answered) =
                    chosen.fold((0, 0), |sum, (_, group)| (sum.0 + group.asked, sum.1 + group.answered));
                let expected =
                    format!("{} % of questions are answered in time{}", words::percent(share), self.of(None, group));
                let found = format!("{} of {} were", words::count(answered), words::count(asked));
                judgement(expected, asked, answered as f64 >= share * asked as f64, found)
            }
        }
    }

    /// Whose the messages are that took too long, and what was done while they were on their way.
    fn late(&self, late: &Late) -> Option<String> {
        const NAMED: usize = 3;
        let (worst, most) = late.groups.iter().max_by_key(|(group, count)| (**count, Reverse(**group)))?;
        let name = &self.plan.groups[usize::from(*worst)].name;
        let whose = match late.groups.len() {
            1 => format!("all written by {name}"),
            _ => format!("{} of them written by {name}", words::count(*most)),
        };
        let mut faults: Vec<_> = late.faults.iter().collect();
        faults.sort_by_key(|(fault, count)| (Reverse(**count), **fault));
        let named = faults.iter().take(NAMED).map(|(fault, count)| match fault {
            0 => format!("no fault: {}", words::count(**count)),
            _ => format!("fault {fault}: {}", words::count(**count)),
        });
        let more = if faults.len() > NAMED { ", others fewer" } else { "" };
        Some(format!(", {whose}; on their way during {}{more}", named.collect::<Vec<_>>().join(", ")))
    }

    /// ` (QoS 1, lift)`, or nothing where all are meant.
    fn of(&self, qos: Option<QoS>, group: Option<usize>) -> String {
        let qos = qos.map(|qos| format!("QoS {}", qos as u8));
        let group = group.map(|group| self.plan.groups[group].name.clone());
        let words: Vec<_> = qos.into_iter().chain(group).collect();
        if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
    }

    /// What became of messages, wills not among them.
    fn messages(&self, qos: Option<QoS>, group: Option<usize>) -> Account {
        self.sum(|entry| {
            let groups = self.plan.groups.len();
            let concerned = group.is_none_or(|group| [entry.from, entry.to].contains(&(group as u16)));
            usize::from(entry.from) < groups && concerned && qos.is_none_or(|qos| guarantee(qos) == entry.guarantee)
        })
    }

    fn sum(&self, which: impl Fn(&Entry) -> bool) -> Account {
        let Balance { entries, .. } = &self.outcome.balance;
        entries.iter().filter(|entry| which(entry)).fold(Account::default(), |mut sum, entry| {
            sum.add(&entry.account);
            sum
        })
    }

    fn latency(&self, phase: Option<Phase>, group: Option<usize>, qos: Option<QoS>) -> Spans {
        let mut sum = Spans::default();
        for (number, tally) in self.outcome.tally.groups.iter().enumerate() {
            for ((of, when), spans) in &tally.latency {
                let chosen = group.is_none_or(|group| group == number)
                    && qos.is_none_or(|qos| qos as u8 == *of)
                    && phase.is_none_or(|phase| phase == *when);
                if chosen {
                    sum.merge(spans);
                }
            }
        }
        sum
    }
}

/// `, and 3 are still under way`, or nothing where none are.
fn under_way(account: &Account) -> String {
    match account.under_way {
        0 => String::new(),
        1 => ", and 1 is still under way".to_owned(),
        more => format!(", and {} are still under way", words::count(more)),
    }
}

/// What an expectation is about.
const fn subject(expectation: &Expectation) -> Subject {
    match expectation {
        Expectation::NoLoss(..)
        | Expectation::NoDuplicates(..)
        | Expectation::InOrder
        | Expectation::NoneExpired
        | Expectation::Delivered(..)
        | Expectation::RetainedExact => Subject::Delivery,
        Expectation::WillsExact => Subject::Wills,
        Expectation::SessionsTrue => Subject::Sessions,
        Expectation::ReconnectedWithin(_) | Expectation::Latency { .. } => Subject::Time,
        Expectation::Answered(..) => Subject::Questions,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use harness::ledger::Guarantee;

    use super::*;
    use crate::fleet::tally::Tally;
    use crate::scenario;

    const SECOND: Duration = Duration::from_secs(1);

    /// Judges `expectation` of a run of one device in which `happened`.
    fn check(expectation: &str, happened: impl Fn(&mut Outcome), met: impl Into<Option<bool>>) {
        let text = format!(
            "Scenario(about: \"a test\", lasts: \"1m\", fleet: [(name: \"x\", count: 1, will: (topic: \"gone\"))], expect: [{expectation}])"
        );
        check_in(&text, happened, met);
    }

    /// Judges what the scenario `text` of one device expects, where `happened`.
    fn check_in(text: &str, happened: impl Fn(&mut Outcome), met: impl Into<Option<bool>>) {
        let plan = scenario::check(text, &[]).expect("a legal scenario");
        let mut outcome =
            Outcome { balance: Balance::default(), tally: Tally::new(1, plan.lasts), retained: None, connected: 1 };
        happened(&mut outcome);
        let judgements = judge(&plan, &outcome);
        assert_eq!(judgements.iter().map(|it| it.met).collect::<Vec<_>>(), [met.into()], "{judgements:?}");
    }

    fn entry(from: u16, guarantee: Guarantee, account: Account) -> impl Fn(&mut Outcome) {
        move |outcome| outcome.balance.entries.push(Entry { from, to: 0, guarantee, account })
    }

    #[test]
    fn each_expectation_is_met_on_one_side_and_not_on_the_other() {
        use Guarantee::{AtLeastOnce, AtMostOnce, ExactlyOnce};
        let none = Account::default();
        let lost = Account { lost: 1, owed: 1, ..none };
        check("NoLoss(qos: 1)", entry(0, AtLeastOnce, Account { owed: 1, ..none }), true);
        check("NoLoss(qos: 1)", entry(0, AtLeastOnce, lost), false);
        check("NoLoss(qos: 2)", entry(0, AtLeastOnce, lost), None);
        let under_way = Account { under_way: 1, owed: 1, sent: 1, ..none };
        check("NoLoss(qos: 1)", entry(0, AtLeastOnce, under_way), None);
        check("NoLoss(qos: 1)", entry(0, AtLeastOnce, Account { lost: 1, owed: 2, ..under_way }), false);
        check("WillsExact", entry(1, AtLeastOnce, under_way), None);
        check("WillsExact", entry(1, AtLeastOnce, Account { forbidden: 1, ..under_way }), false);
        check("Delivered(share: 0.5)", entry(0, AtLeastOnce, under_way), None);
        check("Delivered(share: 0.5)", entry(0, AtLeastOnce, Account { sent: 2, arrived: 1, ..under_way }), true);
        check("Delivered(share: 0.5)", entry(0, AtLeastOnce, Account { sent: 3, ..under_way }), false);
        check("NoLoss()", entry(1, AtLeastOnce, lost), None);
        let repeated = Account { arrived: 1, repeated: 1, ..none };
        check("NoDuplicates()", entry(0, AtLeastOnce, repeated), true);
        let repeated = Account { duplicated: 1, ..repeated };
        check("NoDuplicates()", entry(0, ExactlyOnce, repeated), false);
        check("NoDuplicates()", entry(0, AtMostOnce, repeated), false);
        check("NoDuplicates(qos: 2)", entry(0, AtMostOnce, repeated), None);
        check("InOrder", entry(0, AtMostOnce, none), None);
        check("InOrder", entry(0, AtMostOnce, Account { arrived: 1, ..none }), true);
        check("InOrder", entry(0, AtMostOnce, Account { arrived: 1, reordered: 1, ..none }), false);
        check("WillsExact", entry(1, AtMostOnce, Account { arrived: 1, ..none }), true);
        check("WillsExact", entry(1, AtLeastOnce, lost), false);
        check("WillsExact", entry(1, AtMostOnce, Account { forbidden: 1, ..none }), false);
        check("WillsExact", entry(0, AtLeastOnce, lost), true);
        let expires = r#"Scenario(about: "a test", lasts: "1m", expect: [NoneExpired],
            fleet: [(name: "x", count: 1, does: [Publish(topic: "a", every: "1s", expiry: "5s")])])"#;
        check_in(expires, entry(0, AtMostOnce, Account { arrived: 1, ..none }), true);
        check_in(expires, entry(0, AtLeastOnce, Account { arrived: 1, expired: 1, ..none }), false);
        check_in(expires, |_| {}, None);
        check("NoneExpired", entry(0, AtMostOnce, Account { arrived: 1, ..none }), None);
        let no_will = r#"Scenario(about: "a test", lasts: "1m", fleet: [(name: "x", count: 1)], expect: [WillsExact])"#;
        check_in(no_will, |_| {}, None);
        check("Delivered(share: 0.9)", entry(0, AtMostOnce, Account { sent: 10, arrived: 9, ..none }), true);
        check("Delivered(share: 0.9)", entry(0, AtMostOnce, Account { sent: 10, arrived: 8, ..none }), false);
        check("Delivered(share: 0.9)", entry(0, AtMostOnce, Account { sent: 10, arrived: 9, prior: 1, ..none }), false);
        check("Delivered(share: 0.0)", |_| {}, None);
        let retained = |right, missing, wrong| {
            move |outcome: &mut Outcome| {
                outcome.retained = Some(Retention { right, missing, wrong, examples: Vec::new() });
            }
        };
        check("RetainedExact", retained(1, 0, 0), true);
        check("RetainedExact", retained(1, 1, 0), false);
        check("RetainedExact", retained(1, 0, 1), false);
        check("RetainedExact", retained(0, 0, 0), None);
        check("RetainedExact", |_| {}, None);
        let told = |untrue| {
            move |outcome: &mut Outcome| {
                outcome.tally.groups[0].connected = 1;
                outcome.tally.groups[0].untrue_sessions = untrue;
            }
        };
        check("SessionsTrue", told(0), true);
        check("SessionsTrue", told(1), false);
        check("SessionsTrue", |_| {}, None);
    }

    #[test]
    fn a_broken_limit_tells_whose_messages_were_late_and_what_was_done_meanwhile() {
        let text = r#"Scenario(about: "a test", lasts: "1m", fleet: [(name: "x", count: 1), (name: "y", count: 1)],
            expect: [InOrder, Latency(p: 99, below: "2s")])"#;
        let found = |groups: &[(u16, u64)], faults: &[(u32, u64)]| {
            let plan = scenario::check(text, &[]).expect("a legal scenario");
            let mut tally = Tally::new(2, plan.lasts);
            tally.arrived(harness::time::Instant::ZERO, 0, QoS::AtLeastOnce, Phase::Weather, SECOND * 3);
            let (groups, faults) = (groups.iter().copied().collect(), faults.iter().copied().collect());
            tally.late.insert(1, Late { groups, faults });
            let outcome = Outcome { balance: Balance::default(), tally, retained: None, connected: 2 };
            judge(&plan, &outcome)[1].found.clone()
        };
        let all = "99 % of 1 took at most 3 s";
        assert_eq!(
            found(&[(1, 1)], &[(0, 1)]),
            format!("{all}; 1 took longer than 2 s, all written by y; on their way during no fault: 1")
        );
        assert_eq!(
            found(&[(0, 5), (1, 5000)], &[(0, 7), (1, 1), (2, 4990), (3, 8)]),
            format!(
                "{all}; 5,005 took longer than 2 s, 5,000 of them written by y; on their way during fault 2: 4,990, fault 3: 8, no fault: 7, others fewer"
            )
        );
    }

    #[test]
    fn times_are_held_to_their_limits() {
        let recovered = |span: Duration| move |outcome: &mut Outcome| outcome.tally.groups[0].recovery.record(span);
        check("ReconnectedWithin(\"10s\")", recovered(SECOND * 9), true);
        check("ReconnectedWithin(\"10s\")", recovered(SECOND * 11), false);
        let absent = |span: Duration| move |outcome: &mut Outcome| outcome.tally.groups[0].absent.record(span);
        check("ReconnectedWithin(\"10s\")", absent(SECOND * 9), true);
        check("ReconnectedWithin(\"10s\")", absent(SECOND * 11), false);
        let took = |phase, span| {
            move |outcome: &mut Outcome| {
                outcome.tally.arrived(harness::time::Instant::ZERO, 0, QoS::AtLeastOnce, phase, span);
            }
        };
        check("Latency(p: 99, below: \"2s\")", took(Phase::Calm, SECOND), true);
        check("Latency(p: 99, below: \"2s\")", took(Phase::Calm, SECOND * 3), false);
        check("Latency(p: 99, below: \"2s\", phase: Weather)", took(Phase::Calm, SECOND), None);
        check("Latency(p: 99, below: \"2s\", qos: 1, group: \"x\")", took(Phase::Calm, SECOND), true);
        let asked = |answered| {
            move |outcome: &mut Outcome| {
                let group = &mut outcome.tally.groups[0];
                (group.asked, group.answered) = (10, answered);
            }
        };
        check("Answered(share: 0.5)", asked(5), true);
        check("Answered(share: 0.5)", asked(4), false);
        check("Answered(share: 0.0)", |_| {}, None);
    }
}

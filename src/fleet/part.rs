//! What one or several shards of a run came to: the value that each process of a run writes to its file, and that
//! `testament merge` adds up. Adding is exact and knows no order: the shards of a run in one process, and in seven, come to
//! the same report.

use std::collections::BTreeMap;

use harness::ledger::{Balance, Journal};
use harness::metrics::Merge;
use harness::time::Instant;
use serde::{Deserialize, Serialize};

use super::measured::Measured;
use super::roster::Roster;
use super::run::{Outcome, Played};
use super::shard::Shard;
use super::shelf::Retention;
use super::tally::Tally;
use crate::links;
use crate::scenario::check;
use crate::scenario::plan::Plan;

/// The edition of the form.
const FORMAT: u32 = 3;

/// What some of the shards of a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The edition of this form.
    pub part: u32,
    /// The scenario, as its file says it.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// How many shards there are.
    pub of: u32,
    /// When the last of them ended, in nanoseconds of the run.
    pub ended: u64,
    /// What was counted and timed.
    pub tally: Tally,
    /// How what the servers keep for late subscribers compares with what they must.
    pub retained: Option<Retention>,
    /// How many devices were connected in the end.
    pub connected: u32,
    /// The books of each shard.
    pub books: BTreeMap<u32, Books>,
    /// How the run itself went.
    pub run: Measured,
}

/// The books of one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Books {
    /// No message crossed: its account is its own.
    Closed(Balance),
    /// Messages crossed, so what was owed shows only beside what the others booked.
    Open(Journal),
}

/// Why two parts are not of one run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Another scenario.
    #[error("it is of another scenario, or of another edition of the same one")]
    Scenario,
    /// Another seed.
    #[error("it has seed {0}, and the others have {1}")]
    Seed(u64, u64),
    /// Another number of shards.
    #[error("it is one of {0} shards, and the others are of {1}")]
    Shards(u32, u32),
    /// One that is there already.
    #[error("shard {0} is there already")]
    Twice(u32),
    /// More shards than there can be, or none, or one beyond them.
    #[error("it says that it is of {0} shards, of which there are 1 to {most}, and its own are none of them", most = Shard::MOST)]
    Count(u32),
    /// Another edition of the form.
    #[error("its form is edition {0}, and this program knows edition {FORMAT}")]
    Format(u32),
}

impl Part {
    /// What `shard` of a run came to. `scenario` is the text that the plan was made of.
    pub fn new(scenario: String, seed: u64, shard: Shard, ended: Instant, outcome: Outcome, run: Measured) -> Self {
        let Outcome { balance, tally, retained, connected } = outcome;
        let books = BTreeMap::from([(shard.number(), Books::Closed(balance))]);
        Self {
            part: FORMAT,
            scenario,
            seed,
            of: shard.of(),
            ended: ended.as_nanos(),
            tally,
            retained,
            connected,
            books,
            run,
        }
    }

    /// The same, with a journal for its books.
    #[must_use]
    pub fn open(mut self, journal: Journal) -> Self {
        self.books.values_mut().for_each(|books| *books = Books::Open(journal.clone()));
        self
    }

    /// Whether this program can make anything of it.
    ///
    /// # Errors
    /// [`Mismatch::Format`] or [`Mismatch::Count`].
    pub fn check(&self) -> Result<(), Mismatch> {
        if self.part != FORMAT {
            return Err(Mismatch::Format(self.part));
        }
        let counts = (1..=Shard::MOST).contains(&self.of) && self.books.keys().all(|shard| *shard < self.of);
        if counts { Ok(()) } else { Err(Mismatch::Count(self.of)) }
    }

    /// Adds another part of the same run.
    ///
    /// # Errors
    /// [`Mismatch`], and then nothing was added.
    pub fn add(&mut self, other: &Self) -> Result<(), Mismatch> {
        other.check()?;
        let mismatch = match other {
            _ if other.scenario != self.scenario => Some(Mismatch::Scenario),
            _ if other.seed != self.seed => Some(Mismatch::Seed(other.seed, self.seed)),
            _ if other.of != self.of => Some(Mismatch::Shards(other.of, self.of)),
            _ => other.books.keys().copied().find(|shard| self.books.contains_key(shard)).map(Mismatch::Twice),
        };
        if let Some(mismatch) = mismatch {
            return Err(mismatch);
        }
        self.ended = self.ended.max(other.ended);
        self.tally.merge(&other.tally);
        if let Some(other) = &other.retained {
            self.retained.get_or_insert_default().merge(other);
        }
        self.connected = self.connected.saturating_add(other.connected);
        self.books.extend(other.books.iter().map(|(shard, books)| (*shard, books.clone())));
        self.run.merge(&other.run);
        Ok(())
    }

    /// The shards that are not there.
    pub fn missing(&self) -> Vec<u32> {
        (0..self.of).filter(|shard| !self.books.contains_key(shard)).collect()
    }

    /// What all shards together came to, ready to be judged, and how the run went.
    ///
    /// # Errors
    /// In words, where the scenario or a journal of the file cannot be.
    pub fn played(self) -> Result<(Played, Measured), String> {
        self.check().map_err(|why| why.to_string())?;
        let plan = check(&self.scenario, &links::all()).map_err(|problems| {
            problems
                .first()
                .map_or_else(String::new, |problem| format!("the scenario in it is not in order: {problem}"))
        })?;
        let plan = Plan { seed: self.seed, ..plan };
        if self.tally.groups.len() != plan.groups.len() {
            return Err("it counts other groups than its scenario has".to_owned());
        }
        let (roster, mut ledger) = Roster::new(&plan)?;
        let journals: Vec<_> = self.books.values().filter_map(Books::journal).collect();
        ledger.join(&journals)?;
        let mut balance = ledger.settle(Instant::from_nanos(self.ended));
        for books in self.books.values() {
            if let Books::Closed(other) = books {
                balance.add(other);
            }
        }
        let outcome = Outcome { balance, tally: self.tally, retained: self.retained, connected: self.connected };
        Ok((Played { plan, roster, outcome }, self.run))
    }
}

impl Books {
    const fn journal(&self) -> Option<&Journal> {
        match self {
            Self::Open(journal) => Some(journal),
            Self::Closed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::run::play;

    /// The calm is too short for what is on its way.
    const PAIRS: &str = r#"Scenario(about: "meters and their displays", lasts: "3m", calm: "100ms", links: { "far": Profile("2g-edge") },
        fleet: [
            (name: "meter", count: 11, link: "far", starts: Ramp("30s"), keep_alive: "30s",
             session: (clean_start: false, expiry: "1h"), will: (topic: "gone/{n}", qos: 1), share_outages: 4,
             does: [
                Publish(topic: "m/{n}", qos: 1, every: "1s", pattern: Random),
                Publish(topic: "m/{n}/quick", qos: 0, every: "2s"),
            ]),
            (name: "display", count: 11, link: "far", does: [
                Listen(filter: "m/{n}/#", qos: 2),
                Listen(filter: "gone/{n}", qos: 1),
            ]),
        ],
        timeline: [
            At("40s", Cut(group: "meter", share: 0.5, lasts: "40s")),
            At("100s", Reset(group: "meter", share: 0.3)),
            At("2m", Restart(node: "broker", keeps: Nothing, lasts: "5s")),
        ],
        expect: [NoLoss(qos: 1), WillsExact, Latency(p: 99, below: "1s"), ReconnectedWithin("1m")])"#;

    fn part(shard: Shard) -> Part {
        let plan = check(PAIRS, &links::all()).expect("a legal scenario");
        let (seed, end) = (plan.seed, Instant::ZERO + plan.lasts + plan.calm);
        let played = play(plan, shard).expect("nothing crosses");
        Part::new(PAIRS.to_owned(), seed, shard, end, played.outcome, Measured::default())
    }

    fn merged<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Part {
        let mut parts = parts.into_iter();
        let mut sum = parts.next().expect("a part").clone();
        parts.for_each(|part| sum.add(part).expect("of the same run"));
        sum
    }

    fn report(part: Part) -> String {
        let text = serde_json::to_string(&part).expect("a part as JSON");
        let part: Part = serde_json::from_str(&text).expect("the part again");
        let (played, _) = part.played().expect("a report");
        serde_json::to_string_pretty(&played.report()).expect("a report as JSON")
    }

    #[test]
    fn one_process_and_seven_come_to_the_same_in_any_order() {
        let whole = report(part(Shard::WHOLE));
        let some = |line: &str| line.contains("\"under_way\"") && !line.contains(" 0,");
        assert!(whole.lines().any(some), "{whole}");
        let parts: Vec<_> = Shard::all(7).map(part).collect();
        assert_eq!(report(merged(&parts)), whole);
        assert_eq!(report(merged(parts.iter().rev())), whole);
        let (left, right) = (merged(&parts[..3]), merged(&parts[3..]));
        assert_eq!(report(merged([&right, &left])), whole);
        assert_eq!((left.missing(), right.missing()), (vec![3, 4, 5, 6], vec![0, 1, 2]));
    }

    #[test]
    fn what_is_not_of_one_run_is_not_added() {
        let check = |change: &dyn Fn(&mut Part), expect: Mismatch| {
            let mut shards = Shard::all(2);
            let (mut one, mut other) = (part(Shard::WHOLE), part(Shard::WHOLE));
            (one.of, other.of) = (2, 2);
            other.books = BTreeMap::from([(shards.nth(1).map_or(0, Shard::number), Books::Open(Journal::default()))]);
            assert_eq!(one.clone().add(&other), Ok(()));
            change(&mut other);
            assert_eq!(one.add(&other), Err(expect));
        };
        check(&|part| part.scenario.push(' '), Mismatch::Scenario);
        check(&|part| part.seed = 2, Mismatch::Seed(2, 1));
        check(&|part| part.of = 3, Mismatch::Shards(3, 2));
        check(&|part| part.of = 1, Mismatch::Count(1));
        check(&|part| part.of = 1001, Mismatch::Count(1001));
        check(&|part| part.part = 9, Mismatch::Format(9));
        check(&|part| part.books = BTreeMap::from([(0, Books::Open(Journal::default()))]), Mismatch::Twice(0));
    }
}

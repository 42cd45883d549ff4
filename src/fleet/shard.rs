//! A part of a fleet, for one of several processes that play it together.

use std::fmt;
use std::str::FromStr;

use harness::index::Index;
use harness::ledger::Ledger;

use super::roster::{Own, Roster, Seat};
use crate::scenario::plan::Plan;

/// The devices whose number in their group leaves this remainder: those with the same number, which often belong together,
/// are played together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

impl Shard {
    /// The whole fleet.
    pub const WHOLE: Self = Self { number: 0, of: 1 };
    /// The most shards there are.
    pub const MOST: u32 = 1000;

    /// All shards of so many.
    pub fn all(of: u32) -> impl Iterator<Item = Self> {
        (0..of).map(move |number| Self { number, of })
    }

    /// Which it is, from 0.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// How many there are.
    pub const fn of(self) -> u32 {
        self.of
    }

    /// Whether the device of this number is in it.
    pub const fn plays(self, number: u32) -> bool {
        number % self.of == self.number
    }

    /// How many devices of a plan are in it.
    pub fn devices(self, plan: &Plan) -> u32 {
        plan.groups.iter().map(|group| self.count(group.count)).sum()
    }

    /// How many devices of a group of so many are in it.
    pub const fn count(self, devices: u32) -> u32 {
        (devices + self.of - 1 - self.number) / self.of
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `i/n`; `0/n` and `n/n` are the same, so that one may count from 0 or from 1.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Option<(u32, u32)> =
            text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) if (1..=Self::MOST).contains(&of) && number <= of => {
                Ok(Self { number: number % of, of })
            }
            _ => Err(format!("write one of so many, such as 2/7; there are {} at most", Self::MOST)),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// Why the fleet cannot be parted so that each part is played without the others; nothing if it can.
pub fn crossing(plan: &Plan, roster: &Roster, ledger: &Ledger, of: u32) -> Option<String> {
    let mut pairs = Vec::new();
    for (stream, reader) in ledger.paths() {
        if let (Some((from, writer)), Some((to, reader))) = (roster.writer(stream), roster.reader(reader))
            && writer % of != reader % of
            && !pairs.contains(&(from, to))
        {
            pairs.push((from, to));
        }
    }
    let shares = |group: usize| {
        let duties = 0..plan.groups[group].does.len();
        plan.groups[group].count > 1
            && duties.into_iter().any(|duty| matches!(roster.duty(group, duty), Seat::Share { .. }))
    };
    let name = |group: usize| &plan.groups[group].name;
    let words = |(from, to): &(usize, usize)| format!("`{}` writes what `{}` reads", name(*from), name(*to));
    let mut words: Vec<_> = pairs.iter().map(words).collect();
    let sharing = (0..plan.groups.len()).filter(|&group| of > 1 && shares(group));
    words.extend(sharing.map(|group| format!("all of `{}` share a subscription", name(group))));
    let mut seen: Index<String, (usize, u32)> = Index::default();
    for (group, plan) in plan.groups.iter().enumerate() {
        for number in 0..plan.count {
            let id = Own::new(plan, number).id().to_owned();
            let (other, first) = *seen.entry_or_insert_with(id, || (group, number));
            if first % of != number % of {
                let clash = format!("`{}` and `{}` use the same client identifiers", name(other), name(group));
                if !words.contains(&clash) {
                    words.push(clash);
                }
            }
        }
    }
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn shards_are_counted_from_either_end() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(text.parse::<Shard>().ok().map(|shard| shard.to_string()).as_deref(), expect, "{text}");
        };
        check("0/7", Some("0/7"));
        check("7/7", Some("0/7"));
        check("6/7", Some("6/7"));
        check("8/7", None);
        check("1/0", None);
        check("0/1000", Some("0/1000"));
        check("0/1001", None);
        check("-1/7", None);
        check("1", None);
    }

    #[test]
    fn each_device_is_in_one_shard() {
        for number in 0..20 {
            assert_eq!(Shard::all(7).filter(|shard| shard.plays(number)).count(), 1, "{number}");
        }
        for (shard, devices) in Shard::all(7).flat_map(|shard| (0..30).map(move |devices| (shard, devices))) {
            let played = (0..devices).filter(|&number| shard.plays(number)).count();
            assert_eq!(shard.count(devices), played as u32, "{shard} of {devices}");
        }
    }

    #[test]
    fn what_crosses_is_named() {
        let check = |groups: &str, of: u32, expect: Option<&str>| {
            let text = format!("Scenario(about: \"a test\", lasts: \"1m\", fleet: [{groups}])");
            let plan = scenario::check(&text, &[]).expect("a legal scenario");
            let (roster, ledger) = Roster::new(&plan).expect("a small one");
            assert_eq!(crossing(&plan, &roster, &ledger, of).as_deref(), expect, "{groups}");
        };
        let talks = |topic: &str, filter: &str| {
            format!(
                "(name: \"a\", count: 9, does: [Publish(topic: \"{topic}\", qos: 1, every: \"1s\")]),
                 (name: \"b\", count: 9, does: [Listen(filter: \"{filter}\", qos: 1)])"
            )
        };
        check(&talks("t/{n}", "t/{n}"), 7, None);
        check(&talks("t/{n}", "t/+"), 7, Some("`a` writes what `b` reads"));
        check(&talks("t/{n}", "t/+"), 1, None);
        let twins = "(name: \"a\", count: 2, client_id: \"1{n}\"), (name: \"b\", count: 11, client_id: \"{n}\")";
        check(twins, 3, Some("`a` and `b` use the same client identifiers"));
        check(twins, 10, None);
        let shares = "(name: \"a\", count: 4, does: [Listen(filter: \"$share/g/x\")])";
        check(shares, 2, Some("all of `a` share a subscription"));
        check(shares, 1, None);
        let asks = "(name: \"a\", count: 4, does: [Answer(filter: \"q/{id}\", topic: \"r/{id}\", qos: 1)]),
            (name: \"b\", count: 1, does: [Ask(topic: \"q/{target}\", answer: \"r/{target}\", of: \"a\", qos: 1, every: \"1s\")])";
        check(asks, 2, Some("`b` writes what `a` reads, `a` writes what `b` reads"));
    }
}

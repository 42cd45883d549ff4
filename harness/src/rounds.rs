//! Several rounds of the same runs: what each came to at worst, and which did not come to the same each time.

use std::collections::BTreeMap;

use crate::case::VerdictKind;
use crate::run::{Done, Report};

/// What came of several rounds.
#[derive(Debug, Default)]
pub struct Rounds {
    rounds: usize,
    /// The worst of each run, in the order of the first round that played it, and how often it came to what.
    runs: Vec<(Done, BTreeMap<VerdictKind, usize>)>,
    unplayed: usize,
    cut_short: Option<String>,
}

impl Rounds {
    /// Takes in one more round.
    pub fn add(&mut self, report: Report) {
        self.rounds += 1;
        self.unplayed = report.unplayed;
        self.cut_short = report.cut_short;
        for (place, done) in report.results.into_iter().enumerate() {
            let kind = done.verdict.kind();
            let is_same = |(other, _): &(Done, _)| (other.id, other.protocol) == (done.id, done.protocol);
            // Rounds that are whole have the same order.
            let known = match self.runs.get(place) {
                Some(run) if is_same(run) => Some(place),
                _ => self.runs.iter().position(is_same),
            };
            match known.and_then(|known| self.runs.get_mut(known)) {
                Some((worst, counts)) => {
                    *counts.entry(kind).or_default() += 1;
                    if kind > worst.verdict.kind() {
                        *worst = done;
                    }
                }
                None => self.runs.push((done, BTreeMap::from([(kind, 1)]))),
            }
        }
    }

    /// How many rounds were played, the last perhaps not to its end.
    pub const fn count(&self) -> usize {
        self.rounds
    }

    /// Each run that came to different verdicts, with how often it came to which.
    pub fn unsteady(&self) -> impl Iterator<Item = (&Done, &BTreeMap<VerdictKind, usize>)> {
        self.runs.iter().filter(|(_, counts)| counts.len() > 1).map(|(done, counts)| (done, counts))
    }

    /// The worst that each run came to. What was not played, and why, is that of the last round.
    pub fn worst(&self) -> Report {
        Report {
            results: self.runs.iter().map(|(done, _)| done.clone()).collect(),
            unplayed: self.unplayed,
            cut_short: self.cut_short.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    /// One verdict of each run in each round: runs 0 and 1 of the sample pass and fail.
    fn rounds(list: &[&[usize]]) -> Rounds {
        let mut rounds = Rounds::default();
        for round in list {
            let (_, mut report) = sample();
            let verdicts: Vec<_> = report.results.iter().map(|done| done.verdict.clone()).collect();
            report.results.truncate(round.len());
            for (done, verdict) in report.results.iter_mut().zip(*round) {
                done.verdict = verdicts[*verdict].clone();
            }
            rounds.add(report);
        }
        rounds
    }

    #[test]
    fn a_run_is_unsteady_if_its_verdicts_differ_and_its_worst_is_kept() {
        #[track_caller]
        fn check(list: &[&[usize]], worst: &str, unsteady: &str) {
            let rounds = rounds(list);
            let report = rounds.worst();
            let verdicts: Vec<_> = report.results.iter().map(|done| done.verdict.as_str()).collect();
            let differ = rounds.unsteady().map(|(done, counts)| format!("{} {counts:?}", done.protocol));
            assert_eq!((verdicts.join(" ").as_str(), rounds.count()), (worst, list.len()));
            assert_eq!(differ.collect::<Vec<_>>().join("; "), unsteady);
        }
        check(&[&[0, 1]], "pass fail", "");
        check(&[&[0, 1], &[0, 1], &[0, 1]], "pass fail", "");
        check(&[&[0, 1], &[0, 0], &[0, 1]], "pass fail", "5.0 {Pass: 1, Fail: 2}");
        check(&[&[0, 0], &[0, 1]], "pass fail", "5.0 {Pass: 1, Fail: 1}");
        // A round that ended early says nothing of what it did not play.
        check(&[&[0, 1], &[0]], "pass fail", "");
        check(&[&[0], &[0, 1]], "pass fail", "");
    }
}

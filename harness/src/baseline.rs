//! What a target is known not to do right, and what a run shows beyond it: the way to keep a suite in a build before
//! every deviation is mended.
//!
//! Absent: files. Whoever holds the list reads and writes it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::case::VerdictKind;
use crate::run::{Done, Report};

/// One deviation that is known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The id of the case.
    pub case: String,
    /// The protocol version it is known under: `3.1`, `3.1.1` or `5.0`.
    pub protocol: String,
    /// What is said of it: `advise`, `inconclusive` or `fail`.
    pub verdict: VerdictKind,
    /// The requirement that is broken, where that is to be held fast: breaking only others is then new.
    #[serde(default)]
    pub clause: Option<String>,
    /// Why it is so and may stay so, in words of whoever keeps the list; empty where nobody has said it yet.
    pub reason: String,
}

/// The deviations that are known, at most one for each case and protocol version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline(BTreeMap<(String, String), Known>);

/// Why a list is no baseline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBaseline {
    /// Two entries speak of the same run.
    #[error("{0} under {1} stands there twice; leave one entry")]
    Twice(String, String),
    /// Nobody can be known to deviate so: a pass and a skip are no deviations, and an environment that fails is not the
    /// target's doing.
    #[error("{case} under {protocol} is listed as `{}`; write advise, inconclusive or fail", .verdict.as_str())]
    NoDeviation {
        /// The id of the case.
        case: String,
        /// The protocol version.
        protocol: String,
        /// What the entry says.
        verdict: VerdictKind,
    },
}

/// What a run shows beside a baseline, each list in the order of the run.
#[derive(Debug, Default)]
pub struct Difference<'a> {
    /// Deviations that are not known, or graver than known, or of another requirement; with the entry there is.
    pub new: Vec<(&'a Done, Option<&'a Known>)>,
    /// What was known, and now passes or is no more than advice.
    pub fixed: Vec<(&'a Done, &'a Known)>,
    /// What is as it is known to be.
    pub unchanged: Vec<(&'a Done, &'a Known)>,
    /// What is known, and was skipped in this run.
    pub skipped: Vec<(&'a Done, &'a Known)>,
}

impl Baseline {
    /// The baseline of these entries, in any order.
    ///
    /// # Errors
    /// [`BadBaseline`].
    pub fn new(entries: impl IntoIterator<Item = Known>) -> Result<Self, BadBaseline> {
        let mut known = BTreeMap::new();
        for entry in entries {
            let (case, protocol) = (entry.case.clone(), entry.protocol.clone());
            if matches!(entry.verdict, VerdictKind::Pass | VerdictKind::Skip | VerdictKind::Broken) {
                return Err(BadBaseline::NoDeviation { case, protocol, verdict: entry.verdict });
            }
            if let Some(twice) = known.insert((case, protocol), entry) {
                return Err(BadBaseline::Twice(twice.case, twice.protocol));
            }
        }
        Ok(Self(known))
    }

    /// The entries, by case and protocol version.
    pub fn entries(&self) -> impl Iterator<Item = &Known> {
        self.0.values()
    }

    /// The entry that says of this run just what came of it.
    pub fn knows(&self, done: &Done) -> Option<&Known> {
        self.0.get(&key(done)).filter(|known| holds(known, done))
    }

    /// What `report` shows beside this.
    pub fn compare<'a>(&'a self, report: &'a Report) -> Difference<'a> {
        let mut difference = Difference::default();
        for done in &report.results {
            let known = self.0.get(&key(done));
            match (done.verdict.kind(), known) {
                (VerdictKind::Pass | VerdictKind::Skip, None) => {}
                (VerdictKind::Skip, Some(known)) => difference.skipped.push((done, known)),
                (_, Some(known)) if holds(known, done) => difference.unchanged.push((done, known)),
                (VerdictKind::Pass, Some(known)) => difference.fixed.push((done, known)),
                (VerdictKind::Advise, Some(known)) if known.verdict > VerdictKind::Advise => {
                    difference.fixed.push((done, known));
                }
                (_, known) => difference.new.push((done, known)),
            }
        }
        difference
    }

    /// This, brought up to what `report` shows: reasons stay, a new deviation has none yet, what now passes is gone. What
    /// was not played, was skipped or broke stays as it was.
    #[must_use]
    pub fn updated(&self, report: &Report) -> Self {
        let mut known = self.0.clone();
        for done in &report.results {
            let verdict = done.verdict.kind();
            match verdict {
                VerdictKind::Skip | VerdictKind::Broken => {}
                VerdictKind::Pass => {
                    known.remove(&key(done));
                }
                VerdictKind::Advise | VerdictKind::Inconclusive | VerdictKind::Fail => {
                    let old = known.remove(&key(done));
                    let clause = old.as_ref().and_then(|old| old.clause.clone()).filter(|clause| cites(done, clause));
                    let reason = old.map(|old| old.reason).unwrap_or_default();
                    let (case, protocol) = key(done);
                    known.insert(key(done), Known { case, protocol, verdict, clause, reason });
                }
            }
        }
        Self(known)
    }
}

fn key(done: &Done) -> (String, String) {
    (done.id.to_owned(), done.protocol.to_owned())
}

/// Whether `done` is what `known` says.
fn holds(known: &Known, done: &Done) -> bool {
    known.verdict == done.verdict.kind() && known.clause.as_ref().is_none_or(|clause| cites(done, clause))
}

fn cites(done: &Done, clause: &str) -> bool {
    done.verdict.evidence().is_some_and(|evidence| evidence.clauses.contains(&clause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    /// `case protocol verdict`, and a clause where there is a fourth word.
    fn baseline(lines: &[&str]) -> Result<Baseline, BadBaseline> {
        Baseline::new(lines.iter().map(|line| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            let verdict = serde_json::from_value(words[2].clone().into()).unwrap();
            let (case, protocol, clause) = (words[0].clone(), words[1].clone(), words.get(3).cloned());
            Known { case, protocol, verdict, clause, reason: "because".to_owned() }
        }))
    }

    #[test]
    fn a_run_is_compared_with_what_is_known() {
        // The sample has each verdict once: qos2/repeat passes under 3.1.1 and fails under 5.0.
        #[track_caller]
        fn check(known: &[&str], expect: &str) {
            let (baseline, (_, report)) = (baseline(known).unwrap(), sample());
            let difference = baseline.compare(&report);
            let ids = |list: &[(&Done, &Known)]| list.iter().map(|(done, _)| done.id).collect::<Vec<_>>().join(" ");
            let new: Vec<_> = difference.new.iter().map(|(done, _)| done.id).collect();
            let found = [
                ("new", new.join(" ")),
                ("fixed", ids(&difference.fixed)),
                ("unchanged", ids(&difference.unchanged)),
                ("skipped", ids(&difference.skipped)),
            ];
            let found = found.iter().filter(|(_, ids)| !ids.is_empty()).map(|(name, ids)| format!("{name}: {ids}"));
            assert_eq!(found.collect::<Vec<_>>().join(", "), expect);
        }
        check(&[], "new: qos2/repeat retain/advises will/unclear will/broken");
        let rest = ["retain/advises 5.0 advise", "will/unclear 5.0 inconclusive"];
        let with = |more: &[&'static str]| [&rest[..], more].concat();
        check(&with(&["qos2/repeat 5.0 fail"]), "new: will/broken, unchanged: qos2/repeat retain/advises will/unclear");
        check(
            &with(&["qos2/repeat 5.0 fail mqtt5:4.3.3-10"]),
            "new: will/broken, unchanged: qos2/repeat retain/advises will/unclear",
        );
        // Known under another version, of another requirement, or as less grave: new.
        for line in ["qos2/repeat 3.1 fail", "qos2/repeat 5.0 fail mqtt5:4.4.0-1", "qos2/repeat 5.0 advise"] {
            check(&with(&[line]), "new: qos2/repeat will/broken, unchanged: retain/advises will/unclear");
        }
        check(
            &["qos2/repeat 3.1.1 fail", "qos2/repeat 5.0 fail", "retain/advises 5.0 fail", "tls/handshake 5.0 fail"],
            "new: will/unclear will/broken, fixed: qos2/repeat retain/advises, unchanged: qos2/repeat, \
             skipped: tls/handshake",
        );
        // Nothing was shown, so nothing is fixed.
        check(
            &["qos2/repeat 5.0 fail", "retain/advises 5.0 advise", "will/unclear 5.0 fail", "will/broken 5.0 fail"],
            "new: will/unclear will/broken, unchanged: qos2/repeat retain/advises",
        );
    }

    #[test]
    fn an_update_keeps_reasons_and_what_was_not_shown() {
        let known = baseline(&[
            "a/not-played 5.0 fail",
            "qos2/repeat 3.1.1 fail",
            "qos2/repeat 5.0 advise mqtt5:4.3.3-10",
            "retain/advises 5.0 advise mqtt5:1.0.0-1",
            "tls/handshake 5.0 fail",
        ]);
        let updated = known.unwrap().updated(&sample().1);
        let line = |known: &Known| {
            let Known { case, protocol, verdict, clause, reason } = known;
            format!("{case} {protocol} {} {} {reason}", verdict.as_str(), clause.as_deref().unwrap_or("-"))
        };
        assert_eq!(
            updated.entries().map(line).collect::<Vec<_>>(),
            [
                "a/not-played 5.0 fail - because",
                "qos2/repeat 5.0 fail mqtt5:4.3.3-10 because",
                "retain/advises 5.0 advise - because",
                "tls/handshake 5.0 fail - because",
                "will/unclear 5.0 inconclusive - ",
            ]
        );
        let (_, report) = sample();
        let left: Vec<_> = updated.compare(&report).new.iter().map(|(done, _)| done.id).collect();
        assert_eq!(left, ["will/broken"]);
    }

    #[test]
    fn a_baseline_lists_deviations_once() {
        fn check(lines: &[&str], expect: &str) {
            assert_eq!(baseline(lines).unwrap_err().to_string(), expect);
        }
        check(&["a/b 5.0 fail", "a/b 5.0 advise"], "a/b under 5.0 stands there twice; leave one entry");
        check(&["a/b 5.0 pass"], "a/b under 5.0 is listed as `pass`; write advise, inconclusive or fail");
        check(&["a/b 5.0 broken"], "a/b under 5.0 is listed as `broken`; write advise, inconclusive or fail");
        assert!(baseline(&["a/b 5.0 fail", "a/b 3.1.1 fail"]).is_ok());
    }
}

//! The judge: turns what a play found into a verdict, by how binding the requirements are.

use std::borrow::Cow;

use crate::case::{Deviation, Evidence, Played, Stop, Verdict};
use crate::catalogue::Level;
use crate::trace::{Dissect, Trace};

/// Turns what a case found into a verdict.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// How binding a requirement is, by its id.
    pub level: &'a (dyn Fn(&str) -> Level + Sync),
    /// A fresh dissector for one run of a protocol version.
    pub dissect: &'a (dyn Fn(&'static str) -> Box<dyn Dissect> + Sync),
    /// A recommendation that is not followed fails, too; what no requirement asks for still does not.
    pub strict: bool,
}

impl Judge<'_> {
    /// The verdict on a case that cites `cited` under `protocol` and left `played` behind.
    pub(crate) fn verdict(&self, protocol: &'static str, cited: &[&'static str], played: &Played) -> Verdict {
        let ended = match &played.outcome {
            Err(Stop::Deviation(deviation) | Stop::Harm(deviation)) => Some(deviation),
            _ => None,
        };
        // A remark that names no requirement is about what is recommended at most, whatever else the case cites.
        let remarked = played.remarks.iter().map(|deviation| match deviation.clause {
            Some(clause) => self.weigh(&[clause], deviation),
            None => {
                let (level, clauses, mut deviation) = self.weigh(cited, deviation);
                if level > Level::Must {
                    return (level, clauses, deviation);
                }
                // None of them is broken, so none is named.
                deviation.to_mut().expected.push_str(" (better so, but no clause obliges the target to it)");
                (Level::Should, Vec::new(), deviation)
            }
        });
        // What ends the play breaks the requirement it names, and the others are not shown either way. One that is none of the
        // case's own and less binding, or is about a bystander, leaves standing that what the case claims did not come about.
        let harm = matches!(played.outcome, Err(Stop::Harm(_)));
        let alone = |clause| cited.contains(&clause) || !harm && (self.level)(clause) == Level::Must;
        let ended = ended.map(|deviation| match deviation.clause {
            Some(clause) if alone(clause) => self.weigh(&[clause], deviation),
            named => self.weigh(&cited.iter().copied().chain(named).collect::<Vec<_>>(), deviation),
        });
        let found: Vec<_> = remarked.chain(ended).collect();
        let worst = found.iter().map(|(level, _, _)| *level).min();
        let evidence = |level| {
            let found = found.iter().filter(|(found, _, _)| *found == level);
            let mut clauses: Vec<_> = found.clone().flat_map(|(_, clauses, _)| clauses.iter().copied()).collect();
            clauses.sort_by_key(|clause| cited.iter().position(|each| each == clause));
            clauses.dedup();
            let words = |pick: fn(&Deviation) -> &str| {
                let mut words: Vec<_> = found.clone().map(|(_, _, deviation)| pick(deviation)).collect();
                words.dedup();
                words.join("; ")
            };
            let (expected, came) = (words(|deviation| &deviation.expected), words(|deviation| &deviation.came));
            self.evidence(protocol, &played.trace, clauses, &expected, &came)
        };
        match (&played.outcome, worst) {
            (_, Some(Level::Must)) => Verdict::Fail(evidence(Level::Must)),
            (Err(Stop::BrokenPromise { promise, expected, came }), _) => {
                Verdict::Fail(self.evidence(protocol, &played.trace, vec![promise], expected, came))
            }
            (Err(Stop::Broken(why)), _) => {
                Verdict::Broken(self.evidence(protocol, &played.trace, Vec::new(), "an environment that works", why))
            }
            (Err(Stop::Inconclusive(why)), _) => {
                let expected = "that the steps this case is not about work";
                Verdict::Inconclusive(self.evidence(protocol, &played.trace, Vec::new(), expected, why))
            }
            (Err(Stop::Skip(missing)), _) => Verdict::Skip(missing.clone()),
            (_, Some(Level::Should)) => match evidence(Level::Should) {
                evidence if self.strict && !evidence.clauses.is_empty() => Verdict::Fail(evidence),
                evidence => Verdict::Advise(evidence),
            },
            // What is only permitted cannot be broken, and what was not done cannot be shown to work.
            (Err(Stop::Deviation(deviation) | Stop::Harm(deviation)), Some(Level::May)) => {
                Verdict::Skip(format!("the standard leaves it open: {}", deviation.came))
            }
            _ => Verdict::Pass,
        }
    }

    /// How bad `deviation` is, and which of these requirements it breaks: the most binding ones.
    fn weigh<'d>(
        &self,
        among: &[&'static str],
        deviation: &'d Deviation,
    ) -> (Level, Vec<&'static str>, Cow<'d, Deviation>) {
        let level = among.iter().map(|clause| (self.level)(clause)).min().unwrap_or(Level::Must);
        let broken = among.iter().copied().filter(|clause| (self.level)(clause) == level).collect();
        (level, broken, Cow::Borrowed(deviation))
    }

    /// What passed, in words, around what was expected and what came.
    pub(crate) fn evidence(
        &self,
        protocol: &'static str,
        trace: &Trace,
        clauses: Vec<&'static str>,
        expected: &str,
        came: &str,
    ) -> Evidence {
        let trace = trace.excerpt(&mut *(self.dissect)(protocol));
        Evidence { clauses, expected: expected.to_owned(), came: came.to_owned(), trace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Outcome;
    use crate::node::ConnId;

    struct Silent;

    impl Dissect for Silent {
        fn words(&mut self, _: ConnId, _: bool, _: &[u8]) -> String {
            String::new()
        }
    }

    impl<'a> Judge<'a> {
        /// One that has no words for what passed.
        pub(crate) fn silent(level: &'a (dyn Fn(&str) -> Level + Sync), strict: bool) -> Self {
            Self { level, dissect: &|_| Box::new(Silent), strict }
        }
    }

    /// `must`, `should` and `may` are the clauses of these tests.
    fn level(clause: &str) -> Level {
        match clause {
            "must" | "must too" => Level::Must,
            "should" => Level::Should,
            _ => Level::May,
        }
    }

    fn deviation(clause: Option<&'static str>) -> Deviation {
        Deviation { clause, expected: "this".to_owned(), came: "that".to_owned() }
    }

    #[test]
    fn a_remark_that_no_clause_obliges_to_says_so() {
        fn check(strict: bool, cited: &[&'static str], remarks: &[Option<&'static str>], expect: (&str, &str, &str)) {
            let remarks = remarks.iter().map(|clause| deviation(*clause)).collect();
            let played = Played { outcome: Ok(()), remarks, died: None, trace: Trace::default() };
            let verdict = Judge::silent(&level, strict).verdict("5.0", cited, &played);
            let evidence = verdict.evidence().unwrap();
            assert_eq!((verdict.as_str(), &*evidence.clauses.join("+"), &*evidence.expected), expect);
        }
        let free = "this (better so, but no clause obliges the target to it)";
        check(false, &["should"], &[None], ("advise", "should", "this"));
        check(true, &["should"], &[None], ("fail", "should", "this"));
        check(false, &["must"], &[None], ("advise", "", free));
        check(true, &["must"], &[None], ("advise", "", free));
        let both = format!("{free}; this");
        check(true, &["must", "should"], &[None, Some("should")], ("fail", "should", &both));
    }

    #[test]
    fn the_verdict_follows_the_outcome_and_the_level_of_the_clause() {
        #[track_caller]
        fn check(outcome: Outcome, remarks: &[&'static str], cited: &[&'static str], expect: &str) {
            let remarks = remarks.iter().map(|clause| deviation(Some(clause))).collect();
            let played = Played { outcome, remarks, died: None, trace: Trace::default() };
            let words = |strict| {
                let verdict = Judge::silent(&level, strict).verdict("5.0", cited, &played);
                let clauses = verdict.evidence().map_or(String::new(), |evidence| evidence.clauses.join("+"));
                format!("{} {clauses}", verdict.as_str())
            };
            let (usual, strict) = (words(false), words(true));
            let both = if usual == strict { usual } else { format!("{usual}, strict: {strict}") };
            assert_eq!(both.trim(), expect);
        }
        let broke = |clause| Err(Stop::Deviation(deviation(clause)));
        check(Ok(()), &[], &["must"], "pass");
        check(broke(Some("must")), &[], &["must", "should"], "fail must");
        check(broke(Some("should")), &[], &["must", "should"], "advise should, strict: fail should");
        check(broke(Some("may")), &[], &["must", "may"], "skip");
        check(Err(Stop::Harm(deviation(Some("must")))), &[], &["must", "should"], "fail must");
        // Where no clause is named, the most binding one counts; one that the case does not cite counts all the same.
        check(broke(None), &[], &["should", "must"], "fail must");
        check(broke(Some("must")), &[], &["may", "should"], "fail must");
        check(broke(Some("should")), &[], &["may", "must"], "fail must");
        check(broke(Some("must")), &[], &["must too"], "fail must");
        check(Err(Stop::Harm(deviation(Some("must")))), &[], &["must too"], "fail must+must too");
        // Remarks do not end a play, and count like any deviation.
        check(Ok(()), &["should", "should"], &["must", "should"], "advise should, strict: fail should");
        check(Ok(()), &["may"], &["may"], "pass");
        check(broke(Some("should")), &["must"], &["must", "should"], "fail must");
        check(Err(Stop::Inconclusive(String::new())), &["must"], &["must"], "fail must");
        check(Err(Stop::Inconclusive(String::new())), &["should"], &["should"], "inconclusive");
        check(Err(Stop::Skip("x".to_owned())), &[], &["must"], "skip");
        // A promise is no requirement: none is named, however binding those of the case are.
        let promise = || Err(Stop::BrokenPromise { promise: "own", expected: String::new(), came: String::new() });
        check(promise(), &[], &["must", "should"], "fail own");
        check(promise(), &["must"], &["must"], "fail must");
        check(promise(), &["should"], &["may"], "fail own");
        check(Err(Stop::Broken("x".to_owned())), &[], &["must"], "broken");
    }
}

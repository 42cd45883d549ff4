//! Two JSON reports compared: what changed from one run to another, or from one version of a target to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::{Deserialize, Serialize};

use super::counted;
use super::json::SCHEMA;
use super::terminal::{in_one_line, visible};
use crate::case::VerdictKind;

/// What of a JSON report is compared.
#[derive(Clone, Debug, Deserialize)]
pub struct Past {
    schema: u32,
    target: Target,
    cases: Vec<Case>,
    /// Reports of earlier versions have none.
    #[serde(default)]
    fingerprint: Vec<Trait>,
}

#[derive(Clone, Debug, Deserialize)]
struct Trait {
    name: String,
    protocol: String,
    choice: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Target {
    name: String,
    version: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Case {
    id: String,
    protocol: String,
    verdict: VerdictKind,
    why: Option<String>,
    /// Absent for what rests on nothing.
    #[serde(default)]
    evidence: Option<Evidence>,
}

#[derive(Clone, Debug, Deserialize)]
struct Evidence {
    expected: String,
}

/// Why a text is no report that can be compared.
#[derive(Debug, thiserror::Error)]
pub enum NoReport {
    /// It is not the JSON that `conform --json` writes.
    #[error("it is no report of `testament conform --json`")]
    Form(#[from] serde_json::Error),
    /// It is, in a form that this version does not read.
    #[error("it is a report in form {0}, and this version reads form {SCHEMA}; write it anew with this version")]
    Schema(u32),
}

/// What changed, the worst first.
#[derive(Debug, Serialize)]
pub struct Comparison<'a> {
    old: &'a Target,
    new: &'a Target,
    worse: usize,
    better: usize,
    gone: usize,
    added: usize,
    unchanged: usize,
    changes: Vec<Change<'a>>,
    fingerprint: Vec<Chosen<'a>>,
}

/// One freedom that the target uses in another way than before, or that only one of the reports tells of.
#[derive(Debug, Serialize)]
struct Chosen<'a> {
    name: &'a str,
    protocol: &'a str,
    was: Option<&'a str>,
    now: Option<&'a str>,
}

/// One run whose verdict is not what it was.
#[derive(Debug, Serialize)]
struct Change<'a> {
    change: Word,
    id: &'a str,
    protocol: &'a str,
    was: Option<VerdictKind>,
    now: Option<VerdictKind>,
    why: Option<&'a str>,
    expected: Option<&'a str>,
    /// Why it is gone or added, where another selection was played.
    #[serde(skip)]
    lack: Option<Lack<'a>>,
}

/// What one of two reports has no run of at all, so that all runs of the other are told in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack<'a> {
    Protocol(&'a str),
    Chapter(&'a str),
}

/// What kind of change it is, in the order of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    NewlyFail,
    NewlyBroken,
    NewlyInconclusive,
    NewlyAdvise,
    NewlySkip,
    Fixed,
    NowPlayed,
    Gone,
    Added,
}

impl Past {
    /// Reads what `conform --json` wrote.
    ///
    /// # Errors
    /// [`NoReport`].
    pub fn parse(text: &str) -> Result<Self, NoReport> {
        let past: Self = serde_json::from_str(text)?;
        if past.schema == SCHEMA { Ok(past) } else { Err(NoReport::Schema(past.schema)) }
    }

    /// What this lacks altogether of what a run belongs to: its protocol version, or else its chapter.
    fn lacks<'r>(&self, id: &'r str, protocol: &'r str) -> Option<Lack<'r>> {
        let chapter = chapter(id);
        match () {
            () if self.cases.iter().all(|case| case.protocol != protocol) => Some(Lack::Protocol(protocol)),
            () if self.cases.iter().all(|case| self::chapter(&case.id) != chapter) => Some(Lack::Chapter(chapter)),
            () => None,
        }
    }

    fn runs(&self) -> BTreeMap<(&str, &str), &Case> {
        self.cases.iter().map(|case| ((case.id.as_str(), case.protocol.as_str()), case)).collect()
    }

    fn choices(&self) -> BTreeMap<(&str, &str), &str> {
        let traits = self.fingerprint.iter();
        traits.map(|each| ((each.name.as_str(), each.protocol.as_str()), each.choice.as_str())).collect()
    }
}

impl<'a> Comparison<'a> {
    /// What changed from `old` to `new`.
    pub fn of(old: &'a Past, new: &'a Past) -> Self {
        let (before, after) = (old.runs(), new.runs());
        let mut comparison = Self {
            old: &old.target,
            new: &new.target,
            worse: 0,
            better: 0,
            gone: 0,
            added: 0,
            unchanged: 0,
            changes: Vec::new(),
            fingerprint: chosen(&old.choices(), &new.choices()),
        };
        let mut runs: Vec<_> = before.keys().chain(after.keys()).copied().collect();
        runs.sort_unstable();
        runs.dedup();
        for (id, protocol) in runs {
            let (was, case) = (before.get(&(id, protocol)), after.get(&(id, protocol)));
            let (was, now) = (was.map(|case| case.verdict), case.map(|case| case.verdict));
            let change = match (was, now) {
                (None, _) => Word::Added,
                (_, None) => Word::Gone,
                (Some(was), Some(now)) if was == now => {
                    comparison.unchanged += 1;
                    continue;
                }
                (Some(VerdictKind::Skip), Some(VerdictKind::Pass)) => Word::NowPlayed,
                (_, Some(VerdictKind::Pass)) => Word::Fixed,
                (_, Some(VerdictKind::Skip)) => Word::NewlySkip,
                (_, Some(VerdictKind::Advise)) => Word::NewlyAdvise,
                (_, Some(VerdictKind::Inconclusive)) => Word::NewlyInconclusive,
                (_, Some(VerdictKind::Broken)) => Word::NewlyBroken,
                (_, Some(VerdictKind::Fail)) => Word::NewlyFail,
            };
            *match change {
                Word::Added => &mut comparison.added,
                Word::Gone => &mut comparison.gone,
                _ if now > was => &mut comparison.worse,
                _ => &mut comparison.better,
            } += 1;
            let why = case.and_then(|case| case.why.as_deref());
            let expected = case.and_then(|case| case.evidence.as_ref()).map(|evidence| evidence.expected.as_str());
            let lack = match change {
                Word::Gone => new.lacks(id, protocol),
                Word::Added => old.lacks(id, protocol),
                _ => None,
            };
            comparison.changes.push(Change { change, id, protocol, was, now, why, expected, lack });
        }
        comparison.changes.sort_by_key(|change| change.change);
        comparison
    }

    /// How many runs came to a graver verdict than before: from the least, these are pass, skip, advise, inconclusive,
    /// broken and fail. A run that only one of the two reports has is neither worse nor better.
    pub const fn worse(&self) -> usize {
        self.worse
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "from {} to {}\n", self.old.in_words(), self.new.in_words())?;
        let mut told = Vec::new();
        for Change { change, id, protocol, was, now, why, expected, lack } in &self.changes {
            if let Some(lack) = lack {
                if !told.contains(&(change, lack)) {
                    told.push((change, lack));
                    self.write_group(out, *change, *lack)?;
                }
                continue;
            }
            let verdict = |verdict: &Option<VerdictKind>| verdict.map_or("", VerdictKind::as_str);
            let what = match change {
                Word::Added => format!("is {}", verdict(now)),
                _ => format!("was {}", verdict(was)),
            };
            let why = match (expected, why) {
                (Some(expected), Some(why)) => format!(": expected {expected}; came {why}"),
                (None, Some(why)) => format!(": {why}"),
                (_, None) => String::new(),
            };
            let line = format!("{:18}  {id} under {protocol}, {what}{why}", change.as_str());
            writeln!(out, "{}", in_one_line(&line))?;
        }
        for Chosen { name, protocol, was, now } in &self.fingerprint {
            let said = |choice: &Option<&str>| choice.map_or("not seen".to_owned(), |choice| format!("{choice:?}"));
            let line = format!("{:18}  {name} under {protocol}, was {}, is {}", "FINGERPRINT", said(was), said(now));
            writeln!(out, "{}", in_one_line(&line))?;
        }
        let Self { worse, better, gone, added, unchanged, .. } = self;
        let space = if self.changes.is_empty() && self.fingerprint.is_empty() { "" } else { "\n" };
        writeln!(out, "{space}{worse} worse, {better} better, {gone} gone, {added} new, {unchanged} unchanged")
    }

    /// The runs that only one report has because the other was played on another selection.
    fn write_group(&self, out: &mut dyn io::Write, change: Word, lack: Lack<'_>) -> io::Result<()> {
        let alike = |each: &&Change<'_>| each.change == change && each.lack == Some(lack);
        let runs = counted(self.changes.iter().filter(alike).count(), "run", "runs");
        let other = if change == Word::Gone { "new" } else { "old" };
        let of = match lack {
            Lack::Protocol(protocol) => format!("under {protocol}"),
            Lack::Chapter(chapter) => format!("of {chapter}/"),
        };
        let line = format!("{:18}  {runs} {of}: the {other} report has none of them", change.as_str());
        writeln!(out, "{}", in_one_line(&line))
    }
}

/// The chapter of a case.
fn chapter(id: &str) -> &str {
    id.split('/').next().unwrap_or_default()
}

/// What differs between two fingerprints. Where a run took none of a protocol version, because it played only some cases or
/// versions, nothing differs.
fn chosen<'a>(
    before: &BTreeMap<(&'a str, &'a str), &'a str>,
    after: &BTreeMap<(&'a str, &'a str), &'a str>,
) -> Vec<Chosen<'a>> {
    let both_took = |(_, protocol): &(&str, &str)| {
        [before, after].iter().all(|choices| choices.keys().any(|(_, each)| each == protocol))
    };
    let names: BTreeSet<_> = before.keys().chain(after.keys()).copied().filter(both_took).collect();
    let both = |(name, protocol)| {
        let (was, now) = (before.get(&(name, protocol)).copied(), after.get(&(name, protocol)).copied());
        Chosen { name, protocol, was, now }
    };
    names.into_iter().map(both).filter(|chosen| chosen.was != chosen.now).collect()
}

impl Target {
    fn in_words(&self) -> String {
        visible(
            &[Some(self.name.as_str()), self.version.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" "),
        )
    }
}

impl Word {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NewlyFail => "NEWLY FAIL",
            Self::NewlyBroken => "NEWLY BROKEN",
            Self::NewlyInconclusive => "NEWLY INCONCLUSIVE",
            Self::NewlyAdvise => "NEWLY ADVISE",
            Self::NewlySkip => "NEWLY SKIP",
            Self::Fixed => "FIXED",
            Self::NowPlayed => "NOW PLAYED",
            Self::Gone => "GONE",
            Self::Added => "NEW CASE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    /// A report with these runs, each `id verdict`, under 5.0 or as `id@protocol verdict`; why they are so is in it, too.
    fn past(version: &str, runs: &[&str]) -> Past {
        let case = |run: &&str| {
            let (id, verdict) = run.split_once(' ').unwrap();
            let why = (verdict != "pass").then(|| format!("because\u{1b} of {verdict}"));
            let evidence =
                (!["pass", "skip"].contains(&verdict)).then(|| serde_json::json!({"expected": "a\nb", "came": why}));
            let (id, protocol) = id.split_once('@').unwrap_or((id, "5.0"));
            serde_json::json!({
                "id": id, "protocol": protocol, "verdict": verdict, "why": why, "evidence": evidence, "more": 1,
            })
        };
        let cases: Vec<_> = runs.iter().map(case).collect();
        let target = serde_json::json!({"name": "x", "version": version, "url": null});
        Past::parse(&serde_json::json!({"schema": 1, "target": target, "cases": cases}).to_string()).unwrap()
    }

    #[test]
    fn the_worst_stands_first() {
        let old = ["a/a pass", "a/b pass", "a/c pass", "a/d advise", "a/e fail", "a/f fail", "a/g pass", "a/h fail"];
        let new = ["a/a pass", "a/b skip", "a/c advise", "a/d fail", "a/e pass", "a/f advise", "a/h fail", "a/i fail"];
        let (old, new) = (past("1", &old), past("2", &new));
        let comparison = Comparison::of(&old, &new);
        assert_eq!(comparison.worse(), 3);
        let mut out = Vec::new();
        comparison.write(&mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        from x 1 to x 2

        NEWLY FAIL          a/d under 5.0, was advise: expected a b; came because\u{1b} of fail
        NEWLY ADVISE        a/c under 5.0, was pass: expected a b; came because\u{1b} of advise
        NEWLY ADVISE        a/f under 5.0, was fail: expected a b; came because\u{1b} of advise
        NEWLY SKIP          a/b under 5.0, was pass: because\u{1b} of skip
        FIXED               a/e under 5.0, was fail
        GONE                a/g under 5.0, was pass
        NEW CASE            a/i under 5.0, is fail: expected a b; came because\u{1b} of fail

        3 worse, 2 better, 1 gone, 1 new, 2 unchanged
        ");
        let json = serde_json::to_value(&comparison).unwrap();
        assert_eq!(
            json["changes"][0],
            serde_json::json!({
                "change": "newly-fail", "id": "a/d", "protocol": "5.0", "was": "advise", "now": "fail",
                "why": "because\u{1b} of fail", "expected": "a\nb",
            })
        );
    }

    #[test]
    fn what_was_not_played_before_is_not_called_fixed() {
        let (old, new) = (past("1", &["a/a skip", "a/b skip"]), past("1", &["a/a pass", "a/b fail"]));
        let comparison = Comparison::of(&old, &new);
        let words: Vec<_> = comparison.changes.iter().map(|change| change.change.as_str()).collect();
        assert_eq!((words, comparison.worse, comparison.better), (vec!["NEWLY FAIL", "NOW PLAYED"], 1, 1));
    }

    #[test]
    fn another_selection_is_told_once() {
        #[track_caller]
        fn check(old: &[&str], new: &[&str], expect: &[&str]) {
            let (old, new) = (past("1", old), past("1", new));
            let mut out = Vec::new();
            Comparison::of(&old, &new).write(&mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            let lines: Vec<_> = text.lines().skip(2).filter(|line| !line.is_empty()).collect();
            assert_eq!(lines, expect);
        }
        let all = ["a/a pass", "a/b pass", "b/a fail", "a/a@3.1 pass", "b/a@3.1 fail"];
        check(
            &all,
            &["a/a pass"],
            &[
                "GONE                2 runs under 3.1: the new report has none of them",
                "GONE                a/b under 5.0, was pass",
                "GONE                1 run of b/: the new report has none of them",
                "0 worse, 0 better, 4 gone, 0 new, 1 unchanged",
            ],
        );
        check(
            &["a/a@3.1 pass", "b/a@3.1 fail"],
            &all,
            &[
                "NEW CASE            3 runs under 5.0: the old report has none of them",
                "0 worse, 0 better, 0 gone, 3 new, 2 unchanged",
            ],
        );
    }

    #[test]
    fn a_fingerprint_is_compared_where_both_runs_took_one() {
        #[track_caller]
        fn check(old: &[&str], new: &[&str], expect: &str) {
            let past = |choices: &[&str]| Past {
                fingerprint: choices
                    .iter()
                    .map(|choice| {
                        let (name, choice) = choice.split_once(' ').unwrap();
                        let (name, protocol) = name.split_once('@').unwrap_or((name, "5.0"));
                        Trait { name: name.to_owned(), protocol: protocol.to_owned(), choice: choice.to_owned() }
                    })
                    .collect(),
                ..past("1", &["a/a pass"])
            };
            let (old, new) = (past(old), past(new));
            let comparison = Comparison::of(&old, &new);
            let mut out = Vec::new();
            comparison.write(&mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("FINGERPRINT         ")).collect();
            assert_eq!((lines.join("; ").as_str(), comparison.worse()), (expect, 0));
        }
        check(&["overlap one"], &["overlap one"], "");
        check(&["overlap one"], &["overlap two\u{1b}"], "overlap under 5.0, was \"one\", is \"two\\u{1b}\"");
        check(&["overlap one", "x 1"], &["x 1"], "overlap under 5.0, was \"one\", is not seen");
        check(&["x 1"], &["overlap one", "x 1"], "overlap under 5.0, was not seen, is \"one\"");
        check(&["overlap one"], &[], "");
        check(&[], &["overlap one"], "");
        check(&["overlap one", "overlap@3.1 one"], &["overlap one"], "");
    }

    #[test]
    fn each_step_up_is_worse_and_each_step_down_is_not() {
        let order = ["pass", "skip", "advise", "inconclusive", "broken", "fail"];
        for (place, was) in order.iter().enumerate() {
            for (other, now) in order.iter().enumerate() {
                let (old, new) = (past("1", &[&format!("a/a {was}")]), past("2", &[&format!("a/a {now}")]));
                assert_eq!(Comparison::of(&old, &new).worse(), usize::from(other > place), "{was} to {now}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let (heading, report) = sample();
        let mut out = Vec::new();
        crate::report::json::write(&mut out, &heading, &report, []).unwrap();
        let past = Past::parse(std::str::from_utf8(&out).unwrap()).unwrap();
        let same = Comparison::of(&past, &past);
        assert_eq!((same.worse, same.unchanged, same.changes.len()), (0, 6, 0));
        fn check(text: &str, expect: &str) {
            let error = Past::parse(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
        check("{", "it is no report of `testament conform --json`");
        check("{\"schema\": 1}", "it is no report of `testament conform --json`");
        check(
            "{\"schema\": 2, \"target\": {\"name\": \"x\", \"version\": null}, \"cases\": []}",
            "this version reads form 1",
        );
    }
}

//! The requirements of a standard, as data, and what a set of cases makes of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::case::Verdict;

/// How binding a requirement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// MUST or SHALL, also MUST NOT.
    Must,
    /// SHOULD, also SHOULD NOT.
    Should,
    /// MAY: never a deviation.
    May,
}

/// Whom a requirement binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Actor {
    /// The client.
    Client,
    /// The server.
    Server,
    /// Either.
    Both,
}

/// Who can see on the wire whether it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Observed {
    /// A peer of the server: a case with a broker as the system under test can judge it.
    AtServer,
    /// A peer of the client: a case with a client as the system under test can judge it.
    AtClient,
    /// Both.
    AtBoth,
    /// Nobody.
    Internally,
}

/// What a requirement rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Basis {
    /// The standard says it.
    #[default]
    Text,
    /// It follows from what the standard says.
    Derived,
    /// Implementations agree on it.
    Practice,
}

/// One rule of a standard, in our own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// `spec:number`, never renumbered: `mqtt5:3.1.2-22`, `mqtt311:ext-033`, `mqtt31:diff-013`.
    pub id: String,
    /// Number and title of the section.
    pub section: String,
    /// How binding.
    pub level: Level,
    /// Whom it binds.
    pub actor: Actor,
    /// Who can see it.
    pub observed: Observed,
    /// What it rests on.
    #[serde(default)]
    pub basis: Basis,
    /// The rule.
    pub rule: String,
    /// What brings it about.
    #[serde(default)]
    pub stimulus: String,
    /// What is then legal.
    #[serde(default)]
    pub expected: String,
    /// Remarks: options left open, bugs the field has had.
    #[serde(default)]
    pub note: String,
    /// For a requirement of an older version: other requirements that it replaces there (`mqtt31:diff-013` replaces
    /// `mqtt311:3.1.4-2` under 3.1).
    #[serde(default)]
    pub replaces: Vec<String>,
    /// What the later version made of it, where it replaces something.
    #[serde(default)]
    pub later: String,
    /// Other requirements that say more about it.
    #[serde(default)]
    pub related: Vec<String>,
    /// Ids under which it is also known: labels that the standard misprints.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What goes in and what must come of it, where a rule is best said by examples.
    #[serde(default)]
    pub examples: Vec<(String, String)>,
    /// Why no case judges it, where none does.
    #[serde(default)]
    pub exception: Option<String>,
}

/// Where a requirement stands with the cases there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coverage {
    /// A case judges it.
    Covered,
    /// No case does, and its exception says why.
    Exception,
    /// Only a peer of the client can see it, so that no case with a broker as the system under test can judge it.
    ClientOnly,
    /// No case judges it yet.
    Owed,
}

impl Coverage {
    /// All four, from done to owed.
    pub const ALL: [Self; 4] = [Self::Covered, Self::Exception, Self::ClientOnly, Self::Owed];

    /// Where a requirement stands, given whether a case judges it.
    pub fn of(requirement: &Requirement, covered: bool) -> Self {
        if covered {
            Self::Covered
        } else if requirement.exception.is_some() {
            Self::Exception
        } else if requirement.observed == Observed::AtClient {
            Self::ClientOnly
        } else {
            Self::Owed
        }
    }

    /// The name reports use: `covered`, `exception`, `client-only` or `owed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Covered => "covered",
            Self::Exception => "exception",
            Self::ClientOnly => "client-only",
            Self::Owed => "owed",
        }
    }
}

impl Serialize for Coverage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What a run showed of a requirement; reports use these names, such as `not-judged`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// No case of the run judges it.
    NotJudged,
    /// Every case that judges it was skipped.
    Skipped,
    /// Every case that judges it and was not skipped passed.
    Passed,
    /// It is a recommendation, and was not followed.
    Advised,
    /// A case that judges it came to no verdict.
    Inconclusive,
    /// It was broken.
    Failed,
}

impl Status {
    /// What the verdicts of all the cases that judge requirement `id` say about it: the gravest of them. A case that found
    /// another of its requirements wanting says nothing about this one.
    pub fn of<'a>(id: &str, verdicts: impl IntoIterator<Item = &'a Verdict>) -> Self {
        let each = verdicts.into_iter().map(|verdict| match verdict {
            Verdict::Pass => Self::Passed,
            // It was kept; what would be better still is no requirement.
            Verdict::Advise(evidence) if evidence.clauses.is_empty() => Self::Passed,
            Verdict::Skip(_) => Self::Skipped,
            Verdict::Advise(evidence) if evidence.clauses.contains(&id) => Self::Advised,
            Verdict::Fail(evidence) if evidence.clauses.contains(&id) => Self::Failed,
            Verdict::Advise(_) | Verdict::Fail(_) => Self::NotJudged,
            Verdict::Inconclusive(_) | Verdict::Broken(_) => Self::Inconclusive,
        });
        each.max().unwrap_or(Self::NotJudged)
    }
}

impl fmt::Display for Level {
    /// As the standards write it: `MUST`, `SHOULD` or `MAY`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        })
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Both => "both",
        })
    }
}

/// The candidates most like a name that is not among them, most alike first, at most three.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = name.to_lowercase();
    let mut ranked: Vec<_> = candidates.into_iter().map(|each| (distance(&name, &each.to_lowercase()), each)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(3).map(|(_, each)| each).collect()
}

/// The candidate that a name is a slip of the pen for, if there is one.
pub fn near<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = 1 + name.chars().count() / 4;
    closest(name, candidates)
        .first()
        .copied()
        .filter(|near| distance(&name.to_lowercase(), &near.to_lowercase()) <= most)
}

/// How many characters must be put in, taken out or changed to make one text of the other (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in b.chars().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Evidence;
    use crate::trace::Excerpt;

    fn evidence(clause: &'static str) -> Evidence {
        let trace = Excerpt::default();
        Evidence { clauses: vec![clause], expected: String::new(), came: String::new(), trace }
    }

    #[test]
    fn status() {
        fn check(verdicts: &[Verdict], expect: Status) {
            assert_eq!(Status::of("a", verdicts), expect, "{verdicts:?}");
        }
        let skip = || Verdict::Skip("needs retain".into());
        check(&[], Status::NotJudged);
        check(&[skip()], Status::Skipped);
        check(&[skip(), Verdict::Pass], Status::Passed);
        check(&[Verdict::Pass, Verdict::Advise(evidence("a"))], Status::Advised);
        check(&[Verdict::Pass, Verdict::Fail(evidence("b"))], Status::Passed);
        check(&[Verdict::Fail(evidence("b"))], Status::NotJudged);
        check(&[Verdict::Advise(evidence("b"))], Status::NotJudged);
        let free = Evidence { clauses: Vec::new(), ..evidence("b") };
        check(&[Verdict::Advise(free)], Status::Passed);
        check(&[Verdict::Pass, Verdict::Inconclusive(evidence("a"))], Status::Inconclusive);
        check(&[Verdict::Pass, Verdict::Broken(evidence("a"))], Status::Inconclusive);
        check(&[Verdict::Fail(evidence("a")), Verdict::Broken(evidence("a"))], Status::Failed);
    }

    #[test]
    fn coverage() {
        fn check(observed: &str, exception: &str, covered: bool, expect: Coverage) {
            let text = format!(
                r#"(id: "a", section: "1", level: Must, actor: Both, observed: {observed}, rule: "r", exception: {exception})"#
            );
            let requirement: Requirement = ron::from_str(&text).expect("a requirement");
            assert_eq!(Coverage::of(&requirement, covered), expect, "{text}");
        }
        check("AtServer", "None", true, Coverage::Covered);
        check("AtServer", "None", false, Coverage::Owed);
        check("AtClient", "None", true, Coverage::Covered);
        check("AtClient", "None", false, Coverage::ClientOnly);
        check("AtBoth", "None", false, Coverage::Owed);
        check("Internally", "Some(\"why\")", false, Coverage::Exception);
        check("Internally", "None", false, Coverage::Owed);
    }

    #[test]
    fn closeness() {
        fn check(name: &str, expect: &[&str]) {
            let ids =
                ["mqtt5:3.1.2-22", "mqtt311:3.1.2-22", "mqtt5:4.3.3-1", "qos2/repeat-before-pubrel", "will/delay"];
            assert_eq!(closest(name, ids)[..expect.len()], *expect, "{name}");
        }
        check("mqtt5:3.1.2-2", &["mqtt5:3.1.2-22"]);
        check("MQTT-3.1.2-22", &["mqtt5:3.1.2-22", "mqtt311:3.1.2-22"]);
        check("qos2/repeat", &["will/delay", "mqtt5:4.3.3-1", "mqtt5:3.1.2-22"]);
        check("repeat-before-pubrel", &["qos2/repeat-before-pubrel"]);
        check("", &["will/delay"]);
    }

    #[test]
    fn distances() {
        fn check(a: &str, b: &str, expect: usize) {
            assert_eq!((distance(a, b), distance(b, a)), (expect, expect), "{a} {b}");
        }
        check("", "", 0);
        check("", "abc", 3);
        check("kitten", "sitting", 3);
        check("é", "e", 1);
    }
}

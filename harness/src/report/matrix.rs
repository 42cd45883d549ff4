//! Many targets judged by one suite: a document with all that was found, and the page made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::markdown::escaped;
use crate::case::VerdictKind;
use crate::catalogue::{Level, Status};
use crate::run::Summary;

/// The version of the form; it changes when a reader of the old one could be misled.
const SCHEMA: u32 = 1;

/// The document. All that the page shows is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    schema: u32,
    /// The version of the tool that wrote it last.
    pub tool: String,
    /// Who was judged, in the order of the columns.
    pub brokers: Vec<Column>,
    /// The rules that somebody was held to, in the order of the catalogue.
    pub requirements: Vec<Rule>,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// What the command line calls it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The version it says it has.
    pub version: Option<String>,
    /// The day it was judged, as `2026-11-22`.
    pub date: String,
    /// How many runs got which verdict.
    pub summary: Summary,
    /// What the run showed of each requirement.
    pub requirements: BTreeMap<String, Status>,
    /// Every run that neither passed nor was skipped.
    pub findings: Vec<Finding>,
}

/// One run that neither passed nor was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The id of the case.
    pub case: String,
    /// The protocol version.
    pub protocol: String,
    /// Its verdict.
    pub verdict: VerdictKind,
    /// The requirements that were broken.
    pub clauses: Vec<String>,
    /// Every outcome that would have been legal.
    pub expected: String,
    /// What came instead.
    pub came: String,
    /// What people found who looked into it; empty where nobody has.
    pub reason: String,
}

/// A rule of the catalogue, as far as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `catalogue::Requirement`")]
pub struct Rule {
    pub id: String,
    pub section: String,
    pub level: Level,
    pub rule: String,
}

/// What of a JSON report goes into a column.
#[derive(Deserialize)]
struct Judged {
    schema: u32,
    target: Target,
    summary: Summary,
    cases: Vec<Case>,
    requirements: Vec<Requirement>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    version: Option<String>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    protocol: String,
    verdict: VerdictKind,
    evidence: Option<Evidence>,
}

#[derive(Deserialize)]
struct Evidence {
    clauses: Vec<String>,
    expected: String,
    came: String,
}

#[derive(Deserialize)]
struct Requirement {
    id: String,
    status: Status,
}

/// Why a text is no matrix, or no report that goes into one.
#[derive(Debug, thiserror::Error)]
pub enum NoMatrix {
    /// It has not the form.
    #[error("it has not the form: {0}")]
    Form(#[from] serde_json::Error),
    /// It is of another version of this tool.
    #[error("it is in form {0}, and this version reads form {SCHEMA}; delete it, and judge anew")]
    Schema(u32),
}

impl Column {
    /// The column of the target `id`, from the JSON report of its run on `date`.
    ///
    /// # Errors
    /// [`NoMatrix`] if it is no such report.
    pub fn of(id: &str, date: &str, report: &str) -> Result<Self, NoMatrix> {
        let Judged { schema, target, summary, cases, requirements } = serde_json::from_str(report)?;
        if schema != super::json::SCHEMA {
            return Err(NoMatrix::Schema(schema));
        }
        let finding = |case: Case| {
            let Evidence { clauses, expected, came } = case.evidence?;
            let reason = String::new();
            Some(Finding {
                case: case.id,
                protocol: case.protocol,
                verdict: case.verdict,
                clauses,
                expected,
                came,
                reason,
            })
        };
        Ok(Self {
            id: id.to_owned(),
            name: target.name,
            version: target.version,
            date: date.to_owned(),
            summary,
            requirements: requirements.into_iter().map(|each| (each.id, each.status)).collect(),
            findings: cases.into_iter().filter_map(finding).collect(),
        })
    }

    fn count(&self, status: Status) -> usize {
        self.requirements.values().filter(|each| **each == status).count()
    }
}

impl Matrix {
    /// One without columns, written by this version of the tool.
    pub fn new(tool: &str) -> Self {
        Self { schema: SCHEMA, tool: tool.to_owned(), brokers: Vec::new(), requirements: Vec::new() }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`NoMatrix`].
    pub fn parse(text: &str) -> Result<Self, NoMatrix> {
        let matrix: Self = serde_json::from_str(text)?;
        if matrix.schema == SCHEMA { Ok(matrix) } else { Err(NoMatrix::Schema(matrix.schema)) }
    }

    /// The document as text.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail to be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Puts a column in, in place of an older one of the same target.
    pub fn put(&mut self, column: Column) {
        match self.brokers.iter_mut().find(|each| each.id == column.id) {
            Some(old) => *old = column,
            None => self.brokers.push(column),
        }
    }

    /// Takes over, of all the rules of the catalogue, those that somebody was held to.
    pub fn held_to(&mut self, rules: impl IntoIterator<Item = Rule>) {
        let judged = |rule: &Rule| self.brokers.iter().any(|each| status(each, &rule.id) > Status::Skipped);
        self.requirements = rules.into_iter().filter(judged).collect();
    }

    /// The page.
    pub fn to_markdown(&self) -> String {
        // Writing to a String cannot fail.
        let mut out = String::from("# Brokers beside the standards\n\n");
        let _ = writeln!(
            out,
            "Each was judged by `testament matrix` (testament {}) on the day in the table. A requirement is broken where any \
             case found it so under any protocol version; what each did instead is at the end of the page.\n",
            self.tool
        );
        self.totals(&mut out);
        self.chapters(&mut out);
        self.rules(&mut out);
        self.notes(&mut out);
        out
    }

    fn totals(&self, out: &mut String) {
        out.push_str(
            "| broker | version | judged | requirements held | **broken** | advice not taken | runs passed | failed | ",
        );
        out.push_str("advised | no verdict | skipped |\n|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
        for column in &self.brokers {
            let Summary { pass, fail, advise, skip, inconclusive, broken } = column.summary;
            let name = format!("[{}](#{})", escaped(&column.name), column.id);
            let version = column.version.as_deref().map_or_else(|| "-".to_owned(), escaped);
            let [held, failed, advised] =
                [Status::Passed, Status::Failed, Status::Advised].map(|kind| column.count(kind));
            let _ = writeln!(
                out,
                "| {name} | {version} | {} | {held} | **{failed}** | {advised} | {pass} | {fail} | {advise} | {} | {skip} |",
                column.date,
                inconclusive + broken
            );
        }
        out.push('\n');
    }

    /// How many of the judged requirements of each part of the standards each of them holds.
    fn chapters(&self, out: &mut String) {
        out.push_str("## By chapter\n\nHow many of the requirements that were judged it holds.\n\n");
        self.heads(out, "");
        for (chapter, rules) in self.by_chapter() {
            let _ = write!(out, "| {chapter} |");
            for column in &self.brokers {
                let statuses = || rules.iter().map(|rule| status(column, &rule.id));
                let judged = statuses().filter(|status| *status > Status::Skipped).count();
                let held = statuses().filter(|status| *status == Status::Passed).count();
                let broken = statuses().any(|status| status == Status::Failed);
                let _ = match (judged, broken) {
                    (0, _) => write!(out, " |"),
                    (_, true) => write!(out, " **{held}/{judged}** |"),
                    (_, false) => write!(out, " {held}/{judged} |"),
                };
            }
            out.push('\n');
        }
        out.push('\n');
    }

    fn rules(&self, out: &mut String) {
        out.push_str("## By requirement\n\nThe gravest that any case showed of it: ok, advised, open (no verdict) or **broken**; ");
        out.push_str("skip where a capability is missing, and nothing where nobody asked.\n\n");
        for (chapter, rules) in self.by_chapter() {
            let _ = writeln!(out, "<details><summary>{chapter}</summary>\n");
            self.heads(out, "requirement");
            for rule in rules {
                let level = match rule.level {
                    Level::Must => "MUST",
                    Level::Should => "SHOULD",
                    Level::May => "MAY",
                };
                let _ = write!(out, "| `{}` {level}: {} |", rule.id, escaped(&rule.rule));
                for column in &self.brokers {
                    let word = match status(column, &rule.id) {
                        Status::NotJudged => "",
                        Status::Skipped => "skip",
                        Status::Passed => "ok",
                        Status::Advised => "advised",
                        Status::Inconclusive => "open",
                        Status::Failed => "**broken**",
                    };
                    let _ = write!(out, " {word} |");
                }
                out.push('\n');
            }
            out.push_str("\n</details>\n\n");
        }
    }

    fn notes(&self, out: &mut String) {
        out.push_str("## What each does instead\n\n");
        for column in &self.brokers {
            let version = column.version.as_deref().unwrap_or_default();
            let _ =
                writeln!(out, "<a id=\"{}\"></a>\n\n### {} {}\n", column.id, escaped(&column.name), escaped(version));
            let mut notes: BTreeMap<(std::cmp::Reverse<VerdictKind>, &str, String), Note<'_>> = BTreeMap::new();
            for finding in &column.findings {
                let words = match finding.reason.as_str() {
                    "" => format!("expected {}; came {}", finding.expected, finding.came),
                    reason => reason.to_owned(),
                };
                let key = (std::cmp::Reverse(finding.verdict), finding.case.as_str(), words);
                let note = notes.entry(key).or_default();
                note.protocols.insert(&finding.protocol);
                note.clauses.extend(finding.clauses.iter().map(String::as_str));
            }
            if notes.is_empty() {
                out.push_str("Nothing.\n");
            }
            for ((verdict, case, words), Note { protocols, clauses }) in notes {
                let list = |set: BTreeSet<&str>| set.into_iter().collect::<Vec<_>>().join(", ");
                let clauses = if clauses.is_empty() { String::new() } else { format!(" ({})", list(clauses)) };
                let _ = writeln!(
                    out,
                    "- {}: `{case}` under {}{clauses}: {}",
                    verdict.0.as_str(),
                    list(protocols),
                    escaped(&words)
                );
            }
            out.push('\n');
        }
    }

    /// The head of a table with a column for each target.
    fn heads(&self, out: &mut String, first: &str) {
        let ids: Vec<_> = self.brokers.iter().map(|column| column.id.as_str()).collect();
        let _ = writeln!(out, "| {first} | {} |\n|---|{}", ids.join(" | "), ":-:|".repeat(ids.len()));
    }

    /// The rules by standard and section of the second order, in their own order.
    fn by_chapter(&self) -> Vec<(String, Vec<&Rule>)> {
        let mut chapters: Vec<(String, Vec<&Rule>)> = Vec::new();
        for rule in &self.requirements {
            let standard = rule.id.split(':').next().unwrap_or_default();
            let number = rule.section.split(' ').next().unwrap_or_default();
            let number: Vec<_> = number.split('.').take(2).collect();
            let chapter = format!("{standard} {}", number.join("."));
            match chapters.iter_mut().find(|(name, _)| *name == chapter) {
                Some((_, rules)) => rules.push(rule),
                None => chapters.push((chapter, vec![rule])),
            }
        }
        chapters
    }
}

/// The same finding under several protocol versions.
#[derive(Default)]
struct Note<'a> {
    protocols: BTreeSet<&'a str>,
    clauses: BTreeSet<&'a str>,
}

fn status(column: &Column, id: &str) -> Status {
    column.requirements.get(id).copied().unwrap_or(Status::NotJudged)
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    fn matrix() -> Matrix {
        let (heading, report) = sample();
        let mut out = Vec::new();
        super::super::json::write(&mut out, &heading, &report, ["mqtt5:4.3.3-10", "mqtt5:4.4.0-1", "mqtt5:1.0.0-1"])
            .unwrap();
        let mut matrix = Matrix::new("0.1.0");
        let mut column = Column::of("mosquitto", "2026-11-22", &String::from_utf8(out).unwrap()).unwrap();
        column.findings[0].reason = "answers | late".to_owned();
        matrix.put(column.clone());
        matrix.put(Column { id: "other".to_owned(), requirements: BTreeMap::new(), findings: Vec::new(), ..column });
        let rule = |id: &str, section: &str, level| Rule {
            id: id.to_owned(),
            section: section.to_owned(),
            level,
            rule: "answer it".to_owned(),
        };
        matrix.held_to([
            rule("mqtt5:1.0.0-1", "1.0 Nothing", Level::Must),
            rule("mqtt5:4.3.3-10", "4.3.3 QoS 2", Level::Must),
            rule("mqtt5:4.4.0-1", "4.4 Delivery", Level::Should),
        ]);
        matrix
    }

    #[test]
    fn what_is_written_is_read() {
        let matrix = matrix();
        assert_eq!(Matrix::parse(&matrix.to_json()).unwrap(), matrix);
        let other = matrix.to_json().replacen("\"schema\": 1", "\"schema\": 2", 1);
        assert!(Matrix::parse(&other).unwrap_err().to_string().contains("in form 2"));
        assert!(Matrix::parse("{}").unwrap_err().to_string().contains("missing field `schema`"));
    }

    #[test]
    fn a_column_takes_the_place_of_the_older_one() {
        let mut matrix = matrix();
        let newer = Column { date: "2026-11-23".to_owned(), ..matrix.brokers[0].clone() };
        matrix.put(newer);
        let columns: Vec<_> = matrix.brokers.iter().map(|each| (each.id.as_str(), each.date.as_str())).collect();
        assert_eq!(columns, [("mosquitto", "2026-11-23"), ("other", "2026-11-22")]);
    }

    #[test]
    fn the_page_has_totals_chapters_requirements_and_notes() {
        insta::assert_snapshot!(matrix().to_markdown(), @r##"
        # Brokers beside the standards

        Each was judged by `testament matrix` (testament 0.1.0) on the day in the table. A requirement is broken where any case found it so under any protocol version; what each did instead is at the end of the page.

        | broker | version | judged | requirements held | **broken** | advice not taken | runs passed | failed | advised | no verdict | skipped |
        |---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|
        | [mosquitto](#mosquitto) | 2.0.11 | 2026-11-22 | 0 | **1** | 0 | 1 | 1 | 1 | 2 | 1 |
        | [mosquitto](#other) | 2.0.11 | 2026-11-22 | 0 | **0** | 0 | 1 | 1 | 1 | 2 | 1 |

        ## By chapter

        How many of the requirements that were judged it holds.

        |  | mosquitto | other |
        |---|:-:|:-:|
        | mqtt5 4.3 | **0/1** | |
        | mqtt5 4.4 | 0/1 | |

        ## By requirement

        The gravest that any case showed of it: ok, advised, open (no verdict) or **broken**; skip where a capability is missing, and nothing where nobody asked.

        <details><summary>mqtt5 4.3</summary>

        | requirement | mosquitto | other |
        |---|:-:|:-:|
        | `mqtt5:4.3.3-10` MUST: answer it | **broken** |  |

        </details>

        <details><summary>mqtt5 4.4</summary>

        | requirement | mosquitto | other |
        |---|:-:|:-:|
        | `mqtt5:4.4.0-1` SHOULD: answer it | open |  |

        </details>

        ## What each does instead

        <a id="mosquitto"></a>

        ### mosquitto 2.0.11

        - fail: `qos2/repeat` under 5.0 (mqtt5:4.3.3-10): answers \| late
        - broken: `will/broken` under 5.0: expected PUBREC 7; came nothing &lt;in&gt; 3 s &amp; "more"\\u{1}
        - inconclusive: `will/unclear` under 5.0: expected PUBREC 7; came nothing &lt;in&gt; 3 s &amp; "more"\\u{1}
        - advise: `retain/advises` under 5.0 (mqtt5:4.4.0-1): expected PUBREC 7; came nothing &lt;in&gt; 3 s &amp; "more"\\u{1}

        <a id="other"></a>

        ### mosquitto 2.0.11

        Nothing.

        "##);
    }
}

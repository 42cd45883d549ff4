//! The report for machines; `docs/json-report.md` documents it.

use std::io;

use serde::Serialize;

use super::{Heading, fingerprint};
use crate::case::Evidence;
use crate::catalogue::Status;
use crate::run::{Done, Report, Summary};

/// The version of the schema; it changes when a reader of the old one could be misled.
pub(super) const SCHEMA: u32 = 1;

/// Writes `report`, with what it showed of each of the `requirements`.
///
/// # Errors
/// Those of `out`.
pub fn write<'a>(
    out: &mut dyn io::Write,
    heading: &Heading,
    report: &Report,
    requirements: impl IntoIterator<Item = &'a str>,
) -> io::Result<()> {
    let requirement = |id: &'a str| {
        // A case may come upon a breach of a requirement that it does not judge itself.
        let judging = report.results.iter().filter(|done| {
            let breach = done.verdict.evidence().is_some_and(|evidence| evidence.clauses.contains(&id));
            breach || done.clauses.contains(&id)
        });
        Requirement { id, status: Status::of(id, judging.map(|done| &done.verdict)) }
    };
    let document = Document {
        schema: SCHEMA,
        tool: Tool { name: "testament", version: &heading.tool_version, seed: heading.seed },
        target: Target {
            name: &heading.target,
            version: heading.target_version.as_deref(),
            url: heading.url.as_deref(),
        },
        summary: Summary::of(&report.results),
        partial: report.cut_short.as_deref(),
        unplayed: report.unplayed,
        fingerprint: heading.fingerprint.iter().map(Trait::from).collect(),
        cases: report.results.iter().map(Case::from).collect(),
        requirements: requirements.into_iter().map(requirement).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    tool: Tool<'a>,
    target: Target<'a>,
    summary: Summary,
    partial: Option<&'a str>,
    unplayed: usize,
    fingerprint: Vec<Trait<'a>>,
    cases: Vec<Case<'a>>,
    requirements: Vec<Requirement<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'static str,
    version: &'a str,
    seed: u64,
}

#[derive(Serialize)]
struct Target<'a> {
    name: &'a str,
    version: Option<&'a str>,
    url: Option<&'a str>,
}

#[derive(Serialize)]
struct Trait<'a> {
    name: &'a str,
    protocol: &'a str,
    choice: &'a str,
}

#[derive(Serialize)]
struct Case<'a> {
    id: &'a str,
    protocol: &'a str,
    verdict: &'a str,
    clauses: &'a [&'static str],
    duration_ms: f64,
    why: Option<&'a str>,
    in_company: Option<&'a str>,
    evidence: Option<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    clauses: &'a [&'static str],
    expected: &'a str,
    came: &'a str,
    trace: Vec<Line<'a>>,
    omitted: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    t: u64,
    dir: &'a str,
    conn: &'a str,
    packet: &'a str,
    hex: &'a str,
    len: usize,
}

#[derive(Serialize)]
struct Requirement<'a> {
    id: &'a str,
    status: Status,
}

impl<'a> From<&'a fingerprint::Trait> for Trait<'a> {
    fn from(shown: &'a fingerprint::Trait) -> Self {
        Self { name: shown.name, protocol: shown.protocol, choice: &shown.choice }
    }
}

impl<'a> From<&'a Done> for Case<'a> {
    fn from(done: &'a Done) -> Self {
        Self {
            id: done.id,
            protocol: done.protocol,
            verdict: done.verdict.as_str(),
            clauses: &done.clauses,
            duration_ms: done.duration.as_micros() as f64 / 1_000.0,
            why: done.verdict.why(),
            in_company: done.in_company.as_deref(),
            evidence: done.verdict.evidence().map(Shown::from),
        }
    }
}

impl<'a> From<&'a Evidence> for Shown<'a> {
    fn from(evidence: &'a Evidence) -> Self {
        let line = |line: &'a crate::trace::Line| Line {
            t: line.at / 1_000,
            dir: line.dir,
            conn: &line.conn,
            packet: &line.packet,
            hex: &line.hex,
            len: line.len,
        };
        Self {
            clauses: &evidence.clauses,
            expected: &evidence.expected,
            came: &evidence.came,
            trace: evidence.trace.lines.iter().map(line).collect(),
            omitted: evidence.trace.omitted,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_document_has_the_documented_fields() {
        let (heading, report) = sample();
        let mut out = Vec::new();
        write(&mut out, &heading, &report, ["mqtt5:4.3.3-10", "mqtt5:1.0.0-1"]).unwrap();
        let document: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(document["schema"], 1);
        assert_eq!(document["tool"], json!({"name": "testament", "version": "0.1.0", "seed": 7}));
        assert_eq!(
            document["target"],
            json!({"name": "mosquitto", "version": "2.0.11", "url": "mqtt://127.0.0.1:1883"})
        );
        assert_eq!(
            document["summary"],
            json!({"pass": 1, "fail": 1, "advise": 1, "skip": 1, "inconclusive": 1, "broken": 1})
        );
        assert_eq!((&document["partial"], &document["unplayed"]), (&Value::Null, &json!(0)));
        assert_eq!(
            document["fingerprint"],
            json!([
                {"name": "overlap", "protocol": "3.1.1", "choice": "2 copies"},
                {"name": "overlap", "protocol": "5.0", "choice": "one <copy>"},
            ])
        );
        assert_eq!(
            document["requirements"],
            json!([
                {"id": "mqtt5:4.3.3-10", "status": "failed"},
                {"id": "mqtt5:1.0.0-1", "status": "not-judged"},
            ])
        );
        assert_eq!(
            document["cases"][0],
            json!({
                "id": "qos2/repeat", "protocol": "3.1.1", "verdict": "pass",
                "clauses": ["mqtt5:4.3.3-10", "mqtt5:4.4.0-1"], "duration_ms": 1.5, "why": null,
                "in_company": null, "evidence": null,
            })
        );
        assert_eq!(
            document["cases"][1]["evidence"],
            json!({
                "clauses": ["mqtt5:4.3.3-10"],
                "expected": "PUBREC 7",
                "came": "nothing <in> 3 s & \"more\"\u{1}",
                "trace": [
                    {"t": 0, "dir": "--", "conn": "reader", "packet": "opened: reader, mqtt", "hex": "", "len": 0},
                    {"t": 1000, "dir": "->", "conn": "reader", "packet": "PUBLISH qos 2 id 7", "hex": "34051234",
                     "len": 300},
                ],
                "omitted": 0,
            })
        );
        assert_eq!(document["cases"][3]["in_company"], "the canary <fell> silent");
        assert_eq!(document["cases"][3]["why"], "needs a TLS listener");
        assert_eq!(document["cases"][3]["evidence"], Value::Null);
    }
}

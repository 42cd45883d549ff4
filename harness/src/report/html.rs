//! The report as one page of HTML that needs nothing but itself: no network, no file beside it, and no script but to
//! filter. Page, style and script are in `templates`; the template escapes whatever it is given.

use std::io;

use askama::Template;

use super::chapters::{self, Chapters};
use super::terminal::visible;
use super::{Heading, counted, fingerprint};
use crate::baseline::Baseline;
use crate::case::{Evidence, Verdict, VerdictKind};
use crate::run::{Done, Report, Summary};
use crate::time::Instant;
use crate::trace::{self, HEAD};

/// How to write the page.
pub struct Html<'a> {
    /// A clause in words: its level and its rule.
    pub rule: &'a dyn Fn(&str) -> Option<String>,
    /// The one command that plays this run again.
    pub repeat: &'a dyn Fn(&Done) -> String,
    /// When the run began, in words.
    pub began: &'a str,
    /// The deviations that are known: each is marked, with its reason.
    pub baseline: &'a Baseline,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    version: &'a str,
    heading: &'a Heading,
    began: &'a str,
    target: String,
    place: &'a str,
    /// The counts in one line, for the title.
    counts: String,
    partial: Option<String>,
    tallies: Vec<Tally>,
    protocols: Vec<&'a str>,
    chapters: Vec<Chapter<'a>>,
    findings: Vec<Finding<'a>>,
    fingerprint: Vec<Row<'a>>,
}

/// How many runs got a verdict.
struct Tally {
    verdict: &'static str,
    count: usize,
    /// Where to look without the filter.
    anchor: &'static str,
}

struct Chapter<'a> {
    name: &'a str,
    cells: Vec<Cell<'a>>,
    cases: Vec<Case<'a>>,
}

/// A chapter under one version.
struct Cell<'a> {
    protocol: &'a str,
    pass: usize,
    played: usize,
    percent: usize,
    /// The gravest verdict.
    worst: &'static str,
}

/// A case, whatever the version.
struct Case<'a> {
    id: &'a str,
    claim: &'a str,
    cited: String,
    runs: Vec<Run<'a>>,
    /// Why it was skipped, once.
    skipped: String,
    /// What happened in company that the verdicts do not rest on.
    in_company: String,
}

struct Run<'a> {
    protocol: &'a str,
    verdict: &'static str,
    /// Whether there is a finding to lead to.
    found: bool,
    why: String,
}

struct Finding<'a> {
    id: &'a str,
    protocol: &'a str,
    chapter: &'a str,
    verdict: &'static str,
    claim: &'a str,
    /// Why it may stay, where it is known.
    known: Option<String>,
    cited: String,
    clauses: Vec<Clause>,
    expected: String,
    came: String,
    repeat: String,
    lines: Vec<Line>,
    /// Whether the trace is unfolded.
    open: bool,
}

struct Clause {
    id: &'static str,
    rule: String,
}

/// A line of a trace.
struct Line {
    /// How many events were left out before it.
    left_out: usize,
    at: String,
    way: &'static str,
    arrow: &'static str,
    title: &'static str,
    conn: String,
    packet: String,
    hex: String,
    /// Whether there are more bytes than the hex shows.
    cut: bool,
    len: usize,
}

/// A line of the fingerprint.
struct Row<'a> {
    question: &'a str,
    choice: String,
}

impl Html<'_> {
    /// Writes `report`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn io::Write, heading: &Heading, report: &Report) -> io::Result<()> {
        let mut out = out;
        self.page(heading, report).write_into(&mut out)
    }

    fn page<'a>(&'a self, heading: &'a Heading, report: &'a Report) -> Page<'a> {
        let tallies = tallies(Summary::of(&report.results));
        let counts: Vec<_> = tallies.iter().map(|tally| format!("{} {}", tally.count, tally.verdict)).collect();
        let table = Chapters::of(report);
        let chapter = |(name, summaries): (&'a str, Vec<Summary>)| {
            let cells = table.protocols.iter().zip(summaries).map(|(protocol, summary)| cell(protocol, summary));
            Chapter { name, cells: cells.collect(), cases: cases(report, name) }
        };
        let protocols = table.protocols.clone();
        let mut findings: Vec<_> = report.results.iter().filter_map(|done| self.finding(done)).collect();
        findings.sort_by_key(|(kind, finding)| (finding.known.is_some(), std::cmp::Reverse(*kind)));
        Page {
            version: &heading.tool_version,
            heading,
            began: self.began,
            target: visible(&heading.judged()),
            place: heading.url.as_deref().unwrap_or("in virtual time"),
            counts: if counts.is_empty() { "nothing played".to_owned() } else { counts.join(", ") },
            partial: partial(report),
            tallies,
            protocols,
            chapters: table.rows.into_iter().map(chapter).collect(),
            findings: findings.into_iter().map(|(_, finding)| finding).collect(),
            fingerprint: fingerprint::rows(&heading.fingerprint)
                .into_iter()
                .map(|row| Row { question: row.question, choice: visible(&row.choice()) })
                .collect(),
        }
    }

    fn finding<'a>(&self, done: &'a Done) -> Option<(VerdictKind, Finding<'a>)> {
        let evidence = done.verdict.evidence()?;
        let kind = done.verdict.kind();
        let clause = |id: &&'static str| {
            let rule = (self.rule)(id).unwrap_or_else(|| "(not in the catalogue)".to_owned());
            Clause { id, rule: visible(&rule) }
        };
        let strange = evidence.clauses.iter().filter(|clause| !done.clauses.contains(clause));
        let cited: Vec<_> = done.clauses.iter().chain(strange).copied().collect();
        let known = self.baseline.knows(done).map(|known| visible(known.reason.trim()));
        let open = kind != VerdictKind::Advise && known.is_none();
        let finding = Finding {
            id: done.id,
            protocol: done.protocol,
            chapter: chapters::of(done),
            verdict: kind.as_str(),
            claim: done.claim,
            known,
            cited: cited.join(" "),
            clauses: evidence.clauses.iter().map(clause).collect(),
            expected: visible(&evidence.expected),
            came: visible(&evidence.came),
            repeat: visible(&(self.repeat)(done)),
            lines: lines(evidence),
            open,
        };
        Some((kind, finding))
    }
}

/// The verdicts that were given, the gravest first.
fn tallies(summary: Summary) -> Vec<Tally> {
    let tally = |count, verdict, anchor| Tally { verdict, count, anchor };
    let all = [
        tally(summary.fail, "fail", "#findings"),
        tally(summary.broken, "broken", "#findings"),
        tally(summary.inconclusive, "inconclusive", "#findings"),
        tally(summary.advise, "advise", "#findings"),
        tally(summary.skip, "skip", "#cases"),
        tally(summary.pass, "pass", "#cases"),
    ];
    all.into_iter().filter(|tally| tally.count > 0).collect()
}

fn cell(protocol: &str, summary: Summary) -> Cell<'_> {
    let played = chapters::played(summary);
    let worst = match summary {
        Summary { fail: 1.., .. } => "fail",
        Summary { broken: 1.., .. } => "broken",
        Summary { inconclusive: 1.., .. } => "inconclusive",
        Summary { advise: 1.., .. } => "advise",
        Summary { pass: 1.., .. } => "pass",
        _ => "none",
    };
    Cell { protocol, pass: summary.pass, played, percent: summary.pass * 100 / played.max(1), worst }
}

/// The cases of a chapter, each once, in the order of the run.
fn cases<'a>(report: &'a Report, chapter: &str) -> Vec<Case<'a>> {
    let mut cases: Vec<Case<'a>> = Vec::new();
    let mut last = None;
    for done in report.results.iter().filter(|done| chapters::of(done) == chapter) {
        if last != Some(done.id) {
            let (cited, skipped, in_company) = Default::default();
            cases.push(Case { id: done.id, claim: done.claim, cited, runs: Vec::new(), skipped, in_company });
            last = Some(done.id);
        }
        let Some(case) = cases.last_mut() else { continue };
        for clause in &done.clauses {
            if !case.cited.split(' ').any(|each| each == *clause) {
                let space = if case.cited.is_empty() { "" } else { " " };
                case.cited.extend([space, clause]);
            }
        }
        let why = done.verdict.why().map(visible).unwrap_or_default();
        if matches!(done.verdict, Verdict::Skip(_)) {
            case.skipped.clone_from(&why);
        }
        if let Some(came) = &done.in_company {
            let (protocol, came) = (done.protocol, visible(came));
            case.in_company =
                format!("suspected in company under {protocol} ({came}); the verdict is that of the play alone");
        }
        let (verdict, found) = (done.verdict.as_str(), done.verdict.evidence().is_some());
        case.runs.push(Run { protocol: done.protocol, verdict, found, why });
    }
    cases
}

fn lines(evidence: &Evidence) -> Vec<Line> {
    let excerpt = &evidence.trace;
    let line = |(place, line): (usize, &trace::Line)| {
        let (way, arrow, title) = match line.dir {
            "->" => ("sent", "→", "to the target"),
            "<-" => ("came", "←", "from the target"),
            _ => ("other", "·", ""),
        };
        Line {
            left_out: if place == HEAD { excerpt.omitted } else { 0 },
            at: Instant::from_nanos(line.at).to_string(),
            way,
            arrow,
            title,
            conn: visible(&line.conn),
            packet: visible(&line.packet),
            hex: line.hex.clone(),
            cut: line.hex.len() < 2 * line.len,
            len: line.len,
        }
    };
    excerpt.lines.iter().enumerate().map(line).collect()
}

/// Why the report does not tell all, where it does not.
fn partial(report: &Report) -> Option<String> {
    let why = report.cut_short.as_deref().map(visible);
    let unplayed =
        (report.unplayed > 0).then(|| format!("{} not played", counted(report.unplayed, "run was", "runs were")));
    let both: Vec<_> = why.into_iter().chain(unplayed).collect();
    (!both.is_empty()).then(|| both.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::baseline::Known;

    fn written(report: &Report) -> String {
        beside(report, &Baseline::default())
    }

    fn beside(report: &Report, baseline: &Baseline) -> String {
        let rule = |clause: &str| (clause == "mqtt5:4.3.3-10").then(|| "MUST: answer <it>".to_owned());
        let repeat = |done: &Done| format!("testament conform 'a<b' --case {}", done.id);
        let mut out = Vec::new();
        let html = Html { rule: &rule, repeat: &repeat, began: "2026-11-22 20:00:00 UTC", baseline };
        html.write(&mut out, &sample().0, report).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_page_holds_all_there_is_to_know_and_names_no_other_resource() {
        let (_, report) = sample();
        let page = written(&report);
        let body = page.split("</style>").nth(1).and_then(|rest| rest.split("<script>").next()).unwrap();
        let count = |text: &str| body.matches(text).count();
        assert_eq!((count("<article "), count("<li class=\"case\""), count("<details open>")), (4, 5, 3));
        for text in [
            "mosquitto 2.0.11",
            "PUBREC 7",
            "MUST: answer &#60;it&#62;",
            "needs a TLS listener",
            "suspected in company under 5.0 (the canary &#60;fell&#62; silent)",
            "34051234… 300 bytes",
            "2 copies (3.1.1), one &#60;copy&#62; (5.0)",
            "href=\"#qos2/repeat@5.0\"",
            "id=\"qos2/repeat@5.0\"",
        ] {
            assert!(body.contains(text), "{text} is not in {body}");
        }
        for text in ["src=", "@import", "url(", "<link"] {
            assert!(!page.contains(text), "{text}");
        }
        // The worst stands first.
        let order: Vec<_> =
            body.match_indices("class=\"finding ").map(|(at, text)| &body[at + text.len()..][..4]).collect();
        assert_eq!(order, ["fail", "brok", "inco", "advi"]);
    }

    #[test]
    fn what_is_known_stands_after_what_is_not_with_its_reason() {
        let known = |reason: &str| {
            let (case, protocol, reason) = ("qos2/repeat".to_owned(), "5.0".to_owned(), reason.to_owned());
            Baseline::new([Known { case, protocol, verdict: VerdictKind::Fail, clause: None, reason }]).unwrap()
        };
        let (_, report) = sample();
        let page = beside(&report, &known("our <ticket>"));
        assert!(page.contains("<dt>known</dt><dd>our &#60;ticket&#62;</dd>"), "{page}");
        assert_eq!(page.matches("<details open>").count(), 2);
        assert!(page.find("id=\"qos2/repeat@5.0\"") > page.find("id=\"retain/advises@5.0\""));
        assert!(beside(&report, &known("")).contains("<dt>known</dt><dd>no reason is given yet</dd>"));
        assert!(!written(&report).contains("<dt>known</dt>"));
    }

    #[test]
    fn what_a_target_says_is_text() {
        let (_, mut report) = sample();
        let Verdict::Fail(evidence) = &mut report.results[1].verdict else { panic!("the sample has changed") };
        evidence.came = "</script><script>alert(1)</script>\u{1b}[2J\" onclick='x'".to_owned();
        evidence.trace.lines[1].packet.clone_from(&evidence.came);
        let page = written(&report);
        assert!(!page.contains("alert(1)</script>") && !page.contains('\u{1b}') && !page.contains("onclick='x'"));
        assert!(page.contains("&#60;/script&#62;&#60;script&#62;alert(1)"), "{page}");
    }

    #[test]
    fn a_run_that_ended_early_says_so() {
        #[track_caller]
        fn check(cut_short: Option<&str>, unplayed: usize, expect: Option<&str>) {
            let report = Report { cut_short: cut_short.map(str::to_owned), unplayed, ..sample().1 };
            assert_eq!(partial(&report).as_deref(), expect);
            assert_eq!(written(&report).contains("<strong>Partial.</strong>"), expect.is_some());
        }
        check(None, 0, None);
        check(None, 2, Some("2 runs were not played"));
        check(Some("interrupted"), 0, Some("interrupted"));
        check(Some("interrupted"), 3, Some("interrupted; 3 runs were not played"));
    }

    #[test]
    fn a_cut_trace_says_where() {
        let (_, mut report) = sample();
        let Verdict::Fail(evidence) = &mut report.results[1].verdict else { panic!("the sample has changed") };
        let line = evidence.trace.lines[1].clone();
        evidence.trace.lines = vec![line; HEAD + 1];
        evidence.trace.omitted = 7;
        assert_eq!(written(&report).matches("7 events left out").count(), 1);
    }
}

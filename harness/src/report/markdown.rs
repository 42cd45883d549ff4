//! The report as Markdown, for the summary page of a build: the table, then what did not pass, the worst first, with the
//! traces folded.

use std::fmt::Write as _;
use std::io;

use super::chapters::{Chapters, cell};
use super::terminal::visible;
use super::{Heading, counted, fingerprint};
use crate::baseline::Baseline;
use crate::case::{Evidence, VerdictKind};
use crate::run::{Done, Report, Summary};

/// How many bytes of findings are written at most: build servers take a summary of one mebibyte.
const ROOM: usize = 900 << 10;
/// How many bytes of them may come with their traces.
const ROOM_FOR_TRACES: usize = 500 << 10;

/// What stands where a trace is left out.
const CUT: &str = "The trace is left out; the command above shows it.\n\n";

/// How to write Markdown.
pub struct Markdown<'a> {
    /// A clause in words: its level and its rule.
    pub rule: &'a dyn Fn(&str) -> Option<String>,
    /// The one command that plays this run again.
    pub repeat: &'a dyn Fn(&Done) -> String,
    /// The deviations that are known: each is told in one line, with its reason.
    pub baseline: &'a Baseline,
}

impl Markdown<'_> {
    /// Writes `report`. What would make it larger than a build server takes is left out, and that is said.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn io::Write, heading: &Heading, report: &Report) -> io::Result<()> {
        writeln!(out, "# {}\n", escaped(&heading.judged()))?;
        let summary = Summary::of(&report.results);
        let counts = [
            (summary.fail, "fail"),
            (summary.broken, "broken"),
            (summary.inconclusive, "inconclusive"),
            (summary.advise, "advise"),
            (summary.skip, "skip"),
            (summary.pass, "pass"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
        let counts = counts.collect::<Vec<_>>().join(", ");
        let counts = if counts.is_empty() { "nothing played" } else { &counts };
        let Heading { tool_version, seed, .. } = heading;
        writeln!(out, "**{counts}**, judged by testament {tool_version}, seed {seed}\n")?;
        if report.unplayed > 0 {
            writeln!(out, "{} not played.\n", counted(report.unplayed, "run was", "runs were"))?;
        }
        if let Some(why) = &report.cut_short {
            writeln!(out, "**Partial:** {}.\n", escaped(why))?;
        }
        table(out, report)?;
        self.findings(out, report)?;
        self.known(out, report)?;
        choices(out, heading)
    }

    fn findings(&self, out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
        let mut found: Vec<_> =
            report.results.iter().filter_map(|done| Some((done, done.verdict.evidence()?))).collect();
        found.retain(|(done, _)| self.baseline.knows(done).is_none());
        found.sort_by_key(|(done, _)| std::cmp::Reverse(done.verdict.kind()));
        let (mut written, mut left_out) = (0, 0);
        for (done, evidence) in found {
            let finding = self.finding(done, evidence);
            let trace = if done.verdict.kind() == VerdictKind::Advise { String::new() } else { trace(evidence) };
            if written + finding.len() > ROOM {
                left_out += 1;
                continue;
            }
            write!(out, "{finding}")?;
            written += finding.len();
            let trace = match trace.len() {
                long if long > 0 && written + long > ROOM_FOR_TRACES => CUT,
                _ => &trace,
            };
            write!(out, "{trace}")?;
            written += trace.len();
        }
        if left_out > 0 {
            writeln!(out, "{left_out} more are left out; the JSON report has them all.")?;
        }
        Ok(())
    }

    /// What deviates and is known to, with the reason why it may, folded.
    fn known(&self, out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
        let known: Vec<_> = report.results.iter().filter_map(|done| Some((done, self.baseline.knows(done)?))).collect();
        if known.is_empty() {
            return Ok(());
        }
        writeln!(out, "<details><summary>{} known by the baseline</summary>\n", known.len())?;
        for (done, known) in known {
            let reason = escaped(known.reason.trim());
            let reason = if reason.is_empty() { "no reason is given yet" } else { &reason };
            writeln!(out, "- {}: `{}` under {}: {reason}", done.verdict.as_str(), done.id, done.protocol)?;
        }
        writeln!(out, "\n</details>\n")
    }

    fn finding(&self, done: &Done, evidence: &Evidence) -> String {
        // Writing to a String cannot fail.
        let mut text = String::new();
        let _ = writeln!(text, "## {}: `{}` under {}\n", done.verdict.as_str(), done.id, done.protocol);
        let _ = writeln!(text, "{}\n", escaped(done.claim));
        for clause in &evidence.clauses {
            let rule = (self.rule)(clause).unwrap_or_else(|| "(not in the catalogue)".to_owned());
            let _ = writeln!(text, "- clause `{clause}`: {}", escaped(&rule));
        }
        let _ = writeln!(text, "- expected: {}", escaped(&evidence.expected));
        let _ = writeln!(text, "- came: {}\n", escaped(&evidence.came));
        let _ = writeln!(text, "<pre>{}</pre>\n", tagged(&(self.repeat)(done)));
        text
    }
}

fn table(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    let Chapters { protocols, rows } = Chapters::of(report);
    writeln!(out, "| | {} |", protocols.join(" | "))?;
    writeln!(out, "|---|{}", "--:|".repeat(protocols.len()))?;
    for (chapter, summaries) in rows {
        let cells = summaries.into_iter().map(|summary| {
            let cell = cell(summary);
            if summary.fail > 0 { format!("**{cell}**") } else { cell }
        });
        writeln!(out, "| {chapter} | {} |", cells.collect::<Vec<_>>().join(" | "))?;
    }
    writeln!(out)
}

/// What the target makes of what the standard leaves open, folded.
fn choices(out: &mut dyn io::Write, heading: &Heading) -> io::Result<()> {
    let rows = fingerprint::rows(&heading.fingerprint);
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<details><summary>fingerprint: what it chose where the standard leaves it open</summary>\n\n| | |\n|---|---|"
    )?;
    for row in rows {
        writeln!(out, "| {} | {} |", escaped(row.question), escaped(&row.choice()))?;
    }
    writeln!(out, "\n</details>")
}

fn trace(evidence: &Evidence) -> String {
    let lines: String = evidence.trace.shown().map(|line| format!("{}\n", tagged(&line))).collect();
    if lines.is_empty() {
        return lines;
    }
    format!("<details><summary>trace</summary>\n\n<pre>\n{lines}</pre>\n\n</details>\n\n")
}

/// `text` for a place where only tags count.
pub fn tagged(text: &str) -> String {
    visible(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `text` in one line, in which no character has a meaning of its own.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in tagged(text).chars() {
        match c {
            '\n' => escaped.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '$' | '@' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped
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
        let rule = |clause: &str| (clause == "mqtt5:4.3.3-10").then(|| "MUST: answer *it*".to_owned());
        let repeat = |done: &Done| format!("testament conform mosquitto --case {}", done.id);
        let mut out = Vec::new();
        Markdown { rule: &rule, repeat: &repeat, baseline }.write(&mut out, &sample().0, report).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_known_is_a_line_with_its_reason() {
        let known = |reason: &str| {
            let (case, protocol, reason) = ("qos2/repeat".to_owned(), "5.0".to_owned(), reason.to_owned());
            Baseline::new([Known { case, protocol, verdict: VerdictKind::Fail, clause: None, reason }]).unwrap()
        };
        let (_, report) = sample();
        let text = beside(&report, &known("our <ticket>"));
        let lines = "<details><summary>1 known by the baseline</summary>\n\n\
                     - fail: `qos2/repeat` under 5.0: our &lt;ticket&gt;\n\n</details>\n";
        assert!(text.contains(lines) && !text.contains("## fail"), "{text}");
        assert!(beside(&report, &known(" ")).contains("under 5.0: no reason is given yet\n"));
    }

    #[test]
    fn the_worst_stands_first_and_traces_are_folded() {
        insta::assert_snapshot!(written(&sample().1), @r#"
        # mosquitto 2.0.11

        **1 fail, 1 broken, 1 inconclusive, 1 advise, 1 skip, 1 pass**, judged by testament 0.1.0, seed 7

        | | 3.1.1 | 5.0 |
        |---|--:|--:|
        | qos2 | 1/1 | **0/1** |
        | retain | - | 0/1 |
        | tls | - | - |
        | will | - | 0/2 |

        ## fail: `qos2/repeat` under 5.0

        it is acknowledged again

        - clause `mqtt5:4.3.3-10`: MUST: answer \*it\*
        - expected: PUBREC 7
        - came: nothing &lt;in&gt; 3 s &amp; "more"\\u{1}

        <pre>testament conform mosquitto --case qos2/repeat</pre>

        <details><summary>trace</summary>

        <pre>
           0.000000s -- reader  opened: reader, mqtt
           0.001000s -&gt; reader  PUBLISH qos 2 id 7  [34051234] of 300 B
        </pre>

        </details>

        ## broken: `will/broken` under 5.0

        it is acknowledged again

        - expected: PUBREC 7
        - came: nothing &lt;in&gt; 3 s &amp; "more"\\u{1}

        <pre>testament conform mosquitto --case will/broken</pre>

        <details><summary>trace</summary>

        <pre>
           0.000000s -- reader  opened: reader, mqtt
           0.001000s -&gt; reader  PUBLISH qos 2 id 7  [34051234] of 300 B
        </pre>

        </details>

        ## inconclusive: `will/unclear` under 5.0

        it is acknowledged again

        - expected: PUBREC 7
        - came: nothing &lt;in&gt; 3 s &amp; "more"\\u{1}

        <pre>testament conform mosquitto --case will/unclear</pre>

        <details><summary>trace</summary>

        <pre>
           0.000000s -- reader  opened: reader, mqtt
           0.001000s -&gt; reader  PUBLISH qos 2 id 7  [34051234] of 300 B
        </pre>

        </details>

        ## advise: `retain/advises` under 5.0

        it is acknowledged again

        - clause `mqtt5:4.4.0-1`: (not in the catalogue)
        - expected: PUBREC 7
        - came: nothing &lt;in&gt; 3 s &amp; "more"\\u{1}

        <pre>testament conform mosquitto --case retain/advises</pre>

        <details><summary>fingerprint: what it chose where the standard leaves it open</summary>

        | | |
        |---|---|
        | a message that two subscriptions match comes in | 2 copies (3.1.1), one &lt;copy&gt; (5.0) |

        </details>
        "#);
    }

    #[test]
    fn it_never_grows_beyond_what_a_build_server_takes() {
        let (_, mut report) = sample();
        let failed = report.results[1].clone();
        report.results.extend(std::iter::repeat_n(failed, 5_000));
        let text = written(&report);
        assert!((ROOM..1 << 20).contains(&text.len()), "{}", text.len());
        assert!(text.contains(" more are left out; the JSON report has them all.\n"));
        assert!(text.contains("The trace is left out; the command above shows it."));
    }

    #[test]
    fn text_has_no_meaning_of_its_own() {
        fn check(text: &str, expect: &str) {
            assert_eq!(escaped(text), expect);
        }
        check("$share/+/#", "\\$share/+/\\#");
        check("<b> & `c`\n\u{1b}", "&lt;b&gt; &amp; \\`c\\` \\\\u{1b}");
    }
}

//! The report for people: what did not pass in full, the worst last, and then what passed in a few lines, where the eye
//! rests.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::chapters::{Chapters, cell, played};
use super::{Heading, counted, fingerprint};
use crate::baseline::Baseline;
use crate::case::{Evidence, Verdict};
use crate::run::{Done, Report, Summary};

/// The widest line that this report breaks its own prose to.
const WIDTH: usize = 110;

/// How to write for people.
pub struct Terminal<'a> {
    /// Whether to use colour.
    pub colour: bool,
    /// A clause in words: its level and its rule.
    pub rule: &'a dyn Fn(&str) -> Option<String>,
    /// The one command that plays this run again.
    pub repeat: &'a dyn Fn(&Done) -> String,
    /// The deviations that are known: each is told in one line, with its reason.
    pub baseline: &'a Baseline,
    /// Whether the others are told in a few words, too: no clauses and no packets.
    pub brief: bool,
}

/// A colour of the terminal, by its ANSI code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Something is wrong.
    Red = 31,
    /// All is well.
    Green = 32,
    /// Something deserves a look.
    Yellow = 33,
    /// What may be passed over.
    Grey = 90,
}

impl Terminal<'_> {
    /// Writes `report` on a run that took `elapsed`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(
        &self,
        out: &mut dyn io::Write,
        heading: &Heading,
        report: &Report,
        elapsed: Duration,
    ) -> io::Result<()> {
        let target = visible(&heading.judged());
        let place = heading.url.as_deref().unwrap_or("in virtual time");
        writeln!(out, "testament {} judges {target}, {place}, seed {}\n", heading.tool_version, heading.seed)?;
        self.fingerprint(out, heading)?;
        self.skipped(out, report)?;
        self.known(out, report)?;
        let found = report.results.iter().filter(|done| done.verdict.evidence().is_some());
        let mut found: Vec<_> = found.filter(|done| self.baseline.knows(done).is_none()).collect();
        found.sort_by_key(|done| done.verdict.kind());
        for done in found {
            self.finding(out, done)?;
        }
        self.table(out, report)?;
        self.summary(out, report, elapsed)
    }

    /// How many of the runs of each chapter passed, by protocol version.
    fn table(&self, out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
        let Chapters { protocols, rows } = Chapters::of(report);
        let first = rows.iter().map(|(chapter, _)| chapter.len()).max().unwrap_or_default();
        write!(out, "{:first$}", "")?;
        for protocol in &protocols {
            write!(out, "  {protocol:>7}")?;
        }
        writeln!(out)?;
        for (chapter, summaries) in rows {
            write!(out, "{chapter:first$}")?;
            for summary in summaries {
                let played = played(summary);
                let ink = match () {
                    () if summary.fail > 0 => Ink::Red,
                    () if summary.pass < played => Ink::Yellow,
                    () if played == 0 => Ink::Grey,
                    () => Ink::Green,
                };
                write!(out, "  {}", self.paint(ink, &format!("{:>7}", cell(summary))))?;
            }
            writeln!(out)?;
        }
        writeln!(out)
    }

    /// What the target makes of what the standard leaves open.
    fn fingerprint(&self, out: &mut dyn io::Write, heading: &Heading) -> io::Result<()> {
        let rows = fingerprint::rows(&heading.fingerprint);
        if rows.is_empty() {
            return Ok(());
        }
        writeln!(out, "{}  what it chose where the standard leaves it open", self.paint(Ink::Grey, "FINGERPRINT"))?;
        let choices: Vec<_> = rows.iter().map(|row| format!("{}: {}", row.name, row.choice())).collect();
        prose(out, "      ", &choices.join("; "))?;
        writeln!(out)
    }

    /// What could not be played, by what was missing.
    fn skipped(&self, out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
        let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for done in &report.results {
            if let Verdict::Skip(why) = &done.verdict {
                missing.entry(why).or_default().push(format!("{} ({})", done.id, done.protocol));
            }
        }
        for (why, runs) in &missing {
            writeln!(out, "{}  {why}", self.paint(Ink::Grey, "SKIP"))?;
            prose(out, "      ", &runs.join(", "))?;
        }
        if missing.is_empty() { Ok(()) } else { writeln!(out) }
    }

    /// What deviates and is known to, with the reason why it may.
    fn known(&self, out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
        let known: Vec<_> = report.results.iter().filter_map(|done| Some((done, self.baseline.knows(done)?))).collect();
        for (done, known) in &known {
            let reason = if known.reason.trim().is_empty() { "no reason is given yet" } else { &known.reason };
            let line = format!("{} under {} is {}: {reason}", done.id, done.protocol, done.verdict.as_str());
            writeln!(out, "{}  {}", self.paint(Ink::Grey, "KNOWN"), in_one_line(&line))?;
        }
        if known.is_empty() { Ok(()) } else { writeln!(out) }
    }

    fn finding(&self, out: &mut dyn io::Write, done: &Done) -> io::Result<()> {
        let Some(evidence) = done.verdict.evidence() else { return Ok(()) };
        let ink = if matches!(done.verdict, Verdict::Fail(_)) { Ink::Red } else { Ink::Yellow };
        let verdict = self.paint(ink, &done.verdict.as_str().to_uppercase());
        if self.brief {
            writeln!(out, "{verdict}  {} under {}: {}", done.id, done.protocol, in_one_line(&evidence.came))?;
            return writeln!(out, "  repeat    {}\n", (self.repeat)(done));
        }
        writeln!(out, "{verdict}  {} under {}", done.id, done.protocol)?;
        prose(out, "  claim     ", done.claim)?;
        for clause in &evidence.clauses {
            let rule = (self.rule)(clause).unwrap_or_else(|| "(not in the catalogue)".to_owned());
            prose(out, "  clause    ", &format!("{clause}, {rule}"))?;
        }
        prose(out, "  expected  ", &evidence.expected)?;
        prose(out, "  came      ", &evidence.came)?;
        if !matches!(done.verdict, Verdict::Advise(_)) {
            self.trace(out, evidence)?;
        }
        writeln!(out, "  repeat    {}\n", (self.repeat)(done))
    }

    fn trace(&self, out: &mut dyn io::Write, evidence: &Evidence) -> io::Result<()> {
        let mut label = "  trace     ";
        for line in evidence.trace.shown() {
            writeln!(out, "{label}{}", self.paint(Ink::Grey, &visible(&line)))?;
            label = "            ";
        }
        Ok(())
    }

    fn summary(&self, out: &mut dyn io::Write, report: &Report, elapsed: Duration) -> io::Result<()> {
        let summary = Summary::of(&report.results);
        let counts = [
            (summary.pass, "pass", Ink::Green),
            (summary.skip, "skip", Ink::Grey),
            (summary.advise, "advise", Ink::Yellow),
            (summary.inconclusive, "inconclusive", Ink::Yellow),
            (summary.broken, "broken", Ink::Yellow),
            (summary.fail, "fail", Ink::Red),
        ];
        let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, word, ink)| self.paint(ink, &format!("{count} {word}"))).collect();
        let counts = if counts.is_empty() { "nothing played".to_owned() } else { counts.join(", ") };
        let runs = counted(summary.total(), "run", "runs");
        writeln!(out, "{runs} in {:.1} s: {counts}", elapsed.as_secs_f64())?;
        if report.unplayed > 0 {
            writeln!(out, "{} not played", counted(report.unplayed, "run was", "runs were"))?;
        }
        if let Some(why) = &report.cut_short {
            writeln!(out, "{}: {}", self.paint(Ink::Red, "partial"), visible(why))?;
        }
        Ok(())
    }

    fn paint(&self, ink: Ink, text: &str) -> String {
        painted(self.colour, ink, text)
    }
}

/// `text` in a colour, where there are any.
pub fn painted(colour: bool, ink: Ink, text: &str) -> String {
    if colour { format!("\x1b[{}m{text}\x1b[0m", ink as u8) } else { text.to_owned() }
}

/// `text` without control characters: what a target says must not steer the terminal.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// The same in one line.
pub(super) fn in_one_line(text: &str) -> String {
    visible(text).replace('\n', " ")
}

/// Writes `text` after `label`, broken between words into lines of at most 110 columns, with what follows indented as far.
///
/// # Errors
/// Those of `out`.
pub fn prose(out: &mut dyn io::Write, label: &str, text: &str) -> io::Result<()> {
    let mut line = label.to_owned();
    let mut empty = true;
    for word in visible(text).split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{line}")?;
            line = " ".repeat(label.len());
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(out, "{line}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::baseline::Known;
    use crate::case::VerdictKind;

    fn written(heading: &Heading, report: &Report, baseline: &Baseline, brief: bool) -> String {
        let rule = |clause: &str| (clause == "mqtt5:4.3.3-10").then(|| "MUST: answer".to_owned());
        let repeat = |done: &Done| format!("testament conform mosquitto --case {}", done.id);
        let mut out = Vec::new();
        let terminal = Terminal { colour: false, rule: &rule, repeat: &repeat, baseline, brief };
        terminal.write(&mut out, heading, report, Duration::from_millis(1_234)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_known_takes_a_line_and_what_is_new_is_told_after_it() {
        let (heading, mut report) = sample();
        report.results.truncate(3);
        let known = |case: &str, verdict, reason: &str| {
            let (case, protocol, reason) = (case.to_owned(), "5.0".to_owned(), reason.to_owned());
            Known { case, protocol, verdict, clause: None, reason }
        };
        let fail = known("qos2/repeat", VerdictKind::Fail, "our ticket\n812");
        let advise = known("retain/advises", VerdictKind::Advise, " ");
        let head =
            |text: String| text.split("          3.1.1").next().unwrap().split_once("(5.0)\n\n").unwrap().1.to_owned();
        let both = Baseline::new([fail.clone(), advise.clone()]).unwrap();
        assert_eq!(
            head(written(&heading, &report, &both, false)),
            "KNOWN  qos2/repeat under 5.0 is fail: our ticket 812\n\
             KNOWN  retain/advises under 5.0 is advise: no reason is given yet\n\n"
        );
        // Known as less grave it is new, and told in full or in brief.
        let less = Baseline::new([known("qos2/repeat", VerdictKind::Advise, "x"), advise]).unwrap();
        let full = head(written(&heading, &report, &less, false));
        assert!(full.contains("\n\nFAIL  qos2/repeat under 5.0\n  claim ") && full.contains("  trace "), "{full}");
        assert_eq!(
            head(written(&heading, &report, &less, true)),
            "KNOWN  retain/advises under 5.0 is advise: no reason is given yet\n\n\
             FAIL  qos2/repeat under 5.0: nothing <in> 3 s & \"more\"\\u{1}\n  \
             repeat    testament conform mosquitto --case qos2/repeat\n\n"
        );
    }

    #[test]
    fn failures_come_last_with_all_that_is_needed_to_judge_them() {
        let (heading, report) = sample();
        insta::assert_snapshot!(written(&heading, &report, &Baseline::default(), false), @r#"
        testament 0.1.0 judges mosquitto 2.0.11, mqtt://127.0.0.1:1883, seed 7

        FINGERPRINT  what it chose where the standard leaves it open
              overlap: 2 copies (3.1.1), one <copy> (5.0)

        SKIP  needs a TLS listener
              tls/handshake (5.0)

        ADVISE  retain/advises under 5.0
          claim     it is acknowledged again
          clause    mqtt5:4.4.0-1, (not in the catalogue)
          expected  PUBREC 7
          came      nothing <in> 3 s & "more"\u{1}
          repeat    testament conform mosquitto --case retain/advises

        INCONCLUSIVE  will/unclear under 5.0
          claim     it is acknowledged again
          expected  PUBREC 7
          came      nothing <in> 3 s & "more"\u{1}
          trace        0.000000s -- reader  opened: reader, mqtt
                       0.001000s -> reader  PUBLISH qos 2 id 7  [34051234] of 300 B
          repeat    testament conform mosquitto --case will/unclear

        BROKEN  will/broken under 5.0
          claim     it is acknowledged again
          expected  PUBREC 7
          came      nothing <in> 3 s & "more"\u{1}
          trace        0.000000s -- reader  opened: reader, mqtt
                       0.001000s -> reader  PUBLISH qos 2 id 7  [34051234] of 300 B
          repeat    testament conform mosquitto --case will/broken

        FAIL  qos2/repeat under 5.0
          claim     it is acknowledged again
          clause    mqtt5:4.3.3-10, MUST: answer
          expected  PUBREC 7
          came      nothing <in> 3 s & "more"\u{1}
          trace        0.000000s -- reader  opened: reader, mqtt
                       0.001000s -> reader  PUBLISH qos 2 id 7  [34051234] of 300 B
          repeat    testament conform mosquitto --case qos2/repeat

                  3.1.1      5.0
        qos2        1/1      0/1
        retain        -      0/1
        tls           -        -
        will          -      0/2

        6 runs in 1.2 s: 1 pass, 1 skip, 1 advise, 1 inconclusive, 1 broken, 1 fail
        "#);
    }

    #[test]
    fn what_a_target_says_does_not_steer_the_terminal() {
        assert_eq!(visible("é\x1b[2J\u{9b}x"), "é\\u{1b}[2J\\u{9b}x");
    }

    #[test]
    fn prose_is_broken_between_words() {
        fn check(text: &str, expect: &str) {
            let mut out = Vec::new();
            prose(&mut out, "  x  ", text).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        }
        check("", "  x  \n");
        check("a  b", "  x  a b\n");
        let (fits, spills) = ("y".repeat(WIDTH - 7), "y".repeat(WIDTH - 6));
        check(&format!("z {fits}"), &format!("  x  z {fits}\n"));
        check(&format!("z {spills}"), &format!("  x  z\n     {spills}\n"));
    }
}

//! The report for build servers, in the strictest common form of JUnit's XML: it keeps both to the schema that Ant's
//! task documents and to that of Jenkins. Of a conformance run each protocol version is a test suite; a Fail is a failure,
//! Inconclusive and Broken are errors, an Advise passes.

use std::io;

use super::{Heading, chapters};
use crate::case::{Evidence, Verdict};
use crate::run::{Done, Report};

/// Test cases that belong together.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// What was tested.
    pub package: String,
    /// What else is to be known: name and value.
    pub properties: Vec<(&'static str, String)>,
    /// Its cases.
    pub cases: Vec<Case>,
}

/// A test case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What it belongs to; build servers make a tree of the dots.
    pub class: String,
    /// How many seconds it took.
    pub seconds: f64,
    /// How it ended.
    pub ending: Ending,
}

/// How a test case ended.
#[derive(Clone, Debug)]
pub enum Ending {
    /// As it should.
    Passed,
    /// It was not played: why.
    Skipped(String),
    /// What was tested is wrong.
    Failed(Account),
    /// Something else is wrong.
    Error(Account),
}

/// What went wrong.
#[derive(Clone, Debug)]
pub struct Account {
    /// In one line.
    pub message: String,
    /// Which kind of wrong it is.
    pub kind: String,
    /// In full.
    pub text: String,
}

/// Writes `suites`. `timestamp` is when the run began, as `2026-11-22T20:00:00`.
///
/// # Errors
/// Those of `out`.
pub fn suites(out: &mut dyn io::Write, suites: &[Suite], timestamp: &str) -> io::Result<()> {
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(out, "<testsuites>")?;
    for (id, suite) in suites.iter().enumerate() {
        write_suite(out, id, suite, timestamp)?;
    }
    writeln!(out, "</testsuites>")
}

fn write_suite(out: &mut dyn io::Write, id: usize, suite: &Suite, timestamp: &str) -> io::Result<()> {
    let count = |matches: fn(&Ending) -> bool| suite.cases.iter().filter(|case| matches(&case.ending)).count();
    writeln!(
        out,
        r#"  <testsuite name="{}" package="{}" id="{id}" timestamp="{timestamp}" hostname="localhost" tests="{}" failures="{}" errors="{}" skipped="{}" time="{:.6}">"#,
        escaped(&suite.name),
        escaped(&suite.package),
        suite.cases.len(),
        count(|ending| matches!(ending, Ending::Failed(_))),
        count(|ending| matches!(ending, Ending::Error(_))),
        count(|ending| matches!(ending, Ending::Skipped(_))),
        suite.cases.iter().map(|case| case.seconds).sum::<f64>(),
    )?;
    writeln!(out, "    <properties>")?;
    for (name, value) in suite.properties.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, r#"      <property name="{name}" value="{}"/>"#, escaped(value))?;
    }
    writeln!(out, "    </properties>")?;
    for case in &suite.cases {
        write_case(out, case)?;
    }
    writeln!(out, "    <system-out/>\n    <system-err/>\n  </testsuite>")
}

fn write_case(out: &mut dyn io::Write, case: &Case) -> io::Result<()> {
    let Case { name, class, seconds, ending } = case;
    let (name, class) = (escaped(name), escaped(class));
    write!(out, r#"    <testcase name="{name}" classname="{class}" time="{seconds:.6}""#)?;
    let mut wrong = |element: &str, account: &Account| {
        let [message, kind, text] = [&account.message, &account.kind, &account.text].map(|text| escaped(text));
        writeln!(out, ">\n      <{element} message=\"{message}\" type=\"{kind}\">{text}</{element}>\n    </testcase>")
    };
    match ending {
        Ending::Passed => writeln!(out, "/>"),
        Ending::Skipped(why) => writeln!(out, ">\n      <skipped message=\"{}\"/>\n    </testcase>", escaped(why)),
        Ending::Failed(account) => wrong("failure", account),
        Ending::Error(account) => wrong("error", account),
    }
}

/// Writes `report` on a conformance run. `timestamp` is when it began, as `2026-11-22T20:00:00`.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn io::Write, heading: &Heading, report: &Report, timestamp: &str) -> io::Result<()> {
    let mut protocols: Vec<_> = report.results.iter().map(|done| done.protocol).collect();
    protocols.sort_unstable();
    protocols.dedup();
    let suite = |protocol: &&str| Suite {
        name: format!("MQTT {protocol}"),
        package: heading.target.clone(),
        properties: vec![
            ("testament", heading.tool_version.clone()),
            ("seed", heading.seed.to_string()),
            ("target version", heading.target_version.clone().unwrap_or_default()),
        ],
        cases: report.results.iter().filter(|done| done.protocol == *protocol).map(case).collect(),
    };
    suites(out, &protocols.iter().map(suite).collect::<Vec<_>>(), timestamp)
}

fn case(done: &Done) -> Case {
    let account = |evidence: &Evidence| {
        let clauses = evidence.clauses.join(" ");
        let kind = if clauses.is_empty() { done.verdict.as_str().to_owned() } else { clauses };
        Account { message: evidence.came.clone(), kind, text: words(done, evidence) }
    };
    let ending = match &done.verdict {
        Verdict::Pass | Verdict::Advise(_) => Ending::Passed,
        Verdict::Skip(why) => Ending::Skipped(why.clone()),
        Verdict::Fail(evidence) => Ending::Failed(account(evidence)),
        Verdict::Inconclusive(evidence) | Verdict::Broken(evidence) => Ending::Error(account(evidence)),
    };
    let class = format!("mqtt-{}.{}", done.protocol, chapters::of(done));
    Case { name: done.id.to_owned(), class, seconds: done.duration.as_secs_f64(), ending }
}

fn words(done: &Done, evidence: &Evidence) -> String {
    let mut text = format!("claim: {}\nexpected: {}\ncame: {}\n", done.claim, evidence.expected, evidence.came);
    for line in evidence.trace.shown() {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// `text` as XML takes it, in an attribute or between tags; characters that XML 1.0 has no form for become U+FFFD.
fn escaped(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\n' | '\t' => xml.push(c),
            '\r' => xml.push_str("&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => xml.push('\u{fffd}'),
            _ => xml.push(c),
        }
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn text_is_escaped() {
        fn check(text: &str, expect: &str) {
            assert_eq!(escaped(text), expect);
        }
        check("a<b> & \"c\"", "a&lt;b&gt; &amp; &quot;c&quot;");
        check("\0\u{1f} \u{ffff}é\n", "\u{fffd}\u{fffd} \u{fffd}é\n");
    }

    #[test]
    fn each_protocol_is_a_suite_and_each_verdict_its_element() {
        let (heading, report) = sample();
        let mut out = Vec::new();
        write(&mut out, &heading, &report, "2026-11-22T20:00:00").unwrap();
        let xml = String::from_utf8(out).unwrap();
        let count = |text: &str| xml.matches(text).count();
        assert_eq!((count("<testsuite "), count("<testcase "), count("</testcase>")), (2, 6, 4));
        assert_eq!((count("<failure "), count("<error "), count("<skipped ")), (1, 2, 1));
        assert!(xml.contains(r#"tests="5" failures="1" errors="2" skipped="1""#), "{xml}");
        assert!(xml.contains(r#"type="mqtt5:4.3.3-10""#), "{xml}");
    }
}

//! The report for build servers, in the strictest common form of JUnit's XML: it keeps both to the schema that Ant's
//! task documents and to that of Jenkins. One test suite per protocol version; a Fail is a failure, Inconclusive and
//! Broken are errors, an Advise passes.

use std::io;
use std::time::Duration;

use super::{Heading, chapters};
use crate::case::{Evidence, Verdict};
use crate::run::{Done, Report};

/// Writes `report`. `timestamp` is when the run began, as `2026-11-22T20:00:00`.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn io::Write, heading: &Heading, report: &Report, timestamp: &str) -> io::Result<()> {
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(out, "<testsuites>")?;
    let mut protocols: Vec<_> = report.results.iter().map(|done| done.protocol).collect();
    protocols.sort_unstable();
    protocols.dedup();
    for (id, protocol) in protocols.into_iter().enumerate() {
        let results: Vec<_> = report.results.iter().filter(|done| done.protocol == protocol).collect();
        suite(out, heading, id, protocol, &results, timestamp)?;
    }
    writeln!(out, "</testsuites>")
}

fn suite(
    out: &mut dyn io::Write,
    heading: &Heading,
    id: usize,
    protocol: &str,
    results: &[&Done],
    timestamp: &str,
) -> io::Result<()> {
    let count = |matches: fn(&Verdict) -> bool| results.iter().filter(|done| matches(&done.verdict)).count();
    let failures = count(|verdict| matches!(verdict, Verdict::Fail(_)));
    let errors = count(|verdict| matches!(verdict, Verdict::Inconclusive(_) | Verdict::Broken(_)));
    let skipped = count(|verdict| matches!(verdict, Verdict::Skip(_)));
    let time = seconds(results.iter().map(|done| done.duration).sum());
    writeln!(
        out,
        r#"  <testsuite name="MQTT {protocol}" package="{}" id="{id}" timestamp="{timestamp}" hostname="localhost" tests="{}" failures="{failures}" errors="{errors}" skipped="{skipped}" time="{time}">"#,
        escaped(&heading.target),
        results.len(),
    )?;
    writeln!(out, "    <properties>")?;
    let seed = heading.seed.to_string();
    let version = heading.target_version.as_deref().unwrap_or_default();
    let properties = [("testament", heading.tool_version.as_str()), ("seed", &seed), ("target version", version)];
    for (name, value) in properties.into_iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, r#"      <property name="{name}" value="{}"/>"#, escaped(value))?;
    }
    writeln!(out, "    </properties>")?;
    for done in results {
        case(out, done)?;
    }
    writeln!(out, "    <system-out/>\n    <system-err/>\n  </testsuite>")
}

fn case(out: &mut dyn io::Write, done: &Done) -> io::Result<()> {
    write!(
        out,
        r#"    <testcase name="{}" classname="mqtt-{}.{}" time="{}""#,
        escaped(done.id),
        done.protocol,
        escaped(chapters::of(done)),
        seconds(done.duration)
    )?;
    let mut ending = |element: &str, evidence: &Evidence| {
        let message = escaped(&evidence.came);
        let kind =
            if evidence.clauses.is_empty() { done.verdict.as_str().to_owned() } else { evidence.clauses.join(" ") };
        let text = escaped(&words(done, evidence));
        writeln!(out, ">\n      <{element} message=\"{message}\" type=\"{kind}\">{text}</{element}>\n    </testcase>")
    };
    match &done.verdict {
        Verdict::Pass | Verdict::Advise(_) => writeln!(out, "/>"),
        Verdict::Skip(why) => writeln!(out, ">\n      <skipped message=\"{}\"/>\n    </testcase>", escaped(why)),
        Verdict::Fail(evidence) => ending("failure", evidence),
        Verdict::Inconclusive(evidence) | Verdict::Broken(evidence) => ending("error", evidence),
    }
}

fn words(done: &Done, evidence: &Evidence) -> String {
    let mut text = format!("claim: {}\nexpected: {}\ncame: {}\n", done.claim, evidence.expected, evidence.came);
    for line in evidence.trace.shown() {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn seconds(span: Duration) -> String {
    format!("{:.6}", span.as_secs_f64())
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

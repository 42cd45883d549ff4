//! The report for build servers: each expectation is a test case, and those on one subject are a suite.

use std::io;

use harness::report::junit::{Account, Case, Ending, Suite, suites};

use super::Report;
use crate::fleet::verdict::{Judgement, Subject};

/// Writes `report`.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    let mut subjects: Vec<_> = report.expectations.iter().map(|judgement| judgement.about).collect();
    subjects.sort_unstable();
    subjects.dedup();
    let run = report.run.as_ref();
    let repeat = run.map_or(String::new(), |run| run.repeat.clone());
    let suite = |(place, subject): (usize, &Subject)| Suite {
        name: name(*subject).to_owned(),
        package: "fleet".to_owned(),
        properties: vec![
            ("testament", env!("CARGO_PKG_VERSION").to_owned()),
            ("scenario", report.about.clone()),
            ("seed", report.seed.to_string()),
            ("repeat", repeat.clone()),
        ],
        cases: report
            .expectations
            .iter()
            .filter(|judgement| judgement.about == *subject)
            .enumerate()
            // The run is one: its time stands with its first case alone, so that the sum is right.
            .map(|(nth, judgement)| case(judgement, run.map_or(0.0, |run| run.wall), place + nth == 0, &repeat))
            .collect(),
    };
    let began = run.map_or("1970-01-01T00:00:00", |run| run.began.as_str());
    suites(out, &subjects.iter().enumerate().map(suite).collect::<Vec<_>>(), began)
}

const fn name(subject: Subject) -> &'static str {
    match subject {
        Subject::Delivery => "delivery",
        Subject::Wills => "wills",
        Subject::Sessions => "sessions",
        Subject::Time => "time",
        Subject::Questions => "questions",
    }
}

fn case(judgement: &Judgement, wall: f64, first: bool, repeat: &str) -> Case {
    let Judgement { about, expected, met, found } = judgement;
    let kind = judgement.word();
    let wrong = || Account {
        message: found.clone(),
        kind: kind.to_owned(),
        text: format!("expected: {expected}\nfound: {found}\nrepeat: {repeat}\n"),
    };
    Case {
        name: expected.clone(),
        class: format!("fleet.{}", name(*about)),
        seconds: if first { wall } else { 0.0 },
        ending: if *met == Some(true) { Ending::Passed } else { Ending::Failed(wrong()) },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn each_expectation_is_a_case_and_each_subject_a_suite() {
        let mut out = Vec::new();
        write(&mut out, &sample()).unwrap();
        let xml = String::from_utf8(out).unwrap();
        let count = |text: &str| xml.matches(text).count();
        assert_eq!((count("<testsuite "), count("<testcase "), count("<failure ")), (3, 3, 1), "{xml}");
        for text in [
            r#"<testsuite name="delivery" package="fleet" id="0" timestamp="2026-11-22T20:00:00""#,
            r#"tests="1" failures="1" errors="0" skipped="0" time="1.500000""#,
            r#"value="a &lt;tunnel&gt; &amp; what comes after""#,
            r#"<testcase name="nothing that was confirmed is missing (QoS 1)" classname="fleet.delivery""#,
            r#"message="4 of 57 owed messages are missing""#,
            "repeat: testament fleet 'a&lt;b.ron' --seed 7",
        ] {
            assert!(xml.contains(text), "{text} is not in {xml}");
        }
    }
}

//! Which requirement is judged by what, shown on the reference broker, and the report that says so.
//!
//! `UPDATE_REPORTS=1 cargo test coverage` writes the report anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use harness::catalogue::{Coverage, Level, Requirement};
use testament::catalogue::{catalogue, home};
use testament::packet::Version;
use testament::proof::trials;
use testament::reference::{self, Setup};
use testament::suite::cases;

/// The report, from the root of the project.
const REPORT: &str = "reports/coverage.md";

/// The requirements that a case judged which cites them, and under which versions: it passed on the reference broker, in
/// one of its setups. A skip judges nothing, and neither does a play with a remark.
fn judged() -> BTreeMap<&'static str, BTreeSet<Version>> {
    let mut judged: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (case, version) in trials() {
        let (_, played) = reference::play(case, version, Setup::start);
        if played.outcome.is_ok() && played.remarks.is_empty() {
            for clause in catalogue().clauses(case.covers, version) {
                judged.entry(clause).or_default().insert(version);
            }
        }
    }
    judged
}

#[test]
fn whatever_a_case_cites_is_judged_on_the_reference_broker_under_every_version_it_binds() {
    let judged = judged();
    let cited: BTreeSet<_> = cases().flat_map(|case| case.covers.iter().copied()).collect();
    let missing: Vec<_> = cited
        .iter()
        .flat_map(|id| catalogue().versions_of(&[id]).into_iter().map(move |version| (*id, version)))
        .filter(|(id, version)| !judged.get(id).is_some_and(|versions| versions.contains(version)))
        .collect();
    assert!(missing.is_empty(), "no case passes that judges {missing:#?}");
}

#[test]
fn the_report_is_as_the_suite_is() {
    let path = format!("{}/{REPORT}", env!("CARGO_MANIFEST_DIR"));
    let report = report();
    if std::env::var_os("UPDATE_REPORTS").is_some() {
        std::fs::write(&path, &report).expect("the report can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let stale = committed.lines().zip(report.lines()).find(|(old, new)| old != new);
    assert!(committed == report, "{REPORT} is stale at {stale:?}; UPDATE_REPORTS=1 cargo test coverage writes it anew");
}

/// No requirement is without a case, unless it says why.
#[test]
fn nothing_is_owed() {
    let owed: Vec<_> = rows().filter(|(_, coverage, _)| *coverage == Coverage::Owed).map(|row| &row.0.id).collect();
    assert!(owed.is_empty(), "neither a case nor an exception: {owed:#?}");
}

/// A case that an exception points to is there.
#[test]
fn exceptions_name_cases_there_are() {
    let ids: BTreeSet<_> = cases().map(|case| case.id).collect();
    let chapters: BTreeSet<_> = cases().map(|case| case.chapter()).collect();
    for requirement in catalogue() {
        let words = requirement.exception.iter().flat_map(|reason| reason.split([' ', ',', ';', ':', '(', ')']));
        for word in words.filter(|word| word.split_once('/').is_some_and(|(chapter, _)| chapters.contains(chapter))) {
            assert!(ids.contains(word), "{} points to {word}", requirement.id);
        }
    }
}

/// Every requirement, where it stands, and the cases that judge it.
fn rows() -> impl Iterator<Item = (&'static Requirement, Coverage, Vec<&'static str>)> {
    catalogue().iter().map(|each| {
        let citing = cases().filter(|case| case.covers.contains(&each.id.as_str())).map(|case| case.id);
        let citing: Vec<_> = citing.collect();
        (each, Coverage::of(each, !citing.is_empty()), citing)
    })
}

fn report() -> String {
    let mut out = "\
# Coverage

Every requirement of the three standards, and what judges it. `covered` means that a case which cites the requirement passes
on the reference broker under every version the requirement binds; a skipped case covers nothing. `client-only` are rules that
only a peer of the client can see. An exception says why no case can judge the rule.

Generated: `UPDATE_REPORTS=1 cargo test coverage` writes this file anew, and `cargo test` fails while it is stale.
`testament explain ID` tells more about a requirement or a case.

| MQTT | level | covered | client-only | exception | owed | all |
|---|---|--:|--:|--:|--:|--:|
"
    .to_owned();
    for version in Version::ALL {
        for level in [Level::Must, Level::Should, Level::May] {
            let bound = || rows().filter(move |(each, ..)| each.level == level && catalogue().binds(&each.id, version));
            let _ = write!(out, "| {version} | {level} |");
            for coverage in [Coverage::Covered, Coverage::ClientOnly, Coverage::Exception, Coverage::Owed] {
                let _ = write!(out, " {} |", bound().filter(|row| row.1 == coverage).count());
            }
            let _ = writeln!(out, " {} |", bound().count());
        }
    }
    out.push_str(
        "\nA rule of 3.1.1 binds 3.1, too, unless a rule of 3.1 takes its place; the table counts it under both.\n",
    );
    for version in Version::ALL {
        let _ = writeln!(out, "\n## MQTT {version}\n\n| requirement | level | judged by |\n|---|---|---|");
        for (each, coverage, cases) in rows().filter(|(each, ..)| home(&each.id) == Some(version)) {
            let cases = cases.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
            let by = match coverage {
                Coverage::Covered => cases,
                Coverage::ClientOnly => "*client-only*".to_owned(),
                Coverage::Exception => format!("*exception*: {}", each.exception.as_deref().unwrap_or_default()),
                Coverage::Owed => "**owed**".to_owned(),
            };
            let _ = writeln!(out, "| `{}` | {} | {by} |", each.id, each.level);
        }
    }
    out
}

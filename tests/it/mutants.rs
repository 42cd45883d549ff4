//! Mutants and cases prove each other: every mutant is killed, every case kills one, and every requirement that a server can be
//! seen to break is broken by one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use testament::catalogue::catalogue;
use testament::mutant::mutants;
use testament::proof::{idle, killer, unbroken};

#[test]
fn every_mutant_is_killed_by_a_case_that_cites_a_clause_it_breaks() {
    let mut survivors = Vec::new();
    for mutant in mutants() {
        match killer(&mutant) {
            Some(kill) => println!("{:<50} {}", mutant.name, kill.case),
            None => survivors.push(format!("{} {:?}", mutant.name, mutant.clauses)),
        }
    }
    assert!(survivors.is_empty(), "{} survive:\n{}", survivors.len(), survivors.join("\n"));
}

#[test]
fn every_case_kills_a_mutant() {
    let idle: Vec<_> = idle(&mutants()).map(|case| case.id).collect();
    assert!(idle.is_empty(), "{idle:#?}");
}

#[test]
fn every_requirement_that_a_server_can_be_seen_to_break_is_broken_by_a_mutant() {
    let unbroken: Vec<_> = unbroken(&mutants()).map(|requirement| &requirement.id).collect();
    assert!(unbroken.is_empty(), "{unbroken:#?}");
}

/// What each mutant breaks and who finds out, for people to read.
#[test]
fn the_report_is_fresh() {
    const REPORT: &str = "reports/mutants.md";
    let report = report();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(REPORT);
    if std::env::var_os("UPDATE_REPORTS").is_some() {
        fs::write(&path, &report).expect("a report that can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == report, "{REPORT} is stale; `UPDATE_REPORTS=1 cargo test mutants` writes it anew");
}

fn report() -> String {
    let mutants = mutants();
    let mut out = format!(
        "# Mutants\n\nThe reference broker, broken in {} named ways, and the first case that tells each from the broker: one that \
         cites a requirement\nwhich the mutant breaks. `testament mutants` plays them; `testament explain` says more about a requirement \
         or a case.\n\nGenerated: `UPDATE_REPORTS=1 cargo test mutants` writes this file anew, and `cargo test` fails while it is \
         stale.\n\n| mutant | requirement | what it breaks | killed by |\n|---|---|---|---|\n",
        mutants.len()
    );
    for mutant in &mutants {
        let kill = killer(mutant);
        let clause = kill.map_or(mutant.clauses[0], |kill| kill.clause);
        let rule = catalogue().get(clause).map_or("", |requirement| &requirement.rule).replace('|', "\\|");
        let case = kill.map_or("survives".to_owned(), |kill| format!("`{}`", kill.case));
        let _ = writeln!(out, "| {} | `{clause}` | {rule} | {case} |", mutant.name);
    }
    let idle: Vec<_> = idle(&mutants).map(|case| format!("`{}`", case.id)).collect();
    let idle = if idle.is_empty() { "none".to_owned() } else { idle.join(", ") };
    let _ = writeln!(out, "\nCases that kill no mutant: {idle}.");
    out
}

#[test]
fn mutants_have_names_and_known_clauses() {
    let mut names = BTreeSet::new();
    for mutant in mutants() {
        assert!(names.insert(mutant.name.clone()), "two mutants are called {}", mutant.name);
        assert!(!mutant.clauses.is_empty(), "{} breaks nothing", mutant.name);
        for clause in &mutant.clauses {
            assert!(catalogue().get(clause).is_some(), "{} breaks the unknown {clause}", mutant.name);
        }
    }
}

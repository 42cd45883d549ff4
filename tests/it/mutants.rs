//! Mutants and cases prove each other: every mutant is killed, every case kills one, and every requirement that a server can be
//! seen to break is broken by one.

use std::collections::BTreeSet;

use testament::catalogue::catalogue;
use testament::mutant::mutants;
use testament::proof::{idle, killer, unbroken};

#[test]
fn every_mutant_is_killed_by_a_case_that_cites_a_clause_it_breaks() {
    let mut survivors = Vec::new();
    for mutant in mutants() {
        match killer(&mutant) {
            Some(case) => println!("{:<50} {}", mutant.name, case.id),
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

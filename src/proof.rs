//! Proof that the suite can fail: which case tells which mutant from the broker.
//!
//! A case kills a mutant if it cites a requirement that the mutant breaks, and finds a deviation there. A recommendation that is
//! not followed counts like a requirement that is broken; a step that does not work shows nothing, and does not count.

use std::collections::BTreeSet;

use harness::case::{Case, Stop};
use harness::catalogue::{Level, Requirement};
use harness::rng::Rng;

use crate::catalogue::catalogue;
use crate::mutant::Mutant;
use crate::packet::Version;
use crate::reference::{self, Setup};
use crate::suite::{cases, testbed::Testbed};

/// One case under one version.
pub type Trial = (&'static Case<Testbed>, Version);

/// Every case under every version that it judges, in the order of the suite.
pub fn trials() -> impl Iterator<Item = Trial> {
    cases().flat_map(|case| catalogue().versions_of(case.covers).into_iter().map(move |version| (case, version)))
}

/// A case that told a mutant from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Its id.
    pub case: &'static str,
    /// The requirement that the case cites and the mutant breaks.
    pub clause: &'static str,
}

/// The first case that kills the mutant.
pub fn killer(mutant: &Mutant) -> Option<Kill> {
    cases().find_map(|case| kill(case, mutant))
}

/// Whether this case kills this mutant, and by which requirement.
pub fn kill(case: &'static Case<Testbed>, mutant: &Mutant) -> Option<Kill> {
    let broken: Vec<_> = case.covers.iter().copied().filter(|clause| mutant.clauses.contains(clause)).collect();
    // Most cases have nothing to do with most mutants, and no list is made for them.
    let versions = if broken.is_empty() { Vec::new() } else { catalogue().versions_of(&broken) };
    versions.into_iter().find_map(|version| {
        let own = *catalogue().clauses(&broken, version).first()?;
        let mut clauses = found((case, version), mutant).into_iter().map(|clause| clause.unwrap_or(own));
        let clause = clauses.find(|clause| mutant.clauses.contains(clause))?;
        Some(Kill { case: case.id, clause })
    })
}

/// The cases that find anything wrong with the mutant, whatever they cite.
pub fn notice(mutant: &Mutant) -> impl Iterator<Item = &'static str> {
    let notices = |case: &&'static Case<Testbed>| {
        catalogue().versions_of(case.covers).into_iter().any(|version| !found((*case, version), mutant).is_empty())
    };
    cases().filter(notices).map(|case| case.id)
}

/// The cases that kill none of these mutants.
pub fn idle(mutants: &[Mutant]) -> impl Iterator<Item = &'static Case<Testbed>> {
    cases().filter(|case| mutants.iter().all(|mutant| kill(case, mutant).is_none()))
}

/// The requirements that none of these mutants breaks, of those that a case judges and a server MUST follow.
pub fn unbroken(mutants: &[Mutant]) -> impl Iterator<Item = &'static Requirement> {
    let broken: BTreeSet<_> = mutants.iter().flat_map(|mutant| mutant.clauses.iter().copied()).collect();
    let judged: BTreeSet<_> = cases().flat_map(|case| case.covers.iter().copied()).collect();
    catalogue().iter().filter(move |requirement| {
        let id = requirement.id.as_str();
        requirement.level == Level::Must && judged.contains(id) && !broken.contains(id)
    })
}

/// What a case finds wrong with the mutant, cited or not: for each deviation the clause that it names, if it names one. A
/// broken promise is one, too.
fn found((case, version): Trial, mutant: &Mutant) -> Vec<Option<&'static str>> {
    let broken = mutant.clone();
    let start = move |setup: &Setup, stopped: Option<_>| match stopped {
        Some(node) => broken.revived(node),
        None => broken.listening(setup.broker(Rng::stream(1, "broker"))),
    };
    let (_, played) = reference::play(case, version, start);
    let mut found: Vec<_> = played.remarks.iter().map(|remark| remark.clause).collect();
    match played.outcome {
        Err(Stop::Deviation(deviation) | Stop::Harm(deviation)) => found.push(deviation.clause),
        Err(Stop::BrokenPromise { .. }) => found.push(None),
        _ => {}
    }
    found
}

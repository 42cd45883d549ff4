//! `testament explain`: prints a requirement or a case, and what belongs to it.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use harness::case::{Case, Stop};
use harness::catalogue::{Actor, Basis, Coverage, Observed, Requirement, closest};
use harness::trace::Line;

use super::text::{print, wrap};
use crate::catalogue::catalogue;
use crate::mutant::mutants;
use crate::packet::Version;
use crate::proof::kill;
use crate::reference::{self, Setup};
use crate::suite::testbed::Testbed;
use crate::suite::{self, words::Words};

/// Options of `testament explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A requirement (mqtt5:3.1.2-22, or MQTT-3.1.2-22 as the standards label it) or a case (qos1/order-is-kept)
    id: String,
}

impl Explain {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let requirements: Vec<_> =
            catalogue().get(&self.id).into_iter().chain(catalogue().labelled(&self.id)).collect();
        let cases: Vec<_> = suite::cases().filter(|case| case.id == self.id).collect();
        if requirements.is_empty() && cases.is_empty() {
            let known = catalogue().iter().map(|each| each.id.as_str()).chain(suite::cases().map(|case| case.id));
            bail!(
                "no requirement or case is called `{}`; the closest: {}",
                self.id,
                closest(&self.id, known).join(", ")
            );
        }
        let texts = requirements.into_iter().map(explain_requirement).chain(cases.into_iter().map(explain_case));
        print(&texts.collect::<Vec<_>>().join("\n"))?;
        Ok(super::OK)
    }
}

fn explain_requirement(requirement: &Requirement) -> String {
    let Requirement { id, section, level, actor, .. } = requirement;
    let cases: Vec<_> = suite::cases().filter(|case| case.covers.contains(&id.as_str())).collect();
    let whom = match actor {
        Actor::Both => "client and server".into(),
        one => one.to_string(),
    };
    let mut out = format!("{id}\n");
    wrap(&mut out, 4, &format!("section {section}"));
    let versions = versions(&[id]);
    wrap(&mut out, 4, &format!("{level}, for the {whom} of MQTT {versions}; {}", seen_by(requirement.observed)));
    match requirement.basis {
        Basis::Text => {}
        Basis::Derived => wrap(&mut out, 4, "derived: no single sentence of the standard says it"),
        Basis::Practice => wrap(&mut out, 4, "practice: the standard does not say it, implementations agree on it"),
    }
    let examples: Vec<_> = requirement.examples.iter().map(|(given, expect)| format!("{given}: {expect}")).collect();
    let paragraphs = [
        ("rule", requirement.rule.as_str()),
        ("to bring it about", &requirement.stimulus),
        ("what is then legal", &requirement.expected),
        ("examples", &examples.join("; ")),
        ("note", &requirement.note),
        ("what the next version made of it", &requirement.later),
        ("replaces", &requirement.replaces.join(", ")),
        ("see also", &requirement.related.join(", ")),
        ("exception", requirement.exception.as_deref().unwrap_or_default()),
    ];
    for (title, text) in paragraphs.into_iter().filter(|(_, text)| !text.is_empty()) {
        let _ = writeln!(out, "\n{title}");
        wrap(&mut out, 4, text);
    }
    let _ = writeln!(out, "\ncases: {}", Coverage::of(requirement, !cases.is_empty()).as_str());
    for case in &cases {
        let _ = writeln!(out, "    {}", case.id);
        wrap(&mut out, 8, case.claim);
    }
    let mutants: Vec<_> = mutants().into_iter().filter(|mutant| mutant.clauses.contains(&id.as_str())).collect();
    if !mutants.is_empty() {
        out.push_str("\nmutants that break it, and the cases that kill them by it\n");
    }
    for mutant in mutants {
        let killers: Vec<_> = cases.iter().filter_map(|case| kill(case, &mutant)).map(|kill| kill.case).collect();
        let killers = if killers.is_empty() { "none".to_owned() } else { killers.join(", ") };
        let _ = writeln!(out, "    {}", mutant.name);
        wrap(&mut out, 8, &killers);
    }
    out
}

fn explain_case(case: &'static Case<Testbed>) -> String {
    let mut out = format!("{}\n", case.id);
    wrap(&mut out, 4, case.claim);
    let _ = writeln!(out, "\nruns under MQTT {}", versions(case.covers));
    let surroundings = [
        (case.isolation.alone, "alone: nothing else runs beside it"),
        (case.isolation.exact_names, "exact names: it uses client identifiers or topics that are not its own"),
        (case.isolation.heavy, "heavy: it moves megabytes or tens of thousands of packets"),
    ];
    for (_, words) in surroundings.into_iter().filter(|(holds, _)| *holds) {
        wrap(&mut out, 4, words);
    }
    out.push_str("\njudges\n");
    for requirement in case.covers.iter().filter_map(|id| catalogue().get(id)) {
        let _ = writeln!(out, "    {} ({}, MQTT {})", requirement.id, requirement.level, versions(&[&requirement.id]));
        wrap(&mut out, 8, &requirement.rule);
        if !requirement.expected.is_empty() {
            wrap(&mut out, 8, &format!("legal: {}", requirement.expected));
        }
    }
    out.push_str("\nkills the mutants\n");
    for mutant in mutants() {
        if let Some(kill) = kill(case, &mutant) {
            let _ = writeln!(out, "    {} ({})", mutant.name, kill.clause);
        }
    }
    let _ = writeln!(out, "\nrun it\n    testament conform TARGET --case {}", case.id);
    out + &how_it_goes(case)
}

/// How many lines of a play are shown.
const SHOWN: usize = 60;

/// The play against the reference broker, under the latest version: what passes, without the bytes.
fn how_it_goes(case: &Case<Testbed>) -> String {
    let Some(version) = catalogue().versions_of(case.covers).pop() else { return String::new() };
    let (setup, played) = reference::play(case, version, Setup::start);
    let mut out = format!("\nhow it goes under {} on a reference broker {}\n", version.as_str(), setup.name);
    if let Err(Stop::Skip(missing)) = &played.outcome {
        wrap(&mut out, 4, &format!("not at all: it {missing}"));
        return out;
    }
    let lines = played.trace.in_words(&mut Words::of(version), 0);
    for line in lines.iter().take(SHOWN) {
        let _ = writeln!(out, "  {}", Line { len: 0, ..line.clone() });
    }
    if let Some(more @ 1..) = lines.len().checked_sub(SHOWN) {
        wrap(&mut out, 4, &format!("and {more} more, which --trace FILE writes down"));
    }
    out
}

fn versions(covers: &[&str]) -> String {
    catalogue().versions_of(covers).into_iter().map(Version::as_str).collect::<Vec<_>>().join(", ")
}

fn seen_by(observed: Observed) -> &'static str {
    match observed {
        Observed::AtServer => "seen by a peer of the server",
        Observed::AtClient => "seen by a peer of the client",
        Observed::AtBoth => "seen by a peer of either",
        Observed::Internally => "seen by no peer",
    }
}

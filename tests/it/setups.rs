//! The suite against the reference broker as [`Setup::all`] sets it up: each case finds a setup on which it plays, and passes.

use harness::case::Stop;
use testament::proof::trials;
use testament::reference::{self, Setup};

/// SUBACK of 3.1 cannot refuse.
const NEVER: &[(&str, &str)] = &[("limits/wildcard-subscription-before-5.0", "3.1")];

#[test]
fn every_case_passes_on_the_setup_that_it_needs() {
    let mut wrong = Vec::new();
    for (case, version) in trials() {
        let (setup, played) = reference::play(case, version, Setup::start);
        let never = NEVER.contains(&(case.id, version.as_str()));
        let fine = match &played.outcome {
            Ok(()) => played.remarks.is_empty() && !never,
            Err(stop) => never && matches!(stop, Stop::Skip(_)),
        };
        if !fine {
            let (outcome, remarks) = (played.outcome, played.remarks);
            wrong.push(format!("{} under {version} on a broker {}: {outcome:?} {remarks:?}", case.id, setup.name));
        }
    }
    assert!(wrong.is_empty(), "{} plays:\n{}", wrong.len(), wrong.join("\n"));
}

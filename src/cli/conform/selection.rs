//! Which cases are played, under which versions.

use std::time::Duration;

use anyhow::{bail, ensure};
use harness::case::Case;
use harness::catalogue::closest;

use crate::catalogue::catalogue;
use crate::packet::Version;
use crate::suite;
use crate::suite::testbed::Testbed;

/// One case under one version.
pub(super) struct Chosen {
    pub(super) case: &'static Case<Testbed>,
    pub(super) version: Version,
    pub(super) clauses: Vec<&'static str>,
    /// The same in every selection, so that a run repeats alone as it was in company.
    pub(super) number: u16,
}

/// Reads a protocol version.
pub(super) fn protocol(text: &str) -> Result<Version, String> {
    let known = Version::ALL.into_iter().find(|version| version.as_str() == text);
    known.ok_or_else(|| "write 3.1, 3.1.1 or 5.0".to_owned())
}

/// The longest span that anybody can mean.
const LONGEST: Duration = Duration::from_secs(31 * 86_400);

/// Reads a span of time, which must not be empty, nor longer than a month.
pub(in crate::cli) fn span(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) | Err(_) => Err("write a span such as 500ms or 10s".to_owned()),
        Ok(span) if span > LONGEST => Err("write a span of 31 days at most, such as 500ms or 10s".to_owned()),
        Ok(span) => Ok(span),
    }
}

/// The cases with these ids, or all, of which id or claim contain `filter`; each with its place in the suite.
///
/// # Errors
/// If an id is unknown or nothing is left.
pub(super) fn cases(ids: &[String], filter: Option<&str>) -> anyhow::Result<Vec<(usize, &'static Case<Testbed>)>> {
    for id in ids {
        ensure!(
            suite::cases().any(|case| case.id == id),
            "there is no case `{id}`; perhaps you mean {}; `testament list cases` names them all",
            closest(id, suite::cases().map(|case| case.id)).join(" or ")
        );
    }
    let text = filter.unwrap_or_default().to_lowercase();
    let wanted = |case: &Case<Testbed>| {
        let named = ids.is_empty() || ids.iter().any(|id| id == case.id);
        named && (case.id.contains(&text) || case.claim.to_lowercase().contains(&text))
    };
    let cases: Vec<_> = suite::cases().enumerate().filter(|(_, case)| wanted(case)).collect();
    ensure!(
        !cases.is_empty(),
        "no case has `{}` in its id or claim{}; `testament list cases` names them all",
        filter.unwrap_or_default(),
        if ids.is_empty() { "" } else { " and was named by --case" }
    );
    cases.iter().try_for_each(|(_, case)| cites_what_exists(case))?;
    Ok(cases)
}

/// A clause nobody knows binds no version, so that the case would quietly not be played under the one it was meant for.
///
/// # Errors
/// If the case cites one.
fn cites_what_exists(case: &Case<Testbed>) -> anyhow::Result<()> {
    let unknown = case.covers.iter().find(|id| catalogue().get(id).is_none());
    unknown.map_or(Ok(()), |id| {
        bail!(
            "case {} cites `{id}`, which is not in the catalogue; closest: {}",
            case.id,
            closest(id, catalogue().iter().map(|each| each.id.as_str())).join(", ")
        )
    })
}

/// Whether the suite has this case under this protocol version.
pub(super) fn exists(id: &str, protocol: &str) -> bool {
    let judges =
        |case: &Case<Testbed>| catalogue().versions_of(case.covers).iter().any(|each| each.as_str() == protocol);
    suite::cases().any(|case| case.id == id && judges(case))
}

/// Each of `cases` under each of `versions` that it judges, in the order of the suite.
///
/// # Errors
/// If none judges any of these versions.
pub(super) fn runs(
    cases: &[(usize, &'static Case<Testbed>)],
    versions: impl Iterator<Item = Version> + Clone,
) -> anyhow::Result<Vec<Chosen>> {
    let of = |&(place, case): &(usize, &'static Case<Testbed>)| {
        versions.clone().map(move |version| Chosen {
            case,
            version,
            clauses: catalogue().clauses(case.covers, version),
            number: (place * Version::ALL.len() + version as usize) as u16,
        })
    };
    let runs: Vec<_> = cases.iter().flat_map(of).filter(|chosen| !chosen.clauses.is_empty()).collect();
    let names = |versions: &mut dyn Iterator<Item = Version>| {
        versions.map(|version| version.as_str()).collect::<Vec<_>>().join(", ")
    };
    ensure!(
        !runs.is_empty(),
        "nothing to play: the chosen cases judge MQTT {} and not {}; choose another --protocol",
        names(&mut Version::ALL.into_iter().filter(|&version| {
            cases.iter().any(|(_, case)| !catalogue().clauses(case.covers, version).is_empty())
        })),
        names(&mut versions.clone())
    );
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_cites_an_unknown_clause_is_refused() {
        #[track_caller]
        fn check(covers: &'static [&'static str], expect: &str) {
            let case = Case::new("will/mine", |_: &Testbed| Ok(())).covers(covers);
            let said = cites_what_exists(&case).map_or_else(|why| why.to_string(), |()| String::new());
            assert!(said.starts_with(expect) && said.is_empty() == expect.is_empty(), "{said}");
        }
        check(&["mqtt311:3.1.2-8", "mqtt5:3.1.2-7"], "");
        check(
            &["mqtt311:3.1.2-8", "mqtt5:3.1.2-888"],
            "case will/mine cites `mqtt5:3.1.2-888`, which is not in the catalogue; closest: mqtt5:3.1.2-18, ",
        );
    }
}

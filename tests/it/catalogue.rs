//! The catalogue as it is: complete, well-formed, and consistent with itself.

use std::collections::{BTreeMap, BTreeSet};

use harness::catalogue::{Level, Observed, Requirement};
use testament::catalogue::{catalogue, home};
use testament::packet::Version;
use testament::topic::{Filter, Topic};

/// The kind of an id: `mqtt5:3.1.2-22` is labelled, `mqtt5:ext-070` is not, `mqtt31:diff-013` is a difference.
fn kind(id: &str) -> &'static str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match id.split_once(':').and_then(|(spec, rest)| Some((spec, rest.rsplit_once('-')?))) {
        Some(("mqtt5" | "mqtt311", ("ext", number))) if digits(number) && number.len() == 3 => "unlabelled",
        Some(("mqtt31", ("diff", number))) if digits(number) && number.len() == 3 => "difference",
        Some(("mqtt5" | "mqtt311", (section, number))) if section.split('.').all(digits) && digits(number) => {
            "labelled"
        }
        _ => "malformed",
    }
}

#[test]
fn every_requirement_is_there() {
    let mut counts = BTreeMap::new();
    for requirement in catalogue() {
        let version = home(&requirement.id).expect("a known standard").as_str();
        *counts.entry((version, kind(&requirement.id))).or_insert(0) += 1;
    }
    let expect = [
        (("3.1", "difference"), 33),
        (("3.1.1", "labelled"), 141),
        (("3.1.1", "unlabelled"), 114),
        (("5.0", "labelled"), 251),
        (("5.0", "unlabelled"), 235),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expect);
}

#[test]
fn every_name_is_unique_and_every_reference_leads_somewhere() {
    let mut names = BTreeSet::new();
    for each in catalogue() {
        for name in each.aliases.iter().chain([&each.id]) {
            assert!(names.insert(name), "{name} twice");
        }
        for other in each.related.iter().chain(&each.replaces) {
            assert!(catalogue().get(other).is_some_and(|found| found.id == *other), "{} refers to {other}", each.id);
        }
        for word in words(each) {
            let known = home(word).is_none() || catalogue().get(word).is_some();
            assert!(known, "{} speaks of {word}", each.id);
        }
    }
}

/// The words of a requirement's texts, without the punctuation around them.
fn words(each: &Requirement) -> impl Iterator<Item = &str> {
    let texts = [&each.rule, &each.stimulus, &each.expected, &each.note, &each.later];
    texts
        .into_iter()
        .flat_map(|text| text.split_whitespace())
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
}

#[test]
fn every_requirement_says_what_it_must() {
    for each in catalogue() {
        assert!(
            each.section.starts_with(|c: char| c.is_ascii_digit()) || kind(&each.id) == "difference",
            "{}",
            each.id
        );
        assert!(each.rule.ends_with(['.', ')']), "{} ends in mid sentence", each.id);
        assert!(each.replaces.is_empty() || home(&each.id) == Some(Version::V31), "{} replaces the past", each.id);
        assert!(each.later.is_empty() || home(&each.id) == Some(Version::V31), "{} knows the future", each.id);
        if each.observed == Observed::Internally {
            assert!(each.exception.is_some(), "{} cannot be judged and does not say why", each.id);
        }
        if kind(&each.id) == "labelled" {
            assert_eq!(each.level, Level::Must, "{}: the standards label only what must be", each.id);
        }
    }
}

/// The examples about filters, tried on the one definition of matching.
#[test]
fn every_example_of_a_filter_holds() {
    let mut tried = 0;
    for (given, expect) in catalogue().iter().flat_map(|each| &each.examples) {
        if expect == "refused" {
            assert!(Filter::new(given).is_err(), "{given}");
        } else if let Some((filter, topic)) = given.split_once(" on ") {
            let matches = Filter::new(filter).expect("a filter").matches(Topic::new(topic).expect("a topic"));
            assert_eq!(if matches { "match" } else { "no match" }, expect, "{given}");
        } else {
            continue;
        }
        tried += 1;
    }
    assert_eq!(tried, 81, "examples were added: count them in; lost: find them");
}

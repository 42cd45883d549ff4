//! The requirement catalogue of MQTT, embedded, and which version each requirement binds.
//!
//! Absent: the cases. They cite requirements by id; whoever holds both asks [`Catalogue::coverage`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use harness::catalogue::{Coverage, Level, Requirement};

use crate::packet::Version;

/// The catalogue files, by the version whose standard each holds, in the order of the catalogue.
const FILES: [(Version, &str, &str); 3] = [
    (Version::V31, "mqtt31", include_str!("../fixtures/requirements/mqtt31.ron")),
    (Version::V311, "mqtt311", include_str!("../fixtures/requirements/mqtt311.ron")),
    (Version::V5, "mqtt5", include_str!("../fixtures/requirements/mqtt5.ron")),
];

/// The catalogue.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
        let files = FILES.iter().flat_map(|(_, name, text)| {
            ron::from_str::<Vec<Requirement>>(text)
                .unwrap_or_else(|error| panic!("fixtures/requirements/{name}.ron:{error}"))
        });
        Catalogue::new(files.collect())
    });
    &CATALOGUE
}

/// Every requirement of the three standards.
#[derive(Debug)]
pub struct Catalogue {
    requirements: Vec<Requirement>,
    /// The place of each id and alias.
    places: BTreeMap<String, usize>,
    /// The requirements of 3.1.1 that do not bind 3.1.
    replaced: BTreeSet<String>,
}

impl Catalogue {
    fn new(requirements: Vec<Requirement>) -> Self {
        let names = |(place, each): (usize, &Requirement)| {
            each.aliases.iter().chain([&each.id]).map(|name| (name.clone(), place)).collect::<Vec<_>>()
        };
        let places = requirements.iter().enumerate().flat_map(names).collect();
        let replaced = requirements.iter().flat_map(|each| each.replaces.iter().cloned()).collect();
        Self { requirements, places, replaced }
    }

    /// Every requirement: 3.1, 3.1.1, 5.0, each in the order of its file.
    pub fn iter(&self) -> std::slice::Iter<'_, Requirement> {
        self.requirements.iter()
    }

    /// The requirement with this id or alias.
    pub fn get(&self, id: &str) -> Option<&Requirement> {
        self.places.get(id).map(|&place| &self.requirements[place])
    }

    /// The requirements that the standards label so: `MQTT-3.1.2-22`, with or without brackets. 3.1.1 and 5.0 give the same
    /// labels to different rules.
    pub fn labelled(&self, label: &str) -> impl Iterator<Item = &Requirement> {
        let number = label.trim_matches(['[', ']']).strip_prefix("MQTT-").unwrap_or_default();
        FILES.iter().filter_map(move |(_, name, _)| self.get(&format!("{name}:{number}")))
    }

    /// How binding it is; `None` for an unknown id.
    pub fn level(&self, id: &str) -> Option<Level> {
        self.get(id).map(|requirement| requirement.level)
    }

    /// Whether a requirement binds implementations of a version: one of `mqtt5` and `mqtt31` its own, one of `mqtt311`
    /// also 3.1, unless an entry of `mqtt31` replaces it. An unknown id binds nobody.
    pub fn binds(&self, id: &str, version: Version) -> bool {
        match self.get(id).and_then(|requirement| home(&requirement.id)) {
            Some(Version::V311) if version == Version::V31 => !self.replaced.contains(id),
            home => home == Some(version),
        }
    }

    /// The versions that any of these requirements binds, oldest first: those a case that covers them runs under.
    pub fn versions_of(&self, covers: &[&str]) -> Vec<Version> {
        Version::ALL.into_iter().filter(|&version| covers.iter().any(|id| self.binds(id, version))).collect()
    }

    /// Those of these requirements that bind a version: what a case that covers them judges under it.
    pub fn clauses<'c>(&self, covers: &[&'c str], version: Version) -> Vec<&'c str> {
        covers.iter().copied().filter(|id| self.binds(id, version)).collect()
    }

    /// Every requirement with where it stands, given all that cases cover.
    pub fn coverage<'c>(
        &self,
        covers: impl IntoIterator<Item = &'c str>,
    ) -> impl Iterator<Item = (&Requirement, Coverage)> {
        let covered: BTreeSet<_> = covers.into_iter().collect();
        self.iter().map(move |each| (each, Coverage::of(each, covered.contains(each.id.as_str()))))
    }
}

impl<'a> IntoIterator for &'a Catalogue {
    type Item = &'a Requirement;
    type IntoIter = std::slice::Iter<'a, Requirement>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The version whose standard an id belongs to.
pub fn home(id: &str) -> Option<Version> {
    let (name, _) = id.split_once(':')?;
    FILES.iter().find(|(_, file, _)| *file == name).map(|(version, ..)| *version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binding() {
        fn check(id: &str, expect: &[Version]) {
            assert_eq!(catalogue().versions_of(&[id]), expect, "{id}");
        }
        check("mqtt5:3.1.2-22", &[Version::V5]);
        check("mqtt5:ext-070", &[Version::V5]);
        check("mqtt31:diff-013", &[Version::V31]);
        check("mqtt311:4.3.3-2", &[Version::V31, Version::V311]);
        check("mqtt311:ext-033", &[Version::V31, Version::V311]);
        // Replaced by mqtt31:diff-013.
        check("mqtt311:3.1.4-2", &[Version::V311]);
        check("mqtt311:3.1.4-99", &[]);
        check("mqtt4:3.1.4-2", &[]);
        check("", &[]);
    }

    #[test]
    fn clauses() {
        fn check(version: Version, expect: &[&str]) {
            let covers = ["mqtt5:3.1.4-3", "mqtt311:3.1.4-2", "mqtt31:diff-013", "mqtt311:4.3.3-2"];
            assert_eq!(catalogue().clauses(&covers, version), expect);
        }
        check(Version::V31, &["mqtt31:diff-013", "mqtt311:4.3.3-2"]);
        check(Version::V311, &["mqtt311:3.1.4-2", "mqtt311:4.3.3-2"]);
        check(Version::V5, &["mqtt5:3.1.4-3"]);
    }

    #[test]
    fn names() {
        fn check(name: &str, expect: Option<&str>) {
            assert_eq!(catalogue().get(name).map(|requirement| requirement.id.as_str()), expect);
        }
        check("mqtt311:3.1.2-7", Some("mqtt311:3.1.2-7"));
        check("mqtt311:3.1.2.7", Some("mqtt311:3.1.2-7"));
        check("mqtt5:3.1.2-999", None);
    }

    #[test]
    fn labels() {
        fn check(label: &str, expect: &[&str]) {
            assert_eq!(catalogue().labelled(label).map(|each| each.id.as_str()).collect::<Vec<_>>(), expect, "{label}");
        }
        check("MQTT-3.1.2-22", &["mqtt311:3.1.2-22", "mqtt5:3.1.2-22"]);
        check("[MQTT-4.8.2-1]", &["mqtt5:4.8.2-1"]);
        check("MQTT-9.9.9-9", &[]);
        check("3.1.2-22", &[]);
        check("MQTT-", &[]);
    }
}

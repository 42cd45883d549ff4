//! A scenario as its file says it: what serde reads, with spans and the like still as text. What it means, and whether it
//! can be, is decided in `check`, which knows where each word stands and names every problem at once.
//!
//! Every field but the few without which there is no scenario has a default, and a field that is not known is an error.
//! `flatten` and `untagged` are absent on purpose: they would take the place out of an error.

mod duty;
mod expectation;
mod group;
mod link;
mod timeline;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use duty::{Day, Duty, Field, Offline, Pattern, Payload};
pub use expectation::{Expectation, Phase};
pub use group::{DutyCycle, Group, Jitter, Reconnect, Session, Starts, Version, Will};
pub use link::{Delay, Lane, Link, Said};
pub use timeline::{Happening, Keeps, Moment, Way};

/// A fleet, its network, what happens to it, and what is expected of the broker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The edition of this form; there is one so far.
    #[serde(default = "one")]
    pub format: u64,
    /// One sentence: what it shows.
    pub about: String,
    /// Where all its randomness comes from, unless the command line says otherwise.
    #[serde(default = "one")]
    pub seed: u64,
    /// How long the weather lasts: faults happen, and devices do their duties.
    pub lasts: String,
    /// How long the calm may last in which all faults are healed, nothing new is published and what is owed must come.
    #[serde(default)]
    pub calm: Option<String>,
    /// The links by name.
    #[serde(default)]
    pub links: BTreeMap<String, Link>,
    /// The regions by name: who stands in one loses contact together.
    #[serde(default)]
    pub regions: BTreeMap<String, Region>,
    /// The groups of devices.
    pub fleet: Vec<Group>,
    /// What happens when.
    #[serde(default)]
    pub timeline: Vec<Moment>,
    /// What must be true in the end.
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

const fn one() -> u64 {
    1
}

/// Where contact is lost now and then, for all who stand there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// On average so long after the last time.
    pub every: String,
    /// On average for so long.
    pub lasts: String,
}

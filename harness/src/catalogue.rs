//! The requirements of a standard, as data.

use serde::{Deserialize, Serialize};

/// How binding a requirement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// MUST or SHALL, also MUST NOT.
    Must,
    /// SHOULD, also SHOULD NOT.
    Should,
    /// MAY: never a deviation.
    May,
}

/// Whom a requirement binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Actor {
    /// The client.
    Client,
    /// The server.
    Server,
    /// Either.
    Both,
}

/// Who can see on the wire whether it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Observed {
    /// A peer of the server: a case with a broker as the system under test can judge it.
    AtServer,
    /// A peer of the client: a case with a client as the system under test can judge it.
    AtClient,
    /// Both.
    AtBoth,
    /// Nobody.
    Internally,
}

/// One rule of a standard, in our own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// `spec:number`, never renumbered: `mqtt5:3.1.2-22`, `mqtt311:ext-033`, `mqtt31:diff-013`.
    pub id: String,
    /// Number and title of the section.
    pub section: String,
    /// How binding.
    pub level: Level,
    /// Whom it binds.
    pub actor: Actor,
    /// Who can see it.
    pub observed: Observed,
    /// The rule.
    pub rule: String,
    /// What brings it about.
    #[serde(default)]
    pub stimulus: String,
    /// What is then legal.
    #[serde(default)]
    pub expected: String,
    /// Remarks: options left open, bugs the field has had.
    #[serde(default)]
    pub note: String,
    /// Its source has not been checked twice; doubt it before a verdict rests on it.
    #[serde(default)]
    pub unverified: bool,
    /// For a requirement of an older version: other requirements that it replaces there (`mqtt31:diff-013` replaces
    /// `mqtt311:3.1.4-2` under 3.1).
    #[serde(default)]
    pub replaces: Vec<String>,
    /// Why no case judges it, where none does.
    #[serde(default)]
    pub exception: Option<String>,
}

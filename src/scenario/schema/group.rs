//! Who the devices are: their names, versions, sessions and wills, and how they connect and come back.

use serde::{Deserialize, Deserializer};

use super::Duty;

/// Devices of one kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name, which no other group has.
    pub name: String,
    /// How many devices.
    pub count: u64,
    /// The name of their link; a perfect one if absent.
    #[serde(default)]
    pub link: Option<String>,
    /// How many devices share the outages of their link, as a cell or a train does; each has its own if absent.
    #[serde(default)]
    pub share_outages: Option<u64>,
    /// The region they stand in, whose outages take the place of those of their link.
    #[serde(default)]
    pub region: Option<String>,
    /// How many devices have each client identifier, by mistake; 1 if absent.
    #[serde(default)]
    pub clones: Option<u64>,
    /// The version they speak.
    #[serde(default)]
    pub version: Version,
    /// Template of their client identifiers.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Template of their user names.
    #[serde(default)]
    pub username: Option<String>,
    /// Template of their passwords.
    #[serde(default)]
    pub password: Option<String>,
    /// Whether they use TLS; only on real sockets, where the target has such a listener.
    #[serde(default)]
    pub tls: bool,
    /// Keep alive.
    #[serde(default)]
    pub keep_alive: Option<String>,
    /// Their sessions.
    #[serde(default)]
    pub session: Session,
    /// Their will.
    #[serde(default)]
    pub will: Option<Will>,
    /// How they come back.
    #[serde(default)]
    pub reconnect: Reconnect,
    /// How long they wait for an answer before they give the connection up.
    #[serde(default)]
    pub patience: Option<String>,
    /// When they first connect.
    #[serde(default)]
    pub starts: Starts,
    /// How many messages they keep while they cannot send.
    #[serde(default)]
    pub queue: Option<u64>,
    /// How many parts in a million their clocks run fast or slow at most.
    #[serde(default)]
    pub clock_drift_ppm: f64,
    /// Bytes in a second that they read; all that comes if absent.
    #[serde(default)]
    pub reads: Option<u64>,
    /// Connects for so long, then takes its leave and stays away for so long, over and over.
    #[serde(default)]
    pub duty_cycle: Option<DutyCycle>,
    /// Their duties.
    #[serde(default)]
    pub does: Vec<Duty>,
}

/// A version of MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Version {
    /// 3.1.
    V31,
    /// 3.1.1.
    V311,
    /// 5.0.
    #[default]
    V5,
}

/// What outlives a connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// Clean start, or clean session before 5.0; true if absent.
    pub clean_start: Option<bool>,
    /// For how long it outlives the connection. Only 5.0 has it.
    pub expiry: Option<String>,
}

/// A will.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Will {
    /// Template of its topic.
    pub topic: String,
    /// What it says, before the tag by which the ledger knows it.
    #[serde(default)]
    pub payload: String,
    /// Its QoS.
    #[serde(default)]
    pub qos: u64,
    /// Whether it is retained.
    #[serde(default)]
    pub retain: bool,
    /// How long it is held back. Only 5.0 has it.
    #[serde(default)]
    pub delay: Option<String>,
    /// The share of the group that has one; all if absent.
    #[serde(default)]
    pub share: Option<f64>,
}

/// How a device comes back.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reconnect {
    /// One of the habits met in the field; what else is said here changes it.
    pub like: Option<String>,
    /// The wait after the first failure; it doubles with each further one.
    pub first: Option<String>,
    /// The longest wait.
    pub max: Option<String>,
    /// How the wait is drawn.
    #[serde(deserialize_with = "said")]
    pub jitter: Option<Jitter>,
    /// How long a connection must have stood for the next failure to count as the first.
    pub stable: Option<String>,
    /// Whether it comes back although it was told that another device of its name took its session over.
    pub after_takeover: Option<bool>,
}

/// What is said of a field, where `None` is a value of its own and not that nothing is said.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// How a wait is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Jitter {
    /// From nothing to the whole wait.
    Full,
    /// From half of the wait to the whole.
    Half,
    /// Always the whole wait.
    None,
}

/// When the devices of a group first connect.
#[derive(Clone, Debug, Default, Deserialize)]
pub enum Starts {
    /// All at the beginning.
    #[default]
    AtOnce,
    /// Evenly over a span.
    Ramp(String),
    /// As independent arrivals, so many in a second.
    Arrivals(f64),
    /// All at one moment.
    At(String),
}

/// Connected now and then.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DutyCycle {
    /// For how long it is connected.
    pub on: String,
    /// For how long it is not.
    pub off: String,
}

//! What must be true in the end.

use serde::{Deserialize, Serialize};

/// What must be true in the end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Expectation {
    /// Nothing that was owed is missing.
    NoLoss {
        /// Of this QoS.
        #[serde(default)]
        qos: Option<u64>,
        /// Written or read by this group.
        #[serde(default)]
        group: Option<String>,
    },
    /// Nothing came twice that must not.
    NoDuplicates {
        /// Of this QoS.
        #[serde(default)]
        qos: Option<u64>,
        /// Written or read by this group.
        #[serde(default)]
        group: Option<String>,
    },
    /// Nothing overtook what was written before it.
    InOrder,
    /// Nothing came that had expired before the broker began to send it.
    NoneExpired,
    /// Each will that was due came, and no other.
    WillsExact,
    /// Whoever subscribed in the end would get, for each topic, the last message that was accepted to be kept there, and
    /// nothing else.
    RetainedExact,
    /// The broker told the truth about sessions it had.
    SessionsTrue,
    /// Whoever lost its connection to the timeline or to its region was connected again so long after that ended, and nobody
    /// has been without one for longer in the end, but for clones that gave way to another of their name.
    ReconnectedWithin(String),
    /// From the intended moment of publishing to the arrival.
    Latency {
        /// Percentile.
        p: f64,
        /// The limit.
        below: String,
        /// In this phase; in both if absent.
        #[serde(default)]
        phase: Option<Phase>,
        /// Written by this group.
        #[serde(default)]
        group: Option<String>,
        /// Of this QoS.
        #[serde(default)]
        qos: Option<u64>,
    },
    /// At least this share of all that was sent arrived; the one thing to expect of QoS 0.
    Delivered {
        /// The share.
        share: f64,
        /// Of this QoS.
        #[serde(default)]
        qos: Option<u64>,
        /// Written by this group.
        #[serde(default)]
        group: Option<String>,
    },
    /// Questions were answered in time.
    Answered {
        /// At least this share of them.
        share: f64,
        /// Asked by this group.
        #[serde(default)]
        group: Option<String>,
    },
}

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Faults happen.
    Weather,
    /// All faults are healed.
    Calm,
}

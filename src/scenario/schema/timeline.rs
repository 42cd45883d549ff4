//! What happens when.

use serde::Deserialize;

/// Something that happens at a moment.
#[derive(Clone, Debug, Deserialize)]
pub enum Moment {
    /// At this moment of the run.
    At(String, Happening),
}

/// What happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Happening {
    /// Silence both ways.
    Cut {
        /// To whom.
        group: String,
        /// To what share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// Healed by itself after this; by `Heal` if absent.
        #[serde(default)]
        lasts: Option<String>,
        /// One way only.
        #[serde(default)]
        only: Option<Way>,
    },
    /// The connections are torn down (RST).
    Reset {
        /// To whom.
        group: String,
        /// To what share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// Only when so many bytes more have passed, and so perhaps in the middle of a packet.
        #[serde(default)]
        after: Option<u64>,
        /// Which way these bytes pass; up if absent.
        #[serde(default)]
        only: Option<Way>,
    },
    /// All packets wait: the radio changes cells.
    Handover {
        /// To whom.
        group: String,
        /// To what share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// For how long.
        lasts: String,
    },
    /// The connections pass nothing any more, and neither end is told. New ones are not concerned.
    HalfOpen {
        /// To whom.
        group: String,
        /// To what share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
    },
    /// Devices read slowly.
    Slow {
        /// Who.
        group: String,
        /// What share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// Bytes in a second; nothing at all if 0.
        reads: u64,
        /// Healed by itself after this; by `Heal` if absent.
        #[serde(default)]
        lasts: Option<String>,
    },
    /// Ends whatever was done to the group.
    Heal {
        /// To whom.
        group: String,
    },
    /// Bytes arrive one by one.
    Dribble {
        /// To whom.
        group: String,
        /// To what share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// Healed by itself after this; by `Heal` if absent.
        #[serde(default)]
        lasts: Option<String>,
    },
    /// Devices take their leave and come back after a span.
    Leave {
        /// Who.
        group: String,
        /// What share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// For how long; for good if absent.
        #[serde(default)]
        lasts: Option<String>,
    },
    /// The broker is started again.
    Restart {
        /// `broker` is all there is.
        node: String,
        /// What it still has afterwards.
        #[serde(default)]
        keeps: Keeps,
        /// For how long it is away.
        #[serde(default)]
        lasts: Option<String>,
    },
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Way {
    /// From the device.
    Up,
    /// To the device.
    Down,
}

/// What a broker still has after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Keeps {
    /// Nothing.
    #[default]
    Nothing,
    /// Sessions, retained messages and what was on the way.
    State,
}

//! The links of a scenario: one of those that come with this tool, or one described field by field.

use ron::value::RawValue;
use serde::{Deserialize, Deserializer};

/// A link.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::large_enum_variant,
    reason = "a scenario has few links, and a box would stand between `Link` and its fields"
)]
pub enum Link {
    /// One of those that `testament link list` names.
    Profile(String),
    /// One described here. What has the name of a field of [`harness::link::Profile`] has its form too, so that the
    /// content of a file which holds a profile is a link when `Link` stands before it.
    Link {
        /// What it is like but for what follows; a perfect link if absent.
        #[serde(default)]
        like: Option<String>,
        /// How long packets take one way: in place of `rtt` and `jitter`.
        #[serde(default)]
        delay: Option<Delay>,
        /// The share of packets lost each way.
        #[serde(default)]
        loss: Option<f64>,
        /// Kilobits in a second each way.
        #[serde(default)]
        kbit: Option<u64>,
        /// Whether the translator of addresses answers what comes too late with a reset; else that vanishes.
        #[serde(default)]
        nat_resets: bool,
        /// From the device, where that differs from `loss` and `kbit`.
        #[serde(default)]
        up: Lane,
        /// To the device.
        #[serde(default)]
        down: Lane,
        /// One line on what it stands for.
        #[serde(default)]
        about: Said,
        /// Where its numbers come from.
        #[serde(default)]
        sources: Said,
        /// Round-trip time, as quantiles.
        #[serde(default)]
        rtt: Said,
        /// For how long that stays as it is.
        #[serde(default)]
        coherence: Said,
        /// Up to so much more for each packet.
        #[serde(default)]
        jitter: Said,
        /// Losses in spells.
        #[serde(default)]
        bursts: Said,
        /// Spells in which packets are held.
        #[serde(default)]
        gaps: Said,
        /// Spells in which all is lost.
        #[serde(default)]
        outages: Said,
        /// Coming back from idle.
        #[serde(default)]
        promotion: Said,
        /// Sleep cycles.
        #[serde(default)]
        sleep: Said,
        /// After how long of silence the translator of addresses forgets: as in a profile, or one span for all devices.
        #[serde(default)]
        nat: Said,
        /// The stack of the device.
        #[serde(default)]
        stack: Said,
        /// The largest packet.
        #[serde(default)]
        mtu: Said,
    },
}

/// A value that is read when the scenario is checked, so that what is wrong with it is told beside all else. `None` is a
/// value too: it takes away what the link would have had.
#[derive(Clone, Debug, Default)]
pub struct Said(Option<Box<RawValue>>);

impl Said {
    /// The text, where something is said.
    pub fn text(&self) -> Option<&str> {
        self.0.as_deref().map(|value| value.trim().get_ron())
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(from).map(|value| Self(Some(value)))
    }
}

/// One direction. What is not said stays as it was.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lane {
    /// Kilobits in a second; 0 is without limit.
    pub kbit: Option<u64>,
    /// Bytes that may wait for that rate; what comes on top is dropped.
    pub queue: Option<u64>,
    /// The share of packets lost.
    pub loss: Option<f64>,
}

/// How long packets take one way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// On average.
    pub mean: String,
    /// Up to so much more for each packet.
    #[serde(default)]
    pub jitter: Option<String>,
}

//! What a link is like, as data: the form of `fixtures/links/*.ron`.
//!
//! A profile says what a *radio* does; what TCP makes of it follows from the two stacks. Times are words with a unit
//! (`250ms`, `1.5s`, `5m`), rates are kilobits in a second, shares lie between 0 and 1. Every field has a default that
//! impairs nothing.

use std::fmt;
use std::time::Duration;

use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::stream::Stack;
use crate::rng::Draws;

/// A span of time that reads as `250ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Units, longest first, in nanoseconds.
const UNITS: [(&str, f64); 6] = [("d", 86_400e9), ("h", 3_600e9), ("m", 60e9), ("s", 1e9), ("ms", 1e6), ("us", 1e3)];

impl Span {
    /// So many milliseconds.
    pub const fn ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// Reads `250ms`, `1.5s`, `5m`, `2h` or `30us`.
    ///
    /// # Errors
    /// What is wrong with it and how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = unit.trim();
        let nanos = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, nanos)| nanos);
        match (number.parse::<f64>(), nanos) {
            (Ok(number), Some(nanos)) if number * nanos < 1e18 => {
                Ok(Self(Duration::from_nanos((number * nanos) as u64)))
            }
            (Ok(_), None) if unit.is_empty() => Err(format!("`{text}` has no unit; write 250ms, 30s, 5m or 2h")),
            _ => Err(format!("`{text}` is no span of time; write 250ms, 30s, 5m or 2h")),
        }
    }

    /// Seconds.
    pub const fn secs(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos() as f64;
        if nanos == 0.0 {
            return f.write_str("0s");
        }
        // One digit behind the point at most, as far as units allow it: nobody counts in hundredths of a minute.
        let fits = |&&(_, unit): &&(&str, f64)| nanos >= unit && (nanos / unit * 10.0) % 1.0 < 1e-6;
        let (name, unit) = UNITS.iter().find(fits).unwrap_or(&("us", 1e3));
        write!(f, "{}{name}", nanos / unit)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span of time in quotes, such as \"250ms\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
                Span::parse(text).map_err(E::custom)
            }
        }
        from.deserialize_str(Words)
    }
}

/// A number between 0 and 1.
fn share<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(from)?;
    if (0.0..=1.0).contains(&share) {
        return Ok(share);
    }
    Err(D::Error::invalid_value(Unexpected::Float(share), &"a share between 0 and 1 (2 % is 0.02)"))
}

/// A distribution by some of its quantiles, straight between them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Quantiles(Vec<(f64, Span)>);

impl Quantiles {
    /// Always `span`.
    pub fn constant(span: Span) -> Self {
        Self(vec![(0.0, span)])
    }

    /// Those points: shares rising within 0 to 1, spans not falling.
    ///
    /// # Errors
    /// Which rule they break.
    pub fn new(points: Vec<(f64, Span)>) -> Result<Self, String> {
        if points.is_empty() {
            return Err("a distribution needs at least one point, such as (0.5, \"60ms\")".to_owned());
        }
        if points.iter().any(|point| !(0.0..=1.0).contains(&point.0)) {
            return Err(
                "the first number of a point is a share between 0 and 1: (0.95, \"80ms\") is the 95th percentile"
                    .into(),
            );
        }
        if points.windows(2).any(|two| two[0].0 >= two[1].0 || two[0].1 > two[1].1) {
            return Err("the points of a distribution must rise, first by share, then by span".to_owned());
        }
        Ok(Self(points))
    }

    /// The points.
    pub fn points(&self) -> &[(f64, Span)] {
        &self.0
    }

    /// The largest.
    fn longest(&self) -> Span {
        self.0.last().map_or(Span::default(), |point| point.1)
    }

    /// The mean of all values, in seconds.
    fn mean(&self) -> f64 {
        let ends = [0.0, 1.0].map(|share| (share, Span(self.at(share))));
        let points: Vec<_> = ends[..1].iter().chain(&self.0).chain(&ends[1..]).collect();
        points.windows(2).map(|two| (two[1].0 - two[0].0) * (two[0].1.secs() + two[1].1.secs()) / 2.0).sum()
    }

    /// The span below which this share of all values lies.
    pub fn at(&self, share: f64) -> Duration {
        let above = self.0.partition_point(|point| point.0 <= share);
        let (low, high) = (self.0.get(above.wrapping_sub(1)), self.0.get(above));
        match (low, high) {
            (Some(low), Some(high)) => {
                let part = (share - low.0) / (high.0 - low.0);
                low.1.0 + (high.1.0 - low.1.0).mul_f64(part)
            }
            (Some(end), None) | (None, Some(end)) => end.1.0,
            (None, None) => Duration::ZERO,
        }
    }
}

impl<'de> Deserialize<'de> for Quantiles {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// How long a spell of something lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Spell {
    /// Memoryless, with this mean.
    Exponential(Span),
    /// Heavy-tailed: this mean, and this shape (above 1; the nearer to 1, the heavier).
    Pareto(Span, f64),
    /// Lognormal, by its median and its 95th percentile.
    Lognormal(Span, Span),
    /// By quantiles.
    Drawn(Quantiles),
}

impl Spell {
    /// What makes it no distribution, if anything.
    fn problem(&self) -> Option<&'static str> {
        Some(match self {
            Self::Pareto(_, shape) if !(*shape > 1.0 && *shape <= 1e6) => {
                "a Pareto shape must be above 1, else it has no mean"
            }
            Self::Lognormal(median, p95) if p95 <= median || median.0.is_zero() => {
                "a lognormal needs a median above zero and a 95th percentile above that"
            }
            Self::Exponential(mean) | Self::Pareto(mean, _) if mean.0.is_zero() => "a mean of zero never ends",
            _ => return None,
        })
    }

    /// The longest of the spans that it is made of.
    fn scale(&self) -> Span {
        match self {
            Self::Exponential(span) | Self::Pareto(span, _) | Self::Lognormal(_, span) => *span,
            Self::Drawn(quantiles) => quantiles.longest(),
        }
    }

    /// What it lasts on average, in seconds.
    pub(super) fn mean(&self) -> f64 {
        match self {
            Self::Exponential(mean) | Self::Pareto(mean, _) => mean.secs(),
            Self::Lognormal(median, p95) => {
                let spread = libm::log(p95.secs() / median.secs()) / 1.644_853_6;
                median.secs() * libm::exp(spread * spread / 2.0)
            }
            Self::Drawn(quantiles) => quantiles.mean(),
        }
    }

    /// One draw.
    pub fn draw(&self, draws: &mut Draws) -> Duration {
        let span = |secs: f64| Duration::from_nanos((secs * 1e9).clamp(0.0, 1e18) as u64);
        match self {
            Self::Exponential(mean) => span(mean.secs() * draws.exponential()),
            Self::Pareto(mean, shape) => {
                let least = mean.secs() * (shape - 1.0) / shape;
                span(least * libm::pow(1.0 - draws.unit(), -1.0 / shape))
            }
            Self::Lognormal(median, p95) => {
                let spread = libm::log(p95.secs() / median.secs()) / 1.644_853_6;
                span(median.secs() * libm::exp(spread * draws.normal()))
            }
            Self::Drawn(quantiles) => quantiles.at(draws.unit()),
        }
    }
}

/// What a packet takes at most there and back, and what it waits at most on top.
const LONGEST_RTT: Span = Span(Duration::from_secs(120));
const LONGEST_WAIT: Span = Span(Duration::from_secs(60));
/// What a spell, a cycle of sleep or a silence lasts at most.
const LONGEST_SPELL: Span = Span(Duration::from_secs(31 * 86_400));
const SHORTEST_CYCLE: Span = Span::ms(1);
/// No translator of addresses forgets sooner.
const SHORTEST_IDLE: Span = Span::ms(1_000);
const MOST_KBIT: u32 = 10_000_000;
const MOST_IDLES: usize = 1_000;

/// One direction of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lane {
    /// Kilobits in a second; 0 is without limit.
    pub kbit: u32,
    /// Bytes that may wait for that rate; what comes on top is dropped.
    pub queue: u32,
    /// The share of packets lost independently of each other.
    #[serde(deserialize_with = "share")]
    pub loss: f64,
}

impl Default for Lane {
    fn default() -> Self {
        Self { kbit: 0, queue: 65_536, loss: 0.0 }
    }
}

/// Losses that come in spells of time (Gilbert-Elliott): never "per packet", since a thin stream in a stall sends none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// How long the good times last.
    pub good: Spell,
    /// How long the bad times last.
    pub bad: Spell,
    /// The share lost in a bad time.
    #[serde(deserialize_with = "share")]
    pub loss: f64,
    /// Whether both directions have the same spells (a faded radio) or each its own.
    #[serde(default)]
    pub shared: bool,
}

/// Something that comes now and then, and lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spells {
    /// From the end of one to the begin of the next.
    pub every: Spell,
    /// How long.
    pub lasts: Spell,
}

/// The radio goes to sleep when idle, and takes time to come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// Idle for so long.
    pub idle: Span,
    /// What the first packet then waits.
    pub delay: Quantiles,
}

/// How a device that sleeps can be reached. The network holds what is for it until then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Sleep {
    /// It listens once in a cycle (eDRX).
    Edrx {
        /// Once it has been idle for so long.
        after: Span,
        /// The cycle.
        cycle: Span,
    },
    /// It is off (PSM) until it sends.
    Psm {
        /// Once it has been idle for so long (T3324).
        after: Span,
        /// It listens again after so long at the latest (T3412).
        cycle: Span,
    },
}

/// A translator of addresses on the way forgets connections that say nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nat {
    /// After how long, with what weight: one is drawn for each device.
    pub idle: Vec<(f64, Span)>,
    /// Whether the next packet is answered by a reset. Otherwise it vanishes.
    #[serde(default)]
    pub reset: bool,
}

/// Everything a link is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// One line on what it stands for.
    pub about: String,
    /// Where each number comes from, or "engineering default".
    pub sources: Vec<(String, String)>,
    /// Round-trip time with the radio connected and the queues empty; half of it each way.
    pub rtt: Quantiles,
    /// For how long the round-trip time stays as it is before the next is drawn.
    pub coherence: Span,
    /// Up to so much more for each packet, uniformly. Packets never overtake each other.
    pub jitter: Span,
    /// From the device.
    pub up: Lane,
    /// To the device.
    pub down: Lane,
    /// Losses in spells.
    pub bursts: Option<Bursts>,
    /// Spells in which packets are held, not lost: handover, scheduling gaps.
    pub gaps: Option<Spells>,
    /// Spells in which all is lost. Devices that share them (a cell, a train) are given the same [`super::Outages`].
    pub outages: Option<Spells>,
    /// Coming back from idle.
    pub promotion: Option<Promotion>,
    /// Sleep cycles.
    pub sleep: Option<Sleep>,
    /// What the translator of addresses does.
    pub nat: Option<Nat>,
    /// The stack of the device; the other end runs Linux.
    pub stack: Stack,
    /// Largest packet on the link, headers included.
    pub mtu: u16,
}

impl Default for Profile {
    /// Constant, instant and without limit.
    fn default() -> Self {
        Self {
            about: String::new(),
            sources: Vec::new(),
            rtt: Quantiles::constant(Span::default()),
            coherence: Span::ms(1000),
            jitter: Span::default(),
            up: Lane::default(),
            down: Lane::default(),
            bursts: None,
            gaps: None,
            outages: None,
            promotion: None,
            sleep: None,
            nat: None,
            stack: Stack::Linux,
            mtu: 1400,
        }
    }
}

impl Profile {
    /// A link that only takes time: `rtt` there and back.
    pub fn constant(rtt: Duration) -> Self {
        Self { rtt: Quantiles::constant(Span(rtt)), ..Self::default() }
    }

    /// All that cannot be, or makes no sense together: the path of the field, such as `bursts.good`, and what to write
    /// there.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut say = |field, why: String| problems.push((field, why));
        let mut spans = vec![("rtt", self.rtt.longest(), LONGEST_RTT), ("jitter", self.jitter, LONGEST_WAIT)];
        if let Some(Promotion { idle, delay }) = &self.promotion {
            spans
                .extend([("promotion.idle", *idle, LONGEST_SPELL), ("promotion.delay", delay.longest(), LONGEST_WAIT)]);
        }
        if let Some(Sleep::Edrx { after, cycle } | Sleep::Psm { after, cycle }) = &self.sleep {
            spans.extend([("sleep.after", *after, LONGEST_SPELL), ("sleep.cycle", *cycle, LONGEST_SPELL)]);
            if *cycle < SHORTEST_CYCLE {
                say("sleep.cycle", format!("`{cycle}` is too short; write {SHORTEST_CYCLE} or more"));
            }
        }
        let lanes = [("up.kbit", "up.queue", &self.up), ("down.kbit", "down.queue", &self.down)];
        for (rate, queue, lane) in lanes {
            if lane.kbit > MOST_KBIT {
                say(rate, format!("{} is out of range; write 1 to {MOST_KBIT}, or 0 for no limit", lane.kbit));
            }
            if lane.kbit > 0 && lane.queue < u32::from(self.mtu) {
                say(queue, format!("a queue of {} bytes never takes a packet of {}", lane.queue, self.mtu));
            }
        }
        let bursts = self.bursts.iter().flat_map(|it| [("bursts.good", &it.good), ("bursts.bad", &it.bad)]);
        let gaps = self.gaps.iter().flat_map(|it| [("gaps.every", &it.every), ("gaps.lasts", &it.lasts)]);
        let outages = self.outages.iter().flat_map(|it| [("outages.every", &it.every), ("outages.lasts", &it.lasts)]);
        for (field, spell) in bursts.chain(gaps).chain(outages) {
            if let Some(why) = spell.problem() {
                say(field, why.to_owned());
            }
            spans.push((field, spell.scale(), LONGEST_SPELL));
        }
        if let Some(Nat { idle, .. }) = &self.nat {
            let weights = || idle.iter().map(|(weight, _)| *weight);
            if weights().any(|weight| !(0.0..=1e9).contains(&weight)) || weights().sum::<f64>() <= 0.0 {
                say("nat.idle", "needs a weight above zero, and none below, such as [(1.0, \"5m\")]".to_owned());
            }
            if idle.len() > MOST_IDLES {
                say("nat.idle", format!("there are {} spans; {MOST_IDLES} at most", idle.len()));
            }
            if let Some((_, idle)) = idle.iter().find(|(_, idle)| *idle < SHORTEST_IDLE) {
                say("nat.idle", format!("`{idle}` is too short; write {SHORTEST_IDLE} or more"));
            }
            spans.extend(idle.iter().map(|(_, idle)| ("nat.idle", *idle, LONGEST_SPELL)));
        }
        if !(576..=9_000).contains(&self.mtu) {
            say("mtu", format!("{} is outside 576 to 9000 bytes", self.mtu));
        }
        let loses = self.up.loss > 0.0 || self.down.loss > 0.0 || self.bursts.is_some() || self.outages.is_some();
        if self.stack == Stack::Ideal && loses {
            say("stack", "Ideal sends nothing again, and this link loses packets; write another stack".to_owned());
        }
        for (field, span, most) in spans.into_iter().filter(|(_, span, most)| span > most) {
            say(field, format!("`{span}` is too long; write {most} or less"));
        }
        problems
    }
}

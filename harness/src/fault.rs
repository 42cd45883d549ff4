//! What can be done to a link on purpose, as commands: by a timeline, or at random.

use serde::{Deserialize, Serialize};

use crate::link::{End, Link, Reading, Span, Stream, Way};
use crate::rng::Draws;
use crate::time::Instant;

/// One command.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fault {
    /// Nothing passes in either direction, until `Heal`. TCP repeats itself meanwhile and carries on afterwards.
    Cut,
    /// Nothing from the device passes.
    CutUp,
    /// Nothing to the device passes.
    CutDown,
    /// Ends every cut, and lets both ends read at once again.
    Heal,
    /// All packets wait, for so long: a handover.
    Handover(Span),
    /// The connection is reset, both ways, at once.
    Reset,
    /// The connection is reset, both ways, when the end has been given so many bytes more: in the middle of a packet.
    ResetAfter(Side, u32),
    /// The connection passes nothing any more and neither end is told. The device's next connection is not concerned.
    HalfOpen,
    /// Both ends are given one byte, then none for so long: everything comes in crumbs.
    Dribble(Span),
    /// The end reads so many bytes in a second.
    SlowReader(Side, u32),
    /// The end reads nothing.
    StopReading(Side),
    /// The device is gone without a word: power, cable.
    Vanish,
}

/// Which end, in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// The device.
    Device,
    /// What it is connected to.
    Server,
}

impl From<Side> for End {
    fn from(side: Side) -> Self {
        match side {
            Side::Device => Self::Device,
            Side::Server => Self::Server,
        }
    }
}

impl Fault {
    /// Does it. What concerns the connection needs one; what concerns the link outlives it.
    pub fn apply(self, now: Instant, link: &mut Link, mut stream: Option<&mut Stream>) {
        if let Some(stream) = stream.as_deref_mut() {
            for end in End::BOTH {
                if let Some(reading) = self.reading(end) {
                    stream.read(now, link, end, reading);
                }
            }
        }
        match self {
            Self::Cut => Way::BOTH.into_iter().for_each(|way| link.cut(way, true)),
            Self::CutUp => link.cut(Way::Up, true),
            Self::CutDown => link.cut(Way::Down, true),
            Self::Heal => Way::BOTH.into_iter().for_each(|way| link.cut(way, false)),
            Self::Handover(span) => link.hold(now + span.0),
            // How an end reads was said above.
            Self::Dribble(_) | Self::SlowReader(..) | Self::ResetAfter(..) | Self::StopReading(_) => {}
            Self::Reset => {
                if let Some(stream) = stream {
                    stream.reset(now, link);
                }
            }
            Self::HalfOpen => {
                if let Some(stream) = stream {
                    stream.sever();
                }
            }
            Self::Vanish => {
                if let Some(stream) = stream {
                    stream.vanish(now, link, End::Device);
                }
            }
        }
    }

    /// Whether it holds until it is healed; all else is over once it is done.
    pub const fn lasts(self) -> bool {
        match self {
            Self::Cut | Self::CutUp | Self::CutDown => true,
            Self::Dribble(_) | Self::SlowReader(..) | Self::StopReading(_) => true,
            Self::Heal | Self::Handover(_) | Self::Reset | Self::ResetAfter(..) | Self::HalfOpen | Self::Vanish => {
                false
            }
        }
    }

    /// How `end` reads from now on, if this changes it.
    pub fn reading(self, end: End) -> Option<Reading> {
        let (side, reading) = match self {
            Self::Heal => return Some(Reading::Prompt),
            Self::Dribble(span) => return Some(Reading::Paced(1, span.0)),
            Self::SlowReader(side, rate) => (side, Reading::at_rate(rate)),
            Self::ResetAfter(side, bytes) => (side, Reading::UntilReset(bytes)),
            Self::StopReading(side) => (side, Reading::Stopped),
            _ => return None,
        };
        (End::from(side) == end).then_some(reading)
    }

    /// A fault that a `Heal` ends with no harm done to the connection.
    pub fn healing(draws: &mut Draws) -> Self {
        let side = if draws.unit() < 0.5 { Side::Device } else { Side::Server };
        let span = Span::ms(1 + draws.u64() % 3_000);
        match draws.u64() % 7 {
            0 => Self::Cut,
            1 => Self::CutUp,
            2 => Self::CutDown,
            3 => Self::Handover(span),
            4 => Self::Dribble(Span::ms(1 + draws.u64() % 50)),
            5 => Self::SlowReader(side, 10 + (draws.u64() % 10_000) as u32),
            _ => Self::StopReading(side),
        }
    }
}

//! What goes over the wire.

/// Bytes from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Linux reports no more with timestamps on: three ranges, and of these one may be what came twice.
pub(super) const MOST_SACKS: usize = 3;

/// What every segment says of the other direction.
#[derive(Clone, Debug)]
pub(super) struct Ack {
    pub(super) upto: u64,
    pub(super) edge: u64,
    pub(super) echo: u64,
    /// What came out of order; most of the time nothing did.
    pub(super) sacks: Option<Box<[Range; MOST_SACKS]>>,
}

impl Ack {
    pub(super) fn sacks(&self) -> impl Iterator<Item = Range> {
        self.sacks.iter().flat_map(|ranges| **ranges).take_while(|range| range.end > 0)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// SYN, and its answer.
    Open,
    Answer,
    Data {
        range: Range,
        pushed: bool,
        finishes: bool,
    },
    /// An acknowledgement.
    Plain,
    /// Asks for one.
    Ask,
    Reset,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) body: Body,
    pub(super) ack: Ack,
    /// When it was sent, in milliseconds of the sender's clock.
    pub(super) stamp: u64,
}

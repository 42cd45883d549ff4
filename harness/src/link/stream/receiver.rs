//! The receiving half of one end: putting together what arrives, and when to say so.

use super::segment::{Ack, Body, MOST_SACKS, Range};
use super::sender::Side;
use super::stack::Habits;
use crate::time::Instant;

/// The most acknowledgements that go out at once at the begin, and after anything unusual.
const QUICK: u8 = 16;
/// A receiver takes the peer's segments for no larger than this until it has seen larger ones.
const FIRST_MSS: u32 = 536;
/// No acknowledgement waits longer.
const MOST_PATIENCE: u64 = 200_000;

/// What a receiver knows. Moments in microseconds of its host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Receiver {
    /// The next byte in order, and what was so when an acknowledgement last went out.
    pub(super) next: u64,
    pub(super) told: u64,
    /// How far the application has read.
    pub(super) read: u64,
    /// How long an acknowledgement may wait; 0 before the first data.
    pub(super) patience: u32,
    pub(super) last_data: u64,
    pub(super) quick: u8,
    /// The application answers what it reads, so acknowledgements wait for the answer.
    pub(super) talks_back: bool,
    pub(super) mss: u32,
    /// The timestamp to echo.
    pub(super) echo: u64,
    /// The right edge of the window last offered.
    pub(super) offered: u64,
    /// Where the peer's stream ends, once that is known.
    pub(super) end: Option<u64>,
}

/// What a receiver has not told or not put together yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// What has come too early: the latest first, as SACK reports it.
    early: Vec<Range>,
    /// What came twice, to be reported once.
    twice: Option<Range>,
    /// An acknowledgement is owed, at this moment at the latest.
    pub(super) owed: Option<Instant>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.early.is_empty() && self.twice.is_none() && self.owed.is_none()
    }

    fn note_early(&mut self, range: Range) {
        let mut merged = range;
        // One pass joins all that touch, as they lie apart from each other.
        self.early.retain(|held| {
            let touches = held.start <= merged.end && merged.start <= held.end;
            if touches {
                merged = Range { start: merged.start.min(held.start), end: merged.end.max(held.end) };
            }
            !touches
        });
        self.early.insert(0, merged);
    }

    /// What came early and is now in order is taken over: gives the next byte in order.
    fn join(&mut self, mut next: u64) -> u64 {
        while let Some(nth) = self.early.iter().position(|held| held.start <= next) {
            next = next.max(self.early.remove(nth).end);
        }
        next
    }
}

impl Receiver {
    pub(super) const fn new() -> Self {
        Self {
            next: 0,
            told: 0,
            read: 0,
            patience: 0,
            last_data: 0,
            quick: 0,
            talks_back: false,
            mss: FIRST_MSS,
            echo: 0,
            offered: 0,
            end: None,
        }
    }

    /// What to tell the peer now; it counts as told.
    pub(super) fn acknowledgement(&mut self, held: &mut Held, habits: &Habits, modern: bool) -> Ack {
        self.offered = self.offered.max(self.read + habits.buffer);
        self.told = self.next;
        held.owed = None;
        self.quick = self.quick.saturating_sub(1);
        let mut sacks = None;
        if modern && (held.twice.is_some() || !held.early.is_empty()) {
            let ranges = held.twice.take().into_iter().chain(held.early.iter().copied());
            let mut list = Box::new([Range::default(); MOST_SACKS]);
            for (slot, range) in list.iter_mut().zip(ranges) {
                *slot = range;
            }
            sacks = Some(list);
        }
        Ack { upto: self.next, edge: self.offered, echo: self.echo, sacks }
    }

    /// The timestamp of a segment that is not beyond what was told.
    pub(super) fn note_stamp(&mut self, start: u64, stamp: u64) {
        if start <= self.told {
            self.echo = self.echo.max(stamp);
        }
    }

    /// Whether `range` is so old that its acknowledgement is not looked at.
    pub(super) const fn is_stale(&self, range: Range) -> bool {
        range.end < self.told
    }

    fn quicken(&mut self) {
        self.quick = QUICK;
        self.talks_back = false;
    }
}

impl Side<'_> {
    /// Data has arrived. `reading`: the application takes it at once.
    pub(super) fn receive(&mut self, range: Range, pushed: bool, finishes: bool, reading: bool) {
        let habits = self.habits();
        let modern = self.modern;
        let receiver = &mut self.half.receiver;
        if range.end <= receiver.next {
            // Nothing new: the acknowledgement was lost.
            self.held.twice = Some(range).filter(|_| modern);
            receiver.quicken();
            receiver.patience = habits.delayed_ack as u32;
            return self.emit(Body::Plain);
        }
        if finishes {
            receiver.end = Some(range.end);
        }
        if range.start > receiver.next {
            let known = self.held.early.iter().any(|held| held.start <= range.start && range.end <= held.end);
            if known && modern {
                self.held.twice = Some(range);
            }
            self.held.note_early(range);
            return self.emit(Body::Plain);
        }
        let hole = !self.held.early.is_empty();
        if range.start < receiver.next && modern {
            self.held.twice = Some(Range { start: range.start, end: receiver.next });
        }
        receiver.next = self.held.join(range.end);
        self.heard(range.end - range.start);
        let filled = hole && self.held.early.is_empty();
        self.settle_ack(pushed, filled, reading);
    }

    /// Data came in order: how patient to be with its acknowledgement.
    fn heard(&mut self, length: u64) {
        let (habits, micros, rto) = (self.habits(), self.micros, self.rto());
        let receiver = &mut self.half.receiver;
        receiver.mss = receiver.mss.max(length as u32);
        let gap = micros - receiver.last_data.min(micros);
        let (least, patience) = (habits.delayed_ack, u64::from(receiver.patience));
        let longer = if patience == 0 {
            receiver.quick = receiver.quick.max(QUICK);
            least
        } else if gap <= least / 2 {
            patience / 2 + least / 2
        } else if gap < patience {
            (patience / 2 + gap).min(rto)
        } else {
            if gap > rto {
                receiver.quick = receiver.quick.max(QUICK);
            }
            patience
        };
        receiver.patience = longer as u32;
        receiver.last_data = micros.max(1);
    }

    /// Sends an acknowledgement, or lets it wait for an answer to ride on.
    fn settle_ack(&mut self, pushed: bool, filled: bool, reading: bool) {
        let modern = self.modern;
        let srtt = self.half.sender.estimate.smoothed();
        let linux = self.half.stack.habits().modern;
        let receiver = &mut self.half.receiver;
        let untold = receiver.next - receiver.told;
        let much = if linux { untold > u64::from(receiver.mss) } else { untold >= 2 * self.mss };
        let quick = linux && receiver.quick > 0 && !receiver.talks_back;
        let read = linux && reading && pushed && !receiver.talks_back;
        let twice = modern && self.held.twice.is_some();
        if much || quick || read || filled || twice || !self.held.early.is_empty() {
            return self.emit(Body::Plain);
        }
        let mut wait = u64::from(receiver.patience).min(MOST_PATIENCE.max(self.half.stack.habits().delayed_ack));
        if let Some(srtt) = srtt.filter(|_| linux && wait > 40_000) {
            wait = wait.min(srtt.max(40_000));
        }
        let at = self.ticks.fires(self.now, wait, self.habits());
        self.held.owed = Some(self.held.owed.map_or(at, |before| before.min(at)));
    }

    /// The acknowledgement has waited long enough.
    pub(super) fn delayed_ack(&mut self) {
        let (habits, rto) = (self.habits(), self.rto());
        self.held.owed = None;
        let receiver = &mut self.half.receiver;
        if receiver.talks_back {
            receiver.talks_back = false;
            receiver.patience = habits.delayed_ack as u32;
        } else {
            receiver.patience = u64::from(receiver.patience * 2).min(rto) as u32;
        }
        self.emit(Body::Plain);
    }

    /// The application has read on: says so where the peer thought the window small.
    pub(super) fn tell_window(&mut self) {
        let buffer = self.habits().buffer;
        let receiver = &self.half.receiver;
        let open = receiver.offered - receiver.next.min(receiver.offered);
        let could = receiver.read + buffer - receiver.next.min(receiver.read + buffer);
        if 2 * open <= buffer && could >= 2 * open && could > open {
            self.emit(Body::Plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stack::Stack;
    use super::*;

    /// Early ranges, and what of them is reported after each.
    #[track_caller]
    fn check(early: &[(u64, u64)], next: u64, expect: &[(u64, u64)]) {
        let (mut receiver, mut held) = (Receiver::new(), Held::default());
        for &(start, end) in early {
            held.note_early(Range { start, end });
        }
        receiver.next = held.join(next);
        let ack = receiver.acknowledgement(&mut held, Stack::Linux.habits(), true);
        let told: Vec<_> = ack.sacks().map(|range| (range.start, range.end)).collect();
        assert_eq!(told, expect);
    }

    #[test]
    fn what_came_early_is_told_latest_first_and_joined() {
        check(&[(10, 20), (30, 40)], 0, &[(30, 40), (10, 20)]);
        check(&[(10, 20), (30, 40), (20, 25)], 0, &[(10, 25), (30, 40)]);
        check(&[(10, 20), (30, 40), (20, 30)], 0, &[(10, 40)]);
        check(&[(10, 20), (30, 40)], 10, &[(30, 40)]);
        check(&[(10, 20), (20, 40)], 12, &[]);
    }
}

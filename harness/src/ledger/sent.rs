//! When messages were sent that are still owed, or accepted that did not come yet, to within as much as the size of it allows.

use crate::time::Instant;

/// So many moments are known at most.
const MOMENTS: usize = 64;

/// Some of the messages of a path, with the moments at which they were first sent: all while few are owed, and of many every
/// second, fourth, eighth or so.
#[derive(Debug)]
pub(super) struct Sent {
    known: Vec<(u32, Instant)>,
    /// How far apart they are.
    apart: u32,
}

impl Default for Sent {
    fn default() -> Self {
        Self { known: Vec::new(), apart: 1 }
    }
}

impl Sent {
    /// Message `sequence` was sent `at` this moment.
    pub(super) fn note(&mut self, sequence: u32, at: Instant) {
        if self.known.last().is_some_and(|last| sequence < last.0.saturating_add(self.apart)) {
            return;
        }
        if self.known.len() == MOMENTS {
            let mut keeps = false;
            self.known.retain(|_| {
                keeps = !keeps;
                keeps
            });
            self.apart = self.apart.saturating_mul(2);
        }
        self.known.push((sequence, at));
    }

    /// When message `sequence` was sent, or a known one before it; of one before all of these, when the first of them was.
    pub(super) fn at(&self, sequence: u32) -> Instant {
        let next = self.known.partition_point(|known| known.0 <= sequence);
        self.known.get(next.saturating_sub(1)).map_or(Instant::ZERO, |known| known.1)
    }
}

impl Sent {
    /// By when message `sequence` had surely happened, where what happened to them did so in their order: when it did, or a
    /// known one behind it.
    pub(super) fn by(&self, sequence: u32) -> Option<Instant> {
        self.known.get(self.known.partition_point(|known| known.0 < sequence)).map(|known| known.1)
    }

    /// Forgets messages up to `sequence`.
    pub(super) fn forget(&mut self, sequence: u32) {
        self.known.drain(..self.known.partition_point(|known| known.0 <= sequence));
        if self.known.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of so many messages was sent, as far as is known; one was sent each nanosecond.
    fn moments(messages: u32) -> Vec<u64> {
        let mut sent = Sent::default();
        (0..messages).for_each(|number| sent.note(number, Instant::from_nanos(number.into())));
        assert!(sent.known.len() <= MOMENTS);
        (0..messages).map(|number| sent.at(number).as_nanos()).collect()
    }

    #[test]
    fn of_few_messages_all_moments_are_known_and_of_many_some_before_each() {
        assert!(moments(64).into_iter().eq(0..64));
        for (number, at) in (0..).zip(moments(100_000)) {
            assert!(at <= number && number - at <= 100_000 / 32, "{number}: {at}");
        }
    }

    #[test]
    fn what_was_repeated_out_of_order_counts_as_sent_with_the_first_before_it() {
        let mut sent = Sent::default();
        [(5, 50), (3, 70), (7, 90)].iter().for_each(|&(number, at)| sent.note(number, Instant::from_nanos(at)));
        assert_eq!([2, 5, 6, 7, 8].map(|number| sent.at(number).as_nanos()), [50, 50, 50, 90, 90]);
    }

    #[test]
    fn by_when_something_had_happened_is_known_of_the_next_known_one() {
        let mut sent = Sent::default();
        [(5, 50), (7, 90)].iter().for_each(|&(number, at)| sent.note(number, Instant::from_nanos(at)));
        let by = |sent: &Sent| [4, 5, 6, 7, 8].map(|number| sent.by(number).map(Instant::as_nanos));
        assert_eq!(by(&sent), [Some(50), Some(50), Some(90), Some(90), None]);
        sent.forget(5);
        assert_eq!(by(&sent), [Some(90), Some(90), Some(90), Some(90), None]);
        sent.forget(7);
        assert_eq!(by(&sent), [None; 5]);
    }
}

//! A set of sequence numbers, kept as the ranges it is made of.

use smallvec::SmallVec;

/// Numbers as ascending, disjoint ranges that do not touch. What arrives in order is one range, so its size is that of
/// the gaps and not that of the traffic: 24 bytes without a gap, and 8 bytes more for each range beyond the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(SmallVec<[Range; 1]>);

/// From `first` to `last`, both in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    first: u32,
    last: u32,
}

impl Intervals {
    /// Adds `number`. Tells whether it was new.
    pub fn insert(&mut self, number: u32) -> bool {
        // The first range that ends no earlier than just before `number`: the only one that can take it at its end.
        // What comes in order belongs to the last range, so look there before searching.
        let at = match self.0.last() {
            Some(range) if number <= range.last => {
                self.0.partition_point(|range| u64::from(range.last) + 1 < u64::from(number))
            }
            Some(range) if range.last + 1 == number => self.0.len() - 1,
            _ => self.0.len(),
        };
        let touches_next = |next: Option<&Range>| next.is_some_and(|next| Some(next.first) == number.checked_add(1));
        match self.0.get(at).copied() {
            Some(range) if range.first <= number && number <= range.last => return false,
            Some(range) if range.last < number => {
                self.0[at].last = number;
                if touches_next(self.0.get(at + 1)) {
                    self.0[at].last = self.0.remove(at + 1).last;
                }
            }
            next if touches_next(next.as_ref()) => self.0[at].first = number,
            _ => self.0.insert(at, Range { first: number, last: number }),
        }
        true
    }

    /// Takes `number` out. Tells whether it was there.
    pub fn remove(&mut self, number: u32) -> bool {
        let at = self.0.partition_point(|range| range.last < number);
        let Some(&Range { first, last }) = self.0.get(at).filter(|range| range.first <= number) else { return false };
        match (first == number, last == number) {
            (true, true) => {
                self.0.remove(at);
            }
            (true, false) => self.0[at].first += 1,
            (false, true) => self.0[at].last -= 1,
            (false, false) => {
                self.0[at].last = number - 1;
                self.0.insert(at + 1, Range { first: number + 1, last });
            }
        }
        true
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether `number` is in it.
    pub fn contains(&self, number: u32) -> bool {
        let at = self.0.partition_point(|range| range.last < number);
        self.0.get(at).is_some_and(|range| range.first <= number)
    }

    /// How many numbers are in it.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|range| u64::from(range.last - range.first) + 1).sum()
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The greatest of them.
    pub fn last(&self) -> Option<u32> {
        self.0.last().map(|range| range.last)
    }

    /// How many numbers from `first` to `last`, both meant, are in it.
    pub fn within(&self, first: u32, last: u32) -> u64 {
        let from = self.0.partition_point(|range| range.last < first);
        let ranges = self.0[from..].iter().take_while(|range| range.first <= last);
        ranges.map(|range| u64::from(range.last.min(last) - range.first.max(first)) + 1).sum()
    }

    /// How many numbers are in both.
    pub fn common(&self, other: &Self) -> u64 {
        self.0.iter().map(|range| other.within(range.first, range.last)).sum()
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|range| range.first..=range.last)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn agrees_with_a_set_of_numbers() {
        for seed in 0..200 {
            let mut rng = Rng::stream(seed, "intervals");
            let (mut ours, mut theirs) = (Intervals::default(), BTreeSet::new());
            for _ in 0..200 {
                let number = rng.below(40) as u32;
                match rng.below(3) {
                    0 => assert_eq!(ours.remove(number), theirs.remove(&number), "seed {seed}"),
                    _ => assert_eq!(ours.insert(number), theirs.insert(number), "seed {seed}"),
                }
                assert_eq!(ours.contains(number), theirs.contains(&number), "seed {seed}");
                assert_eq!(ours.len(), theirs.len() as u64, "seed {seed}");
                assert_eq!(ours.last(), theirs.last().copied(), "seed {seed}");
                assert!(ours.iter().eq(theirs.iter().copied()), "seed {seed}");
                let (from, to) = (number / 2, number);
                assert_eq!(ours.within(from, to), theirs.range(from..=to).count() as u64, "seed {seed}");
                let mut even = Intervals::default();
                (0..20).for_each(|half| _ = even.insert(half * 2));
                assert_eq!(ours.common(&even), theirs.iter().filter(|it| *it % 2 == 0).count() as u64, "seed {seed}");
                let apart = |pair: &[Range]| pair[0].last + 1 < pair[1].first;
                assert!(ours.0.windows(2).all(apart), "seed {seed}: {ours:?}");
            }
        }
    }

    #[test]
    fn holds_the_first_and_the_last_number_there_is() {
        let mut set = Intervals::default();
        for number in [u32::MAX, 0, u32::MAX - 1, 1, u32::MAX] {
            set.insert(number);
        }
        assert!(set.iter().eq([0, 1, u32::MAX - 1, u32::MAX]));
        assert!(set.remove(u32::MAX) && set.remove(0) && !set.remove(0));
        assert_eq!(set.len(), 2);
    }

    #[test]
    fn in_order_it_stays_one_range() {
        let mut set = Intervals::default();
        for number in 0..10_000 {
            set.insert(number);
        }
        assert_eq!((set.0.len(), set.len(), size_of::<Intervals>()), (1, 10_000, 24));
    }
}

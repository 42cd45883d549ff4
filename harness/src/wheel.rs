//! A queue of things that are due at some moment, for millions of them: a timing wheel that keeps the exact order.
//!
//! Time is cut into ticks of about 17 milliseconds. What is due within the present tick is sorted; what is due later lies
//! in a slot of one of seven wheels of 64 slots, chosen by the highest digit in which its tick differs from the present
//! one, and comes down to finer wheels as its tick comes near. So putting in and taking out touch one slot each,
//! however many things wait, where a heap would touch a path of its tree.
//!
//! Order is exact: by moment, and at one moment in the order of being put in. It holds because a slot is filled from
//! the coarser wheel before anything can be put into it directly, and sorting is stable.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::time::Instant;

/// A tick is 2^24 ns, about 17 milliseconds: of a busy fleet some dozen are due in each, which are sorted together and of which one
/// therefore knows what comes next, and most of what a link carries is still due in a later one.
const TICK: u32 = 24;
/// A digit of a tick has six bits: 64 slots.
const DIGIT: u32 = 6;
/// 42 bits of ticks hold every moment there is: 24 + 42 is more than 64.
const WHEELS: usize = 7;
/// So many places of a slot are kept while it is empty.
const KEPT: usize = 64;

/// Things of type `T`, each due at a moment.
#[derive(Debug)]
pub struct Wheel<T> {
    /// The present tick.
    tick: u64,
    /// What is due in the present tick, the last first.
    run: Vec<Due<T>>,
    /// What was put in for the present tick, or an earlier one, when the run had been sorted.
    late: BinaryHeap<Reverse<Late<T>>>,
    /// How many things were ever put in late.
    order: u64,
    slots: Vec<Vec<Due<T>>>,
    /// Memory for a slot whose own was taken.
    spare: Vec<Due<T>>,
    /// Of each wheel, which slots hold something.
    occupied: [u64; WHEELS],
    len: usize,
}

#[derive(Debug)]
struct Due<T> {
    at: Instant,
    what: T,
}

#[derive(Debug)]
struct Late<T> {
    order: u64,
    due: Due<T>,
}

impl<T> Late<T> {
    const fn rank(&self) -> (Instant, u64) {
        (self.due.at, self.order)
    }
}

impl<T> PartialEq for Late<T> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl<T> Eq for Late<T> {}

impl<T> PartialOrd for Late<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Late<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self {
            tick: 0,
            run: Vec::new(),
            late: BinaryHeap::new(),
            order: 0,
            slots: (0..WHEELS << DIGIT).map(|_| Vec::new()).collect(),
            spare: Vec::new(),
            occupied: [0; WHEELS],
            len: 0,
        }
    }
}

impl<T> Wheel<T> {
    /// Puts `what` in. A moment that has passed is legal: it is due before all that is due later.
    pub fn push(&mut self, at: Instant, what: T) {
        self.len += 1;
        let due = Due { at, what };
        if at.as_nanos() >> TICK <= self.tick {
            self.order += 1;
            self.late.push(Reverse(Late { order: self.order, due }));
        } else {
            self.place(due);
        }
    }

    /// Takes out the first thing that is due, if it is due at `limit` at the latest.
    pub fn pop_until(&mut self, limit: Instant) -> Option<(Instant, T)> {
        while self.run.is_empty() && self.late.is_empty() {
            if !self.turn(limit.as_nanos() >> TICK) {
                return None;
            }
        }
        // Of one moment, what stands in the run was put in before what came late.
        let late = self.late.peek().map(|Reverse(late)| late.due.at);
        let run = self.run.last().map(|due| due.at);
        let late_is_first = late.is_some_and(|late| run.is_none_or(|run| late < run));
        if (if late_is_first { late } else { run }) > Some(limit) {
            return None;
        }
        let due = if late_is_first { self.late.pop().map(|Reverse(late)| late.due) } else { self.run.pop() }?;
        self.len -= 1;
        Some((due.at, due.what))
    }

    /// A moment before which nothing is due, and close to the first thing that is: for a driver that sleeps.
    pub fn next(&self) -> Option<Instant> {
        let late = self.late.peek().map(|Reverse(late)| late.due.at);
        let now = self.run.last().map(|due| due.at).into_iter().chain(late).min();
        now.or_else(|| self.slot().map(|(_, _, tick)| Instant::from_nanos(tick << TICK)))
    }

    /// What comes out when so many others have, as far as that is known by now: of the present tick, and if nothing is put in
    /// before it.
    pub fn ahead(&self, places: usize) -> Option<&T> {
        self.run.iter().rev().nth(places).map(|due| &due.what)
    }

    /// How many things are in it.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in it.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts what is due after the present tick into the slot where it belongs.
    fn place(&mut self, due: Due<T>) {
        let tick = due.at.as_nanos() >> TICK;
        let wheel = (tick ^ self.tick).ilog2() / DIGIT;
        let slot = (tick >> (wheel * DIGIT)) & ((1 << DIGIT) - 1);
        self.occupied[wheel as usize] |= 1 << slot;
        self.slots[((wheel as usize) << DIGIT) + slot as usize].push(due);
    }

    /// The next slot that holds something: its wheel, its number, and the tick at which it begins.
    fn slot(&self) -> Option<(usize, u32, u64)> {
        let wheel = self.occupied.iter().position(|&slots| slots != 0)?;
        let slot = self.occupied[wheel].trailing_zeros();
        let shift = wheel as u32 * DIGIT;
        Some((wheel, slot, (self.tick >> (shift + DIGIT) << (shift + DIGIT)) | (u64::from(slot) << shift)))
    }

    /// Goes on to the next slot that holds something, if that begins at tick `limit` at the latest. Tells whether it did.
    fn turn(&mut self, limit: u64) -> bool {
        let Some((wheel, slot, tick)) = self.slot() else { return false };
        if tick > limit {
            return false;
        }
        self.tick = tick;
        self.occupied[wheel] &= !(1 << slot);
        let place = (wheel << DIGIT) + slot as usize;
        if wheel == 0 {
            // The two exchange their memory, so that the finest wheel, which every thing passes, allocates nothing.
            std::mem::swap(&mut self.run, &mut self.slots[place]);
        } else {
            let mut slot = std::mem::replace(&mut self.slots[place], std::mem::take(&mut self.spare));
            for due in slot.drain(..) {
                if due.at.as_nanos() >> TICK == tick {
                    self.run.push(due);
                } else {
                    self.place(due);
                }
            }
            // What a small slot took is used again at once; a large one gives it back.
            slot.shrink_to(KEPT);
            self.spare = slot;
        }
        self.run.sort_by_key(|due| due.at);
        self.run.reverse();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// What a sorted list would give out: by moment, then by the order of being put in.
    #[derive(Default)]
    struct Sorted(Vec<(Instant, u32)>);

    impl Sorted {
        fn pop_until(&mut self, limit: Instant) -> Option<(Instant, u32)> {
            let first = self.0.iter().enumerate().min_by_key(|(_, due)| due.0).map(|(place, _)| place)?;
            (self.0[first].0 <= limit).then(|| self.0.remove(first))
        }
    }

    /// Spans from nothing to years, most of them repeated, so that moments coincide.
    fn span(rng: &mut Rng) -> u64 {
        let magnitude = rng.below(58);
        (rng.below(4) << magnitude) + if rng.below(2) == 0 { 0 } else { rng.below(1 << magnitude) }
    }

    #[test]
    fn gives_out_what_a_sorted_list_would() {
        for seed in 0..300 {
            let mut rng = Rng::stream(seed, "wheel");
            let (mut wheel, mut sorted) = (Wheel::default(), Sorted::default());
            let mut now = Instant::ZERO;
            for number in 0..400 {
                if rng.below(5) < 3 {
                    let at = Instant::from_nanos(now.as_nanos() + span(&mut rng));
                    wheel.push(at, number);
                    sorted.0.push((at, number));
                } else {
                    let limit = Instant::from_nanos(now.as_nanos() + span(&mut rng));
                    let next = wheel.next();
                    let popped = wheel.pop_until(limit);
                    assert!(
                        popped.is_none_or(|(at, _)| next.is_some_and(|next| next <= at)),
                        "seed {seed}, step {number}"
                    );
                    assert_eq!(popped, sorted.pop_until(limit), "seed {seed}, step {number}");
                    now = popped.map_or(limit, |(at, _)| at);
                }
                assert_eq!(wheel.len(), sorted.0.len());
            }
            while let Some(due) = sorted.pop_until(Instant::FAR) {
                assert_eq!(wheel.pop_until(Instant::FAR), Some(due), "seed {seed}, at the end");
            }
            assert!(wheel.is_empty() && wheel.pop_until(Instant::FAR).is_none());
        }
    }

    #[test]
    fn a_limit_is_kept_on_both_sides() {
        for nanos in [0, 1, (1 << TICK) - 1, 1 << TICK, 1 << 26, 1 << 40, Instant::FAR.as_nanos()] {
            let at = Instant::from_nanos(nanos);
            let mut wheel = Wheel::default();
            wheel.push(at, ());
            if let Some(before) = nanos.checked_sub(1) {
                assert_eq!(wheel.pop_until(Instant::from_nanos(before)), None, "{nanos}");
            }
            assert_eq!(wheel.pop_until(at), Some((at, ())), "{nanos}");
        }
    }

    #[test]
    fn what_is_put_in_for_a_moment_that_has_passed_comes_next() {
        let mut wheel = Wheel::default();
        let moment = |second: u64| Instant::from_nanos(second * 1_000_000_000);
        for second in [5, 6] {
            wheel.push(moment(second), second);
        }
        assert_eq!(wheel.pop_until(moment(9)), Some((moment(5), 5)));
        wheel.push(moment(1), 1);
        assert_eq!(wheel.pop_until(moment(9)), Some((moment(1), 1)));
        assert_eq!(wheel.pop_until(moment(9)), Some((moment(6), 6)));
    }

    #[test]
    fn what_comes_next_is_known_within_a_tick() {
        let mut wheel = Wheel::default();
        for nanos in [3, 1, 2, 1 << TICK] {
            wheel.push(Instant::from_nanos((1 << TICK) + nanos), nanos);
        }
        assert_eq!(wheel.ahead(0), None, "no tick is present before something was taken out");
        assert_eq!(wheel.pop_until(Instant::FAR).map(|(_, what)| what), Some(1));
        assert_eq!([0, 1, 2].map(|places| wheel.ahead(places).copied()), [Some(2), Some(3), None]);
    }
}

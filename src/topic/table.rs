//! Nodes by hash, in one array: a lookup that finds costs one cache line here and one at the node.

use std::num::NonZeroU32;

/// Node numbers by hash; equal hashes may meet. Open addressing with linear probing, at most three quarters full; it
/// doubles when it must and never shrinks.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// None, or a power of two of them. A node stands in the slot that its hash names, or in the first free one after it.
    slots: Vec<Slot>,
    len: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u32,
    node: Option<NonZeroU32>,
}

impl Table {
    /// How many nodes there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The node with this hash that `is_it` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(NonZeroU32) -> bool) -> Option<NonZeroU32> {
        self.position(hash, is_it).and_then(|at| self.slots[at].node)
    }

    /// Adds a node that is not there.
    pub(super) fn insert(&mut self, hash: u32, node: NonZeroU32) {
        if self.len >= self.slots.len() / 4 * 3 {
            let room = vec![Slot::default(); (self.slots.len() * 2).max(4)];
            for slot in std::mem::replace(&mut self.slots, room) {
                self.place(slot);
            }
        }
        self.place(Slot { hash, node: Some(node) });
        self.len += 1;
    }

    /// Puts `new` in the place of `old`, whose hash is the same.
    pub(super) fn replace(&mut self, hash: u32, old: NonZeroU32, new: NonZeroU32) {
        if let Some(at) = self.position(hash, |node| node == old) {
            self.slots[at].node = Some(new);
        }
    }

    /// Takes a node out.
    pub(super) fn remove(&mut self, hash: u32, node: NonZeroU32) {
        let Some(mut hole) = self.position(hash, |found| found == node) else { return };
        self.len -= 1;
        // Those after it move up, as long as that brings none before the slot that its hash names.
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask();
            let slot = self.slots[at];
            if slot.node.is_none() {
                break;
            }
            let distance = |from: usize| at.wrapping_sub(from) & self.mask();
            if distance(slot.hash as usize) >= distance(hole) {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = Slot::default();
    }

    #[inline]
    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    #[inline]
    fn position(&self, hash: u32, is_it: impl Fn(NonZeroU32) -> bool) -> Option<usize> {
        let mut at = hash as usize;
        loop {
            at &= self.mask();
            // A table without slots has no first one either.
            let slot = self.slots.get(at)?;
            let node = slot.node?;
            if slot.hash == hash && is_it(node) {
                return Some(at);
            }
            at += 1;
        }
    }

    fn place(&mut self, slot: Slot) {
        let mut at = slot.hash as usize & self.mask();
        while self.slots[at].node.is_some() {
            at = (at + 1) & self.mask();
        }
        self.slots[at] = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts in and takes out, by turns, and compares with a list after each step.
    fn check(steps: impl IntoIterator<Item = (u32, u32)>) {
        let (mut table, mut list) = (Table::default(), Vec::new());
        for step in steps {
            let (hash, node) = (step.0, NonZeroU32::new(step.1).expect("a node"));
            if let Some(place) = list.iter().position(|&each| each == (hash, node)) {
                table.remove(hash, node);
                list.swap_remove(place);
            } else {
                table.insert(hash, node);
                list.push((hash, node));
            }
            assert_eq!(table.len(), list.len());
            assert_eq!(table.find(hash, |found| found == node).is_some(), list.contains(&(hash, node)));
            for &(hash, node) in &list {
                assert_eq!(table.find(hash, |found| found == node), Some(node));
            }
        }
    }

    #[test]
    fn one_hash_for_all() {
        check((1..20).map(|node| (7, node)).chain((1..20).map(|node| (7, node))));
    }

    #[test]
    fn a_run_that_goes_round_the_end() {
        let run = [(u32::MAX, 1), (u32::MAX, 2), (u32::MAX - 1, 3), (0, 4), (1, 5), (u32::MAX, 6)];
        check(run.into_iter().chain([run[0], run[2], run[1], run[4], run[3], run[5]]));
    }

    #[test]
    fn many() {
        let mut random = 1u32;
        check((0..2_000).map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let node = 1 + (random >> 25);
            (node.wrapping_mul(0x9e37_79b9) >> 24, node)
        }));
    }
}

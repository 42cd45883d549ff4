//! A hash map without iteration: lookups are fast, and no order can leak into a trace.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

/// Keys to values, by hash, never iterated, so that a run cannot depend on the order of a table.
/// The hasher `S` is fixed and unkeyed where keys are ours; pass a keyed one where a peer chooses them.
#[derive(Clone, Debug)]
pub struct Index<K, V, S = foldhash::fast::FixedState> {
    map: hashbrown::HashMap<K, V, S>,
}

impl<K, V, S: Default> Default for Index<K, V, S> {
    fn default() -> Self {
        Self { map: hashbrown::HashMap::with_hasher(S::default()) }
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Index<K, V, S> {
    /// The value of `key`.
    pub fn get<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.map.get(key)
    }

    /// The value of `key`, to change in place.
    pub fn get_mut<Q: ?Sized + Eq + Hash>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.map.get_mut(key)
    }

    /// Sets the value of `key` and gives back the one it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.map.insert(key, value)
    }

    /// The value of `key`, made by `make` if absent.
    pub fn entry_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.map.entry(key).or_insert_with(make)
    }

    /// Takes `key` out.
    pub fn remove<Q: ?Sized + Eq + Hash>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.map.remove(key)
    }

    /// Whether `key` is present.
    pub fn contains<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.map.contains_key(key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

/// Numbers of things that are found by a key of theirs, which lies with them: whoever asks knows how to hash and compare
/// it. Five bytes each, where an [`Index`] would hold the key too.
#[derive(Clone, Debug, Default)]
pub struct Numbers(hashbrown::HashTable<u32>);

impl Numbers {
    /// The number with this `hash` for which `is` holds.
    pub fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.0.find(hash, |&number| is(number)).copied()
    }

    /// Adds a number that is not there; `rehash` gives the hash of any that is.
    pub fn insert(&mut self, hash: u64, number: u32, rehash: impl Fn(u32) -> u64) {
        self.0.insert_unique(hash, number, |&number| rehash(number));
    }

    /// Takes out a number with this `hash`. Tells whether it was there.
    pub fn remove(&mut self, hash: u64, number: u32) -> bool {
        self.0.find_entry(hash, |&other| other == number).map(|entry| entry.remove()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_what_they_stand_for_also_where_hashes_meet() {
        let words = ["one", "two", "three", "four"];
        let hash = |word: &str| word.len() as u64;
        let mut numbers = Numbers::default();
        for (number, word) in (0..).zip(words) {
            numbers.insert(hash(word), number, |number| hash(words[number as usize]));
        }
        let find = |numbers: &Numbers, word: &str| numbers.find(hash(word), |number| words[number as usize] == word);
        assert_eq!(words.map(|word| find(&numbers, word)), [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(find(&numbers, "six"), None);
        assert!(numbers.remove(hash("one"), 0) && !numbers.remove(hash("one"), 0));
        assert_eq!(["one", "two"].map(|word| find(&numbers, word)), [None, Some(1)]);
    }
}

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

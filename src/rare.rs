//! Lists that are empty nearly always, in a million sessions at a time.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};

use harness::fetch::fetch;
use smallvec::SmallVec;

/// A list that takes one word while nothing was put into it. [`Rare::settle`] takes it back to that.
#[derive(Clone, Debug)]
pub struct Rare<T>(Option<Box<T>>);

/// What can be [`Rare`]: there is one empty value for all to look at.
pub trait Empty: Default + 'static {
    /// It.
    const EMPTY: &'static Self;

    /// Whether this is one.
    fn is_empty(&self) -> bool;
}

impl<T: 'static> Empty for Vec<T> {
    const EMPTY: &'static Self = &Self::new();

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl<T: 'static> Empty for VecDeque<T> {
    const EMPTY: &'static Self = &Self::new();

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl<K: 'static, V: 'static> Empty for BTreeMap<K, V> {
    const EMPTY: &'static Self = &Self::new();

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Rare<T> {
    /// An empty one.
    pub const fn new() -> Self {
        Self(None)
    }
}

impl<T> Rare<T> {
    /// Asks for the list, where there is one, before it is looked at.
    pub fn fetch(&self) {
        if let Some(list) = &self.0 {
            fetch(&**list);
        }
    }
}

impl<T: Empty> Rare<T> {
    /// Takes all of it out.
    pub fn take(&mut self) -> T {
        self.0.take().map_or_else(T::default, |list| *list)
    }

    /// Gives memory back, if there is nothing in it.
    #[inline]
    pub fn settle(&mut self) {
        if self.0.as_ref().is_some_and(|list| list.is_empty()) {
            self.0 = None;
        }
    }
}

impl<T: 'static> Rare<VecDeque<T>> {
    /// Appends one. The first gets room for itself alone, for most are gone before the next comes.
    pub fn push_back(&mut self, item: T) {
        let list = &mut **self;
        if list.capacity() == 0 {
            list.reserve_exact(1);
        }
        list.push_back(item);
    }
}

impl<T: Empty> Deref for Rare<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::EMPTY)
    }
}

impl<T: Empty> DerefMut for Rare<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

/// A few things in order, of which there is one at most nearly always: one word while there is none, one allocation while there
/// is one. To take one out moves those behind it, which for a thousand takes about a microsecond.
#[derive(Clone, Debug)]
pub struct Few<T>(Option<Box<SmallVec<[T; 1]>>>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Few<T> {
    /// None.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Appends one.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.0.get_or_insert_default().push(item);
    }

    /// Takes out the one at `place`, if there is one; the last gives the memory back.
    #[inline]
    pub fn remove(&mut self, place: usize) -> Option<T> {
        let list = self.0.as_mut().filter(|list| place < list.len())?;
        let item = list.remove(place);
        if list.is_empty() {
            self.0 = None;
        }
        Some(item)
    }

    /// Asks for them, where there are any, before they are looked at.
    pub fn fetch(&self) {
        if let Some(list) = &self.0 {
            fetch(&**list);
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.0.as_deref().map_or(&[], SmallVec::as_slice)
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_deref_mut().map_or(&mut [], SmallVec::as_mut_slice)
    }
}

impl<T> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_one_takes_a_word_and_a_settled_one_again() {
        let mut list: Rare<VecDeque<u64>> = Rare::default();
        assert_eq!(size_of_val(&list), size_of::<usize>());
        assert_eq!(list.front(), None);
        list.push_back(7);
        list.settle();
        assert_eq!(list.pop_front(), Some(7), "what holds something is not settled");
        assert!(list.0.is_some());
        list.settle();
        assert!(list.0.is_none() && list.is_empty());
        list.push_back(8);
        assert_eq!((list.capacity(), list.front()), (1, Some(&8)));
    }

    #[test]
    fn of_a_few_each_can_be_taken_and_the_last_leaves_nothing() {
        let mut few = Few::new();
        few.extend([1, 2, 3]);
        assert_eq!((few.remove(1), few.remove(0), few.remove(1)), (Some(2), Some(1), None));
        assert_eq!((few.remove(0), few.is_empty(), few.0.is_none()), (Some(3), true, true));
    }
}

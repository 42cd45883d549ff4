//! The tree that both [`SubscriptionTree`](super::SubscriptionTree) and [`RetainedTree`](super::RetainedTree) walk, in time
//! that does not grow with what does not match.
//!
//! It is path-compressed, in whole levels: a node's label is one or more levels, and every node but the root holds a
//! value or has at least two children, so that `n` keys need less than `2 n` nodes however deep they are. Children are
//! found by hash, in one table for the whole tree, and walked in the order of their insertion, so that no hash decides
//! an order. Walks use neither recursion nor memory: a node knows its parent, and going back up rewinds the text by the
//! levels of the label, so that a key of 65,536 levels is as safe as one of two.

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

use slab::Slab;
use smallvec::SmallVec;

use super::table::Table;

/// The number of a node in the slab.
pub(super) type NodeId = u32;

/// The number of a node that is a child of one. The root is 0 and nobody's child, so that "none" needs no room.
pub(super) type Child = NonZeroU32;

/// Levels with the slashes between them; short ones lie in the node.
pub(super) type Label = SmallVec<[u8; 16]>;

pub(super) const ROOT: NodeId = 0;

/// Which of a node's two values.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    /// That of the path itself.
    Own,
    /// That of the path with `#` after it.
    Below,
}

/// With a small value a node is a cache line, so that visiting one is a single miss at most.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Node<V> {
    /// The levels from the parent to here, with `+` for itself. Empty for the root, and for one empty level.
    pub(super) label: Label,
    pub(super) own: Option<V>,
    pub(super) below: Option<V>,
    pub(super) parent: NodeId,
    /// The child whose label begins with the level `+`.
    pub(super) plus: Option<Child>,
    /// The oldest other child.
    pub(super) first: Option<Child>,
    /// The next younger sibling, and for the youngest the oldest again.
    next: Option<Child>,
    /// The next older sibling, and for the oldest the youngest.
    previous: Option<Child>,
}

impl<V> Node<V> {
    fn new(parent: NodeId, label: &[u8]) -> Self {
        let label = Label::from_slice(label);
        Self { label, own: None, below: None, parent, plus: None, first: None, next: None, previous: None }
    }

    pub(super) fn value(&self, slot: Slot) -> &Option<V> {
        match slot {
            Slot::Own => &self.own,
            Slot::Below => &self.below,
        }
    }

    pub(super) fn value_mut(&mut self, slot: Slot) -> &mut Option<V> {
        match slot {
            Slot::Own => &mut self.own,
            Slot::Below => &mut self.below,
        }
    }

    /// Where in `text` the levels begin that this node's label stands for and that end before `at`.
    pub(super) fn rewind(&self, text: &[u8], at: usize) -> usize {
        let begin = |at: usize| text[..at - 1].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        levels(&self.label).fold(at, |at, _| begin(at))
    }
}

pub(super) fn levels(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'/')
}

/// The level that begins at `at`.
#[inline]
pub(super) fn level(text: &[u8], at: usize) -> &[u8] {
    let rest = &text[at..];
    rest.iter().position(|&byte| byte == b'/').map_or(rest, |end| &rest[..end])
}

/// Whether a level can end at `at`.
#[inline]
pub(super) fn ends_level(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|&byte| byte == b'/')
}

#[derive(Clone, Debug)]
pub(super) struct Tree<V> {
    nodes: Slab<Node<V>>,
    /// Every child that is no `plus`, by its parent and the first level of its label.
    children: Table,
    hasher: foldhash::fast::FixedState,
    /// How many values there are.
    pub(super) len: usize,
}

impl<V> Tree<V> {
    pub(super) fn new(seed: u64) -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::new(ROOT, b""));
        Self { nodes, children: Table::default(), hasher: foldhash::fast::FixedState::with_seed(seed), len: 0 }
    }

    /// Sets one of the values of a path and gives back the one it replaces. The path of the root is `None`.
    pub(super) fn insert(&mut self, path: Option<&[u8]>, slot: Slot, value: V) -> Option<V> {
        let node = self.reach(path);
        let old = self[node].value_mut(slot).replace(value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Takes one of the values of a path out.
    pub(super) fn remove(&mut self, path: Option<&[u8]>, slot: Slot) -> Option<V> {
        let node = self.find(path)?;
        let old = self[node].value_mut(slot).take()?;
        self.len -= 1;
        self.prune(node);
        Some(old)
    }

    /// The node of exactly this path, where `+` stands for itself.
    pub(super) fn find(&self, path: Option<&[u8]>) -> Option<NodeId> {
        let (mut node, mut rest) = (ROOT, path);
        while let Some(text) = rest {
            let child = self.child(node, level(text, 0))?;
            let label = &self[child].label;
            if !(text.starts_with(label) && ends_level(text, label.len())) {
                return None;
            }
            (node, rest) = (child.get(), text.get(label.len() + 1..));
        }
        Some(node)
    }

    /// The node of exactly this path, made if absent.
    fn reach(&mut self, path: Option<&[u8]>) -> NodeId {
        let (mut node, mut rest) = (ROOT, path);
        while let Some(text) = rest {
            let Some(child) = self.child(node, level(text, 0)) else {
                let leaf = self.add(Node::new(node, text));
                self.link(leaf);
                return leaf.get();
            };
            let common = common_levels(&self[child].label, text);
            let child = if common < self[child].label.len() { self.split(child, common) } else { child };
            (node, rest) = (child.get(), text.get(common + 1..));
        }
        node
    }

    fn child(&self, parent: NodeId, first: &[u8]) -> Option<Child> {
        if first == b"+" { self[parent].plus } else { self.literal_child(parent, first) }
    }

    /// The child whose label begins with this level, which is not `+`.
    #[inline]
    pub(super) fn literal_child(&self, parent: NodeId, first: &[u8]) -> Option<Child> {
        self[parent].first?;
        self.children.find(self.hash(parent, first), |child| {
            let node = &self[child];
            node.parent == parent && node.label.starts_with(first) && ends_level(&node.label, first.len())
        })
    }

    fn hash(&self, parent: NodeId, first: &[u8]) -> u32 {
        self.hasher.hash_one((parent, first)) as u32
    }

    fn hash_of(&self, child: Child) -> u32 {
        self.hash(self[child].parent, level(&self[child].label, 0))
    }

    /// The sibling after this one; `None` after the youngest, and for a `plus`.
    pub(super) fn after(&self, child: Child) -> Option<Child> {
        let next = self[child].next?;
        (self[self[child].parent].first != Some(next)).then_some(next)
    }

    /// Visits the own value of a node and of every node below it, those under a `plus` left out.
    pub(super) fn visit_all(&self, top: NodeId, visit: &mut impl FnMut(&V)) {
        let mut node = top;
        'arrive: loop {
            self[node].own.iter().for_each(&mut *visit);
            let mut next = self[node].first;
            loop {
                if let Some(child) = next {
                    node = child.get();
                    continue 'arrive;
                }
                let Some(child) = NonZeroU32::new(node).filter(|_| node != top) else { return };
                (node, next) = (self[child].parent, self.after(child));
            }
        }
    }

    fn add(&mut self, node: Node<V>) -> Child {
        let id = u32::try_from(self.nodes.insert(node)).expect("memory ends long before 2^32 nodes");
        NonZeroU32::new(id).expect("the root holds number 0")
    }

    /// Makes a node known to its parent, as the youngest child.
    fn link(&mut self, child: Child) {
        let parent = self[child].parent;
        if level(&self[child].label, 0) == b"+" {
            self[parent].plus = Some(child);
            return;
        }
        let oldest = *self[parent].first.get_or_insert(child);
        let youngest = self[oldest].previous.unwrap_or(child);
        self[child].previous = Some(youngest);
        self[child].next = Some(oldest);
        self[youngest].next = Some(child);
        self[oldest].previous = Some(child);
        self.children.insert(self.hash_of(child), child);
    }

    /// Makes a child unknown to its parent.
    fn unlink(&mut self, child: Child) {
        let parent = self[child].parent;
        if self[parent].plus == Some(child) {
            self[parent].plus = None;
            return;
        }
        self.children.remove(self.hash_of(child), child);
        let (next, previous) = (self[child].next.take().expect(LINKED), self[child].previous.take().expect(LINKED));
        self[previous].next = Some(next);
        self[next].previous = Some(previous);
        if self[parent].first == Some(child) {
            self[parent].first = Some(next).filter(|&next| next != child);
        }
    }

    /// Puts `new`, whose parent and first level are those of `old`, in the place of `old`.
    fn substitute(&mut self, old: Child, new: Child) {
        let parent = self[old].parent;
        if self[parent].plus == Some(old) {
            self[parent].plus = Some(new);
            return;
        }
        self.children.replace(self.hash_of(old), old, new);
        let (next, previous) = (self[old].next.take().expect(LINKED), self[old].previous.take().expect(LINKED));
        let renamed = |sibling| if sibling == old { new } else { sibling };
        let (next, previous) = (renamed(next), renamed(previous));
        self[new].next = Some(next);
        self[new].previous = Some(previous);
        self[next].previous = Some(new);
        self[previous].next = Some(new);
        self[parent].first = self[parent].first.map(renamed);
    }

    /// Puts a node above `child` that takes the first `common` bytes of its label, and gives it back.
    fn split(&mut self, child: Child, common: usize) -> Child {
        let middle = Node::new(self[child].parent, &self[child].label[..common]);
        let middle = self.add(middle);
        self.substitute(child, middle);
        self[child].label = Label::from_slice(&self[child].label[common + 1..]);
        self[child].parent = middle.get();
        self.link(child);
        middle
    }

    /// Takes a node without a value out if it no longer branches, and so its parents.
    fn prune(&mut self, node: NodeId) {
        let mut node = node;
        while let Some(child) =
            NonZeroU32::new(node).filter(|&child| self[child].own.is_none() && self[child].below.is_none())
        {
            match (self[child].plus, self[child].first) {
                (None, None) => {
                    node = self[child].parent;
                    self.unlink(child);
                    self.nodes.remove(child.get() as usize);
                }
                (Some(only), None) => return self.merge(child, only),
                (None, Some(only)) if self[only].next == Some(only) => return self.merge(child, only),
                _ => return,
            }
        }
    }

    /// Takes `node` out and gives its label to its only child: undoes [`Tree::split`].
    fn merge(&mut self, node: Child, only: Child) {
        self.unlink(only);
        self[only].label = [self[node].label.as_slice(), b"/", &self[only].label].concat().into();
        self[only].parent = self[node].parent;
        self.substitute(node, only);
        self.nodes.remove(node.get() as usize);
    }
}

const LINKED: &str = "every child but a `plus` is in the table and has siblings, itself at least";

/// How many bytes of two texts, whose first levels are the same, are the same in whole levels.
fn common_levels(a: &[u8], b: &[u8]) -> usize {
    let same = levels(a).zip(levels(b)).take_while(|(a, b)| a == b);
    same.map(|(level, _)| level.len() + 1).sum::<usize>() - 1
}

impl<V> Index<NodeId> for Tree<V> {
    type Output = Node<V>;

    fn index(&self, node: NodeId) -> &Node<V> {
        &self.nodes[node as usize]
    }
}

impl<V> IndexMut<NodeId> for Tree<V> {
    fn index_mut(&mut self, node: NodeId) -> &mut Node<V> {
        &mut self.nodes[node as usize]
    }
}

impl<V> Index<Child> for Tree<V> {
    type Output = Node<V>;

    fn index(&self, child: Child) -> &Node<V> {
        &self[child.get()]
    }
}

impl<V> IndexMut<Child> for Tree<V> {
    fn index_mut(&mut self, child: Child) -> &mut Node<V> {
        &mut self[child.get()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape() {
        /// How many nodes, the root among them, these paths need, whatever else came and went; and that all of them go.
        fn check(paths: &[&str], expect: usize) {
            let mut tree = Tree::new(1);
            for path in paths {
                tree.insert(Some(path.as_bytes()), Slot::Own, ());
                for passing in ["a/b/c/d/e", "a/+/c/d/e"] {
                    assert_eq!(tree.insert(Some(passing.as_bytes()), Slot::Below, ()), None);
                    assert_eq!(tree.remove(Some(passing.as_bytes()), Slot::Own), None);
                    assert_eq!(tree.remove(Some(passing.as_bytes()), Slot::Below), Some(()));
                }
            }
            assert_eq!((tree.nodes.len(), tree.len), (expect, paths.len()), "{paths:?}");
            for path in paths {
                assert_eq!(tree.remove(Some(path.as_bytes()), Slot::Own), Some(()));
                assert_eq!(tree.remove(Some(path.as_bytes()), Slot::Own), None);
            }
            assert_eq!((tree.nodes.len(), tree.children.len(), tree.len), (1, 0, 0));
        }
        check(&[], 1);
        check(&["a/b/c/d"], 2);
        check(&["a/b/c/d", "a/b"], 3);
        check(&["a/b", "a"], 3);
        check(&["a/b/c/d", "a/b/+/d"], 4);
        check(&["a/+/x"], 2);
        check(&["a/b", "a/c", "a/+"], 5);
        check(&["a/b", "ab/b"], 3);
        check(&["/", "//", "///"], 4);
        check(&["+/+", "+"], 3);
    }

    #[test]
    fn a_node_with_a_small_value_is_a_cache_line() {
        assert_eq!(size_of::<Node<u32>>(), 64);
        assert_eq!(size_of::<Node<Box<u8>>>(), 64);
    }
}

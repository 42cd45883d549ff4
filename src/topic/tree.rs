//! The tree that matches topics to filters, and filters to topics, in time that does not grow with what does not match.
//!
//! A path-compressed tree of whole levels: a node's label is one or more levels, and every node but the root holds a
//! value or has at least two children, so that `n` keys need less than `2 n` nodes however deep they are. Children are
//! found by hash, in one table for the whole tree, and walked in the order of their insertion, so that no hash decides
//! an order. Walks use neither recursion nor memory: a node knows its parent, and going back up rewinds the topic by the
//! levels of the label, so that a key of 65,536 levels is as safe as one of two.

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

use slab::Slab;
use smallvec::SmallVec;

use super::table::Table;
use super::{Filter, Topic};

/// A value per topic filter; finds those whose filter matches a topic.
///
/// Keep `V` small (an index or a pointer): every node has room for two.
#[derive(Clone, Debug)]
pub struct SubscriptionTree<V> {
    tree: Tree<V>,
}

impl<V> SubscriptionTree<V> {
    /// An empty tree. Where peers choose the filters, `seed` should be a number they cannot know: it keys the hash.
    /// It has no influence on any order.
    pub fn new(seed: u64) -> Self {
        Self { tree: Tree::new(seed) }
    }

    /// How many filters have a value.
    pub fn len(&self) -> usize {
        self.tree.len
    }

    /// Whether no filter has one.
    pub fn is_empty(&self) -> bool {
        self.tree.len == 0
    }

    /// Sets the value of a filter and gives back the one it replaces.
    pub fn insert(&mut self, filter: Filter<'_>, value: V) -> Option<V> {
        let (path, slot) = place(filter);
        self.tree.insert(path, slot, value)
    }

    /// The value of exactly this filter.
    pub fn get(&self, filter: Filter<'_>) -> Option<&V> {
        let (path, slot) = place(filter);
        self.tree[self.tree.find(path)?].value(slot).as_ref()
    }

    /// The value of exactly this filter, to change in place.
    pub fn get_mut(&mut self, filter: Filter<'_>) -> Option<&mut V> {
        let (path, slot) = place(filter);
        let node = self.tree.find(path)?;
        self.tree[node].value_mut(slot).as_mut()
    }

    /// Takes the value of exactly this filter out.
    pub fn remove(&mut self, filter: Filter<'_>) -> Option<V> {
        let (path, slot) = place(filter);
        self.tree.remove(path, slot)
    }

    /// Visits the value of every filter that matches the topic. From the root on, each node gives its `#` first, then its
    /// own, then what lies under the literal level, then what lies under `+`: the order depends on the filters alone.
    pub fn matches(&self, topic: Topic<'_>, mut visit: impl FnMut(&V)) {
        let tree = &self.tree;
        let text = topic.as_str().as_bytes();
        // A reserved topic is not matched by a wildcard in the first level (4.7.2-1).
        let hidden = topic.is_reserved();
        let (mut node, mut at) = (ROOT, 0);
        'arrive: loop {
            let here = &tree[node];
            let wildcards = node != ROOT || !hidden;
            if wildcards && let Some(value) = &here.below {
                visit(value);
            }
            let mut next = None;
            if at > text.len() {
                here.own.iter().for_each(&mut visit);
            } else {
                next = tree.literal_child(node, level(text, at)).or(here.plus.filter(|_| wildcards));
            }
            loop {
                if let Some(child) = next {
                    if let Some(after) = tree[child].consume_topic(text, at) {
                        (node, at) = (child.get(), after);
                        continue 'arrive;
                    }
                } else {
                    let Some(child) = NonZeroU32::new(node) else { return };
                    at = tree[child].rewind(text, at);
                    (node, next) = (tree[child].parent, Some(child));
                }
                // After the literal child comes `+`; after `+` the way is back up.
                let plus = tree[node].plus.filter(|_| node != ROOT || !hidden);
                next = if next == plus { None } else { plus };
            }
        }
    }
}

/// A value per topic name; finds those whose name a filter matches.
///
/// Keep `V` small (an index or a pointer): every node has room for two.
#[derive(Clone, Debug)]
pub struct RetainedTree<V> {
    tree: Tree<V>,
}

impl<V> RetainedTree<V> {
    /// An empty tree. Where peers choose the topics, `seed` should be a number they cannot know: it keys the hash.
    /// It has no influence on any order.
    pub fn new(seed: u64) -> Self {
        Self { tree: Tree::new(seed) }
    }

    /// How many topics have a value.
    pub fn len(&self) -> usize {
        self.tree.len
    }

    /// Whether no topic has one.
    pub fn is_empty(&self) -> bool {
        self.tree.len == 0
    }

    /// Sets the value of a topic and gives back the one it replaces.
    pub fn insert(&mut self, topic: Topic<'_>, value: V) -> Option<V> {
        self.tree.insert(Some(topic.as_str().as_bytes()), Slot::Own, value)
    }

    /// The value of this topic.
    pub fn get(&self, topic: Topic<'_>) -> Option<&V> {
        self.tree[self.tree.find(Some(topic.as_str().as_bytes()))?].own.as_ref()
    }

    /// The value of this topic, to change in place.
    pub fn get_mut(&mut self, topic: Topic<'_>) -> Option<&mut V> {
        let node = self.tree.find(Some(topic.as_str().as_bytes()))?;
        self.tree[node].own.as_mut()
    }

    /// Takes the value of this topic out.
    pub fn remove(&mut self, topic: Topic<'_>) -> Option<V> {
        self.tree.remove(Some(topic.as_str().as_bytes()), Slot::Own)
    }

    /// Visits the value of every topic that the filter matches: a topic before those below it, and the levels beside
    /// each other in the order in which they came.
    pub fn matches(&self, filter: Filter<'_>, mut visit: impl FnMut(&V)) {
        let tree = &self.tree;
        let text = filter.as_str().as_bytes();
        let (mut node, mut at) = (ROOT, 0);
        'arrive: loop {
            let here = &tree[node];
            let mut next = if at > text.len() {
                here.own.iter().for_each(&mut visit);
                None
            } else {
                match level(text, at) {
                    b"+" => here.first,
                    b"#" if node == ROOT => here.first,
                    b"#" => {
                        tree.visit_all(node, &mut visit);
                        None
                    }
                    literal => tree.literal_child(node, literal),
                }
            };
            loop {
                if let Some(child) = next {
                    let label = &*tree[child].label;
                    // A wildcard in the first level does not match a reserved topic (4.7.2-1).
                    let hidden = node == ROOT && label.starts_with(b"$") && matches!(text[0], b'+' | b'#');
                    match consume_filter(label, text, at) {
                        _ if hidden => {}
                        Some(Consumed::Levels(after)) => {
                            (node, at) = (child.get(), after);
                            continue 'arrive;
                        }
                        Some(Consumed::All) => tree.visit_all(child.get(), &mut visit),
                        None => {}
                    }
                } else {
                    let Some(child) = NonZeroU32::new(node) else { return };
                    at = tree[child].rewind(text, at);
                    (node, next) = (tree[child].parent, Some(child));
                }
                // Only a wildcard goes on to the next child.
                next = next.filter(|_| matches!(level(text, at), b"+" | b"#")).and_then(|child| tree.after(child));
            }
        }
    }
}

/// The number of a node in the slab. The root is 0 and nobody's child, so that children need no room for "none".
type NodeId = u32;
type Child = NonZeroU32;

/// Levels with the slashes between them; short ones lie in the node.
type Label = SmallVec<[u8; 16]>;

const ROOT: NodeId = 0;

/// Which of a node's two values.
#[derive(Clone, Copy)]
enum Slot {
    /// That of the path itself.
    Own,
    /// That of the path with `#` after it.
    Below,
}

/// Where the value of a filter lies: the path (`None` is the root) and the slot.
fn place(filter: Filter<'_>) -> (Option<&[u8]>, Slot) {
    match filter.as_str().as_bytes() {
        b"#" => (None, Slot::Below),
        text => text.strip_suffix(b"/#").map_or((Some(text), Slot::Own), |path| (Some(path), Slot::Below)),
    }
}

/// With a small value a node is a cache line, so that visiting one is a single miss at most.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Node<V> {
    /// The levels from the parent to here, with `+` for itself. Empty for the root, and for one empty level.
    label: Label,
    own: Option<V>,
    below: Option<V>,
    parent: NodeId,
    /// The child whose label begins with the level `+`.
    plus: Option<Child>,
    /// The oldest other child.
    first: Option<Child>,
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

    fn value(&self, slot: Slot) -> &Option<V> {
        match slot {
            Slot::Own => &self.own,
            Slot::Below => &self.below,
        }
    }

    fn value_mut(&mut self, slot: Slot) -> &mut Option<V> {
        match slot {
            Slot::Own => &mut self.own,
            Slot::Below => &mut self.below,
        }
    }

    /// Matches the label, which may hold `+`, to the topic from `at` on; gives where the next level begins.
    fn consume_topic(&self, topic: &[u8], at: usize) -> Option<usize> {
        let end = at + self.label.len();
        if topic[at..].starts_with(&self.label) && ends_level(topic, end) {
            return Some(end + 1);
        }
        let mut at = at;
        for wanted in levels(&self.label) {
            if at > topic.len() {
                return None;
            }
            let found = level(topic, at);
            if wanted != b"+" && wanted != found {
                return None;
            }
            at += found.len() + 1;
        }
        Some(at)
    }

    /// Where in `text` the levels begin that this node's label stands for and that end before `at`.
    fn rewind(&self, text: &[u8], at: usize) -> usize {
        let begin = |at: usize| text[..at - 1].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        levels(&self.label).fold(at, |at, _| begin(at))
    }
}

/// What of a filter matched a label.
enum Consumed {
    /// As many levels as the label has; the next begins here.
    Levels(usize),
    /// All of it: `#` was met, and stands for whatever is left.
    All,
}

/// Matches the levels of a filter from `at` on to a label without wildcards.
fn consume_filter(label: &[u8], filter: &[u8], at: usize) -> Option<Consumed> {
    let mut at = at;
    for found in levels(label) {
        if at > filter.len() {
            return None;
        }
        match level(filter, at) {
            b"#" => return Some(Consumed::All),
            wanted if wanted == b"+" || wanted == found => at += wanted.len() + 1,
            _ => return None,
        }
    }
    Some(Consumed::Levels(at))
}

fn levels(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'/')
}

/// The level that begins at `at`.
#[inline]
fn level(text: &[u8], at: usize) -> &[u8] {
    let rest = &text[at..];
    rest.iter().position(|&byte| byte == b'/').map_or(rest, |end| &rest[..end])
}

/// Whether a level can end at `at`.
#[inline]
fn ends_level(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|&byte| byte == b'/')
}

#[derive(Clone, Debug)]
struct Tree<V> {
    nodes: Slab<Node<V>>,
    /// Every child that is no `plus`, by its parent and the first level of its label.
    children: Table,
    hasher: foldhash::fast::FixedState,
    /// How many values there are.
    len: usize,
}

impl<V> Tree<V> {
    fn new(seed: u64) -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::new(ROOT, b""));
        Self { nodes, children: Table::default(), hasher: foldhash::fast::FixedState::with_seed(seed), len: 0 }
    }

    fn insert(&mut self, path: Option<&[u8]>, slot: Slot, value: V) -> Option<V> {
        let node = self.reach(path);
        let old = self[node].value_mut(slot).replace(value);
        self.len += usize::from(old.is_none());
        old
    }

    fn remove(&mut self, path: Option<&[u8]>, slot: Slot) -> Option<V> {
        let node = self.find(path)?;
        let old = self[node].value_mut(slot).take()?;
        self.len -= 1;
        self.prune(node);
        Some(old)
    }

    /// The node of exactly this path, where `+` stands for itself.
    fn find(&self, path: Option<&[u8]>) -> Option<NodeId> {
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

    #[inline]
    fn literal_child(&self, parent: NodeId, first: &[u8]) -> Option<Child> {
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
    fn after(&self, child: Child) -> Option<Child> {
        let next = self[child].next?;
        (self[self[child].parent].first != Some(next)).then_some(next)
    }

    /// Visits every value at and below a node.
    fn visit_all(&self, top: NodeId, visit: &mut impl FnMut(&V)) {
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

    fn filter(text: &str) -> Filter<'_> {
        Filter::new(text).expect("a filter")
    }

    fn topic(text: &str) -> Topic<'_> {
        Topic::new(text).expect("a topic")
    }

    #[test]
    fn visiting_order() {
        fn check(topics: &str, expect: &[&str]) {
            let mut tree = SubscriptionTree::new(1);
            for text in ["+/#", "a/+", "#", "a/b", "a/#", "+/b", "a/b/#", "+/+"] {
                assert_eq!(tree.insert(filter(text), text), None);
            }
            let mut found = Vec::new();
            tree.matches(topic(topics), |&text| found.push(text));
            assert_eq!(found, expect);
        }
        check("a/b", &["#", "a/#", "a/b/#", "a/b", "a/+", "+/#", "+/b", "+/+"]);
        check("a", &["#", "a/#", "+/#"]);
        check("b/c", &["#", "+/#", "+/+"]);
        check("$a/b", &[]);
    }

    #[test]
    fn retained_order() {
        fn check(wanted: &str, expect: &[&str]) {
            let mut tree = RetainedTree::new(1);
            for text in ["z", "a/b/c", "a", "$SYS/a", "a/b", "a/x/c", "b/c", "a/b/d", "/"] {
                assert_eq!(tree.insert(topic(text), text), None);
            }
            let mut found = Vec::new();
            tree.matches(filter(wanted), |&text| found.push(text));
            assert_eq!(found, expect);
        }
        check("#", &["z", "a", "a/b", "a/b/c", "a/b/d", "a/x/c", "b/c", "/"]);
        check("a/#", &["a", "a/b", "a/b/c", "a/b/d", "a/x/c"]);
        check("a/+/c", &["a/b/c", "a/x/c"]);
        check("+/c", &["b/c"]);
        check("+/+/c", &["a/b/c", "a/x/c"]);
        check("+/+", &["a/b", "b/c", "/"]);
        check("+", &["z", "a"]);
        check("$SYS/#", &["$SYS/a"]);
        check("$SYS/+", &["$SYS/a"]);
        check("+/a", &[]);
        check("a/b/d", &["a/b/d"]);
        check("a/b/d/#", &["a/b/d"]);
        check("a/x", &[]);
    }

    #[test]
    fn nodes() {
        /// How many nodes, the root among them, these filters need, and that none is left once they are gone.
        fn check(filters: &[&str], expect: usize) {
            let mut tree = SubscriptionTree::new(1);
            for text in filters {
                tree.insert(filter(text), ());
                tree.insert(filter("a/b/c/d/e"), ());
                tree.insert(filter("a/+/c/d/e"), ());
                tree.remove(filter("a/b/c/d/e"));
                tree.remove(filter("a/+/c/d/e"));
            }
            assert_eq!(tree.tree.nodes.len(), expect, "{filters:?}");
            assert_eq!(tree.len(), filters.len());
            for text in filters {
                assert_eq!(tree.remove(filter(text)), Some(()));
                assert_eq!(tree.remove(filter(text)), None);
            }
            assert_eq!((tree.tree.nodes.len(), tree.tree.children.len(), tree.is_empty()), (1, 0, true));
        }
        check(&["#"], 1);
        check(&["a/b/c/d"], 2);
        check(&["a/b/c/d", "a/b/#"], 3);
        check(&["a/b/c/d", "a/b/+/d"], 4);
        check(&["a/b", "a"], 3);
        check(&["a/b", "a/c", "a/+/#"], 5);
        check(&["/", "//", "///"], 4);
        check(&["+/+", "+"], 3);
    }
}

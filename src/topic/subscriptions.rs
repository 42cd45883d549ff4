//! From topics to the filters that match them.

use std::num::NonZeroU32;

use super::tree::{ROOT, Slot, Tree, ends_level, level, levels};
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
                    if let Some(after) = consume(&tree[child].label, text, at) {
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

/// Where the value of a filter lies: the path (`None` is the root) and the slot.
fn place(filter: Filter<'_>) -> (Option<&[u8]>, Slot) {
    match filter.as_str().as_bytes() {
        b"#" => (None, Slot::Below),
        text => text.strip_suffix(b"/#").map_or((Some(text), Slot::Own), |path| (Some(path), Slot::Below)),
    }
}

/// Matches a label, which may hold `+`, to the topic from `at` on; gives where the next level begins.
fn consume(label: &[u8], topic: &[u8], at: usize) -> Option<usize> {
    let end = at + label.len();
    if topic[at..].starts_with(label) && ends_level(topic, end) {
        return Some(end + 1);
    }
    let mut at = at;
    for wanted in levels(label) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visiting_order() {
        fn check(name: &str, expect: &[&str]) {
            let mut tree = SubscriptionTree::new(1);
            for text in ["+/#", "a/+", "#", "a/b", "a/#", "+/b", "a/b/#", "+/+"] {
                assert_eq!(tree.insert(Filter::new(text).expect("a filter"), text), None);
            }
            let mut found = Vec::new();
            tree.matches(Topic::new(name).expect("a topic"), |&text| found.push(text));
            assert_eq!(found, expect);
        }
        check("a/b", &["#", "a/#", "a/b/#", "a/b", "a/+", "+/#", "+/b", "+/+"]);
        check("a", &["#", "a/#", "+/#"]);
        check("b/c", &["#", "+/#", "+/+"]);
        check("$a/b", &[]);
    }
}

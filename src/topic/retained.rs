//! From filters to the topics that they match.

use std::num::NonZeroU32;

use super::tree::{ROOT, Slot, Tree, level, levels};
use super::{Filter, Topic};

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
                    match consume(label, text, at) {
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

/// What of a filter matched a label.
enum Consumed {
    /// As many levels as the label has; the next begins here.
    Levels(usize),
    /// All of it: `#` was met, and stands for whatever is left.
    All,
}

/// Matches the levels of a filter from `at` on to a label without wildcards.
fn consume(label: &[u8], filter: &[u8], at: usize) -> Option<Consumed> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retained_order() {
        fn check(wanted: &str, expect: &[&str]) {
            let mut tree = RetainedTree::new(1);
            for text in ["z", "a/b/c", "a", "$SYS/a", "a/b", "a/x/c", "b/c", "a/b/d", "/"] {
                assert_eq!(tree.insert(Topic::new(text).expect("a topic"), text), None);
            }
            let mut found = Vec::new();
            tree.matches(Filter::new(wanted).expect("a filter"), |&text| found.push(text));
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
}

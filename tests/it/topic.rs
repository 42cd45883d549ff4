//! Topics, filters and the trees that match them, against a matcher written here from 4.7 of the standard.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use testament::topic::{Filter, RetainedTree, SubscriptionTree, Topic};

/// Whether a filter matches a topic, by the definition and nothing else: recursive, on lists of levels.
fn oracle(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels(filter, topic),
            ([wanted, filter @ ..], [found, topic @ ..]) => wanted == found && levels(filter, topic),
            ([], []) => true,
            _ => false,
        }
    }
    let reserved = topic.as_bytes()[0] == b'$' && matches!(filter.as_bytes()[0], b'+' | b'#');
    !reserved && levels(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>())
}

/// Few names, so that levels meet; the empty one among them, and names that are the beginning of others.
fn level() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(""),
        Just("a"),
        Just("aa"),
        Just("b"),
        Just("$a"),
        Just("é"),
        Just("longer-than-a-label-in-a-node")
    ]
}

fn topic() -> impl Strategy<Value = String> {
    vec(level(), 1..6).prop_map(|levels| levels.join("/")).prop_filter("not empty", |text| !text.is_empty())
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 2 => Just("+")];
    (vec(level, 0..6), any::<bool>())
        .prop_map(|(mut levels, hash)| {
            if hash {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("not empty", |text| !text.is_empty())
}

/// Keys put into a tree and taken out again, by turns.
fn steps(key: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<(String, bool)>> {
    vec((key, prop::bool::weighted(0.7)), 0..80)
}

proptest! {
    #[test]
    fn a_filter_matches_as_the_oracle_says(filter in filter(), topic in topic()) {
        let found = Filter::new(&filter)?.matches(Topic::new(&topic)?);
        prop_assert_eq!(found, oracle(&filter, &topic));
    }

    #[test]
    fn a_subscription_tree_finds_what_the_oracle_finds(steps in steps(filter()), topics in vec(topic(), 8), seed: u64) {
        let (mut tree, mut list) = (SubscriptionTree::new(seed), BTreeMap::new());
        for (number, (key, insert)) in steps.iter().enumerate() {
            let key = Filter::new(key)?;
            prop_assert_eq!(tree.get(key), list.get(&key));
            if *insert {
                prop_assert_eq!(tree.insert(key, number), list.insert(key, number));
            } else {
                prop_assert_eq!(tree.remove(key), list.remove(&key));
            }
            prop_assert_eq!(tree.len(), list.len());
        }
        for topic in &topics {
            let mut found = Vec::new();
            tree.matches(Topic::new(topic)?, |&number| found.push(number));
            let mut again = Vec::new();
            tree.matches(Topic::new(topic)?, |&number| again.push(number));
            prop_assert_eq!(&found, &again);
            found.sort_unstable();
            let mut expect: Vec<_> =
                list.iter().filter(|(filter, _)| oracle(filter.as_str(), topic)).map(|(_, &number)| number).collect();
            expect.sort_unstable();
            prop_assert_eq!(found, expect, "{} in {:?}", topic, list);
        }
    }

    #[test]
    fn a_retained_tree_finds_what_the_oracle_finds(steps in steps(topic()), filters in vec(filter(), 8), seed: u64) {
        let (mut tree, mut list) = (RetainedTree::new(seed), BTreeMap::new());
        for (number, (key, insert)) in steps.iter().enumerate() {
            let key = Topic::new(key)?;
            prop_assert_eq!(tree.get(key), list.get(&key));
            if *insert {
                prop_assert_eq!(tree.insert(key, number), list.insert(key, number));
            } else {
                prop_assert_eq!(tree.remove(key), list.remove(&key));
            }
            prop_assert_eq!(tree.len(), list.len());
        }
        for filter in &filters {
            let mut found = Vec::new();
            tree.matches(Filter::new(filter)?, |&number| found.push(number));
            found.sort_unstable();
            let mut expect: Vec<_> =
                list.iter().filter(|(topic, _)| oracle(filter, topic.as_str())).map(|(_, &number)| number).collect();
            expect.sort_unstable();
            prop_assert_eq!(found, expect, "{} in {:?}", filter, list);
        }
    }

    #[test]
    fn the_order_depends_on_the_keys_and_not_on_the_seed(filters in vec(filter(), 0..40), topic in topic(), a: u64, b: u64) {
        let orders = [a, b].map(|seed| {
            let mut tree = SubscriptionTree::new(seed);
            for filter in &filters {
                tree.insert(Filter::new(filter).expect("a filter"), filter.as_str());
            }
            let mut found = Vec::new();
            tree.matches(Topic::new(&topic).expect("a topic"), |&filter| found.push(filter));
            found
        });
        prop_assert_eq!(&orders[0], &orders[1]);
    }
}

/// Every step of 512 levels down to the deepest a filter can be, under two first levels, walked on a stack far too small
/// for a call per level.
#[test]
fn the_deepest_trees_need_no_stack() {
    fn play() {
        let deep = "/".repeat(65_535);
        let topic = Topic::new(&deep).expect("a topic");
        let (mut filters, mut retained) = (SubscriptionTree::new(1), RetainedTree::new(1));
        let wild = "+/".repeat(32_767);
        let ends = || (1..wild.len()).step_by(1024);
        for end in ends() {
            assert_eq!(filters.insert(Filter::new(&wild[..end]).expect("a filter"), end), None);
            assert_eq!(retained.insert(Topic::new(&deep[..end]).expect("a topic"), end), None);
        }
        assert_eq!(filters.insert(Filter::new(&deep).expect("a filter"), 0), None);
        assert_eq!(filters.insert(Filter::new("#").expect("a filter"), 1), None);
        let mut found = Vec::new();
        filters.matches(topic, |&end| found.push(end));
        assert_eq!(found, [1, 0]);
        found.clear();
        retained.matches(Filter::new("#").expect("a filter"), |&end| found.push(end));
        assert_eq!(found, ends().collect::<Vec<_>>());
        for end in ends() {
            assert_eq!(filters.remove(Filter::new(&wild[..end]).expect("a filter")), Some(end));
        }
        assert_eq!(filters.len(), 2);
    }
    std::thread::Builder::new().stack_size(1 << 16).spawn(play).expect("a thread").join().expect("no overflow");
}

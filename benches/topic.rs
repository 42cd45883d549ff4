//! Matching topics to subscriptions: the tree against a naive list in the same run, by shape and number of filters.
//!
//! One iteration is one topic, drawn in advance so that most of the tree is cold, with the values of all filters that match
//! it summed. Read the ratios: the tree against the list, and a hundred thousand or a million filters against a thousand.

use std::cell::LazyCell;
use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use harness::rng::Rng;
use testament::topic::{Filter, RetainedTree, SubscriptionTree, Topic};

const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];
const TOPICS: usize = 1 << 16;

/// The `i`th filter of a shape, and a topic that it matches.
type Shape = fn(usize) -> (String, String);

const SHAPES: [(&str, Shape); 7] = [
    ("exact", exact),
    ("plus", |i| (format!("site/+/device/{i}/state"), format!("site/{}/device/{i}/state", i % 997))),
    ("hash", |i| (format!("site/{}/device/{i}/#", i % 997), format!("site/{}/device/{i}/state", i % 997))),
    // Twelve levels, two of which tell the filters apart.
    ("deep", |i| {
        let name = format!("org/plant/hall/{}/line/cell/rack/device/{i}/sensor/temperature/celsius", i % 997);
        (name.clone(), name)
    }),
    // Twelve levels, ten of which branch by four.
    ("bushy", |i| {
        let path = (0..12).map(|level| format!("{}/", i >> (22 - 2 * level))).collect::<String>();
        (format!("{path}end"), format!("{path}end"))
    }),
    ("wide", |i| (format!("d{i}"), format!("d{i}"))),
    MIXED,
];

const MIXED: (&str, Shape) = ("mixed", |i| match i % 10 {
    0 => (format!("+/{}/device/{i}/#", i % 997), format!("site/{}/device/{i}/state", i % 997)),
    1 => (format!("site/+/device/{i}/state"), format!("site/{}/device/{i}/state", i % 997)),
    2 => (format!("site/{}/device/{i}/#", i % 997), format!("site/{}/device/{i}/state", i % 997)),
    _ => exact(i),
});

fn exact(i: usize) -> (String, String) {
    let name = format!("site/{}/device/{i}/state", i % 997);
    (name.clone(), name)
}

/// Topics of random filters among the first `size`.
fn topics(shape: Shape, size: usize) -> Vec<String> {
    let mut rng = Rng::stream(7, "topics");
    (0..TOPICS).map(|_| shape(rng.below(size as u64) as usize).1).collect()
}

fn matching(c: &mut Criterion) {
    for (name, shape) in SHAPES {
        let mut group = c.benchmark_group(format!("subscriptions/{name}"));
        for size in SIZES {
            // Made at the first use, so that a run of one benchmark makes one tree.
            let tree = LazyCell::new(|| {
                let mut tree = SubscriptionTree::new(1);
                for i in 0..size {
                    tree.insert(Filter::new(&shape(i).0).expect("a filter"), i as u32);
                }
                tree
            });
            let topics = topics(shape, size);
            let mut turn = topics.iter().cycle();
            group.bench_function(BenchmarkId::new("tree", size), |b| {
                b.iter(|| {
                    let topic = Topic::new(turn.next().expect("topics")).expect("a topic");
                    let mut sum = 0u64;
                    tree.matches(topic, |&value| sum += u64::from(value));
                    black_box(sum)
                });
            });
        }
        group.finish();
    }
}

fn naive(c: &mut Criterion) {
    let (name, shape) = MIXED;
    let mut group = c.benchmark_group(format!("subscriptions/{name}"));
    group.sample_size(10);
    for size in SIZES {
        let filters = LazyCell::new(|| (0..size).map(|i| shape(i).0).collect::<Vec<_>>());
        let topics = topics(shape, size);
        let mut turn = topics.iter().cycle();
        group.bench_function(BenchmarkId::new("list", size), |b| {
            b.iter(|| {
                let topic = Topic::new(turn.next().expect("topics")).expect("a topic");
                let matching =
                    filters.iter().enumerate().filter(|(_, text)| Filter::new(text).expect("a filter").matches(topic));
                black_box(matching.map(|(value, _)| value as u64).sum::<u64>())
            });
        });
    }
    group.finish();
}

fn changing(c: &mut Criterion) {
    let (_, shape) = MIXED;
    let mut group = c.benchmark_group("subscriptions/subscribe-and-unsubscribe");
    for size in SIZES {
        let filters = LazyCell::new(|| (0..size).map(|i| shape(i).0).collect::<Vec<_>>());
        let mut tree = LazyCell::new(|| {
            let mut tree = SubscriptionTree::new(1);
            for text in filters.iter() {
                tree.insert(Filter::new(text).expect("a filter"), 0u32);
            }
            tree
        });
        let mut rng = Rng::stream(7, "changes");
        group.bench_function(BenchmarkId::new("tree", size), |b| {
            b.iter_batched(
                || Filter::new(&filters[rng.below(size as u64) as usize]).expect("a filter"),
                |filter| {
                    tree.remove(filter);
                    tree.insert(filter, 1)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn retained(c: &mut Criterion) {
    let mut group = c.benchmark_group("retained");
    for size in SIZES {
        let tree = LazyCell::new(|| {
            let mut tree = RetainedTree::new(1);
            for i in 0..size {
                tree.insert(Topic::new(&exact(i).1).expect("a topic"), i as u32);
            }
            tree
        });
        let topics = topics(exact, size);
        for (name, last) in [("exact", "state"), ("plus", "+"), ("hash", "#")] {
            let filters: Vec<_> = topics.iter().map(|topic| topic.replace("state", last)).collect();
            let mut turn = filters.iter().cycle();
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.iter(|| {
                    let filter = Filter::new(turn.next().expect("filters")).expect("a filter");
                    let mut sum = 0u64;
                    tree.matches(filter, |&value| sum += u64::from(value));
                    black_box(sum)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, matching, naive, changing, retained);
criterion_main!(benches);

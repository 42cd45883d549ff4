//! The link model alone: what a message and its acknowledgement cost, on links with and without losses. Ten thousand devices
//! take turns, so that no state stays in the nearest cache.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use harness::link::{Arrived, End, Link, Profile, Stack, Stream};
use harness::time::Instant;

const DEVICES: u64 = 10_000;
/// One publish every ten minutes.
const EVERY: Duration = Duration::from_secs(600);

struct Fleet {
    devices: Vec<(Link, Stream)>,
    now: Instant,
}

impl Fleet {
    fn new(profile: Profile) -> Self {
        let profile = Arc::new(profile);
        let device = |nth| {
            let mut link = Link::new(Arc::clone(&profile), 1, &format!("device {nth}"));
            let mut stream = Stream::open(Instant::ZERO, &mut link);
            play(&mut link, &mut stream, Instant::ZERO + EVERY);
            (link, stream)
        };
        Self { devices: (0..DEVICES).map(device).collect(), now: Instant::ZERO + EVERY }
    }

    /// Every device sends 120 bytes, and gets four for an answer.
    fn round(&mut self) {
        for (link, stream) in &mut self.devices {
            stream.send(self.now, link, End::Device, 120);
            play(link, stream, self.now + EVERY);
        }
        self.now += EVERY;
    }
}

fn play(link: &mut Link, stream: &mut Stream, until: Instant) {
    while let Some(due) = stream.deadline().filter(|due| *due < until) {
        while let Some(arrival) = stream.poll(due, link) {
            if arrival.end == End::Server && matches!(arrival.what, Arrived::Bytes(_)) {
                stream.send(due, link, End::Server, 4);
            }
        }
    }
}

fn exchanges(c: &mut Criterion) {
    let mut group = c.benchmark_group("link_exchange");
    group.throughput(Throughput::Elements(DEVICES)).sample_size(10);
    let constant = || Profile::constant(Duration::from_millis(100));
    let named = |name| testament::links::named(name).expect("a profile of ours");
    let profiles = [
        ("ideal", Profile { stack: Stack::Ideal, ..constant() }),
        ("no_loss", constant()),
        ("lte-m", named("lte-m")),
        ("2g-edge", named("2g-edge")),
    ];
    for (name, profile) in profiles {
        let mut fleet = Fleet::new(profile);
        group.bench_function(name, |b| b.iter(|| fleet.round()));
    }
    group.finish();
}

criterion_group!(benches, exchanges);
criterion_main!(benches);

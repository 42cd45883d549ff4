//! A fleet in virtual time: meters that publish at QoS 1 every ten minutes over LTE-M, broker and links included. An event is
//! something that was due at a moment: a packet or an acknowledgement that arrives, a timer. Beside the time the bench prints
//! how many bytes a device takes, all that is kept for it counted.
//!
//! No peer runs here, because none does this work: what simulates networks elsewhere moves messages between hosts, without
//! TCP's timers, without MQTT and without books of what was delivered.

#![expect(unsafe_code, reason = "a counting allocator is the only way to see what is held")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use harness::node::Node;
use harness::rng::Rng;
use harness::time::Instant;
use testament::broker::{Broker, Settings};
use testament::fleet::device::Floor;
use testament::fleet::run::options;
use testament::fleet::shard::Shard;
use testament::fleet::simulation::Simulation;
use testament::{links, scenario};

const DEVICES: usize = 10_000;
/// Every device publishes once in it.
const PERIOD: Duration = Duration::from_secs(600);

/// Counts the bytes that are held, and leaves the rest to the system.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The day of `scenarios/day.ron`, with fewer devices, as long as there can be, and its outage where no measurement comes.
fn fleet() -> Simulation<'static> {
    let day = include_str!("../scenarios/day.ron");
    let text = day.replace("count: 100000", &format!("count: {DEVICES}"));
    let text = text.replace("lasts: \"24h\"", "lasts: \"31d\"").replace("At(\"12h\"", "At(\"30d\"");
    let plan = scenario::check(&text, &links::all()).expect("a scenario of ours");
    let options: Vec<_> = plan.groups.iter().map(options).collect();
    let floor = Floor::new(plan, 1).expect("a small fleet");
    let start = || -> Box<dyn Node> {
        let settings = Settings { anonymous: true, ..Settings::default() };
        Box::new(Broker::new(settings, Rng::stream(1, "broker")))
    };
    Simulation::new(floor, Shard::WHOLE, &options, Box::new(start)).expect("a fleet that can connect")
}

fn meters(c: &mut Criterion) {
    let before = HELD.load(Ordering::Relaxed);
    let mut fleet = fleet();
    let mut now = Instant::ZERO + PERIOD * 3;
    fleet.play_until(now);
    let held = HELD.load(Ordering::Relaxed) - before;
    println!("a device takes {} bytes, {} of {DEVICES} are connected", held / DEVICES, fleet.connected());
    let so_far = fleet.events();
    now += PERIOD;
    fleet.play_until(now);
    let mut group = c.benchmark_group("fleet");
    group.throughput(Throughput::Elements(fleet.events() - so_far)).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4));
    group.bench_function("10k_meters_10_minutes", |b| {
        b.iter(|| {
            now += PERIOD;
            fleet.play_until(now);
        });
    });
    group.finish();
}

criterion_group!(benches, meters);
criterion_main!(benches);

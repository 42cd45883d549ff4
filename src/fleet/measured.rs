//! How a run itself went: what was measured by clocks and counters of the machine, and does not repeat.

use std::collections::{BTreeMap, BTreeSet};

use harness::metrics::{Merge, Spans};
use serde::{Deserialize, Serialize};

use super::report::Quantiles;
use super::words;

/// What was measured in one process, or in several together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What the devices spoke to, in words.
    pub target: String,
    /// Operating system and cores, in words.
    pub hosts: BTreeSet<String>,
    /// Seconds by the clock on the wall: those of the slowest.
    pub wall: f64,
    /// How many processes played.
    pub processes: u32,
    /// The most bytes of memory that each process had, all of them together, where the system says it.
    pub memory: Option<u64>,
    /// At which second of the run somebody interrupted it, if somebody did.
    pub interrupted: Option<f64>,
    /// How the sockets fared; absent in virtual time.
    pub live: Option<Live>,
}

/// How the generator of a live run fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// The share of time for which the loop of the busiest process had work, from 0 to 1.
    pub busy: f64,
    /// How much later than it was due everything was done that was due at a moment.
    pub late: Spans,
    /// How long connections waited for their turn to be made.
    pub waited: Spans,
    /// Bytes that the devices of all processes take, sockets in the kernel not counted, where the system says it.
    pub devices: Option<u64>,
    /// Why connections could not be made, and how often.
    pub failures: BTreeMap<String, u64>,
    /// What limited the run, in words.
    pub limits: BTreeSet<String>,
}

impl Merge for Measured {
    fn merge(&mut self, other: &Self) {
        self.target.clone_from(&other.target);
        self.hosts.extend(other.hosts.iter().cloned());
        self.wall = self.wall.max(other.wall);
        self.processes += other.processes;
        self.memory = sum(self.memory, other.memory);
        self.interrupted = [self.interrupted, other.interrupted].into_iter().flatten().reduce(f64::min);
        match (&mut self.live, &other.live) {
            (Some(live), Some(other)) => live.merge(other),
            (live, other) => *live = live.take().or_else(|| other.clone()),
        }
    }
}

impl Merge for Live {
    fn merge(&mut self, other: &Self) {
        self.busy = self.busy.max(other.busy);
        self.late.merge(&other.late);
        self.waited.merge(&other.waited);
        self.devices = sum(self.devices, other.devices);
        for (why, count) in &other.failures {
            *self.failures.entry(why.clone()).or_default() += count;
        }
        self.limits.extend(other.limits.iter().cloned());
    }
}

/// The sum of what is known.
fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).reduce(|one, other| one + other)
}

/// The same in a report: the `run` of its JSON form.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The command that plays it again.
    pub repeat: String,
    /// When it began, as `2026-11-22T20:00:00` in UTC; of shards, when they were joined.
    pub began: String,
    /// What the devices spoke to.
    pub target: String,
    /// Where it was played.
    pub hosts: BTreeSet<String>,
    /// Seconds by the clock on the wall.
    pub wall: f64,
    /// How many processes played.
    pub processes: u32,
    /// The most bytes of memory that the processes had together.
    pub memory: Option<u64>,
    /// At which second of the run somebody interrupted it, if somebody did.
    pub interrupted: Option<f64>,
    /// How the generator of a live run fared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<Fared>,
}

/// How the generator of a live run fared.
#[derive(Clone, Debug, Serialize)]
pub struct Fared {
    /// The share of time for which the loop of the busiest process had work, from 0 to 1.
    pub busy: f64,
    /// How much later than it was due everything was done, in seconds.
    pub late: Quantiles,
    /// How long connections waited for their turn to be made, in seconds.
    pub waited: Quantiles,
    /// Bytes that the devices take, sockets in the kernel not counted.
    pub devices: Option<u64>,
    /// Why connections could not be made, and how often.
    pub failures: BTreeMap<String, u64>,
    /// What limited the run.
    pub limits: BTreeSet<String>,
}

impl Run {
    /// What was `measured` of a run that `began` then and that `repeat` plays again.
    pub fn new(measured: &Measured, began: String, repeat: String) -> Self {
        let Measured { target, hosts, wall, processes, memory, interrupted, live } = measured.clone();
        let live = live.map(|live| Fared {
            busy: live.busy,
            late: Quantiles::of(&live.late),
            waited: Quantiles::of(&live.waited),
            devices: live.devices,
            failures: live.failures,
            limits: live.limits,
        });
        Self { repeat, began, target, hosts, wall, processes, memory, interrupted, live }
    }

    /// How it went, in words. There are so many `devices`.
    pub(super) fn words(&self, devices: u32) -> String {
        let took = words::seconds(Some(self.wall));
        let processes = if self.processes > 1 { format!(" by {} processes", self.processes) } else { String::new() };
        let memory = self.memory.map_or(String::new(), |memory| {
            let all = format!(", with {} MB of memory at its peak", words::count(memory.div_ceil(1_000_000)));
            // What a process takes before it has any device would hide what few of them take.
            let each =
                (devices >= 1000).then(|| format!(", {} bytes a device", words::count(memory / u64::from(devices))));
            all + &each.unwrap_or_default()
        });
        format!("played against {} in {took}{processes}{memory}", self.target)
    }

    /// How the generator of a live run fared and whether the run came to its end, sentence by sentence. There are so many
    /// `devices`.
    pub(super) fn fared(&self, devices: u32) -> Vec<String> {
        let mut said = self.live.as_ref().map_or_else(Vec::new, |live| live.words(devices));
        if let Some(second) = self.interrupted {
            let second = words::seconds(Some(second));
            said.push(format!("interrupted after {second} of the run: what follows from what came later is not known"));
        }
        said
    }
}

impl Fared {
    fn words(&self, devices: u32) -> Vec<String> {
        let [p50, p99, max] = [self.late.p50, self.late.p99, self.late.max].map(words::seconds);
        let mut said = vec![
            format!("its loop was busy for {:.0} % of the time", self.busy * 100.0),
            format!("it did what was due {p50} late (p50), {p99} (p99), {max} at most"),
        ];
        if let Some(waited) = self.waited.max.filter(|waited| *waited >= 0.1) {
            let waited = words::seconds(Some(waited));
            said.push(format!("connections waited up to {waited} for their turn to be made"));
        }
        if let Some(bytes) = self.devices {
            let each = words::count(bytes / u64::from(devices.max(1)));
            said.push(format!("a device takes {each} bytes, sockets in the kernel not counted"));
        }
        said.extend(self.failures.iter().map(|(why, count)| {
            let connections = words::some(*count, "connection", "connections");
            format!("{connections} could not be made: {why}")
        }));
        said.extend(self.limits.iter().map(|limit| format!("limited by {limit}")));
        said
    }
}

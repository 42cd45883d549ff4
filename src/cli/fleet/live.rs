//! A fleet in real time, in this process.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use harness::metrics::Spans;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::Instant as Moment;

use super::ground::Ground;
use super::{host, memory};
use crate::fleet::floor::Floor;
use crate::fleet::measured::{Live, Measured};
use crate::fleet::part::Part;
use crate::fleet::run::{Outcome, options, retained, visitor};
use crate::fleet::shard::Shard;
use crate::fleet::shore::{Gate, Landed, Shore};
use crate::fleet::simulation::Simulation;
use crate::net::fleet::{PER_SOURCE, Played, Standing, play};
use crate::scenario::plan::Plan;

/// Above this share of time the generator counts as what limited a run.
const BUSY: f64 = 0.9;
/// And where what is due is done so much later.
const LATE: Duration = Duration::from_millis(100);

/// What is played, and when it begins.
pub(super) struct Run {
    /// The scenario, as its file says it.
    pub(super) text: String,
    pub(super) plan: Plan,
    pub(super) shard: Shard,
    /// In seconds since 1970.
    pub(super) begin: f64,
    /// What limits it, as far as that is known beforehand.
    pub(super) limits: Vec<String>,
}

/// Seconds since 1970.
pub(super) fn unix() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Run {
    /// Plays it; `tell` hears once in a second how it stands.
    pub(super) fn play(self, ground: &Ground, tell: impl FnMut(Standing)) -> anyhow::Result<Part> {
        let Self { text, plan, shard, begin, limits } = self;
        let (seed, lasts) = (plan.seed, plan.lasts);
        let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
        let before = memory("VmRSS:");
        let options: Vec<_> = plan.groups.iter().map(options).collect();
        let names: Vec<_> = plan.groups.iter().map(|group| group.name.clone()).collect();
        let end = harness::time::Instant::ZERO + plan.lasts + plan.calm;
        // Tells this run from others on the same broker, the same in all its processes.
        let number = seed ^ (begin * 1000.0) as u64;
        let mut floor = Floor::new(plan, number).map_err(|why| anyhow!(why))?;
        if shard.of() > 1 {
            floor.ledger = floor.ledger.keeping_a_journal();
        }
        let devices: u32 = floor.plan.groups.iter().map(|group| shard.count(group.count)).sum();
        let fleet = Simulation::with_server(floor, shard, &options, Gate::default())
            .map_err(|(group, why)| anyhow!("group `{}`: {why}", names[group]))?;
        let shore = Shore::new(fleet);
        let wait = begin - unix();
        if wait < 0.0 && shard.of() > 1 {
            bail!("--begin has passed {:.1} s ago; give all shards a moment some seconds ahead", -wait);
        }
        let wait = Duration::from_secs_f64(wait.max(0.0));
        let (broken, mut breaks) = unbounded_channel();
        ground.play_restarts(&shore.fleet().floor.plan, wait, move |why| drop(broken.send(why)));
        let metrics = runtime.metrics();
        let (mut failure, mut busy) = (None, Duration::ZERO);
        let began = Instant::now() + wait;
        let late = visitor(&shore.fleet().floor, shard).map_err(|why| anyhow!("{why}"))?;
        let late = late.and_then(|late| {
            let (tls, version) = late.speaks();
            Some((late, ground.reach.dialer(tls, version)?.clone()))
        });
        let Played { shore, stopped, kept } = runtime.block_on(async {
            let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            let early = tokio::select! {
                () = tokio::time::sleep_until(Moment::from_std(began)) => false,
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
            };
            busy = metrics.worker_total_busy_duration(0);
            let stop = async {
                tokio::select! {
                    () = std::future::ready(()), if early => {}
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    Some(why) = breaks.recv() => failure = Some(why),
                }
            };
            io::Result::Ok(play(shore, &ground.reach, (Moment::from_std(began), end), tell, stop, late).await)
        })?;
        if let Some(why) = failure {
            return Err(why);
        }
        let after = memory("VmRSS:");
        let wall = began.elapsed();
        let busy = (metrics.worker_total_busy_duration(0) - busy).as_secs_f64() / wall.as_secs_f64().max(1e-9);
        let Landed { floor, connected, late, waited, failures } = shore.land();
        let mut limits: std::collections::BTreeSet<_> = limits.into_iter().collect();
        let kept = kept.and_then(|kept| {
            kept.map_err(|why| limits.insert(format!("the late subscriber, who learned of nothing retained: {why}")))
                .ok()
        });
        limits.extend(limited(busy, &late, &waited));
        let all = floor.plan.devices();
        if all > PER_SOURCE && ground.reach.listeners.values().any(|dialer| dialer.url.host == "127.0.0.1") {
            limits
                .insert(format!("{PER_SOURCE} devices a source address, hence {} addresses", all.div_ceil(PER_SOURCE)));
        }
        let live = Live {
            busy,
            late,
            waited,
            devices: before.zip(after).map(|(before, after)| after.saturating_sub(before)).filter(|_| devices > 0),
            failures,
            limits,
        };
        let measured = Measured {
            target: ground.name.clone(),
            hosts: [host()].into(),
            wall: wall.as_secs_f64(),
            processes: 1,
            memory: memory("VmHWM:"),
            interrupted: stopped.map(|at| at.elapsed().as_secs_f64()),
            live: Some(live),
        };
        let journal = floor.ledger.journal().cloned();
        let ended = stopped.unwrap_or(harness::time::Instant::ZERO + lasts.max(end.elapsed()));
        let retained = kept.map(|kept| retained(&floor, shard, kept, ended));
        let outcome = Outcome { balance: floor.ledger.settle(ended), tally: floor.tally, retained, connected };
        let part = Part::new(text, seed, shard, ended, outcome, measured);
        Ok(match journal {
            Some(journal) => part.open(journal),
            None => part,
        })
    }
}

/// What limited a run, by what was measured.
fn limited(busy: f64, late: &Spans, waited: &Spans) -> Vec<String> {
    let mut limits = Vec::new();
    if busy > BUSY {
        limits.push(format!("the processor: the loop had work for {:.0} % of the time", busy * 100.0));
    }
    if late.quantile(0.99).is_some_and(|late| late > LATE) {
        limits.push("the processor: what was due was done late, which shows in the latencies".to_owned());
    }
    if waited.longest().is_some_and(|waited| waited > Duration::from_secs(1)) {
        limits.push("the pace of connecting: no more sockets are opened at a time than a server lets wait".to_owned());
    }
    limits
}

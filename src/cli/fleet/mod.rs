//! `testament fleet`: plays a scenario and judges what became of it.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "how long a run took is measured here, and live ones are played by the clock"
)]

mod ground;
mod live;
pub(super) mod outputs;
mod progress;
mod welcome;
mod workers;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::conform::timestamp;
use super::text::{print, quoted, read};
use super::tls::Tls;
use super::{OK, TROUBLE, interrupt};
use crate::fleet::measured::Measured;
use crate::fleet::part::Part;
use crate::fleet::run::{floor, make, reference};
use crate::fleet::shard::Shard;
use crate::links;
use crate::scenario::plan::Plan;
use crate::scenario::{check, doubts};
use crate::sut::Target;
use ground::Ground;
use live::{Run, unix};
use outputs::Outputs;
use progress::Progress;
use workers::Line;

/// Means virtual time.
const VIRTUAL: &str = "virtual";
/// Descriptors that a process needs beside those of its devices.
const OWN_DESCRIPTORS: u64 = 300;
/// How far ahead a run may begin, in seconds.
const LATEST_BEGIN: f64 = 86_400.0;
/// The share of the others that is planned with: devices leave connections behind that the server has not missed yet.
const PLANNED: f64 = 0.8;

/// Options of `testament fleet`.
#[derive(Debug, Args)]
pub(super) struct Fleet {
    /// The scenario, a RON file; docs/scenarios.md shows every field
    scenario: PathBuf,
    /// Against whom: `virtual`, the bundled broker in virtual time; a URL (mqtt://, mqtts://, ws://, wss://); a broker that
    /// `testament list brokers` names, or the path of a broker file, which is started for the run
    #[arg(long, value_name = "TARGET", default_value = VIRTUAL)]
    target: String,
    /// Play in real time and on sockets, also where the target is the bundled broker; any other target is played so anyway
    #[arg(long)]
    live: bool,
    /// Only say what is wrong with the scenario
    #[arg(long)]
    check: bool,
    /// Where all randomness comes from, instead of what the scenario says
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    seed: Option<u64>,
    /// Play only the devices whose number in their group leaves the remainder I when divided by N, and write what they came
    /// to with --json; `testament merge` joins the shards and judges them
    #[arg(long, value_name = "I/N", conflicts_with_all = ["html", "junit", "markdown"])]
    shard: Option<Shard>,
    /// When a live run begins, in seconds since 1970: the same for all its shards
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = begin)]
    begin: Option<f64>,
    /// How many processes play a live run [default: as many as their descriptors ask for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(Shard::MOST)), conflicts_with = "shard")]
    workers: Option<u32>,
    /// A process of a run that another one started, which says on standard input where to
    #[arg(long, hide = true)]
    worker: bool,
    #[command(flatten)]
    tls: Tls,
    #[command(flatten)]
    outputs: Outputs,
}

impl Fleet {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let shown = self.scenario.display();
        let text = read("the scenario", &self.scenario)?;
        let mut plan = match check(&text, &links::all()) {
            Ok(plan) => plan,
            Err(problems) => {
                for problem in &problems {
                    eprintln!("{shown}:{problem}");
                }
                return Ok(TROUBLE);
            }
        };
        if !self.worker {
            for doubt in doubts(&text, &plan) {
                eprintln!("{shown}:{}: warning: {}", doubt.place, doubt.why);
            }
        }
        if self.check {
            let counted = |count: usize, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
            let (devices, groups) = (counted(plan.devices() as usize, "device"), counted(plan.groups.len(), "group"));
            print(&format!("{shown} is in order: {devices} in {groups}\n"))?;
            return Ok(OK);
        }
        plan.seed = self.seed.unwrap_or(plan.seed);
        if self.worker {
            return self.work(text, plan);
        }
        if self.shard.is_some() && self.outputs.json.is_none() {
            bail!("a shard writes what it came to with --json FILE; give it one");
        }
        match self.target.as_str() {
            VIRTUAL | Target::REFERENCE if self.live => self.play_live(text, plan, Target::Reference),
            VIRTUAL | Target::REFERENCE if self.begin.is_some() || self.workers.is_some() => {
                bail!("--begin and --workers are for live runs; add --live or --target, or leave them out")
            }
            VIRTUAL | Target::REFERENCE => self.play_virtually(text, plan),
            word => self.play_live(text, plan, Target::named(word)?),
        }
    }

    fn play_virtually(&self, text: String, plan: Plan) -> anyhow::Result<u8> {
        let (seed, end) = (plan.seed, harness::time::Instant::ZERO + plan.lasts + plan.calm);
        let shard = self.shard.unwrap_or(Shard::WHOLE);
        let devices = shard.devices(&plan);
        let interrupted = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&interrupted);
        // Whoever does so again does not want to wait for the report.
        interrupt::watch(move || !stop.swap(true, Ordering::Relaxed));
        let outputs = self.outputs.open()?;
        let (began, clock) = (timestamp(), Instant::now());
        // What devices hold from the first moment to the last lies in huge pages, if there are any, where it is at hand soonest.
        // What comes and goes would leave them half empty.
        take_huge_pages(false);
        let floor = floor(plan, shard);
        take_huge_pages(true);
        let made = floor.and_then(|floor| make(floor, shard, Box::new(move || reference(seed).with_room_for(devices))));
        take_huge_pages(false);
        let played = made.and_then(|made| made.play_unless(|| interrupted.load(Ordering::Relaxed)));
        let (played, stopped) = match played {
            Ok(played) => played,
            Err(why) => bail!("{}: {why}", self.scenario.display()),
        };
        let measured = Measured {
            target: "the bundled broker in virtual time".to_owned(),
            hosts: [host()].into(),
            wall: clock.elapsed().as_secs_f64(),
            processes: 1,
            memory: memory("VmHWM:"),
            interrupted: stopped.map(|at| at.elapsed().as_secs_f64()),
            live: None,
        };
        if let Some(shard) = self.shard {
            return outputs.part(&Part::new(text, seed, shard, stopped.unwrap_or(end), played.outcome, measured));
        }
        outputs.report(played, &measured, began, self.again(seed))
    }

    fn play_live(&self, text: String, mut plan: Plan, target: Target) -> anyhow::Result<u8> {
        let shard = self.shard.unwrap_or(Shard::WHOLE);
        if shard.of() > 1 && self.begin.is_none() {
            bail!(
                "the shards of a live run begin together: give all of them the same --begin, such as $(($(date +%s) + 10))"
            );
        }
        let seed = plan.seed;
        let outputs = self.outputs.open()?;
        let began = timestamp();
        let ground = Ground::open(target, &self.tls, &mut plan)?;
        welcome::ask(&ground, &plan, shard)?;
        let here: u32 = plan.groups.iter().map(|group| shard.count(group.count)).sum();
        let (workers, why) = self.workers.map_or_else(|| workers(here, ground.inside), |count| (count, None));
        // The processes first have to make their devices.
        let ahead = if workers > 1 { 1.5 + f64::from(here) / 10_000.0 } else { 0.0 };
        let begin = self.begin.unwrap_or_else(|| unix() + ahead);
        let mut progress = Progress::new(&plan);
        let run = Run { text, plan, shard, begin, limits: why.into_iter().collect() };
        let part = match workers {
            1 => run.play(&ground, |standing| progress.show(standing))?,
            _ if shard.of() > 1 => bail!(
                "{here} devices are more than one process has descriptors for; part the fleet into more than {} shards",
                shard.of()
            ),
            _ => workers::play(&run, workers, &ground, &self.arguments(seed, ground.broker.is_some()), |standing| {
                progress.show(standing)
            })?,
        };
        drop(progress);
        if self.shard.is_some() {
            return outputs.part(&part);
        }
        match part.played() {
            Ok((played, measured)) => outputs.report(played, &measured, began, self.again(seed)),
            Err(why) => bail!("{}: {why}", self.scenario.display()),
        }
    }

    /// Plays a part of a run that another process started.
    fn work(&self, text: String, mut plan: Plan) -> anyhow::Result<u8> {
        let handover = serde_json::from_reader(std::io::stdin()).context("--worker is for this program alone")?;
        let ground = Ground::taken_over(handover, &self.tls, &mut plan)?;
        let (shard, begin) = (self.shard.unwrap_or(Shard::WHOLE), self.begin.unwrap_or_else(unix));
        let say = |line: &Line| print(&(serde_json::to_string(line)? + "\n"));
        let run = Run { text, plan, shard, begin, limits: Vec::new() };
        workers(0, false);
        // Where nobody listens any more, nobody needs to know how it stands.
        let part = run.play(&ground, |standing| drop(say(&Line::Stands(standing))))?;
        say(&Line::CameTo(Box::new(part)))?;
        Ok(OK)
    }

    /// The arguments by which a worker process plays the same scenario against the same target.
    fn arguments(&self, seed: u64, ours: bool) -> Vec<String> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut arguments = vec![path(&self.scenario), "--seed".to_owned(), seed.to_string()];
        let files = [("--cafile", &self.tls.cafile), ("--cert", &self.tls.cert), ("--key", &self.tls.key)];
        for (option, file) in files {
            arguments.extend(file.iter().flat_map(|file| [option.to_owned(), path(file)]));
        }
        if self.tls.insecure || ours {
            arguments.push("--insecure".to_owned());
        }
        arguments
    }

    /// How to play it again.
    fn again(&self, seed: u64) -> String {
        let target = match self.target.as_str() {
            VIRTUAL | Target::REFERENCE if self.live => " --live".to_owned(),
            VIRTUAL => String::new(),
            target => format!(" --target {}", quoted(target)),
        };
        format!("testament fleet {}{target} --seed {seed}", quoted(&self.scenario.to_string_lossy()))
    }
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("write a whole number from 0 to {}", u64::MAX))
}

/// When a run begins. One that lies in the past is late, which is for the run to say.
fn begin(text: &str) -> Result<f64, String> {
    let latest = unix() + LATEST_BEGIN;
    text.parse()
        .ok()
        .filter(|begin| (0.0..=latest).contains(begin))
        .ok_or_else(|| "write seconds since 1970, such as $(($(date +%s) + 10)), no more than a day ahead".to_owned())
}

/// How many processes so many devices need, and why if that is more than one. `inside` says that the other ends of the
/// connections are in this process.
fn workers(devices: u32, inside: bool) -> (u32, Option<String>) {
    let limit = descriptors();
    let room = (limit.saturating_sub(OWN_DESCRIPTORS) as f64 * PLANNED) as u32;
    let here = if inside { devices.saturating_mul(2) } else { devices };
    if here <= room {
        return (1, None);
    }
    let count = devices.div_ceil(room.max(1)).max(1);
    // One worker process has all its descriptors for itself where the broker is in this one.
    let count = if inside { count.max(2) } else { count };
    (count, Some(format!("{limit} descriptors a process, hence {count} processes")))
}

/// How many descriptors this process may have, after it has asked for all it can get.
fn descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

/// Operating system, architecture and cores of this machine.
fn host() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} on {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH)
}

/// Whether memory is taken in huge pages from now on, where the system has them and can be told so.
fn take_huge_pages(take: bool) {
    #[cfg(target_os = "linux")]
    if let Err(why) = nix::sys::prctl::set_thp_disable(!take) {
        tracing::debug!("huge pages are used as before: {why}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = take;
}

/// A number of bytes of memory that the system knows of this process, where it says it.
fn memory(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

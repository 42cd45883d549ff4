//! `testament fleet`: plays a scenario and judges what became of it.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "how long a run took is measured here")]

pub(super) mod outputs;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;

use super::conform::timestamp;
use super::text::{print, quoted};
use super::{OK, TROUBLE};
use crate::fleet::measured::Measured;
use crate::fleet::part::Part;
use crate::fleet::run::play;
use crate::fleet::shard::Shard;
use crate::links;
use crate::scenario::check;
use outputs::Outputs;

/// Options of `testament fleet`.
#[derive(Debug, Args)]
pub(super) struct Fleet {
    /// The scenario, a RON file; docs/scenarios.md shows every field
    scenario: PathBuf,
    /// Only say what is wrong with the scenario
    #[arg(long)]
    check: bool,
    /// Where all randomness comes from, instead of what the scenario says
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Play only the devices whose number in their group leaves the remainder I when divided by N, and write what they came
    /// to with --json; `testament merge` joins the shards and judges them
    #[arg(long, value_name = "I/N", requires = "json", conflicts_with_all = ["html", "junit", "markdown"])]
    shard: Option<Shard>,
    #[command(flatten)]
    outputs: Outputs,
}

impl Fleet {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let shown = self.scenario.display();
        let text =
            std::fs::read_to_string(&self.scenario).with_context(|| format!("cannot read the scenario {shown}"))?;
        let mut plan = match check(&text, &links::all()) {
            Ok(plan) => plan,
            Err(problems) => {
                for problem in &problems {
                    eprintln!("{shown}:{problem}");
                }
                return Ok(TROUBLE);
            }
        };
        if self.check {
            print(&format!("{shown} is in order: {} devices in {} groups\n", plan.devices(), plan.groups.len()))?;
            return Ok(OK);
        }
        plan.seed = self.seed.unwrap_or(plan.seed);
        let (seed, end) = (plan.seed, harness::time::Instant::ZERO + plan.lasts + plan.calm);
        let outputs = if self.shard.is_some() { None } else { Some(self.outputs.open()?) };
        let (began, clock) = (timestamp(), Instant::now());
        let played = match play(plan, self.shard.unwrap_or(Shard::WHOLE)) {
            Ok(played) => played,
            Err(why) => bail!("{shown}: {why}"),
        };
        let measured = Measured {
            target: "the bundled broker in virtual time".to_owned(),
            hosts: [host()].into(),
            wall: clock.elapsed().as_secs_f64(),
            processes: 1,
            memory: most_memory(),
            live: None,
        };
        if let (Some(shard), Some(path)) = (self.shard, &self.outputs.json) {
            write_part(path, &Part::new(text, seed, shard, end, played.outcome, measured))?;
            return Ok(OK);
        }
        let again = format!("testament fleet {} --seed {seed}", quoted(&shown.to_string()));
        outputs.map_or(Ok(OK), |outputs| outputs.report(&played, &measured, began, again))
    }
}

/// Writes what one or several shards came to.
pub(super) fn write_part(path: &Path, part: &Part) -> anyhow::Result<()> {
    std::fs::write(path, serde_json::to_string(part)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Operating system, architecture and cores of this machine.
fn host() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} on {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH)
}

/// The most memory this process ever had, in bytes, where the system says it.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

//! `testament fleet`: plays a scenario and judges what became of it.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "how long a run took is measured here")]

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;

use super::text::print;
use super::{FAILED, OK, TROUBLE};
use crate::fleet::report::Run;
use crate::fleet::run::play;
use crate::links;
use crate::scenario::check;

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
    /// Write the report as JSON, in the form that docs/scenarios.md gives
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
        let began = Instant::now();
        let mut report = match play(plan) {
            Ok(report) => report,
            Err(why) => bail!("{shown}: {why}"),
        };
        report.run = Some(Run { wall: began.elapsed().as_secs_f64(), memory: most_memory() });
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&report)?;
            std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        }
        print(&report.text())?;
        if report.is_met() {
            return Ok(OK);
        }
        let seed = report.seed;
        print(&format!("\nAgain: testament fleet {shown} --seed {seed}\n"))?;
        Ok(FAILED)
    }
}

/// The most memory this process ever had, in bytes, where the system says it.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

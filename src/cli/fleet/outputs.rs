//! What `fleet` and `merge` make of a run: reports, and an exit code.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::cli::text::print;
use crate::cli::{FAILED, INTERRUPTED, OK};
use crate::fleet::measured::{Measured, Run};
use crate::fleet::report::Report;
use crate::fleet::run::Played;

/// Where reports go.
#[derive(Debug, Args)]
pub(in crate::cli) struct Outputs {
    /// Write the report as JSON, in the form that docs/scenarios.md gives
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) json: Option<PathBuf>,
}

impl Outputs {
    /// Writes what was asked for, and prints the rest; the number is the exit code. `again` plays the run again.
    pub(in crate::cli) fn report(&self, played: &Played, measured: &Measured, again: &str) -> anyhow::Result<u8> {
        let report = Report { run: Some(Run::from(measured)), ..played.report() };
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&report)?;
            std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        }
        print(&report.text())?;
        if measured.live.as_ref().is_some_and(|live| live.interrupted.is_some()) {
            return Ok(INTERRUPTED);
        }
        if report.is_met() {
            return Ok(OK);
        }
        print(&format!("\nAgain: {again}\n"))?;
        Ok(FAILED)
    }
}

//! `testament compare`: says what changed between two runs.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use harness::report::compare::{Comparison, Past};

use super::text::{print, read};
use super::{FAILED, OK};

/// Options of `testament compare`.
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// The report of the earlier run, by `testament conform --json`
    old: PathBuf,
    /// The report of the later run
    new: PathBuf,
    /// Print JSON, in the form that docs/command-line.md gives
    #[arg(long)]
    json: bool,
}

impl Compare {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let (old, new) = (past(&self.old)?, past(&self.new)?);
        let comparison = Comparison::of(&old, &new);
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&comparison)?))?;
        } else {
            let mut text = Vec::new();
            comparison.write(&mut text)?;
            print(&String::from_utf8_lossy(&text))?;
        }
        Ok(if comparison.worse() > 0 { FAILED } else { OK })
    }
}

fn past(path: &Path) -> anyhow::Result<Past> {
    Past::parse(&read("the report", path)?).with_context(|| format!("cannot compare {}", path.display()))
}

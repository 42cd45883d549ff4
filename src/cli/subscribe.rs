//! `testament sub`: subscribes and prints.

use clap::Args;

/// Options of `testament sub`.
#[derive(Debug, Default, Args)]
pub(super) struct Subscribe {}

impl Subscribe {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        anyhow::bail!("not there yet")
    }
}

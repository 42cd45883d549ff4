//! `testament pub`: publishes messages.

use clap::Args;

/// Options of `testament pub`.
#[derive(Debug, Default, Args)]
pub(super) struct Publish {}

impl Publish {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        anyhow::bail!("not there yet")
    }
}

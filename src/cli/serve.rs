//! `testament serve`: runs the reference broker.

use clap::Args;

/// Options of `testament serve`.
#[derive(Debug, Default, Args)]
pub(super) struct Serve {}

impl Serve {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        anyhow::bail!("not there yet")
    }
}

//! `testament conform`: judges a broker.

use clap::Args;

/// Options of `testament conform`.
#[derive(Debug, Default, Args)]
pub(super) struct Conform {}

impl Conform {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        anyhow::bail!("not there yet")
    }
}

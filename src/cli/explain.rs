//! `testament explain`: prints a rule or a case.

use clap::Args;

/// Options of `testament explain`.
#[derive(Debug, Default, Args)]
pub(super) struct Explain {}

impl Explain {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        anyhow::bail!("not there yet")
    }
}

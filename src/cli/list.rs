//! `testament list`: lists what there is.

use clap::Args;

/// Options of `testament list`.
#[derive(Debug, Default, Args)]
pub(super) struct List {}

impl List {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        anyhow::bail!("not there yet")
    }
}

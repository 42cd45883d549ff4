//! The whole trace of every run, passed ones included, as text: the same seed gives the same file byte for byte in
//! virtual time.

use std::io;

use crate::run::Report;
use crate::trace::Dissect;

/// Writes all that passed in each run of `report`, nothing cut. `dissect` gives a fresh dissector for a run of a protocol
/// version.
///
/// # Errors
/// Those of `out`.
pub fn write(
    out: &mut dyn io::Write,
    report: &Report,
    dissect: &dyn Fn(&'static str) -> Box<dyn Dissect>,
) -> io::Result<()> {
    for done in &report.results {
        writeln!(out, "# {} {} {}", done.id, done.protocol, done.verdict.as_str())?;
        for line in done.trace.in_words(&mut *dissect(done.protocol), usize::MAX) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

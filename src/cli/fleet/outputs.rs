//! What `fleet` and `merge` make of a run: reports, of which one may go to standard output, and an exit code.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::cli::sink::{Sink, for_people, one_takes_stdout, opened, written};
use crate::cli::text::{no_colour_is_unset, unless_closed};
use crate::cli::{FAILED, INTERRUPTED, OK};
use crate::fleet::measured::{Measured, Run};
use crate::fleet::part::Part;
use crate::fleet::report::{Report, html, junit, markdown, terminal};
use crate::fleet::run::Played;

/// Which reports are wanted, and where. `-` is standard output.
#[derive(Debug, Args)]
pub(in crate::cli) struct Outputs {
    /// Write the report for machines (docs/scenarios.md); `-` is standard output, here and below
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) json: Option<PathBuf>,
    /// Write a page to look at in a browser, all in one file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a report for build servers: each expectation is a test case
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a report in Markdown, for the summary page of a build
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Where reports go, opened before the run so that a wrong path costs no run.
pub(in crate::cli) struct Opened {
    json: Option<Sink>,
    html: Option<Sink>,
    junit: Option<Sink>,
    markdown: Option<Sink>,
    piped: bool,
}

impl Outputs {
    /// Makes or opens the files.
    ///
    /// # Errors
    /// If one cannot be written, or two want standard output.
    pub(in crate::cli) fn open(&self) -> anyhow::Result<Opened> {
        let paths = [&self.json, &self.html, &self.junit, &self.markdown].map(Option::as_deref);
        let piped = one_takes_stdout(paths)?;
        let [json, html, junit, markdown] = paths.map(opened);
        Ok(Opened { json: json?, html: html?, junit: junit?, markdown: markdown?, piped })
    }
}

/// Writes what one or several shards came to.
pub(in crate::cli) fn write_part(sink: Option<Sink>, part: &Part) -> anyhow::Result<()> {
    let write = |out: &mut dyn Write| {
        serde_json::to_writer(&mut *out, part)?;
        out.write_all(b"\n")
    };
    written(sink, write).context("cannot write what the shards came to")
}

impl Opened {
    /// Writes what a shard came to, for `testament merge`. That it was interrupted stands there, too: who plays shards need only
    /// know whether each left one.
    pub(in crate::cli) fn part(self, part: &Part) -> anyhow::Result<u8> {
        write_part(self.json, part).map(|()| OK)
    }

    /// Writes what was asked for, and prints the rest; the number is the exit code. `began` is when the run did, and
    /// `again` the command that plays it again.
    pub(in crate::cli) fn report(
        self,
        played: Played,
        measured: &Measured,
        began: String,
        again: String,
    ) -> anyhow::Result<u8> {
        let interrupted = measured.interrupted;
        let played = interrupted.into_iter().fold(played, Played::interrupted);
        let report = Report { run: Some(Run::new(measured, began, again)), ..played.report() };
        let met = report.is_met();
        self.write(&report).context("cannot write a report")?;
        Ok(match met {
            _ if interrupted.is_some() => INTERRUPTED,
            true => OK,
            false => FAILED,
        })
    }

    fn write(self, report: &Report) -> io::Result<()> {
        let (mut out, watched) = for_people(self.piped);
        let colour = watched && no_colour_is_unset();
        unless_closed(terminal::write(&mut out, report, colour).and_then(|()| out.flush()))?;
        written(self.json, |out| {
            serde_json::to_writer_pretty(&mut *out, report)?;
            out.write_all(b"\n")
        })?;
        written(self.html, |out| html::write(out, report))?;
        written(self.junit, |out| junit::write(out, report))?;
        written(self.markdown, |out| markdown::write(out, report))
    }
}

//! The reports that go to files, or one of them to standard output.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use harness::baseline::Baseline;
use harness::report::html::Html;
use harness::report::markdown::Markdown;
use harness::report::{Heading, json, junit, pcap, trace};
use harness::run::{Done, Report};
use harness::trace::Dissect;
use harness::world::Endpoint;

use crate::catalogue::catalogue;
use crate::cli::sink::{Sink, for_people, one_takes_stdout, opened, written};
use crate::net::url::default_port;
use crate::packet::Version;
use crate::suite::words::is_upgrade;

/// Which reports are wanted, and where. `-` is standard output.
#[derive(Debug, Default, Args)]
pub(super) struct Asked {
    /// Write a report for machines (docs/json-report.md); `-` is standard output, here and below
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a report for build servers
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a report in Markdown, for the summary page of a build
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write a page to look at in a browser, all in one file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write all that passed as a capture for Wireshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Write all that passed on the wire as text, also in cases that passed
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// Where reports go, opened before the run so that a wrong path costs no run.
pub(super) struct Outputs {
    json: Option<Sink>,
    junit: Option<Sink>,
    markdown: Option<Sink>,
    html: Option<Sink>,
    pcap: Option<Sink>,
    trace: Option<Sink>,
    /// Whether one of them takes standard output.
    piped: bool,
}

/// How reports put things.
pub(super) struct Words<'a> {
    /// A clause: its level and its rule.
    pub(super) rule: &'a dyn Fn(&str) -> Option<String>,
    /// The one command that plays a run again.
    pub(super) repeat: &'a dyn Fn(&Done) -> String,
    /// Packets.
    pub(super) dissect: &'a dyn Fn(&'static str) -> Box<dyn Dissect>,
    /// The deviations that are known.
    pub(super) baseline: &'a Baseline,
}

impl Asked {
    /// Whether there will be a page to look at.
    pub(super) fn has_page(&self) -> bool {
        self.html.is_some()
    }

    /// Makes or opens the files.
    ///
    /// # Errors
    /// If one cannot be written, or two want standard output.
    pub(super) fn open(&self) -> anyhow::Result<Outputs> {
        let paths = [&self.json, &self.junit, &self.markdown, &self.html, &self.pcap, &self.trace];
        let piped = one_takes_stdout(paths.map(Option::as_deref))?;
        Ok(Outputs {
            json: opened(self.json.as_deref())?,
            junit: opened(self.junit.as_deref())?,
            markdown: opened(self.markdown.as_deref())?,
            html: opened(self.html.as_deref())?,
            pcap: opened(self.pcap.as_deref())?,
            trace: opened(self.trace.as_deref())?,
            piped,
        })
    }
}

impl Outputs {
    /// Where the report for people goes, and whether somebody looks at it there.
    pub(super) fn for_people(&self) -> (Box<dyn Write>, bool) {
        for_people(self.piped)
    }

    /// Writes each report that was asked for.
    ///
    /// # Errors
    /// Those of the files.
    pub(super) fn write(
        self,
        heading: &Heading,
        report: &Report,
        versions: &[Version],
        began: &str,
        words: &Words<'_>,
    ) -> io::Result<()> {
        let Words { rule, repeat, dissect, baseline } = *words;
        written(self.json, |out| {
            let bound =
                catalogue().iter().filter(|each| versions.iter().any(|&version| catalogue().binds(&each.id, version)));
            json::write(out, heading, report, bound.map(|each| each.id.as_str()))
        })?;
        written(self.junit, |out| junit::write(out, heading, report, began))?;
        written(self.markdown, |out| Markdown { rule, repeat, baseline }.write(out, heading, report))?;
        written(self.html, |out| {
            let began = format!("{} UTC", began.replace('T', " "));
            Html { rule, repeat, began: &began, baseline }.write(out, heading, report)
        })?;
        // WebSocket frames are taken off already; what is left of that layer is the upgrade.
        written(self.pcap, |out| pcap::write(out, report, default_port(Endpoint::Tcp), &is_upgrade))?;
        written(self.trace, |out| trace::write(out, report, dissect))
    }
}

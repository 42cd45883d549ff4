//! The reports that go to files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use harness::report::html::Html;
use harness::report::markdown::Markdown;
use harness::report::{Heading, json, junit, pcap, trace};
use harness::run::{Done, Report};
use harness::trace::Dissect;
use harness::world::Endpoint;

use crate::catalogue::catalogue;
use crate::net::url::default_port;
use crate::packet::Version;
use crate::suite::words::is_upgrade;

/// Where reports go, opened before the run so that a wrong path costs no run.
pub(super) struct Outputs {
    pub(super) json: Option<File>,
    pub(super) junit: Option<File>,
    pub(super) markdown: Option<File>,
    pub(super) html: Option<File>,
    pub(super) pcap: Option<File>,
    pub(super) trace: Option<File>,
}

/// How reports put things.
pub(super) struct Words<'a> {
    /// A clause: its level and its rule.
    pub(super) rule: &'a dyn Fn(&str) -> Option<String>,
    /// The one command that plays a run again.
    pub(super) repeat: &'a dyn Fn(&Done) -> String,
    /// Packets.
    pub(super) dissect: &'a dyn Fn(&'static str) -> Box<dyn Dissect>,
}

impl Outputs {
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
        let Words { rule, repeat, dissect } = *words;
        if let Some(file) = self.json {
            let bound =
                catalogue().iter().filter(|each| versions.iter().any(|&version| catalogue().binds(&each.id, version)));
            let mut out = emptied(file)?;
            json::write(&mut out, heading, report, bound.map(|each| each.id.as_str()))?;
            out.flush()?;
        }
        if let Some(file) = self.junit {
            let mut out = emptied(file)?;
            junit::write(&mut out, heading, report, began)?;
            out.flush()?;
        }
        if let Some(file) = self.markdown {
            let mut out = emptied(file)?;
            Markdown { rule, repeat }.write(&mut out, heading, report)?;
            out.flush()?;
        }
        if let Some(file) = self.html {
            let mut out = emptied(file)?;
            let began = format!("{} UTC", began.replace('T', " "));
            Html { rule, repeat, began: &began }.write(&mut out, heading, report)?;
            out.flush()?;
        }
        if let Some(file) = self.pcap {
            let mut out = emptied(file)?;
            // WebSocket frames are taken off already; what is left of that layer is the upgrade.
            pcap::write(&mut out, report, default_port(Endpoint::Tcp), &is_upgrade)?;
            out.flush()?;
        }
        if let Some(file) = self.trace {
            let mut out = emptied(file)?;
            trace::write(&mut out, report, dissect)?;
            out.flush()?;
        }
        Ok(())
    }
}

/// The file at `path`, made if it is not there. What it holds stays until there is a report to replace it.
///
/// # Errors
/// If it cannot be written.
pub(super) fn created(path: Option<&Path>) -> anyhow::Result<Option<File>> {
    let open = |path: &Path| {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        file.with_context(|| format!("cannot write {}; check that the folder is there and yours", path.display()))
    };
    path.map(open).transpose()
}

/// The file, emptied.
fn emptied(file: File) -> io::Result<BufWriter<File>> {
    match file.set_len(0) {
        // A pipe or a terminal has no length and needs none.
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
        _ => Ok(BufWriter::new(file)),
    }
}

//! The file of a baseline: RON, one entry a line. The comment at its head stays when it is written anew.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use harness::baseline::{Baseline, Known};
use ron::Options;
use ron::extensions::Extensions;

/// What a file without a comment of its own begins with.
const HEAD: &str = "// Deviations that are known, each with the reason why it may stay: docs/command-line.md.\n";

/// A baseline and where it stands.
pub(in crate::cli) struct File {
    path: PathBuf,
    /// The lines before the list.
    head: String,
    pub(in crate::cli) baseline: Baseline,
}

impl File {
    /// Reads it. One that does not exist is empty if `may_be_new`.
    ///
    /// # Errors
    /// If it cannot be read or is no baseline, with the place.
    pub(in crate::cli) fn read(path: &Path, may_be_new: bool) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = match fs::read_to_string(path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound && may_be_new => format!("{HEAD}[]"),
            other => other
                .with_context(|| format!("cannot read the baseline {shown}; --update-baseline writes a first one"))?,
        };
        let entries: Vec<Known> = options().from_str(&text).map_err(|error| {
            let at = error.span.start;
            anyhow::anyhow!("{shown}:{}:{}: {}; docs/command-line.md shows the form", at.line, at.col, error.code)
        })?;
        let baseline = Baseline::new(entries).with_context(|| format!("{shown} is no baseline"))?;
        let comment = |line: &&str| line.starts_with("//");
        let head = text.lines().take_while(comment).map(|line| format!("{line}\n")).collect();
        Ok(Self { path: path.to_path_buf(), head, baseline })
    }

    /// Where it stands.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it anew.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let shown = self.path.display();
        let mut list = String::from("[\n");
        for Known { case, protocol, verdict, clause, reason } in self.baseline.entries() {
            let verdict = verdict.as_str();
            let clause = clause.as_ref().map_or_else(String::new, |clause| format!("clause: {clause:?}, "));
            // Rust escapes strings as RON does.
            let entry =
                format!("case: {case:?}, protocol: {protocol:?}, verdict: {verdict}, {clause}reason: {reason:?}");
            let _ = writeln!(list, "    ({entry}),");
        }
        list.push(']');
        fs::write(&self.path, format!("{}{list}\n", self.head)).with_context(|| format!("cannot write {shown}"))
    }
}

fn options() -> Options {
    Options::default().with_default_extension(Extensions::IMPLICIT_SOME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known.ron");
        let text = "// Mine.\n// All mine.\n[\n    (case: \"a/b\", protocol: \"5.0\", verdict: fail, clause: \"mqtt5:1\", \
                    reason: \"it's \\\"so\\\"\"),\n    (case: \"a/c\", protocol: \"3.1\", verdict: advise, \
                    reason: \"\"),\n]\n";
        fs::write(&path, text).unwrap();
        File::read(&path, false).unwrap().write().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn what_is_no_baseline_is_refused_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known.ron");
        let check = |text: &str, expect: &str| {
            fs::write(&path, text).unwrap();
            let error = File::read(&path, true).err().map_or_else(String::new, |error| format!("{error:#}"));
            assert!(error.contains(expect), "{text}: {error}");
        };
        let entry = "case: \"a/b\", protocol: \"5.0\", reason: \"\"";
        check(&format!("[({entry}, verdict: fail, note: \"\")]"), "known.ron:1:");
        check(&format!("[({entry}, verdict: fails)]"), "known.ron:1:");
        check("[(case: \"a/b\")]", "known.ron:1:");
        check(&format!("[({entry}, verdict: pass)]"), "is no baseline: a/b under 5.0 is listed as `pass`");
        check(&format!("[({entry}, verdict: fail)]"), "");
        fs::remove_file(&path).unwrap();
        assert!(File::read(&path, false).is_err());
        assert_eq!(File::read(&path, true).unwrap().baseline, Baseline::default());
    }
}

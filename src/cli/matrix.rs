//! `testament matrix`: judges many brokers, and puts what they do beside each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use harness::baseline::Known;
use harness::report::matrix::{Column, Matrix, Rule};

use super::conform::{known, timestamp};
use super::{OK, TROUBLE};
use crate::catalogue::catalogue;
use crate::sut::Target;
use crate::sut::broker_file::{BrokerFile, EMBEDDED};
use crate::sut::install;

/// Options of `testament matrix`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Which brokers to judge, by the names that `testament brokers list` gives, and `reference`; what the file says of
    /// others stays [default: the reference and all that are installed, and what the file says goes]
    names: Vec<String>,
    /// The file with all that was found
    #[arg(long, value_name = "FILE", default_value = "reports/matrix.json")]
    json: PathBuf,
    /// The page made of it
    #[arg(long, value_name = "FILE", default_value = "reports/matrix.md")]
    markdown: PathBuf,
    /// Where baselines lie, NAME-VERSION.baseline.ron, whose reasons become the notes of the page
    #[arg(long, value_name = "FOLDER", default_value = "fixtures/brokers")]
    baselines: PathBuf,
    /// Judge nobody: only make the page anew of the file
    #[arg(long, conflicts_with = "names")]
    render: bool,
}

impl Run {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let tool = env!("CARGO_PKG_VERSION");
        let names = self.judged()?;
        let mut matrix = match fs::read_to_string(&self.json) {
            Ok(text) if self.render || !self.names.is_empty() => {
                Matrix::parse(&text).with_context(|| format!("cannot read {}", self.json.display()))?
            }
            Err(why) if self.render => {
                return Err(why).with_context(|| format!("cannot read {}", self.json.display()));
            }
            _ => Matrix::new(tool),
        };
        let mut failed = Vec::new();
        for name in &names {
            eprintln!("testament: judging {name}");
            match judge(name) {
                Ok(column) => matrix.put(column),
                // One that does not run is no reason to lose the others.
                Err(why) => {
                    eprintln!("testament: {why:#}");
                    failed.push(name.as_str());
                }
            }
        }
        for column in &mut matrix.brokers {
            give_reasons(column, &self.baselines)?;
        }
        tool.clone_into(&mut matrix.tool);
        matrix.held_to(catalogue().iter().map(|each| Rule {
            id: each.id.clone(),
            section: each.section.clone(),
            level: each.level,
            rule: each.rule.clone(),
        }));
        written(&self.json, &matrix.to_json())?;
        written(&self.markdown, &matrix.to_markdown())?;
        if failed.is_empty() {
            return Ok(OK);
        }
        eprintln!("testament: not judged: {}; the reasons are above", failed.join(", "));
        Ok(TROUBLE)
    }

    /// Who is to be judged.
    fn judged(&self) -> anyhow::Result<Vec<String>> {
        for name in &self.names {
            if name != Target::REFERENCE && !EMBEDDED.iter().any(|(id, _)| id == name) {
                bail!("`{name}` is no name of a broker; `testament brokers list` gives them");
            }
        }
        if self.render || !self.names.is_empty() {
            return Ok(self.names.clone());
        }
        let mut names = vec![Target::REFERENCE.to_owned()];
        for &(id, text) in EMBEDDED {
            if install::version(&BrokerFile::parse(id, text)?).is_some() {
                names.push(id.to_owned());
            }
        }
        Ok(names)
    }
}

/// Judges one in a process of its own, so that whatever becomes of it, the others are judged, too.
fn judge(name: &str) -> anyhow::Result<Column> {
    let file = std::env::temp_dir().join(format!("testament-matrix-{}-{name}.json", std::process::id()));
    let mut command = Command::new(std::env::current_exe()?);
    let status =
        command.args(["conform", name, "--json"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let report = fs::read_to_string(&file);
    // It may not be there.
    let _ = fs::remove_file(&file);
    let (status, report) = (status?, report.unwrap_or_default());
    if report.is_empty() {
        bail!("`testament conform {name}` ended with {status} and without a report");
    }
    let date = timestamp();
    let day = date.split('T').next().unwrap_or_default();
    Column::of(name, day, &report).with_context(|| format!("cannot use the report of {name}"))
}

/// Takes the reasons over from the baseline of this version of the broker, where there is one.
fn give_reasons(column: &mut Column, folder: &Path) -> anyhow::Result<()> {
    let version = column.version.as_deref().unwrap_or_default();
    let path = folder.join(format!("{}-{version}.baseline.ron", column.id));
    let baseline = if path.exists() { known::File::read(&path, false)?.baseline } else { Default::default() };
    for finding in &mut column.findings {
        let speaks = |known: &&Known| known.case == finding.case && known.protocol == finding.protocol;
        finding.reason = baseline.entries().find(speaks).map(|known| known.reason.clone()).unwrap_or_default();
    }
    Ok(())
}

fn written(path: &Path, text: &str) -> anyhow::Result<()> {
    let shown = path.display();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder of {shown}"))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {shown}; check that the folder is yours"))
}

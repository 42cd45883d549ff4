//! `testament brokers`: says which brokers are here, and gets others.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::OK;
use super::text::{print, wrap};
use crate::sut::broker_file::{BrokerFile, EMBEDDED};
use crate::sut::install::{self, Step};
use crate::sut::{NoTarget, Target};

/// Options of `testament brokers`.
#[derive(Debug, Args)]
pub(super) struct Brokers {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say which of the brokers that can be judged by name are installed; `testament list brokers` says how each is started
    List {
        /// Print JSON, in the form that docs/command-line.md gives
        #[arg(long)]
        json: bool,
    },
    /// Install brokers, by their package managers; each command is printed before it runs
    Install {
        /// Names that `testament brokers list` gives, or paths of broker files
        #[arg(required = true)]
        names: Vec<String>,
        /// Only print the commands
        #[arg(long)]
        dry_run: bool,
    },
}

/// One broker, as JSON.
#[derive(Serialize)]
struct Row {
    id: &'static str,
    name: String,
    versions: Vec<&'static str>,
    installed: Option<String>,
}

impl Brokers {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        match self.what {
            What::List { json } => list(json)?,
            What::Install { names, dry_run } => {
                // All are read before anything is changed.
                let files = names.iter().map(|name| named(name)).collect::<anyhow::Result<Vec<_>>>()?;
                for file in &files {
                    install(file, dry_run)?;
                }
            }
        }
        Ok(OK)
    }
}

fn list(json: bool) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for &(id, text) in EMBEDDED {
        let file = BrokerFile::parse(id, text)?;
        let versions = file.versions().iter().map(|version| version.as_str()).collect();
        rows.push(Row { id, versions, installed: install::version(&file), name: file.name });
    }
    if json {
        return print(&(serde_json::to_string_pretty(&rows)? + "\n"));
    }
    let mut out = String::new();
    for Row { id, name, versions, installed } in &rows {
        let installed = installed.as_deref().unwrap_or("-");
        let _ = writeln!(out, "{id:16} {installed:14} {:16} {name}", versions.join(" "));
    }
    out.push('\n');
    wrap(
        &mut out,
        0,
        "Name, installed version, protocol versions. Get one that is missing: testament brokers install NAME.",
    );
    print(&out)
}

fn named(word: &str) -> anyhow::Result<BrokerFile> {
    match Target::named(word) {
        Ok(Target::Managed(file)) => Ok(*file),
        Ok(Target::Reference | Target::Address(_)) => bail!("`{word}` needs no installation; name a broker"),
        Err(NoTarget::Unknown { known, .. }) => {
            bail!("there is no broker `{word}`; `testament brokers list` names them, the closest: {known}")
        }
        Err(why) => Err(why.into()),
    }
}

fn install(file: &BrokerFile, dry_run: bool) -> anyhow::Result<()> {
    let name = &file.name;
    let home = install::home(&file.id).context("there is no place to install to; set HOME or XDG_DATA_HOME")?;
    for step in &file.install {
        if let Step::ByHand(how) = step {
            bail!("no package manager installs {name}: {how}");
        }
        if step.is_done() {
            continue;
        }
        for words in step.commands(&home) {
            let shown = words.join(" ");
            println!("{shown}");
            if dry_run {
                continue;
            }
            ensure!(
                !step.needs_root() || nix::unistd::geteuid().is_root(),
                "only root may do that; run it yourself: sudo {shown}"
            );
            run(&words, step.remedy()).with_context(|| format!("cannot install {name}"))?;
        }
    }
    if dry_run {
        return Ok(());
    }
    let version = install::version(file);
    let version = version.with_context(|| {
        format!("{name} was installed, but `{}` prints no version", file.words(&file.version).join(" "))
    })?;
    let note = if file.note.is_empty() { String::new() } else { format!("; {}", file.note) };
    println!("{name} {version} is installed{note}");
    Ok(())
}

/// Runs a command to its end; what it prints goes where ours goes.
fn run(words: &[String], remedy: &str) -> anyhow::Result<()> {
    let (program, arguments) = words.split_first().context("a step is a program and its arguments")?;
    let program = install::find(program).with_context(|| format!("`{program}` is not there; install it first"))?;
    let status = Command::new(program).args(arguments).status()?;
    ensure!(status.success(), "`{}` ended with {status}; {remedy}", words.join(" "));
    Ok(())
}

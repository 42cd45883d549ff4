//! `testament list`: lists cases, requirements or brokers.

use std::fmt::Write as _;

use anyhow::bail;
use clap::{Args, ValueEnum};
use harness::catalogue::{Coverage, Level};
use harness::report::counted;
use serde::Serialize;

use super::text::{print, wrap};
use crate::catalogue::{catalogue, home};
use crate::packet::Version;
use crate::suite;
use crate::sut::broker_file::{BrokerFile, EMBEDDED};

/// Options of `testament list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// What to list
    what: What,
    /// Only what concerns this version (3.1, 3.1.1 or 5.0)
    #[arg(long, value_name = "VERSION")]
    protocol: Option<Version>,
    /// Only what holds this text in its id or its sentence
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Only requirements that stand so with the suite
    #[arg(long, value_name = "STATE")]
    coverage: Option<Standing>,
    /// Print JSON, in the form that docs/command-line.md gives
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// The cases of the suite
    Cases,
    /// The rules of the standards, and where the suite stands with each
    Requirements,
    /// The brokers that `testament conform` knows by name, how it starts each and how to get it; `testament brokers list`
    /// says which are installed
    Brokers,
}

/// Where a requirement stands, by the word for it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Standing {
    /// A case judges it
    Covered,
    /// No case does, and its exception says why
    Exception,
    /// Only a peer of the client can see it
    Client,
    /// No case judges it yet
    Owed,
}

impl Standing {
    const fn coverage(self) -> Coverage {
        match self {
            Self::Covered => Coverage::Covered,
            Self::Exception => Coverage::Exception,
            Self::Client => Coverage::ClientOnly,
            Self::Owed => Coverage::Owed,
        }
    }
}

/// One case, as JSON.
#[derive(Serialize)]
struct CaseRow {
    id: &'static str,
    claim: &'static str,
    versions: Vec<&'static str>,
    covers: &'static [&'static str],
    alone: bool,
    exact_names: bool,
    heavy: bool,
}

/// One requirement, as JSON.
#[derive(Serialize)]
struct RequirementRow {
    id: &'static str,
    section: &'static str,
    level: String,
    actor: String,
    rule: &'static str,
    versions: Vec<&'static str>,
    coverage: Coverage,
    cases: Vec<&'static str>,
}

/// One broker file, as JSON.
#[derive(Serialize)]
struct BrokerRow {
    id: &'static str,
    name: String,
    versions: Vec<&'static str>,
    start: Vec<String>,
    install: String,
}

impl List {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        if self.coverage.is_some() && !matches!(self.what, What::Requirements) {
            bail!("--coverage is about requirements: testament list requirements --coverage owed");
        }
        match self.what {
            What::Cases => self.print(&self.cases(), cases_as_text),
            What::Requirements => self.print(&self.requirements(), requirements_as_text),
            What::Brokers => self.print(&self.brokers()?, brokers_as_text),
        }
    }

    fn print<T: Serialize>(&self, rows: &[T], as_text: fn(&[T]) -> String) -> anyhow::Result<u8> {
        let text = if self.json { serde_json::to_string_pretty(rows)? + "\n" } else { as_text(rows) };
        print(&text)?;
        Ok(super::OK)
    }

    fn wants(&self, versions: &[&str], texts: [&str; 2]) -> bool {
        let holds = |wanted: &String| texts.iter().any(|text| text.to_lowercase().contains(&wanted.to_lowercase()));
        self.protocol.is_none_or(|wanted| versions.contains(&wanted.as_str())) && self.filter.as_ref().is_none_or(holds)
    }

    fn cases(&self) -> Vec<CaseRow> {
        let rows = suite::cases().map(|case| CaseRow {
            id: case.id,
            claim: case.claim,
            versions: names(&catalogue().versions_of(case.covers)),
            covers: case.covers,
            alone: case.isolation.alone,
            exact_names: case.isolation.exact_names,
            heavy: case.isolation.heavy,
        });
        rows.filter(|row| self.wants(&row.versions, [row.id, row.claim])).collect()
    }

    fn requirements(&self) -> Vec<RequirementRow> {
        let covers = suite::cases().flat_map(|case| case.covers.iter().copied());
        let rows = catalogue().coverage(covers).map(|(each, coverage)| RequirementRow {
            id: &each.id,
            section: &each.section,
            level: each.level.to_string(),
            actor: each.actor.to_string(),
            rule: &each.rule,
            versions: names(&catalogue().versions_of(&[&each.id])),
            coverage,
            cases: suite::cases().filter(|case| case.covers.contains(&each.id.as_str())).map(|case| case.id).collect(),
        });
        let stands = |row: &RequirementRow| self.coverage.is_none_or(|wanted| wanted.coverage() == row.coverage);
        rows.filter(|row| stands(row) && self.wants(&row.versions, [row.id, row.rule])).collect()
    }

    fn brokers(&self) -> anyhow::Result<Vec<BrokerRow>> {
        let mut rows = Vec::new();
        for &(id, text) in EMBEDDED {
            let file = BrokerFile::parse(id, text)?;
            let (versions, install) = (names(&file.versions()), file.remedy());
            rows.push(BrokerRow { id, name: file.name, versions, start: file.start, install });
        }
        rows.retain(|row| self.wants(&row.versions, [row.id, &row.name]));
        Ok(rows)
    }
}

fn names(versions: &[Version]) -> Vec<&'static str> {
    versions.iter().map(|version| version.as_str()).collect()
}

fn cases_as_text(rows: &[CaseRow]) -> String {
    let mut out = String::new();
    for row in rows {
        let _ = writeln!(out, "{}  ({})", row.id, row.versions.join(", "));
        wrap(&mut out, 4, row.claim);
    }
    let runs: usize = rows.iter().map(|row| row.versions.len()).sum();
    let _ =
        writeln!(out, "\n{}, {} over the versions", counted(rows.len(), "case", "cases"), counted(runs, "run", "runs"));
    out
}

fn requirements_as_text(rows: &[RequirementRow]) -> String {
    let mut out = String::new();
    for row in rows {
        let _ = writeln!(out, "{:18} {:6} {:6} {}", row.id, row.level, row.actor, row.coverage.as_str());
        wrap(&mut out, 4, row.rule);
    }
    let _ = write!(out, "\n{:10}", "");
    for coverage in Coverage::ALL {
        let _ = write!(out, "{:>13}", coverage.as_str());
    }
    let _ = writeln!(out, "{:>13}", "owed MUST");
    for version in Version::ALL {
        let of: Vec<_> = rows.iter().filter(|row| home(row.id) == Some(version)).collect();
        let _ = write!(out, "{:10}", format!("MQTT {version}"));
        for coverage in Coverage::ALL {
            let _ = write!(out, "{:>13}", of.iter().filter(|row| row.coverage == coverage).count());
        }
        let must = Level::Must.to_string();
        let owed = of.iter().filter(|row| row.coverage == Coverage::Owed && row.level == must).count();
        let _ = writeln!(out, "{owed:>13}");
    }
    out
}

fn brokers_as_text(rows: &[BrokerRow]) -> String {
    let mut out = String::new();
    for row in rows {
        let _ = writeln!(out, "{}  ({})", row.id, row.versions.join(", "));
        wrap(&mut out, 4, &format!("{}, started as `{}`", row.name, row.start.join(" ")));
        wrap(&mut out, 4, &format!("without it: {}", row.install));
    }
    out.push('\n');
    wrap(
        &mut out,
        0,
        "Judge one of them: testament conform NAME. Any other: testament conform URL, or the path of a broker file.",
    );
    out
}

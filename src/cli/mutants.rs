//! `testament mutants`: which case tells which mutant from the reference broker.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::text::{print, wrap};
use super::{FAILED, OK};
use crate::mutant::{Mutant, mutants};
use crate::proof::{Kill, kill, killer, notice};
use crate::suite::cases;

/// Options of `testament mutants`.
#[derive(Debug, Args)]
pub(super) struct Mutants {
    /// Write a report for machines (docs/json-report.md)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Play every case against every mutant, and list the cases that kill none
    #[arg(long)]
    full: bool,
}

/// What became of the mutants.
#[derive(Serialize)]
struct Report {
    mutants: Vec<Row>,
    /// Cases that kill no mutant, if all were played.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<Vec<&'static str>>,
}

/// What became of one mutant.
#[derive(Serialize)]
struct Row {
    name: String,
    /// What it breaks: the requirement by which it was killed, or the first of all.
    clause: &'static str,
    clauses: Vec<&'static str>,
    killed_by: Option<&'static str>,
    /// Every case that kills it, if all were played.
    #[serde(skip_serializing_if = "Option::is_none")]
    killers: Option<Vec<&'static str>>,
    /// Every case that finds something wrong with it, whatever the case cites, if all were played.
    #[serde(skip_serializing_if = "Option::is_none")]
    noticed_by: Option<Vec<&'static str>>,
}

impl Mutants {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        // A file that cannot be written is found out before the work is done.
        let file = self.json.as_deref().map(|path| {
            let file = std::fs::File::create(path);
            file.with_context(|| format!("cannot write {}; check the folder", path.display()))
        });
        let file = file.transpose()?;
        let report = self.report();
        if let Some(file) = file {
            serde_json::to_writer_pretty(file, &report).context("cannot write the report")?;
        }
        print(&as_text(&report))?;
        Ok(if report.mutants.iter().all(|row| row.killed_by.is_some()) { OK } else { FAILED })
    }

    fn report(&self) -> Report {
        let mutants = mutants();
        let hidden = !io::stderr().is_terminal();
        let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::new(mutants.len() as u64) };
        let judge = |mutant: &Mutant| {
            let row = if self.full { in_full(mutant) } else { at_first(mutant) };
            bar.inc(1);
            row
        };
        let rows = side_by_side(&mutants, &judge);
        bar.finish_and_clear();
        let idle = self.full.then(|| {
            let busy: BTreeSet<_> = rows.iter().flat_map(|row| row.killers.iter().flatten().copied()).collect();
            cases().map(|case| case.id).filter(|id| !busy.contains(id)).collect()
        });
        Report { mutants: rows, idle }
    }
}

/// Stops at the first kill.
fn at_first(mutant: &Mutant) -> Row {
    row(mutant, killer(mutant))
}

fn in_full(mutant: &Mutant) -> Row {
    let kills: Vec<_> = cases().filter_map(|case| kill(case, mutant)).collect();
    let killers = kills.iter().map(|kill| kill.case).collect();
    let noticed_by = notice(mutant).collect();
    Row { killers: Some(killers), noticed_by: Some(noticed_by), ..row(mutant, kills.first().copied()) }
}

fn row(mutant: &Mutant, kill: Option<Kill>) -> Row {
    let first = mutant.clauses.first().copied().unwrap_or_default();
    Row {
        name: mutant.name.clone(),
        clause: kill.map_or(first, |kill| kill.clause),
        clauses: mutant.clauses.clone(),
        killed_by: kill.map(|kill| kill.case),
        killers: None,
        noticed_by: None,
    }
}

/// Does the work for each mutant, on every core, and gives the results in the order of the mutants.
fn side_by_side<T: Send>(mutants: &[Mutant], work: &(impl Fn(&Mutant) -> T + Sync)) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let waiting = Mutex::new(mutants.iter().enumerate());
    let take = || waiting.lock().ok()?.next();
    let each = || std::iter::from_fn(take).map(|(place, mutant)| (place, work(mutant))).collect::<Vec<_>>();
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(each)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn as_text(report: &Report) -> String {
    let width = report.mutants.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for row in &report.mutants {
        let _ = writeln!(out, "{:width$}  {:16}  {}", row.name, row.clause, row.killed_by.unwrap_or("SURVIVES"));
    }
    if let Some(idle) = &report.idle {
        out.push_str("\ncases that kill no mutant\n");
        wrap(&mut out, 4, &if idle.is_empty() { "none".to_owned() } else { idle.join(" ") });
    }
    let survivors = report.mutants.iter().filter(|row| row.killed_by.is_none()).count();
    let _ = writeln!(out, "\n{} mutants, {survivors} survive", report.mutants.len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survivor_and_an_idle_case_are_named() {
        let mutants = mutants();
        let killed = Some(Kill { case: "qos1/a", clause: mutants[0].clauses[0] });
        let rows = vec![row(&mutants[0], killed), row(&mutants[1], None)];
        let text = as_text(&Report { mutants: rows, idle: Some(vec!["qos2/b"]) });
        let check = |needle: &str| assert!(text.contains(needle), "{needle}: {text}");
        check("  qos1/a\n");
        check(&format!("{:16}  SURVIVES\n", mutants[1].clauses[0]));
        check("kill no mutant\n    qos2/b\n");
        check("\n2 mutants, 1 survive\n");
    }

    #[test]
    fn results_come_in_the_order_of_the_mutants() {
        let mutants = mutants();
        let names = side_by_side(&mutants, &|mutant: &Mutant| mutant.name.clone());
        assert!(names.iter().eq(mutants.iter().map(|mutant| &mutant.name)), "{names:?}");
    }
}

//! The table that people look at first: how many of the runs of each chapter passed, by protocol version.

use std::collections::BTreeMap;

use crate::run::{Done, Report, Summary};

/// The table.
pub(super) struct Chapters<'r> {
    /// The protocol versions, across.
    pub(super) protocols: Vec<&'r str>,
    /// The chapters, down, in the order of the run; for each protocol version what came of its runs.
    pub(super) rows: Vec<(&'r str, Vec<Summary>)>,
}

impl<'r> Chapters<'r> {
    pub(super) fn of(report: &'r Report) -> Self {
        let mut chapters: Vec<&str> = Vec::new();
        let mut cells: BTreeMap<(&str, &str), Vec<&Done>> = BTreeMap::new();
        for done in &report.results {
            let chapter = of(done);
            if !chapters.contains(&chapter) {
                chapters.push(chapter);
            }
            cells.entry((chapter, done.protocol)).or_default().push(done);
        }
        let mut protocols: Vec<_> = cells.keys().map(|&(_, protocol)| protocol).collect();
        protocols.sort_unstable();
        protocols.dedup();
        let row = |chapter| {
            let cell = |&protocol: &&str| Summary::of(cells.get(&(chapter, protocol)).into_iter().flatten().copied());
            (chapter, protocols.iter().map(cell).collect())
        };
        let rows = chapters.into_iter().map(row).collect();
        Self { protocols, rows }
    }
}

/// A cell in words: how many of those that were played passed. Skipped runs do not count.
pub(super) fn cell(summary: Summary) -> String {
    let played = played(summary);
    if played == 0 { "-".to_owned() } else { format!("{}/{played}", summary.pass) }
}

/// The chapter of a run.
pub(super) fn of(done: &Done) -> &'static str {
    done.id.split('/').next().unwrap_or_default()
}

/// How many were played and not skipped.
pub(super) const fn played(summary: Summary) -> usize {
    summary.total() - summary.skip
}

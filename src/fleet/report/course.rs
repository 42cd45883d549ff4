//! What happened over time, as rows of blocks: a picture made of text.

use super::{Point, Report};
use crate::fleet::words::{count, seconds};

/// How many columns show the course of a run.
const COLUMNS: usize = 76;

/// Something over time.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// One block for each column.
    pub(super) blocks: String,
    /// The highest there is, in words.
    pub(super) peak: String,
}

/// What a row shows.
struct Course {
    name: &'static str,
    of: fn(&Point) -> f64,
    peak: Peak,
}

/// How the peak of a row reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peak {
    /// A number that stays until something changes it.
    Level,
    /// How many in an interval.
    Rate,
    /// Seconds.
    Span,
}

const COURSES: [Course; 5] = [
    Course { name: "connected", of: |point| point.connected as f64, peak: Peak::Level },
    Course { name: "attempts", of: |point| (point.accepted + point.failed) as f64, peak: Peak::Rate },
    Course { name: "arrived", of: |point| point.arrived as f64, peak: Peak::Rate },
    Course { name: "waiting", of: |point| point.waiting as f64, peak: Peak::Level },
    Course { name: "p99", of: |point| point.latency.and_then(|it| it.p99).unwrap_or(0.0), peak: Peak::Span },
];

impl Report {
    /// What happened over time.
    pub(super) fn course(&self) -> impl Iterator<Item = Row> {
        COURSES.iter().map(|Course { name, of, peak }| {
            let most = self.series.points.iter().map(of).fold(0.0, f64::max);
            let blocks = self.blocks(|point| of(point) / most.max(f64::MIN_POSITIVE), *peak == Peak::Level);
            let peak = match peak {
                Peak::Level => count(most.round() as u64),
                Peak::Rate => format!("{} /s", rounded(most / self.series.width)),
                Peak::Span => seconds(Some(most)),
            };
            Row { name, blocks, peak }
        })
    }

    /// How to read it.
    pub(super) fn course_note(&self) -> String {
        format!(
            "One column is {}, and each row ends in its peak. Attempts: to connect. Waiting: messages not sent yet, or not \
             confirmed. p99: 99 of 100 messages that arrived then took no longer.",
            seconds(Some(self.column()))
        )
    }

    /// Where there were faults, by their numbers; `None` where there were none.
    pub(super) fn shaded(&self) -> Option<String> {
        let column = self.column();
        let mut row = vec![' '; COLUMNS];
        for (number, moment) in self.faults() {
            let place = |at: f64| ((at / column) as usize).min(COLUMNS - 1);
            let (from, to) = (place(moment.at), place(moment.until.unwrap_or(moment.at)));
            row[from..=to].iter_mut().filter(|cell| **cell == ' ').for_each(|cell| *cell = '=');
            // Apart from the number of another fault that began just before.
            let is_taken = |cell: &char| !matches!(cell, ' ' | '=');
            let taken = row[from..].iter().take_while(|cell| is_taken(cell)).count();
            let touches = taken > 0 || from.checked_sub(1).is_some_and(|before| is_taken(&row[before]));
            let number = if touches { format!(",{number}") } else { number.to_string() };
            for (cell, digit) in row[from + taken..].iter_mut().zip(number.chars()) {
                *cell = digit;
            }
        }
        let row: String = row.into_iter().collect();
        (!row.trim().is_empty()).then(|| row.trim_end().to_owned())
    }

    /// How many seconds a column stands for.
    fn column(&self) -> f64 {
        (self.lasts + self.calm) / COLUMNS as f64
    }

    /// A row of blocks, whose heights are shares from 0 to 1: of each column the highest. What `holds` stays where it is
    /// until something changes it.
    fn blocks(&self, height: impl Fn(&Point) -> f64, holds: bool) -> String {
        const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let column = self.column();
        let mut held = 0.0;
        let share = |place: usize| {
            let (from, to) = (column * place as f64, column * (place + 1) as f64);
            let inside = self.series.points.iter().filter(|point| (from..to).contains(&point.at));
            let heights: Vec<_> = inside.map(&height).collect();
            let highest = heights.iter().copied().fold(if heights.is_empty() && holds { held } else { 0.0 }, f64::max);
            held = heights.last().copied().unwrap_or(held);
            highest
        };
        let block = |share: f64| {
            let eighths = (share.clamp(0.0, 1.0) * 8.0).round() as usize;
            // Little is not nothing.
            BLOCKS[if share > 0.0 { eighths.max(1) } else { 0 }]
        };
        (0..COLUMNS).map(share).map(block).collect()
    }
}

fn rounded(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { count(rate.round() as u64) }
}

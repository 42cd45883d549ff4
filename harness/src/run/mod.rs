//! The runner: plays prepared cases side by side, judges what they found, and emits events.
//!
//! It knows neither the protocol nor the target: what a clause binds to, how bytes read in words and whether the target
//! still stands are handed in. Reports only consume what it emits. This page is what goes in and what comes out; `runner`
//! decides what is played when and again, `round` plays it side by side.

mod round;
mod runner;

use std::time::Duration;

use crate::case::{Isolation, Played, Verdict};
use crate::trace::Trace;
use crate::world::Broken;

pub use runner::Runner;

/// One case under one version of the protocol, ready to be played any number of times.
pub struct Run<'a> {
    /// The case.
    pub id: &'static str,
    /// What a conforming implementation does.
    pub claim: &'static str,
    /// The version, as reports write it: `3.1`, `3.1.1` or `5.0`.
    pub protocol: &'static str,
    /// The requirements judged under this version.
    pub clauses: Vec<&'static str>,
    /// What it needs of its surroundings.
    pub isolation: Isolation,
    /// Plays it, each time in a world of its own.
    pub play: Box<dyn Fn() -> Played + Send + Sync + 'a>,
}

/// What came of one [`Run`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The case.
    pub id: &'static str,
    /// What a conforming implementation does.
    pub claim: &'static str,
    /// The version.
    pub protocol: &'static str,
    /// The requirements judged.
    pub clauses: Vec<&'static str>,
    /// What is said of it.
    pub verdict: Verdict,
    /// How long it took by the runner's clock.
    pub duration: Duration,
    /// All that passed.
    pub trace: Trace,
    /// What came of its bystander in company, in words, where that came to harm: the verdict is then that of a second
    /// play, alone.
    pub in_company: Option<String>,
}

/// What the runner tells whoever listens, as it happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many runs will be played.
    Planned(usize),
    /// A run begins; its id and protocol.
    Started(&'static str, &'static str),
    /// A run ended. If it is played again, as one that may have done harm or suffered it, the last time counts.
    Finished(&'a Done),
    /// The target died while `suspects` runs were in flight; they are played again, in smaller company.
    Died {
        /// How, in words.
        how: &'a str,
        /// How many runs were in flight; none where the one that did it is known, or the target is lost.
        suspects: usize,
    },
    /// Bystanders came to harm in company; those runs are played again alone, and then, without them, whoever shared time
    /// with one.
    Harmed {
        /// Whose bystander it was, by id and protocol, and what came of it, in words.
        bystanders: &'a [(&'static str, &'static str, String)],
        /// How many runs shared time with one.
        neighbours: usize,
    },
    /// Runs came to no verdict in company, and are played again, alone.
    Doubtful {
        /// Which, by id and protocol.
        runs: &'a [(&'static str, &'static str)],
    },
    /// Nothing follows.
    RunFinished(&'a Report),
}

/// Everything that came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order the runs were handed in, whatever order they ended in.
    pub results: Vec<Done>,
    /// How many runs were not played, because of `fail_fast` or because the run was cut short.
    pub unplayed: usize,
    /// What ended the run before its end, in words, where anything did: the target was lost for good, or somebody
    /// interrupted it.
    pub cut_short: Option<String>,
}

/// How many runs got which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[expect(missing_docs, reason = "each field is the verdict it is named after")]
pub struct Summary {
    pub pass: usize,
    pub fail: usize,
    pub advise: usize,
    pub skip: usize,
    pub inconclusive: usize,
    pub broken: usize,
}

impl Summary {
    /// Counts `results`.
    pub fn of<'a>(results: impl IntoIterator<Item = &'a Done>) -> Self {
        let mut summary = Self::default();
        for done in results {
            *match done.verdict {
                Verdict::Pass => &mut summary.pass,
                Verdict::Skip(_) => &mut summary.skip,
                Verdict::Advise(_) => &mut summary.advise,
                Verdict::Inconclusive(_) => &mut summary.inconclusive,
                Verdict::Fail(_) => &mut summary.fail,
                Verdict::Broken(_) => &mut summary.broken,
            } += 1;
        }
        summary
    }

    /// All of them.
    pub const fn total(&self) -> usize {
        self.pass + self.fail + self.advise + self.skip + self.inconclusive + self.broken
    }
}

/// The system under test where all runs share one, as something that may die under the runner's hands.
pub trait Target: Send + Sync {
    /// Whether it still stands, else how it died. Called after each run; `doubtful` says that the run did not end well,
    /// so that a closer look is worth its price.
    ///
    /// # Errors
    /// How it died, in words.
    fn check(&self, doubtful: bool) -> Result<(), String>;

    /// Brings it back after a death.
    ///
    /// # Errors
    /// Why that is not possible; the run then stops with what was learned.
    fn revive(&self) -> Result<(), Broken>;
}

impl Run<'_> {
    fn done(&self, verdict: Verdict, duration: Duration, trace: Trace) -> Done {
        let Self { id, claim, protocol, ref clauses, .. } = *self;
        Done { id, claim, protocol, clauses: clauses.clone(), verdict, duration, trace, in_company: None }
    }
}

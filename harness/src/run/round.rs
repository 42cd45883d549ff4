//! One round: runs side by side, until they are done, the target dies or a Fail ends it.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::runner::Table;
use super::{Done, Run, Runner};
use crate::case::{Deviation, Played, Stop, Verdict};
use crate::guard::catch;
use crate::trace::Trace;

/// In what company runs are played.
#[derive(Clone, Copy)]
pub(super) struct Party {
    pub(super) jobs: usize,
    /// Each is alone by its nature, or was in flight when the target died.
    pub(super) suspected: bool,
}

impl Party {
    /// No company at all.
    pub(super) const ALONE: Self = Self { jobs: 1, suspected: true };

    /// If the target dies now, there is no doubt who did it.
    const fn is_one_suspect(self) -> bool {
        self.jobs == 1 && self.suspected
    }
}

impl Runner<'_> {
    /// Plays `todo` side by side until it is done, the target dies or a Fail ends it.
    pub(super) fn play_round(&self, todo: &[usize], table: &mut Table<'_, '_>, party: Party) -> Round {
        let (heavy, light) = todo.iter().partition(|&&at| table.runs[at].isolation.heavy);
        let round = Mutex::new(Round { heavy, light, ..Round::default() });
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            for job in 0..party.jobs.min(todo.len()) {
                let (tell, round, runs) = (tell.clone(), &round, table.runs);
                let takes_heavy = job < self.heavy.max(1);
                scope.spawn(move || self.work(takes_heavy, runs, round, party, &tell));
            }
            drop(tell);
            for message in told {
                match message {
                    Message::Started(at) => table.started(at),
                    Message::Finished(at, done) => table.finished(at, *done),
                }
            }
        });
        let mut round = round.into_inner().unwrap_or_else(PoisonError::into_inner);
        round.left.extend(std::mem::take(&mut round.heavy));
        round.left.extend(std::mem::take(&mut round.light));
        round
    }

    /// What one thread of a round does. The first few take heavy runs as long as there are any.
    fn work(&self, takes_heavy: bool, runs: &[Run<'_>], round: &Mutex<Round>, party: Party, tell: &Sender<Message>) {
        loop {
            // Bound first, so that the lock is not held while the run plays.
            let (next, after) = {
                let mut round = lock(round);
                (round.next(takes_heavy), round.watched.len())
            };
            let Some(at) = next else { return };
            let run = &runs[at];
            // Nobody listens any more only if the runner itself has panicked.
            let _ = tell.send(Message::Started(at));
            let (played, duration) = self.time(run);
            // A death is never just advice, whatever the clauses are.
            let killed = |how: &str| {
                let clauses = run.clauses.clone();
                Verdict::Fail(self.judge.evidence(run.protocol, &played.trace, clauses, run.claim, how))
            };
            let mut verdict = match &played.died {
                Some(how) => killed(how),
                None => self.judge.verdict(run.protocol, &run.clauses, &played),
            };
            let health = self.check(&verdict);
            let mut round = lock(round);
            if let Err(how) = health {
                if party.is_one_suspect() {
                    verdict = killed(&how);
                }
                round.died.get_or_insert(how);
            }
            if round.died.is_some() && !party.is_one_suspect() {
                round.suspects.push(at);
                return;
            }
            let in_company = !party.is_one_suspect();
            if run.isolation.bystander && in_company {
                let harmed = match &played.outcome {
                    // It may have been dropped before the play could come to the point, too.
                    Err(Stop::Harm(Deviation { came, .. }) | Stop::Inconclusive(came)) => Some(came.clone()),
                    _ => None,
                };
                round.watched.push(Watched { at, after, harmed });
                if let Err(Stop::Harm(_)) = played.outcome {
                    continue;
                }
            } else if in_company && self.target.is_some() && matches!(verdict, Verdict::Inconclusive(_)) {
                round.doubtful.push(at);
            }
            round.failed |= self.fail_fast && matches!(verdict, Verdict::Fail(_));
            let _ = tell.send(Message::Finished(at, Box::new(run.done(verdict, duration, played.trace))));
        }
    }

    fn time(&self, run: &Run<'_>) -> (Played, Duration) {
        let began = (self.clock)();
        let played = catch(|| (run.play)()).unwrap_or_else(|panic| {
            let outcome = Err(Stop::Broken(format!("the run panicked, which is a defect of the tester: {panic}")));
            Played { outcome, remarks: Vec::new(), died: None, trace: Trace::default() }
        });
        (played, (self.clock)().saturating_sub(began))
    }

    fn check(&self, verdict: &Verdict) -> Result<(), String> {
        let doubtful = !matches!(verdict, Verdict::Pass | Verdict::Skip(_));
        self.target.map_or(Ok(()), |target| target.check(doubtful))
    }
}

/// What the threads of a round share: runs by their place in the list.
#[derive(Default)]
pub(super) struct Round {
    heavy: VecDeque<usize>,
    light: VecDeque<usize>,
    /// In flight when the target died.
    pub(super) suspects: Vec<usize>,
    /// Those that watch over a bystander, in the order they ended.
    pub(super) watched: Vec<Watched>,
    /// Those that do not, and came to no verdict.
    pub(super) doubtful: Vec<usize>,
    /// Not begun.
    pub(super) left: Vec<usize>,
    pub(super) died: Option<String>,
    failed: bool,
}

impl Round {
    fn next(&mut self, takes_heavy: bool) -> Option<usize> {
        if self.died.is_some() || self.failed {
            return None;
        }
        let heavy = if takes_heavy { self.heavy.pop_front() } else { None };
        heavy.or_else(|| self.light.pop_front())
    }
}

/// A run that watches over a bystander and has ended.
pub(super) struct Watched {
    pub(super) at: usize,
    /// How many of these had ended when it began.
    after: usize,
    /// What came of its bystander, where that was harmed.
    pub(super) harmed: Option<String>,
}

/// The runs that shared time with one whose bystander came to harm, and whose own did not, in the order of the list. The
/// others cannot have done it, and a run without a bystander could not be convicted.
pub(super) fn neighbours(watched: &[Watched]) -> Vec<usize> {
    let met = |(place, one): (usize, &Watched), (end, other): (usize, &Watched)| {
        other.harmed.is_some() && place >= other.after && end >= one.after
    };
    let all = || watched.iter().enumerate();
    let mut neighbours: Vec<_> = all()
        .filter(|one| one.1.harmed.is_none() && all().any(|other| met(*one, other)))
        .map(|(_, one)| one.at)
        .collect();
    neighbours.sort_unstable();
    neighbours
}

enum Message {
    Started(usize),
    Finished(usize, Box<Done>),
}

/// A thread that panicked has not left the round half changed: nothing in it panics between two changes.
fn lock(round: &Mutex<Round>) -> MutexGuard<'_, Round> {
    round.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_those_that_shared_time_with_a_run_that_suffered() {
        // Each is: how many had ended when it began, and whether its bystander came to harm.
        fn check(watched: &[(usize, bool)], expect: &[usize]) {
            let one =
                |(at, &(after, harmed)): (_, &(usize, bool))| Watched { at, after, harmed: harmed.then(String::new) };
            assert_eq!(neighbours(&watched.iter().enumerate().map(one).collect::<Vec<_>>()), expect, "{watched:?}");
        }
        check(&[], &[]);
        check(&[(0, false), (0, false)], &[]);
        check(&[(0, true)], &[]);
        // One that ended before, one that began after, and one that met it at either end.
        check(&[(0, false), (1, true), (2, false)], &[]);
        check(&[(0, false), (0, true), (1, false)], &[0, 2]);
        check(&[(0, false), (1, false), (1, true), (2, false), (3, false)], &[1, 3]);
    }
}

//! The runner: plays prepared cases side by side, judges what they found, and emits events.
//!
//! It knows neither the protocol nor the target: what a clause binds to, how bytes read in words and whether the target
//! still stands are handed in. Reports only consume what it emits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::case::{Deviation, Isolation, Played, Stop, Verdict};
use crate::guard::catch;
use crate::judge::Judge;
use crate::trace::Trace;
use crate::world::Broken;

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

/// Plays runs.
pub struct Runner<'a> {
    /// How many runs are played side by side.
    pub jobs: usize,
    /// How many of those that watch over a bystander are played side by side: what they do to each other is noticed, and
    /// sorted out alone.
    pub watched: usize,
    /// How many of those played side by side may be heavy ones.
    pub heavy: usize,
    /// Begin nothing new after the first Fail.
    pub fail_fast: bool,
    /// Gives the verdicts.
    pub judge: Judge<'a>,
    /// The system under test; `None` where each run brings its own.
    pub target: Option<&'a dyn Target>,
    /// Time since some fixed moment.
    pub clock: &'a (dyn Fn() -> Duration + Sync),
}

impl Runner<'_> {
    /// Plays `runs`, those that need to be alone last, and tells `emit` what happens as it happens.
    pub fn play(&self, runs: &[Run<'_>], emit: &mut dyn FnMut(Event<'_>)) -> Report {
        let done = runs.iter().map(|_| None).collect();
        let mut table = Table { runs, done, harmed: BTreeMap::new(), cut_short: None, emit };
        (table.emit)(Event::Planned(runs.len()));
        let (alone, company): (Vec<_>, Vec<_>) = (0..runs.len()).partition(|&at| runs[at].isolation.alone);
        // In one party those that wait hold up nobody; a fragile target is worth two.
        let (watched, company) =
            company.into_iter().partition(|&at| runs[at].isolation.bystander && self.watched > self.jobs);
        self.play_all(company, &mut table, Party { jobs: self.jobs.max(1), suspected: false });
        self.play_all(watched, &mut table, Party { jobs: self.watched, suspected: false });
        self.play_all(alone, &mut table, Party { jobs: 1, suspected: true });
        let unplayed = table.done.iter().filter(|done| done.is_none()).count();
        let report =
            Report { results: table.done.into_iter().flatten().collect(), unplayed, cut_short: table.cut_short };
        (table.emit)(Event::RunFinished(&report));
        report
    }

    /// Plays `todo`. Those in flight when the target dies are played again in ever smaller company, down to the one that
    /// kills it alone. Where a bystander came to harm, its run is played again alone, and is guilty only if it does harm then,
    /// too. Those that shared time with it may be guilty, or hurt by who is: they are played again, in company but without
    /// those that are settled, until nobody comes to harm any more. A run of a shared target that came to no verdict is played
    /// again alone: what the target did for its other clients must not decide about a run that those have nothing to do with.
    fn play_all(&self, mut todo: Vec<usize>, table: &mut Table<'_, '_>, party: Party) {
        while !todo.is_empty() && !self.over(table) {
            let round = self.play_round(&todo, table, party);
            let neighbours = neighbours(&round.watched);
            let harmed: BTreeMap<_, _> =
                round.watched.into_iter().filter_map(|one| Some((one.at, one.harmed?))).collect();
            todo = round.left;
            if let Some(how) = round.died {
                self.revive(&how, table);
                let suspects = if table.cut_short.is_none() { round.suspects.len() } else { 0 };
                (table.emit)(Event::Died { how: &how, suspects });
                self.play_all(round.suspects, table, Party { jobs: party.jobs.div_ceil(4), suspected: true });
            }
            if !harmed.is_empty() {
                let named = |(&at, came): (&usize, &String)| (table.runs[at].id, table.runs[at].protocol, came.clone());
                let bystanders: Vec<_> = harmed.iter().map(named).collect();
                (table.emit)(Event::Harmed { bystanders: &bystanders, neighbours: neighbours.len() });
                let again = harmed.keys().copied().collect();
                table.harmed.extend(harmed);
                self.play_alone(again, table);
                todo.extend(neighbours);
            }
            if !round.doubtful.is_empty() {
                let names = |&at: &usize| (table.runs[at].id, table.runs[at].protocol);
                let runs: Vec<_> = round.doubtful.iter().map(names).collect();
                (table.emit)(Event::Doubtful { runs: &runs });
                self.play_alone(round.doubtful, table);
            }
        }
    }

    /// Plays each of these again with nobody beside it. Where several in a row come to nothing alone as well, their company
    /// was not the reason, and the rest that came to nothing are left at that.
    fn play_alone(&self, todo: Vec<usize>, table: &mut Table<'_, '_>) {
        let mut in_vain = 0;
        for at in todo {
            if in_vain < IN_VAIN || !table.came_to_nothing(at) {
                self.play_all(vec![at], table, Party { jobs: 1, suspected: true });
                in_vain = if table.came_to_nothing(at) { in_vain + 1 } else { 0 };
            }
        }
    }

    /// Plays `todo` side by side until it is done, the target dies or a Fail ends it.
    fn play_round(&self, todo: &[usize], table: &mut Table<'_, '_>, party: Party) -> Round {
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

    /// Whether nothing new is to be begun.
    fn over(&self, table: &Table<'_, '_>) -> bool {
        let failed = |done: &Done| matches!(done.verdict, Verdict::Fail(_));
        table.cut_short.is_some() || (self.fail_fast && table.done.iter().flatten().any(failed))
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

    fn revive(&self, how: &str, table: &mut Table<'_, '_>) {
        if let Some(Err(Broken(why))) = self.target.map(Target::revive) {
            table.cut_short = Some(format!("the target was lost: {how}, and {why}"));
        }
    }
}

impl Run<'_> {
    fn done(&self, verdict: Verdict, duration: Duration, trace: Trace) -> Done {
        let Self { id, claim, protocol, ref clauses, .. } = *self;
        Done { id, claim, protocol, clauses: clauses.clone(), verdict, duration, trace, in_company: None }
    }
}

/// In what company runs are played.
#[derive(Clone, Copy)]
struct Party {
    jobs: usize,
    /// Each is alone by its nature, or was in flight when the target died.
    suspected: bool,
}

impl Party {
    /// If the target dies now, there is no doubt who did it.
    const fn is_one_suspect(self) -> bool {
        self.jobs == 1 && self.suspected
    }
}

/// How many runs in a row come to nothing alone before the others are left with what they came to in company.
const IN_VAIN: usize = 8;

/// What the runner has so far.
struct Table<'t, 'r> {
    runs: &'t [Run<'r>],
    done: Vec<Option<Done>>,
    /// What came of the bystanders of runs that are, or were, played again alone.
    harmed: BTreeMap<usize, String>,
    cut_short: Option<String>,
    emit: &'t mut dyn FnMut(Event<'_>),
}

impl Table<'_, '_> {
    fn started(&mut self, at: usize) {
        (self.emit)(Event::Started(self.runs[at].id, self.runs[at].protocol));
    }

    fn finished(&mut self, at: usize, mut done: Done) {
        done.in_company = self.harmed.get(&at).cloned();
        (self.emit)(Event::Finished(&done));
        self.done[at] = Some(done);
    }

    fn came_to_nothing(&self, at: usize) -> bool {
        matches!(&self.done[at], Some(Done { verdict: Verdict::Inconclusive(_), .. }))
    }
}

/// What the threads of a round share: runs by their place in the list.
#[derive(Default)]
struct Round {
    heavy: VecDeque<usize>,
    light: VecDeque<usize>,
    /// In flight when the target died.
    suspects: Vec<usize>,
    /// Those that watch over a bystander, in the order they ended.
    watched: Vec<Watched>,
    /// Those that do not, and came to no verdict.
    doubtful: Vec<usize>,
    /// Not begun.
    left: Vec<usize>,
    died: Option<String>,
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
struct Watched {
    at: usize,
    /// How many of these had ended when it began.
    after: usize,
    /// What came of its bystander, where that was harmed.
    harmed: Option<String>,
}

/// The runs that shared time with one whose bystander came to harm, and whose own did not, in the order of the list. The
/// others cannot have done it, and a run without a bystander could not be convicted.
fn neighbours(watched: &[Watched]) -> Vec<usize> {
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
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::case::{Deviation, Outcome};
    use crate::catalogue::Level;
    use crate::guard::guarded;
    use crate::node::ConnId;
    use crate::trace::Dissect;

    struct Silent;

    impl Dissect for Silent {
        fn words(&mut self, _: ConnId, _: bool, _: &[u8]) -> String {
            String::new()
        }
    }

    fn judge() -> Judge<'static> {
        Judge { level: &|_| Level::Must, dissect: &|_| Box::new(Silent), strict: false }
    }

    fn runner(jobs: usize, target: Option<&dyn Target>) -> Runner<'_> {
        Runner { jobs, watched: jobs, heavy: 2, fail_fast: false, judge: judge(), target, clock: &|| Duration::ZERO }
    }

    fn run<'a>(id: &'static str, play: impl Fn() -> Outcome + Send + Sync + 'a) -> Run<'a> {
        let played =
            move || Played { outcome: guarded(&play), remarks: Vec::new(), died: None, trace: Trace::default() };
        let (clauses, isolation) = (vec!["must"], Isolation::default());
        Run { id, claim: "it works", protocol: "5.0", clauses, isolation, play: Box::new(played) }
    }

    fn fails() -> Outcome {
        Err(Stop::Deviation(Deviation { clause: None, expected: "this".to_owned(), came: "that".to_owned() }))
    }

    fn verdicts(report: &Report) -> String {
        report
            .results
            .iter()
            .map(|done| format!("{} {}", done.id, done.verdict.as_str()))
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn results_keep_the_order_of_the_runs_however_many_play_at_once() {
        for jobs in [1, 2, 8] {
            let mut runs: Vec<_> = (0..4).map(|_| run("side/by-side", || Ok(()))).collect();
            runs[1] = run("fails/fast", fails);
            runs[2].isolation.heavy = true;
            let report = runner(jobs, None).play(&runs, &mut |_| {});
            let pass = "side/by-side pass";
            assert_eq!(verdicts(&report), format!("{pass}, fails/fast fail, {pass}, {pass}"));
            assert_eq!(Summary::of(&report.results), Summary { pass: 3, fail: 1, ..Summary::default() });
        }
    }

    #[test]
    fn a_panic_is_broken_and_the_run_goes_on() {
        let runs = [run("a/panics", || panic!("out of cheese")), run("b/passes", || Ok(()))];
        let report = runner(1, None).play(&runs, &mut |_| {});
        assert_eq!(verdicts(&report), "a/panics broken, b/passes pass");
        let why = report.results[0].verdict.why().unwrap_or_default();
        assert!(why.contains("out of cheese (harness/src/run.rs:"), "{why}");
    }

    #[test]
    fn fail_fast_begins_nothing_after_a_fail() {
        let mut runs =
            [run("a/passes", || Ok(())), run("b/fails", fails), run("c/passes", || Ok(())), run("d", || Ok(()))];
        runs[3].isolation.alone = true;
        let report = Runner { fail_fast: true, ..runner(1, None) }.play(&runs, &mut |_| {});
        assert_eq!((verdicts(&report).as_str(), report.unplayed), ("a/passes pass, b/fails fail", 2));
    }

    #[test]
    fn fail_fast_ends_what_is_in_flight_at_a_fail_and_nothing_else() {
        for jobs in [2, 8] {
            let (all_begun, failed) = (std::sync::Barrier::new(jobs), AtomicBool::new(false));
            let outlasts = || {
                all_begun.wait();
                while !failed.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                Ok(())
            };
            let fails = || {
                all_begun.wait();
                fails()
            };
            let mut runs: Vec<_> = (0..20).map(|_| run("a/outlasts", outlasts)).collect();
            runs[1] = run("b/fails", fails);
            let mut begun = 0;
            let report = Runner { fail_fast: true, ..runner(jobs, None) }.play(&runs, &mut |event| match event {
                Event::Started(..) => begun += 1,
                Event::Finished(done) if done.id == "b/fails" => failed.store(true, Ordering::SeqCst),
                _ => {}
            });
            assert_eq!((begun, report.unplayed), (jobs, 20 - jobs));
            assert_eq!(Summary::of(&report.results), Summary { fail: 1, pass: jobs - 1, ..Summary::default() });
        }
    }

    #[test]
    fn what_must_be_alone_is() {
        let playing = AtomicUsize::new(0);
        let count = || {
            let others = playing.fetch_add(1, Ordering::SeqCst);
            std::thread::yield_now();
            playing.fetch_sub(1, Ordering::SeqCst);
            others
        };
        let crowd = || {
            count();
            Ok(())
        };
        let mut runs: Vec<_> = (0..40).map(|_| run("a/crowd", crowd)).collect();
        let alone = || match count() {
            0 => Ok(()),
            others => Err(Stop::Broken(format!("{others} beside it"))),
        };
        for at in [0, 20, 39] {
            runs[at] = run("b/alone", alone);
            runs[at].isolation.alone = true;
        }
        let report = runner(8, None).play(&runs, &mut |_| {});
        assert_eq!(Summary::of(&report.results).pass, 40);
    }

    #[test]
    fn a_fragile_target_meets_many_only_where_harm_is_noticed() {
        fn check(watched: usize, expect: (bool, usize)) {
            let (playing, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let both = std::sync::Barrier::new(watched);
            let alone = AtomicBool::new(true);
            let fragile = || {
                alone.fetch_and(playing.fetch_add(1, Ordering::SeqCst) == 0, Ordering::SeqCst);
                playing.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            };
            let row = || {
                most.fetch_max(playing.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                both.wait();
                playing.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            };
            let mut runs: Vec<_> =
                (0..8).map(|at| if at % 2 == 0 { run("a", fragile) } else { run("b", row) }).collect();
            for each in runs.iter_mut().skip(1).step_by(2) {
                each.isolation.bystander = true;
            }
            let report = Runner { watched, ..runner(1, None) }.play(&runs, &mut |_| {});
            assert_eq!(Summary::of(&report.results).pass, 8);
            assert_eq!((alone.load(Ordering::SeqCst), most.load(Ordering::SeqCst)), expect);
        }
        check(1, (true, 1));
        check(2, (true, 2));
        check(4, (true, 4));
    }

    /// A target that a run can kill.
    struct Mortal {
        dead: AtomicBool,
        ours: bool,
    }

    impl Target for Mortal {
        fn check(&self, _: bool) -> Result<(), String> {
            if self.dead.load(Ordering::SeqCst) { Err("it exited".to_owned()) } else { Ok(()) }
        }

        fn revive(&self) -> Result<(), Broken> {
            self.dead.store(!self.ours, Ordering::SeqCst);
            if self.ours { Ok(()) } else { Err(Broken("it is not ours to restart".to_owned())) }
        }
    }

    #[test]
    fn who_kills_the_target_again_alone_has_killed_it() {
        for jobs in [1, 4] {
            let target = Mortal { dead: AtomicBool::new(false), ours: true };
            let stands =
                || if target.dead.load(Ordering::SeqCst) { Err(Stop::Broken("refused".to_owned())) } else { Ok(()) };
            let kills = || {
                target.dead.store(true, Ordering::SeqCst);
                Ok(())
            };
            let mut runs: Vec<_> = (0..10).map(|_| run("a/lives", stands)).collect();
            runs[3] = run("b/kills", kills);
            let mut deaths = 0;
            let report = runner(jobs, Some(&target)).play(&runs, &mut |event| {
                deaths += usize::from(matches!(event, Event::Died { .. }));
            });
            assert_eq!(Summary::of(&report.results), Summary { pass: 9, fail: 1, ..Summary::default() });
            assert_eq!(report.results[3].verdict.why(), Some("it exited"));
            // Once in company and once alone.
            assert_eq!((deaths, report.cut_short), (2, None));
        }
    }

    fn harms() -> Outcome {
        Err(Stop::Harm(Deviation { clause: None, expected: "served".to_owned(), came: "dropped".to_owned() }))
    }

    #[test]
    fn who_harms_a_bystander_alone_has_done_it_whoever_suffered_in_company() {
        for jobs in [2, 8] {
            let struck = AtomicUsize::new(0);
            let begun = AtomicUsize::new(0);
            let strikes = || match struck.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    while begun.load(Ordering::SeqCst) == 0 {
                        std::thread::yield_now();
                    }
                    Ok(())
                }
                _ => harms(),
            };
            let suffers = || {
                if begun.fetch_add(1, Ordering::SeqCst) > 0 {
                    return Ok(());
                }
                while struck.load(Ordering::SeqCst) == 0 {
                    std::thread::yield_now();
                }
                harms()
            };
            let mut runs = [run("a/suffers", suffers), run("b/strikes", strikes), run("c/fails", fails)];
            for each in &mut runs[..2] {
                each.isolation.bystander = true;
            }
            let (mut named, mut deaths) = (Vec::new(), 0);
            let report = runner(jobs, None).play(&runs, &mut |event| match event {
                Event::Harmed { bystanders, neighbours } => {
                    named.push((bystanders[0].0, bystanders.len(), neighbours));
                }
                Event::Died { .. } => deaths += 1,
                _ => {}
            });
            assert_eq!(verdicts(&report), "a/suffers pass, b/strikes fail, c/fails fail");
            let told: Vec<_> = report.results.iter().map(|done| done.in_company.is_some()).collect();
            assert_eq!(told, [true, true, false]);
            assert_eq!((named.as_slice(), deaths), (&[("a/suffers", 1, 1), ("b/strikes", 1, 0)][..], 0));
        }
    }

    #[test]
    fn what_came_to_nothing_in_company_is_played_again_alone_unless_that_is_in_vain() {
        #[track_caller]
        fn check(bystander: bool, shared: bool, helps: bool, count: usize, expect: (usize, usize)) {
            let target = Mortal { dead: AtomicBool::new(false), ours: true };
            let plays = AtomicUsize::new(0);
            let comes_to_nothing = || match plays.fetch_add(1, Ordering::SeqCst) {
                again if helps && again >= count => Ok(()),
                _ => Err(Stop::Inconclusive("no CONNACK".to_owned())),
            };
            let mut runs: Vec<_> = (0..count).map(|_| run("a/waits", comes_to_nothing)).collect();
            for run in &mut runs {
                run.isolation.bystander = bystander;
            }
            let report = runner(4, shared.then_some(&target as &dyn Target)).play(&runs, &mut |_| {});
            assert_eq!((plays.load(Ordering::SeqCst), Summary::of(&report.results).pass), expect);
            assert_eq!(report.unplayed, 0);
        }
        for bystander in [false, true] {
            check(bystander, true, true, 20, (40, 20));
            check(bystander, true, false, IN_VAIN, (2 * IN_VAIN, 0));
            check(bystander, true, false, 20, (20 + IN_VAIN, 0));
        }
        // Nobody else can have had a hand in it.
        check(false, false, true, 20, (20, 0));
    }

    #[test]
    fn harm_where_nobody_else_can_have_done_it_fails_at_once() {
        for (bystander, alone, expect) in [(false, false, 1), (true, true, 1), (true, false, 2)] {
            let plays = AtomicUsize::new(0);
            let harm = || {
                plays.fetch_add(1, Ordering::SeqCst);
                harms()
            };
            let mut runs = [run("a/harms", harm)];
            runs[0].isolation = Isolation { bystander, alone, ..Isolation::default() };
            let report = runner(64, None).play(&runs, &mut |_| {});
            assert_eq!((verdicts(&report).as_str(), report.unplayed), ("a/harms fail", 0));
            assert_eq!(plays.load(Ordering::SeqCst), expect);
        }
    }

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

    #[test]
    fn who_kills_a_target_of_its_own_has_failed_alone() {
        let mut runs = [run("a/lives", || Ok(())), run("b/kills", || Ok(())), run("c/lives", || Ok(()))];
        let died = Some("it panicked".to_owned());
        runs[1].play = Box::new(move || Played {
            outcome: Ok(()),
            remarks: Vec::new(),
            died: died.clone(),
            trace: Trace::default(),
        });
        for level in [Level::Must, Level::Should, Level::May] {
            let judge = Judge { level: &move |_| level, ..judge() };
            let report = Runner { judge, ..runner(2, None) }.play(&runs, &mut |_| {});
            assert_eq!(verdicts(&report), "a/lives pass, b/kills fail, c/lives pass");
            assert_eq!(report.results[1].verdict.why(), Some("it panicked"));
        }
    }

    #[test]
    fn a_target_that_is_not_ours_ends_the_run_with_what_was_learned() {
        let target = Mortal { dead: AtomicBool::new(false), ours: false };
        let kills = || {
            target.dead.store(true, Ordering::SeqCst);
            Ok(())
        };
        let runs = [run("a/lives", || Ok(())), run("b/kills", kills), run("c/lives", || Ok(()))];
        let report = runner(1, Some(&target)).play(&runs, &mut |_| {});
        assert_eq!((verdicts(&report).as_str(), report.unplayed), ("a/lives pass", 2));
        let how = "the target was lost: it exited, and it is not ours to restart";
        assert_eq!(report.cut_short.as_deref(), Some(how));
    }
}

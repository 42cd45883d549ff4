//! What is played when, in which company, and what is played again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::round::{Party, neighbours};
use super::{Done, Event, Report, Run, Target};
use crate::case::Verdict;
use crate::judge::Judge;
use crate::world::Broken;

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
    /// A second one, for which the runs that need to be alone are prepared where there is one: they are then played while the
    /// others are. Not together with `fail_fast`.
    pub aside: Option<&'a dyn Target>,
    /// Time since some fixed moment.
    pub clock: &'a (dyn Fn() -> Duration + Sync),
}

impl Runner<'_> {
    /// Plays `runs`, those that need to be alone last, or aside, and tells `emit` what happens as it happens.
    pub fn play(&self, runs: &[Run<'_>], emit: &mut (dyn FnMut(Event<'_>) + Send)) -> Report {
        let emit = Mutex::new(emit);
        // A panic of whoever listens ends the run anyway.
        let emit = |event: Event<'_>| emit.lock().unwrap_or_else(PoisonError::into_inner)(event);
        let mut table = Table::new(runs, &emit);
        emit(Event::Planned(runs.len()));
        let (alone, company) = (0..runs.len()).partition(|&at| runs[at].isolation.alone);
        if let Some(target) = self.aside {
            let aside = Runner { target: Some(target), aside: None, ..*self };
            let mut beside = Table::new(runs, &emit);
            std::thread::scope(|scope| {
                scope.spawn(|| aside.play_all(alone, &mut beside, Party::ALONE));
                self.play_company(company, &mut table);
            });
            table.merge(beside);
        } else {
            self.play_company(company, &mut table);
            self.play_all(alone, &mut table, Party::ALONE);
        }
        let unplayed = table.done.iter().filter(|done| done.is_none()).count();
        let report =
            Report { results: table.done.into_iter().flatten().collect(), unplayed, cut_short: table.cut_short };
        emit(Event::RunFinished(&report));
        report
    }

    /// Plays those that need not be alone.
    fn play_company(&self, company: Vec<usize>, table: &mut Table<'_, '_>) {
        // In one party those that wait hold up nobody; a fragile target is worth two.
        let (watched, company) =
            company.into_iter().partition(|&at| table.runs[at].isolation.bystander && self.watched > self.jobs);
        self.play_all(company, table, Party { jobs: self.jobs.max(1), suspected: false });
        self.play_all(watched, table, Party { jobs: self.watched, suspected: false });
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
            if !harmed.is_empty() && !self.over(table) {
                let named = |(&at, came): (&usize, &String)| (table.runs[at].id, table.runs[at].protocol, came.clone());
                let bystanders: Vec<_> = harmed.iter().map(named).collect();
                (table.emit)(Event::Harmed { bystanders: &bystanders, neighbours: neighbours.len() });
                let again = harmed.keys().copied().collect();
                table.harmed.extend(harmed);
                self.play_alone(again, table);
                todo.extend(neighbours);
            }
            if !round.doubtful.is_empty() && !self.over(table) {
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
                self.play_all(vec![at], table, Party::ALONE);
                in_vain = if table.came_to_nothing(at) { in_vain + 1 } else { 0 };
            }
        }
    }

    /// Whether nothing new is to be begun.
    fn over(&self, table: &Table<'_, '_>) -> bool {
        let failed = |done: &Done| matches!(done.verdict, Verdict::Fail(_));
        table.cut_short.is_some() || (self.fail_fast && table.done.iter().flatten().any(failed))
    }

    fn revive(&self, how: &str, table: &mut Table<'_, '_>) {
        if let Some(Err(Broken(why))) = self.target.map(Target::revive) {
            table.cut_short = Some(format!("the target was lost: {how}, and {why}"));
        }
    }
}

/// How many runs in a row come to nothing alone before the others are left with what they came to in company.
const IN_VAIN: usize = 8;

/// What the runner has so far.
pub(super) struct Table<'t, 'r> {
    pub(super) runs: &'t [Run<'r>],
    done: Vec<Option<Done>>,
    /// What came of the bystanders of runs that are, or were, played again alone.
    harmed: BTreeMap<usize, String>,
    cut_short: Option<String>,
    /// Tells whoever listens.
    emit: &'t (dyn Fn(Event<'_>) + Sync),
}

impl<'t, 'r> Table<'t, 'r> {
    fn new(runs: &'t [Run<'r>], emit: &'t (dyn Fn(Event<'_>) + Sync)) -> Self {
        let done = runs.iter().map(|_| None).collect();
        Self { runs, done, harmed: BTreeMap::new(), cut_short: None, emit }
    }

    /// Takes in what was played aside.
    fn merge(&mut self, aside: Self) {
        for (done, aside) in self.done.iter_mut().zip(aside.done) {
            *done = done.take().or(aside);
        }
        self.cut_short = self.cut_short.take().or(aside.cut_short);
    }

    pub(super) fn started(&mut self, at: usize) {
        (self.emit)(Event::Started(self.runs[at].id, self.runs[at].protocol));
    }

    pub(super) fn finished(&mut self, at: usize, mut done: Done) {
        done.in_company = self.harmed.get(&at).cloned();
        (self.emit)(Event::Finished(&done));
        self.done[at] = Some(done);
    }

    fn came_to_nothing(&self, at: usize) -> bool {
        matches!(&self.done[at], Some(Done { verdict: Verdict::Inconclusive(_), .. }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::case::{Deviation, Isolation, Outcome, Played, Stop};
    use crate::catalogue::Level;
    use crate::guard::guarded;
    use crate::run::Summary;
    use crate::trace::Trace;

    fn runner(jobs: usize, target: Option<&dyn Target>) -> Runner<'_> {
        Runner {
            jobs,
            watched: jobs,
            heavy: 2,
            fail_fast: false,
            judge: Judge::silent(&|_| Level::Must, false),
            target,
            aside: None,
            clock: &|| Duration::ZERO,
        }
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
        assert!(why.contains("out of cheese (harness/src/run/runner.rs:"), "{why}");
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

    #[test]
    fn what_must_be_alone_is_played_beside_the_others_where_it_has_a_target_of_its_own() {
        let [target, aside] = [(); 2].map(|()| Mortal { dead: AtomicBool::new(false), ours: true });
        let (playing, met) = (AtomicUsize::new(0), std::sync::Barrier::new(2));
        let meets = || {
            met.wait();
        };
        let alone = |what: &dyn Fn()| {
            let others = playing.fetch_add(1, Ordering::SeqCst);
            what();
            playing.fetch_sub(1, Ordering::SeqCst);
            if others == 0 { Ok(()) } else { Err(Stop::Broken(format!("{others} beside it"))) }
        };
        let kills = || alone(&|| aside.dead.store(true, Ordering::SeqCst));
        let mut runs = [
            run("a/meets", || alone(&meets)),
            run("b/company", || {
                meets();
                Ok(())
            }),
            run("c/kills", kills),
            run("d/alone", || alone(&|| ())),
        ];
        for at in [0, 2, 3] {
            runs[at].isolation.alone = true;
        }
        let mut told = Vec::new();
        let runner = Runner { aside: Some(&aside), ..runner(8, Some(&target)) };
        let report = runner.play(&runs, &mut |event| match event {
            Event::Planned(count) => told.push(format!("{count} planned")),
            Event::Died { how, suspects } => told.push(format!("{how}, {suspects} suspects")),
            _ => {}
        });
        assert_eq!(verdicts(&report), "a/meets pass, b/company pass, c/kills fail, d/alone pass");
        assert_eq!((report.unplayed, report.cut_short), (0, None));
        assert_eq!(told, ["4 planned", "it exited, 0 suspects"]);
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
            let judge = |_: &str| level;
            let report = Runner { judge: Judge::silent(&judge, false), ..runner(2, None) }.play(&runs, &mut |_| {});
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

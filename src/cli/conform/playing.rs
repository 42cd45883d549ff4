//! Playing: on a thread of its own, so that whoever interrupts the run still gets what it has shown.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use harness::rounds::Rounds;
use harness::run::{Done, Event, Report, Run, Runner, Summary};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{INTERRUPTED, interrupt};

/// What the player and the watcher for signals tell.
enum Message {
    Planned(usize),
    Started(&'static str),
    Finished(Box<Done>),
    Trouble(String),
    Round(Report),
    Interrupted,
    /// The player is done, or has panicked.
    Over,
}

/// Says that nothing follows, however the player ends.
struct Last(Sender<Message>);

impl Drop for Last {
    fn drop(&mut self) {
        let _ = self.0.send(Message::Over);
    }
}

/// Plays `runs` so many times and shows how it goes. `finish` is told what came of it, and gives the exit code. If somebody
/// interrupts the run, it is told what had come of it by then, and this process ends; so does whatever it has started.
pub(super) fn play(
    runner: &Runner<'_>,
    runs: &[Run<'_>],
    times: usize,
    finish: impl FnOnce(&Rounds) -> anyhow::Result<u8>,
) -> anyhow::Result<u8> {
    let (tell, told) = channel();
    let (interrupted, mut first) = (tell.clone(), true);
    // Whoever does so again does not want to wait for the reports.
    interrupt::watch(move || std::mem::take(&mut first) && interrupted.send(Message::Interrupted).is_ok());
    let (mut rounds, mut sofar) = (Rounds::default(), Vec::new());
    thread::scope(|scope| {
        scope.spawn(move || {
            let last = Last(tell);
            for _ in 0..times {
                let report = runner.play(runs, &mut |event| forward(&event, &last.0));
                let goes_on = report.unplayed == 0 && report.cut_short.is_none();
                // Nobody listens any more only if this process is about to end.
                let _ = last.0.send(Message::Round(report));
                if !goes_on {
                    return;
                }
            }
        });
        let mut progress = Progress::new(times);
        for message in told {
            match message {
                Message::Planned(count) => progress.planned(count),
                Message::Started(id) => progress.started(id),
                Message::Finished(done) => {
                    // A run that was taken back ends again.
                    sofar.retain(|other: &Done| (other.id, other.protocol) != (done.id, done.protocol));
                    sofar.push(*done);
                    progress.finished(Summary::of(&sofar));
                }
                Message::Trouble(what) => progress.bar.suspend(|| eprintln!("testament: {what}")),
                Message::Round(report) => {
                    sofar.clear();
                    rounds.add(report);
                }
                Message::Interrupted => {
                    progress.bar.finish_and_clear();
                    rounds.add(partial(runs, std::mem::take(&mut sofar), rounds.count() + 1, times));
                    if let Err(why) = finish(&rounds) {
                        eprintln!("testament: {why:#}");
                    }
                    // The player may wait for minutes still. A broker of ours ends with this process.
                    std::process::exit(INTERRUPTED.into());
                }
                Message::Over => break,
            }
        }
        progress.bar.finish_and_clear();
        finish(&rounds)
    })
}

fn forward(event: &Event<'_>, tell: &Sender<Message>) {
    let message = match event {
        Event::Planned(count) => Message::Planned(*count),
        Event::Started(id, _) => Message::Started(id),
        Event::Finished(done) => Message::Finished(Box::new((*done).clone())),
        Event::Died { how, suspects: 0 } => Message::Trouble((*how).to_owned()),
        Event::Died { how, suspects } => Message::Trouble(format!("{how}; playing {suspects} cases again")),
        Event::Harmed { bystanders, neighbours } => {
            let of = |(id, protocol, came): &(_, _, String)| format!("{id} under {protocol}, in company: {came}\n");
            let (named, count): (String, _) = (bystanders.iter().map(of).collect(), bystanders.len());
            Message::Trouble(format!(
                "{named}that may be a neighbour's doing; playing {count} again alone, then {neighbours} that ran beside"
            ))
        }
        Event::Doubtful { runs } => {
            let of = |(id, protocol): &(_, _)| format!("{id} under {protocol}\n");
            let named: String = runs.iter().map(of).collect();
            Message::Trouble(format!("{named}came to no verdict in company; playing {} cases again, alone", runs.len()))
        }
        Event::RunFinished(_) => return,
    };
    let _ = tell.send(message);
}

/// What a round had shown when it was interrupted, in the order of its runs.
fn partial(runs: &[Run<'_>], mut results: Vec<Done>, round: usize, times: usize) -> Report {
    results.sort_by_key(|done| runs.iter().position(|run| (run.id, run.protocol) == (done.id, done.protocol)));
    let unplayed = runs.len() - results.len();
    let why = if times > 1 { format!("interrupted in round {round} of {times}") } else { "interrupted".to_owned() };
    Report { results, unplayed, cut_short: Some(why) }
}

/// A bar for people who watch; nothing where nobody does.
struct Progress {
    bar: ProgressBar,
    times: usize,
    round: usize,
    summary: Summary,
}

impl Progress {
    fn new(times: usize) -> Self {
        let style = ProgressStyle::with_template("{prefix}{bar:32} {pos}/{len}  {wide_msg}");
        let bar = if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let bar = bar.with_style(style.expect("the template is a constant"));
        Self { bar, times, round: 0, summary: Summary::default() }
    }

    fn planned(&mut self, count: usize) {
        self.round += 1;
        self.summary = Summary::default();
        self.bar.set_length(count as u64);
        self.bar.set_position(0);
        if self.times > 1 {
            self.bar.set_prefix(format!("round {} of {}  ", self.round, self.times));
        }
    }

    fn started(&self, id: &'static str) {
        let Summary { fail, broken, inconclusive, .. } = self.summary;
        let counts = [(fail, "fail"), (broken, "broken"), (inconclusive, "inconclusive")];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: String = counts.map(|(count, word)| format!("{count} {word}, ")).collect();
        self.bar.set_message(format!("{counts}{id}"));
    }

    fn finished(&mut self, sofar: Summary) {
        self.summary = sofar;
        self.bar.set_position(sofar.total() as u64);
    }
}

//! A fleet in real time, in several processes of this program.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::ground::Ground;
use super::live::{Run, unix};
use crate::cli::interrupt;
use crate::fleet::part::Part;
use crate::fleet::shard::Shard;
use crate::net::fleet::Standing;

/// One line of what a worker prints.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Line {
    /// How it stands.
    Stands(Standing),
    /// What it came to, as its last words.
    CameTo(Box<Part>),
}

enum Told {
    Line(usize, Line),
    /// It has ended.
    Over(usize),
    Broken(anyhow::Error),
    Interrupted,
}

/// The processes. None outlives this.
struct Workers(Vec<Child>);

impl Drop for Workers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Fails only if it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Plays a run in so many processes and joins what they came to. `arguments` are those of `testament fleet` that lead each
/// of them to the target; `tell` hears how all of them stand together.
pub(super) fn play(
    run: &Run,
    count: u32,
    ground: &Ground,
    arguments: &[String],
    mut tell: impl FnMut(Standing),
) -> anyhow::Result<Part> {
    let program = std::env::current_exe().context("cannot find this program to start it again")?;
    let (send, told) = channel();
    let mut workers = Workers(Vec::new());
    for shard in Shard::all(count) {
        let mut command = Command::new(&program);
        command.args(["fleet", "--worker", "--shard", &shard.to_string(), "--begin", &run.begin.to_string()]);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C on a terminal reaches this process alone, which passes it on.
        command.process_group(0);
        let mut child = command.spawn().context("cannot start a worker process")?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let worker = workers.0.len();
        workers.0.push(child);
        let (Some(mut input), Some(output)) = (input, output) else { bail!("a worker process has no pipes") };
        serde_json::to_writer(&mut input, &ground.handover()).context("a worker process does not listen")?;
        listen(worker, output, send.clone());
    }
    let until_zero = Duration::from_secs_f64((run.begin - unix()).max(0.0));
    let broken = send.clone();
    ground.play_restarts(&run.plan, until_zero, move |why| drop(broken.send(Told::Broken(why))));
    interrupt::watch(move || send.send(Told::Interrupted).is_ok());
    let mut standings = vec![Standing::default(); workers.0.len()];
    let mut parts: Vec<Option<Part>> = vec![None; workers.0.len()];
    let mut running = workers.0.len();
    while running > 0 {
        match told.recv()? {
            Told::Line(worker, Line::Stands(standing)) => {
                standings[worker] = standing;
                let mut all = Standing::default();
                standings.iter().for_each(|one| all.add(one));
                tell(all);
            }
            Told::Line(worker, Line::CameTo(part)) => parts[worker] = Some(*part),
            Told::Over(worker) if parts[worker].is_none() => bail!("worker process {worker} of {count} ended early"),
            Told::Over(_) => running -= 1,
            Told::Broken(why) => return Err(why),
            Told::Interrupted => {
                for child in &workers.0 {
                    // Fails only if it has ended.
                    let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT);
                }
            }
        }
    }
    let mut sum: Option<Part> = None;
    for part in parts.into_iter().flatten() {
        match &mut sum {
            None => sum = Some(part),
            Some(sum) => sum.add(&part)?,
        }
    }
    let mut sum = sum.ok_or_else(|| anyhow!("there were no worker processes"))?;
    sum.run.target.clone_from(&ground.name);
    if let Some(live) = &mut sum.run.live {
        live.limits.extend(run.limits.iter().cloned());
    }
    Ok(sum)
}

/// Tells what a worker prints, and that it has ended.
fn listen(worker: usize, out: impl std::io::Read + Send + 'static, tell: Sender<Told>) {
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Ok(line) = serde_json::from_str(&line) {
                let _ = tell.send(Told::Line(worker, line));
            }
        }
        let _ = tell.send(Told::Over(worker));
    });
}

//! A scenario from its plan to what became of it.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use harness::ledger::Balance;
use harness::node::Node;
use harness::rng::Rng;
use harness::time::Instant;
use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::report::Report;
use super::roster::{Origin, Own, Roster};
use super::shard::{Shard, crossing};
use super::shelf::Retention;
use super::simulation::{Simulation, Start};
use super::tag::Tag;
use super::tally::Tally;
use super::visitor::{Kept, Visitor};
use crate::broker::behaviour::Behaviour;
use crate::broker::{Broker, Settings};
use crate::client::{Jitter, Misuse, Options, Reconnect};
use crate::scenario;
use crate::scenario::plan::{Duty, Expectation, Group, Plan};
use crate::scenario::template::Template;

/// How much of a run is played before whoever plays it is asked whether to stop.
const STEP: Duration = Duration::from_millis(100);

/// What became of a run, or of a shard of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Every message accounted for.
    pub balance: Balance,
    /// What was counted and timed.
    pub tally: Tally,
    /// How what the server keeps for late subscribers compares with what it must; absent where nobody asked for it.
    pub retained: Option<Retention>,
    /// How many devices were connected in the end.
    pub connected: u32,
}

/// What the clients of a group have in common.
pub fn options(group: &Group) -> Arc<Options> {
    Arc::new(Options {
        version: group.version,
        clean_start: group.clean_start,
        session_expiry: group.session_expiry,
        keep_alive: group.keep_alive,
        patience: group.patience,
        reconnect: Some(Reconnect {
            first: group.reconnect.first,
            max: group.reconnect.max,
            stable: group.reconnect.stable,
            jitter: match group.reconnect.jitter {
                scenario::plan::Jitter::Full => Jitter::Full,
                scenario::plan::Jitter::Half => Jitter::Half,
                scenario::plan::Jitter::None => Jitter::None,
            },
            after_takeover: group.reconnect.after_takeover,
        }),
        queue: group.queue as usize,
        send_maximum: NonZeroU16::new(20).unwrap_or(NonZeroU16::MAX),
        // Few devices bother, and at both ends each would hold its topics in memory.
        topic_aliases: 0,
        ..Options::default()
    })
}

/// A run that is over.
#[derive(Debug)]
pub struct Played {
    /// What was played.
    pub plan: Plan,
    /// Who is who.
    pub roster: Roster,
    /// What became of it.
    pub outcome: Outcome,
}

impl Played {
    /// The same where somebody interrupted it at that second: nothing that was in store for later has happened, and what was
    /// expected was expected of the whole run.
    #[must_use]
    pub fn interrupted(mut self, second: f64) -> Self {
        let at = Duration::from_secs_f64(second.max(0.0));
        let plan = &mut self.plan;
        plan.calm = at.saturating_sub(plan.lasts).min(plan.calm);
        plan.lasts = plan.lasts.min(at);
        plan.timeline.retain(|moment| moment.at <= at);
        plan.expect.clear();
        self
    }

    /// What there is to say of it.
    pub fn report(&self) -> Report {
        Report::new(&self.plan, &self.roster, &self.outcome)
    }
}

/// Plays a plan, or a shard of it, in virtual time against the reference broker.
///
/// # Errors
/// In words, where the plan is too large, or no CONNECT could say what it asks for, or messages would cross shards.
pub fn play(plan: Plan, shard: Shard) -> Result<Played, String> {
    let (seed, devices) = (plan.seed, shard.devices(&plan));
    play_against(plan, shard, Box::new(move || reference(seed).with_room_for(devices)))
}

/// The reference broker, open to everybody. `seed` is that of the run.
pub fn reference(seed: u64) -> Broker {
    let settings = Settings { behaviour: Behaviour::default(), anonymous: true, ..Settings::default() };
    Broker::new(settings, Rng::stream(seed, "broker"))
}

/// The same against the server that `start` starts.
///
/// # Errors
/// As [`play`].
pub fn play_against<S: Node>(plan: Plan, shard: Shard, start: Start<'_, S>) -> Result<Played, String> {
    make(floor(plan, shard)?, shard, start)?.play()
}

/// What the devices of a plan, or of a shard of it, will stand on.
///
/// # Errors
/// As [`play`].
pub fn floor(plan: Plan, shard: Shard) -> Result<Floor, String> {
    let seed = plan.seed;
    let floor = Floor::new(plan, seed)?;
    if shard.of() > 1
        && let Some(crossing) = crossing(&floor.plan, &floor.roster, &floor.ledger, shard.of())
    {
        return Err(format!(
            "in virtual time each shard has a broker of its own, and here {crossing}; play it in one process, or against a live target"
        ));
    }
    Ok(floor)
}

/// A fleet that has not begun. All that its devices hold from the first moment to the last has its place in memory.
pub struct Made<'a, S> {
    simulation: Simulation<'a, S>,
    shard: Shard,
}

/// Makes the devices of `shard`, which will be played against the server that `start` starts.
///
/// # Errors
/// As [`play`].
pub fn make<S: Node>(floor: Floor, shard: Shard, start: Start<'_, S>) -> Result<Made<'_, S>, String> {
    let groups = &floor.plan.groups;
    let options: Vec<_> = groups.iter().map(options).collect();
    let names: Vec<_> = groups.iter().map(|group| group.name.clone()).collect();
    let simulation = Simulation::new(floor, shard, &options, start)
        .map_err(|(group, why)| format!("group `{}`: {why}", names[group]))?;
    Ok(Made { simulation, shard })
}

impl<S: Node> Made<'_, S> {
    /// Plays it to its end.
    ///
    /// # Errors
    /// As [`play`].
    pub fn play(self) -> Result<Played, String> {
        self.play_unless(|| false).map(|(played, _)| played)
    }

    /// Plays it to its end, or until `stop` says so; with the moment at which it was stopped, if it was.
    ///
    /// # Errors
    /// As [`play`].
    pub fn play_unless(self, mut stop: impl FnMut() -> bool) -> Result<(Played, Option<Instant>), String> {
        let Self { mut simulation, shard } = self;
        let end = Instant::ZERO + simulation.floor.plan.lasts + simulation.floor.plan.calm;
        while simulation.now() < end && !stop() {
            simulation.play_until(end.min(simulation.now() + STEP));
        }
        let ended = simulation.now();
        let stopped = Some(ended).filter(|ended| *ended < end);
        let connected = simulation.connected();
        let visitor = visitor(&simulation.floor, shard).map_err(|why| why.to_string())?;
        let kept = visitor.filter(|_| stopped.is_none()).map(|visitor| simulation.retained(visitor));
        let floor = simulation.into_floor();
        let retained = kept.map(|kept| retained(&floor, shard, kept, ended));
        let Floor { plan, roster, ledger, tally, .. } = floor;
        let outcome = Outcome { balance: ledger.settle(ended), tally, retained, connected };
        Ok((Played { plan, roster, outcome }, stopped))
    }
}

/// Who comes in the end and asks for what is retained; nobody where nothing is expected of it, and nothing written to be so.
///
/// # Errors
/// Where no CONNECT could be made for it, which would be our own fault.
pub fn visitor(floor: &Floor, shard: Shard) -> Result<Option<Visitor>, Misuse> {
    let writes = |duty: &Duty| matches!(duty, Duty::Publish(publish) if publish.retain);
    let group = |group: &&Group| group.does.iter().any(writes) || group.will.as_ref().is_some_and(|will| will.retain);
    let Plan { groups, expect, .. } = &floor.plan;
    let any = groups.first().filter(|_| expect.contains(&Expectation::RetainedExact));
    groups.iter().find(group).or(any).map(|group| Visitor::new(group, shard, floor.run)).transpose()
}

/// How what a late subscriber was sent at `now` compares with what it must get of what the devices of `shard` wrote.
pub fn retained(floor: &Floor, shard: Shard, kept: Vec<Kept>, now: Instant) -> Retention {
    let Floor { plan, roster, ledger, shelf, .. } = floor;
    // What nobody here can have written is for us to tell as well as for anybody.
    let is_ours = |(_, Tag { stream, .. }): &Kept| *stream >= ledger.streams() || shard.plays(roster.origin(*stream).1);
    let (ours, others): (Vec<_>, Vec<_>) = kept.into_iter().partition(is_ours);
    // Of a topic that has a message of others, they tell.
    let told: BTreeSet<_> = others.into_iter().map(|(topic, _)| topic).collect();
    shelf.compare(now, &ours, |stream| Some(describe(plan, roster, stream)).filter(|(topic, _)| !told.contains(topic)))
}

/// The topic of a stream, and after how many seconds its messages expire.
fn describe(plan: &Plan, roster: &Roster, stream: u32) -> (String, Option<u32>) {
    let (origin, number) = roster.origin(stream);
    let filled = |group: usize, topic: &Template| topic.fill(&Own::new(&plan.groups[group], number).names(""));
    match origin {
        Origin::Duty(group, duty) => match &plan.groups[group].does[duty] {
            Duty::Publish(publish) => (filled(group, &publish.topic), publish.expiry),
            _ => Default::default(),
        },
        Origin::Will(group) => {
            (plan.groups[group].will.as_ref().map(|will| filled(group, &will.topic)).unwrap_or_default(), None)
        }
        Origin::Answers => Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use harness::ledger::Account;
    use harness::link::Profile;

    fn plan(text: &str) -> Plan {
        let profiles = [("lte-m", Profile::constant(Duration::from_millis(120)))];
        scenario::check(text, &profiles).expect("a legal scenario")
    }

    #[test]
    fn the_lifts_lose_nothing() {
        let text = include_str!("../../scenarios/cell-outage.ron").replace("count: 400", "count: 40");
        let report = play(plan(&text), Shard::WHOLE).expect("a small scenario").report();
        assert!(report.is_met(), "{}", report.text());
        assert_eq!(report.series.points.iter().map(|point| point.connected).min(), Some(2), "{}", report.text());
    }

    #[test]
    fn a_run_that_is_stopped_tells_of_what_was_done() {
        let text = include_str!("../../scenarios/cell-outage.ron").replace("count: 400", "count: 5");
        let stopped_when_asked = |times: u32| {
            let floor = floor(plan(&text), Shard::WHOLE).expect("a small scenario");
            let made = make(floor, Shard::WHOLE, Box::new(|| reference(1))).expect("a small scenario");
            let mut asked = 0;
            let stop = || {
                asked += 1;
                asked == times
            };
            made.play_unless(stop).expect("a small scenario")
        };
        let (played, stopped) = stopped_when_asked(601);
        assert_eq!(stopped, Some(Instant::ZERO + Duration::from_secs(60)));
        let report = played.interrupted(60.0).report();
        assert_eq!((report.lasts, report.calm, report.expectations.len()), (60.0, 0.0, 0));
        let [sent, arrived] = [|a: &Account| a.sent, |a: &Account| a.arrived]
            .map(|of| report.messages.iter().map(|messages| of(&messages.account)).sum::<u64>());
        assert!(sent > 10 && arrived > 10, "{}", report.text());
        // Before it has begun.
        assert_eq!(stopped_when_asked(1).1, Some(Instant::ZERO));
        assert_eq!(stopped_when_asked(0).1, None);
    }

    #[test]
    fn the_same_seed_gives_the_same_report_and_another_another() {
        let text = include_str!("../../scenarios/cell-outage.ron").replace("count: 400", "count: 5");
        let json = |seed| {
            let plan = Plan { seed, ..plan(&text) };
            serde_json::to_string(&play(plan, Shard::WHOLE).expect("a small scenario").report()).expect("a report")
        };
        assert_eq!(json(1), json(1));
        assert_ne!(json(1), json(2));
    }
}

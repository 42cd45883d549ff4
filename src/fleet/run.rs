//! A scenario from its plan to what became of it.

use std::num::NonZeroU16;
use std::sync::Arc;

use harness::ledger::Balance;
use harness::rng::Rng;
use harness::time::Instant;
use serde::{Deserialize, Serialize};

use super::device::Floor;
use super::report::Report;
use super::roster::Roster;
use super::shard::{Shard, crossing};
use super::simulation::Simulation;
use super::tally::Tally;
use crate::broker::behaviour::Behaviour;
use crate::broker::{Broker, Settings};
use crate::client::{Jitter, Options, Reconnect};
use crate::scenario;
use crate::scenario::plan::{Group, Plan};

/// What became of a run, or of a shard of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Every message accounted for.
    pub balance: Balance,
    /// What was counted and timed.
    pub tally: Tally,
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
    let seed = plan.seed;
    let end = Instant::ZERO + plan.lasts + plan.calm;
    let options: Vec<_> = plan.groups.iter().map(options).collect();
    let names: Vec<_> = plan.groups.iter().map(|group| group.name.clone()).collect();
    let floor = Floor::new(plan, seed as u16)?;
    if shard.of() > 1
        && let Some(crossing) = crossing(&floor.plan, &floor.roster, &floor.ledger, shard.of())
    {
        return Err(format!(
            "in virtual time each shard has a broker of its own, and here {crossing}; play it in one process, or against a live target"
        ));
    }
    let settings = || Settings { behaviour: Behaviour::default(), anonymous: true, ..Settings::default() };
    let start = || -> Box<dyn harness::node::Node> { Box::new(Broker::new(settings(), Rng::stream(seed, "broker"))) };
    let mut simulation = Simulation::new(floor, shard, &options, Box::new(start))
        .map_err(|(group, why)| format!("group `{}`: {why}", names[group]))?;
    simulation.play_until(end);
    let connected = simulation.connected();
    let Floor { plan, roster, ledger, tally, .. } = simulation.into_floor();
    Ok(Played { plan, roster, outcome: Outcome { balance: ledger.settle(end), tally, connected } })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
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

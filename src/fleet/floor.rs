//! What all devices of a run stand on: who is who, and the books of what was said and heard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use harness::ledger::Ledger;
use harness::link::Outages;
use harness::time::Instant;

use super::late::Limits;
use super::roster::Roster;
use super::shelf::Shelf;
use super::tag::Tag;
use super::tally::Tally;
use crate::packet::QoS;
use crate::scenario::plan::{Duty, Group, Plan};
use crate::scenario::schema::Phase;

/// What all devices of a run stand on.
#[derive(Debug)]
pub struct Floor {
    /// The scenario.
    pub plan: Plan,
    /// Who is who.
    pub roster: Roster,
    /// What is owed.
    pub ledger: Ledger,
    /// What the server is to keep for late subscribers.
    pub shelf: Shelf,
    /// When the server last lost all it knew; [`Instant::ZERO`] if it never did.
    pub(super) forgot_at: Instant,
    /// How long the messages live that expire first; `None` if none do.
    pub(super) shortest_life: Option<Duration>,
    /// How many share each shared subscription, by the number of its reader.
    pub(super) shares: BTreeMap<u32, u32>,
    /// What was counted.
    pub tally: Tally,
    /// How long messages may take.
    limits: Limits,
    /// Tells the messages of this run from others.
    pub run: u16,
    /// Weather or calm.
    pub phase: Phase,
    /// When what the timeline did to the links of each group last ended.
    pub healed: Vec<Instant>,
    /// Whether the network has forgotten the connection of the device that is told something now.
    pub(super) forgotten: bool,
    /// Since when there was always something on the way to it: what it is given now was sent no earlier.
    pub(super) since: Instant,
    /// The outages of the region of each group.
    pub regions: Vec<Option<Arc<Outages>>>,
    /// Where payloads are made.
    pub(super) scratch: Vec<u8>,
    /// Where topics are made.
    pub(super) topic: String,
}

impl Floor {
    /// The floor of a run of `plan`, on which nothing has happened yet. `number` tells its messages from those of others.
    ///
    /// # Errors
    /// In words, where the plan is too large for the books.
    pub fn new(plan: Plan, number: u64) -> Result<Self, String> {
        let (roster, ledger) = Roster::new(&plan)?;
        let groups = plan.groups.len();
        let lives = plan.groups.iter().flat_map(|group| &group.does).filter_map(|duty| match duty {
            Duty::Publish(publish) => publish.expiry,
            _ => None,
        });
        let shortest_life = lives.min().map(|seconds| Duration::from_secs(seconds.into()));
        let end = Instant::ZERO + plan.lasts;
        let region =
            |group: &Group| group.region.as_ref().map(|(name, spells)| Outages::drawn(spells, plan.seed, name, end));
        let regions = plan.groups.iter().map(region).collect();
        Ok(Self {
            shortest_life,
            roster,
            ledger,
            shelf: Shelf::default(),
            forgot_at: Instant::ZERO,
            shares: BTreeMap::new(),
            limits: Limits::of(&plan),
            tally: Tally::new(groups, plan.lasts + plan.calm),
            run: Tag::run(number),
            phase: Phase::Weather,
            healed: vec![Instant::ZERO; groups],
            forgotten: false,
            since: Instant::ZERO,
            regions,
            scratch: Vec::new(),
            topic: String::new(),
            plan,
        })
    }

    /// When what was done to the links of a group last ended before `now`, by the timeline or in its region.
    pub fn healed(&self, group: usize, now: Instant) -> Instant {
        let region = self.regions[group].as_ref().and_then(|outages| outages.over_at(now));
        self.healed[group].max(region.unwrap_or(Instant::ZERO))
    }

    /// A message arrived for the first time, `took` after it was meant to be sent by `group`.
    pub(super) fn arrived(&mut self, now: Instant, group: usize, qos: QoS, took: Duration) {
        self.tally.arrived(now, group, qos, self.phase, took);
        self.limits.hold(&mut self.tally.late, now, group, qos, self.phase, took);
    }

    /// The server has lost all it knew: nothing is owed to anybody any more.
    pub fn forget(&mut self, now: Instant) {
        self.forgot_at = now;
        self.shelf.forget(now);
        self.shares.clear();
        for reader in 0..self.ledger.readers() {
            self.ledger.close(reader);
        }
    }
}

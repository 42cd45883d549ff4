//! What was counted and timed in a run: by group, and over time. Adding two processes' tallies gives that of one.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::metrics::{Merge, Series, Spans};
use harness::time::Instant;
use serde::{Deserialize, Serialize};

use super::late::Late;
use crate::packet::QoS;
use crate::scenario::schema::Phase;

/// Everything that was counted and timed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// By group, in the order of the plan.
    pub groups: Vec<GroupTally>,
    /// Over time, all groups together.
    pub series: Series<Interval>,
    /// What took longer than is expected, by the place of the expectation.
    #[serde(default)]
    pub late: BTreeMap<u16, Late>,
}

impl Tally {
    /// Nothing yet, for so many groups; the run is thought to last so long.
    pub fn new(groups: usize, lasts: Duration) -> Self {
        let most = Series::<Interval>::MOST;
        // Whole seconds read better; a short run gets finer ones.
        let width = lasts.as_secs_f64() / f64::from(most);
        let width = if width > 1.0 { width.ceil() } else { (width * 1000.0).ceil().max(1.0) / 1000.0 };
        Self {
            groups: vec![GroupTally::default(); groups],
            series: Series::new(Duration::from_secs_f64(width)),
            late: BTreeMap::new(),
        }
    }

    /// A message arrived for the first time, `took` after it was meant to be sent by `group`.
    pub fn arrived(&mut self, now: Instant, group: usize, qos: QoS, phase: Phase, took: Duration) {
        let spans = &mut self.groups[group].latency;
        let key = (qos as u8, phase);
        let at = spans.binary_search_by_key(&key, |(key, _)| *key).unwrap_or_else(|at| {
            spans.insert(at, (key, Spans::default()));
            at
        });
        spans[at].1.record(took);
        let interval = self.series.at(now);
        interval.arrived += 1;
        interval.latency.get_or_insert_default().record(took);
    }
}

impl Merge for Tally {
    fn merge(&mut self, other: &Self) {
        for (group, other) in self.groups.iter_mut().zip(&other.groups) {
            group.merge(other);
        }
        self.series.merge(&other.series);
        for (place, late) in &other.late {
            self.late.entry(*place).or_default().merge(late);
        }
    }
}

/// What one group did and met.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupTally {
    /// Connections that a server accepted.
    pub connected: u64,
    /// Of these, how many found the session that the server had kept.
    pub resumed: u64,
    /// Connections that ended without having been meant to.
    pub lost: u64,
    /// Attempts that came to nothing: refused, unreachable, or no answer.
    pub failed: u64,
    /// Messages made, by QoS.
    pub published: [u64; 3],
    /// Messages accepted by the server, by QoS; at QoS 0 nobody says.
    pub accepted: [u64; 3],
    /// Messages that were not made because there was no connection or no place.
    pub skipped: u64,
    /// Messages that the server refused, or that were given up with their session.
    pub refused: u64,
    /// Messages read that are not of this run.
    pub foreign: u64,
    /// Questions asked.
    pub asked: u64,
    /// Questions answered in time.
    pub answered: u64,
    /// What connections, attempts and messages came to grief of, in words that many devices share.
    pub troubles: BTreeMap<String, Trouble>,
    /// Times the server said it had no session where it should have had one, or the other way round.
    pub untrue_sessions: u64,
    /// From the loss of a connection to the next that a server accepted.
    pub away: Spans,
    /// From the end of what was done to the group's links to the next connection of each device that had lost its own.
    pub recovery: Spans,
    /// Of those that had no connection in the end and should have had one, for how long.
    pub absent: Spans,
    /// How many of several with one name had given way to another in the end, as is their habit.
    pub gave_way: u64,
    /// From the intended moment to the first arrival of what the group published, by QoS and phase, in this order.
    pub latency: Vec<((u8, Phase), Spans)>,
}

impl GroupTally {
    /// What comes to grief for this reason.
    pub fn trouble(&mut self, why: String) -> &mut Trouble {
        self.troubles.entry(why).or_default()
    }

    /// A message was refused, or given up.
    pub fn refused(&mut self, why: String) {
        self.refused += 1;
        self.trouble(why).refused += 1;
    }
}

impl Merge for GroupTally {
    fn merge(&mut self, other: &Self) {
        self.connected += other.connected;
        self.resumed += other.resumed;
        self.lost += other.lost;
        self.failed += other.failed;
        for qos in 0..3 {
            self.published[qos] += other.published[qos];
            self.accepted[qos] += other.accepted[qos];
        }
        self.skipped += other.skipped;
        self.refused += other.refused;
        self.foreign += other.foreign;
        self.asked += other.asked;
        self.answered += other.answered;
        self.untrue_sessions += other.untrue_sessions;
        for (why, trouble) in &other.troubles {
            self.troubles.entry(why.clone()).or_default().merge(trouble);
        }
        self.away.merge(&other.away);
        self.recovery.merge(&other.recovery);
        self.absent.merge(&other.absent);
        self.gave_way += other.gave_way;
        let mut latency: BTreeMap<_, _> = std::mem::take(&mut self.latency).into_iter().collect();
        for (key, spans) in &other.latency {
            latency.entry(*key).or_insert_with(Spans::default).merge(spans);
        }
        self.latency = latency.into_iter().collect();
    }
}

/// What came to grief for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Connections that ended without having been meant to.
    pub lost: u64,
    /// Attempts that came to nothing.
    pub failed: u64,
    /// Messages and subscriptions that were refused, or given up.
    pub refused: u64,
}

impl Merge for Trouble {
    fn merge(&mut self, other: &Self) {
        self.lost += other.lost;
        self.failed += other.failed;
        self.refused += other.refused;
    }
}

/// What happened in one interval of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// How many more devices were connected at its end than at its beginning.
    pub connected: i64,
    /// How many more messages waited for the server to confirm them at its end than at its beginning, or for a connection
    /// on which they could be sent. At QoS 0 nobody confirms, so nobody waits.
    pub waiting: i64,
    /// Connections that a server accepted.
    pub accepted: u64,
    /// Attempts to connect that came to nothing.
    pub failed: u64,
    /// Messages made.
    pub published: u64,
    /// Messages that arrived for the first time.
    pub arrived: u64,
    /// How long these took; absent if there are none.
    pub latency: Option<Spans>,
}

impl Merge for Interval {
    fn merge(&mut self, other: &Self) {
        self.connected += other.connected;
        self.waiting += other.waiting;
        self.accepted += other.accepted;
        self.failed += other.failed;
        self.published += other.published;
        self.arrived += other.arrived;
        if let Some(other) = &other.latency {
            self.latency.get_or_insert_default().merge(other);
        }
    }

    fn rest(&mut self) {
        if let Some(latency) = &mut self.latency {
            latency.rest();
        }
    }
}

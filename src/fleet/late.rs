//! Which messages take longer than the scenario allows: whose they are, and what was done to the fleet while they were on
//! their way.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::metrics::Merge;
use harness::time::Instant;
use serde::{Deserialize, Serialize};

use super::weather::stretches;
use crate::packet::QoS;
use crate::scenario::plan::{Expectation, Plan};
use crate::scenario::schema::Phase;

/// The messages that took longer than one expectation allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// By the group that wrote them.
    pub groups: BTreeMap<u16, u64>,
    /// By the faults, from 1 and in the order in which reports tell them, that were in force at some moment between that at
    /// which each was meant to be sent and its arrival. A message counts for each of them, and under 0 where there was none.
    pub faults: BTreeMap<u32, u64>,
}

impl Merge for Late {
    fn merge(&mut self, other: &Self) {
        other.groups.iter().for_each(|(group, count)| *self.groups.entry(*group).or_default() += count);
        other.faults.iter().for_each(|(fault, count)| *self.faults.entry(*fault).or_default() += count);
    }
}

/// What the scenario allows.
#[derive(Debug)]
pub(super) struct Limits {
    each: Vec<Limit>,
    /// The lowest of them.
    least: Duration,
    /// From when to when each fault is in force, in order.
    faults: Vec<(Duration, Duration)>,
}

/// What one expectation allows.
#[derive(Debug)]
struct Limit {
    /// Its place among the expectations.
    place: u16,
    below: Duration,
    phase: Option<Phase>,
    group: Option<usize>,
    qos: Option<QoS>,
}

impl Limits {
    pub(super) fn of(plan: &Plan) -> Self {
        let limit = |(place, expectation): (usize, &Expectation)| match *expectation {
            Expectation::Latency { below, phase, group, qos, .. } => {
                Some(Limit { place: place as u16, below, phase, group, qos })
            }
            _ => None,
        };
        let each: Vec<_> = plan.expect.iter().enumerate().filter_map(limit).collect();
        let faults = stretches(plan).into_iter().filter(|stretch| !stretch.heals(plan));
        Self {
            least: each.iter().map(|limit| limit.below).min().unwrap_or(Duration::MAX),
            faults: faults.map(|fault| (fault.at, fault.until.unwrap_or(fault.at))).collect(),
            each,
        }
    }

    /// Books a message of `group` that took so long until `now`, by the place of each expectation that it is too late for.
    pub(super) fn hold(
        &self,
        late: &mut BTreeMap<u16, Late>,
        now: Instant,
        group: usize,
        qos: QoS,
        phase: Phase,
        took: Duration,
    ) {
        if took <= self.least {
            return;
        }
        let (sent, came) = (now.elapsed().saturating_sub(took), now.elapsed());
        for limit in &self.each {
            let concerned = limit.group.is_none_or(|it| it == group)
                && limit.qos.is_none_or(|it| it == qos)
                && limit.phase.is_none_or(|it| it == phase);
            if !concerned || took <= limit.below {
                continue;
            }
            let late = late.entry(limit.place).or_default();
            *late.groups.entry(group as u16).or_default() += 1;
            let mut any = false;
            for (number, &(from, until)) in (1..).zip(&self.faults) {
                if from <= came && until >= sent {
                    *late.faults.entry(number).or_default() += 1;
                    any = true;
                }
            }
            if !any {
                *late.faults.entry(0).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of group `b` that arrives at second `came` after it was on its way for `took` seconds; under which faults it
    /// is late, or nothing if it is in time.
    fn check(came: u64, took: u64, expect: &[u32]) {
        let text = r#"Scenario(about: "a test", lasts: "2m", fleet: [(name: "a", count: 1), (name: "b", count: 1)],
            timeline: [
                At("10s", Cut(group: "b", lasts: "20s")), At("25s", Cut(group: "a")), At("50s", Heal(group: "a")),
                At("60s", Reset(group: "b")),
            ],
            expect: [InOrder, Latency(p: 50, below: "2s"), Latency(p: 50, below: "3s", group: "a"), Latency(p: 50, below: "3s", qos: 2)])"#;
        let plan = crate::scenario::check(text, &[]).expect("a legal scenario");
        let mut late = BTreeMap::new();
        let now = Instant::ZERO + Duration::from_secs(came);
        Limits::of(&plan).hold(&mut late, now, 1, QoS::AtLeastOnce, Phase::Weather, Duration::from_secs(took));
        let faults = expect.iter().map(|fault| (*fault, 1)).collect();
        let told = (!expect.is_empty()).then(|| (1, Late { groups: [(1, 1)].into(), faults }));
        assert_eq!(late, told.into_iter().collect(), "{came} {took}");
    }

    #[test]
    fn what_is_late_is_booked_under_what_was_done_meanwhile() {
        check(20, 2, &[]);
        check(9, 3, &[0]);
        check(10, 3, &[1]);
        check(20, 3, &[1]);
        check(30, 3, &[1, 2]);
        check(40, 3, &[2]);
        check(53, 3, &[2]);
        check(54, 3, &[0]);
        check(61, 3, &[3]);
        check(70, 60, &[1, 2, 3]);
    }
}

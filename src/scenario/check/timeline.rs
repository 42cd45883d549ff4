//! What happens, and what is expected.

use std::time::Duration;

use super::{Check, LONGEST};
use crate::scenario::plan::{Expectation, Fault, Happening, Moment};
use crate::scenario::schema::{self, Scenario};

impl Check<'_> {
    pub(super) fn moment(
        &mut self,
        scenario: &Scenario,
        number: usize,
        moment: &schema::Moment,
        lasts: Duration,
    ) -> Moment {
        let schema::Moment::At(at, what) = moment;
        let path = format!("timeline[{number}]");
        let at = self.span(&format!("{path}.0"), at, Duration::ZERO..=lasts);
        Moment { at, what: self.happening(&format!("{path}.1"), scenario, what) }
    }

    fn happening(&mut self, path: &str, scenario: &Scenario, what: &schema::Happening) -> Happening {
        use schema::Happening as Said;
        match what {
            Said::Cut { group, share, lasts, only } => {
                self.on_link(path, scenario, group, *share, lasts.as_deref(), Fault::Cut(*only))
            }
            Said::Reset { group, share } => self.on_link(path, scenario, group, *share, None, Fault::Reset),
            Said::Dribble { group, share, lasts } => {
                self.on_link(path, scenario, group, *share, lasts.as_deref(), Fault::Dribble)
            }
            Said::Heal { group } => Happening::Heal(self.group_named(&format!("{path}.group"), scenario, group)),
            Said::Leave { group, share, lasts } => Happening::Leave {
                group: self.group_named(&format!("{path}.group"), scenario, group),
                share: self.share(&format!("{path}.share"), share.unwrap_or(1.0)),
                lasts: self.lasting(path, lasts.as_deref()),
            },
            Said::Restart { node, keeps, lasts } => {
                if node != "broker" {
                    self.say(&format!("{path}.node"), format!("`{node}` cannot be restarted; only \"broker\" can"));
                }
                Happening::Restart { keeps: *keeps, lasts: self.lasting(path, lasts.as_deref()).unwrap_or_default() }
            }
        }
    }

    fn on_link(
        &mut self,
        path: &str,
        scenario: &Scenario,
        group: &str,
        share: Option<f64>,
        lasts: Option<&str>,
        fault: Fault,
    ) -> Happening {
        Happening::Link {
            group: self.group_named(&format!("{path}.group"), scenario, group),
            share: self.share(&format!("{path}.share"), share.unwrap_or(1.0)),
            lasts: self.lasting(path, lasts),
            fault,
        }
    }

    fn lasting(&mut self, path: &str, lasts: Option<&str>) -> Option<Duration> {
        lasts.map(|lasts| self.span(&format!("{path}.lasts"), lasts, Duration::ZERO..=LONGEST))
    }

    pub(super) fn expectation(
        &mut self,
        scenario: &Scenario,
        number: usize,
        expected: &schema::Expectation,
    ) -> Expectation {
        use schema::Expectation as Said;
        let path = format!("expect[{number}]");
        let at = |field: &str| format!("{path}.{field}");
        let qos = |check: &mut Self, qos: Option<u64>| qos.map(|qos| check.qos(&at("qos"), qos));
        let group = |check: &mut Self, group: &Option<String>| {
            group.as_ref().map(|group| check.group_named(&at("group"), scenario, group))
        };
        match expected {
            Said::NoLoss { qos: of, group: by } => Expectation::NoLoss(qos(self, *of), group(self, by)),
            Said::NoDuplicates { qos: of, group: by } => Expectation::NoDuplicates(qos(self, *of), group(self, by)),
            Said::InOrder => Expectation::InOrder,
            Said::WillsExact => Expectation::WillsExact,
            Said::SessionsTrue => Expectation::SessionsTrue,
            Said::ReconnectedWithin(span) => {
                Expectation::ReconnectedWithin(self.span(&at("0"), span, Duration::ZERO..=LONGEST))
            }
            Said::Latency { p, below, phase, group: by, qos: of } => {
                if !(*p > 0.0 && *p <= 100.0) {
                    self.say(&at("p"), format!("{p} is no percentile; write a number above 0 and up to 100"));
                }
                Expectation::Latency {
                    share: p / 100.0,
                    below: self.span(&at("below"), below, Duration::from_micros(1)..=Duration::from_secs(3600)),
                    phase: *phase,
                    group: group(self, by),
                    qos: qos(self, *of),
                }
            }
            Said::Delivered { share, qos: of, group: by } => {
                Expectation::Delivered(self.share(&at("share"), *share), qos(self, *of), group(self, by))
            }
            Said::Answered { share, group: by } => {
                Expectation::Answered(self.share(&at("share"), *share), group(self, by))
            }
        }
    }
}

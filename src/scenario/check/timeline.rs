//! What happens, and what is expected.

use std::time::Duration;

use harness::fault::{Fault, Side};
use harness::link::Span;

use super::{Check, LONGEST};
use crate::scenario::plan::{Expectation, Happening, Moment};
use crate::scenario::schema::{self, Scenario, Way};

/// Longer than any radio takes for a handover.
const LONGEST_HANDOVER: Duration = Duration::from_secs(60);
/// Bytes that dribble come one in this time: a small packet takes a second.
const CRUMBS: Span = Span::ms(10);

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
                let fault = match only {
                    None => Fault::Cut,
                    Some(Way::Up) => Fault::CutUp,
                    Some(Way::Down) => Fault::CutDown,
                };
                self.on_link(path, scenario, group, *share, lasts.as_deref(), fault)
            }
            Said::Reset { group, share, after, only } => {
                if after.is_none() && only.is_some() {
                    self.say(&format!("{path}.only"), "a reset at once ends both ways; leave only out, or write after");
                }
                let end = if *only == Some(Way::Down) { Side::Device } else { Side::Server };
                let fault = after.map_or(Fault::Reset, |bytes| {
                    Fault::ResetAfter(end, self.number(&format!("{path}.after"), bytes, 1, 1 << 20) as u32)
                });
                self.on_link(path, scenario, group, *share, None, fault)
            }
            Said::Handover { group, share, lasts } => {
                let most = Duration::from_millis(1)..=LONGEST_HANDOVER;
                let gap = Span(self.span(&format!("{path}.lasts"), lasts, most));
                self.on_link(path, scenario, group, *share, None, Fault::Handover(gap))
            }
            Said::HalfOpen { group, share } => self.on_link(path, scenario, group, *share, None, Fault::HalfOpen),
            Said::Slow { group, share, reads, lasts } => {
                let fault = match self.number(&format!("{path}.reads"), *reads, 0, u32::MAX.into()) {
                    0 => Fault::StopReading(Side::Device),
                    rate => Fault::SlowReader(Side::Device, rate as u32),
                };
                self.on_link(path, scenario, group, *share, lasts.as_deref(), fault)
            }
            Said::Dribble { group, share, lasts } => {
                self.on_link(path, scenario, group, *share, lasts.as_deref(), Fault::Dribble(CRUMBS))
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
            Said::NoneExpired => Expectation::NoneExpired,
            Said::WillsExact => Expectation::WillsExact,
            Said::RetainedExact => Expectation::RetainedExact,
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

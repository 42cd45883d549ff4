//! How a live run stands, in one line on a terminal.

use std::io::{self, IsTerminal};
use std::ops::Range;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::fleet::weather::lasting;
use crate::fleet::words;
use crate::net::fleet::Standing;
use crate::scenario::plan::Plan;

/// The line; nothing where nobody watches.
pub(super) struct Progress {
    bar: ProgressBar,
    devices: u32,
    /// What is done to them, from when to when.
    weather: Vec<(Range<Duration>, String)>,
    last: Standing,
}

impl Progress {
    pub(super) fn new(plan: &Plan) -> Self {
        let style = ProgressStyle::with_template("{bar:16} {wide_msg}").expect("the template is a constant");
        let seconds = (plan.lasts + plan.calm).as_secs();
        let bar = if io::stderr().is_terminal() { ProgressBar::new(seconds) } else { ProgressBar::hidden() };
        Self { bar: bar.with_style(style), devices: plan.devices(), weather: lasting(plan), last: Standing::default() }
    }

    pub(super) fn show(&mut self, now: Standing) {
        self.bar.set_position(now.at as u64);
        self.bar.set_message(line(self.devices, &self.weather, &self.last, &now));
        self.last = now;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn line(devices: u32, weather: &[(Range<Duration>, String)], last: &Standing, now: &Standing) -> String {
    let rate = (now.published - last.published.min(now.published)) as f64 / (now.at - last.at).max(0.1);
    let p99 = words::seconds(now.p99);
    let at = Duration::from_secs_f64(now.at);
    let in_force = weather.iter().filter(|(span, _)| span.contains(&at));
    let faults: String = in_force.map(|(_, what)| format!("; {what}")).collect();
    format!(
        "{}: {} of {devices} connected, {rate:.0} published/s, {} in flight, p99 {p99}{faults}",
        words::seconds(Some(now.at)),
        now.connected,
        now.in_flight
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_in_force_now() {
        let text = r#"Scenario(about: "a test", lasts: "2m", fleet: [(name: "a", count: 4), (name: "b", count: 4)], timeline: [
            At("10s", Cut(group: "a", lasts: "20s")), At("40s", Cut(group: "b")), At("50s", Cut(group: "a")), At("60s", Heal(group: "b")),
        ])"#;
        let plan = crate::scenario::check(text, &[]).expect("a legal scenario");
        let (a, b) = ("silence both ways for all 4 of a", "silence both ways for all 4 of b");
        let now = Standing { at: 55.0, connected: 3, published: 40, in_flight: 2, p99: Some(0.25) };
        let last = Standing { at: 54.0, published: 30, ..Standing::default() };
        let expect = format!("55 s: 3 of 8 connected, 10 published/s, 2 in flight, p99 250 ms; {b}; {a}");
        assert_eq!(line(plan.devices(), &lasting(&plan), &last, &now), expect);
    }
}

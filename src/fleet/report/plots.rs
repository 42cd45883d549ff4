//! The plots of a run.

use std::collections::BTreeMap;

use harness::metrics::{Merge, Spans};
use harness::report::plot::{Axis, Band, Line, Plot, Shape};

use super::{Event, Point, Report};

/// So many distributions are drawn; a table has them all.
const CURVES: usize = 6;
/// So many points of a distribution are drawn.
const POINTS: usize = 300;

impl Report {
    /// What happened over time, in plots that share the axis of time.
    pub(super) fn over_time(&self) -> Vec<Plot> {
        let rate = |of: fn(&Point) -> u64| move |point: &Point, width: f64| of(point) as f64 / width;
        let count = |of: fn(&Point) -> i64| move |point: &Point, _: f64| of(point) as f64;
        let (connected, waiting) = (count(|point| point.connected), count(|point| point.waiting));
        let (accepted, failed) = (rate(|point| point.accepted), rate(|point| point.failed));
        let (published, arrived) = (rate(|point| point.published), rate(|point| point.arrived));
        vec![
            self.plot("Connected devices", "", vec![self.level("", 0, connected)]),
            self.plot(
                "Connections",
                "in a second",
                vec![self.pulse("accepted", 0, accepted), self.pulse("attempts that failed", 1, failed)],
            ),
            self.plot(
                "Messages",
                "in a second; a message arrives once for each reader",
                vec![self.pulse("published", 0, published), self.pulse("arrived", 1, arrived)],
            ),
            self.plot(
                "Waiting messages",
                "not sent yet for want of a connection, or not confirmed yet (QoS 1 and 2)",
                vec![self.level("", 0, waiting)],
            ),
            self.latency_over_time(),
        ]
    }

    /// How large a share of the messages took at most how long, for each group and QoS.
    pub(super) fn distribution(&self) -> Option<Plot> {
        let mut all: BTreeMap<(usize, u8), Spans> = BTreeMap::new();
        for (number, group) in self.groups.iter().enumerate() {
            for latency in &group.latency {
                all.entry((number, latency.qos)).or_default().merge(&latency.spans);
            }
        }
        let mut all: Vec<_> = all.into_iter().filter(|(_, spans)| spans.count() > 0).collect();
        all.sort_by_key(|(_, spans)| std::cmp::Reverse(spans.count()));
        let left_out = all.len().saturating_sub(CURVES);
        all.truncate(CURVES);
        let seconds = |micros: u64| micros as f64 / 1e6;
        let least = all.iter().flat_map(|(_, spans)| spans.recorded().next()).map(|(micros, _)| micros).min()?;
        let most = all.iter().flat_map(|(_, spans)| spans.recorded().last()).map(|(micros, _)| micros).max()?;
        let line = |(ink, ((group, qos), spans)): (usize, &((usize, u8), Spans))| Line {
            name: format!("{}, QoS {qos}", self.groups[*group].name),
            ink,
            shape: Shape::Steps,
            points: curve(spans).into_iter().map(|(micros, share)| Some((seconds(micros), share))).collect(),
        };
        let rest = if left_out > 0 { format!("; {left_out} more in the table") } else { String::new() };
        Some(Plot {
            title: "How long messages took".to_owned(),
            note: format!("share of messages that took at most so long{rest}"),
            x: Axis::spans(seconds(least), seconds(most)),
            y: Axis::nines(4),
            bands: Vec::new(),
            lines: all.iter().enumerate().map(line).collect(),
        })
    }

    fn latency_over_time(&self) -> Plot {
        let quantiles = || self.series.points.iter().filter_map(|point| point.latency);
        let least = quantiles().filter_map(|it| it.p50).fold(f64::INFINITY, f64::min);
        let most = quantiles().filter_map(|it| it.max).fold(0.0, f64::max);
        let line = |name, ink, of: fn(&super::Quantiles) -> Option<f64>| {
            let quantile = move |point: &Point, _: f64| point.latency.as_ref().and_then(of).unwrap_or(f64::NAN);
            Line { shape: Shape::Steps, ..self.pulse(name, ink, quantile) }
        };
        let lines = vec![
            line("p50", 0, |it| it.p50),
            line("p90", 3, |it| it.p90),
            line("p99", 1, |it| it.p99),
            line("max", Line::INKS - 1, |it| it.max),
        ];
        let title = "How long the messages took that arrived";
        let scale = if most > 0.0 { Axis::spans(least, most) } else { Axis::spans(0.001, 1.0) };
        Plot {
            y: scale,
            ..self.plot(title, "of each interval, counted from the moment they were meant to be sent", lines)
        }
    }

    fn plot(&self, title: &str, note: &str, lines: Vec<Line>) -> Plot {
        let values = lines.iter().flat_map(|line| line.points.iter().flatten()).map(|(_, value)| *value);
        Plot {
            title: title.to_owned(),
            note: note.to_owned(),
            x: Axis::time(self.lasts + self.calm),
            y: Axis::numbers(values.fold(0.0, f64::max)),
            bands: self.bands(),
            lines,
        }
    }

    /// What stands at a value until something changes it.
    fn level(&self, name: &str, ink: usize, of: impl Fn(&Point, f64) -> f64) -> Line {
        let end = self.lasts + self.calm;
        let value = |point: &Point| of(point, self.series.width);
        let mut points = vec![Some((0.0, 0.0))];
        points.extend(
            self.series.points.iter().map(|point| Some(((point.at + self.series.width).min(end), value(point)))),
        );
        points.extend(self.series.points.last().map(|last| Some((end, value(last)))));
        Line { name: name.to_owned(), ink, shape: Shape::Area, points }
    }

    /// What belongs to its interval alone: nothing where nothing happened, and a break where there is no value.
    fn pulse(&self, name: &str, ink: usize, of: impl Fn(&Point, f64) -> f64) -> Line {
        let (width, end) = (self.series.width, self.lasts + self.calm);
        let mut points: Vec<Option<(f64, f64)>> = Vec::new();
        let mut until = 0.0;
        for point in &self.series.points {
            let value = of(point, width);
            if value.is_nan() {
                continue;
            }
            // Intervals follow each other to within what floating point makes of their number.
            if point.at > until + width / 2.0 {
                points.push(None);
            }
            until = (point.at + width).min(end);
            points.extend([Some((point.at, value)), Some((until, value))]);
        }
        Line { name: name.to_owned(), ink, shape: Shape::Steps, points }
    }

    /// The faults, by their numbers, and the calm.
    fn bands(&self) -> Vec<Band> {
        let faults = self.faults().map(|(number, moment)| Band {
            span: (moment.at, moment.until.unwrap_or(moment.at)),
            label: number.to_string(),
            about: moment.what.clone(),
            calm: false,
        });
        let end = self.lasts + self.calm;
        let calm = Band { span: (self.lasts, end), label: "calm".to_owned(), about: "calm".to_owned(), calm: true };
        faults.chain([calm]).collect()
    }

    /// The faults, each with its number.
    pub(super) fn faults(&self) -> impl Iterator<Item = (usize, &super::Moment)> {
        self.timeline.iter().filter(|moment| moment.event == Event::Fault).enumerate().map(|(nth, it)| (nth + 1, it))
    }
}

/// Spans in microseconds and the share that is no longer, as many as can be seen.
fn curve(spans: &Spans) -> Vec<(u64, f64)> {
    let (total, mut sum, mut drawn) = (spans.count() as f64, 0, f64::NEG_INFINITY);
    let mut curve = Vec::new();
    for (micros, count) in spans.recorded() {
        sum += u64::from(count);
        let share = sum as f64 / total;
        // As the axis has it: equal steps of nines.
        let height = -libm::log10((1.0 - share).max(1e-4));
        if height - drawn >= 4.0 / POINTS as f64 || sum == spans.count() {
            curve.push((micros, share));
            drawn = height;
        }
    }
    curve.first().map(|(micros, _)| (*micros, 0.0)).into_iter().chain(curve.iter().copied()).collect()
}

//! A report from what came of a run: sums, quantiles and names.

use std::collections::BTreeMap;

use harness::ledger::{Balance, Entry, Finding};
use harness::metrics::{self, Spans};

use super::{FORMAT, Grief, Group, Latency, Messages, Named, Point, Quantiles, Report, Series, timeline};
use crate::fleet::roster::{Origin, Own, Roster};
use crate::fleet::run::Outcome;
use crate::fleet::tally::{Interval, Trouble};
use crate::fleet::verdict::judge;
use crate::scenario::plan::{Duty, Plan, Publish};
use crate::scenario::schema::Phase;

impl Report {
    /// The report of `outcome`, of which `roster` knows the names.
    pub fn new(plan: &Plan, roster: &Roster, outcome: &Outcome) -> Self {
        let Outcome { balance, tally, .. } = outcome;
        let groups = plan.groups.iter().zip(&tally.groups).map(|(group, tally)| Group {
            name: group.name.clone(),
            devices: group.count,
            connected: tally.connected,
            resumed: tally.resumed,
            untrue_sessions: tally.untrue_sessions,
            lost: tally.lost,
            failed: tally.failed,
            published: tally.published,
            accepted: tally.accepted,
            skipped: tally.skipped,
            refused: tally.refused,
            troubles: griefs(&tally.troubles),
            foreign: tally.foreign,
            asked: tally.asked,
            answered: tally.answered,
            away: Quantiles::of(&tally.away),
            recovery: Quantiles::of(&tally.recovery),
            latency: latency(&tally.latency),
        });
        let series = series(&tally.series);
        Self {
            format: FORMAT,
            about: plan.about.clone(),
            seed: plan.seed,
            devices: plan.devices(),
            lasts: plan.lasts.as_secs_f64(),
            calm: plan.calm.as_secs_f64(),
            expectations: judge(plan, outcome),
            timeline: timeline::of(plan, &series),
            groups: groups.collect(),
            messages: messages(plan, balance),
            unsolicited: balance.unsolicited,
            findings: balance.findings.iter().map(|finding| named(plan, roster, finding)).collect(),
            retained: outcome.retained.clone(),
            series,
            run: None,
        }
    }
}

fn griefs(troubles: &BTreeMap<String, Trouble>) -> Vec<Grief> {
    let grief = |(why, trouble): (&String, &Trouble)| Grief { why: why.clone(), trouble: *trouble };
    let mut griefs: Vec<_> = troubles.iter().map(grief).collect();
    griefs.sort_by_key(|grief| std::cmp::Reverse(grief.trouble.lost + grief.trouble.failed + grief.trouble.refused));
    griefs
}

fn latency(spans: &[((u8, Phase), Spans)]) -> Vec<Latency> {
    let of = |((qos, phase), spans): &((u8, Phase), Spans)| {
        let (qos, phase) = (*qos, *phase);
        Latency { qos, phase, quantiles: Quantiles::of(spans), spans: spans.clone() }
    };
    spans.iter().map(of).collect()
}

fn messages(plan: &Plan, balance: &Balance) -> Vec<Messages> {
    let name = |number: u16| plan.groups[usize::from(number) % plan.groups.len()].name.clone();
    let of = |entry: &Entry| Messages {
        from: name(entry.from),
        wills: usize::from(entry.from) >= plan.groups.len(),
        to: name(entry.to),
        guarantee: entry.guarantee,
        account: entry.account,
    };
    balance.entries.iter().map(of).collect()
}

fn series(series: &metrics::Series<Interval>) -> Series {
    let (mut connected, mut waiting) = (0, 0);
    let points = series.iter().map(|(at, interval)| {
        connected += interval.connected;
        waiting += interval.waiting;
        Point {
            at: at.elapsed().as_secs_f64(),
            connected,
            waiting,
            accepted: interval.accepted,
            failed: interval.failed,
            published: interval.published,
            arrived: interval.arrived,
            latency: interval.latency.as_ref().map(Quantiles::of),
        }
    });
    Series { points: points.collect(), width: series.width().as_secs_f64() }
}

/// A finding with the names of what it is about.
fn named(plan: &Plan, roster: &Roster, finding: &Finding) -> Named {
    let (origin, place) = roster.origin(finding.stream);
    let own = |group: usize, number: u32| Own::new(&plan.groups[group], number);
    let (what, writer, topic) = match origin {
        Origin::Duty(group, duty) => match &plan.groups[group].does[duty] {
            Duty::Publish(Publish { topic, .. }) => {
                let own = own(group, place);
                ("message", own.id().to_owned(), Some(topic.fill(&own.names(""))))
            }
            _ => ("question", plan.groups[group].name.clone(), None),
        },
        Origin::Will(group) => {
            let own = own(group, place);
            let topic = plan.groups[group].will.as_ref().map(|will| will.topic.fill(&own.names("")));
            ("will", own.id().to_owned(), topic)
        }
        Origin::Answers => ("answer", "one who was asked".to_owned(), None),
    };
    let reader = roster.reader(finding.reader).map(|(group, number)| own(group, number).id().to_owned());
    Named {
        breach: finding.breach,
        what,
        number: finding.sequence,
        writer,
        topic,
        reader: reader.unwrap_or_else(|| "nobody".to_owned()),
        at: finding.at as f64 / 1e9,
    }
}

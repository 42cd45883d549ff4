//! The report as one page of HTML that needs nothing but itself: no network, no file beside it, no script. The template
//! escapes whatever it is given.

use std::io;

use askama::Template;
use harness::ledger::Breach;
use harness::report::terminal::visible;
use harness::report::{html, plot};

use super::{Event, Group, Latency, Messages, Moment, Report, said};
use crate::fleet::measured::Run;
use crate::fleet::words::{count, seconds, some};
use crate::scenario::schema::Phase;

#[derive(Template)]
#[template(path = "fleet.html")]
struct Page<'a> {
    report: &'a Report,
    version: &'static str,
    /// How pages look, and how plots do.
    styles: [&'static str; 2],
    /// In one line, for the title.
    verdict: String,
    about: String,
    setting: String,
    kept: usize,
    broken: usize,
    happened: Vec<Happened<'a>>,
    over_time: Vec<String>,
    distribution: Option<String>,
    latency: Vec<Took<'a>>,
    /// Whether any message came that was sent before its reader had subscribed.
    prior: bool,
    messages: Vec<Booked<'a>>,
    wills: Vec<Booked<'a>>,
    groups: Vec<Row<'a>>,
    findings: Vec<Broken>,
    repeat: String,
    /// How the run itself went, sentence by sentence.
    ran: Vec<String>,
}

/// A moment, and the number of its fault.
struct Happened<'a> {
    at: String,
    number: Option<usize>,
    moment: &'a Moment,
}

/// A row of the table of latencies.
struct Took<'a> {
    group: &'a str,
    phase: &'static str,
    qos: u8,
    cells: [String; 5],
}

/// A row of the ledger.
struct Booked<'a> {
    of: &'a Messages,
    qos: u8,
    sent: String,
    prior: String,
    arrived: String,
    lost: String,
    unowed: String,
    repeated: String,
    reordered: String,
    forbidden: String,
}

/// A row of the table of devices.
struct Row<'a> {
    group: &'a Group,
    cells: [String; 9],
}

/// Breaches of one kind.
struct Broken {
    count: String,
    what: &'static str,
    /// When it showed, and which message it was.
    named: Vec<(String, String)>,
    more: u64,
}

/// Writes `report`.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    let mut out = out;
    page(report).write_into(&mut out)
}

fn page(report: &Report) -> Page<'_> {
    let broken = report.broken();
    let kept = report.expectations.len() - broken;
    let devices = some(report.devices.into(), "device", "devices");
    let groups = some(report.groups.len() as u64, "group", "groups");
    let (weather, calm) = (seconds(Some(report.lasts)), seconds(Some(report.calm)));
    let (wills, messages): (Vec<_>, Vec<_>) = report.messages.iter().map(booked).partition(|row| row.of.wills);
    Page {
        report,
        version: env!("CARGO_PKG_VERSION"),
        styles: [html::STYLE, plot::STYLE],
        verdict: if broken > 0 { format!("{broken} broken, {kept} kept") } else { format!("{kept} kept") },
        about: visible(&report.about),
        setting: format!("{devices} in {groups} · {weather} of weather, then {calm} of calm · seed {}", report.seed),
        kept,
        broken,
        happened: happened(report),
        over_time: report.over_time().iter().map(plot::Plot::figure).collect(),
        distribution: report.distribution().as_ref().map(plot::Plot::figure),
        latency: report.groups.iter().flat_map(|group| group.latency.iter().map(|it| took(group, it))).collect(),
        prior: report.messages.iter().any(|messages| messages.account.prior > 0),
        messages,
        wills,
        groups: report.groups.iter().map(row).collect(),
        findings: findings(report),
        repeat: report.run.as_ref().map_or(String::new(), |run| visible(&run.repeat)),
        ran: report.run.as_ref().map_or_else(Vec::new, |run| ran(report, run)),
    }
}

fn happened(report: &Report) -> Vec<Happened<'_>> {
    let mut faults = 0;
    let mut happened = Vec::with_capacity(report.timeline.len());
    for moment in &report.timeline {
        let fault = moment.event == Event::Fault;
        faults += usize::from(fault);
        let at = if moment.at > 0.0 { seconds(Some(moment.at)) } else { "0".to_owned() };
        happened.push(Happened { at, number: fault.then_some(faults), moment });
    }
    happened
}

fn took<'a>(group: &'a Group, latency: &'a Latency) -> Took<'a> {
    let quantiles = &latency.quantiles;
    let [p50, p90, p99, max] = [quantiles.p50, quantiles.p90, quantiles.p99, quantiles.max].map(seconds);
    Took {
        group: &group.name,
        phase: if latency.phase == Phase::Calm { "calm" } else { "weather" },
        qos: latency.qos,
        cells: [count(quantiles.count), p50, p90, p99, max],
    }
}

fn booked(messages: &Messages) -> Booked<'_> {
    let [sent, prior, arrived, lost, unowed] = messages.sum().map(count);
    let account = &messages.account;
    Booked {
        of: messages,
        qos: messages.guarantee as u8,
        sent,
        prior,
        arrived,
        lost,
        unowed,
        repeated: count(account.repeated),
        reordered: count(account.reordered),
        forbidden: count(account.forbidden),
    }
}

fn row(group: &Group) -> Row<'_> {
    let Group { devices, connected, resumed, untrue_sessions, lost, failed, .. } = group;
    let [devices, connected, resumed, untrue, lost, failed] =
        [(*devices).into(), *connected, *resumed, *untrue_sessions, *lost, *failed].map(count);
    let [away, longest, back] = [group.away.p50, group.away.max, group.recovery.max].map(seconds);
    Row { group, cells: [devices, connected, resumed, untrue, lost, failed, away, longest, back] }
}

fn findings(report: &Report) -> Vec<Broken> {
    let broken = |(breach, findings): (Breach, Vec<&super::Named>)| {
        let all = report.breaches(breach);
        let at = |at: f64| if breach == Breach::Lost { "never".to_owned() } else { seconds(Some(at)) };
        Broken {
            count: some(all, "message", "messages"),
            what: said(breach),
            named: findings.iter().map(|it| (at(it.at), visible(&it.message()))).collect(),
            more: all.saturating_sub(findings.len() as u64),
        }
    };
    report.broken_down().into_iter().map(broken).collect()
}

fn ran(report: &Report, run: &Run) -> Vec<String> {
    let began = format!("{} UTC: {}", run.began.replace('T', " "), run.words(report.devices));
    [began].into_iter().chain(run.fared(report.devices)).map(|sentence| visible(&sentence)).collect()
}

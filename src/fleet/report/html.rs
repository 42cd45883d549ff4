//! The report as one page of HTML that needs nothing but itself: no network, no file beside it, no script. The template
//! escapes whatever it is given.

use std::io;

use askama::Template;
use harness::report::plot;
use harness::report::terminal::visible;

use super::wording::{AWAY, Broken, DEVICES, PHASES, WILLS, said};
use super::{Event, Grief, Group, Latency, Messages, Moment, Report};
use crate::fleet::measured::Run;
use crate::fleet::tally::Trouble;
use crate::fleet::words::{count, seconds, some};
use crate::scenario::schema::Phase;

#[derive(Template)]
#[template(path = "fleet.html")]
struct Page<'a> {
    report: &'a Report,
    version: &'static str,
    /// In one line, for the title.
    verdict: String,
    about: String,
    setting: String,
    target: String,
    kept: usize,
    broken: usize,
    unproven: usize,
    happened: Vec<Happened<'a>>,
    over_time: Vec<String>,
    distribution: Option<String>,
    latency: Vec<Took<'a>>,
    /// What the two phases are, what the books mean, and what the table of devices.
    phases: &'static str,
    sum: String,
    books: String,
    about_wills: &'static str,
    about_devices: &'static str,
    heads: Vec<&'static str>,
    /// Whether any message came that was sent before its reader had subscribed, and the name of their column.
    prior: bool,
    before: &'static str,
    /// The same of what is still under way.
    under_way: bool,
    held: &'static str,
    messages: Vec<Booked<'a>>,
    wills: Vec<Booked<'a>>,
    groups: Vec<Row<'a>>,
    troubles: Vec<Troubled<'a>>,
    findings: Vec<Kind>,
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
    under_way: String,
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

/// A row of the table of troubles.
struct Troubled<'a> {
    group: &'a str,
    why: String,
    cells: [String; 3],
}

/// Breaches of one kind.
struct Kind {
    count: String,
    what: &'static str,
    /// When it showed, and which messages they are.
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
    let unproven = report.unproven();
    let kept = report.expectations.len() - broken - unproven;
    let (prior, under_way) = (report.has_prior(), report.has_under_way());
    let (wills, messages): (Vec<_>, Vec<_>) = report.messages.iter().map(booked).partition(|row| row.of.wills);
    Page {
        report,
        version: env!("CARGO_PKG_VERSION"),
        verdict: report.verdict(),
        about: visible(&report.about),
        setting: report.setting(),
        target: report.run.as_ref().map_or(String::new(), |run| visible(&run.target)),
        kept,
        broken,
        unproven,
        happened: happened(report),
        over_time: report.over_time().iter().map(plot::Plot::figure).collect(),
        distribution: report.distribution().as_ref().map(plot::Plot::figure),
        latency: report.groups.iter().flat_map(|group| group.latency.iter().map(|it| took(group, it))).collect(),
        phases: PHASES,
        sum: report.sum(),
        books: report.books(false),
        about_wills: WILLS,
        about_devices: AWAY,
        heads: ["group"].into_iter().chain(DEVICES).collect(),
        prior,
        before: if prior { "before" } else { "" },
        held: if under_way { "under way" } else { "" },
        under_way,
        messages,
        wills,
        groups: report.groups.iter().map(|group| Row { group, cells: group.cells() }).collect(),
        troubles: report.groups.iter().flat_map(|group| group.troubles.iter().map(|it| troubled(group, it))).collect(),
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
        happened.push(Happened { at: moment.when(), number: fault.then_some(faults), moment });
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
    let [sent, prior, arrived, lost, under_way, unowed] = messages.sum().map(count);
    let account = &messages.account;
    Booked {
        of: messages,
        qos: messages.guarantee as u8,
        sent,
        prior,
        arrived,
        lost,
        under_way,
        unowed,
        repeated: count(account.repeated),
        reordered: count(account.reordered),
        forbidden: count(account.forbidden),
    }
}

fn troubled<'a>(group: &'a Group, grief: &Grief) -> Troubled<'a> {
    let Trouble { lost, failed, refused } = grief.trouble;
    Troubled { group: &group.name, why: visible(&grief.why), cells: [lost, failed, refused].map(count) }
}

fn findings(report: &Report) -> Vec<Kind> {
    let kind = |Broken { breach, count, named, more }| Kind {
        count: some(count, "message", "messages"),
        what: said(breach),
        named: named.into_iter().map(|(at, message)| (at, visible(&message))).collect(),
        more,
    };
    report.broken_down().into_iter().map(kind).collect()
}

fn ran(report: &Report, run: &Run) -> Vec<String> {
    let began = format!("{} UTC: {}", run.began.replace('T', " "), run.words(report.devices));
    [began].into_iter().chain(run.fared(report.devices)).map(|sentence| visible(&sentence)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_page_holds_all_there_is_to_know_and_names_no_other_resource() {
        let mut out = Vec::new();
        write(&mut out, &sample()).unwrap();
        let page = String::from_utf8(out).unwrap();
        let body = page.split("</style>").nth(1).unwrap();
        let count = |text: &str| body.matches(text).count();
        // Connections, messages and the like over time, and one distribution.
        assert_eq!((count("<figure "), count("class=\"number\""), count("class=\"badge\"")), (6, 2, 3));
        for text in [
            "a &#60;tunnel&#62; &#38; what comes after",
            "connected devices fall from 3 to 1",
            "4 of 57 owed messages are missing",
            "messages 4 to 5 on at/train-1/&#60;b&#62; by train-1, for room-0",
            "train, QoS 1",
            "testament fleet &#39;a&#60;b.ron&#39; --seed 7",
            "against the bundled broker in virtual time",
            "<td class=\"wrong\">4</td>",
        ] {
            assert!(body.contains(text), "{text} is not in {body}");
        }
        for text in ["<script", "src=", "@import", "url(", "<link", "http://", "https://"] {
            assert!(!page.contains(text), "{text}");
        }
    }
}

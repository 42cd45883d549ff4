//! The report as Markdown, for the summary page of a build.

use std::io;

use harness::ledger::Breach;
use harness::report::markdown::{escaped, tagged};

use super::{Latency, Report, said};
use crate::fleet::words::{count, seconds, some};
use crate::scenario::schema::Phase;

/// Writes `report`.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    let (all, broken) = (report.expectations.len() as u64, report.broken() as u64);
    let verdict = match broken {
        0 => format!("{} kept", some(all, "promise", "promises")),
        _ => format!("{} of {} broken", count(broken), some(all, "promise", "promises")),
    };
    writeln!(out, "# {}\n", escaped(&report.about))?;
    let devices = some(report.devices.into(), "device", "devices");
    let (weather, calm) = (seconds(Some(report.lasts)), seconds(Some(report.calm)));
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "**{verdict}**: {devices}, {weather} of weather, then {calm} of calm; seed {}", report.seed)?;
    writeln!(out, "(testament {version})\n")?;
    promises(out, report)?;
    findings(out, report)?;
    timeline(out, report)?;
    messages(out, report)?;
    latency(out, report)?;
    let Some(run) = &report.run else { return Ok(()) };
    for sentence in [run.words(report.devices)].into_iter().chain(run.fared(report.devices)) {
        writeln!(out, "- {}", escaped(&sentence))?;
    }
    writeln!(out, "\nPlay it again:\n\n<pre>{}</pre>", tagged(&run.repeat))
}

fn promises(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    if report.expectations.is_empty() {
        return writeln!(out, "The scenario expects nothing.\n");
    }
    writeln!(out, "| promised | | found |\n|---|---|---|")?;
    for judgement in &report.expectations {
        let word = if judgement.met { "kept" } else { "**BROKEN**" };
        writeln!(out, "| {} | {word} | {} |", escaped(&judgement.expected), escaped(&judgement.found))?;
    }
    writeln!(out)
}

fn findings(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    for (breach, findings) in report.broken_down() {
        let all = some(report.breaches(breach), "message", "messages");
        writeln!(out, "## {all}: {}\n", said(breach))?;
        for finding in findings {
            let at = if breach == Breach::Lost { "never".to_owned() } else { seconds(Some(finding.at)) };
            writeln!(out, "- {at}: {}", escaped(&finding.message()))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn timeline(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    writeln!(out, "| at | what happened |\n|--:|---|")?;
    for moment in &report.timeline {
        let then = moment.then.as_ref().map_or(String::new(), |then| format!("; {then}"));
        writeln!(out, "| {} | {}{} |", seconds(Some(moment.at)), escaped(&moment.what), escaped(&then))?;
    }
    writeln!(out)
}

fn messages(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    let heads = "sent | before | arrived | missing | not owed | again | in disorder";
    writeln!(out, "| messages | QoS | {heads} |\n|---|{}", "--:|".repeat(8))?;
    for messages in &report.messages {
        let account = &messages.account;
        let numbers = messages.sum().into_iter().chain([account.repeated, account.reordered]).map(count);
        let numbers: Vec<_> = numbers.collect();
        let (way, qos) = (escaped(&messages.way()), messages.guarantee as u8);
        writeln!(out, "| {way} | {qos} | {} |", numbers.join(" | "))?;
    }
    writeln!(out, "\nEach message counts once for each reader, and sent + before = arrived + missing + not owed.\n")
}

fn latency(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    writeln!(out, "| how long messages took | QoS | messages | p50 | p90 | p99 | max |\n|---|{}", "--:|".repeat(6))?;
    for group in &report.groups {
        for Latency { qos, phase, quantiles, .. } in &group.latency {
            let phase = if *phase == Phase::Calm { "calm" } else { "weather" };
            let spans = [quantiles.p50, quantiles.p90, quantiles.p99, quantiles.max].map(seconds).join(" | ");
            let name = escaped(&group.name);
            writeln!(out, "| {name} in the {phase} | {qos} | {} | {spans} |", count(quantiles.count))?;
        }
    }
    writeln!(out)
}

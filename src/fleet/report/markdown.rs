//! The report as Markdown, for the summary page of a build.

use std::io;

use harness::report::markdown::{escaped, tagged};

use super::course::Row;
use super::wording::{AWAY, Broken, DEVICES, PHASES, SUM, said};
use super::{Event, Grief, Latency, Report};
use crate::fleet::tally::Trouble;
use crate::fleet::words::{self, count, seconds, some};
use crate::scenario::schema::Phase;

/// Writes `report`.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    writeln!(out, "# {}\n", escaped(&report.about))?;
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "**{}**: {}\n(testament {version})\n", report.verdict(), report.setting())?;
    promises(out, report)?;
    findings(out, report)?;
    timeline(out, report)?;
    course(out, report)?;
    messages(out, report)?;
    latency(out, report)?;
    devices(out, report)?;
    troubles(out, report)?;
    let Some(run) = &report.run else { return Ok(()) };
    for sentence in [run.words(report.devices)].into_iter().chain(run.fared(report.devices)) {
        writeln!(out, "- {}", escaped(&sentence))?;
    }
    writeln!(out, "\nPlay it again:\n\n<pre>{}</pre>", tagged(&run.repeat))
}

fn promises(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    if report.expectations.is_empty() {
        let (what, why) = report.unjudged();
        return writeln!(out, "{what}: {why}.\n");
    }
    writeln!(out, "| promised | | found |\n|---|---|---|")?;
    for judgement in &report.expectations {
        let word =
            if judgement.met == Some(true) { "kept" } else { &format!("**{}**", judgement.word().to_uppercase()) };
        writeln!(out, "| {} | {word} | {} |", escaped(&judgement.expected), escaped(&judgement.found))?;
    }
    writeln!(out)
}

fn findings(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    for Broken { breach, count, named, more } in report.broken_down() {
        writeln!(out, "## {}: {}\n", some(count, "message", "messages"), said(breach))?;
        for (at, message) in named {
            writeln!(out, "- {at}: {}", escaped(&message))?;
        }
        if more > 0 {
            writeln!(out, "- and {} more", words::count(more))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn timeline(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    writeln!(out, "| at | | what happened |\n|--:|--:|---|")?;
    let mut faults = 0;
    for moment in &report.timeline {
        let then = moment.then.as_ref().map_or(String::new(), |then| format!("; {then}"));
        let fault = moment.event == Event::Fault;
        faults += u32::from(fault);
        let number = if fault { faults.to_string() } else { String::new() };
        writeln!(out, "| {} | {number} | {}{} |", moment.when(), escaped(&moment.what), escaped(&then))?;
    }
    writeln!(out, "\n{PHASES}\n")
}

/// What happened over time, in letters of one width.
fn course(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    writeln!(out, "```text")?;
    for Row { name, blocks, peak } in report.course() {
        writeln!(out, "{name:<10} {blocks}  {peak}")?;
    }
    if let Some(faults) = report.shaded() {
        writeln!(out, "{:<10} {faults}", "faults")?;
    }
    writeln!(out, "```\n\n{}\n", report.course_note())
}

fn messages(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    let shown = report.shown();
    let shown = |cells: [String; 6]| cells.into_iter().zip(shown).filter_map(|(cell, shows)| shows.then_some(cell));
    let heads: Vec<_> = shown(SUM.map(str::to_owned)).chain(["again", "in disorder"].map(str::to_owned)).collect();
    writeln!(out, "| messages | QoS | {} |\n|---|{}", heads.join(" | "), "--:|".repeat(heads.len() + 1))?;
    for messages in &report.messages {
        let rest = [messages.account.repeated, messages.account.reordered].map(count);
        let numbers: Vec<_> = shown(messages.sum().map(count)).chain(rest).collect();
        let (way, qos) = (escaped(&messages.way()), messages.guarantee as u8);
        writeln!(out, "| {way} | {qos} | {} |", numbers.join(" | "))?;
    }
    writeln!(out, "\nEach message counts once for each reader, and {}. {}\n", report.sum(), report.books(true))
}

fn devices(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    writeln!(out, "| group | {} |\n|---|{}", DEVICES.join(" | "), "--:|".repeat(DEVICES.len()))?;
    for group in &report.groups {
        writeln!(out, "| {} | {} |", escaped(&group.name), group.cells().join(" | "))?;
    }
    writeln!(out, "\n{AWAY}\n")
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
    writeln!(out, "\nFrom the moment each was meant to be sent to its first arrival.\n")
}

fn troubles(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    if report.groups.iter().all(|group| group.troubles.is_empty()) {
        return Ok(());
    }
    writeln!(out, "| troubles | | lost | failed | refused |\n|---|---|--:|--:|--:|")?;
    for group in &report.groups {
        for Grief { why, trouble: Trouble { lost, failed, refused } } in &group.troubles {
            let numbers = [lost, failed, refused].map(|number| count(*number)).join(" | ");
            writeln!(out, "| {} | {} | {numbers} |", escaped(&group.name), escaped(why))?;
        }
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn what_was_broken_stands_above_what_happened() {
        let mut out = Vec::new();
        write(&mut out, &sample()).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        # a &lt;tunnel&gt; &amp; what comes after

        **1 of 3 promises broken**: 4 devices in 2 groups; 10 min of weather, then 2 min of calm; seed 7
        (testament 0.1.0)

        | promised | | found |
        |---|---|---|
        | nothing that was confirmed is missing (QoS 1) | **BROKEN** | 4 of 57 owed messages are missing |
        | each last will that is due comes, and no other | kept | 3 wills came; 0 more were due, and 0 came that must not |
        | 50 % of messages take less than 1 s in the weather | kept | 50 % of 19 took at most 301 ms |

        ## 4 messages: owed, and never came; listed by when each was sent

        - 2.2 min: messages 4 to 5 on at/train-1/&lt;b&gt; by train-1, for room-0
        - 2.2 min: message 9 on at/train-1/&lt;b&gt; by train-1, for room-0
        - and 1 more

        | at | | what happened |
        |--:|--:|---|
        | 0 |  | train: 3 devices come up over 30 s |
        | 0 |  | room: 1 device comes up at once |
        | 2 min | 1 | silence both ways for all 3 of train, for 60 s; connected devices fall from 3 to 1; as many again by 3.2 min |
        | 5 min | 2 | the broker is started again and keeps all; no fewer devices are connected than the 3 before |
        | 10 min |  | the calm begins: all links are healed, and nothing new is said |

        Weather: all that the scenario has in store happens. Calm: all is healed, and what is owed must come.

        ```text
        connected  ▅████████████▃▃▃▃▃▃█████████████████████████████████████████████████████████  3
        attempts                  █                                                              1.3 /s
        arrived       █  █  █  █  █   █  █  █  █  █  █   █  █  █  █  █  █   █  █  █              0.3 /s
        waiting                   █████                                                          12
        p99           ▁  ▁  ▁  ▁  ▁   ▁  ▁  ▁  ▁  ▁  ▁   ▁  ▁  ▁  ▁  ▁  ▁   ▁  ▁  █              3.3 min
        faults                 1=======           2
        ```

        One column is 9.5 s, and each row ends in its peak. Attempts: to connect. Waiting: messages not sent yet, or not confirmed. p99: 99 of 100 messages that arrived then took no longer.

        | messages | QoS | sent | before | arrived | missing | not owed | again | in disorder |
        |---|--:|--:|--:|--:|--:|--:|--:|--:|
        | train to room | 1 | 57 | 0 | 53 | 4 | 0 | 1 | 0 |
        | last wills of train to room | 0 | 5 | 1 | 3 | 0 | 3 | 0 | 0 |

        Each message counts once for each reader, and sent + before = arrived + missing + not owed. A message is owed when the broker has confirmed it to its writer while the reader was subscribed; what is owed and never came is missing. At QoS 1 a message may come again. Before: of what arrived, what was sent before its reader had subscribed, such as what is retained. Each connection writes a last will of its own. It is due when the connection is lost, and not owed while that stands; nor may it come when its writer takes leave, or is back within the delay of the will.

        | how long messages took | QoS | messages | p50 | p90 | p99 | max |
        |---|--:|--:|--:|--:|--:|--:|
        | train in the weather | 1 | 19 | 301 ms | 541 ms | 573 ms | 573 ms |
        | train in the calm | 1 | 1 | 3.3 min | 3.3 min | 3.3 min | 3.3 min |

        From the moment each was meant to be sent to its first arrival.

        | group | devices | connected | session kept | session untrue | lost | failed | away p50 | away max | back max |
        |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
        | train | 3 | 5 | 2 | 0 | 2 | 4 | 60 s | 60 s | - |
        | room | 1 | 0 | 0 | 0 | 0 | 0 | - | - | - |

        Session kept: connects that found the session of before. Away: from the loss of a connection to the next one. Back: from the end of what was done to a device until it was connected again.

        | troubles | | lost | failed | refused |
        |---|---|--:|--:|--:|
        | train | no connection in time | 0 | 4 | 0 |
        | train | no PINGRESP in &lt;time&gt; | 2 | 0 | 0 |

        - played against the bundled broker in virtual time in 1.5 s, with 1 MB of memory at its peak

        Play it again:

        <pre>testament fleet 'a&lt;b.ron' --seed 7</pre>
        "#);
    }
}

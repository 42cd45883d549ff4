//! The report for people: what happened, what was promised and kept, then the numbers behind it.

use std::io;

use harness::report::terminal::{Ink, painted, prose, visible};

use super::course::Row;
use super::wording::{AWAY, DEVICES, PHASES, SUM, said};
use super::{Event, Grief, Report};
use crate::fleet::tally::Trouble;
use crate::fleet::words::{count, seconds, some};
use crate::scenario::schema::Phase;

/// So many lines tell of breaches of one kind.
const NAMED: usize = 5;

/// Writes `report` in lines of at most 110 columns, with `colour` or without.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn io::Write, report: &Report, colour: bool) -> io::Result<()> {
    Terminal { out, report, colour }.write()
}

struct Terminal<'a> {
    out: &'a mut dyn io::Write,
    report: &'a Report,
    colour: bool,
}

impl Terminal<'_> {
    fn write(&mut self) -> io::Result<()> {
        let report = self.report;
        prose(self.out, "", &report.about)?;
        prose(self.out, "", &report.setting())?;
        writeln!(self.out, "{}", painted(self.colour, Ink::Grey, PHASES))?;
        self.timeline()?;
        self.course()?;
        self.promises()?;
        self.findings()?;
        self.messages()?;
        self.latency()?;
        self.devices()?;
        self.troubles()?;
        self.end()
    }

    fn title(&mut self, title: &str, note: &str) -> io::Result<()> {
        let title = if self.colour { format!("\x1b[1m{title}\x1b[0m") } else { title.to_owned() };
        let note = if note.is_empty() { String::new() } else { format!("  {}", painted(self.colour, Ink::Grey, note)) };
        writeln!(self.out, "\n{title}{note}")
    }

    /// What a table means, beneath it.
    fn note(&mut self, note: &str) -> io::Result<()> {
        let mut text = Vec::new();
        prose(&mut text, "  ", note)?;
        for line in String::from_utf8_lossy(&text).lines() {
            writeln!(self.out, "{}", painted(self.colour, Ink::Grey, line))?;
        }
        Ok(())
    }

    fn timeline(&mut self) -> io::Result<()> {
        self.title("What happened", "")?;
        let mut faults = 0;
        for moment in &self.report.timeline {
            let number = if moment.event == Event::Fault {
                faults += 1;
                format!("[{faults}]")
            } else {
                String::new()
            };
            let at = moment.when();
            prose(self.out, &format!("  {at:>9} {number:>4} "), &moment.what)?;
            if let Some(then) = &moment.then {
                prose(self.out, &format!("  {:>9} {:>4}  ", "", ""), then)?;
            }
        }
        Ok(())
    }

    /// What happened over time, as rows of blocks.
    fn course(&mut self) -> io::Result<()> {
        let report = self.report;
        self.title("Over time", "")?;
        for Row { name, blocks, peak } in report.course() {
            writeln!(self.out, "  {name:<10} {blocks}  {peak}")?;
        }
        if let Some(faults) = report.shaded() {
            writeln!(self.out, "  {:<10} {}", "faults", painted(self.colour, Ink::Yellow, &faults))?;
        }
        self.note(&report.course_note())
    }

    fn promises(&mut self) -> io::Result<()> {
        if self.report.expectations.is_empty() {
            let (what, why) = self.report.unjudged();
            self.title(what, why)?;
            return Ok(());
        }
        self.title("What was promised, and what was kept", "")?;
        for judgement in &self.report.expectations {
            let (ink, word) = match judgement.met {
                Some(true) => (Ink::Green, judgement.word().to_owned()),
                Some(false) => (Ink::Red, judgement.word().to_uppercase()),
                None => (Ink::Yellow, judgement.word().to_uppercase()),
            };
            write!(self.out, "  {}", painted(self.colour, ink, &format!("{word:<10}")))?;
            // The label takes no room on its first line, for it is there already.
            let mut text = Vec::new();
            prose(&mut text, "            ", &format!("{}: {}", judgement.expected, judgement.found))?;
            self.out.write_all(text.trim_ascii_start())?;
        }
        Ok(())
    }

    fn findings(&mut self) -> io::Result<()> {
        let report = self.report;
        for broken in report.broken_down() {
            let title = painted(self.colour, Ink::Red, &some(broken.count, "message", "messages"));
            self.title(&title, said(broken.breach))?;
            for (at, message) in broken.named.iter().take(NAMED) {
                prose(self.out, &format!("  {at:>9}  "), message)?;
            }
            if broken.named.len() > NAMED || broken.more > 0 {
                writeln!(self.out, "  {:>9}  and more; the other forms of this report name the first twenty", "")?;
            }
        }
        let retained = report.retained.as_ref().map_or(&[][..], |retained| &retained.examples);
        if !retained.is_empty() {
            self.title("Retained", "not the last message that was accepted")?;
            for (topic, trouble) in retained.iter().take(NAMED) {
                prose(self.out, "  ", &format!("{topic}: {trouble}"))?;
            }
        }
        Ok(())
    }

    fn messages(&mut self) -> io::Result<()> {
        let report = self.report;
        let shown = report.shown();
        let shown = |cells: [String; 6]| cells.into_iter().zip(shown).filter_map(|(cell, shows)| shows.then_some(cell));
        self.title("Messages", &format!("once for each reader; {}", report.sum()))?;
        let names: Vec<_> = report.messages.iter().map(super::Messages::way).collect();
        let line = |name: &str, qos: String, sum: [String; 6], rest: [String; 2]| -> Vec<String> {
            [name.to_owned(), qos].into_iter().chain(shown(sum)).chain(rest).collect()
        };
        let heads = ["again", "disorder"].map(str::to_owned);
        let mut rows = vec![line("", "QoS".to_owned(), SUM.map(str::to_owned), heads)];
        for (messages, name) in report.messages.iter().zip(&names) {
            let rest = [messages.account.repeated, messages.account.reordered].map(count);
            rows.push(line(name, (messages.guarantee as u8).to_string(), messages.sum().map(count), rest));
        }
        table(self.out, &rows)?;
        self.note(&report.books(true))
    }

    fn latency(&mut self) -> io::Result<()> {
        self.title("How long messages took", "from the moment each was meant to be sent to its first arrival")?;
        let mut rows = vec![row("", ["QoS", "messages", "p50", "p90", "p99", "max"])];
        for group in &self.report.groups {
            for latency in &group.latency {
                let phase = if latency.phase == Phase::Calm { "calm" } else { "weather" };
                let super::Quantiles { count: messages, p50, p90, p99, max } = latency.quantiles;
                let [p50, p90, p99, max] = [p50, p90, p99, max].map(seconds);
                let (qos, messages) = (latency.qos.to_string(), count(messages));
                let cells = [&qos, &messages, &p50, &p90, &p99, &max].map(String::as_str);
                rows.push(row(&format!("{} in the {phase}", group.name), cells));
            }
        }
        table(self.out, &rows)
    }

    fn devices(&mut self) -> io::Result<()> {
        self.title("Devices", "their connections, and how long they were without one")?;
        let mut rows = vec![row("", DEVICES)];
        rows.extend(
            self.report.groups.iter().map(|group| row(&group.name, group.cells().each_ref().map(String::as_str))),
        );
        if self.report.groups.iter().all(|group| group.untrue_sessions == 0) {
            rows.iter_mut().for_each(|row| _ = row.remove(4));
        }
        table(self.out, &rows)?;
        self.note(AWAY)
    }

    fn troubles(&mut self) -> io::Result<()> {
        let groups = &self.report.groups;
        if groups.iter().all(|group| group.troubles.is_empty()) {
            return Ok(());
        }
        self.title("Troubles", "connections that were lost, attempts that failed, and what was refused")?;
        let mut rows = vec![row("", ["lost", "failed", "refused"])];
        for group in groups {
            for Grief { why, trouble: Trouble { lost, failed, refused } } in &group.troubles {
                let numbers = [lost, failed, refused].map(|number| count(*number));
                rows.push(row(&visible(&format!("{}: {why}", group.name)), numbers.each_ref().map(String::as_str)));
            }
        }
        table(self.out, &rows)
    }

    fn end(&mut self) -> io::Result<()> {
        let report = self.report;
        let ink = match (report.expectations.is_empty(), report.is_met()) {
            (true, _) => Ink::Grey,
            (false, true) => Ink::Green,
            _ => Ink::Red,
        };
        let verdict = painted(self.colour, ink, &report.verdict());
        let Some(run) = &report.run else { return writeln!(self.out, "\n{verdict}") };
        writeln!(self.out, "\n{verdict}")?;
        for sentence in [run.words(report.devices)].iter().chain(&run.fared(report.devices)) {
            prose(self.out, "", sentence)?;
        }
        writeln!(self.out, "play it again: {}", run.repeat)
    }
}

fn row<const N: usize>(name: &str, cells: [&str; N]) -> Vec<String> {
    [name].into_iter().chain(cells).map(str::to_owned).collect()
}

/// Writes rows whose first cells begin, and whose others end, in one column.
fn table(out: &mut dyn io::Write, rows: &[Vec<String>]) -> io::Result<()> {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    for row in rows {
        let cell = |(column, cell): (usize, &String)| {
            let width = width(column).unwrap_or_default();
            if column == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") }
        };
        writeln!(out, "{}", row.iter().enumerate().map(cell).collect::<String>().trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    fn written(colour: bool) -> String {
        let mut out = Vec::new();
        write(&mut out, &sample(), colour).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_reads_from_what_happened_to_what_was_kept() {
        insta::assert_snapshot!(written(false), @r#"
        a <tunnel> & what comes after
        4 devices in 2 groups; 10 min of weather, then 2 min of calm; seed 7
        Weather: all that the scenario has in store happens. Calm: all is healed, and what is owed must come.

        What happened
                  0      train: 3 devices come up over 30 s
                  0      room: 1 device comes up at once
              2 min  [1] silence both ways for all 3 of train, for 60 s
                          connected devices fall from 3 to 1; as many again by 3.2 min
              5 min  [2] the broker is started again and keeps all
                          no fewer devices are connected than the 3 before
             10 min      the calm begins: all links are healed, and nothing new is said

        Over time
          connected  ▅████████████▃▃▃▃▃▃█████████████████████████████████████████████████████████  3
          attempts                  █                                                              1.3 /s
          arrived       █  █  █  █  █   █  █  █  █  █  █   █  █  █  █  █  █   █  █  █              0.3 /s
          waiting                   █████                                                          12
          p99           ▁  ▁  ▁  ▁  ▁   ▁  ▁  ▁  ▁  ▁  ▁   ▁  ▁  ▁  ▁  ▁  ▁   ▁  ▁  █              3.3 min
          faults                 1=======           2
          One column is 9.5 s, and each row ends in its peak. Attempts: to connect. Waiting: messages not sent yet, or
          not confirmed. p99: 99 of 100 messages that arrived then took no longer.

        What was promised, and what was kept
          BROKEN    nothing that was confirmed is missing (QoS 1): 4 of 57 owed messages are missing
          kept      each last will that is due comes, and no other: 3 wills came; 0 more were due, and 0 came that
                    must not
          kept      50 % of messages take less than 1 s in the weather: 50 % of 19 took at most 301 ms

        4 messages  owed, and never came; listed by when each was sent
            2.2 min  messages 4 to 5 on at/train-1/<b> by train-1, for room-0
            2.2 min  message 9 on at/train-1/<b> by train-1, for room-0
                     and more; the other forms of this report name the first twenty

        Messages  once for each reader; sent + before = arrived + missing + not owed
                                       QoS  sent  before  arrived  missing  not owed  again  disorder
          train to room                  1    57       0       53        4         0      1         0
          last wills of train to room    0     5       1        3        0         3      0         0
          A message is owed when the broker has confirmed it to its writer while the reader was subscribed; what is
          owed and never came is missing. At QoS 1 a message may come again. Before: of what arrived, what was sent
          before its reader had subscribed, such as what is retained. Each connection writes a last will of its own.
          It is due when the connection is lost, and not owed while that stands; nor may it come when its writer takes
          leave, or is back within the delay of the will.

        How long messages took  from the moment each was meant to be sent to its first arrival
                                QoS  messages      p50      p90      p99      max
          train in the weather    1        19   301 ms   541 ms   573 ms   573 ms
          train in the calm       1         1  3.3 min  3.3 min  3.3 min  3.3 min

        Devices  their connections, and how long they were without one
                 devices  connected  session kept  lost  failed  away p50  away max  back max
          train        3          5             2     2       4      60 s      60 s         -
          room         1          0             0     0       0         -         -         -
          Session kept: connects that found the session of before. Away: from the loss of a connection to the next
          one. Back: from the end of what was done to a device until it was connected again.

        Troubles  connections that were lost, attempts that failed, and what was refused
                                        lost  failed  refused
          train: no connection in time     0       4        0
          train: no PINGRESP in <time>     2       0        0

        1 of 3 promises broken
        played against the bundled broker in virtual time in 1.5 s, with 1 MB of memory at its peak
        play it again: testament fleet 'a<b.ron' --seed 7
        "#);
    }

    #[test]
    fn colour_changes_no_word() {
        let mut plain = String::new();
        for (nth, part) in written(true).split("\x1b[").enumerate() {
            plain.push_str(if nth == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        assert_eq!(plain, written(false));
        assert!(!written(false).contains('\x1b'));
    }

    #[test]
    fn no_line_is_wider_than_it_may_be() {
        assert!(written(false).lines().all(|line| line.chars().count() <= 110));
    }
}

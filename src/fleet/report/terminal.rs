//! The report for people: what happened, what was promised and kept, then the numbers behind it.

use std::io;

use harness::report::terminal::{Ink, painted, prose, visible};

use super::{Event, Grief, PHASES, Point, Report, said};
use crate::fleet::tally::Trouble;
use crate::fleet::words::{count, seconds, some};
use crate::scenario::schema::Phase;

/// How many columns show the course of a run.
const COLUMNS: usize = 76;
/// So many lines tell of breaches of one kind.
const NAMED: usize = 5;

/// A row that shows something over time.
struct Course {
    name: &'static str,
    of: fn(&Point) -> f64,
    peak: Peak,
}

/// What a row shows, and how its peak reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peak {
    /// A number that stays until something changes it.
    Level,
    /// How many in an interval.
    Rate,
    /// Seconds.
    Span,
}

const COURSES: [Course; 5] = [
    Course { name: "connected", of: |point| point.connected as f64, peak: Peak::Level },
    Course { name: "attempts", of: |point| (point.accepted + point.failed) as f64, peak: Peak::Rate },
    Course { name: "arrived", of: |point| point.arrived as f64, peak: Peak::Rate },
    Course { name: "waiting", of: |point| point.waiting as f64, peak: Peak::Level },
    Course { name: "p99", of: |point| point.latency.and_then(|it| it.p99).unwrap_or(0.0), peak: Peak::Span },
];

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
        let groups = some(report.groups.len() as u64, "group", "groups");
        let (weather, calm) = (seconds(Some(report.lasts)), seconds(Some(report.calm)));
        let devices = some(report.devices.into(), "device", "devices");
        let head = format!("{devices} in {groups}; {weather} of weather, then {calm} of calm; seed {}", report.seed);
        prose(self.out, "", &head)?;
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
        let column = (report.lasts + report.calm) / COLUMNS as f64;
        let note = "each row ends in its peak; waiting: not sent yet, or not confirmed";
        self.title("Its course", &format!("one column is {}; {note}", seconds(Some(column))))?;
        let width = report.series.width;
        for Course { name, of, peak } in COURSES {
            let most = report.series.points.iter().map(of).fold(0.0, f64::max);
            let blocks = self.blocks(|point| of(point) / most.max(f64::MIN_POSITIVE), peak == Peak::Level);
            let peak = match peak {
                Peak::Level => count(most.round() as u64),
                Peak::Rate => format!("{} /s", rounded(most / width)),
                Peak::Span => seconds(Some(most)),
            };
            writeln!(self.out, "  {name:<10} {blocks}  {peak}")?;
        }
        let faults = self.faults();
        if !faults.trim().is_empty() {
            writeln!(self.out, "  {:<10} {}", "faults", painted(self.colour, Ink::Yellow, faults.trim_end()))?;
        }
        Ok(())
    }

    /// A row of blocks, whose heights are shares from 0 to 1: of each column the highest. What `holds` stays where it is
    /// until something changes it.
    fn blocks(&self, height: impl Fn(&Point) -> f64, holds: bool) -> String {
        const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let report = self.report;
        let column = (report.lasts + report.calm) / COLUMNS as f64;
        let mut held = 0.0;
        let share = |place: usize| {
            let (from, to) = (column * place as f64, column * (place + 1) as f64);
            let inside = report.series.points.iter().filter(|point| (from..to).contains(&point.at));
            let heights: Vec<_> = inside.map(&height).collect();
            let highest = heights.iter().copied().fold(if heights.is_empty() && holds { held } else { 0.0 }, f64::max);
            held = heights.last().copied().unwrap_or(held);
            highest
        };
        let block = |share: f64| {
            let eighths = (share.clamp(0.0, 1.0) * 8.0).round() as usize;
            // Little is not nothing.
            BLOCKS[if share > 0.0 { eighths.max(1) } else { 0 }]
        };
        (0..COLUMNS).map(share).map(block).collect()
    }

    /// Where there were faults, by their numbers.
    fn faults(&self) -> String {
        let report = self.report;
        let column = (report.lasts + report.calm) / COLUMNS as f64;
        let mut row = vec![' '; COLUMNS];
        for (number, moment) in report.faults() {
            let place = |at: f64| ((at / column) as usize).min(COLUMNS - 1);
            let (from, to) = (place(moment.at), place(moment.until.unwrap_or(moment.at)));
            row[from..=to].iter_mut().filter(|cell| **cell == ' ').for_each(|cell| *cell = '=');
            // Apart from the number of another fault that began just before.
            let is_taken = |cell: &char| !matches!(cell, ' ' | '=');
            let taken = row[from..].iter().take_while(|cell| is_taken(cell)).count();
            let touches = taken > 0 || from.checked_sub(1).is_some_and(|before| is_taken(&row[before]));
            let number = if touches { format!(",{number}") } else { number.to_string() };
            for (cell, digit) in row[from + taken..].iter_mut().zip(number.chars()) {
                *cell = digit;
            }
        }
        row.into_iter().collect()
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
        let prior = report.messages.iter().any(|messages| messages.account.prior > 0);
        let sum =
            if prior { "sent + before = arrived + missing + not owed" } else { "sent = arrived + missing + not owed" };
        self.title("Messages", &format!("once for each reader; {sum}"))?;
        let names: Vec<_> = report.messages.iter().map(super::Messages::way).collect();
        let mut rows = vec![row("", ["QoS", "sent", "before", "arrived", "missing", "not owed", "again", "disorder"])];
        for (messages, name) in report.messages.iter().zip(&names) {
            let [sent, prior, arrived, lost, unowed] = messages.sum().map(count);
            let account = &messages.account;
            let (again, disorder) = (count(account.repeated), count(account.reordered));
            let qos = (messages.guarantee as u8).to_string();
            let cells = [&qos, &sent, &prior, &arrived, &lost, &unowed, &again, &disorder];
            rows.push(row(name, cells.map(String::as_str)));
        }
        if !prior {
            rows.iter_mut().for_each(|row| _ = row.remove(3));
        }
        table(self.out, &rows)
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
        let heads = ["devices", "connected", "session kept", "lost", "failed", "away p50", "away max", "back max"];
        let mut rows = vec![row("", heads)];
        for group in &self.report.groups {
            let numbers = [group.devices.into(), group.connected, group.resumed, group.lost, group.failed].map(count);
            let spans = [group.away.p50, group.away.max, group.recovery.max].map(seconds);
            let cells: Vec<_> = [group.name.clone()].into_iter().chain(numbers).chain(spans).collect();
            rows.push(cells);
        }
        table(self.out, &rows)
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

fn rounded(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { count(rate.round() as u64) }
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

        Its course  one column is 9.5 s; each row ends in its peak; waiting: not sent yet, or not confirmed
          connected  ▅████████████▃▃▃▃▃▃█████████████████████████████████████████████████████████  3
          attempts                  █                                                              1.3 /s
          arrived       █  █  █  █  █   █  █  █  █  █  █   █  █  █  █  █  █   █  █  █              0.3 /s
          waiting                   █████                                                          12
          p99           ▁  ▁  ▁  ▁  ▁   ▁  ▁  ▁  ▁  ▁  ▁   ▁  ▁  ▁  ▁  ▁  ▁   ▁  ▁  █              3.3 min
          faults                 1=======           2

        What was promised, and what was kept
          BROKEN    nothing that was confirmed is missing (QoS 1): 4 of 57 owed messages are missing
          kept      each last will that is due comes, and no other: 3 wills came; 0 more were due, and 0 came that
                    must not
          kept      50 % of messages take less than 1 s in the weather: 50 % of 19 took at most 301 ms

        4 messages  confirmed to the writer, and never came; listed by when each was sent
            2.2 min  messages 4 to 5 on at/train-1/<b> by train-1, for room-0
            2.2 min  message 9 on at/train-1/<b> by train-1, for room-0
                     and more; the other forms of this report name the first twenty

        Messages  once for each reader; sent + before = arrived + missing + not owed
                                       QoS  sent  before  arrived  missing  not owed  again  disorder
          train to room                  1    57       0       53        4         0      1         0
          last wills of train to room    0     5       1        3        0         3      0         0

        How long messages took  from the moment each was meant to be sent to its first arrival
                                QoS  messages      p50      p90      p99      max
          train in the weather    1        19   301 ms   541 ms   573 ms   573 ms
          train in the calm       1         1  3.3 min  3.3 min  3.3 min  3.3 min

        Devices  their connections, and how long they were without one
                 devices  connected  session kept  lost  failed  away p50  away max  back max
          train        3          5             2     2       4      60 s      60 s         -
          room         1          0             0     0       0         -         -         -

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

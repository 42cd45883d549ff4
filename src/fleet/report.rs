//! What became of a run, for machines (serde) and for people (text). All but `run`, which says how the run itself went,
//! repeats byte for byte with the scenario and the seed.

use std::fmt::Write as _;
use std::time::Duration;

use harness::fault::{Fault, Side};
use harness::ledger::{Account, Breach, Finding, Guarantee};
use harness::link::Span;
use harness::metrics::Spans;
use serde::Serialize;

use super::measured::Run;
use super::roster::{Origin, Own, Roster};
use super::run::Outcome;
use super::verdict::{Judgement, judge, words};
use crate::scenario::plan::{Duty, Happening, Plan, Publish};
use crate::scenario::schema::{Keeps, Phase};

/// The edition of the JSON form.
const FORMAT: u32 = 1;

/// The report of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The edition of this form.
    pub format: u32,
    /// What the scenario shows.
    pub about: String,
    /// The seed.
    pub seed: u64,
    /// Seconds of weather, and of calm.
    pub lasts: f64,
    /// Seconds of calm.
    pub calm: f64,
    /// What happened, in order: second, and words.
    pub timeline: Vec<(f64, String)>,
    /// The groups.
    pub groups: Vec<Group>,
    /// What became of the messages.
    pub messages: Vec<Messages>,
    /// The first breaches of each kind.
    pub findings: Vec<Named>,
    /// What was expected and what was found.
    pub expectations: Vec<Judgement>,
    /// What happened over time.
    pub series: Vec<Point>,
    /// How the run itself went: all that does not repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// One group.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its devices.
    pub devices: u32,
    /// Connections accepted.
    pub connected: u64,
    /// Connections lost.
    pub lost: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Messages made, by QoS.
    pub published: [u64; 3],
    /// Messages accepted, by QoS.
    pub accepted: [u64; 3],
    /// Messages not made for want of a connection or a place.
    pub skipped: u64,
    /// Messages refused, or given up with a session.
    pub refused: u64,
    /// Messages of others.
    pub foreign: u64,
    /// Questions asked.
    pub asked: u64,
    /// Questions answered in time.
    pub answered: u64,
    /// How long devices were without a connection.
    pub away: Quantiles,
    /// How long messages took, by QoS and phase.
    pub latency: Vec<Latency>,
}

/// How long messages took.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// Their QoS.
    pub qos: u8,
    /// When.
    pub phase: Phase,
    /// How long.
    #[serde(flatten)]
    pub quantiles: Quantiles,
}

/// A distribution by its quantiles, in seconds; absent where there is nothing.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Quantiles {
    /// How many values.
    pub count: u64,
    /// The median.
    pub p50: Option<f64>,
    /// 95 % are below.
    pub p95: Option<f64>,
    /// 99 % are below.
    pub p99: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

impl Quantiles {
    pub(super) fn of(spans: &Spans) -> Self {
        let at = |share| spans.quantile(share).map(|span| span.as_secs_f64());
        let max = spans.longest().map(|span| span.as_secs_f64());
        Self { count: spans.count(), p50: at(0.5), p95: at(0.95), p99: at(0.99), max }
    }
}

/// What became of the messages of one group for another.
#[derive(Clone, Debug, Serialize)]
pub struct Messages {
    /// Who wrote them.
    pub from: String,
    /// Whether they are wills.
    pub wills: bool,
    /// Who reads them.
    pub to: String,
    /// How often they may arrive.
    pub guarantee: Guarantee,
    /// What became of them.
    #[serde(flatten)]
    pub account: Account,
}

/// A breach in names.
#[derive(Clone, Debug, Serialize)]
pub struct Named {
    /// What was broken.
    pub breach: Breach,
    /// Which message.
    pub message: String,
    /// For whom.
    pub reader: String,
    /// When it showed, in seconds.
    pub at: f64,
}

/// An interval of time.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// When it begins, in seconds.
    pub at: f64,
    /// How many devices are connected at its end.
    pub connected: i64,
    /// Messages made in it.
    pub published: u64,
    /// Messages that arrived in it.
    pub arrived: u64,
    /// How long these took, in seconds: median.
    pub p50: Option<f64>,
    /// 99 %.
    pub p99: Option<f64>,
}

impl Report {
    /// The report of `outcome`, of which `roster` knows the names.
    pub fn new(plan: &Plan, roster: &Roster, outcome: &Outcome) -> Self {
        let groups = plan.groups.iter().zip(&outcome.tally.groups).map(|(group, tally)| Group {
            name: group.name.clone(),
            devices: group.count,
            connected: tally.connected,
            lost: tally.lost,
            failed: tally.failed,
            published: tally.published,
            accepted: tally.accepted,
            skipped: tally.skipped,
            refused: tally.refused,
            foreign: tally.foreign,
            asked: tally.asked,
            answered: tally.answered,
            away: Quantiles::of(&tally.away),
            latency: tally
                .latency
                .iter()
                .map(|((qos, phase), spans)| Latency { qos: *qos, phase: *phase, quantiles: Quantiles::of(spans) })
                .collect(),
        });
        let name = |number: u16| plan.groups[usize::from(number) % plan.groups.len()].name.clone();
        let messages = outcome.balance.entries.iter().map(|entry| Messages {
            from: name(entry.from),
            wills: usize::from(entry.from) >= plan.groups.len(),
            to: name(entry.to),
            guarantee: entry.guarantee,
            account: entry.account,
        });
        let mut connected = 0;
        let series = outcome.tally.series.iter().map(|(at, interval)| {
            connected += interval.connected;
            let quantile =
                |share| interval.latency.as_ref().and_then(|it| it.quantile(share)).map(|it| it.as_secs_f64());
            Point {
                at: at.elapsed().as_secs_f64(),
                connected,
                published: interval.published,
                arrived: interval.arrived,
                p50: quantile(0.5),
                p99: quantile(0.99),
            }
        });
        Self {
            format: FORMAT,
            about: plan.about.clone(),
            seed: plan.seed,
            lasts: plan.lasts.as_secs_f64(),
            calm: plan.calm.as_secs_f64(),
            timeline: plan.timeline.iter().map(|it| (it.at.as_secs_f64(), happening(plan, &it.what))).collect(),
            groups: groups.collect(),
            messages: messages.collect(),
            findings: outcome.balance.findings.iter().map(|finding| named(plan, roster, finding)).collect(),
            expectations: judge(plan, outcome),
            series: series.collect(),
            run: None,
        }
    }

    /// Whether all that was expected was met.
    pub fn is_met(&self) -> bool {
        self.expectations.iter().all(|judgement| judgement.met)
    }

    /// The report in words, in lines of at most 110 columns.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let devices: u32 = self.groups.iter().map(|group| group.devices).sum();
        let span = |seconds: f64| words(Duration::from_secs_f64(seconds));
        writeln!(out, "{}", self.about)?;
        writeln!(
            out,
            "{devices} devices, {} of weather and {} of calm, seed {}\n",
            span(self.lasts),
            span(self.calm),
            self.seed
        )?;
        if !self.timeline.is_empty() {
            writeln!(out, "What happened")?;
            for (at, what) in &self.timeline {
                writeln!(out, "  {:>9}  {what}", span(*at))?;
            }
            writeln!(out)?;
        }
        let most = self.series.iter().map(|point| point.connected).max().unwrap_or(0).max(1);
        writeln!(out, "Connected over time, of {devices}")?;
        writeln!(out, "  {}\n", self.spark(|point| point.connected as f64 / most as f64))?;
        writeln!(
            out,
            "{:<20} {:>8} {:>10} {:>8} {:>8} {:>12}",
            "Devices", "", "connected", "lost", "failed", "longest away"
        )?;
        for group in &self.groups {
            let away = group.away.max.map_or("-".to_owned(), span);
            writeln!(
                out,
                "  {:<18} {:>8} {:>10} {:>8} {:>8} {away:>12}",
                group.name, group.devices, group.connected, group.lost, group.failed
            )?;
        }
        writeln!(
            out,
            "\n{:<32} {:<9} {:>9} {:>9} {:>6} {:>6} {:>6} {:>7}",
            "Messages", "", "sent", "arrived", "again", "lost", "behind", "excused"
        )?;
        for messages in &self.messages {
            let Account { sent, arrived, repeated, lost, reordered, excused, .. } = messages.account;
            let wills = if messages.wills { " (wills)" } else { "" };
            let way = format!("{}{wills} to {}", messages.from, messages.to);
            let qos = format!("QoS {}", messages.guarantee as u8);
            writeln!(
                out,
                "  {way:<30} {qos:<9} {sent:>9} {arrived:>9} {repeated:>6} {lost:>6} {reordered:>6} {excused:>7}"
            )?;
        }
        writeln!(
            out,
            "\n{:<32} {:<9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "Latency", "", "messages", "p50", "p95", "p99", "max"
        )?;
        for group in &self.groups {
            for Latency { qos, phase, quantiles } in &group.latency {
                let phase = if *phase == Phase::Calm { "calm" } else { "weather" };
                let [p50, p95, p99, max] = [quantiles.p50, quantiles.p95, quantiles.p99, quantiles.max]
                    .map(|seconds| seconds.map_or("-".to_owned(), span));
                let qos = format!("QoS {qos}");
                let name = format!("{} in the {phase}", group.name);
                writeln!(out, "  {name:<30} {qos:<9} {:>9} {p50:>9} {p95:>9} {p99:>9} {max:>9}", quantiles.count)?;
            }
        }
        if !self.findings.is_empty() {
            writeln!(out, "\nWhat was broken")?;
            for Named { breach, message, reader, at } in &self.findings {
                writeln!(out, "  {:>9}  {}: {message}, for {reader}", span(*at), said(*breach))?;
            }
        }
        writeln!(out, "\nWhat was promised, and what was kept")?;
        for Judgement { expected, met, found } in &self.expectations {
            writeln!(out, "  {}  {expected}: {found}", if *met { "kept  " } else { "BROKEN" })?;
        }
        let broken = self.expectations.iter().filter(|judgement| !judgement.met).count();
        write!(out, "\n{} expectations, {broken} broken", self.expectations.len())?;
        match &self.run {
            Some(run) => run.write(out, devices),
            None => writeln!(out),
        }
    }

    /// A row of blocks, whose heights are shares from 0 to 1.
    fn spark(&self, height: impl Fn(&Point) -> f64) -> String {
        const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        const WIDTH: usize = 100;
        let end = self.lasts + self.calm;
        let column = |place: usize| {
            // What the last interval up to there says holds on.
            let until = end * (place + 1) as f64 / WIDTH as f64;
            self.series.iter().take_while(|point| point.at < until).last().map_or(0.0, &height)
        };
        (0..WIDTH).map(|place| BLOCKS[(column(place).clamp(0.0, 1.0) * 8.0).round() as usize]).collect()
    }
}

/// What happens, in words.
fn happening(plan: &Plan, what: &Happening) -> String {
    let whom = |group: usize, share: f64| {
        let name = &plan.groups[group].name;
        if share >= 1.0 { format!("all of {name}") } else { format!("{} % of {name}", share * 100.0) }
    };
    let lasting = |lasts: Option<Duration>| lasts.map_or(String::new(), |lasts| format!(", for {}", Span(lasts)));
    match *what {
        Happening::Link { group, share, lasts, fault } => {
            let whom = whom(group, share);
            let what = match fault {
                Fault::Cut => format!("silence both ways for {whom}"),
                Fault::CutUp => format!("silence from {whom}"),
                Fault::CutDown => format!("silence towards {whom}"),
                Fault::Reset => format!("connections torn down: {whom}"),
                Fault::ResetAfter(end, bytes) => {
                    let way = if end == Side::Device { "to" } else { "from" };
                    format!("connections torn down after {bytes} bytes {way} each: {whom}")
                }
                Fault::Handover(gap) => format!("a handover of {gap} for {whom}"),
                Fault::HalfOpen => format!("connections go dead, and neither end is told: {whom}"),
                Fault::Dribble(_) => format!("one byte at a time for {whom}"),
                Fault::SlowReader(_, rate) => format!("{whom} read {rate} bytes in a second"),
                Fault::StopReading(_) => format!("{whom} read nothing"),
                Fault::Heal => format!("{whom} healed"),
                Fault::Vanish => format!("{whom} without power"),
            };
            format!("{what}{}", lasting(lasts))
        }
        Happening::Heal(group) => format!("{} healed", whom(group, 1.0)),
        Happening::Leave { group, share, lasts } => {
            format!("{} take their leave{}", whom(group, share), lasting(lasts))
        }
        Happening::Restart { keeps, lasts } => {
            let memory = if keeps == Keeps::Nothing { "forgets all" } else { "keeps all" };
            format!("the broker is started again and {memory}{}", lasting((!lasts.is_zero()).then_some(lasts)))
        }
    }
}

const fn said(breach: Breach) -> &'static str {
    match breach {
        Breach::Lost => "never came",
        Breach::Duplicated => "came twice",
        Breach::Reordered => "came behind a later one",
        Breach::Forbidden => "came and must not",
        Breach::Invented => "came and was never sent",
        Breach::Unsolicited => "came to whom it is not for",
    }
}

/// A finding with the names of what it is about.
fn named(plan: &Plan, roster: &Roster, finding: &Finding) -> Named {
    let (origin, place) = roster.origin(finding.stream);
    let message = match origin {
        Origin::Duty(group, duty) => {
            let plan = &plan.groups[group];
            match &plan.does[duty] {
                Duty::Publish(Publish { topic, .. }) => {
                    let own = Own::new(plan, place);
                    format!("number {} on {} by {}", finding.sequence, topic.fill(&own.names("")), own.id())
                }
                _ => format!("question {} of {}", finding.sequence, plan.name),
            }
        }
        Origin::Will(group) => format!("will {} of {}", finding.sequence, Own::new(&plan.groups[group], place).id()),
        Origin::Answers => format!("answer {} in stream {}", finding.sequence, finding.stream),
    };
    let reader = roster.reader(finding.reader);
    let reader =
        reader.map_or("nobody".to_owned(), |(group, number)| Own::new(&plan.groups[group], number).id().to_owned());
    Named { breach: finding.breach, message, reader, at: finding.at as f64 / 1e9 }
}

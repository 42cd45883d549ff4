//! `testament link`: the bad networks to choose from, what each does to messages, and new ones from a measurement.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use harness::catalogue::closest;
use harness::link::{self, Arrived, End, Profile, Stream, Way};
use harness::report::plot::{Axis, Line, Plot, Shape};
use harness::time::Instant;

use super::conform::span;
use super::text::{print, read, wrap};
use crate::fleet::words;
use crate::links;

/// Options of `testament link`.
#[derive(Debug, Args)]
pub(super) struct Link {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the profiles
    List,
    /// Show what a link does to messages: quantiles and a plot
    Show {
        /// A profile by name, or a file
        profile: String,
        /// How large a message is, in bytes
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=LARGEST))]
        size: u64,
        /// The time between two messages (30s, 10m)
        #[arg(long, default_value = "30s", value_parser = span)]
        every: Duration,
        /// The seed of the weather
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Write the plot to this file, as SVG
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Make a profile of a ping log or of a mahimahi trace
    Fit {
        /// The measurement
        file: PathBuf,
        /// The time between two probes of a ping log that has no time stamps (1s)
        #[arg(long, value_parser = span)]
        interval: Option<Duration>,
        /// Where to write the profile (otherwise it is printed)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// So many devices send so many messages each.
const DEVICES: usize = 20;
const MESSAGES: u32 = 250;
/// The largest message, in bytes: each is played packet by packet.
const LARGEST: u64 = 1 << 20;
/// What is told of a distribution.
const SHARES: [f64; 6] = [0.5, 0.9, 0.95, 0.99, 0.999, 1.0];

impl Link {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        match self.what {
            What::List => print(&list())?,
            What::Show { profile, size, every, seed, svg } => {
                let name = profile;
                let profile = find(&name)?;
                let seen = Seen::of(&profile, size, every, seed);
                print(&show(&name, &profile, &seen, size, every))?;
                if let Some(file) = svg {
                    fs::write(&file, curves(&name, &seen).file())
                        .with_context(|| format!("cannot write {}", file.display()))?;
                }
            }
            What::Fit { file, interval, out } => fit(&file, interval, out.as_deref())?,
        }
        Ok(super::OK)
    }
}

fn list() -> String {
    let mut out = String::new();
    for (name, profile) in links::all() {
        let rtt = |share| millis(profile.rtt.at(share));
        let _ = writeln!(out, "{name:<14}{:<38}RTT p50 {:>8}, p95 {:>8}", profile.about, rtt(0.5), rtt(0.95));
    }
    out
}

/// A profile by name or by path.
fn find(name: &str) -> anyhow::Result<Profile> {
    if let Some(profile) = links::named(name) {
        return Ok(profile);
    }
    if !Path::new(name).exists() {
        let known = links::EMBEDDED.iter().map(|(known, _)| *known);
        bail!("no profile is called `{name}`, and no file; the closest: {}", closest(name, known).join(", "));
    }
    let text = read("the profile", Path::new(name))?;
    links::read(&text).map_err(|problem| anyhow!("{name}:{problem}; docs/links.md shows the form"))
}

fn fit(file: &Path, interval: Option<Duration>, out: Option<&Path>) -> anyhow::Result<()> {
    let text = read("the measurement", file)?;
    let fit = link::fit(&text, interval).map_err(|problem| anyhow!("{}: {problem}", file.display()))?;
    let pretty = ron::ser::PrettyConfig::new().depth_limit(2).compact_arrays(true);
    let profile = ron::ser::to_string_pretty(&fit.profile, pretty).context("the profile cannot be written as RON")?;
    let text = format!("// {}\n{profile}\n", fit.found);
    match out {
        Some(out) => {
            fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))?;
            print(&format!(
                "{}\nwritten to {}; see it: testament link show {}\nto play it, write Link in a scenario, and behind it what the file holds: links: {{ \"mine\": Link(...) }}\n",
                fit.found,
                out.display(),
                out.display()
            ))
        }
        None => print(&text),
    }
}

/// What devices behind a link see, in milliseconds, sorted.
struct Seen {
    /// From SYN to its answer; packets that got through, there and back; messages up and down.
    opening: Vec<f64>,
    packets: Vec<f64>,
    up: Vec<f64>,
    down: Vec<f64>,
    /// Messages of connections that broke, or that were under way when the look ended.
    missing: usize,
}

impl Seen {
    fn of(profile: &Profile, size: u64, every: Duration, seed: u64) -> Self {
        let shared = Arc::new(profile.clone());
        let mut seen = Self { opening: Vec::new(), packets: Vec::new(), up: Vec::new(), down: Vec::new(), missing: 0 };
        for nth in 0..DEVICES {
            let link = link::Link::new(Arc::clone(&shared), seed, &format!("device {nth}"));
            seen.device(link, size, every);
            let mut link = link::Link::new(Arc::clone(&shared), seed, &format!("ping {nth}"));
            for probe in 0..MESSAGES {
                let sent = Instant::ZERO + Duration::from_secs(1) * probe;
                let there = link.probe(sent, Way::Up, 64);
                seen.packets
                    .extend(there.and_then(|there| link.probe(there, Way::Down, 64)).map(|back| ms(back - sent)));
            }
        }
        for delays in [&mut seen.opening, &mut seen.packets, &mut seen.up, &mut seen.down] {
            delays.sort_by(f64::total_cmp);
        }
        seen
    }

    /// One device that sends a message and is sent one at the same moment, at a steady pace.
    fn device(&mut self, mut link: link::Link, size: u64, every: Duration) {
        let mut stream = Stream::open(Instant::ZERO, &mut link);
        let (mut opened, mut next, mut began) = (false, Instant::FAR, Instant::ZERO);
        let mut sent: [Vec<Instant>; 2] = [Vec::new(), Vec::new()];
        let (mut bytes, mut got) = ([0u64; 2], [0usize; 2]);
        let end = Instant::ZERO + every * (MESSAGES + 2) + Duration::from_secs(600);
        loop {
            let now = stream.deadline().unwrap_or(Instant::FAR).min(next).min(end);
            let mut broken = now >= end;
            while let Some(arrival) = stream.poll(now, &mut link) {
                match arrival.what {
                    Arrived::Opened if arrival.end == End::Device => self.opening.push(ms(arrival.at - began)),
                    Arrived::Opened => (opened, next) = (true, if opened { next } else { now }),
                    Arrived::Closed(_) => broken = true,
                    Arrived::Bytes(more) => {
                        let to = arrival.end as usize;
                        bytes[to] += more;
                        while (got[to] as u64 + 1) * size <= bytes[to] {
                            let delay = ms(arrival.at - sent[to][got[to]]);
                            if arrival.end == End::Server {
                                self.up.push(delay)
                            } else {
                                self.down.push(delay)
                            }
                            got[to] += 1;
                        }
                    }
                }
            }
            if broken {
                self.missing += (0..2).map(|to| sent[to].len() - got[to]).sum::<usize>();
                if now >= end || opened && sent[0].len() >= MESSAGES as usize {
                    return;
                }
                // A connection that a translator forgot, or that gave up: the device opens another.
                (sent, bytes, got, opened, began) = ([Vec::new(), Vec::new()], [0; 2], [0; 2], false, now);
                next = Instant::FAR;
                stream = Stream::open(now, &mut link);
            }
            if now >= next {
                next = if sent[0].len() < MESSAGES as usize { next + every } else { Instant::FAR };
                for from in End::BOTH {
                    sent[from.peer() as usize].push(now);
                    stream.send(now, &mut link, from, size);
                }
            }
        }
    }
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

fn millis(span: Duration) -> String {
    format!("{:.0} ms", ms(span))
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

fn show(name: &str, profile: &Profile, seen: &Seen, size: u64, every: Duration) -> String {
    let mut out = format!("{name}: {}\n\n", profile.about);
    let _ = writeln!(out, "{:26}{}", "milliseconds", SHARES.map(|share| format!("{:>11}", label(share))).concat());
    for (title, delays) in rows(seen) {
        let values = SHARES.map(|share| format!("{:>11.1}", quantile(delays, share)));
        let _ = writeln!(out, "{title:26}{}", values.concat());
    }
    out.push('\n');
    let every = humantime::format_duration(every);
    let words = format!(
        "Messages of {size} bytes each way every {every} over {:?} at the device; a packet that is lost delays its message \
         by what TCP needs to notice. {} messages were still under way when their connection or this look ended.",
        profile.stack, seen.missing
    );
    wrap(&mut out, 0, &words);
    out.push('\n');
    out.push_str(&plot(seen));
    if let Some(words) = profile.nat.as_ref().and_then(|nat| words::forgets(nat, Duration::MAX)) {
        out.push('\n');
        wrap(&mut out, 0, &words);
    }
    if !profile.sources.is_empty() {
        out.push_str("\nsources\n");
        for (field, source) in &profile.sources {
            wrap(&mut out, 4, &format!("{field}: {source}"));
        }
    }
    out
}

fn label(share: f64) -> String {
    if share >= 1.0 { "most".to_owned() } else { format!("p{}", share * 100.0) }
}

fn rows(seen: &Seen) -> [(&'static str, &Vec<f64>); 4] {
    [
        ("packet, there and back", &seen.packets),
        ("opening a connection", &seen.opening),
        ("message from the device", &seen.up),
        ("message to the device", &seen.down),
    ]
}

/// The plot has so many columns, each for a delay, and so many rows, each for a share.
const COLUMNS: usize = 72;
const ROWS: usize = 14;

/// From where to where a plot goes: whole decades that hold all messages.
fn decades(seen: &Seen) -> (f64, f64) {
    let all = || seen.up.iter().chain(&seen.down).copied().filter(|delay| *delay > 0.0);
    let least = all().fold(f64::INFINITY, f64::min).clamp(0.1, 1e6);
    let most = all().fold(0.0, f64::max).clamp(least * 10.0, 1e8);
    (least.log10().floor(), most.log10().ceil())
}

/// What share of messages took longer: so that a tail shows, the scale of shares is logarithmic too.
fn plot(seen: &Seen) -> String {
    let (low, high) = decades(seen);
    let mut out = "share of messages that took longer (u from, d to the device, * both)\n".to_owned();
    let delay = |column: usize| 10f64.powf_at(low + (high - low) * column as f64 / COLUMNS as f64);
    for row in 0..ROWS {
        // From 1 down to 1 in 10,000.
        let (top, bottom) = (-(row as f64) / ROWS as f64 * 4.0, -(row as f64 + 1.0) / ROWS as f64 * 4.0);
        let (top, bottom) = (10f64.powf_at(top), 10f64.powf_at(bottom));
        let line: String = (0..COLUMNS)
            .map(|column| {
                let hit = |delays: &[f64]| {
                    let share = longer(delays, delay(column));
                    share <= top && share > bottom
                };
                match (hit(&seen.up), hit(&seen.down)) {
                    (true, true) => '*',
                    (true, false) => 'u',
                    (false, true) => 'd',
                    (false, false) => ' ',
                }
            })
            .collect();
        let _ = writeln!(out, "{:>8} |{}", format!("{:.2} %", top * 100.0), line.trim_end());
    }
    let mut axis = String::new();
    for decade in low as i32..=high as i32 {
        let column = ((f64::from(decade) - low) / (high - low) * COLUMNS as f64) as usize;
        let _ = write!(axis, "{:pad$}{}", "", power(decade), pad = column.saturating_sub(axis.chars().count()));
    }
    let _ = writeln!(out, "{:>8} +{}\n{:10}{axis}", "", "-".repeat(COLUMNS), "");
    out
}

/// The share of sorted delays above `delay`.
fn longer(delays: &[f64], delay: f64) -> f64 {
    1.0 - delays.partition_point(|each| *each <= delay) as f64 / delays.len().max(1) as f64
}

/// Ten to so many milliseconds, in words.
fn power(decade: i32) -> String {
    if decade < 3 { format!("{} ms", 10f64.powi(decade)) } else { format!("{} s", 10f64.powi(decade - 3)) }
}

/// Drawing needs no more than a screen shows, so the system's own power is good enough.
trait PowerForDrawing {
    fn powf_at(self, exponent: f64) -> f64;
}

impl PowerForDrawing for f64 {
    #[expect(clippy::disallowed_methods, reason = "a plot, of which nothing else depends")]
    fn powf_at(self, exponent: f64) -> f64 {
        self.powf(exponent)
    }
}

/// How large a share of the messages took at most how long, each way.
fn curves(name: &str, seen: &Seen) -> Plot {
    let curve = |(ink, name, delays): (usize, &str, &[f64])| Line {
        name: name.to_owned(),
        ink,
        shape: Shape::Straight,
        points: steps(delays).map(|(delay, share)| Some((delay / 1e3, share))).collect(),
    };
    let (low, high) = decades(seen);
    Plot {
        title: format!("{name}: how long messages take"),
        note: "share of messages that took at most so long".to_owned(),
        x: Axis::spans(10f64.powf_at(low - 3.0), 10f64.powf_at(high - 3.0)),
        y: Axis::nines(4),
        bands: Vec::new(),
        lines: [(0, "from the device", &*seen.up), (1, "to the device", &*seen.down)].map(curve).to_vec(),
    }
}

/// Of sorted delays as many as a screen can show, and all of the slowest, each with the share that took no longer.
fn steps(delays: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    let (count, every) = (delays.len(), (delays.len() / 500).max(1));
    let shown = move |nth: usize| nth.is_multiple_of(every) || nth + 50 >= count;
    let share = move |nth: usize| (nth + 1) as f64 / count as f64;
    delays.iter().enumerate().filter(move |(nth, _)| shown(*nth)).map(move |(nth, delay)| (*delay, share(nth)))
}

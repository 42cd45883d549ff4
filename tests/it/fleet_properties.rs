//! Any small fleet in any weather with the reference broker: what was promised is kept. A fleet that shows otherwise is
//! shrunk, and written as a scenario to `fixtures/regressions`; every scenario there is played again.
//!
//! The fleets are the same in every run, so that a build does not fail for what it did not change. To look at others:
//! `PROPTEST_RNG_SEED=7 PROPTEST_CASES=5000 cargo test --release --test it fleet_properties`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use harness::time::Instant;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngSeed, TestError, TestRunner};
use testament::fleet::measured::Measured;
use testament::fleet::part::Part;
use testament::fleet::report::Report;
use testament::fleet::run::{floor, play};
use testament::fleet::shard::Shard;
use testament::{links, scenario};

/// A fleet before it is written down. Numbers that point at groups and duties are taken modulo what there is.
#[derive(Clone, Debug)]
struct Fleet {
    seed: u64,
    lasts: u32,
    /// Whether each device hears only those with its own number, so that the fleet can be parted.
    paired: bool,
    groups: Vec<Group>,
    faults: Vec<(u32, u32, f64, Fault)>,
}

#[derive(Clone, Debug)]
struct Group {
    count: u32,
    /// How many have each name. They only speak, and keep no session.
    clones: u32,
    version: &'static str,
    link: &'static str,
    region: bool,
    share_outages: bool,
    clean: bool,
    expiry: Option<&'static str>,
    queue: Option<u32>,
    keep_alive: u32,
    patience: u32,
    reconnect: &'static str,
    starts: &'static str,
    reads: Option<u32>,
    duty_cycle: Option<(u32, u32)>,
    will: Option<(u8, bool, Option<u32>, f64)>,
    talks: Vec<Talk>,
    hears: Vec<(usize, usize, u8)>,
    mourns: Option<(usize, u8)>,
    shares: Option<(usize, usize, u8)>,
    /// Hears everything, and nothing else.
    hears_all: Option<u8>,
    asks: Option<(usize, u8, &'static str)>,
    answers: Option<(u8, u32)>,
}

#[derive(Clone, Debug)]
struct Talk {
    qos: u8,
    retain: bool,
    pace: &'static str,
    hours: &'static str,
    says: &'static str,
    size: u32,
    expiry: Option<u32>,
    skips: bool,
    /// Whether it is said on a topic on which others of the same number, and other groups, speak as well.
    shared: bool,
}

#[derive(Clone, Debug)]
enum Fault {
    Cut(&'static str, Option<u32>),
    Heal,
    Reset(Option<(u32, bool)>),
    HalfOpen,
    Handover(u32),
    Dribble(u32),
    Slow(u32, u32),
    Leave(Option<u32>),
    Restart(bool, u32),
}

const LINKS: &[(&str, &str)] = &[
    ("ideal", "Link()"),
    ("lan", "Link(delay: (mean: \"2ms\", jitter: \"1ms\"))"),
    ("lossy", "Link(delay: (mean: \"50ms\", jitter: \"20ms\"), loss: 0.1)"),
    ("narrow", "Link(delay: (mean: \"200ms\"), kbit: 20)"),
    ("forgets", "Link(delay: (mean: \"30ms\"), nat: \"12s\")"),
    ("refuses", "Link(delay: (mean: \"30ms\"), nat: \"12s\", nat_resets: true)"),
    ("dozes", "Link(delay: (mean: \"30ms\"), sleep: Edrx(after: \"3s\", cycle: \"7s\"))"),
    ("sleeps", "Link(delay: (mean: \"30ms\"), sleep: Psm(after: \"3s\", cycle: \"40s\"))"),
    ("wifi", "Profile(\"wifi-lossy\")"),
    ("2g", "Profile(\"2g-edge\")"),
    ("3g", "Profile(\"3g\")"),
    ("train", "Profile(\"tunnel-train\")"),
    ("nbiot", "Profile(\"nbiot-good\")"),
];

const PACES: &[&str] = &[
    "every: \"1s\"",
    "every: \"5s\"",
    "every: \"700ms\", pattern: Random",
    "every: \"3s\", pattern: InStep",
    "every: \"20s\", pattern: Burst(count: 8, spacing: \"50ms\")",
    "every: \"15s\", pattern: Burst(count: 30)",
    "pattern: OnConnect",
];

const HOURS: &[&str] = &[
    ", times: 7",
    ", from: \"5s\"",
    ", until: \"15s\"",
    ", from: \"3s\", until: \"12s\", times: 3",
    ", day: (peak: 0.01, night: 0.2)",
    ", day: (peak: 12.0, night: 0.3)",
];

const SAYS: &[&str] = &[
    ", size_to: 3500",
    ", payload: Json({ \"number\": Counter(), \"heat\": Walk(from: 1.0, step: 0.5, min: 0.0, max: 2.0) })",
    ", payload: Json({ \"mood\": OneOf([\"glad\", \"sad\"]), \"who\": Text(\"{id}\") }), size_to: 4000",
];

fn talk() -> impl Strategy<Value = Talk> {
    let size = prop_oneof![4 => Just(16u32), 2 => 17u32..400, 1 => 1_000u32..3_000];
    let rest = (weighted(0.2, 1u32..60), prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let words = (weighted(0.2, select(HOURS)), weighted(0.2, select(SAYS)));
    (0u8..3, any::<bool>(), select(PACES), size, rest, words).prop_map(
        |(qos, retain, pace, size, (expiry, skips, shared), (hours, says))| {
            let (hours, says) = (hours.unwrap_or_default(), says.unwrap_or_default());
            Talk { qos, retain, pace, hours, says, size, expiry, skips, shared }
        },
    )
}

fn group() -> impl Strategy<Value = Group> {
    let names: Vec<&'static str> = LINKS.iter().map(|(name, _)| *name).collect();
    let place = (
        1u32..4,
        select(vec!["V5", "V311", "V31"]),
        select(names),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        any::<bool>(),
        weighted(0.6, select(vec!["0s", "3s", "20s", "1h"])),
    );
    let habits = (
        // Without one, nobody ever notices a silence.
        prop_oneof![12 => select(vec![3u32, 10, 30, 60]), 1 => Just(0)],
        select(vec![3u32, 8, 20]),
        select(vec!["no-back-off", "every-second", "doubling-to-128s", "aws-ios", "full-jitter"]),
        select(vec!["AtOnce", "Ramp(\"10s\")", "Arrivals(1.0)", "At(\"15s\")"]),
        // Slow, but fast enough to catch up in the calm.
        weighted(0.15, 4_000u32..20_000),
        weighted(0.15, (5u32..40, 5u32..40)),
        weighted(0.15, select(vec![1u32, 3, 10])),
    );
    let will = weighted(0.5, (0u8..3, any::<bool>(), weighted(0.5, 0u32..40), select(vec![1.0, 1.0, 0.5])));
    let hears = vec((0usize..8, 0usize..4, 0u8..3), 0..4);
    let shares = weighted(0.2, (0usize..8, 0usize..4, 0u8..3));
    let rare = (
        prop_oneof![12 => Just(1u32), 1 => 2u32..4],
        weighted(0.07, 0u8..3),
        weighted(0.15, (0usize..8, 0u8..3, select(vec!["", ", every: \"4s\"", ", every: \"900ms\", within: \"2s\""]))),
        weighted(0.3, (0u8..3, prop_oneof![Just(0u32), 0u32..3_000])),
    );
    (place, habits, will, vec(talk(), 0..3), hears, weighted(0.4, (0usize..8, 0u8..3)), shares, rare).prop_map(
        |(place, habits, will, talks, hears, mourns, shares, rare)| {
            let (clones, hears_all, asks, answers) = rare;
            let (count, version, link, region, share_outages, clean, expiry) = place;
            let (keep_alive, patience, reconnect, starts, reads, duty_cycle, queue) = habits;
            Group {
                count,
                clones,
                version,
                link,
                region,
                share_outages,
                clean,
                expiry,
                queue,
                keep_alive,
                patience,
                reconnect,
                starts,
                reads,
                duty_cycle,
                will,
                talks,
                hears,
                mourns,
                shares,
                hears_all,
                asks,
                answers,
            }
        },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    let cut = (select(vec!["", ", only: Up", ", only: Down"]), weighted(0.8, 1u32..60));
    prop_oneof![
        3 => cut.prop_map(|(only, lasts)| Fault::Cut(only, lasts)),
        1 => Just(Fault::Heal),
        2 => weighted(0.6, (1u32..200, any::<bool>())).prop_map(Fault::Reset),
        2 => Just(Fault::HalfOpen),
        1 => (100u32..8_000).prop_map(Fault::Handover),
        1 => (1u32..20).prop_map(Fault::Dribble),
        1 => (0u32..2_000, 1u32..30).prop_map(|(reads, lasts)| Fault::Slow(reads, lasts)),
        2 => weighted(0.8, 1u32..60).prop_map(Fault::Leave),
        2 => (any::<bool>(), 0u32..20).prop_map(|(keeps, lasts)| Fault::Restart(keeps, lasts)),
    ]
}

fn fleet() -> impl Strategy<Value = Fleet> {
    let faults = vec((0u32..100, 0u32..8, 0.1f64..=1.0, fault()), 0..7);
    (1u64..1_000, 20u32..120, vec(group(), 1..5), faults).prop_map(|(seed, lasts, groups, faults)| Fleet {
        seed,
        lasts,
        paired: false,
        groups,
        faults,
    })
}

impl Fleet {
    /// The scenario as text.
    fn text(&self) -> String {
        let mut out = String::from("// Found by a property test, and shrunk.\nScenario(about: \"a random fleet\",\n");
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "    seed: {}, lasts: \"{}s\", calm: \"20m\",", self.seed, self.lasts)?;
        writeln!(out, "    links: {{")?;
        for (name, link) in LINKS.iter().filter(|(name, _)| self.groups.iter().any(|group| group.link == *name)) {
            writeln!(out, "        \"{name}\": {link},")?;
        }
        writeln!(out, "    }},\n    regions: {{ \"valley\": (every: \"30s\", lasts: \"10s\") }},\n    fleet: [")?;
        for (number, group) in self.groups.iter().enumerate() {
            self.write_group(out, number, group)?;
        }
        writeln!(out, "    ],\n    timeline: [")?;
        for (percent, whom, share, fault) in &self.faults {
            let at = f64::from(self.lasts) * f64::from(*percent) / 100.0;
            let group = format!("group: \"g{}\"", *whom as usize % self.groups.len());
            let share = format!("{group}, share: {share:.2}");
            write!(out, "        At(\"{at:.1}s\", ")?;
            let lasting = |lasts: &Option<u32>| lasts.map_or(String::new(), |it| format!(", lasts: \"{it}s\""));
            match fault {
                Fault::Cut(only, lasts) => write!(out, "Cut({share}{only}{})", lasting(lasts))?,
                Fault::Heal => write!(out, "Heal({group})")?,
                Fault::Reset(None) => write!(out, "Reset({share})")?,
                Fault::Reset(Some((after, down))) => {
                    write!(out, "Reset({share}, after: {after}{})", if *down { ", only: Down" } else { "" })?;
                }
                Fault::HalfOpen => write!(out, "HalfOpen({share})")?,
                Fault::Handover(ms) => write!(out, "Handover({share}, lasts: \"{ms}ms\")")?,
                Fault::Dribble(lasts) => write!(out, "Dribble({share}, lasts: \"{lasts}s\")")?,
                Fault::Slow(reads, lasts) => write!(out, "Slow({share}, reads: {reads}, lasts: \"{lasts}s\")")?,
                Fault::Leave(lasts) => write!(out, "Leave({share}{})", lasting(lasts))?,
                Fault::Restart(keeps, lasts) => {
                    let keeps = if *keeps { "State" } else { "Nothing" };
                    write!(out, "Restart(node: \"broker\", keeps: {keeps}, lasts: \"{lasts}s\")")?;
                }
            }
            writeln!(out, "),")?;
        }
        writeln!(out, "    ],")?;
        writeln!(
            out,
            "    expect: [NoLoss(), NoDuplicates(), InOrder, NoneExpired, WillsExact, RetainedExact, SessionsTrue,
             ReconnectedWithin(\"10m\")],\n)"
        )
    }

    /// Where the devices of a group say something, or where what one of them says is heard.
    fn topic(&self, group: usize, talk: usize, device: &str, number: &str) -> String {
        match self.groups[group].talks.get(talk) {
            Some(Talk { shared: true, .. }) => format!("all/{number}"),
            _ => format!("say/g{group}/{talk}/{device}"),
        }
    }

    fn write_group(&self, out: &mut String, number: usize, group: &Group) -> std::fmt::Result {
        let five = group.version == "V5";
        // Less patience than a link needs for one packet is no habit of devices: they would never get anything through.
        let slow =
            !["ideal", "lan", "lossy", "forgets", "refuses", "wifi"].contains(&group.link) || group.reads.is_some();
        let least = if group.reads.is_some() {
            300
        } else if slow {
            30
        } else {
            0
        };
        let patience = group.patience.max(least);
        let keep_alive = match (group.keep_alive, group.link) {
            // A ping in time, or there would be no calm.
            (some, "forgets" | "refuses") => some.clamp(3, 10),
            (0, _) => 0,
            (some, _) => some.max(least),
        };
        write!(out, "        (name: \"g{number}\", count: {}, version: {}, ", group.count, group.version)?;
        write!(out, "link: \"{}\", keep_alive: \"{}s\", patience: \"{}s\", ", group.link, keep_alive, patience)?;
        if group.region {
            write!(out, "region: \"valley\", ")?;
        } else if group.share_outages {
            write!(out, "share_outages: 2, ")?;
        }
        // Clones of one device would be in different parts of the fleet.
        let clones = group.clones > 1 && !self.paired;
        if clones {
            write!(out, "clones: {}, ", group.clones)?;
        } else {
            let expiry = group.expiry.filter(|_| five).map_or(String::new(), |it| format!(", expiry: \"{it}\""));
            write!(out, "\n         session: (clean_start: {}{expiry}), ", group.clean)?;
        }
        if let Some(queue) = group.queue {
            write!(out, "queue: {queue}, ")?;
        }
        write!(out, "reconnect: (like: \"{}\"), starts: {}, ", group.reconnect, group.starts)?;
        if let Some(reads) = group.reads {
            write!(out, "reads: {reads}, ")?;
        }
        if let Some((on, off)) = group.duty_cycle {
            write!(out, "duty_cycle: (on: \"{on}s\", off: \"{off}s\"), ")?;
        }
        if let Some((qos, retain, delay, share)) = group.will {
            let delay = delay.filter(|_| five).map_or(String::new(), |delay| format!(", delay: \"{delay}s\""));
            let share = if share < 1.0 { format!(", share: {share}") } else { String::new() };
            write!(
                out,
                "\n         will: (topic: \"will/g{number}/{{id}}\", qos: {qos}, retain: {retain}{delay}{share}), "
            )?;
        }
        writeln!(out, "does: [")?;
        for (place, talk) in group.talks.iter().enumerate() {
            let Talk { qos, retain, pace, hours, says, size, expiry, skips, .. } = talk;
            let hours = if *pace == "pattern: OnConnect" { "" } else { hours };
            let expiry = expiry.filter(|_| five).map_or(String::new(), |it| format!(", expiry: \"{it}s\""));
            let skips = if *skips { ", offline: Skip" } else { "" };
            let topic = self.topic(number, place, "{id}", "{n}");
            writeln!(
                out,
                "            Publish(topic: \"{topic}\", qos: {qos}, retain: {retain}, {pace}{hours}, size: {size}{says}{expiry}{skips}),"
            )?;
        }
        if clones {
            return writeln!(out, "         ]),");
        }
        if let Some(qos) = group.hears_all.filter(|_| !self.paired) {
            return writeln!(out, "            Listen(filter: \"#\", qos: {qos}),\n         ]),");
        }
        let mut heard = Vec::new();
        let mut listen = |out: &mut String, share: &str, filter: String, qos: u8| {
            if heard.contains(&filter) {
                return Ok(());
            }
            let written = writeln!(out, "            Listen(filter: \"{share}{filter}\", qos: {qos}),");
            heard.push(filter);
            written
        };
        let device = |whom: usize| if self.paired { format!("g{whom}-{{n}}") } else { "+".to_owned() };
        let said = |whom: usize, what: usize| {
            let whom = whom % self.groups.len();
            let talk = what % self.groups[whom].talks.len().max(1);
            self.topic(whom, talk, &device(whom), if self.paired { "{n}" } else { "+" })
        };
        for (whom, what, qos) in &group.hears {
            listen(out, "", said(*whom, *what), *qos)?;
        }
        if let Some((whom, qos)) = group.mourns {
            let whom = whom % self.groups.len();
            listen(out, "", format!("will/g{whom}/{}", device(whom)), qos)?;
        }
        if let Some((whom, what, qos)) = group.shares.filter(|_| five && !self.paired) {
            listen(out, &format!("$share/s{number}/"), said(whom, what), qos)?;
        }
        let (target, of) = match (self.paired, group.asks) {
            (false, Some((whom, ..))) => ("{target}", format!(", of: \"g{}\"", whom % self.groups.len())),
            _ => ("{n}", String::new()),
        };
        if let Some((whom, qos, every)) = group.asks {
            let whom = whom % self.groups.len();
            let topics = format!("topic: \"ask/g{whom}/{target}\", answer: \"told/g{whom}/{target}\"");
            writeln!(out, "            Ask({topics}{of}, qos: {qos}{every}),")?;
        }
        if let Some((qos, after)) = group.answers {
            let own = if self.paired { "{n}" } else { "{id}" };
            let topics = format!("filter: \"ask/g{number}/{own}\", topic: \"told/g{number}/{own}\"");
            writeln!(out, "            Answer({topics}, qos: {qos}, after: \"{after}ms\"),")?;
        }
        writeln!(out, "         ]),")
    }
}

fn report(text: &str) -> Report {
    let plan = scenario::check(text, &links::all()).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    play(plan, Shard::WHOLE).unwrap_or_else(|why| panic!("{why}\n{text}")).report()
}

/// Plays random fleets until `holds` fails for one. The smallest that shows it is kept.
fn search(name: &str, paired: bool, holds: impl Fn(&Fleet, &str) -> Result<(), String>) {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0);
    }
    let mut runner = TestRunner::new(config);
    let fleets = fleet().prop_map(|fleet| Fleet { paired, ..fleet });
    let found = runner.run(&fleets, |fleet| holds(&fleet, &fleet.text()).map_err(TestCaseError::fail));
    match found {
        Ok(()) => {}
        Err(TestError::Fail(why, fleet)) => {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/regressions").join(format!("{name}.ron"));
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for regressions");
            fs::write(&path, fleet.text()).expect("a place for the regression");
            panic!(
                "{why}\n\nit is kept in {}; give it a name and a first line that says what it shows",
                path.display()
            );
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn whatever_happens_what_was_promised_is_kept() {
    search("found", false, |_, text| {
        let report = report(text);
        // What nothing put to the test is no failure of a fleet that was drawn.
        if report.broken() == 0 { Ok(()) } else { Err(report.text()) }
    });
}

#[test]
fn the_same_seed_gives_the_same_report() {
    search("unsteady", false, |_, text| {
        let json = || serde_json::to_string(&report(text)).expect("a report as JSON");
        if json() == json() { Ok(()) } else { Err("two plays of it differ".to_owned()) }
    });
}

/// So many shards come to what one process comes to.
fn parted(text: &str, of: u32) -> Result<(), String> {
    let part = |shard: Shard| {
        let plan = scenario::check(text, &links::all()).expect("a legal scenario");
        let (seed, end) = (plan.seed, Instant::ZERO + plan.lasts + plan.calm);
        let played = play(plan, shard)?;
        Ok::<_, String>(Part::new(text.to_owned(), seed, shard, end, played.outcome, Measured::default()))
    };
    let mut parts = Shard::all(of).map(part);
    let mut sum = parts.next().expect("a shard")?;
    for part in parts {
        sum.add(&part?).map_err(|why| why.to_string())?;
    }
    let merged = sum.played()?.0.report();
    let whole = report(text);
    let json = |report: &Report| serde_json::to_string(report).expect("a report as JSON");
    if json(&merged) == json(&whole) {
        Ok(())
    } else {
        Err(format!("one process:\n{}\n{of}:\n{}", whole.text(), merged.text()))
    }
}

/// Into how many shards a fleet is parted: one of these.
const SHARDS: [u32; 3] = [2, 3, 7];

#[test]
fn shards_come_to_the_same() {
    search("parted", true, |fleet, text| parted(text, SHARDS[fleet.seed as usize % SHARDS.len()]));
}

#[test]
fn what_was_once_found_stays_fixed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/regressions");
    let (mut played, mut parted_too) = (0, 0);
    for entry in fs::read_dir(folder).expect("regressions") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a scenario");
        let report = report(&text);
        assert!(report.broken() == 0, "{}:\n{}", path.display(), report.text());
        played += 1;
        // Only some of them can be parted.
        let plan = scenario::check(&text, &links::all()).expect("a legal scenario");
        for of in SHARDS {
            if Shard::all(of).next().is_some_and(|part| floor(plan.clone(), part).is_ok()) {
                parted(&text, of).unwrap_or_else(|why| panic!("{}:\n{why}", path.display()));
                parted_too += 1;
            }
        }
    }
    assert!(played > 0 && parted_too > 0);
}

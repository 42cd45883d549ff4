//! `testament conform`: judges a broker.

mod first_look;
pub(super) mod known;
mod outputs;
mod playing;
mod selection;
mod venue;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use harness::baseline::{Baseline, Difference, Known};
use harness::case::{Played, Stop};
use harness::catalogue::Level;
use harness::judge::Judge;
use harness::report::terminal::Terminal;
use harness::report::{Heading, counted, difference, steady};
use harness::run::{Done, Report, Run, Runner, Summary};
use harness::trace::Dissect;

use super::text::{no_colour_is_unset, quoted, read, unless_closed};
use super::tls::Tls;
use super::{FAILED, OK, TROUBLE};
use crate::catalogue::catalogue;
use crate::net::url::Url;
use crate::packet::Version;
use crate::suite;
use crate::suite::setting::{Login, Setting};
use crate::suite::supports::{Keeps, Supports};
use crate::suite::words::Words;
use crate::sut::Target;
use first_look::{Asked, FirstLook, fingerprint};
pub(super) use selection::span;
use selection::{Chosen, protocol};
use venue::Venue;

/// More findings than people like to scroll through.
const MANY: usize = 10;

/// Options of `testament conform`.
#[derive(Debug, Default, Args)]
pub(super) struct Conform {
    /// What to judge: `reference`, a URL (mqtt://, mqtts://, ws://, wss://), a broker that `testament list brokers` names,
    /// or the path of a broker file
    #[arg(default_value = Target::REFERENCE)]
    target: String,
    /// A protocol version to speak: 3.1, 3.1.1 or 5.0; may be given several times [default: all that the target serves]
    #[arg(long, value_name = "VERSION", value_parser = protocol)]
    protocol: Vec<Version>,
    /// A case to play, by its id; may be given several times [default: all]
    #[arg(long, value_name = "ID")]
    case: Vec<String>,
    /// Play only cases whose id or claim contains this, whatever the case of letters
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// A recommendation (SHOULD) that is not followed fails, too
    #[arg(long)]
    strict: bool,
    /// Nobody else uses the target: also play cases that disturb others
    #[arg(long)]
    exclusive: bool,
    /// Begin nothing new after the first Fail
    #[arg(long)]
    fail_fast: bool,
    /// Play the cases so many times: one that does not come to the same verdict each time is named, and fails the run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// How many cases to play side by side [default: 64, fewer where a login is slow, in virtual time one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    jobs: Option<u16>,
    /// What everything random is drawn from [default: 1 in virtual time, else drawn anew]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long to wait for an answer, such as 500ms or 10s [default: by the measured round trip and login, at least 3s]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    timeout: Option<Duration>,
    /// Judge the reference broker over loopback sockets instead of in virtual time; any other target is judged so anyway
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    reports: outputs::Asked,
    /// Compare with the deviations that this file lists: only new ones fail the run (docs/command-line.md)
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Tell what did not pass in a line and its repeat command each: no clauses and no packets
    #[arg(long)]
    brief: bool,
    /// Bring the baseline up to this run; reasons already written stay
    #[arg(long, requires = "baseline")]
    update_baseline: bool,
    /// The user name to log in with
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// A file with the password to log in with; a newline at its end does not count
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    tls: Tls,
    /// What the target can do, in place of what its broker file says: the `supports` part of one, in a file of its own
    #[arg(long, value_name = "FILE")]
    capabilities: Option<PathBuf>,
}

impl Conform {
    /// Judges the reference broker in virtual time.
    pub(super) fn reference() -> Self {
        Self { target: Target::REFERENCE.to_owned(), repeat: 1, ..Self::default() }
    }

    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let target = Target::named(&self.target)?;
        let cases = selection::cases(&self.case, self.filter.as_deref())?;
        let outputs = self.reports.open()?;
        let baseline =
            self.baseline.as_deref().map(|path| known::File::read(path, self.update_baseline)).transpose()?;
        let venue = self.venue(target.clone())?;
        let asked =
            Asked { versions: &self.protocol, login: self.login(&venue)?, timeout: self.timeout, jobs: self.jobs };
        let FirstLook { settings, jobs, watched } = asked.first_look(&venue)?;
        // A selection is about its cases: what it takes should not hang on anything else.
        let whole = self.case.is_empty() && self.filter.is_none();
        let fingerprint = if whole { fingerprint(&venue, &settings, jobs) } else { Vec::new() };
        let chosen = selection::runs(&cases, settings.iter().map(|setting| setting.version))?;
        let aside = self.aside(target, &venue, jobs, &chosen)?;
        let prepared = |chosen: Chosen| {
            let place = aside.as_ref().filter(|_| chosen.case.isolation.alone).unwrap_or(&venue);
            self.prepare(place, &settings, chosen)
        };
        let runs: Vec<_> = chosen.into_iter().map(prepared).collect();

        let dissect = |protocol: &str| -> Box<dyn Dissect> {
            Box::new(Words::of(protocol.parse().expect("runs are named after a version")))
        };
        let judge = Judge { level: &level, dissect: &dissect, strict: self.strict };
        let clock = clock();
        let (fail_fast, target) = (self.fail_fast, venue.target.as_deref());
        let aside = aside.as_ref().and_then(|aside| aside.target.as_deref());
        let runner = Runner { jobs, watched, heavy: 2, fail_fast, judge, target, aside, clock: &clock };
        let heading = Heading {
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: venue.seed,
            target: venue.name.clone(),
            target_version: venue.version.clone(),
            url: venue.url.clone(),
            fingerprint,
        };
        let versions: Vec<_> = settings.iter().map(|setting| setting.version).collect();
        let repeat = |done: &Done| self.repeat_command(venue.seed, done);
        let began = timestamp();
        playing::play(&runner, &runs, self.repeat.into(), |rounds| {
            let report = rounds.worst();
            let (mut people, watched) = outputs.for_people();
            let colour = watched && no_colour_is_unset();
            let none = Baseline::default();
            let known = baseline.as_ref().map_or(&none, |file| &file.baseline);
            let terminal = Terminal { colour, rule: &rule, repeat: &repeat, baseline: known, brief: self.brief };
            unless_closed(terminal.write(&mut people, &heading, &report, clock()))?;
            let new = |done: &&Done| done.verdict.evidence().is_some() && known.knows(done).is_none();
            let told_in_full = if self.brief { 0 } else { report.results.iter().filter(new).count() };
            if watched && told_in_full > MANY && !self.reports.has_page() {
                eprintln!(
                    "testament: --html FILE writes all this as one page with a filter; --brief leaves out the packets"
                );
            }
            let words = outputs::Words { rule: &rule, repeat: &repeat, dissect: &dissect, baseline: known };
            outputs.write(&heading, &report, &versions, &began, &words).context("cannot write a report")?;
            if rounds.count() > 1 {
                unless_closed(steady::write(&mut people, rounds))?;
            }
            let code = match baseline {
                Some(baseline) => self.against(baseline, &report, &mut people)?,
                None => exit_code(&report, None),
            };
            Ok(if rounds.unsteady().next().is_some() { FAILED } else { code })
        })
    }

    fn venue(&self, target: Target) -> anyhow::Result<Venue> {
        let seed = |fresh: fn() -> u64| self.seed.unwrap_or_else(fresh);
        let mut venue = match target {
            Target::Reference if !self.live => Venue::in_virtual_time(seed(|| 1)),
            Target::Reference => Venue::on_loopback(seed(venue::fresh_seed))?,
            Target::Managed(file) => Venue::with_process(*file, seed(venue::fresh_seed))?,
            Target::Address(url) => {
                let tls = url.is_secure().then(|| self.tls.client()).transpose()?;
                Venue::at(url, tls, seed(venue::fresh_seed))?
            }
        };
        if let Some(file) = &self.capabilities {
            let shown = file.display();
            let text = read("the capabilities", file)?;
            let declared = Supports::parse(&text).map_err(|why| anyhow::anyhow!("{shown}:{why}"))?;
            venue.supports = Supports { keeps: venue.supports.keeps, ..declared };
        }
        Ok(venue)
    }

    /// A second target like that of `venue`, for the cases that need one for themselves: one after the other they take nearly as
    /// long as all the rest side by side.
    fn aside(&self, target: Target, venue: &Venue, jobs: usize, chosen: &[Chosen]) -> anyhow::Result<Option<Venue>> {
        let alone = chosen.iter().filter(|chosen| chosen.case.isolation.alone).count();
        if !venue.twice || alone == 0 || alone == chosen.len() || jobs == 1 || self.fail_fast {
            return Ok(None);
        }
        let mut aside = self.venue(target)?;
        aside.seed = venue.seed;
        Ok(Some(aside))
    }

    fn login(&self, venue: &Venue) -> anyhow::Result<Option<Login>> {
        let Some(username) = &self.username else { return Ok(venue.login.clone()) };
        let mut password = match &self.password_file {
            Some(file) => {
                std::fs::read(file).with_context(|| format!("cannot read the password in {}", file.display()))?
            }
            None => Vec::new(),
        };
        while password.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
            password.pop();
        }
        Ok(Some(Login { username: username.clone(), password }))
    }

    fn prepare<'a>(&self, venue: &'a Venue, settings: &[Setting], chosen: Chosen) -> Run<'a> {
        let Chosen { case, version, clauses, number } = chosen;
        let setting = settings.iter().find(|setting| setting.version == version);
        let mut setting = setting.expect("only versions that have a setting are chosen").clone();
        setting.number = number;
        let disturbs = case.isolation.alone && venue.foreign && !self.exclusive;
        let mut isolation = case.isolation;
        isolation.alone &= !venue.private;
        isolation.bystander &= !venue.private;
        let plays = AtomicU32::new(0);
        let play = move || {
            if disturbs {
                let outcome = Err(Stop::Skip("needs the target for itself (--exclusive)".to_owned()));
                return Played { outcome, remarks: Vec::new(), died: None, trace: Default::default() };
            }
            let mut setting = setting.clone();
            if plays.fetch_add(1, Ordering::Relaxed) > 0 {
                // It was cut short, and may find what it left behind under its own names.
                setting.token = venue::fresh_token();
            }
            suite::play(case, setting, venue.world(case.id, version))
        };
        Run { id: case.id, claim: case.claim, protocol: version.as_str(), clauses, isolation, play: Box::new(play) }
    }

    /// Compares with the baseline, and brings it up to date where that is asked for; the number is the exit code.
    fn against(&self, mut known: known::File, report: &Report, people: &mut dyn io::Write) -> anyhow::Result<u8> {
        let beside = if self.update_baseline { "the baseline as it was" } else { "the baseline" };
        unless_closed(difference::write(people, &known.baseline.compare(report), beside))?;
        if self.update_baseline {
            known.baseline = known.baseline.updated(report);
            known.write()?;
            let entries = counted(known.baseline.entries().count(), "entry", "entries");
            unless_closed(writeln!(people, "wrote {}: {entries}, each wants a reason", known.path().display()))?;
        }
        for stale in known.baseline.entries().filter(|entry| !selection::exists(&entry.case, &entry.protocol)) {
            let Known { case, protocol, .. } = stale;
            eprintln!(
                "testament: the baseline lists {case} under {protocol}, which the suite does not have; delete it"
            );
        }
        let unsaid = known.baseline.entries().filter(|entry| entry.reason.trim().is_empty()).count();
        if unsaid > 0 {
            let entries = counted(unsaid, "entry of the baseline has", "entries of the baseline have");
            eprintln!("testament: {entries} no reason yet; say in each why it may stay");
        }
        Ok(exit_code(report, Some(&known.baseline.compare(report))))
    }

    /// The command that plays this run again.
    fn repeat_command(&self, seed: u64, done: &Done) -> String {
        let url = self.target.parse::<Url>().ok();
        // A password is not for a report; whoever repeats the run has it.
        let target = url.as_ref().map_or_else(|| self.target.clone(), Url::to_string);
        let mut words = vec!["testament".to_owned(), "conform".to_owned(), target];
        if let (None, Some(Url { username: Some(username), password: Some(_), .. })) = (&self.username, url) {
            words.extend(["--username".to_owned(), username, "--password-file".to_owned(), "FILE".to_owned()]);
        }
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([name.to_owned(), value]);
            }
        };
        option("--protocol", Some(done.protocol.to_owned()));
        option("--case", Some(done.id.to_owned()));
        option("--seed", Some(seed.to_string()));
        option("--timeout", self.timeout.map(|span| humantime::format_duration(span).to_string().replace(' ', "")));
        option("--username", self.username.clone());
        let files = [
            ("--password-file", &self.password_file),
            ("--cafile", &self.tls.cafile),
            ("--cert", &self.tls.cert),
            ("--key", &self.tls.key),
            ("--capabilities", &self.capabilities),
        ];
        for (name, file) in files {
            option(name, file.as_ref().map(|file| file.display().to_string()));
        }
        let flags = [
            ("--live", self.live),
            ("--strict", self.strict),
            ("--exclusive", self.exclusive),
            ("--insecure", self.tls.insecure),
        ];
        words.extend(flags.iter().filter(|(_, set)| *set).map(|(name, _)| (*name).to_owned()));
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// The exit code, and the reason for it where the report does not say it. Beside a baseline only what is new counts
/// against the target.
fn exit_code(report: &Report, difference: Option<&Difference<'_>>) -> u8 {
    let all = Summary::of(&report.results);
    let counted = match difference {
        Some(difference) => Summary::of(difference.new.iter().map(|(done, _)| *done)),
        None => Summary { advise: 0, ..all },
    };
    if counted.fail + counted.advise > 0 {
        return FAILED;
    }
    if counted.broken + counted.inconclusive > 0 {
        eprintln!("testament: some cases came to no verdict; the reasons are above");
        return TROUBLE;
    }
    if report.cut_short.is_some() {
        eprintln!("testament: the run ended before its end; the reason is above");
        return TROUBLE;
    }
    if all.pass == 0 && difference.is_none_or(|difference| difference.unchanged.is_empty()) {
        eprintln!("testament: no case passed, so nothing was shown; choose others, or give the target what they need");
        return TROUBLE;
    }
    OK
}

fn level(clause: &str) -> Level {
    catalogue().level(clause).unwrap_or(Level::Must)
}

fn rule(clause: &str) -> Option<String> {
    let requirement = catalogue().get(clause).map(|requirement| format!("{}: {}", requirement.level, requirement.rule));
    requirement.or_else(|| Keeps::promised(clause).map(ToOwned::to_owned))
}

/// Time since now.
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "the clock that is handed to the runner")]
fn clock() -> impl Fn() -> Duration + Sync {
    let began = std::time::Instant::now();
    move || began.elapsed()
}

/// The present moment as JUnit writes it, in universal time.
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a report says when it was made")]
pub(super) fn timestamp() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string().trim_end_matches('Z').to_owned()
}

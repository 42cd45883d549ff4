//! What there is to know of a target before it is judged: which versions it serves, what it can do, how far away it is, and
//! what it makes of the freedoms it has.

use std::thread;
use std::time::Duration;

use anyhow::{bail, ensure};
use harness::case::{Deviation, Stop};
use harness::report::fingerprint::Trait;

use super::venue::Venue;
use crate::packet::Version;
use crate::suite::fingerprint::{QUESTIONS, Question};
use crate::suite::probe::{Unfit, probe};
use crate::suite::setting::{Login, Setting, Timing};

/// What is asked of a first look.
pub(super) struct Asked<'a> {
    /// The versions to speak; none are all that the target serves.
    pub(super) versions: &'a [Version],
    pub(super) login: Option<Login>,
    /// How long to wait for an answer, where that is given.
    pub(super) timeout: Option<Duration>,
    /// How many cases are to be played side by side, where that is given.
    pub(super) jobs: Option<u16>,
}

/// What a first look comes to.
pub(super) struct FirstLook {
    /// What each play is given, one for each version.
    pub(super) settings: Vec<Setting>,
    /// How many are played side by side.
    pub(super) jobs: usize,
    /// How many of those that watch over a bystander.
    pub(super) watched: usize,
}

impl Asked<'_> {
    /// Has the first look.
    ///
    /// # Errors
    /// If the target takes no part, with what to do.
    pub(super) fn first_look(&self, venue: &Venue) -> anyhow::Result<FirstLook> {
        let mut versions = if self.versions.is_empty() { venue.protocols.clone() } else { self.versions.to_vec() };
        versions.sort_unstable();
        versions.dedup();
        if let Some(other) = versions.iter().find(|version| !venue.protocols.contains(version)) {
            let served = venue.protocols.iter().map(|version| version.as_str()).collect::<Vec<_>>().join(", ");
            bail!("{} does not serve MQTT {other}; choose --protocol from {served}", venue.name);
        }
        let setting = |version, supports| Setting {
            version,
            route: venue.route.clone(),
            token: venue.token.clone(),
            number: u16::MAX,
            timing: self.timing(Timing::for_round_trip(Duration::from_millis(50)), venue.patience),
            supports,
            login: self.login.clone(),
            disposable: venue.private,
        };
        let probed = |setting: &Setting| probe(setting.clone(), venue.world("probe", setting.version));
        let mut supports = venue.supports.clone();
        if !versions.contains(&Version::V5) && venue.protocols.contains(&Version::V5) {
            // It need not serve 5.0; where it does, it says there what it cannot do under any version.
            supports = probed(&setting(Version::V5, supports.clone())).map_or(supports, |probed| probed.supports);
        }
        let (mut settings, mut looks) = (Vec::new(), Vec::new());
        // 5.0 first, for what it announces holds for the others.
        for version in versions.into_iter().rev() {
            let mut setting = setting(version, supports.clone());
            match probed(&setting) {
                Ok(probed) => {
                    supports.clone_from(&probed.supports);
                    setting.supports.clone_from(&probed.supports);
                    settings.push(setting);
                    looks.push(probed);
                }
                Err(Unfit::Stranger(what)) => bail!("cannot judge {}: {what}", venue.name),
                // Nobody promised that a target at an address serves every version.
                Err(Unfit::NoWelcome(Stop::Deviation(deviation))) if self.versions.is_empty() && venue.foreign => {
                    eprintln!(
                        "testament: MQTT {version} is left out: expected {}; came {}",
                        deviation.expected, deviation.came
                    );
                }
                Err(Unfit::NoWelcome(stop)) => bail!(
                    "cannot judge {} under MQTT {version}: {}; check that it runs, its address, and --username",
                    venue.name,
                    in_words(&stop)
                ),
            }
        }
        ensure!(
            !settings.is_empty(),
            "{} welcomes no client under any protocol version; check --username and --password-file",
            venue.name
        );
        // All versions share the target, and so the time it takes to let somebody in.
        let side_by_side = |most| {
            let measured = || looks.iter().map(|probed| probed.side_by_side(most)).max().unwrap_or(most);
            self.jobs.map_or_else(measured, usize::from)
        };
        let (jobs, watched) = (side_by_side(venue.jobs), side_by_side(venue.watched));
        for (setting, probed) in settings.iter_mut().zip(looks) {
            let measured = Timing::for_round_trip(probed.round_trip).with_logins(probed.login, watched);
            setting.timing = self.timing(measured, venue.patience);
        }
        settings.reverse();
        Ok(FirstLook { settings, jobs, watched })
    }

    /// What was measured of one client need not hold for many; its broker file knows.
    fn timing(&self, measured: Timing, patience: Duration) -> Timing {
        let measured = Timing { answer: measured.answer.max(patience), ..measured };
        self.timeout.map_or(measured, |answer| Timing { answer, grace: measured.grace.min(answer) })
    }
}

/// What the target makes of the freedoms that the standard leaves it: `jobs` questions at once, for most of them wait.
pub(super) fn fingerprint(venue: &Venue, settings: &[Setting], jobs: usize) -> Vec<Trait> {
    let asked = QUESTIONS.iter().flat_map(|question| {
        let concerned = settings.iter().filter(|setting| question.concerns(setting.version));
        concerned.map(move |setting| (question, setting))
    });
    // Names of their own, apart from those of the cases and the probe.
    let asked: Vec<_> = asked.zip((0..u16::MAX).rev()).collect();
    let side_by_side = |asked: &[((&'static Question, &Setting), u16)]| -> Vec<Trait> {
        thread::scope(|scope| {
            let ask = |&((question, setting), number): &((&'static Question, &Setting), u16)| {
                let setting = Setting { number, ..setting.clone() };
                scope.spawn(move || {
                    let world = venue.world(question.name, setting.version);
                    question.ask(setting, world)
                })
            };
            let asked: Vec<_> = asked.iter().map(ask).collect();
            asked.into_iter().filter_map(|answer| answer.join().ok().flatten()).collect()
        })
    };
    asked.chunks(jobs.max(1)).flat_map(side_by_side).collect()
}

fn in_words(stop: &Stop) -> String {
    match stop {
        Stop::Deviation(Deviation { expected, came, .. })
        | Stop::Harm(Deviation { expected, came, .. })
        | Stop::BrokenPromise { expected, came, .. } => {
            format!("expected {expected}; came {came}")
        }
        Stop::Skip(why) | Stop::Inconclusive(why) | Stop::Broken(why) => why.clone(),
    }
}

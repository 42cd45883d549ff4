//! Where a live run is played: a broker that is started for it, the bundled one on loopback, or somebody else's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use harness::world::Sut;
use serde::{Deserialize, Serialize};

use crate::cli::tls::Tls;
use crate::net::live::Restart;
use crate::net::reach::Reach;
use crate::net::stream::Dialer;
use crate::net::url::Url;
use crate::scenario::plan::{Group, Happening, Plan};
use crate::scenario::schema;
use crate::scenario::template::Template;
use crate::suite::supports::Keeps;
use crate::sut::Target;
use crate::sut::broker_file::BrokerFile;
use crate::sut::process::Process;
use crate::sut::served::Served;

/// A real broker takes a moment to stop, and hears devices until then. One that forgets is away for no less, so that what
/// they said in that moment is known to be forgotten when it is back.
const STOPS: Duration = Duration::from_millis(500);

/// A target that is there.
pub(super) struct Ground {
    /// What it is, in words.
    pub(super) name: String,
    pub(super) reach: Reach,
    /// The broker, if it is ours to start again; it runs as long as this stands.
    pub(super) broker: Option<Arc<dyn Restart>>,
    /// Its connections have their other end in this process.
    pub(super) inside: bool,
    /// The credentials of devices that have none.
    login: Option<(String, String)>,
}

/// What a worker process is told of the target by the process that started it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Handover {
    name: String,
    listeners: Vec<String>,
    own: Vec<(String, String)>,
    login: Option<(String, String)>,
}

impl Ground {
    /// Opens a target for `plan`, whose devices get the credentials that the target wants where they have none.
    ///
    /// # Errors
    /// Where the plan asks for what the target cannot do; then nothing was started. Where it does not start.
    pub(super) fn open(target: Target, tls: &Tls, plan: &mut Plan) -> anyhow::Result<Self> {
        let ground = match target {
            Target::Reference => {
                let served = Served::start(plan.seed).context("cannot serve the bundled broker on loopback")?;
                let reach = Reach { listeners: served.listeners(), own: BTreeMap::new() };
                let name = "the bundled broker on loopback".to_owned();
                Self { name, reach, broker: Some(Arc::new(served)), inside: true, login: None }
            }
            Target::Managed(file) => Self::with_process(*file, plan)?,
            Target::Address(url) => Self::at(url, tls, plan)?,
        };
        ground.prepare(plan);
        Ok(ground)
    }

    /// What a worker process is told of it.
    pub(super) fn handover(&self) -> Handover {
        let own =
            self.reach.own.iter().map(|(version, dialer)| (version.to_string(), dialer.url.to_string())).collect();
        let listeners = self.reach.listeners.values().map(|dialer| dialer.url.to_string()).collect();
        Handover { name: self.name.clone(), listeners, own, login: self.login.clone() }
    }

    /// What another process opened.
    ///
    /// # Errors
    /// Where it was not handed over in order.
    pub(super) fn taken_over(handover: Handover, tls: &Tls, plan: &mut Plan) -> anyhow::Result<Self> {
        let Handover { name, listeners, own, login } = handover;
        let config = tls.client()?;
        let dialer = |url: &str| {
            let url: Url = url.parse()?;
            let tls = url.is_secure().then(|| Arc::clone(&config));
            anyhow::Ok(Dialer { url, tls, source: None })
        };
        let mut reach = Reach { listeners: BTreeMap::new(), own: BTreeMap::new() };
        for url in &listeners {
            let dialer = dialer(url)?;
            reach.listeners.insert(dialer.url.endpoint, dialer);
        }
        for (version, url) in &own {
            reach.own.insert(version.parse().map_err(|why: String| anyhow!(why))?, dialer(url)?);
        }
        let ground = Self { name, reach, broker: None, inside: false, login };
        ground.prepare(plan);
        Ok(ground)
    }

    fn with_process(file: BrokerFile, plan: &Plan) -> anyhow::Result<Self> {
        let name = file.name.clone();
        let served = file.versions();
        refuse(plan, |group| {
            (!served.contains(&group.version)).then(|| format!("{name} does not serve {}", group.version))
        })?;
        refuse(plan, |group| {
            (group.tls && !file.mentions("{tls_port}"))
                .then(|| format!("{name} has no listener with TLS in its broker file"))
        })?;
        let keeps = |what: &Happening| matches!(what, Happening::Restart { keeps: schema::Keeps::State, .. });
        if file.keeps == Keeps::Nothing && plan.timeline.iter().any(|moment| keeps(&moment.what)) {
            bail!(
                "{name} does not promise to keep anything when it is started again; write `keeps: Nothing` in the timeline"
            );
        }
        let login = file.login.clone();
        let process = Process::start(file)?;
        let reach = process.reach()?;
        let name = process.version().map_or(name.clone(), |version| format!("{name} {version}"));
        Ok(Self { name, reach, broker: Some(Arc::new(process)), inside: false, login })
    }

    fn at(url: Url, tls: &Tls, plan: &Plan) -> anyhow::Result<Self> {
        let restarted = plan.timeline.iter().any(|moment| matches!(moment.what, Happening::Restart { .. }));
        if restarted {
            bail!(
                "the timeline restarts the broker, and {url} is not ours to restart; name a broker file, or take `Restart` out of the timeline"
            );
        }
        refuse(plan, |group| {
            (group.tls && !url.is_secure()).then(|| format!("{url} has no TLS; write mqtts:// or wss://"))
        })?;
        let login = url.username.clone().map(|name| (name, url.password.clone().unwrap_or_default()));
        let tls = url.is_secure().then(|| tls.client()).transpose()?;
        let name = url.to_string();
        Ok(Self { name, reach: Reach::one(Dialer { url, tls, source: None }), broker: None, inside: false, login })
    }

    /// Gives credentials to whoever has none, and the broker time to stop.
    fn prepare(&self, plan: &mut Plan) {
        for moment in &mut plan.timeline {
            if let Happening::Restart { keeps: schema::Keeps::Nothing, lasts } = &mut moment.what {
                *lasts = (*lasts).max(STOPS);
            }
        }
        let Some((name, word)) = &self.login else { return };
        for group in plan.groups.iter_mut().filter(|group| group.username.is_none()) {
            group.username = Some(Template::literal(name));
            group.password = Some(Template::literal(word));
        }
    }

    /// Plays what the timeline does to the broker, if it is ours, on a clock whose zero is `until_zero` away. Ends with the
    /// weather, and tells if anything went wrong.
    pub(super) fn play_restarts(
        &self,
        plan: &Plan,
        until_zero: Duration,
        told: impl FnOnce(anyhow::Error) + Send + 'static,
    ) {
        let Some(broker) = self.broker.clone() else { return };
        let restarts: Vec<_> = plan
            .timeline
            .iter()
            .filter_map(|moment| match moment.what {
                Happening::Restart { keeps, lasts } => Some((moment.at, keeps, (moment.at + lasts).min(plan.lasts))),
                _ => None,
            })
            .collect();
        if restarts.is_empty() {
            return;
        }
        let began = Instant::now();
        let wait = move |moment: Duration| thread::sleep((until_zero + moment).saturating_sub(began.elapsed()));
        thread::spawn(move || {
            for (at, keeps, back) in restarts {
                wait(at);
                let stopped = match keeps {
                    schema::Keeps::State => broker.restart(Sut::Stop),
                    schema::Keeps::Nothing => broker.forget(),
                };
                wait(back);
                if let Err(why) = stopped.and_then(|()| broker.restart(Sut::Start)) {
                    return told(anyhow!("the broker could not be started again: {}", why.0));
                }
            }
        });
    }
}

/// Refuses a plan because of its groups, all named.
fn refuse(plan: &Plan, why: impl Fn(&Group) -> Option<String>) -> anyhow::Result<()> {
    let refused: Vec<_> = plan.groups.iter().filter_map(|group| Some((&group.name, why(group)?))).collect();
    let Some((_, why)) = refused.first() else { return Ok(()) };
    let names: Vec<_> = refused.iter().map(|(name, _)| format!("`{name}`")).collect();
    bail!("the devices of {} cannot be played: {why}", names.join(", "));
}

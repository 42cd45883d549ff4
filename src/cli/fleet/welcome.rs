//! Before a live run: whether the target lets in who speaks like the devices, so that a wrong address costs no run.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use tokio::runtime::{Builder, Runtime};

use super::ground::Ground;
use crate::client::Identity;
use crate::fleet::roster::Own;
use crate::fleet::shard::Shard;
use crate::net::probe::{Unwelcome, probe};
use crate::net::seed;
use crate::net::stream::Dialer;
use crate::packet::Version;
use crate::scenario::plan::Plan;
use crate::scenario::template::Template;

/// How long a target may take to come up.
const COMES_UP: Duration = Duration::from_secs(5);
/// And how often it is asked meanwhile.
const AGAIN: Duration = Duration::from_millis(250);

/// Devices that connect in the same way.
struct Kind<'a> {
    dialer: &'a Dialer,
    version: Version,
    username: Option<String>,
    password: Option<String>,
    /// Their groups.
    groups: Vec<&'a str>,
    /// The client identifier of one of them.
    device: String,
}

/// Connects once in each way in which devices of `shard` will.
///
/// # Errors
/// Where somebody is not let in: what was tried, what came back, and what to do.
pub(super) fn ask(ground: &Ground, plan: &Plan, shard: Shard) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let until = Instant::now() + COMES_UP;
    for kind in kinds(ground, plan, shard)? {
        let Err(no) = kind.ask_patiently(&runtime, until) else { continue };
        let whom = kind.username.as_ref().map_or("without a user name".to_owned(), |name| format!("as `{name}`"));
        bail!(
            "cannot connect to {} with MQTT {} {whom}, as devices of {} will: {no}; {}",
            kind.dialer.url,
            kind.version,
            kind.groups.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            no.remedy(&kind.dialer.url)
        );
    }
    Ok(())
}

fn kinds<'a>(ground: &'a Ground, plan: &'a Plan, shard: Shard) -> anyhow::Result<Vec<Kind<'a>>> {
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    for group in &plan.groups {
        let dialer = ground.reach.dialer(group.tls, group.version).ok_or_else(|| {
            anyhow!("the devices of `{}` want TLS, and {} has no such listener", group.name, ground.name)
        })?;
        // One that is played here, so that it has not come yet.
        let own = Own::new(group, if shard.number() < group.count { shard.number() } else { 0 });
        let fill = |template: &Template| template.fill(&own.names(""));
        let (username, password) = (group.username.as_ref().map(fill), group.password.as_ref().map(fill));
        let alike = kinds.iter_mut().find(|kind| {
            (&kind.dialer.url, kind.version) == (&dialer.url, group.version)
                && (&kind.username, &kind.password) == (&username, &password)
        });
        match alike {
            Some(kind) => kind.groups.push(&group.name),
            None => kinds.push(Kind {
                dialer,
                version: group.version,
                username,
                password,
                groups: vec![&group.name],
                device: own.id().to_owned(),
            }),
        }
    }
    Ok(kinds)
}

impl Kind<'_> {
    /// Asks again, until that time, whoever may only just be starting.
    fn ask_patiently(&self, runtime: &Runtime, until: Instant) -> Result<(), Unwelcome> {
        loop {
            match self.ask(runtime) {
                Err(no) if no.may_pass() && Instant::now() < until => std::thread::sleep(AGAIN),
                answer => return answer,
            }
        }
    }

    /// Asks under a name that nobody has, so that nobody is disturbed; and where that may be what is wrong, under that of the
    /// device.
    fn ask(&self, runtime: &Runtime) -> Result<(), Unwelcome> {
        let ask = |client_id: &str| {
            let identity = Identity {
                client_id: client_id.into(),
                username: self.username.as_deref().map(Into::into),
                password: self.password.as_ref().map(|word| word.as_bytes().into()),
                will: None,
            };
            runtime.block_on(probe(self.dialer, self.version, identity))
        };
        // 3.1 allows 23 characters.
        match ask(&format!("probe-{:08x}", seed() as u32)) {
            Err(no) if no.may_be_the_name() => ask(&self.device).map_err(|_| no),
            answer => answer,
        }
    }
}

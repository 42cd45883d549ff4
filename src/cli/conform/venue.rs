//! Where cases are played: in virtual time, or against sockets of the reference broker, a process of ours or a stranger.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use harness::node::Node;
use harness::rng::Rng;
use harness::run;
use harness::sim::{SimWorld, Wire};
use harness::world::{Broken, Endpoint, World};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::rustls::ClientConfig;

use crate::net::live::{self, LiveWorld, Restart};
use crate::net::reach::Reach;
use crate::net::stream::Dialer;
use crate::net::url::Url;
use crate::packet::Version;
use crate::reference::{PLAIN, Setup};
use crate::suite::setting::{Login, Route};
use crate::suite::supports::Supports;
use crate::sut::Target;
use crate::sut::broker_file::BrokerFile;
use crate::sut::process::Process;
use crate::sut::served::Served;

/// How many cases share a live target by default: enough for those that wait to wait side by side, few enough not to be
/// taken for an attack.
const LIVE_JOBS: usize = 64;
/// How long a target may take to accept a connection before it counts as dead.
const ACCEPTS_WITHIN: Duration = Duration::from_secs(5);

/// A place where cases are played, and what is known of the target there.
pub(super) struct Venue {
    pub(super) name: String,
    pub(super) version: Option<String>,
    /// `None` in virtual time.
    pub(super) url: Option<String>,
    pub(super) protocols: Vec<Version>,
    /// What is declared.
    pub(super) supports: Supports,
    pub(super) route: Route,
    /// The credentials that its URL carries.
    pub(super) login: Option<Login>,
    /// How long it may take to answer at least, whatever was measured.
    pub(super) patience: Duration,
    pub(super) jobs: usize,
    /// How many of those play side by side that watch over a bystander.
    pub(super) watched: usize,
    pub(super) seed: u64,
    /// Tells this run's names from those of any other on the same target.
    pub(super) token: String,
    /// Each play has a target of its own.
    pub(super) private: bool,
    /// Another like it may stand beside it, and costs little.
    pub(super) twice: bool,
    /// Somebody else runs the target, and may use it at this moment.
    pub(super) foreign: bool,
    pub(super) target: Option<Arc<dyn run::Target>>,
    live: Option<Live>,
}

/// What live plays share. The runtime comes last: connections live in it to the end.
struct Live {
    target: live::Target,
    /// How to reach those versions over TCP that are served on a port of their own.
    own: BTreeMap<Version, Dialer>,
    _runtime: Runtime,
}

impl Venue {
    /// The reference broker, a fresh one for each play.
    pub(super) fn in_virtual_time(seed: u64) -> Self {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            name: Target::REFERENCE.to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            url: None,
            protocols: Version::ALL.to_vec(),
            supports: Setup::full().supports.clone(),
            route: Route::default(),
            login: None,
            patience: Duration::ZERO,
            jobs,
            watched: jobs,
            seed,
            token: "sim".to_owned(),
            private: true,
            twice: false,
            foreign: false,
            target: None,
            live: None,
        }
    }

    /// The reference broker on loopback sockets, one for all plays.
    pub(super) fn on_loopback(seed: u64) -> anyhow::Result<Self> {
        let served = Served::start(seed).context("cannot serve the reference broker on loopback")?;
        let listeners = served.listeners();
        let address = listeners.get(&Endpoint::Tcp).map(|dialer| dialer.url.clone());
        let port = address.as_ref().map_or(0, |url| url.port);
        let watched = Watched { addresses: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))] };
        Ok(Self {
            url: address.map(|url| url.to_string()),
            jobs: LIVE_JOBS,
            watched: LIVE_JOBS,
            token: fresh_token(),
            private: false,
            twice: true,
            target: Some(Arc::new(watched)),
            live: Some(Live::new(listeners, Some(Arc::new(served)))?),
            ..Self::in_virtual_time(seed)
        })
    }

    /// A broker that runs as long as this venue stands.
    pub(super) fn with_process(file: BrokerFile, seed: u64) -> anyhow::Result<Self> {
        let (name, supports) = (file.name.clone(), Supports { keeps: file.keeps, ..file.supports.clone() });
        let (protocols, login) = (file.versions(), file.login.clone());
        let jobs = file.jobs.map_or(LIVE_JOBS, |jobs| usize::from(jobs.get()));
        let (patience, twice) = (Duration::from_secs(file.answers_within), file.twice);
        let process = Arc::new(Process::start(file)?);
        let Reach { listeners, own } = process.reach()?;
        Ok(Self {
            name,
            version: process.version(),
            url: listeners.get(&Endpoint::Tcp).map(|dialer| dialer.url.to_string()),
            protocols,
            supports,
            login: login.map(|(username, password)| Login { username, password: password.into_bytes() }),
            patience,
            jobs,
            watched: LIVE_JOBS,
            token: fresh_token(),
            private: false,
            twice,
            target: Some(Arc::clone(&process) as Arc<dyn run::Target>),
            live: Some(Live { own, ..Live::new(listeners, Some(process))? }),
            ..Self::in_virtual_time(seed)
        })
    }

    /// A broker that somebody else runs at `url`.
    pub(super) fn at(url: Url, tls: Option<Arc<ClientConfig>>, seed: u64) -> anyhow::Result<Self> {
        let addresses = (url.host.as_str(), url.port).to_socket_addrs();
        let addresses = addresses.with_context(|| format!("cannot find the host of {url}; check its name"))?.collect();
        let login = url.username.clone().map(|username| {
            let password = url.password.clone().unwrap_or_default().into_bytes();
            Login { username, password }
        });
        let shown = url.to_string();
        let route = Route { endpoint: url.endpoint, authority: url.authority(), path: url.path.clone() };
        let listeners = BTreeMap::from([(url.endpoint, Dialer { url, tls, source: None })]);
        Ok(Self {
            name: shown.clone(),
            version: None,
            url: Some(shown),
            supports: Supports::default(),
            route,
            login,
            jobs: LIVE_JOBS,
            watched: LIVE_JOBS,
            token: fresh_token(),
            private: false,
            foreign: true,
            target: Some(Arc::new(Watched { addresses })),
            live: Some(Live::new(listeners, None)?),
            ..Self::in_virtual_time(seed)
        })
    }

    /// A fresh seat for the play of this name under this version, which with the seed determine all that is drawn there.
    pub(super) fn world(&self, play: &str, version: Version) -> Box<dyn World> {
        let seed = self.seed;
        let play = format!("{play} {version}");
        let rng = Rng::stream(seed, &format!("case {play}"));
        match &self.live {
            Some(live) => {
                let mut target = live.target.clone();
                target.listeners.extend(live.own.get(&version).map(|dialer| (Endpoint::Tcp, dialer.clone())));
                Box::new(LiveWorld::new(target, rng))
            }
            None => {
                let broker = format!("broker {play}");
                let fresh = move || -> Box<dyn Node> { Setup::full().node(Rng::stream(seed, &broker)) };
                let start = move |stopped: Option<_>| stopped.unwrap_or_else(&fresh);
                Box::new(SimWorld::new(rng, Wire::default(), PLAIN, Box::new(start)))
            }
        }
    }
}

impl Live {
    fn new(listeners: BTreeMap<Endpoint, Dialer>, restart: Option<Arc<dyn Restart>>) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.context("cannot start the runtime for connections")?;
        let target = live::Target { listeners, runtime: runtime.handle().clone(), restart };
        Ok(Self { target, own: BTreeMap::new(), _runtime: runtime })
    }
}

/// A target that can be watched but not restarted.
struct Watched {
    addresses: Vec<SocketAddr>,
}

impl run::Target for Watched {
    fn check(&self, doubtful: bool) -> Result<(), String> {
        let accepts = |address| TcpStream::connect_timeout(address, ACCEPTS_WITHIN).is_ok();
        if !doubtful || self.addresses.iter().any(accepts) {
            Ok(())
        } else {
            Err("the target died: it accepts no more connections".to_owned())
        }
    }

    fn revive(&self) -> Result<(), Broken> {
        Err(Broken("it is not ours to start again".to_owned()))
    }
}

/// A seed that nobody can foresee.
pub(super) fn fresh_seed() -> u64 {
    // The keys of std's hash tables come from the operating system.
    RandomState::new().build_hasher().finish()
}

/// Six letters and digits.
pub(super) fn fresh_token() -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rng = Rng::stream(fresh_seed(), "token");
    (0..6).map(|_| char::from(DIGITS[rng.below(36) as usize])).collect()
}

//! `testament serve`: runs the reference broker.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use harness::rng::Rng;
use harness::world::Endpoint;
use ron::extensions::Extensions;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;

use super::OK;
use super::text::read;
use crate::broker::behaviour::Behaviour;
use crate::broker::passwords::{self, Passwords};
use crate::broker::policy::Policy;
use crate::broker::{Broker, Settings};
use crate::net::host::{Host, Listener, runtime};
use crate::net::tls::{self, Identity};
use crate::net::url::Url;
use crate::net::{random, seed};
use crate::scram::Verifier;
use crate::ws::WebSocket;

/// How long connections may take to end once the broker has been told to stop.
const GRACE: Duration = Duration::from_secs(6);

/// Options of `testament serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Read the configuration from a RON file; other options override what it says
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here; may be repeated. Port 0 takes a free port [default: mqtt://127.0.0.1:1883]
    #[arg(long, value_name = "URL")]
    listen: Vec<Url>,
    /// PEM file with the certificate chain of mqtts:// and wss:// listeners
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// PEM file with the authorities that client certificates must come from; without it none is asked for
    #[arg(long, value_name = "FILE", requires = "cert")]
    client_ca: Option<PathBuf>,
    /// File with a line `user:hash` for each user
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Refuse clients without a user name
    #[arg(long)]
    no_anonymous: bool,
    /// RON file that says who may publish and subscribe to what
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Capabilities, choices and limits, as RON: '(maximum_qos: 1, limits: (queued: 100))'
    #[arg(long, value_name = "RON")]
    behaviour: Option<String>,
    /// Tell on standard error what connections do
    #[arg(long, short)]
    verbose: bool,
    /// Read a password from standard input, print its hash for a file of users, and end
    #[arg(long, value_name = "KIND", num_args = 0..=1, default_missing_value = "argon2id", exclusive = true)]
    hash_password: Option<Kind>,
}

/// A kind of hash.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Argon2id, for plain user names and passwords
    Argon2id,
    /// SCRAM-SHA-256, which also serves enhanced authentication
    Scram,
}

/// What a configuration file says. Paths in it are relative to its own folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Where to listen.
    listen: Vec<Url>,
    /// Needed by `mqtts` and `wss` listeners.
    tls: Option<Tls>,
    /// Hashes by user name.
    users: BTreeMap<String, String>,
    /// A file of `user:hash` lines, instead of or beside `users`.
    users_file: Option<PathBuf>,
    /// Whether a client without a user name may connect.
    anonymous: bool,
    /// Who may publish and subscribe to what.
    policy: Policy,
    /// Capabilities, choices and limits.
    behaviour: Behaviour,
}

impl Default for Config {
    fn default() -> Self {
        let Settings { behaviour, anonymous, policy, .. } = Settings::default();
        let (listen, users) = (vec![Url::loopback(Endpoint::Tcp)], BTreeMap::new());
        Self { listen, tls: None, users, users_file: None, anonymous, policy, behaviour }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    #[serde(default)]
    client_authorities: Option<PathBuf>,
}

/// Everything read and judged: what is left can only fail at the sockets.
struct Plan {
    listen: Vec<Url>,
    tls: Option<Arc<ServerConfig>>,
    settings: Settings,
}

impl Serve {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        if let Some(kind) = self.hash_password {
            return hash_password(kind);
        }
        // What rustls warns of is the client's doing, and tells nothing that the failed handshake does not.
        let level = if self.verbose { "info,rustls=error" } else { "warn,rustls=error" };
        tracing_subscriber::fmt().with_env_filter(level).with_writer(io::stderr).init();
        let plan = self.plan()?;
        runtime()?.block_on(serve(plan))
    }

    fn plan(self) -> anyhow::Result<Plan> {
        let mut config = match &self.config {
            Some(file) => read_config(file)?,
            None => Config::default(),
        };
        if !self.listen.is_empty() {
            config.listen = self.listen;
        }
        if let (Some(certificate), Some(key)) = (self.cert, self.key) {
            config.tls = Some(Tls { certificate, key, client_authorities: self.client_ca });
        }
        if let Some(file) = &self.policy {
            config.policy = read_ron(file)?;
        }
        if let Some(text) = &self.behaviour {
            config.behaviour = parse_ron(text).map_err(|why| anyhow!("--behaviour:{why}"))?;
        }
        let users_file = self.users.or(config.users_file);
        let mut passwords = users_file.as_deref().map(read_users).transpose()?.unwrap_or_default();
        for (username, hash) in &config.users {
            let added = passwords.insert(username, hash);
            added.with_context(|| format!("users: `{username}` in the configuration file"))?;
        }
        let tls = match config.tls {
            Some(Tls { certificate, key, client_authorities }) => {
                Some(tls::server(&Identity { certificate, key }, client_authorities.as_deref())?)
            }
            None => None,
        };
        if config.listen.is_empty() {
            bail!("there is nothing to listen on; name at least one URL");
        }
        if let Some(url) = config.listen.iter().find(|url| url.is_secure() && tls.is_none()) {
            bail!("{url} needs a certificate; give --cert and --key, or `tls` in the configuration file");
        }
        if let Some(url) = config.listen.iter().find(|url| url.username.is_some()) {
            bail!("{url} names a user, which a listener has no use for; users come from --users");
        }
        let anonymous = config.anonymous && !self.no_anonymous;
        if let Some(problem) = config.behaviour.problem() {
            anyhow::bail!("behaviour: {problem}");
        }
        let settings = Settings { behaviour: config.behaviour, passwords, anonymous, policy: config.policy };
        Ok(Plan { listen: config.listen, tls, settings })
    }
}

/// Serves until it is told to stop, then lets every client know.
async fn serve(plan: Plan) -> anyhow::Result<u8> {
    let mut stop = Stop::new()?;
    let mut listeners = Vec::new();
    for url in &plan.listen {
        let tls = plan.tls.clone().filter(|_| url.is_secure());
        let listener = Listener::bind(url, tls).await;
        listeners.push(listener.with_context(|| format!("cannot listen on {url}; choose another with --listen"))?);
    }
    let mut stdout = io::stdout();
    for listener in &listeners {
        writeln!(stdout, "listening on {}", listener.url())?;
    }
    let web = (0..).zip(&plan.listen).filter(|(_, url)| url.is_web_socket()).map(|(index, _)| index).collect();
    let broker = Broker::new(plan.settings, Rng::stream(seed(), "broker"));
    let mut host = Host::new(WebSocket::server(broker, web), listeners, None);
    loop {
        tokio::select! {
            biased;
            () = stop.asked() => break,
            () = host.turn() => {}
        }
    }
    host.close_listeners();
    let now = host.now();
    host.node_mut().inner_mut().shut_down(now);
    let drain = pin!(async {
        while !host.is_idle() {
            host.turn().await;
        }
    });
    tokio::select! {
        () = stop.asked() => {}
        drained = timeout(GRACE, drain) => {
            if drained.is_err() {
                tracing::warn!("some clients did not close their connection in time");
            }
        }
    }
    Ok(OK)
}

/// The signals that end the broker.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn read_config(file: &Path) -> anyhow::Result<Config> {
    let mut config: Config = read_ron(file)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let resolve = |path: &mut PathBuf| *path = folder.join(&path);
    config.users_file.iter_mut().for_each(resolve);
    if let Some(tls) = &mut config.tls {
        resolve(&mut tls.certificate);
        resolve(&mut tls.key);
        tls.client_authorities.iter_mut().for_each(resolve);
    }
    Ok(config)
}

fn read_users(file: &Path) -> anyhow::Result<Passwords> {
    let text = read("the users", file)?;
    Passwords::parse(&text).map_err(|problems| {
        let lines = problems.iter().map(|(line, problem)| format!("{}:{line}: {problem}", file.display()));
        anyhow!("{}", lines.collect::<Vec<_>>().join("\n"))
    })
}

fn read_ron<T: DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    let text = read("the configuration", file)?;
    parse_ron(&text).map_err(|why| anyhow!("{}:{why}; docs/serve.md shows the form", file.display()))
}

/// Reads RON; an error begins with its line and column.
fn parse_ron<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let options = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
    options.from_str(text).map_err(|error| format!("{}: {}", error.span.start, error.code))
}

fn hash_password(kind: Kind) -> anyhow::Result<u8> {
    let mut password = String::new();
    io::stdin().read_line(&mut password)?;
    let password = password.strip_suffix('\n').unwrap_or(&password);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        bail!("the password is empty; write it to standard input, in one line");
    }
    let salt = random();
    let hash = match kind {
        Kind::Argon2id => passwords::argon2id(password.as_bytes(), &salt),
        Kind::Scram => Verifier::new(password.as_bytes(), &salt).to_string(),
    };
    writeln!(io::stdout(), "{hash}")?;
    Ok(OK)
}

//! The reference broker as a system under test, set up in several ways, so that every case of the suite finds one on which it
//! plays; and a play against it in virtual time.
//!
//! It has no store of its own. Whoever stops and starts it as a system under test keeps the broker itself meanwhile and
//! only takes its connections away, so it keeps everything even over a kill.

use std::sync::LazyLock;
use std::time::Duration;

use harness::case::{Case, Played, Stop};
use harness::node::Node;
use harness::rng::Rng;
use harness::sim::{SimWorld, Wire};
use harness::world::Endpoint;

use crate::broker::behaviour::Behaviour;
use crate::broker::passwords::Passwords;
use crate::broker::policy::{Act, Effect, Policy, Rule};
use crate::broker::{Broker, Settings};
use crate::packet::Version;
use crate::scram::Verifier;
use crate::suite;
use crate::suite::probe::probe;
use crate::suite::setting::{Login, Route, Setting, Timing};
use crate::suite::supports::{Keeps, Supports};
use crate::suite::testbed::Testbed;
use crate::ws::WebSocket;

/// Its listeners, each with the number by which the node knows it; those inside TLS come last. A simulated world that
/// offers these, too, passes their bytes on as they are.
pub const LISTENERS: [(Endpoint, u16); 4] =
    [(Endpoint::Tcp, 0), (Endpoint::Ws, 1), (Endpoint::Tls, 2), (Endpoint::Wss, 3)];
/// Those without TLS.
pub const PLAIN: &[(Endpoint, u16)] = LISTENERS.split_at(2).0;

/// A topic that nobody may publish to, and a filter that nobody may subscribe to.
const FORBIDDEN: (&str, &str) = ("testament/forbidden", "testament/unheard");
/// User name and password of its only user.
const USER: (&str, &str) = ("testament", "only for tests");

/// One way to set the reference broker up, and what a run is told about it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What it is like, in words that complete "a broker ...".
    pub name: &'static str,
    /// The broker's own settings.
    pub settings: Settings,
    /// What it can do of all that no CONNACK announces.
    pub supports: Supports,
    /// The credentials of the run, where it asks for any.
    pub login: Option<Login>,
}

impl Setup {
    /// Those on which every case plays: under a version that lets it show anything, none is skipped on all of them.
    pub fn all() -> &'static [Self; 3] {
        static SETUPS: LazyLock<[Setup; 3]> = LazyLock::new(|| [Setup::generous(), Setup::lesser(), Setup::guarded()]);
        &SETUPS
    }

    /// The first of [`Setup::all`], which `testament conform reference` judges: it offers everything.
    pub fn full() -> &'static Self {
        &Self::all()[0]
    }

    /// A broker that behaves like this, to anonymous clients.
    pub fn of(name: &'static str, behaviour: Behaviour) -> Self {
        // What it announces is not declared, so that it is asked as a stranger is.
        let supports = Supports {
            dollar_topics: behaviour.dollar_topics,
            assigned_identifiers: behaviour.assigns_client_ids,
            client_identifier_bytes: behaviour.client_id_maximum.into(),
            connect_timeout: Some(behaviour.limits.connect_timeout),
            ..Supports::default()
        };
        Self { name, settings: Settings { behaviour, ..Settings::default() }, supports, login: None }
    }

    /// Every capability gate opens, and limits are low enough for a case to reach them.
    fn generous() -> Self {
        let behaviour = Behaviour { receive_maximum: 20, maximum_packet_size: 3 << 20, ..Behaviour::default() };
        let mut setup = Self::of("that offers everything", behaviour);
        (setup.settings.anonymous, setup.settings.passwords) = (true, passwords());
        setup.supports.scram = Some((USER.0.to_owned(), USER.1.to_owned()));
        // Whoever subscribes to all topics together hears also what is sent to this one.
        let deny = |act, name: &str, exactly| Rule {
            effect: Effect::Deny,
            act: Some(act),
            user: None,
            client: None,
            filter: name.to_owned(),
            exactly,
        };
        let rules = vec![deny(Act::Publish, FORBIDDEN.0, false), deny(Act::Subscribe, FORBIDDEN.1, true)];
        setup.settings.policy = Policy { rules, otherwise: Effect::Allow };
        setup.supports.keeps = Keeps::Kill;
        setup.supports.forbidden_topic = Some(FORBIDDEN.0.to_owned());
        setup.supports.forbidden_filter = Some(FORBIDDEN.1.to_owned());
        setup
    }

    /// For the cases that are about what a server lacks.
    fn lesser() -> Self {
        let behaviour = Behaviour {
            maximum_qos: 0,
            retain: false,
            wildcard_subscriptions: false,
            shared_subscriptions: false,
            subscription_identifiers: false,
            client_id_maximum: 23,
            server_keep_alive: Some(5),
            ..Behaviour::default()
        };
        Self::of("that can do less, and says so", behaviour)
    }

    /// For the cases that are about clients without a name.
    fn guarded() -> Self {
        let mut setup = Self::of("that asks for a login", Behaviour::default());
        (setup.supports.anonymous, setup.settings.passwords) = (false, passwords());
        setup.login = Some(Login { username: USER.0.to_owned(), password: USER.1.into() });
        setup
    }

    /// A fresh broker; all that it draws comes from `rng`.
    pub fn broker(&self, rng: Rng) -> Broker {
        Broker::new(self.settings.clone(), rng)
    }

    /// The same behind [`LISTENERS`].
    pub fn node(&self, rng: Rng) -> Box<dyn Node + Send> {
        Box::new(listening(self.broker(rng)))
    }

    /// What is started in a world of its own: the node that was stopped, if there is one, else a fresh one.
    pub fn start(&self, stopped: Option<Box<dyn Node>>) -> Box<dyn Node> {
        match stopped {
            Some(node) => node,
            None => self.node(Rng::stream(1, "broker")),
        }
    }

    /// What it can do by its own word, as whoever judges a stranger asks first, whatever the version: see
    /// [`Supports::announced`]. What is broken on purpose later has no part in it.
    fn announced(&self) -> Supports {
        let own = self.clone();
        let world = world("probe", move |stopped| own.start(stopped));
        let probed = probe(self.setting(Version::V5, self.supports.clone()), Box::new(world));
        probed.map_or_else(|_| self.supports.clone(), |probed| probed.supports)
    }

    /// Plays a case under a version in virtual time against what `start` makes of this; it must have [`LISTENERS`].
    /// The same each time.
    pub fn play(
        &self,
        case: &Case<Testbed>,
        version: Version,
        start: impl Fn(&Self, Option<Box<dyn Node>>) -> Box<dyn Node> + 'static,
    ) -> Played {
        let own = self.clone();
        let world = world(case.id, move |stopped| start(&own, stopped));
        suite::play(case, self.setting(version, self.announced()), Box::new(world))
    }

    fn setting(&self, version: Version, supports: Supports) -> Setting {
        Setting {
            version,
            route: Route::default(),
            token: "sim".into(),
            number: 1,
            timing: Timing::for_round_trip(Duration::from_millis(1)),
            supports,
            login: self.login.clone(),
            disposable: true,
        }
    }
}

/// The numbers of those listeners whose connections are WebSockets.
pub fn websockets() -> Vec<u16> {
    LISTENERS
        .iter()
        .filter(|(endpoint, _)| matches!(endpoint, Endpoint::Ws | Endpoint::Wss))
        .map(|(_, index)| *index)
        .collect()
}

/// A world in virtual time; what is random in it follows from the name.
fn world(name: &str, start: impl Fn(Option<Box<dyn Node>>) -> Box<dyn Node> + 'static) -> SimWorld<'static> {
    SimWorld::new(Rng::stream(1, name), Wire::default(), &LISTENERS, Box::new(start))
}

/// Makes a broker listen as [`LISTENERS`] says.
pub fn listening<N: Node>(broker: N) -> WebSocket<N> {
    WebSocket::server(broker, websockets())
}

/// Plays a case as [`Setup::play`] does on each setup in turn, until it is not skipped.
pub fn play(
    case: &Case<Testbed>,
    version: Version,
    start: impl Fn(&Setup, Option<Box<dyn Node>>) -> Box<dyn Node> + Clone + 'static,
) -> (&'static Setup, Played) {
    let [first, others @ ..] = Setup::all();
    let on = |setup: &'static Setup| (setup, setup.play(case, version, start.clone()));
    others.iter().fold(on(first), |played, next| match played.1.outcome {
        Err(Stop::Skip(_)) => on(next),
        _ => played,
    })
}

fn passwords() -> Passwords {
    let mut passwords = Passwords::default();
    let verifier = Verifier::new(USER.1.as_bytes(), b"testament's salt").to_string();
    passwords.insert(USER.0, &verifier).expect("a fresh verifier is well-formed, and its user the first");
    passwords
}

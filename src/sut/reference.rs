//! The reference broker as a system under test: set up so that every capability gate of the suite opens.
//!
//! It has no store of its own. Whoever stops and starts it as a system under test keeps the broker itself meanwhile and
//! only takes its connections away, so it keeps everything even over a kill.

use std::sync::LazyLock;

use harness::node::Node;
use harness::rng::Rng;
use harness::world::Endpoint;

use crate::broker::behaviour::Behaviour;
use crate::broker::passwords::Passwords;
use crate::broker::policy::{Act, Effect, Policy, Rule};
use crate::broker::{Broker, Settings};
use crate::scram::Verifier;
use crate::suite::supports::{Keeps, Supports};
use crate::ws::WebSocket;

/// Its listeners, each with the number by which the node knows it.
pub const LISTENERS: [(Endpoint, u16); 2] = [(Endpoint::Tcp, 0), (Endpoint::Ws, 1)];

/// A topic that nobody may publish to.
const FORBIDDEN: &str = "testament/forbidden";
/// User name and password of its only user; clients may also come without a name.
const USER: (&str, &str) = ("testament", "only for tests");

/// A fresh broker; all that it draws comes from `rng`.
pub fn node(rng: Rng) -> impl Node + Send + 'static {
    static SETTINGS: LazyLock<Settings> = LazyLock::new(settings);
    let sockets = LISTENERS.iter().filter(|(endpoint, _)| *endpoint == Endpoint::Ws).map(|(_, index)| *index);
    WebSocket::server(Broker::new(SETTINGS.clone(), rng), sockets.collect())
}

/// What it can do beyond what its CONNACK announces.
pub fn supports() -> Supports {
    let behaviour = Behaviour::default();
    Supports {
        dollar_topics: behaviour.dollar_topics,
        client_identifier_bytes: behaviour.client_id_maximum.into(),
        forbidden_topic: Some(FORBIDDEN.to_owned()),
        scram: Some((USER.0.to_owned(), USER.1.to_owned())),
        keeps: Keeps::Kill,
        ..Supports::default()
    }
}

fn settings() -> Settings {
    // Limits low enough for a case to reach them.
    let behaviour = Behaviour { receive_maximum: 20, maximum_packet_size: 1 << 20, ..Behaviour::default() };
    let mut passwords = Passwords::default();
    let verifier = Verifier::new(USER.1.as_bytes(), b"testament's salt").to_string();
    passwords.insert(USER.0, &verifier).expect("a fresh verifier is well-formed, and its user the first");
    let rule = Rule {
        effect: Effect::Deny,
        act: Some(Act::Publish),
        user: None,
        client: None,
        filter: FORBIDDEN.to_owned(),
        exactly: false,
    };
    let policy = Policy { rules: vec![rule], otherwise: Effect::Allow };
    Settings { behaviour, passwords, anonymous: true, policy }
}

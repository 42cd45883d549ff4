//! The sans-IO reference broker, for MQTT 3.1, 3.1.1 and 5.0 alike.
//!
//! Reading order: [`behaviour`], what can be turned; `connection`, from bytes to packets and to the close; `connect` and
//! `authenticate`, with [`auth`] and [`passwords`], up to CONNACK; `publish` and `subscribe`, what a client can do, under a [`policy`];
//! `route`, from a message to sessions by way of `subscriptions` and `retained`; `delivery`, from a session to its
//! connection; `will`, how connections and sessions end; `session`, `message`, `output`, `timers` and `sys`, what these
//! stand on.
//!
//! Absent: sockets, clocks and storage. The handshakes of QoS 1 and 2, quotas and aliases are [`crate::flow`], which
//! the client shares.

pub mod auth;
mod authenticate;
pub mod behaviour;
mod connect;
mod connection;
mod delivery;
mod message;
mod output;
pub mod passwords;
pub mod policy;
mod publish;
mod retained;
mod route;
mod session;
mod subscribe;
mod subscriptions;
mod sys;
mod timers;
mod will;

use std::collections::BTreeMap;

use harness::node::{ConnId, Input, Node, Output, Ticket};
use harness::rng::Rng;
use harness::time::Instant;

use crate::packet::ReasonCode;
use behaviour::Behaviour;
use connection::Connections;
use delivery::Writer;
use output::Outbox;
use passwords::Passwords;
use policy::Policy;
use retained::Retained;
use route::Scratch;
use session::Sessions;
use subscriptions::Subscriptions;
use sys::Counters;
use timers::{Owner, Timers};

/// How a broker is set up. The default lets everybody do everything.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it offers and how much it takes.
    pub behaviour: Behaviour,
    /// Who may connect. Without any user, everybody may.
    pub passwords: Passwords,
    /// Whether a client without a user name may connect where there are users.
    pub anonymous: bool,
    /// Who may publish and subscribe to what.
    pub policy: Policy,
}

impl Default for Settings {
    fn default() -> Self {
        let (behaviour, passwords, policy) = Default::default();
        Self { behaviour, passwords, anonymous: false, policy }
    }
}

/// A broker: bytes in, bytes out. One per listening process; it serves any number of listeners alike.
pub struct Broker {
    settings: Settings,
    rng: Rng,
    now: Instant,
    /// The moment of the first input.
    started: Instant,
    connections: Connections,
    sessions: Sessions,
    subscriptions: Subscriptions,
    retained: Retained,
    timers: Timers,
    report_alarm: Option<Instant>,
    outbox: Outbox,
    writer: Writer,
    scratch: Scratch,
    counters: Counters,
    /// Who waits for an answer.
    asked: BTreeMap<Ticket, ConnId>,
    next_ticket: u64,
}

impl Broker {
    /// A broker without sessions and messages. Client identifiers, nonces and the keys of hash tables are drawn from
    /// `rng`; nothing else is random.
    pub fn new(settings: Settings, mut rng: Rng) -> Self {
        let retained = Retained::new(settings.behaviour.limits.retained, rng.u64());
        let seed = rng.u64();
        Self {
            settings,
            rng,
            now: Instant::ZERO,
            started: Instant::ZERO,
            connections: Connections::default(),
            sessions: Sessions::new(seed),
            subscriptions: Subscriptions::new(seed),
            retained,
            timers: Timers::default(),
            report_alarm: None,
            outbox: Outbox::default(),
            writer: Writer::default(),
            scratch: Scratch::default(),
            counters: Counters::default(),
            asked: BTreeMap::new(),
            next_ticket: 0,
        }
    }

    /// The same, with memory set aside for so many clients: where it is known how many will come, no table has to grow, which
    /// while it is copied takes half as much again. More may come.
    #[must_use]
    pub fn with_room_for(mut self, clients: u32) -> Self {
        self.connections.make_room(clients as usize);
        self.sessions.make_room(clients as usize);
        self
    }

    /// Ends every connection because the server goes down: clients of 5.0 are told (0x8B), wills are due as after any
    /// end that the client did not ask for.
    pub fn shut_down(&mut self, now: Instant) {
        self.now = self.now.max(now);
        for conn in self.connections.ids() {
            self.say_goodbye(conn, ReasonCode::ServerShuttingDown, "the server is shutting down");
            self.hang_up(conn);
        }
    }
}

impl Node for Broker {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        match input {
            Input::Opened { conn, peer, room, .. } => self.handle_opened(conn, peer, room),
            Input::Bytes { conn, bytes } => self.handle_bytes(conn, bytes),
            Input::Writable { conn, room } => self.handle_writable(conn, room),
            Input::Closed { conn, .. } => self.handle_closed(conn),
            Input::Answer { ticket, bytes } => self.handle_answer(ticket, bytes),
            Input::Wake => self.handle_wake(),
            // A broker opens no connections, so none can be refused.
            Input::Refused { .. } => {}
        }
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        self.outbox.poll()
    }

    fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn fetch(&self, conn: ConnId) {
        self.connections.fetch(conn);
    }
}

impl Broker {
    fn handle_wake(&mut self) {
        while let Some(owner) = self.timers.pop(self.now) {
            match owner {
                Owner::Connection(conn) => self.handle_silence(conn),
                Owner::Session(id) => {
                    if let Some(session) = self.sessions.get_mut(id) {
                        session.alarm = None;
                    }
                    self.handle_session_due(id);
                }
                Owner::Report => self.handle_report_due(),
            }
        }
    }
}

//! What a case is given: a world, names of its own, time-outs that fit the target, and the verbs to use them.
//!
//! Two kinds of verbs. *Steps* (`join`, `subscribe`, `publish`, `ping`) bring about what the case is about; a step that
//! does not work shows nothing about the clause and makes the case Inconclusive. *Judgements* (`expect`, `hears`,
//! `refused`, `closes`) are about the clause and make it Fail.

mod ledger;
mod wire;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use harness::case::{Deviation, Outcome, Played, Stop};
use harness::node::ConnId;
use harness::time::Instant;
use harness::trace::{Passed, Trace};
use harness::world::{Endpoint, Sut, Undone, World};

use super::expect::welcome;
use super::peer::Peer;
use super::script::{ConnectScript, PublishScript, Script, publish};
use super::setting::{Login, Route, Setting, Timing};
use super::supports::{Capability, SESSION_SECONDS, Supports};
use super::websocket_stream;
use super::words::words;
use crate::packet::{Packet, Property, Version};

use ledger::{Fault, Ledger};
pub use wire::Came;
pub(super) use wire::{Conn, Due};

struct State {
    world: Box<dyn World>,
    conns: Vec<Conn>,
    ledger: Ledger,
    trace: Trace,
    remarks: Vec<Deviation>,
    sessions: BTreeSet<String>,
    retained: BTreeSet<String>,
}

/// A case's seat.
pub struct Testbed {
    setting: Setting,
    state: RefCell<State>,
    /// The version spoken.
    speaking: Cell<Version>,
    next_id: Cell<u16>,
    /// Whether what passes is kept as evidence.
    recording: Cell<bool>,
    /// Whether a witness is being asked, for whom nobody asks another.
    asking: Cell<bool>,
    /// By how much the tester itself was late at most.
    overslept: Cell<Duration>,
    /// Whether answers are not waited for long.
    brief: Cell<bool>,
}

/// A deviation from all that the case claims.
pub fn deviates(expected: impl Into<String>, came: impl Into<String>) -> Stop {
    Stop::Deviation(Deviation { clause: None, expected: expected.into(), came: came.into() })
}

/// What becomes of a case for which the world did not do something.
fn undone(why: Undone) -> Stop {
    match why {
        Undone::Unsupported(missing) => Stop::Skip(missing.to_string()),
        Undone::Broken(why) => Stop::Broken(why.to_string()),
    }
}

/// Turns a failed judgement into a failed step. What names a clause of its own, such as a packet that is illegal as it
/// stands, is a deviation wherever it shows.
pub(super) fn as_step<T>(step: &str, result: Result<T, Stop>) -> Result<T, Stop> {
    result.map_err(|stop| match stop {
        Stop::Deviation(Deviation { clause: None, expected, came }) => {
            Stop::Inconclusive(format!("{step} did not work: expected {expected}; came {came}"))
        }
        other => other,
    })
}

/// A deviation is about this requirement, unless it names another.
pub(super) fn about<T>(clause: Option<&'static str>, result: Result<T, Stop>) -> Result<T, Stop> {
    result.map_err(|stop| match stop {
        Stop::Deviation(deviation) => Stop::Deviation(Deviation { clause: deviation.clause.or(clause), ..deviation }),
        other => other,
    })
}

impl Testbed {
    /// A seat in this world.
    pub fn new(setting: Setting, world: Box<dyn World>) -> Self {
        let state = State {
            world,
            conns: Vec::new(),
            ledger: Ledger::default(),
            trace: Trace::default(),
            remarks: Vec::new(),
            sessions: BTreeSet::new(),
            retained: BTreeSet::new(),
        };
        // High identifiers, so that those a case writes by hand stay free.
        let (next_id, recording, asking) = (Cell::new(30_000), Cell::new(true), Cell::new(false));
        let speaking = Cell::new(setting.version);
        let (overslept, brief) = (Cell::default(), Cell::default());
        Self { setting, state: RefCell::new(state), speaking, next_id, recording, asking, overslept, brief }
    }

    // What is given.

    /// The version spoken.
    pub fn version(&self) -> Version {
        self.speaking.get()
    }

    /// Whether the version spoken is 5.0.
    pub fn v5(&self) -> bool {
        self.version() == Version::V5
    }

    /// What the target can do.
    pub fn supports(&self) -> &Supports {
        &self.setting.supports
    }

    /// How long to wait for what.
    pub fn timing(&self) -> Timing {
        let timing = self.setting.timing;
        if self.brief.get() { Timing { answer: timing.grace, ..timing } } else { timing }
    }

    /// Waits no longer, from here on, for an answer than for what is shown to be overdue: for what is only advice.
    pub fn be_brief(&self) {
        self.brief.set(true);
    }

    /// How to reach the target.
    pub fn route(&self) -> &Route {
        &self.setting.route
    }

    /// The credentials of the run.
    pub fn login(&self) -> Option<&Login> {
        self.setting.login.as_ref()
    }

    /// The present moment.
    pub fn now(&self) -> Instant {
        self.state.borrow().world.now()
    }

    /// The first of these requirements that binds the version spoken, for a deviation that is about one of several.
    pub fn clause(&self, ids: &[&'static str]) -> Option<&'static str> {
        let specs: &[&str] = match self.version() {
            Version::V31 => &["mqtt31:", "mqtt311:"],
            Version::V311 => &["mqtt311:"],
            Version::V5 => &["mqtt5:"],
        };
        specs.iter().find_map(|spec| ids.iter().copied().find(|id| id.starts_with(spec)))
    }

    // Names of its own.

    /// The case's own topic name for this relative one.
    pub fn topic(&self, relative: &str) -> String {
        format!("{}{relative}", self.prefix())
    }

    /// The case's own topic filter for this relative one; a shared one keeps its form and gets a group of its own.
    pub fn filter(&self, relative: &str) -> String {
        match relative.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
            Some((group, filter)) if !group.is_empty() => {
                format!("$share/{group}-{}-{}/{}", self.setting.token, self.setting.number, self.topic(filter))
            }
            _ => self.topic(relative),
        }
    }

    fn prefix(&self) -> String {
        format!("t/{}/{}/", self.setting.token, self.setting.number)
    }

    /// The case's own client identifier for this role: at most 23 letters and digits, which every server must accept.
    pub fn client_id(&self, role: &str) -> String {
        let role = role.chars().filter(char::is_ascii_alphanumeric).take(10);
        format!("t{}n{}", self.setting.token, self.setting.number).chars().chain(role).take(23).collect()
    }

    /// A packet identifier that no other call of this has given.
    pub fn fresh_id(&self) -> u16 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    // Gates.

    /// Goes on only if the target can do this.
    ///
    /// # Errors
    /// [`Stop::Skip`], naming the capability.
    pub fn needs(&self, capability: Capability) -> Result<(), Stop> {
        if self.supports().has(capability) { Ok(()) } else { Err(Stop::Skip(format!("needs {}", capability.words()))) }
    }

    // Steps.

    /// A CONNECT for this role: clean, keep alive 60 s, no will.
    pub fn connect(&self, role: &str) -> ConnectScript {
        ConnectScript::new(self.client_id(role))
    }

    /// A CONNECT for this role that makes or resumes a session of five minutes (of any length before 5.0). It never starts
    /// clean: that such a session lasts, too, is one case's affair.
    pub fn connect_persistent(&self, role: &str) -> ConnectScript {
        self.connect(role).clean(false).with(Property::SessionExpiryInterval(SESSION_SECONDS))
    }

    /// Opens a connection and sends nothing.
    ///
    /// # Errors
    /// [`Stop::Skip`] where there is no such listener, [`Stop::Broken`] where it does not answer.
    pub fn dial_at(&self, role: &str, endpoint: Endpoint) -> Result<Peer<'_>, Stop> {
        // As of before it stands: whatever comes on it, comes later.
        let began = self.now();
        let id = {
            let mut state = self.state.borrow_mut();
            let id = state.world.open(endpoint).map_err(undone)?;
            state.conns.push(Conn::new(id, self.version()));
            id
        };
        self.record_at(began, id, Passed::Opened(format!("{role}, {}", endpoint.scheme())));
        Ok(Peer::new(self, id, role))
    }

    /// Opens a connection on the route of this play and sends no MQTT.
    ///
    /// # Errors
    /// As [`Testbed::dial_at`]; [`Stop::Inconclusive`] if an upgrade to WebSocket is refused.
    pub fn dial(&self, role: &str) -> Result<Peer<'_>, Stop> {
        match self.route().endpoint {
            endpoint @ (Endpoint::Tcp | Endpoint::Tls) => self.dial_at(role, endpoint),
            Endpoint::Ws | Endpoint::Wss => as_step("opening a WebSocket", websocket_stream::dial(self, role)),
        }
    }

    /// Opens a connection and sends this.
    ///
    /// # Errors
    /// As [`Testbed::dial`] and [`Peer::send`].
    pub fn dial_with(&self, role: &str, script: impl Script) -> Result<Peer<'_>, Stop> {
        let peer = self.dial(role)?;
        peer.send(script)?;
        Ok(peer)
    }

    /// Connects with this CONNECT and waits for acceptance, again where the server is busy: a step.
    ///
    /// # Errors
    /// [`Stop::Inconclusive`] if it is not accepted.
    pub fn join_with(&self, role: &str, connect: &ConnectScript) -> Result<Peer<'_>, Stop> {
        Ok(as_step(&format!("connecting {role}"), self.welcomed(role, connect, None))?.0)
    }

    /// Opens a connection and sends CONNECT, both in `attempt`, again where the answer is that the server is busy, as it may be
    /// with too many at once, or when it has just been started. The answer is still to be read. Where it is busy for as long as
    /// an answer may take, a bystander who asks for nothing tells whether it is, or does not want what this CONNECT asks for.
    ///
    /// # Errors
    /// [`Stop::Inconclusive`] where it is busy for the bystander, too; [`Stop::Deviation`] if nothing comes; what `attempt` says.
    pub fn knock<'t>(&'t self, attempt: impl Fn() -> Result<Peer<'t>, Stop>) -> Result<Peer<'t>, Stop> {
        let deadline = self.now() + self.timing().answer;
        loop {
            let peer = attempt()?;
            if !peer.is_put_off()? {
                return Ok(peer);
            }
            if self.now() >= deadline {
                let bystander = self.dial_with("bystander", self.connect("bystander"))?;
                if bystander.is_put_off()? {
                    return Err(Stop::Inconclusive("the target says that it is busy, whoever asks".into()));
                }
                return Ok(peer);
            }
            self.sleep(self.timing().grace);
        }
    }

    /// Connects with this CONNECT, which must be accepted. Judges whether a session is said to be present, where it is told what
    /// to expect.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if it is not accepted, or otherwise; as [`Testbed::knock`].
    pub fn welcomed(
        &self,
        role: &str,
        connect: &ConnectScript,
        session_present: Option<bool>,
    ) -> Result<(Peer<'_>, Came), Stop> {
        let peer = self.knock(|| self.dial_with(role, connect))?;
        let came = peer.expect(welcome(session_present))?;
        Ok((peer, came))
    }

    /// Connects with a clean session: a step.
    ///
    /// # Errors
    /// As [`Testbed::join_with`].
    pub fn join(&self, role: &str) -> Result<Peer<'_>, Stop> {
        self.join_with(role, &self.connect(role))
    }

    /// Connects with a session that outlives the connection, new where the case had none for this role: a step.
    ///
    /// # Errors
    /// As [`Testbed::join_with`]; [`Stop::Skip`] where there are no such sessions.
    pub fn join_persistent(&self, role: &str) -> Result<Peer<'_>, Stop> {
        self.needs(Capability::Sessions)?;
        self.join_with(role, &self.connect_persistent(role))
    }

    /// Connects again and resumes the session of this role: a step. A server of 3.1.1 that does not call the session present
    /// may have it all the same, and its client may go on with it (3.2.2.2); in 5.0 the client must drop its own side then.
    ///
    /// # Errors
    /// [`Stop::Inconclusive`] if it is not accepted; [`Stop::Skip`] if in 5.0 the session is not there.
    pub fn resume(&self, role: &str) -> Result<Peer<'_>, Stop> {
        let came = self.welcomed(role, &self.connect_persistent(role), None);
        let (peer, came) = as_step(&format!("resuming the session of {role}"), came)?;
        match came.packet.packet() {
            Packet::ConnAck(connack) if self.v5() && !connack.session_present => {
                Err(Stop::Skip(format!("needs {}", Capability::Sessions.words())))
            }
            _ => Ok(peer),
        }
    }

    /// Takes the target down in this manner, [`Sut::Stop`] or [`Sut::Kill`], and starts it again: a step. No connection
    /// outlives it.
    ///
    /// # Errors
    /// [`Stop::Skip`] where it is not ours to restart, [`Stop::Broken`] if it does not come back.
    pub fn restart(&self, how: Sut) -> Result<(), Stop> {
        let open: Vec<_> =
            self.state.borrow().conns.iter().filter(|conn| conn.closed.is_none()).map(|conn| conn.id).collect();
        for conn in open {
            let words = if how == Sut::Kill { "the target is killed" } else { "the target is stopped" };
            self.record(conn, Passed::Remark(words.into()));
        }
        for what in [how, Sut::Start] {
            self.state.borrow_mut().world.sut(what).map_err(undone)?;
        }
        Ok(())
    }

    /// Lets this much time pass: the last resort.
    pub fn sleep(&self, span: Duration) {
        let deadline = self.now() + span;
        while self.pump(deadline) {}
    }

    /// Lets this much time pass while these connections are kept alive, as a server that imposes a short keep alive asks:
    /// a step.
    ///
    /// # Errors
    /// [`Stop::Inconclusive`] if a PINGREQ is not answered.
    pub fn sleep_alive(&self, span: Duration, peers: &[&Peer<'_>]) -> Result<(), Stop> {
        let until = self.now() + span;
        while self.now() < until {
            self.sleep(until.since(self.now()).min(Duration::from_secs(1)));
            for peer in peers {
                peer.ping()?;
            }
        }
        Ok(())
    }

    /// Does this without keeping as evidence what passes: a trace of a hundred thousand packets is none. A remark stands
    /// for them.
    ///
    /// # Errors
    /// Those of `play`.
    pub fn in_bulk<T>(&self, peer: &Peer<'_>, words: &str, play: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
        peer.note(words);
        self.recording.set(false);
        let result = play();
        self.recording.set(true);
        result
    }

    /// Does this in another version; what comes on a connection is read in the version in which it was opened.
    ///
    /// # Errors
    /// Those of `play`.
    pub fn speaking<T>(&self, version: Version, play: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
        let own = self.speaking.replace(version);
        let result = play();
        self.speaking.set(own);
        result
    }

    // Findings.

    /// Notes that something recommended was not done, and goes on.
    pub fn remark(&self, clause: Option<&'static str>, expected: impl Into<String>, came: impl Into<String>) {
        let deviation = Deviation { clause, expected: expected.into(), came: came.into() };
        self.state.borrow_mut().remarks.push(deviation);
    }

    /// Notes a deviation as advice, and goes on.
    ///
    /// # Errors
    /// What is no deviation.
    pub fn advised(&self, found: Outcome) -> Outcome {
        match found {
            Err(Stop::Deviation(Deviation { expected, came, .. })) => {
                self.remark(None, expected, came);
                Ok(())
            }
            other => other,
        }
    }

    /// A refusal that 3.1 only recommends at most: it states no duty to refuse what breaks its rules (mqtt31:diff-028).
    ///
    /// # Errors
    /// As `found`, but no deviation under 3.1.
    pub fn due_since_311(&self, found: Outcome) -> Outcome {
        if self.version() == Version::V31 { self.advised(found) } else { found }
    }

    /// Notes what is wrong with a message that came, whatever the case is about: that it is not for this client, or at another
    /// level than it should be. Once for each requirement.
    pub(super) fn measure(&self, id: ConnId, came: &Came) {
        let fault = {
            let state = self.state.borrow();
            let client = state.conns.iter().rfind(|conn| conn.id == id).and_then(|conn| conn.client.as_deref());
            match (client, came.packet.packet()) {
                (Some(client), Packet::Publish(publish)) => state.ledger.fault(client, &came.topic, &publish),
                _ => None,
            }
        };
        let Some(Fault { clauses, expected }) = fault else { return };
        let clause = self.clause(clauses);
        if !self.state.borrow().remarks.iter().any(|remark| remark.clause == clause) {
            self.remark(clause, expected, words(&came.packet.packet(), self.version()));
        }
    }

    /// Judges a condition of the case's own.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if it does not hold.
    pub fn judge(&self, holds: bool, expected: impl Into<String>, came: impl FnOnce() -> String) -> Outcome {
        if holds { Ok(()) } else { Err(deviates(expected, came())) }
    }

    /// Ends the play: throws away what it left on the target, and hands over what it found.
    pub fn finish(self, outcome: Outcome) -> Played {
        let (trace, remarks, died) = {
            let mut state = self.state.borrow_mut();
            let died = state.world.death().map(str::to_owned);
            (std::mem::take(&mut state.trace), std::mem::take(&mut state.remarks), died)
        };
        if !self.setting.disposable {
            self.clean_up();
        }
        Played { outcome, remarks, died, trace: trace.by_time() }
    }

    /// Best effort: a target that does not answer now has been judged already.
    fn clean_up(&self) {
        let (sessions, retained) = {
            let mut state = self.state.borrow_mut();
            (std::mem::take(&mut state.sessions), std::mem::take(&mut state.retained))
        };
        for id in sessions {
            let ended =
                self.join_with("cleaner", &self.connect("cleaner").client_id(&id)).and_then(|peer| peer.leave());
            if ended.is_err() {
                return;
            }
        }
        if let (false, Ok(cleaner)) = (retained.is_empty(), self.join("cleaner")) {
            for topic in retained {
                let clear: PublishScript = publish(&topic, "").exact().retained();
                if cleaner.send(clear).is_err() {
                    return;
                }
            }
            let _ = cleaner.ping();
            let _ = cleaner.leave();
        }
    }
}

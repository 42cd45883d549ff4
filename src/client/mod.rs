//! The sans-IO reference client.
//!
//! A [`Client`] is a [`Node`]: it takes what happened and gives back bytes and a deadline. Next to that contract stand
//! commands ([`Client::publish`], [`Client::subscribe`], ..) and events ([`Client::poll_event`]). It wants to be woken
//! once at the beginning, and then opens its connection.
//!
//! It keeps every limit that the server announces, resumes its session after a loss, and never sends a message twice on
//! one connection. Absent: time, sockets, threads; subscriptions made again after a session was lost (the application
//! sees that in CONNACK); any memory of QoS 0 messages once they are written.

mod auth;
mod backoff;
mod command;
mod event;
mod granted;
mod live;
mod message;
mod misuse;
mod options;
mod receive;
mod wire;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use harness::node::{Close, ConnId, Input, Node, Output, Ticket, Via};
use harness::time::Instant;

use crate::flow::{Outbound, Repeat};
use crate::packet::{
    Ack, Connect, Disconnect, Packet, PacketId, PacketType, Properties, Publish, QoS, ReasonCode, Side, Version,
    Will as WillView,
};
use crate::rare::{Empty, Few, Rare};
use crate::session;
use crate::violation;

use backoff::Backoff;
use live::{Due, Live};
use message::Outgoing;
use wire::Wire;

pub use auth::{Authenticator, Reply};
pub use backoff::{Jitter, Reconnect};
pub use event::{Awaited, Dropped, Event, Token, Why};
pub use granted::Granted;
pub use message::Message;
pub use misuse::Misuse;
pub use options::{Identity, Options, Will};

/// What a client keeps of its session between connections, and may keep between runs: unfinished messages. The default
/// is the state of a session in which nothing is unfinished.
#[derive(Clone, Debug, Default)]
pub struct Session {
    messages: session::Session<Outgoing>,
    /// The last token given, so that the next client goes on from there.
    commands: u32,
}

/// One client.
pub struct Client {
    options: Arc<Options>,
    client_id: Box<str>,
    papers: Rare<Papers>,
    session: session::Session<Outgoing>,
    /// Until when we hold the state of a session; `None` if there is none.
    held: Option<Instant>,
    /// Whether any server has ever accepted us, or may have, as it did not answer: from then on, no session means that we lost it.
    met: bool,
    state: State,
    backoff: Backoff,
    /// The last ticket given to the driver.
    tickets: u32,
    commands: u32,
    events: Few<Event>,
    wire: Wire,
    /// The last moment handed in.
    now: Instant,
}

/// What few clients have to say of themselves: what [`Identity`] has of it, and how they prove it.
#[derive(Default)]
struct Papers {
    username: Option<Box<str>>,
    password: Option<Box<[u8]>>,
    will: Option<Box<options::Will>>,
    authenticator: Option<Box<dyn Authenticator>>,
}

impl Empty for Papers {
    const EMPTY: &'static Self = &Self { username: None, password: None, will: None, authenticator: None };

    fn is_empty(&self) -> bool {
        self.username.is_none() && self.password.is_none() && self.will.is_none() && self.authenticator.is_none()
    }
}

impl Rare<Papers> {
    /// To be asked, where there is one.
    fn authenticator(&mut self) -> Option<&mut dyn Authenticator> {
        self.authenticator.as_ref()?;
        Some(self.authenticator.as_mut()?.as_mut())
    }
}

/// Where a client stands.
#[derive(Debug)]
enum State {
    /// No connection, and none wanted.
    Idle,
    /// The next attempt is due then.
    Waiting(Instant),
    /// The driver was asked for a connection with the last ticket; since when.
    Opening(Instant),
    /// There is a connection.
    Live(Live),
}

impl Client {
    /// A client that holds no session. It connects at the first [`Input::Wake`]. `seed` decides its reconnection jitter:
    /// each client of a fleet has its own.
    ///
    /// # Errors
    /// [`Misuse`] where no CONNECT could say what is asked for.
    pub fn new(options: Arc<Options>, identity: Identity, seed: u64) -> Result<Self, Misuse> {
        options::check(&options, &identity)?;
        let Identity { client_id, username, password, will } = identity;
        let mut papers = Rare::new();
        *papers = Papers { username, password, will, authenticator: None };
        papers.settle();
        let mut client = Self {
            options,
            client_id,
            papers,
            session: session::Session::default(),
            held: None,
            met: false,
            state: State::Waiting(Instant::ZERO),
            backoff: Backoff::new(seed),
            tickets: 0,
            commands: 0,
            events: Few::new(),
            wire: Wire::new(),
            now: Instant::ZERO,
        };
        client.write_connect(client.options.clean_start, None, Wire::check)?;
        Ok(client)
    }

    /// The same with enhanced authentication, which only 5.0 has.
    ///
    /// # Errors
    /// Before 5.0.
    pub fn with_authenticator(mut self, authenticator: Box<dyn Authenticator>) -> Result<Self, Misuse> {
        if !self.options.version.has_properties() {
            return Err(violation::Misuse::NotInThisVersion.into());
        }
        self.papers.authenticator = Some(authenticator);
        Ok(self)
    }

    /// The same, holding the state of an earlier session of this client identifier, which it asks the server to resume
    /// whatever [`Options::clean_start`] says.
    #[must_use]
    pub fn with_session(mut self, session: Session) -> Self {
        self.session = session.messages;
        self.commands = session.commands;
        self.held = Some(Instant::FAR);
        self
    }

    /// Ends the client, as if it had crashed, and keeps its session.
    pub fn into_session(self) -> Session {
        Session { messages: self.session, commands: self.commands }
    }

    /// The will that the next CONNECT hands over.
    pub fn leave_will(&mut self, will: options::Will) {
        self.papers.will = Some(Box::new(will));
    }

    /// How it behaves.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Its client identifier, which the server may have assigned.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What the server allows; `None` while not connected.
    pub fn granted(&self) -> Option<&Granted> {
        match &self.state {
            State::Live(live) if live.is_up() => Some(&live.granted),
            _ => None,
        }
    }

    /// When the question was asked that PINGRESP answered last on this connection, [`Instant::ZERO`] if none was: the server
    /// had it then.
    pub fn answered_at(&self) -> Option<Instant> {
        match &self.state {
            State::Live(live) => Some(live.answered),
            _ => None,
        }
    }

    /// How many commands are not finished: messages unsent or with an open handshake, requests without an answer.
    pub fn outstanding(&self) -> usize {
        let requests = match &self.state {
            State::Live(live) => live.requests.len(),
            _ => 0,
        };
        requests + self.session.waiting.len() + self.session.outbound.len()
    }

    /// Asks for what is looked at when the server answers.
    pub fn fetch(&self) {
        self.session.outbound.fetch();
    }

    /// How many QoS 2 messages have come whose handshake is not finished. A server of 3.1 cannot say that it has lost the
    /// session (that flag of CONNACK came with 3.1.1). It may then use their identifiers for others, which pass for repeats.
    pub fn half_received(&self) -> usize {
        self.session.inbound.unreleased()
    }

    /// How many QoS 2 messages the server has taken whose handshake is not finished: the last ones that it took. It may pass
    /// them on only when it is, and forgets them if the session ends before.
    pub fn half_sent(&self) -> usize {
        self.session.outbound.unreleased()
    }

    /// How many messages were sent, in this session, that the server has not answered for: the oldest of all that it has not
    /// answered for.
    pub fn unanswered(&self) -> usize {
        self.session.outbound.len() - self.session.outbound.unreleased()
    }

    /// Whether [`Client::publish`] has a place for one more message now.
    pub fn has_place(&self) -> bool {
        self.session.waiting.len() < self.options.queue
    }

    /// What happened, oldest first. To be drained after each round of `handle` and commands, before [`Node::poll`]: a
    /// client that stopped reading because too many events waited goes on here.
    pub fn poll_event(&mut self) -> Option<Event> {
        if self.events.is_empty() && !self.is_paused() {
            return None;
        }
        let event = self.events.remove(0);
        if let State::Live(live) = &mut self.state
            && live.paused
            && self.events.len() <= self.options.events / 2
        {
            live.pause(self.now, false);
            self.wire.pause(false);
        }
        if self.events.is_empty() {
            self.session.outbound.settle();
            self.session.waiting.settle();
        }
        event
    }

    /// Whether a connection that was opened `via` this is the one it asked for last, on which it will introduce itself.
    pub fn expects(&self, via: Via) -> bool {
        matches!(self.state, State::Opening(_)) && via == Via::Ticket(self.last_ticket())
    }

    fn is_paused(&self) -> bool {
        matches!(&self.state, State::Live(live) if live.paused)
    }

    fn handle_opened(&mut self, conn: ConnId, via: Via, room: usize) {
        if !self.expects(via) {
            return self.wire.close(conn, Close::Abruptly);
        }
        if self.held.is_some_and(|until| until <= self.now) {
            self.end_session();
        }
        let clean = match self.options.version {
            // A session we had and lost must not come back without us (3.2.2-4).
            Version::V5 => self.held.is_none() && (self.options.clean_start || self.met),
            Version::V31 | Version::V311 => self.options.clean_start && self.held.is_none(),
        };
        self.wire.begin(conn);
        let data = self.papers.authenticator().and_then(|authenticator| authenticator.begin());
        match self.write_connect(clean, data.as_deref(), Wire::put) {
            Ok(size) => {
                let room = u32::try_from(room.saturating_sub(size)).unwrap_or(u32::MAX);
                let live = Live::new(self.now, conn, room, clean, &self.options);
                self.state = State::Live(live);
            }
            // All but what the authenticator gave was checked when the client was made.
            Err(misuse) => {
                self.wire.close(conn, Close::Gracefully);
                self.fail(Why::Unauthenticated(misuse.to_string().into()));
            }
        }
    }

    /// Encodes CONNECT by `how`.
    fn write_connect<T>(
        &mut self,
        clean_start: bool,
        data: Option<&[u8]>,
        how: impl FnOnce(&mut Wire, &Packet<'_>, Version, u32) -> Result<T, Misuse>,
    ) -> Result<T, Misuse> {
        let Papers { username, password, will, authenticator } = &*self.papers;
        let method = authenticator.as_ref().map(|authenticator| authenticator.method());
        let properties = self.options.connect_properties(method, data);
        let connect = Connect {
            version: self.options.version,
            clean_start,
            keep_alive: self.options.keep_alive,
            client_id: &self.client_id,
            will: will.as_ref().map(|will| WillView {
                topic: &will.topic,
                payload: &will.payload,
                qos: will.qos,
                retain: will.retain,
                properties: will.properties.view(),
            }),
            username: username.as_deref(),
            password: password.as_deref(),
            properties: properties.view(),
        };
        how(&mut self.wire, &Packet::Connect(connect), self.options.version, u32::MAX)
    }

    /// Sends what may be sent now: first what an earlier connection left unfinished, in its order, then what waits.
    fn flush(&mut self) {
        let State::Live(live) = &mut self.state else { return };
        if !live.is_up() {
            return;
        }
        let session::Session { outbound, waiting, .. } = &mut self.session;
        // A PUBREL goes out whatever the room: it is small, and the server waits for it.
        while live.room > 0 || outbound.peek_repeat().is_none() {
            let (id, sent) = match outbound.next_repeat() {
                None => break,
                Some(Repeat::Release(id)) => {
                    (id, live.put(&mut self.wire, self.now, &Packet::PubRel(Ack::success(id))))
                }
                Some(Repeat::Publish(id, outgoing)) => {
                    let publish = Publish { dup: true, packet_id: Some(id), ..outgoing.message.publish() };
                    let admitted = live.granted.admits(&publish);
                    (id, admitted.and_then(|()| live.put_publish(&mut self.wire, self.now, &publish)))
                }
            };
            match sent {
                Ok(()) => live.await_acknowledgement(self.now),
                Err(misuse) => {
                    let dropped = withdraw(outbound, id).map(|outgoing| outgoing.token);
                    self.events.extend(dropped.map(|token| Event::Dropped(token, Dropped::Unacceptable(misuse))));
                }
            }
        }
        while live.room > 0
            && let Some(next) = waiting.front()
            && (next.message.qos() == QoS::AtMostOnce || outbound.is_ready())
        {
            match live.send(outbound, &mut self.wire, self.now, &next.message.publish(), || next.clone()) {
                Err(Misuse::NoPacketId) => break,
                Err(misuse) => {
                    self.events.push(Event::Dropped(next.token, Dropped::Unacceptable(misuse)));
                }
                Ok(()) => {}
            }
            waiting.pop_front();
        }
        waiting.settle();
    }

    /// Gives up the connection, or the attempt at one.
    fn fail(&mut self, why: Why) {
        let mut stood = Duration::ZERO;
        match mem::replace(&mut self.state, State::Idle) {
            State::Live(mut live) => {
                stood = live.stood(self.now);
                self.part(&mut live, &why);
                let dropped = live.requests.iter().map(|request| request.token);
                self.events.extend(dropped.map(|token| Event::Dropped(token, Dropped::ConnectionEnded)));
                if live.is_up() {
                    self.keep_session(live.granted.session_expiry);
                } else {
                    self.met |= !matches!(why, Why::Refused(_) | Why::UnknownSession);
                }
            }
            State::Opening(_) => self.wire.do_not_open(),
            State::Idle | State::Waiting(_) => {}
        }
        let taken_over = why.reason() == Some(ReasonCode::SessionTakenOver);
        let tries = |limits: &Reconnect| why.worth_another_try() || taken_over && limits.after_takeover;
        let limits = self.options.reconnect.filter(tries);
        let again_at = limits.map(|limits| self.now + self.backoff.failed(stood, &limits));
        if let Some(moment) = again_at {
            self.state = State::Waiting(moment);
        }
        self.events.push(Event::Disconnected { why, again_at });
    }

    /// Takes leave of the server, as far as it is still there, and of the connection.
    fn part(&mut self, live: &mut Live, why: &Why) {
        let (word, how) = match why {
            Why::Lost(_) => return self.wire.closed(live.conn),
            Why::Silence(_) => (None, Close::Abruptly),
            Why::Offence(refusal) => (Some(refusal.reason()), Close::Gracefully),
            Why::UnknownSession | Why::Unusable | Why::Unauthenticated(_) => {
                (Some(ReasonCode::UnspecifiedError), Close::Gracefully)
            }
            // A DISCONNECT of ours is already on its way, or one of the server's makes ours needless.
            Why::Asked | Why::Refused(_) | Why::Dismissed(_) | Why::Unreachable(_) => (None, Close::Gracefully),
        };
        // Before 5.0 there is nothing to say: a DISCONNECT would mean that all is well, and discard the will.
        if let Some(reason) = word.filter(|_| live.version.has_properties()) {
            let allowed = reason.allowed_in(PacketType::Disconnect, Side::Client);
            let reason = if allowed { reason } else { ReasonCode::ProtocolError };
            let word = Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY });
            // Where the server's maximum packet size is too small for it, the close must do.
            let _ = live.put(&mut self.wire, self.now, &word);
        }
        self.wire.close(live.conn, how);
    }

    /// The connection ended; the session goes on for `expiry` seconds.
    fn keep_session(&mut self, expiry: u32) {
        self.held = match expiry {
            0 => return self.end_session(),
            u32::MAX => Some(Instant::FAR),
            seconds => Some(self.now + Duration::from_secs(u64::from(seconds))),
        };
    }

    /// Drops the state of the session. Messages that were never sent are no part of it.
    fn end_session(&mut self) {
        self.held = None;
        self.session.inbound.clear();
        let lost = self.session.outbound.drain().map(|(_, outgoing)| outgoing.token);
        self.events.extend(lost.map(|token| Event::Dropped(token, Dropped::SessionEnded)));
    }

    /// The server has lost the session: what it has not taken over yet begins anew, ahead of what waits.
    fn renew_session(&mut self) {
        self.session.inbound.clear();
        let mut again: VecDeque<Outgoing> = self.session.outbound.drain().map(|(_, outgoing)| outgoing).collect();
        again.append(&mut self.session.waiting);
        *self.session.waiting = again;
    }

    fn open(&mut self) {
        let ticket = self.ticket();
        self.state = State::Opening(self.now);
        self.wire.open(ticket);
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets = self.tickets.wrapping_add(1);
        self.last_ticket()
    }

    fn last_ticket(&self) -> Ticket {
        Ticket(u64::from(self.tickets))
    }

    fn handle_wake(&mut self) {
        if self.deadline().is_none_or(|at| at > self.now) {
            return;
        }
        match &mut self.state {
            State::Idle => {}
            State::Waiting(_) => self.open(),
            State::Opening(_) => self.fail(Why::Silence(Awaited::Connection)),
            State::Live(live) => match live.due(self.options.patience) {
                Some((_, Due::GiveUp(awaited))) => self.fail(Why::Silence(awaited)),
                Some((_, Due::Ping)) => live.ping(&mut self.wire, self.now),
                None => {}
            },
        }
    }
}

/// Takes an unacknowledged message out of its handshake, whichever it is in.
fn withdraw(outbound: &mut Outbound<Outgoing>, id: PacketId) -> Option<Outgoing> {
    outbound.acknowledged(id).or_else(|_| outbound.refused(id)).ok()
}

impl Node for Client {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        match input {
            Input::Opened { conn, via, room, .. } => self.handle_opened(conn, via, room),
            Input::Refused { ticket, why } => {
                if self.expects(Via::Ticket(ticket)) {
                    self.fail(Why::Unreachable(why.into()));
                }
            }
            Input::Bytes { conn, bytes } => self.handle_bytes(conn, bytes),
            Input::Writable { conn, room } => {
                if let State::Live(live) = &mut self.state
                    && live.conn == conn
                {
                    live.room = u32::try_from(room).unwrap_or(u32::MAX);
                    self.flush();
                }
            }
            Input::Closed { conn, how } => {
                self.wire.closed(conn);
                if matches!(&self.state, State::Live(live) if live.conn == conn) {
                    self.fail(Why::Lost(how));
                }
            }
            Input::Answer { ticket, bytes } => self.handle_worked(ticket, bytes),
            Input::Wake => self.handle_wake(),
        }
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        self.wire.poll()
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => None,
            State::Waiting(until) => Some(*until),
            State::Opening(since) => Some(*since + self.options.patience),
            State::Live(live) => live.due(self.options.patience).map(|(at, _)| at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fleet of a million runs in one process, so what each client holds when nothing happens stays small.
    #[test]
    fn a_client_with_its_session_and_connection_fits_272_bytes() {
        assert!(size_of::<Client>() <= 272, "{} bytes", size_of::<Client>());
    }
}

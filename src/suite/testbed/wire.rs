//! What passes between a case and the target: bytes out, packets in, and until when something must come.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use harness::case::Stop;
use harness::node::{Close, Closed, ConnId};
use harness::time::Instant;
use harness::trace::{Event, Passed};
use harness::world::Arrived;

use super::{Ledger, State, Testbed};
use crate::codec::{self, PacketBuf, frame};
use crate::packet::{Packet, PacketType, Publish, Side, Version};
use crate::suite::script::disconnect;
use crate::suite::websocket_stream::Stream;
use crate::violation::Refusal;

/// A packet that came, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    /// When it arrived.
    pub at: Instant,
    /// The packet.
    pub packet: PacketBuf,
    /// For a PUBLISH its topic name, with an alias resolved.
    pub topic: String,
}

/// One connection of the case, as far as its bytes have been read.
pub(in crate::suite) struct Conn {
    pub(super) id: ConnId,
    version: Version,
    /// The client identifier of its CONNECT, once that is sent.
    pub(super) client: Option<String>,
    stream: Option<Stream>,
    partial: Vec<u8>,
    aliases: BTreeMap<u16, String>,
    /// Also messages that are not the case's own.
    pub(in crate::suite) promiscuous: bool,
    /// PUBLISH packets, in order.
    pub(in crate::suite) deliveries: VecDeque<Came>,
    /// All other packets, in order.
    pub(in crate::suite) answers: VecDeque<Came>,
    /// What made the stream unreadable.
    pub(in crate::suite) illegal: Option<Refusal>,
    /// How it ended.
    pub(in crate::suite) closed: Option<(Instant, Closed)>,
}

/// Until when something must come. The target may be late because it is busy with others, or the tester because its machine
/// is: silence counts only once another client, the witness, has been answered since.
pub(in crate::suite) struct Due {
    deadline: Instant,
    witnessed: bool,
}

impl Due {
    /// Must come by this moment.
    pub(in crate::suite) fn by(deadline: Instant) -> Self {
        Self { deadline, witnessed: false }
    }

    /// May come until this moment, and need not.
    pub(in crate::suite) fn perhaps_by(deadline: Instant) -> Self {
        Self { deadline, witnessed: true }
    }
}

impl std::fmt::Display for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.deadline.fmt(f)
    }
}

impl Testbed {
    pub(in crate::suite) fn remember_session(&self, client_id: &str) {
        if !client_id.is_empty() {
            self.state.borrow_mut().sessions.insert(client_id.into());
        }
    }

    pub(in crate::suite) fn remember_retained(&self, topic: &str) {
        self.state.borrow_mut().retained.insert(topic.into());
    }

    pub(in crate::suite) fn record(&self, conn: ConnId, what: Passed) {
        self.record_at(self.now(), conn, what);
    }

    pub(super) fn record_at(&self, at: Instant, conn: ConnId, what: Passed) {
        if self.recording.get() {
            self.state.borrow_mut().trace.events.push(Event { at, conn, what });
        }
    }

    pub(in crate::suite) fn with_conn<R>(&self, id: ConnId, f: impl FnOnce(&mut Conn) -> R) -> Result<R, Stop> {
        match self.state.borrow_mut().conns.iter_mut().rfind(|conn| conn.id == id) {
            Some(conn) => Ok(f(conn)),
            None => Err(Stop::Broken(format!("the case names connection {}, which it never opened", id.0))),
        }
    }

    /// Puts what is sent on this connection into WebSocket frames from here on, and reads what comes as such.
    pub(in crate::suite) fn upgrade(&self, id: ConnId, stream: Stream) -> Result<(), Stop> {
        self.with_conn(id, |conn| conn.stream = Some(stream))
    }

    /// The WebSocket state of a connection.
    pub(in crate::suite) fn stream<R>(&self, id: ConnId, f: impl FnOnce(&Stream) -> R) -> Result<R, Stop> {
        self.with_conn(id, |conn| conn.stream.as_ref().map(f))?
            .ok_or_else(|| Stop::Broken("the case asks a plain connection for WebSocket frames".into()))
    }

    /// The packets that have come on this connection, in order.
    pub(in crate::suite) fn came(&self, id: ConnId) -> Vec<PacketType> {
        let state = self.state.borrow();
        let here = state.trace.events.iter().filter(|event| event.conn == id);
        let packet_type = |event: &Event| match &event.what {
            Passed::Came(bytes) => bytes.first().and_then(|first| PacketType::from_u8(first >> 4)),
            _ => None,
        };
        here.filter_map(packet_type).collect()
    }

    /// What came first on any connection, be it MQTT or not.
    pub(in crate::suite) fn first_bytes(&self) -> Vec<u8> {
        let state = self.state.borrow();
        let came = state.trace.events.iter().find_map(|event| match &event.what {
            Passed::Came(bytes) => Some(bytes),
            _ => None,
        });
        came.or_else(|| state.conns.iter().map(|conn| &conn.partial).find(|bytes| !bytes.is_empty()))
            .cloned()
            .unwrap_or_default()
    }

    /// Whether a connection has ended.
    pub(in crate::suite) fn ended(&self, id: ConnId) -> Result<bool, Stop> {
        self.with_conn(id, |conn| conn.closed.is_some())
    }

    pub(in crate::suite) fn send_bytes(&self, id: ConnId, bytes: Vec<u8>) -> Result<(), Stop> {
        let framed = self.with_conn(id, |conn| conn.stream.as_mut().map(|stream| stream.frame(&bytes)))?;
        // Recorded first: an answer must not seem to come before what it answers.
        self.record(id, Passed::Sent(self.without_password(bytes.clone())));
        let mut state = self.state.borrow_mut();
        state.goes_out(id, &bytes);
        state.world.send(id, framed.as_deref().unwrap_or(&bytes));
        Ok(())
    }

    /// From here on messages are not measured by what was sent: what goes out now is not read.
    pub(in crate::suite) fn lose_sight(&self) {
        self.state.borrow_mut().ledger.lose_sight();
    }

    /// The run's own password does not go into a trace that people share: asterisks stand for it.
    fn without_password(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let password = self.login().map_or(&[][..], |login| &login.password);
        let is_connect = bytes.first().is_some_and(|first| first >> 4 == PacketType::Connect as u8);
        if is_connect && !password.is_empty() && bytes.ends_with(password) {
            let start = bytes.len() - password.len();
            bytes[start..].fill(b'*');
        }
        bytes
    }

    /// Sends bytes below any WebSocket framing; whoever does records what they are.
    pub(in crate::suite) fn send_below(&self, id: ConnId, bytes: &[u8]) {
        self.state.borrow_mut().world.send(id, bytes);
    }

    pub(in crate::suite) fn pause(&self, id: ConnId, paused: bool) {
        self.state.borrow_mut().world.pause(id, paused);
        self.record(id, Passed::Remark(if paused { "stops reading" } else { "reads again" }.into()));
    }

    pub(in crate::suite) fn close(&self, id: ConnId, how: Close) {
        self.record(id, Passed::CloseSent(how));
        self.state.borrow_mut().world.close(id, how);
    }

    /// Takes in the next arrival; false once what is due has not come, and a witness has been answered since.
    pub(in crate::suite) fn pump_until(&self, due: &mut Due) -> bool {
        if self.pump(due.deadline) {
            return true;
        }
        if due.witnessed || self.asking.replace(true) {
            return false;
        }
        due.witnessed = true;
        self.ask_a_witness();
        self.asking.set(false);
        due.deadline = self.now() + self.timing().grace;
        true
    }

    /// Waits until the target has answered a client that connects now, or has had long enough. What else comes is left to
    /// those who wait for it.
    fn ask_a_witness(&self) {
        const PATIENCE: u32 = 4;
        let deadline = self.now() + self.timing().answer * PATIENCE;
        let Ok(witness) = self.dial("witness") else { return };
        witness.note("another client asks whether the target still answers, before its silence counts");
        let asked = witness.send(self.connect("witness"));
        let unheard = || {
            let heard = |conn: &mut Conn| conn.answers.pop_front().is_some() || conn.closed.is_some();
            self.with_conn(witness.conn(), heard).is_ok_and(|heard| !heard)
        };
        while asked.is_ok() && unheard() && self.pump(deadline) {}
        let _ = witness.send(disconnect());
        self.close(witness.conn(), Close::Gracefully);
    }

    /// By how much the tester itself was late at most, for it was stopped or had no turn: what came meanwhile came earlier than
    /// it seems to.
    pub(in crate::suite) fn overslept(&self) -> Duration {
        self.overslept.get()
    }

    /// The longest time between two packets that the case sent on this connection.
    pub(in crate::suite) fn longest_silence(&self, id: ConnId) -> Duration {
        let state = self.state.borrow();
        let sent = |event: &&Event| event.conn == id && matches!(event.what, Passed::Sent(_));
        let moments: Vec<_> = state.trace.events.iter().filter(sent).map(|event| event.at).collect();
        moments.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default()
    }

    /// Takes in the next arrival; false once `deadline` has come. It wakes up often enough to notice that it was not woken.
    pub(in crate::suite) fn pump(&self, deadline: Instant) -> bool {
        const NAP: Duration = Duration::from_millis(100);
        loop {
            let began = self.now();
            let until = deadline.min(began + NAP);
            let came = self.take_in(until);
            let now = self.now();
            self.overslept.set(self.overslept.get().max(now.since(until.max(began))));
            if came || now >= deadline {
                return came;
            }
        }
    }

    fn take_in(&self, deadline: Instant) -> bool {
        let mut state = self.state.borrow_mut();
        let State { world, conns, ledger, trace, .. } = &mut *state;
        let Some(arrival) = world.wait(deadline) else { return false };
        let Some(conn) = conns.iter_mut().rfind(|conn| conn.id == arrival.conn) else { return true };
        let mut seen = |what| {
            if self.recording.get() {
                trace.events.push(Event { at: arrival.at, conn: arrival.conn, what });
            }
        };
        match arrival.what {
            Arrived::Closed(how) => {
                if !conn.partial.is_empty() {
                    seen(Passed::Came(std::mem::take(&mut conn.partial)));
                }
                conn.closed = Some((arrival.at, how));
                seen(Passed::CloseCame(how));
            }
            Arrived::Bytes(bytes) => {
                let bytes = match &mut conn.stream {
                    Some(stream) => stream.unframe(&bytes),
                    None => bytes,
                };
                conn.read(arrival.at, &bytes, &self.prefix(), ledger, seen);
            }
        }
        true
    }
}

impl State {
    /// Enters what goes out in the ledger.
    fn goes_out(&mut self, id: ConnId, mut bytes: &[u8]) {
        let Some(conn) = self.conns.iter_mut().rfind(|conn| conn.id == id) else { return };
        while !bytes.is_empty() {
            let length = match frame::frame_len(bytes, u32::MAX) {
                Ok(Some(length)) if length <= bytes.len() => length,
                _ => return self.ledger.lose_sight(),
            };
            let (frame, behind) = bytes.split_at(length);
            bytes = behind;
            let Ok(packet) = codec::decode(frame, conn.version, Side::Client) else { return self.ledger.lose_sight() };
            if let Packet::Connect(connect) = packet {
                conn.client = Some(connect.client_id.into());
            }
            self.ledger.goes(conn.client.as_deref().unwrap_or_default(), &packet);
        }
    }
}

impl Conn {
    /// One that was just opened, on which this version is spoken.
    pub(super) const fn new(id: ConnId, version: Version) -> Self {
        Self {
            id,
            version,
            client: None,
            stream: None,
            partial: Vec::new(),
            aliases: BTreeMap::new(),
            promiscuous: false,
            deliveries: VecDeque::new(),
            answers: VecDeque::new(),
            illegal: None,
            closed: None,
        }
    }

    /// Cuts what came into packets and sorts them, up to the first that is illegal; the trace shows what comes after it,
    /// too.
    fn read(&mut self, at: Instant, bytes: &[u8], prefix: &str, ledger: &mut Ledger, mut seen: impl FnMut(Passed)) {
        self.partial.extend_from_slice(bytes);
        let mut start = 0;
        loop {
            let rest = &self.partial[start..];
            let length = match frame::frame_len(rest, u32::MAX) {
                Ok(Some(length)) if length <= rest.len() => length,
                Ok(_) => break,
                Err(refusal) => {
                    self.illegal.get_or_insert(refusal);
                    seen(Passed::Came(rest.to_vec()));
                    start = self.partial.len();
                    break;
                }
            };
            let frame = &rest[..length];
            start += length;
            seen(Passed::Came(frame.to_vec()));
            if self.illegal.is_some() {
                continue;
            }
            match PacketBuf::decode(frame, self.version, Side::Server) {
                Err(refusal) => self.illegal = Some(refusal),
                Ok(packet) => {
                    if let (Packet::SubAck(suback), Some(client)) = (packet.packet(), &self.client) {
                        ledger.is_granted(client, &suback);
                    }
                    let topic = match packet.packet() {
                        Packet::Publish(publish) => Some(resolve(&mut self.aliases, &publish)),
                        _ => None,
                    };
                    match topic {
                        None => self.answers.push_back(Came { at, packet, topic: String::new() }),
                        Some(topic) if self.promiscuous || topic.is_empty() || topic.starts_with(prefix) => {
                            self.deliveries.push_back(Came { at, packet, topic });
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        self.partial.drain(..start);
    }
}

/// The topic name of a PUBLISH from the server, by its alias if it has no other; empty if the alias is unknown.
fn resolve(aliases: &mut BTreeMap<u16, String>, publish: &Publish<'_>) -> String {
    match publish.properties.topic_alias() {
        Some(alias) if publish.topic.is_empty() => aliases.get(&alias).cloned().unwrap_or_default(),
        Some(alias) => {
            aliases.insert(alias, publish.topic.into());
            publish.topic.into()
        }
        None => publish.topic.into(),
    }
}

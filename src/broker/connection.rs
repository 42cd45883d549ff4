//! One network connection, from its opening to its end, and the packets that come over it.

use std::time::Duration;

use harness::fetch::fetch;
use harness::node::{ConnId, Peer, Ticket};
use harness::time::Instant;

use super::Broker;
use super::auth::Exchange;
use super::output::Outbox;
use super::session::SessionId;
use super::timers::Owner;
use crate::codec::frame::Framer;
use crate::codec::{PacketBuf, decode, encode};
use crate::flow::{AliasesIn, AliasesOut};
use crate::packet::{Disconnect, Packet, PacketType, Properties, Property, PropertyBuf, ReasonCode, Side, Version};
use crate::rare::{Empty, Rare};
use crate::violation::{Refusal, Rule};

/// What lasts as long as the connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) version: Version,
    pub(super) stage: Stage,
    framer: Framer,
    /// Bytes that came while nothing may be handled.
    held: Rare<Vec<u8>>,
    /// Whether the driver was told to stop reading.
    paused: bool,
    /// Bytes the driver takes before the connection counts as slow; negative when more was sent.
    pub(super) room: i64,
    /// The keep alive in force, in seconds; 0 for none.
    pub(super) keep_alive: u16,
    /// When the last packet came.
    heard: Instant,
    pub(super) alarm: Option<Instant>,
    /// The largest packet the peer takes.
    pub(super) maximum_packet: u32,
    pub(super) aliases_in: AliasesIn,
    pub(super) aliases_out: AliasesOut,
    /// Whether the peer wants reason strings and user properties on every packet (3.1.2.11.7 of 5.0).
    pub(super) problem_information: bool,
    pub(super) peer: Rare<Known>,
}

/// What is known of the peer of few connections.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The user: the one of the certificate, until CONNECT or AUTH proves that it is another.
    pub(super) user: Option<Box<str>>,
    /// Enhanced authentication, if CONNECT asked for it.
    pub(super) auth: Option<Authentication>,
}

impl Empty for Known {
    const EMPTY: &'static Self = &Self { user: None, auth: None };

    fn is_empty(&self) -> bool {
        self.user.is_none() && self.auth.is_none()
    }
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// No CONNECT yet.
    Opened,
    /// The password of CONNECT is being checked; whatever comes meanwhile is held.
    Checking(Box<(Ticket, PacketBuf)>),
    /// An exchange of AUTH goes before CONNACK.
    Proving(Box<PacketBuf>),
    /// CONNACK was sent.
    Live(SessionId),
}

/// Enhanced authentication on one connection.
#[derive(Debug)]
pub(super) struct Authentication {
    pub(super) method: Box<str>,
    /// The exchange under way.
    pub(super) exchange: Option<Exchange>,
}

impl Connection {
    fn new(peer: Peer, room: usize, now: Instant) -> Self {
        let mut known = Rare::new();
        if let Some(user) = peer.certificate {
            *known = Known { user: Some(user), auth: None };
        }
        Self {
            version: Version::V5,
            stage: Stage::Opened,
            framer: Framer::new(),
            held: Rare::new(),
            paused: false,
            room: i64::try_from(room).unwrap_or(i64::MAX),
            keep_alive: 0,
            heard: now,
            alarm: None,
            maximum_packet: u32::MAX,
            aliases_in: AliasesIn::default(),
            aliases_out: AliasesOut::default(),
            problem_information: true,
            peer: known,
        }
    }

    /// Sends a packet, unless it is larger than the peer takes or its version has no such packet; tells which.
    pub(super) fn send(&mut self, outbox: &mut Outbox, conn: ConnId, packet: &Packet<'_>) -> bool {
        let (mark, arena) = outbox.begin();
        let written = encode(packet, self.version, arena).is_ok();
        let len = arena.len() - mark;
        if !written || len > self.maximum_packet as usize {
            outbox.cancel(mark);
            return false;
        }
        self.room -= len as i64;
        outbox.send(conn, mark);
        true
    }

    /// How long the peer may be silent: one and a half times the keep alive.
    pub(super) fn patience(&self) -> Option<Duration> {
        (self.keep_alive != 0).then(|| Duration::from_millis(u64::from(self.keep_alive) * 1500))
    }

    fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Checking(..))
    }
}

/// All connections, by number.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<Connection>>,
    count: usize,
}

impl Connections {
    /// Sets memory aside for those of so many clients, all of whom may come back before they are missed.
    pub(super) fn make_room(&mut self, clients: usize) {
        self.slots.reserve_exact(2 * clients);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.slots.get(conn.0 as usize)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.slots.get_mut(conn.0 as usize)?.as_mut()
    }

    /// Asks for one before it is looked at.
    pub(super) fn fetch(&self, conn: ConnId) {
        if let Some(slot) = self.slots.get(conn.0 as usize) {
            fetch(slot);
        }
    }

    /// Every number in use.
    pub(super) fn ids(&self) -> Vec<ConnId> {
        let used = self.slots.iter().zip(0..).filter(|(slot, _)| slot.is_some());
        used.map(|(_, number)| ConnId(number)).collect()
    }

    fn insert(&mut self, conn: ConnId, connection: Connection) {
        let at = conn.0 as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        self.slots[at] = Some(connection);
        self.count += 1;
    }

    fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        let connection = self.slots.get_mut(conn.0 as usize)?.take()?;
        self.count -= 1;
        Some(connection)
    }
}

impl Broker {
    /// A connection stands; CONNECT is due.
    pub(super) fn handle_opened(&mut self, conn: ConnId, peer: Peer, room: usize) {
        let limits = &self.settings.behaviour.limits;
        if self.connections.len() >= limits.connections {
            self.outbox.note(Some(conn), format_args!("closed: there are {} connections already", limits.connections));
            self.outbox.close(conn);
            return;
        }
        let mut connection = Connection::new(peer, room, self.now);
        let due = self.now + Duration::from_secs(limits.connect_timeout.into());
        self.timers.set(Owner::Connection(conn), &mut connection.alarm, Some(due));
        self.connections.insert(conn, connection);
    }

    /// Bytes arrived.
    pub(super) fn handle_bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        let max = self.settings.behaviour.maximum_packet_size;
        let Some(connection) = self.connections.get_mut(conn) else { return };
        // The framer is put back before anybody looks for it again.
        let mut framer = std::mem::take(&mut connection.framer);
        let mut chunk = bytes;
        loop {
            let Some(connection) = self.connections.get_mut(conn) else { return };
            if connection.is_waiting() {
                connection.held.extend_from_slice(chunk);
                if connection.held.len() > max as usize {
                    return self.refuse(conn, Rule::PacketTooLarge);
                }
                break;
            }
            match framer.next(&mut chunk, max) {
                Ok(Some(frame)) => {
                    connection.heard = self.now;
                    self.handle_frame(conn, frame);
                }
                Ok(None) => break,
                Err(refusal) => return self.refuse(conn, refusal),
            }
        }
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.framer = framer;
            self.balance(conn);
        }
    }

    fn handle_frame(&mut self, conn: ConnId, frame: &[u8]) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let session = match connection.stage {
            Stage::Live(session) => session,
            Stage::Opened => return self.handle_first(conn, frame),
            Stage::Checking(..) | Stage::Proving(_) => {
                return match decode(frame, connection.version, Side::Client) {
                    Ok(Packet::Auth(auth)) => self.handle_auth(conn, &auth),
                    Ok(Packet::Disconnect(_)) => self.hang_up(conn),
                    Ok(_) => self.reject(conn, Rule::PacketBeforeConnAck),
                    Err(refusal) => self.reject(conn, refusal.rule()),
                };
            }
        };
        match decode(frame, connection.version, Side::Client) {
            Ok(Packet::Publish(publish)) => self.handle_publish(conn, session, &publish),
            Ok(Packet::PubAck(ack)) => self.handle_puback(conn, session, &ack),
            Ok(Packet::PubRec(ack)) => self.handle_pubrec(conn, session, &ack),
            Ok(Packet::PubRel(ack)) => self.handle_pubrel(conn, session, &ack),
            Ok(Packet::PubComp(ack)) => self.handle_pubcomp(conn, session, &ack),
            Ok(Packet::Subscribe(subscribe)) => self.handle_subscribe(conn, session, &subscribe),
            Ok(Packet::Unsubscribe(unsubscribe)) => self.handle_unsubscribe(conn, session, &unsubscribe),
            Ok(Packet::PingReq) => {
                self.send(conn, &Packet::PingResp);
            }
            Ok(Packet::Disconnect(disconnect)) => self.handle_disconnect(conn, session, &disconnect),
            Ok(Packet::Auth(auth)) => self.handle_auth(conn, &auth),
            Ok(Packet::Connect(_)) => self.refuse(conn, Rule::SecondConnect),
            Ok(Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp) => {
                self.refuse(conn, Rule::ServerPacketFromClient);
            }
            Err(refusal) => self.refuse(conn, refusal),
        }
    }

    /// The peer caught up.
    pub(super) fn handle_writable(&mut self, conn: ConnId, room: usize) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        connection.room = i64::try_from(room).unwrap_or(i64::MAX);
        if let Stage::Live(session) = connection.stage {
            self.flush(session);
        }
        self.balance(conn);
    }

    /// The connection is gone.
    pub(super) fn handle_closed(&mut self, conn: ConnId) {
        let Some(mut connection) = self.connections.remove(conn) else { return };
        self.timers.set(Owner::Connection(conn), &mut connection.alarm, None);
        if let Stage::Live(session) = connection.stage {
            self.detach(session);
        }
    }

    /// The client says goodbye (3.14.4).
    fn handle_disconnect(&mut self, conn: ConnId, id: SessionId, disconnect: &Disconnect<'_>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if let Some(expiry) = disconnect.properties.session_expiry_interval() {
            if session.expiry == 0 && expiry != 0 {
                return self.refuse(conn, Rule::SessionExpiryRaised);
            }
            session.expiry = self.settings.behaviour.session_expiry_maximum.map_or(expiry, |most| expiry.min(most));
        }
        if disconnect.reason == ReasonCode::Success {
            session.will = None;
        }
        self.hang_up(conn);
    }

    /// The alarm of a connection rang.
    pub(super) fn handle_silence(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        connection.alarm = None;
        match (&connection.stage, connection.patience()) {
            (Stage::Live(_), Some(patience)) => {
                let due = connection.heard + patience;
                if due <= self.now {
                    self.refuse(conn, Rule::KeepAliveTimeout);
                } else {
                    self.timers.set(Owner::Connection(conn), &mut connection.alarm, Some(due));
                }
            }
            (Stage::Live(_), None) => {}
            _ => self.refuse(conn, Rule::ConnectTimeout),
        }
    }

    /// What was held while nothing could be handled is handled now.
    pub(super) fn release(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn) {
            let held = std::mem::take(&mut connection.held);
            self.handle_bytes(conn, &held);
        }
    }

    /// Stops reading while a password is being checked, and from a peer that does not read its answers; resumes after.
    fn balance(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let unread = -i64::from(self.settings.behaviour.limits.unread);
        let paused = connection.is_waiting() || connection.room <= unread;
        if paused != connection.paused {
            connection.paused = paused;
            self.outbox.pause(conn, paused);
        }
    }

    /// Ends a connection because of what its peer did: after CONNACK in 5.0 with a DISCONNECT that says why, else without
    /// a word (4.13 of 5.0, 4.8 of 3.1.1).
    pub(super) fn refuse(&mut self, conn: ConnId, refusal: impl Into<Refusal>) {
        let rule = refusal.into().rule();
        let reason = rule.reason();
        let fits = reason.allowed_in(PacketType::Disconnect, Side::Server);
        self.say_goodbye(conn, if fits { reason } else { ReasonCode::ProtocolError }, rule.words());
        self.outbox.note(Some(conn), format_args!("closed: {rule}"));
        self.hang_up(conn);
    }

    /// Sends DISCONNECT, where there is one: never before CONNACK and never before 5.0.
    pub(super) fn say_goodbye(&mut self, conn: ConnId, reason: ReasonCode, words: &str) {
        let live = self.connections.get(conn).is_some_and(|connection| {
            connection.version.has_properties() && matches!(connection.stage, Stage::Live(_))
        });
        if live && self.settings.behaviour.sends_disconnect {
            let properties = Properties::EMPTY;
            self.send_explained(conn, Packet::Disconnect(Disconnect { reason, properties }), words);
        }
    }

    /// Closes a connection from this end.
    pub(super) fn hang_up(&mut self, conn: ConnId) {
        if self.connections.get(conn).is_some() {
            self.outbox.close(conn);
            self.handle_closed(conn);
        }
    }

    /// As [`Connection::send`].
    pub(super) fn send(&mut self, conn: ConnId, packet: &Packet<'_>) -> bool {
        self.connections.get_mut(conn).is_some_and(|connection| connection.send(&mut self.outbox, conn, packet))
    }

    /// Sends a packet with a reason string, if the peer wants one in it (3.1.2-29 of 5.0) and has room for it, else
    /// without.
    pub(super) fn send_explained(&mut self, conn: ConnId, packet: Packet<'_>, words: &str) {
        let Some(connection) = self.connections.get(conn) else { return };
        let wanted = connection.problem_information || matches!(packet, Packet::ConnAck(_) | Packet::Disconnect(_));
        let explained = wanted && connection.version.has_properties() && self.settings.behaviour.reason_strings && {
            let properties = PropertyBuf::new().with(Property::ReasonString(words));
            self.send(conn, &packet.with_properties(properties.view()))
        };
        if !explained {
            self.send(conn, &packet);
        }
    }
}

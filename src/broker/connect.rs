//! CONNECT and its CONNACK (3.1 and 3.2 of both standards).

use std::sync::Arc;

use harness::node::ConnId;

use super::Broker;
use super::connection::Stage;
use super::session::{FOR_EVER, SessionId};
use super::timers::Owner;
use super::will::Will;
use crate::codec::decode;
use crate::flow::{AliasesIn, AliasesOut};
use crate::packet::{
    ConnAck, Connect, Packet, PacketType, Properties, Property, PropertyBuf, QoS, ReasonCode, Side, Version,
};
use crate::violation::{Refusal, Rule};

impl Broker {
    /// The first packet came.
    pub(super) fn handle_first(&mut self, conn: ConnId, frame: &[u8]) {
        match decode(frame, Version::V311, Side::Client) {
            Ok(Packet::Connect(connect)) => self.handle_connect(conn, frame, &connect),
            Ok(_) => self.refuse(conn, Rule::FirstPacketNotConnect),
            Err(refusal) => self.handle_bad_first(conn, frame, refusal),
        }
    }

    /// A first packet that is no legal CONNECT. There is an answer before the close where a version has one: 0x01 or 0x84
    /// to a level that does not exist, and in 5.0 the reason.
    fn handle_bad_first(&mut self, conn: ConnId, frame: &[u8], refusal: Refusal) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let mut probe = frame.to_vec();
        let has_answer = match (refusal.rule(), probe.get_mut(refusal.offset())) {
            (Rule::UnsupportedProtocolLevel, Some(level)) => {
                // The answer has the form of 5.0 if the CONNECT has it too.
                *level = Version::V5.level();
                let is_v5 = decode(&probe, Version::V5, Side::Client).is_ok();
                connection.version = if is_v5 { Version::V5 } else { Version::V311 };
                true
            }
            _ => {
                probe.first().is_some_and(|first| first >> 4 == PacketType::Connect as u8)
                    && (2..=5).any(|body| probe.get(body..).is_some_and(|body| body.starts_with(b"\0\x04MQTT\x05")))
            }
        };
        if has_answer { self.reject(conn, refusal.rule()) } else { self.refuse(conn, refusal) }
    }

    fn handle_connect(&mut self, conn: ConnId, frame: &[u8], connect: &Connect<'_>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let properties = connect.properties;
        connection.version = connect.version;
        connection.maximum_packet = properties.maximum_packet_size().unwrap_or(u32::MAX);
        connection.problem_information = properties.request_problem_information() != Some(0);
        match self.admit(connect) {
            Ok(()) => self.identify(conn, frame, connect),
            Err(rule) => self.reject(conn, rule),
        }
    }

    /// Whether a CONNECT can be served at all, whoever sent it.
    fn admit(&self, connect: &Connect<'_>) -> Result<(), Rule> {
        let behaviour = &self.settings.behaviour;
        if !behaviour.serves(connect.version) {
            return Err(Rule::UnsupportedProtocolLevel);
        }
        let id = connect.client_id;
        let needs_id = match connect.version {
            Version::V31 => true,
            Version::V311 => !connect.clean_start || !behaviour.assigns_client_ids,
            Version::V5 => !behaviour.assigns_client_ids,
        };
        if id.is_empty() && needs_id {
            return Err(Rule::ClientIdEmpty);
        }
        if id.len() > behaviour.client_id_maximum.into() || connect.version == Version::V31 && id.chars().count() > 23 {
            return Err(Rule::ClientIdTooLong);
        }
        let taken = |more: &String| id.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        if !behaviour.client_id_characters.as_ref().is_none_or(taken) {
            return Err(Rule::ClientIdCharacters);
        }
        match connect.will {
            Some(will) if will.qos > behaviour.top_qos() => Err(Rule::WillQosNotSupported),
            Some(will) if will.retain && !behaviour.retain => Err(Rule::WillRetainNotSupported),
            _ => Ok(()),
        }
    }

    /// Ends a connection because of what its peer did: before CONNACK with one that says why, after as
    /// [`Broker::refuse`].
    pub(super) fn reject(&mut self, conn: ConnId, rule: Rule) {
        self.say_no(conn, rule.reason(), rule.words());
        self.refuse(conn, rule);
    }

    /// Refuses a CONNECT that is as it should be, because of a limit. Before 5.0 there is but one code for that.
    pub(super) fn turn_away(&mut self, conn: ConnId, reason: ReasonCode, words: &str) {
        let v5 = self.connections.get(conn).is_some_and(|connection| connection.version == Version::V5);
        self.say_no(conn, if v5 { reason } else { ReasonCode::ServerUnavailable }, words);
        self.outbox.note(Some(conn), format_args!("closed: {words}"));
        self.hang_up(conn);
    }

    /// Sends CONNACK with an error, unless CONNACK was sent. Where the version has no such code nothing is sent (3.2.2-6
    /// of 3.1.1).
    fn say_no(&mut self, conn: ConnId, reason: ReasonCode, words: &str) {
        let live = self.connections.get(conn).is_some_and(|connection| matches!(connection.stage, Stage::Live(_)));
        if !live && reason.allowed_in(PacketType::ConnAck, Side::Server) {
            let properties = Properties::EMPTY;
            self.send_explained(conn, Packet::ConnAck(ConnAck { session_present: false, reason, properties }), words);
        }
    }

    /// Accepts a client that has shown who it is: takes over from its older connection, resumes or begins its session,
    /// and sends CONNACK.
    pub(super) fn accept(&mut self, conn: ConnId, connect: &Connect<'_>, data: Option<&[u8]>) {
        let assigned = connect.client_id.is_empty().then(|| self.new_client_id());
        let client_id = assigned.as_deref().unwrap_or(connect.client_id);
        if let Some(will) = &connect.will
            && !self.may_publish(conn, client_id, will.topic)
        {
            return self.reject(conn, Rule::NotAuthorized);
        }
        if self.sessions.find(client_id).is_none() && self.sessions.len() >= self.settings.behaviour.limits.sessions {
            return self.turn_away(conn, ReasonCode::QuotaExceeded, "there are too many sessions");
        }
        let old = self.sessions.find(client_id).and_then(|id| self.sessions.get(id)?.conn);
        if let Some(old) = old {
            self.say_goodbye(old, ReasonCode::SessionTakenOver, "another connection has this client identifier");
            self.hang_up(old);
        }
        let mut known = self.sessions.find(client_id);
        if connect.clean_start
            && let Some(id) = known.take()
        {
            self.end_session(id);
        }
        let id = known.unwrap_or_else(|| self.sessions.insert(client_id));
        self.attach(conn, id, connect);
        let mut properties = self.announce(connect, assigned.as_deref());
        if let Some(method) = connect.properties.authentication_method() {
            properties.push(Property::AuthenticationMethod(method));
        }
        if let Some(data) = data {
            properties.push(Property::AuthenticationData(data));
        }
        let properties = match connect.version {
            Version::V5 => properties.view(),
            _ => Properties::EMPTY,
        };
        let session_present = known.is_some() && connect.version != Version::V31;
        let reason = ReasonCode::Success;
        if self.send(conn, &Packet::ConnAck(ConnAck { session_present, reason, properties })) {
            self.flush(id);
        } else {
            // There is no shorter CONNACK that tells the truth. The will of a refused CONNECT is never published.
            if let Some(session) = self.sessions.get_mut(id) {
                session.will = None;
            }
            self.hang_up(conn);
        }
    }

    /// Ties session and connection together.
    fn attach(&mut self, conn: ConnId, id: SessionId, connect: &Connect<'_>) {
        let behaviour = &self.settings.behaviour;
        let (Some(connection), Some(session)) = (self.connections.get_mut(conn), self.sessions.get_mut(id)) else {
            return;
        };
        let asked = connect.properties;
        connection.stage = Stage::Live(id);
        connection.aliases_in = AliasesIn::new(behaviour.topic_alias_maximum);
        let aliases = asked.topic_alias_maximum().unwrap_or(0).min(behaviour.topic_aliases_used);
        connection.aliases_out = AliasesOut::new(aliases);
        connection.keep_alive = effective_keep_alive(connect, behaviour.server_keep_alive);
        let due = connection.patience().map(|patience| self.now + patience);
        self.timers.set(Owner::Connection(conn), &mut connection.alarm, due);

        session.conn = Some(conn);
        session.expiry = effective_expiry(connect, behaviour.session_expiry_maximum);
        session.will = connect.will.as_ref().map(|will| Box::new(Will::new(will)));
        session.ends = None;
        self.timers.set(Owner::Session(id), &mut session.alarm, None);
        let send_limit = asked.receive_maximum().unwrap_or(u16::MAX).min(behaviour.send_maximum);
        let receive_limit = match connect.version {
            Version::V5 => behaviour.receive_maximum,
            _ => u16::MAX,
        };
        session.flow.resume(send_limit, receive_limit);
    }

    /// What CONNACK tells of this server, as far as it is not what its absence would say (3.2.2.3 of 5.0).
    fn announce(&self, connect: &Connect<'_>, assigned: Option<&str>) -> PropertyBuf {
        let behaviour = &self.settings.behaviour;
        let mut told = PropertyBuf::new();
        let expiry = effective_expiry(connect, behaviour.session_expiry_maximum);
        if expiry != connect.properties.session_expiry_interval().unwrap_or(0) {
            told.push(Property::SessionExpiryInterval(expiry));
        }
        if behaviour.receive_maximum < u16::MAX {
            told.push(Property::ReceiveMaximum(behaviour.receive_maximum.max(1)));
        }
        if behaviour.top_qos() < QoS::ExactlyOnce {
            told.push(Property::MaximumQoS(behaviour.top_qos() as u8));
        }
        if !behaviour.retain {
            told.push(Property::RetainAvailable(0));
        }
        if behaviour.maximum_packet_size < crate::codec::frame::MAX_FRAME {
            told.push(Property::MaximumPacketSize(behaviour.maximum_packet_size.max(1)));
        }
        if let Some(id) = assigned {
            told.push(Property::AssignedClientIdentifier(id));
        }
        if behaviour.topic_alias_maximum > 0 {
            told.push(Property::TopicAliasMaximum(behaviour.topic_alias_maximum));
        }
        if !behaviour.wildcard_subscriptions {
            told.push(Property::WildcardSubscriptionAvailable(0));
        }
        if !behaviour.subscription_identifiers {
            told.push(Property::SubscriptionIdentifierAvailable(0));
        }
        if !behaviour.shared_subscriptions {
            told.push(Property::SharedSubscriptionAvailable(0));
        }
        let keep_alive = effective_keep_alive(connect, behaviour.server_keep_alive);
        if keep_alive != connect.keep_alive {
            told.push(Property::ServerKeepAlive(keep_alive));
        }
        if connect.properties.request_response_information() == Some(1)
            && let Some(information) = &behaviour.response_information
        {
            told.push(Property::ResponseInformation(information));
        }
        told
    }

    /// An identifier no session has, of the form every server must accept (3.1.3-5).
    fn new_client_id(&mut self) -> Arc<str> {
        loop {
            let id = format!("auto{:016x}", self.rng.u64());
            if self.sessions.find(&id).is_none() {
                return id.into();
            }
        }
    }
}

/// The keep alive in force, in seconds. A client before 5.0 cannot be told of another than its own.
fn effective_keep_alive(connect: &Connect<'_>, most: Option<u16>) -> u16 {
    match most {
        Some(most) if connect.version == Version::V5 && (connect.keep_alive == 0 || connect.keep_alive > most) => most,
        _ => connect.keep_alive,
    }
}

/// The session expiry in force, in seconds: before 5.0 clean session says whether there is one.
fn effective_expiry(connect: &Connect<'_>, most: Option<u32>) -> u32 {
    let asked = match connect.version {
        Version::V5 => connect.properties.session_expiry_interval().unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => FOR_EVER,
    };
    asked.min(most.unwrap_or(FOR_EVER))
}

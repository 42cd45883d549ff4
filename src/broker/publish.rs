//! PUBLISH from a client, and the rest of its handshake (3.3 to 3.7 of both standards).

use harness::node::ConnId;

use super::Broker;
use super::message::Draft;
use super::policy::{Act, Asker};
use super::session::SessionId;
use crate::flow::{AliasError, Stray, Taken};
use crate::packet::{Ack, Packet, PacketId, PacketType, Publish, QoS, ReasonCode, Side, Version};
use crate::topic::Topic;
use crate::violation::Rule;

impl Broker {
    pub(super) fn handle_publish(&mut self, conn: ConnId, id: SessionId, publish: &Publish<'_>) {
        let behaviour = &self.settings.behaviour;
        if publish.qos > behaviour.top_qos() {
            return self.refuse(conn, Rule::QosNotSupported);
        }
        if publish.retain && !behaviour.retain {
            return self.refuse(conn, Rule::RetainNotSupported);
        }
        self.counters.received += 1;
        match publish.properties.topic_alias() {
            None => self.take_publish(conn, id, publish),
            Some(alias) => {
                let Some(connection) = self.connections.get_mut(conn) else { return };
                let mut aliases = std::mem::take(&mut connection.aliases_in);
                match aliases.resolve(publish.topic, alias) {
                    Ok(topic) => self.take_publish(conn, id, &Publish { topic, ..*publish }),
                    Err(AliasError::OutOfRange) => self.refuse(conn, Rule::TopicAliasTooLarge(Side::Client)),
                    Err(AliasError::Unknown) => self.refuse(conn, Rule::TopicAliasUnknown),
                }
                if let Some(connection) = self.connections.get_mut(conn) {
                    connection.aliases_in = aliases;
                }
            }
        }
    }

    /// A PUBLISH whose topic is known.
    fn take_publish(&mut self, conn: ConnId, id: SessionId, publish: &Publish<'_>) {
        let Ok(topic) = Topic::new(publish.topic) else { return self.refuse(conn, Rule::EmptyTopic) };
        let Some(session) = self.sessions.get_mut(id) else { return };
        if let Some(packet_id) = publish.packet_id {
            match session.flow.inbound.take(publish.qos, packet_id) {
                Ok(Taken::New) => {}
                Ok(Taken::Repeated) => return self.acknowledge(conn, id, publish, ReasonCode::Success),
                Err(_) => return self.refuse(conn, Rule::ReceiveMaximumExceeded(Side::Client)),
            }
        }
        let reason = if !self.may_publish_as(conn, id, publish.topic) {
            ReasonCode::NotAuthorized
        } else if publish.retain
            && !publish.payload.is_empty()
            && self.is_v5_handshake(conn, publish.qos)
            && !self.retained.has_room(topic)
        {
            ReasonCode::QuotaExceeded
        } else {
            let Publish { qos, retain, properties, payload, .. } = *publish;
            let reached = self.route(&Draft { topic, qos, retain, properties, payload }, Some(id));
            let tells = self.settings.behaviour.tells_no_subscribers;
            if reached || !tells { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers }
        };
        self.acknowledge(conn, id, publish, reason);
    }

    fn is_v5_handshake(&self, conn: ConnId, qos: QoS) -> bool {
        qos != QoS::AtMostOnce && self.connections.get(conn).is_some_and(|connection| connection.version == Version::V5)
    }

    /// Sends PUBACK or PUBREC. Before 5.0 there is no way to say that a message went nowhere (3.3.5-2 of 3.1.1).
    fn acknowledge(&mut self, conn: ConnId, id: SessionId, publish: &Publish<'_>, reason: ReasonCode) {
        let Some(packet_id) = publish.packet_id else { return };
        let (Some(connection), Some(session)) = (self.connections.get(conn), self.sessions.get_mut(id)) else { return };
        let reason = if connection.version == Version::V5 { reason } else { ReasonCode::Success };
        let exactly_once = publish.qos == QoS::ExactlyOnce;
        if !exactly_once {
            session.flow.inbound.acknowledged();
        } else if reason.is_error() {
            session.flow.inbound.refused(packet_id);
        }
        let kind = if exactly_once { PacketType::PubRec } else { PacketType::PubAck };
        let answer = wrap(kind, Ack { reason, ..Ack::success(packet_id) });
        if reason.is_error() {
            let words = match reason {
                ReasonCode::QuotaExceeded => "no room for another retained message",
                _ => "not allowed to publish to this topic",
            };
            self.send_explained(conn, answer, words);
        } else {
            self.send(conn, &answer);
        }
    }

    pub(super) fn handle_pubrel(&mut self, conn: ConnId, id: SessionId, ack: &Ack<'_>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let found = session.flow.inbound.released(ack.packet_id);
        self.answer(conn, ack.packet_id, found, PacketType::PubComp);
    }

    pub(super) fn handle_puback(&mut self, conn: ConnId, id: SessionId, ack: &Ack<'_>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        match session.flow.outbound.acknowledged(ack.packet_id) {
            Ok(_) => self.flush(id),
            Err(Stray::Unknown) => {}
            Err(Stray::Mismatch) => self.refuse(conn, Rule::UnexpectedAck(PacketType::PubAck)),
        }
    }

    pub(super) fn handle_pubrec(&mut self, conn: ConnId, id: SessionId, ack: &Ack<'_>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let outbound = &mut session.flow.outbound;
        let refused = ack.reason.is_error();
        let result = if refused {
            outbound.refused(ack.packet_id).map(drop)
        } else {
            outbound.received(ack.packet_id).map(drop)
        };
        match result {
            Ok(()) if refused => self.flush(id),
            Ok(()) => self.answer(conn, ack.packet_id, true, PacketType::PubRel),
            Err(Stray::Unknown) if refused => {}
            Err(Stray::Unknown) => self.answer(conn, ack.packet_id, false, PacketType::PubRel),
            Err(Stray::Mismatch) => self.refuse(conn, Rule::UnexpectedAck(PacketType::PubRec)),
        }
    }

    pub(super) fn handle_pubcomp(&mut self, conn: ConnId, id: SessionId, ack: &Ack<'_>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        match session.flow.outbound.completed(ack.packet_id) {
            Ok(()) => self.flush(id),
            Err(Stray::Unknown) => {}
            Err(Stray::Mismatch) => self.refuse(conn, Rule::UnexpectedAck(PacketType::PubComp)),
        }
    }

    /// Sends PUBREL or PUBCOMP; where no message has the identifier 5.0 says so (3.6.2.1, 3.7.2.1).
    fn answer(&mut self, conn: ConnId, packet_id: PacketId, found: bool, kind: PacketType) {
        let v5 = self.connections.get(conn).is_some_and(|connection| connection.version == Version::V5);
        if found || !v5 {
            self.send(conn, &wrap(kind, Ack::success(packet_id)));
        } else {
            let reason = ReasonCode::PacketIdentifierNotFound;
            let answer = wrap(kind, Ack { reason, ..Ack::success(packet_id) });
            self.send_explained(conn, answer, Rule::PacketIdNotFound.words());
        }
    }

    fn may_publish_as(&self, conn: ConnId, id: SessionId, topic: &str) -> bool {
        if self.settings.policy.is_open() && !topic.starts_with('$') {
            return true;
        }
        self.sessions.get(id).is_some_and(|session| self.may_publish(conn, &session.client_id, topic))
    }

    /// Whether the client on this connection may publish to a topic.
    pub(super) fn may_publish(&self, conn: ConnId, client: &str, topic: &str) -> bool {
        if topic.starts_with('$') && !self.settings.behaviour.dollar_topics {
            return false;
        }
        let user = self.connections.get(conn).and_then(|connection| connection.peer.user.as_deref());
        self.settings.policy.allows(Asker { user, client }, Act::Publish, topic)
    }
}

/// An acknowledgement of this kind.
fn wrap(kind: PacketType, ack: Ack<'_>) -> Packet<'_> {
    match kind {
        PacketType::PubAck => Packet::PubAck(ack),
        PacketType::PubRec => Packet::PubRec(ack),
        PacketType::PubRel => Packet::PubRel(ack),
        _ => Packet::PubComp(ack),
    }
}

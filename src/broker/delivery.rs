//! From a session to its connection: what is sent now, what waits, and what is dropped (4.9 of 5.0).

use harness::node::ConnId;
use harness::time::Instant;

use super::Broker;
use super::connection::Connection;
use super::message::Delivery;
use super::output::Outbox;
use super::session::SessionId;
use crate::codec::publish_head;
use crate::flow::{Alias, Repeat};
use crate::packet::{Ack, Packet, PacketId, Properties, Property, PropertyBuf, Publish, QoS, Version};

/// The packet identifier and whether the packet is a repeat; `None` at QoS 0.
type Attempt = Option<(PacketId, bool)>;

/// Writes PUBLISH packets; keeps the memory between them.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The properties of one receiver.
    own: PropertyBuf,
}

impl Writer {
    /// Sends one copy, unless it is larger than the peer takes; tells which.
    fn send(
        &mut self,
        outbox: &mut Outbox,
        (conn, connection): (ConnId, &mut Connection),
        delivery: &Delivery<'_>,
        attempt: Attempt,
        now: Instant,
    ) -> bool {
        let topic = delivery.message.topic();
        let alias = connection.aliases_out.alias(topic);
        let sent = self.write(outbox, (conn, connection), delivery, attempt, (topic, alias), now);
        match alias {
            Alias::New(_) if sent => connection.aliases_out.bind(topic),
            // Three bytes less may be what it takes.
            Alias::New(_) => {
                return self.write(outbox, (conn, connection), delivery, attempt, (topic, Alias::None), now);
            }
            Alias::None | Alias::Known(_) => {}
        }
        sent
    }

    fn write(
        &mut self,
        outbox: &mut Outbox,
        (conn, connection): (ConnId, &mut Connection),
        delivery: &Delivery<'_>,
        attempt: Attempt,
        (topic, alias): (&str, Alias),
        now: Instant,
    ) -> bool {
        let message = delivery.message;
        let bytes = message.bytes();
        let (properties_at, payload_at) = (message.properties_at(), message.payload_at());
        self.own.clear();
        let (properties, shared_at) = if connection.version == Version::V5 {
            if let Some(seconds) = message.remaining(now) {
                self.own.push(Property::MessageExpiryInterval(seconds));
            }
            if let Alias::New(alias) | Alias::Known(alias) = alias {
                self.own.push(Property::TopicAlias(alias));
            }
            for &identifier in delivery.identifiers {
                self.own.push(Property::SubscriptionIdentifier(identifier));
            }
            (Properties::kept(&bytes[properties_at..payload_at]), properties_at)
        } else {
            (Properties::EMPTY, payload_at)
        };
        let publish = Publish {
            dup: attempt.is_some_and(|(_, repeat)| repeat),
            qos: delivery.qos,
            retain: delivery.retain,
            topic: if matches!(alias, Alias::Known(_)) { "" } else { topic },
            packet_id: attempt.map(|(packet_id, _)| packet_id),
            properties,
            payload: &bytes[payload_at..],
        };
        let (mark, arena) = outbox.begin();
        let written = publish_head(&publish, self.own.view(), connection.version, arena).is_ok();
        let len = arena.len() - mark + bytes.len() - shared_at;
        if !written || len > connection.maximum_packet as usize {
            outbox.cancel(mark);
            return false;
        }
        connection.room -= len as i64;
        outbox.send_with(conn, mark, bytes, shared_at);
        true
    }
}

impl Broker {
    /// Gives one copy to a session: it is sent at once if nothing of its kind is before it and the connection takes it,
    /// and else waits, as long as there is room.
    pub(super) fn deliver(&mut self, id: SessionId, delivery: Delivery<'_>) {
        let Self { sessions, connections, outbox, writer, counters, settings, now, .. } = self;
        let Some(session) = sessions.get_mut(id) else { return };
        let connection = session.conn.and_then(|conn| Some((conn, connections.get_mut(conn)?)));
        let at_most_once = delivery.qos == QoS::AtMostOnce;
        let waits = match connection {
            Some((conn, connection)) if connection.room > 0 && session.is_clear(delivery.qos) => {
                if at_most_once {
                    counters.sent += u64::from(writer.send(outbox, (conn, connection), &delivery, None, *now));
                    return;
                }
                match session.flow.outbound.send(delivery.qos, delivery.to_pending()) {
                    Ok(packet_id) => {
                        if writer.send(outbox, (conn, connection), &delivery, Some((packet_id, false)), *now) {
                            counters.sent += 1;
                        } else {
                            session.flow.outbound.forget(packet_id);
                        }
                        return;
                    }
                    Err(pending) => Some(pending),
                }
            }
            None if at_most_once && !settings.behaviour.queues_qos_0 => None,
            _ => Some(delivery.to_pending()),
        };
        if !waits.is_some_and(|pending| session.wait(pending, &settings.behaviour.limits)) {
            counters.dropped += 1;
        }
    }

    /// Sends what waits in a session, as far as quota and connection allow: first what an earlier connection left
    /// unfinished (4.4), then what never was sent. What has expired, or is too large for the client, is dropped.
    pub(super) fn flush(&mut self, id: SessionId) {
        let Some(conn) = self.sessions.get(id).and_then(|session| session.conn) else { return };
        let Self { sessions, connections, outbox, writer, counters, now, .. } = self;
        let (Some(session), Some(connection)) = (sessions.get_mut(id), connections.get_mut(conn)) else { return };
        while connection.room > 0 || session.flow.outbound.peek_repeat().is_none() {
            match session.flow.outbound.next_repeat() {
                Some(Repeat::Release(packet_id)) => {
                    connection.send(outbox, conn, &Packet::PubRel(Ack::success(packet_id)));
                }
                Some(Repeat::Publish(packet_id, pending)) => {
                    let attempt = Some((packet_id, true));
                    if !writer.send(outbox, (conn, connection), &pending.delivery(), attempt, *now) {
                        session.flow.outbound.forget(packet_id);
                    }
                }
                None => break,
            }
        }
        while connection.room > 0 && session.flow.outbound.is_ready() {
            let Some(pending) = session.next_waiting(false) else { break };
            if pending.message().is_expired(*now) {
                continue;
            }
            let Ok(packet_id) = session.flow.outbound.send(pending.qos, pending.clone()) else { break };
            if writer.send(outbox, (conn, connection), &pending.delivery(), Some((packet_id, false)), *now) {
                counters.sent += 1;
            } else {
                session.flow.outbound.forget(packet_id);
            }
        }
        while connection.room > 0 {
            let Some(pending) = session.next_waiting(true) else { break };
            if !pending.message().is_expired(*now) {
                counters.sent += u64::from(writer.send(outbox, (conn, connection), &pending.delivery(), None, *now));
            }
        }
    }
}

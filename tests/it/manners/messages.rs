//! What becomes of messages on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::node::ConnId;
use harness::time::Instant;
use testament::mutant::seam::{Fate, Passing, Seam};
use testament::packet::{Ack, Packet, PacketId, Property, PropertyBuf, Publish, QoS, Version};

/// A message at QoS 1 or 2 that nobody acknowledges is sent again on the same connection, twenty seconds later, when the
/// client is next heard (before 5.0).
#[derive(Default)]
pub(crate) struct Insistent {
    open: BTreeMap<(ConnId, PacketId), (Instant, Vec<u8>)>,
}

impl Seam for Insistent {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::PubAck(ack) | Packet::PubRec(ack)) = passing.packet {
            self.open.remove(&(passing.conn, ack.packet_id));
        }
        for ((conn, _), (sent, again)) in &mut self.open {
            if *conn == passing.conn && passing.now >= *sent + Duration::from_secs(20) {
                *sent = passing.now;
                fate.back(again);
            }
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let (Ok(Packet::Publish(publish)), true) = (passing.packet, passing.version != Version::V5)
            && let Some(id) = publish.packet_id
        {
            let mut again = passing.frame.to_vec();
            again[0] |= 0b1000;
            self.open.insert((passing.conn, id), (passing.now, again));
        }
        fate.on(passing.frame);
    }

    fn gone(&mut self, gone: ConnId) {
        self.open.retain(|(conn, _), _| *conn != gone);
    }
}

/// The rest of a message's lifetime is rounded down.
pub(crate) struct RoundsDown;

impl Seam for RoundsDown {
    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let Ok(Packet::Publish(publish)) = passing.packet else { return fate.on(passing.frame) };
        let mut less = PropertyBuf::new();
        for property in publish.properties.iter() {
            less.push(match property {
                Property::MessageExpiryInterval(rest) => Property::MessageExpiryInterval(rest.saturating_sub(1)),
                other => other,
            });
        }
        fate.on_as(&Packet::Publish(Publish { properties: less.view(), ..publish }), passing.version);
    }
}

/// A message at QoS 2 goes nowhere before its PUBREL, and nobody is told whether somebody subscribes to it (4.3.3: the other
/// method). What may not be published is refused at once.
#[derive(Default)]
pub(crate) struct OnRelease {
    clients: BTreeMap<ConnId, String>,
    held: BTreeMap<(String, PacketId), Vec<u8>>,
    /// Those that the broker behind has been given, and whose own PUBREC is due.
    released: BTreeSet<(ConnId, PacketId)>,
}

impl OnRelease {
    /// The receive maximum that the broker behind announces.
    const MOST: usize = 20;
}

impl Seam for OnRelease {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let client = self.clients.get(&passing.conn).cloned().unwrap_or_default();
        let open = self.held.keys().filter(|(of, _)| *of == client).count();
        match passing.packet {
            Ok(Packet::Connect(connect)) => {
                self.clients.insert(passing.conn, connect.client_id.to_owned());
                if connect.clean_start {
                    self.held.retain(|(client, _), _| client != connect.client_id);
                }
            }
            Ok(Packet::Publish(publish))
                if publish.qos == QoS::ExactlyOnce
                    && !client.is_empty()
                    && publish.properties.topic_alias().is_none()
                    && !publish.topic.starts_with("testament/") =>
            {
                let Some(id) = publish.packet_id else { return };
                if passing.version == Version::V5
                    && open == Self::MOST
                    && !self.held.contains_key(&(client.clone(), id))
                {
                    return fate.cut();
                }
                self.held.insert((client, id), passing.frame.to_vec());
                return fate.back_as(&Packet::PubRec(Ack::success(id)), passing.version);
            }
            Ok(Packet::PubRel(ack)) => {
                if let Some(held) = self.held.remove(&(client, ack.packet_id)) {
                    self.released.insert((passing.conn, ack.packet_id));
                    fate.on(&held);
                }
            }
            _ => {}
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        // Its own PUBREC comes with PUBREL, when it has long been sent; what it would have refused is no message.
        match passing.packet {
            Ok(Packet::PubRec(ack))
                if self.released.remove(&(passing.conn, ack.packet_id)) && !ack.reason.is_error() => {}
            _ => fate.on(passing.frame),
        }
    }
}

/// Where several filters of one SUBSCRIBE match a stored message, it comes once, at the highest quality of service but for
/// what came before that.
#[derive(Default)]
pub(crate) struct Sparing {
    /// What the latest SUBSCRIBE of a connection has brought, each with its quality of service.
    brought: BTreeMap<ConnId, (Instant, Vec<(String, QoS)>)>,
}

impl Seam for Sparing {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::Subscribe(_)) = passing.packet {
            self.brought.insert(passing.conn, (passing.now, Vec::new()));
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let (Ok(Packet::Publish(publish)), Some((at, brought))) = (passing.packet, self.brought.get_mut(&passing.conn))
        else {
            return fate.on(passing.frame);
        };
        let stored = publish.retain && *at == passing.now;
        if stored && brought.iter().any(|(topic, qos)| topic == publish.topic && *qos >= publish.qos) {
            // The broker is told that it has arrived.
            match publish.packet_id.map(Ack::success) {
                Some(ack) if publish.qos == QoS::AtLeastOnce => fate.back_as(&Packet::PubAck(ack), passing.version),
                Some(_) => fate.on(passing.frame),
                None => {}
            }
            return;
        }
        if stored {
            brought.push((publish.topic.to_owned(), publish.qos));
        }
        fate.on(passing.frame);
    }
}

//! What answers say, and under which identifiers.

use std::collections::BTreeMap;

use harness::node::ConnId;
use testament::mutant::seam::{Fate, Passing, Seam};
use testament::packet::{
    Ack, ConnAck, Disconnect, Packet, PacketId, Properties, Property, PropertyBuf, Publish, ReasonCode, Version,
};

/// Every answer of 5.0 says more than it must, as far as the client allows: a reason string and user properties.
#[derive(Default)]
pub(crate) struct Talkative {
    quiet: BTreeMap<ConnId, bool>,
}

impl Seam for Talkative {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::Connect(connect)) = passing.packet {
            let asked = connect.properties;
            let quiet = asked.request_problem_information() == Some(0) || asked.maximum_packet_size().is_some();
            self.quiet.insert(passing.conn, quiet);
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let quiet = self.quiet.get(&passing.conn).is_none_or(|quiet| *quiet);
        let (Ok(packet), Version::V5, false) = (passing.packet, passing.version, quiet) else {
            return fate.on(passing.frame);
        };
        if matches!(packet, Packet::Publish(_) | Packet::PingResp | Packet::Auth(_)) {
            return fate.on(passing.frame);
        }
        let own = packet.properties();
        let mut more = PropertyBuf::new();
        more.extend(own);
        if own.reason_string().is_none() {
            more.push(Property::ReasonString("as it should be"));
        }
        more.push(Property::UserProperty("broker", "one"));
        more.push(Property::UserProperty("broker", "two"));
        fate.on_as(&packet.with_properties(more.view()), passing.version);
    }
}

/// Whatever is wrong, DISCONNECT and CONNACK of 5.0 only say that something is (0x80).
pub(crate) struct Unspecific;

impl Seam for Unspecific {
    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let (reason, properties) = (ReasonCode::UnspecifiedError, Properties::EMPTY);
        match passing.packet {
            Ok(Packet::Disconnect(said)) if said.reason.is_error() => {
                fate.on_as(&Packet::Disconnect(Disconnect { reason, properties }), passing.version);
            }
            Ok(Packet::ConnAck(said)) if passing.version == Version::V5 && said.reason.is_error() => {
                fate.on_as(&Packet::ConnAck(ConnAck { session_present: false, reason, properties }), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    }
}

/// Who is turned away under 5.0 gets no CONNACK (4.13.2: it MAY come).
pub(crate) struct Curt;

impl Seam for Curt {
    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::ConnAck(said)) if passing.version == Version::V5 && said.reason.is_error() => {}
            _ => fate.on(passing.frame),
        }
    }
}

/// Packet identifiers go down from 65,535.
pub(crate) struct Descending;

impl Seam for Descending {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::PubAck(ack)) => fate.on_as(&Packet::PubAck(mirrored(ack)), passing.version),
            Ok(Packet::PubRec(ack)) => fate.on_as(&Packet::PubRec(mirrored(ack)), passing.version),
            Ok(Packet::PubComp(ack)) => fate.on_as(&Packet::PubComp(mirrored(ack)), passing.version),
            _ => fate.on(passing.frame),
        }
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::PubRel(ack)) => fate.on_as(&Packet::PubRel(mirrored(ack)), passing.version),
            Ok(Packet::Publish(publish)) => {
                let packet_id = publish.packet_id.map(mirror);
                fate.on_as(&Packet::Publish(Publish { packet_id, ..publish }), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    }
}

fn mirrored(ack: Ack<'_>) -> Ack<'_> {
    Ack { packet_id: mirror(ack.packet_id), ..ack }
}

fn mirror(id: PacketId) -> PacketId {
    PacketId::new(u16::MAX - id.get() + 1).unwrap_or(id)
}

/// An accepting CONNACK of 5.0 says everything, also what its absence would say.
#[derive(Default)]
pub(crate) struct Exhaustive {
    asked: BTreeMap<ConnId, (u16, Option<u32>)>,
}

impl Seam for Exhaustive {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::Connect(connect)) = passing.packet {
            let asked = (connect.keep_alive, connect.properties.session_expiry_interval());
            self.asked.insert(passing.conn, asked);
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let (Ok(Packet::ConnAck(connack)), Version::V5) = (passing.packet, passing.version) else {
            return fate.on(passing.frame);
        };
        let (keep_alive, expiry) = self.asked.remove(&passing.conn).unwrap_or_default();
        if connack.reason.is_error() {
            return fate.on(passing.frame);
        }
        let mut all = PropertyBuf::new();
        all.extend(connack.properties);
        for property in [
            Property::SessionExpiryInterval(expiry.unwrap_or(0)),
            Property::ReceiveMaximum(u16::MAX),
            Property::RetainAvailable(1),
            Property::TopicAliasMaximum(0),
            Property::WildcardSubscriptionAvailable(1),
            Property::SubscriptionIdentifierAvailable(1),
            Property::SharedSubscriptionAvailable(1),
            Property::ServerKeepAlive(keep_alive),
        ] {
            if !connack.properties.holds(property.id()) {
                all.push(property);
            }
        }
        fate.on_as(&Packet::ConnAck(ConnAck { properties: all.view(), ..connack }), passing.version);
    }
}

//! What is granted, refused and put off.

use std::collections::BTreeSet;

use harness::node::ConnId;
use testament::mutant::seam::{Fate, Passing, Seam};
use testament::packet::{
    ConnAck, Connect, Packet, Properties, Property, PropertyBuf, QoS, ReasonCode, ReasonCodes, SubAck, Subscribe,
    SubscriptionBuf, Version,
};

/// Subscriptions are granted QoS 1 at most, and before 5.0 nothing announces it.
pub(crate) struct Frugal;

impl Seam for Frugal {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let Ok(Packet::Subscribe(subscribe)) = passing.packet else { return fate.on(passing.frame) };
        let granted = subscribe.subscriptions.iter().fold(SubscriptionBuf::new(), |list, mut subscription| {
            subscription.options.qos = subscription.options.qos.min(QoS::AtLeastOnce);
            list.with(subscription.filter, subscription.options)
        });
        fate.on_as(&Packet::Subscribe(Subscribe { subscriptions: granted.view(), ..subscribe }), passing.version);
    }
}

/// Filters of more than ten levels or two hundred bytes are correct, but not allowed to anybody (3.9.3 of 5.0): one of them, and
/// all of the SUBSCRIBE is refused, but for 3.1, where SUBACK cannot.
pub(crate) struct Shallow;

impl Shallow {
    fn refuses(name: &str) -> bool {
        name.len() > 200 || name.split('/').count() > 10
    }
}

impl Seam for Shallow {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::Subscribe(subscribe))
                if passing.version != Version::V31
                    && subscribe.subscriptions.iter().any(|s| Self::refuses(s.filter)) =>
            {
                let no = if passing.version == Version::V5 {
                    ReasonCode::TopicFilterInvalid
                } else {
                    ReasonCode::UnspecifiedError
                };
                let reasons = vec![no as u8; subscribe.subscriptions.iter().count()];
                let Some(reasons) = ReasonCodes::from_bytes(&reasons) else { return };
                let (packet_id, properties) = (subscribe.packet_id, Properties::EMPTY);
                fate.back_as(&Packet::SubAck(SubAck { packet_id, properties, reasons }), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    }
}

/// A keep alive of less than half a minute is raised to that, and 5.0 is told so.
#[derive(Default)]
pub(crate) struct Unhurried {
    raised: BTreeSet<ConnId>,
}

impl Unhurried {
    const LEAST: u16 = 30;
}

impl Seam for Unhurried {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::Connect(connect)) if connect.version == Version::V5 && connect.keep_alive < Self::LEAST => {
                self.raised.insert(passing.conn);
                let raised = Packet::Connect(Connect { keep_alive: Self::LEAST, ..connect });
                fate.on_as(&raised, connect.version);
            }
            _ => fate.on(passing.frame),
        }
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::ConnAck(connack)) if self.raised.remove(&passing.conn) && !connack.reason.is_error() => {
                let mut more = PropertyBuf::new();
                more.extend(connack.properties);
                more.push(Property::ServerKeepAlive(Self::LEAST));
                fate.on_as(&Packet::ConnAck(ConnAck { properties: more.view(), ..connack }), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    }
}

/// Who publishes to the forbidden topic is disconnected, but for 3.1, which asks for an acknowledgement.
pub(crate) struct Severe;

impl Seam for Severe {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::Publish(publish))
                if publish.topic == "testament/forbidden" && passing.version != Version::V31 =>
            {
                fate.cut();
            }
            _ => fate.on(passing.frame),
        }
    }
}

/// Every other client is to come again later, and the first one, too.
#[derive(Default)]
pub(crate) struct Busy {
    came: u32,
    welcome: BTreeSet<ConnId>,
}

impl Seam for Busy {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let Ok(Packet::Connect(connect)) = passing.packet else { return fate.on(passing.frame) };
        self.came += u32::from(!self.welcome.contains(&passing.conn));
        if self.came.is_multiple_of(2) {
            self.welcome.insert(passing.conn);
            return fate.on(passing.frame);
        }
        let v5 = connect.version == Version::V5;
        let reason = if v5 { ReasonCode::ServerBusy } else { ReasonCode::ServerUnavailable };
        let (session_present, properties) = (false, Properties::EMPTY);
        fate.back_as(&Packet::ConnAck(ConnAck { session_present, reason, properties }), connect.version);
        fate.cut();
    }

    fn gone(&mut self, conn: ConnId) {
        self.welcome.remove(&conn);
    }
}

//! What the clients of a play have asked for and what they have sent, as it went out: by this each message that comes is
//! measured, whatever the case is about.

use std::collections::{BTreeMap, BTreeSet};

use crate::packet::{Packet, PacketId, Publish, QoS, SubAck};
use crate::topic::{Filter, Topic};

/// What a message that came is not, by the requirement of each standard that asks for it.
pub(super) struct Fault {
    /// The requirements.
    pub(super) clauses: &'static [&'static str],
    /// What should have come, in words.
    pub(super) expected: String,
}

/// The subscriptions and messages of a play.
#[derive(Default)]
pub(super) struct Ledger {
    /// By client identifier, each filter and each level that was asked for or granted. Nothing is ever taken out: what was
    /// under way comes even when its subscription has ended.
    levels: BTreeMap<String, BTreeSet<(String, QoS)>>,
    /// SUBSCRIBEs without a SUBACK, which may still grant less: by client, and the filters in their order.
    open: BTreeMap<(String, PacketId), Vec<String>>,
    /// By topic and payload, the levels at which it was published, also as a will.
    sent: BTreeMap<(String, Vec<u8>), BTreeSet<QoS>>,
    /// Something went out that cannot be read. Who knows what a server makes of it.
    blind: bool,
}

impl Ledger {
    /// Something that cannot be read is sent.
    pub(super) fn lose_sight(&mut self) {
        self.blind = true;
    }

    /// This client sends a packet.
    pub(super) fn goes(&mut self, client: &str, packet: &Packet<'_>) {
        match packet {
            Packet::Connect(connect) => {
                // It goes on under a name of the server's choice.
                self.blind |= connect.client_id.is_empty();
                if let Some(will) = connect.will {
                    self.publishes(will.topic, will.payload, will.qos);
                }
            }
            Packet::Publish(publish) => self.publishes(publish.topic, publish.payload, publish.qos),
            Packet::Subscribe(subscribe) => {
                let asked = || subscribe.subscriptions.iter().map(|each| (each.filter.to_owned(), each.options.qos));
                self.levels.entry(client.to_owned()).or_default().extend(asked());
                let filters = asked().map(|(filter, _)| filter).collect();
                self.open.insert((client.to_owned(), subscribe.packet_id), filters);
            }
            _ => {}
        }
    }

    fn publishes(&mut self, topic: &str, payload: &[u8], qos: QoS) {
        self.sent.entry((topic.to_owned(), payload.to_owned())).or_default().insert(qos);
    }

    /// This client gets a SUBACK.
    pub(super) fn is_granted(&mut self, client: &str, suback: &SubAck<'_>) {
        let filters = self.open.remove(&(client.to_owned(), suback.packet_id)).unwrap_or_default();
        let granted = filters.into_iter().zip(suback.reasons.iter());
        let granted = granted.filter_map(|(filter, reason)| Some((filter, QoS::from_u8(reason.code())?)));
        self.levels.entry(client.to_owned()).or_default().extend(granted);
    }

    /// What is wrong with a message to this client, in the light of what it asked for and of what others sent: it has a topic, if
    /// only by an alias, which matches one of the client's filters, and its level is the lower of those of the message and of
    /// the subscription. Names of the server's own are left to the cases that are about them.
    pub(super) fn fault(&self, client: &str, topic: &str, publish: &Publish<'_>) -> Option<Fault> {
        if topic.is_empty() {
            let clauses = &["mqtt5:ext-110"];
            return Some(Fault {
                clauses,
                expected: "a topic name, or an alias that was set on this connection".into(),
            });
        }
        let name = Topic::new(topic).ok().filter(|name| !self.blind && !name.is_reserved())?;
        let matches = |filter: &str| {
            let filter = Filter::new(filter).ok();
            let filter = filter.map(|filter| filter.shared().ok().flatten().map_or(filter, |shared| shared.filter));
            filter.is_some_and(|filter| filter.matches(name))
        };
        let own = self.levels.get(client).into_iter().flatten().filter(|(filter, _)| matches(filter));
        let levels: BTreeSet<QoS> = own.map(|(_, qos)| *qos).collect();
        if levels.is_empty() {
            let clauses = &["mqtt5:3.3.2-3", "mqtt311:3.3.2-3"];
            return Some(Fault {
                clauses,
                expected: "a message whose topic one of the client's filters matches".into(),
            });
        }
        let sent = self.sent.get(&(topic.to_owned(), publish.payload.to_owned()))?;
        let due: BTreeSet<_> = sent.iter().flat_map(|sent| levels.iter().map(move |level| *sent.min(level))).collect();
        let settled = !self.open.keys().any(|(open, _)| open == client);
        (settled && !due.contains(&publish.qos)).then(|| {
            let due: Vec<_> = due.iter().map(|qos| (*qos as u8).to_string()).collect();
            Fault {
                clauses: &["mqtt5:3.8.4-8", "mqtt311:3.8.4-6"],
                expected: format!(
                    "the message at QoS {}, the lower of what it was sent at and what was granted",
                    due.join(" or ")
                ),
            }
        })
    }
}

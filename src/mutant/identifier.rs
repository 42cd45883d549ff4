//! Mutants of packet identifiers: when one is free again, and for whom (2.2.1 of 5.0, 2.3.1 of 3.1.1, 4.3 of both).

use std::collections::{BTreeMap, BTreeSet};

use harness::node::ConnId;

use super::change::{go_on_unless, inbound, outbound, remembering, unheard};
use super::seam::{Fate, Passing, Seam};
use super::{Mutant, PASSED_ON};
use crate::codec;
use crate::packet::{Ack, Packet, PacketId, Properties, Publish, QoS, ReasonCode, Side};
pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam(
            "takes-a-used-identifier-for-a-repeat",
            &["mqtt5:ext-012", "mqtt5:4.3.2-5", "mqtt311:4.3.2-2"],
            || {
                let mut used = BTreeSet::new();
                inbound(move |passing, packet, fate| match packet {
                    Packet::Publish(Publish { qos: QoS::AtLeastOnce, packet_id: Some(id), .. })
                        if !used.insert((passing.conn, id)) =>
                    {
                        fate.back_as(&Packet::PubAck(Ack::success(id)), passing.version);
                    }
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam(
            "takes-a-completed-identifier-for-a-repeat",
            &["mqtt5:4.3.3-12", "mqtt5:4.3.3-9", "mqtt5:ext-230", "mqtt5:ext-012", "mqtt311:4.3.3-2"],
            || {
                let mut used = BTreeSet::new();
                inbound(move |passing, packet, fate| match packet {
                    Packet::Publish(Publish { qos: QoS::ExactlyOnce, packet_id: Some(id), .. })
                        if !used.insert((passing.conn, id)) =>
                    {
                        fate.back_as(&Packet::PubRec(Ack::success(id)), passing.version);
                    }
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("stores-nothing-that-is-released-on-resumption", &["mqtt5:3.3.1-5", "mqtt311:3.3.1-5"], || {
            // NATS before 2.14: RETAIN is kept with the connection, so a message at QoS 2 is stored when it is released there.
            let mut open = BTreeMap::<(ConnId, PacketId), Vec<u8>>::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::Connect(_) => {
                    open.retain(|(conn, _), _| *conn != passing.conn);
                    fate.on(passing.frame);
                }
                Packet::Publish(publish @ Publish { qos: QoS::ExactlyOnce, retain: true, packet_id: Some(id), .. }) => {
                    open.insert((passing.conn, id), passing.frame.to_vec());
                    fate.on_as(&Packet::Publish(Publish { retain: false, ..publish }), passing.version);
                }
                Packet::PubRel(ack) => {
                    fate.on(passing.frame);
                    let Some(frame) = open.remove(&(passing.conn, ack.packet_id)) else { return };
                    if let Ok(Packet::Publish(publish)) = codec::decode(&frame, passing.version, Side::Client) {
                        let stored = Publish { qos: QoS::AtMostOnce, dup: false, packet_id: None, ..publish };
                        fate.on_as(&Packet::Publish(stored), passing.version);
                    }
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("drops-the-properties-of-repeats", PASSED_ON, || {
            outbound(|passing, packet, fate| match packet {
                Packet::Publish(publish) if publish.dup && passing.version.has_properties() => {
                    let properties = Properties::EMPTY;
                    fate.on_as(&Packet::Publish(Publish { properties, ..publish }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("drops-the-properties-of-messages-at-qos-2", PASSED_ON, || {
            // rumqttd before 0.18.
            inbound(|passing, packet, fate| match packet {
                Packet::Publish(publish @ Publish { qos: QoS::ExactlyOnce, .. })
                    if passing.version.has_properties() =>
                {
                    let properties = Properties::EMPTY;
                    fate.on_as(&Packet::Publish(Publish { properties, ..publish }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "closes-for-a-subscribe-with-an-identifier-of-its-own",
            &["mqtt5:ext-013", "mqtt311:ext-015"],
            || {
                remembering::<BTreeSet<(ConnId, PacketId)>>(
                    |used, passing, packet, fate| match packet {
                        Packet::Subscribe(subscribe) if used.contains(&(passing.conn, subscribe.packet_id)) => {
                            fate.cut()
                        }
                        Packet::PubAck(ack) | Packet::PubComp(ack) => {
                            used.remove(&(passing.conn, ack.packet_id));
                            fate.on(passing.frame);
                        }
                        _ => fate.on(passing.frame),
                    },
                    |used, passing, packet, fate| {
                        match packet {
                            Packet::ConnAck(_) => used.retain(|(conn, _)| *conn != passing.conn),
                            Packet::Publish(publish) => used.extend(publish.packet_id.map(|id| (passing.conn, id))),
                            _ => {}
                        }
                        fate.on(passing.frame);
                    },
                )
            },
        ),
        Mutant::seam("forgets-releases-at-unsubscribe", &["mqtt5:3.10.4-3", "mqtt311:3.10.4-3"], || {
            remembering::<(BTreeMap<ConnId, String>, BTreeSet<String>)>(
                |(clients, ended), passing, packet, fate| {
                    match packet {
                        Packet::Connect(connect) => drop(clients.insert(passing.conn, connect.client_id.to_owned())),
                        Packet::Unsubscribe(_) => ended.extend(clients.get(&passing.conn).cloned()),
                        _ => {}
                    }
                    fate.on(passing.frame);
                },
                |(clients, ended), passing, packet, fate| {
                    let forgotten = clients.get(&passing.conn).is_some_and(|client| ended.contains(client));
                    go_on_unless(forgotten && matches!(packet, Packet::PubRel(_)), passing, fate);
                },
            )
        }),
        Mutant::seam("closes-for-a-second-repetition", &["mqtt5:4.3.3-10", "mqtt311:4.3.3-2"], || {
            // Mosquitto 2.1.
            let mut repeated = BTreeMap::<PacketId, usize>::new();
            inbound(move |passing, packet, fate| {
                match packet {
                    Packet::Publish(Publish { qos: QoS::ExactlyOnce, dup: true, packet_id: Some(id), .. }) => {
                        let times = repeated.entry(id).or_default();
                        *times += 1;
                        if *times > 1 {
                            return fate.cut();
                        }
                    }
                    Packet::PubRel(ack) => drop(repeated.remove(&ack.packet_id)),
                    _ => {}
                }
                fate.on(passing.frame);
            })
        }),
        Mutant::seam("repeats-only-once", &["mqtt5:4.4.0-1", "mqtt311:4.4.0-1"], || {
            // FlashMQ 0.x.
            let mut repeated = BTreeSet::new();
            outbound(move |passing, packet, fate| {
                let again = matches!(packet, Packet::Publish(publish)
                    if publish.dup && !repeated.insert((publish.topic.to_owned(), publish.payload.to_owned())));
                go_on_unless(again, passing, fate);
            })
        }),
        Mutant::seam("closes-for-an-invalid-payload-format", &["mqtt5:3.4.2-1", "mqtt5:3.5.2-1"], || {
            // Mosquitto before 2.0.19.
            inbound(|passing, packet, fate| match packet {
                Packet::PubAck(ack) | Packet::PubRec(ack) if ack.reason == ReasonCode::PayloadFormatInvalid => {
                    fate.cut()
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "keeps-identifiers-across-sessions",
            &["mqtt5:3.1.2-4", "mqtt5:4.1.0-2", "mqtt311:ext-087"],
            || {
                let mut open = BTreeSet::new();
                inbound(move |passing, packet, fate| match packet {
                    Packet::Publish(Publish { qos: QoS::ExactlyOnce, packet_id: Some(id), .. }) if !open.insert(id) => {
                        fate.back_as(&Packet::PubRec(Ack::success(id)), passing.version);
                    }
                    Packet::PubRel(ack) => {
                        open.remove(&ack.packet_id);
                        fate.on(passing.frame);
                    }
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("closes-for-an-identifier-of-its-own", &["mqtt5:ext-013", "mqtt311:ext-015"], || {
            Box::new(OneRange::that(|_, _, fate| fate.cut()))
        }),
        Mutant::seam("takes-an-identifier-of-its-own-for-a-repeat", &["mqtt5:ext-013", "mqtt311:ext-015"], || {
            Box::new(OneRange::that(|passing, publish, fate| {
                let Some(ack) = publish.packet_id.map(Ack::success) else { return };
                let once = publish.qos == QoS::AtLeastOnce;
                fate.back_as(&if once { Packet::PubAck(ack) } else { Packet::PubRec(ack) }, passing.version);
            }))
        }),
        Mutant::seam("takes-pubrec-for-puback", &["mqtt5:ext-139", "mqtt311:ext-085"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::PubRec(ack) => fate.on_as(&Packet::PubAck(Ack::success(ack.packet_id)), passing.version),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("never-answers-pubrec", &["mqtt5:ext-137", "mqtt311:ext-083"], || {
            unheard(|packet| matches!(packet, Packet::PubRec(_)))
        }),
        Mutant::seam("closes-for-a-pubrel-of-nothing", &["mqtt311:ext-082", "mqtt5:ext-137"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::PubRel(ack) if ack.packet_id.get() == 999 => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("closes-for-an-acknowledgement-of-nothing", &["mqtt311:ext-084"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::PubAck(ack) | Packet::PubComp(ack) if ack.packet_id.get() == 999 => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
    ]
    .into_iter()
}

/// Packet identifiers of both sides are taken for those of one range: what becomes of a PUBLISH under one that is in use by a
/// delivery.
struct OneRange {
    clash: fn(&Passing<'_>, &Publish<'_>, &mut Fate),
    used: BTreeSet<(ConnId, PacketId)>,
}

impl OneRange {
    fn that(clash: fn(&Passing<'_>, &Publish<'_>, &mut Fate)) -> Self {
        Self { clash, used: BTreeSet::new() }
    }
}

impl Seam for OneRange {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match &passing.packet {
            Ok(Packet::Publish(publish))
                if publish.packet_id.is_some_and(|id| self.used.contains(&(passing.conn, id))) =>
            {
                return (self.clash)(passing, publish, fate);
            }
            Ok(Packet::PubAck(ack) | Packet::PubComp(ack)) => drop(self.used.remove(&(passing.conn, ack.packet_id))),
            _ => {}
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::Publish(Publish { packet_id: Some(id), .. })) = passing.packet {
            self.used.insert((passing.conn, id));
        }
        fate.on(passing.frame);
    }

    fn gone(&mut self, conn: ConnId) {
        self.used.retain(|&(used, _)| used != conn);
    }
}

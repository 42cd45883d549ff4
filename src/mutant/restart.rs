//! Mutants of restarts: what a broker that says it keeps everything has lost when it is started again. The requirements
//! are those at stake: losing them breaks the broker's own promise.

use std::collections::BTreeMap;

use harness::node::ConnId;
use harness::time::Instant;

use super::Mutant;
use super::change::{go_on_unless, heard, outbound, remembering, said, unsaid, waited_in_vain};
use crate::packet::{Packet, PacketId, Publish, QoS, ReasonCode};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    losing().chain(repeating())
}

fn losing() -> impl Iterator<Item = Mutant> {
    [
        Mutant::restarted(
            "loses-sessions-over-a-restart",
            &["mqtt5:3.1.2-23", "mqtt5:ext-186", "mqtt311:4.1.0-1", "mqtt311:ext-028"],
            || {
                heard(|packet| {
                    if let Packet::Connect(connect) = packet {
                        connect.clean_start |= !connect.client_id.is_empty();
                    }
                })
            },
        ),
        Mutant::restarted(
            "loses-what-waited-over-a-restart",
            &["mqtt5:ext-186", "mqtt311:4.1.0-1", "mqtt311:ext-028"],
            || waited_in_vain(|packet| matches!(packet, Packet::Publish(Publish { dup: false, .. }))),
        ),
        Mutant::restarted(
            "loses-retained-messages-over-a-restart",
            &["mqtt5:3.3.1-5", "mqtt311:3.3.1-5", "mqtt311:ext-060"],
            || unsaid(|packet| matches!(packet, Packet::Publish(Publish { retain: true, .. }))),
        ),
        Mutant::restarted("loses-unfinished-deliveries-over-a-restart", &["mqtt5:4.4.0-1", "mqtt311:4.4.0-1"], || {
            unsaid(|packet| matches!(packet, Packet::Publish(Publish { dup: true, .. })))
        }),
        Mutant::restarted("loses-released-deliveries-over-a-restart", &["mqtt5:4.4.0-1", "mqtt311:4.4.0-1"], || {
            waited_in_vain(|packet| matches!(packet, Packet::PubRel(_)))
        }),
    ]
    .into_iter()
}

fn repeating() -> impl Iterator<Item = Mutant> {
    [
        Mutant::restarted("redelivers-without-dup-after-a-restart", &["mqtt5:3.3.1-1", "mqtt311:3.3.1-1"], || {
            said(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.dup = false;
                }
            })
        }),
        Mutant::restarted(
            "forgets-identifiers-received-before-a-restart",
            &["mqtt5:ext-188", "mqtt5:4.3.3-10", "mqtt311:ext-028", "mqtt311:4.3.3-2"],
            || {
                // The repeat is passed on once more, as a message of its own whose acknowledgement nobody sees.
                remembering::<()>(
                    |(), passing, packet, fate| {
                        if let Packet::Publish(publish @ Publish { dup: true, qos: QoS::ExactlyOnce, .. }) = packet {
                            let (qos, packet_id) = (QoS::AtLeastOnce, Some(PacketId::MAX));
                            let again = Publish { dup: false, qos, packet_id, ..publish };
                            fate.on_as(&Packet::Publish(again), passing.version);
                        }
                        fate.on(passing.frame);
                    },
                    |(), passing, packet, fate| {
                        let own = matches!(packet, Packet::PubAck(ack) if ack.packet_id == PacketId::MAX);
                        go_on_unless(own, passing, fate);
                    },
                )
            },
        ),
        Mutant::restarted("never-ends-a-session-from-before-a-restart", &["mqtt5:4.1.0-2"], || {
            said(|packet| {
                if let Packet::ConnAck(connack) = packet {
                    connack.session_present = connack.reason == ReasonCode::Success;
                }
            })
        }),
        Mutant::restarted("repeats-wills-after-a-restart", &["mqtt5:3.1.2-10", "mqtt311:3.1.2-10"], || {
            // Whatever waited comes a second time, a published will among it.
            let mut began = BTreeMap::<ConnId, Instant>::new();
            outbound(move |passing, packet, fate| {
                if matches!(packet, Packet::ConnAck(_)) {
                    began.insert(passing.conn, passing.now);
                }
                fate.on(passing.frame);
                if let (Packet::Publish(publish), true) = (packet, began.get(&passing.conn) == Some(&passing.now)) {
                    let again = Publish { qos: QoS::AtMostOnce, packet_id: None, dup: false, ..publish };
                    fate.on_as(&Packet::Publish(again), passing.version);
                }
            })
        }),
    ]
    .into_iter()
}

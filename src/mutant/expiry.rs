//! Mutants of message expiry (3.3.2.3.3 of 5.0).

use std::collections::BTreeMap;
use std::time::Duration;

use harness::node::ConnId;
use harness::time::Instant;

use super::Mutant;
use super::change::{each, go_on_unless, heard_properties, inbound, kept, remembering, said_properties};
use super::seam::{Fate, Passing};
use crate::packet::{Packet, PacketId, PacketType, Property, PropertyId, Publish};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("sends-no-message-expiry", &["mqtt5:3.3.2-6"], || {
            said_properties(PacketType::Publish, |list| kept(list, |p| p.id() != PropertyId::MessageExpiryInterval))
        }),
        Mutant::seam("sends-a-message-expiry-where-there-was-none", &["mqtt5:3.3.2-6"], || {
            said_properties(PacketType::Publish, |list| {
                let all = kept(list, |_| true);
                match list.message_expiry_interval() {
                    Some(_) => all,
                    None => all.with(Property::MessageExpiryInterval(0)),
                }
            })
        }),
        Mutant::seam("does-not-count-down-the-expiry-of-waiting-messages", &["mqtt5:3.3.2-6"], || {
            remembering::<Sent>(remember, |sent, passing, packet, fate| as_sent(sent, false, passing, packet, fate))
        }),
        Mutant::seam("does-not-count-down-the-expiry-of-stored-messages", &["mqtt5:3.3.2-6"], || {
            remembering::<Sent>(remember, |sent, passing, packet, fate| as_sent(sent, true, passing, packet, fate))
        }),
        Mutant::seam("ignores-the-message-expiry", &["mqtt5:3.3.2-5", "mqtt5:ext-117"], || {
            heard_properties(PacketType::Publish, |list| kept(list, |p| p.id() != PropertyId::MessageExpiryInterval))
        }),
        Mutant::seam("takes-an-expiry-beyond-31-bits-for-none-left", &["mqtt5:3.3.2-6", "mqtt5:4.5.0-1"], || {
            heard_properties(PacketType::Publish, |list| {
                each(list, |property| {
                    if let Property::MessageExpiryInterval(seconds @ 0x8000_0000..) = property {
                        *seconds = 0;
                    }
                })
            })
        }),
        Mutant::seam("keeps-retained-wills-for-ever", &["mqtt5:ext-117", "mqtt5:3.3.2-5"], || {
            heard_properties(PacketType::Connect, |list| kept(list, |p| p.id() != PropertyId::MessageExpiryInterval))
        }),
        Mutant::seam("ends-a-stored-message-with-the-one-that-it-replaced", &["mqtt5:3.3.1-5"], || {
            let mut expiring = BTreeMap::<String, u32>::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::Publish(publish) if publish.retain && passing.version.has_properties() => {
                    match (publish.properties.message_expiry_interval(), expiring.get(publish.topic)) {
                        (Some(seconds), _) => drop(expiring.insert(publish.topic.to_owned(), seconds)),
                        (None, Some(seconds)) => {
                            let own = kept(publish.properties, |_| true);
                            let own = own.with(Property::MessageExpiryInterval(*seconds));
                            let properties = own.view();
                            return fate.on_as(&Packet::Publish(Publish { properties, ..publish }), passing.version);
                        }
                        (None, None) => {}
                    }
                    fate.on(passing.frame);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("lets-messages-live-longer", &["mqtt5:3.3.2-5", "mqtt5:3.3.2-6"], || {
            heard_properties(PacketType::Publish, |list| {
                each(list, |property| {
                    if let Property::MessageExpiryInterval(seconds) = property {
                        *seconds = seconds.saturating_add(60);
                    }
                })
            })
        }),
        Mutant::seam("lets-started-deliveries-expire", &["mqtt5:4.3.3-7"], || {
            remembering::<Due>(
                |due, passing, packet, fate| {
                    let late = matches!(packet, Packet::PubRec(ack) if is_over(due, passing, ack.packet_id));
                    go_on_unless(late, passing, fate);
                },
                |due, passing, packet, fate| {
                    note(due, passing, packet);
                    fate.on(passing.frame);
                },
            )
        }),
        Mutant::seam("lets-started-receptions-expire", &["mqtt5:4.3.3-13", "mqtt5:4.3.3-11"], || {
            let mut due = Due::new();
            inbound(move |passing, packet, fate| {
                note(&mut due, passing, packet);
                let late = matches!(packet, Packet::PubRel(ack) if is_over(&due, passing, ack.packet_id));
                go_on_unless(late, passing, fate);
            })
        }),
    ]
    .into_iter()
}

/// The message expiry with which each message was sent last, by topic and payload.
type Sent = BTreeMap<(String, Vec<u8>), u32>;

fn remember(sent: &mut Sent, passing: &Passing<'_>, packet: Packet<'_>, fate: &mut Fate) {
    if let Packet::Publish(publish) = packet
        && let Some(expiry) = publish.properties.message_expiry_interval()
    {
        sent.insert((publish.topic.to_owned(), publish.payload.to_vec()), expiry);
    }
    fate.on(passing.frame);
}

/// A message goes out with the message expiry it came with; `stored` chooses between those with and without RETAIN.
fn as_sent(sent: &mut Sent, stored: bool, passing: &Passing<'_>, packet: Packet<'_>, fate: &mut Fate) {
    if let Packet::Publish(publish) = packet
        && publish.retain == stored
        && let Some(expiry) = sent.get(&(publish.topic.to_owned(), publish.payload.to_vec()))
    {
        let others = kept(publish.properties, |property| property.id() != PropertyId::MessageExpiryInterval);
        let properties = others.with(Property::MessageExpiryInterval(*expiry));
        let properties = properties.view();
        fate.on_as(&Packet::Publish(Publish { properties, ..publish }), passing.version);
    } else {
        fate.on(passing.frame);
    }
}

/// When each message expires, by connection and packet identifier.
type Due = BTreeMap<(ConnId, PacketId), Instant>;

fn note(due: &mut Due, passing: &Passing<'_>, packet: Packet<'_>) {
    if let Packet::Publish(Publish { packet_id: Some(id), properties, .. }) = packet
        && let Some(expiry) = properties.message_expiry_interval()
    {
        due.insert((passing.conn, id), passing.now + Duration::from_secs(expiry.into()));
    }
}

fn is_over(due: &Due, passing: &Passing<'_>, id: PacketId) -> bool {
    due.get(&(passing.conn, id)).is_some_and(|due| *due < passing.now)
}

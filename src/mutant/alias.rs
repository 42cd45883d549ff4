//! Mutants of topic aliases (3.3.2.3.4 of 5.0).

use std::collections::{BTreeMap, BTreeSet};

use harness::node::ConnId;

use super::change::{
    go_on_unless, heard, inbound, kept, never_forgotten, outbound, remembering, said_properties, unheard,
};
use super::seam::{Fate, Passing};
use super::{Mutant, PASSED_ON};
use crate::packet::{Ack, Connect, Packet, PacketType, Properties, Property, PropertyBuf, Publish, QoS};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    of_clients().chain(of_the_server())
}

fn of_clients() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("swallows-messages-by-alias", &["mqtt5:3.3.2-12"], || {
            unheard(|packet| matches!(packet, Packet::Publish(Publish { topic: "", .. })))
        }),
        Mutant::seam("keeps-the-first-topic-of-an-alias", &["mqtt5:ext-112", "mqtt5:3.3.2-12"], || {
            let mut topics = BTreeMap::<(ConnId, u16), String>::new();
            inbound(move |passing, packet, fate| {
                let Packet::Publish(publish) = packet else { return fate.on(passing.frame) };
                let Some(alias) = publish.properties.topic_alias() else { return fate.on(passing.frame) };
                let first = topics.entry((passing.conn, alias)).or_insert_with(|| publish.topic.to_owned());
                fate.on_as(&Packet::Publish(Publish { topic: first, ..publish }), passing.version);
            })
        }),
        Mutant::seam(
            "shares-aliases-between-connections",
            &["mqtt5:ext-114", "mqtt5:3.3.2-7", "mqtt5:ext-110"],
            || {
                let mut topics = BTreeMap::<u16, String>::new();
                inbound(move |passing, packet, fate| {
                    let Packet::Publish(publish) = packet else { return fate.on(passing.frame) };
                    let Some(alias) = publish.properties.topic_alias() else { return fate.on(passing.frame) };
                    if !publish.topic.is_empty() {
                        topics.insert(alias, publish.topic.to_owned());
                    }
                    let topic = topics.get(&alias).map_or(publish.topic, String::as_str);
                    fate.on_as(&Packet::Publish(Publish { topic, ..publish }), passing.version);
                })
            },
        ),
        Mutant::seam("passes-over-unknown-aliases", &["mqtt5:ext-110"], || {
            let mut known = BTreeSet::new();
            inbound(move |passing, packet, fate| {
                let Packet::Publish(publish) = packet else { return fate.on(passing.frame) };
                let alias = (passing.conn, publish.properties.topic_alias().unwrap_or(0));
                if !publish.topic.is_empty() {
                    known.insert(alias);
                }
                go_on_unless(!known.contains(&alias), passing, fate);
            })
        }),
        Mutant::seam("swallows-what-comes-by-alias-at-qos-1", &["mqtt5:3.3.2-12"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Publish(Publish { topic: "", qos: QoS::AtLeastOnce, packet_id: Some(id), .. }) => {
                    fate.back_as(&Packet::PubAck(Ack::success(id)), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("drops-the-properties-of-what-comes-by-alias", PASSED_ON, || {
            inbound(|passing, packet, fate| match packet {
                Packet::Publish(publish @ Publish { topic: "", .. }) => {
                    let alias = kept(publish.properties, is_alias);
                    let properties = alias.view();
                    fate.on_as(&Packet::Publish(Publish { properties, ..publish }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("stores-nothing-that-comes-by-alias", &["mqtt5:3.3.2-12", "mqtt5:3.3.1-5"], || {
            heard(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.retain &= !publish.topic.is_empty();
                }
            })
        }),
        Mutant::seam("refuses-its-highest-alias", &["mqtt5:3.3.2-12"], || {
            remembering::<u16>(
                |maximum, passing, packet, fate| match packet {
                    Packet::Publish(publish) if publish.properties.topic_alias() == Some(*maximum) => fate.cut(),
                    _ => fate.on(passing.frame),
                },
                note_maximum,
            )
        }),
        Mutant::seam("takes-aliases-above-its-maximum", &["mqtt5:3.3.2-9", "mqtt5:ext-111"], || {
            remembering::<u16>(
                |maximum, passing, packet, fate| match packet {
                    Packet::Publish(publish) if publish.properties.topic_alias() > Some(*maximum) => {
                        let properties = without_alias(publish.properties);
                        let properties = properties.view();
                        fate.on_as(&Packet::Publish(Publish { properties, ..publish }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                },
                note_maximum,
            )
        }),
    ]
    .into_iter()
}

fn of_the_server() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam(
            "sets-aliases-beyond-the-clients-maximum",
            &["mqtt5:3.1.2-26", "mqtt5:3.1.2-27", "mqtt5:3.3.2-11"],
            || said_properties(PacketType::Publish, |list| without_alias(list).with(Property::TopicAlias(60_000))),
        ),
        Mutant::seam("sends-an-alias-in-place-of-all-properties", PASSED_ON, || {
            // EMQX 4.1.1.
            said_properties(PacketType::Publish, |list| {
                kept(list, if list.topic_alias().is_some() { is_alias } else { |_| true })
            })
        }),
        Mutant::seam("never-forgets-a-topic-alias-maximum", &["mqtt5:3.1.2-27"], || {
            never_forgotten(|list| list.topic_alias_maximum().map(Property::TopicAliasMaximum))
        }),
        Mutant::seam("uses-an-alias-that-a-dropped-message-was-to-set", &["mqtt5:ext-110", "mqtt5:3.3.2-3"], || {
            // FlashMQ 1.x. The broker knows no limit, and what exceeds it is dropped behind its back.
            remembering::<BTreeMap<ConnId, u32>>(
                |limits, passing, packet, fate| match packet {
                    Packet::Connect(connect) if passing.version.has_properties() => {
                        limits.insert(passing.conn, connect.properties.maximum_packet_size().unwrap_or(u32::MAX));
                        let own = kept(connect.properties, |p| !matches!(p, Property::MaximumPacketSize(_)));
                        let properties = own.view();
                        fate.on_as(&Packet::Connect(Connect { properties, ..connect }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                },
                |limits, passing, _, fate| {
                    let limit = limits.get(&passing.conn).copied().unwrap_or(u32::MAX);
                    go_on_unless(passing.frame.len() > limit as usize, passing, fate);
                },
            )
        }),
        Mutant::seam("takes-the-publishers-aliases-for-the-readers", &["mqtt5:ext-113"], || {
            outbound(|passing, packet, fate| by_alias(true, passing, packet, fate))
        }),
        Mutant::seam("repeats-by-an-alias-of-the-old-connection", &["mqtt5:ext-115", "mqtt5:3.3.2-7"], || {
            outbound(|passing, packet, fate| {
                let repeat = matches!(packet, Packet::Publish(Publish { dup: true, .. }));
                by_alias(repeat, passing, packet, fate);
            })
        }),
    ]
    .into_iter()
}

fn is_alias(property: Property<'_>) -> bool {
    matches!(property, Property::TopicAlias(_))
}

fn without_alias(properties: Properties<'_>) -> PropertyBuf {
    kept(properties, |property| !is_alias(property))
}

/// A PUBLISH goes on with alias 1 in place of its topic, if so wished.
fn by_alias(wished: bool, passing: &Passing<'_>, packet: Packet<'_>, fate: &mut Fate) {
    match packet {
        Packet::Publish(publish) if wished && passing.version.has_properties() => {
            let properties = without_alias(publish.properties).with(Property::TopicAlias(1));
            let properties = properties.view();
            fate.on_as(&Packet::Publish(Publish { topic: "", properties, ..publish }), passing.version);
        }
        _ => fate.on(passing.frame),
    }
}

/// Remembers the highest alias that CONNACK allows.
fn note_maximum(maximum: &mut u16, passing: &Passing<'_>, packet: Packet<'_>, fate: &mut Fate) {
    if let Packet::ConnAck(connack) = packet {
        *maximum = connack.properties.topic_alias_maximum().unwrap_or(0);
    }
    fate.on(passing.frame);
}

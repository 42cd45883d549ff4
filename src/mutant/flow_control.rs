//! Mutants of flow control: the receive maximum (4.9 of 5.0), and the maximum packet size (3.1.2.11.4).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use harness::node::ConnId;
use harness::time::Instant;

use super::Mutant;
use super::change::{each, go_on_unless, heard_properties, inbound, kept, never_forgotten, remembering};
use super::seam::{Fate, Passing};
use crate::packet::{Ack, Connect, Packet, PacketId, PacketType, Property, Publish, QoS, ReasonCode};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    window().chain(size())
}

fn window() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("ignores-the-receive-maximum", &["mqtt5:3.3.4-9", "mqtt5:4.9.0-1", "mqtt5:4.9.0-2"], || {
            heard_properties(PacketType::Connect, |list| {
                kept(list, |property| !matches!(property, Property::ReceiveMaximum(_)))
            })
        }),
        Mutant::seam("sends-one-more-than-the-receive-maximum", &["mqtt5:4.9.0-1"], || {
            heard_properties(PacketType::Connect, |list| {
                each(list, |property| {
                    if let Property::ReceiveMaximum(maximum) = property {
                        *maximum = maximum.saturating_add(1);
                    }
                })
            })
        }),
        Mutant::seam("counts-a-stray-puback", &["mqtt5:ext-193"], || {
            // Whoever has sent one gets room for another message: the last one counts as acknowledged with its next packet.
            remembering::<BTreeMap<ConnId, Window>>(
                |windows, passing, packet, fate| {
                    let window = windows.entry(passing.conn).or_default();
                    match packet {
                        Packet::PubAck(ack) => window.has_room |= window.open.take() != Some(ack.packet_id),
                        _ if window.has_room => {
                            let freed = window.open.map(|id| Packet::PubAck(Ack::success(id)));
                            freed.iter().for_each(|ack| fate.on_as(ack, passing.version));
                        }
                        _ => {}
                    }
                    fate.on(passing.frame);
                },
                |windows, passing, packet, fate| {
                    if let Packet::Publish(Publish { packet_id: Some(id), .. }) = packet {
                        windows.entry(passing.conn).or_default().open = Some(id);
                    }
                    fate.on(passing.frame);
                },
            )
        }),
        Mutant::seam("keeps-to-the-window-of-old", &["mqtt5:ext-194", "mqtt5:ext-196"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(connect) if !connect.clean_start && passing.version.has_properties() => {
                    let properties =
                        kept(connect.properties, |property| !matches!(property, Property::ReceiveMaximum(_)));
                    let properties = properties.view();
                    fate.on_as(&Packet::Connect(Connect { properties, ..connect }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("never-forgets-a-receive-maximum", &["mqtt5:ext-077"], || {
            never_forgotten(|list| list.receive_maximum().map(Property::ReceiveMaximum))
        }),
        Mutant::seam("counts-what-no-local-holds-back", &["mqtt5:4.9.0-1", "mqtt5:4.5.0-1"], || {
            // Each message of the client's own, of those that have no subscriber but itself, takes the room of another.
            remembering::<BTreeMap<ConnId, HeldBack>>(
                |conns, passing, packet, fate| {
                    let held = conns.entry(passing.conn).or_default();
                    match packet {
                        Packet::Connect(connect) => {
                            let maximum = connect.properties.receive_maximum().unwrap_or(u16::MAX);
                            *held = HeldBack { maximum, ..HeldBack::default() };
                        }
                        Packet::Subscribe(subscribe) => {
                            held.holds |= subscribe.subscriptions.iter().any(|each| each.options.no_local);
                        }
                        Packet::Publish(_) if held.holds => held.count += 1,
                        _ => {}
                    }
                    fate.on(passing.frame);
                },
                |conns, passing, packet, fate| {
                    let full = conns.get(&passing.conn).is_some_and(|held| held.count >= held.maximum);
                    go_on_unless(full && matches!(packet, Packet::Publish(_)), passing, fate);
                },
            )
        }),
        Mutant::seam("gives-no-room-back-at-pubcomp", &["mqtt5:ext-191"], || {
            remembering::<(u16, BTreeMap<ConnId, u16>)>(
                |(maximum, taken), passing, packet, fate| {
                    let taken = taken.entry(passing.conn).or_default();
                    match packet {
                        Packet::Connect(_) => *taken = 0,
                        Packet::Publish(Publish { qos: QoS::ExactlyOnce, .. }) => *taken += 1,
                        _ => {}
                    }
                    if *maximum > 0 && *taken > *maximum { fate.cut() } else { fate.on(passing.frame) }
                },
                |(maximum, _), passing, packet, fate| {
                    if let Packet::ConnAck(connack) = packet {
                        *maximum = connack.properties.receive_maximum().unwrap_or(0);
                    }
                    fate.on(passing.frame);
                },
            )
        }),
        Mutant::seam("takes-pubrec-for-the-end", &["mqtt5:ext-192", "mqtt5:3.3.4-9"], || {
            inbound(|passing, packet, fate| {
                fate.on(passing.frame);
                if let Packet::PubRec(Ack { packet_id, .. }) = packet {
                    fate.on_as(&Packet::PubComp(Ack::success(packet_id)), passing.version);
                }
            })
        }),
        Mutant::seam("answers-nothing-while-a-message-waits", &["mqtt5:3.3.4-10", "mqtt5:4.9.0-3"], || {
            remembering::<BTreeSet<(ConnId, PacketId)>>(
                |waiting, passing, packet, fate| {
                    if let Packet::PubAck(ack) | Packet::PubComp(ack) = packet {
                        waiting.remove(&(passing.conn, ack.packet_id));
                    }
                    let waits = waiting.iter().any(|(conn, _)| *conn == passing.conn);
                    let other = matches!(packet, Packet::PingReq | Packet::Subscribe(_) | Packet::Publish(_));
                    go_on_unless(waits && other, passing, fate);
                },
                |waiting, passing, packet, fate| {
                    if let Packet::Publish(Publish { packet_id: Some(id), .. }) = packet {
                        waiting.insert((passing.conn, id));
                    }
                    fate.on(passing.frame);
                },
            )
        }),
        Mutant::seam("drops-what-exceeds-the-receive-maximum", &["mqtt5:4.5.0-1"], || {
            // The broker knows of no window and sends all at once; what exceeds it counts as refused by the client.
            remembering::<BTreeMap<ConnId, (u16, BTreeSet<PacketId>)>>(
                |windows, passing, packet, fate| match packet {
                    Packet::Connect(connect) if passing.version.has_properties() => {
                        let maximum = connect.properties.receive_maximum().unwrap_or(u16::MAX);
                        windows.insert(passing.conn, (maximum, BTreeSet::new()));
                        let unlimited =
                            kept(connect.properties, |property| !matches!(property, Property::ReceiveMaximum(_)));
                        let properties = unlimited.view();
                        fate.on_as(&Packet::Connect(Connect { properties, ..connect }), passing.version);
                    }
                    _ => {
                        let ends = |ack: &Ack<'_>| matches!(packet, Packet::PubRec(_)) && !ack.reason.is_error();
                        if let Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) = packet
                            && let Some((_, open)) = windows.get_mut(&passing.conn)
                            && !ends(&ack)
                        {
                            open.remove(&ack.packet_id);
                        }
                        fate.on(passing.frame);
                    }
                },
                |windows, passing, packet, fate| {
                    let Packet::Publish(Publish { packet_id: Some(packet_id), qos, .. }) = packet else {
                        return fate.on(passing.frame);
                    };
                    let Some((maximum, open)) = windows.get_mut(&passing.conn) else { return fate.on(passing.frame) };
                    if open.len() < usize::from(*maximum) {
                        open.insert(packet_id);
                        return fate.on(passing.frame);
                    }
                    let refused = Ack { reason: ReasonCode::QuotaExceeded, ..Ack::success(packet_id) };
                    let refused =
                        if qos == QoS::ExactlyOnce { Packet::PubRec(refused) } else { Packet::PubAck(refused) };
                    fate.back_as(&refused, passing.version);
                },
            )
        }),
        Mutant::seam("has-a-window-for-each-level", &["mqtt5:3.3.4-9"], || {
            // The broker has one of twice the size; of either level no more goes on than the client takes in all.
            remembering::<BTreeMap<ConnId, Levels>>(
                |conns, passing, packet, fate| {
                    let (id, level) = match packet {
                        Packet::Connect(connect) if passing.version.has_properties() => {
                            let maximum = connect.properties.receive_maximum().unwrap_or(u16::MAX);
                            conns.insert(passing.conn, Levels { maximum, ..Levels::default() });
                            let own = kept(connect.properties, |p| !matches!(p, Property::ReceiveMaximum(_)));
                            let own = own.with(Property::ReceiveMaximum(maximum.saturating_mul(2)));
                            let properties = own.view();
                            return fate.on_as(&Packet::Connect(Connect { properties, ..connect }), passing.version);
                        }
                        Packet::PubAck(ack) => (ack.packet_id, 0),
                        Packet::PubComp(ack) => (ack.packet_id, 1),
                        Packet::PubRec(ack) if ack.reason.is_error() => (ack.packet_id, 1),
                        _ => return fate.on(passing.frame),
                    };
                    fate.on(passing.frame);
                    let Some(levels) = conns.get_mut(&passing.conn) else { return };
                    let [once, often] = &mut levels.each;
                    let (open, waiting) = if level == 0 { once } else { often };
                    if open.remove(&id)
                        && let Some((next, frame)) = waiting.pop_front()
                    {
                        open.insert(next);
                        fate.back(&frame);
                    }
                },
                |conns, passing, packet, fate| {
                    let levels = conns.get_mut(&passing.conn);
                    let (Packet::Publish(Publish { packet_id: Some(id), qos, .. }), Some(levels)) = (packet, levels)
                    else {
                        return fate.on(passing.frame);
                    };
                    let [once, often] = &mut levels.each;
                    let (open, waiting) = if qos == QoS::AtLeastOnce { once } else { often };
                    if open.len() >= usize::from(levels.maximum) {
                        return waiting.push_back((id, passing.frame.to_vec()));
                    }
                    open.insert(id);
                    fate.on(passing.frame);
                },
            )
        }),
        Mutant::seam("passes-over-what-exceeds-its-window", &["mqtt5:ext-124"], || {
            remembering::<(u16, BTreeSet<PacketId>)>(
                |(maximum, open), passing, packet, fate| {
                    if let Packet::Publish(Publish { qos: QoS::ExactlyOnce, packet_id: Some(id), .. }) = packet {
                        open.insert(id);
                    }
                    let exceeds = matches!(packet, Packet::Publish(_)) && open.len() > usize::from(*maximum);
                    go_on_unless(exceeds, passing, fate);
                },
                |(maximum, open), passing, packet, fate| {
                    match packet {
                        Packet::ConnAck(connack) => {
                            *maximum = connack.properties.receive_maximum().unwrap_or(u16::MAX);
                        }
                        Packet::PubComp(ack) => drop(open.remove(&ack.packet_id)),
                        _ => {}
                    }
                    fate.on(passing.frame);
                },
            )
        }),
    ]
    .into_iter()
}

/// What a connection has sent that No Local holds back from it, if it has asked for that.
#[derive(Default)]
struct HeldBack {
    maximum: u16,
    holds: bool,
    count: u16,
}

/// What a connection has not acknowledged, and whether it once acknowledged what it did not have.
#[derive(Default)]
struct Window {
    open: Option<PacketId>,
    has_room: bool,
}

/// What the client has not acknowledged of one level, and what waits for that.
type Level = (BTreeSet<PacketId>, VecDeque<(PacketId, Vec<u8>)>);

/// The levels of a connection, QoS 1 first, and how many messages of each may be unacknowledged.
#[derive(Default)]
struct Levels {
    maximum: u16,
    each: [Level; 2],
}

/// A connection whose limit the broker does not know.
struct Small {
    /// The longest message that goes on, in bytes.
    maximum: usize,
    /// When a session was resumed on it: what comes at that moment had waited.
    resumed: Option<Instant>,
}

/// The broker learns of no limit that leaves room for a message.
fn hear_of_no_limit(conns: &mut BTreeMap<ConnId, Small>, passing: &Passing<'_>, packet: Packet<'_>, fate: &mut Fate) {
    let Packet::Connect(connect) = packet else { return fate.on(passing.frame) };
    conns.remove(&passing.conn);
    match connect.properties.maximum_packet_size() {
        Some(maximum @ 100..) => {
            conns.insert(passing.conn, Small { maximum: maximum as usize, resumed: None });
            let own = kept(connect.properties, |property| !matches!(property, Property::MaximumPacketSize(_)));
            let properties = own.view();
            fate.on_as(&Packet::Connect(Connect { properties, ..connect }), passing.version);
        }
        _ => fate.on(passing.frame),
    }
}

/// No longer message goes on than the limit allows, but for those that are exempt.
fn keep_to_the_limit(
    conns: &mut BTreeMap<ConnId, Small>,
    passing: &Passing<'_>,
    packet: Packet<'_>,
    fate: &mut Fate,
    exempt: fn(&Small, &Passing<'_>, &Publish<'_>) -> bool,
) {
    let Some(small) = conns.get_mut(&passing.conn) else { return fate.on(passing.frame) };
    if matches!(packet, Packet::ConnAck(connack) if connack.session_present) {
        small.resumed = Some(passing.now);
    }
    let too_long = matches!(packet, Packet::Publish(publish)
        if passing.frame.len() > small.maximum && !exempt(small, passing, &publish));
    go_on_unless(too_long, passing, fate);
}

fn size() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("ignores-the-maximum-packet-size", &["mqtt5:3.1.2-24", "mqtt5:3.1.2-25"], || {
            heard_properties(PacketType::Connect, |list| {
                kept(list, |property| !matches!(property, Property::MaximumPacketSize(_)))
            })
        }),
        Mutant::seam("sends-stored-messages-of-any-size", &["mqtt5:3.1.2-24"], || {
            remembering(hear_of_no_limit, |conns, passing, packet, fate| {
                keep_to_the_limit(conns, passing, packet, fate, |_, _, publish| publish.retain);
            })
        }),
        Mutant::seam("sends-waiting-messages-of-any-size", &["mqtt5:3.1.2-24"], || {
            remembering(hear_of_no_limit, |conns, passing, packet, fate| {
                keep_to_the_limit(conns, passing, packet, fate, |small, passing, _| small.resumed == Some(passing.now));
            })
        }),
        Mutant::seam("sends-repeats-of-any-size", &["mqtt5:3.1.2-24"], || {
            remembering(hear_of_no_limit, |conns, passing, packet, fate| {
                keep_to_the_limit(conns, passing, packet, fate, |_, _, publish| publish.dup);
            })
        }),
        Mutant::seam("sends-wills-of-any-size", &["mqtt5:3.1.2-24"], || {
            remembering::<(BTreeSet<Vec<u8>>, BTreeMap<ConnId, Small>)>(
                |(wills, conns), passing, packet, fate| {
                    if let Packet::Connect(Connect { will: Some(will), .. }) = packet {
                        wills.insert(will.payload.to_owned());
                    }
                    hear_of_no_limit(conns, passing, packet, fate);
                },
                |(wills, conns), passing, packet, fate| match packet {
                    Packet::Publish(publish) if wills.contains(publish.payload) => fate.on(passing.frame),
                    _ => keep_to_the_limit(conns, passing, packet, fate, |_, _, _| false),
                },
            )
        }),
        Mutant::seam("sends-members-of-groups-messages-of-any-size", &["mqtt5:3.1.2-24"], || {
            remembering::<(BTreeSet<ConnId>, BTreeMap<ConnId, Small>)>(
                |(members, conns), passing, packet, fate| {
                    if let Packet::Subscribe(subscribe) = packet
                        && subscribe.subscriptions.iter().any(|each| each.filter.starts_with("$share/"))
                    {
                        members.insert(passing.conn);
                    }
                    hear_of_no_limit(conns, passing, packet, fate);
                },
                |(members, conns), passing, packet, fate| {
                    if members.contains(&passing.conn) {
                        return fate.on(passing.frame);
                    }
                    keep_to_the_limit(conns, passing, packet, fate, |_, _, _| false);
                },
            )
        }),
        Mutant::seam("never-forgets-a-maximum-packet-size", &["mqtt5:ext-078"], || {
            never_forgotten(|list| list.maximum_packet_size().map(Property::MaximumPacketSize))
        }),
        Mutant::seam("invents-a-maximum-packet-size", &["mqtt5:ext-078"], || {
            heard_properties(PacketType::Connect, |list| {
                let own = kept(list, |_| true);
                match list.maximum_packet_size() {
                    Some(_) => own,
                    None => own.with(Property::MaximumPacketSize(10_000)),
                }
            })
        }),
        Mutant::seam("passes-over-packets-beyond-its-size", &["mqtt5:ext-107"], || {
            remembering::<u32>(
                |maximum, passing, _, fate| {
                    go_on_unless(passing.frame.len() > *maximum as usize && *maximum > 0, passing, fate)
                },
                |maximum, passing, packet, fate| {
                    if let Packet::ConnAck(connack) = packet {
                        *maximum = connack.properties.maximum_packet_size().unwrap_or(0);
                    }
                    fate.on(passing.frame);
                },
            )
        }),
    ]
    .into_iter()
}

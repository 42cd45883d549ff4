//! Mutants of wills (3.1.2.5 to 3.1.2.7 of both standards, the will properties and delays of 5.0).

use std::collections::{BTreeMap, BTreeSet};

use harness::node::ConnId;
use harness::time::Instant;

use super::Mutant;
use super::change::{LeftTimers, each, go_on_unless, heard, heard_properties, inbound, kept, remembering, unheard};
use super::seam::{Fate, Passing, Seam};
use crate::codec;
use crate::packet::{
    ConnAck, Connect, Disconnect, Packet, PacketType, Properties, Property, PropertyBuf, PropertyId, Publish, QoS,
    ReasonCode, Side, Will,
};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    publishing().chain(discarding()).chain(delaying())
}

fn publishing() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam(
            "never-publishes-a-will",
            &["mqtt5:3.1.2-7", "mqtt5:3.1.2-8", "mqtt311:3.1.2-8", "mqtt5:ext-090", "mqtt311:ext-032"],
            || {
                heard(|packet| {
                    if let Packet::Connect(connect) = packet {
                        connect.will = None;
                    }
                })
            },
        ),
        Mutant::seam(
            "publishes-wills-at-qos-0",
            &["mqtt5:ext-104", "mqtt5:3.2.2-12", "mqtt311:3.1.2-9", "mqtt311:ext-037"],
            || heard_wills(|will| will.qos = QoS::AtMostOnce),
        ),
        Mutant::seam("never-stores-a-will", &["mqtt5:3.1.2-15", "mqtt5:3.2.2-13", "mqtt311:3.1.2-17"], || {
            heard_wills(|will| will.retain = false)
        }),
        Mutant::seam("stores-every-will", &["mqtt5:3.1.2-14", "mqtt311:3.1.2-16"], || {
            heard_wills(|will| will.retain = true)
        }),
        Mutant::seam("cuts-long-wills", &["mqtt5:3.1.2-7", "mqtt311:ext-036"], || {
            heard_wills(|will| will.payload = &will.payload[..will.payload.len().min(1000)])
        }),
        Mutant::seam("publishes-wills-without-properties", &["mqtt5:ext-100"], || {
            heard_wills(|will| will.properties = Properties::EMPTY)
        }),
        Mutant::seam("forgets-what-kind-of-will-was-delayed", &["mqtt5:ext-100"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(connect @ Connect { will: Some(will), .. }) if is_delayed(&will) => {
                    let properties = kept(will.properties, |property| {
                        matches!(property, Property::WillDelayInterval(_) | Property::MessageExpiryInterval(_))
                    });
                    let will = Some(Will { properties: properties.view(), ..will });
                    fate.on_as(&Packet::Connect(Connect { will, ..connect }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("clears-retain-of-wills", &["mqtt5:3.3.1-13"], || {
            remembering::<BTreeSet<Vec<u8>>>(
                |wills, passing, packet, fate| {
                    if let Packet::Connect(Connect { will: Some(will), .. }) = packet {
                        wills.insert(will.payload.to_owned());
                    }
                    fate.on(passing.frame);
                },
                |wills, passing, packet, fate| match packet {
                    Packet::Publish(publish) if wills.contains(publish.payload) => {
                        fate.on_as(&Packet::Publish(Publish { retain: false, ..publish }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                },
            )
        }),
        Mutant::seam("reverses-the-user-properties-of-wills", &["mqtt5:3.1.3-10"], || {
            heard_properties(PacketType::Connect, |list| {
                let users: Vec<_> = list.user_properties().collect();
                let others = kept(list, |property| property.id() != PropertyId::UserProperty);
                let backwards = users.into_iter().rev();
                backwards.fold(others, |list, (name, value)| list.with(Property::UserProperty(name, value)))
            })
        }),
        Mutant::seam("publishes-wills-late", &["mqtt5:ext-098"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(Connect { will: Some(will), properties, .. }) if !lasts(properties) => {
                    let Packet::Connect(connect) = packet else { return };
                    let own = properties.iter().fold(PropertyBuf::new(), PropertyBuf::with);
                    let own = own.with(Property::SessionExpiryInterval(5));
                    let late = kept(will.properties, |p| p.id() != PropertyId::WillDelayInterval);
                    let late = late.with(Property::WillDelayInterval(5));
                    let will = Some(Will { properties: late.view(), ..will });
                    let properties = own.view();
                    fate.on_as(&Packet::Connect(Connect { will, properties, ..connect }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
    ]
    .into_iter()
}

/// Whether the session outlives its connection.
fn lasts(properties: Properties<'_>) -> bool {
    properties.session_expiry_interval().is_some()
}

/// Wills reach the broker changed.
fn heard_wills(change: fn(&mut Will<'_>)) -> Box<dyn Seam> {
    inbound(move |passing, packet, fate| match packet {
        Packet::Connect(Connect { will: Some(mut will), .. }) => {
            let Packet::Connect(connect) = packet else { return };
            change(&mut will);
            fate.on_as(&Packet::Connect(Connect { will: Some(will), ..connect }), passing.version);
        }
        _ => fate.on(passing.frame),
    })
}

fn discarding() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam(
            "publishes-a-will-in-spite-of-disconnect",
            &["mqtt5:3.14.4-3", "mqtt5:3.1.2-10", "mqtt311:3.14.4-3", "mqtt311:3.1.2-10"],
            || unheard(|packet| matches!(packet, Packet::Disconnect(Disconnect { reason: ReasonCode::Success, .. }))),
        ),
        Mutant::seam("publishes-a-will-after-a-disconnect-with-properties", &["mqtt5:3.14.4-3"], || {
            unheard(|packet| {
                matches!(packet, Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties })
                    if !properties.is_empty())
            })
        }),
        Mutant::seam("publishes-a-delayed-will-in-spite-of-disconnect", &["mqtt5:3.14.4-3", "mqtt5:3.1.2-10"], || {
            in_spite_of_disconnect(is_delayed)
        }),
        Mutant::seam(
            "publishes-a-will-at-qos-2-in-spite-of-disconnect",
            &["mqtt5:3.14.4-3", "mqtt5:3.1.2-10", "mqtt311:3.14.4-3", "mqtt311:3.1.2-10"],
            || in_spite_of_disconnect(|will| will.qos == QoS::ExactlyOnce),
        ),
        Mutant::seam(
            "publishes-a-retained-will-in-spite-of-disconnect",
            &["mqtt5:3.14.4-3", "mqtt5:3.1.2-10", "mqtt311:3.14.4-3", "mqtt311:3.1.2-10"],
            || in_spite_of_disconnect(|will| will.retain),
        ),
        Mutant::seam("takes-a-short-disconnect-for-none", &["mqtt5:ext-135"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Disconnect(_) if passing.version.has_properties() && passing.frame.len() < 4 => {
                    fate.on(&[0xF0, 0]);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("discards-the-will-at-disconnect-with-will", &["mqtt5:ext-095"], || {
            heard(|packet| {
                if let Packet::Disconnect(disconnect) = packet
                    && disconnect.reason == ReasonCode::DisconnectWithWillMessage
                {
                    disconnect.reason = ReasonCode::Success;
                }
            })
        }),
        Mutant::seam("discards-the-will-at-disconnect-with-an-error", &["mqtt5:ext-096"], || {
            heard(|packet| {
                if let Packet::Disconnect(disconnect) = packet
                    && disconnect.reason.is_error()
                {
                    disconnect.reason = ReasonCode::Success;
                }
            })
        }),
        Mutant::seam("discards-the-will-at-an-illegal-disconnect", &["mqtt5:3.14.2-1"], || {
            Box::new(LeavesOn(|passing| passing.frame[0] == 0xE0))
        }),
        Mutant::seam("discards-the-will-on-a-protocol-error", &["mqtt5:ext-097", "mqtt311:ext-032"], || {
            Box::new(LeavesOn(|passing| passing.frame[0] >> 4 == PacketType::Publish as u8))
        }),
        Mutant::seam("discards-the-will-on-a-second-connect", &["mqtt5:ext-097", "mqtt311:ext-032"], || {
            let mut connected = BTreeSet::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::Connect(_) if !connected.insert(passing.conn) => fate.on(&[0xE0, 0]),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "keeps-a-will-for-the-next-connection",
            &["mqtt5:3.1.2-10", "mqtt311:3.1.2-10", "mqtt311:3.1.2-12"],
            || {
                let mut kept = BTreeMap::<String, Vec<u8>>::new();
                inbound(move |passing, packet, fate| {
                    let Packet::Connect(connect) = packet else { return fate.on(passing.frame) };
                    let client = connect.client_id.to_owned();
                    if connect.will.is_some() {
                        kept.insert(client, passing.frame.to_vec());
                        return fate.on(passing.frame);
                    }
                    let earlier = kept.get(&client).map(|frame| codec::decode(frame, passing.version, Side::Client));
                    let Some(Ok(Packet::Connect(Connect { will, .. }))) = earlier else {
                        return fate.on(passing.frame);
                    };
                    fate.on_as(&Packet::Connect(Connect { will, ..connect }), passing.version);
                })
            },
        ),
        Mutant::seam("loses-the-will-on-takeover", &["mqtt5:ext-088", "mqtt311:ext-039", "mqtt5:ext-093"], || {
            remembering::<Wills>(
                |wills, passing, packet, fate| {
                    if let Packet::Connect(connect) = packet {
                        let topic = connect.will.map(|will| will.topic.to_owned()).unwrap_or_default();
                        let earlier = wills.topics.insert(connect.client_id.to_owned(), topic);
                        wills.lost = earlier.map(|topic| (passing.now, topic));
                    }
                    fate.on(passing.frame);
                },
                |wills, passing, packet, fate| {
                    let lost = matches!((packet, &wills.lost), (Packet::Publish(publish), Some((at, topic)))
                        if publish.topic == topic && *at == passing.now);
                    go_on_unless(lost, passing, fate);
                },
            )
        }),
        Mutant::seam("publishes-the-will-of-a-refused-connection", &["mqtt311:ext-034"], || {
            // A client without an identifier is let in, told that it is not, and thrown out.
            remembering::<BTreeSet<ConnId>>(
                |refused, passing, packet, fate| match packet {
                    Packet::Connect(connect) if connect.client_id.is_empty() && !connect.clean_start => {
                        refused.insert(passing.conn);
                        fate.on_as(&Packet::Connect(Connect { clean_start: true, ..connect }), passing.version);
                        fate.on(&[0xF0, 0]);
                    }
                    _ => fate.on(passing.frame),
                },
                |refused, passing, packet, fate| match packet {
                    Packet::ConnAck(connack) if refused.remove(&passing.conn) => {
                        let reason = ReasonCode::ClientIdentifierNotValid;
                        fate.on_as(&Packet::ConnAck(ConnAck { reason, ..connack }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                },
            )
        }),
    ]
    .into_iter()
}

/// A DISCONNECT with reason code 0x00 is overlooked where there is such a will.
fn in_spite_of_disconnect(which: fn(&Will<'_>) -> bool) -> Box<dyn Seam> {
    let mut undying = BTreeSet::new();
    inbound(move |passing, packet, fate| {
        if let Packet::Connect(connect) = packet {
            undying.remove(&passing.conn);
            undying.extend(connect.will.filter(which).map(|_| passing.conn));
        }
        let ends = matches!(packet, Packet::Disconnect(Disconnect { reason: ReasonCode::Success, .. }));
        go_on_unless(ends && undying.contains(&passing.conn), passing, fate);
    })
}

/// What is published on the topic of a client's will at the moment it connects again is lost.
#[derive(Default)]
struct Wills {
    topics: BTreeMap<String, String>,
    lost: Option<(Instant, String)>,
}

/// Takes certain illegal packets for a plain DISCONNECT.
struct LeavesOn(fn(&Passing<'_>) -> bool);

impl Seam for LeavesOn {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Err(_) if (self.0)(passing) => fate.on(&[0xE0, 0]),
            _ => fate.on(passing.frame),
        }
    }
}

/// The will in this CONNECT as a PUBLISH at QoS 0.
fn will_as_message(connect: &[u8], passing: &Passing<'_>) -> Option<Vec<u8>> {
    let Ok(Packet::Connect(Connect { will: Some(will), .. })) = codec::decode(connect, passing.version, Side::Client)
    else {
        return None;
    };
    let Will { topic, payload, .. } = will;
    let (qos, properties) = (QoS::AtMostOnce, Properties::EMPTY);
    let publish = Publish { dup: false, qos, retain: false, topic, packet_id: None, properties, payload };
    let mut bytes = Vec::new();
    codec::encode(&Packet::Publish(publish), passing.version, &mut bytes).ok().map(|_| bytes)
}

fn is_delayed(will: &Will<'_>) -> bool {
    will.properties.will_delay_interval() > Some(0)
}

fn delaying() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("ignores-the-will-delay", &["mqtt5:3.1.2-8", "mqtt5:3.1.3-9"], || {
            heard_properties(PacketType::Connect, |list| kept(list, |p| p.id() != PropertyId::WillDelayInterval))
        }),
        Mutant::seam("delays-a-will-by-less", &["mqtt5:3.1.2-8"], || {
            heard_properties(PacketType::Connect, |list| {
                each(list, |property| {
                    if let Property::WillDelayInterval(seconds) = property {
                        *seconds /= 2;
                    }
                })
            })
        }),
        Mutant::seam("publishes-delayed-wills-at-qos-0", &["mqtt5:ext-104"], || {
            heard_wills(|will| {
                if is_delayed(will) {
                    will.qos = QoS::AtMostOnce;
                }
            })
        }),
        Mutant::seam("never-stores-a-delayed-will", &["mqtt5:3.1.2-15"], || {
            heard_wills(|will| will.retain &= !is_delayed(will))
        }),
        Mutant::seam("repeats-a-delayed-will-when-its-session-ends", &["mqtt5:3.1.2-10"], || {
            // Mosquitto before 2.0.6. A clean start ends it, and the will goes out as a message of the new connection.
            let mut delayed = BTreeMap::<String, Vec<u8>>::new();
            inbound(move |passing, packet, fate| {
                fate.on(passing.frame);
                let Packet::Connect(connect) = packet else { return };
                if let Some(frame) = delayed.remove(connect.client_id).filter(|_| connect.clean_start)
                    && let Some(publish) = will_as_message(&frame, passing)
                {
                    fate.on(&publish);
                }
                if connect.will.as_ref().is_some_and(is_delayed) {
                    delayed.insert(connect.client_id.to_owned(), passing.frame.to_vec());
                }
            })
        }),
        Mutant::seam("ends-the-delay-with-disconnect", &["mqtt5:3.1.2-8"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Disconnect(disconnect) if disconnect.reason != ReasonCode::Success => {
                    let own = PropertyBuf::new().with(Property::SessionExpiryInterval(0));
                    let properties = own.view();
                    fate.on_as(&Packet::Disconnect(Disconnect { properties, ..disconnect }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("publishes-a-delayed-will-on-takeover", &["mqtt5:3.1.3-9", "mqtt5:3.1.2-8"], || {
            // The first of two connections loses its delay as soon as the second stands: by a message in the will's place.
            let mut delayed = BTreeMap::<String, (ConnId, Vec<u8>)>::new();
            inbound(move |passing, packet, fate| {
                fate.on(passing.frame);
                match packet {
                    Packet::Connect(connect) => {
                        let taken = delayed.remove(connect.client_id).filter(|_| !connect.clean_start);
                        if let Some((_, frame)) = taken
                            && let Some(publish) = will_as_message(&frame, passing)
                        {
                            fate.on(&publish);
                        }
                        if connect.will.as_ref().is_some_and(is_delayed) {
                            delayed.insert(connect.client_id.to_owned(), (passing.conn, passing.frame.to_vec()));
                        }
                    }
                    Packet::Disconnect(_) => delayed.retain(|_, (conn, _)| *conn != passing.conn),
                    _ => {}
                }
            })
        }),
        Mutant::seam("takes-a-will-delay-beyond-31-bits-for-none", &["mqtt5:3.1.2-8"], || {
            heard_properties(PacketType::Connect, |list| {
                kept(list, |p| !matches!(p, Property::WillDelayInterval(0x8000_0000..)))
            })
        }),
        Mutant::seam("drops-the-will-of-who-had-a-delayed-one", &["mqtt5:3.1.2-7"], || {
            let mut delayed = BTreeSet::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::Connect(connect) => {
                    let had = delayed.remove(connect.client_id);
                    let will = connect.will.filter(|_| !had);
                    delayed.extend(will.filter(is_delayed).map(|_| connect.client_id.to_owned()));
                    fate.on_as(&Packet::Connect(Connect { will, ..connect }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("forgets-subscriptions-when-the-delay-of-an-old-will-is-over", &["mqtt5:4.1.0-1"], || {
            // Mosquitto before 1.6.11.
            remembering::<LeftTimers>(
                |timers, passing, packet, fate| {
                    if let Packet::Connect(connect) = packet {
                        let delay = connect.will.and_then(|will| will.properties.will_delay_interval());
                        timers.connects(passing, connect.client_id, delay.unwrap_or(0), false);
                    }
                    fate.on(passing.frame);
                },
                LeftTimers::said,
            )
        }),
        Mutant::seam("waits-out-a-will-delay-without-a-session", &["mqtt5:ext-092"], || {
            heard_properties(PacketType::Connect, |list| {
                each(list, |property| {
                    if let Property::SessionExpiryInterval(seconds @ 0) = property {
                        *seconds = 300;
                    }
                })
            })
        }),
        Mutant::seam("waits-out-a-will-delay-beyond-the-session", &["mqtt5:ext-091", "mqtt5:3.1.2-8"], || {
            heard_properties(PacketType::Connect, |list| {
                each(list, |property| {
                    if let Property::SessionExpiryInterval(seconds @ 1..300) = property {
                        *seconds = 300;
                    }
                })
            })
        }),
        Mutant::seam("lets-the-message-expiry-of-a-delayed-will-run", &["mqtt5:ext-101"], || {
            heard_properties(PacketType::Connect, |list| {
                let delay = list.will_delay_interval().unwrap_or(0);
                let others = kept(list, |property| property.id() != PropertyId::MessageExpiryInterval);
                match list.message_expiry_interval() {
                    Some(expiry) => others.with(Property::MessageExpiryInterval(expiry.saturating_sub(delay))),
                    None => others,
                }
            })
        }),
    ]
    .into_iter()
}

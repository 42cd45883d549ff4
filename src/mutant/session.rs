//! Mutants of sessions: what they keep, whose they are, and when they end (3.1.2.4, 4.1 and 4.5 of both standards).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::node::ConnId;
use harness::time::Instant;

use super::change::{
    LeftTimers, each, go_on_unless, heard, heard_properties, inbound, kept, outbound, remembering, said, waited,
    waited_in_vain,
};
use super::seam::{Fate, Passing, Seam};
use super::{Mutant, PASSED_ON};
use crate::packet::{
    ConnAck, Connect, Packet, PacketType, Properties, Property, PropertyBuf, PropertyId, Publish, QoS, ReasonCode,
};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    keeping().chain(taking_over()).chain(ending())
}

/// Messages that waited come changed.
fn to_what_waited(change: fn(&mut Publish<'_>)) -> Box<dyn Seam> {
    waited(move |passing, packet, fate| match packet {
        Packet::Publish(mut publish) => {
            change(&mut publish);
            fate.on_as(&Packet::Publish(publish), passing.version);
        }
        _ => fate.on(passing.frame),
    })
}

/// Messages that waited come with these of their properties only.
fn with_what_waited(which: fn(Property<'_>) -> bool) -> Box<dyn Seam> {
    waited(move |passing, packet, fate| match packet {
        Packet::Publish(publish) => {
            let properties = kept(publish.properties, which);
            let properties = properties.view();
            fate.on_as(&Packet::Publish(Publish { properties, ..publish }), passing.version);
        }
        _ => fate.on(passing.frame),
    })
}

fn keeping() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("calls-no-session-present", &["mqtt5:3.2.2-3", "mqtt311:3.2.2-2"], || {
            said(|packet| {
                if let Packet::ConnAck(connack) = packet {
                    connack.session_present = false;
                }
            })
        }),
        Mutant::seam(
            "calls-every-session-present",
            &["mqtt5:3.2.2-2", "mqtt5:3.2.2-3", "mqtt311:3.2.2-1", "mqtt311:3.2.2-3"],
            || {
                said(|packet| {
                    if let Packet::ConnAck(connack) = packet {
                        connack.session_present = connack.reason == ReasonCode::Success;
                    }
                })
            },
        ),
        Mutant::seam(
            "ignores-clean-start",
            &[
                "mqtt5:3.1.2-4",
                "mqtt311:3.1.2-6",
                "mqtt311:ext-029",
                "mqtt311:ext-030",
                "mqtt311:ext-090",
                "mqtt311:3.1.4-3",
                "mqtt31:diff-029",
                "mqtt5:3.1.4-4",
                "mqtt5:ext-190",
            ],
            || {
                heard(|packet| {
                    if let Packet::Connect(connect) = packet {
                        connect.clean_start &= connect.client_id.is_empty();
                    }
                })
            },
        ),
        Mutant::seam("keeps-no-session-begun-clean", &["mqtt5:3.1.2-23"], || {
            heard(|packet| {
                if let Packet::Connect(connect) = packet
                    && connect.clean_start
                {
                    connect.properties = Properties::default();
                }
            })
        }),
        Mutant::seam("starts-every-session-anew", &["mqtt5:3.1.2-5", "mqtt311:3.1.2-4", "mqtt5:3.2.2-3"], || {
            heard(|packet| {
                if let Packet::Connect(connect) = packet {
                    connect.clean_start = true;
                }
            })
        }),
        Mutant::seam(
            "calls-present-what-it-has-forgotten",
            &["mqtt5:3.1.2-5", "mqtt5:3.1.2-23", "mqtt311:3.1.2-4", "mqtt311:4.1.0-1", "mqtt311:ext-031"],
            || {
                remembering::<BTreeSet<ConnId>>(
                    |resumed, passing, packet, fate| match packet {
                        Packet::Connect(connect) if !connect.clean_start => {
                            resumed.insert(passing.conn);
                            let clean = Connect { clean_start: !connect.client_id.is_empty(), ..connect };
                            fate.on_as(&Packet::Connect(clean), passing.version);
                        }
                        _ => fate.on(passing.frame),
                    },
                    |resumed, passing, packet, fate| match packet {
                        Packet::ConnAck(mut connack) if resumed.remove(&passing.conn) => {
                            connack.session_present = connack.reason == ReasonCode::Success;
                            fate.on_as(&Packet::ConnAck(connack), passing.version);
                        }
                        _ => fate.on(passing.frame),
                    },
                )
            },
        ),
        Mutant::seam(
            "forgets-what-waited",
            &[
                "mqtt5:4.5.0-1",
                "mqtt5:3.1.2-5",
                "mqtt311:3.1.2-5",
                "mqtt311:ext-028",
                "mqtt311:ext-091",
                "mqtt311:4.5.0-1",
                "mqtt5:ext-217",
            ],
            || waited_in_vain(|packet| matches!(packet, Packet::Publish(Publish { dup: false, .. }))),
        ),
        Mutant::seam("delivers-what-waited-under-another-topic", &["mqtt5:3.3.2-3", "mqtt311:3.3.2-3"], || {
            waited(|passing, packet, fate| match packet {
                Packet::Publish(publish) if !publish.topic.is_empty() => {
                    let topic = format!("{}x", publish.topic);
                    fate.on_as(&Packet::Publish(Publish { topic: &topic, ..publish }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("delivers-what-waited-at-qos-1", &["mqtt5:3.8.4-8", "mqtt311:3.8.4-6"], || {
            to_what_waited(|publish| publish.qos = publish.qos.min(QoS::AtLeastOnce))
        }),
        Mutant::seam("sets-dup-on-what-waited", &["mqtt5:3.3.1-3", "mqtt5:4.3.2-2", "mqtt311:3.3.1-3"], || {
            to_what_waited(|publish| publish.dup = publish.qos != QoS::AtMostOnce)
        }),
        Mutant::seam("forgets-the-properties-of-what-waited", PASSED_ON, || {
            with_what_waited(|property| property.id() == PropertyId::SubscriptionIdentifier)
        }),
        Mutant::seam(
            "tells-of-one-subscription-of-several-of-what-waited",
            &["mqtt5:3.3.4-4", "mqtt5:ext-163"],
            || {
                waited(|passing, packet, fate| match packet {
                    Packet::Publish(publish) => {
                        let mut first = true;
                        let properties = publish.properties.iter().filter(|property| {
                            property.id() != PropertyId::SubscriptionIdentifier || std::mem::take(&mut first)
                        });
                        let properties = properties.fold(PropertyBuf::new(), PropertyBuf::with);
                        let properties = properties.view();
                        fate.on_as(&Packet::Publish(Publish { properties, ..publish }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("forgets-the-subscription-of-what-waited", &["mqtt5:3.3.4-3", "mqtt5:ext-162"], || {
            with_what_waited(|property| property.id() != PropertyId::SubscriptionIdentifier)
        }),
        Mutant::seam(
            "sends-new-messages-before-those-that-waited",
            &["mqtt5:4.6.0-5", "mqtt311:ext-094", "mqtt311:4.6.0-6"],
            || {
                let mut waiting = BTreeMap::<ConnId, (Instant, Vec<u8>)>::new();
                outbound(move |passing, packet, fate| {
                    match (packet, waiting.get_mut(&passing.conn)) {
                        (Packet::ConnAck(connack), _) if connack.session_present => {
                            waiting.insert(passing.conn, (passing.now, Vec::new()));
                        }
                        (Packet::Publish(_), Some((at, frames))) if *at == passing.now => {
                            return frames.extend(passing.frame);
                        }
                        (Packet::Publish(_), Some((_, frames))) => {
                            fate.on(passing.frame);
                            return fate.on(&std::mem::take(frames));
                        }
                        _ => {}
                    }
                    fate.on(passing.frame);
                })
            },
        ),
        Mutant::seam("turns-away-who-has-no-session", &["mqtt5:3.1.2-6", "mqtt311:3.1.2-4"], || {
            let mut known = BTreeSet::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::Connect(connect) if known.insert(connect.client_id.to_owned()) && !connect.clean_start => {
                    let (reason, properties) = (ReasonCode::NotAuthorized, Properties::EMPTY);
                    let refusal = ConnAck { session_present: false, reason, properties };
                    fate.back_as(&Packet::ConnAck(refusal), passing.version);
                    fate.cut();
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("keeps-subscriptions-without-options", &["mqtt5:ext-163", "mqtt5:3.1.2-5"], || {
            let mut resumed = BTreeSet::new();
            outbound(move |passing, packet, fate| match packet {
                Packet::ConnAck(connack) => {
                    if connack.session_present {
                        resumed.insert(passing.conn);
                    }
                    fate.on(passing.frame);
                }
                Packet::Publish(publish) if resumed.contains(&passing.conn) => {
                    let properties = kept(publish.properties, |p| p.id() != PropertyId::SubscriptionIdentifier);
                    let properties = properties.view();
                    fate.on_as(&Packet::Publish(Publish { properties, ..publish }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("folds-the-case-of-client-identifiers", &["mqtt5:3.1.3-2", "mqtt311:3.1.3-2"], || {
            heard_client(|client| client.to_lowercase())
        }),
        Mutant::seam(
            "cuts-client-identifiers",
            &["mqtt5:3.1.3-2", "mqtt5:3.1.3-8", "mqtt311:3.1.3-2", "mqtt311:3.1.3-9"],
            || heard_client(|client| client.chars().take(client.chars().count().saturating_sub(4)).collect()),
        ),
    ]
    .into_iter()
}

/// Client identifiers reach the broker changed.
fn heard_client(change: fn(&str) -> String) -> Box<dyn Seam> {
    inbound(move |passing, packet, fate| match packet {
        Packet::Connect(connect) => {
            let client_id = &change(connect.client_id);
            fate.on_as(&Packet::Connect(Connect { client_id, ..connect }), passing.version);
        }
        _ => fate.on(passing.frame),
    })
}

fn taking_over() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("keeps-what-waited-from-a-last-visit", &["mqtt5:3.1.2-5", "mqtt5:4.5.0-1"], || {
            // From the connections that resume a session and end it.
            remembering::<BTreeSet<ConnId>>(
                |last, passing, packet, fate| {
                    if let Packet::Connect(connect) = packet
                        && !connect.clean_start
                        && connect.version.has_properties()
                        && connect.properties.session_expiry_interval().unwrap_or_default() == 0
                    {
                        last.insert(passing.conn);
                    }
                    fate.on(passing.frame);
                },
                |last, passing, packet, fate| {
                    go_on_unless(matches!(packet, Packet::Publish(_)) && last.contains(&passing.conn), passing, fate);
                },
            )
        }),
        Mutant::seam(
            "discards-the-session-on-takeover",
            &["mqtt5:ext-089", "mqtt311:3.1.4-2", "mqtt311:4.4.0-1"],
            || Box::new(Discards::on(Cause::Takeover)),
        ),
        Mutant::seam("discards-the-session-on-a-protocol-error", &["mqtt311:ext-106", "mqtt5:3.1.2-23"], || {
            Box::new(Discards::on(Cause::Error))
        }),
        Mutant::seam("discards-the-session-of-a-silent-client", &["mqtt311:ext-047", "mqtt5:3.1.2-23"], || {
            Box::new(Discards::on(Cause::Silence))
        }),
        Mutant::seam("leaves-both-connections-open", &["mqtt5:3.1.4-3", "mqtt311:3.1.4-2", "mqtt31:diff-013"], || {
            Box::<LeavesOpen>::default()
        }),
    ]
    .into_iter()
}

/// What makes a broker forget a session that it calls present later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Another connection of the client takes over.
    Takeover,
    /// The client breaks the protocol.
    Error,
    /// The client says nothing any more, and the broker ends the connection.
    Silence,
}

struct Discards {
    cause: Cause,
    clients: BTreeMap<ConnId, String>,
    doomed: BTreeSet<String>,
    anew: BTreeSet<ConnId>,
}

impl Discards {
    fn on(cause: Cause) -> Self {
        Self { cause, clients: BTreeMap::new(), doomed: BTreeSet::new(), anew: BTreeSet::new() }
    }
}

impl Seam for Discards {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let own = self.clients.get(&passing.conn);
        match passing.packet {
            Ok(Packet::Connect(connect)) if own.is_none() => {
                let open = self.clients.values().any(|client| client == connect.client_id);
                if self.cause == Cause::Silence {
                    self.clients.retain(|_, client| client != connect.client_id);
                }
                self.clients.insert(passing.conn, connect.client_id.to_owned());
                let discards = self.doomed.remove(connect.client_id) || (open && self.cause == Cause::Takeover);
                if discards && !connect.clean_start {
                    self.anew.insert(passing.conn);
                    return fate.on_as(&Packet::Connect(Connect { clean_start: true, ..connect }), passing.version);
                }
            }
            Err(_) | Ok(Packet::Connect(_)) if self.cause == Cause::Error => self.doomed.extend(own.cloned()),
            // What ends now does not end because its client is silent.
            Err(_) | Ok(Packet::Connect(_) | Packet::Disconnect(_)) if self.cause == Cause::Silence => {
                drop(self.clients.remove(&passing.conn))
            }
            _ => {}
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::ConnAck(mut connack)) if self.anew.remove(&passing.conn) => {
                connack.session_present = true;
                fate.on_as(&Packet::ConnAck(connack), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    }

    fn closes(&mut self, conn: ConnId) -> bool {
        if self.cause == Cause::Silence {
            self.doomed.extend(self.clients.get(&conn).cloned());
        }
        true
    }

    fn gone(&mut self, conn: ConnId) {
        self.clients.remove(&conn);
    }
}

/// A client does not see that another connection has taken its place.
#[derive(Default)]
struct LeavesOpen {
    clients: BTreeMap<ConnId, String>,
    taken: BTreeSet<ConnId>,
}

impl Seam for LeavesOpen {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::Connect(connect)) = passing.packet {
            let same = self.clients.iter().filter(|(_, client)| *client == connect.client_id);
            self.taken.extend(same.map(|(conn, _)| *conn));
            self.clients.insert(passing.conn, connect.client_id.to_owned());
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        go_on_unless(self.taken.contains(&passing.conn), passing, fate);
    }

    fn closes(&mut self, conn: ConnId) -> bool {
        !self.taken.contains(&conn)
    }

    fn gone(&mut self, conn: ConnId) {
        self.clients.remove(&conn);
        self.taken.remove(&conn);
    }
}

fn ending() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("never-ends-a-session", &["mqtt5:4.1.0-2", "mqtt5:ext-075"], || {
            heard_properties(PacketType::Connect, |list| {
                each(list, |property| {
                    if let Property::SessionExpiryInterval(seconds @ 1..) = property {
                        *seconds = u32::MAX;
                    }
                })
            })
        }),
        Mutant::seam("takes-the-longest-expiry-for-none", &["mqtt5:ext-074"], || {
            heard_properties(PacketType::Connect, |list| {
                each(list, |property| {
                    if let Property::SessionExpiryInterval(seconds @ u32::MAX) = property {
                        *seconds = 0;
                    }
                })
            })
        }),
        Mutant::seam(
            "keeps-sessions-that-asked-for-no-expiry",
            &["mqtt5:4.1.0-2", "mqtt5:ext-073", "mqtt5:ext-171", "mqtt5:ext-211"],
            || {
                heard_properties(PacketType::Connect, |list| {
                    let others = kept(list, |property| property.id() != PropertyId::SessionExpiryInterval);
                    others.with(Property::SessionExpiryInterval(list.session_expiry_interval().unwrap_or(0).max(30)))
                })
            },
        ),
        Mutant::seam("ignores-session-expiry-in-disconnect", &["mqtt5:ext-170", "mqtt5:ext-094"], || {
            heard_properties(PacketType::Disconnect, |list| {
                kept(list, |property| property.id() != PropertyId::SessionExpiryInterval)
            })
        }),
        Mutant::seam("lets-disconnect-only-lengthen-a-session", &["mqtt5:ext-170", "mqtt5:4.1.0-2"], || {
            let mut asked = BTreeMap::<ConnId, u32>::new();
            inbound(move |passing, packet, fate| {
                let expiry = packet.properties().session_expiry_interval();
                let old = match packet {
                    Packet::Connect(_) => asked.insert(passing.conn, expiry.unwrap_or(0)).filter(|_| false),
                    Packet::Disconnect(_) => asked.get(&passing.conn).copied(),
                    _ => None,
                };
                if old.zip(expiry).is_some_and(|(old, new)| new > 0 && new < old) {
                    let others = kept(packet.properties(), |p| p.id() != PropertyId::SessionExpiryInterval);
                    return fate.on_as(&packet.with_properties(others.view()), passing.version);
                }
                fate.on(passing.frame);
            })
        }),
        Mutant::seam("takes-a-session-expiry-beyond-31-bits-for-none", &["mqtt5:3.1.2-23"], || {
            heard_properties(PacketType::Connect, |list| {
                kept(list, |p| !matches!(p, Property::SessionExpiryInterval(0x8000_0000..=0xFFFF_FFFE)))
            })
        }),
        Mutant::seam("ends-a-session-with-the-one-that-it-replaced", &["mqtt5:4.1.0-1"], || {
            remembering::<LeftTimers>(
                |timers, passing, packet, fate| {
                    if let Packet::Connect(connect) = packet {
                        let expiry = connect.properties.session_expiry_interval().filter(|expiry| *expiry < u32::MAX);
                        timers.connects(passing, connect.client_id, expiry.unwrap_or(0), !connect.clean_start);
                    }
                    fate.on(passing.frame);
                },
                LeftTimers::said,
            )
        }),
        Mutant::seam("ends-the-session-at-every-disconnect", &["mqtt5:ext-172", "mqtt5:3.1.2-23"], || {
            heard_properties(PacketType::Disconnect, |list| match list.session_expiry_interval() {
                Some(_) => kept(list, |_| true),
                None => PropertyBuf::new().with(Property::SessionExpiryInterval(0)),
            })
        }),
        Mutant::seam("keeps-the-first-session-expiry", &["mqtt5:ext-076"], || {
            let mut first = BTreeMap::<String, u32>::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::Connect(connect) if passing.version.has_properties() => {
                    let asked = connect.properties.session_expiry_interval().unwrap_or(0);
                    let seconds = *first.entry(connect.client_id.to_owned()).or_insert(asked);
                    let others = kept(connect.properties, |p| p.id() != PropertyId::SessionExpiryInterval);
                    let properties = others.with(Property::SessionExpiryInterval(seconds));
                    let properties = properties.view();
                    fate.on_as(&Packet::Connect(Connect { properties, ..connect }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("ends-sessions-under-open-connections", &["mqtt5:4.1.0-1", "mqtt311:4.1.0-2"], || {
            let mut began = BTreeMap::<ConnId, Instant>::new();
            outbound(move |passing, packet, fate| {
                if matches!(packet, Packet::ConnAck(_)) {
                    began.insert(passing.conn, passing.now);
                }
                let age = began.get(&passing.conn).map_or(Duration::ZERO, |began| passing.now.since(*began));
                go_on_unless(matches!(packet, Packet::Publish(_)) && age > Duration::from_secs(1), passing, fate);
            })
        }),
        Mutant::seam("runs-the-session-expiry-from-the-first-connection", &["mqtt5:ext-189", "mqtt5:3.1.2-23"], || {
            let mut began = BTreeMap::<String, Instant>::new();
            inbound(move |passing, packet, fate| {
                let Packet::Connect(connect) = packet else { return fate.on(passing.frame) };
                let began = *began.entry(connect.client_id.to_owned()).or_insert(passing.now);
                let expiry = connect.properties.session_expiry_interval().unwrap_or(u32::MAX);
                let over = passing.now.since(began) > Duration::from_secs(expiry.into());
                let clean_start = connect.clean_start || over;
                fate.on_as(&Packet::Connect(Connect { clean_start, ..connect }), passing.version);
            })
        }),
    ]
    .into_iter()
}

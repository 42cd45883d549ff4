//! Mutants of SUBSCRIBE and SUBACK, and of what a subscription brings (3.8, 3.9 and 3.3.4 of 5.0, 3.3.5 of 3.1.1).

use std::collections::{BTreeMap, BTreeSet};

use harness::node::ConnId;

use super::Mutant;
use super::change::{go_on_unless, heard_options, inbound, kept, outbound, remembering, said, said_properties, unsaid};
use super::seam::{Fate, Passing, Seam};
use crate::packet::{
    Packet, PacketId, PacketType, Properties, Property, PropertyBuf, Publish, QoS, ReasonCode, ReasonCodes, SubAck,
    Subscribe, SubscriptionBuf, SubscriptionOptions, Version,
};
use crate::topic::{Filter, Topic};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    subscribing().chain(delivering())
}

fn subscribing() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("never-sends-suback", &["mqtt5:3.8.4-1", "mqtt311:3.8.4-1"], || {
            unsaid(|packet| matches!(packet, Packet::SubAck(_)))
        }),
        Mutant::seam(
            "sends-suback-with-the-next-identifier",
            &["mqtt5:3.8.4-2", "mqtt5:2.2.1-6", "mqtt311:3.8.4-2", "mqtt311:2.3.1-7"],
            || {
                said(|packet| {
                    if let Packet::SubAck(suback) = packet {
                        suback.packet_id = suback.packet_id.next();
                    }
                })
            },
        ),
        Mutant::seam("takes-no-user-property-in-subscribe", &["mqtt5:ext-028", "mqtt5:3.8.4-1"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Subscribe(subscribe) if subscribe.properties.user_properties().next().is_some() => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("takes-no-user-property-in-unsubscribe", &["mqtt5:ext-030", "mqtt5:3.10.4-4"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Unsubscribe(unsubscribe) if unsubscribe.properties.user_properties().next().is_some() => {
                    fate.cut();
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("sends-one-code-for-all-filters", &["mqtt5:3.8.4-6", "mqtt311:3.8.4-5"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::SubAck(suback) if suback.reasons.len() > 1 => {
                    suback_with(&suback, &suback.reasons.as_bytes()[..1], passing, fate);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "reads-no-more-than-a-hundred-filters",
            &["mqtt5:3.8.4-5", "mqtt5:3.9.3-1", "mqtt311:3.8.4-4", "mqtt311:3.9.3-1"],
            || {
                inbound(|passing, packet, fate| match packet {
                    Packet::Subscribe(subscribe) if subscribe.subscriptions.iter().count() > 100 => {
                        let first = subscribe.subscriptions.iter().take(100);
                        let list =
                            first.fold(SubscriptionBuf::new(), |list, each| list.with(each.filter, each.options));
                        let subscriptions = list.view();
                        fate.on_as(&Packet::Subscribe(Subscribe { subscriptions, ..subscribe }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("says-that-it-grants-what-it-refuses", &["mqtt311:ext-067", "mqtt5:3.8.4-6"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::SubAck(suback) if passing.version != Version::V31 => {
                    let granted = |code: &u8| if *code < 0x80 { *code } else { 0 };
                    let codes: Vec<u8> = suback.reasons.as_bytes().iter().map(granted).collect();
                    suback_with(&suback, &codes, passing, fate);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "brings-what-a-refused-filter-would-have-brought",
            &["mqtt311:ext-067", "mqtt31:diff-019"],
            || {
                // Those of the last SUBSCRIBE. What is sent to one of them goes to the first, which is granted.
                let mut filters = Vec::<String>::new();
                inbound(move |passing, packet, fate| match packet {
                    Packet::Publish(publish) if filters.iter().any(|filter| filter == publish.topic) => {
                        fate.on_as(&Packet::Publish(Publish { topic: &filters[0], ..publish }), passing.version);
                    }
                    Packet::Subscribe(subscribe) => {
                        filters = subscribe.subscriptions.iter().map(|each| each.filter.to_owned()).collect();
                        fate.on(passing.frame);
                    }
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("blames-one-filter-for-an-identifier-in-use", &["mqtt5:ext-165"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::SubAck(suback) if passing.version.has_properties() && suback.reasons.len() > 1 => {
                    let mut codes = suback.reasons.as_bytes().to_vec();
                    codes[0] = ReasonCode::PacketIdentifierInUse.code();
                    suback_with(&suback, &codes, passing, fate);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("sends-one-suback-per-filter", &["mqtt5:3.8.4-5", "mqtt311:3.8.4-4"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::SubAck(suback) => {
                    for code in suback.reasons.as_bytes().chunks(1) {
                        suback_with(&suback, code, passing, fate);
                    }
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("reverses-the-codes-of-suback", &["mqtt5:3.9.3-1", "mqtt311:3.9.3-1"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::SubAck(suback) => {
                    let codes: Vec<u8> = suback.reasons.as_bytes().iter().copied().rev().collect();
                    suback_with(&suback, &codes, passing, fate);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("sends-suback-with-an-unknown-code", &["mqtt5:3.9.3-2", "mqtt311:3.9.3-2"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::SubAck(_) => {
                    let mut frame = passing.frame.to_vec();
                    frame.pop();
                    frame.push(0x7F);
                    fate.on(&frame);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("grants-more-than-was-asked-for", &["mqtt5:3.8.4-7", "mqtt5:3.8.4-8", "mqtt311:3.8.4-6"], || {
            heard_options(|_, options| options.qos = QoS::ExactlyOnce)
        }),
        Mutant::seam("grants-and-forgets", &["mqtt5:ext-158", "mqtt5:4.5.0-1", "mqtt311:4.5.0-1"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Subscribe(subscribe) => grant(&subscribe, passing, fate),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "keeps-the-first-of-equal-subscriptions",
            &["mqtt5:3.8.4-3", "mqtt311:3.8.4-3", "mqtt5:ext-164", "mqtt311:ext-073", "mqtt5:ext-210"],
            || {
                let mut known = BTreeSet::<(ConnId, Vec<String>)>::new();
                inbound(move |passing, packet, fate| match packet {
                    Packet::Subscribe(subscribe) => {
                        let filters = subscribe.subscriptions.iter().map(|each| each.filter.to_owned()).collect();
                        if known.insert((passing.conn, filters)) {
                            fate.on(passing.frame);
                        } else {
                            grant(&subscribe, passing, fate);
                        }
                    }
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("forgets-deliveries-where-a-subscription-sinks", &["mqtt5:4.4.0-1", "mqtt311:4.4.0-1"], || {
            // By filters without wildcards, which are the topics.
            remembering::<BTreeSet<String>>(
                |sunk, passing, packet, fate| {
                    if let Packet::Subscribe(subscribe) = packet {
                        let lowest = subscribe.subscriptions.iter().filter(|each| each.options.qos == QoS::AtMostOnce);
                        sunk.extend(lowest.map(|each| each.filter.to_owned()));
                    }
                    fate.on(passing.frame);
                },
                |sunk, passing, packet, fate| {
                    let lost =
                        matches!(packet, Packet::Publish(Publish { dup: true, topic, .. }) if sunk.contains(topic));
                    go_on_unless(lost, passing, fate);
                },
            )
        }),
        Mutant::seam("misses-a-message-while-it-replaces", &["mqtt5:3.8.4-4", "mqtt311:3.8.4-3"], || {
            // One message is missed for each SUBSCRIBE on a connection behind the first.
            remembering::<BTreeMap<ConnId, (u32, u32)>>(
                |missing, passing, packet, fate| {
                    if matches!(packet, Packet::Subscribe(_)) {
                        let (known, missing) = missing.entry(passing.conn).or_default();
                        *missing += u32::from(*known > 1);
                        *known += 1;
                    }
                    fate.on(passing.frame);
                },
                |missing, passing, packet, fate| match (packet, missing.get_mut(&passing.conn)) {
                    (Packet::Publish(_), Some((_, missing @ 1..))) => *missing -= 1,
                    _ => fate.on(passing.frame),
                },
            )
        }),
        Mutant::seam(
            "takes-the-first-of-a-repeated-filter",
            &["mqtt5:3.8.4-5", "mqtt311:3.8.4-4", "mqtt311:ext-069"],
            || Box::new(Repeated::holds(|equal| equal.next())),
        ),
        Mutant::seam(
            "takes-the-highest-of-a-repeated-filter",
            &["mqtt5:3.8.4-5", "mqtt311:3.8.4-4", "mqtt311:ext-069"],
            || Box::new(Repeated::holds(|equal| equal.max_by_key(|options| options.qos))),
        ),
        Mutant::seam("grants-wildcards-that-it-does-not-have", &["mqtt5:ext-154", "mqtt311:3.8.3-2"], || {
            granting(|filter| filter.contains(['+', '#']))
        }),
        Mutant::seam("grants-shared-subscriptions-that-it-does-not-have", &["mqtt5:ext-155"], || {
            granting(|filter| filter.starts_with("$share/"))
        }),
        Mutant::seam("refuses-wildcards", &["mqtt311:ext-070"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Subscribe(subscribe)
                    if subscribe.subscriptions.iter().any(|s| s.filter.contains(['+', '#'])) =>
                {
                    let codes = vec![ReasonCode::UnspecifiedError.code(); subscribe.subscriptions.iter().count()];
                    answer(&subscribe, &codes, passing, fate);
                }
                _ => fate.on(passing.frame),
            })
        }),
    ]
    .into_iter()
}

/// Which of several options for one filter.
type Choice = fn(&mut dyn Iterator<Item = SubscriptionOptions>) -> Option<SubscriptionOptions>;

/// Of the options that one SUBSCRIBE has for a filter, others than the last hold; SUBACK tells nothing of it.
struct Repeated {
    choice: Choice,
    asked: BTreeMap<(ConnId, PacketId), Vec<u8>>,
}

impl Repeated {
    fn holds(choice: Choice) -> Self {
        Self { choice, asked: BTreeMap::new() }
    }
}

impl Seam for Repeated {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let Ok(Packet::Subscribe(subscribe)) = passing.packet else { return fate.on(passing.frame) };
        let mut list = SubscriptionBuf::new();
        for one in subscribe.subscriptions.iter() {
            let equal = subscribe.subscriptions.iter().filter(|other| other.filter == one.filter);
            let options = (self.choice)(&mut equal.map(|other| other.options)).unwrap_or(one.options);
            list = list.with(one.filter, options);
        }
        let codes = subscribe.subscriptions.iter().map(|each| each.options.qos as u8).collect();
        self.asked.insert((passing.conn, subscribe.packet_id), codes);
        let subscriptions = list.view();
        fate.on_as(&Packet::Subscribe(Subscribe { subscriptions, ..subscribe }), passing.version);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::SubAck(suback)) if !suback.reasons.iter().any(ReasonCode::is_error) => {
                let asked = self.asked.remove(&(passing.conn, suback.packet_id));
                suback_with(&suback, &asked.unwrap_or_default(), passing, fate);
            }
            _ => fate.on(passing.frame),
        }
    }
}

/// SUBACK with these codes in place of this one.
fn suback_with(suback: &SubAck<'_>, codes: &[u8], passing: &Passing<'_>, fate: &mut Fate) {
    let Some(reasons) = ReasonCodes::from_bytes(codes) else { return };
    fate.on_as(&Packet::SubAck(SubAck { reasons, ..*suback }), passing.version);
}

/// Answers a SUBSCRIBE without the broker.
pub(super) fn answer(subscribe: &Subscribe<'_>, codes: &[u8], passing: &Passing<'_>, fate: &mut Fate) {
    let Some(reasons) = ReasonCodes::from_bytes(codes) else { return };
    let suback = SubAck { packet_id: subscribe.packet_id, properties: Properties::EMPTY, reasons };
    fate.back_as(&Packet::SubAck(suback), passing.version);
}

/// Grants what was asked for without the broker.
fn grant(subscribe: &Subscribe<'_>, passing: &Passing<'_>, fate: &mut Fate) {
    let codes: Vec<u8> = subscribe.subscriptions.iter().map(|each| each.options.qos as u8).collect();
    answer(subscribe, &codes, passing, fate);
}

/// The subscriptions of each connection, in their order, and at which level each stands.
type Levels = Vec<(ConnId, String, QoS)>;

fn note_levels(known: &mut Levels, passing: &Passing<'_>, packet: Packet<'_>, fate: &mut Fate) {
    match packet {
        Packet::Connect(_) => known.retain(|(conn, ..)| *conn != passing.conn),
        Packet::Subscribe(subscribe) => {
            for each in subscribe.subscriptions.iter() {
                known.retain(|(conn, filter, _)| *conn != passing.conn || filter != each.filter);
                known.push((passing.conn, each.filter.to_owned(), each.options.qos));
            }
        }
        _ => {}
    }
    fate.on(passing.frame);
}

/// Of the levels at which the receiver subscribed to the topic, this one decides whether the message comes at QoS 0.
fn deliver_at_one(
    known: &Levels,
    passing: &Passing<'_>,
    packet: Packet<'_>,
    fate: &mut Fate,
    decides: fn(&mut dyn Iterator<Item = QoS>) -> Option<QoS>,
) {
    let Packet::Publish(publish) = packet else { return fate.on(passing.frame) };
    let matching = |filter: &str| {
        let (filter, topic) = (Filter::new(filter), Topic::new(publish.topic));
        matches!((filter, topic), (Ok(filter), Ok(topic)) if filter.matches(topic))
    };
    let own = known.iter().filter(|(conn, filter, _)| *conn == passing.conn && matching(filter));
    match decides(&mut own.map(|(.., qos)| *qos)) {
        Some(QoS::AtMostOnce) => {
            let lowest = Publish { qos: QoS::AtMostOnce, packet_id: None, dup: false, ..publish };
            fate.on_as(&Packet::Publish(lowest), passing.version);
        }
        _ => fate.on(passing.frame),
    }
}

fn delivering() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("delivers-at-the-lowest-qos-of-an-overlap", &["mqtt5:3.3.4-2", "mqtt311:3.3.5-1"], || {
            remembering::<Levels>(note_levels, |known, passing, packet, fate| {
                deliver_at_one(known, passing, packet, fate, |levels| levels.min());
            })
        }),
        Mutant::seam(
            "delivers-at-the-qos-of-the-earliest-of-an-overlap",
            &["mqtt5:3.3.4-2", "mqtt311:3.3.5-1"],
            || {
                remembering::<Levels>(note_levels, |known, passing, packet, fate| {
                    deliver_at_one(known, passing, packet, fate, |levels| levels.next());
                })
            },
        ),
        Mutant::seam("ignores-no-local", &["mqtt5:3.8.3-3"], || heard_options(|_, options| options.no_local = false)),
        Mutant::seam("drops-subscription-identifiers", &["mqtt5:3.3.4-3", "mqtt5:ext-162", "mqtt5:ext-215"], || {
            said_properties(PacketType::Publish, |list| {
                kept(list, |p| !matches!(p, Property::SubscriptionIdentifier(_)))
            })
        }),
        Mutant::seam("sends-one-subscription-identifier-of-several", &["mqtt5:3.3.4-4"], || {
            said_properties(PacketType::Publish, |list| {
                let others = kept(list, |p| !matches!(p, Property::SubscriptionIdentifier(_)));
                let first = list.subscription_identifiers().take(1);
                first.fold(others, |list, id| list.with(Property::SubscriptionIdentifier(id)))
            })
        }),
        Mutant::seam("sends-copies-with-one-and-the-same-identifier", &["mqtt5:3.3.4-5"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::Publish(publish) if publish.qos == QoS::AtMostOnce => {
                    let all = publish.properties.subscription_identifiers();
                    let first = publish.properties.subscription_identifiers().next();
                    let others = kept(publish.properties, |p| !matches!(p, Property::SubscriptionIdentifier(_)));
                    let properties =
                        first.map(Property::SubscriptionIdentifier).into_iter().fold(others, PropertyBuf::with);
                    let properties = properties.view();
                    for _ in 0..all.count().max(1) {
                        fate.on_as(&Packet::Publish(Publish { properties, ..publish }), passing.version);
                    }
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("sends-identifiers-that-nobody-gave", &["mqtt5:ext-127", "mqtt5:ext-215"], || {
            said_properties(PacketType::Publish, |list| kept(list, |_| true).with(Property::SubscriptionIdentifier(99)))
        }),
        Mutant::seam("keeps-the-options-of-the-first-of-equal-subscriptions", &["mqtt5:3.8.4-3"], || {
            // Mosquitto 2.0.11. All but the quality of service.
            let mut first = BTreeMap::<(ConnId, String), SubscriptionOptions>::new();
            inbound(move |passing, packet, fate| {
                let Packet::Subscribe(subscribe) = packet else { return fate.on(passing.frame) };
                let mut list = SubscriptionBuf::new();
                for each in subscribe.subscriptions.iter() {
                    let known = first.entry((passing.conn, each.filter.to_owned())).or_insert(each.options);
                    list = list.with(each.filter, SubscriptionOptions { qos: each.options.qos, ..*known });
                }
                let subscriptions = list.view();
                fate.on_as(&Packet::Subscribe(Subscribe { subscriptions, ..subscribe }), passing.version);
            })
        }),
        Mutant::seam("remembers-an-earlier-subscription-identifier", &["mqtt5:3.8.4-3", "mqtt5:ext-164"], || {
            // Without an identifier in SUBSCRIBE the one of the connection's last stays.
            let mut last = BTreeMap::<ConnId, u32>::new();
            inbound(move |passing, packet, fate| {
                let Packet::Subscribe(subscribe) = packet else { return fate.on(passing.frame) };
                match (subscribe.properties.subscription_identifiers().next(), last.get(&passing.conn)) {
                    (None, Some(id)) => {
                        let properties = PropertyBuf::new().with(Property::SubscriptionIdentifier(*id));
                        let properties = properties.view();
                        fate.on_as(&Packet::Subscribe(Subscribe { properties, ..subscribe }), passing.version);
                    }
                    (id, _) => {
                        last.extend(id.map(|id| (passing.conn, id)));
                        fate.on(passing.frame);
                    }
                }
            })
        }),
    ]
    .into_iter()
}

/// Grants such filters without the broker, and so to no effect.
pub(super) fn granting(which: fn(&str) -> bool) -> Box<dyn Seam> {
    inbound(move |passing, packet, fate| match packet {
        Packet::Subscribe(subscribe) if subscribe.subscriptions.iter().any(|each| which(each.filter)) => {
            grant(&subscribe, passing, fate);
        }
        _ => fate.on(passing.frame),
    })
}

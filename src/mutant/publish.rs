//! Mutants of PUBLISH and of topic names (3.3 and 4.7 of both standards).

use std::collections::{BTreeMap, BTreeSet};

use harness::node::ConnId;

use super::Mutant;
use super::change::{
    each, go_on_unless, heard_names, inbound, kept, outbound, remembering, said, said_properties, unheard, unsaid,
};
use super::seam::{Fate, Passing, Seam};
use crate::codec;
use crate::packet::{
    Ack, Packet, PacketId, PacketType, Properties, Property, Publish, QoS, Subscribe, SubscriptionBuf,
    SubscriptionOptions,
};
use crate::violation::Rule;

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    messages().chain(properties()).chain(topics())
}

fn messages() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam(
            "keeps-messages-of-older-clients-from-those-of-5.0",
            &["mqtt311:4.5.0-1", "mqtt31:diff-030"],
            || {
                remembering::<BTreeSet<String>>(
                    |older, passing, packet, fate| {
                        match packet {
                            Packet::Publish(publish) if passing.version.has_properties() => older.remove(publish.topic),
                            Packet::Publish(publish) => older.insert(publish.topic.to_owned()),
                            _ => false,
                        };
                        fate.on(passing.frame);
                    },
                    |older, passing, packet, fate| {
                        let withheld = matches!(packet, Packet::Publish(publish)
                        if passing.version.has_properties() && older.contains(publish.topic));
                        go_on_unless(withheld, passing, fate);
                    },
                )
            },
        ),
        Mutant::seam("loses-what-is-sent-to-long-topics", &["mqtt5:4.5.0-1", "mqtt311:4.5.0-1"], || {
            unsaid(|packet| matches!(packet, Packet::Publish(publish) if publish.topic.len() > 60_000))
        }),
        Mutant::seam("acknowledges-qos-2-by-puback", &["mqtt5:3.3.4-1", "mqtt311:3.3.4-1"], || {
            said(|packet| {
                if let Packet::PubRec(ack) = *packet {
                    *packet = Packet::PubAck(ack);
                }
            })
        }),
        Mutant::seam("acknowledges-qos-0", &["mqtt5:3.3.4-1", "mqtt311:3.3.4-1"], || {
            inbound(|passing, packet, fate| {
                fate.on(passing.frame);
                if matches!(packet, Packet::Publish(Publish { qos: QoS::AtMostOnce, .. })) {
                    fate.back_as(&Packet::PubAck(Ack::success(PacketId::MIN)), passing.version);
                }
            })
        }),
        Mutant::seam("cuts-long-payloads", &["mqtt5:ext-007", "mqtt311:ext-055", "mqtt311:ext-009"], || {
            said(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.payload = &publish.payload[..publish.payload.len().min(16_000)];
                }
            })
        }),
        Mutant::seam("writes-properties-for-versions-that-know-none", &["mqtt5:ext-007", "mqtt5:4.5.0-1"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::Publish(publish) if !passing.version.has_properties() => {
                    let payload = [&[0], publish.payload].concat();
                    fate.on_as(&Packet::Publish(Publish { payload: &payload, ..publish }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("loses-packets-at-a-step-of-the-remaining-length", &["mqtt5:ext-007", "mqtt311:ext-009"], || {
            inbound(|passing, packet, fate| {
                let step = [2 + 127, 3 + 128, 3 + 16_383, 4 + 16_384].contains(&passing.frame.len());
                go_on_unless(step && matches!(packet, Packet::Publish(_)), passing, fate);
            })
        }),
        Mutant::seam("reads-no-fourth-byte-of-the-remaining-length", &["mqtt5:ext-007", "mqtt311:ext-010"], || {
            inbound(|passing, _, fate| match passing.frame.len() {
                0..=2_097_155 => fate.on(passing.frame),
                _ => fate.cut(),
            })
        }),
        Mutant::seam("takes-payloads-for-c-strings", &["mqtt5:3.1.2-7", "mqtt311:ext-055", "mqtt311:ext-036"], || {
            said(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.payload = publish.payload.split(|byte| *byte == 0).next().unwrap_or_default();
                }
            })
        }),
        Mutant::seam(
            "swallows-empty-messages",
            &[
                "mqtt5:ext-121",
                "mqtt311:ext-054",
                "mqtt5:3.3.1-6",
                "mqtt311:3.3.1-10",
                "mqtt5:ext-103",
                "mqtt311:ext-035",
            ],
            || unsaid(|packet| matches!(packet, Packet::Publish(Publish { payload: [], .. }))),
        ),
        Mutant::seam("delivers-every-other-message", &["mqtt5:4.5.0-1", "mqtt311:4.5.0-1"], || {
            let mut count = 0;
            outbound(move |passing, packet, fate| {
                count += usize::from(matches!(packet, Packet::Publish(_)));
                if count % 2 == 1 || !matches!(packet, Packet::Publish(_)) {
                    fate.on(passing.frame);
                }
            })
        }),
        Mutant::seam("delivers-twice", &["mqtt5:3.8.4-3", "mqtt311:3.8.4-3", "mqtt5:ext-204"], || {
            outbound(|passing, packet, fate| {
                fate.on(passing.frame);
                if matches!(packet, Packet::Publish(Publish { qos: QoS::AtMostOnce, .. })) {
                    fate.on(passing.frame);
                }
            })
        }),
        Mutant::seam(
            "delivers-everything-at-qos-0",
            &[
                "mqtt5:3.8.4-8",
                "mqtt311:3.8.4-6",
                "mqtt311:ext-056",
                "mqtt5:4.8.2-3",
                "mqtt5:ext-104",
                "mqtt311:3.1.2-9",
            ],
            || {
                said(|packet| {
                    if let Packet::Publish(publish) = packet {
                        (publish.qos, publish.packet_id, publish.dup) = (QoS::AtMostOnce, None, false);
                    }
                })
            },
        ),
        Mutant::seam("lowers-a-message-for-whoever-comes-behind", &["mqtt5:3.8.4-8", "mqtt311:3.8.4-6"], || {
            // It lowers the message itself to what a subscriber was granted, and goes on with that to the next.
            remembering::<Option<QoS>>(
                |lowest, passing, packet, fate| {
                    if matches!(packet, Packet::Publish(_)) {
                        *lowest = None;
                    }
                    fate.on(passing.frame);
                },
                |lowest, passing, packet, fate| match packet {
                    Packet::Publish(publish) => {
                        let qos = lowest.map_or(publish.qos, |lowest| lowest.min(publish.qos));
                        *lowest = Some(qos);
                        let packet_id = publish.packet_id.filter(|_| qos != QoS::AtMostOnce);
                        let dup = publish.dup && qos != QoS::AtMostOnce;
                        fate.on_as(&Packet::Publish(Publish { qos, packet_id, dup, ..publish }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                },
            )
        }),
        Mutant::seam(
            "delivers-under-the-publishers-identifier",
            &["mqtt5:2.2.1-4", "mqtt5:ext-013", "mqtt311:2.3.1-4", "mqtt311:ext-015"],
            || {
                remembering::<Option<PacketId>>(
                    |last, passing, packet, fate| {
                        if let Packet::Publish(Publish { packet_id, .. }) = packet {
                            *last = packet_id;
                        }
                        fate.on(passing.frame);
                    },
                    |last, passing, packet, fate| match packet {
                        Packet::Publish(publish) if publish.packet_id.is_some() && last.is_some() => {
                            fate.on_as(&Packet::Publish(Publish { packet_id: *last, ..publish }), passing.version);
                        }
                        _ => fate.on(passing.frame),
                    },
                )
            },
        ),
        Mutant::seam(
            "says-nothing-to-a-forbidden-message",
            &["mqtt5:ext-130", "mqtt311:3.3.5-2", "mqtt31:diff-020"],
            || {
                inbound(|passing, packet, fate| match packet {
                    Packet::Publish(publish) if publish.topic.ends_with("forbidden") => {}
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam(
            "swallows-messages-on-topics-without-subscribers",
            &["mqtt5:ext-122", "mqtt5:4.3.2-4", "mqtt311:ext-064"],
            || {
                let mut filters = BTreeSet::new();
                inbound(move |passing, packet, fate| {
                    if let Packet::Subscribe(subscribe) = packet {
                        filters.extend(subscribe.subscriptions.iter().map(|each| each.filter.to_owned()));
                    }
                    let unknown = matches!(packet, Packet::Publish(publish) if !filters.contains(publish.topic));
                    go_on_unless(unknown, passing, fate);
                })
            },
        ),
        Mutant::seam("never-delivers-to-the-publisher", &["mqtt5:4.5.0-1", "mqtt311:ext-062"], || {
            remembering::<Option<(ConnId, Vec<u8>)>>(
                |last, passing, packet, fate| {
                    if let Packet::Publish(publish) = packet {
                        *last = Some((passing.conn, publish.payload.to_vec()));
                    }
                    fate.on(passing.frame);
                },
                |last, passing, packet, fate| {
                    let own = matches!((packet, last), (Packet::Publish(publish), Some((conn, payload)))
                        if *conn == passing.conn && publish.payload == payload);
                    go_on_unless(own, passing, fate);
                },
            )
        }),
        Mutant::seam(
            "sets-dup-at-qos-0",
            &["mqtt5:4.3.1-1", "mqtt5:3.3.1-2", "mqtt311:4.3.1-1", "mqtt311:3.3.1-2"],
            || {
                outbound(|passing, packet, fate| match packet {
                    Packet::Publish(Publish { qos: QoS::AtMostOnce, .. }) => {
                        fate.on(&[&[passing.frame[0] | 0b1000], &passing.frame[1..]].concat());
                    }
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("sends-an-identifier-at-qos-0", &["mqtt5:2.2.1-2", "mqtt311:2.3.1-5"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::Publish(publish @ Publish { qos: QoS::AtMostOnce, .. }) => {
                    let numbered = Publish { qos: QoS::AtLeastOnce, packet_id: Some(PacketId::MIN), ..publish };
                    let mut frame = Vec::new();
                    if codec::encode(&Packet::Publish(numbered), passing.version, &mut frame).is_ok() {
                        frame[0] = passing.frame[0];
                        fate.on(&frame);
                    }
                }
                _ => fate.on(passing.frame),
            })
        }),
    ]
    .into_iter()
}

fn properties() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("passes-on-a-response-topic-with-a-wildcard", &["mqtt5:3.3.2-14"], || {
            Box::new(Disguises(Rule::WildcardInResponseTopic))
        }),
        Mutant::seam("drops-the-payload-format", &["mqtt5:3.3.2-4", "mqtt5:ext-220"], || {
            said_properties(PacketType::Publish, |list| {
                kept(list, |p| !matches!(p, Property::PayloadFormatIndicator(_)))
            })
        }),
        Mutant::seam("drops-the-response-topic", &["mqtt5:3.3.2-15"], || {
            said_properties(PacketType::Publish, |list| kept(list, |p| !matches!(p, Property::ResponseTopic(_))))
        }),
        Mutant::seam("drops-the-correlation-data", &["mqtt5:3.3.2-16"], || {
            said_properties(PacketType::Publish, |list| kept(list, |p| !matches!(p, Property::CorrelationData(_))))
        }),
        Mutant::seam("cuts-long-correlation-data", &["mqtt5:ext-014", "mqtt5:3.3.2-16"], || {
            said_properties(PacketType::Publish, |list| {
                each(list, |property| {
                    if let Property::CorrelationData(data) = property {
                        *data = &data[..data.len().min(128)];
                    }
                })
            })
        }),
        Mutant::seam("drops-the-content-type", &["mqtt5:3.3.2-20"], || {
            said_properties(PacketType::Publish, |list| kept(list, |p| !matches!(p, Property::ContentType(_))))
        }),
        Mutant::seam("drops-user-properties", &["mqtt5:3.3.2-17"], || {
            said_properties(PacketType::Publish, |list| kept(list, |p| !matches!(p, Property::UserProperty(..))))
        }),
        Mutant::seam("keeps-user-properties-in-a-map", &["mqtt5:3.3.2-17", "mqtt5:3.3.2-18"], || {
            said_properties(PacketType::Publish, |list| {
                let others = kept(list, |p| !matches!(p, Property::UserProperty(..)));
                let users: BTreeMap<_, _> = list.user_properties().collect();
                users.into_iter().fold(others, |list, (name, value)| list.with(Property::UserProperty(name, value)))
            })
        }),
        Mutant::seam("reverses-user-properties", &["mqtt5:3.3.2-18", "mqtt5:3.1.3-10"], || {
            said_properties(PacketType::Publish, |list| {
                let others = kept(list, |p| !matches!(p, Property::UserProperty(..)));
                let users: Vec<_> = list.user_properties().collect();
                let backwards = users.into_iter().rev();
                backwards.fold(others, |list, (name, value)| list.with(Property::UserProperty(name, value)))
            })
        }),
    ]
    .into_iter()
}

fn topics() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("delivers-under-another-topic", &["mqtt5:3.3.2-3", "mqtt311:3.3.2-3"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::Publish(publish) if !publish.topic.is_empty() => {
                    let topic = &format!("{}/x", publish.topic);
                    fate.on_as(&Packet::Publish(Publish { topic, ..publish }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "takes-wildcards-in-topic-names",
            &["mqtt5:3.3.2-2", "mqtt5:4.7.0-1", "mqtt311:3.3.2-2", "mqtt311:4.7.1-1", "mqtt311:4.8.0-1"],
            || Box::new(Disguises(Rule::WildcardInTopic)),
        ),
        Mutant::seam(
            "cuts-long-topic-names",
            &["mqtt5:3.3.2-1", "mqtt311:3.3.2-1", "mqtt311:ext-002", "mqtt311:ext-005"],
            || heard_names(|_, name| name.chars().take(255).collect()),
        ),
        Mutant::seam("drops-characters-of-four-bytes", &["mqtt311:ext-002", "mqtt5:1.5.4-3"], || {
            heard_names(|_, name| name.replace(|letter: char| letter.len_utf8() == 4, ""))
        }),
        Mutant::seam("takes-a-dollar-within-a-topic-for-special", &["mqtt311:ext-100", "mqtt5:ext-197"], || {
            unsaid(|packet| matches!(packet, Packet::Publish(publish) if publish.topic.contains("/$")))
        }),
        Mutant::seam("folds-the-case-of-names", &["mqtt5:4.7.3-4", "mqtt311:4.7.3-4"], || {
            heard_names(|_, name| name.to_lowercase())
        }),
        Mutant::seam("trims-names", &["mqtt5:4.7.3-4", "mqtt311:4.7.3-4"], || {
            heard_names(|_, name| name.split('/').map(str::trim).collect::<Vec<_>>().join("/"))
        }),
        Mutant::seam("drops-byte-order-marks", &["mqtt5:1.5.4-3", "mqtt311:1.5.3-3"], || {
            heard_names(|_, name| name.replace('\u{feff}', ""))
        }),
        Mutant::seam("drops-messages-on-topics-that-begin-beyond-ascii", &["mqtt5:4.5.0-1", "mqtt311:4.5.0-1"], || {
            unheard(|packet| {
                matches!(packet, Packet::Publish(publish) if publish.topic.starts_with(|first: char| !first.is_ascii()))
            })
        }),
        Mutant::seam("composes-characters", &["mqtt5:4.7.3-4", "mqtt311:4.7.3-4"], || {
            heard_names(|_, name| name.replace("e\u{301}", "\u{e9}"))
        }),
        Mutant::seam("takes-asterisks-for-wildcards", &["mqtt5:4.7.3-4", "mqtt311:4.7.3-4"], || {
            heard_names(|of, name| if of == PacketType::Publish { name.into() } else { name.replace('*', "+") })
        }),
        Mutant::seam("takes-dots-for-slashes", &["mqtt5:4.7.3-4", "mqtt311:4.7.3-4"], || {
            heard_names(|of, name| if of == PacketType::Publish { name.into() } else { name.replace('.', "/") })
        }),
        Mutant::seam("merges-slashes", &["mqtt5:ext-199", "mqtt311:ext-097"], || {
            heard_names(|_, name| name.replace("//", "/"))
        }),
        Mutant::seam("drops-a-slash-at-the-end", &["mqtt5:ext-200", "mqtt311:ext-097", "mqtt5:4.7.3-4"], || {
            heard_names(|_, name| name.strip_suffix('/').unwrap_or(name).into())
        }),
        Mutant::seam("drops-messages-on-long-topics", &["mqtt5:4.7.3-3", "mqtt5:ext-201", "mqtt311:ext-099"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Publish(publish) if publish.topic.len() > 60_000 => {}
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("drops-messages-on-deep-topics", &["mqtt5:ext-201", "mqtt311:ext-098"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Publish(publish) if publish.topic.split('/').count() > 50 => {}
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("replaces-odd-characters", &["mqtt5:ext-002", "mqtt311:ext-001"], || {
            heard_names(|_, name| name.replace(char::is_control, "?"))
        }),
        Mutant::seam("matches-dollar-topics-with-wildcards", &["mqtt5:4.7.2-1", "mqtt311:4.7.2-1"], || {
            // Behind a filter that begins with a wildcard comes a subscription to all that the broker tells of itself.
            remembering::<()>(
                |(), passing, packet, fate| {
                    fate.on(passing.frame);
                    let Packet::Subscribe(subscribe) = packet else { return };
                    if subscribe.subscriptions.iter().any(|each| each.filter.starts_with(['+', '#'])) {
                        let list = SubscriptionBuf::new().with("$SYS/#", SubscriptionOptions::default());
                        let (packet_id, properties, subscriptions) = (PacketId::MAX, Properties::EMPTY, list.view());
                        let more = Subscribe { packet_id, properties, subscriptions };
                        fate.on_as(&Packet::Subscribe(more), passing.version);
                    }
                },
                |(), passing, packet, fate| {
                    let unasked = matches!(packet, Packet::SubAck(suback) if suback.packet_id == PacketId::MAX);
                    go_on_unless(unasked, passing, fate);
                },
            )
        }),
        Mutant::seam("lets-clients-talk-on-dollar-topics", &["mqtt5:ext-202", "mqtt311:ext-101"], || {
            heard_names(|_, name| if name.starts_with("$t") { name.replacen('$', "dollar", 1) } else { name.into() })
        }),
    ]
    .into_iter()
}

/// Wildcards that break this rule pass the broker in the shape of control characters.
struct Disguises(Rule);

impl Seam for Disguises {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Err(refusal) if refusal.rule() == self.0 => {
                fate.on(&replaced(passing.frame, [(b'+', 1), (b'#', 2)]));
            }
            _ => fate.on(passing.frame),
        }
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::Publish(publish)) if publish.properties.response_topic().is_some() => {
                fate.on(&replaced(passing.frame, [(1, b'+'), (2, b'#')]));
            }
            _ => fate.on(passing.frame),
        }
    }
}

/// The bytes with each first one of a pair replaced by the second.
fn replaced(frame: &[u8], pairs: [(u8, u8); 2]) -> Vec<u8> {
    let replace = |byte: &u8| pairs.iter().find(|(from, _)| from == byte).map_or(*byte, |(_, to)| *to);
    frame.iter().map(replace).collect()
}

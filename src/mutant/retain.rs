//! Mutants of retained messages (3.3.1.3 of both standards, retain handling of 5.0).

use std::collections::{BTreeMap, BTreeSet};

use harness::node::ConnId;

use super::Mutant;
use super::change::{go_on_unless, heard, heard_options, inbound, outbound, remembering, said, unsaid};
use super::seam::{Fate, Passing};
use crate::packet::{
    Packet, Properties, Publish, QoS, RetainHandling, Subscribe, SubscriptionBuf, SubscriptionOptions,
};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    storing().chain(bringing())
}

fn storing() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("sets-retain-though-nothing-is-retained", &["mqtt5:ext-169"], || {
            said(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.retain = true;
                }
            })
        }),
        Mutant::seam("stores-nothing", &["mqtt5:3.3.1-5", "mqtt311:3.3.1-5"], || {
            heard(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.retain = false;
                }
            })
        }),
        Mutant::seam("acknowledges-what-it-has-no-room-for", &["mqtt5:3.3.1-5"], || {
            let mut stored = BTreeSet::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::Publish(publish @ Publish { retain: true, .. }) => {
                    let retain = stored.contains(publish.topic) || stored.len() < 50;
                    if retain {
                        stored.insert(publish.topic.to_owned());
                    }
                    fate.on_as(&Packet::Publish(Publish { retain, ..publish }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("stores-everything", &["mqtt5:3.3.1-8", "mqtt311:3.3.1-12"], || {
            heard(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.retain |= !publish.payload.is_empty();
                }
            })
        }),
        Mutant::seam("clears-by-an-ordinary-empty-message", &["mqtt5:3.3.1-8", "mqtt311:3.3.1-12"], || {
            heard(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.retain |= publish.payload.is_empty();
                }
            })
        }),
        Mutant::seam(
            "keeps-the-first-stored-message",
            &["mqtt5:3.3.1-5", "mqtt311:3.3.1-6", "mqtt311:ext-059"],
            || {
                let mut stored = BTreeSet::new();
                inbound(move |passing, packet, fate| match packet {
                    Packet::Publish(publish @ Publish { retain: true, payload: [_, ..], .. })
                        if !stored.insert(publish.topic.to_owned()) =>
                    {
                        fate.on_as(&Packet::Publish(Publish { retain: false, ..publish }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("stores-without-the-last-empty-level", &["mqtt5:3.3.1-5", "mqtt311:ext-061"], || {
            heard(|packet| match packet {
                Packet::Publish(publish) if publish.retain => publish.topic = publish.topic.trim_end_matches('/'),
                _ => {}
            })
        }),
        Mutant::seam("does-not-store-at-qos-0", &["mqtt5:ext-116", "mqtt5:3.3.1-5", "mqtt311:3.3.1-7"], || {
            heard(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.retain &= publish.qos != QoS::AtMostOnce;
                }
            })
        }),
        Mutant::seam("does-not-clear-by-an-empty-message", &["mqtt5:3.3.1-6", "mqtt311:3.3.1-10"], || {
            heard(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.retain &= !publish.payload.is_empty();
                }
            })
        }),
        Mutant::seam("does-not-clear-at-qos-0", &["mqtt5:3.3.1-6", "mqtt311:3.3.1-10"], || {
            heard(|packet| {
                if let Packet::Publish(publish @ Publish { qos: QoS::AtMostOnce, payload: [], .. }) = packet {
                    publish.retain = false;
                }
            })
        }),
        Mutant::seam("stores-an-empty-message", &["mqtt5:3.3.1-7", "mqtt311:3.3.1-11"], || {
            let mut empty = BTreeSet::new();
            inbound(move |passing, packet, fate| {
                match packet {
                    Packet::Publish(Publish { retain: true, payload: [], topic, .. }) => {
                        empty.insert(topic.to_owned());
                    }
                    Packet::Subscribe(subscribe) => {
                        for topic in
                            subscribe.subscriptions.iter().map(|each| each.filter).filter(|f| empty.contains(*f))
                        {
                            fate.back_as(&Packet::Publish(stored(topic)), passing.version);
                        }
                    }
                    _ => {}
                }
                fate.on(passing.frame);
            })
        }),
        Mutant::seam(
            "forgets-stored-messages-with-their-session",
            &["mqtt5:ext-120", "mqtt311:3.1.2-7", "mqtt311:ext-060"],
            || {
                let mut topics = BTreeMap::<ConnId, Vec<String>>::new();
                inbound(move |passing, packet, fate| {
                    match packet {
                        Packet::Publish(Publish { retain: true, topic, .. }) => {
                            topics.entry(passing.conn).or_default().push(topic.to_owned());
                        }
                        Packet::Disconnect(_) => {
                            for topic in topics.remove(&passing.conn).unwrap_or_default() {
                                fate.on_as(&Packet::Publish(stored(&topic)), passing.version);
                            }
                        }
                        _ => {}
                    }
                    fate.on(passing.frame);
                })
            },
        ),
        Mutant::seam("stores-no-properties", &["mqtt5:ext-119"], || {
            said(|packet| {
                if let Packet::Publish(publish @ Publish { retain: true, .. }) = packet {
                    publish.properties = Properties::EMPTY;
                }
            })
        }),
    ]
    .into_iter()
}

/// An empty message with RETAIN: it clears on the way in, and must not exist on the way out.
fn stored(topic: &str) -> Publish<'_> {
    let (properties, payload) = (Properties::EMPTY, &[][..]);
    Publish { dup: false, qos: QoS::AtMostOnce, retain: true, topic, packet_id: None, properties, payload }
}

fn bringing() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("never-sets-retain", &["mqtt5:ext-118", "mqtt5:3.3.1-13", "mqtt311:3.3.1-8"], || {
            said(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.retain = false;
                }
            })
        }),
        Mutant::seam("always-sets-retain", &["mqtt5:3.3.1-12", "mqtt311:3.3.1-9", "mqtt311:ext-058"], || {
            said(|packet| {
                if let Packet::Publish(publish) = packet {
                    publish.retain = true;
                }
            })
        }),
        Mutant::seam("ignores-retain-as-published", &["mqtt5:3.3.1-13"], || {
            heard_options(|_, options| options.retain_as_published = false)
        }),
        Mutant::seam("always-retains-as-published", &["mqtt5:3.3.1-12"], || {
            heard_options(|_, options| options.retain_as_published = true)
        }),
        Mutant::seam("ignores-retain-handling", &["mqtt5:3.3.1-10", "mqtt5:3.3.1-11"], || {
            heard_options(|_, options| options.retain_handling = RetainHandling::Send)
        }),
        Mutant::seam("takes-retain-handling-1-for-2", &["mqtt5:3.3.1-10"], || {
            heard_options(|_, options| {
                if options.retain_handling == RetainHandling::SendIfNew {
                    options.retain_handling = RetainHandling::DoNotSend;
                }
            })
        }),
        Mutant::seam("takes-retain-handling-2-for-1", &["mqtt5:3.3.1-11"], || {
            heard_options(|_, options| {
                if options.retain_handling == RetainHandling::DoNotSend {
                    options.retain_handling = RetainHandling::SendIfNew;
                }
            })
        }),
        Mutant::seam("brings-stored-messages-to-new-subscriptions-only", &["mqtt5:3.3.1-9", "mqtt311:3.8.4-3"], || {
            let mut brought = BTreeSet::new();
            outbound(move |passing, packet, fate| {
                let again = matches!(packet, Packet::Publish(Publish { retain: true, topic, .. })
                    if !brought.insert((passing.conn, topic.to_owned())));
                go_on_unless(again, passing, fate);
            })
        }),
        Mutant::seam("brings-one-stored-message-of-several", &["mqtt5:ext-159", "mqtt311:3.3.1-6"], || {
            // Another one right behind it, on the same connection, is dropped.
            let mut last = None;
            outbound(move |passing, packet, fate| {
                let stored = matches!(packet, Packet::Publish(Publish { retain: true, .. })).then_some(passing.conn);
                go_on_unless(stored.is_some() && stored == last, passing, fate);
                last = stored;
            })
        }),
        Mutant::seam("keeps-the-parent-level-from-a-hash", &["mqtt5:ext-197", "mqtt311:ext-095"], || {
            remembering::<Filters>(note_filters, |known, passing, packet, fate| {
                let is_parent = |filter: &str, topic: &str| filter.strip_suffix("/#") == Some(topic);
                go_on_unless(is_stored_for(known, passing, packet, is_parent), passing, fate);
            })
        }),
        Mutant::seam("stores-nothing-for-an-inner-plus", &["mqtt5:ext-198", "mqtt311:ext-096"], || {
            remembering::<Filters>(note_filters, |known, passing, packet, fate| {
                let inner = |filter: &str, _: &str| filter.contains("/+/");
                go_on_unless(is_stored_for(known, passing, packet, inner), passing, fate);
            })
        }),
        Mutant::seam("keeps-stored-messages-of-5.0-to-itself", &["mqtt5:3.3.1-9"], || {
            remembering::<BTreeSet<String>>(
                |stored, passing, packet, fate| {
                    match packet {
                        Packet::Publish(Publish { retain: true, topic, .. }) if passing.version.has_properties() => {
                            stored.insert(topic.to_owned())
                        }
                        Packet::Publish(Publish { retain: true, topic, .. }) => stored.remove(topic),
                        _ => false,
                    };
                    fate.on(passing.frame);
                },
                |stored, passing, packet, fate| {
                    let withheld = matches!(packet, Packet::Publish(Publish { retain: true, topic, .. })
                        if !passing.version.has_properties() && stored.contains(topic));
                    go_on_unless(withheld, passing, fate);
                },
            )
        }),
        Mutant::seam("takes-subscriptions-of-ended-sessions-for-old", &["mqtt5:3.3.1-10"], || {
            // A connection's number may be used again, so connections are counted.
            let (mut count, mut clients) = (0_usize, BTreeMap::<ConnId, (String, usize)>::new());
            let mut first = BTreeMap::<(String, String), usize>::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::Connect(connect) => {
                    count += 1;
                    clients.insert(passing.conn, (connect.client_id.to_owned(), count));
                    fate.on(passing.frame);
                }
                Packet::Subscribe(subscribe) => {
                    let (client, this) = clients.get(&passing.conn).cloned().unwrap_or_default();
                    let mut list = SubscriptionBuf::new();
                    for each in subscribe.subscriptions.iter() {
                        let mut options = each.options;
                        let earlier = *first.entry((client.clone(), each.filter.to_owned())).or_insert(this) != this;
                        if earlier && options.retain_handling == RetainHandling::SendIfNew {
                            options.retain_handling = RetainHandling::DoNotSend;
                        }
                        list = list.with(each.filter, options);
                    }
                    let subscriptions = list.view();
                    fate.on_as(&Packet::Subscribe(Subscribe { subscriptions, ..subscribe }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("clears-retain-of-what-older-clients-send", &["mqtt5:3.3.1-13"], || {
            remembering::<BTreeSet<Vec<u8>>>(
                |older, passing, packet, fate| {
                    if let Packet::Publish(publish) = packet
                        && !passing.version.has_properties()
                    {
                        older.insert(publish.payload.to_owned());
                    }
                    fate.on(passing.frame);
                },
                |older, passing, packet, fate| match packet {
                    Packet::Publish(publish) if older.contains(publish.payload) => {
                        fate.on_as(&Packet::Publish(Publish { retain: false, ..publish }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                },
            )
        }),
        Mutant::seam("takes-subscriptions-of-a-resumed-session-for-new", &["mqtt5:3.3.1-10"], || {
            remembering::<BTreeSet<ConnId>>(
                |resumed, passing, packet, fate| match packet {
                    Packet::Subscribe(subscribe) if resumed.contains(&passing.conn) => {
                        let anew = |options| match options {
                            SubscriptionOptions { retain_handling: RetainHandling::SendIfNew, .. } => {
                                SubscriptionOptions { retain_handling: RetainHandling::Send, ..options }
                            }
                            _ => options,
                        };
                        let each = subscribe.subscriptions.iter();
                        let list = each.fold(SubscriptionBuf::new(), |list, s| list.with(s.filter, anew(s.options)));
                        let subscriptions = list.view();
                        fate.on_as(&Packet::Subscribe(Subscribe { subscriptions, ..subscribe }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                },
                |resumed, passing, packet, fate| {
                    match packet {
                        Packet::ConnAck(connack) if connack.session_present => resumed.insert(passing.conn),
                        Packet::ConnAck(_) => resumed.remove(&passing.conn),
                        _ => false,
                    };
                    fate.on(passing.frame);
                },
            )
        }),
        Mutant::seam("never-repeats-a-stored-message", &["mqtt5:4.4.0-1", "mqtt311:4.4.0-1"], || {
            unsaid(|packet| matches!(packet, Packet::Publish(Publish { dup: true, retain: true, .. })))
        }),
        Mutant::seam("forgets-retain-as-published-for-the-absent", &["mqtt5:3.3.1-13"], || {
            // From CONNACK until the client says something, what comes had waited for it.
            remembering::<BTreeSet<ConnId>>(
                |resumed, passing, _, fate| {
                    resumed.remove(&passing.conn);
                    fate.on(passing.frame);
                },
                |resumed, passing, packet, fate| match packet {
                    Packet::ConnAck(connack) if connack.session_present => {
                        resumed.insert(passing.conn);
                        fate.on(passing.frame);
                    }
                    Packet::Publish(publish) if resumed.contains(&passing.conn) => {
                        fate.on_as(&Packet::Publish(Publish { retain: false, ..publish }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                },
            )
        }),
        Mutant::seam("chokes-on-stored-messages-for-lasting-sessions", &["mqtt5:3.3.1-9", "mqtt311:3.3.1-6"], || {
            remembering::<BTreeSet<ConnId>>(
                |lasting, passing, packet, fate| {
                    match packet {
                        Packet::Connect(connect) if !connect.clean_start => lasting.insert(passing.conn),
                        Packet::Connect(_) => lasting.remove(&passing.conn),
                        _ => false,
                    };
                    fate.on(passing.frame);
                },
                |lasting, passing, packet, fate| match packet {
                    Packet::Publish(Publish { retain: true, qos: QoS::ExactlyOnce, .. })
                        if lasting.contains(&passing.conn) =>
                    {
                        fate.cut();
                    }
                    _ => fate.on(passing.frame),
                },
            )
        }),
        Mutant::seam("stores-nothing-for-a-lone-hash", &["mqtt5:ext-159", "mqtt311:3.3.1-6"], || {
            remembering::<BTreeSet<ConnId>>(
                |asked, passing, packet, fate| {
                    if let Packet::Subscribe(subscribe) = packet {
                        let lone = subscribe.subscriptions.iter().any(|each| each.filter == "#");
                        if lone {
                            asked.insert(passing.conn)
                        } else {
                            asked.remove(&passing.conn)
                        };
                    }
                    fate.on(passing.frame);
                },
                |asked, passing, packet, fate| {
                    let stored = matches!(packet, Packet::Publish(Publish { retain: true, .. }));
                    go_on_unless(stored && asked.contains(&passing.conn), passing, fate);
                },
            )
        }),
        Mutant::seam("subscribes-anew-on-resumption", &["mqtt5:ext-186", "mqtt311:ext-057", "mqtt311:ext-077"], || {
            remembering::<Replay>(
                |replay, passing, packet, fate| {
                    fate.on(passing.frame);
                    match packet {
                        Packet::Connect(connect) => {
                            let client = connect.client_id.to_owned();
                            let known = replay.subscribed.entry(client.clone()).or_default();
                            if connect.clean_start {
                                known.clear();
                            }
                            for (id, frame) in known {
                                fate.on(frame);
                                replay.unasked.insert((passing.conn, *id));
                            }
                            replay.clients.insert(passing.conn, client);
                        }
                        Packet::Subscribe(subscribe) => {
                            let known = replay.clients.get(&passing.conn).and_then(|c| replay.subscribed.get_mut(c));
                            known.into_iter().for_each(|k| k.push((subscribe.packet_id.get(), passing.frame.to_vec())));
                        }
                        _ => {}
                    }
                },
                |replay, passing, packet, fate| {
                    let unasked = matches!(packet, Packet::SubAck(suback)
                        if replay.unasked.remove(&(passing.conn, suback.packet_id.get())));
                    go_on_unless(unasked, passing, fate);
                },
            )
        }),
    ]
    .into_iter()
}

/// The filters that were subscribed to on each connection.
type Filters = BTreeSet<(ConnId, String)>;

fn note_filters(known: &mut Filters, passing: &Passing<'_>, packet: Packet<'_>, fate: &mut Fate) {
    match packet {
        Packet::Connect(_) => known.retain(|(conn, _)| *conn != passing.conn),
        Packet::Subscribe(subscribe) => {
            known.extend(subscribe.subscriptions.iter().map(|each| (passing.conn, each.filter.to_owned())));
        }
        _ => {}
    }
    fate.on(passing.frame);
}

/// Whether this is a stored message for one of the filters that fit its topic like that.
fn is_stored_for(known: &Filters, passing: &Passing<'_>, packet: Packet<'_>, fits: fn(&str, &str) -> bool) -> bool {
    matches!(packet, Packet::Publish(Publish { retain: true, topic, .. })
        if known.iter().any(|(conn, filter)| *conn == passing.conn && fits(filter, topic)))
}

/// Every SUBSCRIBE of a session, to be heard again when it is resumed.
#[derive(Default)]
struct Replay {
    clients: BTreeMap<ConnId, String>,
    subscribed: BTreeMap<String, Vec<(u16, Vec<u8>)>>,
    /// Their acknowledgements are not for the client.
    unasked: BTreeSet<(ConnId, u16)>,
}

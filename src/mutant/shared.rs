//! Mutants of shared subscriptions (4.8.2 of 5.0).

use std::collections::{BTreeMap, BTreeSet};

use harness::node::ConnId;
use harness::time::Instant;

use super::Mutant;
use super::change::{go_on_unless, heard_names, heard_options, inbound, outbound, remembering};
use super::seam::{Fate, Passing, Seam};
use crate::packet::{
    FilterBuf, Packet, PacketId, PacketType, Properties, Publish, QoS, Subscribe, SubscriptionBuf, Unsubscribe,
};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    grouping().chain(delivering())
}

/// The parts of a shared filter: the share name, and the filter behind it.
fn shared(filter: &str) -> Option<(&str, &str)> {
    filter.strip_prefix("$share/")?.split_once('/')
}

fn grouping() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("sends-to-every-member", &["mqtt5:ext-204", "mqtt5:ext-209"], || {
            heard_names(|_, name| shared(name).map_or(name, |(_, filter)| filter).into())
        }),
        Mutant::seam("makes-one-group-of-all", &["mqtt5:ext-205"], || {
            heard_names(|_, name| shared(name).map_or(name.into(), |(_, filter)| format!("$share/all/{filter}")))
        }),
        Mutant::seam("sets-retain-for-members-that-want-it-as-published", &["mqtt5:3.3.1-13"], || {
            remembering::<BTreeSet<ConnId>>(
                |wanting, passing, packet, fate| {
                    if let Packet::Subscribe(subscribe) = packet
                        && subscribe
                            .subscriptions
                            .iter()
                            .any(|each| shared(each.filter).is_some() && each.options.retain_as_published)
                    {
                        wanting.insert(passing.conn);
                    }
                    fate.on(passing.frame);
                },
                |wanting, passing, packet, fate| match packet {
                    Packet::Publish(publish) if wanting.contains(&passing.conn) => {
                        fate.on_as(&Packet::Publish(Publish { retain: true, ..publish }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                },
            )
        }),
        Mutant::seam("has-one-filter-per-group", &["mqtt5:ext-206", "mqtt5:ext-209"], || {
            // The members that come later share the filter of the first.
            let mut filters = BTreeMap::<String, String>::new();
            inbound(move |passing, packet, fate| {
                let Packet::Subscribe(subscribe) = packet else { return fate.on(passing.frame) };
                let mut list = SubscriptionBuf::new();
                for each in subscribe.subscriptions.iter() {
                    let filter = match shared(each.filter) {
                        Some((name, _)) => filters.entry(name.to_owned()).or_insert_with(|| each.filter.to_owned()),
                        None => each.filter,
                    };
                    list = list.with(filter, each.options);
                }
                let subscriptions = list.view();
                fate.on_as(&Packet::Subscribe(Subscribe { subscriptions, ..subscribe }), passing.version);
            })
        }),
        Mutant::seam("matches-the-share-name", &["mqtt5:ext-209", "mqtt5:ext-204"], || {
            heard_names(|_, name| match shared(name) {
                Some((group, filter)) => format!("$share/{group}/{group}/{filter}"),
                None => name.into(),
            })
        }),
        Mutant::seam("brings-stored-messages-to-members", &["mqtt5:ext-208"], || {
            // An ordinary subscription under an identifier of its own comes and goes with each shared one.
            const ASIDE: PacketId = PacketId::MAX;
            remembering::<()>(
                |(), passing, packet, fate| {
                    fate.on(passing.frame);
                    let Packet::Subscribe(subscribe) = packet else { return };
                    for each in subscribe.subscriptions.iter() {
                        let Some((_, filter)) = shared(each.filter) else { continue };
                        let (subscriptions, filters) =
                            (SubscriptionBuf::new().with(filter, each.options), FilterBuf::new().with(filter));
                        let (packet_id, properties) = (ASIDE, Properties::EMPTY);
                        let subscriptions = subscriptions.view();
                        fate.on_as(
                            &Packet::Subscribe(Subscribe { packet_id, properties, subscriptions }),
                            passing.version,
                        );
                        let filters = filters.view();
                        fate.on_as(
                            &Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters }),
                            passing.version,
                        );
                    }
                },
                |(), passing, packet, fate| {
                    let aside = match packet {
                        Packet::SubAck(suback) => suback.packet_id == ASIDE,
                        Packet::UnsubAck(unsuback) => unsuback.packet_id == ASIDE,
                        _ => false,
                    };
                    go_on_unless(aside, passing, fate);
                },
            )
        }),
        Mutant::seam("grants-no-local-to-members", &["mqtt5:3.8.3-4", "mqtt5:4.13.1-1"], || {
            heard_options(|filter, options| options.no_local &= shared(filter).is_none())
        }),
        Mutant::seam("ends-the-ordinary-subscription-of-a-member", &["mqtt5:ext-168"], || {
            heard_names(|of, name| match shared(name) {
                Some((_, filter)) if of == PacketType::Unsubscribe => filter.into(),
                _ => name.into(),
            })
        }),
    ]
    .into_iter()
}

fn delivering() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("sends-a-member-no-copy-beside-its-ordinary-one", &["mqtt5:ext-207"], || {
            // The same again, on the same connection at the same moment, is dropped.
            let mut last = None;
            outbound(move |passing, packet, fate| {
                let Packet::Publish(publish) = packet else { return fate.on(passing.frame) };
                let this = Some((passing.conn, passing.now, publish.topic.to_owned(), publish.payload.to_vec()));
                go_on_unless(this == last, passing, fate);
                last = this;
            })
        }),
        Mutant::seam("moves-no-message-to-another-member", &["mqtt5:ext-214"], || {
            // What went to one at an earlier moment goes to no other later.
            let mut sent = BTreeMap::<(String, Vec<u8>), (ConnId, Instant)>::new();
            outbound(move |passing, packet, fate| {
                let Packet::Publish(publish) = packet else { return fate.on(passing.frame) };
                let message = (publish.topic.to_owned(), publish.payload.to_vec());
                let (conn, at) = *sent.entry(message).or_insert((passing.conn, passing.now));
                go_on_unless(conn != passing.conn && at != passing.now, passing, fate);
            })
        }),
        Mutant::seam("counts-members-that-are-gone", &["mqtt5:ext-211"], || Box::<CountsGone>::default()),
        Mutant::seam("forgets-a-started-delivery-to-a-member", &["mqtt5:4.8.2-4"], || {
            outbound(|passing, packet, fate| {
                let repeat = matches!(packet, Packet::Publish(Publish { qos: QoS::ExactlyOnce, dup: true, .. }));
                go_on_unless(repeat, passing, fate);
            })
        }),
        Mutant::seam("offers-others-what-a-member-rejected", &["mqtt5:4.8.2-6"], || {
            Box::new(PassesOn { rejected: true, ..PassesOn::default() })
        }),
        Mutant::seam("offers-others-a-started-delivery", &["mqtt5:4.8.2-5", "mqtt5:4.8.2-4"], || {
            Box::<PassesOn>::default()
        }),
    ]
    .into_iter()
}

/// Of what is published once a member has gone, every other message is lost.
#[derive(Default)]
struct CountsGone {
    members: BTreeSet<ConnId>,
    gone: bool,
    count: usize,
}

impl Seam for CountsGone {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::Subscribe(subscribe)) = passing.packet
            && subscribe.subscriptions.iter().any(|each| shared(each.filter).is_some())
        {
            self.members.insert(passing.conn);
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let counts = self.gone && matches!(passing.packet, Ok(Packet::Publish(_)));
        self.count += usize::from(counts);
        go_on_unless(counts && self.count.is_multiple_of(2), passing, fate);
    }

    fn gone(&mut self, conn: ConnId) {
        self.gone |= self.members.remove(&conn);
    }
}

/// Passes a message of one client on to whoever is sent something next: one that its receiver rejected, or one at QoS 2
/// that its receiver left open.
#[derive(Default)]
struct PassesOn {
    rejected: bool,
    open: BTreeMap<(ConnId, PacketId), Vec<u8>>,
    orphans: Vec<(ConnId, Vec<u8>)>,
}

impl Seam for PassesOn {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::PubAck(ack) | Packet::PubRec(ack)) = passing.packet {
            let message = self.open.remove(&(passing.conn, ack.packet_id));
            if self.rejected && ack.reason.is_error() {
                self.orphans.extend(message.map(|message| (passing.conn, message)));
            }
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::Publish(Publish { packet_id: Some(id), .. })) = passing.packet {
            self.open.insert((passing.conn, id), passing.frame.to_vec());
        }
        if matches!(passing.packet, Ok(Packet::Publish(Publish { qos: QoS::AtMostOnce, .. })))
            && let Some(at) = self.orphans.iter().position(|(conn, _)| *conn != passing.conn)
        {
            fate.on(&self.orphans.remove(at).1);
        }
        fate.on(passing.frame);
    }

    fn gone(&mut self, conn: ConnId) {
        let (of_it, others) = std::mem::take(&mut self.open).into_iter().partition(|((open, _), _)| *open == conn);
        self.open = others;
        let of_it: BTreeMap<_, _> = of_it;
        if !self.rejected {
            self.orphans.extend(of_it.into_values().map(|message| (conn, message)));
        }
    }
}

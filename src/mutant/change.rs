//! The shapes that most mutants have, so that each of them is a few lines: packets dropped, packets changed, packets
//! changed by what came before.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::node::ConnId;
use harness::time::Instant;

use super::seam::{Fate, Passing, Seam};
use crate::packet::{
    Connect, FilterBuf, Packet, PacketType, Properties, Property, PropertyBuf, Publish, Subscribe, SubscriptionBuf,
    SubscriptionOptions, Unsubscribe,
};

/// A seam for legal packets of clients; illegal ones go on.
pub(super) fn inbound(change: impl FnMut(&Passing<'_>, Packet<'_>, &mut Fate) + 'static) -> Box<dyn Seam> {
    Box::new(Inbound(change))
}

/// A seam for packets of the broker.
pub(super) fn outbound(change: impl FnMut(&Passing<'_>, Packet<'_>, &mut Fate) + 'static) -> Box<dyn Seam> {
    Box::new(Outbound(change))
}

/// What one direction does with a packet, given what both directions remember.
type Step<M> = fn(&mut M, &Passing<'_>, Packet<'_>, &mut Fate);

/// A seam for both directions, which share a memory.
pub(super) fn remembering<M: Default + 'static>(heard: Step<M>, said: Step<M>) -> Box<dyn Seam> {
    Box::new(Remembering { memory: M::default(), heard, said })
}

/// Packets of clients reach the broker changed.
pub(super) fn heard(change: fn(&mut Packet<'_>)) -> Box<dyn Seam> {
    inbound(move |passing, packet, fate| go_on_changed(change, passing, packet, fate))
}

/// Packets of the broker reach clients changed.
pub(super) fn said(change: fn(&mut Packet<'_>)) -> Box<dyn Seam> {
    outbound(move |passing, packet, fate| go_on_changed(change, passing, packet, fate))
}

fn go_on_changed(change: fn(&mut Packet<'_>), passing: &Passing<'_>, packet: Packet<'_>, fate: &mut Fate) {
    let mut changed = packet;
    change(&mut changed);
    if changed == packet { fate.on(passing.frame) } else { fate.on_as(&changed, passing.version) }
}

/// These packets of clients never reach the broker.
pub(super) fn unheard(which: fn(&Packet<'_>) -> bool) -> Box<dyn Seam> {
    inbound(move |passing, packet, fate| go_on_unless(which(&packet), passing, fate))
}

/// These packets of the broker never reach a client.
pub(super) fn unsaid(which: fn(&Packet<'_>) -> bool) -> Box<dyn Seam> {
    outbound(move |passing, packet, fate| go_on_unless(which(&packet), passing, fate))
}

/// A seam for what waited for a client that comes back, and what is sent to it again: for all that follows at the moment of
/// CONNACK.
pub(super) fn waited(mut change: impl FnMut(&Passing<'_>, Packet<'_>, &mut Fate) + 'static) -> Box<dyn Seam> {
    let mut began = BTreeMap::<ConnId, Instant>::new();
    outbound(move |passing, packet, fate| {
        if matches!(packet, Packet::ConnAck(connack) if connack.session_present) {
            began.insert(passing.conn, passing.now);
        }
        if began.get(&passing.conn) == Some(&passing.now) {
            change(passing, packet, fate);
        } else {
            fate.on(passing.frame);
        }
    })
}

/// These packets never reach a client that comes back, of those that [`waited`].
pub(super) fn waited_in_vain(which: fn(&Packet<'_>) -> bool) -> Box<dyn Seam> {
    waited(move |passing, packet, fate| go_on_unless(which(&packet), passing, fate))
}

/// The packet goes on as it is, unless it is dropped.
pub(super) fn go_on_unless(dropped: bool, passing: &Passing<'_>, fate: &mut Fate) {
    if !dropped {
        fate.on(passing.frame);
    }
}

/// Topic names of PUBLISH and filters of SUBSCRIBE and UNSUBSCRIBE reach the broker as `rename` makes them.
pub(super) fn heard_names(rename: fn(PacketType, &str) -> String) -> Box<dyn Seam> {
    inbound(move |passing, packet, fate| {
        let rename = |name: &str| rename(packet.packet_type(), name);
        match packet {
            Packet::Publish(publish) => {
                let topic = rename(publish.topic);
                fate.on_as(&Packet::Publish(Publish { topic: &topic, ..publish }), passing.version);
            }
            Packet::Subscribe(subscribe) => {
                let each = subscribe.subscriptions.iter();
                let list = each.fold(SubscriptionBuf::new(), |list, s| list.with(&rename(s.filter), s.options));
                let subscriptions = list.view();
                fate.on_as(&Packet::Subscribe(Subscribe { subscriptions, ..subscribe }), passing.version);
            }
            Packet::Unsubscribe(unsubscribe) => {
                let each = unsubscribe.filters.iter();
                let list = each.fold(FilterBuf::new(), |list, filter| list.with(&rename(filter)));
                let filters = list.view();
                fate.on_as(&Packet::Unsubscribe(Unsubscribe { filters, ..unsubscribe }), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    })
}

/// Subscriptions reach the broker with other options. Before 5.0 there is only the quality of service.
pub(super) fn heard_options(change: fn(&str, &mut SubscriptionOptions)) -> Box<dyn Seam> {
    inbound(move |passing, packet, fate| {
        let Packet::Subscribe(subscribe) = packet else { return fate.on(passing.frame) };
        let mut list = SubscriptionBuf::new();
        for subscription in subscribe.subscriptions.iter() {
            let mut options = subscription.options;
            change(subscription.filter, &mut options);
            if !passing.version.has_properties() {
                options = SubscriptionOptions::qos(options.qos);
            }
            list = list.with(subscription.filter, options);
        }
        let subscriptions = list.view();
        fate.on_as(&Packet::Subscribe(Subscribe { subscriptions, ..subscribe }), passing.version);
    })
}

/// What a CONNECT says by this property, later ones of the same client that leave it out are taken to say as well.
pub(super) fn never_forgotten(pick: fn(Properties<'_>) -> Option<Property<'static>>) -> Box<dyn Seam> {
    let mut said = BTreeMap::<String, Property<'static>>::new();
    inbound(move |passing, packet, fate| match packet {
        Packet::Connect(connect) if passing.version.has_properties() => {
            let mut properties = kept(connect.properties, |_| true);
            match (pick(connect.properties), said.get(connect.client_id)) {
                (Some(property), _) => drop(said.insert(connect.client_id.to_owned(), property)),
                (None, Some(property)) => properties.push(*property),
                (None, None) => {}
            }
            let properties = properties.view();
            fate.on_as(&Packet::Connect(Connect { properties, ..connect }), passing.version);
        }
        _ => fate.on(passing.frame),
    })
}

/// Connections that get no message any more once a timer has run out that an earlier connection of the client left behind.
#[derive(Default)]
pub(super) struct LeftTimers {
    /// The seconds of each client's timer.
    seconds: BTreeMap<String, u32>,
    due: BTreeMap<ConnId, Instant>,
}

impl LeftTimers {
    /// A client connects whose connection will leave a timer of so many seconds behind, if any. The one that its last left runs
    /// on, unless it is stopped.
    pub(super) fn connects(&mut self, passing: &Passing<'_>, client: &str, seconds: u32, stopped: bool) {
        self.due.remove(&passing.conn);
        let left = self.seconds.insert(client.to_owned(), seconds).filter(|left| *left > 0 && !stopped);
        self.due.extend(left.map(|left| (passing.conn, passing.now + Duration::from_secs(left.into()))));
    }

    /// The broker sends something.
    pub(super) fn said(&mut self, passing: &Passing<'_>, packet: Packet<'_>, fate: &mut Fate) {
        let over = self.due.get(&passing.conn).is_some_and(|due| *due <= passing.now);
        go_on_unless(over && matches!(packet, Packet::Publish(_)), passing, fate);
    }
}

/// The properties of these packets of clients, and of the will in them, reach the broker changed.
pub(super) fn heard_properties(of: PacketType, change: fn(Properties<'_>) -> PropertyBuf) -> Box<dyn Seam> {
    inbound(move |passing, packet, fate| go_on_with_properties(of, change, passing, packet, fate))
}

/// The properties of these packets of the broker reach clients changed.
pub(super) fn said_properties(of: PacketType, change: fn(Properties<'_>) -> PropertyBuf) -> Box<dyn Seam> {
    outbound(move |passing, packet, fate| go_on_with_properties(of, change, passing, packet, fate))
}

fn go_on_with_properties(
    of: PacketType,
    change: fn(Properties<'_>) -> PropertyBuf,
    passing: &Passing<'_>,
    packet: Packet<'_>,
    fate: &mut Fate,
) {
    if packet.packet_type() != of || !passing.version.has_properties() {
        return fate.on(passing.frame);
    }
    let wills;
    let mut packet = packet;
    if let Packet::Connect(connect) = &mut packet
        && let Some(will) = &mut connect.will
    {
        wills = change(will.properties);
        will.properties = wills.view();
    }
    let own = change(packet.properties());
    fate.on_as(&packet.with_properties(own.view()), passing.version);
}

/// Those of the properties that `keep` says yes to.
pub(super) fn kept(properties: Properties<'_>, keep: fn(Property<'_>) -> bool) -> PropertyBuf {
    properties.iter().filter(|property| keep(*property)).fold(PropertyBuf::new(), PropertyBuf::with)
}

/// Each of the properties, changed.
pub(super) fn each(properties: Properties<'_>, change: fn(&mut Property<'_>)) -> PropertyBuf {
    properties.iter().fold(PropertyBuf::new(), |list, mut property| {
        change(&mut property);
        list.with(property)
    })
}

struct Inbound<F>(F);

impl<F: FnMut(&Passing<'_>, Packet<'_>, &mut Fate)> Seam for Inbound<F> {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(packet) => (self.0)(passing, packet, fate),
            Err(_) => fate.on(passing.frame),
        }
    }
}

struct Outbound<F>(F);

impl<F: FnMut(&Passing<'_>, Packet<'_>, &mut Fate)> Seam for Outbound<F> {
    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(packet) => (self.0)(passing, packet, fate),
            Err(_) => fate.on(passing.frame),
        }
    }
}

struct Remembering<M> {
    memory: M,
    heard: Step<M>,
    said: Step<M>,
}

impl<M> Seam for Remembering<M> {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(packet) => (self.heard)(&mut self.memory, passing, packet, fate),
            Err(_) => fate.on(passing.frame),
        }
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(packet) => (self.said)(&mut self.memory, passing, packet, fate),
            Err(_) => fate.on(passing.frame),
        }
    }
}

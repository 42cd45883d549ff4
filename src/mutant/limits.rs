//! Mutants of servers that can do less than all (3.2.2.3 of 5.0). Some of what the clauses forbid is wrong of any server, and
//! has its mutants elsewhere.

use super::Mutant;
use super::change::{inbound, kept, said_properties, unheard};
use crate::packet::{Packet, PacketType, Property, Publish, QoS, ReasonCode};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("announces-no-maximum-qos", &["mqtt5:3.2.2-9"], || {
            said_properties(PacketType::ConnAck, |list| {
                kept(list, |property| !matches!(property, Property::MaximumQoS(_)))
            })
        }),
        Mutant::seam("refuses-subscriptions-above-its-maximum-qos", &["mqtt5:3.2.2-10"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Subscribe(subscribe)
                    if subscribe.subscriptions.iter().any(|each| each.options.qos == QoS::ExactlyOnce) =>
                {
                    let codes = subscribe.subscriptions.iter().map(|_| ReasonCode::ImplementationSpecificError.code());
                    super::subscribe::answer(&subscribe, &codes.collect::<Vec<_>>(), passing, fate);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("passes-over-messages-above-its-maximum-qos", &["mqtt5:ext-105"], || {
            unheard(|packet| matches!(packet, Packet::Publish(Publish { qos: QoS::ExactlyOnce, .. })))
        }),
        Mutant::seam("passes-over-messages-to-be-retained", &["mqtt5:ext-106"], || {
            unheard(|packet| matches!(packet, Packet::Publish(Publish { retain: true, .. })))
        }),
        Mutant::seam("passes-over-subscriptions-with-an-identifier", &["mqtt5:ext-153"], || {
            unheard(|packet| match packet {
                Packet::Subscribe(subscribe) => subscribe.properties.subscription_identifiers().next().is_some(),
                _ => false,
            })
        }),
    ]
    .into_iter()
}

//! Mutants of UNSUBSCRIBE and UNSUBACK (3.10 and 3.11 of both standards).

use std::collections::BTreeSet;

use harness::node::ConnId;

use super::Mutant;
use super::change::{go_on_unless, heard_names, inbound, outbound, remembering, said, unsaid};
use super::seam::{Fate, Passing};
use crate::packet::{FilterBuf, Packet, PacketType, Publish, ReasonCodes, UnsubAck, Unsubscribe};
pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("never-sends-unsuback", &["mqtt5:3.10.4-4", "mqtt311:3.10.4-4"], || {
            unsaid(|packet| matches!(packet, Packet::UnsubAck(_)))
        }),
        Mutant::seam(
            "sends-unsuback-with-the-next-identifier",
            &["mqtt5:3.10.4-4", "mqtt5:2.2.1-6", "mqtt311:3.10.4-4", "mqtt311:2.3.1-7"],
            || {
                said(|packet| {
                    if let Packet::UnsubAck(unsuback) = packet {
                        unsuback.packet_id = unsuback.packet_id.next();
                    }
                })
            },
        ),
        Mutant::seam(
            "acknowledges-unsubscribe-and-forgets-it",
            &[
                "mqtt5:3.10.4-1",
                "mqtt5:3.10.4-2",
                "mqtt311:3.10.4-1",
                "mqtt311:3.10.4-2",
                "mqtt5:ext-167",
                "mqtt5:ext-212",
            ],
            || {
                heard_names(|of, name| match of {
                    PacketType::Unsubscribe => format!("{name}/nobody's"),
                    _ => name.into(),
                })
            },
        ),
        Mutant::seam("never-ends-a-subscription-with-wildcards", &["mqtt5:3.10.4-1", "mqtt311:3.10.4-1"], || {
            heard_names(|of, name| match of {
                PacketType::Unsubscribe if name.contains(['+', '#']) => "nobody's".into(),
                _ => name.into(),
            })
        }),
        Mutant::seam("says-nothing-where-there-is-no-subscription", &["mqtt5:3.10.4-5", "mqtt311:3.10.4-5"], || {
            let mut known = BTreeSet::<String>::new();
            inbound(move |passing, packet, fate| {
                if let Packet::Subscribe(subscribe) = packet {
                    known.extend(subscribe.subscriptions.iter().map(|each| each.filter.to_owned()));
                }
                let unknown = matches!(packet, Packet::Unsubscribe(unsubscribe)
                    if !unsubscribe.filters.iter().any(|filter| known.contains(filter)));
                go_on_unless(unknown, passing, fate);
            })
        }),
        Mutant::seam("says-success-where-there-is-no-subscription", &["mqtt5:3.11.3-2"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::UnsubAck(unsuback) if !unsuback.reasons.is_empty() => {
                    unsuback_with(&unsuback, &vec![0; unsuback.reasons.len()], passing, fate);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("reverses-the-codes-of-unsuback", &["mqtt5:3.11.3-1"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::UnsubAck(unsuback) => {
                    let codes: Vec<u8> = unsuback.reasons.as_bytes().iter().copied().rev().collect();
                    unsuback_with(&unsuback, &codes, passing, fate);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("sends-one-unsuback-per-filter", &["mqtt5:3.10.4-6", "mqtt311:3.10.4-6"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Unsubscribe(unsubscribe) => {
                    for filter in unsubscribe.filters.iter() {
                        let filters = FilterBuf::new().with(filter);
                        let one = Unsubscribe { filters: filters.view(), ..unsubscribe };
                        fate.on_as(&Packet::Unsubscribe(one), passing.version);
                    }
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("ends-only-the-first-of-several", &["mqtt5:3.10.4-6", "mqtt311:3.10.4-6"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Unsubscribe(unsubscribe) => {
                    let mut filters = FilterBuf::new();
                    for (number, filter) in unsubscribe.filters.iter().enumerate() {
                        filters = filters.with(&if number == 0 { filter.into() } else { format!("{filter}/nobody's") });
                    }
                    let filters = filters.view();
                    fate.on_as(&Packet::Unsubscribe(Unsubscribe { filters, ..unsubscribe }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("ends-subscriptions-of-like-filters", &["mqtt5:3.10.4-1", "mqtt311:3.10.4-1"], || {
            heard_names(|of, name| match of {
                PacketType::Unsubscribe => name.replace('B', "b").replace(' ', "").replace("//", "/"),
                _ => name.into(),
            })
        }),
        Mutant::seam(
            "ends-every-subscription-by-one-unsubscribe",
            &["mqtt5:3.10.4-1", "mqtt311:3.10.4-1", "mqtt311:ext-075"],
            || {
                remembering::<BTreeSet<ConnId>>(
                    |deaf, passing, packet, fate| {
                        match packet {
                            Packet::Connect(_) => drop(deaf.remove(&passing.conn)),
                            Packet::Unsubscribe(_) => drop(deaf.insert(passing.conn)),
                            _ => {}
                        }
                        fate.on(passing.frame);
                    },
                    |deaf, passing, packet, fate| {
                        go_on_unless(
                            deaf.contains(&passing.conn) && matches!(packet, Packet::Publish(_)),
                            passing,
                            fate,
                        );
                    },
                )
            },
        ),
        Mutant::seam("drops-started-deliveries-on-unsubscribe", &["mqtt5:3.10.4-3", "mqtt311:3.10.4-3"], || {
            remembering::<bool>(
                |ended, passing, packet, fate| {
                    *ended |= matches!(packet, Packet::Unsubscribe(_));
                    fate.on(passing.frame);
                },
                |ended, passing, packet, fate| {
                    let started = matches!(packet, Packet::PubRel(_) | Packet::Publish(Publish { dup: true, .. }));
                    go_on_unless(*ended && started, passing, fate);
                },
            )
        }),
        Mutant::seam("ends-a-subscription-by-a-misplaced-wildcard", &["mqtt5:4.7.1-1", "mqtt311:ext-076"], || {
            heard_names(|of, name| match of {
                PacketType::Unsubscribe => name.replace("/#/", "/").replace("b#", "b").replace("+b", "b"),
                _ => name.into(),
            })
        }),
    ]
    .into_iter()
}

/// UNSUBACK with these codes in place of this one.
fn unsuback_with(unsuback: &UnsubAck<'_>, codes: &[u8], passing: &Passing<'_>, fate: &mut Fate) {
    let Some(reasons) = ReasonCodes::from_bytes(codes) else { return };
    fate.on_as(&Packet::UnsubAck(UnsubAck { reasons, ..*unsuback }), passing.version);
}

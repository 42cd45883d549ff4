//! Mutants of the QoS handshakes and of their resumption (4.3 and 4.4 of both standards).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::node::ConnId;
use harness::time::Instant;

use super::Mutant;
use super::change::{go_on_unless, inbound, outbound, remembering};
use super::seam::{Fate, Passing, Seam};
use crate::forge::Forged;
use crate::packet::{Ack, Packet, PacketId, Publish, QoS, ReasonCode};
pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("never-sends-puback", &["mqtt5:4.3.2-4", "mqtt311:4.3.2-2", "mqtt31:diff-030"], || {
            outbound(|passing, packet, fate| {
                if !matches!(packet, Packet::PubAck(_)) {
                    fate.on(passing.frame);
                }
            })
        }),
        Mutant::seam("acknowledges-with-the-next-identifier", &["mqtt5:2.2.1-5", "mqtt311:2.3.1-6"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::PubAck(ack) => fate.on_as(&Packet::PubAck(next(ack)), passing.version),
                Packet::PubRec(ack) => fate.on_as(&Packet::PubRec(next(ack)), passing.version),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("chokes-on-the-properties-of-puback", &["mqtt5:ext-024"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::PubAck(ack) if ack.properties.iter().next().is_some() => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("chokes-on-the-properties-of-pubrec", &["mqtt5:ext-025"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::PubRec(ack) if ack.properties.iter().next().is_some() => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("chokes-on-the-properties-of-pubrel", &["mqtt5:ext-026"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::PubRel(ack) if ack.properties.iter().next().is_some() => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("chokes-on-the-properties-of-pubcomp", &["mqtt5:ext-027"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::PubComp(ack) if ack.properties.iter().next().is_some() => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("swallows-what-the-client-marks-as-a-repeat", &["mqtt5:4.3.2-5", "mqtt311:4.3.2-2"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Publish(Publish { dup: true, qos: QoS::AtLeastOnce, packet_id: Some(id), .. }) => {
                    fate.back_as(&Packet::PubAck(Ack::success(id)), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "forgets-unacknowledged-messages",
            &["mqtt5:4.3.3-3", "mqtt5:4.4.0-1", "mqtt311:4.4.0-1", "mqtt31:diff-024"],
            || {
                outbound(|passing, packet, fate| {
                    if !matches!(packet, Packet::Publish(Publish { dup: true, .. })) {
                        fate.on(passing.frame);
                    }
                })
            },
        ),
        Mutant::seam("repeats-while-connected", &["mqtt5:4.4.0-1"], || {
            // It notices what has waited for five seconds when something else comes from the client.
            remembering::<BTreeMap<(ConnId, PacketId), (Instant, Vec<u8>)>>(
                |waiting, passing, packet, fate| {
                    match packet {
                        Packet::Connect(_) => waiting.retain(|(conn, _), _| *conn != passing.conn),
                        Packet::PubAck(ack) | Packet::PubRec(ack) => {
                            waiting.remove(&(passing.conn, ack.packet_id));
                        }
                        _ => {}
                    }
                    for (_, (since, frame)) in waiting.iter_mut().filter(|((conn, _), _)| *conn == passing.conn) {
                        if passing.now.since(*since) >= Duration::from_secs(5) {
                            *since = passing.now;
                            fate.back(&Forged::from_frame(frame).flags(0b1000 | frame[0] & 0b111).bytes());
                        }
                    }
                    fate.on(passing.frame);
                },
                |waiting, passing, packet, fate| {
                    if let Packet::Publish(Publish { packet_id: Some(id), .. }) = packet {
                        waiting.insert((passing.conn, id), (passing.now, passing.frame.to_vec()));
                    }
                    fate.on(passing.frame);
                },
            )
        }),
        Mutant::seam("repeats-without-dup", &["mqtt5:3.3.1-1", "mqtt311:3.3.1-1"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::Publish(publish) => {
                    fate.on_as(&Packet::Publish(Publish { dup: false, ..publish }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "sets-dup-on-first-delivery",
            &["mqtt5:4.3.2-2", "mqtt5:4.3.3-2", "mqtt5:3.3.1-3", "mqtt311:3.3.1-3"],
            || {
                outbound(|passing, packet, fate| match packet {
                    Packet::Publish(publish) if publish.qos != QoS::AtMostOnce => {
                        fate.on_as(&Packet::Publish(Publish { dup: true, ..publish }), passing.version);
                    }
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("repeats-under-another-identifier", &["mqtt5:4.4.0-1", "mqtt311:2.3.1-4"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::Publish(Publish { dup: true, packet_id: Some(id), .. }) => {
                    let Packet::Publish(publish) = packet else { return };
                    fate.on_as(&Packet::Publish(Publish { packet_id: Some(id.next()), ..publish }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("resends-what-was-acknowledged", &["mqtt5:4.3.2-3", "mqtt311:4.3.2-1"], || {
            inbound(|passing, packet, fate| {
                if !matches!(packet, Packet::PubAck(_)) {
                    fate.on(passing.frame);
                }
            })
        }),
        Mutant::seam(
            "does-not-count-an-error-as-an-acknowledgement",
            &["mqtt5:ext-191", "mqtt5:4.4.0-2", "mqtt5:ext-150"],
            || {
                inbound(|passing, packet, fate| match packet {
                    Packet::PubAck(ack) | Packet::PubRec(ack) if ack.reason.is_error() => {}
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam(
            "uses-one-identifier-for-everything",
            &["mqtt5:2.2.1-4", "mqtt5:4.3.2-1", "mqtt5:4.3.3-1", "mqtt5:ext-011", "mqtt311:2.3.1-4"],
            || {
                outbound(|passing, packet, fate| match packet {
                    Packet::Publish(publish) if publish.packet_id.is_some() => {
                        fate.on_as(
                            &Packet::Publish(Publish { packet_id: Some(PacketId::MIN), ..publish }),
                            passing.version,
                        );
                    }
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("runs-out-of-identifiers", &["mqtt5:2.2.1-4", "mqtt311:ext-016"], || {
            let mut used = BTreeMap::<ConnId, u32>::new();
            outbound(move |passing, packet, fate| {
                if matches!(packet, Packet::ConnAck(_)) {
                    used.remove(&passing.conn);
                }
                let numbered = matches!(packet, Packet::Publish(Publish { packet_id: Some(_), .. }));
                let count = used.entry(passing.conn).or_default();
                *count += u32::from(numbered);
                go_on_unless(numbered && *count > u16::MAX.into(), passing, fate);
            })
        }),
        Mutant::seam("steps-over-one-identifier-in-use-only", &["mqtt5:2.2.1-4", "mqtt311:ext-016"], || {
            let (mut used, mut released) = (0, Vec::new());
            outbound(move |passing, packet, fate| match packet {
                Packet::PubRel(ack) => {
                    released.push(ack.packet_id);
                    fate.on(passing.frame);
                }
                Packet::Publish(publish @ Publish { packet_id: Some(own), .. }) => {
                    used += 1;
                    let second = released.get(1).copied().filter(|_| used > u16::MAX.into());
                    fate.on_as(
                        &Packet::Publish(Publish { packet_id: second.or(Some(own)), ..publish }),
                        passing.version,
                    );
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("acknowledges-no-more-than-fifty-at-once", &["mqtt311:ext-088"], || {
            let mut now = (Instant::ZERO, 0);
            inbound(move |passing, packet, fate| {
                let publishes = u32::from(matches!(packet, Packet::Publish(_)));
                now = if now.0 == passing.now { (now.0, now.1 + publishes) } else { (passing.now, publishes) };
                go_on_unless(publishes == 1 && now.1 > 50, passing, fate);
            })
        }),
        Mutant::seam("begins-again-before-what-was-acknowledged", &["mqtt311:ext-093"], || {
            let mut acknowledged = Vec::new();
            outbound(move |passing, packet, fate| {
                match packet {
                    Packet::Publish(Publish { dup: true, .. }) => fate.on(&std::mem::take(&mut acknowledged)),
                    Packet::Publish(_) if acknowledged.is_empty() => acknowledged = passing.frame.to_vec(),
                    _ => {}
                }
                fate.on(passing.frame);
            })
        }),
        Mutant::seam("never-sends-pubrec", &["mqtt5:4.3.3-8", "mqtt311:4.3.3-2", "mqtt31:diff-030"], || {
            outbound(|passing, packet, fate| {
                if !matches!(packet, Packet::PubRec(_)) {
                    fate.on(passing.frame);
                }
            })
        }),
        Mutant::seam("never-sends-pubcomp", &["mqtt5:4.3.3-11", "mqtt311:4.3.3-2"], || {
            outbound(|passing, packet, fate| {
                if !matches!(packet, Packet::PubComp(_)) {
                    fate.on(passing.frame);
                }
            })
        }),
        Mutant::seam("never-sends-pubrel", &["mqtt5:4.3.3-4", "mqtt311:4.3.3-1"], || {
            outbound(|passing, packet, fate| {
                if !matches!(packet, Packet::PubRel(_)) {
                    fate.on(passing.frame);
                }
            })
        }),
        Mutant::seam("answers-pubrec-once", &["mqtt5:4.3.3-4", "mqtt311:4.3.3-1"], || {
            let mut received = BTreeSet::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::PubRec(ack) if !received.insert((passing.conn, ack.packet_id)) => {}
                Packet::PubComp(ack) => {
                    received.remove(&(passing.conn, ack.packet_id));
                    fate.on(passing.frame);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("answers-an-unknown-pubrel-with-nothing", &["mqtt311:ext-082", "mqtt5:ext-137"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::PubComp(ack) if passing.version.has_properties() => {
                    fate.on_as(&Packet::PubComp(Ack { reason: ReasonCode::Success, ..ack }), passing.version);
                }
                Packet::PubComp(ack) if ack.packet_id.get() == 999 => {}
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "delivers-twice-on-resumption",
            &["mqtt5:ext-188", "mqtt5:4.3.3-10", "mqtt311:4.3.3-2", "mqtt311:ext-086"],
            || Box::new(DeliversTwice::default()),
        ),
        Mutant::seam("loses-what-is-released-on-resumption", &["mqtt5:ext-186", "mqtt311:ext-028"], || {
            // It keeps a message with the connection, and hands it on when PUBREL comes there.
            remembering::<BTreeMap<(ConnId, PacketId), Vec<u8>>>(
                |kept, passing, packet, fate| match packet {
                    Packet::Connect(_) => {
                        kept.retain(|(conn, _), _| *conn != passing.conn);
                        fate.on(passing.frame);
                    }
                    Packet::Publish(Publish { qos: QoS::ExactlyOnce, packet_id: Some(id), .. }) => {
                        kept.insert((passing.conn, id), passing.frame.to_vec());
                        fate.back_as(&Packet::PubRec(Ack::success(id)), passing.version);
                    }
                    Packet::PubRel(ack) => {
                        fate.on(&kept.remove(&(passing.conn, ack.packet_id)).unwrap_or_default());
                        fate.on(passing.frame);
                    }
                    _ => fate.on(passing.frame),
                },
                |_, passing, packet, fate| go_on_unless(matches!(packet, Packet::PubRec(_)), passing, fate),
            )
        }),
        Mutant::seam("sends-the-publish-again-after-pubrel", &["mqtt5:4.3.3-6", "mqtt311:4.3.3-1"], || {
            inbound(|passing, packet, fate| match packet {
                // The broker never learns of PUBREC, so that it repeats the PUBLISH on resumption.
                Packet::PubRec(ack) if !ack.reason.is_error() => {
                    fate.back_as(&Packet::PubRel(Ack::success(ack.packet_id)), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("forgets-an-open-pubrel", &["mqtt5:4.3.3-5", "mqtt311:4.4.0-1"], || {
            Box::new(ForgetsPubrel::default())
        }),
        Mutant::seam(
            "swaps-every-other-message",
            &["mqtt311:4.6.0-5", "mqtt5:4.6.0-5", "mqtt5:4.6.0-6", "mqtt311:4.6.0-6"],
            || Box::new(Swaps::default()),
        ),
    ]
    .into_iter()
}

fn next(ack: Ack<'_>) -> Ack<'_> {
    Ack { packet_id: ack.packet_id.next(), ..ack }
}

/// A repeated PUBLISH at QoS 2 reaches the broker under a fresh identifier, so that it counts as new.
#[derive(Default)]
struct DeliversTwice {
    /// Identifiers the client sees, of repeats that go on under the highest identifiers.
    moved: BTreeSet<PacketId>,
}

impl DeliversTwice {
    fn aside(id: PacketId) -> PacketId {
        PacketId::new(u16::MAX - id.get() % 1000).unwrap_or(PacketId::MAX)
    }
}

impl Seam for DeliversTwice {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::Publish(publish @ Publish { dup: true, qos: QoS::ExactlyOnce, packet_id: Some(id), .. })) => {
                self.moved.insert(id);
                let packet_id = Some(Self::aside(id));
                fate.on_as(&Packet::Publish(Publish { packet_id, ..publish }), passing.version);
            }
            Ok(Packet::PubRel(ack)) if self.moved.contains(&ack.packet_id) => {
                // Both are completed, so that both are delivered whenever the broker delivers.
                fate.on(passing.frame);
                let packet_id = Self::aside(ack.packet_id);
                fate.on_as(&Packet::PubRel(Ack { packet_id, ..ack }), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let original = |id: PacketId| self.moved.iter().copied().find(|&moved| Self::aside(moved) == id);
        match passing.packet {
            Ok(Packet::PubRec(ack)) => {
                let packet_id = original(ack.packet_id).unwrap_or(ack.packet_id);
                fate.on_as(&Packet::PubRec(Ack { packet_id, ..ack }), passing.version);
            }
            Ok(Packet::PubComp(ack)) if original(ack.packet_id).is_some() => {}
            _ => fate.on(passing.frame),
        }
    }
}

/// PUBREL answers PUBREC, and is never sent of the broker's own accord.
#[derive(Default)]
struct ForgetsPubrel {
    received: BTreeSet<(ConnId, PacketId)>,
}

impl Seam for ForgetsPubrel {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::PubRec(ack)) = passing.packet {
            self.received.insert((passing.conn, ack.packet_id));
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::PubRel(ack)) if !self.received.contains(&(passing.conn, ack.packet_id)) => {}
            _ => fate.on(passing.frame),
        }
    }

    fn gone(&mut self, conn: ConnId) {
        self.received.retain(|&(received, _)| received != conn);
    }
}

/// Holds back every other message until the next has gone out.
#[derive(Default)]
struct Swaps {
    held: Option<(ConnId, Vec<u8>)>,
}

impl Seam for Swaps {
    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match (&passing.packet, self.held.take()) {
            (Ok(Packet::Publish(_)), None) => self.held = Some((passing.conn, passing.frame.to_vec())),
            (Ok(Packet::Publish(_)), Some((conn, frame))) if conn == passing.conn => {
                fate.on(passing.frame);
                fate.on(&frame);
            }
            (_, held) => {
                self.held = held;
                fate.on(passing.frame);
            }
        }
    }
}

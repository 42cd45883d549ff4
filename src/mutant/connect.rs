//! Mutants of setting up a connection (3.1 and 3.2 of both standards).

use std::collections::{BTreeMap, BTreeSet};

use harness::node::ConnId;
use harness::time::Instant;

use super::Mutant;
use super::change::{go_on_unless, heard, inbound, outbound, unsaid};
use super::seam::{Fate, Passing, Seam};
use crate::forge::Forged;
use crate::packet::{ConnAck, Connect, Packet, PacketType, Properties, ReasonCode, Version};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    reading().chain(naming()).chain(answering()).chain(in_order())
}

fn reading() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("takes-the-will-topic-for-the-message", &["mqtt311:3.1.3-1", "mqtt5:3.1.2-7"], || {
            heard(|packet| {
                if let Packet::Connect(Connect { will: Some(will), .. }) = packet {
                    will.payload = will.topic.as_bytes();
                }
            })
        }),
        Mutant::seam("wants-properties-in-ascending-order", &["mqtt5:ext-019"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(connect) if !connect.properties.iter().is_sorted_by_key(|each| each.id()) => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("wants-every-login-that-3.1-announces", &["mqtt31:diff-010"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(Connect { version: Version::V31, username, password, .. })
                    if flags(passing.frame) & 0x80 != 0 && username.is_none()
                        || flags(passing.frame) & 0x40 != 0 && password.is_none() =>
                {
                    fate.cut();
                }
                _ => fate.on(passing.frame),
            })
        }),
    ]
    .into_iter()
}

fn naming() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam(
            "gives-all-the-nameless-one-identifier",
            &["mqtt5:3.1.3-6", "mqtt5:3.1.3-7", "mqtt5:3.2.2-16", "mqtt311:3.1.3-6"],
            || {
                heard(|packet| {
                    if let Packet::Connect(connect @ Connect { client_id: "", .. }) = packet {
                        connect.client_id = "nameless";
                    }
                })
            },
        ),
        Mutant::seam("accepts-the-nameless", &["mqtt311:3.1.3-8", "mqtt31:diff-005"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::ConnAck(ConnAck { reason: ReasonCode::ClientIdentifierNotValid, .. }) => {
                    fate.on_as(&accepted(), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "refuses-identifiers-of-23-letters",
            &["mqtt5:3.1.3-5", "mqtt311:3.1.3-5", "mqtt31:diff-004"],
            || {
                inbound(|passing, packet, fate| match packet {
                    Packet::Connect(connect) if connect.client_id.len() == 23 => fate.cut(),
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("takes-24-characters-in-3.1", &["mqtt31:diff-004"], || {
            heard(|packet| match packet {
                Packet::Connect(connect) if connect.version == Version::V31 => {
                    connect.client_id = connect.client_id.get(..23).unwrap_or(connect.client_id);
                }
                _ => {}
            })
        }),
        Mutant::seam("tells-clients-by-their-first-23-bytes", &["mqtt5:3.1.3-2", "mqtt311:3.1.3-2"], || {
            heard(|packet| {
                if let Packet::Connect(connect) = packet {
                    connect.client_id = connect.client_id.get(..23).unwrap_or(connect.client_id);
                }
            })
        }),
        Mutant::seam("drops-clients-with-long-identifiers", &["mqtt311:3.1.3-9", "mqtt311:ext-025"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(connect) if connect.client_id.len() > 23 => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("greets-clients-it-refuses", &["mqtt5:3.1.3-8", "mqtt5:ext-085"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(connect) if connect.client_id.len() > 23 => fate.back_as(&accepted(), passing.version),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("takes-a-lone-password-for-an-error", &["mqtt5:ext-084"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(Connect { username: None, password: Some(_), .. }) => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("waits-for-connect-for-ever", &["mqtt5:ext-071", "mqtt311:ext-019"], || {
            Box::new(Patient(BTreeSet::new()))
        }),
    ]
    .into_iter()
}

/// Closes no connection before CONNECT has come.
struct Patient(BTreeSet<ConnId>);

impl Seam for Patient {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        self.0.insert(passing.conn);
        fate.on(passing.frame);
    }

    fn closes(&mut self, conn: ConnId) -> bool {
        self.0.contains(&conn)
    }

    fn gone(&mut self, conn: ConnId) {
        self.0.remove(&conn);
    }
}

fn answering() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("never-answers-connect", &["mqtt5:3.1.4-5", "mqtt311:3.1.4-4"], || {
            unsaid(|packet| matches!(packet, Packet::ConnAck(_)))
        }),
        Mutant::seam("sets-reserved-flags-of-connack", &["mqtt5:3.2.2-1", "mqtt311:ext-048"], || connack_flags(0x02)),
        Mutant::seam("speaks-of-sessions-in-3.1", &["mqtt31:diff-017"], || connack_flags(0x01)),
        Mutant::seam("speaks-before-connack", &["mqtt5:3.2.0-1", "mqtt311:3.2.0-1"], || {
            outbound(|passing, packet, fate| {
                if matches!(packet, Packet::ConnAck(_)) {
                    fate.on_as(&Packet::PingResp, passing.version);
                }
                fate.on(passing.frame);
            })
        }),
        Mutant::seam("sends-disconnect-before-5.0", &["mqtt311:ext-105", "mqtt311:ext-007"], || {
            outbound(|passing, packet, fate| {
                fate.on(passing.frame);
                if matches!(packet, Packet::PingResp) && !passing.version.has_properties() {
                    fate.on(&[0xE0, 0]);
                }
            })
        }),
    ]
    .into_iter()
}

fn in_order() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam(
            "answers-pings-before-connect",
            &["mqtt5:3.1.0-1", "mqtt5:3.2.0-1", "mqtt311:3.1.0-1", "mqtt311:3.2.0-1"],
            || {
                let mut begun = BTreeSet::new();
                inbound(move |passing, packet, fate| match packet {
                    Packet::PingReq if !begun.contains(&passing.conn) => {
                        fate.back_as(&Packet::PingResp, passing.version);
                    }
                    _ => {
                        begun.insert(passing.conn);
                        if matches!(packet, Packet::Disconnect(_)) {
                            // The number of the connection may be used again.
                            begun.remove(&passing.conn);
                        }
                        fate.on(passing.frame);
                    }
                })
            },
        ),
        Mutant::seam("accepts-a-second-connect", &["mqtt5:3.1.0-2", "mqtt5:3.2.0-2", "mqtt311:3.1.0-2"], || {
            let mut begun = BTreeSet::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::Connect(_) if !begun.insert(passing.conn) => fate.back_as(&accepted(), passing.version),
                Packet::Disconnect(_) => {
                    // The number of the connection may be used again.
                    begun.remove(&passing.conn);
                    fate.on(passing.frame);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "loses-what-comes-together-with-connect",
            &["mqtt5:ext-072", "mqtt5:ext-006", "mqtt311:ext-022"],
            || {
                let mut begun = BTreeMap::<ConnId, Instant>::new();
                inbound(move |passing, packet, fate| {
                    let lost = begun.get(&passing.conn) == Some(&passing.now);
                    if matches!(packet, Packet::Connect(_)) {
                        begun.insert(passing.conn, passing.now);
                    }
                    go_on_unless(lost, passing, fate);
                })
            },
        ),
        Mutant::seam("acts-on-what-comes-behind-a-refused-connect", &["mqtt5:3.1.4-6", "mqtt311:3.1.4-5"], || {
            Box::new(ActsBehindRefusal)
        }),
    ]
    .into_iter()
}

const fn accepted() -> Packet<'static> {
    Packet::ConnAck(ConnAck { session_present: false, reason: ReasonCode::Success, properties: Properties::EMPTY })
}

/// Where the connect flags stand in this CONNECT of less than 128 bytes.
fn flags_at(frame: &[u8]) -> usize {
    5 + frame.get(3).map_or(0, |&length| usize::from(length))
}

fn flags(frame: &[u8]) -> u8 {
    frame.get(flags_at(frame)).copied().unwrap_or(0)
}

/// Every CONNACK has these flags.
fn connack_flags(flags: u8) -> Box<dyn Seam> {
    outbound(move |passing, packet, fate| match packet {
        Packet::ConnAck(_) => fate.on(&Forged::from_frame(passing.frame).patch(0, &[flags]).bytes()),
        _ => fate.on(passing.frame),
    })
}

/// A client whose CONNECT has the reserved flag set is turned away, but what it has sent behind it counts.
struct ActsBehindRefusal;

impl Seam for ActsBehindRefusal {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let reserved = passing.frame[0] >> 4 == PacketType::Connect as u8 && flags(passing.frame) & 0x01 != 0;
        if !reserved {
            return fate.on(passing.frame);
        }
        let mut mended = passing.frame.to_vec();
        mended[flags_at(passing.frame)] &= !0x01;
        fate.on(&mended);
        fate.cut();
    }
}

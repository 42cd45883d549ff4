//! Mutants of DISCONNECT and of the end of connections (3.14 of both standards, 4.13 of 5.0).

use std::collections::{BTreeMap, BTreeSet};

use harness::node::ConnId;

use super::Mutant;
use super::change::{go_on_unless, inbound, kept, outbound, said, said_properties, unheard, unsaid};
use super::seam::{Fate, Passing, Seam};
use crate::packet::{Packet, PacketType, Property, ReasonCode};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("waits-for-the-close-after-disconnect", &["mqtt5:ext-173", "mqtt311:ext-078"], || {
            unheard(|packet| matches!(packet, Packet::Disconnect(_)))
        }),
        Mutant::seam("acts-on-what-comes-behind-disconnect", &["mqtt311:ext-079"], || {
            // DISCONNECT is put off until something other than PUBLISH comes.
            let mut left = BTreeSet::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::Disconnect(_) => drop(left.replace(passing.conn)),
                Packet::Publish(_) => fate.on(passing.frame),
                _ if left.remove(&passing.conn) => fate.on(&[0xE0, 0]),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("sends-something-behind-its-disconnect", &["mqtt5:3.14.4-1"], || {
            outbound(|passing, packet, fate| {
                fate.on(passing.frame);
                if matches!(packet, Packet::Disconnect(_)) {
                    fate.on_as(&Packet::PingResp, passing.version);
                }
            })
        }),
        Mutant::seam(
            "never-closes-a-connection",
            &[
                "mqtt5:3.2.2-7",
                "mqtt5:4.12.0-1",
                "mqtt5:4.12.0-4",
                "mqtt5:4.12.1-2",
                "mqtt311:3.2.2-5",
                "mqtt5:3.14.4-2",
                "mqtt5:4.13.1-1",
                "mqtt5:4.13.2-1",
                "mqtt5:ext-001",
                "mqtt311:4.8.0-1",
                "mqtt311:ext-011",
            ],
            || Box::new(NeverCloses),
        ),
        Mutant::seam("sends-disconnect-with-a-code-of-clients", &["mqtt5:3.14.2-1", "mqtt5:ext-148"], || {
            said(|packet| {
                if let Packet::Disconnect(disconnect) = packet {
                    disconnect.reason = ReasonCode::DisconnectWithWillMessage;
                }
            })
        }),
        Mutant::seam("closes-without-a-word", &["mqtt5:ext-225"], || {
            unsaid(|packet| matches!(packet, Packet::Disconnect(_)))
        }),
        Mutant::seam("reads-no-more-once-it-has-closed-a-connection", &["mqtt5:ext-229", "mqtt311:ext-104"], || {
            Box::new(ReadsNoMore(false))
        }),
        Mutant::seam(
            "reads-a-message-only-when-more-comes",
            &["mqtt5:ext-006", "mqtt311:ext-014", "mqtt311:ext-080"],
            || {
                // What DISCONNECT comes behind is never read.
                let mut held = BTreeMap::<ConnId, Vec<u8>>::new();
                inbound(move |passing, packet, fate| {
                    let before = held.remove(&passing.conn);
                    match packet {
                        Packet::Publish(_) => drop(held.insert(passing.conn, passing.frame.to_vec())),
                        Packet::Disconnect(_) => return fate.on(passing.frame),
                        _ => {}
                    }
                    fate.on(&before.unwrap_or_default());
                    go_on_unless(held.contains_key(&passing.conn), passing, fate);
                })
            },
        ),
        Mutant::seam("sends-disconnect-with-a-session-expiry", &["mqtt5:3.14.2-2"], || {
            said_properties(PacketType::Disconnect, |list| {
                kept(list, |_| true).with(Property::SessionExpiryInterval(0))
            })
        }),
        Mutant::seam("explains-disconnect-beyond-the-packet-size", &["mqtt5:3.14.2-3"], || {
            said_properties(PacketType::Disconnect, |list| {
                let others = kept(list, |property| !matches!(property, Property::ReasonString(_)));
                others.with(Property::ReasonString(LONG))
            })
        }),
        Mutant::seam("adorns-disconnect-beyond-the-packet-size", &["mqtt5:3.14.2-4"], || {
            said_properties(PacketType::Disconnect, |list| {
                kept(list, |_| true).with(Property::UserProperty("why", LONG))
            })
        }),
    ]
    .into_iter()
}

/// More than a small packet can hold.
const LONG: &str = "because nobody who was asked about it has ever been able to say why it should be otherwise";

struct NeverCloses;

impl Seam for NeverCloses {
    fn closes(&mut self, _: ConnId) -> bool {
        false
    }
}

/// Reads nothing more once it has closed a connection.
struct ReadsNoMore(bool);

impl Seam for ReadsNoMore {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        go_on_unless(self.0, passing, fate);
    }

    fn closes(&mut self, _: ConnId) -> bool {
        self.0 = true;
        true
    }
}

//! Mutants of keep alive (3.1.2.10 of both standards) and of PINGREQ (3.12).

use std::collections::BTreeMap;
use std::time::Duration;

use harness::node::ConnId;
use harness::time::Instant;

use super::Mutant;
use super::change::{go_on_unless, heard, inbound, remembering, unsaid};
use super::seam::Seam;
use crate::packet::{Connect, Packet};

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam(
            "never-misses-a-silent-client",
            &["mqtt5:3.1.2-22", "mqtt5:3.2.2-22", "mqtt311:3.1.2-24", "mqtt311:ext-044", "mqtt31:diff-014"],
            || {
                heard(|packet| {
                    if let Packet::Connect(connect) = packet {
                        connect.keep_alive = 0;
                    }
                })
            },
        ),
        Mutant::seam(
            "waits-four-times-the-keep-alive",
            &["mqtt5:3.1.2-22", "mqtt311:3.1.2-24", "mqtt31:diff-014"],
            || {
                heard(|packet| {
                    if let Packet::Connect(connect) = packet {
                        connect.keep_alive = connect.keep_alive.saturating_mul(4);
                    }
                })
            },
        ),
        Mutant::seam("keeps-the-first-keep-alive-of-a-client", &["mqtt5:ext-080", "mqtt311:ext-041"], || {
            let mut first = BTreeMap::<String, u16>::new();
            inbound(move |passing, packet, fate| match packet {
                Packet::Connect(connect) => {
                    let keep_alive = *first.entry(connect.client_id.to_owned()).or_insert(connect.keep_alive);
                    fate.on_as(&Packet::Connect(Connect { keep_alive, ..connect }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "publishes-nothing-when-a-timer-runs-out",
            &["mqtt5:ext-097", "mqtt311:ext-047", "mqtt31:diff-014"],
            || {
                // What is sent at another time than that of the last packet of a client has another cause.
                remembering::<Option<Instant>>(
                    |last, passing, _, fate| {
                        *last = Some(passing.now);
                        fate.on(passing.frame);
                    },
                    |last, passing, packet, fate| {
                        let uncaused = matches!(packet, Packet::Publish(_)) && *last != Some(passing.now);
                        go_on_unless(uncaused, passing, fate);
                    },
                )
            },
        ),
        Mutant::seam(
            "takes-only-pings-for-signs-of-life",
            &["mqtt5:3.1.2-22", "mqtt311:3.1.2-24", "mqtt311:ext-043"],
            || alive_by(|packet| matches!(packet, Packet::PingReq)),
        ),
        Mutant::seam(
            "takes-no-acknowledgement-for-a-sign-of-life",
            &["mqtt5:3.1.2-22", "mqtt311:3.1.2-24", "mqtt311:ext-043"],
            || {
                alive_by(|packet| {
                    !matches!(packet, Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_))
                })
            },
        ),
        Mutant::seam("takes-keep-alive-0-for-1", &["mqtt5:ext-080", "mqtt5:3.2.2-22", "mqtt311:ext-041"], || {
            heard(|packet| {
                if let Packet::Connect(connect) = packet {
                    connect.keep_alive = connect.keep_alive.max(1);
                }
            })
        }),
        Mutant::seam("never-answers-a-ping", &["mqtt5:3.12.4-1", "mqtt5:ext-081", "mqtt311:3.12.4-1"], || {
            unsaid(|packet| matches!(packet, Packet::PingResp))
        }),
        Mutant::seam("refuses-the-longest-keep-alive", &["mqtt5:3.1.4-5", "mqtt311:ext-042"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(connect) if connect.keep_alive == u16::MAX => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
    ]
    .into_iter()
}

/// Only these packets restart the keep alive. One that has run out shows with the next of the others.
fn alive_by(counts: fn(&Packet<'_>) -> bool) -> Box<dyn Seam> {
    let mut alive = BTreeMap::<ConnId, (Instant, Duration)>::new();
    inbound(move |passing, packet, fate| {
        let limit = match (packet, alive.get(&passing.conn)) {
            (Packet::Connect(connect), _) => Duration::from_millis(1500 * u64::from(connect.keep_alive)),
            (sign, Some(&(_, limit))) if counts(&sign) => limit,
            (_, Some(&(last, limit))) if !limit.is_zero() && passing.now > last + limit => return fate.cut(),
            _ => return fate.on(passing.frame),
        };
        alive.insert(passing.conn, (passing.now, limit));
        fate.on(passing.frame);
    })
}

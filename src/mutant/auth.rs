//! Mutants of who may connect: credentials (3.1.4 of both standards) and enhanced authentication (4.12 of 5.0).

use std::collections::BTreeSet;

use harness::node::ConnId;

use super::Mutant;
use super::change::{go_on_unless, heard, heard_properties, inbound, kept, outbound, remembering, said, unsaid};
use super::seam::{Fate, Passing, Seam};
use crate::forge::Forged;
use crate::packet::{
    Auth, ConnAck, Connect, Disconnect, Host, Packet, PacketType, Properties, Property, ReasonCode, Version,
};
use crate::violation::Rule;

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    refusing().chain(exchanging())
}

fn refusing() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam(
            "checks-no-password",
            &["mqtt5:3.1.4-2", "mqtt5:ext-182", "mqtt311:ext-020", "mqtt311:ext-021"],
            || {
                heard(|packet| {
                    if let Packet::Connect(connect) = packet {
                        (connect.username, connect.password) = (None, None);
                    }
                })
            },
        ),
        Mutant::seam("welcomes-clients-without-a-name", &["mqtt5:3.1.4-2", "mqtt5:ext-182", "mqtt311:ext-020"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(Connect { username: None, .. }) => {
                    let (reason, properties) = (ReasonCode::Success, Properties::EMPTY);
                    let connack = ConnAck { session_present: false, reason, properties };
                    fate.back_as(&Packet::ConnAck(connack), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("refuses-with-a-code-that-does-not-exist", REFUSAL_CODES, || {
            outbound(|passing, packet, fate| match packet {
                Packet::ConnAck(connack) if connack.reason.is_error() => {
                    // 0x92 is a code of PUBREL.
                    let code = if passing.version.has_properties() { 0x92 } else { 6 };
                    fate.on(&Forged::from_frame(passing.frame).patch(1, &[code]).bytes());
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("speaks-of-a-session-when-it-refuses", &["mqtt5:3.2.2-6", "mqtt311:3.2.2-4"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::ConnAck(connack) if connack.reason.is_error() && passing.version != Version::V31 => {
                    fate.on(&Forged::from_frame(passing.frame).patch(0, &[1]).bytes());
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("refuses-without-a-word", &["mqtt311:ext-050"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::ConnAck(connack) if connack.reason.is_error() => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("has-one-word-for-every-error", &["mqtt5:ext-228"], || {
            said(|packet| match packet {
                Packet::ConnAck(connack) if connack.reason.is_error() => {
                    connack.reason = ReasonCode::UnspecifiedError;
                }
                _ => {}
            })
        }),
        Mutant::seam("wants-user-names-with-a-character", &["mqtt311:ext-004"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(Connect { username: Some(""), .. }) => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("wants-passwords-with-a-character", &["mqtt311:ext-004"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(Connect { password: Some(b""), .. }) => fate.cut(),
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("is-never-there-for-passwords-without-a-character", &["mqtt311:ext-004"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(Connect { password: Some(b""), version, .. }) if version != Version::V5 => {
                    let (reason, properties) = (ReasonCode::ServerUnavailable, Properties::EMPTY);
                    fate.back_as(&Packet::ConnAck(ConnAck { session_present: false, reason, properties }), version);
                    fate.cut();
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("wants-passwords-to-be-text", &["mqtt311:ext-040", "mqtt5:ext-014"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Connect(Connect { password: Some(bytes), .. }) if std::str::from_utf8(bytes).is_err() => {
                    fate.cut()
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("refuses-by-disconnect", &["mqtt5:3.14.0-1"], || {
            said(|packet| {
                if matches!(packet, Packet::ConnAck(connack) if connack.reason.is_error()) {
                    let (reason, properties) = (ReasonCode::NotAuthorized, Properties::EMPTY);
                    *packet = Packet::Disconnect(Disconnect { reason, properties });
                }
            })
        }),
    ]
    .into_iter()
}

/// What a refusal may say, by the tables of all versions.
const REFUSAL_CODES: &[&str] = &["mqtt5:3.2.2-8", "mqtt5:ext-141", "mqtt311:3.2.2-6", "mqtt31:diff-018"];

fn exchanging() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("ignores-authentication-methods", &["mqtt5:4.12.0-1", "mqtt5:ext-180"], || {
            heard_properties(PacketType::Connect, |list| {
                kept(list, |property| {
                    !matches!(property, Property::AuthenticationMethod(_) | Property::AuthenticationData(_))
                })
            })
        }),
        Mutant::seam(
            "passes-over-auth-that-answers-nothing",
            &["mqtt5:4.12.0-7", "mqtt5:ext-176", "mqtt5:ext-185"],
            || {
                remembering::<BTreeSet<ConnId>>(
                    |challenged, passing, packet, fate| {
                        let answers = challenged.remove(&passing.conn);
                        go_on_unless(matches!(packet, Packet::Auth(_)) && !answers, passing, fate);
                    },
                    |challenged, passing, packet, fate| {
                        if matches!(packet, Packet::Auth(_)) {
                            challenged.insert(passing.conn);
                        }
                        fate.on(passing.frame);
                    },
                )
            },
        ),
        Mutant::seam("lets-the-method-change", &["mqtt5:4.12.0-5", "mqtt5:ext-176", "mqtt5:4.12.1-1"], || {
            inbound(|passing, packet, fate| match packet {
                Packet::Auth(auth) if auth.properties.authentication_method() != Some("SCRAM-SHA-256") => {
                    let others =
                        kept(auth.properties, |property| !matches!(property, Property::AuthenticationMethod(_)));
                    let properties = others.with(Property::AuthenticationMethod("SCRAM-SHA-256"));
                    let properties = properties.view();
                    fate.on_as(&Packet::Auth(Auth { properties, ..auth }), passing.version);
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam(
            "challenges-with-a-code-of-clients",
            &["mqtt5:4.12.0-2", "mqtt5:3.15.2-1", "mqtt5:ext-149"],
            || {
                outbound(|passing, packet, fate| match packet {
                    Packet::Auth(_) => fate.on(&Forged::from_frame(passing.frame).patch(0, &[0x19]).bytes()),
                    _ => fate.on(passing.frame),
                })
            },
        ),
        Mutant::seam("leaves-out-its-own-proof", &["mqtt5:ext-180"], || {
            keeping(|property| !matches!(property, Property::AuthenticationData(_)))
        }),
        Mutant::seam("leaves-out-the-method-in-connack", &["mqtt5:4.12.0-5"], || {
            keeping(|property| !matches!(property, Property::AuthenticationMethod(_)))
        }),
        Mutant::seam("keeps-those-who-leave-amid-the-exchange", &["mqtt5:ext-181"], || {
            amid_the_exchange(|packet| matches!(packet, Packet::Disconnect(_)))
        }),
        Mutant::seam("hears-no-message-amid-the-exchange", &["mqtt5:ext-184"], || {
            amid_the_exchange(|packet| matches!(packet, Packet::Publish(_)))
        }),
        Mutant::seam("never-ends-authenticating-again", &["mqtt5:ext-183"], || {
            unsaid(|packet| matches!(packet, Packet::Auth(Auth { reason: ReasonCode::Success, .. })))
        }),
        Mutant::seam("accepts-auth-with-a-code-of-servers", &["mqtt5:3.15.2-1"], || {
            Box::new(Accepts(Rule::InvalidReasonCode(PacketType::Auth)))
        }),
        Mutant::seam("accepts-auth-with-a-property-of-another-packet", &["mqtt5:ext-033"], || {
            Box::new(Accepts(Rule::MisplacedProperty(Host::Packet(PacketType::Auth))))
        }),
    ]
    .into_iter()
}

/// Such packets of a client that has been challenged, and not yet accepted, never reach the broker.
fn amid_the_exchange(unheard: fn(&Packet<'_>) -> bool) -> Box<dyn Seam> {
    Box::new(AmidTheExchange { unheard, challenged: BTreeSet::new() })
}

struct AmidTheExchange {
    unheard: fn(&Packet<'_>) -> bool,
    challenged: BTreeSet<ConnId>,
}

impl Seam for AmidTheExchange {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let unheard = passing.packet.as_ref().is_ok_and(|packet| (self.unheard)(packet));
        go_on_unless(unheard && self.challenged.contains(&passing.conn), passing, fate);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::Auth(Auth { reason: ReasonCode::ContinueAuthentication, .. })) => {
                self.challenged.insert(passing.conn);
            }
            _ => {
                self.challenged.remove(&passing.conn);
            }
        }
        fate.on(passing.frame);
    }
}

/// CONNACK keeps only such properties.
fn keeping(which: fn(Property<'_>) -> bool) -> Box<dyn Seam> {
    outbound(move |passing, packet, fate| match packet {
        Packet::ConnAck(connack) if passing.version.has_properties() => {
            let properties = kept(connack.properties, which);
            let properties = properties.view();
            fate.on_as(&Packet::ConnAck(ConnAck { properties, ..connack }), passing.version);
        }
        _ => fate.on(passing.frame),
    })
}

/// What breaks this rule is taken for the end of a successful exchange.
struct Accepts(Rule);

impl Seam for Accepts {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Err(refusal) if refusal.rule() == self.0 => {
                let (reason, properties) = (ReasonCode::Success, Properties::EMPTY);
                fate.back_as(&Packet::ConnAck(ConnAck { session_present: false, reason, properties }), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    }
}

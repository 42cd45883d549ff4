//! CONNECT packets that must be turned away, and what else may not come first: the other half of chapter
//! [`super::connect`]. In each case a good CONNECT is accepted first, so that a bad one is not turned away for some other
//! reason.

use harness::case::{Case, Deviation, Outcome, Stop};

use super::expect::Expected;
use super::script::{ConnectScript, PingReq, Script, publish, subscribe, will};
use super::supports::Capability::{Wildcards, Wills};
use super::testbed::Testbed;
use super::words::code;
use crate::forge::{Forged, field};
use crate::packet::Property::{
    self, MaximumPacketSize, MessageExpiryInterval, PayloadFormatIndicator, ReceiveMaximum, RequestProblemInformation,
    RequestResponseInformation, SessionExpiryInterval, TopicAlias, TopicAliasMaximum, WillDelayInterval,
};
use crate::packet::ReasonCode::{
    BadUserNameOrPassword, ClientIdentifierNotValid, MalformedPacket, NotAuthorized, ProtocolError, ServerUnavailable,
    SessionTakenOver, Success, UnsupportedProtocolVersion,
};
use crate::packet::{Packet, PacketType, PropertyBuf, QoS::AtMostOnce, ReasonCode, Version};

/// The cases.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("connect/must-come-first", must_come_first)
        .claim("a connection that begins with another packet than CONNECT is closed, and the packet is not answered")
        .covers(&["mqtt5:3.1.0-1", "mqtt5:3.14.0-1", "mqtt311:3.1.0-1"]),
    Case::new("connect/must-not-come-twice", must_not_come_twice)
        .claim("a second CONNECT ends the connection and gets no CONNACK")
        .covers(&["mqtt5:3.1.0-2", "mqtt5:3.2.0-2", "mqtt311:3.1.0-2"]),
    Case::new("connect/wrong-protocol-name", wrong_protocol_name)
        .claim("a client that names another protocol is not served")
        .covers(&["mqtt5:3.1.2-1", "mqtt311:3.1.2-1", "mqtt31:diff-001"]),
    Case::new("connect/unsupported-protocol-level", unsupported_protocol_level)
        .claim("a protocol level that does not exist is turned away, by 3.1.1 with return code 1")
        .covers(&["mqtt5:3.1.2-2", "mqtt311:3.1.2-2", "mqtt31:diff-002"]),
    Case::new("connect/reserved-flag", |t| turned_away(t, [flags(t, &t.connect("bad"), own_flags(t) | 0x01)?]))
        .claim("a CONNECT with the reserved flag set is turned away")
        .covers(&["mqtt5:3.1.2-3", "mqtt311:3.1.2-3"]),
    Case::new("connect/fixed-header-flags", fixed_header_flags)
        .claim("a CONNECT with flags in its fixed header is turned away")
        .covers(&["mqtt5:2.1.3-1", "mqtt311:2.2.2-2"]),
    Case::new("connect/refused-does-nothing", refused_does_nothing)
        .claim("what comes behind a CONNECT that is turned away is not processed")
        .covers(&["mqtt5:3.1.4-6", "mqtt311:3.1.4-5"]),
    Case::new("connect/empty-identifier-is-turned-away", empty_identifier_is_turned_away)
        .claim(
            "an empty client identifier is refused with return code 2: in 3.1 always, in 3.1.1 without clean session",
        )
        .covers(&["mqtt311:3.1.3-8", "mqtt311:3.2.2-5", "mqtt311:3.2.2-4", "mqtt31:diff-005", "mqtt31:diff-018"])
        .exact_names(),
    Case::new("connect/will-qos-without-will", will_qos_without_will)
        .claim("a CONNECT with a will QoS but no will is turned away")
        .covers(&["mqtt5:3.1.2-11", "mqtt311:3.1.2-11", "mqtt311:3.1.2-13"]),
    Case::new("connect/will-retain-without-will", |t| {
        turned_away(t, [flags(t, &t.connect("bad"), own_flags(t) | 0x20)?])
    })
    .claim("a CONNECT with will retain but no will is turned away")
    .covers(&["mqtt5:3.1.2-13", "mqtt311:3.1.2-11", "mqtt311:3.1.2-15"]),
    Case::new("connect/will-qos-3", will_qos_3)
        .claim("a CONNECT with will QoS 3 is turned away")
        .covers(&["mqtt5:3.1.2-12", "mqtt311:3.1.2-14"]),
    Case::new("connect/will-missing", |t| turned_away(t, [flags(t, &stranger(t), 0x06)?]))
        .claim("a CONNECT whose flags announce a will that is not there is turned away")
        .covers(&["mqtt5:3.1.2-9", "mqtt311:3.1.2-9"]),
    Case::new("connect/login-missing", login_missing)
        .claim("a CONNECT whose flags announce a user name or password that is not there is turned away")
        .covers(&["mqtt5:3.1.2-17", "mqtt5:3.1.2-19", "mqtt311:3.1.2-19", "mqtt311:3.1.2-21"]),
    Case::new("connect/login-missing-in-3.1", login_missing_in_31)
        .claim("3.1 takes a CONNECT that ends before the user name or password its flags announce")
        .covers(&["mqtt31:diff-010"]),
    Case::new("connect/login-not-announced", login_not_announced)
        .claim("a CONNECT with a user name or password that its flags do not announce is turned away")
        .covers(&["mqtt5:3.1.2-16", "mqtt5:3.1.2-18", "mqtt311:3.1.2-18", "mqtt311:3.1.2-20"]),
    Case::new("connect/password-without-user-name", |t| {
        // Before 5.0 a return code is as good as the bare end.
        turned_away_or(t, [flags(t, &stranger(t), 0x42)?.append(&field(b"secret"))], BadUserNameOrPassword)
    })
    .claim("a CONNECT with a password but no user name is turned away")
    .covers(&["mqtt311:3.1.2-22"]),
    Case::new("connect/truncated", truncated)
        .claim("a CONNECT that ends inside a field, or before its client identifier, is turned away")
        .covers(&["mqtt5:3.1.4-1", "mqtt5:3.1.3-3", "mqtt5:ext-015", "mqtt311:3.1.4-1", "mqtt311:3.1.3-3"]),
    Case::new("connect/trailing-bytes", |t| {
        turned_away(t, [Forged::from_frame(&t.connect("bad").wire(t)?).append(b"!")])
    })
    .claim("a CONNECT with bytes behind its last field is turned away")
    .covers(&["mqtt5:3.1.4-1", "mqtt311:ext-023"]),
    Case::new("connect/identifier-not-utf8", identifier_not_utf8)
        .claim("a client identifier that is not well-formed UTF-8, or holds U+0000, is turned away")
        .covers(&[
            "mqtt5:1.5.4-1",
            "mqtt5:1.5.4-2",
            "mqtt5:3.1.3-4",
            "mqtt311:1.5.3-1",
            "mqtt311:1.5.3-2",
            "mqtt311:3.1.3-4",
        ]),
    Case::new("connect/user-name-not-utf8", user_name_not_utf8)
        .claim("a user name that is not well-formed UTF-8 is turned away")
        .covers(&["mqtt5:1.5.4-1", "mqtt5:3.1.3-12", "mqtt311:1.5.3-1", "mqtt311:3.1.3-11"]),
    Case::new("connect/will-topic-not-utf8", will_topic_not_utf8)
        .claim("a will topic that is not well-formed UTF-8 is turned away")
        .covers(&["mqtt5:1.5.4-1", "mqtt5:3.1.3-11", "mqtt311:1.5.3-1", "mqtt311:3.1.3-10"]),
    Case::new("connect/will-properties-without-will", |t| {
        turned_away(t, [Forged::from_frame(&stranger(t).wire(t)?).append(&[0])])
    })
    .claim("a CONNECT with will properties but no will is turned away")
    .covers(&["mqtt5:ext-086", "mqtt5:3.1.4-1"]),
    Case::new("connect/wildcard-in-will-topic", wildcard_in_will_topic)
        .claim("a CONNECT with a wildcard in its will topic is turned away")
        .covers(&["mqtt311:ext-038"]),
    Case::new("connect/repeated-property", repeated_property)
        .claim("a CONNECT with one property twice is turned away")
        .covers(&[
            "mqtt5:ext-040",
            "mqtt5:ext-045",
            "mqtt5:ext-047",
            "mqtt5:ext-051",
            "mqtt5:ext-052",
            "mqtt5:ext-056",
            "mqtt5:3.1.4-1",
        ]),
    Case::new("connect/misplaced-property", |t| properties(t, &[&[TopicAlias(1)], &[PayloadFormatIndicator(1)]]))
        .claim("a CONNECT with a property that belongs to another packet is turned away")
        .covers(&["mqtt5:ext-020", "mqtt5:3.1.4-1"]),
    Case::new("connect/misplaced-will-property", misplaced_will_property)
        .claim("a CONNECT whose will has a property that wills do not have, or one twice, is turned away")
        .covers(&["mqtt5:ext-021", "mqtt5:ext-034", "mqtt5:ext-035", "mqtt5:ext-046", "mqtt5:3.1.4-1"]),
    Case::new("connect/unknown-property", unknown_property)
        .claim("a CONNECT with a property that does not exist is turned away")
        .covers(&["mqtt5:ext-016", "mqtt5:3.1.4-1"]),
    Case::new("connect/receive-maximum-0", |t| properties(t, &[&[ReceiveMaximum(0)]]))
        .claim("a CONNECT with receive maximum 0 is turned away")
        .covers(&["mqtt5:ext-060"]),
    Case::new("connect/maximum-packet-size-0", |t| properties(t, &[&[MaximumPacketSize(0)]]))
        .claim("a CONNECT with maximum packet size 0 is turned away")
        .covers(&["mqtt5:ext-061"]),
    Case::new("connect/request-response-information-2", |t| properties(t, &[&[RequestResponseInformation(2)]]))
        .claim("a CONNECT with request response information 2 is turned away")
        .covers(&["mqtt5:ext-062"]),
    Case::new("connect/request-problem-information-2", |t| properties(t, &[&[RequestProblemInformation(2)]]))
        .claim("a CONNECT with request problem information 2 is turned away")
        .covers(&["mqtt5:ext-063"]),
];

/// How a CONNECT that is not as it should be may be answered: 5.0 lets the server say so, the others close.
pub(super) fn format_error(t: &Testbed) -> &'static [ReasonCode] {
    if t.v5() { &[MalformedPacket, ProtocolError] } else { &[] }
}

/// A good CONNECT is accepted, and each of these is turned away.
pub(super) fn turned_away(t: &Testbed, bad: impl IntoIterator<Item = Forged>) -> Outcome {
    turned_away_by(t, bad, format_error(t))
}

/// As [`turned_away`], where before 5.0 a return code fits as well: it names the field that is wrong.
fn turned_away_or(t: &Testbed, bad: impl IntoIterator<Item = Forged>, code: ReasonCode) -> Outcome {
    turned_away_by(t, bad, if t.v5() { format_error(t) } else { std::slice::from_ref(&code) })
}

fn turned_away_by(t: &Testbed, bad: impl IntoIterator<Item = Forged>, reasons: &[ReasonCode]) -> Outcome {
    t.join("good")?.leave()?;
    for forged in bad {
        let client = t.dial("bad")?;
        client.send_raw(&forged.bytes())?;
        client.turned_away(reasons)?;
    }
    Ok(())
}

/// Where the protocol level stands in the body of CONNECT. The flags come next.
pub(super) fn level_at(t: &Testbed) -> usize {
    2 + t.version().protocol_name().len()
}

/// The connect flags of the run's own CONNECT.
fn own_flags(t: &Testbed) -> u8 {
    if t.login().is_some() { 0xC2 } else { 0x02 }
}

/// This CONNECT with these connect flags.
fn flags(t: &Testbed, connect: &ConnectScript, flags: u8) -> Result<Forged, Stop> {
    Ok(Forged::from_frame(&connect.wire(t)?).patch(level_at(t) + 1, &[flags]))
}

/// A CONNECT without user name and password.
fn stranger(t: &Testbed) -> ConnectScript {
    t.connect("bad").login(None, None)
}

fn must_come_first(t: &Testbed) -> Outcome {
    t.join("good")?.leave()?;
    let packets: [&dyn Script; 3] = [&PingReq, &subscribe(1).to("door", AtMostOnce), &publish("door", "open")];
    for packet in packets {
        let client = t.dial("bad")?;
        client.send_raw(&packet.wire(t)?)?;
        client.turned_away(format_error(t))?;
    }
    Ok(())
}

fn must_not_come_twice(t: &Testbed) -> Outcome {
    let client = t.join("client")?;
    client.ping()?;
    client.send(t.connect("client"))?;
    client.refused(&[ProtocolError, SessionTakenOver])
}

/// Not served: closed, whatever comes before. How CONNACK looks to a client of no known protocol nobody says.
fn not_served(t: &Testbed, forged: Forged) -> Outcome {
    let client = t.dial("bad")?;
    client.send_raw(&forged.bytes())?;
    client.closes_by(t.now() + t.timing().answer).map(drop)
}

fn wrong_protocol_name(t: &Testbed) -> Outcome {
    t.join("good")?.leave()?;
    let (name, good) = (t.version().protocol_name(), Forged::from_frame(&t.connect("bad").wire(t)?));
    let longer = good.clone().patch(0, &[0, name.len() as u8 + 1]).insert(2 + name.len(), b"X");
    for bad in [good.clone().patch(2, b"MQTX"), good.patch(2, name.to_lowercase().as_bytes()), longer] {
        not_served(t, bad)?;
    }
    Ok(())
}

/// A server of several versions may answer 3.1.1 in the form of 5.0, which no reader of 3.1.1 understands.
fn unsupported_protocol_level(t: &Testbed) -> Outcome {
    t.join("good")?.leave()?;
    for level in [6, 100] {
        let bad = Forged::from_frame(&t.connect("bad").wire(t)?).patch(level_at(t), &[level]);
        if t.version() != Version::V311 {
            not_served(t, bad)?;
            continue;
        }
        let client = t.dial("bad")?;
        client.send_raw(&bad.bytes())?;
        match client.expect(refusal(t, UnsupportedProtocolVersion)) {
            Ok(_) | Err(Stop::Deviation(Deviation { clause: Some(_), .. })) => {}
            Err(other) => return Err(other),
        }
        client.closes_by(t.now() + t.timing().answer)?;
    }
    Ok(())
}

/// CONNACK that refuses with this code and session present 0.
pub(super) fn refusal(t: &Testbed, reason: ReasonCode) -> Expected {
    Expected::new(
        format!("CONNACK {}, session present 0", code(reason, PacketType::ConnAck, t.version())),
        move |packet| matches!(packet, Packet::ConnAck(connack) if connack.reason == reason && !connack.session_present),
    )
}

fn fixed_header_flags(t: &Testbed) -> Outcome {
    let good = Forged::from_frame(&t.connect("bad").wire(t)?);
    turned_away(t, [good.clone().flags(0x1), good.flags(0x2)])
}

/// Which CONNECT is turned away is another case's affair, so the first is taken that is. The offender's connection is closed
/// when "fence" is published, so nothing of it is still to come.
fn refused_does_nothing(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let reserved = flags(t, &t.connect("bad"), own_flags(t) | 0x01)?;
    let level = Forged::from_frame(&t.connect("bad").wire(t)?).patch(level_at(t), &[100]);
    for (connect, reasons) in [(reserved, format_error(t)), (level, &[UnsupportedProtocolVersion])] {
        let connect = connect.bytes();
        let alone = t.dial("bad")?;
        alone.send_raw(&connect)?;
        if alone.turned_away(reasons).is_err() {
            continue;
        }
        let client = t.dial("bad")?;
        let behind = [publish("door", "open").wire(t)?, subscribe(1).to("door", AtMostOnce).wire(t)?];
        client.send_raw(&[connect, behind.concat()].concat())?;
        client.turned_away(reasons)?;
        t.join("writer")?.publish(publish("door", "fence"))?;
        return reader.hears(["fence"]);
    }
    Err(Stop::Skip("needs a target that turns away an illegal CONNECT".into()))
}

fn empty_identifier_is_turned_away(t: &Testbed) -> Outcome {
    t.join_with("good", &t.connect("good").clean(false))?.leave()?;
    let sessions: &[bool] = if t.version() == Version::V31 { &[false, true] } else { &[false] };
    for clean in sessions {
        let client = t.dial("nameless")?;
        client.send(t.connect("nameless").client_id("").clean(*clean))?;
        client.expect(refusal(t, ClientIdentifierNotValid))?;
        client.closes_by(t.now() + t.timing().answer)?;
    }
    Ok(())
}

fn will_qos_without_will(t: &Testbed) -> Outcome {
    let connect = t.connect("bad");
    turned_away(t, [flags(t, &connect, own_flags(t) | 0x08)?, flags(t, &connect, own_flags(t) | 0x10)?])
}

fn will_qos_3(t: &Testbed) -> Outcome {
    t.needs(Wills)?;
    let connect = t.connect("bad").will(will("gone", "bad"));
    t.join_with("good", &connect)?.leave()?;
    turned_away(t, [flags(t, &connect, own_flags(t) | 0x1C)?])
}

fn login_missing(t: &Testbed) -> Outcome {
    let named = t.connect("bad").login(Some("user"), None);
    turned_away(t, [flags(t, &stranger(t), 0x82)?, flags(t, &named, 0xC2)?])
}

fn login_missing_in_31(t: &Testbed) -> Outcome {
    t.join("good")?.ping()?;
    for flag in [0x82, 0xC2] {
        let client = t.dial("client")?;
        client.send_raw(&flags(t, &stranger(t), flag)?.bytes())?;
        let served = [Success, BadUserNameOrPassword, NotAuthorized];
        let connack = Expected::new(
            "CONNACK, accepted or refused for the missing login",
            move |packet| matches!(packet, Packet::ConnAck(connack) if served.contains(&connack.reason)),
        );
        client.expect(connack)?;
    }
    Ok(())
}

fn login_not_announced(t: &Testbed) -> Outcome {
    let user = t.connect("bad").login(Some("user"), None);
    let both = t.connect("bad").login(Some("user"), Some(b"secret"));
    turned_away(t, [flags(t, &user, 0x02)?, flags(t, &both, 0x82)?])
}

fn truncated(t: &Testbed) -> Outcome {
    let good = Forged::from_frame(&stranger(t).wire(t)?);
    let identifier = level_at(t) + 4 + usize::from(t.v5());
    turned_away(t, [identifier + 4, identifier + 1, identifier, level_at(t) + 2].map(|end| good.clone().truncate(end)))
}

/// Overlong, surrogate, above U+10FFFF, cut off, no UTF-8 at all: five bytes each.
pub(super) const NOT_UTF8: [&[u8; 5]; 5] =
    [b"a\xC0\xAFbc", b"a\xED\xA0\x80b", b"\xF4\x90\x80\x80a", b"abc\xE2\x82", b"a\xFFbcd"];

/// These bytes in place of as many, `behind` bytes before the end.
pub(super) fn spoilt(mut bytes: Vec<u8>, behind: usize, bad: &[u8]) -> Forged {
    let end = bytes.len() - behind;
    bytes[end - bad.len()..end].copy_from_slice(bad);
    Forged::from_frame(&bytes)
}

/// 3.1.1 has two rules for it: close without CONNACK (3.1.4-1), or reject the identifier by return code 2 (3.1.3-9).
fn identifier_not_utf8(t: &Testbed) -> Outcome {
    let connect = stranger(t).wire(t)?;
    let bad = NOT_UTF8.iter().copied().chain([b"ab\0cd"]).map(|bad| spoilt(connect.clone(), 0, bad));
    turned_away_or(t, bad, ClientIdentifierNotValid)
}

/// Return code 4 of 3.1.1 means just that: the data in the user name or password is malformed.
fn user_name_not_utf8(t: &Testbed) -> Outcome {
    let connect = t.connect("bad").login(Some("username"), None).wire(t)?;
    turned_away_or(t, NOT_UTF8.map(|bad| spoilt(connect.clone(), 0, bad)), BadUserNameOrPassword)
}

/// The will topic comes before the empty payload of the will.
fn will_topic_not_utf8(t: &Testbed) -> Outcome {
    t.needs(Wills)?;
    let connect = stranger(t).will(will("spoilt", "")).wire(t)?;
    turned_away(t, NOT_UTF8.map(|bad| spoilt(connect.clone(), 2, bad)))
}

/// No sentence prescribes a reaction, and whether with a return code, and which, is left open; so a server that accepts is
/// told in a remark. It must not publish such a will: no decoder takes that, and names the clause.
fn wildcard_in_will_topic(t: &Testbed) -> Outcome {
    t.needs(Wills)?;
    t.needs(Wildcards)?;
    let watcher = t.join("watcher")?;
    watcher.subscribe("gone/#", AtMostOnce)?;
    t.join_with("good", &t.connect("good").will(will("gone/x", "good")))?.leave()?;
    let connect = stranger(t).will(will("gone/x", "bad")).wire(t)?;
    for bad in [b"#", b"+"] {
        let client = t.dial("bad")?;
        client.send_raw(&spoilt(connect.clone(), 5, bad).bytes())?;
        let reasons = [ClientIdentifierNotValid, ServerUnavailable, BadUserNameOrPassword, NotAuthorized];
        match client.turned_away(&reasons) {
            Err(Stop::Deviation(Deviation { clause: None, expected, came })) => t.remark(None, expected, came),
            other => other?,
        }
        client.vanish()?;
    }
    t.join("writer")?.publish(publish("gone/x", "fence"))?;
    watcher.hears(["fence"])
}

/// Each CONNECT with exactly these properties is turned away.
pub(super) fn properties(t: &Testbed, lists: &[&[Property<'_>]]) -> Outcome {
    let good = Forged::from_frame(&t.connect("bad").wire(t)?);
    turned_away(t, lists.iter().map(|list| good.clone().properties(listed(list).view().as_bytes())))
}

/// These properties in wire form.
pub(super) fn listed(properties: &[Property<'_>]) -> PropertyBuf {
    properties.iter().fold(PropertyBuf::new(), |list, property| list.with(*property))
}

fn repeated_property(t: &Testbed) -> Outcome {
    properties(
        t,
        &[
            &[SessionExpiryInterval(0), SessionExpiryInterval(0)],
            &[RequestProblemInformation(1), RequestProblemInformation(1)],
            &[RequestResponseInformation(0), RequestResponseInformation(1)],
            &[ReceiveMaximum(10), ReceiveMaximum(10)],
            &[TopicAliasMaximum(5), TopicAliasMaximum(6)],
            &[MaximumPacketSize(1000), MaximumPacketSize(1000)],
        ],
    )
}

fn misplaced_will_property(t: &Testbed) -> Outcome {
    t.needs(Wills)?;
    let connect = t.connect("bad").will(will("gone", "bad"));
    t.join_with("good", &connect)?.leave()?;
    let good = Forged::from_frame(&connect.wire(t)?);
    let lists: [&[Property<'_>]; 5] = [
        &[TopicAlias(1)],
        &[ReceiveMaximum(10)],
        &[WillDelayInterval(0), WillDelayInterval(0)],
        &[PayloadFormatIndicator(0), PayloadFormatIndicator(0)],
        &[MessageExpiryInterval(60), MessageExpiryInterval(60)],
    ];
    turned_away(t, lists.map(|list| good.clone().will_properties(listed(list).view().as_bytes())))
}

fn unknown_property(t: &Testbed) -> Outcome {
    let good = Forged::from_frame(&t.connect("bad").wire(t)?);
    turned_away(t, [[0x00, 0], [0x04, 0], [0x7F, 0]].map(|raw| good.clone().properties(&raw)))
}

//! CONNECT packets that must be turned away for what a row of bytes cannot say; the rows are in [`super::bad_bytes`], and
//! good ones in chapter [`super::connect`]. In each case a good CONNECT is accepted first, so that a bad one is not turned
//! away for some other reason.

use harness::case::{Case, Deviation, Outcome, Stop};

use super::expect::Expected;
use super::script::{ConnectScript, Script, publish, subscribe, will};
use super::supports::Capability::{Wildcards, Wills};
use super::testbed::Testbed;
use super::words::code;
use crate::forge::Forged;
use crate::packet::ReasonCode::{
    BadUserNameOrPassword, ClientIdentifierNotValid, MalformedPacket, NotAuthorized, ProtocolError, ServerUnavailable,
    Success, UnsupportedProtocolVersion,
};
use crate::packet::{Packet, PacketType, Property, PropertyBuf, QoS::AtMostOnce, ReasonCode, Version};

/// The cases.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("connect/wrong-protocol-name", wrong_protocol_name)
        .claim("a client that names another protocol is not served")
        .covers(&["mqtt5:3.1.2-1", "mqtt311:3.1.2-1", "mqtt31:diff-001", "mqtt31:diff-003"]),
    Case::new("connect/unsupported-protocol-level", unsupported_protocol_level)
        .claim("a protocol level that does not exist is turned away, by 3.1.1 with return code 1")
        .covers(&["mqtt5:3.1.2-2", "mqtt311:3.1.2-2", "mqtt31:diff-002", "mqtt31:diff-003"]),
    Case::new("connect/refused-does-nothing", refused_does_nothing)
        .claim("what comes behind a CONNECT that is turned away is not processed")
        .covers(&["mqtt5:3.1.4-6", "mqtt311:3.1.4-5"]),
    Case::new("connect/empty-identifier-is-turned-away", empty_identifier_is_turned_away)
        .claim(
            "an empty client identifier is refused with return code 2: in 3.1 always, in 3.1.1 without clean session",
        )
        .covers(&["mqtt311:3.1.3-8", "mqtt311:3.2.2-5", "mqtt311:3.2.2-4", "mqtt31:diff-005", "mqtt31:diff-018"])
        .exact_names(),
    Case::new("connect/login-missing-in-3.1", login_missing_in_31)
        .claim("3.1 takes a CONNECT that ends before the user name or password its flags announce")
        .covers(&["mqtt31:diff-010"]),
    Case::new("connect/wildcard-in-will-topic", wildcard_in_will_topic)
        .claim("a CONNECT with a wildcard in its will topic is turned away")
        .covers(&["mqtt311:ext-038"]),
];

/// How a CONNECT that is not as it should be may be answered: 5.0 and 3.1 let the server say so, 3.1.1 does not.
pub(super) fn format_error(t: &Testbed) -> &'static [ReasonCode] {
    match t.version() {
        Version::V5 => &[MalformedPacket, ProtocolError],
        Version::V311 => &[],
        Version::V31 => ANY,
    }
}

/// Whatever CONNACK may say before 5.0.
const ANY: &[ReasonCode] =
    &[UnsupportedProtocolVersion, ClientIdentifierNotValid, ServerUnavailable, BadUserNameOrPassword, NotAuthorized];

/// What became of a CONNECT that is not as it should be. 3.1 only recommends to end the connection then, whatever is wrong.
pub(super) fn judged(t: &Testbed, outcome: Outcome) -> Outcome {
    match (t.version(), outcome) {
        (Version::V31, Err(Stop::Deviation(Deviation { clause: None, expected, came }))) => {
            t.remark(Some("mqtt31:diff-003"), expected, came);
            Ok(())
        }
        (_, outcome) => outcome,
    }
}

/// A good CONNECT is accepted, and each of these is turned away.
pub(super) fn turned_away(t: &Testbed, bad: impl IntoIterator<Item = Forged>) -> Outcome {
    t.join("good")?.leave()?;
    for forged in bad {
        let client = t.dial("bad")?;
        client.send_raw(&forged.bytes())?;
        judged(t, client.turned_away(format_error(t)))?;
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

/// Not served: closed, whatever comes before. How CONNACK looks to a client of no known protocol nobody says.
fn not_served(t: &Testbed, forged: Forged) -> Outcome {
    let client = t.dial("bad")?;
    client.send_raw(&forged.bytes())?;
    judged(t, client.closes_by(t.now() + t.timing().answer).map(drop))
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

/// Which CONNECT is turned away is another case's affair, so the first is taken that is. The offender's connection is closed
/// when "fence" is published, so nothing of it is still to come.
fn refused_does_nothing(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let reserved = flags(t, &t.connect("bad"), own_flags(t) | 0x01)?;
    let level = Forged::from_frame(&t.connect("bad").wire(t)?).patch(level_at(t), &[100]);
    // What it says is another case's affair, too.
    let reasons = &[ANY, &[MalformedPacket, ProtocolError]].concat();
    for connect in [reserved, level] {
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
        let client = t.knock(|| t.dial_with("nameless", t.connect("nameless").client_id("").clean(*clean)))?;
        client.expect(refusal(t, ClientIdentifierNotValid))?;
        client.closes_by(t.now() + t.timing().answer)?;
    }
    Ok(())
}

fn login_missing_in_31(t: &Testbed) -> Outcome {
    t.join("good")?.ping()?;
    for flag in [0x82, 0xC2] {
        let client = t.knock(|| {
            let client = t.dial("client")?;
            client.send_raw(&flags(t, &stranger(t), flag)?.bytes())?;
            Ok(client)
        })?;
        let served = [Success, BadUserNameOrPassword, NotAuthorized];
        let connack = Expected::new(
            "CONNACK, accepted or refused for the missing login",
            move |packet| matches!(packet, Packet::ConnAck(connack) if served.contains(&connack.reason)),
        );
        client.expect(connack)?;
        client.vanish()?;
    }
    Ok(())
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
    // The topic's last character comes before the payload of the will.
    let at = connect.len() - 2 - "bad".len() - 1;
    for wildcard in *b"#+" {
        let mut bad = connect.clone();
        bad[at] = wildcard;
        let client = t.dial("bad")?;
        client.send_raw(&bad)?;
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

/// These properties in wire form.
pub(super) fn listed(properties: &[Property<'_>]) -> PropertyBuf {
    properties.iter().fold(PropertyBuf::new(), |list, property| list.with(*property))
}

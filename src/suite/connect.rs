//! Setting up a connection: 3.1 and 3.2 of both standards. CONNECT packets that must be turned away are in
//! [`super::bad_connect`], authentication in [`super::auth`].

use std::time::Duration;

use harness::case::{Case, Deviation, Outcome, Stop};

use super::disconnect::ended_without_disconnect;
use super::expect::{Expected, accepted as acknowledged, goodbye, pingresp, suback, unsuback, welcome};
use super::peer::Peer;
use super::script::{PingReq, Script, pubcomp, publish, pubrec, pubrel, subscribe, unsubscribe, will};
use super::supports::Capability::{AssignedIdentifiers, ConnectTimeout, Sessions, Wills};
use super::testbed::{Testbed, as_step};
use super::words::{code, words};
use crate::packet::Property::{
    MaximumPacketSize, ReceiveMaximum, RequestProblemInformation, RequestResponseInformation, SessionExpiryInterval,
    TopicAliasMaximum, UserProperty,
};
use crate::packet::{
    Packet,
    PacketType::{self, PubAck, PubComp, PubRec, PubRel},
    PropertyId,
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("connect/accepted", accepted)
        .claim("the first answer to a CONNECT is CONNACK with code 0 and, for a clean session, session present 0")
        .covers(&[
            "mqtt5:3.1.4-5",
            "mqtt5:3.2.0-1",
            "mqtt5:3.2.2-1",
            "mqtt5:3.2.2-2",
            "mqtt311:3.1.4-4",
            "mqtt311:3.2.0-1",
            "mqtt311:3.2.2-1",
            "mqtt311:ext-048",
            "mqtt31:diff-001",
        ]),
    Case::new("connect/fields-are-read-in-order", fields_are_read_in_order)
        .claim("each field of a full CONNECT is taken for what it is: identifier, will topic, will message, login")
        .covers(&["mqtt311:3.1.3-1", "mqtt5:3.1.2-7"]),
    Case::new("connect/session-present", session_present)
        .claim("session present says whether the server resumes a session of this client identifier")
        .covers(&[
            "mqtt5:3.2.2-2",
            "mqtt5:3.2.2-3",
            "mqtt5:3.1.2-6",
            "mqtt311:3.2.2-1",
            "mqtt311:3.2.2-2",
            "mqtt311:3.2.2-3",
        ]),
    Case::new("connect/no-session-present-in-3.1", session_present)
        .claim("CONNACK of 3.1 has no session present flag, also when a session is resumed")
        .covers(&["mqtt31:diff-017"]),
    Case::new("connect/empty-identifier", empty_identifier)
        .claim("clients with an empty client identifier get one each, and in 5.0 are told which")
        .covers(&["mqtt5:3.1.3-6", "mqtt5:3.1.3-7", "mqtt5:3.2.2-16", "mqtt311:3.1.3-6"])
        .exact_names(),
    Case::new("connect/assigned-identifier-names-the-session", assigned_identifier_names_the_session)
        .claim("the session of a client with an assigned identifier can be resumed under that identifier")
        .covers(&["mqtt5:3.1.3-7"])
        .exact_names(),
    Case::new("connect/identifiers-every-server-accepts", identifiers_every_server_accepts)
        .claim("client identifiers of 1 to 23 digits and letters are accepted")
        .covers(&["mqtt5:3.1.3-5", "mqtt311:3.1.3-5", "mqtt31:diff-004"])
        .exact_names()
        .alone(),
    Case::new("connect/long-identifiers", long_identifiers)
        .claim("client identifiers of 24 and of 65,535 bytes that differ in the last byte are refused, or are two clients")
        .covers(&["mqtt5:ext-085", "mqtt5:3.1.3-2", "mqtt5:3.1.3-8", "mqtt311:ext-025", "mqtt311:3.1.3-2", "mqtt311:3.1.3-9"])
        .exact_names(),
    Case::new("connect/identifier-too-long-for-3.1", identifier_too_long_for_31)
        .claim("3.1 refuses a client identifier of more than 23 characters with return code 2")
        .covers(&["mqtt31:diff-004"])
        .exact_names(),
    Case::new("connect/password-without-user-name-in-5.0", password_without_user_name)
        .claim("a CONNECT with a password and no user name is no error of its own in 5.0: it is accepted or not authorised")
        .covers(&["mqtt5:ext-084"]),
    Case::new("connect/is-not-awaited-for-ever", is_not_awaited_for_ever)
        .claim("a connection without a CONNECT, or with half of one, is closed when the server's time-out is over")
        .covers(&["mqtt5:ext-071", "mqtt311:ext-019"]),
    Case::new("connect/identifiers-are-compared-exactly", identifiers_are_compared_exactly)
        .claim("client identifiers that differ in case are two clients")
        .covers(&["mqtt5:3.1.3-2", "mqtt311:3.1.3-2"]),
    Case::new("connect/takeover-ends-the-older-connection", takeover_ends_the_older_connection)
        .claim("a CONNECT with the identifier of a connected client ends the older connection")
        .covers(&["mqtt5:3.1.4-3", "mqtt311:3.1.4-2", "mqtt31:diff-013"]),
    Case::new("connect/takeover-is-explained", takeover_is_explained)
        .claim("a client that is taken over is told so by DISCONNECT 0x8E")
        .covers(&["mqtt5:ext-225"]),
    Case::new("connect/takeover-is-silent-before-5.0", takeover_is_silent_before_50)
        .claim("before 5.0 a client that is taken over gets no DISCONNECT")
        .covers(&["mqtt311:ext-105"]),
    Case::new("connect/pipelined", pipelined)
        .claim("packets sent right behind CONNECT, without waiting for CONNACK, are processed, and CONNACK comes first")
        .covers(&["mqtt5:ext-072", "mqtt5:ext-006", "mqtt5:3.2.0-1", "mqtt311:ext-022"]),
    Case::new("connect/byte-by-byte", byte_by_byte)
        .claim("a packet that arrives byte by byte is a packet like any other")
        .covers(&["mqtt5:ext-006", "mqtt311:ext-014"]),
    Case::new("connect/properties-in-any-order", properties_in_any_order)
        .claim("the properties of CONNECT may come in any order")
        .covers(&["mqtt5:ext-019", "mqtt5:3.1.4-5"]),
    Case::new("connect/acknowledgement-is-legal", acknowledgement_is_legal)
        .claim("the properties of CONNACK are among those it may have, once each, with legal values")
        .covers(&[
            "mqtt5:ext-022",
            "mqtt5:ext-041",
            "mqtt5:ext-042",
            "mqtt5:ext-048",
            "mqtt5:ext-049",
            "mqtt5:ext-054",
            "mqtt5:ext-055",
            "mqtt5:ext-057",
            "mqtt5:ext-058",
            "mqtt5:ext-059",
            "mqtt5:ext-064",
            "mqtt5:ext-065",
            "mqtt5:ext-066",
            "mqtt5:ext-067",
            "mqtt5:ext-068",
            "mqtt5:ext-136",
            "mqtt5:4.12.0-6",
            "mqtt5:ext-224",
        ]),
    Case::new("connect/response-information-only-on-request", response_information_only_on_request)
        .claim("CONNACK has no response information unless the client asked for it")
        .covers(&["mqtt5:3.1.2-28", "mqtt5:ext-219"]),
    Case::new("connect/problem-information-declined", problem_information_declined)
        .claim(
            "to a client that declines problem information no acknowledgement gives a reason string or user property",
        )
        .covers(&["mqtt5:3.1.2-29"]),
];

fn accepted(t: &Testbed) -> Outcome {
    let (client, _) = t.welcomed("client", &t.connect("client"), Some(false))?;
    client.still_served()
}

fn fields_are_read_in_order(t: &Testbed) -> Outcome {
    t.needs(Wills)?;
    let watcher = t.join("watcher")?;
    watcher.subscribe("gone", AtMostOnce)?;
    let (client, _) = t.welcomed("client", &t.connect("client").will(will("gone", "client")), Some(false))?;
    client.still_served()?;
    client.vanish()?;
    watcher.hears(["client"])
}

/// The subscription is for servers that call no session present that has none, which is another case's affair.
fn session_present(t: &Testbed) -> Outcome {
    t.needs(Sessions)?;
    let resumed = t.version() != Version::V31;
    let lasting = || t.connect("client").clean(false).with(SessionExpiryInterval(300));
    for (role, connect, present) in [
        ("guest", t.connect("guest"), false),
        ("client", lasting(), false),
        ("client", lasting(), resumed),
        ("client", lasting(), resumed),
        ("client", t.connect("client"), false),
    ] {
        let (client, came) = t.welcomed(role, &connect, Some(present))?;
        // 3.1 does not say what a reader does with the byte, so the codec passes over it.
        let flags = came.packet.as_bytes().get(2).copied();
        let reserved = t.version() == Version::V31;
        t.judge(!reserved || flags == Some(0), "CONNACK with 0 in its reserved byte", || format!("{flags:02X?}"))?;
        client.subscribe("door", t.supports().lasting_qos())?;
        client.leave()?;
    }
    Ok(())
}

/// To refuse an empty identifier is legal.
fn empty_identifier(t: &Testbed) -> Outcome {
    t.needs(AssignedIdentifiers)?;
    let mut given = Vec::new();
    let mut clients = Vec::new();
    for role in ["first", "second"] {
        let client = t.knock(|| t.dial_with(role, t.connect(role).client_id("")))?;
        let refusal = refusal(t, ReasonCode::ClientIdentifierNotValid);
        let came = client.expect(welcome(Some(false)).or(refusal))?;
        let Packet::ConnAck(connack) = came.packet.packet() else { return Ok(()) };
        if connack.reason.is_error() {
            return Err(Stop::Skip(format!("needs {}", AssignedIdentifiers.words())));
        }
        given.extend(connack.properties.assigned_client_identifier().map(String::from));
        clients.push(client);
    }
    clients.iter().try_for_each(Peer::still_served)?;
    if !t.v5() {
        return Ok(());
    }
    let distinct = matches!(&given[..], [first, second] if first != second && !first.is_empty() && !second.is_empty());
    t.judge(distinct, "an assigned client identifier for each of the two", || format!("{given:?}"))
}

/// CONNACK that refuses with this code.
fn refusal(t: &Testbed, reason: ReasonCode) -> Expected {
    Expected::new(
        format!("CONNACK {}", code(reason, PacketType::ConnAck, t.version())),
        move |packet| matches!(packet, Packet::ConnAck(connack) if connack.reason == reason),
    )
}

fn assigned_identifier_names_the_session(t: &Testbed) -> Outcome {
    t.needs(AssignedIdentifiers)?;
    t.needs(Sessions)?;
    let lasting = t.connect("client").clean(false).with(SessionExpiryInterval(60));
    let client = t.knock(|| t.dial_with("client", lasting.clone().client_id("")))?;
    let came =
        as_step("connecting", client.expect(welcome(None).or(refusal(t, ReasonCode::ClientIdentifierNotValid))))?;
    let Packet::ConnAck(connack) = came.packet.packet() else { return Ok(()) };
    if connack.reason.is_error() {
        return Err(Stop::Skip(format!("needs {}", AssignedIdentifiers.words())));
    }
    let given = connack.properties.assigned_client_identifier().map(String::from);
    let Some(given) = given else {
        return t.judge(false, "an assigned client identifier", || "none".into());
    };
    client.subscribe("door", AtMostOnce)?;
    client.vanish()?;
    t.welcomed("client", &lasting.client_id(&given), Some(true)).map(drop)
}

fn identifiers_every_server_accepts(t: &Testbed) -> Outcome {
    for id in ["a", "9", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"] {
        let (client, _) = t.welcomed("client", &t.connect("client").client_id(id), Some(false))?;
        client.ping()?;
        client.leave()?;
    }
    Ok(())
}

/// A server may have a limit of its own, and then says so by the code for it.
fn long_identifiers(t: &Testbed) -> Outcome {
    t.join("short")?.leave()?;
    let identifier_refused = || refusal(t, ReasonCode::ClientIdentifierNotValid);
    for length in [24, usize::from(u16::MAX)] {
        let id = |last: char| format!("{:x<width$}{last}", t.client_id("long"), width = length - 1);
        let mut clients = Vec::new();
        for last in ['a', 'b'] {
            let role = format!("{length} bytes, {last} at the end");
            let client = t.knock(|| t.dial_with(&role, t.connect("long").client_id(&id(last))))?;
            let came = match client.expect(welcome(Some(false)).or(identifier_refused())) {
                // 5.0 asks for no CONNACK, and who reads no string so long has not come as far as to reject an identifier.
                Err(Stop::Deviation(Deviation { clause: None, .. })) if t.v5() || length > 24 => break,
                other => other?,
            };
            if matches!(came.packet.packet(), Packet::ConnAck(connack) if connack.reason.is_error()) {
                client.closes_by(t.now() + t.timing().answer)?;
                break;
            }
            clients.push(client);
        }
        clients.iter().try_for_each(Peer::still_served)?;
    }
    Ok(())
}

/// The limit is one on clients, too, and a server that takes more harms nobody: it is told so, no more.
fn identifier_too_long_for_31(t: &Testbed) -> Outcome {
    t.join("short")?.leave()?;
    for length in [24, 100] {
        let id = format!("{:x<length$}", t.client_id("long"));
        let client = t.knock(|| t.dial_with(&format!("{length} characters"), t.connect("long").client_id(&id)))?;
        let refused = refusal(t, ReasonCode::ClientIdentifierNotValid);
        let expected = refused.words.clone();
        let came = client.expect(refused.or(welcome(None)))?;
        if matches!(came.packet.packet(), Packet::ConnAck(connack) if connack.reason.is_error()) {
            client.closes_by(t.now() + t.timing().answer)?;
        } else {
            t.remark(None, expected, format!("an identifier of {length} characters was accepted"));
            client.leave()?;
        }
    }
    Ok(())
}

fn password_without_user_name(t: &Testbed) -> Outcome {
    t.join("good")?.leave()?;
    let client = t.knock(|| t.dial_with("client", t.connect("client").login(None, Some(b"sesame"))))?;
    let [wrong, denied] =
        [ReasonCode::BadUserNameOrPassword, ReasonCode::NotAuthorized].map(|reason| refusal(t, reason));
    match client.expect(welcome(Some(false)).or(wrong).or(denied))?.packet.packet() {
        Packet::ConnAck(connack) if connack.reason == ReasonCode::Success => client.still_served(),
        _ => Ok(()),
    }
}

/// Twice the time-out, for a server looks at its timers every now and then. No time-out is in the standard, so only one
/// that the server is known to have is waited for.
fn is_not_awaited_for_ever(t: &Testbed) -> Outcome {
    t.needs(ConnectTimeout)?;
    let seconds = t.supports().connect_timeout.unwrap_or_default();
    let (mute, slow) = (t.dial("mute")?, t.dial("slow")?);
    let connect = t.connect("slow").wire(t)?;
    slow.send_raw(&connect[..connect.len() / 2])?;
    let deadline = t.now() + 2 * Duration::from_secs(seconds.into());
    mute.closes_by(deadline)?;
    slow.closes_by(deadline)?;
    t.join("other")?.still_served()
}

fn identifiers_are_compared_exactly(t: &Testbed) -> Outcome {
    let small = t.join("twin")?;
    let large = t.join_with("TWIN", &t.connect("TWIN"))?;
    large.still_served()?;
    small.still_served()
}

fn takeover_ends_the_older_connection(t: &Testbed) -> Outcome {
    let older = t.join("client")?;
    older.ping()?;
    let (newer, _) = t.welcomed("client", &t.connect("client"), None)?;
    older.refused(&[ReasonCode::SessionTakenOver])?;
    newer.still_served()
}

fn takeover_is_explained(t: &Testbed) -> Outcome {
    let older = t.join("client")?;
    let _newer = t.join("client")?;
    older.expect(goodbye(&[ReasonCode::SessionTakenOver])).map(drop)
}

fn takeover_is_silent_before_50(t: &Testbed) -> Outcome {
    let older = t.join("client")?;
    older.ping()?;
    let newer = t.join("client")?;
    newer.ping()?;
    if older.closes_by(t.now() + t.timing().answer).is_err() {
        return Err(Stop::Skip("needs a server that ends the older connection at a takeover".into()));
    }
    ended_without_disconnect(&older)
}

fn pipelined(t: &Testbed) -> Outcome {
    let packets: [&dyn Script; 4] =
        [&t.connect("client"), &subscribe(1).to("door", AtMostOnce), &publish("door", "open"), &PingReq];
    let bytes = packets.iter().map(|packet| packet.wire(t)).collect::<Result<Vec<_>, _>>()?.concat();
    let client = t.knock(|| {
        let client = t.dial("client")?;
        client.send_raw(&bytes)?;
        Ok(client)
    })?;
    client.expect(welcome(Some(false)))?;
    client.expect_all([suback(1, &[Some(0)]), pingresp()])?;
    client.hears(["open"])
}

fn byte_by_byte(t: &Testbed) -> Outcome {
    let client = t.knock(|| {
        let client = t.dial("client")?;
        t.connect("client").wire(t)?.iter().try_for_each(|byte| client.send_raw(&[*byte]))?;
        Ok(client)
    })?;
    client.expect(welcome(Some(false)))?;
    client.subscribe("door", AtMostOnce)?;
    for byte in publish("door", "open").wire(t)? {
        client.send_raw(&[byte])?;
    }
    client.hears(["open"])
}

fn properties_in_any_order(t: &Testbed) -> Outcome {
    let mut properties = [
        SessionExpiryInterval(0),
        ReceiveMaximum(10),
        MaximumPacketSize(100_000),
        TopicAliasMaximum(5),
        RequestResponseInformation(0),
        UserProperty("a", "1"),
        RequestProblemInformation(1),
        UserProperty("a", "2"),
    ];
    for _ in 0..2 {
        let connect = properties.iter().fold(t.connect("client"), |connect, property| connect.with(*property));
        let (client, _) = t.welcomed("client", &connect, Some(false))?;
        client.ping()?;
        client.leave()?;
        properties.reverse();
    }
    Ok(())
}

/// The codec refuses a CONNACK with wrong properties, names the clause, and so ends the play.
fn acknowledgement_is_legal(t: &Testbed) -> Outcome {
    let (client, came) = t.welcomed("client", &t.connect("client"), Some(false))?;
    let Packet::ConnAck(connack) = came.packet.packet() else { return Ok(()) };
    if let Some(reference) = connack.properties.server_reference() {
        t.remark(Some("mqtt5:ext-224"), "no server reference in a CONNACK that accepts", reference);
    }
    let method = connack.properties.authentication_method();
    t.judge(method.is_none(), "no authentication method in CONNACK, as there was none in CONNECT", || {
        method.unwrap_or_default().into()
    })?;
    client.still_served()
}

fn response_information_only_on_request(t: &Testbed) -> Outcome {
    let plain = t.connect("client");
    let declined = plain.clone().with(RequestResponseInformation(0));
    let asked = plain.clone().with(RequestResponseInformation(1));
    for (connect, may) in [(plain, false), (declined, false), (asked, true)] {
        let (client, came) = as_step("connecting", t.welcomed("client", &connect, None))?;
        let came = came.packet.packet().properties().response_information().map(String::from);
        t.judge(may || came.is_none(), "no response information", || came.unwrap_or_default())?;
        client.ping()?;
        client.leave()?;
    }
    Ok(())
}

/// Failures are what a server explains. Whether and how it answers acknowledgements that belong to nothing is another case's
/// affair, so they come last, and what it says to them is looked through up to PINGRESP.
fn problem_information_declined(t: &Testbed) -> Outcome {
    const STRAY: u16 = 999;
    let client = t.join_with("client", &t.connect("client").with(RequestProblemInformation(0)))?;
    client.send(subscribe(1).to("door", AtMostOnce))?;
    client.expect(bare(suback(1, &[Some(0)])))?;
    client.send(unsubscribe(2, ["door"]))?;
    client.expect(bare(unsuback(2, 1)))?;
    if t.supports().carries(AtLeastOnce) {
        client.send(publish("nobody", "hears").at_least_once(3))?;
        client.expect(bare(acknowledged(PubAck, 3)))?;
    }
    if t.supports().carries(ExactlyOnce) {
        client.send(publish("nobody", "hears").exactly_once(4))?;
        client.expect(bare(acknowledged(PubRec, 4)))?;
        client.send(pubrel(4))?;
        client.expect(bare(acknowledged(PubComp, 4)))?;
        client.subscribe("door", ExactlyOnce)?;
        t.join("writer")?.publish(publish("door", "open").at(ExactlyOnce, 0))?;
        let open = client.delivery("the message")?;
        client.send(pubrec(open.id))?;
        client.expect(bare(acknowledged(PubRel, open.id)))?;
        client.send(pubcomp(open.id))?;
        for stray in [pubrel(STRAY), pubrec(STRAY)] {
            client.send(stray)?;
        }
    }
    if let (true, Some(topic)) = (t.supports().carries(AtLeastOnce), &t.supports().forbidden_topic) {
        client.send(publish(topic, "forbidden").exact().at_least_once(5))?;
    }
    if let Some(filter) = &t.supports().forbidden_filter {
        client.send(subscribe(6).to_exactly(filter, AtMostOnce))?;
    }
    client.send(unsubscribe(7, ["never"]))?;
    client.send(PingReq)?;
    match client.awaits(pingresp().or(Expected::new("", explains))) {
        Ok(came) => t.judge(!explains(&came.packet.packet()), "no reason string and no user property", || {
            words(&came.packet.packet(), t.version())
        }),
        // It may take what belongs to nothing for an error, and end the connection.
        Err(Stop::Deviation(_)) if t.ended(client.conn())? => Ok(()),
        Err(stop) => Err(stop),
    }
}

/// Without what a client of its own accord declines to be told.
fn bare(expected: Expected) -> Expected {
    Expected::new(format!("{} without reason string and user property", expected.words), move |packet| {
        (expected.accepts)(packet) && !explains(packet)
    })
}

/// Whether an acknowledgement tells more than its reason code.
fn explains(packet: &Packet<'_>) -> bool {
    let may = matches!(packet.packet_type(), PacketType::Publish | PacketType::ConnAck | PacketType::Disconnect);
    let told = |id| id == PropertyId::ReasonString || id == PropertyId::UserProperty;
    !may && packet.properties().iter().any(|property| told(property.id()))
}

//! Who may connect: credentials (3.1.4 of both standards) and enhanced authentication (4.12 of 5.0).
//!
//! The client's side of SCRAM-SHA-256 is written here from RFC 5802, so that no server is judged by its own arithmetic.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use harness::case::{Case, Deviation, Outcome, Stop};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::bad_connect::{listed, refusal, turned_away};
use super::expect::{Expected, accepted, answered, rejected, welcome};
use super::peer::Peer;
use super::script::{Script, auth, disconnect, publish, pubrel, subscribe};
use super::setting::Login;
use super::supports::Capability::{ForbiddenTopic, QoS1, QoS2, Scram};
use super::testbed::{Testbed, as_step};
use crate::forge::{Forged, frame};
use crate::packet::Property::{AuthenticationData, AuthenticationMethod, MaximumPacketSize, ReceiveMaximum};
use crate::packet::ReasonCode::{
    BadAuthenticationMethod, BadUserNameOrPassword, ContinueAuthentication, MalformedPacket, NotAuthorized,
    ProtocolError, ReAuthenticate, Success,
};
use crate::packet::{
    Packet,
    PacketType::{PubAck, PubComp, PubRec},
    Properties,
    QoS::AtMostOnce,
    ReasonCode, Version,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("auth/wrong-password-is-refused", wrong_password_is_refused)
        .claim("a client with a wrong password is turned away")
        .covers(&["mqtt5:3.1.4-2", "mqtt5:ext-182", "mqtt311:ext-020", "mqtt311:3.2.2-6"]),
    Case::new("auth/missing-login-is-refused", missing_login_is_refused)
        .claim("where user names are required a client without one is turned away")
        .covers(&["mqtt5:3.1.4-2", "mqtt5:ext-182", "mqtt311:ext-020"]),
    Case::new("auth/refused-client-takes-nothing-over", refused_client_takes_nothing_over)
        .claim("a client that is turned away for its password does not end the connection of the one it names")
        .covers(&["mqtt5:3.1.4-2", "mqtt311:ext-021"]),
    Case::new("auth/refusal-is-explained", refusal_is_explained)
        .claim("a client is told by the code of CONNACK that its user name or password is wrong")
        .covers(&["mqtt5:ext-228", "mqtt311:ext-050"]),
    Case::new("auth/login-may-be-empty", login_may_be_empty)
        .claim("an empty user name and an empty password are well-formed, whether or not they are accepted")
        .covers(&["mqtt311:ext-004"]),
    Case::new("auth/password-is-binary", password_is_binary)
        .claim("a password that is no UTF-8, or has 65,535 bytes, is well-formed, whether or not it is accepted")
        .covers(&["mqtt5:ext-014", "mqtt311:ext-040"]),
    Case::new("auth/forbidden-publish", forbidden_publish)
        .claim("a message to a topic its sender may not publish to is not delivered; it is acknowledged or ends the connection")
        .covers(&["mqtt5:ext-130", "mqtt5:ext-142", "mqtt5:3.4.2-1", "mqtt311:3.3.5-2", "mqtt31:diff-020"]),
    Case::new("auth/identifier-is-free-after-refusal", identifier_is_free_after_refusal)
        .claim("after PUBREC with an error code a PUBLISH with the same packet identifier is a new message")
        .covers(&["mqtt5:4.3.3-9", "mqtt5:ext-143", "mqtt5:3.5.2-1", "mqtt5:ext-230"]),
    Case::new("auth/unknown-method-is-refused", unknown_method_is_refused)
        .claim("a client that asks for an authentication method the server does not have is turned away")
        .covers(&["mqtt5:4.12.0-1", "mqtt5:3.2.2-7", "mqtt5:3.2.2-8", "mqtt5:ext-141"]),
    Case::new("auth/refusal-does-not-speak-of-the-session", refusal_does_not_speak_of_the_session)
        .claim("a CONNACK that refuses has session present 0, also where there is a session, and leaves that session alone")
        .covers(&["mqtt5:3.2.2-6"]),
    Case::new("auth/data-without-method", data_without_method)
        .claim("a CONNECT with authentication data but no authentication method is turned away")
        .covers(&["mqtt5:ext-079"]),
    Case::new("auth/repeated-property", repeated_property)
        .claim("a CONNECT with two authentication methods, or twice authentication data, is turned away")
        .covers(&["mqtt5:ext-043", "mqtt5:ext-044"]),
    Case::new("auth/packet-without-method-in-connect", packet_without_method_in_connect)
        .claim("an AUTH from a client whose CONNECT had no authentication method ends the connection")
        .covers(&["mqtt5:4.12.0-7", "mqtt5:ext-176"]),
    Case::new("auth/packet-without-method", packet_without_method)
        .claim("an AUTH without authentication method ends the connection")
        .covers(&["mqtt5:ext-177"]),
    Case::new("auth/packet-with-flags", packet_with_flags)
        .claim("an AUTH with flags in its fixed header ends the connection")
        .covers(&["mqtt5:3.15.1-1"]),
    Case::new("auth/scram-succeeds", scram_succeeds)
        .claim("SCRAM-SHA-256: a challenge by AUTH 0x18, and CONNACK with the method and the server's own proof")
        .covers(&["mqtt5:4.12.0-2", "mqtt5:4.12.0-5", "mqtt5:ext-180", "mqtt5:ext-033"]),
    Case::new("auth/scram-wrong-password", scram_wrong_password)
        .claim("SCRAM-SHA-256: a wrong proof is turned away, without DISCONNECT")
        .covers(&["mqtt5:4.12.0-4", "mqtt5:3.14.0-1"]),
    Case::new("auth/scram-other-method-midway", scram_other_method_midway)
        .claim("an AUTH with another method than CONNECT is turned away")
        .covers(&["mqtt5:4.12.0-5", "mqtt5:ext-176", "mqtt5:3.14.0-1"]),
    Case::new("auth/scram-servers-reason-code", scram_servers_reason_code)
        .claim("an AUTH with reason code 0x00, which is the server's, is turned away")
        .covers(&["mqtt5:3.15.2-1"]),
    Case::new("auth/scram-property-of-another-packet", scram_property_of_another_packet)
        .claim("an AUTH with a property that belongs to another packet is turned away")
        .covers(&["mqtt5:ext-033"]),
    Case::new("auth/scram-out-of-turn", scram_out_of_turn)
        .claim("an AUTH 0x18 when no exchange is under way ends the connection")
        .covers(&["mqtt5:ext-185"]),
    Case::new("auth/scram-fits-the-packet-size", scram_fits_the_packet_size)
        .claim("no reason string and no user property makes an AUTH larger than the client's maximum packet size")
        .covers(&["mqtt5:3.15.2-2", "mqtt5:3.15.2-3"]),
    Case::new("auth/scram-abandoned", scram_abandoned)
        .claim("a client may leave amid the exchange: its connection ends, and it gets no session")
        .covers(&["mqtt5:ext-181"]),
    Case::new("auth/scram-again-amid-traffic", scram_again_amid_traffic)
        .claim("messages go on, or wait, while a client authenticates again")
        .covers(&["mqtt5:ext-184"]),
    Case::new("auth/scram-again", scram_again)
        .claim("a client can authenticate again: AUTH 0x19, a challenge, and AUTH 0x00, while the connection serves on")
        .covers(&["mqtt5:ext-183", "mqtt5:ext-149", "mqtt5:4.12.0-5", "mqtt5:3.2.0-2"]),
    Case::new("auth/scram-again-with-wrong-password", scram_again_with_wrong_password)
        .claim("a client that fails to authenticate again is disconnected")
        .covers(&["mqtt5:4.12.1-2"]),
    Case::new("auth/scram-again-by-other-method", scram_again_by_other_method)
        .claim("a client that authenticates again by another method is disconnected")
        .covers(&["mqtt5:4.12.1-1"]),
];

/// What fits a client that may not connect.
const DENIED: &[ReasonCode] = &[BadUserNameOrPassword, NotAuthorized];

/// What fits an AUTH that must not be.
const WRONG: &[ReasonCode] = &[ProtocolError, MalformedPacket, BadAuthenticationMethod, NotAuthorized];

/// A user name whose password the target is sure to check.
fn known_user(t: &Testbed) -> Result<Login, Stop> {
    let own = t.login().filter(|_| !t.supports().anonymous && t.supports().passwords).cloned();
    let scram = || t.supports().scram.clone().map(|(username, password)| Login { username, password: password.into() });
    own.or_else(scram).ok_or_else(|| Stop::Skip("needs a user name whose password is checked".into()))
}

fn wrong_password_is_refused(t: &Testbed) -> Outcome {
    let Login { username, password } = known_user(t)?;
    t.join_with("good", &t.connect("good").login(Some(&username), Some(&password)))?.leave()?;
    for wrong in [Some(&b"not the password"[..]), Some(b""), None] {
        let client = t.dial("bad")?.patient();
        client.send(t.connect("bad").login(Some(&username), wrong))?;
        client.turned_away(DENIED)?;
    }
    Ok(())
}

fn missing_login_is_refused(t: &Testbed) -> Outcome {
    if t.supports().anonymous {
        return Err(Stop::Skip("needs a target that requires a user name".into()));
    }
    t.join("good")?.leave()?;
    let client = t.dial("bad")?.patient();
    client.send(t.connect("bad").login(None, None))?;
    client.turned_away(DENIED)
}

fn refused_client_takes_nothing_over(t: &Testbed) -> Outcome {
    let Login { username, password } = known_user(t)?;
    let client = t.join_with("client", &t.connect("client").login(Some(&username), Some(&password)))?;
    client.ping()?;
    let thief = t.dial("thief")?.patient();
    thief.send(t.connect("client").login(Some(&username), Some(b"not the password")))?;
    thief.turned_away(DENIED)?;
    client.still_served()
}

/// In 5.0 a server may close without CONNACK, so only a code that does not fit is a finding.
fn refusal_is_explained(t: &Testbed) -> Outcome {
    let Login { username, .. } = known_user(t)?;
    let client = t.dial("bad")?.patient();
    client.send(t.connect("bad").login(Some(&username), Some(b"not the password")))?;
    if t.v5() {
        return client.turned_away(DENIED);
    }
    client.expect(refusal(t, BadUserNameOrPassword).or(refusal(t, NotAuthorized))).map(drop)
}

/// What a server says to a login that is like any other shows whether it answers logins by CONNACK at all: it may close
/// instead. One that does must not close on `login` as on a packet that it cannot read.
fn is_well_formed(t: &Testbed, login: (&str, &[u8])) -> Outcome {
    let answer = |username: &str, password: &[u8]| {
        let connect = t.connect("client").login(Some(username), Some(password));
        let client = t.knock(|| {
            let client = t.dial("client")?.patient();
            client.send(&connect)?;
            Ok(client)
        })?;
        let denied = refusal(t, BadUserNameOrPassword).or(refusal(t, NotAuthorized));
        let came = client.expect(welcome(None).or(denied));
        // Nothing announces how long a CONNECT may be.
        if password.len() > 1_000 && t.came(client.conn()).is_empty() && client.closes_by(t.now()).is_ok() {
            return Err(Stop::Skip("needs a target that takes a CONNECT of 64 KiB".into()));
        }
        match came?.packet.packet() {
            Packet::ConnAck(connack) if connack.reason == Success => client.still_served()?,
            _ => {}
        }
        client.vanish()
    };
    match answer("nobody in particular", b"sesame") {
        Err(Stop::Deviation(_)) => Err(Stop::Skip("needs a target that answers a login by CONNACK".into())),
        usual => {
            usual?;
            answer(login.0, login.1)
        }
    }
}

fn login_may_be_empty(t: &Testbed) -> Outcome {
    is_well_formed(t, ("nobody", b""))?;
    is_well_formed(t, ("", b"sesame"))?;
    is_well_formed(t, ("", b""))
}

fn password_is_binary(t: &Testbed) -> Outcome {
    is_well_formed(t, ("nobody", b"\x00\xFF\xFE\xC0\x80\xED\xA0\x80"))?;
    is_well_formed(t, ("nobody", &[0xFF; u16::MAX as usize]))
}

fn forbidden_topic(t: &Testbed) -> Result<String, Stop> {
    t.needs(ForbiddenTopic)?;
    t.supports().forbidden_topic.clone().ok_or_else(|| Stop::Skip(format!("needs {}", ForbiddenTopic.words())))
}

/// 3.1 has only the acknowledgement. A message passed on would reach the reader before "fence".
fn forbidden_publish(t: &Testbed) -> Outcome {
    t.needs(QoS1)?;
    let topic = forbidden_topic(t)?;
    let reader = t.join("reader")?;
    reader.hear_everything()?;
    reader.subscribe_with(subscribe(1).to_exactly(&topic, AtMostOnce).to("door", AtMostOnce))?;
    let writer = t.join("writer")?;
    writer.send(publish(&topic, "forbidden").exact().at_least_once(1))?;
    match writer.expect(answered(PubAck, 1)) {
        Err(Stop::Deviation(_)) if t.version() != Version::V31 => drop(writer.closes_by(t.now() + t.timing().grace)?),
        other => drop(other?),
    }
    t.join("other")?.publish(publish("door", "fence"))?;
    reader.hears(["fence"])
}

fn identifier_is_free_after_refusal(t: &Testbed) -> Outcome {
    t.needs(QoS2)?;
    let topic = forbidden_topic(t)?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.send(publish(&topic, "forbidden").exact().exactly_once(7))?;
    match writer.expect(rejected(PubRec, 7)) {
        // A clause is named where what came is no legal PUBREC.
        Err(Stop::Deviation(Deviation { clause: None, .. })) => {
            return Err(Stop::Skip("needs a target that refuses a message by PUBREC".into()));
        }
        other => drop(other?),
    }
    writer.send(publish("door", "open").exactly_once(7))?;
    writer.expect(accepted(PubRec, 7))?;
    writer.send(pubrel(7))?;
    writer.expect(accepted(PubComp, 7))?;
    reader.hears(["open"])
}

fn unknown_method_is_refused(t: &Testbed) -> Outcome {
    t.join("good")?.leave()?;
    let client = t.dial("bad")?;
    client.send(t.connect("bad").with(AuthenticationMethod("no-such-method")).with(AuthenticationData(b"hello")))?;
    client.turned_away(&[BadAuthenticationMethod, NotAuthorized])
}

/// The codec refuses a CONNACK that says both, names the clause, and so ends the play.
fn refusal_does_not_speak_of_the_session(t: &Testbed) -> Outcome {
    let client = t.join_persistent("client")?;
    // Not every server calls a session present that has no subscription.
    client.subscribe("door", AtMostOnce)?;
    client.vanish()?;
    let client = t.dial("client")?;
    client.send(t.connect_persistent("client").with(AuthenticationMethod("no-such-method")))?;
    match client.turned_away(&[BadAuthenticationMethod, NotAuthorized]) {
        // A clause is named where what came is no legal CONNACK.
        Err(Stop::Deviation(Deviation { clause: None, .. })) => {
            return Err(Stop::Skip("needs a target that refuses unknown authentication methods".into()));
        }
        other => other?,
    }
    t.welcomed("client", &t.connect_persistent("client"), Some(true)).map(drop)
}

fn data_without_method(t: &Testbed) -> Outcome {
    let data = listed(&[AuthenticationData(b"hello")]);
    turned_away(t, [Forged::from_frame(&t.connect("bad").wire(t)?).properties(data.view().as_bytes())])
}

/// With two things wrong at once either may be named.
fn repeated_property(t: &Testbed) -> Outcome {
    t.join("good")?.leave()?;
    let (method, data) = (AuthenticationMethod(METHOD), AuthenticationData(b"n,,n=,r=nonce"));
    for twice in [listed(&[method, method]), listed(&[method, data, data])] {
        let client = t.dial("bad")?;
        let connect = Forged::from_frame(&t.connect("bad").wire(t)?).properties(twice.view().as_bytes());
        client.send_raw(&connect.bytes())?;
        client.turned_away(WRONG)?;
    }
    Ok(())
}

/// After a plain CONNECT each of these ends the connection.
fn after_plain_connect(t: &Testbed, bad: impl IntoIterator<Item = Vec<u8>>, reasons: &[ReasonCode]) -> Outcome {
    for bytes in bad {
        let client = t.join("client")?;
        client.ping()?;
        client.send_raw(&bytes)?;
        client.refused(reasons)?;
    }
    Ok(())
}

fn packet_without_method_in_connect(t: &Testbed) -> Outcome {
    let by = |reason| auth(reason).with(AuthenticationMethod(METHOD)).wire(t);
    after_plain_connect(t, [by(ContinueAuthentication)?, by(ReAuthenticate)?], WRONG)
}

fn packet_without_method(t: &Testbed) -> Outcome {
    after_plain_connect(t, [frame(0xF0, b""), frame(0xF0, b"\x19\0"), frame(0xF0, b"\x18\x04\x16\0\x01x")], WRONG)
}

fn packet_with_flags(t: &Testbed) -> Outcome {
    let good = Forged::from_frame(&auth(ContinueAuthentication).with(AuthenticationMethod(METHOD)).wire(t)?);
    after_plain_connect(t, [good.clone().flags(0x1).bytes(), good.flags(0x2).bytes()], WRONG)
}

/// The method of these cases.
const METHOD: &str = "SCRAM-SHA-256";

/// The client's first message without its header: whom it is about, and a nonce.
fn opening(username: &str) -> String {
    format!("n={},r=rOprNGfwEbeRWgbNEkqO", username.replace('=', "=3D").replace(',', "=2C"))
}

/// What the client answers to a challenge, and what the server must then say (RFC 5802, 3).
fn proof(username: &str, password: &str, challenge: &str) -> Result<(String, String), Stop> {
    let unreadable = || Stop::Inconclusive(format!("the challenge {challenge:?} is none of {METHOD}"));
    let part = |name| challenge.split(',').find_map(|part| part.strip_prefix(name)).ok_or_else(unreadable);
    let salt = BASE64.decode(part("s=")?).map_err(|_| unreadable())?;
    let rounds: u32 = part("i=")?.parse().map_err(|_| unreadable())?;
    let reply = format!("c=biws,r={}", part("r=")?);
    let whole = format!("{},{challenge},{reply}", opening(username));

    let salted: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, rounds);
    let client_key = keyed(&salted, b"Client Key");
    let signature = keyed(&Sha256::digest(client_key), whole.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
    let server = keyed(&keyed(&salted, b"Server Key"), whole.as_bytes());
    Ok((format!("{reply},p={}", BASE64.encode(proof)), format!("v={}", BASE64.encode(server))))
}

fn keyed(key: &[u8], text: &[u8]) -> [u8; 32] {
    // HMAC takes a key of any length.
    Hmac::<Sha256>::new_from_slice(key).map_or([0; 32], |mac| mac.chain_update(text).finalize().into_bytes().into())
}

/// The user that SCRAM knows.
fn user(t: &Testbed) -> Result<(String, String), Stop> {
    t.needs(Scram)?;
    t.supports().scram.clone().ok_or_else(|| Stop::Skip(format!("needs {}", Scram.words())))
}

/// Whether these properties name the method.
fn by_scram(properties: Properties<'_>) -> bool {
    properties.authentication_method() == Some(METHOD)
}

fn data(properties: Properties<'_>) -> String {
    String::from_utf8_lossy(properties.authentication_data().unwrap_or_default()).into_owned()
}

/// AUTH with this reason code and the method.
fn auth_packet(reason: ReasonCode) -> Expected {
    Expected::new(
        format!("AUTH {reason} with method {METHOD}"),
        move |packet| matches!(packet, Packet::Auth(auth) if auth.reason == reason && by_scram(auth.properties)),
    )
}

/// The challenge, which must come next.
fn challenge(client: &Peer<'_>) -> Result<String, Stop> {
    let came = client.expect(auth_packet(ContinueAuthentication))?;
    match came.packet.packet() {
        Packet::Auth(auth) => Ok(data(auth.properties)),
        _ => Err(Stop::Broken("what passed for AUTH is none".into())),
    }
}

/// AUTH with the method and this message.
fn message(reason: ReasonCode, text: &str) -> impl Script + use<> {
    auth(reason).with(AuthenticationMethod(METHOD)).with(AuthenticationData(text.as_bytes()))
}

/// A connection on which the client has spoken first, and the server has to go on.
fn begin<'t>(t: &'t Testbed, username: &str) -> Result<Peer<'t>, Stop> {
    let first = format!("n,,{}", opening(username));
    let connect = t.connect("client").login(None, None).with(AuthenticationMethod(METHOD));
    let connect = connect.with(AuthenticationData(first.as_bytes()));
    t.knock(|| t.dial_with("client", &connect))
}

/// A connection authenticated by SCRAM: a step.
fn authenticated(t: &Testbed) -> Result<Peer<'_>, Stop> {
    let (username, password) = user(t)?;
    let client = begin(t, &username)?;
    let (answer, _) = proof(&username, &password, &as_step("authenticating", challenge(&client))?)?;
    client.send(message(ContinueAuthentication, &answer))?;
    as_step("authenticating", client.expect(welcome(None)))?;
    Ok(client)
}

fn scram_succeeds(t: &Testbed) -> Outcome {
    let (username, password) = user(t)?;
    let client = begin(t, &username)?;
    let (answer, servers) = proof(&username, &password, &challenge(&client)?)?;
    client.send(message(ContinueAuthentication, &answer))?;
    let expected = format!("CONNACK, accepted, with method {METHOD} and data {servers:?}");
    client.expect(Expected::new(expected, move |packet| match packet {
        Packet::ConnAck(connack) => {
            connack.reason == Success && by_scram(connack.properties) && data(connack.properties) == servers
        }
        _ => false,
    }))?;
    client.still_served()
}

fn scram_wrong_password(t: &Testbed) -> Outcome {
    authenticated(t)?.leave()?;
    let (username, _) = user(t)?;
    let client = begin(t, &username)?;
    let (answer, _) = proof(&username, "not the password", &challenge(&client)?)?;
    client.send(message(ContinueAuthentication, &answer))?;
    client.turned_away(DENIED)
}

fn scram_other_method_midway(t: &Testbed) -> Outcome {
    let (username, password) = user(t)?;
    let client = begin(t, &username)?;
    let (answer, _) = proof(&username, &password, &as_step("authenticating", challenge(&client))?)?;
    let other = auth(ContinueAuthentication).with(AuthenticationMethod("SCRAM-SHA-1"));
    client.send(other.with(AuthenticationData(answer.as_bytes())))?;
    client.turned_away(WRONG)
}

fn scram_servers_reason_code(t: &Testbed) -> Outcome {
    let (username, password) = user(t)?;
    let client = begin(t, &username)?;
    let (answer, _) = proof(&username, &password, &as_step("authenticating", challenge(&client))?)?;
    let good = message(ContinueAuthentication, &answer).wire(t)?;
    client.send_raw(&Forged::from_frame(&good).patch(0, &[Success.code()]).bytes())?;
    client.turned_away(WRONG)
}

fn scram_property_of_another_packet(t: &Testbed) -> Outcome {
    let (username, password) = user(t)?;
    let client = begin(t, &username)?;
    let (answer, _) = proof(&username, &password, &as_step("authenticating", challenge(&client))?)?;
    let bad = listed(&[AuthenticationMethod(METHOD), AuthenticationData(answer.as_bytes()), ReceiveMaximum(10)]);
    let good = message(ContinueAuthentication, &answer).wire(t)?;
    client.send_raw(&Forged::from_frame(&good).properties(bad.view().as_bytes()).bytes())?;
    client.turned_away(WRONG)
}

fn scram_out_of_turn(t: &Testbed) -> Outcome {
    let client = authenticated(t)?;
    client.ping()?;
    client.send(message(ContinueAuthentication, "once more"))?;
    client.refused(WRONG)
}

/// The first exchange shows how large the challenge is without its ornaments, and that is all the second allows. A server
/// whose challenge does not fit even so may end the connection.
fn scram_fits_the_packet_size(t: &Testbed) -> Outcome {
    let (username, _) = user(t)?;
    let first = begin(t, &username)?;
    let came = as_step("authenticating", first.expect(auth_packet(ContinueAuthentication)))?;
    let Packet::Auth(challenge) = came.packet.packet() else { return Ok(()) };
    let bare = message(ContinueAuthentication, &data(challenge.properties)).wire(t)?.len();
    first.vanish()?;

    let second = t.dial("client")?;
    let first_message = format!("n,,{}", opening(&username));
    let connect = t.connect("client").login(None, None).with(AuthenticationMethod(METHOD));
    let limit = u32::try_from(bare).unwrap_or(u32::MAX);
    second.send(connect.with(AuthenticationData(first_message.as_bytes())).with(MaximumPacketSize(limit)))?;
    match second.expect(auth_packet(ContinueAuthentication)) {
        Ok(came) => {
            let size = came.packet.as_bytes().len();
            t.judge(size <= bare, format!("an AUTH of at most {bare} bytes"), || format!("one of {size} bytes"))
        }
        Err(Stop::Deviation(Deviation { clause: None, .. })) => second.closes_by(t.now() + t.timing().answer).map(drop),
        Err(other) => Err(other),
    }
}

fn scram_abandoned(t: &Testbed) -> Outcome {
    let (username, _) = user(t)?;
    let client = begin(t, &username)?;
    as_step("authenticating", challenge(&client))?;
    client.send(disconnect())?;
    client.turned_away(&[])?;
    t.welcomed("client", &t.connect_persistent("client"), Some(false)).map(drop)
}

/// What is acknowledged must arrive; when is open.
fn scram_again_amid_traffic(t: &Testbed) -> Outcome {
    t.needs(QoS1)?;
    let (username, password) = user(t)?;
    let (client, challenge) = begin_again(t, &username)?;
    let writer = t.join("writer")?;
    writer.subscribe("gate", AtMostOnce)?;
    client.send(publish("gate", "out").at_least_once(7))?;
    let (answer, _) = proof(&username, &password, &challenge)?;
    client.send(message(ContinueAuthentication, &answer))?;
    client.expect_all([accepted(PubAck, 7), auth_packet(Success)])?;
    writer.hears(["out"])?;
    client.still_served()
}

/// Begins to authenticate again. A server may decline to.
fn begin_again<'t>(t: &'t Testbed, username: &str) -> Result<(Peer<'t>, String), Stop> {
    let client = authenticated(t)?;
    client.send(message(ReAuthenticate, &format!("n,,{}", opening(username))))?;
    let declined = Expected::new(
        "DISCONNECT with an error code",
        |packet| matches!(packet, Packet::Disconnect(disconnect) if disconnect.reason.is_error()),
    );
    let came = client.expect(auth_packet(ContinueAuthentication).or(declined))?;
    match came.packet.packet() {
        Packet::Auth(auth) => {
            let challenge = data(auth.properties);
            Ok((client, challenge))
        }
        _ => Err(Stop::Skip("needs a target that lets clients authenticate again".into())),
    }
}

fn scram_again(t: &Testbed) -> Outcome {
    let (username, password) = user(t)?;
    let (client, challenge) = begin_again(t, &username)?;
    let (answer, _) = proof(&username, &password, &challenge)?;
    client.send(message(ContinueAuthentication, &answer))?;
    client.expect(auth_packet(Success))?;
    client.still_served()
}

fn scram_again_with_wrong_password(t: &Testbed) -> Outcome {
    let (username, _) = user(t)?;
    let (client, challenge) = begin_again(t, &username)?;
    let (answer, _) = proof(&username, "not the password", &challenge)?;
    client.send(message(ContinueAuthentication, &answer))?;
    client.refused(DENIED)
}

fn scram_again_by_other_method(t: &Testbed) -> Outcome {
    let client = authenticated(t)?;
    client.ping()?;
    client.send(auth(ReAuthenticate).with(AuthenticationMethod("SCRAM-SHA-1")))?;
    client.refused(WRONG)
}

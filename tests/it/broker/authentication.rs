//! User names, passwords, rules, and enhanced authentication.

use testament::broker::passwords::Passwords;
use testament::broker::policy::{Act, Effect, Policy, Rule};
use testament::packet::Auth;
use testament::scram::{Client as Scram, Verifier};

use super::*;

/// The user `anna`, whose password is `open`.
fn users() -> Passwords {
    Passwords::parse(&format!("anna:{}", Verifier::new(b"open", &[7; 16]))).expect("a user")
}

/// A broker for `anna` alone.
fn guarded() -> Rig {
    Rig::with(Settings { passwords: users(), ..Settings::default() })
}

fn as_user<'a>(mut hello: Hello<'a>, user: &'a str, password: &'a str) -> Hello<'a> {
    (hello.0.username, hello.0.password) = (Some(user), Some(password.as_bytes()));
    hello
}

#[test]
fn passwords_are_checked_before_anything_else_happens() {
    for version in Version::ALL {
        let mut rig = guarded();
        let good = rig.connect(as_user(hello(version, "c"), "anna", "open"));
        rig.expect(good, &["connack 00 0"]);
        for (user, password) in [("anna", "shut"), ("bert", "open")] {
            let bad = rig.connect(as_user(hello(version, "c"), user, password));
            rig.expect(bad, &["connack 86 0", "closed"]);
        }
        let none = rig.connect(hello(version, "c"));
        rig.expect(none, &["connack 87 0", "closed"]);
        rig.expect(good, &[]);
    }
}

#[test]
fn who_has_no_name_may_be_let_in() {
    let mut rig = Rig::with(Settings { anonymous: true, passwords: users(), ..Settings::default() });
    rig.join(v5("c"));
    let bad = rig.connect(as_user(v5("d"), "anna", "shut"));
    rig.expect(bad, &["connack 86 0", "closed"]);
}

#[test]
fn nothing_is_handled_while_a_password_is_checked() {
    let mut rig = guarded();
    let client = rig.open();
    rig.stalls = true;
    rig.connect_on(client, as_user(v5("c"), "anna", "open"));
    // While the check goes on nothing is read, and what came with the CONNECT waits.
    assert!(rig.clients[&client].paused);
    rig.publish(client, "a", "x", 1, 1);
    rig.send(client, &Packet::PingReq);
    rig.expect(client, &[]);
    rig.answer();
    assert!(!rig.clients[&client].paused);
    rig.expect(client, &["connack 00 0", "puback #1 10", "PINGRESP"]);
    // Or is forgotten, if the answer is no.
    let client = rig.open();
    rig.connect_on(client, as_user(v5("d"), "anna", "shut"));
    rig.publish(client, "a", "x", 1, 1);
    rig.answer();
    rig.expect(client, &["connack 86 0", "closed"]);
    // An answer for a connection that is gone is nobody's.
    let client = rig.open();
    rig.connect_on(client, as_user(v5("e"), "anna", "open"));
    rig.drop_connection(client);
    rig.answer();
    rig.expect(client, &["closed"]);
    // Nor does it come too late.
    let client = rig.open();
    rig.connect_on(client, as_user(v5("f"), "anna", "open"));
    rig.wait(seconds(10));
    rig.answer();
    rig.expect(client, &["closed"]);
}

#[test]
fn no_more_passwords_are_checked_at_once_than_the_limit() {
    use testament::broker::behaviour::Limits;
    let limits = Limits { password_checks: 1, ..Limits::default() };
    let behaviour = Behaviour { limits, ..Behaviour::default() };
    let mut rig = Rig::with(Settings { behaviour, passwords: users(), ..Settings::default() });
    rig.stalls = true;
    let one = rig.connect(as_user(v5("one"), "anna", "open"));
    let two = rig.connect(as_user(v5("two"), "anna", "open"));
    rig.expect(two, &["connack 89 0", "closed"]);
    let three = rig.connect(as_user(hello(Version::V311, "three"), "anna", "open"));
    rig.expect(three, &["connack 88 0", "closed"]);
    rig.answer();
    rig.expect(one, &["connack 00 0"]);
    let four = rig.connect(as_user(v5("four"), "anna", "open"));
    rig.answer();
    rig.expect(four, &["connack 00 0"]);
}

#[test]
fn rules_refuse_as_the_version_allows() {
    let rule = |act, filter: &str| Rule {
        effect: Effect::Deny,
        act: Some(act),
        user: None,
        client: None,
        filter: filter.to_owned(),
        exactly: false,
    };
    let policy =
        Policy { rules: vec![rule(Act::Publish, "no/#"), rule(Act::Subscribe, "secret/#")], otherwise: Effect::Allow };
    for (version, subscribed, published) in [
        (Version::V5, "suback #1 [87]", ["puback #1 87", "pubrec #2 87"]),
        (Version::V311, "suback #1 [80]", ["puback #1 00", "pubrec #2 00"]),
        (Version::V31, "suback #1 [01]", ["puback #1 00", "pubrec #2 00"]),
    ] {
        let mut rig = Rig::with(Settings { policy: policy.clone(), ..Settings::default() });
        let client = rig.join(hello(version, "c"));
        rig.subscribe_as(client, "secret/x", plain(1), None);
        rig.expect(client, &[subscribed]);
        rig.publish(client, "secret/x", "x", 0, 0);
        rig.subscribe(client, "no/x", plain(1));
        rig.publish(client, "no/x", "x", 0, 0);
        rig.publish(client, "no/x", "x", 1, 1);
        rig.publish(client, "no/x", "x", 2, 2);
        rig.expect(client, &published);
        let nothing = PropertyBuf::new();
        let client = rig.connect(hello(version, "d").will("no/x", "x", &nothing));
        rig.expect(client, &["connack 87 0", "closed"]);
    }
}

fn method(rig: &mut Rig, conn: u32, reason: ReasonCode, data: &[u8]) {
    let properties = having(Property::AuthenticationMethod("SCRAM-SHA-256")).with(Property::AuthenticationData(data));
    rig.send(conn, &Packet::Auth(Auth { reason, properties: properties.view() }));
}

/// The Authentication Data of the last packet that came.
fn data(rig: &Rig, conn: u32) -> Vec<u8> {
    let last = rig.clients[&conn].came.last().expect("an answer").clone();
    let properties = match last.packet() {
        Packet::Auth(auth) => auth.properties,
        Packet::ConnAck(ack) => ack.properties,
        other => panic!("{other:?}"),
    };
    assert_eq!(properties.authentication_method(), Some("SCRAM-SHA-256"));
    properties.authentication_data().expect("data").to_vec()
}

#[test]
fn scram_goes_before_connack_and_again_at_any_time() {
    let mut rig = guarded();
    let start = |rig: &mut Rig, scram: &Scram| {
        let properties =
            having(Property::AuthenticationMethod("SCRAM-SHA-256")).with(Property::AuthenticationData(&scram.first()));
        rig.connect(v5("c").properties(&properties))
    };
    let mut scram = Scram::new("anna", b"open", &[1; 18]);
    let client = start(&mut rig, &scram);
    let challenge = data(&rig, client);
    rig.expect(client, &["auth 18"]);
    method(&mut rig, client, ReasonCode::ContinueAuthentication, &scram.answer(&challenge).expect("a challenge"));
    scram.confirm(&data(&rig, client)).expect("the server's proof");
    rig.expect(client, &["connack 00 0"]);

    // Again, with other traffic in between.
    let mut scram = Scram::new("anna", b"open", &[2; 18]);
    method(&mut rig, client, ReasonCode::ReAuthenticate, &scram.first());
    let challenge = data(&rig, client);
    rig.send(client, &Packet::PingReq);
    rig.expect(client, &["auth 18", "PINGRESP"]);
    method(&mut rig, client, ReasonCode::ContinueAuthentication, &scram.answer(&challenge).expect("a challenge"));
    scram.confirm(&data(&rig, client)).expect("the server's proof");
    rig.expect(client, &["auth 00"]);

    // With a wrong password it ends the connection; so does an AUTH out of place.
    let mut scram = Scram::new("anna", b"shut", &[3; 18]);
    method(&mut rig, client, ReasonCode::ReAuthenticate, &scram.first());
    let challenge = data(&rig, client);
    method(&mut rig, client, ReasonCode::ContinueAuthentication, &scram.answer(&challenge).expect("a challenge"));
    rig.expect(client, &["auth 18", "disconnect 87", "closed"]);

    let mut scram = Scram::new("anna", b"shut", &[4; 18]);
    let client = start(&mut rig, &scram);
    let challenge = data(&rig, client);
    method(&mut rig, client, ReasonCode::ContinueAuthentication, &scram.answer(&challenge).expect("a challenge"));
    rig.expect(client, &["auth 18", "connack 87 0", "closed"]);
}

#[test]
fn auth_out_of_place_is_refused() {
    let mut rig = guarded();
    let properties = having(Property::AuthenticationMethod("unheard of"));
    let client = rig.connect(v5("c").properties(&properties));
    rig.expect(client, &["connack 8c 0", "closed"]);

    let client = rig.connect(as_user(v5("c"), "anna", "open"));
    rig.came(client);
    method(&mut rig, client, ReasonCode::ReAuthenticate, b"");
    rig.expect(client, &["disconnect 82", "closed"]);

    // Before CONNACK, with another method, another packet, or a way out.
    let scram = Scram::new("anna", b"open", &[1; 18]);
    let first = scram.first();
    let properties = having(Property::AuthenticationMethod("SCRAM-SHA-256")).with(Property::AuthenticationData(&first));
    let client = rig.connect(v5("c").properties(&properties));
    let other = having(Property::AuthenticationMethod("SCRAM-SHA-1"));
    let reason = ReasonCode::ContinueAuthentication;
    rig.send(client, &Packet::Auth(Auth { reason, properties: other.view() }));
    rig.expect(client, &["auth 18", "connack 82 0", "closed"]);
    let client = rig.connect(v5("c").properties(&properties));
    rig.send(client, &Packet::PingReq);
    rig.expect(client, &["auth 18", "connack 82 0", "closed"]);
    let client = rig.connect(v5("c").properties(&properties));
    rig.send(client, &Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY }));
    rig.expect(client, &["auth 18", "closed"]);
}

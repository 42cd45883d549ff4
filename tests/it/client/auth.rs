//! Enhanced authentication.

use super::*;

/// Says "first", answers "x?" with "x!" at once and "x??" with "x?!" after some work, and is content with the proof "ok".
struct Echo;

impl Authenticator for Echo {
    fn method(&self) -> &str {
        "ECHO"
    }

    fn begin(&mut self) -> Option<Vec<u8>> {
        Some(b"first".to_vec())
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Reply, String> {
        let question = challenge.strip_suffix(b"?").ok_or("not a question")?;
        let answer = [question, b"!"].concat();
        Ok(if question.ends_with(b"?") { Reply::Slow(Box::new(move || answer)) } else { Reply::Data(answer) })
    }

    fn finish(&mut self, proof: &[u8]) -> Result<(), String> {
        if proof == b"ok" { Ok(()) } else { Err("no proof".to_owned()) }
    }
}

fn echo() -> Script {
    let client = Client::new(Arc::new(options(V5)), Identity::named("c"), 0).unwrap();
    let mut script = Script::of(client.with_authenticator(Box::new(Echo)).unwrap(), V5);
    script.open();
    let Some(Output::Send { head, .. }) = script.client.poll() else { panic!("no CONNECT") };
    let Packet::Connect(connect) = codec::decode(head, V5, Side::Client).unwrap() else { panic!("no CONNECT") };
    assert_eq!(connect.properties.authentication_method(), Some("ECHO"));
    assert_eq!(connect.properties.authentication_data(), Some(b"first".as_slice()));
    script
}

fn auth_data(method: &str, data: &str) -> PropertyBuf {
    properties([Property::AuthenticationMethod(method), Property::AuthenticationData(data.as_bytes())])
}

impl Script {
    fn hears_auth(&mut self, reason: ReasonCode, list: &PropertyBuf) {
        self.hears(Packet::Auth(Auth { reason, properties: list.view() }));
    }
}

#[test]
fn challenges_are_answered_until_the_server_is_content() {
    let mut script = echo();
    script.hears_auth(ReasonCode::ContinueAuthentication, &auth_data("ECHO", "a?"));
    script.says(&["AUTH 0x18 a!"]);
    script.hears_auth(ReasonCode::ContinueAuthentication, &auth_data("ECHO", "b?"));
    script.says(&["AUTH 0x18 b!"]);
    script.accept(false, &auth_data("ECHO", "ok"));
    script.tells(&["connected"]);
    script.client.reauthenticate(script.now).unwrap();
    assert_eq!(script.client.reauthenticate(script.now), Err(Misuse::NoAuthentication));
    script.publish("a", "", AtMostOnce).unwrap();
    script.says(&["AUTH 0x19 first", "PUBLISH a= q0"]);
    script.hears_auth(ReasonCode::ContinueAuthentication, &auth_data("ECHO", "c?"));
    script.says(&["AUTH 0x18 c!"]);
    script.hears_auth(ReasonCode::Success, &auth_data("ECHO", "ok"));
    script.says(&[]);
    script.tells(&["reauthenticated"]);
    script.hears_auth(ReasonCode::ContinueAuthentication, &auth_data("ECHO", "d?"));
    script.parts("DISCONNECT 0x82");
}

#[test]
fn whoever_fails_to_prove_itself_is_left() {
    let refused = |script: &mut Script, why: &str| {
        script.says(&["DISCONNECT 0x80", "close Gracefully"]);
        script.tells(&[&format!("enhanced authentication failed: {why}; staying away")]);
    };
    let mut script = echo();
    script.hears_auth(ReasonCode::ContinueAuthentication, &auth_data("ECHO", "a"));
    refused(&mut script, "not a question");
    let mut script = echo();
    script.accept(false, &auth_data("ECHO", "maybe"));
    refused(&mut script, "no proof");
    // Another method, or none, is an offence.
    for list in [auth_data("OTHER", "ok"), PropertyBuf::new()] {
        let mut script = echo();
        script.accept(false, &list);
        script.parts("DISCONNECT 0x82");
    }
    let mut script = echo();
    script.hears_auth(ReasonCode::ContinueAuthentication, &auth_data("OTHER", "a?"));
    script.parts("DISCONNECT 0x82");
    let mut script = echo();
    script.hears_auth(ReasonCode::Success, &auth_data("ECHO", "ok"));
    script.parts("DISCONNECT 0x82");
    let client = Client::new(Arc::new(options(V311)), Identity::named("c"), 0).unwrap();
    assert!(client.with_authenticator(Box::new(Echo)).is_err());
}

#[test]
fn slow_answers_are_worked_out_elsewhere() {
    let mut script = echo();
    script.hears_auth(ReasonCode::ContinueAuthentication, &auth_data("ECHO", "a??"));
    script.says(&["ask"]);
    let (ticket, bytes) = script.worked.take().unwrap();
    script.client.handle(script.now, Input::Answer { ticket, bytes: &bytes });
    script.says(&["AUTH 0x18 a?!"]);
    script.accept(false, &auth_data("ECHO", "ok"));
    script.tells(&["connected"]);

    // What an earlier connection asked for is of no use to the next.
    let mut script = echo();
    script.hears_auth(ReasonCode::ContinueAuthentication, &auth_data("ECHO", "a??"));
    script.says(&["ask"]);
    script.reconnect();
    script.says(&["CONNECT"]);
    let (ticket, bytes) = script.worked.take().unwrap();
    script.client.handle(script.now, Input::Answer { ticket, bytes: &bytes });
    script.says(&[]);

    // The server is to wait for the answer.
    let mut script = echo();
    script.hears_auth(ReasonCode::ContinueAuthentication, &auth_data("ECHO", "a??"));
    script.hears_auth(ReasonCode::ContinueAuthentication, &auth_data("ECHO", "b?"));
    script.parts("DISCONNECT 0x82");
}

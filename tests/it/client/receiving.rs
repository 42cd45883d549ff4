//! Messages in, and what is not taken from a server.

use super::*;

#[test]
fn every_qos_comes_in_by_its_own_handshake_in_order() {
    for version in Version::ALL {
        let mut script = Script::up(options(version));
        let mut bytes = Vec::new();
        for packet in [
            from_server("a", "0", AtMostOnce, 0),
            from_server("a", "1", AtLeastOnce, 7),
            from_server("a", "2", ExactlyOnce, 8),
            from_server("a", "1", AtLeastOnce, 9),
            from_server("a", "2", ExactlyOnce, 6),
            Packet::PubRel(ack(8)),
            from_server("a", "new", ExactlyOnce, 8),
        ] {
            codec::encode(&packet, version, &mut bytes).unwrap();
        }
        // One byte at a time: the stream has no packet boundaries.
        for byte in bytes.chunks(1) {
            script.hears_bytes(byte);
        }
        script.says(&["PUBACK #7", "PUBREC #8", "PUBACK #9", "PUBREC #6", "PUBCOMP #8", "PUBREC #8"]);
        script.tells(&[
            "message a=0 q0",
            "message a=1 q1",
            "message a=2 q2",
            "message a=1 q1",
            "message a=2 q2",
            "message a=new q2",
        ]);
    }
}

#[test]
fn a_repeated_qos_2_message_is_acknowledged_again_and_told_once() {
    for version in Version::ALL {
        let mut script = Script::up(lasting(version));
        script.hears(from_server("a", "2", ExactlyOnce, 5));
        script.says(&["PUBREC #5"]);
        script.tells(&["message a=2 q2"]);
        script.reconnect();
        script.says(&["CONNECT resume"]);
        script.accept(version != V31, &PropertyBuf::new());
        script.tells(&["connected"]);
        script.hears(Packet::Publish(Publish { dup: true, packet_id: Some(id(5)), ..message("a", "2", ExactlyOnce) }));
        script.says(&["PUBREC #5"]);
        script.tells(&["repeated a=2 q2 dup"]);
        assert_eq!(script.client.half_received(), 1);
        script.hears(Packet::PubRel(ack(5)));
        script.says(&["PUBCOMP #5"]);
        script.tells(&[]);
        assert_eq!(script.client.half_received(), 0);
    }
}

#[test]
fn a_server_may_use_what_was_offered_to_the_last_unit_and_no_more() {
    let offered = || Options {
        receive_maximum: NonZeroU16::new(2).unwrap(),
        topic_alias_maximum: 2,
        maximum_packet_size: NonZeroU32::new(20).unwrap(),
        ..options(V5)
    };
    let mut script = Script::up(offered());
    script.hears(from_server("a", "", ExactlyOnce, 1));
    script.hears(from_server("a", "", ExactlyOnce, 2));
    script.says(&["PUBREC #1", "PUBREC #2"]);
    script.hears(from_server("a", "", AtLeastOnce, 3));
    script.parts("DISCONNECT 0x93");

    let mut script = Script::up(offered());
    script.hears_aliased("a", 2);
    script.hears_aliased("", 2);
    script.hears_aliased("b", 2);
    script.hears_aliased("", 2);
    script.tells(&["message a= q0 alias 2", "message a= q0 alias 2", "message b= q0 alias 2", "message b= q0 alias 2"]);
    script.hears_aliased("c", 3);
    script.parts("DISCONNECT 0x94");
    script.reconnect();
    script.says(&["CONNECT"]);
    script.accept(false, &PropertyBuf::new());
    script.hears_aliased("", 2);
    script.parts("DISCONNECT 0x82");

    // Without offer there are no aliases at all.
    let mut script = Script::up(options(V5));
    script.hears_aliased("a", 1);
    script.parts("DISCONNECT 0x94");

    // The packet takes 6 bytes and its payload in 5.0, 5 before.
    for version in Version::ALL {
        let mut script = Script::up(Options { version, ..offered() });
        let fits = if version == V5 { "01234567890123" } else { "012345678901234" };
        script.hears(from_server("a", fits, AtMostOnce, 0));
        script.tells(&[&format!("message a={fits} q0")]);
        script.hears(from_server("a", &format!("{fits}."), AtMostOnce, 0));
        script.parts("DISCONNECT 0x95");
    }

    // Before 5.0 the server was told of no receive maximum.
    let mut script = Script::up(Options { version: V311, ..offered() });
    for number in 1..=3 {
        script.hears(from_server("a", "", ExactlyOnce, number));
    }
    script.says(&["PUBREC #1", "PUBREC #2", "PUBREC #3"]);
}

/// What a client must not take from a server, in bytes, with the reason code that says so.
#[test]
fn a_server_that_breaks_the_standard_is_left_with_a_reason() {
    let check = |version: Version, bytes: &[u8], word: &str| {
        let mut script = Script::up(Options { topic_alias_maximum: 5, ..options(version) });
        script.hears_bytes(bytes);
        script.parts(word);
        let told = script.drain_events();
        assert!(told.len() == 1 && told[0].contains("broke the standard") && told[0].contains("again"), "{told:?}");
        script.hears_bytes(&[0xD0, 0]);
        script.says(&[]);
    };
    for version in [V311, V5] {
        let end: &[u8] = if version == V5 { &[0] } else { &[] };
        let publish = |head: u8, topic: &[u8]| {
            let mut bytes = vec![head, (2 + topic.len() + end.len()) as u8, 0, topic.len() as u8];
            bytes.extend(topic);
            bytes.extend(end);
            bytes
        };
        check(version, &publish(0x30, b"\xFF"), "DISCONNECT 0x81");
        check(version, &publish(0x30, b"\0"), "DISCONNECT 0x81");
        check(version, &publish(0x30, b"a/#"), "DISCONNECT 0x90");
        check(version, &publish(0x30, b""), "DISCONNECT 0x82");
        check(version, &publish(0x38, b"a"), "DISCONNECT 0x81");
        check(version, &publish(0x36, b"a"), "DISCONNECT 0x81");
        check(version, &[0xD1, 0], "DISCONNECT 0x81");
        check(version, &[0x00, 0], "DISCONNECT 0x81");
        check(version, &[0xC0, 0], "DISCONNECT 0x82");
        check(version, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF], "DISCONNECT 0x81");
        let mut connack = vec![0x20, 2 + end.len() as u8, 0, 0];
        connack.extend(end);
        check(version, &connack, "DISCONNECT 0x82");
    }
    check(V311, &[0xE0, 0], "");
    check(V311, &[0xF0, 0], "");
    // AUTH without a method in CONNECT.
    check(V5, &[0xF0, 6, 0x18, 4, 0x15, 0, 1, b'x'], "DISCONNECT 0x82");
}

#[test]
fn nothing_but_connack_may_come_first_and_a_refusal_is_told() {
    for version in Version::ALL {
        for packet in [Packet::PingResp, from_server("a", "", AtMostOnce, 0)] {
            let mut script = Script::new(options(version));
            script.open();
            script.says(&["CONNECT"]);
            script.hears(packet);
            script.parts("DISCONNECT 0x82");
        }
        let mut script = Script::new(options(version));
        script.open();
        script.says(&["CONNECT"]);
        let reason = ReasonCode::NotAuthorized;
        script.hears(Packet::ConnAck(ConnAck { session_present: false, reason, properties: Properties::EMPTY }));
        script.says(&["close Gracefully"]);
        script.tells(&["connection refused: 0x87 Not authorized; staying away"]);
        assert_eq!(script.client.deadline(), None);
    }
    let mut script = Script::new(options(V5));
    script.open();
    let (reason, text) = (ReasonCode::ServerBusy, properties([Property::ReasonString("at lunch")]));
    script.hears(Packet::ConnAck(ConnAck { session_present: false, reason, properties: text.view() }));
    script.tells(&["connection refused: 0x89 Server busy (at lunch); trying again"]);
}

#[test]
fn a_server_may_take_its_leave_in_5_0() {
    for (reason, expect) in [
        (ReasonCode::ServerShuttingDown, "disconnected by the server: 0x8B Server shutting down; trying again"),
        (ReasonCode::SessionTakenOver, "disconnected by the server: 0x8E Session taken over; staying away"),
    ] {
        let mut script = Script::up(options(V5));
        script.hears(Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY }));
        script.says(&["close Gracefully"]);
        script.tells(&[expect]);
    }
}

#[test]
fn requests_are_answered_code_by_code() {
    for version in Version::ALL {
        let mut script = Script::up(options(version));
        let filters = SubscriptionBuf::new()
            .with("a", SubscriptionOptions::qos(ExactlyOnce))
            .with("b", SubscriptionOptions::qos(AtMostOnce));
        let token = script.client.subscribe(script.now, filters.view(), Properties::EMPTY).unwrap();
        script.says(&["SUBSCRIBE #1 a b"]);
        script.hears(suback(9, &[0, 0]));
        script.tells(&[]);
        // 3.1 has no code for a failure.
        script.hears(suback(1, if version == V31 { &[1, 0] } else { &[1, 0x80] }));
        let Some(Event::Subscribed(answered, _)) = script.client.poll_event() else { panic!("no SUBACK told") };
        assert_eq!(answered, token);
        let filters = FilterBuf::new().with("a").with("b");
        script.client.unsubscribe(script.now, filters.view(), Properties::EMPTY).unwrap();
        script.says(&["UNSUBSCRIBE #2 a b"]);
        let codes: &[u8] = if version == V5 { &[0, 0x11] } else { &[] };
        script.hears(unsuback(2, codes));
        script.tells(&["unsubscribed"]);
        assert_eq!(script.client.outstanding(), 0);
    }
}

#[test]
fn an_answer_that_does_not_fit_its_request_is_an_offence() {
    let check = |version: Version, answer: Packet<'_>| {
        let mut script = Script::up(options(version));
        let filters = SubscriptionBuf::new().with("a", SubscriptionOptions::default());
        script.client.subscribe(script.now, filters.view(), Properties::EMPTY).unwrap();
        script.says(&["SUBSCRIBE #1 a"]);
        script.hears(answer);
        script.parts("DISCONNECT 0x82");
        assert_eq!(script.drain_events()[0], "dropped ConnectionEnded");
    };
    for version in Version::ALL {
        check(version, suback(1, &[0, 0]));
        check(version, unsuback(1, if version == V5 { &[0] } else { &[] }));
    }
}

fn suback(number: u16, codes: &[u8]) -> Packet<'_> {
    let reasons = ReasonCodes::from_bytes(codes).unwrap();
    Packet::SubAck(SubAck { packet_id: id(number), properties: Properties::EMPTY, reasons })
}

fn unsuback(number: u16, codes: &[u8]) -> Packet<'_> {
    let reasons = ReasonCodes::from_bytes(codes).unwrap();
    Packet::UnsubAck(UnsubAck { packet_id: id(number), properties: Properties::EMPTY, reasons })
}

#[test]
fn an_application_that_does_not_listen_stops_the_reading() {
    let mut script = Script::up(Options { events: 4, ..options(V5) });
    for _ in 0..3 {
        script.hears(from_server("a", "", AtMostOnce, 0));
    }
    script.says(&[]);
    script.hears(from_server("a", "", AtMostOnce, 0));
    script.says(&["pause true"]);
    // While we do not listen, silence is our own doing; the keep alive is ours to keep all the same.
    script.wait(seconds(600));
    assert!(script.client.granted().is_some());
    script.client.poll_event();
    assert!(!script.client.poll().is_some_and(|output| matches!(output, Output::Pause { .. })));
    script.client.poll_event();
    script.says(&["pause false"]);
}

#[test]
fn explanations_nobody_asked_for_are_an_offence() {
    let quiet = |wanted| Options { request_problem_information: wanted, ..options(V5) };
    let why = properties([Property::ReasonString("why")]);
    for list in [why.clone(), properties([Property::UserProperty("a", "b")])] {
        let explained = || Packet::PubAck(Ack { properties: list.view(), ..ack(9) });
        let mut script = Script::up(quiet(false));
        script.hears(explained());
        script.parts("DISCONNECT 0x82");
        let mut script = Script::up(quiet(true));
        script.hears(explained());
        script.says(&[]);
    }
    let mut script = Script::up_with(quiet(false), why.clone());
    script.hears(Packet::Disconnect(Disconnect { reason: ReasonCode::ServerBusy, properties: why.view() }));
    script.tells(&["disconnected by the server: 0x89 Server busy (why); trying again"]);
}

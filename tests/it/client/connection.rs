//! Coming, staying and going: CONNECT, back-off, keep alive, patience.

use super::*;

#[test]
fn connect_says_what_it_is_told_to() {
    let will = Will {
        topic: "w".into(),
        payload: b"bye".as_slice().into(),
        qos: ExactlyOnce,
        retain: true,
        properties: PropertyBuf::new(),
    };
    let identity = Identity {
        client_id: "id".into(),
        username: Some("u".into()),
        password: Some(b"p".as_slice().into()),
        will: Some(Box::new(will)),
    };
    let check = |options: Options, identity: &Identity, expect: &[u8]| {
        let version = options.version;
        let mut script = Script::of(Client::new(Arc::new(options), identity.clone(), 0).unwrap(), version);
        script.open();
        let Some(Output::Send { head, .. }) = script.client.poll() else { panic!("no CONNECT") };
        assert_eq!(head, expect);
    };
    let old = |version| Options { version, clean_start: false, keep_alive: 10, ..Options::default() };
    let tail = b"\0\x02id\0\x01w\0\x03bye\0\x01u\0\x01p";
    check(old(V31), &identity, &[b"\x10\x1e\0\x06MQIsdp\x03\xf4\0\x0a".as_slice(), tail].concat());
    check(old(V311), &identity, &[b"\x10\x1c\0\x04MQTT\x04\xf4\0\x0a".as_slice(), tail].concat());
    let new = Options {
        session_expiry: 7,
        receive_maximum: NonZeroU16::new(8).unwrap(),
        maximum_packet_size: NonZeroU32::new(9).unwrap(),
        topic_alias_maximum: 10,
        request_response_information: true,
        request_problem_information: false,
        user_properties: properties([Property::UserProperty("k", "v")]),
        ..Options::default()
    };
    let head = b"\x10\x2a\0\x04MQTT\x05\x02\0\x3c\x1b";
    let list = b"\x11\0\0\0\x07\x21\0\x08\x27\0\0\0\x09\x22\0\x0a\x19\x01\x17\0\x26\0\x01k\0\x01v";
    check(new, &Identity::named("id"), &[head.as_slice(), list, b"\0\x02id"].concat());
}

#[test]
fn after_disconnect_nothing_more_is_said_until_asked() {
    for version in Version::ALL {
        let mut script = Script::up(lasting(version));
        script.publish("a", "1", AtLeastOnce).unwrap();
        script.client.disconnect(script.now, ReasonCode::Success, Properties::EMPTY).unwrap();
        script.says(&["PUBLISH a=1 q1 #1", "DISCONNECT 0x00", "close Gracefully"]);
        script.tells(&["disconnected as asked; staying away"]);
        script.publish("a", "2", AtLeastOnce).unwrap();
        script.hears(from_server("a", "late", AtLeastOnce, 1));
        script.client.handle(script.now, Input::Closed { conn: script.conn, how: Closed::Here });
        script.wait(seconds(3600));
        script.says(&[]);
        script.client.connect(script.now);
        script.says(&["open"]);
    }
}

#[test]
fn leave_can_be_taken_before_connack_but_in_3_1_not_by_word() {
    for version in Version::ALL {
        let mut script = Script::new(options(version));
        script.open();
        script.says(&["CONNECT"]);
        script.client.disconnect(script.now, ReasonCode::Success, Properties::EMPTY).unwrap();
        let word: &[&str] = if version == V31 { &[] } else { &["DISCONNECT 0x00"] };
        script.says(&[word, &["close Gracefully"]].concat());
        script.tells(&["disconnected as asked; staying away"]);
    }
}

#[test]
fn a_connection_that_comes_too_late_is_closed() {
    let mut script = Script::new(options(V5));
    script.client.handle(script.now, Input::Wake);
    let Some(Output::Open { ticket }) = script.client.poll() else { panic!("no connection is asked for") };
    script.wait(seconds(19));
    script.tells(&[]);
    script.wait(seconds(1));
    script.tells(&["no connection in time; trying again"]);
    let (conn, via, peer) = (script.conn, Via::Ticket(ticket), Peer::default());
    script.client.handle(script.now, Input::Opened { conn, via, peer, room: 100 });
    script.says(&["close Abruptly"]);
    script.client.handle(script.now, Input::Refused { ticket, why: "stale" });
    script.tells(&[]);
}

#[test]
fn refused_connections_are_tried_again_ever_later() {
    let limits = Reconnect { first: seconds(1), max: seconds(8), stable: seconds(5), ..Reconnect::default() };
    let waits = |seed| {
        let options = Options { reconnect: Some(limits), ..options(V5) };
        let client = Client::new(Arc::new(options), Identity::named("c"), seed).unwrap();
        let mut script = Script::of(client, V5);
        let mut waits = Vec::new();
        for _ in 0..6 {
            script.client.handle(script.now, Input::Wake);
            let Some(Output::Open { ticket }) = script.client.poll() else { panic!("no connection is asked for") };
            script.client.handle(script.now, Input::Refused { ticket, why: "no" });
            script.tells(&["cannot connect: no; trying again"]);
            let again = script.client.deadline().unwrap();
            waits.push(again - script.now);
            script.now = again;
        }
        waits
    };
    assert_eq!(waits(3), waits(3));
    assert_ne!(waits(3), waits(4));
    let ceilings = [1, 2, 4, 8, 8, 8].map(seconds);
    let mut longest = [Duration::ZERO; 6];
    for seed in 0..200 {
        for ((wait, ceiling), longest) in waits(seed).into_iter().zip(ceilings).zip(&mut longest) {
            assert!(wait <= ceiling);
            *longest = wait.max(*longest);
        }
    }
    for (longest, ceiling) in longest.into_iter().zip(ceilings) {
        assert!(longest > ceiling * 9 / 10, "{longest:?} of {ceiling:?}");
    }
    let mut script = Script::new(Options { reconnect: None, ..options(V5) });
    script.open();
    script.lose();
    script.tells(&["connection reset; staying away"]);
    assert_eq!(script.client.deadline(), None);
}

#[test]
fn pingreq_comes_when_nothing_else_does() {
    let mut script = Script::up(Options { keep_alive: 10, ..options(V311) });
    script.wait(Duration::from_millis(8_999));
    script.says(&[]);
    script.wait(Duration::from_millis(1));
    script.says(&["PINGREQ"]);
    script.hears(Packet::PingResp);
    // Whoever talks and is talked to need not ask.
    for _ in 0..5 {
        script.wait(seconds(8));
        script.publish("a", "", AtMostOnce).unwrap();
        script.hears(from_server("a", "", AtMostOnce, 0));
        script.says(&["PUBLISH a= q0"]);
    }
    // Whoever talks and hears nothing asks whether anybody is there.
    script.wait(seconds(5));
    script.publish("a", "", AtMostOnce).unwrap();
    script.wait(seconds(4));
    script.says(&["PUBLISH a= q0", "PINGREQ"]);
}

#[test]
fn the_server_decides_on_the_keep_alive() {
    let check = |ours, server: Option<u16>, expect: Option<u64>| {
        let said = server.map(|seconds| properties([Property::ServerKeepAlive(seconds)])).unwrap_or_default();
        let script = Script::up_with(Options { keep_alive: ours, ..options(V5) }, said);
        assert_eq!(script.client.deadline().map(|at| at - script.now), expect.map(seconds));
    };
    check(0, None, None);
    check(100, None, Some(90));
    check(100, Some(20), Some(18));
    check(0, Some(20), Some(18));
    check(100, Some(0), None);
}

#[test]
fn patience_ends_when_it_ends() {
    let patient = |version| Options { patience: seconds(5), keep_alive: 100, ..options(version) };
    let check = |script: &mut Script, expect: &str| {
        while script.client.poll().is_some() {}
        script.drain_events();
        script.wait(Duration::from_millis(4_999));
        script.says(&[]);
        script.tells(&[]);
        script.wait(Duration::from_millis(1));
        script.says(&["close Abruptly"]);
        let told = script.drain_events();
        assert!(told.iter().any(|line| line.contains(expect)), "{told:?}");
    };
    for version in Version::ALL {
        let mut script = Script::new(patient(version));
        script.open();
        check(&mut script, "no CONNACK in time");

        let mut script = Script::up(patient(version));
        script.wait(seconds(90));
        check(&mut script, "no PINGRESP in time");

        let mut script = Script::up(patient(version));
        script.publish("a", "", AtLeastOnce).unwrap();
        check(&mut script, "no acknowledgement in time");

        let mut script = Script::up(patient(version));
        script.publish("a", "", ExactlyOnce).unwrap();
        script.wait(seconds(4));
        script.hears(Packet::PubRec(ack(1)));
        check(&mut script, "no acknowledgement in time");

        let mut script = Script::up(patient(version));
        let filters = FilterBuf::new().with("a");
        script.client.unsubscribe(script.now, filters.view(), Properties::EMPTY).unwrap();
        check(&mut script, "no acknowledgement in time");
    }
}

#[test]
fn silence_is_never_longer_than_the_keep_alive() {
    let short = |version| Options { patience: seconds(20), keep_alive: 4, ..options(version) };
    for version in Version::ALL {
        // While CONNACK is missing nothing else may be said, so the connection is given up.
        let mut script = Script::new(short(version));
        script.open();
        script.says(&["CONNECT"]);
        assert_eq!(script.client.deadline(), Some(script.now + seconds(4)));
        // While PINGRESP is missing there is more to be said, and 3.1 does not wait for long.
        let mut script = Script::up(short(version));
        script.wait(Duration::from_millis(3_600));
        script.says(&["PINGREQ"]);
        script.wait(Duration::from_millis(3_600));
        script.says(&["PINGREQ"]);
        script.wait(Duration::from_millis(399));
        script.says(&[]);
        script.wait(Duration::from_millis(1));
        script.says(if version == V31 { &["close Abruptly"] } else { &[] });
    }
}

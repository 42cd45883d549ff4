//! The life of a connection: CONNECT, authentication, keep alive, sizes, limits.

use super::*;

#[test]
fn a_packet_above_our_maximum_is_refused_from_its_header_on() {
    for version in [Version::V5, Version::V311] {
        let mut rig = Rig::new(Behaviour { maximum_packet_size: 100, ..Behaviour::default() });
        let client = rig.join(hello(version, "c"));
        let fits = 98 - 3 - usize::from(version == Version::V5);
        rig.publish(client, "a", &"x".repeat(fits), 0, 0);
        rig.expect(client, &[]);
        rig.bytes(client, &[0x30, 99]);
        let expect: &[&str] = if version == Version::V5 { &["disconnect 95", "closed"] } else { &["closed"] };
        rig.expect(client, expect);
    }
}

#[test]
fn keep_alive_ends_at_one_and_a_half() {
    let mut rig = Rig::new(Behaviour::default());
    let watcher = rig.join(v5("watcher"));
    rig.subscribe(watcher, "will", plain(0));
    let client = rig.join(v5("client").keep_alive(2).will("will", "gone", &PropertyBuf::new()));
    rig.wait(Duration::from_millis(2_999));
    rig.send(client, &Packet::PingReq);
    rig.expect(client, &["PINGRESP"]);
    // Half a packet is no packet.
    rig.wait(Duration::from_millis(2_000));
    rig.bytes(client, &[0x30]);
    rig.wait(Duration::from_millis(999));
    rig.expect(client, &[]);
    rig.wait(Duration::from_millis(1));
    rig.expect(client, &["disconnect 8d", "closed"]);
    rig.expect(watcher, &["publish will=gone q0"]);
    rig.wait(seconds(100_000));
    rig.expect(watcher, &[]);
}

#[test]
fn a_server_keep_alive_is_announced_to_those_who_ask_for_more() {
    let mut rig = Rig::new(Behaviour { server_keep_alive: Some(10), ..Behaviour::default() });
    for (asked, told) in [(0, Some(10)), (11, Some(10)), (10, None), (5, None)] {
        let client = rig.connect(v5("c").keep_alive(asked));
        let ack = rig.clients[&client].came[0].clone();
        let Packet::ConnAck(ack) = ack.packet() else { panic!("no CONNACK") };
        assert_eq!(ack.properties.server_keep_alive(), told);
        rig.wait(Duration::from_millis(u64::from(told.unwrap_or(asked)) * 1_500 - 1));
        rig.expect(client, &["connack 00 0"]);
        rig.wait(Duration::from_millis(1));
        rig.expect(client, &["disconnect 8d", "closed"]);
    }
}

#[test]
fn a_connection_without_connect_is_closed_in_time() {
    let mut rig = Rig::new(Behaviour::default());
    let client = rig.open();
    rig.wait(Duration::from_millis(9_999));
    rig.expect(client, &[]);
    rig.wait(Duration::from_millis(1));
    rig.expect(client, &["closed"]);
}

/// A legal CONNECT of this protocol name and level, with clean start and the client identifier `c`.
fn raw_connect(name: &str, level: u8, flags: u8) -> Vec<u8> {
    let mut body = vec![0, name.len() as u8];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(&[level, flags, 0, 0]);
    if level == 5 {
        body.push(0);
    }
    body.extend_from_slice(&[0, 1, b'c']);
    let mut bytes = vec![0x10, body.len() as u8];
    bytes.extend(body);
    bytes
}

#[test]
fn a_bad_connect_is_answered_as_its_version_allows() {
    let check = |bytes: &[u8], expect: &[u8]| {
        let mut rig = Rig::new(Behaviour { reason_strings: false, ..Behaviour::default() });
        let client =
            if bytes.get(8).is_some_and(|&level| level == 5 || level == 99) { rig.open() } else { rig.open_raw() };
        rig.bytes(client, bytes);
        assert_eq!(rig.clients[&client].raw, expect, "{bytes:02x?}");
        assert!(rig.clients[&client].closed, "{bytes:02x?}");
    };
    // A level nobody serves.
    check(&raw_connect("MQTT", 6, 2), &[0x20, 2, 0, 1]);
    check(&raw_connect("MQIsdp", 2, 2), &[0x20, 2, 0, 1]);
    let mut future = raw_connect("MQTT", 5, 2);
    future[8] = 99;
    check(&future, &[0x20, 3, 0, 0x84, 0]);
    // A name nobody knows.
    check(&raw_connect("MQTX", 4, 2), &[]);
    // The reserved flag: silence in 3.1.1, a reason in 5.0.
    check(&raw_connect("MQTT", 4, 3), &[]);
    check(&raw_connect("MQTT", 5, 3), &[0x20, 3, 0, 0x81, 0]);
    // Something else before CONNECT, and a reserved type.
    check(&[0xC0, 0], &[]);
    check(&[0x00, 0], &[]);
    check(&[0xE0, 0], &[]);
    check(&[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 1], &[]);
}

#[test]
fn versions_can_be_left_out() {
    for version in Version::ALL {
        let levels = Version::ALL.iter().filter(|&&other| other != version).map(|other| other.level()).collect();
        let mut rig = Rig::new(Behaviour { levels, ..Behaviour::default() });
        let client = rig.connect(hello(version, "c"));
        rig.expect(client, &["connack 84 0", "closed"]);
    }
}

#[test]
fn client_identifiers_are_taken_assigned_or_refused() {
    let long = "x".repeat(24);
    let behaviour = || Behaviour { client_id_maximum: 24, ..Behaviour::default() };
    let check = |behaviour: Behaviour, hello: Hello<'_>, expect: &[&str]| {
        let mut rig = Rig::new(behaviour);
        let client = rig.connect(hello);
        rig.expect(client, expect);
    };
    let (yes, no): (&[&str], &[&str]) = (&["connack 00 0"], &["connack 85 0", "closed"]);
    check(behaviour(), hello(Version::V31, &long[1..]), yes);
    check(behaviour(), hello(Version::V31, &long), no);
    check(behaviour(), hello(Version::V31, ""), no);
    check(behaviour(), hello(Version::V311, &long), yes);
    check(behaviour(), hello(Version::V311, ""), yes);
    check(behaviour(), hello(Version::V311, "").resume(), no);
    check(behaviour(), v5(&long), yes);
    check(Behaviour { client_id_maximum: 23, ..Behaviour::default() }, v5(&long), no);
    let strict = |more: &str| Behaviour { client_id_characters: Some(more.to_owned()), ..behaviour() };
    check(strict(""), v5("aZ09"), yes);
    check(strict(""), v5("a-b"), no);
    check(strict("-_"), v5("a-b_c"), yes);
    check(strict("-_"), v5("a/b"), no);
    check(behaviour(), v5("").resume(), yes);
    check(Behaviour { assigns_client_ids: false, ..behaviour() }, v5(""), no);
    check(Behaviour { assigns_client_ids: false, ..behaviour() }, hello(Version::V311, ""), no);

    let mut rig = Rig::new(behaviour());
    let mut assigned = || {
        let client = rig.connect(v5("").properties(&having(Property::SessionExpiryInterval(9))));
        let ack = rig.clients[&client].came[0].clone();
        let Packet::ConnAck(ack) = ack.packet() else { panic!("no CONNACK") };
        ack.properties.assigned_client_identifier().expect("one is assigned").to_owned()
    };
    let (one, two) = (assigned(), assigned());
    assert_ne!(one, two);
    assert!(one.len() <= 23 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{one}");
    let client = rig.connect(v5(&one).resume());
    rig.expect(client, &["connack 00 1"]);
}

#[test]
fn a_second_connect_and_server_packets_end_the_connection() {
    let mut rig = Rig::new(Behaviour::default());
    for bytes in [&[0xD0, 0][..], &[0x90, 4, 0, 1, 0, 0], &[0x20, 3, 0, 0, 0], &raw_connect("MQTT", 5, 2)] {
        let client = rig.join(v5("c"));
        rig.bytes(client, bytes);
        rig.expect(client, &["disconnect 82", "closed"]);
    }
    let client = rig.join(hello(Version::V311, "c"));
    rig.bytes(client, &raw_connect("MQTT", 4, 2));
    rig.expect(client, &["closed"]);
}

#[test]
fn any_chunking_comes_to_the_same() {
    let mut bytes = raw_connect("MQTT", 4, 2);
    let mut list = Vec::new();
    let subscriptions = SubscriptionBuf::new().with("a", plain(1));
    let (packet_id, properties, subscriptions) = (id(1), Properties::EMPTY, subscriptions.view());
    list.push(Packet::Subscribe(Subscribe { packet_id, properties, subscriptions }));
    list.push(Packet::Publish(message("a", "x", 1, 2)));
    list.push(Packet::PingReq);
    for packet in &list {
        encode(packet, Version::V311, &mut bytes).expect("a legal packet");
    }
    for size in 1..=bytes.len() {
        let mut rig = Rig::new(Behaviour::default());
        let client = rig.open_raw();
        for chunk in bytes.chunks(size) {
            rig.bytes(client, chunk);
        }
        rig.expect(client, &["connack 00 0", "suback #1 [01]", "publish a=x q1 #1", "puback #2 00", "PINGRESP"]);
    }
}

#[test]
fn nothing_after_disconnect_counts() {
    let mut rig = Rig::new(Behaviour::default());
    let reader = rig.join(v5("reader"));
    rig.subscribe(reader, "a", plain(0));
    let client = rig.join(hello(Version::V311, "c"));
    let mut bytes = Vec::new();
    encode(&Packet::Publish(message("a", "before", 0, 0)), Version::V311, &mut bytes).expect("legal");
    bytes.extend_from_slice(&[0xE0, 0]);
    encode(&Packet::Publish(message("a", "after", 0, 0)), Version::V311, &mut bytes).expect("legal");
    rig.bytes(client, &bytes);
    rig.expect(client, &["closed"]);
    rig.expect(reader, &["publish a=before q0"]);
}

#[test]
fn connack_announces_what_is_limited() {
    let mut rig = Rig::new(Behaviour {
        maximum_qos: 1,
        retain: false,
        wildcard_subscriptions: false,
        shared_subscriptions: false,
        subscription_identifiers: false,
        topic_alias_maximum: 0,
        receive_maximum: 7,
        maximum_packet_size: 1000,
        session_expiry_maximum: Some(60),
        ..Behaviour::default()
    });
    let asked = having(Property::SessionExpiryInterval(61)).with(Property::RequestResponseInformation(1));
    let client = rig.connect(v5("c").properties(&asked));
    let ack = rig.clients[&client].came[0].clone();
    let Packet::ConnAck(ack) = ack.packet() else { panic!("no CONNACK") };
    let told: Vec<_> = ack.properties.iter().collect();
    assert_eq!(
        told,
        [
            Property::SessionExpiryInterval(60),
            Property::ReceiveMaximum(7),
            Property::MaximumQoS(1),
            Property::RetainAvailable(0),
            Property::MaximumPacketSize(1000),
            Property::WildcardSubscriptionAvailable(0),
            Property::SubscriptionIdentifierAvailable(0),
            Property::SharedSubscriptionAvailable(0),
            Property::ResponseInformation("response/"),
        ]
    );
}

#[test]
fn what_is_not_offered_is_refused() {
    let limited = || Behaviour {
        maximum_qos: 1,
        retain: false,
        wildcard_subscriptions: false,
        shared_subscriptions: false,
        subscription_identifiers: false,
        ..Behaviour::default()
    };
    let check = |act: &dyn Fn(&mut Rig, u32), expect: &[&str]| {
        let mut rig = Rig::new(limited());
        let client = rig.join(v5("c"));
        act(&mut rig, client);
        rig.expect(client, expect);
    };
    check(&|rig, c| rig.publish(c, "a", "x", 2, 1), &["disconnect 9b", "closed"]);
    check(&|rig, c| rig.publish(c, "a", "x", 1, 1), &["puback #1 10"]);
    let retained =
        |rig: &mut Rig, c| rig.send(c, &Packet::Publish(Publish { retain: true, ..message("a", "x", 0, 0) }));
    check(&retained, &["disconnect 9a", "closed"]);
    check(&|rig, c| rig.subscribe_as(c, "a", plain(2), None), &["suback #1 [01]"]);
    check(&|rig, c| rig.subscribe_as(c, "a/+", plain(2), None), &["disconnect a2", "closed"]);
    check(&|rig, c| rig.subscribe_as(c, "$share/g/a", plain(2), None), &["disconnect 9e", "closed"]);
    check(&|rig, c| rig.subscribe_as(c, "a", plain(2), Some(1)), &["disconnect a1", "closed"]);

    let mut rig = Rig::new(limited());
    let nothing = PropertyBuf::new();
    let mut hello = v5("w").will("will", "x", &nothing);
    for (level, retain, expect) in [(2, false, "connack 9b 0"), (1, true, "connack 9a 0")] {
        let will = hello.0.will.as_mut().expect("a will");
        (will.qos, will.retain) = (qos(level), retain);
        let client = rig.connect(hello);
        rig.expect(client, &[expect, "closed"]);
    }
    let client = rig.join(super::hello(Version::V311, "c"));
    rig.subscribe_as(client, "a/+", plain(0), None);
    rig.expect(client, &["suback #1 [80]"]);
}

#[test]
fn limits_are_kept_on_both_sides_of_the_boundary() {
    use testament::broker::behaviour::Limits;
    let limited = |limits| Rig::new(Behaviour { limits, ..Behaviour::default() });

    let mut rig = limited(Limits { connections: 1, ..Limits::default() });
    let one = rig.join(v5("one"));
    let two = rig.open();
    rig.expect(two, &["closed"]);
    rig.drop_connection(one);
    rig.join(v5("three"));

    let mut rig = limited(Limits { sessions: 1, ..Limits::default() });
    rig.join(v5("one"));
    rig.join(v5("one"));
    let two = rig.connect(v5("two"));
    rig.expect(two, &["connack 97 0", "closed"]);
    let two = rig.connect(hello(Version::V311, "two"));
    rig.expect(two, &["connack 88 0", "closed"]);

    for (version, expect) in
        [(Version::V5, &["suback #1 [97]"][..]), (Version::V311, &["suback #1 [80]"]), (Version::V31, &["closed"])]
    {
        let mut rig = limited(Limits { subscriptions: 1, ..Limits::default() });
        let client = rig.join(hello(version, "c"));
        rig.subscribe(client, "a", plain(0));
        rig.subscribe(client, "a", plain(1));
        rig.subscribe_as(client, "b", plain(0), None);
        rig.expect(client, expect);
    }

    let mut rig = limited(Limits { retained: 1, ..Limits::default() });
    let client = rig.join(v5("c"));
    rig.subscribe(client, "#", plain(0));
    for (topic, payload, code) in
        [("a", "1", "00"), ("a", "2", "00"), ("b", "3", "97"), ("a", "", "00"), ("b", "4", "00")]
    {
        rig.send(client, &Packet::Publish(Publish { retain: true, ..message(topic, payload, 1, 1) }));
        assert_eq!(rig.came(client).last(), Some(&format!("puback #1 {code}")), "{topic} {payload}");
    }

    let mut rig = limited(Limits { queued: 2, ..Limits::default() });
    let lasting = having(Property::SessionExpiryInterval(9));
    let reader = rig.join(v5("reader").properties(&lasting));
    rig.subscribe(reader, "a", plain(1));
    rig.drop_connection(reader);
    let writer = rig.join(v5("writer"));
    for number in 1..=3 {
        rig.publish(writer, "a", &number.to_string(), 1, number);
    }
    let reader = rig.connect(v5("reader").resume());
    rig.expect(reader, &["connack 00 1", "publish a=1 q1 #1", "publish a=2 q1 #2"]);

    // A message of 60 bytes takes some more than that, but not twice as much.
    let mut rig = limited(Limits { queued_bytes: 120, ..Limits::default() });
    let reader = rig.join(v5("reader").properties(&lasting));
    rig.subscribe(reader, "a", plain(1));
    rig.drop_connection(reader);
    let writer = rig.join(v5("writer"));
    for number in 1..=2 {
        rig.publish(writer, "a", &number.to_string().repeat(60), 1, number);
        rig.publish(writer, "a", "", 1, number);
    }
    let reader = rig.connect(v5("reader").resume());
    assert_eq!(rig.came(reader).len(), 4, "CONNACK, the first long one, and both short ones");
}

#[test]
fn a_slow_reader_holds_back_its_own_messages_and_then_its_own_writing() {
    use testament::broker::behaviour::Limits;
    let limits = Limits { queued_qos_0: 1, unread: 8, ..Limits::default() };
    let mut rig = Rig::new(Behaviour { limits, ..Behaviour::default() });
    let reader = rig.open_with(100);
    rig.connect_on(reader, hello(Version::V311, "reader"));
    rig.subscribe_as(reader, "a", plain(1), None);
    rig.came(reader);
    let writer = rig.join(hello(Version::V311, "writer"));
    let big = "x".repeat(100);
    rig.publish(writer, "a", &big, 0, 0);
    assert_eq!(rig.came(reader).len(), 1, "sent beyond the room, and then no more");
    for (number, level) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        rig.publish(writer, "a", &number.to_string(), level, number * u16::from(level));
    }
    rig.expect(reader, &[]);
    assert_eq!(rig.came(writer), ["puback #3 00", "puback #4 00"], "a slow reader slows no writer");
    // What it asks is answered, but when it does not read the answers it is read no more.
    rig.feed(Input::Writable { conn: ConnId(reader), room: 0 });
    for _ in 0..4 {
        assert!(!rig.clients[&reader].paused);
        rig.send(reader, &Packet::PingReq);
    }
    assert!(rig.clients[&reader].paused);
    rig.came(reader);
    rig.feed(Input::Writable { conn: ConnId(reader), room: 100 });
    assert!(!rig.clients[&reader].paused);
    rig.expect(reader, &["publish a=3 q1 #1", "publish a=4 q1 #2", "publish a=1 q0"]);
}

#[test]
fn shutting_down_tells_everybody() {
    let mut rig = Rig::new(Behaviour::default());
    let new = rig.join(v5("new"));
    let old = rig.join(hello(Version::V311, "old"));
    let fresh = rig.open();
    rig.broker.shut_down(rig.now);
    rig.drain();
    rig.expect(new, &["disconnect 8b", "closed"]);
    rig.expect(old, &["closed"]);
    rig.expect(fresh, &["closed"]);
}

#[test]
fn reports_come_to_who_asks_for_them_and_only_then() {
    let mut rig = Rig::new(Behaviour::default());
    let all = rig.join(v5("all"));
    rig.subscribe(all, "#", plain(0));
    assert_eq!(rig.broker.deadline(), None);
    let reader = rig.join(v5("reader"));
    rig.subscribe_as(reader, "$SYS/broker/clients/#", plain(0), None);
    let came = ["publish $SYS/broker/clients/connected=2 q0", "publish $SYS/broker/clients/total=2 q0"];
    rig.expect(reader, &["suback #1 [00]", &format!("{} retain", came[0]), &format!("{} retain", came[1])]);
    rig.wait(seconds(10));
    rig.expect(reader, &came);
    rig.drop_connection(reader);
    rig.wait(seconds(20));
    assert_eq!(rig.broker.deadline(), None, "the last report that nobody heard was the last");
    // Nobody but the broker publishes there, and to other `$` topics only by permission.
    for topic in ["$SYS/broker/uptime", "$mine/x"] {
        rig.publish(all, topic, "x", 1, 1);
        rig.expect(all, &["puback #1 87"]);
    }
}

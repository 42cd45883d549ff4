//! Handshakes, quotas, expiry and aliases.

use super::*;

#[test]
fn every_qos_goes_through_in_every_version() {
    for version in Version::ALL {
        let mut rig = Rig::new(Behaviour::default());
        let reader = rig.join(hello(version, "reader"));
        let writer = rig.join(hello(version, "writer"));
        rig.subscribe(reader, "a/+", plain(2));
        rig.publish(writer, "a/0", "zero", 0, 0);
        rig.publish(writer, "a/1", "one", 1, 1);
        rig.publish(writer, "a/2", "two", 2, 2);
        rig.expect(writer, &["puback #1 00", "pubrec #2 00"]);
        rig.send(writer, &Packet::PubRel(Ack::success(id(2))));
        rig.expect(writer, &["pubcomp #2 00"]);
        rig.expect(reader, &["publish a/0=zero q0", "publish a/1=one q1 #1", "publish a/2=two q2 #2"]);
        rig.send(reader, &Packet::PubAck(Ack::success(id(1))));
        rig.send(reader, &Packet::PubRec(Ack::success(id(2))));
        rig.expect(reader, &["pubrel #2 00"]);
        rig.send(reader, &Packet::PubComp(Ack::success(id(2))));
        rig.expect(reader, &[]);
    }
}

#[test]
fn qos_2_is_resumed_before_and_after_pubrel() {
    let expiry = having(Property::SessionExpiryInterval(100));
    let mut rig = Rig::new(Behaviour::default());
    let reader = rig.join(v5("reader").properties(&expiry));
    let writer = rig.join(v5("writer").properties(&expiry));
    rig.subscribe(reader, "a", plain(2));
    // Inbound: the repeat is acknowledged and not passed on, also on another connection.
    rig.publish(writer, "a", "1", 2, 7);
    rig.expect(writer, &["pubrec #7 00"]);
    rig.drop_connection(writer);
    let writer = rig.connect(v5("writer").resume().properties(&expiry));
    rig.expect(writer, &["connack 00 1"]);
    rig.send(writer, &Packet::Publish(Publish { dup: true, ..message("a", "1", 2, 7) }));
    rig.send(writer, &Packet::PubRel(Ack::success(id(7))));
    rig.send(writer, &Packet::PubRel(Ack::success(id(7))));
    rig.expect(writer, &["pubrec #7 00", "pubcomp #7 00", "pubcomp #7 92"]);
    rig.expect(reader, &["publish a=1 q2 #1"]);
    rig.publish(writer, "a", "2", 2, 7);
    rig.expect(reader, &["publish a=2 q2 #2"]);
    // Outbound: PUBLISH with DUP before PUBREC, PUBREL alone after it.
    rig.send(reader, &Packet::PubRec(Ack::success(id(2))));
    rig.expect(reader, &["pubrel #2 00"]);
    rig.drop_connection(reader);
    let reader = rig.connect(v5("reader").resume().properties(&expiry));
    rig.expect(reader, &["connack 00 1", "pubrel #2 00", "publish a=1 q2 #1 dup"]);
    rig.send(reader, &Packet::PubRec(Ack::success(id(1))));
    rig.send(reader, &Packet::PubRec(Ack::success(id(1))));
    rig.expect(reader, &["pubrel #1 00", "pubrel #1 00"]);
    rig.send(reader, &Packet::PubComp(Ack::success(id(1))));
    rig.send(reader, &Packet::PubComp(Ack::success(id(2))));
    rig.send(reader, &Packet::PubRec(Ack::success(id(3))));
    rig.expect(reader, &["pubrel #3 92"]);
    rig.drop_connection(reader);
    let reader = rig.connect(v5("reader").resume().properties(&expiry));
    rig.expect(reader, &["connack 00 1"]);
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_ends_the_connection() {
    let mut rig = Rig::new(Behaviour::default());
    for (level, wrong) in [(1, Packet::PubRec as fn(_) -> _), (2, Packet::PubAck), (2, Packet::PubComp)] {
        let reader = rig.join(v5("reader"));
        rig.subscribe(reader, "a", plain(2));
        rig.publish(reader, "a", "x", level, 1);
        rig.came(reader);
        rig.send(reader, &wrong(Ack::success(id(1))));
        rig.expect(reader, &["disconnect 82", "closed"]);
    }
    let reader = rig.join(v5("reader"));
    rig.send(reader, &Packet::PubAck(Ack::success(id(9))));
    rig.send(reader, &Packet::PubComp(Ack::success(id(9))));
    rig.expect(reader, &[]);
}

#[test]
fn a_client_gets_no_more_than_its_receive_maximum() {
    let mut rig = Rig::new(Behaviour::default());
    let properties = having(Property::ReceiveMaximum(2)).with(Property::SessionExpiryInterval(9));
    let reader = rig.join(v5("reader").properties(&properties));
    rig.subscribe(reader, "a", plain(2));
    let writer = rig.join(v5("writer"));
    for number in 1..=4 {
        rig.publish(writer, "a", &number.to_string(), 1, number);
    }
    rig.publish(writer, "a", "0", 0, 0);
    rig.expect(reader, &["publish a=1 q1 #1", "publish a=2 q1 #2", "publish a=0 q0"]);
    rig.send(reader, &Packet::PingReq);
    rig.expect(reader, &["PINGRESP"]);
    rig.send(reader, &Packet::PubAck(Ack::success(id(2))));
    rig.expect(reader, &["publish a=3 q1 #3"]);
    // A new connection has a new quota, and what is repeated keeps to it.
    rig.drop_connection(reader);
    let properties = having(Property::ReceiveMaximum(1));
    let reader = rig.connect(v5("reader").resume().properties(&properties));
    rig.expect(reader, &["connack 00 1", "publish a=1 q1 #1 dup"]);
    rig.send(reader, &Packet::PubAck(Ack::success(id(1))));
    rig.expect(reader, &["publish a=3 q1 #3 dup"]);
    rig.send(reader, &Packet::PubAck(Ack { reason: ReasonCode::UnspecifiedError, ..Ack::success(id(3)) }));
    rig.expect(reader, &["publish a=4 q1 #4"]);
}

#[test]
fn a_client_may_have_as_many_unfinished_as_announced_and_no_more() {
    for (version, ends) in [(Version::V5, true), (Version::V311, false)] {
        let mut rig = Rig::new(Behaviour { receive_maximum: 2, ..Behaviour::default() });
        let writer = rig.join(hello(version, "writer"));
        rig.publish(writer, "a", "1", 2, 1);
        rig.publish(writer, "a", "2", 2, 2);
        rig.send(writer, &Packet::PubRel(Ack::success(id(1))));
        rig.publish(writer, "a", "3", 2, 3);
        assert!(!rig.came(writer).contains(&"closed".to_owned()));
        rig.publish(writer, "a", "4", 1, 4);
        let expect: &[&str] = if ends { &["disconnect 93", "closed"] } else { &["puback #4 00"] };
        rig.expect(writer, expect);
    }
}

#[test]
fn expiry_is_counted_down_and_out() {
    let mut rig = Rig::new(Behaviour::default());
    let lasting = having(Property::SessionExpiryInterval(500));
    let reader = rig.join(v5("reader").properties(&lasting));
    rig.subscribe(reader, "a", plain(1));
    let writer = rig.join(v5("writer"));
    let send = |rig: &mut Rig, payload, expiry, retain| {
        let properties = having(Property::MessageExpiryInterval(expiry));
        let publish = Publish { retain, properties: properties.view(), ..message("a", payload, 1, 1) };
        rig.send(writer, &Packet::Publish(publish));
    };
    send(&mut rig, "live", 10, false);
    rig.expect(reader, &["publish a=live q1 #1 10s"]);
    rig.drop_connection(reader);
    send(&mut rig, "short", 10, false);
    send(&mut rig, "long", 11, true);
    rig.wait(Duration::from_millis(9_999));
    let late = rig.join(v5("late"));
    rig.subscribe_as(late, "a", plain(0), None);
    rig.expect(late, &["suback #1 [00]", "publish a=long q0 retain 2s"]);
    rig.wait(Duration::from_millis(1));
    let reader = rig.connect(v5("reader").resume().properties(&lasting));
    // What was sent before does not expire any more.
    rig.expect(reader, &["connack 00 1", "publish a=live q1 #1 dup 0s", "publish a=long q1 #2 1s"]);
    rig.wait(seconds(1));
    rig.subscribe_as(late, "a", plain(0), None);
    rig.expect(late, &["suback #1 [00]"]);
}

#[test]
fn topic_aliases_work_in_both_directions_and_die_with_the_connection() {
    let mut rig = Rig::new(Behaviour { topic_alias_maximum: 2, topic_aliases_used: 1, ..Behaviour::default() });
    let reader = rig.join(v5("reader").properties(&having(Property::TopicAliasMaximum(5))));
    rig.subscribe(reader, "#", plain(0));
    let send = |rig: &mut Rig, conn, topic, alias| {
        let properties = having(Property::TopicAlias(alias));
        rig.send(conn, &Packet::Publish(Publish { properties: properties.view(), ..message(topic, "x", 0, 0) }));
    };
    let writer = rig.join(v5("writer"));
    send(&mut rig, writer, "a", 2);
    send(&mut rig, writer, "", 2);
    send(&mut rig, writer, "b", 2);
    send(&mut rig, writer, "", 2);
    rig.expect(reader, &["publish a=x q0 alias1", "publish =x q0 alias1", "publish b=x q0", "publish b=x q0"]);
    send(&mut rig, writer, "", 1);
    rig.expect(writer, &["disconnect 82", "closed"]);
    let writer = rig.join(v5("writer"));
    send(&mut rig, writer, "", 2);
    rig.expect(writer, &["disconnect 82", "closed"]);
    let writer = rig.join(v5("writer"));
    send(&mut rig, writer, "c", 3);
    rig.expect(writer, &["disconnect 94", "closed"]);
    rig.expect(reader, &[]);
}

#[test]
fn a_packet_too_large_for_the_client_counts_as_delivered() {
    let mut rig = Rig::new(Behaviour::default());
    // PUBLISH: 2 header, 3 topic, 2 identifier, 1 property length, and the payload.
    let small = having(Property::MaximumPacketSize(100)).with(Property::ReceiveMaximum(1));
    let reader = rig.join(v5("reader").properties(&small));
    rig.subscribe(reader, "a", plain(1));
    let writer = rig.join(v5("writer"));
    rig.publish(writer, "a", &"x".repeat(93), 1, 1);
    rig.expect(reader, &[]);
    rig.publish(writer, "a", &"x".repeat(92), 1, 2);
    let came = rig.came(reader);
    assert!(came.len() == 1 && came[0].ends_with("q1 #2"), "{came:?}");
    rig.publish(writer, "a", &"x".repeat(93), 1, 3);
    rig.publish(writer, "a", "y", 1, 4);
    rig.send(reader, &Packet::PubAck(Ack::success(id(2))));
    rig.expect(reader, &["publish a=y q1 #4"]);
    rig.expect(writer, &["puback #1 00", "puback #2 00", "puback #3 00", "puback #4 00"]);
    // Reason strings give way.
    let tiny = having(Property::MaximumPacketSize(30));
    let client = rig.open();
    rig.connect_on(client, v5("tiny").properties(&tiny));
    rig.came(client);
    rig.publish(client, "$SYS/x", "x", 1, 1);
    rig.expect(client, &["puback #1 87"]);
    assert!(rig.clients[&client].raw.is_empty());
}

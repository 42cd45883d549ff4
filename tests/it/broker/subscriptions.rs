//! Subscriptions, shared ones, and retained messages.

use super::*;

#[test]
fn a_shared_subscription_is_fair_and_reroutes_what_a_dead_member_had() {
    let mut rig = Rig::new(Behaviour::default());
    let lasting = having(Property::SessionExpiryInterval(5)).with(Property::ReceiveMaximum(2));
    let one = rig.join(v5("one").properties(&lasting));
    let two = rig.join(v5("two"));
    rig.subscribe_as(one, "$share/g/a/#", plain(2), Some(1));
    rig.subscribe_as(two, "$share/g/a/#", plain(1), Some(2));
    rig.came(one);
    rig.came(two);
    let writer = rig.join(v5("writer"));
    for number in 1..=4 {
        rig.publish(writer, "a/x", &number.to_string(), 2, number);
    }
    rig.expect(one, &["publish a/x=1 q2 #1 sub1", "publish a/x=3 q2 #2 sub1"]);
    rig.expect(two, &["publish a/x=2 q1 #1 sub2", "publish a/x=4 q1 #2 sub2"]);
    // The one whose window is full is passed over; the one without a connection too.
    rig.publish(writer, "a/x", "5", 1, 5);
    rig.expect(two, &["publish a/x=5 q1 #3 sub2"]);
    rig.drop_connection(two);
    rig.publish(writer, "a/x", "6", 1, 6);
    rig.expect(one, &[]);
    // The session of `two` has ended with its connection: what it had not acknowledged waits for `one` now.
    rig.send(one, &Packet::PubRec(Ack { reason: ReasonCode::UnspecifiedError, ..Ack::success(id(1)) }));
    rig.expect(one, &["publish a/x=2 q2 #3 sub1"]);
    // What began at QoS 2 stays with `one`, and when its session ends goes to nobody.
    let three = rig.join(v5("three"));
    rig.subscribe_as(three, "$share/g/a/#", plain(0), None);
    rig.came(three);
    rig.drop_connection(one);
    rig.expect(three, &[]);
    rig.wait(seconds(5));
    rig.expect(three, &["publish a/x=4 q0", "publish a/x=5 q0", "publish a/x=6 q0"]);
}

#[test]
fn retained_messages_follow_retain_handling() {
    let mut rig = Rig::new(Behaviour::default());
    let writer = rig.join(v5("writer"));
    let retain = |rig: &mut Rig, topic, payload| {
        rig.send(writer, &Packet::Publish(Publish { retain: true, ..message(topic, payload, 1, 1) }));
    };
    retain(&mut rig, "a/1", "old");
    retain(&mut rig, "a/1", "one");
    retain(&mut rig, "a/2", "two");
    retain(&mut rig, "a/2", "");
    let handling = |number: u8| SubscriptionOptions::from_byte(1 | number << 4).expect("legal");
    let reader = rig.join(v5("reader"));
    for (options, brings) in [(1, true), (1, false), (0, true), (2, false), (0, true)] {
        rig.subscribe_as(reader, "a/#", handling(options), None);
        let came = rig.came(reader);
        assert_eq!(came.len(), 1 + usize::from(brings), "{options}: {came:?}");
    }
    // Live messages lose the flag, unless they are to keep it.
    retain(&mut rig, "a/3", "x");
    assert!(rig.came(reader)[0].starts_with("publish a/3=x q1 #") && !rig.came(reader).concat().contains("retain"));
    rig.subscribe_as(reader, "a/#", SubscriptionOptions { retain_as_published: true, ..handling(2) }, None);
    rig.came(reader);
    retain(&mut rig, "a/3", "y");
    rig.publish(writer, "a/3", "z", 0, 0);
    let came = rig.came(reader);
    assert!(came[0].ends_with("retain") && came[1] == "publish a/3=z q0", "{came:?}");
    // A shared subscription brings none.
    let other = rig.join(v5("other"));
    rig.subscribe_as(other, "$share/g/a/#", handling(0), None);
    rig.expect(other, &["suback #1 [01]"]);
}

#[test]
fn overlapping_subscriptions_bring_one_copy_or_several() {
    use testament::broker::behaviour::Overlap;
    for (overlap, expect) in [
        (Overlap::OneCopy, &["publish a/b=x q2 #1 sub1 sub2"][..]),
        (Overlap::CopyForEach, &["publish a/b=x q1 #1 sub1", "publish a/b=x q2 #2 sub2", "publish a/b=x q0"]),
    ] {
        let mut rig = Rig::new(Behaviour { overlap, ..Behaviour::default() });
        let reader = rig.join(v5("reader"));
        let own = SubscriptionOptions { no_local: true, ..plain(2) };
        rig.subscribe_as(reader, "a/#", plain(1), Some(1));
        rig.subscribe_as(reader, "a/b", plain(2), Some(2));
        rig.subscribe_as(reader, "+/b", plain(0), None);
        rig.came(reader);
        let writer = rig.join(v5("writer"));
        rig.publish(writer, "a/b", "x", 2, 1);
        rig.expect(reader, expect);
        // No local silences a subscription to what the client itself publishes.
        rig.subscribe_as(reader, "own", own, None);
        rig.came(reader);
        rig.publish(reader, "own", "x", 1, 9);
        rig.expect(reader, &["puback #9 10"]);
        rig.publish(writer, "own", "y", 0, 0);
        rig.expect(reader, &["publish own=y q0"]);
    }
}

#[test]
fn filters_are_judged_one_by_one() {
    let mut rig = Rig::new(Behaviour::default());
    let list = SubscriptionBuf::new()
        .with("a/#/b", plain(0))
        .with("a", plain(0))
        .with("$share/g", plain(0))
        .with("a", plain(2))
        .with("$share//a", plain(1));
    let ask =
        Packet::Subscribe(Subscribe { packet_id: id(9), properties: Properties::EMPTY, subscriptions: list.view() });
    let client = rig.join(v5("c"));
    rig.send(client, &ask);
    rig.expect(client, &["suback #9 [8f, 00, 8f, 02, 8f]"]);
    let client = rig.join(hello(Version::V311, "c"));
    rig.send(client, &ask);
    rig.expect(client, &["suback #9 [80, 00, 00, 02, 01]"]);
    // Before 5.0 `$share` is nothing but a name.
    rig.publish(client, "a", "x", 0, 0);
    rig.expect(client, &["publish a=x q0"]);
    let client = rig.join(hello(Version::V31, "c"));
    rig.send(client, &ask);
    rig.expect(client, &["closed"]);
    let client = rig.join(v5("c"));
    let local = SubscriptionOptions { no_local: true, ..plain(0) };
    rig.subscribe_as(client, "$share/g/a", local, None);
    rig.expect(client, &["disconnect 82", "closed"]);
}

#[test]
fn unsubscribing_takes_exactly_what_it_names() {
    let mut rig = Rig::new(Behaviour::default());
    let client = rig.join(v5("c"));
    for filter in ["a/+", "a/b", "$share/g/a/b"] {
        rig.subscribe(client, filter, plain(1));
    }
    let list =
        testament::packet::FilterBuf::new().with("a/b").with("a/#").with("a/b").with("a/#/b").with("$share/g/a/b");
    let ask = testament::packet::Unsubscribe { packet_id: id(3), properties: Properties::EMPTY, filters: list.view() };
    rig.publish(client, "a/b", "x", 1, 9);
    rig.came(client);
    rig.send(client, &Packet::Unsubscribe(ask));
    rig.expect(client, &["unsuback #3 [00, 11, 11, 8f, 00]"]);
    rig.publish(client, "a/b", "y", 0, 0);
    rig.expect(client, &["publish a/b=y q0"]);
    let old = rig.join(hello(Version::V311, "old"));
    rig.send(old, &Packet::Unsubscribe(ask));
    rig.expect(old, &["unsuback #3 []"]);
}

#[test]
fn problem_information_is_kept_back_on_request() {
    for (asked, told) in [(None, true), (Some(1), true), (Some(0), false)] {
        let mut rig = Rig::new(Behaviour::default());
        let properties =
            asked.map_or_else(PropertyBuf::new, |value| having(Property::RequestProblemInformation(value)));
        let client = rig.join(v5("c").properties(&properties));
        rig.publish(client, "$SYS/x", "x", 1, 1);
        rig.subscribe_as(client, "a/#/b", plain(0), None);
        rig.send(client, &Packet::PubRel(Ack::success(id(5))));
        for packet in &rig.clients[&client].came {
            let properties = match packet.packet() {
                Packet::PubAck(ack) | Packet::PubComp(ack) => ack.properties,
                Packet::SubAck(ack) => ack.properties,
                other => panic!("{other:?}"),
            };
            assert_eq!(properties.reason_string().is_some(), told, "{packet:?}");
        }
        rig.expect(client, &["puback #1 87", "suback #1 [8f]", "pubcomp #5 92"]);
        // DISCONNECT may always say why.
        rig.bytes(client, &[0xD0, 0]);
        let last = rig.clients[&client].came[0].clone();
        let Packet::Disconnect(disconnect) = last.packet() else { panic!("{last:?}") };
        assert!(disconnect.properties.reason_string().is_some());
    }
}

#[test]
fn retained_and_queued_messages_keep_their_properties_in_order() {
    let mut rig = Rig::new(Behaviour::default());
    let writer = rig.join(v5("writer"));
    let properties = having(Property::UserProperty("b", "1"))
        .with(Property::TopicAlias(1))
        .with(Property::ContentType("text"))
        .with(Property::UserProperty("a", "2"))
        .with(Property::MessageExpiryInterval(9));
    let publish = Publish { retain: true, properties: properties.view(), ..message("a", "x", 1, 1) };
    rig.send(writer, &Packet::Publish(publish));
    let reader = rig.join(v5("reader"));
    rig.subscribe_as(reader, "a", plain(0), Some(42));
    rig.expect(reader, &["suback #1 [00]", "publish a=x q0 retain 9s sub42 b:1 Content Type a:2"]);
    let old = rig.join(hello(Version::V311, "old"));
    rig.subscribe_as(old, "a", plain(2), None);
    rig.expect(old, &["suback #1 [02]", "publish a=x q1 #1 retain"]);
}

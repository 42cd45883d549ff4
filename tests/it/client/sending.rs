//! Messages out, and what a server takes.

use super::*;

#[test]
fn every_qos_goes_out_by_its_own_handshake() {
    for version in Version::ALL {
        let mut script = Script::up(options(version));
        script.publish("a", "0", AtMostOnce).unwrap();
        script.publish("a", "1", AtLeastOnce).unwrap();
        script.publish("a", "2", ExactlyOnce).unwrap();
        script.says(&["PUBLISH a=0 q0", "PUBLISH a=1 q1 #1", "PUBLISH a=2 q2 #2"]);
        assert_eq!(script.client.outstanding(), 2);
        script.hears(Packet::PubAck(ack(1)));
        script.tells(&["published 0x00"]);
        script.hears(Packet::PubRec(ack(2)));
        script.says(&["PUBREL #2"]);
        script.tells(&["published 0x00"]);
        assert_eq!(script.client.outstanding(), 1, "the handshake is not finished");
        script.hears(Packet::PubComp(ack(2)));
        script.says(&[]);
        script.tells(&[]);
        assert_eq!(script.client.outstanding(), 0);
    }
}

#[test]
fn a_refused_message_is_finished_and_says_so() {
    let mut script = Script::up(options(V5));
    script.publish("a", "1", AtLeastOnce).unwrap();
    script.publish("a", "2", ExactlyOnce).unwrap();
    script.hears(Packet::PubAck(refusal(1, ReasonCode::QuotaExceeded)));
    script.hears(Packet::PubRec(refusal(2, ReasonCode::NotAuthorized)));
    script.says(&["PUBLISH a=1 q1 #1", "PUBLISH a=2 q2 #2"]);
    script.tells(&["published 0x97", "published 0x87"]);
    assert_eq!(script.client.outstanding(), 0);
}

#[test]
fn acknowledgements_of_nothing_are_survived_and_of_the_wrong_kind_are_not() {
    for version in Version::ALL {
        let mut script = Script::up(options(version));
        script.hears(Packet::PubAck(ack(9)));
        script.hears(Packet::PubComp(ack(9)));
        script.hears(Packet::PingResp);
        script.says(&[]);
        script.hears(Packet::PubRec(ack(9)));
        script.hears(Packet::PubRel(ack(9)));
        // 5.0 says that it knows nothing of it; before, there is no way to.
        let answers = if version == V5 { ["PUBREL #9 0x92", "PUBCOMP #9 0x92"] } else { ["PUBREL #9", "PUBCOMP #9"] };
        script.says(&answers);
        script.publish("a", "2", ExactlyOnce).unwrap();
        script.says(&["PUBLISH a=2 q2 #1"]);
        script.hears(Packet::PubAck(ack(1)));
        script.parts("DISCONNECT 0x82");
    }
}

#[test]
fn quota_is_used_to_the_last_unit_and_not_beyond() {
    let mut script = Script::up_with(options(V5), properties([Property::ReceiveMaximum(2)]));
    for (payload, qos) in [("1", AtLeastOnce), ("2", ExactlyOnce), ("3", AtLeastOnce), ("4", ExactlyOnce)] {
        script.publish("a", payload, qos).unwrap();
    }
    script.says(&["PUBLISH a=1 q1 #1", "PUBLISH a=2 q2 #2"]);
    let filters = SubscriptionBuf::new().with("b", SubscriptionOptions::qos(AtMostOnce));
    script.client.subscribe(script.now, filters.view(), Properties::EMPTY).unwrap();
    script.says(&["SUBSCRIBE #3 b"]);
    script.hears(from_server("b", "in", AtLeastOnce, 1));
    script.says(&["PUBACK #1"]);
    script.hears(Packet::PubRec(ack(2)));
    script.says(&["PUBREL #2"]);
    script.hears(Packet::PubAck(ack(1)));
    script.says(&["PUBLISH a=3 q1 #4"]);
    script.hears(Packet::PubComp(ack(2)));
    script.says(&["PUBLISH a=4 q2 #5"]);
    script.hears(Packet::PubRec(refusal(5, ReasonCode::QuotaExceeded)));
    script.hears(Packet::PubAck(ack(4)));
    script.says(&[]);
    assert_eq!(script.client.outstanding(), 1, "the SUBSCRIBE");
}

#[test]
fn a_limit_of_our_own_holds_where_the_server_has_none() {
    let mut script = Script::up(Options { send_maximum: NonZeroU16::new(1).unwrap(), ..options(V311) });
    script.publish("a", "1", AtLeastOnce).unwrap();
    script.publish("a", "2", AtLeastOnce).unwrap();
    script.says(&["PUBLISH a=1 q1 #1"]);
    script.hears(Packet::PubAck(ack(1)));
    script.says(&["PUBLISH a=2 q1 #2"]);
}

#[test]
fn messages_wait_for_the_connection_and_for_room_and_keep_their_order() {
    let mut script = Script::new(Options { queue: 3, ..options(V311) });
    script.room = 40;
    for payload in ["1", "2", "3"] {
        script.publish("a", payload, AtLeastOnce).unwrap();
    }
    assert_eq!(script.publish("a", "4", AtLeastOnce), Err(Misuse::QueueFull));
    script.open();
    script.says(&["CONNECT"]);
    script.accept(false, &PropertyBuf::new());
    // CONNECT took 15 bytes of the room; a PUBLISH takes 8, and begins while there is any.
    script.says(&["PUBLISH a=1 q1 #1", "PUBLISH a=2 q1 #2", "PUBLISH a=3 q1 #3"]);
    script.publish("a", "4", AtMostOnce).unwrap();
    script.publish("a", "5", AtMostOnce).unwrap();
    script.publish("a", "6", AtMostOnce).unwrap();
    script.says(&["PUBLISH a=4 q0"]);
    script.client.handle(script.now, Input::Writable { conn: script.conn, room: 1 });
    script.says(&["PUBLISH a=5 q0"]);
    script.client.handle(script.now, Input::Writable { conn: script.conn, room: 1 });
    script.says(&["PUBLISH a=6 q0"]);
}

#[test]
fn topic_aliases_are_used_as_far_as_both_sides_go() {
    let mut script = Script::up_with(lasting(V5), properties([Property::TopicAliasMaximum(2)]));
    for topic in ["a", "b", "c", "a", "b", "c"] {
        script.publish(topic, "", AtMostOnce).unwrap();
    }
    script.publish("a", "kept", AtLeastOnce).unwrap();
    script.says(&[
        "PUBLISH a= q0 alias 1",
        "PUBLISH b= q0 alias 2",
        "PUBLISH c= q0",
        "PUBLISH = q0 alias 1",
        "PUBLISH = q0 alias 2",
        "PUBLISH c= q0",
        "PUBLISH =kept q1 #1 alias 1",
    ]);
    script.reconnect();
    script.says(&["CONNECT resume"]);
    script.accept(true, &properties([Property::TopicAliasMaximum(1)]));
    script.publish("b", "", AtMostOnce).unwrap();
    script.says(&["PUBLISH a=kept q1 #1 alias 1 dup", "PUBLISH b= q0"]);

    let mut script = Script::up(options(V5));
    script.publish("a", "", AtMostOnce).unwrap();
    script.says(&["PUBLISH a= q0"]);
    let mut script =
        Script::up_with(Options { topic_aliases: 0, ..options(V5) }, properties([Property::TopicAliasMaximum(9)]));
    script.publish("a", "", AtMostOnce).unwrap();
    script.says(&["PUBLISH a= q0"]);
}

#[test]
fn no_packet_is_larger_than_the_server_takes() {
    // A PUBLISH at QoS 1 with a one-byte topic takes 8 bytes and its payload.
    let limits = || properties([Property::MaximumPacketSize(18), Property::TopicAliasMaximum(5)]);
    let too_large = breaks(Rule::PacketTooLarge);
    let mut script = Script::up_with(lasting(V5), limits());
    assert_eq!(script.publish("a", "01234567890", AtLeastOnce), Err(too_large));
    script.publish("a", "0123456789", AtLeastOnce).unwrap();
    // An alias would have made it three bytes longer, so it goes without.
    script.says(&["PUBLISH a=0123456789 q1 #2"]);
    let filters = SubscriptionBuf::new().with("0123456789ab", SubscriptionOptions::default());
    assert_eq!(script.client.subscribe(script.now, filters.view(), Properties::EMPTY), Err(too_large));
    script.reconnect();
    script.publish("b", "01234567890", AtMostOnce).unwrap();
    script.publish("b", "0123456789a", AtLeastOnce).unwrap();
    script.publish("b", "0123456789", AtLeastOnce).unwrap();
    script.says(&["CONNECT resume"]);
    script.accept(true, &properties([Property::MaximumPacketSize(18)]));
    script.says(&["PUBLISH a=0123456789 q1 #2 dup", "PUBLISH b=01234567890 q0", "PUBLISH b=0123456789 q1 #5"]);
    script.tells(&["connected", &format!("dropped Unacceptable({too_large:?})")]);
    script.reconnect();
    script.says(&["CONNECT resume"]);
    script.accept(true, &properties([Property::MaximumPacketSize(17)]));
    script.says(&[]);
    let dropped = format!("dropped Unacceptable({too_large:?})");
    script.tells(&["connected", &dropped, &dropped]);
    assert_eq!(script.client.outstanding(), 0);
    script.wait(seconds(50));
    script.says(&[]);
    script.tells(&[]);
}

#[test]
fn what_fits_only_by_an_alias_is_not_taken() {
    let limits = properties([Property::MaximumPacketSize(20), Property::TopicAliasMaximum(5)]);
    let mut script = Script::up_with(options(V5), limits);
    script.publish("a-topic", "", AtLeastOnce).unwrap();
    script.publish("a-topic", "012345", AtLeastOnce).unwrap();
    script.says(&["PUBLISH a-topic= q1 #1 alias 1", "PUBLISH =012345 q1 #2 alias 1"]);
    assert_eq!(script.publish("a-topic", "0123456", AtLeastOnce), Err(breaks(Rule::PacketTooLarge)));
    script.says(&[]);
}

#[test]
fn a_server_that_takes_no_acknowledgement_is_left() {
    for (limit, expect) in [(5, "connected"), (4, "leaves no room for an acknowledgement")] {
        let mut script = Script::new(options(V5));
        script.open();
        script.accept(false, &properties([Property::MaximumPacketSize(limit)]));
        let told = script.drain_events();
        assert!(told.len() == 1 && told[0].contains(expect), "{told:?}");
    }
}

#[test]
fn what_the_server_does_not_offer_is_not_asked_for() {
    let limits = properties([
        Property::MaximumQoS(1),
        Property::RetainAvailable(0),
        Property::WildcardSubscriptionAvailable(0),
        Property::SharedSubscriptionAvailable(0),
        Property::SubscriptionIdentifierAvailable(0),
    ]);
    let mut script = Script::up_with(options(V5), limits.clone());
    let retained = Publish { retain: true, ..message("a", "", AtMostOnce) };
    assert_eq!(script.publish("a", "", ExactlyOnce), Err(breaks(Rule::QosNotSupported)));
    assert_eq!(script.client.publish(script.now, &retained), Err(breaks(Rule::RetainNotSupported)));
    let mut subscribe = |filter: &str, identifier: Option<u32>| {
        let filters = SubscriptionBuf::new().with(filter, SubscriptionOptions::default());
        let list = identifier.map(|id| properties([Property::SubscriptionIdentifier(id)])).unwrap_or_default();
        script.client.subscribe(script.now, filters.view(), list.view()).map(|_| ())
    };
    assert_eq!(subscribe("a/+", None), Err(breaks(Rule::WildcardSubscriptionsNotSupported)));
    assert_eq!(subscribe("$share/g/a", None), Err(breaks(Rule::SharedSubscriptionsNotSupported)));
    assert_eq!(subscribe("a", Some(1)), Err(breaks(Rule::SubscriptionIdentifiersNotSupported)));
    assert_eq!(subscribe("a", None), Ok(()));
    script.says(&["SUBSCRIBE #1 a"]);

    // What was taken before the server spoke is dropped where it says no, and nothing else is.
    let mut script = Script::new(options(V5));
    script.publish("a", "2", ExactlyOnce).unwrap();
    script.client.publish(script.now, &retained).unwrap();
    script.publish("a", "1", AtLeastOnce).unwrap();
    script.open();
    script.says(&["CONNECT"]);
    script.accept(false, &limits);
    script.says(&["PUBLISH a=1 q1 #1"]);
    script.tells(&[
        "connected",
        &format!("dropped Unacceptable({:?})", breaks(Rule::QosNotSupported)),
        &format!("dropped Unacceptable({:?})", breaks(Rule::RetainNotSupported)),
    ]);
}

#[test]
fn a_command_no_packet_could_carry_out_is_misuse() {
    let mut script = Script::up(options(V5));
    let now = script.now;
    assert!(matches!(script.publish("", "", AtMostOnce), Err(Misuse::Topic(_))));
    assert!(matches!(script.publish("a/#", "", AtMostOnce), Err(Misuse::Topic(_))));
    assert!(matches!(script.publish(&"t".repeat(65_536), "", AtMostOnce), Err(Misuse::Topic(_))));
    script.publish(&"t".repeat(65_535), "", AtMostOnce).unwrap();
    let with = |property| properties([property]);
    let mut publish = |list: PropertyBuf| {
        script.client.publish(now, &Publish { properties: list.view(), ..message("a", "", AtMostOnce) }).map(|_| ())
    };
    assert_eq!(publish(with(Property::TopicAlias(1))), Err(Misuse::TopicAlias));
    assert!(publish(with(Property::SubscriptionIdentifier(1))).is_err());
    assert!(publish(with(Property::ReceiveMaximum(1))).is_err());
    assert_eq!(publish(with(Property::ContentType("text"))), Ok(()));
    let mut subscribe = |filter: &str, no_local| {
        let filters = SubscriptionBuf::new().with(filter, SubscriptionOptions { no_local, ..Default::default() });
        script.client.subscribe(now, filters.view(), Properties::EMPTY).map(|_| ())
    };
    assert!(matches!(subscribe("a#", false), Err(Misuse::Filter(_))));
    assert!(matches!(subscribe("$share//a", false), Err(Misuse::Filter(_))));
    assert_eq!(subscribe("$share/g/a", true), Err(breaks(Rule::NoLocalOnShared)));
    assert_eq!(subscribe("a", true), Ok(()));
    assert!(script.client.subscribe(now, SubscriptionBuf::new().view(), Properties::EMPTY).is_err());
    assert!(script.client.unsubscribe(now, FilterBuf::new().view(), Properties::EMPTY).is_err());
    assert_eq!(script.client.reauthenticate(now), Err(Misuse::NoAuthentication));
    let expiry = with(Property::SessionExpiryInterval(1));
    let server_only = with(Property::ServerReference("there"));
    assert!(script.client.disconnect(now, ReasonCode::Success, server_only.view()).is_err());
    assert!(script.client.disconnect(now, ReasonCode::ServerBusy, Properties::EMPTY).is_err());
    let raised = script.client.disconnect(now, ReasonCode::Success, expiry.view());
    assert_eq!(raised, Err(breaks(Rule::SessionExpiryRaised)));
    let mut script = Script::up(options(V311));
    let named = with(Property::ContentType("text"));
    let publish = Publish { properties: named.view(), ..message("a", "", AtMostOnce) };
    assert!(script.client.publish(now, &publish).is_err(), "3.1.1 has no properties");
    let mut script = Script::new(options(V5));
    let filters = SubscriptionBuf::new().with("a", SubscriptionOptions::default());
    assert_eq!(script.client.subscribe(now, filters.view(), Properties::EMPTY), Err(Misuse::NotConnected));
}

#[test]
fn an_identity_no_connect_could_carry_is_misuse() {
    let check = |version, clean_start, id: &str, expect: Result<(), Misuse>| {
        let options = Options { clean_start, ..options(version) };
        let made = Client::new(Arc::new(options), Identity::named(id), 0).map(|_| ());
        assert_eq!(made, expect, "{version} {clean_start} {id}");
    };
    let long = "x".repeat(23);
    check(V31, true, "", Err(breaks(Rule::ClientIdEmpty)));
    check(V31, true, &long, Ok(()));
    check(V31, true, &(long.clone() + "x"), Err(breaks(Rule::ClientIdTooLong)));
    check(V311, true, "", Ok(()));
    check(V311, false, "", Err(breaks(Rule::ClientIdEmpty)));
    check(V311, false, &(long + "x"), Ok(()));
    check(V5, false, "", Ok(()));
    check(V5, true, &"x".repeat(65_536), Err(Misuse::Packet(violation::Misuse::FieldTooLong)));
    let spoken = |payload: &[u8], password: &[u8]| Identity {
        username: Some("u".into()),
        password: Some(password.into()),
        will: Some(Box::new(Will { topic: "w".into(), payload: payload.into(), ..Will::default() })),
        ..Identity::named("c")
    };
    for (identity, in_31) in
        [(spoken(b"bye", b"p"), true), (spoken(b"\xc3\xa9", b"p"), false), (spoken(b"bye", b"\xff"), false)]
    {
        assert_eq!(Client::new(Arc::new(options(V31)), identity.clone(), 0).is_ok(), in_31);
        assert!(Client::new(Arc::new(options(V311)), identity, 0).is_ok());
    }
    let hidden = Options { user_properties: properties([Property::SessionExpiryInterval(1)]), ..options(V5) };
    assert!(Client::new(Arc::new(hidden), Identity::named("c"), 0).is_err());
    let password_alone = Identity { password: Some(b"p".as_slice().into()), ..Identity::named("c") };
    assert!(Client::new(Arc::new(options(V311)), password_alone.clone(), 0).is_err());
    assert!(Client::new(Arc::new(options(V5)), password_alone, 0).is_ok());
    let will = Will { topic: "a/+".into(), ..Will::default() };
    let identity = Identity { will: Some(Box::new(will)), ..Identity::named("c") };
    assert!(Client::new(Arc::new(options(V5)), identity, 0).is_err());
}

//! The reference client, through bytes: a scripted server speaks, and what the client says, does and tells is written
//! down in one line each.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use harness::node::{Closed, ConnId, Input, Node, Output, Peer, Via};
use harness::time::Instant;
use testament::client::{Authenticator, Client, Event, Identity, Misuse, Options, Reconnect, Session, Token, Will};
use testament::codec::{self, frame::Framer};
use testament::packet::{
    Ack, Auth, ConnAck, Disconnect, FilterBuf, Packet, PacketId, Properties, Property, PropertyBuf, Publish, QoS,
    ReasonCode, ReasonCodes, Side, SubAck, Subscribe, SubscriptionBuf, SubscriptionOptions, UnsubAck, Version,
};
use testament::violation::{self, Rule};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use Version::{V5, V31, V311};

/// A client and the scripted server at its other end.
struct Script {
    client: Client,
    version: Version,
    now: Instant,
    /// The connection that stands, or would be next.
    conn: ConnId,
    framer: Framer,
    room: usize,
}

impl Script {
    /// Nothing has happened yet.
    fn new(options: Options) -> Self {
        Self::of(Client::new(Arc::new(options.clone()), Identity::named("c"), 1).unwrap(), options.version)
    }

    fn of(client: Client, version: Version) -> Self {
        Self { client, version, now: Instant::ZERO, conn: ConnId(0), framer: Framer::new(), room: 1 << 20 }
    }

    /// Connected, with these properties in CONNACK.
    fn up_with(options: Options, properties: PropertyBuf) -> Self {
        let connect = if options.clean_start { "CONNECT" } else { "CONNECT resume" };
        let mut script = Self::new(options);
        script.open();
        script.says(&[connect]);
        script.accept(false, &properties);
        script.tells(&["connected"]);
        script
    }

    fn up(options: Options) -> Self {
        Self::up_with(options, PropertyBuf::new())
    }

    /// The connection the client asks for now comes about.
    fn open(&mut self) {
        self.client.handle(self.now, Input::Wake);
        let Some(Output::Open { ticket }) = self.client.poll() else { panic!("no connection is asked for") };
        self.framer = Framer::new();
        let (conn, via, peer, room) = (self.conn, Via::Ticket(ticket), Peer::default(), self.room);
        self.client.handle(self.now, Input::Opened { conn, via, peer, room });
    }

    fn accept(&mut self, session_present: bool, properties: &PropertyBuf) {
        let properties = properties.view();
        self.hears(Packet::ConnAck(ConnAck { session_present, reason: ReasonCode::Success, properties }));
    }

    /// The connection breaks, and the client comes back as soon as it wants to.
    fn reconnect(&mut self) {
        self.lose();
        self.drain_events();
        self.come_back();
    }

    /// Time passes until the client tries again.
    fn come_back(&mut self) {
        self.now = self.client.deadline().expect("it wants to come back");
        self.open();
    }

    fn lose(&mut self) {
        self.client.handle(self.now, Input::Closed { conn: self.conn, how: Closed::Reset });
    }

    fn hears(&mut self, packet: Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(&packet, self.version, &mut bytes).unwrap();
        self.hears_bytes(&bytes);
    }

    fn hears_bytes(&mut self, bytes: &[u8]) {
        self.client.handle(self.now, Input::Bytes { conn: self.conn, bytes });
    }

    fn hears_aliased(&mut self, topic: &str, alias: u16) {
        let list = properties([Property::TopicAlias(alias)]);
        self.hears(Packet::Publish(Publish { properties: list.view(), ..message(topic, "", AtMostOnce) }));
    }

    fn publish(&mut self, topic: &str, payload: &str, qos: QoS) -> Result<Token, Misuse> {
        self.client.publish(self.now, &message(topic, payload, qos))
    }

    /// Lets time pass, and wakes the client whenever it wants to be.
    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.client.deadline().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline in the past: {at}");
            self.now = at;
            self.client.handle(at, Input::Wake);
            if self.client.deadline() == Some(at) {
                break;
            }
        }
        self.now = end;
    }

    /// Everything the client wants done, in words.
    #[track_caller]
    fn says(&mut self, expect: &[&str]) {
        let mut lines = Vec::new();
        while let Some(output) = self.client.poll() {
            match output {
                Output::Send { conn, head, tail } => {
                    assert!(conn == self.conn && tail.is_none());
                    let mut bytes = head;
                    while let Some(frame) = self.framer.next(&mut bytes, u32::MAX).unwrap() {
                        lines.push(said(&codec::decode(frame, self.version, Side::Client).unwrap()));
                    }
                }
                Output::Close { conn, how } => {
                    assert_eq!(conn, self.conn);
                    lines.push(format!("close {how:?}"));
                }
                Output::Open { .. } => lines.push("open".to_owned()),
                Output::Pause { paused, .. } => lines.push(format!("pause {paused}")),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(lines, expect);
    }

    /// The client ends the connection because the server broke the standard; in 5.0 with a word.
    #[track_caller]
    fn parts(&mut self, word: &str) {
        if self.version == V5 { self.says(&[word, "close Gracefully"]) } else { self.says(&["close Gracefully"]) }
    }

    /// Everything the client tells its application, in words.
    #[track_caller]
    fn tells(&mut self, expect: &[&str]) {
        assert_eq!(self.drain_events(), expect);
    }

    fn drain_events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.client.poll_event()).map(|event| told(&event)).collect()
    }
}

/// `PUBLISH a=x q1 #1 dup`.
fn said(packet: &Packet<'_>) -> String {
    let name = packet.packet_type().as_str();
    match packet {
        Packet::Connect(connect) => format!("{name}{}", if connect.clean_start { "" } else { " resume" }),
        Packet::Publish(publish) => format!("{name} {}", shown(publish)),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            let failure = if ack.reason.is_error() { format!(" 0x{:02X}", ack.reason.code()) } else { String::new() };
            format!("{name} #{}{failure}", ack.packet_id)
        }
        Packet::Subscribe(Subscribe { packet_id, subscriptions, .. }) => {
            format!("{name} #{packet_id} {}", subscriptions.iter().map(|s| s.filter).collect::<Vec<_>>().join(" "))
        }
        Packet::Unsubscribe(unsubscribe) => {
            let filters: Vec<&str> = unsubscribe.filters.iter().collect();
            format!("{name} #{} {}", unsubscribe.packet_id, filters.join(" "))
        }
        Packet::Disconnect(disconnect) => format!("{name} 0x{:02X}", disconnect.reason.code()),
        Packet::Auth(auth) => {
            let data = auth.properties.authentication_data().unwrap_or_default();
            format!("{name} 0x{:02X} {}", auth.reason.code(), String::from_utf8_lossy(data))
        }
        _ => name.to_owned(),
    }
}

fn shown(publish: &Publish<'_>) -> String {
    let payload = String::from_utf8_lossy(publish.payload);
    let mut line = format!("{}={payload} q{}", publish.topic, publish.qos as u8);
    if let Some(id) = publish.packet_id {
        line += &format!(" #{id}");
    }
    if let Some(alias) = publish.properties.topic_alias() {
        line += &format!(" alias {alias}");
    }
    for (set, word) in [(publish.dup, " dup"), (publish.retain, " retain")] {
        line += if set { word } else { "" };
    }
    line
}

fn told(event: &Event) -> String {
    match event {
        Event::Connected(_) => "connected".to_owned(),
        Event::Message(message) => format!("message {}", shown(&message.publish())),
        Event::Published(_, reason) => format!("published 0x{:02X}", reason.code()),
        Event::Subscribed(_, packet) => match packet.packet() {
            Packet::SubAck(suback) => format!("subscribed {:02X?}", suback.reasons.as_bytes()),
            other => panic!("{other:?}"),
        },
        Event::Unsubscribed(..) => "unsubscribed".to_owned(),
        Event::Dropped(_, why) => format!("dropped {why:?}"),
        Event::Reauthenticated => "reauthenticated".to_owned(),
        Event::Disconnected { why, again_at } => {
            format!("{why}; {}", if again_at.is_some() { "trying again" } else { "staying away" })
        }
    }
}

fn message<'a>(topic: &'a str, payload: &'a str, qos: QoS) -> Publish<'a> {
    let payload = payload.as_bytes();
    Publish { dup: false, qos, retain: false, topic, packet_id: None, properties: Properties::EMPTY, payload }
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn ack(number: u16) -> Ack<'static> {
    Ack::success(id(number))
}

fn refusal(number: u16, reason: ReasonCode) -> Ack<'static> {
    Ack { reason, ..ack(number) }
}

/// A PUBLISH of the server's.
fn from_server<'a>(topic: &'a str, payload: &'a str, qos: QoS, number: u16) -> Packet<'a> {
    Packet::Publish(Publish { packet_id: PacketId::new(number), ..message(topic, payload, qos) })
}

fn properties<const N: usize>(list: [Property<'_>; N]) -> PropertyBuf {
    list.into_iter().fold(PropertyBuf::new(), PropertyBuf::with)
}

fn options(version: Version) -> Options {
    Options { version, ..Options::default() }
}

/// A session that outlives its connections.
fn lasting(version: Version) -> Options {
    Options { clean_start: version == V5, session_expiry: if version == V5 { 3600 } else { 0 }, ..options(version) }
}

fn breaks(rule: Rule) -> Misuse {
    Misuse::Packet(violation::Misuse::Illegal(rule))
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

// Messages out.

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
    let password_alone = Identity { password: Some(b"p".as_slice().into()), ..Identity::named("c") };
    assert!(Client::new(Arc::new(options(V311)), password_alone.clone(), 0).is_err());
    assert!(Client::new(Arc::new(options(V5)), password_alone, 0).is_ok());
    let will = Will { topic: "a/+".into(), ..Will::default() };
    let identity = Identity { will: Some(Box::new(will)), ..Identity::named("c") };
    assert!(Client::new(Arc::new(options(V5)), identity, 0).is_err());
}

// Messages in.

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
        script.hears(Packet::PubRel(ack(5)));
        script.says(&["PUBCOMP #5"]);
        script.tells(&[]);
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

// The session.

/// A session with one message in each stage, in the order of their identifiers: unacknowledged at QoS 1 and 2,
/// released, unacknowledged; and one that waits for quota.
fn unfinished(options: Options) -> Script {
    let version = options.version;
    let mut script = Script::up_with(options, receive_maximum(version, 4));
    for (payload, qos) in [("1", AtLeastOnce), ("2", ExactlyOnce), ("3", ExactlyOnce), ("4", AtLeastOnce)] {
        script.publish("a", payload, qos).unwrap();
    }
    script.hears(Packet::PubRec(ack(3)));
    script.says(&["PUBLISH a=1 q1 #1", "PUBLISH a=2 q2 #2", "PUBLISH a=3 q2 #3", "PUBLISH a=4 q1 #4", "PUBREL #3"]);
    script.tells(&["published 0x00"]);
    script.reconnect();
    script
}

fn receive_maximum(version: Version, number: u16) -> PropertyBuf {
    if version == V5 { properties([Property::ReceiveMaximum(number)]) } else { PropertyBuf::new() }
}

#[test]
fn a_resumed_session_goes_on_where_it_was() {
    for version in Version::ALL {
        let mut script = unfinished(lasting(version));
        script.says(&["CONNECT resume"]);
        script.publish("a", "5", AtLeastOnce).unwrap();
        script.accept(version != V31, &PropertyBuf::new());
        script.says(&[
            "PUBREL #3",
            "PUBLISH a=1 q1 #1 dup",
            "PUBLISH a=2 q2 #2 dup",
            "PUBLISH a=4 q1 #4 dup",
            "PUBLISH a=5 q1 #5",
        ]);
        script.tells(&["connected"]);
        script.hears(Packet::PubComp(ack(3)));
        script.hears(Packet::PubRec(ack(2)));
        script.says(&["PUBREL #2"]);
        script.reconnect();
        script.says(&["CONNECT resume"]);
        script.accept(version != V31, &PropertyBuf::new());
        script.says(&["PUBREL #2", "PUBLISH a=1 q1 #1 dup", "PUBLISH a=4 q1 #4 dup", "PUBLISH a=5 q1 #5 dup"]);
    }
}

#[test]
fn a_resumed_session_keeps_the_new_quota() {
    let mut script = unfinished(lasting(V5));
    script.says(&["CONNECT resume"]);
    script.accept(true, &receive_maximum(V5, 2));
    script.says(&["PUBREL #3", "PUBLISH a=1 q1 #1 dup"]);
    script.hears(Packet::PubAck(ack(1)));
    script.says(&["PUBLISH a=2 q2 #2 dup"]);
    script.publish("a", "5", AtLeastOnce).unwrap();
    script.hears(Packet::PubComp(ack(3)));
    script.says(&["PUBLISH a=4 q1 #4 dup"]);
    script.hears(Packet::PubAck(ack(4)));
    script.says(&["PUBLISH a=5 q1 #5"]);
}

#[test]
fn where_the_server_lost_the_session_messages_begin_anew() {
    for version in [V311, V5] {
        let mut script = unfinished(lasting(version));
        script.says(&["CONNECT resume"]);
        script.publish("a", "5", AtLeastOnce).unwrap();
        script.accept(false, &PropertyBuf::new());
        // New identifiers, no DUP, and what the server has released is its own affair.
        script.says(&["PUBLISH a=1 q1 #5", "PUBLISH a=2 q2 #6", "PUBLISH a=4 q1 #7", "PUBLISH a=5 q1 #8"]);
        script.tells(&["connected"]);
    }
}

#[test]
fn a_session_that_ends_with_its_connection_takes_its_messages_along() {
    for version in Version::ALL {
        let mut script = Script::up(options(version));
        script.publish("a", "1", AtLeastOnce).unwrap();
        script.says(&["PUBLISH a=1 q1 #1"]);
        script.lose();
        assert_eq!(script.drain_events()[0], "dropped SessionEnded");
        script.publish("a", "2", AtLeastOnce).unwrap();
        script.come_back();
        script.says(&["CONNECT"]);
        script.accept(false, &PropertyBuf::new());
        script.says(&["PUBLISH a=2 q1 #2"]);
    }
}

#[test]
fn a_session_is_dropped_when_it_has_expired_and_not_before() {
    // The server may shorten it: what it says counts.
    for (away, connect) in [(seconds(10) - Duration::from_nanos(1), "CONNECT resume"), (seconds(10), "CONNECT")] {
        let reconnect = Some(Reconnect { first: Duration::ZERO, ..Reconnect::default() });
        let options = Options { reconnect, ..lasting(V5) };
        let mut script = Script::up_with(options, properties([Property::SessionExpiryInterval(10)]));
        script.publish("a", "1", AtLeastOnce).unwrap();
        script.says(&["PUBLISH a=1 q1 #1"]);
        script.lose();
        script.now += away;
        script.open();
        script.says(&[connect]);
        let dropped = script.drain_events().iter().filter(|line| *line == "dropped SessionEnded").count();
        assert_eq!(dropped, usize::from(connect == "CONNECT"));
    }
}

#[test]
fn a_session_nobody_here_knows_is_not_entered_in_5_0() {
    let resume = |version| Options { clean_start: false, ..lasting(version) };
    let mut script = Script::new(resume(V5));
    script.open();
    script.says(&["CONNECT resume"]);
    script.accept(true, &PropertyBuf::new());
    script.says(&["DISCONNECT 0x80", "close Gracefully"]);
    script.tells(&["the server resumed a session that is not known here; staying away"]);

    let mut script = Script::new(resume(V311));
    script.open();
    script.accept(true, &PropertyBuf::new());
    script.tells(&["connected"]);

    let known = Client::new(Arc::new(resume(V5)), Identity::named("c"), 0).unwrap().with_session(Session::default());
    let mut script = Script::of(known, V5);
    script.open();
    script.says(&["CONNECT resume"]);
    script.accept(true, &PropertyBuf::new());
    script.tells(&["connected"]);

    // After a clean start there is none to resume.
    let mut script = Script::new(options(V5));
    script.open();
    script.says(&["CONNECT"]);
    script.accept(true, &PropertyBuf::new());
    script.parts("DISCONNECT 0x82");
}

#[test]
fn a_session_can_be_carried_from_run_to_run() {
    let mut script = unfinished(lasting(V5));
    script.says(&["CONNECT resume"]);
    let session = script.client.into_session();
    let next = Client::new(Arc::new(lasting(V5)), Identity::named("c"), 2).unwrap().with_session(session);
    let mut script = Script::of(next, V5);
    script.open();
    script.says(&["CONNECT resume"]);
    script.accept(true, &PropertyBuf::new());
    script.says(&["PUBREL #3", "PUBLISH a=1 q1 #1 dup", "PUBLISH a=2 q2 #2 dup", "PUBLISH a=4 q1 #4 dup"]);
}

#[test]
fn an_assigned_identifier_is_used_from_then_on() {
    let nameless = Client::new(Arc::new(lasting(V5)), Identity::named(""), 0).unwrap();
    let mut script = Script::of(nameless, V5);
    script.open();
    script.says(&["CONNECT"]);
    script.accept(false, &properties([Property::AssignedClientIdentifier("yours")]));
    assert_eq!(script.client.client_id(), "yours");
    script.reconnect();
    let Some(Output::Send { head, .. }) = script.client.poll() else { panic!("no CONNECT") };
    let Packet::Connect(connect) = codec::decode(head, V5, Side::Client).unwrap() else { panic!("no CONNECT") };
    assert_eq!((connect.client_id, connect.clean_start), ("yours", false));
}

// Comings and goings.

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
    let limits = Reconnect { first: seconds(1), max: seconds(8), stable: seconds(5) };
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

// Time.

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

// Enhanced authentication.

/// Says "first", answers "x?" with "x!", and is content with the proof "ok".
struct Echo;

impl Authenticator for Echo {
    fn method(&self) -> &str {
        "ECHO"
    }

    fn begin(&mut self) -> Option<Vec<u8>> {
        Some(b"first".to_vec())
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        match challenge.strip_suffix(b"?") {
            Some(question) => Ok([question, b"!"].concat()),
            None => Err("not a question".to_owned()),
        }
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

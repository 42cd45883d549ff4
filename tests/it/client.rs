//! The reference client, through bytes: a scripted server speaks, and what the client says, does and tells is written
//! down in one line each.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod auth;
#[cfg(feature = "net")]
mod commands;
mod connection;
mod pair;
mod receiving;
mod sending;
mod session;

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use harness::node::{Closed, ConnId, Input, Node, Output, Peer, Ticket, Via};
use harness::time::Instant;
use testament::client::{
    Authenticator, Client, Event, Identity, Misuse, Options, Reconnect, Reply, Session, Token, Will,
};
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
    /// Slow work, done but not brought back yet.
    worked: Option<(Ticket, Vec<u8>)>,
}

impl Script {
    /// Nothing has happened yet.
    fn new(options: Options) -> Self {
        Self::of(Client::new(Arc::new(options.clone()), Identity::named("c"), 1).unwrap(), options.version)
    }

    fn of(client: Client, version: Version) -> Self {
        Self {
            client,
            version,
            now: Instant::ZERO,
            conn: ConnId(0),
            framer: Framer::new(),
            room: 1 << 20,
            worked: None,
        }
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
                Output::Ask { ticket, work } => {
                    self.worked = Some((ticket, work()));
                    lines.push("ask".to_owned());
                }
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
        Event::Repeated(message) => format!("repeated {}", shown(&message.publish())),
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

//! The reference broker through bytes: what is fed in, what comes out.

mod arbitrary;
mod authentication;
mod connections;
mod messages;
mod sessions;
mod subscriptions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::node::{Closed, ConnId, Input, Node, Output, Peer, Via};
use harness::rng::Rng;
use harness::time::Instant;
use testament::broker::behaviour::Behaviour;
use testament::broker::{Broker, Settings};
use testament::codec::frame::Framer;
use testament::codec::{PacketBuf, encode};
use testament::packet::{
    Ack, Connect, Disconnect, Packet, PacketId, Properties, Property, PropertyBuf, Publish, QoS, ReasonCode, Side,
    Subscribe, SubscriptionBuf, SubscriptionOptions, Version, Will,
};

/// A broker with clients that are nothing but bytes.
struct Rig {
    broker: Broker,
    now: Instant,
    next: u32,
    clients: BTreeMap<u32, Client>,
    /// Work asked for is done at once, unless this is set.
    stalls: bool,
    asked: Vec<(harness::node::Ticket, Vec<u8>)>,
    notes: Vec<String>,
}

struct Client {
    version: Version,
    framer: Framer,
    /// Cuts what the client sends.
    sent: Framer,
    came: Vec<PacketBuf>,
    raw: Vec<u8>,
    /// Packet identifiers the broker has used on this connection and not got back.
    unfinished: BTreeSet<PacketId>,
    closed: bool,
    paused: bool,
}

impl Client {
    /// Notes the answers among the bytes the client sends.
    fn sends(&mut self, bytes: &[u8]) {
        let mut chunk = bytes;
        while let Ok(Some(frame)) = self.sent.next(&mut chunk, u32::MAX) {
            let Ok(packet) = PacketBuf::decode(frame, self.version, Side::Client) else { continue };
            match packet.packet() {
                Packet::PubAck(ack) | Packet::PubComp(ack) => self.unfinished.remove(&ack.packet_id),
                Packet::PubRec(ack) if ack.reason.is_error() => self.unfinished.remove(&ack.packet_id),
                _ => false,
            };
        }
    }
}

const ROOM: usize = 1 << 20;

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not 0")
}

fn qos(level: u8) -> QoS {
    QoS::from_u8(level).expect("0 to 2")
}

/// What came, in words short enough for an assertion.
fn words(packet: &Packet<'_>) -> String {
    match packet {
        Packet::ConnAck(ack) => format!("connack {:02x} {}", ack.reason.code(), u8::from(ack.session_present)),
        Packet::Publish(p) => {
            let mut text = format!("publish {}={} q{}", p.topic, String::from_utf8_lossy(p.payload), p.qos as u8);
            if let Some(id) = p.packet_id {
                text += &format!(" #{id}");
            }
            if p.dup {
                text += " dup";
            }
            if p.retain {
                text += " retain";
            }
            for property in p.properties {
                text += &match property {
                    Property::SubscriptionIdentifier(id) => format!(" sub{id}"),
                    Property::MessageExpiryInterval(seconds) => format!(" {seconds}s"),
                    Property::TopicAlias(alias) => format!(" alias{alias}"),
                    Property::UserProperty(name, value) => format!(" {name}:{value}"),
                    other => format!(" {}", other.id()),
                };
            }
            text
        }
        Packet::PubAck(ack) => format!("puback #{} {:02x}", ack.packet_id, ack.reason.code()),
        Packet::PubRec(ack) => format!("pubrec #{} {:02x}", ack.packet_id, ack.reason.code()),
        Packet::PubRel(ack) => format!("pubrel #{} {:02x}", ack.packet_id, ack.reason.code()),
        Packet::PubComp(ack) => format!("pubcomp #{} {:02x}", ack.packet_id, ack.reason.code()),
        Packet::SubAck(ack) => format!("suback #{} {:02x?}", ack.packet_id, ack.reasons.as_bytes()),
        Packet::UnsubAck(ack) => format!("unsuback #{} {:02x?}", ack.packet_id, ack.reasons.as_bytes()),
        Packet::Disconnect(disconnect) => format!("disconnect {:02x}", disconnect.reason.code()),
        Packet::Auth(auth) => format!("auth {:02x}", auth.reason.code()),
        other => other.packet_type().to_string(),
    }
}

impl Rig {
    fn new(behaviour: Behaviour) -> Self {
        Self::with(Settings { behaviour, ..Settings::default() })
    }

    fn with(settings: Settings) -> Self {
        Self {
            broker: Broker::new(settings, Rng::stream(1, "broker")),
            now: Instant::ZERO,
            next: 0,
            clients: BTreeMap::new(),
            stalls: false,
            asked: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn open(&mut self) -> u32 {
        self.open_with(ROOM)
    }

    fn open_with(&mut self, room: usize) -> u32 {
        let conn = self.next;
        self.next += 1;
        let client = Client {
            version: Version::V5,
            framer: Framer::new(),
            sent: Framer::new(),
            came: Vec::new(),
            raw: Vec::new(),
            unfinished: BTreeSet::new(),
            closed: false,
            paused: false,
        };
        self.clients.insert(conn, client);
        self.feed(Input::Opened { conn: ConnId(conn), via: Via::Listener(0), peer: Peer::default(), room });
        conn
    }

    /// A connection for bytes that are no CONNECT of 5.0: what comes back is read as 3.1.1.
    fn open_raw(&mut self) -> u32 {
        let conn = self.open();
        self.clients.get_mut(&conn).expect("a client").version = Version::V311;
        conn
    }

    fn feed(&mut self, input: Input<'_>) {
        self.broker.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut closing = Vec::new();
        while let Some(output) = self.broker.poll() {
            match output {
                Output::Send { conn, head, tail } => {
                    let client = self.clients.get_mut(&conn.0).expect("a connection that was opened");
                    assert!(!client.closed, "nothing is sent after the close");
                    let mut bytes = head.to_vec();
                    bytes.extend_from_slice(tail.map_or(&[], |tail| tail.as_slice()));
                    client.raw.extend_from_slice(&bytes);
                    let mut chunk = bytes.as_slice();
                    while let Some(frame) = client.framer.next(&mut chunk, u32::MAX).expect("frames") {
                        let packet = PacketBuf::decode(frame, client.version, Side::Server);
                        let packet = packet.expect("a legal packet from the broker");
                        if let Packet::Publish(Publish { packet_id: Some(id), .. }) = packet.packet() {
                            assert!(client.unfinished.insert(id), "identifier {id} is in use");
                        }
                        client.came.push(packet);
                    }
                }
                Output::Pause { conn, paused } => {
                    self.clients.get_mut(&conn.0).expect("a connection that was opened").paused = paused;
                }
                Output::Ask { ticket, work } => self.asked.push((ticket, work())),
                Output::Close { conn, .. } => {
                    self.clients.get_mut(&conn.0).expect("a connection that was opened").closed = true;
                    closing.push(conn);
                }
                Output::Note { text, .. } => self.notes.push(text.to_owned()),
                Output::Open { .. } => panic!("a broker opens nothing"),
            }
        }
        for conn in closing {
            self.feed(Input::Closed { conn, how: Closed::Here });
        }
        if !self.stalls && !self.asked.is_empty() {
            self.answer();
        }
    }

    fn answer(&mut self) {
        for (ticket, bytes) in std::mem::take(&mut self.asked) {
            self.feed(Input::Answer { ticket, bytes: &bytes });
        }
    }

    /// Bytes from a client.
    fn bytes(&mut self, conn: u32, bytes: &[u8]) {
        self.clients.get_mut(&conn).expect("a client").sends(bytes);
        self.feed(Input::Bytes { conn: ConnId(conn), bytes });
    }

    fn send(&mut self, conn: u32, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        encode(packet, self.clients[&conn].version, &mut bytes).expect("a legal packet");
        self.bytes(conn, &bytes);
    }

    /// What came since the last look, in words.
    fn came(&mut self, conn: u32) -> Vec<String> {
        let client = self.clients.get_mut(&conn).expect("a client");
        client.raw.clear();
        let mut all: Vec<String> = client.came.drain(..).map(|packet| words(&packet.packet())).collect();
        if client.closed {
            all.push("closed".to_owned());
        }
        all
    }

    #[track_caller]
    fn expect(&mut self, conn: u32, expect: &[&str]) {
        assert_eq!(self.came(conn), expect);
    }

    /// Time passes; the broker is woken exactly when it wants to be.
    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.broker.deadline().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.feed(Input::Wake);
        }
        self.now = end;
    }

    fn drop_connection(&mut self, conn: u32) {
        self.clients.get_mut(&conn).expect("a client").closed = true;
        self.feed(Input::Closed { conn: ConnId(conn), how: Closed::Reset });
    }

    /// Connects, and gives the connection with its CONNACK still to be read.
    fn connect(&mut self, hello: Hello<'_>) -> u32 {
        let conn = self.open();
        self.connect_on(conn, hello);
        conn
    }

    fn connect_on(&mut self, conn: u32, hello: Hello<'_>) {
        self.clients.get_mut(&conn).expect("a client").version = hello.0.version;
        self.send(conn, &Packet::Connect(hello.0));
    }

    /// Connects, and expects a plain success.
    #[track_caller]
    fn join(&mut self, hello: Hello<'_>) -> u32 {
        let conn = self.connect(hello);
        self.expect(conn, &["connack 00 0"]);
        conn
    }

    #[track_caller]
    fn subscribe(&mut self, conn: u32, filter: &str, options: SubscriptionOptions) {
        self.subscribe_as(conn, filter, options, None);
        let granted = format!("suback #1 [{:02x}]", options.qos as u8);
        assert_eq!(self.came(conn).first(), Some(&granted));
    }

    fn subscribe_as(&mut self, conn: u32, filter: &str, options: SubscriptionOptions, identifier: Option<u32>) {
        let list = SubscriptionBuf::new().with(filter, options);
        let mut properties = PropertyBuf::new();
        if let Some(identifier) = identifier {
            properties.push(Property::SubscriptionIdentifier(identifier));
        }
        let subscriptions = list.view();
        self.send(
            conn,
            &Packet::Subscribe(Subscribe { packet_id: id(1), properties: properties.view(), subscriptions }),
        );
    }

    fn publish(&mut self, conn: u32, topic: &str, payload: &str, level: u8, packet_id: u16) {
        self.send(conn, &Packet::Publish(message(topic, payload, level, packet_id)));
    }
}

fn message<'a>(topic: &'a str, payload: &'a str, level: u8, packet_id: u16) -> Publish<'a> {
    Publish {
        dup: false,
        qos: qos(level),
        retain: false,
        topic,
        packet_id: PacketId::new(packet_id),
        properties: Properties::EMPTY,
        payload: payload.as_bytes(),
    }
}

fn plain(level: u8) -> SubscriptionOptions {
    SubscriptionOptions::qos(qos(level))
}

#[derive(Clone, Copy)]
struct Hello<'a>(Connect<'a>);

fn hello(version: Version, client_id: &str) -> Hello<'_> {
    Hello(Connect {
        version,
        clean_start: true,
        keep_alive: 0,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: Properties::EMPTY,
    })
}

fn v5(client_id: &str) -> Hello<'_> {
    hello(Version::V5, client_id)
}

impl<'a> Hello<'a> {
    fn resume(mut self) -> Self {
        self.0.clean_start = false;
        self
    }

    fn will(mut self, topic: &'a str, payload: &'a str, properties: &'a PropertyBuf) -> Self {
        let payload = payload.as_bytes();
        let properties = properties.view();
        self.0.will = Some(Will { topic, payload, qos: QoS::AtMostOnce, retain: false, properties });
        self
    }

    fn properties(mut self, properties: &'a PropertyBuf) -> Self {
        self.0.properties = properties.view();
        self
    }

    fn keep_alive(mut self, seconds: u16) -> Self {
        self.0.keep_alive = seconds;
        self
    }
}

fn having(property: Property<'_>) -> PropertyBuf {
    PropertyBuf::new().with(property)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

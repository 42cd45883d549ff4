//! The broker core alone: bytes in, bytes out, no sockets. What is counted is deliveries, so that the rate is how many
//! one CPU second of the core is good for; payload 64 bytes, topic 24 characters, 3.1.1 and 5.0.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use harness::node::{ConnId, Input, Node, Output, Peer, Via};
use harness::rng::Rng;
use harness::time::Instant;
use testament::broker::{Broker, Settings};
use testament::codec::encode;
use testament::packet::{
    Connect, Packet, PacketId, Properties, Publish, QoS, Subscribe, SubscriptionBuf, SubscriptionOptions, Version,
};

/// Messages in one read of the publisher's socket.
const BATCH: u16 = 64;
const PAYLOAD: [u8; 64] = [b'x'; 64];

/// A broker and what its clients would do, with nothing between them.
struct Bed {
    broker: Broker,
    version: Version,
    next: u32,
    /// PUBACKs that readers owe: connection and bytes.
    owed: Vec<(ConnId, [u8; 4])>,
}

impl Bed {
    fn new(version: Version) -> Self {
        let broker = Broker::new(Settings::default(), Rng::stream(1, "bench"));
        Self { broker, version, next: 0, owed: Vec::new() }
    }

    fn feed(&mut self, conn: ConnId, bytes: &[u8]) {
        self.broker.handle(Instant::ZERO, Input::Bytes { conn, bytes });
    }

    fn send(&mut self, conn: ConnId, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        encode(packet, self.version, &mut bytes).expect("a legal packet");
        self.feed(conn, &bytes);
        self.drain();
    }

    fn client(&mut self, filter: Option<(&str, QoS)>) -> ConnId {
        let conn = ConnId(self.next);
        self.next += 1;
        let room = usize::MAX;
        self.broker.handle(Instant::ZERO, Input::Opened { conn, via: Via::Listener(0), peer: Peer::default(), room });
        let connect = Connect {
            version: self.version,
            clean_start: true,
            keep_alive: 60,
            client_id: &format!("client{}", conn.0),
            will: None,
            username: None,
            password: None,
            properties: Properties::EMPTY,
        };
        self.send(conn, &Packet::Connect(connect));
        if let Some((filter, qos)) = filter {
            let list = SubscriptionBuf::new().with(filter, SubscriptionOptions::qos(qos));
            let (packet_id, properties) = (PacketId::MIN, Properties::EMPTY);
            self.send(conn, &Packet::Subscribe(Subscribe { packet_id, properties, subscriptions: list.view() }));
        }
        conn
    }

    /// Takes all outputs and notes the PUBACKs owed for them; gives the number of PUBLISHes among them.
    fn drain(&mut self) -> u64 {
        let mut deliveries = 0;
        while let Some(output) = self.broker.poll() {
            let Output::Send { conn, head, tail } = output else { continue };
            if head[0] & 0xF0 != 0x30 {
                continue;
            }
            deliveries += 1;
            std::hint::black_box(tail.map(|tail| tail.as_slice().len()));
            if head[0] & 0x06 != 0 {
                // Fixed header of two bytes (the packets are short), topic, identifier.
                let at = 4 + usize::from(u16::from_be_bytes([head[2], head[3]]));
                self.owed.push((conn, [0x40, 2, head[at], head[at + 1]]));
            }
        }
        deliveries
    }

    /// Lets every reader acknowledge what it got.
    fn settle(&mut self) {
        let mut owed = std::mem::take(&mut self.owed);
        for (conn, puback) in owed.drain(..) {
            self.feed(conn, &puback);
        }
        self.owed = owed;
        self.drain();
    }

    fn publish(&self, topic: &str, qos: QoS, count: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 1..=count {
            let packet_id = PacketId::new(number).filter(|_| qos != QoS::AtMostOnce);
            let properties = Properties::EMPTY;
            let publish = Publish { dup: false, qos, retain: false, topic, packet_id, properties, payload: &PAYLOAD };
            encode(&Packet::Publish(publish), self.version, &mut bytes).expect("a legal packet");
        }
        bytes
    }
}

/// One publisher, `readers` subscribers of the same topic.
fn fan_out(c: &mut Criterion) {
    let topic = "plant/hall/7/press/heat1";
    for (name, readers) in [("one_to_one", 1u64), ("fan_out_100", 100)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(readers * u64::from(BATCH)));
        for version in [Version::V311, Version::V5] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
                let mut bed = Bed::new(version);
                for _ in 0..readers {
                    bed.client(Some((topic, qos)));
                }
                let writer = bed.client(None);
                let bytes = bed.publish(topic, qos, BATCH);
                group.bench_function(BenchmarkId::new(format!("qos{}", qos as u8), version), |b| {
                    b.iter(|| {
                        bed.feed(writer, &bytes);
                        assert_eq!(bed.drain(), readers * u64::from(BATCH));
                        bed.settle();
                    });
                });
            }
        }
        group.finish();
    }
}

/// A thousand publishers with one QoS 1 message outstanding each, and one subscriber that gets them all at QoS 1.
fn many_publishers(c: &mut Criterion) {
    const PUBLISHERS: u64 = 1_000;
    let mut group = c.benchmark_group("thousand_publishers");
    group.throughput(Throughput::Elements(PUBLISHERS));
    for version in [Version::V311, Version::V5] {
        let mut bed = Bed::new(version);
        bed.client(Some(("plant/hall/+/press/heat", QoS::AtLeastOnce)));
        let writers: Vec<_> = (0..PUBLISHERS)
            .map(|number| {
                let bytes = bed.publish(&format!("plant/hall/{number:03}/press/heat"), QoS::AtLeastOnce, 1);
                (bed.client(None), bytes)
            })
            .collect();
        group.bench_function(BenchmarkId::new("qos1", version), |b| {
            b.iter(|| {
                for (writer, bytes) in &writers {
                    bed.feed(*writer, bytes);
                }
                assert_eq!(bed.drain(), PUBLISHERS);
                bed.settle();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, fan_out, many_publishers);
criterion_main!(benches);

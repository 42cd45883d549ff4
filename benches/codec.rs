//! Decoding and encoding against peers in the same run. Each iteration handles 1,000 packets, so that a time in
//! microseconds reads as nanoseconds per packet.
//!
//! The mix: 80 % PUBLISH (24-byte topic, 64-byte payload, QoS 0 and 1 in turn), 15 % PUBACK, 5 % others. With properties, each
//! PUBLISH has a message expiry, a content type and a user property. Everybody finds the frames in a stream, decodes
//! them, and lets go of what came out; the copy of the stream that some peers consume is made outside of the measured time.
//! Encoding writes decoded packets into one buffer that is used again, where the peer lets its caller choose.

#![expect(unsafe_code, reason = "a counting allocator is the only way to see allocations")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use testament::codec::frame::{Framer, MAX_FRAME, frame_len};
use testament::codec::{decode, encode};
use testament::packet::{
    Ack, Packet, PacketId, Properties, Property, PropertyBuf, Publish, QoS, Side, Subscribe, SubscriptionBuf,
    SubscriptionOptions, Version,
};

const PACKETS: usize = 1000;
/// How often encoding repeats its part of the mix, so that it is the code that is measured and not the cache.
const ROUNDS: usize = 10;
const TOPIC: &str = "plant/7/boiler/2/pressur";
const PAYLOAD: [u8; 64] = [0xA5; 64];

/// Counts allocations while asked to, and leaves the rest to the system.
struct Counting;

/// Whether to count; in the measured time nobody does, lest peers pay for it.
static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// How often `act` allocates.
fn allocations(act: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    COUNTING.store(true, Ordering::Relaxed);
    act();
    COUNTING.store(false, Ordering::Relaxed);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

fn count() {
    if COUNTING.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The mix as a stream of bytes.
fn mix(version: Version, with_properties: bool) -> Vec<u8> {
    let properties = PropertyBuf::new()
        .with(Property::MessageExpiryInterval(3600))
        .with(Property::ContentType("text/plain"))
        .with(Property::UserProperty("unit", "bar"));
    let properties = if with_properties { properties.view() } else { Properties::EMPTY };
    let subscriptions = SubscriptionBuf::new().with("plant/7/+/alarm", SubscriptionOptions::qos(QoS::AtLeastOnce));
    let mut out = Vec::new();
    for i in 0..PACKETS {
        let packet_id = PacketId::new(i as u16 + 1).unwrap();
        let ack = Ack::success(packet_id);
        let publish = |qos, packet_id| {
            let (topic, payload) = (TOPIC, PAYLOAD.as_slice());
            Packet::Publish(Publish { dup: false, qos, retain: false, topic, packet_id, properties, payload })
        };
        let packet = match (i % 20, i / 20 % 5) {
            (6 | 12 | 18, _) => Packet::PubAck(ack),
            (19, 0) => Packet::PingReq,
            (19, 1) => Packet::PubRec(ack),
            (19, 2) => Packet::PubRel(ack),
            (19, 3) => Packet::PubComp(ack),
            (19, _) => {
                let subscriptions = subscriptions.view();
                Packet::Subscribe(Subscribe { packet_id, properties: Properties::EMPTY, subscriptions })
            }
            (n, _) if n % 2 == 0 => publish(QoS::AtMostOnce, None),
            _ => publish(QoS::AtLeastOnce, Some(packet_id)),
        };
        encode(&packet, version, &mut out).unwrap();
    }
    out
}

/// Cuts and decodes as a broker does: from a client, out of one chunk.
fn ours(version: Version, stream: &[u8], mut each: impl FnMut(Packet<'_>)) {
    let mut framer = Framer::new();
    let mut chunk = stream;
    while let Some(frame) = framer.next(&mut chunk, MAX_FRAME).unwrap() {
        each(decode(frame, version, Side::Client).unwrap());
    }
}

/// The frames, for peers that leave the cutting to others.
fn whole_frames(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        let (frame, after) = rest.split_at(frame_len(rest, MAX_FRAME).unwrap()?);
        rest = after;
        Some(frame)
    })
}

/// First byte and body of each frame; no frame of the mix is longer than 127 bytes and its header.
fn frames(stream: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    whole_frames(stream)
        .map(|frame| (frame[0], &frame[frame.iter().skip(1).take_while(|byte| **byte > 0x7F).count() + 2..]))
}

/// Measures writing a tenth of the mix ten times, one packet after the other into a buffer that is used again,
/// having seen that it is filled: not all peers keep the order of properties, but all come to the same length.
fn encoding<P, B: AsRef<[u8]>>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    stream: &[u8],
    packets: &[P],
    mut out: B,
    mut clear: impl FnMut(&mut B),
    write: impl Fn(&P, &mut B),
) {
    let mut round = |packets: &[P]| {
        clear(&mut out);
        packets.iter().for_each(|packet| write(packet, &mut out));
        black_box(&out).as_ref().len()
    };
    assert_eq!(round(packets), stream.len(), "{name} writes something else");
    group.bench_function(format!("encode/{name}"), |bencher| {
        bencher.iter(|| (0..ROUNDS).map(|_| round(&packets[..PACKETS / ROUNDS])).sum::<usize>());
    });
}

/// A peer that decodes by consuming a `BytesMut`, and encodes into one.
fn consuming<P>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    stream: &[u8],
    read: impl Fn(&mut BytesMut) -> P,
    write: impl Fn(&P, &mut BytesMut),
) {
    group.bench_function(format!("decode/{name}"), |bencher| {
        let fresh = || BytesMut::from(stream);
        let all = |stream: &mut BytesMut| {
            for _ in 0..PACKETS {
                black_box(&read(stream));
            }
        };
        bencher.iter_batched_ref(fresh, all, BatchSize::SmallInput);
    });
    let mut rest = BytesMut::from(stream);
    let packets: Vec<P> = (0..PACKETS).map(|_| read(&mut rest)).collect();
    let out = BytesMut::with_capacity(2 * stream.len());
    encoding(group, name, stream, &packets, out, BytesMut::clear, write);
}

/// mqtt-protocol-core has one module per version with the same names; it parses bodies and writes a new buffer each.
macro_rules! protocol_core {
    ($group:expr, $stream:expr, $module:ident) => {{
        use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet as Peer, $module as peer};
        let parse = |(first, body): (u8, &[u8])| match first >> 4 {
            3 => peer::Publish::parse(first & 15, Arc::from(body)).map(|(packet, _)| Peer::from(packet)),
            4 => peer::Puback::parse(body).map(|(packet, _)| Peer::from(packet)),
            5 => peer::Pubrec::parse(body).map(|(packet, _)| Peer::from(packet)),
            6 => peer::Pubrel::parse(body).map(|(packet, _)| Peer::from(packet)),
            7 => peer::Pubcomp::parse(body).map(|(packet, _)| Peer::from(packet)),
            8 => peer::Subscribe::parse(body).map(|(packet, _)| Peer::from(packet)),
            _ => peer::Pingreq::parse(body).map(|(packet, _)| Peer::from(packet)),
        };
        let stream: &[u8] = $stream;
        $group.bench_function("decode/mqtt-protocol-core", |bencher| {
            bencher.iter(|| frames(stream).for_each(|frame| _ = black_box(&parse(frame).unwrap())));
        });
        let packets: Vec<Peer> = frames(stream).map(|frame| parse(frame).unwrap()).collect();
        $group.bench_function("encode/mqtt-protocol-core", |bencher| {
            let round =
                || packets[..PACKETS / ROUNDS].iter().for_each(|packet| _ = black_box(&packet.to_continuous_buffer()));
            bencher.iter(|| (0..ROUNDS).for_each(|_| round()));
        });
    }};
}

fn codec(criterion: &mut Criterion) {
    let cases = [("3.1.1", Version::V311, false), ("5.0", Version::V5, false), ("5.0-properties", Version::V5, true)];
    for (name, version, with_properties) in cases {
        let stream = mix(version, with_properties);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(PACKETS as u64));

        let mut decoded = 0;
        assert_eq!(allocations(|| ours(version, &stream, |_| decoded += 1)), 0, "decoding allocates");
        assert_eq!(decoded, PACKETS);
        assert_ne!(allocations(|| drop(black_box(Box::new(decoded)))), 0, "the count does not work");
        group.bench_function("decode/testament", |bencher| {
            bencher.iter(|| ours(version, &stream, |packet| _ = black_box(&packet)));
        });
        let frames: Vec<&[u8]> = whole_frames(&stream).collect();
        let packets: Vec<Packet<'_>> =
            frames.iter().map(|frame| decode(frame, version, Side::Client).unwrap()).collect();
        let out = Vec::with_capacity(2 * stream.len());
        let write = |packet: &Packet<'_>, out: &mut Vec<u8>| encode(packet, version, out).unwrap();
        encoding(&mut group, "testament", &stream, &packets, out, Vec::clear, write);

        match version {
            Version::V5 => {
                use rumqttc::v5::mqttbytes::v5::Packet as Rumqttc;
                consuming(
                    &mut group,
                    "rumqttc",
                    &stream,
                    |stream| Rumqttc::read(stream, None).unwrap(),
                    |packet, out| _ = packet.write(out, None).unwrap(),
                );
                protocol_core!(group, &stream, v5_0);
            }
            _ => {
                consuming(
                    &mut group,
                    "rumqttc",
                    &stream,
                    |stream| rumqttc::mqttbytes::v4::Packet::read(stream, usize::MAX).unwrap(),
                    |packet, out| _ = packet.write(out, usize::MAX).unwrap(),
                );
                consuming(
                    &mut group,
                    "mqttbytes",
                    &stream,
                    |stream| mqttbytes::v4::read(stream, usize::MAX).unwrap(),
                    |packet, out| mqttbytes_write(packet, out),
                );
                protocol_core!(group, &stream, v3_1_1);
                mqttrs(&mut group, &stream);
            }
        }
        group.finish();
    }
}

/// mqttbytes has no one call to write any packet.
fn mqttbytes_write(packet: &mqttbytes::v4::Packet, out: &mut BytesMut) {
    use mqttbytes::v4::{Packet as Peer, PingReq};
    match packet {
        Peer::Publish(packet) => packet.write(out),
        Peer::PubAck(packet) => packet.write(out),
        Peer::PubRec(packet) => packet.write(out),
        Peer::PubRel(packet) => packet.write(out),
        Peer::PubComp(packet) => packet.write(out),
        Peer::Subscribe(packet) => packet.write(out),
        _ => PingReq.write(out),
    }
    .unwrap();
}

/// mqttrs borrows from a slice, does not say how long the packet was, and encodes into a slice.
fn mqttrs(group: &mut BenchmarkGroup<'_, WallTime>, stream: &[u8]) {
    let parse = |frame| mqttrs::decode_slice(frame).unwrap().unwrap();
    group.bench_function("decode/mqttrs", |bencher| {
        bencher.iter(|| whole_frames(stream).for_each(|frame| _ = black_box(&parse(frame))));
    });
    let packets: Vec<mqttrs::Packet<'_>> = whole_frames(stream).map(parse).collect();
    let mut out = vec![0; 2 * stream.len()];
    let mut round = |packets: &[mqttrs::Packet<'_>]| {
        let write = |at, packet| at + mqttrs::encode_slice(packet, &mut out[at..]).unwrap();
        let length = packets.iter().fold(0, write);
        black_box(&out);
        length
    };
    assert_eq!(round(&packets), stream.len(), "mqttrs writes something else");
    group.bench_function("encode/mqttrs", |bencher| {
        bencher.iter(|| (0..ROUNDS).map(|_| round(&packets[..PACKETS / ROUNDS])).sum::<usize>());
    });
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .sample_size(30)
        .without_plots()
}

criterion_group! { name = benches; config = short(); targets = codec }
criterion_main!(benches);

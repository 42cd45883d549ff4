//! Whatever comes, on however many connections: no panic, nothing after a close, and only legal packets (the rig decodes
//! every one of them).

use proptest::prelude::*;

use super::*;

/// One step of a play.
#[derive(Clone, Debug)]
enum Step {
    Open(Version),
    Bytes(usize, Vec<u8>),
    /// A packet of a kind, with small numbers so that flows meet.
    Packet(usize, u8, u8, u8),
    /// A legal packet with one byte changed.
    Spoiled(usize, u8, usize, u8),
    Drop(usize),
    Writable(usize, u16),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let version = prop::sample::select(Version::ALL.to_vec());
    prop_oneof![
        2 => version.prop_map(Step::Open),
        1 => (0..8usize, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(conn, bytes)| Step::Bytes(conn, bytes)),
        12 => (0..8usize, 0..10u8, 0..4u8, 0..3u8).prop_map(|(conn, kind, a, b)| Step::Packet(conn, kind, a, b)),
        1 => (0..8usize, 0..10u8, 0..40usize, any::<u8>()).prop_map(|(conn, kind, at, to)| Step::Spoiled(conn, kind, at, to)),
        1 => (0..8usize).prop_map(Step::Drop),
        1 => (0..8usize, 0..200u16).prop_map(|(conn, room)| Step::Writable(conn, room)),
        1 => (0..5000u16).prop_map(Step::Wait),
    ]
}

/// A packet of this kind in this version; the numbers choose among few topics and identifiers.
fn packet(version: Version, kind: u8, a: u8, b: u8) -> Vec<u8> {
    let v5 = version == Version::V5;
    let topic = ["a", "a/b", "$x", "b"][usize::from(a)];
    let packet_id = id(u16::from(a) + 1);
    let mut properties = PropertyBuf::new();
    if v5 && b == 2 {
        properties.push(Property::MessageExpiryInterval(a.into()));
        properties.push(Property::TopicAlias(a.into()));
    }
    let ack = Ack::success(packet_id);
    let filter = ["#", "a/+", "$share/g/a/#", "a"][usize::from(a)];
    let list = SubscriptionBuf::new().with(filter, plain(b));
    let filters = testament::packet::FilterBuf::new().with(filter);
    let none = Properties::EMPTY;
    let packet = match kind {
        0 => Packet::Publish(Publish {
            retain: a == 3,
            properties: properties.view(),
            ..message(topic, "payload", b, u16::from(b > 0) * packet_id.get())
        }),
        1 => Packet::PubAck(ack),
        2 => Packet::PubRec(ack),
        3 => Packet::PubRel(ack),
        4 => Packet::PubComp(ack),
        5 | 9 => Packet::Subscribe(Subscribe { packet_id, properties: none, subscriptions: list.view() }),
        6 => {
            Packet::Unsubscribe(testament::packet::Unsubscribe { packet_id, properties: none, filters: filters.view() })
        }
        7 => Packet::PingReq,
        _ => Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties: none }),
    };
    let mut bytes = Vec::new();
    // Alias 0 is no legal packet; nothing is sent then.
    let _ = encode(&packet, version, &mut bytes);
    bytes
}

fn play(steps: &[Step]) -> Rig {
    use testament::broker::behaviour::Limits;
    let limits = Limits {
        sessions: 3,
        subscriptions: 2,
        retained: 1,
        queued: 3,
        queued_qos_0: 1,
        unread: 4,
        ..Limits::default()
    };
    let mut rig = Rig::new(Behaviour {
        receive_maximum: 2,
        send_maximum: 2,
        topic_alias_maximum: 2,
        limits,
        ..Behaviour::default()
    });
    let mut open: Vec<u32> = Vec::new();
    for step in steps {
        let pick = |at: usize, open: &[u32]| open.get(at % open.len().max(1)).copied();
        match step {
            Step::Open(version) => {
                let conn = rig.open_with(60);
                let expiry = having(Property::SessionExpiryInterval(2))
                    .with(Property::ReceiveMaximum(2))
                    .with(Property::TopicAliasMaximum(1));
                let delay = having(Property::WillDelayInterval(1));
                let names = ["x", "y", "z", "w"];
                let mut hello = hello(*version, names[conn as usize % 4]).keep_alive(2);
                if *version == Version::V5 {
                    hello = hello.properties(&expiry).will("a", "gone", &delay);
                }
                if !conn.is_multiple_of(3) {
                    hello = hello.resume();
                }
                rig.connect_on(conn, hello);
                open.push(conn);
            }
            Step::Wait(millis) => rig.wait(Duration::from_millis(u64::from(*millis))),
            Step::Bytes(at, bytes) => {
                if let Some(conn) = pick(*at, &open) {
                    rig.bytes(conn, bytes);
                }
            }
            Step::Packet(at, kind, a, b) => {
                if let Some(conn) = pick(*at, &open) {
                    let bytes = packet(rig.clients[&conn].version, *kind, *a, *b);
                    rig.bytes(conn, &bytes);
                }
            }
            Step::Spoiled(at, kind, place, to) => {
                if let Some(conn) = pick(*at, &open) {
                    let mut bytes = packet(rig.clients[&conn].version, *kind, 1, 1);
                    if let Some(byte) = bytes.get_mut(*place) {
                        *byte = *to;
                    }
                    rig.bytes(conn, &bytes);
                }
            }
            Step::Drop(at) => {
                if let Some(conn) = pick(*at, &open)
                    && !rig.clients[&conn].closed
                {
                    rig.drop_connection(conn);
                }
            }
            Step::Writable(at, room) => {
                if let Some(conn) = pick(*at, &open) {
                    rig.feed(Input::Writable { conn: ConnId(conn), room: usize::from(*room) });
                }
            }
        }
        assert!(rig.clients.values().all(|client| client.unfinished.len() <= 2), "no more than the receive maximum");
        open.retain(|conn| !rig.clients[conn].closed);
    }
    rig
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_play_brings_the_broker_down(steps in prop::collection::vec(step(), 0..120)) {
        play(&steps);
    }

    #[test]
    fn the_same_play_gives_the_same_bytes(steps in prop::collection::vec(step(), 0..60)) {
        let trace = |rig: Rig| {
            let clients = rig.clients.into_values();
            (clients.map(|client| (client.raw, client.closed, client.paused)).collect::<Vec<_>>(), rig.notes)
        };
        prop_assert_eq!(trace(play(&steps)), trace(play(&steps)));
    }
}

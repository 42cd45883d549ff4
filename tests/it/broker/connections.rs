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

//! Golden bytes, properties and an independent dissector.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use testament::codec::{decode, encode};
use testament::packet::{Packet, Side, Version};

/// These bytes are this packet, and the packet these bytes.
fn check(bytes: &[u8], version: Version, sender: Side) -> Packet<'_> {
    let packet = decode(bytes, version, sender).unwrap();
    let mut out = Vec::new();
    encode(&packet, version, &mut out).unwrap();
    assert_eq!(out, bytes, "{packet:?}");
    packet
}

#[test]
fn smoke() {
    check(b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a", Version::V31, Side::Client);
    check(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a", Version::V311, Side::Client);
    check(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a", Version::V5, Side::Client);
    check(b"\x30\x07\x00\x03a/bhi", Version::V311, Side::Client);
    check(b"\x3b\x0a\x00\x03a/b\x00\x01\x00hi", Version::V5, Side::Client);
    check(b"\x40\x02\x00\x01", Version::V5, Side::Client);
    check(b"\x82\x06\x00\x01\x00\x01a\x00", Version::V311, Side::Client);
    check(b"\x20\x02\x00\x05", Version::V311, Side::Server);
    check(b"\xe0\x00", Version::V5, Side::Server);
    check(b"\xc0\x00", Version::V5, Side::Client);
}

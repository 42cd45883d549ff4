//! Packets that must not exist: patched, truncated, lying. For tests and for the suite, which must send what no encoder
//! writes. Nothing here judges; every function panics where a case asks for the impossible, such as a patch beyond the end,
//! since that is a mistake in the case.

use std::ops::Range;

use crate::codec::encode;
use crate::packet::{Packet, PacketType, Version, put_variable};

/// A frame from parts: the first byte, the length of `body`, `body`.
pub fn frame(first_byte: u8, body: &[u8]) -> Vec<u8> {
    Forged::raw(first_byte, body).bytes()
}

/// Bytes behind their length, as strings and binary data are sent.
///
/// # Panics
/// Above 65,535 bytes.
pub fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or_else(|_| panic!("a field holds at most 65,535 bytes"));
    [&length.to_be_bytes(), bytes].concat()
}

/// A variable byte integer in its shortest form; at most 268,435,455.
pub fn variable(value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put_variable(&mut out, value);
    out
}

/// A frame in the making. Its length is honest until [`Forged::remaining_length`], [`Forged::length_bytes`] or
/// [`Forged::keep_length`] says otherwise. Offsets count from the start of the body, the byte after the fixed header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Forged {
    first: u8,
    /// The bytes of the remaining length, where they do not follow from the body.
    length: Option<Vec<u8>>,
    body: Vec<u8>,
}

impl Forged {
    /// From a legal packet.
    ///
    /// # Panics
    /// If it is not legal in this version.
    pub fn of(packet: &Packet<'_>, version: Version) -> Self {
        let mut bytes = Vec::new();
        encode(packet, version, &mut bytes).unwrap_or_else(|misuse| panic!("start from a legal packet: {misuse}"));
        Self::from_frame(&bytes)
    }

    /// From a whole frame.
    ///
    /// # Panics
    /// If the fixed header is not complete.
    pub fn from_frame(frame: &[u8]) -> Self {
        let header = 1 + variable_end(&frame[1..]);
        Self { first: frame[0], length: None, body: frame[header..].to_vec() }
    }

    /// From parts.
    pub fn raw(first_byte: u8, body: &[u8]) -> Self {
        Self { first: first_byte, length: None, body: body.to_vec() }
    }

    /// Sets the first byte: packet type and flags.
    pub fn first_byte(mut self, first_byte: u8) -> Self {
        self.first = first_byte;
        self
    }

    /// Sets the flags of the fixed header, the low four bits of the first byte.
    ///
    /// # Panics
    /// Above 15.
    pub fn flags(mut self, flags: u8) -> Self {
        assert!(flags < 16, "there are four flag bits");
        self.first = self.first & 0xF0 | flags;
        self
    }

    /// Claims this remaining length, whatever the body holds.
    pub fn remaining_length(self, length: u32) -> Self {
        let bytes = variable(length);
        self.length_bytes(&bytes)
    }

    /// Writes these bytes as remaining length: padded, too long, cut off.
    pub fn length_bytes(mut self, bytes: &[u8]) -> Self {
        self.length = Some(bytes.to_vec());
        self
    }

    /// Claims the remaining length that is right now, whatever is done to the body from here on.
    pub fn keep_length(self) -> Self {
        let length = self.body.len() as u32;
        self.remaining_length(length)
    }

    /// Overwrites the body from `offset` on.
    ///
    /// # Panics
    /// If it ends before `offset + bytes.len()`.
    pub fn patch(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.body[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Puts bytes into the body before `offset`.
    ///
    /// # Panics
    /// If the body ends before `offset`.
    pub fn insert(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.body.splice(offset..offset, bytes.iter().copied());
        self
    }

    /// Cuts the body to its first `length` bytes.
    ///
    /// # Panics
    /// If it is shorter.
    pub fn truncate(mut self, length: usize) -> Self {
        assert!(length <= self.body.len(), "the body has only {} bytes", self.body.len());
        self.body.truncate(length);
        self
    }

    /// Puts bytes at the end of the body.
    pub fn append(mut self, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self
    }

    /// Replaces the properties of a 5.0 packet by these bytes, with an honest property length. A reason code that was left
    /// out is written, since it comes before them.
    ///
    /// # Panics
    /// If a packet of this type has no properties, or its body does not reach them.
    pub fn properties(self, raw: &[u8]) -> Self {
        let length = variable(raw.len() as u32);
        self.properties_behind(&length, raw)
    }

    /// As [`Forged::properties`], with these bytes as property length.
    ///
    /// # Panics
    /// As there.
    pub fn properties_behind(mut self, length: &[u8], raw: &[u8]) -> Self {
        let section = self.properties_section();
        self.body.splice(section, [length, raw].concat());
        self
    }

    /// Replaces the will properties of a 5.0 CONNECT by these bytes, with an honest property length.
    ///
    /// # Panics
    /// If this is no CONNECT, or its body does not reach them.
    pub fn will_properties(mut self, raw: &[u8]) -> Self {
        assert_eq!(self.packet_type(), Some(PacketType::Connect), "only CONNECT has will properties");
        let client_id = self.properties_section().end;
        let start = self.after_field(client_id);
        let section = self.section_at(start);
        let length = variable(raw.len() as u32);
        self.body.splice(section, [&length, raw].concat());
        self
    }

    /// The frame.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let length = self.length.unwrap_or_else(|| variable(self.body.len() as u32));
        [&[self.first], length.as_slice(), &self.body].concat()
    }

    const fn packet_type(&self) -> Option<PacketType> {
        PacketType::from_u8(self.first >> 4)
    }

    /// Where the properties are, their length included. Makes room for those that were left out.
    fn properties_section(&mut self) -> Range<usize> {
        let start = match self.packet_type() {
            Some(PacketType::Connect) => self.after_field(0) + 4,
            Some(PacketType::Publish) => self.after_field(0) + if self.first & 0b0110 == 0 { 0 } else { 2 },
            Some(PacketType::Subscribe | PacketType::SubAck | PacketType::Unsubscribe | PacketType::UnsubAck) => 2,
            Some(PacketType::ConnAck) => 2,
            Some(PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp) => 3,
            Some(PacketType::Disconnect | PacketType::Auth) => 1,
            Some(PacketType::PingReq | PacketType::PingResp) | None => panic!("this packet has no properties"),
        };
        // Success, and no properties: what leaving them out stands for.
        while self.body.len() <= start {
            self.body.push(0);
        }
        self.section_at(start)
    }

    /// Properties that begin, with their length, at `start`.
    fn section_at(&self, start: usize) -> Range<usize> {
        let rest = &self.body[start..];
        let end = variable_end(rest);
        let length = rest[..end].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7F));
        start..start + end + length
    }

    /// Where the field that begins at `start` ends.
    fn after_field(&self, start: usize) -> usize {
        start + 2 + usize::from(u16::from_be_bytes([self.body[start], self.body[start + 1]]))
    }
}

/// How many bytes the variable byte integer at the start of `bytes` has.
fn variable_end(bytes: &[u8]) -> usize {
    1 + bytes.iter().position(|byte| byte & 0x80 == 0).unwrap_or_else(|| panic!("the integer has no end"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::decode;
    use crate::packet::{
        Ack, Disconnect, PacketId, Properties, Property, PropertyBuf, PropertyId, Publish, QoS, ReasonCode, Side,
    };
    use crate::violation::{Refusal, Rule};

    fn publish() -> Forged {
        let alias = PropertyBuf::new().with(Property::TopicAlias(9));
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: "a/b",
            packet_id: PacketId::new(7),
            properties: alias.view(),
            payload: b"hi",
        };
        Forged::of(&Packet::Publish(publish), Version::V5)
    }

    #[track_caller]
    fn check(forged: Forged, expect: &[u8]) {
        assert_eq!(forged.bytes(), expect);
    }

    #[test]
    fn bodies_and_lengths() {
        check(publish(), b"\x32\x0d\0\x03a/b\0\x07\x03\x23\0\x09hi");
        check(publish().flags(0x6), b"\x36\x0d\0\x03a/b\0\x07\x03\x23\0\x09hi");
        check(publish().first_byte(0xF0).truncate(2), b"\xF0\x02\0\x03");
        check(publish().keep_length().truncate(2), b"\x32\x0d\0\x03");
        check(publish().truncate(2).remaining_length(300), b"\x32\xAC\x02\0\x03");
        check(publish().truncate(0).length_bytes(&[0x80, 0]), b"\x32\x80\0");
        check(publish().patch(5, &[0, 0]).append(b"!"), b"\x32\x0e\0\x03a/b\0\0\x03\x23\0\x09hi!");
        check(publish().insert(2, b"__"), b"\x32\x0f\0\x03__a/b\0\x07\x03\x23\0\x09hi");
        assert_eq!(frame(0xC0, &field(b"x")), b"\xC0\x03\0\x01x");
    }

    #[test]
    fn properties() {
        check(publish().properties(&[1, 1]), b"\x32\x0c\0\x03a/b\0\x07\x02\x01\x01hi");
        check(publish().properties_behind(&[9], &[]), b"\x32\x0a\0\x03a/b\0\x07\x09hi");
        let id = PacketId::MIN;
        let puback = Forged::of(&Packet::PubAck(Ack::success(id)), Version::V5);
        check(puback.properties(b"\x7F"), b"\x40\x05\0\x01\0\x01\x7F");
        let disconnect = Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY };
        let disconnect = Forged::of(&Packet::Disconnect(disconnect), Version::V5);
        check(disconnect.properties(&[]), b"\xE0\x02\0\0");
        let connect = Forged::from_frame(b"\x10\x19\0\x04MQTT\x05\x06\0\0\x03\x21\x01\0\0\x01c\x02\x01\x01\0\x01w\0\0");
        check(
            connect.will_properties(&[0x7F]).properties(&[]),
            b"\x10\x15\0\x04MQTT\x05\x06\0\0\0\0\x01c\x01\x7F\0\x01w\0\0",
        );
    }

    #[test]
    fn what_is_forged_is_refused() {
        let bytes = publish().properties(&[0x23, 0, 0]).bytes();
        let refusal = Refusal::new(Rule::PropertyOutOfRange(PropertyId::TopicAlias), 10);
        assert_eq!(decode(&bytes, Version::V5, Side::Client), Err(refusal));
    }
}

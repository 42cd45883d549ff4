//! One packet to bytes. What is written is what [`super::decode`] reads back as the same packet: that is what makes a
//! packet legal, so that the rules stand in one place.

use crate::packet::text;
use crate::packet::{
    Connect, Host, Packet, PacketId, PacketType, Properties, PropertyId, Publish, QoS, ReasonCode, Side, Version,
    put_variable,
};
use crate::violation::{Misuse, Rule};

use super::read::{Reader, rule};
use super::{decode, property, return_code};

/// The most a remaining length can say (2.2.3 of 3.1.1, 2.1.4 of 5.0).
const MAX_REMAINING: usize = 0x0FFF_FFFF;

/// Appends the wire form of `packet` to `out`: the shortest there is, so 5.0 leaves out what may be left out. For CONNECT
/// the version is the one it names itself.
///
/// # Errors
/// [`Misuse`] where this version has no such form, or neither side may send it; `out` is then unchanged. As in
/// [`super::decode`], the syntax of topic filters is not judged.
#[inline]
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
    match packet {
        Packet::Publish(packet) => publish(packet, version, out),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack)
            if ack.reason == ReasonCode::Success && ack.properties.is_empty() =>
        {
            let [high, low] = ack.packet_id.get().to_be_bytes();
            out.extend_from_slice(&[first_byte(packet), 2, high, low]);
            Ok(())
        }
        _ => by_the_decoder(packet, version, out),
    }
}

/// How many bytes [`encode`] appends, so that a maximum packet size can be kept without encoding. Where `encode` refuses,
/// the number means nothing.
pub fn encoded_len(packet: &Packet<'_>, version: Version) -> usize {
    let remaining = match packet {
        Packet::Publish(packet) => publish_remaining(packet, packet.properties.as_bytes().len(), version),
        _ => body_len(packet, version).bytes,
    };
    1 + variable_len(remaining) + remaining
}

/// Appends the head of a PUBLISH: all that comes before the properties and the payload of `publish`. Head, properties and
/// payload one after the other are the packet. In a fan-out the latter two are stored once, side by side, and shared; only
/// the head is written per receiver. `own` are properties for this receiver alone (a topic alias, subscription identifiers,
/// the expiry that is left), which come before the shared ones.
///
/// Before 5.0 `own` and the properties of `publish` are empty, and the shared part is the payload alone.
///
/// # Errors
/// As [`encode`], except that nobody checks the shared properties again: the caller got them from a decoded packet, and
/// leaves out of them what is in `own`.
#[inline]
pub fn publish_head(
    publish: &Publish<'_>,
    own: Properties<'_>,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), Misuse> {
    if !version.has_properties() && !publish.properties.is_empty() {
        return Err(Misuse::NotInThisVersion);
    }
    head(publish, own, publish.properties.as_bytes().len(), version, out)
}

#[inline]
fn publish(publish: &Publish<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
    head(publish, publish.properties, 0, version, out)?;
    out.extend_from_slice(publish.payload);
    Ok(())
}

/// Checks the properties of a PUBLISH. A server may send all of those that a client may.
#[inline]
fn check_properties(properties: Properties<'_>, version: Version) -> Result<(), Misuse> {
    const HOST: Host = Host::Packet(PacketType::Publish);
    if properties.is_empty() {
        return Ok(());
    }
    if !version.has_properties() {
        return Err(Misuse::NotInThisVersion);
    }
    if properties.legal_in(HOST, Side::Server) {
        return Ok(());
    }
    let list = Reader::new(properties.as_bytes(), properties.as_bytes().len());
    Err(Misuse::Illegal(property::blame(list, HOST, Side::Server).rule()))
}

/// Writes a PUBLISH up to the end of its `own` properties, which `shared` bytes of others and the payload follow.
#[inline]
fn head(
    publish: &Publish<'_>,
    own: Properties<'_>,
    shared: usize,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), Misuse> {
    check_properties(own, version)?;
    let topic = publish.topic.as_bytes();
    if let Some((flaw, _)) = text::topic_flaw(topic) {
        return Err(Misuse::Illegal(rule(flaw, Rule::WildcardInTopic)));
    }
    if topic.is_empty() && !own.holds(PropertyId::TopicAlias) {
        return Err(Misuse::Illegal(Rule::EmptyTopic));
    }
    let packet_id = match (publish.qos, publish.packet_id) {
        (QoS::AtMostOnce, None) if publish.dup => return Err(Misuse::Illegal(Rule::DupAtQosZero)),
        (QoS::AtMostOnce, Some(_)) => return Err(Misuse::Illegal(Rule::PacketIdAtQosZero)),
        (QoS::AtLeastOnce | QoS::ExactlyOnce, None) => {
            return Err(Misuse::Illegal(Rule::PacketIdZero(PacketType::Publish)));
        }
        (_, packet_id) => packet_id,
    };
    let Ok(topic_len) = u16::try_from(topic.len()) else {
        return Err(Misuse::FieldTooLong);
    };
    let properties_len = own.as_bytes().len() + shared;
    let remaining = publish_remaining(publish, properties_len, version);
    if remaining > MAX_REMAINING {
        return Err(Misuse::PacketTooLong);
    }
    out.reserve(5 + remaining);
    let flags = u8::from(publish.dup) << 3 | (publish.qos as u8) << 1 | u8::from(publish.retain);
    let first = (PacketType::Publish as u8) << 4 | flags;
    let [high, low] = topic_len.to_be_bytes();
    if remaining < 0x80 {
        // Most are: one write rather than four.
        out.put(&[first, remaining as u8, high, low]);
    } else {
        out.byte(first);
        out.variable(remaining);
        out.put(&[high, low]);
    }
    out.put(topic);
    if let Some(id) = packet_id {
        out.put(&id.get().to_be_bytes());
    }
    if version.has_properties() {
        out.variable(properties_len);
        if !own.is_empty() {
            out.put(own.as_bytes());
        }
    }
    Ok(())
}

/// The remaining length of a PUBLISH with so many bytes of properties.
#[inline]
fn publish_remaining(publish: &Publish<'_>, properties_len: usize, version: Version) -> usize {
    let packet_id = if publish.packet_id.is_some() { 2 } else { 0 };
    let properties = if version.has_properties() { variable_len(properties_len) + properties_len } else { 0 };
    2 + publish.topic.len() + packet_id + properties + publish.payload.len()
}

/// Writes any packet but PUBLISH, and takes it back unless the decoder reads the same out of it.
fn by_the_decoder(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
    let Length { bytes: remaining, field_too_long } = body_len(packet, version);
    if field_too_long {
        return Err(Misuse::FieldTooLong);
    }
    if remaining > MAX_REMAINING {
        return Err(Misuse::PacketTooLong);
    }
    let start = out.len();
    out.reserve(5 + remaining);
    out.push(first_byte(packet));
    out.variable(remaining);
    body(packet, version, out);
    let verdict = judge(packet, &out[start..], version);
    if verdict.is_err() {
        out.truncate(start);
    }
    verdict
}

/// Whether `frame` is this packet to whom it is sent.
fn judge(packet: &Packet<'_>, frame: &[u8], version: Version) -> Result<(), Misuse> {
    let mut refused = Rule::ReservedPacketType;
    for sender in [Side::Client, Side::Server] {
        if !packet.packet_type().sent_by(sender, version) {
            continue;
        }
        match decode(frame, version, sender) {
            Ok(read) if read == *packet => return Ok(()),
            Ok(_) => return Err(Misuse::NotInThisVersion),
            Err(refusal) => refused = refusal.rule(),
        }
    }
    Err(Misuse::Illegal(refused))
}

/// Packet type and flags of any packet but PUBLISH, whose flags vary.
#[inline]
const fn first_byte(packet: &Packet<'_>) -> u8 {
    let flags = match packet {
        Packet::PubRel(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) => 2,
        _ => 0,
    };
    (packet.packet_type() as u8) << 4 | flags
}

/// Where bytes go: into a buffer, or nowhere but into a [`Length`].
trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    fn packet_id(&mut self, id: PacketId) {
        self.put(&id.get().to_be_bytes());
    }

    /// Bytes behind their length.
    fn field(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.put(&length.to_be_bytes());
        self.put(bytes);
    }

    /// A variable byte integer in its shortest form.
    fn variable(&mut self, value: usize);

    /// Properties behind their length; nothing before 5.0.
    fn properties(&mut self, properties: Properties<'_>, version: Version) {
        if version.has_properties() {
            self.variable(properties.as_bytes().len());
            self.put(properties.as_bytes());
        }
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn variable(&mut self, value: usize) {
        put_variable(self, value as u32);
    }
}

/// How long something is.
#[derive(Default)]
struct Length {
    bytes: usize,
    /// A field was longer than its length can say.
    field_too_long: bool,
}

impl Sink for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
    }

    fn field(&mut self, bytes: &[u8]) {
        self.field_too_long |= bytes.len() > usize::from(u16::MAX);
        self.bytes += 2 + bytes.len();
    }

    fn variable(&mut self, value: usize) {
        self.bytes += variable_len(value);
    }
}

/// The length of what [`body`] writes.
fn body_len(packet: &Packet<'_>, version: Version) -> Length {
    let mut length = Length::default();
    body(packet, version, &mut length);
    length
}

const fn variable_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Writes what follows the fixed header.
fn body(packet: &Packet<'_>, version: Version, out: &mut impl Sink) {
    match packet {
        Packet::Connect(packet) => connect(packet, out),
        Packet::ConnAck(packet) => {
            out.byte(u8::from(packet.session_present));
            out.byte(match version {
                Version::V5 => packet.reason.code(),
                _ => return_code::from_reason(packet.reason).map_or(u8::MAX, |(code, _)| code),
            });
            out.properties(packet.properties, version);
        }
        Packet::Publish(_) => unreachable!("a PUBLISH is written by `head`"),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            out.packet_id(ack.packet_id);
            reason_and_properties(ack.reason, ack.properties, version, out);
        }
        Packet::Subscribe(packet) => {
            out.packet_id(packet.packet_id);
            out.properties(packet.properties, version);
            out.put(packet.subscriptions.bytes);
        }
        Packet::SubAck(packet) => {
            out.packet_id(packet.packet_id);
            out.properties(packet.properties, version);
            out.put(packet.reasons.bytes);
        }
        Packet::Unsubscribe(packet) => {
            out.packet_id(packet.packet_id);
            out.properties(packet.properties, version);
            out.put(packet.filters.bytes);
        }
        Packet::UnsubAck(packet) => {
            out.packet_id(packet.packet_id);
            out.properties(packet.properties, version);
            out.put(packet.reasons.bytes);
        }
        Packet::PingReq | Packet::PingResp => {}
        Packet::Disconnect(packet) => reason_and_properties(packet.reason, packet.properties, version, out),
        // Unlike DISCONNECT it has no form with a reason code alone (3.15.2.1).
        Packet::Auth(packet) if packet.reason == ReasonCode::Success && packet.properties.is_empty() => {}
        Packet::Auth(packet) => {
            out.byte(packet.reason.code());
            out.properties(packet.properties, version);
        }
    }
}

/// A reason code and properties, as much of them as cannot be left out.
fn reason_and_properties(reason: ReasonCode, properties: Properties<'_>, version: Version, out: &mut impl Sink) {
    let plain = reason == ReasonCode::Success && properties.is_empty();
    if version.has_properties() && !plain {
        out.byte(reason.code());
        if !properties.is_empty() {
            out.properties(properties, version);
        }
    }
}

fn connect(packet: &Connect<'_>, out: &mut impl Sink) {
    let version = packet.version;
    out.field(version.protocol_name().as_bytes());
    out.byte(version.level());
    let will = packet.will.map_or(0, |will| 0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
    out.byte(
        u8::from(packet.username.is_some()) << 7
            | u8::from(packet.password.is_some()) << 6
            | will
            | u8::from(packet.clean_start) << 1,
    );
    out.put(&packet.keep_alive.to_be_bytes());
    out.properties(packet.properties, version);
    out.field(packet.client_id.as_bytes());
    if let Some(will) = packet.will {
        out.properties(will.properties, version);
        out.field(will.topic.as_bytes());
        out.field(will.payload);
    }
    if let Some(username) = packet.username {
        out.field(username.as_bytes());
    }
    if let Some(password) = packet.password {
        out.field(password);
    }
}

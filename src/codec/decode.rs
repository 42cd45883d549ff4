//! One frame to one packet.

use std::cmp::Ordering;

use crate::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Filters, Host, Packet, PacketId, PacketType, Properties, PropertyId,
    Publish, QoS, ReasonCode, ReasonCodes, RetainHandling, Side, SubAck, Subscribe, Subscriptions, UnsubAck,
    Unsubscribe, Version, Will,
};
use crate::violation::{Refusal, Rule};

use super::frame::{FixedHeader, fixed_header};
use super::read::Reader;
use super::return_code;

/// Reads one frame (fixed header and body, as cut by [`super::frame`]) that `sender` sent on a connection of this
/// `version`. For CONNECT the version is the one it names itself. Nothing is allocated; the packet borrows from the
/// frame and is fully validated, all but the syntax of topic filters: an empty filter or a misplaced wildcard is for whoever
/// answers the SUBSCRIBE or UNSUBSCRIBE to judge, since in 5.0 the answer may be a reason code in the acknowledgement.
///
/// Beyond the letter of the standard only this is refused: DUP at QoS 0 and packet identifier 0, which the standards
/// forbid to send without saying what a receiver does (3.3.1-2; 2.2.1-3 of 5.0), a reason code that is not one of
/// its packet and sender, and padded lengths in 5.0 (1.5.5-1). Under 3.1 everything is accepted that 3.1 leaves
/// open and the packet model can hold.
///
/// # Errors
/// [`Refusal`], which names the rule and the offset, and through the rule the clause and the reason code. For
/// [`Rule::UnsupportedProtocolLevel`] the offset is that of the level, so that the answer can be in the form the
/// client would understand.
#[inline]
pub fn decode(frame: &[u8], version: Version, sender: Side) -> Result<Packet<'_>, Refusal> {
    let Some(FixedHeader { first, length: header, remaining, minimal }) = fixed_header(frame)? else {
        return Err(Refusal::new(Rule::Truncated, frame.len()));
    };
    let body = Reader::new(&frame[header..], frame.len());
    let (number, flags) = (first >> 4, first & 0x0F);
    if body.len() != remaining || (!minimal && number != 1 && version == Version::V5) {
        return Err(misframed(frame, header + remaining, number));
    }
    let packet = packet_type(number, flags, version, sender)?;
    let host = Host::Packet(packet);
    match packet {
        PacketType::Publish => publish(body, flags, version, sender),
        PacketType::PubAck => ack(body, packet, version, sender, Packet::PubAck),
        PacketType::PubRec => ack(body, packet, version, sender, Packet::PubRec),
        PacketType::PubRel => ack(body, packet, version, sender, Packet::PubRel),
        PacketType::PubComp => ack(body, packet, version, sender, Packet::PubComp),
        PacketType::Connect => connect(body, flags, minimal),
        PacketType::ConnAck => connack(body, version),
        PacketType::Subscribe => subscribe(body, version),
        PacketType::SubAck => suback(body, version),
        PacketType::Unsubscribe => unsubscribe(body, version),
        PacketType::UnsubAck => unsuback(body, version),
        PacketType::PingReq => end(body, packet).map(|()| Packet::PingReq),
        PacketType::PingResp => end(body, packet).map(|()| Packet::PingResp),
        PacketType::Disconnect => {
            let (reason, properties) = reason_and_properties(body, host, version, sender)?;
            Ok(Packet::Disconnect(Disconnect { reason, properties }))
        }
        PacketType::Auth => {
            let (reason, properties) = reason_and_properties(body, host, version, sender)?;
            Ok(Packet::Auth(Auth { reason, properties }))
        }
    }
}

/// Why the length in a fixed header, `length` with the header itself, was not accepted.
#[cold]
fn misframed(frame: &[u8], length: usize, number: u8) -> Refusal {
    match (frame.len().cmp(&length), PacketType::from_u8(number)) {
        (Ordering::Less, _) => Refusal::new(Rule::Truncated, frame.len()),
        (Ordering::Equal, _) => Refusal::new(Rule::IntegerNotMinimal, 1),
        (Ordering::Greater, Some(packet)) => Refusal::new(Rule::TrailingBytes(packet), length),
        (Ordering::Greater, None) => Rule::ReservedPacketType.into(),
    }
}

/// The packet type, if `sender` may send it with these flags. 3.1 gives the flags of all but PUBLISH no meaning, except
/// that three packets are sent at QoS 1.
#[inline]
fn packet_type(number: u8, flags: u8, version: Version, sender: Side) -> Result<PacketType, Refusal> {
    if number == PacketType::Publish as u8 {
        // Most packets are; anybody may send one, and its flags say something.
        return Ok(PacketType::Publish);
    }
    let packet = match PacketType::from_u8(number) {
        None => return Err(Rule::ReservedPacketType.into()),
        Some(PacketType::Auth) if version != Version::V5 => return Err(Rule::ReservedPacketType.into()),
        Some(packet) => packet,
    };
    if !packet.sent_by(sender, version) {
        return Err(Refusal::from(match (packet, sender) {
            (PacketType::Disconnect, _) => Rule::DisconnectFromServer,
            (_, Side::Client) => Rule::ServerPacketFromClient,
            (_, Side::Server) => Rule::ClientPacketFromServer,
        }));
    }
    let at_qos_1 = matches!(packet, PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe);
    let (checked, expected) = match version {
        // The version of a CONNECT is not known yet.
        _ if packet == PacketType::Connect => (0, 0),
        Version::V31 if !at_qos_1 => (0, 0),
        Version::V31 => (0b0110, 0b0010),
        _ => (0b1111, u8::from(at_qos_1) << 1),
    };
    if flags & checked == expected { Ok(packet) } else { Err(Rule::ReservedFlags(packet).into()) }
}

/// Nothing may be left.
#[inline]
fn end(body: Reader<'_>, packet: PacketType) -> Result<(), Refusal> {
    if body.is_empty() { Ok(()) } else { Err(body.refuse(Rule::TrailingBytes(packet))) }
}

#[inline]
fn publish(mut body: Reader<'_>, flags: u8, version: Version, sender: Side) -> Result<Packet<'_>, Refusal> {
    let Some(qos) = QoS::from_u8(flags >> 1 & 3) else {
        return Err(Rule::PublishQosThree.into());
    };
    let mut dup = flags & 8 != 0;
    if dup && qos == QoS::AtMostOnce {
        if version != Version::V31 {
            return Err(Rule::DupAtQosZero.into());
        }
        // 3.1 gives DUP no meaning at QoS 0 and does not forbid it.
        dup = false;
    }
    let start = body;
    let topic = body.topic(Rule::WildcardInTopic)?;
    let packet_id = match qos {
        QoS::AtMostOnce => None,
        _ => Some(body.packet_id(PacketType::Publish)?),
    };
    let properties = body.properties(Host::Packet(PacketType::Publish), version, sender)?;
    if topic.is_empty() && !properties.holds(PropertyId::TopicAlias) {
        return Err(start.refuse(Rule::EmptyTopic));
    }
    Ok(Packet::Publish(Publish {
        dup,
        qos,
        retain: flags & 1 != 0,
        topic,
        packet_id,
        properties,
        payload: body.remainder(),
    }))
}

#[inline]
fn ack<'a>(
    mut body: Reader<'a>,
    packet: PacketType,
    version: Version,
    sender: Side,
    make: impl FnOnce(Ack<'a>) -> Packet<'a>,
) -> Result<Packet<'a>, Refusal> {
    if body.len() < 2 {
        return Err(body.refuse(Rule::TooShort(packet)));
    }
    let packet_id = body.packet_id(packet)?;
    if body.is_empty() {
        return Ok(make(Ack::success(packet_id)));
    }
    let (reason, properties) = reason_and_properties(body, Host::Packet(packet), version, sender)?;
    Ok(make(Ack { packet_id, reason, properties }))
}

/// The end of an acknowledgement, and all of DISCONNECT and AUTH: a reason code and properties, both of which may be
/// left out (3.4.2.1, 3.14.2.1 and 3.15.2.1 of 5.0), and which are not there before 5.0.
fn reason_and_properties(
    mut body: Reader<'_>,
    host: Host,
    version: Version,
    sender: Side,
) -> Result<(ReasonCode, Properties<'_>), Refusal> {
    let Host::Packet(packet) = host else { unreachable!("a will has no reason code") };
    let start = body;
    if version != Version::V5 {
        end(body, packet)?;
        return Ok((ReasonCode::Success, Properties::EMPTY));
    }
    let left_out = body.is_empty();
    let reason = match left_out {
        true => Some(ReasonCode::Success),
        false => ReasonCode::from_u8(body.byte()?),
    };
    let Some(reason) = reason.filter(|reason| reason.allowed_in(packet, sender)) else {
        return Err(start.refuse(Rule::InvalidReasonCode(packet)));
    };
    let mut properties = Properties::EMPTY;
    let start = body;
    if !body.is_empty() {
        properties = body.properties(host, version, sender)?;
        end(body, packet)?;
    }
    // 3.15.2.1 lets a successful AUTH be empty, although 3.15.2.2.2 makes the method mandatory.
    if packet == PacketType::Auth && !left_out && !properties.holds(PropertyId::AuthenticationMethod) {
        return Err(start.refuse(Rule::AuthenticationMethodMissing));
    }
    Ok((reason, properties))
}

fn connect(mut body: Reader<'_>, header_flags: u8, minimal: bool) -> Result<Packet<'_>, Refusal> {
    let sender = Side::Client;
    let start = body;
    let name = body.string()?;
    if !Version::ALL.iter().any(|version| version.protocol_name() == name) {
        return Err(start.refuse(Rule::WrongProtocolName));
    }
    let start = body;
    let level = body.byte()?;
    let Some(version) =
        Version::ALL.into_iter().find(|version| version.protocol_name() == name && version.level() == level)
    else {
        return Err(start.refuse(Rule::UnsupportedProtocolLevel));
    };
    // Now that the version is known: 3.1 leaves these bits without meaning, and only 5.0 forbids a padded length.
    let strict = version != Version::V31;
    if strict && header_flags != 0 {
        return Err(Rule::ReservedFlags(PacketType::Connect).into());
    }
    if !minimal && version == Version::V5 {
        return Err(Refusal::new(Rule::IntegerNotMinimal, 1));
    }

    let start = body;
    let flags = body.byte()?;
    let [username, password, will_retain, will, clean_start, reserved] =
        [0x80, 0x40, 0x20, 0x04, 0x02, 0x01].map(|bit| flags & bit != 0);
    let will_qos = flags >> 3 & 3;
    let flaw = match () {
        () if strict && reserved => Some(Rule::ReservedConnectFlag),
        () if strict && !will && will_qos != 0 => Some(Rule::WillQosWithoutWill),
        () if strict && !will && will_retain => Some(Rule::WillRetainWithoutWill),
        () if version != Version::V5 && password && !username => Some(Rule::PasswordWithoutUsername),
        () => None,
    };
    if let Some(rule) = flaw {
        return Err(start.refuse(rule));
    }
    let will_qos = match QoS::from_u8(will_qos) {
        Some(qos) => qos,
        None if will => return Err(start.refuse(Rule::WillQosThree)),
        None => QoS::AtMostOnce,
    };

    let keep_alive = body.two()?;
    let properties = body.properties(Host::Packet(PacketType::Connect), version, sender)?;
    let announced = |body: Reader<'_>, rule| if body.is_empty() { Err(body.refuse(rule)) } else { Ok(()) };
    announced(body, Rule::ClientIdMissing)?;
    let client_id = body.string()?;
    let will = match will {
        false => None,
        true => {
            announced(body, Rule::WillMissing)?;
            let properties = body.properties(Host::Will, version, sender)?;
            announced(body, Rule::WillMissing)?;
            let start = body;
            let topic = body.topic(Rule::WildcardInWillTopic)?;
            if topic.is_empty() {
                return Err(start.refuse(Rule::EmptyWillTopic));
            }
            announced(body, Rule::WillMissing)?;
            let payload = body.binary()?;
            Some(Will { topic, payload, qos: will_qos, retain: will_retain, properties })
        }
    };
    // In 3.1 the length of the packet has precedence over these two flags.
    let username = username && (strict || !body.is_empty());
    let username = match username {
        false => None,
        true => {
            announced(body, Rule::UsernameMissing)?;
            Some(body.string()?)
        }
    };
    let password = password && (strict || !body.is_empty());
    let password = match password {
        false => None,
        true => {
            announced(body, Rule::PasswordMissing)?;
            Some(body.binary()?)
        }
    };
    end(body, PacketType::Connect)?;
    Ok(Packet::Connect(Connect { version, clean_start, keep_alive, client_id, will, username, password, properties }))
}

fn connack(mut body: Reader<'_>, version: Version) -> Result<Packet<'_>, Refusal> {
    let packet = PacketType::ConnAck;
    if body.len() < 2 {
        return Err(body.refuse(Rule::TooShort(packet)));
    }
    let start = body;
    // 3.1 reserves this byte and does not say what a client does with it.
    let flags = body.byte()? & if version == Version::V31 { 0 } else { 0xFF };
    if flags > 1 {
        return Err(start.refuse(Rule::ReservedConnAckFlags));
    }
    let session_present = flags == 1;
    let start = body;
    let code = body.byte()?;
    let reason = match version {
        Version::V5 => ReasonCode::from_u8(code).filter(|reason| reason.allowed_in(packet, Side::Server)),
        _ => return_code::to_reason(code),
    };
    let Some(reason) = reason else {
        return Err(start.refuse(Rule::InvalidReasonCode(packet)));
    };
    if session_present && reason != ReasonCode::Success {
        return Err(start.refuse(Rule::SessionPresentOnRefusal));
    }
    if version == Version::V5 && body.is_empty() {
        return Err(body.refuse(Rule::TooShort(packet)));
    }
    let properties = body.properties(Host::Packet(packet), version, Side::Server)?;
    end(body, packet)?;
    Ok(Packet::ConnAck(ConnAck { session_present, reason, properties }))
}

fn subscribe(mut body: Reader<'_>, version: Version) -> Result<Packet<'_>, Refusal> {
    let packet = PacketType::Subscribe;
    let packet_id = body.packet_id(packet)?;
    let properties = body.properties(Host::Packet(packet), version, Side::Client)?;
    if body.is_empty() {
        return Err(body.refuse(Rule::NoFilters(packet)));
    }
    let mut list = body;
    while !list.is_empty() {
        list.string()?;
        if list.is_empty() {
            return Err(list.refuse(Rule::OptionsMissing));
        }
        let start = list;
        options(list.byte()?, version).map_err(|rule| start.refuse(rule))?;
    }
    Ok(Packet::Subscribe(Subscribe { packet_id, properties, subscriptions: Subscriptions { bytes: body.remainder() } }))
}

/// Checks the options of one subscription. 3.1 does not forbid reserved bits, but gives nothing to read out of them.
fn options(byte: u8, version: Version) -> Result<(), Rule> {
    let reserved = if version == Version::V5 { 0b1100_0000 } else { 0b1111_1100 };
    if byte & reserved != 0 {
        return Err(Rule::ReservedSubscriptionBits);
    }
    if QoS::from_u8(byte & 3).is_none() {
        return Err(Rule::SubscribeQosThree);
    }
    if RetainHandling::from_u8(byte >> 4 & 3).is_none() {
        return Err(Rule::RetainHandlingThree);
    }
    Ok(())
}

fn suback(mut body: Reader<'_>, version: Version) -> Result<Packet<'_>, Refusal> {
    let (packet_id, properties) = acknowledged(&mut body, PacketType::SubAck, version)?;
    let reasons = codes(&mut body, PacketType::SubAck, version)?;
    Ok(Packet::SubAck(SubAck { packet_id, properties, reasons }))
}

fn unsuback(mut body: Reader<'_>, version: Version) -> Result<Packet<'_>, Refusal> {
    let (packet_id, properties) = acknowledged(&mut body, PacketType::UnsubAck, version)?;
    let reasons = match version {
        Version::V5 => codes(&mut body, PacketType::UnsubAck, version)?,
        _ => ReasonCodes::EMPTY,
    };
    end(body, PacketType::UnsubAck)?;
    Ok(Packet::UnsubAck(UnsubAck { packet_id, properties, reasons }))
}

/// What SUBACK and UNSUBACK begin with.
fn acknowledged<'a>(
    body: &mut Reader<'a>,
    packet: PacketType,
    version: Version,
) -> Result<(PacketId, Properties<'a>), Refusal> {
    if body.len() < if version == Version::V5 { 3 } else { 2 } {
        return Err(body.refuse(Rule::TooShort(packet)));
    }
    let packet_id = body.packet_id(packet)?;
    let properties = body.properties(Host::Packet(packet), version, Side::Server)?;
    Ok((packet_id, properties))
}

/// One code per filter, so at least one; but 3.1 lets a server answer a SUBSCRIBE that has no filter.
fn codes<'a>(body: &mut Reader<'a>, packet: PacketType, version: Version) -> Result<ReasonCodes<'a>, Refusal> {
    let start = *body;
    let bytes = body.remainder();
    if bytes.is_empty() && version != Version::V31 {
        return Err(start.refuse(Rule::CodesMissing(packet)));
    }
    let legal = |&code: &u8| match version {
        Version::V5 => ReasonCode::from_u8(code).is_some_and(|reason| reason.allowed_in(packet, Side::Server)),
        Version::V311 => matches!(code, 0..=2 | 0x80),
        Version::V31 => matches!(code, 0..=2),
    };
    match bytes.iter().position(|code| !legal(code)) {
        Some(at) => Err(Refusal::new(Rule::InvalidReasonCode(packet), start.offset() + at)),
        None => Ok(ReasonCodes { bytes }),
    }
}

fn unsubscribe(mut body: Reader<'_>, version: Version) -> Result<Packet<'_>, Refusal> {
    let packet = PacketType::Unsubscribe;
    let packet_id = body.packet_id(packet)?;
    let properties = body.properties(Host::Packet(packet), version, Side::Client)?;
    if body.is_empty() {
        return Err(body.refuse(Rule::NoFilters(packet)));
    }
    let mut list = body;
    while !list.is_empty() {
        list.string()?;
    }
    Ok(Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters: Filters { bytes: body.remainder() } }))
}

//! Rule by rule: what is refused, where, and what just is not.

use testament::codec::frame::{Framer, MAX_FRAME, frame_len};
use testament::codec::{decode, encode};
use testament::forge::{Forged, field, frame};
use testament::packet::{
    Ack, Auth, ConnAck, Disconnect, Host, Packet, PacketId, PacketType, Properties, Property, PropertyBuf, PropertyId,
    Publish, QoS, ReasonCode, Side, Version,
};
use testament::violation::{Misuse, Refusal, Rule};

use Side::{Client, Server};
use Version::{V5, V31, V311};

/// `None`: accepted. Else the rule, and the offset in the frame.
type Expect = Option<(Rule, usize)>;

const OK: Expect = None;

#[track_caller]
fn check(bytes: &[u8], sender: Side, versions: &[Version], expect: Expect) {
    for &version in versions {
        let refusal = decode(bytes, version, sender).err();
        let came = refusal.map(|refusal| (refusal.rule(), refusal.offset()));
        assert_eq!(came, expect, "{bytes:02x?} under {version}: {refusal:?}");
    }
}

/// The body behind this first byte, from either side.
#[track_caller]
fn body(first: u8, body: &[u8], sender: Side, versions: &[Version], expect: Expect) {
    check(&frame(first, body), sender, versions, expect);
}

#[test]
fn fixed_headers() {
    let flags = |packet| Some((Rule::ReservedFlags(packet), 0));
    check(b"", Client, &Version::ALL, Some((Rule::Truncated, 0)));
    check(b"\xC0", Client, &Version::ALL, Some((Rule::Truncated, 1)));
    check(b"\x30\x07\0\x03a/b", Client, &Version::ALL, Some((Rule::Truncated, 7)));
    check(b"\xC0\0\0", Client, &Version::ALL, Some((Rule::TrailingBytes(PacketType::PingReq), 2)));
    check(b"\xC0\x80\0", Client, &[V31, V311], OK);
    check(b"\xC0\x80\0", Client, &[V5], Some((Rule::IntegerNotMinimal, 1)));
    check(b"\xC0\x80\x80\x80\0", Client, &[V311], OK);
    check(b"\xC0\x80\x80\x80\x80\0", Client, &Version::ALL, Some((Rule::RemainingLengthTooLong, 4)));
    check(b"\0\0", Client, &Version::ALL, Some((Rule::ReservedPacketType, 0)));
    check(b"\xF0\0", Server, &[V31, V311], Some((Rule::ReservedPacketType, 0)));
    check(b"\xF0\0", Server, &[V5], OK);
    check(b"\xD0\0", Client, &Version::ALL, Some((Rule::ServerPacketFromClient, 0)));
    check(b"\xC0\0", Server, &Version::ALL, Some((Rule::ClientPacketFromServer, 0)));
    check(b"\xE0\0", Server, &[V31, V311], Some((Rule::DisconnectFromServer, 0)));
    check(b"\xE0\0", Server, &[V5], OK);
    for bits in 1..16 {
        check(&[0xC0 | bits, 0], Client, &[V311, V5], flags(PacketType::PingReq));
        check(&[0xE0 | bits, 0], Client, &[V311, V5], flags(PacketType::Disconnect));
        check(&[0xC0 | bits, 0], Client, &[V31], OK);
        check(&[0xF0 | bits, 0], Server, &[V5], flags(PacketType::Auth));
        for (number, packet) in [(4, PacketType::PubAck), (5, PacketType::PubRec), (7, PacketType::PubComp)] {
            check(&[number << 4 | bits, 2, 0, 1], Client, &[V311, V5], flags(packet));
        }
    }
    for bits in (0..16).filter(|bits| *bits != 2) {
        // In 3.1 these three are at QoS 1, and DUP says that they come again.
        let in_31 = |packet| if bits & 6 == 2 { OK } else { flags(packet) };
        check(&[0x60 | bits, 2, 0, 1], Server, &[V311, V5], flags(PacketType::PubRel));
        check(&[0x60 | bits, 2, 0, 1], Server, &[V31], in_31(PacketType::PubRel));
        body(0x80 | bits, b"\0\x01\0\x01a\0", Client, &[V311], flags(PacketType::Subscribe));
        body(0x80 | bits, b"\0\x01\0\x01a\0", Client, &[V31], in_31(PacketType::Subscribe));
        body(0xA0 | bits, b"\0\x01\0\x01a", Client, &[V311], flags(PacketType::Unsubscribe));
        body(0xA0 | bits, b"\0\x01\0\x01a", Client, &[V31], in_31(PacketType::Unsubscribe));
    }
}

#[test]
fn connects() {
    let connect = |name: &[u8], rest: &[u8]| [&field(name), rest].concat();
    let v3 = |flags: u8, payload: &[u8]| [&b"\0\x06MQIsdp\x03"[..], &[flags, 0, 60], payload].concat();
    let v4 = |flags: u8, payload: &[u8]| [&b"\0\x04MQTT\x04"[..], &[flags, 0, 60], payload].concat();
    let v5 = |flags: u8, payload: &[u8]| [&b"\0\x04MQTT\x05"[..], &[flags, 0, 60, 0], payload].concat();
    // The version under which a CONNECT is read does not matter.
    let connects = |bytes: Vec<u8>, expect| body(0x10, &bytes, Client, &Version::ALL, expect);

    connects(connect(b"MQTU", b"\x04\x02\0\0\0\x01a"), Some((Rule::WrongProtocolName, 2)));
    connects(connect(b"mqtt", b"\x04\x02\0\0\0\x01a"), Some((Rule::WrongProtocolName, 2)));
    connects(connect(b"", b"\x04\x02\0\0\0\x01a"), Some((Rule::WrongProtocolName, 2)));
    for level in (0..=255).filter(|level| *level != 4 && *level != 5) {
        connects(connect(b"MQTT", &[level]), Some((Rule::UnsupportedProtocolLevel, 8)));
    }
    for level in (0..=255).filter(|level| *level != 3) {
        connects(connect(b"MQIsdp", &[level]), Some((Rule::UnsupportedProtocolLevel, 10)));
    }
    let flags = Some((Rule::ReservedFlags(PacketType::Connect), 0));
    for (bytes, expect) in [(v3(2, b"\0\x01a"), OK), (v4(2, b"\0\x01a"), flags), (v5(2, b"\0\x01a"), flags)] {
        body(0x14, &bytes, Client, &Version::ALL, expect);
    }
    let padded = |bytes: Vec<u8>| Forged::raw(0x10, &bytes).length_bytes(&[0x80 | bytes.len() as u8, 0]).bytes();
    check(&padded(v4(2, b"\0\x01a")), Client, &[V5], OK);
    check(&padded(v5(2, b"\0\x01a")), Client, &[V311], Some((Rule::IntegerNotMinimal, 1)));

    connects(v3(0x03, b"\0\x01a"), OK);
    connects(v4(0x03, b"\0\x01a"), Some((Rule::ReservedConnectFlag, 9)));
    connects(v5(0x03, b"\0\x01a"), Some((Rule::ReservedConnectFlag, 9)));
    connects(v3(0x0A, b"\0\x01a"), OK);
    connects(v4(0x0A, b"\0\x01a"), Some((Rule::WillQosWithoutWill, 9)));
    connects(v5(0x12, b"\0\x01a"), Some((Rule::WillQosWithoutWill, 9)));
    connects(v3(0x22, b"\0\x01a"), OK);
    connects(v4(0x22, b"\0\x01a"), Some((Rule::WillRetainWithoutWill, 9)));
    connects(v5(0x22, b"\0\x01a"), Some((Rule::WillRetainWithoutWill, 9)));
    connects(v3(0x1E, b"\0\x01a\0\x01w\0\0"), Some((Rule::WillQosThree, 11)));
    connects(v4(0x1E, b"\0\x01a\0\x01w\0\0"), Some((Rule::WillQosThree, 9)));
    connects(v5(0x1E, b"\0\x01a\0\0\x01w\0\0"), Some((Rule::WillQosThree, 9)));
    connects(v3(0x42, b"\0\x01a\0\x01p"), Some((Rule::PasswordWithoutUsername, 11)));
    connects(v4(0x42, b"\0\x01a\0\x01p"), Some((Rule::PasswordWithoutUsername, 9)));
    connects(v5(0x42, b"\0\x01a\0\x01p"), OK);

    connects(v4(2, b""), Some((Rule::ClientIdMissing, 12)));
    connects(v5(2, b""), Some((Rule::ClientIdMissing, 13)));
    connects(v4(0x06, b"\0\x01a"), Some((Rule::WillMissing, 15)));
    connects(v4(0x06, b"\0\x01a\0\x01w"), Some((Rule::WillMissing, 18)));
    connects(v5(0x06, b"\0\x01a\0"), Some((Rule::WillMissing, 17)));
    connects(v4(0x82, b"\0\x01a"), Some((Rule::UsernameMissing, 15)));
    connects(v4(0xC2, b"\0\x01a\0\x01u"), Some((Rule::PasswordMissing, 18)));
    connects(v5(0xC2, b"\0\x01a\0\x01u"), Some((Rule::PasswordMissing, 19)));
    connects(v3(0x82, b"\0\x01a"), OK);
    connects(v3(0xC2, b"\0\x01a\0\x01u"), OK);
    connects(v3(0xC2, b"\0\x01a\0\x02u"), Some((Rule::Truncated, 17)));
    connects(v4(0x02, b"\0\x01a\0\x01u"), Some((Rule::TrailingBytes(PacketType::Connect), 15)));
    connects(v4(0x02, b"\0\x02a"), Some((Rule::Truncated, 12)));
    connects(v4(0x02, b"\0\x02a\0"), Some((Rule::NulInString, 15)));
    connects(v4(0x02, b"\0\x02a\x80"), Some((Rule::InvalidUtf8, 15)));
    connects(v4(0x06, b"\0\x01a\0\0\0\0"), Some((Rule::EmptyWillTopic, 15)));
    connects(v4(0x06, b"\0\x01a\0\x03w/#\0\0"), Some((Rule::WildcardInWillTopic, 19)));
    connects(v5(0x06, b"\0\x01a\0\0\x03w/+\0\0"), Some((Rule::WildcardInWillTopic, 21)));
    let data = Forged::raw(0x10, &v5(2, b"\0\x01a"));
    check(
        &data.clone().properties(b"\x16\0\x01d").bytes(),
        Client,
        &[V5],
        Some((Rule::AuthenticationDataWithoutMethod, 17)),
    );
    check(&data.properties(b"\x16\0\x01d\x15\0\x01m").bytes(), Client, &[V5], OK);
}

#[test]
fn connacks() {
    let packet = PacketType::ConnAck;
    body(0x20, b"", Server, &Version::ALL, Some((Rule::TooShort(packet), 2)));
    body(0x20, b"\0", Server, &Version::ALL, Some((Rule::TooShort(packet), 2)));
    body(0x20, b"\0\0", Server, &[V5], Some((Rule::TooShort(packet), 4)));
    body(0x20, b"\0\0\0", Server, &[V31, V311], Some((Rule::TrailingBytes(packet), 4)));
    body(0x20, b"\0\0\0\0", Server, &[V5], Some((Rule::TrailingBytes(packet), 5)));
    body(0x20, b"\x02\0\0", Server, &[V5], Some((Rule::ReservedConnAckFlags, 2)));
    body(0x20, b"\x02\0", Server, &[V311], Some((Rule::ReservedConnAckFlags, 2)));
    body(0x20, b"\xFF\0", Server, &[V31], OK);
    body(0x20, b"\x01\x05", Server, &[V311], Some((Rule::SessionPresentOnRefusal, 3)));
    body(0x20, b"\x01\x05", Server, &[V31], OK);
    body(0x20, b"\x01\x87\0", Server, &[V5], Some((Rule::SessionPresentOnRefusal, 3)));
    body(0x20, b"\0\x06", Server, &[V31, V311], Some((Rule::InvalidReasonCode(packet), 3)));
    body(0x20, b"\0\x01\0", Server, &[V5], Some((Rule::InvalidReasonCode(packet), 3)));
    body(0x20, b"\0\x8E\0", Server, &[V5], Some((Rule::InvalidReasonCode(packet), 3)));
}

#[test]
fn publishes() {
    body(0x36, b"\0\x01t\0\x01", Client, &[V31, V311], Some((Rule::PublishQosThree, 0)));
    body(0x38, b"\0\x01t", Client, &[V311], Some((Rule::DupAtQosZero, 0)));
    body(0x38, b"\0\x01t\0", Client, &[V5], Some((Rule::DupAtQosZero, 0)));
    body(0x38, b"\0\x01t", Client, &[V31], OK);
    body(0x30, b"\0", Client, &Version::ALL, Some((Rule::Truncated, 2)));
    body(0x30, b"\0\x02t", Client, &Version::ALL, Some((Rule::Truncated, 2)));
    body(0x32, b"\0\x01t\0\0", Client, &[V31, V311], Some((Rule::PacketIdZero(PacketType::Publish), 5)));
    body(0x32, b"\0\x01t\0", Client, &Version::ALL, Some((Rule::Truncated, 5)));
    body(0x30, b"\0\0", Client, &[V31, V311], Some((Rule::EmptyTopic, 2)));
    body(0x30, b"\0\0\0", Client, &[V5], Some((Rule::EmptyTopic, 2)));
    body(0x30, b"\0\0\x03\x23\0\x01", Client, &[V5], OK);
    body(0x30, b"\0\x03a/+", Client, &[V31, V311], Some((Rule::WildcardInTopic, 6)));
    body(0x30, b"\0\x09abcdefgh#\0", Client, &[V5], Some((Rule::WildcardInTopic, 12)));
    body(0x30, b"\0\x01\0", Client, &[V31, V311], Some((Rule::NulInString, 4)));
    body(0x30, b"\0\x03\xEF\xBB\xBF\0", Client, &Version::ALL, OK);
    body(0x30, b"\0\x01t", Client, &[V5], Some((Rule::Truncated, 5)));
}

#[test]
fn properties() {
    let publish = |properties: &[u8]| [&b"\0\x01t"[..], properties].concat();
    let by_client = |properties: &[u8], expect| body(0x30, &publish(properties), Client, &[V5], expect);
    let by_server = |properties: &[u8], expect| body(0x30, &publish(properties), Server, &[V5], expect);
    let at = |rule| Some((rule, 6));

    by_client(b"\x01", Some((Rule::PropertyLength, 5)));
    by_client(b"\x80\0", Some((Rule::IntegerNotMinimal, 5)));
    by_client(b"\x80\x80\x80\x80\0", Some((Rule::RemainingLengthTooLong, 5)));
    by_client(b"\x01\x01\x01", at(Rule::PropertyLength));
    by_client(b"\x03\x03\0\x04text", at(Rule::PropertyLength));
    by_client(b"\x01\x04", at(Rule::UnknownProperty));
    by_client(b"\x02\x81\0", at(Rule::UnknownProperty));
    by_client(b"\x03\x21\0\x01", at(Rule::MisplacedProperty(Host::Packet(PacketType::Publish))));
    by_client(b"\x02\x0B\x01", at(Rule::PropertyFromWrongSide(PropertyId::SubscriptionIdentifier)));
    by_server(b"\x02\x0B\x01", OK);
    by_server(b"\x04\x0B\x01\x0B\x01", OK);
    by_server(b"\x02\x0B\0", at(Rule::PropertyOutOfRange(PropertyId::SubscriptionIdentifier)));
    by_server(b"\x03\x0B\x80\0", Some((Rule::IntegerNotMinimal, 7)));
    by_client(b"\x04\x01\0\x01\0", Some((Rule::RepeatedProperty(PropertyId::PayloadFormatIndicator), 8)));
    by_client(b"\x02\x01\xFF", OK);
    by_client(b"\x03\x23\0\0", at(Rule::PropertyOutOfRange(PropertyId::TopicAlias)));
    by_client(b"\x05\x08\0\x02#a", Some((Rule::WildcardInResponseTopic, 9)));
    by_client(b"\x03\x08\0\0", OK);
    by_client(b"\x04\x03\0\x01\xFF", Some((Rule::InvalidUtf8, 9)));
    by_client(b"\x04\x03\0\x01\0", Some((Rule::NulInString, 9)));
    by_client(b"\x04\x09\0\x01\0", OK);
    by_client(b"\x0E\x26\0\x01k\0\x01v\x26\0\x01k\0\x01v", OK);
    by_client(b"\x05\x26\0\x01k\0", at(Rule::PropertyLength));

    // Each with a range, at both ends of it.
    let connack = |property: &[u8], expect| {
        body(0x20, &[&[0, 0, property.len() as u8], property].concat(), Server, &[V5], expect);
    };
    let out_of_range = |property| Some((Rule::PropertyOutOfRange(property), 5));
    for (id, property) in [
        (0x24, PropertyId::MaximumQoS),
        (0x25, PropertyId::RetainAvailable),
        (0x28, PropertyId::WildcardSubscriptionAvailable),
        (0x29, PropertyId::SubscriptionIdentifierAvailable),
        (0x2A, PropertyId::SharedSubscriptionAvailable),
    ] {
        connack(&[id, 0], OK);
        connack(&[id, 1], OK);
        connack(&[id, 2], out_of_range(property));
    }
    connack(b"\x21\0\0", out_of_range(PropertyId::ReceiveMaximum));
    connack(b"\x21\0\x01", OK);
    connack(b"\x22\0\0", OK);
    connack(b"\x13\0\0", OK);
    connack(b"\x27\0\0\0\0", out_of_range(PropertyId::MaximumPacketSize));
    connack(b"\x27\0\0\0\x01", OK);
    connack(b"\x16\0\0", OK);

    let wrong_side = |property| Some((Rule::PropertyFromWrongSide(property), 4));
    body(0xE0, b"\0\x05\x11\0\0\0\x01", Client, &[V5], OK);
    body(0xE0, b"\0\x05\x11\0\0\0\x01", Server, &[V5], wrong_side(PropertyId::SessionExpiryInterval));
    body(0xE0, b"\0\x03\x1C\0\0", Client, &[V5], wrong_side(PropertyId::ServerReference));
    body(0xE0, b"\0\x03\x1C\0\0", Server, &[V5], OK);
}

#[test]
fn acknowledgements() {
    let packet = PacketType::PubAck;
    body(0x40, b"", Client, &Version::ALL, Some((Rule::TooShort(packet), 2)));
    body(0x40, b"\0", Client, &Version::ALL, Some((Rule::TooShort(packet), 2)));
    body(0x40, b"\0\0", Client, &Version::ALL, Some((Rule::PacketIdZero(packet), 2)));
    body(0x40, b"\0\x01\0", Client, &[V31, V311], Some((Rule::TrailingBytes(packet), 4)));
    body(0x40, b"\0\x01\0", Client, &[V5], OK);
    body(0x40, b"\0\x01\0\0", Client, &[V5], OK);
    body(0x40, b"\0\x01\0\0\0", Client, &[V5], Some((Rule::TrailingBytes(packet), 6)));
    body(0x40, b"\0\x01\x10", Client, &[V5], Some((Rule::InvalidReasonCode(packet), 4)));
    body(0x40, b"\0\x01\x10", Server, &[V5], OK);
    body(0x40, b"\0\x01\x92", Server, &[V5], Some((Rule::InvalidReasonCode(packet), 4)));
    body(0x62, b"\0\x01\x92", Server, &[V5], OK);
    body(0x62, b"\0\x01\x03", Server, &[V5], Some((Rule::InvalidReasonCode(PacketType::PubRel), 4)));

    body(0x90, b"\0\x01", Server, &[V311], Some((Rule::CodesMissing(PacketType::SubAck), 4)));
    body(0x90, b"\0\x01", Server, &[V31], OK);
    body(0x90, b"\0\x01", Server, &[V5], Some((Rule::TooShort(PacketType::SubAck), 2)));
    body(0x90, b"\0\x01\0", Server, &[V5], Some((Rule::CodesMissing(PacketType::SubAck), 5)));
    body(0x90, b"\0\x01\x02\x03", Server, &[V31, V311], Some((Rule::InvalidReasonCode(PacketType::SubAck), 5)));
    body(0x90, b"\0\x01\x80", Server, &[V311], OK);
    body(0x90, b"\0\x01\x80", Server, &[V31], Some((Rule::InvalidReasonCode(PacketType::SubAck), 4)));
    body(0x90, b"\0\x01\0\x11", Server, &[V5], Some((Rule::InvalidReasonCode(PacketType::SubAck), 5)));
    body(0xB0, b"\0\x01\0", Server, &[V31, V311], Some((Rule::TrailingBytes(PacketType::UnsubAck), 4)));
    body(0xB0, b"\0\x01\0", Server, &[V5], Some((Rule::CodesMissing(PacketType::UnsubAck), 5)));
    body(0xB0, b"\0\x01\0\x97", Server, &[V5], Some((Rule::InvalidReasonCode(PacketType::UnsubAck), 5)));
    body(0xB0, b"\0\0", Server, &[V31, V311], Some((Rule::PacketIdZero(PacketType::UnsubAck), 2)));
}

#[test]
fn subscriptions() {
    let list = |rest: &[u8]| [&b"\0\x01"[..], rest].concat();
    let v3 = |rest: &[u8], versions: &[Version], expect| body(0x82, &list(rest), Client, versions, expect);
    let v5 = |rest: &[u8], expect| body(0x82, &[&b"\0\x01\0"[..], rest].concat(), Client, &[V5], expect);
    let none = |packet, at| Some((Rule::NoFilters(packet), at));
    v3(b"", &[V31, V311], none(PacketType::Subscribe, 4));
    v5(b"", none(PacketType::Subscribe, 5));
    v3(b"\0\x01a", &[V31, V311], Some((Rule::OptionsMissing, 7)));
    v3(b"\0\0\0", &[V31, V311], OK);
    v3(b"\0\x01\0\0", &[V31, V311], Some((Rule::NulInString, 6)));
    v3(b"\0\x02a", &[V31, V311], Some((Rule::Truncated, 4)));
    for (options, expect) in [
        (0x00, OK),
        (0x02, OK),
        (0x03, Some((Rule::SubscribeQosThree, 8))),
        (0x2E, OK),
        (0x30, Some((Rule::RetainHandlingThree, 8))),
        (0x40, Some((Rule::ReservedSubscriptionBits, 8))),
        (0x80, Some((Rule::ReservedSubscriptionBits, 8))),
    ] {
        v5(&[0, 1, b'a', options], expect);
    }
    for bit in 2..8 {
        v3(&[0, 1, b'a', 1 << bit], &[V31, V311], Some((Rule::ReservedSubscriptionBits, 7)));
    }
    v3(b"\0\x01a\x03", &[V31, V311], Some((Rule::SubscribeQosThree, 7)));
    body(0x82, b"\0\0\0\x01a\0", Client, &[V31, V311], Some((Rule::PacketIdZero(PacketType::Subscribe), 2)));
    body(0xA2, b"\0\x01", Client, &[V31, V311], none(PacketType::Unsubscribe, 4));
    body(0xA2, b"\0\x01\0", Client, &[V5], none(PacketType::Unsubscribe, 5));
    body(0xA2, b"\0\x01\0\x01a\0", Client, &[V311], Some((Rule::Truncated, 7)));
}

#[test]
fn ends_of_connections() {
    let packet = PacketType::Disconnect;
    body(0xE0, b"\0", Client, &[V31, V311], Some((Rule::TrailingBytes(packet), 2)));
    body(0xE0, b"\0", Client, &[V5], OK);
    body(0xE0, b"\0\0", Client, &[V5], OK);
    body(0xE0, b"\x04", Client, &[V5], OK);
    body(0xE0, b"\x04", Server, &[V5], Some((Rule::InvalidReasonCode(packet), 2)));
    body(0xE0, b"\x8E", Client, &[V5], Some((Rule::InvalidReasonCode(packet), 2)));
    body(0xE0, b"\x9B", Client, &[V5], OK);
    let packet = PacketType::Auth;
    body(0xF0, b"", Client, &[V5], Some((Rule::InvalidReasonCode(packet), 2)));
    body(0xF0, b"\x19", Server, &[V5], Some((Rule::InvalidReasonCode(packet), 2)));
    body(0xF0, b"\x18\0", Client, &[V5], Some((Rule::AuthenticationMethodMissing, 3)));
    body(0xF0, b"\x18", Client, &[V5], Some((Rule::AuthenticationMethodMissing, 3)));
    body(0xF0, b"\x18\x03\x15\0\0", Client, &[V5], OK);
    body(0xF0, b"\0\x03\x15\0\0", Client, &[V5], Some((Rule::InvalidReasonCode(packet), 2)));
}

#[test]
fn frames_are_judged_before_they_are_there() {
    let judge = |bytes: &[u8], max| frame_len(bytes, max).map_err(Refusal::rule);
    assert_eq!(judge(b"", 10), Ok(None));
    assert_eq!(judge(b"\x30\x80", 10), Ok(None));
    assert_eq!(judge(b"\x30\x08", 10), Ok(Some(10)));
    assert_eq!(judge(b"\x30\x09", 10), Err(Rule::PacketTooLarge));
    assert_eq!(judge(b"\x30\xFF\xFF\xFF\x7F", MAX_FRAME), Ok(Some(MAX_FRAME as usize)));
    assert_eq!(judge(b"\x30\xFF\xFF\xFF\x7F", MAX_FRAME - 1), Err(Rule::PacketTooLarge));
    assert_eq!(judge(b"\x30\xFF\xFF\xFF\xFF", MAX_FRAME), Err(Rule::RemainingLengthTooLong));
    assert_eq!(judge(b"\x0F", 10), Err(Rule::ReservedPacketType));

    let mut framer = Framer::new();
    assert_eq!(framer.next(&mut &b"\x30"[..], 10), Ok(None));
    assert_eq!(framer.next(&mut &b"\x09\0\x01"[..], 10), Err(Refusal::new(Rule::PacketTooLarge, 1)));
    assert!(framer.buffered() <= 5);
}

#[test]
fn what_no_packet_can_say_is_misuse() {
    let plain = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "t",
        packet_id: None,
        properties: Properties::EMPTY,
        payload: b"",
    };
    let check = |publish: Publish<'_>, versions: &[Version], expect: Misuse| {
        for &version in versions {
            let mut out = b"before".to_vec();
            assert_eq!(encode(&Packet::Publish(publish), version, &mut out), Err(expect), "{publish:?}");
            assert_eq!(out, b"before");
        }
    };
    let long = "t".repeat(65_536);
    check(Publish { topic: &long, ..plain }, &Version::ALL, Misuse::FieldTooLong);
    check(Publish { topic: "", ..plain }, &Version::ALL, Misuse::Illegal(Rule::EmptyTopic));
    check(Publish { topic: "a/#", ..plain }, &Version::ALL, Misuse::Illegal(Rule::WildcardInTopic));
    check(Publish { topic: "a\0", ..plain }, &Version::ALL, Misuse::Illegal(Rule::NulInString));
    check(Publish { dup: true, ..plain }, &Version::ALL, Misuse::Illegal(Rule::DupAtQosZero));
    let id = PacketId::new(1);
    check(Publish { packet_id: id, ..plain }, &Version::ALL, Misuse::Illegal(Rule::PacketIdAtQosZero));
    let without_id = Misuse::Illegal(Rule::PacketIdZero(PacketType::Publish));
    check(Publish { qos: QoS::AtLeastOnce, ..plain }, &Version::ALL, without_id);
    let alias = PropertyBuf::new().with(Property::TopicAlias(0));
    let with_alias = Publish { properties: alias.view(), ..plain };
    check(with_alias, &[V31, V311], Misuse::NotInThisVersion);
    check(with_alias, &[V5], Misuse::Illegal(Rule::PropertyOutOfRange(PropertyId::TopicAlias)));

    let check = |packet: Packet<'_>, version: Version, expect: Misuse| {
        let mut out = b"before".to_vec();
        assert_eq!(encode(&packet, version, &mut out), Err(expect), "{packet:?}");
        assert_eq!(out, b"before");
    };
    let ack = Ack::success(id.unwrap());
    let quota = Ack { reason: ReasonCode::QuotaExceeded, ..ack };
    check(Packet::PubAck(quota), V311, Misuse::NotInThisVersion);
    check(Packet::PubRel(quota), V5, Misuse::Illegal(Rule::InvalidReasonCode(PacketType::PubRel)));
    let connack = ConnAck { session_present: true, reason: ReasonCode::Success, properties: Properties::EMPTY };
    check(Packet::ConnAck(connack), V31, Misuse::NotInThisVersion);
    let busy = ConnAck { session_present: false, reason: ReasonCode::ServerBusy, ..connack };
    check(Packet::ConnAck(busy), V311, Misuse::Illegal(Rule::InvalidReasonCode(PacketType::ConnAck)));
    let auth = Auth { reason: ReasonCode::Success, properties: Properties::EMPTY };
    check(Packet::Auth(auth), V311, Misuse::Illegal(Rule::ReservedPacketType));
    // Neither side may send both of these.
    let both = PropertyBuf::new().with(Property::SessionExpiryInterval(1)).with(Property::ServerReference("s"));
    let disconnect = Disconnect { reason: ReasonCode::Success, properties: both.view() };
    let wrong_side = Misuse::Illegal(Rule::PropertyFromWrongSide(PropertyId::SessionExpiryInterval));
    check(Packet::Disconnect(disconnect), V5, wrong_side);
}

#[test]
fn every_rule_cites_what_binds() {
    let catalogue = testament::catalogue::catalogue();
    for rule in Rule::all() {
        for version in Version::ALL {
            let clause = rule.clause(version);
            // What an older version lacks, only 5.0 has a clause about.
            let binding = if clause.starts_with("mqtt5:") { V5 } else { version };
            assert!(catalogue.binds(clause, binding), "{rule:?} cites {clause} under {version}");
        }
        assert!(rule.clause(V5).starts_with("mqtt5:"), "{rule:?}");
        assert!(rule.reason().is_error(), "{rule:?}");
    }
}

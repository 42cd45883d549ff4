//! Bytes written by hand from the tables of the standards (`fixtures/golden`), and the packets they are. The encoder had no
//! part in them: it has to come to the same bytes.

use std::collections::BTreeSet;
use std::path::Path;

use testament::codec::{decode, encode};
use testament::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, FilterBuf, Packet, PacketId, PacketType, Properties, Property,
    PropertyBuf, Publish, QoS, ReasonCode, ReasonCodes, RetainHandling, Side, SubAck, Subscribe, SubscriptionBuf,
    SubscriptionOptions, UnsubAck, Unsubscribe, Version, Will,
};

/// One file of `fixtures/golden`.
pub(super) struct Golden {
    pub(super) name: String,
    pub(super) from: Side,
    pub(super) under: Vec<Version>,
    pub(super) bytes: Vec<u8>,
}

/// Every file: comments after `#`, two lines that say who sends it and under which versions, then bytes in hex, `xx*n` for
/// a byte n times.
pub(super) fn goldens() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| golden(path.file_stem().unwrap().to_str().unwrap(), &std::fs::read_to_string(&path).unwrap()))
        .collect()
}

fn golden(name: &str, text: &str) -> Golden {
    let mut golden = Golden { name: name.into(), from: Side::Client, under: Vec::new(), bytes: Vec::new() };
    for line in text.lines() {
        let line = line.split('#').next().unwrap().trim();
        if let Some(side) = line.strip_prefix("from:") {
            golden.from = if side.trim() == "server" { Side::Server } else { Side::Client };
        } else if let Some(versions) = line.strip_prefix("under:") {
            golden.under = versions.split_whitespace().map(|version| version.parse().unwrap()).collect();
        } else {
            for word in line.split_whitespace() {
                let (byte, times) = word.split_once('*').unwrap_or((word, "1"));
                let byte = u8::from_str_radix(byte, 16).unwrap();
                golden.bytes.extend(std::iter::repeat_n(byte, times.parse().unwrap()));
            }
        }
    }
    golden
}

/// Calls `check` with the name of every file and the packet in it.
pub(super) fn expectations(check: &mut dyn FnMut(&str, Packet<'_>)) {
    connections(check);
    messages(check);
    acknowledgements(check);
    subscriptions(check);
    let disconnect = |reason, properties| Packet::Disconnect(Disconnect { reason, properties });
    check("pingreq", Packet::PingReq);
    check("pingresp", Packet::PingResp);
    check("disconnect", disconnect(ReasonCode::Success, Properties::EMPTY));
    check("disconnect-5.0-reason", disconnect(ReasonCode::SessionTakenOver, Properties::EMPTY));
    let properties = PropertyBuf::new()
        .with(Property::SessionExpiryInterval(0))
        .with(Property::ReasonString("bye"))
        .with(Property::UserProperty("k", "v"));
    check("disconnect-5.0-client", disconnect(ReasonCode::DisconnectWithWillMessage, properties.view()));
    let properties = PropertyBuf::new().with(Property::ServerReference("other"));
    check("disconnect-5.0-server", disconnect(ReasonCode::ServerMoved, properties.view()));
    let auth = |reason, properties| Packet::Auth(Auth { reason, properties });
    let method = PropertyBuf::new().with(Property::AuthenticationMethod("PLAIN"));
    check("auth-5.0-success", auth(ReasonCode::Success, method.view()));
    let properties = method.clone().with(Property::AuthenticationData(&[1, 2]));
    check("auth-5.0-continue", auth(ReasonCode::ContinueAuthentication, properties.view()));
    check("auth-5.0-short", auth(ReasonCode::Success, Properties::EMPTY));
}

fn connections(check: &mut dyn FnMut(&str, Packet<'_>)) {
    let plain = Connect {
        version: Version::V31,
        clean_start: false,
        keep_alive: 0,
        client_id: "a",
        will: None,
        username: None,
        password: None,
        properties: Properties::EMPTY,
    };
    let will =
        Will { topic: "w/1", payload: b"gone", qos: QoS::AtLeastOnce, retain: true, properties: Properties::EMPTY };
    check("connect-3.1-minimal", Packet::Connect(plain));
    let full = Connect {
        clean_start: true,
        keep_alive: 60,
        client_id: "c1",
        will: Some(will),
        username: Some("u"),
        password: Some(b"pw"),
        ..plain
    };
    check("connect-3.1", Packet::Connect(full));
    let plain = Connect { version: Version::V311, ..plain };
    check("connect-3.1.1-minimal", Packet::Connect(Connect { clean_start: true, keep_alive: 60, ..plain }));
    let full = Connect {
        clean_start: true,
        keep_alive: 65_535,
        client_id: "",
        will: Some(Will { topic: "w/ü", payload: b"", qos: QoS::ExactlyOnce, retain: false, ..will }),
        username: Some(""),
        password: Some(&[0xFF, 0]),
        ..plain
    };
    check("connect-3.1.1", Packet::Connect(full));
    let plain = Connect { version: Version::V5, ..plain };
    check("connect-5.0-minimal", Packet::Connect(plain));
    let properties = PropertyBuf::new()
        .with(Property::SessionExpiryInterval(3600))
        .with(Property::ReceiveMaximum(20))
        .with(Property::MaximumPacketSize(65_536))
        .with(Property::TopicAliasMaximum(10))
        .with(Property::RequestResponseInformation(1))
        .with(Property::RequestProblemInformation(0))
        .with(Property::UserProperty("k", "v"))
        .with(Property::AuthenticationMethod("PLAIN"))
        .with(Property::AuthenticationData(&[0, b'a', b'b']));
    let will_properties = PropertyBuf::new()
        .with(Property::WillDelayInterval(30))
        .with(Property::PayloadFormatIndicator(1))
        .with(Property::MessageExpiryInterval(120))
        .with(Property::ContentType("text"))
        .with(Property::ResponseTopic("r/1"))
        .with(Property::CorrelationData(&[0xBE, 0xEF]))
        .with(Property::UserProperty("a", "b"));
    let full = Connect {
        clean_start: true,
        keep_alive: 10,
        client_id: "c1",
        will: Some(Will { properties: will_properties.view(), ..will }),
        password: Some(&[1, 2]),
        properties: properties.view(),
        ..plain
    };
    check("connect-5.0", Packet::Connect(full));

    let connack =
        |session_present, reason, properties| Packet::ConnAck(ConnAck { session_present, reason, properties });
    check("connack-accepted", connack(false, ReasonCode::Success, Properties::EMPTY));
    check("connack-refused", connack(false, ReasonCode::NotAuthorized, Properties::EMPTY));
    check("connack-3.1.1-session", connack(true, ReasonCode::Success, Properties::EMPTY));
    check("connack-5.0-refused", connack(false, ReasonCode::NotAuthorized, Properties::EMPTY));
    let properties = PropertyBuf::new()
        .with(Property::SessionExpiryInterval(3600))
        .with(Property::ReceiveMaximum(20))
        .with(Property::MaximumQoS(1))
        .with(Property::RetainAvailable(1))
        .with(Property::MaximumPacketSize(65_536))
        .with(Property::AssignedClientIdentifier("id"))
        .with(Property::TopicAliasMaximum(10))
        .with(Property::ReasonString("ok"))
        .with(Property::UserProperty("k", "v"))
        .with(Property::WildcardSubscriptionAvailable(1))
        .with(Property::SubscriptionIdentifierAvailable(1))
        .with(Property::SharedSubscriptionAvailable(0))
        .with(Property::ServerKeepAlive(30))
        .with(Property::ResponseInformation("r/"))
        .with(Property::ServerReference("s"))
        .with(Property::AuthenticationMethod("PLAIN"))
        .with(Property::AuthenticationData(&[]));
    check("connack-5.0", connack(true, ReasonCode::Success, properties.view()));
}

fn messages(check: &mut dyn FnMut(&str, Packet<'_>)) {
    let plain = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "a/b",
        packet_id: None,
        properties: Properties::EMPTY,
        payload: b"hi",
    };
    check("publish-qos0", Packet::Publish(plain));
    check("publish-5.0-plain", Packet::Publish(plain));
    let acknowledged = Publish { qos: QoS::AtLeastOnce, packet_id: PacketId::new(10), ..plain };
    check("publish-qos1", Packet::Publish(Publish { dup: true, retain: true, ..acknowledged }));
    let empty = Publish { qos: QoS::ExactlyOnce, packet_id: Some(PacketId::MAX), payload: b"", ..plain };
    check("publish-qos2", Packet::Publish(empty));
    check("publish-long", Packet::Publish(Publish { topic: "t", payload: &[b'x'; 125], ..plain }));
    let alias = PropertyBuf::new().with(Property::TopicAlias(5));
    check("publish-5.0-alias", Packet::Publish(Publish { topic: "", properties: alias.view(), ..plain }));
    let properties = PropertyBuf::new()
        .with(Property::PayloadFormatIndicator(1))
        .with(Property::MessageExpiryInterval(60))
        .with(Property::TopicAlias(5))
        .with(Property::ResponseTopic("r/1"))
        .with(Property::CorrelationData(&[0xBE, 0xEF]))
        .with(Property::UserProperty("k", "v"))
        .with(Property::ContentType("text"));
    check("publish-5.0", Packet::Publish(Publish { properties: properties.view(), ..acknowledged }));
    let properties = PropertyBuf::new()
        .with(Property::SubscriptionIdentifier(1))
        .with(Property::SubscriptionIdentifier(268_435_455))
        .with(Property::SubscriptionIdentifier(128));
    let retained = Publish { retain: true, topic: "t", properties: properties.view(), payload: b"", ..plain };
    check("publish-5.0-identifiers", Packet::Publish(retained));
}

fn acknowledgements(check: &mut dyn FnMut(&str, Packet<'_>)) {
    let plain =
        Ack { packet_id: PacketId::new(10).unwrap(), reason: ReasonCode::Success, properties: Properties::EMPTY };
    check("puback", Packet::PubAck(plain));
    check("pubrec", Packet::PubRec(plain));
    check("pubrel", Packet::PubRel(plain));
    check("pubcomp", Packet::PubComp(plain));
    check("puback-5.0-reason", Packet::PubAck(Ack { reason: ReasonCode::NoMatchingSubscribers, ..plain }));
    check("pubrec-5.0-reason", Packet::PubRec(Ack { reason: ReasonCode::QuotaExceeded, ..plain }));
    let properties = PropertyBuf::new().with(Property::ReasonString("no"));
    let unknown = Ack { reason: ReasonCode::PacketIdentifierNotFound, properties: properties.view(), ..plain };
    check("pubrel-5.0-reason", Packet::PubRel(unknown));
    let properties = PropertyBuf::new().with(Property::UserProperty("k", "v"));
    check("pubcomp-5.0-properties", Packet::PubComp(Ack { properties: properties.view(), ..plain }));
}

fn subscriptions(check: &mut dyn FnMut(&str, Packet<'_>)) {
    let packet_id = PacketId::new(10).unwrap();
    let none = Properties::EMPTY;
    let user_property = PropertyBuf::new().with(Property::UserProperty("k", "v"));
    let reason_string = PropertyBuf::new().with(Property::ReasonString("ok"));

    let list = SubscriptionBuf::new()
        .with("a/+", SubscriptionOptions::qos(QoS::AtLeastOnce))
        .with("#", SubscriptionOptions::qos(QoS::ExactlyOnce));
    check("subscribe", Packet::Subscribe(Subscribe { packet_id, properties: none, subscriptions: list.view() }));
    let properties =
        PropertyBuf::new().with(Property::SubscriptionIdentifier(128)).with(Property::UserProperty("k", "v"));
    let all = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let if_new = SubscriptionOptions {
        retain_handling: RetainHandling::SendIfNew,
        ..SubscriptionOptions::qos(QoS::AtLeastOnce)
    };
    let list = SubscriptionBuf::new().with("a/#", all).with("$share/g/t", if_new);
    let subscribe = Subscribe { packet_id, properties: properties.view(), subscriptions: list.view() };
    check("subscribe-5.0", Packet::Subscribe(subscribe));

    let suback = |properties, reasons| {
        let reasons = ReasonCodes::from_bytes(reasons).unwrap();
        Packet::SubAck(SubAck { packet_id, properties, reasons })
    };
    check("suback", suback(none, &[1, 2]));
    check("suback-3.1.1-failure", suback(none, &[0, 0x80]));
    check("suback-5.0", suback(reason_string.view(), &[2, 0x8F]));

    let list = FilterBuf::new().with("a/+").with("#");
    check("unsubscribe", Packet::Unsubscribe(Unsubscribe { packet_id, properties: none, filters: list.view() }));
    let list = FilterBuf::new().with("a/+");
    let unsubscribe = Unsubscribe { packet_id, properties: user_property.view(), filters: list.view() };
    check("unsubscribe-5.0", Packet::Unsubscribe(unsubscribe));
    check("unsuback", Packet::UnsubAck(UnsubAck { packet_id, properties: none, reasons: ReasonCodes::EMPTY }));
    let reasons = ReasonCodes::from_bytes(&[0, 0x11]).unwrap();
    check("unsuback-5.0", Packet::UnsubAck(UnsubAck { packet_id, properties: none, reasons }));
}

#[test]
fn golden_bytes_are_their_packets() {
    let goldens = goldens();
    let mut judged = BTreeSet::new();
    expectations(&mut |name, packet| {
        let golden = goldens.iter().find(|golden| golden.name == name).unwrap_or_else(|| panic!("no {name}.hex"));
        for &version in &golden.under {
            assert_eq!(decode(&golden.bytes, version, golden.from), Ok(packet), "{name} under {version}");
            let mut bytes = Vec::new();
            encode(&packet, version, &mut bytes).unwrap();
            assert_eq!(bytes, golden.bytes, "{name} under {version}");
        }
        judged.insert(name.to_owned());
    });
    let there: BTreeSet<_> = goldens.iter().map(|golden| golden.name.clone()).collect();
    assert_eq!(judged, there, "a file without expectation");
}

#[test]
fn every_type_has_golden_bytes_under_every_version() {
    let there: BTreeSet<_> = goldens()
        .iter()
        .flat_map(|golden| {
            golden.under.iter().map(|&version| (version, PacketType::from_u8(golden.bytes[0] >> 4).unwrap()))
        })
        .collect();
    let wanted = Version::ALL.into_iter().flat_map(|version| PacketType::ALL.map(|packet| (version, packet)));
    let wanted = wanted.filter(|&(version, packet)| packet != PacketType::Auth || version == Version::V5);
    assert_eq!(there, wanted.collect());
}

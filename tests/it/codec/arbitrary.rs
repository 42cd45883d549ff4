//! Arbitrary legal packets of every version and side.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use testament::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, FilterBuf, Host, Packet, PacketId, PacketType, Property, PropertyBuf,
    PropertyId, Publish, QoS, ReasonCode, ReasonCodes, RetainHandling, Side, SubAck, Subscribe, SubscriptionBuf,
    SubscriptionOptions, UnsubAck, Unsubscribe, Version, Will,
};

/// What a packet is made of; each kind takes what it needs.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) version: Version,
    pub(crate) sender: Side,
    kind: PacketType,
    packet_id: PacketId,
    flags: [bool; 4],
    qos: QoS,
    number: u16,
    topic: String,
    texts: [String; 2],
    binaries: [Vec<u8>; 2],
    properties: PropertyBuf,
    will_properties: PropertyBuf,
    reason: ReasonCode,
    codes: Vec<u8>,
    subscriptions: Vec<(String, SubscriptionOptions)>,
}

impl Made {
    /// Hands the packet to `look`.
    pub(crate) fn with<T>(&self, look: impl FnOnce(Packet<'_>) -> T) -> T {
        let mut subscriptions = SubscriptionBuf::new();
        let mut filters = FilterBuf::new();
        for (filter, options) in &self.subscriptions {
            subscriptions = subscriptions.with(filter, *options);
            filters = filters.with(filter);
        }
        let &Self { version, kind, packet_id, qos, number, reason, .. } = self;
        let [first, second, third, fourth] = self.flags;
        let [text, other_text] = self.texts.each_ref().map(String::as_str);
        let [binary, other_binary] = self.binaries.each_ref().map(Vec::as_slice);
        let properties = self.properties.view();
        let ack = Ack { packet_id, reason, properties };
        look(match kind {
            PacketType::Connect => {
                let username = second.then_some(other_text);
                Packet::Connect(Connect {
                    version,
                    clean_start: first,
                    keep_alive: number,
                    client_id: text,
                    will: third.then(|| Will {
                        topic: &self.topic,
                        payload: binary,
                        qos,
                        retain: fourth,
                        properties: self.will_properties.view(),
                    }),
                    username,
                    password: (fourth && (username.is_some() || version == Version::V5)).then_some(other_binary),
                    properties,
                })
            }
            PacketType::ConnAck => {
                let session_present = first && reason == ReasonCode::Success && version != Version::V31;
                Packet::ConnAck(ConnAck { session_present, reason, properties })
            }
            PacketType::Publish => Packet::Publish(Publish {
                dup: first && qos != QoS::AtMostOnce,
                qos,
                retain: second,
                topic: if third && properties.topic_alias().is_some() { "" } else { &self.topic },
                packet_id: (qos != QoS::AtMostOnce).then_some(packet_id),
                properties,
                payload: binary,
            }),
            PacketType::PubAck => Packet::PubAck(ack),
            PacketType::PubRec => Packet::PubRec(ack),
            PacketType::PubRel => Packet::PubRel(ack),
            PacketType::PubComp => Packet::PubComp(ack),
            PacketType::Subscribe => {
                Packet::Subscribe(Subscribe { packet_id, properties, subscriptions: subscriptions.view() })
            }
            PacketType::Unsubscribe => {
                Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters: filters.view() })
            }
            PacketType::SubAck => {
                let reasons = ReasonCodes::from_bytes(&self.codes).unwrap();
                Packet::SubAck(SubAck { packet_id, properties, reasons })
            }
            PacketType::UnsubAck => {
                let codes: &[u8] = if version == Version::V5 { &self.codes } else { &[] };
                let reasons = ReasonCodes::from_bytes(codes).unwrap();
                Packet::UnsubAck(UnsubAck { packet_id, properties, reasons })
            }
            PacketType::PingReq => Packet::PingReq,
            PacketType::PingResp => Packet::PingResp,
            PacketType::Disconnect => Packet::Disconnect(Disconnect { reason, properties }),
            PacketType::Auth => Packet::Auth(Auth { reason, properties }),
        })
    }
}

/// A packet of any version, side and type that exists.
pub(crate) fn made() -> impl Strategy<Value = Made> {
    let senders = [Side::Client, Side::Server];
    let kinds: Vec<_> = Version::ALL
        .into_iter()
        .flat_map(|version| senders.map(|sender| (version, sender)))
        .flat_map(|(version, sender)| PacketType::ALL.map(|kind| (version, sender, kind)))
        .filter(|&(version, sender, kind)| kind.sent_by(sender, version))
        .collect();
    select(kinds).prop_flat_map(|(version, sender, kind)| of(version, sender, kind))
}

/// A packet of this version, side and type.
pub(crate) fn of(version: Version, sender: Side, kind: PacketType) -> impl Strategy<Value = Made> {
    let flags = any::<[bool; 4]>();
    let qos = select(&QoS::ALL[..]);
    let texts = [text(), text()];
    let binaries = [vec(any::<u8>(), 0..200), vec(any::<u8>(), 0..20)];
    let subscriptions = vec((filter(), options(version)), 1..4);
    let lists = (properties(version, sender, Host::Packet(kind)), properties(version, sender, Host::Will));
    let codes = vec(select(codes(version, sender, kind)), 1..5);
    let reason = select(reasons(version, sender, kind));
    let id = 1..=u16::MAX;
    ((id, flags, qos, any::<u16>()), (topic(), texts, binaries), lists, (reason, codes, subscriptions)).prop_map(
        move |((id, flags, qos, number), (topic, texts, binaries), lists, (reason, codes, subscriptions))| Made {
            version,
            sender,
            kind,
            packet_id: PacketId::new(id).unwrap(),
            flags,
            qos,
            number,
            topic,
            texts,
            binaries,
            properties: lists.0,
            will_properties: lists.1,
            reason,
            codes,
            subscriptions,
        },
    )
}

/// The reason codes that fit.
fn reasons(version: Version, sender: Side, kind: PacketType) -> Vec<ReasonCode> {
    let codes: Vec<_> = match version {
        Version::V5 => ReasonCode::all().filter(|code| code.allowed_in(kind, sender)).collect(),
        _ if kind == PacketType::ConnAck => [0, 0x84, 0x85, 0x88, 0x86, 0x87].map(code).to_vec(),
        _ => Vec::new(),
    };
    // A type without reason codes ignores the one it is given.
    if codes.is_empty() { vec![ReasonCode::Success] } else { codes }
}

fn codes(version: Version, sender: Side, kind: PacketType) -> Vec<u8> {
    match version {
        Version::V5 => reasons(version, sender, kind).into_iter().map(ReasonCode::code).collect(),
        Version::V311 => vec![0, 1, 2, 0x80],
        Version::V31 => vec![0, 1, 2],
    }
}

fn code(code: u8) -> ReasonCode {
    ReasonCode::from_u8(code).unwrap()
}

/// Texts without wildcards: none, short, longer than a length of one byte can say, and of every UTF-8 length.
const TEXTS: [&str; 5] = [
    "",
    "a",
    "text/plain",
    "sixteen characters sixteen characters sixteen characters sixteen characters sixteen characters sixteen characters sixteen characters",
    "\u{1}ä/漢/😀\u{FEFF}",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ -~]{0,40}", 1 => any::<String>()].prop_map(|text| text.replace('\0', ""))
}

fn topic() -> impl Strategy<Value = String> {
    text().prop_map(|text| match text.replace(['+', '#'], "") {
        topic if topic.is_empty() => "/".into(),
        topic => topic,
    })
}

/// Non-empty strings; whether their wildcards stand where they may is not the codec's business.
fn filter() -> impl Strategy<Value = String> {
    text().prop_map(|text| if text.is_empty() { "#".into() } else { text })
}

fn options(version: Version) -> impl Strategy<Value = SubscriptionOptions> {
    let handling = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
    (select(&QoS::ALL[..]), any::<[bool; 2]>(), select(handling.to_vec())).prop_map(
        move |(qos, [no_local, retain_as_published], retain_handling)| match version {
            Version::V5 => SubscriptionOptions { qos, no_local, retain_as_published, retain_handling },
            _ => SubscriptionOptions::qos(qos),
        },
    )
}

/// A legal list of properties, in any order.
fn properties(version: Version, sender: Side, host: Host) -> impl Strategy<Value = PropertyBuf> {
    let legal: Vec<_> = PropertyId::all().filter(|id| version == Version::V5 && id.sent_in(host, sender)).collect();
    let repeated: Vec<_> = legal.iter().copied().filter(|id| id.repeats_in(host)).collect();
    let chosen = subsequence(legal.clone(), 0..=legal.len()).prop_shuffle();
    let again = if repeated.is_empty() { Just(Vec::new()).boxed() } else { vec(select(repeated), 0..3).boxed() };
    (chosen, again, vec((any::<u32>(), select(&TEXTS[..])), 32)).prop_map(move |(chosen, again, values)| {
        let ids = chosen.into_iter().chain(again);
        let list: PropertyBuf = ids.zip(values).map(|(id, (number, text))| property(id, number, text)).collect();
        let data = list.view().authentication_data().is_some();
        let method = list.view().authentication_method().is_some();
        match host {
            Host::Packet(PacketType::Auth) if version == Version::V5 && !method => {
                list.with(Property::AuthenticationMethod("plain"))
            }
            Host::Packet(PacketType::Connect) if data && !method => list.with(Property::AuthenticationMethod("plain")),
            _ => list,
        }
    })
}

/// A legal value for any property.
fn property(id: PropertyId, number: u32, text: &str) -> Property<'_> {
    let flag = (number & 1) as u8;
    let positive = (number as u16).max(1);
    match id {
        PropertyId::PayloadFormatIndicator => Property::PayloadFormatIndicator(number as u8),
        PropertyId::MessageExpiryInterval => Property::MessageExpiryInterval(number),
        PropertyId::ContentType => Property::ContentType(text),
        PropertyId::ResponseTopic => Property::ResponseTopic(text),
        PropertyId::CorrelationData => Property::CorrelationData(text.as_bytes()),
        PropertyId::SubscriptionIdentifier => Property::SubscriptionIdentifier((number >> (4 + number % 24)).max(1)),
        PropertyId::SessionExpiryInterval => Property::SessionExpiryInterval(number),
        PropertyId::AssignedClientIdentifier => Property::AssignedClientIdentifier(text),
        PropertyId::ServerKeepAlive => Property::ServerKeepAlive(number as u16),
        PropertyId::AuthenticationMethod => Property::AuthenticationMethod(text),
        PropertyId::AuthenticationData => Property::AuthenticationData(text.as_bytes()),
        PropertyId::RequestProblemInformation => Property::RequestProblemInformation(flag),
        PropertyId::WillDelayInterval => Property::WillDelayInterval(number),
        PropertyId::RequestResponseInformation => Property::RequestResponseInformation(flag),
        PropertyId::ResponseInformation => Property::ResponseInformation(text),
        PropertyId::ServerReference => Property::ServerReference(text),
        PropertyId::ReasonString => Property::ReasonString(text),
        PropertyId::ReceiveMaximum => Property::ReceiveMaximum(positive),
        PropertyId::TopicAliasMaximum => Property::TopicAliasMaximum(number as u16),
        PropertyId::TopicAlias => Property::TopicAlias(positive),
        PropertyId::MaximumQoS => Property::MaximumQoS(flag),
        PropertyId::RetainAvailable => Property::RetainAvailable(flag),
        PropertyId::UserProperty => Property::UserProperty(text, text),
        PropertyId::MaximumPacketSize => Property::MaximumPacketSize(number.max(1)),
        PropertyId::WildcardSubscriptionAvailable => Property::WildcardSubscriptionAvailable(flag),
        PropertyId::SubscriptionIdentifierAvailable => Property::SubscriptionIdentifierAvailable(flag),
        PropertyId::SharedSubscriptionAvailable => Property::SharedSubscriptionAvailable(flag),
    }
}

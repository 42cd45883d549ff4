//! Properties of MQTT 5.0 (2.2.2): what each is, where it may stand, and lists of them in wire form.

use std::fmt;

use super::subscribe::{put_binary, put_string};
use super::{PacketType, Side};

/// How the value of a property is encoded (2.2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum PropertyType {
    Byte,
    TwoByteInteger,
    FourByteInteger,
    VariableByteInteger,
    Utf8String,
    BinaryData,
    Utf8StringPair,
}

/// What carries a property: a packet, or the will inside CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A packet of this type.
    Packet(PacketType),
    /// The will properties of CONNECT.
    Will,
}

impl Host {
    /// Its bit in the masks of the table: the packet type's number, or 0 for the will.
    const fn bit(self) -> u16 {
        match self {
            Self::Packet(packet) => 1 << packet as u16,
            Self::Will => 1,
        }
    }
}

/// The identifiers of the 27 properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum PropertyId {
    PayloadFormatIndicator = 0x01,
    MessageExpiryInterval = 0x02,
    ContentType = 0x03,
    ResponseTopic = 0x08,
    CorrelationData = 0x09,
    SubscriptionIdentifier = 0x0B,
    SessionExpiryInterval = 0x11,
    AssignedClientIdentifier = 0x12,
    ServerKeepAlive = 0x13,
    AuthenticationMethod = 0x15,
    AuthenticationData = 0x16,
    RequestProblemInformation = 0x17,
    WillDelayInterval = 0x18,
    RequestResponseInformation = 0x19,
    ResponseInformation = 0x1A,
    ServerReference = 0x1C,
    ReasonString = 0x1F,
    ReceiveMaximum = 0x21,
    TopicAliasMaximum = 0x22,
    TopicAlias = 0x23,
    MaximumQoS = 0x24,
    RetainAvailable = 0x25,
    UserProperty = 0x26,
    MaximumPacketSize = 0x27,
    WildcardSubscriptionAvailable = 0x28,
    SubscriptionIdentifierAvailable = 0x29,
    SharedSubscriptionAvailable = 0x2A,
}

struct Row {
    id: PropertyId,
    name: &'static str,
    kind: PropertyType,
    /// Where a client may put it, as bits of [`Host::bit`].
    client: u16,
    /// Where a server may put it.
    server: u16,
}

/// One row per property, ascending.
const TABLE: [Row; 27] = [
    Row {
        id: PropertyId::PayloadFormatIndicator,
        name: "Payload Format Indicator",
        kind: PropertyType::Byte,
        client: 0x0009,
        server: 0x0008,
    },
    Row {
        id: PropertyId::MessageExpiryInterval,
        name: "Message Expiry Interval",
        kind: PropertyType::FourByteInteger,
        client: 0x0009,
        server: 0x0008,
    },
    Row {
        id: PropertyId::ContentType,
        name: "Content Type",
        kind: PropertyType::Utf8String,
        client: 0x0009,
        server: 0x0008,
    },
    Row {
        id: PropertyId::ResponseTopic,
        name: "Response Topic",
        kind: PropertyType::Utf8String,
        client: 0x0009,
        server: 0x0008,
    },
    Row {
        id: PropertyId::CorrelationData,
        name: "Correlation Data",
        kind: PropertyType::BinaryData,
        client: 0x0009,
        server: 0x0008,
    },
    Row {
        id: PropertyId::SubscriptionIdentifier,
        name: "Subscription Identifier",
        kind: PropertyType::VariableByteInteger,
        client: 0x0100,
        server: 0x0008,
    },
    Row {
        id: PropertyId::SessionExpiryInterval,
        name: "Session Expiry Interval",
        kind: PropertyType::FourByteInteger,
        client: 0x4002,
        server: 0x0004,
    },
    Row {
        id: PropertyId::AssignedClientIdentifier,
        name: "Assigned Client Identifier",
        kind: PropertyType::Utf8String,
        client: 0x0000,
        server: 0x0004,
    },
    Row {
        id: PropertyId::ServerKeepAlive,
        name: "Server Keep Alive",
        kind: PropertyType::TwoByteInteger,
        client: 0x0000,
        server: 0x0004,
    },
    Row {
        id: PropertyId::AuthenticationMethod,
        name: "Authentication Method",
        kind: PropertyType::Utf8String,
        client: 0x8002,
        server: 0x8004,
    },
    Row {
        id: PropertyId::AuthenticationData,
        name: "Authentication Data",
        kind: PropertyType::BinaryData,
        client: 0x8002,
        server: 0x8004,
    },
    Row {
        id: PropertyId::RequestProblemInformation,
        name: "Request Problem Information",
        kind: PropertyType::Byte,
        client: 0x0002,
        server: 0x0000,
    },
    Row {
        id: PropertyId::WillDelayInterval,
        name: "Will Delay Interval",
        kind: PropertyType::FourByteInteger,
        client: 0x0001,
        server: 0x0000,
    },
    Row {
        id: PropertyId::RequestResponseInformation,
        name: "Request Response Information",
        kind: PropertyType::Byte,
        client: 0x0002,
        server: 0x0000,
    },
    Row {
        id: PropertyId::ResponseInformation,
        name: "Response Information",
        kind: PropertyType::Utf8String,
        client: 0x0000,
        server: 0x0004,
    },
    Row {
        id: PropertyId::ServerReference,
        name: "Server Reference",
        kind: PropertyType::Utf8String,
        client: 0x0000,
        server: 0x4004,
    },
    Row {
        id: PropertyId::ReasonString,
        name: "Reason String",
        kind: PropertyType::Utf8String,
        client: 0xc0f0,
        server: 0xcaf4,
    },
    Row {
        id: PropertyId::ReceiveMaximum,
        name: "Receive Maximum",
        kind: PropertyType::TwoByteInteger,
        client: 0x0002,
        server: 0x0004,
    },
    Row {
        id: PropertyId::TopicAliasMaximum,
        name: "Topic Alias Maximum",
        kind: PropertyType::TwoByteInteger,
        client: 0x0002,
        server: 0x0004,
    },
    Row {
        id: PropertyId::TopicAlias,
        name: "Topic Alias",
        kind: PropertyType::TwoByteInteger,
        client: 0x0008,
        server: 0x0008,
    },
    Row { id: PropertyId::MaximumQoS, name: "Maximum QoS", kind: PropertyType::Byte, client: 0x0000, server: 0x0004 },
    Row {
        id: PropertyId::RetainAvailable,
        name: "Retain Available",
        kind: PropertyType::Byte,
        client: 0x0000,
        server: 0x0004,
    },
    Row {
        id: PropertyId::UserProperty,
        name: "User Property",
        kind: PropertyType::Utf8StringPair,
        client: 0xc5fb,
        server: 0xcafc,
    },
    Row {
        id: PropertyId::MaximumPacketSize,
        name: "Maximum Packet Size",
        kind: PropertyType::FourByteInteger,
        client: 0x0002,
        server: 0x0004,
    },
    Row {
        id: PropertyId::WildcardSubscriptionAvailable,
        name: "Wildcard Subscription Available",
        kind: PropertyType::Byte,
        client: 0x0000,
        server: 0x0004,
    },
    Row {
        id: PropertyId::SubscriptionIdentifierAvailable,
        name: "Subscription Identifier Available",
        kind: PropertyType::Byte,
        client: 0x0000,
        server: 0x0004,
    },
    Row {
        id: PropertyId::SharedSubscriptionAvailable,
        name: "Shared Subscription Available",
        kind: PropertyType::Byte,
        client: 0x0000,
        server: 0x0004,
    },
];

/// Identifier byte to row number plus one; 0 where there is no such property.
const ROW_OF: [u8; 128] = {
    let mut rows = [0; 128];
    let mut i = 0;
    while i < TABLE.len() {
        rows[TABLE[i].id as usize] = i as u8 + 1;
        i += 1;
    }
    rows
};

impl PropertyId {
    /// Every property, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.id)
    }

    /// The property with this identifier, if there is one. Identifiers are variable byte integers, but none exceeds 42.
    #[inline]
    pub const fn from_u8(id: u8) -> Option<Self> {
        if id >= 128 {
            return None;
        }
        match ROW_OF[id as usize] {
            0 => None,
            row => Some(TABLE[row as usize - 1].id),
        }
    }

    #[inline]
    const fn row(self) -> &'static Row {
        &TABLE[ROW_OF[self as usize] as usize - 1]
    }

    /// Its name as the standard writes it.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// How its value is encoded.
    #[inline]
    pub const fn property_type(self) -> PropertyType {
        self.row().kind
    }

    /// Whether it may stand in `host` at all, whoever sends it; elsewhere the packet is malformed (2.2.2.2).
    #[inline]
    pub const fn allowed_in(self, host: Host) -> bool {
        (self.row().client | self.row().server) & host.bit() != 0
    }

    /// Whether this side may put it into `host`.
    #[inline]
    pub const fn sent_in(self, host: Host, sender: Side) -> bool {
        let mask = match sender {
            Side::Client => self.row().client,
            Side::Server => self.row().server,
        };
        mask & host.bit() != 0
    }

    /// Whether it may stand more than once in `host`: a user property anywhere, a subscription identifier in PUBLISH.
    #[inline]
    pub const fn repeats_in(self, host: Host) -> bool {
        match self {
            Self::UserProperty => true,
            Self::SubscriptionIdentifier => matches!(host, Host::Packet(PacketType::Publish)),
            _ => false,
        }
    }

    /// Its bit in a set of properties seen.
    #[inline]
    pub const fn bit(self) -> u64 {
        1 << self as u8
    }
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One property with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Property<'a> {
    PayloadFormatIndicator(u8),
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(u8),
    WillDelayInterval(u32),
    RequestResponseInformation(u8),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQoS(u8),
    RetainAvailable(u8),
    UserProperty(&'a str, &'a str),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(u8),
    SubscriptionIdentifierAvailable(u8),
    SharedSubscriptionAvailable(u8),
}

impl Property<'_> {
    /// Which one it is.
    pub const fn id(&self) -> PropertyId {
        match self {
            Self::PayloadFormatIndicator(..) => PropertyId::PayloadFormatIndicator,
            Self::MessageExpiryInterval(..) => PropertyId::MessageExpiryInterval,
            Self::ContentType(..) => PropertyId::ContentType,
            Self::ResponseTopic(..) => PropertyId::ResponseTopic,
            Self::CorrelationData(..) => PropertyId::CorrelationData,
            Self::SubscriptionIdentifier(..) => PropertyId::SubscriptionIdentifier,
            Self::SessionExpiryInterval(..) => PropertyId::SessionExpiryInterval,
            Self::AssignedClientIdentifier(..) => PropertyId::AssignedClientIdentifier,
            Self::ServerKeepAlive(..) => PropertyId::ServerKeepAlive,
            Self::AuthenticationMethod(..) => PropertyId::AuthenticationMethod,
            Self::AuthenticationData(..) => PropertyId::AuthenticationData,
            Self::RequestProblemInformation(..) => PropertyId::RequestProblemInformation,
            Self::WillDelayInterval(..) => PropertyId::WillDelayInterval,
            Self::RequestResponseInformation(..) => PropertyId::RequestResponseInformation,
            Self::ResponseInformation(..) => PropertyId::ResponseInformation,
            Self::ServerReference(..) => PropertyId::ServerReference,
            Self::ReasonString(..) => PropertyId::ReasonString,
            Self::ReceiveMaximum(..) => PropertyId::ReceiveMaximum,
            Self::TopicAliasMaximum(..) => PropertyId::TopicAliasMaximum,
            Self::TopicAlias(..) => PropertyId::TopicAlias,
            Self::MaximumQoS(..) => PropertyId::MaximumQoS,
            Self::RetainAvailable(..) => PropertyId::RetainAvailable,
            Self::UserProperty(..) => PropertyId::UserProperty,
            Self::MaximumPacketSize(..) => PropertyId::MaximumPacketSize,
            Self::WildcardSubscriptionAvailable(..) => PropertyId::WildcardSubscriptionAvailable,
            Self::SubscriptionIdentifierAvailable(..) => PropertyId::SubscriptionIdentifierAvailable,
            Self::SharedSubscriptionAvailable(..) => PropertyId::SharedSubscriptionAvailable,
        }
    }
}

/// Properties in wire form, without the length in front of them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    pub(crate) bytes: &'a [u8],
}

impl<'a> Properties<'a> {
    /// None at all.
    pub const EMPTY: Self = Self { bytes: &[] };

    /// The wire form.
    #[inline]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Each property, in order.
    #[inline]
    pub const fn iter(self) -> PropertiesIter<'a> {
        PropertiesIter { rest: self.bytes }
    }

    /// Name and value of each user property, in order.
    pub fn user_properties(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// Each subscription identifier, in order.
    pub fn subscription_identifiers(self) -> impl Iterator<Item = u32> + 'a {
        self.iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id),
            _ => None,
        })
    }
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = Property<'a>;
    type IntoIter = PropertiesIter<'a>;

    fn into_iter(self) -> PropertiesIter<'a> {
        self.iter()
    }
}

macro_rules! getters {
    ($($name:ident $variant:ident $value:ty),* $(,)?) => {
        impl<'a> Properties<'a> {
            $(
                #[doc = concat!("The value of ", stringify!($variant), ", where it is present.")]
                pub fn $name(self) -> Option<$value> {
                    self.iter().find_map(|property| match property {
                        Property::$variant(value) => Some(value),
                        _ => None,
                    })
                }
            )*
        }
    };
}

getters! {
    payload_format_indicator PayloadFormatIndicator u8,
    message_expiry_interval MessageExpiryInterval u32,
    content_type ContentType &'a str,
    response_topic ResponseTopic &'a str,
    correlation_data CorrelationData &'a [u8],
    session_expiry_interval SessionExpiryInterval u32,
    assigned_client_identifier AssignedClientIdentifier &'a str,
    server_keep_alive ServerKeepAlive u16,
    authentication_method AuthenticationMethod &'a str,
    authentication_data AuthenticationData &'a [u8],
    request_problem_information RequestProblemInformation u8,
    will_delay_interval WillDelayInterval u32,
    request_response_information RequestResponseInformation u8,
    response_information ResponseInformation &'a str,
    server_reference ServerReference &'a str,
    reason_string ReasonString &'a str,
    receive_maximum ReceiveMaximum u16,
    topic_alias_maximum TopicAliasMaximum u16,
    topic_alias TopicAlias u16,
    maximum_qos MaximumQoS u8,
    retain_available RetainAvailable u8,
    maximum_packet_size MaximumPacketSize u32,
    wildcard_subscription_available WildcardSubscriptionAvailable u8,
    subscription_identifier_available SubscriptionIdentifierAvailable u8,
    shared_subscription_available SharedSubscriptionAvailable u8,
}

/// Reads properties one by one; ends early on bytes that are none, which decoded packets never hold.
#[derive(Clone, Debug)]
pub struct PropertiesIter<'a> {
    rest: &'a [u8],
}

impl<'a> PropertiesIter<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn two(&mut self) -> Option<u16> {
        let (bytes, rest) = self.rest.split_first_chunk::<2>()?;
        self.rest = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    fn four(&mut self) -> Option<u32> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    fn variable(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn binary(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.two()?);
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn string(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.binary()?).ok()
    }
}

impl<'a> Iterator for PropertiesIter<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        Some(match PropertyId::from_u8(self.byte()?)? {
            PropertyId::PayloadFormatIndicator => Property::PayloadFormatIndicator(self.byte()?),
            PropertyId::MessageExpiryInterval => Property::MessageExpiryInterval(self.four()?),
            PropertyId::ContentType => Property::ContentType(self.string()?),
            PropertyId::ResponseTopic => Property::ResponseTopic(self.string()?),
            PropertyId::CorrelationData => Property::CorrelationData(self.binary()?),
            PropertyId::SubscriptionIdentifier => Property::SubscriptionIdentifier(self.variable()?),
            PropertyId::SessionExpiryInterval => Property::SessionExpiryInterval(self.four()?),
            PropertyId::AssignedClientIdentifier => Property::AssignedClientIdentifier(self.string()?),
            PropertyId::ServerKeepAlive => Property::ServerKeepAlive(self.two()?),
            PropertyId::AuthenticationMethod => Property::AuthenticationMethod(self.string()?),
            PropertyId::AuthenticationData => Property::AuthenticationData(self.binary()?),
            PropertyId::RequestProblemInformation => Property::RequestProblemInformation(self.byte()?),
            PropertyId::WillDelayInterval => Property::WillDelayInterval(self.four()?),
            PropertyId::RequestResponseInformation => Property::RequestResponseInformation(self.byte()?),
            PropertyId::ResponseInformation => Property::ResponseInformation(self.string()?),
            PropertyId::ServerReference => Property::ServerReference(self.string()?),
            PropertyId::ReasonString => Property::ReasonString(self.string()?),
            PropertyId::ReceiveMaximum => Property::ReceiveMaximum(self.two()?),
            PropertyId::TopicAliasMaximum => Property::TopicAliasMaximum(self.two()?),
            PropertyId::TopicAlias => Property::TopicAlias(self.two()?),
            PropertyId::MaximumQoS => Property::MaximumQoS(self.byte()?),
            PropertyId::RetainAvailable => Property::RetainAvailable(self.byte()?),
            PropertyId::UserProperty => Property::UserProperty(self.string()?, self.string()?),
            PropertyId::MaximumPacketSize => Property::MaximumPacketSize(self.four()?),
            PropertyId::WildcardSubscriptionAvailable => Property::WildcardSubscriptionAvailable(self.byte()?),
            PropertyId::SubscriptionIdentifierAvailable => Property::SubscriptionIdentifierAvailable(self.byte()?),
            PropertyId::SharedSubscriptionAvailable => Property::SharedSubscriptionAvailable(self.byte()?),
        })
    }
}

/// Builds a list of properties in wire form. It checks nothing but lengths: whether the list is legal is judged where
/// it is encoded into a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertyBuf {
    bytes: Vec<u8>,
}

impl PropertyBuf {
    /// An empty list.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Adds one at the end.
    #[must_use]
    pub fn with(mut self, property: Property<'_>) -> Self {
        self.push(property);
        self
    }

    /// Adds one at the end. Strings and binary data are cut at 65,535 bytes, the longest the wire form can carry.
    pub fn push(&mut self, property: Property<'_>) {
        let out = &mut self.bytes;
        out.push(property.id() as u8);
        match property {
            Property::PayloadFormatIndicator(value)
            | Property::RequestProblemInformation(value)
            | Property::RequestResponseInformation(value)
            | Property::MaximumQoS(value)
            | Property::RetainAvailable(value)
            | Property::WildcardSubscriptionAvailable(value)
            | Property::SubscriptionIdentifierAvailable(value)
            | Property::SharedSubscriptionAvailable(value) => out.push(value),
            Property::MessageExpiryInterval(value)
            | Property::SessionExpiryInterval(value)
            | Property::WillDelayInterval(value)
            | Property::MaximumPacketSize(value) => out.extend_from_slice(&value.to_be_bytes()),
            Property::ContentType(value)
            | Property::ResponseTopic(value)
            | Property::AssignedClientIdentifier(value)
            | Property::AuthenticationMethod(value)
            | Property::ResponseInformation(value)
            | Property::ServerReference(value)
            | Property::ReasonString(value) => put_string(out, value),
            Property::CorrelationData(value) | Property::AuthenticationData(value) => put_binary(out, value),
            Property::SubscriptionIdentifier(value) => put_variable(out, value),
            Property::ServerKeepAlive(value)
            | Property::ReceiveMaximum(value)
            | Property::TopicAliasMaximum(value)
            | Property::TopicAlias(value) => out.extend_from_slice(&value.to_be_bytes()),
            Property::UserProperty(name, value) => {
                put_string(out, name);
                put_string(out, value);
            }
        }
    }

    /// Adds everything `properties` holds, in order.
    pub fn extend(&mut self, properties: Properties<'_>) {
        self.bytes.extend_from_slice(properties.bytes);
    }

    /// Takes everything out and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The list to put into a packet.
    pub fn view(&self) -> Properties<'_> {
        Properties { bytes: &self.bytes }
    }
}

impl<'a> FromIterator<Property<'a>> for PropertyBuf {
    fn from_iter<I: IntoIterator<Item = Property<'a>>>(properties: I) -> Self {
        properties.into_iter().fold(Self::new(), Self::with)
    }
}

/// Appends a variable byte integer in its shortest form; values above 268,435,455 are cut to that.
pub(crate) fn put_variable(out: &mut Vec<u8>, value: u32) {
    let mut rest = value.min(0x0FFF_FFFF);
    while rest > 0x7F {
        out.push(rest as u8 & 0x7F | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

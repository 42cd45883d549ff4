//! Properties of MQTT 5.0 (2.2.2): what each is, and where it may stand.

use std::fmt;

use super::{PacketType, Side, text};

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
    /// Its number: the packet type's, or 0 for the will.
    pub(super) const fn number(self) -> usize {
        match self {
            Self::Packet(packet) => packet as usize,
            Self::Will => 0,
        }
    }

    /// Its bit in the masks of the table.
    const fn bit(self) -> u16 {
        1 << self.number()
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

/// One more than the highest identifier.
const IDS: usize = PropertyId::SharedSubscriptionAvailable as usize + 1;

/// Identifier byte to property.
const BY_ID: [Option<PropertyId>; IDS] = {
    let mut by_id = [None; IDS];
    let mut i = 0;
    while i < TABLE.len() {
        by_id[TABLE[i].id as usize] = Some(TABLE[i].id);
        i += 1;
    }
    by_id
};

/// Property to row number; the rest of the array is never looked at.
const ROW_OF: [u8; IDS] = {
    let mut rows = [0; IDS];
    let mut i = 0;
    while i < TABLE.len() {
        rows[TABLE[i].id as usize] = i as u8;
        i += 1;
    }
    rows
};

/// Property to type, apart from the other columns, since every property that is read asks for it.
const TYPE_OF: [PropertyType; IDS] = {
    let mut types = [PropertyType::Byte; IDS];
    let mut i = 0;
    while i < TABLE.len() {
        types[TABLE[i].id as usize] = TABLE[i].kind;
        i += 1;
    }
    types
};

impl PropertyId {
    /// Every property, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.id)
    }

    /// The property with this identifier, if there is one. Identifiers are variable byte integers, but none exceeds 42.
    #[inline]
    pub const fn from_u8(id: u8) -> Option<Self> {
        if (id as usize) < IDS { BY_ID[id as usize] } else { None }
    }

    #[inline]
    const fn row(self) -> &'static Row {
        &TABLE[ROW_OF[self as usize] as usize]
    }

    /// Its name as the standard writes it.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// How its value is encoded.
    #[inline]
    pub const fn property_type(self) -> PropertyType {
        TYPE_OF[self as usize]
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

    /// Whether its value, where that is a number, is in range. A payload format indicator above 1 is: the standard gives it
    /// no meaning but does not forbid it.
    #[inline]
    pub const fn allows(self, number: u32) -> bool {
        match self.property_type() {
            PropertyType::Byte => number <= 1 || matches!(self, Self::PayloadFormatIndicator),
            PropertyType::VariableByteInteger => number != 0,
            PropertyType::TwoByteInteger | PropertyType::FourByteInteger => {
                number != 0 || !matches!(self, Self::ReceiveMaximum | Self::TopicAlias | Self::MaximumPacketSize)
            }
            PropertyType::Utf8String | PropertyType::BinaryData | PropertyType::Utf8StringPair => true,
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
    /// Whether its value is one that it may have: a number in range, a string without U+0000, a response topic without
    /// wildcards.
    pub fn is_legal(&self) -> bool {
        let id = self.id();
        match *self {
            Self::PayloadFormatIndicator(value)
            | Self::RequestProblemInformation(value)
            | Self::RequestResponseInformation(value)
            | Self::MaximumQoS(value)
            | Self::RetainAvailable(value)
            | Self::WildcardSubscriptionAvailable(value)
            | Self::SubscriptionIdentifierAvailable(value)
            | Self::SharedSubscriptionAvailable(value) => id.allows(u32::from(value)),
            Self::ServerKeepAlive(value)
            | Self::ReceiveMaximum(value)
            | Self::TopicAliasMaximum(value)
            | Self::TopicAlias(value) => id.allows(u32::from(value)),
            Self::MessageExpiryInterval(value)
            | Self::SubscriptionIdentifier(value)
            | Self::SessionExpiryInterval(value)
            | Self::WillDelayInterval(value)
            | Self::MaximumPacketSize(value) => id.allows(value),
            Self::ResponseTopic(value) => text::topic_flaw(value.as_bytes()).is_none(),
            Self::ContentType(value)
            | Self::AssignedClientIdentifier(value)
            | Self::AuthenticationMethod(value)
            | Self::ResponseInformation(value)
            | Self::ServerReference(value)
            | Self::ReasonString(value) => text::string_flaw(value.as_bytes()).is_none(),
            Self::CorrelationData(_) | Self::AuthenticationData(_) => true,
            Self::UserProperty(name, value) => {
                [name, value].iter().all(|text| text::string_flaw(text.as_bytes()).is_none())
            }
        }
    }

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

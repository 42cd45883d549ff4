//! One packet model for MQTT 3.1, 3.1.1 and 5.0: a superset, borrowed from the bytes it was read from.
//!
//! A value of these types that came out of [`crate::codec`] is legal for the version it was decoded under: strings are
//! valid UTF-8 without U+0000, properties are known, allowed in their packet, not repeated and in range. Lists
//! (properties, subscriptions, filters, reason codes) stay in wire form and are read lazily; their `Buf` builders
//! write that same form. Absent: any owned packet type other than [`crate::codec::PacketBuf`], and illegal packets,
//! which only [`crate::forge`] can make.

mod ack;
mod connect;
mod held;
mod properties;
mod property;
mod publish;
mod reason;
mod subscribe;
pub(crate) mod text;

use std::fmt;
use std::num::NonZeroU16;

pub use ack::{Ack, Auth, Disconnect, ReasonCodes, SubAck, UnsubAck};
pub use connect::{ConnAck, Connect, Will};
pub(crate) use held::Held;
pub(crate) use properties::put_variable;
pub use properties::{Properties, PropertiesIter, PropertyBuf};
pub use property::{Host, Property, PropertyId, PropertyType};
pub use publish::Publish;
pub use reason::ReasonCode;
pub use subscribe::{
    FilterBuf, Filters, RetainHandling, Subscribe, Subscription, SubscriptionBuf, SubscriptionOptions, Subscriptions,
    Unsubscribe,
};

/// The protocol version of a connection, fixed by its CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1: protocol name `MQIsdp`, level 3.
    V31,
    /// MQTT 3.1.1: protocol name `MQTT`, level 4.
    V311,
    /// MQTT 5.0: protocol name `MQTT`, level 5.
    V5,
}

impl Version {
    /// All three, oldest first.
    pub const ALL: [Self; 3] = [Self::V31, Self::V311, Self::V5];

    /// The protocol level byte of CONNECT.
    pub const fn level(self) -> u8 {
        match self {
            Self::V31 => 3,
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }

    /// The protocol name of CONNECT.
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Self::V31 => "MQIsdp",
            Self::V311 | Self::V5 => "MQTT",
        }
    }

    /// The version as people and reports write it: `3.1`, `3.1.1` or `5.0`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5.0",
        }
    }

    /// Whether packets carry properties and reason codes: only in 5.0.
    #[inline]
    pub const fn has_properties(self) -> bool {
        matches!(self, Self::V5)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "3.1" | "3" | "31" => Ok(Self::V31),
            "3.1.1" | "4" | "311" => Ok(Self::V311),
            "5.0" | "5" | "50" => Ok(Self::V5),
            _ => Err(format!("`{text}` is no MQTT version; write 3.1, 3.1.1 or 5.0")),
        }
    }
}

/// Which end of a connection sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The one that sent CONNECT.
    Client,
    /// The one that accepted it.
    Server,
}

/// Quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// All three, lowest first.
    pub const ALL: [Self; 3] = [Self::AtMostOnce, Self::AtLeastOnce, Self::ExactlyOnce];

    /// The level with this number; `None` for 3 and above.
    #[inline]
    pub const fn from_u8(level: u8) -> Option<Self> {
        match level {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A packet identifier: 1 to 65,535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The lowest.
    pub const MIN: Self = Self(NonZeroU16::MIN);
    /// The highest.
    pub const MAX: Self = Self(NonZeroU16::MAX);

    /// The identifier with this number; `None` for 0.
    #[inline]
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// Its number.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The one after it; 1 after 65,535.
    #[inline]
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(id) => Self(id),
            None => Self::MIN,
        }
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The control packet types, by their number in the fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// All fifteen, by number.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::ConnAck,
        Self::Publish,
        Self::PubAck,
        Self::PubRec,
        Self::PubRel,
        Self::PubComp,
        Self::Subscribe,
        Self::SubAck,
        Self::Unsubscribe,
        Self::UnsubAck,
        Self::PingReq,
        Self::PingResp,
        Self::Disconnect,
        Self::Auth,
    ];

    /// The type with this number; `None` for 0 and above 15. Whether 15 (AUTH) is legal depends on the version.
    #[inline]
    pub const fn from_u8(number: u8) -> Option<Self> {
        if number == 0 || number > 15 { None } else { Some(Self::ALL[number as usize - 1]) }
    }

    /// The name as the standard writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }

    /// Whether a peer of this side may send it at all in this version (2.2.1 of 3.1.1, 2.1.2 of 5.0).
    pub const fn sent_by(self, side: Side, version: Version) -> bool {
        match self {
            Self::Connect | Self::Subscribe | Self::Unsubscribe | Self::PingReq => {
                matches!(side, Side::Client)
            }
            Self::ConnAck | Self::SubAck | Self::UnsubAck | Self::PingResp => {
                matches!(side, Side::Server)
            }
            Self::Publish | Self::PubAck | Self::PubRec | Self::PubRel | Self::PubComp => true,
            Self::Disconnect => matches!(side, Side::Client) || version.has_properties(),
            Self::Auth => version.has_properties(),
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Any control packet, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

impl<'a> Packet<'a> {
    /// Its type.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// Its properties; none where its type has none. Those of a will are the will's.
    pub const fn properties(mut self) -> Properties<'a> {
        match self.properties_mut() {
            Some(properties) => *properties,
            None => Properties::EMPTY,
        }
    }

    /// The same packet with these properties; as it was where its type has none.
    #[must_use]
    pub const fn with_properties(mut self, properties: Properties<'a>) -> Self {
        if let Some(own) = self.properties_mut() {
            *own = properties;
        }
        self
    }

    const fn properties_mut(&mut self) -> Option<&mut Properties<'a>> {
        match self {
            Self::Connect(connect) => Some(&mut connect.properties),
            Self::ConnAck(connack) => Some(&mut connack.properties),
            Self::Publish(publish) => Some(&mut publish.properties),
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => Some(&mut ack.properties),
            Self::Subscribe(subscribe) => Some(&mut subscribe.properties),
            Self::SubAck(suback) => Some(&mut suback.properties),
            Self::Unsubscribe(unsubscribe) => Some(&mut unsubscribe.properties),
            Self::UnsubAck(unsuback) => Some(&mut unsuback.properties),
            Self::Disconnect(disconnect) => Some(&mut disconnect.properties),
            Self::Auth(auth) => Some(&mut auth.properties),
            Self::PingReq | Self::PingResp => None,
        }
    }
}

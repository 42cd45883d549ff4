//! The acknowledgements, DISCONNECT and AUTH.

use super::{PacketId, Properties, ReasonCode};

/// PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7 of both standards); which one is told by the [`super::Packet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Of the PUBLISH it belongs to.
    pub packet_id: PacketId,
    /// Always [`ReasonCode::Success`] before 5.0.
    pub reason: ReasonCode,
    /// Properties; empty before 5.0.
    pub properties: Properties<'a>,
}

impl Ack<'_> {
    /// A plain one: success, no properties.
    pub const fn success(packet_id: PacketId) -> Self {
        Self { packet_id, reason: ReasonCode::Success, properties: Properties::EMPTY }
    }
}

/// SUBACK (3.9 of both standards).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// Of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// Properties; empty before 5.0.
    pub properties: Properties<'a>,
    /// One per subscription asked for, in order.
    pub reasons: ReasonCodes<'a>,
}

/// UNSUBACK (3.11 of both standards).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// Of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// Properties; empty before 5.0.
    pub properties: Properties<'a>,
    /// One per filter in 5.0, in order; empty before.
    pub reasons: ReasonCodes<'a>,
}

/// Reason codes in wire form, one byte each, all of them legal where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReasonCodes<'a> {
    pub(crate) bytes: &'a [u8],
}

impl<'a> ReasonCodes<'a> {
    /// None at all.
    pub const EMPTY: Self = Self { bytes: &[] };

    /// The codes in these bytes; `None` if one of them is no reason code of MQTT 5.0.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        bytes.iter().all(|&code| ReasonCode::from_u8(code).is_some()).then_some(Self { bytes })
    }

    /// The wire form.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// How many.
    pub const fn len(self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Each code, in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = ReasonCode> + 'a {
        self.bytes.iter().map(|&code| ReasonCode::from_u8(code).unwrap_or(ReasonCode::UnspecifiedError))
    }
}

/// DISCONNECT (3.14 of both standards).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// [`ReasonCode::Success`] stands for normal disconnection, and is the only one before 5.0.
    pub reason: ReasonCode,
    /// Properties; empty before 5.0.
    pub properties: Properties<'a>,
}

/// AUTH (3.15 of 5.0; unknown before).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// Properties; the authentication method is among them.
    pub properties: Properties<'a>,
}

//! What a case waits for: a packet in words, and whether one that came is it.

use super::words::code;
use crate::packet::{Packet, PacketType, ReasonCode, Version};

/// A packet expected, with every shape of it that is legal.
pub struct Expected {
    /// What is expected, in words that complete "expected ...".
    pub words: String,
    /// Whether this packet is it.
    pub accepts: Box<dyn Fn(&Packet<'_>) -> bool>,
}

impl Expected {
    /// A packet that `accepts` says yes to.
    pub fn new(words: impl Into<String>, accepts: impl Fn(&Packet<'_>) -> bool + 'static) -> Self {
        Self { words: words.into(), accepts: Box::new(accepts) }
    }

    /// Either of the two.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let words = format!("{} or {}", self.words, other.words);
        Self::new(words, move |packet| (self.accepts)(packet) || (other.accepts)(packet))
    }
}

/// The four acknowledgements share one shape.
fn ack(packet_type: PacketType, id: u16, reason: impl Fn(ReasonCode) -> bool + 'static, words: String) -> Expected {
    Expected::new(words, move |packet| {
        let (Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack)) = packet else {
            return false;
        };
        packet.packet_type() == packet_type && ack.packet_id.get() == id && reason(ack.reason)
    })
}

/// An acknowledgement of this type for this packet identifier that reports no error.
pub fn accepted(packet_type: PacketType, id: u16) -> Expected {
    ack(packet_type, id, |reason| !reason.is_error(), format!("{packet_type} for packet identifier {id}"))
}

/// An acknowledgement of this type for this packet identifier, whatever its reason code.
pub fn answered(packet_type: PacketType, id: u16) -> Expected {
    ack(packet_type, id, |_| true, format!("{packet_type} for packet identifier {id} with any reason code"))
}

/// An acknowledgement of this type for this packet identifier with a reason code of 0x80 or above.
pub fn rejected(packet_type: PacketType, id: u16) -> Expected {
    ack(packet_type, id, ReasonCode::is_error, format!("{packet_type} for packet identifier {id} with an error code"))
}

/// SUBACK for this identifier that grants or refuses as told, one entry per filter: the highest level that may be
/// granted, or `None` where only a refusal is legal.
pub fn suback(id: u16, grants: &[Option<u8>]) -> Expected {
    let grants = grants.to_vec();
    let words = format!(
        "SUBACK for packet identifier {id} with {}",
        grants
            .iter()
            .map(|grant| grant.map_or("a refusal".into(), |qos| format!("QoS {qos} granted")))
            .collect::<Vec<_>>()
            .join(", ")
    );
    Expected::new(words, move |packet| {
        let Packet::SubAck(suback) = packet else { return false };
        suback.packet_id.get() == id
            && suback.reasons.len() == grants.len()
            && suback.reasons.iter().zip(&grants).all(|(reason, grant)| match grant {
                Some(qos) => reason.code() == *qos,
                None => reason.is_error(),
            })
    })
}

/// SUBACK for this identifier that refuses some of the filters, or grants them less than these levels.
pub fn suback_with_less(id: u16, asked: &[Option<u8>]) -> Expected {
    let asked = asked.to_vec();
    Expected::new("less", move |packet| {
        let Packet::SubAck(suback) = packet else { return false };
        suback.packet_id.get() == id
            && suback.reasons.len() == asked.len()
            && suback
                .reasons
                .iter()
                .zip(&asked)
                .all(|(reason, asked)| reason.is_error() || asked.is_some_and(|qos| reason.code() <= qos))
    })
}

/// UNSUBACK for this identifier; in 5.0 with this many reason codes.
pub fn unsuback(id: u16, filters: usize) -> Expected {
    Expected::new(format!("UNSUBACK for packet identifier {id}"), move |packet| match packet {
        Packet::UnsubAck(unsuback) => {
            unsuback.packet_id.get() == id && (unsuback.reasons.is_empty() || unsuback.reasons.len() == filters)
        }
        _ => false,
    })
}

/// PINGRESP.
pub fn pingresp() -> Expected {
    Expected::new("PINGRESP", |packet| matches!(packet, Packet::PingResp))
}

/// CONNACK that accepts, with Session Present as told (3.1 has no such flag and passes `None`).
pub fn welcome(session_present: Option<bool>) -> Expected {
    let words = match session_present {
        Some(present) => format!("CONNACK, accepted, session present {}", u8::from(present)),
        None => "CONNACK, accepted".into(),
    };
    Expected::new(words, move |packet| match packet {
        Packet::ConnAck(connack) => {
            connack.reason == ReasonCode::Success
                && session_present.is_none_or(|present| present == connack.session_present)
        }
        _ => false,
    })
}

/// CONNACK that refuses for a while.
pub fn busy() -> Expected {
    use ReasonCode::{ConnectionRateExceeded, ServerBusy, ServerUnavailable};
    Expected::new("CONNACK, server busy", |packet| match packet {
        Packet::ConnAck(connack) => {
            matches!(connack.reason, ServerUnavailable | ServerBusy | ConnectionRateExceeded)
        }
        _ => false,
    })
}

/// DISCONNECT with one of these reason codes (5.0).
pub fn goodbye(reasons: &'static [ReasonCode]) -> Expected {
    Expected::new(format!("DISCONNECT with {}", any_of(reasons, PacketType::Disconnect, Version::V5)), move |packet| {
        match packet {
            Packet::Disconnect(disconnect) => reasons.contains(&disconnect.reason),
            _ => false,
        }
    })
}

/// Reason codes of this packet in words: `0x81 Malformed Packet or 0x82 Protocol Error`.
pub fn any_of(reasons: &[ReasonCode], packet: PacketType, version: Version) -> String {
    reasons.iter().map(|reason| code(*reason, packet, version)).collect::<Vec<_>>().join(" or ")
}

//! A message inside the broker: one shared buffer, made once, from which every copy is sent.

use std::sync::Arc;
use std::time::Duration;

use harness::time::Instant;

use super::subscriptions::GroupId;
use crate::packet::{Properties, Property, PropertyBuf, QoS};
use crate::topic::Topic;

/// Topic, forwardable properties and payload, one after the other behind a small header, so that a queue entry is one
/// pointer and a fan-out one allocation.
///
/// Forwardable is what 3.3.2.3 of 5.0 wants passed on unchanged and in order: not the topic alias, which is the
/// connection's, and not the message expiry, which is counted down.
#[derive(Clone, Debug)]
pub(super) struct Message {
    bytes: Arc<[u8]>,
}

/// The header: when it expires (8), where the properties begin (4) and the payload (4), flags (1).
const HEADER: usize = 17;
const FLAG_RETAIN: u8 = 4;

/// What a message is made of.
#[derive(Clone, Copy)]
pub(super) struct Draft<'a> {
    pub(super) topic: Topic<'a>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) properties: Properties<'a>,
    pub(super) payload: &'a [u8],
}

impl Message {
    /// Makes the buffer; `scratch` is overwritten and keeps its memory for the next one. The expiry of the properties
    /// counts from `now`.
    pub(super) fn new(draft: &Draft<'_>, now: Instant, scratch: &mut Vec<u8>) -> Self {
        let topic = draft.topic.as_str();
        let mut expires = Instant::FAR;
        scratch.clear();
        scratch.extend_from_slice(&[0; HEADER]);
        scratch.extend_from_slice(topic.as_bytes());
        let properties_at = scratch.len() as u32;
        let mut forwardable = true;
        for property in draft.properties {
            match property {
                Property::MessageExpiryInterval(seconds) => {
                    expires = now + Duration::from_secs(seconds.into());
                    forwardable = false;
                }
                Property::TopicAlias(_) | Property::WillDelayInterval(_) => forwardable = false,
                _ => {}
            }
        }
        if forwardable {
            scratch.extend_from_slice(draft.properties.as_bytes());
        } else {
            let mut kept = PropertyBuf::new();
            for property in draft.properties {
                match property {
                    Property::MessageExpiryInterval(_) | Property::TopicAlias(_) | Property::WillDelayInterval(_) => {}
                    _ => kept.push(property),
                }
            }
            scratch.extend_from_slice(kept.view().as_bytes());
        }
        let payload_at = scratch.len() as u32;
        scratch.extend_from_slice(draft.payload);
        scratch[..8].copy_from_slice(&expires.as_nanos().to_le_bytes());
        scratch[8..12].copy_from_slice(&properties_at.to_le_bytes());
        scratch[12..16].copy_from_slice(&payload_at.to_le_bytes());
        scratch[16] = draft.qos as u8 | if draft.retain { FLAG_RETAIN } else { 0 };
        Self { bytes: scratch.as_slice().into() }
    }

    #[inline]
    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        *self.bytes[at..].first_chunk().expect("every message begins with its header")
    }

    /// Where the forwardable properties begin; the payload follows them.
    #[inline]
    pub(super) fn properties_at(&self) -> usize {
        u32::from_le_bytes(self.field(8)) as usize
    }

    /// Where the payload begins.
    #[inline]
    pub(super) fn payload_at(&self) -> usize {
        u32::from_le_bytes(self.field(12)) as usize
    }

    /// The whole buffer.
    #[inline]
    pub(super) fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// The topic name.
    #[inline]
    pub(super) fn topic(&self) -> &str {
        let topic = self.bytes.get(HEADER..self.properties_at()).unwrap_or_default();
        std::str::from_utf8(topic).expect("a topic was a string when it was copied")
    }

    /// How many bytes it takes. None comes near 4 GiB: a packet has less than 256 MiB.
    pub(super) fn size(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// How many bytes of payload.
    pub(super) fn payload_len(&self) -> usize {
        self.bytes.len() - self.payload_at()
    }

    /// The QoS it was published with.
    #[inline]
    pub(super) fn qos(&self) -> QoS {
        QoS::from_u8(self.bytes[16] & 3).unwrap_or_default()
    }

    /// Whether it was published with RETAIN.
    #[inline]
    pub(super) fn retain(&self) -> bool {
        self.bytes[16] & FLAG_RETAIN != 0
    }

    #[inline]
    fn expires(&self) -> Instant {
        Instant::from_nanos(u64::from_le_bytes(self.field(0)))
    }

    /// Whether its time is over (3.3.2.3.3 of 5.0).
    #[inline]
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires() <= now
    }

    /// The message expiry interval to forward: what was given less the whole seconds it has waited here; `None` if it
    /// never expires.
    #[inline]
    pub(super) fn remaining(&self, now: Instant) -> Option<u32> {
        let expires = self.expires();
        (expires != Instant::FAR).then(|| expires.since(now).as_nanos().div_ceil(1_000_000_000) as u32)
    }
}

/// One copy of a message for one session.
#[derive(Clone, Copy)]
pub(super) struct Delivery<'a> {
    pub(super) message: &'a Message,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// Subscription identifiers, in any order.
    pub(super) identifiers: &'a [u32],
    /// The shared subscription it came by.
    pub(super) via: Option<GroupId>,
}

/// One copy that waits or is unacknowledged.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    message: Message,
    identifiers: Identifiers,
    pub(super) via: Option<GroupId>,
    pub(super) qos: QoS,
    retain: bool,
}

#[derive(Clone, Debug)]
enum Identifiers {
    /// None, if the number is 0.
    One([u32; 1]),
    Many(Box<[u32]>),
}

impl Delivery<'_> {
    /// An owned copy.
    pub(super) fn to_pending(self) -> Pending {
        let identifiers = match *self.identifiers {
            [] => Identifiers::One([0]),
            [one] => Identifiers::One([one]),
            ref many => Identifiers::Many(many.into()),
        };
        let Self { message, qos, retain, via, .. } = self;
        Pending { message: message.clone(), identifiers, via, qos, retain }
    }
}

impl Pending {
    /// The copy.
    pub(super) fn delivery(&self) -> Delivery<'_> {
        let identifiers: &[u32] = match &self.identifiers {
            Identifiers::One([0]) => &[],
            Identifiers::One(one) => one,
            Identifiers::Many(many) => many,
        };
        Delivery { message: &self.message, qos: self.qos, retain: self.retain, identifiers, via: self.via }
    }

    /// What was published.
    pub(super) fn message(&self) -> &Message {
        &self.message
    }
}

//! PUBLISH.

use super::{PacketId, Properties, QoS};

/// PUBLISH: an application message on its way (3.3 of both standards).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether this may be a repeat of an earlier attempt; false at QoS 0.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// Set by a client to have it stored; set by a server where it comes from the store.
    pub retain: bool,
    /// Topic name, without wildcards. Empty only in 5.0, and then a topic alias stands for it.
    pub topic: &'a str,
    /// Packet identifier; `None` exactly at QoS 0.
    pub packet_id: Option<PacketId>,
    /// Properties; empty before 5.0.
    pub properties: Properties<'a>,
    /// Application message, any bytes.
    pub payload: &'a [u8],
}

//! A packet with its own bytes.

use crate::packet::{Packet, Side, Version};
use crate::violation::Refusal;

use super::decode;

/// One packet with its own bytes: what the codec owns when somebody must keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketBuf {
    version: Version,
    sender: Side,
    bytes: Box<[u8]>,
}

impl PacketBuf {
    /// Decodes `frame` and keeps a copy of it.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode(frame: &[u8], version: Version, sender: Side) -> Result<Self, Refusal> {
        decode(frame, version, sender)?;
        Ok(Self { version, sender, bytes: frame.into() })
    }

    /// The packet, read anew from the bytes.
    pub fn packet(&self) -> Packet<'_> {
        match decode(&self.bytes, self.version, self.sender) {
            Ok(packet) => packet,
            Err(refusal) => unreachable!("only what decodes is kept: {refusal}"),
        }
    }

    /// Its wire form.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

//! Bytes to packets and back, for every version; the version is an argument, never a copy of the tree.
//!
//! [`frame`] cuts a stream into frames, [`decode`] turns one frame into a borrowed, fully validated [`Packet`],
//! [`encode`] writes one. [`PacketBuf`] is the only owned packet.

pub mod frame;

use crate::packet::{Packet, Side, Version};
use crate::violation::{Misuse, Refusal};

/// Reads one frame (fixed header and body, as cut by [`frame`]) that `sender` sent on a connection of this `version`.
/// For CONNECT the version is the one it names itself.
///
/// # Errors
/// [`Refusal`], which names the offset, the clause and the reason code.
pub fn decode(frame: &[u8], version: Version, sender: Side) -> Result<Packet<'_>, Refusal> {
    let _ = (frame, version, sender);
    unimplemented!()
}

/// Appends the wire form of `packet` to `out`.
///
/// # Errors
/// [`Misuse`] where this version has no such form; `out` is then unchanged.
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
    let _ = (packet, version, out);
    unimplemented!()
}

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

    /// The packet.
    pub fn packet(&self) -> Packet<'_> {
        unimplemented!()
    }

    /// Its wire form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

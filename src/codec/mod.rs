//! Bytes to packets and back, for every version; the version is an argument, never a copy of the tree.
//!
//! [`frame`] cuts a stream into frames, [`decode`] turns one frame into a borrowed, fully validated
//! [`Packet`](crate::packet::Packet), [`encode`] writes one. [`PacketBuf`] is the only owned packet.

mod decode;
mod encode;
pub mod frame;
mod owned;
mod property;
mod read;
mod return_code;

pub use decode::decode;
pub use encode::{encode, encoded_len, publish_head};
pub use owned::PacketBuf;
pub use return_code::from_reason as return_code;

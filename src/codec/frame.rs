//! Cuts a byte stream into frames, whatever the chunks it arrives in.

use crate::rare::{Empty, Rare};
use crate::violation::{Refusal, Rule};

/// The longest frame there can be: a fixed header of five bytes and a remaining length of 268,435,455 (2.2.3 of 3.1.1,
/// 2.1.4 of 5.0). As a maximum it means no limit but the protocol's own.
pub const MAX_FRAME: u32 = 5 + 0x0FFF_FFFF;

/// Buffers above this many bytes are given back once they are empty, so that one large packet does not stay on the
/// account of an idle connection.
const KEPT: usize = 4096;

/// The fixed header of a packet.
#[derive(Clone, Copy)]
pub(super) struct FixedHeader {
    /// Packet type and flags.
    pub(super) first: u8,
    /// Its own length, 2 to 5 bytes.
    pub(super) length: usize,
    /// How many bytes follow it.
    pub(super) remaining: usize,
    /// Whether the remaining length is in its shortest form.
    pub(super) minimal: bool,
}

/// Reads the fixed header at the start of `bytes`; `None` if it is not complete.
#[inline]
pub(super) fn fixed_header(bytes: &[u8]) -> Result<Option<FixedHeader>, Refusal> {
    match *bytes {
        [first, remaining, ..] if remaining < 0x80 => {
            Ok(Some(FixedHeader { first, length: 2, remaining: usize::from(remaining), minimal: true }))
        }
        _ => long_fixed_header(bytes),
    }
}

fn long_fixed_header(bytes: &[u8]) -> Result<Option<FixedHeader>, Refusal> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let mut remaining = 0;
    for (at, &byte) in rest.iter().enumerate().take(4) {
        remaining |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some(FixedHeader { first, length: at + 2, remaining, minimal: at == 0 || byte != 0 }));
        }
    }
    if rest.len() < 4 { Ok(None) } else { Err(Refusal::new(Rule::RemainingLengthTooLong, 4)) }
}

/// Looks at the start of `bytes`: the length of the first frame once its fixed header is complete (the frame itself
/// may not be), `None` if more bytes are needed to tell. A length in more bytes than it needs is left for
/// [`super::decode`] to judge, which knows the version.
///
/// # Errors
/// A remaining length of more than four bytes, a packet type 0, or a frame longer than `max` bytes in all.
#[inline]
pub fn frame_len(bytes: &[u8], max: u32) -> Result<Option<usize>, Refusal> {
    if let Some(0..=0x0F) = bytes.first() {
        return Err(Rule::ReservedPacketType.into());
    }
    let Some(header) = fixed_header(bytes)? else {
        return Ok(None);
    };
    let length = header.length + header.remaining;
    if length > max as usize { Err(Refusal::new(Rule::PacketTooLarge, 1)) } else { Ok(Some(length)) }
}

/// Keeps what is left of a stream between chunks. Whole frames inside a chunk are lent from the chunk itself; only a
/// frame that straddles chunks is copied, and never more than the maximum is buffered.
///
/// After an error the stream has no frames any more; the connection is to be closed.
#[derive(Debug, Default)]
pub struct Framer {
    partial: Rare<Partial>,
}

/// The beginning of a frame that straddles chunks.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    /// It is the whole frame, and was lent by the last call.
    lent: bool,
}

impl Empty for Partial {
    const EMPTY: &'static Self = &Self { bytes: Vec::new(), lent: false };

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Framer {
    /// With nothing buffered.
    pub const fn new() -> Self {
        Self { partial: Rare::new() }
    }

    /// How many bytes of an unfinished frame are buffered.
    pub fn buffered(&self) -> usize {
        if self.partial.lent { 0 } else { self.partial.bytes.len() }
    }

    /// Takes the next frame out of `chunk` (and what was left before it), and advances `chunk` past it. `None` when
    /// the chunk is used up. The loop is: `while let Some(frame) = framer.next(&mut chunk, max)? { .. }`.
    ///
    /// # Errors
    /// As [`frame_len`].
    #[inline]
    pub fn next<'a, 'c: 'a>(&'a mut self, chunk: &mut &'c [u8], max: u32) -> Result<Option<&'a [u8]>, Refusal> {
        if !self.partial.is_empty() {
            if !self.partial.lent {
                return self.resume(chunk, max);
            }
            self.settle();
        }
        if let Some(length) = frame_len(chunk, max)?
            && let Some((frame, rest)) = chunk.split_at_checked(length)
        {
            *chunk = rest;
            return Ok(Some(frame));
        }
        if !chunk.is_empty() {
            self.partial.bytes.extend_from_slice(chunk);
            *chunk = &[];
        }
        Ok(None)
    }

    /// Empties the buffer after its frame was lent.
    fn settle(&mut self) {
        self.partial.lent = false;
        self.partial.bytes.clear();
        if self.partial.bytes.capacity() > KEPT {
            self.partial.settle();
        }
    }

    /// Goes on with a frame whose start is buffered.
    fn resume(&mut self, chunk: &mut &[u8], max: u32) -> Result<Option<&[u8]>, Refusal> {
        let Partial { bytes, lent } = &mut *self.partial;
        let length = loop {
            if let Some(length) = frame_len(bytes, max)? {
                break length;
            }
            // At most three times: the rest of the fixed header.
            let Some((&byte, rest)) = chunk.split_first() else {
                return Ok(None);
            };
            bytes.push(byte);
            *chunk = rest;
        };
        let (more, rest) = chunk.split_at(chunk.len().min(length - bytes.len()));
        bytes.extend_from_slice(more);
        *chunk = rest;
        *lent = bytes.len() == length;
        Ok(lent.then_some(&**bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a publication with a payload of this many bytes in two chunks, and then another packet.
    fn check(payload: usize, kept: bool) {
        let bytes = crate::forge::frame(0x30, &[b"\0\x01t", vec![0; payload].as_slice()].concat());
        let (mut first, mut second) = bytes.split_at(7);
        let mut framer = Framer::new();
        assert_eq!(framer.next(&mut first, MAX_FRAME), Ok(None));
        assert_eq!(framer.buffered(), 7);
        assert_eq!(framer.next(&mut second, MAX_FRAME), Ok(Some(&bytes[..])));
        assert_eq!(framer.buffered(), 0);
        assert_eq!(framer.next(&mut &b"\xC0\0"[..], MAX_FRAME), Ok(Some(&b"\xC0\0"[..])));
        assert_eq!(framer.partial.bytes.capacity() > 0, kept, "{payload} bytes of payload");
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        check(10, true);
        check(KEPT - 10, true);
        check(2 * KEPT, false);
    }
}

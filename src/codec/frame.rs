//! Cuts a byte stream into frames, whatever the chunks it arrives in.

use crate::violation::Refusal;

/// Looks at the start of `bytes`: the length of the first frame once its fixed header is complete (the frame itself
/// may not be), `None` if more bytes are needed to tell.
///
/// # Errors
/// A remaining length of more than four bytes, a packet type 0, or a frame longer than `max` bytes in all.
pub fn frame_len(bytes: &[u8], max: u32) -> Result<Option<usize>, Refusal> {
    let _ = (bytes, max);
    unimplemented!()
}

/// Keeps what is left of a stream between chunks. Whole frames inside a chunk are lent from the chunk itself; only a
/// frame that straddles chunks is copied, and never more than the maximum is buffered.
#[derive(Debug, Default)]
pub struct Framer {
    partial: Vec<u8>,
}

impl Framer {
    /// Takes the next frame out of `chunk` (and what was left before it), and advances `chunk` past it. `None` when
    /// the chunk is used up. The loop is: `while let Some(frame) = framer.next(&mut chunk, max)? { .. }`.
    ///
    /// # Errors
    /// As [`frame_len`].
    pub fn next<'a>(&'a mut self, chunk: &mut &'a [u8], max: u32) -> Result<Option<&'a [u8]>, Refusal> {
        let _ = (&mut self.partial, chunk, max);
        unimplemented!()
    }
}

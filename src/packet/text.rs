//! What a string field may hold (1.5.3 of 3.1.1, 1.5.4 of 5.0) and what a topic name may (4.7).
//!
//! Nearly every string on the wire is plain ASCII, so that is decided eight bytes at a time, wildcards included. Only what
//! is not plain is looked at by character, which also finds the byte to blame.

/// What can be wrong with a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It is not well-formed UTF-8.
    NotUtf8,
    /// It holds U+0000.
    Nul,
    /// It is a topic name, and holds a wildcard.
    Wildcard,
}

/// The string in `bytes`, or what is wrong with it and at which byte.
#[inline]
pub(crate) fn string(bytes: &[u8]) -> Result<&str, (Flaw, usize)> {
    match std::str::from_utf8(bytes) {
        Ok(text) if is_plain::<false>(bytes) => Ok(text),
        _ => any_string(bytes),
    }
}

/// The topic name in `bytes`, which may be empty, or what is wrong with it and at which byte.
#[inline]
pub(crate) fn topic(bytes: &[u8]) -> Result<&str, (Flaw, usize)> {
    match std::str::from_utf8(bytes) {
        Ok(text) if is_plain::<true>(bytes) => Ok(text),
        _ => any_topic(bytes),
    }
}

/// What is wrong with the string in `bytes`, if anything.
#[inline]
pub(crate) fn string_flaw(bytes: &[u8]) -> Option<(Flaw, usize)> {
    if is_plain::<false>(bytes) { None } else { any_string(bytes).err() }
}

/// What is wrong with the topic name in `bytes`, which may be empty, if anything.
#[inline]
pub(crate) fn topic_flaw(bytes: &[u8]) -> Option<(Flaw, usize)> {
    if is_plain::<true>(bytes) { None } else { any_topic(bytes).err() }
}

#[cold]
fn any_string(bytes: &[u8]) -> Result<&str, (Flaw, usize)> {
    let text = std::str::from_utf8(bytes).map_err(|flaw| (Flaw::NotUtf8, flaw.valid_up_to()))?;
    match bytes.iter().position(|&byte| byte == 0) {
        Some(at) => Err((Flaw::Nul, at)),
        None => Ok(text),
    }
}

#[cold]
fn any_topic(bytes: &[u8]) -> Result<&str, (Flaw, usize)> {
    let text = any_string(bytes)?;
    match bytes.iter().position(|byte| matches!(byte, b'#' | b'+')) {
        Some(at) => Err((Flaw::Wildcard, at)),
        None => Ok(text),
    }
}

/// Whether all bytes are ASCII other than NUL and, in a `TOPIC`, other than the wildcards.
#[inline]
fn is_plain<const TOPIC: bool>(bytes: &[u8]) -> bool {
    let mut odd = 0;
    if let Some(last) = bytes.last_chunk::<8>() {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            odd |= odd_bytes::<TOPIC>(u64::from_ne_bytes(*word));
        }
        if !rest.is_empty() {
            odd |= odd_bytes::<TOPIC>(u64::from_ne_bytes(*last));
        }
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        odd = odd_bytes::<TOPIC>(u64::from(u32::from_ne_bytes(*first)) << 32 | u64::from(u32::from_ne_bytes(*last)));
    } else {
        for &byte in bytes {
            odd |= odd_bytes::<TOPIC>(u64::from_ne_bytes([byte; 8]));
        }
    }
    odd == 0
}

/// Nonzero if one of the eight bytes is not plain.
///
/// A byte below 0x80 becomes 0x80 or more when 0x7F is added to it, unless it is zero, and carries nothing into its neighbour; the
/// first term flags the bytes for which that does not hold. `#` and `+` are 0x23 and 0x2B and differ in bit 3 only.
#[inline]
const fn odd_bytes<const TOPIC: bool>(word: u64) -> u64 {
    const HIGH: u64 = splat(0x80);
    const LOW: u64 = splat(0x7F);
    let mut odd = word | !word.wrapping_add(LOW);
    if TOPIC {
        let folded = (word | splat(0x08)) ^ splat(b'+');
        odd |= !folded.wrapping_add(LOW);
    }
    odd & HIGH
}

const fn splat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: impl AsRef<[u8]>, as_string: Option<(Flaw, usize)>, as_topic: Option<(Flaw, usize)>) {
        let bytes = bytes.as_ref();
        assert_eq!(string_flaw(bytes), as_string);
        assert_eq!(topic_flaw(bytes), as_topic);
        assert_eq!(string(bytes).err(), as_string, "{bytes:x?} as a string");
        assert_eq!(topic(bytes).err(), as_topic, "{bytes:x?} as a topic name");
    }

    #[test]
    fn strings_and_topics() {
        let utf8 = |at| Some((Flaw::NotUtf8, at));
        let nul = |at| Some((Flaw::Nul, at));
        let wildcard = |at| Some((Flaw::Wildcard, at));
        check("", None, None);
        check("sensors/boiler-7/pressure", None, None);
        check("\u{FEFF}kept/ä/漢/😀", None, None);
        check("\u{1}\u{7F}", None, None);
        check([0xC0, 0x80], utf8(0), utf8(0));
        check(b"a\xED\xA0\x80", utf8(1), utf8(1));
        check(b"a/\xF4\x90\x80\x80", utf8(2), utf8(2));
        check("漢\0", nul(3), nul(3));
        check("漢+", None, wildcard(3));
        // Every neighbour of a flagged byte passes, at every place in a word and beyond it.
        for length in 1..20 {
            for at in 0..length {
                let with = |byte: u8| {
                    let mut bytes = vec![b'a'; length];
                    bytes[at] = byte;
                    bytes
                };
                check(with(0), nul(at), nul(at));
                check(with(b'#'), None, wildcard(at));
                check(with(b'+'), None, wildcard(at));
                check(with(0x80), utf8(at), utf8(at));
                check(with(0xFF), utf8(at), utf8(at));
                for byte in [1, b'"', b'$', b'*', b',', 0x7F] {
                    check(with(byte), None, None);
                }
            }
        }
    }
}

//! The sixteen bytes by which the ledger knows a message, wherever it turns up.
//!
//! In raw payloads they come first; in a JSON payload they are the field `testament`, in hexadecimal. What has no tag, or
//! the tag of another run, is somebody else's message.

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Tells the messages of this run from those of others.
    pub run: u16,
    /// The stream of the ledger.
    pub stream: u32,
    /// The number within the stream.
    pub sequence: u32,
    /// When it was meant to be sent, in microseconds of the run: 2^48 of them are nine years. Latency counts from here,
    /// so that a message which had to wait for its turn is not measured as a fast one. An answer says it of its question,
    /// which is so known again.
    pub intended: u64,
}

/// What a JSON payload begins with, and no raw one.
const OBJECT: u8 = b'{';
/// The name of the field in a JSON payload.
pub const FIELD: &str = "testament";

impl Tag {
    /// How many bytes it takes in a raw payload.
    pub const SIZE: usize = 16;

    /// The number of a run, made from any: a raw tag must not begin as an object does.
    pub const fn run(number: u64) -> u16 {
        let run = number as u16;
        if run.to_be_bytes()[0] == OBJECT { run ^ 0x8000 } else { run }
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..2].copy_from_slice(&self.run.to_be_bytes());
        bytes[2..6].copy_from_slice(&self.stream.to_be_bytes());
        bytes[6..10].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[10..].copy_from_slice(&self.intended.to_be_bytes()[2..]);
        bytes
    }

    /// Finds it in a payload.
    pub fn find(payload: &[u8]) -> Option<Self> {
        if payload.first() != Some(&OBJECT) {
            return payload.first_chunk().map(Self::read);
        }
        let field = format!("\"{FIELD}\":\"");
        let at = payload.windows(field.len()).position(|window| window == field.as_bytes())? + field.len();
        let digits = payload.get(at..at + 2 * Self::SIZE)?;
        let mut bytes = [0; Self::SIZE];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self::read(&bytes))
    }

    fn read(bytes: &[u8; Self::SIZE]) -> Self {
        let number =
            |from: usize, to: usize| bytes[from..to].iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        Self {
            run: number(0, 2) as u16,
            stream: number(2, 6) as u32,
            sequence: number(6, 10) as u32,
            intended: number(10, 16),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag { run: 0x1234, stream: u32::MAX, sequence: 7, intended: (1 << 48) - 1 };

    #[test]
    fn a_tag_is_found_where_it_was_put() {
        let raw = [&TAG.bytes()[..], b"rest"].concat();
        assert_eq!(Tag::find(&raw), Some(TAG));
        let hex: String = TAG.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let json = serde_json::json!({ "a": 1, FIELD: hex, "z": "{" }).to_string();
        assert_eq!(Tag::find(json.as_bytes()), Some(TAG));
    }

    #[test]
    fn a_tag_is_found_whatever_the_run() {
        for number in 0..=u64::from(u16::MAX) {
            let tag = Tag { run: Tag::run(number), ..TAG };
            assert_eq!(Tag::find(&tag.bytes()), Some(tag), "{number}");
        }
    }

    #[test]
    fn what_has_none_has_none() {
        for payload in [
            &b""[..],
            b"fifteen bytes..",
            b"{\"a\":1}",
            b"{\"testament\":\"12\"}",
            b"{\"testament\":\"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\"}",
        ] {
            assert_eq!(Tag::find(payload), None, "{payload:?}");
        }
    }
}

//! WebSocket frames (RFC 6455, 5): read from any chunks, written one at a time.
//!
//! Payload is handed on as it arrives, so a frame may be of any length without being buffered; only headers and
//! control frames are, 14 and 125 bytes at most.

/// Who masks its frames: clients do, servers do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// What a frame is (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// Close codes that are used here (RFC 6455, 7.4.1).
pub(super) const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const UNSUPPORTED_DATA: u16 = 1003;

/// The peer broke the rules; the connection is to be closed with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault(pub(super) u16);

/// A control frame that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// To be answered with a pong of this payload.
    Ping(Vec<u8>),
    /// To be answered with a close frame of this code, or of none.
    Close(Option<u16>),
}

const HEADER_MAX: usize = 14;
const CONTROL_MAX: u64 = 125;

/// Reads the frames that `sender` sends.
#[derive(Debug)]
pub(super) struct Reader {
    sender: Sender,
    header: [u8; HEADER_MAX],
    /// How much of the header has come.
    have: usize,
    /// The frame whose payload is coming.
    frame: Option<Frame>,
    /// A binary message is under way and goes on in continuation frames.
    message_open: bool,
    /// The payload of the control frame that is coming.
    control: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    /// Already turned to the byte that comes next.
    mask: [u8; 4],
    /// Payload bytes to come.
    left: u64,
}

impl Reader {
    pub(super) fn new(sender: Sender) -> Self {
        Self { sender, header: [0; HEADER_MAX], have: 0, frame: None, message_open: false, control: Vec::new() }
    }

    /// Takes bytes off the front of `bytes` and appends the payload of binary messages to `data`, until a control frame
    /// is complete or `bytes` is used up.
    pub(super) fn read(&mut self, bytes: &mut &[u8], data: &mut Vec<u8>) -> Result<Option<Control>, Fault> {
        loop {
            let Some(frame) = &mut self.frame else {
                match self.read_header(bytes)? {
                    Some(frame) => self.frame = Some(frame),
                    None => return Ok(None),
                }
                continue;
            };
            let length = usize::try_from(frame.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (payload, rest) = bytes.split_at(length);
            *bytes = rest;
            let into = if frame.opcode.is_control() { &mut self.control } else { &mut *data };
            let start = into.len();
            into.extend_from_slice(payload);
            apply_mask(&mut into[start..], frame.mask);
            frame.mask.rotate_left(length % 4);
            frame.left -= length as u64;
            if frame.left > 0 {
                return Ok(None);
            }
            let opcode = frame.opcode;
            self.frame = None;
            let payload = std::mem::take(&mut self.control);
            match opcode {
                Opcode::Ping => return Ok(Some(Control::Ping(payload))),
                Opcode::Close => return close_code(&payload).map(Control::Close).map(Some),
                Opcode::Continuation | Opcode::Binary | Opcode::Text | Opcode::Pong => {}
            }
        }
    }

    fn read_header(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, Fault> {
        loop {
            let wanted = match self.have {
                0 | 1 => 2,
                _ => header_length(self.header[1]),
            };
            if self.have == wanted {
                self.have = 0;
                return self.parse_header().map(Some);
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                return Ok(None);
            };
            *bytes = rest;
            self.header[self.have] = byte;
            self.have += 1;
        }
    }

    fn parse_header(&mut self) -> Result<Frame, Fault> {
        let [first, second, rest @ ..] = self.header;
        let (length, rest) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (rest[..8].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)), &rest[8..]),
            length => (u64::from(length), &rest[..]),
        };
        let masked = second & 0x80 != 0;
        let mask = if masked { [rest[0], rest[1], rest[2], rest[3]] } else { [0; 4] };
        let last = first & 0x80 != 0;
        let reserved = first & 0x70 != 0;
        let opcode = Opcode::from_u8(first & 0x0F).ok_or(Fault(PROTOCOL_ERROR))?;
        if opcode == Opcode::Text {
            // MQTT knows binary frames alone (6 of both standards, mqtt5:6.0.0-1).
            return Err(Fault(UNSUPPORTED_DATA));
        }
        let legal = !reserved
            && masked == (self.sender == Sender::Client)
            && length >> 63 == 0
            && match opcode {
                Opcode::Continuation => self.message_open,
                Opcode::Binary => !self.message_open,
                _ => last && length <= CONTROL_MAX,
            };
        if !legal {
            return Err(Fault(PROTOCOL_ERROR));
        }
        if !opcode.is_control() {
            self.message_open = !last;
        }
        Ok(Frame { opcode, mask, left: length })
    }
}

/// How long a header with this second byte is.
const fn header_length(second: u8) -> usize {
    let length = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 != 0 { 4 } else { 0 }
}

/// The code in a close frame, if it carries one that may stand there (RFC 6455, 7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Fault(PROTOCOL_ERROR)) };
    };
    let code = u16::from_be_bytes(*code);
    let known = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if known && std::str::from_utf8(reason).is_ok() { Ok(Some(code)) } else { Err(Fault(PROTOCOL_ERROR)) }
}

/// Appends the header of a whole message of `length` bytes.
pub(super) fn write_header(out: &mut Vec<u8>, opcode: Opcode, length: usize, mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.push(0x80 | opcode as u8);
    match length {
        0..=125 => out.push(masked | length as u8),
        126..=0xFFFF => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
}

/// Masks, or takes the mask away: it is the same.
pub(super) fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    if mask == [0; 4] {
        return;
    }
    let wide = u32::from_ne_bytes(mask);
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything a stream carries: the payload and the control frames, or the fault that ended it.
    fn read(sender: Sender, mut bytes: &[u8]) -> (Vec<u8>, Result<Vec<Control>, Fault>) {
        let mut reader = Reader::new(sender);
        let (mut data, mut controls) = (Vec::new(), Vec::new());
        loop {
            match reader.read(&mut bytes, &mut data) {
                Ok(Some(control)) => controls.push(control),
                Ok(None) => return (data, Ok(controls)),
                Err(fault) => return (data, Err(fault)),
            }
        }
    }

    fn check(sender: Sender, bytes: &[u8], data: &[u8], controls: &[Control]) {
        assert_eq!(read(sender, bytes), (data.to_vec(), Ok(controls.to_vec())), "{bytes:02x?}");
    }

    fn refuse(sender: Sender, bytes: &[u8], code: u16) {
        assert_eq!(read(sender, bytes).1, Err(Fault(code)), "{bytes:02x?}");
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 6455, 5.7, with binary frames in place of text.
        let client = Sender::Client;
        check(Sender::Server, &[0x82, 5, 0x48, 0x65, 0x6c, 0x6c, 0x6f], b"Hello", &[]);
        check(client, &[0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], b"Hello", &[]);
        check(Sender::Server, &[0x02, 3, 0x48, 0x65, 0x6c, 0x80, 2, 0x6c, 0x6f], b"Hello", &[]);
        let ping = Control::Ping(b"Hello".to_vec());
        check(Sender::Server, &[0x89, 5, 0x48, 0x65, 0x6c, 0x6c, 0x6f], b"", &[ping]);
        check(client, &[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], b"", &[]);
    }

    #[test]
    fn control_frames_come_between_fragments() {
        let bytes = [0x02, 1, b'a', 0x89, 1, b'!', 0x00, 0, 0x80, 1, b'b', 0x88, 2, 0x03, 0xE8];
        check(Sender::Server, &bytes, b"ab", &[Control::Ping(b"!".to_vec()), Control::Close(Some(1000))]);
        check(Sender::Server, &[0x88, 0], b"", &[Control::Close(None)]);
    }

    #[test]
    fn what_may_not_be() {
        let server = Sender::Server;
        refuse(server, &[0x81, 0], 1003);
        refuse(server, &[0x82, 0x80, 0, 0, 0, 0], 1002);
        refuse(Sender::Client, &[0x82, 0], 1002);
        refuse(server, &[0x83, 0], 1002);
        refuse(server, &[0x8B, 0], 1002);
        for bit in [0x40, 0x20, 0x10] {
            refuse(server, &[0x82 | bit, 0], 1002);
        }
        refuse(server, &[0x80, 0], 1002);
        refuse(server, &[0x02, 0, 0x82, 0], 1002);
        refuse(server, &[0x09, 0], 1002);
        refuse(server, &[0x89, 126, 0, 126], 1002);
        refuse(server, &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002);
        refuse(server, &[0x88, 1, 3], 1002);
        for code in [999u16, 1004, 1005, 1006, 1015, 2999, 5000] {
            let [high, low] = code.to_be_bytes();
            refuse(server, &[0x88, 2, high, low], 1002);
        }
        refuse(server, &[0x88, 3, 0x03, 0xE8, 0xFF], 1002);
    }

    #[test]
    fn any_chunks_give_the_same() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let mask = [1, 2, 3, 4];
            let mut bytes = Vec::new();
            write_header(&mut bytes, Opcode::Binary, length, Some(mask));
            let start = bytes.len();
            bytes.extend_from_slice(&payload);
            apply_mask(&mut bytes[start..], mask);
            for chunk in [1, 2, 3, 7, 4096, usize::MAX] {
                let mut reader = Reader::new(Sender::Client);
                let mut data = Vec::new();
                for mut part in bytes.chunks(chunk.min(bytes.len())) {
                    assert_eq!(reader.read(&mut part, &mut data), Ok(None));
                }
                assert!(data == payload, "{length} bytes in chunks of {chunk}");
            }
        }
    }
}

//! MQTT over WebSocket as raw bytes: the upgrade and the frames, written and read by the suite itself, since a library
//! would hide what the target really sent.

use harness::case::Stop;
use harness::trace::Passed;
use harness::world::Endpoint;

use super::peer::Peer;
use super::setting::Route;
use super::testbed::{Testbed, deviates};

/// A nonce and the accept value it must bring, both from RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The answer to an upgrade is refused past this many bytes.
const HEAD: usize = 16 * 1024;

/// Frame types of RFC 6455.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// Goes on with a fragmented message.
    Continuation = 0,
    /// Text.
    Text = 1,
    /// Bytes: what MQTT uses.
    Binary = 2,
    /// The end.
    Close = 8,
    /// Are you there?
    Ping = 9,
    /// Yes.
    Pong = 10,
}

/// One masked frame from client to server.
pub fn frame(opcode: Opcode, last: bool, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x54, 0x45, 0x53, 0x54];
    let mut out = vec![u8::from(last) << 7 | opcode as u8];
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// What a WebSocket connection has read so far.
#[derive(Debug, Default)]
pub struct Stream {
    partial: Vec<u8>,
    /// The opcodes of the frames that came, in order; control frames included.
    opcodes: Vec<u8>,
    /// Whether the answer to the upgrade is still to come.
    upgrading: bool,
    /// That answer, when it is complete.
    head: Option<String>,
}

impl Stream {
    /// A stream on which the upgrade has been asked for.
    fn upgrading() -> Self {
        Self { upgrading: true, ..Self::default() }
    }

    /// One message in one frame.
    pub(super) fn frame(&mut self, bytes: &[u8]) -> Vec<u8> {
        frame(Opcode::Binary, true, bytes)
    }

    /// The bytes of MQTT in what came.
    pub(super) fn unframe(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.partial.extend_from_slice(bytes);
        let mut out = Vec::new();
        if self.upgrading {
            match self.partial.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => {
                    let head = self.partial.drain(..end + 4).collect::<Vec<_>>();
                    self.head = Some(String::from_utf8_lossy(&head).into_owned());
                    self.upgrading = false;
                }
                None if self.partial.len() > HEAD => {
                    self.head = Some("no HTTP answer within 16 KiB".into());
                    self.upgrading = false;
                }
                None => return out,
            }
        }
        while let Some((opcode, start, end)) = self.first() {
            self.opcodes.push(opcode);
            if opcode <= Opcode::Binary as u8 {
                out.extend_from_slice(&self.partial[start..end]);
            }
            self.partial.drain(..end);
        }
        out
    }

    /// Opcode, start and end of the payload of the first whole frame. Servers do not mask.
    fn first(&self) -> Option<(u8, usize, usize)> {
        let (&first, rest) = self.partial.split_first()?;
        let (start, length) = match rest.first()? & 0x7F {
            126 => (4, u64::from(u16::from_be_bytes(*rest.get(1..)?.first_chunk::<2>()?))),
            127 => (10, u64::from_be_bytes(*rest.get(1..)?.first_chunk::<8>()?)),
            short => (2, u64::from(short)),
        };
        let end = start + usize::try_from(length).ok()?;
        (self.partial.len() >= end).then_some((first & 0x0F, start, end))
    }
}

/// Opens a WebSocket, offering these subprotocols, and gives the server's answer to the upgrade.
///
/// # Errors
/// [`Stop::Skip`] where there is no WebSocket listener, [`Stop::Deviation`] if no answer comes.
pub fn upgrade<'t>(testbed: &'t Testbed, role: &str, protocols: &str) -> Result<(Peer<'t>, String), Stop> {
    let endpoint = if testbed.route().endpoint == Endpoint::Wss { Endpoint::Wss } else { Endpoint::Ws };
    upgrade_at(testbed, role, protocols, endpoint)
}

fn upgrade_at<'t>(
    testbed: &'t Testbed,
    role: &str,
    protocols: &str,
    endpoint: Endpoint,
) -> Result<(Peer<'t>, String), Stop> {
    let Route { authority, path, .. } = testbed.route();
    let peer = testbed.dial_at(role, endpoint)?;
    testbed.upgrade(peer.conn(), Stream::upgrading())?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {protocols}\r\n\r\n"
    );
    testbed.record(peer.conn(), Passed::Sent(request.clone().into_bytes()));
    testbed.send_below(peer.conn(), request.as_bytes());
    let deadline = testbed.now() + testbed.timing().answer;
    loop {
        if let Some(head) = testbed.stream(peer.conn(), |stream| stream.head.clone())? {
            testbed.record(peer.conn(), Passed::Came(head.clone().into_bytes()));
            return Ok((peer, head));
        }
        if testbed.ended(peer.conn())? || !testbed.pump(deadline) {
            return Err(deviates("an answer to the WebSocket upgrade", "none"));
        }
    }
}

/// Opens a WebSocket for MQTT: a step.
///
/// # Errors
/// [`Stop::Skip`] where there is no WebSocket listener, [`Stop::Inconclusive`] if the upgrade is refused.
pub fn dial<'t>(testbed: &'t Testbed, role: &str) -> Result<Peer<'t>, Stop> {
    accepted(upgrade(testbed, role, "mqtt")?)
}

/// As [`dial`], on this of the two kinds of WebSocket listeners.
pub(super) fn dial_at<'t>(testbed: &'t Testbed, role: &str, endpoint: Endpoint) -> Result<Peer<'t>, Stop> {
    accepted(upgrade_at(testbed, role, "mqtt", endpoint)?)
}

fn accepted((peer, head): (Peer<'_>, String)) -> Result<Peer<'_>, Stop> {
    if head.starts_with("HTTP/1.1 101") && header(&head, "sec-websocket-accept") == Some(ACCEPT) {
        Ok(peer)
    } else {
        Err(Stop::Inconclusive(format!("the WebSocket upgrade was refused: {}", head.lines().next().unwrap_or(""))))
    }
}

/// The value of this header in the answer to an upgrade.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.trim())
}

impl Peer<'_> {
    /// Sends one WebSocket frame as it is.
    pub fn send_frame(&self, opcode: Opcode, last: bool, payload: &[u8]) {
        let end = if last { "" } else { ", more to follow" };
        self.note(&format!("sends a WebSocket frame ({opcode:?}{end}) with {} bytes", payload.len()));
        self.testbed().lose_sight();
        self.testbed().send_below(self.conn(), &frame(opcode, last, payload));
    }

    /// The opcodes of the frames that have come, in order.
    ///
    /// # Errors
    /// [`Stop::Broken`] on a connection that is no WebSocket.
    pub fn opcodes(&self) -> Result<Vec<u8>, Stop> {
        self.testbed().stream(self.conn(), |stream| stream.opcodes.clone())
    }
}

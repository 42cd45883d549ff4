//! Mutants of MQTT over WebSocket (6 of both standards): what they change is in no packet, but in the frames around it.

use std::collections::BTreeSet;

use harness::node::{ConnId, Input, Node, Output, Via};
use harness::time::Instant;

use super::{Change, Mutant};
use crate::codec::frame::frame_len;
use crate::reference::websockets;

/// Where bytes are going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

/// What is done to the bytes that pass at one time: the opening handshake or, as the suite sends them, one frame.
pub(super) type Alter = fn(Way, &mut Vec<u8>);

pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    let all: [(&str, &[&'static str], Alter); 7] = [
        ("selects-no-subprotocol", &["mqtt5:6.0.0-4", "mqtt311:6.0.0-4"], |way, bytes| {
            if way == Way::Out && bytes.starts_with(b"HTTP/") {
                let head = String::from_utf8_lossy(bytes);
                let others = head.split("\r\n").filter(|line| !line.starts_with("Sec-WebSocket-Protocol"));
                *bytes = others.collect::<Vec<_>>().join("\r\n").into_bytes();
            }
        }),
        ("sends-text-frames", &["mqtt5:6.0.0-1", "mqtt311:6.0.0-1"], |way, bytes| {
            if way == Way::Out {
                replace_first(bytes, 0x82, 0x81);
            }
        }),
        ("takes-text-frames", &["mqtt5:6.0.0-1", "mqtt311:6.0.0-1"], |way, bytes| {
            if way == Way::In {
                replace_first(bytes, 0x81, 0x82);
            }
        }),
        ("wants-whole-packets-in-a-frame", &["mqtt5:6.0.0-2", "mqtt311:6.0.0-2"], |way, bytes| {
            if way == Way::In && bytes.first() == Some(&0x82) && payload(bytes).is_some_and(|data| !is_whole(&data)) {
                bytes.clear();
            }
        }),
        ("reads-only-unfragmented-messages", &["mqtt5:ext-234", "mqtt5:6.0.0-2", "mqtt311:ext-113"], |way, bytes| {
            if way == Way::In && matches!(bytes.first(), Some(0x00 | 0x02 | 0x80)) {
                bytes.clear();
            }
        }),
        ("never-answers-a-websocket-ping", &["mqtt5:ext-234", "mqtt311:ext-113"], |way, bytes| {
            if way == Way::Out && bytes.first() == Some(&0x8A) {
                bytes.clear();
            }
        }),
        ("takes-a-websocket-close-for-disconnect", &["mqtt5:ext-234", "mqtt311:ext-113"], |way, bytes| {
            if let (Way::In, &[0x88, 0x82, a, b, c, d, ..]) = (way, bytes.as_slice()) {
                *bytes = vec![0x82, 0x82, a, b, c, d, 0xE0 ^ a, b];
            }
        }),
    ];
    all.into_iter().map(|(name, clauses, alter)| Mutant {
        name: name.into(),
        clauses: clauses.into(),
        change: Change::Frames(alter),
    })
}

fn replace_first(bytes: &mut [u8], old: u8, new: u8) {
    if let Some(first) = bytes.first_mut().filter(|first| **first == old) {
        *first = new;
    }
}

/// The payload of a short masked frame; longer frames are left alone.
fn payload(frame: &[u8]) -> Option<Vec<u8>> {
    let (_, [length, rest @ ..]) = frame.split_first()? else { return None };
    let (mask, data) = rest.split_first_chunk::<4>()?;
    (usize::from(length & 0x7F) == data.len())
        .then(|| data.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect())
}

/// Whether these are packets from end to end.
fn is_whole(mut data: &[u8]) -> bool {
    while let Ok(Some(length)) = frame_len(data, u32::MAX) {
        match data.get(length..) {
            Some(rest) => data = rest,
            None => return false,
        }
    }
    data.is_empty()
}

/// A node whose WebSocket connections pass by a mutant.
pub(super) struct Framed<N> {
    node: N,
    alter: Alter,
    websockets: BTreeSet<ConnId>,
    lent: Vec<u8>,
}

impl<N> Framed<N> {
    pub(super) fn new(node: N, alter: Alter) -> Self {
        Self { node, alter, websockets: BTreeSet::new(), lent: Vec::new() }
    }
}

impl<N: Node> Node for Framed<N> {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bytes { conn, bytes } if self.websockets.contains(&conn) => {
                let mut bytes = bytes.to_vec();
                (self.alter)(Way::In, &mut bytes);
                self.node.handle(now, Input::Bytes { conn, bytes: &bytes });
            }
            other => {
                match &other {
                    Input::Opened { conn, via: Via::Listener(index), .. } if websockets().contains(index) => {
                        self.websockets.insert(*conn);
                    }
                    Input::Closed { conn, .. } => drop(self.websockets.remove(conn)),
                    _ => {}
                }
                self.node.handle(now, other);
            }
        }
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        match self.node.poll()? {
            Output::Send { conn, head, tail } if self.websockets.contains(&conn) => {
                self.lent.clear();
                self.lent.extend_from_slice(head);
                self.lent.extend_from_slice(tail.map_or(&[], |tail| tail.as_slice()));
                (self.alter)(Way::Out, &mut self.lent);
                Some(Output::Send { conn, head: &self.lent, tail: None })
            }
            other => Some(other),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.node.deadline()
    }
}

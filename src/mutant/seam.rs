//! The seams at which a mutant changes one thing: packets on their way into the broker, and packets on their way out.

use std::collections::{BTreeMap, VecDeque};

use harness::node::{Close, ConnId, Input, Node, Output};
use harness::time::Instant;

use crate::codec::{self, frame::Framer};
use crate::packet::{Packet, Side, Version};
use crate::violation::Refusal;

/// A packet on its way past a seam.
#[derive(Debug)]
pub struct Passing<'a> {
    /// When.
    pub now: Instant,
    /// On which connection.
    pub conn: ConnId,
    /// The version of the connection; 3.1.1 before its CONNECT.
    pub version: Version,
    /// Its bytes.
    pub frame: &'a [u8],
    /// What they say.
    pub packet: Result<Packet<'a>, Refusal>,
}

/// What becomes of it.
#[derive(Debug, Default)]
pub struct Fate {
    on: Vec<u8>,
    back: Vec<u8>,
    cut: bool,
}

impl Fate {
    /// These bytes go on in its place; without any, nothing does.
    pub fn on(&mut self, bytes: &[u8]) {
        self.on.extend_from_slice(bytes);
    }

    /// This packet goes on in its place. One that cannot be encoded does not go on.
    pub fn on_as(&mut self, packet: &Packet<'_>, version: Version) {
        let said = codec::encode(packet, version, &mut self.on);
        debug_assert_eq!(said, Ok(()), "a mutant that must send what is illegal writes its bytes");
    }

    /// These bytes go back to where it came from.
    pub fn back(&mut self, bytes: &[u8]) {
        self.back.extend_from_slice(bytes);
    }

    /// This packet goes back to where it came from.
    pub fn back_as(&mut self, packet: &Packet<'_>, version: Version) {
        let said = codec::encode(packet, version, &mut self.back);
        debug_assert_eq!(said, Ok(()), "a mutant that must send what is illegal writes its bytes");
    }

    /// The connection is closed towards the client.
    pub fn cut(&mut self) {
        self.cut = true;
    }
}

/// What a mutant does to packets; by default nothing.
pub trait Seam {
    /// A packet of a client, legal or not.
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        fate.on(passing.frame);
    }

    /// A packet of the broker.
    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        fate.on(passing.frame);
    }

    /// Bytes of a client that no packet begins with, for this reason. Whether they are thrown away; else the broker gets them.
    fn uncut(&mut self, refusal: Refusal) -> bool {
        let _ = refusal;
        false
    }

    /// Whether this connection waits for the rest of a packet; told after whatever came on it.
    fn half(&mut self, conn: ConnId, waits: bool) {
        let _ = (conn, waits);
    }

    /// Whether the client sees it when the broker closes this connection.
    fn closes(&mut self, conn: ConnId) -> bool {
        let _ = conn;
        true
    }

    /// A connection is gone; its number may be used again.
    fn gone(&mut self, conn: ConnId) {
        let _ = conn;
    }
}

/// A node behind a seam.
pub struct Behind<N> {
    node: N,
    seam: Box<dyn Seam>,
    conns: BTreeMap<ConnId, Conn>,
    outputs: VecDeque<Said>,
    lent: Vec<u8>,
    now: Instant,
}

#[derive(Default)]
struct Conn {
    version: Option<Version>,
    inbound: Framer,
    outbound: Framer,
    /// The broker has closed it, whether or not the client has seen it.
    closed: bool,
}

/// An output of the node, held until it is polled for.
enum Said {
    Send(ConnId, Vec<u8>),
    Pause(ConnId, bool),
    Ask(harness::node::Ticket, harness::node::Work),
    Close(ConnId, Close),
}

impl<N: Node> Behind<N> {
    /// `node` behind `seam`.
    pub fn new(node: N, seam: Box<dyn Seam>) -> Self {
        let (conns, outputs) = Default::default();
        Self { node, seam, conns, outputs, lent: Vec::new(), now: Instant::ZERO }
    }

    fn inbound(&mut self, conn: ConnId, mut bytes: &[u8]) {
        let Some(mut state) = self.conns.remove(&conn) else { return };
        while !state.closed {
            // A stream that cannot be cut into frames passes as it is, unless the mutant throws it away.
            let frame = match state.inbound.next(&mut bytes, u32::MAX) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(refusal) => {
                    if !self.seam.uncut(refusal) {
                        self.node.handle(self.now, Input::Bytes { conn, bytes });
                    }
                    break;
                }
            };
            let version = state.version.unwrap_or(Version::V311);
            let packet = codec::decode(frame, version, Side::Client);
            if let (None, Ok(Packet::Connect(connect))) = (state.version, &packet) {
                state.version = Some(connect.version);
            }
            let version = state.version.unwrap_or(version);
            let mut fate = Fate::default();
            self.seam.inbound(&Passing { now: self.now, conn, version, frame, packet }, &mut fate);
            if !fate.on.is_empty() {
                self.node.handle(self.now, Input::Bytes { conn, bytes: &fate.on });
            }
            if !fate.back.is_empty() {
                self.outputs.push_back(Said::Send(conn, fate.back));
            }
            if fate.cut {
                self.outputs.push_back(Said::Close(conn, Close::Gracefully));
            }
        }
        self.seam.half(conn, state.inbound.buffered() > 0);
        self.conns.insert(conn, state);
    }

    /// Takes over what the node wants done, past the seam.
    fn drain(&mut self) {
        while let Some(output) = self.node.poll() {
            let said = match output {
                Output::Send { conn, head, tail } => {
                    let mut bytes = head.to_vec();
                    bytes.extend_from_slice(tail.map_or(&[], |tail| tail.as_slice()));
                    let Some(state) = self.conns.get_mut(&conn) else { continue };
                    let version = state.version.unwrap_or(Version::V311);
                    let (mut rest, mut fate) = (bytes.as_slice(), Fate::default());
                    while let Ok(Some(frame)) = state.outbound.next(&mut rest, u32::MAX) {
                        let packet = codec::decode(frame, version, Side::Server);
                        self.seam.outbound(&Passing { now: self.now, conn, version, frame, packet }, &mut fate);
                    }
                    if fate.cut {
                        self.outputs.push_back(Said::Close(conn, Close::Gracefully));
                    }
                    Said::Send(conn, fate.on)
                }
                Output::Close { conn, how } => {
                    if let Some(state) = self.conns.get_mut(&conn) {
                        state.closed = true;
                    }
                    if !self.seam.closes(conn) {
                        continue;
                    }
                    Said::Close(conn, how)
                }
                Output::Pause { conn, paused } => Said::Pause(conn, paused),
                Output::Ask { ticket, work } => Said::Ask(ticket, work),
                Output::Open { .. } | Output::Note { .. } => continue,
            };
            self.outputs.push_back(said);
        }
    }
}

impl<N: Node> Node for Behind<N> {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        match input {
            Input::Bytes { conn, bytes } => self.inbound(conn, bytes),
            other => {
                match &other {
                    Input::Opened { conn, .. } => drop(self.conns.insert(*conn, Conn::default())),
                    Input::Closed { conn, .. } => {
                        self.conns.remove(conn);
                        self.seam.gone(*conn);
                    }
                    _ => {}
                }
                self.node.handle(now, other);
            }
        }
        self.drain();
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        Some(match self.outputs.pop_front()? {
            Said::Send(conn, bytes) => {
                self.lent = bytes;
                Output::Send { conn, head: &self.lent, tail: None }
            }
            Said::Pause(conn, paused) => Output::Pause { conn, paused },
            Said::Ask(ticket, work) => Output::Ask { ticket, work },
            Said::Close(conn, how) => Output::Close { conn, how },
        })
    }

    fn deadline(&self) -> Option<Instant> {
        self.node.deadline()
    }
}

//! The ideal network between a case and the system under test: it neither loses, reorders nor stalls. Its one limit is the
//! buffer towards the case, through which the node feels a slow reader. The bytes of a case are not limited: the cases are
//! our own.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use crate::node::{Close, Closed, ConnId, Input, Node, Output, Peer, Shared, Ticket, Via};
use crate::time::Instant;
use crate::world::{Arrival, Arrived};

/// The network between a case and the system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// How long anything takes one way.
    pub delay: Duration,
    /// How many bytes the node may have under way to one reader before that reader counts as slow.
    pub buffer: usize,
}

impl Default for Wire {
    /// Half a millisecond one way, 256 KiB of buffer.
    fn default() -> Self {
        Self { delay: Duration::from_micros(500), buffer: 256 * 1024 }
    }
}

/// Everything between the case and the node.
pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) wire: Wire,
    /// By the case's number, which is never used again, so that a trace stays unambiguous.
    pub(super) conns: Vec<Conn>,
    /// By the node's number: the case's number of each connection that the node has not been told is gone.
    pub(super) known: Vec<Option<u32>>,
    pub(super) queue: Queue,
    /// What the node is to be told at this moment.
    pub(super) inbox: VecDeque<Told>,
    pub(super) arrived: VecDeque<Arrival>,
}

/// One connection, its node end and its case end.
pub(super) struct Conn {
    /// The node's number; `None` once the node has been told that the connection is gone.
    node: Option<ConnId>,
    node_speaks: bool,
    node_reads: Reading,
    /// How much room the node believes there is.
    node_room: usize,
    /// How many bytes the node sent that the case's end has not taken yet.
    pub(super) untaken: usize,
    pub(super) case_speaks: bool,
    case_hears: bool,
    case_reads: Reading,
}

/// What has reached one end and not been read there.
#[derive(Default)]
pub(super) struct Reading {
    paused: bool,
    pieces: VecDeque<Piece>,
}

impl Reading {
    fn take(&mut self) -> Option<Piece> {
        if self.paused { None } else { self.pieces.pop_front() }
    }
}

pub(super) enum Piece {
    Bytes(Vec<u8>),
    End(Closed),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToNode,
    ToCase,
}

/// What the node is to be told, not yet in its own terms.
pub(super) enum Told {
    Opened(u32, u16),
    /// There may be something to read.
    Readable(u32),
    Writable(u32),
    Closed(u32, Closed),
    Answer(Ticket, Vec<u8>),
    Refused(Ticket),
    Wake,
}

impl Net {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            now: Instant::ZERO,
            wire,
            conns: Vec::new(),
            known: Vec::new(),
            queue: Queue::default(),
            inbox: VecDeque::new(),
            arrived: VecDeque::new(),
        }
    }

    /// Sends `piece` on its way. The delay is constant and time does not run backwards, so pieces keep their order.
    pub(super) fn post(&mut self, conn: u32, way: Way, piece: Piece) {
        self.queue.push(self.now + self.wire.delay, conn, way, piece);
    }

    /// A connection that the node is to be told of.
    pub(super) fn connect(&mut self, listener: u16) -> ConnId {
        let number = u32::try_from(self.conns.len()).expect("a case opens fewer than 2^32 connections");
        let free = self.known.iter().position(Option::is_none).unwrap_or_else(|| {
            self.known.push(None);
            self.known.len() - 1
        });
        self.known[free] = Some(number);
        self.conns.push(Conn {
            node: Some(ConnId(free as u32)),
            node_speaks: true,
            node_reads: Reading::default(),
            node_room: self.wire.buffer,
            untaken: 0,
            case_speaks: true,
            case_hears: true,
            case_reads: Reading::default(),
        });
        self.inbox.push_back(Told::Opened(number, listener));
        ConnId(number)
    }

    /// A piece has reached the end it was sent to.
    pub(super) fn deliver(&mut self, due: Due) {
        let conn = &mut self.conns[due.conn as usize];
        match due.way {
            Way::ToNode => {
                if matches!(due.piece, Piece::End(Closed::Reset)) {
                    // A reset waits for no reader and takes what was not read with it.
                    conn.node_reads = Reading::default();
                }
                conn.node_reads.pieces.push_back(due.piece);
                self.inbox.push_back(Told::Readable(due.conn));
            }
            Way::ToCase => {
                conn.case_reads.pieces.push_back(due.piece);
                self.read_case(due.conn);
            }
        }
    }

    /// The case's end takes what has reached it, unless it has paused.
    fn read_case(&mut self, number: u32) {
        let conn = &mut self.conns[number as usize];
        while let Some(piece) = conn.case_reads.take() {
            let what = match piece {
                Piece::Bytes(bytes) => {
                    conn.untaken -= bytes.len();
                    Arrived::Bytes(bytes)
                }
                Piece::End(how) => Arrived::Closed(how),
            };
            if conn.case_hears {
                conn.case_hears = matches!(what, Arrived::Bytes(_));
                self.arrived.push_back(Arrival { at: self.now, conn: ConnId(number), what });
            }
        }
        // The node learns of room when it is about to run out of it, not with each byte read.
        if conn.node_room < self.wire.buffer / 2 && conn.untaken <= self.wire.buffer / 2 {
            self.inbox.push_back(Told::Writable(number));
        }
    }

    pub(super) fn pause_case(&mut self, number: u32, paused: bool) {
        self.conns[number as usize].case_reads.paused = paused;
        self.read_case(number);
    }

    pub(super) fn close_case(&mut self, number: u32, how: Close) {
        let conn = &mut self.conns[number as usize];
        let end = match how {
            Close::Gracefully | Close::Bluntly | Close::HalfWay => Some(Closed::Finished),
            Close::Abruptly => Some(Closed::Reset),
            Close::Silently => None,
        };
        let spoke = std::mem::replace(&mut conn.case_speaks, false);
        // A connection that was closed half-way can still be reset.
        if let Some(end) = end.filter(|&end| spoke || end == Closed::Reset) {
            self.post(number, Way::ToNode, Piece::End(end));
        }
        if how == Close::HalfWay {
            return;
        }
        let conn = &mut self.conns[number as usize];
        conn.case_hears = false;
        // Whoever goes silently takes nothing more; any other end throws away what still comes.
        self.arrived.retain(|arrival| arrival.conn.0 != number);
        self.pause_case(number, how == Close::Silently);
    }

    /// The node is gone without a word; its connections, which the node knows by these numbers, end like this.
    pub(super) fn lose_node(&mut self, how: Closed) -> Vec<ConnId> {
        let mut lost = Vec::new();
        for number in std::mem::take(&mut self.known).into_iter().flatten() {
            let conn = &mut self.conns[number as usize];
            lost.extend(conn.node.take());
            if std::mem::replace(&mut conn.node_speaks, false) {
                self.post(number, Way::ToCase, Piece::End(how));
            }
        }
        lost
    }

    /// Tells the node one thing, in its own terms.
    pub(super) fn hand_over(&mut self, told: Told, node: &mut dyn Node) {
        let now = self.now;
        match told {
            Told::Opened(number, listener) => {
                let Some(conn) = self.conns[number as usize].node else { return };
                let via = Via::Listener(listener);
                node.handle(now, Input::Opened { conn, via, peer: Peer::default(), room: self.wire.buffer });
            }
            Told::Readable(number) => {
                let end = &mut self.conns[number as usize];
                let Some(conn) = end.node else { return };
                let piece = end.node_reads.take();
                if !end.node_reads.pieces.is_empty() && !end.node_reads.paused {
                    self.inbox.push_front(Told::Readable(number));
                }
                match piece {
                    Some(Piece::Bytes(bytes)) => node.handle(now, Input::Bytes { conn, bytes: &bytes }),
                    Some(Piece::End(how)) => self.end(number, how, node),
                    None => {}
                }
            }
            Told::Writable(number) => {
                let end = &mut self.conns[number as usize];
                let Some(conn) = end.node.filter(|_| end.node_speaks) else { return };
                end.node_room = self.wire.buffer.saturating_sub(end.untaken);
                node.handle(now, Input::Writable { conn, room: end.node_room });
            }
            Told::Closed(number, how) => self.end(number, how, node),
            Told::Answer(ticket, bytes) => node.handle(now, Input::Answer { ticket, bytes: &bytes }),
            Told::Refused(ticket) => node.handle(now, Input::Refused { ticket, why: "this world has nobody to call" }),
            Told::Wake => node.handle(now, Input::Wake),
        }
    }

    /// Tells the node that a connection is gone. If the case ended it, the node's end finishes too: there is nobody to
    /// leave it half open for.
    fn end(&mut self, number: u32, how: Closed, node: &mut dyn Node) {
        let end = &mut self.conns[number as usize];
        let Some(conn) = end.node.take() else { return };
        self.known[conn.0 as usize] = None;
        let spoke = std::mem::replace(&mut end.node_speaks, false);
        if spoke && how == Closed::Finished {
            self.post(number, Way::ToCase, Piece::End(Closed::Finished));
        }
        node.handle(self.now, Input::Closed { conn, how });
    }

    /// Does what the node wants done.
    pub(super) fn carry_out(&mut self, output: Output<'_>) {
        match output {
            Output::Send { conn, head, tail } => {
                let Some(number) = self.number(conn) else { return };
                let end = &mut self.conns[number as usize];
                let bytes = [head, tail.map_or(&[], Shared::as_slice)].concat();
                if end.node_speaks && !bytes.is_empty() {
                    end.untaken += bytes.len();
                    end.node_room = end.node_room.saturating_sub(bytes.len());
                    self.post(number, Way::ToCase, Piece::Bytes(bytes));
                }
            }
            Output::Pause { conn, paused } => {
                let Some(number) = self.number(conn) else { return };
                self.conns[number as usize].node_reads.paused = paused;
                self.inbox.push_back(Told::Readable(number));
            }
            Output::Close { conn, how } => {
                let Some(number) = self.number(conn) else { return };
                let end = match how {
                    Close::Gracefully | Close::Bluntly | Close::HalfWay => Some(Closed::Finished),
                    Close::Abruptly => Some(Closed::Reset),
                    Close::Silently => None,
                };
                let spoke = std::mem::replace(&mut self.conns[number as usize].node_speaks, false);
                if let Some(end) = end.filter(|&end| spoke || end == Closed::Reset) {
                    self.post(number, Way::ToCase, Piece::End(end));
                }
                if how != Close::HalfWay {
                    self.inbox.push_back(Told::Closed(number, Closed::Here));
                }
            }
            Output::Ask { ticket, work } => self.inbox.push_back(Told::Answer(ticket, work())),
            Output::Open { ticket } => self.inbox.push_back(Told::Refused(ticket)),
            Output::Note { .. } => {}
        }
    }

    fn number(&self, conn: ConnId) -> Option<u32> {
        self.known.get(conn.0 as usize).copied().flatten()
    }
}

/// What is under way, first due first.
#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Due>,
    pushed: u64,
}

/// A piece under way. Of two that are due at the same moment, the one sent first comes first.
pub(super) struct Due {
    pub(super) at: Instant,
    nth: u64,
    conn: u32,
    way: Way,
    piece: Piece,
}

impl Queue {
    fn push(&mut self, at: Instant, conn: u32, way: Way, piece: Piece) {
        self.heap.push(Due { at, nth: self.pushed, conn, way, piece });
        self.pushed += 1;
    }

    pub(super) fn peek(&self) -> Option<&Due> {
        self.heap.peek()
    }

    pub(super) fn pop_if_due(&mut self, at: Instant) -> Option<Due> {
        if self.peek()?.at <= at { self.heap.pop() } else { None }
    }
}

impl Ord for Due {
    /// The greatest is the one due first: that is the one a heap gives out.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.nth).cmp(&(self.at, self.nth))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

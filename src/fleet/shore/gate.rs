//! What stands where the server stands in virtual time: it passes on what the links release to the sockets, and what the
//! sockets bring to the links.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use harness::metrics::Spans;
use harness::node::{Close, Closed, ConnId, Input, Node, Output, Ticket, Via};
use harness::time::Instant;
use slab::Slab;

use super::{DIALS, NUMBERS, PARTING};

/// How many different reasons of failures are told apart.
const REASONS: usize = 20;

/// Stands where the server stands in virtual time, and passes on.
#[derive(Default)]
pub struct Gate {
    pub(super) now: Instant,
    /// By the number that the fleet knows.
    berths: Vec<Berth>,
    /// By the number that the driver knows.
    sockets: Vec<Option<ConnId>>,
    /// Sockets to be opened, or being opened, by the low bits of their ticket.
    dials: Slab<Dial>,
    /// Of these, which wait for their turn, in order.
    queue: VecDeque<usize>,
    /// How many are being opened.
    dialing: usize,
    /// The connections of which devices took their leave, and until when their servers may close them too, oldest first; some
    /// have ended.
    pub(super) parting: VecDeque<(Instant, ConnId)>,
    /// Those of them whose servers have read all that was said.
    pub(super) heard_out: Vec<ConnId>,
    /// What came from the sockets since the fleet last heard.
    came: Words,
    /// To the fleet.
    inward: Words,
    /// To the sockets.
    pub(super) outward: Words,
    pub(super) waited: Spans,
    pub(super) failures: BTreeMap<String, u64>,
}

/// What stands behind a connection of the fleet.
#[derive(Default)]
enum Berth {
    #[default]
    Free,
    /// Its socket is being opened.
    Dialing { key: usize, room: usize },
    /// A socket.
    Up(Up),
    /// A socket to which all was said, and the server has until then to close it too.
    Parting(ConnId, Instant),
}

struct Up {
    socket: ConnId,
    /// How much the link takes yet, and whether the socket was stopped because it takes none.
    inward: (usize, bool),
    /// The same of the socket and the link.
    outward: (usize, bool),
}

struct Dial {
    /// For whom; nobody any more if absent.
    conn: Option<ConnId>,
    since: Instant,
    /// What was said meanwhile.
    said: Vec<u8>,
}

/// What is to be done, and the bytes of it all in one row.
#[derive(Default)]
pub(super) struct Words {
    words: VecDeque<Word>,
    bytes: Vec<u8>,
}

enum Word {
    Send(ConnId, Range<usize>),
    Pause(ConnId, bool),
    Close(ConnId, Close),
}

impl Words {
    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.words.push_back(Word::Send(conn, start..self.bytes.len()));
    }

    fn append(&mut self, other: &mut Self) {
        let start = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.words.extend(other.words.drain(..).map(|word| match word {
            Word::Send(conn, range) => Word::Send(conn, range.start + start..range.end + start),
            other => other,
        }));
    }

    pub(super) fn poll(&mut self) -> Option<Output<'_>> {
        match self.words.pop_front() {
            None => {
                self.bytes.clear();
                None
            }
            Some(Word::Send(conn, range)) => Some(Output::Send { conn, head: &self.bytes[range], tail: None }),
            Some(Word::Pause(conn, paused)) => Some(Output::Pause { conn, paused }),
            Some(Word::Close(conn, how)) => Some(Output::Close { conn, how }),
        }
    }
}

/// As the server of the fleet.
impl Node for Gate {
    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        match input {
            Input::Opened { conn, room, .. } => {
                let dial = Dial { conn: Some(conn), since: self.now, said: Vec::new() };
                let key = self.dials.insert(dial);
                self.queue.push_back(key);
                *self.berth(conn) = Berth::Dialing { key, room };
            }
            Input::Bytes { conn, bytes } => match self.berth(conn) {
                Berth::Up(Up { socket, outward: (room, stopped), .. }) => {
                    *room = room.saturating_sub(bytes.len());
                    let (socket, stops) = (*socket, *room == 0 && !*stopped);
                    *stopped |= stops;
                    self.outward.send(socket, bytes);
                    if stops {
                        self.inward.words.push_back(Word::Pause(conn, true));
                    }
                }
                &mut Berth::Dialing { key, .. } => self.dials[key].said.extend_from_slice(bytes),
                Berth::Parting(..) | Berth::Free => {}
            },
            Input::Writable { conn, room } => match self.berth(conn) {
                Berth::Up(Up { socket, inward, .. }) => {
                    let (socket, stopped) = (*socket, inward.1);
                    *inward = (room, false);
                    if stopped {
                        self.outward.words.push_back(Word::Pause(socket, false));
                    }
                }
                Berth::Dialing { room: known, .. } => *known = room,
                Berth::Parting(..) | Berth::Free => {}
            },
            Input::Closed { conn, how } => match std::mem::take(self.berth(conn)) {
                Berth::Dialing { key, .. } => {
                    // Who finished has said all, which a server would still read; who broke off has taken it back.
                    let dial = &mut self.dials[key];
                    dial.conn = None;
                    if how == Closed::Finished {
                        self.inward.words.push_back(Word::Close(conn, Close::Gracefully));
                    } else {
                        dial.said.clear();
                    }
                }
                Berth::Up(Up { socket, .. }) if how == Closed::Finished => {
                    let until = self.now + PARTING;
                    *self.berth(conn) = Berth::Parting(socket, until);
                    self.parting.push_back((until, conn));
                    self.outward.words.push_back(Word::Close(socket, Close::HalfWay));
                }
                Berth::Up(Up { socket, .. }) | Berth::Parting(socket, _) => {
                    self.sockets[socket.0 as usize] = None;
                    self.outward.words.push_back(Word::Close(socket, Close::Abruptly));
                }
                Berth::Free => {}
            },
            Input::Refused { .. } | Input::Answer { .. } | Input::Wake => {}
        }
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        self.inward.poll()
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// As the node of the driver.
impl Gate {
    pub(super) fn came(&mut self, input: Input<'_>) {
        match input {
            Input::Opened { conn: socket, via: Via::Ticket(ticket), room, .. } => {
                let dial = self.dialed(ticket);
                if !dial.said.is_empty() {
                    self.outward.send(socket, &dial.said);
                }
                let berth = dial.conn.map(|conn| (conn, self.berth(conn)));
                let Some((conn, berth @ &mut Berth::Dialing { room: inward, .. })) = berth else {
                    let how = if dial.said.is_empty() { Close::Abruptly } else { Close::Gracefully };
                    self.outward.words.push_back(Word::Close(socket, how));
                    return;
                };
                let room = room.saturating_sub(dial.said.len()).max(1);
                *berth = Berth::Up(Up { socket, inward: (inward, false), outward: (room, false) });
                let place = socket.0 as usize;
                if self.sockets.len() <= place {
                    self.sockets.resize(place + 1, None);
                }
                self.sockets[place] = Some(conn);
            }
            Input::Refused { ticket, why } => {
                let dial = self.dialed(ticket);
                let why = if self.failures.len() < REASONS { why } else { "for other reasons" };
                *self.failures.entry(why.to_owned()).or_default() += 1;
                if let Some(conn) = dial.conn {
                    *self.berth(conn) = Berth::Free;
                    self.came.words.push_back(Word::Close(conn, Close::Abruptly));
                }
            }
            Input::Bytes { conn: socket, bytes } => {
                let Some((conn, up)) = self.behind(socket) else { return };
                up.inward.0 = up.inward.0.saturating_sub(bytes.len());
                let stops = up.inward.0 == 0 && !up.inward.1;
                up.inward.1 |= stops;
                self.came.send(conn, bytes);
                if stops {
                    self.outward.words.push_back(Word::Pause(socket, true));
                }
            }
            Input::Writable { conn: socket, room } => {
                let Some((conn, up)) = self.behind(socket) else { return };
                let stopped = up.outward.1;
                up.outward = (room, false);
                if stopped {
                    self.came.words.push_back(Word::Pause(conn, false));
                }
            }
            Input::Closed { conn: socket, how } => {
                let Some(conn) = self.sockets.get_mut(socket.0 as usize).and_then(Option::take) else { return };
                if matches!(std::mem::take(self.berth(conn)), Berth::Parting(..)) && how == Closed::Finished {
                    self.heard_out.push(conn);
                }
                let how = if how == Closed::Finished { Close::Gracefully } else { Close::Abruptly };
                self.came.words.push_back(Word::Close(conn, how));
            }
            Input::Opened { .. } | Input::Answer { .. } | Input::Wake => {}
        }
    }

    /// Lets the fleet hear what came.
    pub(super) fn let_in(&mut self) {
        self.inward.append(&mut self.came);
    }

    /// Waits no longer for servers that do not close.
    pub(super) fn give_up_parting(&mut self) {
        while let Some((until, conn)) = self.parting.pop_front_if(|&mut (until, _)| until <= self.now) {
            if let &mut Berth::Parting(socket, its) = self.berth(conn)
                && its == until
            {
                *self.berth(conn) = Berth::Free;
                self.sockets[socket.0 as usize] = None;
                self.outward.words.push_back(Word::Close(socket, Close::Gracefully));
                self.came.words.push_back(Word::Close(conn, Close::Gracefully));
            }
        }
    }

    /// The next socket to be opened, if it is its turn, and for which connection.
    pub(super) fn next_dial(&mut self) -> Option<(usize, ConnId)> {
        while self.dialing < DIALS {
            let key = self.queue.pop_front()?;
            if let Some(conn) = self.dials[key].conn {
                self.dialing += 1;
                self.waited.record(self.now.since(self.dials[key].since));
                return Some((key, conn));
            }
            self.dials.remove(key);
        }
        None
    }

    fn dialed(&mut self, ticket: Ticket) -> Dial {
        self.dialing -= 1;
        self.dials.remove((ticket.0 & u64::from(NUMBERS)) as usize)
    }

    fn berth(&mut self, conn: ConnId) -> &mut Berth {
        let place = conn.0 as usize;
        if self.berths.len() <= place {
            self.berths.resize_with(place + 1, Berth::default);
        }
        &mut self.berths[place]
    }

    /// The connection of the fleet behind a socket.
    fn behind(&mut self, socket: ConnId) -> Option<(ConnId, &mut Up)> {
        let conn = self.sockets.get(socket.0 as usize).copied().flatten()?;
        match self.berths.get_mut(conn.0 as usize)? {
            Berth::Up(up) => Some((conn, up)),
            Berth::Dialing { .. } | Berth::Parting(..) | Berth::Free => None,
        }
    }
}

//! A world in virtual time: one thread, seeded, bit-for-bit repeatable.
//!
//! The system under test is a [`Node`] in a box, so nothing here touches a socket or a clock. Time stands still while
//! the case or the node thinks, and jumps to the next event when the case waits. Events of one moment happen in the
//! order they were caused; a timer of the node comes after the bytes of its moment, so what arrives exactly at a
//! deadline is in time.
//!
//! The network between the two is ideal but for a constant delay: it neither loses, reorders nor stalls. Its one limit
//! is the buffer towards the case, through which the node feels a slow reader. The bytes of a case are not limited: the
//! cases are our own.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use crate::guard::catch;
use crate::node::{Close, Closed, ConnId, Input, Node, Output, Peer, Shared, Ticket, Via};
use crate::rng::Rng;
use crate::time::Instant;
use crate::world::{Arrival, Arrived, Broken, Endpoint, Sut, Undone, World};

/// The network between a case and the system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// How long anything takes one way.
    pub delay: Duration,
    /// How many bytes the node may have under way to one reader before that reader counts as slow.
    pub buffer: usize,
}

impl Default for Link {
    /// Half a millisecond one way, 256 KiB of buffer.
    fn default() -> Self {
        Self { delay: Duration::from_micros(500), buffer: 256 * 1024 }
    }
}

/// Starts the system under test: once at the beginning, and once per [`Sut::Start`] with the node that was stopped, which
/// knows that its connections are gone. Whoever hands it on has a store that nothing can hurt; whoever drops it and makes
/// another has none.
pub type Start<'a> = Box<dyn Fn(Option<Box<dyn Node>>) -> Box<dyn Node> + 'a>;

/// One case's seat in a simulated world of its own.
pub struct SimWorld<'a> {
    start: Start<'a>,
    /// `None` while it is stopped.
    node: Option<Box<dyn Node>>,
    /// What is left of it while it is stopped.
    stopped: Option<Box<dyn Node>>,
    net: Net,
    rng: Rng,
    listeners: Vec<(Endpoint, u16)>,
    /// How the node panicked.
    death: Option<String>,
    /// How many events may still happen before the case counts as one that never ends.
    budget: u32,
}

/// The largest legal case moves some 65,535 packets; one that causes this many events will not end by itself.
const BUDGET: u32 = 50_000_000;
/// A node that wants to be woken this often while time stands still will never be content.
const WAKES_AT_ONE_MOMENT: u32 = 100_000;

impl<'a> SimWorld<'a> {
    /// A world whose system under test is what `start` starts. It offers each of `listeners` under the number by which
    /// the node knows it. Whatever the case draws comes from `rng`.
    pub fn new(rng: Rng, link: Link, listeners: &[(Endpoint, u16)], start: Start<'a>) -> Self {
        let node = Some(start(None));
        Self {
            start,
            node,
            stopped: None,
            net: Net::new(link),
            rng,
            listeners: listeners.to_vec(),
            death: None,
            budget: BUDGET,
        }
    }

    /// Plays what is due first, if it is due at `limit` at the latest. Tells whether there was anything.
    fn step(&mut self, limit: Instant) -> bool {
        let event = self.net.queue.peek().map(|due| due.at);
        let timer = self.node.as_ref().and_then(|node| node.deadline()).map(|at| at.max(self.net.now));
        let Some(at) = event.into_iter().chain(timer).min().filter(|&at| at <= limit) else { return false };
        self.budget = self.budget.checked_sub(1).expect("a case ends within fifty million events");
        self.net.now = at;
        match self.net.queue.pop_if_due(at) {
            Some(due) => self.net.deliver(due),
            None => self.wake(),
        }
        self.settle();
        true
    }

    /// Wakes the node until it is content with this moment.
    fn wake(&mut self) {
        for _ in 0..WAKES_AT_ONE_MOMENT {
            self.net.inbox.push_back(Told::Wake);
            self.settle();
            if self.node.as_ref().and_then(|node| node.deadline()).is_none_or(|at| at > self.net.now) {
                return;
            }
        }
        panic!("a node that was woken moves its deadline on; this one still wants to be woken at {}", self.net.now);
    }

    /// Hands the node what is in its inbox and does what it then wants done, until neither is left.
    fn settle(&mut self) {
        let Some(node) = &mut self.node else {
            self.net.inbox.clear();
            return;
        };
        let net = &mut self.net;
        let lived = catch(|| {
            while let Some(told) = net.inbox.pop_front() {
                net.hand_over(told, node.as_mut());
                while let Some(output) = node.poll() {
                    net.carry_out(output);
                }
            }
        });
        if let Err(panic) = lived {
            // What is left of it is in no state to be handed on.
            self.node = None;
            self.net.inbox.clear();
            self.net.lose_node(Closed::Reset);
            self.death = Some(format!("the target panicked: {panic}"));
        }
    }

    /// The node is stopped, and the operating system ends its connections like this.
    fn halt(&mut self, how: Closed) {
        let Some(mut node) = self.node.take() else { return };
        for conn in self.net.lose_node(how) {
            node.handle(self.net.now, Input::Closed { conn, how: Closed::Reset });
        }
        // Nobody is left to do what it still wants done.
        while node.poll().is_some() {}
        self.stopped = Some(node);
    }

    fn play_until(&mut self, moment: Instant) {
        while self.step(moment) {}
        self.net.now = self.net.now.max(moment);
    }
}

impl World for SimWorld<'_> {
    fn now(&self) -> Instant {
        self.net.now
    }

    fn open(&mut self, endpoint: Endpoint) -> Result<ConnId, Undone> {
        let offered = self.listeners.iter().find(|(offered, _)| *offered == endpoint);
        let Some(&(_, listener)) = offered else { return Err(endpoint.missing().into()) };
        // There and back: the node hears of the connection half-way, the case can write when the answer is here.
        self.play_until(self.net.now + self.net.link.delay);
        if self.node.is_none() {
            return Err(Broken("the connection was refused: the system under test is stopped".to_owned()).into());
        }
        let conn = self.net.connect(listener);
        self.settle();
        self.play_until(self.net.now + self.net.link.delay);
        Ok(conn)
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        if self.net.conns[conn.0 as usize].case_speaks && !bytes.is_empty() {
            self.net.post(conn.0, Way::ToNode, Piece::Bytes(bytes.to_vec()));
        }
    }

    fn pause(&mut self, conn: ConnId, paused: bool) {
        self.net.pause_case(conn.0, paused);
        self.settle();
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        self.net.close_case(conn.0, how);
        self.settle();
    }

    fn sut(&mut self, what: Sut) -> Result<(), Undone> {
        match what {
            Sut::Stop => self.halt(Closed::Finished),
            Sut::Kill => self.halt(Closed::Reset),
            Sut::Start if self.node.is_none() => self.node = Some((self.start)(self.stopped.take())),
            Sut::Start => {}
        }
        Ok(())
    }

    fn wait(&mut self, deadline: Instant) -> Option<Arrival> {
        while self.net.arrived.is_empty() && self.step(deadline) {}
        if self.net.arrived.front().is_some_and(|arrival| arrival.at <= deadline) {
            return self.net.arrived.pop_front();
        }
        self.net.now = self.net.now.max(deadline);
        None
    }

    fn death(&self) -> Option<&str> {
        self.death.as_deref()
    }

    fn draw(&mut self) -> u64 {
        self.rng.u64()
    }
}

/// Everything between the case and the node.
struct Net {
    now: Instant,
    link: Link,
    /// By the case's number, which is never used again, so that a trace stays unambiguous.
    conns: Vec<Conn>,
    /// By the node's number: the case's number of each connection that the node has not been told is gone.
    known: Vec<Option<u32>>,
    queue: Queue,
    /// What the node is to be told at this moment.
    inbox: VecDeque<Told>,
    arrived: VecDeque<Arrival>,
}

/// One connection, its node end and its case end.
struct Conn {
    /// The node's number; `None` once the node has been told that the connection is gone.
    node: Option<ConnId>,
    node_speaks: bool,
    node_reads: Reading,
    /// How much room the node believes there is.
    node_room: usize,
    /// How many bytes the node sent that the case's end has not taken yet.
    untaken: usize,
    case_speaks: bool,
    case_hears: bool,
    case_reads: Reading,
}

/// What has reached one end and not been read there.
#[derive(Default)]
struct Reading {
    paused: bool,
    pieces: VecDeque<Piece>,
}

impl Reading {
    fn take(&mut self) -> Option<Piece> {
        if self.paused { None } else { self.pieces.pop_front() }
    }
}

enum Piece {
    Bytes(Vec<u8>),
    End(Closed),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToNode,
    ToCase,
}

/// What the node is to be told, not yet in its own terms.
enum Told {
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
    fn new(link: Link) -> Self {
        Self {
            now: Instant::ZERO,
            link,
            conns: Vec::new(),
            known: Vec::new(),
            queue: Queue::default(),
            inbox: VecDeque::new(),
            arrived: VecDeque::new(),
        }
    }

    /// Sends `piece` on its way. The delay is constant and time does not run backwards, so pieces keep their order.
    fn post(&mut self, conn: u32, way: Way, piece: Piece) {
        self.queue.push(self.now + self.link.delay, conn, way, piece);
    }

    /// A connection that the node is to be told of.
    fn connect(&mut self, listener: u16) -> ConnId {
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
            node_room: self.link.buffer,
            untaken: 0,
            case_speaks: true,
            case_hears: true,
            case_reads: Reading::default(),
        });
        self.inbox.push_back(Told::Opened(number, listener));
        ConnId(number)
    }

    /// A piece has reached the end it was sent to.
    fn deliver(&mut self, due: Due) {
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
        if conn.node_room < self.link.buffer / 2 && conn.untaken <= self.link.buffer / 2 {
            self.inbox.push_back(Told::Writable(number));
        }
    }

    fn pause_case(&mut self, number: u32, paused: bool) {
        self.conns[number as usize].case_reads.paused = paused;
        self.read_case(number);
    }

    fn close_case(&mut self, number: u32, how: Close) {
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
    fn lose_node(&mut self, how: Closed) -> Vec<ConnId> {
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
    fn hand_over(&mut self, told: Told, node: &mut dyn Node) {
        let now = self.now;
        match told {
            Told::Opened(number, listener) => {
                let Some(conn) = self.conns[number as usize].node else { return };
                let via = Via::Listener(listener);
                node.handle(now, Input::Opened { conn, via, peer: Peer::default(), room: self.link.buffer });
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
                end.node_room = self.link.buffer.saturating_sub(end.untaken);
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
    fn carry_out(&mut self, output: Output<'_>) {
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
struct Queue {
    heap: BinaryHeap<Due>,
    pushed: u64,
}

/// A piece under way. Of two that are due at the same moment, the one sent first comes first.
struct Due {
    at: Instant,
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

    fn peek(&self) -> Option<&Due> {
        self.heap.peek()
    }

    fn pop_if_due(&mut self, at: Instant) -> Option<Due> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each byte string with itself, one second later if it begins with `z`; obeys `q` (close), `x` (reset),
    /// `h` (half-close), `p` (pause reading for a second) and `b` (send ten bytes as long as there is room).
    #[derive(Default)]
    struct Echo {
        outputs: VecDeque<(ConnId, Do)>,
        timers: VecDeque<(Instant, ConnId, Do)>,
        opened: u8,
        sent: Vec<u8>,
        room: usize,
    }

    enum Do {
        Say(Vec<u8>),
        Close(Close),
        Pause(bool),
    }

    impl Node for Echo {
        fn handle(&mut self, now: Instant, input: Input<'_>) {
            match input {
                Input::Opened { conn, via: Via::Listener(listener), room, .. } => {
                    self.opened += 1;
                    self.room = room;
                    self.outputs.push_back((conn, Do::Say(vec![b'0' + self.opened, b'0' + listener as u8])));
                }
                Input::Bytes { conn, bytes } => match bytes[0] {
                    b'q' => self.outputs.push_back((conn, Do::Close(Close::Gracefully))),
                    b'x' => self.outputs.push_back((conn, Do::Close(Close::Abruptly))),
                    b'h' => self.outputs.push_back((conn, Do::Close(Close::HalfWay))),
                    b'p' => {
                        self.outputs.push_back((conn, Do::Pause(true)));
                        self.timers.push_back((now + Duration::from_secs(1), conn, Do::Pause(false)));
                    }
                    b'z' => self.timers.push_back((now + Duration::from_secs(1), conn, Do::Say(bytes.to_vec()))),
                    b'b' => self.fill(conn),
                    _ => self.outputs.push_back((conn, Do::Say(bytes.to_vec()))),
                },
                Input::Writable { conn, room } => {
                    self.room = room;
                    self.fill(conn);
                }
                Input::Wake => {
                    while self.timers.front().is_some_and(|timer| timer.0 <= now) {
                        let (_, conn, what) = self.timers.pop_front().unwrap();
                        self.outputs.push_back((conn, what));
                    }
                }
                _ => {}
            }
        }

        fn poll(&mut self) -> Option<Output<'_>> {
            let (conn, what) = self.outputs.pop_front()?;
            Some(match what {
                Do::Say(bytes) => {
                    self.sent = bytes;
                    Output::Send { conn, head: &self.sent, tail: None }
                }
                Do::Close(how) => Output::Close { conn, how },
                Do::Pause(paused) => Output::Pause { conn, paused },
            })
        }

        fn deadline(&self) -> Option<Instant> {
            self.timers.front().map(|timer| timer.0)
        }
    }

    impl Echo {
        fn fill(&mut self, conn: ConnId) {
            while self.room >= 10 {
                self.room -= 10;
                self.outputs.push_back((conn, Do::Say(vec![b'b'; 10])));
            }
        }
    }

    fn world() -> SimWorld<'static> {
        let link = Link { delay: Duration::from_millis(1), buffer: 100 };
        let start: Start<'static> = Box::new(|_| Box::new(Echo::default()));
        SimWorld::new(Rng::stream(1, "sim"), link, &[(Endpoint::Tcp, 0), (Endpoint::Ws, 3)], start)
    }

    /// All that arrives within ten seconds, as `conn@milliseconds:what`.
    fn hear(world: &mut SimWorld<'_>) -> String {
        let deadline = world.now() + Duration::from_secs(10);
        let mut words = Vec::new();
        while let Some(Arrival { at, conn, what }) = world.wait(deadline) {
            let what = match what {
                Arrived::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
                Arrived::Closed(how) => format!("{how:?}"),
            };
            words.push(format!("{}@{}:{what}", conn.0, at.as_nanos() / 1_000_000));
        }
        assert_eq!(world.now(), deadline);
        words.join(" ")
    }

    #[track_caller]
    fn check(play: impl FnOnce(&mut SimWorld<'_>, ConnId), expect: &str) {
        let mut world = world();
        let conn = world.open(Endpoint::Tcp).unwrap();
        play(&mut world, conn);
        assert_eq!(hear(&mut world), expect);
    }

    #[test]
    fn bytes_keep_their_order_and_take_the_delay_each_way() {
        check(|_, _| {}, "0@2:10");
        check(
            |world, conn| {
                world.send(conn, b"one");
                world.send(conn, b"two");
            },
            "0@2:10 0@4:one 0@4:two",
        );
        check(|world, conn| world.send(conn, b"zzz"), "0@2:10 0@1004:zzz");
    }

    #[test]
    fn listeners_are_found_by_their_endpoint() {
        let mut world = world();
        assert_eq!(world.open(Endpoint::Ws), Ok(ConnId(0)));
        assert_eq!(hear(&mut world), "0@2:13");
        assert_eq!(world.open(Endpoint::Tls), Err(Endpoint::Tls.missing().into()));
    }

    #[test]
    fn the_node_closes_in_each_manner() {
        check(|world, conn| world.send(conn, b"q"), "0@2:10 0@4:Finished");
        check(|world, conn| world.send(conn, b"x"), "0@2:10 0@4:Reset");
        // Half closed, it still reads: the second command turns the end into a reset that nobody is left to hear.
        check(
            |world, conn| {
                world.send(conn, b"h");
                world.send(conn, b"x");
            },
            "0@2:10 0@4:Finished",
        );
    }

    #[test]
    fn the_case_closes_in_each_manner() {
        let say_and_close = |how| {
            move |world: &mut SimWorld<'_>, conn| {
                world.send(conn, b"last");
                world.close(conn, how);
                world.send(conn, b"too late");
            }
        };
        // Only who closes half-way goes on hearing.
        check(say_and_close(Close::HalfWay), "0@2:10 0@4:last 0@4:Finished");
        for how in [Close::Gracefully, Close::Bluntly, Close::Abruptly, Close::Silently] {
            check(say_and_close(how), "");
        }
    }

    #[test]
    fn a_number_of_the_node_is_used_again_only_after_the_close() {
        let mut world = world();
        let first = world.open(Endpoint::Tcp).unwrap();
        world.close(first, Close::Silently);
        world.open(Endpoint::Tcp).unwrap();
        assert_eq!(world.net.known, [Some(0), Some(1)]);
        let third = world.open(Endpoint::Tcp).unwrap();
        world.close(third, Close::Abruptly);
        hear(&mut world);
        assert_eq!(world.net.known, [Some(0), Some(1), None]);
        world.open(Endpoint::Tcp).unwrap();
        assert_eq!(world.net.known, [Some(0), Some(1), Some(3)]);
    }

    #[test]
    fn what_a_paused_node_is_sent_waits_and_keeps_its_order() {
        check(
            |world, conn| {
                world.send(conn, b"p");
                world.send(conn, b"one");
                world.send(conn, b"two");
            },
            "0@2:10 0@1004:one 0@1004:two",
        );
        // A reset does not wait, and what was not read is lost.
        check(
            |world, conn| {
                world.send(conn, b"p");
                world.send(conn, b"one");
                world.close(conn, Close::Abruptly);
            },
            "",
        );
    }

    #[test]
    fn a_slow_reader_uses_up_the_room_and_gives_it_back() {
        check(
            |world, conn| {
                hear(world);
                world.pause(conn, true);
                world.send(conn, b"b");
                // Ten pieces of ten bytes fill the buffer, and nothing follows while nobody reads.
                assert_eq!(hear(world), "");
                assert_eq!(world.net.conns[0].untaken, 100);
                world.pause(conn, false);
                let full = world.wait(world.now()).map(|arrival| arrival.at);
                assert_eq!(full, Some(world.now()));
                world.close(conn, Close::Abruptly);
            },
            "",
        );
    }

    #[test]
    fn a_restart_ends_the_connections_and_begins_afresh() {
        check(
            |world, _| {
                world.sut(Sut::Stop).unwrap();
                let refused = world.open(Endpoint::Tcp).unwrap_err();
                assert!(matches!(refused, Undone::Broken(_)), "{refused}");
                world.sut(Sut::Start).unwrap();
                world.open(Endpoint::Tcp).unwrap();
                world.sut(Sut::Kill).unwrap();
            },
            "0@2:10 0@3:Finished 1@5:10 1@6:Reset",
        );
    }

    #[test]
    fn a_node_that_is_handed_on_remembers_and_knows_that_its_connections_are_gone() {
        let start: Start<'static> = Box::new(|stopped| stopped.unwrap_or_else(|| Box::new(Echo::default())));
        let mut world = SimWorld { start, ..world() };
        for how in [Sut::Stop, Sut::Kill] {
            let conn = world.open(Endpoint::Tcp).unwrap();
            world.send(conn, b"lost on the way");
            world.sut(how).unwrap();
            world.sut(how).unwrap();
            world.sut(Sut::Start).unwrap();
        }
        world.open(Endpoint::Tcp).unwrap();
        assert_eq!(hear(&mut world), "0@2:10 0@3:Finished 1@4:20 1@5:Reset 2@6:30");
        assert_eq!(world.net.known, [Some(2)]);
    }

    #[test]
    fn what_arrived_after_the_deadline_is_kept_for_later() {
        let mut world = world();
        let conn = world.open(Endpoint::Tcp).unwrap();
        world.send(conn, b"late");
        world.open(Endpoint::Tcp).unwrap();
        assert_eq!(world.wait(Instant::from_nanos(1_999_999)), None);
        assert_eq!(world.wait(Instant::from_nanos(2_000_000)).map(|arrival| arrival.conn), Some(conn));
        assert_eq!(hear(&mut world), "0@4:late 1@4:20");
    }

    #[test]
    fn a_node_that_panics_has_died_and_its_connections_end() {
        let start: Start<'static> = Box::new(|_| Box::new(Mortal));
        let mut world = SimWorld { node: Some(Box::new(Mortal)), start, ..world() };
        let conn = world.open(Endpoint::Tcp).unwrap();
        world.send(conn, b"live");
        assert_eq!((hear(&mut world).as_str(), world.death()), ("", None));
        world.send(conn, b"die");
        assert_eq!(hear(&mut world).split(':').next_back(), Some("Reset"));
        let death = world.death().unwrap_or_default();
        assert!(death.starts_with("the target panicked: as I was told (harness/src/sim.rs:"), "{death}");
        assert!(world.open(Endpoint::Tcp).is_err());
    }

    /// Panics when it is told to.
    struct Mortal;

    impl Node for Mortal {
        fn handle(&mut self, _: Instant, input: Input<'_>) {
            assert!(!matches!(input, Input::Bytes { bytes: b"die", .. }), "as I was told");
        }

        fn poll(&mut self) -> Option<Output<'_>> {
            None
        }

        fn deadline(&self) -> Option<Instant> {
            None
        }
    }

    #[test]
    fn a_case_that_never_ends_is_stopped() {
        let mut world = world();
        world.budget = 100;
        let conn = world.open(Endpoint::Tcp).unwrap();
        let endless = std::panic::AssertUnwindSafe(|| {
            loop {
                world.send(conn, b"again");
                world.wait(Instant::FAR);
            }
        });
        assert!(std::panic::catch_unwind(endless).is_err());
    }
}

//! A world in virtual time: one thread, seeded, bit-for-bit repeatable.
//!
//! The system under test is a [`Node`] in a box, so nothing here touches a socket or a clock. Time stands still while
//! the case or the node thinks, and jumps to the next event when the case waits. Events of one moment happen in the
//! order they were caused; a timer of the node comes after the bytes of its moment, so what arrives exactly at a
//! deadline is in time.
//!
//! The network between the two is a [`Wire`], ideal but for a constant delay: what bad networks do to a fleet is the matter
//! of [`crate::link`], and no verdict may hang on it.

mod net;

pub use net::Wire;
use net::{Net, Piece, Told, Way};

use crate::guard::catch;
use crate::node::{Close, Closed, ConnId, Input, Node};
use crate::rng::Rng;
use crate::time::Instant;
use crate::world::{Arrival, Broken, Endpoint, Sut, Undone, World};

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
    pub fn new(rng: Rng, wire: Wire, listeners: &[(Endpoint, u16)], start: Start<'a>) -> Self {
        let node = Some(start(None));
        Self {
            start,
            node,
            stopped: None,
            net: Net::new(wire),
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
        self.play_until(self.net.now + self.net.wire.delay);
        if self.node.is_none() {
            return Err(Broken("the connection was refused: the system under test is stopped".to_owned()).into());
        }
        let conn = self.net.connect(listener);
        self.settle();
        self.play_until(self.net.now + self.net.wire.delay);
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::*;
    use crate::node::{Output, Via};
    use crate::world::Arrived;

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
        let wire = Wire { delay: Duration::from_millis(1), buffer: 100 };
        let start: Start<'static> = Box::new(|_| Box::new(Echo::default()));
        SimWorld::new(Rng::stream(1, "sim"), wire, &[(Endpoint::Tcp, 0), (Endpoint::Ws, 3)], start)
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
        assert!(death.starts_with("the target panicked: as I was told (harness/src/sim/mod.rs:"), "{death}");
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

//! The fleet before a real server: the devices and their links as a node whose connections are sockets.
//!
//! Each connection of a device runs over its link as it does in virtual time; only at the far end stands no server but a
//! *gate*. What the link releases there goes to the socket of that connection, and what the socket brings is handed to the
//! link, which gives it to the device when it is due. So a device meets the same weather as in virtual time, whatever the
//! server is, and needs no privileges for it.
//!
//! Time is that of the driver. What is due is done when the driver looks, and as of the moment at which it was due; how
//! much later that was is measured. What came from a socket counts from the moment it was read.
//!
//! Where a device takes its leave, the socket stays until the server has closed it too: only that shows that the server has
//! read the goodbye, and must not publish the will. Who closed before it came, or was reset, or says nothing for
//! [`PARTING`], may or may not have read it, and is held to neither.
//!
//! Limits. At most [`DIALS`] sockets are opened at a time, the others wait for their turn. A device that reads slowly
//! stops the socket, and a server that reads slowly stops the device, each by the buffers of the two.

mod gate;

use std::collections::BTreeMap;
use std::time::Duration;

use harness::metrics::Spans;
use harness::node::{Input, Node, Output, Ticket};
use harness::time::Instant;

pub use self::gate::Gate;
use super::floor::Floor;
use super::simulation::Simulation;

/// How many sockets are being opened at most: fewer than servers commonly let wait in their backlog.
pub const DIALS: usize = 64;
/// How long a server may take to close a connection of which a device took its leave.
pub const PARTING: Duration = Duration::from_secs(5);

/// A ticket holds the group in its highest bits, then the number of the device, and the key of the dial in the lowest
/// ones: 24 bits for each of the two, and there are a million devices at most.
const KEY: u32 = 24;
const NUMBERS: u32 = (1 << KEY) - 1;

/// A fleet on its shore.
pub struct Shore {
    simulation: Simulation<'static, Gate>,
    now: Instant,
    /// Something came that was not carried out yet.
    stirred: bool,
    /// When it wanted to be woken.
    due: Option<Instant>,
    late: Spans,
}

/// What became of a run.
pub struct Landed {
    /// The books.
    pub floor: Floor,
    /// How many devices were connected in the end.
    pub connected: u32,
    /// How much later than it was due everything was done.
    pub late: Spans,
    /// How long connections waited for their turn.
    pub waited: Spans,
    /// Why sockets could not be opened, and how often.
    pub failures: BTreeMap<String, u64>,
}

impl Shore {
    /// Puts it there.
    pub fn new(simulation: Simulation<'static, Gate>) -> Self {
        let due = simulation.next();
        Self { simulation, now: Instant::ZERO, stirred: false, due, late: Spans::default() }
    }

    /// The fleet.
    pub const fn fleet(&self) -> &Simulation<'static, Gate> {
        &self.simulation
    }

    /// The group of the device for which a connection is asked for, and its number in the group.
    pub const fn caller(ticket: Ticket) -> (usize, u32) {
        ((ticket.0 >> 48) as usize, (ticket.0 >> KEY) as u32 & NUMBERS)
    }

    /// Ends the run.
    pub fn land(mut self) -> Landed {
        let gate = self.simulation.server().map(std::mem::take).unwrap_or_default();
        let connected = self.simulation.connected();
        let floor = self.simulation.into_floor();
        Landed { floor, connected, late: self.late, waited: gate.waited, failures: gate.failures }
    }

    /// Does what is due, and what came.
    fn carry_out(&mut self) {
        self.stirred = false;
        if let Some(due) = self.due.filter(|due| *due <= self.now) {
            self.late.record(self.now - due);
        }
        self.simulation.play_until(self.now);
        if let Some(gate) = self.simulation.server() {
            gate.now = self.now;
            gate.give_up_parting();
            gate.let_in();
            for conn in std::mem::take(&mut gate.heard_out) {
                self.simulation.heard_out(conn);
            }
            self.simulation.hear();
            self.simulation.play_until(self.now);
        }
        let parting = self.simulation.server().and_then(|gate| gate.parting.front().map(|&(until, _)| until));
        self.due = self.simulation.next().into_iter().chain(parting).min();
    }
}

impl Node for Shore {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        self.stirred = true;
        if let Some(gate) = self.simulation.server() {
            gate.now = now;
            gate.came(input);
        }
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        if self.stirred {
            self.carry_out();
        }
        let simulation = &mut self.simulation;
        let next = simulation.server()?.next_dial();
        if let Some((key, conn)) = next {
            let (group, number) = simulation.caller(conn)?;
            let ticket = Ticket((group as u64) << 48 | u64::from(number & NUMBERS) << KEY | key as u64);
            return Some(Output::Open { ticket });
        }
        simulation.server()?.outward.poll()
    }

    fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use harness::link::Profile;
    use harness::node::{Close, Closed, ConnId, Peer, Via};
    use harness::rng::Rng;

    use super::*;
    use crate::broker::{Broker, Settings};
    use crate::fleet::run::{Outcome, Played, options, play};
    use crate::fleet::shard::Shard;
    use crate::links;
    use crate::scenario::{self, plan::Plan};

    const SCENARIO: &str = r#"Scenario(about: "a test", lasts: "4m", calm: "30s",
        links: { "far": Profile("lte-m"), "slow": Link(delay: (mean: "100ms"), kbit: 20, loss: 0.02) },
        fleet: [
            (name: "meter", count: 8, link: "far", starts: Ramp("10s"), keep_alive: "20s",
             session: (clean_start: false, expiry: "1h"), will: (topic: "gone/{id}", qos: 1),
             does: [Publish(topic: "m/{id}", qos: 1, every: "5s", size: 100), Listen(filter: "to/{id}", qos: 2)]),
            (name: "hub", count: 1, does: [
                Listen(filter: "m/+", qos: 1), Listen(filter: "gone/+", qos: 1),
                Publish(topic: "to/meter-3", qos: 2, every: "2s", size: 3000),
            ]),
            (name: "tap", count: 1, link: "slow", reads: 500, does: [Listen(filter: "m/+", qos: 0)]),
        ],
        timeline: [
            At("1m", Cut(group: "meter", share: 0.5, lasts: "50s")),
            At("150s", Reset(group: "meter", share: 0.5)),
        ])"#;

    fn plan() -> Plan {
        scenario::check(SCENARIO, &links::all()).expect("a legal scenario")
    }

    /// What becomes of goodbyes.
    #[derive(Clone, Copy, PartialEq)]
    enum Goodbye {
        Heard,
        /// The connection is reset as they come, and nobody reads them.
        Reset,
        /// The server has closed, as after too long a silence, in the moment before the first of them comes.
        TooLate,
        /// The server does not close in answer.
        Unanswered,
    }

    /// Plays before a broker whose sockets take no time, and say that they are full after `room` bytes.
    fn ashore(plan: Plan, room: usize, goodbye: Goodbye) -> Played {
        let (seed, end) = (plan.seed, Instant::ZERO + plan.lasts + plan.calm);
        let options: Vec<_> = plan.groups.iter().map(options).collect();
        let floor = Floor::new(plan, seed).expect("a small one");
        let simulation = Simulation::with_server(floor, Shard::WHOLE, &options, Gate::default())
            .map_err(|_| "a bad CONNECT")
            .expect("legal");
        let mut shore = Shore::new(simulation);
        let settings = Settings { anonymous: true, ..Settings::default() };
        let mut broker = Broker::new(settings, Rng::stream(seed, "broker"));
        // The group at the other end of each.
        let mut sockets: BTreeMap<u32, usize> = BTreeMap::new();
        let (mut next, mut closed) = (0, false);
        loop {
            let now = shore.deadline().into_iter().chain(broker.deadline()).min().unwrap_or(end).min(end);
            shore.handle(now, Input::Wake);
            broker.handle(now, Input::Wake);
            if goodbye == Goodbye::TooLate && !closed && shore.deadline().is_some_and(|due| due.elapsed() >= LEAVES) {
                closed = true;
                for conn in sockets.extract_if(.., |_, group| *group == 0).map(|(number, _)| ConnId(number)) {
                    broker.handle(now, Input::Closed { conn, how: Closed::Reset });
                    shore.handle(now, Input::Closed { conn, how: Closed::Finished });
                }
            }
            loop {
                let mut told = Vec::new();
                while let Some(output) = shore.poll() {
                    told.push((true, owned(output)));
                }
                while let Some(output) = broker.poll() {
                    told.push((false, owned(output)));
                }
                if told.is_empty() {
                    break;
                }
                for (ours, what) in told {
                    let peer: &mut dyn Node = if ours { &mut broker } else { &mut shore };
                    match what {
                        Said::Open(ticket) => {
                            let conn = ConnId(next);
                            next += 1;
                            sockets.insert(conn.0, Shore::caller(ticket).0);
                            let via = Via::Listener(0);
                            peer.handle(now, Input::Opened { conn, via, peer: Peer::default(), room: 1 << 20 });
                            let via = Via::Ticket(ticket);
                            shore.handle(now, Input::Opened { conn, via, peer: Peer::default(), room });
                        }
                        Said::Send(conn, bytes) if goodbye == Goodbye::Reset && ours && bytes == DISCONNECT => {
                            sockets.remove(&conn.0);
                            for node in [&mut broker as &mut dyn Node, &mut shore] {
                                node.handle(now, Input::Closed { conn, how: Closed::Reset });
                            }
                        }
                        Said::Send(conn, bytes) if sockets.contains_key(&conn.0) => {
                            peer.handle(now, Input::Bytes { conn, bytes: &bytes });
                            let us: &mut dyn Node = if ours { &mut shore } else { &mut broker };
                            us.handle(now, Input::Writable { conn, room: if ours { room } else { 1 << 20 } });
                        }
                        Said::Close(conn, how) if sockets.remove(&conn.0).is_some() => {
                            let closed = if how == Close::Abruptly { Closed::Reset } else { Closed::Finished };
                            peer.handle(now, Input::Closed { conn, how: closed });
                            let us: &mut dyn Node = if ours { &mut shore } else { &mut broker };
                            // Who hears the end of the other's half ends its own.
                            match how {
                                Close::HalfWay if goodbye == Goodbye::Unanswered => {}
                                Close::HalfWay => us.handle(now, Input::Closed { conn, how: Closed::Finished }),
                                _ => us.handle(now, Input::Closed { conn, how: Closed::Here }),
                            }
                        }
                        Said::Send(..) | Said::Close(..) | Said::Nothing => {}
                    }
                }
            }
            if now == end {
                break;
            }
        }
        let Landed { floor, connected, failures, .. } = shore.land();
        assert_eq!(failures.len(), 0);
        let Floor { plan, roster, ledger, tally, .. } = floor;
        Played { plan, roster, outcome: Outcome { balance: ledger.settle(end), tally, retained: None, connected } }
    }

    /// A goodbye of 5.0 and of its elders.
    const DISCONNECT: [u8; 2] = [0xE0, 0];
    /// When the first device of these leaves takes its leave.
    const LEAVES: Duration = Duration::from_secs(10);
    const LEAVERS: &str = r#"Scenario(about: "a test", lasts: "1m", calm: "1m", fleet: [
            (name: "meter", count: 1, will: (topic: "gone/{id}", qos: 1), duty_cycle: (on: "10s", off: "20s")),
            (name: "hub", count: 1, does: [Listen(filter: "gone/+", qos: 1)]),
        ], expect: [WillsExact])"#;

    enum Said {
        Open(Ticket),
        Send(ConnId, Vec<u8>),
        Close(ConnId, Close),
        Nothing,
    }

    fn owned(output: Output<'_>) -> Said {
        match output {
            Output::Open { ticket } => Said::Open(ticket),
            Output::Send { conn, head, tail } => {
                Said::Send(conn, [head, tail.map_or(&[][..], |tail| tail.as_slice())].concat())
            }
            Output::Close { conn, how } => Said::Close(conn, how),
            Output::Pause { .. } | Output::Ask { .. } | Output::Note { .. } => Said::Nothing,
        }
    }

    #[test]
    fn before_a_real_server_the_fleet_meets_what_it_meets_in_virtual_time() {
        let virtually = play(plan(), Shard::WHOLE).expect("a small scenario").outcome;
        for room in [1 << 20, 64] {
            let real = ashore(plan(), room, Goodbye::Heard).outcome;
            assert_eq!(real.balance, virtually.balance, "room {room}");
            assert_eq!(real.tally, virtually.tally, "room {room}");
            assert_eq!(real.connected, virtually.connected);
        }
    }

    #[test]
    fn only_a_server_that_read_a_goodbye_must_not_publish_the_will() {
        let check = |goodbye, wills: u64| {
            let plan = scenario::check(LEAVERS, &links::all()).expect("a legal scenario");
            let report = ashore(plan, 1 << 20, goodbye).report();
            let came: u64 = report.messages.iter().map(|books| books.account.arrived).sum();
            assert!(report.is_met() && came == wills, "{came}\n{}", report.text());
        };
        check(Goodbye::Heard, 0);
        check(Goodbye::Reset, 2);
        check(Goodbye::TooLate, 1);
        check(Goodbye::Unanswered, 0);
    }

    #[test]
    fn sockets_are_opened_a_few_at_a_time_and_what_failed_is_told() {
        let text = r#"Scenario(about: "a test", lasts: "1m", fleet: [(name: "a", count: 200, does: [])])"#;
        let profiles: [(&str, Profile); 0] = [];
        let plan = scenario::check(text, &profiles).expect("a legal scenario");
        let options: Vec<_> = plan.groups.iter().map(options).collect();
        let floor = Floor::new(plan, 1).expect("a small one");
        let simulation = Simulation::with_server(floor, Shard::WHOLE, &options, Gate::default())
            .map_err(|_| "a bad CONNECT")
            .expect("legal");
        let mut shore = Shore::new(simulation);
        let mut now = Instant::from_nanos(1_000_000);
        shore.handle(now, Input::Wake);
        let asked = |shore: &mut Shore| {
            let mut tickets = Vec::new();
            while let Some(output) = shore.poll() {
                if let Output::Open { ticket } = output {
                    tickets.push(ticket);
                }
            }
            tickets
        };
        let first = asked(&mut shore);
        assert_eq!(first.len(), DIALS);
        assert!(first.iter().map(|&ticket| Shore::caller(ticket)).all(|(group, number)| group == 0 && number < 200));
        now = Instant::from_nanos(2_000_000_000);
        for ticket in first.into_iter().take(10) {
            shore.handle(now, Input::Refused { ticket, why: "nobody there" });
        }
        assert_eq!(asked(&mut shore).len(), 10);
        let landed = shore.land();
        assert_eq!(landed.failures, BTreeMap::from([("nobody there".to_owned(), 10)]));
        assert_eq!(landed.waited.count(), DIALS as u64 + 10);
    }
}

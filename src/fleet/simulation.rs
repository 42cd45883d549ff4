//! The fleet in virtual time: all devices, their links and the server in one thread, the same for the same seed.
//!
//! A wheel holds one entry for each device, when it or its line has something to do, and one for the server. Bytes cross a
//! line as its streams release them, so a device meets what TCP makes of the weather, and not the weather itself.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use harness::fault::Fault;
use harness::link::{Arrived, End, Link, Outages, Profile, Reading, Stack};
use harness::node::{Close, Closed, ConnId, Input, Node, Output, Peer, Ticket, Via};
use harness::rng::Draws;
use harness::time::Instant;
use harness::wheel::Wheel;

use super::device::{self, Device};
use super::floor::Floor;
use super::line::Line;
use super::shard::Shard;
use super::visitor::{Kept, Visitor, visit};
use crate::client::{Misuse, Options};
use crate::scenario::plan::{Group, Happening, Moment, Plan};
use crate::scenario::schema::{Keeps, Phase};

/// Starts the server.
pub type Start<'a, S> = Box<dyn Fn() -> S + 'a>;

/// A run in virtual time, or in time that somebody else tells, with a server of type `S`.
pub struct Simulation<'a, S = Box<dyn Node>> {
    /// What the devices stand on.
    pub floor: Floor,
    devices: Vec<Device>,
    lines: Vec<Line>,
    /// The devices of each group that are played here.
    groups: Vec<Range<u32>>,
    /// For which moment each device stands in the wheel.
    due: Vec<Instant>,
    wheel: Wheel<Due>,
    now: Instant,
    /// How often something was due.
    events: u64,
    /// Absent where the server only leads to a real one, which comes and goes without us.
    start: Option<Start<'a, S>>,
    server: Option<S>,
    /// The server while it is away, if it keeps what it knows.
    stopped: Option<S>,
    /// Until when the server is away, or was when it last was.
    away_until: Instant,
    /// A real server is away, and forgets everything at a moment that only it knows.
    forgets: bool,
    server_due: Instant,
    /// By the server's number of a connection: device and place on its line.
    seats: Vec<Option<(u32, u32)>>,
    free: Vec<u32>,
    /// What the server is to be told at this moment.
    inbox: VecDeque<Told>,
    /// What was done to devices and ends by itself.
    draws: Draws,
}

/// What is due.
#[derive(Clone, Copy, Debug)]
enum Due {
    Device(u32),
    Server,
    /// This place of the timeline begins, or ends.
    Begins(u32),
    Ends(u32),
    /// The server is back.
    Returns,
    Calm,
}

enum Told {
    Closed(ConnId, Closed),
    Answer(Ticket, Vec<u8>),
    Wake,
}

impl<'a, S: Node> Simulation<'a, S> {
    /// The devices of `shard` switched off, and a server that was started. `options` are those of each group.
    ///
    /// # Errors
    /// Where no CONNECT could say what the plan asks for: the group and why.
    pub fn new(
        floor: Floor,
        shard: Shard,
        options: &[Arc<Options>],
        start: Start<'a, S>,
    ) -> Result<Self, (usize, Misuse)> {
        let server = start();
        Self::build(floor, shard, options, server, Some(start))
    }

    /// The devices of `shard` switched off, and what leads to a real server.
    ///
    /// # Errors
    /// As [`Simulation::new`].
    pub fn with_server(
        floor: Floor,
        shard: Shard,
        options: &[Arc<Options>],
        server: S,
    ) -> Result<Self, (usize, Misuse)> {
        Self::build(floor, shard, options, server, None)
    }

    fn build(
        floor: Floor,
        shard: Shard,
        options: &[Arc<Options>],
        server: S,
        start: Option<Start<'a, S>>,
    ) -> Result<Self, (usize, Misuse)> {
        let seed = floor.plan.seed;
        let fleet = Draws::stream(seed, device::DRAWS);
        let count = floor.plan.groups.iter().map(|group| shard.count(group.count)).sum::<u32>() as usize;
        let mut simulation = Self {
            devices: Vec::with_capacity(count),
            lines: Vec::with_capacity(count),
            groups: Vec::with_capacity(options.len()),
            due: Vec::new(),
            wheel: Wheel::default(),
            now: Instant::ZERO,
            events: 0,
            server: Some(server),
            stopped: None,
            away_until: Instant::ZERO,
            forgets: false,
            start,
            server_due: Instant::FAR,
            seats: Vec::new(),
            free: Vec::new(),
            inbox: VecDeque::new(),
            draws: Draws::stream(seed, "timeline"),
            floor,
        };
        for (group, options) in options.iter().enumerate() {
            let plan = &simulation.floor.plan.groups[group];
            let (profile, share) = (Arc::new(link(&simulation.floor.plan, group)), plan.share_outages);
            let end = Instant::ZERO + simulation.floor.plan.lasts;
            let region = simulation.floor.regions[group].clone();
            let habit = plan.reads.map_or(Reading::Prompt, Reading::at_rate);
            let mut outages = region.clone();
            let first = simulation.devices.len() as u32;
            for number in 0..plan.count {
                let name = format!("{}-{number}", simulation.floor.plan.groups[group].name);
                if region.is_none() && share > 1 && number % share == 0 {
                    outages = profile.outages.as_ref().map(|spells| Outages::drawn(spells, seed, &name, end));
                }
                if !shard.plays(number) {
                    continue;
                }
                let mut link = Link::new(Arc::clone(&profile), seed, &name);
                if let Some(outages) = &outages {
                    link = link.sharing(Arc::clone(outages));
                }
                let device =
                    Device::new(&simulation.floor, group, number, options, &fleet).map_err(|why| (group, why))?;
                simulation.devices.push(device);
                let mut line = Line::new(link);
                line.heal(Instant::ZERO, habit);
                simulation.lines.push(line);
            }
            simulation.groups.push(first..simulation.devices.len() as u32);
        }
        simulation.due = vec![Instant::FAR; simulation.devices.len()];
        for device in 0..simulation.devices.len() as u32 {
            simulation.plan(device);
        }
        for (place, moment) in simulation.floor.plan.timeline.iter().enumerate() {
            simulation.wheel.push(Instant::ZERO + moment.at, Due::Begins(place as u32));
        }
        simulation.wheel.push(Instant::ZERO + simulation.floor.plan.lasts, Due::Calm);
        Ok(simulation)
    }

    /// The present moment.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// A moment before which nothing is due, and close to the first thing that is.
    pub fn next(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// The server, while it is there, to be told something at the present moment; [`Simulation::hear`] then.
    pub fn server(&mut self) -> Option<&mut S> {
        self.server.as_mut()
    }

    /// Does what the server wants done at the present moment.
    pub fn hear(&mut self) {
        self.floor.ledger.at(self.now);
        self.serve();
    }

    /// A real server has read all that a device said on a connection, and closed it after that.
    pub fn heard_out(&mut self, conn: ConnId) {
        let Some((device, place)) = self.seats.get(conn.0 as usize).copied().flatten() else { return };
        let group = self.devices[device as usize].group();
        // Where others have its identifier, one of them may have thrown it out before.
        if self.floor.plan.groups[group].clones == 1 {
            self.devices[device as usize].heard_out(self.now, ConnId(place), &mut self.floor);
        }
    }

    /// The device at the other end of a connection of the server: its group, and its number in it.
    pub fn caller(&self, conn: ConnId) -> Option<(usize, u32)> {
        let (device, _) = self.seats.get(conn.0 as usize).copied().flatten()?;
        let device = &self.devices[device as usize];
        Some((device.group(), device.number()))
    }

    /// How many messages wait for the server's answer, or for their turn.
    pub fn outstanding(&self) -> usize {
        self.devices.iter().map(Device::outstanding).sum()
    }

    /// How often something was due so far.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// How many devices are connected.
    pub fn connected(&self) -> u32 {
        self.devices.iter().filter(|device| device.is_connected()).count() as u32
    }

    /// Ends the run and keeps its books.
    pub fn into_floor(mut self) -> Floor {
        for device in &mut self.devices {
            device.settle(self.now, &mut self.floor);
        }
        self.floor
    }

    /// What a late subscriber gets now.
    pub fn retained(&mut self, visitor: Visitor) -> Vec<Kept> {
        let conn = ConnId(self.seats.len() as u32);
        self.server.as_mut().map_or_else(Vec::new, |server| visit(visitor, server, conn, self.now))
    }

    /// Plays up to `moment`.
    pub fn play_until(&mut self, moment: Instant) {
        while let Some((at, due)) = self.wheel.pop_until(moment) {
            self.now = at;
            self.floor.ledger.at(at);
            self.events += 1;
            match due {
                Due::Device(device) => {
                    if self.due[device as usize] == at {
                        self.due[device as usize] = Instant::FAR;
                        self.attend(device);
                    }
                }
                Due::Server => {
                    if self.server_due == at {
                        self.server_due = Instant::FAR;
                        self.inbox.push_back(Told::Wake);
                        self.serve();
                    }
                }
                Due::Begins(place) => self.begin(place),
                Due::Ends(place) => self.end(place),
                Due::Returns => {
                    if self.away_until == at {
                        self.bring_back();
                    }
                }
                Due::Calm => self.calm(),
            }
        }
        self.now = self.now.max(moment);
    }

    /// Puts a device into the wheel for its next moment, unless it stands there already.
    fn plan(&mut self, device: u32) {
        let place = device as usize;
        let deadline = self.devices[place].deadline().into_iter().chain(self.lines[place].deadline()).min();
        let Some(at) = deadline.map(|at| at.max(self.now)) else { return };
        if at < self.due[place] {
            self.due[place] = at;
            self.wheel.push(at, Due::Device(device));
        }
    }

    /// A device or its line has something to do.
    fn attend(&mut self, device: u32) {
        let place = device as usize;
        while let Some((strand, arrival)) = self.lines[place].poll(self.now) {
            match arrival.end {
                End::Device => self.reach_device(device, strand, arrival.what),
                End::Server => self.reach_server(device, strand, arrival.what),
            }
        }
        if self.devices[place].deadline().is_some_and(|at| at <= self.now) {
            self.devices[place].handle(self.now, Input::Wake, &mut self.floor);
            self.carry_out(device);
        }
        self.serve();
        self.look_for_room(device);
        self.lines[place].tidy();
        self.plan(device);
    }

    /// Something reached the device.
    fn reach_device(&mut self, device: u32, place: usize, what: Arrived) {
        let Some(strand) = self.lines[device as usize].strand(place) else { return };
        if !strand.device {
            // Nobody listens: what comes is thrown away.
            if let Arrived::Bytes(count) = what {
                strand.take(End::Device, count);
            }
            return;
        }
        let conn = ConnId(place as u32);
        let (now, floor) = (self.now, &mut self.floor);
        let device_core = &mut self.devices[device as usize];
        match what {
            Arrived::Opened => {
                let Some(ticket) = strand.ticket.take() else { return };
                let room = strand.tell_room(End::Device);
                let (via, peer) = (Via::Ticket(*ticket), Peer::default());
                device_core.handle(now, Input::Opened { conn, via, peer, room }, floor);
            }
            Arrived::Bytes(count) => {
                let bytes = strand.take(End::Device, count);
                device_core.handle(now, Input::Bytes { conn, bytes }, floor);
            }
            Arrived::Closed(how) => {
                strand.device = false;
                match strand.ticket.take() {
                    Some(ticket) => {
                        device_core.handle(now, Input::Refused { ticket: *ticket, why: "no answer" }, floor);
                    }
                    None => device_core.handle(now, Input::Closed { conn, how }, floor),
                }
                if how == Closed::Finished {
                    self.lines[device as usize].close(now, place, End::Device, Close::Gracefully);
                }
            }
        }
        self.carry_out(device);
    }

    /// Something reached the server.
    fn reach_server(&mut self, device: u32, place: usize, what: Arrived) {
        let now = self.now;
        let line = &mut self.lines[device as usize];
        let Some(strand) = line.strand(place) else { return };
        let Some(server) = &mut self.server else {
            // Nobody is at home: the operating system refuses.
            if what == Arrived::Opened {
                line.close(now, place, End::Server, Close::Abruptly);
            }
            return;
        };
        match what {
            Arrived::Opened => {
                let number = self.free.pop().unwrap_or_else(|| {
                    self.seats.push(None);
                    self.seats.len() as u32 - 1
                });
                self.seats[number as usize] = Some((device, place as u32));
                let conn = ConnId(number);
                strand.server = Some(conn);
                if self.start.is_none() {
                    self.devices[device as usize].may_be_heard_before_its_goodbye();
                }
                let room = strand.tell_room(End::Server);
                server.handle(now, Input::Opened { conn, via: Via::Listener(0), peer: Peer::default(), room });
            }
            Arrived::Bytes(count) => {
                let conn = strand.server;
                let bytes = strand.take(End::Server, count);
                if let Some(conn) = conn {
                    server.handle(now, Input::Bytes { conn, bytes });
                    if self.start.is_some() && !strand.device && strand.is_heard_out() {
                        self.devices[device as usize].heard_out(now, ConnId(place as u32), &mut self.floor);
                    }
                }
            }
            // What leads to a real server closes when that does.
            Arrived::Closed(how @ Closed::Finished) if self.start.is_none() => {
                if let Some(conn) = strand.server {
                    server.handle(now, Input::Closed { conn, how });
                }
            }
            Arrived::Closed(how) => {
                if let Some(conn) = strand.server.take() {
                    self.inbox.push_back(Told::Closed(conn, how));
                }
                if how == Closed::Finished {
                    line.close(now, place, End::Server, Close::Gracefully);
                }
            }
        }
        self.serve();
    }

    /// Does what a device wants done.
    fn carry_out(&mut self, device: u32) {
        let now = self.now;
        let line = &mut self.lines[device as usize];
        let mut closed = None;
        while let Some(output) = self.devices[device as usize].poll() {
            match output {
                Output::Open { ticket } => line.open(now, ticket),
                Output::Send { conn, head, tail } => line.send(now, conn.0 as usize, End::Device, head, tail),
                Output::Pause { conn, paused } => {
                    line.pause(now, conn.0 as usize, End::Device, paused);
                }
                Output::Close { conn, how } => {
                    line.close(now, conn.0 as usize, End::Device, how);
                    if let Some(strand) = line.strand(conn.0 as usize) {
                        strand.device = false;
                        closed = Some(conn);
                    }
                }
                Output::Ask { .. } | Output::Note { .. } => {}
            }
        }
        if let Some(conn) = closed {
            let how = Closed::Here;
            self.devices[device as usize].handle(now, Input::Closed { conn, how }, &mut self.floor);
            self.carry_out(device);
        }
    }

    /// Tells the server what it is to be told, and does what it wants done, until neither is left.
    fn serve(&mut self) {
        let now = self.now;
        loop {
            let Some(server) = &mut self.server else {
                self.inbox.clear();
                return;
            };
            while let Some(output) = server.poll() {
                match output {
                    Output::Send { conn, head, tail } => {
                        if let Some((device, place)) = self.seats.get(conn.0 as usize).copied().flatten() {
                            self.lines[device as usize].send(now, place as usize, End::Server, head, tail);
                            schedule(&mut self.wheel, &mut self.due, &self.lines, device, now);
                        }
                    }
                    Output::Pause { conn, paused } => {
                        if let Some((device, place)) = self.seats.get(conn.0 as usize).copied().flatten() {
                            self.lines[device as usize].pause(now, place as usize, End::Server, paused);
                            schedule(&mut self.wheel, &mut self.due, &self.lines, device, now);
                        }
                    }
                    Output::Close { conn, how } => {
                        if let Some((device, place)) = self.seats.get(conn.0 as usize).copied().flatten() {
                            let line = &mut self.lines[device as usize];
                            line.close(now, place as usize, End::Server, how);
                            if let Some(strand) = line.strand(place as usize) {
                                strand.server = None;
                            }
                            self.inbox.push_back(Told::Closed(conn, Closed::Here));
                            schedule(&mut self.wheel, &mut self.due, &self.lines, device, now);
                        }
                    }
                    Output::Ask { ticket, work } => self.inbox.push_back(Told::Answer(ticket, work())),
                    Output::Open { .. } | Output::Note { .. } => {}
                }
            }
            let Some(told) = self.inbox.pop_front() else { break };
            match told {
                Told::Closed(conn, how) => {
                    if self.seats[conn.0 as usize].take().is_some() {
                        self.free.push(conn.0);
                        server.handle(now, Input::Closed { conn, how });
                    }
                }
                Told::Answer(ticket, bytes) => server.handle(now, Input::Answer { ticket, bytes: &bytes }),
                Told::Wake => server.handle(now, Input::Wake),
            }
        }
        if let Some(at) = self.server.as_ref().and_then(|server| server.deadline()).map(|at| at.max(now))
            && at < self.server_due
        {
            self.server_due = at;
            self.wheel.push(at, Due::Server);
        }
    }

    /// Tells both ends of the connections of a device of room that they have again.
    fn look_for_room(&mut self, device: u32) {
        for place in 0..self.lines[device as usize].places() {
            let Some(strand) = self.lines[device as usize].strand(place) else { continue };
            if let Some(conn) = strand.server
                && strand.has_room_again(End::Server)
            {
                let room = strand.tell_room(End::Server);
                if let Some(server) = &mut self.server {
                    server.handle(self.now, Input::Writable { conn, room });
                    self.serve();
                }
            }
            let Some(strand) = self.lines[device as usize].strand(place) else { continue };
            if strand.device && strand.ticket.is_none() && strand.has_room_again(End::Device) {
                let room = strand.tell_room(End::Device);
                let conn = ConnId(place as u32);
                self.devices[device as usize].handle(self.now, Input::Writable { conn, room }, &mut self.floor);
                self.carry_out(device);
            }
        }
    }

    /// The devices of a group that something at this place of the timeline happens to.
    fn chosen(&self, place: u32, group: usize, share: f64) -> Vec<u32> {
        self.groups[group].clone().filter(|&device| self.is_chosen(place, device, share)).collect()
    }

    fn is_chosen(&self, place: u32, device: u32, share: f64) -> bool {
        let device = &self.devices[device as usize];
        let number = self.floor.roster.devices(device.group()).start + device.number();
        self.draws.branch(u64::from(place)).at(u64::from(number)) < share
    }

    /// Something of the timeline begins.
    fn begin(&mut self, place: u32) {
        let now = self.now;
        let what = self.floor.plan.timeline[place as usize].what.clone();
        let ends = match &what {
            Happening::Link { lasts, .. } => *lasts,
            _ => None,
        };
        match what {
            Happening::Link { group, share, fault, .. } => {
                for device in self.chosen(place, group, share) {
                    self.lines[device as usize].suffer(now, fault);
                    self.attend(device);
                }
            }
            Happening::Heal(group) => self.heal(group, self.chosen(place, group, 1.0)),
            Happening::Leave { group, share, lasts } => {
                let until = lasts.map_or(Instant::FAR, |lasts| now + lasts);
                for device in self.chosen(place, group, share) {
                    self.devices[device as usize].leave(now, until, &mut self.floor);
                    self.carry_out(device);
                    self.attend(device);
                }
            }
            Happening::Restart { keeps, lasts } => self.restart(keeps, lasts),
        }
        if let Some(lasts) = ends {
            self.wheel.push(now + lasts, Due::Ends(place));
        }
    }

    /// Something of the timeline ends by itself.
    fn end(&mut self, place: u32) {
        if let Happening::Link { group, share, .. } = self.floor.plan.timeline[place as usize].what {
            self.heal(group, self.chosen(place, group, share));
        }
    }

    /// What was done to these devices of a group ends, but for what is in force at this moment.
    fn heal(&mut self, group: usize, devices: impl IntoIterator<Item = u32>) {
        let now = self.now;
        if suffers(&self.floor.plan, group) {
            self.floor.healed[group] = now;
        }
        let habit = self.floor.plan.groups[group].reads.map_or(Reading::Prompt, Reading::at_rate);
        let in_force = self.in_force(group);
        for device in devices {
            self.lines[device as usize].heal(now, habit);
            for &(place, share, fault) in &in_force {
                if self.is_chosen(place, device, share) {
                    self.lines[device as usize].suffer(now, fault);
                }
            }
            self.attend(device);
        }
    }

    /// What was done to the links of a group and has not ended: its place in the timeline, the share it was done to, and
    /// what.
    fn in_force(&self, group: usize) -> Vec<(u32, f64, Fault)> {
        let mut found = Vec::new();
        if self.floor.phase == Phase::Calm {
            return found;
        }
        for (place, moment) in self.floor.plan.timeline.iter().enumerate() {
            let began = Instant::ZERO + moment.at;
            match moment.what {
                _ if began > self.now => break,
                Happening::Heal(healed) if healed == group => found.clear(),
                Happening::Link { group: whose, share, lasts, fault }
                    if whose == group && fault.lasts() && lasts.is_none_or(|lasts| began + lasts > self.now) =>
                {
                    found.push((place as u32, share, fault));
                }
                _ => {}
            }
        }
        found
    }

    /// The server goes, and comes back.
    fn restart(&mut self, keeps: Keeps, lasts: Duration) {
        if self.start.is_some() {
            self.take_away(keeps);
        }
        if keeps == Keeps::Nothing {
            self.floor.forget(self.now);
            self.forgets = self.start.is_none();
        }
        self.away_until = self.away_until.max(self.now + lasts);
        self.wheel.push(self.away_until, Due::Returns);
    }

    /// The server is stopped.
    fn take_away(&mut self, keeps: Keeps) {
        let now = self.now;
        // The operating system ends its connections.
        let seats: Vec<_> = self.seats.iter().flatten().copied().collect();
        for (device, place) in seats {
            self.lines[device as usize].close(now, place as usize, End::Server, Close::Abruptly);
            if let Some(conn) =
                self.lines[device as usize].strand(place as usize).and_then(|strand| strand.server.take())
            {
                self.inbox.push_back(Told::Closed(conn, Closed::Reset));
            }
            schedule(&mut self.wheel, &mut self.due, &self.lines, device, now);
        }
        match keeps {
            Keeps::State => {
                self.serve();
                // Stopped while it is stopped, it stays so until the later return.
                self.stopped = self.server.take().or(self.stopped.take());
            }
            Keeps::Nothing => {
                self.inbox.clear();
                self.server = None;
                self.stopped = None;
            }
        }
        self.seats.clear();
        self.free.clear();
        self.server_due = Instant::FAR;
    }

    /// The server is there again; whoever lost it recovers from now on.
    fn bring_back(&mut self) {
        let Some(start) = &self.start else {
            if std::mem::take(&mut self.forgets) {
                self.floor.forget(self.now);
            }
            return self.floor.healed.fill(self.now);
        };
        if self.server.is_none() {
            self.server = Some(self.stopped.take().unwrap_or_else(start));
            self.floor.healed.fill(self.now);
            self.inbox.push_back(Told::Wake);
            self.serve();
        }
    }

    /// The calm begins: all is healed.
    fn calm(&mut self) {
        self.floor.phase = Phase::Calm;
        if self.away_until >= self.now {
            self.bring_back();
        }
        for line in &mut self.lines {
            line.link.end_outages();
        }
        for device in &mut self.devices {
            device.come_back(self.now);
        }
        for group in 0..self.floor.plan.groups.len() {
            self.heal(group, self.groups[group].clone());
        }
    }
}

/// The link of a group. A perfect one to which nothing is done needs no TCP: nothing is lost on it, and nobody waits.
fn link(plan: &Plan, group: usize) -> Profile {
    let Group { link, reads, .. } = &plan.groups[group];
    let perfect = *link == Profile::default() && !suffers(plan, group) && reads.is_none();
    Profile { stack: if perfect { Stack::Ideal } else { link.stack }, ..link.clone() }
}

/// Whether anything is done to the links of a group that ends one day: by the timeline, its region, or as outages.
fn suffers(plan: &Plan, group: usize) -> bool {
    let Group { link, region, .. } = &plan.groups[group];
    let planned = |it: &Moment| matches!(it.what, Happening::Link { group: whose, .. } if whose == group);
    region.is_some() || link.outages.is_some() || plan.timeline.iter().any(planned)
}

/// Puts a device into the wheel because its line has something new to carry.
fn schedule(wheel: &mut Wheel<Due>, due: &mut [Instant], lines: &[Line], device: u32, now: Instant) {
    let Some(at) = lines[device as usize].deadline().map(|at| at.max(now)) else { return };
    if at < due[device as usize] {
        due[device as usize] = at;
        wheel.push(at, Due::Device(device));
    }
}

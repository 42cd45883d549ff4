//! The fleet in virtual time: all devices, their links and the server in one thread, the same for the same seed.
//!
//! A wheel holds one entry for each device, when it or its line has something to do, and one for the server. Bytes cross a
//! line as its streams release them, so a device meets what TCP makes of the weather, and not the weather itself.

mod carriage;
mod timeline;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use harness::fetch::fetch;
use harness::link::{End, Link, Outages, Profile, Reading, Stack};
use harness::node::{Closed, ConnId, Input, Node, Ticket};
use harness::rng::Draws;
use harness::time::Instant;
use harness::wheel::Wheel;

use super::device::{self, Device};
use super::floor::Floor;
use super::line::Line;
use super::shard::Shard;
use super::visitor::{Kept, Visitor, visit};
use super::weather::Lots;
use crate::client::{Misuse, Options};
use crate::scenario::plan::{Group, Happening, Moment, Plan};

/// Starts the server.
pub type Start<'a, S> = Box<dyn Fn() -> S + 'a>;

/// A run in virtual time, or in time that somebody else tells, with a server of type `S`.
pub struct Simulation<'a, S = Box<dyn Node>> {
    /// What the devices stand on.
    pub floor: Floor,
    posts: Vec<Post>,
    /// The devices of each group that are played here.
    groups: Vec<Range<u32>>,
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
    /// To whom it falls that something of the timeline happens to them.
    lots: Lots,
}

/// A device with its line: all that is looked at when something is due lies together, for in a large fleet it is far away each
/// time, and the moment that is looked at first lies in front.
#[repr(C)]
struct Post {
    /// For which moment it stands in the wheel; [`Instant::FAR`] if it does not.
    due: Instant,
    line: Line,
    device: Device,
}

impl Post {
    /// Puts device `number` into the wheel for the next moment of its line, or for `own` if that is earlier, unless it stands there
    /// already.
    fn plan(&mut self, wheel: &mut Wheel<Due>, now: Instant, number: u32, own: Option<Instant>) {
        let Some(at) = self.line.deadline().into_iter().chain(own).min().map(|at| at.max(now)) else { return };
        if at < self.due {
            self.due = at;
            wheel.push(at, Due::Device(number));
        }
    }
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
        let count = shard.devices(&floor.plan) as usize;
        let mut simulation = Self {
            posts: Vec::with_capacity(count),
            groups: Vec::with_capacity(options.len()),
            wheel: Wheel::default(),
            now: Instant::ZERO,
            events: 0,
            server: Some(server),
            stopped: None,
            away_until: Instant::ZERO,
            forgets: false,
            start,
            server_due: Instant::FAR,
            seats: Vec::with_capacity(2 * count),
            free: Vec::new(),
            inbox: VecDeque::new(),
            lots: Lots::new(seed),
            floor,
        };
        for (group, options) in options.iter().enumerate() {
            let plan = &simulation.floor.plan.groups[group];
            let (profile, share) = (Arc::new(link(&simulation.floor.plan, group)), plan.share_outages);
            let end = Instant::ZERO + simulation.floor.plan.lasts;
            let region = simulation.floor.regions[group].clone();
            let habit = plan.reads.map_or(Reading::Prompt, Reading::at_rate);
            let mut outages = region.clone();
            let first = simulation.posts.len() as u32;
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
                let mut line = Line::new(link);
                line.heal(Instant::ZERO, habit);
                simulation.posts.push(Post { due: Instant::FAR, line, device });
            }
            simulation.groups.push(first..simulation.posts.len() as u32);
        }
        for (post, number) in simulation.posts.iter_mut().zip(0..) {
            post.plan(&mut simulation.wheel, Instant::ZERO, number, post.device.deadline());
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
        let group = self.posts[device as usize].device.group();
        // Where others have its identifier, one of them may have thrown it out before.
        if self.floor.plan.groups[group].clones == 1 {
            self.posts[device as usize].device.heard_out(self.now, ConnId(place), &mut self.floor);
        }
    }

    /// The device at the other end of a connection of the server: its group, and its number in it.
    pub fn caller(&self, conn: ConnId) -> Option<(usize, u32)> {
        let (device, _) = self.seats.get(conn.0 as usize).copied().flatten()?;
        let device = &self.posts[device as usize].device;
        Some((device.group(), device.number()))
    }

    /// How many messages wait for the server's answer, or for their turn.
    pub fn outstanding(&self) -> usize {
        self.posts.iter().map(|post| post.device.outstanding()).sum()
    }

    /// How often something was due so far.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// How many devices are connected.
    pub fn connected(&self) -> u32 {
        self.posts.iter().filter(|post| post.device.is_connected()).count() as u32
    }

    /// Ends the run and keeps its books.
    pub fn into_floor(mut self) -> Floor {
        for Post { device, line, .. } in &mut self.posts {
            device.settle(self.now, line.is_held_up(), &mut self.floor);
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
            self.look_ahead();
            match due {
                Due::Device(device) => {
                    let due = &mut self.posts[device as usize].due;
                    if *due == at {
                        *due = Instant::FAR;
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

    /// Asks for what will be looked at next, which comes while the present is dealt with: a post first, and what hangs on it when it
    /// has come.
    fn look_ahead(&self) {
        let post = |places| match self.wheel.ahead(places) {
            Some(&Due::Device(device)) => self.posts.get(device as usize),
            _ => None,
        };
        if let Some(post) = post(1) {
            fetch(post);
        }
        if let Some(Post { line, device, .. }) = post(0) {
            device.fetch(&self.floor);
            if let (Some(conn), Some(server)) = (line.fetch(), &self.server) {
                server.fetch(conn);
            }
        }
    }

    /// A device or its line has something to do.
    fn attend(&mut self, device: u32) {
        let place = device as usize;
        while let Some((strand, arrival)) = self.posts[place].line.poll(self.now) {
            match arrival.end {
                End::Device => self.reach_device(device, strand, arrival.what),
                End::Server => self.reach_server(device, strand, arrival.what),
            }
        }
        let Post { line, device: core, .. } = &mut self.posts[place];
        let mut own = core.deadline();
        if own.is_some_and(|at| at <= self.now) {
            self.floor.forgotten = line.is_forgotten();
            core.handle(self.now, Input::Wake, &mut self.floor);
            self.carry_out(device);
            own = self.posts[place].device.deadline();
        }
        self.serve();
        if self.look_for_room(device) {
            own = self.posts[place].device.deadline();
        }
        let post = &mut self.posts[place];
        post.line.tidy();
        post.plan(&mut self.wheel, self.now, device, own);
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

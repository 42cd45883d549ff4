//! A device: a client core, and habits.
//!
//! Like its client it does no I/O: a driver hands it what happened, and takes from it what is to be done. What it makes and
//! hears it books on the [`Floor`] on which all devices of a run stand. Everything random about it is drawn from its own
//! stream, so it behaves the same whoever else is there.

mod contact;
mod publishing;
mod questions;
mod reading;
mod wills;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use harness::node::{Input, Node, Output};
use harness::rng::Draws;
use harness::time::Instant;
use smallvec::SmallVec;

use super::floor::Floor;
use super::pace::Schedule;
use super::roster::{Own, Seat};
use crate::client::{Client, Event, Identity, Misuse, Options, Why};
use crate::packet::{Packet, Properties, ReasonCode, Version};
use crate::rare::Few;
use crate::scenario::plan::{Duty, Group, Pace, Starts};

use contact::Contact;
use publishing::{Pending, Taken};
use questions::Questions;
use wills::Wills;

/// One device.
pub struct Device {
    client: Client,
    draws: Draws,
    group: u16,
    connected: bool,
    /// Whether the server has confirmed the subscriptions of the present session.
    subscribed: bool,
    number: u32,
    /// Its publishing duties that have a pace, and where it stands with each.
    schedules: SmallVec<[Schedule; 1]>,
    /// What the server has not answered for yet, oldest first.
    pending: Few<Pending>,
    rest: Option<Box<Rest>>,
    /// Until when it is switched off, or stays away; [`Instant::ZERO`] while it is on.
    off_until: Instant,
    /// When its last connection ended; `None` if it never had one, or has one now.
    lost_at: Option<Instant>,
    contact: Contact,
}

/// What few devices have.
#[derive(Debug, Default)]
struct Rest {
    wills: Wills,
    questions: Questions,
    /// Since when it is one of those who share a subscription.
    shares: Option<Instant>,
    /// When it takes its leave.
    leaves_at: Option<Instant>,
    /// Whether it stays away because another of its name took its session over.
    gave_way: bool,
    /// How many identifiers of messages it may still hold whose handshake the server has forgotten, and uses for others
    /// without its being able to know: in 3.1, and where an attempt of which it heard nothing made another session.
    stale: usize,
    /// QoS 2 messages that the server has taken, and need not have passed on.
    taken: VecDeque<Taken>,
}

/// The stream from which those of all devices branch.
pub(super) const DRAWS: &str = "fleet";

/// Whether the device that draws from `draws` leaves a will, of a group of which this share does.
pub(super) fn leaves_will(draws: &Draws, share: f64) -> bool {
    draws.at(WILL) < share
}

/// What is drawn once for a device.
const START: u64 = 1;
const DRIFT: u64 = 2;
const WILL: u64 = 3;
/// Its duties draw from branches of their own, from here on.
const DUTIES: u64 = 16;

impl Device {
    /// Device `number` of group `group`. `fleet` is the stream from which those of all devices branch, and `options` are
    /// those of its group.
    ///
    /// # Errors
    /// [`Misuse`] where no CONNECT could say what the plan asks for.
    pub fn new(
        floor: &Floor,
        group: usize,
        number: u32,
        options: &Arc<Options>,
        fleet: &Draws,
    ) -> Result<Self, Misuse> {
        let plan = &floor.plan.groups[group];
        let draws = fleet.branch(u64::from(floor.roster.devices(group).start + number));
        let own = Own::new(plan, number);
        let fill = |template: &crate::scenario::template::Template| template.fill(&own.names(""));
        let identity = Identity {
            client_id: own.id().into(),
            username: plan.username.as_ref().map(|name| fill(name).into()),
            password: plan.password.as_ref().map(|word| fill(word).into_bytes().into()),
            will: None,
        };
        let drift = drift(plan, &draws);
        let off_until = start(plan, number, &draws);
        let client = Client::new(Arc::clone(options), identity, draws.branch(0).u64())?;
        let mut device = Self {
            client,
            group: group as u16,
            connected: false,
            subscribed: false,
            number,
            schedules: SmallVec::new(),
            pending: Few::new(),
            rest: None,
            off_until,
            lost_at: None,
            contact: Contact::default(),
            draws,
        };
        for (place, duty) in plan.does.iter().enumerate() {
            match duty {
                Duty::Publish(publish) if publish.pace != Pace::OnConnect => {
                    let draws = device.duty_draws(place);
                    let mut schedule = Schedule::new(place as u32, publish, &draws, drift);
                    while schedule.due < off_until {
                        schedule.advance(publish, &draws, drift);
                    }
                    device.schedules.push(schedule);
                }
                Duty::Ask { every: Some(every), .. } => {
                    let first = off_until + every.mul_f64(device.duty_draws(place).at(0));
                    device.rest().questions.will_ask(place as u32, first, number);
                }
                _ => {}
            }
        }
        if floor.roster.will(group, number).is_some() {
            device.rest();
        }
        if let Some((on, _)) = plan.duty_cycle {
            device.rest().leaves_at = Some(off_until + on);
        }
        Ok(device)
    }

    /// When it wants [`Input::Wake`].
    pub fn deadline(&self) -> Option<Instant> {
        if self.is_off() {
            return (self.off_until < Instant::FAR).then_some(self.off_until);
        }
        let mut first = self.client.deadline().unwrap_or(Instant::FAR);
        for schedule in &self.schedules {
            first = first.min(schedule.due);
        }
        if let Some(rest) = &self.rest {
            first = first.min(rest.questions.due()).min(rest.leaves_at.unwrap_or(Instant::FAR));
        }
        (first < Instant::FAR).then_some(first)
    }

    /// Asks for what is looked at when it makes a message, or is answered.
    pub fn fetch(&self, floor: &Floor) {
        self.client.fetch();
        self.pending.fetch();
        if let Some(schedule) = self.schedules.first()
            && let Seat::Publish { stream } = floor.roster.duty(self.group(), schedule.duty as usize)
        {
            floor.ledger.fetch(stream + self.number);
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, floor: &mut Floor) {
        if self.is_off() {
            if now < self.off_until || !matches!(input, Input::Wake) {
                return;
            }
            self.switch_on(now, floor);
        }
        match input {
            // One that it gave up waiting for may still come about, and carries no CONNECT.
            Input::Opened { conn, via, .. } if self.client.expects(via) => {
                self.contact.tried(now);
                self.write_will(now, conn, floor);
            }
            _ => {}
        }
        self.client.handle(now, input);
        if let Some(answered) = self.client.answered_at() {
            self.contact.seen(answered);
        }
        self.listen(now, floor);
        self.work(now, floor);
        self.listen(now, floor);
    }

    /// What its driver must do, in order.
    pub fn poll(&mut self) -> Option<Output<'_>> {
        self.client.poll()
    }

    /// Whether a server has accepted it and not lost it.
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// The number of its group.
    pub fn group(&self) -> usize {
        usize::from(self.group)
    }

    /// Its number in its group.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Takes its leave, and comes back at `until`.
    pub fn leave(&mut self, now: Instant, until: Instant, floor: &mut Floor) {
        if !self.is_off() {
            // Before the first word there is nobody to take leave of, which is as well.
            let _gone = self.client.disconnect(now, ReasonCode::Success, Properties::EMPTY);
            self.listen(now, floor);
        }
        self.off_until = until;
    }

    /// Where it is away for a while, that ends now.
    pub fn come_back(&mut self, now: Instant) {
        if self.is_off() && self.off_until < Instant::FAR {
            self.off_until = self.off_until.min(now);
        }
    }

    /// How many messages wait for the server's answer, or for their turn.
    pub fn outstanding(&self) -> usize {
        self.client.outstanding()
    }

    const fn is_off(&self) -> bool {
        self.off_until.as_nanos() > 0
    }

    fn switch_on(&mut self, now: Instant, floor: &Floor) {
        let plan = &floor.plan.groups[usize::from(self.group)];
        self.off_until = Instant::ZERO;
        if let Some((on, _)) = plan.duty_cycle {
            self.rest().leaves_at = Some(now + on);
        }
        self.client.connect(now);
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// How fast its clock is; 1 for a true one.
    fn drift(&self, floor: &Floor) -> f64 {
        drift(&floor.plan.groups[self.group()], &self.draws)
    }

    fn duty_draws(&self, duty: usize) -> Draws {
        self.draws.branch(DUTIES + duty as u64)
    }

    /// Does what is due.
    fn work(&mut self, now: Instant, floor: &mut Floor) {
        self.publish_due(now, floor);
        if self.rest.is_some() {
            self.ask(now, floor);
            self.answer(now, floor);
            self.take_leave(now, floor);
        }
    }

    /// Goes, where its duty cycle says so.
    fn take_leave(&mut self, now: Instant, floor: &mut Floor) {
        if self.rest().leaves_at.is_none_or(|at| at > now) {
            return;
        }
        self.rest().leaves_at = None;
        let plan = &floor.plan;
        // In the calm whoever is there stays, so that what is owed can come.
        if let Some((_, off)) = plan.groups[usize::from(self.group)].duty_cycle
            && now.elapsed() < plan.lasts
        {
            let until = now + off.mul_f64(self.drift(floor));
            self.leave(now, until, floor);
        }
    }

    /// Hears what the client has to tell.
    fn listen(&mut self, now: Instant, floor: &mut Floor) {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Connected(packet) => {
                    if let Packet::ConnAck(connack) = packet.packet() {
                        self.connected(now, connack.session_present, floor);
                    }
                }
                Event::Subscribed(_, packet) => {
                    if let Packet::SubAck(suback) = packet.packet() {
                        self.granted(now, &suback, floor);
                    }
                }
                Event::Message(message) => self.read(now, &message.publish(), floor),
                Event::Repeated(message) => self.throw_away(&message.publish(), floor),
                Event::Published(token, reason) => self.published(now, token, reason, floor),
                Event::Dropped(token, why) => self.dropped(now, token, why, floor),
                Event::Disconnected { why, again_at } => {
                    self.gives_way(&why, again_at, floor);
                    self.disconnected(now, &why, floor);
                }
                Event::Unsubscribed(..) | Event::Reauthenticated => {}
            }
        }
        self.released(now, floor);
    }

    /// A server has accepted it.
    fn connected(&mut self, now: Instant, present: bool, floor: &mut Floor) {
        let group = usize::from(self.group);
        let plan = &floor.plan.groups[group];
        let version = plan.version;
        let healed = floor.healed(group, now);
        let counts = &mut floor.tally.groups[group];
        counts.connected += 1;
        counts.resumed += u64::from(present);
        let interval = floor.tally.series.at(now);
        interval.connected += 1;
        interval.accepted += 1;
        self.connected = true;
        if let Some(rest) = &mut self.rest {
            rest.gave_way = false;
        }
        if let Some(lost_at) = self.lost_at.take() {
            counts.away.record(now - lost_at);
            // Who notices late what was done to it still recovers from that, and who lost a later connection does not.
            let notices = plan.patience + Duration::from_secs(plan.keep_alive.into());
            if self.contact.had_one_at(healed) && lost_at <= healed + notices && now > healed {
                counts.recovery.record(now - healed);
            }
            let truth = self.contact.keeps_session(now, plan, floor.forgot_at);
            if plan.version != Version::V31 && truth.is_some_and(|truth| truth != present) {
                counts.untrue_sessions += 1;
            }
            // Where the session may have ended and there is one, it may be that of an attempt of which we heard nothing; 3.1
            // does not say whether there is one.
            let another = truth != Some(true) && (!present || self.contact.is_unsure());
            // A session that ended in time takes what was owed with it, and what the server had taken and not passed on. One that
            // was lost does not.
            if another {
                self.unsubscribed(now, floor);
                if let Some(rest) = &mut self.rest {
                    rest.taken.clear();
                }
            }
            if another && (present || version == Version::V31) && self.client.half_received() > 0 {
                self.rest().stale = self.client.half_received();
            }
            // What the server had not confirmed begins anew where it has not the session.
            if another || !present && version != Version::V31 {
                self.begin_anew(floor);
            }
        } else if present && !self.contact.is_unsure() {
            counts.untrue_sessions += 1;
        }
        self.returned(now, present, floor);
        self.contact.accepted(now);
        for reader in self.readers(floor) {
            floor.ledger.connect(reader, now);
        }
        if !present || !self.subscribed {
            self.subscribe(now, floor);
        }
        for duty in 0..floor.plan.groups[group].does.len() {
            match &floor.plan.groups[group].does[duty] {
                Duty::Publish(publish) if publish.pace == Pace::OnConnect && now.elapsed() < publish.until => {
                    self.publish(now, now, duty, floor);
                }
                Duty::Ask { every: None, .. } if now.elapsed() < floor.plan.lasts => {
                    self.question(now, now, duty, self.number, floor);
                }
                _ => {}
            }
        }
    }

    /// Notes whether it leaves the field to another of its name. Who has none was thrown out by an attempt of its own, and
    /// should come back.
    fn gives_way(&mut self, why: &Why, again_at: Option<Instant>, floor: &Floor) {
        let (clones, reason) = (floor.plan.groups[self.group()].clones, why.reason());
        if clones > 1 && again_at.is_none() && reason == Some(ReasonCode::SessionTakenOver) {
            self.rest().gave_way = true;
        }
    }

    /// The connection is gone, or an attempt at one has failed.
    fn disconnected(&mut self, now: Instant, why: &Why, floor: &mut Floor) {
        let group = usize::from(self.group);
        let counts = &mut floor.tally.groups[group];
        if !self.connected {
            if *why != Why::Asked {
                counts.failed += 1;
                counts.trouble(why.kind()).failed += 1;
                floor.tally.series.at(now).failed += 1;
            }
            return;
        }
        self.connected = false;
        self.lost_at = Some(now);
        self.interrupt();
        if *why != Why::Asked {
            let cause = if floor.forgotten { ": the network had forgotten the connection" } else { "" };
            counts.lost += 1;
            counts.trouble(why.kind() + cause).lost += 1;
        }
        floor.tally.series.at(now).connected -= 1;
        let plan = &floor.plan.groups[group];
        let ends = if plan.version == Version::V5 { plan.session_expiry == 0 } else { plan.clean_start };
        let missed_by = missed_by(now, plan.keep_alive);
        for reader in self.readers(floor) {
            floor.ledger.disconnect(reader);
        }
        if ends {
            self.unsubscribed(missed_by, floor);
        }
        self.settle_will(why, missed_by, floor);
    }

    /// The run is over: books what the server must have done by now without us, and what may still be under way to us because
    /// the connection is held up.
    pub fn settle(&mut self, now: Instant, held_up: bool, floor: &mut Floor) {
        self.settle_present_will(floor);
        if held_up || !self.connected {
            for reader in self.readers(floor) {
                floor.ledger.hold_up(reader);
            }
        }
        if self.connected {
            return;
        }
        let group = usize::from(self.group);
        let plan = &floor.plan.groups[group];
        let counts = &mut floor.tally.groups[group];
        if self.rest.as_ref().is_some_and(|rest| rest.gave_way) {
            counts.gave_way += u64::from(!self.is_off());
        } else if !self.is_off() && plan.duty_cycle.is_none() {
            counts.absent.record(now - self.lost_at.unwrap_or(Instant::ZERO));
        }
        let plan = &floor.plan.groups[group];
        let gone_for_good = self.is_off() && self.off_until == Instant::FAR;
        if gone_for_good || self.contact.keeps_session(now, plan, floor.forgot_at) != Some(true) {
            self.unsubscribed(now, floor);
        }
        self.settle_due_will(now, floor);
    }
}

/// How fast the clock of the device is that draws from `draws`; 1 for a true one.
fn drift(plan: &Group, draws: &Draws) -> f64 {
    1.0 + plan.clock_drift_ppm * 1e-6 * (2.0 * draws.at(DRIFT) - 1.0)
}

/// By when a server must have missed a connection that ended at `now`.
fn missed_by(now: Instant, keep_alive: u16) -> Instant {
    if keep_alive == 0 { Instant::FAR } else { now + Duration::from_secs(keep_alive.into()) * 3 / 2 }
}

/// When a device is first switched on.
fn start(group: &Group, number: u32, draws: &Draws) -> Instant {
    let moment = match group.starts {
        Starts::Ramp(span) => span.mul_f64(draws.at(START)),
        Starts::At(moment) => moment,
        // What independent arrivals look like once their number is known: evenly drawn moments.
        Starts::Arrivals(rate) => Duration::from_secs_f64(f64::from(group.count) / rate * draws.at(START)),
    };
    // A nanosecond is nothing, and zero means that it is on.
    Instant::ZERO + moment + Duration::from_nanos(1 + u64::from(number % 2))
}

const fn micros(now: Instant) -> u64 {
    now.as_nanos() / 1000
}

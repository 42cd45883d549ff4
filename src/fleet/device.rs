//! A device: a client core, and habits.
//!
//! Like its client it does no I/O: a driver hands it what happened, and takes from it what is to be done. What it makes and
//! hears it books on the [`Floor`] on which all devices of a run stand. Everything random about it is drawn from its own
//! stream, so it behaves the same whoever else is there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use harness::ledger::{Arrival, Ledger};
use harness::node::{ConnId, Input, Node, Output};
use harness::rng::Draws;
use harness::time::Instant;
use smallvec::SmallVec;

use super::pace::Schedule;
use super::payload;
use super::roster::{Origin, Own, Roster, Seat, guarantee, matched};
use super::shelf::Shelf;
use super::tag::Tag;
use super::tally::Tally;
use crate::client::{Client, Event, Identity, Misuse, Options, Token, Why, Will};
use crate::packet::{
    Packet, Properties, Property, PropertyBuf, Publish as Message, QoS, ReasonCode, SubscriptionBuf,
    SubscriptionOptions, Version,
};
use crate::rare::Rare;
use crate::scenario::plan::{Duty, Group, Pace, Plan, Starts};
use crate::scenario::schema::{Offline, Phase};
use crate::scenario::template::Names;

/// What all devices of a run stand on.
#[derive(Debug)]
pub struct Floor {
    /// The scenario.
    pub plan: Plan,
    /// Who is who.
    pub roster: Roster,
    /// What is owed.
    pub ledger: Ledger,
    /// What the server is to keep for late subscribers.
    pub shelf: Shelf,
    /// When the server last lost all it knew; [`Instant::ZERO`] if it never did.
    pub(super) forgot_at: Instant,
    /// How many share each shared subscription, by the number of its reader.
    pub(super) shares: BTreeMap<u32, u32>,
    /// What was counted.
    pub tally: Tally,
    /// Tells the messages of this run from others.
    pub run: u16,
    /// Weather or calm.
    pub phase: Phase,
    /// When what was done to the links of each group last ended.
    pub healed: Vec<Instant>,
    /// Where payloads are made.
    pub(super) scratch: Vec<u8>,
    /// Where topics are made.
    pub(super) topic: String,
}

impl Floor {
    /// The floor of a run of `plan`, on which nothing has happened yet. `run` tells its messages from those of others.
    ///
    /// # Errors
    /// In words, where the plan is too large for the books.
    pub fn new(plan: Plan, run: u16) -> Result<Self, String> {
        let (roster, ledger) = Roster::new(&plan)?;
        let groups = plan.groups.len();
        Ok(Self {
            roster,
            ledger,
            shelf: Shelf::default(),
            forgot_at: Instant::ZERO,
            shares: BTreeMap::new(),
            tally: Tally::new(groups, plan.lasts + plan.calm),
            run,
            phase: Phase::Weather,
            healed: vec![Instant::ZERO; groups],
            scratch: Vec::new(),
            topic: String::new(),
            plan,
        })
    }

    /// The server has lost all it knew: nothing is owed to anybody any more.
    pub fn forget(&mut self, now: Instant) {
        self.forgot_at = now;
        self.shelf.forget(now);
        self.shares.clear();
        for reader in 0..self.ledger.readers() {
            self.ledger.close(reader);
        }
    }
}

/// One device.
pub struct Device {
    client: Client,
    draws: Draws,
    group: u16,
    connected: bool,
    /// Whether the server has confirmed the subscriptions of the present session.
    subscribed: bool,
    number: u32,
    /// How fast its clock is; 1 for a true one.
    drift: f64,
    /// Its publishing duties that have a pace, and where it stands with each.
    schedules: SmallVec<[(u32, Schedule); 1]>,
    /// What the server has not answered for yet, oldest first.
    pending: Rare<VecDeque<Pending>>,
    rest: Option<Box<Rest>>,
    /// Until when it is switched off, or stays away; [`Instant::ZERO`] while it is on.
    off_until: Instant,
    /// When its last connection ended; `None` if it never had one, or has one now.
    lost_at: Option<Instant>,
    /// When the present connection began, or the last one.
    opened_at: Instant,
    /// When the last attempt at one reached the server's machine.
    tried_at: Instant,
    /// The server surely had that connection at this moment.
    alive_at: Instant,
    /// Whether an attempt before the present one, since that connection, may have reached the server without our knowing.
    unsure: bool,
}

/// A message on its way to the server.
#[derive(Debug)]
struct Pending {
    token: Token,
    stream: u32,
    sequence: u32,
    qos: QoS,
    made: Instant,
}

/// What few devices have.
#[derive(Debug, Default)]
struct Rest {
    /// The will of the present connection or attempt.
    will: Option<Testament>,
    /// The will of the last connection, while it is open what becomes of it.
    due_will: Option<DueWill>,
    /// The will of which the last connection took leave.
    revoked_will: Option<Testament>,
    /// Since when it is one of those who share a subscription.
    shares: Option<Instant>,
    /// Its asking duties that have a period, when the next question is due, and whom it asks.
    asks: SmallVec<[(u32, Instant, u32); 1]>,
    /// Questions that wait for their answer: the stream, and until when it counts.
    questions: VecDeque<(u32, Instant)>,
    /// Answers that are due: when, in which stream, on which topic, by which duty.
    answers: VecDeque<(Instant, u32, Box<str>, usize)>,
    /// When it takes its leave.
    leaves_at: Option<Instant>,
    /// In 3.1, how many identifiers of messages it may still hold whose handshake the server has forgotten, and uses for
    /// others without being able to say so.
    stale: usize,
}

/// The stream from which those of all devices branch.
pub(super) const DRAWS: &str = "fleet";

/// Whether the device that draws from `draws` leaves a will, of a group of which this share does.
pub(super) fn leaves_will(draws: &Draws, share: f64) -> bool {
    draws.at(WILL) < share
}

/// A will that was handed over.
#[derive(Clone, Copy, Debug)]
struct Testament {
    number: u32,
    conn: ConnId,
}

/// A will of a connection that was lost.
#[derive(Clone, Copy, Debug)]
struct DueWill {
    number: u32,
    /// The server still had the connection then.
    alive_at: Instant,
    /// It must have missed it by then.
    missed_by: Instant,
    /// How long it holds the will back after that.
    delay: Duration,
    /// Whether it may have heard from us since without our knowing, which prevents a will that is held back.
    tried: bool,
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
        let drift = 1.0 + plan.clock_drift_ppm * 1e-6 * (2.0 * draws.at(DRIFT) - 1.0);
        let off_until = start(plan, number, &draws);
        let client = Client::new(Arc::clone(options), identity, draws.branch(0).u64())?;
        let mut device = Self {
            client,
            group: group as u16,
            connected: false,
            subscribed: false,
            number,
            drift,
            schedules: SmallVec::new(),
            pending: Rare::new(),
            rest: None,
            off_until,
            lost_at: None,
            opened_at: Instant::ZERO,
            tried_at: Instant::ZERO,
            alive_at: Instant::ZERO,
            unsure: false,
            draws,
        };
        for (place, duty) in plan.does.iter().enumerate() {
            match duty {
                Duty::Publish(publish) if publish.pace != Pace::OnConnect => {
                    let draws = device.duty_draws(place);
                    let mut schedule = Schedule::new(publish, &draws, drift);
                    while schedule.due < off_until {
                        schedule.advance(publish, &draws, drift);
                    }
                    device.schedules.push((place as u32, schedule));
                }
                Duty::Ask { every: Some(every), .. } => {
                    let first = off_until + every.mul_f64(device.duty_draws(place).at(0));
                    device.rest().asks.push((place as u32, first, number));
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
        for (_, schedule) in &self.schedules {
            first = first.min(schedule.due);
        }
        if let Some(rest) = &self.rest {
            let asks = rest.asks.iter().map(|(_, due, _)| *due);
            let answer = rest.answers.front().map(|(due, ..)| *due);
            first = asks.chain(answer).chain(rest.leaves_at).fold(first, Instant::min);
        }
        (first < Instant::FAR).then_some(first)
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
                self.unsure = self.tried_at > self.opened_at;
                self.tried_at = now;
                self.write_will(now, conn, floor);
            }
            _ => {}
        }
        self.client.handle(now, input);
        if let Some(answered) = self.client.answered_at() {
            self.seen(answered);
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

    fn duty_draws(&self, duty: usize) -> Draws {
        self.draws.branch(DUTIES + duty as u64)
    }

    /// Does what is due.
    fn work(&mut self, now: Instant, floor: &mut Floor) {
        for place in 0..self.schedules.len() {
            while self.schedules[place].1.due <= now {
                let (duty, Schedule { due, .. }) = self.schedules[place];
                self.publish(now, due, duty as usize, floor);
                let draws = self.duty_draws(duty as usize);
                if let Duty::Publish(publish) = &floor.plan.groups[usize::from(self.group)].does[duty as usize] {
                    self.schedules[place].1.advance(publish, &draws, self.drift);
                }
            }
        }
        if self.rest.is_some() {
            self.ask(now, floor);
            self.answer(now, floor);
            self.take_leave(now, floor);
        }
    }

    /// Makes a message of a publishing duty, meant for the moment `due`.
    fn publish(&mut self, now: Instant, due: Instant, duty: usize, floor: &mut Floor) {
        let group = usize::from(self.group);
        let Floor { plan, roster, ledger, shelf, tally, run, scratch, topic, .. } = floor;
        let (plan, draws) = (&plan.groups[group], self.duty_draws(duty));
        let (Duty::Publish(publish), Seat::Publish { stream }) = (&plan.does[duty], roster.duty(group, duty)) else {
            return;
        };
        if publish.offline == Offline::Skip && !self.connected || !self.client.has_place() {
            tally.groups[group].skipped += 1;
            return;
        }
        let stream = stream + self.number;
        let tag = Tag { run: *run, stream, sequence: ledger.number(stream), intended: micros(due) };
        let names = Names { id: self.client.client_id(), number: self.number, group: &plan.name, ..Names::default() };
        payload::write(scratch, publish, &tag, &names, &draws);
        topic.clear();
        publish.topic.fill_into(&names, topic);
        let mut properties = PropertyBuf::new();
        if let Some(expiry) = publish.expiry {
            properties.push(Property::MessageExpiryInterval(expiry));
        }
        let message = Message {
            dup: false,
            qos: publish.qos,
            retain: publish.retain,
            topic,
            packet_id: None,
            properties: properties.view(),
            payload: scratch,
        };
        let told = self.client.publish(now, &message);
        if publish.retain && told.is_ok() {
            shelf.may_keep(stream, tag.sequence);
        }
        self.book(now, publish.qos, &tag, told, tally);
    }

    /// Notes that a message was handed to the client, or was not.
    fn book(&mut self, now: Instant, qos: QoS, tag: &Tag, told: Result<Token, Misuse>, tally: &mut Tally) {
        let counts = &mut tally.groups[usize::from(self.group)];
        match told {
            Ok(token) => {
                counts.published[qos as usize] += 1;
                let interval = tally.series.at(now);
                interval.published += 1;
                interval.waiting += i64::from(qos != QoS::AtMostOnce);
                if qos != QoS::AtMostOnce {
                    let Tag { stream, sequence, .. } = *tag;
                    self.pending.push_back(Pending { token, stream, sequence, qos, made: now });
                }
            }
            Err(_) => counts.refused += 1,
        }
    }

    /// Asks what is due.
    fn ask(&mut self, now: Instant, floor: &mut Floor) {
        let asks = self.rest().asks.clone();
        for (place, (duty, due, target)) in asks.into_iter().enumerate() {
            if due > now {
                continue;
            }
            let group = usize::from(self.group);
            let Duty::Ask { every: Some(every), .. } = floor.plan.groups[group].does[duty as usize] else { continue };
            self.question(now, due, duty as usize, target, floor);
            let next = due + every.mul_f64(self.drift);
            let next = if next.elapsed() < floor.plan.lasts { next } else { Instant::FAR };
            self.rest().asks[place] = (duty, next, target.wrapping_add(1));
        }
    }

    /// Asks one question, of the target with this number or the one that follows from it. Whoever has no connection
    /// does not ask.
    fn question(&mut self, now: Instant, due: Instant, duty: usize, target: u32, floor: &mut Floor) {
        let group = usize::from(self.group);
        let Floor { plan, roster, ledger, tally, run, scratch, .. } = floor;
        let Duty::Ask { topic, of, qos, within, size, .. } = &plan.groups[group].does[duty] else { return };
        let Seat::Ask { stream, targets, .. } = roster.duty(group, duty) else { return };
        if !self.connected || !self.client.has_place() {
            tally.groups[group].skipped += 1;
            return;
        }
        let target = target % targets;
        let stream = stream + self.number * targets + target;
        let tag = Tag { run: *run, stream, sequence: ledger.number(stream), intended: micros(due) };
        let whom = of.map(|of| Own::new(&plan.groups[of], target));
        let own = Own::new(&plan.groups[group], self.number);
        let topic = topic.fill(&own.names(whom.as_ref().map_or("", Own::id)));
        raw(scratch, &tag, *size);
        let told = self.client.publish(now, &plain(&topic, *qos, scratch));
        if told.is_ok() {
            tally.groups[group].asked += 1;
            self.rest().questions.push_back((stream, now + *within));
        }
        self.book(now, *qos, &tag, told, tally);
    }

    /// Gives the answers that are due.
    fn answer(&mut self, now: Instant, floor: &mut Floor) {
        while let Some((due, stream, topic, duty)) = {
            let answers = &mut self.rest().answers;
            answers.pop_front_if(|(due, ..)| *due <= now)
        } {
            let group = usize::from(self.group);
            let Floor { plan, ledger, tally, run, scratch, .. } = &mut *floor;
            let Duty::Answer { qos, size, .. } = &plan.groups[group].does[duty] else { continue };
            if !self.client.has_place() {
                tally.groups[group].skipped += 1;
                continue;
            }
            let tag = Tag { run: *run, stream, sequence: ledger.number(stream), intended: micros(due) };
            raw(scratch, &tag, *size);
            let told = self.client.publish(now, &plain(&topic, *qos, scratch));
            self.book(now, *qos, &tag, told, tally);
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
            let until = now + off.mul_f64(self.drift);
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
                        self.subscribed = true;
                        for (reader, reason) in self.readers(floor).into_iter().zip(suback.reasons.iter()) {
                            if let Some(qos) = QoS::ALL.into_iter().find(|qos| *qos as u8 == reason as u8) {
                                floor.ledger.open(reader, guarantee(qos), now);
                            }
                        }
                        self.share(now, floor);
                    }
                }
                Event::Message(message) => self.read(now, &message.publish(), floor),
                Event::Repeated(message) => self.throw_away(&message.publish(), floor),
                Event::Published(token, reason) => {
                    if let Some(pending) = self.settled(token) {
                        floor.tally.series.at(now).waiting -= 1;
                        let counts = &mut floor.tally.groups[usize::from(self.group)];
                        let Pending { stream, sequence, qos, made, .. } = pending;
                        if reason.is_error() {
                            counts.refused += 1;
                            floor.shelf.does_not_keep(stream, sequence);
                        } else {
                            counts.accepted[qos as usize] += 1;
                            floor.ledger.accept(stream, sequence, made);
                            floor.shelf.keeps(stream, sequence, made, now);
                        }
                        self.seen(made);
                    }
                }
                Event::Dropped(token, _) => {
                    if self.settled(token).is_some() {
                        floor.tally.series.at(now).waiting -= 1;
                        floor.tally.groups[usize::from(self.group)].refused += 1;
                    }
                }
                Event::Disconnected { why, .. } => self.disconnected(now, &why, floor),
                Event::Unsubscribed(..) | Event::Reauthenticated => {}
            }
        }
    }

    /// Takes out of the list what the server has answered for.
    fn settled(&mut self, token: Token) -> Option<Pending> {
        let place = self.pending.iter().position(|pending| pending.token == token)?;
        let pending = self.pending.remove(place);
        self.pending.settle();
        pending
    }

    /// The server surely had the connection at `moment`.
    fn seen(&mut self, moment: Instant) {
        self.alive_at = self.alive_at.max(moment);
    }

    /// A server has accepted it.
    fn connected(&mut self, now: Instant, present: bool, floor: &mut Floor) {
        let group = usize::from(self.group);
        let plan = &floor.plan.groups[group];
        let version = plan.version;
        let counts = &mut floor.tally.groups[group];
        counts.connected += 1;
        counts.resumed += u64::from(present);
        let interval = floor.tally.series.at(now);
        interval.connected += 1;
        interval.accepted += 1;
        self.connected = true;
        if let Some(lost_at) = self.lost_at.take() {
            counts.away.record(now - lost_at);
            // Who notices late what was done to it still recovers from that.
            let healed = floor.healed[group];
            let notices = plan.patience + Duration::from_secs(plan.keep_alive.into());
            if healed > Instant::ZERO && lost_at <= healed + notices && now > healed {
                counts.recovery.record(now - healed);
            }
            let truth = self.session_must_be_there(now, plan, floor.forgot_at);
            if plan.version != Version::V31 && truth.is_some_and(|truth| truth != present) {
                counts.untrue_sessions += 1;
            }
            // A session that ended in time takes what was owed with it. One that was lost does not.
            if !present && truth != Some(true) {
                self.unsubscribed(now, floor);
            }
            // What the server had not confirmed begins anew where it has no session; 3.1 does not say whether it has.
            let forgotten = version == Version::V31 && self.is_forgotten(floor.forgot_at);
            if forgotten && self.client.half_received() > 0 {
                self.rest().stale = self.client.half_received();
            }
            let lost = if version == Version::V31 { forgotten } else { !present };
            for Pending { stream, sequence, .. } in self.pending.iter().filter(|_| lost) {
                floor.ledger.renew(*stream, *sequence);
            }
        } else if present && !self.unsure {
            counts.untrue_sessions += 1;
        }
        self.returned(now, present, floor);
        (self.opened_at, self.alive_at) = (self.tried_at, self.tried_at);
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

    /// Whether the server must have its session, must not, or either (`None`): it may have noticed the end of the last
    /// connection at any time between the moment at which it surely had it and one and a half keep alives after we lost
    /// it.
    fn session_must_be_there(&self, now: Instant, plan: &Group, forgot_at: Instant) -> Option<bool> {
        if self.is_forgotten(forgot_at) {
            // What was said before may have come only now.
            return (!self.unsure && self.tried_at >= forgot_at).then_some(false);
        }
        if plan.version != Version::V5 {
            return Some(!plan.clean_start);
        }
        if plan.session_expiry == 0 {
            return Some(false);
        }
        let expiry = Duration::from_secs(plan.session_expiry.into());
        (now < self.alive_at + expiry).then_some(true)
    }

    /// Whether the server has lost all it knew since it took the last connection.
    fn is_forgotten(&self, forgot_at: Instant) -> bool {
        forgot_at > self.opened_at
    }

    fn subscribe(&mut self, now: Instant, floor: &Floor) {
        self.subscribed = false;
        let plan = &floor.plan.groups[usize::from(self.group)];
        let own = Own::new(plan, self.number);
        let mut list = SubscriptionBuf::new();
        for duty in &plan.does {
            let (filter, qos) = match duty {
                Duty::Listen { filter, qos } | Duty::Answer { filter, qos, .. } => (filter.fill(&own.names("")), *qos),
                Duty::Ask { answer, of, qos, .. } => {
                    (answer.fill(&own.names(if of.is_some() { "+" } else { "" })), *qos)
                }
                Duty::Publish(_) => continue,
            };
            list = list.with(&filter, SubscriptionOptions::qos(qos));
        }
        if list.view().iter().next().is_some() {
            // It fails only without a connection, and then the next one begins here again.
            let _later = self.client.subscribe(now, list.view(), Properties::EMPTY);
        }
    }

    /// Its readers, in the order in which it subscribes.
    fn readers(&self, floor: &Floor) -> SmallVec<[u32; 4]> {
        let group = usize::from(self.group);
        let duties = 0..floor.plan.groups[group].does.len();
        let reader = |duty| match floor.roster.duty(group, duty) {
            Seat::Listen { reader } | Seat::Ask { reader, .. } | Seat::Answer { reader } => Some(reader + self.number),
            Seat::Share { reader } => Some(reader),
            Seat::Publish { .. } => None,
        };
        duties.filter_map(reader).collect()
    }

    /// The readers that it shares with others of its group.
    fn shared(&self, floor: &Floor) -> SmallVec<[u32; 4]> {
        let group = usize::from(self.group);
        let reader = |duty| match floor.roster.duty(group, duty) {
            Seat::Share { reader } => Some(reader),
            _ => None,
        };
        (0..floor.plan.groups[group].does.len()).filter_map(reader).collect()
    }

    /// It is one of those who share a subscription, if it has any, from now on.
    fn share(&mut self, now: Instant, floor: &mut Floor) {
        for reader in self.shared(floor) {
            if self.rest().shares.replace(now).is_none_or(|since| since < floor.forgot_at) {
                *floor.shares.entry(reader).or_default() += 1;
            }
        }
    }

    /// Its session is gone, and the subscriptions with it; the server must have noticed by `missed_by`.
    fn unsubscribed(&mut self, missed_by: Instant, floor: &mut Floor) {
        let shared = self.shared(floor);
        for reader in self.readers(floor) {
            if !shared.contains(&reader) {
                floor.ledger.close(reader);
            }
        }
        let was_there = self.rest.as_mut().and_then(|rest| rest.shares.take());
        for reader in shared.into_iter().filter(|_| was_there.is_some_and(|since| since >= floor.forgot_at)) {
            let others = floor.shares.get(&reader).map_or(0, |members| members.saturating_sub(1));
            floor.shares.insert(reader, others);
            if others > 0 {
                floor.ledger.part(reader, missed_by);
            } else {
                floor.ledger.close(reader);
            }
        }
    }

    /// A message has come.
    fn read(&mut self, now: Instant, message: &Message<'_>, floor: &mut Floor) {
        let group = usize::from(self.group);
        let tag = Tag::find(message.payload).filter(|tag| tag.run == floor.run);
        let Some(tag) = tag else {
            floor.tally.groups[group].foreign += 1;
            return;
        };
        let mut readers = self.readers(floor).into_iter();
        let reader = readers.find(|&reader| floor.ledger.arrived(reader, tag.stream).is_some());
        // Who does not read the stream at all is booked as such by any of its numbers.
        let Some(reader) = reader.or_else(|| self.readers(floor).first().copied()) else { return };
        if message.retain {
            floor.ledger.renew(tag.stream, tag.sequence);
        }
        if floor.ledger.arrive(reader, tag.stream, tag.sequence, now) != Arrival::First {
            return;
        }
        // It was made no later than it was sent to us.
        self.seen(Instant::from_nanos(tag.intended.saturating_mul(1000)));
        let (origin, place) = floor.roster.origin(tag.stream);
        if let Origin::Duty(from, duty) = origin
            && let Duty::Publish(publish) = &floor.plan.groups[from].does[duty]
        {
            let took = Duration::from_micros(micros(now).saturating_sub(tag.intended));
            floor.tally.arrived(now, from, publish.qos, floor.phase, took);
        }
        if let Some(stream) = floor.roster.answer(reader, tag.stream) {
            self.will_answer(now, reader, stream, message.topic, floor);
        }
        if origin == Origin::Answers
            && let Some(rest) = &mut self.rest
        {
            let question = floor.roster.question(place);
            // What was not answered in time must not take the answer to a later question of the same target.
            rest.questions.retain(|(_, until)| *until >= now);
            let asked = rest.questions.iter().position(|(stream, _)| *stream == question);
            if asked.and_then(|asked| rest.questions.remove(asked)).is_some() {
                floor.tally.groups[group].answered += 1;
            }
        }
    }

    /// A message has come that passes for a repeat. If it never came before, it is a new one under an identifier of which
    /// only the server has forgotten that it is in use; of each such identifier that happens once.
    fn throw_away(&mut self, message: &Message<'_>, floor: &mut Floor) {
        let Some(tag) = Tag::find(message.payload).filter(|tag| tag.run == floor.run) else { return };
        if self.rest.as_ref().is_none_or(|rest| rest.stale == 0) {
            return;
        }
        let new = |&reader: &u32| floor.ledger.arrived(reader, tag.stream).is_some_and(|it| !it.contains(tag.sequence));
        if let Some(reader) = self.readers(floor).into_iter().find(new)
            && floor.ledger.waive(reader, tag.stream, tag.sequence)
        {
            self.rest().stale -= 1;
        }
    }

    /// Puts the answer to a question that came on `topic` down for when it has thought.
    fn will_answer(&mut self, now: Instant, reader: u32, stream: u32, topic: &str, floor: &Floor) {
        let group = usize::from(self.group);
        let own = Own::new(&floor.plan.groups[group], self.number);
        for (place, duty) in floor.plan.groups[group].does.iter().enumerate() {
            let Duty::Answer { filter, topic: answer, after, .. } = duty else { continue };
            if floor.roster.duty(group, place) == (Seat::Answer { reader: reader - self.number }) {
                let found =
                    matched(&filter.fill(&own.names("")), topic).into_iter().map(str::to_owned).collect::<Vec<_>>();
                let levels: Vec<_> = found.iter().map(String::as_str).collect();
                let answer = answer.fill(&Names { matched: &levels, ..own.names("") });
                self.rest().answers.push_back((now + *after, stream, answer.into(), place));
            }
        }
    }

    /// The connection is gone, or an attempt at one has failed.
    fn disconnected(&mut self, now: Instant, why: &Why, floor: &mut Floor) {
        let group = usize::from(self.group);
        let counts = &mut floor.tally.groups[group];
        if !self.connected {
            if *why != Why::Asked {
                counts.failed += 1;
                floor.tally.series.at(now).failed += 1;
            }
            return;
        }
        self.connected = false;
        self.lost_at = Some(now);
        counts.lost += u64::from(*why != Why::Asked);
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

    /// Writes the will that the next CONNECT hands over: each has its own number.
    fn write_will(&mut self, now: Instant, conn: ConnId, floor: &mut Floor) {
        let group = usize::from(self.group);
        let Some(plan) = &floor.plan.groups[group].will else { return };
        let Some(stream) = floor.roster.will(group, self.number) else { return };
        let own = Own::new(&floor.plan.groups[group], self.number);
        let tag = Tag { run: floor.run, stream, sequence: floor.ledger.number(stream), intended: micros(now) };
        let mut properties = PropertyBuf::new();
        if plan.delay > 0 {
            properties.push(Property::WillDelayInterval(plan.delay));
        }
        self.client.leave_will(Will {
            topic: plan.topic.fill(&own.names("")).into(),
            payload: payload::says(&plan.payload, &tag).into_bytes().into(),
            qos: plan.qos,
            retain: plan.retain,
            properties,
        });
        let retain = plan.retain;
        let rest = self.rest();
        let earlier = rest.will.replace(Testament { number: tag.sequence, conn });
        // The server may have taken the attempt before this one for a connection, and us for back.
        if let Some(due) = &mut rest.due_will {
            due.tried |= earlier.is_some();
        }
        let due = rest.due_will.take_if(|due| !due.tried && due.missed_by + due.delay < now);
        if let Some(earlier) = earlier.filter(|_| retain) {
            floor.shelf.may_keep(stream, earlier.number);
        }
        if let Some(due) = due {
            owe(&due, stream, now, floor);
        }
    }

    /// Decides what must become of the will of the last connection, now that the server has accepted another.
    fn returned(&mut self, now: Instant, present: bool, floor: &mut Floor) {
        let stream = floor.roster.will(usize::from(self.group), self.number);
        let (Some(stream), Some(rest)) = (stream, &mut self.rest) else { return };
        let Some(due) = rest.due_will.take() else { return };
        if due.delay.is_zero() || !present && !due.tried {
            owe(&due, stream, now, floor);
        } else if present && now < due.alive_at + due.delay {
            floor.ledger.forbid(stream, due.number, now);
            floor.shelf.does_not_keep(stream, due.number);
        }
    }

    /// Notes that the will of the connection that has just ended is due, or revoked.
    fn settle_will(&mut self, why: &Why, missed_by: Instant, floor: &mut Floor) {
        let group = usize::from(self.group);
        let stream = floor.roster.will(group, self.number);
        let (Some(plan), Some(stream), Some(rest)) = (&floor.plan.groups[group].will, stream, &mut self.rest) else {
            return;
        };
        let Some(will) = rest.will.take() else { return };
        if plan.retain {
            floor.shelf.may_keep(stream, will.number);
        }
        if *why == Why::Asked {
            rest.revoked_will = Some(will);
            return;
        }
        // Of a session that ends, nothing is held back for longer.
        let delay = Duration::from_secs(plan.delay.min(floor.plan.groups[group].session_expiry).into());
        let (number, alive_at) = (will.number, self.alive_at);
        rest.due_will = Some(DueWill { number, alive_at, missed_by, delay, tried: false });
    }

    /// The server has read all that was said on `conn` to the end. Where that was a goodbye, it must not publish the will.
    pub fn heard_out(&mut self, now: Instant, conn: ConnId, floor: &mut Floor) {
        let stream = floor.roster.will(usize::from(self.group), self.number);
        let revoked = self.rest.as_mut().and_then(|rest| rest.revoked_will.take_if(|will| will.conn == conn));
        if let (Some(stream), Some(will)) = (stream, revoked) {
            floor.ledger.forbid(stream, will.number, now);
            floor.shelf.does_not_keep(stream, will.number);
        }
    }

    /// The run is over: books what the server must have done by now without us.
    pub fn settle(&mut self, now: Instant, floor: &mut Floor) {
        let group = usize::from(self.group);
        let plan = &floor.plan.groups[group];
        if self.connected {
            // The server may have lost us without our knowing.
            let stream =
                floor.roster.will(group, self.number).filter(|_| plan.will.as_ref().is_some_and(|it| it.retain));
            let will = self.rest.as_ref().and_then(|rest| rest.will);
            if let (Some(stream), Some(will)) = (stream, will) {
                floor.shelf.may_keep(stream, will.number);
            }
            return;
        }
        let gone_for_good = self.is_off() && self.off_until == Instant::FAR;
        if gone_for_good || self.session_must_be_there(now, plan, floor.forgot_at) != Some(true) {
            self.unsubscribed(now, floor);
        }
        let Some(stream) = floor.roster.will(group, self.number) else { return };
        let attempt = self.rest.as_ref().is_some_and(|rest| rest.will.is_some());
        let due = self.rest.as_mut().and_then(|rest| rest.due_will.take());
        if let Some(due) = due.filter(|due| due.missed_by + due.delay <= now && (due.delay.is_zero() || !attempt)) {
            owe(&due, stream, now, floor);
        }
    }
}

/// Books a will as due. It may have been published from the moment on at which the server last had the connection, so only
/// who subscribed before that is owed it.
fn owe(due: &DueWill, stream: u32, now: Instant, floor: &mut Floor) {
    floor.ledger.accept(stream, due.number, due.alive_at);
    floor.shelf.keeps(stream, due.number, due.alive_at, now);
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

/// A payload of `size` bytes that is only its tag.
fn raw(out: &mut Vec<u8>, tag: &Tag, size: u32) {
    out.clear();
    out.extend_from_slice(&tag.bytes());
    out.resize(out.len().max(size as usize), 0);
}

fn plain<'a>(topic: &'a str, qos: QoS, payload: &'a [u8]) -> Message<'a> {
    Message { dup: false, qos, retain: false, topic, packet_id: None, properties: Properties::EMPTY, payload }
}

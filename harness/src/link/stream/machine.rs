//! The two ends of a connection while something is under way, and the wire between them.

mod arriving;

use std::time::Duration;

use smallvec::SmallVec;

use super::quiet::{Quiet, Rest};
use super::receiver::{Held, Receiver};
use super::segment::{Body, Range, Segment};
use super::sender::{Outstanding, Push, Sender, Side};
use super::stack::{Stack, Ticks};
use super::{Arrival, End, Passage, Reading};
use crate::link::path::{Fate, Link};
use crate::node::Closed;
use crate::rng::Draws;
use crate::time::Instant;

/// What an end knows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Half {
    pub(super) stack: Stack,
    pub(super) stage: Stage,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    /// How it reads, if not at once, and when it does so next.
    pub(super) slow: Option<Box<(Reading, Instant)>>,
}

/// How far a connection is, as one end knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not there yet.
    Idle,
    /// It sent SYN or the answer to one.
    Opening,
    Open,
    /// The peer's end of stream was read.
    Heard,
    /// Over; whatever still comes is answered by a reset.
    Over,
    /// Gone without a word; whatever still comes is not answered.
    Gone,
}

impl Stage {
    pub(super) const fn stands(self) -> bool {
        matches!(self, Self::Open | Self::Heard)
    }

    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Over | Self::Gone)
    }
}

/// What is under way.
#[derive(Debug, Default)]
struct Busy {
    ends: [Outstanding; 2],
    held: [Held; 2],
    /// By the sending end. First to arrive first.
    wire: [SmallVec<[Flying; 1]>; 2],
    /// When the opening segment is to be repeated, per end.
    opening: [Option<Instant>; 2],
    /// What was worked out and not yet taken.
    ready: SmallVec<[Arrival; 2]>,
    /// The earliest thing to happen inside. Kept, because it is asked for three times as often as it changes.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Flying {
    at: Instant,
    /// It waits for the device to wake.
    waits: bool,
    segment: Segment,
}

/// One connection with all it takes while something is under way.
#[derive(Debug)]
pub(super) struct Machine {
    ends: [Half; 2],
    busy: Box<Busy>,
    ticks: [Ticks; 2],
    /// When the last segment passed the translator of addresses.
    spoke: Instant,
    passage: Passage,
    /// How far the stream was worked out.
    done: Instant,
    mss: u16,
    modern: bool,
    ideal: bool,
}

impl Machine {
    /// A connection that the device begins to open at `now`.
    pub(super) fn open(now: Instant, link: &mut Link) -> Self {
        let profile = link.profile();
        let (stack, mss) = (profile.stack, profile.mtu - 52);
        let half = |end| {
            let stack = stack.at(end);
            Half { stack, stage: Stage::Idle, sender: Sender::new(stack), receiver: Receiver::new(), slow: None }
        };
        // Hosts count their ticks from some moment: 2^35 ns hold all slots of the wheel that matter.
        let mut draws = Draws::stream(link.phase(), "ticks");
        let ticks = [0; 2].map(|_| Ticks { phase: draws.u64() >> 29 });
        let mut stream = Self {
            ends: End::BOTH.map(half),
            busy: Box::default(),
            ticks,
            spoke: now,
            passage: Passage::Open,
            done: now,
            mss,
            modern: stack.habits().modern,
            ideal: stack == Stack::Ideal,
        };
        stream.ends[0].stage = Stage::Opening;
        stream.begin(now, link, End::Device);
        stream.busy.next = stream.next();
        stream
    }

    /// Sends SYN or its answer, now and until the peer has answered.
    fn begin(&mut self, now: Instant, link: &mut Link, end: End) {
        let half = &mut self.ends[end as usize];
        let habits = half.stack.habits();
        let sender = &mut half.sender;
        let doublings = sender.retries.saturating_sub(habits.even_syns * u8::from(end == End::Device));
        let wait = habits.first_rto << doublings.min(10);
        let fires = self.ticks[end as usize].fires(now, wait, habits);
        self.busy.opening[end as usize] = Some(fires);
        let body = if end == End::Device { Body::Open } else { Body::Answer };
        self.with(now, link, end, |side| side.emit(body));
    }

    /// Adds `bytes` to what `end` has to say. They leave as windows and the peer allow; [`Self::room`] is a wish, not a
    /// limit.
    pub(super) fn send(&mut self, now: Instant, link: &mut Link, end: End, bytes: u64) {
        let half = &mut self.ends[end as usize];
        if bytes == 0 || half.sender.finished || !matches!(half.stage, Stage::Open | Stage::Heard | Stage::Opening) {
            return;
        }
        half.sender.written += bytes;
        self.push(now, link, end);
    }

    /// Ends what `end` has to say; the peer hears of it after all bytes.
    pub(super) fn finish(&mut self, now: Instant, link: &mut Link, end: End) {
        let half = &mut self.ends[end as usize];
        if half.sender.finished || !matches!(half.stage, Stage::Open | Stage::Heard | Stage::Opening) {
            return;
        }
        half.sender.finished = true;
        half.sender.written += 1;
        self.push(now, link, end);
    }

    fn push(&mut self, now: Instant, link: &mut Link, end: End) {
        if self.ideal {
            return self.teleport(now, link, end);
        }
        if self.ends[end as usize].stage.stands() {
            self.with(now, link, end, |side| {
                side.push(Push::Normal);
            });
        }
    }

    /// Without TCP: what is written arrives, in one piece.
    fn teleport(&mut self, now: Instant, link: &mut Link, end: End) {
        let sender = &mut self.ends[end as usize].sender;
        let range = Range { start: sender.nxt, end: sender.written };
        let finishes = sender.finished;
        if range.start < range.end && self.ends[end as usize].stage.stands() {
            let sender = &mut self.ends[end as usize].sender;
            (sender.nxt, sender.edge) = (range.end, sender.edge.max(range.end));
            self.with(now, link, end, |side| side.emit(Body::Data { range, pushed: true, finishes }));
        }
    }

    /// Tears the connection down: what is buffered here is lost, the peer hears of it if the reset reaches it.
    pub(super) fn abort(&mut self, now: Instant, link: &mut Link, end: End) {
        if self.ends[end as usize].stage.stands() || self.ends[end as usize].stage == Stage::Opening {
            self.with(now, link, end, |side| side.emit(Body::Reset));
            self.end(end, Stage::Over);
        }
    }

    /// The end is gone without a word (power, cable).
    pub(super) fn vanish(&mut self, end: End) {
        self.end(end, Stage::Gone);
    }

    /// From now on nothing passes, and neither end is told: half open.
    pub(super) const fn sever(&mut self) {
        self.passage = Passage::Severed;
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.passage == Passage::Forgotten
    }

    /// A box in the middle resets the connection, both ways, now.
    pub(super) fn reset(&mut self, now: Instant) {
        for end in End::BOTH {
            self.close(now, end, Closed::Reset);
        }
    }

    /// How `end` reads from now on.
    pub(super) fn read(&mut self, now: Instant, link: &mut Link, end: End, reading: Reading) {
        self.ends[end as usize].slow = (reading != Reading::Prompt).then(|| Box::new((reading, now)));
        self.release(now, link, end);
    }

    /// Bytes that `end` has handed over and the peer has not acknowledged.
    pub(super) fn unacknowledged(&self, end: End) -> u64 {
        let sender = &self.ends[end as usize].sender;
        sender.written - sender.una
    }

    /// Whether nothing will happen any more, whatever the driver does.
    pub(super) fn is_over(&self) -> bool {
        // A server that never heard of a connection which the device gave up never will.
        let [device, server] = self.ends.each_ref().map(|half| half.stage);
        device.is_over() && (server.is_over() || server == Stage::Idle) && self.is_idle()
    }

    /// When to [`Self::poll`] next. While bytes are on their way that is when something may move on; afterwards it is
    /// once more, to let go of memory.
    pub(super) fn deadline(&self) -> Instant {
        if let Some(arrival) = self.busy.ready.first() {
            return arrival.at;
        }
        let next = self.busy.next.unwrap_or(Instant::FAR);
        let waiting = |end: End| {
            let (half, peer) = (&self.ends[end as usize], &self.ends[end.peer() as usize]);
            let listens = !peer.stage.is_over();
            half.stage == Stage::Opening || (half.sender.written > peer.receiver.read && listens && half.stage.stands())
        };
        if next == Instant::FAR || End::BOTH.into_iter().any(waiting) { next } else { next.max(self.done + TIDY) }
    }

    /// The next arrival up to `now`, if there is one.
    pub(super) fn poll(&mut self, now: Instant, link: &mut Link) -> Option<Arrival> {
        if self.busy.ready.is_empty() {
            self.catch_up(now, link);
        }
        let ready = &mut self.busy.ready;
        (ready.first()?.at <= now).then(|| ready.remove(0))
    }

    /// Lets something be done to it from outside, at `now`, once all that was to happen before has happened.
    pub(super) fn act(&mut self, now: Instant, link: &mut Link, act: impl FnOnce(&mut Self, &mut Link)) {
        self.catch_up(now, link);
        act(self, link);
        self.busy.next = self.next();
    }

    /// The earliest thing to happen inside, worked out.
    fn next(&self) -> Option<Instant> {
        let mut next = Instant::FAR;
        let mut consider = |at: Option<Instant>| next = next.min(at.unwrap_or(Instant::FAR));
        for end in 0..2 {
            consider(self.busy.wire[end].first().map(|flying| flying.at));
            consider(self.busy.ends[end].timer.map(|(_, at)| at));
            consider(self.busy.opening[end]);
            consider(self.busy.held[end].owed);
            consider(self.ends[end].reads_at());
        }
        Some(next).filter(|&next| next < Instant::FAR)
    }

    /// Works out all that happens up to `now`.
    fn catch_up(&mut self, now: Instant, link: &mut Link) {
        let mut moved = false;
        while let Some(next) = self.busy.next.filter(|&next| next <= now) {
            self.step(next, link);
            self.busy.next = self.next();
            moved = true;
        }
        self.done = self.done.max(now);
        if moved && self.is_idle() {
            // What comes next has nothing to do with what came before.
            self.busy.ends = Default::default();
        }
    }

    /// Whether nothing is under way.
    fn is_idle(&self) -> bool {
        let Busy { ends, held, ready, next, .. } = &*self.busy;
        next.is_none()
            && ready.is_empty()
            && ends.iter().all(|end| end.sent.is_empty())
            && held.iter().all(Held::is_empty)
    }

    /// What is left of it when nothing is under way, and nothing is out of the ordinary.
    pub(super) fn quiet(&mut self) -> Option<Quiet> {
        if !self.is_idle() {
            return None;
        }
        self.busy.ends = Default::default();
        let rest = |end: usize| {
            let ticks = self.ticks[end];
            Rest::of(&self.ends[end], &self.ends[1 - end], ticks.micros(self.done)).map(|rest| (rest, ticks))
        };
        let (mut ends, before) = ([rest(0)?, rest(1)?], cfg!(debug_assertions).then(|| self.ends.clone()));
        for (end, half) in ends.iter_mut().zip(&mut self.ends) {
            end.0.window = half.sender.window.state.take();
        }
        let Self { spoke, done, mss, passage, .. } = *self;
        let quiet = Quiet { ends, spoke, done, mss, passage, stack: self.ends[0].stack };
        debug_assert!(
            before.is_none_or(|before| Self::wake(&mut quiet.clone()).ends == before),
            "a rest forgets nothing"
        );
        Some(quiet)
    }

    /// As it was before it was quiet.
    pub(super) fn wake(quiet: &mut Quiet) -> Self {
        let Quiet { spoke, done, mss, passage, stack, .. } = *quiet;
        let ticks = quiet.ends.each_ref().map(|(_, ticks)| *ticks);
        let (modern, ideal) = (stack.habits().modern, stack == Stack::Ideal);
        Self { ends: quiet.halves(), busy: Box::default(), ticks, spoke, passage, done, mss, modern, ideal }
    }

    /// Does the one thing that is due at `at`: what arrives comes before timers, as interrupts do.
    fn step(&mut self, at: Instant, link: &mut Link) {
        for end in End::BOTH {
            let wire = &mut self.busy.wire[end as usize];
            if wire.first().is_some_and(|flying| flying.at <= at) {
                let flying = wire.remove(0);
                return self.arrive(at, link, end.peer(), &flying.segment);
            }
        }
        for end in End::BOTH {
            let busy = &mut self.busy;
            if busy.opening[end as usize].is_some_and(|due| due <= at) {
                busy.opening[end as usize] = None;
                return self.reopen(at, link, end);
            }
            if let Some((timer, _)) = busy.ends[end as usize].timer.filter(|timer| timer.1 <= at) {
                busy.ends[end as usize].timer = None;
                let mut lost = false;
                self.with(at, link, end, |side| lost = side.fire(timer));
                if lost {
                    self.close(at, end, Closed::Reset);
                }
                return;
            }
            if busy.held[end as usize].owed.is_some_and(|due| due <= at) {
                return self.with(at, link, end, |side| side.delayed_ack());
            }
            if self.ends[end as usize].reads_at().is_some_and(|due| due <= at) {
                return self.release(at, link, end);
            }
        }
    }

    /// The answer to an opening segment has not come in time.
    fn reopen(&mut self, at: Instant, link: &mut Link, end: End) {
        let half = &mut self.ends[end as usize];
        half.sender.retries += 1;
        let habits = half.stack.habits();
        let most = if end == End::Device { habits.syn_retries } else { ANSWER_RETRIES };
        if half.sender.retries > most {
            if end == End::Server {
                return self.end(end, Stage::Over);
            }
            return self.close(at, end, Closed::Reset);
        }
        self.begin(at, link, end);
    }

    /// Lets one end act at `now`, and sends what it wants sent.
    fn with(&mut self, now: Instant, link: &mut Link, end: End, act: impl FnOnce(&mut Side<'_>)) {
        let busy = &mut self.busy;
        let ticks = self.ticks[end as usize];
        let mut wire = SmallVec::new();
        act(&mut Side {
            half: &mut self.ends[end as usize],
            out: &mut busy.ends[end as usize],
            held: &mut busy.held[end as usize],
            now,
            micros: ticks.micros(now),
            ticks,
            mss: u64::from(self.mss),
            modern: self.modern,
            wire: &mut wire,
        });
        for segment in wire.drain(..) {
            self.transmit(now, link, end, segment);
        }
    }

    fn transmit(&mut self, now: Instant, link: &mut Link, end: End, segment: Segment) {
        if self.passage == Passage::Open && link.nat_idle().is_some_and(|idle| now.since(self.spoke) >= idle) {
            self.passage = Passage::Forgotten;
        }
        match self.passage {
            Passage::Open => {}
            // Whoever speaks into what was forgotten hears of it for itself.
            Passage::Forgotten if link.profile().nat.as_ref().is_some_and(|nat| nat.reset) => {
                return self.close(now, end, Closed::Reset);
            }
            Passage::Forgotten | Passage::Severed => return,
        }
        self.spoke = now;
        let bytes = match segment.body {
            Body::Data { range, .. } => (range.end - range.start) as u32,
            _ => 0,
        };
        let fate = link.carry(now, end.sends(), bytes);
        let (at, waits) = match fate {
            Fate::Lost => return,
            Fate::Arrives(at) => (at, false),
            Fate::Waits(at) => (at, true),
        };
        let busy = &mut self.busy;
        if end == End::Device && busy.wire[End::Server as usize].iter().any(|flying| flying.waits) {
            // The network learns that it is awake, and what waited for that follows.
            let follows = at + (at - now);
            link.woken(follows);
            for flying in &mut busy.wire[End::Server as usize] {
                flying.at = flying.at.min(follows);
                flying.waits = false;
            }
        }
        busy.wire[end as usize].push(Flying { at, waits, segment });
    }
}

impl Half {
    /// When a paced reader reads on, if there is something to read.
    fn reads_at(&self) -> Option<Instant> {
        let (reading, at) = self.slow.as_deref()?;
        let more = self.receiver.next > self.receiver.read && self.stage.stands();
        (more && matches!(reading, Reading::Paced(..))).then_some(*at)
    }
}

/// How often a server repeats its answer to SYN.
const ANSWER_RETRIES: u8 = 5;
/// When nothing is on its way any more, the last acknowledgements are over after about this.
const TIDY: Duration = Duration::from_secs(1);

//! One TCP connection across a [`Link`]: what loss, delay and silence make of it.
//!
//! A stream knows no bytes, only how many: whoever drives it keeps the bytes of each direction in a queue, tells it how
//! many were added, and takes as many from the front as it releases. So nothing can be lost, doubled or reordered here;
//! it can only come late, or never.
//!
//! Inside, two ends exchange segments over the two lanes of the link, by the rules of their stacks. As long as nothing
//! that was sent is outstanding this takes no memory; what happens unseen (acknowledgements, probes) is worked out only
//! when someone looks.

mod acknowledge;
mod estimate;
mod receiver;
mod recovery;
mod segment;
mod sender;
mod stack;
mod window;

use std::time::Duration;

use smallvec::SmallVec;

pub use stack::Stack;

use self::receiver::{Held, Receiver};
use self::segment::{Ack, Body, MOST_SACKS, Range, Segment};
use self::sender::{Outstanding, Push, Sender, Side};
use self::stack::Ticks;
use super::path::{Fate, Link, Way};
use crate::node::Closed;
use crate::rng::Draws;
use crate::time::Instant;

/// An end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The device, which opened the connection.
    Device,
    /// What it is connected to.
    Server,
}

impl End {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Device, Self::Server];

    /// The other one.
    pub const fn peer(self) -> Self {
        match self {
            Self::Device => Self::Server,
            Self::Server => Self::Device,
        }
    }

    /// The direction in which it sends.
    pub const fn sends(self) -> Way {
        match self {
            Self::Device => Way::Up,
            Self::Server => Way::Down,
        }
    }
}

/// Something that reached an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// Where.
    pub end: End,
    /// What.
    pub what: Arrived,
}

/// What can reach an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// The connection stands, as far as this end knows.
    Opened,
    /// So many further bytes of the peer.
    Bytes(u64),
    /// Nothing more will come. After `Finished` this end may still send.
    Closed(Closed),
}

/// How an end reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// At once.
    #[default]
    Prompt,
    /// So many bytes, then not before the span has passed: a slow reader, or with one byte a dribble.
    Paced(u32, Duration),
    /// Not at all.
    Stopped,
    /// So many bytes more, at once; with the last of them the connection is reset, both ways.
    UntilReset(u32),
}

impl Reading {
    /// A slow reader, of so many bytes in a second: it reads ten times in one.
    pub const fn at_rate(bytes: u32) -> Self {
        Self::Paced(bytes.div_ceil(10), Duration::from_millis(100))
    }
}

/// What an end knows.
#[derive(Clone, Debug)]
struct Half {
    stack: Stack,
    stage: Stage,
    sender: Sender,
    receiver: Receiver,
    /// How it reads, if not at once, and when it does so next.
    slow: Option<Box<(Reading, Instant)>>,
}

/// How far a connection is, as one end knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
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
    const fn stands(self) -> bool {
        matches!(self, Self::Open | Self::Heard)
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
}

#[derive(Debug)]
struct Flying {
    at: Instant,
    /// It waits for the device to wake.
    waits: bool,
    segment: Segment,
}

/// One connection of a device.
#[derive(Debug)]
pub struct Stream {
    ends: [Half; 2],
    busy: Option<Box<Busy>>,
    ticks: [Ticks; 2],
    /// When the last segment passed the translator of addresses.
    spoke: Instant,
    /// Nothing passes any more, and neither end knows.
    severed: bool,
    /// How far the stream was worked out.
    done: Instant,
    mss: u16,
    modern: bool,
    ideal: bool,
}

impl Stream {
    /// A connection that the device begins to open at `now`.
    pub fn open(now: Instant, link: &mut Link) -> Self {
        let profile = link.profile();
        let (stack, mss) = (profile.stack, profile.mtu - 52);
        let half = |stack| Half {
            stack,
            stage: Stage::Idle,
            sender: Sender::new(stack),
            receiver: Receiver::new(),
            slow: None,
        };
        // Hosts count their ticks from some moment: 2^35 ns hold all slots of the wheel that matter.
        let mut draws = Draws::stream(link.phase(), "ticks");
        let ticks = [0; 2].map(|_| Ticks { phase: draws.u64() >> 29 });
        let mut stream = Self {
            ends: [half(stack), half(Stack::Linux)],
            busy: None,
            ticks,
            spoke: now,
            severed: false,
            done: now,
            mss,
            modern: stack.habits().modern,
            ideal: stack == Stack::Ideal,
        };
        stream.ends[0].stage = Stage::Opening;
        stream.begin(now, link, End::Device);
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
        let busy = self.busy.get_or_insert_default();
        busy.opening[end as usize] = Some(fires);
        let body = if end == End::Device { Body::Open } else { Body::Answer };
        self.with(now, link, end, |side| side.emit(body));
    }

    /// Adds `bytes` to what `end` has to say. They leave as windows and the peer allow; [`Self::room`] is a wish, not a
    /// limit.
    pub fn send(&mut self, now: Instant, link: &mut Link, end: End, bytes: u64) {
        self.catch_up(now, link);
        let half = &mut self.ends[end as usize];
        if bytes == 0 || half.sender.finished || !matches!(half.stage, Stage::Open | Stage::Heard | Stage::Opening) {
            return;
        }
        half.sender.written += bytes;
        self.push(now, link, end);
    }

    /// Ends what `end` has to say; the peer hears of it after all bytes.
    pub fn finish(&mut self, now: Instant, link: &mut Link, end: End) {
        self.catch_up(now, link);
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
        if range.start < range.end && self.ends[end as usize].stage.stands() {
            self.ends[end as usize].sender.nxt = range.end;
            self.ends[end as usize].sender.una = range.end;
            let finishes = self.ends[end as usize].sender.finished;
            self.with(now, link, end, |side| side.emit(Body::Data { range, pushed: true, finishes }));
        }
    }

    /// Tears the connection down: what is buffered here is lost, the peer hears of it if the reset reaches it.
    pub fn abort(&mut self, now: Instant, link: &mut Link, end: End) {
        self.catch_up(now, link);
        if self.ends[end as usize].stage.stands() || self.ends[end as usize].stage == Stage::Opening {
            self.with(now, link, end, |side| side.emit(Body::Reset));
            self.end(end, Stage::Over);
        }
    }

    /// The end is gone without a word (power, cable).
    pub fn vanish(&mut self, now: Instant, link: &mut Link, end: End) {
        self.catch_up(now, link);
        self.end(end, Stage::Gone);
    }

    /// From now on nothing passes, and neither end is told: half open.
    pub const fn sever(&mut self) {
        self.severed = true;
    }

    /// A box in the middle resets the connection, both ways, now.
    pub fn reset(&mut self, now: Instant, link: &mut Link) {
        self.catch_up(now, link);
        for end in End::BOTH {
            self.close(now, end, Closed::Reset);
        }
    }

    /// How `end` reads from now on.
    pub fn read(&mut self, now: Instant, link: &mut Link, end: End, reading: Reading) {
        self.catch_up(now, link);
        self.ends[end as usize].slow = (reading != Reading::Prompt).then(|| Box::new((reading, now)));
        self.release(now, link, end);
    }

    /// How many more bytes `end` should hand over, by the send buffer of its stack.
    pub fn room(&self, end: End) -> u64 {
        let sender = &self.ends[end as usize].sender;
        SEND_BUFFER.saturating_sub(sender.written - sender.una)
    }

    /// Bytes that `end` has handed over and the peer has not been given.
    pub fn unreleased(&self, end: End) -> u64 {
        let (sender, receiver) = (&self.ends[end as usize].sender, &self.ends[end.peer() as usize].receiver);
        (sender.written - receiver.read).saturating_sub(u64::from(sender.finished && receiver.read < sender.written))
    }

    /// Whether nothing will happen any more, whatever the driver does.
    pub fn is_over(&self) -> bool {
        let over = |half: &Half| matches!(half.stage, Stage::Over | Stage::Gone);
        self.busy.is_none() && self.ends.iter().all(over)
    }

    /// When to [`Self::poll`] next. While bytes are on their way that is when something may move on; afterwards it is
    /// once more, to let go of memory.
    pub fn deadline(&self) -> Option<Instant> {
        if let Some(arrival) = self.busy.as_deref().and_then(|busy| busy.ready.first()) {
            return Some(arrival.at);
        }
        let next = self.next()?;
        let waiting = |end: End| {
            let (half, peer) = (&self.ends[end as usize], &self.ends[end.peer() as usize]);
            let listens = matches!(peer.stage, Stage::Idle | Stage::Opening | Stage::Open | Stage::Heard);
            half.stage == Stage::Opening || (half.sender.written > peer.receiver.read && listens && half.stage.stands())
        };
        if End::BOTH.into_iter().any(waiting) { Some(next) } else { Some(next.max(self.done + TIDY)) }
    }

    /// The next arrival up to `now`, if there is one.
    pub fn poll(&mut self, now: Instant, link: &mut Link) -> Option<Arrival> {
        if self.busy.as_deref()?.ready.is_empty() {
            self.catch_up(now, link);
        }
        let ready = &mut self.busy.as_deref_mut()?.ready;
        (ready.first()?.at <= now).then(|| ready.remove(0))
    }

    /// The earliest thing to happen inside.
    fn next(&self) -> Option<Instant> {
        let busy = self.busy.as_deref()?;
        let wires = busy.wire.iter().filter_map(|wire| wire.first().map(|flying| flying.at));
        let timers = busy.ends.iter().filter_map(|end| end.timer.map(|timer| timer.1));
        let openings = busy.opening.iter().filter_map(|at| *at);
        let owed = busy.held.iter().filter_map(|held| held.owed);
        let reads = self.ends.iter().filter_map(Half::reads_at);
        wires.chain(timers).chain(openings).chain(owed).chain(reads).min()
    }

    /// Works out all that happens up to `now`.
    fn catch_up(&mut self, now: Instant, link: &mut Link) {
        while let Some(at) = self.next().filter(|&at| at <= now) {
            self.step(at, link);
        }
        self.done = self.done.max(now);
        self.tidy();
    }

    /// Lets go of memory when nothing is under way.
    fn tidy(&mut self) {
        if let Some(busy) = &self.busy
            && self.next().is_none()
            && busy.ends.iter().all(|end| end.sent.is_empty())
            && busy.held.iter().all(Held::is_empty)
            && busy.ready.is_empty()
        {
            self.busy = None;
        }
    }

    /// Does the one thing that is due at `at`: what arrives comes before timers, as interrupts do.
    fn step(&mut self, at: Instant, link: &mut Link) {
        let Some(busy) = self.busy.as_deref_mut() else { return };
        for end in End::BOTH {
            let wire = &mut busy.wire[end as usize];
            if wire.first().is_some_and(|flying| flying.at <= at) {
                let flying = wire.remove(0);
                return self.arrive(at, link, end.peer(), &flying.segment);
            }
        }
        for end in End::BOTH {
            let busy = self.busy.get_or_insert_default();
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

    /// A segment reaches `end`.
    fn arrive(&mut self, at: Instant, link: &mut Link, end: End, segment: &Segment) {
        match (self.ends[end as usize].stage, segment.body) {
            (Stage::Gone, _) | (Stage::Over | Stage::Idle, Body::Reset) => {}
            (Stage::Over, _) | (Stage::Idle, Body::Plain | Body::Ask | Body::Data { .. }) => {
                self.with(at, link, end, |side| side.emit(Body::Reset));
            }
            (_, Body::Reset) => self.close(at, end, Closed::Reset),
            (Stage::Idle | Stage::Opening, Body::Open) => {
                let half = &mut self.ends[end as usize];
                // A repeated SYN is answered with the stamp of the first (Linux): if an answer was lost, the device takes
                // the whole time since then for a round trip, and its time-out takes dozens of messages to recover.
                if half.stage == Stage::Idle {
                    half.stage = Stage::Opening;
                    half.receiver.note_stamp(0, segment.stamp);
                    half.sender.edge = segment.ack.edge;
                }
                self.begin(at, link, end);
            }
            (Stage::Opening, Body::Answer) => {
                self.opened(at, end, segment);
                self.with(at, link, end, |side| {
                    side.emit(Body::Plain);
                    side.push(Push::Normal);
                });
                if self.ideal {
                    self.teleport(at, link, end);
                }
            }
            (Stage::Opening, Body::Data { .. } | Body::Plain | Body::Ask) if end == End::Server => {
                self.opened(at, end, segment);
                self.arrive(at, link, end, segment);
            }
            (Stage::Open | Stage::Heard, Body::Answer) => self.with(at, link, end, |side| side.emit(Body::Plain)),
            (Stage::Open | Stage::Heard, Body::Data { range, pushed, finishes }) => {
                let reading = self.ends[end as usize].slow.is_none();
                if self.ideal {
                    let receiver = &mut self.ends[end as usize].receiver;
                    receiver.next = range.end;
                    receiver.end = finishes.then_some(range.end);
                    return self.release(at, link, end);
                }
                self.with(at, link, end, |side| {
                    let receiver = &mut side.half.receiver;
                    if !receiver.is_stale(range) {
                        receiver.note_stamp(range.start, segment.stamp);
                        side.acknowledge(&segment.ack, true);
                    }
                    side.receive(range, pushed, finishes, reading);
                    side.push(Push::Normal);
                });
                self.release(at, link, end);
                self.finished(end);
            }
            (Stage::Open | Stage::Heard, Body::Plain) if !self.ideal => {
                self.with(at, link, end, |side| {
                    side.acknowledge(&segment.ack, false);
                    side.push(Push::Normal);
                });
                self.finished(end);
            }
            (Stage::Open | Stage::Heard, Body::Ask) => self.with(at, link, end, |side| {
                side.acknowledge(&segment.ack, false);
                side.emit(Body::Plain);
            }),
            _ => {}
        }
    }

    /// The connection stands, for `end`: the first round trip is measured.
    fn opened(&mut self, at: Instant, end: End, segment: &Segment) {
        let micros = self.ticks[end as usize].micros(at);
        let half = &mut self.ends[end as usize];
        half.stage = Stage::Open;
        half.receiver.note_stamp(0, segment.stamp);
        half.sender.edge = segment.ack.edge;
        if half.sender.retries > 0 {
            half.sender.window.after_lost_opening(half.sender.retries, half.stack.habits());
        }
        half.sender.retries = 0;
        half.sender.last_sent = micros;
        let echo = segment.ack.echo;
        if echo > 0 {
            let sample = (micros - (echo * 1_000).min(micros)).max(1);
            half.sender.estimate.note_least(micros, sample, false);
            half.sender.estimate.sample(half.stack, sample, 0, 0);
        }
        if let Some(busy) = self.busy.as_deref_mut() {
            busy.opening[end as usize] = None;
        }
        self.busy.get_or_insert_default().ready.push(Arrival { at, end, what: Arrived::Opened });
    }

    /// Gives the application of `end` what it reads.
    fn release(&mut self, at: Instant, link: &mut Link, end: End) {
        let half = &mut self.ends[end as usize];
        let receiver = &mut half.receiver;
        let stream = receiver.end.filter(|&end| end <= receiver.next).map_or(receiver.next, |end| end - 1);
        let mut bytes = stream - receiver.read.min(stream);
        let mut breaks = false;
        if let Some((reading, reads_at)) = half.slow.as_deref_mut() {
            match reading {
                Reading::Prompt => {}
                Reading::Paced(most, pause) if at >= *reads_at => {
                    bytes = bytes.min(u64::from(*most));
                    if bytes > 0 {
                        *reads_at = at + *pause;
                    }
                }
                Reading::Paced(..) | Reading::Stopped => return,
                Reading::UntilReset(left) => {
                    bytes = bytes.min(u64::from(*left));
                    *left -= bytes as u32;
                    breaks = *left == 0;
                }
            }
        }
        receiver.read += bytes;
        if bytes > 0 && half.stage.stands() {
            self.busy.get_or_insert_default().ready.push(Arrival { at, end, what: Arrived::Bytes(bytes) });
        }
        if breaks {
            return End::BOTH.into_iter().for_each(|end| self.close(at, end, Closed::Reset));
        }
        let half = &mut self.ends[end as usize];
        if half.receiver.end == Some(half.receiver.read + 1) && half.receiver.next > half.receiver.read {
            half.receiver.read += 1;
            if half.stage == Stage::Open {
                half.stage = Stage::Heard;
                self.busy.get_or_insert_default().ready.push(Arrival {
                    at,
                    end,
                    what: Arrived::Closed(Closed::Finished),
                });
            }
            self.finished(end);
        } else if bytes > 0 && !self.ideal && half.slow.is_some() {
            self.with(at, link, end, |side| side.tell_window());
        }
    }

    /// An end that has heard and said all is over.
    fn finished(&mut self, end: End) {
        let half = &self.ends[end as usize];
        let said = half.sender.finished && half.sender.una == half.sender.written;
        if half.stage == Stage::Heard && said {
            self.end(end, Stage::Over);
        }
    }

    /// The connection ends for `end`, which is told.
    fn close(&mut self, at: Instant, end: End, how: Closed) {
        let stage = self.ends[end as usize].stage;
        if stage.stands() || stage == Stage::Opening {
            // A server that has not accepted yet has nobody to tell.
            if stage.stands() || end == End::Device {
                self.busy.get_or_insert_default().ready.push(Arrival { at, end, what: Arrived::Closed(how) });
            }
            self.end(end, Stage::Over);
        }
    }

    fn end(&mut self, end: End, stage: Stage) {
        let half = &mut self.ends[end as usize];
        half.stage = stage;
        half.slow = None;
        if let Some(busy) = self.busy.as_deref_mut() {
            busy.opening[end as usize] = None;
            busy.ends[end as usize].timer = None;
            busy.ends[end as usize].sent.clear();
            busy.held[end as usize] = Held::default();
        }
    }

    /// Lets one end act at `now`, and sends what it wants sent.
    fn with(&mut self, now: Instant, link: &mut Link, end: End, act: impl FnOnce(&mut Side<'_>)) {
        let busy = self.busy.get_or_insert_default();
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
        for segment in wire {
            self.transmit(now, link, end, segment);
        }
    }

    fn transmit(&mut self, now: Instant, link: &mut Link, end: End, segment: Segment) {
        if self.severed {
            return;
        }
        if let Some(idle) = link.nat_idle()
            && now.since(self.spoke) >= idle
        {
            self.severed = true;
            if link.profile().nat.as_ref().is_some_and(|nat| nat.reset) {
                self.close(now, end, Closed::Reset);
            }
            return;
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
        let Some(busy) = self.busy.as_deref_mut() else { return };
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

/// What a stack takes from its application before it is full.
const SEND_BUFFER: u64 = 256 * 1024;
/// How often a server repeats its answer to SYN.
const ANSWER_RETRIES: u8 = 5;
/// When nothing is on its way any more, the last acknowledgements are over after about this.
const TIDY: Duration = Duration::from_secs(1);

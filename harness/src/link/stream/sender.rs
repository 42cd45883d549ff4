//! The sending half of one end: what goes out when.
//!
//! It follows Linux 6.x step by step, because the delays of a thin stream on a bad link are made by its timers and by
//! the order of its decisions. A stack without the modern parts (`Habits::modern`) is NewReno on the same frame.

use smallvec::SmallVec;

use super::estimate::Estimate;
use super::machine::Half;
use super::receiver::Held;
use super::segment::{Body, Range, Segment};
use super::stack::{Habits, Stack, Ticks};
use super::window::{Used, Window};
use crate::time::Instant;

/// What a sender knows between messages.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sender {
    /// Sequence numbers: first not acknowledged, next to send, end of what the application wrote. An end of stream
    /// counts as one byte.
    pub(super) una: u64,
    pub(super) nxt: u64,
    pub(super) written: u64,
    /// Whether the last byte written is the end of the stream.
    pub(super) finished: bool,
    /// The right edge of what the peer will take.
    pub(super) edge: u64,
    pub(super) estimate: Estimate,
    pub(super) window: Window,
    pub(super) last_sent: u64,
    /// RACK: the round-trip time of what was delivered last.
    pub(super) rack_rtt: u32,
    /// The end of what was out when a tail-loss probe went, and whether the probe was a repetition.
    pub(super) probe: Option<(u64, bool)>,
    /// Doublings of the time-out, and time-outs in a row.
    pub(super) backoff: u8,
    pub(super) retries: u8,
    pub(super) reordering: u8,
    pub(super) reordering_seen: bool,
    pub(super) reorder_steps: u8,
}

/// Of all that was delivered, what was sent last: when, and its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rack {
    pub(super) sent: u64,
    pub(super) end: u64,
    /// Whether something was delivered since losses were last looked for.
    pub(super) advanced: bool,
}

impl Sender {
    pub(super) fn new(stack: Stack) -> Self {
        Self {
            una: 0,
            nxt: 0,
            written: 0,
            finished: false,
            edge: 0,
            estimate: Estimate::new(stack),
            window: Window::new(stack.habits()),
            last_sent: 0,
            rack_rtt: 0,
            probe: None,
            backoff: 0,
            retries: 0,
            reordering: 3,
            reordering_seen: false,
            reorder_steps: 1,
        }
    }
}

/// One segment that was sent and is not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) range: Range,
    /// When it was sent last, in microseconds.
    pub(super) at: u64,
    /// The peer has it, out of order.
    pub(super) sacked: bool,
    /// It is believed lost.
    pub(super) lost: bool,
    /// It was repeated, and the repetition is believed under way.
    pub(super) repeated: bool,
    /// It was repeated at least once.
    pub(super) ever: bool,
}

/// How the recovery stands, in the order of Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    #[default]
    Open,
    Disorder,
    Reduced,
    Recovery,
    Loss,
}

/// The one timer of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    TimeOut,
    /// Time for a tail-loss probe.
    Probe,
    /// What was overtaken has had its chance.
    Reorder,
    /// Ask a peer whose window was closed.
    Persist,
}

/// What a sender knows while something is under way.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    pub(super) sent: SmallVec<[Sent; 2]>,
    pub(super) rack: Rack,
    pub(super) timer: Option<(Timer, Instant)>,
    pub(super) state: State,
    /// The recovery ends when this is acknowledged.
    pub(super) recover: u64,
    /// F-RTO: it is not known yet whether the time-out was one.
    pub(super) doubtful: bool,
    /// Where an undo would begin, and how many repetitions could yet turn out needless.
    pub(super) undo: Option<u64>,
    pub(super) undo_repeats: i32,
    pub(super) before_threshold: u32,
    pub(super) before_size: u32,
    /// When the first repetition of this episode went, in milliseconds of the timestamp clock, and microseconds.
    pub(super) first_repeat: Option<u64>,
    /// PRR: delivered and sent during this reduction.
    pub(super) delivered: u32,
    pub(super) reduced_out: u32,
    /// Segments ever found lost in this episode.
    pub(super) lost: u32,
    /// NewReno: duplicate acknowledgements stand for what SACK would say.
    pub(super) duplicates: u32,
}

impl Outstanding {
    pub(super) fn count(&self, of: impl Fn(&Sent) -> bool) -> u32 {
        self.sent.iter().filter(|sent| of(sent)).count() as u32
    }

    pub(super) fn sacked(&self) -> u32 {
        self.count(|sent| sent.sacked) + self.duplicates
    }

    pub(super) fn lost(&self) -> u32 {
        self.count(|sent| sent.lost)
    }

    pub(super) fn repeated(&self) -> u32 {
        self.count(|sent| sent.repeated)
    }

    pub(super) fn in_flight(&self) -> u32 {
        let out = self.sent.len() as u32 + self.repeated();
        out.saturating_sub(self.sacked() + self.lost())
    }

    pub(super) const fn reducing(&self) -> bool {
        matches!(self.state, State::Reduced | State::Recovery)
    }

    /// Whether some repetition may still be under way.
    pub(super) fn any_repeat(&self) -> bool {
        self.repeated() > 0 || self.sent.first().is_some_and(|head| head.ever)
    }
}

/// What brought the sender to send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Push {
    Normal,
    /// One segment, whatever the window.
    Probe,
}

/// What to send at the end of an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Resend {
    Nothing,
    Lost,
    New,
}

/// What an acknowledgement turned out to be.
#[derive(Default)]
pub(super) struct News {
    pub(super) advanced: bool,
    pub(super) acked: bool,
    /// It carries data, or opens the window.
    pub(super) data: bool,
    pub(super) wider: bool,
    pub(super) sacked: bool,
    /// Something that was sent only once has arrived.
    pub(super) original: bool,
    pub(super) repeated_acked: bool,
    pub(super) dsack: bool,
    pub(super) dsack_probe: bool,
    pub(super) set_timer: bool,
    pub(super) reneging: bool,
    pub(super) lost_repeat: bool,
    /// Segments newly delivered; since when the first and the last of the newly SACKed were under way.
    pub(super) delivered: u32,
    pub(super) sacked_at: Option<(u64, u64)>,
    /// Low end of what arrived although later data had overtaken it.
    pub(super) reordered: Option<u64>,
    /// The echoed timestamp.
    pub(super) echo: u64,
}

/// One end at one moment.
pub(super) struct Side<'a> {
    pub(super) half: &'a mut Half,
    pub(super) out: &'a mut Outstanding,
    pub(super) held: &'a mut Held,
    pub(super) now: Instant,
    /// The clock of the host, in microseconds.
    pub(super) micros: u64,
    pub(super) ticks: Ticks,
    pub(super) mss: u64,
    /// Whether both ends have the modern parts.
    pub(super) modern: bool,
    /// What goes on the wire.
    pub(super) wire: &'a mut SmallVec<[Segment; 2]>,
}

impl Side<'_> {
    pub(super) const fn habits(&self) -> &'static Habits {
        self.half.stack.habits()
    }

    /// The time-out, backed off.
    pub(super) fn rto(&self) -> u64 {
        let sender = &self.half.sender;
        (sender.estimate.rto() << sender.backoff.min(20)).min(self.habits().most_rto)
    }

    pub(super) fn set_timer(&mut self, timer: Timer, micros: u64) {
        self.out.timer = Some((timer, self.ticks.fires(self.now, micros, self.habits())));
    }

    /// Microseconds until the head would time out.
    pub(super) fn until_time_out(&self) -> i64 {
        let head = self.out.sent.first().map_or(self.micros, |head| head.at);
        (head + self.rto()) as i64 - self.micros as i64
    }

    /// Sets the time-out afresh; when the timer stood for a probe or for reordering, counted from the head.
    pub(super) fn rearm(&mut self) {
        if self.out.sent.is_empty() {
            self.out.timer = None;
            return;
        }
        let stood_in = matches!(self.out.timer, Some((Timer::Reorder | Timer::Probe, _)));
        let micros = if stood_in { self.until_time_out().max(1) as u64 } else { self.rto() };
        self.set_timer(Timer::TimeOut, micros);
    }

    /// Plans a tail-loss probe, if the state allows one. `advancing`: an acknowledgement moved the time-out on.
    pub(super) fn plan_probe(&mut self, advancing: bool) -> bool {
        let habits = self.habits();
        if !self.modern || self.out.sent.is_empty() || !matches!(self.out.state, State::Open | State::Reduced) {
            return false;
        }
        let mut micros = match self.half.sender.estimate.smoothed() {
            // The peer may delay the acknowledgement of a lone segment.
            Some(srtt) if self.out.sent.len() == 1 => 2 * srtt + habits.least_rto,
            Some(srtt) => 2 * srtt + 2_000,
            None => habits.first_rto,
        };
        let time_out = if advancing { self.rto() as i64 } else { self.until_time_out() };
        if time_out > 0 {
            micros = micros.min(time_out as u64);
        }
        self.set_timer(Timer::Probe, micros);
        true
    }

    /// The end of the range that may be sent next: bytes and, in the same segment, the end of the stream.
    pub(super) fn next_end(&self) -> u64 {
        let sender = &self.half.sender;
        sender
            .written
            .min(sender.nxt + self.mss + u64::from(sender.finished && sender.written == sender.nxt + self.mss + 1))
    }

    /// Sends what is new, as far as both windows allow. Tells whether anything went out.
    pub(super) fn push(&mut self, push: Push) -> bool {
        let (mut count, mut limited) = (0, false);
        while self.half.sender.nxt < self.half.sender.written {
            if push == Push::Normal && self.out.in_flight() >= self.half.sender.window.size() {
                limited = true;
                break;
            }
            let range = Range { start: self.half.sender.nxt, end: self.next_end() };
            if range.end > self.half.sender.edge {
                break;
            }
            if count == 0 && self.out.sent.is_empty() && self.habits().modern {
                let (idle, rto) = (self.micros - self.half.sender.last_sent.min(self.micros), self.rto());
                self.half.sender.window.restart(self.micros, idle, rto);
            }
            self.send_new(range);
            count += 1;
            if push == Push::Probe {
                break;
            }
        }
        limited |= self.out.in_flight() >= self.half.sender.window.size();
        if count > 0 || limited {
            let (rto, sender) = (self.rto(), &mut self.half.sender);
            let (out, open) = (self.out.sent.len() as u32, self.out.state == State::Open);
            let used = Used { out, limited, una: sender.una, nxt: sender.nxt, open };
            sender.window.validate(self.micros, &used, rto);
        }
        if count == 0 {
            let sender = &self.half.sender;
            if self.out.sent.is_empty() && sender.nxt < sender.written && self.out.timer.is_none() {
                self.set_timer(Timer::Persist, self.rto());
            }
            return false;
        }
        if self.out.reducing() {
            self.out.reduced_out += count;
        }
        if push == Push::Normal {
            self.plan_probe(false);
        }
        true
    }

    fn send_new(&mut self, range: Range) {
        if self.out.in_flight() == 0 {
            let last = self.half.sender.last_sent;
            self.half.sender.window.resume(self.micros, last);
        }
        self.transmit(range);
        self.half.sender.nxt = range.end;
        let first = self.out.sent.is_empty();
        self.out.sent.push(Sent { range, at: self.micros, sacked: false, lost: false, repeated: false, ever: false });
        if first || matches!(self.out.timer, Some((Timer::Probe, _))) {
            self.rearm();
        }
    }

    /// Puts data on the wire; the acknowledgement rides with it.
    fn transmit(&mut self, range: Range) {
        let pushed = range.end == self.half.sender.written;
        let finishes = pushed && self.half.sender.finished;
        self.half.sender.last_sent = self.micros;
        let receiver = &mut self.half.receiver;
        if self.micros - receiver.last_data.min(self.micros) < u64::from(receiver.patience) && receiver.last_data > 0 {
            receiver.talks_back = true;
        }
        let body = Body::Data { range, pushed, finishes };
        self.emit(body);
    }

    /// Repeats one outstanding segment, with as many small successors as fit (Linux merges them).
    pub(super) fn repeat(&mut self, nth: usize) {
        let limit = self.half.sender.edge.max(self.half.sender.una + self.mss);
        let mut range = self.out.sent[nth].range;
        let mut merged = 0;
        for next in &self.out.sent[nth + 1..] {
            let fits = next.range.end - range.start <= self.mss && next.range.end <= limit;
            if !self.modern || !fits || next.sacked || self.out.sent[nth].sacked {
                break;
            }
            range.end = next.range.end;
            merged += 1;
        }
        let ever = self.out.sent[nth..=nth + merged].iter().any(|sent| sent.ever);
        self.out.sent.drain(nth + 1..=nth + merged);
        let sent = &mut self.out.sent[nth];
        sent.range = range;
        sent.at = self.micros;
        // Whoever calls marks the segment itself; what it swallowed may have been repeated before.
        sent.ever |= ever;
        self.transmit(range);
    }

    /// Repeats as recoveries do: counted, and remembered for an undo.
    pub(super) fn repeat_counted(&mut self, nth: usize) {
        self.repeat(nth);
        let stamp = self.micros;
        let sent = &mut self.out.sent[nth];
        (sent.repeated, sent.ever) = (true, true);
        self.out.first_repeat.get_or_insert(stamp);
        self.out.undo_repeats = self.out.undo_repeats.max(0) + 1;
    }

    /// Puts a segment on the wire.
    pub(super) fn emit(&mut self, body: Body) {
        let ack = self.half.receiver.acknowledgement(self.held, self.half.stack.habits(), self.modern);
        self.wire.push(Segment { body, ack, stamp: self.micros / 1_000 });
    }
}

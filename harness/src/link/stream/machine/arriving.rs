//! What a segment makes of the end that it reaches, and what that end gives its application: bytes, and how it ended.

use super::{Half, Held, Machine, Stage};
use crate::link::path::Link;
use crate::link::stream::segment::{Body, Segment};
use crate::link::stream::sender::Push;
use crate::link::stream::{Arrival, Arrived, End, Reading};
use crate::node::Closed;
use crate::time::Instant;

impl Machine {
    /// A segment reaches `end`.
    pub(super) fn arrive(&mut self, at: Instant, link: &mut Link, end: End, segment: &Segment) {
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
                    receiver.told = range.end;
                    receiver.offered = receiver.offered.max(range.end);
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
        self.busy.opening[end as usize] = None;
        self.busy.ready.push(Arrival { at, end, what: Arrived::Opened });
    }

    /// Gives the application of `end` what it reads.
    pub(super) fn release(&mut self, at: Instant, link: &mut Link, end: End) {
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
            self.busy.ready.push(Arrival { at, end, what: Arrived::Bytes(bytes) });
        }
        if breaks {
            return End::BOTH.into_iter().for_each(|end| self.close(at, end, Closed::Reset));
        }
        let half = &mut self.ends[end as usize];
        if half.receiver.end == Some(half.receiver.read + 1) && half.receiver.next > half.receiver.read {
            half.receiver.read += 1;
            if half.stage == Stage::Open {
                half.stage = Stage::Heard;
                self.busy.ready.push(Arrival { at, end, what: Arrived::Closed(Closed::Finished) });
            }
            self.finished(end);
        } else if bytes > 0 && !self.ideal && half.slow.is_some() {
            self.with(at, link, end, |side| side.tell_window());
        }
        if self.ideal {
            self.confirm(end);
        }
    }

    /// Without TCP the peer of `end` knows what was read.
    fn confirm(&mut self, end: End) {
        let read = self.ends[end as usize].receiver.read;
        let peer = &mut self.ends[end.peer() as usize];
        if peer.stage.stands() {
            peer.sender.una = peer.sender.una.max(read);
            self.finished(end.peer());
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
    pub(super) fn close(&mut self, at: Instant, end: End, how: Closed) {
        let stage = self.ends[end as usize].stage;
        if stage.stands() || stage == Stage::Opening {
            // A server that has not accepted yet has nobody to tell.
            if stage.stands() || end == End::Device {
                self.busy.ready.push(Arrival { at, end, what: Arrived::Closed(how) });
            }
            self.end(end, Stage::Over);
        }
    }

    pub(super) fn end(&mut self, end: End, stage: Stage) {
        let heard = self.ends[end.peer() as usize].sender.edge;
        let half = &mut self.ends[end as usize];
        half.stage = stage;
        half.slow = None;
        // Whatever it had still to say or to read is gone, and so is what it offered and the peer has not heard.
        half.receiver.offered = heard;
        let Half { sender, receiver, .. } = half;
        (sender.nxt, sender.written, sender.probe) = (sender.una, sender.una, None);
        (receiver.told, receiver.read, receiver.end) = (receiver.next, receiver.next, None);
        self.busy.opening[end as usize] = None;
        self.busy.ends[end as usize].timer = None;
        self.busy.ends[end as usize].sent.clear();
        self.busy.held[end as usize] = Held::default();
    }
}

//! What is left of a connection while nothing is under way: a sixth of what it takes while something is.
//!
//! It forgets nothing. Positions and moments are told from each other, where they lie near enough to fit into half the
//! room, and a connection where something does not fit, or is out of the ordinary, stays as it is.

use super::estimate::Estimate;
use super::machine::{Half, Stage};
use super::receiver::Receiver;
use super::sender::Sender;
use super::stack::{Stack, Ticks};
use super::window::{Measured, Window};
use super::{End, Passage};
use crate::time::Instant;

/// A connection at rest.
#[derive(Clone, Debug)]
pub(super) struct Quiet {
    pub(super) ends: [(Rest, Ticks); 2],
    pub(super) spoke: Instant,
    pub(super) done: Instant,
    pub(super) mss: u16,
    pub(super) passage: Passage,
    /// That of the device.
    pub(super) stack: Stack,
}

/// One end at rest: all it wrote is acknowledged, all it received is read and acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    pub(super) window: Option<Box<Measured>>,
    /// The least round-trip time may have been measured any time ago.
    least_at: u64,
    /// How much was sent. The peer received as much.
    sent: u32,
    /// How far the peer's window reaches beyond that, by what it offered last.
    edge: u32,
    srtt: u32,
    deviation: u32,
    largest: u32,
    added: u32,
    rto: u32,
    least: u32,
    rack_rtt: u32,
    patience: u32,
    echo: u32,
    /// How many microseconds before the rest began these moments were.
    last_sent: u32,
    last_data: u32,
    /// How far behind what was sent the window of the estimate and the last probe end.
    round: u16,
    probe: u16,
    mss: u16,
    backoff: u8,
    retries: u8,
    reordering: u8,
    reorder_steps: u8,
    quick: u8,
    /// What is true of it, and in the two highest bits the place of its stage among [`STAGES`].
    flags: u8,
}

/// Those in which an end can be at rest.
const STAGES: [Stage; 4] = [Stage::Open, Stage::Heard, Stage::Over, Stage::Gone];

const FINISHED: u8 = 1;
const HEARD_END: u8 = 2;
const REORDERING_SEEN: u8 = 4;
const TALKS_BACK: u8 = 8;
const PROBED: u8 = 16;
const PROBE_REPEATED: u8 = 32;

/// By how much `more` exceeds `less`, if that is little.
fn beyond<T: TryFrom<u64>>(more: u64, less: u64) -> Option<T> {
    more.checked_sub(less).and_then(|difference| difference.try_into().ok())
}

impl Quiet {
    /// Whether nothing will happen any more, whatever the driver does.
    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|(rest, _)| rest.stage().is_over())
    }

    /// As the ends were before they rested; their windows are taken along.
    pub(super) fn halves(&mut self) -> [Half; 2] {
        let (stack, done) = (self.stack, self.done);
        let [(device, device_ticks), (server, server_ticks)] = &mut self.ends;
        let (by_server, by_device) = ((server.sent, server.edge), (device.sent, device.edge));
        [
            device.half(stack.at(End::Device), device_ticks.micros(done), by_server),
            server.half(stack.at(End::Server), server_ticks.micros(done), by_device),
        ]
    }
}

impl Rest {
    /// What is left of `half` at `now`, in microseconds of its host; its window is left behind. `None` where something is
    /// not at rest, or `peer` has not heard all of it, or the other way round.
    pub(super) fn of(half: &Half, peer: &Half, now: u64) -> Option<Self> {
        let Half { stage, sender, receiver, slow, .. } = half;
        let (sent, received) = (sender.una, receiver.next);
        let settled = sender.nxt == sent
            && sender.written == sent
            && receiver.told == received
            && receiver.read == received
            && (received, receiver.offered) == (peer.sender.una, peer.sender.edge);
        let ended = receiver.end.is_none_or(|end| end == received);
        if !settled || !ended || slow.is_some() {
            return None;
        }
        let stage = STAGES.iter().position(|resting| resting == stage)?;
        let Estimate { srtt, deviation, largest, added, window, least, least_at, rto } = sender.estimate;
        let (probe, repeated) = sender.probe.unwrap_or((sent, false));
        let flags = [
            (FINISHED, sender.finished),
            (HEARD_END, receiver.end.is_some()),
            (REORDERING_SEEN, sender.reordering_seen),
            (TALKS_BACK, receiver.talks_back),
            (PROBED, sender.probe.is_some()),
            (PROBE_REPEATED, repeated),
        ];
        Some(Self {
            window: None,
            least_at,
            sent: sent.try_into().ok()?,
            edge: beyond(sender.edge, sent)?,
            srtt,
            deviation,
            largest,
            added,
            rto: u32::try_from(rto).ok()?,
            least,
            rack_rtt: sender.rack_rtt,
            patience: receiver.patience,
            echo: u32::try_from(receiver.echo).ok()?,
            round: beyond(sent, window)?,
            probe: beyond(sent, probe)?,
            last_sent: beyond(now, sender.last_sent)?,
            last_data: beyond(now, receiver.last_data)?,
            mss: u16::try_from(receiver.mss).ok()?,
            backoff: sender.backoff,
            retries: sender.retries,
            reordering: sender.reordering,
            reorder_steps: sender.reorder_steps,
            quick: receiver.quick,
            flags: flags.iter().filter(|(_, set)| *set).map(|(flag, _)| flag).sum::<u8>() | (stage as u8) << 6,
        })
    }

    const fn stage(&self) -> Stage {
        STAGES[(self.flags >> 6) as usize]
    }

    /// As it was before it rested at `now`; its window is taken along. `heard` is what the peer sent, and what was offered
    /// to it beyond that.
    fn half(&mut self, stack: Stack, now: u64, (heard, offered): (u32, u32)) -> Half {
        let (sent, received, flags) = (u64::from(self.sent), u64::from(heard), self.flags);
        let is = |flag| flags & flag != 0;
        Half {
            stack,
            stage: self.stage(),
            sender: Sender {
                una: sent,
                nxt: sent,
                written: sent,
                finished: is(FINISHED),
                edge: sent + u64::from(self.edge),
                estimate: Estimate {
                    srtt: self.srtt,
                    deviation: self.deviation,
                    largest: self.largest,
                    added: self.added,
                    window: sent - u64::from(self.round),
                    least: self.least,
                    least_at: self.least_at,
                    rto: u64::from(self.rto),
                },
                last_sent: now - u64::from(self.last_sent),
                rack_rtt: self.rack_rtt,
                probe: is(PROBED).then_some((sent - u64::from(self.probe), is(PROBE_REPEATED))),
                backoff: self.backoff,
                retries: self.retries,
                reordering: self.reordering,
                reordering_seen: is(REORDERING_SEEN),
                reorder_steps: self.reorder_steps,
                window: Window { first: stack.habits().first_window, state: self.window.take() },
            },
            receiver: Receiver {
                next: received,
                told: received,
                read: received,
                patience: self.patience,
                last_data: now - u64::from(self.last_data),
                quick: self.quick,
                talks_back: is(TALKS_BACK),
                mss: u32::from(self.mss),
                echo: u64::from(self.echo),
                offered: received + u64::from(offered),
                end: is(HEARD_END).then_some(received),
            },
            slow: None,
        }
    }
}

//! The way of one packet: what the radio, the queues and the weather do to it.

use std::sync::Arc;
use std::time::Duration;

use super::profile::{Bursts, Lane, Profile, Sleep};
use super::spells::{Alternating, Outages, next_in_cycle};
use crate::rng::Draws;
use crate::time::Instant;

/// A direction across a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From the device.
    Up,
    /// To the device.
    Down,
}

impl Way {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];

    /// The other one.
    pub const fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// Headers of IP and TCP with timestamps, which count against the rate.
const HEADERS: u32 = 52;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    /// It is there at that moment.
    Arrives(Instant),
    /// It waits for the device to wake, at that moment at the latest; sooner if the device sends before.
    Waits(Instant),
}

/// One device's link, both directions. It outlives the connections that run over it.
#[derive(Clone, Debug)]
pub struct Link {
    profile: Arc<Profile>,
    state: State,
}

/// What changes of a link. A million devices have one each, so what few links have is kept apart.
#[derive(Clone, Debug)]
struct State {
    lanes: [Direction; 2],
    /// Bursts that both directions share.
    bursts: Option<Alternating>,
    seldom: Option<Box<Seldom>>,
    /// When the last packet passed the radio.
    active: Instant,
    /// By direction, whether a fault has cut it.
    cut: [bool; 2],
    /// The place in the profile of the time for which a connection may be silent.
    nat: u16,
    /// The stream from which all others branch; also the phase of the device in every cycle.
    root: Draws,
    draws: Draws,
}

/// What few links have.
#[derive(Clone, Debug, Default)]
struct Seldom {
    /// What is sent before this moment is held until then.
    held: Instant,
    /// Bursts of each direction alone.
    bursts: [Option<Alternating>; 2],
    gaps: Option<Alternating>,
    own_outages: Option<Alternating>,
    shared_outages: Option<Arc<Outages>>,
}

#[derive(Clone, Debug)]
struct Direction {
    draws: Draws,
    /// When the last bit of what waits will have been sent.
    busy: Instant,
    /// When the last packet arrives: none overtakes it.
    last: Instant,
}

impl Link {
    /// The link of the device called `name`, in the run with this `seed`.
    pub fn new(profile: Arc<Profile>, seed: u64, name: &str) -> Self {
        let root = Draws::stream(seed, name);
        let mut draws = root.branch(0);
        let alternating = |number: u64, good| Alternating::new(root.branch(number), good);
        let lanes =
            [1, 2].map(|number| Direction { draws: root.branch(number), busy: Instant::ZERO, last: Instant::ZERO });
        let nat = profile.nat.as_ref().and_then(|nat| {
            let total: f64 = nat.idle.iter().map(|(weight, _)| weight).sum();
            let mut place = draws.unit() * total;
            let pick = |(weight, _): &(f64, _)| {
                place -= weight;
                place < 0.0
            };
            nat.idle.iter().position(pick).and_then(|place| place.try_into().ok())
        });
        let bursts = |shared| profile.bursts.as_ref().filter(|it| it.shared == shared);
        let seldom = (bursts(false).is_some() || profile.gaps.is_some() || profile.outages.is_some()).then(|| Seldom {
            held: Instant::ZERO,
            bursts: [3, 4].map(|number| bursts(false).map(|it| alternating(number, &it.good))),
            gaps: profile.gaps.as_ref().map(|it| alternating(6, &it.every)),
            own_outages: profile.outages.as_ref().map(|it| alternating(7, &it.every)),
            shared_outages: None,
        });
        let state = State {
            lanes,
            bursts: bursts(true).map(|it| alternating(5, &it.good)),
            seldom: seldom.map(Box::new),
            active: Instant::ZERO,
            cut: [false; 2],
            nat: nat.unwrap_or(u16::MAX),
            root,
            draws,
        };
        Self { profile, state }
    }

    /// Outages that others suffer too take the place of the device's own.
    #[must_use]
    pub fn sharing(mut self, outages: Arc<Outages>) -> Self {
        let seldom = self.state.seldom.get_or_insert_default();
        seldom.own_outages = None;
        seldom.shared_outages = Some(outages);
        self
    }

    /// No outage comes any more, and one that is ends. What is always so of the link stays: its losses, its gaps.
    pub fn end_outages(&mut self) {
        if let Some(seldom) = &mut self.state.seldom {
            seldom.own_outages = None;
            seldom.shared_outages = None;
        }
    }

    /// What it was made of.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// How long a connection may be silent before the translator of addresses forgets it.
    pub fn nat_idle(&self) -> Option<Duration> {
        let (_, idle) = self.profile.nat.as_ref()?.idle.get(usize::from(self.state.nat))?;
        Some(idle.0)
    }

    /// Loses all packets of that direction, or stops losing them.
    pub fn cut(&mut self, way: Way, cut: bool) {
        self.state.cut[way as usize] = cut;
    }

    /// Holds what is sent, both ways, until `until`: a handover.
    pub fn hold(&mut self, until: Instant) {
        let held = &mut self.state.seldom.get_or_insert_default().held;
        *held = until.max(*held);
    }

    /// Sends one packet of `bytes`, headers not counted, that belongs to no stream; gives when it is there.
    pub fn probe(&mut self, now: Instant, way: Way, bytes: u32) -> Option<Instant> {
        match self.carry(now, way, bytes) {
            Fate::Lost => None,
            Fate::Arrives(at) | Fate::Waits(at) => Some(at),
        }
    }

    /// What waited for the device to wake arrives at `at`; what is sent from now on need not wait for longer.
    pub(super) fn woken(&mut self, at: Instant) {
        let down = &mut self.state.lanes[Way::Down as usize];
        (down.last, down.busy) = (down.last.min(at), down.busy.min(at));
    }

    /// A number of this device, for phases.
    pub(super) fn phase(&self) -> u64 {
        self.state.phase()
    }

    /// Sends `bytes` of payload, with headers, at `now`. Moments must not fall, per direction.
    pub(super) fn carry(&mut self, now: Instant, way: Way, bytes: u32) -> Fate {
        self.state.carry(&self.profile, now, way, bytes)
    }
}

impl State {
    fn phase(&self) -> u64 {
        self.root.branch(8).u64()
    }

    fn carry(&mut self, profile: &Profile, now: Instant, way: Way, bytes: u32) -> Fate {
        let awake = self.wake(now, way, profile);
        let (Fate::Arrives(mut at) | Fate::Waits(mut at)) = awake else { return Fate::Lost };
        let lane = &mut self.lanes[way as usize];
        let spec = match way {
            Way::Up => &profile.up,
            Way::Down => &profile.down,
        };
        let mut seldom = self.seldom.as_deref_mut();
        // The order of the draws is the same whatever comes of them.
        let (lost, jitter) = (spec.loss > 0.0 && lane.draws.unit() < spec.loss, profile.jitter.0);
        let jitter = if jitter.is_zero() { jitter } else { jitter.mul_f64(lane.draws.unit()) };
        if let (Some(gaps), Some(own)) = (&profile.gaps, seldom.as_mut().and_then(|it| it.gaps.as_mut()))
            && let Some(until) = own.bad_until(now, &gaps.every, &gaps.lasts)
        {
            at = at.max(until);
        }
        at = seldom.as_ref().map_or(at, |it| at.max(it.held));
        let Some(sent) = lane.queue(at, bytes, spec) else { return Fate::Lost };
        let bursts = match &profile.bursts {
            Some(spec) => {
                let own = seldom.as_mut().and_then(|it| it.bursts[way as usize].as_mut());
                lane.burst(now, spec, own.or(self.bursts.as_mut()))
            }
            None => false,
        };
        let outage = match (&profile.outages, seldom) {
            (_, Some(Seldom { shared_outages: Some(shared), .. })) => shared.cover(now),
            (Some(spec), Some(Seldom { own_outages: Some(own), .. })) => {
                own.bad_until(now, &spec.every, &spec.lasts).is_some()
            }
            _ => false,
        };
        if lost || bursts || outage || self.cut[way as usize] {
            return Fate::Lost;
        }
        let coherence = u64::try_from(profile.coherence.0.as_nanos()).unwrap_or(u64::MAX).max(1);
        let rtt = match profile.rtt.points() {
            [(_, span)] => span.0,
            _ => profile.rtt.at(self.root.at(sent.as_nanos() / coherence)),
        };
        lane.last = lane.last.max(sent + rtt / 2 + jitter);
        match awake {
            Fate::Waits(_) => Fate::Waits(lane.last),
            _ => Fate::Arrives(lane.last),
        }
    }

    /// What sleep and idleness of the radio make of a packet at `now`: when it goes on.
    fn wake(&mut self, now: Instant, way: Way, profile: &Profile) -> Fate {
        let idle = now.since(self.active);
        let mut at = now;
        let mut waits = false;
        if way == Way::Down {
            match profile.sleep {
                Some(Sleep::Edrx { after, cycle }) if idle >= after.0 => at = next_in_cycle(now, cycle, self.phase()),
                Some(Sleep::Psm { after, cycle }) if idle >= after.0 => {
                    waits = true;
                    at = self.active + cycle.0;
                    if at <= now {
                        at = next_in_cycle(now, cycle, self.phase());
                    }
                }
                _ => {}
            }
        }
        if let Some(promotion) = &profile.promotion
            && idle >= promotion.idle.0
        {
            at += promotion.delay.at(self.draws.unit());
        }
        // What waits for the device to wake has not woken it.
        if waits {
            return Fate::Waits(at);
        }
        self.active = self.active.max(at);
        Fate::Arrives(at)
    }
}

impl Direction {
    /// Puts a packet into the queue at `at`; gives when its last bit leaves it, or nothing if it does not fit.
    fn queue(&mut self, at: Instant, bytes: u32, spec: &Lane) -> Option<Instant> {
        if spec.kbit == 0 {
            return Some(at);
        }
        // Bits by kilobits in a second are milliseconds.
        let nanos = |bytes: u32| u64::from(bytes) * 8_000_000 / u64::from(spec.kbit);
        let start = self.busy.max(at);
        if start.since(at) > Duration::from_nanos(nanos(spec.queue)) {
            return None;
        }
        self.busy = start + Duration::from_nanos(nanos(bytes + HEADERS));
        Some(self.busy)
    }

    fn burst(&mut self, now: Instant, spec: &Bursts, spells: Option<&mut Alternating>) -> bool {
        let Some(spells) = spells else { return false };
        spells.bad_until(now, &spec.good, &spec.bad).is_some() && self.draws.unit() < spec.loss
    }
}

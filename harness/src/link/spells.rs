//! Time in spells: good and bad, there and gone. All losses that are not independent come in spells of time.

use std::sync::Arc;
use std::time::Duration;

use super::profile::{Span, Spell, Spells};
use crate::rng::Draws;
use crate::time::Instant;

/// No good time is shorter: a profile of nothing but bad times must not cost a draw per nanosecond.
const LEAST: Duration = Duration::from_millis(1);
/// So many spells are walked through; when more have passed since the last look, the present one is drawn afresh.
const WALK: u32 = 64;

/// A process that is now on, now off. It is asked at moments that do not fall; asked about an earlier moment than
/// before, it answers for the latest.
#[derive(Clone, Debug)]
pub(super) struct Alternating {
    /// Whether the present spell is a bad one.
    bad: bool,
    /// When it ends.
    until: Instant,
    draws: Draws,
}

impl Alternating {
    /// Begins somewhere in a good time.
    pub(super) fn new(mut draws: Draws, good: &Spell) -> Self {
        let whole = good.draw(&mut draws);
        // A memoryless spell has as much before it as a new one; of any other, some part has passed.
        let rest = if matches!(good, Spell::Exponential(_)) { whole } else { whole.mul_f64(draws.unit()) };
        Self { bad: false, until: Instant::ZERO + rest, draws }
    }

    /// When the bad spell that covers `now` ends, if one does.
    pub(super) fn bad_until(&mut self, now: Instant, good: &Spell, bad: &Spell) -> Option<Instant> {
        let mut walked = 0;
        while self.until <= now {
            if walked == WALK {
                self.jump(now, good, bad);
                break;
            }
            walked += 1;
            self.bad = !self.bad;
            self.until += if self.bad { bad.draw(&mut self.draws) } else { good.draw(&mut self.draws).max(LEAST) };
        }
        self.bad.then_some(self.until)
    }

    /// Long after the last look the process has forgotten it: the spell that covers `now` is drawn in proportion to its
    /// length, from some cycles, and `now` falls anywhere in it.
    fn jump(&mut self, now: Instant, good: &Spell, bad: &Spell) {
        let cycles: [_; 8] =
            std::array::from_fn(|_| [good.draw(&mut self.draws).max(LEAST), bad.draw(&mut self.draws)]);
        let total: Duration = cycles.iter().flatten().sum();
        let mut place = total.mul_f64(self.draws.unit());
        for (nth, &spell) in cycles.iter().flatten().enumerate() {
            self.bad = nth % 2 == 1;
            self.until = now + spell.saturating_sub(place).max(Duration::from_nanos(1));
            if place < spell {
                break;
            }
            place -= spell;
        }
    }
}

impl Spells {
    /// About how many begin in so long a time.
    pub fn within(&self, lasts: Duration) -> f64 {
        lasts.as_secs_f64() / (self.every.mean().max(LEAST.as_secs_f64()) + self.lasts.mean())
    }
}

/// Outages known in advance, so that all who share them (a cell, a train, a region) lose contact together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outages {
    /// From and to, in order, apart.
    windows: Vec<(Instant, Instant)>,
}

impl Outages {
    /// Those spells, from the begin of the run until `end`, for the group called `name`.
    pub fn drawn(spells: &Spells, seed: u64, name: &str, end: Instant) -> Arc<Self> {
        let mut draws = Draws::stream(seed, name);
        let (mut at, mut windows) = (Instant::ZERO, Vec::new());
        loop {
            let from = at + spells.every.draw(&mut draws).max(LEAST);
            at = from + spells.lasts.draw(&mut draws);
            if from >= end {
                return Arc::new(Self { windows });
            }
            windows.push((from, at));
        }
    }

    /// One outage from `from` to `to`.
    pub fn once(from: Instant, to: Instant) -> Arc<Self> {
        Arc::new(Self { windows: vec![(from, to)] })
    }

    /// The outages, in order.
    pub fn windows(&self) -> &[(Instant, Instant)] {
        &self.windows
    }

    /// When the last outage ended that was over at `at`, if there was one.
    pub fn over_at(&self, at: Instant) -> Option<Instant> {
        let over = self.windows.partition_point(|window| window.1 <= at);
        Some(self.windows[over.checked_sub(1)?].1)
    }

    /// Whether `at` lies in an outage.
    pub fn cover(&self, at: Instant) -> bool {
        let next = self.windows.partition_point(|window| window.1 <= at);
        self.windows.get(next).is_some_and(|window| window.0 <= at)
    }
}

/// Until when a device has to be awake again after `idle`, where its cycle of `length` has its own phase.
pub(super) fn next_in_cycle(at: Instant, length: Span, phase: u64) -> Instant {
    let length = u64::try_from(length.0.as_nanos()).unwrap_or(u64::MAX).max(1);
    let phase = phase % length;
    let past = (at.as_nanos().wrapping_add(phase)) % length;
    if past == 0 { at } else { at + Duration::from_nanos(length - past) }
}

#[cfg(test)]
mod tests {
    use super::super::profile::Quantiles;
    use super::*;

    fn secs(secs: f64) -> Instant {
        Instant::ZERO + Duration::from_secs_f64(secs)
    }

    /// The share of bad time, looked at every `step`.
    fn share(good: &Spell, bad: &Spell, step: f64, looks: u32) -> f64 {
        let mut spells = Alternating::new(Draws::stream(1, "spells"), good);
        let bad = (0..looks).filter(|&n| spells.bad_until(secs(f64::from(n) * step), good, bad).is_some()).count();
        bad as f64 / f64::from(looks)
    }

    #[test]
    fn bad_time_has_its_share_however_seldom_it_is_looked_at() {
        let (good, bad) = (Spell::Exponential(Span::ms(2000)), Spell::Exponential(Span::ms(500)));
        for step in [0.05, 1.0, 30.0, 3000.0] {
            let share = share(&good, &bad, step, 40_000);
            assert!((share - 0.2).abs() < 0.025, "{share} at steps of {step} s");
        }
    }

    #[test]
    fn an_outage_holds_from_its_first_moment_up_to_its_end() {
        let outage = Outages::once(secs(1.0), secs(2.0));
        assert_eq!([1.9, 2.0, 9.0].map(|at| outage.over_at(secs(at))), [None, Some(secs(2.0)), Some(secs(2.0))]);
        let cover = [0.999, 1.0, 1.999, 2.0].map(|at| outage.cover(secs(at)));
        assert_eq!(cover, [false, true, true, false]);
    }

    #[test]
    fn drawn_outages_repeat_and_lie_apart() {
        let spells = Spells {
            every: Spell::Exponential(Span::ms(5000)),
            lasts: Spell::Lognormal(Span::ms(800), Span::ms(4000)),
        };
        let drawn = Outages::drawn(&spells, 7, "train", secs(1000.0));
        assert_eq!(drawn, Outages::drawn(&spells, 7, "train", secs(1000.0)));
        assert!(drawn.windows().len() > 100);
        assert!(drawn.windows().windows(2).all(|two| two[0].1 < two[1].0));
    }

    #[test]
    fn about_as_many_are_drawn_as_were_foretold() {
        let check = |every: Spell, lasts: Spell| {
            let (spells, hours) = (Spells { every, lasts }, Duration::from_secs(50_000));
            let drawn = Outages::drawn(&spells, 7, "train", Instant::ZERO + hours).windows().len() as f64;
            let foretold = spells.within(hours);
            assert!((drawn / foretold - 1.0).abs() < 0.05, "{drawn} of {foretold}: {spells:?}");
        };
        let second = || Spell::Exponential(Span::ms(1000));
        check(second(), second());
        check(Spell::Lognormal(Span::ms(800), Span::ms(4000)), second());
        check(Spell::Pareto(Span::ms(3000), 4.0), second());
        let points = [(0.2, 1000), (0.5, 2000), (0.9, 8000)].map(|(share, ms)| (share, Span::ms(ms)));
        check(Spell::Drawn(Quantiles::new(points.to_vec()).expect("rising")), second());
        let never = || Spell::Drawn(Quantiles::constant(Span::ms(0)));
        let spells = Spells { every: never(), lasts: never() };
        assert_eq!(spells.within(Duration::from_secs(3)), 3000.0);
    }

    #[test]
    fn a_cycle_wakes_at_its_own_phase() {
        let cycle = Span::ms(10_000);
        assert_eq!(next_in_cycle(secs(12.0), cycle, 0), secs(20.0));
        assert_eq!(next_in_cycle(secs(20.0), cycle, 0), secs(20.0));
        assert_eq!(next_in_cycle(secs(12.0), cycle, 3_000_000_000), secs(17.0));
    }
}

//! The congestion window: slow start, CUBIC (RFC 9438) as Linux counts it, and what becomes of a window that is not used.

use super::stack::Habits;

/// No threshold is known yet.
const UNKNOWN: u32 = u32::MAX >> 1;
/// CUBIC keeps 717/1024 of the window at a loss.
const KEEP: u64 = 717;
const UNIT: u64 = 1024;

/// A sender's window, in segments. Most senders of small messages never fill the first one, and take no memory for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) first: u32,
    pub(super) state: Option<Box<Measured>>,
}

/// A window that mattered. Moments in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    size: u32,
    threshold: u32,
    /// The most that was out during the present round, which ends at `round`; whether the window was then what limited.
    most_out: u32,
    round: u64,
    limited: bool,
    /// The most that was out since the window was last found too large.
    used: u32,
    /// When the window last changed or was confirmed.
    stamp: u64,
    /// Acknowledged segments towards the next step.
    counted: u32,
    /// The window before the last loss.
    last_max: u32,
    /// Where it is on the curve of CUBIC, once it climbs: few senders of small messages ever do.
    climb: Option<Box<Climb>>,
}

/// What of the window is in use.
pub(super) struct Used {
    /// Segments out.
    pub(super) out: u32,
    /// Whether more would have been sent.
    pub(super) limited: bool,
    /// What is acknowledged, and what is next.
    pub(super) una: u64,
    pub(super) nxt: u64,
    /// Whether no recovery is under way.
    pub(super) open: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Climb {
    /// When this climb began; 0 for not yet.
    epoch: u64,
    /// Where the curve has its middle: the window there, and how long after `epoch`.
    origin: u32,
    middle: u64,
    /// What a sender of the old school would have, and what it still lacks for the next segment.
    reno: u32,
    acked: u32,
    /// So many acknowledgements make one segment more.
    step: u32,
    last_size: u32,
    last_at: u64,
}

impl Window {
    pub(super) const fn new(habits: &Habits) -> Self {
        Self { first: habits.first_window, state: None }
    }

    fn measured(&mut self) -> &mut Measured {
        let size = self.first;
        self.state.get_or_insert_with(|| {
            let (most_out, round, limited, used, stamp, counted, last_max) = Default::default();
            let (threshold, climb) = (UNKNOWN, None);
            Box::new(Measured { size, threshold, most_out, round, limited, used, stamp, counted, last_max, climb })
        })
    }

    pub(super) fn size(&self) -> u32 {
        self.state.as_ref().map_or(self.first, |state| state.size)
    }

    pub(super) fn threshold(&self) -> u32 {
        self.state.as_ref().map_or(UNKNOWN, |state| state.threshold)
    }

    /// The threshold that is to be remembered, should a loss turn out to be none.
    pub(super) fn present_threshold(&self, reducing: bool) -> u32 {
        let (size, threshold) = (self.size(), self.threshold());
        if reducing { threshold } else { threshold.max((size >> 1) + (size >> 2)) }
    }

    /// A loss: the threshold falls. The window itself is left to the recovery.
    pub(super) fn lower_threshold(&mut self, habits: &Habits) {
        let state = self.measured();
        state.counted = 0;
        if !habits.modern {
            state.threshold = (state.size / 2).max(2);
            return;
        }
        let keep = |of: u32, units: u64| (u64::from(of) * units / (2 * UNIT)) as u32;
        if let Some(climb) = &mut state.climb {
            climb.epoch = 0;
        }
        state.last_max = if state.size < state.last_max { keep(state.size, UNIT + KEEP) } else { state.size };
        state.threshold = keep(state.size, 2 * KEEP).max(2);
    }

    /// The opening had to be repeated so often: the network is taken for busy.
    pub(super) fn after_lost_opening(&mut self, repeats: u8, habits: &Habits) {
        self.lower_threshold(habits);
        if repeats > 1 {
            self.set(1, 0);
        }
    }

    /// A time-out: the climb is forgotten.
    pub(super) fn forget(&mut self) {
        let state = self.measured();
        (state.climb, state.last_max, state.counted) = (None, 0, 0);
    }

    /// Sets the window by hand of the recovery.
    pub(super) fn set(&mut self, size: u32, now: u64) {
        let state = self.measured();
        state.size = size;
        state.stamp = now;
    }

    /// Takes back a loss that was none.
    pub(super) fn restore(&mut self, size: u32, threshold: u32, now: u64) {
        self.set(self.size().max(size), now);
        let state = self.measured();
        state.threshold = state.threshold.max(threshold);
    }

    /// Nothing was out when something is sent: the climb pauses as long as the silence was.
    pub(super) fn resume(&mut self, now: u64, last_sent: u64) {
        if let Some(climb) = self.state.as_mut().and_then(|state| state.climb.as_mut())
            && climb.epoch != 0
            && now > last_sent
        {
            climb.epoch = (climb.epoch + (now - last_sent)).min(now);
        }
    }

    /// After an idle time the window falls by half for each time-out that passed, down to the first window.
    pub(super) fn restart(&mut self, now: u64, idle: u64, rto: u64) {
        let (threshold, least) = (self.present_threshold(false), self.first.min(self.size()));
        let Some(state) = self.state.as_mut().filter(|_| idle > rto) else { return };
        state.threshold = threshold;
        let mut left = idle - rto;
        while left > 0 && state.size > least {
            state.size >>= 1;
            left = left.saturating_sub(rto);
        }
        state.size = state.size.max(least);
        state.stamp = now;
        state.used = 0;
    }

    /// After sending: was it the window that limited?
    pub(super) fn validate(&mut self, now: u64, used: &Used, rto: u64) {
        if self.state.is_none() && !used.limited && 2 * used.out <= self.first {
            return;
        }
        let (threshold, first) = (self.present_threshold(false), self.first);
        let state = self.measured();
        if used.una >= state.round || used.limited || (!state.limited && used.out > state.most_out) {
            state.limited = used.limited;
            state.most_out = used.out;
            state.round = used.nxt;
        }
        if state.is_limited() {
            state.used = 0;
            state.stamp = now;
            return;
        }
        state.used = state.used.max(used.out);
        if now - state.stamp.min(now) >= rto {
            if used.open {
                let most = state.used.max(first);
                if most < state.size {
                    state.threshold = threshold;
                    state.size = (state.size + most) >> 1;
                }
                state.used = 0;
            }
            state.stamp = now;
        }
    }

    /// `acked` segments have arrived in good order.
    pub(super) fn grow(&mut self, now: u64, acked: u32, least_rtt: u64, habits: &Habits) {
        if let Some(state) = &mut self.state {
            state.grow(now, acked, least_rtt, habits);
        }
    }
}

impl Measured {
    const fn is_limited(&self) -> bool {
        self.limited || (self.size < self.threshold && self.size < 2 * self.most_out)
    }

    fn grow(&mut self, now: u64, mut acked: u32, least_rtt: u64, habits: &Habits) {
        if self.is_limited() {
            if self.size < self.threshold {
                let size = (self.size + acked).min(self.threshold);
                acked -= size - self.size;
                self.size = size;
            }
            if acked > 0 {
                let Self { size, last_max, climb, .. } = self;
                let step = if habits.modern {
                    climb.get_or_insert_default().step(now, *size, *last_max, acked, least_rtt)
                } else {
                    *size
                };
                self.count(step, acked);
            }
        }
        self.stamp = now;
    }

    fn count(&mut self, step: u32, acked: u32) {
        let step = step.max(1);
        if self.counted >= step {
            self.counted = 0;
            self.size += 1;
        }
        self.counted += acked;
        if self.counted >= step {
            self.size += self.counted / step;
            self.counted %= step;
        }
    }
}

impl Climb {
    /// Acknowledgements that make one segment more, by the curve back to `last_max` and beyond.
    fn step(&mut self, now: u64, size: u32, last_max: u32, acked: u32, least_rtt: u64) -> u32 {
        self.acked += acked;
        if self.last_size == size && now - self.last_at <= 31_250 {
            return self.step;
        }
        (self.last_size, self.last_at) = (size, now);
        if self.epoch == 0 {
            self.epoch = now.max(1);
            self.acked = acked;
            self.reno = size;
            self.origin = size.max(last_max);
            // W(t) = 0.4 (t - middle)^3 + origin, t in seconds: middle^3 = lacking / 0.4.
            self.middle = cube_root(u128::from(self.origin - size) * 5 / 2 * 1_000_000_000_000_000_000);
        }
        let t = now - self.epoch + least_rtt;
        let away = u128::from(t.abs_diff(self.middle));
        let climb = (away * away * away * 2 / 5 / 1_000_000_000_000_000_000).min(1 << 20) as u32;
        let target = if t < self.middle { self.origin.saturating_sub(climb) } else { self.origin + climb };
        self.step = if target > size { size / (target - size) } else { 100 * size };
        if last_max == 0 {
            self.step = self.step.min(20);
        }
        // No slower than a sender of the old school with the same mean window.
        let each = (size * 15) >> 3;
        while each > 0 && self.acked > each {
            self.acked -= each;
            self.reno += 1;
        }
        if self.reno > size {
            self.step = self.step.min(size / (self.reno - size));
        }
        self.step = self.step.max(2);
        self.step
    }
}

/// The integer cube root, the same on every machine.
fn cube_root(of: u128) -> u64 {
    let (mut low, mut high) = (0u128, 1 << 42);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if middle * middle * middle <= of { low = middle } else { high = middle - 1 }
    }
    low as u64
}

#[cfg(test)]
mod tests {
    use super::super::stack::Stack;
    use super::*;

    fn used(out: u32, limited: bool, una: u64, nxt: u64) -> Used {
        Used { out, limited, una, nxt, open: true }
    }

    #[test]
    fn cube_roots_are_whole() {
        assert_eq!([0, 7, 8, 26, 27, 1_000_000].map(cube_root), [0, 1, 2, 2, 3, 100]);
    }

    #[test]
    fn a_window_doubles_in_slow_start_only_where_it_limits() {
        let habits = Stack::Linux.habits();
        let mut window = Window::new(habits);
        window.validate(0, &used(10, true, 0, 10), 300_000);
        window.grow(100_000, 10, 100_000, habits);
        assert_eq!(window.size(), 20);
        // One segment at a time never limits.
        window.validate(200_000, &used(1, false, 11, 12), 300_000);
        window.grow(300_000, 1, 100_000, habits);
        assert_eq!(window.size(), 20);
    }

    #[test]
    fn silence_halves_a_window_down_to_the_first() {
        let habits = Stack::Linux.habits();
        let mut window = Window::new(habits);
        for (idle, expect) in [(299_000, 80), (301_000, 40), (3_000_000, 10)] {
            window.set(80, 0);
            window.restart(0, idle, 300_000);
            assert_eq!(window.size(), expect, "after {idle} us");
        }
    }

    #[test]
    fn the_window_comes_back_to_where_it_was() {
        let habits = Stack::Linux.habits();
        let mut window = Window::new(habits);
        window.set(100, 0);
        window.lower_threshold(habits);
        assert_eq!(window.threshold(), 70);
        window.set(70, 0);
        let (mut now, mut sent) = (1, 0);
        while window.size() < 100 {
            sent += u64::from(window.size());
            window.validate(now, &used(window.size(), true, sent, sent + 100), 300_000);
            window.grow(now, window.size(), 100_000, habits);
            now += 100_000;
        }
        // (30 / 0.4)^(1/3) = 4.2 s; the last segment comes early, as the curve is counted in whole ones.
        assert!((2_200_000..4_300_000).contains(&now), "{now}");
    }
}

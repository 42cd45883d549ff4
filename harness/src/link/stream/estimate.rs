//! The round-trip time as a sender sees it, and the time-out it makes of it.

use super::stack::{Habits, Stack};

/// How long the smallest round-trip time is believed.
const MIN_RTT_LASTS: u64 = 300_000_000;

/// One sender's estimate. Microseconds, scaled as each stack scales them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Estimate {
    /// Eight times the smoothed round-trip time; 0 before the first sample.
    pub(super) srtt: u32,
    /// Four times its mean deviation.
    pub(super) deviation: u32,
    /// Linux: the largest deviation of this window, and what the time-out adds.
    pub(super) largest: u32,
    pub(super) added: u32,
    /// The window ends when this is acknowledged.
    pub(super) window: u64,
    pub(super) least: u32,
    pub(super) least_at: u64,
    /// The time-out, without back-off.
    pub(super) rto: u64,
}

impl Estimate {
    pub(super) fn new(stack: Stack) -> Self {
        let habits = stack.habits();
        let mut new = Self { rto: habits.first_rto, ..Self::default() };
        match stack {
            Stack::Lwip => new.deviation = (habits.first_rto / habits.tick) as u32,
            Stack::FreeRtos => new.srtt = 500_000,
            _ => {}
        }
        new
    }

    /// Smoothed, in microseconds; none before the first sample.
    pub(super) const fn smoothed(&self) -> Option<u64> {
        match self.srtt {
            0 => None,
            srtt => Some(srtt as u64 >> 3),
        }
    }

    /// The smallest of late.
    pub(super) const fn least(&self) -> Option<u64> {
        match self.least {
            0 => None,
            least => Some(least as u64),
        }
    }

    pub(super) const fn rto(&self) -> u64 {
        self.rto
    }

    /// Remembers a small sample. `delayed`: its acknowledgement may have waited at the peer.
    pub(super) fn note_least(&mut self, now: u64, sample: u64, delayed: bool) {
        let sample = u32::try_from(sample).unwrap_or(u32::MAX).max(1);
        if delayed && self.least != 0 && sample > self.least {
            return;
        }
        if self.least == 0 || sample <= self.least || now - self.least_at > MIN_RTT_LASTS {
            self.least = sample;
            self.least_at = now;
        }
    }

    /// Takes in a sample; `una` and `nxt` are the bounds of what is under way.
    pub(super) fn sample(&mut self, stack: Stack, micros: u64, una: u64, nxt: u64) {
        let habits = stack.habits();
        let sample = i64::try_from(micros.min(1 << 28)).unwrap_or(1).max(1);
        match stack {
            Stack::Lwip => self.lwip(sample, habits),
            Stack::FreeRtos => self.freertos(sample, habits),
            Stack::Rfc6298 => {
                self.smooth(sample, false);
                self.rto = u64::from(self.srtt >> 3) + u64::from(self.deviation);
            }
            Stack::Linux | Stack::Ideal => {
                let first = self.srtt == 0;
                self.smooth(sample, true);
                self.linux(first, habits, una, nxt);
            }
        }
        self.rto = self.rto.clamp(habits.least_rto, habits.most_rto);
    }

    /// Jacobson's filter; `eifel` lets the deviation fall behind a falling round-trip time only slowly.
    fn smooth(&mut self, sample: i64, eifel: bool) {
        if self.srtt == 0 {
            self.srtt = (sample << 3) as u32;
            self.deviation = (sample << 1) as u32;
            return;
        }
        let error = sample - i64::from(self.srtt >> 3);
        self.srtt = (i64::from(self.srtt) + error).max(1) as u32;
        let mut change = error.abs() - i64::from(self.deviation >> 2);
        if eifel && error < 0 && change > 0 {
            change >>= 3;
        }
        self.deviation = (i64::from(self.deviation) + change).max(0) as u32;
    }

    /// Linux adds not the deviation itself, but its largest of each window, which falls by a quarter per window.
    fn linux(&mut self, first: bool, habits: &Habits, una: u64, nxt: u64) {
        let least = habits.least_rto as u32;
        if first {
            self.added = self.deviation.max(least);
            self.largest = self.added;
            self.window = nxt;
        } else {
            if self.deviation > self.largest {
                self.largest = self.deviation;
                self.added = self.added.max(self.largest);
            }
            if una > self.window {
                if self.largest < self.added {
                    self.added -= (self.added - self.largest) >> 2;
                }
                self.window = nxt;
                self.largest = least;
            }
        }
        let exact = u64::from(self.srtt >> 3) + u64::from(self.added);
        self.rto = exact.div_ceil(habits.tick) * habits.tick;
    }

    /// lwIP counts in ticks, of which a short round trip has none or one.
    fn lwip(&mut self, sample: i64, habits: &Habits) {
        let mut error = sample / habits.tick as i64 - i64::from(self.srtt >> 3);
        self.srtt = (i64::from(self.srtt) + error).max(0) as u32;
        error = error.abs() - i64::from(self.deviation >> 2);
        self.deviation = (i64::from(self.deviation) + error).max(0) as u32;
        self.rto = u64::from((self.srtt >> 3) + self.deviation) * habits.tick;
    }

    /// FreeRTOS+TCP waits twice the smoothed time; a longer sample counts for more than a shorter one.
    fn freertos(&mut self, sample: i64, habits: &Habits) {
        let old = i64::from(self.srtt);
        let new = if old >= sample { (sample + 7 * old) / 8 } else { (2 * sample + 6 * old) / 8 };
        self.srtt = new.max(habits.least_rto as i64 / 2) as u32;
        self.rto = 2 * u64::from(self.srtt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stack: Stack, samples: &[u64], rto_ms: u64) {
        let mut estimate = Estimate::new(stack);
        for (nth, &sample) in samples.iter().enumerate() {
            estimate.sample(stack, sample * 1_000, nth as u64 + 1, nth as u64);
        }
        assert_eq!(estimate.rto() / 1_000, rto_ms, "{stack:?} after {samples:?}");
    }

    #[test]
    fn each_stack_makes_its_own_time_out_of_round_trips() {
        // Before anything is measured.
        check(Stack::Linux, &[], 1_000);
        check(Stack::Lwip, &[], 3_000);
        check(Stack::FreeRtos, &[], 1_000);
        // Linux adds at least 200 ms to what it measured; the RFC has a floor of a second.
        check(Stack::Linux, &[100], 300);
        check(Stack::Linux, &[100; 20], 300);
        check(Stack::Linux, &[600], 1_800);
        check(Stack::Rfc6298, &[100; 20], 1_000);
        check(Stack::Rfc6298, &[600], 1_800);
        // lwIP forgets its first guess down to three ticks.
        check(Stack::Lwip, &[100; 20], 1_500);
        check(Stack::FreeRtos, &[100; 60], 200);
    }

    #[test]
    fn a_falling_deviation_is_believed_slowly() {
        let mut estimate = Estimate::new(Stack::Linux);
        for n in 0..3 {
            estimate.sample(Stack::Linux, 600_000, n + 1, n);
        }
        let high = estimate.rto();
        for n in 3..60 {
            estimate.sample(Stack::Linux, 600_000, n + 1, n);
        }
        assert!(high > 1_200_000 && estimate.rto() < 820_000, "{high} {}", estimate.rto());
    }
}

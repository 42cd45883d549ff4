//! How the TCP stacks differ: their timers, and what they can do beside.

use serde::{Deserialize, Serialize};

use super::End;
use crate::time::Instant;

/// Whose TCP a device runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stack {
    /// Linux 6.x at 250 ticks in a second: SACK, RACK, tail-loss probes, F-RTO, CUBIC.
    #[default]
    Linux,
    /// The timers of RFC 6298 and NewReno, nothing else.
    Rfc6298,
    /// lwIP: half-second ticks, a first time-out of three seconds.
    Lwip,
    /// FreeRTOS+TCP: twice a smoothed round-trip time that begins at 500 ms.
    FreeRtos,
    /// No TCP at all: what is sent arrives after the delay of the link. For worlds that are not about links.
    Ideal,
}

/// The numbers of a stack. Times in microseconds.
pub(super) struct Habits {
    /// Timers fire on multiples of it.
    pub(super) tick: u64,
    /// Linux keeps timers in a wheel whose slots grow with the distance, and never fires early.
    pub(super) wheel: bool,
    /// The first time-out, before anything was measured.
    pub(super) first_rto: u64,
    pub(super) least_rto: u64,
    pub(super) most_rto: u64,
    /// SACK, timestamps, RACK, tail-loss probes and F-RTO: they come together or not at all.
    pub(super) modern: bool,
    /// Segments that may be sent before anything was acknowledged.
    pub(super) first_window: u32,
    /// What it can take in before the application reads.
    pub(super) buffer: u64,
    /// Whether any progress ends the back-off; otherwise only a fresh measurement does (Karn).
    pub(super) forgets_backoff: bool,
    /// How long an acknowledgement may wait.
    pub(super) delayed_ack: u64,
    /// So many SYN are sent at an even pace before the pace doubles.
    pub(super) even_syns: u8,
    pub(super) syn_retries: u8,
    /// After so many retransmissions of the same the connection is given up.
    pub(super) retries: u8,
}

const LINUX: Habits = Habits {
    tick: 4_000,
    wheel: true,
    first_rto: 1_000_000,
    least_rto: 200_000,
    most_rto: 120_000_000,
    modern: true,
    first_window: 10,
    buffer: 65_536,
    forgets_backoff: false,
    delayed_ack: 40_000,
    even_syns: 4,
    syn_retries: 10,
    retries: 15,
};

const RFC6298: Habits = Habits {
    tick: 1_000,
    wheel: false,
    first_rto: 1_000_000,
    least_rto: 1_000_000,
    most_rto: 60_000_000,
    modern: false,
    first_window: 10,
    buffer: 65_535,
    forgets_backoff: false,
    delayed_ack: 200_000,
    even_syns: 0,
    syn_retries: 6,
    retries: 12,
};

const LWIP: Habits = Habits {
    tick: 500_000,
    wheel: false,
    first_rto: 3_000_000,
    least_rto: 500_000,
    most_rto: 384_000_000,
    modern: false,
    first_window: 4,
    buffer: 5_744,
    forgets_backoff: true,
    delayed_ack: 250_000,
    even_syns: 0,
    syn_retries: 6,
    retries: 12,
};

const FREERTOS: Habits = Habits {
    tick: 1_000,
    wheel: false,
    first_rto: 1_000_000,
    least_rto: 100_000,
    most_rto: 60_000_000,
    modern: false,
    first_window: 2,
    buffer: 5_744,
    forgets_backoff: true,
    delayed_ack: 200_000,
    even_syns: 0,
    syn_retries: 5,
    retries: 12,
};

impl Stack {
    /// That of an end, where this is the device's: servers run Linux.
    pub(super) const fn at(self, end: End) -> Self {
        match end {
            End::Device => self,
            End::Server => Self::Linux,
        }
    }

    pub(super) const fn habits(self) -> &'static Habits {
        match self {
            Self::Linux | Self::Ideal => &LINUX,
            Self::Rfc6298 => &RFC6298,
            Self::Lwip => &LWIP,
            Self::FreeRtos => &FREERTOS,
        }
    }
}

/// The ticks of one host. `phase` is where the run began between its ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    pub(super) phase: u64,
}

/// A slot of the wheel holds eight of the level below; sixty-three of them make a level.
const LEVEL_BITS: u32 = 3;
const LEVEL_SLOTS: u64 = 63;

impl Ticks {
    /// Microseconds on this host's clock.
    pub(super) const fn micros(self, now: Instant) -> u64 {
        (now.as_nanos() + self.phase) / 1_000
    }

    /// Ticks on this host's clock.
    pub(super) const fn at(self, now: Instant, habits: &Habits) -> u64 {
        self.micros(now) / habits.tick
    }

    /// When a timer fires that is set at `now` for so many microseconds.
    pub(super) fn fires(self, now: Instant, micros: u64, habits: &Habits) -> Instant {
        let ticks = micros.div_ceil(habits.tick);
        let expires = self.at(now, habits) + ticks;
        let fires = if habits.wheel {
            let mut shift = 0;
            while ticks >= LEVEL_SLOTS << shift && shift < 8 * LEVEL_BITS {
                shift += LEVEL_BITS;
            }
            ((expires >> shift) + 1) << shift
        } else {
            expires
        };
        Instant::from_nanos((fires * habits.tick * 1_000).saturating_sub(self.phase)).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_of_the_wheel_fires_up_to_one_slot_late_and_never_early() {
        // Set for, in ms; the latest it may fire, in ms.
        for (set, slot) in [(40, 4), (248, 4), (252, 32), (300, 32), (2_000, 32), (2_016, 256), (20_000, 2_048)] {
            for phase in (0..8_192_000_000).step_by(37_111_111) {
                let now = Instant::from_nanos(5_000_000_000);
                let late = Ticks { phase }.fires(now, set * 1_000, &LINUX) - now;
                let within = set * 1_000_000 - 4_000_000..=(set + slot) * 1_000_000;
                assert!(within.contains(&(late.as_nanos() as u64)), "{set} ms fired after {late:?}");
            }
        }
    }

    #[test]
    fn coarse_ticks_round_a_timer() {
        let now = Instant::from_nanos(100_000_000);
        let fires = Ticks { phase: 0 }.fires(now, 3_000_000, &LWIP);
        assert_eq!(fires, Instant::from_nanos(3_000_000_000));
    }
}

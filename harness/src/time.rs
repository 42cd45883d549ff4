//! Time as a number handed in, never read from a clock.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A moment, in nanoseconds since the run began. In virtual time it advances only when an event is due;
/// in a live run the driver derives it from a monotonic clock. Reaches 584 years. An `Option` of it is no larger: fleets
/// hold a dozen for each device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(
    /// One more than the nanoseconds.
    NonZeroU64,
);

impl Instant {
    /// The moment the run began.
    pub const ZERO: Self = Self(NonZeroU64::MIN);
    /// Later than any moment a run can reach.
    pub const FAR: Self = Self(NonZeroU64::MAX);

    /// The moment `nanos` nanoseconds after the run began.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// Nanoseconds since the run began.
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// Time since the run began.
    pub const fn elapsed(self) -> Duration {
        Duration::from_nanos(self.as_nanos())
    }

    /// Time since `earlier`; zero if that is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::FAR`].
    #[inline]
    fn add(self, span: Duration) -> Self {
        // 64 bits reach as far as moments do, and this is done many times for each message.
        let nanos = span.as_secs().saturating_mul(1_000_000_000).saturating_add(span.subsec_nanos().into());
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Saturates at zero, as [`Instant::since`].
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant").field(&self.as_nanos()).finish()
    }
}

impl fmt::Display for Instant {
    /// Seconds with microseconds: `12.000250s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.as_nanos();
        write!(f, "{}.{:06}s", nanos / 1_000_000_000, nanos / 1_000 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::FAR + Duration::from_secs(1), Instant::FAR);
        assert_eq!(Instant::ZERO - Instant::FAR, Duration::ZERO);
        assert_eq!(Instant::from_nanos(5) - Instant::from_nanos(2), Duration::from_nanos(3));
    }

    #[test]
    fn the_last_moment_is_far_and_none_takes_no_room() {
        for nanos in [0, 1, u64::MAX - 1] {
            assert_eq!(Instant::from_nanos(nanos).as_nanos(), nanos);
        }
        assert_eq!(Instant::from_nanos(u64::MAX), Instant::FAR);
        assert!(Instant::from_nanos(u64::MAX - 2) < Instant::FAR);
        assert_eq!(size_of::<Option<Instant>>(), 8);
    }

    #[test]
    fn display_keeps_microseconds() {
        assert_eq!((Instant::ZERO + Duration::from_micros(12_000_250)).to_string(), "12.000250s");
    }
}

//! When to try again: exponential back-off with full jitter, so that a thousand devices cut at one moment do not come
//! back at one moment.

use std::time::Duration;

use harness::rng::Rng;

/// The limits of reconnection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The longest wait after the first failure; it doubles with each further one.
    pub first: Duration,
    /// The longest wait ever.
    pub max: Duration,
    /// How long a connection must have stood, from CONNACK on, for the next failure to count as the first again.
    /// Without it a server that accepts and drops at once would be hammered.
    pub stable: Duration,
    /// How each wait is drawn.
    pub jitter: Jitter,
    /// Whether to come back although the server of 5.0 said that the session was taken over, which throws out whoever took
    /// it over.
    pub after_takeover: bool,
}

/// How a wait is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jitter {
    /// From nothing to the longest wait, each span equally likely.
    #[default]
    Full,
    /// From half of the longest wait on.
    Half,
    /// Always the longest wait.
    None,
}

impl Default for Reconnect {
    /// Up to 1 s at first, up to 30 s at last, forgotten after 30 s of standing; not after a takeover.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            max: Duration::from_secs(30),
            stable: Duration::from_secs(30),
            jitter: Jitter::Full,
            after_takeover: false,
        }
    }
}

impl Reconnect {
    /// The longest wait after `failures` failures in a row (at least one).
    fn ceiling(&self, failures: u32) -> Duration {
        let doubled = 1u32.checked_shl(failures.saturating_sub(1)).and_then(|factor| self.first.checked_mul(factor));
        doubled.map_or(self.max, |wait| wait.min(self.max))
    }
}

/// How often it failed in a row, and how often it drew. It keeps a seed and a count instead of a generator, which
/// would be ten times its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    seed: u64,
    draws: u32,
    failures: u32,
}

impl Backoff {
    /// Never failed yet. Clients with different seeds draw independently.
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, draws: 0, failures: 0 }
    }

    /// Counts a failure and draws how long to wait. A connection that `stood` long enough before it failed has cleared the
    /// record; an attempt that never came to one has not.
    pub(super) fn failed(&mut self, stood: Duration, limits: &Reconnect) -> Duration {
        if !stood.is_zero() && stood >= limits.stable {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.draws = self.draws.wrapping_add(1);
        let ceiling = u64::try_from(limits.ceiling(self.failures).as_nanos()).unwrap_or(u64::MAX);
        let mut rng = Rng::stream(self.seed, &format!("back-off {}", self.draws));
        let least = match limits.jitter {
            Jitter::Full => 0,
            Jitter::Half => ceiling / 2,
            Jitter::None => ceiling,
        };
        Duration::from_nanos(least + rng.below((ceiling - least).saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Reconnect = Reconnect {
        first: Duration::from_secs(1),
        max: Duration::from_secs(30),
        stable: Duration::from_secs(10),
        jitter: Jitter::Full,
        after_takeover: false,
    };

    #[test]
    fn the_ceiling_doubles_and_stops_at_the_maximum() {
        let check = |failures, seconds| assert_eq!(LIMITS.ceiling(failures), Duration::from_secs(seconds));
        check(1, 1);
        check(2, 2);
        check(5, 16);
        check(6, 30);
        check(33, 30);
        check(u32::MAX, 30);
    }

    #[test]
    fn full_jitter_fills_the_whole_span_and_never_leaves_it() {
        let waits: Vec<Duration> = (0..400).map(|seed| Backoff::new(seed).failed(Duration::ZERO, &LIMITS)).collect();
        assert!(waits.iter().all(|wait| *wait <= LIMITS.first));
        for quarter in 0..4 {
            let span = LIMITS.first * quarter / 4..LIMITS.first * (quarter + 1) / 4;
            let hits = waits.iter().filter(|wait| span.contains(*wait)).count();
            assert!((60..=140).contains(&hits), "{hits} of 400 waits in {span:?}");
        }
    }

    #[test]
    fn half_jitter_and_none_stay_above_their_least() {
        let draw = |jitter, seed| Backoff::new(seed).failed(Duration::ZERO, &Reconnect { jitter, ..LIMITS });
        let half: Vec<Duration> = (0..400).map(|seed| draw(Jitter::Half, seed)).collect();
        assert!(half.iter().all(|wait| (LIMITS.first / 2..=LIMITS.first).contains(wait)));
        assert!(
            half.iter().any(|wait| *wait < LIMITS.first * 6 / 10)
                && half.iter().any(|wait| *wait > LIMITS.first * 9 / 10)
        );
        assert!((0..10).all(|seed| draw(Jitter::None, seed) == LIMITS.first));
    }

    #[test]
    fn attempts_that_never_stood_clear_nothing_even_where_nothing_need_stand() {
        let limits = Reconnect { stable: Duration::ZERO, jitter: Jitter::None, ..LIMITS };
        let mut backoff = Backoff::new(1);
        let waits = [0, 0, 0, 1, 0].map(|stood| backoff.failed(Duration::from_secs(stood), &limits).as_secs());
        assert_eq!(waits, [1, 2, 4, 1, 2]);
    }

    #[test]
    fn the_same_seed_waits_the_same() {
        let draw = |seed| {
            let mut backoff = Backoff::new(seed);
            [0; 8].map(|_| backoff.failed(Duration::ZERO, &LIMITS))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_ne!(draw(7)[1..], draw(8)[..7], "a neighbour's seed must not give the same waits, shifted");
    }

    #[test]
    fn only_a_stable_connection_clears_the_record() {
        let ceiling_after = |stood| {
            let mut backoff = Backoff::new(1);
            for _ in 0..4 {
                backoff.failed(Duration::ZERO, &LIMITS);
            }
            backoff.failed(stood, &LIMITS);
            LIMITS.ceiling(backoff.failures)
        };
        assert_eq!(ceiling_after(LIMITS.stable - Duration::from_nanos(1)), Duration::from_secs(16));
        assert_eq!(ceiling_after(LIMITS.stable), LIMITS.first);
    }
}

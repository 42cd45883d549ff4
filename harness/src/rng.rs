//! Seeded randomness: one independent stream per name, so that a new draw in one place moves no other.

use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One stream of random numbers, the same on every machine for the same seed and name.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream called `name` of the run with this `seed`.
    pub fn stream(seed: u64, name: &str) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&fnv1a(0xcbf2_9ce4_8422_2325, name).to_le_bytes());
        key[16..24].copy_from_slice(&fnv1a(0x6c62_272e_07bb_0142, name).to_le_bytes());
        key[24..].copy_from_slice(&(name.len() as u64).to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Any 64 bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, each equally likely; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Lemire's multiply-shift; the retry removes the bias of the last partial range.
        if bound == 0 {
            return 0;
        }
        loop {
            let wide = u128::from(self.u64()) * u128::from(bound);
            if (wide as u64) >= bound.wrapping_neg() % bound {
                return (wide >> 64) as u64;
            }
        }
    }

    /// A number in `[0, 1)` with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

fn fnv1a(offset: u64, name: &str) -> u64 {
    name.bytes().fold(offset, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_name_and_seed() {
        let draw = |seed, name| Rng::stream(seed, name).u64();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        // Pinned: a change of generator would silently change every recorded run.
        assert_eq!(draw(1, "a"), 0x6dd2157dcbe3ebba);
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::stream(7, "below");
        let mut seen = [0u32; 5];
        for _ in 0..500 {
            seen[rng.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| n > 50), "{seen:?}");
        assert_eq!(rng.below(0), 0);
    }
}

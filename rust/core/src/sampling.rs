//! The one source of randomness.

use std::ops::Index;

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

/// A seeded generator: xoshiro256++ (Blackman & Vigna 2021), the same on every platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampler(Xoshiro256PlusPlus);

impl Sampler {
    /// A generator whose whole output is fixed by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// The generator itself, for distributions that draw from it as they need.
    #[must_use]
    pub fn generator(&mut self) -> &mut impl Rng {
        &mut self.0
    }

    /// The next number in \[0, 1), a multiple of 2^-53.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.0.next_u64() >> 11) as f64 * SCALE
    }

    /// An index drawn with the given probabilities among those in `support`, which are visited in
    /// order. Rounding that leaves the probabilities a little short of 1 falls to the last one
    /// that is positive; `None` when none is.
    #[inline]
    pub fn draw<I: Copy>(&mut self, support: &[I], probabilities: &[f64]) -> Option<I>
    where
        [f64]: Index<I, Output = f64>,
    {
        let mut left = self.unit();
        let mut last = None;
        for &i in support {
            let p = probabilities[i];
            if p > 0.0 {
                if left < p {
                    return Some(i);
                }
                left -= p;
                last = Some(i);
            }
        }
        last
    }
}

//! Chance, all of it from one seed.

use stageroute_core::Sampler;

/// A source of chance. Nothing here depends on how a platform rounds logarithms.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Sampler);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Sampler::new(seed))
    }

    /// A number in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        self.0.unit()
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && self.unit() < p
    }

    /// A whole number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let choice = (self.unit() * n as f64) as usize;
        choice
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A number of any magnitude from `low` to below `low` × 2^`doublings`.
    pub(crate) fn magnitude(&mut self, low: f64, doublings: usize) -> f64 {
        let scale = (1_u64 << self.below(doublings)) as f64;
        low * scale * self.between(1.0, 2.0)
    }

    /// A length of time that is `mean` on average, and now and then much longer.
    pub(crate) fn length(&mut self, mean: f64) -> f64 {
        if self.chance(0.02) { 20.0 * mean * self.unit() } else { 1.6 * mean * self.unit() }
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub(crate) fn maybe<T>(&mut self, p: f64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(p).then(|| value(self))
    }
}

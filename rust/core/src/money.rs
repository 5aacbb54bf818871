//! Money in whole nanodollars, so that sums are exact.

use serde::{Deserialize, Serialize};

use crate::tolerances::MONEY_ROUNDING;

/// An amount of money in whole nanodollars. Amounts are at most 1e9 USD: 1e18 of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Nanodollars(i64);

impl Nanodollars {
    /// More than any limit.
    pub(crate) const MOST: Self = Self(i64::MAX);

    /// What is spent or set aside, rounded up.
    pub(crate) fn from_usd(usd: f64) -> Self {
        Self::whole(usd, f64::ceil)
    }

    /// What may be spent, rounded down.
    pub(crate) fn limit(usd: f64) -> Self {
        Self::whole(usd, f64::floor)
    }

    fn whole(usd: f64, round: impl Fn(f64) -> f64) -> Self {
        let nano = usd * 1e9;
        let nearest = nano.round();
        let is_whole = (nano - nearest).abs() <= MONEY_ROUNDING * nano;
        let whole = if is_whole { nearest } else { round(nano) };
        // Beyond the range, as from an absurd number of tokens, this is the end of the range.
        #[allow(clippy::cast_possible_truncation)]
        let whole = whole as i64;
        Self(whole)
    }

    pub(crate) fn is_negative(self) -> bool {
        self.0 < 0
    }

    pub(crate) fn to_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }

    pub(crate) fn add(&mut self, amount: Self) {
        self.0 = self.0.saturating_add(amount.0);
    }

    pub(crate) fn subtract(&mut self, amount: Self) {
        self.0 = self.0.saturating_sub(amount.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_round_up_but_not_for_their_representation() {
        for (usd, nano) in [
            (0.1 + 0.2, 300_000_000),
            (1e-9, 1),
            (1.1e-9, 2),
            (1e-12, 1),
            (0.0, 0),
            (1e9, 1_000_000_000_000_000_000),
            (f64::MAX, i64::MAX),
        ] {
            assert_eq!(Nanodollars::from_usd(usd), Nanodollars(nano), "{usd}");
        }
        for nano in (1..10_000).map(|n: i64| n * n * 7_919_113) {
            // Whole, though no float is: as a literal, as a sum, as a price times tokens.
            let usd = nano as f64 / 1e9;
            for usd in [usd, usd / 3.0 + usd / 1.5, usd / 7.0 * 1e6 * 7.0 / 1e6] {
                assert_eq!(Nanodollars::from_usd(usd), Nanodollars(nano), "{usd}");
                assert_eq!(Nanodollars::limit(usd), Nanodollars(nano), "{usd}");
            }
        }
        assert_eq!(Nanodollars::limit(1.9e-9), Nanodollars(1));
    }
}

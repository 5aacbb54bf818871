//! What a query uses, what that costs, and running moments of usage from which the moments of cost
//! follow under any prices.
//!
//! Prices are published and change from one day to the next; what an arm uses for a query is a
//! property of the arm and of its traffic. So usage is learnt, and cost is a product of two known
//! things: with `u` a query's billable usage and `p` the prices, the cost is `p·u`, its mean `p·E u`
//! and its variance `pᵀ Cov(u) p`.

use serde::{Deserialize, Serialize};

use crate::checks::{BILL_RULE, check, is_bill};
use crate::error::Error;
use crate::stats::{Accumulator, Moments, is_negligible};

/// No query uses more tokens of one kind.
pub(crate) const MOST_TOKENS: f64 = 1e9;
/// No million tokens cost more, USD: with [`MOST_TOKENS`] it keeps every bill below the largest
/// that a cost in USD may have.
const HIGHEST_PRICE: f64 = 1e5;
/// Prices are for this many tokens.
pub(crate) const PRICED_TOKENS: f64 = 1e6;

pub(crate) const TOKEN_RULE: &str = "must be in [0, 1e9], in tokens";
pub(crate) const PRICE_RULE: &str = "must be in [0, 1e5], in USD per million tokens";

pub(crate) fn is_price(usd: f64) -> bool {
    (0.0..=HIGHEST_PRICE).contains(&usd)
}

/// Tokens of one query, or of the mean query. Counts are real numbers, so that means are tokens too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// All input tokens, those read from a cache included.
    pub input: f64,
    /// Input tokens that were read from a cache; at most `input`.
    pub cached: f64,
    /// Output tokens.
    pub output: f64,
}

impl Tokens {
    /// Checks every count.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the count and its rule.
    #[inline]
    pub fn validate(&self) -> Result<(), Error> {
        let is_count = |n: f64| (0.0..=MOST_TOKENS).contains(&n);
        check(is_count(self.input), "input_tokens", self.input, TOKEN_RULE)?;
        check(is_count(self.output), "output_tokens", self.output, TOKEN_RULE)?;
        check(
            (0.0..=self.input).contains(&self.cached),
            "cached_tokens",
            self.cached,
            "must be in [0, input_tokens]: they are part of the input",
        )
    }

    /// Uncached input, cached input, output: each billed at a price of its own.
    #[inline]
    fn billable(&self) -> [f64; 3] {
        [self.input - self.cached, self.cached, self.output]
    }
}

/// USD per million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// Of input tokens that were not read from a cache.
    pub input: f64,
    /// Of input tokens that were.
    pub cached_input: f64,
    /// Of output tokens.
    pub output: f64,
}

impl Prices {
    /// Checks every price.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the price and its rule.
    pub fn validate(&self) -> Result<(), Error> {
        let named = [
            ("input_price", self.input),
            ("cached_input_price", self.cached_input),
            ("output_price", self.output),
        ];
        for (argument, price) in named {
            check(is_price(price), argument, price, PRICE_RULE)?;
        }
        Ok(())
    }

    /// Whether no token costs anything.
    #[must_use]
    pub fn are_free(&self) -> bool {
        *self == Self::default()
    }

    /// What these tokens cost, USD.
    #[must_use]
    #[inline]
    pub fn bill(&self, tokens: &Tokens) -> f64 {
        self.cost(tokens.billable())
    }

    /// The usage that costs `usd` at these prices: of these kinds of tokens in their proportion, where
    /// they cost anything, else of a kind that does. None where no token costs anything.
    #[must_use]
    pub fn usage_worth(&self, usd: f64, tokens: &Tokens) -> Option<Tokens> {
        let list = self.bill(tokens);
        if list == usd {
            return Some(*tokens);
        }
        let unit = match *self {
            _ if list > 0.0 => *tokens,
            Self { output, .. } if output > 0.0 => Tokens { output: 1.0, ..Tokens::default() },
            Self { input, .. } if input > 0.0 => Tokens { input: 1.0, ..Tokens::default() },
            Self { cached_input, .. } if cached_input > 0.0 => {
                Tokens { input: 1.0, cached: 1.0, output: 0.0 }
            }
            _ => return None,
        };
        let times = (usd / self.bill(&unit)).min(MOST_TOKENS / unit.input.max(unit.output));
        let Tokens { input, cached, output } = unit;
        Some(Tokens {
            input: input * times,
            cached: (cached * times).min(input * times),
            output: output * times,
        })
    }

    #[inline]
    fn cost(&self, [uncached, cached, output]: [f64; 3]) -> f64 {
        let cost = self.input * uncached + self.cached_input * cached + self.output * output;
        cost / PRICED_TOKENS
    }
}

/// What is reported of a query's cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum CostFeedback {
    /// What was billed, USD. An arm without prices learns it. An arm with prices does not: how much
    /// of it was usage and how much price cannot be told.
    Usd(f64),
    /// What was used; where the bill is not that of the list, the usage that would have cost as much.
    /// Only an arm with prices takes it.
    Tokens(Tokens),
}

impl CostFeedback {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] for a cost outside \[0, 1e9\] USD, or as [`Tokens::validate`].
    #[inline]
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Self::Usd(cost) => check(is_bill(*cost), "cost", *cost, BILL_RULE),
            Self::Tokens(tokens) => tokens.validate(),
        }
    }
}

/// Running moments of the usage of an arm: weight, means and co-moments of the billable vector
/// (uncached input, cached input, output).
///
/// [`Moments`] in three dimensions, with the same recurrences: Welford (1962), and Chan, Golub &
/// `LeVeque` (1979) for merging, both of which hold for co-moments as they do for squares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageMoments {
    count: u64,
    weight: f64,
    mean: [f64; 3],
    /// Weighted sums of products of deviations: the upper triangle in the order of [`PAIRS`].
    m2: [f64; 6],
}

/// The entries of a symmetric matrix of three rows.
const PAIRS: [(usize, usize); 6] = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];

impl UsageMoments {
    /// What is believed beforehand: worth `weight` observations, all equal to `mean`.
    #[must_use]
    pub fn prior(mean: &Tokens, weight: u64) -> Self {
        if weight == 0 {
            return Self::default();
        }
        Self { count: weight, weight: weight as f64, mean: mean.billable(), m2: [0.0; 6] }
    }

    /// Adds the usage of one query.
    #[inline]
    pub fn push(&mut self, tokens: &Tokens) {
        let usage = tokens.billable();
        self.count += 1;
        self.weight += 1.0;
        let delta: [f64; 3] = std::array::from_fn(|i| usage[i] - self.mean[i]);
        let share = 1.0 / self.weight;
        for (mean, d) in self.mean.iter_mut().zip(delta) {
            *mean += d * share;
        }
        // usage - new mean = delta (1 - share); written so, the matrix is symmetric by construction.
        for (m2, (i, j)) in self.m2.iter_mut().zip(PAIRS) {
            *m2 += delta[i] * delta[j] * (1.0 - share);
        }
    }

    /// Adds all that `other` has seen, as if it had been pushed here.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        if other.weight == 0.0 {
            return;
        }
        let (n, m) = (self.weight, other.weight);
        let delta: [f64; 3] = std::array::from_fn(|i| other.mean[i] - self.mean[i]);
        self.weight += m;
        for (mean, d) in self.mean.iter_mut().zip(delta) {
            *mean += d * (m / (n + m));
        }
        for (k, (i, j)) in PAIRS.into_iter().enumerate() {
            self.m2[k] += other.m2[k] + delta[i] * delta[j] * (n * m / (n + m));
        }
    }

    /// How many queries were seen, forgotten ones included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many observations they are worth now.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// The mean usage; nothing where nothing is known.
    #[must_use]
    pub fn mean(&self) -> Tokens {
        let [uncached, cached, output] = self.mean;
        Tokens { input: uncached + cached, cached, output }
    }

    /// The moments of cost, as if all that was seen had been billed at these prices.
    #[must_use]
    #[inline]
    pub fn billed(&self, prices: &Prices) -> Moments {
        let p = [prices.input, prices.cached_input, prices.output];
        let quadratic: f64 = PAIRS
            .iter()
            .zip(self.m2)
            .map(|(&(i, j), m2)| if i == j { p[i] * p[i] * m2 } else { 2.0 * p[i] * p[j] * m2 })
            .sum();
        // Not negative but for rounding: where two kinds of tokens are used in a fixed proportion,
        // one against the other, the terms may cancel.
        let m2 = quadratic.max(0.0) / (PRICED_TOKENS * PRICED_TOKENS);
        Moments::from_parts(self.count, self.weight, prices.cost(self.mean), m2)
    }
}

impl Accumulator for UsageMoments {
    type Item = Tokens;

    #[inline]
    fn push(&mut self, tokens: Tokens) {
        Self::push(self, &tokens);
    }

    fn merge(&mut self, other: &Self) {
        Self::merge(self, other);
    }

    #[inline]
    fn discount(&mut self, factor: f64) {
        self.weight *= factor;
        self.m2 = self.m2.map(|m2| m2 * factor);
        if is_negligible(self.weight) {
            *self = Self { count: self.count, ..Self::default() };
        }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn set_count_of(&mut self, other: &Self) {
        self.count = other.count;
    }
}

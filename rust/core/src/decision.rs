//! What is asked of a decision, and what it says.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::arm_index::ArmIndex;
use crate::checks::{check, is_cost};
use crate::error::Error;

/// What is asked of one decision.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Query<'a> {
    /// When it is asked, Unix seconds.
    pub now: f64,
    /// The arms that may serve it; `None` for all.
    pub allowed: Option<Cow<'a, [ArmIndex]>>,
    /// The most it may cost, USD: an arm is left out if its worst case is more expensive, or, where no worst
    /// case is known, what it is expected to cost.
    pub max_cost: Option<f64>,
    /// Its number of input tokens and the largest number of output tokens, where known.
    pub tokens: Option<(f64, f64)>,
}

impl Query<'_> {
    /// A query that any arm may serve.
    #[must_use]
    pub fn at(now: f64) -> Self {
        Self { now, ..Self::default() }
    }

    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.allowed.is_none() && self.max_cost.is_none() && self.tokens.is_none()
    }

    pub(crate) fn validate(&self, arms: usize) -> Result<(), Error> {
        if let Some(max_cost) = self.max_cost {
            check(is_cost(max_cost), "max_cost", max_cost, crate::checks::COST_RULE)?;
        }
        if let Some((input, output)) = self.tokens {
            let rule = "must be a number of tokens, finite and not negative";
            check(is_cost(input), "input_tokens", input, rule)?;
            check(is_cost(output), "max_output_tokens", output, rule)?;
        }
        let unknown =
            self.allowed.iter().flat_map(|allowed| allowed.iter()).find(|arm| arm.index() >= arms);
        match unknown {
            Some(&arm) => Err(Error::UnknownArm { argument: "allowed", arm, arms }),
            None => Ok(()),
        }
    }
}

/// Why a decision was made over a part of the live set, as a set of flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reasons(u8);

impl Reasons {
    /// All reasons, by their bit and the name each has in the interface.
    pub const NAMES: [(Self, &'static str); 5] = [
        (Self::EXCLUDED, "excluded"),
        (Self::TRAFFIC_LIMIT, "traffic_limit"),
        (Self::COOLING, "cooling"),
        (Self::HARD_LIMIT, "hard_limit"),
        (Self::PROBE, "probe"),
    ];
    /// The query itself left an arm out.
    pub const EXCLUDED: Self = Self(1);
    /// An arm was at a limit of requests, tokens or queries under way.
    pub const TRAFFIC_LIMIT: Self = Self(2);
    /// An arm was cooling down.
    pub const COOLING: Self = Self(4);
    /// An arm could have broken a hard limit.
    pub const HARD_LIMIT: Self = Self(8);
    /// The arm chosen is half open: this query probes it.
    pub const PROBE: Self = Self(16);

    /// Whether all flags of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags with these bits; others are ignored.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 31)
    }

    /// The flags as bits.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether no flag is set but those of `other`.
    pub(crate) fn are_none_but(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub(crate) fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// One routing decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Names the decision in feedback; consecutive from 0.
    pub id: u64,
    /// The arm that serves the query.
    pub arm: ArmIndex,
    /// The probability with which it was drawn, in (0, 1].
    pub probability: f64,
    /// The stage in which it was made.
    pub stage: u64,
    /// λ of the LP behind it, reward per USD; infinite when its budget could not be met.
    pub budget_price: f64,
    /// Why not every live arm was considered.
    pub reasons: Reasons,
}

//! What is agreed of an arm beyond its settings of the first version.

use serde::{Deserialize, Serialize};

use crate::checks::{BILL_RULE, check, is_bill};
use crate::error::Error;
use crate::tariff::Tariff;
use crate::usage::{Prices, Tokens};

/// What is agreed of an arm beyond its [`super::ArmSettings`]; an arm of the first version has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// All prices, where they are more than [`Prices`], in whose unit usage is learnt.
    pub tariff: Option<Tariff>,
    /// What a query can cost at least in the worst case, USD, as its owner says: hard limits reserve no
    /// less.
    pub least_reservation: f64,
    /// The most tokens, input and output together, that one query may have.
    pub largest_query: Option<f64>,
    /// The scopes that it belongs to, by key.
    pub scopes: Vec<u64>,
    /// What making it live costs, USD.
    pub start_cost: f64,
}

impl Terms {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let least = self.least_reservation;
        check(is_bill(least), "max_cost", least, BILL_RULE)?;
        check(is_bill(self.start_cost), "start_cost", self.start_cost, BILL_RULE)?;
        let largest = self.largest_query.unwrap_or(1.0);
        let rule = "must be finite and at least 1";
        check(largest.is_finite() && largest >= 1.0, "context_window", largest, rule)?;
        self.tariff.as_ref().map_or(Ok(()), Tariff::validate)
    }

    /// The most that a query of so many tokens can cost, USD.
    #[inline(never)]
    pub(super) fn most(&self, prices: &Prices, input: f64, output: f64) -> f64 {
        let most = match &self.tariff {
            Some(tariff) => tariff.most(input, output),
            None => most_of(prices, input, output),
        };
        most.max(self.least_reservation)
    }
}

/// Whether the input is in a cache is not known; nor is it always cheaper there.
#[inline]
pub(super) fn most_of(prices: &Prices, input: f64, output: f64) -> f64 {
    let bill = |cached| prices.bill(&Tokens { input, cached, output });
    bill(0.0).max(bill(input))
}

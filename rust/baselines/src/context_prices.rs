//! Prices of money and of each arm's share that all queries have in common.

use stageroute_core::checks::check;
use stageroute_core::{ArmIndex, Error, LiveArms};

use crate::purse::Purse;
use crate::shares::Shares;

/// Dual prices of the joint problem of all queries,
///
/// ```text
/// max  E[Σ μ_m(x) p_m(x)]   s.t.  E[Σ c_m(x) p_m(x)] ≤ b,  E[p_m(x)] ≤ α_m,  Σ p_m(x) = 1,
/// ```
///
/// which comes apart by query once money costs λ and a query of arm m costs `ν_m`: the arm of
/// the highest `μ_m(x) − λ c_m(x) − ν_m` serves. Prices follow consumption by dual mirror descent
/// (Balseiro, Lu & Mirrokni 2023): λ in multiples, since its size is not known beforehand, ν by
/// projected steps. What is billed is held against the paced budget, so that overspending is made
/// good, and an arm over its share of the stage is passed over.
#[derive(Debug, Clone)]
pub(crate) struct SharedPrices {
    /// Step of ln λ for b USD too much.
    money_step: f64,
    /// Step of ν for a query too much.
    share_step: f64,
    /// What b USD are worth in reward.
    money: f64,
    /// ν of every arm.
    share: Vec<f64>,
    shares: Shares,
}

/// The price of b USD stays in this range: one of 0 could never rise again, and one above is never
/// optimal where the cheapest mixture costs at most 0.9 b.
const MONEY_RANGE: (f64, f64) = (1e-4, 10.0);

impl SharedPrices {
    /// # Errors
    /// [`Error::InvalidNumber`] for a step that is not finite and above 0.
    pub(crate) fn new(
        money_step: f64,
        share_step: f64,
        caps: &[f64],
        stage_queries: f64,
    ) -> Result<Self, Error> {
        for (argument, step) in [("price_step", money_step), ("share_step", share_step)] {
            check(step.is_finite() && step > 0.0, argument, step, "must be finite and above 0")?;
        }
        let (share, shares) = (vec![0.0; caps.len()], Shares::new(caps, stage_queries));
        Ok(Self { money_step, share_step, money: MONEY_RANGE.0, share, shares })
    }

    /// Starts from a price of b USD.
    pub(crate) fn start_at(&mut self, money: f64) {
        self.money = money.clamp(MONEY_RANGE.0, MONEY_RANGE.1);
    }

    /// A new stage begins; shares are counted within it.
    pub(crate) fn begin_stage(&mut self) {
        self.shares.reset();
    }

    /// The price of b USD.
    pub(crate) fn money(&self) -> f64 {
        self.money
    }

    /// Chooses the slot of the highest value among the live arms that have some of their share left,
    /// ties towards the cheaper, then the first; `cost` is in multiples of b.
    pub(crate) fn choose(
        &self,
        live: &LiveArms,
        reward: &[f64],
        cost: impl Fn(usize) -> f64,
    ) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (slot, &arm) in live.arms().iter().enumerate() {
            if !self.shares.has_left(arm) {
                continue;
            }
            let value = reward[slot] - self.money * cost(slot) - self.share[arm];
            let is_better = best.is_none_or(|(other, most)| {
                value > most || (value == most && cost(slot) < cost(other))
            });
            if is_better {
                best = Some((slot, value));
            }
        }
        let fallback = || self.shares.least_used(live).and_then(|arm| live.slot(arm));
        best.map(|(slot, _)| slot).or_else(fallback)
    }

    /// An arm serves a query.
    pub(crate) fn serve(&mut self, arm: ArmIndex, live: &LiveArms) {
        self.shares.serve(arm);
        for &live in live.arms() {
            let used = f64::from(u8::from(live == arm));
            let step = self.share_step * (used - self.shares.cap(live));
            self.share[live] = (self.share[live] + step).max(0.0);
        }
    }

    /// A query was billed `cost` USD.
    pub(crate) fn bill(&mut self, cost: f64, purse: &Purse) {
        let excess = (cost - purse.paced_budget()) / purse.budget;
        self.start_at(self.money * (self.money_step * excess.min(LARGEST_EXCESS)).exp());
    }
}

/// No single bill moves λ by more than a bill of this many times b: costs are heavy-tailed.
const LARGEST_EXCESS: f64 = 20.0;

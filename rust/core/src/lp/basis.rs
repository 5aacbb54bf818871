//! The data of a routing LP and its last basis.
//!
//! With the budget row priced at λ an arm scores `r_m − λ c_m`, and the best mixture fills arms to
//! their caps in the order of score. So a basis is: the arms *at their cap*, one *marginal* arm
//! that takes what mass is left, and, where the budget binds, a *partner* that shares it with the
//! marginal arm so that the spend is exactly the budget; all others are at 0. (In simplex terms
//! the second basic variable is the partner, or the slack of the budget row.)
//!
//! Between two queries little changes and the basis mostly stays optimal. Whether it does is checked
//! here; finding another one is the business of `simplex.rs`.

use serde::{Deserialize, Serialize};

use super::certificate::Dual;
use super::problem::Problem;
use crate::tolerances::{FEASIBILITY_TOLERANCE, TIE_TOLERANCE};

/// Where a nonbasic arm stands; the sign that its reduced value must have.
pub(super) const AT_CAP: f64 = 1.0;
pub(super) const AT_ZERO: f64 = -1.0;
pub(super) const BASIC: f64 = 0.0;

/// The budget price as a direction, so that an infinite price (the budget cannot be met: only cost
/// counts) needs no special case: an arm scores `value · r − price · c`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Weights {
    pub(super) value: f64,
    pub(super) price: f64,
}

impl Weights {
    pub(super) const COST_ONLY: Self = Self { value: 0.0, price: 1.0 };

    pub(super) fn at(price: f64) -> Self {
        Self { value: 1.0, price }
    }
}

/// An LP: data, basis, and the memory that solving it needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Simplex {
    pub(super) reward: Vec<f64>,
    pub(super) cost: Vec<f64>,
    pub(super) cap: Vec<f64>,
    pub(super) budget: f64,
    pub(super) probabilities: Vec<f64>,
    /// Arms that may have positive probability, ascending.
    pub(super) support: Vec<usize>,
    /// Whether `marginal` and the rest describe an optimum of data seen before.
    pub(super) has_basis: bool,
    /// Whether no arm outside that basis ties with the marginal one, so that the optimum is the
    /// only one. Among several, a cold solve may choose another as soon as the budget moves.
    pub(super) is_unique: bool,
    pub(super) marginal: usize,
    pub(super) partner: Option<usize>,
    /// For each arm: [`AT_CAP`], [`AT_ZERO`] or [`BASIC`].
    pub(super) side: Vec<f64>,
    /// The arms at their cap, ascending.
    pub(super) at_cap: Vec<usize>,
    pub(super) weights: Weights,
    /// All arms in the order of the last crash at price 0, and of the last one at another price:
    /// each is nearly sorted for the next crash of its kind.
    pub(super) cold_order: Vec<usize>,
    pub(super) warm_order: Vec<usize>,
    /// Score of each arm at the price of a crash.
    pub(super) score: Vec<f64>,
    pub(super) cap_sum: f64,
}

impl Default for Simplex {
    fn default() -> Self {
        Self {
            reward: Vec::new(),
            cost: Vec::new(),
            cap: Vec::new(),
            budget: 0.0,
            probabilities: Vec::new(),
            support: Vec::new(),
            has_basis: false,
            is_unique: false,
            marginal: 0,
            partner: None,
            side: Vec::new(),
            at_cap: Vec::new(),
            weights: Weights::at(0.0),
            cold_order: Vec::new(),
            warm_order: Vec::new(),
            score: Vec::new(),
            cap_sum: 0.0,
        }
    }
}

impl Simplex {
    /// Takes over validated data and forgets the basis.
    pub(super) fn load(&mut self, problem: Problem<'_>) {
        let arms = problem.reward.len();
        for (own, given) in [
            (&mut self.reward, problem.reward),
            (&mut self.cost, problem.cost),
            (&mut self.cap, problem.cap),
        ] {
            own.clear();
            own.extend_from_slice(given);
        }
        self.budget = problem.budget;
        self.cap_sum = self.cap.iter().sum();
        self.probabilities.clear();
        self.probabilities.resize(arms, 0.0);
        self.side.clear();
        self.side.resize(arms, AT_ZERO);
        for order in [&mut self.cold_order, &mut self.warm_order] {
            order.clear();
            order.extend(0..arms);
        }
        self.score.clear();
        self.score.resize(arms, 0.0);
        for list in [&mut self.at_cap, &mut self.support] {
            list.clear();
            list.reserve(arms);
        }
        self.weights = Weights::at(0.0);
        self.marginal = 0;
        self.partner = None;
        self.has_basis = false;
    }

    /// Whether everything has its length and range. The data are checked elsewhere; the basis may be
    /// any, for it is checked whenever it is used.
    pub(super) fn is_sound(&self, arms: usize) -> bool {
        let has_lengths = [&self.reward, &self.probabilities, &self.side, &self.score]
            .iter()
            .all(|list| list.len() == arms);
        let is_ascending = |list: &[usize]| {
            list.windows(2).all(|pair| pair[0] < pair[1]) && list.iter().all(|&arm| arm < arms)
        };
        let is_order = |list: &[usize]| {
            let mut sorted = list.to_vec();
            sorted.sort_unstable();
            sorted.into_iter().eq(0..arms)
        };
        has_lengths
            && [&self.support, &self.at_cap].iter().all(|list| is_ascending(list))
            && [&self.cold_order, &self.warm_order].iter().all(|list| is_order(list))
            && self.marginal < arms
            && self.partner.is_none_or(|arm| arm < arms)
            && self.probabilities.iter().all(|p| (0.0..=1.0 + TIE_TOLERANCE).contains(p))
            && self.side.iter().all(|side| [AT_CAP, AT_ZERO, BASIC].contains(side))
            && !(self.weights.value.is_nan() || self.weights.price.is_nan())
            && self.cap_sum == self.cap.iter().sum::<f64>()
    }

    pub(super) fn price(&self) -> f64 {
        self.weights.price
    }

    /// Whether there is a price to start a warm solve from.
    pub(super) fn has_finite_price(&self) -> bool {
        self.has_basis && self.weights != Weights::COST_ONLY
    }

    /// Σ values p.
    pub(super) fn expectation(&self, values: &[f64]) -> f64 {
        self.support.iter().map(|&arm| values[arm] * self.probabilities[arm]).sum()
    }

    /// Score of an arm less that of the marginal arm.
    #[inline]
    pub(super) fn reduced_value(&self, arm: usize) -> f64 {
        let i = self.marginal;
        let Weights { value, price } = self.weights;
        value * (self.reward[arm] - self.reward[i]) - price * (self.cost[arm] - self.cost[i])
    }

    pub(super) fn dual(&self) -> Dual {
        let (i, Weights { value, price }) = (self.marginal, self.weights);
        Dual { budget_price: price, mass_price: value * self.reward[i] - price * self.cost[i] }
    }

    pub(super) fn largest_cost(&self) -> f64 {
        self.cost.iter().copied().fold(0.0, f64::max)
    }
}

impl Simplex {
    /// Keeps the basis if nothing but the budget has changed and it is still optimal.
    #[inline]
    pub(super) fn keep_basis(&mut self) -> bool {
        self.has_unique_basis() && self.has_sound_price() && self.place_basic_arms()
    }

    /// Keeps the basis if it is still optimal after the estimates of one arm have changed. Unless
    /// that arm is basic the prices stand, and its own reduced value is all that can have changed.
    #[inline]
    pub(super) fn keep_basis_after(&mut self, arm: usize) -> bool {
        if self.side[arm] == BASIC {
            return self.keep_basis_after_all();
        }
        self.has_unique_basis()
            && self.has_sound_price()
            && self.is_strict(arm)
            && self.place_basic_arms()
    }

    #[inline]
    fn has_unique_basis(&self) -> bool {
        self.has_basis && self.is_unique
    }

    /// Keeps the basis if it is still optimal after anything but the caps has changed.
    #[inline]
    pub(super) fn keep_basis_after_all(&mut self) -> bool {
        if !self.has_basis {
            return false;
        }
        if let Some(j) = self.partner {
            self.weights = Weights::at(self.crossing(self.marginal, j));
        }
        self.is_unique = self.has_sound_price() && self.is_strictly_dual_feasible();
        self.is_unique && self.place_basic_arms()
    }

    /// A basis with a partner needs a positive price (or the slack would enter); one with the
    /// slack needs price 0, except that the cheapest mixture of an infeasible LP has cost weights.
    #[inline]
    pub(super) fn has_sound_price(&self) -> bool {
        let Weights { value, price } = self.weights;
        match self.partner {
            Some(_) => price > 0.0 && price <= f64::MAX,
            None => price == 0.0 || value == 0.0,
        }
    }

    /// Whether the reduced value of a nonbasic arm has its sign by more than rounding.
    #[inline]
    fn is_strict(&self, arm: usize) -> bool {
        let i = self.marginal;
        let Weights { value, price } = self.weights;
        let gain = value * (self.reward[arm] - self.reward[i]);
        let charge = price * (self.cost[arm] - self.cost[i]);
        self.side[arm] * (gain - charge) > TIE_TOLERANCE * (gain.abs() + charge.abs())
    }

    // All arms, without a branch: the compiler looks at several of them in one instruction.
    #[allow(clippy::needless_bitwise_bool)]
    #[inline]
    pub(super) fn is_strictly_dual_feasible(&self) -> bool {
        let (i, Weights { value, price }) = (self.marginal, self.weights);
        let (reward, cost) = (self.reward[i], self.cost[i]);
        let arms = self.side.iter().zip(&self.reward).zip(&self.cost);
        arms.fold(true, |are_strict, ((&side, r), c)| {
            let (gain, charge) = (value * (r - reward), price * (c - cost));
            let is_strict = side * (gain - charge) > TIE_TOLERANCE * (gain.abs() + charge.abs());
            are_strict & ((side == BASIC) | is_strict)
        })
    }

    /// Writes the probabilities of the basic arms; false, and nothing written, if they are out of
    /// bounds.
    #[inline]
    fn place_basic_arms(&mut self) -> bool {
        let i = self.marginal;
        let (mass, surplus) = self.left_by_caps();
        if let Some(j) = self.partner {
            let share = self.marginal_share(j, mass, surplus);
            let rest = mass - share;
            if !(0.0..=self.cap[i]).contains(&share) || !(0.0..=self.cap[j]).contains(&rest) {
                return false;
            }
            self.probabilities[i] = share;
            self.probabilities[j] = rest;
            return true;
        }
        let slack = surplus + (self.budget - self.cost[i]) * mass;
        let is_right_side = if self.weights == Weights::COST_ONLY {
            slack < -FEASIBILITY_TOLERANCE * self.largest_cost()
        } else {
            slack >= 0.0
        };
        if !is_right_side || !(0.0..=self.cap[i]).contains(&mass) {
            return false;
        }
        self.probabilities[i] = mass;
        true
    }

    /// What the arms at their cap leave over: mass, and budget above the mass's own share of it,
    /// Σ (b − c) α. Differences keep this accurate when all costs are close to the budget.
    #[inline]
    pub(super) fn left_by_caps(&self) -> (f64, f64) {
        self.at_cap.iter().fold((1.0, 0.0), |(mass, surplus), &arm| {
            (mass - self.cap[arm], surplus + (self.budget - self.cost[arm]) * self.cap[arm])
        })
    }

    /// The marginal arm's part of `mass`, shared with `j` so that the spend is the budget.
    #[inline]
    pub(super) fn marginal_share(&self, j: usize, mass: f64, surplus: f64) -> f64 {
        (surplus + (self.budget - self.cost[j]) * mass) / (self.cost[self.marginal] - self.cost[j])
    }

    /// The price at which two arms score the same.
    #[inline]
    pub(super) fn crossing(&self, i: usize, j: usize) -> f64 {
        (self.reward[i] - self.reward[j]) / (self.cost[i] - self.cost[j])
    }
}

//! Bounded-variable dual simplex for two rows, parametric in the budget price λ.
//!
//! With the budget row priced at λ an arm scores `r_m − λ c_m`, and the best mixture fills arms to
//! their caps in the order of score. So a basis is: the arms *at their cap*, one *marginal* arm
//! that takes what mass is left, and, where the budget binds, a *partner* that shares it with the
//! marginal arm so that the spend is exactly the budget; all others are at 0. (In simplex terms
//! the second basic variable is the partner, or the slack of the budget row.)
//!
//! 1. **Crash**: sort by score at a given λ, fill. The basis is dual feasible by construction.
//! 2. **Walk**: while the spend is on the wrong side of the budget, move λ to the next crossing of
//!    some arm's score with the marginal one's and shift mass between the two: one dual pivot.
//!
//! A cold solve crashes at λ = 0, a warm one at the last λ.

use std::cmp::Ordering;

use super::{Dual, FEASIBILITY_TOLERANCE, Problem, Status, TIE_TOLERANCE};
use crate::error::Error;

/// Where a nonbasic arm stands; the sign that its reduced value must have.
const AT_CAP: f64 = 1.0;
const AT_ZERO: f64 = -1.0;
const BASIC: f64 = 0.0;

/// Pivots that are always allowed, whatever the number of arms.
const PIVOT_ALLOWANCE: usize = 64;

/// Up to this many arms the nearly sorted order of the last crash is mended by insertion.
const INSERTION_SORT_ARMS: usize = 64;

/// The budget price as a direction, so that an infinite price (the budget cannot be met: only cost
/// counts) needs no special case: an arm scores `value · r − price · c`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Weights {
    value: f64,
    price: f64,
}

impl Weights {
    const COST_ONLY: Self = Self { value: 0.0, price: 1.0 };

    fn at(price: f64) -> Self {
        Self { value: 1.0, price }
    }
}

/// How a walk ended.
enum Walked {
    /// At a vertex that meets the budget.
    Feasible,
    /// At the cheapest mixture, which is above the budget.
    Infeasible,
}

#[derive(Debug, Clone)]
pub(super) struct Simplex {
    pub(super) reward: Vec<f64>,
    pub(super) cost: Vec<f64>,
    pub(super) cap: Vec<f64>,
    pub(super) budget: f64,
    pub(super) probabilities: Vec<f64>,
    /// Arms that may have positive probability, ascending.
    pub(super) support: Vec<usize>,
    /// Whether `marginal` and the rest describe an optimum of data seen before.
    has_basis: bool,
    /// Whether no arm outside that basis ties with the marginal one, so that the optimum is the
    /// only one. Among several, a cold solve may choose another as soon as the budget moves.
    is_unique: bool,
    marginal: usize,
    partner: Option<usize>,
    /// For each arm: [`AT_CAP`], [`AT_ZERO`] or [`BASIC`].
    side: Vec<f64>,
    /// The arms at their cap, ascending.
    at_cap: Vec<usize>,
    weights: Weights,
    /// All arms in the order of the last crash at price 0, and of the last one at another price:
    /// each is nearly sorted for the next crash of its kind.
    cold_order: Vec<usize>,
    warm_order: Vec<usize>,
    /// Score of each arm at the price of a crash.
    score: Vec<f64>,
    cap_sum: f64,
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

// ---- data -------------------------------------------------------------------------------------

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

    fn largest_cost(&self) -> f64 {
        self.cost.iter().copied().fold(0.0, f64::max)
    }
}

// ---- the last basis ---------------------------------------------------------------------------

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
    fn has_sound_price(&self) -> bool {
        let Weights { value, price } = self.weights;
        match self.partner {
            Some(_) => price > 0.0 && price.is_finite(),
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

    #[inline]
    fn is_strictly_dual_feasible(&self) -> bool {
        (0..self.cap.len()).all(|arm| self.side[arm] == BASIC || self.is_strict(arm))
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
    fn left_by_caps(&self) -> (f64, f64) {
        self.at_cap.iter().fold((1.0, 0.0), |(mass, surplus), &arm| {
            (mass - self.cap[arm], surplus + (self.budget - self.cost[arm]) * self.cap[arm])
        })
    }

    /// The marginal arm's part of `mass`, shared with `j` so that the spend is the budget.
    #[inline]
    fn marginal_share(&self, j: usize, mass: f64, surplus: f64) -> f64 {
        (surplus + (self.budget - self.cost[j]) * mass) / (self.cost[self.marginal] - self.cost[j])
    }

    /// The price at which two arms score the same.
    #[inline]
    fn crossing(&self, i: usize, j: usize) -> f64 {
        (self.reward[i] - self.reward[j]) / (self.cost[i] - self.cost[j])
    }
}

// ---- solving ----------------------------------------------------------------------------------

impl Simplex {
    /// Solves from nothing.
    pub(super) fn solve_cold(&mut self) -> Result<Status, Error> {
        if self.cap_sum < 1.0 - FEASIBILITY_TOLERANCE {
            self.fill_in_proportion();
            return Ok(Status::CapInfeasible);
        }
        self.crash(Weights::at(0.0));
        let status = match self.walk()? {
            Walked::Feasible => Status::Optimal,
            Walked::Infeasible => {
                self.crash(Weights::COST_ONLY);
                Status::BudgetInfeasible
            }
        };
        self.install();
        self.is_unique = self.is_strictly_dual_feasible();
        Ok(status)
    }

    /// Solves from the last price. False, with no basis kept, when that does not lead to a strict
    /// optimum: at ties, and when the budget cannot be met.
    pub(super) fn solve_from_price(&mut self) -> Result<bool, Error> {
        self.has_basis = false;
        let price = self.weights.price;
        if !(price.is_finite() && price >= 0.0) {
            return Ok(false);
        }
        self.crash(Weights::at(price));
        let Walked::Feasible = self.walk()? else { return Ok(false) };
        if !self.has_sound_price() || !self.is_strictly_dual_feasible() {
            return Ok(false);
        }
        self.install();
        self.is_unique = true;
        Ok(true)
    }

    /// Sorts by score, ties towards the cheaper arm and then the first, and fills to the caps.
    fn crash(&mut self, weights: Weights) {
        self.weights = weights;
        self.partner = None;
        self.side.fill(AT_ZERO);
        self.at_cap.clear();
        let is_cold = weights.price == 0.0;
        let mut order =
            std::mem::take(if is_cold { &mut self.cold_order } else { &mut self.warm_order });
        self.sort_by_score(&mut order);
        let mut mass = 1.0;
        for (position, &arm) in order.iter().enumerate() {
            self.marginal = arm;
            if mass <= self.cap[arm] {
                break;
            }
            if position + 1 < order.len() {
                mass -= self.cap[arm];
                self.put_at_cap(arm);
            }
        }
        self.side[self.marginal] = BASIC;
        *(if is_cold { &mut self.cold_order } else { &mut self.warm_order }) = order;
    }

    /// Sorts arms by falling score at the current weights.
    fn sort_by_score(&mut self, order: &mut [usize]) {
        let Weights { value, price } = self.weights;
        let Self { reward, cost, score, .. } = self;
        for ((score, reward), cost) in score.iter_mut().zip(&*reward).zip(&*cost) {
            *score = value * reward - price * cost;
        }
        let precedes = |a: usize, b: usize| {
            if score[a] != score[b] {
                return score[a] > score[b];
            }
            (cost[a], -reward[a], a) < (cost[b], -reward[b], b)
        };
        if order.len() > INSERTION_SORT_ARMS {
            order.sort_unstable_by(
                |&a, &b| {
                    if precedes(a, b) { Ordering::Less } else { Ordering::Greater }
                },
            );
            return;
        }
        for position in 1..order.len() {
            let arm = order[position];
            let mut place = position;
            while place > 0 && precedes(arm, order[place - 1]) {
                order[place] = order[place - 1];
                place -= 1;
            }
            order[place] = arm;
        }
    }

    /// Moves the price until the budget is met: dual pivots from a dual feasible basis.
    fn walk(&mut self) -> Result<Walked, Error> {
        let (mut mass, surplus) = self.left_by_caps();
        let mut slack = surplus + (self.budget - self.cost[self.marginal]) * mass;
        if slack == 0.0 || (slack > 0.0 && self.weights.price == 0.0) {
            return Ok(Walked::Feasible);
        }
        // Above the budget the price must rise (+1), below it must fall (-1).
        let direction = if slack < 0.0 { 1.0 } else { -1.0 };
        let arms = self.cap.len();
        let limit = arms * arms + PIVOT_ALLOWANCE;
        for _ in 0..limit {
            let i = self.marginal;
            let Some((k, price)) = self.next_crossing(direction) else {
                return Ok(self.end_of_walk(direction, slack));
            };
            let gap = (self.cost[i] - self.cost[k]).abs();
            let enters_from_zero = self.side[k] == AT_ZERO;
            // Mass that can move between the two before one of them meets a bound.
            let room = if enters_from_zero {
                mass.min(self.cap[k])
            } else {
                self.cap[k].min(self.cap[i] - mass)
            };
            self.weights = Weights::at(price);
            if slack.abs() <= room * gap {
                self.make_partner(k);
                return Ok(Walked::Feasible);
            }
            slack += direction * room * gap;
            mass = self.shift_mass(k, mass, room, enters_from_zero);
        }
        Err(Error::PivotLimit { arms, limit })
    }

    /// No arm is left to move mass to: either the price has fallen to 0, or this is the cheapest
    /// mixture.
    fn end_of_walk(&mut self, direction: f64, slack: f64) -> Walked {
        if direction < 0.0 {
            self.weights = Weights::at(0.0);
            return Walked::Feasible;
        }
        if slack >= -FEASIBILITY_TOLERANCE * self.largest_cost() {
            Walked::Feasible
        } else {
            Walked::Infeasible
        }
    }

    /// The arm whose score next crosses the marginal one's as the price moves, and the price
    /// there; ties towards the cheaper arm, then the first. `None` when the price can move no
    /// further: up, because no exchange lowers the spend; down, because it would pass 0.
    fn next_crossing(&self, direction: f64) -> Option<(usize, f64)> {
        let i = self.marginal;
        let mut best: Option<(usize, f64)> = None;
        for k in 0..self.cap.len() {
            // An arm at 0 must be cheaper (dearer on the way down), one at its cap the reverse.
            if self.side[k] * direction * (self.cost[k] - self.cost[i]) <= 0.0 {
                continue;
            }
            let price = self.crossing(i, k);
            let is_better = best.is_none_or(|(other, at)| {
                direction * price < direction * at
                    || (price == at && self.cost[k] < self.cost[other])
            });
            if is_better {
                best = Some((k, price));
            }
        }
        best.filter(|&(_, price)| direction > 0.0 || price > 0.0)
    }

    /// A pivot that ends at a bound: shifts `room` between the marginal arm and `k`; returns the
    /// mass of the new marginal arm.
    fn shift_mass(&mut self, k: usize, mass: f64, room: f64, enters_from_zero: bool) -> f64 {
        let i = self.marginal;
        if enters_from_zero {
            if mass <= self.cap[k] {
                self.side[i] = AT_ZERO;
                self.make_marginal(k);
                return mass;
            }
            self.put_at_cap(k);
            return mass - self.cap[k];
        }
        self.take_from_cap(k);
        if self.cap[i] - mass <= self.cap[k] {
            self.put_at_cap(i);
            self.make_marginal(k);
            return self.cap[k] - room;
        }
        self.side[k] = AT_ZERO;
        mass + self.cap[k]
    }

    fn make_marginal(&mut self, arm: usize) {
        self.side[arm] = BASIC;
        self.marginal = arm;
    }

    fn make_partner(&mut self, arm: usize) {
        if self.side[arm] == AT_CAP {
            self.take_from_cap(arm);
        }
        self.side[arm] = BASIC;
        self.partner = Some(arm);
    }

    fn put_at_cap(&mut self, arm: usize) {
        self.side[arm] = AT_CAP;
        let place = self.at_cap.partition_point(|&other| other < arm);
        self.at_cap.insert(place, arm);
    }

    fn take_from_cap(&mut self, arm: usize) {
        self.at_cap.retain(|&other| other != arm);
    }

    /// Writes the vertex of the basis that a walk has ended in.
    fn install(&mut self) {
        self.probabilities.fill(0.0);
        self.support.clear();
        for &arm in &self.at_cap {
            self.probabilities[arm] = self.cap[arm];
            self.support.push(arm);
        }
        let i = self.marginal;
        let (mass, surplus) = self.left_by_caps();
        // Caps that sum to 1 may leave a mass a little below 0.
        let mass = mass.max(0.0);
        self.support.push(i);
        self.probabilities[i] = mass;
        if let Some(j) = self.partner {
            // Rounding may put the share a little past a bound at a degenerate vertex.
            let share = self.marginal_share(j, mass, surplus);
            let share = share.max(mass - self.cap[j]).min(self.cap[i]).clamp(0.0, mass);
            self.probabilities[i] = share;
            self.probabilities[j] = mass - share;
            self.support.push(j);
        }
        self.support.sort_unstable();
        self.has_basis = true;
    }

    /// The answer where the caps sum to less than 1.
    fn fill_in_proportion(&mut self) {
        self.support.clear();
        self.support.extend(0..self.cap.len());
        for (p, cap) in self.probabilities.iter_mut().zip(&self.cap) {
            *p = cap / self.cap_sum;
        }
        self.has_basis = false;
    }
}

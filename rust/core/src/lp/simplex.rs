//! Bounded-variable dual simplex for two rows, parametric in the budget price λ.
//!
//! 1. **Crash**: sort by score at a given λ, fill. The basis is dual feasible by construction.
//! 2. **Walk**: while the spend is on the wrong side of the budget, move λ to the next crossing of
//!    some arm's score with the marginal one's and shift mass between the two: one dual pivot.
//!
//! A cold solve crashes at λ = 0, a warm one at the last λ. What a basis is: `basis.rs`.

use std::cmp::Ordering;

use super::basis::{AT_CAP, AT_ZERO, BASIC, Simplex, Weights};
use super::problem::Status;
use crate::error::Error;
use crate::tolerances::{FEASIBILITY_TOLERANCE, pivot_limit};

/// Up to this many arms the nearly sorted order of the last crash is mended by insertion.
const INSERTION_SORT_ARMS: usize = 64;

/// How a walk ended.
enum Walked {
    /// At a vertex that meets the budget.
    Feasible,
    /// At the cheapest mixture, which is above the budget.
    Infeasible,
}

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
        let limit = pivot_limit(arms);
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
            // An arm at 0 must be cheaper (more expensive on the way down), one at its cap the reverse.
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
        // Which of the two is which must not depend on where the walk began: the last bit does.
        let first = arm.min(self.marginal);
        self.partner = Some(arm.max(self.marginal));
        self.marginal = first;
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

//! Finding prices that make the bound of a relaxation small: a dual simplex for columns in \[0, 1\].
//!
//! It takes long steps: along an edge it moves until D rises again, whatever columns change sides on
//! the way. Any basis of which no slack has a negative price is a start, whatever has been decided since
//! it was found.

use super::basis::{Basic, Breakpoint};
use super::program::Fate;
use super::relaxation::Relaxation;
use crate::tolerances::{BOUND_ROUNDING, COLUMN_TOLERANCE, LEAST_FALL, PIVOT_TOLERANCE};

/// Pivots after which the inverse is computed anew.
const REFRESH: usize = 30;
/// Pivots allowed for each row: far more than are needed, but a circle at a tie must end. Stopping
/// early costs nothing but a weaker bound.
const PIVOTS_PER_ROW: usize = 40;

impl Relaxation {
    /// Lowers the bound as far as it goes, or until it is at most `enough`; returns it. The values of
    /// columns are optimal in the first case only.
    pub(super) fn solve(&mut self, enough: f64) -> f64 {
        self.start();
        let mut reached = self.rent();
        for _ in 0..PIVOTS_PER_ROW * self.basis.rows() {
            if reached < enough - BOUND_ROUNDING {
                break;
            }
            let Some((row, excess)) = self.leaving() else { break };
            self.list_breakpoints(row, excess);
            let bends: f64 = self.breakpoints.iter().map(|breakpoint| breakpoint.bend).sum();
            let fall = excess.abs() - bends;
            if fall > LEAST_FALL {
                // D falls without end: no point satisfies the rows.
                let reach = (self.bound() - enough).max(0.0) + 1.0;
                self.move_prices(row, -excess.signum() * reach / fall);
                break;
            }
            if fall > 0.0 {
                break;
            }
            let last = self.pass_breakpoints(excess.abs());
            reached -= self.descent(excess.abs(), last.step);
            self.pivot(row, excess, last);
            if self.basis.age >= REFRESH {
                self.start();
            }
        }
        self.bound()
    }

    /// Starts from the basis of the routing LP over all arms, whose rows are the first two of the
    /// program: mass and budget.
    pub(super) fn start_from(&mut self, marginal: usize, partner: Option<usize>) {
        for (row, arm) in [Some(marginal), partner].into_iter().enumerate() {
            if let Some(arm) = arm {
                self.put_arm(row, arm);
            }
        }
        if !self.basis.invert() {
            self.basis.take_slacks();
        }
    }

    /// Puts the column of an arm into the basis.
    fn put_arm(&mut self, row: usize, arm: usize) {
        let arms = self.arms();
        let entries = self.matrix[arm..].iter().step_by(arms).copied();
        self.basis.put(row, Basic::Arm(arm, self.fate[arm]), self.gain[arm], entries);
    }

    /// Puts prices, sides and values right for the basis, which is given up if it has gone wrong.
    fn start(&mut self) {
        if self.basis.age > 0 && !self.basis.invert() {
            self.basis.take_slacks();
        }
        self.price_rows();
        let is_wrong = |(row, price): (usize, &f64)| {
            !self.program.is_equation[row] && *price < 0.0 || !price.is_finite()
        };
        if self.price.iter().enumerate().any(is_wrong) {
            self.basis.take_slacks();
            self.price_rows();
        }
        self.take_off_pinned();
        self.reduce_gains();
        self.is_basic.fill(false);
        for row in 0..self.basis.rows() {
            if let Some(arm) = self.basic_arm(row) {
                self.is_basic[arm] = true;
            }
        }
        let sides = self.is_at_one.iter_mut().zip(&self.reduced).zip(&self.is_basic);
        for ((is_at_one, reduced), is_basic) in sides {
            *is_at_one = *reduced > 0.0 && !is_basic;
        }
        self.left.copy_from_slice(&self.right);
        let arms = self.arms();
        for (left, row) in self.left.iter_mut().zip(self.matrix.chunks_exact(arms)) {
            let used = row.iter().zip(&self.is_at_one);
            *left -= used.map(|(a, is_at_one)| if *is_at_one { *a } else { 0.0 }).sum::<f64>();
        }
    }

    /// The prices of the basis, cleared of rounding below 0.
    fn price_rows(&mut self) {
        self.basis.price_rows(&mut self.price);
        for (price, is_equation) in self.price.iter_mut().zip(&self.program.is_equation) {
            if !is_equation && *price < 0.0 && *price > -PIVOT_TOLERANCE {
                *price = 0.0;
            }
        }
    }

    /// The basic column farthest outside of its bounds, and by how much: above is positive.
    fn leaving(&mut self) -> Option<(usize, f64)> {
        let mut worst: Option<(usize, f64)> = None;
        for row in 0..self.basis.rows() {
            let value: f64 =
                self.basis.inverse(row).iter().zip(&self.left).map(|(a, b)| a * b).sum();
            self.value[row] = value;
            let (most, tolerance) = match self.basis.columns[row] {
                Basic::Slack(of) if self.program.is_equation[of] => {
                    (0.0, self.program.tolerance[of])
                }
                Basic::Slack(of) => (f64::INFINITY, self.program.tolerance[of]),
                Basic::Arm(..) | Basic::Gone => {
                    (f64::from(u8::from(self.basic_arm(row).is_some())), COLUMN_TOLERANCE)
                }
            };
            let excess = if value > most { value - most } else { value.min(0.0) };
            if excess.abs() > tolerance && worst.is_none_or(|(_, w)| excess.abs() > w.abs()) {
                worst = Some((row, excess));
            }
        }
        worst
    }

    /// Where columns change sides as the column of `row` is pushed towards its bound.
    fn list_breakpoints(&mut self, row: usize, excess: f64) {
        let (arms, sign) = (self.arms(), -excess.signum());
        let inverse = self.basis.inverse(row);
        self.along.fill(0.0);
        for (entries, &factor) in self.matrix.chunks_exact(arms).zip(inverse) {
            if factor != 0.0 {
                for (along, a) in self.along.iter_mut().zip(entries) {
                    *along += sign * factor * a;
                }
            }
        }
        self.breakpoints.clear();
        for arm in 0..arms {
            let (along, reduced) = (self.along[arm], self.reduced[arm]);
            let turns = if self.is_at_one[arm] { along } else { -along };
            if turns > PIVOT_TOLERANCE && !self.is_basic[arm] && reduced.is_finite() {
                let step = (reduced / along).max(0.0);
                self.breakpoints.push(Breakpoint { step, bend: turns, column: arm });
            }
        }
        for (of, entry) in inverse.iter().enumerate() {
            let along = sign * entry;
            let is_open =
                !self.program.is_equation[of] && !self.basis.columns.contains(&Basic::Slack(of));
            if is_open && along < -PIVOT_TOLERANCE {
                let step = self.price[of] / -along;
                self.breakpoints.push(Breakpoint { step, bend: f64::INFINITY, column: arms + of });
            }
        }
    }

    /// The breakpoint at which the slope of D, `-fall` at first, is no longer negative. Columns whose
    /// breakpoints come before it change sides.
    fn pass_breakpoints(&mut self, mut fall: f64) -> Breakpoint {
        let by_step = |a: &Breakpoint, b: &Breakpoint| {
            a.step.total_cmp(&b.step).then(b.bend.total_cmp(&a.bend)).then(a.column.cmp(&b.column))
        };
        let (mut low, mut high) = (0, self.breakpoints.len());
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            let window = &mut self.breakpoints[low..high];
            window.select_nth_unstable_by(middle - low, by_step);
            let passed = &self.breakpoints[low..middle];
            let bends: f64 = passed.iter().map(|breakpoint| breakpoint.bend).sum();
            if bends < fall {
                fall -= bends;
                low = middle;
            } else {
                high = middle;
            }
        }
        let last = self.breakpoints[low];
        self.breakpoints.truncate(low);
        for place in 0..low {
            self.change_side(self.breakpoints[place].column);
        }
        last
    }

    /// How far D falls over a step along an edge, past breakpoints where it bends.
    fn descent(&self, fall: f64, step: f64) -> f64 {
        let bent = self.breakpoints.iter().map(|passed| passed.bend * (step - passed.step));
        fall * step - bent.sum::<f64>()
    }

    fn change_side(&mut self, arm: usize) {
        let arms = self.arms();
        let sign = if self.is_at_one[arm] { 1.0 } else { -1.0 };
        self.is_at_one[arm] = !self.is_at_one[arm];
        for (row, left) in self.left.iter_mut().enumerate() {
            *left += sign * self.matrix[row * arms + arm];
        }
    }

    /// Adds a multiple of a row of the inverse to the prices.
    fn move_prices(&mut self, row: usize, step: f64) {
        let moves = self.price.iter_mut().zip(self.basis.inverse(row));
        for ((price, entry), is_equation) in moves.zip(&self.program.is_equation) {
            *price += step * entry;
            if !is_equation {
                *price = price.max(0.0);
            }
        }
    }

    /// Exchanges the basic column of `row` for that of the breakpoint.
    fn pivot(&mut self, row: usize, excess: f64, at: Breakpoint) {
        let arms = self.arms();
        self.move_prices(row, -excess.signum() * at.step);
        for (reduced, along) in self.reduced.iter_mut().zip(&self.along) {
            *reduced -= at.step * along;
        }
        if let Some(arm) = self.basic_arm(row) {
            self.is_basic[arm] = false;
            if excess > 0.0 {
                self.change_side(arm);
            }
        }
        if at.column < arms {
            if self.is_at_one[at.column] {
                self.change_side(at.column);
            }
            self.is_basic[at.column] = true;
            self.reduced[at.column] = 0.0;
            self.put_arm(row, at.column);
        } else {
            let of = at.column - arms;
            let entries = (0..).map(|k| f64::from(u8::from(k == of)));
            self.basis.put(row, Basic::Slack(of), 0.0, entries);
        }
        self.basis.exchange(row);
    }

    /// The arm whose present column is basic in `row`.
    fn basic_arm(&self, row: usize) -> Option<usize> {
        match self.basis.columns[row] {
            Basic::Arm(arm, fate) if fate == self.fate[arm] && fate != Fate::Excluded => Some(arm),
            _ => None,
        }
    }
}

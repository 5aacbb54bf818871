//! Upper bounds on what the sets of a node can reach.
//!
//! For any prices `y` of the rows, not negative where the row is not an equation, no point of the
//! relaxation exceeds
//!
//! ```text
//! D(y) = Σ y right + Σ max(0, gain − y a)        (weak duality; columns are between 0 and 1)
//! ```
//!
//! A bounded-variable dual simplex looks for prices that make it small. It takes long steps: it moves
//! along an edge until D rises again, whatever columns change sides. The bound that is returned is
//! computed from the prices and the data alone, so no error of the simplex can make it wrong.

use super::program::{Program, select};

/// A basic column this far outside of \[0, 1\] is inside but for rounding.
pub(super) const COLUMN_TOLERANCE: f64 = 1e-11;
/// Pivots smaller than this are noise.
const PIVOT_TOLERANCE: f64 = 1e-10;
/// Pivots after which the inverse is computed anew.
const REFRESH: usize = 30;
/// Pivots allowed for each row: far more than are needed, but a circle at a tie must end. Stopping
/// early costs nothing but a weaker bound.
const PIVOTS_PER_ROW: usize = 40;
/// Rounding of a bound, relative to the terms it is made of.
const ROUNDING: f64 = 1e-14;

/// What has been decided of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Free,
    /// Live, whatever its weight.
    Pinned,
    /// Not live.
    Excluded,
}

/// A column of the basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basic {
    Slack(usize),
    /// The column that an arm had with that fate; it is fixed at 0 when the arm has another by now.
    Arm(usize, Fate),
    /// The column of an arm that was dropped since.
    Gone,
}

/// Where a nonbasic column changes sides, if prices move along an edge.
#[derive(Debug, Clone, Copy)]
struct Breakpoint {
    step: f64,
    /// How much steeper D becomes there.
    bend: f64,
    /// An arm, or the number of arms and a row.
    column: usize,
}

#[derive(Debug)]
pub(super) struct Relaxation {
    pub(super) program: Program,
    fate: Vec<Fate>,
    pinned: Vec<usize>,
    /// Columns, gains and right-hand sides as the fates make them.
    matrix: Vec<f64>,
    gain: Vec<f64>,
    right: Vec<f64>,
    offset: f64,
    /// Columns of the basis, their entries and gains, and the inverse, row after row.
    basis: Vec<Basic>,
    entries: Vec<f64>,
    gains: Vec<f64>,
    inverse: Vec<f64>,
    work: Vec<f64>,
    age: usize,
    /// Prices of the rows.
    price: Vec<f64>,
    /// `gain − y a` of each arm.
    reduced: Vec<f64>,
    is_basic: Vec<bool>,
    is_at_one: Vec<bool>,
    /// Right-hand sides less what columns at 1 use.
    left: Vec<f64>,
    /// Values of the basic columns.
    value: Vec<f64>,
    along: Vec<f64>,
    column: Vec<f64>,
    breakpoints: Vec<Breakpoint>,
}

impl Relaxation {
    /// The relaxation with all arms free, and the slacks as its basis.
    pub(super) fn new(program: Program) -> Self {
        let (arms, rows) = (program.arms.len(), program.rows());
        let sum = |(a, b): (&f64, &f64)| a + b;
        let mut relaxation = Self {
            fate: vec![Fate::Free; arms],
            pinned: Vec::with_capacity(arms),
            matrix: program.by_weight.iter().zip(&program.by_life).map(sum).collect(),
            gain: program.gain_by_weight.iter().zip(&program.gain_by_life).map(sum).collect(),
            right: program.right.clone(),
            offset: 0.0,
            basis: vec![Basic::Gone; rows],
            entries: vec![0.0; rows * rows],
            gains: vec![0.0; rows],
            inverse: vec![0.0; rows * rows],
            work: vec![0.0; rows * rows],
            age: 0,
            price: vec![0.0; rows],
            reduced: vec![0.0; arms],
            is_basic: vec![false; arms],
            is_at_one: vec![false; arms],
            left: vec![0.0; rows],
            value: vec![0.0; rows],
            along: vec![0.0; arms],
            column: vec![0.0; rows],
            breakpoints: Vec::with_capacity(arms + rows),
            program,
        };
        relaxation.take_slack_basis();
        relaxation
    }

    pub(super) fn arms(&self) -> usize {
        self.fate.len()
    }

    pub(super) fn fate(&self, arm: usize) -> Fate {
        self.fate[arm]
    }

    /// The pinned arms, in the order in which they were.
    pub(super) fn pinned(&self) -> &[usize] {
        &self.pinned
    }

    /// Decides on an arm, or takes a decision back. Pinned arms are freed last in, first out.
    pub(super) fn decide(&mut self, arm: usize, fate: Fate) {
        if self.fate[arm] == Fate::Pinned {
            self.pinned.pop();
        }
        if fate == Fate::Pinned {
            self.pinned.push(arm);
        }
        self.fate[arm] = fate;
        let (arms, program) = (self.arms(), &self.program);
        let life = f64::from(u8::from(fate != Fate::Pinned));
        for place in (arm..arms * self.right.len()).step_by(arms) {
            self.matrix[place] = program.by_weight[place] + life * program.by_life[place];
        }
        self.gain[arm] = program.gain_by_weight[arm] + life * program.gain_by_life[arm];
    }

    /// Drops the excluded arms for good; the others move up. Pinned arms stay so.
    pub(super) fn drop_excluded(&mut self) {
        let arms = self.arms();
        let kept: Vec<usize> = (0..arms).filter(|&arm| self.fate[arm] != Fate::Excluded).collect();
        let place = |arm: &usize| kept.binary_search(arm).ok();
        self.program.keep(&kept);
        self.matrix = select(&self.matrix, arms, &kept);
        self.gain = select(&self.gain, arms, &kept);
        self.fate = kept.iter().map(|&arm| self.fate[arm]).collect();
        self.pinned = self.pinned.iter().filter_map(place).collect();
        for column in &mut self.basis {
            if let Basic::Arm(arm, fate) = *column {
                *column = place(&arm).map_or(Basic::Gone, |place| Basic::Arm(place, fate));
            }
        }
        for list in [&mut self.reduced, &mut self.along] {
            list.truncate(kept.len());
        }
        self.is_basic.truncate(kept.len());
        self.is_at_one.truncate(kept.len());
    }

    /// Whether the pinned arms alone exceed no limit.
    pub(super) fn has_room(&mut self) -> bool {
        self.take_off_pinned();
        let Program { is_equation, tolerance, .. } = &self.program;
        (0..self.right.len()).all(|row| is_equation[row] || self.right[row] >= -tolerance[row])
    }

    fn take_off_pinned(&mut self) {
        let arms = self.arms();
        self.right.copy_from_slice(&self.program.right);
        self.offset = 0.0;
        for &arm in &self.pinned {
            for (row, right) in self.right.iter_mut().enumerate() {
                *right -= self.program.by_life[row * arms + arm];
            }
            self.offset += self.program.gain_by_life[arm];
        }
    }
}

// ---- what the last solve says -------------------------------------------------------------------

impl Relaxation {
    /// How far an arm is used, in \[0, 1\].
    pub(super) fn usage(&self, arm: usize) -> f64 {
        if !self.is_basic[arm] {
            return f64::from(u8::from(self.is_at_one[arm]));
        }
        let is_own = |column: &Basic| *column == Basic::Arm(arm, self.fate[arm]);
        self.basis.iter().position(is_own).map_or(0.0, |row| self.value[row])
    }

    /// By how much the bound falls if a free arm is not live.
    pub(super) fn loss_without(&self, arm: usize) -> f64 {
        self.reduced[arm].max(0.0)
    }

    /// By how much the bound falls if a free arm is live for certain.
    pub(super) fn loss_with(&self, arm: usize) -> f64 {
        let arms = self.arms();
        let by_life = (arm..arms * self.price.len()).step_by(arms).zip(&self.price);
        let charge = by_life.map(|(place, price)| price * self.program.by_life[place]).sum::<f64>()
            - self.program.gain_by_life[arm];
        let reduced = self.reduced[arm];
        reduced.max(0.0) - (reduced + charge).max(0.0) + charge
    }

    /// D at the present prices, from the data alone.
    fn bound(&mut self) -> f64 {
        self.reduce_gains();
        self.rent()
    }

    /// D at the present prices and reduced gains, with room for rounding.
    fn rent(&self) -> f64 {
        let rent: f64 = self.reduced.iter().map(|reduced| reduced.max(0.0)).sum();
        let (mut total, mut size) = (self.offset + rent, self.offset.abs() + rent);
        for (price, right) in self.price.iter().zip(&self.right) {
            total += price * right;
            size += (price * right).abs();
        }
        total + ROUNDING * (1.0 + size)
    }

    /// `gain − y a` for each arm; minus infinity for excluded arms.
    fn reduce_gains(&mut self) {
        let arms = self.arms();
        self.reduced.copy_from_slice(&self.gain);
        for (row, &price) in self.matrix.chunks_exact(arms).zip(&self.price) {
            if price != 0.0 {
                for (reduced, a) in self.reduced.iter_mut().zip(row) {
                    *reduced -= price * a;
                }
            }
        }
        for (reduced, fate) in self.reduced.iter_mut().zip(&self.fate) {
            if *fate == Fate::Excluded {
                *reduced = f64::NEG_INFINITY;
            }
        }
    }
}

// ---- the dual simplex ---------------------------------------------------------------------------

impl Relaxation {
    /// Lowers the bound as far as it goes, or until it is at most `enough`; returns it. The values of
    /// columns are optimal in the first case only.
    pub(super) fn solve(&mut self, enough: f64) -> f64 {
        self.start();
        let mut reached = self.rent();
        for _ in 0..PIVOTS_PER_ROW * self.basis.len() {
            if reached < enough - ROUNDING {
                break;
            }
            let Some((row, excess)) = self.leaving() else { break };
            self.list_breakpoints(row, excess);
            let bends: f64 = self.breakpoints.iter().map(|breakpoint| breakpoint.bend).sum();
            if bends < excess.abs() {
                // D falls without end: no point satisfies the rows.
                let reach = (self.bound() - enough).max(0.0) + 1.0;
                self.move_prices(row, -excess.signum() * reach / (excess.abs() - bends));
                break;
            }
            let last = self.pass_breakpoints(excess.abs());
            reached -= self.descent(excess.abs(), last.step);
            self.pivot(row, excess, last);
            if self.age >= REFRESH {
                self.start();
            }
        }
        self.bound()
    }

    /// Starts from the basis of the routing LP over all arms, whose rows are the first two of the
    /// program: mass and budget.
    pub(super) fn start_from(&mut self, marginal: usize, partner: Option<usize>) {
        let (arms, rows) = (self.arms(), self.basis.len());
        for (row, arm) in [Some(marginal), partner].into_iter().enumerate() {
            let Some(arm) = arm else { continue };
            self.basis[row] = Basic::Arm(arm, Fate::Free);
            self.gains[row] = self.gain[arm];
            for of in 0..rows {
                self.entries[of * rows + row] = self.matrix[of * arms + arm];
            }
        }
        if !self.invert() {
            self.take_slack_basis();
        }
    }

    fn take_slack_basis(&mut self) {
        let rows = self.basis.len();
        self.entries.fill(0.0);
        self.inverse.fill(0.0);
        for row in 0..rows {
            self.basis[row] = Basic::Slack(row);
            self.entries[row * rows + row] = 1.0;
            self.inverse[row * rows + row] = 1.0;
        }
        self.gains.fill(0.0);
        self.price.fill(0.0);
        self.age = 0;
    }

    /// Puts prices, sides and values right for the basis, which is given up if it has gone wrong.
    fn start(&mut self) {
        if self.age > 0 && !self.invert() {
            self.take_slack_basis();
        }
        self.price_rows();
        let is_wrong = |(row, price): (usize, &f64)| {
            !self.program.is_equation[row] && *price < 0.0 || !price.is_finite()
        };
        if self.price.iter().enumerate().any(is_wrong) {
            self.take_slack_basis();
        }
        self.take_off_pinned();
        self.reduce_gains();
        self.is_basic.fill(false);
        for column in &self.basis {
            if let Basic::Arm(arm, fate) = *column
                && fate == self.fate[arm]
            {
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

    /// y = gains · inverse, cleared of rounding below 0.
    fn price_rows(&mut self) {
        let rows = self.basis.len();
        self.price.fill(0.0);
        for (inverse, gain) in self.inverse.chunks_exact(rows).zip(&self.gains) {
            for (price, entry) in self.price.iter_mut().zip(inverse) {
                *price += gain * entry;
            }
        }
        for (price, is_equation) in self.price.iter_mut().zip(&self.program.is_equation) {
            if !is_equation && *price < 0.0 && *price > -PIVOT_TOLERANCE {
                *price = 0.0;
            }
        }
    }

    /// The basic column farthest outside of its bounds, and by how much: above is positive.
    fn leaving(&mut self) -> Option<(usize, f64)> {
        let rows = self.basis.len();
        let mut worst: Option<(usize, f64)> = None;
        for row in 0..rows {
            let inverse = &self.inverse[row * rows..(row + 1) * rows];
            let value: f64 = inverse.iter().zip(&self.left).map(|(a, b)| a * b).sum();
            self.value[row] = value;
            let (most, tolerance) = match self.basis[row] {
                Basic::Slack(of) if self.program.is_equation[of] => {
                    (0.0, self.program.tolerance[of])
                }
                Basic::Slack(of) => (f64::INFINITY, self.program.tolerance[of]),
                Basic::Arm(arm, fate) if fate == self.fate[arm] && fate != Fate::Excluded => {
                    (1.0, COLUMN_TOLERANCE)
                }
                Basic::Arm(..) | Basic::Gone => (0.0, COLUMN_TOLERANCE),
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
        let (arms, rows, sign) = (self.arms(), self.basis.len(), -excess.signum());
        let inverse = &self.inverse[row * rows..(row + 1) * rows];
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
            let is_open = !self.program.is_equation[of] && !self.basis.contains(&Basic::Slack(of));
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
        let rows = self.basis.len();
        let inverse = &self.inverse[row * rows..(row + 1) * rows];
        for ((price, entry), is_equation) in
            self.price.iter_mut().zip(inverse).zip(&self.program.is_equation)
        {
            *price += step * entry;
            if !is_equation {
                *price = price.max(0.0);
            }
        }
    }

    /// Exchanges the basic column of `row` for that of the breakpoint.
    fn pivot(&mut self, row: usize, excess: f64, at: Breakpoint) {
        let (arms, rows, sign) = (self.arms(), self.basis.len(), -excess.signum());
        self.move_prices(row, sign * at.step);
        for (reduced, along) in self.reduced.iter_mut().zip(&self.along) {
            *reduced -= at.step * along;
        }
        if let Basic::Arm(arm, fate) = self.basis[row]
            && fate == self.fate[arm]
            && fate != Fate::Excluded
        {
            self.is_basic[arm] = false;
            if excess > 0.0 {
                self.change_side(arm);
            }
        }
        self.column.fill(0.0);
        if at.column < arms {
            let arm = at.column;
            if self.is_at_one[arm] {
                self.change_side(arm);
            }
            self.is_basic[arm] = true;
            self.reduced[arm] = 0.0;
            self.basis[row] = Basic::Arm(arm, self.fate[arm]);
            self.gains[row] = self.gain[arm];
            for of in 0..rows {
                self.column[of] = self.matrix[of * arms + arm];
            }
        } else {
            self.basis[row] = Basic::Slack(at.column - arms);
            self.gains[row] = 0.0;
            self.column[at.column - arms] = 1.0;
        }
        for of in 0..rows {
            self.entries[of * rows + row] = self.column[of];
        }
        self.exchange(row);
        self.age += 1;
    }

    /// Brings the inverse up to date after `column` took the place of `row` in the basis.
    fn exchange(&mut self, row: usize) {
        let rows = self.basis.len();
        let image = |inverse: &[f64], column: &[f64]| -> f64 {
            inverse.iter().zip(column).map(|(a, b)| a * b).sum()
        };
        let own = row * rows..(row + 1) * rows;
        let pivot = image(&self.inverse[own.clone()], &self.column);
        for other in (0..rows).filter(|&other| other != row) {
            let range = other * rows..(other + 1) * rows;
            let factor = image(&self.inverse[range], &self.column) / pivot;
            for of in 0..rows {
                self.inverse[other * rows + of] -= factor * self.inverse[row * rows + of];
            }
        }
        for entry in &mut self.inverse[own] {
            *entry /= pivot;
        }
    }

    /// Computes the inverse from the columns of the basis; false if they are dependent.
    fn invert(&mut self) -> bool {
        let rows = self.basis.len();
        let (work, inverse) = (&mut self.work, &mut self.inverse);
        work.copy_from_slice(&self.entries);
        inverse.fill(0.0);
        for row in 0..rows {
            inverse[row * rows + row] = 1.0;
        }
        for column in 0..rows {
            let size = |row: &usize| work[row * rows + column].abs();
            let largest = (column..rows).max_by(|a, b| size(a).total_cmp(&size(b)));
            let Some(chosen) = largest.filter(|row| size(row) > PIVOT_TOLERANCE) else {
                return false;
            };
            for matrix in [&mut *work, &mut *inverse] {
                for of in 0..rows {
                    matrix.swap(chosen * rows + of, column * rows + of);
                }
            }
            let pivot = work[column * rows + column];
            for matrix in [&mut *work, &mut *inverse] {
                matrix[column * rows..(column + 1) * rows].iter_mut().for_each(|a| *a /= pivot);
            }
            for row in (0..rows).filter(|&row| row != column) {
                let factor = work[row * rows + column];
                for matrix in [&mut *work, &mut *inverse] {
                    for of in 0..rows {
                        matrix[row * rows + of] -= factor * matrix[column * rows + of];
                    }
                }
            }
        }
        self.age = 0;
        true
    }
}

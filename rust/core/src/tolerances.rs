//! Every tolerance of the crate, with its reason.
//!
//! A value is as small as the rounding that it covers allows: sums of some hundred terms lose a few units
//! of 1e-16 for each. Two things that happen to have the same value have two names.

// ---- the routing LP -----------------------------------------------------------------------------

/// Relative width of a tie: two scores closer than this, against the terms they are made of, may
/// differ by rounding alone. A warm basis that rests on such a tie is solved afresh, so that a
/// tie falls the same way whatever was solved before.
pub const TIE_TOLERANCE: f64 = 1e-12;

/// How far below the cheapest mixture the budget may be and still count as met, relative to the
/// largest cost; how far below 1 the caps may sum. Covers rounding at the boundary only, where
/// "feasible" is the better verdict.
pub const FEASIBILITY_TOLERANCE: f64 = 1e-12;

/// After this many pivots a walk over the prices has gone wrong. A walk passes every crossing of two
/// scores at most once, of which there are fewer than the square of the arms; small LPs get some more,
/// so that ties never come near it.
pub(crate) fn pivot_limit(arms: usize) -> usize {
    arms * arms + 64
}

/// A share moves by more than this, relatively, before it is worth solving the LP from nothing. The
/// arrival rate that shares follow is itself known to a few per cent only.
pub(crate) const SHARE_TOLERANCE: f64 = 0.02;

// ---- deployment ---------------------------------------------------------------------------------

/// By how much a limit may be exceeded: rounding of sums. Relative, since a limit in any unit but arms
/// is given as shares of it.
pub const LIMIT_TOLERANCE: f64 = 1e-9;

/// A set that is better by no more than this is not looked for: the accuracy promised is 1e-9, and
/// bounds that are closer to a value cannot be told from it for sure.
pub const OPTIMALITY_TOLERANCE: f64 = 1e-10;

/// Two sets whose values differ by less are as good as each other: more than rounding, less than any
/// stated accuracy.
pub(crate) const VALUE_TIE: f64 = 1e-12;

/// Weights below this come from rounding at a degenerate vertex; their arms need not be live.
pub(crate) const SUPPORT_TOLERANCE: f64 = 1e-12;

/// A set that spends this share less than the budget is one that any solver must find: solvers of
/// general MIPs judge rows with this accuracy.
pub(crate) const BUDGET_BOUNDARY: f64 = 1e-6;

/// How far the mass and the budget of the relaxation may be missed: a little more than the exact LP on a
/// set forgives.
pub(crate) const MIXTURE_TOLERANCE: f64 = 2.0 * FEASIBILITY_TOLERANCE;

/// Where the bound still falls by so little after the last breakpoint, the rows can be satisfied but for
/// rounding, or nearly so: the exact LP is to judge that.
pub(crate) const LEAST_FALL: f64 = FEASIBILITY_TOLERANCE;

/// Pivots of the relaxation's basis smaller than this are noise: its inverse is good to that.
pub(crate) const PIVOT_TOLERANCE: f64 = 1e-10;

/// A basic column this far outside of \[0, 1\] is inside but for rounding.
pub(crate) const COLUMN_TOLERANCE: f64 = 1e-11;

/// Rounding of a bound, relative to the terms it is made of.
pub(crate) const BOUND_ROUNDING: f64 = 1e-14;

// ---- statistics, money, traffic -----------------------------------------------------------------

/// A weight below this is no knowledge any more: it becomes 0, before it can become denormal.
pub(crate) const NEGLIGIBLE_WEIGHT: f64 = 1e-9;

/// An arm with fewer failures than this, in weights that time has worn down, is as good as new.
pub(crate) const NEGLIGIBLE_FAILURES: f64 = 0.01;

/// How far rounding may push a mean out of the range of what it is the mean of, relative to that range:
/// a thousand times what a billion updates lose.
pub(crate) const MEAN_ROUNDING: f64 = 1e-9;

/// Amounts this close to a whole number of nanodollars, relatively, are that number: it is what
/// rounding makes of sums and products of prices.
pub(crate) const MONEY_ROUNDING: f64 = 8.0 * f64::EPSILON;

/// What the level of a token bucket may be off after many corrections, relative to its capacity. A wait
/// is longer by so much, so that it is never too short.
pub(crate) const LEVEL_ROUNDING: f64 = 1e-12;

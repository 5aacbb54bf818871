//! Which arms to keep live during a stage, exactly.
//!
//! ```text
//! max  Σ μ d    s.t.  Σ c d + Σ s z ≤ b,   Σ d = 1,   0 ≤ d ≤ α z,   Σ z ≤ M_max,   z an allowed set
//! ```
//!
//! An optimal mixture without the limit on live arms has at most two fractional arms, so it often
//! keeps the limit by itself. Where not, `search.rs` branches on arms, bounded by the LP in which an
//! arm is live as far as it is used (`program.rs`, `relaxation.rs`, `dual_simplex.rs`).

mod basis;
mod dual_simplex;
mod incumbent;
mod plain;
mod program;
mod relaxation;
mod search;
mod sets;

pub use plain::{Deployment, solve_deployment};
pub use program::{Goal, SetProblem};
pub use search::{Found, NODE_LIMIT, OPTIMALITY_TOLERANCE};
pub use sets::{LIMIT_TOLERANCE, LiveSets};

use crate::checks::{COST_RULE, check_all, is_cost};
use crate::error::Error;

/// The best allowed set of a problem; its value is within [`OPTIMALITY_TOLERANCE`] of the optimum.
///
/// `should_stop` is asked every few hundred nodes.
///
/// # Errors
/// Those of [`crate::lp::Problem::validate`], and [`Error::WrongLength`] or
/// [`Error::InvalidElement`] for the other data. [`Error::SearchStopped`] if `should_stop` said so,
/// or after [`NODE_LIMIT`] nodes.
pub fn best_set(
    problem: &SetProblem<'_>,
    should_stop: &mut dyn FnMut() -> bool,
) -> Result<Found, Error> {
    problem.mixture.validate()?;
    let (arms, actual) = (problem.mixture.reward.len(), problem.start.len());
    if actual != arms {
        let rule = "one for each arm";
        return Err(Error::WrongLength { argument: "start", actual, expected: arms, rule });
    }
    check_all("start", problem.start, COST_RULE, is_cost)?;
    problem.sets.validate(arms)?;
    search::search(problem, None, should_stop)
}

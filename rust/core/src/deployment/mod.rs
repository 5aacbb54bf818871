//! Which arms to keep live during a stage, exactly.
//!
//! ```text
//! max  Σ μ d    s.t.  Σ c d + Σ s z ≤ b,   Σ d = 1,   0 ≤ d ≤ α z,   Σ z ≤ M_max,   z an allowed set
//! ```
//!
//! `solve.rs` puts the problem, with constraints and without, to whatever solves for sets, and finishes
//! what comes back (`judge.rs`, `polish.rs`). The solver of this crate, `search.rs`, branches on arms,
//! bounded by the LP in which an arm is live as far as it is used (`program.rs`, `relaxation.rs`,
//! `dual_simplex.rs`).

mod basis;
mod dual_simplex;
mod incumbent;
mod judge;
mod polish;
mod problem;
mod program;
mod relaxation;
mod search;
mod sets;
mod solve;

pub use crate::tolerances::{LIMIT_TOLERANCE, OPTIMALITY_TOLERANCE};
pub use problem::{DeploymentProblem, Goal};
pub use search::{BranchAndBound, NODE_LIMIT};
pub use sets::LiveSets;
pub use solve::{Deployment, SetSolver, solve_deployment};

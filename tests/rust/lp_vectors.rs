//! The routing LP against optima from exact rational arithmetic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;
use std::path::PathBuf;

use serde::Deserialize;
use stageroute_core::lp::{Problem, RoutingLp, Status};

/// Objectives agree with exact arithmetic this closely.
const OBJECTIVE_TOLERANCE: f64 = 1e-9;
/// Within this margin of the boundary (relative to the largest cost, or to 1 for caps) the verdict
/// may fall either way.
const BOUNDARY_BAND: f64 = 1e-9;

#[derive(Deserialize)]
struct Vector {
    id: u64,
    reward: Vec<f64>,
    cost: Vec<f64>,
    cap: Vec<f64>,
    budget: f64,
    status: String,
    objective: Option<f64>,
    budget_margin: Option<f64>,
    cap_margin: f64,
}

impl Vector {
    fn problem(&self) -> Problem<'_> {
        let Self { reward, cost, cap, budget, .. } = self;
        Problem { reward, cost, cap, budget: *budget }
    }

    fn is_at_boundary(&self) -> bool {
        let unit = self.cost.iter().copied().fold(0.0, f64::max);
        self.cap_margin.abs() <= BOUNDARY_BAND
            || self.budget_margin.is_some_and(|margin| margin.abs() <= BOUNDARY_BAND * unit)
    }

    /// Compares a solved LP with the exact optimum; returns the objective's error.
    fn check(&self, lp: &RoutingLp) -> f64 {
        let status = lp.status();
        if status.as_str() != self.status {
            assert!(self.is_at_boundary(), "vector {}: {status:?}, not {}", self.id, self.status);
            return 0.0;
        }
        let certificate = lp.certificate();
        assert!(certificate.primal_residual <= 1e-9, "vector {}: {certificate:?}", self.id);
        assert!(certificate.dual_residual <= 1e-9, "vector {}: {certificate:?}", self.id);
        let Some(objective) = self.objective else { return 0.0 };
        if self.is_at_boundary() && status == Status::BudgetInfeasible {
            return 0.0;
        }
        let error = (lp.objective() - objective).abs();
        assert!(error <= OBJECTIVE_TOLERANCE, "vector {}: off by {error:e}", self.id);
        error
    }
}

/// The vectors, or `None` (said on stderr) where the shared folder is absent.
fn vectors() -> Option<Vec<Vector>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/lp.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        // Not `eprintln!`, which the test runner keeps to itself when a test passes.
        let _ = writeln!(std::io::stderr(), "left out: no vectors, {} is absent", path.display());
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn cold_solves_match_exact_optima() {
    let Some(vectors) = vectors() else { return };
    let mut worst = 0.0_f64;
    for vector in &vectors {
        let mut lp = RoutingLp::new(vector.problem()).unwrap();
        lp.solve().unwrap();
        worst = worst.max(vector.check(&lp));
    }
    println!("{} vectors, worst objective error {worst:e}", vectors.len());
}

#[test]
fn warm_solves_from_a_neighbour_match_exact_optima() {
    let Some(vectors) = vectors() else { return };
    let mut counts = [0_u64; 3];
    for vector in &vectors {
        let arms = vector.reward.len();
        for changed in 0..arms {
            let (mut reward, mut cost) = (vector.reward.clone(), vector.cost.clone());
            reward[changed] = 0.5 * reward[changed] + 0.1;
            cost[changed] *= 1.5;
            let budget = vector.budget * if changed % 2 == 0 { 0.7 } else { 1.3 };
            let neighbour = Problem { reward: &reward, cost: &cost, cap: &vector.cap, budget };
            let mut lp = RoutingLp::new(neighbour).unwrap();
            lp.solve().unwrap();
            lp.set_budget(vector.budget);
            lp.set_arm(changed, vector.reward[changed], vector.cost[changed]);
            lp.solve().unwrap();
            vector.check(&lp);
            let made = lp.counts();
            for (total, n) in counts.iter_mut().zip([made.kept, made.warm, made.cold]) {
                *total += n;
            }
        }
    }
    println!("kept {}, warm {}, cold {}", counts[0], counts[1], counts[2]);
    assert!(counts[0] > 0 && counts[1] > 0, "the warm path was not taken: {counts:?}");
}

//! What is solved, and what is known of the answer.

use serde::{Deserialize, Serialize};

use crate::checks::{CAP_RULE, COST_RULE, check, check_all, is_cap, is_cost};
use crate::error::Error;

/// What is known of the optimum; the best status comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// The probabilities are optimal.
    Optimal,
    /// No mixture meets the budget; the probabilities are the cheapest mixture within the caps.
    BudgetInfeasible,
    /// The caps sum to less than 1; the probabilities are proportional to the caps.
    CapInfeasible,
}

impl Status {
    /// The name of this status in the public interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Optimal => "optimal",
            Self::BudgetInfeasible => "budget_infeasible",
            Self::CapInfeasible => "cap_infeasible",
        }
    }
}

/// The data of one LP. All slices have one entry for each arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Problem<'a> {
    /// Reward estimates, finite.
    pub reward: &'a [f64],
    /// Cost estimates, finite and not negative, USD.
    pub cost: &'a [f64],
    /// Largest share of each arm, in (0, 1].
    pub cap: &'a [f64],
    /// Average USD per query, finite and not negative.
    pub budget: f64,
}

impl Problem<'_> {
    /// Checks every rule of the data.
    ///
    /// # Errors
    /// [`Error::WrongLength`], [`Error::InvalidElement`] or [`Error::InvalidNumber`], naming the
    /// argument.
    pub fn validate(&self) -> Result<(), Error> {
        let arms = self.reward.len();
        let lengths = [("cost", self.cost.len()), ("throughput_cap", self.cap.len())];
        for (argument, actual) in lengths {
            if actual != arms {
                let rule = "one for each element of reward";
                return Err(Error::WrongLength { argument, actual, expected: arms, rule });
            }
        }
        if arms == 0 {
            return Err(Error::NoArms { argument: "reward" });
        }
        check_all("reward", self.reward, "must be finite", f64::is_finite)?;
        check_all("cost", self.cost, COST_RULE, is_cost)?;
        check_all("throughput_cap", self.cap, CAP_RULE, is_cap)?;
        check_budget(self.budget)
    }
}

fn check_budget(budget: f64) -> Result<(), Error> {
    check(is_cost(budget), "budget", budget, "must be finite and not negative, in USD per query")
}

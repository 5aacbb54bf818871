//! The money of a baseline: what was billed, and what is under way while feedback is late.

use crate::error::{Error, check};
use crate::pacing::{CompensatedSum, Ledger, Pacing};

/// Decisions of an arm that have not been billed.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    count: u64,
    /// What they are expected to cost, USD.
    usd: f64,
}

/// Bills, and the budget that they leave to the next query.
#[derive(Debug, Clone)]
pub(super) struct Purse {
    pub(super) budget: f64,
    pacing: Option<Pacing>,
    ledger: Ledger,
    billed: CompensatedSum,
    open: Vec<Open>,
}

impl Purse {
    /// A purse of `budget` USD per query.
    pub(super) fn new(budget: f64, pacing: Option<Pacing>, arms: usize) -> Result<Self, Error> {
        let rule = "must be finite and above 0, in USD per query";
        check(budget.is_finite() && budget > 0.0, "budget", budget, rule)?;
        if let Some(pacing) = pacing {
            pacing.validate()?;
        }
        let (ledger, billed) = (Ledger::default(), CompensatedSum::default());
        Ok(Self { budget, pacing, ledger, billed, open: vec![Open::default(); arms] })
    }

    /// Notes a decision for an arm, which is expected to cost so much.
    pub(super) fn open(&mut self, arm: usize, expected: f64) {
        let open = &mut self.open[arm];
        open.count += 1;
        open.usd += expected;
        self.ledger.queries += 1;
        self.ledger.in_flight += expected;
    }

    /// Bills one of the open decisions of an arm.
    pub(super) fn settle(&mut self, arm: usize, cost: f64) {
        let open = &mut self.open[arm];
        let expected = open.usd / open.count.max(1) as f64;
        open.count = open.count.saturating_sub(1);
        open.usd -= expected;
        self.ledger.in_flight -= expected;
        self.ledger.billed = self.billed.add(cost);
    }

    /// The budget of the next query, USD.
    pub(super) fn paced_budget(&self) -> f64 {
        self.pacing.map_or(self.budget, |pacing| pacing.paced_budget(self.budget, &self.ledger))
    }

    /// Money so far.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

//! The money of a baseline: what was billed, and what is under way while feedback is late.

use stageroute_core::checks::check;
use stageroute_core::{ArmIndex, CompensatedSum, Error, Ledger, Pacing};

/// Decisions of an arm that have not been billed.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    count: u64,
    /// What they are expected to cost, USD.
    usd: f64,
}

/// Bills, and the budget that they leave to the next query.
#[derive(Debug, Clone)]
pub(crate) struct Purse {
    pub(crate) budget: f64,
    pacing: Option<Pacing>,
    ledger: Ledger,
    billed: CompensatedSum,
    open: Vec<Open>,
    /// T and what the cheapest mixture of the live arms costs, USD per query, where the money has to
    /// last for a horizon.
    horizon: Option<u64>,
    cheapest: f64,
}

impl Purse {
    /// A purse of `budget` USD per query.
    pub(crate) fn new(budget: f64, pacing: Option<Pacing>, arms: usize) -> Result<Self, Error> {
        let rule = "must be finite and above 0, in USD per query";
        check(budget.is_finite() && budget > 0.0, "budget", budget, rule)?;
        if let Some(pacing) = pacing {
            pacing.validate()?;
        }
        let (ledger, billed) = (Ledger::default(), CompensatedSum::default());
        let open = vec![Open::default(); arms];
        Ok(Self { budget, pacing, ledger, billed, open, horizon: None, cheapest: 0.0 })
    }

    /// A purse of b T USD for T queries.
    pub(crate) fn for_horizon(budget: f64, horizon: u64, arms: usize) -> Result<Self, Error> {
        Ok(Self { horizon: Some(horizon), ..Self::new(budget, None, arms)? })
    }

    /// Keeps so much back for each query to come, which the cheapest mixture costs.
    pub(crate) fn keep_back(&mut self, cheapest: f64) {
        self.cheapest = cheapest;
    }

    /// Whether what is left just pays for the cheapest mixture up to the horizon, or less.
    pub(crate) fn is_empty(&self) -> bool {
        self.horizon.is_some_and(|horizon| {
            let queries_left = horizon.saturating_sub(self.ledger.queries) as f64;
            let kept_back = self.cheapest * queries_left;
            self.ledger.committed() + kept_back >= self.budget * horizon as f64
        })
    }

    /// Notes a decision for an arm, which is expected to cost so much.
    pub(crate) fn open(&mut self, arm: ArmIndex, expected: f64) {
        let open = &mut self.open[arm];
        open.count += 1;
        open.usd += expected;
        self.ledger.queries += 1;
        self.ledger.in_flight += expected;
    }

    /// Bills one of the open decisions of an arm.
    pub(crate) fn settle(&mut self, arm: ArmIndex, cost: f64) {
        let open = &mut self.open[arm];
        let expected = open.usd / open.count.max(1) as f64;
        open.count = open.count.saturating_sub(1);
        open.usd -= expected;
        self.ledger.in_flight -= expected;
        self.ledger.billed = self.billed.add(cost);
    }

    /// The budget of the next query, USD.
    pub(crate) fn paced_budget(&self) -> f64 {
        self.pacing.map_or(self.budget, |pacing| pacing.paced_budget(self.budget, &self.ledger))
    }

    /// Money so far.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

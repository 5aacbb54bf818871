//! Shares of the traffic of a stage, for policies without an LP.

use stageroute_core::{ArmIndex, LiveArms};

/// How many queries of a stage each arm has served, and whether it may serve more.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    caps: Vec<f64>,
    served: Vec<u64>,
    queries: u64,
    /// How many queries a stage is expected to have.
    expected: f64,
}

impl Shares {
    /// Nothing served yet. With `expected` 0 an arm must keep to its cap all the time, else at
    /// the end of a stage of that length.
    pub(crate) fn new(caps: &[f64], expected: f64) -> Self {
        Self { caps: caps.to_vec(), served: vec![0; caps.len()], queries: 0, expected }
    }

    /// A new stage begins.
    pub(crate) fn reset(&mut self) {
        self.served.fill(0);
        self.queries = 0;
    }

    /// Whether an arm may serve the next query.
    pub(crate) fn has_left(&self, arm: ArmIndex) -> bool {
        let queries = (self.queries + 1) as f64;
        self.served[arm] as f64 + 1.0 <= self.caps[arm] * queries.max(self.expected) + SLACK
    }

    /// The arm that is the least over its share: the one to serve when none may.
    pub(crate) fn least_used(&self, live: &LiveArms) -> Option<ArmIndex> {
        let used = |arm: ArmIndex| self.served[arm] as f64 / self.caps[arm];
        live.arms().iter().copied().min_by(|&a, &b| used(a).total_cmp(&used(b)))
    }

    /// What the cheapest mixture of the live arms costs at these mean costs, USD per query.
    pub(crate) fn cheapest_mixture(&self, live: &LiveArms, cost: impl Fn(ArmIndex) -> f64) -> f64 {
        let mut live = live.arms().to_vec();
        live.sort_unstable_by(|&a, &b| cost(a).total_cmp(&cost(b)));
        let (mut mass, mut spend) = (1.0_f64, 0.0);
        for arm in live {
            let share = mass.min(self.caps[arm]);
            spend += cost(arm) * share;
            mass -= share;
        }
        spend
    }

    /// An arm serves a query.
    pub(crate) fn serve(&mut self, arm: ArmIndex) {
        self.served[arm] += 1;
        self.queries += 1;
    }

    pub(crate) fn cap(&self, arm: ArmIndex) -> f64 {
        self.caps[arm]
    }
}

/// So many queries more than its share an arm may have served. Less than what the draws of a routing
/// distribution scatter by.
const SLACK: f64 = 1.0;

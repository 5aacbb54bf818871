//! What is kept of an arm besides its running totals, so that they can be forgotten, tested for
//! change, and billed at other prices.

use serde::{Deserialize, Serialize};

use crate::drift::{Cusum, Drift, Forgetting};
use crate::stats::{Accumulator, Moments};
use crate::usage::{Prices, Tokens, UsageMoments};

/// What is kept of one quantity. Everything is allocated at the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory<M> {
    /// One total for each stage of the window; empty without a window.
    window: Vec<M>,
    /// All observations since the last change, undiscounted: what the change test compares with.
    past: M,
    cusum: Cusum,
    changes: u64,
    /// The last total that was worth anything before everything was forgotten.
    last: M,
}

impl<M: Accumulator> Memory<M> {
    /// Memory of a quantity of which `prior` is believed. `slot` is the running stage's.
    pub(crate) fn new(forgetting: &Forgetting, slot: usize, prior: &M) -> Self {
        let mut window = vec![M::default(); forgetting.slots()];
        if let Some(running) = window.get_mut(slot) {
            *running = *prior;
        }
        Self { window, ..Self::default() }
    }

    /// Starts to forget in another way: all that is known counts as of the running stage, the first.
    pub(crate) fn restart_window(&mut self, forgetting: &Forgetting, total: &M) {
        self.window = Self::new(forgetting, 0, total).window;
    }

    /// Takes an observation into `total`, unless it is the one by which a change is found: then all
    /// is dropped, that observation too. `moments` views usage as numbers, as `value` does `x`.
    // Out of line: the path without drift stays short enough to be inlined.
    #[inline(never)]
    pub(crate) fn observe(
        &mut self,
        drift: &Drift,
        slot: usize,
        total: &mut M,
        x: M::Item,
        value: f64,
        moments: impl Fn(&M) -> Moments,
    ) {
        if let Some(test) = &drift.change_test {
            if self.cusum.fires(test, value, &moments(&self.past)) {
                self.restart(total);
                return;
            }
            self.past.push(x);
        }
        if let Forgetting::PerQuery { factor } = drift.forgetting {
            total.discount(factor);
        }
        total.push(x);
        if let Some(running) = self.window.get_mut(slot) {
            running.push(x);
        }
    }

    fn restart(&mut self, total: &mut M) {
        self.replace(total, M::default());
        self.window.fill(M::default());
        self.past = M::default();
        self.cusum = Cusum::default();
        self.changes += 1;
    }

    /// Forgets what is due at a boundary; `slot` is the next stage's.
    pub(crate) fn begin_stage(&mut self, forgetting: &Forgetting, slot: usize, total: &mut M) {
        let next = self.next_total(forgetting, slot, total);
        self.replace(total, next);
        if let Some(oldest) = self.window.get_mut(slot) {
            *oldest = M::default();
        }
    }

    /// The total as it will be after the next boundary.
    pub(crate) fn next_total(&self, forgetting: &Forgetting, slot: usize, total: &M) -> M {
        match *forgetting {
            Forgetting::None | Forgetting::PerQuery { .. } => *total,
            Forgetting::PerStage { factor } => {
                let mut next = *total;
                next.discount(factor);
                next
            }
            Forgetting::Window { .. } => {
                let mut next = M::default();
                for (index, stage) in self.window.iter().enumerate() {
                    if index != slot {
                        next.merge(stage);
                    }
                }
                next.set_count_of(total);
                next
            }
        }
    }

    fn replace(&mut self, total: &mut M, next: M) {
        if next.weight() == 0.0 && total.weight() > 0.0 {
            self.last = *total;
        }
        *total = next;
    }

    /// What is known, or was known last; nothing if nothing ever was.
    pub(crate) fn latest<'a>(&'a self, total: &'a M) -> &'a M {
        if total.weight() > 0.0 { total } else { &self.last }
    }

    /// How often the change test has fired.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Slots of the window.
    pub(crate) fn slots(&self) -> usize {
        self.window.len()
    }
}

/// What is kept of an arm's cost: USD, or usage and what it costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum CostMemory {
    Usd(Memory<Moments>),
    Tokens { prices: Prices, usage: UsageMoments, memory: Box<Memory<UsageMoments>> },
}

impl CostMemory {
    pub(crate) fn changes(&self) -> u64 {
        match self {
            Self::Usd(memory) => memory.changes(),
            Self::Tokens { memory, .. } => memory.changes(),
        }
    }

    pub(crate) fn slots(&self) -> usize {
        match self {
            Self::Usd(memory) => memory.slots(),
            Self::Tokens { memory, .. } => memory.slots(),
        }
    }
}

/// What is kept of an arm besides its statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArmMemory {
    pub(crate) reward: Memory<Moments>,
    pub(crate) cost: CostMemory,
}

/// Takes the usage of one query and returns the moments of cost that follow.
// Out of line, as is `Memory::observe`.
#[inline(never)]
pub(crate) fn observe_tokens(
    drift: &Drift,
    slot: usize,
    tokens: &Tokens,
    prices: &Prices,
    usage: &mut UsageMoments,
    memory: &mut Memory<UsageMoments>,
) -> Moments {
    if drift.is_off() {
        usage.push(tokens);
    } else {
        let bill = prices.bill(tokens);
        memory.observe(drift, slot, usage, *tokens, bill, |past| past.billed(prices));
    }
    usage.billed(prices)
}

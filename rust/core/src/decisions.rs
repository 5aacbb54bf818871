//! The table of open decisions: which arm each recent decision chose, and what feedback it has had.

use crate::error::Error;

/// One recent decision.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OpenDecision {
    pub(crate) arm: usize,
    /// What it was expected to cost when it was made, USD.
    pub(crate) expected_cost: f64,
    has_reward: bool,
    has_cost: bool,
}

/// The last `capacity` decisions, by consecutive id, in a ring: bounded, without allocation.
#[derive(Debug, Clone)]
pub(crate) struct OpenDecisions {
    ring: Box<[OpenDecision]>,
    next: u64,
}

impl OpenDecisions {
    /// A ring of at least `capacity` decisions, rounded up to a power of two.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1).next_power_of_two();
        Self { ring: vec![OpenDecision::default(); capacity].into(), next: 0 }
    }

    /// Opens the next decision and returns its id.
    #[inline]
    pub(crate) fn open(&mut self, arm: usize, expected_cost: f64) -> u64 {
        let id = self.next;
        let place = self.place(id);
        self.ring[place] = OpenDecision { arm, expected_cost, has_reward: false, has_cost: false };
        self.next += 1;
        id
    }

    /// The decision with this id, if it can take the given kinds of feedback.
    #[inline]
    pub(crate) fn find(&self, id: u64, reward: bool, cost: bool) -> Result<OpenDecision, Error> {
        if id >= self.next {
            return Err(Error::UnknownDecision { id, next: self.next });
        }
        let capacity = self.ring.len();
        if self.next - id > capacity as u64 {
            return Err(Error::ExpiredDecision { id, capacity });
        }
        let open = self.ring[self.place(id)];
        if reward && open.has_reward {
            return Err(Error::AlreadyObserved { id, kind: "reward" });
        }
        if cost && open.has_cost {
            return Err(Error::AlreadyObserved { id, kind: "cost" });
        }
        Ok(open)
    }

    /// Notes the feedback that a decision found by [`OpenDecisions::find`] has now had.
    #[inline]
    pub(crate) fn mark(&mut self, id: u64, reward: bool, cost: bool) {
        let place = self.place(id);
        let open = &mut self.ring[place];
        open.has_reward |= reward;
        open.has_cost |= cost;
    }

    /// Takes back a [`OpenDecisions::mark`].
    pub(crate) fn unmark(&mut self, id: u64, reward: bool, cost: bool) {
        let place = self.place(id);
        let open = &mut self.ring[place];
        open.has_reward &= !reward;
        open.has_cost &= !cost;
    }

    #[inline]
    fn place(&self, id: u64) -> usize {
        // The remainder is below the ring's length, which is a usize.
        #[allow(clippy::cast_possible_truncation)]
        let place = (id & (self.ring.len() as u64 - 1)) as usize;
        place
    }
}

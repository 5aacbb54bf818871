//! The table of open decisions: which arm each recent decision chose, what was set aside for it,
//! and what feedback it has had.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::guard::Nanodollars;

/// One recent decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenDecision {
    pub(crate) arm: u32,
    /// The prices under which it is billed: how many the arm had had before.
    pub(crate) prices: u32,
    /// What it was expected to cost when it was made, USD.
    pub(crate) expected_cost: f64,
    /// What hard limits hold for it until it is billed.
    pub(crate) reservation: Nanodollars,
    /// What was taken from the arm's token bucket.
    pub(crate) tokens: f64,
    /// When it was made, Unix seconds.
    pub(crate) at: f64,
    pub(crate) has_reward: bool,
    pub(crate) has_cost: bool,
    pub(crate) has_failed: bool,
    /// Whether the query no longer occupies the arm.
    pub(crate) is_released: bool,
}

impl OpenDecision {
    fn is_settled(&self) -> bool {
        self.has_reward && self.has_cost && self.is_released
    }

    /// What is left to know of a decision that has had all its feedback.
    fn settled(at: f64) -> Self {
        Self { at, has_reward: true, has_cost: true, is_released: true, ..Self::default() }
    }
}

/// The last `capacity` decisions, by consecutive id, in a ring: bounded, without allocation.
#[derive(Debug, Clone)]
pub(crate) struct OpenDecisions {
    ring: Box<[OpenDecision]>,
    /// The oldest decision that has not been evicted, and the next to be made.
    oldest: u64,
    next: u64,
    /// Decisions older than that can take no feedback, seconds.
    max_age: f64,
}

impl OpenDecisions {
    /// A ring of at least `capacity` decisions, rounded up to a power of two.
    pub(crate) fn new(capacity: usize, max_age: Option<f64>) -> Self {
        let capacity = capacity.max(1).next_power_of_two();
        let ring = vec![OpenDecision::default(); capacity].into();
        Self { ring, oldest: 0, next: 0, max_age: max_age.unwrap_or(f64::INFINITY) }
    }

    /// Takes the oldest decision out if it is too old, or if the ring is full.
    #[inline]
    pub(crate) fn evict(&mut self, now: f64) -> Option<OpenDecision> {
        if self.oldest == self.next {
            return None;
        }
        let open = self.ring[self.place(self.oldest)];
        let is_full = self.next - self.oldest == self.ring.len() as u64;
        if !(is_full || self.is_too_old(&open, now)) {
            return None;
        }
        self.oldest += 1;
        Some(open)
    }

    /// Opens the next decision, for which [`OpenDecisions::evict`] has made room, and returns its
    /// id.
    #[inline]
    pub(crate) fn open(&mut self, decision: OpenDecision) -> u64 {
        let id = self.next;
        let place = self.place(id);
        self.ring[place] = decision;
        self.next += 1;
        id
    }

    /// The decision with this id, if it has not been evicted.
    #[inline]
    pub(crate) fn find(&self, id: u64, now: f64) -> Result<OpenDecision, Error> {
        if id >= self.next {
            return Err(Error::UnknownDecision { id, next: self.next });
        }
        let capacity = self.ring.len();
        if id < self.oldest || self.next - id > capacity as u64 {
            return Err(Error::ExpiredDecision { id, capacity, max_age: self.max_age });
        }
        let open = self.ring[self.place(id)];
        if self.is_too_old(&open, now) {
            return Err(Error::ExpiredDecision { id, capacity, max_age: self.max_age });
        }
        Ok(open)
    }

    /// Puts a decision found by [`OpenDecisions::find`] back, with what has changed.
    #[inline]
    pub(crate) fn update(&mut self, id: u64, decision: OpenDecision) {
        let place = self.place(id);
        self.ring[place] = decision;
    }

    #[inline]
    fn is_too_old(&self, open: &OpenDecision, now: f64) -> bool {
        now - open.at > self.max_age
    }

    #[inline]
    fn place(&self, id: u64) -> usize {
        // The remainder is below the ring's length, which is a usize.
        #[allow(clippy::cast_possible_truncation)]
        let place = (id & (self.ring.len() as u64 - 1)) as usize;
        place
    }
}

/// What a snapshot holds: the ring without its empty places.
#[derive(Serialize, Deserialize)]
struct Stored {
    capacity: u64,
    oldest: u64,
    next: u64,
    max_age: f64,
    decisions: Vec<StoredDecision>,
}

#[derive(Serialize, Deserialize)]
enum StoredDecision {
    Settled { at: f64 },
    Open(OpenDecision),
}

impl Serialize for OpenDecisions {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let decisions = (self.oldest..self.next)
            .map(|id| self.ring[self.place(id)])
            .map(|decision| match decision.is_settled() {
                true => StoredDecision::Settled { at: decision.at },
                false => StoredDecision::Open(decision),
            })
            .collect();
        let Self { oldest, next, max_age, .. } = *self;
        let capacity = self.ring.len() as u64;
        Stored { capacity, oldest, next, max_age, decisions }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OpenDecisions {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let stored = Stored::deserialize(deserializer)?;
        let Stored { capacity, oldest, next, max_age, decisions } = stored;
        let is_sound = capacity.is_power_of_two()
            && capacity <= 1 << 28
            && next.checked_sub(oldest) == Some(decisions.len() as u64)
            && decisions.len() as u64 <= capacity;
        let capacity = usize::try_from(capacity).map_err(D::Error::custom)?;
        if !is_sound {
            return Err(D::Error::custom("the table of open decisions does not add up"));
        }
        let ring = vec![OpenDecision::default(); capacity].into();
        let mut table = Self { ring, oldest, next: oldest, max_age };
        for decision in decisions {
            table.open(match decision {
                StoredDecision::Settled { at } => OpenDecision::settled(at),
                StoredDecision::Open(open) => open,
            });
        }
        Ok(table)
    }
}

//! The table of open decisions: which arm each recent decision chose, what was set aside for it,
//! and what feedback it has had.

use serde::{Deserialize, Serialize};

use crate::arm_index::ArmIndex;
use crate::checks::{MOST, is_cost, sound};
use crate::error::Error;
use crate::money::Nanodollars;

/// What is known of a decision's bill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Bill {
    /// There is none yet; or there is, and it was not noted.
    #[default]
    Unknown,
    /// It was assumed, and gives way to the real one.
    Estimate,
    /// An observation of the same batch is to take an estimate's place.
    Due,
    /// It is what was billed.
    Known,
}

/// One recent decision.
// Four facts, each of which may be so or not whatever the others are: no state machine.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenDecision {
    pub(crate) arm: ArmIndex,
    /// The prices under which it is billed: how many the arm had had before.
    pub(crate) prices: u32,
    /// What it was expected to cost when it was made; once its bill is noted, that. USD.
    pub(crate) expected_cost: f64,
    /// What hard limits hold for it until it is billed.
    pub(crate) reservation: Nanodollars,
    /// What was taken from the arm's token bucket so far.
    pub(crate) tokens: f64,
    /// When it was made, Unix seconds.
    pub(crate) at: f64,
    pub(crate) has_reward: bool,
    pub(crate) has_cost: bool,
    pub(crate) has_failed: bool,
    /// Whether the query no longer occupies the arm.
    pub(crate) is_released: bool,
    #[serde(skip)]
    pub(crate) bill: Bill,
}

impl OpenDecision {
    /// Notes that the query no longer occupies its arm; returns what was known before.
    #[inline]
    pub(crate) fn release(&mut self) -> Self {
        let before = *self;
        self.is_released = true;
        debug_assert!(self.at >= 0.0, "a decision has a time: {self:?}");
        before
    }

    fn is_settled(&self) -> bool {
        self.has_reward && self.has_cost && self.is_released && self.bill != Bill::Estimate
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

    /// Takes the oldest decision out if it is too old.
    #[inline]
    pub(crate) fn evict_aged(&mut self, now: f64) -> Option<OpenDecision> {
        if self.max_age == f64::INFINITY || self.oldest == self.next {
            return None;
        }
        let is_due = self.is_too_old(&self.ring[self.place(self.oldest)], now);
        is_due.then(|| self.evict())
    }

    #[inline]
    fn evict(&mut self) -> OpenDecision {
        debug_assert!(self.oldest < self.next, "no decision is open");
        let open = self.ring[self.place(self.oldest)];
        self.oldest += 1;
        open
    }

    /// Opens the next decision. Returns its id, and the oldest decision if that had to be evicted.
    #[inline]
    pub(crate) fn open(&mut self, decision: OpenDecision) -> (u64, Option<OpenDecision>) {
        debug_assert!(self.next - self.oldest <= self.ring.len() as u64, "the ring is overfull");
        let id = self.next;
        // In a full ring the place of the next decision is that of the oldest.
        let is_full = id - self.oldest == self.ring.len() as u64;
        let place = self.place(id);
        let entry = &mut self.ring[place];
        let evicted = is_full.then_some(*entry);
        *entry = decision;
        self.oldest += u64::from(is_full);
        self.next += 1;
        (id, evicted)
    }

    /// The decision with this id, if it has not been evicted.
    #[inline]
    pub(crate) fn find(&mut self, id: u64, now: f64) -> Result<&mut OpenDecision, Error> {
        let place = self.place(id);
        let is_kept = (self.oldest..self.next).contains(&id);
        if !is_kept || self.is_too_old(&self.ring[place], now) {
            return Err(self.missing(id));
        }
        Ok(&mut self.ring[place])
    }

    /// Notes the bill of a decision that is kept, and what it has used of its arm's token bucket.
    pub(crate) fn note_bill(&mut self, id: u64, usd: f64, used: f64) {
        debug_assert!((self.oldest..self.next).contains(&id), "decision {id} is not kept");
        let place = self.place(id);
        let open = &mut self.ring[place];
        (open.expected_cost, open.bill, open.tokens) = (usd, Bill::Known, used);
    }

    /// All that have a cost, in their order.
    pub(crate) fn billed(&self) -> impl Iterator<Item = &OpenDecision> {
        let kept = (self.oldest..self.next).map(|id| &self.ring[self.place(id)]);
        kept.filter(|open| open.has_cost)
    }

    /// The same, to complete them.
    pub(crate) fn for_each_billed(&mut self, mut complete: impl FnMut(&mut OpenDecision)) {
        for id in self.oldest..self.next {
            let place = self.place(id);
            if self.ring[place].has_cost {
                complete(&mut self.ring[place]);
            }
        }
    }

    /// All that are under way, in their order.
    pub(crate) fn for_each_under_way(&mut self, mut change: impl FnMut(&mut OpenDecision)) {
        for id in self.oldest..self.next {
            let place = self.place(id);
            if !self.ring[place].is_released {
                change(&mut self.ring[place]);
            }
        }
    }

    /// Moves all decisions to an empty table in the place of this one; returns those that it has no room
    /// for.
    pub(crate) fn move_to(&mut self, other: Self) -> Vec<OpenDecision> {
        let old = std::mem::replace(self, Self { oldest: 0, next: 0, ..other });
        (self.oldest, self.next) = (old.oldest, old.oldest);
        let ids = old.oldest..old.next;
        ids.filter_map(|id| self.open(old.ring[old.place(id)]).1).collect()
    }

    /// Copies the table into memory that has room for its decisions, or is given it.
    pub(crate) fn copy(&self, mut room: Vec<OpenDecision>) -> Self {
        // A place of the copy is one of the ring of its own size.
        room.resize(self.ring.len(), OpenDecision::default());
        let (start, end) = (self.place(self.oldest), self.place(self.next));
        if self.oldest < self.next && start < end {
            room[start..end].copy_from_slice(&self.ring[start..end]);
        } else if self.oldest < self.next {
            room[start..].copy_from_slice(&self.ring[start..]);
            room[..end].copy_from_slice(&self.ring[..end]);
        }
        Self { ring: room.into(), ..*self }
    }

    /// The first kept decision made at `time` or later; the next one to come, if there is none.
    pub(crate) fn first_since(&self, time: f64) -> u64 {
        let is_later = |&id: &u64| self.ring[self.place(id)].at >= time;
        (self.oldest..self.next).find(is_later).unwrap_or(self.next)
    }

    #[cold]
    fn missing(&self, id: u64) -> Error {
        if id >= self.next {
            return Error::UnknownDecision { id, next: self.next };
        }
        Error::ExpiredDecision { id, capacity: self.ring.len(), max_age: self.max_age }
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
    oldest: u64,
    decisions: Vec<StoredDecision>,
}

#[derive(Serialize, Deserialize)]
enum StoredDecision {
    Settled { at: f64 },
    Open(OpenDecision),
}

impl From<OpenDecision> for StoredDecision {
    fn from(decision: OpenDecision) -> Self {
        if decision.is_settled() { Self::Settled { at: decision.at } } else { Self::Open(decision) }
    }
}

impl Serialize for OpenDecisions {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let decisions = (self.oldest..self.next)
            .map(|id| self.ring[self.place(id)])
            .map(StoredDecision::from)
            .collect();
        Stored { oldest: self.oldest, decisions }.serialize(serializer)
    }
}

/// The ring has room for the decisions it holds: [`OpenDecisions::restore`] is to follow.
impl<'de> Deserialize<'de> for OpenDecisions {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let Stored { oldest, decisions } = Stored::deserialize(deserializer)?;
        if oldest > MOST {
            return Err(D::Error::custom("decisions are numbered from 0"));
        }
        let mut table = Self { oldest, next: oldest, ..Self::new(decisions.len(), None) };
        for decision in decisions {
            table.open(match decision {
                StoredDecision::Settled { at } => OpenDecision::settled(at),
                StoredDecision::Open(open) => open,
            });
        }
        Ok(table)
    }
}

impl OpenDecisions {
    /// Gives a table that was deserialised the size that it is to have, checked against the number
    /// of decisions ever made and the time. `prices` says how many prices an arm has had, if there
    /// is such an arm.
    pub(crate) fn restore(
        &mut self,
        capacity: usize,
        max_age: Option<f64>,
        made: u64,
        now: f64,
        prices: impl Fn(ArmIndex) -> Option<usize>,
    ) -> Result<(), Error> {
        let mut restored = Self { oldest: self.oldest, ..Self::new(capacity, max_age) };
        let fits = self.next - self.oldest <= restored.ring.len() as u64;
        sound(fits && self.next == made, "the open decisions")?;
        restored.next = self.oldest;
        let mut earliest = 0.0;
        for id in self.oldest..self.next {
            let open = self.ring[self.place(id)];
            let is_known = open.is_settled()
                || prices(open.arm).is_some_and(|count| open.prices as usize <= count);
            let is_sound = is_known
                && (earliest..=now).contains(&open.at)
                && open.expected_cost.is_finite()
                && is_cost(open.tokens)
                && (open.is_released || !open.has_failed)
                && !open.reservation.is_negative();
            sound(is_sound, "the open decisions")?;
            earliest = open.at;
            restored.open(open);
        }
        *self = restored;
        Ok(())
    }
}

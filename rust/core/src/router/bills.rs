//! Bills: the first, the one that takes an estimate's place, and corrections.

use super::Router;
use crate::checks::{BILL_RULE, check, is_bill};
use crate::decisions::{Bill, OpenDecision};
use crate::error::Error;
use crate::money::Nanodollars;

impl Router {
    /// Corrects the bill of a decision that is still kept, as often as need be: a refund, an invoice that
    /// says something else. It replaces the old one in the sums of money and for hard limits; nothing
    /// is learnt of the arm.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`]; [`Error::InvalidFeedback`] if it has no bill yet, or one that was not
    /// kept; or, counted, [`Error::UnknownDecision`] or [`Error::ExpiredDecision`].
    pub fn correct(&mut self, now: f64, id: u64, cost: f64) -> Result<(), Error> {
        check(is_bill(cost), "cost", cost, BILL_RULE)?;
        let before = self.clock;
        let now = self.advance_clock(now)?;
        let open = match self.decisions.find(id, now) {
            Ok(open) => *open,
            Err(error) => return Err(self.count_refusal(error)),
        };
        if open.bill == Bill::Unknown {
            self.clock = before;
            return Err(Error::InvalidFeedback(if open.has_cost {
                "the bill of this decision was not kept, so that it cannot be corrected: an earlier \
                 version counted it"
            } else {
                "this decision has no bill that could be corrected: observe its cost"
            }));
        }
        self.replace_bill(id, &open, cost);
        let corrected = self.decisions.find(id, now)?;
        (corrected.expected_cost, corrected.bill) = (cost, Bill::Known);
        Ok(())
    }

    /// Bills a decision for the first time: the ledger and the hard limits.
    #[inline]
    pub(super) fn bill(&mut self, id: u64, open: &OpenDecision, usd: f64) {
        debug_assert!(usd.is_finite(), "{usd} for {open:?}");
        self.ledger.billed = self.billed.add(usd);
        self.ledger.land(open.expected_cost);
        self.counters.costs += 1;
        if !self.guard.is_off() {
            self.bill_guard(id, open.reservation, usd, open.reservation);
        }
        if !self.scopes.is_empty() {
            self.bill_in_scopes(id, open.arm, open.reservation, open.expected_cost, usd);
        }
    }

    /// Puts another bill in the place of the one that was noted.
    #[cold]
    pub(super) fn replace_bill(&mut self, id: u64, open: &OpenDecision, usd: f64) {
        debug_assert!(open.has_cost && open.bill != Bill::Unknown, "nothing to replace: {open:?}");
        let before = open.expected_cost;
        self.ledger.billed = self.billed.replace(before, usd);
        self.counters.corrected += 1;
        if open.has_failed && !open.has_reward {
            self.arms[open.arm].answers.replace_bill(before, usd);
            self.load_value(open.arm);
        }
        self.bill_in_scopes(id, open.arm, Nanodollars::from_usd(before), before, usd);
        let before = Nanodollars::from_usd(before);
        // What was reserved is not kept for longer than an estimate.
        let reserved = if open.bill == Bill::Known { before } else { open.reservation };
        self.bill_guard(id, before, usd, before.max(reserved));
    }

    /// Puts a bill where hard limits hold `before`; `foreseen` was known to be possible.
    #[inline(never)]
    fn bill_guard(&mut self, id: u64, before: Nanodollars, usd: f64, foreseen: Nanodollars) {
        let bill = Nanodollars::from_usd(usd);
        self.counters.above_reservation += u64::from(bill > foreseen && !self.guard.is_off());
        self.guard.bill(id, before, bill);
    }
}

//! Bills: the first, the one that takes an estimate's place, and corrections.

use stageroute_core::checks::is_bill;
use stageroute_core::{Correct, Error, Router};

use super::feedback::same;
use super::money::nano;
use super::{Kind, Model};
use crate::broken::Checked;

impl Model {
    pub(super) fn bill(&mut self, id: usize, bill: f64) {
        let entry = &mut self.entries[id];
        entry.bill = Some(bill);
        self.ledger.billed += bill;
        self.ledger.in_flight -= entry.expected;
        self.counters.costs += 1;
        if self.money.is_off() {
            return;
        }
        let amount = nano(bill);
        let is_above = entry.reservation.is_none_or(|reservation| amount > reservation);
        self.counters.above_reservation += u64::from(is_above);
        self.has_excess |= is_above;
        self.money.bill(id as u64, entry.wall, entry.reservation.unwrap_or(0), amount);
    }

    /// Another bill takes the place of one that was known, or assumed.
    pub(super) fn replace_bill(&mut self, id: usize, bill: f64) {
        let entry = self.entries[id];
        let before = entry.bill.unwrap_or(0.0);
        (self.entries[id].bill, self.entries[id].is_estimate) = (Some(bill), false);
        self.ledger.billed += bill - before;
        self.counters.corrected += 1;
        if self.money.is_off() {
            return;
        }
        let (before, amount) = (nano(before), nano(bill));
        let reserved = if entry.is_estimate { entry.reservation } else { Some(before) };
        let is_above = reserved.is_none_or(|reserved| amount > reserved.max(before));
        self.counters.above_reservation += u64::from(is_above);
        self.has_excess |= is_above;
        self.money.bill(id as u64, entry.wall, before, amount);
    }

    pub(crate) fn correct(
        &mut self,
        call: &Correct,
        answer: &Result<(), Error>,
        router: &Router,
    ) -> Checked {
        let expected = self.try_correct(call);
        same(&expected, answer, call)?;
        self.check_feedback(call.id, router)
    }

    fn try_correct(&mut self, call: &Correct) -> Result<(), Kind> {
        if !is_bill(call.cost) {
            return Err(Kind::Input);
        }
        let before = self.clock;
        self.tell(call.now)?;
        let id = self.find(call.id)?;
        if self.entries[id].bill.is_none() {
            self.clock = before;
            return Err(Kind::Input);
        }
        self.replace_bill(id, call.cost);
        Ok(())
    }

    /// What is taken for a bill: what was expected, but no more than was reserved.
    pub(super) fn assumed_bill(&self, id: usize, router: &Router) -> f64 {
        let entry = &self.entries[id];
        match entry.reservation {
            _ if self.money.is_off() => entry.expected,
            Some(reservation) => entry.expected.min(reservation as f64 / 1e9),
            // Only the router knows what it reserved where no limit asked for it.
            None => (router.ledger().billed - self.ledger.billed).max(0.0),
        }
    }
}

//! Sums and counts, compared with the router's; now and then added up anew from all that happened.

use stageroute_core::{ArmIndex, Ledger, Pacing, Router};

use super::{Entry, Model};
use crate::broken::{Checked, ensure};

/// Sums of so many amounts may differ so much by rounding, relatively.
const ROUNDING: f64 = 1e-9;

fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= ROUNDING * (1.0 + a.abs() + b.abs())
}

impl Model {
    /// What each hard limit stands at. Once the clock has jumped, the router may count more.
    pub(super) fn check_money(&self, router: &Router) -> Checked {
        for (place, (found, limit)) in router.limits().zip(&self.money.limits).enumerate() {
            #[allow(clippy::cast_possible_truncation)]
            let found = (found.committed * 1e9).round() as i64;
            let least = limit.committed();
            ensure!(found >= least, "limit {place} stands at {found}, not {least}: {limit:?}");
        }
        Ok(())
    }

    /// Everything that is counted.
    pub(crate) fn audit(&self, router: &Router) -> Checked {
        self.check_clock(router)?;
        ensure!(router.clock_offset() == self.offset, "off by {}", router.clock_offset());
        ensure!(router.live().arms() == self.live, "live: {:?}", router.live());
        let due = (router.is_stage_due(), self.is_stage_due());
        ensure!(due.0 == due.1, "due: {due:?}");
        self.audit_counters(router)?;
        self.audit_ledger(router)?;
        self.audit_limits(router)?;
        for arm in ArmIndex::first(self.arms.len()) {
            self.audit_arm(arm, router)?;
        }
        Ok(())
    }

    fn audit_counters(&self, router: &Router) -> Checked {
        let found = router.counters();
        let decided = found.optimal
            + found.throttled
            + found.budget_infeasible
            + found.cap_infeasible
            + found.restricted;
        ensure!(decided == self.ledger.queries, "{decided} decided, not {}", self.ledger.queries);
        // How the LP ended is the LP's to say.
        let own = stageroute_core::Counters {
            optimal: found.optimal,
            throttled: found.throttled,
            budget_infeasible: found.budget_infeasible,
            cap_infeasible: found.cap_infeasible,
            restricted: found.restricted,
            restricted_infeasible: found.restricted_infeasible,
            ..self.counters
        };
        let is_known = self.entries.iter().all(|entry| entry.reservation.is_some());
        let above = if is_known { own.above_reservation } else { found.above_reservation };
        let own = stageroute_core::Counters { above_reservation: above, ..own };
        ensure!(found == own, "counters {found:?}, not {own:?}");
        Ok(())
    }

    fn audit_ledger(&self, router: &Router) -> Checked {
        let (found, own) = (router.ledger(), self.ledger);
        let is_right = found.queries == own.queries
            && is_close(found.billed, own.billed)
            && is_close(found.granted, own.granted)
            && is_close(found.in_flight, own.in_flight)
            && is_close(found.written_off, own.written_off);
        ensure!(is_right, "{found:?}, not {own:?}");
        let paced = self.paced_budget();
        let is_paced = (router.paced_budget() - paced).abs() <= 1e-6 * (paced + 1e-9);
        ensure!(is_paced, "paced at {}, not {paced}: {own:?}", router.paced_budget());
        ensure!(found.in_flight >= 0.0, "less than nothing is in flight: {found:?}");
        Ok(())
    }

    /// What the next query may cost on average, so that all together keep to the budget.
    fn paced_budget(&self) -> f64 {
        let (budget, ledger) = (self.config.budget, self.ledger);
        let Some(Pacing { horizon, burst }) = self.config.pacing else { return budget };
        let over = ledger.committed() - ledger.granted - budget * ledger.queries as f64;
        (budget - over / horizon).clamp(0.0, burst * budget)
    }

    /// Where the clock never jumped, a limit stands at exactly what was committed.
    fn audit_limits(&self, router: &Router) -> Checked {
        for (found, limit) in router.limits().zip(&self.money.limits) {
            #[allow(clippy::cast_possible_truncation)]
            let committed = (found.committed * 1e9).round() as i64;
            let is_dated = self.money.wall == self.wall();
            let is_right = self.money.has_jumped || !is_dated || committed == limit.committed();
            ensure!(is_right, "{found:?}, not {limit:?}");
        }
        Ok(())
    }

    fn audit_arm(&self, index: ArmIndex, router: &Router) -> Checked {
        let (arm, state) = (&self.arms[index], router.arm(index));
        let found = (state.under_way, state.is_retired, state.health.is_closed());
        let own = (arm.traffic.under_way, arm.is_retired, arm.health.level == 0);
        ensure!(found == own, "arm {index}: {found:?}, not {own:?}");
        let cap = arm.settings.throughput_cap;
        ensure!(state.share > 0.0 && state.share <= cap, "arm {index} gets {}", state.share);
        if !self.has_drifted {
            let stats = &router.learner().stats()[index];
            let (count, sum) = arm.rewards;
            let found = (stats.reward.count(), stats.cost.count());
            let own = (count, arm.costs);
            ensure!(found == own, "arm {index} learnt {found:?}, not {own:?}");
            let mean = sum / count.max(1) as f64;
            let found = stats.reward.mean();
            ensure!(is_close(found, mean), "arm {index} has {found}, not {mean}");
        }
        Ok(())
    }

    /// Adds everything up anew, from what is known of every single decision.
    pub(crate) fn recount(&self) -> Checked {
        let mut ledger = Ledger { billed: self.ledger.billed, ..Ledger::default() };
        let mut under_way = vec![0_u64; self.arms.len()];
        for (id, entry) in self.entries.iter().enumerate() {
            ledger.queries += 1;
            let is_open = id >= self.oldest;
            if entry.bill.is_none() {
                *(if is_open { &mut ledger.in_flight } else { &mut ledger.written_off }) +=
                    entry.expected;
            }
            under_way[entry.arm] += u64::from(is_open && !entry.is_released);
        }
        let is_right = is_close(ledger.in_flight, self.ledger.in_flight)
            && is_close(ledger.written_off, self.ledger.written_off);
        ensure!(is_right, "recounted {ledger:?}, not {:?}", self.ledger);
        for (arm, under_way) in self.arms.iter().zip(under_way) {
            ensure!(arm.traffic.under_way == under_way, "recounted {under_way}: {arm:?}");
            ensure!(arm.traffic.is_as_recounted(), "recounted: {arm:?}");
        }
        for limit in &self.money.limits {
            let counted =
                self.entries.iter().enumerate().skip_while(|&(id, _)| (id as u64) < limit.since);
            let amount = |entry: &Entry| {
                entry.bill.map_or(entry.reservation.unwrap_or(0), super::money::nano)
            };
            let sum = limit.recount(counted.map(|(_, entry)| (entry.wall, amount(entry))));
            let is_right = self.money.has_jumped || sum == limit.committed();
            ensure!(is_right, "recounted {sum}: {limit:?}");
        }
        Ok(())
    }
}

//! Which arms may serve a query, and what is to be said when none may.

use super::Router;
use super::events::Refusal;
use super::restricted::Restricted;
use super::scope::{self, keep_in_scopes};
use crate::decision::{Query, Reasons};
use crate::error::Error;
use crate::hard_limit::HardLimit;
use crate::money::Nanodollars;
use crate::throughput::seconds_until;

/// Which arms may not serve a query, as far as it matters to what is done next.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Excluded {
    pub(super) reasons: Reasons,
    /// Whether arms that are cooling down are taken in again, since most are.
    pub(super) is_panic: bool,
    /// The largest reservation for which a refusing limit has no room; 0 if there is none.
    refused: Nanodollars,
}

impl Router {
    /// Writes the slots that may serve a query, and what it would take of each, to the working
    /// memory.
    pub(super) fn find_admissible(&mut self, query: &Query<'_>, now: f64) -> Excluded {
        let mut excluded = Excluded::default();
        let Excluded { reasons, refused, is_panic } = &mut excluded;
        let (room, is_free_only) = (self.guard.room(), self.config.budget == 0.0);
        let takes_all = query.is_plain() && !is_free_only;
        let Self { restricted, live, arms, learner, config, scopes, .. } = self;
        let Restricted { slots, unreliable, needs, .. } = restricted;
        slots.clear();
        unreliable.clear();
        let (mut unwanted, mut cooling, mut silent) = (0, 0, 0);
        for (slot, (&arm, stored)) in live.arms().iter().zip(needs).enumerate() {
            let state = &mut arms[arm];
            let need = state.need(query, learner, arm);
            *stored = need;
            if !takes_all
                && (!state.satisfies(query, need, learner, arm)
                    || (is_free_only && !state.is_free(learner, arm)))
            {
                reasons.insert(Reasons::EXCLUDED);
                unwanted += 1;
                continue;
            }
            let is_up = state.health.admits(now, &config.health);
            if !is_up {
                cooling += 1;
                if state.health.is_paused(now) || !state.answers.answers_at_times() {
                    silent += 1;
                    continue;
                }
            }
            if !state.admits_traffic(need.tokens, now) {
                reasons.insert(Reasons::TRAFFIC_LIMIT);
            } else if !room.holds(need.reservation) {
                reasons.insert(Reasons::HARD_LIMIT);
                if is_up && room.refuses(need.reservation) {
                    *refused = need.reservation.max(*refused);
                }
            } else if is_up {
                slots.push(slot);
            } else {
                unreliable.push(slot);
            }
        }
        if !scopes.is_empty() {
            reasons.insert(keep_in_scopes(scopes, restricted, live.arms(), arms, now));
        }
        if cooling > 0 {
            let wanted = (live.arms().len() - unwanted) as f64;
            let most = config.health.tolerance.panic_threshold * wanted;
            *is_panic = f64::from(cooling) > most && !restricted.unreliable.is_empty();
            if *is_panic {
                restricted.slots.append(&mut restricted.unreliable);
                restricted.slots.sort_unstable();
            }
            if silent > 0 || !*is_panic {
                reasons.insert(Reasons::COOLING);
            }
        }
        if *refused > Nanodollars::default() {
            restricted.slots.clear();
        }
        debug_assert!(restricted.slots.is_sorted(), "slots are looked at in their order");
        excluded
    }

    /// Counts a query that no arm may serve, and says when one might.
    #[cold]
    pub(super) fn refuse(&mut self, query: &Query<'_>, excluded: Excluded, now: f64) -> Error {
        let Excluded { reasons, refused, .. } = excluded;
        let (wait, limit) = self.way_out(query, now);
        if let Some(limit) = self.guard.obstacle(refused, true, now, self.clock_offset) {
            return self.refuse_for_limit(limit, wait);
        }
        let retry_after = wait.is_finite().then_some(wait);
        if reasons.contains(Reasons::TRAFFIC_LIMIT) {
            self.counters.refused_traffic += 1;
            self.note_refusal(Refusal::Traffic);
            return Error::AtTrafficLimit { retry_after };
        }
        match (retry_after, limit) {
            (Some(retry_after), _) if reasons.contains(Reasons::COOLING) => {
                self.counters.refused_cooling += 1;
                self.note_refusal(Refusal::Cooling);
                Error::AllCooling { retry_after }
            }
            (_, Some(limit)) => self.refuse_for_limit(limit, wait),
            // Cooling, and full of queries under way besides.
            (None, None) if reasons.contains(Reasons::COOLING) => {
                self.counters.refused_traffic += 1;
                self.note_refusal(Refusal::Traffic);
                Error::AtTrafficLimit { retry_after }
            }
            _ => {
                self.counters.refused_excluded += 1;
                self.note_refusal(Refusal::Excluded);
                if let Some((input, output)) = query.tokens
                    && let Some(most) = self.largest_query().filter(|&most| input + output > most)
                {
                    return Error::TooLarge { tokens: input + output, most };
                }
                Error::AllExcluded { live: self.live.arms().len() }
            }
        }
    }

    /// The largest query that some live arm takes.
    fn largest_query(&self) -> Option<f64> {
        let sizes = self.live.arms().iter().map(|&arm| self.arms[arm].largest_query());
        sizes.max_by(f64::total_cmp)
    }

    fn refuse_for_limit(&mut self, limit: HardLimit, wait: f64) -> Error {
        self.counters.refused_hard_limit += 1;
        self.note_refusal(Refusal::HardLimit);
        let retry_after = wait.is_finite().then_some(wait);
        Error::AtHardLimit { usd: limit.usd, period: limit.period.as_str(), retry_after }
    }

    /// Seconds until nothing stands in the way of some arm, infinite if that cannot be told; and a
    /// hard limit that stands in the way now, if one does.
    #[cold]
    fn way_out(&mut self, query: &Query<'_>, now: f64) -> (f64, Option<HardLimit>) {
        let (mut shortest, mut limits) = (f64::INFINITY, None);
        for slot in 0..self.live.arms().len() {
            let Some((ready, need, limit)) = self.readiness(slot, query, now) else { continue };
            limits = limits.or(limit);
            shortest = shortest.min(self.wait_for_money(need, false, ready, now));
            limits = limits.or(self.guard.obstacle(need, false, now, self.clock_offset));
        }
        // By then an arm may be back for which a limit refuses every query.
        loop {
            let mut wait = shortest;
            for slot in 0..self.live.arms().len() {
                let arm = self.readiness(slot, query, now);
                if let Some((_, need, _)) = arm.filter(|&(ready, ..)| ready <= wait) {
                    wait = self.wait_for_money(need, true, wait, now);
                }
            }
            if wait == shortest {
                return (shortest, limits);
            }
            shortest = wait;
        }
    }

    /// Seconds, `wait` or more, until hard limits have room for a reservation.
    fn wait_for_money(&self, need: Nanodollars, is_refused: bool, wait: f64, now: f64) -> f64 {
        if self.guard.is_off() || wait == f64::INFINITY {
            return wait;
        }
        let ready = now + wait;
        let opens = self.guard.opens(need, is_refused, ready, self.clock_offset);
        if opens == ready { wait } else { seconds_until(opens, now) }
    }

    /// Seconds until traffic and health let a query through to an arm that may serve it, and what it
    /// would reserve.
    fn readiness(
        &mut self,
        slot: usize,
        query: &Query<'_>,
        now: f64,
    ) -> Option<(f64, Nanodollars, Option<HardLimit>)> {
        let Self { restricted, live, arms, learner, config, scopes, clock_offset, .. } = self;
        let (need, arm) = (restricted.needs[slot], live.arms()[slot]);
        let state = &mut arms[arm];
        let is_free_only = config.budget == 0.0;
        if (is_free_only && !state.is_free(learner, arm))
            || !state.satisfies(query, need, learner, arm)
        {
            return None;
        }
        let mut wait = state.traffic_wait(need.tokens, now);
        if !state.health.admits(now, &config.health) {
            wait = wait.max(seconds_until(state.health.reopens(&config.health), now));
        }
        let (wait, limit) = scope::wait(scopes, &state.scopes, need, (wait, now, *clock_offset));
        Some((wait, need.reservation, limit))
    }
}

//! What a world is like. Each seed turns some features and faults on and others off, at rates of any
//! magnitude: a swarm of such worlds finds more than worlds in which everything happens always (Groce
//! et al., *Swarm Testing*, 2012).

use crate::dice::Dice;

/// The features and faults of one world. A rate is a probability for each query; 0 is off.
// Features are on or off whatever the others are: no state machine.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Models at the start.
    pub(crate) arms: usize,
    pub(crate) per_second: f64,
    /// Unix time at the start.
    pub(crate) start: f64,

    // ---- limits ----
    pub(crate) has_hard_limits: bool,
    pub(crate) has_traffic_limits: bool,
    /// Wishes of a query: models, cost, tokens.
    pub(crate) wishes: f64,
    pub(crate) start_costs: bool,
    pub(crate) surprises: f64,

    // ---- providers ----
    /// Mean time to an answer, seconds.
    pub(crate) latency: f64,
    pub(crate) failures: f64,
    pub(crate) outages: f64,
    pub(crate) retry_after: f64,

    // ---- feedback ----
    pub(crate) late: f64,
    pub(crate) missing: f64,
    pub(crate) repeated: f64,
    pub(crate) wrong: f64,
    pub(crate) in_parts: f64,
    pub(crate) corrections: f64,
    pub(crate) batches: bool,

    // ---- time ----
    /// Whether the owner's clock is all that is known of time.
    pub(crate) owners_clock: bool,
    pub(crate) jumps: f64,
    pub(crate) backwards: f64,
    pub(crate) pauses: f64,

    // ---- operators ----
    pub(crate) operators: f64,
    pub(crate) configures: f64,
    pub(crate) nonsense: f64,

    // ---- processes ----
    pub(crate) forks: f64,
    pub(crate) crashes: f64,
    /// A router as the first version had it, which is upgraded.
    pub(crate) is_first_version: bool,
}

impl Plan {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        // Half of the time off, else of any magnitude from `low` on.
        let mut rate = |low: f64, doublings: usize| {
            if dice.chance(0.5) { dice.magnitude(low, doublings).min(0.9) } else { 0.0 }
        };
        let wishes = rate(0.01, 6);
        let surprises = rate(1e-3, 5);
        let failures = rate(1e-3, 9);
        let outages = rate(1e-4, 6);
        let retry_after = rate(0.05, 4);
        let (late, missing, repeated) = (rate(1e-3, 8), rate(1e-3, 8), rate(1e-3, 6));
        let (wrong, in_parts) = (rate(1e-3, 5), rate(0.01, 6));
        let corrections = rate(1e-3, 7);
        let (jumps, backwards, pauses) = (rate(1e-4, 6), rate(1e-3, 6), rate(1e-4, 6));
        let (operators, configures) = (rate(1e-3, 5), rate(1e-4, 4));
        let (nonsense, forks, crashes) = (rate(1e-4, 4), rate(2e-4, 4), rate(1e-4, 2));
        // It knew nothing of jumps, nor of settings that change in service.
        let is_first_version = dice.chance(0.1);
        Self {
            arms: 1 + dice.below(8),
            per_second: dice.magnitude(0.05, 13),
            start: dice.pick(&[1.8e9, 1.7e9 + 13.0, 1e7]),
            has_hard_limits: dice.chance(0.5),
            has_traffic_limits: dice.chance(0.5),
            wishes,
            start_costs: dice.chance(0.3),
            surprises,
            latency: dice.magnitude(0.05, 9),
            failures,
            outages,
            retry_after,
            late,
            missing,
            repeated,
            wrong,
            in_parts,
            // The first version could not.
            corrections: if is_first_version { 0.0 } else { corrections },
            batches: dice.chance(0.2),
            owners_clock: dice.chance(0.5),
            jumps: if is_first_version { 0.0 } else { jumps },
            backwards,
            pauses,
            operators,
            configures,
            nonsense,
            forks,
            crashes: if dice.chance(0.3) { crashes } else { 0.0 },
            is_first_version,
        }
    }
}

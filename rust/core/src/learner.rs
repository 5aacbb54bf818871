//! Statistics of all arms, with the bounds that follow from them kept up to date.

use serde::{Deserialize, Serialize};

use crate::arm_index::ArmIndex;
use crate::checks::{REWARD_RULE, check, is_reward};
use crate::confidence::{Bounds, Confidence};
use crate::drift::Drift;
use crate::error::Error;
use crate::memory::{ArmMemory, CostMemory, Memory, observe_tokens};
use crate::prior::Prior;
use crate::stats::ArmStats;
use crate::usage::{CostFeedback, Prices, Tokens, UsageMoments};

const UNPRICED_FEEDBACK_RULE: &str =
    "tokens can be billed only at prices: report the cost in USD, or set prices first";
const PRICED_FOREVER_RULE: &str =
    "an arm can gain or lose prices only before it has learnt a cost: tokens are no USD";

/// The statistics of every candidate and its current optimistic estimates.
///
/// Bounds follow an arm's own observations at once; the rest happens at stage boundaries: the fair
/// share, and forgetting by the stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learner {
    confidence: Confidence,
    drift: Drift,
    stats: Vec<ArmStats>,
    bounds: Vec<Bounds>,
    memory: Vec<ArmMemory>,
    /// Mean weight of the rewards seen per arm at the last stage boundary.
    fair_share: f64,
    /// Where in the windows the running stage is kept; 0 without windows.
    slot: usize,
}

impl Learner {
    /// A learner without arms.
    ///
    /// # Errors
    /// As [`Confidence::validate`] and [`Drift::validate`].
    pub fn new(confidence: Confidence, drift: Drift) -> Result<Self, Error> {
        confidence.validate()?;
        drift.validate()?;
        Ok(Self {
            confidence,
            drift,
            stats: Vec::new(),
            bounds: Vec::new(),
            memory: Vec::new(),
            fair_share: 0.0,
            slot: 0,
        })
    }

    /// Replaces both settings. Bounds follow at once; where forgetting changes, what is known now is
    /// what is forgotten from.
    ///
    /// # Errors
    /// As [`Learner::new`]; nothing has changed then.
    pub fn configure(&mut self, confidence: Confidence, drift: Drift) -> Result<(), Error> {
        confidence.validate()?;
        drift.validate()?;
        if drift.forgetting != self.drift.forgetting {
            self.slot = 0;
            for (stats, memory) in self.stats.iter().zip(&mut self.memory) {
                memory.reward.restart_window(&drift.forgetting, &stats.reward);
                match &mut memory.cost {
                    CostMemory::Usd(memory) => {
                        memory.restart_window(&drift.forgetting, &stats.cost);
                    }
                    CostMemory::Tokens { usage, memory, .. } => {
                        memory.restart_window(&drift.forgetting, usage);
                    }
                }
            }
        }
        (self.confidence, self.drift) = (confidence, drift);
        for (bounds, stats) in self.bounds.iter_mut().zip(&self.stats) {
            *bounds = self.confidence.bounds(stats, self.fair_share);
        }
        Ok(())
    }

    /// Adds an arm and returns its index. With prices it learns usage in tokens, without it learns
    /// cost in USD.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] for a mean, weight or price that breaks its rule;
    /// [`Error::WrongPricing`] for a prior in USD of an arm with prices, or in tokens of one
    /// without.
    pub fn add_arm(&mut self, prior: &Prior, prices: Option<Prices>) -> Result<ArmIndex, Error> {
        let arm = ArmIndex::try_from(self.stats.len())?;
        prior.validate(arm, prices.is_some())?;
        let (forgetting, slot) = (&self.drift.forgetting, self.slot);
        let (cost, memory) = match prices {
            None => {
                let cost = prior.cost_moments();
                (cost, CostMemory::Usd(Memory::new(forgetting, slot, &cost)))
            }
            Some(prices) => {
                prices.validate()?;
                let usage = prior.usage_moments();
                let memory = Box::new(Memory::new(forgetting, slot, &usage));
                (usage.billed(&prices), CostMemory::Tokens { prices, usage, memory })
            }
        };
        let reward = prior.reward_moments();
        self.push_arm(ArmStats { reward, cost }, memory);
        Ok(arm)
    }

    fn push_arm(&mut self, stats: ArmStats, cost: CostMemory) {
        let reward = Memory::new(&self.drift.forgetting, self.slot, &stats.reward);
        self.bounds.push(self.confidence.bounds(&stats, self.fair_share));
        self.stats.push(stats);
        self.memory.push(ArmMemory { reward, cost });
        let lengths = (self.bounds.len(), self.memory.len());
        debug_assert_eq!(lengths, (self.stats.len(), self.stats.len()), "one for each arm");
    }

    /// Changes the prices of an arm. Its cost statistics and bound are recomputed at once, as if all
    /// its usage so far had been billed at the new prices.
    ///
    /// # Errors
    /// [`Error::UnknownArm`]; as [`Prices::validate`]; [`Error::WrongPricing`] when the arm would
    /// gain or lose prices after it has learnt a cost, a prior included: USD of the past tell
    /// nothing of tokens, nor tokens of what will be billed without prices.
    pub fn set_prices(&mut self, arm: ArmIndex, prices: Option<Prices>) -> Result<Bounds, Error> {
        self.check_arm(arm)?;
        if let Some(prices) = prices {
            prices.validate()?;
        }
        let cost = &mut self.stats[arm].cost;
        match (&mut self.memory[arm].cost, prices) {
            (CostMemory::Usd(_), None) => {}
            (CostMemory::Tokens { prices: old, usage, .. }, Some(new)) => {
                *old = new;
                *cost = usage.billed(&new);
            }
            (memory, _) if cost.count() > 0 || memory.changes() > 0 => {
                let (argument, rule) = ("prices", PRICED_FOREVER_RULE);
                return Err(Error::WrongPricing { argument, arm, rule });
            }
            (memory, prices) => {
                let (forgetting, slot) = (&self.drift.forgetting, self.slot);
                *memory = match prices {
                    None => CostMemory::Usd(Memory::new(forgetting, slot, cost)),
                    Some(prices) => {
                        let usage = UsageMoments::default();
                        let memory = Box::new(Memory::new(forgetting, slot, &usage));
                        CostMemory::Tokens { prices, usage, memory }
                    }
                };
            }
        }
        self.bounds[arm].cost_lcb = self.confidence.cost_lcb(cost);
        debug_assert_eq!(self.prices(arm), prices, "of arm {arm}");
        Ok(self.bounds[arm])
    }

    /// Counts one observation of an arm and updates its bounds; either part may be absent. USD for
    /// an arm with prices are checked and not learnt: see [`CostFeedback::Usd`].
    ///
    /// # Errors
    /// [`Error::UnknownArm`]; [`Error::InvalidNumber`] for a reward outside \[0, 1\] or as
    /// [`CostFeedback::validate`]; [`Error::WrongPricing`] for tokens of an arm without prices.
    #[inline]
    pub fn observe(
        &mut self,
        arm: ArmIndex,
        reward: Option<f64>,
        cost: Option<CostFeedback>,
    ) -> Result<Bounds, Error> {
        self.check_arm(arm)?;
        if let Some(r) = reward {
            check(is_reward(r), "reward", r, REWARD_RULE)?;
        }
        if let Some(feedback) = cost {
            feedback.validate()?;
            self.check_unit(arm, &feedback)?;
        }
        Ok(self.learn(arm, reward, cost))
    }

    /// [`Learner::observe`] for what has been checked.
    // Always: it is the hot path, and left to itself the compiler stops inlining with the number of
    // callers, which costs some 40 instructions a step.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn learn(
        &mut self,
        arm: ArmIndex,
        reward: Option<f64>,
        cost: Option<CostFeedback>,
    ) -> Bounds {
        debug_assert!(reward.is_none_or(is_reward), "rewards are checked before: {reward:?}");
        debug_assert!(
            cost.is_none_or(|cost| cost.validate().is_ok() && self.check_unit(arm, &cost).is_ok()),
            "costs are checked before: {cost:?}"
        );
        let (drift, slot, is_plain) = (&self.drift, self.slot, self.drift.is_off());
        let (stats, memory) = (&mut self.stats[arm], &mut self.memory[arm]);
        let bounds = &mut self.bounds[arm];
        if let Some(r) = reward {
            if is_plain {
                stats.reward.push(r);
            } else {
                memory.reward.observe(drift, slot, &mut stats.reward, r, r, |past| *past);
            }
            bounds.reward_ucb = self.confidence.reward_ucb(&stats.reward, self.fair_share);
        }
        match (cost, &mut memory.cost) {
            (Some(CostFeedback::Usd(c)), CostMemory::Usd(memory)) => {
                if is_plain {
                    stats.cost.push(c);
                } else {
                    memory.observe(drift, slot, &mut stats.cost, c, c, |past| *past);
                }
                bounds.cost_lcb = self.confidence.cost_lcb(&stats.cost);
            }
            (Some(CostFeedback::Tokens(tokens)), CostMemory::Tokens { prices, usage, memory }) => {
                stats.cost = observe_tokens(drift, slot, &tokens, prices, usage, memory);
                bounds.cost_lcb = self.confidence.cost_lcb(&stats.cost);
            }
            _ => {}
        }
        *bounds
    }

    /// The stage boundary: forgets what is due, takes the fair share anew and recomputes every
    /// bound.
    pub fn begin_stage(&mut self) {
        let (forgetting, slot) = (&self.drift.forgetting, self.next_slot());
        for (stats, memory) in self.stats.iter_mut().zip(&mut self.memory) {
            memory.reward.begin_stage(forgetting, slot, &mut stats.reward);
            match &mut memory.cost {
                CostMemory::Usd(memory) => memory.begin_stage(forgetting, slot, &mut stats.cost),
                CostMemory::Tokens { prices, usage, memory } => {
                    memory.begin_stage(forgetting, slot, usage);
                    stats.cost = usage.billed(prices);
                }
            }
        }
        self.slot = slot;
        self.fair_share = fair_share(self.stats.iter());
        debug_assert!(self.fair_share >= 0.0, "weights are not negative: {}", self.fair_share);
        for (bounds, stats) in self.bounds.iter_mut().zip(&self.stats) {
            *bounds = self.confidence.bounds(stats, self.fair_share);
        }
    }

    /// The bounds that [`Learner::begin_stage`] would leave, in `out`: what the next stage is planned
    /// with. Nothing changes.
    pub fn next_bounds(&self, out: &mut Vec<Bounds>) {
        let fair_share = fair_share(self.next_stats());
        out.clear();
        out.extend(self.next_stats().map(|stats| self.confidence.bounds(&stats, fair_share)));
    }

    /// The statistics that the next boundary will leave.
    fn next_stats(&self) -> impl ExactSizeIterator<Item = ArmStats> {
        let (forgetting, slot) = (&self.drift.forgetting, self.next_slot());
        self.stats.iter().zip(&self.memory).map(move |(stats, memory)| ArmStats {
            reward: memory.reward.next_total(forgetting, slot, &stats.reward),
            cost: match &memory.cost {
                CostMemory::Usd(memory) => memory.next_total(forgetting, slot, &stats.cost),
                CostMemory::Tokens { prices, usage, memory } => {
                    memory.next_total(forgetting, slot, usage).billed(prices)
                }
            },
        })
    }

    /// Whether weights can be what the next boundary would leave.
    pub(crate) fn is_next_sound(&self) -> bool {
        self.next_stats().all(|stats| stats.reward.weight() >= 0.0 && stats.cost.weight() >= 0.0)
    }

    fn next_slot(&self) -> usize {
        (self.slot + 1) % self.drift.forgetting.slots().max(1)
    }

    /// Tokens can be taken only of an arm with prices.
    fn check_unit(&self, arm: ArmIndex, feedback: &CostFeedback) -> Result<(), Error> {
        match (feedback, &self.memory[arm].cost) {
            (CostFeedback::Tokens(_), CostMemory::Usd(_)) => {
                let (argument, rule) = ("tokens", UNPRICED_FEEDBACK_RULE);
                Err(Error::WrongPricing { argument, arm, rule })
            }
            _ => Ok(()),
        }
    }

    fn check_arm(&self, arm: ArmIndex) -> Result<(), Error> {
        let arms = self.stats.len();
        if arm.index() < arms {
            Ok(())
        } else {
            Err(Error::UnknownArm { argument: "arm", arm, arms })
        }
    }

    /// Checks settings and lengths, for a learner that was deserialised from bytes not trusted to be
    /// whole. One made by [`Learner::new`] always passes.
    ///
    /// # Errors
    /// As [`Learner::new`], or [`Error::WrongLength`].
    pub fn validate(&self) -> Result<(), Error> {
        self.confidence.validate()?;
        self.drift.validate()?;
        let expected = self.stats.len();
        for (argument, actual) in [("bounds", self.bounds.len()), ("memory", self.memory.len())] {
            if actual != expected {
                let rule = "one for each arm";
                return Err(Error::WrongLength { argument, actual, expected, rule });
            }
        }
        let expected = self.drift.forgetting.slots();
        let lengths = self.memory.iter().flat_map(|arm| [arm.reward.slots(), arm.cost.slots()]);
        let beyond = (self.slot >= expected.max(1)).then_some(self.slot + 1);
        match lengths.chain(beyond).find(|&actual| actual != expected) {
            None => Ok(()),
            Some(actual) => {
                let (argument, rule) = ("window", "one for each stage remembered");
                Err(Error::WrongLength { argument, actual, expected, rule })
            }
        }
    }

    /// How many arms there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stats.len()
    }

    /// Whether there is no arm.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stats.is_empty()
    }

    /// Statistics of every arm.
    #[must_use]
    pub fn stats(&self) -> &[ArmStats] {
        &self.stats
    }

    /// Optimistic estimates of every arm.
    #[must_use]
    pub fn bounds(&self) -> &[Bounds] {
        &self.bounds
    }

    /// The prices of an arm, if it has any.
    #[must_use]
    pub fn prices(&self, arm: ArmIndex) -> Option<Prices> {
        match &self.memory[arm].cost {
            CostMemory::Usd(_) => None,
            CostMemory::Tokens { prices, .. } => Some(*prices),
        }
    }

    /// What an arm with prices has used.
    #[must_use]
    pub fn usage(&self, arm: ArmIndex) -> Option<&UsageMoments> {
        match &self.memory[arm].cost {
            CostMemory::Usd(_) => None,
            CostMemory::Tokens { usage, .. } => Some(usage),
        }
    }

    /// Mean cost of an arm as far as it is known, or was known last if that has been forgotten, else
    /// its lower bound: what a decision for it is expected to cost, USD.
    #[must_use]
    #[inline]
    pub fn expected_cost(&self, arm: ArmIndex) -> f64 {
        let cost = &self.stats[arm].cost;
        if cost.weight() > 0.0 { cost.mean() } else { self.last_cost(arm) }
    }

    #[cold]
    fn last_cost(&self, arm: ArmIndex) -> f64 {
        let last = match &self.memory[arm].cost {
            CostMemory::Usd(memory) => *memory.latest(&self.stats[arm].cost),
            CostMemory::Tokens { prices, usage, memory } => memory.latest(usage).billed(prices),
        };
        if last.weight() > 0.0 { last.mean() } else { self.bounds[arm].cost_lcb }
    }

    /// Mean usage of an arm with prices as far as it is known, or was known last.
    #[must_use]
    pub fn expected_tokens(&self, arm: ArmIndex) -> Option<Tokens> {
        match &self.memory[arm].cost {
            CostMemory::Usd(_) => None,
            CostMemory::Tokens { usage, memory, .. } => {
                let latest = memory.latest(usage);
                (latest.weight() > 0.0).then(|| latest.mean())
            }
        }
    }

    /// How often the change test has found a change of an arm, in reward or cost.
    #[must_use]
    pub fn changes(&self, arm: ArmIndex) -> u64 {
        self.memory[arm].reward.changes() + self.memory[arm].cost.changes()
    }
}

/// Mean weight of the rewards seen per arm.
fn fair_share<T: std::borrow::Borrow<ArmStats>>(stats: impl ExactSizeIterator<Item = T>) -> f64 {
    let arms = stats.len().max(1) as f64;
    stats.map(|stats| stats.borrow().reward.weight()).sum::<f64>() / arms
}

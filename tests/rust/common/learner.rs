//! A learner of two arms, for tests of what it forgets and of the change test.

use stageroute_core::{
    ArmIndex, Bounds, ChangeTest, Confidence, ConfidenceFamily, CostFeedback, Drift, Learner,
    Prices, Prior, Tokens,
};

pub(crate) fn confidence() -> Confidence {
    let published = Confidence::new(ConfidenceFamily::Bernstein, 0.15, 0.02);
    Confidence { growth: 1.0, min_visits: 20, ..published }
}

/// A test that fires soon.
pub(crate) const HASTY: ChangeTest = ChangeTest { threshold: 4.0, slack: 0.2, min_samples: 5 };

pub(crate) fn change_test(test: ChangeTest) -> Drift {
    Drift { change_test: Some(test), ..Drift::default() }
}

/// One learner with an arm that learns USD and one that learns tokens.
pub(crate) fn learner(drift: Drift) -> Learner {
    let mut learner = Learner::new(confidence(), drift).unwrap();
    learner.add_arm(&Prior::default(), None).unwrap();
    learner.add_arm(&Prior::default(), Some(PRICES)).unwrap();
    learner
}

pub(crate) const PRICES: Prices = Prices { input: 3.0, cached_input: 0.3, output: 15.0 };

/// What both arms of [`learner`] are told when a query costs `cost` USD.
pub(crate) fn feedback(arm: usize, cost: f64) -> CostFeedback {
    if arm == 0 {
        CostFeedback::Usd(cost)
    } else {
        let output = cost / PRICES.output * 1e6;
        CostFeedback::Tokens(Tokens { output, ..Tokens::default() })
    }
}

pub(crate) fn observe(learner: &mut Learner, arm: ArmIndex, reward: f64, cost: f64) -> Bounds {
    learner.observe(arm, Some(reward), Some(feedback(arm.index(), cost))).unwrap()
}

/// Takes `times` equal observations.
pub(crate) fn repeat(learner: &mut Learner, times: usize, arm: ArmIndex, reward: f64, cost: f64) {
    for _ in 0..times {
        observe(learner, arm, reward, cost);
    }
}

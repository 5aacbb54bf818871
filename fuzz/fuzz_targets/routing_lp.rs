//! Any bytes: bad data are refused by a typed error, good data solved, warm as cold, with a
//! certificate, through any sequence of changes; nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stageroute_core::Error;
use stageroute_core::lp::{FEASIBILITY_TOLERANCE, Problem, RoutingLp, Status};

const MAX_ARMS: u8 = 12;
const MAX_CHANGES: usize = 24;
/// Error of shares and objectives where the data are well conditioned.
const TOLERANCE: f64 = 1e-9;
/// Rounding steps that may add up in one spend.
const ROUNDINGS: f64 = 128.0 * f64::EPSILON;

/// Values at which something may happen: edges of the rules, ties, extremes.
const SPECIAL: [f64; 24] = [
    0.0,
    1.0,
    0.5,
    0.25,
    0.1,
    0.2,
    0.3,
    0.7,
    1e-9,
    1e-3,
    1e3,
    1e-12,
    -0.0,
    -1.0,
    1.5,
    2.0,
    f64::EPSILON,
    f64::MIN_POSITIVE,
    5e-324,
    1e300,
    f64::MAX,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// The input, read from the front; zeros after its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }

    /// Mostly tame: a coarse or a fine grid in [0, 1], a special value, a cluster, a wide range of
    /// scales, or raw bits.
    fn number(&mut self) -> f64 {
        let kind = self.byte();
        match kind % 8 {
            0..=2 => f64::from(self.byte() % 17) / 16.0,
            3 => f64::from(self.byte()) / 255.0,
            4 => SPECIAL[usize::from(self.byte()) % SPECIAL.len()],
            5 => 0.5 + f64::from(self.byte()) * 1e-10,
            6 => 10_f64.powf(f64::from(self.byte()) / 255.0 * 12.0 - 9.0),
            _ => f64::from_bits(self.word()),
        }
    }

    fn cap(&mut self) -> f64 {
        let byte = self.byte();
        if byte < 230 { f64::from(1 + byte % 20) / 20.0 } else { self.number() }
    }
}

#[derive(Debug, Clone)]
struct Data {
    reward: Vec<f64>,
    cost: Vec<f64>,
    cap: Vec<f64>,
    budget: f64,
}

impl Data {
    fn read(input: &mut Input<'_>) -> Self {
        let arms = input.byte() % (MAX_ARMS + 1);
        let reward = (0..arms).map(|_| input.number()).collect();
        let cost = (0..arms).map(|_| input.number()).collect();
        let cap = (0..arms).map(|_| input.cap()).collect();
        Self { reward, cost, cap, budget: input.number() }
    }

    fn problem(&self) -> Problem<'_> {
        let Self { reward, cost, cap, budget } = self;
        Problem { reward, cost, cap, budget: *budget }
    }

    /// The rules, written out once more.
    fn is_valid(&self) -> bool {
        !self.reward.is_empty()
            && self.reward.iter().all(|r| r.is_finite())
            && self.cost.iter().all(|c| *c >= 0.0 && *c < f64::INFINITY)
            && self.cap.iter().all(|cap| *cap > 0.0 && *cap <= 1.0)
            && self.budget >= 0.0
            && self.budget < f64::INFINITY
    }

    /// Whether the data are such as bounds produce; others may overflow, but never panic.
    fn is_tame(&self) -> bool {
        let is_money = |c: f64| c == 0.0 || (1e-12..=1e6).contains(&c);
        self.reward.iter().all(|r| (0.0..=1.0).contains(r) && (*r == 0.0 || *r > 1e-12))
            && self.cost.iter().all(|&c| is_money(c))
            && self.cap.iter().all(|&cap| cap > 1e-6)
            && is_money(self.budget)
    }

    fn unit(&self) -> f64 {
        self.cost.iter().copied().fold(0.0, f64::max)
    }

    /// How far rounding in the spend can move the shares of two arms of nearly equal cost.
    fn share_tolerance(&self) -> f64 {
        let mut sorted = self.cost.clone();
        sorted.sort_by(f64::total_cmp);
        let gaps = sorted.windows(2).map(|pair| pair[1] - pair[0]).filter(|&gap| gap > 0.0);
        let smallest = gaps.fold(f64::INFINITY, f64::min);
        TOLERANCE + ROUNDINGS * (self.unit() + self.budget) / smallest
    }
}

fn new_lp(data: &Data) -> Option<RoutingLp> {
    match RoutingLp::new(data.problem()) {
        Ok(lp) => {
            assert!(data.is_valid(), "accepted");
            Some(lp)
        }
        Err(error) => {
            assert!(!data.is_valid(), "refused: {error}");
            let is_typed = matches!(
                error,
                Error::InvalidNumber { .. } | Error::InvalidElement { .. } | Error::NoArms { .. }
            );
            assert!(is_typed, "{error:?}");
            None
        }
    }
}

fn check(data: &Data, lp: &RoutingLp) {
    let p = lp.probabilities();
    let mass: f64 = p.iter().sum();
    assert!((mass - 1.0).abs() <= 1e-12, "mass {mass}: {data:?}");
    assert!(p.iter().all(|&share| share >= 0.0), "{p:?}: {data:?}");
    if lp.status() != Status::CapInfeasible {
        let is_within = p.iter().zip(&data.cap).all(|(share, cap)| *share <= cap + 1e-12);
        assert!(is_within, "{p:?} {data:?}");
    }
    if !data.is_tame() {
        return;
    }
    let certificate = lp.certificate();
    // A budget missed by no more than the verdict's own tolerance counts as met.
    let residual = FEASIBILITY_TOLERANCE + ROUNDINGS;
    assert!(certificate.primal_residual <= residual, "{certificate:?}: {data:?}");
    assert!(certificate.dual_residual <= 0.0, "{certificate:?}: {data:?}");
    let price = lp.budget_price();
    let tolerance = match lp.status() {
        Status::Optimal => {
            // What is spent above the budget, within the tolerance of the verdict, is paid at λ.
            let missed = (lp.spend() - data.budget).max(0.0);
            TOLERANCE + price * (missed + ROUNDINGS * (data.unit() + data.budget))
        }
        _ => TOLERANCE * data.unit(),
    };
    assert!(certificate.gap.abs() <= tolerance, "{certificate:?} {tolerance:e}: {data:?}");
}

fn check_against_cold(data: &Data, lp: &mut RoutingLp) {
    let status = lp.solve().unwrap();
    check(data, lp);
    let mut cold = RoutingLp::new(data.problem()).unwrap();
    cold.solve().unwrap();
    check(data, &cold);
    if data.is_tame() {
        assert_eq!(status, cold.status(), "{data:?}");
        let tolerance = data.share_tolerance();
        for (warm, cold) in lp.probabilities().iter().zip(cold.probabilities()) {
            assert!((warm - cold).abs() <= tolerance, "{warm} and {cold}: {data:?}");
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let mut data = Data::read(&mut input);
    let Some(mut lp) = new_lp(&data) else { return };
    check_against_cold(&data, &mut lp);
    for _ in 0..MAX_CHANGES {
        if input.is_empty() {
            return;
        }
        match input.byte() % 8 {
            0..=3 => {
                let arm = usize::from(input.byte()) % data.reward.len();
                let (reward, cost) = (input.number(), input.number());
                if reward.is_finite() && cost.is_finite() && cost >= 0.0 {
                    (data.reward[arm], data.cost[arm]) = (reward, cost);
                    lp.set_arm(arm, reward, cost);
                }
                if input.byte() % 4 == 0 {
                    continue;
                }
            }
            4 | 5 => {
                let budget = input.number();
                if budget.is_finite() && budget >= 0.0 {
                    data.budget = budget;
                    lp.set_budget(budget);
                }
            }
            6 => {
                let next = Data::read(&mut input);
                if lp.load(next.problem()).is_ok() {
                    data = next;
                }
            }
            _ => {
                lp.solve_cold().unwrap();
            }
        }
        check_against_cold(&data, &mut lp);
    }
});

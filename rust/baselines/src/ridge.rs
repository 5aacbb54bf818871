//! Ridge regression of reward and cost on features, kept up to date query by query.

/// Disjoint linear models of one arm: reward and cost share features and so their inverse Gram
/// matrix. Features are mostly 0 in practice, so every sum passes over zeros.
#[derive(Debug, Clone)]
pub(crate) struct Ridge {
    /// A⁻¹ = (I + Σ x xᵀ)⁻¹, row-major, d × d.
    inverse: Vec<f64>,
    /// Coefficients of the reward less [`MIDDLE`].
    reward: Vec<f64>,
    /// Coefficients of the cost less `base_cost`, USD.
    cost: Vec<f64>,
    /// What a query is expected to cost before any was seen, USD.
    base_cost: f64,
}

/// What reward is expected before any was seen, and so what ridge regression shrinks towards.
const MIDDLE: f64 = 0.5;

/// What a ridge regression says of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prediction {
    pub(crate) reward: f64,
    /// `sqrt(xᵀ A⁻¹ x)`: by how much a reward moves the prediction here, 1 for an unseen direction.
    pub(crate) width: f64,
    /// USD, not negative.
    pub(crate) cost: f64,
}

impl Ridge {
    /// Nothing seen, in d dimensions.
    pub(crate) fn new(d: usize, base_cost: f64) -> Self {
        let mut inverse = vec![0.0; d * d];
        for i in 0..d {
            inverse[i * d + i] = 1.0;
        }
        Self { inverse, reward: vec![0.0; d], cost: vec![0.0; d], base_cost }
    }

    /// What a query of these features would bring.
    pub(crate) fn predict(&self, x: &[f64]) -> Prediction {
        let (mut reward, mut cost, mut square) = (MIDDLE, self.base_cost, 0.0);
        for (i, xi) in nonzero(x) {
            let row = &self.inverse[i * x.len()..];
            let dot: f64 = nonzero(x).map(|(j, xj)| row[j] * xj).sum();
            reward += xi * self.reward[i];
            cost += xi * self.cost[i];
            square += xi * dot;
        }
        // Rounding may leave a square a little below 0.
        Prediction { reward, width: square.max(0.0).sqrt(), cost: cost.max(0.0) }
    }

    /// Learns an outcome by the formula of Sherman & Morrison (1950); `gain` is working memory of d
    /// numbers.
    pub(crate) fn learn(&mut self, x: &[f64], reward: f64, cost: f64, gain: &mut [f64]) {
        let d = x.len();
        let (mut reward_error, mut cost_error) = (reward - MIDDLE, cost - self.base_cost);
        gain.fill(0.0);
        for (i, xi) in nonzero(x) {
            reward_error -= xi * self.reward[i];
            cost_error -= xi * self.cost[i];
            // The matrix is symmetric: its rows are its columns.
            for (sum, entry) in gain.iter_mut().zip(&self.inverse[i * d..(i + 1) * d]) {
                *sum += entry * xi;
            }
        }
        let scale = 1.0 / (1.0 + nonzero(x).map(|(i, xi)| xi * gain[i]).sum::<f64>());
        for (i, &g) in gain.iter().enumerate().filter(|(_, g)| **g != 0.0) {
            for (entry, other) in self.inverse[i * d..(i + 1) * d].iter_mut().zip(&*gain) {
                *entry -= g * other * scale;
            }
            self.reward[i] += g * scale * reward_error;
            self.cost[i] += g * scale * cost_error;
        }
    }
}

fn nonzero(x: &[f64]) -> impl Iterator<Item = (usize, f64)> {
    x.iter().copied().enumerate().filter(|&(_, xi)| xi != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_solves_the_normal_equations() {
        let xs = [[1.0, 0.0, 0.5], [1.0, 2.0, 0.0], [0.0, 1.0, -1.0], [1.0, 1.0, 1.0]];
        let rewards = [0.2, 0.9, 0.4, 1.0];
        let mut ridge = Ridge::new(3, 0.1);
        let mut gain = [0.0; 3];
        for (x, r) in xs.iter().zip(rewards) {
            ridge.learn(x, r, 0.1 + 2.0 * (r - MIDDLE), &mut gain);
        }
        // (I + XᵀX) θ = Xᵀ (r − 0.5), and the same for costs, which are a multiple here.
        for i in 0..3 {
            let residual = |theta: &[f64], scale: f64| {
                let gram: f64 = xs
                    .iter()
                    .zip(rewards)
                    .map(|(x, r)| {
                        let fit: f64 = x.iter().zip(theta).map(|(a, b)| a * b).sum();
                        x[i] * (fit - scale * (r - MIDDLE))
                    })
                    .sum();
                gram + theta[i]
            };
            assert!(residual(&ridge.reward, 1.0).abs() < 1e-12);
            assert!(residual(&ridge.cost, 2.0).abs() < 1e-12);
        }
        let unseen = Ridge::new(3, 0.1).predict(&[0.0, 1.0, 0.0]);
        assert_eq!(unseen, Prediction { reward: MIDDLE, width: 1.0, cost: 0.1 });
    }
}

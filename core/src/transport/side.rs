//! What a half step does to the potential of one side.

use crate::real::Real;

/// How the sums of one side's rows move its potential.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side<'a> {
    pub(crate) weights: &'a [f64],
    /// The reference is 1, not the weight.
    pub(crate) counting: bool,
    /// ρ, infinite when hard, and ρ/(ρ + ε).
    pub(crate) rho: f64,
    pub(crate) tau: f64,
    pub(crate) epsilon: f64,
    /// 1: the potential goes where this half step takes it; above: beyond.
    pub(crate) relaxation: f64,
}

impl<'a> Side<'a> {
    /// A hard one that is not relaxed.
    pub(crate) fn hard(weights: &'a [f64], counting: bool, epsilon: f64) -> Self {
        Side { weights, counting, rho: f64::INFINITY, tau: 1.0, epsilon, relaxation: 1.0 }
    }

    /// x_i + ε ln r_i in the type of the cost, which is how a pass takes the potentials of this side.
    pub(crate) fn with_reference<T: Real>(&self, x: &[f64], to: &mut [T]) {
        for (i, (to, &x)) in to.iter_mut().zip(x).enumerate() {
            *to = T::from_f64(x + self.epsilon * self.ln_reference(i));
        }
    }

    /// r_i, 0 where there is no weight.
    #[inline]
    pub(crate) fn reference(&self, i: usize) -> f64 {
        let weight = self.weights[i];
        if self.counting && weight > 0.0 { 1.0 } else { weight }
    }

    /// ln r_i
    pub(crate) fn ln_reference(&self, i: usize) -> f64 {
        Real::ln(self.reference(i))
    }

    /// The next potential, and the plan's sum with it, from the old one and from `unit`, that at which the sum is the
    /// reference weight. No weight: the potential is the limit for small weights, τ · `unit`, from the soft transform of
    /// the others; no way to any of them: [`Side::nowhere`].
    #[inline]
    pub(crate) fn update(&self, i: usize, old: f64, unit: f64) -> (f64, f64) {
        let weight = self.weights[i];
        if unit == f64::INFINITY {
            return (self.nowhere(i), 0.0);
        }
        if weight == 0.0 {
            return (self.tau * unit, 0.0);
        }
        let hard = if self.counting { unit + self.epsilon * Real::ln(weight) } else { unit };
        let best = self.tau * hard;
        if self.tau == 1.0 && self.relaxation == 1.0 {
            return (best, weight);
        }
        let new = old + self.relaxation * (best - old);
        (new, weight * Real::exp((new - hard) / self.epsilon))
    }

    /// The potential where there is no way to go: so high, in units of ρ, that no mass is asked for. 0 where it has no
    /// meaning.
    pub(crate) fn nowhere(&self, i: usize) -> f64 {
        let high = self.rho.is_finite() && self.weights[i] > 0.0;
        if high { (1e3 * self.rho).min(1e37) } else { 0.0 }
    }

    /// The sum that the plan's rows should have with this potential.
    #[inline]
    pub(crate) fn goal(&self, i: usize, potential: f64) -> f64 {
        let weight = self.weights[i];
        if self.rho.is_infinite() || weight == 0.0 {
            weight
        } else {
            weight * Real::exp(-potential / self.rho)
        }
    }
}

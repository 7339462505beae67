//! When an iteration has ended: at its tolerance, or where its number type can go no further.

use super::sinkhorn::Status;
use crate::real::Real;

/// Iterations without a new smallest error after which the number type is taken to be at its end.
pub(super) const PATIENCE: u32 = 20;

/// Error at which rounding takes over: sums of `m` terms in any order are off by √m machine epsilons, an exponent by its
/// own size times that. An error below it only wanders.
pub(super) fn floor<T: Real>(m: usize, exponent: f64) -> f64 {
    T::EPSILON.to_f64() * (4.0 * (1.0 + libm::sqrt(m as f64)) + 2.0 * exponent)
}

/// Watches the errors of an iteration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    tolerance: f64,
    floor: f64,
    best: f64,
    since: u32,
}

impl Patience {
    /// For the [`floor`] of `m` terms and such exponents.
    pub(super) fn new<T: Real>(tolerance: f64, m: usize, exponent: f64) -> Self {
        let floor = floor::<T>(m, exponent);
        Patience { tolerance, floor, best: f64::INFINITY, since: 0 }
    }

    /// Is this error one that rounding alone may cause?
    pub(super) fn at_floor(&self, error: f64) -> bool {
        error <= self.floor
    }

    /// Why to end after an iteration with this error; `None`: go on. One that `stands_still` has stalled above the floor
    /// too.
    pub(super) fn judge(
        &mut self,
        error: f64,
        stands_still: impl FnOnce() -> bool,
    ) -> Option<Status> {
        if error < self.best {
            (self.best, self.since) = (error, 0);
        } else {
            self.since += 1;
        }
        if error <= self.tolerance {
            Some(Status::Converged)
        } else if self.since >= PATIENCE && (self.at_floor(self.best) || stands_still()) {
            Some(Status::Stalled)
        } else {
            None
        }
    }
}

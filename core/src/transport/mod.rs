//! Entropic optimal transport between any two marginals (Cuturi 2013), in the log domain.
//!
//! ```text
//! W(a, b) = min_P ⟨C, P⟩ + ε KL(P | a⊗b)      P 1 = a,  Pᵀ 1 = b,  P ≥ 0
//! KL(P | R) = Σ P ln(P/R) − Σ P + Σ R
//! P_ij = a_i b_j exp((f_i + g_j − C_ij)/ε)
//! W(a, b) = max_{f,g} ⟨a, f⟩ + ⟨b, g⟩ − ε (Σ P − mass²)
//! ```
//!
//! The reference measure is a⊗b, so a weight of 0 makes its row or column inert, and splitting an atom
//! in two changes nothing. The potentials f and g have the units of the cost. They are unique up to a
//! constant moved from one to the other; the one returned has ⟨a, f⟩ = ⟨b, g⟩.
//!
//! One iteration moves g so that the columns fit, then f so that the rows do. Rows are therefore exact
//! on return, and the error reported is that of the columns. Each iteration reads the cost once: for
//! row i, e_ij = b_j exp((g_j − C_ij)/ε) relative to its largest gives f_i, and the same e_ij times
//! a_i / Σ_j e_ij is P_ij, whose column sums move g. A column whose sum is too small for its logarithm
//! to mean anything is done again around its own maximum.

use alloc::vec::Vec;

use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2};

use crate::chunks::{ROWS, combine, *};
use crate::error::Error;
use crate::real::Real;
use crate::rows::{array, contiguous};

mod sweep;

/// What the solution depends on besides cost and weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transport {
    /// Entropic regularisation ε, in units of the cost.
    pub epsilon: f64,
    /// Largest error of the columns, Σ_j |Σ_i P_ij − b_j| / mass, at which the iteration stops.
    pub tolerance: f64,
    /// Most iterations, at least 1.
    pub max_iterations: u32,
}

impl Default for Transport {
    /// ε = 0.05, a tolerance of 1e-9, which f32 does not reach (its status is then
    /// [`Status::Stalled`]), and 10 000 iterations.
    fn default() -> Self {
        Transport { epsilon: 0.05, tolerance: 1e-9, max_iterations: 10_000 }
    }
}

/// Why the iteration stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The error of the columns is at most the tolerance.
    Converged,
    /// `max_iterations` were done.
    MaxIter,
    /// The error, which in exact arithmetic never grows, has not shrunk for 100 iterations: this is
    /// as near as the number type comes.
    Stalled,
}

/// Potentials of an entropic transport problem, and what was reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// Potential of the rows, in units of the cost.
    pub f: Array1<f64>,
    /// Potential of the columns; ⟨a, f⟩ = ⟨b, g⟩.
    pub g: Array1<f64>,
    /// ε of the problem.
    pub epsilon: f64,
    /// The dual objective at f and g: never above W(a, b), and equal to it at convergence.
    pub value: f64,
    /// ⟨C, P⟩ for the plan of f and g.
    pub linear: f64,
    /// Σ_j |Σ_i P_ij − b_j| / mass of that plan; its rows are exact.
    pub error: f64,
    /// Iterations done.
    pub iterations: u32,
    /// Why they stopped.
    pub status: Status,
}

/// Iterations without a new smallest error after which it is taken to be the number type's.
const PATIENCE: u32 = 100;

/// Potentials of the entropic transport problem between weights `a` and `b`.
///
/// # Shapes
///
/// `cost` (n, m), `a` (n), `b` (m).
///
/// # Errors
///
/// [`Error::Shape`] when the weights do not fit the cost; [`Error::NonFinite`] for a NaN or an infinity;
/// [`Error::Parameter`] for a weight below 0, no mass, masses that differ by more than 1e-12 (f32: 1e-6)
/// of themselves, ε not above 0 or too small for its inverse times the cost's range to be a number,
/// a tolerance below 0, or no iterations.
///
/// # Examples
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::{transport, Transport};
///
/// // Two points at distance 1 and equal weights: P_01 / P_00 = exp(−1/ε).
/// let cost = array![[0.0_f64, 1.0], [1.0, 0.0]];
/// let half = array![0.5, 0.5];
/// let solution = transport(&cost, &half, &half, Transport { epsilon: 1.0, ..Default::default() })?;
/// let plan = solution.plan(&cost, &half, &half)?;
/// assert!((plan[[0, 1]] / plan[[0, 0]] - (-1.0_f64).exp()).abs() < 1e-12);
/// // W = ln 2 − ln(1 + exp(−1))
/// assert!((solution.value - 0.379_885_493_041_722).abs() < 1e-12);
/// # Ok::<(), swav_core::Error>(())
/// ```
pub fn transport<T: Real>(
    cost: &ArrayRef2<T>,
    a: &ArrayRef1<T>,
    b: &ArrayRef1<T>,
    transport: Transport,
) -> Result<Solution, Error> {
    let Transport { epsilon, tolerance, max_iterations } = transport;
    let cost_rows = contiguous(cost);
    let problem = Problem::new(&cost_rows, cost.dim(), a, b, epsilon)?;
    let refuse = |name, value, requirement| Err(Error::Parameter { name, value, requirement });
    if tolerance.is_nan() || tolerance < 0.0 {
        return refuse("tolerance", tolerance, "at least 0");
    }
    if max_iterations == 0 {
        return refuse("max_iterations", 0.0, "at least 1");
    }
    let (n, m) = cost.dim();
    let mut f = alloc::vec![0.0; n];
    let mut g = alloc::vec![0.0; m];
    let mut sums = alloc::vec![0.0; m];
    let mut work = sweep::Work::new(n, m);
    problem.columns(&f, &mut g, &mut work);
    let (mut best, mut since) = (f64::INFINITY, 0);
    let mut iterations = 0;
    let (status, error, linear) = loop {
        iterations += 1;
        let linear = problem.rows(&g, &mut f, &mut sums, &mut work);
        let off = sums.iter().zip(&problem.b).map(|(s, b)| (s - b).abs()).sum::<f64>();
        let error = off / problem.mass;
        if error < best {
            (best, since) = (error, 0);
        } else {
            since += 1;
        }
        if error <= tolerance {
            break (Status::Converged, error, linear);
        } else if iterations == max_iterations {
            break (Status::MaxIter, error, linear);
        } else if since == PATIENCE {
            break (Status::Stalled, error, linear);
        }
        problem.move_columns(&f, &mut g, &sums, &mut work);
    };
    problem.inert_columns(&f, &mut g, &mut work);
    // The constant that makes ⟨a, f⟩ = ⟨b, g⟩.
    let dot = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
    let (af, bg) = (dot(&problem.a, &f), dot(&problem.b, &g));
    let shift = (bg - af) / (problem.mass + problem.b.iter().sum::<f64>());
    f.iter_mut().for_each(|f| *f += shift);
    g.iter_mut().for_each(|g| *g -= shift);
    // Rows are exact, so Σ P is the mass.
    let (mass, other) = (problem.mass, problem.b.iter().sum::<f64>());
    let value = dot(&problem.a, &f) + dot(&problem.b, &g) - epsilon * (mass - mass * other);
    let (f, g) = (Array1::from_vec(f), Array1::from_vec(g));
    Ok(Solution { f, g, epsilon, value, linear, error, iterations, status })
}

impl Solution {
    /// The plan, P_ij = a_i b_j exp((f_i + g_j − C_ij)/ε), from the problem that was solved. It is also
    /// the gradient of the value with respect to the cost.
    ///
    /// Rows with weight sum to it within m machine epsilons; entries without weight are exactly 0.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when the arrays are not of the problem's shape, and those of [`transport`].
    pub fn plan<T: Real>(
        &self,
        cost: &ArrayRef2<T>,
        a: &ArrayRef1<T>,
        b: &ArrayRef1<T>,
    ) -> Result<Array2<T>, Error> {
        Error::shape("cost", [self.f.len(), self.g.len()], cost.dim().into())?;
        let cost_rows = contiguous(cost);
        let problem = Problem::new(&cost_rows, cost.dim(), a, b, self.epsilon)?;
        let mut plan = alloc::vec![T::ZERO; cost.len()];
        let g: Vec<f64> = self.g.iter().copied().collect();
        problem.plan(&g, &mut plan);
        Ok(array(cost.dim(), plan))
    }

    /// Gradients of the value with respect to a and b: f and g, each less its mean. Weights can only
    /// move so that the masses stay equal, so the gradient is the part of f and g along Σ da = 0.
    pub fn weights_gradient(&self) -> (Array1<f64>, Array1<f64>) {
        let centred = |x: &Array1<f64>| x - x.sum() / x.len() as f64;
        (centred(&self.f), centred(&self.g))
    }
}

/// A problem whose inputs were checked, its weights in f64.
struct Problem<'a, T> {
    cost: &'a [T],
    a: Vec<f64>,
    b: Vec<f64>,
    /// ln b, −∞ where there is no weight.
    ln_b: Vec<T>,
    mass: f64,
    epsilon: f64,
}

impl<'a, T: Real> Problem<'a, T> {
    fn new(
        cost: &'a [T],
        (n, m): (usize, usize),
        a: &ArrayRef1<T>,
        b: &ArrayRef1<T>,
        epsilon: f64,
    ) -> Result<Self, Error> {
        Error::positive("epsilon", epsilon)?;
        Error::shape("a", [n, 1], [a.len(), 1])?;
        Error::shape("b", [m, 1], [b.len(), 1])?;
        let mut range = [f64::INFINITY, f64::NEG_INFINITY];
        for (row, cost) in cost.chunks_exact(m.max(1)).enumerate() {
            for c in cost {
                if !c.is_finite() {
                    return Err(Error::NonFinite { what: "cost", row: Some(row) });
                }
                range = [range[0].min(c.to_f64()), range[1].max(c.to_f64())];
            }
        }
        let range = (range[1] - range[0]).max(range[0].abs()).max(range[1].abs());
        if n * m > 0 && !T::from_f64(4.0 * range / epsilon).is_finite() {
            let requirement = "so large that the cost's range divided by it is a number";
            return Err(Error::Parameter { name: "epsilon", value: epsilon, requirement });
        }
        let weights = |what, x: &ArrayRef1<T>| {
            let x: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
            if let Some(row) = x.iter().position(|x| !x.is_finite()) {
                return Err(Error::NonFinite { what, row: Some(row) });
            }
            let requirement = "at least 0 in every entry";
            match x.iter().find(|&&x| x < 0.0) {
                Some(&value) => Err(Error::Parameter { name: what, value, requirement }),
                None => Ok(x),
            }
        };
        let (a, b) = (weights("a", a)?, weights("b", b)?);
        let (mass, other) = (a.iter().sum::<f64>(), b.iter().sum::<f64>());
        Error::positive("mass of a", mass)?;
        let slack = if T::EPSILON.to_f64() < 1e-10 { 1e-12 } else { 1e-6 };
        if (mass - other).abs() > slack * mass {
            let requirement = "the mass of a; divide each by its sum";
            return Err(Error::Parameter { name: "mass of b", value: other, requirement });
        }
        let ln_b = b.iter().map(|&b| T::from_f64(Real::ln(b))).collect();
        Ok(Problem { cost, a, b, ln_b, mass, epsilon })
    }

    fn factor(&self) -> T {
        T::from_f64(1.0 / self.epsilon)
    }

    /// g_j = −ε ln Σ_i a_i exp((f_i − C_ij)/ε), around each column's own maximum.
    fn columns(&self, f: &[f64], g: &mut [f64], work: &mut sweep::Work<T>) {
        let (size, m) = (ROWS * g.len(), g.len());
        let shifted = |(&f, &a): (&f64, &f64)| T::from_f64(f + self.epsilon * Real::ln(a));
        for (h, fa) in work.shifted.iter_mut().zip(f.iter().zip(&self.a)) {
            *h = shifted(fa);
        }
        let shifted: &[T] = &work.shifted;
        let partial = &mut work.partial[..f.len().div_ceil(ROWS) * m];
        (self.cost.par_chunks(size).zip(shifted.par_chunks(ROWS)))
            .zip(partial.par_chunks_mut(m))
            .for_each(|((c, h), tops)| sweep::tops(c, h, tops));
        combine(partial, m, g, f64::NEG_INFINITY, f64::max);
        for (top, &g) in work.columns.iter_mut().zip(g.iter()) {
            *top = T::from_f64(g);
        }
        let (tops, factor): (&[T], T) = (&work.columns, self.factor());
        (self.cost.par_chunks(size).zip(shifted.par_chunks(ROWS)))
            .zip(partial.par_chunks_mut(m))
            .for_each(|((c, h), sums)| sweep::sums(c, h, tops, factor, sums));
        combine(partial, m, g, 0.0, |a, b| a + b);
        for (g, &top) in g.iter_mut().zip(tops) {
            *g = -(top.to_f64() + self.epsilon * Real::ln(*g));
        }
    }

    /// f_i = −ε ln Σ_j b_j exp((g_j − C_ij)/ε), the column sums of the plan this gives, and ⟨C, P⟩.
    fn rows(&self, g: &[f64], f: &mut [f64], sums: &mut [f64], work: &mut sweep::Work<T>) -> f64 {
        let (m, factor) = (g.len(), self.factor());
        for (x, &g) in work.columns.iter_mut().zip(g) {
            *x = T::from_f64(g);
        }
        let (g, ln_b): (&[T], &[T]) = (&work.columns, &self.ln_b);
        let epsilon = self.epsilon;
        (self.cost.par_chunks(ROWS * m).zip(self.a.par_chunks(ROWS)))
            .zip(f.par_chunks_mut(ROWS).zip(work.linear.par_chunks_mut(1)))
            .zip(work.partial.par_chunks_mut(m).zip(work.scratch.par_chunks_mut(m)))
            .for_each(|(((c, a), (f, linear)), (sums, e))| {
                let at = sweep::Columns { g, ln_b, factor, epsilon };
                linear[0] = sweep::rows(c, a, at, f, sums, e);
            });
        combine(&work.partial, m, sums, 0.0, |a, b| a + b);
        work.linear.iter().sum()
    }

    /// g_j ← g_j + ε (ln b_j − ln Σ_i P_ij), exactly where the sum is too small for that.
    fn move_columns(&self, f: &[f64], g: &mut [f64], sums: &[f64], work: &mut sweep::Work<T>) {
        let least = (T::MIN_POSITIVE / T::EPSILON).to_f64();
        let trusted = |(&sum, &b): (&f64, &f64)| b == 0.0 || sum > least * b.max(1.0);
        if sums.iter().zip(&self.b).all(trusted) {
            for (g, (&sum, &b)) in g.iter_mut().zip(sums.iter().zip(&self.b)) {
                if b > 0.0 {
                    *g += self.epsilon * Real::ln(b / sum);
                }
            }
        } else {
            self.columns(f, g, work);
        }
    }

    /// Columns without weight took no part; their g is the one the formula gives them.
    fn inert_columns(&self, f: &[f64], g: &mut [f64], work: &mut sweep::Work<T>) {
        if self.b.contains(&0.0) {
            let mut all = alloc::vec![0.0; g.len()];
            self.columns(f, &mut all, work);
            for ((g, all), &b) in g.iter_mut().zip(all).zip(&self.b) {
                if b == 0.0 {
                    *g = all;
                }
            }
        }
    }

    fn plan(&self, g: &[f64], plan: &mut [T]) {
        let m = g.len();
        let g: Vec<T> = g.iter().map(|&g| T::from_f64(g)).collect();
        let (g, ln_b, factor, epsilon): (&[T], &[T], T, f64) =
            (&g, &self.ln_b, self.factor(), self.epsilon);
        (self.cost.par_chunks(ROWS * m).zip(self.a.par_chunks(ROWS)))
            .zip(plan.par_chunks_mut(ROWS * m))
            .for_each(|((c, a), p)| {
                sweep::plan(c, a, sweep::Columns { g, ln_b, factor, epsilon }, p);
            });
    }
}

#[cfg(test)]
mod tests;

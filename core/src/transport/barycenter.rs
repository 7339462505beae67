//! Barycentres of histograms over fixed points.
//!
//! Histograms a_1 … a_K, all of mass m, on n points; weights λ of sum 1; a cost from those points to the ones
//! of the barycentre. Sought is the q for which
//!
//! ```text
//! Σ_k λ_k W(a_k, q)                          smallest over all q of mass m
//! W(a, q) = min_P ⟨C, P⟩ + ε Σ P (ln P − 1)      P 1 = a,  Pᵀ 1 = q
//! ```
//!
//! The reference of the plan is [`Reference::Counting`](super::Reference), as in Benamou et al. 2015 and POT: with a⊗q it
//! would depend on q itself. So q is blurred by the kernel: that of one histogram is K̄ᵀ a, with K̄ the kernel
//! exp(−C/ε) whose rows were divided by their sums. The **debiased** one (Janati, Cuturi and Gramfort 2020) minimises
//!
//! ```text
//! Σ_k λ_k W(a_k, q) − ½ W(q, q)
//! ```
//!
//! on square symmetric costs, the Sinkhorn divergence but for what does not depend on q; that of one histogram is
//! that histogram. It may be exactly 0 where the blurred one has tails; an entry that tends to 0 does so faster and faster
//! in the log domain, and is returned as 0 once it has left the range of f64.
//!
//! # The iteration
//!
//! With P_k = exp((f_k + g_k − C)/ε), alternating projections on {P_k 1 = a_k} and {P_kᵀ 1 = q for all k}:
//!
//! ```text
//! f_k ← ε ln a_k − ε ln Σ_j exp((g_k,j − C_ij)/ε)
//! h_k =              ε ln Σ_i exp((f_k,i − C_ij)/ε)          what each histogram would have arrive, P_kᵀ 1 = exp((h_k + g_k)/ε)
//! ε ln q ← Σ_k λ_k h_k + c
//! g_k ← ε ln q − h_k
//! c ← (c + ε ln q − ε ln Σ_i exp((c_i − C_ij)/ε))/2             debiased; else c = 0
//! ```
//!
//! f_k and h_k come out of one sweep over the cost, one exp an entry, because the same exponentials that sum to f_k sum to
//! P_kᵀ 1; where a column's sum underflows, h_k is made by a log-sum-exp of its own. c is the potential of q with itself,
//! moved by one averaged step as in [`Sinkhorn::solve_symmetric`](super::Sinkhorn::solve_symmetric). Everything is in the log
//! domain, at any ε.
//!
//! An iteration takes K sweeps, K + 1 debiased, memory K (n + 2 m). It converges like Sinkhorn's, linearly and more slowly
//! the smaller ε, and is not accelerated.
//!
//! # Limits
//!
//! Every histogram has the same mass. No pair may be forbidden. A histogram of weight λ_k = 0 has no part. The tails of a
//! debiased barycentre, on their way to 0, shrink more slowly than linearly: 1e-7 of the mass may be right after 100
//! iterations and 1e-9 after 20 000 (two bells over 64 bins).

use alloc::vec::Vec;

use ndarray::{Array1, ArrayRef1, ArrayRef2};

use super::geometry::{Geometry, Range};
use super::patience::Patience;
use super::problem::slack;
use super::sinkhorn::{Sinkhorn, Status};
use super::sweep::{self, Pieces, Side};
use crate::error::Error;
use crate::real::Real;

/// How to average histograms: the q for which Σ_k λ_k W(a_k, q) is smallest (Benamou et al. 2015), or debiased
/// Σ_k λ_k W(a_k, q) − ½ W(q, q) (Janati, Cuturi and Gramfort 2020), W with [`Reference::Counting`](super::Reference).
///
/// # Complexity and limits
///
/// An iteration is a pass over the cost for each histogram, and one more debiased; memory K (n + 2 m). The rate is
/// linear and slows as ε falls; nothing accelerates it. The tails of a debiased barycentre, on their way to 0, converge
/// more slowly still: ask for 1e-7. All masses are equal, no pair is forbidden.
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::{Barycenter, Dense};
///
/// let cost = ndarray::Array2::from_shape_fn((5, 5), |(i, j)| (i as f64 - j as f64).powi(2));
/// let histograms = array![[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]];
/// let debiased = Barycenter { debiased: true, ..Barycenter::new(0.5) };
/// let found = debiased.solve(&Dense::new(&cost), &histograms, &array![0.5, 0.5])?;
/// // Halfway between, where half of each would not be.
/// assert!(found.q[2] > 0.99);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Barycenter {
    /// ε, in units of the cost.
    pub epsilon: f64,
    /// Without the blur of the kernel.
    pub debiased: bool,
    /// Largest error, relative to the mass, at which the iteration stops.
    pub tolerance: f64,
    /// Most iterations, at least 1.
    pub max_iterations: u32,
}

/// A barycentre.
#[derive(Clone, Debug, PartialEq)]
pub struct BarycenterSolution {
    /// The barycentre, (m).
    pub q: Array1<f64>,
    /// Why the iteration stopped.
    pub status: Status,
    /// Σ_k λ_k ‖P_kᵀ 1 − q‖₁, and debiased the same of the plan of q with itself, relative to the mass. The rows of
    /// the P_k are exact.
    pub error: f64,
    /// Iterations done.
    pub iterations: u32,
}

/// One histogram, and its side of the plan.
struct Input {
    share: f64,
    a: Vec<f64>,
    f: Vec<f64>,
    g: Vec<f64>,
    /// P_kᵀ 1
    sums: Vec<f64>,
}

impl Barycenter {
    /// With the blur of the kernel, to 1e-9 in at most 10 000 iterations.
    pub fn new(epsilon: f64) -> Self {
        Barycenter { epsilon, debiased: false, tolerance: 1e-9, max_iterations: 10_000 }
    }

    /// The barycentre of the columns of `histograms` (n, K), with `weights` λ (K) of sum 1, over `geometry` (n, m).
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when the three do not fit, or a debiased cost is not square; [`Error::NonFinite`] for a NaN or an
    /// infinity in any of them; [`Error::MassMismatch`] for histograms whose mass differs from that of the first
    /// by more than 1e-12 (f32: 1e-6) of it, [`Error::Entry`] for one below 0, and [`Error::Parameter`] for no mass, weights whose sum differs so
    /// from 1, a forbidden pair, a stored cost that is not symmetric where it should be, or options outside their ranges.
    #[inline(never)]
    pub fn solve<T: Real>(
        &self,
        geometry: &dyn Geometry<T>,
        histograms: &ArrayRef2<T>,
        weights: &ArrayRef1<T>,
    ) -> Result<BarycenterSolution, Error> {
        Error::epsilon::<T>(self.epsilon)?;
        let Barycenter { tolerance, max_iterations, .. } = *self;
        Sinkhorn { tolerance, max_iterations, ..Sinkhorn::plain() }.check()?;
        let (n, m) = geometry.shape();
        let inputs = inputs(histograms, weights, n, m)?;
        Error::shape("cost", [n, m.max(1)], [n, m])?;
        let range = Range::of(geometry)?;
        if range.forbidden {
            return Err(Error::Parameter {
                name: "cost",
                value: f64::INFINITY,
                requirement: "finite in every entry",
            });
        }
        if self.debiased {
            Error::shape("cost", [n, n], [n, m])?;
            super::symmetric::symmetric(geometry, range.width())?;
        }
        let patience = Patience::new::<T>(tolerance, m, range.width() / self.epsilon);
        // From where the plan of q with itself has no entry above 1.
        let c = if self.debiased { 0.5 * range.least } else { 0.0 };
        Ok(crate::chunks::inside(|| self.project(geometry, inputs, c, patience)))
    }

    fn project<T: Real>(
        &self,
        geometry: &dyn Geometry<T>,
        mut inputs: Vec<Input>,
        c: f64,
        mut patience: Patience,
    ) -> BarycenterSolution {
        let (n, m) = geometry.shape();
        let mut pass = Pass::new(geometry, self.epsilon);
        let mass: f64 = inputs[0].a.iter().sum();
        let zeros = || alloc::vec![0.0; m];
        // ε ln q, and the potential of q with itself: as it is, its image, what the image's sweep leaves.
        let (mut ln_q, mut image, mut own) = (zeros(), zeros(), zeros());
        let mut c = alloc::vec![c; m];
        inputs.iter_mut().for_each(|input| input.g.copy_from_slice(&c));
        let ones = alloc::vec![1.0; if self.debiased { n } else { 0 }];
        let mut solution = BarycenterSolution {
            q: Array1::zeros(m),
            status: Status::MaxIter,
            error: f64::INFINITY,
            iterations: 0,
        };
        while solution.iterations < self.max_iterations && solution.status == Status::MaxIter {
            ln_q.copy_from_slice(&c);
            for Input { share, a, f, g, sums } in &mut inputs {
                pass.sweep(a, g, f, sums);
                ln_q.iter_mut().zip(&pass.ln).for_each(|(q, h)| *q += *share * h);
                // h_k, until q is known.
                g.copy_from_slice(&pass.ln);
            }
            for (q, ln_q) in solution.q.iter_mut().zip(&ln_q) {
                *q = Real::exp(ln_q / self.epsilon);
            }
            let off = |sums: &[f64]| -> f64 {
                sums.iter().zip(&solution.q).map(|(sum, q)| (sum - q).abs()).sum()
            };
            let mut error: f64 = inputs.iter().map(|input| input.share * off(&input.sums)).sum();
            for Input { g, .. } in &mut inputs {
                g.iter_mut().zip(&ln_q).for_each(|(g, ln_q)| *g = ln_q - *g);
            }
            if self.debiased {
                // With weights of 1 the image is −ε ln Σ exp((c − C)/ε), the sum that c has is exp((c − image)/ε).
                pass.sweep(&ones, &c, &mut image, &mut own);
                for (own, (c, image)) in own.iter_mut().zip(c.iter_mut().zip(&image)) {
                    *own = Real::exp((*c - image) / self.epsilon);
                }
                error += off(&own);
                for ((c, image), ln_q) in c.iter_mut().zip(&image).zip(&ln_q) {
                    *c = 0.5 * (*c + ln_q + image);
                }
            }
            solution.error = error / mass;
            solution.iterations += 1;
            if let Some(status) = patience.judge(solution.error, || false) {
                solution.status = status;
            }
        }
        solution
    }
}

/// Sweeps over one cost, and their memory.
struct Pass<'a, T: Real> {
    geometry: &'a dyn Geometry<T>,
    epsilon: f64,
    pieces: Pieces<T>,
    columns: Vec<T>,
    rows: Vec<T>,
    /// ε ln Σ_i exp((f_i − C_ij)/ε)
    ln: Vec<f64>,
}

impl<'a, T: Real> Pass<'a, T> {
    fn new(geometry: &'a dyn Geometry<T>, epsilon: f64) -> Self {
        let (n, m) = geometry.shape();
        let mut pieces = Pieces::new();
        pieces.resize(n, m);
        let (columns, rows) = (alloc::vec![T::ZERO; m], alloc::vec![T::ZERO; n]);
        Pass { geometry, epsilon, pieces, columns, rows, ln: alloc::vec![0.0; m] }
    }

    /// Moves f so that the rows of exp((f + g − C)/ε) sum to `a`, and leaves its column sums in `sums`, and in `ln` those
    /// that it would have without g.
    fn sweep(&mut self, a: &[f64], g: &[f64], f: &mut [f64], sums: &mut [f64]) {
        let side = Side::hard(a, true, self.epsilon);
        self.columns.iter_mut().zip(g).for_each(|(to, &g)| *to = T::from_f64(g));
        sweep::log_rows(self.geometry, side, &self.columns, f, sums, &mut self.pieces);
        if sums.iter().all(|&sum| sum > sweep::trusted::<T>()) {
            for ((ln, &sum), g) in self.ln.iter_mut().zip(sums.iter()).zip(g) {
                *ln = self.epsilon * Real::ln(sum) - g;
            }
        } else {
            self.log_sums(a, f);
        }
    }

    /// `ln` around each column's own largest entry.
    fn log_sums(&mut self, a: &[f64], f: &[f64]) {
        for (to, (&f, &a)) in self.rows.iter_mut().zip(f.iter().zip(a)) {
            *to = if a > 0.0 { T::from_f64(f) } else { -T::INFINITY };
        }
        let Pass { geometry, epsilon, pieces, columns, rows, ln } = self;
        sweep::column_tops(*geometry, rows, ln, pieces);
        columns.iter_mut().zip(ln.iter()).for_each(|(top, &ln)| *top = T::from_f64(ln));
        sweep::column_sums(*geometry, *epsilon, rows, columns, ln, pieces);
        for (ln, top) in ln.iter_mut().zip(columns.iter()) {
            *ln = top.to_f64() + *epsilon * Real::ln(*ln);
        }
    }
}

/// The histograms that count, of one mass, with their shares.
fn inputs<T: Real>(
    histograms: &ArrayRef2<T>,
    weights: &ArrayRef1<T>,
    n: usize,
    m: usize,
) -> Result<Vec<Input>, Error> {
    let count = histograms.ncols();
    Error::shape("histograms", [n, count], [histograms.nrows(), count])?;
    Error::shape("weights", [count, 1], [weights.len(), 1])?;
    let checked = |what, row, column, x: T| {
        let value = x.to_f64();
        if !value.is_finite() {
            Err(Error::NonFinite { what, row: Some(row) })
        } else if value < 0.0 {
            Err(Error::Entry { what, row, column, value, requirement: "at least 0" })
        } else {
            Ok(value)
        }
    };
    let slack = slack::<T>();
    let mut inputs = Vec::with_capacity(count);
    let (mut total, mut first) = (0.0, None);
    for (k, (&share, column)) in weights.iter().zip(histograms.columns()).enumerate() {
        let share = checked("weights", k, None, share)?;
        let checked =
            column.iter().enumerate().map(|(row, &x)| checked("histograms", row, Some(k), x));
        let mut a = checked.collect::<Result<Vec<f64>, Error>>()?;
        let mass: f64 = a.iter().sum();
        Error::positive("mass of a histogram", mass)?;
        let first = *first.get_or_insert(mass);
        if (mass - first).abs() > slack * first {
            return Err(Error::MassMismatch { a: first, b: mass });
        }
        a.iter_mut().for_each(|a| *a *= first / mass);
        total += share;
        if share > 0.0 {
            let zeros = |n| alloc::vec![0.0; n];
            inputs.push(Input { share, a, f: zeros(n), g: zeros(m), sums: zeros(m) });
        }
    }
    if (total - 1.0).abs() > slack {
        let (name, requirement) = ("sum of the weights", "1");
        return Err(Error::Parameter { name, value: total, requirement });
    }
    inputs.iter_mut().for_each(|input| input.share /= total);
    Ok(inputs)
}

#[cfg(test)]
mod tests;

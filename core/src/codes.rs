//! Codes: the published alternating scaling with uniform marginals (Caron et al. 2020, eq. 3 to 5;
//! `main_swav.py`, `distributed_sinkhorn`).
//!
//! With M = exp(S/ε), S the scores of all ranks and of the queue, one round is
//!
//! ```text
//! u_k ← 1 / (K Σ_b M_bk v_b)        prototypes first
//! v_b ← 1 / (B Σ_k M_bk u_k)        samples last
//! ```
//!
//! starting from v = 1, and after a fixed number of rounds Q_bk = B u_k M_bk v_b. Samples come last, so
//! each row of Q sums to 1, and the prototypes' shares of mass are equal only nearly. The divisors B
//! and K cancel, so they do not appear below.
//!
//! This is balanced transport of the samples to the prototypes with the cost −S and uniform weights, stopped after so
//! many iterations: Q = B · P. The passes are those of [`transport`](crate::transport).
//!
//! One thing would surprise. Subtracting each *sample's* largest score before the exponential, as one does in a softmax,
//! starts the iteration from another v and changes the codes after three rounds; a constant for the whole matrix, or one
//! per prototype, changes nothing, and those are what is used here.
//!
//! Two domains, chosen by the range of the scores over *all* ranks, so that all ranks choose the same one:
//!
//! - *kernel*, when (max S − min S)/ε is at most 40 (f32) or 340 (f64): M is made once, relative to the largest score, and
//!   kept. Every sum is then a normal number: u stays within e^±range because sums over one column and another differ by no
//!   more than that.
//! - *log*, for any wider range: potentials in units of a score, g_k and f_b, each a log-sum-exp around its own maximum,
//!   which cannot overflow and cannot vanish.

use alloc::vec::Vec;

use ndarray::{Array2, ArrayRef2};

use crate::chunks::{ROWS, *};
use crate::error::Error;
use crate::real::Real;
use crate::reduce::{Local, Reduce};
use crate::rows::{array, contiguous};
use crate::transport::Geometry;
use crate::transport::sweep::{self, Pieces, Side};

mod kernels;

/// What the codes depend on besides the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounds {
    /// Entropic regularisation ε, in units of a score: 0.05 in the paper, 0.03 for small batches.
    /// Above 0, finite, and large enough that 1.5/ε is finite.
    pub epsilon: f64,
    /// Rounds, at least 1: 3 in the paper. More balance the prototypes better.
    pub iterations: u32,
}

impl Default for Rounds {
    /// The published values: ε = 0.05, 3 rounds.
    fn default() -> Self {
        Rounds { epsilon: 0.05, iterations: 3 }
    }
}

impl Rounds {
    fn check<T: Real>(&self) -> Result<(), Error> {
        Error::epsilon::<T>(self.epsilon)?;
        if self.iterations == 0 {
            let requirement = "at least 1";
            return Err(Error::Parameter { name: "iterations", value: 0.0, requirement });
        }
        Ok(())
    }
}

/// Memory of [`codes_into`], kept between calls so that a training step allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Workspace<T> {
    /// M, (rows, K); only in the kernel domain.
    kernel: Vec<T>,
    /// Potential f of each row.
    samples: Vec<f64>,
    /// Potential that M is relative to, of each row.
    base: Vec<f64>,
    /// The mass of each row, 1.
    ones: Vec<f64>,
    /// u of each prototype, or its potential g.
    prototypes: Vec<T>,
    /// Largest entry of each prototype; only in the log domain.
    tops: Vec<T>,
    /// f in the scores' type; only in the log domain.
    shifts: Vec<T>,
    /// g of each prototype; only in the log domain.
    potentials: Vec<f64>,
    /// Sums over all rows of all ranks.
    total: Vec<f64>,
    /// [largest, − smallest, NaN found] of each piece of rows.
    ranges: Vec<[T; 3]>,
    pieces: Pieces<T>,
}

impl<T: Real> Workspace<T> {
    /// An empty one; the first call of [`codes_into`] sizes it.
    pub fn new() -> Self {
        Workspace {
            kernel: Vec::new(),
            samples: Vec::new(),
            base: Vec::new(),
            ones: Vec::new(),
            prototypes: Vec::new(),
            tops: Vec::new(),
            shifts: Vec::new(),
            potentials: Vec::new(),
            total: Vec::new(),
            ranges: Vec::new(),
            pieces: Pieces::new(),
        }
    }

    /// One that no call with as many `rows` and `prototypes`, or fewer, will enlarge.
    pub fn for_shape(rows: usize, prototypes: usize) -> Self {
        let mut workspace = Workspace::new();
        workspace.resize(rows, prototypes);
        workspace.kernel.resize(rows * prototypes, T::ZERO);
        workspace
    }

    fn resize(&mut self, rows: usize, prototypes: usize) {
        self.samples.resize(rows, 0.0);
        self.base.resize(rows, 0.0);
        self.ones.resize(rows, 1.0);
        self.shifts.resize(rows, T::ZERO);
        self.prototypes.resize(prototypes, T::ZERO);
        self.tops.resize(prototypes, T::ZERO);
        self.potentials.resize(prototypes, 0.0);
        self.total.resize(prototypes, 0.0);
        self.ranges.resize(rows.div_ceil(ROWS), [T::ZERO; 3]);
        self.pieces.resize(rows, prototypes);
    }
}

/// Scores as a cost, −S.
struct Scores<'a, T> {
    scores: &'a [T],
    prototypes: usize,
}

impl<T: Real> Geometry<T> for Scores<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.scores.len() / self.prototypes, self.prototypes)
    }

    fn fill_row(&self, row: usize, costs: &mut [T]) {
        let scores = &self.scores[row * self.prototypes..];
        costs.iter_mut().zip(scores).for_each(|(c, &s)| *c = -s);
    }
}

/// Codes of a batch (Caron et al. 2020, eq. 5), on one rank and without a queue.
///
/// ```text
/// Q = B · diag(v) exp(S/ε) diag(u),   u, v by `iterations` rounds, prototypes first
/// ```
///
/// The paper writes its transpose: its Q is K × B, this one B × K.
///
/// # Shapes
///
/// `scores` and the result (B, K).
///
/// # Errors
///
/// [`Error::Parameter`] for ε not above 0 or no rounds, [`Error::NonFinite`] for a score that is NaN
/// or infinite.
///
/// Every finite matrix of scores gives finite codes whose rows sum to 1 within K machine epsilons.
///
/// # Examples
///
/// ```
/// use ndarray::array;
/// use swav_core::{codes, Rounds};
///
/// // Two samples that both prefer prototype 0, one more than the other: each gets its own.
/// let q = codes(&array![[1.0_f64, 0.0], [0.5, 0.0]], Rounds { epsilon: 0.05, iterations: 50 })?;
/// assert!(q[[0, 0]] > 0.98 && q[[1, 1]] > 0.98);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn codes<T: Real>(scores: &ArrayRef2<T>, rounds: Rounds) -> Result<Array2<T>, Error> {
    let (rows, prototypes) = scores.dim();
    let mut out = alloc::vec![T::ZERO; rows * prototypes];
    let (scores, mut workspace) = (contiguous(scores), Workspace::new());
    codes_into(&scores, prototypes, rows, rounds, &Local, &mut workspace, &mut out)?;
    Ok(array((rows, prototypes), out))
}

/// Codes of the last `keep` rows of `scores`, balanced over all its rows and those of all ranks.
///
/// Rows in front of the kept ones are the queue's: they take part and get no codes. `reduce` carries
/// the three kinds of numbers that cross ranks: the range of the scores, the prototypes' sums, and in
/// the log domain their maxima. A rank may have no rows.
///
/// # Shapes
///
/// `scores` (rows, `prototypes`), `out` (`keep`, `prototypes`), both row after row.
///
/// # Errors
///
/// As [`codes`], and [`Error::Shape`] when `scores` are not whole rows, are fewer than `keep`, or
/// `out` has another size. A non-finite score on any rank is an error on every rank. The other errors
/// are found before the first reduction, so they must be the same on all ranks.
///
/// # Determinism
///
/// The result depends on the instruction set and on how rows are spread over ranks, in the last digits;
/// not on the number of threads.
#[inline(never)]
pub fn codes_into<T: Real>(
    scores: &[T],
    prototypes: usize,
    keep: usize,
    rounds: Rounds,
    reduce: &dyn Reduce,
    workspace: &mut Workspace<T>,
    out: &mut [T],
) -> Result<(), Error> {
    rounds.check::<T>()?;
    if prototypes == 0 && scores.is_empty() && out.is_empty() {
        return Ok(());
    }
    let rows = scores.len().checked_div(prototypes).unwrap_or(0);
    if rows * prototypes != scores.len() || rows < keep {
        let (expected, found) = ([rows.max(keep), prototypes], [scores.len(), 1]);
        return Err(Error::Shape { what: "scores", expected, found });
    }
    if out.len() != keep * prototypes {
        let (expected, found) = ([keep, prototypes], [out.len(), 1]);
        return Err(Error::Shape { what: "codes", expected, found });
    }
    workspace.resize(rows, prototypes);
    let (top, range) = range(scores, prototypes, reduce, workspace)?;
    let kept = (rows - keep) * prototypes;
    let size = ROWS * prototypes;
    if range / rounds.epsilon <= kernels::range_limit::<T>() {
        in_kernel_domain(&Scores { scores, prototypes }, top, rounds, reduce, workspace);
        let (kernel, u) = (&workspace.kernel[kept..scores.len()], &workspace.prototypes);
        (kernel.par_chunks(size).zip(out.par_chunks_mut(size)))
            .for_each(|(m, q)| kernels::finish(m, u, q));
    } else {
        in_log_domain(&Scores { scores, prototypes }, rounds, reduce, workspace);
        let (g, factor) = (&workspace.prototypes, T::from_f64(1.0 / rounds.epsilon));
        (scores[kept..].par_chunks(size).zip(out.par_chunks_mut(size)))
            .for_each(|(s, q)| kernels::finish_log(s, g, factor, q));
    }
    Ok(())
}

/// Largest score over ranks, and largest minus smallest.
fn range<T: Real>(
    scores: &[T],
    prototypes: usize,
    reduce: &dyn Reduce,
    workspace: &mut Workspace<T>,
) -> Result<(T, f64), Error> {
    (scores.par_chunks(ROWS * prototypes).zip(workspace.ranges.par_chunks_mut(1)))
        .for_each(|(s, found)| found[0] = kernels::range(s));
    let mut found = [f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0];
    for &[top, bottom, bad] in &workspace.ranges {
        if bad == T::ZERO {
            found[0] = found[0].max(top.to_f64());
            found[1] = found[1].max(-bottom.to_f64());
        } else {
            found[2] = 1.0;
        }
    }
    let here = found[2] != 0.0;
    reduce.max(&mut found);
    let range = found[0] + found[1];
    if found[2] != 0.0 || !T::from_f64(range.max(0.0)).is_finite() {
        let bad = |row: &[T]| row.iter().any(|s| !s.is_finite());
        let row = if here { scores.chunks(prototypes).position(bad) } else { None };
        return Err(Error::NonFinite { what: "scores", row });
    }
    Ok((T::from_f64(found[0]), range))
}

/// Samples: each has mass 1.
fn samples(ones: &[f64], epsilon: f64) -> Side<'_> {
    Side::hard(ones, false, epsilon)
}

fn in_kernel_domain<T: Real>(
    scores: &Scores<'_, T>,
    top: T,
    rounds: Rounds,
    reduce: &dyn Reduce,
    workspace: &mut Workspace<T>,
) {
    let Workspace { kernel, samples: f, base, ones, prototypes: u, total, pieces, .. } = workspace;
    if kernel.len() < scores.scores.len() {
        kernel.resize(scores.scores.len(), T::ZERO);
    }
    let kernel = &mut kernel[..scores.scores.len()];
    base.fill(-top.to_f64());
    u.fill(T::ZERO);
    sweep::fill_kernel(scores, rounds.epsilon, base, u, kernel, Some(total), pieces);
    for round in 1.. {
        reduce.sum(total);
        // u relative to its largest: only ratios matter.
        let least = total.iter().copied().fold(f64::INFINITY, f64::min);
        for (u, &mass) in u.iter_mut().zip(total.iter()) {
            *u = T::from_f64(least / mass);
        }
        if round == rounds.iterations {
            return;
        }
        sweep::kernel_rows(kernel, base, samples(ones, rounds.epsilon), u, f, total, pieces);
    }
}

fn in_log_domain<T: Real>(
    scores: &Scores<'_, T>,
    rounds: Rounds,
    reduce: &dyn Reduce,
    workspace: &mut Workspace<T>,
) {
    let epsilon = rounds.epsilon;
    // f = 0 in the first round: no sample is shifted.
    workspace.samples.fill(0.0);
    columns(scores, epsilon, reduce, workspace);
    for round in 1.. {
        for (to, &g) in workspace.prototypes.iter_mut().zip(&workspace.potentials) {
            *to = T::from_f64(g);
        }
        if round == rounds.iterations {
            return;
        }
        let Workspace { samples: f, ones, prototypes, total, pieces, .. } = workspace;
        sweep::log_rows(scores, samples(ones, epsilon), prototypes, f, total, pieces);
        reduce.sum(total);
        // Which of the two is decided by sums over all ranks, so all ranks take the same.
        let share = total.iter().sum::<f64>() / total.len() as f64;
        if total.iter().all(|&mass| mass > sweep::trusted::<T>() * share) {
            for (g, &mass) in workspace.potentials.iter_mut().zip(&workspace.total) {
                *g += epsilon * Real::ln(share / mass);
            }
        } else {
            columns(scores, epsilon, reduce, workspace);
        }
    }
}

/// g_k = −ε ln Σ_b exp((f_b + s_bk)/ε), around each prototype's own maximum, over all ranks.
fn columns<T: Real>(
    scores: &Scores<'_, T>,
    epsilon: f64,
    reduce: &dyn Reduce,
    workspace: &mut Workspace<T>,
) {
    let Workspace { samples: f, shifts, tops, potentials: g, pieces, .. } = workspace;
    for (shift, &f) in shifts.iter_mut().zip(f.iter()) {
        *shift = T::from_f64(f);
    }
    sweep::column_tops(scores, shifts, g, pieces);
    reduce.max(g);
    for (top, &g) in tops.iter_mut().zip(g.iter()) {
        *top = T::from_f64(g);
    }
    sweep::column_sums(scores, epsilon, shifts, tops, g, pieces);
    reduce.sum(g);
    for (g, top) in g.iter_mut().zip(tops) {
        *g = -(top.to_f64() + epsilon * Real::ln(*g));
    }
}

#[cfg(test)]
mod tests;

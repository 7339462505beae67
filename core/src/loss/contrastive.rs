//! Contrastive losses: NT-Xent with in-batch negatives (Chen et al. 2020, eq. 1: SimCLR), and InfoNCE
//! with a queue of negatives (He et al. 2020, eq. 1: MoCo).
//!
//! Scores of a block of 256 rows are made, turned into their own gradient and multiplied back before
//! the next block, so the memory needed is one block and not the square of the batch.

use alloc::vec::Vec;
use core::ops::Range;

use ndarray::{Array2, ArrayRef2};

use crate::chunks::{ROWS, *};
use crate::error::Error;
use crate::real::Real;
use crate::rows::{array, contiguous, row_dot, row_max, row_scale};
use crate::scores::{
    product, product_at, product_transposed, product_transposed_at, transposed_product,
};
use crate::simd::{Simd, kernel, sweep};

/// Rows whose scores exist at one time.
const BLOCK: usize = 256;

/// What the loss depends on besides the embeddings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NtXent {
    /// V, the views of an image: 2 in the paper.
    pub views: usize,
    /// Ranks whose embeddings were gathered, 1 when there is one.
    pub ranks: usize,
    /// τ, 0.1 for ImageNet and 0.5 for CIFAR in the paper.
    pub temperature: f64,
}

/// Memory of the contrastive losses, kept between calls.
#[derive(Clone, Debug, Default)]
pub struct Workspace<T> {
    /// Scores of a block, then their gradient.
    scores: Vec<T>,
    /// Partial sums of the value, one for 32 rows.
    values: Vec<f64>,
}

impl<T: Real> Workspace<T> {
    /// An empty one; the first call sizes it.
    pub fn new() -> Self {
        Workspace { scores: Vec::new(), values: Vec::new() }
    }
}

/// NT-Xent on one rank: every other embedding of the batch that is not of the same image is a
/// negative. Returns the value and the gradient with respect to the embeddings.
///
/// ```text
/// ℓ = 1/M Σ_a [ ln Σ_{j ≠ a} exp(z_a·z_j/τ) − 1/(V−1) Σ_{p} z_a·z_p/τ ]
/// ```
///
/// over the M = V·B rows a, with p the other views of a's image. For V = 2 this is SimCLR's loss with
/// its 2(B−1) negatives; for more views the mean over positives stands outside the logarithm.
///
/// # Shapes
///
/// `embeddings` and the gradient (V·B, D), view after view. Rows are used as they are: the published
/// loss has them of unit length.
///
/// # Errors
///
/// [`Error::Parameter`] for fewer than 2 views or τ not above 0; [`Error::Shape`] when the rows are not
/// V times a number of images.
///
/// # Examples
///
/// ```
/// use ndarray::array;
/// use swav_core::loss::contrastive::nt_xent;
///
/// // Two images, two views, each view of an image the same and the images at right angles:
/// // ln(e¹ + 2 e⁰) − 1 at τ = 1.
/// let z = array![[1.0_f64, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]];
/// let (value, _) = nt_xent(&z, 2, 1.0)?;
/// assert!((value - (1.0_f64.exp() + 2.0).ln() + 1.0).abs() < 1e-15);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn nt_xent<T: Real>(
    embeddings: &ArrayRef2<T>,
    views: usize,
    temperature: f64,
) -> Result<(f64, Array2<T>), Error> {
    let (rows, d) = embeddings.dim();
    let mut gradient = alloc::vec![T::ZERO; rows * d];
    let loss = NtXent { views, ranks: 1, temperature };
    let z = contiguous(embeddings);
    let value = nt_xent_into(&z, d, loss, 0..rows, &mut gradient, &mut Workspace::new())?;
    Ok((value, array((rows, d), gradient)))
}

/// [`nt_xent`] for the rows of one rank among those of all: the terms with a in `local`, divided by the
/// M of all ranks. The values of the ranks add up to the whole loss, and so do their gradients, each of
/// which has a row for every embedding of `all`.
///
/// # Shapes
///
/// `all` and `gradient` (ranks·V·B, `dimension`): rank after rank, on each rank view after view.
///
/// # Errors
///
/// As [`nt_xent`], and [`Error::Shape`] when `local` does not lie in `all`.
#[inline(never)]
pub fn nt_xent_into<T: Real>(
    all: &[T],
    dimension: usize,
    loss: NtXent,
    local: Range<usize>,
    gradient: &mut [T],
    workspace: &mut Workspace<T>,
) -> Result<f64, Error> {
    let NtXent { views, ranks, temperature } = loss;
    Error::positive("temperature", temperature)?;
    for (name, value, least) in [("views", views, 2), ("ranks", ranks, 1)] {
        if value < least {
            let requirement = if least == 2 { "at least 2" } else { "at least 1" };
            return Err(Error::Parameter { name, value: value as f64, requirement });
        }
    }
    let rows = all.len() / dimension.max(1);
    let batch = rows / (views * ranks);
    let whole = [batch * views * ranks, dimension];
    if whole[0] * dimension != all.len() {
        return Err(Error::Shape { what: "embeddings", expected: whole, found: [rows, dimension] });
    }
    if gradient.len() != all.len() {
        return Err(Error::Shape { what: "gradient", expected: whole, found: [gradient.len(), 1] });
    }
    if local.start > local.end || local.end > rows {
        let found = [local.start, local.end];
        return Err(Error::Shape { what: "local rows", expected: [0, rows], found });
    }
    gradient.fill(T::ZERO);
    let Workspace { scores, values } = workspace;
    scores.resize(BLOCK.min(local.len()) * rows, T::ZERO);
    let mut value = 0.0;
    for from in local.clone().step_by(BLOCK) {
        let to = local.end.min(from + BLOCK);
        let z = &all[from * dimension..to * dimension];
        let scores = &mut scores[..(to - from) * rows];
        product_transposed(z, all, dimension, scores);
        values.clear();
        values.resize((to - from).div_ceil(ROWS), 0.0);
        (scores.par_chunks_mut(ROWS * rows).zip(values.par_chunks_mut(1))).enumerate().for_each(
            |(piece, (scores, value))| {
                let anchors = Anchors { first: from + piece * ROWS, rows, batch, views };
                value[0] = nt_xent_rows(scores, anchors, temperature);
            },
        );
        value += values.iter().sum::<f64>();
        product(scores, all, rows, T::ONE, &mut gradient[from * dimension..to * dimension]);
        transposed_product(scores, z, dimension, T::ONE, gradient);
    }
    Ok(value / rows.max(1) as f64)
}

/// Which rows a piece of scores belongs to.
#[derive(Clone, Copy)]
struct Anchors {
    first: usize,
    rows: usize,
    batch: usize,
    views: usize,
}

impl Anchors {
    /// The other views of the image of row `anchor`.
    fn positives(self, anchor: usize) -> impl Iterator<Item = usize> {
        let Anchors { batch, views, .. } = self;
        let image = anchor % batch;
        let rank = anchor / (batch * views);
        (0..views).map(move |v| (rank * views + v) * batch + image).filter(move |&p| p != anchor)
    }
}

kernel! {
    /// Replaces the scores of some anchors by the gradient with respect to them; returns their value,
    /// not yet divided by M.
    fn nt_xent_rows<'a, T, S>(s, scores: &'a mut [T], anchors: Anchors, temperature: f64,) -> f64 {
        let factor = T::from_f64(1.0 / temperature);
        let slope = 1.0 / (anchors.rows as f64 * temperature);
        let positive = 1.0 / (anchors.views - 1) as f64;
        let mut value = 0.0;
        for (anchor, row) in (anchors.first..).zip(scores.chunks_exact_mut(anchors.rows)) {
            row[anchor] = -T::INFINITY;
            let top = row_max(s, row);
            let mut near = 0.0;
            for p in anchors.positives(anchor) {
                near += row[p].to_f64() - top.to_f64();
            }
            let sum = exp_in_place(s, row, top, factor).to_f64();
            value += Real::ln(sum) - positive * near / temperature;
            row_scale(s, row, T::from_f64(slope / sum));
            for p in anchors.positives(anchor) {
                row[p] -= T::from_f64(slope * positive);
            }
        }
        value
    }
}

/// x ← exp((x − top) · factor); returns the sum.
#[inline(always)]
fn exp_in_place<T: Real, S: Simd>(s: S, x: &mut [T], top: T, factor: T) -> T {
    let (top, factor) = (T::splat(s, top), T::splat(s, factor));
    let mut sum = T::splat(s, T::ZERO);
    sweep!(s: S, T, x.len(); read [] update [x in x, -T::INFINITY] write [] {
        let e = T::vexp(s, T::vmul(s, T::vsub(s, x, top), factor));
        sum = T::vadd(s, sum, e);
        (e,)
    });
    T::sum_lanes(s, sum)
}

/// InfoNCE: each query against its own key and a queue of negatives. Returns the value and the gradient
/// with respect to the queries; keys and negatives are constants, made by the momentum encoder.
///
/// ```text
/// ℓ = 1/N Σ_b [ ln( exp(q_b·k_b/τ) + Σ_j exp(q_b·n_j/τ) ) − q_b·k_b/τ ]
/// ```
///
/// with N = `batch_total`, the queries over all ranks.
///
/// # Shapes
///
/// `queries`, `keys` and the gradient (B, D), `negatives` (L, D).
///
/// # Errors
///
/// [`Error::Parameter`] for τ not above 0 or `batch_total` 0, [`Error::Shape`] when the arrays do not fit.
///
/// # Examples
///
/// ```
/// use ndarray::{Array2, array};
/// use swav_core::loss::contrastive::info_nce;
///
/// // A key at right angles to its query, three negatives too: ln 4.
/// let q = array![[1.0_f64, 0.0]];
/// let k = array![[0.0, 1.0]];
/// let n = array![[0.0, 1.0], [0.0, -1.0], [0.0, 1.0]];
/// let (value, _) = info_nce(&q, &k, &n, 0.2, 1)?;
/// assert!((value - 4.0_f64.ln()).abs() < 1e-15);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn info_nce<T: Real>(
    queries: &ArrayRef2<T>,
    keys: &ArrayRef2<T>,
    negatives: &ArrayRef2<T>,
    temperature: f64,
    batch_total: usize,
) -> Result<(f64, Array2<T>), Error> {
    let (rows, d) = queries.dim();
    Error::shape("keys", [rows, d], keys.dim().into())?;
    Error::shape("negatives", [negatives.nrows(), d], negatives.dim().into())?;
    let mut gradient = alloc::vec![T::ZERO; rows * d];
    let (q, k, n) = (contiguous(queries), contiguous(keys), contiguous(negatives));
    let loss = InfoNce { temperature, batch_total };
    let value = info_nce_into(&q, &k, [&n, &[]], d, loss, &mut gradient, &mut Workspace::new())?;
    Ok((value, array((rows, d), gradient)))
}

/// What [`info_nce_into`] depends on besides its arrays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InfoNce {
    /// τ, 0.07 in the paper, 0.2 in its second version.
    pub temperature: f64,
    /// Queries over all ranks and micro-batches.
    pub batch_total: usize,
}

/// [`info_nce`] on slices. The negatives come in two pieces because that is how
/// [`Queue::view`](crate::Queue::view) gives them; either may be empty.
///
/// # Errors
///
/// As [`info_nce`].
#[inline(never)]
pub fn info_nce_into<T: Real>(
    queries: &[T],
    keys: &[T],
    negatives: [&[T]; 2],
    dimension: usize,
    loss: InfoNce,
    gradient: &mut [T],
    workspace: &mut Workspace<T>,
) -> Result<f64, Error> {
    Error::positive("temperature", loss.temperature)?;
    if loss.batch_total == 0 {
        let requirement = "at least 1";
        return Err(Error::Parameter { name: "batch_total", value: 0.0, requirement });
    }
    let d = dimension.max(1);
    let rows = queries.len() / d;
    for (what, x) in [("queries", queries), ("keys", keys), ("gradient", &*gradient)] {
        if x.len() != rows * d {
            return Err(Error::Shape { what, expected: [rows, d], found: [x.len(), 1] });
        }
    }
    let counts = negatives.map(|n| n.len() / d);
    for (n, count) in negatives.iter().zip(counts) {
        if n.len() != count * d {
            let expected = [count, d];
            return Err(Error::Shape { what: "negatives", expected, found: [n.len(), 1] });
        }
    }
    let width = counts[0] + counts[1];
    gradient.fill(T::ZERO);
    if width == 0 || rows == 0 {
        return Ok(0.0);
    }
    let Workspace { scores, values } = workspace;
    scores.resize(BLOCK.min(rows) * width, T::ZERO);
    let parts = [(negatives[0], 0), (negatives[1], counts[0])];
    let parts = parts.into_iter().filter(|(n, _)| !n.is_empty());
    let mut value = 0.0;
    let blocks = queries.chunks(BLOCK * d).zip(keys.chunks(BLOCK * d));
    for ((q, k), dq) in blocks.zip(gradient.chunks_mut(BLOCK * d)) {
        let scores = &mut scores[..q.len() / d * width];
        for (n, from) in parts.clone() {
            product_transposed_at(q, n, d, scores, width, from);
        }
        values.clear();
        values.resize((q.len() / d).div_ceil(ROWS), 0.0);
        (q.par_chunks(ROWS * d).zip(k.par_chunks(ROWS * d)))
            .zip(scores.par_chunks_mut(ROWS * width).zip(dq.par_chunks_mut(ROWS * d)))
            .zip(values.par_chunks_mut(1))
            .for_each(|(((q, k), (scores, dq)), value)| {
                value[0] = info_nce_rows(q, k, d, loss, scores, width, dq);
            });
        value += values.iter().sum::<f64>();
        for (n, from) in parts.clone() {
            product_at(scores, width, from, n, d, T::ONE, dq);
        }
    }
    Ok(value / loss.batch_total as f64)
}

kernel! {
    /// Replaces the negatives' scores of some queries by the gradient with respect to them, and the
    /// queries' gradient by the part that comes from the keys.
    fn info_nce_rows<'a, T, S>(
        s, queries: &'a [T], keys: &'a [T], dimension: usize, loss: InfoNce,
        scores: &'a mut [T], width: usize, gradient: &'a mut [T],
    ) -> f64 {
        let factor = T::from_f64(1.0 / loss.temperature);
        let slope = 1.0 / (loss.batch_total as f64 * loss.temperature);
        let mut value = 0.0;
        let pairs = queries.chunks_exact(dimension).zip(keys.chunks_exact(dimension));
        let outputs = scores.chunks_exact_mut(width).zip(gradient.chunks_exact_mut(dimension));
        for ((q, k), (row, dq)) in pairs.zip(outputs) {
            let positive = row_dot(s, q, k);
            let top = row_max(s, row).max(positive);
            let near = (positive.to_f64() - top.to_f64()) / loss.temperature;
            let others = exp_in_place(s, row, top, factor).to_f64();
            let sum = others + Real::exp(near);
            value += Real::ln(sum) - near;
            row_scale(s, row, T::from_f64(slope / sum));
            // exp(near)/sum − 1, without the cancellation
            dq.copy_from_slice(k);
            row_scale(s, dq, T::from_f64(-slope * others / sum));
        }
        value
    }
}

#[cfg(test)]
mod tests;

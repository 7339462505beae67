//! Nearest neighbours: the cheapest honest figure of a representation.
//!
//! Features are scaled to unit length; the k training rows of largest cosine vote for their class with weight
//! exp(cosine / temperature) (Wu et al. 2018; the protocol of DINO's `eval_knn.py`). The search is exact.
//! Ties are decided, so a figure has no luck in it: of equally near rows the lower index is nearer, of equally
//! supported classes the lower one wins.
//!
//! Work is cut into blocks that depend on the shapes only and runs in the rayon pool it is called from: the
//! same bits for any number of threads.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayRef2, Axis, s};
use rayon::prelude::*;

use crate::error::{Error, Result};

/// Query rows of one block.
const QUERIES: usize = 64;
/// Training rows compared with a block of queries at once.
const TILE: usize = 1024;

/// Accuracy with `k` neighbours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnnScore {
    /// Neighbours asked for; all rows vote when there are fewer.
    pub k: usize,
    /// Share of rows whose class has the largest vote.
    pub top1: f64,
    /// Share of rows whose class is among the five largest votes; a class without any neighbour has none.
    pub top5: f64,
}

/// One neighbour of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Row of the training features.
    pub index: u32,
    /// Cosine of the angle between the two.
    pub cosine: f32,
}

/// Accuracy on `val` by its neighbours in `train`, for each of `ks`.
///
/// ```text
/// class of a row = argmax_c  Σ_{j among its k nearest, y_j = c} exp((cos_j − cos_1) / temperature)
/// ```
///
/// Subtracting the largest cosine of the row changes no order and keeps any temperature finite.
///
/// # Shapes
/// `train` (N, D), `train_labels` (N), `val` (M, D), `val_labels` (M).
///
/// # Errors
/// `Config` for no or zero k or a temperature not above 0, `Data` for no rows or rows without a label,
/// `Diverged` for features that are not finite.
///
/// # Panics
/// If the shapes disagree.
pub fn knn(
    train: &ArrayRef2<f32>,
    train_labels: &[i32],
    val: &ArrayRef2<f32>,
    val_labels: &[i32],
    ks: &[usize],
    temperature: f64,
) -> Result<Vec<KnnScore>> {
    check(train_labels, val_labels, ks, temperature)?;
    let near = nearest(train, val, *ks.iter().max().expect("checked above"))?;
    Ok(vote(&near, train_labels, val_labels, ks, temperature))
}

/// The same within one set: each row is scored by its neighbours among all *other* rows.
///
/// # Errors
/// As [`knn`].
///
/// # Panics
/// If the shapes disagree.
pub fn knn_within(
    features: &ArrayRef2<f32>,
    labels: &[i32],
    ks: &[usize],
    temperature: f64,
) -> Result<Vec<KnnScore>> {
    check(labels, labels, ks, temperature)?;
    let near = nearest_within(features, *ks.iter().max().expect("checked above"))?;
    Ok(vote(&near, labels, labels, ks, temperature))
}

fn check(train: &[i32], val: &[i32], ks: &[usize], temperature: f64) -> Result<()> {
    if ks.is_empty() || ks.contains(&0) {
        return Err(Error::config("--k", format!("{ks:?}"), "one or more numbers of at least 1"));
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(Error::config("--temperature", temperature.to_string(), "0.07"));
    }
    for (what, labels) in [("the training set", train), ("the validation set", val)] {
        if labels.is_empty() || labels.iter().any(|&l| l < 0) {
            let without = labels.iter().filter(|&&l| l < 0).count();
            return Err(Error::data(
                what,
                format!("{without} of its {} images have no label", labels.len()),
                "a folder with one subfolder per class, an IDX pair with labels, or a list file with labels",
            ));
        }
    }
    Ok(())
}

/// Rows scaled to unit length (sums in f64); a row of zeros stays.
///
/// # Errors
/// `Diverged` for a row that is not finite.
pub fn unit_rows(x: &ArrayRef2<f32>) -> Result<Array2<f32>> {
    let mut unit = x.to_owned();
    for (i, mut row) in unit.rows_mut().into_iter().enumerate() {
        let square: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        if !square.is_finite() {
            return Err(Error::diverged(
                "features",
                format!("row {i} holds a value that is not finite"),
                "an earlier checkpoint",
            ));
        }
        if square > 0.0 {
            let scale = 1.0 / square.sqrt();
            row.mapv_inplace(|v| (f64::from(v) * scale) as f32);
        }
    }
    Ok(unit)
}

/// The `k` nearest rows of `train` for each row of `queries`, nearest first.
///
/// # Errors
/// `Diverged` for features that are not finite.
///
/// # Panics
/// If the widths differ.
pub fn nearest(
    train: &ArrayRef2<f32>,
    queries: &ArrayRef2<f32>,
    k: usize,
) -> Result<Vec<Vec<Neighbour>>> {
    Ok(search(&unit_rows(train)?, &unit_rows(queries)?, k, false))
}

/// The `k` nearest *other* rows for each row, nearest first.
///
/// # Errors
/// `Diverged` for features that are not finite.
pub fn nearest_within(features: &ArrayRef2<f32>, k: usize) -> Result<Vec<Vec<Neighbour>>> {
    let unit = unit_rows(features)?;
    Ok(search(&unit, &unit, k, true))
}

fn search(
    train: &Array2<f32>,
    queries: &Array2<f32>,
    k: usize,
    leave_self: bool,
) -> Vec<Vec<Neighbour>> {
    assert!(
        train.ncols() == queries.ncols() && u32::try_from(train.nrows()).is_ok(),
        "neighbours of {:?} in {:?}",
        queries.dim(),
        train.dim()
    );
    let blocks: Vec<_> = queries.axis_chunks_iter(Axis(0), QUERIES).enumerate().collect();
    let found: Vec<Vec<Vec<Neighbour>>> = blocks
        .into_par_iter()
        .map(|(block, q)| {
            let mut best = vec![Best::new(k); q.nrows()];
            let mut cosines = Array2::zeros((q.nrows(), TILE));
            for (tile, t) in train.axis_chunks_iter(Axis(0), TILE).enumerate() {
                let mut cosines = cosines.slice_mut(s![.., ..t.nrows()]);
                general_mat_mul(1.0, &q, &t.t(), 0.0, &mut cosines);
                for (row, (best, cosines)) in best.iter_mut().zip(cosines.rows()).enumerate() {
                    let itself = leave_self.then_some(block * QUERIES + row);
                    for (j, &cosine) in cosines.iter().enumerate() {
                        let index = tile * TILE + j;
                        if cosine > best.floor && Some(index) != itself {
                            best.push(Neighbour { index: index as u32, cosine });
                        }
                    }
                }
            }
            best.into_iter().map(Best::finish).collect()
        })
        .collect();
    found.into_iter().flatten().collect()
}

/// The k largest of a stream that arrives by ascending index: a buffer of twice that, cut when full.
#[derive(Debug, Clone)]
struct Best {
    k: usize,
    /// Nothing at or below this can be among the best: k values above or equal came earlier.
    floor: f32,
    kept: Vec<Neighbour>,
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, floor: f32::NEG_INFINITY, kept: Vec::new() }
    }

    fn push(&mut self, n: Neighbour) {
        self.kept.push(n);
        if self.kept.len() == 2 * self.k {
            self.kept.select_nth_unstable_by(self.k - 1, order);
            self.kept.truncate(self.k);
            self.floor = self.kept[self.k - 1].cosine;
        }
    }

    fn finish(mut self) -> Vec<Neighbour> {
        self.kept.sort_unstable_by(order);
        self.kept.truncate(self.k);
        self.kept
    }
}

/// Nearest first; of equals the lower index.
fn order(a: &Neighbour, b: &Neighbour) -> std::cmp::Ordering {
    b.cosine.total_cmp(&a.cosine).then(a.index.cmp(&b.index))
}

fn vote(
    near: &[Vec<Neighbour>],
    train_labels: &[i32],
    val_labels: &[i32],
    ks: &[usize],
    temperature: f64,
) -> Vec<KnnScore> {
    assert!(near.len() == val_labels.len(), "{} rows, {} labels", near.len(), val_labels.len());
    let classes = 1 + *train_labels.iter().max().expect("checked by the caller") as usize;
    ks.iter()
        .map(|&k| {
            let ranks: Vec<usize> = near
                .par_iter()
                .zip(val_labels)
                .map_init(
                    || vec![0.0; classes],
                    |votes, (near, &label)| {
                        rank(&near[..k.min(near.len())], train_labels, label, temperature, votes)
                    },
                )
                .collect();
            let share = |below: usize| {
                ranks.iter().filter(|&&r| r < below).count() as f64 / ranks.len() as f64
            };
            KnnScore { k, top1: share(1), top5: share(5) }
        })
        .collect()
}

/// Number of classes that are preferred to `label`; `usize::MAX` when no neighbour has it. `votes` is all zeros,
/// before and after.
fn rank(
    near: &[Neighbour],
    labels: &[i32],
    label: i32,
    temperature: f64,
    votes: &mut [f64],
) -> usize {
    let Some(first) = near.first() else { return usize::MAX };
    let class = |n: &Neighbour| labels[n.index as usize] as usize;
    for n in near {
        votes[class(n)] += ((f64::from(n.cosine) - f64::from(first.cosine)) / temperature).exp();
    }
    // A class of neighbours whose weights all underflow still has neighbours: it is seen below by name.
    let own = near.iter().any(|n| labels[n.index as usize] == label);
    let mut preferred = 0;
    let vote = votes.get(label as usize).copied().unwrap_or(0.0);
    let mut seen: Vec<usize> = near.iter().map(class).collect();
    seen.sort_unstable();
    seen.dedup();
    for c in seen {
        preferred += usize::from(votes[c] > vote || (votes[c] == vote && c < label as usize));
        votes[c] = 0.0;
    }
    if own { preferred } else { usize::MAX }
}

#[cfg(test)]
#[path = "knn_tests.rs"]
mod tests;

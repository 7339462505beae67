//! The linear probe: multinomial logistic regression on fixed features, deterministic and in minutes.
//!
//! ```text
//! minimise over W (C, D) and b (C):   (1/N) Σ_i [ log Σ_c exp(w_c·x_i + b_c) − (w_{y_i}·x_i + b_{y_i}) ]  +  (λ/2) ‖W‖²
//! ```
//!
//! x are the features, standardised with the mean and the deviation of the training rows (a dimension that does
//! not vary is dropped to 0) and divided by √D, so that a row has norm about 1 whatever the width and λ means
//! the same for every model. λ is the one of [`PENALTIES`] with the best accuracy on a held-out fifth of the
//! training rows (of equals the smaller loss there); with it the problem is solved again on all of them.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayRef2, Axis, s};
use rayon::prelude::*;

use super::lbfgs::minimise;
use crate::error::{Error, Result};
use crate::rng::{Stream, Use};

/// Penalties λ that are tried, from strong to weak; each start is the solution of the one before.
pub const PENALTIES: [f64; 8] = [1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6, 1e-7];
/// Steps of one minimisation.
const ITERATIONS: usize = 300;
/// Largest entry of the gradient at which a minimisation ends; the loss is of order 1.
const TOLERANCE: f64 = 1e-6;
/// Rows of one product.
const ROWS: usize = 256;
/// Partial gradients at most: their number depends on the rows only, so the sum has the same bits on any machine.
const PARTS: usize = 16;

/// What the probe found.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeScore {
    /// Accuracy on the validation rows.
    pub top1: f64,
    /// λ that was chosen.
    pub penalty: f64,
    /// Accuracy on the held-out fifth for each of [`PENALTIES`].
    pub held_out: Vec<f64>,
}

/// Chooses λ on a held-out fifth of `train`, solves on all of it, and scores `val`. Runs in the rayon pool it is
/// called from, with the same bits for any number of threads.
///
/// # Shapes
/// `train` (N, D), `train_labels` (N), `val` (M, D), `val_labels` (M).
///
/// # Errors
/// `Data` for fewer than 10 training rows, fewer than two classes or rows without a label; `Diverged` for
/// features that are not finite.
///
/// # Panics
/// If the shapes disagree.
pub fn probe(
    train: &ArrayRef2<f32>,
    train_labels: &[i32],
    val: &ArrayRef2<f32>,
    val_labels: &[i32],
    seed: u64,
) -> Result<ProbeScore> {
    let (n, m) = (train_labels.len(), val_labels.len());
    assert!(
        train.nrows() == n && val.nrows() == m && train.ncols() == val.ncols(),
        "probe of {:?} with {n} labels against {:?} with {m}",
        train.dim(),
        val.dim()
    );
    let classes = classes(train_labels, val_labels)?;
    let (train, val) = standardise(train, val)?;
    let (kept, held) = split(n, seed);
    let fit_on = Problem::new(&train, train_labels, &kept, classes);
    let chosen_on = Problem::new(&train, train_labels, &held, classes);
    let mut weights = vec![0.0; classes * (train.ncols() + 1)];
    let mut held_out = Vec::new();
    let mut best: Option<(f64, f64, f64, Vec<f64>)> = None;
    for &penalty in &PENALTIES {
        weights = fit_on.solve(weights, penalty);
        let (accuracy, loss) = chosen_on.score(&weights);
        held_out.push(accuracy);
        if best.as_ref().is_none_or(|(a, l, ..)| (accuracy, -loss) > (*a, -*l)) {
            best = Some((accuracy, loss, penalty, weights.clone()));
        }
    }
    let (_, _, penalty, start) = best.expect("at least one penalty was tried");
    let all: Vec<usize> = (0..n).collect();
    let weights = Problem::new(&train, train_labels, &all, classes).solve(start, penalty);
    let rows: Vec<usize> = (0..m).collect();
    let (top1, _) = Problem::new(&val, val_labels, &rows, classes).score(&weights);
    Ok(ProbeScore { top1, penalty, held_out })
}

fn classes(train: &[i32], val: &[i32]) -> Result<usize> {
    let hint = "a folder with one subfolder per class, an IDX pair with labels, or a list file with labels";
    for (what, labels) in [("the training set", train), ("the validation set", val)] {
        if labels.is_empty() || labels.iter().any(|&l| l < 0) {
            let without = labels.iter().filter(|&&l| l < 0).count();
            let why = format!("{without} of its {} images have no label", labels.len());
            return Err(Error::data(what, why, hint));
        }
    }
    let largest = train.iter().chain(val).max().copied().unwrap_or(0);
    if train.len() < 10 || train.iter().all(|&l| l == train[0]) {
        let why = format!("{} images; a probe needs 10 or more, of two classes", train.len());
        return Err(Error::data("the training set", why, hint));
    }
    Ok(largest as usize + 1)
}

/// Rows that stay and rows that are held out: the fifth with the smallest draws. Both sorted.
fn split(n: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_cached_key(|&i| (Stream::new(seed, Use::Split, i as u64).bits64(), i));
    let mut kept = order.split_off(n / 5);
    kept.sort_unstable();
    order.sort_unstable();
    (kept, order)
}

/// Both sets on the scale of the training rows, divided by √D.
fn standardise(train: &ArrayRef2<f32>, val: &ArrayRef2<f32>) -> Result<(Array2<f32>, Array2<f32>)> {
    if let Some(i) =
        train.rows().into_iter().chain(val.rows()).position(|r| !r.iter().all(|v| v.is_finite()))
    {
        let why = format!("row {i} holds a value that is not finite");
        return Err(Error::diverged("features", why, "an earlier checkpoint"));
    }
    let (n, width) = (train.nrows() as f64, train.ncols());
    let mut mean = vec![0.0; width];
    let mut square = vec![0.0; width];
    for row in train.rows() {
        mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v) / n);
    }
    for row in train.rows() {
        for ((s, m), &v) in square.iter_mut().zip(&mean).zip(row) {
            *s += (f64::from(v) - m).powi(2) / n;
        }
    }
    // A dimension whose spread is rounding of its mean carries nothing.
    let scale: Vec<f64> = square
        .iter()
        .zip(&mean)
        .map(|(&s, m)| {
            let noise = f64::from(f32::EPSILON) * m.abs();
            if s.sqrt() > noise { 1.0 / (s * width as f64).sqrt() } else { 0.0 }
        })
        .collect();
    let apply = |x: &ArrayRef2<f32>| {
        let mut y = x.to_owned();
        for mut row in y.rows_mut() {
            for ((v, m), s) in row.iter_mut().zip(&mean).zip(&scale) {
                *v = ((f64::from(*v) - m) * s) as f32;
            }
        }
        y
    };
    Ok((apply(train), apply(val)))
}

/// The regression on some rows of a set of features.
struct Problem<'a> {
    features: &'a Array2<f32>,
    labels: &'a [i32],
    rows: &'a [usize],
    classes: usize,
}

/// What one part of the rows adds: loss, correct answers, gradient `[C, D + 1]`.
struct Part {
    loss: f64,
    correct: usize,
    gradient: Array2<f64>,
}

impl<'a> Problem<'a> {
    fn new(
        features: &'a Array2<f32>,
        labels: &'a [i32],
        rows: &'a [usize],
        classes: usize,
    ) -> Self {
        Self { features, labels, rows, classes }
    }

    fn solve(&self, start: Vec<f64>, penalty: f64) -> Vec<f64> {
        minimise(|w, g| self.loss(w, penalty, g), start, TOLERANCE, ITERATIONS).x
    }

    /// Accuracy and mean loss without penalty.
    fn score(&self, weights: &[f64]) -> (f64, f64) {
        let parts = self.parts(weights, false);
        let n = self.rows.len().max(1) as f64;
        let correct: usize = parts.iter().map(|p| p.correct).sum();
        (correct as f64 / n, parts.iter().map(|p| p.loss).sum::<f64>() / n)
    }

    /// The function that is minimised, and its gradient. The bias is the last column of W and is not penalised.
    fn loss(&self, weights: &[f64], penalty: f64, gradient: &mut [f64]) -> f64 {
        let n = self.rows.len() as f64;
        let mut loss = 0.0;
        gradient.fill(0.0);
        for part in self.parts(weights, true) {
            loss += part.loss / n;
            gradient.iter_mut().zip(&part.gradient).for_each(|(g, p)| *g += p / n);
        }
        let columns = self.features.ncols() + 1;
        for (w, g) in weights.chunks_exact(columns).zip(gradient.chunks_exact_mut(columns)) {
            for (w, g) in w[..columns - 1].iter().zip(g) {
                loss += 0.5 * penalty * w * w;
                *g += penalty * w;
            }
        }
        loss
    }

    fn parts(&self, weights: &[f64], want_gradient: bool) -> Vec<Part> {
        let columns = self.features.ncols() + 1;
        let weights = ndarray::ArrayView2::from_shape((self.classes, columns), weights)
            .expect("weights are (classes, width + 1)");
        let size = self.rows.len().div_ceil(PARTS).next_multiple_of(ROWS);
        let parts: Vec<&[usize]> = self.rows.chunks(size).collect();
        parts
            .into_par_iter()
            .map(|rows| {
                let kept = if want_gradient { self.classes } else { 0 };
                let gradient = Array2::zeros((kept, columns));
                let mut part = Part { loss: 0.0, correct: 0, gradient };
                let mut x = Array2::ones((ROWS, columns));
                let mut scores = Array2::zeros((ROWS, self.classes));
                for rows in rows.chunks(ROWS) {
                    let mut x = x.slice_mut(s![..rows.len(), ..]);
                    let mut scores = scores.slice_mut(s![..rows.len(), ..]);
                    for (mut x, &row) in x.axis_iter_mut(Axis(0)).zip(rows) {
                        x.iter_mut()
                            .zip(self.features.row(row))
                            .for_each(|(x, &f)| *x = f64::from(f));
                    }
                    general_mat_mul(1.0, &x, &weights.t(), 0.0, &mut scores);
                    for (mut scores, &row) in scores.rows_mut().into_iter().zip(rows) {
                        let scores = scores.as_slice_mut().expect("rows are contiguous");
                        self.softmax(scores, self.labels[row] as usize, &mut part);
                    }
                    if want_gradient {
                        general_mat_mul(1.0, &scores.t(), &x, 1.0, &mut part.gradient);
                    }
                }
                part
            })
            .collect()
    }

    /// Adds the loss of one row and replaces its scores by their gradient: softmax − one-hot.
    fn softmax(&self, scores: &mut [f64], label: usize, part: &mut Part) {
        let (mut top, mut best) = (f64::NEG_INFINITY, 0);
        for (c, &s) in scores.iter().enumerate() {
            if s > top {
                (top, best) = (s, c);
            }
        }
        let own = scores[label];
        let mut sum = 0.0;
        for s in scores.iter_mut() {
            *s = (*s - top).exp();
            sum += *s;
        }
        part.loss += sum.ln() + top - own;
        part.correct += usize::from(best == label);
        scores.iter_mut().for_each(|s| *s /= sum);
        scores[label] -= 1.0;
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;

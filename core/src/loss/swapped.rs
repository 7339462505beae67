//! Swapped prediction: each view predicts the codes of the others (Caron et al. 2020, eq. 1 and 2,
//! and section 3.3 for more than two views).

use alloc::vec::Vec;

use ndarray::{Array2, ArrayRef2};

use crate::chunks::{ROWS, *};
use crate::error::Error;
use crate::real::Real;
use crate::rows::{array, contiguous, row_exp, row_max};
use crate::simd::{Simd, kernel, sweep};

/// What the loss depends on besides scores and codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Swapped<'a> {
    /// V, the views of an image: 8 for two large and six small crops.
    pub views: usize,
    /// The views whose codes are predicted, in the order of the codes: `[0, 1]` in the paper.
    pub assign: &'a [usize],
    /// τ, 0.1 in the paper.
    pub temperature: f64,
    /// Images over all ranks and micro-batches; the loss is a mean over them.
    pub batch_total: usize,
}

/// The swapped-prediction loss and its gradient with respect to the scores.
///
/// ```text
/// ℓ = 1/A Σ_i 1/(V−1) Σ_{v ≠ i} 1/N Σ_b − Σ_k q_bk ln softmax(s_v / τ)_bk
/// ```
///
/// over the A assigned views i and all views v, with q the codes of view i and N = `batch_total`. No
/// gradient passes through the codes.
///
/// # Shapes
///
/// `scores` and the gradient (V·B, K), view after view; `codes` (A·B, K), assigned view after view.
///
/// # Errors
///
/// [`Error::Parameter`] for fewer than 2 views, no assigned view or one that does not exist, τ not
/// above 0, or no images in all; [`Error::Shape`] when scores or codes do not fit V, A and K.
///
/// # Examples
///
/// ```
/// use ndarray::{Array2, array};
/// use swav_core::loss::swapped::{Swapped, swapped};
///
/// // One image, two views, three prototypes: scores that say nothing cost ln 3.
/// let loss = Swapped { views: 2, assign: &[0, 1], temperature: 0.1, batch_total: 1 };
/// let codes = array![[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]];
/// let (value, gradient) = swapped(&Array2::<f64>::zeros((2, 3)), &codes, loss)?;
/// assert!((value - 3.0_f64.ln()).abs() < 1e-15);
/// assert!(gradient.row(0).sum().abs() < 1e-15);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn swapped<T: Real>(
    scores: &ArrayRef2<T>,
    codes: &ArrayRef2<T>,
    loss: Swapped<'_>,
) -> Result<(f64, Array2<T>), Error> {
    Error::shape("codes", [codes.nrows(), scores.ncols()], codes.dim().into())?;
    let mut gradient = alloc::vec![T::ZERO; scores.len()];
    let (s, q) = (contiguous(scores), contiguous(codes));
    let value = swapped_into(&s, scores.ncols(), &q, loss, &mut gradient, &mut Vec::new())?;
    Ok((value, array(scores.dim(), gradient)))
}

/// [`swapped`] on slices: the gradient is written to `gradient`, the value returned.
///
/// `scratch` holds the partial sums of the value, one number for 32 rows; it is sized on the first
/// call and can be used again.
///
/// # Errors
///
/// As [`swapped`].
#[inline(never)]
pub fn swapped_into<T: Real>(
    scores: &[T],
    prototypes: usize,
    codes: &[T],
    loss: Swapped<'_>,
    gradient: &mut [T],
    scratch: &mut Vec<f64>,
) -> Result<f64, Error> {
    let Swapped { views, assign, temperature, batch_total } = loss;
    Error::positive("temperature", temperature)?;
    let refuse = |name, value: usize, requirement| {
        Err(Error::Parameter { name, value: value as f64, requirement })
    };
    if views < 2 {
        return refuse("views", views, "at least 2, so that one can predict another");
    }
    if assign.is_empty() {
        return refuse("assigned views", 0, "at least 1");
    }
    if let Some(&i) = assign.iter().find(|&&i| i >= views) {
        return refuse("assigned view", i, "below the number of views");
    }
    if batch_total == 0 {
        return refuse("batch_total", 0, "at least 1");
    }
    let batch = scores.len() / (views * prototypes).max(1);
    let whole = [views * batch, prototypes];
    if whole[0] * prototypes != scores.len() {
        return Err(Error::Shape { what: "scores", expected: whole, found: [scores.len(), 1] });
    }
    if codes.len() != assign.len() * batch * prototypes {
        let expected = [assign.len() * batch, prototypes];
        return Err(Error::Shape { what: "codes", expected, found: [codes.len(), 1] });
    }
    if gradient.len() != scores.len() {
        return Err(Error::Shape { what: "gradient", expected: whole, found: [gradient.len(), 1] });
    }
    if scores.is_empty() {
        return Ok(0.0);
    }
    let weight = 1.0 / (assign.len() * (views - 1)) as f64 / batch_total as f64;
    scratch.clear();
    scratch.resize(whole[0].div_ceil(ROWS), 0.0);
    let size = ROWS * prototypes;
    (scores.par_chunks(size).zip(gradient.par_chunks_mut(size)))
        .zip(scratch.par_chunks_mut(1))
        .enumerate()
        .for_each(|(piece, ((s, ds), value))| {
            let rows = Rows { first: piece * ROWS, batch, assign, codes, temperature, weight };
            value[0] = swapped_rows(s, prototypes, rows, ds);
        });
    Ok(scratch.iter().sum::<f64>() * weight)
}

/// Where the rows of one piece stand, and what they are measured against.
#[derive(Clone, Copy)]
struct Rows<'a, T> {
    first: usize,
    batch: usize,
    assign: &'a [usize],
    codes: &'a [T],
    temperature: f64,
    weight: f64,
}

impl<'a, T> Rows<'a, T> {
    /// The codes that a row predicts.
    #[inline(always)]
    fn targets(&self, row: usize, columns: usize) -> impl Iterator<Item = &'a [T]> {
        let (view, image) = (row / self.batch, row % self.batch);
        let (batch, codes) = (self.batch, self.codes);
        let assigned = self.assign.iter().enumerate().filter(move |&(_, &i)| i != view);
        assigned.map(move |(i, _)| &codes[(i * batch + image) * columns..][..columns])
    }
}

kernel! {
    /// Writes the gradient of some rows, returns their value without its weight.
    fn swapped_rows<'a, T, S>(
        s, scores: &'a [T], columns: usize, rows: Rows<'a, T>, gradient: &'a mut [T],
    ) -> f64 {
        let factor = T::from_f64(1.0 / rows.temperature);
        let slope = rows.weight / rows.temperature;
        let mut value = 0.0;
        let each = scores.chunks_exact(columns).zip(gradient.chunks_exact_mut(columns));
        for (row, (x, dx)) in (rows.first..).zip(each) {
            let top = row_max(s, x);
            let sum = row_exp(s, x, top, factor, dx).to_f64();
            // Σ q and Σ q (s − top) of all targets. The first is their number, but for rounding; the
            // exact one keeps value and gradient each other's derivative.
            let (mut mass, mut dot) = (0.0, 0.0);
            for q in rows.targets(row, columns) {
                let (m, d) = mass_and_dot(s, q, x, top);
                mass += m;
                dot += d;
            }
            value += mass * Real::ln(sum) - dot / rows.temperature;
            // slope · (mass · softmax − Σ q)
            let softmax = T::splat(s, T::from_f64(slope * mass / sum));
            let minus = T::splat(s, T::from_f64(-slope));
            let mut scale = softmax;
            let one = T::splat(s, T::ONE);
            for q in rows.targets(row, columns) {
                sweep!(s: S, T, columns; read [q in q, T::ZERO] update [d in dx, T::ZERO] write [] {
                    (T::vfma(s, q, minus, T::vmul(s, d, scale)),)
                });
                scale = one;
            }
            if mass == 0.0 {
                dx.fill(T::ZERO);
            }
        }
        value
    }
}

/// Σ q and Σ q (x − top).
#[inline(always)]
fn mass_and_dot<T: Real, S: Simd>(s: S, q: &[T], x: &[T], top: T) -> (f64, f64) {
    let top = T::splat(s, top);
    let (mut mass, mut dot) = (T::splat(s, T::ZERO), T::splat(s, T::ZERO));
    sweep!(s: S, T, q.len(); read [q in q, T::ZERO; x in x, T::ZERO] update [] write [] {
        mass = T::vadd(s, mass, q);
        dot = T::vfma(s, q, T::vsub(s, x, top), dot);
    });
    (T::sum_lanes(s, mass).to_f64(), T::sum_lanes(s, dot).to_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::{central, directional, uniform};
    use crate::rows::{log_softmax, softmax};
    use proptest::prelude::*;

    /// The definition, plainly.
    fn plain(scores: &Array2<f64>, q: &Array2<f64>, loss: Swapped<'_>) -> f64 {
        let batch = scores.nrows() / loss.views;
        let logs = log_softmax(&(scores / loss.temperature));
        let mut value = 0.0;
        for (a, &i) in loss.assign.iter().enumerate() {
            for v in (0..loss.views).filter(|&v| v != i) {
                for b in 0..batch {
                    value -= q.row(a * batch + b).dot(&logs.row(v * batch + b));
                }
            }
        }
        value / (loss.assign.len() * (loss.views - 1) * loss.batch_total) as f64
    }

    fn problem() -> impl Strategy<Value = (Array2<f64>, Array2<f64>, usize, Vec<usize>)> {
        (2_usize..6, 1_usize..20, 1_usize..37, any::<u64>()).prop_flat_map(|(v, b, k, seed)| {
            let assign = proptest::sample::subsequence((0..v).collect::<Vec<_>>(), 1..=v);
            assign.prop_map(move |assign| {
                let scores = uniform(seed, (v * b, k)) * 2.0;
                let q = softmax(&(uniform(seed ^ 1, (assign.len() * b, k)) * 9.0));
                (scores, q, v, assign)
            })
        })
    }

    proptest! {
        #[test]
        fn value_and_gradient_are_those_of_the_definition(
            (scores, q, views, assign) in problem(), temperature in 0.05..2.0, total in 1_usize..99,
        ) {
            let loss = Swapped { views, assign: &assign, temperature, batch_total: total };
            let (value, gradient) = swapped(&scores, &q, loss).unwrap();
            let truth = plain(&scores, &q, loss);
            prop_assert!((value - truth).abs() <= 1e-13 * truth.abs().max(1.0));

            let direction = uniform(5, scores.dim());
            let at = |t: f64| plain(&(&scores + &(&direction * t)), &q, loss);
            directional(&(&gradient * total as f64), &direction,
                central(at, 1e-3 * temperature) * total as f64, 1e-7);
            for row in gradient.rows() {
                prop_assert!(row.sum().abs() <= 1e-14 / temperature);
            }
        }

        #[test]
        fn the_entropy_of_the_codes_is_the_least_loss((scores, q, views, assign) in problem()) {
            let batch = scores.nrows() / views;
            let loss = Swapped { views, assign: &assign, temperature: 0.1, batch_total: batch };
            let entropy = -q.iter().map(|q| q * q.ln()).sum::<f64>() / (assign.len() * batch) as f64;
            prop_assert!(swapped(&scores, &q, loss).unwrap().0 >= entropy - 1e-12);
        }

        #[test]
        fn ranks_add_up_to_one((scores, q, views, assign) in problem()) {
            let batch = scores.nrows() / views;
            let loss = Swapped { views, assign: &assign, temperature: 0.1, batch_total: batch };
            let part = |x: &Array2<f64>, from: usize, to: usize| {
                let (n, k) = x.dim();
                let rows: Vec<f64> = (0..n / batch)
                    .flat_map(|v| (from..to).map(move |b| v * batch + b))
                    .flat_map(|r| x.row(r).to_vec())
                    .collect();
                Array2::from_shape_vec((n / batch * (to - from), k), rows).unwrap()
            };
            let cut = batch / 2;
            let value: f64 = [(0, cut), (cut, batch)]
                .map(|(from, to)| {
                    swapped(&part(&scores, from, to), &part(&q, from, to), loss).unwrap().0
                })
                .iter()
                .sum();
            let whole = swapped(&scores, &q, loss).unwrap().0;
            prop_assert!((value - whole).abs() <= 1e-13 * whole);
        }
    }

    #[test]
    fn f32_follows_f64() {
        let (scores, q) = (uniform(1, (8 * 70, 300)), softmax(&(uniform(2, (140, 300)) * 20.0)));
        let loss = Swapped { views: 8, assign: &[0, 1], temperature: 0.1, batch_total: 70 };
        let (value, gradient) = swapped(&scores, &q, loss).unwrap();
        let single = |x: &Array2<f64>| x.mapv(|x| x as f32);
        let (v, g) = swapped(&single(&scores), &single(&q), loss).unwrap();
        // Scores of size ½ rounded, over τ: 5 units a term, and sums of 300 terms in 4 lanes or more.
        let unit = f32::EPSILON as f64;
        assert!((v - value).abs() <= 80.0 * unit * value);
        let most = gradient.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        assert!(g.iter().zip(&gradient).all(|(&a, b)| (a as f64 - b).abs() <= 80.0 * unit * most));
    }

    #[test]
    fn what_is_refused() {
        let (scores, q) = (Array2::<f32>::zeros((6, 4)), Array2::zeros((3, 4)));
        let loss = Swapped { views: 2, assign: &[1], temperature: 0.1, batch_total: 3 };
        assert!(swapped(&scores, &q, loss).is_ok());
        let wrong = [
            Swapped { views: 1, assign: &[0], ..loss },
            Swapped { assign: &[], ..loss },
            Swapped { assign: &[2], ..loss },
            Swapped { temperature: 0.0, ..loss },
            Swapped { batch_total: 0, ..loss },
        ];
        for loss in wrong {
            assert!(matches!(swapped(&scores, &q, loss), Err(Error::Parameter { .. })), "{loss:?}");
        }
        let loss = Swapped { assign: &[0, 1], ..loss };
        assert!(matches!(swapped(&scores, &q, loss), Err(Error::Shape { what: "codes", .. })));
        let q = Array2::zeros((6, 3));
        assert!(matches!(swapped(&scores, &q, loss), Err(Error::Shape { what: "codes", .. })));
    }
}

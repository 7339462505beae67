//! Sliced transport: the mean over directions of the transport of projections (Bonneel et al. 2015).
//!
//! ```text
//! SW_p(a, b) = ( 1/L Σ_l W_pᵖ(⟨x, θ_l⟩, ⟨y, θ_l⟩) )^(1/p)
//! ∂W_pᵖ/∂x_i = Σ_j P_ij |u|ᵖ⁻¹ p sign(u) θ,   u = ⟨x_i − y_j, θ⟩,  P the monotone plan
//! ```
//!
//! The directions are the caller's, and are used as they are: this crate draws no random numbers and
//! normalises nothing unasked.
//!
//! # Complexity and limits
//!
//! O(L (n + m) (d + log(n + m))); memory O((n + m) d) for each of at most 16 pieces of directions, which
//! run in parallel. Where projections of two points cross, or p = 1 and they meet, the value has a kink
//! and the gradient is one of its subgradients. Where SW_p is 0, or so small that
//! its powers are not numbers, the gradient is given as 0.

use alloc::vec::Vec;

use ndarray::{Array2, ArrayRef1, ArrayRef2};

use super::line::{check_spread, staircase};
use super::masses::{Masses, Power};
use crate::chunks::*;
use crate::error::Error;
use crate::real::Real;
use crate::rows::{array, contiguous};

/// Most pieces of directions; each has a gradient of its own.
const PIECES: usize = 16;

/// Sliced distance and its gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct Sliced<T> {
    /// SW_p
    pub value: f64,
    /// Gradient of the value with respect to x, (n, d).
    pub d_x: Array2<T>,
    /// Gradient with respect to y, (m, d).
    pub d_y: Array2<T>,
}

/// The sliced distance of order p ≥ 1 between weights `a` at the rows of `x` and `b` at the rows of `y`,
/// along the rows of `directions`.
///
/// # Shapes
///
/// `x` (n, d), `y` (m, d), `a` (n), `b` (m), `directions` (L, d) with L ≥ 1.
///
/// # Errors
///
/// [`Error::Shape`], [`Error::NonFinite`]; [`Error::Parameter`] for no directions, p below 1, a weight
/// below 0, no mass, masses that differ by more than 1e-12 (f32: 1e-6) of themselves, or projections so
/// far apart that sums of the costs are not numbers.
///
/// # Examples
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::exact::sliced;
///
/// // A shift by (3, 4), seen along both axes.
/// let (x, w, axes) = (array![[0.0, 0.0], [1.0, 5.0]], array![0.5, 0.5], array![[1.0, 0.0], [0.0, 1.0]]);
/// let found = sliced(&x, &(&x + &array![3.0, 4.0]), &w, &w, 2.0, &axes)?;
/// assert!((found.value - 12.5_f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn sliced<T: Real>(
    x: &ArrayRef2<T>,
    y: &ArrayRef2<T>,
    a: &ArrayRef1<T>,
    b: &ArrayRef1<T>,
    p: f64,
    directions: &ArrayRef2<T>,
) -> Result<Sliced<T>, Error> {
    let (n, d) = x.dim();
    let (m, count) = (y.nrows(), directions.nrows());
    Error::shape("y", [m, d], y.dim().into())?;
    Error::shape("directions", [count, d], directions.dim().into())?;
    Error::shape("a", [n, 1], [a.len(), 1])?;
    Error::shape("b", [m, 1], [b.len(), 1])?;
    let power = Power::new(p)?;
    Error::positive("number of directions", count as f64)?;
    for (what, array) in [("x", x), ("y", y), ("directions", directions)] {
        let bad = |row: &ndarray::ArrayView1<'_, T>| row.iter().any(|x| !x.is_finite());
        if let Some(row) = array.rows().into_iter().position(|row| bad(&row)) {
            return Err(Error::NonFinite { what, row: Some(row) });
        }
    }
    let clouds = Clouds { x: &wide(x), y: &wide(y), d, masses: &Masses::new(a, b)?, power };
    let directions: Vec<f64> = wide(directions);
    let size = count.div_ceil(PIECES);
    let mut pieces: Vec<Piece> =
        (0..count.div_ceil(size)).map(|_| Piece::new(n * d, m * d)).collect();
    // d is at least 1 here, or there are no projections but 0.
    (directions.par_chunks((size * d).max(1)).zip(pieces.par_chunks_mut(1)))
        .for_each(|(directions, piece)| piece[0].project(&clouds, directions));
    let mut total = Piece::new(n * d, m * d);
    for piece in pieces {
        piece.outcome?;
        total.value += piece.value;
        for (total, part) in [(&mut total.d_x, piece.d_x), (&mut total.d_y, piece.d_y)] {
            total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
        }
    }
    let mean = total.value / count as f64;
    let value = libm::pow(mean, 1.0 / p);
    // d mean^(1/p) = value^(1 − p) / p · d mean
    let factor = libm::pow(value, 1.0 - p) / (p * count as f64);
    let factor = if factor.is_finite() { factor } else { 0.0 };
    let narrow = |rows, gradient: Vec<f64>| {
        let scaled = gradient.iter().map(|g| T::from_f64(g * factor)).collect();
        array((rows, d), scaled)
    };
    Ok(Sliced { value, d_x: narrow(n, total.d_x), d_y: narrow(m, total.d_y) })
}

fn wide<T: Real>(x: &ArrayRef2<T>) -> Vec<f64> {
    contiguous(x).iter().map(|x| x.to_f64()).collect()
}

struct Clouds<'a> {
    x: &'a [f64],
    y: &'a [f64],
    d: usize,
    masses: &'a Masses,
    power: Power,
}

/// Sums over some directions.
struct Piece {
    value: f64,
    d_x: Vec<f64>,
    d_y: Vec<f64>,
    outcome: Result<(), Error>,
}

impl Piece {
    fn new(x: usize, y: usize) -> Self {
        Piece { value: 0.0, d_x: alloc::vec![0.0; x], d_y: alloc::vec![0.0; y], outcome: Ok(()) }
    }

    fn project(&mut self, clouds: &Clouds<'_>, directions: &[f64]) {
        let &Clouds { x, y, d, masses, power } = clouds;
        for direction in directions.chunks_exact(d) {
            let project = |x: &[f64]| -> Vec<f64> {
                let dot = |x: &[f64]| x.iter().zip(direction).map(|(x, t)| x * t).sum();
                x.chunks_exact(d).map(dot).collect()
            };
            let (u, v) = (project(x), project(y));
            if let Err(error) = check_spread(&u, &v, power, masses) {
                self.outcome = Err(error);
                return;
            }
            staircase(&u, &v, masses, |i, j, mass| {
                if mass == 0 {
                    return;
                }
                let (mass, apart) = (masses.weight(mass), u[i] - v[j]);
                self.value += mass * power.of(apart);
                let slope = mass * power.slope(apart);
                let rows = self.d_x[i * d..].iter_mut().zip(&mut self.d_y[j * d..]);
                for ((x, y), t) in rows.zip(direction) {
                    (*x, *y) = (*x + slope * t, *y - slope * t);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;

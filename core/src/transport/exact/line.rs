//! Transport between points on a line.
//!
//! # Derivation
//!
//! |x − y|ᵖ with p ≥ 1 is convex in x − y, so crossing pairs can be uncrossed without loss: over sorted
//! points c_ij + c_i'j' ≤ c_ij' + c_i'j for i < i', j < j' (Monge). The plan that pairs the quantiles is
//! then optimal. It is a staircase through the matrix, from its first entry to its last; setting f + g =
//! c along *any* staircase gives potentials that are feasible everywhere (Hoffman 1963), so points
//! without weight take part as steps without mass, and get potentials like all others.
//!
//! # Complexity and limits
//!
//! O((n + m) log(n + m)), the sorting; memory O(n + m). Potentials are sums along the staircase and so
//! carry up to n + m roundings. Equal points keep their order, so the plan among them is one of many.

use alloc::vec::Vec;

use ndarray::{Array1, ArrayRef1};

use super::masses::{Masses, Power, coordinates};
use crate::error::Error;
use crate::real::Real;

/// The monotone plan, and the potentials that prove it.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Index in x, index in y and mass of the entries above 0, by the first, then by the second.
    pub entries: Vec<(usize, usize, f64)>,
    /// Potential of x: f_i + g_j ≤ |x_i − y_j|ᵖ, with equality where the plan has mass.
    pub f: Array1<f64>,
    /// Potential of y; ⟨a, f⟩ = ⟨b, g⟩.
    pub g: Array1<f64>,
    /// W_pᵖ = Σ P_ij |x_i − y_j|ᵖ
    pub value: f64,
}

/// Transport of weights `a` at points `x` to weights `b` at points `y` at cost |x − y|ᵖ, p ≥ 1.
///
/// # Shapes
///
/// `x` and `a` (n), `y` and `b` (m). The points need not be sorted.
///
/// # Errors
///
/// [`Error::Shape`], [`Error::NonFinite`]; [`Error::Entry`] for a weight below 0; [`Error::Parameter`] for p below 1, no
/// mass, masses that differ by more than 1e-12 (f32: 1e-6) of themselves, or points so far apart that
/// sums of the costs are not numbers.
///
/// # Examples
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::exact::line;
///
/// let (x, y, half) = (array![3.0, 0.0], array![1.0, 2.0], array![0.5, 0.5]);
/// let plan = line(&x, &y, &half, &half, 2.0)?;
/// assert_eq!(plan.entries, [(0, 1, 0.5), (1, 0, 0.5)]);
/// assert_eq!(plan.value, 1.0);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn line<T: Real>(
    x: &ArrayRef1<T>,
    y: &ArrayRef1<T>,
    a: &ArrayRef1<T>,
    b: &ArrayRef1<T>,
    p: f64,
) -> Result<Line, Error> {
    Error::shape("a", [x.len(), 1], [a.len(), 1])?;
    Error::shape("b", [y.len(), 1], [b.len(), 1])?;
    let power = Power::new(p)?;
    let (x, y) = (coordinates("x", x)?, coordinates("y", y)?);
    let masses = Masses::new(a, b)?;
    check_spread(&x, &y, power, &masses)?;
    let mut f = alloc::vec![0.0; x.len()];
    let mut g = alloc::vec![0.0; y.len()];
    let (mut entries, mut value) = (Vec::new(), 0.0);
    let mut before = None;
    staircase(&x, &y, &masses, |i, j, mass| {
        let cost = power.of(x[i] - y[j]);
        match before {
            Some((row, _)) if row == i => g[j] = cost - f[i],
            _ => f[i] = cost - g[j],
        }
        before = Some((i, j));
        if mass > 0 {
            let mass = masses.weight(mass);
            entries.push((i, j, mass));
            value += mass * cost;
        }
    });
    entries.sort_unstable_by_key(|&(i, j, _)| (i, j));
    let shift = masses.gauge(&f, &g);
    let (f, g) = (Array1::from_vec(f) + shift, Array1::from_vec(g) - shift);
    Ok(Line { entries, f, g, value })
}

/// Costs must be so small that sums of n + m of them, times the mass, are numbers.
pub(super) fn check_spread(
    x: &[f64],
    y: &[f64],
    power: Power,
    masses: &Masses,
) -> Result<(), Error> {
    let reach = |x: &[f64]| x.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let spread = reach(x) + reach(y);
    let mass = masses.weight(masses.total()).max(1.0);
    if (4.0 * power.of(spread) * (x.len() + y.len()) as f64 * mass).is_finite() {
        return Ok(());
    }
    let requirement = "so small that sums of n + m costs, times the mass, are numbers";
    Err(Error::Parameter { name: "largest |x| + largest |y|", value: spread, requirement })
}

/// Indices in ascending order of the numbers; equal ones keep their order.
pub(super) fn ascending(x: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&i, &k| x[i].total_cmp(&x[k]));
    order
}

/// Visits the entries of the monotone plan in order, those without mass on its way included.
pub(super) fn staircase(
    x: &[f64],
    y: &[f64],
    masses: &Masses,
    mut visit: impl FnMut(usize, usize, u64),
) {
    let (rows, columns) = (ascending(x), ascending(y));
    let (mut row, mut column) = (0, 0);
    let (mut supply, mut demand) = (masses.a[rows[0]], masses.b[columns[0]]);
    loop {
        let mass = supply.min(demand);
        visit(rows[row], columns[column], mass);
        (supply, demand) = (supply - mass, demand - mass);
        // The last row and the last column stay until the other side is done.
        if row + 1 < rows.len() && (supply == 0 || column + 1 == columns.len()) {
            row += 1;
            supply = masses.a[rows[row]];
        } else if column + 1 < columns.len() {
            column += 1;
            demand = masses.b[columns[column]];
        } else {
            return;
        }
    }
}

#[cfg(test)]
mod tests;

//! Transport between points on the circle of length 1.
//!
//! # Derivation
//!
//! Cut open and repeated for ever, the circle is a line, on which an optimal plan is monotone and
//! periodic: it pairs the quantile t of x with the quantile t + θ of y for some θ (Delon, Salomon,
//! Sobolevski 2010; for p = 1 the best θ is the median that Werman, Peleg and Rosenfeld 1985 found). Its
//! cost is convex in θ. It is also piecewise linear: as θ grows, mass flows over each boundary k between
//! two points of y, from y_k to y_k+1, always from the x that lies there, so the slope is
//!
//! ```text
//! Σ_k |x_i(k) − y_k+1|ᵖ − |x_i(k) − y_k|ᵖ
//! ```
//!
//! and changes only where boundaries of x and y meet. Masses, and with them θ, are whole numbers of
//! quanta, so bisection on the sign of the slope ends at the very θ where it turns, after some 62 slopes
//! of O(n + m); there is no tolerance.
//!
//! # Complexity and limits
//!
//! O((n + m) (log(n + m) + 64)); memory O(n + m). No potentials are returned.

use alloc::vec::Vec;

use ndarray::ArrayRef1;

use super::line::ascending;
use super::masses::{Masses, Power, coordinates};
use crate::error::Error;
use crate::real::Real;

/// An optimal plan on the circle.
#[derive(Clone, Debug, PartialEq)]
pub struct Circle {
    /// Index in x, index in y and mass of the entries above 0, by the first, then by the second.
    pub entries: Vec<(usize, usize, f64)>,
    /// W_pᵖ = Σ P_ij d(x_i, y_j)ᵖ
    pub value: f64,
}

/// Transport of weights `a` at points `x` to weights `b` at points `y` at cost d(x, y)ᵖ, p ≥ 1, where d
/// is the shorter way round a circle of length 1. Points that differ by whole numbers are the same.
///
/// # Shapes
///
/// `x` and `a` (n), `y` and `b` (m). The points need not be sorted.
///
/// # Errors
///
/// [`Error::Shape`], [`Error::NonFinite`]; [`Error::Entry`] for a weight below 0; [`Error::Parameter`] for p below 1, no
/// mass, or masses that differ by more than 1e-12 (f32: 1e-6) of themselves.
///
/// # Examples
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::exact::circle;
///
/// // Three quarters one way is a quarter the other way.
/// let one = array![1.0];
/// assert_eq!(circle(&array![0.125], &array![0.875], &one, &one, 2.0)?.value, 0.0625);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn circle<T: Real>(
    x: &ArrayRef1<T>,
    y: &ArrayRef1<T>,
    a: &ArrayRef1<T>,
    b: &ArrayRef1<T>,
    p: f64,
) -> Result<Circle, Error> {
    Error::shape("a", [x.len(), 1], [a.len(), 1])?;
    Error::shape("b", [y.len(), 1], [b.len(), 1])?;
    let power = Power::new(p)?;
    let (x, y) = (coordinates("x", x)?, coordinates("y", y)?);
    let masses = Masses::new(a, b)?;
    let turns = Turns { x: Side::new(&x, &masses.a), y: Side::new(&y, &masses.b), power };
    // The least θ from which on the cost does not fall; two turns away, all of y
    // lies on one side of x.
    let (mut low, mut high) = (-2 * turns.x.total(), 2 * turns.x.total());
    while low < high {
        let middle = low + (high - low) / 2;
        if turns.slope(middle) >= 0.0 { high = middle } else { low = middle + 1 }
    }
    let (mut entries, mut value) = (Vec::new(), 0.0);
    turns.plan(low, |i, j, cost, mass| {
        let mass = masses.weight(mass as u64);
        entries.push((i, j, mass));
        value += mass * cost;
    });
    entries.sort_unstable_by_key(|&(i, j, _)| (i, j));
    // Two points may meet both ways round.
    entries.dedup_by(|next, kept| {
        let same = (next.0, next.1) == (kept.0, kept.1);
        if same {
            kept.2 += next.2;
        }
        same
    });
    Ok(Circle { entries, value })
}

/// One period of points with weight, in order.
struct Side {
    index: Vec<usize>,
    at: Vec<f64>,
    /// Mass up to and with each point.
    upto: Vec<i64>,
}

impl Side {
    fn new(x: &[f64], mass: &[u64]) -> Self {
        let around: Vec<f64> = x.iter().map(|x| x - libm::floor(*x)).collect();
        let mut index = ascending(&around);
        index.retain(|&i| mass[i] > 0);
        let at = index.iter().map(|&i| around[i]).collect();
        let sum = |sum: &mut i64, &i: &usize| {
            *sum += mass[i] as i64;
            Some(*sum)
        };
        let upto = index.iter().scan(0, sum).collect();
        Side { index, at, upto }
    }

    fn total(&self) -> i64 {
        self.upto[self.upto.len() - 1]
    }

    /// The first point that reaches beyond a mass, counted from the start of period 0.
    fn beyond(&self, mass: i64) -> Point<'_> {
        let within = mass.rem_euclid(self.total());
        let k = self.upto.partition_point(|&upto| upto <= within);
        Point { side: self, period: mass.div_euclid(self.total()), k }
    }
}

/// A point of the endless line.
#[derive(Clone, Copy)]
struct Point<'a> {
    side: &'a Side,
    period: i64,
    k: usize,
}

impl Point<'_> {
    fn at(self) -> f64 {
        self.side.at[self.k] + self.period as f64
    }

    /// Mass up to and with it, from the start of period 0.
    fn upto(self) -> i64 {
        self.period * self.side.total() + self.side.upto[self.k]
    }

    fn next(self) -> Self {
        if self.k + 1 < self.side.at.len() {
            Point { k: self.k + 1, ..self }
        } else {
            Point { k: 0, period: self.period + 1, ..self }
        }
    }
}

struct Turns {
    x: Side,
    y: Side,
    power: Power,
}

impl Turns {
    fn cost(&self, x: Point<'_>, y: Point<'_>) -> f64 {
        self.power.of(x.at() - y.at())
    }

    /// What one more quantum of θ costs.
    fn slope(&self, theta: i64) -> f64 {
        let mut slope = 0.0;
        let mut y = self.y.beyond(0);
        // The x whose mass ends at the boundary after y, or reaches over it.
        let mut x = self.x.beyond(y.upto() - theta - 1);
        for _ in 0..self.y.at.len() {
            while x.upto() < y.upto() - theta {
                x = x.next();
            }
            slope += self.cost(x, y.next()) - self.cost(x, y);
            y = y.next();
        }
        slope
    }

    /// Visits pairs with what they cost and the mass they exchange.
    fn plan(&self, theta: i64, mut visit: impl FnMut(usize, usize, f64, i64)) {
        let (mut x, mut y, mut done) = (self.x.beyond(0), self.y.beyond(theta), 0);
        while done < self.x.total() {
            let (ends, upto) = (x.upto(), y.upto() - theta);
            let next = ends.min(upto);
            visit(self.x.index[x.k], self.y.index[y.k], self.cost(x, y), next - done);
            (x, y) =
                (if ends == next { x.next() } else { x }, if upto == next { y.next() } else { y });
            done = next;
        }
    }
}

#[cfg(test)]
mod tests;

//! Matching in which anything may stay alone: one row and one column more, that take what has no partner.
//!
//! ```text
//! min_P ⟨C', P⟩ + ε KL(P | a'⊗b')      C' = [C z; zᵀ z]      a' = [a, Σ b],  b' = [b, Σ a]
//! ```
//!
//! z is what it costs to leave a unit of a row or of a column alone. A unit that moves from i to j frees a unit of both
//! bins, which meet in the corner: matching costs C_ij + z, leaving both alone 2 z. At ε → 0 a pair is therefore worth
//! matching where C_ij < z. With a and b all 1, C = −scores and ε = 1 this is the matching layer of SuperGlue (Sarlin et al.
//! 2020), whose learnt bin score is −z.
//!
//! # Complexity and limits
//!
//! The cost of the pairs is asked for row by row and never copied, so an iteration is that of a computed cost over
//! (n + 1) × (m + 1). The number of matches is free. Where it is known, [`Partial`](super::Partial) moves exactly that mass; where only
//! the targets are limited, [`Partial::with_capacities`](super::Partial::with_capacities) does, and no price has to be chosen.

use alloc::vec::Vec;

use ndarray::{Array1, ArrayRef1};

use super::geometry::Geometry;
use super::problem::{Problem, weights};
use super::solution::Solution;
use crate::error::Error;
use crate::real::Real;

/// Two sides and a bin for each: a [`Geometry`] of (n + 1) × (m + 1) with its weights (Sarlin et al. 2020).
///
/// ```text
/// C' = [C z; zᵀ z]      a' = [a, Σ b],  b' = [b, Σ a]
/// ```
///
/// At ε → 0 a pair is matched where C_ij < z. The cost is never copied: an iteration is that of a computed cost. How many
/// pairs there will be is free; [`Partial`](super::Partial) moves a given mass.
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::{Dense, Dustbin, Sinkhorn};
///
/// // Two sources and two targets; the second of each has no partner.
/// let scores = array![[5.0_f64, 0.0], [0.0, -1.0]];
/// let (cost, ones) = (-scores, array![1.0, 1.0]);
/// let geometry = Dense::new(&cost);
/// let dustbin = Dustbin::new(&geometry, &ones, &ones, -1.0)?;
/// let problem = dustbin.problem(0.1)?;
/// let solution = Sinkhorn::default().solve(&problem)?;
/// let matches = dustbin.matches(&solution);
/// assert!(matches.len() == 1 && matches[0].0 == 0 && matches[0].1 == 0 && matches[0].2 > 0.99);
/// // What stays alone is in the last row and the last column of the plan.
/// assert!(solution.plan()[[1, 2]] > 0.99 && solution.plan()[[2, 1]] > 0.99);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Dustbin<'a, T: Real> {
    geometry: &'a dyn Geometry<T>,
    price: T,
    a: Array1<T>,
    b: Array1<T>,
}

impl<T: Real> core::fmt::Debug for Dustbin<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Dustbin { geometry, price, a, b } = self;
        f.debug_struct("Dustbin")
            .field("shape", &geometry.shape())
            .field("price", price)
            .field("a", a)
            .field("b", b)
            .finish()
    }
}

impl<'a, T: Real> Dustbin<'a, T> {
    /// `a` (n) and `b` (m) of any masses, over `geometry` (n, m); `price`, in units of the cost, is z.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] for weights that do not fit; [`Error::NonFinite`] and [`Error::Parameter`] for weights that are no
    /// numbers, below 0 or all 0, and for a price that is no number.
    #[inline(never)]
    pub fn new(
        geometry: &'a dyn Geometry<T>,
        a: &ArrayRef1<T>,
        b: &ArrayRef1<T>,
        price: f64,
    ) -> Result<Self, Error> {
        let (n, m) = geometry.shape();
        Error::shape("a", [n, 1], [a.len(), 1])?;
        Error::shape("b", [m, 1], [b.len(), 1])?;
        if !price.is_finite() {
            return Err(Error::NonFinite { what: "price", row: None });
        }
        let sums = [weights("a", a)?, weights("b", b)?].map(|w| w.iter().sum::<f64>());
        let with = |w: &ArrayRef1<T>, other: f64| -> Array1<T> {
            w.iter().copied().chain([T::from_f64(other)]).collect()
        };
        let (a, b) = (with(a, sums[1]), with(b, sums[0]));
        Ok(Dustbin { geometry, price: T::from_f64(price), a, b })
    }

    /// The weights with their bins, (n + 1) and (m + 1); both sum to Σ a + Σ b.
    pub fn weights(&self) -> (&Array1<T>, &Array1<T>) {
        (&self.a, &self.b)
    }

    /// The balanced problem at this ε.
    ///
    /// # Errors
    ///
    /// Those of [`Problem::new`]. No set of forbidden pairs is infeasible: the bins take everything.
    #[inline(never)]
    pub fn problem(&self, epsilon: f64) -> Result<Problem<'_, T>, Error> {
        Problem::new(self, &self.a, &self.b, epsilon)
    }

    /// Row, column and mass of the pairs that prefer each other to all others and to staying alone, by row: see
    /// [`Solution::mutual_best`].
    #[inline(never)]
    pub fn matches(&self, solution: &Solution<'_, T>) -> Vec<(usize, usize, f64)> {
        let (n, m) = self.geometry.shape();
        let mut pairs = solution.mutual_best();
        pairs.retain(|&(i, j, _)| i < n && j < m);
        pairs
    }
}

impl<T: Real> Geometry<T> for Dustbin<'_, T> {
    fn shape(&self) -> (usize, usize) {
        let (n, m) = self.geometry.shape();
        (n + 1, m + 1)
    }

    fn fill_row(&self, row: usize, costs: &mut [T]) {
        let (n, m) = self.geometry.shape();
        costs.fill(self.price);
        if row < n {
            self.geometry.fill_row(row, &mut costs[..m]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::{draws, uniform};
    use crate::transport::{Dense, Masked, Sinkhorn, exact::emd};
    use ndarray::Array2;

    fn with_bins(cost: &Array2<f64>, price: f64) -> Array2<f64> {
        let (n, m) = cost.dim();
        Array2::from_shape_fn(
            (n + 1, m + 1),
            |(i, j)| {
                if i < n && j < m { cost[[i, j]] } else { price }
            },
        )
    }

    #[test]
    fn the_plan_is_that_of_the_matrix_with_bins() {
        let cost = uniform(1, (7, 5));
        let (mut a, b) = (Array1::from_vec(draws(2, 7)), Array1::from_vec(draws(3, 5)) * 2.5);
        a[3] = 0.0;
        let geometry = Dense::new(&cost);
        let bins = Dustbin::new(&geometry, &a, &b, 0.4).unwrap();
        let problem = bins.problem(0.05).unwrap();
        let plan = Sinkhorn::default().solve(&problem).unwrap().plan();

        let all = with_bins(&cost, 0.4);
        let geometry = Dense::new(&all);
        let (wa, wb) = bins.weights();
        let problem = Problem::new(&geometry, wa, wb, 0.05).unwrap();
        let expected = Sinkhorn::default().solve(&problem).unwrap().plan();
        // Both are within 1e-9 of their marginals.
        let distance = (&plan - &expected).mapv(f64::abs).sum();
        assert!(distance < 4e-9 * wa.sum(), "{distance:e}");
        assert!((plan.sum() - a.sum() - b.sum()).abs() < 1e-12 * plan.sum());
    }

    #[test]
    fn matched_are_the_pairs_that_cost_less_than_the_price() {
        // Every pair that exact transport uses is cheaper than z, and no two that are left could be.
        let (cost, price) = (uniform(4, (9, 12)), -0.4);
        let (a, b) = (Array1::ones(9), Array1::ones(12));
        let geometry = Dense::new(&cost);
        let bins = Dustbin::new(&geometry, &a, &b, price).unwrap();
        let (wa, wb) = bins.weights();
        let exact = emd(&with_bins(&cost, price), wa, wb).unwrap();
        let pairs: Vec<_> = exact.entries.iter().filter(|(i, j, _)| *i < 9 && *j < 12).collect();
        assert!(pairs.len() > 3 && pairs.len() < 9, "{}", pairs.len());
        assert!(pairs.iter().all(|(i, j, _)| cost[[*i, *j]] < price));
        let (rows, columns) =
            (|i| !pairs.iter().any(|p| p.0 == i), |j| !pairs.iter().any(|p| p.1 == j));
        for ((i, j), &c) in cost.indexed_iter() {
            assert!(!(rows(i) && columns(j)) || c >= price, "{i} {j} {c}");
        }
        // At small ε the solver finds the same ones.
        let problem = bins.problem(1e-4).unwrap();
        let found = bins.matches(&Sinkhorn::default().solve(&problem).unwrap());
        assert_eq!(
            found.iter().map(|f| (f.0, f.1)).collect::<Vec<_>>(),
            pairs.iter().map(|p| (p.0, p.1)).collect::<Vec<_>>()
        );
        assert!(found.iter().all(|f| (f.2 - 1.0).abs() < 1e-3), "{found:?}");
        // A price below every cost leaves all alone.
        let bins = Dustbin::new(&geometry, &a, &b, -1.1).unwrap();
        let problem = bins.problem(0.01).unwrap();
        assert!(bins.matches(&Sinkhorn::default().solve(&problem).unwrap()).is_empty());
    }

    #[test]
    fn nothing_allowed_leaves_everything_in_the_bins() {
        let cost = uniform(5, (3, 4));
        let geometry = Masked::new(Dense::new(&cost), |_, _| false);
        let bins = Dustbin::new(&geometry, &Array1::ones(3), &Array1::ones(4), 0.5).unwrap();
        let problem = bins.problem(0.1).unwrap();
        let plan = Sinkhorn::default().solve(&problem).unwrap().plan();
        let pairs = plan.indexed_iter().filter(|((i, j), _)| *i < 3 && *j < 4);
        assert!(pairs.into_iter().all(|(_, &p)| p == 0.0));
        assert!(plan.column(4).iter().take(3).all(|&p| (p - 1.0).abs() < 1e-8), "{plan}");
        // And what is no input is refused.
        let nan = Dustbin::new(&geometry, &Array1::ones(3), &Array1::ones(4), f64::NAN);
        assert_eq!(nan.unwrap_err(), Error::NonFinite { what: "price", row: None });
        assert!(matches!(
            Dustbin::new(&geometry, &Array1::ones(4), &Array1::ones(4), 0.5),
            Err(Error::Shape { .. })
        ));
    }
}

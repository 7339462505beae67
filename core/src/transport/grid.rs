//! Costs that are sums over the axes of a grid.

use alloc::vec::Vec;

use ndarray::{Array2, ArrayRef2};

use super::geometry::Geometry;
use crate::real::Real;

/// Points of a grid with axes of k₁, …, k_r positions, the last axis the fastest, and a cost that is a sum over them:
///
/// ```text
/// C_ij = Σ_axis c_axis(i_axis, j_axis)
/// ```
///
/// Its soft transform is r small ones, one an axis: Σ kᵢ exps an entry of the grid instead of Π kᵢ.
#[derive(Clone, Debug)]
pub struct Grid<T> {
    axes: Vec<Array2<T>>,
}

impl<T: Real> Grid<T> {
    /// A grid from the cost of each axis, (kᵢ, lᵢ): source positions by target positions.
    pub fn new(axes: &[&ArrayRef2<T>]) -> Self {
        Grid { axes: axes.iter().map(|a| a.to_owned()).collect() }
    }

    /// The cost of each axis.
    pub fn axes(&self) -> &[Array2<T>] {
        &self.axes
    }
}

impl<T: Real> Geometry<T> for Grid<T> {
    fn shape(&self) -> (usize, usize) {
        let product = |f: fn(&Array2<T>) -> usize| self.axes.iter().map(f).product();
        (product(|a| a.nrows()), product(|a| a.ncols()))
    }

    fn fill_row(&self, row: usize, costs: &mut [T]) {
        costs.fill(T::ZERO);
        // The last axis is the fastest; `inner` is how many targets share one position on this axis.
        let (mut i, mut inner) = (row, 1);
        for axis in self.axes.iter().rev() {
            let (k, l) = axis.dim();
            let along = axis.row(i % k);
            for (j, c) in costs.iter_mut().enumerate() {
                *c += along[j / inner % l];
            }
            (i, inner) = (i / k, inner * l);
        }
    }

    fn grid(&self) -> Option<&Grid<T>> {
        Some(self)
    }
}

//! Costs that are sums over the axes of a grid.

mod axes;

use alloc::vec::Vec;

use ndarray::{Array1, Array2, ArrayRef2};

pub(super) use axes::Axes;

use super::geometry::{Geometry, Range};
use super::problem::Marginal;
use super::solution::{Solution, Sums};
use super::sweep::Side;
use crate::error::Error;
use crate::real::Real;

/// Points of a grid with axes of k₁, …, k_r positions, the last axis the fastest, and a cost that is a sum over them:
///
/// ```text
/// C_ij = Σ_axis c_axis(i_axis, j_axis)
/// ```
///
/// Squared distances are such sums, and all ‖x − y‖ₚᵖ. exp(−C/ε) is then a product over axes, and the soft transform of a
/// potential is r small ones, one an axis: k₁ + … + k_r multiplications and r exps for each of the N = k₁ ⋯ k_r points
/// instead of N exps (Solomon et al. 2015), in the log domain wherever those multiplications would lose digits, so for any ε.
/// Source and target grids may have other numbers of positions; then the products of a stage are between those of the
/// axes before it, which have those of the result, and of the axes after it, which have those of the input.
///
/// [`Sinkhorn`](super::Sinkhorn) iterates so unless it is told to use a kernel, and [`Solution::sums`], `value`, `dual` and
/// `linear` follow; the memory is O(N). Plans, bounds and maps read rows, N² costs.
///
/// ```
/// use ndarray::{Array1, Array2};
/// use swav_core::transport::{Grid, Problem, Sinkhorn};
///
/// // 64 × 64 pixels, squared distance in the unit square.
/// let axis = Array2::from_shape_fn((64, 64), |(i, j)| ((i as f64 - j as f64) / 63.0).powi(2));
/// let grid = Grid::new(&[&axis, &axis]);
/// let image = |at: usize| {
///     let pixels = Array1::from_shape_fn(64 * 64, |i| 1.0 + (i / at % 9) as f64);
///     &pixels / pixels.sum()
/// };
/// let (a, b) = (image(3), image(70));
/// let problem = Problem::new(&grid, &a, &b, 0.01)?;
/// let solution = Sinkhorn::default().solve(&problem)?;
/// assert!(solution.error <= 1e-9 && solution.dual() <= solution.value() + 1e-9);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Grid<T> {
    axes: Vec<Array2<T>>,
}

impl<T: Real> Grid<T> {
    /// A grid from the cost of each axis, (kᵢ, lᵢ): source positions by target positions.
    #[inline(never)]
    pub fn new(axes: &[&ArrayRef2<T>]) -> Self {
        Grid { axes: axes.iter().map(|a| a.to_owned()).collect() }
    }

    /// The cost of each axis.
    pub fn axes(&self) -> &[Array2<T>] {
        &self.axes
    }

    /// The costs of each axis for sums over targets (side 0: rows get them) or over sources.
    fn towards(&self, side: usize) -> Vec<Array2<f64>> {
        let wide = |axis: &Array2<T>| {
            let axis = if side == 0 { axis.view() } else { axis.t() };
            axis.mapv(|c| c.to_f64())
        };
        self.axes.iter().map(wide).collect()
    }

    /// Smallest and largest cost, which are sums of those of the axes.
    pub(super) fn range(&self) -> Result<Range, Error> {
        let mut range = Range { least: 0.0, most: 0.0, forbidden: false };
        let (mut stride, mut width) = self.shape();
        for axis in &self.axes {
            stride = stride.checked_div(axis.nrows()).unwrap_or(0);
            width = width.checked_div(axis.ncols()).unwrap_or(0);
            let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
            for ((i, j), c) in axis.indexed_iter().map(|(at, c)| (at, c.to_f64())) {
                Error::cost(i * stride, j * width, c)?;
                range.forbidden |= c == f64::INFINITY;
                if c < f64::INFINITY {
                    (least, most) = (least.min(c), most.max(c));
                }
            }
            (range.least, range.most) = (range.least + least, range.most + most);
        }
        Ok(range)
    }
}

impl<T: Real> Geometry<T> for Grid<T> {
    fn shape(&self) -> (usize, usize) {
        let product = |f: fn(&Array2<T>) -> usize| self.axes.iter().map(f).product();
        (product(|a| a.nrows()), product(|a| a.ncols()))
    }

    fn fill_row(&self, row: usize, costs: &mut [T]) {
        costs.fill(T::ZERO);
        // The last axis is the fastest; `inner` is how many targets share one position on this axis. The first `inner` costs
        // are those of the axes after it, to which each position adds its own, the first position last.
        let (mut i, mut inner) = (row, 1);
        for axis in self.axes.iter().rev() {
            let (k, l) = axis.dim();
            let along = axis.row(i % k);
            for j in (0..l).rev() {
                for t in 0..inner {
                    costs[j * inner + t] = costs[t] + along[j];
                }
            }
            (i, inner) = (i / k, inner * l);
        }
    }

    fn grid(&self) -> Option<&Grid<T>> {
        Some(self)
    }
}

/// Transforms in both directions and what they were made for.
#[derive(Clone, Debug)]
pub(super) struct Transforms<T> {
    epsilon: f64,
    sides: Option<[Axes<T>; 2]>,
}

impl<T: Real> Transforms<T> {
    pub(super) fn new() -> Self {
        Transforms { epsilon: 0.0, sides: None }
    }

    /// Those of this grid at this ε; made again only when ε has changed.
    fn at(&mut self, grid: &Grid<T>, epsilon: f64) -> &mut [Axes<T>; 2] {
        if self.epsilon != epsilon {
            self.sides = None;
        }
        self.epsilon = epsilon;
        self.sides.get_or_insert_with(|| [0, 1].map(|side| Axes::new(&grid.towards(side), epsilon)))
    }

    /// A full half step of the rows: moves f, leaves the column sums of the plan in `sums`, and returns how far its rows
    /// are off, which is 0 without relaxation.
    ///
    /// The sums follow from the transform of f: Σ_i P_ij = r_j exp((g_j + L_j)/ε), L_j = ε ln Σ_i r_i exp((f_i − C_ij)/ε).
    pub(super) fn rows(
        &mut self,
        grid: &Grid<T>,
        [rows, columns]: [Side<'_>; 2],
        f: &mut [f64],
        g: &[f64],
        sums: &mut [f64],
    ) -> f64 {
        let [to_rows, to_columns] = self.at(grid, rows.epsilon);
        let found = soft(to_rows, columns, g);
        let mut off = 0.0;
        for (i, (f, &l)) in f.iter_mut().zip(found).enumerate() {
            let (new, mass) = rows.update(i, *f, -l);
            *f = new;
            if rows.relaxation != 1.0 {
                off += (mass - rows.goal(i, new)).abs();
            }
        }
        let found = soft(to_columns, rows, f);
        for (j, ((sum, &g), &l)) in sums.iter_mut().zip(g).zip(found).enumerate() {
            let there = columns.weights[j] > 0.0 && g > f64::NEG_INFINITY;
            let exponent = (g + l) / columns.epsilon + columns.ln_reference(j);
            *sum = if there { Real::exp(exponent) } else { 0.0 };
        }
        off
    }
}

/// L = ε ln Σ_j exp((x_j − C_ij)/ε + ln r_j), r those of `side`.
fn soft<'x, T: Real>(axes: &'x mut Axes<T>, side: Side<'_>, x: &[f64]) -> &'x [f64] {
    axes.h.clear();
    axes.h.extend(x.iter().enumerate().map(|(j, x)| x + side.epsilon * side.ln_reference(j)));
    axes.transform();
    &axes.h
}

/// g_j = −ε ln Σ_i r_i exp((f_i − C_ij)/ε); +∞ where no row may reach.
pub(super) fn unit_columns<T: Real>(grid: &Grid<T>, rows: Side<'_>, f: &[f64], g: &mut [f64]) {
    let mut axes = Axes::<T>::new(&grid.towards(1), rows.epsilon);
    g.iter_mut().zip(soft(&mut axes, rows, f)).for_each(|(g, l)| *g = -l);
}

impl<T: Real> Solution<'_, T> {
    /// Sums over the plan by transforms: two, and one for each axis, whose cost c − ε ln(c − min c) makes of the sum over
    /// the plan one of the plan times c − min c.
    pub(super) fn grid_sums(&self, grid: &Grid<T>) -> Sums {
        let (problem, epsilon) = (self.problem, self.problem.epsilon);
        let side = |which: usize| problem.side(which, epsilon);
        let g = self.g.as_slice().expect("a vector lies in one piece");
        let costs = grid.towards(0);
        let unit: Vec<f64> =
            soft(&mut Axes::<T>::new(&costs, epsilon), side(1), g).iter().map(|l| -l).collect();
        let hard = self.exact_rows && problem.marginals[0] == Marginal::Hard;
        let mass = |(i, &unit): (usize, &f64)| match problem.a[i] {
            0.0 => 0.0,
            _ if unit == f64::INFINITY => 0.0,
            weight if hard => weight,
            _ => Real::exp((self.f[i] - unit) / epsilon + side(0).ln_reference(i)),
        };
        let rows: Array1<f64> = unit.iter().enumerate().map(mass).collect();

        let mut axes = Axes::<T>::new(&grid.towards(1), epsilon);
        // P_ij = mass_i r_j exp((unit_i + g_j − C_ij)/ε)
        let row = |(&mass, &unit): (&f64, &f64)| {
            if mass > 0.0 { unit + epsilon * Real::ln(mass) } else { f64::NEG_INFINITY }
        };
        axes.h.extend(rows.iter().zip(&unit).map(row));
        axes.transform();
        let column = |(j, (g, l)): (usize, (&f64, &f64))| {
            Real::exp((g + l) / epsilon + side(1).ln_reference(j))
        };
        let columns = g.iter().zip(&axes.h).enumerate().map(column).collect();

        let mut linear = 0.0;
        for at in 0..costs.len() {
            let least = costs[at].iter().copied().fold(f64::INFINITY, f64::min);
            let mut costs = costs.clone();
            costs[at].iter_mut().filter(|c| **c < f64::INFINITY).for_each(|c| {
                *c -= epsilon * Real::ln(*c - least);
            });
            let mut axes = Axes::<T>::new(&costs, epsilon);
            let found = soft(&mut axes, side(1), g);
            let above = |((&mass, &unit), &l): ((&f64, &f64), &f64)| {
                if mass > 0.0 { mass * Real::exp((unit + l) / epsilon) } else { 0.0 }
            };
            linear += rows.iter().zip(&unit).zip(found).map(above).sum::<f64>();
            if least < f64::INFINITY {
                linear += least * rows.sum();
            }
        }
        Sums { rows, columns, linear }
    }
}

#[cfg(test)]
mod tests;

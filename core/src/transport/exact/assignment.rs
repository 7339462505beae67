//! Linear assignment by shortest augmenting paths (Jonker and Volgenant 1987).
//!
//! # Derivation
//!
//! Prices g_j ≤ 0 of the columns, 0 where a column is free, and f_i = min_j C_ij − g_j are feasible; with
//! every row at a column that attains its minimum they are optimal. Rows without a column get one by the
//! shortest path, in reduced costs C_ij − f_i − g_j, to a free column (Dijkstra); the prices of what was
//! passed on the way fall by what the path is longer. Two cheap steps come first:
//!
//! - *column reduction*, for square problems: each column starts at its cheapest entry and goes to that
//!   row, if the row is free;
//! - *augmenting row reduction*, twice: a free row takes its best column, whose price falls to where the
//!   row would as soon take its second; a row that lost its column this way is next.
//!
//! # Complexity and limits
//!
//! O(n² m) at worst; over points in space most rows are placed by the two steps. The cost is copied to
//! f64, 8nm bytes. One thread.

use alloc::vec::Vec;

use ndarray::{Array1, ArrayRef2};

use crate::error::Error;
use crate::real::Real;

/// Steps of augmenting row reduction, in multiples of n: bids whose increment is nearly rounding would
/// otherwise go on for very long.
const BIDS: usize = 8;
const FREE: usize = usize::MAX;

/// The cheapest column for each row, no column twice, and the potentials that prove it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The column of each row.
    pub column: Vec<usize>,
    /// Potential of the rows: f_i + g_j ≤ C_ij, with equality at the column of row i.
    pub f: Array1<f64>,
    /// Potential of the columns. With n = m, Σ f = Σ g; with n < m, it is at most 0, and 0 for columns
    /// that no row has, so that in both cases Σ f + Σ g is the value.
    pub g: Array1<f64>,
    /// Σ_i C_i,column(i): not divided by n.
    pub value: f64,
}

/// Assigns each row a column of its own so that the sum of the costs is least. A cost of +∞ forbids a
/// pair.
///
/// # Shapes
///
/// `cost` (n, m) with n ≤ m.
///
/// # Errors
///
/// [`Error::Shape`] when there are more rows than columns; [`Error::Entry`] for a NaN or a cost of
/// −∞; [`Error::Parameter`] for costs so large that their sums are not numbers; [`Error::Infeasible`]
/// when some rows have fewer allowed columns than they are, each counted as 1.
///
/// # Examples
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::exact::assignment;
///
/// let best = assignment(&array![[1.0, 2.0, 9.0], [1.0, 3.0, 9.0]])?;
/// assert_eq!((best.column, best.value), (vec![1, 0], 3.0));
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn assignment<T: Real>(cost: &ArrayRef2<T>) -> Result<Assignment, Error> {
    let (n, m) = cost.dim();
    Error::shape("cost", [n.min(m), m], [n, m])?;
    super::network_simplex::check_costs(cost, 1.0)?;
    let costs: Vec<f64> = cost.iter().map(|c| c.to_f64()).collect();
    let mut search = Search::new(&costs, n, m);
    if n == m {
        search.reduce_columns();
    }
    search.reduce_rows();
    search.reduce_rows();
    for row in 0..n {
        if search.column[row] == FREE {
            search.augment(row)?;
        }
    }
    let Search { column, g, .. } = search;
    let at = |i: usize| costs[i * m + column[i]];
    let value = (0..n).map(at).sum();
    let f = Array1::from_shape_fn(n, |i| at(i) - g[column[i]]);
    let g = Array1::from_vec(g);
    let shift = if n == m && n > 0 { (g.sum() - f.sum()) / (2 * n) as f64 } else { 0.0 };
    Ok(Assignment { f: f + shift, g: g - shift, column, value })
}

struct Search<'a> {
    cost: &'a [f64],
    m: usize,
    /// Of each row, its column, and the other way round.
    column: Vec<usize>,
    row: Vec<usize>,
    g: Vec<f64>,
    // Of the columns, in the search for one path.
    distance: Vec<f64>,
    before: Vec<usize>,
    open: Vec<usize>,
    passed: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(cost: &'a [f64], n: usize, m: usize) -> Self {
        Search {
            cost,
            m,
            column: alloc::vec![FREE; n],
            row: alloc::vec![FREE; m],
            g: alloc::vec![0.0; m],
            distance: alloc::vec![0.0; m],
            before: alloc::vec![FREE; m],
            open: Vec::with_capacity(m),
            passed: Vec::with_capacity(m),
        }
    }

    fn costs(&self, row: usize) -> &'a [f64] {
        &self.cost[row * self.m..][..self.m]
    }

    fn give(&mut self, row: usize, column: usize) {
        (self.column[row], self.row[column]) = (column, row);
    }

    fn reduce_columns(&mut self) {
        let mut least: Vec<(f64, usize)> = alloc::vec![(f64::INFINITY, FREE); self.m];
        for i in 0..self.column.len() {
            for (least, &c) in least.iter_mut().zip(self.costs(i)) {
                if c < least.0 {
                    *least = (c, i);
                }
            }
        }
        for (j, &(c, i)) in least.iter().enumerate().rev().filter(|(_, l)| l.1 != FREE) {
            self.g[j] = c;
            if self.column[i] == FREE {
                self.give(i, j);
            }
        }
    }

    fn reduce_rows(&mut self) {
        let n = self.column.len();
        let mut bids = BIDS * n;
        for first in 0..n {
            let mut row = first;
            while self.column[row] == FREE && bids > 0 {
                bids -= 1;
                let none = (f64::INFINITY, FREE);
                let (mut best, mut next) = (none, none);
                for (j, (&c, &g)) in self.costs(row).iter().zip(&self.g).enumerate() {
                    let c = c - g;
                    if c < next.0 {
                        (best, next) = if c < best.0 { ((c, j), best) } else { (best, (c, j)) };
                    }
                }
                if next == none {
                    // One column is all it may have, at any price, or none: a path decides.
                    break;
                }
                let mut j = best.1;
                let owner = self.row[j];
                if best.0 < next.0 {
                    self.g[j] -= next.0 - best.0;
                } else if owner != FREE {
                    // A tie is free to give way.
                    j = next.1;
                }
                let loser = self.row[j];
                self.give(row, j);
                if loser == FREE {
                    break;
                }
                self.column[loser] = FREE;
                if best.0 < next.0 {
                    row = loser;
                } else {
                    break;
                }
            }
        }
    }

    /// The shortest path from a free row to a free column, and what it does to rows and prices.
    fn augment(&mut self, from: usize) -> Result<(), Error> {
        self.open.clear();
        self.open.extend(0..self.m);
        self.passed.clear();
        self.distance.fill(f64::INFINITY);
        let (mut row, mut along) = (from, 0.0);
        let (end, length) = loop {
            let (length, at) = self.relax(row, along);
            if at == FREE {
                return Err(self.infeasible(from));
            }
            let j = self.open.swap_remove(at);
            row = self.row[j];
            if row == FREE {
                break (j, length);
            }
            self.passed.push(j);
            along = length - (self.costs(row)[j] - self.g[j]);
        };
        for &j in &self.passed {
            self.g[j] += self.distance[j] - length;
        }
        let mut j = end;
        loop {
            let row = self.before[j];
            let old = self.column[row];
            self.give(row, j);
            if row == from {
                return Ok(());
            }
            j = old;
        }
    }

    /// Looks from a row, so far along the path, at the open columns: the distance of the nearest one,
    /// and its place in `open`. Of several, a free one ends the path.
    fn relax(&mut self, row: usize, along: f64) -> (f64, usize) {
        let costs = self.costs(row);
        let (mut least, mut nearest, mut free) = (f64::INFINITY, FREE, false);
        for (at, &j) in self.open.iter().enumerate() {
            let distance = along + (costs[j] - self.g[j]);
            if distance < self.distance[j] {
                (self.distance[j], self.before[j]) = (distance, row);
            }
            let distance = self.distance[j];
            if distance < least || (distance == least && !free && nearest != FREE) {
                let ends = self.row[j] == FREE;
                if distance < least || ends {
                    (least, nearest, free) = (distance, at, ends);
                }
            }
        }
        (least, nearest)
    }

    /// The rows of the search reach no other columns than their own: one too few.
    fn infeasible(&self, from: usize) -> Error {
        let mut rows: Vec<usize> = self.passed.iter().map(|&j| self.row[j]).collect();
        rows.push(from);
        rows.sort_unstable();
        let (mass, reachable) = (rows.len() as f64, self.passed.len() as f64);
        Error::Infeasible { rows, mass, reachable }
    }
}

#[cfg(test)]
mod tests;

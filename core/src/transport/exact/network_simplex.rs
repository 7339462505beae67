//! The network simplex method for dense transportation problems.
//!
//! # Derivation
//!
//! A vertex of the polytope of plans is a spanning tree of the bipartite graph of rows and columns: its
//! flow follows from the weights, its potentials from f_i + g_j = C_ij on its arcs. If f_i + g_j ≤ C_ij
//! everywhere, the potentials prove the plan optimal. Otherwise an arc that violates this enters the
//! tree, flow goes around the cycle it closes until another arc is empty, and that one leaves: one
//! *pivot* (Dantzig 1951).
//!
//! - *No cycling*: trees are kept strongly feasible (Cunningham 1976), and flows are whole numbers, so
//!   that a tie is seen as one.
//! - *Start*: Vogel's rule; it saves about half of the pivots of a plain greedy plan.
//! - *Pricing*: a block of rows is read, the worst arc of each is a candidate, and the worst candidate
//!   enters until none is left; then the next block. Rows are contiguous, so reading one is a single
//!   vector pass.
//! - *Rounding*: an arc enters only when its violation is above what rounding can account for, two
//!   machine epsilons of the potentials on the paths to its ends. The potentials returned are then
//!   made feasible by f_i = min_j C_ij − g_j.
//! - *Forbidden pairs*: the tree minimises, first, the mass on forbidden pairs (cost 1 there, else 0).
//!   With what is left at 0, arcs whose first reduced cost is above 0 can carry nothing in any plan and
//!   are dropped; among the others the true costs are minimised. No large number stands for infinity.
//!
//! # Complexity and limits
//!
//! The number of pivots is exponential for contrived costs; over points in space it grows a little
//! faster than n + m. A pivot costs the length of a cycle and the size of the subtree that moves. The
//! cost is copied to f64, 8nm bytes, and twice more when there are forbidden pairs. One thread. A number
//! like 1e30 in the place of +∞ is correct to 16 digits of 1e30 where a plan must use it, or a tree must
//! pass it to reach a part that is cut off: +∞ keeps the digits of the other costs.

use alloc::vec::Vec;

use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2};

use super::masses::Masses;
use super::tree::Tree;
use super::{pricing, start};
use crate::error::Error;
use crate::real::Real;
use crate::transport::feasible::dust;

/// Rows that are read before the candidates found in them enter.
const BLOCK: usize = 32;

/// An optimal plan, and the potentials that prove it.
#[derive(Clone, Debug, PartialEq)]
pub struct Emd {
    /// Row, column and mass of the entries above 0, by row, then by column: at most n + m − 1.
    pub entries: Vec<(usize, usize, f64)>,
    /// Potential of the rows: f_i + g_j ≤ C_ij, with equality where the plan has mass.
    pub f: Array1<f64>,
    /// Potential of the columns; ⟨a, f⟩ = ⟨b, g⟩.
    pub g: Array1<f64>,
    /// ⟨C, P⟩
    pub value: f64,
    /// Exchanges of the basis, both phases together.
    pub pivots: u64,
}

impl Emd {
    /// The plan as a matrix.
    pub fn plan(&self) -> Array2<f64> {
        let mut plan = Array2::zeros((self.f.len(), self.g.len()));
        for &(i, j, mass) in &self.entries {
            plan[[i, j]] = mass;
        }
        plan
    }
}

/// The cheapest plan between weights `a` and `b`.
///
/// `b` is scaled to the mass of `a`, if it differs by no more than rounding. A cost of +∞ forbids a
/// pair; what only the rounding of weights would send over one, four machine epsilons of their type, is not
/// sent. Rows and columns without weight take no part; their potentials are as large as the inequalities
/// allow.
///
/// # Shapes
///
/// `cost` (n, m), `a` (n), `b` (m).
///
/// # Errors
///
/// [`Error::Shape`] when the weights do not fit the cost; [`Error::NonFinite`] for a weight that is
/// none; [`Error::Entry`] for one below 0, or a cost of NaN or −∞; [`Error::Parameter`] for no atoms, no mass, masses that differ by
/// more than 1e-12 (f32: 1e-6) of themselves, or costs so large that their sums are not numbers;
/// [`Error::Infeasible`] when every plan uses forbidden pairs, with rows that prove it.
///
/// # Examples
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::exact::emd;
///
/// let cost = array![[1.0, 2.0, 0.5], [3.0, 1.0, f64::INFINITY]];
/// let solution = emd(&cost, &array![0.5, 0.5], &array![0.25, 0.5, 0.25])?;
/// assert_eq!(solution.entries, [(0, 0, 0.25), (0, 2, 0.25), (1, 1, 0.5)]);
/// assert_eq!(solution.value, 0.875);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn emd<T: Real>(cost: &ArrayRef2<T>, a: &ArrayRef1<T>, b: &ArrayRef1<T>) -> Result<Emd, Error> {
    let (n, m) = cost.dim();
    Error::shape("a", [n, 1], [a.len(), 1])?;
    Error::shape("b", [m, 1], [b.len(), 1])?;
    let masses = Masses::new(a, b)?;
    check_costs(cost, masses.weight(masses.total()))?;
    let active = |w: &[u64]| -> Vec<usize> { (0..w.len()).filter(|&i| w[i] > 0).collect() };
    let (rows, columns) = (active(&masses.a), active(&masses.b));
    let mut compact = Vec::with_capacity(rows.len() * columns.len());
    for &i in &rows {
        let row = cost.row(i);
        match row.as_slice() {
            Some(row) if columns.len() == m => compact.extend(row.iter().map(|c| c.to_f64())),
            _ => compact.extend(columns.iter().map(|&j| row[j].to_f64())),
        }
    }
    let pick = |w: &[u64], at: &[usize]| -> Vec<u64> { at.iter().map(|&i| w[i]).collect() };
    let problem = Problem {
        cost: compact,
        a: pick(&masses.a, &rows),
        b: pick(&masses.b, &columns),
        dust: dust::<T>(masses.total() as f64, n + m) as u64,
    };
    let (tree, pivots, potentials) = problem.solve().map_err(|short: Vec<usize>| {
        let short: Vec<usize> = short.iter().map(|&i| rows[i]).collect();
        infeasible(cost, &masses, short)
    })?;
    let mut entries: Vec<(usize, usize, f64)> = tree
        .arcs()
        .filter(|arc| arc.2 > 0)
        .map(|(i, j, flow)| (rows[i], columns[j], masses.weight(flow)))
        .filter(|&(i, j, _)| cost[[i, j]] != T::INFINITY)
        .collect();
    entries.sort_unstable_by_key(|&(i, j, _)| (i, j));
    let value = entries.iter().map(|&(i, j, mass)| cost[[i, j]].to_f64() * mass).sum();
    let mut g = alloc::vec![f64::NAN; m];
    for (&j, &x) in columns.iter().zip(&potentials[rows.len()..]) {
        g[j] = x;
    }
    let (f, g) = feasible(cost, &columns, g);
    let shift = masses.gauge(&f, &g);
    let (f, g) = (Array1::from_vec(f) + shift, Array1::from_vec(g) - shift);
    Ok(Emd { entries, f, g, value, pivots })
}

pub(super) fn check_costs<T: Real>(cost: &ArrayRef2<T>, mass: f64) -> Result<(), Error> {
    let mut largest = 0.0_f64;
    for (row, costs) in cost.rows().into_iter().enumerate() {
        for (j, c) in costs.iter().map(|c| c.to_f64()).enumerate() {
            Error::cost(row, j, c)?;
            largest = largest.max(if c < f64::INFINITY { c.abs() } else { 0.0 });
        }
    }
    let (n, m) = cost.dim();
    if (4.0 * largest * (n + m) as f64 * mass.max(1.0)).is_finite() {
        return Ok(());
    }
    let requirement = "so small that sums of n + m of them, times the mass, are numbers";
    Err(Error::Parameter { name: "cost", value: largest, requirement })
}

/// f_i = min_j C_ij − g_j over the active columns, and g of the others likewise over all rows; 0 where
/// every pair is forbidden.
fn feasible<T: Real>(
    cost: &ArrayRef2<T>,
    columns: &[usize],
    mut g: Vec<f64>,
) -> (Vec<f64>, Vec<f64>) {
    let or_zero = |x: f64| if x.is_finite() { x } else { 0.0 };
    let f: Vec<f64> = cost
        .rows()
        .into_iter()
        .map(|row| {
            let least = |least: f64, &j: &usize| least.min(row[j].to_f64() - g[j]);
            or_zero(columns.iter().fold(f64::INFINITY, least))
        })
        .collect();
    for (g, column) in g.iter_mut().zip(cost.columns()).filter(|(g, _)| g.is_nan()) {
        let least = |least: f64, (c, f): (&T, &f64)| least.min(c.to_f64() - f);
        *g = or_zero(column.iter().zip(&f).fold(f64::INFINITY, least));
    }
    (f, g)
}

fn infeasible<T: Real>(cost: &ArrayRef2<T>, masses: &Masses, rows: Vec<usize>) -> Error {
    let reached = |&j: &usize| rows.iter().any(|&i| cost[[i, j]] != T::INFINITY);
    let mass = rows.iter().map(|&i| masses.a[i]).sum();
    let reachable = (0..masses.b.len()).filter(reached).map(|j| masses.b[j]).sum();
    Error::Infeasible { mass: masses.weight(mass), reachable: masses.weight(reachable), rows }
}

/// A problem in which every row and column has mass.
struct Problem {
    cost: Vec<f64>,
    a: Vec<u64>,
    b: Vec<u64>,
    /// Mass on forbidden pairs that is nothing but rounding. The second phase cannot add to it, as no arc enters that would
    /// change the cost of the first.
    dust: u64,
}

impl Problem {
    /// The optimal tree, the pivots it took, and potentials; or rows that hold more than they reach.
    fn solve(self) -> Result<(Tree, u64, Vec<f64>), Vec<usize>> {
        let m = self.b.len();
        let mut tree = start::by_regret(&self.cost, &self.a, &self.b);
        let forbidden = |c: f64| c == f64::INFINITY;
        if !tree.arcs().any(|(i, j, _)| forbidden(self.cost[i * m + j])) {
            let pivots = optimise(&mut tree, &self.cost, m);
            let potentials = tree.pi.clone();
            return Ok((tree, pivots, potentials));
        }
        let count: Vec<f64> = self.cost.iter().map(|&c| f64::from(forbidden(c))).collect();
        let mut pivots = optimise(&mut tree, &count, m);
        // Whole numbers, as all costs of this phase are.
        let levels = tree.pi.clone();
        let wrong = tree.arcs().filter(|&(i, j, _)| forbidden(self.cost[i * m + j]));
        if wrong.map(|(_, _, flow)| flow).sum::<u64>() > self.dust {
            return Err(self.short(&levels));
        }
        let level = |i: usize, j: usize| levels[i] + levels[self.a.len() + j];
        let mut left = count;
        for (at, (left, &c)) in left.iter_mut().zip(&self.cost).enumerate() {
            *left = if level(at / m, at % m) < 0.0 { f64::INFINITY } else { c };
        }
        pivots += optimise(&mut tree, &left, m);
        // A pair that was dropped has level ≤ −1: enough of the levels makes room for it.
        let mut room = 0.0_f64;
        for (at, &c) in self.cost.iter().enumerate() {
            let (i, j) = (at / m, at % m);
            if level(i, j) < 0.0 && !forbidden(c) {
                room = room.max((tree.pi[i] + tree.pi[self.a.len() + j] - c) / -level(i, j));
            }
        }
        let potentials = tree.pi.iter().zip(&levels).map(|(pi, level)| pi + room * level).collect();
        Ok((tree, pivots, potentials))
    }

    /// The rows of one level and above that exceed what they reach by most: as the mean of these
    /// excesses over the levels is what no plan can place, one is above 0.
    fn short(&self, levels: &[f64]) -> Vec<usize> {
        let (n, m) = (self.a.len(), self.b.len());
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&i, &k| levels[k].total_cmp(&levels[i]));
        let mut reached = alloc::vec![false; m];
        let (mut excess, mut best) = (0_i64, (0_i64, n));
        for (at, &i) in order.iter().enumerate() {
            excess += self.a[i] as i64;
            for (j, reached) in reached.iter_mut().enumerate() {
                if !*reached && self.cost[i * m + j] != f64::INFINITY {
                    *reached = true;
                    excess -= self.b[j] as i64;
                }
            }
            if excess > best.0 {
                best = (excess, at + 1);
            }
        }
        order.truncate(best.1);
        order.sort_unstable();
        order
    }
}

/// Pivots until no arc of finite cost violates f_i + g_j ≤ C_ij; returns how many.
fn optimise(tree: &mut Tree, cost: &[f64], m: usize) -> u64 {
    let n = cost.len() / m;
    // A forbidden pair in the tree carries nothing, and may cost anything.
    tree.price(|i, j| if cost[i * m + j].is_finite() { cost[i * m + j] } else { 0.0 });
    let mut g = alloc::vec![0.0; m];
    let mut candidates: Vec<(usize, usize, f64)> = Vec::with_capacity(BLOCK);
    let mut pivots = 0;
    let (mut row, mut read) = (0, 0);
    while read < n {
        for (j, g) in g.iter_mut().enumerate() {
            *g = tree.low(n + j);
        }
        candidates.clear();
        for _ in 0..BLOCK.min(n) {
            let costs = &cost[row * m..][..m];
            if let Some((_, j)) = pricing::most(costs, tree.low(row), &g) {
                candidates.push((row, j, costs[j]));
            }
            row = if row + 1 == n { 0 } else { row + 1 };
        }
        read += BLOCK;
        loop {
            let (mut worst, mut entering) = (0.0, None);
            candidates.retain(|&(i, j, c)| {
                let violation = tree.low(i) + tree.low(n + j) - c;
                if violation > worst {
                    (worst, entering) = (violation, Some((i, j, c)));
                }
                violation > 0.0
            });
            let Some((i, j, c)) = entering else { break };
            tree.pivot(i, j, c);
            #[cfg(test)]
            assert!(tree.strongly_feasible());
            pivots += 1;
            read = 0;
        }
    }
    pivots
}

#[cfg(test)]
mod tests;

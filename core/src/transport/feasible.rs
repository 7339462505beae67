//! Can the allowed pairs carry the mass at all?
//!
//! Balanced transport with forbidden pairs is feasible when every set of rows holds no more mass than the columns it
//! can reach (Hall's condition). A largest flow from rows to columns over the allowed pairs decides it; where it does
//! not carry everything, the rows that can still be reached from one with mass left over are such a set. (Edmonds and
//! Karp 1972.) Memory n m; time n m for masks that leave room, and at worst n + m times that.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::problem::{Marginal, Problem};
use super::sweep;
use crate::error::Error;
use crate::real::Real;

/// Refuses a problem whose mask cannot carry its mass, and names the rows.
///
/// A largest flow by shortest augmenting paths (Edmonds and Karp 1972) after a greedy start: O(n·m) for masks that leave
/// room, (n + m) searches of O(n·m) at worst.
pub(super) fn check<T: Real>(problem: &Problem<'_, T>) -> Result<(), Error> {
    let (n, m) = problem.shape();
    let mut scratch = alloc::vec![T::ZERO; m];
    let mut allowed = alloc::vec![false; n * m];
    for (i, allowed) in allowed.chunks_exact_mut(m).enumerate() {
        let cost = sweep::row(problem.geometry, i, &mut scratch);
        allowed.iter_mut().zip(cost).for_each(|(to, c)| *to = c.to_f64() < f64::INFINITY);
    }
    let mut flow = alloc::vec![0.0_f64; n * m];
    let (mut supply, mut demand) = (problem.a.clone(), problem.b.clone());
    for i in 0..n {
        for j in (0..m).filter(|j| allowed[i * m + j]) {
            let moved = supply[i].min(demand[j]);
            flow[i * m + j] = moved;
            supply[i] -= moved;
            demand[j] -= moved;
        }
    }
    let dust = dust::<T>(problem.mass(), n + m);
    while let Some(start) = (0..n).find(|&i| supply[i] > dust) {
        let Some(path) = augmenting(start, &allowed, &flow, &demand, dust, (n, m)) else {
            let rows = reachable(start, &allowed, &flow, dust, (n, m));
            let mass = rows.iter().map(|&i| problem.a[i]).sum();
            let open = |j: &usize| rows.iter().any(|i| allowed[i * m + j]);
            // An empty sum of floats is −0.
            let reachable = (0..m).filter(open).map(|j| problem.b[j]).fold(0.0, |x, y| x + y);
            return Err(Error::Infeasible { rows, mass, reachable });
        };
        // A path row, column, row, column …: forward pairs gain, backward ones lose.
        let mut moved = supply[start].min(demand[*path.last().expect("a path has columns")]);
        for back in path.windows(3).step_by(2) {
            moved = moved.min(flow[back[2] * m + back[1]]);
        }
        for forward in path.chunks_exact(2) {
            flow[forward[0] * m + forward[1]] += moved;
        }
        for back in path.windows(3).step_by(2) {
            flow[back[2] * m + back[1]] -= moved;
        }
        supply[start] -= moved;
        demand[*path.last().expect("a path has columns")] -= moved;
    }
    Ok(())
}

/// What is no mass, but left over by rounding: each weight is known to half a machine epsilon of its type, or a little more
/// where it was divided by a sum, and sums of so many weights are rounded in f64.
pub(super) fn dust<T: Real>(mass: f64, count: usize) -> f64 {
    mass * (4.0 * T::EPSILON.to_f64() + count as f64 * f64::EPSILON)
}

/// Refuses a hard marginal whose other side is not, where an atom of it has no way to go: the only thing that can make
/// such a problem infeasible.
pub(super) fn check_one_side<T: Real>(problem: &Problem<'_, T>) -> Result<(), Error> {
    let (n, m) = problem.shape();
    let mut scratch = alloc::vec![T::ZERO; m];
    let (mut row_goes, mut column_goes) = (alloc::vec![false; n], alloc::vec![false; m]);
    for (i, row_goes) in row_goes.iter_mut().enumerate() {
        let cost = sweep::row(problem.geometry, i, &mut scratch);
        for (j, _) in cost.iter().enumerate().filter(|(_, c)| c.to_f64() < f64::INFINITY) {
            *row_goes |= problem.b[j] > 0.0;
            column_goes[j] |= problem.a[i] > 0.0;
        }
    }
    let stuck = |weights: &[f64], goes: &[bool]| -> Vec<usize> {
        (0..weights.len()).filter(|&i| weights[i] > 0.0 && !goes[i]).collect()
    };
    let [rows_hard, columns_hard] = problem.marginals.map(|marginal| marginal == Marginal::Hard);
    let rows = stuck(&problem.a, &row_goes);
    if rows_hard && !rows.is_empty() {
        let mass = rows.iter().map(|&i| problem.a[i]).sum();
        return Err(Error::Infeasible { rows, mass, reachable: 0.0 });
    }
    let columns = stuck(&problem.b, &column_goes);
    if columns_hard && !columns.is_empty() {
        let mass = columns.iter().map(|&j| problem.b[j]).sum();
        return Err(Error::Unreachable { columns, mass });
    }
    Ok(())
}

/// Shortest path start, column, row, …, column that ends where demand is left.
fn augmenting(
    start: usize,
    allowed: &[bool],
    flow: &[f64],
    demand: &[f64],
    dust: f64,
    (n, m): (usize, usize),
) -> Option<Vec<usize>> {
    let (row_from, column_from) = search(start, allowed, flow, dust, (n, m));
    let end = (0..m).filter(|&j| demand[j] > 0.0 && column_from[j] != usize::MAX);
    let end = end.max_by(|&x, &y| demand[x].total_cmp(&demand[y]))?;
    let (mut path, mut column) = (Vec::new(), end);
    loop {
        let row = column_from[column];
        path.extend([column, row]);
        if row == start {
            path.reverse();
            return Some(path);
        }
        column = row_from[row];
    }
}

/// Rows that can be reached from `start`, with the columns they were reached by, and columns with their rows.
fn search(
    start: usize,
    allowed: &[bool],
    flow: &[f64],
    dust: f64,
    (n, m): (usize, usize),
) -> (Vec<usize>, Vec<usize>) {
    let (mut row_from, mut column_from) = (alloc::vec![usize::MAX; n], alloc::vec![usize::MAX; m]);
    let mut queue = VecDeque::from([start]);
    row_from[start] = m;
    while let Some(i) = queue.pop_front() {
        for j in 0..m {
            if column_from[j] != usize::MAX || !allowed[i * m + j] {
                continue;
            }
            column_from[j] = i;
            for (k, from) in row_from.iter_mut().enumerate() {
                if *from == usize::MAX && flow[k * m + j] > dust {
                    *from = j;
                    queue.push_back(k);
                }
            }
        }
    }
    (row_from, column_from)
}

fn reachable(
    start: usize,
    allowed: &[bool],
    flow: &[f64],
    dust: f64,
    shape: (usize, usize),
) -> Vec<usize> {
    let (row_from, _) = search(start, allowed, flow, dust, shape);
    (0..shape.0).filter(|&i| row_from[i] != usize::MAX).collect()
}

//! The first basis: a greedy plan by regret (Vogel's rule on rows).
//!
//! The row that would lose most by not getting its cheapest open column, the next one being dearer by
//! that much, is served first. Each assignment closes a row or a column, which becomes a child of the
//! other, so what results is a spanning tree. A tie closes the column, and the last column never
//! closes: so every column has flow to its parent, and the tree is strongly feasible.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::tree::Tree;

/// Rows searched again, in multiples of n + m, before regrets are no longer kept up to date. Costs
/// that differ by column only would otherwise search every row after every column.
const PATIENCE: usize = 8;

/// A row's cheapest open column, and by how much the next is dearer.
struct Choice {
    best: usize,
    next: usize,
    /// Order of a number that is not negative.
    regret: u64,
}

/// `cost` holds a row of `b.len()` numbers for each of `a`; +∞ is taken last.
pub(super) fn by_regret(cost: &[f64], a: &[u64], b: &[u64]) -> Tree {
    let (n, m) = (a.len(), b.len());
    let mut tree = Tree::new(n, m);
    let (mut supply, mut demand) = (a.to_vec(), b.to_vec());
    let mut open = m;
    // 0 for an open column, +∞ for a closed one: added to the cost.
    let mut shut = alloc::vec![0.0; m];
    let mut choices: Vec<Choice> = cost.chunks_exact(m).map(|row| choose(row, &shut)).collect();
    let entry = |i: usize, choice: &Choice| (choice.regret, Reverse(i));
    let mut queue: BinaryHeap<_> = choices.iter().enumerate().map(|(i, c)| entry(i, c)).collect();
    let mut patience = PATIENCE * (n + m);
    while let Some((_, Reverse(i))) = queue.pop() {
        let row = &cost[i * m..][..m];
        let Choice { best, next, .. } = choices[i];
        let stale = [best, next].iter().any(|&j| j < m && shut[j] > 0.0);
        if stale {
            choices[i] = choose(row, &shut);
            if patience > 0 {
                patience -= 1;
                queue.push(entry(i, &choices[i]));
                continue;
            }
        }
        let j = choices[i].best;
        if open > 1 && supply[i] >= demand[j] {
            tree.attach(n + j, i, demand[j], row[j]);
            supply[i] -= demand[j];
            shut[j] = f64::INFINITY;
            open -= 1;
            queue.push(entry(i, &choices[i]));
        } else {
            tree.attach(i, n + j, supply[i], row[j]);
            demand[j] -= supply[i];
        }
    }
    tree
}

fn choose(row: &[f64], shut: &[f64]) -> Choice {
    let none = (f64::INFINITY, row.len());
    let (mut best, mut next) = (none, none);
    for (j, (&c, &shut)) in row.iter().zip(shut).enumerate() {
        let c = c + shut;
        if c < next.0 {
            if c < best.0 {
                (best, next) = ((c, j), best);
            } else {
                next = (c, j);
            }
        }
    }
    if best == none {
        // Forbidden columns only: last of all.
        let best = shut.iter().position(|&shut| shut == 0.0).unwrap_or(0);
        return Choice { best, next: row.len(), regret: 0 };
    }
    Choice { best: best.1, next: next.1, regret: (next.0 - best.0).to_bits() }
}

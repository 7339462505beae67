//! Drawn problems. The hard cases are the ordinary ones: weights that are not uniform, n ≠ m, masses other than 1; and
//! often weights of 0, clusters, large offsets of the cost, forbidden pairs, a small ε.

use ndarray::{Array1, Array2};

use crate::inputs::{lcg, matrix, squared};
use crate::solver::{Marginal, Problem, Reference};

/// ε over the range of the cost where plans are compared.
pub(super) const MODERATE: [f64; 5] = [1.0, 0.3, 0.1, 0.05, 0.02];
/// The same where only values, sums and statuses are.
pub(super) const SMALL: [f64; 4] = [0.02, 5e-3, 1e-3, 2e-4];

/// Draws of one seed.
pub(super) struct Draws(Box<dyn Iterator<Item = f64>>);

impl Draws {
    /// Those of a seed for one invariant: neighbours among either share nothing (Weyl's sequence of the golden ratio).
    pub(super) fn new(seed: u64, number: usize) -> Self {
        let weyl = 0x9e37_79b9_7f4a_7c15_u64;
        let start = seed.wrapping_mul(weyl) ^ (number as u64).wrapping_mul(weyl).rotate_left(32);
        Draws(Box::new(lcg(start).skip(2)))
    }

    /// In [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        self.0.next().expect("the generator has no end")
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Below n.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Two sizes that differ.
    pub(super) fn sizes(&mut self) -> (usize, usize) {
        let (n, m) = (2 + self.below(7), 2 + self.below(7));
        (n, if m == n { m + 1 } else { m })
    }

    pub(super) fn vector(&mut self, n: usize) -> Array1<f64> {
        (0..n).map(|_| self.unit()).collect()
    }

    pub(super) fn matrix(&mut self, n: usize, m: usize) -> Array2<f64> {
        let entries = (0..n * m).map(|_| self.unit()).collect();
        matrix(n, m, entries)
    }

    /// Entries in [−1, 1).
    pub(super) fn signed(&mut self, n: usize, m: usize) -> Array2<f64> {
        self.matrix(n, m) * 2.0 - 1.0
    }

    pub(super) fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        (1..n).rev().for_each(|i| order.swap(i, self.below(i + 1)));
        order
    }

    /// Of a mass, skewed: some are hundreds of times others.
    pub(super) fn positive_weights(&mut self, n: usize, mass: f64) -> Array1<f64> {
        let w = self.vector(n).mapv(|u| 0.004 + u * u * u);
        &w * (mass / w.sum())
    }

    /// The same, some of them 0, at least two not.
    pub(super) fn weights(&mut self, n: usize, mass: f64) -> Array1<f64> {
        let mut w = self.positive_weights(n, mass);
        let kept = self.below(n);
        for i in 0..n {
            if i != kept && i != (kept + 1) % n && self.chance(0.2) {
                w[i] = 0.0;
            }
        }
        &w * (mass / w.sum())
    }

    /// Multiples of 2⁻¹² of sum 1, which every type holds, and sums in any order.
    pub(super) fn dyadic_weights(&mut self, n: usize) -> Array1<f64> {
        let mut w = self.positive_weights(n, 4096.0).mapv(|w| w.floor().max(1.0));
        let heaviest = (0..n).fold(0, |top, i| if w[i] > w[top] { i } else { top });
        w[heaviest] += 4096.0 - w.sum();
        w / 4096.0
    }

    /// (n, d) in the unit square, or in three small clusters.
    pub(super) fn points(&mut self, n: usize, d: usize) -> Array2<f64> {
        let (width, clustered) = (self.pick(&[0.3, 0.05]), self.chance(0.4));
        let mut x = self.matrix(n, d);
        if clustered {
            for mut row in x.rows_mut() {
                let centre = self.pick(&[0.0, 0.4, 1.0]);
                row.mapv_inplace(|x| centre + width * x);
            }
        }
        x
    }

    /// A problem of hard marginals. ε is one of those given, times the range of the cost.
    pub(super) fn balanced(&mut self, epsilons: &[f64]) -> Drawn {
        let (n, m) = self.sizes();
        let mass = self.pick(&[1.0, 2.5, 0.01, 40.0]);
        let (a, b) = (self.weights(n, mass), self.weights(m, mass));
        let mut cost = squared(&self.points(n, 2), &self.points(m, 2));
        match self.below(4) {
            0 => cost.mapv_inplace(f64::sqrt),
            // Ties: a lattice of few different costs.
            1 => cost = Array2::from_shape_fn((n, m), |(i, j)| ((7 * i + 13 * j) % 11) as f64),
            _ => {}
        }
        if self.chance(0.3) {
            self.forbid(&mut cost, &a, &b);
        }
        let epsilon = self.pick(epsilons) * range(&cost);
        cost += self.pick(&[0.0, 0.0, 3.75, -1e3]);
        Drawn { cost, a, b, epsilon, ..Drawn::default() }
    }

    /// A problem whose weights may be missed on one side or both, of two masses.
    pub(super) fn unbalanced(&mut self, epsilons: &[f64]) -> Drawn {
        let mut drawn = self.balanced(epsilons);
        drawn.cost.mapv_inplace(|c| if c.is_finite() { c % 100.0 } else { 1.0 });
        drawn.cost += -drawn.cost.iter().fold(f64::INFINITY, |low, c| low.min(*c));
        let range = range(&drawn.cost);
        drawn.epsilon = self.pick(epsilons) * range;
        let rho = |draws: &mut Self| Marginal::Kl(range * draws.pick(&[0.1, 0.7, 3.0]));
        drawn.marginals = match self.below(4) {
            0 => [rho(self), Marginal::Hard],
            1 => [Marginal::Hard, rho(self)],
            _ => [rho(self), rho(self)],
        };
        drawn.b *= self.pick(&[1.7, 0.6]);
        if self.chance(0.3) {
            drawn.reference = Reference::Counting;
        }
        drawn
    }

    /// Forbids pairs, none of those that the north-west corner rule uses in some order: they hang together and all hold
    /// mass, so that every other pair lies on a cycle of them and may hold some too.
    fn forbid(&mut self, cost: &mut Array2<f64>, a: &Array1<f64>, b: &Array1<f64>) {
        let allowed = |w: &Array1<f64>, order: Vec<usize>| -> Vec<usize> {
            order.into_iter().filter(|&i| w[i] > 0.0).collect()
        };
        let (rows, columns) =
            (allowed(a, self.permutation(a.len())), allowed(b, self.permutation(b.len())));
        let mut kept = Array2::from_elem(cost.dim(), false);
        let (mut i, mut j, mut row, mut column) = (0, 0, a[rows[0]], b[columns[0]]);
        loop {
            kept[[rows[i], columns[j]]] = true;
            if (i + 1, j + 1) == (rows.len(), columns.len()) {
                break;
            }
            if j + 1 == columns.len() || row < column && i + 1 < rows.len() {
                (column, i) = (column - row, i + 1);
                row = a[rows[i]];
            } else {
                (row, j) = (row - column, j + 1);
                column = b[columns[j]];
            }
        }
        for (at, cost) in cost.indexed_iter_mut() {
            if !kept[at] && self.chance(0.4) {
                *cost = f64::INFINITY;
            }
        }
    }
}

/// Largest less smallest finite cost; 1 where that is 0.
pub(super) fn range(cost: &Array2<f64>) -> f64 {
    let finite = || cost.iter().filter(|c| c.is_finite());
    let most = finite().fold(f64::NEG_INFINITY, |most, &c| most.max(c));
    let range = most - finite().fold(f64::INFINITY, |least, &c| least.min(c));
    if range > 0.0 { range } else { 1.0 }
}

/// A problem that owns its data.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub(super) cost: Array2<f64>,
    pub(super) a: Array1<f64>,
    pub(super) b: Array1<f64>,
    pub(super) epsilon: f64,
    pub(super) marginals: [Marginal; 2],
    pub(super) reference: Reference,
}

impl Default for Drawn {
    fn default() -> Self {
        let (cost, weights) = (Array2::zeros((1, 1)), Array1::ones(1));
        let (marginals, reference) = ([Marginal::Hard; 2], Reference::Product);
        Drawn { cost, a: weights.clone(), b: weights, epsilon: 1.0, marginals, reference }
    }
}

impl Drawn {
    pub(super) fn problem(&self) -> Problem<'_> {
        let Drawn { marginals, reference, .. } = *self;
        Problem { marginals, reference, ..Problem::new(&self.cost, &self.a, &self.b, self.epsilon) }
    }
}

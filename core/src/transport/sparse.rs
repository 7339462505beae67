//! The entries of a plan that matter, row by row.
//!
//! At small ε nearly all mass of a plan lies on about n + m entries, and the others are too small to be worth a place in
//! memory. What is dropped is added up, so that the reader knows what is missing.

use alloc::vec::Vec;

use super::solution::Solution;
use crate::error::Error;
use crate::real::Real;

/// Entries of a plan above a threshold, in rows (compressed sparse rows): at small ε about n + m of them hold nearly
/// all mass.
///
/// Made in one pass over the cost; its row sums are less than the weights by what was left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse<T> {
    /// Row i is entries `starts[i]..starts[i + 1]`; n + 1 numbers.
    pub starts: Vec<usize>,
    /// The column of each entry, rising within a row.
    pub columns: Vec<usize>,
    /// The mass of each entry.
    pub masses: Vec<T>,
    /// Mass of the entries that are not here.
    pub left_out: f64,
}

impl<T: Real> Sparse<T> {
    /// The entries (column, mass) of row i; none where i is not below n.
    pub fn row(&self, i: usize) -> impl Iterator<Item = (usize, T)> {
        let range = match self.starts.get(i..i + 2) {
            Some(&[from, to]) => from..to,
            _ => 0..0,
        };
        self.columns[range.clone()].iter().copied().zip(self.masses[range].iter().copied())
    }

    /// All entries (row, column, mass).
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize, T)> {
        let rows = 0..self.starts.len() - 1;
        rows.flat_map(move |i| self.row(i).map(move |(j, p)| (i, j, p)))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.masses.len()
    }

    /// No entry at all?
    pub fn is_empty(&self) -> bool {
        self.masses.is_empty()
    }
}

impl<T: Real> Solution<'_, T> {
    /// The entries of the plan above `threshold`, in one pass over the cost. With 0, all that are not 0.
    ///
    /// [`Sparse::left_out`] is the mass of the others, at most `threshold` n m.
    ///
    /// ```
    /// use ndarray::array;
    /// use swav_core::transport::{Dense, Problem, Sinkhorn};
    ///
    /// let (cost, half) = (array![[0.0_f64, 1.0], [1.0, 0.0]], array![0.5, 0.5]);
    /// let geometry = Dense::new(&cost);
    /// let problem = Problem::new(&geometry, &half, &half, 0.05)?;
    /// let sparse = Sinkhorn::default().solve(&problem)?.sparse(1e-6)?;
    /// assert_eq!(sparse.columns, [0, 1]);
    /// assert!(sparse.left_out < 1e-8);
    /// # Ok::<(), swav_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] for a threshold that is NaN or below 0.
    #[inline(never)]
    pub fn sparse(&self, threshold: f64) -> Result<Sparse<T>, Error> {
        if threshold.is_nan() || threshold < 0.0 {
            let (name, requirement) = ("threshold", "at least 0");
            return Err(Error::Parameter { name, value: threshold, requirement });
        }
        Ok(self.keep(|_| threshold))
    }

    /// The largest entries of each row, as few as leave out at most `share` of its mass, and those as large as the
    /// smallest of them: one pass over the cost and a sort of each row.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] for a share outside [0, 1].
    #[inline(never)]
    pub fn sparse_within(&self, share: f64) -> Result<Sparse<T>, Error> {
        if !(0.0..=1.0).contains(&share) {
            let (name, requirement) = ("share", "at least 0 and at most 1");
            return Err(Error::Parameter { name, value: share, requirement });
        }
        Ok(self.keep(|plan| {
            let mut masses: Vec<f64> =
                plan.iter().map(|p| p.to_f64()).filter(|&p| p > 0.0).collect();
            masses.sort_unstable_by(f64::total_cmp);
            let most = share * masses.iter().sum::<f64>();
            let (mut left, mut threshold) = (0.0, 0.0);
            for mass in masses {
                left += mass;
                if left > most {
                    // Entries equal to this one would be dropped with the last: they stay.
                    let tied = mass == threshold && mass > 0.0;
                    return if tied { mass.next_down() } else { threshold };
                }
                threshold = mass;
            }
            threshold
        }))
    }

    /// The `k` largest entries of each row, and those as large as the smallest of them; entries of 0 never.
    #[inline(never)]
    pub fn sparse_largest(&self, k: usize) -> Sparse<T> {
        self.keep(|plan| {
            let mut masses: Vec<f64> = plan.iter().map(|p| p.to_f64()).collect();
            if k == 0 || k > masses.len() {
                return if k == 0 { f64::INFINITY } else { 0.0 };
            }
            let (_, &mut least, _) = masses.select_nth_unstable_by(k - 1, |x, y| y.total_cmp(x));
            least.next_down().max(0.0)
        })
    }

    /// The pairs that prefer each other, row, column and mass by row: the entry is above 0, the largest of its row and the
    /// largest of its column, the first of equal ones. One pass over the cost.
    #[inline(never)]
    pub fn mutual_best(&self) -> Vec<(usize, usize, f64)> {
        let m = self.problem.shape().1;
        let start = || (Vec::new(), alloc::vec![(0.0, usize::MAX); m]);
        let found = self.over_rows(start, |i, _, plan, (rows, columns)| {
            let mut best = (0.0, usize::MAX);
            for (j, (p, column)) in plan.iter().map(|p| p.to_f64()).zip(columns).enumerate() {
                best = if p > best.0 { (p, j) } else { best };
                *column = if p > column.0 { (p, i) } else { *column };
            }
            rows.push((i, best));
        });
        let mut columns = alloc::vec![(0.0, usize::MAX); m];
        for (_, piece) in &found {
            for (best, &column) in columns.iter_mut().zip(piece) {
                *best = if column.0 > best.0 { column } else { *best };
            }
        }
        let rows = found.into_iter().flat_map(|(rows, _)| rows);
        let mutual = |(i, (p, j)): (usize, (f64, usize))| {
            columns.get(j).is_some_and(|&(_, row)| row == i).then_some((i, j, p))
        };
        rows.filter_map(mutual).collect()
    }

    /// Entries above what `threshold` says of their row.
    fn keep(&self, threshold: impl Fn(&[T]) -> f64 + Sync) -> Sparse<T> {
        let start = || (Vec::new(), Vec::new(), Vec::new(), 0.0);
        let found = self.over_rows(start, |_, _, plan, (ends, columns, masses, left_out)| {
            let threshold = threshold(plan);
            for (j, &p) in plan.iter().enumerate() {
                if p.to_f64() > threshold {
                    columns.push(j);
                    masses.push(p);
                } else {
                    *left_out += p.to_f64();
                }
            }
            ends.push(masses.len());
        });
        let (starts, columns, masses) = (alloc::vec![0], Vec::new(), Vec::new());
        let mut sparse = Sparse { starts, columns, masses, left_out: 0.0 };
        for (ends, columns, masses, left_out) in found {
            let before = sparse.masses.len();
            sparse.starts.extend(ends.iter().map(|end| before + end));
            sparse.columns.extend(columns);
            sparse.masses.extend(masses);
            sparse.left_out += left_out;
        }
        sparse
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use crate::laws::{draws, uniform};
    use crate::transport::{Dense, Problem, Sinkhorn};
    use ndarray::{Array1, Array2};

    fn drawn() -> (Array2<f64>, Array1<f64>, Array1<f64>) {
        let (mut a, b) = (Array1::from_vec(draws(2, 90)), Array1::from_vec(draws(3, 400)));
        a[17] = 0.0;
        let (a, b) = (&a * (2.5 / a.sum()), &b * (2.5 / b.sum()));
        (uniform(1, (90, 400)), a, b)
    }

    #[test]
    fn sparse_and_left_out_are_the_plan() {
        let (cost, a, b) = drawn();
        let geometry = Dense::new(&cost);
        let problem = Problem::new(&geometry, &a, &b, 0.01).unwrap();
        let solution = Sinkhorn::default().solve(&problem).unwrap();
        let plan = solution.plan();
        for threshold in [0.0, 1e-12, 1e-6, 1e-3, 1.0] {
            let sparse = solution.sparse(threshold).unwrap();
            let dense = plan.indexed_iter().filter(|(_, p)| **p > threshold);
            assert!(sparse.iter().eq(dense.map(|((i, j), &p)| (i, j, p))));
            assert_eq!(sparse.starts.len(), 91);
            assert_eq!(sparse.row(17).count(), 0);
            let kept: f64 = sparse.masses.iter().sum();
            // Sums of 36 000 terms.
            assert!((kept + sparse.left_out - plan.sum()).abs() <= 36_000.0 * f64::EPSILON * 2.5);
            assert!(sparse.left_out <= threshold * 36_000.0);
        }
        let all = solution.sparse(1.0).unwrap();
        assert!(all.is_empty() && (all.left_out - 2.5).abs() <= 1e-9);
        // The point of it: a small part of the entries is nearly all of the mass.
        let few = solution.sparse(1e-9).unwrap();
        assert!(few.len() < 10_000 && few.left_out < 1e-5, "{} {}", few.len(), few.left_out);
    }

    #[test]
    fn a_share_is_kept_to_row_by_row_and_with_no_entry_too_many() {
        let (cost, a, b) = drawn();
        let geometry = Dense::new(&cost);
        let problem = Problem::new(&geometry, &a, &b, 0.03).unwrap();
        let solution = Sinkhorn::default().solve(&problem).unwrap();
        for share in [0.0, 1e-9, 1e-3, 0.3, 1.0] {
            let sparse = solution.sparse_within(share).unwrap();
            for (i, &a) in a.iter().enumerate() {
                let kept: f64 = sparse.row(i).map(|(_, p)| p).sum();
                // A row of 400 terms sums to its weight.
                let off = 400.0 * f64::EPSILON * a;
                assert!(a - kept <= share * a + off, "row {i}: {kept} of {a}");
                let least = sparse.row(i).map(|(_, p)| p).fold(f64::INFINITY, f64::min);
                assert!(a == 0.0 || share == 1.0 || a - kept + least >= share * a - off);
            }
        }
        // Equal entries go together or stay together.
        let (cost, a) = (Array2::zeros((2, 4)), ndarray::arr1(&[1.0, 1.0]));
        let (geometry, b) = (Dense::new(&cost), Array1::from_elem(4, 0.5));
        let problem = Problem::new(&geometry, &a, &b, 1.0).unwrap();
        let solution = Sinkhorn::default().solve(&problem).unwrap();
        assert_eq!(solution.sparse_within(0.5).unwrap().len(), 8);
        assert_eq!(solution.sparse_within(1.0).unwrap().len(), 0);
        assert!(solution.sparse_within(1.5).is_err() && solution.sparse(-1.0).is_err());
        assert!(solution.sparse(f64::NAN).is_err());
    }

    #[test]
    fn the_largest_of_each_row_and_the_pairs_that_prefer_each_other() {
        let (cost, a, b) = drawn();
        let geometry = Dense::new(&cost);
        let problem = Problem::new(&geometry, &a, &b, 0.03).unwrap();
        let solution = Sinkhorn::default().solve(&problem).unwrap();
        let plan = solution.plan();
        for k in [0, 1, 3, 399, 400, 500] {
            let sparse = solution.sparse_largest(k);
            for (i, row) in plan.rows().into_iter().enumerate() {
                let mut sorted = row.to_vec();
                sorted.sort_by(|x, y| y.total_cmp(x));
                sorted.truncate(k);
                let mut kept: Vec<f64> = sparse.row(i).map(|(_, p)| p).collect();
                kept.sort_by(|x, y| y.total_cmp(x));
                assert_eq!(kept, if i == 17 { Vec::new() } else { sorted }, "{i} {k}");
            }
        }
        let first = |x: ndarray::ArrayView1<'_, f64>| {
            let most = x.iter().fold(0.0, |m: f64, &p| m.max(p));
            x.iter().position(|&p| p == most && p > 0.0)
        };
        let mut expected = Vec::new();
        for (i, row) in plan.rows().into_iter().enumerate() {
            if let Some(j) = first(row).filter(|&j| first(plan.column(j)) == Some(i)) {
                expected.push((i, j, plan[[i, j]]));
            }
        }
        let found = solution.mutual_best();
        assert!(found.len() > 20 && found.len() < 90, "{}", found.len());
        assert_eq!(found, expected);
    }
}

//! Many problems at once, of any shapes.
//!
//! Each is solved on its own, by the very steps that a loop would take: the answers have the same bits, each item stops when
//! it has converged, and has its own status. Nothing is padded. Threads take items (small problems have a single piece of rows,
//! and would keep one thread busy each), and within a large item its rows.
//!
//! # Complexity and limits
//!
//! The time of the loop over the number of threads, where items are many. The items are dealt out in at most 64 groups of
//! neighbours, and a group's memory is that of its largest item.

use alloc::vec::Vec;

use super::problem::Problem;
use super::run::Run;
use super::sinkhorn::Sinkhorn;
use super::solution::Solution;
use super::workspace::Workspace;
use crate::chunks::*;
use crate::error::Error;
use crate::real::Real;

/// Groups that share a workspace.
const GROUPS: usize = 64;

impl Sinkhorn {
    /// Solves all `problems`, in parallel, each as [`Sinkhorn::solve`] would: the same bits, its own iterations and
    /// [`Status`](super::Status).
    ///
    /// ```
    /// use ndarray::{Array1, Array2};
    /// use swav_core::transport::{Dense, Problem, Sinkhorn};
    ///
    /// // Ragged: 2 × 3, 5 × 4, ...
    /// let costs: Vec<Array2<f64>> = (2..6)
    ///     .map(|n| Array2::from_shape_fn((n, 9 - n), |(i, j)| (i as f64 - j as f64).powi(2)))
    ///     .collect();
    /// let geometries: Vec<_> = costs.iter().map(|cost| Dense::new(cost)).collect();
    /// let problems: Vec<_> = geometries
    ///     .iter()
    ///     .zip(2..6)
    ///     .map(|(geometry, n)| {
    ///         let (a, b) = (Array1::ones(n) / n as f64, Array1::ones(9 - n) / (9 - n) as f64);
    ///         Problem::new(geometry, &a, &b, 0.1)
    ///     })
    ///     .collect::<Result<_, _>>()?;
    /// for solution in Sinkhorn::default().solve_all(&problems)? {
    ///     println!("{} {} {}", solution.value(), solution.status.name(), solution.iterations);
    /// }
    /// # Ok::<(), swav_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Sinkhorn::solve`], before anything is solved. Not converging is an item's status.
    #[inline(never)]
    pub fn solve_all<'a, T: Real>(
        &self,
        problems: &'a [Problem<'a, T>],
    ) -> Result<Vec<Solution<'a, T>>, Error> {
        self.check()?;
        let group = problems.len().div_ceil(GROUPS).max(1);
        let mut items: Vec<_> = problems.iter().map(|problem| (problem, None)).collect();
        items.par_chunks_mut(group).for_each(|items| {
            let mut workspace = Workspace::new();
            for (problem, solution) in items {
                *solution = Some(self.start(problem, &mut workspace, None).map(Run::complete));
            }
        });
        // Each item was given its place above.
        items.into_iter().filter_map(|(_, solution)| solution).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::{draws, uniform};
    use crate::transport::{Dense, Status};
    use ndarray::Array1;

    #[test]
    fn a_batch_is_the_loop_to_the_bit() {
        // 150 items of all shapes, in groups of 3: also large after small and small after large.
        let shape = |k: usize| (1 + k * 7 % 90, 1 + k * 13 % 70);
        let costs: Vec<_> = (0..150).map(|k| uniform(k as u64, shape(k))).collect();
        let geometries: Vec<_> = costs.iter().map(|cost| Dense::new(cost)).collect();
        let problems: Vec<_> = geometries
            .iter()
            .enumerate()
            .map(|(k, geometry)| {
                let (n, m) = shape(k);
                let weights = |seed, n| Array1::from_vec(draws(seed + k as u64, n));
                let (a, b) = (weights(1000, n), weights(2000, m));
                let (a, b) = (&a * (2.0 / a.sum()), &b * (2.0 / b.sum()));
                Problem::new(geometry, &a, &b, [0.3, 0.02, 1e-3][k % 3]).unwrap()
            })
            .collect();
        let options = Sinkhorn { max_iterations: 20, ..Sinkhorn::default() };
        let all = options.solve_all(&problems).unwrap();
        assert_eq!(all.len(), 150);
        for (problem, found) in problems.iter().zip(&all) {
            let one = options.solve(problem).unwrap();
            assert_eq!((&one.f, &one.g, one.status), (&found.f, &found.g, found.status));
            assert_eq!((one.error, one.iterations), (found.error, found.iterations));
        }
        // Each has stopped on its own.
        let ended = |status| all.iter().filter(|s| s.status == status).count();
        let (converged, cut) = (ended(Status::Converged), ended(Status::MaxIter));
        assert!(converged > 30 && cut > 30, "{converged} {cut}");
        assert!(Sinkhorn { tolerance: -1.0, ..options }.solve_all(&problems).is_err());
        assert!(options.solve_all::<f64>(&[]).unwrap().is_empty());
    }
}

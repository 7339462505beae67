//! Memory of a solver, owned by the caller and kept between problems.

use alloc::vec::Vec;

use super::grid::Transforms;
use super::sweep::Pieces;
use crate::real::Real;

/// Memory of [`Run`](super::Run): sized by the first problem, reused by later ones, so that solving again allocates
/// nothing that grows with n or m: some 10 (n + m) numbers and 64 m partial sums, and n m with a kernel.
///
/// Potentials are kept in f64 whatever the type of the cost.
#[derive(Clone, Debug)]
pub struct Workspace<T> {
    pub(super) f: Vec<f64>,
    pub(super) g: Vec<f64>,
    /// g before a trial step, and f.
    pub(super) last: [Vec<f64>; 2],
    /// g_j + ε ln r_j in the type of the cost, or the largest entry of each column.
    pub(super) columns: Vec<T>,
    /// f_i + ε ln r_i in the type of the cost.
    pub(super) rows: Vec<T>,
    /// Column sums of the plan.
    pub(super) sums: Vec<f64>,
    pub(super) pieces: Pieces<T>,
    /// Soft transforms by axes; only on a grid.
    pub(super) transforms: Transforms<T>,
    /// Kernel around the potentials `base`; only in the kernel domain.
    pub(super) kernel: Vec<T>,
    pub(super) base: [Vec<f64>; 2],
    /// exp((g − g⁰)/ε)
    pub(super) v: Vec<T>,
    /// Vectors of the conjugate gradients: solution, residual, direction, its image.
    pub(super) newton: [Vec<f64>; 4],
}

impl<T: Real> Default for Workspace<T> {
    fn default() -> Self {
        Workspace::new()
    }
}

impl<T: Real> Workspace<T> {
    /// An empty one; the first run sizes it.
    pub fn new() -> Self {
        Workspace {
            f: Vec::new(),
            g: Vec::new(),
            last: [Vec::new(), Vec::new()],
            columns: Vec::new(),
            rows: Vec::new(),
            sums: Vec::new(),
            pieces: Pieces::new(),
            transforms: Transforms::new(),
            kernel: Vec::new(),
            base: [Vec::new(), Vec::new()],
            v: Vec::new(),
            newton: [const { Vec::new() }; 4],
        }
    }

    /// Bytes that a run over n × m takes: in the log domain O(n + m), with for each of at most 64 pieces of rows a row of
    /// partial sums and a few of scratch; in the kernel domain n · m more. On a [`Grid`](super::Grid) less: some 10 (n + m) numbers.
    pub fn required(n: usize, m: usize, kernel: bool) -> usize {
        let (word, wide) = (size_of::<T>(), size_of::<f64>());
        let log = (2 * n + 3 * m) * wide + (n + m) * word + Pieces::<T>::bytes(n, m);
        log + if kernel { n * m * word + (n + 5 * m) * wide + m * word } else { 0 }
    }

    /// For another problem of n × m; `by_rows`: its iterations, or some of them, go over the rows of a matrix.
    pub(super) fn resize(&mut self, n: usize, m: usize, by_rows: bool) {
        for (vector, length) in [(&mut self.f, n), (&mut self.g, m), (&mut self.sums, m)] {
            vector.clear();
            vector.resize(length, 0.0);
        }
        self.columns.resize(m, T::ZERO);
        self.rows.resize(n, T::ZERO);
        self.transforms = Transforms::new();
        if by_rows {
            self.pieces.resize(n, m);
        }
    }
}

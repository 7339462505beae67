//! Memory of a solver, owned by the caller and kept between problems.

use alloc::vec::Vec;

use super::sweep::Pieces;
use crate::real::Real;

/// Memory of [`Run`](super::Run): sized by the first problem, reused by later ones, so that solving again allocates
/// nothing that grows with n or m.
///
/// Potentials are kept in f64 whatever the type of the cost.
#[derive(Clone, Debug, Default)]
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
    /// Kernel around the potentials `base`; only in the kernel domain.
    pub(super) kernel: Vec<T>,
    pub(super) base: [Vec<f64>; 2],
    /// exp((g − g⁰)/ε)
    pub(super) v: Vec<T>,
    /// Vectors of the conjugate gradients: solution, residual, direction, its image.
    pub(super) newton: [Vec<f64>; 4],
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
            kernel: Vec::new(),
            base: [Vec::new(), Vec::new()],
            v: Vec::new(),
            newton: [const { Vec::new() }; 4],
        }
    }

    /// Bytes that a run over n × m takes: in the log domain O(n + m), with for each of at most 64 pieces of rows a row of
    /// partial sums and a few of scratch; in the kernel domain n · m more.
    pub fn required(n: usize, m: usize, kernel: bool) -> usize {
        let (word, wide) = (size_of::<T>(), size_of::<f64>());
        let log = (2 * n + 3 * m) * wide + (n + m) * word + Pieces::<T>::bytes(n, m);
        log + if kernel { n * m * word + (n + 5 * m) * wide + m * word } else { 0 }
    }

    pub(super) fn resize(&mut self, n: usize, m: usize) {
        for (vector, length) in [(&mut self.f, n), (&mut self.g, m), (&mut self.sums, m)] {
            vector.clear();
            vector.resize(length, 0.0);
        }
        self.columns.resize(m, T::ZERO);
        self.rows.resize(n, T::ZERO);
        self.pieces.resize(n, m);
    }
}

//! The two halves of an iteration: columns move g, rows move f, in the log domain or with a kernel.
//!
//! With a kernel K = exp((f⁰ + g⁰ − C)/ε) around absorbed potentials (Schmitzer 2019) and v = exp((g − g⁰)/ε), one read
//! of K gives f out of K v, and with it the sums of columns. The first f⁰, g⁰ are those of an iteration in the log
//! domain, so no entry that matters has underflowed; the kernel is made again, n m exps, when a potential has gone
//! further than `FAR`. The columns' half costs O(m), out of the sums that the rows left, or a pass of its own where
//! there are none or one has underflowed.

use super::problem::{Marginal, Problem};
use super::run::{Columns, Run};
use super::sinkhorn::Method;
use super::sweep::{self, Side};
use crate::real::Real;
use crate::simd::{Lanes, kernel, sweep};

/// The kernel is made again when a potential is further than this many ε from its base (f32; f64 ten times as far):
/// an entry lost to underflow would still be below machine epsilon then.
pub(super) const FAR: f64 = 20.0;

impl<T: Real> Run<'_, '_, T> {
    /// The first half of an iteration: g.
    pub(super) fn move_columns(&mut self, relaxation: f64) {
        let side = self.side(1, relaxation);
        if self.columns == Columns::FromSums {
            let work = &mut *self.workspace;
            let least = sweep::trusted::<T>();
            let trusted = |((&sum, &b), &g): ((&f64, &f64), &f64)| {
                // A sum beyond the type, as after a step to a smaller ε, says nothing about how far to go back.
                let known = sum > least * b.max(1.0) && sum < f64::INFINITY;
                b == 0.0 || g == f64::NEG_INFINITY || known
            };
            if (work.sums.iter().zip(side.weights)).zip(&work.g).all(trusted) {
                for (j, (g, &sum)) in work.g.iter_mut().zip(&work.sums).enumerate() {
                    if side.weights[j] > 0.0 && *g > f64::NEG_INFINITY {
                        // Where the sum is the reference weight is what `update` expects to be told of.
                        let unit = *g - side.epsilon * Real::ln(sum / side.reference(j));
                        *g = side.update(j, *g, unit).0;
                    }
                }
            } else {
                self.columns_from_rows(side);
            }
        } else if self.columns == Columns::FromRows {
            self.columns_from_rows(side);
        }
        self.translate();
    }

    /// g_j from −ε ln Σ_i r_i exp((f_i − C_ij)/ε), around each column's own maximum.
    pub(super) fn columns_from_rows(&mut self, side: Side<'_>) {
        let rows = self.side(0, 1.0);
        let work = &mut *self.workspace;
        unit_columns(
            self.problem,
            rows,
            &work.f,
            &mut work.rows,
            &mut work.columns,
            &mut work.sums,
            &mut work.pieces,
        );
        for (j, (g, &unit)) in work.g.iter_mut().zip(&work.sums).enumerate() {
            // A column that no row may reach takes no part.
            *g = if unit == f64::INFINITY { f64::NEG_INFINITY } else { side.update(j, *g, unit).0 };
        }
    }

    /// Moves a constant from g to f, which changes no plan, to where the dual objective is largest (Séjourné et al.
    /// 2022): s = (ln Σ a exp(−f/ρ_a) − ln Σ b exp(−g/ρ_b)) / (1/ρ_a + 1/ρ_b). A hard side has 1/ρ = 0; with two of
    /// them the objective does not depend on the constant. Without this step the constant settles at the rate
    /// τ_a τ_b, which is near 1 where a ρ is large.
    fn translate(&mut self) {
        let problem = self.problem;
        let [ra, rb] = problem.marginals.map(Marginal::rho);
        if problem.balanced() || self.columns == Columns::FromRows {
            return;
        }
        // What the potentials ask for; rows and columns without weight or way take no part.
        let asked = |weights: &[f64], x: &[f64], rho: f64| -> f64 {
            let part = |(w, x): &(&f64, &f64)| **w > 0.0 && x.is_finite();
            weights.iter().zip(x).filter(part).map(|(w, x)| w * Real::exp(-x / rho)).sum()
        };
        let work = &mut *self.workspace;
        let (a, b) = (asked(&problem.a, &work.f, ra), asked(&problem.b, &work.g, rb));
        let shift = (Real::ln(a) - Real::ln(b)) / (1.0 / ra + 1.0 / rb);
        if shift.is_finite() {
            work.f.iter_mut().for_each(|f| *f += shift);
            work.g.iter_mut().for_each(|g| *g -= shift);
        }
    }

    /// The second half: f, the column sums, and the error.
    pub(super) fn pass(&mut self, relaxation: f64) {
        let kernel = self.report.method == Method::Kernel;
        // One pass in the log domain first: a kernel around potentials that do not fit it would be empty.
        if !(kernel && self.progress.iterations > 0 && self.kernel_pass(relaxation)) {
            self.log_pass(relaxation);
            self.in_kernel = false;
        }
        self.progress.iterations += 1;
        self.columns = Columns::FromSums;
    }

    fn log_pass(&mut self, relaxation: f64) {
        let (rows, columns) = (self.side(0, relaxation), self.side(1, 1.0));
        let work = &mut *self.workspace;
        if let Some(grid) = self.problem.geometry.grid() {
            let (f, g, sums) = (&mut work.f, &work.g, &mut work.sums);
            let off = work.transforms.rows(grid, [rows, columns], f, g, sums);
            return self.measure(off);
        }
        columns.with_reference(&work.g, &mut work.columns);
        let (geometry, g) = (self.problem.geometry, &work.columns);
        let off = sweep::log_rows(geometry, rows, g, &mut work.f, &mut work.sums, &mut work.pieces);
        self.measure(off);
    }

    /// False when the kernel could not be used; nothing has changed then.
    pub(super) fn kernel_pass(&mut self, relaxation: f64) -> bool {
        let epsilon = self.progress.epsilon;
        let far = if T::EPSILON.to_f64() > 1e-10 { FAR } else { 10.0 * FAR };
        let near = |x: &[f64], base: &[f64]| {
            x.iter()
                .zip(base)
                .all(|(x, base)| (x - base).abs() <= far * epsilon || *x == f64::NEG_INFINITY)
        };
        let work = &*self.workspace;
        if !(self.in_kernel && near(&work.g, &work.base[1]) && near(&work.f, &work.base[0])) {
            self.absorb();
        }
        let rows = self.side(0, relaxation);
        let work = &mut *self.workspace;
        scalings(&work.g, &work.base[1], epsilon, &mut work.v);
        let off = sweep::kernel_rows(
            &work.kernel,
            &work.base[0],
            rows,
            &work.v,
            &mut work.f,
            &mut work.sums,
            &mut work.pieces,
        );
        if !off.is_finite() {
            // A sum left the range of the type: this kernel does not fit.
            if relaxation != 1.0 {
                work.f.clone_from(&work.last[0]);
            }
            return false;
        }
        for (sum, v) in work.sums.iter_mut().zip(&work.v) {
            *sum *= v.to_f64();
        }
        self.measure(off);
        true
    }

    /// Makes the kernel around the present potentials.
    pub(super) fn absorb(&mut self) {
        let columns = self.side(1, 1.0);
        let work = &mut *self.workspace;
        work.base[0].clone_from(&work.f);
        work.base[1].clone_from(&work.g);
        work.v.resize(work.g.len(), T::ZERO);
        work.kernel.resize(work.f.len() * work.g.len(), T::ZERO);
        columns.with_reference(&work.g, &mut work.columns);
        sweep::fill_kernel(
            self.problem.geometry,
            columns.epsilon,
            &work.f,
            &work.columns,
            &mut work.kernel,
            None,
            &mut work.pieces,
        );
        self.in_kernel = true;
        self.report.absorptions += 1;
    }

    /// The error of the pass just made, whose rows are off by `off`.
    fn measure(&mut self, off: f64) {
        let side = self.side(1, 1.0);
        let work = &*self.workspace;
        let mut error = off;
        for (j, (&sum, &g)) in work.sums.iter().zip(&work.g).enumerate() {
            if g > f64::NEG_INFINITY {
                error += (sum - side.goal(j, g)).abs();
            }
        }
        self.progress.error = self.problem.relative(error, work.sums.iter().sum());
    }
}

kernel! {
    /// v_j = exp((g_j − g⁰_j)/ε), 0 where g is −∞.
    fn scalings<'a, T, S>(s, g: &'a [f64], base: &'a [f64], epsilon: f64, v: &'a mut [T],) -> () {
        /// Numbers that are in f64 at a time.
        const AT_A_TIME: usize = 64;
        let factor = f64::splat(s, core::f64::consts::LOG2_E / epsilon);
        let mut e = [0.0; AT_A_TIME];
        let chunks = g.chunks(AT_A_TIME).zip(base.chunks(AT_A_TIME)).zip(v.chunks_mut(AT_A_TIME));
        for ((g, base), v) in chunks {
            let e = &mut e[..g.len()];
            sweep!(s: S, f64, g.len(); read [x in g, 0.0; base in base, 0.0] update [] write [e in e] {
                (f64::vexp2(s, f64::vmul(s, f64::vsub(s, x, base), factor)),)
            });
            for ((v, &e), &g) in v.iter_mut().zip(e.iter()).zip(g) {
                *v = if g == f64::NEG_INFINITY { T::ZERO } else { T::from_f64(e) };
            }
        }
    }
}

/// The soft transform of f: g_j = −ε ln Σ_i r_i exp((f_i − C_ij)/ε), into `g`; +∞ where no row may reach.
pub(super) fn unit_columns<T: Real>(
    problem: &Problem<'_, T>,
    rows: Side<'_>,
    f: &[f64],
    h: &mut [T],
    tops: &mut [T],
    g: &mut [f64],
    pieces: &mut sweep::Pieces<T>,
) {
    if let Some(grid) = problem.geometry.grid() {
        return super::grid::unit_columns(grid, rows, f, g);
    }
    rows.with_reference(f, h);
    sweep::column_tops(problem.geometry, h, g, pieces);
    for (top, g) in tops.iter_mut().zip(g.iter_mut()) {
        *top = if *g == f64::NEG_INFINITY { T::ZERO } else { T::from_f64(*g) };
    }
    sweep::column_sums(problem.geometry, rows.epsilon, h, tops, g, pieces);
    for (g, top) in g.iter_mut().zip(tops) {
        *g = -(top.to_f64() + rows.epsilon * Real::ln(*g));
    }
}

//! Newton steps on g, with f eliminated, for problems where plain iterations are slow: small ε.
//!
//! With rows exact, the dual objective as a function of g alone has the gradient r = b − Pᵀ1 and
//!
//! ```text
//! −ε · Hessian = diag(Pᵀ 1) − Pᵀ diag(1/a) P
//! ```
//!
//! which is positive semidefinite; its null space is that of the gauge, and r has no part in it. The step solves
//! this for δ = Δg/ε by conjugate gradients with the diagonal as preconditioner. With the kernel absorbed at the
//! present potentials, P_ij = a_i K_ij, so a product reads the kernel once: Pᵀ diag(1/a) P x = Kᵀ (a ∘ K x); with R = 1
//! the potentials hold the weights, P = K, and 1/a takes the place of a. The step is halved until the dual objective
//! rises enough (Armijo) or the error halves. (Brauer et al. 2017; Tang et al. 2024.)
//!
//! Complexity and limits: a step makes the kernel anew and takes up to 400 products, the more the smaller ε is; steps
//! are few, as errors square. Both marginals are hard. Where the plan falls into parts that hang together by less than
//! rounding, the objective is flat along a constant between them, and a step goes as far as the kernel reaches.

use alloc::vec::Vec;

use super::half_steps::FAR;
use super::problem::Reference;
use super::run::{Columns, Run};
use super::sweep;
use crate::real::Real;

/// Products of one step at most.
const MOST_PRODUCTS: u32 = 400;
/// Halvings of one step at most.
const MOST_HALVINGS: u32 = 12;

impl<T: Real> Run<'_, '_, T> {
    /// One Newton step; a plain iteration when it leads nowhere.
    pub(super) fn newton_step(&mut self) {
        let error = self.progress.error;
        let before = self.dual();
        self.absorb();
        self.report.newton_steps += 1;
        let slope = self.newton_direction(libm::sqrt(error).min(0.1));
        let work = &mut *self.workspace;
        work.last[0].clone_from(&work.f);
        work.last[1].clone_from(&work.g);
        let epsilon = self.progress.epsilon;
        let longest = work.newton[0].iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let mut t = if longest > 0.0 { (0.5 * FAR / longest).min(1.0) } else { 1.0 };
        for _ in 0..MOST_HALVINGS {
            // The last iteration is kept for the plain one below.
            let last = self.progress.iterations + 1 >= self.options.max_iterations;
            if last || !slope.is_finite() || slope <= 0.0 {
                break;
            }
            let work = &mut *self.workspace;
            for ((g, &last), &delta) in work.g.iter_mut().zip(&work.last[1]).zip(&work.newton[0]) {
                *g = last + t * epsilon * delta;
            }
            self.progress.iterations += 1;
            if self.kernel_pass(1.0) {
                let rise = self.dual() - before;
                let enough = rise >= 1e-4 * t * epsilon * slope;
                // A rise within the rounding of the objective says nothing; the error must not grow then.
                let clear = rise > 1e-13 * before.abs() || self.progress.error <= error;
                if enough && clear || self.progress.error < 0.5 * error {
                    self.columns = Columns::FromSums;
                    return;
                }
            }
            t *= 0.5;
        }
        let work = &mut *self.workspace;
        work.f.clone_from(&work.last[0]);
        work.g.clone_from(&work.last[1]);
        self.columns = Columns::AsTheyAre;
        self.plain_for(5);
    }

    /// δ with (diag(Pᵀ1) − Pᵀ diag(1/a) P) δ = r to the relative residual `forcing`; returns ⟨r, δ⟩.
    fn newton_direction(&mut self, forcing: f64) -> f64 {
        let (problem, work) = (self.problem, &mut *self.workspace);
        let m = work.g.len();
        let [x, r, p, image] = &mut work.newton;
        for vector in [&mut *x, &mut *r, &mut *p, &mut *image] {
            vector.clear();
            vector.resize(m, 0.0);
        }
        for (r, (b, sum)) in r.iter_mut().zip(problem.b.iter().zip(&work.sums)) {
            *r = b - sum;
        }
        // The part that is along the gauge is rounding, and no step lessens it.
        let common = r.iter().sum::<f64>() / work.sums.iter().sum::<f64>();
        r.iter_mut().zip(&work.sums).for_each(|(r, sum)| *r -= common * sum);
        let gradient: Vec<f64> = r.clone();
        let inverse = |&a: &f64| if a > 0.0 { 1.0 / a } else { 0.0 };
        let inverses: Option<Vec<f64>> = (problem.reference == Reference::Counting)
            .then(|| problem.a.iter().map(inverse).collect());
        let factors = inverses.as_deref().unwrap_or(&problem.a);
        // A column without mass has no row in the system.
        let solved = |r: f64, sum: f64| if sum > 0.0 { r / sum } else { 0.0 };
        for (p, (&r, &sum)) in p.iter_mut().zip(r.iter().zip(&work.sums)) {
            *p = solved(r, sum);
        }
        let mut rz: f64 = r.iter().zip(p.iter()).map(|(r, z)| r * z).sum();
        let goal = forcing * forcing * rz;
        for _ in 0..MOST_PRODUCTS {
            if rz <= goal || !rz.is_finite() {
                break;
            }
            for (v, &p) in work.v.iter_mut().zip(p.iter()) {
                *v = T::from_f64(p);
            }
            sweep::kernel_product(&work.kernel, factors, &work.v, image, &mut work.pieces);
            self.report.products += 1;
            for (image, (&p, &sum)) in image.iter_mut().zip(p.iter().zip(&work.sums)) {
                *image = sum * p - *image;
            }
            let curvature: f64 = p.iter().zip(image.iter()).map(|(p, i)| p * i).sum();
            // The difference of two numbers of this size, of which the rounding is left where it is flat.
            let terms: f64 = p.iter().zip(&work.sums).map(|(p, sum)| sum * p * p).sum();
            if curvature <= 4.0 * T::EPSILON.to_f64() * terms {
                // Flat, as between clusters that hold no mass in common: as far as a step may go.
                let longest = p.iter().fold(0.0_f64, |most, p| most.max(p.abs()));
                if x.iter().all(|&x| x == 0.0) && longest > 0.0 {
                    x.iter_mut().zip(p.iter()).for_each(|(x, p)| *x = 0.5 * FAR / longest * p);
                }
                break;
            }
            let step = rz / curvature;
            for ((x, r), (p, image)) in
                x.iter_mut().zip(r.iter_mut()).zip(p.iter().zip(image.iter()))
            {
                *x += step * p;
                *r -= step * image;
            }
            let next: f64 = r.iter().zip(&work.sums).map(|(&r, &sum)| r * solved(r, sum)).sum();
            let ratio = next / rz;
            rz = next;
            for (p, (&r, &sum)) in p.iter_mut().zip(r.iter().zip(&work.sums)) {
                *p = solved(r, sum) + ratio * *p;
            }
        }
        gradient.iter().zip(x.iter()).map(|(r, x)| r * x).sum()
    }
}

//! The one linear system of all derivatives of a plan.
//!
//! A plan answers to a change of its potentials by dP_ij = P_ij (df_i + dg_j)/ε, and its marginals must follow. For any
//! values v_ij and vectors e, d, this file finds x and y such that Z_ij = P_ij (v_ij − x_i − y_j) has
//!
//! ```text
//! Σ_j Z_ij + e_i = (1/τ_a − 1) p_i x_i,    Σ_i Z_ij + d_j = (1/τ_b − 1) q_j y_j
//! ```
//!
//! p and q being the sums of the plan, τ = ρ/(ρ + ε), 1 for a hard marginal: the best fit of v by x_i + y_j in the
//! weights of the plan, with a penalty where marginals are soft. As a matrix,
//!
//! ```text
//! [ diag(p/τ_a)       P      ] [x]   [ (P∘v) 1  + e ]
//! [     Pᵀ        diag(q/τ_b)] [y] = [ (P∘v)ᵀ 1 + d ]
//! ```
//!
//! With x eliminated it is S y = h, S = diag(q/τ_b) − τ_a Pᵀ diag(1/p) P, positive semidefinite. Where both marginals
//! are hard its null space is that of the gauge, constants, one for each part of the plan that hangs together; h has no
//! part in it, so conjugate gradients stay outside and no ridge is needed. Products are formed from differences,
//!
//! ```text
//! (S y)_j = Σ_i P_ij (y_j − t_i) + (1/τ_b − 1) q_j y_j,    t_i = τ_a Σ_j P_ij y_j / p_i
//! ```
//!
//! which keeps the digits that q_j y_j − Σ_i P_ij t_i would lose where S is nearly singular: small ε.
//!
//! A product reads the plan once, or makes it anew, n m exps; each round takes at most 2000, and up to four rounds work
//! on what rounding left over. (Implicit differentiation of transport: Cuturi et al. 2020; Eisenberger et al. 2022.)

use alloc::vec::Vec;

use ndarray::Array2;

use super::problem::Reference;
use super::solution::Solution;
use crate::chunks::*;
use crate::error::Error;
use crate::real::Real;
use crate::rows::row_dot;
use crate::simd::{kernel, sweep};

/// Products of one round of conjugate gradients at most; in exact arithmetic m suffice.
const MOST_PRODUCTS: usize = 2000;
/// Rounds, each on what the one before left over.
const MOST_ROUNDS: u32 = 4;

/// v_ij, a row at a time.
pub(super) trait Values<T: Real>: Sync {
    /// What an error calls them.
    const NAME: &'static str;

    /// Row i into `values`, whose costs are `cost`; `scratch` holds as many numbers.
    fn fill(&self, i: usize, cost: &[T], scratch: &mut [T], values: &mut [f64]);
}

/// x, y and how exactly they solve the system.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
    /// p and q
    pub(super) rows: Vec<f64>,
    pub(super) columns: Vec<f64>,
    /// ‖h − S y‖ / ‖h‖, in the norm of diag(τ_b/q).
    pub(super) residual: f64,
    pub(super) products: u32,
}

kernel! {
    /// sums_j += P_j (y_j − t), t = factor Σ_j P_j y_j, for one row; returns t.
    fn add_row<'a, T, S>(s, plan: &'a [T], y: &'a [T], factor: f64, sums: &'a mut [T],) -> f64 {
        let t = factor * row_dot(s, plan, y).to_f64();
        let center = T::splat(s, T::from_f64(t));
        sweep!(s: S, T, sums.len();
        read [p in plan, T::ZERO; y in y, T::ZERO] update [sum in sums, T::ZERO] write [] {
            (T::vfma(s, p, T::vsub(s, y, center), sum),)
        });
        t
    }
}

/// S, over a plan that is stored where the cost is.
struct Schur<'s, 'a, T: Real> {
    solution: &'s Solution<'a, T>,
    plan: Option<Array2<T>>,
    /// τ_a/p, 0 for rows without mass.
    factors: Vec<f64>,
    columns: Vec<f64>,
    /// 1/τ_b − 1
    slack: f64,
    products: u32,
}

impl<T: Real> Schur<'_, '_, T> {
    /// S y into `image`; returns t.
    fn product(&mut self, y: &[f64], image: &mut [f64]) -> Vec<f64> {
        self.products += 1;
        let (n, m) = self.solution.problem.shape();
        let y_narrow: Vec<T> = y.iter().map(|&y| T::from_f64(y)).collect();
        let factors = &self.factors;
        let one = |i: usize, plan: &[T], (t, sums): &mut (Vec<f64>, Vec<T>)| {
            t.push(if factors[i] > 0.0 { add_row(plan, &y_narrow, factors[i], sums) } else { 0.0 });
        };
        let start = || (Vec::new(), alloc::vec![T::ZERO; m]);
        let found = match &self.plan {
            None => self.solution.over_rows(start, |i, _, plan, found| one(i, plan, found)),
            Some(stored) => {
                let plan = stored.as_slice().expect("a plan is made in one piece");
                let rows = super::sweep::piece_rows(n, m);
                let mut found: Vec<_> = (0..n.div_ceil(rows)).map(|_| start()).collect();
                found.par_chunks_mut(1).enumerate().for_each(|(piece, found)| {
                    for i in piece * rows..n.min((piece + 1) * rows) {
                        one(i, &plan[i * m..(i + 1) * m], &mut found[0]);
                    }
                });
                found
            }
        };
        for ((image, &y), &q) in image.iter_mut().zip(y).zip(&self.columns) {
            *image = self.slack * q * y;
        }
        let mut all = Vec::with_capacity(n);
        for (t, sums) in found {
            all.extend(t);
            image.iter_mut().zip(&sums).for_each(|(image, sum)| *image += sum.to_f64());
        }
        all
    }

    /// What S takes from h, where its null space is that of the gauge.
    fn project(&self, h: &mut [f64]) {
        if self.solution.problem.balanced() {
            let (sum, mass) = (h.iter().sum::<f64>(), self.columns.iter().sum::<f64>());
            h.iter_mut().zip(&self.columns).for_each(|(h, q)| *h -= q * sum / mass);
        }
    }

    /// Diagonally scaled residual; a column without mass has no row in the system.
    fn scaled(&self, j: usize, r: f64) -> f64 {
        let diagonal = self.columns[j] * (1.0 + self.slack);
        if diagonal > 0.0 { r / diagonal } else { 0.0 }
    }

    fn square(&self, r: &[f64]) -> f64 {
        r.iter().enumerate().map(|(j, &r)| r * self.scaled(j, r)).sum()
    }

    /// y with S y = r to ‖r − S y‖² ≤ `goal`, as far as the recurrence knows.
    fn conjugate_gradients(&mut self, mut r: Vec<f64>, goal: f64) -> Vec<f64> {
        let m = r.len();
        let (mut y, mut image) = (alloc::vec![0.0; m], alloc::vec![0.0; m]);
        let mut p: Vec<f64> = r.iter().enumerate().map(|(j, &r)| self.scaled(j, r)).collect();
        let mut rz = self.square(&r);
        for _ in 0..MOST_PRODUCTS.min(10 * m + 100) {
            if rz <= goal || !rz.is_finite() {
                break;
            }
            self.product(&p, &mut image);
            let curvature: f64 = p.iter().zip(&image).map(|(p, i)| p * i).sum();
            if curvature <= 0.0 || !curvature.is_finite() {
                break;
            }
            let step = rz / curvature;
            for ((y, r), (p, image)) in y.iter_mut().zip(&mut r).zip(p.iter().zip(&image)) {
                *y += step * p;
                *r -= step * image;
            }
            self.project(&mut r);
            let next = self.square(&r);
            let ratio = next / rz;
            rz = next;
            for (j, (p, &r)) in p.iter_mut().zip(&r).enumerate() {
                *p = self.scaled(j, r) + ratio * *p;
            }
        }
        y
    }
}

/// What a piece of rows adds to the system.
struct Found<T> {
    /// p, and the mean of v, of each row.
    rows: Vec<[f64; 2]>,
    /// q and h
    columns: Vec<[f64; 2]>,
    scratch: Vec<T>,
    values: Vec<f64>,
    /// The first row with values that are not finite.
    bad: Option<usize>,
}

/// Solves the system for the plan of `solution`.
pub(super) fn fit<T: Real, V: Values<T>>(
    solution: &Solution<'_, T>,
    values: &V,
    e: &[f64],
    d: &[f64],
) -> Result<Fit, Error> {
    let problem = solution.problem;
    let m = problem.shape().1;
    let [tau_a, tau_b] = problem.marginals.map(|marginal| marginal.tau(problem.epsilon));
    // One pass for all of the right-hand side.
    let start = || Found {
        rows: Vec::new(),
        columns: alloc::vec![[0.0; 2]; m],
        scratch: alloc::vec![T::ZERO; m],
        values: alloc::vec![0.0; m],
        bad: None,
    };
    let found = solution.over_rows(start, |i, cost, plan, found| {
        values.fill(i, cost, &mut found.scratch, &mut found.values);
        let (mut sum, mut with_values) = (0.0, e[i]);
        for (p, &v) in plan.iter().map(|p| p.to_f64()).zip(&found.values) {
            if p > 0.0 {
                sum += p;
                with_values += p * v;
            }
        }
        if !with_values.is_finite() && found.bad.is_none() {
            found.bad = Some(i);
        }
        let mean = if sum > 0.0 { tau_a * with_values / sum } else { 0.0 };
        found.rows.push([sum, mean]);
        let entries = plan.iter().map(|p| p.to_f64()).zip(&found.values);
        for ((p, &v), [q, h]) in entries.zip(&mut found.columns) {
            if p > 0.0 {
                *q += p;
                *h += p * (v - mean);
            }
        }
    });
    let (mut rows, mut x, mut columns) = (Vec::new(), Vec::new(), alloc::vec![0.0; m]);
    let mut h = d.to_vec();
    for piece in found {
        if let Some(row) = piece.bad {
            return Err(Error::NonFinite { what: V::NAME, row: Some(row) });
        }
        rows.extend(piece.rows.iter().map(|row| row[0]));
        x.extend(piece.rows.iter().map(|row| row[1]));
        for ((q, h), column) in columns.iter_mut().zip(&mut h).zip(&piece.columns) {
            *q += column[0];
            *h += column[1];
        }
    }
    let factors = rows.iter().map(|&p| if p > 0.0 { tau_a / p } else { 0.0 }).collect();
    let plan = problem.geometry.stored().map(|_| solution.plan());
    let mut system =
        Schur { solution, plan, factors, columns, slack: 1.0 / tau_b - 1.0, products: 0 };
    system.project(&mut h);
    let size = system.square(&h);
    let goal = size * (4.0 * T::EPSILON.to_f64()) * (4.0 * T::EPSILON.to_f64());
    let (mut y, mut image) = (alloc::vec![0.0; m], alloc::vec![0.0; m]);
    let (mut best, mut rest, mut t) = (size, h.clone(), alloc::vec![0.0; rows.len()]);
    for _ in 0..MOST_ROUNDS {
        if best <= goal {
            break;
        }
        let more = system.conjugate_gradients(rest.clone(), goal);
        let next: Vec<f64> = y.iter().zip(&more).map(|(y, more)| y + more).collect();
        let next_t = system.product(&next, &mut image);
        let mut left: Vec<f64> = h.iter().zip(&image).map(|(h, image)| h - image).collect();
        system.project(&mut left);
        let after = system.square(&left);
        // The recurrence goes on falling where the true residual no longer does.
        if after.is_nan() || after >= best {
            break;
        }
        let enough = after > 0.1 * best;
        (y, t, rest, best) = (next, next_t, left, after);
        if enough {
            break;
        }
    }
    x.iter_mut().zip(&t).for_each(|(x, t)| *x -= t);
    let residual = if size > 0.0 { libm::sqrt(best / size) } else { 0.0 };
    Ok(Fit { x, y, rows, residual, products: system.products, columns: system.columns })
}

impl Fit {
    /// Z_ij of some rows into `z`, m numbers each, times `factor`.
    pub(super) fn fill<T: Real, V: Values<T>>(
        &self,
        solution: &Solution<'_, T>,
        values: &V,
        rows: core::ops::Range<usize>,
        factor: f64,
        z: &mut [T],
    ) {
        let m = self.y.len();
        let columns = solution.columns();
        let (mut costs, mut scratch) = (alloc::vec![T::ZERO; m], alloc::vec![T::ZERO; m]);
        let mut v = alloc::vec![0.0; m];
        for (i, z) in rows.zip(z.chunks_exact_mut(m)) {
            let cost = solution.plan_row(i, &columns, &mut costs, z);
            values.fill(i, cost, &mut scratch, &mut v);
            for ((z, &v), &y) in z.iter_mut().zip(&v).zip(&self.y) {
                let p = z.to_f64();
                *z = if p > 0.0 { T::from_f64(factor * p * (v - self.x[i] - y)) } else { T::ZERO };
            }
        }
    }

    /// All of it, (n, m).
    pub(super) fn all<T: Real, V: Values<T>>(
        &self,
        solution: &Solution<'_, T>,
        values: &V,
        factor: f64,
    ) -> Array2<T> {
        let (n, m) = solution.problem.shape();
        let mut z = alloc::vec![T::ZERO; n * m];
        let size = super::sweep::piece_rows(n, m);
        z.par_chunks_mut(size * m).enumerate().for_each(|(piece, z)| {
            let first = piece * size;
            self.fill(solution, values, first..first + z.len() / m, factor, z);
        });
        crate::rows::array((n, m), z)
    }

    /// Σ_j Q_ij (v_ij − y_j) of the rows without weight, Σ_i Q_ij (v_ij − x_i) of such columns, 0 of the others; Q is what
    /// a first atom would do, a unit of plan for a unit of weight.
    pub(super) fn without_weight<T: Real, V: Values<T>>(
        &self,
        solution: &Solution<'_, T>,
        values: &V,
    ) -> [Vec<f64>; 2] {
        let problem = solution.problem;
        let (n, m) = problem.shape();
        let mut sums = [alloc::vec![0.0; n], alloc::vec![0.0; m]];
        let empty: Vec<usize> = (0..m).filter(|&j| problem.b[j] == 0.0).collect();
        if empty.is_empty() && !problem.a.contains(&0.0) {
            return sums;
        }
        let counting = problem.reference == Reference::Counting;
        let reference = |weight: f64| if counting && weight > 0.0 { 1.0 } else { weight };
        let columns: Vec<usize> = (0..m).collect();
        let start =
            || (alloc::vec![T::ZERO; m], alloc::vec![0.0; m], Vec::new(), alloc::vec![0.0; m]);
        let found = solution.over_rows(start, |i, cost, _, (scratch, v, rows, sums)| {
            let inert = problem.a[i] == 0.0;
            rows.push(0.0);
            let of_interest = if inert { &columns } else { &empty };
            if of_interest.is_empty() {
                return;
            }
            values.fill(i, cost, scratch, v);
            for &j in of_interest {
                let weight = if inert { problem.b[j] } else { problem.a[i] };
                let exponent = solution.f[i] + solution.g[j] - cost[j].to_f64();
                let q = reference(weight) * Real::exp(exponent / problem.epsilon);
                match inert {
                    _ if q == 0.0 => {}
                    true => *rows.last_mut().expect("pushed above") += q * (v[j] - self.y[j]),
                    false => sums[j] += q * (v[j] - self.x[i]),
                }
            }
        });
        let rows = found.iter().flat_map(|piece| &piece.2);
        sums[0].iter_mut().zip(rows).for_each(|(sum, row)| *sum = *row);
        for piece in &found {
            sums[1].iter_mut().zip(&piece.3).for_each(|(sum, column)| *sum += column);
        }
        sums
    }
}

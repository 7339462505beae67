//! The laws of the core, checked on this machine with every instruction set it has.
//!
//! Each law is one number, its error, and a bound with a reason. All inputs are drawn from fixed addresses.

use ndarray::{Array1, Array2};
use serde::Serialize;
use swav_conformance::check::{self, Group};
use swav_conformance::swav::Swav;
use swav_core::codes::{Rounds, codes};
use swav_core::loss::contrastive::nt_xent;
use swav_core::loss::cross_entropy;
use swav_core::loss::swapped::{Swapped, swapped};
use swav_core::simd::{self, Isa};
use swav_core::transport::{Dense, Problem, Sinkhorn};
use swav_core::{Real, rows, scores};

use crate::error::{Error, Result};
use crate::rng::{Stream, Use};

/// One law on one instruction set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Law {
    /// Name of the instruction set.
    pub isa: &'static str,
    /// What must hold.
    pub name: &'static str,
    /// How far it is from holding.
    pub error: f64,
    /// How far it may be.
    pub bound: f64,
}

impl Law {
    /// Whether the error is within the bound. A NaN is not.
    pub fn holds(&self) -> bool {
        self.error <= self.bound
    }
}

/// Rows, prototypes and embedding width of the checks: no multiple of any register.
const B: usize = 37;
const K: usize = 29;
const D: usize = 13;

/// Central differences in f64 lose about half the digits: (ε_machine)^(2/3), with room for the loss' curvature.
const DIFFERENCE_BOUND: f64 = 1e-8;

/// Checks every law with every instruction set; the one in use before is in use after.
///
/// # Errors
/// `Diverged` when core refuses its own test data, which would be a bug.
pub fn check() -> Result<Vec<Law>> {
    let before = simd::isa();
    let laws = simd::available().into_iter().map(|isa| {
        set(isa);
        on(isa).map_err(|e| Error::diverged("verify math", e.to_string(), "report it"))
    });
    let laws: Result<Vec<_>> = laws.collect();
    set(before);
    Ok(laws?.concat())
}

/// What every solver of transport must get right, in f64 with the instruction set in use: by groups of cases.
pub fn transport() -> Vec<Group> {
    check::summary(&check::hold(&Swav::<f64>::default(), &swav_conformance::cases()))
}

fn set(isa: Isa) {
    simd::limit(isa).expect("only available sets are asked for");
}

fn drawn(address: u64, rows: usize, columns: usize, scale: f64) -> Array2<f64> {
    let mut draws = Stream::new(3, Use::Initialisation, address);
    Array2::from_shape_simple_fn((rows, columns), || scale * (2.0 * draws.uniform() - 1.0))
}

fn unit(address: u64, rows: usize, columns: usize) -> Array2<f64> {
    rows::l2_normalize(&drawn(address, rows, columns, 1.0)).0
}

fn largest(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter()
        .zip(b)
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, |m, v| if v.is_nan() { v } else { m.max(v) })
}

type Checked = std::result::Result<Vec<Law>, swav_core::Error>;

fn on(isa: Isa) -> Checked {
    let mut laws = Vec::new();
    let mut law = |name, error, bound| laws.push(Law { isa: isa.name(), name, error, bound });
    let eps = f64::EPSILON;
    law("exp in f32, units in the last place", exp_error::<f32>(23), 2.5);
    law("exp in f64, units in the last place", exp_error::<f64>(52), 3.5);

    let (z, c) = (unit(1, B, D), unit(2, K, D));
    let s = scores(&z, &c)?;
    let published = Rounds { epsilon: 0.05, iterations: 3 };
    let q = codes(&s, published)?;
    let sums = q.rows().into_iter().map(|r| (r.sum() - 1.0).abs()).fold(0.0, f64::max);
    law("code rows sum to 1", sums, K as f64 * eps);
    // A shift of the scores changes s − max by one rounding of the score, times 1/ε.
    let shift_bound = 64.0 * eps / published.epsilon;
    law(
        "adding a constant to all scores changes no code",
        largest(&codes(&(&s + 3.0), published)?, &q),
        shift_bound,
    );
    let per_prototype = &s + &drawn(4, 1, K, 1.0);
    law(
        "adding a constant per prototype changes no code",
        largest(&codes(&per_prototype, published)?, &q),
        shift_bound,
    );
    law(
        "codes agree with three plain rounds in f64",
        largest(&plain_codes(&s, published), &q),
        shift_bound,
    );
    let single = codes(&s.mapv(|v| v as f32), published)?.mapv(f64::from);
    law(
        "codes in f32 agree with f64",
        largest(&single, &q),
        8.0 * f64::from(f32::EPSILON) / published.epsilon,
    );
    let wild = codes(&drawn(5, B, K, 1e4), Rounds { epsilon: 1e-3, iterations: 3 })?;
    let wild = wild.rows().into_iter().map(|r| (r.sum() - 1.0).abs()).fold(0.0, f64::max);
    law("codes of scores in ±1e4 at ε 1e-3 sum to 1", wild, K as f64 * eps);

    let views = 3;
    let (s, q) = (drawn(6, views * B, K, 1.0), codes(&drawn(7, 2 * B, K, 1.0), published)?);
    let loss = Swapped { views, assign: &[0, 1], temperature: 0.1, batch_total: B };
    let (_, gradient) = swapped(&s, &q, loss)?;
    let sums = gradient.rows().into_iter().map(|r| r.sum().abs()).fold(0.0, f64::max);
    law("gradient rows of swapped prediction sum to 0", sums, K as f64 * eps);
    law(
        "swapped prediction against central differences",
        difference(&s, &gradient, 8, |x| Ok(swapped(x, &q, loss)?.0))?,
        DIFFERENCE_BOUND,
    );
    let z = unit(9, 2 * B, D);
    let (_, gradient) = nt_xent(&z, 2, 0.1)?;
    law(
        "NT-Xent against central differences",
        difference(&z, &gradient, 10, |x| Ok(nt_xent(x, 2, 0.1)?.0))?,
        DIFFERENCE_BOUND,
    );
    let targets: Vec<i32> = (0..B as i32).map(|i| i % K as i32 - 1).collect();
    let s = drawn(11, B, K, 3.0);
    let (_, gradient) = cross_entropy(&s, &targets, B)?;
    law(
        "cross-entropy against central differences",
        difference(&s, &gradient, 12, |x| Ok(cross_entropy(x, &targets, B)?.0))?,
        DIFFERENCE_BOUND,
    );

    let cost = drawn(13, 17, 11, 1.0);
    let weights = |address, n: usize| {
        let w = drawn(address, 1, n, 1.0).mapv(|v| v + 1.2);
        Array1::from_iter(w.iter().map(|v| v / w.sum()))
    };
    let (a, b) = (weights(14, 17), weights(15, 11));
    let geometry = Dense::new(&cost);
    let problem = Problem::new(&geometry, &a, &b, 0.1)?;
    let solution = Sinkhorn { tolerance: 1e-13, ..Sinkhorn::default() }.solve(&problem)?;
    let plan = solution.plan();
    let rows = plan.rows().into_iter().zip(&a).map(|(r, w)| (r.sum() - w).abs()).sum::<f64>();
    let columns = plan.columns().into_iter().zip(&b).map(|(r, w)| (r.sum() - w).abs()).sum::<f64>();
    law("a transport plan has both marginals", rows + columns, 1e-12);
    let dual = a.dot(&solution.f) + b.dot(&solution.g);
    law("transport: dual and primal value agree", (dual - solution.value()).abs(), 1e-12);
    Ok(laws)
}

/// Largest error of the vector `exp` against the platform's in f64, in units of the last of `bits` places.
fn exp_error<T: Real>(bits: i32) -> f64 {
    let n = 4096;
    let x: Vec<T> = (0..n).map(|i| T::from_f64(-8.0 * f64::from(i) / f64::from(n))).collect();
    // Softmax of two columns, the first 0: 1 / (1 + e^x) holds e^x to within the same places.
    let worst = x.iter().map(|&x| {
        let want = x.to_f64().exp();
        let unit = 2f64.powi(want.log2().floor() as i32 - bits);
        (Real::exp(x).to_f64() - want).abs() / unit
    });
    worst.fold(0.0, f64::max)
}

/// The published loop in plain f64: exp of the scores less their maximum, prototypes first, then samples.
fn plain_codes(s: &Array2<f64>, rounds: Rounds) -> Array2<f64> {
    let top = s.iter().fold(f64::MIN, |m, &v| m.max(v));
    let mut q = s.mapv(|v| ((v - top) / rounds.epsilon).exp());
    for _ in 0..rounds.iterations {
        for mut column in q.columns_mut() {
            let sum = column.sum();
            column /= sum;
        }
        for mut row in q.rows_mut() {
            let sum = row.sum();
            row /= sum;
        }
    }
    q
}

/// Relative difference between a gradient along a drawn direction and a fourth-order central difference.
fn difference(
    x: &Array2<f64>,
    gradient: &Array2<f64>,
    address: u64,
    loss: impl Fn(&Array2<f64>) -> std::result::Result<f64, swav_core::Error>,
) -> std::result::Result<f64, swav_core::Error> {
    let direction = drawn(address, x.nrows(), x.ncols(), 1.0);
    let h = 1e-4;
    let at = |t: f64| loss(&(x + &(&direction * t)));
    let numeric = (8.0 * (at(h)? - at(-h)?) - (at(2.0 * h)? - at(-2.0 * h)?)) / (12.0 * h);
    let exact: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
    Ok((numeric - exact).abs() / exact.abs().max(1e-3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_law_holds_on_every_instruction_set() {
        let laws = check().unwrap();
        assert_eq!(laws.len() % simd::available().len(), 0);
        let broken: Vec<&Law> = laws.iter().filter(|law| !law.holds()).collect();
        assert!(broken.is_empty(), "{broken:#?}");
    }

    #[test]
    fn every_case_of_transport_holds() {
        let groups = transport();
        let broken: Vec<&Group> = groups.iter().filter(|group| !group.holds()).collect();
        assert!(broken.is_empty(), "{broken:#?}");
        assert!(groups.iter().map(|group| group.held).sum::<usize>() > 0);
    }
}

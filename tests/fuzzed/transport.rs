//! Any small transport problem of finite costs: it is solved without a panic, and what is said of it is true.

use ndarray::{Array1, Array2, Axis};
use swav_core::transport::exact::emd;
use swav_core::transport::{
    Acceleration, Dense, Marginal, Method, Problem, Reference, Sinkhorn, Solution, Status,
};
use swav_core::{Error, Real};

use super::Bytes;

/// A problem of up to 6 x 6, its costs up to 1e30 (some forbidden), ε in 1e-12 to 1e12, weights with zeros, marginals hard
/// or soft, every method: potentials and plan are numbers, and status, error and bounds agree with the plan.
pub fn any_transport(bytes: &[u8]) {
    let mut b = Bytes(bytes);
    let (n, m) = (1 + b.below(6), 1 + b.below(6));
    let epsilon = b.power(12.0);
    let scale = b.power(30.0);
    let masks = b.below(4) == 0;
    let marginals = [0; 2].map(|_| match b.below(3) {
        0 | 1 => Marginal::Hard,
        _ => Marginal::Kl(b.power(12.0)),
    });
    let reference = [Reference::Product, Reference::Counting][b.below(2)];
    let sinkhorn = Sinkhorn {
        tolerance: [1e-9, 1e-3, 1e-14, 0.0][b.below(4)],
        max_iterations: 1 + 2 * b.below(256) as u32,
        method: [Method::Auto, Method::Log, Method::Kernel][b.below(3)],
        acceleration: [
            Acceleration::Auto,
            Acceleration::None,
            Acceleration::Adaptive,
            Acceleration::Fixed(1.5),
            Acceleration::Newton,
        ][b.below(5)],
        annealing: [1.0, 0.5, 0.1][b.below(3)],
        ..Sinkhorn::default()
    };
    let mass = b.power(6.0);
    let weights = |b: &mut Bytes<'_>, n: usize| {
        let shares: Array1<f64> = (0..n).map(|_| b.below(256) as f64).collect();
        let sum = shares.sum();
        if sum == 0.0 { Array1::from_elem(n, mass / n as f64) } else { shares * (mass / sum) }
    };
    let (a, w) = (weights(&mut b, n), weights(&mut b, m));
    let cost = Array2::from_shape_simple_fn((n, m), || {
        let c = i16::from_le_bytes(b.array());
        if masks && c.rem_euclid(4) == 1 { f64::INFINITY } else { scale * f64::from(c) / 32768.0 }
    });
    let setting = Setting { epsilon, marginals, reference, sinkhorn };
    setting.hold(&cost, &a, &w);
    let single = |x: &Array1<f64>| x.mapv(|x| x as f32);
    setting.hold(&cost.mapv(|c| c as f32), &single(&a), &single(&w));
}

#[derive(Debug)]
struct Setting {
    epsilon: f64,
    marginals: [Marginal; 2],
    reference: Reference,
    sinkhorn: Sinkhorn,
}

impl Setting {
    fn hold<T: Real>(&self, cost: &Array2<T>, a: &Array1<T>, b: &Array1<T>) {
        let geometry = Dense::new(cost);
        let problem = Problem::with_marginals(&geometry, a, b, self.epsilon, self.marginals);
        let problem = match problem {
            Ok(problem) => problem.with_reference(self.reference),
            Err(error) => {
                let masked = cost.iter().any(|&c| c == T::INFINITY);
                let blocked = matches!(error, Error::Infeasible { .. } | Error::Unreachable { .. });
                assert!(masked && blocked, "{error} for {self:?} {cost} {a} {b}");
                return;
            }
        };
        let solution = self.sinkhorn.solve(&problem).expect("the settings are in their ranges");
        let seen = Seen { setting: self, cost, solution: &solution };
        seen.numbers();
        seen.status();
        if self.marginals == [Marginal::Hard; 2] {
            seen.bounds(a, b);
        }
    }
}

/// A solution and what it is of.
struct Seen<'s, 'a, T: Real> {
    setting: &'s Setting,
    cost: &'s Array2<T>,
    solution: &'s Solution<'a, T>,
}

impl<T: Real> Seen<'_, '_, T> {
    #[track_caller]
    fn must(&self, holds: bool, what: impl FnOnce() -> String) {
        let Seen { setting, cost, solution } = self;
        let weights = solution.problem().weights();
        assert!(
            holds,
            "{}: {} for {setting:?}\n{cost}\n{weights:?}\n{solution:?}",
            T::NAME,
            what()
        );
    }

    /// Potentials of what has weight are numbers; so is the plan, 0 where there is no weight or no way.
    fn numbers(&self) {
        let (a, b) = self.solution.problem().weights();
        for (weights, potential) in [(a, &self.solution.f), (b, &self.solution.g)] {
            let bad = weights.iter().zip(potential).any(|(&w, x)| w > 0.0 && !x.is_finite());
            self.must(!bad, || "a potential is no number".into());
        }
        // A plan of soft marginals may ask for more mass than there are numbers; then it has stalled.
        let plan = self.solution.plan();
        let balanced = self.solution.problem().marginals() == [Marginal::Hard; 2];
        let largest = if balanced { T::MAX.to_f64() } else { f64::INFINITY };
        for ((i, j), p) in plan.indexed_iter() {
            let p = p.to_f64();
            self.must((0.0..=largest).contains(&p), || format!("P[{i}, {j}] = {p}"));
            let none = a[i] == 0.0 || b[j] == 0.0 || self.cost[[i, j]] == T::INFINITY;
            self.must(!none || p == 0.0, || format!("P[{i}, {j}] = {p} with no weight or no way"));
        }
        for x in [self.solution.value(), self.solution.linear()] {
            self.must(!x.is_nan() || !balanced, || "a value is a NaN".into());
        }
    }

    /// Converged says that the error is within the tolerance, and the error is that of the plan.
    fn status(&self) {
        let Solution { error, status, iterations, .. } = *self.solution;
        let Sinkhorn { tolerance, max_iterations, .. } = self.setting.sinkhorn;
        self.must(error >= 0.0, || "the error is no number".into());
        let converged = status == Status::Converged;
        self.must(converged == (error <= tolerance), || {
            "the status is not that of the error".into()
        });
        self.must(status != Status::MaxIter || iterations >= max_iterations, || "too early".into());
        let plan = self.solution.plan().mapv(|p| p.to_f64());
        let problem = self.solution.problem();
        let (a, b) = problem.weights();
        // Relative to the larger of the masses; one beyond every number is none.
        let planned = Some(plan.sum()).filter(|mass| mass.is_finite()).unwrap_or(0.0);
        let mass = planned.max(a.iter().sum()).max(b.iter().sum());
        let off = |axis: usize, weights: &[f64]| -> f64 {
            let sums = plan.sum_axis(Axis(axis));
            sums.iter().zip(weights).map(|(sum, w)| (sum - w).abs()).sum()
        };
        let [rows_hard, columns_hard] = problem.marginals().map(|side| side == Marginal::Hard);
        let mut measured = 0.0;
        if rows_hard {
            measured += off(1, a) / mass;
        }
        if columns_hard {
            measured += off(0, b) / mass;
        }
        // Exponents (f + g − C)/ε that are rounded by δ move a plan's entries by factors exp(±δ). Where 10 δ is above error
        // and tolerance, the plan was measured; elsewhere it may differ from the run's form of it by as much.
        let (count, unit) = ((plan.len() + 4) as f64, T::EPSILON.to_f64());
        let rounding = 4.0 * count * unit + 0.4 * tolerance.max(error);
        if rows_hard || columns_hard {
            self.must(measured <= error + rounding, || format!("its plan is off by {measured:e}"));
        }
        if rows_hard && columns_hard {
            self.must(error <= measured + rounding, || format!("its plan is off by {measured:e}"));
        }
    }

    /// The interval contains the cost of exact transport.
    fn bounds(&self, a: &Array1<T>, b: &Array1<T>) {
        let bounds = self.solution.bounds().expect("both marginals are hard");
        self.must(bounds.lower <= bounds.upper, || format!("{bounds:?}"));
        let exact = emd(self.cost, a, b).expect("a problem that Sinkhorn takes");
        let finite = |c: &T| if *c < T::INFINITY { c.to_f64().abs() } else { 0.0 };
        let largest = self.cost.iter().map(finite).fold(0.0, f64::max);
        let mass: f64 = a.iter().map(|a| a.to_f64()).sum();
        // A tree's potentials are sums of at most n + m costs; weights are whole numbers of 2⁻⁵⁹ of the mass. Where pairs are
        // forbidden, four machine epsilons of the mass may have no way to go, and potentials ask their price for it.
        let size = |x: &Array1<f64>| x.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let price = 2.0 * (size(&self.solution.f) + size(&self.solution.g) + largest);
        let stuck =
            if self.cost.iter().any(|&c| c == T::INFINITY) { T::EPSILON.to_f64() } else { 0.0 };
        let slack = (100.0 * f64::EPSILON * largest + 5.0 * stuck * price) * mass;
        let inside = bounds.lower - slack <= exact.value && exact.value <= bounds.upper + slack;
        self.must(inside, || format!("{bounds:?} does not contain {}", exact.value));
    }
}

//! Cases 1 to 18: balanced entropic transport.

use ndarray::{Array1, Array2, Axis, Slice, array};

use super::{Figures, Holds, XCHECK, check, check_all};
use crate::check::{Check, dot};
use crate::inputs::{
    Base, bump, line_cost, normalized, points, squared, uniform, unit_rows, weights,
};
use crate::solver::{Answer, Answered, Problem, Solver, Status};

pub(super) const CASES: &[(usize, Holds)] = &[
    (1, two_by_two),
    (2, base),
    (3, base),
    (4, base),
    (5, base),
    (6, base),
    (7, base),
    (8, large_clouds),
    (9, bumps),
    (10, euclidean),
    (11, cosine),
    (12, zero_weights),
    (13, shifted),
    (14, shifted_rows),
    (15, mass),
    (16, symmetric),
    (17, modular),
    (18, forbidden),
];

/// Everything that is stored of a balanced case.
fn balanced(
    solver: &dyn Solver,
    figures: &Figures,
    cost: &Array2<f64>,
    a: &Array1<f64>,
    b: &Array1<f64>,
) -> Answered<(Answer, Vec<Check>)> {
    let problem = Problem::new(cost, a, b, figures.epsilon());
    let answer = solver.entropic(&problem)?;
    let mut checks = vec![truthful(&problem, &answer)];
    if figures.has("plan") {
        checks.push(figures.check_matrix("plan", &answer.plan));
    } else {
        checks.push(figures.check_digest("plan_digest", &answer.plan));
    }
    for (key, potential) in [("f", &answer.f), ("g", &answer.g)] {
        if figures.has(key) {
            // Of large problems, the first six are stored.
            let stored = figures.vector(key);
            let first = Slice::from(..stored.len().min(potential.len()));
            let found = potential.slice_axis(Axis(0), first);
            checks.push(check_all(key, &found, &stored, figures.tolerance(), XCHECK));
        }
    }
    checks.push(figures.check("kl", answer.value));
    if figures.has("linear") {
        checks.push(figures.check("linear", answer.linear));
        let entropy: f64 = answer.plan.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum();
        checks.push(figures.check("ent", answer.linear + problem.epsilon * entropy));
        checks.push(figures.check("dual", dot(a, &answer.f) + dot(b, &answer.g)));
    }
    Ok((answer, checks))
}

/// A run that says it has converged has.
fn truthful(problem: &Problem<'_>, answer: &Answer) -> Check {
    let sums = |axis| answer.plan.sum_axis(Axis(axis));
    let off = |sums: Array1<f64>, weights: &Array1<f64>| -> f64 {
        sums.iter().zip(weights).map(|(s, w)| (s - w).abs()).sum()
    };
    let mass = problem.a.sum();
    let error = (off(sums(1), problem.a) + off(sums(0), problem.b)) / mass;
    // The potentials' own rounding, of costs over ε, is in every entry of the plan.
    let range = problem.cost.iter().filter(|c| c.is_finite()).fold(0.0_f64, |m, c| m.max(c.abs()));
    let rounding = 8.0 * f64::EPSILON * (range / problem.epsilon).max(1.0);
    let converged = answer.status == Status::Converged;
    let tolerance = if converged { problem.tolerance + rounding } else { 1e-12 };
    Check::new(
        "marginal error",
        error,
        tolerance,
        "converged: the tolerance asked for and the rounding of (f + g - C)/eps; else 10 * 1e-13",
    )
}

/// Entries of the plan that must be 0 exactly.
fn nothing(name: &str, entries: impl IntoIterator<Item = f64>) -> Check {
    let sum = entries.into_iter().map(f64::abs).sum();
    Check::new(name, sum, 0.0, "a pair without weight or forbidden has no mass at all")
}

fn two_by_two(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let (cost, half) = (array![[0.0, 1.0], [1.0, 0.0]], array![0.5, 0.5]);
    let (answer, mut checks) = balanced(solver, figures, &cost, &half, &half)?;
    let closed = 0.5 / (1.0 + (-1.0_f64).exp());
    let found = answer.plan.first().copied().unwrap_or(f64::NAN);
    checks.push(check("closed form", found, closed, figures.tolerance(), XCHECK));
    Ok(checks)
}

fn base(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let base = Base::new();
    Ok(balanced(solver, figures, &base.cost, &base.a, &base.b)?.1)
}

fn large_clouds(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let cost = squared(&points(11, 64, 3), &points(12, 48, 3));
    Ok(balanced(solver, figures, &cost, &weights(13, 64), &weights(14, 48))?.1)
}

fn bumps(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let (a, b) = (bump(50, 0.3, 0.1), bump(50, 0.65, 0.07));
    Ok(balanced(solver, figures, &line_cost(50), &a, &b)?.1)
}

fn euclidean(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let base = Base::new();
    Ok(balanced(solver, figures, &base.cost.sqrt(), &base.a, &base.b)?.1)
}

fn cosine(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let base = Base::new();
    let cost = 1.0 - unit_rows(&base.x).dot(&unit_rows(&base.y).t());
    Ok(balanced(solver, figures, &cost, &base.a, &base.b)?.1)
}

fn zero_weights(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { mut a, mut b, cost, .. } = Base::new();
    (a[1], b[2]) = (0.0, 0.0);
    let (answer, mut checks) = balanced(solver, figures, &cost, &normalized(&a), &normalized(&b))?;
    let without = answer.plan.indexed_iter().filter(|((i, j), _)| *i == 1 || *j == 2);
    checks.push(nothing("entries without weight", without.map(|(_, &p)| p)));
    Ok(checks)
}

fn shifted(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let base = Base::new();
    Ok(balanced(solver, figures, &(&base.cost + 3.75), &base.a, &base.b)?.1)
}

fn shifted_rows(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let base = Base::new();
    let rows = Array2::from_shape_fn((5, 1), |(i, _)| i as f64);
    let (answer, mut checks) = balanced(solver, figures, &(&base.cost + &rows), &base.a, &base.b)?;
    // The plan is that of the cost before the shift.
    let before = Figures::of(4).matrix("plan");
    checks.push(check_all("plan unshifted", &answer.plan, &before, figures.tolerance(), XCHECK));
    Ok(checks)
}

fn mass(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let (base, mass) = (Base::new(), figures.parameter("mass"));
    Ok(balanced(solver, figures, &base.cost, &(mass * &base.a), &(mass * &base.b))?.1)
}

fn symmetric(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let (x, a) = (points(6, 6, 2), weights(5, 6));
    let (answer, mut checks) = balanced(solver, figures, &squared(&x, &x), &a, &a)?;
    let turned = answer.plan.t();
    checks.push(check_all("symmetry", &answer.plan, &turned, figures.tolerance(), XCHECK));
    checks.push(check_all("f = g", &answer.f, &answer.g, figures.tolerance(), XCHECK));
    Ok(checks)
}

fn modular(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let cost = Array2::from_shape_fn((4, 6), |(i, j)| ((7 * i + 13 * j) % 11) as f64 / 11.0);
    Ok(balanced(solver, figures, &cost, &uniform(4), &uniform(6))?.1)
}

fn forbidden(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, mut cost, .. } = Base::new();
    let pairs = [[0, 0], [3, 2]];
    pairs.iter().for_each(|&pair| cost[pair] = f64::INFINITY);
    let (answer, mut checks) = balanced(solver, figures, &cost, &a, &b)?;
    let entries = pairs.map(|pair| answer.plan.get(pair).copied().unwrap_or(f64::NAN));
    checks.push(nothing("forbidden pairs", entries));
    Ok(checks)
}

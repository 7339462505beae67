//! Cases 63 to 69, 73 and 74: transport without regularisation, closed forms, rounding, and a second opinion.

use ndarray::{Array1, Array2, Axis, array, concatenate};

use super::{Figures, Holds, XCHECK, check};
use crate::check::{Check, dot};
use crate::inputs::{Base, draws, normalized, points, squared, uniform, weights};
use crate::solver::{Answered, Clouds, Exact, Positions, Problem, Reference, Solver};

pub(super) const CASES: &[(usize, Holds)] = &[
    (63, small),
    (64, large),
    (65, line),
    (66, circle),
    (67, sliced),
    (68, bures),
    (69, gaussians),
    (73, rounding),
    (74, second_opinion),
];

/// The value, and the proof of it: potentials that are feasible and worth as much.
fn proven(
    figures: &Figures,
    key: &str,
    (cost, a, b): (&Array2<f64>, &Array1<f64>, &Array1<f64>),
    found: &Exact,
) -> Vec<Check> {
    let Exact { value, f, g, .. } = found;
    let dual = dot(a, f) + dot(b, g);
    let over = |((i, j), c): ((usize, usize), &f64)| (f[i] + g[j] - c).max(0.0);
    let infeasible = match dual.is_nan() {
        true => f64::NAN,
        false => cost.indexed_iter().map(over).fold(0.0, f64::max),
    };
    vec![
        figures.check(key, *value),
        Check::new("infeasibility of the potentials", infeasible, figures.tolerance(), XCHECK),
        check("duality gap", dual, *value, figures.tolerance(), XCHECK),
    ]
}

fn small(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, cost, .. } = Base::new();
    let found = solver.exact(&cost, &a, &b)?;
    let mut checks = proven(figures, "cost", (&cost, &a, &b), &found);
    checks.push(figures.check_matrix("plan", &found.plan));
    Ok(checks)
}

fn large(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let (a, b) = (weights(73, 20), weights(74, 30));
    let cost = squared(&points(71, 20, 3), &points(72, 30, 3));
    let found = solver.exact(&cost, &a, &b)?;
    let mut checks = proven(figures, "cost", (&cost, &a, &b), &found);
    let support = found.plan.iter().filter(|p| **p > 1e-14).count() as f64;
    let off = (support - figures.number("support")).abs();
    checks.push(Check::new(
        "support",
        off,
        0.0,
        "the plan is unique, a vertex of n + m - 1 entries",
    ));
    Ok(checks)
}

/// Seven and nine numbers in [0, 1) with weights.
fn positions() -> [Array1<f64>; 4] {
    [draws(75, 7).into(), draws(76, 9).into(), weights(77, 7), weights(78, 9)]
}

fn line(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let [x, y, a, b] = positions();
    let mut checks = Vec::new();
    for p in figures.parameters("p") {
        let at = Positions { x: &x, y: &y, a: &a, b: &b, p };
        checks.push(figures.check(&format!("p{p}"), solver.line(&at)?.1));
    }
    Ok(checks)
}

fn circle(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let [x, y, a, b] = positions();
    let mut checks = Vec::new();
    // A sum of at most 16 products of masses, each a difference of sums of up to 9 weights, and distances to the power
    // of p, below 1/2: 16 (2 + 18) roundings of numbers below 1/16.
    let reason = "some 320 roundings of products below 1/16, on both sides";
    for p in figures.parameters("p") {
        let at = Positions { x: &x, y: &y, a: &a, b: &b, p };
        let key = format!("p{p}");
        checks.push(check(&key, solver.circle(&at)?, figures.number(&key), 5e-15, reason));
    }
    Ok(checks)
}

fn sliced(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { x, y, a, b, .. } = Base::new();
    let clouds = Clouds { x: &x, y: &y, a: &a, b: &b };
    let angle = |k: usize| std::f64::consts::PI * k as f64 / 16.0;
    let directions = Array2::from_shape_fn((16, 2), |(k, axis)| match axis {
        0 => angle(k).cos(),
        _ => angle(k).sin(),
    });
    let found = solver.sliced(&clouds, figures.parameter("p"), &directions)?;
    Ok(vec![figures.check("sw2", found)])
}

/// √S of a symmetric positive definite S (2, 2): (S + √det S · 1)/√(tr S + 2 √det S).
fn square_root(s: &Array2<f64>) -> Array2<f64> {
    let root = (s[[0, 0]] * s[[1, 1]] - s[[0, 1]] * s[[1, 0]]).sqrt();
    (s + root * Array2::eye(2)) / (s[[0, 0]] + s[[1, 1]] + 2.0 * root).sqrt()
}

fn inverse(s: &Array2<f64>) -> Array2<f64> {
    let det = s[[0, 0]] * s[[1, 1]] - s[[0, 1]] * s[[1, 0]];
    array![[s[[1, 1]], -s[[0, 1]]], [-s[[1, 0]], s[[0, 0]]]] / det
}

/// The distance of two Gaussians, between two sets of four points with those means and covariances.
///
/// m₁ ± √2 S₁^½ e_k have mean m₁ and covariance S₁. The affine map of the Gaussians, of the matrix A = S₁^-½ (S₁^½ S₂
/// S₁^½)^½ S₁^-½, takes them to four points of mean m₂ and covariance S₂; being the gradient of a convex function it
/// is optimal between any measure and its image (Brenier), and the cost depends on means and covariances alone.
fn bures(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let (m1, m2) = (array![0.0, 1.0], array![1.0, -0.5]);
    let s1 = square_root(&array![[1.0, 0.2], [0.2, 0.5]]);
    let s2 = array![[0.7, -0.1], [-0.1, 0.9]];
    let axes = std::f64::consts::SQRT_2 * &s1;
    let x = concatenate![Axis(0), &m1 + &axes, &m1 - &axes];
    let map = inverse(&s1).dot(&square_root(&s1.dot(&s2).dot(&s1))).dot(&inverse(&s1));
    let y = &m2 + &(&x - &m1).dot(&map);
    // In another order: it is the solver that finds which goes where.
    let order = [2, 0, 3, 1];
    let y = y.select(Axis(0), &order);
    let found = solver.exact(&squared(&x, &y), &uniform(4), &uniform(4))?;
    let sent = order.iter().enumerate().map(|(j, &i)| found.plan.get((i, j)).copied());
    let sent: f64 = sent.map(|p| p.unwrap_or(f64::NAN)).sum();
    Ok(vec![
        figures.check("w2_squared", found.value),
        check("mass along the map", sent, 1.0, figures.tolerance(), XCHECK),
    ])
}

fn gaussians(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let t = Array1::from_shape_fn(241, |i| -2.0 + 4.4 * i as f64 / 240.0);
    let normal =
        |mean: f64, sd: f64| normalized(&t.mapv(|t| (-0.5 * ((t - mean) / sd).powi(2)).exp()));
    let (a, b) = (normal(0.0, 0.25), normal(0.4, 0.35));
    let cost = Array2::from_shape_fn((241, 241), |(i, j)| (t[i] - t[j]).powi(2));
    let answer = solver.entropic(&Problem::new(&cost, &a, &b, figures.epsilon()))?;
    let (mean_a, mean_b) = (a.dot(&t), b.dot(&t));
    let moment = |((i, j), p): ((usize, usize), &f64)| {
        let at = |i: usize| t.get(i).copied().unwrap_or(f64::NAN);
        p * (at(i) - mean_a) * (at(j) - mean_b)
    };
    let covariance: f64 = answer.plan.indexed_iter().map(moment).sum();
    // The xcheck is what the grid is away from the closed form; figures of the grid are met as all others are.
    let of_grid = |key: &str, found| {
        check(key, found, figures.number(key), 1e-12, "the same grid: 10 * 1e-13")
    };
    Ok(vec![
        of_grid("kl", answer.value),
        of_grid("plan_cov", covariance),
        figures.check("kl_closed", answer.value),
        figures.check("plan_cov_closed", covariance),
    ])
}

fn rounding(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, cost, .. } = Base::new();
    let problem = super::sequences::from_ones(Problem::new(&cost, &a, &b, figures.epsilon()));
    let found = solver.round(&problem, figures.parameter("rounds") as u32)?;
    Ok(vec![
        figures.check_matrix("plan", &found.plan),
        figures.check("cost", found.cost),
        figures.check("l1_move", found.moved),
    ])
}

fn second_opinion(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, cost, .. } = Base::new();
    let problem = Problem::new(&cost, &a, &b, figures.epsilon());
    let answer = solver.entropic(&problem)?;
    let entropy: f64 = answer.plan.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum();
    // OTT's potentials are those of the counting measure.
    let counting = solver.entropic(&Problem { reference: Reference::Counting, ..problem })?;
    let dual = dot(&a, &counting.f) + dot(&b, &counting.g);
    Ok(vec![
        figures.check("reg_ot_cost", answer.value),
        figures.check("primal_cost", answer.linear),
        figures.check("ent_reg_cost", answer.linear + problem.epsilon * entropy),
        figures.check("dual_cost", dual),
    ])
}

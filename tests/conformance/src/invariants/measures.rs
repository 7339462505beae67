//! Invariants 25 and 32: Sinkhorn divergences and barycentres.

use ndarray::{Array1, Array2, Axis, stack};

use super::Laws;
use super::drawn::{Drawn, Draws, range};
use super::formulas::{apart, largest_of, weighed};
use super::known::{Known, ULP, solve};
use super::limits::clouds;
use crate::check::Check;
use crate::inputs::squared;
use crate::solver::{Answered, Clouds, Divergence, Histograms, Refusal, Solver};

pub(super) const ALL: Laws = &[
    (25, "the divergence of a measure from itself is 0, and flat", of_itself),
    (25, "the divergence is W - W_a/2 - W_b/2, symmetric, and not below 0", between),
    (25, "the divergence does not see a constant in the cost", shifted),
    (25, "at equality the divergence does not move with the points", flat_in_points),
    (32, "the barycentre of one histogram is that histogram, blurred", one_histogram),
    (32, "the barycentre of equal histograms is that of one", equal_histograms),
    (32, "a histogram of weight 0 has no part", without_part),
    (32, "barycentres move with their histograms", translated),
    (32, "the debiased barycentre of one histogram is that histogram", debiased),
];

/// Shapes, and numbers.
fn usable(found: &Divergence, (n, m): (usize, usize)) -> Answered<()> {
    let numbers = found.d_a.iter().chain(&found.d_b).chain([&found.value]);
    if (found.d_a.len(), found.d_b.len()) != (n, m) || numbers.into_iter().any(|x| !x.is_finite()) {
        return Err(Refusal::Refused("a divergence of other shapes, or without numbers".into()));
    }
    Ok(())
}

/// The three problems: between the two, and of each with itself.
fn three(x: &Array2<f64>, y: &Array2<f64>, drawn: &Drawn) -> [Drawn; 3] {
    let own = |x: &Array2<f64>, w: &Array1<f64>| Drawn {
        cost: squared(x, x),
        a: w.clone(),
        b: w.clone(),
        ..drawn.clone()
    };
    [drawn.clone(), own(x, &drawn.a), own(y, &drawn.b)]
}

/// What a value found by the potentials may be off by: what the solver's own answer may be.
const VALUES: &str = "what the three values may be off by, as their answers say";

fn of_itself(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let n = 3 + draws.below(5);
    let x = draws.points(n, 2);
    let (cost, mass) = (squared(&x, &x), draws.pick(&[1.0, 2.5]));
    let a = draws.weights(n, mass);
    let epsilon = draws.pick(&[0.5, 0.1, 0.02]) * range(&cost);
    let drawn = Drawn { cost, b: a.clone(), a, epsilon, ..Drawn::default() };
    let problem = drawn.problem();
    let found = solver.divergence(&problem, [&drawn.cost, &drawn.cost])?;
    usable(&found, (n, n))?;
    let Known { value, largest, .. } = solve(solver, &problem)?.known;
    let mut checks = vec![Check::new("value", found.value.abs(), 3.0 * value, VALUES)];
    for (name, slopes) in [("d_a", &found.d_a), ("d_b", &found.d_b)] {
        let centre = slopes.dot(&drawn.a) / mass;
        let error = largest_of(weighed(&(slopes - centre), &drawn.a));
        let reason = "what two potentials may be off by where there is weight";
        checks.push(Check::new(name, error, 4.0 * largest, reason));
    }
    Ok(checks)
}

fn between(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (x, y, drawn) = clouds(draws);
    let problems = three(&x, &y, &drawn);
    let [ab, aa, bb] = problems.each_ref().map(|drawn| drawn.problem());
    let found = solver.divergence(&ab, [aa.cost, bb.cost])?;
    usable(&found, drawn.cost.dim())?;
    let solved = [solve(solver, &ab)?, solve(solver, &aa)?, solve(solver, &bb)?];
    let [w, w_a, w_b] = solved.each_ref().map(|solved| solved.answer.value);
    let allowed = 2.0 * solved.iter().map(|solved| solved.known.value).sum::<f64>();
    let turned = Drawn {
        cost: drawn.cost.t().to_owned(),
        a: drawn.b.clone(),
        b: drawn.a.clone(),
        ..drawn.clone()
    };
    let back = solver.divergence(&turned.problem(), [bb.cost, aa.cost])?;
    usable(&back, turned.cost.dim())?;
    let by_values = (found.value - (w - 0.5 * (w_a + w_b))).abs();
    let mut checks = vec![
        Check::new("by its three values", by_values, allowed, VALUES),
        Check::new("below 0", (-found.value).max(0.0), allowed, VALUES),
        Check::new("turned round", (found.value - back.value).abs(), allowed, VALUES),
    ];
    // ∂S/∂a = f_ab − f_aa, up to a constant.
    let [across, own, _] = solved.each_ref().map(|solved| &solved.answer.f);
    let off = &found.d_a - &(across - own);
    let off = &off - off.dot(&drawn.a) / drawn.a.sum();
    let allowed = 4.0 * (solved[0].known.largest + solved[1].known.largest);
    let reason = "what two potentials may be off by where there is weight";
    let error = largest_of(weighed(&off, &drawn.a));
    checks.push(Check::new("d_a", error, allowed, reason));
    Ok(checks)
}

fn shifted(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (x, y, drawn) = clouds(draws);
    let by = draws.between(-5.0, 5.0);
    let mut values = Vec::new();
    let mut allowed = 0.0;
    for by in [0.0, by] {
        let problems = three(&x, &y, &drawn).map(|mut drawn| {
            drawn.cost += by;
            drawn
        });
        let [ab, aa, bb] = problems.each_ref().map(|drawn| drawn.problem());
        values.push(solver.divergence(&ab, [aa.cost, bb.cost])?.value);
        for problem in [ab, aa, bb] {
            allowed += solve(solver, &problem)?.known.value;
        }
    }
    Ok(vec![Check::new("value", (values[0] - values[1]).abs(), allowed, VALUES)])
}

fn flat_in_points(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let n = 3 + draws.below(5);
    let x = draws.matrix(n, 2);
    let a = draws.positive_weights(n, 1.0);
    let cost = squared(&x, &x);
    let epsilon = draws.pick(&[0.5, 0.1]) * range(&cost);
    let same = Clouds { x: &x, y: &x, a: &a, b: &a };
    let (found, slopes) = solver.divergence_of_clouds(&same, epsilon)?;
    let drawn = Drawn { cost, b: a.clone(), a: a.clone(), epsilon, ..Drawn::default() };
    let known = solve(solver, &drawn.problem())?.known;
    // Two plans along differences of points, which are below √2 long, twice.
    let allowed = 2.0 * 2.0 * 2.0_f64.sqrt() * 2.0 * known.plan;
    let error = slopes.iter().map(largest_of).sum::<f64>();
    let reason = "what two plans may be off by, along differences of points";
    Ok(vec![
        Check::new("value", found.value.abs(), 3.0 * known.value, VALUES),
        Check::new("by points", error, allowed, reason),
    ])
}

/// ε h⁻² of grids with the spacing h: a kernel whose rows hold 1 + 2 e⁻² + … = 1.27, so that nothing is lost in
/// inverting it.
const NARROW: f64 = 0.5;

/// The error asked for, relative to the mass.
const ASKED: f64 = 1e-13;

/// Squares of distances on a circle of n points.
fn circle_cost(n: usize) -> Array2<f64> {
    Array2::from_shape_fn((n, n), |(i, j)| {
        let steps = i.abs_diff(j).min(n - i.abs_diff(j)) as f64;
        steps * steps
    })
}

fn average(
    solver: &dyn Solver,
    columns: &[&Array1<f64>],
    weights: &[f64],
    debiased: bool,
) -> Answered<Array1<f64>> {
    let views: Vec<_> = columns.iter().map(|column| column.view()).collect();
    let n = columns[0].len();
    let histograms = Histograms {
        cost: &circle_cost(n),
        columns: &stack(Axis(1), &views).expect("of one length"),
        weights: &weights.to_vec().into(),
        epsilon: NARROW,
        tolerance: ASKED,
        max_iterations: 20_000,
    };
    let q = solver.barycenter(&histograms, debiased)?;
    if q.len() != n || q.iter().any(|q| !q.is_finite()) {
        return Err(Refusal::Refused("a barycentre of another length, or without numbers".into()));
    }
    Ok(q)
}

/// K̄ᵀa, K̄ the kernel exp(−C/ε) with rows of sum 1.
fn blurred(a: &Array1<f64>) -> Array1<f64> {
    let kernel = circle_cost(a.len()).mapv(|c| (-c / NARROW).exp());
    let rows = kernel.sum_axis(Axis(1));
    kernel.t().dot(&(a / &rows))
}

/// Histograms of one mass, none of them with an entry of 0, and the mass.
fn histograms(draws: &mut Draws) -> (Vec<Array1<f64>>, f64) {
    let (n, mass) = (5 + draws.below(6), draws.pick(&[1.0, 2.5]));
    ((0..3).map(|_| draws.positive_weights(n, mass)).collect(), mass)
}

/// Between alternating projections whose error is e, the barycentre may still move by e/(1 − rate); the rate here is
/// that of kernels of little overlap, below 0.9.
const SETTLED: &str = "the error asked for over 1 - 0.9, on both sides, and rounding of exponents";

fn check(name: &str, found: &Array1<f64>, expected: &Array1<f64>, mass: f64) -> Check {
    let n = found.len() as f64;
    // Exponents are at most the largest cost, (n/2)², over ε.
    let rounding = ULP * (8.0 + n + 2.0 * n * n / NARROW);
    let allowed = (20.0 * ASKED + 4.0 * rounding) * mass;
    Check::new(name, apart(found, expected), allowed, SETTLED)
}

fn one_histogram(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (columns, mass) = histograms(draws);
    let q = average(solver, &[&columns[0]], &[1.0], false)?;
    Ok(vec![check("q", &q, &blurred(&columns[0]), mass)])
}

fn equal_histograms(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (columns, mass) = histograms(draws);
    let q = average(solver, &[&columns[0]; 3], &[0.2, 0.5, 0.3], false)?;
    Ok(vec![check("q", &q, &blurred(&columns[0]), mass)])
}

fn without_part(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (columns, mass) = histograms(draws);
    let all: Vec<&Array1<f64>> = columns.iter().collect();
    let q = average(solver, &all, &[1.0, 0.0, 0.0], false)?;
    let two = average(solver, &all, &[0.4, 0.6, 0.0], false)?;
    let without = average(solver, &all[..2], &[0.4, 0.6], false)?;
    Ok(vec![
        check("one counts", &q, &blurred(&columns[0]), mass),
        check("two count", &two, &without, mass),
    ])
}

fn translated(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (columns, mass) = histograms(draws);
    let n = columns[0].len();
    let by = 1 + draws.below(n - 1);
    let order: Vec<usize> = (0..n).map(|i| (i + by) % n).collect();
    let moved: Vec<Array1<f64>> = columns.iter().map(|x| x.select(Axis(0), &order)).collect();
    let weights = [0.2, 0.3, 0.5];
    let mut checks = Vec::new();
    for (name, debiased) in [("blurred", false), ("debiased", true)] {
        let before = average(solver, &columns.iter().collect::<Vec<_>>(), &weights, debiased)?;
        let after = average(solver, &moved.iter().collect::<Vec<_>>(), &weights, debiased)?;
        checks.push(check(name, &after, &before.select(Axis(0), &order), mass));
        let reason = "the error asked for, and rounding";
        let allowed = (2.0 * ASKED + n as f64 * 16.0 * ULP) * mass;
        let off = (after.sum() - mass).abs();
        checks.push(Check::new(format!("mass, {name}"), off, allowed, reason));
    }
    Ok(checks)
}

fn debiased(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (columns, mass) = histograms(draws);
    let q = average(solver, &[&columns[0]], &[1.0], true)?;
    Ok(vec![check("q", &q, &columns[0], mass)])
}

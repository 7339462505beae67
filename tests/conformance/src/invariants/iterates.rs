//! Invariants 16 to 18, 36 and 37: what holds of plain iterations from the first one on, and of what is made of them.

use ndarray::Array1;

use super::Laws;
use super::balanced::exact;
use super::drawn::{Drawn, Draws, MODERATE, range};
use super::formulas::{apart, dual, largest_of, linear, soft_columns, soft_rows, sums, weighed};
use super::known::{Solved, ULP, rounds, solve};
use crate::check::Check;
use crate::solver::{Answered, Problem, Refusal, Solver};

pub(super) const ALL: Laws = &[
    (16, "the dual objective rises with every half step", rising_dual),
    (17, "Hilbert's distance to the solution shrinks by tanh(diameter/4)^2", contraction),
    (18, "the L1 error of the marginals falls with every half step", falling_error),
    (36, "a rounded plan has the marginals, and is near", rounding),
    (37, "bounds of an iterate hold the exact cost", bounds),
    (37, "bounds of an iterate in f32 hold the exact cost", single_bounds),
];

fn rising_dual(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let drawn = draws.balanced(&MODERATE);
    let problem = drawn.problem();
    let mass = problem.a.sum();
    let mut checks = Vec::new();
    let mut before = rounds(solver, &problem, 1)?;
    for iterations in 2..=8 {
        let after = rounds(solver, &problem, iterations)?;
        let g = soft_columns(&problem, &before.answer.f);
        // Either half step makes one side exact: all three plans have the mass.
        let steps = [
            (&before.answer.f, &before.answer.g),
            (&before.answer.f, &g),
            (&after.answer.f, &after.answer.g),
        ];
        let duals = steps.map(|(f, g)| dual(&problem, f, g, mass));
        let fall = (duals[0] - duals[1]).max(duals[1] - duals[2]).max(0.0);
        let allowed = before.known.objective + after.known.objective;
        let name = format!("fall of the dual before {iterations}");
        checks.push(Check::new(name, fall, allowed, "rounding of two duals"));
        // And the iteration is Sinkhorn's, whatever constant went from f to g.
        let f = soft_rows(&problem, &g);
        let mut most = 0.0_f64;
        for (i, j) in (0..f.len()).flat_map(|i| (0..g.len()).map(move |j| (i, j))) {
            if problem.a[i] > 0.0 && problem.b[j] > 0.0 {
                let off = (f[i] + g[j] - after.answer.f[i] - after.answer.g[j]).abs();
                most = if off.is_nan() { f64::NAN } else { most.max(off) };
            }
        }
        // The transforms keep or shrink what their arguments are off by; three more roundings are their own.
        let allowed =
            4.0 * problem.epsilon * (before.known.eta + after.known.eta + after.known.sum);
        let reason = "rounding of exponents in two transforms, on both sides";
        checks.push(Check::new(format!("step to {iterations}"), most, allowed, reason));
        before = after;
    }
    Ok(checks)
}

/// max − min over rows with weight.
fn oscillation(x: &Array1<f64>, weights: &Array1<f64>) -> f64 {
    let most = weighed(x, weights).fold(f64::NEG_INFINITY, |m, &x| m.max(x));
    most - weighed(x, weights).fold(f64::INFINITY, |m, &x| m.min(x))
}

/// max ln (K_ij K_kl / (K_il K_kj)) of K = exp(−C/ε), over rows and columns with weight.
fn diameter(problem: &Problem<'_>) -> f64 {
    let mut most = 0.0_f64;
    for (i, row) in problem.cost.rows().into_iter().enumerate() {
        for (k, other) in problem.cost.rows().into_iter().enumerate() {
            if problem.a[i] > 0.0 && problem.a[k] > 0.0 {
                most = most.max(oscillation(&(&row - &other), problem.b));
            }
        }
    }
    most / problem.epsilon
}

fn contraction(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut drawn = draws.balanced(&[3.0, 1.0, 0.3]);
    let finite = largest_of(&drawn.cost);
    drawn.cost.mapv_inplace(|c| if c.is_finite() { c } else { finite });
    let problem = drawn.problem();
    let rate = (diameter(&problem) / 4.0).tanh().powi(2);
    let optimum = solve(solver, &problem)?;
    let mut checks = Vec::new();
    let mut before = None;
    for iterations in 1..=6 {
        let Solved { answer, known } = rounds(solver, &problem, iterations)?;
        let distance = oscillation(&(&answer.f - &optimum.answer.f), problem.a) / problem.epsilon;
        if let Some(before) = before {
            let size = largest_of(&answer.f) + largest_of(&optimum.answer.f);
            let allowed = 2.0 * optimum.known.largest / problem.epsilon
                + 2.0 * known.eta
                + 4.0 * ULP * size / problem.epsilon;
            let over: f64 = distance - rate * before;
            let name = format!("distance after {iterations}, above its bound");
            let reason = "what the solution may be off by, and the rounding of potentials over eps";
            let over = if over.is_nan() { over } else { over.max(0.0) };
            checks.push(Check::new(name, over, allowed, reason));
        }
        before = Some(distance);
    }
    Ok(checks)
}

fn falling_error(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let drawn = draws.balanced(&MODERATE);
    let problem = drawn.problem();
    let mut checks = Vec::new();
    let mut before = rounds(solver, &problem, 1)?;
    for iterations in 2..=8 {
        let after = rounds(solver, &problem, iterations)?;
        let [_, columns] = sums(&before.answer.plan);
        let scale = |(sum, b): (&f64, &f64)| if *b > 0.0 { b / sum } else { 0.0 };
        let scale: Array1<f64> = columns.iter().zip(problem.b).map(scale).collect();
        let [rows, _] = sums(&(&before.answer.plan * &scale));
        let half = apart(&rows, problem.a);
        let allowed = 2.0 * (before.known.eta + before.known.sum) * before.known.mass;
        for (name, over) in [("columns", half - before.known.off), ("rows", after.known.off - half)]
        {
            let name = format!("rise of the error by {name}, {iterations}");
            let over = if over.is_nan() { over } else { over.max(0.0) };
            checks.push(Check::new(name, over, allowed, "rounding of entries and their sums"));
        }
        before = after;
    }
    Ok(checks)
}

fn rounding(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for iterations in [1, 2, 10] {
        let mut drawn = draws.balanced(&[1.0, 0.1, 1e-2, 1e-3]);
        let finite = largest_of(&drawn.cost);
        drawn.cost.mapv_inplace(|c| if c.is_finite() { c } else { finite });
        let problem = drawn.problem();
        let rounded = solver.round(&problem, iterations)?;
        let Solved { answer, known } = rounds(solver, &problem, iterations)?;
        if rounded.plan.dim() != problem.cost.dim() {
            return Err(Refusal::Refused("a rounded plan of another shape".into()));
        }
        let [rows, columns] = sums(&rounded.plan);
        let off = apart(&rows, problem.a) + apart(&columns, problem.b);
        let mut all = |name: &str, error: f64, tolerance: f64, reason| {
            checks.push(Check::new(format!("{name} after {iterations}"), error, tolerance, reason));
        };
        let sum = known.sum * known.mass;
        all("marginals", off, 4.0 * sum, "rounding of sums, whatever the iterate");
        let negative = rounded.plan.iter().map(|p| (-p).max(0.0)).sum();
        all("negative mass", negative, 0.0, "a sum of products that are not negative");
        let moved = apart(&rounded.plan, &answer.plan);
        let over = moved - 2.0 * known.off;
        let over = if over.is_nan() { over } else { over.max(0.0) };
        all("moved too far", over, 4.0 * sum, "rounding of sums");
        all("moved", (moved - rounded.moved).abs(), 4.0 * sum, "rounding of sums");
        let cost = (linear(problem.cost, &rounded.plan) - rounded.cost).abs();
        let size = largest_of(problem.cost);
        all("cost", cost, 4.0 * sum * size, "rounding of sums");
    }
    Ok(checks)
}

/// Weights that are multiples of 2⁻¹² and costs that f32 holds: the same problem in both types.
fn dyadic(draws: &mut Draws) -> Drawn {
    let mut drawn = draws.balanced(&[1.0, 0.1, 1e-2, 1e-3]);
    let finite = largest_of(&drawn.cost);
    drawn.cost.mapv_inplace(|c| f64::from(if c.is_finite() { c as f32 } else { finite as f32 }));
    drawn.epsilon = drawn.epsilon.max(1e-3 * range(&drawn.cost));
    let (n, m) = drawn.cost.dim();
    (drawn.a, drawn.b) = (draws.dyadic_weights(n), draws.dyadic_weights(m));
    drawn
}

fn bounds(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    bounds_by(solver, solver, draws)
}

fn single_bounds(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    bounds_by(&*solver.single()?, solver, draws)
}

fn bounds_by(by: &dyn Solver, solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    let drawn = dyadic(draws);
    let problem = drawn.problem();
    let (exact, rounding) = exact(solver, &problem)?;
    for iterations in [1, 2, 5, 50] {
        let [below, above] = by.bounds(&problem, iterations)?;
        let outside = (below - exact.value).max(exact.value - above).max(0.0);
        let outside = if below.is_nan() || above.is_nan() { f64::NAN } else { outside };
        let name = format!("outside the bounds after {iterations}");
        checks.push(Check::new(name, outside, rounding, "rounding of the exact cost"));
        // Of f and g that cannot be raised, no C − f − g is above twice the range of C; so bounds that say nothing
        // fail.
        let apart = above - below;
        let allowed = 2.0 * range(&drawn.cost) * problem.a.sum() + rounding;
        let reason = "the largest reduced cost of tight potentials, for all the mass";
        checks.push(Check::new(format!("width after {iterations}"), apart, allowed, reason));
    }
    Ok(checks)
}

//! Invariants 1 to 5, 15, 23 and 40: what holds of every answer to a balanced problem.

use super::Laws;
use super::drawn::{Draws, MODERATE, SMALL, range};
use super::formulas::{
    apart, dual, largest_of, linear, primal, reference, soft_columns, soft_rows, sums, weighed,
};
use super::known::{
    Known, Solved, ULP, agree, converged, linear_check, reached, rounds, solve, sound,
};
use crate::check::{Check, dot};
use crate::solver::{Answered, Problem, Reference, Solver};

pub(super) const ALL: Laws = &[
    (1, "marginals are off by no more than is reported", marginals),
    (2, "no mass is negative, without weight or forbidden", entries),
    (3, "the plan has the mass of the weights", mass),
    (4, "potentials are soft transforms of each other", fixed_point),
    (5, "the gauge is <a, f> = <b, g>", gauge),
    (5, "a start in another gauge ends in the same one", other_gauge),
    (15, "the value is the objective, and the dual reaches it", duality),
    (15, "no dual of an iterate is above the optimum", dual_below),
    (15, "the cost of the plan is within eps H of the optimum", entropic_bias),
    (23, "of Diracs, f + g = C after any iteration", diracs),
    (40, "masses an ulp apart end all the same", masses_an_ulp_apart),
];

/// Problems at a moderate ε and at a small one.
fn two(draws: &mut Draws) -> [super::drawn::Drawn; 2] {
    [draws.balanced(&MODERATE), draws.balanced(&SMALL)]
}

fn marginals(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for mut drawn in two(draws) {
        if draws.chance(0.3) {
            drawn.reference = Reference::Counting;
        }
        let problem = drawn.problem();
        let solved = solve(solver, &problem)?;
        let Known { off, eta, sum, .. } = solved.known;
        let mass = problem.a.sum();
        let [rows, columns] = sums(&solved.answer.plan);
        let reason = "the error reported, and the rounding of entries and their sums";
        let allowed = solved.answer.error + eta + sum;
        checks.push(Check::new("marginal error", off / mass, allowed, reason));
        if converged(&solved) {
            let reason = "what converged means";
            let error = solved.answer.error;
            checks.push(Check::new("error when converged", error, problem.tolerance, reason));
        }
        checks.extend(reached(&problem, &solved));
        // Relative to each weight; one side was the last to be moved.
        let most = |sums: &ndarray::Array1<f64>, weights: &ndarray::Array1<f64>| {
            let off: Vec<f64> = sums.iter().zip(weights).map(|(s, w)| (s - w) / w).collect();
            largest_of(weighed(&off.into(), weights))
        };
        let last = most(&rows, problem.a).min(most(&columns, problem.b));
        let n = problem.a.len().max(problem.b.len()) as f64;
        let reason = "4 ulp a term, and the rounding of exponents";
        checks.push(Check::new("side moved last", last, 4.0 * n * ULP + eta, reason));
    }
    Ok(checks)
}

fn entries(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for drawn in two(draws) {
        let problem = drawn.problem();
        let plan = solve(solver, &problem)?.answer.plan;
        let negative: f64 = plan.iter().map(|p| (-p).max(0.0)).sum();
        let nowhere = |((i, j), _): &((usize, usize), &f64)| {
            problem.a[*i] == 0.0 || problem.b[*j] == 0.0 || problem.cost[[*i, *j]].is_infinite()
        };
        let wrong: f64 = plan.indexed_iter().filter(nowhere).map(|(_, p)| p.abs()).sum();
        checks.push(Check::new("negative mass", negative, 0.0, "masses are sums of exponentials"));
        let reason = "exp(-inf) and 0 times anything are 0";
        checks.push(Check::new("mass where none may be", wrong, 0.0, reason));
    }
    Ok(checks)
}

fn mass(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for drawn in two(draws) {
        let problem = drawn.problem();
        let Solved { answer, known } = solve(solver, &problem)?;
        let mass = problem.a.sum();
        let reason = "the side that is not exact may be off by the error; and rounding";
        let allowed = (answer.error + known.eta + known.sum) * mass;
        checks.push(Check::new("mass", (known.mass - mass).abs(), allowed, reason));
    }
    Ok(checks)
}

fn fixed_point(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for drawn in two(draws) {
        let problem = drawn.problem();
        let Solved { answer, known } = solve(solver, &problem)?;
        let sums = sums(&answer.plan);
        let transforms = [soft_rows(&problem, &answer.g), soft_columns(&problem, &answer.f)];
        let size =
            largest_of(weighed(&answer.f, problem.a)) + largest_of(weighed(&answer.g, problem.b));
        let allowed = problem.epsilon * (known.eta + known.sum) + 4.0 * ULP * size;
        let sides = [(problem.a, &answer.f, "f"), (problem.b, &answer.g, "g")];
        for (side, (weights, x, name)) in sides.into_iter().enumerate() {
            // A row whose sum is r_i is that far from its transform: r_i = a_i exp((f_i − T(g)_i)/ε).
            let off: ndarray::Array1<f64> = (0..x.len())
                .map(|i| {
                    let sum = (sums[side][i] / weights[i]).ln() * problem.epsilon;
                    x[i] - transforms[side][i] - sum
                })
                .collect();
            let error = largest_of(weighed(&off, weights));
            let reason = "rounding of exponents and potentials, after what the sums are off by";
            checks.push(Check::new(format!("{name} and its transform"), error, allowed, reason));
        }
        // And the plan is that of its potentials.
        let entry = |(at, c): ((usize, usize), &f64)| {
            let exponent = (answer.f[at.0] + answer.g[at.1] - c) / problem.epsilon;
            if reference(&problem, at) > 0.0 {
                reference(&problem, at) * exponent.exp()
            } else {
                0.0
            }
        };
        let form = ndarray::Array2::from_shape_vec(
            problem.cost.dim(),
            problem.cost.indexed_iter().map(entry).collect(),
        );
        let form = form.expect("as many as there are costs");
        let reason = "rounding of exponents, and of rows made exact";
        let allowed = 2.0 * (known.eta + known.sum) * known.mass;
        checks.push(Check::new("plan of f and g", apart(&form, &answer.plan), allowed, reason));
    }
    Ok(checks)
}

fn gauge(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for drawn in two(draws) {
        let problem = drawn.problem();
        let Solved { answer, known } = solve(solver, &problem)?;
        let error = (dot(problem.a, &answer.f) - dot(problem.b, &answer.g)).abs();
        let size = dot(problem.a, &answer.f.abs()) + dot(problem.b, &answer.g.abs());
        let reason = "rounding of two sums and of the shift";
        checks.push(Check::new("<a, f> - <b, g>", error, 2.0 * known.sum * size, reason));
    }
    Ok(checks)
}

fn other_gauge(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let drawn = draws.balanced(&MODERATE);
    let problem = drawn.problem();
    let solved = solve(solver, &problem)?;
    let t = draws.between(-3.0, 3.0) * range(&drawn.cost);
    let (f, g) = (&solved.answer.f + t, &solved.answer.g - t);
    let again = sound(&problem, solver.resume(&problem, &f, &g)?)?;
    Ok(agree("from another gauge", &again, &solved.answer, &solved.known))
}

fn duality(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for mut drawn in two(draws) {
        if draws.chance(0.3) {
            drawn.reference = Reference::Counting;
        }
        let problem = drawn.problem();
        let solved = solve(solver, &problem)?;
        let Solved { ref answer, known } = solved;
        let defined = primal(&problem, &answer.plan);
        let reason = "rounding of the terms, and of exponents in the plan";
        let error = (answer.value - defined).abs();
        checks.push(Check::new("value by its definition", error, known.objective, reason));
        checks.push(linear_check(&problem, &solved));
        // V(P) − D(f, g) = ⟨f, P1 − a⟩ + ⟨g, Pᵀ1 − b⟩, which a constant in f and −g leaves.
        let gap = (defined - dual(&problem, &answer.f, &answer.g, known.mass)).abs();
        let size = largest_of(weighed(&answer.f, problem.a))
            .max(largest_of(weighed(&answer.g, problem.b)));
        let reason = "potentials times the error reported, and rounding";
        let allowed = size * answer.error * problem.a.sum() + known.objective;
        checks.push(Check::new("gap of primal and dual", gap, allowed, reason));
    }
    Ok(checks)
}

fn dual_below(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let drawn = draws.balanced(&MODERATE);
    let problem = drawn.problem();
    let optimum = solve(solver, &problem)?;
    let mut checks = Vec::new();
    for iterations in [1, 2, 3, 5, 20] {
        let Solved { answer, known } = rounds(solver, &problem, iterations)?;
        // The mass of the potentials' plan is that of its exact rows.
        let above = dual(&problem, &answer.f, &answer.g, known.mass) - optimum.answer.value;
        let name = format!("dual above the optimum after {iterations}");
        let allowed = optimum.known.value + known.objective;
        let reason = "what the optimum may be off by, and rounding of the dual";
        checks.push(Check::new(name, above.max(0.0), allowed, reason));
    }
    Ok(checks)
}

/// ⟨C, P⟩ of the exact plan, and how far rounding may have moved it.
pub(super) fn exact(
    solver: &dyn Solver,
    problem: &Problem<'_>,
) -> Answered<(crate::solver::Exact, f64)> {
    let exact = solver.exact(problem.cost, problem.a, problem.b)?;
    let (n, m) = problem.cost.dim();
    let size = largest_of(problem.cost) * problem.a.sum();
    Ok((exact, (n + m + 8) as f64 * ULP * size))
}

/// H(w/Σw)
fn entropy(w: &ndarray::Array1<f64>) -> f64 {
    let mass = w.sum();
    -w.iter().filter(|w| **w > 0.0).map(|w| w / mass * (w / mass).ln()).sum::<f64>()
}

fn entropic_bias(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for drawn in two(draws) {
        let problem = drawn.problem();
        let Solved { answer, known } = solve(solver, &problem)?;
        let (exact, rounding) = exact(solver, &problem)?;
        let (mass, entropy) = (problem.a.sum(), entropy(problem.a).min(entropy(problem.b)));
        // What marginals that are off by so much make cheaper, at prices of the exact potentials.
        let price =
            largest_of(weighed(&exact.f, problem.a)) + largest_of(weighed(&exact.g, problem.b));
        let allowed = price * (known.off + (known.eta + known.sum) * mass) + rounding;
        let above = answer.linear - exact.value;
        let reason = "exact potentials times what the marginals are off by, and rounding";
        checks.push(Check::new("below the exact cost", (-above).max(0.0), allowed, reason));
        let over = above - problem.epsilon * mass * entropy;
        let allowed = known.value + known.linear.min(known.value) + rounding;
        let reason = "what value and plan may be off by, and rounding";
        checks.push(Check::new("above it by more than eps H", over.max(0.0), allowed, reason));
        let by_plan = (linear(problem.cost, &exact.plan) - exact.value).abs();
        checks.push(Check::new("exact cost of its plan", by_plan, rounding, "rounding of a sum"));
    }
    Ok(checks)
}

fn diracs(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for epsilon in [1e-3, 1.0, 100.0] {
        let (mut drawn, mass) = (draws.balanced(&[1.0]), draws.pick(&[1.0, 2.5, 0.01]));
        let c = draws.between(-5.0, 5.0);
        drawn.cost = ndarray::Array2::from_elem((1, 1), c);
        (drawn.a, drawn.b) = (ndarray::array![mass], ndarray::array![mass]);
        drawn.epsilon = epsilon;
        let problem = drawn.problem();
        // P = M where R = M²: the exponent is −ln M.
        let expected = c - epsilon * mass.ln();
        let reason = "rounding of three numbers";
        let allowed = 8.0 * ULP * (c.abs() + epsilon * (1.0 + mass.ln().abs()) + expected.abs());
        let mut answers = vec![("solved", solve(solver, &problem)?)];
        for (name, iterations) in [("after 1", 1), ("after 3", 3)] {
            match rounds(solver, &problem, iterations) {
                Err(crate::solver::Refusal::NotOffered) => {}
                other => answers.push((name, other?)),
            }
        }
        for (name, Solved { answer, .. }) in answers {
            let error = (answer.f[0] + answer.g[0] - expected).abs();
            checks.push(Check::new(format!("f + g, {name}"), error, allowed, reason));
        }
    }
    Ok(checks)
}

fn masses_an_ulp_apart(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let drawn = draws.balanced(&MODERATE);
    let mut nudged = drawn.clone();
    let heaviest =
        (0..drawn.b.len()).fold(0, |top, j| if drawn.b[j] > drawn.b[top] { j } else { top });
    nudged.b[heaviest] = nudged.b[heaviest].next_up();
    let [one, other] = [&drawn, &nudged].map(|drawn| solve(solver, &drawn.problem()));
    let (one, other) = (one?, other?);
    let mut checks = agree("an ulp apart", &other, &one.answer, &one.known);
    checks.extend(reached(&nudged.problem(), &other));
    let taken = f64::from(other.answer.iterations);
    let most = 0.5 * f64::from(nudged.problem().max_iterations);
    checks.push(Check::new("iterations", taken, most, "half of what a drift without end takes"));
    Ok(checks)
}

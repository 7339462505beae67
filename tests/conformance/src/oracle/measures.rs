//! Cases 45 to 47, 51, 52 and 76: barycentres and Sinkhorn divergences.

use ndarray::{Array1, Axis, stack};

use super::{Figures, Holds, check};
use crate::check::Check;
use crate::inputs::{Base, bump, line_cost, squared};
use crate::solver::{Answered, Histograms, Problem, Solver};

pub(super) const CASES: &[(usize, Holds)] = &[
    (45, barycenter),
    (46, barycenter),
    (47, barycenter),
    (51, divergence),
    (52, of_itself),
    (76, second_opinion),
];

fn barycenter(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let bumps = [bump(12, 0.2, 0.1), bump(12, 0.5, 0.15), bump(12, 0.8, 0.08)];
    let columns = stack(Axis(1), &bumps.each_ref().map(|bump| bump.view()));
    let histograms = Histograms {
        cost: &line_cost(12),
        columns: &columns.expect("three of a length"),
        weights: &figures.parameters("weights").into(),
        epsilon: figures.epsilon(),
        tolerance: 1e-15,
        max_iterations: 20_000,
    };
    let debiased = figures.text("name").contains("debiased");
    Ok(vec![figures.check_vector("q", &solver.barycenter(&histograms, debiased)?)])
}

fn divergence(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { x, y, a, b, cost } = Base::new();
    let (xx, yy) = (squared(&x, &x), squared(&y, &y));
    let problem = |cost, a, b| Problem::new(cost, a, b, figures.epsilon());
    let found = solver.divergence(&problem(&cost, &a, &b), [&xx, &yy])?;
    let mut terms = [Vec::new(), Vec::new()];
    for problem in [problem(&cost, &a, &b), problem(&xx, &a, &a), problem(&yy, &b, &b)] {
        let answer = solver.entropic(&problem)?;
        terms[0].push(answer.value);
        terms[1].push(answer.linear);
    }
    let [values, linear] = terms.map(Array1::from);
    Ok(vec![
        figures.check("kl_divergence", found.value),
        figures.check("linear_divergence", found.linear),
        figures.check_vector("kl_terms", &values),
        figures.check_vector("linear_terms", &linear),
    ])
}

fn of_itself(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { x, a, .. } = Base::new();
    let cost = squared(&x, &x);
    let problem = Problem::new(&cost, &a, &a, figures.epsilon());
    let found = solver.divergence(&problem, [&cost, &cost])?;
    // Three values, each off by the marginal error asked for, 1e-14, times potentials below 0.5 at most, and by the
    // rounding of 25 terms below 0.1: 3 (5e-15 + 25 · 0.1 · 2⁻⁵³) = 2e-14.
    let reason = "three values to a marginal error of 1e-14, and their rounding";
    let stored = figures.number("kl_divergence");
    Ok(vec![check("kl_divergence", found.value, stored, 2e-14, reason)])
}

fn second_opinion(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { x, y, a, b, cost } = Base::new();
    let problem = Problem::new(&cost, &a, &b, figures.epsilon());
    let found = solver.divergence(&problem, [&squared(&x, &x), &squared(&y, &y)])?;
    Ok(vec![figures.check("divergence", found.value)])
}

//! Cases 30 to 44 and 75: marginals that may be missed, and partial transport.

use ndarray::{Array1, Axis};

use super::{Figures, Holds, check, check_all};
use crate::check::{Check, largest};
use crate::inputs::Base;
use crate::solver::{Answer, Answered, Marginal, Problem, Reference, Solver};

pub(super) const CASES: &[(usize, Holds)] = &[
    (30, unit_masses),
    (31, unit_masses),
    (32, unit_masses),
    (33, unit_masses),
    (34, heavier_target),
    (35, heavier_target),
    (36, unit_masses),
    (37, heavier_target),
    (38, near_balanced),
    (42, exact_partial),
    (43, partial),
    (44, partial),
    (75, heavier_target),
];

/// Everything that is stored of an unbalanced case, b holding `mass`.
fn unbalanced(solver: &dyn Solver, figures: &Figures, mass: f64) -> Answered<(Answer, Vec<Check>)> {
    let Base { a, b, cost, .. } = Base::new();
    let b = mass * b;
    let marginal = |rho: f64| if rho.is_finite() { Marginal::Kl(rho) } else { Marginal::Hard };
    let counting = figures.parameter_text("reg_type") != Some("kl");
    let problem = Problem {
        marginals: figures.rho().map(marginal),
        reference: if counting { Reference::Counting } else { Reference::Product },
        ..Problem::new(&cost, &a, &b, figures.epsilon())
    };
    let answer = solver.entropic(&problem)?;
    let mut checks =
        vec![figures.check_matrix("plan", &answer.plan), figures.check("mass", answer.plan.sum())];
    if figures.has("objective") {
        checks.extend([
            figures.check("objective", answer.value),
            figures.check("linear", answer.linear),
            figures.check_vector("row", &answer.plan.sum_axis(Axis(1))),
            figures.check_vector("col", &answer.plan.sum_axis(Axis(0))),
        ]);
    }
    Ok((answer, checks))
}

fn unit_masses(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    Ok(unbalanced(solver, figures, 1.0)?.1)
}

fn heavier_target(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    Ok(unbalanced(solver, figures, 1.7)?.1)
}

fn near_balanced(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let (answer, mut checks) = unbalanced(solver, figures, 1.0)?;
    let Base { a, b, cost, .. } = Base::new();
    let balanced = solver.entropic(&Problem::new(&cost, &a, &b, figures.epsilon()))?;
    let (apart, expected) =
        (largest(&answer.plan, &balanced.plan), figures.beside("limit_to_balanced"));
    checks.push(check("distance to balanced", apart, expected, figures.tolerance(), super::XCHECK));
    Ok(checks)
}

fn exact_partial(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, cost, .. } = Base::new();
    let (plan, linear) = solver.exact_partial(&cost, &a, &b, figures.parameter("m"))?;
    // Entries are sums and differences of at most 5 + 4 + 2 weights, all at most 1: 11 roundings of 2⁻⁵⁴, on both
    // sides; costs are below 2.
    let (tolerance, reason) = (5e-15, "22 roundings of masses below 1, costs below 2");
    Ok(vec![
        check_all("plan", &plan, &figures.matrix("plan"), tolerance, reason),
        check("linear", linear, figures.number("linear"), tolerance, reason),
        check("mass", plan.sum(), figures.number("mass"), tolerance, reason),
    ])
}

fn partial(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, cost, .. } = Base::new();
    let problem = Problem {
        reference: Reference::Counting,
        ..Problem::new(&cost, &a, &b, figures.epsilon())
    };
    let found = solver.partial(&problem, figures.parameter("m"))?;
    let over = |sums: Array1<f64>, w: &Array1<f64>| {
        sums.iter().zip(w).map(|(sum, w)| (sum - w).max(0.0)).fold(0.0, f64::max)
    };
    let rows = over(found.plan.sum_axis(Axis(1)), &a);
    let columns = over(found.plan.sum_axis(Axis(0)), &b);
    Ok(vec![
        figures.check_matrix("plan", &found.plan),
        figures.check("linear", found.linear),
        figures.check("mass", found.plan.sum()),
        Check::new("above the weights", rows.max(columns), figures.tolerance(), super::XCHECK),
    ])
}

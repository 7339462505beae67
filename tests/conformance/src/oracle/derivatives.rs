//! Cases 53 to 58 and 71: derivatives, and potentials and maps at new points.

use ndarray::{Array1, Array2, Axis};

use super::{Figures, Holds, check_all};
use crate::check::Check;
use crate::inputs::{Base, points, squared};
use crate::solver::{Answered, Clouds, Marginal, Problem, Reference, Solver};

pub(super) const CASES: &[(usize, Holds)] = &[
    (53, divergence_by_points),
    (54, value_by_inputs),
    (55, value_by_inputs),
    (56, value_by_points),
    (57, function_of_the_plan),
    (58, unbalanced_value),
    (71, off_sample),
];

/// Less its mean: weights' gradients are defined up to a constant where both marginals are hard.
fn centred(x: &Array1<f64>) -> Array1<f64> {
    x - x.mean().unwrap_or(f64::NAN)
}

fn divergence_by_points(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { x, y, a, b, .. } = Base::new();
    let clouds = Clouds { x: &x, y: &y, a: &a, b: &b };
    let (_, [d_x, _]) = solver.divergence_of_clouds(&clouds, figures.epsilon())?;
    Ok(vec![figures.check_matrix("dX", &d_x)])
}

fn value_by_inputs(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, cost, .. } = Base::new();
    let counting = figures.parameter_text("value") == Some("entropy");
    let reference = if counting { Reference::Counting } else { Reference::Product };
    let problem = Problem { reference, ..Problem::new(&cost, &a, &b, figures.epsilon()) };
    let (answer, gradients) = (solver.entropic(&problem)?, solver.value_gradients(&problem)?);
    // The peer's entropic form has no terms of mass: Σ P ln P alone.
    let masses = if counting { problem.epsilon * (cost.len() as f64 - a.sum()) } else { 0.0 };
    Ok(vec![
        figures.check("value", answer.value - masses),
        figures.check_matrix("dC", &gradients.cost),
        figures.check_vector("da_centred", &centred(&gradients.a)),
        figures.check_vector("db_centred", &centred(&gradients.b)),
    ])
}

fn value_by_points(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { x, y, a, b, cost } = Base::new();
    let problem = Problem::new(&cost, &a, &b, figures.epsilon());
    let [d_x, _] = solver.points_gradients(&problem, &x, &y)?;
    Ok(vec![figures.check_matrix("dX", &d_x)])
}

fn function_of_the_plan(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, cost, .. } = Base::new();
    let problem = Problem::new(&cost, &a, &b, figures.epsilon());
    let d_plan = Array2::from_shape_fn(cost.dim(), |(i, j)| ((i + 2 * j) as f64).cos());
    let (answer, gradients) =
        (solver.entropic(&problem)?, solver.plan_gradients(&problem, &d_plan)?);
    let value = answer.plan.iter().zip(&d_plan).map(|(p, d)| p * d).sum();
    Ok(vec![
        figures.check("L", value),
        figures.check_matrix("dC", &gradients.cost),
        figures.check_vector("da_centred", &centred(&gradients.a)),
        figures.check_vector("db_centred", &centred(&gradients.b)),
        figures.check("deps", gradients.epsilon),
    ])
}

fn unbalanced_value(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, cost, .. } = Base::new();
    let b = 1.7 * b;
    let marginals = [Marginal::Kl(figures.parameter("rho")); 2];
    let problem = Problem { marginals, ..Problem::new(&cost, &a, &b, figures.epsilon()) };
    let (answer, gradients) = (solver.entropic(&problem)?, solver.value_gradients(&problem)?);
    Ok(vec![
        figures.check("objective", answer.value),
        figures.check_matrix("dC", &gradients.cost),
        figures.check_vector("da", &gradients.a),
        figures.check_vector("db", &gradients.b),
    ])
}

fn off_sample(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { x, y, a, b, cost } = Base::new();
    let problem = Problem::new(&cost, &a, &b, figures.epsilon());
    let away = solver.off_sample(&problem, &squared(&points(81, 3, 2), &y), &y)?;
    let answer = solver.entropic(&problem)?;
    let sums = answer.plan.sum_axis(Axis(1)).insert_axis(Axis(1));
    let barycentric = if answer.plan.dim() == cost.dim() {
        answer.plan.dot(&y) / sums
    } else {
        Array2::zeros((0, 0))
    };
    let home = solver.off_sample(&problem, &squared(&x, &y), &y)?;
    // A marginal error of 1e-14 of a problem whose rate is 0.4 leaves potentials to 2e-14 and weights, over ε = 0.1 and
    // with exponents up to 12, to 2e-13; the peer's plan too.
    let reason = "potentials to 2e-14 over eps = 0.1, on both sides";
    let of =
        |key: &str, found: &Array2<f64>| check_all(key, found, &figures.matrix(key), 5e-13, reason);
    let stored = figures.vector("f_at_Z");
    let at_home = check_all(
        "map at the sources",
        &home.map,
        &figures.matrix("barycentric_map_of_X"),
        5e-13,
        reason,
    );
    Ok(vec![
        check_all("f_at_Z", &away.potential, &stored, 5e-13, reason),
        of("entropic_map", &away.map),
        of("barycentric_map_of_X", &barycentric),
        at_home,
    ])
}

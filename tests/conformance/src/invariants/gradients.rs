//! Invariants 26 to 28: derivatives.

use ndarray::{Array1, Array2, Axis};

use super::Laws;
use super::drawn::{Drawn, Draws};
use super::formulas::{apart, dual, largest_of, soft_columns, sums, weighed};
use super::known::{Known, Solved, ULP, solve};
use super::limits::clouds;
use crate::check::Check;
use crate::inputs::squared;
use crate::solver::{Answered, Clouds, Gradients, Marginal, Reference, Refusal, Solver};

pub(super) const ALL: Laws = &[
    (26, "the value's derivatives are P, f and g", envelope),
    (26, "the value's derivatives by points are P along differences", by_points),
    (27, "the value's derivatives are its differences", value_differences),
    (27, "derivatives of a function of the plan are its differences", plan_differences),
    (27, "the divergence's derivatives are its differences", divergence_differences),
    (28, "what is added to a row changes no function of the plan", plan_gauge),
    (28, "implicit derivatives are those of 600 iterations", unrolled),
];

/// Derivatives of the right shapes.
pub(super) fn usable(found: Gradients, drawn: &Drawn) -> Answered<Gradients> {
    let shapes = (found.cost.dim(), found.a.len(), found.b.len());
    if shapes == (drawn.cost.dim(), drawn.a.len(), drawn.b.len()) {
        Ok(found)
    } else {
        Err(Refusal::Refused(format!("derivatives have the shapes {shapes:?}")))
    }
}

fn value_gradients(solver: &dyn Solver, drawn: &Drawn) -> Answered<Gradients> {
    usable(solver.value_gradients(&drawn.problem())?, drawn)
}

fn plan_gradients(solver: &dyn Solver, drawn: &Drawn, d: &Array2<f64>) -> Answered<Gradients> {
    usable(solver.plan_gradients(&drawn.problem(), d)?, drawn)
}

fn envelope(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (_, _, mut drawn) = clouds(draws);
    let mut checks = Vec::new();
    for reference in [Reference::Product, Reference::Counting] {
        drawn.reference = reference;
        let gradients = value_gradients(solver, &drawn)?;
        let Solved { answer, known } = solve(solver, &drawn.problem())?;
        let reason = "what two plans may be off by";
        let error = apart(&gradients.cost, &answer.plan);
        checks.push(Check::new(format!("dC, {reference:?}"), error, 2.0 * known.plan, reason));
        let sides =
            [("da", gradients.a, answer.f, &drawn.a), ("db", gradients.b, answer.g, &drawn.b)];
        for (name, slopes, potential, weights) in sides {
            // With R = 1 the potential holds the ε ln a of the entropic form.
            let off = &slopes - &potential;
            let off = &off - off.dot(weights) / weights.sum();
            let allowed = 4.0 * known.largest;
            let reason = "what two potentials may be off by where there is weight";
            let error = largest_of(weighed(&off, weights));
            checks.push(Check::new(format!("{name}, {reference:?}"), error, allowed, reason));
        }
    }
    Ok(checks)
}

fn by_points(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (x, y, drawn) = clouds(draws);
    let found = solver.points_gradients(&drawn.problem(), &x, &y)?;
    let Solved { answer, known } = solve(solver, &drawn.problem())?;
    let [rows, columns] = sums(&answer.plan);
    // Σ_j P_ij 2 (x_i − y_j)
    let d_x = 2.0 * (&x * &rows.insert_axis(Axis(1)) - answer.plan.dot(&y));
    let d_y = 2.0 * (&y * &columns.insert_axis(Axis(1)) - answer.plan.t().dot(&x));
    let mut checks = Vec::new();
    for (name, found, expected) in [("dx", &found[0], &d_x), ("dy", &found[1], &d_y)] {
        let error =
            if found.dim() == expected.dim() { apart(found, expected) } else { f64::INFINITY };
        let reason =
            "what two plans may be off by, along coordinates' differences of 1 at most, twice";
        let allowed = 2.0 * 2.0 * 2.0 * known.plan + 8.0 * known.sum * known.mass;
        checks.push(Check::new(name, error, allowed, reason));
    }
    Ok(checks)
}

/// (−V(2h) + 8 V(h) − 8 V(−h) + V(−2h))/12h; its error is h⁴/30 times a fifth derivative.
fn difference(h: f64, mut value: impl FnMut(f64) -> Answered<f64>) -> Answered<f64> {
    let mut sum = 0.0;
    for (k, weight) in [(2.0, -1.0), (1.0, 8.0), (-1.0, -8.0), (-2.0, 1.0)] {
        sum += weight * value(k * h)?;
    }
    Ok(sum / (12.0 * h))
}

/// A step in a number without unit, for which an exponent changes by t times a number of at most 1: the fifth
/// derivative of a value is then below 24 (M ε), times powers of the condition that are small here, and h⁴/30 is 5e-13.
const STEP: f64 = 2e-3;

const DIFFERENCES: &str = "1e-9, as h^4/30 of a fifth derivative; and rounding of values over h";

/// Of a problem moved along a direction, the dual objective, whose error is of second order.
fn value_at(solver: &dyn Solver, drawn: &Drawn) -> Answered<f64> {
    let problem = drawn.problem();
    let Solved { answer, known } = solve(solver, &problem)?;
    Ok(dual(&problem, &answer.f, &answer.g, known.mass))
}

/// Where a problem is moved to, and the derivative along it.
struct Direction {
    name: &'static str,
    along: f64,
    cost: Array2<f64>,
    a: Array1<f64>,
    b: Array1<f64>,
    epsilon: f64,
}

impl Direction {
    fn moved(&self, from: &Drawn, t: f64) -> Drawn {
        Drawn {
            cost: &from.cost + &(&self.cost * t),
            a: &from.a + &(&self.a * t),
            b: &from.b + &(&self.b * t),
            epsilon: from.epsilon + self.epsilon * t,
            ..from.clone()
        }
    }
}

/// By the cost, by the weights (of one mass where marginals are hard, and none to those without), by ε.
fn directions(draws: &mut Draws, drawn: &Drawn, slopes: &Gradients) -> [Direction; 4] {
    let (n, m) = drawn.cost.dim();
    let none = |name| Direction {
        name,
        along: 0.0,
        cost: Array2::zeros((n, m)),
        a: Array1::zeros(n),
        b: Array1::zeros(m),
        epsilon: 0.0,
    };
    let hard = drawn.marginals == [Marginal::Hard; 2];
    let cost = draws.signed(n, m) * drawn.epsilon;
    let [a, b] = [&drawn.a, &drawn.b].map(|w| {
        let d = w * &(draws.vector(w.len()) - 0.5);
        if hard { &d - &(w * (d.sum() / w.sum())) } else { d }
    });
    let epsilon = drawn.epsilon;
    [
        Direction { along: (&slopes.cost * &cost).sum(), cost, ..none("cost") },
        Direction { along: slopes.a.dot(&a), a, ..none("a") },
        Direction { along: slopes.b.dot(&b), b, ..none("b") },
        Direction { along: slopes.epsilon * epsilon, epsilon, ..none("epsilon") },
    ]
}

/// The value's derivatives against its differences.
pub(super) fn against_differences(
    solver: &dyn Solver,
    draws: &mut Draws,
    drawn: &Drawn,
) -> Answered<Vec<Check>> {
    let slopes = value_gradients(solver, drawn)?;
    let known = solve(solver, &drawn.problem())?.known;
    let mut checks = Vec::new();
    for direction in directions(draws, drawn, &slopes) {
        let by_difference = difference(STEP, |t| value_at(solver, &direction.moved(drawn, t)))?;
        let scale = drawn.epsilon * known.mass.max(known.mass * known.mass);
        // The derivative itself is as good as plan and potentials.
        let first = known.plan * drawn.epsilon + known.potentials * known.mass.sqrt();
        let allowed = 1e-9 * scale.max(drawn.epsilon) + 2.0 * known.objective / STEP + 4.0 * first;
        let error = (direction.along - by_difference).abs();
        checks.push(Check::new(format!("by {}", direction.name), error, allowed, DIFFERENCES));
    }
    Ok(checks)
}

fn value_differences(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (x, y, drawn) = clouds(draws);
    let mut checks = against_differences(solver, draws, &drawn)?;
    let counting = Drawn { reference: Reference::Counting, ..drawn.clone() };
    checks.extend(against_differences(solver, draws, &counting)?);
    let [d_x, d_y] = match solver.points_gradients(&drawn.problem(), &x, &y) {
        Err(Refusal::NotOffered) => return Ok(checks),
        found => found?,
    };
    // Costs change by less than ε for t = 1.
    let [u, v] = [&x, &y].map(|x| draws.signed(x.nrows(), 2) * (0.2 * drawn.epsilon));
    let along = (&d_x * &u).sum() + (&d_y * &v).sum();
    let by_difference = difference(STEP, |t| {
        let cost = squared(&(&x + &(&u * t)), &(&y + &(&v * t)));
        value_at(solver, &Drawn { cost, ..drawn.clone() })
    })?;
    let known = solve(solver, &drawn.problem())?.known;
    let scale = drawn.epsilon * known.mass;
    let allowed = 1e-9 * scale + 2.0 * known.objective / STEP + 4.0 * known.plan * drawn.epsilon;
    checks.push(Check::new("by points", (along - by_difference).abs(), allowed, DIFFERENCES));
    Ok(checks)
}

/// Σ G P
fn functional(solver: &dyn Solver, drawn: &Drawn, d_plan: &Array2<f64>) -> Answered<f64> {
    Ok((&solve(solver, &drawn.problem())?.answer.plan * d_plan).sum())
}

fn plan_differences(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (_, _, mut drawn) = clouds(draws);
    if draws.chance(0.5) {
        let rho = Marginal::Kl(super::drawn::range(&drawn.cost));
        drawn.marginals = [rho, draws.pick(&[Marginal::Hard, rho])];
        drawn.b *= 1.3;
    }
    let (n, m) = drawn.cost.dim();
    let d_plan = draws.signed(n, m);
    let slopes = plan_gradients(solver, &drawn, &d_plan)?;
    let known = solve(solver, &drawn.problem())?.known;
    let mut checks = Vec::new();
    for direction in directions(draws, &drawn, &slopes) {
        let by_difference =
            difference(STEP, |t| functional(solver, &direction.moved(&drawn, t), &d_plan))?;
        let allowed = 1e-9 * known.kappa * known.mass + 2.0 * known.plan / STEP;
        let reason = "1e-9 at the plan's condition, and what plans may be off by over h";
        let error = (direction.along - by_difference).abs();
        checks.push(Check::new(format!("by {}", direction.name), error, allowed, reason));
    }
    Ok(checks)
}

fn divergence_differences(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (x, y, drawn) = clouds(draws);
    let at = |x: &Array2<f64>, a: &Array1<f64>| {
        let clouds = Clouds { x, y: &y, a, b: &drawn.b };
        solver.divergence_of_clouds(&clouds, drawn.epsilon)
    };
    let (found, [d_x, _]) = at(&x, &drawn.a)?;
    if d_x.dim() != x.dim() || found.d_a.len() != drawn.a.len() {
        return Err(Refusal::Refused("derivatives of other shapes".into()));
    }
    let u = draws.signed(x.nrows(), 2) * (0.2 * drawn.epsilon);
    let part = draws.vector(drawn.a.len()) - 0.5;
    let d_a = &drawn.a * &part;
    let d_a = &d_a - &(&drawn.a * (d_a.sum() / drawn.a.sum()));
    let by_points = difference(STEP, |t| Ok(at(&(&x + &(&u * t)), &drawn.a)?.0.value))?;
    let by_a = difference(STEP, |t| Ok(at(&x, &(&drawn.a + &(&d_a * t)))?.0.value))?;
    let known = solve(solver, &drawn.problem())?.known;
    let first = known.plan * drawn.epsilon + known.potentials * known.mass.sqrt();
    let allowed = 1e-9 * drawn.epsilon * known.mass + 6.0 * known.value / STEP + 8.0 * first;
    let along = [(&d_x * &u).sum(), found.d_a.dot(&d_a)];
    Ok(vec![
        Check::new("by points", (along[0] - by_points).abs(), allowed, DIFFERENCES),
        Check::new("by a", (along[1] - by_a).abs(), allowed, DIFFERENCES),
    ])
}

fn plan_gauge(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (_, _, drawn) = clouds(draws);
    let (n, m) = drawn.cost.dim();
    let d_plan = draws.signed(n, m);
    let found = plan_gradients(solver, &drawn, &d_plan)?;
    let known = solve(solver, &drawn.problem())?.known;
    // Rows of dL/dC are −Σ_j P_ij (G_ij − x_i − y_j)/ε, which the system makes 0 where the marginals are met.
    let unit = known.mass / drawn.epsilon;
    let allowed = unit * known.kappa * (known.eta + known.sum)
        + 4.0 * known.kappa * known.off / drawn.epsilon;
    let reason =
        "rounding of the linear system at the plan's condition, and what marginals are off by";
    let [rows, columns] = sums(&found.cost);
    let mut checks = vec![
        Check::new("rows of dL/dC", rows.mapv(f64::abs).sum(), 8.0 * allowed, reason),
        Check::new("columns of dL/dC", columns.mapv(f64::abs).sum(), 8.0 * allowed, reason),
    ];
    let [s, t] = [n, m].map(|n| draws.vector(n));
    let shifted = plan_gradients(solver, &drawn, &(&d_plan + &s.insert_axis(Axis(1)) + &t))?;
    let error = apart(&shifted.cost, &found.cost);
    checks.push(Check::new("dL/dC of G + s + t", error, 32.0 * known.kappa * allowed, reason));
    Ok(checks)
}

/// P after so many plain iterations from f = 0, and its derivative along a direction of the cost.
fn unroll(drawn: &Drawn, d_cost: &Array2<f64>, iterations: usize) -> [Array2<f64>; 2] {
    let Drawn { cost, a, b, epsilon, .. } = drawn;
    let (mut f, mut g) = (Array1::<f64>::zeros(a.len()), Array1::zeros(b.len()));
    let (mut d_f, mut d_g) = (Array1::<f64>::zeros(a.len()), Array1::<f64>::zeros(b.len()));
    let turned = Drawn { cost: cost.t().to_owned(), a: b.clone(), b: a.clone(), ..drawn.clone() };
    let form = |f: &Array1<f64>, g: &Array1<f64>| {
        Array2::from_shape_fn(cost.dim(), |(i, j)| {
            a[i] * b[j] * ((f[i] + g[j] - cost[[i, j]]) / epsilon).exp()
        })
    };
    // A transform's derivative is a mean of dC − df under the plan whose columns, or rows, are exact.
    let mean = |moved: Array2<f64>, plan: &Array2<f64>, axis: Axis| {
        let sums = plan.sum_axis(axis).mapv(|sum| if sum > 0.0 { sum } else { 1.0 });
        (moved * plan).sum_axis(axis) / sums
    };
    let mut plan = form(&f, &g);
    for _ in 0..iterations {
        g = soft_columns(&drawn.problem(), &f);
        d_g = mean(d_cost - &d_f.view().insert_axis(Axis(1)), &form(&f, &g), Axis(0));
        f = soft_columns(&turned.problem(), &g);
        plan = form(&f, &g);
        d_f = mean(d_cost - &d_g, &plan, Axis(1));
    }
    let d_exponent = (&d_f.insert_axis(Axis(1)) + &d_g - d_cost) / *epsilon;
    [&plan * &d_exponent, plan]
}

fn unrolled(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    const ITERATIONS: u32 = 600;
    let (_, _, drawn) = clouds(draws);
    let (n, m) = drawn.cost.dim();
    let (d_plan, d_cost) = (draws.signed(n, m), draws.signed(n, m) * drawn.epsilon);
    let found = plan_gradients(solver, &drawn, &d_plan)?;
    let Solved { answer, known } = solve(solver, &drawn.problem())?;
    let [d, plan] = unroll(&drawn, &d_cost, ITERATIONS as usize);
    let error = ((&found.cost * &d_cost).sum() - (&d * &d_plan).sum()).abs();
    let Known { kappa, mass, .. } = known;
    // What 600 iterations at the rate (1 − 1/κ)² leave, as the solution's derivative falls with k times the rate.
    let left = 600.0 * (1.0 - 1.0 / kappa).powi(2 * ITERATIONS as i32);
    let allowed = mass * kappa * (left + 1e-11) + 4.0 * kappa * known.plan + 64.0 * ULP * mass;
    let reason = "600 times the rate to the 600; what the plan may be off by, at its condition";
    let checks = vec![
        Check::new("along a direction", error, allowed, reason),
        Check::new(
            "plan",
            apart(&plan, &answer.plan),
            mass * kappa * left + 2.0 * known.plan,
            reason,
        ),
    ];
    Ok(checks)
}

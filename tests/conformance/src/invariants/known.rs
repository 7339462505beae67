//! How far an answer may be from the solution, by its own sums: where the tolerances come from.
//!
//! Let u = 2⁻⁵² be the spacing of f64 at 1. An entry of a plan is made of an exponent (f_i + g_j − C_ij)/ε of three
//! numbers, each rounded to its own size, and of some further roundings:
//!
//! ```text
//! η = u (8 + 2 (max|C| + max|f| + max|g|)/ε)              relative to the entry
//! ```
//!
//! and as much again as the exponents f/ρ and g/ρ of what soft marginals ask for, 2u of each.
//!
//! A plan of the form of the solution, whose sums are r and c where p and q were asked for, is the solution for r and
//! c. Linearised, with x = √r δf/ε, y = √c δg/ε, S = r^(−1/2) P c^(−1/2), the way from there to the solution for p and
//! q is
//!
//! ```text
//! [ 1/τ_a   S  ] [x]   [ (p − r)/√r ]
//! [  Sᵀ   1/τ_b] [y] = [ (q − c)/√c ]        ‖(x, y)‖ ≤ κ ‖right-hand side‖
//! ```
//!
//! κ = 1/(1 − σ₂) for hard marginals, σ₂ the second singular value of S (the first, 1, belongs to the gauge); else the
//! inverse of the smaller eigenvalue of [1/τ_a 1; 1 1/τ_b]. From there, with M the mass, ‖δP‖₁ ≤ √(2M) ‖(x, y)‖, and
//! √(Σ r δf² + Σ c δg²) = ε ‖(x, y)‖. Twice that is allowed for what was left out, terms of second order.
//!
//! The objective at P is off by its distance from the dual objective at f and g, which is known, and by the error of
//! that one, which is of second order, ε ‖(x, y)‖².

use ndarray::{Array1, Array2};

use super::formulas::{
    apart, dual, largest_of, linear, primal, reference_mass, soft_columns, soft_rows, sums,
    targets, weighed,
};
use crate::check::Check;
use crate::solver::{Answer, Answered, Marginal, Problem, Refusal, Solver, Status};

/// 2⁻⁵²
pub(super) const ULP: f64 = f64::EPSILON;

pub(super) const FIRST_ORDER: &str =
    "marginal errors of both and the rounding of (f + g - C)/eps, at the plan's condition";

/// Above this share of the mass, the condition of a plan leaves no digits to compare.
const DIGITS: f64 = 1e-4;

/// What an answer may be off by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// ‖δP‖₁
    pub(super) plan: f64,
    /// √(Σ r δf² + Σ c δg²), r and c the sums of the plan.
    pub(super) potentials: f64,
    /// max |δf|, |δg| where there is weight.
    pub(super) largest: f64,
    pub(super) value: f64,
    pub(super) linear: f64,
    /// η
    pub(super) eta: f64,
    /// κ
    pub(super) kappa: f64,
    /// Rounding of a sum of n · m, relative to the magnitudes of its terms: no chain of additions is longer than n + m.
    pub(super) sum: f64,
    /// Rounding of the dual objective.
    pub(super) objective: f64,
    /// Σ P
    pub(super) mass: f64,
    /// ‖P 1 − p‖₁ + ‖Pᵀ 1 − q‖₁
    pub(super) off: f64,
    /// Whether there are digits left to compare plans by.
    pub(super) informative: bool,
}

impl Known {
    fn of(problem: &Problem<'_>, answer: &Answer) -> Self {
        let Problem { cost, a, b, epsilon, .. } = *problem;
        let (n, m) = cost.dim();
        let Answer { f, g, plan, .. } = answer;
        let [rows, columns] = sums(plan);
        let [row_goals, column_goals] = targets(problem, f, g);
        let mass = rows.sum();
        let sizes = [largest_of(weighed(f, a)), largest_of(weighed(g, b)), largest_of(cost)];
        let rho = problem.marginals.map(Marginal::rho);
        let exponents = sizes.iter().sum::<f64>() / epsilon + sizes[0] / rho[0] + sizes[1] / rho[1];
        let eta = ULP * (8.0 + 2.0 * exponents);
        let sum = (n + m + 8) as f64 * ULP;
        let mut chi = 0.0;
        for (sums, goals) in [(&rows, &row_goals), (&columns, &column_goals)] {
            for (sum, goal) in sums.iter().zip(goals).filter(|(_, goal)| **goal > 0.0) {
                chi += (sum - goal).powi(2) / sum;
            }
        }
        let hard = problem.marginals == [Marginal::Hard; 2];
        let rho_terms: f64 = problem
            .marginals
            .iter()
            .zip([(&rows, a), (&columns, b)])
            .map(|(marginal, (sums, weights))| match marginal {
                Marginal::Hard => 0.0,
                Marginal::Kl(rho) => rho * (sums.sum() + weights.sum()),
            })
            .sum();
        let kappa =
            if hard { 1.0 / (1.0 - second(plan)).max(0.0) } else { soft_condition(problem) };
        let way = kappa * (chi.sqrt() + (eta + sum) * (2.0 * mass).sqrt());
        let plan_off = 2.0 * (2.0 * mass).sqrt() * way + eta * mass;
        let size = sizes[0] + sizes[1];
        let potentials = 2.0 * epsilon * way + sum * size * (2.0 * mass).sqrt();
        let sums = weighed(&rows, a).chain(weighed(&columns, b));
        let lightest = sums.fold(f64::INFINITY, |least, &x| least.min(x));
        let magnitudes = size * mass + epsilon * (mass + reference_mass(problem)) + rho_terms;
        let objective = sum * magnitudes + eta * mass * (epsilon + size);
        let gap = (primal(problem, plan) - dual(problem, f, g, mass)).abs();
        let off = apart(&rows, &row_goals) + apart(&columns, &column_goals);
        let finite = || cost.iter().filter(|c| c.is_finite());
        let low = finite().fold(f64::INFINITY, |low, &c| low.min(c));
        let high = finite().fold(f64::NEG_INFINITY, |high, &c| high.max(c));
        // Where mass is kept, what is common to all costs only meets what little of it is not.
        let (half, middle) = (0.5 * (high - low), (0.5 * (high + low)).abs());
        let moved = if hard { off + (sum + eta) * mass } else { plan_off };
        Known {
            plan: plan_off,
            potentials,
            largest: potentials / lightest.sqrt(),
            value: gap + epsilon * way * way + objective,
            linear: half * plan_off + middle * moved + sum * (half + middle) * mass,
            eta,
            kappa,
            sum,
            objective,
            mass,
            off,
            informative: plan_off < DIGITS * mass,
        }
    }

    /// The same of k P, and of potentials and costs times s.
    pub(super) fn scaled(self, k: f64, s: f64) -> Self {
        Known {
            plan: self.plan * k,
            potentials: self.potentials * k.sqrt() * s,
            largest: self.largest * s,
            value: self.value * k * s,
            linear: self.linear * k * s,
            objective: self.objective * k * s,
            mass: self.mass * k,
            off: self.off * k,
            ..self
        }
    }

    /// Error at which rounding takes over, relative to the mass of the heavier side; a plan of a soft problem may have
    /// more.
    pub(super) fn floor(&self, problem: &Problem<'_>) -> f64 {
        let heavier = problem.a.sum().max(problem.b.sum());
        4.0 * (self.eta + self.sum) * (self.mass / heavier).max(1.0)
    }
}

/// Second singular value of r^(−1/2) P c^(−1/2): the eigenvalues of SᵀS without its first, by Jacobi's rotations.
fn second(plan: &Array2<f64>) -> f64 {
    let [rows, columns] = sums(plan);
    let kept: Vec<usize> = (0..columns.len()).filter(|&j| columns[j] > 0.0).collect();
    let (k, mass) = (kept.len(), columns.sum());
    let mut b = Array2::from_shape_fn((k, k), |(s, t)| {
        let (s, t) = (kept[s], kept[t]);
        let scale = (columns[s] * columns[t]).sqrt();
        let terms = plan.rows().into_iter().zip(&rows).filter(|(_, r)| **r > 0.0);
        terms.map(|(p, r)| p[s] * p[t] / r).sum::<f64>() / scale - scale / mass
    });
    for _ in 0..30 {
        let mut left = 0.0;
        for p in 0..k {
            for q in p + 1..k {
                let off = b[[p, q]];
                left += off.abs();
                if off.abs() <= f64::MIN_POSITIVE {
                    continue;
                }
                let theta = (b[[q, q]] - b[[p, p]]) / (2.0 * off);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cos = 1.0 / (t * t + 1.0).sqrt();
                let sin = t * cos;
                for i in 0..k {
                    let (x, y) = (b[[i, p]], b[[i, q]]);
                    (b[[i, p]], b[[i, q]]) = (cos * x - sin * y, sin * x + cos * y);
                }
                for i in 0..k {
                    let (x, y) = (b[[p, i]], b[[q, i]]);
                    (b[[p, i]], b[[q, i]]) = (cos * x - sin * y, sin * x + cos * y);
                }
            }
        }
        if left <= 1e-18 {
            break;
        }
    }
    b.diag().iter().fold(0.0_f64, |most, &x| most.max(x)).sqrt()
}

/// 1 over the smaller eigenvalue of [1/τ_a 1; 1 1/τ_b].
fn soft_condition(problem: &Problem<'_>) -> f64 {
    // 1/τ − 1
    let [x, y] = problem.marginals.map(|marginal| problem.epsilon / marginal.rho());
    let trace = 2.0 + x + y;
    let larger = 0.5 * (trace + ((x - y).powi(2) + 4.0).sqrt());
    larger / (x + y + x * y)
}

/// An answer of the right shapes and of numbers, and what it may be off by.
#[derive(Clone, Debug)]
pub(super) struct Solved {
    pub(super) answer: Answer,
    pub(super) known: Known,
}

/// An answer to a problem, if it is one.
pub(super) fn sound(problem: &Problem<'_>, answer: Answer) -> Answered<Solved> {
    let shapes = (answer.plan.dim(), answer.f.len(), answer.g.len());
    if shapes != (problem.cost.dim(), problem.a.len(), problem.b.len()) {
        return Err(Refusal::Refused(format!("plan, f and g have the shapes {shapes:?}")));
    }
    let Answer { f, g, plan, value, linear, .. } = &answer;
    let numbers = f.iter().chain(g).chain(plan).chain([value, linear]);
    if let Some(x) = numbers.into_iter().find(|x| !x.is_finite()) {
        return Err(Refusal::Refused(format!("there is a {x} in the answer")));
    }
    let known = Known::of(problem, &answer);
    Ok(Solved { answer, known })
}

/// Solves a problem.
pub(super) fn solve(solver: &dyn Solver, problem: &Problem<'_>) -> Answered<Solved> {
    sound(problem, solver.entropic(problem)?)
}

/// The state after some plain iterations.
pub(super) fn rounds(
    solver: &dyn Solver,
    problem: &Problem<'_>,
    iterations: u32,
) -> Answered<Solved> {
    sound(problem, solver.rounds(problem, iterations)?)
}

/// A solver must reach what was asked for, or rounding, where plain Sinkhorn does in a fourth of the iterations.
pub(super) fn reached(problem: &Problem<'_>, solved: &Solved) -> Option<Check> {
    let goal = problem.tolerance.max(solved.known.floor(problem));
    let reason =
        "the tolerance, or rounding; plain Sinkhorn gets there in a fourth of the iterations";
    let error = solved.answer.error;
    let must = error <= goal || plain_reaches(problem, goal);
    must.then(|| Check::new("error reached", error, goal, reason))
}

/// Whether plain Sinkhorn reaches an error in a fourth of the iterations.
fn plain_reaches(problem: &Problem<'_>, goal: f64) -> bool {
    let [tau_a, tau_b] = problem.marginals.map(|marginal| marginal.tau(problem.epsilon));
    let heavier = problem.a.sum().max(problem.b.sum());
    let mut f = Array1::zeros(problem.a.len());
    for _ in 0..problem.max_iterations / 4 {
        let g = soft_columns(problem, &f) * tau_b;
        let next = soft_rows(problem, &g) * tau_a;
        // With these g, the columns that f makes are b exp((g − T(next))/ε).
        let [_, goals] = targets(problem, &next, &g);
        let transforms = soft_columns(problem, &next);
        let mut off = 0.0;
        for j in (0..g.len()).filter(|&j| problem.b[j] > 0.0) {
            let sum = problem.b[j] * ((g[j] - transforms[j]) / problem.epsilon).exp();
            off += (sum - goals[j]).abs();
        }
        if off <= goal * heavier {
            return true;
        }
        f = next;
    }
    false
}

/// Whether a run ended by itself.
pub(super) fn converged(solved: &Solved) -> bool {
    solved.answer.status == Status::Converged
}

/// An answer against another, or against what an answer to another problem says about this one. Plans are compared
/// where the plan's condition leaves digits; values always.
pub(super) fn agree(what: &str, found: &Solved, expected: &Answer, known: &Known) -> Vec<Check> {
    let (x, y) = (&found.answer, expected);
    if (x.plan.dim(), x.f.len(), x.g.len()) != (y.plan.dim(), y.f.len(), y.g.len()) {
        return vec![Check::new(what, f64::INFINITY, 0.0, "of one shape")];
    }
    let both = |part: fn(&Known) -> f64| part(&found.known) + part(known);
    let check = |part: &str, error: f64, tolerance: f64| {
        Check::new(format!("{part}, {what}"), error, tolerance, FIRST_ORDER)
    };
    let mut checks = vec![check("value", (x.value - y.value).abs(), both(|k| k.value))];
    if found.known.informative && known.informative {
        let [rows, columns] = sums(&y.plan);
        let square = |sums: &Array1<f64>, x: &Array1<f64>, y: &Array1<f64>| {
            let terms = sums.iter().zip(x.iter().zip(y)).filter(|(sum, _)| **sum > 0.0);
            terms.map(|(sum, (x, y))| sum * (x - y).powi(2)).sum::<f64>()
        };
        let potentials = square(&rows, &x.f, &y.f) + square(&columns, &x.g, &y.g);
        checks.push(check("plan", apart(&x.plan, &y.plan), both(|k| k.plan)));
        checks.push(check("potentials", potentials.sqrt(), both(|k| k.potentials)));
        checks.push(check("linear", (x.linear - y.linear).abs(), both(|k| k.linear)));
    }
    checks
}

/// ⟨C, P⟩ as the answer says it, and as its plan does.
pub(super) fn linear_check(problem: &Problem<'_>, solved: &Solved) -> Check {
    let error = (solved.answer.linear - linear(problem.cost, &solved.answer.plan)).abs();
    let size = largest_of(problem.cost) * solved.known.mass;
    let Known { sum, eta, .. } = solved.known;
    Check::new("linear of the plan", error, (sum + eta) * size, "rounding of a sum over pairs")
}

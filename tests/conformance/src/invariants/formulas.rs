//! The definitions, written out: what a solver's figures are held to.

use ndarray::{Array1, Array2, ArrayView1, Axis};

use crate::solver::{Marginal, Problem, Reference};

/// −ε ln Σ w exp((x − c)/ε), over the entries with weight; +∞ where there is none to reach.
fn soft(weights: &[f64], x: &Array1<f64>, cost: ArrayView1<'_, f64>, epsilon: f64) -> f64 {
    let terms =
        || weights.iter().zip(x.iter().zip(cost)).filter(|(w, (_, c))| **w > 0.0 && c.is_finite());
    let top = terms().fold(f64::NEG_INFINITY, |top, (_, (x, c))| top.max(x - c));
    let sum: f64 = terms().map(|(w, (x, c))| w * ((x - c - top) / epsilon).exp()).sum();
    if top.is_finite() { -top - epsilon * sum.ln() } else { f64::INFINITY }
}

/// The weights that R is made of: b or 1 where it has weight, else 0; the same of a.
fn of_reference(problem: &Problem<'_>) -> [Vec<f64>; 2] {
    [problem.a, problem.b].map(|weights| {
        let one =
            |&w: &f64| if w > 0.0 && problem.reference == Reference::Counting { 1.0 } else { w };
        weights.iter().map(one).collect()
    })
}

/// f_i = −ε ln Σ_j r_j exp((g_j − C_ij)/ε), and with R = 1 what the weight adds, ε ln a_i.
pub(super) fn soft_rows(problem: &Problem<'_>, g: &Array1<f64>) -> Array1<f64> {
    let [_, weights] = of_reference(problem);
    let rows = problem.cost.rows().into_iter().zip(problem.a);
    rows.map(|(c, &a)| soft(&weights, g, c, problem.epsilon) + own(problem, a)).collect()
}

/// The same of columns.
pub(super) fn soft_columns(problem: &Problem<'_>, f: &Array1<f64>) -> Array1<f64> {
    let [weights, _] = of_reference(problem);
    let columns = problem.cost.columns().into_iter().zip(problem.b);
    columns.map(|(c, &b)| soft(&weights, f, c, problem.epsilon) + own(problem, b)).collect()
}

fn own(problem: &Problem<'_>, weight: f64) -> f64 {
    let counting = problem.reference == Reference::Counting && weight > 0.0;
    if counting { problem.epsilon * weight.ln() } else { 0.0 }
}

/// R_ij
pub(super) fn reference(problem: &Problem<'_>, (i, j): (usize, usize)) -> f64 {
    match problem.reference {
        Reference::Product => problem.a[i] * problem.b[j],
        Reference::Counting => 1.0,
    }
}

/// Σ R
pub(super) fn reference_mass(problem: &Problem<'_>) -> f64 {
    match problem.reference {
        Reference::Product => problem.a.sum() * problem.b.sum(),
        Reference::Counting => problem.cost.len() as f64,
    }
}

/// x ln(x/y) − x + y
fn kl(x: f64, y: f64) -> f64 {
    if x > 0.0 { x * (x / y).ln() - x + y } else { y }
}

/// ⟨C, P⟩
pub(super) fn linear(cost: &Array2<f64>, plan: &Array2<f64>) -> f64 {
    plan.iter().zip(cost).filter(|(p, _)| **p != 0.0).map(|(p, c)| p * c).sum()
}

/// The objective at a plan, term by term.
pub(super) fn primal(problem: &Problem<'_>, plan: &Array2<f64>) -> f64 {
    let entropic: f64 = plan.indexed_iter().map(|(at, &p)| kl(p, reference(problem, at))).sum();
    let [rows, columns] = sums(plan);
    let marginal = |marginal: Marginal, sums: Array1<f64>, weights: &Array1<f64>| match marginal {
        Marginal::Hard => 0.0,
        Marginal::Kl(rho) => rho * sums.iter().zip(weights).map(|(&s, &w)| kl(s, w)).sum::<f64>(),
    };
    linear(problem.cost, plan)
        + problem.epsilon * entropic
        + marginal(problem.marginals[0], rows, problem.a)
        + marginal(problem.marginals[1], columns, problem.b)
}

/// Φ_a(f) + Φ_b(g) − ε (Σ P − Σ R), Φ_a(f) = ⟨a, f⟩, or ρ Σ a (1 − exp(−f/ρ)) where not hard; P of mass `mass`.
pub(super) fn dual(problem: &Problem<'_>, f: &Array1<f64>, g: &Array1<f64>, mass: f64) -> f64 {
    let side = |marginal: Marginal, weights: &Array1<f64>, x: &Array1<f64>| -> f64 {
        let terms = weights.iter().zip(x).filter(|(w, _)| **w > 0.0);
        match marginal {
            Marginal::Hard => terms.map(|(w, x)| w * x).sum(),
            Marginal::Kl(rho) => terms.map(|(w, x)| -rho * w * (-x / rho).exp_m1()).sum(),
        }
    };
    side(problem.marginals[0], problem.a, f) + side(problem.marginals[1], problem.b, g)
        - problem.epsilon * (mass - reference_mass(problem))
}

/// P 1 and Pᵀ 1
pub(super) fn sums(plan: &Array2<f64>) -> [Array1<f64>; 2] {
    [plan.sum_axis(Axis(1)), plan.sum_axis(Axis(0))]
}

/// ‖x − y‖₁
pub(super) fn apart<'a>(
    x: impl IntoIterator<Item = &'a f64>,
    y: impl IntoIterator<Item = &'a f64>,
) -> f64 {
    x.into_iter().zip(y).map(|(x, y)| (x - y).abs()).sum()
}

/// The sums that rows and columns are to have at these potentials: the weights, or weight · exp(−potential/ρ).
pub(super) fn targets(problem: &Problem<'_>, f: &Array1<f64>, g: &Array1<f64>) -> [Array1<f64>; 2] {
    let side = |marginal: Marginal, weights: &Array1<f64>, x: &Array1<f64>| match marginal {
        Marginal::Hard => weights.clone(),
        Marginal::Kl(rho) => {
            let asked = |(w, x): (&f64, &f64)| if *w > 0.0 { w * (-x / rho).exp() } else { 0.0 };
            weights.iter().zip(x).map(asked).collect()
        }
    };
    [side(problem.marginals[0], problem.a, f), side(problem.marginals[1], problem.b, g)]
}

/// max |x| over entries that are finite; NaN is not lost.
pub(super) fn largest_of<'a>(x: impl IntoIterator<Item = &'a f64>) -> f64 {
    let finite = x.into_iter().filter(|x| !x.is_infinite());
    finite.fold(
        0.0,
        |most: f64, x| if x.is_nan() || most.is_nan() { f64::NAN } else { most.max(x.abs()) },
    )
}

/// Entries with weight.
pub(super) fn weighed<'a>(
    x: &'a Array1<f64>,
    weights: &'a Array1<f64>,
) -> impl Iterator<Item = &'a f64> {
    x.iter().zip(weights).filter(|(_, w)| **w > 0.0).map(|(x, _)| x)
}

//! Invariants 19 to 22 and 24: what ε → 0 and ε → ∞ lead to, and solutions that are known otherwise.

use std::f64::consts::PI;

use ndarray::{Array1, Array2};

use super::Laws;
use super::balanced::exact;
use super::drawn::{Drawn, Draws, range};
use super::formulas::{apart, largest_of};
use super::known::{Solved, ULP, solve};
use crate::check::Check;
use crate::inputs::squared;
use crate::solver::{Answered, Positions, Problem, Refusal, Solver};

pub(super) const ALL: Laws = &[
    (19, "value and cost fall to the exact cost with eps", small_epsilon),
    (19, "for large eps the plan is the product of the weights", large_epsilon),
    (20, "for small eps the largest entries are the best assignment", assignment),
    (20, "the assignment is the best of all", best_assignment),
    (21, "on a line the plan is monotone, and as cheap as the exact one", line),
    (22, "Gaussians have the entropic cost of the closed form", gaussians),
    (24, "a hidden permutation is found", hidden),
    (24, "the gradient of a convex function is the exact map", brenier),
];

fn small_epsilon(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut drawn = draws.balanced(&[1.0]);
    let range = range(&drawn.cost);
    let (exact, rounding) = exact(solver, &drawn.problem())?;
    let mut checks = Vec::new();
    let mut before: Option<Solved> = None;
    for epsilon in [1.0, 0.3, 0.1, 0.03, 0.01, 3e-3] {
        drawn.epsilon = epsilon * range;
        let solved = solve(solver, &drawn.problem())?;
        let Solved { answer, known } = &solved;
        let reason = "what both may be off by";
        let below = (exact.value - answer.value).max(0.0);
        let name = format!("value below the exact cost at {epsilon}");
        checks.push(Check::new(name, below, known.value + rounding, reason));
        if let Some(before) = before {
            let rise = (answer.value - before.answer.value).max(0.0);
            let allowed = known.value + before.known.value;
            checks.push(Check::new(format!("value rises at {epsilon}"), rise, allowed, reason));
            if known.informative && before.known.informative {
                let rise = (answer.linear - before.answer.linear).max(0.0);
                let allowed = known.linear + before.known.linear;
                checks.push(Check::new(format!("cost rises at {epsilon}"), rise, allowed, reason));
            }
        }
        before = Some(solved);
    }
    Ok(checks)
}

fn large_epsilon(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut drawn = draws.balanced(&[1.0]);
    let finite = largest_of(&drawn.cost);
    drawn.cost.mapv_inplace(|c| if c.is_finite() { c } else { finite });
    let range = range(&drawn.cost);
    let mass = drawn.a.sum();
    let product = Array2::from_shape_fn(drawn.cost.dim(), |(i, j)| drawn.a[i] * drawn.b[j] / mass);
    let mut checks = Vec::new();
    for epsilon in [1e2, 1e3, 1e4, 1e6] {
        drawn.epsilon = epsilon * range;
        let Solved { answer, known } = solve(solver, &drawn.problem())?;
        // With κ = exp(−range/ε), both scalings are known within 1/κ, and their product's mean within κ² and 1/κ.
        let allowed = mass * (3.0 / epsilon).exp_m1() + known.plan;
        let reason = "M (exp(3 range/eps) - 1), and what the plan may be off by";
        let error = apart(&answer.plan, &product);
        checks.push(Check::new(format!("product at {epsilon}"), error, allowed, reason));
    }
    Ok(checks)
}

/// Sums of all assignments of a cost (n, n), each with its columns.
fn assignments(cost: &Array2<f64>) -> Vec<(f64, Vec<usize>)> {
    let mut all = vec![(0.0, Vec::new())];
    for row in cost.rows() {
        let more = |(sum, columns): (f64, Vec<usize>)| {
            let free: Vec<usize> = (0..row.len()).filter(|j| !columns.contains(j)).collect();
            free.into_iter().map(move |j| {
                let columns = columns.iter().copied().chain([j]).collect();
                (sum + row[j], columns)
            })
        };
        all = all.into_iter().flat_map(more).collect();
    }
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    all
}

/// A cost whose best assignment is better than the next by a tenth.
fn with_gap(draws: &mut Draws) -> (Array2<f64>, Vec<(f64, Vec<usize>)>) {
    loop {
        let n = 2 + draws.below(4);
        let cost = draws.matrix(n, n);
        let all = assignments(&cost);
        if all[1].0 - all[0].0 > 0.1 {
            return (cost, all);
        }
    }
}

fn assignment(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (cost, all) = with_gap(draws);
    let n = cost.nrows();
    let gap = all[1].0 - all[0].0;
    let weights = Array1::from_elem(n, 1.0 / n as f64);
    // Of the plan, a mixture of permutations, others have at most the share ε n ln n/gap: here a quarter.
    let epsilon = gap / (4.0 * n as f64 * (n as f64).ln());
    let problem = Problem::new(&cost, &weights, &weights, epsilon);
    let Solved { answer, known } = solve(solver, &problem)?;
    let mut least = f64::INFINITY;
    for (i, &j) in all[0].1.iter().enumerate() {
        least = least.min(answer.plan[[i, j]] * n as f64);
    }
    let allowed = 0.25 + known.plan * n as f64;
    let reason = "eps n ln n/gap, and what the plan may be off by";
    Ok(vec![Check::new("share that goes elsewhere", 1.0 - least, allowed, reason)])
}

fn best_assignment(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (mut cost, mut all) = with_gap(draws);
    if draws.chance(0.3) {
        // Forbidden, but not all of the best.
        let [i, j] = [draws.below(cost.nrows()), draws.below(cost.nrows())];
        if all[0].1[i] != j {
            cost[[i, j]] = f64::INFINITY;
            all = assignments(&cost);
        }
    }
    let (columns, value) = solver.assignment(&cost)?;
    let other = columns.iter().zip(&all[0].1).filter(|(x, y)| x != y).count();
    let missing = columns.len().abs_diff(all[0].1.len());
    let reason = "the best of all, found by trying them";
    let rounding = (2 * cost.nrows()) as f64 * ULP * cost.nrows() as f64;
    Ok(vec![
        Check::new("columns", (other + missing) as f64, 0.0, reason),
        Check::new("sum", (value - all[0].0).abs(), rounding, "rounding of the sums"),
    ])
}

fn line(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (n, m) = draws.sizes();
    let (x, y) = (draws.vector(n), draws.vector(m));
    let (mass, p) = (draws.pick(&[1.0, 2.5]), draws.pick(&[1.0, 1.5, 2.0, 3.0]));
    let (a, b) = (draws.weights(n, mass), draws.weights(m, mass));
    let (plan, value) = solver.line(&Positions { x: &x, y: &y, a: &a, b: &b, p })?;
    if plan.dim() != (n, m) {
        return Err(Refusal::Refused("a plan of another shape".into()));
    }
    let cost = Array2::from_shape_fn((n, m), |(i, j)| (x[i] - y[j]).abs().powf(p));
    // Two pairs that cross: the right one of two sources sends to the left one of two targets.
    let mut crossed = 0.0;
    for ((i, j), s) in plan.indexed_iter() {
        for ((k, l), t) in plan.indexed_iter() {
            if x[i] < x[k] && y[j] > y[l] {
                crossed += s.min(*t).max(0.0);
            }
        }
    }
    let sums = super::formulas::sums(&plan);
    let off = apart(&sums[0], &a) + apart(&sums[1], &b);
    let rounding = 4.0 * (n + m) as f64 * ULP * mass;
    let mut checks = vec![
        Check::new(
            "mass that crosses",
            crossed,
            rounding * (n * m) as f64,
            "rounding of sums of weights",
        ),
        Check::new("marginals", off, rounding, "rounding of sums of weights"),
    ];
    let problem = Problem::new(&cost, &a, &b, 0.02);
    let reason = "rounding of both sums";
    match exact(solver, &problem) {
        Err(Refusal::NotOffered) => {}
        other => {
            let (exact, allowed) = other?;
            let error = (exact.value - value).abs();
            checks.push(Check::new("exact cost", error, allowed + rounding, reason));
        }
    }
    // And the entropic one: W₀ ≤ W_ε.
    let Solved { answer, known } = solve(solver, &problem)?;
    let below = (value - answer.value).max(0.0);
    checks.push(Check::new("above the entropic value", below, known.value + rounding, reason));
    Ok(checks)
}

/// W_ε of N(m, s²) and N(n, t²) for |x − y|² and R = a⊗b, and its ⟨C, P⟩ (Janati et al. 2020: their σ² is ε/2): the
/// plan is Gaussian with the covariance c, and KL to the product is −½ ln(1 − c²/(s²t²)).
fn gaussian(m: f64, n: f64, s: f64, t: f64, epsilon: f64) -> [f64; 2] {
    let quarter = 0.25 * epsilon;
    let c = ((s * t).powi(2) + quarter * quarter).sqrt() - quarter;
    let linear = (m - n).powi(2) + s * s + t * t - 2.0 * c;
    let kl = -0.5 * (1.0 - (c / (s * t)).powi(2)).ln();
    [linear + epsilon * kl, linear]
}

fn gaussians(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (s, t) = (draws.between(0.5, 1.0), draws.between(0.5, 1.0));
    let (m, n) = (draws.between(-0.5, 0.5), draws.between(-0.5, 0.5));
    let epsilon = draws.between(0.6, 2.0);
    // Nine deviations on either side; and steps of half the smallest deviation of one given the other, so that a sum is
    // an integral to exp(−2π²·4).
    let [_, linear] = gaussian(m, n, s, t, epsilon);
    let c = 0.5 * ((m - n).powi(2) + s * s + t * t - linear);
    let given = (1.0 - (c / (s * t)).powi(2)).sqrt() * s.min(t);
    let grid = |mean: f64, deviation: f64| -> [Array1<f64>; 2] {
        let count = (18.0 * deviation / (0.5 * given)).ceil() as usize;
        let at = |k: usize| (k as f64 / count as f64 - 0.5) * 18.0;
        let weights: Array1<f64> = (0..=count).map(|k| (-0.5 * at(k) * at(k)).exp()).collect();
        [(0..=count).map(|k| mean + deviation * at(k)).collect(), &weights / weights.sum()]
    };
    let ([x, a], [y, b]) = (grid(m, s), grid(n, t));
    let cost = Array2::from_shape_fn((x.len(), y.len()), |(i, j)| (x[i] - y[j]).powi(2));
    let problem = Problem::new(&cost, &a, &b, epsilon);
    let Solved { answer, known } = solve(solver, &problem)?;
    let [value, linear] = gaussian(m, n, s, t, epsilon);
    // Tails beyond nine deviations hold 2e-19, at costs below 400; sums stand for integrals to 4 exp(−8π²) = 2e-34.
    let tails = 400.0 * 4e-19 + 4.0 * (-8.0 * PI * PI).exp();
    let reason = "what the value may be off by; tails and sums for integrals add 2e-16";
    let mut checks =
        vec![Check::new("value", (answer.value - value).abs(), known.value + tails, reason)];
    let error = (answer.linear - linear).abs();
    checks.push(Check::new("cost of the plan", error, known.linear + tails, reason));
    Ok(checks)
}

/// The exact plan must be w on these pairs.
fn found(
    solver: &dyn Solver,
    (x, y): (&Array2<f64>, &Array2<f64>),
    w: &Array1<f64>,
    to: &[usize],
) -> Answered<Vec<Check>> {
    let cost = squared(x, y);
    let mut b = Array1::zeros(w.len());
    let mut plan = Array2::zeros(cost.dim());
    for (i, &j) in to.iter().enumerate() {
        (b[j], plan[[i, j]]) = (w[i], w[i]);
    }
    let problem = Problem::new(&cost, w, &b, 1.0);
    let (exact, rounding) = exact(solver, &problem)?;
    let reason = "sums and differences of weights";
    let allowed = 4.0 * (2 * w.len()) as f64 * ULP * w.sum();
    let value: f64 = plan.iter().zip(&cost).map(|(p, c)| p * c).sum();
    Ok(vec![
        Check::new("plan", apart(&exact.plan, &plan), allowed, reason),
        Check::new("cost", (exact.value - value).abs(), 2.0 * rounding, "rounding of two sums"),
    ])
}

fn hidden(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let n = 3 + draws.below(10);
    // Distances between points are above 0.3, moves below 0.1 long: any other permutation has a longer cycle.
    let mut x = Array2::from_shape_fn((n, 2), |(i, k)| [i % 4, i / 4][k] as f64);
    x += &(draws.signed(n, 2) * 0.2);
    let order = draws.permutation(n);
    let moved = &x + &(draws.signed(n, 2) * 0.05);
    let mut y = Array2::zeros((n, 2));
    order.iter().enumerate().for_each(|(i, &j)| y.row_mut(j).assign(&moved.row(i)));
    let w = draws.positive_weights(n, 1.0);
    let mut checks = found(solver, (&x, &y), &w, &order)?;
    match solver.assignment(&squared(&x, &y)) {
        Err(Refusal::NotOffered) => {}
        other => {
            let wrong = other?.0.iter().zip(&order).filter(|(x, y)| x != y).count();
            checks.push(Check::new("assignment", wrong as f64, 0.0, "every move is the shortest"));
        }
    }
    Ok(checks)
}

fn brenier(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let n = 4 + draws.below(9);
    let x = draws.signed(n, 2) * 2.0;
    // The gradient of ln Σ exp⟨v_k, x⟩ + |x|²/10, and a shift.
    let v = draws.signed(4, 2) * 3.0;
    let mut y = Array2::zeros((n, 2));
    for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
        let weights = v.dot(&x).mapv(f64::exp);
        y.assign(&(v.t().dot(&weights) / weights.sum() + &x * 0.2 + 0.7));
    }
    let w = draws.positive_weights(n, 1.0);
    let order: Vec<usize> = (0..n).collect();
    found(solver, (&x, &y), &w, &order)
}

/// A problem of squares between clouds without clusters, of moderate ε.
pub(super) fn clouds(draws: &mut Draws) -> (Array2<f64>, Array2<f64>, Drawn) {
    let (n, m) = draws.sizes();
    let (x, y) = (draws.matrix(n, 2), draws.matrix(m, 2));
    let (cost, mass) = (squared(&x, &y), draws.pick(&[1.0, 2.5, 0.4]));
    let (a, b) = (draws.weights(n, mass), draws.weights(m, mass));
    let epsilon = draws.pick(&[0.5, 0.2, 0.1]) * range(&cost);
    (x, y, Drawn { cost, a, b, epsilon, ..Drawn::default() })
}

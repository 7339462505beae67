//! Cases 19 to 24: iterates, limits, and more than one problem.

use ndarray::{Array1, Array2};

use super::{Figures, Holds, check, check_all, digest};
use crate::check::Check;
use crate::inputs::{Base, points, squared, uniform, weights};
use crate::solver::{Answered, Problem, Reference, Solver};

pub(super) const CASES: &[(usize, Holds)] = &[
    (19, iterates),
    (20, contraction),
    (21, small_epsilon),
    (22, three_targets),
    (24, three_problems),
];

/// The iterates of scalings u = v = 1, P_ij = u_i exp(−C_ij/ε) v_j, are those of potentials of 0 where R = 1.
pub(super) fn from_ones(problem: Problem<'_>) -> Problem<'_> {
    Problem { reference: Reference::Counting, ..problem }
}

/// An iteration rounds exponents of up to max C/ε = 24 in their last place, 5e-15 of an entry; the iteration contracts,
/// so ten of them add no more than 5e-14, here and there: 1e-13 together.
const ITERATES: (f64, &str) = (1e-13, "rounding of exponents up to 24, ten times, on both sides");

fn iterates(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, cost, .. } = Base::new();
    let problem = from_ones(Problem::new(&cost, &a, &b, figures.epsilon()));
    let (tolerance, reason) = ITERATES;
    let mut checks = Vec::new();
    for rounds in [1, 2, 3, 10] {
        let key = rounds.to_string();
        let (answer, stored) = (solver.rounds(&problem, rounds)?, figures.inner(&key));
        let mut all = |what: &str, found: &Array2<f64>, expected: &Array2<f64>| {
            let name = format!("{what} after {key}");
            checks.push(check_all(&name, found, expected, tolerance, reason));
        };
        all("plan", &answer.plan, &stored.matrix("plan"));
        // The stored scalings have another gauge: only their sums can be compared.
        let sums = |u: &Array1<f64>, v: &Array1<f64>| {
            Array2::from_shape_fn((u.len(), v.len()), |(i, j)| u[i] + v[j])
        };
        let found = sums(&(&answer.f / problem.epsilon), &(&answer.g / problem.epsilon));
        all("log u + log v", &found, &sums(&stored.vector("log_u"), &stored.vector("log_v")));
        let error = stored.number("col_err_l1");
        checks.push(check(&format!("error after {key}"), answer.error, error, tolerance, reason));
    }
    Ok(checks)
}

/// max − min of x
fn oscillation(x: &Array1<f64>) -> f64 {
    let most = x.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(x));
    most - x.iter().fold(f64::INFINITY, |m, &x| m.min(x))
}

fn contraction(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, cost, .. } = Base::new();
    let problem = from_ones(Problem::new(&cost, &a, &b, figures.epsilon()));
    let optimum = solver.entropic(&problem)?.f;
    let mut distances = Vec::new();
    for rounds in 1..=6 {
        let f = solver.rounds(&problem, rounds)?.f;
        let apart = f.iter().zip(&optimum).map(|(f, optimum)| (f - optimum) / problem.epsilon);
        distances.push(oscillation(&apart.collect()));
    }
    let fastest = distances.windows(2).map(|pair| pair[1] / pair[0]).fold(0.0_f64, f64::max);
    let stored = figures.vector("hilbert_to_optimum");
    // f is known to a few 2⁻⁵³ of itself, which is below 1, over ε = 0.5; the optimum to 1e-14 ε.
    let (tolerance, reason) = (1e-13, "rounding of potentials over eps, twice, and the tolerance");
    Ok(vec![
        check_all("distances", &Array1::from(distances), &stored, tolerance, reason),
        Check::new("rate", fastest, figures.number("lam2"), "at most tanh(diameter/4)^2"),
    ])
}

fn small_epsilon(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, b, cost, .. } = Base::new();
    let (mut linear, mut values) = (Vec::new(), Vec::new());
    for epsilon in figures.parameters("eps") {
        let answer = solver.entropic(&Problem::new(&cost, &a, &b, epsilon))?;
        linear.push(answer.linear);
        values.push(answer.value);
    }
    // Cases 2 to 6 are the same problem, and their xcheck is at most 1e-14.
    let reason = "as cases 2 to 6: 10 * 1e-13";
    let of = |key: &str, found: &[f64]| {
        check_all(key, &Array1::from(found.to_vec()), &figures.vector(key), 1e-12, reason)
    };
    let entropy = |w: &Array1<f64>| -w.iter().map(|w| w * w.ln()).sum::<f64>();
    let (emd, most) = (figures.number("emd"), entropy(&a).min(entropy(&b)));
    // 0 ≤ kl − emd ≤ ε min(H(a), H(b)), and both fall with ε.
    let outside = values.iter().zip(figures.parameters("eps")).map(|(value, epsilon)| {
        let above = value - emd;
        (-above).max(above - epsilon * most).max(0.0)
    });
    let rises = |x: &[f64]| x.windows(2).map(|x| (x[1] - x[0]).max(0.0)).fold(0.0_f64, f64::max);
    Ok(vec![
        of("linear", &linear),
        of("kl", &values),
        Check::new("kl - emd in its bounds", outside.fold(0.0, f64::max), 1e-12, reason),
        Check::new("falls with eps", rises(&linear).max(rises(&values)), 1e-12, reason),
    ])
}

fn three_targets(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let Base { a, cost, .. } = Base::new();
    let mut linear = Vec::new();
    for seed in [4, 41, 42] {
        let b = weights(seed, 4);
        linear.push(solver.entropic(&Problem::new(&cost, &a, &b, figures.epsilon()))?.linear);
    }
    Ok(vec![figures.check_vector("linear", &linear.into())])
}

fn three_problems(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let cost = |k: u64| squared(&points(100 + k, 6, 2), &points(200 + k, 6, 2));
    let (costs, w) = ([0, 1, 2].map(cost), uniform(6));
    let problems: Vec<_> =
        costs.iter().map(|cost| Problem::new(cost, &w, &w, figures.epsilon())).collect();
    let answers = solver.batch(&problems)?;
    let linear: Array1<f64> = answers.iter().map(|answer| answer.linear).collect();
    let probes: Array1<f64> =
        answers.iter().filter_map(|a| digest(&a.plan).first().copied()).collect();
    // Weights of 1/6, costs below 2 over ε = 0.1: exponents of 20, entries known to 5e-15, 36 of them.
    // With the marginal error asked for, 1e-14, costs below 2 and the peer's part: 1e-13.
    let reason = "36 entries of exponents up to 20 and a marginal error of 1e-14, on both sides";
    let of =
        |key: &str, found: &Array1<f64>| check_all(key, found, &figures.vector(key), 1e-13, reason);
    Ok(vec![of("linear", &linear), of("probe_cos", &probes)])
}

//! Invariants 6 to 14: the same problem, said in another way.

use ndarray::{Array1, Array2, Axis, concatenate};

use super::Laws;
use super::drawn::{Drawn, Draws, MODERATE, SMALL, range};
use super::formulas::apart;
use super::known::{Known, Solved, agree, solve};
use crate::check::Check;
use crate::inputs::squared;
use crate::solver::{Answer, Answered, Reference, Solver};

pub(super) const ALL: Laws = &[
    (6, "a constant added to the cost moves the value by its mass", cost_shift),
    (7, "what is added to a row moves its potential", row_shift),
    (8, "cost and eps may be scaled together", scaling),
    (9, "masses may be scaled", mass_scaling),
    (10, "rows and columns may be exchanged", transposed),
    (11, "rows and columns may be reordered", reordered),
    (12, "an atom may be split", split),
    (12, "the entropy of a split atom is that of its halves", split_entropy),
    (13, "rows and columns without weight may be left out", left_out),
    (14, "of a measure with itself, P is symmetric and f = g", itself),
];

/// Two problems of one solution, once the first one's answer is rewritten.
fn same(
    solver: &dyn Solver,
    what: &str,
    (one, other): (&Drawn, &Drawn),
    rewrite: impl Fn(Answer) -> Answer,
    scales: (f64, f64),
) -> Answered<Vec<Check>> {
    let Solved { answer, known } = solve(solver, &one.problem())?;
    let found = solve(solver, &other.problem())?;
    let known = known.scaled(scales.0, scales.1);
    Ok(agree(what, &found, &rewrite(answer), &known))
}

/// Problems at a moderate ε and at a small one, and what is checked of each.
fn each(
    draws: &mut Draws,
    mut checks: impl FnMut(&mut Draws, Drawn) -> Answered<Vec<Check>>,
) -> Answered<Vec<Check>> {
    let mut all = Vec::new();
    for epsilons in [&MODERATE[..], &SMALL] {
        let drawn = draws.balanced(epsilons);
        all.extend(checks(draws, drawn)?);
    }
    Ok(all)
}

fn cost_shift(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    each(draws, |draws, drawn| {
        let by = draws.between(-5.0, 5.0) * range(&drawn.cost);
        let other = Drawn { cost: &drawn.cost + by, ..drawn.clone() };
        let mass = drawn.a.sum();
        // Half of it goes to either potential.
        let rewrite = |x: Answer| Answer {
            f: x.f + 0.5 * by,
            g: x.g + 0.5 * by,
            value: x.value + by * mass,
            linear: x.linear + by * mass,
            ..x
        };
        same(solver, "cost shifted", (&drawn, &other), rewrite, (1.0, 1.0))
    })
}

fn row_shift(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    each(draws, |draws, drawn| {
        let range = range(&drawn.cost);
        let [s, t] = [drawn.a.len(), drawn.b.len()].map(|n| draws.vector(n) * range);
        let cost = &drawn.cost + &s.view().insert_axis(Axis(1)) + &t;
        let other = Drawn { cost, ..drawn.clone() };
        let [from_s, from_t] = [s.dot(&drawn.a), t.dot(&drawn.b)];
        // The gauge shares what both got.
        let half = 0.5 * (from_t - from_s) / drawn.a.sum();
        let rewrite = |x: Answer| Answer {
            f: x.f + &s + half,
            g: x.g + &t - half,
            value: x.value + from_s + from_t,
            linear: x.linear + from_s + from_t,
            ..x
        };
        same(solver, "rows and columns shifted", (&drawn, &other), rewrite, (1.0, 1.0))
    })
}

fn scaling(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    each(draws, |draws, drawn| {
        let s = draws.pick(&[1e-9, 0.3, 7.0, 1e9]);
        let other = Drawn { cost: &drawn.cost * s, epsilon: drawn.epsilon * s, ..drawn.clone() };
        let rewrite = |x: Answer| Answer {
            f: x.f * s,
            g: x.g * s,
            value: x.value * s,
            linear: x.linear * s,
            ..x
        };
        same(solver, "scaled", (&drawn, &other), rewrite, (1.0, s))
    })
}

fn mass_scaling(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    each(draws, |draws, drawn| {
        let (k, epsilon, mass) = (draws.pick(&[1e-3, 0.3, 30.0]), drawn.epsilon, drawn.a.sum());
        let other = Drawn { a: &drawn.a * k, b: &drawn.b * k, ..drawn.clone() };
        // kP of R = a⊗b: k⟨C, P⟩ + ε (k Σ P ln(P/R) − k ln k M − kM + k²M²); f + g falls by ε ln k.
        let value = |value: f64| {
            k * (value - epsilon * (mass * mass - mass)) - epsilon * k * mass * k.ln()
                + epsilon * ((k * mass).powi(2) - k * mass)
        };
        let rewrite = |x: Answer| Answer {
            f: x.f - 0.5 * epsilon * k.ln(),
            g: x.g - 0.5 * epsilon * k.ln(),
            plan: x.plan * k,
            value: value(x.value),
            linear: x.linear * k,
            ..x
        };
        same(solver, "masses scaled", (&drawn, &other), rewrite, (k, 1.0))
    })
}

fn transposed(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    each(draws, |_, drawn| {
        let cost = drawn.cost.t().to_owned();
        let other = Drawn { cost, a: drawn.b.clone(), b: drawn.a.clone(), ..drawn.clone() };
        let rewrite = |x: Answer| Answer { f: x.g, g: x.f, plan: x.plan.t().to_owned(), ..x };
        same(solver, "exchanged", (&drawn, &other), rewrite, (1.0, 1.0))
    })
}

fn reordered(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    each(draws, |draws, drawn| {
        let (rows, columns) = (draws.permutation(drawn.a.len()), draws.permutation(drawn.b.len()));
        let matrix = |x: &Array2<f64>| x.select(Axis(0), &rows).select(Axis(1), &columns);
        let [a, f] = [&drawn.a; 2].map(|_| |x: &Array1<f64>| x.select(Axis(0), &rows));
        let g = |x: &Array1<f64>| x.select(Axis(0), &columns);
        let other =
            Drawn { cost: matrix(&drawn.cost), a: a(&drawn.a), b: g(&drawn.b), ..drawn.clone() };
        let rewrite = |x: Answer| Answer { f: f(&x.f), g: g(&x.g), plan: matrix(&x.plan), ..x };
        same(solver, "reordered", (&drawn, &other), rewrite, (1.0, 1.0))
    })
}

/// The first row with weight once more, each of the two with half of it.
fn halved(drawn: &Drawn) -> (usize, Drawn) {
    let i = drawn.a.iter().position(|a| *a > 0.0).unwrap_or(0);
    let again = |x: &Array2<f64>| {
        concatenate(Axis(0), &[x.view(), x.select(Axis(0), &[i]).view()]).expect("one width")
    };
    let mut a = drawn.a.clone();
    a[i] *= 0.5;
    let a: Array1<f64> = a.iter().copied().chain([a[i]]).collect();
    (i, Drawn { cost: again(&drawn.cost), a, ..drawn.clone() })
}

fn split(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    each(draws, |_, drawn| {
        let (i, other) = halved(&drawn);
        let rewrite = |x: Answer| {
            let mut plan = x.plan;
            plan.row_mut(i).mapv_inplace(|p| 0.5 * p);
            let half = plan.select(Axis(0), &[i]);
            let plan = concatenate(Axis(0), &[plan.view(), half.view()]).expect("one width");
            let f = x.f.iter().copied().chain([x.f[i]]).collect();
            Answer { f, plan, ..x }
        };
        same(solver, "an atom split", (&drawn, &other), rewrite, (1.0, 1.0))
    })
}

fn split_entropy(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    each(draws, |_, drawn| {
        let drawn = Drawn { reference: Reference::Counting, ..drawn };
        let (i, other) = halved(&drawn);
        let (whole, halves) = (solve(solver, &drawn.problem())?, solve(solver, &other.problem())?);
        // Σ P ln P falls by a_i ln 2; Σ R grows by a row of ones.
        let by = drawn.epsilon * (drawn.b.len() as f64 - drawn.a[i] * 2.0_f64.ln());
        let error = (halves.answer.value - whole.answer.value - by).abs();
        let allowed = whole.known.value + halves.known.value;
        let reason = "what both values may be off by";
        Ok(vec![Check::new("value of a split atom", error, allowed, reason)])
    })
}

fn left_out(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    each(draws, |_, drawn| {
        let mut with = drawn;
        // At least one row and one column without weight.
        let kept = |w: &Array1<f64>| -> Vec<usize> {
            let all: Vec<usize> = (0..w.len()).filter(|&i| w[i] > 0.0).collect();
            if all.len() == w.len() && w.len() > 2 { all[1..].to_vec() } else { all }
        };
        let (rows, columns) = (kept(&with.a), kept(&with.b));
        let finite = super::formulas::largest_of(&with.cost);
        with.cost.mapv_inplace(|c| if c.is_finite() { c } else { finite });
        let zeroed = |w: &Array1<f64>, kept: &[usize]| {
            let mut zeroed = Array1::zeros(w.len());
            let sum: f64 = kept.iter().map(|&i| w[i]).sum();
            kept.iter().for_each(|&i| zeroed[i] = w[i] / sum);
            zeroed
        };
        (with.a, with.b) = (zeroed(&with.a, &rows), zeroed(&with.b, &columns));
        let matrix = |x: &Array2<f64>| x.select(Axis(0), &rows).select(Axis(1), &columns);
        let without = Drawn {
            cost: matrix(&with.cost),
            a: with.a.select(Axis(0), &rows),
            b: with.b.select(Axis(0), &columns),
            ..with.clone()
        };
        let rewrite = |x: Answer| Answer {
            f: x.f.select(Axis(0), &rows),
            g: x.g.select(Axis(0), &columns),
            plan: matrix(&x.plan),
            ..x
        };
        same(solver, "without weights of 0", (&with, &without), rewrite, (1.0, 1.0))
    })
}

fn itself(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for epsilon in [0.3, 0.02] {
        let n = 3 + draws.below(5);
        let x = draws.points(n, 2);
        let (cost, mass) = (squared(&x, &x), draws.pick(&[1.0, 2.5]));
        let a = draws.weights(n, mass);
        let epsilon = epsilon * range(&cost);
        let drawn = Drawn { cost, b: a.clone(), a, epsilon, ..Drawn::default() };
        let problem = drawn.problem();
        let solved = solve(solver, &problem)?;
        let Solved { answer, known } = &solved;
        let mirrored = Answer {
            f: answer.g.clone(),
            g: answer.f.clone(),
            plan: answer.plan.t().to_owned(),
            ..answer.clone()
        };
        checks.extend(agree("mirrored", &solved, &mirrored, known));
        let Known { informative, plan, .. } = *known;
        if !informative {
            let off = apart(&mirrored.plan, &answer.plan);
            let reason = "no digits to compare by, but not all of the mass either";
            checks.push(Check::new("plan, mirrored", off, plan.min(known.mass), reason));
        }
    }
    Ok(checks)
}

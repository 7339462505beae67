//! Invariants 29 to 31: marginals that may be missed, and partial transport.

use ndarray::{Array1, Array2};

use super::Laws;
use super::drawn::{Drawn, Draws, MODERATE, range};
use super::formulas::{
    apart, dual, largest_of, primal, reference, reference_mass, soft_columns, soft_rows, sums,
    weighed,
};
use super::gradients::{against_differences, usable};
use super::known::{Known, Solved, ULP, agree, linear_check, reached, solve};
use super::limits::clouds;
use crate::check::Check;
use crate::solver::{Answered, Marginal, Partial, Problem, Reference, Refusal, Solver};

pub(super) const ALL: Laws = &[
    (29, "sums are what the potentials ask for", asked_for),
    (29, "the value is the objective, its dual, and a sum of masses", value),
    (29, "a price without bound leads to hard marginals", large_rho),
    (29, "without a price the plan is R exp(-C/eps)", small_rho),
    (29, "derivatives are P and differences, in every direction", derivatives),
    (30, "the mass for any price is one, and a number", mass_is_a_number),
    (31, "a partial plan has its mass, and keeps within the weights", within),
    (31, "a partial plan meets the conditions of an optimum", optimum),
    (31, "all the mass of the lighter side is its one-sided problem", one_sided),
    (31, "of equal masses, all the mass is balanced transport", all_of_it),
];

fn rhos(drawn: &Drawn) -> [f64; 2] {
    drawn.marginals.map(Marginal::rho)
}

fn asked_for(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let drawn = draws.unbalanced(&MODERATE);
    let problem = drawn.problem();
    let solved = solve(solver, &problem)?;
    let Solved { answer, known } = &solved;
    let mass = problem.a.sum().max(problem.b.sum());
    let reason = "the error reported, and the rounding of entries, sums and exponents";
    let allowed = answer.error + (known.eta + known.sum) * known.mass.max(mass) / mass;
    let mut checks = vec![Check::new("error of the sums", known.off / mass, allowed, reason)];
    checks.extend(reached(&problem, &solved));
    // f = τ T(g): the scaling iteration with the exponent τ = ρ/(ρ + ε) stands still.
    let transforms = [soft_rows(&problem, &answer.g), soft_columns(&problem, &answer.f)];
    let weights = [problem.a, problem.b];
    for (side, x) in [&answer.f, &answer.g].into_iter().enumerate() {
        let tau = problem.marginals[side].tau(problem.epsilon);
        let off = x - &(&transforms[side] * tau);
        let lightest = weighed(weights[side], weights[side]).fold(f64::INFINITY, |l, &w| l.min(w));
        // A sum that is off by δ moves its potential by ε δ/sum at most.
        let sums = &sums(&answer.plan)[side];
        let least =
            weighed(sums, weights[side]).fold(f64::INFINITY, |l, &s| l.min(s)).min(lightest);
        let allowed = 2.0 * problem.epsilon * (known.off / least + known.eta + known.sum)
            + 4.0 * ULP * largest_of(x);
        let reason = "eps times what the smallest sum is off by, and rounding of exponents";
        let name = ["f and tau times its transform", "g and tau times its transform"][side];
        checks.push(Check::new(name, largest_of(weighed(&off, weights[side])), allowed, reason));
    }
    Ok(checks)
}

fn value(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let drawn = draws.unbalanced(&MODERATE);
    let problem = drawn.problem();
    let solved = solve(solver, &problem)?;
    let Solved { answer, known } = &solved;
    let reason = "rounding of the terms, and of exponents in the plan";
    let error = (answer.value - primal(&problem, &answer.plan)).abs();
    let mut checks = vec![
        Check::new("by its definition", error, known.objective, reason),
        linear_check(&problem, &solved),
    ];
    let size =
        largest_of(weighed(&answer.f, problem.a)) + largest_of(weighed(&answer.g, problem.b));
    // The gap is what the sums are off by at the prices f and g; of soft marginals of second order.
    let gap = (answer.value - dual(&problem, &answer.f, &answer.g, known.mass)).abs();
    let allowed = known.objective + (size + problem.epsilon) * known.off;
    checks.push(Check::new("gap of primal and dual", gap, allowed, reason));
    // At the optimum all is in the masses, hard sides apart: ε Σ R + Σ_soft ρ (Σw − M) − ε M, and ⟨w, x⟩ of hard ones.
    let (rho, epsilon) = (rhos(&drawn), problem.epsilon);
    let mut masses = epsilon * (reference_mass(&problem) - known.mass);
    let mut prices = size;
    let sides = [(problem.a, &answer.f), (problem.b, &answer.g)];
    for (rho, (weights, x)) in rho.into_iter().zip(sides) {
        let hard =
            weights.iter().zip(x).filter(|(w, _)| **w > 0.0).map(|(w, x)| w * x).sum::<f64>();
        masses += if rho.is_finite() { rho * (weights.sum() - known.mass) } else { hard };
        prices += if rho.is_finite() { rho } else { 0.0 };
    }
    let allowed = known.objective + (prices + epsilon) * known.off;
    let reason = "prices times what the sums are off by, and rounding";
    checks.push(Check::new("by masses", (answer.value - masses).abs(), allowed, reason));
    Ok(checks)
}

fn large_rho(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (_, _, drawn) = clouds(draws);
    let balanced = solve(solver, &drawn.problem())?;
    let mut checks = Vec::new();
    for times in [1e3, 1e4, 1e5] {
        let rho = times * range(&drawn.cost);
        let soft = Drawn { marginals: [Marginal::Kl(rho); 2], ..drawn.clone() };
        let Solved { answer, known } = solve(solver, &soft.problem())?;
        // Its sums are a exp(−f/ρ): so far from a, at the balanced plan's condition.
        let off =
            largest_of(weighed(&answer.f, &drawn.a)).max(largest_of(weighed(&answer.g, &drawn.b)));
        let way = balanced.known.kappa
            * 2.0_f64.sqrt()
            * balanced.known.mass.sqrt()
            * (off / rho).exp_m1();
        let allowed =
            2.0 * (2.0 * balanced.known.mass).sqrt() * way + known.plan + balanced.known.plan;
        let error = apart(&answer.plan, &balanced.answer.plan);
        let reason = "sums off by exp(-f/rho) at the plan's condition, of the order 1/rho";
        checks.push(Check::new(format!("rho of {times} ranges"), error, allowed, reason));
        // f stays what it is for large ρ, so that the bound falls with ρ.
        let bound = 10.0 * range(&drawn.cost) + drawn.epsilon * 20.0;
        let reason =
            "potentials do not grow with rho: ranges of cost, and eps ln of weights above 1e-8";
        checks.push(Check::new(format!("potentials at {times}"), off, bound, reason));
    }
    Ok(checks)
}

fn small_rho(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (_, _, mut drawn) = clouds(draws);
    drawn.b *= 1.7;
    drawn.reference = draws.pick(&[Reference::Product, Reference::Counting]);
    let rho = 1e-6 * drawn.epsilon;
    drawn.marginals = [Marginal::Kl(rho); 2];
    let problem = drawn.problem();
    let Solved { answer, known } = solve(solver, &problem)?;
    let free = Array2::from_shape_fn(drawn.cost.dim(), |at| {
        let weighs = problem.a[at.0] > 0.0 && problem.b[at.1] > 0.0;
        let kernel = (-drawn.cost[at] / drawn.epsilon).exp();
        if weighs { reference(&problem, at) * kernel } else { 0.0 }
    });
    // f = −ρ ln(sum/weight), and sums are near those of the free plan.
    let [rows, columns] = sums(&free);
    let ln = |sums: &Array1<f64>, weights: &Array1<f64>| {
        let ln: Array1<f64> = sums.iter().zip(weights).map(|(s, w)| (s / w).ln()).collect();
        largest_of(weighed(&ln, weights))
    };
    let potentials = 1.01 * rho * (ln(&rows, problem.a) + ln(&columns, problem.b));
    let allowed = free.sum() * (potentials / drawn.epsilon).exp_m1() + known.plan;
    let error = apart(&answer.plan, &free);
    let reason = "exp((f + g)/eps) - 1 with f = -rho ln(sum/weight)";
    Ok(vec![Check::new("plan", error, allowed, reason)])
}

fn derivatives(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (_, _, mut drawn) = clouds(draws);
    let rho = Marginal::Kl(draws.pick(&[0.3, 2.0]) * range(&drawn.cost));
    drawn.marginals = draws.pick(&[[rho, rho], [rho, Marginal::Hard], [Marginal::Hard, rho]]);
    drawn.b *= 1.7;
    drawn.reference = draws.pick(&[Reference::Product, Reference::Counting]);
    let slopes = usable(solver.value_gradients(&drawn.problem())?, &drawn)?;
    let Solved { answer, known } = solve(solver, &drawn.problem())?;
    let error = apart(&slopes.cost, &answer.plan);
    let reason = "what two plans may be off by";
    let mut checks = vec![Check::new("dC", error, 2.0 * known.plan, reason)];
    checks.extend(against_differences(solver, draws, &drawn)?);
    Ok(checks)
}

/// Not that it is monotone, which nobody has proved.
fn mass_is_a_number(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut drawn = draws.unbalanced(&MODERATE);
    let mut checks = Vec::new();
    for times in [0.01, 0.1, 1.0, 10.0] {
        drawn.marginals = [Marginal::Kl(times * range(&drawn.cost)); 2];
        let mass = solve(solver, &drawn.problem())?.known.mass;
        let none = if mass > 0.0 { 0.0 } else { 1.0 };
        checks.push(Check::new(format!("no mass at {times}"), none, 0.0, "a smoke test"));
    }
    Ok(checks)
}

/// A partial problem, the mass to be moved, and what came of it.
fn partial(solver: &dyn Solver, drawn: &Drawn, mass: f64) -> Answered<(Partial, f64)> {
    let problem = Problem { tolerance: ASKED, ..drawn.problem() };
    let found = solver.partial(&problem, mass)?;
    let shapes = (found.plan.dim(), found.f.len(), found.g.len());
    let numbers = found.plan.iter().chain(&found.f).chain(&found.g).chain([&found.multiplier]);
    if shapes != (drawn.cost.dim(), drawn.a.len(), drawn.b.len())
        || numbers.into_iter().any(|x| !x.is_finite())
    {
        return Err(Refusal::Refused("a partial plan of other shapes, or without numbers".into()));
    }
    let size = largest_of(&drawn.cost)
        + largest_of(&found.f)
        + largest_of(&found.g)
        + found.multiplier.abs();
    let (n, m) = drawn.cost.dim();
    let eta = ULP * (8.0 + 2.0 * size / drawn.epsilon + (n + m) as f64);
    Ok((found, eta))
}

/// The error asked for, relative to the mass.
const ASKED: f64 = 1e-13;

/// A problem of two masses and a mass that is less than either.
fn some_of_it(draws: &mut Draws) -> (Drawn, f64) {
    let (_, _, mut drawn) = clouds(draws);
    drawn.b *= draws.pick(&[1.7, 0.7]);
    drawn.reference = draws.pick(&[Reference::Product, Reference::Counting]);
    let mass = draws.between(0.3, 0.95) * drawn.a.sum().min(drawn.b.sum());
    (drawn, mass)
}

fn above(sums: &Array1<f64>, weights: &Array1<f64>) -> f64 {
    sums.iter().zip(weights).map(|(s, w)| (s - w).max(0.0)).sum()
}

fn within(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (drawn, mass) = some_of_it(draws);
    let (found, eta) = partial(solver, &drawn, mass)?;
    let [rows, columns] = sums(&found.plan);
    let over = above(&rows, &drawn.a) + above(&columns, &drawn.b);
    let negative: f64 = found.plan.iter().map(|p| (-p).max(0.0)).sum();
    let allowed = (ASKED + 4.0 * eta) * mass;
    let reason = "the error asked for, and the rounding of entries and their sums";
    Ok(vec![
        Check::new(
            "mass",
            (found.plan.sum() - mass).abs(),
            4.0 * eta * mass,
            "rounding of entries and their sums",
        ),
        Check::new("above the weights", over, allowed, reason),
        Check::new("negative mass", negative, 0.0, "masses are exponentials"),
    ])
}

fn optimum(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (drawn, mass) = some_of_it(draws);
    let problem = drawn.problem();
    let (found, eta) = partial(solver, &drawn, mass)?;
    let [rows, columns] = sums(&found.plan);
    let sides = [(&found.f, &rows, problem.a), (&found.g, &columns, problem.b)];
    let wrong: f64 = sides.iter().flat_map(|(x, _, _)| x.iter()).map(|x| x.max(0.0)).sum();
    // Where a potential is below 0, its row or column is full.
    let slack: f64 = sides
        .iter()
        .map(|(x, sums, weights)| -> f64 {
            let terms = x.iter().zip(sums.iter().zip(*weights)).filter(|(_, (_, w))| **w > 0.0);
            terms.map(|(x, (s, w))| x.abs() * (w - s).abs()).sum()
        })
        .sum();
    let form = Array2::from_shape_fn(drawn.cost.dim(), |at| {
        let weighs = problem.a[at.0] > 0.0 && problem.b[at.1] > 0.0;
        let exponent = found.f[at.0] + found.g[at.1] + found.multiplier - drawn.cost[at];
        if weighs { reference(&problem, at) * (exponent / drawn.epsilon).exp() } else { 0.0 }
    });
    let size = largest_of(&found.f) + largest_of(&found.g);
    let off = (ASKED + 4.0 * eta) * mass;
    let reason = "potentials times the error asked for and the rounding of entries";
    let linear = super::formulas::linear(&drawn.cost, &found.plan);
    Ok(vec![
        Check::new("potentials above 0", wrong, 0.0, "minima with 0"),
        Check::new("potentials of what is not full", slack, size * off, reason),
        Check::new(
            "plan of its potentials",
            apart(&form, &found.plan),
            off,
            "the error asked for, and the rounding of exponents",
        ),
        Check::new(
            "linear",
            (linear - found.linear).abs(),
            eta * mass * largest_of(&drawn.cost),
            "rounding of a sum",
        ),
    ])
}

fn one_sided(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (_, _, mut drawn) = clouds(draws);
    let heavier = draws.chance(0.5);
    drawn.b *= if heavier { 1.7 } else { 0.6 };
    let mass = drawn.a.sum().min(drawn.b.sum());
    let (found, eta) = partial(solver, &drawn, mass)?;
    let [rows, columns] = sums(&found.plan);
    let [full, other] = if heavier {
        [apart(&rows, &drawn.a), above(&columns, &drawn.b)]
    } else {
        [apart(&columns, &drawn.b), above(&rows, &drawn.a)]
    };
    let allowed = (2.0 * ASKED + 4.0 * eta) * mass;
    let reason = "the error asked for, and the rounding of entries and their sums";
    Ok(vec![
        Check::new("the lighter side is used up", full, allowed, reason),
        Check::new("the heavier is not exceeded", other, allowed, reason),
    ])
}

fn all_of_it(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (_, _, drawn) = clouds(draws);
    let (found, eta) = partial(solver, &drawn, drawn.a.sum())?;
    let problem = drawn.problem();
    let solved = solve(solver, &problem)?;
    let Known { kappa, mass, plan, .. } = solved.known;
    // Of the partial plan only the error asked for is known: at most so much at the condition of the balanced one.
    let lightest = weighed(problem.a, problem.a).chain(weighed(problem.b, problem.b));
    let lightest = lightest.fold(f64::INFINITY, |l, &w| l.min(w));
    let chi = ASKED * mass / lightest.sqrt() + eta * (2.0 * mass).sqrt();
    let allowed = 2.0 * (2.0 * mass).sqrt() * kappa * chi + plan;
    let reason = "the error asked for, and that of the balanced plan, at its condition";
    let checks = vec![Check::new("plan", apart(&found.plan, &solved.answer.plan), allowed, reason)];
    Ok([checks, agree("itself", &solved, &solved.answer, &solved.known)].concat())
}

//! Invariants 33 to 35, 38 and 39: one problem solved in many ways, at the ends of the range of numbers, and SwAV's
//! codes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ndarray::{Array1, Array2, Axis};

use super::Laws;
use super::drawn::{Drawn, Draws, MODERATE};
use super::formulas::{apart, largest_of, sums, weighed};
use super::known::{Solved, ULP, agree, rounds, solve, sound};
use super::limits::clouds;
use crate::check::{Check, largest};
use crate::inputs::squared;
use crate::solver::{Answer, Answered, Problem, Reference, Refusal, Solver, Status};

pub(super) const ALL: Laws = &[
    (33, "all ways of solving agree", variants),
    (34, "a batch is what its problems are one by one, to the bit", batch),
    (34, "the number of threads changes no bit", threads),
    (34, "a start at the solution ends at once", warm_start),
    (35, "any finite input gives numbers and a truthful status", any_input),
    (38, "a value in f32 is off by the rounding of its input", single_value),
    (39, "rows of codes sum to 1, and columns to B/K in the end", codes),
    (39, "codes are B times the plan of so many rounds of -S", codes_are_a_plan),
    (39, "scores of 400 leave codes that are numbers, in f32 too", extreme_scores),
];

fn variants(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let variants = solver.variants();
    if variants.is_empty() {
        return Err(Refusal::NotOffered);
    }
    let mut drawn = [draws.balanced(&MODERATE), draws.unbalanced(&MODERATE)];
    if draws.chance(0.3) {
        drawn[0].reference = Reference::Counting;
    }
    let mut checks = Vec::new();
    for drawn in drawn {
        let problem = drawn.problem();
        let Solved { answer, known } = solve(solver, &problem)?;
        for (name, variant) in &variants {
            let other = match solve(&**variant, &problem) {
                Err(Refusal::NotOffered) => continue,
                other => other?,
            };
            checks.extend(agree(name, &other, &answer, &known));
        }
    }
    Ok(checks)
}

/// How many numbers of two answers differ in a bit.
fn bits(x: &Answer, y: &Answer) -> f64 {
    let numbers = |x: &Answer| -> Vec<u64> {
        let all = x.f.iter().chain(&x.g).chain(&x.plan).chain([&x.value, &x.linear, &x.error]);
        all.map(|x| x.to_bits()).chain([u64::from(x.iterations)]).collect()
    };
    let (x, y) = (numbers(x), numbers(y));
    (x.iter().zip(&y).filter(|(x, y)| x != y).count() + x.len().abs_diff(y.len())) as f64
}

fn batch(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let drawn: Vec<Drawn> = (0..4)
        .map(|k| match k {
            3 => draws.unbalanced(&MODERATE),
            _ => draws.balanced(&MODERATE),
        })
        .collect();
    let problems: Vec<Problem<'_>> = drawn.iter().map(Drawn::problem).collect();
    let found = solver.batch(&problems)?;
    let mut differ = found.len().abs_diff(problems.len()) as f64;
    for (found, problem) in found.iter().zip(&problems) {
        differ += bits(found, &solver.entropic(problem)?);
    }
    Ok(vec![Check::new(
        "numbers that differ",
        differ,
        0.0,
        "the same operations in the same order",
    )])
}

fn threads(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    // More rows than one piece of work is likely to have.
    let (n, m) = (150 + draws.below(50), 40 + draws.below(20));
    let cost = squared(&draws.points(n, 2), &draws.points(m, 2));
    let (a, b) = (draws.weights(n, 1.0), draws.weights(m, 1.0));
    let problem = Problem { tolerance: 1e-9, ..Problem::new(&cost, &a, &b, 0.05) };
    let d_plan = draws.signed(n, m);
    let one = solver.threads(1)?;
    let (answer, gradients) = (one.entropic(&problem)?, one.plan_gradients(&problem, &d_plan));
    let mut checks = Vec::new();
    for count in [2, 3, 8] {
        let other = solver.threads(count)?;
        let mut differ = bits(&other.entropic(&problem)?, &answer);
        match (&gradients, other.plan_gradients(&problem, &d_plan)) {
            (Ok(one), Ok(other)) => differ += f64::from(u8::from(*one != other)),
            (Err(Refusal::NotOffered), Err(Refusal::NotOffered)) => {}
            _ => differ = f64::INFINITY,
        }
        let name = format!("numbers that differ on {count}");
        checks.push(Check::new(name, differ, 0.0, "sums in an order that sizes decide"));
    }
    Ok(checks)
}

fn warm_start(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for drawn in [clouds(draws).2, draws.balanced(&MODERATE), draws.unbalanced(&MODERATE)] {
        let Solved { known, .. } = solve(solver, &drawn.problem())?;
        // A tolerance that rounding leaves room for.
        let tolerance = (1e2 * known.floor(&drawn.problem())).max(1e-9);
        let problem = Problem { tolerance, ..drawn.problem() };
        let Solved { answer, known } = solve(solver, &problem)?;
        let again = sound(&problem, solver.resume(&problem, &answer.f, &answer.g)?)?;
        let iterations = f64::from(again.answer.iterations);
        let reason = "one to see that there is nothing to do, and one more";
        checks.push(Check::new("iterations", iterations, 2.0, reason));
        checks.extend(agree("resumed", &again, &answer, &known));
    }
    Ok(checks)
}

fn any_input(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let mut checks = Vec::new();
    for _ in 0..6 {
        let (n, m) = (1 + draws.below(5), 1 + draws.below(5));
        let magnitude = draws.pick(&[30.0, 30.0, 8.0, 1.0]);
        let mut draw = || {
            let sign = draws.pick(&[-1.0, 1.0, 1.0, 0.0]);
            sign * 10.0_f64.powf(draws.between(-magnitude, magnitude))
        };
        let cost = Array2::from_shape_simple_fn((n, m), &mut draw);
        let epsilon = 10.0_f64.powf(draws.between(-12.0, 12.0));
        let mass = draws.pick(&[1.0, 1e-6, 1e6]);
        let (a, b) = (draws.weights(n.max(2), mass), draws.weights(m.max(2), mass));
        let cut = |w: Array1<f64>, n: usize| if n == 1 { Array1::from_elem(1, mass) } else { w };
        let drawn = Drawn { cost, a: cut(a, n), b: cut(b, m), epsilon, ..Drawn::default() };
        let asked = 1e-6;
        let problem = Problem { tolerance: asked, max_iterations: 500, ..drawn.problem() };
        let answer = catch_unwind(AssertUnwindSafe(|| solver.entropic(&problem)));
        let reason = "it is no reason to panic";
        checks.push(Check::new("panics", f64::from(u8::from(answer.is_err())), 0.0, reason));
        let Ok(answer) = answer else { continue };
        let Solved { answer, known } = sound(&problem, answer?)?;
        // What is reported is the error of the plan that is returned.
        let off =
            apart(&sums(&answer.plan)[0], problem.a) + apart(&sums(&answer.plan)[1], problem.b);
        let actual = off / problem.a.sum();
        if answer.status == Status::Converged {
            let reason = "what converged means, a tenth for what rounding may hide, and sums";
            checks.push(Check::new(
                "error when converged",
                actual,
                1.1 * asked + known.sum,
                reason,
            ));
        } else {
            let reason = "the error reported, a tenth of it or of the tolerance, and sums";
            let allowed = answer.error + 0.1 * answer.error.max(asked) + known.sum;
            checks.push(Check::new("error when not", actual, allowed, reason));
        }
    }
    Ok(checks)
}

fn single_value(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    const SINGLE: f64 = f32::EPSILON as f64;
    let mut drawn = draws.balanced(&MODERATE[..4]);
    let least = drawn.cost.iter().fold(f64::INFINITY, |least, c| least.min(*c));
    drawn.cost -= least;
    let (n, m) = drawn.cost.dim();
    (drawn.a, drawn.b) = (draws.dyadic_weights(n), draws.dyadic_weights(m));
    if drawn.cost.iter().any(|c| c.is_infinite()) {
        let finite = largest_of(&drawn.cost);
        drawn.cost.mapv_inplace(|c| if c.is_finite() { c } else { finite });
    }
    let problem = drawn.problem();
    let double = solve(solver, &problem)?;
    let single = solver.single()?;
    let found = sound(&problem, single.entropic(&Problem { tolerance: 1e-6, ..problem })?)?;
    let rounded: Vec<f64> = drawn.cost.iter().map(|c| c - f64::from(*c as f32)).collect();
    // |W_C − W_C'| ≤ max |C − C'|; then exponents and sums in f32, at the prices f and g, and what marginals are off
    // by.
    let size = largest_of(weighed(&double.answer.f, problem.a))
        + largest_of(weighed(&double.answer.g, problem.b));
    let eta = SINGLE * (8.0 + 2.0 * (largest_of(&drawn.cost) + size) / drawn.epsilon);
    let off = found.answer.error + eta + (n + m) as f64 * SINGLE;
    let allowed = largest_of(&rounded) + (size + drawn.epsilon) * off + double.known.value;
    let reason = "max |C - fl(C)|, and f32's rounding of exponents and sums at the prices f and g";
    let error = (found.answer.value - double.answer.value).abs();
    Ok(vec![Check::new("value", error, allowed, reason)])
}

/// Scores (B, K) in [−1, 1], and ε.
fn scores(draws: &mut Draws) -> (Array2<f64>, f64) {
    let (samples, prototypes) = (4 + draws.below(10), 2 + draws.below(5));
    (draws.signed(samples, prototypes), draws.pick(&[0.05, 0.1, 0.5]))
}

fn codes_of(
    solver: &dyn Solver,
    scores: &Array2<f64>,
    epsilon: f64,
    rounds: u32,
) -> Answered<Array2<f64>> {
    let q = solver.codes(scores, epsilon, rounds)?;
    if q.dim() == scores.dim() {
        Ok(q)
    } else {
        Err(Refusal::Refused(format!("codes have the shape {:?}", q.dim())))
    }
}

fn codes(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (scores, epsilon) = scores(draws);
    let (samples, prototypes) = scores.dim();
    let ratio = samples as f64 / prototypes as f64;
    let mut checks = Vec::new();
    let mut before = f64::INFINITY;
    for rounds in [1, 2, 3, 10, 100] {
        let q = codes_of(solver, &scores, epsilon, rounds)?;
        let [rows, columns] = sums(&q);
        let off = largest_of(&(rows - 1.0));
        let allowed = 4.0 * prototypes as f64 * ULP;
        let reason = "a division and a sum of K";
        checks.push(Check::new(format!("rows after {rounds}"), off, allowed, reason));
        let off = columns.iter().map(|sum| (sum - ratio).abs()).sum::<f64>();
        let rounding = samples as f64 * ULP * (8.0 + 4.0 / epsilon + samples as f64);
        let rise = off - before;
        let rise = if rise.is_nan() { rise } else { rise.max(0.0) };
        let reason = "rounding of exponents and sums";
        checks.push(Check::new(
            format!("columns leave B/K, {rounds}"),
            rise,
            2.0 * rounding,
            reason,
        ));
        before = off;
    }
    Ok(checks)
}

fn codes_are_a_plan(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (scores, epsilon) = scores(draws);
    let (samples, prototypes) = scores.dim();
    let cost = -&scores;
    let a = Array1::from_elem(samples, 1.0 / samples as f64);
    let b = Array1::from_elem(prototypes, 1.0 / prototypes as f64);
    let problem =
        Problem { reference: Reference::Counting, ..Problem::new(&cost, &a, &b, epsilon) };
    let mut checks = Vec::new();
    for iterations in [1, 3, 10] {
        let q = codes_of(solver, &scores, epsilon, iterations)?;
        // By the definition: each prototype's column by its sum, then each sample's row.
        let mut expected = scores.mapv(|s| ((s - 1.0) / epsilon).exp());
        for _ in 0..iterations {
            expected /= &expected.sum_axis(Axis(0));
            expected /= &expected.sum_axis(Axis(1)).insert_axis(Axis(1));
        }
        let rounding = ULP
            * (16.0 + 8.0 / epsilon + 2.0 * (samples + prototypes) as f64 * f64::from(iterations));
        let reason = "rounding of exponents up to 2/eps, and of so many sums";
        let error = largest(&q, &expected);
        checks.push(Check::new(format!("by divisions, {iterations}"), error, rounding, reason));
        match rounds(solver, &problem, iterations) {
            Err(Refusal::NotOffered) => {}
            other => {
                let plan = other?.answer.plan * samples as f64;
                let name = format!("the plan times B, {iterations}");
                checks.push(Check::new(name, largest(&q, &plan), 2.0 * rounding, reason));
            }
        }
    }
    Ok(checks)
}

fn extreme_scores(solver: &dyn Solver, draws: &mut Draws) -> Answered<Vec<Check>> {
    let (mut scores, _) = scores(draws);
    for mut row in scores.rows_mut() {
        let at = draws.below(row.len());
        row[at] = draws.pick(&[400.0, -400.0]);
    }
    let mut checks = Vec::new();
    let single = solver.single();
    let solvers =
        [("f64", Ok(solver), f64::EPSILON), ("f32", single.as_deref(), f64::from(f32::EPSILON))];
    for (name, solver, ulp) in solvers {
        let q = match solver {
            Ok(solver) => codes_of(solver, &scores, 0.05, 3)?,
            Err(Refusal::NotOffered) => continue,
            Err(other) => return Err(other.clone()),
        };
        let wrong = q.iter().filter(|q| !(0.0..=1.0 + 4.0 * ulp).contains(*q)).count() as f64;
        checks.push(Check::new(format!("no codes, {name}"), wrong, 0.0, "numbers from 0 to 1"));
        let off = largest_of(&(q.sum_axis(Axis(1)) - 1.0));
        let allowed = 4.0 * q.ncols() as f64 * ulp;
        checks.push(Check::new(format!("rows, {name}"), off, allowed, "a division and a sum of K"));
    }
    Ok(checks)
}

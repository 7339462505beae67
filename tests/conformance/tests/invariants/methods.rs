//! Wrong iterates, exact plans, measures, derivatives and ways of solving.

use ndarray::{Array1, Array2};
use swav_conformance::solver::{
    Clouds, Divergence, Exact, Gradients, Histograms, Partial, Positions, Rounded,
};
use swav_conformance::{Answer, Answered, Problem, Solver};

use super::{Mutant, swav, wrong};

pub(super) fn of_iterates() -> Vec<Mutant> {
    vec![
        (
            "every second iteration idle",
            wrong! {
                fn rounds(&self, p: &Problem<'_>, iterations: u32) -> Answered<Answer> {
                    swav().rounds(p, iterations.div_ceil(2))
                }
            },
            &[16, 17],
        ),
        (
            "iterations out of order",
            wrong! {
                fn rounds(&self, p: &Problem<'_>, iterations: u32) -> Answered<Answer> {
                    swav().rounds(p, if iterations.is_multiple_of(2) { iterations } else { iterations + 3 })
                }
            },
            &[16, 18],
        ),
        (
            "a plan that is not rounded",
            wrong! {
                fn rounds(&self, p: &Problem<'_>, iterations: u32) -> Answered<Answer> {
                    swav().rounds(p, iterations)
                }
                fn round(&self, p: &Problem<'_>, iterations: u32) -> Answered<Rounded> {
                    let x = swav().rounds(p, iterations)?;
                    Ok(Rounded { plan: x.plan, cost: x.linear, moved: 0.0 })
                }
            },
            &[36],
        ),
        (
            "a plan that is rounded to the product",
            wrong! {
                fn rounds(&self, p: &Problem<'_>, iterations: u32) -> Answered<Answer> {
                    swav().rounds(p, iterations)
                }
                fn round(&self, p: &Problem<'_>, iterations: u32) -> Answered<Rounded> {
                    let (x, rounded) = (swav().rounds(p, iterations)?, swav().round(p, iterations)?);
                    let plan = product(p.a, p.b);
                    let moved = (&plan - &x.plan).mapv(f64::abs).sum();
                    Ok(Rounded { plan, moved, ..rounded })
                }
            },
            &[36],
        ),
        (
            "the cost of a plan that is none, as a bound",
            wrong! {
                fn exact(&self, c: &Array2<f64>, a: &Array1<f64>, b: &Array1<f64>) -> Answered<Exact> {
                    swav().exact(c, a, b)
                }
                fn bounds(&self, p: &Problem<'_>, iterations: u32) -> Answered<[f64; 2]> {
                    let [below, _] = swav().bounds(p, iterations)?;
                    Ok([below, swav().rounds(p, iterations)?.linear - 0.01])
                }
            },
            &[37],
        ),
        (
            "bounds that say nothing",
            wrong! {
                fn exact(&self, c: &Array2<f64>, a: &Array1<f64>, b: &Array1<f64>) -> Answered<Exact> {
                    swav().exact(c, a, b)
                }
                fn bounds(&self, _: &Problem<'_>, _: u32) -> Answered<[f64; 2]> {
                    Ok([f64::NEG_INFINITY, f64::INFINITY])
                }
            },
            &[37],
        ),
        (
            "a start that is ignored",
            wrong! {
                fn resume(&self, p: &Problem<'_>, _: &Array1<f64>, _: &Array1<f64>) -> Answered<Answer> {
                    swav().entropic(p)
                }
            },
            &[34],
        ),
        (
            "a start whose gauge stays",
            wrong! {
                fn resume(&self, p: &Problem<'_>, f: &Array1<f64>, g: &Array1<f64>) -> Answered<Answer> {
                    let x = swav().resume(p, f, g)?;
                    let shift = (f - &x.f).mean().unwrap_or(0.0);
                    Ok(Answer { f: x.f + shift, g: x.g - shift, ..x })
                }
            },
            &[5],
        ),
    ]
}

fn product(a: &Array1<f64>, b: &Array1<f64>) -> Array2<f64> {
    Array2::from_shape_fn((a.len(), b.len()), |(i, j)| a[i] * b[j] / a.sum())
}

pub(super) fn of_exact() -> Vec<Mutant> {
    vec![
        (
            "the product for the exact plan",
            wrong! {
                fn exact(&self, c: &Array2<f64>, a: &Array1<f64>, b: &Array1<f64>) -> Answered<Exact> {
                    let plan = product(a, b);
                    let value = plan.iter().zip(c).filter(|(p, _)| **p > 0.0).map(|(p, c)| p * c).sum();
                    Ok(Exact { plan, value, ..swav().exact(c, a, b)? })
                }
            },
            &[15, 24],
        ),
        (
            "the diagonal for the assignment",
            wrong! {
                fn assignment(&self, cost: &Array2<f64>) -> Answered<(Vec<usize>, f64)> {
                    Ok(((0..cost.nrows()).collect(), cost.diag().sum()))
                }
            },
            &[20],
        ),
        (
            "the product on a line",
            wrong! {
                fn line(&self, at: &Positions<'_>) -> Answered<(Array2<f64>, f64)> {
                    let plan = product(at.a, at.b);
                    let value = plan.indexed_iter().map(|((i, j), p)| {
                        p * (at.x[i] - at.y[j]).abs().powf(at.p)
                    }).sum();
                    Ok((plan, value))
                }
            },
            &[21],
        ),
    ]
}

pub(super) fn of_measures() -> Vec<Mutant> {
    vec![
        (
            "a divergence without its self terms",
            wrong! {
                fn divergence(&self, p: &Problem<'_>, own: [&Array2<f64>; 2]) -> Answered<Divergence> {
                    let value = swav().entropic(p)?.value;
                    Ok(Divergence { value, ..swav().divergence(p, own)? })
                }
            },
            &[25],
        ),
        (
            "a divergence's slope without its self term",
            wrong! {
                fn divergence(&self, p: &Problem<'_>, own: [&Array2<f64>; 2]) -> Answered<Divergence> {
                    let d_a = swav().entropic(p)?.f;
                    Ok(Divergence { d_a, ..swav().divergence(p, own)? })
                }
            },
            &[25],
        ),
        (
            "a divergence that is cut at 0, and its points turned",
            wrong! {
                fn divergence_of_clouds(
                    &self,
                    clouds: &Clouds<'_>,
                    epsilon: f64,
                ) -> Answered<(Divergence, [Array2<f64>; 2])> {
                    let (found, [x, y]) = swav().divergence_of_clouds(clouds, epsilon)?;
                    Ok((found, [-x, y]))
                }
            },
            &[27],
        ),
        (
            "a barycentre that is not normalised",
            wrong! {
                fn barycenter(&self, h: &Histograms<'_>, debiased: bool) -> Answered<Array1<f64>> {
                    Ok(swav().barycenter(h, debiased)? * (1.0 + 1e-9))
                }
            },
            &[32],
        ),
        (
            "a barycentre that is never debiased",
            wrong! {
                fn barycenter(&self, h: &Histograms<'_>, _: bool) -> Answered<Array1<f64>> {
                    swav().barycenter(h, false)
                }
            },
            &[32],
        ),
        (
            "a barycentre with weights of its own",
            wrong! {
                fn barycenter(&self, h: &Histograms<'_>, debiased: bool) -> Answered<Array1<f64>> {
                    let k = h.weights.len();
                    let weights = &Array1::from_elem(k, 1.0 / k as f64);
                    swav().barycenter(&Histograms { weights, ..*h }, debiased)
                }
            },
            &[32],
        ),
        (
            "more mass than was asked for",
            wrong! {
                fn partial(&self, p: &Problem<'_>, mass: f64) -> Answered<Partial> {
                    let x = swav().partial(p, mass)?;
                    Ok(Partial { plan: x.plan * (1.0 + 1e-6), ..x })
                }
            },
            &[31],
        ),
        (
            "a price that is off",
            wrong! {
                fn partial(&self, p: &Problem<'_>, mass: f64) -> Answered<Partial> {
                    let x = swav().partial(p, mass)?;
                    Ok(Partial { multiplier: x.multiplier * (1.0 + 1e-9), ..x })
                }
            },
            &[31],
        ),
    ]
}

pub(super) fn of_gradients() -> Vec<Mutant> {
    vec![
        (
            "weights' derivatives of the wrong sign",
            wrong! {
                fn value_gradients(&self, p: &Problem<'_>) -> Answered<Gradients> {
                    let x = swav().value_gradients(p)?;
                    Ok(Gradients { a: -x.a, ..x })
                }
            },
            &[26, 27, 29],
        ),
        (
            "no derivative of R by a",
            wrong! {
                fn value_gradients(&self, p: &Problem<'_>) -> Answered<Gradients> {
                    let (x, f) = (swav().value_gradients(p)?, swav().entropic(p)?.f);
                    Ok(Gradients { a: f, ..x })
                }
            },
            &[29],
        ),
        (
            "points' derivatives by half",
            wrong! {
                fn points_gradients(
                    &self,
                    p: &Problem<'_>,
                    x: &Array2<f64>,
                    y: &Array2<f64>,
                ) -> Answered<[Array2<f64>; 2]> {
                    Ok(swav().points_gradients(p, x, y)?.map(|d| d * 0.5))
                }
            },
            &[26],
        ),
        (
            "a derivative by eps that is the linear cost",
            wrong! {
                fn value_gradients(&self, p: &Problem<'_>) -> Answered<Gradients> {
                    let (x, linear) = (swav().value_gradients(p)?, swav().entropic(p)?.linear);
                    Ok(Gradients { epsilon: linear, ..x })
                }
            },
            &[27],
        ),
        (
            "a plan's derivative at potentials held fixed",
            wrong! {
                fn plan_gradients(&self, p: &Problem<'_>, d: &Array2<f64>) -> Answered<Gradients> {
                    let (x, plan) = (swav().plan_gradients(p, d)?, swav().entropic(p)?.plan);
                    Ok(Gradients { cost: -(plan * d) / p.epsilon, ..x })
                }
            },
            &[27, 28],
        ),
        (
            "a plan's derivative of the wrong sign",
            wrong! {
                fn plan_gradients(&self, p: &Problem<'_>, d: &Array2<f64>) -> Answered<Gradients> {
                    let x = swav().plan_gradients(p, d)?;
                    Ok(Gradients { cost: -x.cost, ..x })
                }
            },
            &[27, 28],
        ),
    ]
}

/// swav, whose values are off by a part of themselves, and whose plans are by one ulp in one place.
struct Off(f64);

impl Solver for Off {
    fn entropic(&self, problem: &Problem<'_>) -> Answered<Answer> {
        let mut x = swav().entropic(problem)?;
        x.value *= 1.0 + self.0;
        x.plan.mapv_inplace(|p| if self.0 == 0.0 { p.next_up() } else { p });
        Ok(x)
    }
}

pub(super) fn of_ways() -> Vec<Mutant> {
    vec![
        (
            "a variant that is off",
            wrong! {
                fn variants(&self) -> Vec<(&'static str, Box<dyn Solver>)> {
                    vec![("off", Box::new(Off(1e-6)))]
                }
            },
            &[33],
        ),
        (
            "a batch that is off by ulps",
            wrong! {
                fn batch(&self, problems: &[Problem<'_>]) -> Answered<Vec<Answer>> {
                    problems.iter().map(|problem| Off(0.0).entropic(problem)).collect()
                }
            },
            &[34],
        ),
        (
            "threads that add in another order",
            wrong! {
                fn threads(&self, count: usize) -> Answered<Box<dyn Solver>> {
                    Ok(Box::new(Off(if count == 1 { 1e-300 } else { 0.0 })))
                }
            },
            &[34],
        ),
        (
            "an f32 of three digits",
            wrong! {
                fn single(&self) -> Answered<Box<dyn Solver>> {
                    Ok(Box::new(Off(1e-3)))
                }
            },
            &[38],
        ),
        (
            "samples first",
            wrong! {
                fn codes(&self, scores: &Array2<f64>, epsilon: f64, rounds: u32) -> Answered<Array2<f64>> {
                    let q = swav().codes(&scores.t().to_owned(), epsilon, rounds)?;
                    Ok(q.t().to_owned() * (scores.nrows() as f64 / scores.ncols() as f64))
                }
            },
            &[39],
        ),
        (
            "exponents that overflow",
            wrong! {
                fn codes(&self, scores: &Array2<f64>, epsilon: f64, rounds: u32) -> Answered<Array2<f64>> {
                    let q = swav().codes(scores, epsilon, rounds)?;
                    Ok(&q * &scores.mapv(|s| (s / epsilon).exp() / (s / epsilon).exp()))
                }
            },
            &[39],
        ),
    ]
}

//! Wrong answers to entropic problems, and answers to other problems.

use ndarray::{Array1, Array2};
use swav_conformance::solver::{Marginal, Reference, Status};
use swav_conformance::{Answer, Answered, Problem, Solver};

use super::{Mutant, swav, wrong};

pub(super) fn of_answers() -> Vec<Mutant> {
    vec![
        (
            "an entry moved",
            wrong!(answers mut x, p => {
                let by = 1e-9 * p.a.sum();
                x.plan[[0, 0]] += by;
                Ok(x)
            }),
            &[1, 4],
        ),
        (
            "four entries moved, the marginals kept",
            wrong!(answers mut x, _ => {
                let by = 1e-9 * x.plan.sum();
                if x.plan.nrows() > 1 && x.plan.ncols() > 1 {
                    for (at, sign) in [([0, 0], 1.0), ([0, 1], -1.0), ([1, 1], 1.0), ([1, 0], -1.0)] {
                        x.plan[at] += sign * by;
                    }
                }
                Ok(x)
            }),
            &[2, 4],
        ),
        (
            "mass made of nothing",
            wrong!(answers x, _ => {
                Ok(Answer { plan: x.plan * (1.0 + 1e-9), ..x })
            }),
            &[1, 3],
        ),
        (
            "a value without the terms of mass",
            wrong!(answers x, p => {
                let reference = match p.reference {
                    Reference::Product => p.a.sum() * p.b.sum(),
                    Reference::Counting => p.cost.len() as f64,
                };
                let value = x.value + p.epsilon * (x.plan.sum() - reference);
                Ok(Answer { value, ..x })
            }),
            &[9, 12, 15, 29],
        ),
        (
            "another gauge",
            wrong!(answers x, _ => {
                Ok(Answer { f: x.f + 1e-6, g: x.g - 1e-6, ..x })
            }),
            &[5, 10, 14],
        ),
        ("f and g exchanged", wrong!(answers x, _ => Ok(Answer { f: x.g, g: x.f, ..x })), &[4, 7]),
        (
            "potentials cut at 0",
            wrong!(answers x, _ => {
                Ok(Answer { f: x.f.mapv(|f| f.max(0.0)), ..x })
            }),
            &[4, 6, 7],
        ),
        (
            "a value that knows the first row",
            wrong!(answers x, _ => {
                let value = x.value + 1e-9 * x.f[0];
                Ok(Answer { value, ..x })
            }),
            &[10, 11],
        ),
        (
            "Diracs without potentials",
            wrong!(answers mut x, _ => {
                if x.plan.len() == 1 {
                    (x.f, x.g) = (Array1::zeros(1), Array1::zeros(1));
                }
                Ok(x)
            }),
            &[23],
        ),
        (
            "no mass at all",
            wrong!(answers x, _ => {
                Ok(Answer { plan: Array2::zeros(x.plan.dim()), ..x })
            }),
            &[3, 30],
        ),
        (
            "three iterations, called convergence",
            wrong!(answers _, p => {
                let x = swav().rounds(p, 3)?;
                Ok(Answer { status: Status::Converged, ..x })
            }),
            &[1],
        ),
        (
            "three iterations, called exact",
            wrong!(answers _, p => {
                let x = swav().rounds(p, 3)?;
                Ok(Answer { status: Status::Converged, error: 0.0, ..x })
            }),
            &[1, 15, 35],
        ),
        ("three iterations, and that is all", wrong!(answers _, p => swav().rounds(p, 3)), &[1]),
        (
            "numbers that are none",
            wrong!(answers x, p => {
                let value = if p.epsilon < 1e-3 { f64::NAN } else { x.value };
                Ok(Answer { value, ..x })
            }),
            &[35],
        ),
        (
            "a panic",
            wrong!(answers x, p => {
                assert!(p.epsilon > 1e-5, "too small");
                Ok(x)
            }),
            &[35],
        ),
        (
            "masses must be equal to the bit, or it goes on",
            wrong!(answers x, p => {
                let apart = p.a.sum() != p.b.sum();
                Ok(Answer { iterations: if apart { p.max_iterations } else { x.iterations }, ..x })
            }),
            &[40],
        ),
    ]
}

pub(super) fn of_problems() -> Vec<Mutant> {
    vec![
        (
            "weights of 0 made small",
            wrong!(answers _, p => {
                let [a, b] = [p.a, p.b].map(|w| {
                    let floored = w.mapv(|w| w.max(1e-10));
                    let scale = w.sum() / floored.sum();
                    floored * scale
                });
                swav().entropic(&Problem { a: &a, b: &b, ..*p })
            }),
            &[2, 13],
        ),
        (
            "forbidden pairs made dear",
            wrong!(answers _, p => {
                let most = p.cost.iter().filter(|c| c.is_finite()).fold(0.0_f64, |m, c| m.max(c.abs()));
                let cost = p.cost.mapv(|c| if c.is_finite() { c } else { most + 20.0 * p.epsilon });
                swav().entropic(&Problem { cost: &cost, ..*p })
            }),
            &[2],
        ),
        (
            "eps from below",
            wrong!(problems p => {
                Problem { epsilon: p.epsilon.max(1e-2), ..*p }
            }),
            &[4, 8],
        ),
        (
            "eps from above",
            wrong!(problems p => {
                Problem { epsilon: p.epsilon.min(3.0), ..*p }
            }),
            &[8, 19],
        ),
        (
            "twenty times the eps",
            wrong!(problems p => Problem { epsilon: 20.0 * p.epsilon, ..*p }),
            &[15, 20, 22],
        ),
        (
            "the other reference",
            wrong!(problems p => {
                let reference = match p.reference {
                    Reference::Product => Reference::Counting,
                    Reference::Counting => Reference::Product,
                };
                Problem { reference, ..*p }
            }),
            &[9, 12, 15, 29],
        ),
        (
            "twice the price",
            wrong!(problems p => {
                let twice = |marginal| match marginal {
                    Marginal::Kl(rho) => Marginal::Kl(2.0 * rho),
                    Marginal::Hard => Marginal::Hard,
                };
                Problem { marginals: p.marginals.map(twice), ..*p }
            }),
            &[29],
        ),
        (
            "a cost from its least entry",
            wrong!(answers _, p => {
                let least = p.cost.iter().fold(f64::INFINITY, |least, c| least.min(*c));
                swav().entropic(&Problem { cost: &(p.cost - least), ..*p })
            }),
            &[6, 7],
        ),
    ]
}

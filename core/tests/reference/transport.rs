//! Balanced entropic transport.

use ndarray::{Array1, Array2};
use swav_core::transport::{Dense, Problem, Sinkhorn, Status};

use crate::transport_figures::{CASES, Case};
use crate::{draws, points};

pub(crate) fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w = Array1::from_vec(draws(seed, n)) + 0.1;
    &w / w.sum()
}

fn squared_distances(x: &Array2<f64>, y: &Array2<f64>) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows(), y.nrows()), |(i, j)| {
        x.row(i).iter().zip(y.row(j)).map(|(x, y)| (x - y) * (x - y)).sum()
    })
}

fn problem(case: &Case) -> (Array2<f64>, Array1<f64>, Array1<f64>) {
    let (mut a, mut b) = (weights(3, 5), weights(4, 4));
    match case.name {
        "bal_5x4_zero_weights" => {
            (a[1], b[2]) = (0.0, 0.0);
            (a, b) = (&a / a.sum(), &b / b.sum());
        }
        "bal_5x4_mass2.5" => (a, b) = (a * 2.5, b * 2.5),
        _ => {}
    }
    (squared_distances(&points(1, 5, 2), &points(2, 4, 2)), a, b)
}

#[test]
fn plans_potentials_and_values() {
    for case in CASES {
        let (cost, a, b) = problem(case);
        // As far as f64 goes.
        let t = Sinkhorn { tolerance: 0.0, max_iterations: 1_000_000, ..Sinkhorn::plain() };
        let geometry = Dense::new(&cost);
        let problem = Problem::new(&geometry, &a, &b, case.epsilon).unwrap();
        let solution = t.solve(&problem).unwrap();
        let tolerance = 10.0 * case.apart.max(1e-13);
        let close = |what: &str, found: f64, expected: f64| {
            let off = (found - expected).abs();
            assert!(off <= tolerance, "{}: {what} {found}, expected {expected}", case.name);
        };
        assert_ne!(solution.status, Status::MaxIter);
        close("value", solution.value(), case.value);
        close("linear", solution.linear(), case.linear);
        for (p, e) in solution.plan().iter().zip(case.plan.as_flattened()) {
            close("plan", *p, *e);
        }
        if let Some((f, g)) = case.potentials {
            solution.f.iter().zip(f).for_each(|(x, e)| close("f", *x, e));
            solution.g.iter().zip(g).for_each(|(x, e)| close("g", *x, e));
        }
    }
}

#[test]
fn a_larger_problem_of_64_by_48() {
    let cost = squared_distances(&points(11, 64, 3), &points(12, 48, 3));
    let geometry = Dense::new(&cost);
    let problem = Problem::new(&geometry, &weights(13, 64), &weights(14, 48), 0.05).unwrap();
    let t = Sinkhorn { tolerance: 0.0, max_iterations: 100_000, ..Sinkhorn::default() };
    let solution = t.solve(&problem).unwrap();
    assert!((solution.value() - 0.176_550_516_462_951).abs() < 1e-12);
    assert!((solution.linear() - 0.087_539_565_467_690_8).abs() < 1e-12);
}

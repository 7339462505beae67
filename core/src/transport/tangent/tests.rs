use super::super::drawn::*;
use super::super::*;
use crate::laws::{central, uniform};
use alloc::vec::Vec;
use ndarray::{Array1, Array2};

/// All of a plan and its potentials, one number after another.
fn answer(drawn: &Drawn) -> Vec<f64> {
    drawn.solved(|s| s.plan().iter().chain(&s.f).chain(&s.g).copied().collect())
}

#[test]
fn tangents_are_differences_of_plans_and_potentials() {
    for drawn in every_kind() {
        let epsilon = drawn.epsilon;
        let d_cost = uniform(4, (7, 5)) * epsilon;
        let geometry = Dense::new(&d_cost);
        let weights = drawn.weights_direction();
        let none = Direction::default();
        let directions = [
            Direction { cost: Some(&geometry), ..none },
            Direction { a: Some(&weights[0]), b: Some(&weights[1]), ..none },
            Direction { epsilon, ..none },
        ];
        for (which, direction) in directions.into_iter().enumerate() {
            let found: Vec<f64> = drawn.solved(|s| {
                let tangent = s.tangent(direction).unwrap();
                tangent.plan().iter().chain(&tangent.d_f).chain(&tangent.d_g).copied().collect()
            });
            let moved = |t: f64| match which {
                0 => answer(&drawn.with_cost(&d_cost, t)),
                1 => answer(&drawn.with_weights(&weights, t)),
                _ => answer(&drawn.with_epsilon(epsilon * t)),
            };
            let points = [step(epsilon), -step(epsilon), 2.0 * step(epsilon), -2.0 * step(epsilon)]
                .map(moved);
            for (k, found) in found.iter().enumerate() {
                let [up, down, up2, down2] = &points;
                let slope =
                    (8.0 * (up[k] - down[k]) - (up2[k] - down2[k])) / (12.0 * step(epsilon));
                // As for gradients of functions of the plan.
                let tolerance = if epsilon < 0.05 { 1e-8 } else { 1e-9 };
                let name = drawn.name();
                assert!((found - slope).abs() <= tolerance, "{name} {which} {k}: {found} {slope}");
            }
        }
    }
}

#[test]
fn forward_and_backward_are_transposes() {
    for drawn in every_kind() {
        drawn.solved(|s| {
            let (d_cost, d_plan) = (uniform(4, (7, 5)), uniform(9, (7, 5)));
            let (d_cost, d_plan) = (Dense::new(&d_cost), Dense::new(&d_plan));
            let [a, b] = drawn.weights_direction();
            let direction =
                Direction { cost: Some(&d_cost), a: Some(&a), b: Some(&b), epsilon: 0.3 };
            let tangent = s.tangent(direction).unwrap();
            let back = s.plan_backward(&d_plan).unwrap();
            let w = &back.weights;
            let right = (&back.cost() * &uniform(4, (7, 5))).sum()
                + (&w.d_a * &a).sum()
                + (&w.d_b * &b).sum()
                + w.d_mass * a.sum()
                + 0.3 * back.d_epsilon;
            let left = (&tangent.plan() * &uniform(9, (7, 5))).sum();
            // Both are of the size of 1/ε, with residuals of 1e-13 that the system magnifies.
            let tolerance = if drawn.epsilon < 0.05 { 1e-10 } else { 1e-12 } / drawn.epsilon;
            assert!((left - right).abs() <= tolerance, "{}: {left} {right}", drawn.name());
        });
    }
}

/// Something of a solution and its points, for each of the two clouds.
type Pair<'a> = dyn Fn(&Solution<'_, f64>, [&Array2<f64>; 2]) -> [Array2<f64>; 2] + 'a;

#[test]
fn hessians_of_points_are_differences_of_gradients() {
    for rho in [[HARD; 2], [1.0, 0.4], [HARD, 0.7]] {
        let drawn = Drawn::new(0.1, rho, Reference::Product);
        let (x, y) = (uniform(1, (7, 2)), uniform(2, (5, 2)));
        let (u, v) = (uniform(3, (7, 2)) * 0.1, uniform(4, (5, 2)) * 0.1);
        let metric = Metric::SquaredEuclidean;
        let with = |t: f64, then: &Pair| {
            let (x, y) = (&x + &(&u * t), &y + &(&v * t));
            let geometry = Points::new(&x, &y, metric).unwrap();
            let marginals =
                rho.map(|rho| if rho == HARD { Marginal::Hard } else { Marginal::Kl(rho) });
            let problem =
                Problem::with_marginals(&geometry, &drawn.a, &drawn.b, 0.1, marginals).unwrap();
            let options =
                Sinkhorn { tolerance: 1e-15, max_iterations: 100_000, ..Sinkhorn::default() };
            then(&options.solve(&problem).unwrap(), [&x, &y])
        };
        let found = with(0.0, &|s, [x, y]| s.points_hessian([x, y], [&u, &v]).unwrap());
        let gradient = |t: f64| with(t, &|s, [x, y]| s.points_gradient(x, y, metric).unwrap());
        for side in 0..2 {
            for (at, found) in found[side].indexed_iter() {
                let slope = central(|t| gradient(t)[side][at], step(0.1));
                assert!((found - slope).abs() <= 1e-9, "{rho:?} {at:?}: {found} {slope}");
            }
        }
    }
}

#[test]
fn what_is_refused() {
    let drawn = Drawn::new(0.1, [HARD; 2], Reference::Product);
    drawn.solved(|s| {
        let none = Direction::default();
        assert!(s.tangent(none).unwrap().plan().iter().all(|&p| p == 0.0));
        let short = Array1::from_elem(1, 1.0);
        assert!(s.tangent(Direction { a: Some(&short), ..none }).is_err());
        let mut a = Array1::zeros(7);
        a[0] = 1.0;
        let error = s.tangent(Direction { a: Some(&a), ..none }).unwrap_err();
        assert!(matches!(error, crate::Error::MassMismatch { .. }));
        (a[0], a[2]) = (-1.0, 1.0);
        let error = s.tangent(Direction { a: Some(&a), ..none }).unwrap_err();
        assert!(matches!(error, crate::Error::Parameter { name: "d_a", .. }));
        assert!(s.tangent(Direction { epsilon: f64::NAN, ..none }).is_err());
        let nan = Array2::from_elem((7, 5), f64::NAN);
        let nan = Dense::new(&nan);
        assert!(s.tangent(Direction { cost: Some(&nan), ..none }).is_err());
    });
}

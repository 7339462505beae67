use super::super::drawn::*;
use super::super::*;
use crate::laws::{central, uniform};
use ndarray::{Array1, Array2, Axis};

/// L = Σ W∘P + ½ Σ V∘P², and dL/dP.
fn function(plan: &Array2<f64>) -> (f64, Array2<f64>) {
    let (w, v) = (uniform(11, plan.dim()), uniform(12, plan.dim()));
    let value = (&w * plan).sum() + 0.5 * (&v * &(plan * plan)).sum();
    (value, w + v * plan)
}

fn of_plan(drawn: &Drawn) -> f64 {
    drawn.solved(|s| function(&s.plan()).0)
}

/// Differences err as [`step`] says. The error of the plans they are made of is 1e-15 times what the system magnifies by,
/// which grows as ε falls.
#[track_caller]
fn close(found: f64, slope: f64, epsilon: f64, name: &str) {
    let tolerance = if epsilon < 0.05 { 1e-8 } else { 1e-9 };
    assert!((found - slope).abs() <= tolerance, "{name}: {found}, difference {slope}");
}

#[test]
fn gradients_are_slopes_of_functions_of_the_plan() {
    for drawn in every_kind() {
        let (name, epsilon) = (drawn.name(), drawn.epsilon);
        let (cost, weights, d_epsilon) = drawn.solved(|s| {
            let d_plan = function(&s.plan()).1;
            let d_plan = Dense::new(&d_plan);
            let back = s.plan_backward(&d_plan).unwrap();
            assert!(back.residual <= 1e-13, "{name} {}", back.residual);
            (back.cost(), back.weights.clone(), back.d_epsilon)
        });
        let along = uniform(4, (7, 5)) * epsilon;
        let slope = central(|t| of_plan(&drawn.with_cost(&along, t)), step(epsilon));
        close((&cost * &along).sum(), slope, epsilon, &name);
        let slope = central(|t| of_plan(&drawn.with_epsilon(t * epsilon)), step(epsilon));
        close(d_epsilon * epsilon, slope, epsilon, &name);
        let moved = drawn.weights_direction();
        let found = (&weights.d_a * &moved[0]).sum()
            + (&weights.d_b * &moved[1]).sum()
            + weights.d_mass * moved[0].sum();
        let slope = central(|t| of_plan(&drawn.with_weights(&moved, t)), step(epsilon));
        close(found, slope, epsilon, &name);
        // A constant on a row or a column of a hard side changes no plan.
        for (axis, rho) in [(1, drawn.rho[0]), (0, drawn.rho[1])] {
            let sums = cost.sum_axis(Axis(axis));
            let most = sums.iter().fold(0.0_f64, |most, s| most.max(s.abs()));
            let scale = cost.iter().fold(0.0_f64, |most, c| most.max(c.abs()));
            if rho == HARD {
                // Sums of seven terms P_ij dL/dP_ij / ε, which nearly cancel at small ε.
                assert!(most <= 1e-14 / epsilon, "{name}: {most} of {scale}");
            } else {
                assert!(most > 1e-3 * scale, "{name}: {most} of {scale}");
            }
        }
    }
}

#[test]
fn gradients_are_slopes_of_functions_of_the_potentials() {
    for drawn in every_kind() {
        let (name, epsilon) = (drawn.name(), drawn.epsilon);
        // Not a function of f + g: where both are hard, the gauge takes part. Nothing where there is no weight.
        let mut by = [uniform(21, (1, 7)).row(0).to_owned(), uniform(22, (1, 5)).row(0).to_owned()];
        (by[0][2], by[1][1]) = (0.0, 0.0);
        let value = |drawn: &Drawn| drawn.solved(|s| (&s.f * &by[0]).sum() + (&s.g * &by[1]).sum());
        let (cost, weights, d_epsilon) = drawn.solved(|s| {
            let back = s.potentials_backward(&by[0], &by[1]).unwrap();
            (back.cost(), back.weights.clone(), back.d_epsilon)
        });
        let along = uniform(4, (7, 5)) * epsilon;
        let slope = central(|t| value(&drawn.with_cost(&along, t)), step(epsilon));
        close((&cost * &along).sum(), slope, epsilon, &name);
        let slope = central(|t| value(&drawn.with_epsilon(t * epsilon)), step(epsilon));
        close(d_epsilon * epsilon, slope, epsilon, &name);
        let moved = drawn.weights_direction();
        let found = (&weights.d_a * &moved[0]).sum()
            + (&weights.d_b * &moved[1]).sum()
            + weights.d_mass * moved[0].sum();
        let slope = central(|t| value(&drawn.with_weights(&moved, t)), step(epsilon));
        close(found, slope, epsilon, &name);
    }
}

#[test]
fn weights_of_nothing_have_the_slope_of_the_first_atom() {
    for drawn in every_kind() {
        let infinite = drawn.reference == Reference::Counting && drawn.rho != [HARD; 2];
        if infinite || drawn.epsilon < 0.05 {
            continue;
        }
        let gradient = drawn.solved(|s| {
            let d_plan = function(&s.plan()).1;
            let d_plan = Dense::new(&d_plan);
            s.plan_backward(&d_plan).unwrap().weights.clone()
        });
        for (side, at) in [(0, 2), (1, 1)] {
            let mut moved = [Array1::<f64>::zeros(7), Array1::<f64>::zeros(5)];
            (moved[side][at], moved[side][0]) = (1.0, -1.0);
            let found = (&gradient.d_a * &moved[0]).sum() + (&gradient.d_b * &moved[1]).sum();
            let slope = forward(|t| of_plan(&drawn.with_weights(&moved, t)), 2e-4);
            // A fifth derivative with factors 1/weight⁴, and rounding over a smaller step.
            assert!((found - slope).abs() <= 1e-7, "{}: {found} {slope}", drawn.name());
        }
    }
}

#[test]
fn small_epsilon_needs_no_ridge() {
    for epsilon in [5e-3, 2e-3] {
        let drawn = Drawn::new(epsilon, [HARD; 2], Reference::Product);
        let (cost, residual) = drawn.solved(|s| {
            let d_plan = function(&s.plan()).1;
            let d_plan = Dense::new(&d_plan);
            let back = s.plan_backward(&d_plan).unwrap();
            (back.cost(), back.residual)
        });
        assert!(residual <= 1e-12, "{epsilon}: {residual}");
        let along = uniform(4, (7, 5)) * epsilon;
        let slope = central(|t| of_plan(&drawn.with_cost(&along, t)), step(epsilon));
        // What the system magnifies, over a step of 5e-5, is most of it.
        assert!(((&cost * &along).sum() - slope).abs() <= 1e-6, "{epsilon} {slope}");
    }
}

#[test]
fn points_stored_and_computed_costs_and_f32_agree() {
    let drawn = Drawn::new(0.1, [HARD; 2], Reference::Product);
    let (x, y) = (uniform(1, (7, 3)), uniform(2, (5, 3)));
    let metric = Metric::SquaredEuclidean;
    let sinkhorn = Sinkhorn { tolerance: 1e-15, max_iterations: 100_000, ..Sinkhorn::default() };
    let d_plan = uniform(11, (7, 5));
    let computed = Function::new((7, 5), |i, j| d_plan[[i, j]]);
    let geometry = Points::new(&x, &y, metric).unwrap();
    let problem = Problem::new(&geometry, &drawn.a, &drawn.b, 0.1).unwrap();
    let s = sinkhorn.solve(&problem).unwrap();
    let back = s.plan_backward(&computed).unwrap();
    let [dx, dy] = back.points(&x, &y, metric).unwrap();
    // The chain rule by hand: Σ_j dC_ij 2 (x_i − y_j).
    let cost = back.cost();
    for (i, row) in cost.rows().into_iter().enumerate() {
        for k in 0..3 {
            let by_hand: f64 =
                row.iter().enumerate().map(|(j, d)| 2.0 * d * (x[[i, k]] - y[[j, k]])).sum();
            assert!((dx[[i, k]] - by_hand).abs() <= 1e-14);
        }
    }
    assert!((dx.sum_axis(Axis(0)) + dy.sum_axis(Axis(0))).iter().all(|s| s.abs() < 1e-13));
    let stored = Array2::from_shape_fn((7, 5), |(i, j)| {
        (0..3).map(|k| (x[[i, k]] - y[[j, k]]).powi(2)).sum::<f64>()
    });
    let geometry = Dense::new(&stored);
    let problem = Problem::new(&geometry, &drawn.a, &drawn.b, 0.1).unwrap();
    let s = sinkhorn.solve(&problem).unwrap();
    let dense = Dense::new(&d_plan);
    let other = s.plan_backward(&dense).unwrap().cost();
    assert!(cost.iter().zip(&other).all(|(x, y)| (x - y).abs() <= 1e-11));
    let (narrow, d_plan) = (stored.mapv(|c| c as f32), d_plan.mapv(|d| d as f32));
    let (a, b) = (drawn.a.mapv(|a| a as f32), drawn.b.mapv(|b| b as f32));
    let (geometry, d_plan) = (Dense::new(&narrow), Dense::new(&d_plan));
    let problem = Problem::new(&geometry, &a, &b, 0.1).unwrap();
    let s = Sinkhorn::default().solve(&problem).unwrap();
    let back = s.plan_backward(&d_plan).unwrap();
    // Exponents of up to 30 in f32 are off by 2e-6, which the system magnifies.
    let narrow = back.cost();
    let error = cost.iter().zip(&narrow).map(|(x, y)| (x - f64::from(*y)).abs());
    assert!(error.fold(0.0, f64::max) <= 1e-4 && back.residual <= 1e-5);
}

#[test]
fn forbidden_pairs_may_have_infinite_slopes() {
    let mut drawn = Drawn::new(0.1, [HARD; 2], Reference::Product);
    drawn.cost[[0, 0]] = f64::INFINITY;
    // L = Σ P ln P
    let entropy = |s: &Solution<'_, f64>| -s.entropy() + s.plan().sum();
    let cost = drawn.solved(|s| {
        let d_plan = s.plan().mapv(|p| p.ln() + 1.0);
        let d_plan = Dense::new(&d_plan);
        s.plan_backward(&d_plan).unwrap().cost()
    });
    assert!(cost.iter().all(|c| c.is_finite()) && cost[[0, 0]] == 0.0);
    let along = uniform(4, (7, 5)) * 0.1;
    let slope = central(|t| drawn.with_cost(&along, t).solved(entropy), step(0.1));
    close((&cost * &along).sum(), slope, 0.1, "entropy");
}

#[test]
fn what_is_refused() {
    let drawn = Drawn::new(0.1, [HARD; 2], Reference::Product);
    drawn.solved(|s| {
        let turned = Array2::zeros((5, 7));
        let turned = Dense::new(&turned);
        assert!(s.plan_backward(&turned).is_err());
        let nan = Array2::from_elem((7, 5), f64::NAN);
        let nan = Dense::new(&nan);
        let error = s.plan_backward(&nan).unwrap_err();
        assert!(matches!(error, crate::Error::NonFinite { what: "d_plan", row: Some(0) }));
        assert!(s.potentials_backward(&Array1::zeros(1), &Array1::zeros(5)).is_err());
        assert!(s.potentials_backward(&Array1::from_elem(7, f64::NAN), &Array1::zeros(5)).is_err());
    });
}

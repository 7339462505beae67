use super::super::drawn::*;
use super::super::*;
use crate::laws::{central, draws, uniform};
use ndarray::{Array1, Array2, Axis, arr1, arr2};

/// Five-point differences in a parameter without unit: h⁴/30 times a fifth derivative of the order of ε, 1e-12 ε, and
/// 4 rounded values over h, 1e-12 of the value (at most 3).
#[track_caller]
fn close(found: f64, slope: f64, name: &str) {
    let tolerance = 1e-9 * slope.abs().max(1e-2);
    assert!((found - slope).abs() <= tolerance, "{name}: {found}, difference {slope}");
}

#[test]
fn gradients_are_slopes_of_the_value() {
    for drawn in every_kind() {
        let (name, epsilon) = (drawn.name(), drawn.epsilon);
        let (d_cost, d_epsilon, weights) =
            drawn.solved(|s| (s.cost_gradient(), s.epsilon_gradient(), s.weights_gradient()));
        let along = uniform(4, (7, 5)) * drawn.epsilon;
        let slope = central(|t| drawn.with_cost(&along, t).value(), step(epsilon));
        close((&d_cost * &along).sum(), slope, &name);
        let slope = central(|t| drawn.with_epsilon(t * drawn.epsilon).value(), step(epsilon));
        close(d_epsilon * drawn.epsilon, slope, &name);
        let moved = drawn.weights_direction();
        let mut found = (&weights.d_a * &moved[0]).sum() + (&weights.d_b * &moved[1]).sum();
        if drawn.rho == [HARD; 2] {
            found += weights.d_mass * moved[0].sum();
            assert!(weights.d_a.sum().abs() < 1e-14 && weights.d_b.sum().abs() < 1e-14);
        } else {
            assert_eq!(weights.d_mass, 0.0);
        }
        close(found, central(|t| drawn.with_weights(&moved, t).value(), step(epsilon)), &name);
    }
}

#[test]
fn weights_of_nothing_have_the_slope_of_the_first_atom() {
    for mut drawn in every_kind().into_iter().filter(|d| d.reference == Reference::Product) {
        let name = drawn.name();
        let soft = drawn.rho[0] != HARD && drawn.rho[1] != HARD;
        if soft {
            // One that may go nowhere.
            drawn.a[4] = 0.0;
            drawn.cost.row_mut(4).fill(f64::INFINITY);
        }
        // Atoms of this weight bridge what small ε keeps apart.
        let h = if drawn.epsilon < 0.05 { 1e-5 } else { 2e-4 };
        let gradient = drawn.solved(|s| s.weights_gradient());
        for (row, column) in [(2, None), (4, None), (0, Some(1))] {
            if drawn.a[row] != 0.0 && column.is_none() {
                continue;
            }
            let mut moved = [Array1::<f64>::zeros(7), Array1::<f64>::zeros(5)];
            // Atoms appear, and others that are there pay for them.
            let (side, at) = column.map_or((0, row), |column| (1, column));
            (moved[side][at], moved[side][0]) = (1.0, -1.0);
            let found = (&gradient.d_a * &moved[0]).sum() + (&gradient.d_b * &moved[1]).sum();
            let slope = forward(|t| drawn.with_weights(&moved, t).value(), h);
            // The fifth derivative has factors 1/weight⁴ here.
            assert!((found - slope).abs() <= 1e-7, "{name} {row} {column:?}: {found} {slope}");
        }
    }
}

#[test]
fn points_follow_by_the_chain_rule() {
    let metrics = [Metric::SquaredEuclidean, Metric::Euclidean, Metric::Cosine, Metric::Dot];
    let weights = |seed, n| {
        let w = Array1::from_vec(draws(seed, n)) + 0.1;
        &w * (1.7 / w.sum())
    };
    let (x, y, a, mut b) = (uniform(1, (9, 3)), uniform(2, (6, 3)), weights(3, 9), weights(4, 6));
    b[2] += b[3];
    b[3] = 0.0;
    let options = Sinkhorn { tolerance: 1e-14, max_iterations: 100_000, ..Sinkhorn::default() };
    for metric in metrics {
        for marginals in [[Marginal::Hard; 2], [Marginal::Kl(0.5), Marginal::Kl(1.5)]] {
            let epsilon = 0.05;
            let solved = |x: &Array2<f64>, y: &Array2<f64>| {
                let geometry = Points::new(x, y, metric).unwrap();
                let problem =
                    Problem::with_marginals(&geometry, &a, &b, epsilon, marginals).unwrap();
                let s = options.solve(&problem).unwrap();
                (s.dual(), s.points_gradient(x, y, metric).unwrap())
            };
            let [dx, dy] = solved(&x, &y).1;
            assert!(dy.row(3).iter().all(|&d| d == 0.0));
            let (ux, uy) = (uniform(5, (9, 3)) * epsilon, uniform(6, (6, 3)) * epsilon);
            let slope = central(|t| solved(&(&x + &ux * t), &(&y + &uy * t)).0, step(epsilon));
            close((&dx * &ux).sum() + (&dy * &uy).sum(), slope, &alloc::format!("{metric:?}"));
        }
    }
}

/// More pairs than a band holds: the bands join.
#[test]
fn bands_of_pairs_join() {
    let (n, m) = (1100, 1000);
    let (x, y) = (uniform(1, (n, 2)), uniform(2, (m, 2)));
    let geometry = Points::new(&x, &y, Metric::SquaredEuclidean).unwrap();
    let (a, b) = (Array1::from_vec(draws(3, n)) + 0.1, Array1::from_vec(draws(4, m)) + 0.1);
    let (a, b) = (&a / a.sum(), &b / b.sum());
    let problem = Problem::new(&geometry, &a, &b, 0.1).unwrap();
    let s = Sinkhorn::rounds(3).solve(&problem).unwrap();
    let [dx, dy] = s.points_gradient(&x, &y, Metric::SquaredEuclidean).unwrap();
    let plan = s.plan();
    // 2 (Σ_j P_ij x_i − Σ_j P_ij y_j): sums of 1000 terms of 1e-3.
    let by_hand = |plan: &Array2<f64>, x: &Array2<f64>, y: &Array2<f64>| {
        2.0 * (&plan.sum_axis(Axis(1)).insert_axis(Axis(1)) * x - plan.dot(y))
    };
    let near = |x: &Array2<f64>, y: &Array2<f64>| {
        x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-16 * 1000.0)
    };
    assert!(
        near(&dx, &by_hand(&plan, &x, &y)) && near(&dy, &by_hand(&plan.t().to_owned(), &y, &x))
    );
}

#[test]
fn kinks_have_gradients_of_nothing() {
    let (one, x) = (arr1(&[1.0]), arr2(&[[0.3_f64, 0.4]]));
    for (metric, y) in [(Metric::Euclidean, x.clone()), (Metric::Cosine, arr2(&[[0.0, 0.0]]))] {
        let geometry = Points::new(&x, &y, metric).unwrap();
        let problem = Problem::new(&geometry, &one, &one, 0.1).unwrap();
        let s = Sinkhorn::default().solve(&problem).unwrap();
        let [dx, dy] = s.points_gradient(&x, &y, metric).unwrap();
        assert!(dy.iter().all(|&d| d == 0.0), "{metric:?} {dx} {dy}");
        assert!(dx.iter().all(|&d| d == 0.0), "{metric:?} {dx} {dy}");
    }
}

#[test]
fn forbidden_pairs_and_what_is_refused() {
    let drawn = Drawn::new(0.1, [HARD; 2], Reference::Product);
    let allowed = |i: usize, j: usize| (i, j) != (0, 0) && (i, j) != (3, 2);
    let (x, y) = (uniform(1, (7, 2)), uniform(2, (5, 2)));
    let metric = Metric::SquaredEuclidean;
    let solved = |x: &Array2<f64>| {
        let geometry = Masked::new(Points::new(x, &y, metric).unwrap(), allowed);
        let problem = Problem::new(&geometry, &drawn.a, &drawn.b, 0.1).unwrap();
        let s = Sinkhorn { tolerance: 1e-14, ..Sinkhorn::default() }.solve(&problem).unwrap();
        assert!(s.points_gradient(&y, x, metric).is_err());
        assert!(s.points_gradient(&(x * f64::NAN), &y, metric).is_err());
        (s.dual(), s.points_gradient(x, &y, metric).unwrap())
    };
    let along = uniform(5, (7, 2)) * 0.1;
    let slope = central(|t| solved(&(&x + &along * t)).0, step(0.1));
    close((&solved(&x).1[0] * &along).sum(), slope, "masked");
}

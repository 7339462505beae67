use super::*;
use crate::laws::{central, draws, uniform};
use crate::transport::Reference;
use crate::transport::{Dense, Marginal, Problem, Sinkhorn};

fn points(seed: u64, n: usize, d: usize) -> Array2<f64> {
    Array2::from_shape_vec((n, d), draws(seed, n * d)).unwrap()
}

fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w = Array1::from_vec(draws(seed, n)) + 0.1;
    &w / w.sum()
}

fn exactly() -> Sinkhorn {
    Sinkhorn { tolerance: 1e-14, max_iterations: 100_000, ..Sinkhorn::default() }
}

fn close(found: &Array2<f64>, expected: &Array2<f64>, tolerance: f64) {
    assert_eq!(found.dim(), expected.dim());
    let near = found.iter().zip(expected).all(|(x, y)| (x - y).abs() <= tolerance);
    assert!(near, "{found} {expected}");
}

#[test]
fn potential_map_and_gradient_at_new_points_are_the_reference_case() {
    // Case 71, against an 80-bit reference; tolerance 1e-12: potentials known to 1e-14, over ε = 0.1, and of a problem
    // converged to 1e-14.
    let (x, y, z) = (points(1, 5, 2), points(2, 4, 2), points(81, 3, 2));
    let (a, b) = (weights(3, 5), weights(4, 4));
    let geometry = Points::new(&x, &y, Metric::SquaredEuclidean).unwrap();
    let problem = Problem::new(&geometry, &a, &b, 0.1).unwrap();
    let solution = exactly().solve(&problem).unwrap();
    let costs = Points::new(&z, &y, Metric::SquaredEuclidean).unwrap();
    let f = solution.potential_at(&costs).unwrap();
    let expected = [0.010_410_200_776_198_777, -0.318_372_379_902_745_5, 0.018_432_251_853_363_835];
    // The reference fixes the gauge as we do: ⟨a, f⟩ = ⟨b, g⟩.
    assert!(f.iter().zip(expected).all(|(f, e)| (f - e).abs() <= 1e-12), "{f}");
    let map = solution.map_at(&costs, &y).unwrap();
    let expected = ndarray::arr2(&[
        [0.118_395_671_523_783_27, 0.607_350_277_903_322_5],
        [0.030_243_518_451_241_465, 0.772_758_821_970_295_9],
        [0.575_027_439_921_036_6, 0.832_771_136_491_113_7],
    ]);
    close(&map, &expected, 1e-12);
    let gradient = solution.gradient_at(&z, &y, Metric::SquaredEuclidean).unwrap();
    close(&gradient, &((&z - &map) * 2.0), 1e-14);
    let barycentric = solution.barycentric(&y).unwrap();
    let expected = ndarray::arr2(&[
        [0.087_048_044_583_587_47, 0.694_048_099_753_253_2],
        [0.297_958_821_079_547_63, 0.566_857_136_373_119_2],
        [0.581_942_518_072_624_3, 0.720_242_729_365_094_1],
        [0.282_740_793_033_379_73, 0.452_759_429_433_457_6],
        [0.578_245_272_272_779_8, 0.428_577_571_760_124_1],
    ]);
    close(&barycentric, &expected, 1e-12);
}

#[test]
fn at_the_sample_the_potential_is_the_solutions() {
    let (x, y) = (points(1, 9, 3), points(2, 6, 3));
    let (mut a, mut b) = (weights(3, 9) * 1.7, weights(4, 6) * 1.7);
    a[4] = 0.0;
    b[2] = 0.0;
    let b = &b * (a.sum() / b.sum());
    let geometry = Points::new(&x, &y, Metric::SquaredEuclidean).unwrap();
    let (hard, soft) = (Marginal::Hard, Marginal::Kl(0.5));
    for marginals in [[hard, hard], [soft, Marginal::Kl(2.0)], [hard, soft], [soft, hard]] {
        for reference in [Reference::Product, Reference::Counting] {
            let epsilon = 0.1;
            let problem = Problem::with_marginals(&geometry, &a, &b, epsilon, marginals).unwrap();
            let problem = problem.with_reference(reference);
            let solution = exactly().solve(&problem).unwrap();
            let own = |side: usize, w: f64| match reference {
                Reference::Product => 0.0,
                Reference::Counting => marginals[side].tau(epsilon) * epsilon * w.ln(),
            };
            let f = solution.potential_at(&geometry).unwrap();
            for i in (0..9).filter(|&i| a[i] > 0.0) {
                let error = f[i] + own(0, a[i]) - solution.f[i];
                assert!(error.abs() <= 1e-12, "{marginals:?} {reference:?} f {i}: {error}");
            }
            let g = solution.target_potential_at(&geometry).unwrap();
            for j in (0..6).filter(|&j| b[j] > 0.0) {
                let error = g[j] + own(1, b[j]) - solution.g[j];
                assert!(error.abs() <= 1e-11, "{marginals:?} {reference:?} g {j}: {error}");
            }
            // The map is the mean under the plan's row, whatever the marginals.
            let (plan, map) = (solution.plan(), solution.map_at(&geometry, &y).unwrap());
            for i in (0..9).filter(|&i| a[i] > 0.0) {
                let mean = plan.row(i).dot(&y) / plan.row(i).sum();
                assert!(mean.iter().zip(map.row(i)).all(|(x, y)| (x - y).abs() <= 1e-13));
            }
        }
    }
}

#[test]
fn the_gradient_is_the_derivative_of_the_potential_for_every_metric() {
    let (x, y, z) = (points(1, 7, 3), points(2, 5, 3), points(9, 4, 3));
    let (a, b) = (weights(3, 7), weights(4, 5) * 1.3);
    let direction = uniform(10, (4, 3));
    for metric in [Metric::SquaredEuclidean, Metric::Euclidean, Metric::Cosine, Metric::Dot] {
        for marginals in [[Marginal::Kl(0.3), Marginal::Hard], [Marginal::Hard, Marginal::Kl(1.0)]]
        {
            let geometry = Points::new(&x, &y, metric).unwrap();
            let problem = Problem::with_marginals(&geometry, &a, &b, 0.2, marginals).unwrap();
            let solution = exactly().solve(&problem).unwrap();
            let gradient = solution.gradient_at(&z, &y, metric).unwrap();
            for i in 0..4 {
                let at = |t: f64| {
                    let moved = &z + &(&direction * t);
                    let costs = Points::new(&moved, &y, metric).unwrap();
                    solution.potential_at(&costs).unwrap()[i]
                };
                let slope = central(at, 1e-3);
                let found = gradient.row(i).dot(&direction.row(i));
                // h⁴ = 1e-12 times the fifth derivative, which has 1/ε⁴ = 625; u/h = 1e-13.
                assert!((found - slope).abs() <= 1e-9, "{metric:?}: {found} {slope}");
            }
        }
    }
}

#[test]
fn vectors_go_through_the_plan_without_it() {
    let cost = uniform(1, (70, 300));
    let (mut a, b) = (weights(3, 70) * 2.5, weights(4, 300) * 2.5);
    a[7] = 0.0;
    let b = &b * (a.sum() / b.sum());
    let geometry = Dense::new(&cost);
    let problem = Problem::new(&geometry, &a, &b, 0.02).unwrap();
    let solution = Sinkhorn::default().solve(&problem).unwrap();
    let plan = solution.plan();
    let (u, v) = (Array1::from_vec(draws(5, 70)) - 0.5, Array1::from_vec(draws(6, 300)) - 0.5);
    let (pushed, pulled) = (solution.push(&u).unwrap(), solution.pull(&v).unwrap());
    let near = |x: &Array1<f64>, y: &Array1<f64>| {
        // Sums of at most 300 terms, of 2.5 together.
        x.len() == y.len()
            && x.iter().zip(y).all(|(x, y)| (x - y).abs() <= 300.0 * 2.5 * f64::EPSILON)
    };
    assert!(near(&pushed, &plan.t().dot(&u)) && near(&pulled, &plan.dot(&v)));
    // ⟨Pᵀu, v⟩ = ⟨u, Pv⟩, and ones give the sums.
    assert!((pushed.dot(&v) - u.dot(&pulled)).abs() <= 1e-13);
    assert!(near(&solution.pull(&Array1::ones(300)).unwrap(), &solution.sums().rows));
    assert!(near(&solution.push(&Array1::ones(70)).unwrap(), &solution.sums().columns));
    assert_eq!(solution.pull(&v).unwrap()[7], 0.0);
    assert!(solution.push(&v).is_err() && solution.pull(&u).is_err());
}

#[test]
fn rows_without_weight_go_where_any_weight_would_and_rows_without_a_way_to_zero() {
    let (x, y) = (points(1, 6, 2), points(2, 5, 2));
    let mut a = weights(3, 6);
    a[2] = 0.0;
    let b = weights(4, 5) * a.sum();
    let geometry = Points::new(&x, &y, Metric::SquaredEuclidean).unwrap();
    let problem = Problem::new(&geometry, &a, &b, 0.05).unwrap();
    let solution = exactly().solve(&problem).unwrap();
    let z = x.select(ndarray::Axis(0), &[2]);
    let costs = Points::new(&z, &y, Metric::SquaredEuclidean).unwrap();
    let (all, one) = (solution.barycentric(&y).unwrap(), solution.map_at(&costs, &y).unwrap());
    assert!(all.row(2).iter().zip(one.row(0)).all(|(x, y)| (x - y).abs() <= 1e-13));
    assert!(all.iter().all(|x| (0.0..1.0).contains(x)));
    // No way to any target; and one that leaves only the second.
    let inf = f64::INFINITY;
    let costs = ndarray::arr2(&[[inf; 5], [inf, 1e30, inf, inf, inf]]);
    let costs = Dense::new(&costs);
    let (f, map) = (solution.potential_at(&costs).unwrap(), solution.map_at(&costs, &y).unwrap());
    assert_eq!(f[0], 0.0);
    assert_eq!(map.row(0), ndarray::arr1(&[0.0, 0.0]));
    assert_eq!(map.row(1), y.row(1));
    assert!((f[1] - 1e30).abs() <= 1e30 * f64::EPSILON);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (x, y) = (points(1, 6, 2), points(2, 5, 2));
    let (a, b) = (weights(3, 6), weights(4, 5));
    let geometry = Points::new(&x, &y, Metric::SquaredEuclidean).unwrap();
    let problem = Problem::new(&geometry, &a, &b, 0.05).unwrap();
    let solution = Sinkhorn::default().solve(&problem).unwrap();
    let turned = Points::new(&y, &x, Metric::SquaredEuclidean).unwrap();
    assert!(solution.potential_at(&turned).is_err() && solution.map_at(&turned, &y).is_err());
    assert!(solution.target_potential_at(&turned).is_err() && solution.barycentric(&x).is_err());
    assert!(solution.gradient_at(&x, &x, Metric::Dot).is_err());
    let bad = ndarray::arr2(&[[1.0, 2.0, f64::NAN, 0.0, 0.0]]);
    let found = solution.potential_at(&Dense::new(&bad)).unwrap_err();
    assert!(matches!(found, Error::Entry { what: "cost", row: 0, column: Some(2), .. }));
}

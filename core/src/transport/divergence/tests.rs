use super::super::*;
use crate::laws::{central, draws, uniform};
use ndarray::{Array1, Array2};
use proptest::prelude::*;

fn points(seed: u64, n: usize) -> Array2<f64> {
    Array2::from_shape_vec((n, 2), draws(seed, 2 * n)).unwrap()
}

fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w = Array1::from_vec(draws(seed, n)) + 0.1;
    &w / w.sum()
}

/// As far as f64 goes.
fn exactly(epsilon: f64) -> SinkhornDivergence {
    let sinkhorn = Sinkhorn { tolerance: 1e-14, max_iterations: 100_000, ..Sinkhorn::default() };
    SinkhornDivergence { sinkhorn, ..SinkhornDivergence::new(epsilon) }
}

fn unbalanced(epsilon: f64, rho: f64) -> SinkhornDivergence {
    SinkhornDivergence { marginal: Marginal::Kl(rho), ..exactly(epsilon) }
}

fn kind(which: usize) -> Metric {
    [Metric::SquaredEuclidean, Metric::Euclidean, Metric::Cosine, Metric::Dot][which]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_divergence(
        n in 1_usize..15, m in 1_usize..15, seed in any::<u64>(), e in -1.5_f64..1.0, which in 0_usize..4,
        hard in any::<bool>(), k in 0.3_f64..3.0,
    ) {
        let (x, y, epsilon) = (points(seed, n), points(seed ^ 1, m), 10.0_f64.powf(e));
        let (mut a, b) = (weights(seed ^ 2, n), weights(seed ^ 3, m) * if hard { 1.0 } else { k });
        if n > 1 {
            a[0] = 0.0;
            a /= a.sum();
        }
        let s = if hard { exactly(epsilon) } else { unbalanced(epsilon, 0.5) };
        let metric = kind(which);
        let (there, [d_x, d_y]) = s.with_gradients((&x, &a), (&y, &b), metric).unwrap();
        let (back, [d_y2, d_x2]) = s.with_gradients((&y, &b), (&x, &a), metric).unwrap();
        // Rounding of W, whose size is that of cost and ε; what is left of the marginals' errors is smaller.
        let scale = (1.0 + epsilon) * (1.0 + k * k);
        prop_assert!(there.value >= -1e-13 * scale, "{}", there.value);
        prop_assert!((there.value - back.value).abs() <= 1e-12 * scale);
        for (x, y) in d_x.iter().zip(&d_x2).chain(d_y.iter().zip(&d_y2)) {
            prop_assert!((x - y).abs() <= 1e-9 * scale, "{x} {y}");
        }
        // The same measure: no distance, no way to go.
        let (same, gradients) = s.with_gradients((&x, &a), (&x, &a), metric).unwrap();
        prop_assert!(same.value.abs() <= 1e-13 * scale, "{}", same.value);
        prop_assert_eq!(same.parts[0].iterations, 1);
        for d in gradients.iter().flatten() {
            prop_assert!(d.abs() <= 1e-10 * scale, "{d}");
        }
        let spread = |d: &Array1<f64>| if hard { d - d[0] } else { d.clone() };
        prop_assert!(spread(&same.d_a).iter().all(|d| d.abs() <= 1e-10 * scale));
    }

    #[test]
    fn a_constant_more_for_every_pair_changes_nothing(seed in any::<u64>(), e in -1.0_f64..0.5, c in -5.0_f64..5.0) {
        let (x, y, epsilon) = (points(seed, 6), points(seed ^ 1, 4), 10.0_f64.powf(e));
        let (a, b) = (weights(seed ^ 2, 6), weights(seed ^ 3, 4));
        let cost = |x: &Array2<f64>, y: &Array2<f64>, c: f64| {
            Array2::from_shape_fn((x.nrows(), y.nrows()), |(i, j)| {
                let d = &x.row(i) - &y.row(j);
                d.dot(&d) + c
            })
        };
        let value = |c: f64| {
            let costs = [cost(&x, &y, c), cost(&x, &x, c), cost(&y, &y, c)];
            let [ab, aa, bb] = [0, 1, 2].map(|k| Dense::new(&costs[k]));
            exactly(epsilon).between([&ab, &aa, &bb], &a, &b).unwrap().value
        };
        // Costs of size c are rounded at that size.
        prop_assert!((value(c) - value(0.0)).abs() <= 1e-13 * (1.0 + c.abs()) * (1.0 + 1.0 / epsilon));
        let stored = value(0.0);
        let found = exactly(epsilon).between_points((&x, &a), (&y, &b), Metric::SquaredEuclidean).unwrap();
        prop_assert!((found.value - stored).abs() <= 1e-12);
    }
}

#[test]
fn gradients_are_derivatives_of_the_value() {
    let (x, y) = (points(1, 5), points(2, 4));
    let (a, b) = (weights(3, 5), weights(4, 4) * 1.7);
    let b_hard = &b / b.sum();
    for (which, hard) in [(0, true), (0, false), (1, true), (2, false), (3, true), (3, false)] {
        let metric = kind(which);
        let (s, b) = if hard { (exactly(0.1), &b_hard) } else { (unbalanced(0.1, 0.8), &b) };
        let (found, [d_x, d_y]) = s.with_gradients((&x, &a), (&y, b), metric).unwrap();
        let value = |x: &Array2<f64>, y: &Array2<f64>, a: &Array1<f64>, b: &Array1<f64>| {
            s.between_points((x, a), (y, b), metric).unwrap().value
        };
        // Differences of step 1e-3: 1e-12 from its fourth power, 1e-12 from the rounding of S.
        let close = |found: f64, slope: f64| {
            assert!((found - slope).abs() <= 1e-8, "{metric:?} {hard}: {found} {slope}");
        };
        let (t_x, t_y) = (uniform(5, (5, 2)), uniform(6, (4, 2)));
        close((&d_x * &t_x).sum(), central(|t| value(&(&x + &(&t_x * t)), &y, &a, b), 1e-3));
        close((&d_y * &t_y).sum(), central(|t| value(&x, &(&y + &(&t_y * t)), &a, b), 1e-3));
        let tangent = |seed, n| {
            let d = Array1::from_vec(draws(seed, n)) * 0.1;
            if hard { &d - d.sum() / n as f64 } else { d }
        };
        let (t_a, t_b) = (tangent(7, 5), tangent(8, 4));
        close((&found.d_a * &t_a).sum(), central(|t| value(&x, &y, &(&a + &(&t_a * t)), b), 1e-3));
        close((&found.d_b * &t_b).sum(), central(|t| value(&x, &y, &a, &(b + &(&t_b * t))), 1e-3));
    }
}

#[test]
fn an_atom_without_weight_has_the_gradient_of_a_first_one() {
    let (x, y) = (points(1, 5), points(2, 4));
    let (mut a, b) = (weights(3, 5), weights(4, 4));
    a[2] = 0.0;
    for s in [exactly(0.1), unbalanced(0.1, 0.8)] {
        let b = if s.marginal == Marginal::Hard { &b * a.sum() } else { b.clone() };
        let metric = Metric::SquaredEuclidean;
        let found = s.between_points((&x, &a), (&y, &b), metric).unwrap();
        let value = |t: f64| {
            let mut a = a.clone();
            a[2] += t;
            if s.marginal == Marginal::Hard {
                a[0] -= t;
            }
            s.between_points((&x, &a), (&y, &b), metric).unwrap().value
        };
        // One-sided, of second order: (−3 S(0) + 4 S(h) − S(2h)) / 2h.
        let h = 1e-5;
        let slope = (-3.0 * value(0.0) + 4.0 * value(h) - value(2.0 * h)) / (2.0 * h);
        let hard = s.marginal == Marginal::Hard;
        let expected = found.d_a[2] - if hard { found.d_a[0] } else { 0.0 };
        assert!((slope - expected).abs() <= 1e-7, "{slope} {expected}");
    }
}

#[test]
fn single_points() {
    let (x, a) = (ndarray::arr2(&[[0.3, 0.4]]), ndarray::arr1(&[1.0]));
    let metric = Metric::SquaredEuclidean;
    let (found, gradients) = exactly(0.1).with_gradients((&x, &a), (&x, &a), metric).unwrap();
    assert_eq!((found.value, found.status()), (0.0, Status::Converged));
    assert!(gradients.iter().flatten().all(|&d| d == 0.0));
    // Two of them are at the cost between them, at any ε.
    let y = ndarray::arr2(&[[0.0, 0.0]]);
    for epsilon in [1e-6, 0.1, 1e6] {
        let found = exactly(epsilon).between_points((&x, &a), (&y, &a), metric).unwrap();
        assert!(
            (found.value - 0.25).abs() <= 4.0 * f64::EPSILON * (1.0 + epsilon),
            "{}",
            found.value
        );
    }
}

#[test]
fn masses_and_statuses_are_told() {
    let (x, y) = (points(1, 5), points(2, 4));
    let (a, b) = (weights(3, 5), weights(4, 4));
    let metric = Metric::SquaredEuclidean;
    let refused = exactly(0.1).between_points((&x, &a), (&y, &(&b * 2.0)), metric).unwrap_err();
    assert!(matches!(refused, crate::Error::MassMismatch { .. }));
    let few = SinkhornDivergence {
        sinkhorn: Sinkhorn { tolerance: 1e-14, max_iterations: 2, ..Sinkhorn::default() },
        ..SinkhornDivergence::new(0.01)
    };
    let found = few.between_points((&x, &a), (&y, &b), metric).unwrap();
    assert_eq!(found.status(), Status::MaxIter);
    assert!(found.error() > 1e-6);
}

#[test]
fn it_lies_between_transport_and_a_kernel_distance() {
    let (x, y) = (points(1, 5), points(2, 4));
    let (a, b) = (weights(3, 5), weights(4, 4));
    let metric = Metric::SquaredEuclidean;
    // ε → ∞: ⟨C, a⊗b⟩ − ½ ⟨C, a⊗a⟩ − ½ ⟨C, b⊗b⟩, for this cost the distance of the means, squared; off by O(1/ε).
    let means = a.dot(&x) - b.dot(&y);
    let wide = exactly(1e5).between_points((&x, &a), (&y, &b), metric).unwrap().value;
    assert!((wide - means.dot(&means)).abs() <= 1e-5, "{wide}");
    // ε → 0: the cost of transport (reference case `emd_5x4`), from below ε times an entropy.
    let narrow = exactly(1e-4).between_points((&x, &a), (&y, &b), metric).unwrap().value;
    assert!((narrow - 0.194_973_150_629_173).abs() <= 1e-4 * 5.0_f64.ln(), "{narrow}");
}

use super::super::*;
use crate::error::Error;
use crate::laws::{central, draws};
use alloc::vec::Vec;
use ndarray::{Array1, Array2, ArrayRef1, Axis, concatenate};
use proptest::prelude::*;

/// Positions on a circle of length 1, squared distances along it: moving everything round changes nothing.
fn circle(n: usize) -> Array2<f64> {
    Array2::from_shape_fn((n, n), |(i, j)| {
        let d = (i as f64 - j as f64).abs() / n as f64;
        d.min(1.0 - d).powi(2)
    })
}

/// Columns of mass `mass`, with zeros.
fn histograms(seed: u64, n: usize, k: usize, mass: f64) -> Array2<f64> {
    let mut h = Array2::from_shape_vec((n, k), draws(seed, n * k)).unwrap();
    h.mapv_inplace(|h| if h < 0.4 { 0.0 } else { h });
    h.row_mut(seed as usize % n).fill(0.7);
    let sums = h.sum_axis(Axis(0));
    h / &sums * mass
}

fn solver(epsilon: f64, debiased: bool) -> Barycenter {
    Barycenter { epsilon, debiased, tolerance: 1e-13, max_iterations: 100_000 }
}

fn far(x: &Array1<f64>, y: &ArrayRef1<f64>) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y).abs()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn of_one_histogram(n in 2_usize..20, seed in any::<u64>(), e in -3.0_f64..0.0, mass in 0.2_f64..5.0) {
        let (c, h, epsilon) = (circle(n), histograms(seed, n, 1, mass), 10.0_f64.powf(e));
        let one = ndarray::arr1(&[1.0]);
        let blurred = solver(epsilon, false).solve(&Dense::new(&c), &h, &one).unwrap();
        let kernel = c.mapv(|c| (-c / epsilon).exp());
        let expected = (&kernel / &kernel.sum_axis(Axis(1)).insert_axis(Axis(1))).t().dot(&h.column(0));
        prop_assert_eq!(blurred.status, Status::Converged);
        // n terms, each an exp of an exponent of up to 1/4ε.
        let rounding = f64::EPSILON * (n as f64 + 0.25 / epsilon) * 4.0 * mass;
        prop_assert!(far(&blurred.q, &expected) <= rounding, "{}", far(&blurred.q, &expected));
    }

    #[test]
    fn what_has_no_part_and_what_is_said_twice(
        n in 2_usize..16, m in 2_usize..16, seed in any::<u64>(), e in -1.5_f64..0.0, mass in 0.2_f64..5.0,
    ) {
        let c = Array2::from_shape_vec((n, m), draws(seed ^ 9, n * m)).unwrap();
        let (h, geometry, s) = (histograms(seed, n, 3, mass), Dense::new(&c), solver(10.0_f64.powf(e), false));
        let first = h.select(Axis(1), &[0]);
        let alone = s.solve(&geometry, &first, &ndarray::arr1(&[1.0])).unwrap().q;
        let others = s.solve(&geometry, &h, &ndarray::arr1(&[1.0, 0.0, 0.0])).unwrap().q;
        prop_assert_eq!(&alone, &others);
        let thrice = concatenate![Axis(1), first, first, first];
        let same = s.solve(&geometry, &thrice, &ndarray::arr1(&[0.2, 0.3, 0.5])).unwrap().q;
        prop_assert!(far(&alone, &same) <= 1e-12 * mass);
        // One histogram in two parts of its weight.
        let four = concatenate![Axis(1), h, h.select(Axis(1), &[2])];
        let split = s.solve(&geometry, &four, &ndarray::arr1(&[0.2, 0.3, 0.1, 0.4])).unwrap();
        let whole = s.solve(&geometry, &h, &ndarray::arr1(&[0.2, 0.3, 0.5])).unwrap();
        prop_assert_eq!((split.status, whole.status), (Status::Converged, Status::Converged));
        prop_assert!(far(&split.q, &whole.q) <= 1e-10 * mass, "{}", far(&split.q, &whole.q));
        prop_assert!((whole.q.sum() - mass).abs() <= 1e-12 * mass);
        // A constant for every pair, and other units.
        let (moved, scaled) = (&c + 3.0, &c * 7.0);
        let again = s.solve(&Dense::new(&moved), &h, &ndarray::arr1(&[0.2, 0.3, 0.5])).unwrap().q;
        prop_assert!(far(&again, &whole.q) <= 1e-10 * mass);
        let t = solver(7.0 * s.epsilon, false);
        let again = t.solve(&Dense::new(&scaled), &h, &ndarray::arr1(&[0.2, 0.3, 0.5])).unwrap().q;
        prop_assert!(far(&again, &whole.q) <= 1e-10 * mass);
    }

    #[test]
    fn it_goes_round_with_its_histograms(n in 3_usize..16, steps in 1_usize..16, seed in any::<u64>(), debiased in any::<bool>()) {
        let (c, h) = (circle(n), histograms(seed, n, 3, 1.0));
        let weights = ndarray::arr1(&[0.2, 0.3, 0.5]);
        let round = |i: usize| (i + steps) % n;
        let turned = Array2::from_shape_fn((n, 3), |(i, k)| h[[round(i), k]]);
        let s = Barycenter { tolerance: 1e-11, ..solver(0.05, debiased) };
        let q = s.solve(&Dense::new(&c), &h, &weights).unwrap();
        let found = s.solve(&Dense::new(&c), &turned, &weights).unwrap();
        let expected = Array1::from_shape_fn(n, |i| q.q[round(i)]);
        prop_assert!(far(&found.q, &expected) <= 1e-8, "{} {:?}", far(&found.q, &expected), q.status);
    }
}

#[test]
fn the_debiased_one_of_one_histogram_is_that_histogram() {
    let one = ndarray::arr1(&[1.0]);
    for (n, epsilon, mass) in [(5, 0.01, 1.0), (12, 0.003, 2.5), (7, 0.006, 0.3)] {
        let (c, h) = (circle(n), histograms(n as u64, n, 1, mass));
        let found = solver(epsilon, true).solve(&Dense::new(&c), &h, &one).unwrap();
        // The kernel is undone, and entries of no mass go there slowly: more is left than the error that is stopped at.
        let left = far(&found.q, &h.column(0));
        assert!(left <= 1e-6 * mass, "{n}: {left} {:?} {}", found.status, found.error);
        let blurred = solver(epsilon, false).solve(&Dense::new(&c), &h, &one).unwrap();
        assert!(far(&blurred.q, &h.column(0)) >= 0.01 * mass);
    }
}

/// The objective at q is smallest, along any direction that keeps the mass and where there is something to move.
#[test]
fn it_minimises_what_it_is_said_to() {
    let n = 8;
    let c = circle(n);
    let geometry = Dense::new(&c);
    let (h, shares) = (histograms(3, n, 3, 1.6), [0.2, 0.3, 0.5]);
    let exact = Sinkhorn { tolerance: 1e-14, max_iterations: 100_000, ..Sinkhorn::default() };
    let transport = |a: &ArrayRef1<f64>, q: &Array1<f64>| {
        let problem = Problem::new(&geometry, a, q, 0.1).unwrap();
        exact.solve(&problem.with_reference(Reference::Counting)).unwrap().dual()
    };
    for debiased in [false, true] {
        let found = solver(0.1, debiased).solve(&geometry, &h, &ndarray::arr1(&shares)).unwrap();
        let objective = |q: &Array1<f64>| {
            let to: f64 = (0..3).map(|k| shares[k] * transport(&h.column(k), q)).sum();
            to - if debiased { 0.5 * transport(q, q) } else { 0.0 }
        };
        let q = &found.q / found.q.sum() * 1.6;
        let most: Vec<usize> = (0..n).filter(|&j| q[j] > 0.05).collect();
        assert!(most.len() > 2, "{q}");
        for pair in most.windows(2) {
            let moved = |t: f64| {
                let mut q = q.clone();
                (q[pair[0]], q[pair[1]]) = (q[pair[0]] + t, q[pair[1]] - t);
                objective(&q)
            };
            let slope = central(moved, 1e-3);
            assert!(slope.abs() <= 1e-7, "{debiased}: {slope}");
            assert!(moved(0.02).min(moved(-0.02)) > moved(0.0));
        }
    }
}

#[test]
fn small_epsilon_in_both_types() {
    // Atoms at both ends of a line: what lies between them in the middle, whatever exp(−C/ε) underflows to.
    let n = 21;
    let c = Array2::from_shape_fn((n, n), |(i, j)| (i as f64 - j as f64).powi(2));
    let mut h = Array2::zeros((n, 2));
    (h[[0, 0]], h[[n - 1, 1]]) = (1.0, 1.0);
    let weights = ndarray::arr1(&[0.5, 0.5]);
    for debiased in [false, true] {
        let s = Barycenter { debiased, tolerance: 1e-6, ..Barycenter::new(0.02) };
        let q = s.solve(&Dense::new(&c), &h, &weights).unwrap();
        assert!(q.q[10] > 0.999 && q.status == Status::Converged, "{q:?}");
        let (c, h) = (c.mapv(|c| c as f32), h.mapv(|h| h as f32));
        let q = s.solve(&Dense::new(&c), &h, &weights.mapv(|w| w as f32)).unwrap();
        assert!(q.q[10] > 0.999 && q.error <= 1e-3, "{q:?}");
    }
}

#[test]
fn what_is_refused() {
    let c = circle(4);
    let (h, w) = (histograms(1, 4, 2, 1.0), ndarray::arr1(&[0.25, 0.75]));
    let name = |s: Barycenter, c: &Array2<f64>, h: &Array2<f64>, w: &Array1<f64>| match s
        .solve(&Dense::new(c), h, w)
        .unwrap_err()
    {
        Error::Parameter { name, .. } => name,
        Error::Shape { what, .. } | Error::NonFinite { what, .. } | Error::Entry { what, .. } => {
            what
        }
        Error::MassMismatch { .. } => "masses",
        e => panic!("{e}"),
    };
    let (s, debiased) = (Barycenter::new(0.1), solver(0.1, true));
    assert!(s.solve(&Dense::new(&c), &h, &w).is_ok());
    assert_eq!(name(Barycenter::new(0.0), &c, &h, &w), "epsilon");
    assert_eq!(name(Barycenter { tolerance: f64::NAN, ..s }, &c, &h, &w), "tolerance");
    assert_eq!(name(Barycenter { max_iterations: 0, ..s }, &c, &h, &w), "max_iterations");
    assert_eq!(name(s, &circle(5), &h, &w), "histograms");
    assert_eq!(name(s, &c, &h, &ndarray::arr1(&[1.0])), "weights");
    assert_eq!(name(s, &c, &h, &(&w * 2.0)), "sum of the weights");
    assert_eq!(name(s, &c, &h, &ndarray::arr1(&[-0.5, 1.5])), "weights");
    assert_eq!(name(s, &c, &(&h * &ndarray::arr1(&[1.0, 2.0])), &w), "masses");
    assert_eq!(name(s, &c, &(&h * 0.0), &w), "mass of a histogram");
    assert_eq!(name(s, &c, &(-&h), &w), "histograms");
    assert_eq!(name(s, &c, &(&h * f64::NAN), &w), "histograms");
    assert_eq!(name(s, &c.mapv(|_| f64::NAN), &h, &w), "cost");
    assert_eq!(name(s, &c.mapv(|c| if c > 0.2 { f64::INFINITY } else { c }), &h, &w), "cost");
    assert_eq!(name(s, &Array2::zeros((4, 0)), &h, &w), "cost");
    assert_eq!(name(debiased, &Array2::zeros((4, 3)), &h, &w), "cost");
    let skewed = Array2::from_shape_fn((4, 4), |(i, j)| i as f64 - j as f64);
    assert_eq!(name(debiased, &skewed, &h, &w), "cost");
}

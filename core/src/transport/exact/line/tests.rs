use super::*;
use crate::laws::draws;
use alloc::vec;
use ndarray::{Array2, array};
use proptest::prelude::*;

fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w = Array1::from_vec(draws(seed, n)) + 0.1;
    &w / w.sum()
}

fn cost(x: &Array1<f64>, y: &Array1<f64>, p: f64) -> Array2<f64> {
    Array2::from_shape_fn((x.len(), y.len()), |(i, j)| (x[i] - y[j]).abs().powf(p))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_comes_with_its_proof(
        n in 1_usize..50, m in 1_usize..50, seed in any::<u64>(), p in 1.0_f64..5.0, whole in any::<bool>(),
        grid in any::<bool>(),
    ) {
        let p = if whole { p.floor() } else { p };
        // Points on a grid meet often, and some weights are 0.
        let place = |x: f64| if grid { (x * 8.0).floor() } else { x * 8.0 };
        let points = |seed, n| Array1::from_vec(draws(seed, n)).mapv(place);
        let mass = |seed, n: usize| {
            let mut w = weights(seed, n).mapv(|w| if w < 0.3 / n as f64 { 0.0 } else { w });
            w[0] += 0.1;
            &w * (2.5 / w.sum())
        };
        let (x, y) = (points(seed, n), points(seed ^ 1, m));
        let (a, b) = (mass(seed ^ 2, n), mass(seed ^ 3, m));
        let found = line(&x, &y, &a, &b, p).unwrap();
        let c = cost(&x, &y, p);
        // Potentials are sums along a staircase of n + m costs.
        let scale = c.iter().fold(1.0_f64, |most, &c| most.max(c));
        let tol = 4.0 * (n + m) as f64 * f64::EPSILON * scale;
        for ((i, j), c) in c.indexed_iter() {
            prop_assert!(found.f[i] + found.g[j] <= c + tol, "{i} {j}");
        }
        let (mut rows, mut columns) = (Array1::zeros(n), Array1::zeros(m));
        for &(i, j, mass) in &found.entries {
            prop_assert!(mass > 0.0 && (found.f[i] + found.g[j] - c[[i, j]]).abs() <= tol);
            rows[i] += mass;
            columns[j] += mass;
        }
        let far = |x: &Array1<f64>, y: &Array1<f64>| (x - y).iter().any(|d| d.abs() > 1e-15 * 2.5);
        prop_assert!(!far(&rows, &a) && !far(&columns, &b));
        prop_assert!(found.entries.is_sorted_by_key(|e| (e.0, e.1)));
        let dual = (&a * &found.f).sum() + (&b * &found.g).sum();
        prop_assert!((dual - found.value).abs() <= 2.5 * tol);
        prop_assert!(((&a * &found.f).sum() - (&b * &found.g).sum()).abs() <= 2.5 * tol);
    }
}

#[test]
fn seven_by_nine_as_pot_has_it() {
    let (x, y) = (Array1::from_vec(draws(75, 7)), Array1::from_vec(draws(76, 9)));
    let (a, b) = (weights(77, 7), weights(78, 9));
    let expected = [0.112_083_173_904_866_25, 0.029_523_137_724_661_766, 0.009_974_563_801_411_412];
    for (p, expected) in [1.0, 2.0, 3.0].into_iter().zip(expected) {
        let value = line(&x, &y, &a, &b, p).unwrap().value;
        assert!((value - expected).abs() < 1e-12, "p = {p}: {value}");
    }
}

#[test]
fn shifts_and_refusals() {
    let (x, w) = (array![0.0_f32, 4.0, 1.0], array![0.5_f32, 0.25, 0.25]);
    assert_eq!(line(&x, &(&x + 2.0), &w, &w, 3.0).unwrap().value, 8.0);
    assert_eq!(line(&x, &x, &w, &w, 1.0).unwrap().value, 0.0);
    let name = |e: Error| match e {
        Error::Parameter { name, .. } => name,
        Error::Shape { what, .. } | Error::NonFinite { what, .. } | Error::Entry { what, .. } => {
            what
        }
        Error::Infeasible { .. } | Error::Unreachable { .. } => "infeasible",
        Error::MassMismatch { .. } => "masses",
    };
    let refused = |x: &Array1<f32>, a: &Array1<f32>, p| name(line(x, x, a, &w, p).unwrap_err());
    assert_eq!(refused(&x, &w, 0.5), "p");
    assert_eq!(refused(&x, &w, f64::NAN), "p");
    assert_eq!(refused(&x, &(&w * 2.0), 1.0), "masses");
    assert_eq!(refused(&x, &array![1.0], 1.0), "a");
    assert_eq!(refused(&array![0.0, f32::NAN, 0.0], &w, 1.0), "x");
    assert_eq!(refused(&(&x * 1e30), &w, 20.0), "largest |x| + largest |y|");
}

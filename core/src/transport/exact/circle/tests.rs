use super::*;
use crate::laws::draws;
use crate::transport::exact::{emd, line};
use alloc::vec;
use ndarray::{Array1, Array2, array};
use proptest::prelude::*;

fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w = Array1::from_vec(draws(seed, n)) + 0.1;
    &w / w.sum()
}

fn around(x: f64, y: f64) -> f64 {
    let d = (x - y).rem_euclid(1.0);
    d.min(1.0 - d)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn it_is_the_simplexs_value(
        n in 1_usize..25, m in 1_usize..25, seed in any::<u64>(), p in 1.0_f64..4.0, whole in any::<bool>(),
        grid in any::<bool>(),
    ) {
        let p = if whole { p.floor() } else { p };
        let place = |x: f64| if grid { (x * 8.0).floor() / 8.0 } else { 4.0 * x - 2.0 };
        let points = |seed, n| Array1::from_vec(draws(seed, n)).mapv(place);
        let (x, y) = (points(seed, n), points(seed ^ 1, m));
        let equal = |n: usize| Array1::from_elem(n, 1.0 / n as f64);
        let (mut a, b) = if grid { (equal(n), equal(m)) } else { (weights(seed, n), weights(!seed, m)) };
        if n > 1 {
            a[1] = 0.0;
            a /= a.sum();
        }
        let found = circle(&x, &y, &a, &b, p).unwrap();
        let c = Array2::from_shape_fn((n, m), |(i, j)| around(x[i], y[j]).powf(p));
        let truth = emd(&c, &a, &b).unwrap().value;
        prop_assert!((found.value - truth).abs() <= 1e-14, "{} {truth}", found.value);
        let (mut rows, mut columns, mut value) = (Array1::zeros(n), Array1::zeros(m), 0.0);
        for &(i, j, mass) in &found.entries {
            rows[i] += mass;
            columns[j] += mass;
            value += mass * c[[i, j]];
        }
        prop_assert!(found.entries.is_sorted_by(|x, y| (x.0, x.1) < (y.0, y.1)));
        let far = |x: &Array1<f64>, y: &Array1<f64>| (x - y).iter().any(|d| d.abs() > 1e-15);
        prop_assert!(!far(&rows, &a) && !far(&columns, &b));
        // Each pair goes the shorter way round.
        prop_assert!((found.value - value).abs() <= 1e-14);
        // Cutting the circle anywhere forbids ways.
        let unit = |x: &Array1<f64>| x.mapv(|x| x.rem_euclid(1.0));
        prop_assert!(found.value <= line(&unit(&x), &unit(&y), &a, &b, p).unwrap().value + 1e-14);
        // Turning both changes nothing but roundings of the points, of size 2.
        let turned = circle(&(&x + 0.3), &(&y + 0.3), &a, &b, p).unwrap();
        prop_assert!((turned.value - found.value).abs() <= 8e-15);
    }
}

#[test]
fn seven_by_nine_as_pot_has_it() {
    let (x, y) = (Array1::from_vec(draws(75, 7)), Array1::from_vec(draws(76, 9)));
    let (a, b) = (weights(77, 7), weights(78, 9));
    for (p, expected) in [(1.0, 0.106_130_019_336_237_59), (2.0, 0.023_052_215_341_060_063)] {
        let value = circle(&x, &y, &a, &b, p).unwrap().value;
        assert!((value - expected).abs() < 1e-12, "p = {p}: {value}");
    }
}

#[test]
fn full_turns_and_refusals() {
    let one = array![1.0];
    let apart = |x: f64, y: f64, p| circle(&array![x], &array![y], &one, &one, p).unwrap().value;
    assert_eq!(apart(0.0, 0.5, 2.0), 0.25);
    assert_eq!(apart(-3.75, 7.25, 1.0), 0.0);
    assert_eq!(apart(-1e-30, 0.0, 1.0), 0.0);
    let half = array![0.5, 0.5];
    assert!(circle(&half, &half, &half, &half, 0.9).is_err());
    assert!(circle(&half, &one, &half, &half, 1.0).is_err());
    assert!(circle(&half, &half, &half, &(&half * 2.0), 1.0).is_err());
}

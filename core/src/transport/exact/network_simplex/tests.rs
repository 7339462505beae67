use super::*;
use crate::laws::{draws, uniform};
use crate::transport::exact::line;
use crate::transport::{self, Dense};
use alloc::vec;
use ndarray::{arr1, arr2, array};
use proptest::prelude::*;

type Case = (Array2<f64>, Array1<f64>, Array1<f64>);

pub(crate) fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w = Array1::from_vec(draws(seed, n)) + 0.1;
    &w / w.sum()
}

pub(crate) fn squared_distances(x: &Array2<f64>, y: &Array2<f64>) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows(), y.nrows()), |(i, j)| {
        (&x.row(i) - &y.row(j)).mapv(|d| d * d).sum()
    })
}

fn points(seed: u64, n: usize, d: usize) -> Array2<f64> {
    uniform(seed, (n, d)) + 0.5
}

/// Plan and potentials prove each other. Returns what the dual is worth.
#[track_caller]
fn certified<T: Real>(cost: &Array2<T>, a: &Array1<T>, b: &Array1<T>, found: &Emd) -> f64 {
    let (a, b) = (a.mapv(|x| x.to_f64()), b.mapv(|x| x.to_f64()));
    let (n, m) = cost.dim();
    let mass = a.sum();
    let b = &b * (mass / b.sum());
    let ulp = f64::EPSILON * mass;
    // Rows are whole quanta of 2⁻⁵⁹ of the mass, and one rounding an entry back; b one more.
    let plan = found.plan();
    for (w, sum) in a.iter().zip(plan.rows()).chain(b.iter().zip(plan.columns())) {
        assert!((w - sum.sum()).abs() <= 4.0 * ulp, "{w} {}", sum.sum());
        assert!(*w > 0.0 || sum.sum() == 0.0);
    }
    assert!(found.entries.is_sorted_by_key(|&(i, j, _)| (i, j)) && found.entries.len() < n + m);
    // Potentials are sums along a path of the tree, and an arc may be off by two epsilons of each on it:
    // the paths here have some tens of nodes.
    let (f, g) = (&found.f, &found.g);
    let tol = |i: usize, j: usize| 64.0 * f64::EPSILON * (f[i].abs() + g[j].abs());
    for ((i, j), c) in cost.indexed_iter() {
        let reduced = c.to_f64() - f[i] - g[j];
        assert!(reduced >= -tol(i, j), "{i} {j}: {reduced}");
        assert!(plan[[i, j]] == 0.0 || reduced <= tol(i, j), "{i} {j} holds mass at {reduced}");
    }
    let (af, bg) = ((&a * f).sum(), (&b * g).sum());
    let scale = (&a * &f.abs()).sum() + (&b * &g.abs()).sum();
    assert!((af - bg).abs() <= 64.0 * f64::EPSILON * scale, "{af} {bg}");
    assert!((af + bg - found.value).abs() <= 64.0 * f64::EPSILON * (scale + mass), "{af} {bg}");
    af + bg
}

/// n ≠ m mostly, weights far from uniform, some of them 0, a mass that is not 1.
fn problem() -> impl Strategy<Value = Case> {
    (1_usize..40, 1_usize..40, any::<u64>(), 0.01_f64..100.0).prop_map(|(n, m, seed, mass)| {
        let weights = |seed, n: usize| {
            let w = draws(seed, 2 * n);
            let zero = |w: &[f64]| if w[1] < 0.2 { 0.0 } else { w[0] };
            let mut w: Array1<f64> = w.chunks(2).map(zero).collect();
            w[seed as usize % n] += 0.5;
            &w * (mass / w.sum())
        };
        (uniform(seed, (n, m)), weights(seed ^ 1, n), weights(seed ^ 2, m))
    })
}

fn infinite_where(cost: &Array2<f64>, seed: u64, share: f64) -> Array2<f64> {
    let mut cost = cost.clone();
    let draws = draws(seed, cost.len());
    cost.iter_mut().zip(draws).filter(|(_, u)| *u < share).for_each(|(c, _)| *c = f64::INFINITY);
    cost
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_comes_with_its_proof((c, a, b) in problem()) {
        let found = emd(&c, &a, &b).unwrap();
        certified(&c, &a, &b, &found);
    }

    #[test]
    fn the_value_does_not_depend_on_order_or_sides((c, a, b) in problem(), seed in any::<u64>()) {
        let found = emd(&c, &a, &b).unwrap();
        let turned = c.t().to_owned();
        let back = emd(&turned, &b, &a).unwrap();
        certified(&turned, &b, &a, &back);
        let order = |seed, n: usize| {
            let draws = draws(seed, n);
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&i, &k| draws[i].total_cmp(&draws[k]));
            order
        };
        let (i, j) = (order(seed, a.len()), order(seed ^ 3, b.len()));
        let axis = ndarray::Axis;
        let shuffled = c.select(axis(0), &i).select(axis(1), &j);
        let other = emd(&shuffled, &a.select(axis(0), &i), &b.select(axis(0), &j)).unwrap();
        // Σ of at most n + m products below the mass.
        let tol = 80.0 * f64::EPSILON * a.sum();
        prop_assert!((found.value - back.value).abs() <= tol);
        prop_assert!((found.value - other.value).abs() <= tol);
    }

    #[test]
    fn atoms_without_weight_are_inert((c, a, b) in problem()) {
        let all = emd(&c, &a, &b).unwrap();
        let keep = |w: &Array1<f64>| -> Vec<usize> { (0..w.len()).filter(|&i| w[i] > 0.0).collect() };
        let (i, j) = (keep(&a), keep(&b));
        let axis = ndarray::Axis;
        let c = c.select(axis(0), &i).select(axis(1), &j);
        let some = emd(&c, &a.select(axis(0), &i), &b.select(axis(0), &j)).unwrap();
        prop_assert_eq!(all.value, some.value);
        let renamed = some.entries.iter().map(|&(r, k, w)| (i[r], j[k], w));
        prop_assert_eq!(&all.entries, &renamed.collect::<Vec<_>>());
    }

    #[test]
    fn many_ties_end(n in 1_usize..30, m in 1_usize..30, seed in any::<u64>(), levels in 1_u32..4) {
        let c = (uniform(seed, (n, m)) * f64::from(levels)).mapv(f64::round);
        // n of m and m of n: equal weights on both sides, so every partial sum may meet another.
        let (a, b) = (Array1::from_elem(n, m as f64), Array1::from_elem(m, n as f64));
        let found = emd(&c, &a, &b).unwrap();
        certified(&c, &a, &b, &found);
        prop_assert_eq!(found.value, found.value.round());
    }

    #[test]
    fn forbidden_pairs_carry_nothing((c, a, b) in problem(), seed in any::<u64>(), share in 0.0_f64..0.9) {
        let c = infinite_where(&c, seed, share);
        match emd(&c, &a, &b) {
            Ok(found) => {
                certified(&c, &a, &b, &found);
                prop_assert!(found.entries.iter().all(|&(i, j, _)| c[[i, j]].is_finite()));
                // The common stand-in for +∞ gives the same plan's value.
                let large = c.mapv(|c| if c.is_finite() { c } else { 1e6 });
                let stand_in = emd(&large, &a, &b).unwrap();
                prop_assert!((found.value - stand_in.value).abs() <= 1e-8 * a.sum());
            }
            Err(Error::Infeasible { rows, mass, reachable }) => {
                let held: f64 = rows.iter().map(|&i| a[i]).sum();
                let reached = (0..b.len()).filter(|&j| rows.iter().any(|&i| c[[i, j]].is_finite()));
                let reached: f64 = reached.map(|j| b[j]).sum();
                prop_assert!((held - mass).abs() <= 1e-14 * mass);
                prop_assert!((reached - reachable).abs() <= 1e-14 * mass);
                prop_assert!(mass > reachable);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn pairs_that_no_plan_can_use_may_cost_anything(k in 1_usize..12, more in 1_usize..12, seed in any::<u64>()) {
        // The first k rows reach the first k columns only and fill them, so that no other row can go
        // there, though they would be paid for it.
        let n = k + more;
        let mut c = uniform(seed, (n, n));
        for ((i, j), c) in c.indexed_iter_mut() {
            match (i < k, j < k) {
                (true, false) => *c = f64::INFINITY,
                (false, true) => *c -= 100.0,
                _ => {}
            }
        }
        let ones = Array1::ones(n);
        let found = emd(&c, &ones, &ones).unwrap();
        certified(&c, &ones, &ones, &found);
        prop_assert!(found.entries.iter().all(|&(i, j, _)| (i < k) == (j < k)));
    }

    #[test]
    fn large_costs_that_cannot_be_avoided_end((c, a, b) in problem(), seed in any::<u64>(), share in 0.5_f64..1.0) {
        // Below a path through 1e30 the digits of the other costs are gone: arcs must not enter for them.
        let c = infinite_where(&c, seed, share).mapv(|c| if c.is_finite() { c } else { 1e30 });
        let found = emd(&c, &a, &b).unwrap();
        let dual = (&a * &found.f).sum() + (&b * &found.g).sum();
        prop_assert!((dual - found.value).abs() <= 1e-12 * 1e30 * a.sum());
        let count = c.mapv(|c| f64::from(c == 1e30));
        let least = emd(&count, &a, &b).unwrap().value;
        prop_assert!((found.value / 1e30 - least).abs() <= 1e-12 * a.sum());
    }

    #[test]
    fn a_hidden_permutation_is_found(n in 1_usize..40, seed in any::<u64>()) {
        let x = points(seed, n, 3);
        let draws = draws(seed ^ 5, n);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&i, &k| draws[i].total_cmp(&draws[k]));
        // Moved by less than half of the distance of any two points, in squares.
        let y = x.select(ndarray::Axis(0), &order) + 1e-7;
        let w = weights(seed ^ 6, n);
        let found = emd(&squared_distances(&x, &y), &w, &w.select(ndarray::Axis(0), &order)).unwrap();
        prop_assert!(found.value <= 4e-14);
        let moved: f64 = found.entries.iter().filter(|e| order[e.1] != e.0).map(|e| e.2).sum();
        prop_assert!(moved <= 1e-15, "{moved}");
    }

    #[test]
    fn the_monotone_plan_is_the_simplexs(n in 1_usize..30, m in 1_usize..30, seed in any::<u64>(), p in 1.0_f64..4.0) {
        let (x, y) = (Array1::from_vec(draws(seed, n)), Array1::from_vec(draws(seed ^ 1, m)));
        let c = Array2::from_shape_fn((n, m), |(i, j)| (x[i] - y[j]).abs().powf(p));
        let (a, b) = (weights(seed ^ 2, n), weights(seed ^ 3, m));
        let (by_order, by_pivots) = (line(&x, &y, &a, &b, p).unwrap(), emd(&c, &a, &b).unwrap());
        prop_assert!((by_order.value - by_pivots.value).abs() <= 60.0 * f64::EPSILON);
    }

    #[test]
    fn costs_of_any_size(n in 1_usize..12, m in 1_usize..12, seed in any::<u64>(), size in -300_i32..300) {
        let c = uniform(seed, (n, m)) * 10.0_f64.powi(size);
        let (a, b) = (weights(seed ^ 1, n), weights(seed ^ 2, m));
        let found = emd(&c, &a, &b).unwrap();
        let (unit, scale) = (emd(&(&c / 10.0_f64.powi(size)), &a, &b).unwrap(), 10.0_f64.powi(size));
        prop_assert!((found.value - scale * unit.value).abs() <= 1e-14 * scale);
        prop_assert!(found.f.iter().chain(&found.g).all(|x| x.is_finite()));
    }

    #[test]
    fn f32_is_solved_in_f64((c, a, b) in problem()) {
        let (c, a, b) = (c.mapv(|x| x as f32), a.mapv(|x| x as f32), b.mapv(|x| x as f32));
        let found = emd(&c, &a, &b).unwrap();
        certified(&c, &a, &b, &found);
    }
}

#[test]
fn five_by_four_as_pot_has_it() {
    let (c, a, b) =
        (squared_distances(&points(1, 5, 2), &points(2, 4, 2)), weights(3, 5), weights(4, 4));
    let found = emd(&c, &a, &b).unwrap();
    certified(&c, &a, &b, &found);
    assert!((found.value - 0.194_973_150_629_173_34).abs() < 1e-12);
    let expected = [
        (0, 3, 0.080_831_372_897_039_87),
        (1, 2, 0.156_322_664_948_414_01),
        (1, 3, 0.004_735_164_438_453_732),
        (2, 0, 0.207_050_165_782_887_12),
        (2, 1, 0.036_182_240_114_015_33),
        (2, 3, 0.073_113_837_340_721_55),
        (3, 2, 0.169_145_491_724_227),
        (4, 1, 0.272_619_062_754_241_4),
    ];
    assert_eq!(found.entries.len(), expected.len());
    for (found, expected) in found.entries.iter().zip(expected) {
        assert_eq!((found.0, found.1), (expected.0, expected.1));
        assert!((found.2 - expected.2).abs() < 1e-15);
    }
}

#[test]
fn twenty_by_thirty_as_pot_has_it() {
    let c = squared_distances(&points(71, 20, 3), &points(72, 30, 3));
    let found = emd(&c, &weights(73, 20), &weights(74, 30)).unwrap();
    assert!((found.value - 0.104_177_312_167_617_3).abs() < 1e-12);
    assert_eq!(found.entries.len(), 49);
}

#[test]
fn several_blocks_and_pieces_of_a_row() {
    let c = squared_distances(&points(1, 150, 2), &points(2, 700, 2));
    let (a, b) = (weights(3, 150), weights(4, 700));
    let found = emd(&c, &a, &b).unwrap();
    certified(&c, &a, &b, &found);
    assert_eq!(emd(&c, &a, &b).unwrap(), found);
}

#[test]
fn a_row_a_column_and_one_cost() {
    let row = array![[3.0, -1.0, 0.5]];
    let b = array![0.5, 1.0, 0.5];
    let found = emd(&row, &array![2.0], &b).unwrap();
    assert_eq!((found.value, found.pivots), (0.75, 0));
    assert_eq!(found.entries, [(0, 0, 0.5), (0, 1, 1.0), (0, 2, 0.5)]);
    assert_eq!(emd(&row.t().to_owned(), &b, &array![2.0]).unwrap().value, 0.75);
    let flat = Array2::from_elem((7, 5), 2.5);
    let (a, b) = (weights(1, 7) * 4.0, weights(2, 5) * 4.0);
    let found = emd(&flat, &a, &b).unwrap();
    certified(&flat, &a, &b, &found);
    assert!((found.value - 10.0).abs() < 1e-14 && found.pivots == 0);
}

#[test]
fn large_costs_beside_small_ones() {
    let c = squared_distances(&points(1, 5, 2), &points(2, 4, 2));
    let (a, b) = (weights(3, 5), weights(4, 4));
    let mut forbidden = c.clone();
    (forbidden[[0, 3]], forbidden[[3, 2]]) = (1e30, 1e30);
    let large = emd(&forbidden, &a, &b).unwrap();
    let forbidden = forbidden.mapv(|c| if c == 1e30 { f64::INFINITY } else { c });
    let infinite = emd(&forbidden, &a, &b).unwrap();
    assert_eq!((large.value, large.entries), (infinite.value, infinite.entries));
    // Columns that differ by cost only would make every row's regret stale after every column.
    let steps = Array2::from_shape_fn((60, 80), |(_, j)| j as f64);
    let (a, b) = (weights(5, 60), weights(6, 80));
    certified(&steps, &a, &b, &emd(&steps, &a, &b).unwrap());
}

#[test]
fn rows_that_hold_too_much_are_named() {
    let inf = f64::INFINITY;
    let c = array![[1.0, inf, 2.0], [inf, 3.0, 1.0], [4.0, inf, inf], [1.0, inf, inf]];
    let (a, b) = (array![0.25, 0.25, 0.25, 0.25], array![0.375, 0.25, 0.375]);
    let expected = Error::Infeasible { rows: vec![2, 3], mass: 0.5, reachable: 0.375 };
    assert_eq!(emd(&c, &a, &b), Err(expected));
    // A row without weight may be cut off; its potential is a number all the same.
    let cut = array![[1.0, 2.0], [inf, inf]];
    let found = emd(&cut, &array![1.0, 0.0], &array![0.5, 0.5]).unwrap();
    assert!(found.value == 1.5 && found.f[1].is_finite());
    let closed = array![[1.0, inf], [1.0, inf]];
    assert!(matches!(
        emd(&closed, &array![0.5, 0.5], &array![0.5, 0.5]),
        Err(Error::Infeasible { .. })
    ));
}

#[test]
fn a_forbidden_arc_may_stay_in_the_tree() {
    // Two separate blocks: every tree needs a forbidden arc to join them.
    let inf = f64::INFINITY;
    let c = arr2(&[
        [1.0, 5.0, inf, inf],
        [4.0, 1.0, inf, inf],
        [inf, inf, 2.0, 1.0],
        [inf, inf, 9.0, 3.0],
    ]);
    let (a, b) = (arr1(&[0.25; 4]), arr1(&[0.25; 4]));
    let found = emd(&c, &a, &b).unwrap();
    certified(&c, &a, &b, &found);
    assert_eq!(found.value, 0.25 * (1.0 + 1.0 + 2.0 + 3.0));
}

/// Three blocks of a third each, but for the rounding of their weights: 7 (1/21) is not 5 (1/15).
fn blocks<T: Real>() {
    let block = |i, j| if i / 7 == j / 5 { T::ONE } else { T::INFINITY };
    let c = Array2::from_shape_fn((21, 15), |(i, j)| block(i, j));
    let a = Array1::from_elem(21, T::from_f64(1.0 / 21.0));
    let b = Array1::from_elem(15, T::from_f64(1.0 / 15.0));
    let found = emd(&c, &a, &b).unwrap();
    assert!(found.entries.iter().all(|&(i, j, _)| i / 7 == j / 5));
    let rounding = 8.0 * T::EPSILON.to_f64();
    assert!((found.value - 1.0).abs() <= rounding, "{}", found.value);
    let plan = found.plan();
    let off = |sum: f64, w: T| (sum - w.to_f64()).abs();
    assert!(plan.rows().into_iter().zip(&a).all(|(row, &a)| off(row.sum(), a) <= rounding));
    assert!(plan.columns().into_iter().zip(&b).all(|(row, &b)| off(row.sum(), b) <= rounding));
    let geometry = Dense::new(&c);
    assert!(transport::Problem::new(&geometry, &a, &b, 0.1).is_ok());
    // More than rounding is a fault.
    let mut heavy = a.clone();
    heavy[0] += T::from_f64(1e3) * T::EPSILON;
    heavy[20] -= T::from_f64(1e3) * T::EPSILON;
    assert!(matches!(emd(&c, &heavy, &b), Err(Error::Infeasible { .. })));
    assert!(matches!(
        transport::Problem::new(&geometry, &heavy, &b, 0.1),
        Err(Error::Infeasible { .. })
    ));
}

#[test]
fn rounding_of_weights_makes_no_problem_infeasible() {
    blocks::<f64>();
    blocks::<f32>();
}

#[test]
fn what_is_refused() {
    let (c, a, b) = (Array2::<f64>::zeros((2, 3)), arr1(&[0.5, 0.5]), arr1(&[0.2, 0.3, 0.5]));
    assert!(emd(&c, &a, &b).is_ok());
    let refused = |c: &Array2<f64>, a: &Array1<f64>, b: &Array1<f64>| match emd(c, a, b) {
        Err(Error::Parameter { name, .. }) => name,
        Err(Error::MassMismatch { .. }) => "masses",
        Err(
            Error::Shape { what, .. } | Error::NonFinite { what, .. } | Error::Entry { what, .. },
        ) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&c, &b, &b), "a");
    assert_eq!(refused(&c, &a, &a), "b");
    assert_eq!(refused(&c, &(&a * 2.0), &b), "masses");
    assert_eq!(refused(&c, &(&a * (1.0 + 3e-12)), &b), "masses");
    assert!(emd(&c, &(&a * (1.0 + 1e-13)), &b).is_ok());
    assert_eq!(refused(&c, &(&a * 0.0), &(&b * 0.0)), "mass of a");
    assert_eq!(refused(&c, &arr1(&[1.5, -0.5]), &b), "a");
    assert_eq!(refused(&c, &arr1(&[f64::INFINITY, 1.0]), &b), "a");
    assert_eq!(refused(&c.mapv(|_| f64::NAN), &a, &b), "cost");
    assert_eq!(refused(&c.mapv(|_| f64::NEG_INFINITY), &a, &b), "cost");
    assert_eq!(refused(&(&c + 1e308), &a, &b), "cost");
    let none = (Array2::<f64>::zeros((0, 0)), arr1(&[]), arr1(&[]));
    assert_eq!(refused(&none.0, &none.1, &none.2), "number of atoms of a");
}

use super::*;
use crate::laws::{draws, uniform};
use crate::transport::exact::emd;
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec;
use ndarray::{Array2, array};
use proptest::prelude::*;

/// Columns and potentials prove each other.
#[track_caller]
fn certified(cost: &Array2<f64>, found: &Assignment) {
    let (n, m) = cost.dim();
    let taken: BTreeSet<usize> = found.column.iter().copied().collect();
    assert_eq!(taken.len(), n);
    let finite = cost.iter().filter(|c| c.is_finite());
    // A price is moved at most once by each of n paths.
    let tol = 4.0 * n as f64 * f64::EPSILON * finite.fold(0.0, |most: f64, c| most.max(c.abs()));
    let (f, g) = (&found.f, &found.g);
    for ((i, j), &c) in cost.indexed_iter() {
        assert!(f[i] + g[j] <= c + tol, "{i} {j}: {} {c}", f[i] + g[j]);
        assert!(found.column[i] != j || (f[i] + g[j] - c).abs() <= tol);
    }
    let value: f64 = (0..n).map(|i| cost[[i, found.column[i]]]).sum();
    assert!(
        (found.value - value).abs() <= tol && (f.sum() + g.sum() - value).abs() <= n as f64 * tol
    );
    if n < m {
        assert!(g.iter().enumerate().all(|(j, &g)| g <= 0.0 && (g == 0.0 || taken.contains(&j))));
    } else {
        assert!((f.sum() - g.sum()).abs() <= n as f64 * tol);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_assignment_comes_with_its_proof(n in 1_usize..40, more in 0_usize..20, seed in any::<u64>()) {
        let cost = uniform(seed, (n, n + more));
        certified(&cost, &assignment(&cost).unwrap());
        let ties = (&cost * 4.0).mapv(f64::round);
        let found = assignment(&ties).unwrap();
        certified(&ties, &found);
        prop_assert_eq!(found.value, found.value.round());
    }

    #[test]
    fn it_is_transport_of_equal_weights(n in 1_usize..25, seed in any::<u64>()) {
        let cost = uniform(seed, (n, n));
        let ones = Array1::ones(n);
        let plan = emd(&cost, &ones, &ones).unwrap();
        prop_assert!((assignment(&cost).unwrap().value - plan.value).abs() <= 50.0 * f64::EPSILON);
    }

    #[test]
    fn forbidden_pairs_are_avoided_or_proved_needed(
        n in 1_usize..20, more in 0_usize..5, seed in any::<u64>(), share in 0.0_f64..1.0,
    ) {
        let mut cost = uniform(seed, (n, n + more));
        let draws = draws(seed ^ 1, cost.len());
        cost.iter_mut().zip(draws).filter(|(_, u)| *u < share).for_each(|(c, _)| *c = f64::INFINITY);
        match assignment(&cost) {
            Ok(found) => {
                prop_assert!(found.value.is_finite());
                certified(&cost, &found);
            }
            Err(Error::Infeasible { rows, mass, reachable }) => {
                let allowed = |&j: &usize| rows.iter().any(|&i| cost[[i, j]].is_finite());
                prop_assert_eq!((0..n + more).filter(allowed).count() as f64, reachable);
                prop_assert_eq!(rows.len() as f64, mass);
                prop_assert!(mass > reachable);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn a_hidden_permutation_is_found(n in 1_usize..60, seed in any::<u64>()) {
        let draws = draws(seed, n);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&i, &k| draws[i].total_cmp(&draws[k]));
        let mut cost = uniform(seed ^ 1, (n, n)) + 0.75;
        order.iter().enumerate().for_each(|(i, &j)| cost[[i, j]] = 0.0);
        let found = assignment(&cost).unwrap();
        prop_assert_eq!((found.column, found.value), (order, 0.0));
    }
}

#[test]
fn eight_by_eight_as_scipy_has_it() {
    let cost = uniform(21, (8, 8)) + 0.5;
    let found = assignment(&cost).unwrap();
    certified(&cost, &found);
    assert_eq!(found.column, [5, 1, 3, 6, 2, 0, 4, 7]);
    assert!((found.value - 1.892_336_004_386_584_2).abs() < 1e-12);
    let narrow = assignment(&cost.mapv(|c| c as f32)).unwrap();
    assert_eq!(narrow.column, found.column);
}

#[test]
fn one_hundred_rows_of_points() {
    let (x, y) = (uniform(1, (100, 2)), uniform(2, (130, 2)));
    let cost =
        Array2::from_shape_fn((100, 130), |(i, j)| (&x.row(i) - &y.row(j)).mapv(|d| d * d).sum());
    certified(&cost, &assignment(&cost).unwrap());
}

#[test]
fn small_and_large() {
    let none = assignment(&Array2::<f64>::zeros((0, 3))).unwrap();
    assert!(none.column.is_empty() && none.value == 0.0);
    assert_eq!(assignment(&array![[5.0, -2.0]]).unwrap().column, [1]);
    assert_eq!(assignment(&Array2::from_elem((6, 6), 3.0)).unwrap().value, 18.0);
    let large = assignment(&array![[1e30, 1.0], [2.0, 1e30]]).unwrap();
    assert_eq!((large.column, large.value), (vec![1, 0], 3.0));
    let inf = f64::INFINITY;
    let one_way = array![[inf, 1.0, inf], [2.0, 1.0, inf], [3.0, 1.0, 9.0]];
    assert_eq!(assignment(&one_way).unwrap().column, [1, 0, 2]);
}

#[test]
fn what_is_refused() {
    let shape = Error::Shape { what: "cost", expected: [2, 2], found: [3, 2] };
    assert_eq!(assignment(&Array2::<f64>::zeros((3, 2))), Err(shape));
    let nan = array![[0.0, 1.0], [f64::NAN, 0.0]];
    let expected = Error::cost(1, 0, f64::NAN).unwrap_err().to_string();
    assert_eq!(assignment(&nan).unwrap_err().to_string(), expected);
    let inf = f64::INFINITY;
    let narrow = array![[inf, 1.0, inf], [1.0, 2.0, 3.0], [inf, 5.0, inf]];
    let error = Error::Infeasible { rows: vec![0, 2], mass: 2.0, reachable: 1.0 };
    assert_eq!(assignment(&narrow), Err(error));
}

//! Codes and the swapped loss.

use ndarray::{Array2, Axis, array, concatenate};
use swav_core::loss::swapped::{Swapped, swapped};
use swav_core::rows::l2_normalize;
use swav_core::{Rounds, codes, scores};

use crate::points;
use crate::swapped_figures::{CODES_1, CODES_3, CODES_10, DS1, DS2, LOSS};

/// Ten times what separates the two sources of the figures, and at least 1e-12.
const TOLERANCE: f64 = 1e-12;

fn unit(seed: u64, n: usize) -> Array2<f64> {
    l2_normalize(&(points(seed, n, 3) - 0.5)).0
}

fn close(found: &Array2<f64>, expected: &[[f64; 4]]) {
    for (row, expected) in found.rows().into_iter().zip(expected) {
        for (found, expected) in row.iter().zip(expected) {
            assert!((found - expected).abs() < TOLERANCE, "{found}, expected {expected}");
        }
    }
    assert_eq!(found.nrows(), expected.len());
}

#[test]
fn codes_after_1_3_and_10_rounds() {
    let s = scores(&unit(31, 6), &unit(32, 4)).unwrap();
    for (iterations, expected) in [(1, CODES_1), (3, CODES_3), (10, CODES_10)] {
        close(&codes(&s, Rounds { epsilon: 0.05, iterations }).unwrap(), expected);
    }
}

#[test]
fn swapped_loss_and_both_gradients() {
    let w = unit(32, 4);
    let (s1, s2) = (scores(&unit(31, 6), &w).unwrap(), scores(&unit(33, 6), &w).unwrap());
    let stack = |a: &Array2<f64>, b: &Array2<f64>| concatenate![Axis(0), *a, *b];
    let q = Rounds::default();
    let q = stack(&codes(&s1, q).unwrap(), &codes(&s2, q).unwrap());
    let loss = Swapped { views: 2, assign: &[0, 1], temperature: 0.1, batch_total: 6 };
    let (value, gradient) = swapped(&stack(&s1, &s2), &q, loss).unwrap();
    assert!((value - LOSS).abs() < TOLERANCE);
    close(&gradient, &[DS1, DS2].concat());
}

#[test]
fn codes_of_scores_whose_exponentials_overflow() {
    let s: Array2<f64> =
        array![[400.0, -400.0, 0.0], [-300.0, 350.0, 10.0], [5.0, 4.0, 390.0], [380.0, 1.0, -2.0]];
    let sinkhorn = Rounds { epsilon: 0.05, iterations: 20 };
    let expected: Array2<f64> =
        array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]];
    // The figures' own rounding is 3.5e-13.
    let q = codes(&s, sinkhorn).unwrap();
    assert!(q.iter().zip(&expected).all(|(q, e)| (q - e).abs() < TOLERANCE), "{q}");
    let q = codes(&s.mapv(|x| x as f32), sinkhorn).unwrap();
    assert!(q.iter().zip(&expected).all(|(q, e)| (*q as f64 - e).abs() < 1e-6));
}

use super::*;
use crate::laws::{central, directional, uniform};
use alloc::vec;

/// ⟨gradient, direction⟩ against a central difference of f along it.
fn gradient_holds(
    x: &Array2<f64>,
    gradient: &Array2<f64>,
    seed: u64,
    f: impl Fn(&Array2<f64>) -> f64,
) {
    let direction = uniform(seed, x.dim());
    let slope = central(|t| f(&(x + &(&direction * t))), 1e-5);
    directional(gradient, &direction, slope, 1e-8);
}

#[test]
fn each_backward_is_the_derivative_of_its_forward() {
    // 1, 7, 16 and 37 columns: tails of every kind.
    for (seed, columns) in [(1, 1), (2, 7), (3, 16), (4, 37)] {
        let x = uniform(seed, (5, columns)) * 4.0;
        let dy = uniform(seed + 10, (5, columns));
        let sum = |y: &Array2<f64>| (y * &dy).sum();

        let y = softmax(&x);
        gradient_holds(&x, &softmax_backward(&y, &dy).unwrap(), seed, |x| sum(&softmax(x)));
        let y = log_softmax(&x);
        gradient_holds(&x, &log_softmax_backward(&y, &dy).unwrap(), seed, |x| sum(&log_softmax(x)));
        let (y, norms) = l2_normalize(&x);
        let dx = l2_normalize_backward(&y, &norms, &dy).unwrap();
        gradient_holds(&x, &dx, seed, |x| sum(&l2_normalize(x).0));

        let dy1 = dy.column(0).to_owned();
        let y = log_sum_exp(&x);
        let dx = log_sum_exp_backward(&x, &y, &dy1).unwrap();
        gradient_holds(&x, &dx, seed, |x| (log_sum_exp(x) * &dy1).sum());
    }
}

#[test]
fn softmax_rows_sum_to_one_and_ignore_a_shift() {
    let x = uniform(5, (40, 33)) * 10.0;
    let y = softmax(&x);
    for (row, shifted) in y.rows().into_iter().zip(softmax(&(&x + 700.0)).rows()) {
        assert!((row.sum() - 1.0).abs() < 33.0 * f64::EPSILON);
        // x + 700 is rounded at 700 ε, and that is what exp sees.
        assert!(row.iter().zip(shifted).all(|(a, b)| (a - b).abs() <= 1e3 * f64::EPSILON * a));
    }
    let logs = log_softmax(&x);
    assert!(y.iter().zip(&logs).all(|(y, l)| (y.ln() - l).abs() < 1e-13));
}

#[test]
fn infinities_and_nans_come_out_as_the_formula_says() {
    let inf = f64::INFINITY;
    let x = ndarray::array![[-inf, -inf], [inf, 0.0], [f64::NAN, 0.0], [-inf, 1.0]];
    let y = log_sum_exp(&x);
    assert_eq!((y[0], y[1], y[3]), (-inf, inf, 1.0));
    assert!(y[2].is_nan());
    assert_eq!(softmax(&x).row(3).to_vec(), [0.0, 1.0]);
}

#[test]
fn a_row_of_zeros_has_no_direction_but_a_gradient() {
    let (y, norms) = l2_normalize(&Array2::<f64>::zeros((1, 3)));
    assert!(y.iter().all(|&v| v == 0.0));
    let dx = l2_normalize_backward(&y, &norms, &Array2::ones((1, 3))).unwrap();
    assert!(dx.iter().all(|&v| (v * NORM_FLOOR - 1.0).abs() < 1e-15));
}

#[test]
fn rows_that_are_not_contiguous_are_copied_at_the_door() {
    let x = uniform(6, (4, 9));
    let turned = x.t().to_owned();
    assert_eq!(softmax(&turned.t()), softmax(&x));
    assert_eq!(log_sum_exp(&turned.t()), log_sum_exp(&x));
}

#[test]
fn shapes_that_disagree_are_named() {
    let error = softmax_backward(&Array2::<f32>::zeros((2, 3)), &Array2::zeros((3, 3)));
    let expected = Error::Shape { what: "dy", expected: [2, 3], found: [3, 3] };
    assert_eq!(error.unwrap_err(), expected);
}

use super::*;
use crate::laws::{central, directional, draws, uniform};
use crate::transport::exact::line;
use alloc::vec;
use ndarray::{Array1, array};

fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w = Array1::from_vec(draws(seed, n)) + 0.1;
    &w / w.sum()
}

fn angles(count: usize) -> Array2<f64> {
    Array2::from_shape_fn((count, 2), |(k, axis)| {
        let angle = core::f64::consts::PI * k as f64 / count as f64;
        if axis == 0 { libm::cos(angle) } else { libm::sin(angle) }
    })
}

#[test]
fn five_by_four_as_pot_has_it() {
    let (x, y) = (uniform(1, (5, 2)) + 0.5, uniform(2, (4, 2)) + 0.5);
    let found = sliced(&x, &y, &weights(3, 5), &weights(4, 4), 2.0, &angles(16)).unwrap();
    assert!((found.value - 0.302_638_252_206_636_5).abs() < 1e-12);
}

#[test]
fn it_is_the_mean_of_lines() {
    let (x, y, w, v) = (uniform(1, (9, 3)), uniform(2, (6, 3)), weights(3, 9), weights(4, 6));
    // More than one direction a piece, and a last piece that is shorter.
    let directions = uniform(5, (37, 3));
    for p in [1.0, 2.0, 2.5] {
        let found = sliced(&x, &y, &w, &v, p, &directions).unwrap();
        let of = |t: ndarray::ArrayView1<'_, f64>| {
            line(&x.dot(&t), &y.dot(&t), &w, &v, p).unwrap().value
        };
        let mean = directions.rows().into_iter().map(of).sum::<f64>() / 37.0;
        assert!((found.value - mean.powf(1.0 / p)).abs() < 1e-15, "p = {p}");
    }
}

#[test]
fn gradients_are_derivatives_of_the_value() {
    let (x, y, w, v) = (uniform(1, (7, 3)), uniform(2, (5, 3)) + 0.2, weights(3, 7), weights(4, 5));
    let directions = uniform(5, (20, 3));
    let (along_x, along_y) = (uniform(6, (7, 3)), uniform(7, (5, 3)));
    for p in [1.0, 2.0, 3.5] {
        let value =
            |x: &Array2<f64>, y: &Array2<f64>| sliced(x, y, &w, &v, p, &directions).unwrap();
        let found = value(&x, &y);
        // Small enough a step that no two projections cross.
        let slope = central(|t| value(&(&x + &(&along_x * t)), &y).value, 1e-5);
        directional(&found.d_x, &along_x, slope, 1e-9);
        let slope = central(|t| value(&x, &(&y + &(&along_y * t))).value, 1e-5);
        directional(&found.d_y, &along_y, slope, 1e-9);
        // Moving both together changes nothing.
        let drift = found.d_x.sum_axis(ndarray::Axis(0)) + found.d_y.sum_axis(ndarray::Axis(0));
        assert!(drift.iter().all(|d| d.abs() < 1e-15));
    }
}

#[test]
fn nothing_to_move_and_refusals() {
    let (x, w) = (uniform(1, (6, 2)).mapv(|x| x as f32), Array1::from_elem(6, 0.5_f32));
    let axes = array![[1.0_f32, 0.0], [0.0, 1.0]];
    let same = sliced(&x, &x, &w, &w, 2.0, &axes).unwrap();
    assert!(same.value == 0.0 && same.d_x.iter().chain(&same.d_y).all(|&d| d == 0.0));
    let none = Array2::<f32>::zeros((0, 2));
    assert!(matches!(sliced(&x, &x, &w, &w, 2.0, &none), Err(Error::Parameter { .. })));
    let other = array![[1.0_f32, 0.0, 0.0]];
    assert!(matches!(sliced(&x, &x, &w, &w, 2.0, &other), Err(Error::Shape { .. })));
    assert!(matches!(sliced(&x, &x, &w, &w, 0.0, &axes), Err(Error::Parameter { .. })));
    let bad = &axes * f32::NAN;
    let error = Error::NonFinite { what: "directions", row: Some(0) };
    assert_eq!(sliced(&x, &x, &w, &w, 2.0, &bad), Err(error));
    // Points without coordinates are all in one place.
    let flat = Array2::<f32>::zeros((6, 0));
    assert_eq!(sliced(&flat, &flat, &w, &w, 2.0, &Array2::zeros((3, 0))).unwrap().value, 0.0);
}

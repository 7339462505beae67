use alloc::vec;
use alloc::vec::Vec;

use ndarray::{Array2, array};
use proptest::prelude::*;

use super::*;
use crate::laws::uniform;

const METRICS: [Metric; 4] =
    [Metric::SquaredEuclidean, Metric::Euclidean, Metric::Cosine, Metric::Dot];

/// All costs, row after row.
fn costs<T: Real>(x: &Array2<T>, y: &Array2<T>, metric: Metric) -> Result<Vec<T>, Error> {
    let points = Points::new(x, y, metric)?;
    let (n, m) = points.shape();
    let mut rows = alloc::vec![T::ZERO; n * m];
    rows.chunks_exact_mut(m).enumerate().for_each(|(i, row)| points.fill_row(i, row));
    Ok(rows)
}

/// Of numbers of d coordinates around 1, those scaled by 2^e have costs scaled as much, to the bit.
fn scaled<T: Real>(seed: u64, d: usize, e: i32) {
    let by = T::from_f64(libm::scalbn(1.0, e));
    let (x, y) = (uniform(seed, (5, d)), uniform(seed + 1, (4, d)));
    let (x, y) = (x.mapv(T::from_f64), y.mapv(T::from_f64));
    let (far_x, far_y) = (x.mapv(|x| x * by), y.mapv(|y| y * by));
    let near = costs(&x, &y, Metric::Euclidean).unwrap().into_iter().map(|c| c * by);
    assert!(near.eq(costs(&far_x, &far_y, Metric::Euclidean).unwrap()), "{e}");
    if e >= 0 {
        // Smaller ones may be shorter than 1e-12.
        let near = costs(&x, &y, Metric::Cosine).unwrap();
        assert_eq!(costs(&far_x, &far_y, Metric::Cosine).unwrap(), near, "{e}");
    }
    // Each of the two may be far off, as long as their product is not.
    let near = costs(&x, &y, Metric::Dot).unwrap();
    let against = y.mapv(|y| y * T::from_f64(libm::scalbn(1.0, -e)));
    assert_eq!(costs(&far_x, &against, Metric::Dot).unwrap(), near, "{e}");
}

proptest! {
    #[test]
    fn distances_scale_with_the_points(seed in 0_u64..1 << 60, d in 1_usize..40, e in -90_i32..90) {
        scaled::<f32>(seed, d, e);
        scaled::<f64>(seed, d, 10 * e);
    }
}

#[test]
fn distances_and_angles_of_large_and_small_points() {
    let (x, y) = (array![[0.0_f32]], array![[1e20_f32], [-3e38], [1e-25]]);
    assert_eq!(costs(&x, &array![[1e20_f32]], Metric::Euclidean).unwrap(), [1e20]);
    assert_eq!(costs(&x, &array![[1e-25_f32]], Metric::Euclidean).unwrap(), [1e-25]);
    assert_eq!(
        costs(&x, &array![[f32::from_bits(1)]], Metric::Euclidean).unwrap(),
        [f32::from_bits(1)]
    );
    assert_eq!(costs(&x, &y, Metric::Euclidean).unwrap()[..2], [1e20, 3e38]);
    let far = array![[0.0_f64], [1e160], [-1e308]];
    let found = costs(&far, &far, Metric::Euclidean).unwrap();
    assert_eq!(found[..3], [0.0, 1e160, 1e308]);
    let tiny = array![[0.0_f64], [5e-324], [3e-200]];
    assert_eq!(costs(&tiny, &tiny, Metric::Euclidean).unwrap()[..3], [0.0, 5e-324, 3e-200]);
    // Rows of any length, each of its own; one shorter than 1e-12 is divided by that.
    let x = array![[1e20_f32, 0.0], [0.0, 3e38], [1.0, 0.0], [-1e-3, 0.0], [0.0, 1e-13]];
    let found = costs(&x, &x, Metric::Cosine).unwrap();
    assert_eq!(found[..4], [0.0, 1.0, 0.0, 2.0]);
    assert_eq!(found[5..9], [1.0, 0.0, 1.0, 1.0]);
    assert!((found[9] - 0.9).abs() < 1e-6 && (found[24] - 0.99).abs() < 1e-6, "{found:?}");
}

#[test]
fn costs_beyond_the_type_are_refused_and_no_others() {
    fn refused<T: Real>(x: &Array2<T>, y: &Array2<T>, metric: Metric) -> (&'static str, f64) {
        match costs(x, y, metric) {
            Err(Error::Parameter { name, value, .. }) => (name, value),
            other => panic!("{metric:?} {other:?}"),
        }
    }
    let (x, y) = (array![[0.0_f64, 0.0]], array![[1.0_f64, 0.0], [3.0, -1e160]]);
    assert_eq!(refused(&x, &y, Metric::SquaredEuclidean), ("y", 1e160));
    assert_eq!(refused(&y, &x, Metric::SquaredEuclidean), ("x", 1e160));
    assert_eq!(refused(&y, &y, Metric::Dot), ("x", 1e160));
    assert!(costs(&y, &y, Metric::Euclidean).is_ok() && costs(&y, &x, Metric::Dot).is_ok());
    let ends = array![[3e38_f32], [-3e38]];
    assert_eq!(refused(&ends, &ends, Metric::Euclidean), ("x", f64::from(3e38_f32)));
    // 2e19 squared is 4e38; 1.8e19 squared fits, and so do differences of large numbers that are small.
    let at = |x: f32| array![[x]];
    assert_eq!(refused(&at(0.0), &at(2e19), Metric::SquaredEuclidean), ("y", f64::from(2e19_f32)));
    let largest = 1.8e19_f32;
    assert_eq!(
        costs(&at(0.0), &at(largest), Metric::SquaredEuclidean).unwrap(),
        [largest * largest]
    );
    assert_eq!(costs(&at(3e38), &at(3e38), Metric::SquaredEuclidean).unwrap(), [0.0]);
    assert_eq!(costs(&at(-largest), &at(largest), Metric::Dot).unwrap(), [largest * largest]);
    // Terms of a sum may be beyond the type where the sum is not.
    let far = libm::scalbnf(1.0, 100);
    let (x, y) = (array![[far, far]], array![[far, -far]]);
    assert_eq!(costs(&x, &y, Metric::Dot).unwrap(), [0.0]);
    let none = Array2::<f32>::zeros((3, 0));
    for metric in METRICS {
        let expected = if metric == Metric::Cosine { 1.0 } else { 0.0 };
        assert_eq!(costs(&none, &none, metric).unwrap(), [expected; 9]);
    }
}

//! Every instruction set of this machine gives the scalar results, within the rounding of sums taken
//! in another order. One test, because the choice is one for the whole process.

use ndarray::{Array1, Array2, Ix2, NdIndex};
use swav_core::loss::contrastive::{info_nce, nt_xent};
use swav_core::loss::cross_entropy;
use swav_core::loss::swapped::{Swapped, swapped};
use swav_core::transport::{Dense, Problem, Sinkhorn};
use swav_core::{Real, Rounds, codes, rows, simd};

fn numbers<T: Real>(seed: usize, shape: (usize, usize)) -> Array2<T>
where
    (usize, usize): NdIndex<Ix2>,
{
    Array2::from_shape_fn(shape, |(i, j)| {
        T::from_f64(((i * 7919 + j * 104_729 + seed * 31) % 10_007) as f64 / 10_007.0 - 0.5)
    })
}

/// What is compared: for each function the size of its terms and its results. The widths leave tails of every length
/// that a register of 16 numbers can.
fn results<T: Real>(columns: usize) -> Vec<(f64, Vec<f64>)> {
    let flat = |x: &Array2<T>| x.iter().map(|x| x.to_f64()).collect::<Vec<f64>>();
    let (x, dy) = (numbers::<T>(1, (40, columns)), numbers::<T>(2, (40, columns)));
    let soft = rows::softmax(&x);
    let logs = rows::log_softmax(&x);
    let (unit, norms) = rows::l2_normalize(&x);
    let kernel = codes(&x, Rounds { epsilon: 0.05, iterations: 3 }).unwrap();
    let log = codes(&x, Rounds { epsilon: 0.001, iterations: 3 }).unwrap();
    let loss = Swapped { views: 4, assign: &[0, 2], temperature: 0.1, batch_total: 10 };
    let q = kernel.slice(ndarray::s![..20, ..]).to_owned();
    let (value, gradient) = swapped(&x, &q, loss).unwrap();
    let targets: Vec<i32> = (0..40).map(|i| i % (columns as i32 + 1) - 1).collect();
    let (entropy, entropy_gradient) = cross_entropy(&x, &targets, 40).unwrap();
    let (near, d_near) = nt_xent(&unit, 2, 0.5).unwrap();
    let (info, d_info) = info_nce(&unit, &soft, &unit, 0.5, 40).unwrap();
    let weights = |n: usize| Array1::from_elem(n, T::from_f64(1.0 / n as f64));
    let geometry = Dense::new(&x);
    let problem = Problem::new(&geometry, &weights(40), &weights(columns), 0.5).unwrap();
    let moved = Sinkhorn::rounds(5).solve(&problem).unwrap();
    let steepest = 0.5 / norms.iter().fold(T::INFINITY, |m, &n| Real::min(m, n)).to_f64();
    vec![
        (1.0, flat(&soft)),
        (1.0, flat(&rows::softmax_backward(&soft, &dy).unwrap())),
        (1.0, flat(&logs)),
        (1.0, flat(&rows::log_softmax_backward(&logs, &dy).unwrap())),
        (1.0, flat(&unit)),
        (steepest, flat(&rows::l2_normalize_backward(&unit, &norms, &dy).unwrap())),
        (1.0, rows::log_sum_exp(&x).iter().map(|x| x.to_f64()).collect()),
        (1.0, flat(&kernel)),
        // The potentials lose (max − min)/ε = 1000 times as much, once a round.
        (3000.0, flat(&log)),
        (1.0, vec![value, entropy]),
        // 1 / (A (V−1) N τ) and 1 / N
        (1.0 / 6.0, flat(&gradient)),
        (1.0 / 40.0, flat(&entropy_gradient)),
        (1.0, vec![near, info, moved.value(), moved.linear()]),
        // 1 / (M τ), for sums of 40 terms
        (40.0 * 0.05, flat(&d_near)),
        (40.0 * 0.05, flat(&d_info)),
        (1.0, moved.f.to_vec()),
        (1.0, moved.g.to_vec()),
    ]
}

fn agree<T: Real>(isa: simd::Isa) {
    for columns in (1..40).chain([300]) {
        simd::limit(simd::Isa::Scalar).unwrap();
        let scalar = results::<T>(columns);
        simd::limit(isa).unwrap();
        assert_eq!(simd::isa(), isa);
        for (which, (found, expected)) in results::<T>(columns).iter().zip(&scalar).enumerate() {
            // exp differs by 4 units, a sum by its number of terms.
            let tolerance = (8 + columns) as f64 * T::EPSILON.to_f64();
            let scale = expected.1.iter().fold(expected.0, |m, x| m.max(x.abs()));
            for (a, b) in found.1.iter().zip(&expected.1) {
                assert!(
                    (a - b).abs() <= tolerance * scale,
                    "{} {}, {columns} columns, result {which}: {a}, scalar {b}",
                    isa.name(),
                    T::NAME
                );
            }
        }
    }
}

#[test]
fn every_instruction_set_gives_the_scalar_results() {
    for isa in simd::available() {
        println!("{}", isa.name());
        agree::<f32>(isa);
        agree::<f64>(isa);
    }
    let lacking = if cfg!(target_arch = "x86_64") { simd::Isa::Neon } else { simd::Isa::V4 };
    assert!(simd::limit(lacking).is_err());
    assert_eq!(simd::Isa::from_name("v3"), Some(simd::Isa::V3));
    assert_eq!(simd::Isa::from_name("mmx"), None);
}

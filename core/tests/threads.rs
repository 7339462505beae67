//! The number of threads changes no bit.
#![cfg(feature = "parallel")]

use ndarray::{Array1, Array2, Axis};
use swav_core::loss::contrastive::{info_nce, nt_xent};
use swav_core::loss::cross_entropy;
use swav_core::loss::swapped::{Swapped, swapped};
use swav_core::transport::{Dense, Method, Metric, Problem, Sinkhorn};
use swav_core::{Rounds, codes, rows, scores};

fn numbers(seed: usize, shape: (usize, usize)) -> Array2<f32> {
    Array2::from_shape_fn(shape, |(i, j)| {
        ((i * 7919 + j * 104_729 + seed * 31) % 10_007) as f32 / 10_007.0 - 0.5
    })
}

fn everything() -> Vec<Vec<u32>> {
    let bits = |x: &Array2<f32>| x.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    let z = rows::l2_normalize(&numbers(1, (400, 24))).0;
    let c = rows::l2_normalize(&numbers(2, (290, 24))).0;
    let s = scores(&z, &c).unwrap();
    let kernel = codes(&s, Rounds::default()).unwrap();
    let log = codes(&s, Rounds { epsilon: 0.01, iterations: 3 }).unwrap();
    let q = kernel.slice(ndarray::s![..200, ..]).to_owned();
    let loss = Swapped { views: 4, assign: &[0, 1], temperature: 0.1, batch_total: 100 };
    let (value, gradient) = swapped(&s, &q, loss).unwrap();
    let (dz, dc) = swav_core::scores::scores_backward(&z, &c, &gradient).unwrap();
    let targets: Vec<i32> = (0..400).map(|i| i % 280 - 1).collect();
    let (entropy, d_entropy) = cross_entropy(&s, &targets, 400).unwrap();
    let (near, d_near) = nt_xent(&z, 2, 0.1).unwrap();
    let (info, d_info) = info_nce(&z, &c.select(Axis(0), &[7; 400]), &c, 0.2, 400).unwrap();
    let (a, b) = (Array1::from_elem(400, 1.0 / 400.0), Array1::from_elem(290, 1.0 / 290.0));
    let cost = s.mapv(|s| 1.0 - s as f64);
    let geometry = Dense::new(&cost);
    let problem = Problem::new(&geometry, &a, &b, 0.05).unwrap();
    let split = |x: f64| vec![x.to_bits() as u32, (x.to_bits() >> 32) as u32];
    let mut all: Vec<_> = [value, entropy, near, info].map(split).into();
    for method in [Method::Log, Method::Kernel] {
        // Annealing, plain iterations, Newton steps in the kernel domain.
        let moved = Sinkhorn { method, ..Sinkhorn::default() }.solve(&problem).unwrap();
        all.push(split(moved.value()));
        all.extend([&moved.f, &moved.g].map(|x| x.iter().flat_map(|&x| split(x)).collect()));
        // L = ⟨C, P⟩, down to the cost and to the points.
        let back = moved.plan_backward(&geometry).unwrap();
        let [x, y] = [&z, &c].map(|points| points.mapv(f64::from));
        let [dx, dy] = back.points(&x, &y, Metric::Cosine).unwrap();
        all.push(split(back.d_epsilon));
        all.extend([back.cost(), dx, dy].map(|x| x.iter().flat_map(|&x| split(x)).collect()));
    }
    all.extend(
        [&s, &kernel, &log, &gradient, &dz, &dc, &d_entropy, &d_near, &d_info, &rows::softmax(&s)]
            .map(bits),
    );
    all
}

#[test]
fn one_two_and_three_threads_give_the_same_bits() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(everything)
    };
    let one = with(1);
    for threads in [2, 3, 8] {
        assert!(with(threads) == one, "{threads} threads");
    }
}

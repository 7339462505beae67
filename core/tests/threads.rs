//! The number of threads changes no bit.
#![cfg(feature = "parallel")]

use ndarray::{Array1, Array2, Axis};
use swav_core::loss::contrastive::{info_nce, nt_xent};
use swav_core::loss::cross_entropy;
use swav_core::loss::swapped::{Swapped, swapped};
use swav_core::transport::exact::{emd, sliced};
use swav_core::transport::{
    Barycenter, Capped, Dense, Grid, Marginal, Method, Metric, Partial, Points, Problem, Sinkhorn,
    SinkhornDivergence,
};
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
    all.extend(transport(&z.mapv(f64::from), &c.mapv(f64::from), &cost));
    all.extend(
        [&s, &kernel, &log, &gradient, &dz, &dc, &d_entropy, &d_near, &d_info, &rows::softmax(&s)]
            .map(bits),
    );
    all
}

/// The other solvers, between clouds of 400 and 290 points and costs (400, 290).
fn transport(x: &Array2<f64>, y: &Array2<f64>, cost: &Array2<f64>) -> Vec<Vec<u32>> {
    let mut all = Vec::new();
    let mut keep = |x: &mut dyn Iterator<Item = f64>| {
        all.push(x.flat_map(|x| [x.to_bits() as u32, (x.to_bits() >> 32) as u32]).collect());
    };
    let weights = |n: usize| {
        let w = Array1::from_shape_fn(n, |i| ((i * 37 % 11) as f64 - 1.0).max(0.0));
        &w / w.sum()
    };
    let (a, b) = (weights(400), weights(290));
    let geometry = Dense::new(cost);
    let options = Sinkhorn { max_iterations: 60, ..Sinkhorn::default() };

    let partial = Partial::new(&geometry, &a, &b, 0.02, 0.6).unwrap();
    let capped = Capped { max_iterations: 40, ..Capped::default() };
    let found = capped.solve(&partial).unwrap();
    let (sums, plan) = (found.sums(), found.plan());
    let numbers = found.f.iter().chain(&found.g).chain(&sums.columns).chain(&plan);
    keep(&mut numbers.copied().chain([found.multiplier, found.error, sums.linear]));

    let soft = [Marginal::Kl(0.3), Marginal::Hard];
    let soft = Problem::with_marginals(&geometry, &a, &b, 0.02, soft).unwrap();
    let points = Points::new(x, y, Metric::SquaredEuclidean).unwrap();
    let points = Problem::new(&points, &a, &b, 0.05).unwrap();
    let grid = |n: usize| Array2::from_shape_fn((n, n), |(i, j)| (i as f64 - j as f64).powi(2));
    let (rows, columns) = (grid(20), grid(20));
    let axes = Grid::new(&[&rows, &columns]);
    let on_grid = Problem::new(&axes, &a, &a, 0.5).unwrap();
    for problem in [soft, points, on_grid] {
        let found = options.solve(&problem).unwrap();
        let (sums, sparse) = (found.sums(), found.sparse(1e-6).unwrap());
        let numbers = found.f.iter().chain(&found.g).chain(&sums.rows).chain(&sums.columns);
        keep(&mut numbers.copied().chain([found.value(), found.error, sparse.left_out]));
        keep(&mut sparse.masses.iter().copied());
        keep(&mut found.mutual_best().into_iter().map(|best| best.2));
        if let Ok(bounds) = found.bounds() {
            keep(&mut [bounds.lower, bounds.upper].into_iter());
        }
    }
    let divergence = SinkhornDivergence { sinkhorn: options, ..SinkhornDivergence::new(0.1) };
    let found = divergence.with_gradients((x, &a), (y, &b), Metric::SquaredEuclidean).unwrap();
    keep(&mut found.0.d_a.iter().chain(&found.1[0]).chain(&found.1[1]).copied());

    let histograms = ndarray::stack![Axis(1), a, a.slice(ndarray::s![..;-1])];
    let half = Array1::from_elem(2, 0.5);
    for debiased in [false, true] {
        let way = Barycenter { debiased, max_iterations: 30, ..Barycenter::new(2.0) };
        keep(&mut way.solve(&axes, &histograms, &half).unwrap().q.into_iter());
    }
    let batch: Vec<_> = (0..70).map(|k| (k as f64 + 1.0) * 1e-2).collect();
    let batch: Vec<_> =
        batch.iter().map(|&e| Problem::new(&geometry, &a, &b, e).unwrap()).collect();
    let few = Sinkhorn { max_iterations: 3, ..options };
    keep(&mut few.solve_all(&batch).unwrap().iter().map(|found| found.error));
    keep(&mut std::iter::once(emd(cost, &a, &b).unwrap().value));
    let directions = x.slice(ndarray::s![..40, ..]).to_owned();
    let found = sliced(x, y, &a, &b, 2.0, &directions).unwrap();
    keep(&mut found.d_x.iter().chain(&found.d_y).copied().chain([found.value]));
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

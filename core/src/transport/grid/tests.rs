use super::*;
use crate::laws::draws;
use crate::transport::Reference;
use crate::transport::{Acceleration, Dense, Marginal, Method, Problem, Sinkhorn, Status};
use alloc::string::ToString;
use proptest::prelude::*;

/// Axes with costs in [0, 1), and all their sums.
fn axes<T: Real>(seed: u64, shapes: &[(usize, usize)]) -> Vec<Array2<T>> {
    let axis = |(at, &(k, l)): (usize, &(usize, usize))| {
        let costs = draws(seed ^ (at as u64 + 1), k * l);
        Array2::from_shape_vec((k, l), costs).unwrap().mapv(T::from_f64)
    };
    shapes.iter().enumerate().map(axis).collect()
}

fn grid<T: Real>(axes: &[Array2<T>]) -> Grid<T> {
    Grid { axes: axes.to_vec() }
}

fn dense<T: Real>(grid: &Grid<T>) -> Array2<T> {
    let (n, m) = grid.shape();
    let mut cost = Array2::from_elem((n, m), T::ZERO);
    for (i, mut row) in cost.rows_mut().into_iter().enumerate() {
        grid.fill_row(i, row.as_slice_mut().unwrap());
    }
    cost
}

/// Weights far from uniform, every fifth or so 0, of mass `mass`.
fn weights(seed: u64, n: usize, mass: f64) -> Array1<f64> {
    let mut w: Vec<f64> =
        draws(seed, 2 * n).chunks(2).map(|w| if w[1] < 0.2 { 0.0 } else { w[0] }).collect();
    w[seed as usize % n] += 0.5;
    let w = Array1::from_vec(w);
    &w * (mass / w.sum())
}

fn shapes() -> impl Strategy<Value = Vec<(usize, usize)>> {
    proptest::collection::vec((1_usize..7, 1_usize..7), 1..5)
        .prop_filter("small enough to write out", |shapes| {
            let size = |f: fn(&(usize, usize)) -> usize| shapes.iter().map(f).product::<usize>();
            size(|s| s.0) <= 200 && size(|s| s.1) <= 200
        })
        .boxed()
        .prop_union(proptest::collection::vec((17_usize..40, 9_usize..40), 1..2).boxed())
}

/// ε ln Σ_j exp((h_j − C_ij)/ε) by definition.
fn by_definition<T: Real>(cost: &Array2<T>, h: &[f64], epsilon: f64) -> Vec<f64> {
    let l = |row: ndarray::ArrayView1<'_, T>| {
        let z: Vec<f64> = row.iter().zip(h).map(|(c, h)| h - c.to_f64()).collect();
        let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if top == f64::NEG_INFINITY {
            return top;
        }
        let sum: f64 = z.iter().map(|z| libm::exp((z - top) / epsilon)).sum();
        top + epsilon * libm::log(sum)
    };
    cost.rows().into_iter().map(l).collect()
}

fn transform_is_the_definition<T: Real>(shapes: &[(usize, usize)], seed: u64, epsilon: f64) {
    let mut axes = axes::<T>(seed, shapes);
    if seed.is_multiple_of(3) {
        axes[0][[0, 0]] = T::INFINITY;
    }
    let grid = grid(&axes);
    let h: Vec<f64> = draws(seed ^ 9, grid.shape().1)
        .iter()
        .map(|&h| if h < 0.2 { f64::NEG_INFINITY } else { 3.0 * h })
        .collect();
    let mut found = Axes::<T>::new(&grid.towards(0), epsilon);
    found.h.extend(&h);
    found.transform();
    let expected = by_definition(&dense(&grid), &h, epsilon);
    assert_eq!(found.h.len(), expected.len());
    // Each stage rounds numbers up to 7 (h and costs) once in T where they meet, and sums of l terms up to exp(0) in T,
    // whose logarithm counts ε times; the definition's costs are rounded too.
    let terms: usize = shapes.iter().map(|s| s.1 + 8).sum();
    let unit = T::EPSILON.to_f64();
    let tolerance = unit * (7.0 * 2.0 * shapes.len() as f64 + epsilon * terms as f64);
    for (found, expected) in found.h.iter().zip(expected) {
        let same = *found == expected || (found - expected).abs() <= tolerance;
        assert!(same, "{found} {expected} at ε = {epsilon}, {shapes:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_transform_by_axes_is_the_transform(shapes in shapes(), seed in any::<u64>(), e in -5.0_f64..1.0) {
        transform_is_the_definition::<f64>(&shapes, seed, 10.0_f64.powf(e));
        transform_is_the_definition::<f32>(&shapes, seed, 10.0_f64.powf(e));
    }

    #[test]
    fn a_grid_is_the_dense_problem(
        shapes in shapes(), seed in any::<u64>(), e in -2.0_f64..0.5, kind in 0_usize..6,
    ) {
        let grid = grid(&axes::<f64>(seed, &shapes));
        let (n, m) = grid.shape();
        let cost = dense(&grid);
        let written_out = Dense::new(&cost);
        let epsilon = 10.0_f64.powf(e);
        let (hard, soft) = (Marginal::Hard, Marginal::Kl(0.7));
        let marginals = [[hard, hard], [soft, soft], [hard, soft]][kind % 3];
        let heavier = if kind % 3 == 0 { 1.5 } else { 2.5 };
        let (a, b) = (weights(seed ^ 1, n, 1.5), weights(seed ^ 2, m, heavier));
        let reference = if kind < 3 { Reference::Product } else { Reference::Counting };
        let problems = [&grid as &dyn Geometry<f64>, &written_out].map(|geometry| {
            let problem = Problem::with_marginals(geometry, &a, &b, epsilon, marginals).unwrap();
            problem.with_reference(reference)
        });
        // Sums of at most four costs below 1, in another order.
        let [x, y] = problems.each_ref().map(|problem| problem.range);
        let near = |x: f64, y: f64| (x - y).abs() <= 8.0 * f64::EPSILON;
        prop_assert!(near(x.least, y.least) && near(x.most, y.most) && x.forbidden == y.forbidden);
        // Iterate by iterate: seven rounds are the same numbers but for rounding, of exponents up to 4/ε = 400.
        for method in [Method::Auto, Method::Log] {
            let options = Sinkhorn { method, ..Sinkhorn::rounds(7) };
            let [x, y] = problems.each_ref().map(|problem| options.solve(problem).unwrap());
            let near = |x: f64, y: f64| (x - y).abs() <= 1e-12 * (1.0 + x.abs());
            prop_assert!(x.f.iter().zip(&y.f).all(|(x, y)| near(*x, *y)), "{} {}", x.f, y.f);
            prop_assert!(x.g.iter().zip(&y.g).all(|(x, y)| near(*x, *y)), "{} {}", x.g, y.g);
            prop_assert!(near(x.error, y.error));
            // Everything that is computed from sums.
            let (s, t) = (x.sums(), y.sums());
            prop_assert!(s.rows.iter().zip(&t.rows).all(|(x, y)| near(*x, *y)));
            prop_assert!(s.columns.iter().zip(&t.columns).all(|(x, y)| near(*x, *y)));
            prop_assert!(near(s.linear, t.linear), "{} {}", s.linear, t.linear);
            prop_assert!(near(x.value(), y.value()) && near(x.dual(), y.dual()));
            prop_assert!((x.kl() - y.kl()).abs() <= 1e-12 * (1.0 + 1.0 / epsilon) * 10.0);
        }
    }
}

#[test]
fn small_epsilon_converges_to_the_dense_solution() {
    // Costs of 6 × 5 × 4 points up to 3, ε = 0.002: exponents of 1500, which no product of kernels can hold.
    let grid = grid(&axes::<f64>(4, &[(6, 5), (5, 6), (3, 4)]));
    let cost = dense(&grid);
    let written_out = Dense::new(&cost);
    let (a, b) = (weights(1, 90, 1.0), weights(2, 120, 1.0));
    let accelerated = Sinkhorn { tolerance: 1e-11, max_iterations: 100_000, ..Sinkhorn::default() };
    let [x, y] = [&grid as &dyn Geometry<f64>, &written_out].map(|geometry| {
        let problem = Problem::new(geometry, &a, &b, 0.002).unwrap();
        let solution = accelerated.solve(&problem).unwrap();
        assert_eq!(solution.status, Status::Converged);
        (solution.plan(), solution.value())
    });
    assert!(x.0.iter().zip(&y.0).all(|(x, y)| (x - y).abs() <= 1e-9));
    assert!((x.1 - y.1).abs() <= 1e-10);
}

#[test]
fn acceleration_and_start_work_on_a_grid_as_on_a_matrix() {
    let grid = grid(&axes::<f64>(4, &[(6, 5), (5, 6)]));
    let (a, b) = (weights(1, 30, 1.0), weights(2, 30, 1.0));
    let problem = Problem::new(&grid, &a, &b, 0.02).unwrap();
    let iterations = |acceleration| {
        let options = Sinkhorn { acceleration, annealing: 1.0, ..Sinkhorn::default() };
        let solution = options.solve(&problem).unwrap();
        assert_eq!(solution.status, Status::Converged);
        solution.iterations
    };
    let (plain, relaxed) = (iterations(Acceleration::None), iterations(Acceleration::Adaptive));
    assert!(relaxed < plain, "{relaxed} {plain}");
    let solution = Sinkhorn::default().solve(&problem).unwrap();
    assert!(solution.report.reason.contains("axes"));
    let again = Sinkhorn::default().solve_from(&problem, Some(&solution.potentials()), |_| true);
    assert_eq!(again.unwrap().iterations, 1);
    // A workspace that has seen another grid at the same ε.
    let mut workspace = crate::transport::Workspace::new();
    let other = Grid::new(&[&axes::<f64>(5, &[(30, 30)])[0]]);
    let others = Problem::new(&other, &a, &b, 0.02).unwrap();
    Sinkhorn::rounds(3).start(&others, &mut workspace, None).unwrap().step();
    let mut run = Sinkhorn::default().start(&problem, &mut workspace, None).unwrap();
    while run.step().status.is_none() {}
    assert_eq!(run.finish().f, solution.f);
    // A kernel is made when asked for.
    let kernel = Sinkhorn { method: Method::Kernel, ..Sinkhorn::default() };
    let kernel = kernel.solve(&problem).unwrap();
    assert_eq!(kernel.report.method, Method::Kernel);
    assert!(kernel.f.iter().zip(&solution.f).all(|(x, y)| (x - y).abs() < 1e-8));
}

#[test]
fn f32_on_a_grid_is_f32() {
    let axes = axes::<f32>(4, &[(12, 9), (9, 12)]);
    let grid = grid(&axes);
    let (a, b) = (weights(1, 108, 1.0), weights(2, 108, 1.0));
    let (narrow_a, narrow_b) = (a.mapv(|a| a as f32), b.mapv(|b| b as f32));
    let problem = Problem::new(&grid, &narrow_a, &narrow_b, 0.05).unwrap();
    let solution = Sinkhorn::default().solve(&problem).unwrap();
    // Stages sum 9 and 12 terms; exponents reach 2/0.05.
    assert!(solution.error < 60.0 * f32::EPSILON as f64, "{}", solution.error);
    let wide: Vec<Array2<f64>> = axes.iter().map(|axis| axis.mapv(|c| c as f64)).collect();
    let wide = Grid { axes: wide };
    let problem = Problem::new(&wide, &a, &b, 0.05).unwrap();
    let exact = Sinkhorn::default().solve(&problem).unwrap();
    assert!((solution.value() - exact.value()).abs() < 1e-6);
    assert!((solution.linear() - exact.linear()).abs() < 1e-6);
}

#[test]
fn bad_costs_are_found_with_their_row() {
    let mut axes = axes::<f64>(4, &[(3, 2), (4, 5)]);
    axes[0][[2, 1]] = f64::NAN;
    let (a, b) = (weights(1, 12, 1.0), weights(2, 10, 1.0));
    let refused = |axes: &[Array2<f64>]| {
        let grid = grid(axes);
        let cost = dense(&grid);
        let errors = [
            Problem::new(&grid, &a, &b, 0.1).unwrap_err(),
            Problem::new(&Dense::new(&cost), &a, &b, 0.1).unwrap_err(),
        ];
        // By their words: a NaN is not equal to itself.
        assert_eq!(errors[0].to_string(), errors[1].to_string());
    };
    refused(&axes);
    axes[0][[2, 1]] = 0.0;
    axes[1][[3, 0]] = f64::NEG_INFINITY;
    refused(&axes);
    // A forbidden step along an axis that leaves a row no way to go.
    axes[1].row_mut(3).fill(f64::INFINITY);
    refused(&axes);
}

#[test]
#[cfg(feature = "parallel")]
fn the_same_bits_for_any_number_of_threads() {
    // Stages of several pieces of work.
    let axes = axes::<f32>(4, &[(70, 60), (50, 70)]);
    let grid = grid(&axes);
    let (n, m) = grid.shape();
    let (a, b) = (weights(1, n, 1.0).mapv(|a| a as f32), weights(2, m, 1.0).mapv(|b| b as f32));
    let problem = Problem::new(&grid, &a, &b, 0.03).unwrap();
    let solve = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let solution = pool.install(|| Sinkhorn::rounds(5).solve(&problem).unwrap());
        (solution.f, solution.g, solution.error)
    };
    let one = solve(1);
    assert!(one.0.iter().all(|f| f.is_finite()));
    assert_eq!(one, solve(3));
    assert_eq!(one, solve(8));
}

use super::*;
use crate::laws::draws;
use crate::transport::{Dense, Marginal, Points, Sinkhorn};
use crate::transport::{Metric, Problem};
use proptest::prelude::*;

/// The reference cases' points and weights.
fn points(seed: u64, n: usize, d: usize) -> Array2<f64> {
    Array2::from_shape_vec((n, d), draws(seed, n * d)).unwrap()
}

fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w = Array1::from_vec(draws(seed, n)) + 0.1;
    &w / w.sum()
}

/// |x − y|²
fn squares(x: &Array2<f64>, y: &Array2<f64>) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows(), y.nrows()), |(i, j)| {
        x.row(i).iter().zip(y.row(j)).map(|(x, y)| (x - y) * (x - y)).sum()
    })
}

const ROUNDS: [u32; 6] = [1, 2, 5, 20, 100, 1000];

/// The interval contains `exact` after any number of iterations.
fn contains<T: Real>(
    cost: &Array2<T>,
    a: &Array1<T>,
    b: &Array1<T>,
    epsilon: f64,
    exact: impl Fn(&Problem<'_, T>) -> f64,
) {
    let geometry = Dense::new(cost);
    let problem = Problem::new(&geometry, a, b, epsilon).unwrap();
    let exact = exact(&problem);
    for rounds in ROUNDS {
        let bounds = Sinkhorn::rounds(rounds).solve(&problem).unwrap().bounds().unwrap();
        assert!(bounds.contains(exact), "{bounds:?} after {rounds} at ε = {epsilon}: {exact}");
    }
}

#[test]
fn the_interval_holds_the_emd_of_the_reference_cases_and_shrinks_on_it() {
    let base = (squares(&points(1, 5, 2), &points(2, 4, 2)), weights(3, 5), weights(4, 4));
    let large = (squares(&points(71, 20, 3), &points(72, 30, 3)), weights(73, 20), weights(74, 30));
    // Cases 63 and 64, known to 5e-16: within the outward rounding of the interval.
    for ((cost, a, b), emd) in [(base, 0.194_973_150_629_173), (large, 0.104_177_312_167_617)] {
        // The figures have 15 digits, and the interval at convergence is as narrow as that: a unit of the last digit.
        let digits = 1e-15;
        for epsilon in [1.0, 0.1, 0.01, 0.001] {
            let geometry = Dense::new(&cost);
            let problem = Problem::new(&geometry, &a, &b, epsilon).unwrap();
            for rounds in ROUNDS {
                let bounds = Sinkhorn::rounds(rounds).solve(&problem).unwrap().bounds().unwrap();
                assert!(bounds.lower <= emd + digits && emd - digits <= bounds.upper, "{bounds:?}");
            }
            let (cost, a, b) =
                (cost.mapv(|c| c as f32), a.mapv(|a| a as f32), b.mapv(|b| b as f32));
            let geometry = Dense::new(&cost);
            let problem = Problem::new(&geometry, &a, &b, epsilon).unwrap();
            // Costs and weights of f32 are another problem, as far off as their rounding: at most u in each cost, and
            // (n + m) u of mass moved by at most the largest cost, here below 3.
            let off = f32::EPSILON as f64 * (1.0 + 3.0 * 50.0);
            for rounds in ROUNDS {
                let bounds = Sinkhorn::rounds(rounds).solve(&problem).unwrap().bounds().unwrap();
                assert!(bounds.lower <= emd + off && emd - off <= bounds.upper, "{bounds:?}");
            }
        }
        let geometry = Dense::new(&cost);
        // More iterations at a small ε: not from each to the next, but by orders of magnitude.
        let problem = Problem::new(&geometry, &a, &b, 0.001).unwrap();
        let [first, last] = [1, 10_000].map(|rounds| {
            Sinkhorn::rounds(rounds).solve(&problem).unwrap().bounds().unwrap().width()
        });
        assert!(last < 0.05 * first, "{first} {last}");
        let widths: Vec<f64> = [0.1, 0.01, 0.001]
            .map(|epsilon| {
                let problem = Problem::new(&geometry, &a, &b, epsilon).unwrap();
                Sinkhorn::default().solve(&problem).unwrap().bounds().unwrap().width()
            })
            .into();
        assert!(widths[1] < 0.5 * widths[0] && widths[2] < 0.1 * widths[1], "{widths:?}");
        assert!(widths[2] < 2e-3 * emd, "{widths:?}");
    }
}

/// Optimal transport of two sources: targets are filled by source 0 in the order of C_0j − C_1j.
fn two_sources<T: Real>(problem: &Problem<'_, T>) -> f64 {
    let (a, b) = problem.weights();
    let mut cost = alloc::vec![T::ZERO; 2 * b.len()];
    cost.chunks_exact_mut(b.len()).enumerate().for_each(|(i, c)| problem.geometry.fill_row(i, c));
    let cost: Vec<f64> = cost.iter().map(|c| c.to_f64()).collect();
    let (first, second) = cost.split_at(b.len());
    let mut order: Vec<usize> = (0..b.len()).collect();
    order.sort_by(|&i, &j| (first[i] - second[i]).total_cmp(&(first[j] - second[j])));
    let (mut left, mut value) = (a[0], 0.0);
    for j in order {
        let moved = b[j].min(left);
        left -= moved;
        value += moved * first[j] + (b[j] - moved) * second[j];
    }
    value
}

/// The north-west corner rule, which is optimal for sorted points and a convex cost.
fn corner<T: Real>(problem: &Problem<'_, T>) -> f64 {
    let (a, b) = problem.weights();
    let mut cost = alloc::vec![T::ZERO; b.len()];
    let (mut j, mut open, mut value) = (0, b[0], 0.0);
    for (i, &a) in a.iter().enumerate() {
        problem.geometry.fill_row(i, &mut cost);
        let mut left = a;
        loop {
            let moved = left.min(open);
            value += moved * cost[j].to_f64();
            (left, open) = (left - moved, open - moved);
            if left <= 0.0 || j + 1 == b.len() {
                break;
            }
            (j, open) = (j + 1, b[j + 1]);
        }
    }
    value
}

/// Weights far from uniform, some 0, of mass k.
fn masses<T: Real>(seed: u64, n: usize, k: f64) -> Array1<T> {
    let mut w: Vec<f64> =
        draws(seed, 2 * n).chunks(2).map(|w| if w[1] < 0.2 { 0.0 } else { w[0] }).collect();
    w[seed as usize % n] += 0.5;
    let mass: f64 = w.iter().sum();
    w.into_iter().map(|w| T::from_f64(w * k / mass)).collect()
}

/// Sorted multiples of 1/64 in [0, 1): their squared distances are exact in f32, so that the cost stays convex.
fn sorted(seed: u64, n: usize) -> Vec<f64> {
    let mut x: Vec<f64> = draws(seed, n).iter().map(|x| libm::floor(64.0 * x) / 64.0).collect();
    x.sort_by(f64::total_cmp);
    x
}

fn line<T: Real>(seed: u64, (n, m): (usize, usize)) -> Array2<T> {
    let (x, y) = (sorted(seed, n), sorted(seed ^ 7, m));
    Array2::from_shape_fn((n, m), |(i, j)| T::from_f64((x[i] - y[j]) * (x[i] - y[j])))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_interval_holds_the_cost_of_two_sources(
        m in 1_usize..30, seed in any::<u64>(), e in -3.0_f64..1.0, size in -3.0_f64..6.0, k in 0.1_f64..10.0,
    ) {
        let (size, epsilon) = (10.0_f64.powf(size), 10.0_f64.powf(e + size));
        let cost = crate::laws::uniform(seed, (2, m)) * size;
        contains(&cost, &masses(seed ^ 1, 2, k), &masses(seed ^ 2, m, k), epsilon, two_sources);
        let cost = cost.mapv(|c| c as f32);
        contains(&cost, &masses(seed ^ 1, 2, k), &masses(seed ^ 2, m, k), epsilon, two_sources);
    }

    #[test]
    fn the_interval_holds_the_cost_on_a_line(
        n in 1_usize..40, m in 1_usize..40, seed in any::<u64>(), e in -3.5_f64..1.0, k in 0.1_f64..10.0,
    ) {
        let epsilon = 10.0_f64.powf(e);
        let (a, b) = (masses(seed ^ 1, n, k), masses(seed ^ 2, m, k));
        contains(&line::<f64>(seed, (n, m)), &a, &b, epsilon, corner);
        let (a, b) = (masses(seed ^ 1, n, k), masses(seed ^ 2, m, k));
        contains(&line::<f32>(seed, (n, m)), &a, &b, epsilon, corner);
    }

    #[test]
    fn rounding_gives_the_marginals_and_moves_no_more_than_the_errors(
        n in 1_usize..40, m in 1_usize..40, seed in any::<u64>(), e in -3.0_f64..1.0, rounds in 1_u32..20,
    ) {
        let cost = crate::laws::uniform(seed, (n, m));
        let geometry = Dense::new(&cost);
        let (a, b) = (masses(seed ^ 1, n, 2.5), masses(seed ^ 2, m, 2.5));
        let problem = Problem::new(&geometry, &a, &b, 10.0_f64.powf(e)).unwrap();
        let solution = Sinkhorn::rounds(rounds).solve(&problem).unwrap();
        let rounded = solution.round().unwrap();
        let (q, p, sums) = (rounded.plan(), solution.plan(), solution.sums());
        let (a, b) = problem.weights();
        // n + m additions of numbers that sum to 2.5.
        let tiny = 2.5 * (n + m) as f64 * f64::EPSILON;
        for (sum, a) in q.sum_axis(ndarray::Axis(1)).iter().zip(a) {
            prop_assert!((sum - a).abs() <= tiny && (*a > 0.0 || *sum == 0.0));
        }
        for (sum, b) in q.sum_axis(ndarray::Axis(0)).iter().zip(b) {
            prop_assert!((sum - b).abs() <= tiny && (*b > 0.0 || *sum == 0.0));
        }
        prop_assert!(q.iter().all(|&q| q >= 0.0));
        let error = sums.rows.iter().zip(a).chain(sums.columns.iter().zip(b));
        let error: f64 = error.map(|(s, w)| (s - w).abs()).sum();
        let moved = (&q - &p).iter().map(|d| d.abs()).sum::<f64>();
        prop_assert!(moved <= 2.0 * error + 4.0 * tiny, "{moved} {error}");
        prop_assert!((rounded.distance() - moved).abs() <= 4.0 * tiny);
        prop_assert!((rounded.linear() - (&q * &cost).sum()).abs() <= 4.0 * tiny);
    }
}

#[test]
fn rounding_a_third_iterate_is_the_reference_case() {
    // Case 73: 5 × 4, three iterations at ε = 0.01.
    let cost = squares(&points(1, 5, 2), &points(2, 4, 2));
    let (a, b) = (weights(3, 5), weights(4, 4));
    let geometry = Dense::new(&cost);
    // The iterate of the reference starts at f = 0 of the counting measure; with a⊗b it would be another.
    let problem = Problem::new(&geometry, &a, &b, 0.01).unwrap();
    let problem = problem.with_reference(Reference::Counting);
    let solution = Sinkhorn::rounds(3).solve(&problem).unwrap();
    let rounded = solution.round().unwrap();
    // Exponents up to 100: their rounding is 100 machine epsilons of each entry.
    let tolerance = 1e-13;
    assert!((rounded.linear() - 0.254_734_301_117_122_86).abs() <= tolerance);
    assert!((rounded.distance() - 0.804_730_820_682_206_7).abs() <= tolerance);
    let plan = rounded.plan();
    for (found, expected) in plan.row(1).iter().zip([
        5.750_309_977_611_204e-7,
        0.080_795_602_539_651_89,
        0.053_902_602_733_506_72,
        0.026_359_049_082_711_38,
    ]) {
        assert!((found - expected).abs() <= tolerance, "{found} {expected}");
    }
}

#[test]
fn a_forbidden_pair_leaves_the_lower_bound() {
    // The two pairs of case 18; its lower bound must hold for the cost of any plan that avoids them.
    let mut cost = squares(&points(1, 5, 2), &points(2, 4, 2));
    cost[[0, 0]] = f64::INFINITY;
    cost[[3, 2]] = f64::INFINITY;
    let (a, b) = (weights(3, 5), weights(4, 4));
    let geometry = Dense::new(&cost);
    let problem = Problem::new(&geometry, &a, &b, 0.01).unwrap();
    let solution = Sinkhorn::default().solve(&problem).unwrap();
    let bounds = solution.bounds().unwrap();
    assert_eq!(bounds.upper, f64::INFINITY);
    // At convergence the plan is feasible to 1e-9, so its cost exceeds the optimum but for 1e-9.
    let linear = solution.linear();
    assert!(bounds.lower <= linear + 1e-9 && bounds.lower > 0.95 * linear, "{bounds:?} {linear}");
}

#[test]
fn far_clusters_and_huge_costs_stay_inside() {
    let (x, y) = (points(1, 5, 2), points(2, 4, 2) + 1e4);
    let (a, b) = (weights(3, 5), weights(4, 4));
    let geometry = Points::new(&x, &y, Metric::SquaredEuclidean).unwrap();
    let problem = Problem::new(&geometry, &a, &b, 0.01).unwrap();
    let bounds = Sinkhorn::default().solve(&problem).unwrap().bounds().unwrap();
    // ε ln 4 is what the entropy can cost; that the costs are 2e8, of which f64 keeps 3e-8, hardly shows.
    assert!(bounds.lower > 1.9e8 && bounds.width() < 0.01 * libm::log(4.0), "{bounds:?}");
    for scale in [1e30, 1e300] {
        let cost = crate::laws::uniform(5, (2, 7)) * scale;
        contains(&cost, &masses(1, 2, 1.0), &masses(2, 7, 1.0), 1e-3, two_sources);
    }
}

#[test]
fn only_hard_marginals_have_feasible_plans() {
    let cost = squares(&points(1, 5, 2), &points(2, 4, 2));
    let (a, b) = (weights(3, 5), weights(4, 4));
    let geometry = Dense::new(&cost);
    let marginals = [Marginal::Hard, Marginal::Kl(1.0)];
    let problem = Problem::with_marginals(&geometry, &a, &b, 0.1, marginals).unwrap();
    let solution = Sinkhorn::default().solve(&problem).unwrap();
    let refused = Error::Parameter {
        name: "rho",
        value: 1.0,
        requirement: "infinite: only for hard marginals is a plan feasible or not",
    };
    assert_eq!(solution.bounds().unwrap_err(), refused);
    assert_eq!(solution.round().unwrap_err(), refused);
}

#[test]
fn the_reference_measure_changes_neither_plan_nor_interval() {
    let cost = squares(&points(1, 5, 2), &points(2, 4, 2));
    let (a, b) = (weights(3, 5), weights(4, 4));
    let geometry = Dense::new(&cost);
    let product = Problem::new(&geometry, &a, &b, 0.05).unwrap();
    let counting = product.clone().with_reference(Reference::Counting);
    let [x, y] = [&product, &counting]
        .map(|problem| Sinkhorn::default().solve(problem).unwrap().bounds().unwrap());
    // Both are converged to 1e-9.
    assert!((x.lower - y.lower).abs() < 1e-8 && (x.upper - y.upper).abs() < 1e-8, "{x:?} {y:?}");
}

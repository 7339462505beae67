use super::*;
use crate::laws::uniform;
use proptest::prelude::*;

/// The definition, plainly, in f64 and in the log domain: rounds of prototypes, then samples.
fn plain(scores: &Array2<f64>, rounds: Rounds) -> Array2<f64> {
    let (b, k) = scores.dim();
    let a = scores / rounds.epsilon;
    let lse = |x: Vec<f64>| {
        let m = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        m + x.iter().map(|x| libm::exp(x - m)).sum::<f64>().ln()
    };
    let (mut u, mut v) = (alloc::vec![0.0; k], alloc::vec![0.0; b]);
    for _ in 0..rounds.iterations {
        for j in 0..k {
            u[j] = -(k as f64).ln() - lse((0..b).map(|i| a[[i, j]] + v[i]).collect());
        }
        for i in 0..b {
            v[i] = -(b as f64).ln() - lse((0..k).map(|j| a[[i, j]] + u[j]).collect());
        }
    }
    Array2::from_shape_fn((b, k), |(i, j)| b as f64 * libm::exp(a[[i, j]] + u[j] + v[i]))
}

/// Rounding of scores by `epsilon` machine units moves exponents by that times their range, once for
/// the input and once for each potential; sums of B or K terms add their own.
fn bound(unit: f64, range: f64, s: Rounds, terms: usize) -> f64 {
    (4.0 * range / s.epsilon + 2.0 * terms as f64) * (s.iterations + 1) as f64 * unit
}

fn largest_difference(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn problem() -> impl Strategy<Value = (Array2<f64>, Rounds)> {
    let sizes = (1_usize..70, 1_usize..40, any::<u64>());
    let scale = prop_oneof![Just(1.0), Just(0.1), Just(30.0), Just(1e4)];
    (sizes, scale, -3.0_f64..1.0, 1_u32..6).prop_map(|((b, k, seed), scale, e, iterations)| {
        // Columns of different popularity, so that balance has work to do.
        let popular = uniform(seed ^ 7, (1, k));
        let scores = (uniform(seed, (b, k)) + &popular) * scale;
        (scores, Rounds { epsilon: 10.0_f64.powf(e), iterations })
    })
}

proptest! {
    #[test]
    fn codes_are_the_definition_in_both_domains_and_types((scores, s) in problem()) {
        let range = 2.0 * scores.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        let (b, k) = scores.dim();
        let q = codes(&scores, s).unwrap();
        let tolerance = bound(f64::EPSILON, range, s, b + k);
        prop_assert!(largest_difference(&q, &plain(&scores, s)) <= tolerance);

        let single = scores.mapv(|x| x as f32);
        let q = codes(&single, s).unwrap();
        prop_assert!(q.iter().all(|q| q.is_finite() && *q >= 0.0));
        for row in q.rows() {
            let sum: f64 = row.iter().map(|&x| x as f64).sum();
            prop_assert!((sum - 1.0).abs() <= (k + 4) as f64 * f32::EPSILON as f64, "row sums to {sum}");
        }
        let truth = plain(&single.mapv(|x| x as f64), s);
        let tolerance = bound(f32::EPSILON as f64, range, s, b + k);
        prop_assert!(largest_difference(&q.mapv(|x| x as f64), &truth) <= tolerance);
    }

    #[test]
    fn a_constant_for_all_or_for_a_prototype_changes_nothing((scores, s) in problem(), c in -5.0..5.0) {
        let (b, k) = scores.dim();
        let q = codes(&scores, s).unwrap();
        let shift = uniform(3, (1, k)) * 4.0 + c;
        let range = 2.0 * scores.iter().fold(0.0_f64, |m, x| m.max(x.abs())) + 20.0;
        let shifted = codes(&(&scores + &shift), s).unwrap();
        prop_assert!(largest_difference(&q, &shifted) <= bound(f64::EPSILON, range, s, b + k));
    }

    #[test]
    fn permuting_samples_and_prototypes_permutes_codes((scores, s) in problem()) {
        let (b, k) = scores.dim();
        let turned = Array2::from_shape_fn((b, k), |(i, j)| scores[[b - 1 - i, k - 1 - j]]);
        let (q, t) = (codes(&scores, s).unwrap(), codes(&turned, s).unwrap());
        let back = Array2::from_shape_fn((b, k), |(i, j)| t[[b - 1 - i, k - 1 - j]]);
        let range = 2.0 * scores.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        prop_assert!(largest_difference(&q, &back) <= bound(f64::EPSILON, range, s, b + k));
    }

    #[test]
    fn rounds_never_unbalance_the_prototypes((scores, s) in problem()) {
        let (b, k) = scores.dim();
        let deviation = |iterations| -> f64 {
            let q = codes(&scores, Rounds { iterations, ..s }).unwrap();
            let share = b as f64 / k as f64;
            q.columns().into_iter().map(|c| (c.sum() - share).abs()).sum()
        };
        let range = 2.0 * scores.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        let slack = bound(f64::EPSILON, range, Rounds { iterations: 12, ..s }, b + k) * b as f64;
        prop_assert!(deviation(4) <= deviation(2) + slack);
        prop_assert!(deviation(12) <= deviation(4) + slack);
    }
}

#[test]
fn a_constant_for_each_sample_changes_three_rounds() {
    let scores = uniform(64, (64, 32)) * 2.0;
    let shift = uniform(65, (64, 1)) * 2.0;
    let s = Rounds::default();
    let moved = codes(&(&scores + &shift), s).unwrap();
    assert!(largest_difference(&codes(&scores, s).unwrap(), &moved) > 0.05);
}

#[test]
fn large_epsilon_gives_uniform_codes() {
    let q = codes(&uniform(1, (12, 5)), Rounds { epsilon: 1e6, iterations: 3 }).unwrap();
    assert!(q.iter().all(|q| (q - 0.2).abs() < 1e-6));
}

#[test]
fn queue_rows_take_part_and_get_no_codes() {
    let scores = uniform(9, (50, 7));
    let s = Rounds::default();
    let all = codes(&scores, s).unwrap();
    let mut workspace = Workspace::for_shape(50, 7);
    let mut kept = alloc::vec![0.0; 20 * 7];
    codes_into(scores.as_slice().unwrap(), 7, 20, s, &Local, &mut workspace, &mut kept).unwrap();
    assert_eq!(kept, all.as_slice().unwrap()[30 * 7..]);
}

#[test]
fn a_used_workspace_gives_the_same_bits() {
    let mut workspace = Workspace::new();
    let mut out = alloc::vec![0.0_f32; 40 * 9];
    // log domain, kernel domain, fewer rows, log domain again
    for (seed, scale, rows) in [(1, 1e4, 40), (2, 1.0, 40), (3, 1.0, 33), (4, 1e4, 12)] {
        let scores = (uniform(seed, (rows, 9)) * scale).mapv(|x| x as f32);
        let s = Rounds::default();
        let out = &mut out[..rows * 9];
        codes_into(scores.as_slice().unwrap(), 9, rows, s, &Local, &mut workspace, out).unwrap();
        assert_eq!(out, codes(&scores, s).unwrap().as_slice().unwrap());
    }
}

/// The sums of the other rank, recorded beforehand: what a reduction over two ranks adds.
struct Recorded(core::cell::RefCell<Vec<Vec<f64>>>);

impl Reduce for Recorded {
    fn sum(&self, x: &mut [f64]) {
        self.0.borrow_mut().push(x.to_vec());
    }
    fn max(&self, x: &mut [f64]) {
        self.0.borrow_mut().push(x.to_vec());
    }
}

#[test]
fn only_the_range_and_one_vector_a_round_cross_ranks() {
    let recorded = Recorded(Default::default());
    let scores = uniform(1, (40, 6));
    let (mut workspace, mut out) = (Workspace::new(), alloc::vec![0.0; 40 * 6]);
    let s = Rounds::default();
    codes_into(scores.as_slice().unwrap(), 6, 40, s, &recorded, &mut workspace, &mut out).unwrap();
    let lengths: Vec<usize> = recorded.0.borrow().iter().map(Vec::len).collect();
    assert_eq!(lengths, [3, 6, 6, 6]);
}

#[test]
fn what_is_refused() {
    let scores = uniform(1, (3, 4));
    let refuse = |scores: &Array2<f64>, epsilon, iterations| {
        codes(scores, Rounds { epsilon, iterations }).unwrap_err()
    };
    assert!(matches!(refuse(&scores, 0.0, 3), Error::Parameter { name: "epsilon", .. }));
    assert!(matches!(refuse(&scores, f64::NAN, 3), Error::Parameter { name: "epsilon", .. }));
    assert!(matches!(refuse(&scores, 0.1, 0), Error::Parameter { name: "iterations", .. }));
    let mut bad = scores.clone();
    bad[[2, 1]] = f64::INFINITY;
    assert_eq!(refuse(&bad, 0.1, 3), Error::NonFinite { what: "scores", row: Some(2) });
    bad[[1, 3]] = f64::NAN;
    assert_eq!(refuse(&bad, 0.1, 3), Error::NonFinite { what: "scores", row: Some(1) });
    assert!(codes(&Array2::<f32>::zeros((0, 4)), Rounds::default()).unwrap().is_empty());
    assert!(codes(&Array2::<f32>::zeros((4, 0)), Rounds::default()).unwrap().is_empty());
}

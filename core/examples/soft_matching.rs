//! Keypoints of two pictures matched, of which many have no partner: matching with a dustbin, as SuperGlue's
//! (Sarlin et al. 2020).
//!
//! ```text
//! cargo run -p swav-core --example soft_matching
//! ```
//!
//! 40 keypoints are seen in both pictures and 20 more in each of them alone. Those of both have descriptors that agree but
//! for noise, and every second one resembles its neighbour, as windows of a façade do. A nearest neighbour is found for
//! everything; an assignment uses nobody twice, but leaves nobody alone; a plan with a dustbin does both.

use ndarray::{Array1, Array2};
use swav_core::Error;
use swav_core::transport::{Dustbin, Metric, Points, Sinkhorn, Status, exact};

const BOTH: usize = 40;
const ALONE: usize = 20;
/// Numbers of a descriptor.
const D: usize = 16;
/// Cosine distance from which on two keypoints are rather left alone.
const PRICE: f64 = 0.3;
const EPSILON: f64 = 0.02;

/// Descriptors (BOTH + ALONE, D) of the two pictures; keypoint i of one is i of the other for i below BOTH.
fn descriptors() -> [Array2<f64>; 2] {
    let mut state = 5_u64;
    let mut bell = || {
        // Twelve of Knuth's MMIX generator: nearly normal, variance 1.
        (0..12).fold(-6.0, |sum, _| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            sum + (state >> 11) as f64 / 2_f64.powi(53)
        })
    };
    let mut seen = Array2::from_shape_simple_fn((BOTH, D), &mut bell);
    for twin in (1..BOTH).step_by(2) {
        for k in 0..D {
            seen[[twin, k]] = seen[[twin - 1, k]] + 0.6 * bell();
        }
    }
    [0, 1].map(|_| {
        Array2::from_shape_fn((BOTH + ALONE, D), |(i, k)| {
            if i < BOTH { seen[[i, k]] + 0.35 * bell() } else { bell() }
        })
    })
}

/// Prints how many pairs there are, how many are right, and of those that there are how many were found.
fn show(name: &str, pairs: &[(usize, usize)]) -> (usize, usize) {
    let right = pairs.iter().filter(|(i, j)| i == j && *i < BOTH).count();
    let (precision, recall) = (right as f64 / pairs.len() as f64, right as f64 / BOTH as f64);
    println!("{name:34} {:5} {right:6}   {precision:9.2}   {recall:6.2}", pairs.len());
    (pairs.len(), right)
}

fn main() -> Result<(), Error> {
    let [x, y] = descriptors();
    let n = BOTH + ALONE;
    let geometry = Points::new(&x, &y, Metric::Cosine)?;
    // Stored here for the methods that the plan is compared with.
    let unit = |x: &Array2<f64>| swav_core::rows::l2_normalize(x).0;
    let cost = 1.0 - unit(&x).dot(&unit(&y).t());
    let nearest = |line: ndarray::ArrayView1<'_, f64>| {
        line.indexed_iter().fold(0, |best, (j, &c)| if c < line[best] { j } else { best })
    };
    let cheap = |&(i, j): &(usize, usize)| cost[[i, j]] < PRICE;

    println!(
        "{BOTH} keypoints in both pictures, {ALONE} more in each; price {PRICE}, ε = {EPSILON}\n"
    );
    println!("{:34} pairs  right   precision   recall", "method");
    let all: Vec<_> = (0..n).map(|i| (i, nearest(cost.row(i)))).collect();
    show("nearest neighbour", &all);
    let near: Vec<_> = all.iter().copied().filter(cheap).collect();
    let near = show("nearest neighbour below the price", &near);
    let best = exact::assignment(&cost)?.column;
    let best: Vec<_> = best.into_iter().enumerate().collect();
    let forced = show("cheapest assignment", &best);

    let ones = Array1::ones(n);
    let dustbin = Dustbin::new(&geometry, &ones, &ones, PRICE)?;
    let problem = dustbin.problem(EPSILON)?;
    let solution = Sinkhorn::default().solve(&problem)?;
    assert_eq!(solution.status, Status::Converged);
    let matches = dustbin.matches(&solution);
    let pairs: Vec<_> = matches.iter().map(|&(i, j, _)| (i, j)).collect();
    let found = show("plan with a dustbin", &pairs);
    let sure: Vec<_> = matches.iter().filter(|m| m.2 > 0.9).map(|&(i, j, _)| (i, j)).collect();
    let certain = show("  its pairs of mass above 0.9", &sure);

    let plan = solution.plan();
    let alone = plan.column(n).slice(ndarray::s![BOTH..n]).mean().unwrap_or(0.0);
    let matched = plan.column(n).slice(ndarray::s![..BOTH]).mean().unwrap_or(0.0);
    println!(
        "\nMass in the dustbin: {alone:.2} of a keypoint without partner, {matched:.2} of one with."
    );
    println!("{} iterations; the mass of a pair says how sure it is.", solution.iterations);

    assert!(found.1 > near.1 && found.1 >= forced.1 && found.0 - found.1 < near.0 - near.1);
    assert!(certain.0 - certain.1 <= found.0 - found.1 && alone > 0.8 && matched < 0.2);
    Ok(())
}

#[test]
fn the_dustbin_finds_more_and_errs_less() -> Result<(), Error> {
    main()
}

//! What f32 costs, and the two methods at their default tolerance of 1e-9, against f64 at 1e-14.
//!
//! ```text
//! cargo run --release -p swav-core --example accuracy
//! ```
//!
//! Points in the unit square, squared distances rounded to f32, so that all solve the same problem; weights that are
//! multiples of 2⁻²², so that no sum of them is rounded. Each cell: relative error of the value, L1 error of the plan, whose
//! mass is 1, and how often the cost or the kernel was read.

use ndarray::{Array1, Array2};
use swav_core::transport::{Dense, Method, Problem, Sinkhorn, Solution, Status};
use swav_core::{Error, Real};

/// Numbers in [0, 1), by Knuth's MMIX generator.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / 2_f64.powi(53)
    }
}

/// A cost (n, n) and two weights, all exact in f32; n a power of 2.
fn drawn(n: usize) -> (Array2<f64>, [Array1<f64>; 2]) {
    let mut draws = Draws(n as u64);
    let [x, y] = [0, 1].map(|_| Array2::from_shape_simple_fn((n, 2), || draws.next()));
    let cost = Array2::from_shape_fn((n, n), |(i, j)| {
        let squared = (&x.row(i) - &y.row(j)).mapv(|d| d * d).sum();
        squared as f32 as f64
    });
    // Pairs whose sum is 2/n.
    let weights = [0, 1].map(|_| {
        let mut weights = Array1::from_elem(n, 1.0 / n as f64);
        for mut pair in weights.exact_chunks_mut(2) {
            let more = (draws.next() * 128.0).round() / 128.0 / n as f64 * 0.9375;
            (pair[0], pair[1]) = (pair[0] + more, pair[1] - more);
        }
        weights
    });
    (cost, weights)
}

/// The plan in f64, and what else is compared.
struct Found {
    plan: Array2<f64>,
    value: f64,
    error: f64,
    status: Status,
    passes: u32,
}

fn solved<T: Real>(
    (cost, [a, b]): &(Array2<f64>, [Array1<f64>; 2]),
    epsilon: f64,
    options: Sinkhorn,
) -> Result<Found, Error> {
    let (cost, a, b) = (cost.mapv(T::from_f64), a.mapv(T::from_f64), b.mapv(T::from_f64));
    let geometry = Dense::new(&cost);
    let problem = Problem::new(&geometry, &a, &b, epsilon)?;
    let solution: Solution<'_, T> = options.solve(&problem)?;
    Ok(Found {
        plan: solution.plan().mapv(|p| p.to_f64()),
        value: solution.value(),
        error: solution.error,
        status: solution.status,
        passes: solution.iterations + solution.report.products,
    })
}

fn table(sizes: &[usize], epsilons: &[f64]) -> Result<(), Error> {
    let titles = ["f64 kernel", "f64 log", "f32 kernel", "f32 log", "f32 kernel, 1e-5"];
    println!("|    n | ε     |{}", titles.map(|title| format!(" {title:16} |")).concat());
    println!("| ---: | ----- |{}", titles.map(|_| format!(" {} |", "-".repeat(16))).concat());
    for &n in sizes {
        let problem = drawn(n);
        let largest = problem.0.iter().fold(0.0_f64, |most, &c| most.max(c));
        for &epsilon in epsilons {
            let with = |method| Sinkhorn { method, max_iterations: 100_000, ..Sinkhorn::default() };
            let tight = Sinkhorn { tolerance: 1e-14, ..with(Method::Kernel) };
            let reference = solved::<f64>(&problem, epsilon, tight)?;
            assert!(reference.error < 1e-12, "the reference reaches {}", reference.error);
            print!("| {n:4} | {epsilon:<5} |");
            for method in [Method::Kernel, Method::Log] {
                let found = solved::<f64>(&problem, epsilon, with(method))?;
                assert_eq!(found.status, Status::Converged);
                cell(&found, &reference, largest, f64::EPSILON);
            }
            for method in [Method::Kernel, Method::Log] {
                let found = solved::<f32>(&problem, epsilon, with(method))?;
                assert_eq!(found.status, Status::Stalled);
                cell(&found, &reference, largest, f32::EPSILON as f64);
            }
            let loose = Sinkhorn { tolerance: 1e-5, ..with(Method::Kernel) };
            let found = solved::<f32>(&problem, epsilon, loose)?;
            assert_eq!(found.status, Status::Converged);
            cell(&found, &reference, largest, f32::EPSILON as f64);
            println!();
        }
    }
    Ok(())
}

fn cell(found: &Found, reference: &Found, largest: f64, unit: f64) {
    let off = (found.value - reference.value).abs();
    let plan = (&found.plan - &reference.plan).mapv(f64::abs).sum();
    print!(" {:5.0e} {plan:5.0e} {:4} |", off / reference.value, found.passes);
    // A marginal that is off by e moves the value by at most e times the span of a potential, which is at most that of
    // the costs; entries that are rounded do the same.
    assert!(off <= 4.0 * largest * (found.error + unit));
}

fn main() -> Result<(), Error> {
    table(&[64, 512, 2048], &[0.1, 0.01, 0.001])
}

#[test]
fn small_problems_keep_their_bound() -> Result<(), Error> {
    table(&[64, 256], &[0.1, 0.01, 0.003])
}

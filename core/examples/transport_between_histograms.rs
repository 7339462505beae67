//! Entropic transport between two histograms on a line, for a falling ε.
//!
//! ```text
//! cargo run -p swav-core --example transport_between_histograms
//! ```

use ndarray::{Array1, Array2};
use swav_core::Error;
use swav_core::transport::{Dense, Problem, Sinkhorn};

/// Bins of each histogram.
const BINS: usize = 50;

/// Place of a bin on the line from 0 to 1.
fn place(bin: usize) -> f64 {
    bin as f64 / (BINS - 1) as f64
}

/// A bell of this centre and width, of mass 1.
fn bell(centre: f64, width: f64) -> Array1<f64> {
    let bell =
        Array1::from_shape_fn(BINS, |i| (-((place(i) - centre) / width).powi(2) / 2.0).exp());
    &bell / bell.sum()
}

fn main() -> Result<(), Error> {
    let (a, b) = (bell(0.3, 0.1), bell(0.65, 0.07));
    let cost = Array2::from_shape_fn((BINS, BINS), |(i, j)| (place(i) - place(j)).powi(2));

    println!("Between bells (0.3, 0.1) and (0.65, 0.07); the squared Wasserstein distance");
    println!(
        "of the two normal laws is 0.35² + 0.03² = {:.4}.\n",
        0.35_f64.powi(2) + 0.03_f64.powi(2)
    );
    println!("   ε       ⟨C, P⟩     ⟨C, P⟩ + ε KL   iterations   status      moved to, from 0.3");
    for epsilon in [0.1, 0.03, 0.01, 0.003, 0.001] {
        let geometry = Dense::new(&cost);
        let problem = Problem::new(&geometry, &a, &b, epsilon)?;
        let solution = Sinkhorn::default().solve(&problem)?;
        let plan = solution.plan();
        // Where the mass of the bin nearest to 0.3 goes, on average.
        let bin = (0.3 * (BINS - 1) as f64).round() as usize;
        let row = plan.row(bin);
        let to = row.iter().enumerate().map(|(j, p)| p * place(j)).sum::<f64>() / row.sum();
        println!(
            "{epsilon:6}   {:9.6}   {:9.6}   {:12}   {:10}   {to:.3}",
            solution.linear(),
            solution.value(),
            solution.iterations,
            solution.status.name(),
        );
    }
    Ok(())
}

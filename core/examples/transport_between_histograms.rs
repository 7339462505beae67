//! Entropic transport between two histograms on a line, for a falling ε.
//!
//! ```text
//! cargo run -p swav-core --example transport_between_histograms [OUT.svg]
//! ```
//!
//! OUT shows the plans of three ε: a dark square where much goes from the bin on the left to the bin above.

use std::error::Error;

use ndarray::{Array1, Array2};
use swav_core::transport::{Dense, Problem, Sinkhorn, Status, exact};

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

fn main() -> Result<(), Box<dyn Error>> {
    let svg = run()?;
    if let Some(out) = std::env::args().nth(1) {
        std::fs::write(&out, svg)?;
        println!("\nThe plans of ε = 0.1, 0.01 and 0.001: {out}");
    }
    Ok(())
}

fn run() -> Result<String, Box<dyn Error>> {
    let (a, b) = (bell(0.3, 0.1), bell(0.65, 0.07));
    let cost = Array2::from_shape_fn((BINS, BINS), |(i, j)| (place(i) - place(j)).powi(2));
    let exact = exact::emd(&cost, &a, &b)?;

    println!("Between bells (0.3, 0.1) and (0.65, 0.07); the squared Wasserstein distance");
    println!("of the two normal laws is 0.35² + 0.03² = {:.4}.\n", 0.35_f64.powi(2) + 0.0009);
    println!("   ε       ⟨C, P⟩     ⟨C, P⟩ + ε KL   iterations   status      moved to, from 0.3");
    let (mut last, mut drawn) = (f64::INFINITY, Vec::new());
    for epsilon in [0.1, 0.03, 0.01, 0.003, 0.001] {
        let geometry = Dense::new(&cost);
        let problem = Problem::new(&geometry, &a, &b, epsilon)?;
        let solution = Sinkhorn::default().solve(&problem)?;
        let (plan, linear) = (solution.plan(), solution.linear());
        // Where the mass of the bin nearest to 0.3 goes, on average.
        let row = plan.row((0.3 * (BINS - 1) as f64).round() as usize);
        let to = row.iter().enumerate().map(|(j, p)| p * place(j)).sum::<f64>() / row.sum();
        println!(
            "{epsilon:6}   {linear:9.6}   {:9.6}   {:12}   {:10}   {to:.3}",
            solution.value(),
            solution.iterations,
            solution.status.name(),
        );
        assert_eq!(solution.status, Status::Converged);
        assert!(exact.value < linear && linear < last && linear < solution.value());
        last = linear;
        if [0.1, 0.01, 0.001].contains(&epsilon) {
            drawn.push((format!("ε = {epsilon}"), plan));
        }
    }
    println!(" exact   {:9.6}   {} entries of {}", exact.value, exact.entries.len(), BINS * BINS);
    assert!(last - exact.value < 0.001 && exact.entries.len() < 2 * BINS);
    Ok(picture(&a, &b, &drawn))
}

/// Plans side by side, each with a on its left and b above it.
fn picture(a: &Array1<f64>, b: &Array1<f64>, plans: &[(String, Array2<f64>)]) -> String {
    const CELL: usize = 4;
    const SIDE: usize = BINS * CELL;
    const BARS: usize = 36;
    let (width, height) = (plans.len() * (SIDE + BARS + 16), SIDE + BARS + 28);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    let most = |x: &Array1<f64>| x.iter().fold(0.0_f64, |most, x| most.max(*x));
    for (panel, (title, plan)) in plans.iter().enumerate() {
        let (left, top) = (panel * (SIDE + BARS + 16) + BARS + 8, BARS + 22);
        let mut draw = |colour: &str, opacity: f64, path: &str| {
            let fill = format!("fill=\"{colour}\" fill-opacity=\"{opacity:.2}\"");
            let at = format!("transform=\"translate({left} {top})\"");
            svg += &format!("<path {at} {fill} d=\"{path}\"/>\n");
        };
        let bar = |x: f64, most: f64| (x / most * (BARS - 4) as f64).round() as usize;
        let (mut rows, mut columns) = (String::new(), String::new());
        for (i, (a_i, b_i)) in a.iter().zip(b).enumerate() {
            let (long, tall, at) = (bar(*a_i, most(a)), bar(*b_i, most(b)), i * CELL);
            rows += &format!("M-2 {at}v{CELL}h-{long}v-{CELL}z");
            columns += &format!("M{at} -2h{CELL}v-{tall}h-{CELL}z");
        }
        draw("#b3562f", 1.0, &rows);
        draw("#2f6f9f", 1.0, &columns);
        draw("#000000", 0.04, &format!("M0 0h{SIDE}v{SIDE}h-{SIDE}z"));
        // Ten shades, each one path; the root shows what is small.
        let largest = plan.iter().fold(0.0_f64, |most, p| most.max(*p));
        for shade in 1..=10 {
            let mut path = String::new();
            for ((i, j), p) in plan.indexed_iter() {
                if ((p / largest).sqrt() * 10.0).round() as usize == shade {
                    path += &format!("M{} {}h{CELL}v{CELL}h-{CELL}z", j * CELL, i * CELL);
                }
            }
            draw("#35205c", shade as f64 / 10.0, &path);
        }
        svg += &format!("<text x=\"{left}\" y=\"14\">{title}</text>\n");
    }
    svg + "</svg>\n"
}

#[test]
fn the_table_and_the_picture() -> Result<(), Box<dyn Error>> {
    let svg = run()?;
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains("ε = 0.01"));
    Ok(())
}

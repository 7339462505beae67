//! How far apart are two histograms? It depends on whether the distance of their bins counts.
//!
//! ```text
//! cargo run -p swav-core --example comparing_histograms
//! ```

use ndarray::{Array1, Array2, array, stack};
use swav_core::Error;
use swav_core::transport::{Barycenter, Dense, Divergence, SinkhornDivergence, Status, exact};

/// Bins of a histogram, on the line from 0 to 1.
const BINS: usize = 64;
/// In units of a squared distance: it blurs over √(ε/2), two bins.
const EPSILON: f64 = 0.002;

fn place(bin: usize) -> f64 {
    bin as f64 / (BINS - 1) as f64
}

/// A sum of bells (centre, width), of mass 1.
fn bells(bells: &[(f64, f64)]) -> Array1<f64> {
    let height = |i: usize| -> f64 {
        bells.iter().map(|(centre, w)| (-((place(i) - centre) / w).powi(2) / 2.0).exp() / w).sum()
    };
    let sum = Array1::from_shape_fn(BINS, height);
    &sum / sum.sum()
}

fn main() -> Result<(), Error> {
    let cost = Array2::from_shape_fn((BINS, BINS), |(i, j)| (place(i) - place(j)).powi(2));
    let a = bells(&[(0.2, 0.04)]);
    let others = [
        ("itself", a.clone()),
        ("moved by 0.05", bells(&[(0.25, 0.04)])),
        ("moved by 0.3", bells(&[(0.5, 0.04)])),
        ("moved by 0.6", bells(&[(0.8, 0.04)])),
        ("twice as wide", bells(&[(0.2, 0.08)])),
        ("in two halves", bells(&[(0.1, 0.04), (0.3, 0.04)])),
    ];

    println!("a               {}\n", drawn(&a));
    println!("b                 Σ|a − b|   χ²      exact   entropic   divergence");
    let mut rows = Vec::new();
    for (name, b) in &others {
        let exact = exact::emd(&cost, &a, b)?.value;
        let found = divergence(&cost, &a, b)?;
        let [entropic, ..] = found.parts.map(|part| part.value);
        let total = (&a - b).mapv(f64::abs).sum();
        let chi = a.iter().zip(b).map(|(a, b)| (a - b).powi(2) / (a + b)).sum::<f64>();
        println!(
            "{name:15}  {total:9.4} {chi:7.4}  {exact:8.5}  {entropic:8.5}  {:9.5}   {}",
            found.value,
            drawn(b)
        );
        rows.push((total, exact, entropic, found.value));
    }
    println!(
        "\nBin by bin, a move by 0.3 is as far as one by 0.6. Transport says 0.3² and 0.6²: squared"
    );
    println!("distances. The entropic value is above 0 even to itself, the divergence is not.\n");

    let [itself, _, near, far, wide, halves] = rows[..] else { unreachable!("six rows") };
    assert!((near.0 - far.0).abs() < 1e-3 && (near.1 - 0.09).abs() < 2e-4 && far.1 > 3.9 * near.1);
    assert!(itself.1 == 0.0 && itself.2 > 0.001 && itself.3.abs() < 1e-12);
    assert!(rows.iter().all(|(_, exact, entropic, _)| exact < entropic));
    assert!(rows.iter().all(|(_, exact, _, divergence)| (divergence - exact).abs() < 0.001));
    assert!(wide.0 < halves.0 && wide.1 < halves.1);

    // Halfway between the first and the one moved by 0.6.
    let b = &others[3].1;
    let (histograms, half) = (stack![ndarray::Axis(1), a, *b], array![0.5, 0.5]);
    let blurred = Barycenter::new(EPSILON);
    // Its tails are on their way to 0, which takes long and is not seen.
    let sharp = Barycenter { debiased: true, tolerance: 1e-7, ..blurred };
    println!("Halfway from a to b, moved by 0.6:");
    let mut spreads = Vec::new();
    for (name, barycenter) in
        [("barycentre", Some(blurred)), ("debiased", Some(sharp)), ("mean", None)]
    {
        let q = match barycenter {
            Some(barycenter) => {
                let found = barycenter.solve(&Dense::new(&cost), &histograms, &half)?;
                assert_eq!(found.status, Status::Converged);
                found.q
            }
            None => (&a + b) / 2.0,
        };
        let moment = |k: i32, from: f64| -> f64 {
            q.iter().enumerate().map(|(i, q)| q * (place(i) - from).powi(k)).sum()
        };
        let centre = moment(1, 0.0);
        let spread = moment(2, centre).sqrt();
        println!("{name:15} {}  centre {centre:.3}, spread {spread:.3}", drawn(&q));
        assert!((centre - 0.5).abs() < 1e-6);
        spreads.push(spread);
    }
    assert!(spreads[1] < 0.042 && spreads[1] < spreads[0] && spreads[2] > 0.3);
    Ok(())
}

fn divergence(cost: &Array2<f64>, a: &Array1<f64>, b: &Array1<f64>) -> Result<Divergence, Error> {
    let geometry = Dense::new(cost);
    SinkhornDivergence::new(EPSILON).between([&geometry, &geometry, &geometry], a, b)
}

/// One character for two bins.
fn drawn(histogram: &Array1<f64>) -> String {
    let pairs: Vec<f64> = histogram.exact_chunks(2).into_iter().map(|pair| pair.sum()).collect();
    let most = pairs.iter().fold(0.0_f64, |most, &x| most.max(x));
    let heights = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    pairs.iter().map(|x| heights[(x / most * 8.0).round() as usize]).collect()
}

#[test]
fn the_tables_hold() -> Result<(), Error> {
    main()
}

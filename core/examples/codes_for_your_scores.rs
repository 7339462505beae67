//! Codes of a matrix of scores: balanced soft assignments of its rows to its columns.
//!
//! ```text
//! cargo run -p swav-core --example codes_for_your_scores [FILE [EPSILON [ROUNDS]]]
//! ```
//!
//! FILE holds one row a line, numbers separated by commas or blanks; without it a small matrix is used
//! in which most rows prefer the first column.

use std::error::Error;

use ndarray::{Array2, array};
use swav_core::{Rounds, codes};

fn main() -> Result<(), Box<dyn Error>> {
    run(std::env::args().skip(1))
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let scores = match arguments.next() {
        Some(file) => read(&std::fs::read_to_string(file)?)?,
        None => array![[0.9, 0.1, 0.0], [0.8, 0.3, 0.1], [0.7, 0.2, 0.5], [0.6, 0.5, 0.2]],
    };
    let mut sinkhorn = Rounds::default();
    if let Some(epsilon) = arguments.next() {
        sinkhorn.epsilon = epsilon.parse()?;
    }
    if let Some(rounds) = arguments.next() {
        sinkhorn.iterations = rounds.parse()?;
    }

    let q = codes(&scores, sinkhorn)?;
    println!("codes, {} rounds, epsilon {}:", sinkhorn.iterations, sinkhorn.epsilon);
    for row in q.rows() {
        let numbers: Vec<String> = row.iter().map(|q| format!("{q:.3}")).collect();
        println!("  {}", numbers.join("  "));
    }
    let (rows, columns) = q.dim();
    println!("mass of each column, {:.3} when balanced:", rows as f64 / columns as f64);
    for iterations in [1, sinkhorn.iterations, 100] {
        let q = codes(&scores, Rounds { iterations, ..sinkhorn })?;
        let mass: Vec<String> =
            q.columns().into_iter().map(|c| format!("{:.3}", c.sum())).collect();
        println!("  after {iterations:3} rounds  {}", mass.join("  "));
        assert!(q.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-12));
    }
    Ok(())
}

fn read(text: &str) -> Result<Array2<f64>, Box<dyn Error>> {
    let mut numbers = Vec::new();
    let mut rows = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words = line.split(|c: char| c == ',' || c.is_whitespace()).filter(|w| !w.is_empty());
        for word in words {
            numbers
                .push(word.parse::<f64>().map_err(|e| format!("line {}: {word}: {e}", rows + 1))?);
        }
        rows += 1;
    }
    let columns = numbers.len() / rows.max(1);
    Array2::from_shape_vec((rows, columns), numbers)
        .map_err(|_| format!("the {rows} lines do not hold the same count of numbers").into())
}

#[test]
fn the_small_matrix_and_texts() -> Result<(), Box<dyn Error>> {
    run(std::iter::empty())?;
    assert_eq!(read("1, 2\n\n3 4\n")?, array![[1.0, 2.0], [3.0, 4.0]]);
    assert!(read("1 2\n3").is_err() && read("1 two").is_err());
    Ok(())
}

//! An attention layer whose weights are a doubly stochastic plan (Sinkformers, Sander et al. 2022), and its gradients.
//!
//! ```text
//! cargo run -p swav-core --example sinkhorn_attention
//! ```
//!
//! ```text
//! softmax   W = softmax of the rows of Q Kᵀ/√d               rows sum to 1, columns to anything
//! Sinkhorn  W = n P,  P the plan at cost −Q Kᵀ and ε = √d    rows and columns sum to 1
//! output    O = W V
//! ```

use ndarray::{Array1, Array2};
use swav_core::transport::{Dense, Metric, Points, Problem, Sinkhorn, Solution, Status};
use swav_core::{Error, rows};

/// Tokens, and numbers of a query.
const N: usize = 24;
const D: usize = 8;

/// Queries, keys and values, (N, D) each.
type Inputs = [Array2<f64>; 3];

/// Solves for the plan of queries and keys, whose scores are never stored, and hands it on.
fn attend<A>(
    [q, k, _]: &Inputs,
    then: impl Fn(&Solution<'_, f64>) -> Result<A, Error>,
) -> Result<A, Error> {
    let geometry = Points::new(q, k, Metric::Dot)?;
    let weights = Array1::from_elem(N, 1.0 / N as f64);
    let problem = Problem::new(&geometry, &weights, &weights, (D as f64).sqrt())?;
    let solution = Sinkhorn { tolerance: 1e-13, ..Sinkhorn::default() }.solve(&problem)?;
    assert_eq!(solution.status, Status::Converged);
    then(&solution)
}

/// W and O = W V.
fn forward(inputs: &Inputs) -> Result<[Array2<f64>; 2], Error> {
    let weights = attend(inputs, |solution| Ok(solution.plan() * N as f64))?;
    let output = weights.dot(&inputs[2]);
    Ok([weights, output])
}

/// Gradients of queries, keys and values from that of the output.
fn backward(inputs: &Inputs, d_output: &Array2<f64>) -> Result<Inputs, Error> {
    let [q, k, v] = inputs;
    attend(inputs, |solution| {
        let n = N as f64;
        let d_v = solution.plan().t().dot(d_output) * n;
        let d_plan = d_output.dot(&v.t()) * n;
        let upstream = Dense::new(&d_plan);
        let backward = solution.plan_backward(&upstream)?;
        println!("  the implicit system: {} products with the plan", backward.products);
        let [d_q, d_k] = backward.points(q, k, Metric::Dot)?;
        Ok([d_q, d_k, d_v])
    })
}

fn main() -> Result<(), Error> {
    let mut state = 3_u64;
    let mut draw = || {
        Array2::from_shape_simple_fn((N, D), || {
            // Knuth's MMIX generator; numbers of variance 1.
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 11) as f64 / 2_f64.powi(53) - 0.5) * 12_f64.sqrt()
        })
    };
    let (inputs, d_output): (Inputs, _) = ([draw(), draw(), draw()], draw());

    let [weights, output] = forward(&inputs)?;
    let scores = inputs[0].dot(&inputs[1].t()) / (D as f64).sqrt();
    println!(
        "{N} tokens of {D} numbers. How much each token is attended to, in all (columns of W):"
    );
    for (name, w) in [("softmax", &rows::softmax(&scores)), ("Sinkhorn", &weights)] {
        let sums: Vec<f64> = w.columns().into_iter().map(|c| c.sum()).collect();
        let least = sums.iter().fold(f64::INFINITY, |least, &s| least.min(s));
        let most = sums.iter().fold(0.0_f64, |most, &s| most.max(s));
        println!("  {name:8}  from {least:.3} to {most:.3}");
        assert_eq!(name == "Sinkhorn", most - least < 1e-9);
    }

    // Of L = ⟨O, G⟩, whose gradient by O is G.
    println!("Gradients of L = ⟨O, G⟩ along a random direction:");
    let gradients = backward(&inputs, &d_output)?;
    let loss =
        |inputs: &Inputs| -> Result<f64, Error> { Ok((&forward(inputs)?[1] * &d_output).sum()) };
    let h = 1e-4;
    for (which, name) in ["queries", "keys", "values"].into_iter().enumerate() {
        let direction = draw();
        let moved = |h: f64| -> Result<f64, Error> {
            let mut inputs = inputs.clone();
            inputs[which].scaled_add(h, &direction);
            loss(&inputs)
        };
        let written = (&gradients[which] * &direction).sum();
        let difference = (moved(h)? - moved(-h)?) / (2.0 * h);
        println!("  {name:8}  {written:12.8}, central difference {difference:12.8}");
        // Its own error: h² times a third derivative, and the rounding of two losses over h.
        assert!((written - difference).abs() < 1e-6 * (1.0 + written.abs()));
    }
    assert_eq!(output.dim(), (N, D));
    Ok(())
}

#[test]
fn balanced_weights_and_true_gradients() -> Result<(), Error> {
    main()
}

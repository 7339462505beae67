//! Tokens to experts: routing by top-1 softmax, and by transport that balances or limits the load.
//!
//! ```text
//! cargo run -p swav-core --example mixture_of_experts
//! ```
//!
//! A router scores every expert for every token. Taking the best one overloads the popular experts; tokens beyond an
//! expert's capacity are dropped (Fedus et al. 2021). Transport with the cost −score asks for the best routing that keeps
//! the load (BASE layers, Lewis et al. 2021; Sinkhorn, Clark et al. 2022).

use ndarray::{Array1, Array2};
use swav_core::transport::{Capped, Dense, Partial, Problem, Sinkhorn, Status, exact};
use swav_core::{Error, Rounds, codes};

const TOKENS: usize = 512;
const EXPERTS: usize = 8;
/// An expert takes at most this many times its fair share.
const CAPACITY: f64 = 1.25;
const EPSILON: f64 = 0.05;

/// Scores between −1 and 1, in which low-numbered experts are popular.
fn scores() -> Array2<f64> {
    let mut state = 7_u64;
    Array2::from_shape_fn((TOKENS, EXPERTS), |(_, expert)| {
        // Knuth's MMIX generator.
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let noise = (state >> 11) as f64 / 2_f64.powi(53);
        0.7 * (2.0 * noise - 1.0) + 0.3 * (1.0 - expert as f64 / 4.0)
    })
}

/// One line of the table: shares (tokens, experts), each row summing to 1. Returns its busiest load and mean score.
fn show(name: &str, scores: &Array2<f64>, shares: &Array2<f64>) -> (f64, f64) {
    let fair = (TOKENS / EXPERTS) as f64;
    let load: Vec<f64> = shares.columns().into_iter().map(|c| c.sum()).collect();
    let busiest = load.iter().fold(0.0_f64, |most, &x| most.max(x)) / fair;
    let dropped: f64 = load.iter().map(|x| (x - CAPACITY * fair).max(0.0)).sum();
    let score = (scores * shares).sum() / TOKENS as f64;
    let loads: Vec<String> = load.iter().map(|x| format!("{x:4.0}")).collect();
    let share = 100.0 * dropped / TOKENS as f64;
    println!("{name:26} {}   {busiest:7.2}   {share:6.1} %  {score:7.4}", loads.join(" "));
    assert!(shares.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-9));
    (busiest, score)
}

/// All of a row to its largest entry.
fn top_1(x: &Array2<f64>) -> Array2<f64> {
    let mut shares = Array2::zeros(x.dim());
    for (row, mut share) in x.rows().into_iter().zip(shares.rows_mut()) {
        let best = row.indexed_iter().fold(0, |best, (k, &x)| if x > row[best] { k } else { best });
        share[best] = 1.0;
    }
    shares
}

fn main() -> Result<(), Error> {
    let scores = scores();
    let cost = -&scores;
    let geometry = Dense::new(&cost);
    let (n, k) = (TOKENS as f64, EXPERTS as f64);
    let tokens = Array1::from_elem(TOKENS, 1.0 / n);
    let (fair, most) =
        (Array1::from_elem(EXPERTS, 1.0 / k), Array1::from_elem(EXPERTS, CAPACITY / k));

    println!("{TOKENS} tokens, {EXPERTS} experts, ε = {EPSILON}");
    println!("{:59}    busiest    dropped    mean", "");
    println!("{:26} {:31}     / fair    at 1.25   score", "routing", "load of each expert");
    let top = show("top-1 of the softmax", &scores, &top_1(&scores));

    // Soft shares, for training: the router learns through them.
    let q = codes(&scores, Rounds { epsilon: EPSILON, iterations: 3 })?;
    let three = show("codes, 3 rounds", &scores, &q);
    let problem = Problem::new(&geometry, &tokens, &fair, EPSILON)?;
    let solution = Sinkhorn::default().solve(&problem)?;
    let balanced = show("balanced plan", &scores, &(solution.plan() * n));
    let partial = Partial::with_capacities(&geometry, &tokens, &most, EPSILON)?;
    let capped = Capped::default().solve(&partial)?;
    let limited = show("plan with capacities", &scores, &(capped.plan() * n));
    assert_eq!((solution.status, capped.status), (Status::Converged, Status::Converged));

    // One expert a token. The largest share of a balanced plan is nearly balanced.
    let rounded = show("top-1 of the balanced plan", &scores, &top_1(&solution.plan()));
    // Weights of 1/512 and loads of 64/512: an exact plan moves whole tokens.
    let whole = exact::emd(&cost, &tokens, &fair)?.plan() * n;
    let base = show("exact, balanced", &scores, &whole);
    let limits = exact::partial(&cost, &tokens, &most, 1.0)?;
    let mut whole = Array2::zeros(cost.dim());
    limits.entries.iter().for_each(|&(token, expert, mass)| whole[[token, expert]] = mass * n);
    let exact = show("exact, with capacities", &scores, &whole);

    println!(
        "\nThe price of balance is {:.4} of the mean score; that of a capacity of 1.25, {:.4}.",
        top.1 - base.1,
        top.1 - exact.1
    );
    let prices: Vec<String> = capped.g.iter().map(|g| format!("{:.3}", g.abs())).collect();
    println!(
        "Price of a place at each expert, −g of the plan with capacities: {}.",
        prices.join("  ")
    );
    assert!(top.0 > 2.0 && three.0 < 1.3 && balanced.0 < 1.0 + 1e-6 && rounded.0 < 1.2);
    assert!(limited.0 < CAPACITY + 1e-6 && exact.0 <= CAPACITY + 1e-9 && base.0 <= 1.0 + 1e-9);
    assert!(balanced.1 < base.1 && base.1 < exact.1 && exact.1 < top.1);
    assert!(whole.iter().all(|x| x.fract().min(1.0 - x.fract()) < 1e-9));
    Ok(())
}

#[test]
fn the_table_holds() -> Result<(), Error> {
    main()
}

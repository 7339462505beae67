//! Sorting and ranking that can be differentiated (Cuturi, Teboul and Vert 2019).
//!
//! ```text
//! cargo run -p swav-core --example sort_and_rank
//! ```
//!
//! Sorting n numbers is transport on a line: to rising targets y_1 < … < y_n, at the squared distance, the cheapest plan takes
//! the smallest number to y_1, and so on. Entropic transport blurs that plan, and what is read off it is smooth in x:
//!
//! ```text
//! ranks = P (1, 2, …, n)ᵀ / a        sorted = Pᵀ x / b
//! ```

use ndarray::{Array1, Array2, Axis, array};
use swav_core::Error;
use swav_core::transport::{Function, Method, Metric, Points, Problem, Sinkhorn, Solution, Status};

/// Solves for x, and hands the solution on.
fn solved<A>(
    x: &Array1<f64>,
    epsilon: f64,
    then: impl Fn(&Solution<'_, f64>, &Array2<f64>, &Array2<f64>) -> Result<A, Error>,
) -> Result<A, Error> {
    let n = x.len();
    let weights = Array1::from_elem(n, 1.0 / n as f64);
    let points = x.clone().insert_axis(Axis(1));
    let targets = Array2::from_shape_fn((n, 1), |(j, _)| j as f64 / (n - 1) as f64);
    let geometry = Points::new(&points, &targets, Metric::SquaredEuclidean)?;
    let problem = Problem::new(&geometry, &weights, &weights, epsilon)?;
    // The kernel is small here, and Newton steps, which small ε ask for, need one.
    let solver = Sinkhorn { tolerance: 1e-12, method: Method::Kernel, ..Sinkhorn::default() };
    let solution = solver.solve(&problem)?;
    assert_eq!(solution.status, Status::Converged);
    then(&solution, &points, &targets)
}

/// Soft ranks, from 1, and soft sorted values.
fn ranks_and_sorted(x: &Array1<f64>, epsilon: f64) -> Result<[Array1<f64>; 2], Error> {
    let n = x.len() as f64;
    let places = Array1::from_shape_fn(x.len(), |j| (j + 1) as f64);
    solved(x, epsilon, |solution, _, _| Ok([solution.pull(&places)? * n, solution.push(x)? * n]))
}

/// The gradient of the soft rank of number k with respect to all numbers.
fn rank_gradient(x: &Array1<f64>, epsilon: f64, k: usize) -> Result<Array1<f64>, Error> {
    let n = x.len();
    solved(x, epsilon, |solution, points, targets| {
        // rank_k = Σ_j n (j + 1) P_kj: its derivative by the plan has one row.
        let by_plan = |i, j| if i == k { (n * (j + 1)) as f64 } else { 0.0 };
        let upstream = Function::new((n, n), by_plan);
        let backward = solution.plan_backward(&upstream)?;
        let [by_points, _] = backward.points(points, targets, Metric::SquaredEuclidean)?;
        Ok(by_points.remove_axis(Axis(1)))
    })
}

fn farthest(x: &Array1<f64>, y: &Array1<f64>) -> f64 {
    (x - y).iter().fold(0.0, |most, d| most.max(d.abs()))
}

fn main() -> Result<(), Error> {
    let x = array![0.62_f64, 0.11, 0.87, 0.35, 0.30, 0.99, 0.05, 0.74];
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&i, &j| x[i].total_cmp(&x[j]));
    let sorted = Array1::from_iter(order.iter().map(|&i| x[i]));
    let mut ranks = Array1::zeros(x.len());
    order.iter().enumerate().for_each(|(place, &i)| ranks[i] = (place + 1) as f64);

    println!("x                {x:6.2}");
    println!(
        "  ε      soft ranks                                            off by    sorted off by"
    );
    let mut last = [f64::INFINITY; 2];
    for epsilon in [0.1, 0.03, 0.01, 0.003, 0.001, 0.0003] {
        let [soft, values] = ranks_and_sorted(&x, epsilon)?;
        let off = [farthest(&soft, &ranks), farthest(&values, &sorted)];
        println!("{epsilon:6}   {soft:6.3}  {:8.1e}  {:8.1e}", off[0], off[1]);
        assert!(off[0] < last[0] && off[1] < last[1]);
        last = off;
    }
    println!(" true    {ranks:6.3}");
    assert!(last[0] < 1e-3 && last[1] < 1e-3);

    println!(
        "\nThe gradient of the rank of x_4 = 0.35, whose neighbour is 0.30, and central differences:"
    );
    for epsilon in [0.1, 0.01] {
        let gradient = rank_gradient(&x, epsilon, 3)?;
        let h = 1e-5;
        let difference = |i: usize| -> Result<f64, Error> {
            let moved = |h: f64| -> Result<f64, Error> {
                let mut x = x.clone();
                x[i] += h;
                Ok(ranks_and_sorted(&x, epsilon)?[0][3])
            };
            Ok((moved(h)? - moved(-h)?) / (2.0 * h))
        };
        let differences = (0..x.len()).map(difference).collect::<Result<Array1<f64>, Error>>()?;
        let size = gradient.iter().fold(0.0_f64, |most, g| most.max(g.abs()));
        let off = farthest(&gradient, &differences) / size;
        println!("ε = {epsilon:4}   {gradient:7.3}   relative difference {off:.0e}");
        // h² times a third derivative of up to ε⁻², and the rounding of the solves over h.
        assert!(off < 1e-5);
        assert!(gradient[3] > 0.0 && gradient[4] < 0.0);
    }
    println!("Raising a number raises its own rank, and lowers those of the numbers near to it.");
    Ok(())
}

#[test]
fn ranks_values_and_gradients_hold() -> Result<(), Error> {
    main()
}

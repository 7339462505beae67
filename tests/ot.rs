//! Every command of `swav ot` end to end on small array files: weights of mass 2.5 with zeros among them, n ≠ m, and
//! values that are held to definitions, closed forms and the library.

use ndarray::{Array1, Array2, Axis, array};
use serde_json::Value;
use swav::npy::Values;
use swav_core::transport::{Metric, SinkhornDivergence, exact};
use swav_core::{Rounds, codes};
use swav_tests::arrays::{Arrays, drawn, drawn_matrix, weights};
use swav_tests::program::run;

const N: usize = 7;
const M: usize = 5;
const MASS: f64 = 2.5;

/// Sums of 35 numbers of size 1, and JSON read to the last digit but one.
const ROUNDING: f64 = 1e-13;

fn problem() -> (Arrays, Array2<f64>, Array1<f64>, Array1<f64>) {
    let arrays = Arrays::new();
    let (cost, a, b) = (drawn_matrix(1, N, M), weights(2, N, MASS), weights(3, M, MASS));
    arrays.matrix("C.npy", &cost);
    arrays.vector("a.npy", &a);
    arrays.vector("b.npy", &b);
    (arrays, cost, a, b)
}

fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("{key} is no number in {json}"))
}

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found}, not {expected}");
}

fn l1(x: &Array1<f64>, y: &Array1<f64>) -> f64 {
    (x - y).mapv(f64::abs).sum()
}

/// KL(x | y) = Σ x ln(x/y) − x + y
fn kl<'a>(x: impl IntoIterator<Item = &'a f64>, y: impl IntoIterator<Item = &'a f64>) -> f64 {
    let term = |(&x, &y): (&f64, &f64)| if x > 0.0 { x * (x / y).ln() - x + y } else { y };
    x.into_iter().zip(y).map(term).sum()
}

fn product(a: &Array1<f64>, b: &Array1<f64>) -> Array2<f64> {
    Array2::from_shape_fn((a.len(), b.len()), |(i, j)| a[i] * b[j])
}

#[test]
fn solve_writes_a_plan_whose_marginals_and_value_are_those_it_prints() {
    let (arrays, cost, a, b) = problem();
    let files = "--plan P.npy --potentials FG.npz --json";
    let epsilon = 0.05;
    let said =
        arrays.ot(&format!("solve --cost C.npy --a a.npy --b b.npy --epsilon {epsilon} {files}"));
    let json = said.json();
    let plan = arrays.read_matrix("P.npy");
    assert_eq!(plan.dim(), (N, M));
    let (rows, columns) = (plan.sum_axis(Axis(1)), plan.sum_axis(Axis(0)));
    let error = (l1(&rows, &a) + l1(&columns, &b)) / MASS;
    assert!(error <= 1e-9, "{error}");
    near(number(&json, "marginal_error"), error, ROUNDING);
    assert!(plan.row(N / 2).iter().chain(plan.column(M / 2)).all(|&p| p == 0.0), "{plan}");
    let linear = (&cost * &plan).sum();
    near(number(&json, "value_linear"), linear, ROUNDING);
    near(number(&json, "value"), linear + epsilon * kl(&plan, &product(&a, &b)), ROUNDING);
    near(number(&json, "mass"), MASS, ROUNDING);
    assert_eq!([&json["status"], &json["precision"]], ["converged", "f64"]);
    assert_eq!([json["n"].as_u64(), json["m"].as_u64()], [Some(7), Some(5)]);
    assert!(json["iterations"].as_u64().unwrap() > 0);
    let exact = exact::emd(&cost, &a, &b).unwrap().value;
    let [lower, upper] = ["lower_bound", "upper_bound"].map(|key| number(&json, key));
    assert!(lower <= exact && exact <= upper && upper - lower < 0.2, "{lower} {exact} {upper}");
    // P_ij = a_i b_j exp((f_i + g_j − C_ij)/ε)
    let members = arrays.read_members("FG.npz");
    let [(f_name, f), (g_name, g)] = &members[..] else { panic!("{members:?}") };
    assert_eq!([f_name, g_name], ["f", "g"]);
    for ((i, j), p) in plan.indexed_iter() {
        // The exponents are of size 20, so each entry is good to some 20 machine epsilons and the row's own rounding.
        near(a[i] * b[j] * ((f[i] + g[j] - cost[[i, j]]) / epsilon).exp(), *p, ROUNDING);
    }
}

#[test]
fn the_table_shows_the_figures_of_the_json() {
    let (arrays, ..) = problem();
    let args = "solve --cost C.npy --a a.npy --b b.npy --epsilon 0.05 --plan P.npy";
    let (table, json) = (arrays.ot(args), arrays.ot(&format!("{args} --json")));
    assert_eq!(table.code, 0, "{table:?}");
    assert_eq!(table.out.lines().count(), json.json().as_object().unwrap().len(), "{table:?}");
    for line in table.out.lines() {
        let (key, shown) = line.split_once(char::is_whitespace).unwrap();
        let shown = shown.trim();
        let [number, text] = [format!("\"{key}\":{shown}"), format!("\"{key}\":\"{shown}\"")];
        assert!(json.out.contains(&number) || json.out.contains(&text), "{line} not in {json:?}");
    }
}

#[test]
fn weights_that_are_not_given_are_uniform_of_mass_1() {
    let (arrays, ..) = problem();
    arrays.vector("u.npy", &Array1::from_elem(N, 1.0 / N as f64));
    arrays.vector("v.npy", &Array1::from_elem(M, 1.0 / M as f64));
    let bare = arrays.ot("solve --cost C.npy --epsilon 0.1 --json").json();
    let given = arrays.ot("solve --cost C.npy --a u.npy --b v.npy --epsilon 0.1 --json").json();
    assert_eq!(bare, given);
    near(number(&bare, "mass"), 1.0, ROUNDING);
}

#[test]
fn points_are_solved_like_the_matrix_of_their_costs() {
    let (arrays, _, a, b) = problem();
    let (x, y) = (drawn_matrix(4, N, 3), drawn_matrix(5, M, 3));
    arrays.matrix("X.npy", &x);
    arrays.matrix("Y.npy", &y);
    type Cost = fn(&Array1<f64>, &Array1<f64>) -> f64;
    let costs: [(&str, Cost); 3] = [
        ("sqeuclidean", |x, y| (x - y).mapv(|d| d * d).sum()),
        ("euclidean", |x, y| (x - y).mapv(|d| d * d).sum().sqrt()),
        ("cosine", |x, y| 1.0 - x.dot(y) / (x.dot(x) * y.dot(y)).sqrt()),
    ];
    for (name, cost) in costs {
        let cost = Array2::from_shape_fn((N, M), |(i, j)| {
            cost(&x.row(i).to_owned(), &y.row(j).to_owned())
        });
        arrays.matrix("D.npy", &cost);
        let rest = "--a a.npy --b b.npy --epsilon 0.1 --tol 1e-12 --json --plan";
        let points = arrays.ot(&format!("solve --x X.npy --y Y.npy --cost-fn {name} {rest} P.npy"));
        let stored = arrays.ot(&format!("solve --cost D.npy {rest} Q.npy")).json();
        let points = points.json();
        // Two solutions within 1e-12 of their marginals; costs of at most 3.
        near(number(&points, "value"), number(&stored, "value"), 1e-11);
        let off = (arrays.read_matrix("P.npy") - arrays.read_matrix("Q.npy")).mapv(f64::abs).sum();
        assert!(off < 1e-10, "{name}: {off}");
        let exact = exact::emd(&cost, &a, &b).unwrap().value;
        assert!(number(&points, "lower_bound") <= exact, "{name}");
        assert!(exact <= number(&points, "upper_bound"), "{name}");
    }
}

#[test]
fn soft_marginals_pay_their_price_in_the_value() {
    let (arrays, cost, a, _) = problem();
    let b = weights(6, M, 1.5);
    arrays.vector("b.npy", &b);
    let (epsilon, rho) = (0.1, [0.7, 0.3]);
    let json = arrays
        .ot("solve --cost C.npy --a a.npy --b b.npy --epsilon 0.1 --rho-a 0.7 --rho-b 0.3 --plan P.npy --json")
        .json();
    let plan = arrays.read_matrix("P.npy");
    let (rows, columns) = (plan.sum_axis(Axis(1)), plan.sum_axis(Axis(0)));
    let prices = rho[0] * kl(&rows, &a) + rho[1] * kl(&columns, &b);
    let value = (&cost * &plan).sum() + epsilon * kl(&plan, &product(&a, &b)) + prices;
    near(number(&json, "value"), value, ROUNDING);
    near(number(&json, "mass"), plan.sum(), ROUNDING);
    assert!(json.get("lower_bound").is_none() && json.get("upper_bound").is_none(), "{json}");
    // One pair: P = a b exp(…) where ln(P/ab) (ε + ρa + ρb) = −c + ρa ln(1/b) + ρb ln(1/a).
    arrays.matrix("c.npy", &array![[0.5]]);
    arrays.vector("one.npy", &array![2.0]);
    arrays.vector("two.npy", &array![3.0]);
    let json = arrays
        .ot("solve --cost c.npy --a one.npy --b two.npy --epsilon 0.1 --rho-a 0.7 --rho-b 0.3 --json")
        .json();
    let log = (-0.5 - 0.7 * 3.0_f64.ln() - 0.3 * 2.0_f64.ln()) / (epsilon + rho[0] + rho[1]);
    // The tolerance of the solver, 1e-9 of a mass of 3.
    near(number(&json, "mass"), 6.0 * log.exp(), 1e-8);
    // One side hard, the other of an infinite price: both hard.
    arrays.vector("b.npy", &weights(3, M, MASS));
    let one = "solve --cost C.npy --a a.npy --b b.npy --epsilon 0.1 --json";
    assert_eq!(arrays.ot(&format!("{one} --rho-b inf")).json(), arrays.ot(one).json());
    let semi = arrays.ot(&format!("{one} --rho-b 0.5 --plan P.npy"));
    let rows = arrays.read_matrix("P.npy").sum_axis(Axis(1));
    assert!(l1(&rows, &a) < ROUNDING && semi.json().get("lower_bound").is_none());
}

#[test]
fn float32_is_solved_in_float32_and_anything_else_in_float64() {
    let (arrays, cost, a, b) = problem();
    arrays.single_matrix("C4.npy", &cost);
    arrays.single_vector("a4.npy", &a);
    arrays.single_vector("b4.npy", &b);
    let wide = arrays.ot("solve --cost C.npy --a a.npy --b b.npy --epsilon 0.05 --json").json();
    let args = "solve --cost C4.npy --a a4.npy --b b4.npy --epsilon 0.05 --plan P.npy --json";
    let json = arrays.ot(args).json();
    // Exponents of size 40 are rounded by 40 machine epsilons, 5e-6: 1e-6 may be out of reach, and then the run says so.
    let error = number(&json, "marginal_error");
    let status = if error <= 1e-6 { "converged" } else { "stalled" };
    assert_eq!([&json["precision"], &json["status"]], ["f32", status]);
    assert!(error <= 5e-6, "{error}");
    assert_eq!(arrays.ot(&format!("{args} --tol 1e-5")).json()["status"], "converged");
    let plan = arrays.read("P.npy");
    assert!(matches!(plan.values, Values::F32(_)), "{plan:?}");
    // Marginals off by 5e-6 of a mass of 2.5, potentials of size 1.
    near(number(&json, "value"), number(&wide, "value"), 2e-5);
    let exact = exact::emd(&cost.mapv(|c| c as f32), &a.mapv(|w| w as f32), &b.mapv(|w| w as f32));
    let exact = exact.unwrap().value;
    assert!(number(&json, "lower_bound") <= exact && exact <= number(&json, "upper_bound"));
    // Bare float32 costs get float32 weights; one float64 array makes the problem one of float64.
    let bare = arrays.ot("solve --cost C4.npy --epsilon 0.05 --json").json();
    assert_eq!(bare["precision"], "f32");
    let mixed =
        arrays.ot("solve --cost C4.npy --a a.npy --b b.npy --epsilon 0.05 --plan P.npy --json");
    assert_eq!(mixed.json()["precision"], "f64");
    assert!(matches!(arrays.read("P.npy").values, Values::F64(_)));
}

#[test]
fn a_forbidden_pair_gets_nothing_and_leaves_the_upper_bound_unknown() {
    let (arrays, mut cost, ..) = problem();
    cost[[0, 0]] = f64::INFINITY;
    cost[[3, 4]] = f64::INFINITY;
    arrays.matrix("C.npy", &cost);
    let args = "solve --cost C.npy --a a.npy --b b.npy --epsilon 0.05";
    let json = arrays.ot(&format!("{args} --plan P.npy --json")).json();
    let plan = arrays.read_matrix("P.npy");
    assert_eq!([plan[[0, 0]], plan[[3, 4]]], [0.0, 0.0]);
    assert!(number(&json, "value_linear").is_finite() && json["upper_bound"].is_null(), "{json}");
    assert!(arrays.ot(args).out.contains("not known"));
}

#[test]
fn not_converging_is_a_status_and_no_failure() {
    let (arrays, ..) = problem();
    let args = "solve --cost C.npy --a a.npy --b b.npy --epsilon 0.001 --json";
    let said = arrays.ot(&format!("{args} --max-iter 3 --method log"));
    let json = said.json();
    assert_eq!([&json["status"], &json["iterations"]], [&Value::from("max_iter"), &Value::from(3)]);
    assert!(number(&json, "marginal_error") > 1e-9);
    assert!(said.err.contains("--max-iter"), "{said:?}");
    let said = arrays.ot("solve --cost C.npy --a a.npy --b b.npy --epsilon 0.05 --tol 0 --json");
    let status = said.json()["status"].clone();
    assert!(status == "stalled" || number(&said.json(), "marginal_error") == 0.0, "{said:?}");
}

#[test]
fn methods_agree() {
    let (arrays, ..) = problem();
    let args = "solve --cost C.npy --a a.npy --b b.npy --epsilon 0.02 --tol 1e-12 --json --method";
    let [auto, kernel, log] =
        ["auto", "kernel", "log"].map(|method| arrays.ot(&format!("{args} {method}")).json());
    assert_eq!([&auto["method"], &kernel["method"], &log["method"]], ["kernel", "kernel", "log"]);
    near(number(&kernel, "value"), number(&log, "value"), 1e-11);
}

#[test]
fn assign_writes_the_published_codes() {
    let arrays = Arrays::new();
    let scores = drawn_matrix(7, 20, 6);
    arrays.single_matrix("S.npy", &scores);
    let json =
        arrays.ot("assign --scores S.npy --epsilon 0.05 --rounds 3 --codes Q.npy --json").json();
    let q = arrays.read_matrix("Q.npy");
    let single = scores.mapv(|s| s as f32);
    let expected = codes(&single, Rounds { epsilon: 0.05, iterations: 3 }).unwrap();
    assert_eq!(q, expected.mapv(f64::from));
    assert!(q.sum_axis(Axis(1)).iter().all(|sum| (sum - 1.0).abs() < 6.0 * 1.2e-7));
    let shares = q.sum_axis(Axis(0)) / 20.0;
    near(number(&json, "marginal_error"), l1(&shares, &Array1::from_elem(6, 1.0 / 6.0)), ROUNDING);
    arrays.matrix("S.npy", &scores);
    let more = "assign --scores S.npy --epsilon 0.05 --rounds 500 --codes Q.npy --json";
    let json = arrays.ot(more).json();
    assert!(number(&json, "marginal_error") < 1e-6 && json["precision"] == "f64", "{json}");
}

#[test]
fn divergence_is_0_between_equal_measures_and_that_of_the_library_between_others() {
    let (arrays, _, a, b) = problem();
    let (x, y) = (drawn_matrix(8, N, 2), drawn_matrix(9, M, 2));
    arrays.matrix("X.npy", &x);
    arrays.matrix("Y.npy", &y);
    let args = "--a a.npy --b b.npy --epsilon 0.1 --json";
    let json = arrays.ot(&format!("divergence --x X.npy --y Y.npy {args}")).json();
    let library = SinkhornDivergence::new(0.1);
    let metric = Metric::SquaredEuclidean;
    let expected = library.between_points((&x, &a), (&y, &b), metric).unwrap();
    near(number(&json, "value"), expected.value, ROUNDING);
    near(number(&json, "value_linear"), expected.linear(), ROUNDING);
    let [ab, aa, bb] = ["value_ab", "value_aa", "value_bb"].map(|key| number(&json, key));
    near(number(&json, "value"), ab - aa / 2.0 - bb / 2.0, ROUNDING);
    assert_eq!(json["status"], "converged");
    let turned: Vec<usize> = (0..N).rev().collect();
    arrays.matrix("Z.npy", &x.select(Axis(0), &turned));
    arrays.vector("c.npy", &a.select(Axis(0), &turned));
    let same =
        "divergence --x X.npy --y Z.npy --a a.npy --b c.npy --epsilon 0.1 --tol 1e-12 --json";
    // Each W is a dual value, whose error is the square of that of its marginals.
    near(number(&arrays.ot(same).json(), "value"), 0.0, 1e-12);
}

#[test]
fn partial_moves_the_mass_that_was_asked_for_and_no_row_or_column_gets_more() {
    let (arrays, cost, a, _) = problem();
    let b = weights(10, M, 4.0);
    arrays.vector("b.npy", &b);
    let args = "partial --cost C.npy --a a.npy --b b.npy --mass 1.5 --epsilon 0.05";
    let json = arrays.ot(&format!("{args} --plan P.npy --potentials FG.npz --json")).json();
    let plan = arrays.read_matrix("P.npy");
    near(plan.sum(), 1.5, 1e-12);
    near(number(&json, "mass"), 1.5, 1e-12);
    let over = |sums: Array1<f64>, w: &Array1<f64>| (sums - w).iter().any(|&over| over > 1e-8);
    assert!(!over(plan.sum_axis(Axis(1)), &a) && !over(plan.sum_axis(Axis(0)), &b), "{plan}");
    near(number(&json, "value_linear"), (&cost * &plan).sum(), ROUNDING);
    let value = (&cost * &plan).sum() + 0.05 * kl(&plan, &product(&a, &b));
    near(number(&json, "value"), value, ROUNDING);
    assert_eq!(json["status"], "converged");
    let members = arrays.read_members("FG.npz");
    let [(_, f), (_, g), (name, level)] = &members[..] else { panic!("{members:?}") };
    assert_eq!((name.as_str(), level[0]), ("multiplier", number(&json, "multiplier")));
    for ((i, j), p) in plan.indexed_iter() {
        near(a[i] * b[j] * ((f[i] + g[j] + level[0] - cost[[i, j]]) / 0.05).exp(), *p, 1e-12);
    }
}

#[test]
fn the_barycentre_of_one_histogram_is_its_blur_and_debiased_itself() {
    let arrays = Arrays::new();
    let cost = Array2::from_shape_fn((N, N), |(i, j)| (i as f64 - j as f64).powi(2));
    let a = drawn(11, N) + 0.1;
    let epsilon = 0.5;
    arrays.matrix("C.npy", &cost);
    arrays.matrix("H.npy", &a.clone().insert_axis(Axis(1)));
    let args = "barycenter --histograms H.npy --cost C.npy --epsilon 0.5 --out q.npy --json";
    let json = arrays.ot(args).json();
    // K̄ᵀ a, K̄ the kernel whose rows were divided by their sums.
    let kernel = cost.mapv(|c| (-c / epsilon).exp());
    let scaled = &a / &kernel.sum_axis(Axis(1));
    assert!(l1(&arrays.read_vector("q.npy"), &kernel.t().dot(&scaled)) < 1e-9);
    near(number(&json, "mass"), a.sum(), 1e-9);
    let json = arrays.ot(&format!("{args} --debiased")).json();
    assert_eq!(json["status"], "converged");
    // The tolerance is 1e-9, reached at a rate of which some hundred iterations remain.
    assert!(l1(&arrays.read_vector("q.npy"), &a) < 1e-6);
    // Of two with all the weight on the second, the second; as float32 the same to float32.
    arrays.single_matrix("C.npy", &cost);
    let two = ndarray::stack![Axis(1), a.slice(ndarray::s![..;-1]), a];
    arrays.single_matrix("H.npy", &two);
    arrays.single_vector("w.npy", &array![0.0, 1.0]);
    let json = arrays.ot(&format!("{args} --weights w.npy")).json();
    assert_eq!([&json["precision"], &json["status"]], ["f32", "converged"]);
    assert!(matches!(arrays.read("q.npy").values, Values::F32(_)));
    assert!(l1(&arrays.read_vector("q.npy"), &kernel.t().dot(&scaled)) < 1e-5);
}

#[test]
fn emd_finds_the_cheapest_plan_and_proves_it() {
    let (arrays, cost, a, b) = problem();
    let files = "--plan P.npy --potentials FG.npz --json";
    let json = arrays.ot(&format!("emd --cost C.npy --a a.npy --b b.npy {files}")).json();
    let plan = arrays.read_matrix("P.npy");
    let (rows, columns) = (plan.sum_axis(Axis(1)), plan.sum_axis(Axis(0)));
    assert!(l1(&rows, &a) + l1(&columns, &b) < ROUNDING);
    near(number(&json, "value"), (&cost * &plan).sum(), ROUNDING);
    near(number(&json, "lower_bound"), number(&json, "value"), ROUNDING);
    let entries = plan.iter().filter(|&&p| p > 0.0).count();
    assert_eq!(json["entries"].as_u64(), Some(entries as u64));
    let members = arrays.read_members("FG.npz");
    let [(_, f), (_, g)] = &members[..] else { panic!("{members:?}") };
    assert!(cost.indexed_iter().all(|((i, j), c)| f[i] + g[j] <= c + ROUNDING));
    // Two by two: the cheaper of two permutations.
    arrays.single_matrix("C.npy", &array![[1.0, 2.0], [4.0, 8.0]]);
    let json = arrays.ot("emd --cost C.npy --plan P.npy --json").json();
    assert_eq!([number(&json, "value"), number(&json, "mass")], [3.0, 1.0]);
    assert_eq!(arrays.read_matrix("P.npy"), array![[0.0, 0.5], [0.5, 0.0]]);
    assert!(matches!(arrays.read("P.npy").values, Values::F32(_)));
}

#[test]
fn line_is_the_exact_cost_of_sorted_points() {
    let (arrays, _, a, b) = problem();
    arrays.vector("x.npy", &array![3.0, 0.0]);
    arrays.vector("y.npy", &array![1.0, 2.0]);
    let json = arrays.ot("line --x x.npy --y y.npy --p 2 --json").json();
    assert_eq!([number(&json, "value"), number(&json, "distance")], [1.0, 1.0]);
    let (x, y) = (drawn(12, N), drawn(13, M));
    arrays.vector("x.npy", &x);
    arrays.vector("y.npy", &y);
    for p in [1.0, 2.0, 3.5] {
        let args = format!("line --x x.npy --y y.npy --a a.npy --b b.npy --p {p} --json");
        let json = arrays.ot(&args).json();
        let cost = Array2::from_shape_fn((N, M), |(i, j)| (x[i] - y[j]).abs().powf(p));
        let exact = exact::emd(&cost, &a, &b).unwrap().value;
        near(number(&json, "value"), exact, ROUNDING);
        near(number(&json, "lower_bound"), exact, ROUNDING);
        near(number(&json, "distance"), exact.powf(1.0 / p), ROUNDING);
        near(number(&json, "mass"), MASS, ROUNDING);
    }
}

#[test]
fn one_thread_and_two_give_the_same_bits() {
    let arrays = Arrays::new();
    // Several pieces of rows.
    let (n, m) = (150, 90);
    arrays.matrix("X.npy", &drawn_matrix(14, n, 2));
    arrays.matrix("Y.npy", &drawn_matrix(15, m, 2));
    arrays.matrix("C.npy", &drawn_matrix(16, n, m));
    arrays.matrix("S.npy", &drawn_matrix(17, n, n));
    arrays.matrix("H.npy", &(drawn_matrix(18, n, 1) + 0.1));
    for (args, out) in [
        ("solve --cost C.npy --epsilon 0.01 --plan OUT", "OUT"),
        ("solve --x X.npy --y Y.npy --epsilon 0.01 --plan OUT", "OUT"),
        ("partial --cost C.npy --mass 0.5 --epsilon 0.05 --plan OUT", "OUT"),
        ("assign --scores C.npy --epsilon 0.05 --rounds 5 --codes OUT", "OUT"),
        ("barycenter --histograms H.npy --cost S.npy --epsilon 0.1 --out OUT", "OUT"),
        ("divergence --x X.npy --y Y.npy --epsilon 0.1", "X.npy"),
    ] {
        let [one, two] = [1, 2].map(|threads| {
            let said = arrays.ot(&format!("{args} --threads {threads} --json"));
            (said.json(), std::fs::read(arrays.path(out)).unwrap())
        });
        assert_eq!(one.0, two.0, "{args}");
        assert!(one.1 == two.1, "{args}: another file");
    }
}

#[test]
fn the_help_of_each_command_has_an_example() {
    let all = run(["ot", "--help"]);
    for name in ["solve", "assign", "divergence", "partial", "barycenter", "emd", "line"] {
        assert!(all.out.contains(name), "{all:?}");
        let help = run(["ot", name, "--help"]);
        assert_eq!(help.code, 0);
        assert!(help.out.contains(&format!("Example:\n  swav ot {name} --")), "{help:?}");
    }
}

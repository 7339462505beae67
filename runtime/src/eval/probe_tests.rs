use super::*;

fn random(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut stream = Stream::new(seed, Use::Initialisation, 1);
    Array2::from_shape_simple_fn((rows, columns), || stream.normal() as f32)
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    let x = random(600, 4, 1);
    let labels: Vec<i32> = (0..600).map(|i| i * i % 3).collect();
    let rows: Vec<usize> = (0..600).step_by(2).collect();
    let problem = Problem::new(&x, &labels, &rows, 3);
    let mut stream = Stream::new(2, Use::Initialisation, 0);
    let w: Vec<f64> = (0..15).map(|_| stream.normal()).collect();
    let mut g = vec![0.0; 15];
    problem.loss(&w, 0.1, &mut g);
    // Central differences: truncation h²/6 times a third derivative of order 1, rounding ε/h: 1e-5 balances them
    // near 1e-10.
    let h = 1e-5;
    for i in 0..15 {
        let at = |d: f64| {
            let mut moved = w.clone();
            moved[i] += d;
            problem.loss(&moved, 0.1, &mut [0.0; 15])
        };
        let numeric = (at(h) - at(-h)) / (2.0 * h);
        assert!((numeric - g[i]).abs() < 1e-8, "{i}: {numeric} {}", g[i]);
    }
}

#[test]
fn without_information_the_probabilities_are_the_shares_of_the_classes() {
    // All features zero: the minimum is the bias with softmax(b) = shares, and the loss their entropy.
    let x = Array2::zeros((8, 2));
    let labels = [0, 0, 0, 0, 1, 1, 2, 2];
    let rows: Vec<usize> = (0..8).collect();
    let problem = Problem::new(&x, &labels, &rows, 3);
    let w = problem.solve(vec![0.0; 9], 0.01);
    let entropy = 0.5 * 2f64.ln() + 0.5 * 4f64.ln();
    // Near a minimum the excess of the loss is of the order of the squared gradient, 1e-12.
    assert!((problem.score(&w).1 - entropy).abs() < 1e-10);
    assert!(((w[2] - w[5]) - 2f64.ln()).abs() < 1e-4 && w[0] == 0.0);
}

#[test]
fn a_penalty_pulls_one_weight_to_the_root_of_its_equation() {
    // Two classes, x = ±1 with labels agreeing for 3 of 4 rows. By symmetry w_1 = −w_0 = w/2, b = 0, and
    // w solves  ¾ σ(−w) − ¼ σ(w) = λ w / 2  (the derivative of the loss along w, ‖W‖² = w²/2).
    let x = Array2::from_shape_vec((8, 1), vec![1., 1., 1., 1., -1., -1., -1., -1.]).unwrap();
    let labels = [1, 1, 1, 0, 0, 0, 0, 1];
    let rows: Vec<usize> = (0..8).collect();
    let penalty = 0.05;
    let solution = Problem::new(&x, &labels, &rows, 2).solve(vec![0.0; 4], penalty);
    let w = solution[2] - solution[0];
    let sigma = |z: f64| 1.0 / (1.0 + (-z).exp());
    let residual = 0.75 * sigma(-w) - 0.25 * sigma(w) - penalty * w / 2.0;
    assert!(residual.abs() < 4.0 * TOLERANCE && w > 0.3, "{w} {residual}");
}

fn classes_in_space(rows: usize, noise: f32, seed: u64) -> (Array2<f32>, Vec<i32>) {
    let centres = random(5, 10, 99);
    let mut x = random(rows, 10, seed) * noise;
    let labels: Vec<i32> = (0..rows).map(|i| (i % 5) as i32).collect();
    for (mut row, &l) in x.rows_mut().into_iter().zip(&labels) {
        row += &centres.row(l as usize);
    }
    (x, labels)
}

#[test]
fn classes_that_a_plane_separates_are_found_and_the_scale_of_features_does_not_matter() {
    let (train, labels) = classes_in_space(500, 0.2, 3);
    let (val, val_labels) = classes_in_space(100, 0.2, 4);
    let score = probe(&train, &labels, &val, &val_labels, 7).unwrap();
    assert_eq!(score.top1, 1.0);
    let (train, labels) = classes_in_space(400, 1.2, 3);
    let (val, val_labels) = classes_in_space(300, 1.2, 4);
    let hard = probe(&train, &labels, &val, &val_labels, 7).unwrap();
    assert!(hard.top1 > 0.5 && hard.top1 < 1.0, "{hard:?}");
    // Scaling by a power of two changes no bit of the standardised features.
    assert_eq!(probe(&(train * 1024.0), &labels, &(val * 1024.0), &val_labels, 7).unwrap(), hard);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (train, labels) = classes_in_space(1500, 1.0, 5);
    let (val, val_labels) = classes_in_space(100, 1.0, 6);
    let rows: Vec<usize> = (0..1500).collect();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let w = pool.install(|| Problem::new(&train, &labels, &rows, 5).solve(vec![0.0; 55], 1e-3));
        w.into_iter().map(f64::to_bits).collect::<Vec<_>>()
    };
    let one = run(1);
    assert!([2, 3, 8].into_iter().all(|t| run(t) == one));
    assert!(probe(&train, &labels, &val, &val_labels, 7).is_ok());
}

#[test]
fn a_fifth_is_held_out_and_the_seed_decides_which() {
    let (kept, held) = split(100, 1);
    assert_eq!((kept.len(), held.len()), (80, 20));
    let mut all: Vec<usize> = kept.iter().chain(&held).copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    assert_eq!(split(100, 1).1, held);
    assert_ne!(split(100, 2).1, held);
}

#[test]
fn refusals() {
    let x = random(20, 2, 1);
    let code = |labels: &[i32]| {
        let few = x.slice(s![..labels.len(), ..]).to_owned();
        probe(&few, labels, &few, labels, 1).unwrap_err().exit_code()
    };
    assert_eq!(code(&[0, 1, 0, 1, 1]), 3);
    assert_eq!(code(&[1; 20]), 3);
    assert_eq!(code(&[-1; 20]), 3);
    let mut broken = x.clone();
    broken[[1, 1]] = f32::INFINITY;
    let labels: Vec<i32> = (0..20).map(|i| i % 2).collect();
    assert_eq!(probe(&broken, &labels, &x, &labels, 1).unwrap_err().exit_code(), 5);
}

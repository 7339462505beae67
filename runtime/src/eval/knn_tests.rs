use super::*;
use crate::rng::{Stream, Use};

fn random(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut stream = Stream::new(seed, Use::Initialisation, 0);
    Array2::from_shape_simple_fn((rows, columns), || stream.normal() as f32)
}

/// The definition, one pair at a time in f64.
fn naive(
    train: &Array2<f32>,
    labels: &[i32],
    val: &Array2<f32>,
    val_labels: &[i32],
    k: usize,
    temperature: f64,
    leave_self: bool,
) -> (f64, f64) {
    let unit = |row: ndarray::ArrayView1<'_, f32>| -> Vec<f64> {
        let norm = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        row.iter().map(|&v| f64::from(v) / norm).collect()
    };
    let units: Vec<Vec<f64>> = train.rows().into_iter().map(unit).collect();
    let (mut top1, mut top5) = (0, 0);
    for (i, row) in val.rows().into_iter().enumerate() {
        let q = unit(row);
        let mut near: Vec<(f64, usize)> = units
            .iter()
            .enumerate()
            .filter(|(j, _)| !(leave_self && *j == i))
            .map(|(j, t)| (q.iter().zip(t).map(|(a, b)| a * b).sum(), j))
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        near.truncate(k);
        let mut votes = std::collections::BTreeMap::<i32, f64>::new();
        for &(cosine, j) in &near {
            *votes.entry(labels[j]).or_default() += (cosine / temperature).exp();
        }
        let mut classes: Vec<(i32, f64)> = votes.into_iter().collect();
        classes.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        top1 += usize::from(classes[0].0 == val_labels[i]);
        top5 += usize::from(classes.iter().take(5).any(|c| c.0 == val_labels[i]));
    }
    (top1 as f64 / val.nrows() as f64, top5 as f64 / val.nrows() as f64)
}

/// Rows of one class share a direction, with noise: neither chance nor certainty.
fn classes(rows: usize, seed: u64) -> (Array2<f32>, Vec<i32>) {
    let centres = random(9, 16, 1);
    let mut x = random(rows, 16, seed);
    let labels: Vec<i32> = (0..rows).map(|i| (i * 7 % 9) as i32).collect();
    for (mut row, &l) in x.rows_mut().into_iter().zip(&labels) {
        row.scaled_add(0.45, &centres.row(l as usize));
    }
    (x, labels)
}

#[test]
fn agrees_with_the_definition() {
    // More rows than one tile and one block. Random cosines of 16 dimensions lie far apart next to the
    // rounding of f32, so both orders are the same.
    let (train, labels) = classes(1300, 2);
    let (val, val_labels) = classes(150, 3);
    let ks = [1, 7, 20, 5000];
    for temperature in [0.07, 1.0] {
        let scores = knn(&train, &labels, &val, &val_labels, &ks, temperature).unwrap();
        for (score, k) in scores.iter().zip(ks) {
            let expected = naive(&train, &labels, &val, &val_labels, k, temperature, false);
            assert_eq!((score.k, score.top1, score.top5), (k, expected.0, expected.1));
            assert!(score.top1 > 0.15 && score.top1 < 0.99, "the problem must be able to fail");
        }
    }
}

#[test]
fn within_one_set_a_row_does_not_vote_for_itself() {
    let (x, labels) = classes(200, 4);
    let within = knn_within(&x, &labels, &[1, 10], 0.07).unwrap();
    for score in &within {
        let expected = naive(&x, &labels, &x, &labels, score.k, 0.07, true);
        assert_eq!((score.top1, score.top5), expected);
    }
    let with_itself = knn(&x, &labels, &x, &labels, &[1], 0.07).unwrap();
    assert_eq!(with_itself[0].top1, 1.0);
    assert!(within[0].top1 < 1.0);
}

#[test]
fn of_equally_near_rows_the_lower_index_is_nearer() {
    // 3000 copies of one row: many tiles, every comparison a tie.
    let train = Array2::from_elem((3000, 3), 1.0);
    let query = Array2::from_elem((1, 3), 2.0);
    let near = nearest(&train, &query, 5).unwrap();
    assert_eq!(near[0].iter().map(|n| n.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let others = nearest_within(&train.slice(s![..4, ..]).to_owned(), 9).unwrap();
    assert_eq!(others[1].iter().map(|n| n.index).collect::<Vec<_>>(), [0, 2, 3]);
}

#[test]
fn of_equally_supported_classes_the_lower_wins() {
    let train = ndarray::arr2(&[[1.0f32, 0.0], [1.0, 0.0]]);
    let query = ndarray::arr2(&[[1.0f32, 0.0]]);
    let top1 = |labels: [i32; 2], truth: i32| {
        knn(&train, &labels, &query, &[truth], &[2], 0.07).unwrap()[0]
    };
    assert_eq!(top1([4, 2], 2).top1, 1.0);
    assert_eq!(top1([4, 2], 4).top1, 0.0);
    assert_eq!(top1([4, 2], 4).top5, 1.0);
    // A class that no neighbour has is never among the five, even when fewer than five voted.
    assert_eq!(top1([4, 2], 3).top5, 0.0);
}

#[test]
fn a_small_temperature_makes_the_nearest_decide() {
    let train = ndarray::arr2(&[[1.0f32, 0.01], [1.0, 0.2], [1.0, 0.2], [1.0, 0.2]]);
    let query = ndarray::arr2(&[[1.0f32, 0.0]]);
    let top1 = |t| knn(&train, &[0, 1, 1, 1], &query, &[0], &[4], t).unwrap()[0].top1;
    assert_eq!(top1(1e-6), 1.0);
    assert_eq!(top1(1.0), 0.0);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (train, _) = classes(2100, 5);
    let (val, _) = classes(130, 6);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| nearest(&train, &val, 30)).unwrap()
    };
    let one = run(1);
    assert!([2, 3, 8].into_iter().all(|t| run(t) == one));
}

#[test]
fn refusals() {
    let (x, labels) = classes(10, 7);
    let code = |ks: &[usize], t: f64, labels: &[i32]| {
        knn(&x, labels, &x, labels, ks, t).unwrap_err().exit_code()
    };
    assert_eq!(code(&[], 0.07, &labels), 2);
    assert_eq!(code(&[0], 0.07, &labels), 2);
    assert_eq!(code(&[1], 0.0, &labels), 2);
    assert_eq!(code(&[1], f64::NAN, &labels), 2);
    assert_eq!(code(&[1], 0.07, &[-1; 10]), 3);
    let mut broken = x.clone();
    broken[[3, 3]] = f32::NAN;
    assert_eq!(nearest(&broken, &x, 1).unwrap_err().exit_code(), 5);
}

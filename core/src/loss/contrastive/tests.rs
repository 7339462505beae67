use super::*;
use crate::laws::{central, directional, uniform};
use crate::rows::l2_normalize;
use alloc::vec;
use proptest::prelude::*;

/// NT-Xent as it is written, one rank after another, each view after view.
fn plain(z: &Array2<f64>, views: usize, ranks: usize, temperature: f64) -> f64 {
    let rows = z.nrows();
    let batch = rows / views / ranks;
    let s = z.dot(&z.t()) / temperature;
    let image = |r: usize| (r / (batch * views), r % batch);
    let mut value = 0.0;
    for a in 0..rows {
        let sum: f64 = (0..rows).filter(|&j| j != a).map(|j| s[[a, j]].exp()).sum();
        let near: f64 =
            (0..rows).filter(|&p| p != a && image(p) == image(a)).map(|p| s[[a, p]]).sum();
        value += sum.ln() - near / (views - 1) as f64;
    }
    value / rows as f64
}

fn plain_info_nce(
    q: &Array2<f64>,
    k: &Array2<f64>,
    n: &Array2<f64>,
    temperature: f64,
    total: usize,
) -> f64 {
    let mut value = 0.0;
    for (q, k) in q.rows().into_iter().zip(k.rows()) {
        let near = q.dot(&k) / temperature;
        let sum: f64 = n.rows().into_iter().map(|n| (q.dot(&n) / temperature).exp()).sum();
        value += (sum + near.exp()).ln() - near;
    }
    value / total as f64
}

proptest! {
    #[test]
    fn nt_xent_and_its_gradient_are_those_of_the_definition(
        (views, ranks, batch, d) in (2_usize..5, 1_usize..4, 1_usize..6, 1_usize..9),
        seed in any::<u64>(), temperature in 0.1..1.0,
    ) {
        let z = l2_normalize(&uniform(seed, (ranks * views * batch, d))).0;
        let loss = NtXent { views, ranks, temperature };
        let each = views * batch;
        let (mut value, mut gradient) = (0.0, Array2::zeros(z.dim()));
        let mut workspace = Workspace::new();
        for rank in 0..ranks {
            let mut part = vec![9.0; z.len()];
            let local = rank * each..(rank + 1) * each;
            let all = z.as_slice().unwrap();
            value += nt_xent_into(all, d, loss, local, &mut part, &mut workspace).unwrap();
            gradient = gradient + Array2::from_shape_vec(z.dim(), part).unwrap();
        }
        let truth = plain(&z, views, ranks, temperature);
        prop_assert!((value - truth).abs() <= 1e-12 * truth.abs().max(1.0));
        let direction = uniform(seed ^ 1, z.dim());
        let at = |t: f64| plain(&(&z + &(&direction * t)), views, ranks, temperature);
        directional(&gradient, &direction, central(at, 1e-3 * temperature), 1e-7);
    }

    #[test]
    fn info_nce_and_its_gradient_are_those_of_the_definition(
        (batch, length, cut, d) in (1_usize..9, 1_usize..20, 0_usize..20, 1_usize..9),
        seed in any::<u64>(), temperature in 0.1..1.0, total in 1_usize..50,
    ) {
        let [q, k] = [1, 2].map(|i| l2_normalize(&uniform(seed ^ i, (batch, d))).0);
        let n = l2_normalize(&uniform(seed ^ 3, (length, d))).0;
        let (value, gradient) = info_nce(&q, &k, &n, temperature, total).unwrap();
        let truth = plain_info_nce(&q, &k, &n, temperature, total);
        prop_assert!((value - truth).abs() <= 1e-12 * truth.abs().max(1.0));
        let direction = uniform(seed ^ 4, q.dim());
        let at = |t: f64| plain_info_nce(&(&q + &(&direction * t)), &k, &n, temperature, total);
        let (gradient, factor) = (&gradient * total as f64, total as f64);
        directional(&gradient, &direction, central(at, 1e-3 * temperature) * factor, 1e-7);

        // Negatives in two pieces, as a queue gives them.
        let (first, second) = n.as_slice().unwrap().split_at(cut.min(length) * d);
        let loss = InfoNce { temperature, batch_total: total };
        let mut parts = vec![9.0; q.len()];
        let again = info_nce_into(q.as_slice().unwrap(), k.as_slice().unwrap(), [first, second], d,
            loss, &mut parts, &mut Workspace::new()).unwrap();
        prop_assert!((again - value).abs() <= 1e-13 * truth.abs().max(1.0));
        prop_assert!(parts.iter().zip(&gradient).all(|(p, g)| (p * factor - g).abs() <= 1e-12));
    }
}

#[test]
fn several_blocks_are_one_loss() {
    // 700 rows: three blocks, the last one short.
    let z = l2_normalize(&uniform(1, (700, 16))).0;
    let (value, gradient) = nt_xent(&z, 2, 0.1).unwrap();
    assert!((value - plain(&z, 2, 1, 0.1)).abs() < 1e-12);
    let direction = uniform(2, z.dim());
    let at = |t: f64| plain(&(&z + &(&direction * t)), 2, 1, 0.1);
    directional(&gradient, &direction, central(at, 1e-4), 1e-7);
    let single = z.mapv(|z| z as f32);
    let (v, g) = nt_xent(&single, 2, 0.1).unwrap();
    // Cosines rounded to f32, over τ = 0.1, sums of 700 terms.
    assert!((v - value).abs() < 60.0 * f32::EPSILON as f64 * value);
    let most = gradient.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
    assert!(g.iter().zip(&gradient).all(|(&a, b)| (a as f64 - b).abs() < 1e-4 * most));

    let (k, n) = (l2_normalize(&uniform(3, (700, 16))).0, l2_normalize(&uniform(4, (90, 16))).0);
    let (value, _) = info_nce(&z, &k, &n, 0.2, 700).unwrap();
    assert!((value - plain_info_nce(&z, &k, &n, 0.2, 700)).abs() < 1e-12);
}

#[test]
fn a_far_key_does_not_overflow() {
    let q = ndarray::array![[1e3_f32, 0.0]];
    let (value, gradient) = info_nce(&q, &(-&q), &q, 0.07, 1).unwrap();
    assert!(value.is_finite() && gradient.iter().all(|g| g.is_finite()));
    let (value, gradient) = info_nce(&q, &q, &Array2::zeros((0, 2)), 0.07, 1).unwrap();
    assert_eq!((value, gradient.sum()), (0.0, 0.0));
}

#[test]
fn what_is_refused() {
    let z = Array2::<f32>::zeros((6, 3));
    assert!(matches!(nt_xent(&z, 1, 0.1), Err(Error::Parameter { name: "views", .. })));
    assert!(matches!(nt_xent(&z, 4, 0.1), Err(Error::Shape { what: "embeddings", .. })));
    assert!(matches!(nt_xent(&z, 2, 0.0), Err(Error::Parameter { name: "temperature", .. })));
    let n = Array2::zeros((6, 2));
    assert!(matches!(info_nce(&z, &z, &n, 0.1, 6), Err(Error::Shape { what: "negatives", .. })));
    assert!(matches!(info_nce(&z, &z, &z, 0.1, 0), Err(Error::Parameter { .. })));
    let k = Array2::zeros((5, 3));
    assert!(matches!(info_nce(&z, &k, &z, 0.1, 6), Err(Error::Shape { what: "keys", .. })));
}

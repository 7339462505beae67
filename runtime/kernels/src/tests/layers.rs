use super::{Random, assert_within, same_on_any_threads, unwritten, wide};
use crate::conv::Convolve;
use crate::element::Element;
use crate::linear::{linear_backward_input, linear_backward_weight, linear_forward};
use crate::pixels::normalise_bytes;
use crate::pool::{avg_pool_backward, avg_pool_forward, max_pool_backward, max_pool_forward};
use crate::scratch::Scratch;
use crate::shapes::{PoolShape, Write};
use crate::unit::{l2_backward, l2_forward};

fn linear<T: Convolve>() {
    for (rows, inp, out) in [(1, 1, 1), (5, 7, 3), (130, 300, 65), (33, 128, 40)] {
        let mut random = Random::new(rows as u64);
        let (x, w): (Vec<T>, Vec<T>) = (random.values(rows * inp), random.values(out * inp));
        let (bias, dy): (Vec<T>, Vec<T>) = (random.values(out), random.values(rows * out));
        let what = format!("linear {rows} x {inp} -> {out}");
        let size = |n: usize, terms: usize| vec![terms as f64 + 1.0; n];

        let y = same_on_any_threads(&what, || {
            let mut y = unwritten(rows * out);
            linear_forward(rows, inp, out, &mut y, &x, &w, Some(&bias), &mut Scratch::default());
            y
        });
        let value = |i: usize| {
            let (row, o) = (i / out, i % out);
            bias[o].to_f64()
                + (0..inp).map(|c| x[row * inp + c].to_f64() * w[o * inp + c].to_f64()).sum::<f64>()
        };
        assert_within(
            &what,
            &y,
            &(0..rows * out).map(value).collect::<Vec<_>>(),
            inp + 2,
            &size(rows * out, inp),
        );

        let dx = same_on_any_threads(&what, || {
            let mut dx = unwritten(rows * inp);
            linear_backward_input(
                rows,
                inp,
                out,
                &mut dx,
                Write::Assign,
                &dy,
                &w,
                &mut Scratch::default(),
            );
            dx
        });
        let value = |i: usize| {
            let (row, c) = (i / inp, i % inp);
            (0..out).map(|o| dy[row * out + o].to_f64() * w[o * inp + c].to_f64()).sum::<f64>()
        };
        assert_within(
            &what,
            &dx,
            &(0..rows * inp).map(value).collect::<Vec<_>>(),
            out + 2,
            &size(rows * inp, out),
        );

        let both = same_on_any_threads(&what, || {
            let (mut dw, mut dbias) = (w.clone(), bias.clone());
            linear_backward_weight(
                rows,
                inp,
                out,
                &mut dw,
                Some(&mut dbias),
                &dy,
                &x,
                &mut Scratch::default(),
            );
            [dw, dbias].concat()
        });
        let value = |i: usize| {
            if i >= out * inp {
                let o = i - out * inp;
                return bias[o].to_f64()
                    + (0..rows).map(|row| dy[row * out + o].to_f64()).sum::<f64>();
            }
            let (o, c) = (i / inp, i % inp);
            w[i].to_f64()
                + (0..rows)
                    .map(|row| dy[row * out + o].to_f64() * x[row * inp + c].to_f64())
                    .sum::<f64>()
        };
        let len = out * inp + out;
        assert_within(
            &what,
            &both,
            &(0..len).map(value).collect::<Vec<_>>(),
            rows + 2,
            &size(len, rows),
        );
    }
}

#[test]
fn linear_in_both_types() {
    linear::<f32>();
    linear::<f64>();
}

/// y[o] = max over the window; the gradient of Σ y·dy goes to the first place that holds the maximum.
fn max_pool<T: Element>() {
    for s in [
        PoolShape { n: 2, h: 9, w: 7, c: 5, r: 3, stride: 2, pad: 1 },
        PoolShape { n: 1, h: 112, w: 12, c: 64, r: 3, stride: 2, pad: 1 },
        PoolShape { n: 3, h: 2, w: 2, c: 1, r: 2, stride: 2, pad: 0 },
        PoolShape { n: 1, h: 1, w: 1, c: 3, r: 3, stride: 2, pad: 1 },
        PoolShape { n: 2, h: 8, w: 8, c: 16, r: 3, stride: 1, pad: 1 },
    ] {
        let mut random = Random::new(s.h as u64);
        let outputs = s.n * s.oh() * s.ow() * s.c;
        // Few distinct values: ties in every window, zeros as a ReLU leaves them.
        let x: Vec<T> = random
            .bytes(s.n * s.h * s.w * s.c)
            .iter()
            .map(|b| T::from_f64(f64::from(b % 3)))
            .collect();
        let dy: Vec<T> = random.values(outputs);
        let mut want = vec![f64::NEG_INFINITY; outputs];
        let mut winner = vec![0; outputs];
        for o in 0..outputs {
            let (c, j, i, image) =
                (o % s.c, o / s.c % s.ow(), o / s.c / s.ow() % s.oh(), o / s.c / s.ow() / s.oh());
            for place in 0..s.r * s.r {
                let (y, x_) = (i * s.stride + place / s.r, j * s.stride + place % s.r);
                if y >= s.pad && y < s.h + s.pad && x_ >= s.pad && x_ < s.w + s.pad {
                    let at = ((image * s.h + y - s.pad) * s.w + x_ - s.pad) * s.c + c;
                    if x[at].to_f64() > want[o] {
                        (want[o], winner[o]) = (x[at].to_f64(), at);
                    }
                }
            }
        }
        let mut dx_want = vec![0.0; x.len()];
        (0..outputs).for_each(|o| dx_want[winner[o]] += dy[o].to_f64());

        let both = same_on_any_threads("max_pool", || {
            let (mut y, mut argmax, mut dx) =
                (unwritten(outputs), vec![99; outputs], unwritten(x.len()));
            max_pool_forward(&s, &mut y, &x, &mut argmax);
            max_pool_backward(&s, &mut dx, &dy, &argmax);
            [y, dx].concat()
        });
        assert_eq!(wide(&both[..outputs]), want, "{s:?}");
        // At most r² windows share a place.
        assert_within(
            "max_pool_backward",
            &both[outputs..],
            &dx_want,
            s.r * s.r,
            &vec![(s.r * s.r) as f64; x.len()],
        );
    }
}

#[test]
fn max_pool_in_both_types() {
    max_pool::<f32>();
    max_pool::<f64>();
}

#[test]
fn max_pool_keeps_nan() {
    let s = PoolShape { n: 1, h: 2, w: 2, c: 1, r: 2, stride: 2, pad: 0 };
    for place in 0..4 {
        let mut x = [1.0f32, 2.0, 3.0, 0.0];
        x[place] = f32::NAN;
        let (mut y, mut argmax) = ([0.0], [0]);
        max_pool_forward(&s, &mut y, &x, &mut argmax);
        assert!(y[0].is_nan());
        assert_eq!(usize::from(argmax[0]), place);
    }
}

fn avg_pool<T: Element>() {
    for (n, hw, c) in [(1, 1, 1), (3, 49, 20), (2, 9, 64)] {
        let mut random = Random::new(hw as u64);
        let (x, dy): (Vec<T>, Vec<T>) = (random.values(n * hw * c), random.values(n * c));
        let (mut y, mut dx) = (unwritten(n * c), unwritten(n * hw * c));
        avg_pool_forward(n, hw, c, &mut y, &x);
        avg_pool_backward(n, hw, c, &mut dx, &dy);
        let mean = |o: usize| {
            (0..hw).map(|p| x[(o / c * hw + p) * c + o % c].to_f64()).sum::<f64>() / hw as f64
        };
        assert_within(
            "avg_pool",
            &y,
            &(0..n * c).map(mean).collect::<Vec<_>>(),
            hw + 2,
            &vec![1.0; n * c],
        );
        let share = |i: usize| dy[i / (hw * c) * c + i % c].to_f64() / hw as f64;
        assert_within(
            "avg_pool_backward",
            &dx,
            &(0..n * hw * c).map(share).collect::<Vec<_>>(),
            2,
            &vec![1.0; n * hw * c],
        );
    }
}

#[test]
fn avg_pool_in_both_types() {
    avg_pool::<f32>();
    avg_pool::<f64>();
}

/// The analytic gradient of ⟨dy, x / ‖x‖⟩, and a row of zeros that stays finite.
#[test]
fn unit_vectors() {
    let (rows, d) = (3, 7);
    let mut random = Random::new(3);
    let (mut x, dy): (Vec<f64>, Vec<f64>) = (random.values(rows * d), random.values(rows * d));
    x[d..2 * d].fill(0.0);
    let (mut y, mut norms, mut dx) = (unwritten(rows * d), unwritten(rows), unwritten(rows * d));
    l2_forward(&mut y, &x, d, &mut norms);
    l2_backward(&mut dx, &dy, &y, &norms, d);
    for row in [0, 2] {
        let (x, y, dy, dx) =
            (&x[row * d..][..d], &y[row * d..][..d], &dy[row * d..][..d], &dx[row * d..][..d]);
        let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt();
        let dot = x.iter().zip(dy).map(|(a, b)| a * b).sum::<f64>();
        for i in 0..d {
            assert!((y[i] - x[i] / norm).abs() < 4.0 * f64::EPSILON);
            let want = dy[i] / norm - x[i] * dot / norm.powi(3);
            assert!(
                (dx[i] - want).abs() < 40.0 * f64::EPSILON / norm,
                "{} instead of {want}",
                dx[i]
            );
        }
    }
    assert!(y[d..2 * d].iter().all(|&v| v == 0.0));
    assert!(dx[d..2 * d].iter().zip(&dy[d..2 * d]).all(|(dx, dy)| *dx == dy / 1e-12));
}

#[test]
fn bytes_become_normalised_values() {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.228, 0.224, 0.225]);
    for channels in [1, 2, 3] {
        let x = Random::new(1).bytes(channels * 100_001);
        let mut out = unwritten::<f32>(x.len());
        normalise_bytes(&mut out, &x, &mean[..channels], &std[..channels], channels);
        for (i, (&byte, &value)) in x.iter().zip(&out).enumerate() {
            let c = i % channels;
            assert_eq!(value, ((f64::from(byte) / 255.0 - mean[c]) / std[c]) as f32);
        }
    }
}

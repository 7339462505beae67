//! Minimal filtering against plain f64 loops, within the bound that its three transforms give.

use super::conv::{check_sums, products, shape};
use super::{Random, assert_within, on_every_isa, same_on_any_threads, unwritten, wide};
use crate::conv::winograd::{Tiles, suits};
use crate::conv::{conv_backward_input, conv_backward_weight, conv_forward};
use crate::scratch::Scratch;
use crate::shapes::{ConvShape, Write};

/// Even and odd maps, a last panel half full, and channels in two stretches on either side.
fn shapes() -> [ConvShape; 6] {
    [
        shape(4, 14, 15, 32, 48, 3, 1, 1),
        shape(9, 9, 9, 64, 32, 3, 1, 1),
        shape(22, 6, 6, 16, 16, 3, 1, 1),
        shape(200, 2, 2, 16, 32, 3, 1, 1),
        shape(1, 28, 28, 272, 48, 3, 1, 1),
        shape(1, 27, 28, 48, 272, 3, 1, 1),
    ]
}

/// |a| |m| |a|ᵀ for a `[rows, inner]` transform and an `[inner, inner]` matrix.
fn spread(a: &[&[f64]], m: &[f64]) -> Vec<f64> {
    let inner = a[0].len();
    let cell = |i: usize, j: usize| -> f64 {
        (0..inner * inner).map(|q| (a[i][q / inner] * m[q] * a[j][q % inner]).abs()).sum()
    };
    (0..a.len() * a.len()).map(|q| cell(q / a.len(), q % a.len())).collect()
}

/// What the sizes of all summands of an output add up to: |A|ᵀ [Σ_c (|G| |g| |G|ᵀ) ⊙ (|B|ᵀ |d| |B|)] |A|.
///
/// An element of d passes 2 additions, one of g 4, a product c fused additions and 4 more: with rounding errors of
/// half an ε each, the error is below (c + 12) ε times this, to first order.
fn sizes(s: &ConvShape, x: &[f64], w: &[f64]) -> Vec<f64> {
    let b: [&[f64]; 4] =
        [&[1., 0., 1., 0.], &[0., 1., 1., 0.], &[0., 1., 1., 0.], &[0., 1., 0., 1.]];
    let g: [&[f64]; 4] = [&[1., 0., 0.], &[0.5, 0.5, 0.5], &[0.5, 0.5, 0.5], &[0., 0., 1.]];
    let a: [&[f64]; 2] = [&[1., 1., 1., 0.], &[0., 1., 1., 1.]];
    let tiles = Tiles::new(s.n, s.h, s.w);
    let weights: Vec<Vec<f64>> = (0..s.k * s.c)
        .map(|i| {
            spread(
                &g,
                &(0..9).map(|tap| w[(i / s.c * 9 + tap) * s.c + i % s.c]).collect::<Vec<_>>(),
            )
        })
        .collect();
    let mut sizes = vec![0.0; s.n * s.h * s.w * s.k];
    for place in (0..tiles.total()).map(|tile| tiles.place(tile)) {
        let at = |q: usize, c: usize| {
            let pixel = tiles.pixel(place, (q / 4) as isize - 1, (q % 4) as isize - 1);
            pixel.map_or(0.0, |pixel| x[pixel * s.c + c])
        };
        let inputs: Vec<Vec<f64>> =
            (0..s.c).map(|c| spread(&b, &(0..16).map(|q| at(q, c)).collect::<Vec<_>>())).collect();
        for k in 0..s.k {
            let mut m = [0.0; 16];
            for c in 0..s.c {
                let u = &weights[k * s.c + c];
                (0..16).for_each(|q| m[q] += u[q] * inputs[c][q]);
            }
            for (q, size) in spread(&a, &m).into_iter().enumerate() {
                if let Some(pixel) = tiles.pixel(place, (q / 2) as isize, (q % 2) as isize) {
                    sizes[pixel * s.k + k] = size;
                }
            }
        }
    }
    sizes
}

#[test]
fn winograd_stays_within_its_bound() {
    for s in shapes() {
        assert!(suits(&s), "{s:?}");
        let mut random = Random::new(s.c as u64);
        let (x, w): (Vec<f32>, Vec<f32>) =
            (random.values(s.n * s.h * s.w * s.c), random.values(s.k * s.window()));
        let dy: Vec<f32> = random.values(s.out_rows() * s.k);
        let (x64, w64, dy64) = (wide(&x), wide(&w), wide(&dy));
        let (mut y_want, mut dx_want) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        products(&s, |y, i, j| {
            y_want[y] += x64[i] * w64[j];
            dx_want[i] += dy64[y] * w64[j];
        });
        let flipped: Vec<f64> = (0..w.len())
            .map(|i| {
                let (c, tap, k) = (i / (9 * s.k), i / s.k % 9, i % s.k);
                w64[(k * 9 + 8 - tap) * s.c + c]
            })
            .collect();
        let y_sizes = sizes(&s, &x64, &w64);
        let dx_sizes = sizes(&ConvShape { c: s.k, k: s.c, ..s }, &dy64, &flipped);
        let added: Vec<f64> = dx_want.iter().zip(&x64).map(|(g, x)| g + x).collect();
        let added_sizes: Vec<f64> = dx_sizes.iter().zip(&x64).map(|(g, x)| g + x.abs()).collect();

        let forward = || {
            let (mut y, mut sums) = (unwritten(dy.len()), vec![f64::NAN; 2 * s.k]);
            conv_forward(&s, &mut y, &x, &w, Some(&mut sums), &mut Scratch::default());
            check_sums(&s, &y, &sums);
            assert_within(&format!("{s:?}"), &y, &y_want, s.c + 12, &y_sizes);
            y
        };
        let backward = |start: Vec<f32>, write: Write| {
            let mut dx = start;
            conv_backward_input(&s, &mut dx, write, &dy, &w, &mut Scratch::default());
            dx
        };
        let both = || {
            let dx = backward(unwritten(x.len()), Write::Assign);
            assert_within(&format!("input gradient {s:?}"), &dx, &dx_want, s.k + 12, &dx_sizes);
            let sum = backward(x.clone(), Write::Accumulate);
            assert_within(
                &format!("added input gradient {s:?}"),
                &sum,
                &added,
                s.k + 13,
                &added_sizes,
            );
            [forward(), dx].concat()
        };
        same_on_any_threads(&format!("{s:?}"), both);
        on_every_isa(|| drop(both()));
    }
}

/// |G|ᵀ [Σ_tiles (|B|ᵀ |d| |B|) ⊙ (|A| |dY| |A|ᵀ)] |G|: an element of d passes 2 additions, one of dY 2, a product
/// as many fused additions as there are tiles and 4 more.
fn weight_sizes(s: &ConvShape, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let b: [&[f64]; 4] =
        [&[1., 0., 1., 0.], &[0., 1., 1., 0.], &[0., 1., 1., 0.], &[0., 1., 0., 1.]];
    let g: [&[f64]; 3] = [&[1., 0.5, 0.5, 0.], &[0., 0.5, 0.5, 0.], &[0., 0.5, 0.5, 1.]];
    let a: [&[f64]; 4] = [&[1., 0.], &[1., 1.], &[1., 1.], &[0., 1.]];
    let tiles = Tiles::new(s.n, s.h, s.w);
    let mut sums = vec![[0.0; 16]; s.k * s.c];
    for place in (0..tiles.total()).map(|tile| tiles.place(tile)) {
        let window = |values: &[f64],
                      channels: usize,
                      size: usize,
                      start: isize|
         -> Vec<Vec<f64>> {
            let at = |q: usize, c: usize| {
                let pixel =
                    tiles.pixel(place, (q / size) as isize + start, (q % size) as isize + start);
                pixel.map_or(0.0, |pixel| values[pixel * channels + c])
            };
            (0..channels).map(|c| (0..size * size).map(|q| at(q, c)).collect()).collect()
        };
        let inputs: Vec<Vec<f64>> = window(x, s.c, 4, -1).iter().map(|d| spread(&b, d)).collect();
        let outputs: Vec<Vec<f64>> = window(dy, s.k, 2, 0).iter().map(|d| spread(&a, d)).collect();
        for (i, sum) in sums.iter_mut().enumerate() {
            let (input, output) = (&inputs[i % s.c], &outputs[i / s.c]);
            (0..16).for_each(|q| sum[q] += input[q] * output[q]);
        }
    }
    let mut sizes = vec![0.0; s.k * 9 * s.c];
    for (i, sum) in sums.iter().enumerate() {
        for (tap, size) in spread(&g, sum).into_iter().enumerate() {
            sizes[(i / s.c * 9 + tap) * s.c + i % s.c] = size;
        }
    }
    sizes
}

#[test]
fn winograd_weight_gradient_stays_within_its_bound() {
    for s in shapes() {
        let mut random = Random::new(s.k as u64);
        let (x, w): (Vec<f32>, Vec<f32>) =
            (random.values(s.n * s.h * s.w * s.c), random.values(s.k * s.window()));
        let dy: Vec<f32> = random.values(s.out_rows() * s.k);
        let (x64, dy64, mut want) = (wide(&x), wide(&dy), wide(&w));
        products(&s, |y, i, j| want[j] += x64[i] * dy64[y]);
        let sizes: Vec<f64> = weight_sizes(&s, &x64, &dy64)
            .iter()
            .zip(&w)
            .map(|(size, w)| size + f64::from(w.abs()))
            .collect();
        let terms = Tiles::new(s.n, s.h, s.w).total() + 10;
        let run = || {
            let mut dw = w.clone();
            conv_backward_weight(&s, &mut dw, &dy, &x, &mut Scratch::default());
            assert_within(&format!("weight gradient {s:?}"), &dw, &want, terms, &sizes);
            dw
        };
        same_on_any_threads(&format!("weight gradient {s:?}"), run);
        on_every_isa(|| drop(run()));
    }
}

#[test]
fn direct_sums_on_request() {
    let s = shapes()[0];
    let mut random = Random::new(7);
    let (x, w): (Vec<f32>, Vec<f32>) =
        (random.values(s.n * s.h * s.w * s.c), random.values(s.k * s.window()));
    let (mut want, mut size) = (vec![0.0; s.out_rows() * s.k], vec![0.0; s.out_rows() * s.k]);
    products(&s, |y, i, j| {
        let product = f64::from(x[i]) * f64::from(w[j]);
        want[y] += product;
        size[y] += product.abs();
    });
    let mut y = [vec![0.0; want.len()], vec![0.0; want.len()]];
    for (y, direct) in y.iter_mut().zip([true, false]) {
        conv_forward(&s, y, &x, &w, None, &mut Scratch { direct, ..Scratch::default() });
    }
    assert_within("direct", &y[0], &want, s.window() + 1, &size);
    assert_ne!(y[0], y[1], "the two ways round differently");
}

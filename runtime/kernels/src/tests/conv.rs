use super::{Random, assert_within, on_every_isa, same_on_any_threads, unwritten, wide};
use crate::conv::{Convolve, conv_backward_input, conv_backward_weight, conv_forward};
use crate::scratch::Scratch;
use crate::shapes::{ConvShape, Write};

pub(super) fn shape(
    n: usize,
    h: usize,
    w: usize,
    c: usize,
    k: usize,
    r: usize,
    stride: usize,
    pad: usize,
) -> ConvShape {
    ConvShape { n, h, w, c, k, r, stride, pad }
}

/// Odd channels, odd maps, both strides, all kernels of a ResNet; maps smaller than the kernel.
pub(super) fn shapes() -> Vec<ConvShape> {
    let mut shapes = vec![
        shape(2, 9, 9, 3, 16, 7, 2, 3),
        shape(1, 12, 20, 3, 5, 7, 2, 3),
        shape(2, 28, 28, 1, 16, 3, 1, 1),
        shape(3, 7, 9, 1, 7, 3, 1, 1),
        shape(2, 8, 8, 4, 20, 3, 2, 1),
        shape(2, 7, 7, 16, 16, 3, 1, 1),
        shape(1, 9, 8, 20, 33, 3, 1, 1),
        shape(2, 5, 5, 64, 64, 3, 1, 1),
        shape(1, 6, 6, 64, 48, 3, 2, 1),
        shape(1, 3, 5, 130, 17, 3, 1, 1),
        shape(3, 1, 1, 64, 20, 3, 2, 1),
        shape(2, 1, 2, 20, 3, 3, 1, 1),
        shape(2, 2, 2, 16, 16, 3, 2, 1),
        shape(2, 7, 7, 64, 256, 1, 1, 0),
        shape(2, 7, 5, 20, 65, 1, 2, 0),
        shape(5, 1, 1, 300, 70, 1, 1, 0),
        shape(2, 14, 14, 96, 31, 1, 1, 0),
        shape(1, 4, 4, 288, 544, 1, 1, 0),
        shape(2, 24, 24, 16, 32, 1, 2, 0),
        shape(1, 33, 17, 16, 16, 3, 1, 1),
        shape(2, 7, 9, 32, 48, 3, 1, 1),
        shape(3, 14, 6, 64, 32, 3, 1, 1),
        shape(1, 8, 7, 272, 48, 3, 1, 1),
        shape(1, 6, 6, 48, 272, 3, 1, 1),
    ];
    for size in 1..=9 {
        shapes.push(shape(2, size, 10 - size, 4, 9, 3, 1 + size % 2, 1));
    }
    shapes
}

/// Calls f(output index, input index, weight index) for every product of the convolution.
pub(super) fn products(s: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    for row in 0..s.out_rows() {
        let (image, i, j) = (row / (s.oh() * s.ow()), row / s.ow() % s.oh(), row % s.ow());
        for tap in 0..s.r * s.r {
            let (y, x) = (i * s.stride + tap / s.r, j * s.stride + tap % s.r);
            if y < s.pad || y >= s.h + s.pad || x < s.pad || x >= s.w + s.pad {
                continue;
            }
            let input = ((image * s.h + y - s.pad) * s.w + x - s.pad) * s.c;
            for k in 0..s.k {
                for c in 0..s.c {
                    f(row * s.k + k, input + c, (k * s.r * s.r + tap) * s.c + c);
                }
            }
        }
    }
}

struct Case<T> {
    s: ConvShape,
    x: Vec<T>,
    w: Vec<T>,
    dy: Vec<T>,
}

impl<T: Convolve> Case<T> {
    fn new(s: ConvShape) -> Self {
        let mut random = Random::new(s.h as u64 * 1000 + s.c as u64);
        let x = random.values(s.n * s.h * s.w * s.c);
        let w = random.values(s.k * s.window());
        let dy = random.values(s.out_rows() * s.k);
        Self { s, x, w, dy }
    }

    /// Sum and sum of sizes of the products that reach each of `len` targets.
    fn naive(
        &self,
        len: usize,
        pick: impl Fn(usize, usize, usize) -> (usize, f64),
    ) -> (Vec<f64>, Vec<f64>) {
        let (mut sum, mut size) = (vec![0.0; len], vec![0.0; len]);
        products(&self.s, |y, x, w| {
            let (target, product) = pick(y, x, w);
            sum[target] += product;
            size[target] += product.abs();
        });
        (sum, size)
    }
}

fn forward<T: Convolve>() {
    for s in shapes() {
        let case = Case::<T>::new(s);
        let (x, w) = (wide(&case.x), wide(&case.w));
        let (want, bound) = case.naive(case.dy.len(), |y, i, j| (y, x[i] * w[j]));
        let run = || {
            let (mut y, mut sums) = (unwritten(case.dy.len()), vec![f64::NAN; 2 * s.k]);
            conv_forward(&s, &mut y, &case.x, &case.w, Some(&mut sums), &mut Scratch::default());
            check_sums(&s, &y, &sums);
            y
        };
        let y = same_on_any_threads(&format!("forward {s:?}"), run);
        assert_within(&format!("forward {s:?}"), &y, &want, s.window() + 1, &bound);
    }
}

/// The statistics are those of the output as stored; at most 112 rows are summed in the storage type.
pub(super) fn check_sums<T: Convolve>(s: &ConvShape, y: &[T], sums: &[f64]) {
    for k in 0..s.k {
        let column: Vec<f64> = y.iter().skip(k).step_by(s.k).map(|v| v.to_f64()).collect();
        let (sum, size, square) =
            column.iter().fold((0.0, 0.0, 0.0), |a, v| (a.0 + v, a.1 + v.abs(), a.2 + v * v));
        let eps = 114.0 * T::EPSILON.to_f64();
        assert!((sums[k] - sum).abs() <= eps * size, "{s:?}: sum {} instead of {sum}", sums[k]);
        assert!(
            (sums[s.k + k] - square).abs() <= eps * square,
            "{s:?}: squares {} instead of {square}",
            sums[s.k + k]
        );
    }
}

fn backward_input<T: Convolve>() {
    for s in shapes() {
        let case = Case::<T>::new(s);
        let (dy, w) = (wide(&case.dy), wide(&case.w));
        let (want, bound) = case.naive(case.x.len(), |y, i, j| (i, dy[y] * w[j]));
        let terms = s.r * s.r * s.k + 2;
        let run = |start: Vec<T>, write: Write| {
            let mut dx = start;
            conv_backward_input(&s, &mut dx, write, &case.dy, &case.w, &mut Scratch::default());
            dx
        };
        let dx =
            same_on_any_threads(&format!("{s:?}"), || run(unwritten(case.x.len()), Write::Assign));
        assert_within(&format!("input gradient {s:?}"), &dx, &want, terms, &bound);

        let added =
            same_on_any_threads(&format!("{s:?}"), || run(case.x.clone(), Write::Accumulate));
        let want: Vec<f64> = want.iter().zip(&case.x).map(|(g, x)| g + x.to_f64()).collect();
        let bound: Vec<f64> =
            bound.iter().zip(&case.x).map(|(g, x)| g + x.to_f64().abs()).collect();
        assert_within(&format!("added input gradient {s:?}"), &added, &want, terms, &bound);
    }
}

fn backward_weight<T: Convolve>() {
    for s in shapes() {
        let case = Case::<T>::new(s);
        let (dy, x) = (wide(&case.dy), wide(&case.x));
        let (want, bound) = case.naive(case.w.len(), |y, i, j| (j, dy[y] * x[i]));
        let run = || {
            let mut dw = case.w.clone();
            conv_backward_weight(&s, &mut dw, &case.dy, &case.x, &mut Scratch::default());
            dw
        };
        let dw = same_on_any_threads(&format!("weight gradient {s:?}"), run);
        let want: Vec<f64> = want.iter().zip(&case.w).map(|(g, w)| g + w.to_f64()).collect();
        let bound: Vec<f64> =
            bound.iter().zip(&case.w).map(|(g, w)| g + w.to_f64().abs()).collect();
        assert_within(&format!("weight gradient {s:?}"), &dw, &want, s.out_rows() + 2, &bound);
    }
}

#[test]
fn every_instruction_set() {
    for s in shapes() {
        let case = Case::<f32>::new(s);
        let (x, w, dy) = (wide(&case.x), wide(&case.w), wide(&case.dy));
        let forward = case.naive(dy.len(), |y, i, j| (y, x[i] * w[j]));
        let input = case.naive(x.len(), |y, i, j| (i, dy[y] * w[j]));
        let weight = case.naive(w.len(), |y, i, j| (j, dy[y] * x[i]));
        on_every_isa(|| {
            let scratch = &mut Scratch::default();
            let (mut y, mut sums) = (unwritten(dy.len()), vec![f64::NAN; 2 * s.k]);
            conv_forward(&s, &mut y, &case.x, &case.w, Some(&mut sums), scratch);
            check_sums(&s, &y, &sums);
            assert_within(&format!("forward {s:?}"), &y, &forward.0, s.window() + 1, &forward.1);
            let mut dx = unwritten(x.len());
            conv_backward_input(&s, &mut dx, Write::Assign, &case.dy, &case.w, scratch);
            assert_within(
                &format!("input gradient {s:?}"),
                &dx,
                &input.0,
                s.r * s.r * s.k + 2,
                &input.1,
            );
            let mut dw = vec![0.0; w.len()];
            conv_backward_weight(&s, &mut dw, &case.dy, &case.x, scratch);
            assert_within(
                &format!("weight gradient {s:?}"),
                &dw,
                &weight.0,
                s.out_rows() + 2,
                &weight.1,
            );
        });
    }
}

#[test]
fn forward_in_f32() {
    forward::<f32>();
}

#[test]
fn forward_in_f64() {
    forward::<f64>();
}

#[test]
fn backward_input_in_f32() {
    backward_input::<f32>();
}

#[test]
fn backward_input_in_f64() {
    backward_input::<f64>();
}

#[test]
fn backward_weight_in_f32() {
    backward_weight::<f32>();
}

#[test]
fn backward_weight_in_f64() {
    backward_weight::<f64>();
}

#[test]
fn scratch_stops_growing() {
    let s = shape(4, 9, 9, 16, 40, 3, 1, 1);
    let case = Case::<f32>::new(s);
    let (mut scratch, mut y, mut dx, mut dw) =
        (Scratch::default(), case.dy.clone(), case.x.clone(), case.w.clone());
    let mut step = || {
        conv_forward(&s, &mut y, &case.x, &case.w, None, &mut scratch);
        conv_backward_input(&s, &mut dx, Write::Assign, &case.dy, &case.w, &mut scratch);
        conv_backward_weight(&s, &mut dw, &case.dy, &case.x, &mut scratch);
        scratch.bytes()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    pool.install(|| {
        let first = step();
        assert!(first > 0);
        assert_eq!(step(), first);
    });
}

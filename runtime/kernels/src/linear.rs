//! Fully connected layers. Weights are `[out, in]`; a layer is a 1x1 convolution of 1x1 maps.

use crate::conv::{Convolve, conv_backward_input, conv_backward_weight, conv_forward};
use crate::scratch::Scratch;
use crate::shapes::{ConvShape, Write};

fn shape(rows: usize, inp: usize, out: usize) -> ConvShape {
    ConvShape { n: rows, h: 1, w: 1, c: inp, k: out, r: 1, stride: 1, pad: 0 }
}

/// `y = x wᵀ + bias` with x: `[rows, inp]`, w: `[out, inp]`, y: `[rows, out]`.
pub fn linear_forward<T: Convolve>(
    rows: usize,
    inp: usize,
    out: usize,
    y: &mut [T],
    x: &[T],
    w: &[T],
    bias: Option<&[T]>,
    scratch: &mut Scratch<T>,
) {
    conv_forward(&shape(rows, inp, out), y, x, w, None, scratch);
    if let Some(bias) = bias {
        assert_eq!(bias.len(), out, "linear_forward: bias of {} for {out} outputs", bias.len());
        for row in y.chunks_exact_mut(out) {
            row.iter_mut().zip(bias).for_each(|(y, &b)| *y += b);
        }
    }
}

/// `dx = dy w`.
pub fn linear_backward_input<T: Convolve>(
    rows: usize,
    inp: usize,
    out: usize,
    dx: &mut [T],
    write: Write,
    dy: &[T],
    w: &[T],
    scratch: &mut Scratch<T>,
) {
    conv_backward_input(&shape(rows, inp, out), dx, write, dy, w, scratch);
}

/// `dw += dyᵀ x` and `dbias += Σ_rows dy`.
pub fn linear_backward_weight<T: Convolve>(
    rows: usize,
    inp: usize,
    out: usize,
    dw: &mut [T],
    dbias: Option<&mut [T]>,
    dy: &[T],
    x: &[T],
    scratch: &mut Scratch<T>,
) {
    conv_backward_weight(&shape(rows, inp, out), dw, dy, x, scratch);
    if let Some(dbias) = dbias {
        assert_eq!(
            dbias.len(),
            out,
            "linear_backward_weight: bias of {} for {out} outputs",
            dbias.len()
        );
        for (o, bias) in dbias.iter_mut().enumerate() {
            let sum: f64 = dy.iter().skip(o).step_by(out).map(|g| g.to_f64()).sum();
            *bias += T::from_f64(sum);
        }
    }
}

/// A product of two square matrices through a linear layer: what `swav bench gemm` times.
#[derive(Debug)]
pub struct SquareProduct {
    n: usize,
    x: Vec<f32>,
    w: Vec<f32>,
    y: Vec<f32>,
    scratch: Scratch<f32>,
}

impl SquareProduct {
    /// Two `n` × `n` matrices.
    pub fn new(n: usize) -> Self {
        let fill = |step: usize| (0..n * n).map(|i| (i * step % 17) as f32 / 17.0 - 0.5).collect();
        Self { n, x: fill(5), w: fill(7), y: vec![0.0; n * n], scratch: Scratch::default() }
    }

    /// Computes it once.
    pub fn run(&mut self) {
        let n = self.n;
        linear_forward(n, n, n, &mut self.y, &self.x, &self.w, None, &mut self.scratch);
    }
}

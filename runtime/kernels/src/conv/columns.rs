//! Convolutions as products of unfolded windows with `matrixmultiply`: for every storage type, on every machine.
//! The fast kernels of f32 are held to these.

use std::sync::Mutex;

use rayon::prelude::*;

use super::gather::Gather;
use crate::element::{Element, Strided};
use crate::norm;
use crate::scratch::Scratch;
use crate::shapes::{ConvShape, Write};

/// Output pixels of one task.
const ROWS: usize = 256;
/// Output pixels unfolded at a time for the weight gradient.
const SPAN: usize = 2048;
/// Output channels of one task of the weight gradient.
const CHANNELS: usize = 32;

/// y = x ⋆ w.
pub(crate) fn forward<T: Element>(
    s: &ConvShape,
    y: &mut [T],
    x: &[T],
    w: &[T],
    sums: Option<&mut [f64]>,
    scratch: &mut Scratch<T>,
) {
    let (gather, width, k) = (Gather::forward(s), s.window(), s.k);
    let windows = scratch.shared.take(s.out_rows().min(SPAN) * width);
    for (span, y) in y.chunks_mut(SPAN * k).enumerate() {
        let tasks =
            y.par_chunks_mut(ROWS * k).zip(windows.par_chunks_mut(ROWS * width)).enumerate();
        tasks.for_each(|(task, (y, windows))| {
            let rows = y.len() / k;
            let first = span * SPAN + task * ROWS;
            gather.copy(windows, width, x, first..first + rows, 0..width);
            let a = Strided { data: windows, row: width, col: 1 };
            let b = Strided { data: w, row: 1, col: width };
            T::gemm(rows, width, k, a, b, Write::Assign, y, k);
        });
    }
    if let Some(sums) = sums {
        norm::norm_sums(y, s.k, sums);
    }
}

/// dx = or += the correlation of dy with w, one task an image.
pub(crate) fn backward_input<T: Element>(
    s: &ConvShape,
    dx: &mut [T],
    write: Write,
    dy: &[T],
    w: &[T],
    scratch: &mut Scratch<T>,
) {
    let (width, k, pixels) = (s.window(), s.k, s.oh() * s.ow());
    let (image, dy_image) = (s.h * s.w * s.c, pixels * k);
    let images: Vec<_> = dx.chunks_mut(image).map(Mutex::new).collect();
    scratch.workers.run(s.n, |local, n| {
        let mut dx = images[n].lock().expect("no other task takes this image");
        if write == Write::Assign {
            dx.fill(T::ZERO);
        }
        let windows = local.left.take(ROWS.min(pixels) * width);
        for start in (0..pixels).step_by(ROWS) {
            let rows = ROWS.min(pixels - start);
            let a = Strided { data: &dy[n * dy_image + start * k..][..rows * k], row: k, col: 1 };
            let b = Strided { data: w, row: width, col: 1 };
            T::gemm(rows, k, width, a, b, Write::Assign, windows, width);
            for (row, window) in windows.chunks_exact(width).take(rows).enumerate() {
                fold(s, &mut dx, window, start + row);
            }
        }
    });
}

/// Adds a window's gradient to the image it was taken from.
fn fold<T: Element>(s: &ConvShape, image: &mut [T], window: &[T], pixel: usize) {
    let (i, j) = (pixel / s.ow() * s.stride, pixel % s.ow() * s.stride);
    for (tap, values) in window.chunks_exact(s.c).enumerate() {
        let (y, x) = (i + tap / s.r, j + tap % s.r);
        if y >= s.pad && y < s.h + s.pad && x >= s.pad && x < s.w + s.pad {
            let at = ((y - s.pad) * s.w + x - s.pad) * s.c;
            image[at..at + s.c].iter_mut().zip(values).for_each(|(sum, &value)| *sum += value);
        }
    }
}

/// dw += dyᵀ · windows.
pub(crate) fn backward_weight<T: Element>(
    s: &ConvShape,
    dw: &mut [T],
    dy: &[T],
    x: &[T],
    scratch: &mut Scratch<T>,
) {
    let (gather, width, k, rows) = (Gather::forward(s), s.window(), s.k, s.out_rows());
    let windows = scratch.shared.take(rows.min(SPAN) * width);
    for start in (0..rows).step_by(SPAN) {
        let len = SPAN.min(rows - start);
        let windows = &mut windows[..len * width];
        windows.par_chunks_mut(ROWS * width).enumerate().for_each(|(task, windows)| {
            let first = start + task * ROWS;
            gather.copy(windows, width, x, first..first + windows.len() / width, 0..width);
        });
        dw.par_chunks_mut(CHANNELS * width).enumerate().for_each(|(task, dw)| {
            let a = Strided { data: &dy[start * k + task * CHANNELS..], row: 1, col: k };
            let b = Strided { data: windows, row: width, col: 1 };
            T::gemm(dw.len() / width, len, width, a, b, Write::Accumulate, dw, width);
        });
    }
}

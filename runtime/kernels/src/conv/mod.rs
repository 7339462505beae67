//! Two-dimensional convolution and its two gradients. Activations are NHWC, weights K R S C.

use super::element::Element;
use super::scratch::Scratch;

/// Sizes of a square convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Input channels.
    pub c: usize,
    /// Output channels.
    pub k: usize,
    /// Kernel height and width.
    pub r: usize,
    /// Distance between windows.
    pub stride: usize,
    /// Zeros around the input.
    pub pad: usize,
}

impl ConvShape {
    /// Output height, `(h + 2 pad − r) / stride + 1`.
    pub fn oh(&self) -> usize {
        (self.h + 2 * self.pad - self.r) / self.stride + 1
    }

    /// Output width.
    pub fn ow(&self) -> usize {
        (self.w + 2 * self.pad - self.r) / self.stride + 1
    }

    /// Output pixels of all images.
    pub fn out_rows(&self) -> usize {
        self.n * self.oh() * self.ow()
    }

    /// Values under one window, `r² c`.
    pub fn window(&self) -> usize {
        self.r * self.r * self.c
    }

    fn check(&self, kernel: &str, x: usize, w: usize, y: usize) {
        assert!(
            self.r > 0 && self.stride > 0 && self.c > 0 && self.k > 0,
            "{kernel}: empty shape {self:?}"
        );
        assert!(
            self.h + 2 * self.pad >= self.r && self.w + 2 * self.pad >= self.r,
            "{kernel}: no window in {self:?}"
        );
        let wanted =
            (self.n * self.h * self.w * self.c, self.k * self.window(), self.out_rows() * self.k);
        assert!(
            (x, w, y) == wanted,
            "{kernel}: {self:?} wants (input, weights, output) {wanted:?}, got {:?}",
            (x, w, y)
        );
    }
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    /// Replaces what was there, which is not read.
    Assign,
    /// Adds to what is there.
    Accumulate,
}

/// `y[n, i, j, k] = Σ x[n, i·stride + r − pad, j·stride + s − pad, c] · w[k, r, s, c]`.
///
/// `sums`, when asked for, is overwritten with the sum and the sum of squares over all pixels of every output
/// channel: `[2, k]`.
pub fn conv_forward<T: Element>(
    s: &ConvShape,
    y: &mut [T],
    x: &[T],
    w: &[T],
    sums: Option<&mut [f64]>,
    scratch: &mut Scratch<T>,
) {
    s.check("conv_forward", x.len(), w.len(), y.len());
    assert!(
        sums.as_ref().is_none_or(|sums| sums.len() == 2 * s.k),
        "conv_forward: sums for {s:?} are [2, k]"
    );
    T::conv_forward(s, y, x, w, sums, scratch);
}

/// Gradient of [`conv_forward`] with respect to its input, from `dy` of the output's shape.
pub fn conv_backward_input<T: Element>(
    s: &ConvShape,
    dx: &mut [T],
    write: Write,
    dy: &[T],
    w: &[T],
    scratch: &mut Scratch<T>,
) {
    s.check("conv_backward_input", dx.len(), w.len(), dy.len());
    T::conv_backward_input(s, dx, write, dy, w, scratch);
}

/// Adds the gradient of [`conv_forward`] with respect to its weights to `dw`.
pub fn conv_backward_weight<T: Element>(
    s: &ConvShape,
    dw: &mut [T],
    dy: &[T],
    x: &[T],
    scratch: &mut Scratch<T>,
) {
    s.check("conv_backward_weight", x.len(), dw.len(), dy.len());
    T::conv_backward_weight(s, dw, dy, x, scratch);
}

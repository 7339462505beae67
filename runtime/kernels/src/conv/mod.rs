//! Two-dimensional convolution and its two gradients. Activations are NHWC, weights K R S C.

pub(crate) mod columns;
pub(crate) mod direct;
pub(crate) mod gather;
pub(crate) mod pack;
pub(crate) mod weight;
pub(crate) mod winograd;
pub(crate) mod winograd_weight;

use crate::element::Element;
use crate::scratch::Scratch;
use crate::shapes::{ConvShape, Write};

/// `y[n, i, j, k] = Σ x[n, i·stride + r − pad, j·stride + s − pad, c] · w[k, r, s, c]`.
///
/// `sums`, when asked for, is overwritten with the sum and the sum of squares over all pixels of every output
/// channel: `[2, k]`.
pub fn conv_forward<T: Convolve>(
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
    T::forward(s, y, x, w, sums, scratch);
}

/// Gradient of [`conv_forward`] with respect to its input, from `dy` of the output's shape.
pub fn conv_backward_input<T: Convolve>(
    s: &ConvShape,
    dx: &mut [T],
    write: Write,
    dy: &[T],
    w: &[T],
    scratch: &mut Scratch<T>,
) {
    s.check("conv_backward_input", dx.len(), w.len(), dy.len());
    T::backward_input(s, dx, write, dy, w, scratch);
}

/// Adds the gradient of [`conv_forward`] with respect to its weights to `dw`.
pub fn conv_backward_weight<T: Convolve>(
    s: &ConvShape,
    dw: &mut [T],
    dy: &[T],
    x: &[T],
    scratch: &mut Scratch<T>,
) {
    s.check("conv_backward_weight", x.len(), dw.len(), dy.len());
    T::backward_weight(s, dw, dy, x, scratch);
}

/// Which kernels convolve a storage type: `f32` by the fast ones, `f64` by products of unfolded windows. Called
/// through [`conv_forward`] and its like, which check the sizes.
pub trait Convolve: Element {
    /// [`conv_forward`] of this type.
    fn forward(
        s: &ConvShape,
        y: &mut [Self],
        x: &[Self],
        w: &[Self],
        sums: Option<&mut [f64]>,
        scratch: &mut Scratch<Self>,
    );

    /// [`conv_backward_input`] of this type.
    fn backward_input(
        s: &ConvShape,
        dx: &mut [Self],
        write: Write,
        dy: &[Self],
        w: &[Self],
        scratch: &mut Scratch<Self>,
    );

    /// [`conv_backward_weight`] of this type.
    fn backward_weight(
        s: &ConvShape,
        dw: &mut [Self],
        dy: &[Self],
        x: &[Self],
        scratch: &mut Scratch<Self>,
    );
}

macro_rules! convolve {
    ($type:ty, $forward:path, $backward_input:path, $backward_weight:path) => {
        impl Convolve for $type {
            fn forward(
                s: &ConvShape,
                y: &mut [Self],
                x: &[Self],
                w: &[Self],
                sums: Option<&mut [f64]>,
                scratch: &mut Scratch<Self>,
            ) {
                $forward(s, y, x, w, sums, scratch);
            }

            fn backward_input(
                s: &ConvShape,
                dx: &mut [Self],
                write: Write,
                dy: &[Self],
                w: &[Self],
                scratch: &mut Scratch<Self>,
            ) {
                $backward_input(s, dx, write, dy, w, scratch);
            }

            fn backward_weight(
                s: &ConvShape,
                dw: &mut [Self],
                dy: &[Self],
                x: &[Self],
                scratch: &mut Scratch<Self>,
            ) {
                $backward_weight(s, dw, dy, x, scratch);
            }
        }
    };
}

convolve!(f32, direct::forward, direct::backward_input, weight::backward_weight);
convolve!(f64, columns::forward, columns::backward_input, columns::backward_weight);

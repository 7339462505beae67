//! A convolution seen as a matrix product: row = output pixel, columns = the window of source values under it.
//!
//! In NHWC a kernel row of `nx` taps is one contiguous run of `nx · c` values, so a window is `ny` runs. Cut by
//! the border of the image, a run keeps its place and is filled with zeros.

use std::ops::Range;

use swav_core::simd::{self, Simd, WithSimd};

use crate::element::Element;
use crate::shapes::ConvShape;

/// Where the windows of a product lie. Window (i, j) of the grid covers source rows `i·stride + y0 ..+ ny` and
/// source columns `j·stride + x0 ..+ nx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gather {
    /// Source height, width and channels.
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
    /// Grid height and width.
    pub(crate) gh: usize,
    pub(crate) gw: usize,
    pub(crate) stride: usize,
    pub(crate) y0: isize,
    pub(crate) x0: isize,
    pub(crate) ny: usize,
    pub(crate) nx: usize,
}

impl Gather {
    /// The windows of a forward convolution over its input.
    pub(crate) fn forward(s: &ConvShape) -> Self {
        let start = -(s.pad as isize);
        Self {
            h: s.h,
            w: s.w,
            c: s.c,
            gh: s.oh(),
            gw: s.ow(),
            stride: s.stride,
            y0: start,
            x0: start,
            ny: s.r,
            nx: s.r,
        }
    }

    /// Values in one run.
    pub(crate) fn run(&self) -> usize {
        self.nx * self.c
    }

    /// A cursor at grid position `row`, counted over all images.
    pub(crate) fn cursor(&self, row: usize) -> Cursor {
        let pixel = row % (self.gh * self.gw);
        Cursor {
            gh: self.gh,
            gw: self.gw,
            image: row / (self.gh * self.gw),
            i: pixel / self.gw,
            j: pixel % self.gw,
        }
    }

    /// Copies columns `columns` of the windows at grid positions `rows` to `target`, `pitch` values from one to
    /// the next.
    pub(crate) fn copy<T: Element>(
        &self,
        target: &mut [T],
        pitch: usize,
        source: &[T],
        rows: Range<usize>,
        columns: Range<usize>,
    ) {
        simd::run(Windows { gather: self, target, pitch, source, rows, columns });
    }
}

struct Windows<'a, T> {
    gather: &'a Gather,
    target: &'a mut [T],
    pitch: usize,
    source: &'a [T],
    rows: Range<usize>,
    columns: Range<usize>,
}

impl<T: Element> WithSimd for Windows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Gather { h, w, c, stride, y0, x0, .. } = *self.gather;
        let (run, line, source) = (self.gather.run(), w * c, self.source);
        let (first_tap, first_from) = (self.columns.start / run, self.columns.start % run);
        let mut cursor = self.gather.cursor(self.rows.start);
        for target in self.target.chunks_mut(self.pitch).take(self.rows.len()) {
            let (image, i, j) = cursor.place();
            let first = ((j * stride) as isize + x0) * c as isize;
            let (mut tap, mut from) = (first_tap, first_from);
            let mut rest = &mut target[..self.columns.len()];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at_mut((run - from).min(rest.len()));
                rest = after;
                let y = (i * stride + tap) as isize + y0;
                if y < 0 || y >= h as isize {
                    piece.fill(T::ZERO);
                } else {
                    let base = (image * h + y as usize) * line;
                    // The piece starts `start` values from the left border, which may be outside.
                    let start = first + from as isize;
                    if start >= 0 && start as usize + piece.len() <= line {
                        let at = base + start as usize;
                        copy_run(simd, piece, &source[at..at + piece.len()]);
                    } else {
                        let len = piece.len() as isize;
                        let lead = (-start).clamp(0, len) as usize;
                        let end = (line as isize - start).clamp(lead as isize, len) as usize;
                        piece[..lead].fill(T::ZERO);
                        piece[end..].fill(T::ZERO);
                        if lead < end {
                            let at = base + (start + lead as isize) as usize;
                            copy_run(simd, &mut piece[lead..end], &source[at..at + end - lead]);
                        }
                    }
                }
                tap += 1;
                from = 0;
            }
            cursor.next();
        }
    }
}

/// A copy without the call that `copy_from_slice` makes: most runs are a few vectors long.
#[inline(always)]
pub(crate) fn copy_run<S: Simd, T: Element>(simd: S, target: &mut [T], source: &[T]) {
    let (whole, tail) = T::split::<S>(source);
    let (to, to_tail) = T::split_mut::<S>(target);
    let to = &mut to[..whole.len()];
    let mut at = 0;
    // Four at a time also because a loop of single vectors would be compiled to that call.
    while at + 4 <= whole.len() {
        let values = [whole[at], whole[at + 1], whole[at + 2], whole[at + 3]];
        to[at] = values[0];
        to[at + 1] = values[1];
        to[at + 2] = values[2];
        to[at + 3] = values[3];
        at += 4;
    }
    if at + 2 <= whole.len() {
        let values = [whole[at], whole[at + 1]];
        to[at] = values[0];
        to[at + 1] = values[1];
        at += 2;
    }
    if at < whole.len() {
        to[at] = whole[at];
    }
    if !tail.is_empty() {
        T::store_tail(simd, to_tail, T::load_tail(simd, tail, T::ZERO));
    }
}

/// Walks grid positions in order without dividing.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    gh: usize,
    gw: usize,
    image: usize,
    i: usize,
    j: usize,
}

impl Cursor {
    /// Image, row and column.
    pub(crate) fn place(&self) -> (usize, usize, usize) {
        (self.image, self.i, self.j)
    }

    /// Goes to the next position.
    pub(crate) fn next(&mut self) {
        self.j += 1;
        if self.j == self.gw {
            (self.i, self.j) = (self.i + 1, 0);
            if self.i == self.gh {
                (self.image, self.i) = (self.image + 1, 0);
            }
        }
    }
}

//! Sizes of the kernels, and how they write.

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

    pub(crate) fn check(&self, kernel: &str, x: usize, w: usize, y: usize) {
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

/// Sizes of a square max pooling; windows leave out what lies outside the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolShape {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Window height and width.
    pub r: usize,
    /// Distance between windows.
    pub stride: usize,
    /// Positions outside the map the first window starts.
    pub pad: usize,
}

impl PoolShape {
    /// Output height, `(h + 2 pad − r) / stride + 1`.
    pub fn oh(&self) -> usize {
        (self.h + 2 * self.pad - self.r) / self.stride + 1
    }

    /// Output width.
    pub fn ow(&self) -> usize {
        (self.w + 2 * self.pad - self.r) / self.stride + 1
    }

    pub(crate) fn check(&self, kernel: &str, x: usize, y: usize, argmax: usize) {
        assert!(
            self.r > 0 && self.r <= 16 && self.stride > 0 && self.pad * 2 <= self.r && self.c > 0,
            "{kernel}: windows of 1 to 16 with padding of at most half, got {self:?}"
        );
        let (wanted_x, wanted_y) =
            (self.n * self.h * self.w * self.c, self.n * self.oh() * self.ow() * self.c);
        assert!(
            (x, y, argmax) == (wanted_x, wanted_y, wanted_y),
            "{kernel}: {self:?} wants {wanted_x} inputs and {wanted_y} outputs, got {x}, {y}, {argmax} places"
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

//! A decoded image, and why a file did not become one.

use std::fmt;

/// Bytes of one image: `[height, width, channels]`, channels last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 gray, 2 gray and alpha, 3 red green blue, 4 with alpha.
    pub channels: usize,
    /// The values, 0..=255.
    pub pixels: Vec<u8>,
}

/// Why an image cannot be used; said once in `bad-images.tsv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadImage {
    /// In words, on one line.
    pub reason: String,
}

impl BadImage {
    /// A reason in words; control characters become spaces so that it stays on one line.
    pub fn new(reason: impl AsRef<str>) -> Self {
        let one_line = reason.as_ref().chars().map(|c| if c.is_control() { ' ' } else { c });
        Self { reason: one_line.take(300).collect() }
    }
}

impl fmt::Display for BadImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for BadImage {}

impl Image {
    /// # Panics
    /// If `pixels` does not hold `width · height · channels` values.
    pub fn new(width: usize, height: usize, channels: usize, pixels: Vec<u8>) -> Self {
        assert!(
            pixels.len() == width * height * channels,
            "{} bytes for an image of {width}x{height}x{channels}",
            pixels.len()
        );
        Self { width, height, channels, pixels }
    }

    /// The same image with another number of channels, as Pillow's `convert` does it: gray is
    /// (19595 R + 38470 G + 7471 B + 32768) >> 16, colour repeats gray, alpha is dropped or set to 255.
    pub fn with_channels(self, channels: usize) -> Self {
        assert!((1..=4).contains(&channels), "an image has 1 to 4 channels, not {channels}");
        if channels == self.channels {
            return self;
        }
        let mut pixels = vec![0; self.width * self.height * channels];
        let rows = self.pixels.chunks_exact(self.channels).zip(pixels.chunks_exact_mut(channels));
        match (self.channels, channels) {
            (1 | 2, 1) => rows.for_each(|(from, to)| to[0] = from[0]),
            (1 | 2, 3) => rows.for_each(|(from, to)| to.fill(from[0])),
            (3 | 4, 1) => rows.for_each(|(from, to)| to[0] = luma(from)),
            (4, 3) => rows.for_each(|(from, to)| to.copy_from_slice(&from[..3])),
            (from_channels, _) => rows.for_each(|(from, to)| {
                let alpha = if from_channels % 2 == 0 { from[from_channels - 1] } else { 255 };
                match (from_channels < 3, channels) {
                    (true, 2) => to.copy_from_slice(&[from[0], alpha]),
                    (false, 2) => to.copy_from_slice(&[luma(from), alpha]),
                    (true, _) => to.copy_from_slice(&[from[0], from[0], from[0], alpha]),
                    (false, _) => to.copy_from_slice(&[from[0], from[1], from[2], alpha]),
                }
            }),
        }
        Self { channels, pixels, ..self }
    }

    /// The image turned upright: `orientation` is the value 1..=8 of the EXIF tag 0x0112.
    pub fn upright(self, orientation: u16) -> Self {
        let (w, h, c) = (self.width, self.height, self.channels);
        if !(2..=8).contains(&orientation) {
            return self;
        }
        let (width, height) = if orientation >= 5 { (h, w) } else { (w, h) };
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..height {
            for x in 0..width {
                let (from_x, from_y) = match orientation {
                    2 => (w - 1 - x, y),
                    3 => (w - 1 - x, h - 1 - y),
                    4 => (x, h - 1 - y),
                    5 => (y, x),
                    6 => (y, h - 1 - x),
                    7 => (w - 1 - y, h - 1 - x),
                    _ => (w - 1 - y, x),
                };
                let at = (from_y * w + from_x) * c;
                pixels.extend_from_slice(&self.pixels[at..at + c]);
            }
        }
        Self { width, height, channels: c, pixels }
    }
}

fn luma(rgb: &[u8]) -> u8 {
    let sum = 19_595 * u32::from(rgb[0]) + 38_470 * u32::from(rgb[1]) + 7_471 * u32::from(rgb[2]);
    ((sum + 0x8000) >> 16) as u8
}

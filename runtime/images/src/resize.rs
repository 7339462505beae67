//! A region of an image, resized.

use std::mem::take;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions};

use crate::image::Image;

/// Resizes regions; keeps the memory it works in between calls.
#[derive(Default)]
pub struct Resizer {
    inner: fast_image_resize::Resizer,
    plane: Vec<u8>,
    resized: Vec<u8>,
}

impl std::fmt::Debug for Resizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resizer").finish_non_exhaustive()
    }
}

impl Resizer {
    /// Writes the region (left, top, width, height; in pixels, not necessarily whole) of an image, resized to
    /// `size` × `size`, to `out`: `[size, size, channels]`. Antialiased bilinear, in fixed point, rounded to bytes as
    /// Pillow does.
    ///
    /// # Panics
    /// If `out` has another length, or the region leaves the image by more than rounding.
    pub fn resize(&mut self, image: &Image, region: [f64; 4], size: usize, out: &mut [u8]) {
        let shape = [image.width, image.height, size];
        // By pixel type: each type the library is asked for is half a minute of compilation, so those of one and three
        // channels must do. Channels are independent and sums of a pixel exact, so planes give the same bytes.
        match image.channels {
            1 => self.typed::<U8>(&image.pixels, shape, region, out),
            3 => self.typed::<U8x3>(&image.pixels, shape, region, out),
            n => {
                assert_eq!(out.len(), size * size * n, "bytes for a crop of {size}x{size}x{n}");
                let (mut plane, mut resized) = (take(&mut self.plane), take(&mut self.resized));
                resized.resize(size * size, 0);
                for channel in 0..n {
                    plane.clear();
                    plane.extend(image.pixels.iter().skip(channel).step_by(n));
                    self.typed::<U8>(&plane, shape, region, &mut resized);
                    out.iter_mut()
                        .skip(channel)
                        .step_by(n)
                        .zip(&resized)
                        .for_each(|(to, x)| *to = *x);
                }
                (self.plane, self.resized) = (plane, resized);
            }
        }
    }

    fn typed<P: PixelTrait>(
        &mut self,
        pixels: &[u8],
        [columns, rows, size]: [usize; 3],
        [left, top, width, height]: [f64; 4],
        out: &mut [u8],
    ) {
        let source = TypedImageRef::<P>::from_buffer(columns as u32, rows as u32, pixels)
            .expect("an image holds as many bytes as its shape says");
        let mut target = TypedImage::<P>::from_buffer(size as u32, size as u32, out)
            .expect("as many bytes as size, size and channels say");
        // Rounding may carry a region past the edge by less than a part in 10¹².
        let (width, height) = (width.min(columns as f64 - left), height.min(rows as f64 - top));
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .use_alpha(false)
            .crop(left, top, width, height);
        self.inner
            .resize_typed(&source, &mut target, &options)
            .expect("the region lies inside of the image");
    }
}

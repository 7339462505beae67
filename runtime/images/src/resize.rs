//! Regions of an image, resized.

use fast_image_resize::images::TypedImage;
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions};

use crate::image::Image;

/// Resizes regions of one image after another; keeps the memory it works in.
///
/// It holds the image because the library works on images of its own after a first step, and compiles half as much when
/// the source is of their type, which wants memory it may write to. It does not write to it.
#[derive(Default)]
pub struct Resizer {
    image: Image,
    inner: fast_image_resize::Resizer,
    plane: Vec<u8>,
    resized: Vec<u8>,
}

impl std::fmt::Debug for Resizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resizer").field("image", &self.image).finish_non_exhaustive()
    }
}

impl Resizer {
    /// The image of the following calls.
    pub fn open(&mut self, image: Image) {
        self.image = image;
    }

    /// The image that was opened last, without pixels before that.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Writes the region (left, top, width, height; in pixels, not necessarily whole) of the image, resized to
    /// `size` × `size`, to `out`: `[size, size, channels]`. Antialiased bilinear, in fixed point, rounded to bytes as
    /// Pillow does.
    ///
    /// # Panics
    /// If `out` has another length, or the region leaves the image by more than rounding.
    pub fn resize(&mut self, region: [f64; 4], size: usize, out: &mut [u8]) {
        let Self { image, inner, plane, resized } = self;
        let Image { width, height, channels, ref mut pixels } = *image;
        assert_eq!(out.len(), size * size * channels, "bytes of {size}x{size}x{channels}");
        let shape = [width, height, size];
        // By pixel type: each type the library is asked for is half a minute of compilation, so those of one and three
        // channels must do. Channels are independent and sums of a pixel exact, so planes give the same bytes.
        match channels {
            1 => typed::<U8>(inner, pixels, shape, region, out),
            3 => typed::<U8x3>(inner, pixels, shape, region, out),
            n => {
                resized.resize(size * size, 0);
                for channel in 0..n {
                    plane.clear();
                    plane.extend(pixels.iter().skip(channel).step_by(n));
                    typed::<U8>(inner, plane, shape, region, resized);
                    let to = out.iter_mut().skip(channel).step_by(n);
                    to.zip(&*resized).for_each(|(to, x)| *to = *x);
                }
            }
        }
    }
}

fn typed<P: PixelTrait>(
    resizer: &mut fast_image_resize::Resizer,
    pixels: &mut [u8],
    [columns, rows, size]: [usize; 3],
    [left, top, width, height]: [f64; 4],
    out: &mut [u8],
) {
    let source = TypedImage::<P>::from_buffer(columns as u32, rows as u32, pixels)
        .expect("an image holds as many bytes as its shape says");
    let mut target = TypedImage::<P>::from_buffer(size as u32, size as u32, out)
        .expect("the length was checked");
    // Rounding may carry a region past the edge by less than a part in 10¹².
    let (width, height) = (width.min(columns as f64 - left), height.min(rows as f64 - top));
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .use_alpha(false)
        .crop(left, top, width, height);
    resizer
        .resize_typed(&source, &mut target, &options)
        .expect("the region lies inside of the image");
}

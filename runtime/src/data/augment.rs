//! Crops of an image: pure functions of the image and of what was drawn.
//!
//! A crop is cut from the original image and resized at once (antialiased bilinear, in fixed point, rounded
//! to bytes as Pillow does). Whatever follows runs on planes of f32 in the published order (flip, colour
//! jitter, grayscale, blur) and is rounded once. Every crop of an image is cut from the same decoded pixels.

use swav_core::simd::{self, Simd, WithSimd};
use swav_images::{Image, Resizer};

use super::blur::Blur;
use super::color;
use super::draw::{Address, CropDraw};
use crate::config::{Augment, Crops};

/// All views of an image in view order, `[size, size, channels]` bytes each.
pub fn crops(image: &Image, at: Address, crops: &[Crops], augment: &Augment) -> Vec<Vec<u8>> {
    let mut cutter = Cutter::default();
    cutter.open(image.clone());
    let sizes = crops.iter().flat_map(|group| std::iter::repeat_n(group, group.count));
    sizes
        .enumerate()
        .map(|(view, group)| {
            let shape = (image.width, image.height, image.channels);
            let draw = CropDraw::new(at, view, shape, group, augment);
            let mut out = vec![0; group.size * group.size * image.channels];
            cutter.cut(&draw, group.size, &mut out);
            out
        })
        .collect()
}

/// Cuts the crops of one image after another; keeps the memory it works in.
#[derive(Debug, Default)]
pub struct Cutter {
    resizer: Resizer,
    resized: Vec<u8>,
    planes: Vec<f32>,
    blur: Blur,
}

impl Cutter {
    /// The image of the following calls.
    pub fn open(&mut self, image: Image) {
        self.resizer.open(image);
    }

    /// Writes the crop `draw` of the image, `size` × `size`, to `out`: `[size, size, channels]`.
    ///
    /// # Panics
    /// If `out` has another length, or the box of `draw` is not inside of the image.
    pub fn cut(&mut self, draw: &CropDraw, size: usize, out: &mut [u8]) {
        let channels = self.resizer.image().channels;
        assert_eq!(out.len(), size * size * channels, "bytes of {size}x{size}x{channels}");
        let region = [draw.left, draw.top, draw.width, draw.height].map(|x| x as f64);
        let plain = draw.jitter.is_none() && !draw.grayscale && draw.blur.is_none();
        if plain {
            self.resizer.resize(region, size, out);
            if draw.flip {
                out.chunks_exact_mut(size * channels).for_each(|row| mirror(row, channels));
            }
            return;
        }
        self.resized.resize(out.len(), 0);
        self.resizer.resize(region, size, &mut self.resized);
        self.planes.resize(out.len(), 0.0);
        if let Some(sigma) = draw.blur {
            self.blur.prepare(sigma, size);
        }
        simd::run(Finish {
            resized: &self.resized,
            planes: &mut self.planes,
            blur: &mut self.blur,
            draw,
            size,
            channels,
            out,
        });
    }

    /// Writes the crop for evaluation to `out`, `[crop, crop, channels]`: the shorter side resized to `resize`
    /// (at least `crop`), then the centre; an image of the crop's size is taken as it is.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn centre(&mut self, resize_to: usize, crop: usize, out: &mut [u8]) {
        let image = self.resizer.image();
        let channels = image.channels;
        assert_eq!(out.len(), crop * crop * channels, "bytes of {crop}x{crop}x{channels}");
        if (image.width, image.height) == (crop, crop) {
            return out.copy_from_slice(&image.pixels);
        }
        let (width, height) = (image.width, image.height);
        let short = resize_to.max(crop);
        // As torchvision: the longer side is cut to an integer, the corner of the crop rounded half to even.
        let long = short * width.max(height) / width.min(height);
        let (to_width, to_height) = if width <= height { (short, long) } else { (long, short) };
        let corner = |side: usize| ((side - crop) as f64 / 2.0).round_ties_even();
        let scale = [width as f64 / to_width as f64, height as f64 / to_height as f64];
        // The part of the image that the crop will show; resizing it alone gives the same pixels.
        let region = [
            corner(to_width) * scale[0],
            corner(to_height) * scale[1],
            crop as f64 * scale[0],
            crop as f64 * scale[1],
        ];
        self.resizer.resize(region, crop, out);
    }
}

/// The crop for evaluation, see [`Cutter::centre`].
pub fn eval_crop(image: &Image, resize: usize, crop: usize) -> Vec<u8> {
    let mut out = vec![0; crop * crop * image.channels];
    let mut cutter = Cutter::default();
    cutter.open(image.clone());
    cutter.centre(resize, crop, &mut out);
    out
}

/// Reverses the pixels of a row.
fn mirror(row: &mut [u8], channels: usize) {
    match channels {
        1 => row.reverse(),
        2 => row.as_chunks_mut::<2>().0.reverse(),
        3 => row.as_chunks_mut::<3>().0.reverse(),
        _ => row.as_chunks_mut::<4>().0.reverse(),
    }
}

/// Everything after the resize, compiled once per instruction set.
struct Finish<'a> {
    resized: &'a [u8],
    planes: &'a mut [f32],
    blur: &'a mut Blur,
    draw: &'a CropDraw,
    size: usize,
    channels: usize,
    out: &'a mut [u8],
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { resized, planes, blur, draw, size, channels, out } = self;
        let area = size * size;
        match channels {
            1 => planes.iter_mut().zip(resized).for_each(|(x, b)| *x = f32::from(*b)),
            3 => {
                let (r, rest) = planes.split_at_mut(area);
                let (g, b) = rest.split_at_mut(area);
                for (((r, g), b), pixel) in
                    r.iter_mut().zip(g).zip(b).zip(resized.as_chunks::<3>().0)
                {
                    (*r, *g, *b) = (f32::from(pixel[0]), f32::from(pixel[1]), f32::from(pixel[2]));
                }
            }
            _ => {
                for (c, plane) in planes.chunks_exact_mut(area).enumerate() {
                    for (x, pixel) in plane.iter_mut().zip(resized.chunks_exact(channels)) {
                        *x = f32::from(pixel[c]);
                    }
                }
            }
        }
        if draw.flip {
            planes.chunks_exact_mut(size).for_each(<[f32]>::reverse);
        }
        // Alpha, the last of two or four channels, is cut, mirrored and blurred, but has no colour.
        let colours = if channels % 2 == 0 { channels - 1 } else { channels } * area;
        if let Some(jitter) = &draw.jitter {
            color::jitter(&mut planes[..colours], area, jitter);
        }
        if draw.grayscale {
            color::grayscale(&mut planes[..colours], area);
        }
        if draw.blur.is_some() {
            planes.chunks_exact_mut(area).for_each(|plane| blur.apply(simd, plane, size));
        }
        round(planes, channels, area, out);
    }
}

/// Planes to bytes, channels last, rounded half up.
#[inline(always)]
fn round(planes: &[f32], channels: usize, area: usize, out: &mut [u8]) {
    // Values lie in 0..=255 up to rounding, where the conversion saturates.
    let byte = |x: f32| (x + 0.5) as u8;
    match channels {
        1 => out.iter_mut().zip(planes).for_each(|(o, x)| *o = byte(*x)),
        3 => {
            let (r, rest) = planes.split_at(area);
            let (g, b) = rest.split_at(area);
            for (((pixel, r), g), b) in out.as_chunks_mut::<3>().0.iter_mut().zip(r).zip(g).zip(b) {
                *pixel = [byte(*r), byte(*g), byte(*b)];
            }
        }
        _ => {
            for (c, plane) in planes.chunks_exact(area).enumerate() {
                for (pixel, x) in out.chunks_exact_mut(channels).zip(plane) {
                    pixel[c] = byte(*x);
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "augment_tests.rs"]
mod tests;

//! Images as they stand in a page: PNG in base64.

use swav_images::Image;

use super::html::{base64, escape};
use crate::data::eval_crop;

/// An image as a `data:` address. Colour with alpha loses its alpha.
pub(super) fn data_url(image: &Image) -> String {
    let image = match image.channels {
        1 | 3 => image.clone(),
        2 => image.clone().with_channels(1),
        _ => image.clone().with_channels(3),
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width as u32, image.height as u32);
    encoder.set_color(if image.channels == 1 {
        png::ColorType::Grayscale
    } else {
        png::ColorType::Rgb
    });
    encoder.set_compression(png::Compression::High);
    let written = encoder.write_header().and_then(|mut w| w.write_image_data(&image.pixels));
    written.expect("memory takes every byte, and pixels fill the shape");
    format!("data:image/png;base64,{}", base64(&bytes))
}

/// The centre of an image as a square of at most `side` pixels.
pub(super) fn thumbnail(image: &Image, side: usize) -> Image {
    let side = side.min(image.width).min(image.height);
    Image::new(side, side, image.channels, eval_crop(image, side, side))
}

/// An `<img>`; small images keep their pixels visible.
pub(super) fn tag(image: &Image, name: &str, width: Option<usize>) -> String {
    let class = if image.width < 48 { " class=\"small\"" } else { "" };
    let width = width.map_or_else(String::new, |w| format!(" width=\"{w}\""));
    let name = escape(name);
    format!("<img{class}{width} src=\"{}\" alt=\"{name}\" title=\"{name}\">", data_url(image))
}

/// The whole image, made smaller by a whole number so that no side exceeds `side` by much: means of squares of pixels.
pub(super) fn shrink(image: &Image, side: usize) -> Image {
    let factor = image.width.max(image.height).div_ceil(side).max(1);
    if factor == 1 {
        return image.clone();
    }
    let (w, h, c) = (image.width.div_ceil(factor), image.height.div_ceil(factor), image.channels);
    let mut pixels = Vec::with_capacity(w * h * c);
    for y in 0..h {
        for x in 0..w {
            let rows = y * factor..((y + 1) * factor).min(image.height);
            let columns = x * factor..((x + 1) * factor).min(image.width);
            let count = (rows.len() * columns.len()) as u64;
            for channel in 0..c {
                let mut sum = 0u64;
                for yy in rows.clone() {
                    for xx in columns.clone() {
                        sum += u64::from(image.pixels[(yy * image.width + xx) * c + channel]);
                    }
                }
                pixels.push(((sum + count / 2) / count) as u8);
            }
        }
    }
    Image::new(w, h, c, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_takes_means() {
        let image = Image::new(3, 2, 1, vec![0, 10, 50, 20, 30, 70]);
        assert_eq!(shrink(&image, 2), Image::new(2, 1, 1, vec![15, 60]));
        assert_eq!(shrink(&image, 3), image);
    }

    #[test]
    fn what_is_embedded_is_the_image() {
        let image = Image::new(2, 2, 3, (0..12).collect());
        let url = data_url(&image);
        let coded = url.strip_prefix("data:image/png;base64,").unwrap();
        // The signature of a PNG file, 8 bytes, in base64.
        assert!(coded.starts_with("iVBORw0KGgo"));
    }
}

//! Bytes of a file to an image, or the reason why not. The kind is read from the content; limits are checked
//! on the header before a decoder allocates; a decoder that panics is caught. Damage is refused, never filled.

use std::cell::Cell;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use crate::header::{Kind, describe, header, jpeg_orientation, kind, orientation, scan_start};
use crate::image::{BadImage, Image};

/// Largest number of pixels of an image.
pub const MAX_PIXELS: usize = 100_000_000;
/// Largest side of an image.
pub const MAX_SIDE: usize = 65_535;
/// Largest ratio of the sides.
pub const MAX_ASPECT: usize = 100;
/// Largest number of bytes a decoder may need for one image.
pub const MAX_BYTES: usize = 400_000_000;
/// Largest file.
pub const MAX_FILE: u64 = 256_000_000;

/// The image in `bytes` with the given number of channels (1 gray, 2 gray and alpha, 3 colour, 4 with alpha), turned as
/// its orientation tag says if it is to be `upright`, else as it is stored.
///
/// Conversions are those of Pillow's `convert`: alpha is dropped unless asked for, 16 bits lose their low
/// byte, CMYK and YCCK follow Adobe's inverted convention, an animation gives its first frame.
///
/// # Errors
/// The reason, for anything that is not a whole, sound image within the limits.
pub fn decode(bytes: &[u8], channels: usize, upright: bool) -> Result<Image, BadImage> {
    let Some(kind) = kind(bytes) else { return Err(BadImage::new(describe(bytes))) };
    let head = header(bytes).ok_or_else(|| BadImage::new("the header is damaged or cut short"))?;
    check_limits(head.width, head.height, head.bytes_per_pixel)?;
    quietly(|| match kind {
        Kind::Jpeg => jpeg(bytes, channels, upright),
        Kind::Png => png(bytes, upright),
        Kind::Webp => webp(bytes, upright),
    })
    .map(|image| image.with_channels(channels))
}

fn check_limits(width: usize, height: usize, bytes_per_pixel: usize) -> Result<(), BadImage> {
    let refuse = |limit: &str| Err(BadImage::new(format!("{width}x{height} pixels, {limit}")));
    let (short, long) = (width.min(height), width.max(height));
    if short == 0 {
        refuse("no pixels at all")
    } else if long > MAX_SIDE {
        refuse("a side above the limit of 65535")
    } else if width * height > MAX_PIXELS {
        refuse("above the limit of 100 million")
    } else if long > MAX_ASPECT * short {
        refuse("sides beyond the limit of 1:100")
    } else if width * height * bytes_per_pixel > MAX_BYTES {
        refuse("would take more than 400 MB to decode")
    } else {
        Ok(())
    }
}

thread_local! {
    /// Whether this thread is inside a decoder, whose panics are answers and not news.
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a decoder; a panic inside becomes a reason and prints nothing.
///
/// # Errors
/// Those of the decoder, and one that says that it failed.
pub fn quietly(f: impl FnOnce() -> Result<Image, BadImage>) -> Result<Image, BadImage> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !DECODING.get() {
                previous(info);
            }
        }));
    });
    DECODING.set(true);
    // The closure owns or only reads what it touches; nothing of it is seen after a panic.
    let result = catch_unwind(AssertUnwindSafe(f));
    DECODING.set(false);
    result.unwrap_or_else(|_| {
        Err(BadImage::new("the decoder failed on this file (damaged in an unusual way)"))
    })
}

fn jpeg(bytes: &[u8], channels: usize, upright: bool) -> Result<Image, BadImage> {
    let bad = |e: zune_jpeg::errors::DecodeErrors| BadImage::new(format!("damaged JPEG: {e}"));
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(bad)?;
    let (width, height) =
        decoder.dimensions().ok_or_else(|| BadImage::new("a JPEG without a size"))?;
    check_limits(width, height, 3)?;
    check_scan(bytes, width, height)?;
    let gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
    if gray && channels < 3 {
        decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::Luma));
    }
    let out = if gray && channels < 3 { 1 } else { 3 };
    let pixels = decoder.decode().map_err(bad)?;
    if pixels.len() != width * height * out {
        return Err(BadImage::new("a JPEG of an unusual number of components"));
    }
    let image = Image::new(width, height, out, pixels);
    Ok(if upright { image.upright(jpeg_orientation(bytes)) } else { image })
}

/// What the decoder lets pass: a missing end marker, and a scan that cannot hold its blocks. Every 8x8 block
/// takes two bits at least (progressive: one). A scan cut short *before* an intact end marker stays unseen.
fn check_scan(bytes: &[u8], width: usize, height: usize) -> Result<(), BadImage> {
    let (start, progressive) =
        scan_start(bytes).ok_or_else(|| BadImage::new("damaged JPEG: no picture data"))?;
    let scan = &bytes[start..];
    // The end is usually the last thing in the file, so it is looked for from there.
    if !scan.windows(2).rev().any(|w| w == [0xff, 0xd9]) {
        return Err(BadImage::new("damaged JPEG: no end marker, the file is cut short"));
    }
    let blocks = width.div_ceil(8) * height.div_ceil(8);
    if scan.len() * 8 < blocks * if progressive { 1 } else { 2 } {
        return Err(BadImage::new(format!(
            "damaged JPEG: {} bytes are too short for {width}x{height}",
            scan.len()
        )));
    }
    Ok(())
}

fn png(bytes: &[u8], upright: bool) -> Result<Image, BadImage> {
    let bad = |e: png::DecodingError| BadImage::new(format!("damaged PNG: {e}"));
    let mut options = png::DecodeOptions::default();
    options.set_ignore_adler32(false);
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let mut decoder = png::Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_limits(png::Limits { bytes: MAX_BYTES / 2 });
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(bad)?;
    let (color, _) = reader.output_color_type();
    let channels = match color {
        png::ColorType::Grayscale => 1,
        png::ColorType::GrayscaleAlpha => 2,
        png::ColorType::Rgb => 3,
        png::ColorType::Rgba => 4,
        png::ColorType::Indexed => {
            return Err(BadImage::new("a PNG with a palette that is missing"));
        }
    };
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let mut pixels = vec![0; width * height * channels];
    let frame = reader.next_frame(&mut pixels).map_err(bad)?;
    if (frame.width as usize, frame.height as usize) != (width, height) {
        return Err(BadImage::new("a PNG whose first frame is not the whole picture"));
    }
    reader.finish().map_err(bad)?;
    let turn = reader.info().exif_metadata.as_deref().map_or(1, orientation);
    let image = Image::new(width, height, channels, pixels);
    Ok(if upright { image.upright(turn) } else { image })
}

fn webp(bytes: &[u8], upright: bool) -> Result<Image, BadImage> {
    let bad = |e: image_webp::DecodingError| BadImage::new(format!("damaged WebP: {e}"));
    let declared = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    if declared.saturating_add(8) > bytes.len() {
        return Err(BadImage::new(format!(
            "damaged WebP: {} bytes of {}",
            bytes.len(),
            declared.saturating_add(8)
        )));
    }
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).map_err(bad)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_limits(width, height, 8)?;
    decoder.set_memory_limit(MAX_BYTES);
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let mut pixels = vec![0; width * height * channels];
    decoder.read_image(&mut pixels).map_err(bad)?;
    let image = Image::new(width, height, channels, pixels);
    let turn = match decoder.exif_metadata() {
        Ok(Some(block)) => orientation(block.strip_prefix(b"Exif\0\0").unwrap_or(&block)),
        _ => 1,
    };
    Ok(if upright { image.upright(turn) } else { image })
}

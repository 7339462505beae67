//! Images made on the spot, and the decoder's fixtures by name.

use std::fs;
use std::path::{Path, PathBuf};

/// A small JPEG, as bytes.
pub const JPEG: &[u8] = include_bytes!("../runtime/images/testdata/baseline.jpg");

/// An image of `runtime/images/testdata`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/images/testdata").join(name)
}

/// A PNG of `side` by `side` pixels in colour; which picture depends on `number` alone.
pub fn png(side: u32, number: u32) -> Vec<u8> {
    let (a, b) = (3 + number % 7, 5 + number % 11);
    let mut pixels = Vec::with_capacity((side * side * 3) as usize);
    for y in 0..side {
        for x in 0..side {
            let stripe = (a * x + b * y + number) % side;
            let inside = (x + number) % side > side / 3 && (y + 2 * number) % side > side / 4;
            pixels.push((255 * stripe / side) as u8);
            pixels.push(if inside { 220 } else { 30 });
            pixels.push((number * 37 % 256) as u8);
        }
    }
    encode(side, side, png::ColorType::Rgb, &pixels)
}

/// A PNG of the given kind, 8 bits a channel.
pub fn encode(width: u32, height: u32, color: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    out
}

/// A PNG that says it has `width` by `height` pixels; behind the header there is next to nothing.
pub fn png_that_claims(width: u32, height: u32) -> Vec<u8> {
    let mut out = encode(1, 1, png::ColorType::Rgb, &[1, 2, 3]);
    out[16..20].copy_from_slice(&width.to_be_bytes());
    out[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc(&out[12..29]);
    out[29..33].copy_from_slice(&sum.to_be_bytes());
    out
}

/// The checksum of a PNG chunk (ISO 3309).
fn crc(bytes: &[u8]) -> u32 {
    let mut c = u32::MAX;
    for &byte in bytes {
        c ^= u32::from(byte);
        for _ in 0..8 {
            c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
        }
    }
    !c
}

/// A folder of `count` PNGs of `side` pixels, in two classes.
pub fn folder(at: &Path, count: u32, side: u32) {
    for n in 0..count {
        let class = at.join(["even", "odd"][n as usize % 2]);
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join(format!("{n:04}.png")), png(side, n)).unwrap();
    }
}

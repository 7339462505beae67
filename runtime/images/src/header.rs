//! What the first bytes of an image file say: its kind, its size, its orientation. Nothing is allocated here,
//! so limits are checked before a decoder sees the file.

/// A kind of file that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Baseline or progressive.
    Jpeg,
    /// Of any depth and colour; an animation gives its first frame.
    Png,
    /// Lossy or lossless; an animation gives its first frame.
    Webp,
}

/// Size and colour as declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Samples of a pixel that a decoder holds while it works, in bytes (progressive JPEG: coefficients).
    pub bytes_per_pixel: usize,
    /// Whether there is no colour.
    pub gray: bool,
}

/// The kind of a file by its first 12 bytes.
pub fn kind(bytes: &[u8]) -> Option<Kind> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some(Kind::Jpeg),
        [0x89, b'P', b'N', b'G', 13, 10, 26, 10, ..] => Some(Kind::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Kind::Webp),
        _ => None,
    }
}

/// What a file that is not decodable seems to be.
pub fn describe(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "the file is empty",
        [b'G', b'I', b'F', b'8', ..] => "a GIF; only JPEG, PNG and WebP are read",
        [b'B', b'M', ..] => "a BMP; only JPEG, PNG and WebP are read",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => {
            "a TIFF; only JPEG, PNG and WebP are read"
        }
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => {
            "HEIC, AVIF or video; only JPEG, PNG and WebP are read"
        }
        [0xff, 0xd8] | [0xff] => "the JPEG ends within its first marker",
        _ if bytes.iter().take(64).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
            "text, not an image"
        }
        _ => "not a JPEG, PNG or WebP file",
    }
}

/// Size and colour of an image whose beginning is `bytes`; `None` when they do not say.
pub fn header(bytes: &[u8]) -> Option<Header> {
    match kind(bytes)? {
        Kind::Jpeg => jpeg(bytes),
        Kind::Png => {
            let color = *bytes.get(25)?;
            Some(Header {
                width: be32(bytes, 16)?,
                height: be32(bytes, 20)?,
                bytes_per_pixel: 4,
                gray: color & 2 == 0,
            })
        }
        Kind::Webp => webp(bytes),
    }
}

/// The EXIF orientation (1 when absent or damaged) of a JPEG file.
pub fn jpeg_orientation(bytes: &[u8]) -> u16 {
    segments(bytes)
        .find_map(|(marker, body)| {
            (marker == 0xe1).then(|| bytes[body].strip_prefix(b"Exif\0\0")).flatten()
        })
        .map_or(1, orientation)
}

/// The orientation tag 0x0112 in the first directory of a TIFF block; 1 when absent or damaged.
pub fn orientation(tiff: &[u8]) -> u16 {
    let read = || -> Option<u16> {
        let little = match tiff.get(..4)? {
            [b'I', b'I', 42, 0] => true,
            [b'M', b'M', 0, 42] => false,
            _ => return None,
        };
        let u16_at = |at: usize| -> Option<u16> {
            let pair = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
            Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
        };
        let u32_at = |at: usize| -> Option<u32> {
            let four = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
            Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
        };
        let directory = u32_at(4)? as usize;
        let entries = usize::from(u16_at(directory)?);
        for entry in 0..entries {
            let at = directory.checked_add(2 + 12 * entry)?;
            // Tag 0x0112, type 3 (short), one value in the first half of the value field.
            if u16_at(at)? == 0x0112 && u16_at(at + 2)? == 3 && u32_at(at + 4)? == 1 {
                return u16_at(at + 8);
            }
        }
        None
    };
    read().filter(|o| (1..=8).contains(o)).unwrap_or(1)
}

/// Where the picture data of a JPEG begins, and whether it is progressive.
pub fn scan_start(bytes: &[u8]) -> Option<(usize, bool)> {
    let mut start = 0;
    let mut frame = None;
    for (marker, body) in segments(bytes) {
        start = body.end;
        frame = frame.or(is_frame(marker).then_some(marker));
    }
    Some((start, frame? & 3 == 2))
}

/// The marker segments of a JPEG up to its first scan: marker and where its body lies.
fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, std::ops::Range<usize>)> {
    let mut at = 2;
    std::iter::from_fn(move || {
        while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        let marker = (bytes.get(at)? == &0xff).then(|| bytes.get(at + 1).copied()).flatten()?;
        let length = be16(bytes, at + 2)?;
        if marker == 0xda || length < 2 {
            return None;
        }
        // A segment that runs past the bytes at hand is given as far as it goes; the walk then ends.
        let body = at + 4..(at + 2 + length).min(bytes.len());
        at += 2 + length;
        (body.start <= body.end).then_some((marker, body))
    })
}

fn is_frame(marker: u8) -> bool {
    (0xc0..=0xcf).contains(&marker) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

fn jpeg(bytes: &[u8]) -> Option<Header> {
    let (marker, body) = segments(bytes).find(|(marker, _)| is_frame(*marker))?;
    let body = &bytes[body];
    let components = usize::from(*body.get(5)?);
    let progressive = marker & 3 == 2;
    Some(Header {
        width: be16(body, 3)?,
        height: be16(body, 1)?,
        bytes_per_pixel: 3 + if progressive { 2 * components } else { 0 },
        gray: components == 1,
    })
}

/// The canvas of a WebP. A frame larger than its canvas would be decoded before anyone compared, so it counts as
/// damage.
fn webp(bytes: &[u8]) -> Option<Header> {
    let first = bytes.get(12..)?;
    let (width, height) = match first.get(..4)? {
        b"VP8X" => (1 + le24(bytes, 24)?, 1 + le24(bytes, 27)?),
        _ => webp_frame(first)?,
    };
    let fits = |chunk| webp_frame(chunk).is_none_or(|(w, h)| w <= width && h <= height);
    let sound = chunks(first).all(|chunk| match chunk.get(..4) {
        // A frame of an animation: 16 bytes of its own, then chunks.
        Some(b"ANMF") => chunks(chunk.get(24..).unwrap_or_default()).all(fits),
        _ => fits(chunk),
    });
    sound.then_some(Header { width, height, bytes_per_pixel: 8, gray: false })
}

/// Size of the picture in a chunk, if it is one.
fn webp_frame(chunk: &[u8]) -> Option<(usize, usize)> {
    match chunk.get(..4)? {
        b"VP8L" => {
            let bits = le24(chunk, 9)? | usize::from(*chunk.get(12)?) << 24;
            Some((1 + (bits & 0x3fff), 1 + (bits >> 14 & 0x3fff)))
        }
        b"VP8 " => Some((le24(chunk, 14)? & 0x3fff, le24(chunk, 16)? & 0x3fff)),
        _ => None,
    }
}

/// The chunks of a RIFF list: name, length and body, cut where the bytes end.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = le24(bytes, 4)? | usize::from(*bytes.get(7)?) << 24;
        let (chunk, rest) = bytes.split_at((8 + length.next_multiple_of(2)).min(bytes.len()));
        bytes = rest;
        Some(chunk)
    })
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(*bytes.get(at)?) << 8 | usize::from(*bytes.get(at + 1)?))
}

fn be32(bytes: &[u8], at: usize) -> Option<usize> {
    Some(be16(bytes, at)? << 16 | be16(bytes, at + 2)?)
}

fn le24(bytes: &[u8], at: usize) -> Option<usize> {
    let b = bytes.get(at..at + 3)?;
    Some(usize::from(b[0]) | usize::from(b[1]) << 8 | usize::from(b[2]) << 16)
}

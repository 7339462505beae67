use swav_images::{Image, decode, quietly};

const WHOLE: [&str; 20] = [
    "baseline.jpg",
    "progressive.jpg",
    "gray.jpg",
    "full.jpg",
    "cmyk.jpg",
    "turned.jpg",
    "turned.png",
    "turned.webp",
    "lossy.webp",
    "lossless.webp",
    "alpha.webp",
    "moving.webp",
    "palette.png",
    "onebit.png",
    "rgba.png",
    "la.png",
    "keyed.png",
    "moving.png",
    "sixteen.png",
    "augment.png",
];

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn largest_difference(a: &Image, b: &Image) -> u8 {
    assert_eq!((a.width, a.height, a.channels), (b.width, b.height, b.channels));
    a.pixels.iter().zip(&b.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn every_kind_of_file_is_what_pillow_makes_of_it() {
    for name in WHOLE.iter().filter(|name| **name != "augment.png") {
        let ours = decode(&file(name), 3, true).unwrap_or_else(|e| panic!("{name}: {e}"));
        let pillow = decode(&file(&format!("{name}.expected.png")), 3, false).unwrap();
        // Lossless files have one right answer. Lossy decoders may differ by rounding in the transform
        // (1), the upsampling of colour (1) and the conversion of colour (factor 1.772: 2).
        let bound = if name.ends_with("jpg") || ["lossy.webp", "alpha.webp"].contains(name) {
            4
        } else {
            0
        };
        let difference = largest_difference(&ours, &pillow);
        assert!(difference <= bound, "{name}: {difference} levels");
    }
}

#[test]
fn the_orientation_is_ignored_when_told_so() {
    for name in ["turned.jpg", "turned.png", "turned.webp"] {
        let stored = decode(&file(name), 3, false).unwrap();
        assert_eq!((stored.width, stored.height), (48, 32), "{name}");
        let shown = decode(&file(name), 3, true).unwrap();
        assert_eq!((shown.width, shown.height), (32, 48), "{name}");
        assert_eq!(stored.upright(6), shown, "{name}");
    }
}

#[test]
fn the_channels_asked_for_are_given() {
    for name in WHOLE {
        let rgb = decode(&file(name), 3, true).unwrap();
        for channels in [1, 2, 4] {
            let image = decode(&file(name), channels, true).unwrap();
            assert_eq!(image.channels, channels);
            assert_eq!(image.pixels.len(), rgb.width * rgb.height * channels);
        }
        let gray = decode(&file(name), 1, true).unwrap();
        assert!(largest_difference(&gray, &rgb.with_channels(1)) <= 1, "{name}");
    }
    let alpha = decode(&file("rgba.png"), 4, true).unwrap();
    assert_eq!((alpha.pixels[3], alpha.pixels[7]), (0, 5));
}

/// Every byte of a small file, a step through the larger ones.
#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    for name in WHOLE {
        let whole = file(name);
        for cut in 0..whole.len() {
            if let Ok(image) = decode(&whole[..cut], 3, true) {
                panic!("{name} cut to {cut} of {}: {}x{}", whole.len(), image.width, image.height);
            }
        }
    }
}

/// A flipped bit may leave a picture (JPEG has no checksum); it never ends the program.
#[test]
fn flipped_bits_are_survived() {
    for name in WHOLE {
        let whole = file(name);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            if let Ok(image) = decode(&damaged, 3, true) {
                assert_eq!(image.pixels.len(), image.width * image.height * 3, "{name} at {at}");
            }
        }
    }
}

#[test]
fn damage_inside_a_png_is_found() {
    let whole = file("rgba.png");
    let body = whole.windows(4).position(|w| w == b"IDAT").unwrap() + 20;
    let mut damaged = whole;
    damaged[body] ^= 0x10;
    assert!(decode(&damaged, 3, true).is_err());
}

#[test]
fn sizes_beyond_the_limits_are_refused_before_decoding() {
    let reason = |bytes: &[u8]| decode(bytes, 3, true).unwrap_err().reason;
    let mut jpeg = file("baseline.jpg");
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap() + 5;
    let mut declare = |height: u16, width: u16| {
        jpeg[frame..frame + 2].copy_from_slice(&height.to_be_bytes());
        jpeg[frame + 2..frame + 4].copy_from_slice(&width.to_be_bytes());
        reason(&jpeg)
    };
    assert_eq!(declare(16_384, 16_384), "16384x16384 pixels, above the limit of 100 million");
    assert_eq!(declare(65_535, 1), "1x65535 pixels, sides beyond the limit of 1:100");
    assert_eq!(declare(0, 5), "5x0 pixels, no pixels at all");

    let mut png = file("rgba.png");
    png[16..20].copy_from_slice(&100_000u32.to_be_bytes());
    assert_eq!(reason(&png), "100000x32 pixels, a side above the limit of 65535");
}

#[test]
fn what_is_not_an_image_is_named() {
    let reason = |bytes: &[u8]| decode(bytes, 3, true).unwrap_err().reason;
    assert_eq!(reason(b""), "the file is empty");
    assert_eq!(reason(b"hello, I am a text\n"), "text, not an image");
    assert!(reason(b"GIF89a\x01\x00").starts_with("a GIF"));
    assert!(reason(&[0, 1, 2, 3]).starts_with("not a JPEG"));
}

#[test]
fn a_panicking_decoder_is_a_reason() {
    let result = quietly(|| panic!("index out of bounds"));
    assert!(result.unwrap_err().reason.contains("the decoder failed"));
}

/// The thumbnail of a photo has an end marker of its own, which must not pass for that of the photo.
#[test]
fn a_thumbnail_does_not_hide_a_missing_end() {
    let whole = file("baseline.jpg");
    let mut segment = vec![0xff, 0xe1];
    segment.extend((whole.len() as u16 + 8).to_be_bytes());
    segment.extend(b"Exif\0\0");
    segment.extend(&whole);
    let mut photo = whole.clone();
    photo.splice(2..2, segment);
    assert!(decode(&photo, 3, true).is_ok());
    assert!(decode(&photo[..photo.len() - 9], 3, true).is_err());
}

/// A block takes at least two bits, so a small file cannot hold a large picture.
#[test]
fn a_scan_too_short_for_its_blocks_is_refused() {
    let mut jpeg = file("baseline.jpg");
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap() + 5;
    jpeg[frame..frame + 4].copy_from_slice(&[0x20, 0, 0x20, 0]);
    let reason = decode(&jpeg, 3, true).unwrap_err().reason;
    assert!(reason.contains("too short for 8192x8192"), "{reason}");
}

/// The picture inside of a WebP may claim to be larger than the canvas in its header.
#[test]
fn a_frame_beyond_its_canvas_is_refused() {
    for (name, mark, size) in [("alpha.webp", b"VP8 ", 14), ("moving.webp", b"VP8L", 9)] {
        let mut webp = file(name);
        let chunk = webp.windows(4).position(|w| w == mark).unwrap();
        webp[chunk + size..chunk + size + 4].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
        let reason = decode(&webp, 3, true).unwrap_err().reason;
        assert_eq!(reason, "the header is damaged or cut short", "{name}");
    }
}

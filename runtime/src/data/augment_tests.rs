use super::*;
use crate::data::draw::Jitter;

fn fixture(name: &str) -> Image {
    let path = format!("{}/images/testdata/{name}.png", env!("CARGO_MANIFEST_DIR"));
    swav_images::decode(&std::fs::read(path).unwrap(), 3, false).unwrap()
}

fn whole(image: &Image) -> CropDraw {
    CropDraw {
        left: 0,
        top: 0,
        width: image.width,
        height: image.height,
        flip: false,
        jitter: None,
        grayscale: false,
        blur: None,
    }
}

fn identity() -> Jitter {
    Jitter { brightness: 1.0, contrast: 1.0, saturation: 1.0, hue: 0.0, order: [0, 1, 2, 3] }
}

fn cut(image: &Image, draw: &CropDraw, size: usize) -> Vec<u8> {
    let mut out = vec![0; size * size * image.channels];
    let mut cutter = Cutter::default();
    cutter.open(image.clone());
    cutter.cut(draw, size, &mut out);
    out
}

fn largest(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// Each operation against Pillow's, which rounds to bytes between steps. Bounds in levels: one rounding (1);
/// contrast also rounds its mean (times |1 − f|); saturation rounds the gray (times |1 − f|), hue is stored in 256
/// steps (6/256 of the chroma, cut off) with a rounded saturation; Pillow's blur is three box passes.
#[test]
fn operations_are_those_of_pillow() {
    let image = fixture("augment");
    let with = |jitter: Jitter| {
        cut(&image, &CropDraw { jitter: Some(jitter), ..whole(&image) }, image.width)
    };
    let same = |name: &str, ours: Vec<u8>, bound: u8| {
        let difference = largest(&ours, &fixture(&format!("augment.{name}")).pixels);
        assert!(difference <= bound, "{name}: {difference} levels");
    };
    same("brightness", with(Jitter { brightness: 1.4, ..identity() }), 1);
    same("contrast", with(Jitter { contrast: 0.5, ..identity() }), 1);
    same("saturation", with(Jitter { saturation: 1.6, ..identity() }), 2);
    // torchvision adds int(0.2 * 255) = 51 to a hue of 256 steps.
    same("hue", with(Jitter { hue: 51.0 / 256.0, ..identity() }), 8);
    same("gray", cut(&image, &CropDraw { grayscale: true, ..whole(&image) }, image.width), 1);
    let blurred = cut(&image, &CropDraw { blur: Some(2.0), ..whole(&image) }, image.width);
    same("blur", blurred, 4);
    let part = CropDraw { left: 3, top: 5, width: 33, height: 25, ..whole(&image) };
    same("crop", cut(&image, &part, 16), 1);
}

#[test]
fn an_unchanged_crop_is_the_image() {
    let image = fixture("augment");
    assert_eq!(cut(&image, &whole(&image), image.width), image.pixels);
    // The long way, over planes, too.
    let jitter = Some(identity());
    assert_eq!(cut(&image, &CropDraw { jitter, ..whole(&image) }, image.width), image.pixels);
}

#[test]
fn a_flip_is_the_same_with_and_without_colour_operations_and_for_all_channels() {
    for channels in 1..=4 {
        let image = fixture("augment").with_channels(channels);
        let flipped = cut(&image, &CropDraw { flip: true, ..whole(&image) }, image.width);
        let jitter = Some(identity());
        assert_eq!(
            cut(&image, &CropDraw { flip: true, jitter, ..whole(&image) }, image.width),
            flipped
        );
        for y in 0..image.height {
            for x in 0..image.width {
                let at = |x: usize| (y * image.width + x) * channels;
                let mirrored = at(image.width - 1 - x);
                assert_eq!(
                    flipped[at(x)..at(x) + channels],
                    image.pixels[mirrored..mirrored + channels]
                );
            }
        }
    }
}

#[test]
fn alpha_has_no_colour() {
    let mut image = fixture("augment").with_channels(4);
    image.pixels.chunks_exact_mut(4).enumerate().for_each(|(i, p)| p[3] = i as u8);
    let jitter = Some(Jitter { brightness: 0.5, contrast: 1.5, hue: 0.1, ..identity() });
    let draw = CropDraw { jitter, grayscale: true, ..whole(&image) };
    let out = cut(&image, &draw, image.width);
    assert!(out.chunks_exact(4).zip(image.pixels.chunks_exact(4)).all(|(a, b)| a[3] == b[3]));
}

/// What a report shows and what the loader makes are one thing: `crops` repeats from address alone.
#[test]
fn views_are_functions_of_their_address() {
    let image = fixture("augment");
    let groups = [
        Crops { count: 2, size: 24, scale: [0.14, 1.0], ratio: [0.75, 1.333] },
        Crops { count: 3, size: 12, scale: [0.05, 0.14], ratio: [0.75, 1.333] },
    ];
    let at = Address { seed: 31, epoch: 2, image: 7 };
    let views = crops(&image, at, &groups, &Augment::default());
    assert_eq!(views.iter().map(Vec::len).collect::<Vec<_>>(), [1728, 1728, 432, 432, 432]);
    assert_eq!(views, crops(&image, at, &groups, &Augment::default()));
    assert_ne!(views[0], views[1]);
    let elsewhere = Address { epoch: 3, ..at };
    assert_ne!(views, crops(&image, elsewhere, &groups, &Augment::default()));
}

#[test]
fn the_crop_for_evaluation_is_resize_then_centre() {
    // Columns count up: after resizing 80x40 to 40x20, the centre 20 columns are 10..30.
    let pixels = (0..40).flat_map(|_| (0..80u8).map(|x| 2 * x)).collect();
    let image = Image::new(80, 40, 1, pixels);
    let crop = eval_crop(&image, 20, 20);
    for row in crop.chunks_exact(20) {
        for (x, value) in row.iter().enumerate() {
            // Column x + 10 of the resized image lies at 2 (x + 10) + 0.5 of the original, value twice that.
            assert!(value.abs_diff((4 * (x + 10) + 1) as u8) <= 1, "{x}: {value}");
        }
    }
    let same = Image::new(20, 20, 1, (0..400).map(|x| x as u8).collect());
    assert_eq!(eval_crop(&same, 23, 20), same.pixels);
    for (width, height) in [(1, 1), (3, 97), (640, 7), (21, 20)] {
        let image = Image::new(width, height, 3, vec![9; width * height * 3]);
        assert_eq!(eval_crop(&image, 23, 20), vec![9; 1200]);
    }
}

#[test]
fn instruction_sets_agree_to_the_bit() {
    let image = fixture("augment");
    let jitter = Some(Jitter {
        brightness: 1.3,
        contrast: 0.6,
        saturation: 1.5,
        hue: -0.13,
        order: [2, 0, 3, 1],
    });
    let draw = CropDraw { jitter, blur: Some(1.3), flip: true, ..whole(&image) };
    let dispatched = cut(&image, &draw, image.width);
    let mut blur = Blur::default();
    blur.prepare(1.3, image.width);
    let mut scalar = vec![0; image.pixels.len()];
    Finish {
        resized: &image.pixels,
        planes: &mut vec![0.0; image.pixels.len()],
        blur: &mut blur,
        draw: &draw,
        size: image.width,
        channels: 3,
        out: &mut scalar,
    }
    .with_simd(pulp::Scalar);
    assert_eq!(dispatched, scalar);
}

/// Run with `cargo test --release -- --ignored --nocapture crops_per_second`. Time of this thread on a core
/// (Linux), so that a busy machine does not matter much.
#[test]
#[ignore = "a timing, not a law"]
fn crops_per_second() {
    let on_core = || -> f64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
    };
    let time = |name: &str, image: &Image, groups: &[Crops], augment: &Augment| {
        let n = if image.width > 100 { 200 } else { 5000 };
        let mut cutter = Cutter::default();
        cutter.open(image.clone());
        let mut out = vec![0; 224 * 224 * 3];
        let start = on_core();
        for i in 0..n {
            let at = Address { seed: 1, epoch: 0, image: i };
            let mut view = 0;
            for group in groups {
                for _ in 0..group.count {
                    let shape = (image.width, image.height, image.channels);
                    let draw = CropDraw::new(at, view, shape, group, augment);
                    let length = group.size * group.size * image.channels;
                    cutter.cut(&draw, group.size, &mut out[..length]);
                    view += 1;
                }
            }
        }
        println!("{name}: {:.0} us", (on_core() - start) / n as f64 * 1e6);
    };
    let group = |count, size, scale| Crops { count, size, scale, ratio: [0.75, 1.333] };
    let photo = Image::new(500, 375, 3, (0..500 * 375 * 3).map(|x| (x * 7 % 251) as u8).collect());
    let small = Image::new(28, 28, 1, (0..784).map(|x| (x * 7 % 251) as u8).collect());
    let large_crops = [group(2, 224, [0.14, 1.0]), group(6, 96, [0.05, 0.14])];
    let small_crops = [group(2, 28, [0.3, 1.0]), group(4, 14, [0.1, 0.3])];
    let none = Augment {
        jitter_probability: 0.0,
        grayscale: 0.0,
        blur_probability: 0.0,
        ..Augment::default()
    };
    let always = Augment { jitter_probability: 1.0, ..none.clone() };
    for (name, augment) in [
        ("published", Augment::default()),
        ("crop", Augment { flip: 0.0, ..none.clone() }),
        ("crop and flip", none.clone()),
        ("and grayscale", Augment { grayscale: 1.0, ..none.clone() }),
        ("and blur", Augment { blur_probability: 1.0, ..none.clone() }),
        ("and brightness, contrast", Augment { saturation: 0.0, hue: 0.0, ..always.clone() }),
        ("and saturation", Augment { hue: 0.0, ..always.clone() }),
        ("and hue", always),
    ] {
        time(&format!("500x375 to 2x224 + 6x96, {name}"), &photo, &large_crops, &augment);
        time(&format!("28x28 to 2x28 + 4x14, {name}"), &small, &small_crops, &augment);
    }
}

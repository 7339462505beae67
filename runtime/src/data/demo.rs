//! The images that are part of the program: 5,000 training and 3,000 test images of Fashion-MNIST (Zalando SE, MIT
//! licence; `runtime/data/fashion-mnist/`), 28 × 28 pixels, one channel, ten classes. Nothing is fetched.

use swav_images::Image;

use super::source::Dataset;
use crate::rng::{Stream, Use};

macro_rules! embedded {
    ($part:literal) => {
        Dataset::from_idx_bytes(
            concat!("the embedded ", $part, " images"),
            include_bytes!(concat!("../../data/fashion-mnist/", $part, "-images-idx3-ubyte.gz")),
            include_bytes!(concat!("../../data/fashion-mnist/", $part, "-labels-idx1-ubyte.gz")),
        )
        .expect("the embedded files are whole (tested)")
        .with_class_names(&CLASSES)
    };
}

/// Names of the ten classes.
pub const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The 5,000 training images.
pub fn train() -> Dataset {
    embedded!("train")
}

/// The 3,000 test images.
pub fn test() -> Dataset {
    embedded!("t10k")
}

/// Farthest shift of [`moved`] in pixels.
pub const REACH: usize = 4;

/// The image shifted by −4 to 4 pixels each way, what comes in black, and mirrored half of the time: a change that
/// leaves the class and fools a comparison of pixels. A pure function of seed and index.
pub fn moved(image: &Image, index: u64, seed: u64) -> Image {
    let mut stream = Stream::new(seed, Use::Move, index);
    let mut shift = || stream.below(2 * REACH as u64 + 1) as usize;
    let (right, down) = (shift(), shift());
    let mirror = stream.bernoulli(0.5);
    let (w, h, c) = (image.width, image.height, image.channels);
    let mut pixels = vec![0; image.pixels.len()];
    for y in 0..h {
        for x in 0..w {
            // Both shifts are counted from −4.
            let (from_x, from_y) = (x + REACH, y + REACH);
            if from_x < right || from_y < down || from_x - right >= w || from_y - down >= h {
                continue;
            }
            let from_x = if mirror { w - 1 - (from_x - right) } else { from_x - right };
            let from = ((from_y - down) * w + from_x) * c;
            let to = (y * w + x) * c;
            pixels[to..to + c].copy_from_slice(&image.pixels[from..from + c]);
        }
    }
    Image { pixels, ..*image }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_sets_are_whole_and_balanced() {
        for (set, n) in [(train(), 5000), (test(), 3000)] {
            assert_eq!((set.len(), set.classes()), (n, 10));
            assert_eq!(set.class_names()[9], "Ankle boot");
            let mut counts = [0; 10];
            (0..n).for_each(|i| counts[set.label(i).unwrap() as usize] += 1);
            // Drawn without regard to class: five standard errors of n/10.
            let error = 5.0 * (n as f64 * 0.09).sqrt();
            assert!(
                counts.iter().all(|&c| (f64::from(c) - n as f64 / 10.0).abs() < error),
                "{counts:?}"
            );
        }
        // The first labels of the published files.
        let labels: Vec<i32> = (0..8).map(|i| train().label(i).unwrap()).collect();
        assert_eq!(labels, [9, 0, 0, 3, 0, 2, 7, 2]);
        let image = train().read(0, 1).unwrap();
        assert_eq!((image.width, image.height), (28, 28));
        // Sum and centre of the first image of the published file.
        assert_eq!(image.pixels.iter().map(|&p| u64::from(p)).sum::<u64>(), 76_247);
    }

    #[test]
    fn a_moved_image_is_the_image_shifted_and_mirrored() {
        let image = Image::new(28, 28, 1, (0..784).map(|i| (i % 255) as u8 + 1).collect());
        let mut kinds = std::collections::BTreeSet::new();
        for index in 0..2000 {
            let got = moved(&image, index, 7);
            assert_eq!(got, moved(&image, index, 7));
            let found = (0..162).find(|k| {
                let (dx, dy, mirror) = (k % 9 - 4, k / 9 % 9 - 4, k / 81 == 1);
                (0..784).all(|i| {
                    let (x, y) = (i % 28 - dx, i / 28 - dy);
                    let inside = (0..28).contains(&x) && (0..28).contains(&y);
                    let x = if mirror { 27 - x } else { x };
                    let expected = if inside { image.pixels[(y * 28 + x) as usize] } else { 0 };
                    got.pixels[i as usize] == expected
                })
            });
            kinds.insert(found.expect("a shift within reach"));
        }
        // 2,000 draws leave one of 162 kinds out with probability 7e-4.
        assert!(kinds.len() >= 160, "{}", kinds.len());
    }
}

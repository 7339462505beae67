//! What is drawn for a crop: its box and which changes it gets. A draw is a pure function of its address and of
//! the size of the image, so a report can show it and a test can repeat it.

use crate::config::{Augment, Crops};
use crate::rng::{Stream, Use, exp, ln};

/// Where a draw stands: everything but the crop and the use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Index of the image in the data set.
    pub image: u64,
}

/// What was drawn for one crop.
#[derive(Debug, Clone, PartialEq)]
pub struct CropDraw {
    /// Left edge in pixels of the image.
    pub left: usize,
    /// Upper edge.
    pub top: usize,
    /// Width of the box.
    pub width: usize,
    /// Height of the box.
    pub height: usize,
    /// Whether the crop is mirrored.
    pub flip: bool,
    /// Distortion of the colours, if any.
    pub jitter: Option<Jitter>,
    /// Whether colour is dropped.
    pub grayscale: bool,
    /// Standard deviation of the blur in pixels of the crop, if any.
    pub blur: Option<f64>,
}

/// Factors of the colour operations and the order they are applied in.
#[derive(Debug, Clone, PartialEq)]
pub struct Jitter {
    /// Multiplies all channels.
    pub brightness: f64,
    /// Multiplies the distance to the mean gray.
    pub contrast: f64,
    /// Multiplies the distance to the gray of the pixel.
    pub saturation: f64,
    /// Added to the hue, in turns.
    pub hue: f64,
    /// Order of brightness (0), contrast (1), saturation (2), hue (3).
    pub order: [u8; 4],
}

impl CropDraw {
    /// The draw of view `view` of an image of `width` × `height` pixels and `channels` channels. Without colour
    /// (one or two channels) nothing is drawn for hue, saturation and grayscale.
    pub fn new(
        at: Address,
        view: usize,
        (width, height, channels): (usize, usize, usize),
        crops: &Crops,
        augment: &Augment,
    ) -> Self {
        let stream = |use_| Stream::at(at.seed, use_, at.image, at.epoch, view);
        let colour = channels >= 3;
        let [left, top, box_width, box_height] =
            crop_box(&mut stream(Use::CropBox), width, height, crops.scale, crops.ratio);
        let jitter = stream(Use::JitterCoin).bernoulli(augment.jitter_probability).then(|| {
            let mut factors = stream(Use::JitterFactors);
            let mut around_one = |x: f64| factors.range((1.0 - x).max(0.0), 1.0 + x);
            let (brightness, contrast) =
                (around_one(augment.brightness), around_one(augment.contrast));
            let saturation = around_one(augment.saturation);
            let hue = factors.range(-augment.hue, augment.hue);
            Jitter {
                brightness,
                contrast,
                saturation: if colour { saturation } else { 1.0 },
                hue: if colour { hue } else { 0.0 },
                order: order(&mut stream(Use::JitterOrder)),
            }
        });
        let blur = stream(Use::BlurCoin)
            .bernoulli(augment.blur_probability)
            .then(|| stream(Use::BlurRadius).range(augment.blur_radius[0], augment.blur_radius[1]));
        Self {
            left,
            top,
            width: box_width,
            height: box_height,
            flip: stream(Use::Flip).bernoulli(augment.flip),
            jitter,
            grayscale: stream(Use::Grayscale).bernoulli(augment.grayscale) && colour,
            blur: blur.filter(|&sigma| sigma > 0.0),
        }
    }
}

/// torchvision's `RandomResizedCrop.get_params`: ten tries of a uniform share of the area and a log-uniform
/// ratio, then the largest centred box whose ratio is allowed. Returns left, top, width, height.
fn crop_box(
    stream: &mut Stream,
    width: usize,
    height: usize,
    scale: [f64; 2],
    ratio: [f64; 2],
) -> [usize; 4] {
    let area = (width * height) as f64;
    let log_ratio = [ln(ratio[0]), ln(ratio[1])];
    for _ in 0..10 {
        let target = area * stream.range(scale[0], scale[1]);
        let aspect = exp(stream.range(log_ratio[0], log_ratio[1]));
        let w = (target * aspect).sqrt().round_ties_even() as usize;
        let h = (target / aspect).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let top = stream.below((height - h + 1) as u64) as usize;
            let left = stream.below((width - w + 1) as u64) as usize;
            return [left, top, w, h];
        }
    }
    let found = width as f64 / height as f64;
    let (w, h) = if found < ratio[0] {
        (width, (width as f64 / ratio[0]).round_ties_even() as usize)
    } else if found > ratio[1] {
        ((height as f64 * ratio[1]).round_ties_even() as usize, height)
    } else {
        (width, height)
    };
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    [(width - w) / 2, (height - h) / 2, w, h]
}

/// One of the 24 orders, each equally likely (Fisher and Yates).
fn order(stream: &mut Stream) -> [u8; 4] {
    let mut order = [0, 1, 2, 3];
    for last in (1..4).rev() {
        order.swap(last, stream.below(last as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn crops(scale: [f64; 2]) -> Crops {
        Crops { count: 2, size: 32, scale, ratio: [0.75, 4.0 / 3.0] }
    }

    proptest! {
        #[test]
        fn boxes_lie_inside_the_image(
            w in 1usize..700, h in 1usize..700, image in 0u64..1 << 40, view in 0usize..8, low in 0.01f64..1.0,
        ) {
            let at = Address { seed: 31, epoch: 3, image };
            let d = CropDraw::new(at, view, (w, h, 3), &crops([low, 1.0]), &Augment::default());
            prop_assert!(d.width >= 1 && d.height >= 1);
            prop_assert!(d.left + d.width <= w && d.top + d.height <= h);
        }

        /// For an image in which every target fits, area and ratio are those asked for up to rounding
        /// both sides by half a pixel.
        #[test]
        fn boxes_have_the_area_and_ratio_asked_for(image in 0u64..1000, view in 0usize..8) {
            let at = Address { seed: 1, epoch: 0, image };
            let d = CropDraw::new(at, view, (1000, 1000, 3), &crops([0.05, 0.14]), &Augment::default());
            let (w, h) = (d.width as f64, d.height as f64);
            prop_assert!((w + 0.5) * (h + 0.5) >= 0.05e6 && (w - 0.5) * (h - 0.5) <= 0.14e6);
            prop_assert!((w + 0.5) / (h - 0.5) >= 0.75 && (w - 0.5) / (h + 0.5) <= 4.0 / 3.0);
        }
    }

    #[test]
    fn a_strip_falls_back_to_its_centre() {
        let mut stream = Stream::new(0, Use::CropBox, 0);
        assert_eq!(crop_box(&mut stream, 900, 10, [1.0, 1.0], [0.75, 4.0 / 3.0]), [443, 0, 13, 10]);
        assert_eq!(crop_box(&mut stream, 10, 900, [1.0, 1.0], [0.75, 4.0 / 3.0]), [0, 443, 10, 13]);
    }

    #[test]
    fn coins_fall_as_often_as_asked() {
        let n = 20_000;
        let augment = Augment::default();
        let draws: Vec<CropDraw> = (0..n)
            .map(|image| {
                let at = Address { seed: 5, epoch: 1, image };
                CropDraw::new(at, 0, (64, 64, 3), &crops([0.14, 1.0]), &augment)
            })
            .collect();
        let share =
            |f: &dyn Fn(&CropDraw) -> bool| draws.iter().filter(|d| f(d)).count() as f64 / n as f64;
        // Five standard errors of a share of p.
        let near = |got: f64, p: f64| {
            assert!((got - p).abs() < 5.0 * (p * (1.0 - p) / n as f64).sqrt(), "{got}")
        };
        near(share(&|d| d.flip), 0.5);
        near(share(&|d| d.jitter.is_some()), 0.8);
        near(share(&|d| d.grayscale), 0.2);
        near(share(&|d| d.blur.is_some()), 0.5);
        near(share(&|d| d.jitter.as_ref().is_some_and(|j| j.order == [2, 0, 3, 1])), 0.8 / 24.0);
        near(share(&|d| d.flip && d.grayscale), 0.1);
        for j in draws.iter().filter_map(|d| d.jitter.as_ref()) {
            assert!((0.2..1.8).contains(&j.brightness) && (-0.2..0.2).contains(&j.hue));
        }
        assert!(draws.iter().filter_map(|d| d.blur).all(|s| (0.1..2.0).contains(&s)));
    }

    #[test]
    fn views_epochs_and_images_draw_differently() {
        let draw = |image, epoch, view| {
            let at = Address { seed: 5, epoch, image };
            CropDraw::new(at, view, (640, 480, 3), &crops([0.14, 1.0]), &Augment::default())
        };
        assert_eq!(draw(1, 1, 1), draw(1, 1, 1));
        assert_ne!(draw(1, 1, 1), draw(1, 1, 2));
        assert_ne!(draw(1, 1, 1), draw(1, 2, 1));
        assert_ne!(draw(1, 1, 1), draw(2, 1, 1));
    }
}

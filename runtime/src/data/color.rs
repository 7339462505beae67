//! Colour operations on planes of f32 in 0..=255, each clamped to that range like Pillow's, but not rounded:
//! a crop is rounded once, at its end.
//!
//! The loops are plain and branch-free; they are compiled once per instruction set where they are inlined
//! (see `augment`), and give the same bits on each, because no operation is fused or reordered.

use super::draw::Jitter;

/// Weights of red, green and blue in gray (ITU-R 601, as Pillow).
const GRAY: [f32; 3] = [0.299, 0.587, 0.114];

/// Applies the colour operations of `jitter` in its order to one plane, or to three.
#[inline(always)]
pub(crate) fn jitter(planes: &mut [f32], area: usize, jitter: &Jitter) {
    for operation in jitter.order {
        match operation {
            0 => brightness(planes, jitter.brightness as f32),
            1 => contrast(planes, area, jitter.contrast as f32),
            2 if jitter.saturation != 1.0 => saturation(planes, area, jitter.saturation as f32),
            3 if jitter.hue != 0.0 => hue(planes, area, jitter.hue as f32),
            _ => {}
        }
    }
}

#[inline(always)]
fn clamp(x: f32) -> f32 {
    x.clamp(0.0, 255.0)
}

#[inline(always)]
fn gray(r: f32, g: f32, b: f32) -> f32 {
    GRAY[0] * r + GRAY[1] * g + GRAY[2] * b
}

#[inline(always)]
fn split(planes: &mut [f32], area: usize) -> [&mut [f32]; 3] {
    let (r, rest) = planes.split_at_mut(area);
    let (g, b) = rest.split_at_mut(area);
    [r, g, &mut b[..area]]
}

/// x · factor.
#[inline(always)]
pub(crate) fn brightness(planes: &mut [f32], factor: f32) {
    planes.iter_mut().for_each(|x| *x = clamp(*x * factor));
}

/// m + (x − m) · factor, m the mean gray of the crop.
#[inline(always)]
pub(crate) fn contrast(planes: &mut [f32], area: usize, factor: f32) {
    let mean = if planes.len() == area {
        sum(planes) / area as f32
    } else {
        let [r, g, b] = split(planes, area);
        gray(sum(r) / area as f32, sum(g) / area as f32, sum(b) / area as f32)
    };
    let offset = mean * (1.0 - factor);
    planes.iter_mut().for_each(|x| *x = clamp(*x * factor + offset));
}

/// Sum in 32 lanes, so that the loop vectorises, and the lanes in order. Each lane adds fewer than 2¹³
/// values of at most 255 for crops below 512 pixels: relative error below 2¹³ · 2⁻²⁴ = 5e-4 of a level's scale,
/// an eighth of a level at worst.
#[inline(always)]
fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 32];
    let chunks = values.chunks_exact(32);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// g + (x − g) · factor, g the gray of the pixel.
#[inline(always)]
pub(crate) fn saturation(planes: &mut [f32], area: usize, factor: f32) {
    let [r, g, b] = split(planes, area);
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let offset = gray(*r, *g, *b) * (1.0 - factor);
        *r = clamp(*r * factor + offset);
        *g = clamp(*g * factor + offset);
        *b = clamp(*b * factor + offset);
    }
}

/// Adds `shift` turns to the hue; value and saturation (of the HSV hexcone) stay.
#[inline(always)]
pub(crate) fn hue(planes: &mut [f32], area: usize, shift: f32) {
    let [r, g, b] = split(planes, area);
    let shift = shift * 6.0;
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let max = r.max(*g).max(*b);
        let chroma = max - r.min(*g).min(*b);
        // Sextants of the hue; where chroma is 0 the hue does not matter, as long as it is finite.
        let inverse = 1.0 / chroma.max(1e-6);
        let sextant = if max == *r {
            (*g - *b) * inverse
        } else if max == *g {
            (*b - *r) * inverse + 2.0
        } else {
            (*r - *g) * inverse + 4.0
        } + shift;
        let sextant = if sextant < 0.0 { sextant + 6.0 } else { sextant };
        let sextant = if sextant >= 6.0 { sextant - 6.0 } else { sextant };
        // channel(n) = max − chroma · clamp(min(k, 4 − k), 0, 1), k = (n + sextant) mod 6, n = 5, 3, 1.
        let channel = |n: f32| {
            let k = n + sextant;
            let k = if k >= 6.0 { k - 6.0 } else { k };
            max - chroma * k.min(4.0 - k).clamp(0.0, 1.0)
        };
        (*r, *g, *b) = (channel(5.0), channel(3.0), channel(1.0));
    }
}

/// All three planes become the gray of the pixel.
#[inline(always)]
pub(crate) fn grayscale(planes: &mut [f32], area: usize) {
    let [r, g, b] = split(planes, area);
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let y = gray(*r, *g, *b);
        (*r, *g, *b) = (y, y, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_turn_of_hue_changes_nothing_and_a_third_swaps_channels() {
        let pixel = [200.0f32, 90.0, 30.0];
        let turned = |shift| {
            let mut p = pixel;
            hue(&mut p, 1, shift);
            p
        };
        for (got, expected) in [
            (turned(0.0), pixel),
            (turned(1.0 / 3.0), [30.0, 200.0, 90.0]),
            (turned(-1.0 / 3.0), [90.0, 30.0, 200.0]),
        ] {
            // A dozen operations on values below 255.
            assert!(
                got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 12.0 * 255.0 * f32::EPSILON)
            );
        }
        let mut gray = [80.0f32; 3];
        hue(&mut gray, 1, 0.17);
        assert_eq!(gray, [80.0; 3]);
    }

    #[test]
    fn factor_one_is_the_identity_and_results_stay_in_range() {
        let pixels: Vec<f32> = (0..300).map(|x| (x * 37 % 256) as f32).collect();
        let near = |a: &[f32]| a.iter().zip(&pixels).all(|(a, b)| (a - b).abs() < 1e-3);
        let mut p = pixels.clone();
        brightness(&mut p, 1.0);
        contrast(&mut p, 100, 1.0);
        saturation(&mut p, 100, 1.0);
        assert!(near(&p));
        contrast(&mut p, 100, 1.8);
        brightness(&mut p, 1.8);
        saturation(&mut p, 100, 1.8);
        assert!(p.iter().all(|x| (0.0..=255.0).contains(x)));
    }
}

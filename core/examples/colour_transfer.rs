//! The colours of one picture moved to those of another.
//!
//! ```text
//! cargo run -p swav-core --example colour_transfer [[BEFORE.png TARGET.png] OUT.png]
//! ```
//!
//! A palette of 400 pixels of each picture is a cloud of points in the cube of red, green and blue. Entropic transport
//! between the two says where each colour of the first should go; the map at colours that took no part is the same
//! formula (`Solution::map_at`), so all pixels follow. OUT shows before, target and after side by side. Without pictures
//! the example draws a day and a sunset.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter};

use ndarray::{Array1, Array2, Axis};
use swav_core::transport::{Metric, Points, Problem, Sinkhorn, SinkhornDivergence};

/// Pixels row after row, (width · height, 3), each colour from 0 to 1.
struct Picture {
    width: usize,
    pixels: Array2<f64>,
}

/// Pixels of a palette.
const COLOURS: usize = 400;
/// In units of a squared distance of colours: it blurs the map over √(ε/2), 0.05 in each colour.
const EPSILON: f64 = 0.005;

fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::args().skip(1).collect::<Vec<_>>())
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let (before, target) = match arguments {
        [before, target, _] => (read(before)?, read(target)?),
        [] | [_] => (draw(day), draw(sunset)),
        _ => return Err("no argument, OUT.png, or BEFORE.png TARGET.png OUT.png".into()),
    };

    let (x, y) = (palette(&before, 1), palette(&target, 2));
    let geometry = Points::new(&x, &y, Metric::SquaredEuclidean)?;
    let weights = Array1::from_elem(COLOURS, 1.0 / COLOURS as f64);
    let problem = Problem::new(&geometry, &weights, &weights, EPSILON)?;
    let solution = Sinkhorn::default().solve(&problem)?;
    println!("transport: {}, {} iterations", solution.status.name(), solution.iterations);

    let costs = Points::new(&before.pixels, &y, Metric::SquaredEuclidean)?;
    let after = Picture { width: before.width, pixels: solution.map_at(&costs, &y)? };

    // Judged on pixels that were not in the palettes.
    let wanted = palette(&target, 3);
    let divergence = SinkhornDivergence::new(EPSILON);
    let distance = |picture: &Picture| {
        let (own, metric) = (palette(picture, 4), Metric::SquaredEuclidean);
        let found = divergence.between_points((&own, &weights), (&wanted, &weights), metric);
        found.map(|found| found.value)
    };
    let (far, near) = (distance(&before)?, distance(&after)?);
    for (name, picture) in [("before", &before), ("target", &target), ("after", &after)] {
        let mean = picture.pixels.mean_axis(Axis(0)).ok_or("a picture without pixels")?;
        println!("mean red, green, blue {name:6}: {:.2} {:.2} {:.2}", mean[0], mean[1], mean[2]);
    }
    println!("divergence of colours from the target's: {far:.4} before, {near:.4} after");
    assert!(arguments.len() > 1 || near < 0.1 * far);
    if let Some(out) = arguments.last() {
        write(out, &[&before, &target, &after])?;
        println!("before, target and after: {out}");
    }
    Ok(())
}

/// Colours of pixels drawn with replacement.
fn palette(picture: &Picture, seed: u64) -> Array2<f64> {
    let mut state = seed;
    let pixels: Vec<usize> = (0..COLOURS)
        .map(|_| {
            // Knuth's MMIX generator; its upper bits are the good ones.
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % picture.pixels.nrows()
        })
        .collect();
    picture.pixels.select(Axis(0), &pixels)
}

fn read(path: &str) -> Result<Picture, Box<dyn Error>> {
    let mut decoder = png::Decoder::new(BufReader::new(File::open(path)?));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let mut bytes = vec![0; reader.output_buffer_size().ok_or("a picture too large")?];
    let info = reader.next_frame(&mut bytes)?;
    let samples = info.color_type.samples();
    // Gray is all three colours; alpha is left out.
    let colour = |pixel: usize, c: usize| bytes[pixel * samples + if samples < 3 { 0 } else { c }];
    let (width, height) = (info.width as usize, info.height as usize);
    let pixels = Array2::from_shape_fn((width * height, 3), |(p, c)| colour(p, c) as f64 / 255.0);
    Ok(Picture { width, pixels })
}

/// Pictures side by side on white.
fn write(path: &str, pictures: &[&Picture]) -> Result<(), Box<dyn Error>> {
    const GAP: usize = 8;
    let tall = pictures.iter().map(|p| p.pixels.nrows() / p.width).max().unwrap_or(0);
    let wide = pictures.iter().map(|p| p.width + GAP).sum::<usize>() - GAP;
    let mut bytes = vec![255; wide * tall * 3];
    let mut left = 0;
    for picture in pictures {
        for ((pixel, c), value) in picture.pixels.indexed_iter() {
            let (row, column) = (pixel / picture.width, left + pixel % picture.width);
            bytes[(row * wide + column) * 3 + c] = (value * 255.0).round() as u8;
        }
        left += picture.width + GAP;
    }
    let mut encoder =
        png::Encoder::new(BufWriter::new(File::create(path)?), wide as u32, tall as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(&bytes)?;
    Ok(())
}

/// 240 × 160 pixels of a scene over x from 0 to 1.5 and y, downwards, from 0 to 1; 9 samples a pixel.
fn draw(scene: fn(f64, f64) -> [f64; 3]) -> Picture {
    let (width, height) = (240, 160);
    let sample = |at: usize, part: usize| (at as f64 + (part as f64 + 0.5) / 3.0) / height as f64;
    let mut pixels = Array2::zeros((width * height, 3));
    for (p, mut pixel) in pixels.rows_mut().into_iter().enumerate() {
        for part in 0..9 {
            let colour = scene(sample(p % width, part % 3), sample(p / width, part / 3));
            pixel.iter_mut().zip(colour).for_each(|(sum, c)| *sum += c.clamp(0.0, 1.0) / 9.0);
        }
    }
    Picture { width, pixels }
}

fn mix(a: [f64; 3], b: [f64; 3], t: f64) -> [f64; 3] {
    let t = t.clamp(0.0, 1.0);
    [0, 1, 2].map(|c| a[c] + t * (b[c] - a[c]))
}

/// 1 at the centre of an ellipse, falling as a bell.
fn glow(x: f64, y: f64, centre: (f64, f64), radius: (f64, f64)) -> f64 {
    (-((x - centre.0) / radius.0).powi(2) - ((y - centre.1) / radius.1).powi(2)).exp()
}

fn day(x: f64, y: f64) -> [f64; 3] {
    let mut colour = mix([0.20, 0.46, 0.82], [0.74, 0.88, 0.97], y / 0.6);
    for (centre, size) in [((0.35, 0.17), 0.15), ((0.52, 0.20), 0.11), ((1.05, 0.32), 0.18)] {
        let cloud = glow(x, y + 0.008 * (40.0 * x).sin(), centre, (size, 0.3 * size));
        colour = mix(colour, [1.0; 3], 1.6 * cloud - 0.3);
    }
    let hills = [
        (0.52 + 0.06 * (3.0 * x + 0.4).sin() + 0.02 * (9.0 * x).sin(), [0.47, 0.63, 0.72]),
        (0.62 + 0.05 * (2.3 * x + 2.0).sin() + 0.02 * (6.0 * x).cos(), [0.29, 0.53, 0.36]),
        (0.74 + 0.06 * (2.0 * x + 4.2).sin(), [0.33, 0.62, 0.24]),
    ];
    for (ridge, green) in hills {
        if y > ridge {
            colour = mix(green, [0.16, 0.36, 0.12], 1.4 * (y - ridge));
        }
    }
    colour
}

fn sunset(x: f64, y: f64) -> [f64; 3] {
    const SEA: f64 = 0.62;
    let sky = |y: f64| match y / SEA {
        t if t < 0.5 => mix([0.17, 0.13, 0.36], [0.62, 0.26, 0.45], 2.0 * t),
        t => mix([0.62, 0.26, 0.45], [0.99, 0.66, 0.30], 2.0 * t - 1.0),
    };
    let mut colour = sky(y);
    if y < SEA {
        colour = mix(colour, [1.0, 0.80, 0.42], 0.9 * glow(x, y, (0.8, 0.55), (0.35, 0.22)));
        let disc = ((x - 0.8).powi(2) + (y - 0.52).powi(2)).sqrt();
        colour = mix(colour, [1.0, 0.96, 0.78], (0.08 - disc) / 0.004);
    } else {
        let ripple = (300.0 * (y - SEA + 0.05).ln() + 6.0 * (9.0 * x).sin()).sin();
        colour = mix(sky(2.0 * SEA - y - 0.02 * ripple), [0.10, 0.09, 0.24], 0.35);
        let path = glow(x, 0.0, (0.8, 0.0), (0.05 + 0.4 * (y - SEA), 1.0));
        colour = mix(colour, [1.0, 0.78, 0.42], 0.8 * path * (0.6 + 0.4 * ripple));
    }
    let shore = 0.60
        - 0.16 * glow(x, 0.0, (0.0, 0.0), (0.4, 1.0))
        - 0.10 * glow(x, 0.0, (1.5, 0.0), (0.3, 1.0));
    if y > shore && y < SEA { [0.12, 0.07, 0.17] } else { colour }
}

#[test]
fn pictures_written_are_pictures_read() -> Result<(), Box<dyn Error>> {
    let file = |name: &str| {
        let name = format!("{name}-{}.png", std::process::id());
        std::env::temp_dir().join(name).to_string_lossy().into_owned()
    };
    let (first, second) = (file("colours-first"), file("colours-second"));
    run(std::slice::from_ref(&first))?;
    run(&[first.clone(), first.clone(), second.clone()])?;
    assert_eq!((read(&first)?.width, read(&second)?.width), (736, 3 * 736 + 16));
    [first, second].iter().try_for_each(|file| Ok(std::fs::remove_file(file)?))
}

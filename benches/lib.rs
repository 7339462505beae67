//! What the benches share.

use ndarray::Array2;
use swav::batch::{Batch, CropGroup, Pixels};
use swav::net::Network;
use swav::rng::{Stream, Use};

/// Values drawn uniformly from [-1, 1).
pub fn drawn(rows: usize, columns: usize, number: u64) -> Array2<f32> {
    let mut draws = Stream::new(9, Use::Initialisation, number);
    Array2::from_shape_simple_fn((rows, columns), || (2.0 * draws.uniform() - 1.0) as f32)
}

/// Rows of unit length, drawn.
pub fn unit_rows(rows: usize, columns: usize, number: u64) -> Array2<f32> {
    let mut x = drawn(rows, columns, number);
    for mut row in x.rows_mut() {
        let length = row.dot(&row).sqrt();
        row /= length;
    }
    x
}

/// A batch of drawn bytes.
pub fn batch(network: &Network, images: usize) -> Batch {
    let channels = network.backbone.in_channels;
    let groups = network.groups.iter().map(|&(count, size)| {
        let n = count * images * size * size * channels;
        let mut draws = Stream::new(3, Use::Initialisation, size as u64);
        let pixels = (0..n.div_ceil(4)).flat_map(|_| draws.bits().to_le_bytes()).take(n).collect();
        CropGroup { count, size, channels, pixels: Pixels::Bytes(pixels) }
    });
    Batch { groups: groups.collect(), image: (0..images as u64).collect(), targets: Vec::new() }
}

/// Largest absolute difference.
pub fn largest_difference(a: &Array2<f32>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).map(|(x, y)| (f64::from(*x) - y).abs()).fold(0.0, f64::max)
}

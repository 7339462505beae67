//! From image bytes to the network's input.

use rayon::prelude::*;

use crate::element::Element;

/// Bytes converted by one task.
const CHUNK: usize = 1 << 16;

/// `out = (x / 255 − mean) / std` per channel, channels innermost. The 256 values of every channel are computed
/// in f64 and rounded once.
#[inline(never)]
pub fn normalise_bytes<T: Element>(
    out: &mut [T],
    x: &[u8],
    mean: &[f64],
    std: &[f64],
    channels: usize,
) {
    assert!(
        channels > 0
            && mean.len() == channels
            && std.len() == channels
            && out.len() == x.len()
            && x.len().is_multiple_of(channels),
        "normalise_bytes: {} values from {} bytes, {channels} channels, {} means, {} deviations",
        out.len(),
        x.len(),
        mean.len(),
        std.len()
    );
    let value = |c: usize, byte: usize| T::from_f64((byte as f64 / 255.0 - mean[c]) / std[c]);
    let tables: Vec<T> = (0..channels)
        .flat_map(|c| (0..256).map(move |byte| (c, byte)))
        .map(|(c, b)| value(c, b))
        .collect();
    let chunk = CHUNK / channels * channels;
    let chunk = chunk.max(channels);
    out.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(out, x)| {
        for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            for (c, (out, &byte)) in out.iter_mut().zip(x).enumerate() {
                *out = tables[c * 256 + usize::from(byte)];
            }
        }
    });
}

//! Pixels into the first slot of a plan.

use rayon::prelude::*;
use swav_kernels::element::Element;
use swav_kernels::pixels::normalise_bytes;

use crate::batch::{CropGroup, Pixels};

/// Values per task; a multiple of every number of channels in use.
const CHUNK: usize = 12 * 4096;

/// Fills a plan's whole input.
pub(crate) fn fill_input<T: Element>(
    input: &mut [T],
    crops: &CropGroup,
    mean: &[f64],
    std: &[f64],
) {
    assert_eq!(input.len(), crops.pixels.len(), "pixels of a crop group");
    fill_rows(input, crops, 0, mean, std);
}

/// Fills `input` from the crops' values that start at `from`.
pub(crate) fn fill_rows<T: Element>(
    input: &mut [T],
    crops: &CropGroup,
    from: usize,
    mean: &[f64],
    std: &[f64],
) {
    match &crops.pixels {
        Pixels::Bytes(x) => {
            let x = &x[from..from + input.len()];
            normalise_bytes(input, x, mean, std, crops.channels);
        }
        Pixels::Normalised(x) => {
            let x = &x[from..from + input.len()];
            input.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
                out.iter_mut().zip(x).for_each(|(o, &v)| *o = T::from_f64(f64::from(v)));
            });
        }
    }
}

//! Every input that a fuzzer kept, through the function it was kept for.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use swav::npy::{self, Npy, Values};
use swav_tests::fuzzed::{
    TARGETS, any_array, any_checkpoint, any_config, any_image, any_network, any_scores,
    any_transport,
};
use swav_tests::images::fixture;

#[test]
fn kept_inputs_hold() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpora.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let held = std::panic::catch_unwind(|| target(&bytes));
            assert!(held.is_ok(), "{} does not hold", path.display());
            inputs += 1;
        }
        assert!(inputs >= 3, "{name}: only {inputs} inputs are kept");
        let target = corpora.join(format!("../fuzz_targets/{name}.rs"));
        assert!(target.is_file(), "{} is missing", target.display());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn drawn_bytes_hold(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        any_scores(&bytes);
        any_network(&bytes);
        any_checkpoint(&bytes);
        any_image(&bytes);
        any_array(&bytes);
        any_transport(&bytes);
    }

    #[test]
    fn drawn_text_holds(text in "[a-z.=\\[\\]\"{}0-9 \n_-]{0,80}") {
        any_config(text.as_bytes());
    }
}

/// Whole images with one byte changed, or cut at any place: an image or a reason, and never an image from a part.
#[test]
fn damaged_images_hold() {
    for name in [
        "baseline.jpg",
        "progressive.jpg",
        "palette.png",
        "sixteen.png",
        "lossy.webp",
        "lossless.webp",
    ] {
        let whole = fs::read(fixture(name)).unwrap();
        let mut bytes = whole.clone();
        for at in 0..whole.len() {
            bytes[at] ^= 1 << (at % 8);
            any_image(&bytes);
            bytes[at] = whole[at];
        }
        for length in 0..whole.len() {
            let part = &whole[..length];
            any_image(part);
        }
    }
}

/// A whole array file with one byte changed, or cut at any place.
#[test]
fn damaged_arrays_hold() {
    let whole = Npy { shape: vec![2, 3], values: Values::F64(vec![0.5; 6]) }.to_bytes();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            any_array(&bytes);
        }
        assert!(npy::parse(&whole[..at]).is_err(), "{at} of {} bytes are an array", whole.len());
    }
}

//! From files to batches: JPEG photos of 500 by 375 pixels into 2 x 224 + 6 x 96 crops, images per second.
//!
//! `SWAV_BENCH_DATA` names a folder of photos; without it the built-in decoder fixtures are repeated.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use swav::config::{Config, Crops, DataConfig, Workers};
use swav::data::{Dataset, Loader, LoaderConfig, Part};

const BATCH: usize = 16;

fn config(workers: usize) -> LoaderConfig {
    let c = Config::default();
    let crops = |count, size, scale| Crops { count, size, scale, ratio: [0.75, 4.0 / 3.0] };
    LoaderConfig {
        seed: 1,
        crops: vec![crops(2, 224, [0.14, 1.0]), crops(6, 96, [0.05, 0.14])],
        augment: c.augment,
        channels: 3,
        batch: BATCH,
        rank: 0,
        world: 1,
        accumulate: 1,
        workers: Workers::Count(workers),
        max_bad_fraction: 1.0,
        targets: false,
    }
}

fn photos(copies: &Path) -> PathBuf {
    if let Some(path) = std::env::var_os("SWAV_BENCH_DATA") {
        return path.into();
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/images/testdata");
    for n in 0..4 * BATCH {
        let name = ["baseline.jpg", "progressive.jpg", "full.jpg", "lossy.webp"][n % 4];
        let to = copies.join(format!("{n:03}-{name}"));
        std::fs::copy(fixtures.join(name), to).expect("a fixture");
    }
    copies.to_owned()
}

fn load(c: &mut Criterion) {
    let copies = tempfile::tempdir().expect("a folder");
    let path = photos(copies.path());
    let data = Dataset::open(&path, Part::Train, &DataConfig::default()).expect("images");
    let data = Arc::new(data);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let open = |workers| Loader::new(Arc::clone(&data), config(workers)).expect("enough images");
    let (mut one, mut many) = (open(1), open(threads));
    for step in 0..3 {
        let (a, b) = (one.next(step).expect("a step"), many.next(step).expect("a step"));
        assert!(a == b, "step {step} depends on the number of workers");
    }
    drop(one);
    let mut group = c.benchmark_group("loader");
    group.sample_size(10).throughput(Throughput::Elements(BATCH as u64));
    let mut step = 3;
    group.bench_function(format!("{threads} workers"), |b| {
        b.iter(|| {
            let batches = many.next(step).expect("a step");
            step += 1;
            many.recycle(batches);
        })
    });
    group.finish();
}

criterion_group!(benches, load);
criterion_main!(benches);

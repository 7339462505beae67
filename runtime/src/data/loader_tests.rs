use std::time::{Duration, Instant};

use swav_images::Image;

use super::*;
use crate::config::DataConfig;
use crate::data::{Part, crops};

fn images(n: usize) -> Arc<Dataset> {
    let image = |i: usize| {
        let (w, h) = (20 + i % 5, 18 + i % 7);
        Image::new(w, h, 1, (0..w * h).map(|p| (p * (i + 3) % 256) as u8).collect())
    };
    let labels = (0..n).map(|i| (i % 3) as i32 - i32::from(i == 0)).collect();
    Arc::new(Dataset::from_memory((0..n).map(image).collect(), Some(labels)))
}

fn config(workers: usize) -> LoaderConfig {
    LoaderConfig {
        seed: 31,
        crops: vec![
            Crops { count: 2, size: 12, scale: [0.3, 1.0], ratio: [0.75, 1.333] },
            Crops { count: 3, size: 6, scale: [0.1, 0.3], ratio: [0.75, 1.333] },
        ],
        augment: Augment::default(),
        channels: 1,
        batch: 4,
        rank: 0,
        world: 1,
        accumulate: 1,
        workers: Workers::Count(workers),
        max_bad_fraction: 0.01,
        targets: false,
    }
}

fn loader(dataset: &Arc<Dataset>, config: LoaderConfig) -> Loader {
    Loader::new(Arc::clone(dataset), config).unwrap()
}

#[test]
fn batches_do_not_depend_on_workers_nor_on_where_a_run_resumes() {
    let data = images(19);
    let mut one = loader(&data, config(1));
    assert_eq!(one.steps_per_epoch(), 4);
    let expected: Vec<_> = (0..10).map(|step| one.next(step).unwrap()).collect();
    for workers in [1, 2, 3, 8] {
        let mut other = loader(&data, config(workers));
        for step in [0, 1, 2, 3, 4, 5, 9, 2, 3, 7] {
            let batches = other.next(step).unwrap();
            assert_eq!(batches, expected[step as usize], "step {step}, {workers} workers");
            other.recycle(batches);
        }
    }
}

#[test]
fn rows_are_crop_major_and_each_is_the_crop_of_its_address() {
    let data = images(19);
    let config = config(2);
    let batch = loader(&data, config.clone()).next(5).unwrap().remove(0);
    assert_eq!(batch.groups.iter().map(CropGroup::rows).collect::<Vec<_>>(), [8, 12]);
    for (b, &index) in batch.image.iter().enumerate() {
        let image = data.read(index as usize, 1).unwrap();
        let at = Address { seed: 31, epoch: 1, image: index };
        let views = crops(&image, at, &config.crops, &config.augment);
        let mut view = views.iter();
        for group in &batch.groups {
            let Pixels::Bytes(pixels) = &group.pixels else { panic!() };
            let row = group.size * group.size;
            for v in 0..group.count {
                let at = (v * 4 + b) * row;
                assert_eq!(
                    &pixels[at..at + row],
                    &view.next().unwrap()[..],
                    "view {v} of image {index}"
                );
            }
        }
    }
}

#[test]
fn an_epoch_shows_each_image_once_and_drops_what_fills_no_step() {
    let data = images(19);
    let mut all = loader(&data, config(2));
    let mut epoch = |e: u64| -> Vec<u64> {
        (0..4).flat_map(|s| all.next(4 * e + s).unwrap().remove(0).image).collect()
    };
    let (first, second) = (epoch(0), epoch(1));
    let mut sorted = first.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), 16);
    assert_ne!(first, second);
}

#[test]
fn ranks_and_micro_batches_divide_the_same_step() {
    let data = images(19);
    let whole =
        loader(&data, LoaderConfig { batch: 8, ..config(1) }).next(1).unwrap().remove(0).image;
    for (world, accumulate, batch) in [(2, 1, 4), (1, 2, 4), (2, 2, 2), (4, 1, 2)] {
        let mut seen = Vec::new();
        for rank in 0..world {
            let config = LoaderConfig { batch, rank, world, accumulate, ..config(2) };
            let batches = loader(&data, config).next(1).unwrap();
            assert_eq!(batches.len(), accumulate);
            seen.extend(batches.into_iter().flat_map(|b| b.image));
        }
        assert_eq!(seen, whole, "world {world}, accumulate {accumulate}");
    }
}

#[test]
fn targets_are_view_major_labels() {
    let data = images(19);
    let batch =
        loader(&data, LoaderConfig { targets: true, ..config(2) }).next(0).unwrap().remove(0);
    let labels: Vec<i32> =
        batch.image.iter().map(|&i| data.label(i as usize).unwrap_or(-1)).collect();
    assert_eq!(batch.targets, labels.repeat(5));
}

#[test]
fn too_few_images_are_refused_with_the_numbers() {
    let error = Loader::new(images(3), config(1)).unwrap_err().to_string();
    assert!(error.contains("3 images do not fill one step of 4"), "{error}");
    assert!(matches!(Loader::new(images(3), config(1)), Err(Error::Data(_))));
}

/// A folder of `n` small PNG files of which those in `damaged` are text.
fn folder(n: usize, damaged: &[usize]) -> (tempfile::TempDir, Arc<Dataset>) {
    let dir = tempfile::tempdir().unwrap();
    let png =
        std::fs::read(format!("{}/images/testdata/rgba.png", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for i in 0..n {
        let bytes = if damaged.contains(&i) { b"damaged".as_slice() } else { &png };
        std::fs::write(dir.path().join(format!("{i:03}.png")), bytes).unwrap();
    }
    let data = Dataset::open(dir.path(), Part::Any, &DataConfig::default()).unwrap();
    (dir, Arc::new(data))
}

#[test]
fn a_bad_image_is_replaced_by_the_next_good_one_and_said_once() {
    let (_dir, data) = folder(16, &[5, 6, 15]);
    let mut expected = None;
    for workers in [1, 2, 3] {
        let mut loader = loader(&data, config(workers));
        let mut taken = Vec::new();
        for step in 0..8 {
            taken.extend(loader.next(step).unwrap().remove(0).image);
        }
        let mut bad = loader.take_bad();
        assert!(loader.take_bad().is_empty());
        assert_eq!(loader.bad_images(), 3);
        bad.sort_by_key(|record| record.index);
        let said: Vec<(u64, u64, &str)> =
            bad.iter().map(|r| (r.index, r.replaced_by, r.path.as_str())).collect();
        assert_eq!(said, [(5, 7, "005.png"), (6, 7, "006.png"), (15, 0, "015.png")]);
        assert!(bad.iter().all(|record| record.reason == "text, not an image"));
        let order = Permutation::new(16, 31, 0);
        let good = |i| match i {
            5 | 6 => 7,
            15 => 0,
            i => i,
        };
        assert_eq!(taken[..16], (0..16).map(|p| good(order.at(p))).collect::<Vec<_>>());
        assert_eq!(*expected.get_or_insert_with(|| taken.clone()), taken);
    }
}

#[test]
fn too_many_bad_images_stop_a_run_at_the_same_step_for_any_workers() {
    let damaged: Vec<usize> = (0..40).filter(|i| i % 3 == 0).collect();
    let (_dir, data) = folder(40, &damaged);
    let mut stopped = Vec::new();
    for workers in [1, 3] {
        let mut loader = loader(&data, config(workers));
        let step = (0..100).find(|&step| match loader.next(step) {
            Ok(_) => false,
            Err(Error::Data(refusal)) => {
                assert!(
                    refusal.what.starts_with("11 of 40") || refusal.what.starts_with("12 of 40")
                );
                true
            }
            Err(other) => panic!("{other}"),
        });
        stopped.push(step.unwrap());
    }
    assert_eq!(stopped[0], stopped[1]);
    // Allowed when told so.
    let mut tolerant = loader(&data, LoaderConfig { max_bad_fraction: 0.5, ..config(2) });
    assert!((0..20).all(|step| tolerant.next(step).is_ok()));
    assert_eq!(tolerant.bad_images(), 14);
}

#[test]
fn nothing_but_bad_images_is_an_error_not_a_hang() {
    let (_dir, data) = folder(8, &[0, 1, 2, 3, 4, 5, 6, 7]);
    let error = loader(&data, config(2)).next(0).unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
}

#[test]
fn a_worker_that_panics_is_an_error_not_a_hang() {
    // A programming mistake: crops of no size.
    let mut config = config(2);
    config.channels = 9;
    let start = Instant::now();
    let error = loader(&images(19), config).next(0).unwrap_err().to_string();
    assert!(error.contains("1 to 4 channels"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn dropping_a_loader_ends_its_threads_promptly() {
    let data = images(19);
    let mut loader = loader(&data, config(3));
    loader.next(0).unwrap();
    let start = Instant::now();
    drop(loader);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(Arc::strong_count(&data), 1);
}

/// Images of the folder $SWAV_BENCH_DATA through one worker, per second of processor time (Linux, whole process).
/// `SWAV_BENCH_DATA=photos cargo test --release -p swav --lib images_per_second -- --ignored --nocapture`
#[test]
#[ignore = "a timing, not a law"]
fn images_per_second() {
    let busy = || -> f64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    };
    let time = |name: &str, data: Dataset, crops: Vec<Crops>, channels: usize, steps: u64| {
        let batch = 16;
        let data = Arc::new(data);
        let config = LoaderConfig { crops, channels, batch, ..config(1) };
        let mut loader = loader(&data, config);
        let (start, before) = (Instant::now(), busy());
        for step in 0..steps {
            let made = loader.next(step).unwrap();
            loader.recycle(made);
        }
        let images = (steps + DEPTH as u64) as f64 * batch as f64;
        println!(
            "{name}: {:.0} images per second of processor time, {:.0} by the clock",
            images / (busy() - before),
            images / start.elapsed().as_secs_f64()
        );
    };
    let crops = |count, size, scale| Crops { count, size, scale, ratio: [0.75, 1.333_333] };
    let small = vec![crops(2, 28, [0.3, 1.0]), crops(4, 14, [0.1, 0.3])];
    time("demo, 2x28 + 4x14", crate::data::demo::train(), small, 1, 2000);
    if let Ok(path) = std::env::var("SWAV_BENCH_DATA") {
        let data = Dataset::open(path, Part::Any, &DataConfig::default()).unwrap();
        let large = vec![crops(2, 224, [0.14, 1.0]), crops(6, 96, [0.05, 0.14])];
        time("photos, 2x224 + 6x96", data, large, 3, 60);
    }
}

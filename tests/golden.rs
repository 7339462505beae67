//! The engine against training runs recorded in PyTorch, every tensor of every step.

use std::path::PathBuf;

use swav::device::{Device, Precision};
use swav::verify::trajectory::{Bounds, replay};
use swav_tests::data;

/// Runs recorded with the published recipe, whose f32 deviation the program knows.
const PUBLISHED: [&str; 3] = ["swav_basic_sgd_small_stem", "swav_bottleneck_lars", "swav_queue"];

/// Runs of `data/make_trajectory.py` with other blocks, widths, channels, crops, assigned crops, rounds,
/// temperatures, clipping and queues.
const OTHERS: [&str; 4] = [
    "basic_two_blocks_one_assigned",
    "bottleneck_clip_three_sizes",
    "queue_of_one_batch",
    "queue_small_epsilon",
];

fn folder(name: &str) -> PathBuf {
    data("trajectories").join(name)
}

/// Replays a run and fails with every tensor that is out of bounds, worst first.
fn holds(name: &str, precision: Precision, bounds: &Bounds) {
    let replay = replay(&folder(name), Device::Cpu, precision, 2, bounds).unwrap();
    assert!(replay.rows.len() > 20, "{name}: only {} tensors were compared", replay.rows.len());
    let mut out: Vec<_> = replay.rows.iter().filter(|r| !r.holds()).collect();
    out.sort_by(|a, b| b.error.partial_cmp(&a.error).unwrap());
    let lines: Vec<String> = out
        .iter()
        .map(|r| format!("  {} {:.2e} > {:.1e}", r.name, r.error.unwrap(), r.bound))
        .collect();
    assert!(out.is_empty(), "{name} in {precision:?}:\n{}", lines.join("\n"));
}

#[test]
fn published_runs_agree_in_f64() {
    for name in PUBLISHED {
        let bounds = Bounds::built_in(&folder(name), Precision::F64).unwrap();
        assert_eq!(bounds, Bounds::all(1e-9));
        holds(name, Precision::F64, &bounds);
    }
}

#[test]
fn published_runs_agree_in_f32_within_ten_times_the_deviation_of_pytorch() {
    for name in PUBLISHED {
        holds(name, Precision::F32, &Bounds::built_in(&folder(name), Precision::F32).unwrap());
    }
}

#[test]
fn other_runs_agree_in_f64() {
    for name in OTHERS {
        holds(name, Precision::F64, &Bounds::all(1e-9));
    }
}

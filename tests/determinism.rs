//! Same seed, same bits, whatever the number of threads and workers.

use swav::config::{Block, Optimizer, Stem};
use swav::device::Precision;
use swav::engine::Snapshot;
use swav::net::Network;
use swav_tests::networks::{batch, config, open, step};

const STEPS: u64 = 3;

/// The state after some steps in f32, with a queue and rows that no power of two divides.
fn state(threads: usize, stop_at: Option<u64>) -> Snapshot {
    let mut c = config(Block::Bottleneck, Stem::Imagenet);
    c.crops[0].size = 33;
    c.train.batch_size = 9;
    c.swav.queue_length = 9;
    c.optim.optimizer = Optimizer::Lars;
    c.model.width = Some(8);
    let network = Network::new(&c, 0).unwrap();
    let mut engine = open(&c, &network, Precision::F32, threads, 9);
    for t in 0..STEPS {
        engine.train_step(&[batch(&network, 9 * t, 9)], &step(t, 0.1, true)).unwrap();
        if stop_at == Some(t) {
            let snapshot = engine.snapshot().unwrap();
            engine = open(&c, &network, Precision::F32, threads, 9);
            engine.restore(&snapshot).unwrap();
        }
    }
    engine.snapshot().unwrap()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let one = state(1, None);
    for threads in [2, 3, 8] {
        assert!(state(threads, None) == one, "{threads} threads gave other bits than one");
    }
}

#[test]
fn an_engine_restored_goes_on_with_the_same_bits() {
    let undisturbed = state(2, None);
    for t in 0..STEPS {
        assert!(state(2, Some(t)) == undisturbed, "restored after step {t}: other bits");
    }
}

//! A whole training step of the two named cases, f32, on all threads; first held to the f64 engine.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use swav::device::{self, Device, Options, Precision};
use swav::engine::Step;
use swav::net::Network;
use swav_benches::batch;

fn step(number: u64) -> Step {
    Step { number, lr: 0.01, freeze_prototypes: false, queue: false, trace: false }
}

fn steps(c: &mut Criterion) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut group = c.benchmark_group("step");
    group.sample_size(10);
    for name in ["small-28", "resnet50-224"] {
        let config = swav::bench::case(name).expect("a named case");
        let network = Network::new(&config, 0).expect("a network");
        let images = config.train.batch_size;
        let batch = batch(&network, images);
        let open = |precision| {
            let device = Device::Cpu;
            let options =
                Options { device, threads, precision, images, accumulate: 1, training: true };
            device::open(&config, &network, &options).expect("the CPU is there")
        };
        let mut losses = [Precision::F32, Precision::F64].map(|precision| {
            let mut engine = open(precision);
            engine.train_step(std::slice::from_ref(&batch), &step(0)).expect("one rank");
            engine.stats().expect("after a step").loss
        });
        losses[0] -= losses[1];
        // Fifty layers round to 24 bits, codes amplify by 20.
        assert!(losses[0].abs() < 1e-3 * losses[1], "{name}: the loss differs by {}", losses[0]);
        let mut engine = open(Precision::F32);
        let mut number = 0;
        group.throughput(Throughput::Elements(images as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                engine.train_step(std::slice::from_ref(&batch), &step(number)).expect("one rank");
                number += 1;
                engine.stats()
            })
        });
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);

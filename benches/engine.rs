//! Inference of the engine: ResNet-50 at 224 pixels and the small network at 28, in images per second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use swav::device::{self, Device, Options, Precision};
use swav::engine::Output;
use swav::net::Network;
use swav_benches::batch;

fn forward(c: &mut Criterion) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut group = c.benchmark_group("forward");
    group.sample_size(10);
    for (name, images) in [("small-28", 64), ("resnet50-224", 4)] {
        let config = swav::bench::case(name).expect("a named case");
        let network = Network::new(&config, 0).expect("a network");
        let mut crops = batch(&network, images).groups.swap_remove(0);
        crops.count = 1;
        let bytes = images * crops.size * crops.size * crops.channels;
        let swav::batch::Pixels::Bytes(pixels) = &mut crops.pixels else { panic!("bytes") };
        pixels.truncate(bytes);
        let open = |precision| {
            let device = Device::Cpu;
            let options =
                Options { device, threads, precision, images, accumulate: 1, training: false };
            device::open(&config, &network, &options).expect("the CPU is there")
        };
        let mut engine = open(Precision::F32);
        let found = engine.forward(&crops, &Output::Embeddings).expect("embeddings");
        let exact = open(Precision::F64).forward(&crops, &Output::Embeddings).expect("embeddings");
        let error = swav_benches::largest_difference(&found, &exact.mapv(f64::from));
        // Unit rows after fifty layers of 24 bits.
        assert!(error < 1e-4, "{name}: embeddings differ from f64 by {error:e}");
        group.throughput(Throughput::Elements(images as u64));
        group.bench_function(name, |b| b.iter(|| engine.forward(&crops, &Output::Features)));
    }
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);

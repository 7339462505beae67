//! Times the training step of a named case without the program around it.
use swav::{bench, device::*};
fn main() {
    let name = std::env::args().nth(1).unwrap_or("small-28".into());
    let threads = std::env::args().nth(2).and_then(|t| t.parse().ok()).unwrap_or(2);
    let config = bench::case(&name).unwrap();
    let o = Options {
        device: Device::Cpu,
        threads,
        precision: Precision::F32,
        images: config.train.batch_size,
        accumulate: 1,
        training: true,
    };
    println!("{:#?}", bench::step(&name, &config, &o, 15.0).unwrap());
}

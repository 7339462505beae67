//! Small networks, drawn batches, and worlds of ranks as threads.

use std::thread;

use swav::batch::{Batch, CropGroup, Pixels};
use swav::config::{Block, Config, Crops, Method, Optimizer, Stem};
use swav::device::{self, Device, Options, Precision};
use swav::dist::threads;
use swav::engine::{Engine, Snapshot, Step, Tensors};
use swav::net::Network;
use swav::rng::{Stream, Use};

/// A configuration small enough to step in a millisecond: two resolutions, a hidden layer, seven prototypes.
pub fn config(block: Block, stem: Stem) -> Config {
    let mut c = Config { method: Method::Swav, ..Config::default() };
    let size = if stem == Stem::Imagenet { [20, 12] } else { [8, 6] };
    let crops = |count, size| Crops { count, size, scale: [0.14, 1.0], ratio: [0.75, 4.0 / 3.0] };
    c.crops = vec![crops(2, size[0]), crops(1, size[1])];
    c.model.backbone = "custom".into();
    c.model.block = Some(block);
    c.model.layers = Some(vec![1, 1]);
    c.model.width = Some(3);
    c.model.stem = stem;
    c.model.in_channels = 2;
    c.model.hidden = 6;
    c.model.output_dim = 5;
    c.model.prototypes = 7;
    c.augment.mean = vec![0.5];
    c.augment.std = vec![0.25];
    c.optim.optimizer = Optimizer::Sgd;
    c.optim.weight_decay = 1e-3;
    c.train.batch_size = 8;
    c
}

/// Drawn pixels for `images` images from number `first` on: an image's pixels depend on its number alone.
pub fn batch(network: &Network, first: u64, images: usize) -> Batch {
    of_images(network, &(first..first + images as u64).collect::<Vec<_>>())
}

/// Drawn pixels for the images of these numbers.
pub fn of_images(network: &Network, numbers: &[u64]) -> Batch {
    let channels = network.backbone.in_channels;
    let mut view = 0;
    let groups = network.groups.iter().map(|&(count, size)| {
        let mut pixels = Vec::new();
        for _ in 0..count {
            for &image in numbers {
                let mut draws = Stream::new(view, Use::Initialisation, image);
                let n = size * size * channels;
                let bytes = (0..n.div_ceil(4)).flat_map(|_| draws.bits().to_le_bytes()).take(n);
                pixels.extend(bytes);
            }
            view += 1;
        }
        CropGroup { count, size, channels, pixels: Pixels::Bytes(pixels) }
    });
    let groups = groups.collect();
    let targets = if network.objective.needs_targets() {
        let classes = network.objective.scores() as u64;
        let row = numbers.iter().map(|&i| (i % classes) as i32);
        (0..network.views()).flat_map(|_| row.clone()).collect()
    } else {
        Vec::new()
    };
    Batch { groups, image: numbers.to_vec(), targets }
}

/// An ordinary step.
pub fn step(number: u64, lr: f64, queue: bool) -> Step {
    Step { number, lr, freeze_prototypes: number == 0, queue, trace: true }
}

/// One rank's engine for `images` images a call.
pub fn open(
    config: &Config,
    network: &Network,
    precision: Precision,
    threads: usize,
    images: usize,
) -> Box<dyn Engine> {
    let options = options(precision, threads, images, config.train.accumulate);
    device::open(config, network, &options).unwrap()
}

fn options(precision: Precision, threads: usize, images: usize, accumulate: usize) -> Options {
    Options { device: Device::Cpu, threads, precision, images, accumulate, training: true }
}

/// What a rank has after its steps.
#[derive(Debug)]
pub struct End {
    /// Loss of each step.
    pub losses: Vec<f64>,
    /// Traces of each step.
    pub traces: Vec<Tensors>,
    /// The state.
    pub snapshot: Snapshot,
}

/// Steps in f64 on `world` ranks, each a thread of its own. `share(rank, t)` gives the micro-batches of a rank
/// at a step.
pub fn run(
    config: &Config,
    world: usize,
    steps: u64,
    queue: bool,
    share: impl Fn(&Network, usize, u64) -> Vec<Batch> + Sync,
) -> Vec<End> {
    let network = Network::new(config, 0).unwrap();
    let images = config.train.batch_size / world / config.train.accumulate;
    let options = options(Precision::F64, 1, images, config.train.accumulate);
    let (network, options, share) = (&network, &options, &share);
    thread::scope(|scope| {
        let ranks = threads::world(world).into_iter().enumerate().map(|(rank, comm)| {
            scope.spawn(move || {
                let mut engine =
                    device::open_rank(config, network, options, Box::new(comm)).unwrap();
                let (mut losses, mut traces) = (Vec::new(), Vec::new());
                for t in 0..steps {
                    engine.train_step(&share(network, rank, t), &step(t, 0.1, queue)).unwrap();
                    losses.push(engine.stats().unwrap().loss);
                    traces.push(engine.trace().unwrap());
                }
                End { losses, traces, snapshot: engine.snapshot().unwrap() }
            })
        });
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|r| r.join().unwrap()).collect()
    })
}

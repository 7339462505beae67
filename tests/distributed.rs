//! Ranks are a way to compute, not a way to train: any number of them takes the same steps.

use swav::batch::Batch;
use swav::config::{Block, Config, Optimizer, Stem, SyncBn};
use swav::net::Network;
use swav_tests::networks::{End, batch, config, of_images, run};
use swav_tests::tolerance::relative_norm;

const STEPS: u64 = 4;

/// Sums over ranks round in another order; three hundred terms of size 1, amplified by four steps of a network
/// whose norms divide by deviations of a tenth, stay far below this.
const TOLERANCE: f64 = 1e-10;

/// Tensors whose true value is zero, so that only rounding is left of them: the gradient of a bias in front of a
/// batch norm.
fn is_noise(name: &str) -> bool {
    name == "optim.momentum.projection_head.0.bias"
}

fn assert_same(what: &str, a: &End, b: &End, compared: impl Fn(&str) -> bool) {
    for (t, (x, y)) in a.losses.iter().zip(&b.losses).enumerate() {
        assert!((x - y).abs() <= TOLERANCE * y.abs(), "{what}: loss of step {t}: {x} and {y}");
    }
    let (a, b) = (&a.snapshot.tensors, &b.snapshot.tensors);
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{what}");
    for (name, tensor) in a.iter().filter(|(n, _)| !is_noise(n) && compared(n)) {
        assert_eq!(tensor.shape, b[name].shape, "{what}: {name}");
        let error = relative_norm(&tensor.to_f64(), &b[name].to_f64());
        assert!(error <= TOLERANCE, "{what}: {name} differs by {error:e}");
    }
}

/// Rank `rank` of `world` sees its share of the images of step `t`.
fn share(world: usize) -> impl Fn(&Network, usize, u64) -> Vec<Batch> + Sync {
    move |network, rank, t| {
        let each = 8 / world;
        vec![batch(network, 8 * t + (rank * each) as u64, each)]
    }
}

fn cases() -> Vec<(&'static str, Config)> {
    let plain = config(Block::Basic, Stem::Small);
    let mut queue = config(Block::Bottleneck, Stem::Imagenet);
    queue.swav.queue_length = 16;
    queue.optim.optimizer = Optimizer::Lars;
    // LARC turns the rounding noise of a zero gradient into a full step; a linear head has none.
    queue.model.hidden = 0;
    vec![("basic", plain), ("bottleneck with queue", queue)]
}

#[test]
fn two_and_four_ranks_take_the_steps_of_one() {
    for (name, config) in cases() {
        let queue = config.swav.queue_length > 0;
        let one = &run(&config, 1, STEPS, queue, share(1))[0];
        for world in [2, 4] {
            for (rank, end) in run(&config, world, STEPS, queue, share(world)).iter().enumerate() {
                assert_same(&format!("{name}, rank {rank} of {world}"), end, one, |_| true);
            }
        }
    }
}

#[test]
fn a_group_of_statistics_sees_only_itself() {
    // Four ranks in groups of two; the second group has the images of the first. Its statistics, its share of
    // the codes and of the loss are those of the first group alone.
    let mut grouped = config(Block::Basic, Stem::Small);
    grouped.train.batch_size = 16;
    grouped.train.sync_bn = SyncBn::Group(2);
    let twice = |network: &Network, rank: usize, t: u64| {
        vec![batch(network, 8 * t + 4 * (rank as u64 % 2), 4)]
    };
    let all = config(Block::Basic, Stem::Small);
    let one = &run(&all, 1, STEPS, false, share(1))[0];
    for (rank, end) in run(&grouped, 4, STEPS, false, twice).iter().enumerate() {
        assert_same(&format!("rank {rank} of two groups"), end, one, |_| true);
    }
    // And it does matter how large a group is.
    let mut alone = config(Block::Basic, Stem::Small);
    alone.train.sync_bn = SyncBn::Group(1);
    let end = &run(&alone, 2, STEPS, false, share(2))[0];
    assert!((end.losses[1] - one.losses[1]).abs() > 1e-6, "groups of one changed nothing");
}

#[test]
fn micro_batches_are_ranks_one_after_the_other() {
    // A micro-batch has its own batch statistics and shares codes and loss, like a rank whose statistics are
    // its own. Running statistics move once per micro-batch, so they are not compared.
    for (name, mut accumulated) in cases() {
        let queue = accumulated.swav.queue_length > 0;
        let mut ranks = accumulated.clone();
        ranks.train.sync_bn = SyncBn::Group(1);
        accumulated.train.accumulate = 2;
        let both = |network: &Network, _: usize, t: u64| {
            vec![batch(network, 8 * t, 4), batch(network, 8 * t + 4, 4)]
        };
        let a = &run(&accumulated, 1, STEPS, queue, both)[0];
        let b = &run(&ranks, 2, STEPS, queue, share(2))[0];
        assert_same(name, a, b, |n| !n.contains("running"));
    }
}

#[test]
fn a_repeated_micro_batch_changes_nothing_but_running_statistics() {
    let mut twice = config(Block::Bottleneck, Stem::Small);
    let once = twice.clone();
    twice.train.accumulate = 2;
    twice.train.batch_size = 16;
    let one = &run(&once, 1, STEPS, false, share(1))[0];
    let same = |network: &Network, _: usize, t: u64| vec![batch(network, 8 * t, 8); 2];
    let two = &run(&twice, 1, STEPS, false, same)[0];
    assert_same("a micro-batch twice", two, one, |n| !n.contains("running"));
}

#[test]
fn codes_see_the_whole_virtual_batch() {
    // Two micro-batches of the same images in another order: the codes of an image depend on the population,
    // not on its place in it.
    let mut c = config(Block::Basic, Stem::Small);
    c.train.accumulate = 2;
    let codes = |numbers: [u64; 8]| {
        let halves = move |network: &Network, _: usize, _: u64| {
            vec![of_images(network, &numbers[..4]), of_images(network, &numbers[4..])]
        };
        run(&c, 1, 1, false, halves)[0].traces[0]["codes0"].to_f64()
    };
    let (a, b) = (codes([0, 1, 2, 3, 4, 5, 6, 7]), codes([4, 5, 6, 7, 0, 1, 2, 3]));
    let k = a.len() / 8;
    assert_eq!(k, 7, "codes of all images of the step");
    for image in 0..8 {
        let at = (image + 4) % 8;
        let error = relative_norm(&b[at * k..(at + 1) * k], &a[image * k..(image + 1) * k]);
        assert!(error <= TOLERANCE, "codes of image {image} differ by {error:e}");
    }
}

//! The gradient of a whole step, for random small networks in f64, against central differences.
//!
//! Codes carry no gradient, so the loss is differenced with the codes of the middle point. A kink (a ReLU or a
//! largest value that changes sides) within ±h shows in the differences alone: that of half the distance is
//! another one. Such draws are counted, and rejected without a look at the gradient under test.

use swav::config::{Block, Config, Method, Stem};
use swav::device::Precision;
use swav::engine::{Engine, Snapshot, Tensor, Tensors};
use swav::net::Network;
use swav::rng::{Stream, Use};
use swav_core::loss::swapped::{Swapped, swapped};
use swav_tests::networks::{batch, config, open, step};
use swav_tests::tolerance::{relative_norm, sum_of};

use ndarray::Array2;

const H: f64 = 1e-5;
const IMAGES: usize = 4;

/// Uniform in [-1, 1).
fn unit(rng: &mut Stream) -> f64 {
    2.0 * rng.uniform() - 1.0
}

fn pick<T: Copy>(rng: &mut Stream, from: &[T]) -> T {
    from[rng.bits() as usize % from.len()]
}

fn draw(rng: &mut Stream, method: Method) -> Config {
    let mut c = config(
        pick(rng, &[Block::Basic, Block::Bottleneck]),
        pick(rng, &[Stem::Small, Stem::Imagenet]),
    );
    c.method = method;
    c.model.layers = Some(pick(rng, &[&[1][..], &[2], &[1, 1], &[2, 1]]).to_vec());
    c.model.width = Some(pick(rng, &[2, 3, 4]));
    c.model.in_channels = pick(rng, &[1, 2, 3]);
    c.model.hidden = pick(rng, &[0, 5]);
    c.seed = u64::from(rng.bits());
    c.train.batch_size = IMAGES;
    c
}

fn matrix(t: &Tensor) -> Array2<f64> {
    Array2::from_shape_vec((t.shape[0], t.shape[1]), t.to_f64()).unwrap()
}

/// The engine at a point of parameter space.
struct Point<'a> {
    engine: Box<dyn Engine>,
    config: &'a Config,
    network: &'a Network,
    /// Codes of the middle point, when the loss has codes.
    codes: Option<Array2<f64>>,
}

impl Point<'_> {
    fn trace(&mut self, at: &Tensors) -> Tensors {
        self.engine.restore(&Snapshot { tensors: at.clone(), ..Snapshot::default() }).unwrap();
        // A learning rate of zero: the step computes everything and changes no parameter.
        let mut step = step(0, 0.0, false);
        step.freeze_prototypes = false;
        self.engine.train_step(&[batch(self.network, 0, IMAGES)], &step).unwrap();
        self.engine.trace().unwrap()
    }

    fn swapped(&self) -> Swapped<'_> {
        Swapped {
            views: self.network.views(),
            assign: &self.config.swav.crops_for_assign,
            temperature: self.config.swav.temperature,
            batch_total: IMAGES,
        }
    }

    fn loss(&mut self, at: &Tensors) -> f64 {
        let trace = self.trace(at);
        match &self.codes {
            Some(codes) => swapped(&matrix(&trace["scores"]), codes, self.swapped()).unwrap().0,
            None => trace["loss"].to_f64()[0],
        }
    }
}

fn moved(at: &Tensors, along: &Tensors, h: f64) -> Tensors {
    let shift = |(name, t): (&String, &Tensor)| {
        let values = match along.get(name) {
            Some(d) => t.to_f64().iter().zip(d.to_f64()).map(|(v, d)| v + h * d).collect(),
            None => t.to_f64(),
        };
        (name.clone(), Tensor::f64(t.shape.clone(), values))
    };
    at.iter().map(shift).collect()
}

/// Runs draws until `wanted` have held.
fn gradients_hold(method: Method, wanted: usize) {
    let mut rng = Stream::new(7, Use::Initialisation, 0);
    let (mut held, mut kinked) = (0, 0);
    while held < wanted {
        let config = draw(&mut rng, method);
        let network = Network::new(&config, 3).unwrap();
        let engine = open(&config, &network, Precision::F64, 1, IMAGES);
        let mut point = Point { engine, config: &config, network: &network, codes: None };
        let mut at = point.engine.snapshot().unwrap().tensors;
        at.retain(|name, _| name.starts_with("model."));
        // Norms away from 1 and 0; prototypes stay, they are made unit vectors before the forward pass.
        let mut noise = Tensors::new();
        for (name, t) in &at {
            if !name.contains("running") && !name.ends_with("prototypes.weight") {
                let values = (0..t.len()).map(|_| unit(&mut rng)).collect();
                noise.insert(name.clone(), Tensor::f64(t.shape.clone(), values));
            }
        }
        let at = moved(&at, &noise, 0.3);
        let along: Tensors = noise
            .iter()
            .map(|(n, t)| {
                let values = (0..t.len()).map(|_| unit(&mut rng)).collect();
                (n.clone(), Tensor::f64(t.shape.clone(), values))
            })
            .collect();
        let middle = point.trace(&at);
        if method == Method::Swav {
            let codes: Vec<f64> = (0..config.swav.crops_for_assign.len())
                .flat_map(|i| middle[&format!("codes{i}")].to_f64())
                .collect();
            let k = config.model.prototypes;
            point.codes = Some(Array2::from_shape_vec((codes.len() / k, k), codes).unwrap());
            check_prototypes(&point, &middle);
        }
        let mut difference = |h: f64| {
            (point.loss(&moved(&at, &along, h)) - point.loss(&moved(&at, &along, -h))) / (2.0 * h)
        };
        let (whole, half) = (difference(H), difference(H / 2.0));
        let (mut found, mut square) = (0.0, 0.0);
        for (name, d) in &along {
            let grad = &middle[&format!("grad.{}", name.strip_prefix("model.").unwrap())];
            assert_eq!(grad.shape, d.shape, "{name}");
            for (g, d) in grad.to_f64().iter().zip(d.to_f64()) {
                found += g * d;
                square += g * g;
            }
        }
        let scale = square.sqrt();
        assert!(scale > 1e-3, "a gradient of size {scale} proves nothing");
        if (whole - half).abs() > 1e-6 * scale {
            kinked += 1;
            continue;
        }
        held += 1;
        assert!(
            (found - half).abs() <= 1e-6 * scale,
            "{}: {found} instead of {half}, size {scale}",
            network.summary()
        );
    }
    assert!(kinked <= wanted / 2, "{kinked} of {} draws crossed a kink", held + kinked);
}

/// The prototypes' gradient is the scores' gradient, transposed, times the embeddings.
fn check_prototypes(point: &Point<'_>, middle: &Tensors) {
    let codes = point.codes.as_ref().unwrap();
    let (loss, scores) = swapped(&matrix(&middle["scores"]), codes, point.swapped()).unwrap();
    let recorded = middle["loss"].to_f64()[0];
    assert!((loss - recorded).abs() <= sum_of(1000, loss), "{loss} and {recorded}");
    let want = scores.t().dot(&matrix(&middle["embeddings"]));
    let found = middle["grad.prototypes.weight"].to_f64();
    let error = relative_norm(&found, want.as_standard_layout().as_slice().unwrap());
    // Sums over 12 rows of values below 1, relative to a sum that may cancel to a hundredth of its terms.
    assert!(error <= 100.0 * sum_of(12, 1.0), "prototypes: {error:e}");
}

#[test]
fn swapped_prediction() {
    gradients_hold(Method::Swav, 24);
}

#[test]
fn contrastive() {
    gradients_hold(Method::Simclr, 12);
}

#[test]
fn cross_entropy() {
    gradients_hold(Method::Supervised, 12);
}

//! What the fuzz targets hold, as functions of bytes: `fuzz/` feeds them new bytes, the tests the kept ones.

use ndarray::Array2;
use swav::checkpoint;
use swav::config::{Block, Config, Crops, Stem, load};
use swav::container;
use swav::net::Network;
use swav::net::plan::{Flow, Mode, Plan};
use swav::{npy, npz};
use swav_core::{Error, Real, Rounds, codes};
use swav_images::decode;

mod transport;

pub use transport::any_transport;

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them; a folder of `fuzz/corpus` and a file of `fuzz/fuzz_targets` each.
pub const TARGETS: [Target; 7] = [
    ("codes", any_scores),
    ("config", any_config),
    ("checkpoint", any_checkpoint),
    ("decode", any_image),
    ("plan", any_network),
    ("npy", any_array),
    ("transport", any_transport),
];

/// Takes numbers off the front of the bytes; zero when they have run out.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let n = self.0.len().min(N);
        out[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        out
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.array::<1>()[0]) % n
    }

    /// A number from 10 to the power of −`most` to 10 to the power of `most`.
    fn power(&mut self, most: f64) -> f64 {
        10_f64.powf(most * f64::from(i16::from_le_bytes(self.array())) / 32768.0)
    }
}

/// Finite scores in ±1e4 and ε in [1e-3, 10] give codes; anything else codes or an error, never a panic.
pub fn any_scores(bytes: &[u8]) {
    let mut b = Bytes(bytes);
    let (rows, k, rounds) = (b.below(9), b.below(9), b.below(12) as u32);
    let tame = b.below(2) == 1;
    // An exponent from -3 to 1 when tame, any bits at all when not.
    let epsilon = if tame {
        10_f64.powf(-3.0 + 4.0 * b.below(256) as f64 / 255.0)
    } else {
        f64::from_le_bytes(b.array())
    };
    let values: Vec<f64> = (0..rows * k)
        .map(|_| {
            if tame {
                1e4 * f64::from(i16::from_le_bytes(b.array())) / 32768.0
            } else {
                f64::from_le_bytes(b.array())
            }
        })
        .collect();
    let sinkhorn = Rounds { epsilon, iterations: rounds };
    let must = tame && rounds > 0;
    hold::<f64>(rows, k, &values, sinkhorn, must);
    hold::<f32>(rows, k, &values.iter().map(|&v| v as f32).collect::<Vec<_>>(), sinkhorn, must);
}

fn hold<T: Real + std::fmt::Debug>(rows: usize, k: usize, scores: &[T], s: Rounds, must: bool) {
    let scores = Array2::from_shape_vec((rows, k), scores.to_vec()).expect("rows times k values");
    match codes(&scores, s) {
        Ok(q) => {
            for row in q.rows() {
                assert!(
                    row.iter().all(|v| v.is_finite() && *v >= T::ZERO),
                    "{row:?} of {scores:?}"
                );
                let sum: f64 = row.iter().map(|v| v.to_f64()).sum();
                let epsilon =
                    if size_of::<T>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
                // K values, each rounded once when made and once when added.
                assert!(
                    k == 0 || (sum - 1.0).abs() <= 2.0 * k as f64 * epsilon,
                    "{sum} of {scores:?}"
                );
            }
        }
        Err(Error::NonFinite { .. }) => assert!(scores.iter().any(|v| !v.is_finite())),
        Err(e) => assert!(!must, "{e} for {scores:?} with {s:?}"),
    }
}

/// Any text is a configuration or an error; a configuration survives being written and read.
pub fn any_config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(config) = load::parse(text, "fuzzed") else { return };
    let written = load::to_toml(&config);
    let read = load::parse(&written, "written").expect("what was written is read");
    // NaN is no equal of itself; the text is.
    assert_eq!(load::to_toml(&read), written);
    let _ = swav::config::validate::validate(&config);
}

/// Any bytes are a whole checkpoint or an error that says why.
pub fn any_checkpoint(bytes: &[u8]) {
    if let Err(why) = checkpoint::parse(bytes) {
        assert!(!why.is_empty());
    }
    if let Ok(file) = container::File::parse(bytes) {
        let digest = file.digest();
        assert_eq!(digest.len(), 64, "{digest}");
        for entry in file.entries() {
            let _ = entry.tensor();
        }
    }
}

/// Any bytes are an array, whose file says the same, or a reason; any are an archive of arrays or a reason.
pub fn any_array(bytes: &[u8]) {
    match npy::parse(bytes) {
        Ok(array) => {
            let written = array.to_bytes();
            let read = npy::parse(&written).expect("what was written is read");
            // NaN is no equal of itself; its bytes are.
            assert_eq!(read.shape, array.shape);
            assert_eq!(read.to_bytes(), written);
        }
        Err(why) => assert!(!why.0.is_empty() && why.0.len() < 1000, "{why}"),
    }
    if let Err(why) = npz::parse(bytes) {
        assert!(!why.0.is_empty());
    }
}

/// Any bytes are an image of the asked number of channels or a reason.
pub fn any_image(bytes: &[u8]) {
    for channels in 1..=4 {
        match decode(bytes, channels, true) {
            Ok(image) => {
                assert_eq!(image.channels, channels);
                assert_eq!(image.pixels.len(), image.width * image.height * channels);
                assert!(image.width > 0 && image.height > 0);
            }
            Err(bad) => assert!(!bad.reason.is_empty() && bad.reason.len() < 1000),
        }
    }
}

/// Any network is a sound plan or an error.
pub fn any_network(bytes: &[u8]) {
    let mut b = Bytes(bytes);
    let mut c = Config::default();
    c.model.backbone = "custom".into();
    c.model.block = Some([Block::Basic, Block::Bottleneck][b.below(2)]);
    c.model.stem = [Stem::Small, Stem::Imagenet][b.below(2)];
    c.model.layers = Some((0..b.below(6)).map(|_| b.below(4)).collect());
    c.model.width = Some(b.below(6));
    c.model.in_channels = b.below(5);
    c.model.hidden = b.below(5);
    c.model.output_dim = b.below(5);
    c.model.prototypes = b.below(5);
    let crops = |b: &mut Bytes<'_>| Crops {
        count: b.below(4),
        size: b.below(40),
        scale: [0.1, 1.0],
        ratio: [0.75, 1.25],
    };
    c.crops = (0..b.below(4)).map(|_| crops(&mut b)).collect();
    let rows = 1 + b.below(4);
    let _ = swav::config::validate::validate(&c);
    let Ok(network) = Network::new(&c, 0) else { return };
    for &(_, size) in &network.groups {
        whole(&network.backbone_plan(rows, size, Mode::Train));
        whole(&network.backbone_plan(rows, size, Mode::Infer { keep: None }));
    }
    whole(&network.head_plan(rows, Mode::Train));
}

/// Shapes chain, buffers hold their slots, and every gradient has exactly one first writer.
fn whole(plan: &Plan) {
    let slots = plan.shapes.len();
    assert_eq!((plan.buffer.len(), plan.ops.len() + 1), (slots, slots));
    let mut made = vec![false; slots];
    made[0] = true;
    for op in &plan.ops {
        assert!(made[op.input], "{} reads what is not there", op.name);
        assert_eq!(
            (op.from, op.to),
            (plan.shapes[op.input], plan.shapes[op.output]),
            "{}",
            op.name
        );
        assert!(!std::mem::replace(&mut made[op.output], true), "{} writes again", op.name);
        if let Some(r) = op.norm().and_then(|n| n.residual) {
            assert!(made[r] && plan.shapes[r] == op.to, "{}: its residual", op.name);
        }
    }
    for slot in 0..slots {
        assert!(plan.buffers[plan.buffer[slot]] >= plan.len(slot), "slot {slot}");
    }
    if plan.mode == Mode::Train {
        for slot in 1..slots - 1 {
            let first = |flow: Flow| usize::from(flow == Flow::Assign);
            let writers: usize = (plan.ops.iter())
                .map(|op| {
                    let residual = op.norm().and_then(|n| n.residual) == Some(slot);
                    first(op.grad_input) * usize::from(op.input == slot)
                        + first(op.grad_residual) * usize::from(residual)
                })
                .sum();
            assert_eq!(writers, 1, "first writers of the gradient of slot {slot}");
        }
    }
}

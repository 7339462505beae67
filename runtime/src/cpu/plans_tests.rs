//! Random small plans, all ops, in f64: the walk in reverse against central differences along random directions.

use swav_kernels::scratch::Scratch;

use super::memory::{Gradients, Memory};
use super::walk::{Context, Running, backward, forward};
use crate::dist::Solo;
use crate::net::params::{ParamId, Params};
use crate::net::plan::{Builder, Kind, Mode, Plan, Shape, Slot};
use crate::rng::{Stream, Use};

/// Half the distance of the two points. With f''' and f of order 1 and rounding of order 1e-15, truncation is
/// h²/6 ≈ 2e-11 and rounding 1e-15/h ≈ 1e-10.
const H: f64 = 1e-5;

/// A number from `least..=most`.
fn pick(random: &mut Stream, least: usize, most: usize) -> usize {
    least + random.below((most - least + 1) as u64) as usize
}

fn coin(random: &mut Stream) -> bool {
    random.bernoulli(0.5)
}

/// Uniform in [-1, 1).
fn values(random: &mut Stream, len: usize) -> Vec<f64> {
    (0..len).map(|_| random.range(-1.0, 1.0)).collect()
}

/// A stem, up to three blocks, pools, and a head.
fn build(random: &mut Stream, params: &mut Params, rows: usize) -> Plan {
    let from = Shape { h: pick(random, 6, 11), w: pick(random, 6, 11), c: pick(random, 1, 3) };
    let mut b = Builder::new(params, from);
    let imagenet = coin(random);
    let x = b.conv(
        "conv1",
        0,
        pick(random, 2, 4),
        if imagenet { 7 } else { 3 },
        1 + usize::from(imagenet),
    );
    let mut x = b.norm("bn1", x, None, true);
    if imagenet {
        x = b.max_pool("maxpool", x, 3, 2, 1);
    }
    for i in 0..pick(random, 1, 3) {
        x = block(random, &mut b, x, i);
        if pick(random, 0, 4) == 0 && b.shape(x).h.min(b.shape(x).w) > 2 {
            x = b.max_pool(&format!("pool{i}"), x, 3, 2, 1);
        }
    }
    x = b.avg_pool("avgpool", x);
    if coin(random) {
        x = b.linear("fc1", x, pick(random, 2, 5), true);
        if coin(random) {
            x = b.norm("bnfc", x, None, coin(random));
        }
    }
    x = b.linear("fc2", x, pick(random, 2, 5), coin(random));
    b.l2_norm("l2", x);
    b.finish(rows, Mode::Train, true)
}

/// One to three convolutions, around them nothing, the identity, or a convolution of its own.
fn block(random: &mut Stream, b: &mut Builder<'_>, x: Slot, i: usize) -> Slot {
    let from = b.shape(x);
    let stride = if from.h.min(from.w) > 3 { pick(random, 1, 2) } else { 1 };
    let planes = if coin(random) { from.c } else { pick(random, 2, 4) };
    let residual = match pick(random, 0, 2) {
        0 => None,
        _ if stride == 1 && planes == from.c => Some(x),
        _ => {
            let y = b.conv(&format!("skip{i}"), x, planes, 1, stride);
            Some(if coin(random) {
                b.norm(&format!("bnskip{i}"), y, None, coin(random))
            } else {
                y
            })
        }
    };
    let mut y = b.conv(&format!("a{i}"), x, planes, [1, 3][pick(random, 0, 1)], stride);
    if coin(random) {
        if coin(random) {
            y = b.norm(&format!("bna{i}"), y, None, coin(random));
        }
        y = b.conv(&format!("b{i}"), y, planes, [1, 3][pick(random, 0, 1)], 1);
    }
    if residual.is_some() || coin(random) {
        y = b.norm(&format!("norm{i}"), y, residual, coin(random));
    }
    y
}

/// Everything that a pass needs, and the loss ⟨weights, output⟩.
struct Trial {
    plan: Plan,
    params: Params,
    weights: Vec<f64>,
    memory: Memory<f64>,
    scratch: Scratch<f64>,
}

impl Trial {
    /// The loss, and which side of every kink each value is on: ReLUs and places of the largest.
    fn run(&mut self, values: &[f64], input: &[f64]) -> (f64, Vec<usize>) {
        self.memory.input(&self.plan).copy_from_slice(input);
        let mut cx = Context {
            table: &self.params,
            params: values,
            comm: &Solo,
            scratch: &mut self.scratch,
        };
        forward(&self.plan, &mut self.memory, &mut cx, Running::Keep).expect("one rank");
        let output = self.memory.slot(&self.plan, self.plan.output());
        let loss = output.iter().zip(&self.weights).map(|(y, w)| y * w).sum();
        let mut sides = Vec::new();
        for op in &self.plan.ops {
            let y = self.memory.slot(&self.plan, op.output);
            if op.norm().is_some_and(|n| n.relu) {
                sides.extend(y.iter().map(|&v| usize::from(v > 0.0)));
            }
            if let Kind::MaxPool { kernel, stride, pad } = op.kind {
                let x = self.memory.slot(&self.plan, op.input);
                sides.extend(places(x, self.plan.rows, op.from, op.to, kernel, stride, pad));
            }
        }
        (loss, sides)
    }

    /// Gradients of the parameters and of the input, at the point of the last `run`.
    fn gradient(&mut self, values: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let mut gradients = Gradients::new([&self.plan].into_iter());
        gradients.output(&self.plan).copy_from_slice(&self.weights);
        let mut grads = vec![0.0; values.len()];
        let mut cx = Context {
            table: &self.params,
            params: values,
            comm: &Solo,
            scratch: &mut self.scratch,
        };
        backward(&self.plan, &mut self.memory, &mut gradients, &mut cx, &mut grads)
            .expect("one rank");
        (grads, gradients.slot(&self.plan, 0).to_vec())
    }
}

/// Place of the largest value of each window.
fn places(
    x: &[f64],
    rows: usize,
    from: Shape,
    to: Shape,
    kernel: usize,
    stride: usize,
    pad: usize,
) -> Vec<usize> {
    let mut out = Vec::with_capacity(rows * to.len());
    for row in x.chunks_exact(from.len()) {
        for i in 0..to.len() {
            let (oh, ow, c) = (i / (to.w * to.c), i / to.c % to.w, i % to.c);
            let inside = (0..kernel * kernel).filter_map(|k| {
                let h = (oh * stride + k / kernel).checked_sub(pad)?;
                let w = (ow * stride + k % kernel).checked_sub(pad)?;
                (h < from.h && w < from.w).then_some((h * from.w + w) * from.c + c)
            });
            let best = inside.max_by(|&a, &b| row[a].total_cmp(&row[b]));
            out.push(best.expect("a window has a pixel"));
        }
    }
    assert_eq!(out.len(), rows * to.len());
    out
}

#[test]
fn gradients_of_random_plans_are_central_differences() {
    const PLANS: usize = 60;
    let mut random = Stream::new(20, Use::Initialisation, 0);
    let (mut held, mut kinked, mut seen) = (0, 0, std::collections::BTreeSet::new());
    while held < PLANS {
        let rows = pick(&mut random, 3, 6);
        let mut params = Params::default();
        let plan = build(&mut random, &mut params, rows);
        let mut point = vec![0.0; params.buffer_len()];
        for (i, p) in params.entries().iter().enumerate() {
            // Norms away from 1 and 0, everything else as drawn at the start of a run.
            let start = params.initial(ParamId(i), random.bits64());
            for (v, s) in point[p.range()].iter_mut().zip(start) {
                *v = s + 0.3 * random.range(-1.0, 1.0);
            }
        }
        let input: Vec<f64> = values(&mut random, plan.len(0));
        let weights: Vec<f64> = values(&mut random, plan.len(plan.output()));
        let along: Vec<f64> = values(&mut random, point.len());
        let along_input: Vec<f64> = values(&mut random, input.len());
        let memory = Memory::new(&plan);
        let mut trial = Trial { plan, params, weights, memory, scratch: Scratch::default() };
        let step = |at: &[f64], to: &[f64], h: f64| -> Vec<f64> {
            at.iter().zip(to).map(|(a, d)| a + h * d).collect()
        };
        let ends =
            [-H, H].map(|h| trial.run(&step(&point, &along, h), &step(&input, &along_input, h)));
        let (_, sides) = trial.run(&point, &input);
        if ends.iter().any(|(_, s)| *s != sides) {
            kinked += 1;
            continue;
        }
        let difference = (ends[1].0 - ends[0].0) / (2.0 * H);
        let (grads, grad_input) = trial.gradient(&point);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let found = dot(&grads, &along) + dot(&grad_input, &along_input);
        // A random direction has about the size ‖g‖ of unit components; it may be smaller by chance, the
        // rounding of the difference is not.
        let scale = (dot(&grads, &grads) + dot(&grad_input, &grad_input)).sqrt();
        assert!(
            (found - difference).abs() <= 1e-6 * scale,
            "{:?}: {found} instead of {difference}, scale {scale}",
            trial.plan.ops
        );
        assert!(scale > 1e-3, "a gradient of size {scale} proves nothing");
        held += 1;
        for op in &trial.plan.ops {
            seen.insert(match &op.kind {
                Kind::Conv { norm: None, .. } => "conv",
                Kind::Conv { norm: Some(n), .. } if n.residual.is_some() => "conv, norm, residual",
                Kind::Conv { norm: Some(_), .. } => "conv, norm",
                Kind::Linear { norm: None, .. } => "linear",
                Kind::Linear { norm: Some(_), .. } => "linear, norm",
                Kind::MaxPool { .. } => "max-pool",
                Kind::AvgPool => "avg-pool",
                Kind::L2Norm => "l2",
            });
        }
    }
    assert_eq!(seen.len(), 8, "ops that were drawn: {seen:?}");
    // A plan has some hundred kinks, each crossed with a probability of about h: one draw in a hundred, or so.
    assert!(kinked <= PLANS / 4, "{kinked} of {} draws crossed a kink", held + kinked);
}

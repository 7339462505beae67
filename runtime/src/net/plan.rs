//! The network as data: the ops of one pass in order, with shapes, slots, and who writes which gradient first.
//!
//! A plan is built once, finished once, and then only walked: forwards, and in reverse for the gradient. All
//! shapes are known before the first step. A convolution and the norm, residual and ReLU that follow it are one
//! op, because every convolution of a ResNet is followed by its norm and every fast kernel crosses that line.
//! There are no rewriting passes: what should be fused is built fused.

use super::params::{Init, ParamId, Params, Role, StatId};

/// Index of an activation.
pub type Slot = usize;

/// Extent of one row of a slot: height, width, channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Height in pixels.
    pub h: usize,
    /// Width in pixels.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// A row without extent: features, embeddings.
    pub fn flat(c: usize) -> Self {
        Self { h: 1, w: 1, c }
    }

    /// Values in a row.
    pub fn len(self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether a row holds no value.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Pixels in a row.
    pub fn pixels(self) -> usize {
        self.h * self.w
    }
}

/// Batch normalisation, then an optional residual, then an optional ReLU:
/// `relu(scale · (x − mean) / √(var + 1e-5) + shift + residual)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// γ, per channel.
    pub scale: ParamId,
    /// β, per channel.
    pub shift: ParamId,
    /// Running mean.
    pub mean: StatId,
    /// Running variance (unbiased).
    pub var: StatId,
    /// Slot that is added before the ReLU.
    pub residual: Option<Slot>,
    /// Whether negative values become zero.
    pub relu: bool,
}

/// The op kinds. A further one needs a paragraph in `DESIGN.md`.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Square convolution without bias, then its norm.
    Conv {
        /// Weight, K R S C in memory.
        weight: ParamId,
        /// Height and width of the kernel.
        kernel: usize,
        /// Step in both directions.
        stride: usize,
        /// Zeros around the image.
        pad: usize,
        /// What follows.
        norm: Option<Norm>,
    },
    /// `x · Wᵀ + bias`, then its norm.
    Linear {
        /// Weight `[out, in]`.
        weight: ParamId,
        /// Bias `[out]`.
        bias: Option<ParamId>,
        /// What follows.
        norm: Option<Norm>,
    },
    /// Largest value of each square window.
    MaxPool {
        /// Height and width of the window.
        kernel: usize,
        /// Step in both directions.
        stride: usize,
        /// Border that is never the largest.
        pad: usize,
    },
    /// Mean over all pixels.
    AvgPool,
    /// Each row divided by max(‖row‖, 1e-12).
    L2Norm,
}

/// What the walk in reverse does with a gradient that this op sends back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Nobody wants it (the pixels), or there is none.
    Skip,
    /// First writer: overwrite.
    Assign,
    /// A later writer: add.
    Accumulate,
}

/// One op of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Published name of the layer, `layer3.2.conv2`.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// Slot it reads.
    pub input: Slot,
    /// Slot it writes.
    pub output: Slot,
    /// Extent of an input row.
    pub from: Shape,
    /// Extent of an output row.
    pub to: Shape,
    /// How the gradient of the input is written.
    pub grad_input: Flow,
    /// How the gradient of the residual is written.
    pub grad_residual: Flow,
}

impl Op {
    /// The norm of the op, if it has one.
    pub fn norm(&self) -> Option<&Norm> {
        match &self.kind {
            Kind::Conv { norm, .. } | Kind::Linear { norm, .. } => norm.as_ref(),
            _ => None,
        }
    }

    /// Multiplications and additions of the forward pass per row.
    fn flops(&self) -> u64 {
        match &self.kind {
            Kind::Conv { kernel, .. } => 2 * (self.to.len() * self.from.c * kernel * kernel) as u64,
            Kind::Linear { .. } => 2 * (self.from.len() * self.to.len()) as u64,
            _ => 0,
        }
    }
}

/// Whether a plan keeps what the gradient needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every slot stays until the walk in reverse has used it.
    Train,
    /// Running statistics; a slot's memory is reused as soon as its last reader is done.
    /// The slot in `keep` lives to the end, beside the output.
    Infer {
        /// A slot to keep.
        keep: Option<Slot>,
    },
}

/// Ops in execution order for one input shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Rows of every slot.
    pub rows: usize,
    /// Training or inference.
    pub mode: Mode,
    /// The ops.
    pub ops: Vec<Op>,
    /// Extent of a row of each slot; slot 0 is the input.
    pub shapes: Vec<Shape>,
    /// Buffer of each slot's activation.
    pub buffer: Vec<usize>,
    /// Values in each activation buffer.
    pub buffers: Vec<usize>,
    /// Buffer of each slot's gradient (empty for inference).
    pub grad_buffer: Vec<usize>,
    /// Values in each gradient buffer (empty for inference).
    pub grad_buffers: Vec<usize>,
}

impl Plan {
    /// The slot that holds the result.
    pub fn output(&self) -> Slot {
        self.ops.last().map_or(0, |op| op.output)
    }

    /// Values in a slot.
    pub fn len(&self, slot: Slot) -> usize {
        self.rows * self.shapes[slot].len()
    }

    /// Whether the plan has no op: its output is its input.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The output slot of a named op.
    pub fn find(&self, name: &str) -> Option<Slot> {
        self.ops.iter().find(|op| op.name == name).map(|op| op.output)
    }

    /// Multiplications and additions of one forward pass.
    pub fn flops(&self) -> u64 {
        self.rows as u64 * self.ops.iter().map(Op::flops).sum::<u64>()
    }

    /// Multiplications and additions of one forward and backward pass: the input's gradient and the weight's
    /// each cost as much as the forward pass, except that nobody wants the gradient of the pixels.
    pub fn training_flops(&self) -> u64 {
        let per_row = |op: &Op| op.flops() * if op.grad_input == Flow::Skip { 2 } else { 3 };
        self.rows as u64 * self.ops.iter().map(per_row).sum::<u64>()
    }
}

/// Builds a plan op by op; the methods read like a layer library and return slots.
#[derive(Debug)]
pub struct Builder<'a> {
    params: &'a mut Params,
    ops: Vec<Op>,
    shapes: Vec<Shape>,
}

impl<'a> Builder<'a> {
    /// An empty plan whose slot 0 has rows of this shape.
    pub fn new(params: &'a mut Params, input: Shape) -> Self {
        Self { params, ops: Vec::new(), shapes: vec![input] }
    }

    /// Extent of a row of a slot.
    pub fn shape(&self, slot: Slot) -> Shape {
        self.shapes[slot]
    }

    /// A convolution without bias and without a norm.
    pub fn conv(
        &mut self,
        name: &str,
        x: Slot,
        planes: usize,
        kernel: usize,
        stride: usize,
    ) -> Slot {
        let from = self.shapes[x];
        let pad = kernel / 2;
        let shape = vec![planes, from.c, kernel, kernel];
        let weight = self.params.add(format!("{name}.weight"), shape, Init::Kaiming, Role::Network);
        let kind = Kind::Conv { weight, kernel, stride, pad, norm: None };
        self.push(name, kind, x, window(from, planes, kernel, stride, pad))
    }

    /// A fully connected layer.
    pub fn linear(&mut self, name: &str, x: Slot, out: usize, bias: bool) -> Slot {
        let fan_in = self.shapes[x].len();
        let init = Init::Uniform { fan_in };
        let weight =
            self.params.add(format!("{name}.weight"), vec![out, fan_in], init, Role::Network);
        let bias =
            bias.then(|| self.params.add(format!("{name}.bias"), vec![out], init, Role::Network));
        self.push(name, Kind::Linear { weight, bias, norm: None }, x, Shape::flat(out))
    }

    /// Joins a norm to the convolution or linear op that made `x`.
    ///
    /// # Panics
    /// If `x` is not the output of the last op, or that op has a norm or cannot have one.
    pub fn norm(&mut self, name: &str, x: Slot, residual: Option<Slot>, relu: bool) -> Slot {
        let c = self.shapes[x].c;
        if let Some(r) = residual {
            assert_eq!(self.shapes[r], self.shapes[x], "{name}: residual and output differ");
        }
        let norm = Norm {
            scale: self.params.add(format!("{name}.weight"), vec![c], Init::One, Role::Network),
            shift: self.params.add(format!("{name}.bias"), vec![c], Init::Zero, Role::Network),
            mean: self.params.add_stat(format!("{name}.running_mean"), c, 0.0),
            var: self.params.add_stat(format!("{name}.running_var"), c, 1.0),
            residual,
            relu,
        };
        let op = self.ops.last_mut().expect("a norm follows an op");
        assert_eq!(op.output, x, "{name}: a norm joins the op before it");
        match &mut op.kind {
            Kind::Conv { norm: slot @ None, .. } | Kind::Linear { norm: slot @ None, .. } => {
                *slot = Some(norm)
            }
            other => panic!("{name}: no norm can follow {other:?}"),
        }
        x
    }

    /// Max-pooling.
    pub fn max_pool(
        &mut self,
        name: &str,
        x: Slot,
        kernel: usize,
        stride: usize,
        pad: usize,
    ) -> Slot {
        let from = self.shapes[x];
        self.push(
            name,
            Kind::MaxPool { kernel, stride, pad },
            x,
            window(from, from.c, kernel, stride, pad),
        )
    }

    /// Global average pooling.
    pub fn avg_pool(&mut self, name: &str, x: Slot) -> Slot {
        let c = self.shapes[x].c;
        self.push(name, Kind::AvgPool, x, Shape::flat(c))
    }

    /// L2 normalisation of each row.
    pub fn l2_norm(&mut self, name: &str, x: Slot) -> Slot {
        let shape = self.shapes[x];
        self.push(name, Kind::L2Norm, x, shape)
    }

    fn push(&mut self, name: &str, kind: Kind, input: Slot, to: Shape) -> Slot {
        assert!(!to.is_empty(), "{name}: no pixel is left of {:?}", self.shapes[input]);
        let output = self.shapes.len();
        self.ops.push(Op {
            name: name.to_owned(),
            kind,
            input,
            output,
            from: self.shapes[input],
            to,
            grad_input: Flow::Skip,
            grad_residual: Flow::Skip,
        });
        self.shapes.push(to);
        output
    }

    /// Works out buffers and accumulate flags for `rows` rows. `want_input` says whether the gradient of slot 0
    /// is wanted (the head's is, the backbone's is not).
    ///
    /// # Panics
    /// If nobody reads the output of an op that is not the last: it would send back a gradient that it never got.
    pub fn finish(self, rows: usize, mode: Mode, want_input: bool) -> Plan {
        let Self { mut ops, shapes, .. } = self;
        let mut written = vec![false; shapes.len()];
        written[shapes.len() - 1] = true;
        let flow = |slot: Slot, written: &mut Vec<bool>| {
            if slot == 0 && !want_input {
                Flow::Skip
            } else if std::mem::replace(&mut written[slot], true) {
                Flow::Accumulate
            } else {
                Flow::Assign
            }
        };
        for op in ops.iter_mut().rev() {
            // An engine sends back the residual's gradient before the input's.
            if let Some(slot) = op.norm().and_then(|n| n.residual) {
                op.grad_residual = flow(slot, &mut written);
            }
            op.grad_input = flow(op.input, &mut written);
        }
        if let Some(slot) = written.iter().skip(1).position(|&w| !w) {
            panic!("{}: nobody reads its output", ops[slot].name);
        }
        let len = |slot: Slot| rows * shapes[slot].len();
        let (buffer, buffers) = match mode {
            Mode::Train => ((0..shapes.len()).collect(), (0..shapes.len()).map(len).collect()),
            Mode::Infer { keep } => share(&forward_lives(&ops, shapes.len(), keep), len),
        };
        let (grad_buffer, grad_buffers) = match mode {
            // The pixels' gradient is never written: it needs no memory.
            Mode::Train => {
                let len = |slot| if slot == 0 && !want_input { 0 } else { len(slot) };
                share(&backward_lives(&ops, shapes.len(), want_input), len)
            }
            Mode::Infer { .. } => (Vec::new(), Vec::new()),
        };
        Plan { rows, mode, ops, shapes, buffer, buffers, grad_buffer, grad_buffers }
    }
}

fn window(from: Shape, c: usize, kernel: usize, stride: usize, pad: usize) -> Shape {
    let out = |n: usize| (n + 2 * pad + 1).saturating_sub(kernel).div_ceil(stride);
    Shape { h: out(from.h), w: out(from.w), c }
}

/// First and last op index at which each slot is in use, walking forwards.
fn forward_lives(ops: &[Op], slots: usize, keep: Option<Slot>) -> Vec<(usize, usize)> {
    let mut lives = vec![(0, 0); slots];
    for (t, op) in ops.iter().enumerate() {
        lives[op.output] = (t, t);
        lives[op.input].1 = t;
        if let Some(r) = op.norm().and_then(|n| n.residual) {
            lives[r].1 = t;
        }
    }
    for slot in [Some(slots - 1), keep].into_iter().flatten() {
        lives[slot].1 = ops.len();
    }
    lives
}

/// First and last time each slot's gradient is in use, walking in reverse (time counts reversed ops).
fn backward_lives(ops: &[Op], slots: usize, want_input: bool) -> Vec<(usize, usize)> {
    let mut lives = vec![(usize::MAX, 0); slots];
    lives[slots - 1].0 = 0;
    for (t, op) in ops.iter().rev().enumerate() {
        lives[op.output].1 = t;
        for slot in [Some(op.input), op.norm().and_then(|n| n.residual)].into_iter().flatten() {
            lives[slot].0 = lives[slot].0.min(t);
        }
    }
    if want_input {
        lives[0].1 = ops.len();
    }
    lives
}

/// Greedy sharing of buffers between slots whose lives do not touch. Returns each slot's buffer and the sizes.
fn share(lives: &[(usize, usize)], len: impl Fn(Slot) -> usize) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<Slot> = (0..lives.len()).collect();
    order.sort_by_key(|&slot| (lives[slot].0, slot));
    let mut sizes: Vec<usize> = Vec::new();
    let mut busy_until: Vec<usize> = Vec::new();
    let mut buffer = vec![0; lives.len()];
    for slot in order {
        let (first, last) = lives[slot];
        let want = len(slot);
        let free = (0..sizes.len())
            .filter(|&b| busy_until[b] < first)
            // The smallest one that is large enough, else the largest.
            .min_by_key(|&b| (sizes[b] < want, sizes[b].abs_diff(want)));
        let b = free.unwrap_or_else(|| {
            sizes.push(0);
            busy_until.push(0);
            sizes.len() - 1
        });
        sizes[b] = sizes[b].max(want);
        busy_until[b] = last;
        buffer[slot] = b;
    }
    (buffer, sizes)
}

//! The CPU engine: owns all memory of a network, runs steps inside its own thread pool.

use std::sync::Arc;

use ndarray::Array2;
use swav_kernels::conv::Convolve;
use swav_kernels::scratch::Scratch;

use super::infer::Infer;
use super::memory::{Gradients, Memory, gradient_bytes, plan_bytes};
use super::normalise::fill_input;
use super::objective::{ObjectiveMemory, objective_bytes};
use super::optim::{self, State};
use super::walk::{Context, Running, backward, forward};
use crate::batch::{Batch, CropGroup};
use crate::config::{Optim, Optimizer};
use crate::dist::Comm;
use crate::engine::{Engine, Output, Snapshot, Stats, Step, Tensors};
use crate::error::Result;
use crate::net::Network;
use crate::net::params::ParamId;
use crate::net::plan::{Mode, Plan};
use crate::pool::Pool;

/// What an engine is opened with.
pub(crate) struct Setup {
    /// What to run.
    pub(crate) network: Network,
    /// Update rule.
    pub(crate) optim: Optim,
    /// Seed of the start values.
    pub(crate) seed: u64,
    /// Images of one engine call.
    pub(crate) images: usize,
    /// Micro-batches of one step.
    pub(crate) accumulate: usize,
    /// Threads of the engine's pool.
    pub(crate) threads: usize,
    /// Whether steps will be taken.
    pub(crate) training: bool,
    /// The ranks that train together.
    pub(crate) comm: Box<dyn Comm>,
    /// The ranks that share batch statistics.
    pub(crate) norm_comm: Box<dyn Comm>,
}

/// One plan and its memory.
pub(crate) struct Pass<T> {
    pub(crate) plan: Plan,
    pub(crate) memory: Memory<T>,
}

impl<T: Convolve> Pass<T> {
    pub(crate) fn new(plan: Plan) -> Self {
        let memory = Memory::new(&plan);
        Self { plan, memory }
    }

    /// The result of the last forward walk.
    pub(crate) fn output(&self) -> &[T] {
        self.memory.slot(&self.plan, self.plan.output())
    }
}

/// What only training needs.
struct Training<T: Convolve> {
    groups: Vec<Pass<T>>,
    head: Pass<T>,
    gradients: Gradients<T>,
    /// Gradient of the features, all crops.
    features: Vec<T>,
    grads: Vec<T>,
    state: State<T>,
    objective: ObjectiveMemory<T>,
}

/// The engine on the CPU, in f32, or in f64 for checks.
pub(crate) struct CpuEngine<T: Convolve> {
    pub(crate) network: Network,
    optim: Optim,
    images: usize,
    accumulate: usize,
    pool: Arc<Pool>,
    comm: Box<dyn Comm>,
    norm_comm: Box<dyn Comm>,
    pub(crate) params: Vec<T>,
    pub(crate) running: Vec<T>,
    training: Option<Training<T>>,
    pub(crate) infer: Option<Infer<T>>,
    pub(crate) scratch: Scratch<T>,
    stats: Stats,
    trace: Tensors,
}

impl<T: Convolve> CpuEngine<T> {
    /// Allocates everything and draws the start values.
    pub(crate) fn open(setup: Setup) -> Result<Self> {
        let Setup { network, optim, seed, images, accumulate, threads, training, comm, norm_comm } =
            setup;
        let pool = Pool::new(threads, "engine")?;
        let table = &network.params;
        let mut params = vec![T::ZERO; table.buffer_len()];
        for (i, p) in table.entries().iter().enumerate() {
            let start =
                crate::net::params::from_published(&p.shape, &table.initial(ParamId(i), seed));
            params[p.range()].iter_mut().zip(start).for_each(|(w, v)| *w = T::from_f64(v));
        }
        let mut running = vec![T::ZERO; table.stats_buffer_len()];
        for s in table.stats() {
            running[s.range()].fill(T::from_f64(s.start));
        }
        let training =
            training.then(|| Training::new(&network, &optim, images, accumulate, comm.size()));
        Ok(Self {
            network,
            optim,
            images,
            accumulate,
            pool: Arc::new(pool),
            comm,
            norm_comm,
            params,
            running,
            training,
            infer: None,
            scratch: Scratch::default(),
            stats: Stats::default(),
            trace: Tensors::new(),
        })
    }

    fn step(&mut self, batches: &[Batch], step: &Step) -> Result<()> {
        let Self { network, params, running, scratch, comm, norm_comm, training, .. } = self;
        let t = training.as_mut().expect("the engine was opened for training");
        assert_eq!(batches.len(), self.accumulate, "micro-batches of a step");
        let (views, images) = (network.views(), self.images);
        let single = batches.len() == 1;
        t.grads.fill(T::ZERO);
        t.objective.normalise_prototypes(network, params);
        for (m, batch) in batches.iter().enumerate() {
            check_batch(network, batch, images);
            let running = if single { Running::Move(running) } else { Running::Keep };
            let mut cx = Context { table: &network.params, params, comm: &**norm_comm, scratch };
            t.forward(network, batch, &mut cx, running)?;
            t.objective.take_embeddings(t.head.output(), images, m);
        }
        let targets = joined_targets(batches, views, images);
        t.objective.run(network, params, &mut t.grads, &targets, step, &**comm, scratch)?;
        for (m, batch) in batches.iter().enumerate() {
            let mut cx = Context { table: &network.params, params, comm: &**norm_comm, scratch };
            if !single {
                t.forward(network, batch, &mut cx, Running::Move(running))?;
            }
            t.backward(&mut cx, images, m)?;
        }
        if comm.size() > 1 {
            let mut all: Vec<f64> = t.grads.iter().map(|g| g.to_f64()).collect();
            comm.sum(&mut all)?;
            t.grads.iter_mut().zip(&all).for_each(|(g, s)| *g = T::from_f64(*s));
        }
        self.stats = t.objective.stats.clone();
        self.trace = if step.trace {
            super::exchange::trace(network, &t.grads, &t.objective)
        } else {
            Tensors::new()
        };
        let counted = network.params.entries().iter().filter(|p| {
            !(step.freeze_prototypes && p.role == crate::net::params::Role::Prototypes)
        });
        self.stats.grad_norm =
            counted.map(|p| optim::sum_of_squares(&t.grads[p.range()])).sum::<f64>().sqrt();
        if self.stats.non_finite.is_none() && !self.stats.grad_norm.is_finite() {
            self.stats.non_finite = Some("gradient".into());
        }
        optim::update(
            &network.params,
            params,
            &t.grads,
            &mut t.state,
            &self.optim,
            step.lr,
            step.freeze_prototypes,
        );
        Ok(())
    }
}

impl<T: Convolve> Training<T> {
    fn new(
        network: &Network,
        optim: &Optim,
        images: usize,
        accumulate: usize,
        world: usize,
    ) -> Self {
        let passes = network.groups.iter().map(|&(count, size)| {
            Pass::new(network.backbone_plan(count * images, size, Mode::Train))
        });
        let groups: Vec<Pass<T>> = passes.collect();
        let rows = network.views() * images;
        let head = Pass::new(network.head_plan(rows, Mode::Train));
        let gradients = Gradients::new(groups.iter().chain([&head]).map(|pass| &pass.plan));
        Self {
            groups,
            head,
            gradients,
            features: vec![T::ZERO; rows * network.features()],
            grads: vec![T::ZERO; network.params.buffer_len()],
            state: State::new(&network.params, optim.optimizer),
            objective: ObjectiveMemory::new(network, images * accumulate, world),
        }
    }

    /// Pixels to embeddings, which stay in the head's output slot.
    fn forward(
        &mut self,
        network: &Network,
        batch: &Batch,
        cx: &mut Context<'_, T>,
        mut running: Running<'_, T>,
    ) -> Result<()> {
        let mut from = 0;
        for (pass, crops) in self.groups.iter_mut().zip(&batch.groups) {
            fill_input(pass.memory.input(&pass.plan), crops, &network.mean, &network.std);
            forward(&pass.plan, &mut pass.memory, cx, running.reborrow())?;
            let features = pass.output();
            self.head.memory.input(&self.head.plan)[from..from + features.len()]
                .copy_from_slice(features);
            from += features.len();
        }
        forward(&self.head.plan, &mut self.head.memory, cx, running)
    }

    /// The gradient of micro-batch `m`'s embeddings, walked back to the pixels.
    fn backward(&mut self, cx: &mut Context<'_, T>, images: usize, m: usize) -> Result<()> {
        self.objective.give_gradient(self.gradients.output(&self.head.plan), images, m);
        backward(&self.head.plan, &mut self.head.memory, &mut self.gradients, cx, &mut self.grads)?;
        self.features.copy_from_slice(self.gradients.slot(&self.head.plan, 0));
        let mut from = 0;
        for pass in &mut self.groups {
            let out = self.gradients.output(&pass.plan);
            let to = from + out.len();
            out.copy_from_slice(&self.features[from..to]);
            from = to;
            backward(&pass.plan, &mut pass.memory, &mut self.gradients, cx, &mut self.grads)?;
        }
        Ok(())
    }
}

/// Bytes that training allocates for these plans, besides the parameters and the kernels' buffers.
fn training_bytes<'a, T: Convolve>(
    network: &Network,
    optim: &Optim,
    plans: impl Iterator<Item = &'a Plan> + Clone,
    [images, accumulate, world]: [usize; 3],
) -> u64 {
    let passes: u64 = plans.clone().map(plan_bytes::<T>).sum();
    let features = network.views() * images * network.features();
    let moments = if optim.optimizer == Optimizer::Adamw { 2 } else { 1 };
    let values = features + (1 + moments) * network.params.buffer_len();
    let objective = objective_bytes::<T>(network, images * accumulate, world);
    passes + gradient_bytes::<T>(plans) + (values * size_of::<T>()) as u64 + objective
}

/// Bytes an engine will hold, before it is opened; the kernels' own buffers are left out.
pub(crate) fn predicted_bytes<T: Convolve>(
    network: &Network,
    optim: &Optim,
    [images, accumulate, world]: [usize; 3],
) -> u64 {
    let backbones = network.groups.iter();
    let backbones =
        backbones.map(|&(n, size)| network.backbone_plan(n * images, size, Mode::Train));
    let mut plans: Vec<Plan> = backbones.collect();
    plans.push(network.head_plan(network.views() * images, Mode::Train));
    let table = &network.params;
    let state = ((table.buffer_len() + table.stats_buffer_len()) * size_of::<T>()) as u64;
    state + training_bytes::<T>(network, optim, plans.iter(), [images, accumulate, world])
}

fn check_batch(network: &Network, batch: &Batch, images: usize) {
    assert_eq!(batch.images(), images, "images of a micro-batch");
    assert_eq!(batch.groups.len(), network.groups.len(), "crop groups of a batch");
    for (group, &(count, size)) in batch.groups.iter().zip(&network.groups) {
        assert_eq!(
            (group.count, group.size, group.channels),
            (count, size, network.backbone.in_channels),
            "crops of a group"
        );
        assert_eq!(
            group.pixels.len(),
            count * images * size * size * group.channels,
            "pixels of a group"
        );
    }
}

/// Targets of the virtual batch, view-major, from the micro-batches' own.
fn joined_targets(batches: &[Batch], views: usize, images: usize) -> Vec<i32> {
    let view = |v: usize| {
        batches.iter().flat_map(move |b| b.targets.iter().skip(v * images).take(images).copied())
    };
    (0..views).flat_map(view).collect()
}

impl<T: Convolve> Engine for CpuEngine<T> {
    fn train_step(&mut self, batches: &[Batch], step: &Step) -> Result<()> {
        let pool = self.pool.clone();
        pool.install(|| self.step(batches, step))
    }

    fn stats(&mut self) -> Result<Stats> {
        Ok(self.stats.clone())
    }

    fn trace(&mut self) -> Result<Tensors> {
        Ok(std::mem::take(&mut self.trace))
    }

    fn forward(&mut self, crops: &CropGroup, output: &Output) -> Result<Array2<f32>> {
        let pool = self.pool.clone();
        pool.install(|| self.infer(crops, output))
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let t = self.training.as_ref();
        let queue = t.map(|t| &t.objective);
        super::exchange::snapshot(
            &self.network,
            &self.params,
            &self.running,
            t.map(|t| &t.state),
            queue,
            &*self.comm,
        )
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let t = self.training.as_mut();
        let (state, objective) =
            t.map_or((None, None), |t| (Some(&mut t.state), Some(&mut t.objective)));
        super::exchange::restore(
            &self.network,
            snapshot,
            &mut self.params,
            &mut self.running,
            state,
            objective,
            &*self.comm,
        )
    }

    fn bytes(&self) -> u64 {
        let values = (self.params.len() + self.running.len()) * size_of::<T>();
        let sizes = [self.images, self.accumulate, self.comm.size()];
        let training = self.training.as_ref().map_or(0, |t| {
            let plans = t.groups.iter().chain([&t.head]).map(|pass| &pass.plan);
            training_bytes::<T>(&self.network, &self.optim, plans, sizes)
        });
        let infer = self.infer.as_ref().map_or(0, Infer::bytes);
        values as u64 + training + infer + self.scratch.bytes() as u64
    }
}

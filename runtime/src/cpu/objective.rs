//! The middle of a step: from the embeddings of a virtual batch to their gradient, the prototypes' gradient and
//! the figures of the step.

use std::cell::RefCell;
use std::ops::Range;

use swav_core::codes::{Rounds, Workspace, codes_into};
use swav_core::loss::contrastive::{self, NtXent, nt_xent_into};
use swav_core::loss::cross_entropy_into;
use swav_core::loss::swapped::{Swapped as SwappedLoss, swapped_into};
use swav_core::scores::normalize_prototypes;
use swav_core::{Queue, Reduce};
use swav_kernels::conv::Convolve;
use swav_kernels::linear::{linear_backward_input, linear_backward_weight, linear_forward};
use swav_kernels::scratch::Scratch;
use swav_kernels::shapes::Write;

use super::moments;
use crate::dist::Comm;
use crate::engine::{Stats, Step, Tensor, Tensors};
use crate::error::{Error, Result};
use crate::net::Network;
use crate::net::objective::{Objective, Swapped};

/// All memory of the objective.
pub(crate) struct ObjectiveMemory<T: Convolve> {
    views: usize,
    /// Images of the virtual batch on this rank.
    pub(super) images: usize,
    pub(super) d: usize,
    k: usize,
    /// `[V·B, D]`, view-major.
    embeddings: Vec<T>,
    /// Their gradient.
    gradient: Vec<T>,
    /// `[V·B, K]`, and their gradient.
    scores: Vec<T>,
    dscores: Vec<T>,
    /// Codes of the assign views, `[A·B, K]`.
    codes: Vec<T>,
    /// Partial sums of a loss.
    partial: Vec<f64>,
    /// Queue scores on top of a view's scores, `[L + B, K]`.
    stacked: Vec<T>,
    pub(super) queue: Option<Queue<T>>,
    workspace: Workspace<T>,
    contrast: contrastive::Workspace<T>,
    pub(crate) stats: Stats,
}

impl<T: Convolve> ObjectiveMemory<T> {
    /// Memory for `images` images of this rank's virtual batch.
    pub(crate) fn new(network: &Network, images: usize, world: usize) -> Self {
        let (views, d, k) = (network.views(), network.embedding_dim(), network.objective.scores());
        let rows = views * images;
        let mut codes = Vec::new();
        let mut queue = None;
        let mut stacked = Vec::new();
        if let Objective::Swapped(s) = &network.objective {
            codes = vec![T::ZERO; s.assign.len() * images * k];
            let local = s.queue_length / world;
            if local > 0 {
                queue = Some(Queue::new(s.assign.len(), local, d));
                stacked = vec![T::ZERO; (local + images) * k];
            }
        }
        Self {
            views,
            images,
            d,
            k,
            embeddings: vec![T::ZERO; rows * d],
            gradient: vec![T::ZERO; rows * d],
            scores: vec![T::ZERO; rows * k],
            dscores: vec![T::ZERO; rows * k],
            codes,
            partial: Vec::new(),
            stacked,
            queue,
            workspace: Workspace::default(),
            contrast: contrastive::Workspace::new(),
            stats: Stats::default(),
        }
    }

    /// Prototypes to unit rows, before the forward pass, as published.
    pub(crate) fn normalise_prototypes(&self, network: &Network, params: &mut [T]) {
        if let Objective::Swapped(s) = &network.objective {
            normalize_prototypes(&mut params[network.params.get(s.prototypes).range()], self.d);
        }
    }

    /// Takes the embeddings of micro-batch `m`, `[V·b, D]`, into the virtual batch.
    pub(crate) fn take_embeddings(&mut self, embeddings: &[T], images: usize, m: usize) {
        for (v, rows) in embeddings.chunks_exact(images * self.d).enumerate() {
            let at = (v * self.images + m * images) * self.d;
            self.embeddings[at..at + rows.len()].copy_from_slice(rows);
        }
    }

    /// Gives the gradient of micro-batch `m`'s embeddings.
    pub(crate) fn give_gradient(&self, gradient: &mut [T], images: usize, m: usize) {
        for (v, rows) in gradient.chunks_exact_mut(images * self.d).enumerate() {
            let at = (v * self.images + m * images) * self.d;
            rows.copy_from_slice(&self.gradient[at..at + rows.len()]);
        }
    }

    /// Loss, gradients and figures of the virtual batch of all ranks.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn run(
        &mut self,
        network: &Network,
        params: &[T],
        grads: &mut [T],
        targets: &[i32],
        step: &Step,
        comm: &dyn Comm,
        scratch: &mut Scratch<T>,
    ) -> Result<()> {
        self.stats = Stats { code_entropy: f64::NAN, ..Stats::default() };
        let finite = self.embeddings.iter().all(|v| v.to_f64().is_finite());
        let mut bad = [f64::from(u8::from(!finite))];
        comm.max(&mut bad)?;
        if bad[0] > 0.0 {
            self.stats.loss = f64::NAN;
            self.stats.non_finite = Some("embeddings".into());
            self.gradient.fill(T::ZERO);
            return Ok(());
        }
        let mut loss = match &network.objective {
            Objective::Swapped(s) => {
                self.swapped(s, network, params, grads, step, comm, scratch)?
            }
            Objective::Contrastive { temperature } => self.contrastive(*temperature, comm)?,
            Objective::CrossEntropy { weight, bias, classes } => {
                let (w, b) =
                    (network.params.get(*weight).range(), network.params.get(*bias).range());
                self.classify(*classes, w, b, params, grads, targets, comm, scratch)?
            }
        };
        if !matches!(network.objective, Objective::Contrastive { .. }) {
            // Each rank has its rows' share; contrastive ranks have all of it already.
            comm.sum(std::slice::from_mut(&mut loss))?;
        }
        self.stats.loss = loss;
        self.stats.embedding_std = moments::spread(&self.embeddings, self.d, comm)?;
        if !loss.is_finite() {
            self.stats.non_finite = Some("loss".into());
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn swapped(
        &mut self,
        s: &Swapped,
        network: &Network,
        params: &[T],
        grads: &mut [T],
        step: &Step,
        comm: &dyn Comm,
        scratch: &mut Scratch<T>,
    ) -> Result<f64> {
        let (rows, b, d, k) = (self.views * self.images, self.images, self.d, self.k);
        let range = network.params.get(s.prototypes).range();
        let prototypes = &params[range.clone()];
        linear_forward(rows, d, k, &mut self.scores, &self.embeddings, prototypes, None, scratch);
        let sinkhorn = Rounds { epsilon: s.epsilon, iterations: s.iterations };
        let ranks = Ranks::new(comm);
        for (i, &view) in s.assign.iter().enumerate() {
            let scores = &self.scores[view * b * k..(view + 1) * b * k];
            // Scores of the queue, with today's prototypes, go on top; then this batch enters the queue.
            let queue = self.queue.as_ref().filter(|q| step.queue && q.is_full());
            let all = if let Some(queue) = queue {
                let (newer, older) = queue.view(i);
                let (top, bottom) = self.stacked.split_at_mut(queue.capacity() * k);
                let (top, rest) = top.split_at_mut(newer.len() / d * k);
                linear_forward(newer.len() / d, d, k, top, newer, prototypes, None, scratch);
                linear_forward(older.len() / d, d, k, rest, older, prototypes, None, scratch);
                bottom.copy_from_slice(scores);
                &self.stacked[..]
            } else {
                scores
            };
            let codes = &mut self.codes[i * b * k..(i + 1) * b * k];
            codes_into(all, k, b, sinkhorn, &ranks, &mut self.workspace, codes).map_err(refused)?;
            if let Some(queue) = self.queue.as_mut().filter(|_| step.queue) {
                let rows = &self.embeddings[view * b * d..(view + 1) * b * d];
                queue.push(i, rows).expect("a view's embeddings are whole rows of the queue");
            }
        }
        ranks.finish()?;
        let loss = SwappedLoss {
            views: self.views,
            assign: &s.assign,
            temperature: s.temperature,
            batch_total: b * comm.size(),
        };
        let (partial, ds) = (&mut self.partial, &mut self.dscores);
        let loss =
            swapped_into(&self.scores, k, &self.codes, loss, ds, partial).map_err(refused)?;
        self.backward(&params[range.clone()], None, range, grads, scratch);
        (self.stats.code_entropy, self.stats.prototypes_used) =
            moments::codes(&self.codes, k, comm)?;
        Ok(loss)
    }

    /// From the scores' gradient to that of the embeddings, the prototypes or classifier, and its bias.
    fn backward(
        &mut self,
        weight: &[T],
        bias: Option<Range<usize>>,
        range: Range<usize>,
        grads: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let (rows, d, k) = (self.views * self.images, self.d, self.k);
        let ds = &self.dscores;
        linear_backward_input(rows, d, k, &mut self.gradient, Write::Assign, ds, weight, scratch);
        // Weight and bias are two places of one buffer; the bias comes later.
        let (low, high) = grads.split_at_mut(range.end);
        let bias = bias.map(|b| &mut high[b.start - range.end..b.end - range.end]);
        linear_backward_weight(rows, d, k, &mut low[range], bias, ds, &self.embeddings, scratch);
    }

    /// Every rank computes the loss of the whole batch and keeps its own rows' gradient.
    fn contrastive(&mut self, temperature: f64, comm: &dyn Comm) -> Result<f64> {
        let loss = NtXent { views: self.views, ranks: comm.size(), temperature };
        if comm.size() == 1 {
            let (z, dz, d) = (&self.embeddings, &mut self.gradient, self.d);
            let rows = 0..z.len() / d;
            return nt_xent_into(z, d, loss, rows, dz, &mut self.contrast).map_err(refused);
        }
        let own: Vec<f64> = self.embeddings.iter().map(|v| v.to_f64()).collect();
        let all: Vec<T> = comm.gather(&own)?.into_iter().map(T::from_f64).collect();
        let mut gradient = vec![T::ZERO; all.len()];
        let rows = 0..all.len() / self.d;
        let work = &mut self.contrast;
        let value = nt_xent_into(&all, self.d, loss, rows, &mut gradient, work).map_err(refused)?;
        let from = comm.rank() * own.len();
        self.gradient.copy_from_slice(&gradient[from..from + own.len()]);
        Ok(value)
    }

    #[allow(clippy::too_many_arguments)]
    fn classify(
        &mut self,
        classes: usize,
        weight: Range<usize>,
        bias: Range<usize>,
        params: &[T],
        grads: &mut [T],
        targets: &[i32],
        comm: &dyn Comm,
        scratch: &mut Scratch<T>,
    ) -> Result<f64> {
        let rows = self.views * self.images;
        assert_eq!(targets.len(), rows, "targets of the virtual batch");
        if let Some(t) = targets.iter().find(|&&t| t >= classes as i32) {
            return Err(Error::data(
                "labels",
                format!("class {t} where the model has {classes}"),
                "the data this run was started with",
            ));
        }
        let mut counted = [targets.iter().filter(|&&t| t >= 0).count() as f64];
        comm.sum(&mut counted)?;
        let (d, k) = (self.d, self.k);
        linear_forward(
            rows,
            d,
            k,
            &mut self.scores,
            &self.embeddings,
            &params[weight.clone()],
            Some(&params[bias.clone()]),
            scratch,
        );
        let (partial, ds, n) = (&mut self.partial, &mut self.dscores, counted[0] as usize);
        let loss = cross_entropy_into(&self.scores, k, targets, n, ds, partial).map_err(refused)?;
        self.backward(&params[weight.clone()], Some(bias), weight, grads, scratch);
        Ok(loss)
    }

    /// The arrays of the last step, in f64.
    pub(crate) fn trace(&self) -> Tensors {
        let mut out = Tensors::new();
        let mut put = |name: &str, shape: Vec<usize>, values: &[T]| {
            out.insert(
                name.to_owned(),
                Tensor::f64(shape, values.iter().map(|v| v.to_f64()).collect()),
            );
        };
        let rows = self.views * self.images;
        put("embeddings", vec![rows, self.d], &self.embeddings);
        if self.k > 0 {
            put("scores", vec![rows, self.k], &self.scores);
        }
        let size = (self.images * self.k).max(1);
        for (i, codes) in self.codes.chunks_exact(size).enumerate() {
            put(&format!("codes{i}"), vec![self.images, self.k], codes);
        }
        out.insert("loss".into(), Tensor::f64(vec![1], vec![self.stats.loss]));
        out
    }
}

/// Bytes of an [`ObjectiveMemory`] for `images` images of each of `world` ranks.
pub(crate) fn objective_bytes<T>(network: &Network, images: usize, world: usize) -> u64 {
    let (d, k) = (network.embedding_dim(), network.objective.scores());
    let rows = network.views() * images;
    let mut values = 2 * rows * (d + k);
    match &network.objective {
        Objective::Swapped(s) => {
            let (assign, local) = (s.assign.len(), s.queue_length / world);
            // Codes, the queue, its scores on top of a view's, and core's copy of those.
            values += assign * (images * k + local * d) + (2 * local + images) * k;
        }
        Objective::Contrastive { .. } if world > 1 => values += 2 * world * rows * d,
        _ => {}
    }
    (values * size_of::<T>()) as u64
}

/// What core refuses in the middle of a step is a number that left its range.
fn refused(e: swav_core::Error) -> Error {
    Error::diverged("objective", e.to_string(), "a lower learning rate, or a larger epsilon")
}

/// Core's hook over our ranks. Core cannot fail in the middle of a Sinkhorn, so a lost peer is kept for later.
struct Ranks<'a> {
    comm: &'a dyn Comm,
    lost: RefCell<Option<Error>>,
}

impl<'a> Ranks<'a> {
    fn new(comm: &'a dyn Comm) -> Self {
        Self { comm, lost: RefCell::new(None) }
    }

    fn keep(&self, result: Result<()>) {
        if let Err(e) = result {
            self.lost.borrow_mut().get_or_insert(e);
        }
    }

    fn finish(self) -> Result<()> {
        self.lost.into_inner().map_or(Ok(()), Err)
    }
}

impl Reduce for Ranks<'_> {
    fn sum(&self, x: &mut [f64]) {
        self.keep(self.comm.sum(x));
    }

    fn max(&self, x: &mut [f64]) {
        self.keep(self.comm.max(x));
    }
}

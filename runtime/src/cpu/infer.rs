//! Inference: running statistics, a plan that frees slots as it goes, short batches padded and cut.

use ndarray::Array2;
use swav_kernels::conv::Convolve;
use swav_kernels::linear::linear_forward;

use super::engine::{CpuEngine, Pass};
use super::memory::plan_bytes;
use super::normalise::fill_rows;
use super::walk::{Context, Running, forward};
use crate::batch::CropGroup;
use crate::dist::Solo;
use crate::engine::Output;
use crate::error::{Error, Result};
use crate::net::objective::Objective;
use crate::net::plan::Mode;

/// Rows of an inference plan at most: enough to fill every core, little enough to stay small.
const ROWS: usize = 32;

/// The plans of the last inference call, kept for the next one.
pub(crate) struct Infer<T> {
    size: usize,
    output: Output,
    backbone: Pass<T>,
    head: Pass<T>,
}

impl<T: Convolve> Infer<T> {
    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        plan_bytes::<T>(&self.backbone.plan) + plan_bytes::<T>(&self.head.plan)
    }
}

impl<T: Convolve> CpuEngine<T> {
    pub(crate) fn infer(&mut self, crops: &CropGroup, output: &Output) -> Result<Array2<f32>> {
        let channels = self.network.backbone.in_channels;
        if crops.channels != channels {
            return Err(Error::config(
                "image",
                format!("{} channels where the model has {channels}", crops.channels),
                "images of the model's kind",
            ));
        }
        let rows = crops.rows();
        let mut infer = match self.infer.take() {
            Some(kept)
                if kept.size == crops.size
                    && kept.output == *output
                    && kept.backbone.plan.rows >= rows.min(ROWS) =>
            {
                kept
            }
            _ => self.open_infer(crops.size, rows.clamp(1, ROWS), output)?,
        };
        let mut out: Vec<f32> = Vec::new();
        let mut width = 0;
        let per_row = crops.size * crops.size * channels;
        let capacity = infer.backbone.plan.rows;
        for first in (0..rows).step_by(capacity) {
            let now = capacity.min(rows - first);
            let input = infer.backbone.memory.input(&infer.backbone.plan);
            let (used, padding) = input.split_at_mut(now * per_row);
            fill_rows(used, crops, first * per_row, &self.network.mean, &self.network.std);
            padding.fill(T::ZERO);
            let values = self.run(&mut infer, output)?;
            width = values.len() / capacity;
            out.extend(values[..now * width].iter().map(|v| v.to_f64() as f32));
        }
        self.infer = Some(infer);
        Ok(Array2::from_shape_vec((rows, width), out).expect("rows times width values were pushed"))
    }

    fn open_infer(&self, size: usize, rows: usize, output: &Output) -> Result<Infer<T>> {
        let network = &self.network;
        // A kept layer is looked up in the training form of the plan: slots have the same numbers in both.
        let keep = match output {
            Output::Layer(name) => {
                let names = network.backbone_plan(1, size, Mode::Train);
                Some(names.find(name).ok_or_else(|| {
                    let all: Vec<&str> = names.ops.iter().map(|op| op.name.as_str()).collect();
                    Error::config(
                        format!("layer {name}"),
                        "the backbone has no such layer",
                        format!("one of {}", all.join(", ")),
                    )
                })?)
            }
            _ => None,
        };
        if matches!((output, &network.objective), (Output::Scores, Objective::Contrastive { .. })) {
            return Err(Error::config(
                "scores",
                "a contrastive model has no prototypes",
                "--output embeddings",
            ));
        }
        let mode = Mode::Infer { keep };
        let backbone = Pass::new(network.backbone_plan(rows, size, mode));
        let head = Pass::new(network.head_plan(rows, Mode::Infer { keep: None }));
        Ok(Infer { size, output: output.clone(), backbone, head })
    }

    fn run(&mut self, infer: &mut Infer<T>, output: &Output) -> Result<Vec<T>> {
        let network = &self.network;
        let mut cx = Context {
            table: &network.params,
            params: &self.params,
            comm: &Solo,
            scratch: &mut self.scratch,
        };
        forward(
            &infer.backbone.plan,
            &mut infer.backbone.memory,
            &mut cx,
            Running::Use(&self.running),
        )?;
        match output {
            Output::Features => return Ok(infer.backbone.output().to_vec()),
            Output::Layer(name) => {
                let plan = &infer.backbone.plan;
                let slot = plan.find(name).expect("the layer was found when the plan was opened");
                return Ok(infer.backbone.memory.slot(plan, slot).to_vec());
            }
            Output::Embeddings | Output::Scores => {}
        }
        infer.head.memory.input(&infer.head.plan).copy_from_slice(infer.backbone.output());
        forward(&infer.head.plan, &mut infer.head.memory, &mut cx, Running::Use(&self.running))?;
        let embeddings = infer.head.output();
        if *output == Output::Embeddings {
            return Ok(embeddings.to_vec());
        }
        let (rows, d, k) =
            (infer.head.plan.rows, network.embedding_dim(), network.objective.scores());
        let mut scores = vec![T::ZERO; rows * k];
        match &network.objective {
            Objective::Swapped(s) => {
                let mut prototypes = self.params[network.params.get(s.prototypes).range()].to_vec();
                swav_core::scores::normalize_prototypes(&mut prototypes, d);
                linear_forward(
                    rows,
                    d,
                    k,
                    &mut scores,
                    embeddings,
                    &prototypes,
                    None,
                    &mut self.scratch,
                );
            }
            Objective::CrossEntropy { weight, bias, .. } => {
                let [w, b] = [weight, bias].map(|&id| &self.params[network.params.get(id).range()]);
                linear_forward(rows, d, k, &mut scores, embeddings, w, Some(b), &mut self.scratch);
            }
            Objective::Contrastive { .. } => unreachable!("refused when the plan was opened"),
        }
        Ok(scores)
    }
}

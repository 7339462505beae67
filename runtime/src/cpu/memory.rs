//! The memory of a plan: activations, what its ops keep for the walk in reverse, and gradients.

use swav_kernels::element::Element;

use crate::net::plan::{Kind, Mode, Plan};

/// What one op of a plan keeps from the forward walk for the walk in reverse.
#[derive(Debug, Default)]
pub(super) struct Kept<T> {
    /// Output of the convolution or linear layer before its norm.
    pub(super) raw: Vec<T>,
    /// Batch mean per channel.
    pub(super) mean: Vec<T>,
    /// 1 / √(batch variance + eps) per channel.
    pub(super) rstd: Vec<T>,
    /// Place of the largest value in each window.
    pub(super) argmax: Vec<u8>,
    /// Length of each row before normalisation.
    pub(super) norms: Vec<T>,
}

/// The activations of one plan.
#[derive(Debug)]
pub(crate) struct Memory<T> {
    pub(super) buffers: Vec<Vec<T>>,
    pub(super) kept: Vec<Kept<T>>,
    /// Inference only: output of an op before its norm.
    pub(super) raw: Vec<T>,
}

impl<T: Element> Memory<T> {
    /// All the memory a plan will ever use.
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut raw_len = 0;
        let kept = plan.ops.iter().map(|op| {
            let mut kept = Kept::default();
            let len = plan.len(op.output);
            match (&op.kind, plan.mode) {
                (Kind::MaxPool { .. }, _) => kept.argmax = vec![0; len],
                (Kind::L2Norm, _) => kept.norms = vec![T::ZERO; plan.rows],
                (_, Mode::Train) if op.norm().is_some() => kept.raw = vec![T::ZERO; len],
                (_, Mode::Infer { .. }) if op.norm().is_some() => raw_len = raw_len.max(len),
                _ => {}
            }
            if op.norm().is_some() {
                kept.mean = vec![T::ZERO; op.to.c];
                kept.rstd = vec![T::ZERO; op.to.c];
            }
            kept
        });
        let kept = kept.collect();
        let buffers = plan.buffers.iter().map(|&len| vec![T::ZERO; len]).collect();
        Self { buffers, kept, raw: vec![T::ZERO; raw_len] }
    }

    /// A slot's activation.
    pub(crate) fn slot(&self, plan: &Plan, slot: usize) -> &[T] {
        &self.buffers[plan.buffer[slot]][..plan.len(slot)]
    }

    /// The input of the plan, to be filled before a forward walk.
    pub(crate) fn input(&mut self, plan: &Plan) -> &mut [T] {
        &mut self.buffers[plan.buffer[0]][..plan.len(0)]
    }
}

/// Gradients of activations, shared by all plans of an engine: they are walked one after the other.
#[derive(Debug, Default)]
pub(crate) struct Gradients<T> {
    pub(super) buffers: Vec<Vec<T>>,
    /// Gradient of an op's output before its norm.
    pub(super) raw: Vec<T>,
}

impl<T: Element> Gradients<T> {
    /// Memory for any of these plans.
    pub(crate) fn new<'a>(plans: impl Iterator<Item = &'a Plan>) -> Self {
        let (buffers, raw) = gradient_lens(plans);
        let zeros = |len: usize| vec![T::ZERO; len];
        Self { buffers: buffers.into_iter().map(zeros).collect(), raw: zeros(raw) }
    }

    /// The gradient of a slot.
    pub(crate) fn slot(&self, plan: &Plan, slot: usize) -> &[T] {
        &self.buffers[plan.grad_buffer[slot]][..plan.len(slot)]
    }

    /// The gradient of the plan's output, to be filled before a walk in reverse.
    pub(crate) fn output(&mut self, plan: &Plan) -> &mut [T] {
        let slot = plan.output();
        &mut self.buffers[plan.grad_buffer[slot]][..plan.len(slot)]
    }
}

/// Largest buffers that any of the plans needs for the gradients of its slots, and before a norm.
fn gradient_lens<'a>(plans: impl Iterator<Item = &'a Plan>) -> (Vec<usize>, usize) {
    let (mut buffers, mut raw) = (Vec::new(), 0);
    for plan in plans {
        buffers.resize(buffers.len().max(plan.grad_buffers.len()), 0);
        buffers.iter_mut().zip(&plan.grad_buffers).for_each(|(b, &len)| *b = len.max(*b));
        let normed = plan.ops.iter().filter(|op| op.norm().is_some());
        raw = normed.map(|op| plan.len(op.output)).fold(raw, usize::max);
    }
    (buffers, raw)
}

/// Bytes of [`Gradients`] for these plans.
pub(crate) fn gradient_bytes<'a, T>(plans: impl Iterator<Item = &'a Plan>) -> u64 {
    let (buffers, raw) = gradient_lens(plans);
    ((buffers.iter().sum::<usize>() + raw) * size_of::<T>()) as u64
}

/// Bytes of a plan's [`Memory`].
pub(crate) fn plan_bytes<T>(plan: &Plan) -> u64 {
    let (mut values, mut bytes, mut raw) = (plan.buffers.iter().sum::<usize>(), 0, 0);
    for op in &plan.ops {
        let len = plan.len(op.output);
        match &op.kind {
            Kind::MaxPool { .. } => bytes += len,
            Kind::L2Norm => values += plan.rows,
            _ if op.norm().is_some() && plan.mode == Mode::Train => values += len,
            _ if op.norm().is_some() => raw = raw.max(len),
            _ => {}
        }
    }
    ((values + raw) * size_of::<T>() + bytes) as u64
}

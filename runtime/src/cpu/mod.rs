//! The CPU engine: plans walked with the kernels of `swav_kernels`.
#![allow(clippy::too_many_arguments)]

mod engine;
mod exchange;
mod infer;
mod memory;
mod moments;
mod normalise;
mod objective;
mod optim;
#[cfg(test)]
mod plans_tests;
mod queue;
mod walk;

pub(crate) use engine::{CpuEngine, Setup, predicted_bytes};

//! The CPU engine's kernels.
// Kernels index several arrays by one counter and take their sizes as arguments: the equations read better so.
#![allow(clippy::needless_range_loop, clippy::too_many_arguments)]

mod engine;
mod exchange;
mod infer;
mod memory;
mod moments;
mod normalise;
mod objective;
mod optim;
mod peak;
mod queue;
mod walk;

pub(crate) mod columns;
pub mod conv;
pub(crate) mod direct;
pub mod element;
pub(crate) mod gather;
pub(crate) mod gemm;

pub mod linear;
pub mod norm;
pub(crate) mod pack;
pub(crate) mod partial;
pub(crate) mod passes;
pub mod pixels;
pub mod pool;
pub mod scratch;
pub mod unit;
pub(crate) mod weight;
pub(crate) mod winograd;
pub(crate) mod winograd_weight;

pub(crate) use conv::{ConvShape, Write};
pub(crate) use engine::{CpuEngine, Setup, predicted_bytes};
pub(crate) use linear::SquareProduct;
pub(crate) use peak::peak_gflops;
pub(crate) use pool::PoolShape;
pub(crate) use scratch::Scratch;
pub(crate) use swav_core::simd as isa;

#[cfg(test)]
mod tests;

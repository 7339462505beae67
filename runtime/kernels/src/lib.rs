//! The CPU kernels of swav: convolution, batch normalisation, pooling, linear layers and projection on the sphere,
//! each with its gradient, over NHWC arrays of `f32` or `f64`.
//!
//! A kernel is a function of sizes, inputs and outputs. It runs on the rayon pool of its caller, with the instruction
//! set of [`swav_core::simd`], and gives the same bits for any number of threads: work is cut into pieces whose sizes
//! depend on shapes only, and partial sums are added in the order of the pieces. It allocates nothing that grows with
//! its inputs but what [`scratch::Scratch`] keeps.
//!
//! In what order to read: [`shapes`], [`conv`], `gemm` (the product that all convolutions of `f32` are made of),
//! [`norm`], [`pool`].
#![deny(unsafe_code)]
#![warn(missing_docs)]
// Kernels index several arrays by one counter and take their sizes as arguments: the equations read better so.
#![allow(clippy::needless_range_loop, clippy::too_many_arguments)]

pub mod conv;
mod disjoint;
pub mod element;
mod gemm;
#[doc(hidden)]
pub mod instances;
pub mod linear;
pub mod norm;
mod partial;
mod passes;
pub mod peak;
pub mod pixels;
pub mod pool;
pub mod scratch;
pub mod shapes;
pub mod unit;

#[cfg(test)]
mod tests;

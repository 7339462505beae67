//! Holding this build to recorded figures.

pub mod math;
pub mod trajectory;

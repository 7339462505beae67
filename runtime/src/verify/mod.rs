//! Holding this build to recorded figures.

pub mod bounds;
pub mod math;
mod shadow;
pub mod trajectory;

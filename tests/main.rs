//! One binary for all integration tests: one link.

mod bad_input;
mod cli;
mod corpora;
mod determinism;
mod distributed;
mod golden;
mod gradients;
mod ot;
mod ot_refusals;
mod resume;

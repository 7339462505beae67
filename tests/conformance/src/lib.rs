//! What a solver of optimal transport must get right: reference figures, as functions over a small trait, so that any
//! solver can be held to them.
//!
//! [`Solver`] has one required method, [`Solver::entropic`]; the others are offered or not, and a case about what a
//! solver does not offer says so instead of passing.
//!
//! ```
//! use swav_conformance::{Verdict, check, oracle, swav::Swav};
//!
//! let outcomes = check::hold(&Swav::<f64>::default(), &oracle::cases());
//! for group in check::summary(&outcomes) {
//!     println!("{}: {} held, {} failed", group.name, group.held, group.failed);
//! }
//! assert!(outcomes.iter().all(|outcome| outcome.verdict() == Verdict::Held));
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod check;
pub mod inputs;
pub mod oracle;
pub mod solver;
pub mod swav;

pub use check::{Case, Check, Outcome, Verdict, hold, summary};
pub use solver::{Answer, Answered, Problem, Refusal, Solver};

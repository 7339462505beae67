//! The mathematics of SwAV (Caron et al. 2020, "Unsupervised Learning of Visual Features by Contrasting
//! Cluster Assignments"): each piece with its gradient, for `f32` and `f64`, without the standard
//! library if need be and without unsafe code. And a library of optimal transport, of which its codes
//! are one problem: that is [`transport`], which can be read on its own.
//!
//! # The problem on one page
//!
//! An image is cropped several times; a network turns each crop, a *view*, into an *embedding* z of unit
//! length. K *prototypes* c, also of unit length, are learned with it. The *scores* of a view are its
//! cosines with the prototypes:
//!
//! ```text
//! S = Z Cᵀ                                                     scores
//! ```
//!
//! A view's *codes* say which prototypes it belongs to, softly. They are not its softmax, which would
//! let all images share one prototype, but the plan of an entropic transport problem in which every
//! prototype gets the same share of the batch, followed for a few rounds only:
//!
//! ```text
//! Q = argmax ⟨Q, S⟩ + ε H(Q)   over   Q 1 = 1,  Qᵀ 1 = B/K     codes, nearly
//! ```
//!
//! The network is then asked to predict, from each view, the codes of the others:
//!
//! ```text
//! ℓ = mean over i ≠ v of  − Σ_k q_k(view i) ln softmax(s(view v)/τ)_k      swapped prediction
//! ```
//!
//! No gradient passes through the codes. Small batches borrow embeddings of earlier ones from a *queue*:
//! they take part in the balance and not in the loss.
//!
//! ```
//! use ndarray::array;
//! use swav_core::loss::swapped::{Swapped, swapped};
//! use swav_core::{Rounds, codes, rows, scores};
//!
//! // Two images, two views each, view after view; two prototypes.
//! let z = rows::l2_normalize(&array![[1.0_f64, 0.1], [0.2, 1.0], [0.9, 0.2], [0.1, 0.8]]).0;
//! let c = array![[1.0, 0.0], [0.0, 1.0]];
//! let s = scores(&z, &c)?;
//! let q0 = codes(&s.slice(ndarray::s![..2, ..]), Rounds::default())?;
//! let q1 = codes(&s.slice(ndarray::s![2.., ..]), Rounds::default())?;
//! let q = ndarray::concatenate![ndarray::Axis(0), q0, q1];
//! let loss = Swapped { views: 2, assign: &[0, 1], temperature: 0.1, batch_total: 2 };
//! let (value, d_scores) = swapped(&s, &q, loss)?;
//! assert!(value < 2.0_f64.ln()); // better than knowing nothing
//! let (d_z, d_c) = scores::scores_backward(&z, &c, &d_scores)?;
//! assert_eq!((d_z.dim(), d_c.dim()), ((4, 2), (2, 2)));
//! # Ok::<(), swav_core::Error>(())
//! ```
//!
//! # Optimal transport
//!
//! The codes are a plan that moves samples to prototypes at the cost −S. Any other cost between any two
//! weights can be asked for: how far apart are two histograms, which point goes to which, what matches
//! what? [`transport`] teaches it from the start; here is how it looks.
//!
//! ```
//! use ndarray::array;
//! use swav_core::transport::{Metric, Points, Problem, Sinkhorn, SinkhornDivergence};
//!
//! let (x, y) = (array![[0.0_f64, 0.0], [1.0, 0.0]], array![[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]);
//! let (a, b) = (array![0.5, 0.5], array![0.3, 0.3, 0.4]);
//! let geometry = Points::new(&x, &y, Metric::SquaredEuclidean)?;
//! let problem = Problem::new(&geometry, &a, &b, 0.05)?;
//! let solution = Sinkhorn::default().solve(&problem)?;
//! let arrived = solution.barycentric(&y)?; // where each point goes, on average
//! assert!((arrived[[0, 1]] - 1.0).abs() < 1e-9 && arrived[[1, 0]] > 1.5);
//! let (apart, [d_x, _]) = SinkhornDivergence::new(0.05)
//!     .with_gradients((&x, &a), (&y, &b), Metric::SquaredEuclidean)?;
//! assert!(apart.value > 1.0 && d_x[[0, 1]] < 0.0); // upwards is nearer
//! # Ok::<(), swav_core::Error>(())
//! ```
//!
//! # Notation
//!
//! | symbol | name here | shape | |
//! | --- | --- | --- | --- |
//! | B | `batch` | | images |
//! | V | `views` | | views of an image |
//! | A | `assign` | | views whose codes are predicted, 2 in the paper |
//! | K, D, L | `prototypes`, `dimension`, `capacity` | | prototypes, numbers of an embedding, rows of a queue |
//! | Z | `embeddings` | (V·B, D) | view after view |
//! | C | `prototypes` | (K, D) | |
//! | S | `scores` | (V·B, K) | |
//! | Q | `codes` | (A·B, K) | the paper's Q is K × B |
//! | ε | `epsilon` | | regularisation of the codes, in units of a score |
//! | τ | `temperature` | | of the softmax in a loss |
//!
//! A gradient is `d` and the name. Functions over arrays allocate their result; those that end in
//! `_into` or `_in_place` work on slices, row after row, and allocate nothing once their workspace has
//! grown to its size (with several threads, some hundred bytes for handing the work out).
//!
//! # Modules
//!
//! - [`scores`](mod@scores): Z Cᵀ, both gradients, the prototypes' normalisation.
//! - [`codes`](mod@codes): codes, over ranks and with a queue.
//! - [`loss`]: [swapped prediction](loss::swapped), [NT-Xent and InfoNCE](loss::contrastive),
//!   [cross-entropy](loss::cross_entropy()).
//! - [`queue`]: embeddings of earlier batches.
//! - [`transport`]: optimal transport between any two weights: entropic, [exact](transport::exact),
//!   partial, unbalanced; divergences, barycentres, maps, derivatives; [how accurate](transport::accuracy);
//!   [coming from POT, OTT or GeomLoss](transport::translation).
//! - [`rows`]: log-sum-exp, softmax, log-softmax and L2 normalisation by row.
//! - [`reduce`]: sums and maxima over ranks, the one hook for many machines.
//! - [`real`], [`simd`]: the two number types, the instruction sets.
//!
//! # Features
//!
//! - `std` (default): vector instructions, chosen at run time. Without it everything is scalar.
//! - `parallel`: threads, in whatever rayon pool the caller runs it. The result does not depend on how
//!   many.
//!
//! # What this crate does not do
//!
//! It has no network, no optimizer, no data and no device: those are in the crate `swav`. It draws no
//! random numbers and keeps no clock. It does not differentiate for you: each gradient is written out,
//! and held to central differences by a test beside it. It does not normalise what you did not ask it
//! to. It does not work on half-precision numbers.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod chunks;
pub mod codes;
pub mod error;
#[doc(hidden)]
pub mod instances;
#[cfg(test)]
mod laws;
pub mod loss;
pub mod queue;
pub mod real;
pub mod reduce;
pub mod rows;
pub mod scores;
pub mod simd;
pub mod transport;

pub use codes::{Rounds, codes};
pub use error::Error;
pub use queue::Queue;
pub use real::Real;
pub use reduce::{Local, Reduce};
pub use scores::scores;

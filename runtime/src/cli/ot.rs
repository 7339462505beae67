//! The arguments of `swav ot`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Compute;

/// What `swav ot --help` ends with.
pub(super) const ARRAYS: &str =
    "Arrays are .npy files of float32 or float64, in C order; a problem whose arrays \
are all float32 is solved in it, any other in float64.

Example, for points X (n, d) and Y (m, d):
  swav ot solve --x X.npy --y Y.npy --epsilon 0.01 --plan P.npy";

/// `swav ot ...`
#[derive(Debug, Subcommand)]
pub enum OtCommand {
    /// Entropic transport between two weights: value, bounds, plan, potentials
    Solve(OtSolveArgs),
    /// SwAV's codes: a fixed number of Sinkhorn rounds over scores
    Assign(OtAssignArgs),
    /// Sinkhorn divergence between two clouds of points
    Divergence(OtDivergenceArgs),
    /// Entropic transport of a part of the mass
    Partial(OtPartialArgs),
    /// Entropic barycentre of histograms
    Barycenter(OtBarycenterArgs),
    /// Exact transport, by network simplex
    Emd(OtEmdArgs),
    /// Exact transport between points on a line
    Line(OtLineArgs),
}

/// What moving a unit from one point to another costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CostFn {
    /// Squared Euclidean distance
    Sqeuclidean,
    /// Euclidean distance
    Euclidean,
    /// 1 - cosine of the angle
    Cosine,
}

/// A stored cost, or points between which it is computed.
#[derive(Debug, Clone, Args)]
pub struct OtCost {
    /// Cost matrix, (n, m); +inf forbids a pair
    #[arg(long, value_name = "C.npy", required_unless_present = "x", conflicts_with_all = ["x", "y"])]
    pub cost: Option<PathBuf>,
    /// Source points, (n, d), in place of --cost: no matrix is stored
    #[arg(long, value_name = "X.npy", requires = "y")]
    pub x: Option<PathBuf>,
    /// Target points, (m, d)
    #[arg(long, value_name = "Y.npy", requires = "x")]
    pub y: Option<PathBuf>,
    /// Cost between points
    #[arg(long, value_enum, default_value = "sqeuclidean", conflicts_with = "cost")]
    pub cost_fn: CostFn,
}

/// The weights of both sides.
#[derive(Debug, Clone, Args)]
pub struct OtWeights {
    /// Weights of the sources, (n) [default: uniform, of sum 1]
    #[arg(long, value_name = "a.npy")]
    pub a: Option<PathBuf>,
    /// Weights of the targets, (m) [default: uniform, of sum 1]
    #[arg(long, value_name = "b.npy")]
    pub b: Option<PathBuf>,
}

/// When an iteration stops.
#[derive(Debug, Clone, Args)]
pub struct OtStop {
    /// L1 error of the marginals, relative to the mass, to stop at [default: 1e-9, float32: 1e-6]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub tol: Option<f64>,
    /// Most iterations
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub max_iter: u32,
}

/// How an iteration is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OtMethod {
    /// With a kernel where the cost is stored, else in the log domain
    Auto,
    /// With a stored, stabilised kernel: more memory, less time
    Kernel,
    /// In the log domain: no memory of n x m
    Log,
}

/// `swav ot solve`
#[derive(Debug, Clone, Args)]
#[command(
    override_usage = "swav ot solve (--cost <C.npy> | --x <X.npy> --y <Y.npy>) --epsilon <E> [OPTIONS]"
)]
#[command(after_help = "Example:
  swav ot solve --cost C.npy --a a.npy --b b.npy --epsilon 0.05 --plan P.npy --json

P = a_i b_j exp((f_i + g_j - C_ij)/epsilon). With --rho-a or --rho-b the row or column sums of P may
differ from the weights, at the price rho KL(sum | weight). Bounds are those of the exact cost; an
upper one that is not known is null in JSON.")]
pub struct OtSolveArgs {
    /// Where costs come from.
    #[command(flatten)]
    pub cost: OtCost,
    /// The weights.
    #[command(flatten)]
    pub weights: OtWeights,
    /// Strength of the entropy, in units of the cost
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub epsilon: f64,
    /// Price of row sums that differ from a, in units of the cost [default: inf, they are equal]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub rho_a: Option<f64>,
    /// Price of column sums that differ from b [default: inf, they are equal]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub rho_b: Option<f64>,
    /// When to stop.
    #[command(flatten)]
    pub stop: OtStop,
    /// How to iterate
    #[arg(long, value_enum, default_value = "auto")]
    pub method: OtMethod,
    /// Write the plan, (n, m)
    #[arg(long, value_name = "P.npy")]
    pub plan: Option<PathBuf>,
    /// Write the potentials f and g, in units of the cost
    #[arg(long, value_name = "FG.npz")]
    pub potentials: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav ot assign`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:
  swav ot assign --scores S.npy --epsilon 0.05 --rounds 3 --codes Q.npy")]
pub struct OtAssignArgs {
    /// Scores of samples (rows) for prototypes (columns)
    #[arg(long, value_name = "S.npy")]
    pub scores: PathBuf,
    /// Strength of the entropy, in units of a score
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub epsilon: f64,
    /// Rounds; the published number is 3, more balance the prototypes better
    #[arg(long, value_name = "N")]
    pub rounds: u32,
    /// Codes to write, of the scores' shape; each row sums to 1
    #[arg(long, value_name = "Q.npy")]
    pub codes: PathBuf,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav ot divergence`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:
  swav ot divergence --x X.npy --y Y.npy --epsilon 0.1

The value is W(a, b) - W(a, a)/2 - W(b, b)/2: 0 for equal measures, where W alone is not.")]
pub struct OtDivergenceArgs {
    /// Points of the first measure, (n, d)
    #[arg(long, value_name = "X.npy")]
    pub x: PathBuf,
    /// Points of the second measure, (m, d)
    #[arg(long, value_name = "Y.npy")]
    pub y: PathBuf,
    /// Cost between points
    #[arg(long, value_enum, default_value = "sqeuclidean")]
    pub cost_fn: CostFn,
    /// The weights.
    #[command(flatten)]
    pub weights: OtWeights,
    /// Strength of the entropy, in units of the cost
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub epsilon: f64,
    /// When to stop.
    #[command(flatten)]
    pub stop: OtStop,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav ot partial`
#[derive(Debug, Clone, Args)]
#[command(
    override_usage = "swav ot partial (--cost <C.npy> | --x <X.npy> --y <Y.npy>) --mass <M> --epsilon <E> \
[OPTIONS]"
)]
#[command(after_help = "Example:
  swav ot partial --cost C.npy --mass 0.7 --epsilon 0.05 --plan P.npy

P = a_i b_j exp((f_i + g_j + multiplier - C_ij)/epsilon), f and g at most 0: no row or column gets
more than its weight, and masses may differ.")]
pub struct OtPartialArgs {
    /// Where costs come from.
    #[command(flatten)]
    pub cost: OtCost,
    /// The weights.
    #[command(flatten)]
    pub weights: OtWeights,
    /// Mass to move, at most the sums of a and of b
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    pub mass: f64,
    /// Strength of the entropy, in units of the cost
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub epsilon: f64,
    /// When to stop.
    #[command(flatten)]
    pub stop: OtStop,
    /// Write the plan, (n, m)
    #[arg(long, value_name = "P.npy")]
    pub plan: Option<PathBuf>,
    /// Write the potentials f and g and the multiplier
    #[arg(long, value_name = "FG.npz")]
    pub potentials: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav ot barycenter`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:
  swav ot barycenter --histograms H.npy --weights w.npy --cost C.npy --epsilon 0.01 --out q.npy")]
pub struct OtBarycenterArgs {
    /// Histograms, one a column, (n, K), of equal sums
    #[arg(long, value_name = "H.npy")]
    pub histograms: PathBuf,
    /// Weights of the histograms, (K), of sum 1 [default: uniform]
    #[arg(long, value_name = "w.npy")]
    pub weights: Option<PathBuf>,
    /// Cost from the histograms' points to those of the barycentre, (n, m)
    #[arg(long, value_name = "C.npy")]
    pub cost: PathBuf,
    /// Strength of the entropy, in units of the cost
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub epsilon: f64,
    /// Without the blur of the entropy; needs a symmetric cost
    #[arg(long)]
    pub debiased: bool,
    /// When to stop.
    #[command(flatten)]
    pub stop: OtStop,
    /// Barycentre to write, (m)
    #[arg(long, value_name = "q.npy")]
    pub out: PathBuf,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav ot emd`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:
  swav ot emd --cost C.npy --a a.npy --b b.npy --plan P.npy

The lower bound is that of potentials with f_i + g_j <= C_ij: where it meets the value, the plan is
proved to be the cheapest.")]
pub struct OtEmdArgs {
    /// Cost matrix, (n, m); +inf forbids a pair
    #[arg(long, value_name = "C.npy")]
    pub cost: PathBuf,
    /// The weights.
    #[command(flatten)]
    pub weights: OtWeights,
    /// Write the plan, (n, m)
    #[arg(long, value_name = "P.npy")]
    pub plan: Option<PathBuf>,
    /// Write the potentials f and g
    #[arg(long, value_name = "FG.npz")]
    pub potentials: Option<PathBuf>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav ot line`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:
  swav ot line --x x.npy --y y.npy --p 2

The value is the sum of P_ij |x_i - y_j|^p; the distance W_p is its p-th root.")]
pub struct OtLineArgs {
    /// Source points, (n), in any order
    #[arg(long, value_name = "x.npy")]
    pub x: PathBuf,
    /// Target points, (m), in any order
    #[arg(long, value_name = "y.npy")]
    pub y: PathBuf,
    /// The weights.
    #[command(flatten)]
    pub weights: OtWeights,
    /// Exponent of the distance, at least 1
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub p: f64,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

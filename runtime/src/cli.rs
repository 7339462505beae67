//! The command line: every verb and its arguments, as plain structs that `commands` receives.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub mod ot;

use crate::device::{Device, Precision};
use crate::error::Result;
use crate::pool::Pool;

/// Train SwAV on the machine you have.
///
/// Results go to stdout, talk to stderr. Exit codes: 0 done, 2 usage or configuration, 3 data, 4 device,
/// 5 diverged, 6 checkpoint refused, 7 storage, 8 a peer was lost, 9 a verification failed, 75 stopped by a
/// signal after a durable checkpoint (run the same command again), 101 a bug.
#[derive(Debug, Parser)]
#[command(name = "swav", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train on built-in images in minutes and show that it learns
    Demo(DemoArgs),
    /// Train on your images; the same command again resumes
    Train(TrainArgs),
    /// List or show the shipped recipes
    Recipes(RecipesArgs),
    /// Write features of images as .npy
    Embed(EmbedArgs),
    /// Write the prototype of each image as .npy
    Assign(AssignArgs),
    /// Measure how good features are
    Eval {
        /// The protocol.
        #[command(subcommand)]
        protocol: EvalCommand,
    },
    /// Write one self-contained HTML page about a run
    Report(ReportArgs),
    /// Write the backbone for torchvision or timm
    Export(ExportArgs),
    /// Show what is in a safetensors file; executes nothing
    Inspect(InspectArgs),
    /// Say where a run stands
    Status(StatusArgs),
    /// Check a run, the mathematics on this machine, or a recorded run
    Verify {
        /// What is checked.
        #[command(subcommand)]
        what: VerifyCommand,
    },
    /// Optimal transport between arrays (.npy)
    #[command(after_help = ot::ARRAYS)]
    Ot {
        /// The problem.
        #[command(subcommand)]
        problem: ot::OtCommand,
    },
    /// Time the parts of training on this machine
    Bench {
        /// What is timed.
        #[command(subcommand)]
        what: BenchCommand,
    },
    /// Say what this machine offers and what is missing
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man,
}

/// Where and with how many threads to compute.
#[derive(Debug, Clone, Args)]
pub struct Compute {
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: Device,
    /// Threads of the engine and the loader [default: one per core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

impl Compute {
    /// The threads that a command computes with.
    ///
    /// # Errors
    /// `Device` when the machine does not give them.
    pub fn pool(&self) -> Result<Pool> {
        Pool::new(self.threads(), "swav")
    }

    /// Threads asked for, else one per core that this process may use.
    pub fn threads(&self) -> usize {
        self.threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
            .max(1)
    }
}

/// `swav demo`
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Run directory
    #[arg(long, default_value = "swav-demo", value_name = "DIR")]
    pub out: PathBuf,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav train`
#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// Folder of images, IDX file or folder, or a list file (`path[<TAB>label]`)
    pub data: PathBuf,
    /// Run directory; an unfinished run there is resumed
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Recipe to start from, see `swav recipes` [default: auto, or none with --config]
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<String>,
    /// Configuration file (TOML), laid over the recipe
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, laid over the file: `optim.base_lr=0.6`, `crops.0.size=160`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Labelled images for a nearest-neighbour evaluation every `eval.every_epochs`
    #[arg(long, value_name = "DATA")]
    pub val: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Start from the weights of a run, a checkpoint or an exported model (weights only; a new run)
    #[arg(long, value_name = "FILE")]
    pub init_from: Option<PathBuf>,
    /// Print plan, memory and the resolved configuration; touch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav recipes`
#[derive(Debug, Clone, Args)]
pub struct RecipesArgs {
    /// What to do; lists when nothing is said.
    #[command(subcommand)]
    pub action: Option<RecipesAction>,
    /// Print JSON on stdout
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with recipes.
#[derive(Debug, Clone, Subcommand)]
pub enum RecipesAction {
    /// One line for each recipe
    List,
    /// One recipe as TOML
    Show {
        /// Its name
        name: String,
    },
}

/// Which output of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputKind {
    /// Backbone output after the average pool
    Features,
    /// Unit head output
    Embeddings,
    /// Embeddings times prototypes
    Scores,
}

/// `swav embed`
#[derive(Debug, Clone, Args)]
pub struct EmbedArgs {
    /// Run directory, checkpoint or exported model
    pub model: PathBuf,
    /// Images
    pub data: PathBuf,
    /// Array file to write; `X.txt` with the names goes beside it
    #[arg(long, value_name = "X.npy")]
    pub out: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value = "features")]
    pub output: OutputKind,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav assign`
#[derive(Debug, Clone, Args)]
pub struct AssignArgs {
    /// Run directory, checkpoint or exported model
    pub model: PathBuf,
    /// Images
    pub data: PathBuf,
    /// Array file to write (int64); `X.txt` with the names goes beside it
    #[arg(long, value_name = "X.npy")]
    pub out: PathBuf,
    /// By Sinkhorn over the whole set, with the model's epsilon and iterations
    #[arg(long)]
    pub balanced: bool,
    /// Write the codes too
    #[arg(long, value_name = "Q.npy")]
    pub codes: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav eval ...`
#[derive(Debug, Subcommand)]
pub enum EvalCommand {
    /// Weighted nearest neighbours, exact
    Knn(KnnArgs),
    /// Logistic regression on cached features, minutes
    Probe(ProbeArgs),
    /// The published linear protocol
    Linear(LinearArgs),
}

/// `swav eval knn`
#[derive(Debug, Clone, Args)]
pub struct KnnArgs {
    /// Run directory, checkpoint or exported model
    pub model: PathBuf,
    /// Labelled images to search
    #[arg(long, value_name = "DATA")]
    pub train: PathBuf,
    /// Labelled images to classify
    #[arg(long, value_name = "DATA")]
    pub val: PathBuf,
    /// Numbers of neighbours
    #[arg(long, value_delimiter = ',', default_value = "10,20,100,200")]
    pub k: Vec<usize>,
    /// Divides the similarities in the weights
    #[arg(long, default_value_t = 0.07)]
    pub temperature: f64,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav eval probe`
#[derive(Debug, Clone, Args)]
pub struct ProbeArgs {
    /// Run directory, checkpoint or exported model
    pub model: PathBuf,
    /// Labelled images to learn from
    #[arg(long, value_name = "DATA")]
    pub train: PathBuf,
    /// Labelled images to classify
    #[arg(long, value_name = "DATA")]
    pub val: PathBuf,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav eval linear`
#[derive(Debug, Clone, Args)]
pub struct LinearArgs {
    /// Run directory, checkpoint or exported model
    pub model: PathBuf,
    /// Labelled images to learn from
    #[arg(long, value_name = "DATA")]
    pub train: PathBuf,
    /// Labelled images to classify
    #[arg(long, value_name = "DATA")]
    pub val: PathBuf,
    /// Passes over the data
    #[arg(long, default_value_t = 100)]
    pub epochs: u64,
    /// Images of one step
    #[arg(long, default_value_t = 256)]
    pub batch_size: usize,
    /// Learning rate of the first epoch at a batch of 256 (scaled with the batch); cosine to zero
    #[arg(long, default_value_t = 0.3)]
    pub lr: f64,
    /// Weight decay
    #[arg(long, default_value_t = 1e-6)]
    pub weight_decay: f64,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav report`
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// Run directory
    pub run: PathBuf,
    /// Images to show [default: the run's own, when they are still there]
    #[arg(long, value_name = "DATA")]
    pub data: Option<PathBuf>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// What an export is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// torchvision's names
    Torchvision,
    /// A folder that timm loads
    Timm,
}

/// `swav export`
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Run directory or checkpoint
    pub model: PathBuf,
    /// What it is for
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// File (torchvision) or folder (timm) to write
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav inspect`
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// A safetensors file or a run directory
    pub file: PathBuf,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav status`
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Run directory
    pub run: PathBuf,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav verify ...`
#[derive(Debug, Subcommand)]
pub enum VerifyCommand {
    /// Whether every file of a run is whole
    Run(StatusArgs),
    /// The core's invariants on this CPU, each instruction set, and the reference cases of transport
    Math(VerifyMathArgs),
    /// Replay a recorded reference run
    Trajectory(TrajectoryArgs),
}

/// `swav verify math`
#[derive(Debug, Clone, Args)]
pub struct VerifyMathArgs {
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav verify trajectory`
#[derive(Debug, Clone, Args)]
pub struct TrajectoryArgs {
    /// Folder of the recorded run
    pub dir: PathBuf,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// f32 or f64
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// Bounds of the errors [default: built in for the project's own folders, else 0]
    #[arg(long, value_name = "FILE")]
    pub bounds: Option<PathBuf>,
    /// Write what was computed, f64, under the names of `expected.safetensors`
    #[arg(long, value_name = "FILE.safetensors")]
    pub out: Option<PathBuf>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav bench ...`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// The training step without the loader
    Step(BenchStepArgs),
    /// Decoding and augmenting
    Loader(BenchLoaderArgs),
    /// Sinkhorn codes
    Sinkhorn(BenchKernelArgs),
    /// Matrix products
    Gemm(BenchKernelArgs),
}

/// `swav bench step`
#[derive(Debug, Clone, Args)]
pub struct BenchStepArgs {
    /// resnet50-224 or small-28
    #[arg(long, conflicts_with_all = ["recipe", "set"])]
    pub case: Option<String>,
    /// Time a recipe instead
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<String>,
    /// One setting, laid over the recipe
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav bench loader`
#[derive(Debug, Clone, Args)]
pub struct BenchLoaderArgs {
    /// Images
    pub data: PathBuf,
    /// Recipe whose crops are made [default: auto]
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<String>,
    /// One setting, laid over the recipe
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav bench sinkhorn` and `swav bench gemm`
#[derive(Debug, Clone, Args)]
pub struct BenchKernelArgs {
    /// Threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav doctor`
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `swav completions`
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

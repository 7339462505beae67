//! What the user asked to run on, and the one place that names the engines.

use std::str::FromStr;

use crate::config::{Config, SyncBn};
use crate::cpu;
use crate::dist::{Comm, Solo};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::net::Network;

/// Where to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The best device that this build and machine have.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by number.
    Cuda(usize),
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let cuda = s
            .strip_prefix("cuda")
            .map(|rest| rest.strip_prefix(':').unwrap_or(if rest.is_empty() { "0" } else { rest }));
        match (s, cuda.map(str::parse)) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            (_, Some(Ok(n))) => Ok(Self::Cuda(n)),
            _ => Err(Error::config(
                format!("--device {s}"),
                "no such device",
                "auto, cpu, cuda or cuda:N",
            )),
        }
    }
}

/// Element type of the engine's arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Double precision: gradient checks and verification on the CPU.
    F64,
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "auto" | "f32" => Ok(Self::F32),
            "f64" => Ok(Self::F64),
            "bf16" | "f16" => Err(Error::device(
                format!("precision {s}"),
                "the CPU engine computes in f32",
                "precision = \"auto\"",
            )),
            _ => Err(Error::config(
                format!("precision {s}"),
                "no such precision",
                "auto, f32 or f64",
            )),
        }
    }
}

/// How an engine is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where to run.
    pub device: Device,
    /// Threads of the engine's pool.
    pub threads: usize,
    /// Element type.
    pub precision: Precision,
    /// Images of one engine call: `batch_size / (world · accumulate)`.
    pub images: usize,
    /// Micro-batches of one step.
    pub accumulate: usize,
    /// Whether steps will be taken; without, only inference memory is allocated.
    pub training: bool,
}

/// Opens an engine for one rank alone, its parameters drawn from the configuration's seed.
///
/// # Errors
/// `Device` when the device is not there.
pub fn open(config: &Config, network: &Network, options: &Options) -> Result<Box<dyn Engine>> {
    open_rank(config, network, options, Box::new(Solo))
}

/// Whether this build and machine have a device.
///
/// # Errors
/// `Device` when they have not.
pub fn check(device: Device) -> Result<()> {
    match device {
        Device::Cuda(n) => Err(Error::device(
            format!("cuda:{n}"),
            "this version has no CUDA engine yet",
            "--device cpu",
        )),
        Device::Auto | Device::Cpu => Ok(()),
    }
}

/// Opens the engine of one rank of a group. Called by every rank, each from its own thread.
///
/// # Errors
/// `Device` when the device is not there, `Config` when the batch norm groups do not divide the ranks.
pub fn open_rank(
    config: &Config,
    network: &Network,
    options: &Options,
    comm: Box<dyn Comm>,
) -> Result<Box<dyn Engine>> {
    check(options.device)?;
    let group = match config.train.sync_bn {
        SyncBn::All => comm.size(),
        SyncBn::Group(n) => n.min(comm.size()),
    };
    if !comm.size().is_multiple_of(group) {
        return Err(Error::config(
            "train.sync_bn",
            format!("groups of {group} do not divide {} ranks", comm.size()),
            "\"all\", or a divisor",
        ));
    }
    let norm_comm = comm.group(group)?;
    let setup = cpu::Setup {
        network: network.clone(),
        optim: config.optim.clone(),
        seed: config.seed,
        images: options.images,
        accumulate: options.accumulate,
        threads: options.threads.max(1),
        training: options.training,
        comm,
        norm_comm,
    };
    Ok(match options.precision {
        Precision::F32 => Box::new(cpu::CpuEngine::<f32>::open(setup)?),
        Precision::F64 => Box::new(cpu::CpuEngine::<f64>::open(setup)?),
    })
}

/// What the program itself, its kernels' buffers and the loader's batches take at most, besides the engine.
pub const OVERHEAD_BYTES: u64 = 128 << 20;

/// Bytes an engine of one rank will hold, worked out from the plans before anything is allocated. The peak of the
/// process is this, the copy of the state that a checkpoint takes, and at most [`OVERHEAD_BYTES`].
pub fn predicted_bytes(config: &Config, network: &Network, options: &Options) -> u64 {
    let sizes = [options.images, options.accumulate, 1];
    match options.precision {
        Precision::F32 => cpu::predicted_bytes::<f32>(network, &config.optim, sizes),
        Precision::F64 => cpu::predicted_bytes::<f64>(network, &config.optim, sizes),
    }
}

//! What this machine offers.

use std::path::PathBuf;

use serde::Serialize;

/// A library that a GPU would need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Library {
    /// What it is for.
    pub name: &'static str,
    /// Beginning of its file name.
    pub file: &'static str,
    /// Where it was found.
    pub path: Option<String>,
}

/// Everything `swav doctor` says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// Version of the program.
    pub version: &'static str,
    /// Operating system and architecture.
    pub platform: String,
    /// Name of the processor.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Instruction sets that this processor and build can run, the best one last.
    pub isa_available: Vec<&'static str>,
    /// The one in use.
    pub isa: &'static str,
    /// Vector extensions the processor reports.
    pub features: Vec<&'static str>,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Memory not in use, in bytes.
    pub memory_available_bytes: u64,
    /// Whether this build has a CUDA engine.
    pub cuda_built: bool,
    /// GPU libraries.
    pub libraries: Vec<Library>,
    /// What is missing and what to do.
    pub advice: Vec<String>,
}

/// Looks at the machine.
pub fn examine() -> Findings {
    let libraries: Vec<Library> =
        LIBRARIES.iter().map(|&(name, file)| Library { name, file, path: find(file) }).collect();
    let available = swav_core::simd::available();
    let isa = swav_core::simd::isa();
    let mut advice = Vec::new();
    if libraries.iter().any(|l| l.path.is_some()) {
        advice.push("CUDA libraries are here, but this version has no CUDA engine: training runs on the CPU".to_owned());
    }
    if available.last() != Some(&isa) {
        advice.push(format!("SWAV_ISA limits kernels to {}: unset it for full speed", isa.name()));
    }
    if cfg!(debug_assertions) {
        advice.push("this is a development build: cargo build --release is faster".into());
    }
    Findings {
        version: env!("CARGO_PKG_VERSION"),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: processor(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        isa_available: available.iter().map(|i| i.name()).collect(),
        isa: isa.name(),
        features: features(),
        memory_bytes: memory(),
        memory_available_bytes: meminfo("MemAvailable:"),
        cuda_built: false,
        libraries,
        advice,
    }
}

/// Memory of this machine in bytes; 0 where the system does not tell.
pub fn memory() -> u64 {
    meminfo("MemTotal:")
}

fn meminfo(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(key));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0)
        * 1024
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("model name"));
    line.and_then(|l| l.split_once(':')).map_or("unknown".into(), |(_, n)| n.trim().to_owned())
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    macro_rules! detected {
        ($($name:tt),*) => {
            [$(($name, std::is_x86_feature_detected!($name))),*]
        };
    }
    let all = detected!(
        "sse4.2",
        "avx",
        "avx2",
        "fma",
        "f16c",
        "bmi2",
        "avx512f",
        "avx512bw",
        "avx512dq",
        "avx512vl",
        "avx512vnni",
        "avx512bf16"
    );
    all.into_iter().filter(|f| f.1).map(|f| f.0).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    if cfg!(target_arch = "aarch64") { vec!["neon"] } else { Vec::new() }
}

const LIBRARIES: [(&str, &str); 5] = [
    ("driver", "libcuda.so"),
    ("NVRTC", "libnvrtc.so"),
    ("cuBLASLt", "libcublasLt.so"),
    ("cuDNN", "libcudnn.so"),
    ("NCCL", "libnccl.so"),
];

/// The first file whose name begins so, where the loader would look.
fn find(file: &str) -> Option<String> {
    let own = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    let own = own.split(':').filter(|p| !p.is_empty()).map(PathBuf::from);
    let usual = [
        "/usr/local/cuda/lib64",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib/wsl/lib",
        "/usr/lib",
        "/opt/cuda/lib64",
    ];
    own.chain(usual.map(PathBuf::from)).find_map(|folder| {
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .ok()?
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|n| n.starts_with(file))
            .collect();
        names.sort();
        names.first().map(|n| folder.join(n).display().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instruction_set_in_use_is_among_those_available() {
        let f = examine();
        assert!(f.isa_available.contains(&f.isa), "{f:?}");
        assert!(f.cores > 0 && f.isa_available.contains(&"scalar"));
        assert_eq!(f.libraries.len(), LIBRARIES.len());
    }
}

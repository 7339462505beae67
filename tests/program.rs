//! The program as a user runs it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The program, built with the profile of this test when it is not there or older than its library.
pub fn swav() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // target/<profile>/deps/integration-<hash>
        let test = std::env::current_exe().unwrap();
        let folder =
            test.parent().and_then(Path::parent).expect("a test lies in target/<profile>/deps");
        let program = folder.join(format!("swav{}", std::env::consts::EXE_SUFFIX));
        // `cargo test --workspace` has built it a moment ago; `cargo test -p swav-tests` has not, and a stale
        // program proves nothing. Asking cargo costs a tenth of a second when there is nothing to do.
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "swav", "--bin", "swav"]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.arg("--target-dir").arg(folder.parent().expect("target"));
        let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(built.is_ok_and(|s| s.success()), "cargo could not build swav");
        assert!(program.is_file(), "{} is not there", program.display());
        program
    })
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Exit code; 128 + n after signal n.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// From a finished process.
    pub fn from(output: &Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let status = output.status;
        Self {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The JSON value on the last line of stdout.
    ///
    /// # Panics
    /// If there is none, or the program did not end with 0.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        let last = self.out.lines().last().unwrap_or_else(|| panic!("no output: {self:?}"));
        serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Ended with this code, said these words on stderr, did not panic.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn refuses(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "\"{word}\" is not in: {self:?}");
        }
    }
}

/// A command line, not started.
pub fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut c = Command::new(swav());
    c.args(args).stdin(Stdio::null()).env_remove("SWAV_FAULT").env_remove("SWAV_ISA");
    c.env_remove("RUST_BACKTRACE").env_remove("RUST_LOG");
    c
}

/// Runs a command to its end.
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Said {
    Said::from(&command(args).output().expect("the program starts"))
}

/// The settings of a run that trains in a second: 2 x 8 + 2 x 6 pixels, one block of width 4.
pub const TINY: &str = r#"
seed = 5
[[crops]]
count = 2
size = 12
scale = [0.3, 1.0]
[[crops]]
count = 1
size = 8
scale = [0.1, 0.4]
[model]
backbone = "custom"
block = "basic"
layers = [1, 1]
width = 4
stem = "small"
hidden = 8
output_dim = 8
prototypes = 10
[swav]
freeze_prototypes_steps = 2
queue_length = 8
queue_start_epoch = 1
[optim]
optimizer = "lars"
base_lr = 0.4
final_lr = 0.004
start_lr = 0.1
warmup_epochs = 0.5
[train]
epochs = 5
batch_size = 8
log_every = 1
[eval]
every_epochs = 2
[checkpoint]
every_minutes = 1000.0
every_steps = 3
"#;

/// Steps of [`TINY`] on [`TINY_IMAGES`] images.
pub const TINY_STEPS: u64 = 5 * (TINY_IMAGES as u64 / 8);

/// Images that [`TINY`] is meant for.
pub const TINY_IMAGES: u32 = 26;

/// A folder with images, the settings [`TINY`], and a place for runs.
#[derive(Debug)]
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// Makes the images and writes the settings.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        crate::images::folder(&folder.path().join("images"), TINY_IMAGES, 20);
        std::fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
        Self { folder }
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `swav train` of the images with the settings; more arguments may follow.
    pub fn train(&self, run: &str, more: &[&str]) -> Command {
        let mut c = command(["train"]);
        c.arg(self.path("images")).arg("--out").arg(self.path(run));
        c.arg("--config").arg(self.path("tiny.toml")).args(["--threads", "1", "--json"]).args(more);
        c
    }

    /// Trains to the end and returns its JSON.
    pub fn trained(&self, run: &str, more: &[&str]) -> Value {
        Said::from(&self.train(run, more).output().unwrap()).json()
    }

    /// The lines of `metrics.jsonl` without the fields that tell time.
    pub fn metrics(&self, run: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(run).join("metrics.jsonl")).unwrap();
        let timeless = |line: &str| {
            let mut value: Value = serde_json::from_str(line).expect("a line is JSON");
            let fields = value.as_object_mut().expect("a line is an object");
            for time in ["images_per_second", "data_wait", "elapsed_seconds", "seconds"] {
                fields.remove(time);
            }
            value
        };
        text.lines().map(timeless).collect()
    }

    /// The checkpoints of a run, newest first.
    pub fn checkpoints(&self, run: &str) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.path(run).join("checkpoints")) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
        files.retain(|p| p.file_name().unwrap().to_string_lossy().starts_with("step-"));
        files.sort();
        files.reverse();
        files
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

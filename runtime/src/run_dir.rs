//! The run directory: who may write there, what belongs to it, and what may change when a run resumes.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::config::auto::Facts;
use crate::config::{Config, load};
use crate::data::{BadRecord, escape};
use crate::error::{Error, Result};
use crate::{checkpoint, durable, fault, lock, terminal};

/// Resolved configuration; a folder with this file is a run.
pub const CONFIG: &str = "config.toml";
/// Where and from what the run was started.
pub const ENVIRONMENT: &str = "env.json";
/// What was said.
pub const LOG: &str = "log.txt";
/// Images that could not be used.
pub const BAD_IMAGES: &str = "bad-images.tsv";
/// The figures of a finished demonstration.
pub const RESULT: &str = "result.json";

/// `env.json`: what the run was started with, besides its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of the program.
    pub version: String,
    /// Seconds since 1970 at the start.
    pub started: u64,
    /// The machine.
    pub host: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Instruction set of the CPU in use.
    pub isa: String,
    /// Threads of the engine.
    pub threads: usize,
    /// Recipe at the bottom of the configuration.
    pub recipe: String,
    /// What `auto` looked at.
    pub facts: Option<Facts>,
    /// Images of the training set.
    pub images: usize,
    /// What their indices mean.
    pub fingerprint: String,
}

impl Environment {
    /// Describes this process.
    pub fn here(device: String, threads: usize) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            host: lock::host(),
            device,
            isa: swav_core::simd::isa().name().into(),
            threads,
            recipe: String::new(),
            facts: None,
            images: 0,
            fingerprint: String::new(),
        }
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Nothing yet: a run can begin there.
    New,
    /// A run.
    Run(Box<(Config, Environment)>),
}

/// Looks at a path without touching it.
///
/// # Errors
/// `Config` when there is something that is no run.
pub fn look(path: &Path) -> Result<State> {
    let what = path.display().to_string();
    match path.metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(State::New),
        Err(e) => return Err(Error::io("looking at", path, &e)),
        Ok(m) if !m.is_dir() => {
            return Err(Error::config(what, "is a file, not a run", "the path of a new folder"));
        }
        Ok(_) => {}
    }
    if path.join(CONFIG).exists() {
        return Ok(State::Run(Box::new((load::read(&path.join(CONFIG))?, environment(path)?))));
    }
    let entries = fs::read_dir(path).map_err(|e| Error::io("reading", path, &e))?;
    for entry in entries {
        let name = entry.map_err(|e| Error::io("reading", path, &e))?.file_name();
        let name = name.to_string_lossy();
        // What a run leaves that died before it had its configuration.
        if ![lock::NAME, ENVIRONMENT, LOG].contains(&&*name) && !name.ends_with(".partial") {
            return Err(Error::config(
                what,
                format!("is not a run: it holds {name}, but no {CONFIG}"),
                "a new or empty folder",
            ));
        }
    }
    Ok(State::New)
}

/// Reads a run for commands that need one.
///
/// # Errors
/// `Config` when there is no run at the path.
pub fn open(path: &Path) -> Result<(Config, Environment)> {
    match look(path)? {
        State::Run(run) => Ok(*run),
        State::New => Err(Error::config(
            path.display().to_string(),
            "there is no run",
            "the folder that was given to swav train --out",
        )),
    }
}

fn environment(run: &Path) -> Result<Environment> {
    let path = run.join(ENVIRONMENT);
    let text = fs::read_to_string(&path).map_err(|e| Error::io("reading", &path, &e))?;
    serde_json::from_str(&text).map_err(|e| {
        Error::checkpoint(path.display().to_string(), e.to_string(), "restore it from a copy")
    })
}

/// Settings that may change when a run resumes: none of them decides a bit of the result.
const FREE: [&str; 8] = [
    "data.path",
    "data.kind",
    "data.max_bad_fraction",
    "train.workers",
    "train.log_every",
    "train.on_collapse",
    "eval.",
    "checkpoint.",
];

/// Settings that differ and decide the result: `key: old → new`.
pub fn changed(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (load::flat(old), load::flat(new));
    let keys: BTreeSet<&String> = old.iter().chain(&new).map(|(k, _)| k).collect();
    let get = |flat: &[(String, toml::Value)], key: &str| {
        flat.iter().find(|(k, _)| k == key).map_or("absent".to_owned(), |(_, v)| v.to_string())
    };
    keys.into_iter()
        .filter(|k| !FREE.iter().any(|f| *k == f || (f.ends_with('.') && k.starts_with(f))))
        .filter_map(|k| {
            let (a, b) = (get(&old, k), get(&new, k));
            (a != b).then(|| format!("{k}: {a} → {b}"))
        })
        .collect()
}

/// Refuses to resume a run under other settings or with other images.
///
/// # Errors
/// `Config` listing every key.
pub fn check_same(path: &Path, old: (&Config, &Environment), new: (&Config, &str)) -> Result<()> {
    let mut keys = changed(old.0, new.0);
    if old.1.fingerprint != new.1 {
        keys.push(format!("the images: {} other ones", old.1.images));
    }
    if keys.is_empty() {
        return Ok(());
    }
    Err(Error::config(
        path.display().to_string(),
        format!("holds a run with other settings\n  {}", keys.join("\n  ")),
        format!("another --out, or go on as it was with --config {}", path.join(CONFIG).display()),
    ))
}

/// A locked run directory.
#[derive(Debug)]
pub struct RunDir {
    /// Where.
    pub path: PathBuf,
    _lock: lock::Lock,
    log: File,
    listed: BTreeSet<u64>,
}

impl RunDir {
    /// Makes the folder and takes its lock.
    ///
    /// # Errors
    /// `Storage` when it cannot be made, or another process has it.
    pub fn lock(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(|e| Error::io("creating", path, &e))?;
        let lock = lock::Lock::take(path)?;
        fault::point("run.locked");
        let log = path.join(LOG);
        let file = OpenOptions::new().append(true).create(true).open(&log);
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
            log: file.map_err(|e| Error::io("opening", &log, &e))?,
            listed: listed(path),
        })
    }

    /// Makes the folder a run. The configuration comes last: with it the folder is one.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub fn create(&self, config: &Config, environment: &Environment) -> Result<()> {
        let text = serde_json::to_string_pretty(environment).expect("a plain record");
        durable::replace(&self.path.join(ENVIRONMENT), |w| writeln!(w, "{text}"))?;
        fault::point("run.env");
        let text = load::to_toml(config);
        durable::replace(&self.path.join(CONFIG), |w| w.write_all(text.as_bytes()))?;
        fault::point("run.config");
        Ok(())
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(checkpoint::FOLDER)
    }

    /// Says a line on stderr and writes it into the log.
    pub fn say(&mut self, text: &str) {
        terminal::note(text);
        self.write(text);
    }

    /// Writes a line into the log only. A log that cannot be written stops nothing.
    pub fn write(&mut self, text: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let _ = writeln!(self.log, "{now} {text}");
    }

    /// Lists images that could not be used, each once in the life of the run.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub fn list_bad(&mut self, records: &[BadRecord]) -> Result<()> {
        let path = self.path.join(BAD_IMAGES);
        for r in records {
            if !self.listed.insert(r.index) {
                continue;
            }
            let mut text = String::new();
            if !path.exists() {
                text.push_str("path\tindex\treason\treplaced_by\n");
            }
            let reason = escape(r.reason.as_bytes());
            text.push_str(&format!("{}\t{}\t{reason}\t{}\n", r.path, r.index, r.replaced_by));
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .and_then(|mut f| f.write_all(text.as_bytes()))
                .map_err(|e| Error::io("writing", &path, &e))?;
            self.say(&format!("bad image {}: {} (listed in {BAD_IMAGES})", r.path, r.reason));
        }
        Ok(())
    }
}

/// Indices that are listed already.
fn listed(run: &Path) -> BTreeSet<u64> {
    let text = fs::read_to_string(run.join(BAD_IMAGES)).unwrap_or_default();
    text.lines().filter_map(|l| l.split('\t').nth(1)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment { fingerprint: "f".into(), images: 3, ..Environment::here("cpu".into(), 1) }
    }

    #[test]
    fn a_folder_becomes_a_run_with_its_configuration() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/run");
        assert_eq!(look(&path).unwrap(), State::New);
        assert!(!path.exists());
        let run = RunDir::lock(&path).unwrap();
        assert_eq!(look(&path).unwrap(), State::New);
        run.create(&Config::default(), &environment()).unwrap();
        let (config, env) = open(&path).unwrap();
        assert_eq!((config, env), (Config::default(), environment()));
    }

    #[test]
    fn a_folder_of_something_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "x").unwrap();
        let e = look(folder.path()).unwrap_err();
        assert_eq!(e.exit_code(), 2);
        assert!(e.to_string().contains("thesis.tex"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(look(&folder.path().join("thesis.tex")).unwrap_err().exit_code(), 2);
        assert_eq!(open(&folder.path().join("absent")).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn only_settings_that_decide_bits_are_listed() {
        let old = Config::default();
        let mut new = Config::default();
        new.train.log_every = 1;
        new.checkpoint.keep = 7;
        new.data.path = "elsewhere".into();
        assert_eq!(changed(&old, &new), Vec::<String>::new());
        new.optim.base_lr = 1.0;
        new.crops.pop();
        new.model.width = Some(32);
        let keys = changed(&old, &new);
        assert!(keys.contains(&"optim.base_lr: 4.8 → 1.0".to_owned()), "{keys:?}");
        assert!(keys.contains(&"model.width: absent → 32".to_owned()), "{keys:?}");
        assert!(keys.contains(&"crops.1.size: 96 → absent".to_owned()), "{keys:?}");
        let e = check_same(Path::new("r"), (&old, &environment()), (&new, "g")).unwrap_err();
        assert_eq!(e.exit_code(), 2);
        assert!(e.to_string().contains("the images"));
    }

    #[test]
    fn a_bad_image_is_listed_once_over_all_sessions() {
        let folder = tempfile::tempdir().unwrap();
        let record = |index| BadRecord {
            path: format!("{index}.jpg"),
            index,
            reason: "is\tempty".into(),
            replaced_by: index + 1,
        };
        let mut run = RunDir::lock(folder.path()).unwrap();
        run.list_bad(&[record(1), record(1)]).unwrap();
        drop(run);
        let mut run = RunDir::lock(folder.path()).unwrap();
        run.list_bad(&[record(1), record(4)]).unwrap();
        let text = fs::read_to_string(folder.path().join(BAD_IMAGES)).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().all(|l| l.split('\t').count() == 4), "{text}");
    }
}

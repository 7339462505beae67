use ndarray::Array2;
use swav_images::Image;

use super::*;
use crate::batch::CropGroup;
use crate::engine::{Output, Snapshot, Step, Tensor, Tensors};
use crate::run_dir::Environment;
use crate::{metrics, run_dir};

/// An engine of two numbers whose next state depends on everything a real one's depends on.
#[derive(Debug, Default)]
struct Toy {
    value: f32,
    momentum: f32,
    steps: u64,
    loss: f64,
    blow_up_at: Option<u64>,
}

impl Engine for Toy {
    fn train_step(&mut self, batches: &[Batch], step: &Step) -> Result<()> {
        assert_eq!(step.number, self.steps, "steps come in order");
        let images: u64 = batches.iter().flat_map(|b| &b.image).sum();
        let gradient = self.value * 0.1 + (images % 17) as f32 - 8.0;
        self.momentum = 0.9 * self.momentum + gradient;
        self.value -= step.lr as f32 * self.momentum;
        self.loss = f64::from(gradient).abs();
        self.steps += 1;
        Ok(())
    }

    fn stats(&mut self) -> Result<Stats> {
        let bad = self.blow_up_at.is_some_and(|at| self.steps >= at);
        Ok(Stats {
            loss: self.loss,
            grad_norm: f64::from(self.momentum).abs(),
            code_entropy: 0.3,
            prototypes_used: 3,
            embedding_std: 0.9,
            non_finite: bad.then(|| "loss".to_owned()),
        })
    }

    fn trace(&mut self) -> Result<Tensors> {
        unreachable!("a run is not traced")
    }

    fn forward(&mut self, _: &CropGroup, _: &Output) -> Result<Array2<f32>> {
        unreachable!("no evaluation here")
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let one = |v| Tensor::f32(vec![1], vec![v]);
        Ok(Snapshot {
            tensors: Tensors::from([
                ("model.value".to_owned(), one(self.value)),
                ("optim.momentum.value".to_owned(), one(self.momentum)),
            ]),
            optimizer_steps: self.steps,
            ..Snapshot::default()
        })
    }

    fn restore(&mut self, s: &Snapshot) -> Result<()> {
        self.value = s.tensors["model.value"].to_f32()[0];
        self.momentum = s.tensors["optim.momentum.value"].to_f32()[0];
        self.steps = s.optimizer_steps;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        8
    }
}

/// Batches that are a function of the step; may die or send a signal at one.
struct Script {
    signals: Signals,
    die_at: Option<u64>,
    signal_at: Option<u64>,
}

impl Source for Script {
    fn next(&mut self, step: u64) -> Result<Vec<Batch>> {
        if self.die_at == Some(step) {
            return Err(Error::comm("the power", "failed", ""));
        }
        if self.signal_at == Some(step) {
            self.signals.raise(15);
        }
        let image = vec![step * 7919 % 101, step % 3];
        Ok(vec![Batch { groups: Vec::new(), image, targets: Vec::new() }])
    }

    fn give_back(&mut self, _: Vec<Batch>) {}

    fn take_bad(&mut self) -> Vec<BadRecord> {
        Vec::new()
    }
}

fn job() -> Job {
    let mut config = Config::default();
    config.train.batch_size = 2;
    config.train.epochs = 5;
    config.train.log_every = 4;
    config.optim.base_lr = 0.1;
    config.optim.warmup_epochs = 1.0;
    config.checkpoint.every_minutes = 0.0;
    config.checkpoint.every_steps = 6;
    let images = (0..10).map(|i| Image::new(1, 1, 3, vec![i; 3])).collect();
    Job {
        config,
        dataset: Arc::new(Dataset::from_memory(images, None)),
        fingerprint: "f".into(),
        val: None,
        device: Device::Cpu,
        threads: 1,
        init_from: None,
    }
}

/// One session as a process would have it.
fn session(
    folder: &std::path::Path,
    job: &Job,
    die_at: Option<u64>,
    signal_at: Option<u64>,
    blow_up_at: Option<u64>,
) -> Result<Outcome> {
    let mut dir = RunDir::lock(folder).unwrap();
    if run_dir::look(folder)? == run_dir::State::New {
        dir.create(&job.config, &Environment::here("cpu".into(), 1))?;
    }
    let signals = Signals::default();
    let mut source = Script { signals: signals.clone(), die_at, signal_at };
    let mut engine = Toy { blow_up_at, ..Toy::default() };
    let schedule = Schedule::new(&job.config, 5);
    let found = checkpoint::newest(&dir.checkpoints())?;
    let parts = Parts { engine: &mut engine, source: &mut source, signals: &signals, schedule };
    Session::open(&mut dir, job, parts, None, found)?.run()
}

/// All lines without the fields that depend on the clock.
fn lines(folder: &std::path::Path) -> Vec<String> {
    let lines = metrics::read(folder).unwrap().into_iter().map(|mut line| {
        metrics::TIMES.iter().for_each(|t| assert!(line.remove(*t).is_some()));
        serde_json::to_string(&line).unwrap()
    });
    lines.collect()
}

fn whole() -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let outcome = session(folder.path(), &job(), None, None, None).unwrap();
    assert_eq!((outcome.step, outcome.resumed_from), (25, None));
    (outcome.digest, lines(folder.path()))
}

#[test]
fn a_run_logs_every_nth_step_and_the_last() {
    let (_, lines) = whole();
    let steps: Vec<u64> = lines
        .iter()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [4, 8, 12, 16, 20, 24, 25]);
}

#[test]
fn a_run_that_died_at_any_step_ends_in_the_same_bits() {
    let (digest, expected) = whole();
    for at in 0..25 {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            session(folder.path(), &job(), Some(at), None, None).unwrap_err().exit_code(),
            8
        );
        let outcome = session(folder.path(), &job(), None, None, None).unwrap();
        assert_eq!(outcome.resumed_from, Some(at / 6 * 6), "died at {at}");
        assert_eq!((outcome.digest, lines(folder.path())), (digest.clone(), expected.clone()));
    }
}

#[test]
fn a_signal_leaves_a_durable_checkpoint_of_the_step() {
    let (digest, expected) = whole();
    for at in [0, 1, 11, 24] {
        let folder = tempfile::tempdir().unwrap();
        let stopped = session(folder.path(), &job(), None, Some(at), None);
        if at == 24 {
            // It came during the last step: there is nothing left to stop.
            assert_eq!(stopped.unwrap().digest, digest);
            continue;
        }
        let stopped = stopped.unwrap_err();
        assert_eq!(stopped.exit_code(), 75);
        let found = checkpoint::newest(&folder.path().join(checkpoint::FOLDER)).unwrap().unwrap();
        assert_eq!(found.checkpoint.step, at + 1);
        let outcome = session(folder.path(), &job(), None, None, None).unwrap();
        assert_eq!(outcome.resumed_from, Some(at + 1));
        assert_eq!((outcome.digest, lines(folder.path())), (digest.clone(), expected.clone()));
    }
}

#[test]
fn a_damaged_newest_checkpoint_costs_steps_not_bits() {
    let (digest, expected) = whole();
    let folder = tempfile::tempdir().unwrap();
    session(folder.path(), &job(), Some(20), None, None).unwrap_err();
    let newest = checkpoint::list(&folder.path().join(checkpoint::FOLDER)).unwrap().remove(0);
    assert_eq!(newest.0, 18);
    let length = std::fs::metadata(&newest.1).unwrap().len();
    std::fs::File::options().write(true).open(&newest.1).unwrap().set_len(length - 1).unwrap();
    let outcome = session(folder.path(), &job(), None, None, None).unwrap();
    assert_eq!(outcome.resumed_from, Some(12));
    assert_eq!((outcome.digest, lines(folder.path())), (digest, expected));
}

#[test]
fn what_is_not_finite_stops_the_run_before_it_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let e = session(folder.path(), &job(), None, None, Some(12)).unwrap_err();
    assert_eq!(e.exit_code(), 5);
    assert!(e.to_string().contains("step 12"), "{e}");
    let found = checkpoint::newest(&folder.path().join(checkpoint::FOLDER)).unwrap().unwrap();
    assert_eq!(found.checkpoint.step, 6);
}

#[test]
fn a_collapse_stops_a_run_that_asked_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job();
    job.config.train.epochs = 400;
    job.config.train.log_every = 1;
    job.config.train.on_collapse = OnCollapse::Stop;
    job.config.swav.freeze_prototypes_steps = 0;
    // Three prototypes used of a hundred that could be.
    job.config.model.prototypes = 100;
    job.config.train.batch_size = 100;
    let e = session(folder.path(), &job, None, None, None).unwrap_err();
    assert_eq!(e.exit_code(), 5);
    assert!(e.to_string().contains("only 3 of 100 prototypes"), "{e}");
}

//! A run that is stopped at any instant and started again ends in the same bits.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use swav::fault::POINTS;
use swav_tests::program::{Bench, Said, TINY_STEPS, command, run};
use swav_tests::skipped;

/// Starts a command whose output is read when it has ended.
fn start(c: &mut Command) -> Child {
    c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> Said {
    Said::from(&child.wait_with_output().unwrap())
}

fn signal(child: &Child, name: &str) {
    // The shell's own, so that no program is needed.
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
}

/// Waits until a run has written its first line of metrics.
fn begun(bench: &Bench, run: &str) {
    let metrics = bench.path(run).join("metrics.jsonl");
    for _ in 0..3000 {
        if fs::metadata(&metrics).is_ok_and(|m| m.len() > 0) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} is still empty after 30 s", metrics.display());
}

fn same_end(bench: &Bench, what: &str, run: &str, found: &Value, want: &Value) {
    assert_eq!(found["step"], TINY_STEPS, "{what}");
    assert_eq!(found["digest"], want["digest"], "{what}: another state");
    assert_eq!(bench.metrics(run), bench.metrics("undisturbed"), "{what}: other metrics");
}

/// More than 20 kills: one at every fault point, and again at its third passage.
#[test]
fn killed_at_every_fault_point_it_ends_in_the_same_bits() {
    let bench = Bench::new();
    let want = bench.trained("undisturbed", &[]);
    let mut kills = 0;
    for point in POINTS {
        for passage in [1, 3] {
            let run = format!("{point}-{passage}");
            // Points of resuming are passed by a run that was stopped before.
            if point.starts_with("resume.") {
                let mut first = bench.train(&run, &[]);
                first.env("SWAV_FAULT", "checkpoint.committed:2");
                assert_eq!(end(start(&mut first)).code, 137, "{run}: the first kill");
                kills += 1;
            }
            let mut c = bench.train(&run, &[]);
            let said = end(start(c.env("SWAV_FAULT", format!("{point}:{passage}"))));
            match said.code {
                137 => kills += 1,
                // Passed fewer times, or not by `swav train` at all: the run is over and must be right.
                0 => assert!(passage > 1 || point == "run.result", "{point} was never passed"),
                _ => panic!("{run}: {said:?}"),
            }
            let found = Said::from(&bench.train(&run, &[]).output().unwrap()).json();
            same_end(&bench, &run, &run, &found, &want);
        }
    }
    assert!(kills >= 20, "only {kills} kills");
}

/// Kills of one run.
const PATIENCE: u32 = 12;

/// At least 20 kills at moments that nobody chose, with a checkpoint after every step in half of the runs. Moments are
/// shares of what a run takes on this machine, so that a fast one is killed as often as a slow one; a run that was
/// killed [`PATIENCE`] times is left alone, so that a machine that became slower since then still ends.
#[test]
fn killed_at_random_moments_it_ends_in_the_same_bits() {
    let bench = Bench::new();
    // What cargo may have to build is no part of a run.
    run(["--version"]);
    let begin = Instant::now();
    let want = bench.trained("undisturbed", &[]);
    let mut whole = begin.elapsed();
    let (mut kills, mut moment) = (0, 3_u32);
    for round in 0..200 {
        let run = format!("random-{round}");
        let every: &[&str] =
            if round % 2 == 0 { &["--set", "checkpoint.every_steps=1"] } else { &[] };
        let begin = Instant::now();
        for attempt in 0.. {
            let mut child = start(&mut bench.train(&run, every));
            // Powers of 7 modulo a prime: all shares from 1/307 to 306/307, in no order.
            moment = moment * 7 % 307;
            if attempt < PATIENCE {
                let (start, share) = (Instant::now(), whole * moment / 307);
                while start.elapsed() < share && child.try_wait().unwrap().is_none() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                // SIGKILL; on a process that has ended it does nothing.
                child.kill().unwrap();
            }
            match end(child) {
                said if said.code == 137 => kills += 1,
                said => {
                    // The cadence of checkpoints may change, so the digest is that of the undisturbed run.
                    same_end(&bench, &run, &run, &said.json(), &want);
                    if attempt == 0 {
                        whole = whole.min(begin.elapsed());
                    }
                    break;
                }
            }
        }
        if kills >= 20 && round >= 3 {
            return;
        }
    }
    panic!("only {kills} kills in 200 runs of {whole:?}");
}

#[test]
fn a_signal_ends_a_run_with_75_after_a_durable_checkpoint() {
    let bench = Bench::new();
    let long = ["--set", "train.epochs=2000"];
    for name in ["TERM", "INT", "USR1"] {
        let child = start(&mut bench.train(name, &long));
        begun(&bench, name);
        signal(&child, name);
        let said = end(child);
        said.refuses(75, &["durable"]);
        let newest = bench.checkpoints(name).into_iter().next().expect("a checkpoint");
        let inspected = run(["inspect".as_ref(), newest.as_os_str(), "--json".as_ref()]).json();
        let step: u64 = inspected["metadata"]["step"].as_str().unwrap().parse().unwrap();
        assert!(step > 0 && step < 2000 * TINY_STEPS / 5, "{name}: stopped at {step}");
        let status =
            run(["status".as_ref(), bench.path(name).as_os_str(), "--json".as_ref()]).json();
        assert_eq!(status["step"], step, "{name}");
        assert_eq!(status["state"], "stopped", "{name}");
    }
}

#[test]
fn stopped_by_signals_it_ends_in_the_same_bits() {
    let bench = Bench::new();
    let want = bench.trained("undisturbed", &[]);
    for stops in 0..50 {
        let child = start(&mut bench.train("run", &[]));
        std::thread::sleep(Duration::from_millis(40));
        signal(&child, "TERM");
        let said = end(child);
        match said.code {
            75 | 143 => {}
            _ => {
                same_end(&bench, &format!("after {stops} stops"), "run", &said.json(), &want);
                return;
            }
        }
    }
    let found = Said::from(&bench.train("run", &[]).output().unwrap()).json();
    same_end(&bench, "after 50 stops", "run", &found, &want);
}

#[test]
fn a_finished_run_says_so_and_changes_nothing() {
    let bench = Bench::new();
    let first = bench.trained("undisturbed", &[]);
    let metrics = fs::read(bench.path("undisturbed/metrics.jsonl")).unwrap();
    let again = bench.trained("undisturbed", &[]);
    assert_eq!(again["digest"], first["digest"]);
    assert_eq!(again["state"], "finished");
    assert_eq!(fs::read(bench.path("undisturbed/metrics.jsonl")).unwrap(), metrics);
}

/// A change to the bytes of a checkpoint.
type Damage = fn(&mut Vec<u8>);

#[test]
fn a_damaged_checkpoint_is_refused_by_name_and_the_one_before_is_used() {
    let bench = Bench::new();
    let want = bench.trained("undisturbed", &[]);
    let damage: [(&str, Damage); 5] = [
        ("truncated", |b| b.truncate(b.len() / 2)),
        ("one byte short", |b| b.truncate(b.len() - 1)),
        ("empty", Vec::clear),
        ("bit in the data", |b| {
            let at = b.len() - 100;
            b[at] ^= 4;
        }),
        ("bit in the header", |b| b[40] ^= 1),
    ];
    for (what, damage) in damage {
        let run = what.replace(' ', "-");
        let mut c = bench.train(&run, &[]);
        assert_eq!(end(start(c.env("SWAV_FAULT", "checkpoint.pruned:3"))).code, 137);
        let files = bench.checkpoints(&run);
        assert_eq!(files.len(), 2, "{what}: two are kept");
        let mut bytes = fs::read(&files[0]).unwrap();
        damage(&mut bytes);
        fs::write(&files[0], bytes).unwrap();
        let name = files[0].file_name().unwrap().to_string_lossy();
        command_verifies(&bench, &run, &name);
        let said = end(start(&mut bench.train(&run, &[])));
        assert!(said.err.contains(&*name), "{what}: {name} is not named in {}", said.err);
        same_end(&bench, what, &run, &said.json(), &want);
    }
}

/// `swav verify run` finds the damage.
fn command_verifies(bench: &Bench, run: &str, name: &str) {
    let mut c = command(["verify", "run"]);
    let said = Said::from(&c.arg(bench.path(run)).output().unwrap());
    assert_eq!(said.code, 9, "{said:?}");
    assert!(format!("{}{}", said.out, said.err).contains(name), "{said:?}");
}

/// Every bit of a small checkpoint is covered by a digest: none can flip unseen.
#[test]
fn no_bit_of_a_checkpoint_flips_unseen() {
    let bench = Bench::new();
    bench.trained("undisturbed", &[]);
    let newest = &bench.checkpoints("undisturbed")[0];
    let whole = fs::read(newest).unwrap();
    swav::checkpoint::parse(&whole).expect("it is whole");
    let mut bytes = whole.clone();
    // A prime stride visits every kind of place; each bit number comes up.
    for (n, at) in (0..whole.len()).step_by(127).enumerate() {
        bytes[at] ^= 1 << (n % 8);
        // Spaces between JSON tokens are the one thing that may change: the state is then the same.
        if let Ok(same) = swav::checkpoint::parse(&bytes) {
            assert_eq!(Ok(same), swav::checkpoint::parse(&whole), "bit {} of byte {at}", n % 8);
        }
        bytes[at] = whole[at];
    }
    for length in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        assert!(swav::checkpoint::parse(&whole[..length]).is_err(), "{length} bytes were accepted");
    }
}

#[test]
fn two_processes_on_one_directory_are_refused_with_7() {
    let bench = Bench::new();
    let long = ["--set", "train.epochs=2000"];
    let mut first = start(&mut bench.train("run", &long));
    begun(&bench, "run");
    let second = end(start(&mut bench.train("run", &long)));
    second.refuses(7, &["held by", &first.id().to_string()]);
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn another_configuration_is_refused_with_2_and_the_keys() {
    let bench = Bench::new();
    let mut c = bench.train("run", &[]);
    assert_eq!(end(start(c.env("SWAV_FAULT", "checkpoint.committed"))).code, 137);
    let other = end(start(&mut bench.train("run", &["--set", "optim.base_lr=0.5"])));
    other.refuses(2, &["optim.base_lr", "0.4", "0.5"]);
    // What does not touch the bits may change.
    let free = ["--set", "checkpoint.keep=1", "--set", "train.workers=3", "--threads", "2"];
    let mut c = command(["train"]);
    c.arg(bench.path("images")).arg("--out").arg(bench.path("run"));
    c.arg("--config").arg(bench.path("tiny.toml")).arg("--json").args(free);
    let found = Said::from(&c.output().unwrap()).json();
    let want = bench.trained("undisturbed", &[]);
    assert_eq!(found["digest"], want["digest"], "threads, workers and cadence changed the bits");
}

#[test]
fn a_full_disk_ends_with_7_and_loses_nothing() {
    let bench = Bench::new();
    let want = bench.trained("undisturbed", &[]);
    // A file may not grow beyond a few blocks of 512 bytes: the first checkpoint cannot be written.
    let script = "ulimit -f \"$0\" && trap '' XFSZ && exec \"$@\"";
    let train = bench.train("limited", &[]);
    let mut limited = Command::new("sh");
    limited.args(["-c", script, "16"]).arg(train.get_program()).args(train.get_args());
    let said = end(start(&mut limited));
    said.refuses(7, &["checkpoint"]);
    assert!(bench.checkpoints("limited").is_empty(), "a checkpoint that is not whole stands there");
    let found = bench.trained("limited", &[]);
    same_end(&bench, "after a full disk", "limited", &found, &want);

    // And a disk that is really full, where this process may mount one.
    let disk = bench.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "swav"]).arg(&disk).output();
    if !mount.is_ok_and(|m| m.status.success()) {
        return skipped("a full disk: mounting a tmpfs takes privileges that this process lacks");
    }
    let full = std::panic::catch_unwind(|| {
        fs::write(disk.join("filler"), vec![0; 200 << 10]).unwrap();
        let said = end(start(&mut bench.train("disk/run", &[])));
        said.refuses(7, &["disk/run"]);
        fs::remove_file(disk.join("filler")).unwrap();
        let mut c = bench.train("disk/run", &["--set", "checkpoint.keep=1"]);
        (end(start(&mut c)), bench.metrics("disk/run"))
    });
    Command::new("umount").arg(&disk).status().unwrap();
    let (said, metrics) = full.unwrap();
    assert_eq!(said.json()["digest"], want["digest"]);
    assert_eq!(metrics, bench.metrics("undisturbed"));
}

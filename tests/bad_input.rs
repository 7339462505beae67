//! What people really hand to a program: damaged files, strange names, wrong settings. Each has its exit code and
//! its words; nothing panics, and a bad image changes nothing but its own place.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use swav_tests::images::{self, JPEG, encode, fixture, png, png_that_claims};
use swav_tests::program::{Bench, Said, command};
use swav_tests::skipped;

/// Trains TINY on a folder, with a limit on bad images that lets all of them pass.
fn train(bench: &Bench, data: &str, run: &str, more: &[&str]) -> Said {
    let mut c = command(["train"]);
    c.arg(bench.path(data)).arg("--out").arg(bench.path(run));
    c.arg("--config").arg(bench.path("tiny.toml")).args(["--threads", "1", "--json"]).args(more);
    Said::from(&c.output().unwrap())
}

/// Trains and expects the run to end.
fn survives(bench: &Bench, data: &str, run: &str) -> Value {
    let said = train(bench, data, run, &["--set", "data.max_bad_fraction=1.0"]);
    assert!(!said.err.contains("panicked"), "{said:?}");
    said.json()
}

fn bad_images(bench: &Bench, run: &str) -> String {
    fs::read_to_string(bench.path(run).join("bad-images.tsv")).unwrap_or_default()
}

/// A folder of whole images and one more file.
fn with(bench: &Bench, data: &str, name: &str, bytes: &[u8]) {
    images::folder(&bench.path(data), 26, 20);
    fs::write(bench.path(data).join("even").join(name), bytes).unwrap();
}

#[test]
fn a_bad_image_is_listed_with_its_reason_and_replaced() {
    let bench = Bench::new();
    let whole = png(20, 1);
    let cases: [(&str, &str, Vec<u8>); 8] = [
        ("truncated", "a.jpg", JPEG[..JPEG.len() * 2 / 3].to_vec()),
        ("cut", "a.png", whole[..whole.len() - 20].to_vec()),
        ("empty", "a.png", Vec::new()),
        ("text", "a.jpeg", b"this is no image, it only says so\n".to_vec()),
        ("header", "a.png", whole[..33].to_vec()),
        ("gigantic", "a.png", png_that_claims(100_000, 100_000)),
        ("wide", "a.png", png_that_claims(2_000_000, 1)),
        ("zero", "a.png", png_that_claims(0, 7)),
    ];
    for (what, name, bytes) in cases {
        with(&bench, what, name, &bytes);
        let run = format!("run-{what}");
        survives(&bench, what, &run);
        let bad = bad_images(&bench, &run);
        assert!(bad.contains(name), "{what}: {name} is not in bad-images.tsv: {bad:?}");
    }
}

#[test]
fn unusual_but_whole_images_are_used() {
    let bench = Bench::new();
    let names = [
        "cmyk.jpg",
        "progressive.jpg",
        "gray.jpg",
        "full.jpg",
        "turned.jpg",
        "sixteen.png",
        "palette.png",
        "keyed.png",
        "onebit.png",
        "la.png",
        "rgba.png",
        "moving.png",
        "lossy.webp",
        "lossless.webp",
        "alpha.webp",
        "moving.webp",
    ];
    fs::create_dir(bench.path("odd")).unwrap();
    for name in names {
        fs::copy(fixture(name), bench.path("odd").join(name)).unwrap();
    }
    // Mislabelled: a JPEG called .png, a PNG called .jpg, an image without an extension.
    fs::write(bench.path("odd/really-jpeg.png"), JPEG).unwrap();
    fs::write(bench.path("odd/really-png.jpg"), png(20, 1)).unwrap();
    fs::write(bench.path("odd/bare"), png(20, 2)).unwrap();
    // One pixel, one row, one column.
    for (name, w, h) in [("dot.png", 1, 1), ("row.png", 64, 1), ("column.png", 1, 64)] {
        let bytes = encode(w, h, ::png::ColorType::Grayscale, &vec![90; (w * h) as usize]);
        fs::write(bench.path("odd").join(name), bytes).unwrap();
    }
    survives(&bench, "odd", "run");
    assert_eq!(
        bad_images(&bench, "run").lines().filter(|l| l.contains('.')).count(),
        0,
        "{}",
        bad_images(&bench, "run")
    );
}

#[test]
fn a_bad_image_changes_nothing_but_its_own_place() {
    // The bad image stands where a copy of its replacement would: the run is then the same run.
    let bench = Bench::new();
    with(&bench, "one", "zz.png", b"no");
    let a = survives(&bench, "one", "a");
    let b = survives(&bench, "one", "b");
    assert_eq!(a["digest"], b["digest"], "the replacement of a bad image is not deterministic");
    let replaced = bad_images(&bench, "a");
    assert_eq!(replaced, bad_images(&bench, "b"));
}

#[test]
fn too_many_bad_images_stop_a_run_with_3() {
    let bench = Bench::new();
    images::folder(&bench.path("rotten"), 26, 20);
    for n in 0..14 {
        fs::write(bench.path("rotten/even").join(format!("bad{n:02}.png")), b"no").unwrap();
    }
    train(&bench, "rotten", "run", &[]).refuses(3, &["bad-images.tsv", "max_bad_fraction"]);
}

#[test]
fn folders_without_images_are_refused_with_3_and_paths_that_are_not_with_2() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("empty/inside")).unwrap();
    train(&bench, "empty", "a", &[]).refuses(3, &["no JPEG, PNG or WebP"]);
    fs::write(bench.path("empty/inside/read.txt"), "me").unwrap();
    train(&bench, "empty", "b", &[]).refuses(3, &["no JPEG, PNG or WebP"]);
    train(&bench, "nowhere", "c", &[]).refuses(2, &["nowhere"]);
    for run in ["a", "b", "c"] {
        assert!(!bench.path(run).exists(), "a refused command left {run} behind");
    }
    images::folder(&bench.path("few"), 5, 20);
    train(&bench, "few", "d", &[]).refuses(3, &["5 images", "8", "train.batch_size"]);
}

#[test]
fn few_images_train_with_auto() {
    let bench = Bench::new();
    images::folder(&bench.path("few"), 5, 20);
    let mut c = command(["train"]);
    c.arg(bench.path("few")).arg("--out").arg(bench.path("run"));
    c.args(["--threads", "2", "--json", "--set", "train.epochs=1"]);
    c.args(["--set", "optim.warmup_epochs=0"]);
    let said = Said::from(&c.output().unwrap());
    assert!(said.json()["step"].as_u64().unwrap() > 0);
}

#[test]
fn strange_files_and_names_are_no_obstacle() {
    let bench = Bench::new();
    images::folder(&bench.path("odd"), 24, 20);
    let at = bench.path("odd/even");
    let strange: [&[u8]; 4] =
        [b"not utf-8 \xff\xfe.png", b"new\nline.png", b"tab\tand \"quotes\".png", b"-dash.png"];
    for (n, name) in strange.into_iter().enumerate() {
        fs::write(at.join(OsStr::from_bytes(name)), png(20, 50 + n as u32)).unwrap();
    }
    let long = "x".repeat(250);
    fs::write(at.join(format!("{long}.png")), png(20, 60)).unwrap();
    symlink(bench.path("odd"), at.join("loop")).unwrap();
    symlink("nothing", at.join("broken.png")).unwrap();
    symlink(bench.path("images"), at.join("outside")).unwrap();
    fs::create_dir(at.join("folder.png")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(at.join("pipe.png")).status();
    if !fifo.is_ok_and(|s| s.success()) {
        skipped("a pipe among the images: mkfifo is not there");
    }
    survives(&bench, "odd", "run");
    let log = fs::read_to_string(bench.path("run/log.txt")).unwrap();
    assert!(log.contains("loop"), "the loop is not said: {log}");
    // Names come back as one line each, escaped, whatever is in them.
    let mut c = command(["embed"]);
    c.arg(bench.path("run")).arg(bench.path("odd")).arg("--out").arg(bench.path("x.npy"));
    let json = Said::from(&c.arg("--json").output().unwrap()).json();
    assert_eq!(json["images"], 29);
    let names = fs::read_to_string(bench.path("x.txt")).unwrap();
    assert_eq!(names.lines().count(), 29, "{names}");
}

#[test]
fn unreadable_files_are_listed() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    with(&bench, "locked", "closed.png", &png(20, 3));
    let file = bench.path("locked/even/closed.png");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&file).is_ok() {
        // The superuser reads everything; a file that ends before it begins is unreadable to all.
        fs::remove_file(&file).unwrap();
        symlink("/proc/self/mem", &file).unwrap();
    }
    survives(&bench, "locked", "run");
    let said = format!(
        "{}{}",
        bad_images(&bench, "run"),
        fs::read_to_string(bench.path("run/log.txt")).unwrap()
    );
    assert!(said.contains("closed.png"), "{said}");
}

#[test]
fn settings_that_cannot_be_are_refused_with_2_and_named() {
    let bench = Bench::new();
    let cases: &[(&[&str], &[&str])] = &[
        (&["optim.base_lrr=1"], &["base_lrr", "base_lr"]),
        (&["swav.temprature=1"], &["temprature", "temperature"]),
        (&["nothing.here=1"], &["nothing"]),
        (&["train.batch_size=lots"], &["train.batch_size"]),
        (&["train.batch_size=0"], &["train.batch_size"]),
        (&["train.epochs=-1"], &["train.epochs"]),
        (&["swav.epsilon=0.0"], &["swav.epsilon"]),
        (&["swav.temperature=-0.1"], &["swav.temperature"]),
        (&["swav.crops_for_assign=[0,7]"], &["crops_for_assign", "7"]),
        (&["swav.crops_for_assign=[]"], &["crops_for_assign"]),
        (&["swav.queue_length=12"], &["queue_length", "8", "16"]),
        (&["train.accumulate=3"], &["accumulate", "batch_size"]),
        (&["crops.1.size=12"], &["crops", "12"]),
        (&["crops.0.size=0"], &["crops"]),
        (&["crops.0.scale=[0.9,0.1]"], &["scale"]),
        (&["model.backbone=resnet51"], &["resnet51", "resnet50"]),
        (&["model.prototypes=0"], &["model.prototypes"]),
        (&["model.backbone=resnet50w2", "model.width=32"], &["width"]),
        (&["model.in_channels=1", "augment.grayscale=0.2"], &["grayscale"]),
        (&["train.precision=bf16"], &[]),
        (&["method=byol"], &["byol"]),
        (&["optim.optimizer=lamb"], &["lamb"]),
        (&["augment.flip=1.5"], &["augment.flip"]),
        (&["seed"], &["seed", "="]),
    ];
    for (set, words) in cases {
        let mut more = Vec::new();
        for s in *set {
            more.extend(["--set", s]);
        }
        let said = train(&bench, "images", "run", &more);
        let code = if set[0].contains("precision") { 4 } else { 2 };
        said.refuses(code, words);
        assert!(!bench.path("run").exists(), "{set:?} left a run behind");
    }
}

#[test]
fn configuration_files_that_are_none_are_refused_with_2() {
    let bench = Bench::new();
    let refused = |name: &str, bytes: &[u8], words: &[&str]| {
        fs::write(bench.path(name), bytes).unwrap();
        let mut c = command(["train"]);
        c.arg(bench.path("images")).arg("--out").arg(bench.path("run"));
        let said = Said::from(&c.arg("--config").arg(bench.path(name)).output().unwrap());
        said.refuses(2, words);
    };
    refused("broken.toml", b"[train\nepochs = 1", &["broken.toml"]);
    refused("binary.toml", b"\xff\xfe\x00", &["binary.toml"]);
    refused("typo.toml", b"[train]\nepoch = 1", &["epoch", "epochs"]);
    let said = train(&bench, "images", "run", &["--recipe", "swav-100epp"]);
    said.refuses(2, &["swav-100epp", "swav-100ep"]);
}

#[test]
fn places_that_are_no_runs_are_refused() {
    let bench = Bench::new();
    fs::create_dir(bench.path("full")).unwrap();
    fs::write(bench.path("full/letter.txt"), "dear").unwrap();
    train(&bench, "images", "full", &[]).refuses(2, &["full"]);
    assert_eq!(fs::read_dir(bench.path("full")).unwrap().count(), 1, "it was written to");
    fs::write(bench.path("file"), "x").unwrap();
    train(&bench, "images", "file", &[]).refuses(2, &["file"]);
    train(&bench, "images", "file/under", &[]).refuses(7, &["file"]);
}

#[test]
fn weights_that_are_none_are_refused_with_6() {
    let bench = Bench::new();
    let model = bench.path("weights");
    let refused = |bytes: &[u8], words: &[&str]| {
        fs::write(&model, bytes).unwrap();
        for verb in ["inspect", "embed"] {
            let mut c = command([verb]);
            c.arg(&model);
            if verb == "embed" {
                c.arg(bench.path("images")).arg("--out").arg(bench.path("x.npy"));
            }
            Said::from(&c.output().unwrap()).refuses(6, words);
        }
    };
    refused(b"", &["weights"]);
    refused(b"PK\x03\x04 a zip file, such as torch.save writes", &["weights"]);
    refused(b"\x80\x02}q\x00.", &["weights"]);
    refused(&u64::MAX.to_le_bytes(), &["weights"]);
    let mut long = (1_u64 << 40).to_le_bytes().to_vec();
    long.extend(b"{}");
    refused(&long, &["weights"]);
    assert!(!bench.path("x.npy").exists());
    let mut c = command(["inspect"]);
    Said::from(&c.arg(bench.path("nowhere")).output().unwrap()).refuses(2, &["nowhere"]);
}

#[test]
fn data_that_changes_under_a_run_is_named() {
    let bench = Bench::new();
    let mut c = bench.train("run", &[]);
    c.env("SWAV_FAULT", "checkpoint.committed");
    assert_eq!(Said::from(&c.output().unwrap()).code, 137);
    fs::remove_file(bench.path("images/even/0000.png")).unwrap();
    let said = train(&bench, "images", "run", &[]);
    assert_eq!(said.code, 2, "other images under the same indices: {said:?}");
}

/// Nothing outside of the run directory is written.
#[test]
fn the_data_is_left_as_it_was() {
    fn list(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .flat_map(|e| {
                let e = e.unwrap();
                let name = format!("{:?} {}", e.path(), e.metadata().unwrap().len());
                if e.path().is_dir() { list(&e.path()) } else { vec![name] }
            })
            .collect();
        names.sort();
        names
    }
    let bench = Bench::new();
    let before = list(&bench.path("images"));
    bench.trained("run", &[]);
    assert_eq!(list(&bench.path("images")), before);
}

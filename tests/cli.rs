//! Every command of the contract as a user meets it: what it prints, its JSON, its exit code.

use std::fs;
use std::process::Stdio;
use std::sync::OnceLock;

use serde_json::Value;
use swav_tests::data;
use swav_tests::program::{Bench, Said, command, run};

/// One finished run that all tests here read.
fn bench() -> &'static (Bench, Value) {
    static BENCH: OnceLock<(Bench, Value)> = OnceLock::new();
    BENCH.get_or_init(|| {
        let bench = Bench::new();
        let json = bench.trained("run", &[]);
        (bench, json)
    })
}

/// A command with paths of the bench in place of `@name`.
fn swav(args: &str) -> Said {
    let (bench, _) = bench();
    let args = args.split(' ').map(|a| match a.strip_prefix('@') {
        Some(name) => bench.path(name).into_os_string(),
        None => a.into(),
    });
    Said::from(&command(args).output().unwrap())
}

fn numbers(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value[*key].is_number(), "{key} is no number in {value}");
    }
}

fn share(value: &Value) -> f64 {
    let x = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((0.0..=1.0).contains(&x), "{x} is no share");
    x
}

/// A `.npy` file: its header's words and the length of its data.
fn npy(name: &str) -> (String, usize) {
    let bytes = fs::read(bench().0.path(name)).unwrap();
    assert_eq!(&bytes[..6], b"\x93NUMPY", "{name}");
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8(bytes[10..10 + header].to_vec()).unwrap();
    assert!((10 + header).is_multiple_of(64), "{name}: data is not aligned");
    (text, bytes.len() - 10 - header)
}

#[test]
fn train_prints_json_and_leaves_the_files_of_a_run() {
    let (bench, json) = bench();
    assert_eq!(json["state"], "finished");
    assert_eq!(json["digest"].as_str().unwrap().len(), 64);
    for file in [
        "config.toml",
        "env.json",
        "metrics.jsonl",
        "log.txt",
        "checkpoints",
        "report.html",
        "run.lock",
    ] {
        assert!(bench.path("run").join(file).exists(), "{file} is missing");
    }
    let lines = bench.metrics("run");
    let steps: Vec<u64> =
        lines.iter().filter(|l| l["eval"].is_null()).map(|l| l["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, (1..=15).collect::<Vec<_>>(), "one line a step");
    let keys = [
        "epoch",
        "loss",
        "loss_over_ln_k",
        "lr",
        "grad_norm",
        "code_entropy",
        "prototypes_used",
        "embedding_std",
    ];
    numbers(&lines[0], &keys);
    let names = bench.checkpoints("run");
    assert_eq!(names.len(), 2, "checkpoint.keep = 2");
    assert!(names[0].ends_with("step-000000015.safetensors"), "{names:?}");
}

#[test]
fn train_does_not_depend_on_threads_workers_or_instruction_set_class() {
    let (bench, json) = bench();
    for (run, more) in [
        ("two", ["--set", "train.workers=2", "--set", "train.log_every=1"]),
        ("five", ["--set", "train.workers=5", "--set", "train.log_every=1"]),
    ] {
        let other = bench.trained(run, &more);
        assert_eq!(other["digest"], json["digest"], "{more:?}");
    }
    for threads in ["2", "3"] {
        let mut c = command(["train"]);
        c.arg(bench.path("images")).arg("--out").arg(bench.path(&format!("threads{threads}")));
        c.arg("--config").arg(bench.path("tiny.toml")).args(["--json", "--threads", threads]);
        assert_eq!(
            Said::from(&c.output().unwrap()).json()["digest"],
            json["digest"],
            "{threads} threads"
        );
    }
    let last = |run: &str| {
        bench.metrics(run).into_iter().rfind(|l| l["loss"].is_number()).unwrap()["loss"]
            .as_f64()
            .unwrap()
    };
    for isa in ["scalar", "v3", "v4"] {
        let said = Said::from(&bench.train(isa, &[]).env("SWAV_ISA", isa).output().unwrap());
        if said.code == 4 {
            assert!(said.err.contains(isa), "{said:?}");
            // Not a skip that anybody could mend: the machine is as it is, and it said so.
            continue;
        }
        said.json();
        // Other bits, the same training: fifteen steps amplify a rounding of 1e-7 by far less than this.
        let (a, b) = (last(isa), last("run"));
        assert!((a - b).abs() < 1e-2 * b, "{isa}: loss {a} instead of {b}");
    }
    let said = Said::from(&bench.train("no", &[]).env("SWAV_ISA", "v9").output().unwrap());
    said.refuses(2, &["v9", "scalar"]);
}

#[test]
fn the_seed_changes_the_run_and_nothing_else_does() {
    let (bench, json) = bench();
    assert_eq!(bench.trained("again", &[])["digest"], json["digest"]);
    assert_ne!(bench.trained("seeded", &["--set", "seed=6"])["digest"], json["digest"]);
}

#[test]
fn dry_run_touches_nothing_and_says_everything() {
    let said = swav("train @images --out @dry --config @tiny.toml --dry-run --json");
    let json = said.json();
    numbers(
        &json,
        &["images", "steps", "parameters", "memory_bytes", "checkpoint_bytes", "step_flops"],
    );
    assert_eq!(json["images"], 26);
    assert_eq!(json["steps"], 15);
    assert!(!bench().0.path("dry").exists());
    // Without --json it is a configuration that trains the same.
    let text = swav("train @images --out @dry --config @tiny.toml --dry-run").out;
    fs::write(bench().0.path("resolved.toml"), text).unwrap();
    let again =
        swav("train @images --out @resolved --config @resolved.toml --json --threads 1").json();
    assert_eq!(again["digest"], bench().1["digest"]);
}

#[test]
fn auto_explains_itself() {
    let json = swav("train @images --out @dry --dry-run --json").json();
    assert_eq!(json["recipe"], "auto");
    assert!(json["reasons"].as_array().is_some_and(|r| r.len() >= 3), "{json}");
}

#[test]
fn recipes_are_listed_and_shown() {
    let list = run(["recipes", "--json"]).json();
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert!(names.len() >= 11, "{names:?}");
    let text = run(["recipes", "list"]).out;
    for name in names {
        assert!(text.contains(name), "{name} is not in the list");
        if name != "auto" {
            let shown = run(["recipes", "show", name]);
            assert_eq!(shown.code, 0, "{shown:?}");
            fs::write(bench().0.path("shown.toml"), &shown.out).unwrap();
        }
    }
    run(["recipes", "show", "swav-999ep"]).refuses(2, &["swav-999ep", "swav-"]);
}

#[test]
fn embed_writes_an_array_and_its_names() {
    for (output, width) in [("features", 8), ("embeddings", 8), ("scores", 10)] {
        let json =
            swav(&format!("embed @run @images --out @{output}.npy --output {output} --json"))
                .json();
        assert_eq!((&json["images"], &json["width"]), (&26.into(), &width.into()));
        let (header, bytes) = npy(&format!("{output}.npy"));
        assert!(header.contains("'<f4'") && header.contains(&format!("(26, {width})")), "{header}");
        assert_eq!(bytes, 26 * width * 4);
        let names = fs::read_to_string(bench().0.path(&format!("{output}.txt"))).unwrap();
        let names: Vec<&str> = names.lines().collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!((names.len(), names[0]), (26, "even/0000.png"));
        assert_eq!(names, sorted);
    }
}

#[test]
fn assign_writes_prototypes_and_codes() {
    let json = swav("assign @run @images --out @a.npy --balanced --codes @q.npy --json").json();
    assert_eq!((&json["images"], &json["prototypes"]), (&26.into(), &10.into()));
    let (header, bytes) = npy("a.npy");
    assert!(header.contains("'<i8'") && header.contains("(26,)"), "{header}");
    assert_eq!(bytes, 26 * 8);
    let (header, _) = npy("q.npy");
    assert!(header.contains("(26, 10)"), "{header}");
}

#[test]
fn eval_measures() {
    swav_tests::images::folder(&bench().0.path("copies"), 26, 20);
    let knn = swav("eval knn @run --train @images --val @copies --k 1,5 --json").json();
    assert_eq!((&knn["train"], &knn["val"]), (&26.into(), &26.into()));
    assert_eq!(share(&knn["k"]["1"]["top1"]), 1.0, "a copy is the nearest neighbour: {knn}");
    share(&knn["k"]["5"]["top5"]);
    let probe = swav("eval probe @run --train @images --val @images --json").json();
    share(&probe["top1"]);
    numbers(&probe, &["penalty"]);
    let linear =
        swav("eval linear @run --train @images --val @images --epochs 2 --batch-size 8 --json")
            .json();
    assert!(share(&linear["best"]) >= share(&linear["last"]));
}

#[test]
fn inspect_status_and_verify_tell_about_a_run() {
    let (bench, json) = bench();
    let inspected = swav("inspect @run --json").json();
    assert_eq!(inspected["digest"], json["digest"], "one state, one digest");
    let tensors = inspected["tensors"].as_array().unwrap();
    let has = |name: &str| tensors.iter().any(|t| t["name"] == name);
    for name in [
        "model.conv1.weight",
        "model.bn1.running_var",
        "model.prototypes.weight",
        "optim.momentum.conv1.weight",
        "queue",
    ] {
        assert!(has(name), "{name} is missing");
    }
    assert!(
        tensors
            .iter()
            .all(|t| t["dtype"] == "F32" && t["digest"].is_string() && t["shape"].is_array())
    );
    let status = swav("status @run --json").json();
    assert_eq!(
        (&status["state"], &status["step"], &status["digest"]),
        (&"finished".into(), &15.into(), &json["digest"])
    );
    let verified = swav("verify run @run --json").json();
    assert_eq!(verified["whole"], true);
    for verb in ["status", "verify run", "report", "embed"] {
        let rest = if verb == "embed" { " @images --out @x.npy" } else { "" };
        swav(&format!("{verb} @nowhere{rest}")).refuses(2, &["nowhere"]);
    }
    let report = fs::read_to_string(bench.path("run/report.html")).unwrap();
    assert!(
        !report.contains("http://") || !report.contains("src=\"http"),
        "the report loads something"
    );
}

#[test]
fn report_is_one_file() {
    let json = swav("report @run --data @images --json").json();
    let html = fs::read_to_string(json["report"].as_str().unwrap()).unwrap();
    assert!(html.starts_with("<!doctype html>") || html.starts_with("<!DOCTYPE html>"));
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!html.contains(outside), "the report asks the network: {outside}");
    }
}

#[test]
fn export_writes_published_names() {
    let json = swav("export @run --format torchvision --out @model.safetensors --json").json();
    assert!(json["tensors"].as_u64().unwrap() > 10, "{json}");
    let inspected = swav("inspect @model.safetensors --json").json();
    let names: Vec<&str> = inspected["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"conv1.weight") && names.contains(&"layer1.0.bn1.running_mean"),
        "{names:?}"
    );
    // An exported model is a model: it embeds like the run it came from.
    swav("embed @model.safetensors @images --out @exported.npy --json").json();
    swav("embed @run @images --out @original.npy --json").json();
    let read = |name: &str| fs::read(bench().0.path(name)).unwrap();
    assert!(read("exported.npy") == read("original.npy"), "an exported model embeds otherwise");
}

#[test]
fn init_from_starts_from_weights() {
    let json = swav("train @images --out @warm --config @tiny.toml --init-from @run --json --threads 1 --set train.epochs=1").json();
    assert_ne!(json["digest"], bench().1["digest"]);
    let said = swav("train @images --out @cold --config @tiny.toml --init-from @nowhere");
    said.refuses(2, &["nowhere"]);
}

#[test]
fn verify_trajectory_measures_every_tensor() {
    let folder = data("trajectories/swav_basic_sgd_small_stem");
    let (bench, _) = bench();
    let out = bench.path("computed.safetensors");
    let mut c = command(["verify", "trajectory"]);
    c.arg(&folder).args(["--precision", "f64", "--json", "--out"]).arg(&out);
    let json = Said::from(&c.output().unwrap()).json();
    assert!(json.is_object(), "{json}");
    let computed = run(["inspect".as_ref(), out.as_os_str(), "--json".as_ref()]).json();
    assert!(
        computed["tensors"]
            .as_array()
            .unwrap()
            .iter()
            .any(|t| t["name"] == "step0.grad.conv1.weight" && t["dtype"] == "F64")
    );
    // A folder of somebody else has no bounds, so nothing but exact equality passes.
    let copy = bench.path("copy");
    fs::create_dir(&copy).unwrap();
    for file in ["config.json", "inputs.safetensors", "expected.safetensors"] {
        fs::copy(folder.join(file), copy.join(file)).unwrap();
    }
    let strict = swav("verify trajectory @copy --precision f32");
    assert_eq!(strict.code, 9, "{strict:?}");
    fs::write(bench.path("bounds.json"), r#"{"loss": 1, "codes": 1, "gradients": 1, "last": 1}"#)
        .unwrap();
    assert_eq!(swav("verify trajectory @copy --precision f32 --bounds @bounds.json").code, 0);
    swav("verify trajectory @nowhere").refuses(2, &["nowhere"]);
}

#[test]
fn verify_math_holds() {
    let json = run(["verify", "math", "--json"]).json();
    assert_eq!(json["holds"], true);
    let groups = json["transport"].as_array().unwrap();
    let count = |key: &str| groups.iter().map(|group| group[key].as_u64().unwrap()).sum::<u64>();
    assert!(count("held") > 60 && count("failed") == 0, "{groups:?}");
    let table = run(["verify", "math"]);
    assert_eq!(table.code, 0);
    assert!(groups.iter().all(|group| table.out.contains(group["group"].as_str().unwrap())));
}

#[test]
fn bench_measures() {
    let said = swav("bench step --recipe demo --threads 1 --json");
    let json = said.json();
    let row = &json[0];
    numbers(
        row,
        &["seconds", "gflops", "share_of_peak", "images_per_second", "peak_bytes", "threads"],
    );
    assert!(
        row["isa"].is_string() && row["precision"] == "f32" && row["case"].is_string(),
        "{row}"
    );
    swav("bench step --case nothing").refuses(2, &["nothing", "resnet50-224"]);
}

#[test]
fn dry_run_predicts_the_peak_memory_of_a_step() {
    let (bench, _) = bench();
    swav_tests::images::folder(&bench.path("many"), 160, 20);
    for width in [8, 32] {
        let set = format!("--recipe demo --set model.width={width} --threads 2 --json");
        let set = format!("{set} --set train.batch_size=128");
        let planned = swav(&format!("train @many --out @dry --dry-run {set}")).json();
        let measured = swav(&format!("bench step {set}")).json()[0]["peak_bytes"].as_f64().unwrap();
        let most = planned["memory_bytes"].as_f64().unwrap();
        // A step alone writes no checkpoint.
        let checkpoint = planned["checkpoint_bytes"].as_f64().unwrap();
        let engine = most - checkpoint - swav::device::OVERHEAD_BYTES as f64;
        assert!(measured <= most, "width {width}: {measured} bytes, {most} were predicted");
        // Within a tenth, and the constant that is stated.
        assert!(
            engine <= 1.1 * measured,
            "width {width}: {measured} bytes, {engine} in the engine"
        );
    }
}

#[test]
fn doctor_completions_and_man() {
    assert!(run(["doctor", "--json"]).json().is_object());
    assert_eq!(run(["doctor"]).code, 0);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = run(["completions", shell]);
        assert!(said.code == 0 && said.out.contains("swav"), "{shell}: {said:?}");
    }
    let man = run(["man"]);
    assert!(man.code == 0 && man.out.contains(".TH swav"), "{man:?}");
}

#[test]
fn wrong_usage_ends_with_2_and_a_hint() {
    for args in [
        &["trian"][..],
        &["train"],
        &["embed", "--nothing"],
        &["eval"],
        &["verify"],
        &[],
        &["--nope"],
    ] {
        let said = run(args);
        assert_eq!(said.code, 2, "{args:?}: {said:?}");
        assert!(said.out.is_empty() && said.err.contains("swav"), "{args:?}: {said:?}");
    }
    assert!(run(["trian"]).err.contains("train"), "no hint");
    for args in [&["--help"][..], &["train", "--help"], &["--version"]] {
        let said = run(args);
        assert!(said.code == 0 && !said.out.is_empty(), "{args:?}: {said:?}");
    }
    swav("train @images --out @x --device warp").refuses(2, &["warp"]);
    swav("train @images --out @x --device cuda:0 --config @tiny.toml").refuses(4, &["cuda"]);
}

#[test]
fn a_closed_stdout_ends_quietly() {
    for args in ["recipes list", "completions zsh", "man", "inspect @run", "status @run"] {
        let (bench, _) = bench();
        let args = args.split(' ').map(|a| match a.strip_prefix('@') {
            Some(name) => bench.path(name).into_os_string(),
            None => a.into(),
        });
        let mut c = command(args);
        let mut child = c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let said = Said::from(&child.wait_with_output().unwrap());
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{c:?}");
    }
}

#[test]
fn nothing_is_coloured_away_from_a_terminal() {
    let (bench, _) = bench();
    let plain = Said::from(&bench.train("plain", &[]).output().unwrap());
    let asked = Said::from(&bench.train("asked", &[]).env("NO_COLOR", "1").output().unwrap());
    for said in [plain, asked, run(["doctor"]), run(["trian"])] {
        assert!(!said.out.contains('\x1b') && !said.err.contains('\x1b'), "{said:?}");
        assert!(!said.err.contains('\r'), "{said:?}");
    }
}

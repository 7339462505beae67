use swav_images::Image;

use super::*;
use crate::config::{Crops, Stem};
use crate::rng::{Stream, Use};

fn run(config: &Config, lines: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), load::to_toml(config)).unwrap();
    std::fs::write(folder.path().join("metrics.jsonl"), lines).unwrap();
    let env = "{\"host\": \"<script>alert(1)</script>\", \"threads\": 2}";
    std::fs::write(folder.path().join("env.json"), env).unwrap();
    folder
}

fn lines(loss: impl Fn(u64) -> f64) -> String {
    (1..=100)
        .map(|i| {
            format!(
                "{{\"step\":{s},\"epoch\":{e},\"loss\":{l},\"loss_over_ln_k\":{l},\"lr\":0.1,\"grad_norm\":1.0,\
                 \"code_entropy\":0.4,\"prototypes_used\":60,\"embedding_std\":0.8,\"images_per_second\":100,\
                 \"data_wait\":0,\"elapsed_seconds\":{s}}}\n",
                s = i * 10,
                e = i as f64 / 10.0,
                l = loss(i)
            )
        })
        .collect()
}

fn text(folder: &Path) -> String {
    let path = write(folder, None).unwrap();
    assert_eq!(path, folder.join("report.html"));
    std::fs::read_to_string(path).unwrap()
}

fn config() -> Config {
    let mut config = Config::default();
    config.train.epochs = 10;
    config.optim.warmup_epochs = 1.0;
    config
}

#[test]
fn the_page_has_every_part_and_fetches_nothing() {
    let mut all = lines(|i| 1.0 - i as f64 / 250.0);
    all.push_str(
        "{\"step\":1000,\"epoch\":10.0,\"eval\":\"knn\",\"k\":{\"20\":{\"top1\":0.625}}}\n",
    );
    let folder = run(&config(), &all);
    let page = text(folder.path());
    for part in [
        "Loss / ln K",
        "1.0 · ln K = 8.01",
        "Learning rate",
        "Prototypes used",
        "Code entropy / ln K",
        "Spread of the embeddings",
        "Nearest-neighbour accuracy",
        "62.5\u{202f}%",
        "Finished after 10 epochs",
        "swav.epsilon",
        "Not shown: the run does not say where its images are",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(!page.contains("NaN") && page.ends_with("</html>\n"));
}

#[test]
fn a_loss_that_stays_at_ln_k_is_called_what_it_is() {
    let folder = run(&config(), &lines(|_| 0.999));
    let page = text(folder.path());
    assert!(
        page.contains("verdict bad") && page.contains("predictions are those of a uniform guess"),
        "{page}"
    );
}

#[test]
fn a_run_that_just_began_is_not_judged() {
    let all = lines(|_| 0.999).lines().take(3).collect::<Vec<_>>().join("\n");
    let page = text(run(&config(), &all).path());
    assert!(page.contains("verdict wait") && page.contains("nothing learned so far"), "{page}");
}

#[test]
fn a_loss_that_is_not_finite_is_called_diverged() {
    let mut all = lines(|_| 0.8);
    all.push_str("{\"step\":1010,\"epoch\":10.1,\"loss\":null}\n");
    assert!(text(run(&config(), &all).path()).contains("The run diverged"));
}

#[test]
fn an_empty_run_is_no_error_and_another_folder_is() {
    assert!(text(run(&config(), "").path()).contains("has not logged a step"));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(write(folder.path(), None).unwrap_err().exit_code(), 2);
}

/// A run with a checkpoint and images: every section with pictures.
#[test]
fn pictures_come_from_the_model_and_names_are_escaped() {
    let mut config = Config {
        crops: vec![Crops { count: 2, size: 16, scale: [0.2, 1.0], ratio: [0.75, 1.3] }],
        ..config()
    };
    config.model.backbone = "resnet10".into();
    config.model.width = Some(4);
    config.model.stem = Stem::Small;
    (config.model.hidden, config.model.output_dim, config.model.prototypes) = (8, 6, 5);
    let folder = run(&config, &lines(|_| 0.8));
    let network = crate::net::Network::new(&config, 0).unwrap();
    let options = crate::device::Options {
        device: Device::Cpu,
        threads: 1,
        precision: crate::device::Precision::F32,
        images: 1,
        accumulate: 1,
        training: false,
    };
    let mut engine = crate::device::open(&config, &network, &options).unwrap();
    let checkpoint = crate::checkpoint::Checkpoint {
        step: 7,
        config: config.clone(),
        classes: 0,
        fingerprint: String::new(),
        metrics_offset: 0,
        elapsed_seconds: 0.0,
        snapshot: engine.snapshot().unwrap(),
    };
    let checkpoints = folder.path().join(crate::checkpoint::FOLDER);
    crate::checkpoint::write(&checkpoints, &checkpoint, 2).unwrap();

    let images = folder.path().join("images");
    let mut stream = Stream::new(1, Use::Initialisation, 0);
    for i in 0..24 {
        let class = images.join(if i % 2 == 0 { "a<b>" } else { "c" });
        std::fs::create_dir_all(&class).unwrap();
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 20, 18);
        encoder.set_color(png::ColorType::Rgb);
        let pixels: Vec<u8> = (0..20 * 18 * 3).map(|_| stream.below(256) as u8).collect();
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        std::fs::write(class.join(format!("<script>{i}.png")), bytes).unwrap();
    }
    let path = write(folder.path(), Some(&images)).unwrap();
    let page = std::fs::read_to_string(path).unwrap();
    for part in ["<h2>Crops", "<h2>Prototypes", "<h2>Nearest neighbours", "<h2>Map", "a&lt;b&gt;"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    assert_eq!(page.matches("class=\"neighbours\"").count(), 8);
    // Four originals with two boxes each, each drawn as two lines.
    assert_eq!(page.matches("class=\"box\"").count(), 16);
    // The same through the library, from memory.
    let memory = (0..5).map(|i| Image::new(9, 9, 3, vec![i * 9; 243])).collect();
    let dataset = Arc::new(Dataset::from_memory(memory, None));
    write_with(folder.path(), dataset).unwrap();
}

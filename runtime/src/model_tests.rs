use super::*;
use crate::batch::Pixels;
use crate::checkpoint::Checkpoint;
use crate::config::{Crops, Stem};
use crate::rng::{Stream, Use};

fn config() -> Config {
    let mut config = Config {
        crops: vec![Crops { count: 2, size: 16, scale: [0.2, 1.0], ratio: [0.75, 1.3] }],
        ..Config::default()
    };
    config.model.backbone = "resnet10".into();
    config.model.width = Some(4);
    config.model.stem = Stem::Small;
    (config.model.hidden, config.model.output_dim, config.model.prototypes) = (8, 6, 5);
    config.swav.queue_length = 0;
    config
}

/// A run with one checkpoint of freshly drawn weights.
fn run(config: &Config) -> tempfile::TempDir {
    let options = Options {
        device: Device::Cpu,
        threads: 1,
        precision: Precision::F32,
        images: 1,
        accumulate: 1,
        training: false,
    };
    let network = Network::new(config, 0).unwrap();
    let snapshot = device::open(config, &network, &options).unwrap().snapshot().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint {
        step: 7,
        config: config.clone(),
        classes: 0,
        fingerprint: String::new(),
        metrics_offset: 0,
        elapsed_seconds: 0.0,
        snapshot,
    };
    checkpoint::write(&folder.path().join(checkpoint::FOLDER), &checkpoint, 2).unwrap();
    folder
}

fn crops() -> CropGroup {
    let mut stream = Stream::new(5, Use::Initialisation, 0);
    let pixels = (0..3 * 16 * 16 * 3).map(|_| stream.below(256) as u8).collect();
    CropGroup { count: 1, size: 16, channels: 3, pixels: Pixels::Bytes(pixels) }
}

#[test]
fn a_run_a_checkpoint_and_an_exported_model_give_the_same_features() {
    let folder = run(&config());
    let mut model = Model::open(folder.path(), Device::Cpu, 1).unwrap();
    assert_eq!(model.weights.step, Some(7));
    let features = model.forward(&crops(), &Output::Features).unwrap();
    assert_eq!(features.dim(), (3, 32));
    assert!(features.iter().any(|&v| v != 0.0));
    assert_eq!(model.forward(&crops(), &Output::Scores).unwrap().dim(), (3, 5));

    let file = folder.path().join("checkpoints").join(checkpoint::name(7));
    let mut model = Model::open(&file, Device::Cpu, 1).unwrap();
    assert_eq!(model.forward(&crops(), &Output::Features).unwrap(), features);

    let exported = folder.path().join("backbone.safetensors");
    let weights = Weights::open(folder.path()).unwrap();
    let written = export::torchvision(&weights, &exported).unwrap();
    assert_eq!(written.architecture, None);
    let mut model = Model::open(&exported, Device::Cpu, 1).unwrap();
    assert_eq!(model.forward(&crops(), &Output::Features).unwrap(), features);
    assert_eq!(model.weights.config, config());
    // What is not in the file is not made up.
    for output in [Output::Embeddings, Output::Scores] {
        assert_eq!(model.forward(&crops(), &output).unwrap_err().exit_code(), 2);
    }
}

#[test]
fn an_export_has_torchvisions_names_and_says_how_to_preprocess() {
    let mut config = config();
    config.model.backbone = "resnet18".into();
    config.model.width = None;
    config.model.stem = Stem::Imagenet;
    config.augment.std[0] = 0.228;
    let folder = run(&config);
    let weights = Weights::open(folder.path()).unwrap();
    let out = folder.path().join("timm");
    let written = export::timm(&weights, &out).unwrap();
    assert_eq!(written.architecture, Some("resnet18"));
    let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
    let file = container::File::parse(&bytes).unwrap();
    let names: Vec<String> = file.entries().into_iter().map(|e| e.name).collect();
    // torchvision's resnet18 has 62 parameters and 40 running statistics without num_batches_tracked; the two of fc
    // are not there.
    assert_eq!(names.len(), 60 + 40);
    for name in [
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.running_mean",
        "layer4.1.bn2.bias",
    ] {
        assert!(names.iter().any(|n| n == name), "{name}");
    }
    assert!(names.iter().all(|n| !n.contains("projection") && !n.contains("prototypes")));
    assert_eq!(file.metadata["format"], "pt");
    assert_eq!(file.metadata["std"], "[0.228,0.224,0.225]");
    let said: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(said["architecture"], "resnet18");
    assert_eq!(said["num_classes"], 0);
    assert_eq!(said["num_features"], 512);
    assert_eq!(said["pretrained_cfg"]["std"][0], 0.228);
    assert_eq!(Weights::open(&out).unwrap().tensors, Weights::open(&written.path).unwrap().tensors);
}

#[test]
fn timm_is_refused_where_it_has_no_such_network() {
    let folder = run(&config());
    let weights = Weights::open(folder.path()).unwrap();
    let error = export::timm(&weights, &folder.path().join("timm")).unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("no model class"), "{error}");
}

#[test]
fn tensors_of_another_architecture_are_listed() {
    let folder = run(&config());
    let found = checkpoint::newest(&folder.path().join("checkpoints")).unwrap().unwrap();
    let mut wrong = found.checkpoint;
    wrong.config.model.prototypes = 9;
    wrong.snapshot.tensors.remove("model.conv1.weight");
    let extra = crate::engine::Tensor::f32(vec![1], vec![0.0]);
    wrong.snapshot.tensors.insert("model.module.conv1.weight".into(), extra);
    let other = tempfile::tempdir().unwrap();
    checkpoint::write(&other.path().join("checkpoints"), &wrong, 2).unwrap();
    let error = Weights::open(other.path()).unwrap_err();
    assert_eq!(error.exit_code(), 6);
    let text = error.to_string();
    for part in [
        "prototypes.weight         [9, 6]         [5, 6]",
        "conv1.weight              [4, 3, 3, 3]   missing",
        "module.conv1.weight       nothing        [1]",
    ] {
        let squeeze = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeeze(&text).contains(&squeeze(part)), "{text}");
    }
}

#[test]
fn other_files_are_refused_by_kind() {
    let folder = tempfile::tempdir().unwrap();
    let code = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = Weights::open(&path).unwrap_err();
        (error.exit_code(), error.to_string())
    };
    assert!(code("a.pth", b"PK\x03\x04rest").1.contains("torch.save"));
    assert!(code("b.pth", b"\x80\x02}q").1.contains("pickle"));
    assert_eq!(code("c.npy", b"\x93NUMPY\x01\x00").0, 6);
    assert_eq!(code("d", b"").0, 6);
    assert_eq!(code("e", &[0; 100]).0, 6);
    assert_eq!(Weights::open(&folder.path().join("nothing")).unwrap_err().exit_code(), 2);
    assert_eq!(Weights::open(folder.path()).unwrap_err().exit_code(), 2);
    std::fs::create_dir(folder.path().join("checkpoints")).unwrap();
    assert_eq!(Weights::open(folder.path()).unwrap_err().exit_code(), 6);
}

#[test]
fn a_changed_bit_of_an_exported_model_is_seen() {
    let folder = run(&config());
    let out = folder.path().join("x.safetensors");
    export::torchvision(&Weights::open(folder.path()).unwrap(), &out).unwrap();
    let mut bytes = std::fs::read(&out).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    std::fs::write(&out, bytes).unwrap();
    assert_eq!(Weights::open(&out).unwrap_err().exit_code(), 6);
}

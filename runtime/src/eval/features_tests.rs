use swav_images::Image;

use super::*;

fn dataset() -> Arc<Dataset> {
    let images = (0..70u8).map(|i| Image::new(6, 4, 1, vec![i; 24])).collect();
    let labels = (0..70).map(|i| if i == 3 { -1 } else { i % 3 }).collect();
    Arc::new(Dataset::from_memory(images, Some(labels)))
}

fn config() -> Config {
    let mut config = Config::default();
    config.model.in_channels = 1;
    config.eval.crop = Some(4);
    config
}

#[test]
fn raw_pixels_are_the_centre_crops_in_order() {
    let set = raw_pixels(&config(), &dataset(), Workers::Count(2)).unwrap();
    assert_eq!(set.features.dim(), (70, 16));
    assert_eq!(set.index, (0..70).collect::<Vec<u64>>());
    for (i, row) in set.features.rows().into_iter().enumerate() {
        assert!(row.iter().all(|&v| v == i as f32 / 255.0));
    }
    assert_eq!(set.labels[..5], [0, 1, 2, -1, 1]);
    assert!(set.bad.is_empty());
}

#[test]
fn sizes_follow_the_largest_crop_unless_said() {
    let mut config = Config::default();
    assert_eq!(eval_sizes(&config), (256, 224));
    config.crops.iter_mut().for_each(|c| c.size /= 7);
    assert_eq!(eval_sizes(&config), (37, 32));
    config.eval.resize = Some(40);
    config.eval.crop = Some(28);
    assert_eq!(eval_sizes(&config), (40, 28));
}

#[test]
fn classes_are_matched_by_name_not_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let write = |set: &str, classes: &[&str]| {
        for class in classes {
            let path = folder.path().join(set).join(class);
            std::fs::create_dir_all(&path).unwrap();
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
            encoder.set_color(png::ColorType::Grayscale);
            encoder.write_header().unwrap().write_image_data(&[9; 16]).unwrap();
            std::fs::write(path.join("a.png"), bytes).unwrap();
        }
        let part = crate::data::Part::Any;
        Dataset::open(folder.path().join(set), part, &Default::default()).unwrap()
    };
    let train = write("train", &["ant", "bee", "cow"]);
    let val = write("val", &["bee", "cow"]);
    assert_eq!(same_classes(&train, &val).unwrap(), [1, 2]);
    let error = same_classes(&val, &train).unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains("ant"), "{error}");
}

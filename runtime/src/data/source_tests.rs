use std::fs;
use std::os::unix::fs::symlink;

use tempfile::tempdir;

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    fs::read(format!("{}/images/testdata/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn open(path: &Path) -> Result<Dataset> {
    Dataset::open(path, Part::Any, &DataConfig::default())
}

fn write(path: PathBuf, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn names(dataset: &Dataset) -> Vec<String> {
    (0..dataset.len()).map(|i| dataset.name(i)).collect()
}

#[test]
fn a_folder_is_sorted_by_bytes_and_classes_are_its_first_level() {
    let dir = tempdir().unwrap();
    let image = fixture("rgba.png");
    for name in ["b/2.png", "a/z.png", "a-b/1.JPG", "a/deep/er/1.png", "top.png", "a/noextension"] {
        write(dir.path().join(name), &image);
    }
    write(dir.path().join("a/.hidden.png"), &image);
    write(dir.path().join(".cache/x.png"), &image);
    write(dir.path().join("a/notes.txt"), b"notes");
    let data = open(dir.path()).unwrap();
    assert_eq!(
        names(&data),
        ["a-b/1.JPG", "a/deep/er/1.png", "a/noextension", "a/z.png", "b/2.png", "top.png"]
    );
    assert_eq!(data.class_names(), ["a", "a-b", "b"]);
    let labels: Vec<_> = (0..data.len()).map(|i| data.label(i)).collect();
    assert_eq!(labels, [Some(1), Some(0), Some(0), Some(0), Some(2), None]);
    assert_eq!((data.kind(), data.others(), data.smallest_side_hint()), ("folder", 1, Some(32)));
    // A PNG named .JPG is read by its content.
    assert_eq!(data.read(0, 3).unwrap().width, 48);
}

#[test]
fn a_flat_folder_has_no_labels() {
    let dir = tempdir().unwrap();
    write(dir.path().join("x.jpg"), &fixture("gray.jpg"));
    let data = open(dir.path()).unwrap();
    assert_eq!((data.len(), data.classes(), data.label(0), data.has_labels()), (1, 0, None, false));
    assert_eq!(data.channels_hint(), 1);
}

#[test]
fn strange_entries_of_a_folder_are_left_out_and_said() {
    let dir = tempdir().unwrap();
    let outside = tempdir().unwrap();
    let image = fixture("rgba.png");
    write(dir.path().join("set/good.png"), &image);
    write(outside.path().join("far/far.png"), &image);
    fs::create_dir(dir.path().join("set/folder.jpg")).unwrap();
    let set = dir.path().join("set");
    symlink(&set, set.join("loop")).unwrap();
    symlink(outside.path().join("far"), set.join("out")).unwrap();
    symlink(outside.path().join("far/far.png"), set.join("link.png")).unwrap();
    symlink(dir.path().join("nothing"), set.join("broken.png")).unwrap();
    assert!(
        std::process::Command::new("mkfifo").arg(set.join("pipe.jpg")).status().unwrap().success()
    );
    let _socket = std::os::unix::net::UnixListener::bind(set.join("socket.png")).unwrap();

    let data = open(&set).unwrap();
    assert_eq!(names(&data), ["good.png", "link.png"]);
    let said: Vec<&str> = data.skipped().iter().map(|s| s.path.as_str()).collect();
    assert_eq!(said, ["broken.png", "loop", "out", "pipe.jpg", "socket.png"]);
    assert!(data.read(1, 3).is_ok());
}

#[test]
fn links_inside_the_tree_are_followed() {
    let dir = tempdir().unwrap();
    write(dir.path().join("a/1.png"), &fixture("rgba.png"));
    symlink(dir.path().join("a"), dir.path().join("b")).unwrap();
    assert_eq!(names(&open(dir.path()).unwrap()), ["a/1.png", "b/1.png"]);
}

#[test]
fn names_are_bytes_and_shown_escaped() {
    use std::ffi::OsStr;
    let dir = tempdir().unwrap();
    let image = fixture("rgba.png");
    for name in
        [&b"caf\xe9.png"[..], b"new\nline.png", "u\u{308}.png".as_bytes(), "ü.png".as_bytes()]
    {
        write(dir.path().join(OsStr::from_bytes(name)), &image);
    }
    let data = open(dir.path()).unwrap();
    assert_eq!(names(&data), ["caf\\xe9.png", "new\\nline.png", "u\u{308}.png", "ü.png"]);
    assert!((0..4).all(|i| data.read(i, 3).is_ok()));
}

#[test]
fn damaged_files_are_candidates_and_refused_when_read() {
    let dir = tempdir().unwrap();
    let whole = fixture("baseline.jpg");
    write(dir.path().join("1.jpg"), b"");
    write(dir.path().join("2.jpg"), b"a text");
    write(dir.path().join("3.jpg"), &whole[..whole.len() / 2]);
    write(dir.path().join("4.jpg"), &whole);
    let data = open(dir.path()).unwrap();
    let good: Vec<bool> = (0..4).map(|i| data.read(i, 3).is_ok()).collect();
    assert_eq!(good, [false, false, false, true]);
    fs::remove_file(dir.path().join("4.jpg")).unwrap();
    assert!(data.read(3, 3).unwrap_err().reason.starts_with("cannot be read"));
}

#[test]
fn what_is_no_data_set_is_refused_by_its_remedy() {
    let dir = tempdir().unwrap();
    assert!(matches!(open(&dir.path().join("none")), Err(Error::Config(_))));
    assert!(matches!(open(dir.path()), Err(Error::Data(_))));
    write(dir.path().join("x.txt"), b"\n\n");
    assert!(matches!(open(dir.path()), Err(Error::Data(_))));
    assert!(matches!(open(&dir.path().join("x.txt")), Err(Error::Data(_))));
    write(dir.path().join("one.png"), &fixture("rgba.png"));
    assert!(matches!(open(&dir.path().join("one.png")), Err(Error::Config(_))));
}

#[test]
fn a_list_names_files_beside_it() {
    let dir = tempdir().unwrap();
    write(dir.path().join("img/1.png"), &fixture("rgba.png"));
    write(dir.path().join("list.tsv"), b"img/1.png\tcat\nimg/none.png\tdog\n");
    let data = open(&dir.path().join("list.tsv")).unwrap();
    assert_eq!(
        (data.kind(), data.len(), data.class_names().join(",")),
        ("list", 2, "cat,dog".into())
    );
    assert_eq!((data.label(0), data.label(1)), (Some(0), Some(1)));
    assert!(data.read(0, 3).is_ok() && data.read(1, 3).is_err());
}

fn idx(shape: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
    bytes.extend(values);
    bytes
}

#[test]
fn the_part_chooses_among_the_idx_files_of_a_folder() {
    let dir = tempdir().unwrap();
    let pair = |prefix: &str, n: u32| {
        let pixels: Vec<u8> = (0..n * 6).map(|x| x as u8).collect();
        let labels: Vec<u8> = (0..n).map(|x| x as u8 % 4).collect();
        write(dir.path().join(format!("{prefix}-images-idx3-ubyte")), &idx(&[n, 2, 3], &pixels));
        write(dir.path().join(format!("{prefix}-labels-idx1-ubyte")), &idx(&[n], &labels));
    };
    pair("train", 5);
    pair("t10k", 3);
    let open = |part| Dataset::open(dir.path(), part, &DataConfig::default());
    let train = open(Part::Train).unwrap();
    assert_eq!(
        (train.kind(), train.len(), train.classes(), train.label(4)),
        ("idx", 5, 4, Some(0))
    );
    assert_eq!(train.read(1, 1).unwrap(), Image::new(3, 2, 1, vec![6, 7, 8, 9, 10, 11]));
    assert_eq!(train.read(1, 3).unwrap().pixels[..6], [6, 6, 6, 7, 7, 7]);
    assert_eq!((train.smallest_side_hint(), train.channels_hint()), (Some(2), 1));
    assert_eq!(open(Part::Validation).unwrap().len(), 3);
    assert!(matches!(open(Part::Any), Err(Error::Config(_))));
    let file = dir.path().join("t10k-images-idx3-ubyte");
    assert_eq!(Dataset::open(file, Part::Any, &DataConfig::default()).unwrap().len(), 3);

    fs::write(dir.path().join("t10k-labels-idx1-ubyte"), idx(&[2], &[0, 1])).unwrap();
    assert!(matches!(open(Part::Validation), Err(Error::Data(_))));
}

#[test]
fn the_fingerprint_follows_names_and_pixels() {
    let a = Dataset::from_memory(vec![Image::new(1, 1, 1, vec![3])], None);
    let b = Dataset::from_memory(vec![Image::new(1, 1, 1, vec![4])], None);
    assert_eq!(a.fingerprint(), a.fingerprint());
    assert_ne!(a.fingerprint(), b.fingerprint());
}

#[test]
fn one_thin_image_in_twenty_does_not_decide_the_side() {
    let gray = |width, height| Image::new(width, height, 1, vec![0; width * height]);
    let set = |thin: usize| {
        let images = (0..20).map(|i| if i < thin { gray(90, 2) } else { gray(70, 60) });
        Dataset::from_memory(images.collect(), None).smallest_side_hint()
    };
    assert_eq!((set(0), set(1), set(2)), (Some(60), Some(60), Some(2)));
}

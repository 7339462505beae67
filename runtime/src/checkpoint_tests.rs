use super::*;
use crate::engine::Tensor;

fn checkpoint(step: u64) -> Checkpoint {
    let values = (0..12).map(|i| i as f32 + step as f32 / 7.0).collect();
    Checkpoint {
        step,
        config: Config::default(),
        classes: 0,
        fingerprint: "f".into(),
        metrics_offset: 17,
        elapsed_seconds: 1.5,
        snapshot: Snapshot {
            tensors: Tensors::from([
                ("model.a".to_owned(), Tensor::f32(vec![3, 4], values)),
                ("queue".to_owned(), Tensor::f32(vec![2], vec![0.5, -0.0])),
            ]),
            queue_filled: 1,
            optimizer_steps: step,
            prototype_steps: step / 2,
        },
    }
}

fn bytes(c: &Checkpoint) -> Vec<u8> {
    let mut out = Vec::new();
    container::write(&mut out, &c.snapshot.tensors, &c.metadata(), || {}).unwrap();
    out
}

#[test]
fn a_checkpoint_reads_back_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let written = write(folder.path(), &checkpoint(12), 2).unwrap();
    assert!(written.path.ends_with("step-000000012.safetensors"));
    assert_eq!(written.bytes, fs::metadata(&written.path).unwrap().len());
    let read = read(&written.path).unwrap();
    assert_eq!(read, checkpoint(12));
    assert_eq!(container::digest(&read.snapshot.tensors), written.digest);
}

#[test]
fn the_newest_are_kept_in_the_order_of_steps_not_of_names() {
    let folder = tempfile::tempdir().unwrap();
    for step in [5, 9, 10, 1_000_000_001] {
        write(folder.path(), &checkpoint(step), 2).unwrap();
    }
    let steps: Vec<u64> = list(folder.path()).unwrap().into_iter().map(|f| f.0).collect();
    assert_eq!(steps, [1_000_000_001, 10]);
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let whole = bytes(&checkpoint(3));
    assert!(parse(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(parse(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(parse(&longer).is_err());
}

#[test]
fn every_flipped_bit_is_seen() {
    let whole = bytes(&checkpoint(3));
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(parse(&damaged).is_err(), "bit {bit} of {}", whole.len() * 8);
    }
}

#[test]
fn a_damaged_newest_gives_way_to_the_one_before_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &checkpoint(1), 2).unwrap();
    let newest_written = write(folder.path(), &checkpoint(2), 2).unwrap();
    let mut damaged = fs::read(&newest_written.path).unwrap();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(&newest_written.path, damaged).unwrap();
    let found = newest(folder.path()).unwrap().unwrap();
    assert_eq!(found.checkpoint.step, 1);
    assert_eq!(found.refused.len(), 1);
    assert!(found.refused[0].1.contains("tensor queue"), "{:?}", found.refused);
}

#[test]
fn only_damaged_ones_are_an_error_and_none_is_none() {
    let folder = tempfile::tempdir().unwrap();
    assert!(newest(&folder.path().join("absent")).unwrap().is_none());
    assert!(newest(folder.path()).unwrap().is_none());
    fs::write(folder.path().join(name(4)), b"nothing").unwrap();
    assert_eq!(newest(folder.path()).unwrap_err().exit_code(), 6);
}

#[test]
fn foreign_files_are_no_checkpoints() {
    let mut out = Vec::new();
    let tensors = checkpoint(1).snapshot.tensors;
    container::write(&mut out, &tensors, &Metadata::new(), || {}).unwrap();
    assert!(parse(&out).unwrap_err().contains("no checkpoint of swav"));
    let mut later = checkpoint(1).metadata();
    later.insert("version".into(), "2".into());
    out.clear();
    container::write(&mut out, &tensors, &later, || {}).unwrap();
    assert!(parse(&out).unwrap_err().contains("version 2"));
}

#[test]
fn an_interrupted_write_leaves_a_file_that_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &checkpoint(1), 2).unwrap();
    fs::write(folder.path().join(format!("{TEMPORARY}{}", name(2))), b"half").unwrap();
    assert_eq!(newest(folder.path()).unwrap().unwrap().checkpoint.step, 1);
    sweep(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

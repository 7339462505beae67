//! IDX files (the format of MNIST): a magic number `0 0 8 d`, d sizes as big-endian u32, then bytes; plain or
//! gzipped. Images have d = 3 (count, rows, columns) or 4 (and channels), labels d = 1.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use swav_images::BadImage;

use super::Part;
use crate::error::{Error, Result};

/// The bytes of an IDX file and their shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idx {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<u8>,
}

/// Largest array that is read; the published sets have 47 MB.
const MAX_VALUES: usize = 16 << 30;

/// Reads an array of unsigned bytes, plain or gzipped.
pub(crate) fn parse(source: impl Read) -> std::result::Result<Idx, BadImage> {
    let mut reader = BufReader::new(source);
    let io = |e: std::io::Error| BadImage::new(e.to_string());
    let head = std::io::BufRead::fill_buf(&mut reader).map_err(io)?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return plain(flate2::bufread::MultiGzDecoder::new(reader));
    }
    plain(reader)
}

fn plain(mut reader: impl Read) -> std::result::Result<Idx, BadImage> {
    let short = |e: std::io::Error| BadImage::new(format!("ends too early or is damaged ({e})"));
    let mut magic = [0; 4];
    reader.read_exact(&mut magic).map_err(short)?;
    let [0, 0, 8, dimensions @ 1..=4] = magic else {
        return Err(BadImage::new(format!(
            "starts with {magic:02x?}, not with 00 00 08 and a number of dimensions (bytes only)"
        )));
    };
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let mut size = [0; 4];
        reader.read_exact(&mut size).map_err(short)?;
        shape.push(u32::from_be_bytes(size) as usize);
    }
    let count =
        shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|n| *n <= MAX_VALUES);
    let Some(count) = count else {
        return Err(BadImage::new(format!("declares {shape:?} values, more than 16 GiB")));
    };
    // Grows with what is there, so that a small file cannot claim memory.
    let mut values = Vec::new();
    reader.by_ref().take(count as u64).read_to_end(&mut values).map_err(short)?;
    if values.len() != count {
        return Err(BadImage::new(format!("declares {count} values and holds {}", values.len())));
    }
    if reader.read(&mut [0]).map_err(short)? != 0 {
        return Err(BadImage::new(format!("goes on after its {count} values")));
    }
    Ok(Idx { shape, values })
}

const MARK: &str = "-images-idx3-ubyte";

/// Whether the bytes (plain or gzipped) begin an IDX array of images.
pub(crate) fn is_images(bytes: &[u8]) -> bool {
    let mut head = [0; 4];
    let read = if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(bytes).read_exact(&mut head)
    } else {
        { bytes }.read_exact(&mut head)
    };
    read.is_ok() && matches!(head, [0, 0, 8, 3 | 4])
}

/// The images file of `part` in a folder; `None` when the folder holds no IDX files.
pub(crate) fn in_folder(folder: &Path, part: Part) -> Result<Option<PathBuf>> {
    let Ok(entries) = folder.read_dir() else { return Ok(None) };
    let mut files: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(MARK) || name.ends_with(&format!("{MARK}.gz")))
        .collect();
    files.sort();
    if files.is_empty() {
        return Ok(None);
    }
    let prefix = match part {
        Part::Train => "train-",
        Part::Validation => "t10k-",
        Part::Any => "",
    };
    // A file and its gzipped twin are one; the plain one sorts first.
    let mut fitting: Vec<&String> = files.iter().filter(|name| name.starts_with(prefix)).collect();
    fitting.dedup_by_key(|name| name.trim_end_matches(".gz"));
    match fitting[..] {
        [name] => Ok(Some(folder.join(name))),
        [] => Err(Error::config(
            folder.display().to_string(),
            format!("holds no file {prefix}*{MARK}[.gz], only {}", files.join(", ")),
            format!("name the file, e.g. {}", folder.join(&files[0]).display()),
        )),
        _ => Err(Error::config(
            folder.display().to_string(),
            format!("holds several sets of images: {}", files.join(", ")),
            format!("name the file, e.g. {}", folder.join(&files[0]).display()),
        )),
    }
}

/// The labels beside an images file, when they are there: `-images-idx3-` becomes `-labels-idx1-`, gzipped or
/// not.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let labels = name.trim_end_matches(".gz").replace(MARK, "-labels-idx1-ubyte");
    if labels == name.trim_end_matches(".gz") {
        return None;
    }
    [labels.clone(), format!("{labels}.gz")]
        .iter()
        .map(|n| images.with_file_name(n))
        .find(|p| p.is_file())
}

/// Images and labels of a file.
pub(crate) fn read(images: &Path) -> Result<(Idx, Option<Vec<u8>>)> {
    let open = |path: &Path| -> Result<Idx> {
        let what = || path.display().to_string();
        let file = File::open(path).map_err(|e| Error::data(what(), e.to_string(), ""))?;
        parse(file).map_err(|e| Error::data(what(), e.reason, "fetch the file again"))
    };
    let labels = labels_beside(images).map(|path| open(&path)).transpose()?;
    check(images, open(images)?, labels)
}

/// The pair, once its shapes agree.
pub(crate) fn check(
    name: &Path,
    images: Idx,
    labels: Option<Idx>,
) -> Result<(Idx, Option<Vec<u8>>)> {
    let refuse =
        |why: String| Err(Error::data(name.display().to_string(), why, "fetch the files again"));
    match images.shape[..] {
        [_, h, w] if h > 0 && w > 0 => {}
        [_, h, w, 1..=4] if h > 0 && w > 0 => {}
        _ => return refuse(format!("an array of shape {:?} is not a set of images", images.shape)),
    }
    if let Some(labels) = &labels
        && labels.shape != images.shape[..1]
    {
        return refuse(format!(
            "{} images but labels of shape {:?}",
            images.shape[0], labels.shape
        ));
    }
    Ok((images, labels.map(|l| l.values)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn array(shape: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        shape.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    #[test]
    fn plain_and_gzipped_arrays_are_read_alike() {
        let bytes = array(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&bytes).unwrap();
        let gzip = gzip.finish().unwrap();
        assert!(is_images(&bytes) && is_images(&gzip));
        let idx = parse(&bytes[..]).unwrap();
        assert_eq!((&idx.shape[..], &idx.values[..]), (&[2, 1, 3][..], &[1, 2, 3, 4, 5, 6][..]));
        assert_eq!(parse(&gzip[..]).unwrap(), idx);
        for cut in 0..gzip.len() {
            assert!(parse(&gzip[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn arrays_that_are_cut_or_claim_too_much_are_refused() {
        let bytes = array(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(parse(&array(&[2], &[1, 2, 3])[..]).unwrap_err().reason.contains("goes on"));
        let huge = array(&[u32::MAX, u32::MAX, u32::MAX], &[]);
        assert!(parse(&huge[..]).unwrap_err().reason.contains("more than 16 GiB"));
        let large = array(&[1 << 20, 100, 100], &[0; 10]);
        assert!(parse(&large[..]).unwrap_err().reason.contains("holds 10"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (parse(&bytes[..]), is_images(&bytes));
        }
    }
}

//! A data set: images in a fixed order, known by index, with labels where there are any.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use swav_images::{BadImage, Image};
use swav_images::{MAX_FILE, decode, header};

use super::folder::{self, Skipped};
use super::names::{Names, escape};
use super::{Part, idx, list};
use crate::config::{DataConfig, Exif};
use crate::error::{Error, Result};

/// Images in a fixed order.
#[derive(Debug)]
pub struct Dataset {
    store: Store,
    exif: Exif,
    labels: Option<Vec<i32>>,
    classes: Vec<String>,
    skipped: Vec<Skipped>,
    others: u64,
}

#[derive(Debug)]
enum Store {
    Folder { root: PathBuf, names: Names },
    List { root: PathBuf, names: Names },
    Stack { height: usize, width: usize, channels: usize, pixels: Vec<u8> },
    Memory(Vec<Image>),
}

/// Headers that are read to guess sizes.
const SAMPLE: usize = 256;

impl Dataset {
    /// Opens a folder, an IDX file or its folder, or a list file. `part` chooses among the IDX files of a folder.
    ///
    /// # Errors
    /// `Config` when the path does not exist or is none of these; `Data` when there is no image in it.
    pub fn open(path: impl AsRef<Path>, part: Part, config: &DataConfig) -> Result<Self> {
        let path = path.as_ref();
        let what = || path.display().to_string();
        let meta = path.metadata().map_err(|e| {
            Error::config(
                what(),
                e.to_string(),
                "the path of a folder of images, an IDX file or a list file",
            )
        })?;
        let dataset = if meta.is_dir() {
            match idx::in_folder(path, part)? {
                Some(images) => Self::idx(&images, config.exif)?,
                None => Self::folder(path, config.exif),
            }
        } else if meta.is_file() {
            Self::file(path, config.exif)?
        } else {
            return Err(Error::config(what(), "neither a file nor a folder", ""));
        };
        if dataset.is_empty() {
            let others = match dataset.others {
                0 => String::new(),
                n => format!(" ({n} other files)"),
            };
            return Err(Error::data(
                what(),
                format!("no JPEG, PNG or WebP image in it{others}"),
                "a folder with images, or convert them to one of these formats",
            ));
        }
        Ok(dataset)
    }

    fn new(store: Store, exif: Exif) -> Self {
        Self { store, exif, labels: None, classes: Vec::new(), skipped: Vec::new(), others: 0 }
    }

    fn folder(root: &Path, exif: Exif) -> Self {
        let found = folder::walk(root);
        let (classes, labels) = folder::classes(&found.names).unzip();
        Self {
            labels,
            classes: classes.map_or_else(Vec::new, |c| list::class_names(&c)),
            skipped: found.skipped,
            others: found.others,
            ..Self::new(Store::Folder { root: root.to_path_buf(), names: found.names }, exif)
        }
    }

    fn file(path: &Path, exif: Exif) -> Result<Self> {
        let what = || path.display().to_string();
        let unreadable = |e: std::io::Error| Error::config(what(), e.to_string(), "");
        let mut head = Vec::new();
        let mut file = File::open(path).map_err(unreadable)?;
        file.by_ref().take(4096).read_to_end(&mut head).map_err(unreadable)?;
        if idx::is_images(&head) {
            return Self::idx(path, exif);
        }
        if header::kind(&head).is_some() {
            return Err(Error::config(what(), "is one image", "its folder, or a list file"));
        }
        if path.metadata().map_err(unreadable)?.len() > MAX_LIST {
            return Err(Error::config(what(), "too large for a list of images (4 GB)", "split it"));
        }
        file.read_to_end(&mut head).map_err(unreadable)?;
        let found = list::parse(path, &head)?;
        let root = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        Ok(Self {
            labels: found.labels,
            classes: list::class_names(&found.classes),
            ..Self::new(Store::List { root, names: found.names }, exif)
        })
    }

    fn idx(path: &Path, exif: Exif) -> Result<Self> {
        let (images, labels) = idx::read(path)?;
        Ok(Self { exif, ..Self::stack(images, labels) })
    }

    fn stack(images: idx::Idx, labels: Option<Vec<u8>>) -> Self {
        let channels = images.shape.get(3).copied().unwrap_or(1);
        let (height, width) = (images.shape[1], images.shape[2]);
        let classes = labels.iter().flatten().max().map_or(0, |&m| usize::from(m) + 1);
        Self {
            labels: labels.map(|l| l.iter().map(|&l| i32::from(l)).collect()),
            classes: (0..classes).map(|c| c.to_string()).collect(),
            ..Self::new(
                Store::Stack { height, width, channels, pixels: images.values },
                Exif::Ignore,
            )
        }
    }

    /// The images of two IDX files (plain or gzipped) held in memory.
    ///
    /// # Errors
    /// `Data` when they are damaged or do not belong together.
    pub fn from_idx_bytes(name: &str, images: &[u8], labels: &[u8]) -> Result<Self> {
        let parse = |bytes| idx::parse(bytes).map_err(|e| Error::data(name, e.reason, ""));
        let (images, labels) = idx::check(Path::new(name), parse(images)?, Some(parse(labels)?))?;
        Ok(Self::stack(images, labels))
    }

    /// Images held in memory; a negative label means none.
    ///
    /// # Panics
    /// If there are labels, but not one per image.
    pub fn from_memory(images: Vec<Image>, labels: Option<Vec<i32>>) -> Self {
        if let Some(labels) = &labels {
            assert!(
                labels.len() == images.len(),
                "{} labels for {} images",
                labels.len(),
                images.len()
            );
        }
        let classes = labels.iter().flatten().max().map_or(0, |m| m + 1);
        let classes = (0..classes).map(|c| c.to_string()).collect();
        Self { labels, classes, ..Self::new(Store::Memory(images), Exif::Ignore) }
    }

    /// The same data set with names for its classes.
    ///
    /// # Panics
    /// If there is not one name per class.
    pub fn with_class_names(mut self, names: &[&str]) -> Self {
        assert!(
            names.len() == self.classes(),
            "{} names for {} classes",
            names.len(),
            self.classes()
        );
        self.classes = names.iter().map(|name| escape(name.as_bytes())).collect();
        self
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        match &self.store {
            Store::Folder { names, .. } | Store::List { names, .. } => names.len(),
            Store::Stack { height, width, channels, pixels } => {
                pixels.len() / (height * width * channels)
            }
            Store::Memory(images) => images.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `folder`, `list`, `idx` or `memory`: the value of `data.kind`.
    pub fn kind(&self) -> &'static str {
        match self.store {
            Store::Folder { .. } => "folder",
            Store::List { .. } => "list",
            Store::Stack { .. } => "idx",
            Store::Memory(_) => "memory",
        }
    }

    /// The class of an image, in `0..classes()`.
    pub fn label(&self, i: usize) -> Option<i32> {
        self.labels.as_ref().map(|labels| labels[i]).filter(|&label| label >= 0)
    }

    /// Whether at least one image has a label.
    pub fn has_labels(&self) -> bool {
        self.labels.as_ref().is_some_and(|labels| labels.iter().any(|&l| l >= 0))
    }

    /// Number of classes; 0 without labels.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Names of the classes, escaped.
    pub fn class_names(&self) -> &[String] {
        &self.classes
    }

    /// The path of an image relative to the data set, escaped; its index where there are no files.
    pub fn name(&self, i: usize) -> String {
        match &self.store {
            Store::Folder { names, .. } | Store::List { names, .. } => escape(names.get(i)),
            Store::Stack { .. } | Store::Memory(_) => i.to_string(),
        }
    }

    /// Files and folders that were left out for a reason worth saying (links, pipes), at most 1000.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Number of files of a folder that are no images by extension and by content.
    pub fn others(&self) -> u64 {
        self.others
    }

    /// A digest of what the indices mean: the names in order, or the pixels. Resuming a run with another
    /// one would train on other images.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.len() as u64).to_le_bytes());
        match &self.store {
            Store::Folder { names, .. } | Store::List { names, .. } => {
                for i in 0..names.len() {
                    hasher.update(&(names.get(i).len() as u64).to_le_bytes());
                    hasher.update(names.get(i));
                }
            }
            Store::Stack { pixels, .. } => {
                hasher.update(pixels);
            }
            Store::Memory(images) => {
                for image in images {
                    hasher.update(&image.pixels);
                }
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Reads and decodes an image to the given number of channels.
    ///
    /// # Errors
    /// Why it cannot be used.
    ///
    /// # Panics
    /// If there is no image `i`.
    pub fn read(&self, i: usize, channels: usize) -> std::result::Result<Image, BadImage> {
        match &self.store {
            Store::Folder { root, names } | Store::List { root, names } => {
                decode(&read_file(&root.join(names.path(i)))?, channels, self.exif == Exif::Apply)
            }
            Store::Stack { height, width, channels: stored, pixels } => {
                let size = height * width * stored;
                let pixels = pixels[i * size..(i + 1) * size].to_vec();
                Ok(Image::new(*width, *height, *stored, pixels).with_channels(channels))
            }
            Store::Memory(images) => Ok(images[i].clone().with_channels(channels)),
        }
    }

    /// The side that 19 of 20 images reach, among an evenly spread sample of at most 256 headers: one thin banner
    /// must not shrink the crops of all photos. `None` when no header can be read; reading is the loader's concern.
    pub fn smallest_side_hint(&self) -> Option<usize> {
        let mut sides: Vec<usize> = self.sample().map(|h| h.width.min(h.height)).collect();
        sides.sort_unstable();
        sides.get(sides.len() / 20).copied()
    }

    /// 1 when all headers of the sample are gray, else 3.
    pub fn channels_hint(&self) -> usize {
        if self.sample().all(|h| h.gray) { 1 } else { 3 }
    }

    fn sample(&self) -> impl Iterator<Item = header::Header> {
        let looked_at = self.len().min(SAMPLE);
        (0..looked_at).filter_map(move |k| {
            let i = k * self.len() / looked_at;
            let plain = |width, height, channels: usize| header::Header {
                width,
                height,
                bytes_per_pixel: channels,
                gray: channels < 3,
            };
            match &self.store {
                Store::Folder { root, names } | Store::List { root, names } => {
                    let path = root.join(names.path(i));
                    let mut head = Vec::new();
                    if !path.metadata().ok()?.is_file() {
                        return None;
                    }
                    File::open(path).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
                    header::header(&head)
                }
                Store::Stack { height, width, channels, .. } => {
                    Some(plain(*width, *height, *channels))
                }
                Store::Memory(images) => {
                    Some(plain(images[i].width, images[i].height, images[i].channels))
                }
            }
        })
    }
}

/// Enough for the metadata that comes before the size of a photo.
const HEAD: u64 = 256 << 10;

const MAX_LIST: u64 = 4_000_000_000;

fn read_file(path: &Path) -> std::result::Result<Vec<u8>, BadImage> {
    let bad = |e: std::io::Error| BadImage::new(format!("cannot be read: {e}"));
    // Looked at before it is opened: opening a pipe waits for a writer.
    let meta = path.metadata().map_err(bad)?;
    if !meta.is_file() {
        return Err(BadImage::new("not a plain file"));
    }
    if meta.len() > MAX_FILE {
        return Err(BadImage::new(format!(
            "a file of {} bytes, above the limit of 256 MB",
            meta.len()
        )));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    File::open(path).map_err(bad)?.take(MAX_FILE).read_to_end(&mut bytes).map_err(bad)?;
    Ok(bytes)
}

impl std::fmt::Display for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} images ({})", self.len(), self.kind())?;
        if self.classes() > 0 {
            write!(f, ", {} classes", self.classes())?;
        }
        if let Store::Folder { root, .. } | Store::List { root, .. } = &self.store {
            write!(f, " in {}", escape(root.as_os_str().as_bytes()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;

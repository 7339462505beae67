//! A folder of images, walked recursively and sorted bytewise by relative path, so that the index of an image
//! does not depend on the file system.
//!
//! - A file counts as an image when its extension says so, or, with any other extension, when its first bytes
//!   do. A file with an image's extension that cannot be decoded is a *bad image* and reported as such; any
//!   other file is left out and only counted.
//! - Hidden files and folders (a leading dot) are left out.
//! - Links to files are followed wherever they lead. Links to folders are followed inside the tree only; those
//!   that lead out of it, loops, and broken links are left out and said once.
//! - Pipes, sockets and devices are never opened.
//! - The class of an image is the first level of subfolders, when there are any.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use swav_images::header;
use walkdir::{DirEntry, WalkDir};

use super::names::{Names, escape};

/// A file or folder that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Path relative to the data set, escaped.
    pub path: String,
    /// In words.
    pub reason: String,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) names: Names,
    pub(crate) skipped: Vec<Skipped>,
    /// Files that are no images by extension and by content.
    pub(crate) others: u64,
}

/// Notes about left-out files that are kept; a broken tree can have millions.
const MAX_NOTES: usize = 1000;

const EXTENSIONS: [&str; 7] = ["jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp"];

pub(crate) fn walk(root: &Path) -> Walk {
    let mut found = Walk::default();
    let real_root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
    let mut walker = WalkDir::new(root).follow_links(true).into_iter();
    while let Some(entry) = walker.next() {
        match entry {
            Ok(entry) if entry.depth() == 0 => {}
            Ok(entry) if entry.file_name().as_bytes().starts_with(b".") => {
                if entry.file_type().is_dir() {
                    walker.skip_current_dir();
                }
            }
            Ok(entry) if entry.file_type().is_dir() => {
                if entry.path_is_symlink() && !leads_inside(&entry, &real_root) {
                    walker.skip_current_dir();
                    found.note(
                        root,
                        entry.path(),
                        "a link to a folder outside of the data set".into(),
                    );
                }
            }
            Ok(entry) => found.file(root, &entry),
            Err(error) => {
                let path = error.path().unwrap_or(root);
                // walkdir reports a hidden link before its name can be looked at.
                if path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".")) {
                    continue;
                }
                let reason = match (error.loop_ancestor(), error.io_error()) {
                    (Some(ancestor), _) => {
                        format!(
                            "a link in a circle, back to {}",
                            escape(ancestor.as_os_str().as_bytes())
                        )
                    }
                    (None, Some(io)) if path.is_symlink() => format!("a broken link ({io})"),
                    (None, Some(io)) => io.to_string(),
                    (None, None) => error.to_string(),
                };
                found.note(root, path, reason);
            }
        }
    }
    found.names = found.names.sorted();
    found.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn leads_inside(entry: &DirEntry, real_root: &Path) -> bool {
    entry.path().canonicalize().is_ok_and(|target| target.starts_with(real_root))
}

impl Walk {
    fn file(&mut self, root: &Path, entry: &DirEntry) {
        let by_extension = entry
            .path()
            .extension()
            .and_then(|e| e.to_str())
            .is_some_and(|e| EXTENSIONS.contains(&e.to_ascii_lowercase().as_str()));
        if !entry.file_type().is_file() {
            if by_extension {
                self.note(root, entry.path(), "not a plain file (pipe, socket or device)".into());
            }
            return;
        }
        if by_extension || first_bytes(entry.path()).is_some_and(|b| header::kind(&b).is_some()) {
            self.names.push(relative(root, entry.path()));
        } else {
            self.others += 1;
        }
    }

    fn note(&mut self, root: &Path, path: &Path, reason: String) {
        if self.skipped.len() < MAX_NOTES {
            self.skipped.push(Skipped { path: escape(relative(root, path)), reason });
        }
    }
}

fn relative<'a>(root: &Path, path: &'a Path) -> &'a [u8] {
    path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes()
}

fn first_bytes(path: &Path) -> Option<[u8; 12]> {
    let mut bytes = [0; 12];
    File::open(path).ok()?.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// Classes and labels of sorted names: the first level of subfolders, in bytewise order; −1 for files beside
/// them. Nothing when there are no subfolders.
pub(crate) fn classes(names: &Names) -> Option<(Vec<Vec<u8>>, Vec<i32>)> {
    let mut classes: Vec<Vec<u8>> = Vec::new();
    let mut labels = vec![-1; names.len()];
    let first_level = |i: usize| {
        let name = names.get(i);
        name.iter().position(|&b| b == b'/').map(|slash| &name[..slash])
    };
    for i in 0..names.len() {
        if let Some(class) = first_level(i)
            && classes.last().is_none_or(|last| last != class)
        {
            classes.push(class.to_vec());
        }
    }
    // Sorted by path is not sorted by class: "a-b/1" comes before "a/1", but "a" before "a-b".
    classes.sort();
    classes.dedup();
    for (i, label) in labels.iter_mut().enumerate() {
        if let Some(class) = first_level(i) {
            let at = classes.binary_search_by(|c| c.as_slice().cmp(class)).expect("listed above");
            *label = i32::try_from(at).expect("fewer than 2^31 classes");
        }
    }
    (!classes.is_empty()).then_some((classes, labels))
}

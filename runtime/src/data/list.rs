//! A list file: one `path` or `path<TAB>label` a line, relative to the folder of the list. Empty lines are left
//! out. The order of the list is the order of the data set. Labels are integers, or names that are numbered in
//! bytewise order; lines without one have none.

use std::path::Path;

use super::names::{Names, escape};
use crate::error::{Error, Result};

/// Names, labels (−1 for none) and class names of a list.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) names: Names,
    pub(crate) labels: Option<Vec<i32>>,
    pub(crate) classes: Vec<Vec<u8>>,
}

/// Labels are indices of classes; a larger one is a mistake.
const MAX_LABEL: i64 = 1 << 24;

pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<List> {
    let refuse =
        |why: String, hint: &str| Err(Error::config(path.display().to_string(), why, hint));
    if bytes.iter().take(4096).any(|&b| b == 0) {
        return refuse(
            "neither a folder, nor an IDX file, nor a list of images".into(),
            "a folder of images, a *-images-idx3-ubyte[.gz] file, or a text file with one path a line",
        );
    }
    let mut list = List::default();
    let mut words: Vec<Option<&[u8]>> = Vec::new();
    for line in bytes.split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let mut fields = line.splitn(2, |&b| b == b'\t');
        list.names.push(fields.next().expect("a line has a first field"));
        words.push(fields.next().map(|w| w.trim_ascii()).filter(|w| !w.is_empty()));
    }
    let given: Vec<&[u8]> = words.iter().flatten().copied().collect();
    if given.is_empty() {
        return Ok(list);
    }
    let number = |w: &[u8]| std::str::from_utf8(w).ok().and_then(|w| w.parse::<i64>().ok());
    if let Some(numbers) = given.iter().map(|w| number(w)).collect::<Option<Vec<i64>>>() {
        if let Some(wrong) = numbers.iter().find(|n| !(0..MAX_LABEL).contains(n)) {
            return refuse(
                format!("label {wrong} is not in 0..{MAX_LABEL}"),
                "number the classes from 0",
            );
        }
        let classes = 1 + *numbers.iter().max().expect("not empty");
        list.classes = (0..classes).map(|n| n.to_string().into_bytes()).collect();
        list.labels =
            Some(words.iter().map(|w| w.and_then(number).map_or(-1, |n| n as i32)).collect());
    } else {
        let mut classes: Vec<&[u8]> = given;
        classes.sort_unstable();
        classes.dedup();
        let index = |w: &[u8]| classes.binary_search(&w).expect("listed above") as i32;
        list.labels = Some(words.iter().map(|w| w.map_or(-1, index)).collect());
        list.classes = classes.iter().map(|c| c.to_vec()).collect();
    }
    Ok(list)
}

/// Class names for people.
pub(crate) fn class_names(classes: &[Vec<u8>]) -> Vec<String> {
    classes.iter().map(|c| escape(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_numbers_or_names() {
        let parse = |text: &str| parse(Path::new("l.txt"), text.as_bytes());
        let none = parse("a.jpg\r\n\nb.jpg\n").unwrap();
        assert_eq!((none.names.get(0), none.names.get(1)), (&b"a.jpg"[..], &b"b.jpg"[..]));
        assert_eq!((none.names.len(), none.labels), (2, None));

        let numbers = parse("a\t2\nb\nc\t0").unwrap();
        assert_eq!(numbers.labels, Some(vec![2, -1, 0]));
        assert_eq!(class_names(&numbers.classes), ["0", "1", "2"]);

        let words = parse("a\tdog\nb\tcat\nc\tdog").unwrap();
        assert_eq!(words.labels, Some(vec![1, 0, 1]));
        assert_eq!(class_names(&words.classes), ["cat", "dog"]);

        assert!(matches!(parse("a\t-3"), Err(Error::Config(_))));
        assert!(matches!(parse("a\0b"), Err(Error::Config(_))));
    }
}

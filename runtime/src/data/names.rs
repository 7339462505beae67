//! Names of files as bytes: paths on Unix are bytes, and ten million of them should not be ten million
//! allocations.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Many byte strings in one buffer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    pub(crate) fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// # Panics
    /// If there is no name `i`.
    pub(crate) fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[start..self.ends[i]]
    }

    pub(crate) fn path(&self, i: usize) -> &Path {
        Path::new(OsStr::from_bytes(self.get(i)))
    }

    /// The same names in bytewise order.
    pub(crate) fn sorted(&self) -> Self {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_unstable_by_key(|&i| self.get(i));
        let mut sorted = Self {
            bytes: Vec::with_capacity(self.bytes.len()),
            ends: Vec::with_capacity(self.len()),
        };
        for i in order {
            sorted.push(self.get(i));
        }
        sorted
    }
}

/// A name for people: valid text as it is, everything else escaped (`\n`, `\t`, `\\`, `\xff`), on one line.
pub fn escape(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                c if c.is_control() => {
                    let mut utf8 = [0; 4];
                    for byte in c.encode_utf8(&mut utf8).bytes() {
                        text.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_their_bytes() {
        let mut names = Names::default();
        for name in [&b"b/1"[..], b"a/x", b"a-b/1", b"\xff", b"B"] {
            names.push(name);
        }
        let sorted = names.sorted();
        let got: Vec<&[u8]> = (0..5).map(|i| sorted.get(i)).collect();
        assert_eq!(got, [&b"B"[..], b"a-b/1", b"a/x", b"b/1", b"\xff"]);
    }

    #[test]
    fn any_name_is_shown_on_one_line() {
        assert_eq!(escape("grün.jpg".as_bytes()), "grün.jpg");
        assert_eq!(escape(b"a\tb\nc\\d\xff\x01"), "a\\tb\\nc\\\\d\\xff\\x01");
    }
}

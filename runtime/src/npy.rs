//! NumPy's `.npy` files: float32, float64 and int64, little-endian, C order.
//!
//! Layout: `\x93NUMPY`, version, length of the header (2 bytes in version 1, 4 in 2 and 3), a Python
//! dictionary with `descr`, `fortran_order` and `shape`, then the values. The reader takes exactly that and
//! nothing else: no pickled objects, no structured types, no missing or left-over bytes.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use crate::durable;
use crate::error::{Error, Result};

/// The first bytes of every `.npy` file.
pub const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// The values of an array, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// `<f4`
    F32(Vec<f32>),
    /// `<f8`
    F64(Vec<f64>),
    /// `<i8`
    I64(Vec<i64>),
}

impl Values {
    fn view(&self) -> View<'_> {
        match self {
            Self::F32(x) => View::F32(x),
            Self::F64(x) => View::F64(x),
            Self::I64(x) => View::I64(x),
        }
    }
}

/// Borrowed values, for writing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum View<'a> {
    /// `<f4`
    F32(&'a [f32]),
    /// `<f8`
    F64(&'a [f64]),
    /// `<i8`
    I64(&'a [i64]),
}

impl View<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F64(x) => x.len(),
            Self::I64(x) => x.len(),
        }
    }

    fn descr(&self) -> &'static str {
        match self {
            Self::F32(_) => "<f4",
            Self::F64(_) => "<f8",
            Self::I64(_) => "<i8",
        }
    }
}

/// An array as it stands in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Npy {
    /// Extent of each axis; empty for a single value.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Values,
}

/// Why bytes are no array that this program reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

type Parsed<T> = std::result::Result<T, Malformed>;

fn malformed<T>(why: impl Into<String>) -> Parsed<T> {
    Err(Malformed(why.into()))
}

/// Reads an array from the bytes of a `.npy` file.
///
/// # Errors
/// What is wrong with them, with the numbers.
pub fn parse(bytes: &[u8]) -> Parsed<Npy> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        if bytes.is_empty() {
            return malformed("is no .npy file: it is empty");
        }
        if bytes.starts_with(b"PK\x03\x04") {
            return malformed(
                "is no .npy file but a zip archive, as .npz files are; one array is read (numpy: np.save)",
            );
        }
        return malformed("is no .npy file: it does not begin with \\x93NUMPY");
    };
    let (Some(&major), true) = (rest.first(), rest.len() >= 2) else {
        return malformed(format!("ends in its preamble, after {} bytes", bytes.len()));
    };
    let size_bytes = match major {
        1 => 2,
        2 | 3 => 4,
        v => return malformed(format!("is of version {v}; 1, 2 and 3 are known")),
    };
    let rest = &rest[2..];
    let Some((size, rest)) = rest.split_at_checked(size_bytes) else {
        return malformed(format!("ends in its preamble, after {} bytes", bytes.len()));
    };
    let size = size.iter().rev().fold(0usize, |n, &b| n << 8 | usize::from(b));
    let Some((header, data)) = rest.split_at_checked(size) else {
        return malformed(format!(
            "its header should have {size} bytes, but only {} are left",
            rest.len()
        ));
    };
    let Ok(header) = std::str::from_utf8(header) else {
        return malformed("its header is not text");
    };
    let header = Header::parse(header)?;
    let width = match header.descr.as_str() {
        "<f4" => 4,
        "<f8" | "<i8" => 8,
        d => {
            return malformed(format!(
                "holds values of type '{d}'; float32 '<f4', float64 '<f8' and int64 '<i8' are read (numpy: x.astype('<f4'))"
            ));
        }
    };
    if header.fortran_order && header.shape.len() > 1 {
        return malformed("is in Fortran order (numpy: np.ascontiguousarray(x))");
    }
    let count = header
        .shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .filter(|&n| n.checked_mul(width).is_some());
    if count.map(|n| n * width) != Some(data.len()) {
        return malformed(format!(
            "its shape {} of {} bytes each does not match the {} bytes of data that follow the header",
            shape_text(&header.shape),
            width,
            data.len()
        ));
    }
    let values = match header.descr.as_str() {
        "<f4" => Values::F32(data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
        "<f8" => Values::F64(data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect()),
        _ => Values::I64(data.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect()),
    };
    Ok(Npy { shape: header.shape, values })
}

/// Reads a `.npy` file.
///
/// # Errors
/// `Config` when it cannot be read or is not such an array: it was named by the user.
pub fn read(path: &Path) -> Result<Npy> {
    let what = || path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|e| Error::config(what(), e.to_string(), "the path of a .npy file"))?;
    parse(&bytes).map_err(|e| {
        Error::config(what(), e.0, "an array saved by numpy.save as float32, float64 or int64")
    })
}

/// Writes a `.npy` file, whole or not at all.
///
/// # Errors
/// `Storage` with the path.
///
/// # Panics
/// If the number of values is not the product of the shape.
pub fn write(path: &Path, shape: &[usize], values: View<'_>) -> Result<()> {
    durable::replace(path, |out| write_to(out, shape, values))
}

/// Writes an array in version 1 of the format, the values aligned to 64 bytes as NumPy does.
///
/// # Errors
/// Those of the writer.
///
/// # Panics
/// If the number of values is not the product of the shape.
pub fn write_to(out: &mut dyn Write, shape: &[usize], values: View<'_>) -> io::Result<()> {
    assert!(
        shape.iter().product::<usize>() == values.len(),
        "npy: shape {shape:?} against {} values",
        values.len()
    );
    header_to(out, shape, values)?;
    values_to(out, values)
}

/// The header of an array of this shape and of the type of `values`, which may be a part of it or none; for arrays that
/// are written piece by piece with [`values_to`].
///
/// # Errors
/// Those of the writer.
pub fn header_to(out: &mut dyn Write, shape: &[usize], values: View<'_>) -> io::Result<()> {
    let mut header = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}",
        values.descr(),
        shape_text(shape)
    );
    let used = MAGIC.len() + 4 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', used.next_multiple_of(64) - used));
    header.push('\n');
    let size = u16::try_from(header.len()).expect("a shape of 32 axes has a header below 1 kB");
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&size.to_le_bytes())?;
    out.write_all(header.as_bytes())
}

/// Values as they stand in a file.
///
/// # Errors
/// Those of the writer.
pub fn values_to(out: &mut dyn Write, values: View<'_>) -> io::Result<()> {
    match values {
        View::F32(x) => x.iter().try_for_each(|v| out.write_all(&v.to_le_bytes())),
        View::F64(x) => x.iter().try_for_each(|v| out.write_all(&v.to_le_bytes())),
        View::I64(x) => x.iter().try_for_each(|v| out.write_all(&v.to_le_bytes())),
    }
}

impl Npy {
    /// The bytes of the file that holds this array.
    ///
    /// # Panics
    /// If the number of values is not the product of the shape.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_to(&mut bytes, &self.shape, self.values.view()).expect("memory takes every byte");
        bytes
    }
}

/// A Python tuple: `()`, `(3,)`, `(3, 4)`.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => {
            let axes: Vec<String> = shape.iter().map(usize::to_string).collect();
            format!("({})", axes.join(", "))
        }
    }
}

struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    /// The dictionary of literals that NumPy writes: three keys, each once, in any order.
    fn parse(text: &str) -> Parsed<Self> {
        let (mut descr, mut order, mut shape) = (None, None, None);
        let mut at = Cursor(text);
        at.expect("{")?;
        while !at.take("}") {
            let key = at.string()?;
            at.expect(":")?;
            match key {
                "descr" if descr.is_none() => descr = Some(at.string()?.to_string()),
                "fortran_order" if order.is_none() => {
                    order = Some(if at.take("True") {
                        true
                    } else {
                        at.expect("False")?;
                        false
                    });
                }
                "shape" if shape.is_none() => shape = Some(at.tuple()?),
                k => return malformed(format!("its header has an unknown or repeated key '{k}'")),
            }
            if !at.take(",") {
                at.expect("}")?;
                break;
            }
        }
        if !at.0.trim().is_empty() {
            return malformed("its header goes on after the dictionary");
        }
        let missing = |key: &str| Malformed(format!("its header lacks '{key}'"));
        Ok(Self {
            descr: descr.ok_or_else(|| missing("descr"))?,
            fortran_order: order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
        })
    }
}

/// What is left of the header.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn take(&mut self, token: &str) -> bool {
        match self.0.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Parsed<()> {
        if self.take(token) {
            return Ok(());
        }
        let found: String = self.0.trim().chars().take(20).collect();
        malformed(format!("its header has \"{found}\" where '{token}' should stand"))
    }

    fn string(&mut self) -> Parsed<&'a str> {
        let quote = if self.take("'") {
            '\''
        } else if self.take("\"") {
            '"'
        } else {
            let found: String = self.0.trim().chars().take(20).collect();
            return malformed(format!(
                "its header has \"{found}\" where a plain string should stand (structured types are not read)"
            ));
        };
        match self.0.split_once(quote) {
            Some((text, rest)) if !text.contains('\\') => {
                self.0 = rest;
                Ok(text)
            }
            _ => malformed("its header has a string without an end"),
        }
    }

    fn tuple(&mut self) -> Parsed<Vec<usize>> {
        self.expect("(")?;
        let mut axes = Vec::new();
        while !self.take(")") {
            let text = self.0.trim_start();
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = text.split_at(digits);
            let Ok(n) = number.parse() else {
                return malformed("its shape is no tuple of numbers of this machine's size");
            };
            axes.push(n);
            self.0 = rest;
            if axes.len() > 32 {
                return malformed("has more than 32 axes");
            }
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(axes)
    }
}

#[cfg(test)]
#[path = "npy_tests.rs"]
mod tests;

//! NumPy's `.npz` files: a zip archive of `.npy` members, stored or deflated.
//!
//! Written stored and without time stamps, so equal arrays give equal bytes. Archives of 4 GB and more
//! (zip64) are refused both ways.

use std::io::{self, Read, Write};
use std::path::Path;

use crate::durable;
use crate::error::{Error, Result};
use crate::npy::{self, Malformed, Npy};

/// 1 January 1980, the first day a zip archive can name.
const DATE: u16 = 0x21;

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Writes named arrays, whole or not at all.
///
/// # Errors
/// `Storage` with the path.
///
/// # Panics
/// If an array's values do not match its shape.
pub fn write(path: &Path, arrays: &[(&str, Npy)]) -> Result<()> {
    durable::replace(path, |out| write_to(out, arrays))
}

fn write_to(out: &mut dyn Write, arrays: &[(&str, Npy)]) -> io::Result<()> {
    let (mut directory, mut offset) = (Vec::new(), 0u32);
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, "an .npz file of 4 GB or more");
    for (name, array) in arrays {
        let (name, bytes) = (format!("{name}.npy"), array.to_bytes());
        let size = u32::try_from(bytes.len()).map_err(|_| too_large())?;
        // Version 2.0, no flags, stored, time 0, date; then the sum and both sizes.
        let mut fields = Vec::new();
        for word in [20u16, 0, 0, 0, DATE] {
            fields.extend(word.to_le_bytes());
        }
        for word in [crc(&bytes), size, size] {
            fields.extend(word.to_le_bytes());
        }
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend([0; 2]);
        out.write_all(b"PK\x03\x04")?;
        out.write_all(&fields)?;
        out.write_all(name.as_bytes())?;
        out.write_all(&bytes)?;
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&fields);
        // No comment, disk 0, no attributes.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
        let used = 30 + name.len() as u64 + u64::from(size);
        offset = u32::try_from(u64::from(offset) + used).map_err(|_| too_large())?;
    }
    let count = (arrays.len() as u16).to_le_bytes();
    out.write_all(&directory)?;
    out.write_all(b"PK\x05\x06\0\0\0\0")?;
    out.write_all(&[count, count].concat())?;
    out.write_all(&(directory.len() as u32).to_le_bytes())?;
    out.write_all(&offset.to_le_bytes())?;
    out.write_all(&[0; 2])
}

/// Reads a `.npz` file.
///
/// # Errors
/// `Config` when it cannot be read or is not such an archive: it was named by the user.
pub fn read(path: &Path) -> Result<Vec<(String, Npy)>> {
    let what = || path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|e| Error::config(what(), e.to_string(), "the path of an .npz file"))?;
    parse(&bytes).map_err(|e| Error::config(what(), e.0, "arrays saved by numpy.savez"))
}

/// Reads all arrays from the bytes of a `.npz` file, in the order of its directory.
///
/// # Errors
/// What is wrong with them.
pub fn parse(bytes: &[u8]) -> std::result::Result<Vec<(String, Npy)>, Malformed> {
    let bad = |why: &str| Malformed(why.to_string());
    // The record at the end may be followed by a comment of at most 64 kB.
    let first = bytes.len().saturating_sub(22 + 0xffff);
    let end = (first..bytes.len().saturating_sub(21))
        .rev()
        .find(|&i| bytes[i..].starts_with(b"PK\x05\x06"))
        .ok_or_else(|| bad("is no .npz file: it has no zip directory"))?;
    let count = number(bytes, end + 10, 2)?;
    let mut at = number(bytes, end + 16, 4)?;
    let mut arrays = Vec::new();
    for _ in 0..count {
        if !bytes.get(at..).is_some_and(|b| b.starts_with(b"PK\x01\x02")) {
            return Err(bad("its zip directory is damaged"));
        }
        let [method, sum] = [number(bytes, at + 10, 2)?, number(bytes, at + 16, 4)?];
        let [packed, size] = [number(bytes, at + 20, 4)?, number(bytes, at + 24, 4)?];
        let name_size = number(bytes, at + 28, 2)?;
        let extra = number(bytes, at + 30, 2)? + number(bytes, at + 32, 2)?;
        let local = number(bytes, at + 42, 4)?;
        let name = slice(bytes, at + 46, name_size)?;
        at += 46 + name_size + extra;
        if packed == 0xffff_ffff || size == 0xffff_ffff || local == 0xffff_ffff {
            return Err(bad(
                "is a zip64 archive of 4 GB or more; save its arrays one by one as .npy",
            ));
        }
        let name =
            std::str::from_utf8(name).map_err(|_| bad("has a member whose name is not text"))?;
        let named = |why: &str| Malformed(format!("its member {name:?} {why}"));
        let skip = 30 + number(bytes, local + 26, 2)? + number(bytes, local + 28, 2)?;
        let data = slice(bytes, local + skip, packed)?;
        let data = match method {
            0 => data.to_vec(),
            8 => {
                let mut out = Vec::new();
                flate2::read::DeflateDecoder::new(data)
                    .take(size as u64 + 1)
                    .read_to_end(&mut out)
                    .map_err(|e| named(&format!("cannot be inflated: {e}")))?;
                out
            }
            m => return Err(named(&format!("is packed by method {m}; 0 and 8 are read"))),
        };
        if data.len() != size || crc(&data) as usize != sum {
            return Err(named("is damaged: its size or check sum disagrees"));
        }
        let array = npy::parse(&data).map_err(|e| named(&e.0))?;
        arrays.push((name.strip_suffix(".npy").unwrap_or(name).to_string(), array));
    }
    Ok(arrays)
}

fn slice(bytes: &[u8], at: usize, len: usize) -> std::result::Result<&[u8], Malformed> {
    at.checked_add(len)
        .and_then(|end| bytes.get(at..end))
        .ok_or_else(|| Malformed("its zip directory points outside of the file".into()))
}

fn number(bytes: &[u8], at: usize, len: usize) -> std::result::Result<usize, Malformed> {
    Ok(slice(bytes, at, len)?.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy::Values;

    #[test]
    fn archives_come_back_and_damage_is_seen() {
        let arrays = [
            ("f", Npy { shape: vec![2], values: Values::F64(vec![1.0, 2.0]) }),
            ("g", Npy { shape: vec![1, 1], values: Values::F32(vec![3.0]) }),
        ];
        let mut bytes = Vec::new();
        write_to(&mut bytes, &arrays).unwrap();
        let back = parse(&bytes).unwrap();
        assert_eq!(back.len(), 2);
        for ((name, array), (found_name, found)) in arrays.iter().zip(&back) {
            assert_eq!((*name, array), (found_name.as_str(), found));
        }
        for i in 40..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 1;
            // Never a panic; and a flipped bit of the values is never read as values.
            if let Ok(found) = parse(&damaged) {
                assert!(found.iter().zip(&back).all(|(a, b)| a.1 == b.1), "byte {i}");
            }
        }
    }

    #[test]
    fn what_numpy_compresses_is_read() {
        // np.savez_compressed(f, a=np.zeros(4, dtype="<f4"))
        let hex = "504b03042d0000000800000021008c63c832ffffffffffffffff05001400612e6e70790100100090000000000000\
                   0047000000000000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9366a2aea3a09e965f54529498179f5f\
                   94920a12774bcc294e058a17672416a402f91a263a9a3a0ab50a14002e06340000504b01022d032d00000008000000\
                   21008c63c8324700000090000000050000000000000000000000800100000000612e6e7079504b0506000000000100\
                   0100330000007e0000000000";
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
            .collect();
        let expected = Npy { shape: vec![4], values: Values::F32(vec![0.0; 4]) };
        assert_eq!(parse(&bytes).unwrap(), [("a".to_string(), expected)]);
    }
}

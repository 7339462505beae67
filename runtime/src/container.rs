//! Safetensors files: a streaming writer, a reader that trusts nothing, and the digest of a set of tensors.
//!
//! The digest is BLAKE3 over the tensors sorted by name. For each: length of the name in bytes, the name, length of
//! the element type's name, that name (`F32`), number of axes, each extent, then the values; every length,
//! extent and value little-endian, lengths and extents as 64-bit integers. Metadata is not part of it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

use crate::engine::{Tensor, Tensors, Values};

/// Text by key in the header of a file.
pub type Metadata = BTreeMap<String, String>;

impl Values {
    /// Name of the element type as safetensors spells it.
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::F32(_) => "F32",
            Self::F64(_) => "F64",
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::F32(x) => 4 * x.len() as u64,
            Self::F64(x) => 8 * x.len() as u64,
        }
    }

    /// Hands the values to `sink` as little-endian bytes, a piece at a time.
    fn pieces<E>(&self, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        const PIECE: usize = 16 << 10;
        let mut buffer = Vec::with_capacity(8 * PIECE);
        match self {
            Self::F32(x) => x.chunks(PIECE).try_for_each(|chunk| {
                buffer.clear();
                chunk.iter().for_each(|v| buffer.extend_from_slice(&v.to_le_bytes()));
                sink(&buffer)
            }),
            Self::F64(x) => x.chunks(PIECE).try_for_each(|chunk| {
                buffer.clear();
                chunk.iter().for_each(|v| buffer.extend_from_slice(&v.to_le_bytes()));
                sink(&buffer)
            }),
        }
    }
}

/// Incremental digest of tensors given in the order of their names.
#[derive(Debug, Default)]
pub struct Digest(blake3::Hasher);

impl Digest {
    /// Adds a tensor given as bytes.
    pub fn add(&mut self, name: &str, dtype: &str, shape: &[usize], data: &[u8]) {
        self.head(name, dtype, shape);
        self.0.update(data);
    }

    fn add_tensor(&mut self, name: &str, tensor: &Tensor) {
        self.head(name, tensor.values.dtype(), &tensor.shape);
        let Ok(()) = tensor.values.pieces(|piece| {
            self.0.update(piece);
            Ok::<(), std::convert::Infallible>(())
        });
    }

    fn head(&mut self, name: &str, dtype: &str, shape: &[usize]) {
        for text in [name, dtype] {
            self.0.update(&(text.len() as u64).to_le_bytes());
            self.0.update(text.as_bytes());
        }
        self.0.update(&(shape.len() as u64).to_le_bytes());
        for &extent in shape {
            self.0.update(&(extent as u64).to_le_bytes());
        }
    }

    /// The digest in hexadecimal.
    pub fn finish(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

/// Digest of a set of tensors.
pub fn digest(tensors: &Tensors) -> String {
    let mut all = Digest::default();
    tensors.iter().for_each(|(name, tensor)| all.add_tensor(name, tensor));
    all.finish()
}

/// Digest of one tensor, as a set of one.
pub fn tensor_digest(name: &str, tensor: &Tensor) -> String {
    let mut one = Digest::default();
    one.add_tensor(name, tensor);
    one.finish()
}

/// Writes a file: 8 bytes of header length, the header as JSON padded to 8 bytes, then the values in the order of
/// the names. `halfway` is called once in the middle of the values.
///
/// # Errors
/// Those of the sink.
pub fn write(
    sink: &mut impl Write,
    tensors: &Tensors,
    metadata: &Metadata,
    halfway: impl FnOnce(),
) -> io::Result<u64> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!(metadata));
    let mut offset = 0;
    for (name, tensor) in tensors {
        let end = offset + tensor.values.bytes();
        let entry = json!({"dtype": tensor.values.dtype(), "shape": tensor.shape, "data_offsets": [offset, end]});
        header.insert(name.clone(), entry);
        offset = end;
    }
    let mut head = serde_json::to_vec(&Value::Object(header))?;
    head.resize(head.len().next_multiple_of(8), b' ');
    sink.write_all(&(head.len() as u64).to_le_bytes())?;
    sink.write_all(&head)?;
    let mut halfway = Some(halfway);
    for (i, tensor) in tensors.values().enumerate() {
        if i == tensors.len() / 2
            && let Some(call) = halfway.take()
        {
            sink.flush()?;
            call();
        }
        tensor.values.pieces(|piece| sink.write_all(piece))?;
    }
    sink.flush()?;
    Ok(8 + head.len() as u64 + offset)
}

/// A parsed file over its bytes.
#[derive(Debug)]
pub struct File<'a> {
    /// Text by key.
    pub metadata: Metadata,
    tensors: SafeTensors<'a>,
}

/// One tensor of a file.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Its name.
    pub name: String,
    /// Name of its element type.
    pub dtype: String,
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Its values, little-endian.
    pub data: &'a [u8],
}

impl Entry<'_> {
    /// Digest of this tensor, as a set of one.
    pub fn digest(&self) -> String {
        let mut one = Digest::default();
        one.add(&self.name, &self.dtype, &self.shape, self.data);
        one.finish()
    }

    /// The values as a host array, when they are single or double precision.
    pub fn tensor(&self) -> Option<Tensor> {
        let values = match self.dtype.as_str() {
            "F32" => Values::F32(
                self.data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            ),
            "F64" => Values::F64(
                self.data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
            ),
            _ => return None,
        };
        Some(Tensor { shape: self.shape.clone(), values })
    }
}

impl<'a> File<'a> {
    /// Parses a whole file; every offset is checked before anything is read.
    ///
    /// # Errors
    /// Why it is no safetensors file, or which part of it is missing.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let say = |e: safetensors::SafeTensorError| format!("no whole safetensors file ({e})");
        let (_, head) = SafeTensors::read_metadata(bytes).map_err(say)?;
        let metadata = head.metadata().clone().unwrap_or_default().into_iter().collect();
        let tensors = SafeTensors::deserialize(bytes).map_err(say)?;
        Ok(Self { metadata, tensors })
    }

    /// The tensors, sorted by name.
    pub fn entries(&self) -> Vec<Entry<'a>> {
        let mut entries: Vec<Entry<'a>> = self
            .tensors
            .tensors()
            .into_iter()
            .map(|(name, view)| Entry {
                name,
                dtype: format!("{:?}", view.dtype()),
                shape: view.shape().to_vec(),
                data: view.data(),
            })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// Digest of all tensors.
    pub fn digest(&self) -> String {
        let mut all = Digest::default();
        self.entries().iter().for_each(|e| all.add(&e.name, &e.dtype, &e.shape, e.data));
        all.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> Tensors {
        Tensors::from([
            ("b".to_owned(), Tensor::f32(vec![2, 3], (0..6).map(|v| v as f32).collect())),
            ("a".to_owned(), Tensor::f64(vec![1], vec![f64::MIN_POSITIVE])),
            ("empty".to_owned(), Tensor::f32(vec![0, 4], Vec::new())),
        ])
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut bytes = Vec::new();
        let metadata = Metadata::from([("k".into(), "v\n\"".into())]);
        let length = write(&mut bytes, &tensors(), &metadata, || {}).unwrap();
        assert_eq!(length, bytes.len() as u64);
        let file = File::parse(&bytes).unwrap();
        assert_eq!(file.metadata, metadata);
        let read: Tensors =
            file.entries().iter().map(|e| (e.name.clone(), e.tensor().unwrap())).collect();
        assert_eq!(read, tensors());
        assert_eq!(file.digest(), digest(&tensors()));
    }

    #[test]
    fn the_digest_is_framed_as_documented() {
        let one = Tensors::from([("ab".to_owned(), Tensor::f32(vec![2], vec![1.0, -2.0]))]);
        let mut bytes = Vec::new();
        bytes.extend(2u64.to_le_bytes());
        bytes.extend(b"ab");
        bytes.extend(3u64.to_le_bytes());
        bytes.extend(b"F32");
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(2u64.to_le_bytes());
        bytes.extend(1f32.to_le_bytes());
        bytes.extend((-2f32).to_le_bytes());
        assert_eq!(digest(&one), blake3::hash(&bytes).to_hex().to_string());
    }

    #[test]
    fn the_digest_sees_names_shapes_and_values() {
        let base = digest(&tensors());
        let mut renamed = tensors();
        let t = renamed.remove("a").unwrap();
        renamed.insert("c".into(), t);
        let mut reshaped = tensors();
        reshaped.get_mut("b").unwrap().shape = vec![3, 2];
        let mut changed = tensors();
        changed.insert("b".into(), Tensor::f32(vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 6.0]));
        for other in [renamed, reshaped, changed] {
            assert_ne!(digest(&other), base);
        }
    }
}

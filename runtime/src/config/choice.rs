//! Settings that are either a word or a number: `workers = "auto"` or `8`, `sync_bn = "all"` or a group size.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{SyncBn, Workers};

#[derive(Deserialize)]
#[serde(untagged)]
enum WordOrNumber {
    Number(i64),
    Word(String),
}

fn read<'de, D: Deserializer<'de>>(d: D, word: &str) -> Result<Option<usize>, D::Error> {
    match WordOrNumber::deserialize(d)
        .map_err(|_| D::Error::custom(format!("expected \"{word}\" or a positive number")))?
    {
        WordOrNumber::Word(w) if w == word => Ok(None),
        WordOrNumber::Number(n) if n > 0 => Ok(Some(n as usize)),
        WordOrNumber::Word(w) => Err(D::Error::custom(format!(
            "expected \"{word}\" or a positive number, found \"{w}\""
        ))),
        WordOrNumber::Number(n) => {
            Err(D::Error::custom(format!("expected \"{word}\" or a positive number, found {n}")))
        }
    }
}

fn write<S: Serializer>(s: S, word: &str, number: Option<usize>) -> Result<S::Ok, S::Error> {
    match number {
        None => s.serialize_str(word),
        Some(n) => s.serialize_u64(n as u64),
    }
}

impl Serialize for SyncBn {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        write(s, "all", if let Self::Group(n) = self { Some(*n) } else { None })
    }
}

impl<'de> Deserialize<'de> for SyncBn {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(read(d, "all")?.map_or(Self::All, Self::Group))
    }
}

impl Serialize for Workers {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        write(s, "auto", if let Self::Count(n) = self { Some(*n) } else { None })
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(read(d, "auto")?.map_or(Self::Auto, Self::Count))
    }
}

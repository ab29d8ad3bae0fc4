//! Names of objects, and what is written beside them.
//!
//! An [`ObjectKey`] is safe in a URL and as a relative path below a folder, and two
//! different keys never mean the same file. Where the key lies (bucket, prefix,
//! folder) is left to the storage element.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest key that S3 takes, in bytes.
const LONGEST_KEY: usize = 1024;

/// Names that elements keep for themselves begin so.
pub(crate) const OWN_NAMES: &str = ".aquifer-";

/// S3 limits user metadata to 2 KiB, names and values together.
const MOST_METADATA: usize = 2048;

/// A key or a metadata entry that cannot be used, and why.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// A key must be a relative path without tricks.
    #[error("`{key}` is not an object key: {why}")]
    Key {
        /// The text found.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Metadata travel in HTTP headers.
    #[error("metadata `{name}` cannot be stored: {why}")]
    Metadata {
        /// The entry's name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The name of an object within a storage element, such as `LNGS/4242/run04242.mid.gz`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key that only the holder of a lease of this generation writes:
    /// `run04242.mid.gz` becomes `run04242.mid.gz.g7`. For servers without conditional
    /// writes, where two writers of one key would overwrite each other: one who lost
    /// the lease and does not know it then writes beside the object, never over it.
    pub fn with_generation(&self, generation: u64) -> Result<Self, KeyError> {
        format!("{}.g{generation}", self.0).parse()
    }
}

impl FromStr for ObjectKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let why = if text.is_empty() {
            "it is empty"
        } else if text.len() > LONGEST_KEY {
            "it is longer than 1024 bytes"
        } else if text.chars().any(char::is_control) {
            "it has control characters"
        } else if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            "a component is empty, `.` or `..`"
        } else if text.starts_with(OWN_NAMES) {
            "names that begin with `.aquifer-` are the element's own"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(KeyError::Key {
            key: text.to_owned(),
            why,
        })
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// User metadata of an object: lower-case names, printable ASCII values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectMeta(BTreeMap<String, String>);

impl ObjectMeta {
    /// Name of the entry with the size in bytes.
    pub const SIZE: &'static str = "aquifer-size";
    /// Name of the entry with the crc64nvme, in hexadecimal.
    pub const CRC64NVME: &'static str = "aquifer-crc64nvme";
    /// Name of the entry with the adler32, in hexadecimal.
    pub const ADLER32: &'static str = "aquifer-adler32";
    /// Name of the entry with the trace that the object belongs to.
    pub const TRACE: &'static str = "aquifer-trace";

    /// No metadata yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more entry.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, KeyError> {
        let wrong = |why| KeyError::Metadata {
            name: name.to_owned(),
            why,
        };
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || !name.bytes().all(good) {
            return Err(wrong("a name has lower-case letters, digits and `-` only"));
        }
        // Headers lose white space at their ends.
        if !value.bytes().all(|b| (0x20..0x7f).contains(&b)) || value.trim() != value {
            return Err(wrong(
                "a value is printable ASCII without white space at its ends",
            ));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        let total: usize = self
            .0
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if total > MOST_METADATA {
            return Err(wrong("all metadata together exceed 2 KiB"));
        }
        Ok(self)
    }

    /// The entries by name.
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_would_leave_the_folder_or_name_a_file_twice_are_refused() {
        for key in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "./a",
            "a/.",
            "a\nb",
            "a\0",
            ".aquifer-meta/x",
        ] {
            assert!(key.parse::<ObjectKey>().is_err(), "{key:?}");
        }
        assert!("k".repeat(1025).parse::<ObjectKey>().is_err());
        for key in ["LNGS/4242/run04242.mid.gz", "a..b", "..a", "ünï code"] {
            assert_eq!(key.parse::<ObjectKey>().unwrap().as_str(), key);
        }
    }

    #[test]
    fn each_generation_of_a_lease_has_keys_of_its_own() {
        let key: ObjectKey = "LNGS/4242/run.mid".parse().unwrap();
        let seventh = key.with_generation(7).unwrap();
        assert_eq!(seventh.as_str(), "LNGS/4242/run.mid.g7");
        assert_ne!(seventh, key.with_generation(8).unwrap());
        let longest: ObjectKey = "k".repeat(1024).parse().unwrap();
        assert!(longest.with_generation(7).is_err());
    }

    #[test]
    fn metadata_that_a_header_would_change_are_refused() {
        for (name, value) in [
            ("Trace", "x"),
            ("", "x"),
            ("a b", "x"),
            ("a", " x"),
            ("a", "ü"),
        ] {
            assert!(ObjectMeta::new().with(name, value).is_err(), "{name:?}");
        }
        assert!(ObjectMeta::new().with("a", &"x".repeat(2048)).is_err());
        let meta = ObjectMeta::new().with(ObjectMeta::TRACE, "4bf9").unwrap();
        assert_eq!(meta.entries()["aquifer-trace"], "4bf9");
    }
}

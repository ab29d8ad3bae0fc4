//! What writers are told: the facts about a run that its observer brings.
//!
//! Times are UTC; the catalogue keeps microseconds and cuts off what is finer. What the
//! DAQ says may be of any length: a type of more than 128 characters, an attribute's name
//! of more than 255 and a unit of more than 64 are cut, and stand whole in attributes
//! `run_type.full`, `<name>.name.full` and `<name>.unit.full`.

use std::collections::BTreeMap;

use aquifer_digest::FileIdentity;
use aquifer_profile::Value;
use aquifer_schemas::{AlertSignal, ClosedBy, Encoding, EvidenceLevel, FileName, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A value that the DAQ gives for a run, with its unit where it has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// The value.
    pub value: AttributeValue,
    /// Unit such as `V` or `l/h`.
    pub unit: Option<String>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// Yes or no.
    Bool(bool),
    /// A finite number. What is not finite is kept as its text: the database has no NaN.
    Number(f64),
    /// Anything else.
    Text(String),
}

impl From<&AttributeValue> for Value {
    fn from(value: &AttributeValue) -> Self {
        match value {
            AttributeValue::Bool(flag) => Self::Bool(*flag),
            AttributeValue::Number(number) => Self::number(*number),
            AttributeValue::Text(text) => Self::Text(text.clone()),
        }
    }
}

impl Attribute {
    /// A text.
    pub fn text(value: impl Into<String>) -> Self {
        Self {
            value: AttributeValue::Text(value.into()),
            unit: None,
        }
    }

    /// A number; see [`AttributeValue::Number`].
    pub fn number(value: f64) -> Self {
        Self {
            value: AttributeValue::Number(value),
            unit: None,
        }
    }

    /// Yes or no.
    pub fn bool(value: bool) -> Self {
        Self {
            value: AttributeValue::Bool(value),
            unit: None,
        }
    }

    /// The same value with a unit.
    #[must_use]
    pub fn with_unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// As the database can hold it.
    pub(crate) fn storable(&self) -> Self {
        let value = match &self.value {
            AttributeValue::Number(number) if !number.is_finite() => {
                AttributeValue::Text(number.to_string())
            }
            value => value.clone(),
        };
        Self {
            value,
            unit: self.unit.clone(),
        }
    }
}

impl std::fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

impl std::fmt::Display for Attribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.value)?;
        match &self.unit {
            Some(unit) => write!(f, " {unit}"),
            None => Ok(()),
        }
    }
}

/// A run that began.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedRun {
    /// Which run.
    pub id: RunId,
    /// When it began.
    pub started_at: Timestamp,
    /// The DAQ's word for its type.
    pub run_type: Option<String>,
    /// What the DAQ says about it.
    pub attributes: BTreeMap<String, Attribute>,
    /// Its files that are uploaded while the DAQ writes them.
    pub streaming: Vec<FileName>,
    /// W3C `traceparent` of the message that said so.
    pub trace: Option<String>,
    /// Who records it, such as `m2c@daq1`.
    pub who: String,
}

/// A file of the DAQ's own list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedFile {
    /// Its name.
    pub name: FileName,
    /// Its size in bytes, where the DAQ said.
    pub size: Option<u64>,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosedRun {
    /// Which run.
    pub id: RunId,
    /// When it began, if anyone knows.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The DAQ's word for its type.
    pub run_type: Option<String>,
    /// Who said that it was over. What the DAQ says replaces what the logger's files
    /// say, which replaces what was inferred; otherwise the first word stands.
    pub closed_by: ClosedBy,
    /// Number of events, if anyone counted.
    pub events: Option<u64>,
    /// What the DAQ says about it.
    pub attributes: BTreeMap<String, Attribute>,
    /// Its files.
    pub files: Vec<ClosedFile>,
    /// Storage element of the DAQ's disk.
    pub buffer: String,
    /// W3C `traceparent` of the close.
    pub trace: Option<String>,
    /// Who records it.
    pub who: String,
    /// Whether to announce `run-closed`: the recorder found it by itself.
    pub announce: bool,
    /// What people should hear about the change. Written only together with it; a
    /// signal about anything else goes through `Catalogue::raise`.
    pub signals: Vec<AlertSignal>,
}

/// A file whose copy in object storage was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFileFacts {
    /// Its name.
    pub name: FileName,
    /// Decoded bytes.
    pub size: u64,
    /// CRC-64/NVME of the decoded bytes, 16 hexadecimal digits.
    pub crc64nvme: String,
    /// Adler-32 of the decoded bytes, 8 hexadecimal digits.
    pub adler32: String,
    /// CRC-32C of the decoded bytes, 8 hexadecimal digits.
    pub crc32c: String,
    /// What the buffer's file was.
    pub identity: FileIdentity,
    /// Storage element of the copy.
    pub element: String,
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// How its bytes are made from the file's.
    pub encoding: Encoding,
    /// Bytes of the object.
    pub stored_size: u64,
    /// CRC-64/NVME of the object, 16 hexadecimal digits.
    pub stored_crc64nvme: String,
    /// How far the copy may be trusted.
    pub evidence: EvidenceLevel,
    /// How the evidence was obtained, such as `head-object`.
    pub evidence_method: String,
    /// When the file was sealed.
    pub sealed_at: Timestamp,
    /// When the copy was verified.
    pub stored_at: Timestamp,
}

/// What lies in the buffer of a file that is stored: its bytes, in whatever form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferCopy {
    /// The file.
    pub name: FileName,
    /// Storage element of the DAQ's disk.
    pub element: String,
    /// Its name there, which differs where another program compressed it.
    pub location: FileName,
    /// What that file is.
    pub identity: FileIdentity,
    /// How its bytes are made from the file's.
    pub encoding: Encoding,
    /// Bytes in the buffer.
    pub size: u64,
    /// CRC-64/NVME of these, 16 hexadecimal digits.
    pub crc64nvme: String,
    /// When they were read, and found to decode to the file's bytes.
    pub seen_at: Timestamp,
}

/// Files of a closed run that are in object storage.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// The run; it is closed by this if it was not yet.
    pub closed: ClosedRun,
    /// The files that were stored.
    pub files: Vec<StoredFileFacts>,
    /// Key of the run's manifest object.
    pub manifest_key: Option<String>,
    /// What people should hear about the change, written only together with it.
    /// [`ClosedRun::signals`] is about the close and written only if this closes the run.
    pub signals: Vec<AlertSignal>,
}

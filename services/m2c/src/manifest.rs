//! The manifest: an object beside the run's files that says all that the catalogue
//! says, so that the catalogue can be rebuilt from the storage alone.
//!
//! A run with late files has several manifests; the run is their union.

use std::collections::BTreeMap;

use aquifer_digest::{Adler32, Crc32c, Crc64Nvme};
use aquifer_schemas::{ClosedBy, Encoding, FileName, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::journal::Active;
use crate::told::Told;

/// Version of the manifest's format.
const FORMAT: u32 = 1;

/// What is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// The run.
    #[serde(flatten)]
    pub run: RunId,
    /// When the run began, where known.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Who closed it.
    pub closed_by: ClosedBy,
    /// Its type.
    pub run_type: Option<String>,
    /// Events taken, as the DAQ counts.
    pub events: Option<u64>,
    /// What else is known of the run.
    pub attributes: BTreeMap<String, String>,
    /// Units of those attributes that have one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<String, String>,
    /// W3C trace context of the run's close.
    pub trace: Option<String>,
    /// The files.
    pub files: Vec<ManifestFile>,
}

/// One file of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name in the buffer.
    pub name: FileName,
    /// Its object's key.
    pub key: String,
    /// Its size in bytes, decoded.
    pub size: u64,
    /// CRC-64/NVME of its bytes, decoded.
    pub crc64nvme: Crc64Nvme,
    /// Adler-32 of its bytes, decoded.
    pub adler32: Adler32,
    /// CRC-32C of its bytes, decoded.
    pub crc32c: Crc32c,
    /// What the object is, where it is not the file's bytes as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_as: Option<StoredAs>,
}

/// An object that is an encoding of its file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StoredAs {
    /// How its bytes are made from the file's.
    pub encoding: Encoding,
    /// Its size in bytes.
    pub size: u64,
    /// CRC-64/NVME of its bytes.
    pub crc64nvme: Crc64Nvme,
}

impl Manifest {
    /// The manifest of the files that are newly stored, if the run is closed. Equal
    /// facts give equal bytes, so that a retry finds its own object.
    pub fn of(run: &RunId, active: &Active, told: &Told) -> Option<Self> {
        let closure = active.closure.as_ref()?;
        let files = active.stored().map(|(name, facts)| ManifestFile {
            name: name.clone(),
            key: facts.key.clone(),
            size: facts.digests.size,
            crc64nvme: facts.digests.crc64nvme,
            adler32: facts.digests.adler32,
            crc32c: facts.digests.crc32c,
            stored_as: facts.encoded.map(|encoded| StoredAs {
                encoding: encoded.encoding,
                size: encoded.digests.size,
                crc64nvme: encoded.digests.crc64nvme,
            }),
        });
        let extracted = told.extracted.iter();
        let units = extracted.clone().filter_map(|(name, attribute)| {
            let unit = attribute.unit.clone()?;
            Some((name.clone(), unit))
        });
        let extracted =
            extracted.map(|(name, attribute)| (name.clone(), attribute.value.to_string()));
        Some(Self {
            format: FORMAT,
            run: run.clone(),
            started_at: told.started_at,
            ended_at: closure.ended_at,
            closed_by: closure.closed_by,
            run_type: told.run_type.clone(),
            events: told.events,
            attributes: told
                .announced
                .clone()
                .into_iter()
                .chain(extracted)
                .collect(),
            units: units.collect(),
            trace: closure.trace.clone(),
            files: files.collect(),
        })
    }

    /// The object's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .expect("a manifest has string keys and no failing parts");
        bytes.push(b'\n');
        bytes
    }
}

//! The manifest: an object beside the run's files that says all that the catalogue is
//! told of them, so that it can be told again from the storage alone.
//!
//! A run with late files has several manifests; the run is their union. What happens to a
//! run after it was stored (more copies, orders to free the buffer) is not in them.

use std::collections::BTreeMap;

use aquifer_catalogue::{Attribute, ClosedFile, ClosedRun, StoredFileFacts, StoredRun};
use aquifer_digest::{Adler32, Crc32c, Crc64Nvme, FileIdentity};
use aquifer_schemas::{ClosedBy, Encoding, EvidenceLevel, FileName, FileState, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::journal::{Active, Progress};
use crate::secrets;
use crate::told::{Told, typed};

/// Version of the manifest's format.
const FORMAT: u32 = 2;

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
    pub attributes: BTreeMap<String, Attribute>,
    /// W3C trace context of the run's close.
    pub trace: Option<String>,
    /// Whether the files took the places in the buffer of those that the version before
    /// has under their names.
    pub took_places: bool,
    /// Storage element of the DAQ's disk.
    pub buffer: String,
    /// The files that the run has, as its closer said.
    pub announced: Vec<AnnouncedFile>,
    /// Those that are newly stored.
    pub files: Vec<ManifestFile>,
    /// Those that could not be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<QuarantinedFile>,
}

/// A file as the closer of its run announced it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedFile {
    /// Its name in the buffer.
    pub name: FileName,
    /// Its size in bytes, where it was said.
    pub size: Option<u64>,
}

/// One file of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name in the buffer.
    pub name: FileName,
    /// Storage element of its object.
    pub element: String,
    /// Its object's bucket.
    pub bucket: String,
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
    /// How far the object could be trusted when it was stored.
    pub evidence: EvidenceLevel,
    /// How that was known.
    pub evidence_method: String,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// The file in the buffer when it was read.
    pub identity: FileIdentity,
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

/// A file that could not be trusted or was gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedFile {
    /// Its name in the buffer.
    pub name: FileName,
    /// `changed` or `vanished`.
    pub state: FileState,
    /// Why.
    pub reason: String,
}

/// Why an object is no manifest that this version reads.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// A later version wrote it.
    #[error("it is of format {format}, and this version reads up to {FORMAT}")]
    Newer {
        /// Its format.
        format: u32,
    },
    /// It lacks what the catalogue needs.
    #[error("it is of format {format}, which does not say all that the catalogue needs")]
    Older {
        /// Its format.
        format: u32,
    },
    /// It is not what a manifest looks like.
    #[error("it cannot be read: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl Manifest {
    /// The manifest of the files that are newly stored, if the run is closed. Equal
    /// facts give equal bytes, so that a retry finds its own object.
    pub fn of(run: &RunId, active: &Active, told: &Told, buffer: &str) -> Option<Self> {
        let closure = active.closure.as_ref()?;
        // What was said at the begin stays where the end says nothing else.
        let opening = active.opening.as_ref();
        let mut attributes = opening
            .map(|opening| typed(&secrets::attributes(&opening.attributes, active)))
            .unwrap_or_default();
        attributes.extend(told.attributes());
        let announced = closure.files.iter().map(|file| AnnouncedFile {
            name: file.name.clone(),
            size: file.size,
        });
        let files = active.stored().map(|(name, facts)| ManifestFile {
            name: name.clone(),
            element: facts.element.clone(),
            bucket: facts.bucket.clone(),
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
            evidence: facts.evidence,
            evidence_method: facts.evidence_method.clone(),
            stored_at: facts.stored_at,
            identity: facts.identity,
        });
        Some(Self {
            format: FORMAT,
            run: run.clone(),
            started_at: told.started_at,
            ended_at: closure.ended_at,
            closed_by: closure.closed_by,
            run_type: told.run_type.clone(),
            events: told.events,
            attributes,
            trace: closure.trace.clone(),
            took_places: closure.instead.is_some() && run.version > 1,
            buffer: buffer.to_owned(),
            announced: announced.collect(),
            files: files.collect(),
            quarantined: active.files.iter().filter_map(quarantined).collect(),
        })
    }

    /// The object's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .expect("a manifest has string keys and no failing parts");
        bytes.push(b'\n');
        bytes
    }

    /// Reads an object's bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        // Of another format nothing else may be understood.
        let Format { format } = serde_json::from_slice(bytes)?;
        match format {
            FORMAT => Ok(serde_json::from_slice(bytes)?),
            _ if format > FORMAT => Err(ManifestError::Newer { format }),
            _ => Err(ManifestError::Older { format }),
        }
    }

    /// What the catalogue was told when the files were stored, in the words of `who`, and
    /// without anything to announce.
    pub fn to_stored(&self, who: &str) -> StoredRun {
        let announced = self.announced.iter().map(|file| ClosedFile {
            name: file.name.clone(),
            size: file.size,
        });
        StoredRun {
            closed: ClosedRun {
                id: self.run.clone(),
                started_at: self.started_at,
                ended_at: self.ended_at,
                run_type: self.run_type.clone(),
                closed_by: self.closed_by,
                events: self.events,
                attributes: self.attributes.clone(),
                files: announced.collect(),
                buffer: self.buffer.clone(),
                trace: self.trace.clone(),
                who: who.to_owned(),
                announce: false,
                signals: Vec::new(),
            },
            files: self.files.iter().map(ManifestFile::to_facts).collect(),
            manifest_key: None,
            signals: Vec::new(),
        }
    }
}

impl ManifestFile {
    fn to_facts(&self) -> StoredFileFacts {
        let object = self.stored_as.unwrap_or(StoredAs {
            encoding: Encoding::Identity,
            size: self.size,
            crc64nvme: self.crc64nvme,
        });
        StoredFileFacts {
            name: self.name.clone(),
            size: self.size,
            crc64nvme: self.crc64nvme.to_string(),
            adler32: self.adler32.to_string(),
            crc32c: self.crc32c.to_string(),
            identity: self.identity,
            element: self.element.clone(),
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            encoding: object.encoding,
            stored_size: object.size,
            stored_crc64nvme: object.crc64nvme.to_string(),
            evidence: self.evidence,
            evidence_method: self.evidence_method.clone(),
            sealed_at: self.stored_at,
            stored_at: self.stored_at,
        }
    }
}

fn quarantined((name, progress): (&FileName, &Progress)) -> Option<QuarantinedFile> {
    let Progress::Quarantined { state, reason, .. } = progress else {
        return None;
    };
    Some(QuarantinedFile {
        name: name.clone(),
        state: *state,
        reason: reason.clone(),
    })
}

#[cfg(test)]
mod tests {
    use aquifer_catalogue::AttributeValue;

    use super::*;

    /// A manifest of format 2 as it stands in storages.
    const GOLDEN: &[u8] = include_bytes!("manifest_golden.json");

    #[test]
    fn a_manifest_is_read_and_written_alike() {
        let manifest = Manifest::read(GOLDEN).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text(&manifest.to_bytes()), text(GOLDEN));
    }

    #[test]
    fn a_manifest_says_all_that_the_catalogue_was_told() {
        let manifest = Manifest::read(GOLDEN).unwrap();
        let stored = manifest.to_stored("rebuild");
        let closed = &stored.closed;
        assert_eq!(closed.id.to_string(), "LNGS/42.v2");
        assert_eq!(closed.files[1].size, Some(1200));
        let volts = &closed.attributes["GEM1_V"].value;
        assert_eq!(*volts, AttributeValue::Number(440.5));
        let [plain, encoded] = stored.files.as_slice() else {
            panic!("{:?}", stored.files);
        };
        assert_eq!(
            (plain.stored_size, plain.encoding),
            (1000, Encoding::Identity)
        );
        assert_eq!(plain.stored_crc64nvme, plain.crc64nvme);
        assert_eq!((encoded.size, encoded.stored_size), (2000, 700));
        assert_eq!(encoded.encoding, Encoding::Gzip);
        assert!(!closed.announce && stored.signals.is_empty());
    }

    #[test]
    fn what_this_version_cannot_read_is_said_to_be_that() {
        let text = String::from_utf8(GOLDEN.to_vec()).unwrap();
        let newer = text.replace("\"format\": 2", "\"format\": 3");
        let error = Manifest::read(newer.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ManifestError::Newer { format: 3 }),
            "{error}"
        );
        let older = text.replace("\"format\": 2", "\"format\": 1");
        let error = Manifest::read(older.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ManifestError::Older { format: 1 }),
            "{error}"
        );
        for bytes in [&GOLDEN[..GOLDEN.len() / 2], b"", b"[]", b"{\"format\": 2}"] {
            let error = Manifest::read(bytes).unwrap_err();
            assert!(matches!(error, ManifestError::Damaged(_)), "{error}");
        }
    }
}

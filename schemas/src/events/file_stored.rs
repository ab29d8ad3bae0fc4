//! One file of a run is in object storage, verified.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::run_key;
use crate::message::message;
use crate::words::{Encoding, EvidenceLevel, FileName, RunNumber, RunVersion, Site};

/// One file of a run is in object storage, verified, with digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStored {
    /// Identity of this announcement.
    #[serde(with = "crate::wire")]
    pub event_id: Uuid,
    /// Where the DAQ lives.
    pub site: Site,
    /// The number that the DAQ gave to the run.
    #[serde(with = "crate::wire")]
    pub run: RunNumber,
    /// 1 for the first run of this number.
    pub version: RunVersion,
    /// Revision of the run's row.
    #[serde(with = "crate::wire")]
    pub revision: u64,
    /// The file and where its bytes are.
    pub file: StoredFile,
    /// When the catalogue was told.
    #[serde(with = "crate::wire")]
    pub stored_at: Timestamp,
    /// Program and host that sent this.
    pub producer: String,
}

/// One file whose bytes are in object storage, verified. The digests are of the
/// decoded bytes: they are the file's identity, whatever the encoding of the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// The file's name.
    pub name: FileName,
    /// Bytes of the file as the DAQ wrote it.
    #[serde(with = "crate::wire")]
    pub size: u64,
    /// CRC-64/NVME, 16 lower-case hex digits.
    pub crc64nvme: String,
    /// Adler-32, 8 lower-case hex digits.
    pub adler32: String,
    /// CRC-32C, 8 lower-case hex digits.
    pub crc32c: String,
    /// Storage element that holds the object.
    pub element: String,
    /// Bucket of the object.
    pub bucket: String,
    /// Key of the object in its bucket.
    pub key: String,
    /// How the stored bytes are made from the file's. A word of a later version is
    /// refused: to take it for another would be to misread the bytes.
    pub encoding: Encoding,
    /// Bytes of the object as stored.
    #[serde(with = "crate::wire")]
    pub stored_size: u64,
    /// How far the object may be trusted.
    pub evidence: EvidenceLevel,
}

message!(
    FileStored,
    "file_stored.avsc",
    "aquifer.store.file-stored",
    |event| run_key(&event.site, event.run)
);

//! An order to free files of a buffer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::run_key;
use crate::message::message;
use crate::words::{EvidenceLevel, FileName, RunNumber, RunVersion, Site};

/// Free these files of a buffer, on this evidence. A hint: whoever frees the buffer
/// reads the order from the catalogue and checks it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeOrder {
    /// Identity of this announcement.
    #[serde(with = "crate::wire")]
    pub event_id: Uuid,
    /// Identity of the order.
    #[serde(with = "crate::wire")]
    pub order: Uuid,
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
    /// Storage element that is to be freed.
    pub buffer: String,
    /// The files to free.
    pub files: Vec<OrderedFile>,
    /// The evidence that each file needs at least.
    pub required: EvidenceLevel,
    /// Policy and version by which it was given.
    pub policy: String,
    /// Why it was given.
    pub reason: String,
    /// When it was given, by the database's clock.
    #[serde(with = "crate::wire")]
    pub ordered_at: Timestamp,
    /// Program and host that sent this.
    pub producer: String,
}

/// One file to free and the copy that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedFile {
    /// The file's name.
    pub name: FileName,
    /// Bytes of the file as the DAQ wrote it.
    #[serde(with = "crate::wire")]
    pub size: u64,
    /// CRC-64/NVME, 16 lower-case hex digits.
    pub crc64nvme: String,
    /// Storage element of the copy that stays.
    pub element: String,
    /// How far that copy may be trusted.
    pub evidence: EvidenceLevel,
    /// How the evidence was obtained.
    pub evidence_method: String,
    /// When, by the database's clock.
    #[serde(with = "crate::wire")]
    pub evidence_at: Timestamp,
}

message!(
    PurgeOrder,
    "purge_order.avsc",
    "aquifer.buffer.purge-order",
    |event| run_key(&event.site, event.run)
);

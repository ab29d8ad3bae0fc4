//! What became of a purge order.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::run_key;
use crate::message::message;
use crate::words::{FileName, PurgeOutcome, RunNumber, RunVersion, Site};

/// What became of a purge order: the files are gone from the buffer, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
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
    /// Storage element of the DAQ's disk.
    pub buffer: String,
    /// Whether the files are gone.
    pub outcome: PurgeOutcome,
    /// Names of the order's files.
    pub files: Vec<FileName>,
    /// Bytes that the buffer got back.
    #[serde(with = "crate::wire")]
    pub bytes: u64,
    /// Why the order was cancelled; empty where it was carried out.
    pub reason: String,
    /// When the catalogue was told.
    #[serde(with = "crate::wire")]
    pub ended_at: Timestamp,
    /// Program and host that sent this.
    pub producer: String,
}

message!(Purged, "purged.avsc", "aquifer.buffer.purged", |event| {
    run_key(&event.site, event.run)
});

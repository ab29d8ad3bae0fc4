//! Orders to free files of a buffer: what they say, and what they rest on.
//!
//! An order is about one run and is carried out whole or not at all. It stands here for
//! ever, with the evidence on which it was given; messages about it are hints. Each of
//! its files belongs to one order at a time, because a file is ordered only from `stored`
//! or `safe` and under its run's lock. Who frees the buffer moves the order along
//! ([`PurgeStep`]); times and ages are the database's.

mod apply;
mod read;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use aquifer_digest::FileIdentity;
use aquifer_schemas::{
    AlertSignal, EvidenceLevel, FileName, FileState, PurgeState, ReplicaState, RunId, RunState,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Name of the policy of orders that a person gives.
pub const BY_HAND: &str = "by-hand";

/// A run with this attribute is held: nothing of it is freed, unless its value is `false`.
pub const HOLD: &str = "hold";

/// An order as it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPurgeOrder {
    /// Its identity: the same order given again is the same order.
    pub order: Uuid,
    /// The run.
    pub run: RunId,
    /// Storage element that is to be freed.
    pub buffer: String,
    /// Policy and version, or [`BY_HAND`].
    pub policy: String,
    /// Why, for people.
    pub reason: String,
    /// The evidence that each file needs at least.
    pub required: EvidenceLevel,
    /// How old the evidence may be when the order is given, and when it is checked.
    pub evidence_max_age: Duration,
    /// Fresh evidence of the copies that stay, one for each file to free.
    pub files: Vec<CopyEvidence>,
    /// Who gives it.
    pub who: String,
}

/// Fresh evidence of one copy that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyEvidence {
    /// The file.
    pub file: FileName,
    /// Storage element of the copy.
    pub element: String,
    /// How far the copy may be trusted.
    pub level: EvidenceLevel,
    /// How that is known, such as `read-back`.
    pub method: String,
    /// Bytes of the copy as it was found.
    pub size: u64,
    /// CRC-64/NVME of the copy as it was found, 16 hexadecimal digits.
    pub crc64nvme: String,
    /// How long ago the look at the copy began.
    pub age: Duration,
}

/// An order as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeOrderRow {
    /// Its row.
    pub row: u64,
    /// Its identity.
    pub order: Uuid,
    /// The run.
    pub run: RunId,
    /// The run's state.
    pub run_state: RunState,
    /// Whether the run is held ([`HOLD`]).
    pub held: bool,
    /// Storage element that is to be freed.
    pub buffer: String,
    /// How far it is.
    pub state: PurgeState,
    /// Policy and version.
    pub policy: String,
    /// Why it was given.
    pub reason: String,
    /// The evidence that each file needs at least.
    pub required: EvidenceLevel,
    /// How old the evidence may be when the order is checked.
    pub evidence_max_age: Duration,
    /// Who gave it.
    pub ordered_by: String,
    /// What it waits for, in the words of who frees the buffer.
    pub note: Option<String>,
    /// Why it is void.
    pub cancelled_because: Option<String>,
    /// Who asked for the files back.
    pub restore_by: Option<String>,
    /// Why.
    pub restore_reason: Option<String>,
    /// When it was given.
    pub proposed_at: Timestamp,
    /// When it was checked.
    pub checked_at: Option<Timestamp>,
    /// When its files came into the trash.
    pub trashed_at: Option<Timestamp>,
    /// From when on there is no way back.
    pub unlinking_at: Option<Timestamp>,
    /// When it was done or became void.
    pub ended_at: Option<Timestamp>,
    /// The time of this look at it.
    pub read_at: Timestamp,
    /// Its files, by name.
    pub files: Vec<PurgeOrderFile>,
}

/// One file of an order, with the copy that stays as it stood then and stands now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeOrderFile {
    /// The file.
    pub name: FileName,
    /// How far it is.
    pub state: FileState,
    /// Its decoded bytes.
    pub size: u64,
    /// CRC-64/NVME of its decoded bytes.
    pub crc64nvme: String,
    /// What the buffer's file was when it was sealed.
    pub identity: Option<FileIdentity>,
    /// Storage element of the copy that stays.
    pub element: String,
    /// Evidence of it when the order was given.
    pub evidence: EvidenceLevel,
    /// How the evidence was obtained.
    pub evidence_method: String,
    /// What was found.
    pub evidence_value: String,
    /// When.
    pub evidence_at: Timestamp,
    /// State of that copy now.
    pub copy_state: ReplicaState,
    /// Evidence of it now.
    pub copy_evidence: EvidenceLevel,
    /// Its object key, or path below its element.
    pub copy_location: String,
    /// Its bytes.
    pub copy_size: u64,
    /// CRC-64/NVME of its bytes, where known.
    pub copy_crc64nvme: Option<String>,
}

/// A step of an order, told by who frees the buffer.
#[derive(Debug, Clone, PartialEq)]
pub enum PurgeStep {
    /// Everything that it relies on was found true again.
    Checked {
        /// What was looked at.
        evidence: Value,
    },
    /// Its files are in the trash.
    Trashed,
    /// From here on there is no way back. Not taken where the files were asked back.
    Unlinking,
    /// Its files are gone.
    Deleted,
    /// It is void.
    Cancelled {
        /// Why.
        reason: String,
        /// What lies in the buffer now; files that are not named were never touched.
        found: BTreeMap<FileName, BufferFound>,
        /// What people should hear.
        signals: Vec<AlertSignal>,
    },
}

/// What lies in the buffer under a file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BufferFound {
    /// The file that was sealed, perhaps moved there and back.
    Same(FileIdentity),
    /// Not what was sealed, or nothing; in words.
    Suspect(String),
}

/// Which orders to list. The default lists the newest hundred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeOrderFilter {
    /// Of this run.
    pub run: Option<RunId>,
    /// In one of these states; any if empty.
    pub states: Vec<PurgeState>,
    /// At most so many, up to 10 000.
    pub limit: u32,
}

impl Default for PurgeOrderFilter {
    fn default() -> Self {
        Self {
            run: None,
            states: Vec::new(),
            limit: 100,
        }
    }
}

impl PurgeOrderRow {
    /// How long ago `at` is, by the database's clock.
    pub fn since(&self, at: Timestamp) -> Duration {
        Duration::try_from(self.read_at.duration_since(at)).unwrap_or_default()
    }

    /// Whether it is neither done nor void.
    pub fn is_live(&self) -> bool {
        !matches!(self.state, PurgeState::Deleted | PurgeState::Cancelled)
    }
}

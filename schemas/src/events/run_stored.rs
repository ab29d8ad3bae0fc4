//! Every file of a run is in object storage, verified.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{StoredFile, run_key};
use crate::message::message;
use crate::words::{ClosedBy, RunNumber, RunVersion, Site};

/// Every file of a run is in object storage, verified, with digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStored {
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
    /// Kind of run in the experiment's words.
    pub run_type: Option<String>,
    /// Who said that the run was over.
    pub closed_by: ClosedBy,
    /// When data taking began, if anybody knows.
    #[serde(with = "crate::wire")]
    pub started_at: Option<Timestamp>,
    /// When data taking ended, if anybody knows.
    #[serde(with = "crate::wire")]
    pub ended_at: Option<Timestamp>,
    /// When the catalogue was told.
    #[serde(with = "crate::wire")]
    pub stored_at: Timestamp,
    /// Every file of the run and where its bytes are.
    pub files: Vec<StoredFile>,
    /// Key of the run's manifest object, in the bucket of its files.
    pub manifest: Option<String>,
    /// Program and host that sent this.
    pub producer: String,
}

message!(
    RunStored,
    "run_stored.avsc",
    "aquifer.store.run-stored",
    |event| run_key(&event.site, event.run)
);

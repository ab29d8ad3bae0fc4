//! A run ended.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::run_key;
use crate::message::message;
use crate::words::{ClosedBy, FileName, RunNumber, RunVersion, Site};

/// A run ended and its files are complete. A hint: it hastens what the buffer scan
/// would find by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunClosed {
    /// Identity of this announcement.
    #[serde(with = "crate::wire")]
    pub event_id: Uuid,
    /// Where the DAQ lives.
    pub site: Site,
    /// The number that the DAQ gave to the run.
    #[serde(with = "crate::wire")]
    pub run: RunNumber,
    /// 1 for the first run of this number; 0 where the sender does not know.
    pub version: RunVersion,
    /// Revision of the run's row; 0 where the sender has no catalogue.
    #[serde(with = "crate::wire")]
    pub revision: u64,
    /// When data taking began, if anybody knows.
    #[serde(with = "crate::wire")]
    pub started_at: Option<Timestamp>,
    /// When data taking ended.
    #[serde(with = "crate::wire")]
    pub ended_at: Timestamp,
    /// Kind of run in the experiment's words.
    pub run_type: Option<String>,
    /// Who said that the run was over.
    pub closed_by: ClosedBy,
    /// Name of the buffer disk that holds the files, where a site has several.
    pub buffer: Option<String>,
    /// Files of the run as the sender lists them; empty if it does not say.
    pub files: Vec<ClosedFile>,
    /// Events that the DAQ counted.
    #[serde(with = "crate::wire")]
    pub events: Option<u64>,
    /// Further facts that the DAQ keeps about the run.
    pub attributes: BTreeMap<String, String>,
    /// Program and host that sent this.
    pub producer: String,
}

/// One file that the sender says belongs to the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedFile {
    /// The file's name.
    pub name: FileName,
    /// Bytes of the file.
    #[serde(with = "crate::wire")]
    pub size: Option<u64>,
    /// CRC-32C that the logger kept of the file, 8 lower-case hex digits.
    pub crc32c: Option<String>,
}

message!(
    RunClosed,
    "run_closed.avsc",
    "aquifer.daq.run-closed",
    |event| run_key(&event.site, event.run)
);

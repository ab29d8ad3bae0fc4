//! How the ingester is, in one answer, for the people at the DAQ: from the journal and
//! the buffer alone, so that it works without the middle.

mod gather;
mod safety;
mod seen;

use aquifer_schemas::{FileName, RunId, Site};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk::DiskStatus;
use crate::links::PartStatus;
use crate::pace::InForce;

pub(crate) use gather::gather;
pub(crate) use seen::Seen;

/// How an ingester is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When this was so.
    pub at: Timestamp,
    /// Whose DAQ it serves.
    pub site: Site,
    /// Name of the buffer.
    pub buffer: String,
    /// Version of the program.
    pub version: String,
    /// Whether this is a rehearsal, which stores nothing.
    #[serde(default)]
    pub shadow: bool,
    /// Whether this host can be switched off now without losing anything.
    pub safe_to_switch_off: bool,
    /// Why not, one sentence each, for the person who wants to.
    pub reasons: Vec<String>,
    /// Closed files that cannot be stored as they lie there, and why: the first hundred.
    #[serde(default)]
    pub held_up: Vec<HeldUp>,
    /// Ways to the middle.
    pub parts: Vec<PartStatus>,
    /// Files of the buffer by state.
    pub files: FileCounts,
    /// What is only here so far.
    pub backlog: Backlog,
    /// What may be sent in a second.
    pub bandwidth: InForce,
    /// The buffer's disk; none if it does not answer.
    pub disk: Option<DiskStatus>,
    /// The run that was stored last, as far as the journal goes back.
    pub last_stored: Option<LastStored>,
    /// Signals and announcements that wait for the bus.
    pub letters: u64,
    /// Slow-control samples that wait for the bus.
    pub samples: u64,
}

/// A closed file that cannot be stored for a reason of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldUp {
    /// Its run.
    pub run: RunId,
    /// The file.
    pub file: FileName,
    /// What is wrong with it, or with what lies beside it.
    pub why: String,
}

/// How many files are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCounts {
    /// Not closed yet.
    pub open: u64,
    /// Closed and not stored.
    pub waiting: u64,
    /// In object storage.
    pub stored: u64,
    /// Not what the logger wrote, or gone: someone was told.
    pub quarantined: u64,
}

/// Closed runs that are only in the buffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Runs with files to store.
    pub runs: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// The oldest of these runs.
    pub oldest: Option<OldestRun>,
    /// Runs with news for the catalogue.
    pub to_record: u64,
}

/// The run that has waited longest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldestRun {
    /// Which.
    pub run: RunId,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// The run that was stored last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastStored {
    /// Which.
    pub run: RunId,
    /// When its file was in object storage.
    pub at: Timestamp,
}

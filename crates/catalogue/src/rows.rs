//! What readers are given: runs, files, replicas and their history, as they stand.

use std::collections::BTreeMap;

use aquifer_digest::FileIdentity;
use aquifer_profile::Expr;
use aquifer_schemas::{
    ClosedBy, Encoding, EvidenceLevel, FileName, FileState, Period, ReplicaState, RunId, RunState,
    Site, WordError,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::facts::Attribute;

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// Its row, which is how other rows refer to it.
    pub row: u64,
    /// Its name.
    pub id: RunId,
    /// How far it is.
    pub state: RunState,
    /// Grows by one with every change.
    pub revision: u64,
    /// Its type: by hand, by the experiment's profile, or the DAQ's word.
    pub run_type: Option<String>,
    /// Who set the type by hand, if anybody did.
    pub type_by: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who said that it was over; `None` while the DAQ writes.
    pub closed_by: Option<ClosedBy>,
    /// Number of events.
    pub events: Option<u64>,
    /// Number of files known.
    pub files: u32,
    /// Number of files with digests.
    pub sealed_files: u32,
    /// Decoded bytes of the sealed files.
    pub bytes: u64,
    /// W3C `traceparent` under which it was closed.
    pub trace: Option<String>,
    /// Key of its manifest object.
    pub manifest_key: Option<String>,
    /// When its last file was stored.
    pub stored_at: Option<Timestamp>,
    /// Start, else end, else when it was first recorded: what lists are ordered by.
    pub taken_at: Timestamp,
    /// When it was first recorded, by the database's clock.
    pub created_at: Timestamp,
    /// When it last changed, by the database's clock.
    pub updated_at: Timestamp,
}

impl RunRow {
    /// Where a list that ended with this run continues.
    pub fn cursor(&self) -> RunCursor {
        RunCursor {
            taken_at: self.taken_at,
            row: self.row,
        }
    }
}

/// A place in the list of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCursor {
    /// [`RunRow::taken_at`] of the last run seen.
    pub taken_at: Timestamp,
    /// [`RunRow::row`] of the last run seen.
    pub row: u64,
}

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// Its row.
    pub row: u64,
    /// Its name.
    pub name: FileName,
    /// How far it is.
    pub state: FileState,
    /// Bytes, as the DAQ announced them.
    pub announced_size: Option<u64>,
    /// Decoded bytes, as digested.
    pub size: Option<u64>,
    /// CRC-64/NVME of the decoded bytes.
    pub crc64nvme: Option<String>,
    /// Adler-32 of the decoded bytes.
    pub adler32: Option<String>,
    /// CRC-32C of the decoded bytes.
    pub crc32c: Option<String>,
    /// Storage element of the DAQ's disk.
    pub buffer: Option<String>,
    /// What the buffer's file was when it was sealed.
    pub identity: Option<FileIdentity>,
    /// When it was sealed.
    pub sealed_at: Option<Timestamp>,
    /// When it was stored.
    pub stored_at: Option<Timestamp>,
    /// When it was first safe.
    pub safe_at: Option<Timestamp>,
    /// Why it, or its copy in the buffer, is not trusted.
    pub reason: Option<String>,
}

impl FileRow {
    /// A file of which nothing is known but its name and how far it is.
    pub fn new(name: FileName, state: FileState) -> Self {
        Self {
            row: 0,
            name,
            state,
            announced_size: None,
            size: None,
            crc64nvme: None,
            adler32: None,
            crc32c: None,
            buffer: None,
            identity: None,
            sealed_at: None,
            stored_at: None,
            safe_at: None,
            reason: None,
        }
    }
}

/// A copy of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaRow {
    /// Its row.
    pub row: u64,
    /// The file.
    pub file: FileName,
    /// Where it is.
    pub element: String,
    /// How it is.
    pub state: ReplicaState,
    /// How its bytes are made from the file's.
    pub encoding: Encoding,
    /// Bucket, in object storage.
    pub bucket: Option<String>,
    /// Object key, or path below the element.
    pub location: String,
    /// Its bytes.
    pub stored_size: u64,
    /// CRC-64/NVME of its bytes, where known.
    pub stored_crc64nvme: Option<String>,
    /// How far it may be trusted.
    pub evidence: EvidenceLevel,
    /// How the evidence was obtained.
    pub evidence_method: String,
    /// What was compared.
    pub evidence_value: String,
    /// When the evidence was obtained.
    pub evidence_at: Timestamp,
    /// Grows with each worker that takes it: an earlier one cannot write.
    pub fence: u64,
}

/// One step in the history of a run, file or replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionRow {
    /// Order of the steps.
    pub row: u64,
    /// When, by the database's clock.
    pub at: Timestamp,
    /// `run`, `file`, `replica`, `order`, or `type`: then the steps are types of the run.
    pub entity: String,
    /// Row of the entity.
    pub entity_row: u64,
    /// State before; `None` at the beginning.
    pub from: Option<String>,
    /// State after.
    pub to: String,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// What it rests on.
    pub evidence: Option<serde_json::Value>,
    /// Revision of the run after this step.
    pub revision: u64,
}

/// All that is known about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDetail {
    /// The run.
    #[serde(rename = "run")]
    pub row: RunRow,
    /// What the DAQ says about it.
    pub attributes: BTreeMap<String, Attribute>,
    /// Its files, in the order they were recorded.
    pub files: Vec<FileRow>,
    /// Their copies.
    pub replicas: Vec<ReplicaRow>,
    /// The history, oldest first.
    pub transitions: Vec<TransitionRow>,
}

/// One file of a walk over all files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// The run.
    pub run: RunId,
    /// The run's state.
    pub run_state: RunState,
    /// The file.
    pub file: FileRow,
    /// Its copies.
    pub replicas: Vec<ReplicaRow>,
}

/// Which runs to list. The default lists the newest hundred.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFilter {
    /// Of this site.
    pub site: Option<Site>,
    /// In one of these states; any if empty.
    pub states: Vec<RunState>,
    /// From this number.
    pub from_number: Option<u64>,
    /// Up to and with this number.
    pub to_number: Option<u64>,
    /// Taken at or after.
    pub since: Option<Timestamp>,
    /// Taken before.
    pub until: Option<Timestamp>,
    /// Of this type.
    pub run_type: Option<String>,
    /// Of this period.
    pub period: Option<Period>,
    /// Of whose attributes this holds.
    pub holds: Option<Expr>,
    /// At most so many, up to 10 000.
    pub limit: u32,
    /// Continue after the run that gave this cursor.
    pub before: Option<RunCursor>,
}

impl Default for RunFilter {
    fn default() -> Self {
        Self {
            site: None,
            states: Vec::new(),
            from_number: None,
            to_number: None,
            since: None,
            until: None,
            run_type: None,
            period: None,
            holds: None,
            limit: 100,
            before: None,
        }
    }
}

/// A registered site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteRow {
    /// Its name.
    pub name: Site,
    /// IANA time zone, for people.
    pub time_zone: String,
    /// What it is.
    pub description: String,
}

/// A registered storage element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElementRow {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ElementKind,
    /// Where it is.
    pub site: Option<Site>,
    /// How to reach it.
    pub url: String,
}

/// What a storage element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementKind {
    /// The DAQ's disk.
    Buffer,
    /// Object storage.
    S3,
    /// A file system.
    Posix,
    /// A `WebDAV` or `XRootD` server.
    Webdav,
    /// A tape system.
    Tape,
}

impl ElementKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Buffer,
        Self::S3,
        Self::Posix,
        Self::Webdav,
        Self::Tape,
    ];

    /// Its one spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buffer => "buffer",
            Self::S3 => "s3",
            Self::Posix => "posix",
            Self::Webdav => "webdav",
            Self::Tape => "tape",
        }
    }
}

impl std::str::FromStr for ElementKind {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        let mut kinds = Self::ALL.iter().copied();
        let found = kinds.find(|kind| kind.as_str() == word);
        found.ok_or_else(|| WordError::Unknown {
            what: "kind of storage element",
            word: word.to_owned(),
        })
    }
}

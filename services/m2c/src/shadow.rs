//! A rehearsal beside the ingester in service: everything that m2c does with a buffer, on
//! a storage that stores nothing ([`aquifer_storage::Rehearsal`]).
//!
//! It closes runs, reads and digests files and finds their keys, and tells on `/v1/shadow`
//! what it would have stored. It writes to its own journal only: storage, catalogue and bus
//! are not even asked, and nothing in the buffer is locked, moved or freed.

use aquifer_digest::{Adler32, Crc32c, Crc64Nvme};
use aquifer_schemas::{ClosedBy, Encoding, FileName, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::edge::Edge;
use crate::journal::{Active, Progress, StoredFacts};

/// A run as it would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShadowRun {
    /// Which.
    pub run: RunId,
    /// Who closed it.
    pub closed_by: ClosedBy,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Key of its manifest, once all its files are through.
    pub manifest: Option<String>,
    /// Its files.
    pub files: Vec<ShadowFile>,
}

/// A file of a run as it would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShadowFile {
    /// Its name.
    pub name: FileName,
    /// What would have become of it.
    #[serde(flatten)]
    pub fate: ShadowFate,
}

/// What would have become of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fate")]
pub enum ShadowFate {
    /// It would be in object storage.
    Stored(ShadowObject),
    /// It is closed, and was not read to its end yet.
    Waiting,
    /// It would be in quarantine.
    Quarantined {
        /// Why.
        reason: String,
    },
}

/// An object that would be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShadowObject {
    /// The file's name in the buffer.
    pub disk: FileName,
    /// Its size there, in bytes.
    pub disk_size: u64,
    /// The object's key.
    pub key: String,
    /// How the object's bytes are made from the file's.
    pub encoding: Encoding,
    /// Size of the file's bytes, decoded.
    pub size: u64,
    /// CRC-64/NVME of the file's bytes, decoded.
    pub crc64nvme: Crc64Nvme,
    /// Adler-32 of the file's bytes, decoded.
    pub adler32: Adler32,
    /// CRC-32C of the file's bytes, decoded.
    pub crc32c: Crc32c,
    /// Size of the object's bytes.
    pub stored_size: u64,
    /// CRC-64/NVME of the object's bytes.
    pub stored_crc64nvme: Crc64Nvme,
}

impl ShadowObject {
    fn of(name: &FileName, facts: &StoredFacts) -> Self {
        let (digests, encoded) = (facts.digests, facts.encoded);
        let stored = encoded.map_or(digests, |encoded| encoded.digests);
        Self {
            disk: facts.disk.clone().unwrap_or_else(|| name.clone()),
            disk_size: facts.identity.size,
            key: facts.key.clone(),
            encoding: encoded.map_or(Encoding::Identity, |encoded| encoded.encoding),
            size: digests.size,
            crc64nvme: digests.crc64nvme,
            adler32: digests.adler32,
            crc32c: digests.crc32c,
            stored_size: stored.size,
            stored_crc64nvme: stored.crc64nvme,
        }
    }
}

/// Every run that was closed so far, by number.
pub(crate) fn gather(edge: &Edge) -> Vec<ShadowRun> {
    let ledger = edge.journal.ledger();
    let runs = ledger.actives().filter_map(|(run, active)| {
        let closure = active.closure.as_ref()?;
        Some(ShadowRun {
            run: edge.run_id(run, active.version),
            closed_by: closure.closed_by,
            ended_at: closure.ended_at,
            manifest: active.manifest.clone(),
            files: files(active),
        })
    });
    runs.collect()
}

fn files(active: &Active) -> Vec<ShadowFile> {
    let known = active.files.iter().filter_map(|(name, progress)| {
        let fate = match progress {
            Progress::Stored(facts) => ShadowFate::Stored(ShadowObject::of(name, facts)),
            Progress::Quarantined { reason, .. } => ShadowFate::Quarantined {
                reason: reason.clone(),
            },
            // Nobody records what is rehearsed, so nothing is ever settled.
            Progress::Settled { .. } => return None,
        };
        let name = name.clone();
        Some(ShadowFile { name, fate })
    });
    let waiting = active.missing().map(|file| ShadowFile {
        name: file.name.clone(),
        fate: ShadowFate::Waiting,
    });
    let mut files: Vec<_> = known.chain(waiting).collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

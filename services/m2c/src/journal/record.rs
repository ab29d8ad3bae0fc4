//! What the journal remembers: one record per thing that became true at the edge.

use std::collections::BTreeMap;

use aquifer_digest::{Crc32c, Digests, FileIdentity};
use aquifer_schemas::redact::Found;
use aquifer_schemas::{
    AlertSignal, ClosedBy, Encoding, EvidenceLevel, FileName, FileState, RunNumber, RunVersion,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::purges::{Purge, PurgeEnd, PurgedFile};
use super::settled::{KnownFile, Settled};
use crate::said::Said;
use crate::stream::{SentPart, Start};

/// One fact, as written to disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub(crate) enum Record {
    /// The DAQ announced that the run began.
    Opened {
        /// The run.
        run: RunNumber,
        /// What was announced.
        opening: Opening,
    },
    /// The run is over and these are its files. A higher version than before says
    /// that the DAQ used the number again.
    Closed {
        /// The run.
        run: RunNumber,
        /// Version under the number.
        version: RunVersion,
        /// How, when and with which files it was closed.
        closure: Closure,
    },
    /// Files of a run that goes on are closed: its first subruns.
    FilesClosed {
        /// The run.
        run: RunNumber,
        /// Version under the number.
        version: RunVersion,
        /// The files.
        files: Vec<ExpectedFile>,
        /// When the run began, as the first of them says.
        started_at: Timestamp,
    },
    /// A file is uploaded while it grows, or in encoded form.
    Streaming {
        /// The run.
        run: RunNumber,
        /// The file.
        name: FileName,
        /// The upload.
        start: Start,
    },
    /// The storage has a part of such an upload.
    Part {
        /// The run.
        run: RunNumber,
        /// The file.
        name: FileName,
        /// The part.
        part: SentPart,
    },
    /// Such an upload was dropped; the file begins anew.
    StreamAborted {
        /// The run.
        run: RunNumber,
        /// The file.
        name: FileName,
        /// Why, for people who read the journal.
        reason: String,
    },
    /// All slow-control values of a closed file are published.
    Sampled {
        /// The run.
        run: RunNumber,
        /// The file.
        name: FileName,
    },
    /// A file is in object storage, its digests verified on the way.
    Stored {
        /// The run.
        run: RunNumber,
        /// The file.
        name: FileName,
        /// Where it is and what it is.
        facts: StoredFacts,
    },
    /// A file cannot be trusted or is gone.
    Quarantined {
        /// The run.
        run: RunNumber,
        /// The file.
        name: FileName,
        /// `changed` or `vanished`.
        state: FileState,
        /// Why, for the person who is told.
        reason: String,
        /// The file in the buffer then: when it changes it gets another chance.
        #[serde(default)]
        identity: Option<FileIdentity>,
    },
    /// The buffer holds a stored file's bytes in this form: compressed by another
    /// program, or the same bytes in another inode.
    Formed {
        /// The run.
        run: RunNumber,
        /// The file.
        name: FileName,
        /// What lies in the buffer.
        form: BufferForm,
    },
    /// The buffer no longer holds anything under this name, and nobody had ordered that.
    Gone {
        /// The run.
        run: RunNumber,
        /// The name in the buffer.
        disk: FileName,
        /// When that was noticed.
        at: Timestamp,
    },
    /// The run's manifest object is in storage.
    Manifested {
        /// The run.
        run: RunNumber,
        /// Key of the manifest.
        key: String,
    },
    /// Other bytes hold the run's keys: its files go under the next version.
    Reversioned {
        /// The run.
        run: RunNumber,
        /// The version to use from now on.
        version: RunVersion,
    },
    /// Secrets lie in what belongs to the run: it is private.
    Secrets {
        /// The run.
        run: RunNumber,
        /// In what.
        source: SecretSource,
        /// Where in it; never which.
        found: Vec<Found>,
    },
    /// What a file says of its run, as far as the experiment's profile asks.
    Said {
        /// The run.
        run: RunNumber,
        /// The file.
        name: FileName,
        /// What it says.
        said: Said,
    },
    /// The catalogue holds everything known of the run up to and including its
    /// `facts`-th record.
    Recorded {
        /// The run.
        run: RunNumber,
        /// How many facts about the run the catalogue holds.
        facts: u64,
    },
    /// An order to free files of the run is so far.
    Purge {
        /// The run.
        run: RunNumber,
        /// The order.
        order: Uuid,
        /// How far, and which files they are.
        purge: Purge,
    },
    /// An order to free files of the run is over.
    PurgeEnded {
        /// The run.
        run: RunNumber,
        /// The order.
        order: Uuid,
        /// Version of the run.
        version: RunVersion,
        /// How it ended.
        end: PurgeEnd,
        /// Its files; those put back as they are now.
        files: Vec<PurgedFile>,
    },
    /// The journal was begun: an ingester that lost its own begins another generation.
    Begun {
        /// Rises from one journal of a buffer to the next.
        generation: u64,
    },
    /// This folder was seen to be the buffer.
    Placed {
        /// Device of its file system.
        dev: u64,
        /// Its inode.
        ino: u64,
    },
    /// Something about the buffer as a whole needs a person, or no longer does.
    Raised {
        /// What is said.
        signal: AlertSignal,
    },
    /// The catalogue has the signal and will announce it.
    Told {
        /// The signal's id.
        event_id: Uuid,
    },
    /// A run that is done, as a compacted journal keeps it.
    Settled {
        /// The run.
        run: RunNumber,
        /// What must be remembered of it.
        settled: Settled,
    },
}

/// What secrets were found in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// What the DAQ announced about the run.
    Announcement,
    /// The begin of a file.
    File(FileName),
}

impl std::fmt::Display for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Announcement => f.write_str("announcement"),
            Self::File(name) => name.fmt(f),
        }
    }
}

/// A run that the DAQ says has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opening {
    /// When it began.
    pub started_at: Timestamp,
    /// The DAQ's run type.
    pub run_type: Option<String>,
    /// What else the DAQ said.
    pub attributes: BTreeMap<String, String>,
    /// W3C trace context of the announcement.
    pub trace: Option<String>,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closure {
    /// Who said so.
    pub closed_by: ClosedBy,
    /// When the run began, where known.
    pub started_at: Option<Timestamp>,
    /// When it ended; for an inferred closure the last change of its files.
    pub ended_at: Timestamp,
    /// The DAQ's run type.
    pub run_type: Option<String>,
    /// Events taken, as the DAQ counts.
    pub events: Option<u64>,
    /// What else the DAQ said.
    pub attributes: BTreeMap<String, String>,
    /// Files that belong to the run, as far as the closer knows.
    pub files: Vec<ExpectedFile>,
    /// W3C trace context: of the announcement, or begun here.
    pub trace: Option<String>,
    /// When this ingester learnt of the closure.
    pub learnt_at: Timestamp,
    /// How the files differ from those that were stored under their names, for a version
    /// that came about because the buffer holds other bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<Instead>,
}

/// Why the buffer holds other bytes than were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instead {
    /// Others: the DAQ has used the number again, or the file was written anew.
    Other,
    /// The same and more: it was appended to after it was stored.
    Appended,
}

/// A file that the closer expects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectedFile {
    /// Its name in the buffer.
    pub name: FileName,
    /// Its size, where the DAQ said it.
    pub size: Option<u64>,
    /// CRC-32C of its bytes, where the DAQ said it.
    pub crc32c: Option<Crc32c>,
    /// The name in the buffer that size and checksum are about, where that is another:
    /// `run1.mid.gz` for `run1.mid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<FileName>,
}

impl ExpectedFile {
    /// A file of which nothing but the name is known.
    pub(crate) fn named(name: FileName) -> Self {
        Self {
            name,
            size: None,
            crc32c: None,
            disk: None,
        }
    }
}

/// A file in object storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredFacts {
    /// The file in the buffer when it was read.
    pub identity: FileIdentity,
    /// The name it had in the buffer, where that is not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<FileName>,
    /// Digests of its bytes, decoded.
    pub digests: Digests,
    /// How the object's bytes are made from the file's, where they are not the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoded: Option<Encoded>,
    /// Storage element.
    pub element: String,
    /// Bucket or root.
    pub bucket: String,
    /// Object key.
    pub key: String,
    /// How far the copy may be trusted.
    pub evidence: EvidenceLevel,
    /// How that is known.
    pub evidence_method: String,
    /// When the digest pass ended and the object was visible.
    pub stored_at: Timestamp,
}

/// Bytes that are an encoding of a file's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Encoded {
    /// Which encoding.
    pub encoding: Encoding,
    /// Digests of the encoded bytes.
    pub digests: Digests,
}

/// A form in which the buffer holds a stored file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BufferForm {
    /// The name in the buffer.
    pub disk: FileName,
    /// The file under that name, and the digest of the bytes that it decodes to.
    pub known: KnownFile,
    /// How it is encoded, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoded: Option<Encoded>,
}

impl StoredFacts {
    /// Size and digests of the object.
    pub(crate) fn object_digests(&self) -> &Digests {
        self.encoded
            .as_ref()
            .map_or(&self.digests, |encoded| &encoded.digests)
    }

    /// How the object's bytes are made from the file's.
    pub(crate) fn encoding(&self) -> Encoding {
        self.encoded
            .as_ref()
            .map_or(Encoding::Identity, |encoded| encoded.encoding)
    }

    /// What is remembered of the file.
    pub(crate) fn known(&self) -> KnownFile {
        KnownFile {
            identity: self.identity,
            crc64nvme: self.digests.crc64nvme,
        }
    }
}

impl Record {
    /// The run that the record is about, if it is about one.
    pub(crate) fn run(&self) -> Option<RunNumber> {
        match self {
            Self::Opened { run, .. }
            | Self::Closed { run, .. }
            | Self::Streaming { run, .. }
            | Self::Part { run, .. }
            | Self::StreamAborted { run, .. }
            | Self::Sampled { run, .. }
            | Self::Stored { run, .. }
            | Self::Quarantined { run, .. }
            | Self::Manifested { run, .. }
            | Self::Reversioned { run, .. }
            | Self::Secrets { run, .. }
            | Self::Said { run, .. }
            | Self::Recorded { run, .. }
            | Self::FilesClosed { run, .. }
            | Self::Formed { run, .. }
            | Self::Gone { run, .. }
            | Self::Purge { run, .. }
            | Self::PurgeEnded { run, .. }
            | Self::Settled { run, .. } => Some(*run),
            Self::Begun { .. } | Self::Placed { .. } | Self::Raised { .. } | Self::Told { .. } => {
                None
            }
        }
    }
}

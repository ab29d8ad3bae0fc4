//! What each source says of one run number at one site.

use aquifer_schemas::{EvidenceLevel, FileName, FileState, RunState, RunVersion};
use jiff::{SignedDuration, Timestamp};

/// Everything that is said of one run number, by whoever said it. All versions under
/// the number are looked at together, because the DAQ and the buffer know no versions.
#[derive(Debug, Clone, Default)]
pub struct NumberEvidence {
    /// Runs of this number in the DAQ's own list.
    pub daq: Vec<DaqRun>,
    /// Run files of this number in the buffer.
    pub buffer: Vec<BufferFile>,
    /// Run files of this number in the buffer's trash.
    pub trash: Vec<BufferFile>,
    /// Versions of this number in the catalogue.
    pub catalogue: Vec<CatalogueRun>,
    /// Objects under this number's keys, manifests included.
    pub objects: Vec<Object>,
}

/// A run as the DAQ lists it.
#[derive(Debug, Clone)]
pub struct DaqRun {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` while it is taken, or for ever if the DAQ died.
    pub ended_at: Option<Timestamp>,
    /// Its files.
    pub files: Vec<DaqFile>,
}

/// A file as the DAQ lists it.
#[derive(Debug, Clone)]
pub struct DaqFile {
    /// Its name.
    pub name: FileName,
    /// Bytes written; `None` if the DAQ died before it knew.
    pub size: Option<u64>,
    /// CRC-32C of its bytes, eight hexadecimal digits; `None` likewise.
    pub crc32c: Option<String>,
}

/// A run file in the buffer.
#[derive(Debug, Clone)]
pub struct BufferFile {
    /// Its name; that of the file which it is a compressed or temporary form of.
    pub name: FileName,
    /// Whether it lies there as the DAQ wrote it: otherwise its size says nothing.
    pub in_its_own_form: bool,
    /// Its size in bytes.
    pub size: u64,
    /// Its last change.
    pub modified_at: Timestamp,
    /// CRC-64/NVME of its bytes (sixteen hexadecimal digits), if they were read.
    pub crc64nvme: Option<String>,
}

/// A version of the run in the catalogue.
#[derive(Debug, Clone)]
pub struct CatalogueRun {
    /// Which version.
    pub version: RunVersion,
    /// Its state.
    pub state: RunState,
    /// When it began, where known.
    pub started_at: Option<Timestamp>,
    /// Whether all that is known of its end is that a run book has none: the DAQ died.
    pub never_ended: bool,
    /// Last change of its row.
    pub updated_at: Timestamp,
    /// How many files its row says it has.
    pub file_count: u64,
    /// Its files' rows.
    pub files: Vec<CatalogueFile>,
    /// Key of its manifest.
    pub manifest_key: Option<String>,
}

/// A file in the catalogue, with its copies.
#[derive(Debug, Clone)]
pub struct CatalogueFile {
    /// Its name.
    pub name: FileName,
    /// Its state.
    pub state: FileState,
    /// Its size in bytes, once known.
    pub size: Option<u64>,
    /// CRC-32C of its bytes, eight hexadecimal digits, once known.
    pub crc32c: Option<String>,
    /// CRC-64/NVME of its bytes, sixteen hexadecimal digits, once known; `None` too where
    /// the object holds them encoded.
    pub crc64nvme: Option<String>,
    /// Whether the buffer is said to hold it.
    pub in_buffer: bool,
    /// Key of its object, its stored size, and its CRC-64/NVME (sixteen hexadecimal
    /// digits). Of a copy that is only claimed: the size 0 where nobody said it, and no
    /// digits; `None` where it lies in a place that was not listed.
    pub object: Option<(String, u64, String)>,
    /// The order by which it is leaving or has left the buffer.
    pub ordered: Option<Ordered>,
}

/// What an order to free the buffer rested on, for one file.
#[derive(Debug, Clone)]
pub struct Ordered {
    /// Evidence of the copy that stays.
    pub evidence: EvidenceLevel,
    /// The evidence that the order asked for.
    pub required: EvidenceLevel,
    /// What was found of that copy: `crc64nvme:<16 hex digits> size:<bytes>`.
    pub found: String,
}

/// An object in storage.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written.
    pub modified_at: Timestamp,
    /// CRC-64/NVME of its bytes, as far as it was asked for: reported by the server
    /// or computed from the bytes read back.
    pub crc64nvme: Option<String>,
    /// CRC-32C of its bytes, eight hexadecimal digits, if they were read back and are not
    /// encoded.
    pub crc32c: Option<String>,
}

/// How long things may be in progress.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// The time of the audit.
    pub now: Timestamp,
    /// From a run's end, or a file's last change, to its being stored and recorded.
    pub stored_within: SignedDuration,
    /// From a run's begin to its end.
    pub run_at_most: SignedDuration,
}

impl Deadlines {
    /// Whether something that waits since `since` should have been stored.
    pub(crate) fn overdue(&self, since: Timestamp) -> bool {
        self.now.duration_since(since) > self.stored_within
    }

    /// Whether a run that began at `since` should have ended.
    pub(crate) fn endless(&self, since: Timestamp) -> bool {
        self.now.duration_since(since) > self.run_at_most
    }
}

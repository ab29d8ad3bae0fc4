//! What does not add up, in words that say what to do.

use aquifer_schemas::{RunNumber, Site};
use serde::Serialize;

/// One thing that is unaccounted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The site.
    pub site: Site,
    /// The run number.
    pub run: RunNumber,
    /// The file, object or version that is meant.
    pub subject: String,
    /// What each side says.
    pub detail: String,
}

/// Kinds of findings, by who misses what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The DAQ lists a file that the catalogue does not have.
    DaqFileUncatalogued,
    /// The DAQ lists other bytes than the catalogue has.
    DaqFileDiffers,
    /// The DAQ lists a run that nobody else has heard of.
    DaqRunUnknown,
    /// A file lies in the buffer and the catalogue does not have it.
    BufferFileUncatalogued,
    /// A file in the buffer has another size than the one stored.
    BufferFileDiffers,
    /// The catalogue says that the buffer holds a file; it does not.
    BufferFileMissing,
    /// A file lies in the buffer's trash and no order put it there.
    TrashFileUnordered,
    /// A file left the buffer, and no order with the evidence that it asked for says why.
    PurgedWithoutEvidence,
    /// The run's row counts other files than there are rows.
    FileRowsMissing,
    /// A run or file has been in progress for too long.
    Overdue,
    /// The catalogue names an object that does not exist.
    ObjectMissing,
    /// An object is not what the catalogue says.
    ObjectDiffers,
    /// An object that no row claims.
    ObjectUncatalogued,
    /// A stored run without manifest.
    ManifestMissing,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Files in object storage with matching evidence from every source.
    pub stored: u64,
    /// Files quarantined; someone was told.
    pub quarantined: u64,
    /// Files and runs on their way and within their deadline.
    pub in_progress: u64,
    /// Runs looked at, by number.
    pub runs: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.quarantined += other.quarantined;
        self.in_progress += other.in_progress;
        self.runs += other.runs;
    }
}

//! What does not add up. What each kind means and what to do is in `remedy`.

use aquifer_schemas::{RunNumber, Site};
use serde::Serialize;

use crate::remedy::Gravity;

/// One thing that is unaccounted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// How bad it is.
    pub gravity: Gravity,
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
    /// A file in the buffer is not the one that was stored.
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
    /// A file is stored and no row says where.
    CopyRowMissing,
    /// Two rows, or a row and the bytes, disagree about a digest.
    DigestsDiffer,
    /// A file in the buffer belongs to no run.
    UnrecognisedFile,
    /// The key of an object belongs to no run.
    ForeignObject,
    /// Parts of an upload that nobody will finish.
    OrphanedUpload,
    /// Announcements wait for longer than they may.
    AnnouncementsOverdue,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Files in object storage with matching evidence from every source.
    pub stored: u64,
    /// Files quarantined; someone was told.
    pub quarantined: u64,
    /// Files on their way and within their deadline.
    pub in_progress: u64,
    /// Files of which a run book or a listing says that there is a copy that nobody here
    /// has read.
    pub adopted: u64,
    /// Files of which a run book tells and no copy is known: lost before our time, as far
    /// as anybody knows.
    pub missing: u64,
    /// Runs of which a run book has no end: the DAQ died.
    pub never_ended: u64,
    /// Runs looked at, by number.
    pub runs: u64,
    /// Of these, runs that are on their way or have a file that is.
    pub runs_in_progress: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.quarantined += other.quarantined;
        self.in_progress += other.in_progress;
        self.adopted += other.adopted;
        self.missing += other.missing;
        self.never_ended += other.never_ended;
        self.runs += other.runs;
        self.runs_in_progress += other.runs_in_progress;
    }
}

//! What each kind of finding is called, how bad it is, what it means and what to do.
//!
//! The only place for these words: the command prints them and the guide's table is
//! compared with them.

use serde::Serialize;

use crate::finding::FindingKind;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gravity {
    /// No sound copy is known: data may be lost. Act now.
    Loss,
    /// The data are there; a record, a copy or a step is missing or wrong. Repair it.
    Broken,
    /// Nothing is at risk and nothing is unaccounted: a copy that is not needed is not
    /// where the catalogue says.
    Untidy,
}

impl Gravity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Broken => "broken",
            Self::Untidy => "untidy",
        }
    }
}

/// What brings back every row, object and manifest of a file that the buffer still has:
/// the scan finds it anew, the storage adopts what it has, the catalogue what it lacks.
const INGEST_AGAIN: &str = "if the buffer has the file: stop m2c, move its journal folder aside, start m2c; it stores and records again what is missing";

impl FindingKind {
    /// All of them, in the order of the way of a run.
    pub const ALL: &'static [Self] = &[
        Self::DaqRunUnknown,
        Self::DaqFileUncatalogued,
        Self::DaqFileDiffers,
        Self::BufferFileUncatalogued,
        Self::BufferFileMissing,
        Self::BufferFileDiffers,
        Self::TrashFileUnordered,
        Self::PurgedWithoutEvidence,
        Self::UnrecognisedFile,
        Self::FileRowsMissing,
        Self::CopyRowMissing,
        Self::DigestsDiffer,
        Self::Overdue,
        Self::ObjectMissing,
        Self::ObjectDiffers,
        Self::ManifestMissing,
        Self::ObjectUncatalogued,
        Self::ForeignObject,
        Self::OrphanedUpload,
        Self::AnnouncementsOverdue,
    ];

    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DaqFileUncatalogued => "daq-file-uncatalogued",
            Self::DaqFileDiffers => "daq-file-differs",
            Self::DaqRunUnknown => "daq-run-unknown",
            Self::BufferFileUncatalogued => "buffer-file-uncatalogued",
            Self::BufferFileDiffers => "buffer-file-differs",
            Self::BufferFileMissing => "buffer-file-missing",
            Self::UnrecognisedFile => "unrecognised-file",
            Self::FileRowsMissing => "file-rows-missing",
            Self::CopyRowMissing => "copy-row-missing",
            Self::DigestsDiffer => "digests-differ",
            Self::Overdue => "overdue",
            Self::ObjectMissing => "object-missing",
            Self::ObjectDiffers => "object-differs",
            Self::ObjectUncatalogued => "object-uncatalogued",
            Self::ManifestMissing => "manifest-missing",
            Self::ForeignObject => "foreign-object",
            Self::TrashFileUnordered => "trash-file-unordered",
            Self::PurgedWithoutEvidence => "purged-without-evidence",
            Self::OrphanedUpload => "orphaned-upload",
            Self::AnnouncementsOverdue => "announcements-overdue",
        }
    }

    /// How bad it is; `safe` says that another copy of the bytes is sound.
    pub fn gravity(self, safe: bool) -> Gravity {
        match self {
            Self::DaqFileDiffers | Self::BufferFileMissing | Self::BufferFileDiffers if safe => {
                Gravity::Untidy
            }
            Self::ObjectMissing | Self::ObjectDiffers if safe => Gravity::Broken,
            Self::DaqRunUnknown
            | Self::DaqFileUncatalogued
            | Self::DaqFileDiffers
            | Self::BufferFileMissing
            | Self::BufferFileDiffers
            | Self::PurgedWithoutEvidence
            | Self::ObjectMissing
            | Self::ObjectDiffers => Gravity::Loss,
            Self::BufferFileUncatalogued
            | Self::UnrecognisedFile
            | Self::FileRowsMissing
            | Self::CopyRowMissing
            | Self::DigestsDiffer
            | Self::Overdue
            | Self::ManifestMissing
            | Self::ObjectUncatalogued
            | Self::ForeignObject
            | Self::TrashFileUnordered
            | Self::OrphanedUpload
            | Self::AnnouncementsOverdue => Gravity::Broken,
        }
    }

    /// What it means.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::DaqRunUnknown => "the DAQ lists a run; neither buffer nor catalogue has it",
            Self::DaqFileUncatalogued => {
                "the DAQ lists a file; neither buffer nor catalogue has it"
            }
            Self::DaqFileDiffers => "the DAQ wrote other bytes than the catalogue has",
            Self::BufferFileUncatalogued => {
                "a file lies in the buffer for longer than it may, unrecorded"
            }
            Self::BufferFileMissing => {
                "the catalogue says that the buffer holds a file; it does not"
            }
            Self::BufferFileDiffers => "the buffer's file is not the one that was stored",
            Self::UnrecognisedFile => "a file of the buffer belongs to no run",
            Self::FileRowsMissing => "a run's row counts other files than there are rows",
            Self::CopyRowMissing => "a file is said to be stored and no row says where",
            Self::DigestsDiffer => "two rows, or a row and the bytes, have different digests",
            Self::Overdue => "a run or file is in progress for too long",
            Self::ObjectMissing => "the catalogue names an object that the storage does not have",
            Self::ObjectDiffers => "an object is not what the catalogue says",
            Self::ManifestMissing => "a stored run has no manifest",
            Self::ObjectUncatalogued => "an object that no row claims",
            Self::ForeignObject => "an object whose key belongs to no run",
            Self::TrashFileUnordered => {
                "a file lies in the buffer's trash and no order put it there"
            }
            Self::PurgedWithoutEvidence => {
                "a file left the buffer, and no order with the evidence that it asked for says why"
            }
            Self::OrphanedUpload => "parts of an upload that nobody will finish",
            Self::AnnouncementsOverdue => "announcements wait for longer than they may",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::DaqRunUnknown | Self::DaqFileUncatalogued => {
                "look for the file on the DAQ's disks and put it into the buffer; if nobody has it, it is lost: tell the shift"
            }
            Self::DaqFileDiffers => {
                "untidy: another version of the run is what the DAQ wrote; loss: find the file with the DAQ's checksum and put it into the buffer under its name: it becomes the run's next version"
            }
            Self::BufferFileUncatalogued => {
                "is m2c running and ready (`/readyz`)? then stop it, move its journal folder aside, and start it"
            }
            Self::BufferFileMissing => {
                "untidy: never delete by hand, order it; loss: look for another copy of the file and put it into the buffer"
            }
            Self::BufferFileDiffers => {
                "untidy: the stored copy is the run, check the buffer's disk; loss: compare with the DAQ's checksum before anything is freed"
            }
            Self::UnrecognisedFile => {
                "add a template to `m2c.files` or a suffix to `m2c.ignore-suffixes`"
            }
            Self::FileRowsMissing
            | Self::CopyRowMissing
            | Self::ObjectMissing
            | Self::ManifestMissing => INGEST_AGAIN,
            Self::DigestsDiffer => {
                "`aquifer audit --read-back` says what the bytes are; somebody changed a row: correct it, `aquifer explain RUN` has its history"
            }
            Self::Overdue => {
                "`aquifer m2c status` says what it waits for, and which files are held up by what"
            }
            Self::ObjectDiffers => {
                "copy the object to a key outside of the prefix for inquiry, delete it, then as for `object-missing`"
            }
            Self::ObjectUncatalogued => {
                "if the buffer has the file: stop m2c, move its journal folder aside, start m2c; else keep the object: it may be the only copy"
            }
            Self::ForeignObject => {
                "who else writes into this bucket? move the object, or give m2c a `key-prefix` of its own"
            }
            Self::TrashFileUnordered => {
                "nobody removes it: compare it with the stored copy, then move it back or away by hand"
            }
            Self::PurgedWithoutEvidence => {
                "`aquifer audit --read-back` says whether the stored copy is sound; if it is not, look for another copy of the file"
            }
            Self::OrphanedUpload => {
                "`aquifer storage abort-orphans` lists them and with `--yes` drops them"
            }
            Self::AnnouncementsOverdue => {
                "is a relay running? its `/readyz` says what it waits for"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_word() {
        for kind in FindingKind::ALL {
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json.as_str(), Some(kind.as_str()));
            assert!(kind.gravity(true) >= kind.gravity(false));
        }
        let mut words: Vec<_> = FindingKind::ALL.iter().map(|kind| kind.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), FindingKind::ALL.len());
    }
}

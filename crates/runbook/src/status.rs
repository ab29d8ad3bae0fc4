//! The status codes of the run book, and what they are worth.
//!
//! Each code is what a script once meant to say of a copy. Several were used for two
//! things by different scripts, and none was ever checked; a claim here is never more
//! than hearsay.

use serde::Serialize;

use crate::columns::Columns;

/// What a code is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// The copy on the DAQ's disk.
    Local,
    /// The copy in object storage.
    Cloud,
    /// The copy on tape.
    Tape,
    /// The reconstruction.
    Reco,
}

/// What a code claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Claim {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// It was tried and failed.
    Failed,
    /// Being done when the book was copied, or stuck.
    Underway,
    /// The code was used for two things.
    Ambiguous,
    /// Nobody knows what the code means.
    Unknown,
}

/// A code, translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Meaning {
    /// What it claims.
    pub claim: Claim,
    /// In words, both meanings where there are two.
    pub words: &'static str,
}

impl Store {
    /// All that a book has codes for.
    pub const ALL: [Self; 4] = [Self::Local, Self::Cloud, Self::Tape, Self::Reco];

    /// The column of the codes.
    pub fn column(self, columns: &Columns) -> &str {
        match self {
            Self::Local => &columns.local,
            Self::Cloud => &columns.cloud,
            Self::Tape => &columns.tape,
            Self::Reco => &columns.reco,
        }
    }

    /// Whether `code` says that there is a copy, however doubtfully.
    pub fn claims(self, code: i64) -> bool {
        code == 1 && self != Self::Reco
    }

    /// What `code` means here.
    pub fn meaning(self, code: i64) -> Meaning {
        let (claim, words) = match (self, code) {
            (Self::Local, -1) => (Claim::Absent, "run begun and never closed"),
            (Self::Local, 0) => (
                Claim::Ambiguous,
                "written and not yet compressed, or deleted from the disk since",
            ),
            (Self::Local, 1) => (Claim::Present, "compressed file on the disk"),
            (Self::Cloud, -1) => (Claim::Absent, "not uploaded"),
            (Self::Cloud, 1) => (Claim::Present, "uploaded"),
            (Self::Cloud, 2) => (
                Claim::Ambiguous,
                "too large to be uploaded, or deleted from object storage since",
            ),
            (Self::Cloud, -2) => (Claim::Failed, "upload failed"),
            (Self::Tape, -1) => (Claim::Absent, "not on tape"),
            (Self::Tape, 1) => (
                Claim::Ambiguous,
                "copied to tape, or the copy merely requested",
            ),
            (Self::Tape, -2) => (Claim::Failed, "copy to tape failed"),
            (Self::Reco, -1) => (Claim::Absent, "not reconstructed"),
            (Self::Reco, -2) => (
                Claim::Ambiguous,
                "being submitted, or lost while it was submitted",
            ),
            (Self::Reco, 0) => (Claim::Underway, "submitted, running or stuck"),
            (Self::Reco, 1) => (Claim::Present, "reconstructed"),
            _ => (Claim::Unknown, "a code that nobody documented"),
        };
        Meaning { claim, words }
    }
}

//! Runs and files of which only a run book or a listing tells.
//!
//! They have no deadline, because nobody works on them, and are counted under their own
//! words. A book accounts for the run that it means, never for what lies in the buffer.

use std::collections::HashMap;

use aquifer_schemas::FileState;
use jiff::{SignedDuration, Timestamp};

use crate::evidence::{CatalogueFile, DaqRun, Object};
use crate::finding::FindingKind;
use crate::reconcile::Audit;

/// How far the clock of a run book may be from the DAQ's: it names no time zone, and in
/// autumn an hour comes twice.
const BOOK_CLOCK: SignedDuration = SignedDuration::from_hours(2);

impl Audit<'_> {
    /// Whether a book tells of this very run of the DAQ's list: the number alone may mean
    /// another one.
    pub(crate) fn in_a_book(&self, run: &DaqRun) -> bool {
        let near = |began: Timestamp| began.duration_since(run.started_at).abs() <= BOOK_CLOCK;
        let mut known = self.evidence.catalogue.iter();
        known.any(|known| known.files.iter().any(is_hearsay) && known.started_at.is_some_and(near))
    }

    /// What a book or a listing says, against what the storage has where it was listed.
    pub(crate) fn hearsay(&mut self, file: &CatalogueFile, objects: &HashMap<&str, &Object>) {
        if file.state == FileState::Missing {
            self.tally.missing += 1;
            return;
        }
        let Some((key, size, _)) = &file.object else {
            self.tally.adopted += 1;
            return;
        };
        match objects.get(key.as_str()) {
            None => self.find(
                FindingKind::ObjectMissing,
                key,
                "a run book or a listing names this object; the storage does not have it",
            ),
            Some(object) if *size != 0 && object.size != *size => self.find(
                FindingKind::ObjectDiffers,
                key,
                format!("the object has {} bytes, {size} are claimed", object.size),
            ),
            Some(_) => self.tally.adopted += 1,
        }
    }
}

/// Whether all that is known of the file is what a book or a listing says.
pub(crate) fn is_hearsay(file: &CatalogueFile) -> bool {
    matches!(file.state, FileState::Adopted | FileState::Missing)
}

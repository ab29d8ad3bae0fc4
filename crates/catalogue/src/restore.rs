//! Runs that are told again, from what stands beside their files in the storage.
//!
//! Nothing is announced: everybody heard of these runs when they were stored. What is in
//! the catalogue already is never replaced.

use aquifer_schemas::{FileName, FileState, RunId};

use crate::apply;
use crate::catalogue::Catalogue;
use crate::draft::Draft;
use crate::error::CatalogueError;
use crate::facts::StoredRun;
use crate::rows::RunRow;

/// All that is known of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoredRun {
    /// The run.
    pub id: RunId,
    /// What was recorded when files of it were stored, in that order. Announcements and
    /// signals in it are not told again, and the manifests' keys do not count.
    pub stored: Vec<StoredRun>,
    /// Files that could not be stored, how they are, and why.
    pub quarantined: Vec<(FileName, FileState, String)>,
    /// Key of the run's last manifest.
    pub manifest_key: String,
    /// Who restores it.
    pub who: String,
}

impl Catalogue {
    /// Records a run as it was when its files were stored. True if that changed anything:
    /// the same run restored again changes nothing.
    ///
    /// Errors: [`CatalogueError::Conflict`] if a file has other content in the catalogue,
    /// [`CatalogueError::UnknownSite`], [`CatalogueError::UnknownElement`], values that do
    /// not fit, outages. Nothing of the run is recorded then.
    pub async fn restore_run(&self, run: &RestoredRun) -> Result<(RunRow, bool), CatalogueError> {
        let before = self.run(&run.id).await?.map(|row| row.revision);
        let apply = |draft: &mut Draft| restore(draft, run);
        let announce = |_: &Draft| Ok(Vec::new());
        let draft = self
            .change("restore a run", &run.id, &run.who, apply, announce)
            .await?;
        let changed = before != Some(draft.run.revision);
        Ok((draft.run, changed))
    }
}

fn restore(draft: &mut Draft, run: &RestoredRun) -> Result<(), CatalogueError> {
    let mut closes = false;
    for stored in &run.stored {
        // Each was a change of its own, and only the first closed the run.
        draft.closes = false;
        let stored = StoredRun {
            manifest_key: Some(run.manifest_key.clone()),
            ..stored.clone()
        };
        apply::store(draft, &stored)?;
        closes |= draft.closes;
    }
    draft.closes = closes;
    // What came back later was stored then.
    let is_stored = |name: &FileName| {
        let mut files = run.stored.iter().flat_map(|stored| &stored.files);
        files.any(|file| file.name == *name)
    };
    for (name, state, reason) in &run.quarantined {
        if !is_stored(name) {
            apply::quarantine(draft, name, *state, reason)?;
        }
    }
    Ok(())
}

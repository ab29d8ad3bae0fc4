//! Runs that are told again, from what stands beside their files in the storage.
//!
//! Nothing is announced: everybody heard of these runs when they were stored. What is in
//! the catalogue already is never replaced.

use std::collections::HashMap;

use aquifer_schemas::{FileName, FileState, RunId};

use crate::apply;
use crate::catalogue::Catalogue;
use crate::draft::Draft;
use crate::error::CatalogueError;
use crate::facts::StoredRun;
use crate::machine;
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
    let known: HashMap<FileName, usize> = (0..draft.files.len())
        .filter(|place| machine::is_stored(draft.files[*place].row.state))
        .map(|place| (draft.files[place].row.name.clone(), place))
        .collect();
    let mut closes = false;
    for stored in &run.stored {
        // What happened to a file since it was stored is not undone.
        let mut files = Vec::new();
        for facts in &stored.files {
            match known.get(&facts.name) {
                Some(place) => drop(apply::refuse_other_content(draft, *place, facts)?),
                None => files.push(facts.clone()),
            }
        }
        // Each was a change of its own, and only the first closed the run.
        draft.closes = false;
        let stored = StoredRun {
            files,
            manifest_key: Some(run.manifest_key.clone()),
            ..stored.clone()
        };
        apply::store(draft, &stored)?;
        closes |= draft.closes;
    }
    draft.closes = closes;
    // What came back later was stored then.
    for (name, state, reason) in &run.quarantined {
        let mut files = draft.files.iter().map(|file| &file.row);
        let is_stored = files.any(|row| row.name == *name && machine::is_stored(row.state));
        if !is_stored {
            apply::quarantine(draft, name, *state, reason)?;
        }
    }
    Ok(())
}

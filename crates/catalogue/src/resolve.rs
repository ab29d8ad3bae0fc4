//! The word of a person on a copy that is in doubt.

use aquifer_schemas::{FileName, ReplicaState, RunId};

use crate::catalogue::Catalogue;
use crate::draft::Draft;
use crate::error::CatalogueError;
use crate::machine;

impl Catalogue {
    /// A person says that the stored copies of a file stand, and that the doubtful one in
    /// the buffer is bad. False if the file is not stored or nothing is in doubt, and
    /// then nothing changes.
    ///
    /// Errors: [`CatalogueError::UnknownRun`], outages.
    pub async fn keep_stored(
        &self,
        id: &RunId,
        name: &FileName,
        why: &str,
        who: &str,
    ) -> Result<bool, CatalogueError> {
        let apply = |draft: &mut Draft| {
            if draft.before.is_none() {
                return Err(CatalogueError::UnknownRun { run: id.clone() });
            }
            keep(draft, name, why)
        };
        let announce = |_: &Draft| Ok(Vec::new());
        let draft = self
            .change("keep a stored copy", id, who, apply, announce)
            .await?;
        Ok(draft
            .before
            .is_none_or(|(_, before)| before != draft.run.revision))
    }
}

fn keep(draft: &mut Draft, name: &FileName, why: &str) -> Result<(), CatalogueError> {
    let known = draft.files.iter().position(|file| file.row.name == *name);
    let Some(place) = known else {
        return Ok(());
    };
    let file = &draft.files[place].row;
    let buffer = file.buffer.clone().unwrap_or_default();
    let copy = draft.replica(name, &buffer);
    let doubtful = |copy: &usize| draft.replicas[*copy].row.state == ReplicaState::Suspect;
    let Some(copy) = copy.filter(doubtful) else {
        return Ok(());
    };
    if !machine::is_stored(file.state) {
        return Ok(());
    }
    let why = format!("the stored copy stands: {why}");
    draft.move_replica(copy, ReplicaState::Bad, &why, None)?;
    draft.change_file(place).reason = None;
    Ok(())
}

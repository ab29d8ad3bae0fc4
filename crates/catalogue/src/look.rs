//! What becomes of a copy when somebody has read it back.

use aquifer_schemas::{AlertSignal, Encoding, ReplicaState, RunId};
use serde_json::json;

use crate::announce;
use crate::catalogue::Catalogue;
use crate::draft::Draft;
use crate::error::CatalogueError;
use crate::purge::CopyEvidence;
use crate::rows::{ReplicaRow, RunRow};

impl Catalogue {
    /// Copies of a run were looked at. The evidence of those that are what the catalogue
    /// says is renewed, and a doubt about them is over; the others are bad. `signals` are
    /// written if anything changes. Copies that are not known, or are being made or
    /// deleted, are left alone.
    ///
    /// Errors: [`CatalogueError::UnknownRun`], outages.
    pub async fn record_looks(
        &self,
        id: &RunId,
        looks: &[CopyEvidence],
        who: &str,
        signals: &[AlertSignal],
    ) -> Result<RunRow, CatalogueError> {
        let apply = |draft: &mut Draft| {
            if draft.before.is_none() {
                return Err(CatalogueError::UnknownRun { run: id.clone() });
            }
            looks.iter().try_for_each(|found| look(draft, found))
        };
        let announce = |draft: &Draft| announce::signals(draft, signals);
        let draft = self
            .change("record a look at copies", id, who, apply, announce)
            .await?;
        Ok(draft.run)
    }
}

fn look(draft: &mut Draft, found: &CopyEvidence) -> Result<(), CatalogueError> {
    use ReplicaState::{Available, Bad, OnTape, Suspect};
    let Some(copy) = draft.replica(&found.file, &found.element) else {
        return Ok(());
    };
    let row = &draft.replicas[copy].row;
    let state = row.state;
    if !matches!(state, Available | OnTape | Suspect | Bad) {
        return Ok(());
    }
    let now = draft.run.updated_at;
    let evidence = json!({
        "level": found.level, "method": found.method, "at": now - found.age,
        "value": value(found),
    });
    if !is_same(draft, row, found) {
        let why = format!("it was found with {}", value(found));
        return draft.move_replica(copy, Bad, &why, Some(&evidence));
    }
    let row = draft.change_replica(copy);
    row.stored_crc64nvme = Some(found.crc64nvme.clone());
    row.evidence = found.level;
    row.evidence_method.clone_from(&found.method);
    row.evidence_value = value(found);
    row.evidence_at = now - found.age;
    if matches!(state, Suspect | Bad) {
        let why = "it was read back, and is what was stored";
        draft.move_replica(copy, Available, why, Some(&evidence))?;
    }
    Ok(())
}

fn value(found: &CopyEvidence) -> String {
    format!("crc64nvme:{} size:{}", found.crc64nvme, found.size)
}

/// Whether these are the bytes that were recorded. What a copy was recorded without is
/// taken from its file, where the copy is its very bytes.
fn is_same(draft: &Draft, row: &ReplicaRow, found: &CopyEvidence) -> bool {
    let of_file = || {
        let mut files = draft.files.iter().map(|file| &file.row);
        let file = files.find(|file| file.name == row.file)?;
        let plain = row.encoding == Encoding::Identity;
        file.crc64nvme.as_ref().filter(|_| plain)
    };
    let recorded = row.stored_crc64nvme.as_ref().or_else(of_file);
    row.stored_size == found.size && recorded == Some(&found.crc64nvme)
}

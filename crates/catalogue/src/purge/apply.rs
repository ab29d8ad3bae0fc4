//! What the steps of an order do to its run. Pure, and idempotent as all writers are.

use aquifer_schemas::{EvidenceLevel, FileState, PurgeState, ReplicaState, RunState};
use serde_json::{Value, json};

use super::{BufferFound, CopyEvidence, HOLD, NewPurgeOrder, PurgeOrderRow, PurgeStep};
use crate::draft::Draft;
use crate::error::CatalogueError;
use crate::facts::{Attribute, AttributeValue};
use crate::machine;

/// Whether a run with these attributes is held.
pub(super) fn is_held(hold: Option<&Attribute>) -> bool {
    hold.is_some_and(|hold| hold.value != AttributeValue::Bool(false))
}

/// Takes the files of a new order to `purge_ordered` and renews the evidence of the
/// copies that stay, if the run and every file of it allow that.
pub(super) fn propose(draft: &mut Draft, new: &NewPurgeOrder) -> Result<(), CatalogueError> {
    let refuse = |why: String| {
        Err(CatalogueError::NotPurgeable {
            run: new.run.clone(),
            why,
        })
    };
    if draft.before.is_none() {
        let run = new.run.clone();
        return Err(CatalogueError::UnknownRun { run });
    }
    if is_held(draft.attributes.get(HOLD)) {
        return refuse("it is held (attribute `hold`)".to_owned());
    }
    if !matches!(draft.run.state, RunState::Stored | RunState::Safe) {
        return refuse(format!("it is {}, not stored or safe", draft.run.state));
    }
    if new.files.is_empty() {
        return refuse("the order names none of its files".to_owned());
    }
    for found in &new.files {
        if let Err(why) = order_file(draft, new, found)? {
            return refuse(format!("file {}: {why}", found.file));
        }
    }
    Ok(())
}

/// One file of a new order; the inner error is why not.
fn order_file(
    draft: &mut Draft,
    new: &NewPurgeOrder,
    found: &CopyEvidence,
) -> Result<Result<(), String>, CatalogueError> {
    let known = draft
        .files
        .iter()
        .position(|file| file.row.name == found.file);
    let (Some(place), Some(copy)) = (known, draft.replica(&found.file, &found.element)) else {
        return Ok(Err(format!(
            "the catalogue has no copy at {}",
            found.element
        )));
    };
    let Some(buffer) = draft.replica(&found.file, &new.buffer) else {
        return Ok(Err(format!("it never lay at {}", new.buffer)));
    };
    let row = &draft.replicas[copy].row;
    let state = draft.files[place].row.state;
    let value = format!("crc64nvme:{} size:{}", found.crc64nvme, found.size);
    let why = if found.element == new.buffer {
        Some("the copy that stays is the one to be freed".to_owned())
    } else if !matches!(state, FileState::Stored | FileState::Safe) {
        Some(format!("it is {state}, not stored or safe"))
    } else if draft.replicas[buffer].row.state != ReplicaState::Available {
        let state = draft.replicas[buffer].row.state;
        Some(format!("its copy at {} is {state}", new.buffer))
    } else if !matches!(row.state, ReplicaState::Available | ReplicaState::OnTape) {
        Some(format!("its copy at {} is {}", found.element, row.state))
    } else if found.level < new.required {
        Some(format!(
            "the evidence of its copy at {} is {}, below {}",
            found.element, found.level, new.required
        ))
    } else if found.age > new.evidence_max_age {
        Some(format!(
            "the evidence of its copy at {} is {:?} old, more than {:?}",
            found.element, found.age, new.evidence_max_age
        ))
    } else if row.stored_size != found.size
        || row.stored_crc64nvme.as_ref() != Some(&found.crc64nvme)
    {
        let have = row.stored_crc64nvme.as_deref().unwrap_or("unknown");
        Some(format!(
            "its copy at {} was found with {value}, the catalogue has crc64nvme:{have} size:{}",
            found.element, row.stored_size
        ))
    } else {
        None
    };
    if let Some(why) = why {
        return Ok(Err(why));
    }
    let now = draft.run.updated_at;
    if row.evidence <= found.level {
        let row = draft.change_replica(copy);
        row.evidence = found.level;
        row.evidence_method.clone_from(&found.method);
        row.evidence_value = value;
        row.evidence_at = now - found.age;
    }
    let why = format!("order {}: {}", new.order, new.reason);
    let evidence = json!({ "element": found.element, "level": found.level });
    draft.move_file(place, FileState::PurgeOrdered, &why, Some(&evidence))?;
    draft.change_file(place).safe_at.get_or_insert(now);
    Ok(Ok(()))
}

/// Takes an order a step further; false if it stands there already, or cannot go there
/// any more because somebody ended it or asked for its files back.
pub(super) fn advance(
    draft: &mut Draft,
    order: &mut PurgeOrderRow,
    step: &PurgeStep,
) -> Result<bool, CatalogueError> {
    let now = draft.run.updated_at;
    let to = match step {
        PurgeStep::Unlinking => {
            let free = order.restore_by.is_none() && order.unlinking_at.is_none();
            let due = order.state == PurgeState::Trashed && free;
            if due {
                order.unlinking_at = Some(now);
            }
            return Ok(due);
        }
        PurgeStep::Checked { .. } => PurgeState::Checked,
        PurgeStep::Trashed => PurgeState::Trashed,
        PurgeStep::Deleted => PurgeState::Deleted,
        PurgeStep::Cancelled { .. } => PurgeState::Cancelled,
    };
    if order.state == to || !order.is_live() {
        return Ok(false);
    }
    if machine::path(Some(order.state), to).is_none_or(|way| way.len() != 1) {
        return Err(CatalogueError::IllegalTransition {
            what: format!("purge order {}", order.order),
            run: order.run.clone(),
            from: order.state.to_string(),
            to: to.to_string(),
        });
    }
    let (why, evidence) = match step {
        PurgeStep::Checked { evidence } => {
            order.checked_at = Some(now);
            let why = "everything that it relies on was found true again";
            (why.to_owned(), Some(evidence.clone()))
        }
        PurgeStep::Trashed => {
            order.trashed_at = Some(now);
            ("its files are in the buffer's trash".to_owned(), None)
        }
        PurgeStep::Deleted => {
            order.ended_at = Some(now);
            ("its files are gone from the buffer".to_owned(), None)
        }
        PurgeStep::Cancelled { reason, .. } => {
            order.ended_at = Some(now);
            order.cancelled_because = Some(reason.clone());
            (reason.clone(), None)
        }
        PurgeStep::Unlinking => (String::new(), None),
    };
    order.note = None;
    files(draft, order, step, &why)?;
    draft.log_order(order.row, Some(order.state), to, &why, evidence);
    order.state = to;
    Ok(true)
}

/// What a step does to the order's files and to their copies in the buffer.
fn files(
    draft: &mut Draft,
    order: &PurgeOrderRow,
    step: &PurgeStep,
    why: &str,
) -> Result<(), CatalogueError> {
    let why = format!("order {}: {why}", order.order);
    for file in &order.files {
        let place = draft.file(&file.name, &why);
        let copy = draft.replica(&file.name, &order.buffer);
        let evidence = json!({
            "element": file.element, "level": file.evidence,
            "method": file.evidence_method, "at": file.evidence_at,
        });
        let (state, copy_state) = match step {
            PurgeStep::Trashed => (FileState::Trashed, ReplicaState::DeleteOrdered),
            PurgeStep::Deleted => (FileState::Purged, ReplicaState::Deleted),
            PurgeStep::Cancelled { found, .. } => {
                draft.move_file(place, FileState::Safe, &why, None)?;
                if let (Some(copy), Some(found)) = (copy, found.get(&file.name)) {
                    judge_copy(draft, place, copy, found)?;
                }
                continue;
            }
            PurgeStep::Checked { .. } | PurgeStep::Unlinking => continue,
        };
        draft.move_file(place, state, &why, Some(&evidence))?;
        if let Some(copy) = copy {
            draft.move_replica(copy, copy_state, &why, None)?;
        }
    }
    Ok(())
}

/// The buffer's copy after an order became void.
fn judge_copy(
    draft: &mut Draft,
    place: usize,
    copy: usize,
    found: &BufferFound,
) -> Result<(), CatalogueError> {
    match found {
        BufferFound::Same(identity) => {
            // A file that was moved there and back has another time of change.
            draft.change_file(place).identity = Some(*identity);
            let why = "the file that was sealed lies in its place";
            let evidence: Value = json!({ "level": EvidenceLevel::E1, "identity": identity });
            draft.move_replica(copy, ReplicaState::Available, why, Some(&evidence))
        }
        BufferFound::Suspect(why) => {
            draft.change_file(place).reason = Some(why.clone());
            draft.move_replica(copy, ReplicaState::Suspect, why, None)
        }
    }
}

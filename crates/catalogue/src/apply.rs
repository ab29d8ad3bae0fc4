//! What each writer's facts do to a draft: opening, closing, storing, quarantining.
//!
//! Pure and idempotent. Facts may come in any order: what the DAQ says replaces what the
//! logger's files say, which replaces what was inferred, which replaces what a run book
//! of the past says; among equals the first word stands. Digests, once set, never change.

use aquifer_schemas::{ClosedBy, Encoding, EvidenceLevel, FileName, FileState, ReplicaState};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::adopt::same_run;
use crate::draft::{Draft, TypeChange, fill};
use crate::error::CatalogueError;
use crate::facts::{BufferCopy, ClosedRun, OpenedRun, StoredFileFacts, StoredRun};
use crate::fit;
use crate::machine;
use crate::rows::{FileRow, ReplicaRow};
use crate::sql::micros;
use crate::writers::Retyped;

/// How much the word of a closer counts.
fn authority(closed_by: Option<ClosedBy>) -> u8 {
    match closed_by {
        None => 0,
        Some(ClosedBy::Unknown) => 1,
        Some(ClosedBy::Book) => 2,
        Some(ClosedBy::Inferred) => 3,
        Some(ClosedBy::Logger) => 4,
        Some(ClosedBy::Daq) => 5,
    }
}

/// A run began. Nothing that is known already is replaced.
pub(crate) fn open(draft: &mut Draft, opened: &OpenedRun) -> Result<(), CatalogueError> {
    let started_at = micros("start of the run", opened.started_at)?;
    same_run(draft, Some(started_at), None)?;
    let run_type = opened.run_type.as_deref();
    let run = &mut draft.run;
    let open_type = run.type_by.is_none();
    let changed = [
        fill(&mut run.started_at, Some(started_at), false),
        open_type && fill(&mut run.run_type, fit::run_type(run_type), false),
        fill(&mut run.trace, fit::trace(opened.trace.as_deref()), false),
    ];
    draft.touch(changed.contains(&true));
    draft.set_attributes(&fit::attributes(run_type, &opened.attributes), false);
    // A word that comes late adds nothing to a list of files that is complete.
    if draft.run.closed_by.is_some() {
        return Ok(());
    }
    for name in &opened.streaming {
        let place = draft.file(name, "found in the buffer");
        if draft.files[place].row.state == FileState::Discovered {
            let why = "uploaded while the DAQ writes it";
            draft.move_file(place, FileState::Streaming, why, None)?;
        }
    }
    Ok(())
}

/// A run is over.
pub(crate) fn close(draft: &mut Draft, closed: &ClosedRun) -> Result<(), CatalogueError> {
    let opt_micros =
        |at: Option<Timestamp>| at.map(|at| micros("start of the run", at)).transpose();
    let started_at = opt_micros(closed.started_at)?;
    let ended_at = micros("end of the run", closed.ended_at)?;
    same_run(draft, started_at, Some(ended_at))?;
    let replace = authority(Some(closed.closed_by)) > authority(draft.run.closed_by);
    draft.closes |= draft.run.closed_by.is_none();
    let first_close = draft.closes;
    let run_type = closed.run_type.as_deref();
    let trace = fit::trace(closed.trace.as_deref());
    let run = &mut draft.run;
    let changed = [
        fill(&mut run.started_at, started_at, replace),
        fill(&mut run.ended_at, Some(ended_at), replace),
        // What a person has said of it stands.
        run.type_by.is_none() && fill(&mut run.run_type, fit::run_type(run_type), replace),
        fill(&mut run.events, closed.events, replace),
        fill(&mut run.closed_by, Some(closed.closed_by), replace),
        // The trace of a run starts at its close, and stays.
        fill(&mut run.trace, trace, first_close),
    ];
    draft.touch(changed.contains(&true));
    draft.set_attributes(&fit::attributes(run_type, &closed.attributes), replace);
    for file in &closed.files {
        let place = draft.file(&file.name, "in the run's list of files");
        if machine::is_hearsay(draft.files[place].row.state) {
            let why = "it is in the run's list of files, beyond hearsay";
            draft.move_file(place, FileState::Discovered, why, None)?;
        }
        let row = &draft.files[place].row;
        let mut announced = row.announced_size;
        let mut buffer = row.buffer.clone();
        let changed = [
            fill(&mut announced, file.size, replace),
            fill(&mut buffer, Some(closed.buffer.clone()), false),
        ];
        if changed.contains(&true) {
            let row = draft.change_file(place);
            row.announced_size = announced;
            row.buffer = buffer;
        }
    }
    Ok(())
}

/// A run is of another type than was said. One that was set by hand is changed by hand
/// only.
pub(crate) fn retype(
    draft: &mut Draft,
    retyped: &Retyped,
    who: &str,
) -> Result<(), CatalogueError> {
    if draft.before.is_none() {
        return Err(CatalogueError::UnknownRun {
            run: draft.run.id.clone(),
        });
    }
    if draft.run.type_by.is_some() && !retyped.by_hand {
        return Ok(());
    }
    let run_type = fit::run_type(Some(&retyped.run_type));
    // Whoever said the same by hand first has said it.
    let confirms = retyped.by_hand && draft.run.type_by.is_none();
    if draft.run.run_type != run_type || confirms {
        let from = std::mem::replace(&mut draft.run.run_type, run_type);
        let why = retyped.why.clone();
        draft.retyped = Some(TypeChange { from, why });
        draft.run.type_by = retyped.by_hand.then(|| fit::who(who));
        draft.touch(true);
    }
    Ok(())
}

/// Files of a closed run are in object storage.
pub(crate) fn store(draft: &mut Draft, stored: &StoredRun) -> Result<(), CatalogueError> {
    close(draft, &stored.closed)?;
    for facts in &stored.files {
        let place = draft.file(&facts.name, "found in the buffer");
        seal(draft, place, &stored.closed.buffer, facts)?;
        store_copy(draft, facts)?;
        keep_buffer_copy(draft, &stored.closed.buffer, facts)?;
        let state = draft.files[place].row.state;
        if !machine::is_stored(state) {
            let stored_at = micros("time of storing", facts.stored_at)?;
            let evidence = json!({ "element": facts.element, "level": facts.evidence });
            draft.move_file(
                place,
                FileState::Stored,
                "a copy in object storage was verified",
                Some(&evidence),
            )?;
            draft.change_file(place).stored_at = Some(stored_at);
            draft.stored_now.push(place);
        }
    }
    let manifest = stored.manifest_key.clone();
    let changed = fill(&mut draft.run.manifest_key, manifest, true);
    draft.touch(changed);
    Ok(())
}

/// Whether a file has digests, which must be these.
pub(crate) fn refuse_other_content(
    draft: &Draft,
    place: usize,
    facts: &StoredFileFacts,
) -> Result<bool, CatalogueError> {
    let Some(have) = content(&draft.files[place].row) else {
        return Ok(false);
    };
    let got = content_of(facts);
    if have == got {
        return Ok(true);
    }
    Err(CatalogueError::Conflict {
        run: draft.run.id.clone(),
        file: facts.name.clone(),
        have,
        got,
    })
}

/// Sets a file's digests, or compares them with those it has.
fn seal(
    draft: &mut Draft,
    place: usize,
    buffer: &str,
    facts: &StoredFileFacts,
) -> Result<(), CatalogueError> {
    check_hex("crc64nvme", &facts.crc64nvme, 16)?;
    check_hex("crc64nvme of the object", &facts.stored_crc64nvme, 16)?;
    check_hex("adler32", &facts.adler32, 8)?;
    check_hex("crc32c", &facts.crc32c, 8)?;
    let sealed_at = micros("time of sealing", facts.sealed_at)?;
    if refuse_other_content(draft, place, facts)? {
        let row = &draft.files[place].row;
        // The same bytes may lie in another inode: a buffer that was restored.
        if row.identity != Some(facts.identity) {
            draft.change_file(place).identity = Some(facts.identity);
        }
    }
    let row = &draft.files[place].row;
    let before_seal = !machine::is_stored(row.state) && row.state != FileState::Sealed;
    if before_seal {
        let quarantined = matches!(row.state, FileState::Changed | FileState::Vanished);
        let why = if quarantined {
            "it came back and was digested"
        } else {
            "digested, and the same before and after"
        };
        let evidence = json!({
            "size": facts.size, "crc64nvme": facts.crc64nvme,
            "adler32": facts.adler32, "crc32c": facts.crc32c,
            "identity": facts.identity,
        });
        draft.move_file(place, FileState::Sealed, why, Some(&evidence))?;
        let row = draft.change_file(place);
        row.size = Some(facts.size);
        row.crc64nvme = Some(facts.crc64nvme.clone());
        row.adler32 = Some(facts.adler32.clone());
        row.crc32c = Some(facts.crc32c.clone());
        row.identity = Some(facts.identity);
        row.sealed_at = Some(sealed_at);
        row.buffer.get_or_insert_with(|| buffer.to_owned());
        row.reason = None;
    }
    Ok(())
}

/// The copy in object storage, available on its evidence.
fn store_copy(draft: &mut Draft, facts: &StoredFileFacts) -> Result<(), CatalogueError> {
    let row = ReplicaRow {
        row: 0,
        file: facts.name.clone(),
        element: facts.element.clone(),
        state: ReplicaState::Written,
        encoding: facts.encoding,
        bucket: Some(facts.bucket.clone()),
        location: facts.key.clone(),
        stored_size: facts.stored_size,
        stored_crc64nvme: Some(facts.stored_crc64nvme.clone()),
        evidence: facts.evidence,
        evidence_method: facts.evidence_method.clone(),
        evidence_value: format!(
            "crc64nvme:{} size:{}",
            facts.stored_crc64nvme, facts.stored_size
        ),
        evidence_at: micros("time of the evidence", facts.stored_at)?,
        fence: 0,
    };
    let mut why = "its evidence matches the file's seal".to_owned();
    let place = match draft.replica(&facts.name, &facts.element) {
        None => draft.add_replica(row, "written while the file was ingested"),
        Some(place) => {
            let have = &draft.replicas[place].row;
            let same = have.bucket == row.bucket
                && have.location == row.location
                && have.encoding == row.encoding
                && have.stored_size == row.stored_size
                && have.stored_crc64nvme == row.stored_crc64nvme;
            let trusted = matches!(have.state, ReplicaState::Available | ReplicaState::OnTape);
            if same && trusted && have.evidence >= row.evidence {
                return Ok(());
            }
            let (row_id, state, fence) = (have.row, have.state, have.fence);
            if have.state == ReplicaState::Claimed && have.location != row.location {
                why = format!("{why}; before, a copy was claimed at {}", have.location);
            }
            *draft.change_replica(place) = ReplicaRow {
                row: row_id,
                state,
                fence,
                ..row
            };
            place
        }
    };
    if draft.replicas[place].row.state != ReplicaState::OnTape {
        let evidence = evidence(&draft.replicas[place].row);
        draft.move_replica(place, ReplicaState::Available, &why, Some(&evidence))?;
    }
    Ok(())
}

/// The DAQ's own file is a replica too: one that only its size speaks for.
fn keep_buffer_copy(
    draft: &mut Draft,
    buffer: &str,
    facts: &StoredFileFacts,
) -> Result<(), CatalogueError> {
    if let Some(place) = draft.replica(&facts.name, buffer) {
        let state = draft.replicas[place].row.state;
        if matches!(state, ReplicaState::Suspect | ReplicaState::Lost) {
            let why = "it was read again, whole";
            draft.move_replica(place, ReplicaState::Available, why, None)?;
        }
        return Ok(());
    }
    // Uploaded as it lay there, or decoded on the way.
    let as_uploaded = facts.identity.size == facts.stored_size;
    let row = ReplicaRow {
        row: 0,
        file: facts.name.clone(),
        element: buffer.to_owned(),
        state: ReplicaState::Available,
        encoding: if as_uploaded {
            facts.encoding
        } else {
            Encoding::Identity
        },
        bucket: None,
        location: facts.name.to_string(),
        stored_size: facts.identity.size,
        stored_crc64nvme: as_uploaded.then(|| facts.stored_crc64nvme.clone()),
        evidence: EvidenceLevel::E1,
        evidence_method: "fstat".to_owned(),
        evidence_value: format!("size:{}", facts.identity.size),
        evidence_at: micros("time of sealing", facts.sealed_at)?,
        fence: 0,
    };
    draft.add_replica(row, "the DAQ's own file");
    Ok(())
}

/// The buffer holds a stored file's bytes in this form.
pub(crate) fn buffer_copy(draft: &mut Draft, copy: &BufferCopy) -> Result<(), CatalogueError> {
    check_hex("crc64nvme in the buffer", &copy.crc64nvme, 16)?;
    let Some(place) = draft.replica(&copy.name, &copy.element) else {
        return Ok(());
    };
    let row = &draft.replicas[place].row;
    let held = matches!(
        row.state,
        ReplicaState::Available | ReplicaState::Suspect | ReplicaState::Lost
    );
    let same = row.location == copy.location.as_str()
        && row.stored_size == copy.size
        && row.stored_crc64nvme.as_ref() == Some(&copy.crc64nvme)
        && row.state == ReplicaState::Available;
    if held && !same {
        let row = draft.change_replica(place);
        row.location = copy.location.to_string();
        row.encoding = copy.encoding;
        row.stored_size = copy.size;
        row.stored_crc64nvme = Some(copy.crc64nvme.clone());
        row.evidence = EvidenceLevel::E4;
        "read and compared with the file's seal".clone_into(&mut row.evidence_method);
        row.evidence_value = format!("crc64nvme:{} size:{}", copy.crc64nvme, copy.size);
        row.evidence_at = micros("time of the evidence", copy.seen_at)?;
        let evidence = evidence(&draft.replicas[place].row);
        let why = "the buffer holds the file's bytes in this form";
        draft.move_replica(place, ReplicaState::Available, why, Some(&evidence))?;
    }
    let file = draft.file(&copy.name, "found in the buffer");
    if held && draft.files[file].row.identity != Some(copy.identity) {
        draft.change_file(file).identity = Some(copy.identity);
    }
    Ok(())
}

/// The buffer holds other bytes under these names.
pub(crate) fn overwritten(
    draft: &mut Draft,
    names: &[FileName],
    buffer: &str,
) -> Result<(), CatalogueError> {
    for name in names {
        let Some(copy) = draft.replica(name, buffer) else {
            continue;
        };
        let state = draft.replicas[copy].row.state;
        if matches!(state, ReplicaState::Available | ReplicaState::Suspect) {
            let why = "other bytes lie in the buffer under this name";
            draft.move_replica(copy, ReplicaState::Lost, why, None)?;
        }
    }
    Ok(())
}

/// A file cannot be trusted, or is gone. Once it is in object storage that concerns only
/// the buffer's copy, which becomes suspect, or is lost.
pub(crate) fn quarantine(
    draft: &mut Draft,
    name: &FileName,
    state: FileState,
    reason: &str,
) -> Result<(), CatalogueError> {
    if !matches!(state, FileState::Changed | FileState::Vanished) {
        return Err(CatalogueError::Value {
            what: "quarantine",
            value: state.to_string(),
            why: "a file is quarantined as `changed` or `vanished`",
        });
    }
    let place = draft.file(name, "found in the buffer");
    let row = &draft.files[place].row;
    let other_reason = row.reason.as_deref() != Some(reason);
    if machine::is_stored(row.state) {
        let buffer = row.buffer.clone().unwrap_or_default();
        let copy = draft.replica(name, &buffer);
        if let Some(copy) = copy {
            let evidence = json!({ "buffer": state });
            let to = match (state, draft.replicas[copy].row.state) {
                (FileState::Vanished, ReplicaState::Available | ReplicaState::Suspect) => {
                    Some(ReplicaState::Lost)
                }
                (_, ReplicaState::Available) => Some(ReplicaState::Suspect),
                _ => None,
            };
            if let Some(to) = to {
                draft.move_replica(copy, to, reason, Some(&evidence))?;
            }
        }
    } else {
        draft.move_file(place, state, reason, None)?;
    }
    if other_reason {
        draft.change_file(place).reason = Some(reason.to_owned());
    }
    Ok(())
}

fn content(row: &FileRow) -> Option<String> {
    let (size, crc64nvme) = (row.size?, row.crc64nvme.as_ref()?);
    let (adler32, crc32c) = (row.adler32.as_deref()?, row.crc32c.as_deref()?);
    Some(spelt(size, crc64nvme, adler32, crc32c))
}

fn content_of(facts: &StoredFileFacts) -> String {
    spelt(facts.size, &facts.crc64nvme, &facts.adler32, &facts.crc32c)
}

fn spelt(size: u64, crc64nvme: &str, adler32: &str, crc32c: &str) -> String {
    format!("crc64nvme:{crc64nvme} adler32:{adler32} crc32c:{crc32c} size:{size}")
}

fn evidence(replica: &ReplicaRow) -> Value {
    json!({
        "level": replica.evidence,
        "method": replica.evidence_method,
        "value": replica.evidence_value,
        "at": replica.evidence_at,
    })
}

fn check_hex(what: &'static str, value: &str, digits: usize) -> Result<(), CatalogueError> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if value.len() == digits && value.bytes().all(hex) {
        return Ok(());
    }
    Err(CatalogueError::Value {
        what,
        value: value.to_owned(),
        why: "digests are lower case hexadecimal digits of full width",
    })
}

#[cfg(test)]
mod tests;

//! What the word of a book or a listing does to a draft.
//!
//! Pure and idempotent. A book never changes what a listing has said, and neither changes
//! what was recorded from data.

use aquifer_schemas::{ClosedBy, EvidenceLevel, FileName, FileState, ReplicaState};
use jiff::{SignedDuration, Timestamp};

use super::facts::{AdoptedCopy, AdoptedRun, BOOK_MARKS, BOOK_START, Sighting};
use crate::draft::{Draft, fill};
use crate::error::CatalogueError;
use crate::facts::Attribute;
use crate::fit;
use crate::machine;
use crate::rows::{ReplicaRow, RunRow};
use crate::sql::micros;

/// How far the clock of a book may be from that of the data: it names no time zone, and
/// in autumn an hour comes twice.
const BOOK_CLOCK: SignedDuration = SignedDuration::from_hours(2);

/// How far the end of a run may be from what the book says, where nobody knows its begin.
const BOOK_END: SignedDuration = SignedDuration::from_hours(24);

/// How the words of listings begin, which a book does not overrule.
const LISTED: &str = "listing";

/// Whether something of this run was recorded from its data.
pub(crate) fn is_recorded_here(draft: &Draft) -> bool {
    draft.before.is_some() && draft.run.closed_by != Some(ClosedBy::Book)
}

/// Which of the versions under a number the book means.
pub(super) fn place(versions: &[Draft], run: &AdoptedRun) -> Option<usize> {
    let said = run.attributes.get(BOOK_START);
    let known = versions
        .iter()
        .position(|draft| said.is_some() && told_start(draft) == said);
    let recorded = || {
        let began = run.started_at?;
        let apart = |draft: &Draft| {
            let apart = draft.run.started_at?.duration_since(began).abs();
            (is_recorded_here(draft) && told_start(draft).is_none() && apart <= BOOK_CLOCK)
                .then_some(apart)
        };
        let near = versions.iter().enumerate();
        let near = near.filter_map(|(place, draft)| Some((apart(draft)?, place)));
        near.min().map(|(_, place)| place)
    };
    // A listing told of it first, and of nothing but its file.
    let listed = || {
        versions
            .iter()
            .position(|draft| !is_recorded_here(draft) && told_start(draft).is_none())
    };
    known.or_else(recorded).or_else(listed)
}

/// When the run began in the words of a book that told of it.
fn told_start(draft: &Draft) -> Option<&Attribute> {
    draft.attributes.get(BOOK_START)
}

/// A book tells of a run.
pub(crate) fn adopt(draft: &mut Draft, run: &AdoptedRun) -> Result<(), CatalogueError> {
    let recorded_here = is_recorded_here(draft);
    let replace = !recorded_here;
    let cut = |what, at: Option<Timestamp>| at.map(|at| micros(what, at)).transpose();
    let started_at = cut("start of the run", run.started_at)?;
    let ended_at = cut("end of the run", run.ended_at)?;
    let run_type = run.run_type.as_deref();
    let row = &mut draft.run;
    let mut changed = vec![
        fill(&mut row.started_at, started_at, replace),
        fill(&mut row.run_type, fit::run_type(run_type), replace),
    ];
    // A run that the DAQ still writes is not ended by a book.
    if replace || row.closed_by.is_some() {
        changed.push(fill(&mut row.ended_at, ended_at, replace));
        changed.push(fill(&mut row.events, run.events, replace));
    }
    if replace {
        changed.push(fill(&mut row.closed_by, Some(ClosedBy::Book), false));
    }
    draft.touch(changed.contains(&true));
    let attributes = fit::attributes(run_type, &run.attributes);
    draft.set_attributes(&attributes, replace);
    for mark in BOOK_MARKS {
        if replace && !attributes.contains_key(mark) {
            draft.forget_attribute(mark);
        }
    }
    // Which files a recorded run has, its data have shown.
    if recorded_here && !draft.has_file(&run.file) {
        return Ok(());
    }
    adopt_file(draft, &run.file, run.copies.is_empty());
    for copy in &run.copies {
        if draft.replica(&run.file, &copy.element).is_none() {
            claim(draft, &run.file, copy, Timestamp::now())?;
        }
    }
    settle(draft, &run.file, &run.why_missing)
}

/// A listing tells of a copy, or does not.
pub(crate) fn sight(draft: &mut Draft, sighting: &Sighting) -> Result<(), CatalogueError> {
    let Sighting {
        file, copy, found, ..
    } = sighting;
    let at = micros("time of the listing", sighting.at)?;
    if !is_recorded_here(draft) {
        let changed = fill(&mut draft.run.closed_by, Some(ClosedBy::Book), false);
        draft.touch(changed);
        adopt_file(draft, file, !found);
    } else if !draft.has_file(file) {
        return Ok(());
    }
    match draft.replica(file, &copy.element) {
        None if *found => {
            claim(draft, file, copy, at)?;
        }
        None => {}
        Some(place) => compare(draft, place, sighting, at)?,
    }
    settle(draft, file, "the listing does not have it")
}

/// What is listed against what was claimed.
fn compare(
    draft: &mut Draft,
    place: usize,
    sighting: &Sighting,
    at: Timestamp,
) -> Result<(), CatalogueError> {
    let copy = &sighting.copy;
    let row = &draft.replicas[place].row;
    let hearsay = matches!(
        row.state,
        ReplicaState::Claimed | ReplicaState::Suspect | ReplicaState::Absent
    );
    if !hearsay || row.location != copy.location || row.bucket != copy.bucket {
        return Ok(());
    }
    let (claimed, listed) = (row.stored_size, copy.size.unwrap_or(0));
    let was_listed = row.evidence_method.starts_with(LISTED);
    if !sighting.found {
        if row.state != ReplicaState::Absent {
            let row = draft.change_replica(place);
            row.evidence = EvidenceLevel::E0;
            row.evidence_method.clone_from(&copy.method);
            "not listed".clone_into(&mut row.evidence_value);
            row.evidence_at = at;
            let why = "the listing does not have it";
            draft.move_replica(place, ReplicaState::Absent, why, None)?;
        }
        return Ok(());
    }
    let agrees = claimed == listed || claimed == 0 || listed == 0;
    if was_listed && agrees && row.state != ReplicaState::Absent {
        return Ok(());
    }
    let equal = claimed == listed && claimed != 0 && row.state != ReplicaState::Absent;
    let (to, why, value) = if agrees {
        let why = if equal {
            "the listing has it, with the size that is claimed"
        } else {
            "the listing has it"
        };
        (ReplicaState::Claimed, why, sized(copy.size))
    } else {
        let why = "the listing has it with another size";
        let value = format!("size:{listed}, claimed was {claimed}");
        (ReplicaState::Suspect, why, value)
    };
    let row = draft.change_replica(place);
    row.evidence = if equal {
        EvidenceLevel::E1
    } else {
        EvidenceLevel::E0
    };
    row.evidence_method.clone_from(&copy.method);
    row.evidence_value = value;
    row.evidence_at = at;
    if listed != 0 {
        row.stored_size = listed;
    }
    draft.move_replica(place, to, why, None)
}

/// Adds a copy on somebody's word.
fn claim(
    draft: &mut Draft,
    file: &FileName,
    copy: &AdoptedCopy,
    at: Timestamp,
) -> Result<(), CatalogueError> {
    let row = ReplicaRow {
        row: 0,
        file: file.clone(),
        element: copy.element.clone(),
        state: ReplicaState::Claimed,
        encoding: copy.encoding,
        bucket: copy.bucket.clone(),
        location: copy.location.clone(),
        stored_size: copy.size.unwrap_or(0),
        stored_crc64nvme: None,
        evidence: EvidenceLevel::E0,
        evidence_method: copy.method.clone(),
        evidence_value: sized(copy.size),
        evidence_at: micros("time of the evidence", at)?,
        fence: 0,
    };
    draft.add_replica(row, &copy.method);
    Ok(())
}

fn sized(size: Option<u64>) -> String {
    size.map_or("size unknown".to_owned(), |size| format!("size:{size}"))
}

fn adopt_file(draft: &mut Draft, file: &FileName, missing: bool) {
    let state = if missing {
        FileState::Missing
    } else {
        FileState::Adopted
    };
    draft.begin_file(file, state, "a run book or a listing tells of it");
}

/// A file of which there is only hearsay is adopted as long as anybody says that there is
/// a copy, else missing.
fn settle(draft: &mut Draft, file: &FileName, why_missing: &str) -> Result<(), CatalogueError> {
    let place = draft.file(file, "a run book or a listing tells of it");
    let row = &draft.files[place].row;
    if !machine::is_hearsay(row.state) {
        return Ok(());
    }
    let mut copies = draft.replicas.iter().filter(|copy| copy.row.file == *file);
    let there = copies.any(|copy| is_there(copy.row.state));
    let (to, reason) = if there {
        (FileState::Adopted, None)
    } else {
        (FileState::Missing, Some(why_missing))
    };
    let reason_stays = row.reason.as_deref() == reason || (!there && row.reason.is_some());
    if !reason_stays {
        draft.change_file(place).reason = reason.map(str::to_owned);
    }
    let why = reason.unwrap_or("a copy is said to be there");
    draft.move_file(place, to, why, None)
}

fn is_there(state: ReplicaState) -> bool {
    use ReplicaState::{Archiving, Available, Claimed, OnTape, Suspect, Verified, Written};
    matches!(
        state,
        Claimed | Suspect | Written | Verified | Available | Archiving | OnTape
    )
}

/// Refuses data of another run than the one that a book tells of under their name.
pub(crate) fn same_run(
    draft: &Draft,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
) -> Result<(), CatalogueError> {
    if draft.before.is_none() {
        return Ok(());
    }
    match apart(&draft.run, started_at, ended_at) {
        None => Ok(()),
        Some((have, got)) => Err(CatalogueError::OtherRun {
            run: draft.run.id.clone(),
            have,
            got,
        }),
    }
}

/// When the book's run was taken and when that of the data, where these are too far apart
/// to be one. Where neither knows, nothing speaks against it.
pub(super) fn apart(
    book: &RunRow,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
) -> Option<(Timestamp, Timestamp)> {
    if book.closed_by != Some(ClosedBy::Book) {
        return None;
    }
    let begins = book.started_at.zip(started_at);
    let (have, got, most) = if let Some((have, got)) = begins {
        (have, got, BOOK_CLOCK)
    } else {
        let have = book.ended_at.or(book.started_at)?;
        (have, ended_at.or(started_at)?, BOOK_END)
    };
    (have.duration_since(got).abs() > most).then_some((have, got))
}

//! What is announced about a change, as rows of the outbox.
//!
//! Pure. An announcement exists if and only if its change is committed, because both are
//! written in one transaction. Its `event_id` is made of what changed and the run's
//! revision, so that announcing it again gives the same id.

use std::collections::HashMap;

use aquifer_schemas::{
    AlertSignal, ClosedBy, FileName, FileStored, Message, ReplicaState, RunClosed, RunState,
    RunStored, StoredFile, encode, event_id,
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::draft::Draft;
use crate::error::CatalogueError;
use crate::facts::{ClosedRun, StoredRun};
use crate::rows::{FileRow, ReplicaRow};

/// A row of the outbox before it has an id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mail {
    pub(crate) topic: &'static str,
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) event_id: Uuid,
    pub(crate) trace: Option<String>,
}

impl Mail {
    pub(crate) fn new<M: Message>(
        message: &M,
        trace: Option<&str>,
    ) -> Result<Self, CatalogueError> {
        Ok(Self {
            topic: M::TOPIC,
            key: message.key(),
            value: encode(message)?,
            event_id: message.event_id(),
            trace: trace.map(str::to_owned),
        })
    }
}

/// Signals that accompany a change.
pub(crate) fn signals(draft: &Draft, signals: &[AlertSignal]) -> Result<Vec<Mail>, CatalogueError> {
    let trace = draft.run.trace.as_deref();
    signals
        .iter()
        .map(|signal| Mail::new(signal, trace))
        .collect()
}

/// `run-closed` if the recorder wants it said, and the signals.
pub(crate) fn closed(draft: &Draft, closed: &ClosedRun) -> Result<Vec<Mail>, CatalogueError> {
    let mut mail = Vec::new();
    if closed.announce {
        let (by, ended_at) = (closed.closed_by, closed.ended_at);
        let message = run_closed(draft, by, ended_at, Some(&closed.buffer), &closed.who);
        mail.push(Mail::new(&message, draft.run.trace.as_deref())?);
    }
    mail.extend(signals(draft, &closed.signals)?);
    Ok(mail)
}

/// What is said of a close if this closed the run, one `file-stored` for each file that was stored
/// now, `run-stored` if that completes the run or adds to it, and the signals.
pub(crate) fn stored(draft: &Draft, stored: &StoredRun) -> Result<Vec<Mail>, CatalogueError> {
    let trace = draft.run.trace.as_deref();
    let who = &stored.closed.who;
    let mut mail = Vec::new();
    if draft.closes {
        mail.extend(closed(draft, &stored.closed)?);
    }
    for place in &draft.stored_now {
        mail.push(Mail::new(&file_stored(draft, *place, who)?, trace)?);
    }
    if completes(draft) {
        mail.push(Mail::new(&run_stored(draft, who)?, trace)?);
    }
    mail.extend(signals(draft, &stored.signals)?);
    Ok(mail)
}

/// Whether files were stored now and every file of the run is.
pub(crate) fn completes(draft: &Draft) -> bool {
    is_complete(draft) && !draft.stored_now.is_empty()
}

/// Whether every file of the run is stored.
fn is_complete(draft: &Draft) -> bool {
    matches!(
        draft.run.state,
        RunState::Stored | RunState::Safe | RunState::BufferFree | RunState::Degraded
    )
}

/// The last that was announced of the run, as it is now.
pub(crate) fn again(draft: &Draft, who: &str) -> Result<Vec<Mail>, CatalogueError> {
    let run = &draft.run;
    let trace = run.trace.as_deref();
    let mail = match (run.closed_by, run.ended_at) {
        _ if is_complete(draft) => Mail::new(&run_stored(draft, who)?, trace)?,
        (Some(closed_by), Some(ended_at)) => {
            let mut files = draft.files.iter();
            let buffer = files.find_map(|file| file.row.buffer.as_deref());
            Mail::new(&run_closed(draft, closed_by, ended_at, buffer, who), trace)?
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![mail])
}

fn run_closed(
    draft: &Draft,
    closed_by: ClosedBy,
    ended_at: Timestamp,
    buffer: Option<&str>,
    who: &str,
) -> RunClosed {
    let run = &draft.run;
    let files = draft.files.iter().map(|file| aquifer_schemas::ClosedFile {
        name: file.row.name.clone(),
        size: file.row.announced_size.or(file.row.size),
        crc32c: file.row.crc32c.clone(),
    });
    let attributes = draft.attributes.iter();
    RunClosed {
        event_id: event_id(&entity(draft), "run-closed", run.revision),
        site: run.id.site.clone(),
        run: run.id.number,
        version: run.id.version,
        revision: run.revision,
        started_at: run.started_at,
        ended_at: run.ended_at.unwrap_or(ended_at),
        run_type: run.run_type.clone(),
        closed_by: run.closed_by.unwrap_or(closed_by),
        buffer: buffer.map(str::to_owned),
        files: files.collect(),
        events: run.events,
        attributes: attributes
            .map(|(name, attribute)| (name.clone(), attribute.to_string()))
            .collect(),
        producer: who.to_owned(),
    }
}

fn file_stored(draft: &Draft, place: usize, who: &str) -> Result<FileStored, CatalogueError> {
    let run = &draft.run;
    let file = &draft.files[place].row;
    let about = format!("{} file {}", entity(draft), file.name);
    Ok(FileStored {
        event_id: event_id(&about, "file-stored", run.revision),
        site: run.id.site.clone(),
        run: run.id.number,
        version: run.id.version,
        revision: run.revision,
        file: stored_file(draft, file, &objects(draft))?,
        stored_at: needed(draft, file, file.stored_at)?,
        producer: who.to_owned(),
    })
}

fn run_stored(draft: &Draft, who: &str) -> Result<RunStored, CatalogueError> {
    let run = &draft.run;
    let copies = objects(draft);
    let files = draft.files.iter();
    let files: Result<Vec<StoredFile>, CatalogueError> = files
        .map(|file| stored_file(draft, &file.row, &copies))
        .collect();
    Ok(RunStored {
        event_id: event_id(&entity(draft), "run-stored", run.revision),
        site: run.id.site.clone(),
        run: run.id.number,
        version: run.id.version,
        revision: run.revision,
        run_type: run.run_type.clone(),
        closed_by: run.closed_by.unwrap_or(ClosedBy::Unknown),
        started_at: run.started_at,
        ended_at: run.ended_at,
        stored_at: run.stored_at.unwrap_or(run.updated_at),
        files: files?,
        manifest: run.manifest_key.clone(),
        producer: who.to_owned(),
    })
}

/// One copy in object storage of each file, a trusted one where there is one.
fn objects(draft: &Draft) -> HashMap<&FileName, &ReplicaRow> {
    let mut copies: HashMap<&FileName, &ReplicaRow> = HashMap::new();
    let rows = draft.replicas.iter().map(|replica| &replica.row);
    for copy in rows.filter(|copy| copy.bucket.is_some()) {
        let best = copies.entry(&copy.file).or_insert(copy);
        if best.state != ReplicaState::Available && copy.state == ReplicaState::Available {
            *best = copy;
        }
    }
    copies
}

fn stored_file(
    draft: &Draft,
    file: &FileRow,
    copies: &HashMap<&FileName, &ReplicaRow>,
) -> Result<StoredFile, CatalogueError> {
    let copy = needed(draft, file, copies.get(&file.name).copied())?;
    Ok(StoredFile {
        name: file.name.clone(),
        size: needed(draft, file, file.size)?,
        crc64nvme: needed(draft, file, file.crc64nvme.clone())?,
        adler32: needed(draft, file, file.adler32.clone())?,
        crc32c: needed(draft, file, file.crc32c.clone())?,
        element: copy.element.clone(),
        bucket: needed(draft, file, copy.bucket.clone())?,
        key: copy.location.clone(),
        encoding: copy.encoding,
        stored_size: copy.stored_size,
        evidence: copy.evidence,
    })
}

/// Every stored file has digests and an object; announcing one without would send its
/// readers to nothing.
fn needed<T>(draft: &Draft, file: &FileRow, fact: Option<T>) -> Result<T, CatalogueError> {
    fact.ok_or_else(|| CatalogueError::Value {
        what: "announcement of a stored file",
        value: format!("{} {}", draft.run.id, file.name),
        why: "the catalogue has no digests or no object of it",
    })
}

fn entity(draft: &Draft) -> String {
    // Always with the version: `LNGS/1` must not look like another spelling of it.
    let id = &draft.run.id;
    format!("run {}/{}.v{}", id.site, id.number, id.version)
}

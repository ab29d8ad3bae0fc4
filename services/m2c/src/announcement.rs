//! What an announcement of the DAQ amounts to, whichever way it came: a record for the
//! journal, or nothing. Asks the journal and the buffer, changes neither.

use std::collections::BTreeMap;

use aquifer_digest::{Crc32c, FileIdentity};
use aquifer_runtime::request::BadField;
use aquifer_schemas::redact::{Found, redact_text};
use aquifer_schemas::{ClosedBy, ClosedFile, RunClosed, RunNumber, RunOpened, RunVersion};
use jiff::Timestamp;

use crate::edge::Edge;
use crate::journal::{Closure, ExpectedFile, Knowledge, Opening, Record, SecretSource};
use crate::secrets;

/// What an announcement amounts to.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// What to remember, in this order.
    Records(Vec<Record>),
    /// Nothing, and why.
    Nothing(Reason),
}

/// Why an announcement changes nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Another site's run.
    OtherSite,
    /// A run in another buffer of this site.
    OtherBuffer,
    /// This ingester said so itself.
    OwnWords,
    /// A run that is said to begin is over.
    ClosedAlready,
}

impl Reason {
    /// For logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OtherSite => "other site",
            Self::OtherBuffer => "other buffer",
            Self::OwnWords => "announced here",
            Self::ClosedAlready => "already closed",
        }
    }
}

/// A run began. Secrets in the message are taken out of it.
pub(crate) fn opened(edge: &Edge, message: &mut RunOpened, trace: Option<String>) -> Meaning {
    if message.site != edge.site {
        return Meaning::Nothing(Reason::OtherSite);
    }
    if edge.journal.ledger().is_closed(message.run) {
        return Meaning::Nothing(Reason::ClosedAlready);
    }
    let found = clean(&mut message.attributes, &mut message.run_type);
    let opened = Record::Opened {
        run: message.run,
        opening: Opening {
            started_at: message.started_at,
            run_type: message.run_type.clone(),
            attributes: message.attributes.clone(),
            trace,
        },
    };
    records(message.run, opened, found)
}

/// A run ended. Secrets in the message are taken out of it.
pub(crate) fn closed(
    edge: &Edge,
    message: &mut RunClosed,
    trace: String,
) -> Result<Meaning, BadField> {
    if message.site != edge.site {
        return Ok(Meaning::Nothing(Reason::OtherSite));
    }
    if message.producer == edge.signals.producer {
        return Ok(Meaning::Nothing(Reason::OwnWords));
    }
    let elsewhere = |buffer: &String| *buffer != edge.buffer_element;
    if message.buffer.as_ref().is_some_and(elsewhere) {
        return Ok(Meaning::Nothing(Reason::OtherBuffer));
    }
    let files = message
        .files
        .iter()
        .enumerate()
        .map(|(place, file)| expected(edge, message.run, place, file))
        .collect::<Result<Vec<_>, _>>()?;
    let version = version_of(edge, message.run, &files);
    let found = clean(&mut message.attributes, &mut message.run_type);
    let closed = Record::Closed {
        run: message.run,
        version,
        closure: Closure {
            closed_by: ClosedBy::Daq,
            started_at: message.started_at,
            ended_at: message.ended_at,
            run_type: message.run_type.clone(),
            events: message.events,
            attributes: message.attributes.clone(),
            files,
            trace: Some(trace),
            learnt_at: Timestamp::now(),
            instead: None,
        },
    };
    Ok(records(message.run, closed, found))
}

/// Takes the secrets that a DAQ let slip out of what it says about a run, and tells
/// where they were.
fn clean(attributes: &mut BTreeMap<String, String>, run_type: &mut Option<String>) -> Vec<Found> {
    let (without, mut found) = secrets::without(std::mem::take(attributes));
    *attributes = without;
    if let Some(text) = run_type {
        let (said, kind) = redact_text(text);
        *text = said;
        let place = "run type".to_owned();
        found.extend(kind.map(|kind| Found { place, kind }));
    }
    found
}

/// The record of an announcement, and one of the secrets that were in it: after it,
/// because a new version of the run begins with nothing.
fn records(run: RunNumber, announcement: Record, found: Vec<Found>) -> Meaning {
    let mut records = vec![announcement];
    if !found.is_empty() {
        records.push(Record::Secrets {
            run,
            source: SecretSource::Announcement,
            found,
        });
    }
    Meaning::Records(records)
}

/// The version that the announced files belong to: the next one where the buffer
/// holds other bytes under a stored name, because the DAQ used the number again.
fn version_of(edge: &Edge, run: RunNumber, files: &[ExpectedFile]) -> RunVersion {
    let ledger = edge.journal.ledger();
    let rewritten = files.iter().any(|file| {
        let disk = file.disk.as_ref().unwrap_or(&file.name);
        let path = edge.rules.path(disk);
        match ledger.knowledge(run, disk, &file.name) {
            Knowledge::Stored(known) => std::fs::symlink_metadata(path)
                .is_ok_and(|found| FileIdentity::from(&found) != known.identity),
            Knowledge::Trashed => std::fs::symlink_metadata(path).is_ok(),
            _ => false,
        }
    });
    ledger.version(run) + RunVersion::from(rewritten)
}

/// A file name from a message becomes a path: it must be one that this buffer's
/// templates give to this run.
fn expected(
    edge: &Edge,
    run: RunNumber,
    place: usize,
    file: &ClosedFile,
) -> Result<ExpectedFile, BadField> {
    let recognised = edge.rules.naming.recognise(file.name.as_str());
    let Some(name) = recognised.filter(|name| name.run == run) else {
        return Err(BadField {
            field: format!("files[{place}].name"),
            reason: format!(
                "file `{}` is not a file of run {run} by the templates of this buffer",
                file.name
            ),
        });
    };
    let crc32c = file.crc32c.as_ref().map(|hex| hex.parse::<Crc32c>());
    let crc32c = crc32c.transpose().map_err(|error| BadField {
        field: format!("files[{place}].crc32c"),
        reason: format!("file `{}`: {error}", file.name),
    })?;
    Ok(ExpectedFile {
        disk: (name.disk != name.file).then_some(name.disk),
        name: name.file,
        size: file.size,
        crc32c,
    })
}

//! What is worth saying while runs are ingested: each function is one noteworthy
//! thing and emits its log line and its metric together.

use aquifer_schemas::{AlertSignal, FileName, FileState, RunId, RunNumber, Severity};
use aquifer_storage::{PutOutcome, StorageError, StoredObject};
use metrics::{counter, gauge};

use crate::journal::{JournalError, Recovery};
use crate::metrics as names;

pub(crate) fn journal_opened(runs: usize, recovery: &Recovery) {
    tracing::info!(runs, "journal opened");
    if recovery.torn_bytes > 0 {
        tracing::info!(
            bytes = recovery.torn_bytes,
            "a torn last record was cut off"
        );
    }
    if let Some(path) = &recovery.set_aside {
        tracing::error!(path = %path.display(), "the journal was damaged: what followed was set aside, and its runs will be found again");
    }
}

pub(crate) fn journal_failed(error: &JournalError) {
    tracing::error!(%error, "nothing can be remembered: runs wait in the buffer");
    counter!(names::JOURNAL_FAILURES).increment(1);
}

pub(crate) fn scanned(files: usize, unrecognised: usize, seconds: f64) {
    tracing::debug!(files, seconds, "buffer scanned");
    gauge!(names::BUFFER_FILES).set(files as f64);
    gauge!(names::UNRECOGNISED_FILES).set(unrecognised as f64);
    metrics::histogram!(names::SCAN_SECONDS).record(seconds);
}

pub(crate) fn scan_failed(error: &std::io::Error) {
    tracing::debug!(%error, "the buffer cannot be listed");
    counter!(names::SCAN_FAILURES).increment(1);
}

pub(crate) fn condition(signal: &AlertSignal) {
    let (name, summary) = (&signal.name, &signal.summary);
    match signal.severity {
        Severity::Info => tracing::info!(name, summary),
        Severity::Warning => tracing::warn!(name, summary),
        Severity::Error | Severity::Critical => tracing::error!(name, summary),
    }
    counter!(names::CONDITIONS, "name" => signal.name.clone()).increment(1);
}

pub(crate) fn form_found(run: RunNumber, name: &FileName, disk: &FileName) {
    tracing::info!(run, file = %name, %disk, "the buffer holds a stored file in another form");
    counter!(names::FORMS_FOUND).increment(1);
}

pub(crate) fn file_left(run: RunNumber, disk: &FileName) {
    tracing::warn!(run, %disk, "a stored file has left the buffer without an order");
    counter!(names::FILES_LEFT).increment(1);
}

pub(crate) fn files_closed(run: &RunId, files: usize) {
    tracing::info!(%run, files, "files of a run closed");
}

pub(crate) fn examination_failed(name: &FileName, error: &std::io::Error) {
    tracing::warn!(file = %name, %error, "a file cannot be examined; it will be tried again");
    counter!(names::FILES_FAILED).increment(1);
}

pub(crate) fn run_closed(run: &RunId, closed_by: &'static str, files: usize) {
    tracing::info!(%run, closed_by, files, "run closed");
    counter!(names::RUNS_CLOSED, "by" => closed_by).increment(1);
}

pub(crate) fn message_ignored(run: RunNumber, why: &'static str) {
    tracing::debug!(run, why, "message ignored");
    counter!(names::MESSAGES_IGNORED, "why" => why).increment(1);
}

pub(crate) fn message_buried(error: &str) {
    tracing::error!(
        error,
        "a message could not be used and went to the dead letters"
    );
    counter!(names::MESSAGES_BURIED).increment(1);
}

pub(crate) fn file_stored(run: &RunId, name: &FileName, object: &StoredObject) {
    let digests = object.sealed.digests();
    let outcome = match object.outcome {
        PutOutcome::Created => "created",
        PutOutcome::Adopted => "adopted",
    };
    tracing::info!(%run, file = %name, bytes = digests.size, crc64nvme = %digests.crc64nvme, evidence = %object.evidence, outcome, "file stored");
    counter!(names::FILES_STORED, "outcome" => outcome).increment(1);
    counter!(names::BYTES_STORED).increment(digests.size);
}

pub(crate) fn file_waits(run: &RunId, name: &FileName, why: &str) {
    tracing::warn!(%run, file = %name, why, "file not stored yet");
    counter!(names::FILES_DELAYED).increment(1);
}

pub(crate) fn file_needs_help(run: &RunId, name: &FileName, error: &StorageError) {
    tracing::error!(%run, file = %name, %error, "file cannot be stored; it will be tried again");
    counter!(names::FILES_FAILED).increment(1);
}

pub(crate) fn manifest_needs_help(run: &RunId, error: &StorageError) {
    tracing::error!(%run, %error, "manifest cannot be stored; it will be tried again");
    counter!(names::FILES_FAILED).increment(1);
}

pub(crate) fn file_quarantined(run: &RunId, name: &FileName, state: FileState, reason: &str) {
    tracing::error!(%run, file = %name, %state, reason, "file quarantined");
    counter!(names::FILES_QUARANTINED, "state" => state.as_str()).increment(1);
}

pub(crate) fn number_reused(run: &RunId) {
    tracing::error!(%run, "other data stand under this run's keys: the new data become the next version");
    counter!(names::NUMBERS_REUSED).increment(1);
}

pub(crate) fn run_recorded(run: &RunId, state: &'static str) {
    tracing::info!(%run, state, "run recorded");
    counter!(names::RUNS_RECORDED, "state" => state).increment(1);
}

pub(crate) fn recording_needs_help(run: &RunId, error: &dyn std::fmt::Display) {
    tracing::error!(%run, %error, "run cannot be recorded; it will be tried again");
    counter!(names::RECORDING_FAILURES).increment(1);
}

pub(crate) fn signal_not_told(signal: &AlertSignal, error: &dyn std::fmt::Display) {
    tracing::error!(signal = %signal.name, subject = %signal.subject, %error, "a signal cannot be recorded; it will be tried again");
    counter!(names::RECORDING_FAILURES).increment(1);
}

pub(crate) fn backlog(to_store: usize, to_record: usize) {
    gauge!(names::RUNS_TO_STORE).set(to_store as f64);
    gauge!(names::RUNS_TO_RECORD).set(to_record as f64);
}

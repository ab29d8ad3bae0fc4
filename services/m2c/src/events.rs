//! What is worth saying while runs are ingested: each function is one noteworthy
//! thing and emits its log line and its metric together.

use std::path::Path;

use aquifer_bus::BusError;
use aquifer_schemas::{AlertSignal, FileName, FileState, RunId, RunNumber, Severity};
use aquifer_storage::{PutOutcome, StorageError, StoredObject};
use metrics::{counter, gauge};
use uuid::Uuid;

use crate::disk::DiskStatus;
use crate::journal::{JournalError, Recovery, SecretSource};
use crate::metrics as names;
use crate::purge::PurgeError;
use crate::spool::SpoolError;
use crate::stream::{SentPart, StreamError};

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

pub(crate) fn rehearses(journal: &Path) {
    let journal = journal.display();
    tracing::info!(%journal, "this is a rehearsal: nothing is stored, recorded or announced");
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

pub(crate) fn file_not_heard(run: RunNumber, name: &FileName, error: &std::io::Error) {
    tracing::debug!(run, file = %name, %error, "a file says nothing of its run: it cannot be read now");
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

pub(crate) fn stream_begun(run: &RunId, name: &FileName, while_open: bool) {
    tracing::info!(%run, file = %name, while_open, "upload in parts begun");
    counter!(names::STREAMS_BEGUN).increment(1);
}

pub(crate) fn stream_resumed(run: &RunId, name: &FileName, parts: usize, bytes: u64) {
    tracing::info!(%run, file = %name, parts, bytes, "upload in parts goes on");
    counter!(names::STREAMS_RESUMED).increment(1);
}

pub(crate) fn part_sent(run: &RunId, name: &FileName, part: &SentPart) {
    let (number, bytes, sent) = (part.receipt.number, part.input.size, part.output.size);
    tracing::debug!(%run, file = %name, number, bytes, sent, "part sent");
    counter!(names::STREAMED_BYTES).increment(bytes);
    counter!(names::STREAMED_OBJECT_BYTES).increment(sent);
}

pub(crate) fn stream_aborted(run: &RunId, name: &FileName, reason: &str, bytes: u64) {
    tracing::warn!(%run, file = %name, reason, bytes, "upload in parts dropped, the file begins anew");
    counter!(names::STREAMS_ABORTED).increment(1);
}

pub(crate) fn following_failed(run: &RunId, name: &FileName, error: &StreamError) {
    tracing::warn!(%run, file = %name, %error, "open file not followed; it is stored once it is closed");
    counter!(names::FOLLOWING_FAILURES).increment(1);
}

pub(crate) fn tapped(events: usize) {
    tracing::debug!(events, "live events published");
    counter!(names::EVENTS_TAPPED).increment(events as u64);
}

pub(crate) fn tap_dropped(events: usize) {
    tracing::debug!(events, "live events dropped");
    counter!(names::EVENTS_NOT_TAPPED, "why" => "budget").increment(events as u64);
}

pub(crate) fn tap_failed(events: usize, error: &anyhow::Error) {
    tracing::warn!(
        events,
        error = format!("{error:#}"),
        "live events not published; the run is stored all the same"
    );
    counter!(names::EVENTS_NOT_TAPPED, "why" => "failure").increment(events as u64);
}

pub(crate) fn tap_reading_failed(run: &RunId, name: &FileName, error: &anyhow::Error) {
    tracing::warn!(%run, file = %name, error = format!("{error:#}"), "events not read, they are tried again; the file is stored all the same");
    counter!(names::TAP_FAILURES).increment(1);
}

pub(crate) fn sampled() {
    tracing::debug!("slow-control values published");
    counter!(names::SLOW_SAMPLES).increment(1);
}

/// Counted each time, and said when it is news.
pub(crate) fn file_waits(run: &RunId, name: &FileName, why: &str, news: bool) {
    if news {
        tracing::warn!(%run, file = %name, why, "file not stored yet");
    }
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

pub(crate) fn secrets_found(run: &RunId, source: &SecretSource, places: usize) {
    tracing::error!(%run, %source, places, "secrets lie in the run's data: it is private");
    counter!(names::SECRETS_FOUND).increment(places as u64);
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

pub(crate) fn part_needs_help(part: &'static str, error: &dyn std::fmt::Display) {
    tracing::error!(part, %error, "refused in a way that only a person can mend; it will be tried again");
}

pub(crate) fn bus_needs_help(error: &BusError) {
    tracing::warn!(%error, "the bus is of no use now; it will be tried again");
}

pub(crate) fn part_cut_off(part: &str, why: &str, over: bool) {
    if over {
        tracing::info!(part, "answers again");
    } else {
        tracing::error!(
            part,
            why,
            "has not answered for long: runs wait in the buffer"
        );
    }
}

pub(crate) fn disk_seen(disk: &DiskStatus) {
    gauge!(names::BUFFER_FREE).set(disk.free as f64);
    let full_in = disk.full_in_secs.map_or(f64::INFINITY, |secs| secs as f64);
    gauge!(names::BUFFER_FULL_IN).set(full_in);
}

pub(crate) fn disk_fills(disk: &DiskStatus, over: bool) {
    let (free, full_in_secs) = (disk.free, disk.full_in_secs);
    if over {
        tracing::info!(free, full_in_secs, "the buffer's disk no longer fills");
    } else {
        tracing::error!(free, full_in_secs, "the buffer's disk will soon be full");
    }
}

pub(crate) fn spool_failed(error: &SpoolError) {
    tracing::error!(%error, "a letter for the bus cannot be kept on disk");
    counter!(names::SPOOL_FAILURES).increment(1);
}

pub(crate) fn letter_refused(error: &BusError) {
    tracing::error!(%error, "the bus refuses a letter; it will be sent again");
    counter!(names::SPOOL_FAILURES).increment(1);
}

pub(crate) fn letter_damaged(
    aside: &Path,
    error: &serde_json::Error,
    kept: Option<&std::io::Error>,
) {
    tracing::error!(path = %aside.display(), %error, ?kept, "a letter for the bus was damaged on disk and set aside");
    counter!(names::SPOOL_FAILURES).increment(1);
}

pub(crate) fn sample_dropped() {
    tracing::warn!("too many slow-control samples wait for the bus: the oldest was dropped");
    counter!(names::SAMPLES_DROPPED).increment(1);
}

pub(crate) fn door_open_to_all(address: std::net::SocketAddr) {
    tracing::warn!(%address, "anybody in the network can announce runs; hint: set m2c.token");
}

pub(crate) fn daq_silent(error: &dyn std::fmt::Display) {
    tracing::debug!(%error, "the DAQ's web server does not answer");
    counter!(names::DAQ_FAILURES).increment(1);
}

pub(crate) fn purge_backlog(waiting: u64, trashed: u64) {
    gauge!(names::PURGE_WAITING_BYTES).set(waiting as f64);
    gauge!(names::PURGE_TRASH_BYTES).set(trashed as f64);
}

pub(crate) fn purge_disarmed(order: Uuid, run: &RunId, files: usize, bytes: u64) {
    tracing::info!(%order, %run, files, bytes, "would be freed from the buffer; hint: m2c.purge.armed");
    counter!(names::PURGES_DISARMED).increment(1);
}

pub(crate) fn purge_waits(order: Uuid, why: &str) {
    tracing::info!(%order, why, "the order to free the buffer waits");
}

pub(crate) fn purge_trashed(order: Uuid, run: &RunId, files: usize) {
    tracing::info!(%order, %run, files, "files moved to the buffer's trash");
}

pub(crate) fn purge_done(order: Uuid, run: &RunId, files: usize, bytes: u64) {
    tracing::info!(%order, %run, files, bytes, "files removed from the buffer");
    counter!(names::PURGES_ENDED, "how" => "done").increment(1);
    counter!(names::PURGED_BYTES).increment(bytes);
}

pub(crate) fn purge_cancelled(order: Uuid, run: &RunId, why: &str, loud: bool) {
    if loud {
        tracing::error!(%order, %run, why, "the order to free the buffer is void");
    } else {
        tracing::info!(%order, %run, why, "the order to free the buffer is void");
    }
    counter!(names::PURGES_ENDED, "how" => "void").increment(1);
}

pub(crate) fn purge_foreign(order: Uuid, why: &str) {
    tracing::warn!(%order, why, "an order is not about this buffer's files and is left alone");
}

pub(crate) fn purge_stuck(order: Uuid, why: &str) {
    tracing::error!(%order, why, "the order to free the buffer needs a person");
}

pub(crate) fn purge_order_delayed(order: Uuid, error: &PurgeError, outage: bool) {
    if outage {
        tracing::warn!(%order, %error, "the order to free the buffer waits");
    } else {
        tracing::error!(%order, %error, "the order to free the buffer cannot be carried further; it will be tried again");
    }
    counter!(names::PURGE_DELAYS, "outage" => outage.to_string()).increment(1);
}

pub(crate) fn purge_delayed(error: &PurgeError, outage: bool) {
    if outage {
        tracing::warn!(%error, "orders to free the buffer wait");
    } else {
        tracing::error!(%error, "orders to free the buffer cannot be read; they will be tried again");
    }
    counter!(names::PURGE_DELAYS, "outage" => outage.to_string()).increment(1);
}

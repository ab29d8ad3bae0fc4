//! Names of the ingester's metrics.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// Appends to the journal that failed.
pub(crate) const JOURNAL_FAILURES: &str = "aquifer_m2c_journal_failures_total";
/// Run files in the buffer.
pub(crate) const BUFFER_FILES: &str = "aquifer_m2c_buffer_files";
/// Files of the buffer that belong to no run.
pub(crate) const UNRECOGNISED_FILES: &str = "aquifer_m2c_unrecognised_files";
/// Time of one scan.
pub(crate) const SCAN_SECONDS: &str = "aquifer_m2c_scan_seconds";
/// Conditions of the buffer that people were told of, and their ends.
pub(crate) const CONDITIONS: &str = "aquifer_m2c_conditions_total";
/// Stored files that were found in another form.
pub(crate) const FORMS_FOUND: &str = "aquifer_m2c_forms_found_total";
/// Stored files that left the buffer without an order.
pub(crate) const FILES_LEFT: &str = "aquifer_m2c_files_left_total";
/// Scans that failed.
pub(crate) const SCAN_FAILURES: &str = "aquifer_m2c_scan_failures_total";
/// Runs closed.
pub(crate) const RUNS_CLOSED: &str = "aquifer_m2c_runs_closed_total";
/// Messages that changed nothing.
pub(crate) const MESSAGES_IGNORED: &str = "aquifer_m2c_messages_ignored_total";
/// Messages sent to the dead letters.
pub(crate) const MESSAGES_BURIED: &str = "aquifer_m2c_messages_buried_total";
/// Files stored.
pub(crate) const FILES_STORED: &str = "aquifer_m2c_files_stored_total";
/// Bytes stored.
pub(crate) const BYTES_STORED: &str = "aquifer_m2c_stored_bytes_total";
/// Files whose upload was begun.
pub(crate) const STREAMS_BEGUN: &str = "aquifer_m2c_streams_begun_total";
/// Uploads that went on after a pause.
pub(crate) const STREAMS_RESUMED: &str = "aquifer_m2c_streams_resumed_total";
/// Uploads that were dropped.
pub(crate) const STREAMS_ABORTED: &str = "aquifer_m2c_streams_aborted_total";
/// Bytes of files that were sent in parts.
pub(crate) const STREAMED_BYTES: &str = "aquifer_m2c_streamed_bytes_total";
/// Bytes of the parts.
pub(crate) const STREAMED_OBJECT_BYTES: &str = "aquifer_m2c_streamed_object_bytes_total";
/// Times that an open file could not be followed.
pub(crate) const FOLLOWING_FAILURES: &str = "aquifer_m2c_following_failures_total";
/// Events copied to live objects.
pub(crate) const EVENTS_TAPPED: &str = "aquifer_m2c_tap_events_total";
/// Events that were to be copied and were not.
pub(crate) const EVENTS_NOT_TAPPED: &str = "aquifer_m2c_tap_dropped_events_total";
/// Slow-control readouts published.
pub(crate) const SLOW_SAMPLES: &str = "aquifer_m2c_slow_samples_total";
/// Times that a file's events could not be read.
pub(crate) const TAP_FAILURES: &str = "aquifer_m2c_tap_failures_total";
/// Times that a file had to wait.
pub(crate) const FILES_DELAYED: &str = "aquifer_m2c_files_delayed_total";
/// Times that a file needed a person.
pub(crate) const FILES_FAILED: &str = "aquifer_m2c_files_failed_total";
/// Files quarantined.
pub(crate) const FILES_QUARANTINED: &str = "aquifer_m2c_files_quarantined_total";
/// Run numbers that the DAQ used again.
pub(crate) const NUMBERS_REUSED: &str = "aquifer_m2c_run_numbers_reused_total";
/// Runs written to the catalogue.
pub(crate) const RUNS_RECORDED: &str = "aquifer_m2c_runs_recorded_total";
/// Runs that the catalogue refused.
pub(crate) const RECORDING_FAILURES: &str = "aquifer_m2c_recording_failures_total";
/// Closed runs with files to store.
pub(crate) const RUNS_TO_STORE: &str = "aquifer_m2c_runs_to_store";
/// Runs with news for the catalogue.
pub(crate) const RUNS_TO_RECORD: &str = "aquifer_m2c_runs_to_record";
/// Bytes that the DAQ can still write.
pub(crate) const BUFFER_FREE: &str = "aquifer_m2c_buffer_free";
/// Seconds until the buffer's disk is full.
pub(crate) const BUFFER_FULL_IN: &str = "aquifer_m2c_buffer_full_in";
/// Letters for the bus that could not be kept, read or delivered.
pub(crate) const SPOOL_FAILURES: &str = "aquifer_m2c_spool_failures_total";
/// Slow-control samples that were dropped.
pub(crate) const SAMPLES_DROPPED: &str = "aquifer_m2c_samples_dropped_total";
/// Requests to the DAQ's web server that failed.
pub(crate) const DAQ_FAILURES: &str = "aquifer_m2c_daq_failures_total";
/// Places in run files where secrets lie.
pub(crate) const SECRETS_FOUND: &str = "aquifer_m2c_secrets_found_total";
/// Orders to free the buffer that ended, by how.
pub(crate) const PURGES_ENDED: &str = "aquifer_m2c_purges_ended_total";
/// Bytes removed from the buffer.
pub(crate) const PURGED_BYTES: &str = "aquifer_m2c_purged_bytes_total";
/// Bytes that orders wait to move to the trash.
pub(crate) const PURGE_WAITING_BYTES: &str = "aquifer_m2c_purge_waiting_bytes";
/// Bytes in the buffer's trash.
pub(crate) const PURGE_TRASH_BYTES: &str = "aquifer_m2c_purge_trash_bytes";
/// Orders that a disarmed ingester would have carried out.
pub(crate) const PURGES_DISARMED: &str = "aquifer_m2c_purges_disarmed_total";
/// Times that an order could not be carried further.
pub(crate) const PURGE_DELAYS: &str = "aquifer_m2c_purge_delays_total";

/// Gives each metric its description.
pub(crate) fn describe() {
    describe_counter!(JOURNAL_FAILURES, "appends to the local journal that failed");
    describe_gauge!(BUFFER_FILES, "run files in the buffer");
    describe_gauge!(
        UNRECOGNISED_FILES,
        "files of the buffer that belong to no run"
    );
    describe_histogram!(SCAN_SECONDS, "seconds that one scan of the buffer took");
    describe_counter!(
        CONDITIONS,
        "conditions of the buffer that began or ended, by name"
    );
    describe_counter!(
        FORMS_FOUND,
        "stored files found compressed, or in another inode"
    );
    describe_counter!(
        FILES_LEFT,
        "stored files that left the buffer without an order"
    );
    describe_counter!(SCAN_FAILURES, "scans of the buffer that failed");
    describe_counter!(RUNS_CLOSED, "runs closed, by who closed them");
    describe_counter!(MESSAGES_IGNORED, "messages that changed nothing, by reason");
    describe_counter!(MESSAGES_BURIED, "messages sent to the dead letters");
    describe_counter!(FILES_STORED, "files stored, written now or found equal");
    describe_counter!(BYTES_STORED, "bytes stored");
    describe_counter!(
        STREAMS_BEGUN,
        "uploads in parts that were begun, of open or closed files"
    );
    describe_counter!(
        STREAMS_RESUMED,
        "uploads in parts that went on after a pause"
    );
    describe_counter!(
        STREAMS_ABORTED,
        "uploads in parts that were dropped; their files begin anew"
    );
    describe_counter!(STREAMED_BYTES, "bytes of files that were sent in parts");
    describe_counter!(
        STREAMED_OBJECT_BYTES,
        "bytes of the parts, after compression"
    );
    describe_counter!(
        FOLLOWING_FAILURES,
        "times that an open file could not be followed; it is stored once closed"
    );
    describe_counter!(EVENTS_TAPPED, "events of open runs copied to live objects");
    describe_counter!(
        EVENTS_NOT_TAPPED,
        "events that were to be copied and were not, by reason"
    );
    describe_counter!(SLOW_SAMPLES, "slow-control readouts published");
    describe_counter!(
        TAP_FAILURES,
        "times that the events of a file could not be read"
    );
    describe_counter!(FILES_DELAYED, "times that a file could not be stored yet");
    describe_counter!(
        FILES_FAILED,
        "times that a file or manifest needed a person"
    );
    describe_counter!(FILES_QUARANTINED, "files quarantined, by state");
    describe_counter!(NUMBERS_REUSED, "run numbers that the DAQ used again");
    describe_counter!(RUNS_RECORDED, "runs written to the catalogue, by state");
    describe_counter!(RECORDING_FAILURES, "times that the catalogue refused a run");
    describe_gauge!(RUNS_TO_STORE, "closed runs with files to store");
    describe_gauge!(RUNS_TO_RECORD, "runs with news for the catalogue");
    describe_gauge!(BUFFER_FREE, "bytes that the DAQ can still write");
    describe_gauge!(
        BUFFER_FULL_IN,
        "seconds until the buffer's disk is full at the present rate"
    );
    describe_counter!(
        SPOOL_FAILURES,
        "letters for the bus that could not be kept, read or delivered"
    );
    describe_counter!(
        SAMPLES_DROPPED,
        "slow-control samples dropped while the bus was away"
    );
    describe_counter!(DAQ_FAILURES, "requests to the DAQ's web server that failed");
    describe_counter!(PURGES_ENDED, "orders to free the buffer that ended, by how");
    describe_counter!(PURGED_BYTES, "bytes removed from the buffer by order");
    describe_gauge!(
        PURGE_WAITING_BYTES,
        "bytes that orders wait to move to the buffer's trash"
    );
    describe_gauge!(PURGE_TRASH_BYTES, "bytes in the buffer's trash");
    describe_counter!(
        PURGES_DISARMED,
        "orders that were checked and not carried out because the ingester is disarmed"
    );
    describe_counter!(
        PURGE_DELAYS,
        "times that an order could not be carried further, by whether a dependency was away"
    );
}

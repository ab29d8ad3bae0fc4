//! What a person must be told about a run. Each signal is a function of the run's
//! facts, so that telling it twice is telling the same.

use std::collections::BTreeMap;

use aquifer_schemas::redact::{Found, redact_text};
use aquifer_schemas::{
    AlertSignal, ClosedBy, FileName, FileState, RunId, Severity, Site, event_id,
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::disk::DiskStatus;
use crate::journal::{Instead, SecretSource};
use crate::secrets;

/// Builds the signals of one ingester.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// Who says so: `m2c@<buffer>`.
    pub producer: String,
}

impl Signals {
    /// The DAQ did not close the run.
    pub(crate) fn closed_by_inference(&self, run: &RunId, at: Timestamp) -> AlertSignal {
        self.about_run(
            run,
            "run-closed-by-inference",
            Severity::Warning,
            &format!("run {run} was never closed by its DAQ: its files were quiet, and it was closed by inference"),
            at,
        )
    }

    /// The DAQ used a run number again for other data.
    pub(crate) fn number_reused(&self, run: &RunId, at: Timestamp) -> AlertSignal {
        self.about_run(
            run,
            "run-number-reused",
            Severity::Error,
            &format!(
                "run number {} was used again at {}: the new data are version {}",
                run.number, run.site, run.version
            ),
            at,
        )
    }

    /// A file was appended to after it had been stored.
    fn appended_to(&self, run: &RunId, at: Timestamp) -> AlertSignal {
        self.about_run(
            run,
            "run-appended-to",
            Severity::Error,
            &format!(
                "a file of run {} at {} was appended to after it had been stored: \
                 with what was added it is version {}",
                run.number, run.site, run.version
            ),
            at,
        )
    }

    /// A file is not what its logger wrote, or is gone.
    pub(crate) fn quarantined(
        &self,
        run: &RunId,
        name: &FileName,
        state: FileState,
        reason: &str,
        at: Timestamp,
    ) -> AlertSignal {
        let (kind, severity) = match state {
            FileState::Vanished => ("file-vanished", Severity::Critical),
            _ => ("file-changed", Severity::Error),
        };
        let mut signal = self.about_run(
            run,
            kind,
            severity,
            &format!("file `{name}` of run {run} is quarantined: {reason}"),
            at,
        );
        signal.event_id = event_id(&format!("file:{run}:{name}"), kind, 0);
        signal.details.insert("file".to_owned(), name.to_string());
        signal
            .details
            .insert("reason".to_owned(), redact_text(reason).0);
        signal
    }

    /// Secrets lie in what belongs to the run. Says where, never which.
    pub(crate) fn secrets(
        &self,
        run: &RunId,
        source: &SecretSource,
        found: &[Found],
        at: Timestamp,
    ) -> AlertSignal {
        let name = match source {
            SecretSource::Announcement => "secret-in-announcement",
            SecretSource::File(_) => "secret-in-run-data",
        };
        let summary = format!(
            "secrets lie in {} places of run {run} ({source}), which is private now; change them and keep them out of what the DAQ writes",
            found.len()
        );
        let mut signal = self.about_run(run, name, Severity::Error, &summary, at);
        signal.event_id = event_id(&format!("secrets:{run}:{source}"), name, 0);
        let places = ("places".to_owned(), secrets::places(found));
        let source = ("source".to_owned(), source.to_string());
        signal.details.extend([places, source]);
        signal
    }

    /// An order to free files of the run is void for a reason that a person should know.
    pub(crate) fn purge_cancelled(
        &self,
        run: &RunId,
        order: Uuid,
        severity: Severity,
        reason: &str,
        at: Timestamp,
    ) -> AlertSignal {
        let summary =
            format!("files of run {run} were not freed from the buffer by order: {reason}");
        let mut signal = self.about_run(run, "purge-cancelled", severity, &summary, at);
        signal.event_id = event_id(&format!("purge order {order}"), "purge-cancelled", 0);
        let details = [
            ("order", order.to_string()),
            ("reason", redact_text(reason).0),
        ];
        let details = details.map(|(name, value)| (name.to_owned(), value));
        signal.details.extend(details);
        signal
    }

    /// Why the buffer's copy of a stored file counts as lost.
    pub(crate) const LEFT: &'static str =
        "it left the buffer and nobody had ordered that; its copy in object storage stands";

    /// A stored file is no longer in the buffer, without an order.
    pub(crate) fn left_the_buffer(
        &self,
        run: &RunId,
        name: &FileName,
        at: Timestamp,
    ) -> AlertSignal {
        let mut signal = self.about_run(
            run,
            "file-left-buffer",
            Severity::Warning,
            &format!("file `{name}` of run {run}: {}", Self::LEFT),
            at,
        );
        let when = at.as_microsecond().unsigned_abs();
        signal.event_id = event_id(&format!("file:{run}:{name}"), "file-left-buffer", when);
        signal.details.insert("file".to_owned(), name.to_string());
        signal
    }

    fn about_run(
        &self,
        run: &RunId,
        name: &str,
        severity: Severity,
        summary: &str,
        occurred_at: Timestamp,
    ) -> AlertSignal {
        AlertSignal {
            event_id: event_id(&format!("run:{run}"), name, 0),
            name: name.to_owned(),
            severity,
            subject: run.to_string(),
            site: Some(run.site.clone()),
            run: Some(run.number),
            // Reasons may quote what somebody else said.
            summary: redact_text(summary).0,
            details: BTreeMap::new(),
            cleared: false,
            occurred_at,
            producer: self.producer.clone(),
        }
    }

    /// A part of the middle has not answered for long, since `since`, or answers again.
    pub(crate) fn part_unreachable(
        &self,
        site: &Site,
        part: &str,
        why: &str,
        since: Timestamp,
        over: bool,
    ) -> AlertSignal {
        let summary = if over {
            format!(
                "{part} answers {} again, after an outage that began at {since}",
                self.producer
            )
        } else {
            format!(
                "{part} has not answered {} since {since}: runs wait in the buffer",
                self.producer
            )
        };
        let mut signal = self.about_edge(site, part, "part-unreachable", since, over);
        signal.summary = summary;
        signal.details.insert("part".to_owned(), part.to_owned());
        if !why.is_empty() {
            signal.details.insert("reason".to_owned(), why.to_owned());
        }
        signal
    }

    /// The buffer's disk will soon be full, noticed at `since`, or no longer so soon.
    pub(crate) fn buffer_fills(
        &self,
        site: &Site,
        disk: &DiskStatus,
        since: Timestamp,
        over: bool,
    ) -> AlertSignal {
        let mut signal = self.about_edge(site, "disk", "buffer-filling", since, over);
        let gb = disk.free / 1_000_000_000;
        let hours = disk.full_in_secs.map(|secs| secs / 3600);
        signal.summary = match hours {
            Some(hours) if !over => format!(
                "the buffer's disk of {} will be full in {hours} h: {gb} GB are free",
                self.producer
            ),
            _ => format!(
                "the buffer's disk of {} no longer fills: {gb} GB are free",
                self.producer
            ),
        };
        signal
            .details
            .insert("free-bytes".to_owned(), disk.free.to_string());
        if let Some(rate) = disk.filling_bytes_per_s {
            let rate = format!("{rate:.0}");
            signal
                .details
                .insert("filling-bytes-per-s".to_owned(), rate);
        }
        signal
    }

    /// A signal about `what` of the edge. One outage has one subject, and its begin and
    /// end have ids of their own.
    fn about_edge(
        &self,
        site: &Site,
        what: &str,
        name: &str,
        since: Timestamp,
        over: bool,
    ) -> AlertSignal {
        let subject = format!("{}/{what}", self.producer);
        let transition = if over { "over" } else { name };
        let revision = u64::try_from(since.as_microsecond()).unwrap_or_default();
        AlertSignal {
            event_id: event_id(&subject, transition, revision),
            name: name.to_owned(),
            severity: Severity::Error,
            subject,
            site: Some(site.clone()),
            run: None,
            summary: String::new(),
            details: BTreeMap::new(),
            cleared: over,
            occurred_at: if over { Timestamp::now() } else { since },
            producer: self.producer.clone(),
        }
    }

    /// Everything that the closure itself calls for.
    pub(crate) fn of_closure(
        &self,
        run: &RunId,
        closed_by: ClosedBy,
        instead: Option<Instead>,
        at: Timestamp,
    ) -> Vec<AlertSignal> {
        let mut signals = Vec::new();
        if closed_by == ClosedBy::Inferred {
            signals.push(self.closed_by_inference(run, at));
        }
        match instead {
            Some(Instead::Appended) => signals.push(self.appended_to(run, at)),
            _ if run.version > 1 => signals.push(self.number_reused(run, at)),
            _ => {}
        }
        signals
    }
}

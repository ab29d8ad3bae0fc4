//! From the journal into the catalogue: what is true at the edge becomes rows and
//! announcements, in one transaction per run.
//!
//! A run that is about to be stored is left alone for a moment, so that the small
//! and quick ones cost one transaction and not three.

use std::time::Duration;

use aquifer_catalogue::{
    BufferCopy, CatalogueError, ClosedFile, ClosedRun, OpenedRun, StoredFileFacts, StoredRun,
};
use aquifer_runtime::crash::crash_point;
use aquifer_runtime::retry::{RetryError, retry};
use aquifer_runtime::trace::span_with_parent;
use aquifer_schemas::{AlertSignal, Encoding, FileName, FileState, RunId, RunNumber};
use jiff::Timestamp;
use tracing::{Instrument, info_span};

use crate::dispatch::Outcome;
use crate::edge::Edge;
use crate::events;
use crate::journal::{Active, BufferForm, Closure, Ledger, Progress, Record, StoredFacts};
use crate::signals::Signals;
use crate::steps;
use crate::store::trace_of;

/// How long a run may take from its begin to its close, and from there to being stored,
/// before it is recorded as it is.
const QUICK: Duration = Duration::from_millis(700);

/// Pause after the catalogue has refused a run.
const HELP_NEEDED: Duration = Duration::from_secs(30);

/// Records runs.
pub(crate) struct Recorder {
    edge: Edge,
}

impl Recorder {
    /// Records for `edge`.
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }

    /// The runs to record now, by number.
    pub(crate) fn due(ledger: &Ledger) -> impl DoubleEndedIterator<Item = RunNumber> + '_ {
        let now = Timestamp::now();
        let quick = move |run: &RunNumber| {
            let active = ledger.active(*run);
            active.is_some_and(|active| is_quick(active, now))
        };
        ledger.to_record().filter(move |run| !quick(run))
    }

    /// Tells the catalogue what is new of one run.
    pub(crate) async fn run(&self, number: RunNumber) -> Outcome {
        let Some(mut active) = self.edge.journal.ledger().active(number).cloned() else {
            return Outcome::Done;
        };
        match self.edge.hear_all(number, &active).await {
            Ok(false) => {}
            Ok(true) => match self.edge.journal.ledger().active(number).cloned() {
                Some(heard) => active = heard,
                None => return Outcome::Done,
            },
            Err(error) => {
                events::journal_failed(&error);
                return Outcome::Later(QUICK);
            }
        }
        let run = self.edge.run_id(number, active.version);
        let parent = trace_of(&active);
        let span = span_with_parent(
            info_span!("record run", run = %run, site = %run.site),
            parent.as_ref(),
        );
        let recorded = retry("record-run", &self.edge.retry, &self.edge.shutdown, || {
            let recorded = self.record(&run, &active);
            self.edge.links.catalogue.watch(recorded)
        });
        match recorded.instrument(span).await {
            Ok(state) => self.recorded(&run, &active, state).await,
            Err(RetryError::Cancelled) => Outcome::Done,
            Err(RetryError::Permanent(
                CatalogueError::Conflict { .. } | CatalogueError::OtherRun { .. },
            )) => self.edge.next_version(&run).await,
            Err(RetryError::Permanent(error) | RetryError::Exhausted { last: error, .. }) => {
                events::recording_needs_help(&run, &error);
                Outcome::Later(HELP_NEEDED)
            }
        }
    }

    async fn record(&self, run: &RunId, active: &Active) -> Result<&'static str, CatalogueError> {
        let catalogue = &self.edge.catalogue;
        let mut state = match &active.closure {
            Some(closure) => self.record_closed(run, active, closure).await?,
            // It was recorded to its end before, and only the buffer has changed.
            None if active.is_over() => "unchanged",
            None => {
                let row = catalogue.record_opened(&self.opened(run, active)).await?;
                row.state.as_str()
            }
        };
        for (name, form) in &active.forms {
            if let Some(copy) = buffer_copy(name, form, &self.edge.buffer_element) {
                let who = &self.edge.signals.producer;
                state = catalogue
                    .record_buffer_copy(run, &copy, who)
                    .await?
                    .state
                    .as_str();
            }
        }
        // Files of a run that goes on have no rows yet.
        let known = active.is_over();
        for (name, at) in active.vanished().filter(|_| known) {
            let signal = self.edge.signals.left_the_buffer(run, name, at);
            let row = catalogue
                .record_quarantined(
                    run,
                    name,
                    FileState::Vanished,
                    Signals::LEFT,
                    &self.edge.signals.producer,
                    &[signal],
                )
                .await?;
            state = row.state.as_str();
        }
        Ok(state)
    }

    async fn record_closed(
        &self,
        run: &RunId,
        active: &Active,
        closure: &Closure,
    ) -> Result<&'static str, CatalogueError> {
        let catalogue = &self.edge.catalogue;
        let closed = self.closed(run, active, closure);
        if closure.instead.is_some() && run.version > 1 {
            let before = self.edge.run_id(run.number, run.version - 1);
            let names: Vec<_> = closure.files.iter().map(|file| file.name.clone()).collect();
            let buffer = &self.edge.buffer_element;
            let who = &self.edge.signals.producer;
            catalogue
                .record_overwritten(&before, &names, buffer, who)
                .await?;
        }
        let files: Vec<_> = active
            .stored()
            .map(|(name, facts)| stored_file(name, facts))
            .collect();
        let mut row = if files.is_empty() {
            catalogue.record_closed(&closed).await?
        } else {
            let stored = StoredRun {
                closed,
                files,
                manifest_key: active.manifest.clone(),
                signals: self.secrets(run, active, closure),
            };
            catalogue.record_stored(&stored).await?.row
        };
        // News of files that were stored before have a manifest of their own.
        if active.manifest.is_some() && row.manifest_key != active.manifest {
            let stored = StoredRun {
                closed: self.closed(run, active, closure),
                files: Vec::new(),
                manifest_key: active.manifest.clone(),
                signals: Vec::new(),
            };
            row = catalogue.record_stored(&stored).await?.row;
        }
        for (name, progress) in &active.files {
            if let Progress::Quarantined { state, reason, .. } = progress {
                let at = closure.learnt_at;
                let signal = self.edge.signals.quarantined(run, name, *state, reason, at);
                let who = &self.edge.signals.producer;
                row = catalogue
                    .record_quarantined(run, name, *state, reason, who, &[signal])
                    .await?;
            }
        }
        Ok(row.state.as_str())
    }

    /// Hands the catalogue what people are to be told of the buffer as a whole, until
    /// shutdown.
    pub(crate) async fn tell_forever(&self) {
        while !self.edge.shutdown.is_cancelled() {
            let changed = self.edge.journal.changed().notified();
            tokio::pin!(changed);
            // Registered before the ledger is read: a change in between is not missed.
            changed.as_mut().enable();
            self.tell().await;
            tokio::select! {
                () = &mut changed => {}
                () = tokio::time::sleep(HELP_NEEDED) => {}
                () = self.edge.shutdown.cancelled() => {}
            }
        }
    }

    async fn tell(&self) {
        let waiting: Vec<_> = {
            let ledger = self.edge.journal.ledger();
            ledger.signals().waiting().into_iter().cloned().collect()
        };
        for signal in waiting {
            let raised = retry(
                "raise-signal",
                &self.edge.retry,
                &self.edge.shutdown,
                || self.edge.catalogue.raise(&signal, None),
            );
            if let Err(error) = raised.await {
                if !matches!(error, RetryError::Cancelled) {
                    events::signal_not_told(&signal, &error);
                }
                return;
            }
            let told = Record::Told {
                event_id: signal.event_id,
            };
            if let Err(error) = self.edge.journal.append(told).await {
                events::journal_failed(&error);
                return;
            }
        }
    }

    async fn recorded(&self, run: &RunId, active: &Active, state: &'static str) -> Outcome {
        crash_point(steps::RUN_RECORDED);
        let record = Record::Recorded {
            run: run.number,
            facts: active.facts,
        };
        if let Err(error) = self.edge.journal.append(record).await {
            events::journal_failed(&error);
            return Outcome::Later(QUICK);
        }
        crash_point(steps::RUN_SETTLED);
        events::run_recorded(run, state);
        if active.closure.is_some() {
            self.edge.daq.info(format!("run {run} is {state}"));
        }
        Outcome::Done
    }

    fn opened(&self, run: &RunId, active: &Active) -> OpenedRun {
        let told = self.edge.told(run, active);
        let opening = active.opening.as_ref();
        OpenedRun {
            id: run.clone(),
            attributes: told.attributes(),
            started_at: told.started_at.unwrap_or_else(Timestamp::now),
            run_type: told.run_type,
            trace: opening.and_then(|opening| opening.trace.clone()),
            streaming: active.streams.keys().cloned().collect(),
            who: self.edge.signals.producer.clone(),
        }
    }

    fn closed(&self, run: &RunId, active: &Active, closure: &Closure) -> ClosedRun {
        let told = self.edge.told(run, active);
        let files = closure.files.iter().map(|file| ClosedFile {
            name: file.name.clone(),
            size: file.size,
        });
        ClosedRun {
            id: run.clone(),
            attributes: told.attributes(),
            started_at: told.started_at,
            ended_at: closure.ended_at,
            run_type: told.run_type,
            closed_by: closure.closed_by,
            events: told.events,
            files: files.collect(),
            buffer: self.edge.buffer_element.clone(),
            trace: closure.trace.clone(),
            who: self.edge.signals.producer.clone(),
            announce: closure.closed_by != aquifer_schemas::ClosedBy::Daq,
            signals: self.signals(run, active, closure),
        }
    }

    fn secrets(&self, run: &RunId, active: &Active, closure: &Closure) -> Vec<AlertSignal> {
        let signals = &self.edge.signals;
        let secrets = active.secrets.iter();
        secrets
            .map(|(source, found)| signals.secrets(run, source, found, closure.learnt_at))
            .collect()
    }

    fn signals(&self, run: &RunId, active: &Active, closure: &Closure) -> Vec<AlertSignal> {
        let signals = &self.edge.signals;
        let (by, at) = (closure.closed_by, closure.learnt_at);
        let mut all = signals.of_closure(run, by, closure.instead, at);
        // Where files are stored, the secrets are told with them.
        if active.stored().next().is_none() {
            all.extend(self.secrets(run, active, closure));
        }
        all
    }
}

/// Whether a run is about to have more news, and young enough to be left alone.
fn is_quick(active: &Active, now: Timestamp) -> bool {
    let since = match (&active.closure, &active.opening) {
        (Some(closure), _) if active.needs_storing() => closure.learnt_at,
        // By the DAQ's clock: where that is wrong, the run is recorded at once.
        (None, Some(opening)) => opening.started_at,
        _ => return false,
    };
    Duration::try_from(now.duration_since(since)).is_ok_and(|age| age < QUICK)
}

/// What the catalogue is told of a form in the buffer; nothing of one that it knows.
fn buffer_copy(name: &FileName, form: &BufferForm, element: &str) -> Option<BufferCopy> {
    let digests = form.encoded.as_ref().map(|encoded| encoded.digests);
    if digests.is_none() && form.disk != *name {
        return None;
    }
    let (size, crc64nvme) = match digests {
        Some(digests) => (digests.size, digests.crc64nvme),
        None => (form.known.identity.size, form.known.crc64nvme),
    };
    Some(BufferCopy {
        name: name.clone(),
        element: element.to_owned(),
        location: form.disk.clone(),
        identity: form.known.identity,
        encoding: form
            .encoded
            .map_or(Encoding::Identity, |encoded| encoded.encoding),
        size,
        crc64nvme: crc64nvme.to_string(),
        seen_at: Timestamp::now(),
    })
}

fn stored_file(name: &FileName, facts: &StoredFacts) -> StoredFileFacts {
    let digests = facts.digests;
    let object = facts.object_digests();
    StoredFileFacts {
        name: name.clone(),
        size: digests.size,
        crc64nvme: digests.crc64nvme.to_string(),
        adler32: digests.adler32.to_string(),
        crc32c: digests.crc32c.to_string(),
        identity: facts.identity,
        element: facts.element.clone(),
        bucket: facts.bucket.clone(),
        key: facts.key.clone(),
        encoding: facts.encoding(),
        stored_size: object.size,
        stored_crc64nvme: object.crc64nvme.to_string(),
        evidence: facts.evidence,
        evidence_method: facts.evidence_method.clone(),
        sealed_at: facts.stored_at,
        stored_at: facts.stored_at,
    }
}

#[cfg(test)]
mod tests {
    use aquifer_schemas::ClosedBy;
    use jiff::ToSpan as _;

    use super::*;
    use crate::journal::{ExpectedFile, Opening};

    const RUN: RunNumber = 7;

    fn due_after(records: Vec<Record>) -> Vec<RunNumber> {
        let mut ledger = Ledger::default();
        for record in records {
            ledger.apply(record);
        }
        Recorder::due(&ledger).collect()
    }

    fn opened(started_at: Timestamp) -> Record {
        Record::Opened {
            run: RUN,
            opening: Opening {
                started_at,
                run_type: None,
                attributes: std::collections::BTreeMap::new(),
                trace: None,
            },
        }
    }

    fn closed(learnt_at: Timestamp) -> Record {
        Record::Closed {
            run: RUN,
            version: 1,
            closure: Closure {
                closed_by: ClosedBy::Daq,
                started_at: None,
                ended_at: learnt_at,
                run_type: None,
                events: None,
                attributes: std::collections::BTreeMap::new(),
                files: vec![ExpectedFile::named("run7.mid".parse().unwrap())],
                trace: None,
                learnt_at,
                instead: None,
            },
        }
    }

    fn vanished() -> Record {
        Record::Quarantined {
            run: RUN,
            name: "run7.mid".parse().unwrap(),
            state: FileState::Vanished,
            reason: "test".to_owned(),
            identity: None,
        }
    }

    #[test]
    fn a_run_that_is_about_to_be_closed_or_stored_waits_a_moment() {
        let now = Timestamp::now();
        assert!(due_after(vec![opened(now)]).is_empty());
        assert!(due_after(vec![opened(now), closed(now)]).is_empty());
    }

    #[test]
    fn a_run_is_recorded_as_soon_as_no_news_are_expected() {
        let now = Timestamp::now();
        assert_eq!(due_after(vec![closed(now), vanished()]), [RUN]);
    }

    #[test]
    fn a_slow_run_is_recorded_as_it_is() {
        let past = Timestamp::now() - 1.second();
        assert_eq!(due_after(vec![opened(past)]), [RUN]);
        assert_eq!(due_after(vec![opened(past), closed(past)]), [RUN]);
    }

    #[test]
    fn a_wrong_clock_of_the_daq_delays_nothing() {
        let future = Timestamp::now() + 1.hour();
        assert_eq!(due_after(vec![opened(future)]), [RUN]);
    }
}

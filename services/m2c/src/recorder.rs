//! From the journal into the catalogue: what is true at the edge becomes rows and
//! announcements, in one transaction per run.
//!
//! A run that is about to be stored is left alone for a moment, so that the small
//! and quick ones cost one transaction and not three.

use std::time::Duration;

use aquifer_catalogue::{
    Attribute, CatalogueError, ClosedFile, ClosedRun, OpenedRun, StoredFileFacts, StoredRun,
};
use aquifer_runtime::crash::crash_point;
use aquifer_runtime::retry::{RetryError, retry};
use aquifer_runtime::trace::span_with_parent;
use aquifer_schemas::{AlertSignal, Encoding, FileName, RunId, RunNumber};
use jiff::Timestamp;
use tracing::{Instrument, info_span};

use crate::dispatch::Outcome;
use crate::edge::Edge;
use crate::events;
use crate::journal::{Active, Closure, Ledger, Progress, Record, StoredFacts};
use crate::secrets;
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

    /// The runs to record now, oldest number first.
    pub(crate) fn due(ledger: &Ledger) -> impl Iterator<Item = RunNumber> + '_ {
        let now = Timestamp::now();
        let quick = move |run: &RunNumber| {
            let active = ledger.active(*run);
            active.is_some_and(|active| is_quick(active, now))
        };
        ledger.to_record().filter(move |run| !quick(run))
    }

    /// Tells the catalogue what is new of one run.
    pub(crate) async fn run(&self, number: RunNumber) -> Outcome {
        let Some(active) = self.edge.journal.ledger().active(number).cloned() else {
            return Outcome::Done;
        };
        let run = self.edge.run_id(number, active.version);
        let parent = trace_of(&active);
        let span = span_with_parent(
            info_span!("record run", run = %run, site = %run.site),
            parent.as_ref(),
        );
        let recorded = retry("record-run", &self.edge.retry, &self.edge.shutdown, || {
            self.record(&run, &active)
        });
        match recorded.instrument(span).await {
            Ok(state) => self.recorded(&run, &active, state).await,
            Err(RetryError::Cancelled) => Outcome::Done,
            Err(RetryError::Permanent(CatalogueError::Conflict { .. })) => {
                self.edge.next_version(&run).await
            }
            Err(RetryError::Permanent(error) | RetryError::Exhausted { last: error, .. }) => {
                events::recording_needs_help(&run, &error);
                Outcome::Later(HELP_NEEDED)
            }
        }
    }

    async fn record(&self, run: &RunId, active: &Active) -> Result<&'static str, CatalogueError> {
        let catalogue = &self.edge.catalogue;
        let Some(closure) = &active.closure else {
            let row = catalogue.record_opened(&self.opened(run, active)).await?;
            return Ok(row.state.as_str());
        };
        let closed = self.closed(run, active, closure);
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
        for (name, progress) in &active.files {
            if let Progress::Quarantined { state, reason } = progress {
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
        Outcome::Done
    }

    fn opened(&self, run: &RunId, active: &Active) -> OpenedRun {
        let opening = active.opening.as_ref();
        OpenedRun {
            id: run.clone(),
            started_at: opening.map_or_else(Timestamp::now, |opening| opening.started_at),
            run_type: opening.and_then(|opening| opening.run_type.clone()),
            attributes: opening
                .map(|opening| attributes(&secrets::attributes(&opening.attributes, active)))
                .unwrap_or_default(),
            trace: opening.and_then(|opening| opening.trace.clone()),
            who: self.edge.signals.producer.clone(),
        }
    }

    fn closed(&self, run: &RunId, active: &Active, closure: &Closure) -> ClosedRun {
        let opening = active.opening.as_ref();
        let started_at = closure
            .started_at
            .or_else(|| opening.map(|opening| opening.started_at));
        let run_type = closure
            .run_type
            .clone()
            .or_else(|| opening.and_then(|opening| opening.run_type.clone()));
        let files = closure.files.iter().map(|file| ClosedFile {
            name: file.name.clone(),
            size: file.size,
        });
        ClosedRun {
            id: run.clone(),
            started_at,
            ended_at: closure.ended_at,
            run_type,
            closed_by: closure.closed_by,
            events: closure.events,
            attributes: attributes(&secrets::attributes(&closure.attributes, active)),
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
        let mut all = signals.of_closure(run, closure.closed_by, closure.learnt_at);
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

fn attributes(
    daq: &std::collections::BTreeMap<String, String>,
) -> std::collections::BTreeMap<String, Attribute> {
    daq.iter()
        .map(|(name, value)| (name.clone(), attribute(value)))
        .collect()
}

/// What a DAQ says as text is a flag or a number where it reads as one.
fn attribute(text: &str) -> Attribute {
    if let Ok(flag) = text.parse() {
        return Attribute::bool(flag);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Attribute::number(number),
        _ => Attribute::text(text),
    }
}

fn stored_file(name: &FileName, facts: &StoredFacts) -> StoredFileFacts {
    let digests = facts.digests;
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
        encoding: Encoding::Identity,
        stored_size: digests.size,
        stored_crc64nvme: digests.crc64nvme.to_string(),
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
                files: vec![ExpectedFile {
                    name: "run7.mid".parse().unwrap(),
                    size: None,
                    crc32c: None,
                }],
                trace: None,
                learnt_at,
            },
        }
    }

    fn vanished() -> Record {
        Record::Quarantined {
            run: RUN,
            name: "run7.mid".parse().unwrap(),
            state: aquifer_schemas::FileState::Vanished,
            reason: "test".to_owned(),
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

//! From the buffer into object storage: a run file by file, each read once and held
//! against what the DAQ said of it before it becomes visible.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aquifer_digest::Digests;
use aquifer_runtime::crash::crash_point;
use aquifer_runtime::retry::{RetryError, retry};
use aquifer_runtime::trace::{TraceParent, span_with_parent};
use aquifer_schemas::{ClosedBy, FileName, FileState, RunId, RunNumber};
use aquifer_storage::{ObjectMeta, StorageError, StoreOptions, StoredObject};
use bytes::Bytes;
use jiff::Timestamp;
use tracing::{Instrument, info_span};

use crate::conditions;
use crate::dispatch::Outcome;
use crate::edge::Edge;
use crate::events;
use crate::journal::{
    Active, Encoded, ExpectedFile, JournalError, Record, SecretSource, StoredFacts,
};
use crate::manifest::Manifest;
use crate::past;
use crate::secrets;
use crate::source::Source;
use crate::steps;
use crate::stream::{self, StreamError};

/// Pause before a file that cannot be stored now is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Pause after an error that only a person can mend.
const HELP_NEEDED: Duration = Duration::from_secs(30);

/// How often a file is read anew when its bytes are not those that the logger wrote:
/// once, in case the disk or the memory erred.
const REREADS: u32 = 1;

/// Stores the files of closed runs.
pub(crate) struct Store {
    edge: Edge,
    missing_deadline: Duration,
    troubles: Mutex<HashMap<(RunNumber, FileName), Trouble>>,
}

/// What has kept a file from being stored, in this process.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    refusals: u32,
}

/// Why a run is not stored yet.
enum Halt {
    /// Look again after a while.
    Later(Duration),
    /// The process drains.
    Draining,
    /// Other bytes hold the run's keys.
    NumberReused,
}

impl From<JournalError> for Halt {
    fn from(error: JournalError) -> Self {
        events::journal_failed(&error);
        Self::Later(LOOK_AGAIN)
    }
}

impl Store {
    /// Stores for `edge`; an announced file may be missing for `missing_deadline`.
    pub(crate) fn new(edge: Edge, missing_deadline: Duration) -> Self {
        Self {
            edge,
            missing_deadline,
            troubles: Mutex::default(),
        }
    }

    /// Brings one run as far as it goes now.
    pub(crate) async fn run(&self, number: RunNumber) -> Outcome {
        let Some(active) = self.edge.journal.ledger().active(number).cloned() else {
            return Outcome::Done;
        };
        let run = self.edge.run_id(number, active.version);
        let parent = trace_of(&active);
        let span = span_with_parent(
            info_span!("store run", run = %run, site = %run.site),
            parent.as_ref(),
        );
        if past::tells_of_another(&self.edge, &run, &active).await {
            return self.edge.next_version(&run).await;
        }
        match self
            .files_and_manifest(&run, &active)
            .instrument(span)
            .await
        {
            Ok(()) | Err(Halt::Draining) => Outcome::Done,
            Err(Halt::Later(pause)) => Outcome::Later(pause),
            Err(Halt::NumberReused) => self.edge.next_version(&run).await,
        }
    }

    async fn files_and_manifest(&self, run: &RunId, active: &Active) -> Result<(), Halt> {
        let mut halt = None;
        for file in active.missing() {
            // A file that must wait does not hold up the others of its run.
            match self.file(run, active, file).await {
                Ok(()) => {}
                Err(Halt::Later(pause)) => halt = Some(Halt::Later(pause)),
                Err(other) => return Err(other),
            }
        }
        if let Some(halt) = halt {
            return Err(halt);
        }
        let Some(active) = self.edge.journal.ledger().active(run.number).cloned() else {
            return Ok(());
        };
        if active.needs_manifest() {
            self.manifest(run, &active).await?;
        }
        Ok(())
    }

    async fn file(&self, run: &RunId, active: &Active, file: &ExpectedFile) -> Result<(), Halt> {
        if !self.edge.buffer_seen.get() {
            // An outage of the disk is not an error of the data.
            return Err(Halt::Later(LOOK_AGAIN));
        }
        let source = match self.look_at(file).await {
            Ok(source) => source,
            Err(reason) => return self.wait(run, active, file, reason).await,
        };
        self.look_for_secrets(run, active, &source).await?;
        self.edge
            .hear(run.number, &source.file.name, &source.disk)
            .await?;
        // Whoever follows the file lets go of it first.
        let _hold = self.edge.streams.take(run.number, &file.name).await;
        if self.is_streamed(run, &source) {
            return self.finish_stream(run, active, &source).await;
        }
        if active.streams.contains_key(&file.name) {
            let reason = "the file is stored in another form";
            self.abandon(run, &file.name, reason).await?;
        }
        let stored = self
            .store_file(run, active, &source)
            .instrument(info_span!("store file", file = %file.name))
            .await;
        match stored {
            Ok(object) => {
                let content = source.content(object.sealed.digests());
                self.file_stored(run, &source, &object, content).await
            }
            Err(RetryError::Cancelled) => Err(Halt::Draining),
            Err(RetryError::Permanent(error) | RetryError::Exhausted { last: error, .. }) => {
                self.file_not_stored(run, active, &source, error).await
            }
        }
    }

    /// What lies in the buffer for a file, and all that is said of it.
    async fn look_at(&self, file: &ExpectedFile) -> Result<Source, String> {
        let (rules, examiner) = (self.edge.rules.clone(), self.edge.examiner.clone());
        let file = file.clone();
        tokio::task::spawn_blocking(move || Source::look_at(&rules, &examiner, file))
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Remembers where secrets lie in a file before it is stored, so that nobody hears of
    /// the file without hearing of them.
    async fn look_for_secrets(
        &self,
        run: &RunId,
        active: &Active,
        file: &Source,
    ) -> Result<(), Halt> {
        if !self.edge.rules.midas {
            return Ok(());
        }
        let source = SecretSource::File(file.file.name.clone());
        let (path, number) = (self.edge.rules.path(&file.disk), run.number);
        let looked = tokio::task::spawn_blocking(move || secrets::in_file(&path, number));
        // What cannot be read now is looked at again when the file is stored.
        let found = looked.await.map_err(|_| Halt::Draining)?;
        if found.is_empty() || active.secrets.get(&source) == Some(&found) {
            return Ok(());
        }
        events::secrets_found(run, &source, found.len());
        self.edge
            .journal
            .append(Record::Secrets {
                run: run.number,
                source,
                found,
            })
            .await?;
        Ok(())
    }

    async fn store_file(
        &self,
        run: &RunId,
        active: &Active,
        source: &Source,
    ) -> Result<StoredObject, RetryError<StorageError>> {
        let key = self
            .edge
            .keys
            .file(run, source.key_name())
            .and_then(|key| self.edge.own_key(key))
            .map_err(|error| RetryError::Permanent(error.into()))?;
        let meta = object_meta(active).map_err(RetryError::Permanent)?;
        let path = self.edge.rules.path(&source.disk);
        retry("store-file", &self.edge.retry, &self.edge.shutdown, || {
            let (key, meta, path) = (&key, &meta, path.clone());
            async move {
                let (file, verify) = source.open(&path).await?;
                let options = StoreOptions {
                    verify: Some(verify),
                    step: crash_point,
                    pace: Some(self.edge.pacer.flow()),
                };
                let stored = self.edge.storage.store_file(&file, key, meta, options);
                self.edge.links.storage.watch(stored).await
            }
        })
        .await
    }

    /// Whether the file goes through an upload in parts: it has one that was begun while
    /// it grew, or is to be compressed.
    fn is_streamed(&self, run: &RunId, source: &Source) -> bool {
        let Some(identity) = source.identity.filter(|_| source.is_plain()) else {
            return false;
        };
        let name = &source.file.name;
        let ledger = self.edge.journal.ledger();
        let active = ledger.active(run.number);
        let begun = active.is_some_and(|active| active.streams.contains_key(name));
        begun || self.edge.streams.encodes(name, identity.size)
    }

    async fn finish_stream(
        &self,
        run: &RunId,
        active: &Active,
        source: &Source,
    ) -> Result<(), Halt> {
        let meta = match object_meta(active) {
            Ok(meta) => meta,
            Err(error) => return self.file_not_stored(run, active, source, error).await,
        };
        let (name, vouched) = (&source.file.name, source.is_vouched_for());
        let finished = stream::finish(&self.edge, run, name, &meta, source.check(), vouched)
            .instrument(info_span!("store file", file = %name, streamed = true))
            .await;
        match finished {
            Ok(finished) => {
                let object = &finished.object;
                let content = (object.sealed.digests(), finished.encoded);
                self.file_stored(run, source, object, content).await
            }
            Err(StreamError::Draining) => Err(Halt::Draining),
            Err(StreamError::Journal(error)) => Err(error.into()),
            Err(StreamError::Storage(error))
                if !matches!(error, StorageError::Interrupted { .. }) =>
            {
                self.file_not_stored(run, active, source, error).await
            }
            Err(StreamError::Tail(error)) if !error.is_another_file() => {
                self.file_not_stored(run, active, source, error.into())
                    .await
            }
            Err(error) => {
                self.held_up(run, name, &error.to_string());
                Err(Halt::Later(LOOK_AGAIN))
            }
        }
    }

    /// Drops the upload of a file that is not to be completed.
    async fn abandon(&self, run: &RunId, name: &FileName, reason: &str) -> Result<(), Halt> {
        match stream::abandon(&self.edge, run, name, reason).await {
            Ok(()) => Ok(()),
            Err(StreamError::Draining) => Err(Halt::Draining),
            Err(error) => {
                self.held_up(run, name, &error.to_string());
                Err(Halt::Later(LOOK_AGAIN))
            }
        }
    }

    /// What is said of a file that is quarantined. Of one that is gone, what was sent may
    /// be all that is left: it stays.
    async fn abandon_for_good(
        &self,
        run: &RunId,
        name: &FileName,
        state: FileState,
        reason: String,
    ) -> Result<String, Halt> {
        if state != FileState::Vanished {
            self.abandon(run, name, &reason).await?;
            return Ok(reason);
        }
        let ledger = self.edge.journal.ledger();
        let stream = ledger
            .active(run.number)
            .and_then(|active| active.streams.get(name));
        Ok(stream.map_or(reason.clone(), |stream| {
            let upload = &stream.start.upload;
            format!(
                "{reason}; its first {} bytes lie in the unfinished upload `{}` of `{}`",
                stream.input().size,
                upload.upload_id,
                upload.key
            )
        }))
    }

    async fn file_stored(
        &self,
        run: &RunId,
        source: &Source,
        object: &StoredObject,
        (digests, encoded): (Digests, Option<Encoded>),
    ) -> Result<(), Halt> {
        crash_point(steps::FILE_VISIBLE);
        let name = &source.file.name;
        self.edge.seen.let_go(run, name);
        let facts = StoredFacts {
            identity: object.sealed.identity(),
            disk: (source.disk != *name).then(|| source.disk.clone()),
            digests,
            encoded,
            element: self.edge.storage.name().to_owned(),
            bucket: self.edge.storage.location().to_owned(),
            key: object.key.to_string(),
            evidence: object.evidence,
            evidence_method: object.evidence_method.clone(),
            stored_at: Timestamp::now(),
        };
        self.edge
            .journal
            .append(Record::Stored {
                run: run.number,
                name: name.clone(),
                facts,
            })
            .await?;
        crash_point(steps::FILE_JOURNALED);
        self.edge.examiner.forget(&source.disk);
        self.edge.examiner.forget(name);
        self.mended(run, name).await;
        events::file_stored(run, name, object);
        Ok(())
    }

    /// A file cannot be stored now, for a reason that may pass. When it has not for long,
    /// people are told, and a compressed file that never becomes whole is stored as it is.
    async fn wait(
        &self,
        run: &RunId,
        active: &Active,
        file: &ExpectedFile,
        reason: String,
    ) -> Result<(), Halt> {
        let abandoned = active
            .closure
            .as_ref()
            .is_some_and(|closure| closure.closed_by == ClosedBy::Inferred);
        if self.waits_too_long(run, &file.name) || abandoned {
            self.edge.examiner.give_up_on(&file.name);
            let summary = format!("file `{}` of run {run} waits: {reason}", file.name);
            self.say_not_stored(run, &file.name, summary).await;
        }
        self.held_up(run, &file.name, &reason);
        Err(Halt::Later(LOOK_AGAIN))
    }

    fn held_up(&self, run: &RunId, name: &FileName, why: &str) {
        let news = self.edge.seen.held_up(run, name, why);
        events::file_waits(run, name, why, news);
    }

    async fn file_not_stored(
        &self,
        run: &RunId,
        active: &Active,
        source: &Source,
        error: StorageError,
    ) -> Result<(), Halt> {
        let name = &source.file.name;
        match error {
            StorageError::Conflict { .. } => Err(Halt::NumberReused),
            StorageError::SourceVanished { .. } => {
                if self.waits_too_long(run, name) && self.edge.buffer_seen.get() {
                    let reason = format!("it is closed and not in the buffer: {error}");
                    return self
                        .quarantine(run, source, FileState::Vanished, reason)
                        .await;
                }
                self.held_up(run, name, &error.to_string());
                Err(Halt::Later(LOOK_AGAIN))
            }
            StorageError::SourceChanged { .. } => {
                self.wait(run, active, &source.file, error.to_string())
                    .await
            }
            StorageError::Refused { reason, .. } => {
                if self.count_refusal(run, name) > REREADS {
                    self.quarantine(run, source, FileState::Changed, reason)
                        .await
                } else {
                    self.held_up(run, name, &reason);
                    Err(Halt::Later(LOOK_AGAIN))
                }
            }
            StorageError::NotRegular { .. } | StorageError::Key(_) => {
                let reason = error.to_string();
                self.quarantine(run, source, FileState::Changed, reason)
                    .await
            }
            other => {
                events::file_needs_help(run, name, &other);
                self.edge.seen.held_up(run, name, &other.to_string());
                let summary = format!("file `{name}` of run {run} cannot be stored: {other}");
                self.say_not_stored(run, name, summary).await;
                Err(Halt::Later(HELP_NEEDED))
            }
        }
    }

    async fn quarantine(
        &self,
        run: &RunId,
        source: &Source,
        state: FileState,
        reason: String,
    ) -> Result<(), Halt> {
        let name = &source.file.name;
        self.edge.seen.let_go(run, name);
        let reason = self.abandon_for_good(run, name, state, reason).await?;
        events::file_quarantined(run, name, state, &reason);
        let told = format!("file {name} of run {run} is quarantined: {reason}");
        self.edge.daq.error(told);
        self.edge
            .journal
            .append(Record::Quarantined {
                run: run.number,
                name: name.clone(),
                state,
                reason,
                identity: source.identity,
            })
            .await?;
        self.mended(run, name).await;
        Ok(())
    }

    /// Puts the manifest of the files that are newly stored. Where a manifest with
    /// other content stands already, this is a later one.
    async fn manifest(&self, run: &RunId, active: &Active) -> Result<(), Halt> {
        let told = self.edge.told(run, active);
        let buffer = &self.edge.buffer_element;
        let Some(manifest) = Manifest::of(run, active, &told, buffer) else {
            return Ok(());
        };
        let body = Bytes::from(manifest.to_bytes());
        let meta = object_meta(active).map_err(|error| Self::manifest_failed(run, &error))?;
        for n in 1.. {
            let key = self
                .edge
                .keys
                .manifest(run, n)
                .and_then(|key| self.edge.own_key(key))
                .map_err(|error| Self::manifest_failed(run, &error.into()))?;
            let put = retry(
                "put-manifest",
                &self.edge.retry,
                &self.edge.shutdown,
                || {
                    let put = self.edge.storage.put(&key, body.clone(), &meta);
                    self.edge.links.storage.watch(put)
                },
            );
            match put.await {
                Ok(_) => {
                    crash_point(steps::MANIFEST_VISIBLE);
                    let key = key.to_string();
                    let run = run.number;
                    self.edge
                        .journal
                        .append(Record::Manifested { run, key })
                        .await?;
                    crash_point(steps::MANIFEST_JOURNALED);
                    return Ok(());
                }
                Err(RetryError::Permanent(StorageError::Conflict { .. })) => {}
                Err(RetryError::Cancelled) => return Err(Halt::Draining),
                Err(RetryError::Permanent(error) | RetryError::Exhausted { last: error, .. }) => {
                    return Err(Self::manifest_failed(run, &error));
                }
            }
        }
        Ok(())
    }

    fn manifest_failed(run: &RunId, error: &StorageError) -> Halt {
        events::manifest_needs_help(run, error);
        Halt::Later(HELP_NEEDED)
    }

    /// Whether a file has been waited for as long as it may, since it was first waited
    /// for by this process: on a clock that cannot step.
    fn waits_too_long(&self, run: &RunId, name: &FileName) -> bool {
        let mut troubles = self.troubles();
        let trouble = troubles.entry((run.number, name.clone())).or_default();
        trouble.since.elapsed() >= self.missing_deadline
    }

    fn count_refusal(&self, run: &RunId, name: &FileName) -> u32 {
        let mut troubles = self.troubles();
        let trouble = troubles.entry((run.number, name.clone())).or_default();
        trouble.refusals += 1;
        trouble.refusals
    }

    async fn say_not_stored(&self, run: &RunId, name: &FileName, summary: String) {
        let subject = format!("{run} {name}");
        let condition = conditions::NOT_STORED;
        self.edge
            .condition(condition, &subject, Some(summary))
            .await;
    }

    /// The file is stored or quarantined: what was said of it before is over.
    async fn mended(&self, run: &RunId, name: &FileName) {
        self.troubles().remove(&(run.number, name.clone()));
        let subject = format!("{run} {name}");
        self.edge
            .condition(conditions::NOT_STORED, &subject, None)
            .await;
    }

    fn troubles(&self) -> MutexGuard<'_, HashMap<(RunNumber, FileName), Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            refusals: 0,
        }
    }
}

/// The trace that the run's way began with.
pub(crate) fn trace_of(active: &Active) -> Option<TraceParent> {
    let trace = active.closure.as_ref()?.trace.as_ref()?;
    trace.parse().ok()
}

fn object_meta(active: &Active) -> Result<ObjectMeta, StorageError> {
    let meta = ObjectMeta::new();
    Ok(match trace_of(active) {
        Some(trace) => meta.with(ObjectMeta::TRACE, &trace.to_string())?,
        None => meta,
    })
}

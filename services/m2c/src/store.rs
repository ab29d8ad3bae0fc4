//! From the buffer into object storage: a run file by file, each read once and held
//! against what the DAQ said of it before it becomes visible.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aquifer_digest::Digests;
use aquifer_runtime::crash::crash_point;
use aquifer_runtime::retry::{RetryError, retry};
use aquifer_runtime::trace::{TraceParent, span_with_parent};
use aquifer_schemas::{FileName, FileState, RunId, RunNumber};
use aquifer_storage::{ObjectMeta, SourceFile, StorageError, StoreOptions, StoredObject};
use bytes::Bytes;
use jiff::Timestamp;
use tracing::{Instrument, info_span};

use crate::dispatch::Outcome;
use crate::edge::Edge;
use crate::events;
use crate::journal::{Active, ExpectedFile, JournalError, Record, SecretSource, StoredFacts};
use crate::manifest::Manifest;
use crate::secrets;
use crate::side_file::LoggerChecksum;
use crate::steps;

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
    refusals: Mutex<HashMap<(RunNumber, FileName), u32>>,
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
            refusals: Mutex::new(HashMap::new()),
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
        if active.manifest.is_none() && active.stored().next().is_some() {
            self.manifest(run, &active).await?;
        }
        Ok(())
    }

    async fn file(&self, run: &RunId, active: &Active, file: &ExpectedFile) -> Result<(), Halt> {
        let logger = match self.logger_checksum(&file.name).await {
            Ok(logger) => logger,
            Err(reason) => {
                events::file_waits(run, &file.name, &reason);
                return Err(Halt::Later(LOOK_AGAIN));
            }
        };
        self.look_for_secrets(run, active, &file.name).await?;
        let stored = self
            .store_file(run, active, file, logger)
            .instrument(info_span!("store file", file = %file.name))
            .await;
        match stored {
            Ok(object) => self.file_stored(run, &file.name, &object).await,
            Err(RetryError::Cancelled) => Err(Halt::Draining),
            Err(RetryError::Permanent(error) | RetryError::Exhausted { last: error, .. }) => {
                self.file_not_stored(run, active, file, error).await
            }
        }
    }

    /// Remembers where secrets lie in a file before it is stored, so that nobody hears of
    /// the file without hearing of them.
    async fn look_for_secrets(
        &self,
        run: &RunId,
        active: &Active,
        name: &FileName,
    ) -> Result<(), Halt> {
        let source = SecretSource::File(name.clone());
        let (path, number) = (self.edge.rules.path(name), run.number);
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
        file: &ExpectedFile,
        logger: Option<LoggerChecksum>,
    ) -> Result<StoredObject, RetryError<StorageError>> {
        let key = self
            .edge
            .keys
            .file(run, &file.name)
            .map_err(|error| RetryError::Permanent(error.into()))?;
        let meta = object_meta(active).map_err(RetryError::Permanent)?;
        let path = self.edge.rules.path(&file.name);
        retry("store-file", &self.edge.retry, &self.edge.shutdown, || {
            let (key, meta, path) = (&key, &meta, path.clone());
            let (expected, logger) = (file.clone(), logger.clone());
            async move {
                let source = SourceFile::open(&path).await?;
                let options = StoreOptions {
                    verify: Some(Box::new(move |digests: &Digests| {
                        verify(digests, &expected, logger)
                    })),
                    step: crash_point,
                };
                self.edge
                    .storage
                    .store_file(&source, key, meta, options)
                    .await
            }
        })
        .await
    }

    /// What the logger wrote beside the file, if it did.
    async fn logger_checksum(&self, name: &FileName) -> Result<Option<LoggerChecksum>, String> {
        let Some(path) = self.edge.rules.side_file(name) else {
            return Ok(None);
        };
        match tokio::fs::read_to_string(&path).await {
            Ok(content) => LoggerChecksum::parse(&content)
                .map(Some)
                .map_err(|error| format!("side file `{}`: {error}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("side file `{}`: {error}", path.display())),
        }
    }

    async fn file_stored(
        &self,
        run: &RunId,
        name: &FileName,
        object: &StoredObject,
    ) -> Result<(), Halt> {
        crash_point(steps::FILE_VISIBLE);
        let facts = StoredFacts {
            identity: object.sealed.identity(),
            digests: object.sealed.digests(),
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
        self.forget_refusals(run.number, name);
        events::file_stored(run, name, object);
        Ok(())
    }

    async fn file_not_stored(
        &self,
        run: &RunId,
        active: &Active,
        file: &ExpectedFile,
        error: StorageError,
    ) -> Result<(), Halt> {
        let waited = active.closure.as_ref().map(|closure| {
            Timestamp::now()
                .duration_since(closure.learnt_at)
                .unsigned_abs()
        });
        let too_late = waited.is_some_and(|waited| waited >= self.missing_deadline);
        match error {
            StorageError::Conflict { .. } => Err(Halt::NumberReused),
            StorageError::SourceVanished { .. } if too_late => {
                let reason = format!("it was announced and is not in the buffer: {error}");
                self.quarantine(run, &file.name, FileState::Vanished, reason)
                    .await
            }
            StorageError::SourceVanished { .. } | StorageError::SourceChanged { .. } => {
                events::file_waits(run, &file.name, &error.to_string());
                Err(Halt::Later(LOOK_AGAIN))
            }
            StorageError::Refused { reason, .. } => {
                if self.count_refusal(run.number, &file.name) > REREADS {
                    self.quarantine(run, &file.name, FileState::Changed, reason)
                        .await
                } else {
                    events::file_waits(run, &file.name, &reason);
                    Err(Halt::Later(LOOK_AGAIN))
                }
            }
            StorageError::NotRegular { .. } | StorageError::Key(_) => {
                let reason = error.to_string();
                self.quarantine(run, &file.name, FileState::Changed, reason)
                    .await
            }
            other => {
                events::file_needs_help(run, &file.name, &other);
                Err(Halt::Later(HELP_NEEDED))
            }
        }
    }

    async fn quarantine(
        &self,
        run: &RunId,
        name: &FileName,
        state: FileState,
        reason: String,
    ) -> Result<(), Halt> {
        events::file_quarantined(run, name, state, &reason);
        self.edge
            .journal
            .append(Record::Quarantined {
                run: run.number,
                name: name.clone(),
                state,
                reason,
            })
            .await?;
        self.forget_refusals(run.number, name);
        Ok(())
    }

    /// Puts the manifest of the files that are newly stored. Where a manifest with
    /// other content stands already, this is a later one.
    async fn manifest(&self, run: &RunId, active: &Active) -> Result<(), Halt> {
        let Some(manifest) = Manifest::of(run, active) else {
            return Ok(());
        };
        let body = Bytes::from(manifest.to_bytes());
        let meta = object_meta(active).map_err(|error| Self::manifest_failed(run, &error))?;
        for n in 1.. {
            let key = self
                .edge
                .keys
                .manifest(run, n)
                .map_err(|error| Self::manifest_failed(run, &error.into()))?;
            let put = retry(
                "put-manifest",
                &self.edge.retry,
                &self.edge.shutdown,
                || self.edge.storage.put(&key, body.clone(), &meta),
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

    fn count_refusal(&self, run: RunNumber, name: &FileName) -> u32 {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let count = refusals.entry((run, name.clone())).or_insert(0);
        *count += 1;
        *count
    }

    fn forget_refusals(&self, run: RunNumber, name: &FileName) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.remove(&(run, name.clone()));
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

/// Holds the bytes that were read against everything that was said of them.
fn verify(
    digests: &Digests,
    expected: &ExpectedFile,
    logger: Option<LoggerChecksum>,
) -> Result<(), String> {
    if let Some(logger) = logger {
        logger.verify(digests)?;
    }
    if let Some(size) = expected.size.filter(|size| *size != digests.size) {
        return Err(format!(
            "{} bytes were read where the DAQ announced {size}",
            digests.size
        ));
    }
    match expected.crc32c {
        Some(crc32c) if crc32c != digests.crc32c => Err(format!(
            "crc32c {} was read where the DAQ announced {crc32c}",
            digests.crc32c
        )),
        _ => Ok(()),
    }
}

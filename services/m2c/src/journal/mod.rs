//! The ingester's memory at the edge: what was closed, sealed, stored and recorded,
//! on local disk, so that it starts and goes on for days without catalogue, bus or
//! storage and never does twice what was done.
//!
//! One thread owns the file. It gathers what waits, syncs it once, applies it to the
//! [`Ledger`] and only then answers: what a caller was told is on disk.

mod active;
mod ledger;
mod log;
mod purges;
mod record;
mod settled;
mod signals;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot};

pub(crate) use active::{Active, Progress};
pub(crate) use ledger::{GoingOn, Knowledge, Ledger, Lying};
pub(crate) use log::{LogError, Recovery};
pub(crate) use purges::{Purge, PurgeEnd, PurgePhase, PurgedFile};
pub(crate) use record::{
    BufferForm, Closure, Encoded, ExpectedFile, Instead, Opening, Record, SecretSource, StoredFacts,
};
pub(crate) use settled::KnownFile;

use log::Log;

/// Appends that may wait for the next sync.
const QUEUE: usize = 1024;

/// Records synced at once.
const BATCH: usize = 256;

/// A journal is rewritten when it is this long and mostly history.
const REWRITE_ABOVE_BYTES: u64 = 16 << 20;

/// An append that did not reach the disk.
#[derive(Debug, Error, Clone)]
pub(crate) enum JournalError {
    /// The disk said no; nothing of the append counts.
    #[error("{0}")]
    Disk(Arc<LogError>),
    /// The journal's thread is gone: the process is ending.
    #[error("the journal is closed")]
    Closed,
}

/// Runs of which a rewrite holds the records at once.
const PIECE: usize = 256;

#[cfg(test)]
#[path = "memory_tests.rs"]
mod memory_tests;

struct Append {
    record: Record,
    done: oneshot::Sender<Result<(), JournalError>>,
}

/// Handle to the journal; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    appends: mpsc::Sender<Append>,
    ledger: Arc<Mutex<Ledger>>,
    changed: Arc<Notify>,
}

impl Journal {
    /// Opens the journal in `folder`, rebuilds the ledger and starts its thread. The
    /// thread ends when the last handle is dropped.
    #[cfg(test)]
    pub(crate) fn open(folder: &Path) -> Result<(Self, Recovery), LogError> {
        Self::open_with(folder, Ledger::default())
    }

    /// The same with an empty ledger that is to be filled.
    pub(crate) fn open_with(
        folder: &Path,
        mut ledger: Ledger,
    ) -> Result<(Self, Recovery), LogError> {
        let (log, recovery) = Log::open(folder, &mut |record| ledger.apply(record))?;
        let ledger = Arc::new(Mutex::new(ledger));
        let changed = Arc::new(Notify::new());
        let (appends, queue) = mpsc::channel(QUEUE);
        let writer = Writer {
            log,
            ledger: Arc::clone(&ledger),
            changed: Arc::clone(&changed),
            rewrite_above: REWRITE_ABOVE_BYTES,
        };
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|source| LogError::Io {
                path: folder.to_owned(),
                action: "start thread",
                source,
            })?;
        let journal = Self {
            appends,
            ledger,
            changed,
        };
        Ok((journal, recovery))
    }

    /// Makes `record` true: returns when it is on disk and in the ledger.
    pub(crate) async fn append(&self, record: Record) -> Result<(), JournalError> {
        let (done, answer) = oneshot::channel();
        self.appends
            .send(Append { record, done })
            .await
            .map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }

    /// The state of every run. Hold it briefly: the journal waits.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whenever the ledger has changed.
    pub(crate) fn changed(&self) -> &Notify {
        &self.changed
    }
}

struct Writer {
    log: Log,
    ledger: Arc<Mutex<Ledger>>,
    changed: Arc<Notify>,
    rewrite_above: u64,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Append>) {
        let mut waiting = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut waiting, BATCH) > 0 {
            let (records, answers): (Vec<_>, Vec<_>) = waiting
                .drain(..)
                .map(|append| (append.record, append.done))
                .unzip();
            let outcome = self
                .log
                .append(&records)
                .map_err(|error| JournalError::Disk(Arc::new(error)));
            if outcome.is_ok() {
                let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                for record in records {
                    ledger.apply(record);
                }
            }
            self.changed.notify_waiters();
            for answer in answers {
                // A caller that has gone away does not change what is on disk.
                let _ = answer.send(outcome.clone());
            }
            self.rewrite_if_long();
        }
    }

    /// Drops history when the journal is long: in the steady state its length
    /// follows the number of files in the buffer.
    fn rewrite_if_long(&mut self) {
        if self.log.length() < self.rewrite_above {
            return;
        }
        // Nobody else changes the ledger, so that it may be read piece by piece.
        let ledger = &self.ledger;
        let mut next = Some(None);
        let pieces = std::iter::from_fn(|| {
            let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            let piece = ledger.compact(next?, PIECE);
            next = piece.last.map(Some);
            Some(piece.records)
        });
        if let Err(error) = self.log.rewrite(pieces.flatten()) {
            tracing::warn!(%error, "the journal could not be rewritten and grows on");
        }
        self.rewrite_above = (self.log.length() * 3).max(REWRITE_ABOVE_BYTES);
    }
}

/// The record of a file that was stored as it lies at `path`.
#[cfg(test)]
pub(crate) fn stored_for_test(run: aquifer_schemas::RunNumber, path: &Path) -> Record {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap();
    Record::Stored {
        run,
        name: name.parse().unwrap(),
        facts: StoredFacts {
            identity: aquifer_digest::FileIdentity::from(&metadata),
            digests: aquifer_digest::Digests::EMPTY,
            element: "S3".to_owned(),
            bucket: "none".to_owned(),
            key: "none".to_owned(),
            evidence: aquifer_schemas::EvidenceLevel::E2,
            evidence_method: "test".to_owned(),
            disk: None,
            encoded: None,
            stored_at: jiff::Timestamp::now(),
        },
    }
}

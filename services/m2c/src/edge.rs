//! What every part of the ingester shares: its site and buffer, its journal, and the
//! two places in the middle to which it brings the runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aquifer_catalogue::Catalogue;
use aquifer_profile::Classifier;
use aquifer_runtime::retry::RetryPolicy;
use aquifer_schemas::{RunId, RunNumber, RunVersion, Site};
use aquifer_storage::{KeyError, ObjectKey, StorageElement};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::daq::DaqLog;
use crate::dispatch::Outcome;
use crate::events;
use crate::examiner::Examiner;
use crate::journal::{Journal, Record};
use crate::keys::Keys;
use crate::links::Links;
use crate::pace::Pacer;
use crate::rules::BufferRules;
use crate::signals::Signals;
use crate::spool::Spool;
use crate::status::Seen;
use crate::stream::Streams;

/// Pause before something that could not be remembered is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Shared by the scan, the intake, the storing and the recording.
#[derive(Clone)]
pub(crate) struct Edge {
    /// Where the DAQ lives.
    pub site: Site,
    /// Name of the buffer among the storage elements.
    pub buffer_element: String,
    /// Which files belong to runs and when they are closed.
    pub rules: BufferRules,
    /// Which attributes and types runs have.
    pub classifier: Arc<Classifier>,
    /// Whether the buffer could be listed when it was last tried.
    pub buffer_seen: BufferSeen,
    /// Reads files beside the scan.
    pub examiner: Examiner,
    /// The local memory.
    pub journal: Journal,
    /// Where the runs' rows go.
    pub catalogue: Catalogue,
    /// Where the files go.
    pub storage: Arc<dyn StorageElement>,
    /// Names of the objects.
    pub keys: Keys,
    /// Words for people.
    pub signals: Signals,
    /// Files that are uploaded while they grow.
    pub streams: Arc<Streams>,
    /// Woken when somebody announces an order to free the buffer.
    pub purge_hint: Arc<Notify>,
    /// How storage and catalogue are retried.
    pub retry: RetryPolicy,
    /// Cancelled when the process drains.
    pub shutdown: CancellationToken,
    /// How the ways to the middle are.
    pub links: Links,
    /// How fast files may be sent.
    pub pacer: Pacer,
    /// What waits for the bus beside the runs.
    pub spool: Spool,
    /// What was last seen of buffer and disk.
    pub seen: Seen,
    /// Whether this is a rehearsal: nobody is told anything.
    pub shadow: bool,
    /// Where the DAQ's people are told.
    pub daq: DaqLog,
}

/// Whether the buffer is there. Until it was looked at it is not.
#[derive(Debug, Clone, Default)]
pub(crate) struct BufferSeen(Arc<AtomicBool>);

impl BufferSeen {
    /// It could be listed, or not.
    pub(crate) fn set(&self, seen: bool) {
        self.0.store(seen, Ordering::Relaxed);
    }

    /// Whether it could be listed when it was last tried.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Edge {
    /// A run of this site.
    pub(crate) fn run_id(&self, number: RunNumber, version: RunVersion) -> RunId {
        RunId {
            site: self.site.clone(),
            number,
            version,
        }
    }

    /// The key under which this ingester writes. Where the storage does not keep two
    /// writers of one key apart, it ends in the journal's generation: an ingester that
    /// was replaced and does not know it writes beside its successor's objects.
    pub(crate) fn own_key(&self, key: ObjectKey) -> Result<ObjectKey, KeyError> {
        let capabilities = self.storage.capabilities();
        let kept_apart = capabilities.is_none_or(|known| known.conditional_put);
        match self.journal.ledger().generation() {
            Some(generation) if !kept_apart => key.with_generation(generation),
            _ => Ok(key),
        }
    }

    /// Storage or catalogue hold other data under this run's name: the DAQ has used the
    /// number before, and these data become the next version.
    pub(crate) async fn next_version(&self, run: &RunId) -> Outcome {
        events::number_reused(run);
        let next = Record::Reversioned {
            run: run.number,
            version: run.version + 1,
        };
        match self.journal.append(next).await {
            Ok(()) => {
                self.seen.let_go_of_run(run);
                Outcome::Done
            }
            Err(error) => {
                events::journal_failed(&error);
                Outcome::Later(LOOK_AGAIN)
            }
        }
    }
}

//! Runs are uploaded while the DAQ writes them, so that they are complete in object
//! storage within seconds of their end, however large they are.
//!
//! A follower reads each open file as it grows and sends what it reads in parts; the
//! store takes over when the file is closed, sends the rest, and completes the upload
//! only when the whole is what the DAQ says that it wrote. Every step is in the journal:
//! after a crash the upload goes on where it was. What was sent of a file that was
//! rewritten under the reader is dropped, and the file is begun again.

mod config;
mod encode;
mod finish;
mod follow;
mod holds;
mod parts;
mod session;
mod state;
mod tail;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aquifer_schemas::{FileName, RunId, RunNumber};
use aquifer_storage::StorageError;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::journal::JournalError;

pub use config::{StreamConfig, StreamEncoding};
pub(crate) use finish::finish;
pub(crate) use follow::follow_forever;
pub(crate) use session::abandon;
pub(crate) use state::{SentPart, Start, Stream};

pub(crate) use encode::Encoder;
#[cfg(test)]
pub(crate) use tail::Inode;
pub(crate) use tail::Tail;

use holds::{Hold, Holds};
use tail::TailError;

/// Why an upload does not go on.
#[derive(Debug, Error)]
pub(crate) enum StreamError {
    /// The process drains.
    #[error("the process drains")]
    Draining,
    /// The file is not there, or not the one that it was.
    #[error(transparent)]
    Tail(#[from] TailError),
    /// The storage, or what it should hold.
    #[error(transparent)]
    Storage(StorageError),
    /// Nothing can be remembered.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// More bytes than an upload holds.
    #[error("the file needs more parts than an upload has")]
    TooManyParts,
    /// Work on another thread broke off.
    #[error("work on the file broke off: {0}")]
    Work(String),
}

impl From<StorageError> for StreamError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// A file of the buffer that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenFile {
    /// The run.
    pub run: RunId,
    /// Its name.
    pub name: FileName,
    /// Its size at the last scan.
    pub size: u64,
}

/// What all uploads share.
#[derive(Debug)]
pub(crate) struct Streams {
    /// `[m2c.stream]`.
    pub config: StreamConfig,
    /// How objects are made.
    pub encoder: Encoder,
    holds: Arc<Holds>,
    lanes: Arc<Semaphore>,
    open: watch::Sender<Arc<[OpenFile]>>,
}

impl Streams {
    /// Uploads as configured, or what is wrong with the configuration.
    pub(crate) fn new(config: StreamConfig) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {
            encoder: config.encoder()?,
            holds: Arc::default(),
            lanes: Arc::new(Semaphore::new(config.parts_in_flight)),
            open: watch::Sender::new(Arc::from([])),
            config,
        }))
    }

    /// The files that are open, and when others are.
    pub(crate) fn open_files(&self) -> watch::Receiver<Arc<[OpenFile]>> {
        self.open.subscribe()
    }

    /// Says which files are open, after each scan.
    pub(crate) fn saw_open(&self, files: Vec<OpenFile>) {
        self.open.send_if_modified(|known| {
            let news = **known != *files;
            if news {
                *known = files.into();
            }
            news
        });
    }

    /// The right to work on a closed file: its follower lets go first.
    pub(crate) async fn take(&self, run: RunNumber, name: &FileName) -> Hold {
        self.holds.take(run, name).await
    }

    /// Whether a file of this name and size is compressed on its way.
    pub(crate) fn encodes(&self, name: &FileName, size: u64) -> bool {
        // An upload has at least one part, and an empty file none.
        let large = size > 0 && size >= self.config.min_size();
        self.encoder.compresses() && large && !session::is_compressed(name)
    }

    /// Waits for the right to hold one more part in memory.
    async fn lane(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.lanes)
            .acquire_owned()
            .await
            .expect("nobody closes this semaphore")
    }

    fn poll(&self) -> Duration {
        Duration::from_millis(self.config.poll_ms)
    }
}

/// Runs file work where it may block.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TailError> + Send + 'static,
) -> impl Future<Output = Result<T, StreamError>> {
    let task = tokio::task::spawn_blocking(work);
    async move { Ok(task.await.map_err(io::Error::other)??) }
}

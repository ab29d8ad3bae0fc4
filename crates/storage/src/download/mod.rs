//! From an object to a local file: in ranges, several at a time, resumable, proven.
//!
//! The bytes gather in a hidden file beside the target, and a table beside it says which
//! ranges came, so that a download that was broken off goes on where it was. The target
//! gets its name only once all its bytes were read from the disk again and have the size
//! and the checksum that were asked for. What is fetched and where it goes is left to
//! the caller, and so is how much space there is.

mod partial;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aquifer_digest::{Crc64Nvme, Digests};
use aquifer_runtime::retry::{Classify, ErrorClass, RetryPolicy, retry};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::partial::{Header, Partial, local};
use crate::element::StorageElement;
use crate::error::StorageError;
use crate::key::ObjectKey;

/// Bytes that gather before they are written.
const WRITE: usize = 1 << 20;

/// The object that is to be fetched, as the catalogue knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its key.
    pub key: ObjectKey,
    /// Its size in bytes.
    pub size: u64,
    /// CRC-64/NVME of its bytes.
    pub crc64nvme: Crc64Nvme,
}

/// How objects are fetched.
#[derive(Debug, Clone)]
pub struct DownloadOptions {
    /// Bytes of one request; at least 1.
    pub range_size: u64,
    /// Requests of one download at a time; at least 1.
    pub at_once: usize,
    /// Requests at a time of all downloads that share it.
    pub requests: Arc<Semaphore>,
    /// How often and how patiently a request is made again. An outage counts as any
    /// other failure here: what came stays, and the same call goes on with it later.
    pub retry: RetryPolicy,
    /// Bytes that are there, of all downloads that share it: for those who watch.
    pub arrived: Arc<AtomicU64>,
    /// Ends requests that are made again.
    pub shutdown: CancellationToken,
}

impl DownloadOptions {
    /// Eight MiB a request, so many at a time, and half a minute of patience.
    pub fn with_requests(requests: usize) -> Self {
        Self {
            range_size: 8 << 20,
            at_once: requests.max(1),
            requests: Arc::new(Semaphore::new(requests.max(1))),
            retry: RetryPolicy {
                min_delay: Duration::from_millis(200),
                max_delay: Duration::from_secs(8),
                max_attempts: 9,
            },
            arrived: Arc::default(),
            shutdown: CancellationToken::new(),
        }
    }
}

/// Why an object is not a local file.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// The element did not give it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The object is not what was asked for; nothing of it was kept.
    #[error(
        "`{}` came with {} bytes, crc64nvme {}, and should have {}, {}",
        wanted.key, found.size, found.crc64nvme, wanted.size, wanted.crc64nvme
    )]
    Differs {
        /// What was asked for.
        wanted: Wanted,
        /// What came.
        found: Digests,
    },
    /// The local disk did not take it.
    #[error("{path}: {source}", path = path.display())]
    Local {
        /// What was written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else fetches the same file to the same place.
    #[error("{target}: another process fetches it", target = target.display())]
    Busy {
        /// The file.
        target: PathBuf,
    },
    /// The caller gave up.
    #[error("broken off")]
    Cancelled,
}

/// Bytes of an object on the local disk that were found to be the right ones. Only a
/// download makes one. Dropped, it stays for the next download of the object.
#[derive(Debug)]
pub struct Proven {
    partial: Partial,
    digests: Digests,
}

impl Proven {
    /// The digests of the bytes.
    pub fn digests(&self) -> Digests {
        self.digests
    }

    /// Where the bytes lie for now.
    pub fn path(&self) -> &Path {
        self.partial.path()
    }

    /// Gives the bytes their name, in the folder where they lie, replacing what has it.
    /// Blocking.
    pub fn keep_as(self, target: &Path) -> Result<(), DownloadError> {
        self.partial.rename(target)
    }

    /// Drops the bytes, which were wanted only on the way. Blocking.
    pub fn discard(self) -> Result<(), DownloadError> {
        self.partial.discard()
    }
}

/// Brings the bytes of an object beside `target`, or those that are not there yet.
pub async fn download(
    element: &dyn StorageElement,
    wanted: &Wanted,
    target: &Path,
    options: &DownloadOptions,
) -> Result<Proven, DownloadError> {
    let header = Header {
        wanted: wanted.clone(),
        range_size: options.range_size.max(1),
    };
    let path = target.to_owned();
    let partial = blocking(target, move || Partial::open(&path, header)).await?;
    let partial = Arc::new(partial);
    let mut resumed = partial.size_so_far();
    loop {
        options.arrived.fetch_add(resumed, Ordering::Relaxed);
        let missing = stream::iter(partial.missing());
        let fetch = |range| fetch(element, &partial, range, options);
        let fetched = missing.map(fetch).buffer_unordered(options.at_once.max(1));
        fetched.try_collect::<()>().await?;
        let look = Arc::clone(&partial);
        let found = blocking(target, move || look.digest()).await?;
        if (found.size, found.crc64nvme) == (wanted.size, wanted.crc64nvme) {
            let partial = Arc::into_inner(partial)
                .expect("whoever shared it has ended: all ranges came and were digested");
            let digests = found;
            return Ok(Proven { partial, digests });
        }
        options.arrived.fetch_sub(wanted.size, Ordering::Relaxed);
        let stale = Arc::clone(&partial);
        blocking(target, move || stale.begin_anew()).await?;
        // What an earlier download left may be what is wrong.
        if resumed == 0 {
            let partial = Arc::into_inner(partial).expect("nobody else has it any more");
            blocking(target, move || partial.discard()).await?;
            let wanted = wanted.clone();
            return Err(DownloadError::Differs { wanted, found });
        }
        resumed = 0;
    }
}

/// Brings one range, in as many requests as it takes: each goes on where the one before
/// ended.
async fn fetch(
    element: &dyn StorageElement,
    partial: &Arc<Partial>,
    range: u64,
    options: &DownloadOptions,
) -> Result<(), DownloadError> {
    let (begin, end) = partial.header.span(range);
    let at = AtomicU64::new(begin);
    let came = retry(
        "download-range",
        &options.retry,
        &options.shutdown,
        || async {
            let permit = options.requests.acquire().await;
            let came = some(element, partial, (&at, end), &options.arrived).await;
            drop(permit);
            came.map_err(Impatient)
        },
    );
    match came.await {
        Ok(()) => {}
        Err(given_up) => {
            // It is fetched from its begin the next time.
            let in_vain = at.load(Ordering::Relaxed) - begin;
            options.arrived.fetch_sub(in_vain, Ordering::Relaxed);
            let error = given_up.into_last();
            return Err(error.map_or(DownloadError::Cancelled, |error| error.0));
        }
    }
    let partial = Arc::clone(partial);
    let path = partial.path().to_owned();
    blocking(&path, move || partial.note(range)).await
}

/// Brings bytes from `at` to `end`, and says by `at` how far it came.
async fn some(
    element: &dyn StorageElement,
    partial: &Arc<Partial>,
    (at, end): (&AtomicU64, u64),
    arrived: &AtomicU64,
) -> Result<(), DownloadError> {
    let key = &partial.header.wanted.key;
    let begin = at.load(Ordering::Relaxed);
    let mut chunks = element.get(key, Some(begin..end)).await?;
    let mut gathered = BytesMut::with_capacity(WRITE);
    let mut next = begin;
    loop {
        let chunk = chunks.try_next().await?;
        let is_last = chunk.is_none();
        gathered.extend_from_slice(&chunk.unwrap_or_default());
        if next + gathered.len() as u64 > end {
            return Err(odd(key, format!("more bytes came than {begin} to {end}")));
        }
        if gathered.len() >= WRITE || (is_last && !gathered.is_empty()) {
            let bytes = gathered.split().freeze();
            let count = bytes.len() as u64;
            write(partial, next, bytes).await?;
            next += count;
            at.store(next, Ordering::Relaxed);
            arrived.fetch_add(count, Ordering::Relaxed);
        }
        if is_last && next < end {
            return Err(odd(key, format!("it broke off at byte {next} of {end}")));
        }
        if is_last {
            return Ok(());
        }
    }
}

fn odd(key: &ObjectKey, detail: String) -> DownloadError {
    DownloadError::Storage(StorageError::Damaged {
        operation: "read",
        subject: key.to_string(),
        detail,
    })
}

async fn write(partial: &Arc<Partial>, offset: u64, bytes: Bytes) -> Result<(), DownloadError> {
    let partial = Arc::clone(partial);
    let path = partial.path().to_owned();
    blocking(&path, move || partial.write(offset, &bytes)).await
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, DownloadError> + Send + 'static,
) -> Result<T, DownloadError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(local(path)(io::Error::other(error))))
}

/// An error of somebody who waits for the file: not even an outage is waited out for
/// ever, and what only a person can mend is said at once.
#[derive(Debug)]
struct Impatient(DownloadError);

impl fmt::Display for Impatient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Classify for Impatient {
    fn class(&self) -> ErrorClass {
        match &self.0 {
            DownloadError::Storage(
                StorageError::Denied { .. } | StorageError::NoLocation { .. },
            ) => ErrorClass::Permanent,
            DownloadError::Storage(error) if error.class() != ErrorClass::Permanent => {
                ErrorClass::Transient
            }
            _ => ErrorClass::Permanent,
        }
    }
}

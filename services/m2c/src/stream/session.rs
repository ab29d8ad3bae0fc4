//! One upload: pieces of the file are read, encoded and sent at the same time, and
//! journaled in order.
//!
//! A session begins from what the journal and the storage know, and leaves everything it
//! knows there: it may be dropped at any moment and another goes on. What was read is
//! bounded; slow storage slows reading. It never completes an upload: see `finish`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use aquifer_runtime::crash::crash_point;
use aquifer_runtime::retry::{RetryError, retry};
use aquifer_schemas::{Encoding, FileName, RunId};
use aquifer_storage::{ObjectKey, ObjectMeta, Pace, StorageError, UnfinishedUpload};
use futures::stream::{FuturesOrdered, StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use super::encode::{Encoder, Member};
use super::parts::{Gatherer, MOST_PARTS, Part, least_part};
use super::state::{SentPart, Start, Stream};
use super::tail::{Tail, TailError};
use super::{StreamError, blocking};
use crate::begin_of_run::started_at;
use crate::edge::Edge;
use crate::events;
use crate::journal::Record;
use crate::steps;

/// Parts of one file on their way at a time.
const SENDS: usize = 2;

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StreamError>> + Send>>;

/// What is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Whole pieces of a file that grows.
    Growing,
    /// All of a closed file of so many bytes.
    Closed(u64),
}

/// An upload that this process works on.
pub(crate) struct Session {
    edge: Edge,
    run: RunId,
    name: FileName,
    tail: Arc<Tail>,
    stream: Stream,
    /// As much of the link as the upload may take.
    pace: Pace,
}

impl Session {
    /// Goes on with the file's upload as the journal has it, or begins one.
    pub(crate) async fn open(
        edge: &Edge,
        run: &RunId,
        name: &FileName,
        extent: Extent,
        meta: &ObjectMeta,
    ) -> Result<Self, StreamError> {
        let path = edge.rules.path(name);
        let tail = Arc::new(blocking(move || Tail::open(&path)).await?);
        let session = |stream| Self {
            edge: edge.clone(),
            run: run.clone(),
            name: name.clone(),
            tail: Arc::clone(&tail),
            stream,
            pace: edge.pacer.flow(),
        };
        if let Some(stream) = stream_of(edge, run, name) {
            let mut known = session(stream);
            match known.reconcile(extent).await? {
                None => return Ok(known),
                Some(reason) => known.abort(&reason).await?,
            }
        }
        let start = Self::begin(edge, run, name, &tail, extent, meta).await?;
        Ok(session(Stream::new(start)))
    }

    /// Goes back to what the storage has of the journal's parts; says why the upload is
    /// of no use any more if that is so.
    async fn reconcile(&mut self, extent: Extent) -> Result<Option<String>, StreamError> {
        let key = object_key(&self.edge, &self.run, &self.name, self.stream.start.encoder)?;
        if key != self.stream.start.upload.key {
            return Ok(Some("the run has another version now".to_owned()));
        }
        if self.stream.start.inode != self.tail.inode() {
            return Ok(Some("another file took its place".to_owned()));
        }
        let tail = Arc::clone(&self.tail);
        let size = blocking(move || tail.look()).await?.size;
        let sent = self.stream.sent();
        if sent > size {
            return Ok(Some(format!("it shrank from {sent} to {size} bytes")));
        }
        let upload = &self.stream.start.upload;
        let listed = self
            .retrying("list-parts", || self.edge.storage.list_parts(upload))
            .await?;
        match listed {
            Some(parts) => self.stream.resume(&parts),
            // Perhaps completed, with only the journal not knowing it.
            None if extent == Extent::Closed(sent) => {}
            None => return Ok(Some("the storage has dropped its parts".to_owned())),
        }
        let parts = self.stream.parts().len();
        events::stream_resumed(&self.run, &self.name, parts, self.stream.sent());
        Ok(None)
    }

    async fn begin(
        edge: &Edge,
        run: &RunId,
        name: &FileName,
        tail: &Arc<Tail>,
        extent: Extent,
        meta: &ObjectMeta,
    ) -> Result<Start, StreamError> {
        let config = &edge.streams.config;
        let encoder = edge.streams.encoder;
        let key = object_key(edge, run, name, encoder)?;
        drop_leftovers(edge, &key).await?;
        let upload = retry("begin-upload", &edge.retry, &edge.shutdown, || {
            edge.storage.begin_upload(&key, meta)
        })
        .await?;
        crash_point(steps::STREAM_BEGUN);
        let size = match extent {
            Extent::Growing => None,
            Extent::Closed(size) => Some(size),
        };
        let (path, number, midas) = (tail.path().to_owned(), run.number, edge.rules.midas);
        let begin = move || Ok::<_, TailError>(midas.then(|| started_at(&path, number)).flatten());
        let run_started_at = blocking(begin).await?;
        let start = Start {
            upload,
            encoder,
            member_size: config.member_size() as u64,
            least_part: least_part(edge.storage.least_part_size(), size),
            inode: tail.inode(),
            while_open: extent == Extent::Growing,
            run_started_at,
        };
        edge.journal
            .append(Record::Streaming {
                run: run.number,
                name: name.clone(),
                start: start.clone(),
            })
            .await?;
        crash_point(steps::STREAM_JOURNALED);
        edge.hear_begin(run.number, name).await?;
        events::stream_begun(run, name, extent == Extent::Growing);
        Ok(start)
    }

    /// The file.
    pub(crate) fn tail(&self) -> &Arc<Tail> {
        &self.tail
    }

    /// How far it has come.
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Uploads all of `extent`; of a growing file what there is, until `stop`. What was
    /// begun is ended first.
    pub(crate) async fn advance(
        &mut self,
        extent: Extent,
        stop: &CancellationToken,
    ) -> Result<(), StreamError> {
        let start = self.stream.start.clone();
        let lanes = self.edge.streams.config.parts_in_flight;
        let mut next = self.stream.sent();
        let mut gatherer = Gatherer::at(self.stream.next_number(), next, start.least_part);
        let mut members: FuturesOrdered<Pending<Member>> = FuturesOrdered::new();
        let mut sends: FuturesOrdered<Pending<SentPart>> = FuturesOrdered::new();
        loop {
            let going = !stop.is_cancelled();
            if going && gatherer.complete() >= MOST_PARTS {
                return Err(StreamError::TooManyParts);
            }
            let end = match extent {
                Extent::Closed(size) => size,
                Extent::Growing => self.whole_pieces(start.member_size).await?,
            };
            while going && next < end && members.len() < lanes && sends.len() < SENDS {
                let size = (end - next).min(start.member_size);
                members.push_back(self.member(next, size as usize));
                next += size;
            }
            if members.is_empty() && going && extent == Extent::Closed(next) {
                sends.extend(gatherer.finish().map(|part| self.send(part)));
            }
            let idle = members.is_empty() && sends.is_empty();
            if idle && (!going || extent == Extent::Closed(next)) {
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(sent) = sends.next(), if !sends.is_empty() => self.sent(sent?).await?,
                Some(member) = members.next(), if !members.is_empty() => {
                    sends.extend(gatherer.push(member?).map(|part| self.send(part)));
                }
                () = tokio::time::sleep(self.edge.streams.poll()), if going => {}
                () = stop.cancelled(), if going => {}
            }
        }
    }

    /// How many bytes of the growing file are whole pieces.
    async fn whole_pieces(&self, member_size: u64) -> Result<u64, StreamError> {
        let tail = Arc::clone(&self.tail);
        let size = blocking(move || tail.look()).await?.size;
        Ok(size - size % member_size)
    }

    /// Reads and encodes one piece.
    fn member(&self, offset: u64, size: usize) -> Pending<Member> {
        let (tail, streams) = (Arc::clone(&self.tail), Arc::clone(&self.edge.streams));
        let encoder = self.stream.start.encoder;
        Box::pin(async move {
            let _lane = streams.lane().await;
            let work = blocking(move || {
                let (bytes, input) = tail.read(offset, size)?;
                let path = tail.path().to_owned();
                encoder
                    .member(input, bytes)
                    .map_err(|source| TailError::Unreadable {
                        path,
                        offset,
                        source,
                    })
            });
            work.await
        })
    }

    fn send(&self, part: Part) -> Pending<SentPart> {
        let edge = self.edge.clone();
        let upload = self.stream.start.upload.clone();
        let pace = Arc::clone(&self.pace);
        Box::pin(async move {
            let _lane = edge.streams.lane().await;
            pace(part.body.len() as u64).await;
            let sent = retry("send-part", &edge.retry, &edge.shutdown, || {
                let body = part.body.clone();
                edge.storage
                    .upload_part(&upload, part.number, body, &part.output)
            });
            let receipt = sent.await?;
            Ok(SentPart {
                receipt,
                offset: part.offset,
                input: part.input,
                output: part.output,
            })
        })
    }

    async fn sent(&mut self, part: SentPart) -> Result<(), StreamError> {
        crash_point(steps::PART_SENT);
        self.edge
            .journal
            .append(Record::Part {
                run: self.run.number,
                name: self.name.clone(),
                part: part.clone(),
            })
            .await?;
        crash_point(steps::PART_JOURNALED);
        events::part_sent(&self.run, &self.name, &part);
        self.stream.add(part);
        Ok(())
    }

    /// Drops the upload and forgets it.
    pub(crate) async fn abort(&self, reason: &str) -> Result<(), StreamError> {
        abort(&self.edge, &self.run, &self.name, &self.stream, reason).await
    }

    async fn retrying<T, Fut>(
        &self,
        operation: &'static str,
        attempt: impl FnMut() -> Fut,
    ) -> Result<T, StreamError>
    where
        Fut: Future<Output = Result<T, StorageError>>,
    {
        let (policy, shutdown) = (&self.edge.retry, &self.edge.shutdown);
        Ok(retry(operation, policy, shutdown, attempt).await?)
    }
}

/// The file's upload as the journal has it.
pub(crate) fn stream_of(edge: &Edge, run: &RunId, name: &FileName) -> Option<Stream> {
    let ledger = edge.journal.ledger();
    ledger.active(run.number)?.streams.get(name).cloned()
}

/// Drops the upload of a file, if it has one.
pub(crate) async fn abandon(
    edge: &Edge,
    run: &RunId,
    name: &FileName,
    reason: &str,
) -> Result<(), StreamError> {
    match stream_of(edge, run, name) {
        Some(stream) => abort(edge, run, name, &stream, reason).await,
        None => Ok(()),
    }
}

async fn abort(
    edge: &Edge,
    run: &RunId,
    name: &FileName,
    stream: &Stream,
    reason: &str,
) -> Result<(), StreamError> {
    let upload = UnfinishedUpload::from(&stream.start.upload);
    retry("abort-upload", &edge.retry, &edge.shutdown, || {
        edge.storage.abort_unfinished(&upload)
    })
    .await?;
    crash_point(steps::STREAM_DROPPED);
    edge.journal
        .append(Record::StreamAborted {
            run: run.number,
            name: name.clone(),
            reason: reason.to_owned(),
        })
        .await?;
    events::stream_aborted(run, name, reason, stream.sent());
    Ok(())
}

/// Drops what an ingester left behind that died between beginning an upload and
/// journaling it. The key says run and file, and a buffer has one ingester.
async fn drop_leftovers(edge: &Edge, key: &ObjectKey) -> Result<(), StreamError> {
    let left = retry("list-unfinished", &edge.retry, &edge.shutdown, || {
        edge.storage.list_unfinished(key.as_str()).try_concat()
    })
    .await?;
    for upload in left.iter().filter(|upload| upload.key == key.as_str()) {
        retry("abort-upload", &edge.retry, &edge.shutdown, || {
            edge.storage.abort_unfinished(upload)
        })
        .await?;
    }
    Ok(())
}

/// Key of the object that `encoder` makes of a file.
pub(crate) fn object_key(
    edge: &Edge,
    run: &RunId,
    name: &FileName,
    encoder: Encoder,
) -> Result<ObjectKey, StreamError> {
    let plain = edge.keys.file(run, name).map_err(StorageError::from)?;
    let key = format!("{plain}{}", encoder.suffix());
    let key = key.parse().and_then(|key| edge.own_key(key));
    Ok(key.map_err(StorageError::from)?)
}

/// Whether a file's bytes are compressed already, by its name.
pub(crate) fn is_compressed(name: &FileName) -> bool {
    let name = name.as_str();
    Encoding::split(name).1 != Encoding::Identity
}

impl From<RetryError<StorageError>> for StreamError {
    fn from(error: RetryError<StorageError>) -> Self {
        match error {
            RetryError::Cancelled => Self::Draining,
            RetryError::Permanent(error) | RetryError::Exhausted { last: error, .. } => {
                Self::Storage(error)
            }
        }
    }
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        Self::Work(error.to_string())
    }
}

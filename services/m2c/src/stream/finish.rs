//! A closed file is completed: the rest is sent, the whole is held against what the DAQ
//! said, and only then the object becomes visible.
//!
//! Where nobody says what the file's checksum is, and bytes of it were read while it was
//! open, the disk is read once more: the object must hold what the file holds now.

use std::sync::Arc;

use aquifer_digest::{Digests, FileIdentity, Seal, SealedFile};
use aquifer_runtime::crash::crash_point;
use aquifer_runtime::retry::retry;
use aquifer_schemas::{Encoding, EvidenceLevel, FileName, RunId};
use aquifer_storage::{
    Found, ObjectKey, ObjectMeta, PutOutcome, StorageError, StoredObject, Verify,
};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use super::encode::Decoder;
use super::session::{Extent, Session, object_key, stream_of};
use super::tail::Tail;
use super::{StreamError, blocking};
use crate::edge::Edge;
use crate::journal::Encoded;
use crate::steps;

/// A file that stands in the storage.
pub(crate) struct Finished {
    /// The file and its object.
    pub object: StoredObject,
    /// How the object was made, where it is not the file's bytes.
    pub encoded: Option<Encoded>,
}

/// Completes a closed file. `vouched` says that `verify` compares a checksum that the
/// DAQ made while it wrote.
pub(crate) async fn finish(
    edge: &Edge,
    run: &RunId,
    name: &FileName,
    meta: &ObjectMeta,
    verify: Verify,
    vouched: bool,
) -> Result<Finished, StreamError> {
    let path = edge.rules.path(name);
    let tail = Arc::new(blocking(move || Tail::open(&path)).await?);
    let looked = Arc::clone(&tail);
    let before = blocking(move || looked.look()).await?;
    if stream_of(edge, run, name).is_none() {
        let key = object_key(edge, run, name, edge.streams.encoder)?;
        let head = retry("head-object", &edge.retry, &edge.shutdown, || {
            edge.storage.head(&key)
        });
        if head.await?.is_some() {
            let digests = blocking(move || tail.digest(before.size)).await?;
            let sealed = seal(edge, name, before, digests).await?;
            let verified = verify(&digests).map_err(|reason| refused(&key, reason));
            verified?;
            return adopt(edge, &key, edge.streams.encoder.encoding, sealed).await;
        }
    }
    let extent = Extent::Closed(before.size);
    let mut session = Session::open(edge, run, name, extent, meta).await?;
    // The store ends what it has begun; only a drain ends it, through the retries.
    let completed = complete(edge, &mut session, before, verify, vouched).await;
    match &completed {
        // The bytes that were sent are not the file's, or the upload is gone.
        Err(StreamError::Tail(error)) if error.is_another_file() => {
            session.abort(&error.to_string()).await?;
        }
        Err(StreamError::Storage(
            error @ (StorageError::Refused { .. }
            | StorageError::SourceChanged { .. }
            | StorageError::Interrupted { .. }
            | StorageError::Conflict { .. }),
        )) => session.abort(&error.to_string()).await?,
        Err(error @ StreamError::TooManyParts) => session.abort(&error.to_string()).await?,
        _ => {}
    }
    completed
}

async fn complete(
    edge: &Edge,
    session: &mut Session,
    before: FileIdentity,
    verify: Verify,
    vouched: bool,
) -> Result<Finished, StreamError> {
    let never = CancellationToken::new();
    session.advance(Extent::Closed(before.size), &never).await?;
    crash_point(steps::STREAM_SENT);
    let stream = session.stream();
    let (upload, encoding) = (&stream.start.upload, stream.start.encoder.encoding);
    let digests = stream.input();
    let tail = Arc::clone(session.tail());
    let after = blocking(move || tail.look()).await?;
    let sealed = close_seal(session.tail(), before, after, digests)?;
    verify(&digests).map_err(|reason| refused(&upload.key, reason))?;
    if stream.start.while_open && !vouched {
        let tail = Arc::clone(session.tail());
        let now = blocking(move || tail.digest(before.size)).await?;
        if now != digests {
            let reason = "bytes were written anew after they had been read".to_owned();
            return Err(refused(&upload.key, reason).into());
        }
        let tail = Arc::clone(session.tail());
        let last = blocking(move || tail.look()).await?;
        close_seal(session.tail(), before, last, digests)?;
    }
    crash_point(steps::STREAM_VERIFIED);
    let (receipts, whole) = (stream.receipts(), stream.output());
    let completed = retry("complete-upload", &edge.retry, &edge.shutdown, || {
        edge.storage
            .complete_upload(upload, &receipts, &whole, crash_point)
    })
    .await;
    let stored = match completed.map_err(StreamError::from) {
        // Another build of the compressor makes other bytes of the same file.
        Err(StreamError::Storage(StorageError::Conflict { .. }))
            if encoding != Encoding::Identity =>
        {
            return adopt(edge, &upload.key, encoding, sealed).await;
        }
        stored => stored?,
    };
    let object = StoredObject {
        key: upload.key.clone(),
        sealed,
        outcome: stored.outcome,
        etag: stored.etag,
        stored_size: stored.stored_size,
        stored_crc64nvme: stored.stored_crc64nvme,
        evidence: stored.evidence,
        evidence_method: stored.evidence_method,
    };
    let encoded = (encoding != Encoding::Identity).then_some(Encoded {
        encoding,
        digests: whole,
    });
    Ok(Finished { object, encoded })
}

/// Takes an object that stands there already, if it decodes to the file.
async fn adopt(
    edge: &Edge,
    key: &ObjectKey,
    encoding: Encoding,
    sealed: SealedFile,
) -> Result<Finished, StreamError> {
    let read = retry("read-object", &edge.retry, &edge.shutdown, || {
        decode(edge, key, encoding)
    });
    let read = read.await?;
    let Some((stored, _)) = read.filter(|(_, file)| *file == sealed.digests()) else {
        return Err(StreamError::Storage(StorageError::Conflict {
            key: key.clone(),
            have: Found {
                size: read.map_or(0, |(_, file)| file.size),
                crc64nvme: read.map(|(_, file)| file.crc64nvme),
            },
            got: sealed.digests(),
        }));
    };
    let object = StoredObject {
        key: key.clone(),
        sealed,
        outcome: PutOutcome::Adopted,
        etag: None,
        stored_size: stored.size,
        stored_crc64nvme: stored.crc64nvme,
        evidence: EvidenceLevel::E4,
        evidence_method: "found, read back and decoded".to_owned(),
    };
    let encoded = (encoding != Encoding::Identity).then_some(Encoded {
        encoding,
        digests: stored,
    });
    Ok(Finished { object, encoded })
}

/// Digests of an object and of the file that it decodes to; `None` if it does not.
async fn decode(
    edge: &Edge,
    key: &ObjectKey,
    encoding: Encoding,
) -> Result<Option<(Digests, Digests)>, StorageError> {
    let mut chunks = edge.storage.get(key, None).await?;
    let Ok(mut decoder) = Decoder::new(encoding) else {
        return Ok(None);
    };
    while let Some(chunk) = chunks.try_next().await? {
        if decoder.update(&chunk).is_err() {
            return Ok(None);
        }
    }
    Ok(decoder.finish().ok())
}

async fn seal(
    edge: &Edge,
    name: &FileName,
    before: FileIdentity,
    digests: Digests,
) -> Result<SealedFile, StreamError> {
    let path = edge.rules.path(name);
    let tail = blocking(move || Tail::open(&path)).await?;
    let after = tail.look()?;
    close_seal(&tail, before, after, digests)
}

fn close_seal(
    tail: &Tail,
    before: FileIdentity,
    after: FileIdentity,
    digests: Digests,
) -> Result<SealedFile, StreamError> {
    let sealed = Seal::open(before).close(after, digests);
    sealed.map_err(|changed| {
        StreamError::Storage(StorageError::SourceChanged {
            path: tail.path().to_owned(),
            changed: Box::new(changed),
        })
    })
}

fn refused(key: &ObjectKey, reason: String) -> StorageError {
    StorageError::Refused {
        key: key.clone(),
        reason,
    }
}

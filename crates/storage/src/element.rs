//! What every storage element can do, and what it tells about it.
//!
//! An element never overwrites: an object under a key is either ours already
//! ([`PutOutcome::Adopted`]) or a [`StorageError::Conflict`]. Nothing of a file becomes
//! visible before its digests are known, the file was found unchanged and the caller
//! agreed. Retrying, rows and messages are left to others.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aquifer_digest::{Crc64Nvme, Digester, Digests, SealedFile};
use aquifer_schemas::EvidenceLevel;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::error::StorageError;
use crate::growing::{GrowingUploads, StoredBytes};
use crate::key::{ObjectKey, ObjectMeta};
use crate::source::SourceFile;

/// What a server was seen to do. Claims do not count: each is the result of a
/// request that had to fail or a reply that had to match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is one independent answer of the probe"
)]
pub struct Capabilities {
    /// An object and a part with a wrong crc64nvme were refused.
    pub refuses_wrong_checksum: bool,
    /// Completing an upload with a wrong checksum of the whole was refused.
    pub refuses_wrong_full_object_checksum: bool,
    /// A second conditional write under one key was refused.
    pub conditional_put: bool,
    /// A conditional completion under a used key was refused.
    pub conditional_complete: bool,
    /// The checksum of an object is reported, and right.
    pub echoes_checksum: bool,
    /// Unfinished uploads are listed.
    pub lists_multipart: bool,
    /// The probe could remove what it had written.
    pub deletes: bool,
    /// Payloads need not be signed, which halves the cost of an upload. False also
    /// where that was not tried.
    #[serde(default)]
    pub unsigned_payload: bool,
}

impl Capabilities {
    /// An element that does all of it.
    pub const ALL: Self = Self {
        refuses_wrong_checksum: true,
        refuses_wrong_full_object_checksum: true,
        conditional_put: true,
        conditional_complete: true,
        echoes_checksum: true,
        lists_multipart: true,
        deletes: true,
        unsigned_payload: true,
    };

    /// Whether a checksum sent along is proof, for objects written in either way.
    pub fn enforces_checksums(&self) -> bool {
        self.refuses_wrong_checksum && self.refuses_wrong_full_object_checksum
    }
}

/// How an object came to stand under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PutOutcome {
    /// This call wrote it.
    Created,
    /// Equal content was there already.
    Adopted,
}

/// One object, as the element describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: ObjectKey,
    /// Size in bytes.
    pub size: u64,
    /// The server's tag of this version.
    pub etag: Option<String>,
    /// The checksum that the element keeps. As good as its probe.
    pub crc64nvme: Option<Crc64Nvme>,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
    /// When it was written.
    pub last_modified: Option<jiff::Timestamp>,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// The key as it is, also where it is no [`ObjectKey`]: what others put there is
    /// seen too.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// The server's tag of this version.
    pub etag: Option<String>,
    /// When it was written.
    pub last_modified: Option<jiff::Timestamp>,
}

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// The key that it is for, as it is.
    pub key: String,
    /// Names the upload towards the element.
    pub upload_id: String,
    /// When it was begun.
    pub initiated: Option<jiff::Timestamp>,
}

/// A file that stands in the element.
#[derive(Debug, Clone)]
pub struct StoredObject {
    /// Under which key.
    pub key: ObjectKey,
    /// The file it was made from, with the digests of its bytes.
    pub sealed: SealedFile,
    /// Written now, or found.
    pub outcome: PutOutcome,
    /// The server's tag of this version.
    pub etag: Option<String>,
    /// Size that the element reports, in bytes.
    pub stored_size: u64,
    /// Checksum that the element reports; where it reports none, the one that was sent.
    pub stored_crc64nvme: Crc64Nvme,
    /// How far the copy may be trusted: E4 where it was read back, E2 where the
    /// element was probed to refuse wrong checksums, else E1.
    pub evidence: EvidenceLevel,
    /// How that was found out, for people.
    pub evidence_method: String,
}

impl StoredObject {
    /// The file `sealed` as it stands under `key`.
    pub(crate) fn new(key: &ObjectKey, sealed: SealedFile, stored: StoredBytes) -> Self {
        Self {
            key: key.clone(),
            sealed,
            outcome: stored.outcome,
            etag: stored.etag,
            stored_size: stored.stored_size,
            stored_crc64nvme: stored.stored_crc64nvme,
            evidence: stored.evidence,
            evidence_method: stored.evidence_method,
        }
    }
}

/// The caller's last word before a file becomes visible; an error is the reason why
/// not. It is called on a runtime thread and must be quick.
pub type Verify = Box<dyn FnOnce(&Digests) -> Result<(), String> + Send>;

/// Awaited before so many bytes are sent, so that the caller can limit the rate.
pub type Pace = Arc<dyn Fn(u64) -> BoxFuture<'static, ()> + Send + Sync>;

/// How a file is to be stored.
pub struct StoreOptions {
    /// Asked with the digests of the whole file before it becomes visible.
    pub verify: Option<Verify>,
    /// Told of each step, so that tests can end the process there: `storage.sealed`,
    /// `storage.part-uploaded`, `storage.before-complete`, `storage.completed`.
    pub step: fn(&'static str),
    /// Asked before each part is sent, with its size. Parts that the element holds
    /// already are not sent and not counted.
    pub pace: Option<Pace>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            verify: None,
            step: |_| (),
            pace: None,
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("verify", &self.verify.is_some())
            .field("pace", &self.pace.is_some())
            .finish_non_exhaustive()
    }
}

impl StoreOptions {
    /// Waits until the caller lets so many bytes go.
    pub(crate) async fn paced(pace: Option<&Pace>, bytes: u64) {
        if let Some(pace) = pace {
            pace(bytes).await;
        }
    }

    /// Lets the caller's check decide.
    pub(crate) fn verified(
        verify: Option<Verify>,
        key: &ObjectKey,
        digests: &Digests,
    ) -> Result<(), StorageError> {
        verify
            .map_or(Ok(()), |verify| verify(digests))
            .map_err(|reason| StorageError::Refused {
                key: key.clone(),
                reason,
            })
    }
}

/// Bytes of an object as they arrive.
pub type ByteChunks = BoxStream<'static, Result<Bytes, StorageError>>;

/// Pages of a listing.
pub type Pages<'a, T> = BoxStream<'a, Result<Vec<T>, StorageError>>;

/// A place for replicas.
#[async_trait]
pub trait StorageElement: GrowingUploads {
    /// The element's name in configuration and catalogue.
    fn name(&self) -> &str;

    /// Bucket or folder.
    fn location(&self) -> &str;

    /// Where it is, for other programs: keys follow after a `/`.
    fn url(&self) -> String;

    /// What the last probe found, if there was one.
    fn capabilities(&self) -> Option<Capabilities>;

    /// Finds out what the element really does, by requests that must fail, and
    /// remembers it. Leaves nothing behind where it may delete.
    async fn probe(&self) -> Result<Capabilities, StorageError>;

    /// Makes bucket or folder where it is missing.
    async fn ensure_location(&self) -> Result<(), StorageError>;

    /// Stores `body`, which is small, unless other content is there.
    async fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        meta: &ObjectMeta,
    ) -> Result<PutOutcome, StorageError>;

    /// Stores a file in one pass over its bytes. On any error nothing became visible,
    /// or what did will be adopted by the next call. Dropping the future gives up.
    async fn store_file(
        &self,
        source: &SourceFile,
        key: &ObjectKey,
        meta: &ObjectMeta,
        options: StoreOptions,
    ) -> Result<StoredObject, StorageError>;

    /// Describes an object; `None` where there is none.
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StorageError>;

    /// Reads an object, or the bytes `range` of it.
    async fn get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<ByteChunks, StorageError>;

    /// Reads a whole object of at most `limit` bytes.
    async fn read_all(&self, key: &ObjectKey, limit: u64) -> Result<Bytes, StorageError> {
        let mut chunks = self.get(key, None).await?;
        let mut all = BytesMut::new();
        while let Some(chunk) = chunks.try_next().await? {
            let size = (all.len() + chunk.len()) as u64;
            if size > limit {
                let key = key.clone();
                return Err(StorageError::TooLarge { key, size, limit });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// Reads the bytes back and digests them: evidence E4.
    async fn read_back(&self, key: &ObjectKey) -> Result<Digests, StorageError> {
        let mut chunks = self.get(key, None).await?;
        let mut digester = Digester::new();
        while let Some(chunk) = chunks.try_next().await? {
            digester.update(&chunk);
        }
        Ok(digester.finish())
    }

    /// All objects whose keys begin with `prefix`, a page at a time. S3 lists in the
    /// order of the keys; a folder in any order.
    fn list<'a>(&'a self, prefix: &'a str) -> Pages<'a, ListedObject>;

    /// Uploads under `prefix` that were begun and not finished: what a killed process
    /// leaves behind.
    fn list_unfinished<'a>(&'a self, prefix: &'a str) -> Pages<'a, UnfinishedUpload>;

    /// Drops an unfinished upload; one that is gone already counts as dropped.
    async fn abort_unfinished(&self, upload: &UnfinishedUpload) -> Result<(), StorageError>;

    /// Deletes an object for good. For probes, tests and the expiry of live objects;
    /// replicas are deleted by order of the policy only. A missing object is no error.
    async fn delete_for_good(&self, key: &ObjectKey) -> Result<(), StorageError>;
}

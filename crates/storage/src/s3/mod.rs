//! A bucket on an S3 server as a storage element.
//!
//! What the server claims is trusted only as far as its probe went. A server without
//! conditional writes is asked before each write instead: two writers of different
//! content at the same moment are then not kept apart, which the probe tells. Objects
//! whose names begin with `.aquifer-` are probes and claims and not listed.

mod bucket;
mod claim;
mod config;
mod failure;
mod growing;
mod probe;
mod race;
mod resume;
mod store;
mod upload;
mod web_identity;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use aquifer_digest::{Crc64Nvme, Digests};
use async_trait::async_trait;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use bytes::Bytes;
use futures::stream::{self, StreamExt};

pub use self::config::{S3Config, UnsignedPayload};
pub use self::race::Races;
pub use self::web_identity::WebIdentity;

use self::bucket::{Bucket, UploadMarker};
use self::failure::{Failure, Why, causes};
use crate::element::{
    ByteChunks, Capabilities, ListedObject, ObjectInfo, Pages, PutOutcome, StorageElement,
    StoreOptions, StoredObject, UnfinishedUpload,
};
use crate::error::StorageError;
use crate::key::{OWN_NAMES, ObjectKey, ObjectMeta};
use crate::pool::BufferPool;
use crate::source::SourceFile;

/// A bucket on an S3 server.
#[derive(Debug)]
pub struct S3Element {
    bucket: Bucket,
    pool: Arc<BufferPool>,
    capabilities: Mutex<Option<Capabilities>>,
}

impl S3Element {
    /// Prepares the client. Nothing is sent.
    pub fn new(config: S3Config) -> Result<Self, StorageError> {
        let bucket = Bucket::new(config)?;
        let config = &bucket.config;
        let part_size = (config.part_size_mib << 20) as usize;
        let pool = BufferPool::new(config.parts_in_flight + 1, part_size);
        Ok(Self {
            bucket,
            pool,
            capabilities: Mutex::default(),
        })
    }

    /// Where an object is, for other programs.
    pub fn url_of(&self, key: &ObjectKey) -> String {
        format!("{}/{key}", self.url())
    }

    /// The key of the object at such a URL; `None` if it lies elsewhere.
    ///
    /// # Errors
    /// If it lies here, and its name is no key.
    pub fn key_at(&self, url: &str) -> Result<Option<ObjectKey>, StorageError> {
        let below = url.strip_prefix(&self.url());
        let key = below.and_then(|rest| rest.strip_prefix('/'));
        Ok(key.map(str::parse).transpose()?)
    }

    /// The key on the server.
    fn full_key(&self, key: &ObjectKey) -> String {
        self.full_prefix(key.as_str())
    }

    fn full_prefix(&self, prefix: &str) -> String {
        match self.bucket.config.prefix.as_str() {
            "" => prefix.to_owned(),
            own => format!("{own}/{prefix}"),
        }
    }

    /// The key without our own prefix.
    fn own_key(&self, full: &str) -> String {
        let own = self.full_prefix("");
        full.strip_prefix(&own).unwrap_or(full).to_owned()
    }

    /// The caller's error of a request about a key or a prefix.
    fn failed(&self, operation: &'static str, subject: &str, failure: Failure) -> StorageError {
        failure.into_error(operation, subject, self.location())
    }

    /// The caller's error of a request about an object that should be there.
    fn missing_or_failed(
        &self,
        operation: &'static str,
        key: &ObjectKey,
        failure: Failure,
    ) -> StorageError {
        match failure.why {
            Why::NoObject => StorageError::NotFound { key: key.clone() },
            _ => self.failed(operation, key.as_str(), failure),
        }
    }

    /// What is known of the server: nothing, before a probe.
    fn known(&self) -> Capabilities {
        self.capabilities().unwrap_or_default()
    }
}

fn object_info(key: &ObjectKey, head: HeadObjectOutput) -> ObjectInfo {
    ObjectInfo {
        key: key.clone(),
        size: head.content_length().unwrap_or_default().max(0) as u64,
        // Of a composite checksum ("value-parts") nothing can be concluded.
        crc64nvme: head
            .checksum_crc64_nvme()
            .and_then(|text| Crc64Nvme::from_base64(text).ok()),
        last_modified: head.last_modified().and_then(timestamp),
        metadata: head.metadata.unwrap_or_default().into_iter().collect(),
        etag: head.e_tag,
    }
}

fn timestamp(time: &DateTime) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_nanosecond(time.as_nanos()).ok()
}

#[async_trait]
impl StorageElement for S3Element {
    fn name(&self) -> &str {
        &self.bucket.config.element
    }

    fn location(&self) -> &str {
        &self.bucket.config.bucket
    }

    fn url(&self) -> String {
        self.bucket.config.url()
    }

    fn capabilities(&self) -> Option<Capabilities> {
        *self
            .capabilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn probe(&self) -> Result<Capabilities, StorageError> {
        let mut found = self.find_capabilities().await?;
        found.conditional_put &= self.bucket.config.trust_conditional_writes;
        found.conditional_complete &= self.bucket.config.trust_conditional_writes;
        *self
            .capabilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(found)
    }

    async fn ensure_location(&self) -> Result<(), StorageError> {
        let made = self.bucket.ensure().await;
        made.map_err(|failure| self.failed("make bucket", self.location(), failure))
    }

    async fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        meta: &ObjectMeta,
    ) -> Result<PutOutcome, StorageError> {
        let digests = Digests::of(&body);
        if !self.known().conditional_put
            && let Some(standing) = self.compare(key, &digests).await?
        {
            return standing.adopted(key, &digests).map(|_| PutOutcome::Adopted);
        }
        let adopted = self.put_new(key, body, &digests, meta).await?;
        Ok(adopted.map_or(PutOutcome::Created, |stored| stored.outcome))
    }

    async fn store_file(
        &self,
        source: &SourceFile,
        key: &ObjectKey,
        meta: &ObjectMeta,
        options: StoreOptions,
    ) -> Result<StoredObject, StorageError> {
        self.store(source, key, meta, options).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StorageError> {
        let head = self.bucket.head(&self.full_key(key)).await;
        let head = head.map_err(|failure| self.missing_or_failed("describe", key, failure))?;
        Ok(head.map(|head| object_info(key, head)))
    }

    async fn get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<ByteChunks, StorageError> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return Ok(stream::empty().boxed());
        }
        let body = self.bucket.get(&self.full_key(key), range).await;
        let body = body.map_err(|failure| self.missing_or_failed("read", key, failure))?;
        let chunks = stream::try_unfold((body, key.clone()), |(mut body, key)| async move {
            match body.try_next().await {
                Ok(chunk) => Ok(chunk.map(|chunk| (chunk, (body, key)))),
                Err(error) => Err(StorageError::Unavailable {
                    operation: "read",
                    subject: key.to_string(),
                    detail: causes(&error),
                }),
            }
        });
        Ok(chunks.boxed())
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Pages<'a, ListedObject> {
        let full_prefix = self.full_prefix(prefix);
        // `Some(None)` is the first page, `None` the end.
        stream::try_unfold(Some(None), move |next| {
            let full_prefix = full_prefix.clone();
            async move {
                let Some(continuation) = next else {
                    return Ok(None);
                };
                let page = self.bucket.list(&full_prefix, continuation).await;
                let page = page.map_err(|failure| self.failed("list", prefix, failure))?;
                let objects = page.contents().iter().map(|object| ListedObject {
                    key: self.own_key(object.key().unwrap_or_default()),
                    size: object.size().unwrap_or_default().max(0) as u64,
                    etag: object.e_tag().map(ToOwned::to_owned),
                    last_modified: object.last_modified().and_then(timestamp),
                });
                let objects: Vec<_> = objects
                    .filter(|object| !object.key.starts_with(OWN_NAMES))
                    .collect();
                let truncated = page.is_truncated() == Some(true);
                let next = page.next_continuation_token.filter(|_| truncated);
                if truncated && next.is_none() {
                    // To end here would hide objects.
                    let odd = Failure::odd_answer("the listing breaks off without a token");
                    return Err(self.failed("list", prefix, odd));
                }
                Ok(Some((objects, next.map(Some))))
            }
        })
        .boxed()
    }

    fn list_unfinished<'a>(&'a self, prefix: &'a str) -> Pages<'a, UnfinishedUpload> {
        let full_prefix = self.full_prefix(prefix);
        stream::try_unfold(Some(UploadMarker::default()), move |marker| {
            let full_prefix = full_prefix.clone();
            async move {
                let Some(marker) = marker else {
                    return Ok(None);
                };
                let page = self.bucket.list_uploads(&full_prefix, marker).await;
                let page = page.map_err(|failure| self.failed("list uploads", prefix, failure))?;
                let uploads = page.uploads().iter().map(|upload| UnfinishedUpload {
                    key: self.own_key(upload.key().unwrap_or_default()),
                    upload_id: upload.upload_id().unwrap_or_default().to_owned(),
                    initiated: upload.initiated().and_then(timestamp),
                });
                Ok(Some((uploads.collect(), UploadMarker::after(&page))))
            }
        })
        .boxed()
    }

    async fn abort_unfinished(&self, upload: &UnfinishedUpload) -> Result<(), StorageError> {
        let key = self.full_prefix(&upload.key);
        let aborted = self.bucket.abort(&key, &upload.upload_id).await;
        aborted.map_err(|failure| self.failed("abort upload", &upload.key, failure))
    }

    async fn delete_for_good(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let deleted = self.bucket.delete(&self.full_key(key)).await;
        deleted.map_err(|failure| self.missing_or_failed("delete", key, failure))
    }
}

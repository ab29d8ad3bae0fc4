//! An element that stores nothing, for a rehearsal: an ingester that works on it does all
//! that it would do, and changes nothing anywhere.
//!
//! Files are read and digested as for a real element, checks are asked, keys are kept
//! apart. What would stand under which key is remembered, in memory and for as long as
//! the process: one entry per object. The bytes themselves cannot be had back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aquifer_digest::Digests;
use aquifer_schemas::EvidenceLevel;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use uuid::Uuid;

use crate::element::{
    ByteChunks, Capabilities, ListedObject, ObjectInfo, Pages, PutOutcome, StorageElement,
    StoreOptions, StoredObject, UnfinishedUpload,
};
use crate::error::{Found, StorageError};
use crate::growing::{
    GrowingUpload, GrowingUploads, ListedPart, PartReceipt, StoredBytes, check_parts,
};
use crate::key::{ObjectKey, ObjectMeta};
use crate::pool::BufferPool;
use crate::source::SourceFile;

/// The smallest part that a real element takes (S3's limit).
const LEAST_PART: u64 = 5 << 20;

/// How a copy that does not exist may be trusted.
const METHOD: &str = "rehearsed: nothing was written";

/// Stands in for a real element and writes nothing.
#[derive(Debug)]
pub struct Rehearsal {
    name: String,
    location: String,
    part_size: u64,
    pool: Arc<BufferPool>,
    objects: Mutex<BTreeMap<ObjectKey, Object>>,
}

/// An object that would be there.
#[derive(Debug, Clone)]
struct Object {
    digests: Digests,
    metadata: BTreeMap<String, String>,
}

impl Rehearsal {
    /// Stands in for the element `name` at `location`. Files are read in pieces of
    /// `part_size` bytes, of which `parts_in_flight` may be in memory.
    pub fn new(name: &str, location: &str, part_size: u64, parts_in_flight: usize) -> Self {
        Self {
            name: name.to_owned(),
            location: location.to_owned(),
            part_size: part_size.max(LEAST_PART),
            pool: BufferPool::new(parts_in_flight.max(1), part_size.max(LEAST_PART) as usize),
            objects: Mutex::default(),
        }
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Object>> {
        // An insertion is one step: the map is whole after any panic.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an object be there, unless other content is.
    fn keep(
        &self,
        key: &ObjectKey,
        digests: Digests,
        meta: &ObjectMeta,
    ) -> Result<StoredBytes, StorageError> {
        let mut objects = self.objects();
        let outcome = match objects.get(key) {
            None => PutOutcome::Created,
            Some(there) if there.digests == digests => PutOutcome::Adopted,
            Some(there) => {
                return Err(StorageError::Conflict {
                    key: key.clone(),
                    have: Found {
                        size: there.digests.size,
                        crc64nvme: Some(there.digests.crc64nvme),
                    },
                    got: digests,
                });
            }
        };
        if outcome == PutOutcome::Created {
            let metadata = meta.entries().clone();
            objects.insert(key.clone(), Object { digests, metadata });
        }
        Ok(StoredBytes {
            outcome,
            etag: None,
            stored_size: digests.size,
            stored_crc64nvme: digests.crc64nvme,
            evidence: EvidenceLevel::E0,
            evidence_method: METHOD.to_owned(),
        })
    }
}

#[async_trait]
impl StorageElement for Rehearsal {
    fn name(&self) -> &str {
        &self.name
    }

    fn location(&self) -> &str {
        &self.location
    }

    fn url(&self) -> String {
        format!("s3://{}", self.location)
    }

    fn capabilities(&self) -> Option<Capabilities> {
        Some(Capabilities::ALL)
    }

    async fn probe(&self) -> Result<Capabilities, StorageError> {
        Ok(Capabilities::ALL)
    }

    async fn ensure_location(&self) -> Result<(), StorageError> {
        Ok(())
    }

    async fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        meta: &ObjectMeta,
    ) -> Result<PutOutcome, StorageError> {
        Ok(self.keep(key, Digests::of(&body), meta)?.outcome)
    }

    async fn store_file(
        &self,
        source: &SourceFile,
        key: &ObjectKey,
        meta: &ObjectMeta,
        options: StoreOptions,
    ) -> Result<StoredObject, StorageError> {
        // The disk is read no faster than it would be.
        StoreOptions::paced(options.pace.as_ref(), source.identity().size).await;
        let sealed = source.digest(&self.pool).await?;
        let digests = sealed.digests();
        StoreOptions::verified(options.verify, key, &digests)?;
        let stored = self.keep(key, digests, meta)?;
        Ok(StoredObject::new(key, sealed, stored))
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StorageError> {
        Ok(self.objects().get(key).map(|object| ObjectInfo {
            key: key.clone(),
            size: object.digests.size,
            etag: None,
            crc64nvme: Some(object.digests.crc64nvme),
            metadata: object.metadata.clone(),
            last_modified: None,
        }))
    }

    async fn get(
        &self,
        key: &ObjectKey,
        _range: Option<Range<u64>>,
    ) -> Result<ByteChunks, StorageError> {
        Err(StorageError::NotFound { key: key.clone() })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Pages<'a, ListedObject> {
        let objects = self.objects();
        let listed = objects
            .iter()
            .filter(|(key, _)| key.as_str().starts_with(prefix));
        let page = listed.map(|(key, object)| ListedObject {
            key: key.to_string(),
            size: object.digests.size,
            etag: None,
            last_modified: None,
        });
        stream::iter([Ok(page.collect())]).boxed()
    }

    fn list_unfinished<'a>(&'a self, _prefix: &'a str) -> Pages<'a, UnfinishedUpload> {
        stream::empty().boxed()
    }

    async fn abort_unfinished(&self, _upload: &UnfinishedUpload) -> Result<(), StorageError> {
        Ok(())
    }

    async fn delete_for_good(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.objects().remove(key);
        Ok(())
    }
}

#[async_trait]
impl GrowingUploads for Rehearsal {
    fn least_part_size(&self) -> u64 {
        LEAST_PART
    }

    fn part_size(&self) -> u64 {
        self.part_size
    }

    async fn begin_upload(
        &self,
        key: &ObjectKey,
        _meta: &ObjectMeta,
    ) -> Result<GrowingUpload, StorageError> {
        Ok(GrowingUpload {
            key: key.clone(),
            upload_id: Uuid::now_v7().to_string(),
        })
    }

    async fn upload_part(
        &self,
        _upload: &GrowingUpload,
        number: u32,
        _body: Bytes,
        digests: &Digests,
    ) -> Result<PartReceipt, StorageError> {
        Ok(PartReceipt {
            number,
            size: digests.size,
            etag: String::new(),
            crc64nvme: digests.crc64nvme,
        })
    }

    /// None: an upload is gone with the process that began it.
    async fn list_parts(
        &self,
        _upload: &GrowingUpload,
    ) -> Result<Option<Vec<ListedPart>>, StorageError> {
        Ok(None)
    }

    async fn complete_upload(
        &self,
        upload: &GrowingUpload,
        parts: &[PartReceipt],
        whole: &Digests,
        _step: fn(&'static str),
    ) -> Result<StoredBytes, StorageError> {
        check_parts(&upload.key, parts, whole)?;
        self.keep(&upload.key, *whole, &ObjectMeta::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a rehearsal says of a key is what a real element would say.
    #[tokio::test]
    async fn keys_are_kept_apart_and_nothing_can_be_had_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.mid");
        std::fs::write(&path, b"one").unwrap();
        let element = Rehearsal::new("S3", "raw", 0, 1);
        let (key, meta) = ("run.mid".parse::<ObjectKey>().unwrap(), ObjectMeta::new());
        let source = SourceFile::open(&path).await.unwrap();
        for outcome in [PutOutcome::Created, PutOutcome::Adopted] {
            let stored = element.store_file(&source, &key, &meta, StoreOptions::default());
            let stored = stored.await.unwrap();
            assert_eq!(stored.outcome, outcome);
            assert_eq!(stored.sealed.digests(), Digests::of(b"one"));
            assert_eq!(stored.evidence, EvidenceLevel::E0);
        }
        let other = element.put(&key, Bytes::from_static(b"two"), &meta).await;
        assert!(matches!(other, Err(StorageError::Conflict { .. })));
        let read = element.read_back(&key).await;
        assert!(matches!(read, Err(StorageError::NotFound { .. })));

        let refused = StoreOptions {
            verify: Some(Box::new(|_| Err("the logger wrote others".to_owned()))),
            ..StoreOptions::default()
        };
        let next = "next.mid".parse().unwrap();
        let stored = element.store_file(&source, &next, &meta, refused).await;
        assert!(matches!(stored, Err(StorageError::Refused { .. })));
        assert_eq!(element.head(&next).await.unwrap(), None);

        let upload = element.begin_upload(&next, &meta).await.unwrap();
        let digests = Digests::of(b"three");
        let part = element.upload_part(&upload, 1, Bytes::from_static(b"three"), &digests);
        let parts = [part.await.unwrap()];
        let whole = element.complete_upload(&upload, &parts, &digests, |_| ());
        assert_eq!(whole.await.unwrap().stored_crc64nvme, digests.crc64nvme);
        assert_eq!(element.head(&next).await.unwrap().unwrap().size, 5);
    }
}

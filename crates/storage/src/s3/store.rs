//! Storing a file, and making sure of what stands there afterwards.
//!
//! Whatever a write answers, what counts is what stands under the key: ours, other
//! content, or nothing. A write whose answer was lost is settled by looking.

use std::collections::BTreeMap;

use aquifer_digest::Digests;
use aquifer_schemas::EvidenceLevel;
use bytes::Bytes;

use super::S3Element;
use super::failure::Failure;
use crate::element::{ObjectInfo, PutOutcome, StorageElement, StoreOptions, StoredObject};
use crate::error::{Found, StorageError};
use crate::growing::StoredBytes;
use crate::key::{ObjectKey, ObjectMeta};
use crate::source::{SourceFile, Span};

/// An object under the key, compared with our bytes.
#[derive(Debug)]
pub(super) enum Standing {
    /// The same bytes.
    Ours(StoredBytes),
    /// Other bytes.
    Other(Found),
}

impl Standing {
    pub(super) fn adopted(
        self,
        key: &ObjectKey,
        got: &Digests,
    ) -> Result<StoredBytes, StorageError> {
        match self {
            Self::Ours(stored) => Ok(stored),
            Self::Other(have) => Err(StorageError::Conflict {
                key: key.clone(),
                have,
                got: *got,
            }),
        }
    }
}

impl S3Element {
    pub(super) async fn store(
        &self,
        source: &SourceFile,
        key: &ObjectKey,
        meta: &ObjectMeta,
        options: StoreOptions,
    ) -> Result<StoredObject, StorageError> {
        let size = source.identity().size;
        let part_size = self.part_size(key, size)?;
        let whole = size <= part_size as u64;
        // A conditional write of a whole object asks by itself whether the key is free.
        let asks_itself = whole && self.known().conditional_put;
        if !asks_itself && self.head(key).await?.is_some() {
            return self.adopt(source, key, options).await;
        }
        if whole {
            self.store_whole(source, key, meta, options).await
        } else {
            self.store_parts(source, key, meta, part_size, options)
                .await
        }
    }

    /// Something stands there already: digests the file without sending it.
    pub(super) async fn adopt(
        &self,
        source: &SourceFile,
        key: &ObjectKey,
        options: StoreOptions,
    ) -> Result<StoredObject, StorageError> {
        let sealed = source.digest(&self.pool).await?;
        let digests = sealed.digests();
        (options.step)("storage.sealed");
        StoreOptions::verified(options.verify, key, &digests)?;
        let standing = self.compare(key, &digests).await?;
        let standing = standing.ok_or_else(|| StorageError::Interrupted {
            operation: "adopt",
            subject: key.to_string(),
            detail: "the object was deleted meanwhile".to_owned(),
        })?;
        let stored = standing.adopted(key, &digests)?;
        Ok(StoredObject::new(key, sealed, stored))
    }

    /// A file of one part at most: sealed before the first byte is sent.
    async fn store_whole(
        &self,
        source: &SourceFile,
        key: &ObjectKey,
        meta: &ObjectMeta,
        options: StoreOptions,
    ) -> Result<StoredObject, StorageError> {
        let whole = Span {
            offset: 0,
            size: source.identity().size as usize,
        };
        StoreOptions::paced(options.pace.as_ref(), source.identity().size).await;
        let (buffer, digests) = source.read(whole, self.pool.take(whole.size).await).await?;
        let sealed = source.seal(digests).await?;
        (options.step)("storage.sealed");
        StoreOptions::verified(options.verify, key, &digests)?;
        (options.step)("storage.before-complete");
        let adopted = self.put_new(key, buffer.share(), &digests, meta).await?;
        (options.step)("storage.completed");
        let stored = match adopted {
            Some(stored) => stored,
            None => {
                self.confirm(key, &digests, self.known().refuses_wrong_checksum)
                    .await?
            }
        };
        Ok(StoredObject::new(key, sealed, stored))
    }

    /// Writes an object where there is none. What was there already, and is equal,
    /// comes back.
    pub(super) async fn put_new(
        &self,
        key: &ObjectKey,
        body: Bytes,
        digests: &Digests,
        meta: &ObjectMeta,
    ) -> Result<Option<StoredBytes>, StorageError> {
        let mut metadata = known_before(meta, digests.size);
        metadata.insert(
            ObjectMeta::CRC64NVME.to_owned(),
            digests.crc64nvme.to_string(),
        );
        metadata.insert(ObjectMeta::ADLER32.to_owned(), digests.adler32.to_string());
        let full_key = self.full_key(key);
        let put = self
            .bucket
            .put(&full_key, body, digests.crc64nvme, &metadata, true);
        match put.await {
            Ok(()) => Ok(None),
            Err(failure) => self.settle("put", key, digests, failure).await.map(Some),
        }
    }

    /// After a write failed: the object may stand there all the same, by an earlier
    /// attempt or by another writer.
    pub(super) async fn settle(
        &self,
        operation: &'static str,
        key: &ObjectKey,
        digests: &Digests,
        failure: Failure,
    ) -> Result<StoredBytes, StorageError> {
        if failure.outcome_is_unknown()
            && let Ok(Some(standing)) = self.compare(key, digests).await
        {
            return standing.adopted(key, digests);
        }
        // Nothing stands there, or nobody can tell: the first failure says more.
        Err(self.failed(operation, key.as_str(), failure))
    }

    /// Compares what stands under the key with our bytes; `None` where nothing does. A
    /// stored checksum counts where the server was probed to check what it stores.
    pub(super) async fn compare(
        &self,
        key: &ObjectKey,
        digests: &Digests,
    ) -> Result<Option<Standing>, StorageError> {
        let Some(info) = self.head(key).await? else {
            return Ok(None);
        };
        let have = found(&info);
        if info.size != digests.size {
            return Ok(Some(Standing::Other(have)));
        }
        let trusted = info.crc64nvme.filter(|_| self.known().enforces_checksums());
        let (equal, evidence, method) = match trusted {
            Some(crc64nvme) => (
                crc64nvme == digests.crc64nvme,
                EvidenceLevel::E2,
                "found with this crc64nvme on a server that refuses wrong ones",
            ),
            None => (
                self.read_back(key).await? == *digests,
                EvidenceLevel::E4,
                "found and read back",
            ),
        };
        if !equal {
            return Ok(Some(Standing::Other(have)));
        }
        Ok(Some(Standing::Ours(StoredBytes {
            outcome: PutOutcome::Adopted,
            etag: info.etag,
            stored_size: info.size,
            stored_crc64nvme: info.crc64nvme.unwrap_or(digests.crc64nvme),
            evidence,
            evidence_method: method.to_owned(),
        })))
    }

    /// After a write succeeded: looks whether the object has our size and, where one
    /// is reported, our checksum.
    pub(super) async fn confirm(
        &self,
        key: &ObjectKey,
        digests: &Digests,
        enforced: bool,
    ) -> Result<StoredBytes, StorageError> {
        let info = self.head(key).await?;
        let info = info.ok_or_else(|| StorageError::Unavailable {
            operation: "confirm",
            subject: key.to_string(),
            detail: "the object is not there after it was written".to_owned(),
        })?;
        let reported = info.crc64nvme.unwrap_or(digests.crc64nvme);
        if info.size != digests.size || reported != digests.crc64nvme {
            return Standing::Other(found(&info)).adopted(key, digests);
        }
        let (evidence, method) = if enforced {
            (
                EvidenceLevel::E2,
                "written with crc64nvme to a server that refuses wrong ones",
            )
        } else {
            (
                EvidenceLevel::E1,
                "size after writing; the server was not seen to refuse wrong checksums",
            )
        };
        Ok(StoredBytes {
            outcome: PutOutcome::Created,
            etag: info.etag,
            stored_size: info.size,
            stored_crc64nvme: reported,
            evidence,
            evidence_method: method.to_owned(),
        })
    }
}

fn found(info: &ObjectInfo) -> Found {
    Found {
        size: info.size,
        crc64nvme: info.crc64nvme,
    }
}

/// Metadata that are known before the bytes are read.
pub(super) fn known_before(meta: &ObjectMeta, size: u64) -> BTreeMap<String, String> {
    let mut metadata = meta.entries().clone();
    metadata.insert(ObjectMeta::SIZE.to_owned(), size.to_string());
    metadata
}

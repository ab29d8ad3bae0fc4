//! Uploads of files that still grow: begun while the detector writes, completed when
//! the run closes, perhaps by another process than the one that began.
//!
//! An upload and the receipts of its parts are plain data, which the caller keeps
//! where they outlive it; the element keeps the parts. Nothing is visible under the
//! key before [`GrowingUploads::complete_upload`], and what then is has evidence as a
//! file that was stored in one go. When to send which bytes is left to the caller.

use aquifer_digest::{Crc64Nvme, Digests};
use aquifer_schemas::EvidenceLevel;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::element::{PutOutcome, UnfinishedUpload};
use crate::error::StorageError;
use crate::key::{ObjectKey, ObjectMeta};

/// Most parts of an upload (S3's limit, kept by all elements).
pub(crate) const MOST_PARTS: u32 = 10_000;

/// An upload that takes parts until it is completed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrowingUpload {
    /// The key that the object will have.
    pub key: ObjectKey,
    /// Names the upload towards the element.
    pub upload_id: String,
}

impl From<&GrowingUpload> for UnfinishedUpload {
    fn from(upload: &GrowingUpload) -> Self {
        Self {
            key: upload.key.to_string(),
            upload_id: upload.upload_id.clone(),
            initiated: None,
        }
    }
}

/// A part that the element took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReceipt {
    /// Its place in the object, counted from 1, up to 10 000.
    pub number: u32,
    /// Size in bytes.
    pub size: u64,
    /// The server's tag of the part; a folder has none and leaves it empty.
    pub etag: String,
    /// Checksum of its bytes.
    pub crc64nvme: Crc64Nvme,
}

/// A part as the element lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPart {
    /// Its place in the object, counted from 1.
    pub number: u32,
    /// Size in bytes.
    pub size: u64,
    /// The server's tag of the part; a folder has none and leaves it empty.
    pub etag: String,
    /// Checksum of its bytes. `SeaweedFS` takes and checks it, but does not tell it.
    pub crc64nvme: Option<Crc64Nvme>,
}

impl ListedPart {
    /// Whether this is still the part that the receipt was given for. Where no
    /// checksum is told it is known by its tag, which the server gave when it had
    /// checked the bytes.
    pub fn is(&self, receipt: &PartReceipt) -> bool {
        // Some servers put the tag in quotes in one answer and not in the other.
        let bare = |etag: &str| etag.trim_matches('"').to_owned();
        (self.number, self.size) == (receipt.number, receipt.size)
            && bare(&self.etag) == bare(&receipt.etag)
            && self.crc64nvme.is_none_or(|told| told == receipt.crc64nvme)
    }
}

/// What stands under a key after an upload was completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBytes {
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

/// Storing bytes as they come. Each method may be called by a process that knows the
/// upload from its journal only.
#[async_trait]
pub trait GrowingUploads: Send + Sync {
    /// Smallest part in bytes, but for the last one of an object.
    fn least_part_size(&self) -> u64;

    /// Part size that the element is configured for, in bytes.
    fn part_size(&self) -> u64;

    /// Begins an upload. The object will have these metadata.
    async fn begin_upload(
        &self,
        key: &ObjectKey,
        meta: &ObjectMeta,
    ) -> Result<GrowingUpload, StorageError>;

    /// Sends part `number`, counted from 1; the same number again replaces the part.
    /// `digests` are those of `body`: the element refuses a part that does not have
    /// this crc64nvme ([`StorageError::Damaged`]). [`StorageError::Interrupted`] where
    /// the upload is gone.
    async fn upload_part(
        &self,
        upload: &GrowingUpload,
        number: u32,
        body: Bytes,
        digests: &Digests,
    ) -> Result<PartReceipt, StorageError>;

    /// The parts that the element holds, by number; `None` where the upload is gone:
    /// completed, or dropped. Those that a receipt is known for ([`ListedPart::is`])
    /// need not be sent again.
    async fn list_parts(
        &self,
        upload: &GrowingUpload,
    ) -> Result<Option<Vec<ListedPart>>, StorageError>;

    /// Makes the object of `parts`, which are given by number from 1 without a hole (as
    /// S3 demands of objects with checksums), at least one, and make up `whole`. Where an object stands under the key already, or the upload is gone since an
    /// earlier completion succeeded and its answer was lost, what stands there is
    /// compared: equal content is adopted, other content is a
    /// [`StorageError::Conflict`]; the upload is dropped in both cases. On an outage
    /// the upload stays and the call may be repeated, by any process. Where the upload
    /// is gone and nothing stands there, it is [`StorageError::Interrupted`]: begin
    /// anew.
    ///
    /// `step` is told `storage.before-complete` and `storage.completed`.
    async fn complete_upload(
        &self,
        upload: &GrowingUpload,
        parts: &[PartReceipt],
        whole: &Digests,
        step: fn(&'static str),
    ) -> Result<StoredBytes, StorageError>;
}

/// Says what cannot be right about the parts of an object before anything is asked:
/// their numbers must rise from 1 without a hole, and their bytes make up the whole.
pub(crate) fn check_parts(
    key: &ObjectKey,
    parts: &[PartReceipt],
    whole: &Digests,
) -> Result<(), StorageError> {
    let wrong = |detail: String| StorageError::Rejected {
        operation: "complete upload",
        subject: key.to_string(),
        detail,
    };
    for (place, part) in (1u32..).zip(parts) {
        if part.number != place {
            return Err(wrong(format!("part {} is at place {place}", part.number)));
        }
    }
    if parts.is_empty() || parts.len() > MOST_PARTS as usize {
        return Err(wrong(format!(
            "{} parts, not 1 to {MOST_PARTS}",
            parts.len()
        )));
    }
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if size != whole.size {
        return Err(wrong(format!(
            "the parts have {size} bytes, the whole has {}",
            whole.size
        )));
    }
    Ok(())
}

/// Refuses a number that no part can have.
pub(crate) fn check_number(key: &ObjectKey, number: u32) -> Result<(), StorageError> {
    if (1..=MOST_PARTS).contains(&number) {
        return Ok(());
    }
    Err(StorageError::Rejected {
        operation: "send part",
        subject: key.to_string(),
        detail: format!("part {number} is not 1 to {MOST_PARTS}"),
    })
}

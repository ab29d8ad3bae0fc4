//! Uploads of growing files into a folder: one hidden folder per upload, one file per
//! part, put together when the upload is completed.
//!
//! A folder keeps no checksums, so that the parts are read to list them and once more
//! to put them together; the object appears only if they make up the whole. Until then
//! the parts stay, whatever fails.

use aquifer_digest::Digests;
use aquifer_schemas::EvidenceLevel;
use async_trait::async_trait;
use bytes::Bytes;

use super::{PART, PosixElement};
use crate::element::{PutOutcome, StorageElement, UnfinishedUpload};
use crate::error::{Found, StorageError};
use crate::growing::{
    GrowingUpload, GrowingUploads, ListedPart, PartReceipt, StoredBytes, check_number, check_parts,
};
use crate::key::{ObjectKey, ObjectMeta};

#[async_trait]
impl GrowingUploads for PosixElement {
    fn least_part_size(&self) -> u64 {
        1
    }

    fn part_size(&self) -> u64 {
        PART as u64
    }

    async fn begin_upload(
        &self,
        key: &ObjectKey,
        meta: &ObjectMeta,
    ) -> Result<GrowingUpload, StorageError> {
        let (named, metadata) = (key.clone(), meta.entries().clone());
        let begun = self.on_disk("begin upload", key.as_str(), move |disk| {
            disk.begin_growing(&named, &metadata)
        });
        Ok(GrowingUpload {
            key: key.clone(),
            upload_id: begun.await?,
        })
    }

    async fn upload_part(
        &self,
        upload: &GrowingUpload,
        number: u32,
        body: Bytes,
        digests: &Digests,
    ) -> Result<PartReceipt, StorageError> {
        check_number(&upload.key, number)?;
        let found = Digests::of(&body);
        if found.crc64nvme != digests.crc64nvme {
            return Err(StorageError::Damaged {
                operation: "send part",
                subject: upload.key.to_string(),
                detail: format!("crc64nvme {}, not {}", found.crc64nvme, digests.crc64nvme),
            });
        }
        let id = upload.upload_id.clone();
        let written = self.on_disk("send part", upload.key.as_str(), move |disk| {
            disk.write_part(&id, number, &body)
        });
        if !written.await? {
            return Err(gone(upload));
        }
        Ok(PartReceipt {
            number,
            size: found.size,
            etag: String::new(),
            crc64nvme: found.crc64nvme,
        })
    }

    async fn list_parts(
        &self,
        upload: &GrowingUpload,
    ) -> Result<Option<Vec<ListedPart>>, StorageError> {
        let id = upload.upload_id.clone();
        let parts = self.on_disk("list parts", upload.key.as_str(), move |disk| {
            disk.parts(&id)
        });
        let listed = |(number, found): (u32, Digests)| ListedPart {
            number,
            size: found.size,
            etag: String::new(),
            crc64nvme: Some(found.crc64nvme),
        };
        let parts = parts.await?;
        Ok(parts.map(|parts| parts.into_iter().map(listed).collect()))
    }

    async fn complete_upload(
        &self,
        upload: &GrowingUpload,
        parts: &[PartReceipt],
        whole: &Digests,
        step: fn(&'static str),
    ) -> Result<StoredBytes, StorageError> {
        check_parts(&upload.key, parts, whole)?;
        step("storage.before-complete");
        let outcome = match self.make_whole(upload, parts.len() as u32, whole).await {
            Err(error) if !matches!(error, StorageError::Conflict { .. }) => return Err(error),
            outcome => outcome,
        };
        self.abort_unfinished(&UnfinishedUpload::from(upload))
            .await?;
        let outcome = outcome?;
        step("storage.completed");
        Ok(StoredBytes {
            outcome,
            etag: None,
            stored_size: whole.size,
            stored_crc64nvme: whole.crc64nvme,
            evidence: evidence(outcome).0,
            evidence_method: evidence(outcome).1.to_owned(),
        })
    }
}

impl PosixElement {
    /// Puts the parts together under the key, or compares what stands there.
    async fn make_whole(
        &self,
        upload: &GrowingUpload,
        count: u32,
        whole: &Digests,
    ) -> Result<PutOutcome, StorageError> {
        let key = &upload.key;
        if self.head(key).await?.is_some() {
            self.adopt(key, whole).await?;
            return Ok(PutOutcome::Adopted);
        }
        let (id, named) = (upload.upload_id.clone(), key.clone());
        let joined = self.on_disk("complete upload", key.as_str(), move |disk| {
            disk.join_parts(&named, &id, count)
        });
        let Some((joined, found, metadata)) = joined.await? else {
            // Completed by another call since we looked, or dropped.
            return match self.adopt(key, whole).await {
                Ok(_) => Ok(PutOutcome::Adopted),
                Err(StorageError::NotFound { .. }) => Err(gone(upload)),
                Err(error) => Err(error),
            };
        };
        if found != *whole {
            let found = Found {
                size: found.size,
                crc64nvme: Some(found.crc64nvme),
            };
            return Err(StorageError::Damaged {
                operation: "complete upload",
                subject: key.to_string(),
                detail: format!("the parts make up {found}"),
            });
        }
        self.publish(key, joined, whole, metadata).await
    }
}

/// How far a copy in a folder may be trusted, and why.
pub(super) fn evidence(outcome: PutOutcome) -> (EvidenceLevel, &'static str) {
    match outcome {
        PutOutcome::Created => (EvidenceLevel::E1, "written and flushed to disk"),
        PutOutcome::Adopted => (EvidenceLevel::E4, "found and read back"),
    }
}

fn gone(upload: &GrowingUpload) -> StorageError {
    StorageError::Interrupted {
        operation: "upload",
        subject: upload.key.to_string(),
        detail: format!("the upload {} is gone", upload.upload_id),
    }
}

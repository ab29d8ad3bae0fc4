//! Uploads of growing files, and the completion that every multipart upload ends with.

use std::collections::BTreeMap;

use aquifer_digest::{Crc64Nvme, Digests};
use async_trait::async_trait;
use bytes::Bytes;

use super::S3Element;
use super::config::LEAST_PART_MIB;
use super::failure::{Failure, Why};
use crate::element::StorageElement;
use crate::error::StorageError;
use crate::growing::{
    GrowingUpload, GrowingUploads, ListedPart, PartReceipt, StoredBytes, check_number, check_parts,
};
use crate::key::{ObjectKey, ObjectMeta};

/// Whether an upload may have been completed before, with the answer lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It was begun for this completion.
    First,
    /// It was known to somebody before.
    Perhaps,
}

#[async_trait]
impl GrowingUploads for S3Element {
    fn least_part_size(&self) -> u64 {
        LEAST_PART_MIB << 20
    }

    fn part_size(&self) -> u64 {
        self.bucket.config.part_size_mib << 20
    }

    async fn begin_upload(
        &self,
        key: &ObjectKey,
        meta: &ObjectMeta,
    ) -> Result<GrowingUpload, StorageError> {
        self.begin(key, meta.entries()).await
    }

    async fn upload_part(
        &self,
        upload: &GrowingUpload,
        number: u32,
        body: Bytes,
        digests: &Digests,
    ) -> Result<PartReceipt, StorageError> {
        check_number(&upload.key, number)?;
        self.send_part(upload, number, body, digests.crc64nvme)
            .await
    }

    async fn list_parts(
        &self,
        upload: &GrowingUpload,
    ) -> Result<Option<Vec<ListedPart>>, StorageError> {
        match self.listed(upload).await {
            Ok(parts) => Ok(Some(parts)),
            Err(failure) if matches!(failure.why, Why::NoUpload | Why::NoObject) => Ok(None),
            Err(failure) => Err(self.failed("list parts", upload.key.as_str(), failure)),
        }
    }

    async fn complete_upload(
        &self,
        upload: &GrowingUpload,
        parts: &[PartReceipt],
        whole: &Digests,
        step: fn(&'static str),
    ) -> Result<StoredBytes, StorageError> {
        check_parts(&upload.key, parts, whole)?;
        self.complete(upload, parts, whole, Attempt::Perhaps, step)
            .await
    }
}

impl S3Element {
    pub(super) async fn begin(
        &self,
        key: &ObjectKey,
        metadata: &BTreeMap<String, String>,
    ) -> Result<GrowingUpload, StorageError> {
        let begun = self.bucket.begin(&self.full_key(key), metadata).await;
        let upload_id =
            begun.map_err(|failure| self.failed("begin upload", key.as_str(), failure))?;
        Ok(GrowingUpload {
            key: key.clone(),
            upload_id,
        })
    }

    pub(super) async fn send_part(
        &self,
        upload: &GrowingUpload,
        number: u32,
        body: Bytes,
        crc64nvme: Crc64Nvme,
    ) -> Result<PartReceipt, StorageError> {
        let (key, id) = (self.full_key(&upload.key), &upload.upload_id);
        let sent = self.bucket.part(&key, id, number, body, crc64nvme).await;
        sent.map_err(|failure| self.failed("send part", upload.key.as_str(), failure))
    }

    /// All parts that the server tells number, size and tag of.
    async fn listed(&self, upload: &GrowingUpload) -> Result<Vec<ListedPart>, Failure> {
        let (key, id) = (self.full_key(&upload.key), &upload.upload_id);
        let mut parts = Vec::new();
        let mut after = None;
        loop {
            let page = self.bucket.list_parts(&key, id, after).await?;
            parts.extend(page.parts().iter().filter_map(|part| {
                let crc64nvme = part.checksum_crc64_nvme();
                Some(ListedPart {
                    number: u32::try_from(part.part_number()?).ok()?,
                    size: u64::try_from(part.size()?).ok()?,
                    etag: part.e_tag()?.to_owned(),
                    crc64nvme: crc64nvme.and_then(|text| Crc64Nvme::from_base64(text).ok()),
                })
            }));
            if page.is_truncated() != Some(true) {
                parts.sort_unstable_by_key(|part| part.number);
                return Ok(parts);
            }
            after = page.next_part_number_marker;
            if after.is_none() {
                let odd = "the listing of parts breaks off without a marker";
                return Err(Failure::odd_answer(odd));
            }
        }
    }

    /// Makes the object of its parts, if the key is free and we may have it.
    pub(super) async fn complete(
        &self,
        upload: &GrowingUpload,
        parts: &[PartReceipt],
        whole: &Digests,
        attempt: Attempt,
        step: fn(&'static str),
    ) -> Result<StoredBytes, StorageError> {
        let key = &upload.key;
        step("storage.before-complete");
        let claim = match self.claim(key, whole).await {
            Ok(claim) => claim,
            Err(error) => {
                if matches!(error, StorageError::Conflict { .. }) {
                    self.give_up(upload).await;
                }
                return Err(error);
            }
        };
        if let Some(standing) = self.compare(key, whole).await? {
            self.release(claim).await;
            let settled = standing.adopted(key, whole);
            self.drop_unless_it_is_the_object(upload, attempt, &settled)
                .await;
            return settled;
        }
        let (full_key, id) = (self.full_key(key), &upload.upload_id);
        let completed = self.bucket.complete(&full_key, id, parts, whole, true);
        match completed.await {
            Ok(()) => {
                step("storage.completed");
                self.release(claim).await;
                let enforced = self.known().enforces_checksums();
                self.confirm(key, whole, enforced).await
            }
            Err(failure) => {
                // Without an answer the server may still be putting the parts together.
                let refused = !matches!(failure.why, Why::NoAnswer | Why::Troubled);
                let settled = self.settle("complete", key, whole, failure).await;
                if refused || settled.is_ok() {
                    self.release(claim).await;
                }
                if refused {
                    self.drop_unless_it_is_the_object(upload, attempt, &settled)
                        .await;
                }
                settled
            }
        }
    }

    /// After something was found under the key: drops the parts of an upload, unless
    /// the object may be made of them. A server whose completion broke off in the
    /// middle can list them still, and dropping them would take them from the object.
    async fn drop_unless_it_is_the_object(
        &self,
        upload: &GrowingUpload,
        attempt: Attempt,
        settled: &Result<StoredBytes, StorageError>,
    ) {
        let useless = match settled {
            Ok(_) => attempt == Attempt::First,
            Err(error) => matches!(error, StorageError::Conflict { .. }),
        };
        if useless {
            self.give_up(upload).await;
        }
    }

    /// Drops the parts of an upload that will not be completed.
    pub(super) async fn give_up(&self, upload: &GrowingUpload) {
        let key = self.full_key(&upload.key);
        if let Err(failure) = self.bucket.abort(&key, &upload.upload_id).await {
            // Not lost: it is listed among the unfinished uploads.
            tracing::info!(
                element = self.name(),
                key = %upload.key,
                upload_id = upload.upload_id,
                why = failure.detail,
                "an unfinished upload stays behind"
            );
        }
    }
}

//! A file in parts: read, digested and sent at the same time.
//!
//! The parts' checksums combine into that of the whole, so that no byte is looked at
//! twice. The object appears with the last request, after the file was found
//! unchanged and the caller agreed.

use std::pin::pin;

use aquifer_digest::{Digests, SealedFile};
use aws_sdk_s3::types::CompletedPart;
use futures::stream::{FuturesUnordered, StreamExt};

use super::S3Element;
use super::failure::Why;
use super::store::known_before;
use crate::element::{PutOutcome, StorageElement, StoreOptions, StoredObject, Verify};
use crate::error::StorageError;
use crate::key::{ObjectKey, ObjectMeta};
use crate::source::{SourceFile, spans};

/// Parts grow beyond this number, which leaves room to the 10 000 that S3 takes.
const USUAL_PARTS: u64 = 9000;

/// Most parts that S3 takes.
const MOST_PARTS: u64 = 10_000;

/// Largest part that S3 takes.
const LARGEST_PART: u64 = 5 << 30;

/// A begun upload.
struct Upload<'a> {
    key: &'a ObjectKey,
    full_key: String,
    id: String,
}

/// An upload whose parts are all there.
struct Sent {
    sealed: SealedFile,
    parts: Vec<CompletedPart>,
}

impl S3Element {
    /// The part size for a file: as configured, or as large as its size demands.
    pub(super) fn part_size(&self, key: &ObjectKey, size: u64) -> Result<usize, StorageError> {
        let configured = self.bucket.config.part_size_mib << 20;
        part_size(configured, size).map_err(|limit| StorageError::TooLarge {
            key: key.clone(),
            size,
            limit,
        })
    }

    pub(super) async fn store_parts(
        &self,
        source: &SourceFile,
        key: &ObjectKey,
        meta: &ObjectMeta,
        part_size: usize,
        options: StoreOptions,
    ) -> Result<StoredObject, StorageError> {
        let full_key = self.full_key(key);
        let metadata = known_before(meta, source.identity().size);
        let begun = self.bucket.begin(&full_key, &metadata).await;
        let id = begun.map_err(|failure| self.failed("begin upload", key.as_str(), failure))?;
        let upload = Upload { key, full_key, id };

        let StoreOptions { verify, step } = options;
        let sent = match self.send(source, &upload, part_size, verify, step).await {
            Ok(sent) => sent,
            Err(error) => {
                self.give_up(&upload).await;
                return Err(error);
            }
        };
        let digests = sent.sealed.digests();
        step("storage.before-complete");
        let claim = match self.claim(key, &digests).await {
            Ok(claim) => claim,
            Err(error) => {
                self.give_up(&upload).await;
                return Err(error);
            }
        };
        if let Some(standing) = self.compare(key, &digests).await? {
            self.give_up(&upload).await;
            self.release(claim).await;
            let proof = standing.adopted(key, &digests)?;
            return Ok(proof.stored(key, sent.sealed, PutOutcome::Adopted));
        }
        let (full_key, id) = (&upload.full_key, &upload.id);
        let completed = self
            .bucket
            .complete(full_key, id, sent.parts, &digests, true);
        match completed.await {
            Ok(()) => {
                step("storage.completed");
                self.release(claim).await;
                let enforced = self.known().enforces_checksums();
                let proof = self.confirm(key, &digests, enforced).await?;
                Ok(proof.stored(key, sent.sealed, PutOutcome::Created))
            }
            Err(failure) => {
                // Where the server may still be putting the parts together, dropping
                // them could take them from under the finished object.
                if !matches!(failure.why, Why::NoAnswer | Why::Troubled) {
                    self.give_up(&upload).await;
                    self.release(claim).await;
                }
                let proof = self.settle("complete", key, &digests, failure).await?;
                Ok(proof.stored(key, sent.sealed, PutOutcome::Adopted))
            }
        }
    }

    /// Reads and sends all parts, seals the file and asks the caller.
    async fn send(
        &self,
        source: &SourceFile,
        upload: &Upload<'_>,
        part_size: usize,
        verify: Option<Verify>,
        step: fn(&'static str),
    ) -> Result<Sent, StorageError> {
        let size = source.identity().size;
        let spans = spans(size, part_size);
        let mut parts = Vec::with_capacity(spans.len());
        let mut sending = FuturesUnordered::new();
        let mut whole = Digests::EMPTY;
        for (number, span) in (1..).zip(spans) {
            let mut read = pin!(async { source.read(span, self.pool.take().await).await });
            let (buffer, digests) = loop {
                tokio::select! {
                    biased;
                    Some(part) = sending.next() => {
                        parts.push(part?);
                        step("storage.part-uploaded");
                    }
                    read = &mut read => break read?,
                }
            };
            whole = whole.then(&digests);
            if digests.size < span.size as u64 {
                // The file ends early: sealing it below fails and says how.
                break;
            }
            while sending.len() >= self.bucket.config.parts_in_flight
                && let Some(part) = sending.next().await
            {
                parts.push(part?);
                step("storage.part-uploaded");
            }
            sending.push(async move {
                let (key, id) = (&upload.full_key, &upload.id);
                let body = buffer.share();
                let sent = self.bucket.part(key, id, number, body, digests.crc64nvme);
                sent.await
                    .map_err(|failure| self.failed("send part", upload.key.as_str(), failure))
            });
        }
        let sealed = source.seal(whole).await?;
        step("storage.sealed");
        StoreOptions::verified(verify, upload.key, &whole)?;
        while let Some(part) = sending.next().await {
            parts.push(part?);
            step("storage.part-uploaded");
        }
        parts.sort_unstable_by_key(CompletedPart::part_number);
        Ok(Sent { sealed, parts })
    }

    /// Drops the parts of an upload that will not be completed.
    async fn give_up(&self, upload: &Upload<'_>) {
        if let Err(failure) = self.bucket.abort(&upload.full_key, &upload.id).await {
            // Not lost: it is listed among the unfinished uploads.
            tracing::info!(
                element = self.name(),
                key = %upload.key,
                upload_id = upload.id,
                why = failure.detail,
                "an unfinished upload stays behind"
            );
        }
    }
}

/// The part size for a file of `size` bytes, or the most bytes that fit.
fn part_size(configured: u64, size: u64) -> Result<usize, u64> {
    let mib = 1 << 20;
    let demanded = size.div_ceil(USUAL_PARTS).next_multiple_of(mib);
    let part_size = demanded.max(configured).min(LARGEST_PART);
    let limit = part_size * MOST_PARTS;
    if size > limit {
        return Err(limit);
    }
    Ok(part_size as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn parts_are_as_configured_until_there_are_too_many() {
        assert_eq!(part_size(16 * MIB, 0), Ok(16 << 20));
        assert_eq!(part_size(16 * MIB, 9000 * 16 * MIB), Ok(16 << 20));
        assert_eq!(part_size(16 * MIB, 9000 * 16 * MIB + 1), Ok(17 << 20));
        assert_eq!(part_size(16 * MIB, 48 << 40), Ok(5 << 30));
        assert_eq!(part_size(16 * MIB, 49 << 40), Err(10_000 * LARGEST_PART));
    }

    proptest! {
        #[test]
        fn s3_takes_the_parts_of_any_file(size in 0u64..(48 << 40), configured in 5u64..5120) {
            let part_size = part_size(configured * MIB, size).unwrap() as u64;
            prop_assert!(part_size >= configured * MIB && part_size <= LARGEST_PART);
            prop_assert!(size.div_ceil(part_size) <= MOST_PARTS);
        }
    }
}

//! A file in parts: read, digested and sent at the same time.
//!
//! The parts' checksums combine into that of the whole, so that no byte is looked at
//! twice. The object appears with the last request, after the file was found
//! unchanged and the caller agreed.

use std::pin::pin;

use aquifer_digest::{Digests, SealedFile};
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use futures::stream::{FuturesUnordered, StreamExt};

use super::S3Element;
use super::growing::Attempt;
use super::store::known_before;
use crate::element::{StoreOptions, StoredObject, Verify};
use crate::error::StorageError;
use crate::growing::{GrowingUpload, MOST_PARTS, PartReceipt};
use crate::key::{ObjectKey, ObjectMeta};
use crate::source::{SourceFile, spans};

/// Parts grow beyond this number, which leaves room to the 10 000 that S3 takes.
const USUAL_PARTS: u64 = 9000;

/// Largest part that S3 takes.
const LARGEST_PART: u64 = 5 << 30;

/// An upload whose parts are all there.
struct Sent {
    sealed: SealedFile,
    parts: Vec<PartReceipt>,
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
        let metadata = known_before(meta, source.identity().size);
        let upload = self.begin(key, &metadata).await?;
        let StoreOptions { verify, step } = options;
        let sent = match self.send(source, &upload, part_size, verify, step).await {
            Ok(sent) => sent,
            Err(error) => {
                self.give_up(&upload).await;
                return Err(error);
            }
        };
        let whole = sent.sealed.digests();
        let stored = self.complete(&upload, &sent.parts, &whole, Attempt::First, step);
        let stored = stored.await;
        if let Err(error) = &stored
            && error.class() != ErrorClass::Unavailable
        {
            self.give_up(&upload).await;
        }
        Ok(StoredObject::new(key, sent.sealed, stored?))
    }

    /// Reads and sends all parts, seals the file and asks the caller.
    async fn send(
        &self,
        source: &SourceFile,
        upload: &GrowingUpload,
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
                self.send_part(upload, number, buffer.share(), digests.crc64nvme)
                    .await
            });
        }
        let sealed = source.seal(whole).await?;
        step("storage.sealed");
        StoreOptions::verified(verify, &upload.key, &whole)?;
        while let Some(part) = sending.next().await {
            parts.push(part?);
            step("storage.part-uploaded");
        }
        parts.sort_unstable_by_key(|part| part.number);
        Ok(Sent { sealed, parts })
    }
}

/// The part size for a file of `size` bytes, or the most bytes that fit.
fn part_size(configured: u64, size: u64) -> Result<usize, u64> {
    let mib = 1 << 20;
    let demanded = size.div_ceil(USUAL_PARTS).next_multiple_of(mib);
    let part_size = demanded.max(configured).min(LARGEST_PART);
    let limit = part_size * u64::from(MOST_PARTS);
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
            prop_assert!(size.div_ceil(part_size) <= u64::from(MOST_PARTS));
        }
    }
}

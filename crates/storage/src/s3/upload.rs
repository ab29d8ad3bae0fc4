//! A file in parts: read, digested and sent at the same time.
//!
//! The parts' checksums combine into that of the whole, so that no byte is looked at
//! twice. What an earlier attempt sent already is not sent again. The object appears with the last request, after the file was found
//! unchanged and the caller agreed.

use std::pin::pin;

use aquifer_digest::{Digests, SealedFile};
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use futures::stream::{FuturesUnordered, StreamExt};

use super::S3Element;
use super::growing::Attempt;
use super::resume::{Held, receipt_if_same};
use super::store::known_before;
use crate::element::{StorageElement, StoreOptions, StoredObject};
use crate::error::StorageError;
use crate::growing::{GrowingUpload, MOST_PARTS, PartReceipt};
use crate::key::{ObjectKey, ObjectMeta};
use crate::source::{SourceFile, spans};

/// Parts grow beyond this number, which leaves room to the 10 000 that S3 takes.
const USUAL_PARTS: u64 = 9000;

/// Largest part that S3 takes.
const LARGEST_PART: u64 = 5 << 30;

/// A file on its way in parts.
struct Parting<'a> {
    source: &'a SourceFile,
    part_size: usize,
    options: StoreOptions,
}

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
        let mut leftovers = self.leftovers(key, source.identity().size, part_size).await;
        let mut parting = Parting {
            source,
            part_size,
            options,
        };
        if let Some((upload, held)) = leftovers.resumable.take() {
            let resumed = self.send_and_complete(&mut parting, &upload, &held, Attempt::Perhaps);
            if let Some(stored) = resumed.await? {
                self.drop_abandoned(&leftovers, &stored).await;
                return Ok(stored);
            }
            if self.head(key).await?.is_some() {
                return self.adopt(source, key, parting.options).await;
            }
        }
        let metadata = known_before(meta, source.identity().size);
        let upload = self.begin(key, &metadata).await?;
        let stored = self
            .send_and_complete(&mut parting, &upload, &Held::new(), Attempt::First)
            .await?
            .expect("where the server holds nothing, nothing contradicts our bytes");
        self.drop_abandoned(&leftovers, &stored).await;
        Ok(stored)
    }

    /// Sends what the server does not hold yet and completes the upload; `None` where
    /// the upload to resume is another file's, or was ended by another writer meanwhile.
    async fn send_and_complete(
        &self,
        parting: &mut Parting<'_>,
        upload: &GrowingUpload,
        held: &Held,
        attempt: Attempt,
    ) -> Result<Option<StoredObject>, StorageError> {
        let step = parting.options.step;
        let stored: Result<_, StorageError> = async {
            let sent = match self.send(parting, upload, held).await {
                Err(StorageError::Interrupted { .. }) if attempt == Attempt::Perhaps => None,
                sent => sent?,
            };
            let Some(sent) = sent else {
                return Ok(None);
            };
            let whole = sent.sealed.digests();
            let stored = self.complete(upload, &sent.parts, &whole, attempt, step);
            let stored = StoredObject::new(&upload.key, sent.sealed, stored.await?);
            Ok(Some(stored))
        }
        .await;
        // After an outage the next attempt goes on with what was sent.
        if let Err(error) = &stored
            && error.class() != ErrorClass::Unavailable
        {
            self.give_up(upload).await;
        }
        stored
    }

    /// Reads all parts and sends those that the server does not hold, seals the file
    /// and asks the caller. `None` where the server holds other bytes than ours.
    async fn send(
        &self,
        parting: &mut Parting<'_>,
        upload: &GrowingUpload,
        held: &Held,
    ) -> Result<Option<Sent>, StorageError> {
        let (source, step) = (parting.source, parting.options.step);
        let pace = &parting.options.pace;
        let spans = spans(source.identity().size, parting.part_size);
        let mut parts = Vec::with_capacity(spans.len());
        let mut sending = FuturesUnordered::new();
        let mut whole = Digests::EMPTY;
        for (number, span) in (1..).zip(spans) {
            let is_held = held.contains_key(&number);
            // The turn is waited for without memory, which others may need meanwhile.
            let mut read = pin!(async {
                if !is_held {
                    StoreOptions::paced(pace.as_ref(), span.size as u64).await;
                }
                source.read(span, self.pool.take(span.size).await).await
            });
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
            let body = buffer.share();
            if let Some(part) = held.get(&number) {
                match receipt_if_same(part, body, &digests).await {
                    Some(receipt) => parts.push(receipt),
                    None => return Ok(None),
                }
                continue;
            }
            while sending.len() >= self.bucket.config.parts_in_flight
                && let Some(part) = sending.next().await
            {
                parts.push(part?);
                step("storage.part-uploaded");
            }
            sending.push(self.send_part(upload, number, body, digests.crc64nvme));
        }
        let sealed = source.seal(whole).await?;
        step("storage.sealed");
        while let Some(part) = sending.next().await {
            parts.push(part?);
            step("storage.part-uploaded");
        }
        // Asked last: it can be asked once only, and until here we may begin anew.
        StoreOptions::verified(parting.options.verify.take(), &upload.key, &whole)?;
        parts.sort_unstable_by_key(|part| part.number);
        Ok(Some(Sent { sealed, parts }))
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

//! Going on with an upload that a crash or an outage cut short.
//!
//! The server holds the parts; the file is read again anyway, and a part that it holds
//! with our size and checksum need not be sent again. An upload is taken up only on a
//! server that was seen to check parts and wholes: should another writer be at work on
//! it at the same moment, the completion of either is refused or makes the right
//! object. What hinders resuming never hinders storing.

use std::collections::BTreeMap;

use aquifer_digest::Digests;
use bytes::Bytes;
use futures::stream::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use md5::{Digest as _, Md5};

use super::S3Element;
use crate::element::{PutOutcome, StorageElement, StoredObject, UnfinishedUpload};
use crate::error::StorageError;
use crate::growing::{GrowingUpload, GrowingUploads, ListedPart, PartReceipt};
use crate::key::ObjectKey;
use crate::source::{Span, spans};

/// Unfinished uploads of one key that are looked at, the newest first.
const LOOKED_AT: usize = 4;

/// Age from which an upload is not the work of another process that is about to end
/// it. Slower than this is no link that an experiment could use.
const ABANDONED: SignedDuration = SignedDuration::from_hours(24);

/// What earlier attempts at a key left on the server.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// The newest upload whose parts may be those of our file.
    pub(super) resumable: Option<(GrowingUpload, Held)>,
    /// The others.
    others: Vec<UnfinishedUpload>,
}

/// Parts that the server holds, by number.
pub(super) type Held = BTreeMap<u32, ListedPart>;

/// The receipt of a part that the server holds, if it has our bytes. A server that
/// tells no checksum is believed where its tag is the MD5 of them, as tags are unless
/// the server encrypts; the checksum of the whole is checked at the end in any case.
pub(super) async fn receipt_if_same(
    part: &ListedPart,
    body: Bytes,
    digests: &Digests,
) -> Option<PartReceipt> {
    let same = if let Some(told) = part.crc64nvme {
        told == digests.crc64nvme
    } else {
        let md5 = move || Bytes::copy_from_slice(&Md5::digest(&body));
        let md5 = tokio::task::spawn_blocking(md5).await;
        md5.is_ok_and(|md5| part.etag.trim_matches('"') == format!("{md5:x}"))
    };
    (same && part.size == digests.size).then(|| PartReceipt {
        number: part.number,
        size: part.size,
        etag: part.etag.clone(),
        crc64nvme: digests.crc64nvme,
    })
}

impl S3Element {
    /// Looks for uploads that were begun for this key.
    pub(super) async fn leftovers(
        &self,
        key: &ObjectKey,
        size: u64,
        part_size: usize,
    ) -> Leftovers {
        let known = self.known();
        if !known.lists_multipart || !known.enforces_checksums() {
            return Leftovers::default();
        }
        match self.find_leftovers(key, size, part_size).await {
            Ok(leftovers) => leftovers,
            Err(error) => {
                tracing::info!(
                    element = self.name(),
                    %key,
                    %error,
                    "cannot look for an upload to resume; all parts are sent"
                );
                Leftovers::default()
            }
        }
    }

    async fn find_leftovers(
        &self,
        key: &ObjectKey,
        size: u64,
        part_size: usize,
    ) -> Result<Leftovers, StorageError> {
        let mut uploads = Vec::new();
        let mut pages = self.list_unfinished(key.as_str());
        while let Some(page) = pages.try_next().await? {
            uploads.extend(page.into_iter().filter(|upload| upload.key == key.as_str()));
        }
        drop(pages);
        uploads.sort_by_key(|upload| std::cmp::Reverse(upload.initiated));
        let mut found = Leftovers::default();
        for (place, unfinished) in uploads.into_iter().enumerate() {
            if place < LOOKED_AT && found.resumable.is_none() {
                let upload = GrowingUpload {
                    key: key.clone(),
                    upload_id: unfinished.upload_id.clone(),
                };
                let parts = self.list_parts(&upload).await?.unwrap_or_default();
                if may_be_ours(&parts, size, part_size) {
                    let held = parts.into_iter().map(|part| (part.number, part));
                    found.resumable = Some((upload, held.collect()));
                    continue;
                }
            }
            found.others.push(unfinished);
        }
        Ok(found)
    }

    /// After our object was made: nothing else that was begun for its key can ever be
    /// completed. What is old enough to be nobody's work any more is dropped.
    pub(super) async fn drop_abandoned(&self, leftovers: &Leftovers, stored: &StoredObject) {
        if stored.outcome != PutOutcome::Created {
            // One of them may be what the object was made of.
            return;
        }
        let now = Timestamp::now();
        for upload in &leftovers.others {
            let age = upload.initiated.map(|begun| now.duration_since(begun));
            if age.is_some_and(|age| age > ABANDONED)
                && let Err(error) = self.abort_unfinished(upload).await
            {
                // Not lost: it is listed among the unfinished uploads.
                tracing::info!(
                    element = self.name(),
                    key = upload.key,
                    upload_id = upload.upload_id,
                    %error,
                    "an unfinished upload stays behind"
                );
            }
        }
    }
}

/// Whether parts can be of a file of `size` bytes that is sent in parts of
/// `part_size`: there are some, and each has the size of the span it would cover.
fn may_be_ours(parts: &[ListedPart], size: u64, part_size: usize) -> bool {
    let spans: Vec<Span> = spans(size, part_size).collect();
    let fits = |part: &ListedPart| {
        let span = spans.get(part.number as usize - 1);
        span.is_some_and(|span| span.size as u64 == part.size)
    };
    !parts.is_empty() && parts.iter().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_that_cover_our_spans_are_taken_up() {
        let part = |number, size| ListedPart {
            number,
            size,
            etag: String::new(),
            crc64nvme: None,
        };
        let ours = |parts: &[ListedPart]| may_be_ours(parts, 25, 10);
        assert!(ours(&[part(1, 10)]));
        assert!(ours(&[part(1, 10), part(3, 5)]));
        assert!(!ours(&[]), "nothing to gain");
        assert!(!ours(&[part(1, 5)]), "other part size");
        assert!(!ours(&[part(3, 10)]), "longer file");
        assert!(!ours(&[part(1, 10), part(4, 1)]), "longer file");
    }
}

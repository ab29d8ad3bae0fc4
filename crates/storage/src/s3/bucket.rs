//! The requests themselves, one method each, on whole keys.
//!
//! Where it is safe payloads are not signed: their crc64nvme travels in a header, which
//! is signed, and a server that was probed to check it needs no second proof at half of
//! the cost of an upload. What follows from a [`Failure`] is decided elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aquifer_digest::{Crc64Nvme, Digests};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::list_parts::ListPartsOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};
use bytes::Bytes;

use super::config::S3Config;
use super::failure::{Failure, Why};
use crate::error::StorageError;
use crate::growing::PartReceipt;

/// Servers may copy all parts of an object together before they answer.
const TIME_TO_COMPLETE: Duration = Duration::from_mins(10);

/// A bucket that can be asked.
#[derive(Debug)]
pub(super) struct Bucket {
    client: Client,
    pub(super) config: S3Config,
    unsigned: AtomicBool,
}

/// Where listing several pages has come to.
#[derive(Debug, Default)]
pub(super) struct UploadMarker {
    key: Option<String>,
    upload_id: Option<String>,
}

impl UploadMarker {
    /// Where the page after `page` begins; `None` after the last.
    pub(super) fn after(page: &ListMultipartUploadsOutput) -> Option<Self> {
        (page.is_truncated() == Some(true)).then(|| Self {
            key: page.next_key_marker().map(ToOwned::to_owned),
            upload_id: page.next_upload_id_marker().map(ToOwned::to_owned),
        })
    }
}

impl Bucket {
    pub(super) fn new(config: S3Config) -> Result<Self, StorageError> {
        config.check()?;
        let client = config.client()?;
        let unsigned = AtomicBool::new(config.leaves_payload_unsigned());
        Ok(Self {
            client,
            config,
            unsigned,
        })
    }

    fn name(&self) -> &str {
        &self.config.bucket
    }

    /// Whether payloads go unsigned.
    pub(super) fn leaves_payload_unsigned(&self) -> bool {
        self.unsigned.load(Ordering::Relaxed)
    }

    /// From now on payloads are signed, or as configured again.
    pub(super) fn sign_payloads(&self, sign: bool) {
        let unsigned = !sign && self.config.leaves_payload_unsigned();
        self.unsigned.store(unsigned, Ordering::Relaxed);
    }

    /// Another limit of time than that of small requests.
    fn within(time: Duration) -> Builder {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(time)
            .build();
        Builder::new().timeout_config(timeouts)
    }

    /// Stores a whole object, if `only_new` under a key that is free.
    pub(super) async fn put(
        &self,
        key: &str,
        body: Bytes,
        crc64nvme: Crc64Nvme,
        metadata: &BTreeMap<String, String>,
        only_new: bool,
    ) -> Result<(), Failure> {
        let time = self.config.time_for(body.len() as u64);
        let mut request = self
            .client
            .put_object()
            .bucket(self.name())
            .key(key)
            .checksum_crc64_nvme(crc64nvme.to_base64())
            .set_if_none_match(only_new.then(|| "*".to_owned()))
            .set_metadata(Some(for_headers(metadata)))
            .body(ByteStream::from(body))
            .customize()
            .config_override(Self::within(time));
        if self.leaves_payload_unsigned() {
            request = request.disable_payload_signing();
        }
        let answer = request.send().await.map_err(|error| Failure::of(&error))?;
        same_checksum(answer.checksum_crc64_nvme(), crc64nvme)
    }

    /// Begins a multipart upload and gives its id.
    pub(super) async fn begin(
        &self,
        key: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<String, Failure> {
        let answer = self
            .client
            .create_multipart_upload()
            .bucket(self.name())
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject)
            .set_metadata(Some(for_headers(metadata)))
            .send()
            .await
            .map_err(|error| Failure::of(&error))?;
        answer
            .upload_id
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Failure::odd_answer("the server began an upload without an id"))
    }

    /// Sends part `number`, counted from 1.
    pub(super) async fn part(
        &self,
        key: &str,
        upload_id: &str,
        number: u32,
        body: Bytes,
        crc64nvme: Crc64Nvme,
    ) -> Result<PartReceipt, Failure> {
        let size = body.len() as u64;
        let time = self.config.time_for(size);
        let mut request = self
            .client
            .upload_part()
            .bucket(self.name())
            .key(key)
            .upload_id(upload_id)
            .part_number(number as i32)
            .checksum_crc64_nvme(crc64nvme.to_base64())
            .body(ByteStream::from(body))
            .customize()
            .config_override(Self::within(time));
        if self.leaves_payload_unsigned() {
            request = request.disable_payload_signing();
        }
        let answer = request.send().await.map_err(|error| Failure::of(&error))?;
        same_checksum(answer.checksum_crc64_nvme(), crc64nvme)?;
        let etag = answer
            .e_tag
            .ok_or_else(|| Failure::odd_answer("the server took a part without an ETag"))?;
        Ok(PartReceipt {
            number,
            size,
            etag,
            crc64nvme,
        })
    }

    /// Makes the object of its parts, if `only_new` under a key that is free. Sent
    /// once: only so does a refusal mean that nothing was made.
    pub(super) async fn complete(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[PartReceipt],
        whole: &Digests,
        only_new: bool,
    ) -> Result<(), Failure> {
        let parts = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(part.number as i32)
                .e_tag(&part.etag)
                .checksum_crc64_nvme(part.crc64nvme.to_base64())
                .build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        let once = Self::within(TIME_TO_COMPLETE).retry_config(RetryConfig::disabled());
        let answer = self
            .client
            .complete_multipart_upload()
            .bucket(self.name())
            .key(key)
            .upload_id(upload_id)
            .multipart_upload(parts)
            .checksum_type(ChecksumType::FullObject)
            .checksum_crc64_nvme(whole.crc64nvme.to_base64())
            .mpu_object_size(whole.size as i64)
            .set_if_none_match(only_new.then(|| "*".to_owned()))
            .customize()
            .config_override(once)
            .send()
            .await
            .map_err(|error| Failure::of(&error))?;
        same_checksum(answer.checksum_crc64_nvme(), whole.crc64nvme)
    }

    /// One page of the parts of an upload, after part `after`.
    pub(super) async fn list_parts(
        &self,
        key: &str,
        upload_id: &str,
        after: Option<String>,
    ) -> Result<ListPartsOutput, Failure> {
        self.client
            .list_parts()
            .bucket(self.name())
            .key(key)
            .upload_id(upload_id)
            .set_part_number_marker(after)
            .send()
            .await
            .map_err(|error| Failure::of(&error))
    }

    /// Drops an upload and its parts. One that is gone counts as dropped.
    pub(super) async fn abort(&self, key: &str, upload_id: &str) -> Result<(), Failure> {
        let request = self.client.abort_multipart_upload();
        let request = request.bucket(self.name()).key(key).upload_id(upload_id);
        match request.send().await.map_err(|error| Failure::of(&error)) {
            Err(failure) if !matches!(failure.why, Why::NoUpload | Why::NoObject) => Err(failure),
            _ => Ok(()),
        }
    }

    /// Describes an object, with its checksum.
    pub(super) async fn head(&self, key: &str) -> Result<Option<HeadObjectOutput>, Failure> {
        let request = self.client.head_object().bucket(self.name()).key(key);
        let answer = request.checksum_mode(ChecksumMode::Enabled).send().await;
        match answer.map_err(|error| Failure::of(&error)) {
            Ok(head) => Ok(Some(head)),
            Err(failure) if failure.why == Why::NoObject => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The bytes of an object, or those in `range` of it, which is not empty.
    pub(super) async fn get(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, Failure> {
        // HTTP counts the last byte in (RFC 9110 §14.1.2).
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        self.client
            .get_object()
            .bucket(self.name())
            .key(key)
            .set_range(range)
            .send()
            .await
            .map(|answer| answer.body)
            .map_err(|error| Failure::of(&error))
    }

    /// Deletes an object. A missing one is no failure.
    pub(super) async fn delete(&self, key: &str) -> Result<(), Failure> {
        let request = self.client.delete_object().bucket(self.name()).key(key);
        match request.send().await.map_err(|error| Failure::of(&error)) {
            Err(failure) if failure.why != Why::NoObject => Err(failure),
            _ => Ok(()),
        }
    }

    /// One page of the objects whose keys begin with `prefix`.
    pub(super) async fn list(
        &self,
        prefix: &str,
        continuation: Option<String>,
    ) -> Result<ListObjectsV2Output, Failure> {
        self.client
            .list_objects_v2()
            .bucket(self.name())
            .prefix(prefix)
            .set_continuation_token(continuation)
            .send()
            .await
            .map_err(|error| Failure::of(&error))
    }

    /// One page of the unfinished uploads whose keys begin with `prefix`.
    pub(super) async fn list_uploads(
        &self,
        prefix: &str,
        marker: UploadMarker,
    ) -> Result<ListMultipartUploadsOutput, Failure> {
        self.client
            .list_multipart_uploads()
            .bucket(self.name())
            .prefix(prefix)
            .set_key_marker(marker.key)
            .set_upload_id_marker(marker.upload_id)
            .send()
            .await
            .map_err(|error| Failure::of(&error))
    }

    /// Makes the bucket where it is missing.
    pub(super) async fn ensure(&self) -> Result<(), Failure> {
        let head = self.client.head_bucket().bucket(self.name()).send().await;
        match head.map_err(|error| Failure::of(&error)) {
            Ok(_) => return Ok(()),
            Err(failure) if !matches!(failure.why, Why::NoObject | Why::NoBucket) => {
                return Err(failure);
            }
            Err(_) => {}
        }
        let made = self.client.create_bucket().bucket(self.name()).send().await;
        match made.map_err(|error| Failure::of(&error)) {
            // Another process was faster.
            Err(failure) if failure.why != Why::Busy => Err(failure),
            _ => Ok(()),
        }
    }
}

fn for_headers(metadata: &BTreeMap<String, String>) -> HashMap<String, String> {
    metadata.clone().into_iter().collect()
}

/// A checksum in the answer must be the one that was sent.
fn same_checksum(answered: Option<&str>, sent: Crc64Nvme) -> Result<(), Failure> {
    match answered {
        Some(answered) if answered != sent.to_base64() => Err(Failure {
            why: Why::BadDigest,
            detail: format!(
                "the server has crc64nvme {answered}, not {}",
                sent.to_base64()
            ),
        }),
        _ => Ok(()),
    }
}

//! Finding out what a server really does, by requests that must fail.
//!
//! A server that takes a wrong checksum makes every checksum it reports worthless; one
//! that ignores a condition lets two writers overwrite each other. Both exist.

use std::collections::BTreeMap;

use aquifer_digest::{Crc64Nvme, Digests};
use bytes::Bytes;
use futures::stream::TryStreamExt;

use super::S3Element;
use super::failure::{Failure, Why};
use crate::element::{Capabilities, StorageElement};
use crate::error::StorageError;

/// Folder of the probe's objects, below the element's prefix.
const FOLDER: &str = ".aquifer-probe";

/// Content of the probe's objects; the second is never to be stored.
const CONTENT: &[u8] = b"aquifer asks what this server does";
const OTHER_CONTENT: &[u8] = b"aquifer asked twice under one name";

/// The keys and uploads of one probe.
struct Probe<'a> {
    element: &'a S3Element,
    name: String,
    digests: Digests,
    wrong: Crc64Nvme,
    uploads: Vec<(String, String)>,
}

impl S3Element {
    pub(super) async fn find_capabilities(&self) -> Result<Capabilities, StorageError> {
        let digests = Digests::of(CONTENT);
        let mut probe = Probe {
            element: self,
            name: format!("{FOLDER}/{}", uuid::Uuid::now_v7()),
            digests,
            wrong: Crc64Nvme(!digests.crc64nvme.0),
            uploads: Vec::new(),
        };
        let found = probe.run().await;
        let cleaned = probe.clean_up().await;
        let mut capabilities =
            found.map_err(|failure| self.failed("probe", self.location(), failure))?;
        capabilities.deletes = cleaned.is_ok();
        Ok(capabilities)
    }
}

impl Probe<'_> {
    fn key(&self, what: &str) -> String {
        self.element.full_prefix(&format!("{}/{what}", self.name))
    }

    async fn run(&mut self) -> Result<Capabilities, Failure> {
        let unsigned_payload = self.payload_may_be_unsigned().await?;
        let put_is_checked = self.wrong_object_is_refused().await?;
        let part_is_checked = self.wrong_part_is_refused().await?;
        Ok(Capabilities {
            refuses_wrong_checksum: put_is_checked && part_is_checked,
            echoes_checksum: self.checksum_is_echoed().await?,
            conditional_put: self.second_put_is_refused().await?,
            refuses_wrong_full_object_checksum: self.wrong_whole_is_refused().await?,
            conditional_complete: self.second_complete_is_refused().await?,
            lists_multipart: self.uploads_are_listed().await?,
            deletes: false,
            unsigned_payload,
        })
    }

    async fn put(
        &self,
        what: &str,
        content: &'static [u8],
        crc64nvme: Crc64Nvme,
        only_new: bool,
    ) -> Result<(), Failure> {
        let (key, body) = (self.key(what), Bytes::from_static(content));
        let bucket = &self.element.bucket;
        bucket
            .put(&key, body, crc64nvme, &BTreeMap::new(), only_new)
            .await
    }

    /// Tries a good object as configured. A server that refuses it, but takes it
    /// signed, gets signed ones from now on.
    async fn payload_may_be_unsigned(&self) -> Result<bool, Failure> {
        let bucket = &self.element.bucket;
        bucket.sign_payloads(false);
        let put = async || {
            let crc64nvme = self.digests.crc64nvme;
            self.put("object", CONTENT, crc64nvme, false).await
        };
        let refused = match put().await {
            Ok(()) => return Ok(bucket.leaves_payload_unsigned()),
            Err(failure) if !bucket.leaves_payload_unsigned() => return Err(failure),
            Err(failure) => match failure.why {
                Why::BadDigest | Why::Denied | Why::Rejected => failure,
                _ => return Err(failure),
            },
        };
        bucket.sign_payloads(true);
        if put().await.is_ok() {
            return Ok(false);
        }
        // Signing does not help either: what was said first is the reason.
        bucket.sign_payloads(false);
        Err(refused)
    }

    async fn wrong_object_is_refused(&self) -> Result<bool, Failure> {
        let refused = refused(self.put("wrong", CONTENT, self.wrong, false).await)?;
        Ok(refused && self.is_absent("wrong").await?)
    }

    /// To complain and to store all the same is no refusal.
    async fn is_absent(&self, what: &str) -> Result<bool, Failure> {
        let head = self.element.bucket.head(&self.key(what)).await?;
        Ok(head.is_none())
    }

    /// Leaves the object that the next questions are about.
    async fn checksum_is_echoed(&self) -> Result<bool, Failure> {
        let crc64nvme = self.digests.crc64nvme;
        self.put("object", CONTENT, crc64nvme, false).await?;
        let head = self.element.bucket.head(&self.key("object")).await?;
        let echoed = head.and_then(|head| head.checksum_crc64_nvme);
        Ok(echoed == Some(crc64nvme.to_base64()))
    }

    async fn second_put_is_refused(&self) -> Result<bool, Failure> {
        let crc64nvme = Digests::of(OTHER_CONTENT).crc64nvme;
        refused(self.put("object", OTHER_CONTENT, crc64nvme, true).await)
    }

    async fn wrong_part_is_refused(&mut self) -> Result<bool, Failure> {
        let (key, id) = self.begin("wrong-part").await?;
        let body = Bytes::from_static(CONTENT);
        let bucket = &self.element.bucket;
        let sent = bucket.part(&key, &id, 1, body, self.wrong).await;
        refused(sent.map(|_| ()))
    }

    async fn wrong_whole_is_refused(&mut self) -> Result<bool, Failure> {
        let wrong = Digests {
            crc64nvme: self.wrong,
            ..self.digests
        };
        let refused = refused(self.upload("wrong-whole", &wrong, false).await?)?;
        Ok(refused && self.is_absent("wrong-whole").await?)
    }

    async fn second_complete_is_refused(&mut self) -> Result<bool, Failure> {
        let right = self.digests;
        refused(self.upload("object", &right, true).await?)
    }

    async fn uploads_are_listed(&mut self) -> Result<bool, Failure> {
        let (_, id) = self.begin("unfinished").await?;
        let mut pages = self.element.list_unfinished(&self.name);
        while let Ok(Some(page)) = pages.try_next().await {
            if page.iter().any(|upload| upload.upload_id == id) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn begin(&mut self, what: &str) -> Result<(String, String), Failure> {
        let key = self.key(what);
        let id = self.element.bucket.begin(&key, &BTreeMap::new()).await?;
        self.uploads.push((key.clone(), id.clone()));
        Ok((key, id))
    }

    /// An upload of one good part. The outer failure is one on the way, the inner one
    /// the answer to the completion.
    async fn upload(
        &mut self,
        what: &str,
        whole: &Digests,
        only_new: bool,
    ) -> Result<Result<(), Failure>, Failure> {
        let (key, id) = self.begin(what).await?;
        let (bucket, body) = (&self.element.bucket, Bytes::from_static(CONTENT));
        let crc64nvme = self.digests.crc64nvme;
        let part = bucket.part(&key, &id, 1, body, crc64nvme).await?;
        Ok(bucket.complete(&key, &id, &[part], whole, only_new).await)
    }

    /// Removes whatever the probe may have written; gives the last failure.
    async fn clean_up(self) -> Result<(), Failure> {
        let bucket = &self.element.bucket;
        let mut cleaned = Ok(());
        for (key, id) in &self.uploads {
            cleaned = cleaned.and(bucket.abort(key, id).await);
        }
        for what in ["object", "wrong", "wrong-part", "wrong-whole"] {
            cleaned = cleaned.and(bucket.delete(&self.key(what)).await);
        }
        cleaned
    }
}

/// Whether the server said no for the right kind of reason. An outage is no answer.
fn refused(answer: Result<(), Failure>) -> Result<bool, Failure> {
    match answer {
        Ok(()) => Ok(false),
        Err(failure) => match failure.why {
            Why::BadDigest | Why::Exists | Why::Rejected => Ok(true),
            _ => Err(failure),
        },
    }
}

//! Who may complete an upload under a key.
//!
//! Servers may look at the condition of a completion and make the object in two steps:
//! on `SeaweedFS` 4.48 one of 200 races between two contents had two winners, of whom
//! one lost its bytes. Conditional writes of whole objects had none in 500. So a writer
//! first claims the key with a small object that says what it will hold, then looks
//! whether the object is there already, and gives the claim back when it is.

use std::collections::BTreeMap;

use aquifer_digest::Digests;
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::S3Element;
use super::failure::{Failure, Why};
use crate::element::StorageElement;
use crate::error::{Found, StorageError};
use crate::key::ObjectKey;

/// Folder of the claims, below the element's prefix.
const FOLDER: &str = ".aquifer-claims";

/// A claim is a few hundred bytes; what is longer is none.
const LONGEST: usize = 8192;

/// How often a claim is tried that others give back just then.
const ATTEMPTS: u32 = 5;

/// What the object under a key will hold.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Statement {
    key: ObjectKey,
    digests: Digests,
}

/// The right to complete an upload of these digests. A process that dies leaves it
/// behind: the same content may then be stored again, other content is in conflict.
#[derive(Debug)]
pub(super) struct Claim {
    full_key: String,
}

impl S3Element {
    /// Claims the key; `None` on a server that was seen to have no conditional writes.
    pub(super) async fn claim(
        &self,
        key: &ObjectKey,
        digests: &Digests,
    ) -> Result<Option<Claim>, StorageError> {
        if self
            .capabilities()
            .is_some_and(|known| !known.conditional_put)
        {
            return Ok(None);
        }
        // A hash, since the key itself may be as long as keys can be.
        let name = Uuid::new_v5(&Uuid::NAMESPACE_URL, key.as_str().as_bytes());
        let full_key = self.full_prefix(&format!("{FOLDER}/{name}"));
        let ours = Statement {
            key: key.clone(),
            digests: *digests,
        };
        let body = serde_json::to_vec(&ours)
            .expect("a key and digests are strings and numbers, which JSON can hold");
        let body = Bytes::from(body);
        let mut attempt = 1;
        loop {
            let failure = match self.put_claim(&full_key, &body).await {
                Ok(()) => return Ok(Some(Claim { full_key })),
                Err(failure) if failure.outcome_is_unknown() => failure,
                Err(failure) => return Err(self.failed("claim", key.as_str(), failure)),
            };
            match self.read_statement(&full_key).await {
                Ok(Some(theirs)) if theirs == ours => return Ok(Some(Claim { full_key })),
                Ok(Some(theirs)) => {
                    return Err(StorageError::Conflict {
                        key: key.clone(),
                        have: Found {
                            size: theirs.digests.size,
                            crc64nvme: Some(theirs.digests.crc64nvme),
                        },
                        got: *digests,
                    });
                }
                // Given back in this moment: the key is free again, or the object there.
                Ok(None) if failure.why == Why::Exists && attempt < ATTEMPTS => attempt += 1,
                Ok(None) | Err(_) => return Err(self.failed("claim", key.as_str(), failure)),
            }
        }
    }

    async fn put_claim(&self, full_key: &str, body: &Bytes) -> Result<(), Failure> {
        let crc64nvme = Digests::of(body).crc64nvme;
        self.bucket
            .put(full_key, body.clone(), crc64nvme, &BTreeMap::new(), true)
            .await
    }

    async fn read_statement(&self, full_key: &str) -> Result<Option<Statement>, Failure> {
        let mut body = match self.bucket.get(full_key, None).await {
            Err(failure) if failure.why == Why::NoObject => return Ok(None),
            body => body?,
        };
        let mut json = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| Failure::odd_answer(&error.to_string()))?;
            json.extend_from_slice(&chunk);
            if json.len() > LONGEST {
                break;
            }
        }
        serde_json::from_slice(&json)
            .map(Some)
            .map_err(|error| Failure::odd_answer(&format!("{full_key} is not a claim: {error}")))
    }

    /// Gives the claim back: the object is there, or certainly will not be.
    pub(super) async fn release(&self, claim: Option<Claim>) {
        let Some(Claim { full_key }) = claim else {
            return;
        };
        if let Err(failure) = self.bucket.delete(&full_key).await {
            // In the way of other content only, which would be in conflict anyhow.
            tracing::info!(
                element = self.name(),
                claim = full_key,
                why = failure.detail,
                "a claim stays behind"
            );
        }
    }
}

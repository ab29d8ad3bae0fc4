//! A folder as a storage element.
//!
//! A file is written under a name of its own, flushed, and then linked to its key: the
//! link fails where something stands already, and nothing half-written has the key.
//! Folder, link and sidecar are flushed too before the call returns. A folder checks
//! nothing, so that evidence is E1 until the bytes are read back. The root must be one
//! file system, written to by this element only.

mod disk;
mod growing;
mod parts;
mod walk;

use std::collections::BTreeMap;
use std::io::{self, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use aquifer_digest::{Digests, PIECE, SealedFile};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use self::disk::{Disk, Sidecar, Stored};
use self::growing::evidence;
use self::walk::Walk;
use crate::element::{
    ByteChunks, Capabilities, ListedObject, ObjectInfo, Pace, Pages, PutOutcome, StorageElement,
    StoreOptions, StoredObject, UnfinishedUpload,
};
use crate::error::{Found, StorageError};
use crate::key::{ObjectKey, ObjectMeta};
use crate::pool::BufferPool;
use crate::source::{SourceFile, spans};

/// Bytes that are read, digested and written at a time.
const PART: usize = 4 << 20;

/// Files that are stored at a time; the others wait.
const FILES_IN_FLIGHT: usize = 4;

/// A folder on a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PosixConfig {
    /// Name of this storage element in the catalogue and in policies.
    pub element: String,
    /// The folder.
    pub root: PathBuf,
}

impl Default for PosixConfig {
    fn default() -> Self {
        Self {
            element: "DISK".to_owned(),
            root: PathBuf::new(),
        }
    }
}

/// A folder that holds replicas.
#[derive(Debug)]
pub struct PosixElement {
    name: String,
    location: String,
    disk: Arc<Disk>,
    pool: Arc<BufferPool>,
    capabilities: Mutex<Option<Capabilities>>,
}

impl PosixElement {
    /// Takes the folder, which need not exist yet.
    pub fn new(config: &PosixConfig) -> Result<Self, StorageError> {
        let wrong = |what: String| StorageError::Config {
            element: config.element.clone(),
            what,
        };
        let root = &config.root;
        let location = root
            .to_str()
            .ok_or_else(|| wrong(format!("root {} is not UTF-8", root.display())))?;
        if !root.is_absolute() {
            return Err(wrong(format!("root `{location}` is not an absolute path")));
        }
        Ok(Self {
            name: config.element.clone(),
            location: location.to_owned(),
            disk: Arc::new(Disk::new(root)),
            pool: BufferPool::new(FILES_IN_FLIGHT, PART),
            capabilities: Mutex::default(),
        })
    }

    /// Works on the disk where it may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        operation: &'static str,
        subject: &str,
        work: impl FnOnce(&Disk) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || work(&disk))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| failed(operation, subject, &error))
    }

    /// Compares what stands under the key with our bytes, by reading it.
    async fn adopt(&self, key: &ObjectKey, digests: &Digests) -> Result<ObjectInfo, StorageError> {
        let info = self.head(key).await?;
        let info = info.ok_or_else(|| StorageError::NotFound { key: key.clone() })?;
        if info.size == digests.size && self.read_back(key).await? == *digests {
            let named = key.clone();
            self.on_disk("flush", key.as_str(), move |disk| disk.flush_name(&named))
                .await?;
            return Ok(info);
        }
        Err(StorageError::Conflict {
            key: key.clone(),
            have: Found {
                size: info.size,
                crc64nvme: info.crc64nvme,
            },
            got: *digests,
        })
    }

    /// Gives finished bytes their key, if it is free.
    async fn publish(
        &self,
        key: &ObjectKey,
        part: Stored,
        digests: &Digests,
        metadata: BTreeMap<String, String>,
    ) -> Result<PutOutcome, StorageError> {
        let sidecar = Sidecar {
            key: key.clone(),
            digests: *digests,
            metadata,
        };
        let created = self.on_disk("publish", key.as_str(), move |disk| {
            disk.publish(&part, &sidecar)
        });
        if created.await? {
            return Ok(PutOutcome::Created);
        }
        self.adopt(key, digests).await?;
        Ok(PutOutcome::Adopted)
    }

    /// Copies the file into a part of its own, in one pass.
    async fn copy(
        &self,
        source: &SourceFile,
        key: &ObjectKey,
        pace: Option<&Pace>,
    ) -> Result<(Stored, Digests), StorageError> {
        let named = key.clone();
        let mut part = self
            .on_disk("begin", key.as_str(), move |disk| disk.begin(&named))
            .await?;
        let mut whole = Digests::EMPTY;
        let mut buffer = self.pool.take(PART).await;
        for span in spans(source.identity().size, PART) {
            let digests;
            (buffer, digests) = source.read(span, buffer).await?;
            whole = whole.then(&digests);
            StoreOptions::paced(pace, digests.size).await;
            (part, buffer) = self
                .on_disk("write", key.as_str(), move |_| {
                    part.write_all(buffer.as_ref())?;
                    Ok((part, buffer))
                })
                .await?;
            if digests.size < span.size as u64 {
                break;
            }
        }
        Ok((part, whole))
    }

    fn stored(
        key: &ObjectKey,
        sealed: SealedFile,
        outcome: PutOutcome,
        info: Option<&ObjectInfo>,
    ) -> StoredObject {
        let (evidence, method) = evidence(outcome);
        StoredObject {
            key: key.clone(),
            sealed,
            outcome,
            etag: None,
            stored_size: info.map_or(sealed.digests().size, |info| info.size),
            stored_crc64nvme: sealed.digests().crc64nvme,
            evidence,
            evidence_method: method.to_owned(),
        }
    }
}

/// What a system error means for the caller.
fn failed(operation: &'static str, subject: &str, error: &io::Error) -> StorageError {
    let (subject, detail) = (subject.to_owned(), error.to_string());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full {
            operation,
            subject,
            detail,
        },
        io::ErrorKind::PermissionDenied => StorageError::Denied {
            operation,
            subject,
            detail,
        },
        // A key that no path can be made of will not become better by waiting.
        io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory => StorageError::Rejected {
            operation,
            subject,
            detail,
        },
        _ => StorageError::Unavailable {
            operation,
            subject,
            detail,
        },
    }
}

#[async_trait]
impl StorageElement for PosixElement {
    fn name(&self) -> &str {
        &self.name
    }

    fn location(&self) -> &str {
        &self.location
    }

    fn url(&self) -> String {
        format!("file://{}", self.location)
    }

    fn capabilities(&self) -> Option<Capabilities> {
        *self
            .capabilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn probe(&self) -> Result<Capabilities, StorageError> {
        let keeps_apart = self.on_disk("probe", &self.location, Disk::second_link_is_refused);
        let keeps_apart = keeps_apart.await?;
        let found = Capabilities {
            refuses_wrong_checksum: false,
            refuses_wrong_full_object_checksum: false,
            conditional_put: keeps_apart,
            conditional_complete: keeps_apart,
            echoes_checksum: true,
            lists_multipart: true,
            deletes: true,
            unsigned_payload: false,
        };
        *self
            .capabilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(found)
    }

    async fn ensure_location(&self) -> Result<(), StorageError> {
        self.on_disk("make folder", &self.location, Disk::ensure)
            .await
    }

    async fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        meta: &ObjectMeta,
    ) -> Result<PutOutcome, StorageError> {
        let digests = Digests::of(&body);
        let named = key.clone();
        let part = self.on_disk("write", key.as_str(), move |disk| {
            let mut part = disk.begin(&named)?;
            part.write_all(&body)?;
            Ok(part)
        });
        let part = part.await?;
        self.publish(key, part, &digests, meta.entries().clone())
            .await
    }

    async fn store_file(
        &self,
        source: &SourceFile,
        key: &ObjectKey,
        meta: &ObjectMeta,
        options: StoreOptions,
    ) -> Result<StoredObject, StorageError> {
        let StoreOptions { verify, step, pace } = options;
        if self.head(key).await?.is_some() {
            let sealed = source.digest(&self.pool).await?;
            step("storage.sealed");
            StoreOptions::verified(verify, key, &sealed.digests())?;
            let info = self.adopt(key, &sealed.digests()).await?;
            return Ok(Self::stored(key, sealed, PutOutcome::Adopted, Some(&info)));
        }
        let (part, digests) = self.copy(source, key, pace.as_ref()).await?;
        step("storage.part-uploaded");
        let sealed = source.seal(digests).await?;
        step("storage.sealed");
        StoreOptions::verified(verify, key, &digests)?;
        step("storage.before-complete");
        let outcome = self
            .publish(key, part, &digests, meta.entries().clone())
            .await?;
        step("storage.completed");
        let info = self.head(key).await?;
        Ok(Self::stored(key, sealed, outcome, info.as_ref()))
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StorageError> {
        let named = key.clone();
        let found = self.on_disk("describe", key.as_str(), move |disk| disk.describe(&named));
        let Some((size, modified, sidecar)) = found.await? else {
            return Ok(None);
        };
        Ok(Some(ObjectInfo {
            key: key.clone(),
            size,
            etag: None,
            crc64nvme: sidecar.as_ref().map(|sidecar| sidecar.digests.crc64nvme),
            metadata: sidecar.map_or_else(BTreeMap::new, |sidecar| sidecar.metadata),
            last_modified: modified,
        }))
    }

    async fn get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<ByteChunks, StorageError> {
        let named = key.clone();
        let file = self.on_disk("read", key.as_str(), move |disk| disk.open(&named));
        let file = file.await?;
        let file = file.ok_or_else(|| StorageError::NotFound { key: key.clone() })?;
        let mut file = tokio::fs::File::from_std(file);
        let unreadable = |error: io::Error| failed("read", key.as_str(), &error);
        let range = range.unwrap_or(0..u64::MAX);
        file.seek(SeekFrom::Start(range.start))
            .await
            .map_err(unreadable)?;
        let file = file.take(range.end.saturating_sub(range.start));
        let chunks = stream::try_unfold((file, key.clone()), |(mut file, key)| async move {
            let mut chunk = BytesMut::with_capacity(PIECE);
            let count = file
                .read_buf(&mut chunk)
                .await
                .map_err(|error| failed("read", key.as_str(), &error))?;
            Ok((count > 0).then(|| (chunk.freeze(), (file, key))))
        });
        Ok(chunks.boxed())
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Pages<'a, ListedObject> {
        let walk = Walk::new(self.disk.root(), prefix);
        stream::try_unfold(walk, move |mut walk| async move {
            let page = self.on_disk("list", prefix, move |_| Ok((walk.page()?, walk)));
            let (page, walk) = page.await?;
            Ok((!page.is_empty()).then_some((page, walk)))
        })
        .boxed()
    }

    fn list_unfinished<'a>(&'a self, prefix: &'a str) -> Pages<'a, UnfinishedUpload> {
        stream::once(async move {
            let wanted = prefix.to_owned();
            self.on_disk("list uploads", prefix, move |disk| disk.unfinished(&wanted))
                .await
        })
        .boxed()
    }

    async fn abort_unfinished(&self, upload: &UnfinishedUpload) -> Result<(), StorageError> {
        let id = upload.upload_id.clone();
        self.on_disk("abort upload", &upload.key, move |disk| disk.abort(&id))
            .await
    }

    async fn delete_for_good(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let named = key.clone();
        self.on_disk("delete", key.as_str(), move |disk| disk.delete(&named))
            .await
    }
}

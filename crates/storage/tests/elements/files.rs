//! Files and elements for the tests.

use std::path::PathBuf;

use aquifer_storage::{
    ObjectKey, ObjectMeta, PosixConfig, PosixElement, PutOutcome, S3Config, S3Element, SourceFile,
    StorageElement, StorageError, StoreOptions, StoredObject,
};
use tempfile::TempDir;

/// The smallest part that S3 takes.
pub(crate) const PART: usize = 5 << 20;

pub(crate) fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

/// Bytes that repeat nowhere near a part's length.
pub(crate) fn content(size: usize, seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut bytes = vec![0; size];
    for eight in bytes.chunks_mut(8) {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        eight.copy_from_slice(&state.to_be_bytes()[..eight.len()]);
    }
    bytes
}

/// A folder with files in it.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn element(&self) -> PosixElement {
        let config = PosixConfig {
            element: "DISK".to_owned(),
            root: self.0.path().join("element"),
        };
        PosixElement::new(&config).unwrap()
    }
}

/// Five MiB parts and short waits.
pub(crate) fn s3(endpoint: &str) -> S3Element {
    S3Element::new(s3_config(endpoint)).unwrap()
}

pub(crate) fn s3_config(endpoint: &str) -> S3Config {
    S3Config {
        endpoint: endpoint.to_owned(),
        bucket: "raw".to_owned(),
        prefix: "below/here".to_owned(),
        access_key: "k".to_owned().into(),
        secret_key: "s".to_owned().into(),
        part_size_mib: 5,
        connect_timeout_secs: 2,
        request_timeout_secs: 5,
        ..S3Config::default()
    }
}

pub(crate) async fn store(
    element: &dyn StorageElement,
    path: &std::path::Path,
    name: &str,
    options: StoreOptions,
) -> Result<StoredObject, StorageError> {
    let source = SourceFile::open(path).await?;
    let meta = ObjectMeta::new()
        .with(ObjectMeta::TRACE, "4bf92f35")
        .unwrap();
    element
        .store_file(&source, &key(name), &meta, options)
        .await
}

pub(crate) fn outcomes(of: &[&StoredObject]) -> (usize, usize) {
    let created = of.iter().filter(|s| s.outcome == PutOutcome::Created);
    let created = created.count();
    (created, of.len() - created)
}

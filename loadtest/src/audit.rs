//! The end of a campaign: `aquifer audit`, and a sample of objects read back.

use anyhow::Context as _;
use aquifer_schemas::StoredFile;
use aquifer_storage::{ObjectKey, S3Config, S3Element, StorageElement as _};
use serde::Deserialize;

use crate::machine::Machine;

/// What the audit says.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Audit {
    /// What was counted.
    pub(crate) tally: Tally,
    /// What nobody can account for: must be 0.
    pub(crate) unaccounted: u64,
}

/// What the audit counted.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Tally {
    /// Runs.
    pub(crate) runs: u64,
    /// Files stored.
    pub(crate) stored: u64,
    /// Files set aside.
    pub(crate) quarantined: u64,
    /// Files on their way.
    pub(crate) in_progress: u64,
}

/// Objects that were read back.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadBack {
    /// How many.
    pub(crate) objects: usize,
    /// Keys of those whose bytes are not those that were announced.
    pub(crate) wrong: Vec<String>,
}

/// Reconciles the DAQ's list, the buffer, the catalogue and the storage. Nothing may be
/// in progress.
pub(crate) async fn audit(machine: &Machine) -> anyhow::Result<Audit> {
    let (said, _) = machine.ask(&["audit", "--strict", "--json"]).await?;
    serde_json::from_str(&said).context("what `aquifer audit` says")
}

/// Reads objects and compares their bytes with what was announced of them.
pub(crate) async fn read_back(
    storage: &S3Config,
    files: &[StoredFile],
) -> anyhow::Result<ReadBack> {
    let element = S3Element::new(storage.clone())?;
    let mut read = ReadBack::default();
    for file in files {
        let key: ObjectKey = file.key.parse()?;
        let found = element.read_back(&key).await?;
        if found.size != file.stored_size || found.crc64nvme.to_string() != file.crc64nvme {
            read.wrong.push(file.key.clone());
        }
        read.objects += 1;
    }
    Ok(read)
}

//! What one ingester is told: its site, its buffer, how files are named and closed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[m2c]`: the ingester of one buffer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct M2cConfig {
    /// Address of `/livez`, `/readyz` and `/metrics`.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The site whose DAQ writes this buffer. It must be registered in the catalogue.
    pub site: String,
    /// Folder into which the DAQ writes run files.
    pub buffer: PathBuf,
    /// Name of the buffer among the storage elements; empty means `<site>-buffer`.
    pub buffer_name: String,
    /// Folder of the local journal, on a disk that survives a power cut. Never inside the buffer.
    pub journal: PathBuf,
    /// Templates of run files: `{run}` is the run number (any number of digits), `{subrun}` the ordinal within the run.
    pub files: Vec<String>,
    /// Files of the buffer that are not run files, by suffix.
    pub ignore_suffixes: Vec<String>,
    /// Suffix of the logger's checksum side file. Its presence closes a file and its content is verified; empty where the logger writes none.
    pub side_file_suffix: String,
    /// How long after its side file appeared a file waits for the DAQ's own announcement, in milliseconds.
    pub announce_grace_ms: u64,
    /// A file without side file, unchanged for so long, is closed by inference (its DAQ died), in seconds.
    pub quiet_secs: u64,
    /// How long an announced file may be missing from the buffer before its run is incomplete, in seconds.
    pub missing_deadline_secs: u64,
    /// Pause between two scans of the buffer, in milliseconds.
    pub scan_interval_ms: u64,
    /// Runs stored at the same time.
    pub store_workers: usize,
    /// Runs written to the catalogue at the same time.
    pub record_workers: usize,
    /// Part of the object keys before the site.
    pub key_prefix: String,
    /// How the buffer is freed.
    pub purge: PurgeConfig,
}

/// `[m2c.purge]`: how the buffer is freed. Only orders from the catalogue free it, and only
/// after this ingester has checked them again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PurgeConfig {
    /// Whether orders are carried out. Disarmed, the ingester says what it would do and removes nothing.
    pub armed: bool,
    /// How long files stay in the buffer's trash, from where they can be taken back, in seconds.
    pub trash_grace_secs: u64,
    /// An order that was not begun for so long is void, in seconds.
    pub order_max_age_secs: u64,
    /// Pause between two looks for orders; an announcement hastens it, in seconds.
    pub poll_secs: u64,
}

impl Default for M2cConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9301)),
            site: String::new(),
            buffer: PathBuf::new(),
            buffer_name: String::new(),
            journal: PathBuf::new(),
            files: vec!["run{run}.mid".to_owned()],
            ignore_suffixes: vec![".crc32c".to_owned()],
            side_file_suffix: ".crc32c".to_owned(),
            announce_grace_ms: 2_000,
            quiet_secs: 60,
            missing_deadline_secs: 600,
            scan_interval_ms: 1_000,
            store_workers: 4,
            record_workers: 4,
            key_prefix: "raw".to_owned(),
            purge: PurgeConfig::default(),
        }
    }
}

impl Default for PurgeConfig {
    fn default() -> Self {
        Self {
            armed: false,
            trash_grace_secs: 86_400,
            order_max_age_secs: 3_600,
            poll_secs: 10,
        }
    }
}

impl M2cConfig {
    /// Name of the buffer among the storage elements.
    pub fn element_name(&self) -> String {
        if self.buffer_name.is_empty() {
            format!("{}-buffer", self.site)
        } else {
            self.buffer_name.clone()
        }
    }

    /// Consumer group of this buffer: `m2c.<site>.<buffer>`.
    pub fn group(&self) -> String {
        format!("m2c.{}.{}", self.site, self.element_name())
    }
}

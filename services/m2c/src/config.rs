//! What one ingester is told: its site, its buffer, how files are named and closed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use aquifer_schemas::Site;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::buffer::BufferRules;

/// A value that fits its type and cannot be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("m2c.{key}: {why}")]
pub struct Unusable {
    /// The key, within `[m2c]`.
    pub key: &'static str,
    /// What is wrong with it.
    pub why: String,
}

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
        }
    }
}

impl M2cConfig {
    /// Says what cannot work, before anything is opened; else the site and the buffer's
    /// rules.
    pub fn check(&self) -> Result<(Site, BufferRules), Unusable> {
        let wrong = |key, why: String| Unusable { key, why };
        for (key, folder) in [("buffer", &self.buffer), ("journal", &self.journal)] {
            if folder.as_os_str().is_empty() {
                return Err(wrong(key, "it must name a folder".to_owned()));
            }
        }
        if self.journal.starts_with(&self.buffer) {
            let journal = self.journal.display();
            let why = format!(
                "`{journal}` lies inside the buffer; the journal must outlive the buffer's files"
            );
            return Err(wrong("journal", why));
        }
        let site = self.site.parse();
        let site = site.map_err(|error| wrong("site", format!("{error}")))?;
        let rules = self.rules();
        let rules = rules.map_err(|error| wrong("files", error.to_string()))?;
        Ok((site, rules))
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_under_its_key() {
        let usable = M2cConfig {
            site: "LAB".to_owned(),
            buffer: "/data".into(),
            journal: "/var/journal".into(),
            ..M2cConfig::default()
        };
        usable.check().unwrap();
        let refused = |change: fn(&mut M2cConfig)| {
            let mut config = usable.clone();
            change(&mut config);
            config.check().unwrap_err().key
        };
        assert_eq!(refused(|config| config.site = "LN GS".to_owned()), "site");
        assert_eq!(refused(|config| config.site.clear()), "site");
        assert_eq!(refused(|config| config.buffer = "".into()), "buffer");
        assert_eq!(refused(|config| config.journal = "".into()), "journal");
        assert_eq!(
            refused(|config| config.journal = "/data/journal".into()),
            "journal"
        );
        assert_eq!(
            refused(|config| config.files = vec!["x".to_owned()]),
            "files"
        );
    }
}

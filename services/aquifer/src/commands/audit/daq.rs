//! What the DAQ itself says it took: its own list of runs, where it keeps one.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context as _;
use aquifer_audit::{DaqFile, DaqRun};
use aquifer_schemas::{RunNumber, Site};
use aquifer_sim::{listed_runs, read_run_list};

use crate::config::Config;

/// The list as it was read last. It only grows.
pub(super) struct DaqList {
    path: PathBuf,
    bytes: u64,
    runs: HashMap<(Site, RunNumber), Vec<DaqRun>>,
}

impl DaqList {
    /// The list, if there is one.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let path = &config.audit.daq_run_list;
        (!path.as_os_str().is_empty() && path.is_file()).then(|| Self {
            path: path.clone(),
            bytes: 0,
            runs: HashMap::new(),
        })
    }

    /// Reads it again if it has grown.
    pub(super) fn read(&mut self) -> anyhow::Result<()> {
        let found = std::fs::metadata(&self.path);
        let bytes = found
            .with_context(|| self.path.display().to_string())?
            .len();
        if bytes == self.bytes {
            return Ok(());
        }
        self.bytes = bytes;
        self.runs.clear();
        for record in listed_runs(read_run_list(&self.path)?) {
            let files = record.files.into_iter().map(|file| DaqFile {
                name: file.name,
                size: file.size,
                crc32c: file.crc32c.map(|crc32c| crc32c.to_string()),
            });
            let run = DaqRun {
                started_at: record.started_at,
                ended_at: record.ended_at,
                files: files.collect(),
            };
            let number = (record.site, record.number);
            self.runs.entry(number).or_default().push(run);
        }
        Ok(())
    }

    /// All runs that it names.
    pub(super) fn runs(&self) -> impl Iterator<Item = &(Site, RunNumber)> {
        self.runs.keys()
    }

    /// What it says of a number.
    pub(super) fn of_number(&self, site: &Site, number: RunNumber) -> Vec<DaqRun> {
        let said = self.runs.get(&(site.clone(), number));
        said.cloned().unwrap_or_default()
    }
}

//! What one ingester is told: its site, its buffer, how files are named and closed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use aquifer_runtime::config::Secret;
use aquifer_schemas::Site;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::rules::BufferRules;

/// A value that fits its type and cannot be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("m2c.{key}: {why}")]
pub struct Unusable {
    /// The key, within `[m2c]`.
    pub key: &'static str,
    /// What is wrong with it.
    pub why: String,
}

use crate::daq::MidasConfig;
use crate::pace::{BandwidthConfig, Schedule};
use crate::stream::StreamConfig;
use crate::tap::{SlowBank, TapConfig};
use crate::watch::WatchConfig;

/// A sign that a file is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CloseSign {
    /// The logger's checksum side file, which is also verified.
    SideFile,
    /// The final name: the logger writes under a temporary one.
    FinalName,
    /// The end-of-run record at the end of a MIDAS file.
    EndOfRun,
}

/// What run files are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// MIDAS files, in any encoding.
    #[default]
    Midas,
    /// Bytes.
    Opaque,
}

/// `[m2c]`: the ingester of one buffer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct M2cConfig {
    /// Address of `/livez`, `/readyz`, `/metrics` and of `/v1/`: status and announcements.
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
    /// Whether this is a rehearsal beside the ingester in service: m2c then tells what it would do and writes to nothing but a journal of its own, which has `.shadow` behind its name.
    pub shadow: bool,
    /// Templates of run files: `{run}` is the run number (any number of digits), `{subrun}` the ordinal within the run, and a field of any other name letters and digits for an attribute of the run. A template may have folders: `run{run}/part_{subrun}.bin`. The first that matches counts.
    pub files: Vec<String>,
    /// What run files are. Of MIDAS files begin, settings and events are read; opaque ones are only stored.
    pub format: FileFormat,
    /// What the name of a run file ends with when another program has compressed it. Both are one file, known by what it decodes to.
    pub encodings: Vec<String>,
    /// Names of files that are still written (`prefix*`, `*suffix`): open until they are renamed.
    pub temporary: Vec<String>,
    /// Files of the buffer that are not run files, by suffix.
    pub ignore_suffixes: Vec<String>,
    /// Which signs close a file, besides the announcement, a marker, a compressed form that is whole, and silence.
    pub closed_by: Vec<CloseSign>,
    /// Files whose presence closes a file (`{name}.done`) or a run (`run{run}.done`).
    pub markers: Vec<String>,
    /// How long after a sign a file waits for the DAQ's own announcement, in milliseconds.
    pub announce_grace_ms: u64,
    /// How long a file rests before it is read to find out whether it is whole, in milliseconds.
    pub settle_ms: u64,
    /// A file without any sign, unchanged for so long, is closed by inference (its DAQ died), in seconds. A run of several files ends so, too.
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
    /// Uploading files while the DAQ writes them.
    pub stream: StreamConfig,
    /// Copying events of open runs to where they can be looked at.
    pub tap: TapConfig,
    /// Banks of slow-control values in run files.
    pub slow: Vec<SlowBank>,
    /// Token that whoever announces runs by HTTP must send; empty asks for none.
    pub token: Secret,
    /// How much of the link the ingester may take.
    pub bandwidth: BandwidthConfig,
    /// When the ingester calls a person.
    pub watch: WatchConfig,
    /// MIDAS's own channels.
    pub midas: MidasConfig,
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
            shadow: false,
            files: vec!["run{run}.mid".to_owned()],
            format: FileFormat::default(),
            encodings: [".gz", ".lz4", ".bz2", ".zst"].map(str::to_owned).into(),
            temporary: [".*", "*.tmp", "*.part"].map(str::to_owned).into(),
            ignore_suffixes: Vec::new(),
            closed_by: vec![CloseSign::SideFile],
            markers: Vec::new(),
            announce_grace_ms: 2_000,
            settle_ms: 2_000,
            quiet_secs: 60,
            missing_deadline_secs: 600,
            scan_interval_ms: 1_000,
            store_workers: 4,
            record_workers: 4,
            key_prefix: "raw".to_owned(),
            stream: StreamConfig::default(),
            tap: TapConfig::default(),
            slow: Vec::new(),
            token: Secret::default(),
            bandwidth: BandwidthConfig::default(),
            watch: WatchConfig::default(),
            midas: MidasConfig::default(),
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
        self.tap.check().map_err(|why| wrong("tap", why))?;
        if let Some(key) = self
            .asks_midas()
            .filter(|_| self.format == FileFormat::Opaque)
        {
            let why = format!("the files are opaque, and `m2c.{key}` looks into MIDAS files");
            return Err(wrong("format", why));
        }
        let schedule = Schedule::parse(&self.bandwidth);
        schedule.map_err(|error| wrong("bandwidth", error.to_string()))?;
        Ok((site, rules))
    }

    /// A key that is set and means something of MIDAS files only.
    fn asks_midas(&self) -> Option<&'static str> {
        let keys = [
            ("closed-by", self.closed_by.contains(&CloseSign::EndOfRun)),
            ("tap", self.tap.enabled),
            ("slow", !self.slow.is_empty()),
        ];
        keys.into_iter().find_map(|(key, set)| set.then_some(key))
    }

    /// Name of the buffer among the storage elements.
    pub fn element_name(&self) -> String {
        if self.buffer_name.is_empty() {
            format!("{}-buffer", self.site)
        } else {
            self.buffer_name.clone()
        }
    }

    /// Folder of the journal that is used: a rehearsal leaves that of the service alone.
    pub(crate) fn journal_in_use(&self) -> PathBuf {
        let mut folder = self.journal.clone().into_os_string();
        if self.shadow {
            folder.push(".shadow");
        }
        folder.into()
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
        let opaque = refused(|config| {
            config.format = FileFormat::Opaque;
            config.slow = vec![SlowBank::default()];
        });
        assert_eq!(opaque, "format");
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

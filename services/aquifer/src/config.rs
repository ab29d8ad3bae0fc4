//! The whole configuration: one file for all services and the command line.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aquifer_bus::KafkaConfig;
use aquifer_catalogue::CatalogueConfig;
use aquifer_m2c::M2cConfig;
use aquifer_monitor::MonitorConfig;
use aquifer_profile::{Classifier, Experiment, Fault};
use aquifer_relay::RelayConfig;
use aquifer_runtime::config::{ConfigError, Origins, Sources, load_with_origins};
use aquifer_runtime::service::ServiceOptions;
use aquifer_runtime::telemetry::TelemetryConfig;
use aquifer_schemas::Site;
use aquifer_storage::S3Config;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile;

/// Where the configuration is looked for when none is named, first found first.
const DEFAULT_FILES: [&str; 2] = [".aquifer/run/aquifer.toml", "/etc/aquifer/aquifer.toml"];

/// What to do where a configuration is missing.
const NAME_A_FILE: &str = "`--config FILE` names one, `--set m2c.site=LNGS` sets one key";

/// Everything that can be configured.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// The experiment's profile: the name of one that comes with the program, or the path of a folder of TOML files (with a `/`; relative to the file that names it). It is the layer below this file.
    pub profile: String,
    /// The site that is meant by a bare run number; empty means `m2c.site`.
    pub default_site: String,
    /// How long a service may take to finish what it has begun when it is told to stop, in seconds.
    pub drain_timeout_secs: u64,
    /// What is peculiar to the experiment, and the same at all its sites: a profile sets it.
    pub experiment: Experiment,
    /// Logs and traces of every service.
    pub telemetry: TelemetryConfig,
    /// The bus.
    pub kafka: KafkaConfig,
    /// The catalogue's database.
    pub catalogue: CatalogueConfig,
    /// The object storage.
    pub storage: S3Config,
    /// The ingester of one buffer.
    pub m2c: M2cConfig,
    /// The publisher of the catalogue's announcements.
    pub relay: RelayConfig,
    /// The API.
    pub monitor: MonitorConfig,
    /// What `aquifer audit` compares.
    pub audit: AuditConfig,
    /// The file it was read from; `None` if there was none.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// Where each key was set.
    #[serde(skip)]
    pub origins: Origins,
}

/// `[audit]`: what is compared and how long things may be in progress.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AuditConfig {
    /// The DAQ's own list of runs (one JSON object per line); empty where there is none.
    pub daq_run_list: PathBuf,
    /// From a run's end to its being stored, recorded and announced, in seconds.
    pub stored_within_secs: u64,
    /// From a run's begin to its end, in seconds.
    pub run_at_most_secs: u64,
    /// For how long a file may be on its way into the storage, in seconds, where its run
    /// is not known to be. What is left of older uploads is an orphan.
    pub upload_at_most_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: String::new(),
            default_site: String::new(),
            drain_timeout_secs: 20,
            experiment: Experiment::default(),
            telemetry: TelemetryConfig::default(),
            kafka: KafkaConfig::default(),
            catalogue: CatalogueConfig::default(),
            storage: S3Config::default(),
            m2c: M2cConfig::default(),
            relay: RelayConfig::default(),
            monitor: MonitorConfig::default(),
            audit: AuditConfig::default(),
            file: None,
            origins: Origins::default(),
        }
    }
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            daq_run_list: PathBuf::new(),
            stored_within_secs: 3600,
            run_at_most_secs: 86_400,
            upload_at_most_secs: 86_400,
        }
    }
}

impl Config {
    /// Reads defaults, profile, file, environment and `--set` overrides, in that order.
    pub(crate) fn load(file: Option<PathBuf>, overrides: &[String]) -> Result<Self, ConfigError> {
        let file = file.or_else(|| {
            DEFAULT_FILES
                .iter()
                .map(PathBuf::from)
                .find(|path| path.is_file())
        });
        let sources = Sources::from_process(file.clone(), overrides)?;
        let config = Self::read(&Sources {
            profile: profile::chosen(&sources)?,
            ..sources
        })?;
        Ok(Self { file, ..config })
    }

    /// Reads the layers of `sources`, and takes from the experiment what is told there of
    /// this site.
    pub(crate) fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let (mut config, origins): (Self, _) = load_with_origins(sources)?;
        config.origins = origins;
        let site = config.experiment.site(&config.m2c.site);
        if let Some(site) = site.filter(|_| config.m2c.buffer.as_os_str().is_empty()) {
            config.m2c.buffer = site.buffer.replace("{site}", &site.name).into();
        }
        Ok(config)
    }

    /// What tells attributes and types of this configuration's runs.
    pub(crate) fn classifier(&self) -> Result<Classifier, ConfigError> {
        let classifier = self.m2c.classifier(&self.experiment);
        classifier.map_err(|Fault { key, why, hint }| self.unusable(&key, &why, hint))
    }

    /// The site whose DAQ this configuration is about.
    pub(crate) fn site(&self) -> Result<Site, ConfigError> {
        if self.m2c.site.is_empty() {
            let hint = format!("{}; {NAME_A_FILE}", self.read_from());
            return Err(self.unusable("m2c.site", &"it must name the DAQ's site", Some(hint)));
        }
        let site = self.m2c.site.parse::<Site>();
        site.map_err(|error| self.unusable("m2c.site", &error, None))
    }

    /// Where it was read from, in words.
    pub(crate) fn read_from(&self) -> String {
        match &self.file {
            Some(file) => format!("the configuration is `{}`", file.display()),
            None => format!(
                "no configuration was found here (looked for `{}`)",
                DEFAULT_FILES.join("`, `")
            ),
        }
    }

    /// An error about a value that fits its type and cannot be used.
    pub(crate) fn unusable(
        &self,
        key: &str,
        why: &dyn Display,
        hint: Option<String>,
    ) -> ConfigError {
        ConfigError::Value {
            key: key.to_owned(),
            origin: self.origins.of(key),
            message: why.to_string(),
            hint,
        }
    }

    /// The site that is meant by a bare run number.
    pub(crate) fn default_site(&self) -> Option<Site> {
        let name = if self.default_site.is_empty() {
            &self.m2c.site
        } else {
            &self.default_site
        };
        name.parse().ok()
    }

    /// How a service of this configuration runs.
    pub(crate) fn service(&self, name: &'static str, listen: SocketAddr) -> ServiceOptions {
        ServiceOptions {
            name,
            listen,
            drain_timeout: Duration::from_secs(self.drain_timeout_secs),
            telemetry: self.telemetry.clone(),
        }
    }
}

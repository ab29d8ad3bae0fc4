//! Layered configuration: defaults < profile < TOML file < environment < `--set`.
//!
//! Promises that a later layer wins key by key, that no key is ignored silently, and
//! that an error says which key, where it was set and what would be right, without ever
//! showing a [`Secret`]. What the keys mean is left to the services' own types; these
//! carry `#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]`.

mod error;
mod layers;
mod reference;
mod secret;

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{ConfigError, Origin};
pub use layers::Origins;
pub use reference::reference;
pub use secret::Secret;

use layers::Layers;

/// What every environment variable of the configuration begins with.
pub const ENVIRONMENT_PREFIX: &str = "AQUIFER__";

/// Where a configuration comes from. Later fields win.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// TOML texts that are one layer together: no key stands in two of them.
    pub profile: Vec<ProfileText>,
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Names and values, such as `AQUIFER__M2C__DRAIN_TIMEOUT_SECS` and `30`. A double
    /// underscore opens a section, a single one is a dash, and case is ignored.
    pub environment: Vec<(String, String)>,
    /// Keys and values of `--set`, such as `m2c.buffer` and `/data`.
    pub overrides: Vec<(String, String)>,
}

/// One file of a profile: read already, or part of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileText {
    /// How errors call it.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
}

impl Sources {
    /// The file, this process's environment, and the `key=value` texts of `--set`.
    pub fn from_process(file: Option<PathBuf>, overrides: &[String]) -> Result<Self, ConfigError> {
        let overrides = overrides
            .iter()
            .map(|text| split_override(text))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            profile: Vec::new(),
            file,
            environment: environment(std::env::vars_os())?,
            overrides,
        })
    }
}

/// The variables that are ours, sorted: the order of the environment is not defined, and
/// that of errors should be.
fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut taken = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|n| n.starts_with(ENVIRONMENT_PREFIX)) else {
            continue;
        };
        let value = value.into_string().map_err(|_| ConfigError::Setting {
            setting: name.to_owned(),
            reason: "its value is not UTF-8",
        })?;
        taken.push((name.to_owned(), value));
    }
    taken.sort();
    Ok(taken)
}

fn split_override(text: &str) -> Result<(String, String), ConfigError> {
    if let Some((key, value)) = text.split_once('=') {
        return Ok((key.trim().to_owned(), value.to_owned()));
    }
    // Whatever follows the key may be a secret after a mistyped `=`.
    let is_key = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let key = text.split(|c| !is_key(c)).next().unwrap_or_default();
    Err(ConfigError::Setting {
        setting: format!("--set {key}"),
        reason: "it is not written `key=value`",
    })
}

/// Merges the sources and reads `T` out of them.
///
/// Values of the environment and of `--set` are TOML (`30`, `true`, `["a", "b"]`); what
/// is not TOML, or does not fit as such where its text does, is taken as text.
pub fn load<T: DeserializeOwned>(sources: &Sources) -> Result<T, ConfigError> {
    load_with_origins(sources).map(|(config, _)| config)
}

/// As [`load`], and where each key was set: for those who judge values that fit their
/// types and cannot be used all the same.
pub fn load_with_origins<T: DeserializeOwned>(
    sources: &Sources,
) -> Result<(T, Origins), ConfigError> {
    let mut layers = Layers::default();
    for ProfileText { path, text } in &sources.profile {
        layers.add_part(path, text)?;
    }
    if let Some(path) = &sources.file {
        layers.add_file(path)?;
    }
    for (name, value) in &sources.environment {
        layers.add_variable(name, value)?;
    }
    for (key, value) in &sources.overrides {
        layers.add_override(key, value)?;
    }
    layers.read()
}

/// The configuration as TOML, secrets shown as `***`.
pub fn dump<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    toml::to_string_pretty(config).map_err(ConfigError::Write)
}

#[cfg(test)]
mod tests;

//! Which events of open runs are shown live, and which banks hold slow control.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[m2c.tap]`: events of open runs, copied to where shifters' programs see them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TapConfig {
    /// Whether events are copied.
    pub enabled: bool,
    /// Part of the events that is copied, 0 to 1: evenly over the run.
    pub fraction: f64,
    /// Equipments whose events are copied, by MIDAS's event id; empty for all.
    pub event_ids: Vec<u16>,
    /// Most bytes copied per second, in MiB. What is beyond is dropped, and counted.
    pub most_mib_per_sec: f64,
    /// Largest object, in MiB. An event that is larger is dropped.
    pub object_mib: u64,
    /// Events wait so long for others to share their object, in milliseconds.
    pub delay_ms: u64,
    /// Objects that may wait for the storage. What comes while so many wait is dropped.
    pub queue: usize,
    /// Part of the object keys before the site. The bucket expires what lies below.
    pub key_prefix: String,
}

impl Default for TapConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            fraction: 1.0,
            event_ids: Vec::new(),
            most_mib_per_sec: 32.0,
            object_mib: 16,
            delay_ms: 1_000,
            queue: 4,
            key_prefix: "live".to_owned(),
        }
    }
}

/// `[[m2c.slow]]`: a bank of slow-control values in run files. All of them are published,
/// of open runs as they are written and of others when they are closed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SlowBank {
    /// Name of the bank, such as `INPT`.
    pub bank: String,
    /// MIDAS's event id of the equipment; 0 for any.
    pub event_id: u16,
    /// Path of the values' names in the ODB at the begin of the run, such as `/Equipment/Environment/Settings/Names Input`. Without it values are called `<bank>[<place>]`.
    pub names: String,
}

impl TapConfig {
    /// What is wrong with it, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.fraction) {
            return Err(format!("m2c.tap.fraction {} is not 0 to 1", self.fraction));
        }
        if !self.most_mib_per_sec.is_finite() || self.most_mib_per_sec < 0.0 {
            return Err(format!(
                "m2c.tap.most-mib-per-sec {} is not a rate",
                self.most_mib_per_sec
            ));
        }
        if self.object_mib == 0 || self.object_mib > 1024 || self.queue == 0 {
            return Err("m2c.tap.object-mib is 1 to 1024, m2c.tap.queue 1 or more".to_owned());
        }
        Ok(())
    }
}

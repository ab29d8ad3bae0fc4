//! Slow-control values that were read together.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::message::message;
use crate::words::{RunNumber, Site};

/// Slow-control values that were read together, from a run's data or from the DAQ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlowSample {
    /// Identity of this sample: [`SlowSample::id`].
    #[serde(with = "crate::wire")]
    pub event_id: Uuid,
    /// Where the values were measured.
    pub site: Site,
    /// What they were read from, such as `odb:/Equipment/Gas/Variables` or `bank:INPT`.
    pub source: String,
    /// Run in whose data the values stand.
    #[serde(with = "crate::wire")]
    pub run: Option<RunNumber>,
    /// When they were measured.
    #[serde(with = "crate::wire")]
    pub at: Timestamp,
    /// By name; NaN where the device gave no number.
    #[serde(with = "crate::wire")]
    pub values: BTreeMap<String, f64>,
    /// Program and host that sent this.
    pub producer: String,
}

impl SlowSample {
    /// Identity of the sample of `source` at `at`: reading the same data again gives
    /// the same id.
    pub fn id(site: &Site, source: &str, at: Timestamp) -> Uuid {
        crate::event_id(
            &format!("slow:{site}/{source}"),
            &at.as_microsecond().to_string(),
            0,
        )
    }
}

message!(
    SlowSample,
    "slow_sample.avsc",
    "aquifer.slow.sample",
    |event| format!("{}/{}", event.site, event.source)
);

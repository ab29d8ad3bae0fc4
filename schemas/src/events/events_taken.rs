//! Events of a run that is still being taken can be looked at.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::run_key;
use crate::message::message;
use crate::words::{FileName, RunNumber, RunVersion, Site};

/// Events of a run that is still being taken lie in an object, to be looked at live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsTaken {
    /// Identity of this announcement.
    #[serde(with = "crate::wire")]
    pub event_id: Uuid,
    /// Where the DAQ lives.
    pub site: Site,
    /// The number that the DAQ gave to the run.
    #[serde(with = "crate::wire")]
    pub run: RunNumber,
    /// 1 for the first run of this number, 0 where the sender does not know.
    pub version: RunVersion,
    /// Ordinal of the first event.
    #[serde(with = "crate::wire")]
    pub block: u64,
    /// The run file that the events are from.
    pub file: FileName,
    /// Storage element that holds the object.
    pub element: String,
    /// Bucket of the object.
    pub bucket: String,
    /// Key of the object in its bucket.
    pub key: String,
    /// Bytes of the object.
    #[serde(with = "crate::wire")]
    pub size: u64,
    /// CRC-64/NVME of the object, 16 lower-case hex digits.
    pub crc64nvme: String,
    /// The events in the object, in order.
    pub events: Vec<TakenEvent>,
    /// When the last of the events was found in the file.
    #[serde(with = "crate::wire")]
    pub taken_at: Timestamp,
    /// Program and host that sent this.
    pub producer: String,
}

/// One event: where it lies in its file. In the object the events lie end to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenEvent {
    /// Place among the events of its file, from 0.
    #[serde(with = "crate::wire")]
    pub ordinal: u64,
    /// Byte of the file at which it begins.
    #[serde(with = "crate::wire")]
    pub offset: u64,
    /// Its bytes.
    #[serde(with = "crate::wire")]
    pub length: u64,
    /// What was read out, as the DAQ numbers it.
    #[serde(with = "crate::wire")]
    pub id: u64,
    /// Serial number as the DAQ counts.
    #[serde(with = "crate::wire")]
    pub serial: u64,
}

message!(
    EventsTaken,
    "events_taken.avsc",
    "aquifer.daq.event",
    |event| format!("{}/{}", run_key(&event.site, event.run), event.block)
);

//! A message that nobody could handle.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::message::message;

/// A message that nobody could handle, as it came, with the reason and its origin, so
/// that it can be replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Identity: the same message given up by the same consumer is the same letter.
    #[serde(with = "crate::wire")]
    pub event_id: Uuid,
    /// Topic that the message was read from, without the deployment's prefix.
    pub origin_topic: String,
    /// Partition that it was read from.
    pub origin_partition: i32,
    /// Its offset there.
    pub origin_offset: i64,
    /// Consumer group that gave up.
    pub consumer: String,
    /// Why it was given up.
    pub reason: DeadLetterReason,
    /// The last error, for a person.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The message's key as it came.
    #[serde(with = "crate::wire")]
    pub key: Option<Vec<u8>>,
    /// The message's value as it came.
    #[serde(with = "crate::wire")]
    pub value: Vec<u8>,
    /// The message's headers as they came.
    #[serde(with = "crate::wire")]
    pub headers: BTreeMap<String, Vec<u8>>,
    /// When it was given up.
    #[serde(with = "crate::wire")]
    pub failed_at: Timestamp,
    /// Program and host that sent this.
    pub producer: String,
}

/// Why a message was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterReason {
    /// Its bytes are no message we know.
    Undecodable,
    /// What it is about does not exist.
    RefersToNothing,
    /// It says something impossible.
    Invalid,
    /// Every attempt failed.
    Exhausted,
    /// A writer of another version gave a word unknown here.
    Unknown,
}

impl DeadLetterReason {
    /// The one spelling of this reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::RefersToNothing => "refers_to_nothing",
            Self::Invalid => "invalid",
            Self::Exhausted => "exhausted",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

message!(
    DeadLetter,
    "dead_letter.avsc",
    "aquifer.dead-letter",
    |event| format!(
        "{}/{}/{}",
        event.origin_topic, event.origin_partition, event.origin_offset
    )
);

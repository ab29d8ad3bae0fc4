//! An announcement on its way from the transaction that made it true to the bus: what
//! the catalogue's outbox holds and the relay publishes.

use jiff::Timestamp;
use uuid::Uuid;

/// An announcement that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Its place in the order: ids of one key grow in the order of commits.
    pub id: u64,
    /// Topic, without a deployment's prefix.
    pub topic: String,
    /// Key of the message.
    pub key: String,
    /// Value, as it will stand on the bus.
    pub value: Vec<u8>,
    /// Identity of the event.
    pub event_id: Uuid,
    /// W3C `traceparent` of the trace that it belongs to.
    pub traceparent: Option<String>,
    /// When the fact became true.
    pub created_at: Timestamp,
}

//! Kafka: consume with a contiguous watermark, publish, relay an outbox, bury and
//! replay what nobody could handle, and lay out the topics.
//!
//! Promise: at least once. A message counts as read only when everything before it is
//! done, and as sent only when every in-sync replica has it. A broker's outage makes
//! callers wait; it is never an error of a message. What a message does to the world
//! is for the services.

pub mod admin;
mod client;
pub mod config;
pub mod consumer;
pub mod dead_letters;
pub mod decode;
pub mod error;
mod framing;
pub mod metrics;
mod poll;
pub mod producer;
mod registry;
pub mod relay;
pub mod tail;
pub mod topology;
pub mod watermark;

pub use config::KafkaConfig;
pub use consumer::{Ack, Consumer, ConsumerOptions, Delivery, Start};
pub use decode::{SCHEMAS_TOPIC, Schemas, publish_schemas};
pub use error::BusError;
pub use producer::{OutRecord, Producer, Receipt};
pub use registry::{RegistryConfig, RegistryError};
pub use relay::{Lease, Outbox, OutboxError, Publisher, Relay, RelayOptions};
pub use tail::{Record, Tail, read_all};
pub use topology::Topology;

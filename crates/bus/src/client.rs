//! What librdkafka has to say, into our log.
//!
//! An outage of the brokers is degraded service, not loss: it is never an ERROR here.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::KafkaError;
use tracing::{debug, info, warn};

/// The context of every client: passes the client's log on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logging;

impl ClientContext for Logging {
    fn log(&self, level: Level, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "kafka client");
    }
}

pub(crate) fn log(level: Level, facility: &str, message: &str) {
    match level {
        Level::Emerg | Level::Alert | Level::Critical => warn!(facility, "kafka: {message}"),
        Level::Error | Level::Warning => info!(facility, "kafka: {message}"),
        Level::Notice | Level::Info | Level::Debug => debug!(facility, "kafka: {message}"),
    }
}

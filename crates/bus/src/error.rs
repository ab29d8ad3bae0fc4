//! What can go wrong on the bus, sorted by what a caller should do about it.

use std::time::Duration;

use aquifer_runtime::retry::{Classify, ErrorClass};
use aquifer_schemas::CodecError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

use crate::registry::RegistryError;

/// A failure on the bus.
#[derive(Debug, Error)]
pub enum BusError {
    /// The configuration cannot be used, or names something that the client refuses.
    #[error("cannot make a kafka client for {servers}: {reason}")]
    Config {
        /// The servers configured.
        servers: String,
        /// What is wrong.
        reason: KafkaError,
    },
    /// A call to Kafka failed.
    #[error("cannot {doing}: {reason}")]
    Kafka {
        /// What was tried, such as ``publish to `aquifer.alert.signal` ``.
        doing: String,
        /// What the client or the broker says.
        reason: KafkaError,
    },
    /// A message cannot be encoded or decoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The schema registry does not do what it was asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Something took longer than it may.
    #[error("{doing} took longer than {limit:?}")]
    Deadline {
        /// What was waited for.
        doing: String,
        /// How long.
        limit: Duration,
    },
    /// The consumer or producer is closed.
    #[error("the {0} is closed")]
    Closed(&'static str),
    /// The thread of a client could not be started.
    #[error("cannot start the thread of a kafka client: {0}")]
    Thread(std::io::Error),
    /// A topology file does not make sense.
    #[error("cannot use a topology: {0}")]
    Topology(String),
}

impl Classify for BusError {
    fn class(&self) -> ErrorClass {
        if self.is_permanent() {
            ErrorClass::Permanent
        } else if self.is_unavailable() {
            ErrorClass::Unavailable
        } else {
            ErrorClass::Transient
        }
    }
}

impl BusError {
    /// An error of a call, with what was tried.
    pub(crate) fn kafka(doing: impl Into<String>, reason: KafkaError) -> Self {
        Self::Kafka {
            doing: doing.into(),
            reason,
        }
    }

    /// True if the cause lies in the message or the configuration: no retry can help.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Config { .. } | Self::Codec(_) | Self::Topology(_) => true,
            Self::Kafka { reason, .. } => code(reason).is_some_and(is_permanent),
            Self::Registry(error) => error.is_permanent(),
            Self::Deadline { .. } | Self::Closed(_) | Self::Thread(_) => false,
        }
    }

    /// True if the brokers or the registry cannot be reached or cannot serve now: pause and retry
    /// without limit, and do not blame the message.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Kafka { reason, .. } => {
                code(reason).is_none_or(|code| !is_permanent(code) && !is_transient(code))
            }
            Self::Registry(error) => !error.is_permanent(),
            Self::Deadline { .. } => true,
            _ => false,
        }
    }
}

/// The code behind an error, where it has one.
fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    error.rdkafka_error_code()
}

fn is_permanent(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTopic
            | Code::InvalidArgument
            | Code::InvalidConfig
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::PolicyViolation
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
    )
}

fn is_transient(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::QueueFull
            | Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::StaleMemberEpoch
            | Code::FencedMemberEpoch
    )
}

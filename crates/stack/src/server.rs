//! The three servers by name, and what is told about them while they start.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One server of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// One Apache Kafka node, broker and controller in one process.
    Kafka,
    /// One MariaDB server.
    MariaDb,
    /// SeaweedFS in one process, of which the S3 gateway is used.
    SeaweedFs,
}

impl Server {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kafka, Self::MariaDb, Self::SeaweedFs];

    /// The name in files and messages, such as `kafka`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::MariaDb => "mariadb",
            Self::SeaweedFs => "seaweedfs",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How to end a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// SIGTERM: in order. SIGKILL follows if that takes longer than the stack's patience.
    Term,
    /// SIGKILL: as a crash does.
    Kill,
}

/// How far a server has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its folder is made, which happens once in the life of a stack's folder.
    Preparing,
    /// Its process runs.
    Starting,
    /// It answers in its own protocol.
    Healthy,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Healthy => "healthy",
        })
    }
}

/// A server reached a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Which server.
    pub server: Server,
    /// What it reached.
    pub phase: Phase,
    /// Time since the start of the stack.
    pub elapsed: Duration,
}

//! What can be chosen about a stack.

use std::path::PathBuf;
use std::time::Duration;

use crate::Tools;

/// Where a stack lives and how it is tuned.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// The stack's folder: data, logs, sockets and `stack.json`. Made if missing.
    pub root: PathBuf,
    /// The programs of the servers.
    pub tools: Tools,
    /// `true`: MariaDB forces each commit to the disk, as in production. `false`: it
    /// leaves that to the kernel, which survives a killed server but not a power cut.
    pub mariadb_durable: bool,
    /// Pages that MariaDB keeps in memory, in MiB.
    pub mariadb_memory_mib: u32,
    /// Kafka's Java heap in MiB.
    pub kafka_heap_mib: u32,
    /// How long one server may take until it is healthy.
    pub start_deadline: Duration,
    /// `true`: the folder must be new, and is removed with the servers.
    pub ephemeral: bool,
    /// `true`: Kafka and MariaDB can be reached over TLS with a certificate of the stack's
    /// own authority, Kafka with SCRAM-SHA-512, and MariaDB takes nobody without. Kafka's
    /// other listeners stay as they are. Choose it when the folder is new.
    pub secure: bool,
    /// Whose tokens S3 gives keys for; nobody's by default.
    pub token_issuer: Option<TokenIssuer>,
}

/// Who signs tokens that S3 exchanges for keys (`OpenID` Connect). The role to take is
/// [`TokenIssuer::ROLE`], which may do everything with every bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIssuer {
    /// Its URL, as its tokens have it in `iss`; its keys are at `/jwks` below.
    pub url: String,
    /// For whom the tokens are: their `aud`.
    pub audience: String,
}

impl TokenIssuer {
    /// The role that holders of a token take.
    pub const ROLE: &str = "arn:aws:iam::role/aquifer";
}

impl StackOptions {
    /// A durable stack in `root` that stays on the disk.
    pub fn new(root: impl Into<PathBuf>, tools: Tools) -> Self {
        Self {
            root: root.into(),
            tools,
            mariadb_durable: true,
            mariadb_memory_mib: 256,
            kafka_heap_mib: 512,
            start_deadline: Duration::from_mins(1),
            ephemeral: false,
            secure: false,
            token_issuer: None,
        }
    }
}

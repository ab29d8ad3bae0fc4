//! Where the servers of a stack listen, and the credentials that they take.
//!
//! Passwords are in the fields and in the serialised form, never in the debug form.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that a client of the stack needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The stack's folder.
    pub root: PathBuf,
    /// Kafka's `bootstrap.servers`, `127.0.0.1:port`, without TLS or authentication.
    pub kafka_bootstrap: String,
    /// MariaDB.
    pub mariadb: MariaDbEndpoint,
    /// The S3 gateway.
    pub s3: S3Endpoint,
    /// What TLS needs; `None` where the stack was started without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure: Option<SecureEndpoint>,
}

/// How to reach Kafka over TLS, and whom to trust there and at MariaDB.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecureEndpoint {
    /// PEM certificate of the authority that signed those of the servers.
    pub ca_file: PathBuf,
    /// Kafka's `bootstrap.servers` for `SASL_SSL`.
    pub kafka_bootstrap: String,
    /// User for SCRAM-SHA-512.
    pub kafka_user: String,
    /// The user's password.
    pub kafka_password: String,
}

impl fmt::Debug for SecureEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureEndpoint")
            .field("ca_file", &self.ca_file)
            .field("kafka_bootstrap", &self.kafka_bootstrap)
            .field("kafka_user", &self.kafka_user)
            .field("kafka_password", &"***")
            .finish()
    }
}

/// How to reach MariaDB.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MariaDbEndpoint {
    /// `127.0.0.1`.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database, which exists.
    pub database: String,
    /// A user with all rights on `database` and on databases named `<database>_…`.
    pub user: String,
    /// Letters and digits only: needs no escaping in a URL.
    pub password: String,
    /// The Unix socket.
    pub socket: PathBuf,
}

impl MariaDbEndpoint {
    /// `mysql://user:password@host:port/database`.
    pub fn url(&self) -> String {
        format!(
            "mysql://{}:{}@{}:{}/{}",
            self.user, self.password, self.host, self.port, self.database
        )
    }
}

impl fmt::Debug for MariaDbEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MariaDbEndpoint")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("password", &"***")
            .field("socket", &self.socket)
            .finish()
    }
}

/// How to reach the S3 gateway; buckets are addressed by path.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Endpoint {
    /// `http://127.0.0.1:port`.
    pub endpoint: String,
    /// The region to sign for.
    pub region: String,
    /// Access key of an administrator.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// A bucket that exists.
    pub bucket: String,
}

impl fmt::Debug for S3Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Endpoint")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.access_key)
            .field("secret_key", &"***")
            .field("bucket", &self.bucket)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_in_the_debug_form() {
        let mariadb = MariaDbEndpoint {
            host: "127.0.0.1".into(),
            port: 1,
            database: "d".into(),
            user: "u".into(),
            password: "verysecret".into(),
            socket: "/s".into(),
        };
        let s3 = S3Endpoint {
            endpoint: "http://127.0.0.1:2".into(),
            region: "r".into(),
            access_key: "a".into(),
            secret_key: "verysecret".into(),
            bucket: "b".into(),
        };
        let secure = SecureEndpoint {
            ca_file: "/c".into(),
            kafka_bootstrap: "127.0.0.1:3".into(),
            kafka_user: "u".into(),
            kafka_password: "verysecret".into(),
        };
        let text = format!("{mariadb:?} {s3:?} {secure:?}");
        assert!(!text.contains("verysecret"), "{text}");
        assert_eq!(mariadb.url(), "mysql://u:verysecret@127.0.0.1:1/d");
    }
}

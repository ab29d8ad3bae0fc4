//! Where the catalogue is, and how it may be used.

use std::time::Duration;

use aquifer_runtime::config::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::CatalogueError;

/// The connection to `MariaDB`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CatalogueConfig {
    /// Host name or address of the server.
    pub host: String,
    /// Port of the server.
    pub port: u16,
    /// The catalogue's own database: letters, digits and `_`.
    pub database: String,
    /// User of the server.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// Most connections kept at one time.
    pub connections: usize,
    /// Seconds after which a transaction that gets no answer is given up.
    pub timeout_secs: u64,
}

impl Default for CatalogueConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 3306,
            database: "aquifer".to_owned(),
            user: "aquifer".to_owned(),
            password: Secret::default(),
            connections: 8,
            timeout_secs: 30,
        }
    }
}

impl CatalogueConfig {
    /// Refuses what cannot work, before anything is connected.
    pub fn check(&self) -> Result<(), CatalogueError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        // The name stands in `CREATE DATABASE`, where no parameter can.
        if self.database.is_empty() || self.database.len() > 64 || !self.database.bytes().all(plain)
        {
            return Err(CatalogueError::Config {
                field: "database",
                value: self.database.clone(),
                need: "1 to 64 letters, digits or `_`",
            });
        }
        if self.connections == 0 || self.connections > 1024 {
            return Err(CatalogueError::Config {
                field: "connections",
                value: self.connections.to_string(),
                need: "1 to 1024",
            });
        }
        if self.timeout_secs == 0 {
            return Err(CatalogueError::Config {
                field: "timeout-secs",
                value: "0".to_owned(),
                need: "at least 1",
            });
        }
        Ok(())
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let config = CatalogueConfig {
            password: Secret::from("hunter2".to_owned()),
            ..CatalogueConfig::default()
        };
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_database_name_that_would_need_quoting_is_refused() {
        for database in ["", "a`b", "a b", "a-b", "a;b"] {
            let config = CatalogueConfig {
                database: database.to_owned(),
                ..CatalogueConfig::default()
            };
            assert!(config.check().is_err(), "{database:?}");
        }
        assert!(CatalogueConfig::default().check().is_ok());
    }
}

//! Where the catalogue is, and how it may be used.

use std::path::PathBuf;
use std::time::Duration;

use aquifer_runtime::config::Secret;
use mysql_async::SslOpts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::CatalogueError;

/// Whether the way to `MariaDB` is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// It is not: for a server on this machine or behind a tunnel.
    #[default]
    Off,
    /// It is, to a server whose certificate is good for `host`; a server that offers no
    /// TLS, or has another certificate, gets no password.
    Required,
}

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
    /// Whether the connection is encrypted, and the server's certificate checked.
    pub tls: Tls,
    /// File with PEM certificates of the authorities that are trusted with `tls`, and no
    /// others. Without it, those that browsers know.
    pub ca_file: Option<PathBuf>,
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
            tls: Tls::default(),
            ca_file: None,
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
        self.check_ca_file()
    }

    fn check_ca_file(&self) -> Result<(), CatalogueError> {
        let Some(path) = &self.ca_file else {
            return Ok(());
        };
        let wrong = |need| CatalogueError::Config {
            field: "ca-file",
            value: path.display().to_string(),
            need,
        };
        if self.tls == Tls::Off {
            return Err(wrong("tls = \"required\" beside it"));
        }
        let pem = std::fs::read_to_string(path).map_err(|_| wrong("a file that can be read"))?;
        if !pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err(wrong("a file with PEM certificates"));
        }
        Ok(())
    }

    /// What the driver is told of TLS.
    pub(crate) fn ssl(&self) -> Option<SslOpts> {
        let trusted = self
            .ca_file
            .iter()
            .map(|path| path.clone().into())
            .collect();
        (self.tls == Tls::Required).then(|| {
            SslOpts::default()
                .with_root_certs(trusted)
                .with_disable_built_in_roots(self.ca_file.is_some())
        })
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

    #[test]
    fn certificates_that_could_not_protect_anything_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = file("good", "-----BEGIN CERTIFICATE-----");
        let none = file("none", "");
        let with = |tls, ca_file: Option<PathBuf>| CatalogueConfig {
            tls,
            ca_file,
            ..CatalogueConfig::default()
        };
        assert!(with(Tls::Required, Some(good.clone())).check().is_ok());
        assert!(with(Tls::Required, None).check().is_ok());
        for (tls, path) in [
            (Tls::Off, good),
            (Tls::Required, none),
            (Tls::Required, folder.path().join("missing")),
        ] {
            let error = with(tls, Some(path)).check().unwrap_err();
            assert!(error.to_string().contains("ca-file"), "{error}");
        }
    }
}

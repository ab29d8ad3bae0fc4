//! The folder of a private stack: what lies where, and the configuration file that
//! says so.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aquifer_schemas::Site;
use aquifer_stack::Endpoints;
use serde_json::json;

/// Name of the configuration file in the stack's folder.
const FILE: &str = "aquifer.toml";

/// What lies where.
pub(super) struct Plan {
    root: PathBuf,
    site: Site,
    buffer: PathBuf,
}

impl Plan {
    /// Makes the folders.
    pub(super) fn new(root: &Path, site: &Site, buffer: &Path) -> anyhow::Result<Self> {
        let buffer = std::path::absolute(buffer)?;
        for folder in [&buffer, &root.join("journal"), &root.join("traces")] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        Ok(Self {
            root: root.to_owned(),
            site: site.clone(),
            buffer,
        })
    }

    /// Writes the configuration file, readable by its owner only. What the user
    /// changed in other keys is kept.
    pub(super) fn write(&self, endpoints: &Endpoints) -> anyhow::Result<PathBuf> {
        let path = self.root.join(FILE);
        let mut table = match fs::read_to_string(&path) {
            Ok(text) => text
                .parse::<toml::Table>()
                .with_context(|| path.display().to_string())?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => toml::Table::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        merge(&mut table, self.settings(endpoints)?);
        let text = format!(
            "# Written by `aquifer up`: addresses and credentials of the private stack.\n{}",
            toml::to_string_pretty(&table)?
        );
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }

    fn settings(&self, endpoints: &Endpoints) -> anyhow::Result<toml::Table> {
        let settings = json!({
            "default-site": self.site,
            "telemetry": { "traces": "file", "traces-dir": self.root.join("traces") },
            "kafka": { "bootstrap-servers": endpoints.kafka_bootstrap },
            "catalogue": {
                "host": endpoints.mariadb.host,
                "port": endpoints.mariadb.port,
                "database": endpoints.mariadb.database,
                "user": endpoints.mariadb.user,
                "password": endpoints.mariadb.password,
            },
            "storage": {
                "endpoint": endpoints.s3.endpoint,
                "region": endpoints.s3.region,
                "bucket": endpoints.s3.bucket,
                "access-key": endpoints.s3.access_key,
                "secret-key": endpoints.s3.secret_key,
            },
            "m2c": {
                "listen": free_address()?,
                "site": self.site,
                "buffer": self.buffer,
                "journal": self.root.join("journal"),
                "quiet-secs": 10,
            },
            "relay": { "listen": free_address()? },
            "audit": {
                "daq-run-list": self.root.join("daq-runs.jsonl"),
                "stored-within-secs": 60,
            },
        });
        Ok(toml::Table::try_from(settings)?)
    }
}

/// `news` win over what is there, key by key.
fn merge(table: &mut toml::Table, news: toml::Table) {
    for (key, value) in news {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// An address that was free a moment ago.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

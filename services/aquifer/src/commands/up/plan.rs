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
use uuid::Uuid;

use crate::cli::UpArgs;
use crate::commands::profile;
use crate::failure::Hinted;

/// Name of the configuration file in the stack's folder.
const FILE: &str = "aquifer.toml";

/// The site where nobody names one.
const SOME_SITE: &str = "LAB";

/// What lies where.
pub(super) struct Plan {
    root: PathBuf,
    profile: Option<String>,
    site: Site,
    buffer: PathBuf,
}

impl Plan {
    /// Makes the folders.
    pub(super) fn new(args: &UpArgs, root: &Path) -> anyhow::Result<Self> {
        let buffer = args.buffer.clone().unwrap_or_else(|| root.join("buffer"));
        let buffer = std::path::absolute(buffer)?;
        let profile = args.profile.as_deref().map(lasting).transpose()?;
        let before = site_before(root)?;
        let site = match (&args.site, &profile, &before) {
            (Some(site), ..) => site.clone(),
            (None, Some(profile), _) => first_site(profile)?,
            (None, None, Some(before)) => before.clone(),
            (None, None, None) => SOME_SITE.parse()?,
        };
        if let Some(before) = before.filter(|before| *before != site) {
            let what = format!(
                "what lies in `{}` is of site {before}, not {site}",
                root.display()
            );
            let hint = "`--root DIR` names another folder; `make clean-stack` removes this one";
            return Err(Hinted::usage(what, hint).into());
        }
        for folder in [&buffer, &root.join("journal"), &root.join("traces")] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        Ok(Self {
            root: root.to_owned(),
            profile,
            site,
            buffer,
        })
    }

    /// The site whose DAQ writes the buffer.
    pub(super) fn site(&self) -> &Site {
        &self.site
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
        give_token(&mut table);
        if let Some(profile) = &self.profile {
            table.insert("profile".to_owned(), profile.clone().into());
        }
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
            "monitor": { "listen": free_address()? },
            "audit": {
                "daq-run-list": self.root.join("daq-runs.jsonl"),
                "stored-within-secs": 60,
            },
        });
        Ok(toml::Table::try_from(settings)?)
    }
}

/// A profile as it may stand in a file: a folder with its whole path.
fn lasting(profile: &str) -> anyhow::Result<String> {
    if !Path::new(profile).is_dir() {
        return Ok(profile.to_owned());
    }
    let folder = std::path::absolute(profile)?;
    let text = folder.to_str().map(str::to_owned);
    text.with_context(|| format!("`{}` is not UTF-8", folder.display()))
}

/// The site that a profile names first.
fn first_site(profile: &str) -> anyhow::Result<Site> {
    let profile = profile::read(profile)?;
    let first = profile.experiment.sites.first();
    Ok(first.map_or(SOME_SITE, |site| &site.name).parse()?)
}

/// The site of what lies in the folder already.
fn site_before(root: &Path) -> anyhow::Result<Option<Site>> {
    let path = root.join(FILE);
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(None);
    };
    let table: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    let site = table.get("m2c").and_then(|m2c| m2c.get("site"));
    let site = site.and_then(toml::Value::as_str).map(str::parse);
    Ok(site.transpose()?)
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

/// A token for the API, where there is none yet: whoever can read the file may use it.
fn give_token(table: &mut toml::Table) {
    if let Some(monitor) = table.get_mut("monitor").and_then(toml::Value::as_table_mut) {
        let token = || Uuid::new_v4().simple().to_string().into();
        monitor.entry("token").or_insert_with(token);
    }
}

/// An address that was free a moment ago.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

//! `aquifer config`: what is configured, and what can be.

use std::process::ExitCode;

use aquifer_bus::Producer;
use aquifer_catalogue::CatalogueError;
use aquifer_m2c::Unusable;
use aquifer_runtime::config::{dump, reference as reference_of};
use aquifer_storage::{S3Element, StorageError};
use serde_json::json;

use crate::cli::{ConfigCommand, JsonArg, ServiceName};
use crate::config::Config;
use crate::output;

/// Checks or prints the configuration.
pub(super) fn run(config: &Config, command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check { services, json } => check(config, services, *json)?,
        ConfigCommand::Dump(JsonArg { json: true }) => output::json(config)?,
        ConfigCommand::Dump(JsonArg { json: false }) => output::line(dump(config)?.trim_end())?,
        ConfigCommand::Reference => return reference(),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the page of every key.
pub(super) fn reference() -> anyhow::Result<ExitCode> {
    output::line("# Configuration\n")?;
    output::line(reference_of::<Config>()?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// What can be checked by itself: the parts of one service.
fn check(config: &Config, services: &[ServiceName], json: bool) -> anyhow::Result<()> {
    if !json {
        output::line(config.read_from())?;
    }
    for service in services {
        match service {
            ServiceName::M2c => {
                check_m2c(config)?;
                check_storage(config)?;
                check_bus(config)?;
            }
            ServiceName::Relay => check_bus(config)?,
            ServiceName::Monitor => check_storage(config)?,
        }
        check_catalogue(config)?;
        if !json {
            output::line(format!("{service}: the configuration can be used"))?;
        }
    }
    if json {
        let usable: Vec<_> = services.iter().map(ToString::to_string).collect();
        output::json(&json!({ "file": config.file, "usable_for": usable }))?;
    }
    Ok(())
}

/// As the ingester does when it starts, and whether there is a buffer now.
fn check_m2c(config: &Config) -> anyhow::Result<()> {
    config.site()?;
    config
        .m2c
        .check()
        .map_err(|Unusable { key, why }| config.unusable(&format!("m2c.{key}"), &why, None))?;
    config.classifier()?;
    let folder = &config.m2c.buffer;
    if !folder.is_dir() {
        let why = format!("`{}` is not a folder", folder.display());
        let hint = "create it, or name the folder into which the DAQ writes".to_owned();
        return Err(config.unusable("m2c.buffer", &why, Some(hint)).into());
    }
    Ok(())
}

/// As every service does that stores or reads back.
fn check_storage(config: &Config) -> anyhow::Result<()> {
    S3Element::new(config.storage.clone()).map_err(|error| match error {
        // Begins with the key that is wrong.
        StorageError::Config { what, .. } => {
            let key = what.split(' ').next().unwrap_or_default();
            config.unusable(&format!("storage.{key}"), &what, None)
        }
        other => config.unusable("storage", &other, None),
    })?;
    Ok(())
}

/// As every service does that has news; nothing is sent.
fn check_bus(config: &Config) -> anyhow::Result<()> {
    if config.kafka.bootstrap_servers.is_empty() {
        return Err(config
            .unusable("kafka.bootstrap-servers", &"it must name a broker", None)
            .into());
    }
    Producer::connect(&config.kafka).map_err(|error| config.unusable("kafka", &error, None))?;
    Ok(())
}

/// As every service does when it starts; nothing is sent.
fn check_catalogue(config: &Config) -> anyhow::Result<()> {
    let catalogue = config.catalogue.check();
    catalogue.map_err(|error| match error {
        CatalogueError::Config { field, value, need } => {
            let why = format!("`{value}` is not {need}");
            config.unusable(&format!("catalogue.{field}"), &why, None)
        }
        other => config.unusable("catalogue", &other, None),
    })?;
    Ok(())
}

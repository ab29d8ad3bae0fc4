//! `aquifer config`: what is configured, and what can be.

use std::process::ExitCode;

use aquifer_runtime::config::{dump, reference as reference_of};
use aquifer_schemas::Site;

use crate::cli::ConfigCommand;
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Checks or prints the configuration.
pub(super) fn run(config: &Config, command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check => check(config)?,
        ConfigCommand::Dump => output::line(dump(config)?.trim_end())?,
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

fn check(config: &Config) -> anyhow::Result<()> {
    config.m2c.rules()?;
    if !config.m2c.site.is_empty() {
        config.m2c.site.parse::<Site>()?;
    }
    let folder = &config.m2c.buffer;
    if !folder.as_os_str().is_empty() && !folder.is_dir() {
        return Err(Hinted::new(
            format!("m2c.buffer `{}` is not a folder", folder.display()),
            "create it, or name the folder into which the DAQ writes",
        )
        .into());
    }
    output::line("the configuration can be used")?;
    Ok(())
}

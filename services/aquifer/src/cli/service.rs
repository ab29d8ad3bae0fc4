//! The services, and what they are told.

use std::str::FromStr as _;

use clap::{Args, Subcommand, ValueEnum};

use super::args::{JsonArg, ServiceArgs};
use super::template::KeyTemplate;

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct M2cArgs {
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Rehearse beside the ingester in service: write nothing, tell what would be done
    /// (`m2c.shadow`)
    #[arg(long)]
    pub shadow: bool,
    #[command(subcommand)]
    pub command: Option<M2cCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum M2cCommand {
    /// Ask a running ingester how it is, and whether its host can be switched off; needs
    /// neither catalogue nor bus. Exit code 0: it can; 1: it cannot; 2: no answer
    Status(M2cStatusArgs),
    /// Ask a running rehearsal what it would have stored, and compare that with what the
    /// ingester in service did. Exit code 0: nothing differs; 1: something does; 2: no
    /// answer
    Shadow(M2cShadowArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct M2cShadowArgs {
    /// Where it listens [default: `m2c.listen` of the configuration]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Compare with the objects of this bucket of the configured storage, in place of the
    /// catalogue
    #[arg(long, value_name = "BUCKET")]
    pub compare_bucket: Option<String>,
    /// Their keys: `{site}`, `{run}` or with leading zeros `{run:05}`, `{file}` and
    /// `{disk}`, its name in the buffer
    #[arg(
        long,
        value_name = "TEMPLATE",
        requires = "compare_bucket",
        default_value = "{site}/{disk}",
        value_parser = KeyTemplate::from_str
    )]
    pub key_template: KeyTemplate,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct M2cStatusArgs {
    /// Where it listens [default: `m2c.listen` of the configuration]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether services can start with the configuration, without reaching anything
    Check {
        /// Which services [default: all of them]
        #[arg(value_enum, default_values_t = ServiceName::ALL, hide_default_value = true)]
        services: Vec<ServiceName>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration in force, without secrets
    Dump(JsonArg),
    /// Print the reference of every key
    Reference,
}

/// A service that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceName {
    /// The ingester
    M2c,
    /// The publisher of announcements
    Relay,
    /// The API
    Monitor,
}

impl ServiceName {
    const ALL: [Self; 3] = [Self::M2c, Self::Relay, Self::Monitor];
}

impl std::fmt::Display for ServiceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::M2c => "m2c",
            Self::Relay => "relay",
            Self::Monitor => "monitor",
        })
    }
}

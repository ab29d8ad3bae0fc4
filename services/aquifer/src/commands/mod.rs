//! One file per command.

mod audit;
mod breakage;
mod buffer;
mod checksum;
mod command_line;
mod config_cmd;
mod daq;
mod dead_letters;
mod demo;
mod down;
mod explain;
mod files;
mod get;
mod history;
mod import;
mod list;
mod local;
mod m2c_shadow;
mod m2c_status;
pub(crate) mod midas;
mod migrate;
mod on;
mod periods;
mod products;
mod profile;
mod rebuild;
mod reclassify;
mod resolve;
mod runs;
mod select;
mod services;
mod sites;
mod stack;
mod storage;
mod topology;
mod up;
mod verify;
mod words;

use std::future::Future;
use std::process::ExitCode;

use aquifer_catalogue::Catalogue;
use aquifer_schemas::RunId;

use crate::cli::{
    CatalogueCommand, Cli, Command, ConfigCommand, DaqCommand, DemoCommand, Global, ImportCommand,
    M2cCommand, OnCommand,
};
use crate::config::Config;
use crate::failure::Hinted;

/// Carries out what was asked.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = cli.global;
    match cli.command {
        Command::Config(ConfigCommand::Reference) => config_cmd::reference(),
        Command::Up(args) => block_on(up::run(args)),
        Command::Demo(args) => match args.command {
            Some(DemoCommand::Break(args)) => block_on(breakage::run(args)),
            None => block_on(demo::run(args)),
        },
        Command::Down(args) => block_on(down::run(args)),
        Command::Stack(command) => block_on(stack::run(command)),
        Command::Midas(command) => midas::run(&command),
        Command::Profile(command) => profile::run(&global, command),
        Command::Words => words::run(),
        Command::Checksum(args) => checksum::run(&args),
        Command::Completions(args) => command_line::completions(&args),
        Command::Man(args) => command_line::man(&args),
        Command::Commands => command_line::reference(),
        Command::Import(ImportCommand::Runlog(args)) if args.dry_run => {
            block_on(import::dry_run(*args))
        }
        Command::Daq(DaqCommand::Book(args)) => daq::book(&args),
        command => with_config(&global, command),
    }
}

/// Commands that need the configuration.
fn with_config(global: &Global, command: Command) -> anyhow::Result<ExitCode> {
    let config = Config::load(global.config.clone(), &global.overrides)?;
    match command {
        Command::M2c(args) => match args.command {
            Some(M2cCommand::Status(args)) => block_on(m2c_status::run(config, args)),
            Some(M2cCommand::Shadow(args)) => block_on(m2c_shadow::run(config, args)),
            None => Ok(services::m2c(&config, &args)),
        },
        Command::Relay(args) => Ok(services::relay(&config, &args)),
        Command::Monitor(args) => Ok(services::monitor(&config, &args)),
        Command::Daq(command) => daq::run(&config, &command),
        Command::Migrate(args) => block_on(migrate::run(config, args)),
        Command::Catalogue(CatalogueCommand::Rebuild(args)) => block_on(rebuild::run(config, args)),
        Command::Catalogue(CatalogueCommand::History(command)) => {
            block_on(history::run(config, command))
        }
        Command::Topology(command) => block_on(topology::run(config, command)),
        Command::Sites(command) => block_on(sites::run(config, command)),
        Command::Config(command) => config_cmd::run(&config, &command),
        Command::Runs(command) => block_on(runs::run(config, command)),
        Command::Files(args) => block_on(files::run(config, args)),
        Command::Get(args) => block_on(get::run(config, args)),
        Command::Verify(args) => block_on(verify::run(config, args)),
        Command::Resolve(args) => block_on(resolve::run(config, args)),
        Command::Products(command) => block_on(products::run(config, command)),
        Command::On(OnCommand::RunStored(args)) => on::run_stored(&config, &args),
        Command::On(command) => block_on(on::run(config, command)),
        Command::Explain(args) => block_on(explain::run(config, args)),
        Command::Audit(args) => block_on(audit::run(config, args)),
        Command::Storage(command) => block_on(storage::run(config, command)),
        Command::Buffer(command) => block_on(buffer::run(config, command)),
        Command::DeadLetters(command) => block_on(dead_letters::run(config, command)),
        Command::Import(command) => block_on(import::run(config, command)),
        Command::Up(_)
        | Command::Demo(_)
        | Command::Down(_)
        | Command::Stack(_)
        | Command::Midas(_)
        | Command::Profile(_)
        | Command::Checksum(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Commands
        | Command::Words => {
            unreachable!("handled before the configuration is read")
        }
    }
}

/// Who says what is said by hand, for the history.
fn operator() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    format!("{user}@aquifer")
}

/// Runs one command to its end.
fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(command)
}

/// The catalogue, if its schema is the one that this version knows.
async fn open_catalogue(config: &Config) -> anyhow::Result<Catalogue> {
    let catalogue = Catalogue::connect(&config.catalogue).await?;
    catalogue.require_current_schema().await?;
    Ok(catalogue)
}

/// The run that `text` means; a bare number is one of the default site.
fn run_id(config: &Config, text: &str) -> anyhow::Result<RunId> {
    let default_site = config.default_site();
    RunId::parse_at(text, default_site.as_ref()).map_err(|error| {
        let write = "write SITE/NUMBER, such as LNGS/4242";
        let bare = !text.contains('/') && default_site.is_none();
        let hint = if bare {
            format!(
                "no site is set for bare numbers, and {}: {write}",
                config.read_from()
            )
        } else {
            write.to_owned()
        };
        Hinted::usage(error.to_string(), hint).into()
    })
}

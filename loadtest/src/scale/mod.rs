//! A catalogue after years: it is filled with rows such as years of data taking leave,
//! and asked what people ask, through the same code that the command line uses.

mod fill;
mod questions;
mod report;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use aquifer_catalogue::{Catalogue, CatalogueConfig};
use aquifer_stack::{MariaDbEndpoint, Stack, StackOptions, Tools};
use clap::Args;
use jiff::Timestamp;

use fill::Years;
use report::{Trial, markdown};

/// Arguments of `scale`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ScaleArgs {
    /// Runs
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// Files of each
    #[arg(long, default_value_t = 20)]
    files: u64,
    /// Steps of the history of each
    #[arg(long, default_value_t = 60)]
    steps: u64,
    /// How often each question is asked, of other runs each time
    #[arg(long, default_value_t = 300)]
    times: u32,
    /// Memory of the database's server, in MiB
    #[arg(long, default_value_t = 4096)]
    memory_mib: u32,
    /// Where the servers live [default: a folder of its own under `target`]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The Markdown report; printed if not given
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Fills, asks, reports; says whether every question was answered in time.
pub(crate) async fn scale(args: &ScaleArgs) -> anyhow::Result<bool> {
    let root = args
        .root
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("target/loadtest/scale-{}", std::process::id())));
    let options = StackOptions {
        ephemeral: true,
        // The filling is not what is measured, and a lost disk only ends the campaign.
        mariadb_durable: false,
        mariadb_memory_mib: args.memory_mib,
        ..StackOptions::new(
            &root,
            Tools::locate(&Tools::cache(std::path::Path::new(".")))?,
        )
    };
    let stack = Stack::start(options, &mut |_| {}).await?;
    let measured = measure(args, &stack.endpoints().mariadb).await;
    stack.stop().await?;
    let trial = measured?;
    let text = markdown(&trial);
    match &args.report {
        Some(path) => {
            std::fs::write(path, text).with_context(|| path.display().to_string())?;
        }
        None => write!(std::io::stdout(), "{text}")?,
    }
    Ok(trial.answers.iter().all(questions::Answer::in_time))
}

async fn measure(args: &ScaleArgs, server: &MariaDbEndpoint) -> anyhow::Result<Trial> {
    let catalogue = Catalogue::connect(&CatalogueConfig {
        host: server.host.clone(),
        port: server.port,
        database: server.database.clone(),
        user: server.user.clone(),
        password: server.password.clone().into(),
        ..CatalogueConfig::default()
    })
    .await?;
    catalogue.migrate().await?;
    let years = Years {
        runs: args.runs,
        files: args.files,
        steps: args.steps,
    };
    let (at, began) = (Timestamp::now(), Instant::now());
    let tables = fill::fill(&years, &server.url()).await?;
    let fill_secs = began.elapsed().as_secs_f64();
    let answers = questions::ask(&catalogue, &years, args.times).await?;
    Ok(Trial {
        at,
        cores: std::thread::available_parallelism()?.get(),
        memory_mib: args.memory_mib,
        times: args.times,
        fill_secs,
        tables,
        answers,
    })
}

//! `aquifer migrate`: the only command that changes the catalogue's schema.

use std::process::ExitCode;

use aquifer_catalogue::Catalogue;

use crate::cli::JsonArg;
use crate::config::Config;
use crate::output;

/// Brings the schema up to date and says what was done.
pub(super) async fn run(config: Config, args: JsonArg) -> anyhow::Result<ExitCode> {
    let catalogue = Catalogue::connect(&config.catalogue).await?;
    let report = catalogue.migrate().await?;
    if args.json {
        output::json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    if report.applied.is_empty() {
        output::line(format!("the schema is at version {} already", report.to))?;
    } else {
        output::line(format!("schema version {} → {}", report.from, report.to))?;
    }
    for migration in &report.applied {
        output::line(format!("  {migration}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

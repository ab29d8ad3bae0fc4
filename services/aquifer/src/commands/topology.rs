//! `aquifer topology`: makes the bus look as this version needs it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use aquifer_bus::admin::apply;
use aquifer_bus::topology::{Difference, Report, Topology};

use crate::cli::TopologyCommand;
use crate::config::Config;
use crate::output;

/// The topics that this version needs.
const TOPICS: &str = include_str!("../../../../topology/topics.toml");

/// Applies a topology and says what was done; refusals make the command fail.
pub(super) async fn run(config: Config, command: TopologyCommand) -> anyhow::Result<ExitCode> {
    let TopologyCommand::Apply {
        file,
        dry_run,
        json,
    } = command;
    let topology = read(file)?;
    let report = apply(&config.kafka, &topology, dry_run).await?;
    if json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(if report.refused.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The topology in `file`, or the one that this version needs.
pub(super) fn read(file: Option<PathBuf>) -> anyhow::Result<Topology> {
    let Some(path) = file else {
        return Ok(Topology::parse(TOPICS)?);
    };
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Topology::parse(&text).with_context(|| path.display().to_string())
}

fn print(report: &Report) -> anyhow::Result<()> {
    for topic in &report.created {
        output::line(format!("created    {topic}"))?;
    }
    for change in &report.altered {
        output::line(format!("altered    {}", describe(change)))?;
    }
    for topic in &report.unchanged {
        output::line(format!("unchanged  {topic}"))?;
    }
    for difference in &report.refused {
        let what = describe(difference);
        output::line(format!("refused    {what}; {}", difference.why))?;
    }
    Ok(())
}

fn describe(difference: &Difference) -> String {
    let Difference {
        topic,
        what,
        have,
        want,
        ..
    } = difference;
    format!("{topic} {what}: {have} → {want}")
}

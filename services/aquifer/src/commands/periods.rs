//! `aquifer runs period`: named stretches of data taking.

use std::process::ExitCode;

use aquifer_catalogue::{Catalogue, PeriodRow, RunRow};
use aquifer_schemas::Period;

use super::{open_catalogue, operator};
use crate::cli::{PeriodCommand, PeriodSetArgs};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Sets, lists or removes periods.
pub(super) async fn run(config: Config, command: PeriodCommand) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    match command {
        PeriodCommand::Set(args) => set(&catalogue, args).await?,
        PeriodCommand::List { json } => list(&catalogue, json).await?,
        PeriodCommand::Remove { name } => {
            if !catalogue.remove_period(&name).await? {
                return Err(unknown(&name).into());
            }
            output::line(format!("period {name} is removed"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(catalogue: &Catalogue, args: PeriodSetArgs) -> anyhow::Result<()> {
    let period = Period {
        name: args.name,
        site: args.site,
        from: args.from,
        to: args.to,
        description: args.description,
    };
    let checked = period.check();
    checked.map_err(|error| {
        let hint = "a period is from one run or time to another, or open";
        Hinted::usage(error.to_string(), hint)
    })?;
    let changed = catalogue.set_period(&period, &operator()).await?;
    let done = if changed {
        "is set"
    } else {
        "was set so already"
    };
    output::line(format!("period {} {done}", period.name))?;
    Ok(())
}

async fn list(catalogue: &Catalogue, json: bool) -> anyhow::Result<()> {
    let periods = catalogue.periods().await?;
    if json {
        return output::json(&periods);
    }
    let rows = periods.into_iter().map(|row| {
        let period = row.period;
        vec![
            period.name,
            period
                .site
                .map_or_else(output::dash, |site| site.to_string()),
            period
                .from
                .map_or_else(output::dash, |edge| edge.to_string()),
            period.to.map_or_else(output::dash, |edge| edge.to_string()),
            row.set_by,
            period.description,
        ]
    });
    output::table(
        &["PERIOD", "SITE", "FROM", "TO", "SET BY", "DESCRIPTION"],
        rows,
    )?;
    Ok(())
}

/// The period of this name.
pub(super) async fn find(catalogue: &Catalogue, name: &str) -> anyhow::Result<PeriodRow> {
    let periods = catalogue.periods().await?;
    let found = periods.into_iter().find(|row| row.period.name == name);
    found.ok_or_else(|| unknown(name).into())
}

/// Names of the periods that a run is of.
pub(super) async fn of_run(catalogue: &Catalogue, run: &RunRow) -> anyhow::Result<Vec<String>> {
    let periods = catalogue.periods().await?.into_iter();
    let of_run = periods.filter(|period| period.covers(run));
    Ok(of_run.map(|row| row.period.name).collect())
}

fn unknown(name: &str) -> Hinted {
    Hinted::new(
        format!("no period is named `{name}`"),
        "`aquifer runs period list` shows those that are",
    )
}

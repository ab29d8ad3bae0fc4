//! `aquifer runs list`: runs by what the DAQ says, those taken last first.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

use aquifer_catalogue::{Attribute, Catalogue, RunCursor, RunFilter, RunRow};
use aquifer_profile::Expr;
use aquifer_schemas::{RunState, Site};
use serde::Serialize;

use super::{open_catalogue, periods, run_id};
use crate::cli::RunsListArgs;
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Lists runs.
pub(super) async fn run(config: Config, args: RunsListArgs) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    let period = match &args.period {
        Some(name) => Some(periods::find(&catalogue, name).await?.period),
        None => None,
    };
    let before = match &args.after {
        Some(run) => Some(cursor(&config, &catalogue, run).await?),
        None => None,
    };
    let numbers = args.numbers;
    let filter = RunFilter {
        site: args.site,
        states: args.state,
        from_number: numbers.and_then(|numbers| numbers.from),
        to_number: numbers.and_then(|numbers| numbers.to),
        since: args.since,
        until: args.until,
        run_type: args.run_type,
        period,
        holds: args.holds,
        limit: args.limit,
        before,
    };
    let runs = catalogue.runs(&filter).await?;
    if runs.is_empty() {
        explain_nothing(&catalogue, &filter).await?;
    }
    let attributes = if args.attributes.is_empty() {
        HashMap::new()
    } else {
        catalogue.attributes_of(&runs).await?
    };
    for name in &args.attributes {
        if !attributes.values().any(|said| said.contains_key(name)) {
            require_attribute(&catalogue, name).await?;
        }
    }
    if args.json {
        let listed = runs.iter().map(|run| {
            let said = attributes.get(&run.row);
            let shown = args.attributes.iter().filter_map(|name| {
                let attribute = said?.get(name)?;
                Some((name.as_str(), attribute))
            });
            Listed {
                run,
                attributes: shown.collect(),
            }
        });
        output::json(&listed.collect::<Vec<_>>())?;
    } else {
        let mut titles = vec![
            "RUN",
            "STATE",
            "TYPE",
            "STARTED",
            "ENDED",
            "EVENTS",
            "FILES",
            "SIZE",
            "CLOSED BY",
        ];
        titles.extend(args.attributes.iter().map(String::as_str));
        let rows = runs.iter().map(|run| {
            let said = attributes.get(&run.row);
            let mut row = columns(run);
            row.extend(args.attributes.iter().map(|name| {
                let attribute = said.and_then(|said| said.get(name));
                attribute.map_or_else(output::dash, shown)
            }));
            row
        });
        output::table(&titles, rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A run with the attributes that were asked for.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    run: &'a RunRow,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'a str, &'a Attribute>,
}

async fn cursor(config: &Config, catalogue: &Catalogue, run: &str) -> anyhow::Result<RunCursor> {
    let id = run_id(config, run)?;
    let found = catalogue.run(&id).await?;
    let found = found.ok_or_else(|| {
        Hinted::new(
            format!("run {id} is not known"),
            "`--after` names a run of the list before",
        )
    })?;
    Ok(found.cursor())
}

/// No runs of a site or with an attribute that nobody knows: a misspelt name is no answer.
async fn explain_nothing(catalogue: &Catalogue, filter: &RunFilter) -> anyhow::Result<()> {
    if let Some(site) = &filter.site {
        require_site(catalogue, site).await?;
    }
    if let Some(run_type) = &filter.run_type {
        require_type(catalogue, run_type).await?;
    }
    let Some(holds) = &filter.holds else {
        return Ok(());
    };
    for name in names(holds) {
        require_attribute(catalogue, name).await?;
    }
    Ok(())
}

async fn require_type(catalogue: &Catalogue, run_type: &str) -> anyhow::Result<()> {
    let known = catalogue.run_types().await?;
    if known.iter().any(|known| known == run_type) {
        return Ok(());
    }
    let hint = if known.is_empty() {
        "no run has a type yet".to_owned()
    } else {
        format!("runs are of {}", known.join(", "))
    };
    Err(Hinted::new(format!("no run is of type `{run_type}`"), hint).into())
}

async fn require_attribute(catalogue: &Catalogue, name: &str) -> anyhow::Result<()> {
    let known = catalogue.attribute_names().await?;
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    let hint = format!("runs have {}", known.join(", "));
    Err(Hinted::new(format!("no run has an attribute `{name}`"), hint).into())
}

async fn require_site(catalogue: &Catalogue, site: &Site) -> anyhow::Result<()> {
    let known = catalogue.sites().await?;
    if known.iter().any(|known| known.name == *site) {
        return Ok(());
    }
    let hint = "`aquifer sites list` shows those that are";
    Err(Hinted::new(format!("site {site} is not registered"), hint).into())
}

/// The attributes that an expression names.
fn names(expr: &Expr) -> Vec<&str> {
    match expr {
        Expr::Always(_) => Vec::new(),
        Expr::Not(inner) => names(inner),
        Expr::All(parts) | Expr::Any(parts) => parts.iter().flat_map(names).collect(),
        Expr::Test(test) => vec![test.name.text.as_str()],
    }
}

fn columns(run: &RunRow) -> Vec<String> {
    vec![
        run.id.to_string(),
        run.state.to_string(),
        run.run_type.clone().unwrap_or_else(output::dash),
        output::time_or_dash(run.started_at),
        output::time_or_dash(run.ended_at),
        run.events
            .map_or_else(output::dash, |events| events.to_string()),
        run.files.to_string(),
        match run.state {
            // How many bytes it is decoded, nobody here has read.
            RunState::Adopted | RunState::Missing if run.bytes == 0 => output::dash(),
            _ => output::size(run.bytes),
        },
        run.closed_by.map_or_else(output::dash, |by| by.to_string()),
    ]
}

fn shown(attribute: &Attribute) -> String {
    match &attribute.unit {
        Some(unit) => format!("{} {unit}", attribute.value),
        None => attribute.value.to_string(),
    }
}

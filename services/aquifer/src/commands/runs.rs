//! `aquifer runs`: what the catalogue knows.

use std::process::ExitCode;

use aquifer_catalogue::{Catalogue, RunDetail, RunRow};
use aquifer_schemas::{FileState, RunId};
use serde::Serialize;

use super::{list, open_catalogue, periods, reclassify, run_id};
use crate::cli::{RunArg, RunsCommand};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Lists runs or shows one.
pub(super) async fn run(config: Config, command: RunsCommand) -> anyhow::Result<ExitCode> {
    match command {
        RunsCommand::List(args) => list::run(config, args).await,
        RunsCommand::Show(args) => show(config, args).await,
        RunsCommand::Period(command) => periods::run(config, command).await,
        RunsCommand::Reclassify(args) => reclassify::run(config, args).await,
    }
}

/// A run, and what it is part of.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    detail: &'a RunDetail,
    periods: Vec<String>,
}

async fn show(config: Config, args: RunArg) -> anyhow::Result<ExitCode> {
    let id = run_id(&config, &args.run)?;
    let catalogue = open_catalogue(&config).await?;
    let detail = detail(&catalogue, &id).await?;
    let row = &detail.row;
    let periods = periods::of_run(&catalogue, row).await?;
    if args.json {
        let shown = Shown {
            detail: &detail,
            periods,
        };
        output::json(&shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    let run_type = row.run_type.clone().unwrap_or_else(output::dash);
    let run_type = match &row.type_by {
        Some(who) => format!("{run_type} (set by {who})"),
        None => run_type,
    };
    let facts = [
        ("run", row.id.to_string()),
        ("state", row.state.to_string()),
        ("type", run_type),
        (
            "periods",
            if periods.is_empty() {
                output::dash()
            } else {
                periods.join(", ")
            },
        ),
        ("started", output::time_or_dash(row.started_at)),
        ("ended", output::time_or_dash(row.ended_at)),
        (
            "closed by",
            row.closed_by
                .map_or_else(output::dash, |by| output::closer(by).to_owned()),
        ),
        (
            "events",
            row.events
                .map_or_else(output::dash, |events| events.to_string()),
        ),
        ("revision", row.revision.to_string()),
        (
            "manifest",
            row.manifest_key.clone().unwrap_or_else(output::dash),
        ),
    ];
    for (name, value) in facts {
        output::line(format!("{name:<10} {value}"))?;
    }
    let versions = catalogue.versions(&row.id.site, row.id.number).await?;
    let others = other_versions(&versions, &row.id);
    if !others.is_empty() {
        output::line(format!("{:<10} {others}", "others"))?;
    }
    say_quarantined(&detail)?;
    if !detail.attributes.is_empty() {
        output::line("")?;
        let rows = detail.attributes.iter().map(|(name, attribute)| {
            vec![
                name.clone(),
                attribute.value.to_string(),
                attribute.unit.clone().unwrap_or_default(),
            ]
        });
        output::table(&["ATTRIBUTE", "VALUE", "UNIT"], rows)?;
    }
    output::line("")?;
    let files = detail.files.iter().map(|file| {
        vec![
            file.name.to_string(),
            file.state.to_string(),
            file.size.map_or_else(output::dash, output::size),
            file.crc64nvme.clone().unwrap_or_else(output::dash),
            file.adler32.clone().unwrap_or_else(output::dash),
        ]
    });
    output::table(&["FILE", "STATE", "SIZE", "CRC64NVME", "ADLER32"], files)?;
    output::line("")?;
    let replicas = detail.replicas.iter().map(|replica| {
        vec![
            replica.file.to_string(),
            replica.element.clone(),
            replica.state.to_string(),
            replica.evidence.to_string(),
            replica.evidence_method.clone(),
            replica.location.clone(),
        ]
    });
    output::table(
        &["COPY OF", "AT", "STATE", "EVIDENCE", "BY", "LOCATION"],
        replicas,
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The files of the run that cannot be trusted, and why.
pub(super) fn say_quarantined(detail: &RunDetail) -> std::io::Result<()> {
    for file in &detail.files {
        let bad = matches!(file.state, FileState::Changed | FileState::Vanished);
        if let Some(reason) = file.reason.as_ref().filter(|_| bad) {
            output::line(format!("{} is {}: {reason}", file.name, file.state))?;
        }
    }
    Ok(())
}

/// Other runs under the number, in words; empty if there are none.
pub(super) fn other_versions(versions: &[RunRow], run: &RunId) -> String {
    let others = versions.iter().filter(|other| other.id != *run);
    let others: Vec<_> = others
        .map(|other| format!("{} ({})", other.id, other.state))
        .collect();
    others.join(", ")
}

/// All that the catalogue knows of a run.
pub(super) async fn detail(catalogue: &Catalogue, id: &RunId) -> anyhow::Result<RunDetail> {
    catalogue.run_detail(id).await?.ok_or_else(|| {
        Hinted::new(
            format!("run {id} is not in the catalogue"),
            "`aquifer runs list` shows what is; `aquifer audit` finds what should be",
        )
        .into()
    })
}

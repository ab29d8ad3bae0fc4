//! `aquifer explain`: everything that happened to a run, in order, from whoever saw
//! it: the catalogue's history with its evidence, and the spans of its trace.

use std::process::ExitCode;

use aquifer_catalogue::{FileRow, ReplicaRow, RunDetail, RunRow};
use aquifer_runtime::telemetry::{SpanRecord, read_trace};
use aquifer_runtime::trace::TraceParent;
use aquifer_schemas::{RunId, RunState};
use jiff::Timestamp;
use serde::Serialize;

use super::runs::{detail, other_versions, say_quarantined};
use super::{open_catalogue, run_id};
use crate::cli::RunArg;
use crate::config::Config;
use crate::output;

/// One thing that happened.
#[derive(Debug, Serialize)]
struct Happening {
    at: Timestamp,
    who: String,
    what: String,
}

/// All that is told about a run, as JSON. Times are in microseconds at the finest.
#[derive(Serialize)]
struct Explained<'a> {
    run: &'a RunRow,
    trace_id: Option<String>,
    /// Every version under the number, and its state.
    versions: Vec<(&'a RunId, RunState)>,
    story: Vec<Happening>,
    files: &'a [FileRow],
    copies: &'a [ReplicaRow],
}

/// Tells the story.
pub(super) async fn run(config: Config, args: RunArg) -> anyhow::Result<ExitCode> {
    let id = run_id(&config, &args.run)?;
    let catalogue = open_catalogue(&config).await?;
    let detail = detail(&catalogue, &id).await?;
    let trace_id = trace_id(&detail);
    let spans = match &trace_id {
        Some(id) => read_trace(&config.telemetry.traces_dir, id).unwrap_or_default(),
        None => Vec::new(),
    };
    let mut story: Vec<Happening> = detail
        .transitions
        .iter()
        .map(|step| transition(&detail, step))
        .collect();
    story.extend(spans.iter().map(span));
    story.sort_by_key(|happening| happening.at);
    let row = &detail.row;
    let versions = catalogue.versions(&row.id.site, row.id.number).await?;
    if args.json {
        output::json(&Explained {
            run: row,
            trace_id,
            versions: versions.iter().map(|run| (&run.id, run.state)).collect(),
            story,
            files: &detail.files,
            copies: &detail.replicas,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!(
        "run {} is {} (revision {}), {} in {} files",
        row.id,
        row.state,
        row.revision,
        output::size(row.bytes),
        row.files
    ))?;
    if let Some(id) = trace_id {
        output::line(format!("trace {id}"))?;
    }
    let others = other_versions(&versions, &row.id);
    if !others.is_empty() {
        output::line(format!("other runs under the number: {others}"))?;
    }
    say_quarantined(&detail)?;
    output::line("")?;
    let rows = story.into_iter().map(|happening| {
        vec![
            happening.at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
            happening.who,
            happening.what,
        ]
    });
    output::table(&["TIME", "WHO", "WHAT"], rows)?;
    output::line("")?;
    for replica in &detail.replicas {
        output::line(format!(
            "{} at {} is {} on evidence {} ({}, {})",
            replica.file,
            replica.element,
            replica.state,
            replica.evidence,
            replica.evidence_method,
            output::time(replica.evidence_at),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn trace_id(detail: &RunDetail) -> Option<String> {
    let trace: TraceParent = detail.row.trace.as_ref()?.parse().ok()?;
    Some(trace.trace_id().to_owned())
}

fn transition(detail: &RunDetail, step: &aquifer_catalogue::TransitionRow) -> Happening {
    let file = detail.files.iter().find(|file| file.row == step.entity_row);
    let replica = detail
        .replicas
        .iter()
        .find(|replica| replica.row == step.entity_row);
    let subject = match (step.entity.as_str(), file, replica) {
        ("file", Some(file), _) => format!("file {}", file.name),
        ("replica", _, Some(replica)) => format!("copy of {} at {}", replica.file, replica.element),
        ("order", ..) => "order to free the buffer".to_owned(),
        (entity, ..) => entity.to_owned(),
    };
    let from = step.from.as_deref().unwrap_or("nothing");
    let why = if step.why.is_empty() {
        String::new()
    } else {
        format!(": {}", step.why)
    };
    Happening {
        at: step.at,
        who: step.who.clone(),
        what: format!("{subject} {from} → {}{why}", step.to),
    }
}

fn span(span: &SpanRecord) -> Happening {
    let micros = (span.start_unix_nanos / 1000).cast_signed();
    let millis = span.end_unix_nanos.saturating_sub(span.start_unix_nanos) as f64 / 1e6;
    Happening {
        at: Timestamp::from_microsecond(micros).unwrap_or_default(),
        who: span.service.clone(),
        what: format!("{} took {millis:.1} ms", span.name),
    }
}

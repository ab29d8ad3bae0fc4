//! `aquifer words`: what the words mean that stand in lists, messages and rows.

use std::process::ExitCode;

use aquifer_schemas::{
    ClosedBy, Encoding, EvidenceLevel, FileState, ReplicaState, RunState, Severity,
};

use crate::output;

/// Prints the page of every word.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    output::line("# Words\n")?;
    output::line(
        "The same in the catalogue, in messages, in JSON and on the command line. `aquifer words` prints this page.",
    )?;
    page(
        "States of a run",
        RunState::ALL,
        RunState::as_str,
        RunState::meaning,
    )?;
    page(
        "States of a file",
        FileState::ALL,
        FileState::as_str,
        FileState::meaning,
    )?;
    page(
        "States of a copy",
        ReplicaState::ALL,
        ReplicaState::as_str,
        ReplicaState::meaning,
    )?;
    page(
        "Evidence for a copy",
        EvidenceLevel::ALL,
        EvidenceLevel::as_str,
        EvidenceLevel::meaning,
    )?;
    page(
        "Encodings of a copy",
        Encoding::ALL,
        Encoding::as_str,
        Encoding::meaning,
    )?;
    page(
        "Who closed a run",
        ClosedBy::ALL,
        ClosedBy::as_str,
        ClosedBy::meaning,
    )?;
    page(
        "Severity of a signal",
        Severity::ALL,
        Severity::as_str,
        Severity::meaning,
    )?;
    Ok(ExitCode::SUCCESS)
}

fn page<T: Copy>(
    title: &str,
    all: &[T],
    word: fn(T) -> &'static str,
    meaning: fn(T) -> &'static str,
) -> std::io::Result<()> {
    output::line(format!("\n## {title}\n\n| word | means |\n|---|---|"))?;
    all.iter().try_for_each(|member| {
        output::line(format!("| `{}` | {} |", word(*member), meaning(*member)))
    })
}

//! `aquifer runbook`: reads a run book of the past and says what it shows to be lost.
//! Needs neither configuration nor servers, and changes nothing.

use std::process::ExitCode;

use anyhow::Context as _;
use aquifer_runbook::{
    Certainty, Columns, Complaint, Limits, Listings, LocalSpan, Loss, LossReport, RunBook, Span,
    resolve,
};
use aquifer_schemas::RunNumber;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::RunbookArgs;
use crate::output;

/// Runs that are named in a line; the rest are counted.
const NAMED: usize = 12;

/// All that is said about a run book.
#[derive(Debug, Serialize)]
struct Report {
    /// Runs, versions counted apart.
    runs: usize,
    /// Lines that were not as they should be.
    complaints: Vec<Complaint>,
    /// Lines among them that are left out.
    left_out: usize,
    /// Runs whose times came twice or not at all on the clock, and nothing decides.
    guessed_times: Vec<RunNumber>,
    /// Runs that end before they begin.
    negative_durations: Vec<RunNumber>,
    /// What is lost, or may be.
    losses: LossReport,
}

/// Reads and prints.
pub(super) fn run(args: &RunbookArgs) -> anyhow::Result<ExitCode> {
    let bytes = std::fs::read(&args.file).with_context(|| args.file.display().to_string())?;
    // A byte that is no UTF-8 in a shifter's comment does not make the book unreadable.
    let text = String::from_utf8_lossy(&bytes);
    let book = RunBook::parse(&text, &Columns::default())
        .with_context(|| args.file.display().to_string())?;
    let zone = TimeZone::get(&args.time_zone)?;
    let report = report(book, &zone, args.upload_limit);
    if args.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::from(u8::from(report.left_out > 0)))
}

fn report(book: RunBook, zone: &TimeZone, upload: u64) -> Report {
    let local = book.rows.iter().map(|row| LocalSpan {
        start: row.start,
        stop: row.stop,
    });
    let spans = resolve(&local.collect::<Vec<_>>(), zone);
    let those = |is: fn(&Span) -> bool| {
        let rows = book.rows.iter().zip(&spans);
        rows.filter(|(_, span)| is(span))
            .map(|(row, _)| row.run)
            .collect()
    };
    let limits = Limits { upload };
    Report {
        runs: book.rows.len(),
        left_out: book.complaints.iter().filter(|line| line.is_loss()).count(),
        guessed_times: those(is_guessed),
        negative_durations: those(is_negative),
        losses: LossReport::of(&book.rows, &Listings::default(), limits),
        complaints: book.complaints,
    }
}

fn is_guessed(span: &Span) -> bool {
    let guessed = |certainty| matches!(certainty, Certainty::Guessed | Certainty::Skipped);
    let mut times = [span.start, span.stop].into_iter().flatten();
    times.any(|time| guessed(time.certainty))
}

fn is_negative(span: &Span) -> bool {
    span.start
        .zip(span.stop)
        .is_some_and(|(start, stop)| stop.at < start.at)
}

fn print(report: &Report) -> anyhow::Result<()> {
    let losses = &report.losses;
    output::line(format!("{} runs", report.runs))?;
    let lists: [(&str, &[Loss]); 6] = [
        ("never ended", &losses.never_ended),
        ("uploaded, size lost", &losses.size_lost),
        ("above the old size limit", &losses.over_limit),
        ("a copy, not marked as uploaded", &losses.unmarked),
        ("marked, and missing", &losses.missing),
        ("no copy that anybody knows of", &losses.nowhere),
    ];
    for (what, list) in lists {
        runs(what, list.iter().map(|loss| loss.run))?;
    }
    let (guessed, negative) = (&report.guessed_times, &report.negative_durations);
    runs(
        "times that the clock showed twice or never",
        guessed.iter().copied(),
    )?;
    runs("end before they begin", negative.iter().copied())?;
    for code in &losses.ambiguous {
        output::line(format!(
            "{:>6}  {:?} status {}: {}",
            code.runs, code.store, code.code, code.words
        ))?;
    }
    for complaint in &report.complaints {
        output::line(complaint.to_string())?;
    }
    Ok(())
}

fn runs(what: &str, runs: impl ExactSizeIterator<Item = RunNumber>) -> anyhow::Result<()> {
    let count = runs.len();
    let named: Vec<_> = runs.take(NAMED).map(|run| run.to_string()).collect();
    let more = if count > NAMED { ", …" } else { "" };
    let line = format!("{count:>6}  {what}  {}{more}", named.join(", "));
    Ok(output::line(line.trim_end())?)
}

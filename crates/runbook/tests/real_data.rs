//! The run book of a real experiment, where it is at hand: what is known of it is found.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests stop at once and say what is skipped"
)]

use std::path::PathBuf;

use aquifer_runbook::{Columns, Limits, Listings, LocalSpan, LossReport, RunBook, resolve};
use jiff::tz::TimeZone;

fn real_book() -> Option<RunBook> {
    let folder = std::env::var_os("AQUIFER_REAL_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join("runlog/runlog_LNGS.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no run book at {}", path.display());
        return None;
    };
    Some(RunBook::parse(&text, &Columns::default()).unwrap())
}

#[test]
fn the_losses_of_a_real_experiment_are_found() {
    let Some(book) = real_book() else { return };
    assert_eq!(book.rows.len(), 14_363);
    assert_eq!(book.complaints.len(), 1, "{:?}", book.complaints);
    let limits = Limits {
        upload: 5_400_000_000,
    };
    let report = LossReport::of(&book.rows, &Listings::default(), limits);
    assert_eq!(report.never_ended.len(), 131);
    assert_eq!(report.size_lost.len(), 127);
    assert_eq!(report.nowhere.len(), 143);
    let over: Vec<_> = report.over_limit.iter().map(|loss| loss.run).collect();
    for run in [525, 876, 2309, 2313, 6778] {
        assert!(over.contains(&run), "{run}: {over:?}");
    }
}

#[test]
fn a_real_negative_duration_is_kept() {
    let Some(book) = real_book() else { return };
    let spans: Vec<_> = book
        .rows
        .iter()
        .map(|row| LocalSpan {
            start: row.start,
            stop: row.stop,
        })
        .collect();
    let zone = TimeZone::get("Europe/Rome").unwrap();
    let resolved = resolve(&spans, &zone);
    let negative: Vec<_> = book
        .rows
        .iter()
        .zip(&resolved)
        .filter(|(_, span)| {
            span.start
                .zip(span.stop)
                .is_some_and(|(start, stop)| stop.at < start.at)
        })
        .map(|(row, _)| row.run)
        .collect();
    assert_eq!(negative, [9197]);
}

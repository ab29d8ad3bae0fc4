//! What is said about a run book: how it could be read, and which losses it shows.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};

use aquifer_runbook::{
    Certainty, Complaint, ComplaintKind, Limits, Listings, LocalSpan, Loss, LossReport, RunBook,
    Span, resolve,
};
use aquifer_schemas::RunNumber;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::output;

/// Runs that are named in a line; the rest are counted.
const NAMED: usize = 12;

/// Lines that are told of, of those with one flaw; the rest are counted.
const TOLD: usize = 3;

/// All that is said about a run book.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// IANA name of the zone in which its times are read.
    time_zone: String,
    /// Runs, versions counted apart.
    pub runs: usize,
    /// Lines that were not as they should be.
    complaints: Vec<Complaint>,
    /// Lines among them that are left out.
    pub left_out: usize,
    /// Runs whose times came twice on the clock, and whose order decides.
    ordered_times: Vec<RunNumber>,
    /// Runs whose times came twice or not at all on the clock, and nothing decides.
    guessed_times: Vec<RunNumber>,
    /// Runs that end before they begin.
    negative_durations: Vec<RunNumber>,
    /// What is lost, or may be.
    losses: LossReport,
}

/// Times of the runs of a book, in the order of its rows.
pub(super) fn spans(book: &RunBook, zone: &TimeZone) -> Vec<Span> {
    // Numbers rise with time until the DAQ counts anew.
    let mut order: Vec<usize> = (0..book.rows.len()).collect();
    order.sort_by_key(|place| (book.rows[*place].version, book.rows[*place].run));
    let local: Vec<_> = order
        .iter()
        .map(|place| LocalSpan {
            start: book.rows[*place].start,
            stop: book.rows[*place].stop,
        })
        .collect();
    let mut placed: Vec<_> = order.into_iter().zip(resolve(&local, zone)).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, span)| span).collect()
}

impl Report {
    /// What `book` says, with the times of its runs; files above `upload` bytes were not
    /// uploaded.
    pub(super) fn of(book: RunBook, spans: &[Span], zone: &TimeZone, upload: u64) -> Self {
        let those = |is: fn(&Span) -> bool| {
            let rows = book.rows.iter().zip(spans);
            rows.filter(|(_, span)| is(span))
                .map(|(row, _)| row.run)
                .collect()
        };
        let limits = Limits { upload };
        Self {
            time_zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            runs: book.rows.len(),
            left_out: book.complaints.iter().filter(|line| line.is_loss()).count(),
            ordered_times: those(|span| certainty(span) == Certainty::ByOrder),
            guessed_times: those(|span| {
                matches!(certainty(span), Certainty::Guessed | Certainty::Skipped)
            }),
            negative_durations: those(is_negative),
            losses: LossReport::of(&book.rows, &Listings::default(), limits),
            complaints: book.complaints,
        }
    }

    /// Prints it.
    pub(super) fn print(&self) -> anyhow::Result<()> {
        let losses = &self.losses;
        output::line(format!(
            "{} runs, their times read as of {} (`--time-zone`)",
            self.runs, self.time_zone
        ))?;
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
        let times = [
            (
                "times that came twice, told by their order",
                &self.ordered_times,
            ),
            (
                "times that the clock showed twice or never",
                &self.guessed_times,
            ),
            ("end before they begin", &self.negative_durations),
        ];
        for (what, list) in times {
            runs(what, list.iter().copied())?;
        }
        for code in &losses.ambiguous {
            output::line(format!(
                "{:>6}  {:?} status {}: {}",
                code.runs, code.store, code.code, code.words
            ))?;
        }
        self.print_complaints()
    }

    /// Of what is wrong with many lines in the same way, the first are told; each line that
    /// is left out is told.
    fn print_complaints(&self) -> anyhow::Result<()> {
        let mut told: HashMap<Discriminant<ComplaintKind>, usize> = HashMap::new();
        let mut more: usize = 0;
        for complaint in &self.complaints {
            let before = told.entry(discriminant(&complaint.kind)).or_default();
            *before += 1;
            if complaint.is_loss() || *before <= TOLD {
                output::line(complaint.to_string())?;
            } else {
                more += 1;
            }
        }
        if more > 0 {
            output::line(format!("{more} more such lines; `--json` has them all"))?;
        }
        Ok(())
    }
}

/// How far the less certain of the two times of a run may be trusted.
pub(super) fn certainty(span: &Span) -> Certainty {
    let doubt = |certainty: &Certainty| match certainty {
        Certainty::Certain => 0,
        Certainty::ByOrder => 1,
        Certainty::Guessed => 2,
        Certainty::Skipped => 3,
    };
    let times = [span.start, span.stop].into_iter().flatten();
    let worst = times.map(|time| time.certainty).max_by_key(doubt);
    worst.unwrap_or(Certainty::Certain)
}

/// Whether the run ends before it begins.
pub(super) fn is_negative(span: &Span) -> bool {
    span.start
        .zip(span.stop)
        .is_some_and(|(start, stop)| stop.at < start.at)
}

/// A number of runs, the first of them by name.
pub(super) fn runs(
    what: &str,
    runs: impl ExactSizeIterator<Item = impl std::fmt::Display>,
) -> anyhow::Result<()> {
    some_runs(runs.len(), what, runs)
}

/// As [`runs`], where only the first of `count` are known.
pub(super) fn some_runs(
    count: usize,
    what: &str,
    runs: impl Iterator<Item = impl std::fmt::Display>,
) -> anyhow::Result<()> {
    let named: Vec<_> = runs.take(NAMED).map(|run| run.to_string()).collect();
    let more = if count > NAMED { ", …" } else { "" };
    let line = format!("{count:>6}  {what}  {}{more}", named.join(", "));
    Ok(output::line(line.trim_end())?)
}

//! Run files as tables.

use std::io;

use jiff::Timestamp;

use crate::commands::midas::{EventTally, Report, Verdict};
use crate::output;

/// Times before 2001 are not times of day: the DAQ counts from the begin of the run.
const EARLIEST_TIME: u32 = 1_000_000_000;

/// One line for each file, then every damage.
pub(crate) fn check(reports: &[Report]) -> io::Result<()> {
    let rows = reports.iter().map(|report| {
        vec![
            report.file.clone(),
            verdict(report.verdict).to_owned(),
            report.encoding.clone().unwrap_or_else(output::dash),
            report.events.to_string(),
            report.bytes.to_string(),
            runs(&report.begins),
            ending(report),
        ]
    });
    let titles = [
        "FILE",
        "VERDICT",
        "ENCODING",
        "EVENTS",
        "BYTES",
        "RUN",
        "ENDS WITH",
    ];
    output::table(&titles, rows)?;
    damages(reports)
}

/// Everything about each file.
pub(crate) fn show(reports: &[Report]) -> io::Result<()> {
    for report in reports {
        if let Some(encoding) = &report.encoding {
            output::line(format!(
                "{}: {}, {encoding}, {}, {} events in {} bytes, ends with {}",
                report.file,
                verdict(report.verdict),
                report.byte_order.unwrap_or("no byte order"),
                report.events,
                report.bytes,
                ending(report)
            ))?;
        }
        if !report.by_id.is_empty() {
            output::line("")?;
            output::table(
                &[
                    "ID",
                    "KIND",
                    "COUNT",
                    "BYTES",
                    "SERIALS",
                    "FIRST TIME",
                    "LAST TIME",
                ],
                report.by_id.iter().map(|(id, tally)| event_row(*id, tally)),
            )?;
        }
        if !report.banks.is_empty() {
            output::line("")?;
            let rows = report.banks.values().map(|bank| {
                vec![
                    bank.name.clone(),
                    bank.tid.clone(),
                    bank.count.to_string(),
                    bank.bytes.to_string(),
                    bank.smallest.to_string(),
                    bank.largest.to_string(),
                ]
            });
            let titles = ["BANK", "TYPE", "COUNT", "BYTES", "SMALLEST", "LARGEST"];
            output::table(&titles, rows)?;
        }
        if !report.odb.is_empty() {
            output::line("")?;
            let rows = report.odb.iter().map(|value| {
                vec![
                    value.dump.to_owned(),
                    value.path.clone(),
                    value.tid.clone().unwrap_or_else(output::dash),
                    value.values.join(", "),
                ]
            });
            output::table(&["ODB AT", "PATH", "TYPE", "VALUE"], rows)?;
        }
        damages(std::slice::from_ref(report))?;
    }
    Ok(())
}

fn event_row(id: u16, tally: &EventTally) -> Vec<String> {
    let kind = match tally.without_banks {
        0 => tally.kind.to_owned(),
        all if all == tally.count => format!("{}, no banks", tally.kind),
        some => format!("{}, {some} without banks", tally.kind),
    };
    let id = if id < 0x8000 {
        id.to_string()
    } else {
        format!("{id:#06x}")
    };
    vec![
        id,
        kind,
        tally.count.to_string(),
        tally.bytes.to_string(),
        format!("{}..{}", tally.first_serial, tally.last_serial),
        time(tally.first_time),
        time(tally.last_time),
    ]
}

fn damages(reports: &[Report]) -> io::Result<()> {
    let mut rows = Vec::new();
    for report in reports {
        let row = |offset: String, length: String, what: String| {
            vec![report.file.clone(), offset, length, what]
        };
        for damage in &report.damages {
            let what = match damage.compressed_offset {
                Some(offset) => format!("{}, around compressed byte {offset}", damage.kind),
                None => damage.kind.clone(),
            };
            rows.push(row(
                damage.offset.to_string(),
                damage.length.to_string(),
                what,
            ));
        }
        if report.more_damages > 0 {
            rows.push(row(
                output::dash(),
                output::dash(),
                format!("{} more", report.more_damages),
            ));
        }
        if let Some(error) = &report.error {
            rows.push(row(output::dash(), output::dash(), error.clone()));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    output::line("")?;
    output::table(&["FILE", "OFFSET", "LENGTH", "WHAT"], rows)
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Intact => "intact",
        Verdict::Damaged => "damaged",
        Verdict::Unreadable => "unreadable",
    }
}

fn ending(report: &Report) -> String {
    match report.ended_run {
        Some(run) => format!("end of run {run}"),
        None if report.events == 0 => output::dash(),
        None => "no end of its run".to_owned(),
    }
}

fn runs(begins: &[u32]) -> String {
    if begins.is_empty() {
        return output::dash();
    }
    let runs: Vec<_> = begins.iter().map(u32::to_string).collect();
    runs.join(", ")
}

fn time(seconds: u32) -> String {
    let time = Timestamp::from_second(i64::from(seconds)).ok();
    let time = time.filter(|_| seconds >= EARLIEST_TIME);
    time.map_or_else(|| seconds.to_string(), output::time)
}

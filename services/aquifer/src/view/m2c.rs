//! An ingester's status in words for the person at the DAQ: the question that matters
//! first, then what is only here, then the rest.

use std::fmt::Write as _;

use aquifer_m2c::{DiskStatus, HeldUp, InForce, PartStatus, Status};
use jiff::Timestamp;

use crate::output;

/// The status as text.
pub(crate) fn describe(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    };
    if status.shadow {
        line("REHEARSAL: this ingester stores, records and announces nothing".to_owned());
    }
    let answer = if status.safe_to_switch_off {
        "yes"
    } else {
        "no"
    };
    line(format!("Safe to switch off: {answer}"));
    for reason in &status.reasons {
        line(format!("  - {reason}"));
    }
    line(String::new());
    line(format!(
        "m2c of {}, buffer {}, version {}, {} UTC",
        status.site,
        status.buffer,
        status.version,
        output::time(status.at)
    ));
    line(format!("only here    {}", only_here(status)));
    for HeldUp { run, file, why } in &status.held_up {
        line(format!("held up      {file} of {run}: {why}"));
    }
    line(format!("last stored  {}", last_stored(status)));
    let files = status.files;
    line(format!(
        "files        {} open, {} waiting, {} stored, {} quarantined",
        files.open, files.waiting, files.stored, files.quarantined
    ));
    line(format!(
        "for the bus  {} letters, {} samples",
        status.letters, status.samples
    ));
    line(format!("bandwidth    {}", bandwidth(status.bandwidth)));
    line(format!(
        "disk         {}",
        status
            .disk
            .map_or_else(|| "does not answer".to_owned(), disk)
    ));
    line(String::new());
    for part in &status.parts {
        line(format!("{:<12} {}", part.name, reached(part, status.at)));
    }
    text
}

fn only_here(status: &Status) -> String {
    let backlog = &status.backlog;
    let mut text = match &backlog.oldest {
        Some(oldest) => format!(
            "{} runs, {}; the oldest, {}, since {}",
            backlog.runs,
            output::size(backlog.bytes),
            oldest.run,
            ago(oldest.ended_at, status.at)
        ),
        None => "nothing".to_owned(),
    };
    if backlog.to_record > 0 {
        let _ = write!(
            text,
            "; {} runs have news for the catalogue",
            backlog.to_record
        );
    }
    text
}

fn last_stored(status: &Status) -> String {
    status.last_stored.as_ref().map_or_else(
        || "none that is remembered".to_owned(),
        |last| format!("{}, {} ago", last.run, ago(last.at, status.at)),
    )
}

fn bandwidth(in_force: InForce) -> String {
    let limit = match in_force.limit_bytes_per_s {
        None => "not limited".to_owned(),
        Some(0) => "nothing is sent".to_owned(),
        Some(limit) => format!("{:.1} MiB/s", limit as f64 / f64::from(1 << 20)),
    };
    match in_force.until {
        None => limit,
        Some(until) => format!("{limit} until {} UTC", output::time(until)),
    }
}

fn disk(disk: DiskStatus) -> String {
    let space = format!(
        "{} of {} free",
        output::size(disk.free),
        output::size(disk.total)
    );
    match (disk.full_in_secs, disk.filling_bytes_per_s) {
        (Some(secs), Some(rate)) => {
            let rate = output::size(rate as u64);
            format!("{space}; full in {} at {rate}/s", duration(secs))
        }
        _ => space,
    }
}

fn reached(part: &PartStatus, now: Timestamp) -> String {
    let since = ago(part.since, now);
    if part.reached {
        format!("reached, for {since}")
    } else {
        let why = part.why.as_deref().unwrap_or("unknown");
        format!("NOT reached, for {since}: {why}")
    }
}

fn ago(then: Timestamp, now: Timestamp) -> String {
    let secs = now.duration_since(then).as_secs();
    duration(u64::try_from(secs).unwrap_or_default())
}

/// The two leading units.
fn duration(secs: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = UNITS
        .iter()
        .position(|(unit, _)| secs >= *unit)
        .unwrap_or(UNITS.len() - 1);
    let (unit, name) = UNITS[first];
    let lead = format!("{} {name}", secs / unit);
    match UNITS.get(first + 1) {
        Some((next, name)) if secs % unit / next > 0 => {
            format!("{lead} {} {name}", secs % unit / next)
        }
        _ => lead,
    }
}

#[cfg(test)]
mod tests {
    use aquifer_m2c::{Backlog, FileCounts, LastStored, OldestRun};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn part(name: &str, since: &str, why: Option<&str>) -> PartStatus {
        PartStatus {
            name: name.to_owned(),
            reached: why.is_none(),
            since: at(since),
            why: why.map(str::to_owned),
        }
    }

    fn quiet() -> Status {
        Status {
            at: at("2026-11-22T10:00:00Z"),
            site: "LNGS".parse().unwrap(),
            buffer: "LNGS-buffer".to_owned(),
            version: "0.1.0".to_owned(),
            shadow: false,
            safe_to_switch_off: true,
            reasons: Vec::new(),
            held_up: Vec::new(),
            parts: ["storage", "catalogue", "bus"]
                .map(|name| part(name, "2026-11-20T07:58:00Z", None))
                .into(),
            files: FileCounts {
                stored: 812,
                ..FileCounts::default()
            },
            backlog: Backlog {
                runs: 0,
                bytes: 0,
                oldest: None,
                to_record: 0,
            },
            bandwidth: InForce {
                limit_bytes_per_s: None,
                until: None,
            },
            disk: Some(DiskStatus {
                free: 1_500_000_000_000,
                total: 4_000_000_000_000,
                filling_bytes_per_s: Some(0.0),
                full_in_secs: None,
            }),
            last_stored: Some(LastStored {
                run: "LNGS/42901".parse().unwrap(),
                at: at("2026-11-22T09:57:30Z"),
            }),
            letters: 0,
            samples: 0,
        }
    }

    #[test]
    fn a_quiet_hour() {
        insta::assert_snapshot!(describe(&quiet()));
    }

    #[test]
    fn four_days_without_network_and_a_run_being_taken() {
        let mut status = quiet();
        let lost = "2026-11-18T09:12:00Z";
        status.safe_to_switch_off = false;
        status.reasons = vec![
            "the DAQ has opened and not closed run 43311; end the run first".to_owned(),
            "being written or not closed yet: run43311.mid".to_owned(),
        ];
        status.parts = vec![
            part("storage", lost, Some("s3.example.org does not resolve")),
            part("catalogue", lost, Some("connection refused")),
            part("bus", lost, Some("all brokers are down")),
        ];
        status.files.open = 1;
        status.files.waiting = 411;
        status.files.quarantined = 1;
        status.backlog = Backlog {
            runs: 410,
            bytes: 631_000_000_000,
            oldest: Some(OldestRun {
                run: "LNGS/42902".parse().unwrap(),
                ended_at: at("2026-11-18T09:10:00Z"),
            }),
            to_record: 411,
        };
        status.bandwidth = InForce {
            limit_bytes_per_s: Some(5 << 20),
            until: Some(at("2026-11-22T17:00:00Z")),
        };
        status.disk = Some(DiskStatus {
            free: 300_000_000_000,
            total: 4_000_000_000_000,
            filling_bytes_per_s: Some(1.8e6),
            full_in_secs: Some(166_666),
        });
        status.held_up = vec![HeldUp {
            run: "LNGS/43001".parse().unwrap(),
            file: "run43001.mid".parse().unwrap(),
            why: "side file `/data/run43001.mid.crc32c`: `oops` is no CRC-32C".to_owned(),
        }];
        status.letters = 3;
        status.samples = 5_808;
        insta::assert_snapshot!(describe(&status));
        status.disk = None;
        status.bandwidth.limit_bytes_per_s = Some(0);
        let text = describe(&status);
        assert!(
            text.contains("does not answer") && text.contains("nothing is sent"),
            "{text}"
        );
    }

    #[test]
    fn durations_read_well() {
        for (secs, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_725, "1 h 2 min"),
            (86_400 * 4 + 60, "4 d"),
            (86_400 * 4 + 3600, "4 d 1 h"),
        ] {
            assert_eq!(duration(secs), text);
        }
    }
}

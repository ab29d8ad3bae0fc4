//! The report: what was asked, what was promised and kept, and the figures. Pure.

use std::fmt::{self, Write as _};

use crate::arrivals::Latency;
use crate::trial::{Sample, Trial};
use crate::verdict::Verdict;

/// Rows of the table over time, at most.
const ROWS: usize = 40;

const MIB: f64 = 1_048_576.0;

/// Writes the report as Markdown.
pub(crate) fn markdown(trial: &Trial, verdicts: &[Verdict]) -> String {
    let mut out = String::new();
    write(&mut out, trial, verdicts).expect("writing into a string does not fail");
    out
}

fn write(out: &mut String, trial: &Trial, verdicts: &[Verdict]) -> fmt::Result {
    writeln!(out, "# Sustained load\n")?;
    writeln!(out, "    {}\n", trial.command)?;
    writeln!(
        out,
        "On {}, with {} cores for everything: detector, services, servers and this test. {}.\n",
        trial.began.strftime("%Y-%m-%d %H:%M UTC"),
        trial.cores,
        trial.settings.join("; ")
    )?;
    writeln!(out, "## Promises\n")?;
    for verdict in verdicts {
        let word = if verdict.kept { "kept" } else { "**BROKEN**" };
        writeln!(out, "- {word}: {}", verdict.what)?;
    }
    figures(out, trial)?;
    processes(out, trial)?;
    over_time(out, trial)?;
    writeln!(out, "\n## The way of one run\n")?;
    writeln!(out, "```text\n{}\n```", trial.story.trim_end())
}

fn figures(out: &mut String, trial: &Trial) -> fmt::Result {
    let runs = trial.announced.max(1);
    writeln!(out, "\n## Figures\n")?;
    writeln!(out, "| | |\n|---|---|")?;
    writeln!(out, "| runs | {} |", trial.announced)?;
    writeln!(out, "| bytes per run | {} |", trial.bytes / runs)?;
    writeln!(
        out,
        "| from the DAQ's close to the announcement received | {} |",
        latency(Some(trial.latency))
    )?;
    writeln!(out, "| announcements repeated | {} |", trial.repeats)?;
    writeln!(out, "| audit took | {:.0} s |", trial.audit_took)?;
    for (what, complaints) in &trial.complaints {
        let first = complaints.first.replace('|', "\\|");
        writeln!(out, "| {what} | {} lines; `{first}` |", complaints.lines)?;
    }
    Ok(())
}

fn processes(out: &mut String, trial: &Trial) -> fmt::Result {
    writeln!(out, "\n## Processes\n")?;
    writeln!(
        out,
        "| process | CPU per run | cores | memory, first minute | last minute | growth per 1000 files |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|")?;
    let rate = trial.stored_per_second().unwrap_or(0.0);
    let mut sum = 0.0;
    for (index, name) in trial.processes.iter().enumerate() {
        let cpu = trial.cpu_per_run(index);
        sum += cpu;
        write!(
            out,
            "| {name} | {cpu:.2} ms | {:.2} | ",
            cpu * rate / 1000.0
        )?;
        match trial.memory(index) {
            Some(memory) => writeln!(
                out,
                "{:.1} MiB | {:.1} MiB | {:+.0} kB |",
                memory.first / MIB,
                memory.last / MIB,
                // Bytes per file are kilobytes per 1000 files.
                memory.per_file
            )?,
            None => writeln!(out, " | | |")?,
        }
    }
    writeln!(
        out,
        "| all | {sum:.2} ms | {:.2} | | | |",
        sum * rate / 1000.0
    )
}

fn over_time(out: &mut String, trial: &Trial) -> fmt::Result {
    writeln!(out, "\n## Over time\n")?;
    writeln!(
        out,
        "Backlog: runs to store, runs to record, announcements waiting. Memory in MiB. Latency: from the DAQ's close to the announcement received. Scan: the share of one core that listing the buffer took.\n"
    )?;
    write!(
        out,
        "| s | stored | announced | backlog | latency p50 / p99 / max | scan |"
    )?;
    for name in &trial.processes {
        write!(out, " {name} |")?;
    }
    writeln!(
        out,
        "\n|---:|---:|---:|---|---|---:|{}",
        "---:|".repeat(trial.processes.len())
    )?;
    let step = trial.samples.len().div_ceil(ROWS).max(1);
    let last = trial.samples.len().saturating_sub(1);
    for (index, sample) in trial.samples.iter().enumerate() {
        if index % step == 0 || index == last {
            row(out, sample, trial.processes.len())?;
        }
    }
    Ok(())
}

/// Processes that were not there yet when the sample was taken have empty cells.
fn row(out: &mut String, sample: &Sample, processes: usize) -> fmt::Result {
    write!(
        out,
        "| {:.0} | {} | {} | {} + {} + {} | {} | {:.1} % |",
        sample.at,
        sample.stored,
        sample.announced,
        sample.to_store,
        sample.to_record,
        sample.outbox,
        latency(sample.latency),
        sample.scanning * 100.0
    )?;
    for usage in &sample.usage {
        write!(out, " {:.1} |", usage.resident as f64 / MIB)?;
    }
    let absent = processes.saturating_sub(sample.usage.len());
    writeln!(out, "{}", "  |".repeat(absent))
}

/// Milliseconds.
fn latency(latency: Option<Latency>) -> String {
    latency.map_or_else(String::new, |latency| {
        format!(
            "{:.0} / {:.0} / {:.0} ms",
            latency.p50, latency.p99, latency.max
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::Complaints;
    use crate::trial::tests::steady;
    use crate::verdict::verdicts;

    #[test]
    fn the_report_says_what_was_broken_and_what_it_cost() {
        let mut trial = steady();
        trial.audit.unaccounted = 3;
        let complaints = Complaints {
            lines: 4,
            first: "WARN a|b".to_owned(),
        };
        trial
            .complaints
            .insert("WARN of m2c".to_owned(), complaints);
        let text = markdown(&trial, &verdicts(&trial));
        for expected in [
            "with 2 cores for everything",
            "innodb_flush_log_at_trx_commit=1",
            "- kept: rate held: 100.0 runs/s",
            "- **BROKEN**: audit: 3 unaccounted",
            "| 200 / 400 / 900 ms |",
            "| WARN of m2c | 4 lines; `WARN a\\|b` |",
            "| m2c | 2.00 ms | 0.20 | 1.0 MiB | 1.0 MiB | +0 kB |",
            "| grower | 0.00 ms | 0.00 | 1.8 MiB | 17.3 MiB | +300 kB |",
            "| 610 | 60000 | 60000 | 20 + 20 + 5 |",
            "run LAB/1 is stored",
        ] {
            assert!(text.contains(expected), "`{expected}` is not in\n{text}");
        }
        assert!(text.lines().filter(|line| line.ends_with("17.9 |")).count() < ROWS);
    }

    #[test]
    fn every_row_has_as_many_cells() {
        let mut trial = steady();
        // The detector starts after the first look.
        trial.samples[0].usage.pop();
        let text = markdown(&trial, &verdicts(&trial));
        let over_time = text.split("## Over time").nth(1).unwrap();
        let rows = over_time.lines().filter(|line| line.starts_with('|'));
        let mut cells: Vec<_> = rows.map(|row| row.matches('|').count()).collect();
        cells.dedup();
        assert_eq!(cells.len(), 1, "{over_time}");
    }
}

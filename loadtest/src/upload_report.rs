//! The report of the upload benchmark. Pure.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

/// What was measured.
#[derive(Debug)]
pub(crate) struct Trial {
    /// When it began.
    pub(crate) began: Timestamp,
    /// Files of each upload.
    pub(crate) files: u32,
    /// Size of each in MB.
    pub(crate) file_mb: u64,
    /// Uploads by each client.
    pub(crate) rounds: u32,
    /// Cores of the machine, shared by client and server.
    pub(crate) cores: usize,
    /// Load of the machine before and after.
    pub(crate) load: (f64, f64),
    /// Each upload.
    pub(crate) rows: Vec<Row>,
}

/// One upload of all files by one client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The client.
    pub(crate) client: &'static str,
    /// What proves that the bytes arrived.
    pub(crate) checks: &'static str,
    /// CPU time of the client.
    pub(crate) cpu_secs_per_gb: f64,
    /// Throughput.
    pub(crate) mb_per_sec: f64,
}

/// Writes the report as Markdown.
pub(crate) fn markdown(trial: &Trial) -> String {
    let mut out = String::new();
    write(&mut out, trial).expect("writing into a string does not fail");
    out
}

fn write(out: &mut String, trial: &Trial) -> fmt::Result {
    let Trial { files, rounds, .. } = trial;
    writeln!(out, "# Uploads side by side\n")?;
    writeln!(
        out,
        "    aquifer-loadtest upload --files {files} --file-mb {} --rounds {rounds}\n",
        trial.file_mb
    )?;
    writeln!(
        out,
        "On {}, {} cores for client and server; load {:.1} before, {:.1} after (1 is one busy \
         core). {files} random files of {} MB to a fresh SeaweedFS on the same machine, plain \
         HTTP, uploads by each client in turns: {rounds}, of which the median is shown. The server takes most \
         of the processor: the client's CPU time compares, MB/s hardly do.\n",
        trial.began.strftime("%Y-%m-%d %H:%M UTC"),
        trial.cores,
        trial.load.0,
        trial.load.1,
        trial.file_mb,
    )?;
    writeln!(out, "| client | CPU-s/GB | MB/s | checked end to end |")?;
    writeln!(out, "|---|---:|---:|---|")?;
    let mut shown: Vec<&str> = Vec::new();
    for row in &trial.rows {
        if shown.contains(&row.client) {
            continue;
        }
        shown.push(row.client);
        let of = |value: fn(&Row) -> f64| {
            let rows = trial.rows.iter().filter(|other| other.client == row.client);
            median(rows.map(value).collect())
        };
        writeln!(
            out,
            "| {} | {:.2} | {:.0} | {} |",
            row.client,
            of(|row| row.cpu_secs_per_gb),
            of(|row| row.mb_per_sec),
            row.checks
        )?;
    }
    Ok(())
}

/// The middle value, or the lower of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_shown_once_with_its_medians() {
        let row = |client, cpu_secs_per_gb, mb_per_sec| Row {
            client,
            checks: "all",
            cpu_secs_per_gb,
            mb_per_sec,
        };
        let trial = Trial {
            began: Timestamp::UNIX_EPOCH,
            files: 4,
            file_mb: 1000,
            rounds: 3,
            cores: 2,
            load: (0.5, 2.0),
            rows: vec![
                row("a", 0.5, 100.0),
                row("b", 3.0, 80.0),
                row("a", 0.7, 90.0),
                row("a", 0.6, 120.0),
            ],
        };
        let report = markdown(&trial);
        let rows: Vec<_> = report
            .lines()
            .filter(|line| line.ends_with("| all |"))
            .collect();
        assert_eq!(
            rows,
            ["| a | 0.60 | 100 | all |", "| b | 3.00 | 80 | all |"]
        );
        assert!(report.contains("load 0.5 before, 2.0 after"), "{report}");
    }
}

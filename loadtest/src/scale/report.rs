//! The report of a catalogue after years.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::fill::Table;
use super::questions::Answer;

/// Longest time, in milliseconds, that one question in a hundred may take.
pub(super) const P99_MS: f64 = 50.0;

/// What was seen.
pub(super) struct Trial {
    /// When.
    pub(super) at: Timestamp,
    /// Cores for server and client.
    pub(super) cores: usize,
    /// Memory of the server's pages.
    pub(super) memory_mib: u32,
    /// How often each question was asked.
    pub(super) times: u32,
    /// How long the filling took.
    pub(super) fill_secs: f64,
    /// What was filled.
    pub(super) tables: Vec<Table>,
    /// How long the answers took.
    pub(super) answers: Vec<Answer>,
}

/// The report.
pub(super) fn markdown(trial: &Trial) -> String {
    let mut out = String::new();
    write(&mut out, trial).expect("a String takes everything");
    out
}

fn write(out: &mut String, trial: &Trial) -> fmt::Result {
    writeln!(out, "# A catalogue after years\n")?;
    writeln!(
        out,
        "`make bench-scale`, {}, {} cores for server and client, {} MiB for the server's pages. \
         Each question is asked {} times, of other runs each time, through the code of the \
         command line; first rows are cold. At most {P99_MS:.0} ms are allowed for the slowest in \
         a hundred.\n",
        trial.at.strftime("%Y-%m-%d"),
        trial.cores,
        trial.memory_mib,
        trial.times
    )?;
    writeln!(out, "| table | rows, about | GB |\n|---|---:|---:|")?;
    for table in &trial.tables {
        let gigabytes = table.bytes as f64 / 1e9;
        writeln!(out, "| {} | {} | {gigabytes:.2} |", table.name, table.rows)?;
    }
    writeln!(out, "\nFilled in {:.0} s.\n", trial.fill_secs)?;
    writeln!(
        out,
        "| question | rows in an answer | p50 ms | p99 ms | slowest ms | |\n|---|---:|---:|---:|---:|---|"
    )?;
    for answer in &trial.answers {
        let verdict = if answer.in_time() {
            "kept"
        } else {
            "**too slow**"
        };
        writeln!(
            out,
            "| {} | {} | {:.1} | {:.1} | {:.1} | {verdict} |",
            answer.question,
            answer.rows,
            answer.at(0.5),
            answer.at(0.99),
            answer.at(1.0)
        )?;
    }
    Ok(())
}

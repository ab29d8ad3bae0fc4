//! Other processes as the kernel counts them: CPU time and memory, from proc(5).

use std::fs;
use std::io;

use anyhow::Context as _;

/// `USER_HZ`: the kernel counts CPU time in ticks of 1/100 s on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// What it is called in the report.
    pub(crate) name: &'static str,
    /// Its id.
    pub(crate) pid: u32,
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time since its start, all threads, in seconds.
    pub(crate) cpu_secs: f64,
    /// Resident memory in bytes; 0 when it has ended.
    pub(crate) resident: u64,
    /// Whether it has ended and waits to be collected: its time still counts.
    pub(crate) ended: bool,
}

impl Process {
    /// Reads its usage now.
    ///
    /// # Errors
    /// If it is gone.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/{}/{file}", self.pid))
                .with_context(|| format!("{} (process {}) is gone", self.name, self.pid))
        };
        let usage = usage(&read("stat")?, &read("status")?);
        usage.with_context(|| format!("usage of {} (process {})", self.name, self.pid))
    }

    /// Its command line.
    pub(crate) fn command_line(&self) -> io::Result<Vec<String>> {
        command_line(self.pid)
    }
}

/// The children of `parent` with their command lines.
pub(crate) fn children(parent: u32) -> io::Result<Vec<(u32, Vec<String>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Processes come and go while the folder is read.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        if field(&stat, 4) == Some(u64::from(parent))
            && let Ok(command) = command_line(pid)
        {
            found.push((pid, command));
        }
    }
    Ok(found)
}

fn command_line(pid: u32) -> io::Result<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline"))?;
    let words = bytes.split(|byte| *byte == 0);
    Ok(words
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect())
}

fn usage(stat: &str, status: &str) -> anyhow::Result<Usage> {
    let ticks = field(stat, 14).zip(field(stat, 15));
    let (user, system) = ticks.context("proc stat has no times")?;
    let ended = matches!(state(stat), Some("Z" | "X"));
    // A process that is about to end has none any more.
    let resident = status.lines().find_map(|line| {
        let kib = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
        kib.trim().parse::<u64>().ok()
    });
    Ok(Usage {
        cpu_secs: (user + system) as f64 / TICKS_PER_SECOND,
        resident: resident.unwrap_or(0) * 1024,
        ended,
    })
}

/// What follows the name, which is in parentheses and may hold anything.
fn after_name(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace())
}

fn state(stat: &str) -> Option<&str> {
    after_name(stat)?.next()
}

/// Field `number` of proc(5) `stat`, from 4 on.
fn field(stat: &str, number: usize) -> Option<u64> {
    after_name(stat)?.nth(number - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a) b (c) S 5 7 7 0 -1 4 1 0 0 0 250 50 9 9 20 0 1 0 987654 1 2 3";

    #[test]
    fn times_and_memory_are_read_behind_any_name() {
        let found = usage(STAT, "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n").unwrap();
        let expected = Usage {
            cpu_secs: 3.0,
            resident: 2 << 20,
            ended: false,
        };
        assert_eq!(found, expected);
        assert_eq!(field(STAT, 4), Some(5));
        usage("7 (a) S 5", "VmRSS: 1 kB").unwrap_err();
    }

    #[test]
    fn the_time_of_an_ended_process_still_counts() {
        let found = usage(&STAT.replace(" S ", " Z "), "Name:\tx\n").unwrap();
        assert_eq!((found.cpu_secs, found.ended), (3.0, true));
    }

    #[test]
    fn a_child_is_found_and_its_end_seen() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let process = Process {
            name: "sleeper",
            pid: child.id(),
        };
        let mine = children(std::process::id()).unwrap();
        assert!(mine.iter().any(|(pid, _)| *pid == process.pid));
        assert!(!process.usage().unwrap().ended);
        child.kill().unwrap();
        while !process.usage().unwrap().ended {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        let gone = process.usage().unwrap_err().to_string();
        assert!(gone.starts_with("sleeper (process "), "{gone}");
    }
}
